"""Gradients of segment sums: each row gets the gradient of its segment."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, logical_and, where_v2
from tfsession.ops.constant import ones_like, zeros_like
from tfsession.ops.gather import gather
from tfsession.ops.segment import segment_sum, unsorted_segment_sum
from tfsession.ops.shape import rank, reshape, shape


@gradient("SegmentSum")
def _segment_sum(op: Operation, grad: Any) -> Any:
    return gather(grad, op.inputs[1]), None


@gradient("SegmentMean")
def _segment_mean(op: Operation, grad: Any) -> Any:
    data, ids = op.inputs
    behind = create_op("Fill", [create_op("ExpandDims", [rank(data) - 1, 0]), 1])
    sizes = create_op("ConcatV2", [[shape(ids), behind], 0])
    counts = segment_sum(
        create_op("Fill", [sizes, create_op("Cast", [1], {"DstT": grad.dtype})]), ids
    )
    return gather(grad / counts, ids), None


def _extreme(op: Operation, grad: Any) -> Any:
    """Elements that are a segment's extreme share its gradient."""
    data, ids = op.inputs
    chosen = equal(data, gather(op.outputs[0], ids))
    shares = grad / segment_sum(cast(chosen, grad.dtype), ids)
    return where_v2(chosen, gather(shares, ids), zeros_like(data)), None


gradient("SegmentMax")(_extreme)
gradient("SegmentMin")(_extreme)


def _unsorted_extreme(op: Operation, grad: Any) -> Any:
    data, ids, count = op.inputs
    found, is_kept = _rows(op.outputs[0], ids)
    chosen = logical_and(equal(data, found), is_kept)
    shares = grad / unsorted_segment_sum(cast(chosen, grad.dtype), ids, count)
    rows, _ = _rows(shares, ids)
    return where_v2(chosen, rows, zeros_like(rows)), None, None


gradient("UnsortedSegmentMax")(_unsorted_extreme)
gradient("UnsortedSegmentMin")(_unsorted_extreme)


def _of_others(data: Any, total: Any, reduce: Any, gathered: Any) -> Any:
    """For each element the product of the segment's other ones; `total` counts zeros."""
    is_zero = equal(data, zeros_like(data))
    rest = where_v2(is_zero, ones_like(data), data)
    without = gathered(reduce(rest)) / rest
    zeros = gathered(total(cast(is_zero, data.dtype)))
    others = zeros - cast(is_zero, data.dtype)
    return where_v2(equal(others, zeros_like(others)), without, zeros_like(data))


@gradient("SegmentProd")
def _segment_prod(op: Operation, grad: Any) -> Any:
    data, ids = op.inputs
    others = _of_others(
        data,
        lambda x: segment_sum(x, ids),
        lambda x: create_op("SegmentProd", [x, ids]),
        lambda x: gather(x, ids),
    )
    return gather(grad, ids) * others, None


@gradient("UnsortedSegmentProd")
def _unsorted_segment_prod(op: Operation, grad: Any) -> Any:
    data, ids, count = op.inputs
    others = _of_others(
        data,
        lambda x: unsorted_segment_sum(x, ids, count),
        lambda x: create_op("UnsortedSegmentProd", [x, ids, count]),
        lambda x: _rows(x, ids)[0],
    )
    # Where an id is left out the product is zero over something: no number to rely on.
    rows, is_kept = _rows(grad, ids)
    return where_v2(is_kept, rows * others, zeros_like(data)), None, None


@gradient("UnsortedSegmentSum")
def _unsorted_segment_sum(op: Operation, grad: Any) -> Any:
    return _rows(grad, op.inputs[1])[0], None, None


def _rows(params: Any, ids: Any) -> tuple[Any, Any]:
    """The slice of each id, zeros for negative ones; and where ids are not negative."""
    kept = create_op("GreaterEqual", [ids, zeros_like(ids)])
    rows = gather(params, create_op("Maximum", [ids, zeros_like(ids)]))
    # The mask has the rank of the ids; the rows may have more dimensions.
    missing = create_op("Sub", [rank(rows), rank(kept)])
    tail = create_op("Fill", [create_op("Pack", [[missing]]), 1])
    mask = reshape(kept, create_op("ConcatV2", [[shape(kept), tail], 0]))
    mask = create_op("LogicalAnd", [mask, ones_like(rows, dtype="bool")])
    return create_op("Select", [mask, rows, zeros_like(rows)]), mask
