"""Gradients of special functions."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.rules import gradient
from tfsession.gradients.elementwise import reduce_to
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.unary import exp, square


@gradient("Erf")
def _erf(op: Operation, grad: Any) -> Any:
    return grad * (2 / math.sqrt(math.pi)) * exp(-square(op.inputs[0]))


@gradient("Erfc")
def _erfc(op: Operation, grad: Any) -> Any:
    return grad * (-2 / math.sqrt(math.pi)) * exp(-square(op.inputs[0]))


@gradient("Erfinv")
def _erfinv(op: Operation, grad: Any) -> Any:
    return grad * (math.sqrt(math.pi) / 2) * exp(square(op.outputs[0]))


@gradient("Ndtri")
def _ndtri(op: Operation, grad: Any) -> Any:
    return grad * math.sqrt(2 * math.pi) * exp(square(op.outputs[0]) / 2)


@gradient("Lgamma")
def _lgamma(op: Operation, grad: Any) -> Any:
    return grad * create_op("Digamma", op.inputs)


@gradient("Digamma")
def _digamma(op: Operation, grad: Any) -> Any:
    return grad * create_op("Polygamma", (1, op.inputs[0]), {"T": op.inputs[0].dtype.base_dtype})


@gradient("Polygamma")
def _polygamma(op: Operation, grad: Any) -> Any:
    order, x = op.inputs
    return None, reduce_to(x, order, grad * create_op("Polygamma", (order + 1, x)))


@gradient("Zeta")
def _zeta(op: Operation, grad: Any) -> Any:
    x, q = op.inputs
    return None, reduce_to(q, x, grad * -x * create_op("Zeta", (x + 1, q)))
