"""Ragged tensors: how they enter a graph, from nested lists and by feeding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype, int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.default_graph import get_default_graph
from tfsession.ops import constant as constant_lib
from tfsession.ops.ragged_tensor import RaggedTensor
from tfsession.ops.ragged_tensor_value import RaggedTensorValue


@export("ragged.constant")
def constant(
    pylist: Any,
    dtype: Any = None,
    ragged_rank: int | None = None,
    inner_shape: Any = None,
    name: str | None = None,
    row_splits_dtype: Any = int64,
) -> Any:
    """A constant RaggedTensor of nested lists; a Tensor where no dimension is ragged.

    Args:
        pylist: nested lists, tuples or arrays, with all scalars at the same depth.
        dtype: the dtype of the values; None infers it.
        ragged_rank: how many dimensions are ragged; all but the first and the last when None,
            less those of `inner_shape`.
        inner_shape: the shape of each of the flat values.
        name: name scope of the operations.
        row_splits_dtype: int32 or int64.

    Raises:
        ValueError: the lists are not of one depth, or do not suit `ragged_rank` or `inner_shape`.
        TypeError: `pylist` is ragged already, or a value does not suit `dtype`.
    """

    def make_values(values: Any, shape: Any, part: str | None) -> Any:
        return constant_lib.constant(values, dtype, shape, part or "Const")

    def make_rows(values: Any, row_splits: list[int]) -> Any:
        splits = constant_lib.constant(row_splits, row_splits_dtype)
        return RaggedTensor.from_row_splits(values, splits, validate=False)

    with get_default_graph().name_scope(name or "RaggedConstant"):
        return _nested(make_rows, make_values, pylist, ragged_rank, inner_shape)


@export("ragged.constant_value")
def constant_value(
    pylist: Any,
    dtype: Any = None,
    ragged_rank: int | None = None,
    inner_shape: Any = None,
    row_splits_dtype: Any = "int64",
) -> Any:
    """A RaggedTensorValue of nested lists; an array where no dimension is ragged.

    The arguments and errors are those of `ragged.constant`, with NumPy's dtypes as well.
    """
    if isinstance(dtype, DType):
        dtype = dtype.as_numpy_dtype
    splits_dtype = as_dtype(row_splits_dtype).as_numpy_dtype

    def make_values(values: Any, shape: Any, part: str | None) -> Any:
        if dtype is object or dtype is None:
            array = np.array(values, dtype=dtype)
        else:
            array = np.array(values).astype(dtype)
        return array if shape is None else np.reshape(array, shape)

    def make_rows(values: Any, row_splits: list[int]) -> Any:
        return RaggedTensorValue(values, np.array(row_splits, splits_dtype))

    return _nested(make_rows, make_values, pylist, ragged_rank, inner_shape)


@export("ragged.placeholder")
def placeholder(
    dtype: Any, ragged_rank: int, value_shape: Any = None, name: str | None = None
) -> Any:
    """A RaggedTensor that is fed; a Tensor of shape `value_shape` where `ragged_rank` is 0.

    Args:
        dtype: the dtype of the values.
        ragged_rank: the number of ragged dimensions.
        value_shape: the shape of each of the flat values; None for any.
        name: name scope of the operations.
    """
    if ragged_rank == 0:
        return constant_lib.placeholder(dtype, value_shape, name)
    with get_default_graph().name_scope(name or "RaggedPlaceholder"):
        flat_shape = TensorShape([None]).concatenate(value_shape)
        result: Any = constant_lib.placeholder(dtype, flat_shape, "flat_values")
        for level in reversed(range(ragged_rank)):
            splits = constant_lib.placeholder(int64, [None], f"row_splits_{level}")
            result = RaggedTensor.from_row_splits(result, splits, validate=False)
        return result


# --- nested lists ---------------------------------------------------------------------------------


def _nested(
    make_rows: Callable[[Any, list[int]], Any],
    make_values: Callable[[Any, Any, str | None], Any],
    pylist: Any,
    ragged_rank: int | None,
    inner_shape: Any,
) -> Any:
    """What `make_values` and `make_rows` make of nested lists."""
    if isinstance(pylist, RaggedTensor | RaggedTensorValue):
        raise TypeError("pylist may not be a RaggedTensor or RaggedTensorValue.")
    if not _is_nest(pylist):
        _check_scalar(pylist, ragged_rank, inner_shape)
        return make_values(pylist, (), None)
    if ragged_rank is not None and ragged_rank < 0:
        raise ValueError(f"Invalid ragged_rank={ragged_rank!r}: must be nonnegative")
    scalar_depth, depth = _depths(pylist)
    _check_depths(pylist, scalar_depth, depth, ragged_rank, inner_shape)
    inner_rank = len(inner_shape or ())
    if ragged_rank is None:
        if depth - inner_rank < 2:
            return make_values(pylist, inner_shape, None)
        ragged_rank = max(1, depth - 1 - (0 if scalar_depth is None else inner_rank))
        inner_shape = inner_shape or ()
    elif ragged_rank == 0:
        return make_values(pylist, inner_shape, None)
    elif inner_shape is None:
        inner_shape = _inner_shape(pylist, ragged_rank)
    nested_splits, values = [], pylist
    for _ in range(ragged_rank):
        splits = [0]
        for row in values:
            splits.append(splits[-1] + len(row))
        nested_splits.append(splits)
        values = [item for row in values for item in row]
    result = make_values(values, (len(values), *inner_shape), "values")
    for splits in reversed(nested_splits):
        result = make_rows(result, splits)
    return result


def _is_nest(value: Any) -> bool:
    return isinstance(value, list | tuple) or np.ndim(value) != 0


def _check_scalar(value: Any, ragged_rank: int | None, inner_shape: Any) -> None:
    if ragged_rank:
        raise ValueError(f"Invalid pylist={value!r}: incompatible with ragged_rank={ragged_rank}")
    if inner_shape:
        raise ValueError(
            f"Invalid pylist={value!r}: incompatible with dim(inner_shape)={len(inner_shape)}"
        )


def _depths(value: Any) -> tuple[int | None, int]:
    """The depth of the scalars, None without any, and the greatest depth of lists.

    Raises:
        ValueError: the scalars are not at one depth.
    """
    if not _is_nest(value):
        return 0, 0
    scalar_depth, depth = None, 1
    for item in value:
        item_scalar_depth, item_depth = _depths(item)
        if item_scalar_depth is not None:
            if scalar_depth is not None and scalar_depth != item_scalar_depth + 1:
                raise ValueError("all scalar values must have the same nesting depth")
            scalar_depth = item_scalar_depth + 1
        depth = max(depth, item_depth + 1)
    return scalar_depth, depth


def _check_depths(
    pylist: Any, scalar_depth: int | None, depth: int, ragged_rank: int | None, inner_shape: Any
) -> None:
    if scalar_depth is not None:
        if depth > scalar_depth:
            raise ValueError(
                f"Invalid pylist={pylist!r}: empty list nesting is greater than scalar value "
                "nesting"
            )
        if ragged_rank is not None and depth < ragged_rank:
            raise ValueError(
                f"Invalid pylist={pylist}, max depth smaller than ragged_rank={ragged_rank}"
            )
    if inner_shape is not None and ragged_rank is not None:
        expected = ragged_rank + len(inner_shape) + 1
        if expected < depth if scalar_depth is None else expected != scalar_depth:
            raise ValueError(
                f"Invalid pylist={pylist!r}: incompatible with ragged_rank={ragged_rank} and "
                f"dim(inner_shape)={len(inner_shape)}"
            )


def _inner_shape(pylist: Any, ragged_rank: int) -> tuple[int, ...]:
    """The shape that all items below the ragged dimensions have.

    Raises:
        ValueError: there are scalars above them, or shapes that differ.
    """
    items = pylist
    for level in range(ragged_rank):
        if not all(map(_is_nest, items)):
            raise ValueError(
                f"pylist has scalar values depth {level + 1}, but ragged_rank={ragged_rank} "
                f"requires scalar value depth greater than {ragged_rank}"
            )
        items = [item for row in items for item in row]
    shapes = {_shape_of_nest(item) for item in items}
    if len(shapes) > 1:
        raise ValueError("inner values have inconsistent shape")
    return shapes.pop() if shapes else ()


def _shape_of_nest(item: Any) -> tuple[int, ...]:
    if not _is_nest(item):
        return ()
    shapes = {_shape_of_nest(part) for part in item}
    if len(shapes) > 1:
        raise ValueError("inner values have inconsistent shape")
    return (len(item), *(shapes.pop() if shapes else ()))
