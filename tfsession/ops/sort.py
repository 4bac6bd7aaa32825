"""Sorting along a dimension: as the largest of all elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.exports import export
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.shape import rank
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.top_k import top_k
from tfsession.ops.transpose import transpose

_DIRECTIONS = ("ASCENDING", "DESCENDING")


@export("sort")
def sort(
    values: Any, axis: Any = -1, direction: str = "ASCENDING", name: str | None = None
) -> Tensor:
    """The values sorted along one dimension.

    Args:
        values: a tensor of numbers.
        axis: the dimension; a constant.
        direction: "ASCENDING" or "DESCENDING".
        name: name scope of the operations.

    Raises:
        ValueError: another direction, or an axis that is no constant scalar.
    """
    with get_default_graph().name_scope(name or "sort"):
        return _sorted(values, axis, direction, as_indices=False)


@export("argsort")
def argsort(
    values: Any,
    axis: Any = -1,
    direction: str = "ASCENDING",
    stable: bool = False,
    name: str | None = None,
) -> Tensor:
    """The indices that sort values along one dimension, as int32; equal values keep their order.

    The arguments and errors are those of `sort`; `stable` is not needed.
    """
    with get_default_graph().name_scope(name or "argsort"):
        return _sorted(values, axis, direction, as_indices=True)


def _sorted(values: Any, axis: Any, direction: str, as_indices: bool) -> Tensor:
    if direction not in _DIRECTIONS:
        raise ValueError(
            f"Argument `direction` should be one of {', '.join(_DIRECTIONS)}. "
            f"Received: direction={direction}"
        )
    axis = convert_to_tensor(axis, name="axis")
    known = constant_value(axis)
    if axis._shape not in (None, ()) or known is None:
        raise ValueError(f"Argument `axis` must be a constant scalar. Received: axis={axis}.")
    values = convert_to_tensor(values, name="values")
    if direction == "DESCENDING":
        return _largest_first(values, int(known), as_indices)
    found = _largest_first(_reversed(values), int(known), as_indices)
    return found if as_indices else _reversed(found)


def _reversed(values: Tensor) -> Tensor:
    """The same numbers in reverse order, and back again."""
    result: Tensor
    if values.dtype.is_unsigned:
        result = values.dtype.max - values
    elif values.dtype.is_integer:
        result = -values - 1
    else:
        result = -values
    return result


def _largest_first(values: Tensor, axis: int, as_indices: bool) -> Tensor:
    count = shape_of(values)[axis]
    rank(values)  # TensorFlow's graphs have it, whether it is needed or not
    known = values._shape
    if axis == -1 or (known is not None and axis + 1 == len(known)):
        return top_k(values, count)[int(as_indices)]
    if known is None:
        raise ValueError(f"sort needs the rank of {values.name} for an axis other than the last")
    if axis < 0:
        axis += len(known)
    order = np.arange(len(known))
    order[[axis, -1]] = order[[-1, axis]]
    swap = constant(order, name="transposition")
    return transpose(top_k(transpose(values, swap), count)[int(as_indices)], swap)
