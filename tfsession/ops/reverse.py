"""Elements in reverse order or rotated along dimensions."""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least, with_rank_at_most
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import renamed


def _reverse_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[1]._shape, 1)
    shape, axes = op.inputs[0]._shape, constant_value(op.inputs[1])
    if shape is None or axes is None:
        return [shape]
    seen = set()
    for i, axis in enumerate(axes.tolist()):
        at = axis + len(shape) if axis < 0 else axis
        if not 0 <= at < len(shape):
            raise ValueError(f"'axis'[{i}] = {axis} is out of valid range [0, {len(shape) - 1}")
        if at in seen:
            raise ValueError(f"axis {at} specified more than once.")
        seen.add(at)
    return [shape]


_REVERSIBLE = (
    "T: {uint8, int8, uint16, int16, int32, uint32, int64, uint64, bool, bfloat16, half, "
    "float, double, complex64, complex128, string}"
)
define_op(
    "ReverseV2",
    inputs=["tensor: T", "axis: Tidx"],
    outputs=["output: T"],
    attrs=["Tidx: {int32, int64} = DT_INT32", _REVERSIBLE],
    shape=_reverse_shape,
)


def _flagged_reverse_shape(op: Operation) -> list[Shape]:
    shape, flags = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    if shape is not None and flags is not None:
        merge_dims(flags[0], len(shape))
    return [shape]


define_op(
    "Reverse",
    inputs=["tensor: T", "dims: bool"],
    outputs=["output: T"],
    attrs=[
        "T: {uint8, int8, uint16, int16, uint32, int32, uint64, int64, bool, bfloat16, half, "
        "float, double, complex64, complex128, string}",
    ],
    shape=_flagged_reverse_shape,
)


def _reverse_sequence_shape(op: Operation) -> list[Shape]:
    shape, lengths = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    batch, sequence = op.attrs["batch_dim"], op.attrs["seq_dim"]
    if shape is None or lengths is None:
        return [shape]
    if batch >= len(shape):
        raise ValueError(f"batch_dim must be < input rank: {batch} vs. {len(shape)}")
    if sequence >= len(shape):
        raise ValueError(f"seq_dim must be < input rank: {sequence} vs. {len(shape)}")
    size = merge_dims(shape[batch], lengths[0])
    return [(*shape[:batch], size, *shape[batch + 1 :])]


define_op(
    "ReverseSequence",
    inputs=["input: T", "seq_lengths: Tlen"],
    outputs=["output: T"],
    attrs=["seq_dim: int", "batch_dim: int = 0", "T: type", "Tlen: {int32, int64} = DT_INT64"],
    shape=_reverse_sequence_shape,
)


def _roll_shape(op: Operation) -> list[Shape]:
    shape, shift, axis = (t._shape for t in op.inputs)
    with_rank_at_least(shape, 1)
    shape_lib.merge(with_rank_at_most(shift, 1), with_rank_at_most(axis, 1))
    return [shape]


define_op(
    "Roll",
    inputs=["input: T", "shift: Tshift", "axis: Taxis"],
    outputs=["output: T"],
    attrs=["T: type", "Tshift: {int32, int64}", "Taxis: {int32, int64}"],
    shape=_roll_shape,
)


@export("reverse", "reverse_v2", "manip.reverse")
def reverse(tensor: Any, axis: Any, name: str | None = None) -> Tensor:
    """`tensor` with its elements in reverse order along each dimension of the vector `axis`."""
    result: Tensor = create_op("ReverseV2", [tensor, axis], name=name)
    return result


@export("reverse_sequence")
def reverse_sequence(
    input: Any,
    seq_lengths: Any,
    seq_axis: int | None = None,
    batch_axis: int | None = None,
    name: str | None = None,
    seq_dim: int | None = None,
    batch_dim: int | None = None,
) -> Tensor:
    """`input` with the first `seq_lengths[i]` elements of slice i in reverse order.

    Args:
        input: tensor.
        seq_lengths: integer vector, one length for each slice along `batch_axis`.
        seq_axis: the dimension that is reversed in part (`seq_dim` is an older name).
        batch_axis: the dimension of the slices, 0 by default (`batch_dim` is an older name).
        name: name of the operation.
        seq_dim: see `seq_axis`.
        batch_dim: see `batch_axis`.
    """
    attrs = {
        "seq_dim": renamed("seq_axis", seq_axis, "seq_dim", seq_dim),
        "batch_dim": renamed("batch_axis", batch_axis, "batch_dim", batch_dim) or 0,
    }
    result: Tensor = create_op("ReverseSequence", [input, seq_lengths], attrs, name)
    return result


@export("roll", "manip.roll")
def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Tensor:
    """`input` rotated by `shift` along `axis`: scalars, or vectors of the same length."""
    result: Tensor = create_op("Roll", [input, shift, axis], name=name)
    return result
