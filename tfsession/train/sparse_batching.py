"""Sparse tensors in batches: a store keeps them, their numbers go through the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tfsession.core.dtypes import DType, int64
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant, ones, with_dependencies
from tfsession.ops.gather import gather
from tfsession.ops.layer import smart_cond
from tfsession.ops.shape import expand_dims, shape, squeeze
from tfsession.ops.sparse_shape import sparse_retain
from tfsession.ops.sparse_store import put_down, taken


class Kept(NamedTuple):
    """Where the sparse tensors of a component are kept."""

    name: str
    dtype: DType
    rank: int | None
    op: Operation


def stored(
    lists: Sequence[Sequence[Any]], by_rows: bool, keep: Tensor, scope: str
) -> tuple[list[list[Tensor]], list[Kept | None]]:
    """The lists with numbers in place of sparse tensors, and for each component where they are.

    Args:
        lists: of tensors and sparse tensors, all alike.
        by_rows: whether the rows of the tensors are the elements.
        keep: whether the elements enter: a scalar, or a value for each row.
        scope: begins the names of stores.
    """
    kept: list[Kept | None] = [None] * len(lists[0])
    found = []
    for tensors in lists:
        row = []
        for index, tensor in enumerate(tensors):
            if isinstance(tensor, SparseTensor):
                name = f"{scope}sparse_{index}"
                numbers, op = _stored(tensor, by_rows, keep, name)
                if kept[index] is None:
                    rank = tensor.dense_shape.shape[0].value
                    rank = rank if rank is None or by_rows else rank + 1
                    kept[index] = Kept(name, tensor.dtype, rank, op)
                tensor = expand_dims(numbers, -1)
            row.append(tensor)
        found.append(row)
    return found, kept


def _stored(
    sparse: SparseTensor, by_rows: bool, keep: Tensor, name: str
) -> tuple[Tensor, Operation]:
    """The numbers of a sparse tensor, or of its rows; some others for what is not kept."""
    ops: list[Operation] = []

    def put() -> Tensor:
        numbers = put_down(sparse, by_rows, name)
        ops.append(numbers.op)
        return numbers

    if keep.shape.rank == 1:
        sparse = sparse_retain(sparse, gather(keep, sparse.indices[:, 0]))
        return put(), ops[0]

    def none() -> Tensor:
        if not by_rows:
            return constant(-1, int64)  # type: ignore[no-any-return]
        return -1 * ones(shape(sparse)[0:1], int64)  # type: ignore[no-any-return]

    numbers = smart_cond(keep, put, none)
    if by_rows:
        numbers.set_shape([None])
    return numbers, ops[0]


def restored(batch: Sequence[Tensor], kept: Sequence[Kept | None]) -> list[Any]:
    """The components of a batch, sparse tensors in place of their numbers.

    Whichever of them a step reads, it takes all out of their stores.
    """
    graph = get_default_graph()
    found: list[Any] = []
    for tensor, place in zip(batch, kept, strict=True):
        if place is None:
            found.append(tensor)
            continue
        numbers = squeeze(tensor, [1])
        with graph.colocate_with(place.op):
            found.append(taken(numbers, place.dtype, place.rank, place.name))
    ops = list(dict.fromkeys(value.op for value in found))

    def together(tensor: Tensor) -> Tensor:
        return with_dependencies([op for op in ops if op is not tensor.op], tensor)  # type: ignore[no-any-return]

    whole = [
        SparseTensor(together(v.indices), together(v.values), together(v.dense_shape))
        if isinstance(v, SparseTensor)
        else together(v)
        for v in found
    ]
    # A single one is whole as it is; TensorFlow's graph has the identities nevertheless.
    return whole if len(whole) > 1 else found
