"""Sparse tensors: how they enter a graph, and how they become dense."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float32, int64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, TensorShape
from tfsession.graph.constant_value import constant_shape, told_shape
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import not_equal, where
from tfsession.ops.constant import (
    fill,
    ones,
    placeholder,
    placeholder_with_default,
    zeros,
    zeros_like,
)
from tfsession.ops.elementwise import minimum
from tfsession.ops.gather import gather, gather_nd
from tfsession.ops.join import concat, stack
from tfsession.ops.sequence import range_
from tfsession.ops.shape import expand_dims
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.sparse_math import as_sparse, parts_of
from tfsession.ops.sparse_shape import sparse_reorder
from tfsession.ops.unique import setdiff1d


def _dense_shape(op: Operation) -> list[Shape]:
    return [constant_shape(op.inputs[1])]


define_op(
    "SparseToDense",
    inputs=[
        "sparse_indices: Tindices",
        "output_shape: Tindices",
        "sparse_values: T",
        "default_value: T",
    ],
    outputs=["dense: T"],
    attrs=["validate_indices: bool = true", "T: type", "Tindices: {int32, int64}"],
    shape=_dense_shape,
)


@export("sparse_to_dense")
def sparse_to_dense(
    sparse_indices: Any,
    output_shape: Any,
    sparse_values: Any,
    default_value: Any = 0,
    validate_indices: bool = True,
    name: str | None = None,
) -> Tensor:
    """A tensor with values at some places, and one value at all others.

    Args:
        sparse_indices: the places: a matrix with a row for each; a vector or a scalar for a vector.
        output_shape: its shape, a vector.
        sparse_values: a value for each place, or one for all.
        default_value: the value elsewhere.
        validate_indices: hold the places to be in order, and none to come twice.
        name: name of the operation.

    A step raises InvalidArgumentError for places outside of the shape or out of order.
    """
    inputs = [sparse_indices, output_shape, sparse_values, default_value]
    attrs = {"validate_indices": validate_indices}
    result: Tensor = create_op("SparseToDense", inputs, attrs, name)
    return result


@export("sparse_tensor_to_dense", "sparse.to_dense")
def sparse_tensor_to_dense(
    sp_input: Any, default_value: Any = None, validate_indices: bool = True, name: str | None = None
) -> Tensor:
    """The dense tensor that a sparse one stands for.

    Args:
        sp_input: SparseTensor.
        default_value: what elements are that it does not store; None stands for zeros.
        validate_indices: hold the places to be in order, and none to come twice.
        name: name of the operation.
    """
    sparse = as_sparse(sp_input)
    with graph_of(parts_of(sparse)).as_default():
        default = zeros([], sparse.dtype) if default_value is None else default_value
    places, values, sizes = parts_of(sparse)
    dense = sparse_to_dense(places, sizes, values, default, validate_indices, name)
    dense.set_shape(sparse.shape)
    return dense  # type: ignore[no-any-return]


@export("sparse.from_dense")
def from_dense(tensor: Any, name: str | None = None) -> SparseTensor:
    """The elements of a dense tensor that are not zero."""
    with graph_of([tensor]).as_default() as graph, graph.name_scope(name or "dense_to_sparse"):
        tensor = convert_to_tensor(tensor)
        places = where(not_equal(tensor, zeros_like(tensor)))
        values = gather_nd(tensor, places)
        return SparseTensor(places, values, shape_of(tensor, out_type=int64))


@export("sparse.eye")
def sparse_eye(
    num_rows: Any, num_columns: Any = None, dtype: Any = float32, name: str | None = None
) -> SparseTensor:
    """A sparse identity matrix."""
    graph = graph_of([num_rows, num_columns])
    with graph.as_default(), graph.name_scope(name or "eye"):
        rows = convert_to_tensor(num_rows, int64, "num_rows")
        columns = rows
        if num_columns is not None:
            columns = convert_to_tensor(num_columns, int64, "num_columns")
        numbers = range_(minimum(rows, columns), dtype=int64)
        values = ones(shape_of(numbers), dtype)
        return SparseTensor(stack([numbers, numbers], 1), values, [rows, columns])


@export("sparse_mask", "sparse.mask")
def sparse_mask(a: Any, mask_indices: Any, name: str | None = None) -> IndexedSlices:
    """IndexedSlices without the slices of some indices."""
    graph = graph_of([a.values, a.indices, mask_indices])
    with graph.as_default(), graph.name_scope(name or "sparse_mask") as scope:
        kept, places = setdiff1d(a.indices, mask_indices)
        return IndexedSlices(gather(a.values, places, name=scope), kept, a.dense_shape)


@export("sparse_merge", "sparse.merge")
def sparse_merge(
    sp_ids: Any,
    sp_values: Any,
    vocab_size: Any,
    name: str | None = None,
    already_sorted: bool = False,
) -> SparseTensor:
    """Values at the places that ids name: the last dimension is replaced by the ids.

    Args:
        sp_ids: SparseTensor of int32 or int64, or a list of them, one for each new dimension.
        sp_values: SparseTensor of the values, with the same places.
        vocab_size: the size of the new dimension, or a list of sizes.
        name: a prefix of the names of the operations.
        already_sorted: leave the elements in their order, which is right already.

    Raises:
        TypeError: `vocab_size` is a list, and `sp_ids` not; or the other way around.
        ValueError: the two lists have different lengths.
    """  # fmt: skip
    as_list = isinstance(sp_ids, list | tuple)
    if as_list != isinstance(vocab_size, list | tuple):
        raise TypeError(
            "vocab_size has to be a list or tuple where sp_ids is one, and a scalar where it is "
            f"not. Found: {vocab_size}"
        )
    all_ids = list(sp_ids) if as_list else [sp_ids]
    sizes = list(vocab_size) if as_list else [vocab_size]
    if len(all_ids) != len(sizes):
        raise ValueError(
            f"sp_ids and vocab_size have to have equal lengths. {len(all_ids)} != {len(sizes)}"
        )
    all_ids = [as_sparse(ids) for ids in all_ids]
    values = as_sparse(sp_values)
    with graph_of(parts_of(values)).as_default() as graph, graph.name_scope(name or "SparseMerge"):
        columns = [expand_dims(cast(ids.values, int64), 1) for ids in all_ids]
        limits = [cast(size, int64) for size in sizes]
        places = concat([all_ids[0].indices[:, :-1], *columns], 1)
        dense_shape = concat([all_ids[0].dense_shape[:-1], stack(limits)], 0)
        result = SparseTensor(places, values.values, dense_shape)
        if already_sorted:
            return result
        ordered = sparse_reorder(result)
        return SparseTensor(ordered.indices, ordered.values, dense_shape)


@export("sparse_to_indicator", "sparse.to_indicator")
def sparse_to_indicator(sp_input: Any, vocab_size: Any, name: str | None = None) -> Tensor:
    """A dense bool tensor that is true at the ids that each row stores.

    Args:
        sp_input: SparseTensor of int32 or int64.
        vocab_size: the size of the last dimension; every id is below it.
        name: a prefix of the names of the operations.
    """
    sparse = as_sparse(sp_input)
    graph = graph_of(parts_of(sparse))
    with graph.as_default(), graph.name_scope(name or "SparseToIndicator") as scope:
        count = shape_of(sparse.indices)[0]
        marks = sparse.with_values(fill(expand_dims(count, 0), True))
        merged = sparse_merge(sparse, marks, vocab_size, scope)
        return sparse_tensor_to_dense(merged, False, False, scope)


@export("sparse.placeholder", "sparse_placeholder")
def sparse_placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> SparseTensor:
    """A SparseTensor that is fed: running what needs it without feeding it is an error.

    Args:
        dtype: the dtype of the values that are fed.
        shape: the shape of the dense tensor, None or -1 for a size that is not known; None for any
            shape. The shape is what `dense_shape` is while it is not fed; it may be a Tensor.
        name: a prefix for the names of the operations.
    """

    def part(suffix: str) -> str | None:
        return None if name is None else f"{name}/{suffix}"

    rank, static = None, TensorShape(None)
    if shape is None:
        dense_shape = placeholder(int64, [None], part("shape"))
    else:
        if isinstance(shape, Tensor):
            default, static = shape, told_shape(shape)
        else:
            static = TensorShape([None if size == -1 else size for size in shape])
            sizes = [-1 if size is None else size for size in static.as_list()]
            default = convert_to_tensor(sizes, int64, part("shape_default"))
        rank = default.shape[0]
        dense_shape = placeholder_with_default(default, default.shape, part("shape"))
    values = placeholder(dtype, [None], part("values"))
    indices = placeholder(int64, [None, rank], part("indices"))
    sparse = SparseTensor(indices, values, dense_shape)
    sparse.set_shape(static)
    return sparse
