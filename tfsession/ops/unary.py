"""Element-wise operations on one tensor: signs, powers, roots, rounding, exponentials, angles.

Complex parts stand in `cast.py`, the error and gamma functions in `special.py`.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.shape_fns import same_as
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast

_FLOATS = ["T: {bfloat16, half, float, double}"]
_ANALYTIC = ["T: {bfloat16, half, float, double, complex64, complex128}"]
_SIGNED = ["T: {bfloat16, half, float, double, int8, int16, int32, int64, complex64, complex128}"]
_INTEGERS = ["T: {int8, int16, int32, int64, uint8, uint16, uint32, uint64}"]
_X, _Y = ["x: T"], ["y: T"]

for _name in ("Neg", "Sign", "Reciprocal", "Inv", "Round"):
    define_op(_name, _X, _Y, _SIGNED, same_as(0))
for _name in (
    *("Sqrt", "Rsqrt", "Exp", "Expm1", "Log", "Log1p", "Sigmoid"),
    *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan"),
    *("Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh"),
):
    define_op(_name, _X, _Y, _ANALYTIC, same_as(0))
for _name in ("SigmoidGrad", "TanhGrad", "RsqrtGrad", "SqrtGrad", "ReciprocalGrad", "InvGrad"):
    define_op(_name, ["y: T", "dy: T"], ["z: T"], _ANALYTIC, same_as(0))
for _name in ("Floor", "Ceil", "Rint"):
    define_op(_name, _X, _Y, _FLOATS, same_as(0))
for _name in ("IsNan", "IsInf", "IsFinite"):
    define_op(_name, _X, ["y: bool"], _FLOATS, same_as(0))
define_op(
    "Abs",
    _X,
    _Y,
    ["T: {bfloat16, half, float, double, int8, int16, int32, int64}"],
    same_as(0),
)
define_op(
    "Square",
    _X,
    _Y,
    ["T: {bfloat16, half, float, double, int8, int16, int32, int64, uint8, uint16, uint32, "
     "uint64, complex64, complex128}"],
    same_as(0),
)  # fmt: skip
define_op("Invert", _X, _Y, _INTEGERS, same_as(0))
define_op("PopulationCount", _X, ["y: uint8"], _INTEGERS, same_as(0))
for _name in ("CheckNumerics", "CheckNumericsV2"):
    define_op(
        _name,
        inputs=["tensor: T"],
        outputs=["output: T"],
        attrs=[*_FLOATS, "message: string"],
        stateful=True,
        shape=same_as(0),
    )


@export("negative", "math.negative")
def negative(x: Any, name: str | None = None) -> Tensor:
    """`-x`."""
    return create_op("Neg", (x,), None, name)


@export("abs", "math.abs")
def abs(x: Any, name: str | None = None) -> Tensor:
    """The absolute values; of complex numbers real ones."""
    if isinstance(x, Tensor):
        return _abs(x, name)
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "Abs") as scope:
        return _abs(convert_to_tensor(x, name="x"), scope)


def _abs(x: Tensor, name: str | None) -> Tensor:
    if not x.dtype.is_complex:
        return create_op("Abs", (x,), None, name)
    attrs = {"Tout": x.dtype.base_dtype.real_dtype}
    return create_op("ComplexAbs", (x,), attrs, name or "Abs")


@export("sign", "math.sign")
def sign(x: Any, name: str | None = None) -> Tensor:
    """-1, 0 or 1; of a complex number `x / abs(x)`, and 0 of 0."""
    x = convert_to_tensor(x)
    if not x.dtype.is_complex:
        return create_op("Sign", (x,), None, name)
    with x.op.graph.as_default():
        size = create_op("ComplexAbs", (x,), {"Tout": x.dtype.base_dtype.real_dtype})
        return create_op("DivNoNan", (x, cast(size, x.dtype)), None, name)


@export("square", "math.square")
def square(x: Any, name: str | None = None) -> Tensor:
    """`x * x`."""
    return create_op("Square", (x,), None, name)


@export("sqrt", "math.sqrt")
def sqrt(x: Any, name: str | None = None) -> Tensor:
    """The square root; NaN below zero."""
    return create_op("Sqrt", (x,), None, name)


@export("rsqrt", "math.rsqrt")
def rsqrt(x: Any, name: str | None = None) -> Tensor:
    """`1 / sqrt(x)`."""
    return create_op("Rsqrt", (x,), None, name)


@export("reciprocal", "math.reciprocal")
def reciprocal(x: Any, name: str | None = None) -> Tensor:
    """`1 / x`; there is no kernel for integers."""
    return create_op("Reciprocal", (x,), None, name)


# --- rounding and classes of numbers --------------------------------------------------------------


@export("floor", "math.floor")
def floor(x: Any, name: str | None = None) -> Tensor:
    """The greatest whole number not above `x`."""
    return create_op("Floor", (x,), None, name)


@export("ceil", "math.ceil")
def ceil(x: Any, name: str | None = None) -> Tensor:
    """The smallest whole number not below `x`."""
    return create_op("Ceil", (x,), None, name)


@export("round", "math.round")
def round(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number, the even one of two; integers are returned as they are."""
    x = convert_to_tensor(x, name="x")
    return x if x.dtype.is_integer else create_op("Round", (x,), None, name)


