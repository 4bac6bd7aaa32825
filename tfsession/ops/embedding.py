"""Looking up rows of tables that may lie in several tensors."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.shape import Shape, TensorShape
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.graph import Graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.clip import clip_by_norm
from tfsession.ops.compare import where
from tfsession.ops.constant import constant, identity
from tfsession.ops.elementwise import maximum
from tfsession.ops.gather import gather
from tfsession.ops.join import concat, stack
from tfsession.ops.partition import dynamic_partition, parallel_dynamic_stitch
from tfsession.ops.partitioned_variable import PartitionedVariable
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.shape import size as size_of

_LISTS = (list, tuple, PartitionedVariable)


@export("nn.embedding_lookup")
def embedding_lookup(
    params: Any,
    ids: Any,
    partition_strategy: str = "mod",
    name: str | None = None,
    validate_indices: bool = True,
    max_norm: Any = None,
) -> Tensor:
    """The rows of `params` that `ids` name.

    Args:
        params: tensor, or a list of tensors over which the rows are spread.
        ids: integer tensor of any shape.
        partition_strategy: "mod" deals the rows out in turn; "div" gives each tensor a run of rows.
        name: name of the operations' scope.
        validate_indices: not used.
        max_norm: scale rows down to this L2 norm; None leaves them.

    Returns:
        A tensor of the shape of `ids` followed by that of a row.

    Raises:
        ValueError: there are no params, or `partition_strategy` is neither.
    """
    if params is None:
        raise ValueError("params must be specified")
    tables = list(params) if isinstance(params, _LISTS) else [params]
    if not tables:
        raise ValueError("Length of params is currently 0. Need at least one param.")
    graph = graph_of((tables, ids))
    with graph.as_default(), graph.name_scope(name or "embedding_lookup") as scope:
        if not any(_reads_rows(table) for table in tables):
            tables = [convert_to_tensor(t, name=f"params_{i}") for i, t in enumerate(tables)]
        ids = convert_to_tensor(ids, name="ids")
        if len(tables) == 1:
            with graph.colocate_with(tables[0].op):
                rows = _clipped(gather(tables[0], ids, name=scope), ids, max_norm)
            return identity(rows)
        return _clipped(_from_parts(graph, tables, ids, partition_strategy, scope), ids, max_norm)


def _reads_rows(table: Any) -> bool:
    """Whether it is a resource variable, of which rows can be read alone."""
    return not isinstance(table, Tensor) and hasattr(table, "sparse_read")


def _from_parts(graph: Graph, tables: list[Any], ids: Tensor, strategy: str, scope: str) -> Tensor:
    """Ask each table for its rows, and put them back in the order of `ids`."""
    flat = reshape(ids, [-1])
    places = range_(size_of(flat))
    owners, local = _dealt(graph, tables, flat, strategy)
    owners = cast(owners, dtypes.int32)
    local_ids = dynamic_partition(local, owners, len(tables))
    parts = dynamic_partition(places, owners, len(tables))
    rows = []
    for table, wanted in zip(tables, local_ids, strict=True):
        with graph.colocate_with(table.op):
            rows.append(gather(table, wanted))
    stitched = parallel_dynamic_stitch(parts, rows, scope)
    static: Shape = None
    for table in tables:
        shape = _static_shape(table)
        static = shape_lib.merge(static, None if shape is None else shape[1:])
    if static is not None and None not in static:
        row_shape: Any = TensorShape(static)
    else:
        with graph.colocate_with(tables[0].op):
            whole = shape_of(tables[0])
        row_shape = whole[1:]
    result = reshape(stitched, concat([shape_of(ids), row_shape], 0))
    if ids._shape is not None and static is not None:
        result._shape = shape_lib.merge(result._shape, (*ids._shape, *static))
    return result


def _static_shape(table: Any) -> Shape:
    return shape_lib.to_shape(table.shape)


def _dealt(graph: Graph, tables: list[Any], flat: Tensor, strategy: str) -> tuple[Tensor, Tensor]:
    """For each id, the number of its table and its row there."""
    parts = len(tables)
    if strategy == "mod":
        return flat % parts, flat // parts
    if strategy != "div":
        # The missing space is TensorFlow's.
        raise ValueError(
            f"Unrecognized partition strategy: {strategy}.Must be one of either `mod` or `div`."
        )
    total = _row_count(graph, tables, flat)
    # The first tables have a row more than the others.
    least, longer = total // parts, total % parts
    owners = maximum(flat // (least + 1), (flat - longer) // least)
    local = where(owners < longer, flat % (least + 1), (flat - longer) % least)
    return owners, local


def _row_count(graph: Graph, tables: list[Any], flat: Tensor) -> Tensor:
    shapes = [_static_shape(table) for table in tables]
    counts: list[Any] = [None if shape is None else shape[0] for shape in shapes]
    if None not in counts:
        return constant(sum(counts), flat.dtype)
    for index, table in enumerate(tables):
        if counts[index] is None:
            with graph.colocate_with(table.op):
                counts[index] = shape_of(table)[0]
    return cast(reduce_sum(stack(counts)), flat.dtype)


def _clipped(rows: Tensor, ids: Tensor, max_norm: Any) -> Tensor:
    if max_norm is None:
        return rows
    first, after = _known_rank(ids), _known_rank(rows)
    if isinstance(first, int) and isinstance(after, int):
        axes: Any = list(range(first, after))
    else:
        axes = range_(first, after)
    clipped: Tensor = clip_by_norm(rows, max_norm, axes)
    return clipped


def _known_rank(x: Tensor) -> Any:
    # Without a dimension it is asked for in the graph, as TensorFlow does.
    return len(x._shape) if x._shape else rank(x)
