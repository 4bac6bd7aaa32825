"""Tensors divided by, and put together from, lists of positions."""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank_at_least
from tfsession.graph.tensor import Tensor


def _tail(data: Shape, positions: Shape) -> Shape:
    """The dimensions of `data` after those of `positions`, with which it begins."""
    if data is None or positions is None:
        return None
    with_rank_at_least(data, len(positions))
    for a, b in zip(data, positions, strict=False):
        merge_dims(a, b)
    return data[len(positions) :]


def _partition_shape(op: Operation) -> list[Shape]:
    tail = _tail(op.inputs[0]._shape, op.inputs[1]._shape)
    return [None if tail is None else (None, *tail)] * op.attrs["num_partitions"]


define_op(
    "DynamicPartition",
    inputs=["data: T", "partitions: int32"],
    outputs=["outputs: num_partitions * T"],
    attrs=["num_partitions: int >= 1", "T: type"],
    shape=_partition_shape,
)


def _stitch_shape(op: Operation) -> list[Shape]:
    count = op.attrs["N"]
    tail: Shape = None
    largest: int | None = -1
    for positions, data in zip(op.inputs[:count], op.inputs[count:], strict=True):
        tail = shape_lib.merge(tail, _tail(data._shape, positions._shape))
        value = constant_value(positions)
        if value is None:
            largest = None
        elif largest is not None and value.size:
            largest = max(largest, int(value.max()))
    return [None if tail is None else (None if largest is None else largest + 1, *tail)]


for _name in ("DynamicStitch", "ParallelDynamicStitch"):
    define_op(
        _name,
        inputs=["indices: N * int32", "data: N * T"],
        outputs=["merged: T"],
        attrs=["N: int >= 1", "T: type"],
        shape=_stitch_shape,
    )


@export("dynamic_partition")
def dynamic_partition(
    data: Any, partitions: Any, num_partitions: int, name: str | None = None
) -> list[Tensor]:
    """The slices of `data` in `num_partitions` tensors, in the order in which they stand.

    Args:
        data: tensor whose shape begins with that of `partitions`.
        partitions: int32 tensor, the partition of each slice.
        num_partitions: how many there are.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time, when a partition is out of range.
    """
    attrs = {"num_partitions": num_partitions}
    return list(create_op("DynamicPartition", [data, partitions], attrs, name))


@export("dynamic_stitch")
def dynamic_stitch(indices: Any, data: Any, name: str | None = None) -> Tensor:
    """The slices of all of `data` in one tensor, at the places that `indices` say.

    Where a place is said twice, the later slice stays; where none is, there are zeros.
    """
    result: Tensor = create_op("DynamicStitch", [indices, data], name=name)
    return result


def parallel_dynamic_stitch(indices: Any, data: Any, name: str | None = None) -> Tensor:
    """As `dynamic_stitch`; the places should differ."""
    result: Tensor = create_op("ParallelDynamicStitch", [indices, data], name=name)
    return result
