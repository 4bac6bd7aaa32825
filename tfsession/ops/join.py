"""Several tensors made one, and one made several: stack, concat, split.

Registers the conversion of lists that hold tensors: they are stacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsession.core import shape as shape_lib
from tfsession.core.dimension import Dimension
from tfsession.core.dtypes import DType, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import (
    constant_dims,
    constant_value,
    folds_partially,
)
from tfsession.graph.create import (
    convert_to_tensor,
    create_op,
    graph_of,
    register_tensor_conversion_function,
)
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity, ones
from tfsession.ops.shape import reshape, size

# --- definitions ----------------------------------------------------------------------------------


def _pack_shape(op: Operation) -> list[Shape]:
    shape = op.inputs[-1]._shape
    for i in range(len(op.inputs) - 2, -1, -1):
        try:
            shape = shape_lib.merge(op.inputs[i]._shape, shape)
        except ValueError as error:
            raise ValueError(f"{error}\n\tFrom merging shape {i} with other shapes.") from None
    if shape is None:
        return [None]
    rank, axis = len(shape) + 1, op.attrs["axis"]
    if not -rank <= axis < rank:
        raise ValueError(f"Invalid axis: {axis}; must be in [{-rank},{rank})")
    at = axis % rank
    return [(*shape[:at], len(op.inputs), *shape[at:])]


define_op(
    "Pack",
    inputs=["values: N * T"],
    outputs=["output: T"],
    attrs=["N: int >= 1", "T: type", "axis: int = 0"],
    shape=_pack_shape,
)


def _unpack_shape(op: Operation) -> list[Shape]:
    shape, axis, num = op.inputs[0]._shape, op.attrs["axis"], op.attrs["num"]
    if shape is None:
        return [None] * num
    rank = len(shape)
    if not -rank <= axis < rank:
        raise ValueError(f"Invalid axis: {axis}; must be in [{-rank},{rank})")
    at = axis % rank
    if shape[at] not in (num, None):
        raise ValueError(f"Dimension must be {num} but is {shape[at]}")
    return [(*shape[:at], *shape[at + 1 :])] * num


define_op(
    "Unpack",
    inputs=["value: T"],
    outputs=["output: num * T"],
    attrs=["num: int >= 0", "T: type", "axis: int = 0"],
    shape=_unpack_shape,
)


def _concat_shape(values: list[Tensor], axis: Tensor) -> list[Shape]:
    with_rank(axis._shape, 0)
    rank = next((len(t._shape) for t in values if t._shape is not None), None)
    if rank is None:
        return [None]
    shapes = [with_rank(t._shape, rank) for t in values]
    if rank == 0:
        raise ValueError("Can't concatenate scalars (use tf.stack instead)")
    value = constant_value(axis)
    if value is None:
        return [(None,) * rank]
    at = int(value.reshape(()))
    with_rank_at_least(shapes[0], -at if at < 0 else at + 1)
    at %= rank
    known = [shape for shape in shapes if shape is not None]
    before: Shape = known[0][:at]
    after: Shape = known[0][at + 1 :]
    total: int | None = 0
    for shape in known:
        before = shape_lib.merge(before, shape[:at])
        after = shape_lib.merge(after, shape[at + 1 :])
        part = shape[at]
        total = None if total is None or part is None else total + part
    return [(*(before or ()), total, *(after or ()))]


define_op(
    "ConcatV2",
    inputs=["values: N * T", "axis: Tidx"],
    outputs=["output: T"],
    attrs=["N: int >= 2", "T: type", "Tidx: {int32, int64} = DT_INT32"],
    shape=lambda op: _concat_shape(list(op.inputs[:-1]), op.inputs[-1]),
)
define_op(
    "Concat",
    inputs=["concat_dim: int32", "values: N * T"],
    outputs=["output: T"],
    attrs=["N: int >= 2", "T: type"],
    shape=lambda op: _concat_shape(list(op.inputs[1:]), op.inputs[0]),
)
define_op(
    "ConcatOffset",
    inputs=["concat_dim: int32", "shape: N * shape_type"],
    outputs=["offset: N * shape_type"],
    attrs=["N: int >= 2", "shape_type: {int32, int64} = DT_INT32"],
    shape=lambda op: [with_rank(t._shape, 1) for t in op.inputs[1:]],
)


def _split_axis(axis: Tensor, rank: int) -> int | None:
    value = constant_value(axis)
    if value is None:
        return None
    at = int(value.reshape(()))
    if not -rank <= at < rank:
        raise ValueError(
            f"Dimension size, given by scalar input {at} must be in range [{-rank}, {rank})"
        )
    return at % rank


def _split_shape(op: Operation) -> list[Shape]:
    (axis, value), num = op.inputs, op.attrs["num_split"]
    with_rank(axis._shape, 0)
    if value._shape is None:
        return [None] * num
    shape = value._shape
    at = _split_axis(axis, len(shape))
    if at is None:
        return [(None,) * len(shape)] * num
    size = shape[at]
    if size is not None and size % num:
        raise ValueError(
            f"Dimension size must be evenly divisible by {num} but is {size}\n\tNumber of ways to "
            "split should evenly divide the split dimension"
        )
    part = None if size is None else size // num
    return [(*shape[:at], part, *shape[at + 1 :])] * num


define_op(
    "Split",
    inputs=["split_dim: int32", "value: T"],
    outputs=["output: num_split * T"],
    attrs=["num_split: int >= 1", "T: type"],
    shape=_split_shape,
)


def _split_v_shape(op: Operation) -> list[Shape]:
    split, sizes, axis = op.inputs
    num, shape = op.attrs["num_split"], split._shape
    with_rank(axis._shape, 0)
    if shape is None:
        return [None] * num
    at = _split_axis(axis, len(shape))
    if at is None:
        return [(None,) * len(shape)] * num
    value = constant_value(sizes)
    given = [-1] * num if value is None else value.tolist()
    parts: list[int | None] = [None if part < 0 else part for part in given]
    size, known = shape[at], sum(part for part in given if part > 0)
    unknown = parts.count(None)
    if size is not None and value is not None:
        if known > size or (not unknown and known != size):
            text = shape_lib.debug_string(tuple(parts))
            raise ValueError(f"can't split axis of size {size} into pieces of size {text}")
        if unknown == 1:
            parts[parts.index(None)] = size - known
    return [(*shape[:at], part, *shape[at + 1 :]) for part in parts]


define_op(
    "SplitV",
    inputs=["value: T", "size_splits: Tlen", "split_dim: int32"],
    outputs=["output: num_split * T"],
    attrs=["num_split: int >= 1", "T: type", "Tlen: {int8, int32, int64} = DT_INT64"],
    shape=_split_v_shape,
)


@folds_partially("Pack")
def _pack_dims(op: Operation, _: int) -> list[int | None] | None:
    values = [constant_value(t) for t in op.inputs]
    if any(value is not None and value.size != 1 for value in values):
        return None
    return [None if value is None else int(value.reshape(())) for value in values]


@folds_partially("ConcatV2")
def _concat_dims(op: Operation, _: int) -> list[int | None] | None:
    parts = [constant_dims(t) for t in op.inputs[:-1]]
    dims: list[int | None] = []
    for part in parts:
        if part is None:
            return None
        dims.extend(part)
    return dims


# --- lists that hold tensors ----------------------------------------------------------------------

_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None)})


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, Tensor) or hasattr(type(value), "_as_graph_element")


def _symbolic_leaves(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _symbolic_leaves(value)
        elif type(value) not in _PLAIN and _is_symbolic(value):
            yield value


def _convert_list(
    value: Any, dtype: DType | None = None, name: str | None = None, as_ref: bool = False
) -> Any:
    """Lists with tensors among their leaves, stacked; NotImplemented without any."""
    if as_ref or _PLAIN.issuperset(map(type, value)):
        return NotImplemented
    first = next(_symbolic_leaves(value), None)
    if first is None:
        return NotImplemented
    found = first.dtype.base_dtype
    if dtype is None:
        dtype = found
    elif dtype is not found:
        value = _cast_leaves(value, dtype)
    with graph_of([first]).as_default():
        return _stack_nested(value, dtype, name or "packed")


def _cast_leaves(value: Any, dtype: DType) -> Any:
    if isinstance(value, list | tuple):
        return [_cast_leaves(item, dtype) for item in value]
    if _is_symbolic(value) and value.dtype.base_dtype is not dtype:
        return create_op("Cast", [value], {"DstT": dtype})
    return value


def _stack_nested(values: Any, dtype: DType, name: str) -> Any:
    """The stack of `values`, or a list when no tensor is among them."""
    graph = graph_of([])
    with graph.name_scope(name) as scope:
        items = []
        has_tensor = False
        for i, value in enumerate(values):
            item = value
            if isinstance(value, list | tuple):
                item = _stack_nested(value, dtype, str(i))
            elif _is_symbolic(value) and value.dtype.base_dtype is not dtype:
                raise TypeError(
                    f"Cannot convert a list containing a tensor of dtype {value.dtype} to {dtype} "
                    f"(Tensor is: {value!r})"
                )
            has_tensor = has_tensor or _is_symbolic(item)
            items.append(item)
        if not has_tensor:
            return items
        tensors = [
            item if _is_symbolic(item) else convert_to_tensor(item, dtype, str(i))
            for i, item in enumerate(items)
        ]
        return create_op("Pack", [tensors], name=scope)


register_tensor_conversion_function((list, tuple), _convert_list, 99)


# --- builders -------------------------------------------------------------------------------------


@export("stack")
def stack(values: Any, axis: int = 0, name: str = "stack") -> Tensor:
    """Tensors of one shape along a new dimension.

    Args:
        values: list of tensors of the same shape and dtype.
        axis: where the new dimension stands in the result.
        name: name of the operation.

    Raises:
        ValueError: `axis` is out of range, or the shapes differ.
        TypeError: the dtypes differ.
    """
    if axis == 0:
        try:
            return convert_to_tensor(values, name=name)
        except (TypeError, ValueError):
            pass
    shape = convert_to_tensor(values[0], name=name)._shape
    if shape is not None:
        rank = len(shape) + 1
        if not -rank <= axis < rank:
            raise ValueError(f"Argument `axis` = {axis} not in range [{-rank}, {rank})")
    result: Tensor = create_op("Pack", [values], {"axis": axis}, name)
    return result


@export("unstack")
def unstack(value: Any, num: int | None = None, axis: int = 0, name: str = "unstack") -> Any:
    """The slices of a tensor along a dimension, as a list of tensors of one rank less.

    Args:
        value: tensor.
        num: the size of the dimension; None takes the static size.
        axis: the dimension.
        name: name of the operation.

    Raises:
        ValueError: `num` is None and the size is not known, or `axis` is out of range.
    """
    if num is None:
        value = convert_to_tensor(value)
        shape = value._shape
        if shape is not None:
            rank = len(shape)
            if not -rank <= axis < rank:
                raise ValueError(f"Argument `axis` = {axis} not in range [{-rank}, {rank})")
            num = shape[axis]
    if num is None:
        raise ValueError(f"Cannot infer argument `num` from shape {value.shape}")
    return create_op("Unpack", [value], {"num": num, "axis": axis}, name)


@export("concat")
def concat(values: Any, axis: Any, name: str = "concat") -> Tensor:
    """Tensors joined along a dimension that they have.

    Args:
        values: list of tensors whose shapes differ in dimension `axis` only; one tensor stands for
            itself.
        axis: scalar, the dimension; negative counts from the last.
        name: name of the operation.

    Raises:
        ValueError: the shapes do not fit, or `axis` is out of range.
    """
    if not isinstance(values, list | tuple):
        values = [values]
    if len(values) == 1:
        graph = graph_of(values)
        with graph.as_default(), graph.name_scope(name):
            dim = convert_to_tensor(axis, int32, "concat_dim")
            dim.shape.assert_has_rank(0)
            only: Tensor = identity(values[0], name)
            return only
    result: Tensor = create_op("ConcatV2", [values, axis], name=name)
    return result


@export("split")
def split(
    value: Any, num_or_size_splits: Any, axis: Any = 0, num: int | None = None, name: str = "split"
) -> Any:
    """A tensor in pieces along a dimension.

    Args:
        value: tensor.
        num_or_size_splits: how many equal pieces, or a vector of their sizes, one of which may be
            -1 for what is left.
        axis: scalar, the dimension.
        num: how many sizes there are, where that is not known.
        name: name of the operation.

    Raises:
        ValueError: the dimension cannot be split so.
    """
    if isinstance(num_or_size_splits, int | np.integer | Dimension):
        pieces = int(num_or_size_splits)
        return create_op("Split", [axis, value], {"num_split": pieces}, name)
    sizes = convert_to_tensor(num_or_size_splits)
    if sizes._shape == ():
        raise ValueError(
            "Rank-0 tensors are not supported as the num_or_size_splits argument to split. "
            f"Argument provided: {num_or_size_splits}"
        )
    if num is None and sizes._shape is not None:
        num = sizes._shape[0]
    if num is None:
        raise ValueError(f"Cannot infer argument `num` from shape {num_or_size_splits}")
    return create_op("SplitV", [value, sizes, axis], {"num_split": num}, name)


@export("meshgrid")
def meshgrid(*args: Any, **kwargs: Any) -> list[Tensor]:
    """Coordinates of the points of a grid, one tensor for each of the vectors.

    Args:
        *args: vectors of coordinates.
        **kwargs: `indexing`, "xy" (the first two dimensions swapped) or "ij", and `name`.

    Raises:
        ValueError: another `indexing`.
        TypeError: another keyword.
    """
    indexing, name = kwargs.pop("indexing", "xy"), kwargs.pop("name", "meshgrid")
    for key in kwargs:
        raise TypeError(f"'{key}' is an invalid keyword argument for this function")
    if indexing not in ("xy", "ij"):
        raise ValueError(
            f"Argument `indexing` parameter must be either 'xy' or 'ij', got '{indexing}'"
        )
    graph, count = graph_of(args), len(args)
    if not count:
        return []
    with graph.as_default(), graph.name_scope(name):
        grids = [
            reshape(stack(x), [-1 if i == j else 1 for j in range(count)])
            for i, x in enumerate(args)
        ]
        sizes = [size(x) for x in args]
        dtype = convert_to_tensor(args[0]).dtype.base_dtype
        if indexing == "xy" and count > 1:
            grids[0] = reshape(grids[0], [1, -1] + [1] * (count - 2))
            grids[1] = reshape(grids[1], [-1, 1] + [1] * (count - 2))
            sizes[0], sizes[1] = sizes[1], sizes[0]
        whole = ones(sizes, dtype)
        return [create_op("Mul", [grid, whole], name="mul") for grid in grids]
