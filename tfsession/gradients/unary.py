"""Gradients of element-wise operations on one tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, conj
from tfsession.ops.unary import cos, cosh, exp, negative, reciprocal, rsqrt, sign, sin, sinh, square

no_gradient("Invert", "PopulationCount", "IsNan", "IsInf", "IsFinite")


def _register(derivative: Callable[[Tensor, Tensor], Any], *op_types: str) -> None:
    """The gradient is `grad` times `derivative(x, y)`, both conjugates where they are complex."""

    @gradient(*op_types)
    def rule(op: Operation, grad: Any) -> Any:
        return grad * derivative(conj(op.inputs[0]), conj(op.outputs[0]))


_register(lambda x, y: 2 * x, "Square")
_register(lambda x, y: y, "Exp")
_register(lambda x, y: exp(x), "Expm1")
_register(lambda x, y: reciprocal(x), "Log")
_register(lambda x, y: reciprocal(1 + x), "Log1p")
_register(lambda x, y: cos(x), "Sin")
_register(lambda x, y: -sin(x), "Cos")
_register(lambda x, y: square(reciprocal(cos(x))), "Tan")
_register(lambda x, y: rsqrt(1 - square(x)), "Asin")
_register(lambda x, y: -rsqrt(1 - square(x)), "Acos")
_register(lambda x, y: reciprocal(1 + square(x)), "Atan")
_register(lambda x, y: cosh(x), "Sinh")
_register(lambda x, y: sinh(x), "Cosh")
_register(lambda x, y: reciprocal(cosh(y)), "Asinh")
_register(lambda x, y: reciprocal(sinh(y)), "Acosh")
_register(lambda x, y: reciprocal(1 - square(x)), "Atanh")
_register(lambda x, y: sign(x), "Abs")


@gradient("Neg")
def _neg(op: Operation, grad: Any) -> Any:
    return negative(grad)


@gradient("Sign")
def _sign(op: Operation, grad: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    if not x.dtype.is_complex:
        return create_op("ZerosLike", (x,))
    # Of x / |x| the derivatives by x and by its conjugate are 1 and -y * y, both over 2 * |x|.
    size = cast(2 * abs(x), x.dtype)
    return create_op("DivNoNan", (grad - square(y) * conj(grad), size))


@gradient("Floor", "Ceil", "Round", "Rint")
def _rounded(op: Operation, grad: Any) -> Any:
    return None


@gradient("CheckNumerics", "CheckNumericsV2")
def _check_numerics(op: Operation, grad: Any) -> Any:
    text = b"Not a number (NaN) or infinity (Inf) values detected in gradient. "
    return create_op(op.type, (grad,), {"message": text + op.attrs["message"]})


# --- through the operations that were made for it -------------------------------------------------


def _register_grad_op(op_type: str, grad_type: str) -> None:
    @gradient(op_type)
    def rule(op: Operation, grad: Any) -> Any:
        return create_op(grad_type, (op.outputs[0], grad))


for _op_type in ("Sqrt", "Rsqrt", "Reciprocal", "Inv"):
    _register_grad_op(_op_type, _op_type + "Grad")


@gradient("Sigmoid")
def _sigmoid(op: Operation, grad: Any) -> Any:
    return create_op("SigmoidGrad", (conj(op.outputs[0]), grad))


@gradient("Tanh")
def _tanh(op: Operation, grad: Any) -> Any:
    return create_op("TanhGrad", (conj(op.outputs[0]), grad))


@gradient("SigmoidGrad")
def _sigmoid_grad(op: Operation, grad: Any) -> Any:
    y, dy = conj(op.inputs[0]), conj(op.inputs[1])
    scaled = grad * dy
    return scaled - 2 * scaled * y, create_op("SigmoidGrad", (y, grad))


@gradient("TanhGrad")
def _tanh_grad(op: Operation, grad: Any) -> Any:
    y, dy = conj(op.inputs[0]), conj(op.inputs[1])
    return grad * -2 * dy * y, create_op("TanhGrad", (y, grad))


@gradient("SqrtGrad")
def _sqrt_grad(op: Operation, grad: Any) -> Any:
    scaled = grad / op.inputs[0]
    return -conj(scaled) * op.outputs[0], 0.5 * scaled


@gradient("RsqrtGrad")
def _rsqrt_grad(op: Operation, grad: Any) -> Any:
    y, dy = conj(op.inputs[0]), op.inputs[1]
    return -1.5 * conj(grad) * dy * square(y), create_op("RsqrtGrad", (y, grad))


@gradient("ReciprocalGrad", "InvGrad")
def _reciprocal_grad(op: Operation, grad: Any) -> Any:
    y, dy = conj(op.inputs[0]), op.inputs[1]
    return conj(grad) * -2 * dy * y, create_op(op.type, (y, grad))
