"""Gradients of rankings: back to the places that the elements came from."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int32
from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.operation import Operation
from tfsession.ops.cast import cast
from tfsession.ops.join import concat
from tfsession.ops.reduce import reduce_prod
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import reshape, shape

no_gradient("InTopK", "InTopKV2")


@gradient("TopK", "TopKV2")
def _top_k(op: Operation, grad: Any, _: Any) -> Any:
    dims = shape(op.inputs[0])
    rows, width = reduce_prod(dims[:-1]), dims[-1]
    starts = reshape(range_(rows) * width, concat([dims[:-1], [1]], 0))
    places = reshape(cast(op.outputs[1], int32) + starts, [-1])
    flat = unsorted_segment_sum(reshape(grad, [-1]), places, rows * width)
    return reshape(flat, dims), *(None for _ in op.inputs[1:])
