"""Sums over the rows of a tensor that belong together."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor


def _segment_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[1]._shape, 1)
    data = with_rank_at_least(op.inputs[0]._shape, 1)
    return [None if data is None else (None, *data[1:])]


define_op(
    "SegmentSum",
    inputs=["data: T", "segment_ids: Tindices"],
    outputs=["output: T"],
    attrs=["T: numbertype", "Tindices: {int32, int64}"],
    shape=_segment_shape,
)


def unsorted_segment_shape(op: Operation) -> list[Shape]:
    """Segments, then what is left of the first input's shape; the third input is their number."""
    data, ids = op.inputs[0]._shape, op.inputs[1]._shape
    with_rank(op.inputs[2]._shape, 0)
    if data is None or ids is None:
        return [None]
    with_rank_at_least(data, len(ids))
    for a, b in zip(data, ids, strict=False):
        merge_dims(a, b)
    num = constant_value(op.inputs[2])
    return [(None if num is None else int(num), *data[len(ids) :])]


define_op(
    "UnsortedSegmentSum",
    inputs=["data: T", "segment_ids: Tindices", "num_segments: Tnumsegments"],
    outputs=["output: T"],
    attrs=[
        "T: numbertype",
        "Tindices: {int16, int32, int64}",
        "Tnumsegments: {int32, int64} = DT_INT32",
    ],
    shape=unsorted_segment_shape,
)


@export("segment_sum", "math.segment_sum")
def segment_sum(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """The sum of the rows of each segment; `segment_ids` has one id for each row, in order."""
    result: Tensor = create_op("SegmentSum", [data, segment_ids], name=name)
    return result


@export("unsorted_segment_sum", "math.unsorted_segment_sum")
def unsorted_segment_sum(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """The sum of the slices of each of `num_segments` segments.

    Args:
        data: tensor whose shape begins with that of `segment_ids`.
        segment_ids: integer tensor, the segment of each slice; a negative one is left out.
        num_segments: scalar.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time on the CPU, when an id is not below `num_segments`.
    """
    inputs = [data, segment_ids, num_segments]
    result: Tensor = create_op("UnsortedSegmentSum", inputs, name=name)
    return result
