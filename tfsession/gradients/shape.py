"""Gradients of shape changes."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.core.shape import is_fully_defined
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import reshape, shape

no_gradient(
    "Shape", "ShapeN", "Size", "Rank", "BroadcastArgs", "BroadcastGradientArgs", "InvertPermutation"
)  # fmt: skip


def _as_input(op: Operation, grad: Tensor) -> Tensor:
    """`grad` in the shape of the input."""
    return reshape(grad, shape(op.inputs[0]))


@gradient("Reshape", "ExpandDims")
def _reshape(op: Operation, grad: Any) -> Any:
    return _as_input(op, grad), None


@gradient("Squeeze")
def _squeeze(op: Operation, grad: Any) -> Any:
    return _as_input(op, grad)


@gradient("BroadcastTo")
def _broadcast_to(op: Operation, grad: Any) -> Any:
    value, output = op.inputs[0], op.outputs[0]
    if is_fully_defined(value._shape) and value._shape == output._shape:
        return grad, None
    axes, _ = create_op("BroadcastGradientArgs", [shape(value), shape(output)])
    return _as_input(op, create_op("Sum", [grad, axes], {"keep_dims": True})), None


@gradient("EnsureShape")
def _ensure_shape(op: Operation, grad: Any) -> Any:
    return grad


@gradient("Bitcast")
def _bitcast(op: Operation, grad: Any) -> Any:
    raise LookupError(f"No gradient defined for operation '{op.name}' (op type: Bitcast).")
