"""Gradients of segment sums: each row gets the gradient of its segment."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.constant import ones_like, zeros_like
from tfsession.ops.gather import gather
from tfsession.ops.shape import rank, reshape, shape


@gradient("SegmentSum")
def _segment_sum(op: Operation, grad: Any) -> Any:
    return gather(grad, op.inputs[1]), None


@gradient("UnsortedSegmentSum")
def _unsorted_segment_sum(op: Operation, grad: Any) -> Any:
    ids = op.inputs[1]
    kept = create_op("GreaterEqual", [ids, zeros_like(ids)])
    rows = gather(grad, create_op("Maximum", [ids, zeros_like(ids)]))
    # The mask has the rank of the ids; the rows may have more dimensions.
    missing = create_op("Sub", [rank(rows), rank(kept)])
    tail = create_op("Fill", [create_op("Pack", [[missing]]), 1])
    mask = reshape(kept, create_op("ConcatV2", [[shape(kept), tail], 0]))
    mask = create_op("LogicalAnd", [mask, ones_like(rows, dtype="bool")])
    return create_op("Select", [mask, rows, zeros_like(rows)]), None, None
