"""Gradients of gathered rows, and of rows as sparse tensors: back to the flat values."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import reshape, shape

no_gradient("RaggedRange")


@gradient("RaggedGather")
def _ragged_gather(op: Operation, *grads: Any) -> Any:
    count = op.attrs["PARAMS_RAGGED_RANK"]
    splits, values, indices = list(op.inputs[:count]), op.inputs[count], op.inputs[count + 1]
    size = shape(values)[0]
    attrs = {"OUTPUT_RAGGED_RANK": op.attrs["OUTPUT_RAGGED_RANK"]}
    # Which of the values each one was.
    numbers = create_op("RaggedGather", [splits, range_(size), indices], attrs)[-1]
    return *[None] * count, unsorted_segment_sum(grads[-1], numbers, size), None


@gradient("RaggedTensorToSparse")
def _ragged_tensor_to_sparse(op: Operation, *grads: Any) -> Any:
    values = op.inputs[-1]
    back = None if grads[1] is None else reshape(grads[1], shape(values))
    return *[None] * (len(op.inputs) - 1), back