@export("rint", "math.rint")
def rint(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number, the even one of two."""
    return create_op("Rint", (x,), None, name)


@export("is_nan", "math.is_nan", "debugging.is_nan")
def is_nan(x: Any, name: str | None = None) -> Tensor:
    """Whether `x` is not a number."""
    return create_op("IsNan", (x,), None, name)


@export("is_inf", "math.is_inf", "debugging.is_inf")
def is_inf(x: Any, name: str | None = None) -> Tensor:
    """Whether `x` is infinite."""
    return create_op("IsInf", (x,), None, name)


@export("is_finite", "math.is_finite", "debugging.is_finite")
def is_finite(x: Any, name: str | None = None) -> Tensor:
    """Whether `x` is neither infinite nor NaN."""
    return create_op("IsFinite", (x,), None, name)


@export("check_numerics", "debugging.check_numerics")
def check_numerics(tensor: Any, message: str, name: str | None = None) -> Tensor:
    """`tensor` itself; infinities and NaNs in it are an error when the graph runs."""
    return create_op("CheckNumerics", (tensor,), {"message": message}, name)


# --- exponentials and logarithms ------------------------------------------------------------------


@export("exp", "math.exp")
def exp(x: Any, name: str | None = None) -> Tensor:
    """`e ** x`."""
    return create_op("Exp", (x,), None, name)


@export("expm1", "math.expm1")
def expm1(x: Any, name: str | None = None) -> Tensor:
    """`e ** x - 1`, exact near zero."""
    return create_op("Expm1", (x,), None, name)


@export("log", "math.log")
def log(x: Any, name: str | None = None) -> Tensor:
    """The natural logarithm; NaN below zero."""
    return create_op("Log", (x,), None, name)


@export("log1p", "math.log1p")
def log1p(x: Any, name: str | None = None) -> Tensor:
    """`log(1 + x)`, exact near zero."""
    return create_op("Log1p", (x,), None, name)


@export("sigmoid", "math.sigmoid", "nn.sigmoid")
def sigmoid(x: Any, name: str | None = None) -> Tensor:
    """`1 / (1 + exp(-x))`."""
    return create_op("Sigmoid", (x,), None, name)


@export("tanh", "math.tanh", "nn.tanh")
def tanh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic tangent."""
    return create_op("Tanh", (x,), None, name)


# --- angles ---------------------------------------------------------------------------------------


@export("sin", "math.sin")
def sin(x: Any, name: str | None = None) -> Tensor:
    """The sine."""
    return create_op("Sin", (x,), None, name)


@export("cos", "math.cos")
def cos(x: Any, name: str | None = None) -> Tensor:
    """The cosine."""
    return create_op("Cos", (x,), None, name)


@export("tan", "math.tan")
def tan(x: Any, name: str | None = None) -> Tensor:
    """The tangent."""
    return create_op("Tan", (x,), None, name)


@export("asin", "math.asin")
def asin(x: Any, name: str | None = None) -> Tensor:
    """The angle between -pi/2 and pi/2 whose sine is `x`."""
    return create_op("Asin", (x,), None, name)


@export("acos", "math.acos")
def acos(x: Any, name: str | None = None) -> Tensor:
    """The angle between 0 and pi whose cosine is `x`."""
    return create_op("Acos", (x,), None, name)


@export("atan", "math.atan")
def atan(x: Any, name: str | None = None) -> Tensor:
    """The angle between -pi/2 and pi/2 whose tangent is `x`."""
    return create_op("Atan", (x,), None, name)


@export("sinh", "math.sinh")
def sinh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic sine."""
    return create_op("Sinh", (x,), None, name)


@export("cosh", "math.cosh")
def cosh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic cosine."""
    return create_op("Cosh", (x,), None, name)


@export("asinh", "math.asinh")
def asinh(x: Any, name: str | None = None) -> Tensor:
    """The number whose hyperbolic sine is `x`."""
    return create_op("Asinh", (x,), None, name)


@export("acosh", "math.acosh")
def acosh(x: Any, name: str | None = None) -> Tensor:
    """The number above zero whose hyperbolic cosine is `x`."""
    return create_op("Acosh", (x,), None, name)


@export("atanh", "math.atanh")
def atanh(x: Any, name: str | None = None) -> Tensor:
    """The number whose hyperbolic tangent is `x`."""
    return create_op("Atanh", (x,), None, name)


# --- bits -----------------------------------------------------------------------------------------


@export("bitwise.invert")
def invert(x: Any, name: str | None = None) -> Tensor:
    """Each bit of `x` changed."""
    return create_op("Invert", (x,), None, name)
