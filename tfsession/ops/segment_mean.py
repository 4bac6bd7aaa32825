"""Means of slices by segment, in any order."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import ones
from tfsession.ops.elementwise import maximum
from tfsession.ops.join import concat
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.shape import rank, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import sqrt


def _counts(data: Tensor, segment_ids: Tensor, num_segments: Any) -> Tensor:
    """How many slices each segment has, one at least, in the shape of the sums."""
    total = convert_to_tensor(num_segments)
    each = ones(shape_of(segment_ids), dtype=data.dtype)
    counts = unsorted_segment_sum(each, segment_ids, total)
    behind = ones([rank(data) - rank(segment_ids)], dtype=total.dtype)
    return maximum(reshape(counts, concat([total[None], behind], axis=0)), 1)


@export("unsorted_segment_mean", "math.unsorted_segment_mean")
def unsorted_segment_mean(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """The mean of the slices of each of `num_segments` segments, zeros where there are none.

    Args:
        data: tensor of floats whose shape begins with that of `segment_ids`.
        segment_ids: integer tensor, the segment of each slice; a negative one is left out.
        num_segments: scalar.
        name: name scope of the operations.
    """
    graph = graph_of([data, segment_ids, num_segments])
    with graph.as_default(), graph.name_scope(name or "UnsortedSegmentMean"):
        data, segment_ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
        counts = _counts(data, segment_ids, num_segments)
        return unsorted_segment_sum(data, segment_ids, num_segments) / counts


@export("unsorted_segment_sqrt_n", "math.unsorted_segment_sqrt_n")
def unsorted_segment_sqrt_n(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """As `unsorted_segment_mean`, divided by the square root of the number of slices."""
    graph = graph_of([data, segment_ids, num_segments])
    with graph.as_default(), graph.name_scope(name or "UnsortedSegmentSqrtN"):
        data, segment_ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
        counts = _counts(data, segment_ids, num_segments)
        return unsorted_segment_sum(data, segment_ids, num_segments) / sqrt(counts)
