"""Sparse tensors in other shapes and orders: reshape, reorder, transpose, join, cut, fill."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.dtypes import int32, int64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_dims, constant_value
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_equal, assert_less_equal
from tfsession.ops.compare import where
from tfsession.ops.constant import constant, identity, ones_like, with_dependencies, zeros
from tfsession.ops.elementwise import add, maximum
from tfsession.ops.gather import gather
from tfsession.ops.join import concat
from tfsession.ops.reduce import reduce_max
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed, reshape, shape
from tfsession.ops.sparse_math import as_sparse, parts_of
from tfsession.ops.transpose import transpose

# --- definitions ----------------------------------------------------------------------------------


def _dims(op: Operation, index: int, count: int) -> tuple[int | None, ...]:
    found = with_rank(op.inputs[index]._shape, count)
    assert found is not None
    return found


def _reshape_shape(op: Operation) -> list[Shape]:
    entries = _dims(op, 0, 2)[0]
    [new] = _dims(op, 2, 1)
    return [(entries, new), (new,)]


define_op(
    "SparseReshape",
    inputs=["input_indices: int64", "input_shape: int64", "new_shape: int64"],
    outputs=["output_indices: int64", "output_shape: int64"],
    shape=_reshape_shape,
)
define_op(
    "SparseReorder",
    inputs=["input_indices: int64", "input_values: T", "input_shape: int64"],
    outputs=["output_indices: int64", "output_values: T"],
    attrs=["T: type"],
    shape=lambda op: [_dims(op, 0, 2), _dims(op, 1, 1)],
)


def _concat_shape(op: Operation) -> list[Shape]:
    count = op.attrs["N"]
    entries: int | None = 0
    size = None
    for index in range(count):
        own, columns = _dims(op, index, 2)
        entries = None if own is None or entries is None else entries + own
        size = merge_dims(merge_dims(size, columns), _dims(op, 2 * count + index, 1)[0])
    return [(entries, size), (entries,), (size,)]


define_op(
    "SparseConcat",
    inputs=["indices: N * int64", "values: N * T", "shapes: N * int64"],
    outputs=["output_indices: int64", "output_values: T", "output_shape: int64"],
    attrs=["concat_dim: int", "N: int >= 2", "T: type"],
    shape=_concat_shape,
)


def _split_shape(op: Operation) -> list[Shape]:
    count, sizes = op.attrs["num_split"], _dims(op, 3, 1)
    return [(None, sizes[0])] * count + [(None,)] * count + [sizes] * count


define_op(
    "SparseSplit",
    inputs=["split_dim: int64", "indices: int64", "values: T", "shape: int64"],
    outputs=[
        "output_indices: num_split * int64",
        "output_values: num_split * T",
        "output_shape: num_split * int64",
    ],
    attrs=["num_split: int >= 1", "T: type"],
    shape=_split_shape,
)


def _slice_shape(op: Operation) -> list[Shape]:
    sizes = _dims(op, 2, 1)
    return [(None, sizes[0]), (None,), sizes]


define_op(
    "SparseSlice",
    inputs=["indices: int64", "values: T", "shape: int64", "start: int64", "size: int64"],
    outputs=["output_indices: int64", "output_values: T", "output_shape: int64"],
    attrs=["T: type"],
    shape=_slice_shape,
)
define_op(
    "SparseSliceGrad",
    inputs=[
        "backprop_val_grad: T",
        "input_indices: int64",
        "input_start: int64",
        "output_indices: int64",
    ],
    outputs=["val_grad: T"],
    attrs=["T: numbertype"],
    shape=lambda op: [(_dims(op, 1, 2)[0],)],
)


def _fill_shape(op: Operation) -> list[Shape]:
    entries, columns = _dims(op, 0, 2)
    entries = merge_dims(entries, _dims(op, 1, 1)[0])
    columns = merge_dims(columns, _dims(op, 2, 1)[0])
    sizes = constant_value(op.inputs[2])
    rows = int(sizes[0]) if sizes is not None and len(sizes) else None
    return [(None, columns), (None,), (rows,), (entries,)]


define_op(
    "SparseFillEmptyRows",
    inputs=["indices: int64", "values: T", "dense_shape: int64", "default_value: T"],
    outputs=[
        "output_indices: int64",
        "output_values: T",
        "empty_row_indicator: bool",
        "reverse_index_map: int64",
    ],
    attrs=["T: type"],
    shape=_fill_shape,
)
define_op(
    "SparseFillEmptyRowsGrad",
    inputs=["reverse_index_map: int64", "grad_values: T"],
    outputs=["d_values: T", "d_default_value: T"],
    attrs=["T: type"],
    shape=lambda op: [_dims(op, 0, 1), ()],
)

# --- builders -------------------------------------------------------------------------------------


@export("sparse_reshape", "sparse.reshape")
def sparse_reshape(sp_input: Any, shape: Any, name: str | None = None) -> SparseTensor:
    """The same elements in another dense shape, of which one size may be -1.

    Raises:
        ValueError: a known shape has another number of elements, or -1 twice; InvalidArgumentError
            when only a step shows it.
    """
    sparse = as_sparse(sp_input)
    with graph_of(parts_of(sparse)).as_default() as graph:
        wanted = cast(shape, int64)
        with graph.name_scope(name or "SparseReshape") as scope:
            inputs = [sparse.indices, sparse.dense_shape, wanted]
            places, sizes = create_op("SparseReshape", inputs, None, scope)
            known = _reshaped(sparse, wanted)
            sizes = sizes if known is None else constant(known, int64)
            return SparseTensor(places, identity(sparse.values), sizes)


def _reshaped(sparse: SparseTensor, wanted: Tensor) -> list[int] | None:
    """The sizes that `wanted` asks for, where all is known but one that follows."""
    dims = constant_dims(wanted)
    if dims is None or not sparse.shape.is_fully_defined():
        return None
    sizes, count = [-1 if dim is None else dim for dim in dims], sparse.shape.num_elements()
    assert count is not None
    unknown, rest = sizes.count(-1), math.prod(size for size in sizes if size != -1)
    if unknown > 1 and None not in dims:
        raise ValueError(f"At most one dimension can be inferred (-1). Found: {sizes}")
    if unknown > 1 or (unknown and not rest):
        return None
    asked = list(sizes)
    if unknown:
        sizes[sizes.index(-1)] = count // rest
    if math.prod(sizes) != count:
        raise ValueError(
            f"Cannot reshape a tensor with {count} elements to shape {asked} "
            f"({math.prod(sizes)} elements)."
        )
    return sizes


@export("sparse_reorder", "sparse.reorder")
def sparse_reorder(sp_input: Any, name: str | None = None) -> SparseTensor:
    """The same elements in row-major order of their places."""
    sparse = as_sparse(sp_input)
    with graph_of(parts_of(sparse)).as_default():
        places, values = create_op("SparseReorder", parts_of(sparse), name=name)
        if sparse.shape.is_fully_defined():
            return SparseTensor(places, values, sparse.shape.as_list())
        result = SparseTensor(places, values, identity(sparse.dense_shape))
        result.set_shape(sparse.shape)
        return result


@export("sparse_transpose", "sparse.transpose")
def sparse_transpose(sp_input: Any, perm: Any = None, name: str | None = None) -> SparseTensor:
    """The sparse tensor with its dimensions in the order of `perm`, reversed where that is None."""
    sparse = as_sparse(sp_input)
    graph = graph_of(parts_of(sparse))
    with graph.as_default(), graph.name_scope(name or "SparseTranspose"):
        if perm is None:
            count = sparse.shape.rank
            if count is None:
                dims = rank(sparse)
                perm = (dims - 1) - range_(0, dims, 1)
            else:
                perm = np.arange(count)[::-1].copy()
        places = transpose(gather(transpose(sparse.indices), perm))
        known = constant_value(convert_to_tensor(perm))
        if known is not None and sparse.shape.is_fully_defined():
            sizes: Any = [sparse.shape.as_list()[axis] for axis in known]
        else:
            sizes = gather(sparse.dense_shape, perm)
        return sparse_reorder(SparseTensor(places, sparse.values, sizes))


@export("sparse_concat", "sparse.concat")
def sparse_concat(
    axis: Any,
    sp_inputs: Any,
    name: str | None = None,
    expand_nonconcat_dim: bool = False,
    concat_dim: Any = None,
    expand_nonconcat_dims: Any = None,
) -> SparseTensor:
    """Sparse tensors joined along a dimension.

    Args:
        axis: the dimension, an int; from the end where it is negative.
        sp_inputs: list of SparseTensors, in row-major order.
        name: name of the operation.
        expand_nonconcat_dim: let the other sizes differ: the greatest counts.
        concat_dim: older name of `axis`.
        expand_nonconcat_dims: another name of `expand_nonconcat_dim`.
    """
    axis = renamed("axis", axis, "concat_dim", concat_dim)
    expand = expand_nonconcat_dim or bool(expand_nonconcat_dims)
    inputs = [as_sparse(item) for item in sp_inputs]
    if len(inputs) == 1:
        return inputs[0]
    indices, values, shapes = (list(parts) for parts in zip(*map(parts_of, inputs), strict=True))
    with graph_of([*indices, *shapes]).as_default():
        if expand:
            most = reduce_max(concat([reshape(sizes, [1, -1]) for sizes in shapes], 0), 0)
            shapes = [
                concat(
                    [most[:axis], sizes[-1:] if axis == -1 else sizes[axis : axis + 1],
                     [] if axis == -1 else most[axis + 1 :]], 0,
                )
                for sizes in shapes
            ]  # fmt: skip
        attrs = {"concat_dim": axis}
        places, joined, sizes = create_op("SparseConcat", [indices, values, shapes], attrs, name)
        if all(item.shape.is_fully_defined() for item in inputs):
            table = np.array([item.shape.as_list() for item in inputs])
            known = table.max(axis=0) if expand else table[0]
            known[axis] = table[:, axis].sum()
            sizes = constant(known, int64)
        return SparseTensor(places, joined, sizes)


@export("sparse_split", "sparse.split")
def sparse_split(
    keyword_required: Any = None,
    sp_input: Any = None,
    num_split: int | None = None,
    axis: Any = None,
    name: str | None = None,
    split_dim: Any = None,
) -> list[SparseTensor]:
    """A sparse tensor cut into `num_split` parts along `axis`; the first get what is left over.

    All arguments are given by keyword; `split_dim` is an older name of `axis`.

    Raises:
        ValueError: an argument is missing.
    """
    if keyword_required is not None:
        raise ValueError("Keyword arguments are required for this function.")
    if sp_input is None:
        raise ValueError("sp_input is required")
    if num_split is None:
        raise ValueError("num_split is required")
    axis = renamed("axis", axis, "split_dim", split_dim)
    if axis is None:
        raise ValueError("axis is required")
    inputs = [axis, *parts_of(as_sparse(sp_input))]
    indices, values, shapes = create_op("SparseSplit", inputs, {"num_split": num_split}, name)
    return [SparseTensor(*parts) for parts in zip(indices, values, shapes, strict=True)]


@export("sparse_slice", "sparse.slice")
def sparse_slice(sp_input: Any, start: Any, size: Any, name: str | None = None) -> SparseTensor:
    """The part of a sparse tensor from `start` on, of `size` or what there is of it."""
    sparse = as_sparse(sp_input)
    with graph_of(parts_of(sparse)).as_default() as graph:
        start = convert_to_tensor(start, int64)
        size = convert_to_tensor(size, int64)
        with graph.name_scope(name or "SparseSlice") as scope:
            inputs = [*parts_of(sparse), start, size]
            return SparseTensor(*create_op("SparseSlice", inputs, None, scope))


@export("sparse_fill_empty_rows", "sparse.fill_empty_rows")
def sparse_fill_empty_rows(
    sp_input: Any, default_value: Any, name: str | None = None
) -> tuple[SparseTensor, Tensor]:
    """`default_value` at the start of each row that stores nothing; and which rows those are."""
    sparse = as_sparse(sp_input)
    graph = graph_of(parts_of(sparse))
    with graph.as_default(), graph.name_scope(name or "SparseFillEmptyRows"):
        default = convert_to_tensor(default_value, sparse.dtype.base_dtype)
        inputs = [*parts_of(sparse), default]
        places, values, is_empty, _ = create_op("SparseFillEmptyRows", inputs)
        return SparseTensor(places, values, sparse.dense_shape), is_empty


@export("sparse_retain", "sparse.retain")
def sparse_retain(sp_input: Any, to_retain: Any) -> SparseTensor:
    """The stored elements for which the bool vector `to_retain` is true."""
    sparse = as_sparse(sp_input)
    with graph_of(parts_of(sparse)).as_default():
        chosen = convert_to_tensor(to_retain)
        [count] = chosen.shape.with_rank(1).dims or [None]
        count.assert_is_compatible_with(sparse.values.shape.with_rank(1)[0])
        numbers = reshape(where(chosen), [-1])
        places, values = gather(sparse.indices, numbers), gather(sparse.values, numbers)
        return SparseTensor(places, values, identity(sparse.dense_shape))


@export("sparse_reset_shape", "sparse.reset_shape")
def sparse_reset_shape(sp_input: Any, new_shape: Any = None) -> SparseTensor:
    """The same elements in a dense shape that holds them: the least one, or `new_shape`.

    Raises:
        InvalidArgumentError: at run time, when `new_shape` is smaller than the old one, or has
            another rank.
    """
    sparse = as_sparse(sp_input)
    with graph_of(parts_of(sparse)).as_default():
        places, values, sizes = (identity(part) for part in parts_of(sparse))
        if new_shape is None:
            least = reduce_max(places, 0)
            zero = constant(0, int64)
            return SparseTensor(places, values, maximum(zero, add(least, ones_like(sizes))))
        wanted = cast(new_shape, int64)
        same_rank = assert_equal(shape(sizes), shape(wanted))
        wanted = with_dependencies([same_rank], wanted)
        wanted = with_dependencies([assert_less_equal(sizes, wanted)], wanted)
        return SparseTensor(places, values, wanted)


@export("sparse.expand_dims")
def sparse_expand_dims(sp_input: Any, axis: Any = None, name: str | None = None) -> SparseTensor:
    """A dimension of size 1 before dimension `axis`; at the end where that is None."""
    sparse = as_sparse(sp_input)
    axis = -1 if axis is None else axis
    graph = graph_of(parts_of(sparse))
    with graph.as_default(), graph.name_scope(name or "expand_dims"):
        count = rank(sparse)
        at = where(axis >= zeros([], int32), axis, axis + count + 1)
        column = zeros(concat([shape(sparse.indices)[:1], [1]], 0), int64)
        places = concat([sparse.indices[:, :at], column, sparse.indices[:, at:]], 1)
        sizes = concat([sparse.dense_shape[:at], [1], sparse.dense_shape[at:]], 0)
        if sparse.shape.rank is not None:
            places.set_shape([None, sparse.shape.rank + 1])
            sizes.set_shape([sparse.shape.rank + 1])
        return SparseTensor(places, sparse.values, sizes)
