"""A gradient to a rectangular tensor goes where its elements came from: values or the default."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import reshape, shape, size


@gradient("RaggedTensorToTensor")
def _ragged_tensor_to_tensor(op: Operation, grad: Any) -> Any:
    values, default, *partitions = op.inputs[1:]
    kinds = op.attrs["row_partition_types"]
    ragged = len(kinds) - (b"FIRST_DIM_SIZE" in kinds) + 1
    count, sizes = shape(values)[0], shape(grad)
    # The number of the value that stands at each place, and one behind the last for the default.
    numbers = create_op(
        "RaggedTensorToTensor",
        [sizes[:ragged], range_(count), count, partitions],
        {"row_partition_types": kinds},
    )
    each = create_op("ConcatV2", [[[size(numbers)], sizes[ragged:]], 0])
    sums = unsorted_segment_sum(reshape(grad, each), reshape(numbers, [-1]), count + 1)
    to_default = sums[count]
    # A default that stands for each of several numbers gets the sum.
    missing = create_op("Range", [0, _rank(to_default) - _rank(default), 1])
    return (
        None,
        sums[:count],
        reshape(reduce_sum(to_default, missing), shape(default)),
        *[None] * len(partitions),
    )


def _rank(tensor: Any) -> Any:
    return size(shape(tensor))
