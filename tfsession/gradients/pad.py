"""Gradients of padding and tiling."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import rank, reshape, shape
from tfsession.ops.transpose import transpose


def _inside(op: Operation, grad: Tensor) -> Tensor:
    """The part of `grad` that the input of a padding fills."""
    value, paddings = op.inputs[:2]
    column = create_op("Slice", [paddings, [0, 0], create_op("Pack", [[rank(value), 1]])])
    before = reshape(column, [-1])
    sizes = create_op("Shape", [value], {"out_type": before.dtype})
    part: Tensor = create_op("Slice", [grad, before, sizes])
    return part


@gradient("Pad")
def _pad(op: Operation, grad: Any) -> Any:
    return _inside(op, grad), None


@gradient("PadV2")
def _pad_v2(op: Operation, grad: Any) -> Any:
    return _inside(op, grad), None, None


@gradient("MirrorPad")
def _mirror_pad(op: Operation, grad: Any) -> Any:
    return create_op("MirrorPadGrad", [grad, op.inputs[1]], {"mode": op.attrs["mode"]}), None


@gradient("MirrorPadGrad")
def _mirror_pad_grad(op: Operation, grad: Any) -> Any:
    return create_op("MirrorPad", [grad, op.inputs[1]], {"mode": op.attrs["mode"]}), None


@gradient("Tile")
def _tile(op: Operation, grad: Any) -> Any:
    value, multiples = op.inputs
    sizes = create_op("Shape", [value], {"out_type": multiples.dtype})
    # Each dimension becomes (copies, size); the gradient is the sum over the copies.
    pairs = reshape(transpose(create_op("Pack", [[multiples, sizes]])), [-1])
    axes = create_op("Range", [0, create_op("Size", [pairs]), 2])
    total = create_op("Sum", [reshape(grad, pairs), axes])
    return reshape(total, shape(value)), None
