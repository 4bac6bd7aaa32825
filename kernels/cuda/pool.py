"""Pools of a GPU, and their gradients: one kernel each, of floats with channels last.

What is pooled along its batch or channels, and other numbers, are left to the kernels of all
devices: then functions give None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tfsession.core.windows import Axis
from tfsession.devices.code_library import code_library
from tfsession.kernels.cuda import conv_text
from tfsession.kernels.cuda.conv import FLOATS, MOST_AXES, WIDE, plan_of
from tfsession.kernels.cuda.conv_text import Geometry
from tfsession.kernels.cuda.emit import Calls

__all__ = ["greatest", "mean", "of_greatest", "of_mean"]


def _computed(xp: Any, make: Callable[..., Calls], axes: Sequence[Axis], *arrays: Any) -> Any:
    """What a kernel makes of arrays, the first one's dtype; None where there is none."""
    library, dtype = code_library(xp), arrays[0].dtype
    if library is None or dtype.name not in FLOATS or len(axes) - 2 > MOST_AXES:
        return None
    if any(array.dtype != dtype or not array.size for array in arrays):
        return None
    first, *inner, last = axes
    if not (first.is_identity and last.is_identity) or not prod(axis.size for axis in axes):
        return None
    whole = [xp.ascontiguousarray(array) for array in arrays]
    lanes = WIDE // dtype.itemsize
    while lanes > 1 and (last.size % lanes or any(a.data.ptr % WIDE for a in whole)):
        lanes //= 2
    sizes = [axis.size for axis in axes]
    steps = [prod(sizes[place + 1 :]) for place in range(len(sizes))]
    geometry = Geometry(dtype.name, tuple(inner), last.size, tuple(steps), False, lanes)
    plan = plan_of(library, make, geometry, first.size)
    return None if plan is None else plan.run(xp, [array.data.ptr for array in whole])[0]


def greatest(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    """The greatest number of each window; None where the kernels of all devices compute it."""
    return _computed(xp, conv_text.greatest, axes, x)


def of_greatest(xp: Any, x: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    """Its gradient for the input; None as before."""
    return _computed(xp, conv_text.of_greatest, axes, x, grad)


def mean(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    """The mean of each window, padding not counted; None as before."""
    return _computed(xp, conv_text.mean, axes, x)


def of_mean(xp: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    """Its gradient for the input; None as before."""
    return _computed(xp, conv_text.of_mean, axes, grad)
