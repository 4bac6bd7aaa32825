"""Sums over the rows of a tensor that belong together."""

from __future__ import annotations

from collections.abc import Callable
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


_REAL = "T: realnumbertype"
for _kind, _types in (
    ("Max", _REAL),
    ("Min", _REAL),
    ("Prod", "T: numbertype"),
    ("Mean", "T: numbertype"),
):
    define_op(
        f"Segment{_kind}",
        inputs=["data: T", "segment_ids: Tindices"],
        outputs=["output: T"],
        attrs=[_types, "Tindices: {int32, int64}"],
        shape=_segment_shape,
    )
    if _kind != "Mean":
        define_op(
            f"UnsortedSegment{_kind}",
            inputs=["data: T", "segment_ids: Tindices", "num_segments: Tnumsegments"],
            outputs=["output: T"],
            attrs=[
                _types,
                "Tindices: {int32, int64}",
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


def _sorted_builder(kind: str, what: str, absent: str) -> Callable[..., Tensor]:
    label = f"segment_{kind.lower()}"

    @export(label, f"math.{label}")
    def reduce(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
        result: Tensor = create_op(f"Segment{kind}", [data, segment_ids], name=name)
        return result

    reduce.__name__ = reduce.__qualname__ = label
    reduce.__doc__ = f"""{what} of the rows of each segment.

    Args:
        data: tensor of rank 1 at least.
        segment_ids: integer vector, the segment of each row, in ascending order; a segment without
            rows gets {absent}.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time, where ids are negative or not ascending.
    """
    return reduce


def _unsorted_builder(kind: str, what: str, absent: str) -> Callable[..., Tensor]:
    label = f"unsorted_segment_{kind.lower()}"

    @export(label, f"math.{label}")
    def reduce(data: Any, segment_ids: Any, num_segments: Any, name: str | None = None) -> Tensor:
        inputs = [data, segment_ids, num_segments]
        result: Tensor = create_op(f"UnsortedSegment{kind}", inputs, name=name)
        return result

    reduce.__name__ = reduce.__qualname__ = label
    reduce.__doc__ = f"""{what} of the slices of each of `num_segments` segments.

    Args:
        data: tensor whose shape begins with that of `segment_ids`.
        segment_ids: integer tensor, the segment of each slice; a negative one is left out.
        num_segments: scalar; a segment without slices gets {absent}.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time on the CPU, when an id is not below `num_segments`.
    """
    return reduce


segment_max = _sorted_builder("Max", "The maximum", "zeros")
segment_min = _sorted_builder("Min", "The minimum", "zeros")
segment_prod = _sorted_builder("Prod", "The product", "ones")
segment_mean = _sorted_builder("Mean", "The mean", "zeros")
unsorted_segment_max = _unsorted_builder("Max", "The maximum", "the least number of the dtype")
unsorted_segment_min = _unsorted_builder("Min", "The minimum", "the greatest number of the dtype")
unsorted_segment_prod = _unsorted_builder("Prod", "The product", "ones")
