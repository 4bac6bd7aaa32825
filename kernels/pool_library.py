"""Pools by a library of neural networks, where there is one for the arrays.

Each function says whether it has written the result; if not, nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.windows import Axis
from tfsession.devices.onednn import Description, Layout, Library, Primitive, dnn_library
from tfsession.kernels.conv_windows import geometry

# `dnnl_prop_kind_t`, `dnnl_alg_kind_t`, `dnnl_query_t` and the codes of arguments.
_TRAINING, _INFERENCE = 64, 96
_MAXIMUM, _MEAN = 0x1FF, 0x3FF
_WORKSPACE_LAYOUT = 135
_SOURCE, _RESULT, _WORKSPACE, _TO_SOURCE, _OF_RESULT = 1, 17, 64, 129, 145


class _Pool:
    """The pool of images of one shape."""

    def __init__(
        self, library: Library, shape: tuple[int, ...], axes: tuple[Axis, ...], algorithm: int
    ) -> None:
        self.library, self._algorithm = library, algorithm
        self.given = library.channels_last(shape)
        self.result = library.channels_last((shape[0], *(a.steps for a in axes), shape[-1]))
        self._geometry = geometry(library, axes)

    def forward(self, use: int) -> Description | None:
        """What computes the pool, for `use`."""
        if self._geometry is None:
            return None
        return self.library.describe(
            "pooling_forward", use, self._algorithm, self.given, self.result,
            *self._geometry.of_pool,
        )  # fmt: skip

    def back(self, forward: Description | None) -> Description | None:
        """What computes the gradient for the images."""
        if self._geometry is None or forward is None:
            return None
        return self.library.describe(
            "pooling_backward", self._algorithm, self.given, self.result,
            *self._geometry.of_pool, forward,
        )  # fmt: skip


class _ToMaximum(NamedTuple):
    """Both ways through a pool of maxima, and how many bytes the way back wants kept."""

    forward: Primitive
    back: Primitive
    kept: int


# Windows larger than so many times what they slide over, and than this, are not given to it.
_MOST_OF_SIZE, _LEAST_EXTENT = 2, 16


def _is_too_wide(axes: Sequence[Axis]) -> bool:
    """Whether windows are such that the library, which goes over padding, too, took for ever."""
    return any(axis.extent > _MOST_OF_SIZE * axis.size + _LEAST_EXTENT for axis in axes)


@lru_cache(maxsize=256)
def _forward(*key: Any) -> Primitive | None:
    """`forward(x, y)`."""
    if _is_too_wide(key[2]):
        return None
    pool = _Pool(*key)
    found = pool.forward(_INFERENCE)
    return pool.library.compiled(found, {_SOURCE: pool.given, _RESULT: pool.result})


@lru_cache(maxsize=256)
def _back(*key: Any) -> Primitive | None:
    """`back(to_x, of_y)`, of means."""
    if _is_too_wide(key[2]):
        return None
    pool = _Pool(*key)
    found = pool.back(pool.forward(_TRAINING))
    return pool.library.compiled(found, {_TO_SOURCE: pool.given, _OF_RESULT: pool.result})


@lru_cache(maxsize=256)
def _to_maximum(*key: Any) -> _ToMaximum | None:
    """`forward(x, y, kept)` and `back(to_x, of_y, kept)`."""
    if _is_too_wide(key[2]):
        return None
    pool = _Pool(*key)
    found = pool.forward(_TRAINING)
    back = pool.back(found)
    if found is None or back is None:
        return None
    kept: Layout = found.layout(_WORKSPACE_LAYOUT)
    there = {_SOURCE: pool.given, _RESULT: pool.result, _WORKSPACE: kept}
    return _ToMaximum(
        Primitive(pool.library, found, there),
        Primitive(
            pool.library,
            back,
            {_TO_SOURCE: pool.given, _OF_RESULT: pool.result, _WORKSPACE: kept},
        ),
        kept.nbytes,
    )


def _suit(xp: Any, axes: Sequence[Axis], *arrays: Any) -> Library | None:
    """The library, if arrays and windows are such as it takes."""
    if not (axes[0].is_identity and axes[-1].is_identity):
        return None
    return dnn_library(xp, *arrays)


def _written(xp: Any, algorithm: int, x: Any, axes: Sequence[Axis], out: Any) -> bool:
    library = _suit(xp, axes, x, out)
    forward = library and _forward(library, x.shape, tuple(axes[1:-1]), algorithm)
    if forward:
        forward(x, out)
    return bool(forward)


def maximum(xp: Any, x: Any, axes: Sequence[Axis], out: Any) -> bool:
    """The greatest element of each window; of finite ones only, others are left to do.

    The library passes over NaN, and knows nothing less than the lowest finite number.
    """
    if not _written(xp, _MAXIMUM, x, axes, out):
        return False
    flat = x.reshape(-1)
    return math.isfinite(flat @ flat)


def mean(xp: Any, x: Any, axes: Sequence[Axis], out: Any) -> bool:
    """The mean of each window, padding not counted."""
    return _written(xp, _MEAN, x, axes, out)


def to_maximum(xp: Any, take: Any, x: Any, grad: Any, axes: Sequence[Axis], out: Any) -> bool:
    """The gradient of each window at the first of its greatest elements."""
    library = _suit(xp, axes, x, grad, out)
    found = library and _to_maximum(library, x.shape, tuple(axes[1:-1]), _MAXIMUM)
    if found:
        kept = take((found.kept,), np.uint8)
        found.forward(x, take(grad.shape, grad.dtype), kept)
        found.back(out, grad, kept)
    return bool(found)


def share_mean(xp: Any, grad: Any, axes: Sequence[Axis], out: Any) -> bool:
    """The gradient of each window shared among its elements."""
    library = _suit(xp, axes, grad, out)
    back = library and _back(library, out.shape, tuple(axes[1:-1]), _MEAN)
    if back:
        back(out, grad)
    return bool(back)
