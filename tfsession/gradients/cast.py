"""Gradients of type changes and of the parts of complex numbers."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.gradients.elementwise import reduce_to
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.cast import cast, complex_, conj, imag, real
from tfsession.ops.unary import reciprocal, sign


@gradient("Cast")
def _cast(op: Operation, grad: Any) -> Any:
    source, target = op.attrs["SrcT"], op.attrs["DstT"]
    if (source.is_floating or source.is_complex) and (target.is_floating or target.is_complex):
        return cast(grad, source)
    return None


@gradient("Complex")
def _complex(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    return reduce_to(x, y, real(grad)), reduce_to(y, x, imag(grad))


@gradient("Real")
def _real(op: Operation, grad: Any) -> Any:
    return complex_(grad, create_op("ZerosLike", (grad,)))


@gradient("Imag")
def _imag(op: Operation, grad: Any) -> Any:
    return complex_(create_op("ZerosLike", (grad,)), grad)


@gradient("Conj")
def _conj(op: Operation, grad: Any) -> Any:
    return conj(grad)


@gradient("Angle")
def _angle(op: Operation, grad: Any) -> Any:
    x = op.inputs[0]
    turned = reciprocal(complex_(imag(x), real(x)))
    return -complex_(grad, create_op("ZerosLike", (grad,))) * turned


@gradient("ComplexAbs")
def _complex_abs(op: Operation, grad: Any) -> Any:
    return complex_(grad, create_op("ZerosLike", (grad,))) * sign(op.inputs[0])
