"""Gradients of activations, softmax, biases and norms of single tensors."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import where
from tfsession.ops.constant import zeros_like
from tfsession.ops.join import concat
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import broadcast_to, reshape, shape
from tfsession.ops.unary import exp, negative, sigmoid, sign

# --- activations ----------------------------------------------------------------------------------


@gradient("Relu")
def _relu(op: Operation, grad: Any) -> Any:
    return create_op("ReluGrad", (grad, op.outputs[0]))


@gradient("ReluGrad", "Relu6Grad")
def _relu_grad(op: Operation, grad: Any) -> Any:
    features = op.inputs[1]
    return create_op(op.type, (grad, features)), zeros_like(features)


@gradient("Relu6")
def _relu6(op: Operation, grad: Any) -> Any:
    return create_op("Relu6Grad", (grad, op.outputs[0]))


@gradient("LeakyRelu")
def _leaky_relu(op: Operation, grad: Any) -> Any:
    return create_op("LeakyReluGrad", (grad, op.inputs[0]), {"alpha": op.attrs["alpha"]})


@gradient("LeakyReluGrad")
def _leaky_relu_grad(op: Operation, grad: Any) -> Any:
    features = op.inputs[1]
    attrs = {"alpha": op.attrs["alpha"]}
    return create_op("LeakyReluGrad", (grad, features), attrs), zeros_like(features)


@gradient("Elu")
def _elu(op: Operation, grad: Any) -> Any:
    return create_op("EluGrad", (grad, op.outputs[0]))


@gradient("Selu")
def _selu(op: Operation, grad: Any) -> Any:
    return create_op("SeluGrad", (grad, op.outputs[0]))


@gradient("EluGrad", "SeluGrad")
def _elu_grad(op: Operation, grad: Any) -> Any:
    gradients, outputs = op.inputs
    bent = where(outputs < 0.0, grad * gradients, zeros_like(outputs))
    return create_op(op.type, (grad, outputs)), bent


@gradient("Softplus")
def _softplus(op: Operation, grad: Any) -> Any:
    return create_op("SoftplusGrad", (grad, op.inputs[0]))


@gradient("SoftplusGrad")
def _softplus_grad(op: Operation, grad: Any) -> Any:
    gradients, features = op.inputs
    curvature = exp(negative(features)) + 2.0 + exp(features)
    return create_op("SoftplusGrad", (grad, features)), grad * gradients / curvature


@gradient("Softsign")
def _softsign(op: Operation, grad: Any) -> Any:
    return create_op("SoftsignGrad", (grad, op.inputs[0]))


@gradient("SoftsignGrad")
def _softsign_grad(op: Operation, grad: Any) -> Any:
    features = op.inputs[1]
    bent = -2.0 * grad * op.outputs[0] * sign(features) / (1.0 + abs(features))
    return create_op("SoftsignGrad", (grad, features)), bent


@gradient("Swish")
def _swish(op: Operation, *grads: Any) -> Any:
    """Of the IdentityN of value, features and beta that closes `tf.nn.swish`."""
    grad = grads[0]
    _, features, beta = op.inputs
    slope = sigmoid(beta * features)
    bend = slope * (1.0 - slope)
    of_features = grad * (slope + beta * features * bend)
    axes, _ = create_op("BroadcastGradientArgs", [shape(beta), shape(features)])
    of_beta = reduce_sum(grad * features * features * bend, axes)
    return None, of_features, reshape(of_beta, shape(beta))


# --- softmax --------------------------------------------------------------------------------------


@gradient("Softmax")
def _softmax(op: Operation, grad: Any) -> Any:
    probabilities = op.outputs[0]
    return (grad - reduce_sum(grad * probabilities, -1, keepdims=True)) * probabilities


@gradient("LogSoftmax")
def _log_softmax(op: Operation, grad: Any) -> Any:
    return grad - reduce_sum(grad, -1, keepdims=True) * exp(op.outputs[0])


# --- biases ---------------------------------------------------------------------------------------


@gradient("BiasAdd")
def _bias_add(op: Operation, grad: Any) -> Any:
    return grad, create_op("BiasAddGrad", (grad,), {"data_format": op.attrs["data_format"]})


@gradient("BiasAddV1")
def _bias_add_v1(op: Operation, grad: Any) -> Any:
    return grad, create_op("BiasAddGrad", (grad,))


@gradient("BiasAddGrad")
def _bias_add_grad(op: Operation, grad: Any) -> Any:
    value = op.inputs[0]
    if op.attrs["data_format"] == b"NCHW":
        grad = _along_second(grad, value)
    return broadcast_to(grad, shape(value))


def _along_second(vector: Tensor, value: Tensor) -> Tensor:
    """The vector with as many dimensions of size one behind it as `value` has after the second."""
    ones = create_op("OnesLike", (shape(value)[2:],))
    return reshape(vector, concat([[-1], ones], 0))


# --- norms ----------------------------------------------------------------------------------------


@gradient("L2Loss")
def _l2_loss(op: Operation, grad: Any) -> Any:
    return op.inputs[0] * grad
