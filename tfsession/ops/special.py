"""Special functions: of the normal distribution and of the gamma function."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.shape_fns import broadcast, same_as
from tfsession.graph.tensor import Tensor

for _name in ("Erf", "Erfc", "Erfinv", "Ndtri", "Lgamma", "Digamma"):
    define_op(_name, ["x: T"], ["y: T"], ["T: {bfloat16, half, float, double}"], same_as(0))
define_op("Zeta", ["x: T", "q: T"], ["z: T"], ["T: {float, double}"], broadcast)
define_op("Polygamma", ["a: T", "x: T"], ["z: T"], ["T: {float, double}"], broadcast)


@export("erf", "math.erf")
def erf(x: Any, name: str | None = None) -> Tensor:
    """The error function."""
    return create_op("Erf", (x,), None, name)


@export("erfc", "math.erfc")
def erfc(x: Any, name: str | None = None) -> Tensor:
    """`1 - erf(x)`, exact where that is small."""
    return create_op("Erfc", (x,), None, name)


@export("math.erfinv")
def erfinv(x: Any, name: str | None = None) -> Tensor:
    """The number whose error function is `x`; NaN beyond -1 and 1."""
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "erfinv"):
        return create_op("Erfinv", (x,))


@export("math.erfcinv")
def erfcinv(x: Any, name: str | None = None) -> Tensor:
    """The number `y` of which `erfc(y) = x`."""
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "erfcinv"):
        x = convert_to_tensor(x, name="start")
        half = create_op("Mul", (0.5, x), {"T": x.dtype.base_dtype}, "mul")
        negated = create_op("Neg", (ndtri(half),))
        return create_op("Mul", (negated, math.sqrt(0.5)), None, "mul")


@export("math.ndtri")
def ndtri(x: Any, name: str | None = None) -> Tensor:
    """The quantile function of the normal distribution; NaN beyond 0 and 1."""
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "ndtri"):
        return create_op("Ndtri", (x,))


@export("lgamma", "math.lgamma")
def lgamma(x: Any, name: str | None = None) -> Tensor:
    """The logarithm of the absolute value of the gamma function."""
    return create_op("Lgamma", (x,), None, name)


@export("digamma", "math.digamma")
def digamma(x: Any, name: str | None = None) -> Tensor:
    """The derivative of `lgamma`."""
    return create_op("Digamma", (x,), None, name)


@export("zeta", "math.zeta")
def zeta(x: Any, q: Any, name: str | None = None) -> Tensor:
    """The Hurwitz zeta function: the sum of `(q + n) ** -x` over all whole `n` from 0."""
    return create_op("Zeta", (x, q), None, name)


@export("polygamma", "math.polygamma")
def polygamma(a: Any, x: Any, name: str | None = None) -> Tensor:
    """The derivative of order `a` of `digamma`; NaN unless `a` is a whole number from 0."""
    return create_op("Polygamma", (a, x), None, name)
