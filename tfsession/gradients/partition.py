"""Gradients of partitions are stitches, and of stitches gathers."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.operation import Operation
from tfsession.ops.gather import gather
from tfsession.ops.partition import dynamic_partition, parallel_dynamic_stitch
from tfsession.ops.shape import reshape, shape, size


@gradient("DynamicPartition")
def _dynamic_partition(op: Operation, *grads: Any) -> Any:
    data, partitions = op.inputs
    places = reshape(create_op("Range", [0, size(partitions), 1]), shape(partitions))
    divided = dynamic_partition(places, partitions, op.attrs["num_partitions"])
    whole = parallel_dynamic_stitch(divided, list(grads))
    return reshape(whole, shape(data)), None


@gradient("DynamicStitch", "ParallelDynamicStitch")
def _dynamic_stitch(op: Operation, grad: Any) -> Any:
    count = op.attrs["N"]
    dense = convert_to_tensor(grad)
    parts = [gather(dense, positions) for positions in op.inputs[:count]]
    return [None] * count + parts
