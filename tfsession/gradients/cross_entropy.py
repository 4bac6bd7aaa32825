"""Gradients of softmax cross-entropies."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.nn import log_softmax, softmax
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import expand_dims


def _is_zero(grad: Any) -> bool:
    """Whether a gradient is the zeros that stand for an output without one."""
    if grad.op.type in ("ZerosLike", "Zeros"):
        return True
    return bool(grad.op.type == "Const" and not grad.op.attrs["value"].any())


def _to_features(op: Operation, grad_loss: Tensor, grad_backprop: Tensor) -> Tensor:
    """The second output is the first one's gradient; through it flows the second derivative."""
    grad = expand_dims(grad_loss, -1) * op.outputs[1]
    if _is_zero(grad_backprop):
        return grad
    probabilities = softmax(op.inputs[0])
    mean = reduce_sum(grad_backprop * probabilities, -1, keepdims=True)
    return grad + (grad_backprop - mean) * probabilities


@gradient("SoftmaxCrossEntropyWithLogits")
def _dense(op: Operation, grad_loss: Any, grad_backprop: Any) -> Any:
    to_labels = expand_dims(grad_loss, -1) * -log_softmax(op.inputs[0])
    if not _is_zero(grad_backprop):
        to_labels = to_labels - grad_backprop
    return _to_features(op, grad_loss, grad_backprop), to_labels


@gradient("SparseSoftmaxCrossEntropyWithLogits")
def _sparse(op: Operation, grad_loss: Any, grad_backprop: Any) -> Any:
    return _to_features(op, grad_loss, grad_backprop), None
