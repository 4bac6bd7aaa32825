"""Looking up rows for sparse ids, and combining those of each example."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import greater, greater_equal, logical_and, where
from tfsession.ops.constant import ones, ones_like, zeros_like
from tfsession.ops.elementwise import div_no_nan
from tfsession.ops.elementwise import pow as pow_
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.gather import gather
from tfsession.ops.join import concat, stack
from tfsession.ops.pad import tile
from tfsession.ops.partitioned_variable import PartitionedVariable
from tfsession.ops.reduce import reduce_prod
from tfsession.ops.segment import segment_sum
from tfsession.ops.shape import expand_dims, rank, reshape, size
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.slice import slice_
from tfsession.ops.sparse_segment import (
    sparse_segment_mean,
    sparse_segment_sqrt_n,
    sparse_segment_sum,
)
from tfsession.ops.sparse_shape import sparse_fill_empty_rows, sparse_reshape, sparse_retain
from tfsession.ops.unary import sqrt
from tfsession.ops.unique import unique

_COMBINERS = {
    "mean": sparse_segment_mean,
    "sqrtn": sparse_segment_sqrt_n,
    "sum": sparse_segment_sum,
}


@export("nn.embedding_lookup_sparse")
def embedding_lookup_sparse(
    params: Any,
    sp_ids: SparseTensor,
    sp_weights: SparseTensor | None,
    partition_strategy: str = "mod",
    name: str | None = None,
    combiner: str | None = None,
    max_norm: Any = None,
    allow_fast_lookup: bool = False,
) -> Tensor:
    """The rows that the ids of each example name, combined to one.

    Args:
        params: tensor, or a list of tensors over which the rows are spread.
        sp_ids: int32 or int64 SparseTensor of shape `[examples, ids]`, with an id at least in each
            row; examples behind the last id get no result.
        sp_weights: SparseTensor of floats in the same places; None weighs all the same.
        partition_strategy: "mod" or "div", see `embedding_lookup`.
        name: name of the operations' scope.
        combiner: "sum"; "mean", divided by the sum of weights, when None; "sqrtn", divided by the
            root of the sum of their squares.
        max_norm: scale rows down to this L2 norm; None leaves them.
        allow_fast_lookup: read rows of a single table by their ids without looking for repeated
            ones; the gradient is a dense one.

    Raises:
        TypeError: ids or weights are no SparseTensor.
        ValueError: another combiner; weights whose static shape differs from that of the ids.
    """
    combiner = "mean" if combiner is None else combiner
    if combiner not in _COMBINERS:
        raise ValueError(f"combiner must be one of 'mean', 'sqrtn' or 'sum', got {combiner}")
    tables = list(params) if isinstance(params, list | PartitionedVariable) else [params]
    if not isinstance(sp_ids, SparseTensor):
        raise TypeError(f"sp_ids must be SparseTensor, got {type(sp_ids)}")
    if sp_weights is not None:
        if not isinstance(sp_weights, SparseTensor):
            raise TypeError(
                f"sp_weights must be either None or SparseTensor,got {type(sp_weights)}"
            )
        for part in ("values", "indices", "dense_shape"):
            getattr(sp_ids, part).shape.assert_is_compatible_with(getattr(sp_weights, part).shape)
    graph = graph_of([*tables, sp_ids.values])
    with graph.as_default(), graph.name_scope(name or "embedding_lookup_sparse") as scope:
        segments, ids = sp_ids.indices[:, 0], sp_ids.values
        table, is_single = tables[0], len(tables) == 1
        if is_single and not hasattr(table, "sparse_read"):
            table = convert_to_tensor(table, name="params")
        is_near = is_single and isinstance(table, Tensor) and table.device == segments.device
        if is_near and max_norm is None and (allow_fast_lookup or sp_weights is None):
            rows, chosen, is_sparse = table, ids, not allow_fast_lookup
        else:
            kept, chosen = unique(ids)
            rows, is_sparse = _rows(tables, table, kept, partition_strategy, max_norm), False
        if sp_weights is not None:
            narrowed = segments if segments.dtype == dtypes.int32 else cast(segments, dtypes.int32)
            return _weighted(gather(rows, chosen), sp_weights, narrowed, combiner, scope)
        combine = _COMBINERS[combiner]
        result: Tensor = combine(rows, chosen, segments, scope, sparse_gradient=is_sparse)
        return result


def _rows(tables: list[Any], table: Any, ids: Tensor, strategy: str, max_norm: Any) -> Tensor:
    lone = [table] if len(tables) == 1 else tables
    return embedding_lookup(lone, ids, partition_strategy=strategy, max_norm=max_norm)


def _weighted(
    rows: Tensor, sparse: SparseTensor, segments: Tensor, combiner: str, scope: str
) -> Tensor:
    """Sums of rows times their weights, and what these are divided by."""
    weights, narrow = sparse.values, rows.dtype
    if rows.dtype in (dtypes.float16, dtypes.bfloat16):
        rows = cast(rows, dtypes.float32)
    if weights.dtype != rows.dtype:
        weights = cast(weights, rows.dtype)
    tail = expand_dims(rank(rows) - 1, 0)
    sizes = shape_of(weights)
    column = reshape(weights, concat([sizes, ones(tail, dtype=sizes.dtype)], 0))
    if rows._shape is not None and weights._shape is not None:
        column._shape = shape_lib.merge(
            column._shape, (*weights._shape, *[1] * (len(rows._shape) - 1))
        )
    rows = rows * column
    if combiner == "sum":
        result = segment_sum(rows, segments, name=scope)
    else:
        total = segment_sum(rows, segments)
        divisor = segment_sum(column if combiner == "mean" else pow_(column, 2), segments)
        result = div_no_nan(total, divisor if combiner == "mean" else sqrt(divisor), name=scope)
    return result if result.dtype == narrow else cast(result, narrow)


@export("nn.safe_embedding_lookup_sparse", "contrib.layers.safe_embedding_lookup_sparse")
def safe_embedding_lookup_sparse(
    embedding_weights: Any,
    sparse_ids: SparseTensor,
    sparse_weights: SparseTensor | None = None,
    combiner: str = "mean",
    default_id: int | None = None,
    name: str | None = None,
    partition_strategy: str = "div",
    max_norm: Any = None,
    allow_fast_lookup: bool = False,
) -> Tensor:
    """Rows combined as by `embedding_lookup_sparse`; examples may lack ids, or have wrong ones.

    Negative ids are left out, and so are weights that are not positive unless `combiner` is "sum".

    Args:
        embedding_weights: tensor, or a list of tensors over which the rows are spread.
        sparse_ids: SparseTensor of rank 2 or more; the ids along its last dimension are combined.
        sparse_weights: SparseTensor of floats in the same places; None weighs all the same.
        combiner: "mean", "sqrtn" or "sum".
        default_id: the id of examples without one; None gives them zeros.
        name: name of the operations' scope.
        partition_strategy: "mod" or "div", see `embedding_lookup`.
        max_norm: scale rows down to this L2 norm; None leaves them.
        allow_fast_lookup: see `embedding_lookup_sparse`.

    Raises:
        ValueError: there are no tables.
    """
    is_list = isinstance(embedding_weights, list | PartitionedVariable)
    tables = list(embedding_weights) if is_list else [embedding_weights]
    if not tables or embedding_weights is None:
        raise ValueError(f"Missing embedding_weights {embedding_weights}.")
    dtype = None if sparse_weights is None else sparse_weights.dtype
    graph = graph_of([*tables, sparse_ids.values])
    with graph.as_default():
        tables = [_table(table, dtype) for table in tables]
    with graph.as_default(), graph.name_scope(name or "embedding_lookup") as scope:
        sizes = sparse_ids.dense_shape
        known = None if sizes._shape is None else sizes._shape[0]
        number = size(sizes) if known is None else known
        ids = sparse_reshape(
            sparse_ids,
            [reduce_prod(slice_(sizes, [0], [number - 1])), gather(sizes, number - 1)],
        )
        weights = sparse_weights
        if weights is not None:
            weights = SparseTensor(ids.indices, weights.values, ids.dense_shape)
        ids, weights = _pruned(ids, weights, combiner)
        ids, is_empty = sparse_fill_empty_rows(ids, default_id or 0)
        if weights is not None:
            weights, _ = sparse_fill_empty_rows(weights, 1.0)
        result = embedding_lookup_sparse(
            tables, ids, weights, partition_strategy, None if default_id is None else scope,
            combiner, max_norm, allow_fast_lookup,
        )  # fmt: skip
        if default_id is None:
            column = reshape(is_empty, [-1, 1])
            mask = tile(column, stack([1, shape_of(result)[1]]))
            result = where(mask, zeros_like(result), result, name=scope)
        outer = slice_(cast(sizes, dtypes.int32), [0], [number - 1])
        whole = reshape(result, concat([outer, slice_(shape_of(result), [1], [-1])], 0))
        if known is not None and result._shape is not None:
            static = (*[None] * (known - 1), *result._shape[1:])
            whole._shape = shape_lib.merge(whole._shape, static)
        return whole


def _table(table: Any, dtype: Any) -> Any:
    is_read_by_row = hasattr(table, "sparse_read") and not isinstance(table, Tensor)
    if is_read_by_row and (dtype is None or table.dtype == dtype):
        return table
    return convert_to_tensor(table, dtype)


def _pruned(
    ids: SparseTensor, weights: SparseTensor | None, combiner: str
) -> tuple[SparseTensor, SparseTensor | None]:
    """Without negative ids, and without weights that are not positive where these divide."""
    is_valid = greater_equal(ids.values, 0)
    if weights is None:
        return sparse_retain(ids, is_valid), None
    is_valid = logical_and(is_valid, ones_like(weights.values, dtype=dtypes.bool_))
    ids, weights = sparse_retain(ids, is_valid), sparse_retain(weights, is_valid)
    if combiner == "sum":
        return ids, weights
    is_valid = greater(weights.values, 0)
    return sparse_retain(ids, is_valid), sparse_retain(weights, is_valid)
