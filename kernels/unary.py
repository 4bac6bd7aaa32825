"""What element-wise operations on one tensor compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Spelling, elementwise, kernel
from tfsession.devices.scalars import scalar
from tfsession.kernels.elementwise_loop import function

ANALYTIC = ("half", "bfloat16", "float", "double", "complex64", "complex128")
INTEGERS = ("int8", "int16", "int32", "int64")

elementwise("Neg", "negative")
elementwise("Abs", "absolute")
elementwise("Sign", "sign")
elementwise("Square", "square")
elementwise("Sqrt", "sqrt")
elementwise("Exp", "exp")
elementwise("Expm1", "expm1")
elementwise("Log", "log")
elementwise("Log1p", "log1p")
elementwise("Sin", "sin")
elementwise("Cos", "cos")
elementwise("Tan", "tan")
elementwise("Asin", "arcsin")
elementwise("Acos", "arccos")
elementwise("Atan", "arctan")
elementwise("Sinh", "sinh")
elementwise("Cosh", "cosh")
elementwise("Tanh", "tanh")
elementwise("Asinh", "arcsinh")
elementwise("Acosh", "arccosh")
elementwise("Atanh", "arctanh")
elementwise("Floor", "floor")
elementwise("Ceil", "ceil")
elementwise("Rint", "rint")
elementwise("Round", "rint", types={"T": ANALYTIC})
elementwise("IsNan", "isnan")
elementwise("IsInf", "isinf")
elementwise("IsFinite", "isfinite")
elementwise("Invert", "invert")


elementwise("Reciprocal", "reciprocal", types={"T": ANALYTIC})
elementwise("Inv", "reciprocal", types={"T": ANALYTIC})


@kernel("Round", types={"T": INTEGERS}, forwards=True)
def round_integers(xp: Any, x: Any) -> Any:
    """Integers are round."""
    return x


@kernel("Rsqrt", elementwise="broadcast")
def rsqrt(xp: Any, x: Any, out: Any = None) -> Any:
    """`1 / sqrt(x)`."""
    return xp.reciprocal(xp.sqrt(x, out=out), out=out)


@kernel("Sigmoid", types={"T": ("half", "bfloat16")}, elementwise="broadcast")
def narrow_sigmoid(xp: Any, x: Any) -> Any:
    """In float32, rounded once."""
    return sigmoid(xp, x.astype("float32")).astype(x.dtype)


def _spell_sigmoid(inputs: Sequence[Any], attrs: Any, constant: Any) -> Spelling | None:
    if not inputs[0]._shape:  # of one number the result is no array
        return None
    text = (
        "{result} = {negative}({0}{out}); {exp}({result}, {result}); "
        "{add}({result}, {one}, {result}); {reciprocal}({result}, {result})"
    )
    dtype = np.dtype(attrs["T"].numpy)
    ufuncs = {"negative": np.negative, "add": np.add, "reciprocal": np.reciprocal}
    ufuncs["exp"] = function(np, "exp", dtype)
    return Spelling(text, {**ufuncs, "one": scalar(np, 1, dtype)})


@kernel("Sigmoid", elementwise="broadcast", spells=_spell_sigmoid)
def sigmoid(xp: Any, x: Any, out: Any = None) -> Any:
    """`1 / (1 + exp(-x))`, in one array."""
    result = xp.negative(x, out=out)
    if not result.ndim:
        result = xp.asarray(result)
    function(xp, "exp", result.dtype)(result, result)
    xp.add(result, scalar(xp, 1, result.dtype), result)
    return xp.reciprocal(result, result)


# --- gradients, of the function's value and of what flows back to it ------------------------------


def _like(y: Any, dy: Any) -> Any:
    """`dy` in the shape of `y`."""
    if y.size != dy.size:
        raise InvalidArgumentError(
            None,
            None,
            "The two arguments to a cwise op must have same number of elements, got "
            f"{y.size} and {dy.size}",
        )
    return dy.reshape(y.shape)


@kernel("SigmoidGrad", elementwise="same")
def sigmoid_grad(xp: Any, y: Any, dy: Any, out: Any = None) -> Any:
    """`dy * y * (1 - y)`."""
    if y.shape != dy.shape:
        dy = _like(y, dy)
    slope = xp.subtract(scalar(xp, 1, y.dtype), y)
    slope *= y
    return xp.multiply(dy, slope, out=out)


@kernel("TanhGrad", elementwise="same")
def tanh_grad(xp: Any, y: Any, dy: Any, out: Any = None) -> Any:
    """`dy * (1 - y * y)`."""
    if y.shape != dy.shape:
        dy = _like(y, dy)
    square = y * y
    slope = xp.subtract(scalar(xp, 1, y.dtype), square, out=square if square.ndim else None)
    return xp.multiply(dy, slope, out=out)


def _zero_kept(xp: Any, dy: Any, product: Any) -> Any:
    """No gradient stays none, also where the derivative is infinite."""
    return xp.where(dy == 0, dy.dtype.type(0), product)


@kernel("RsqrtGrad", elementwise="same")
def rsqrt_grad(xp: Any, y: Any, dy: Any) -> Any:
    """`-dy / 2 * y ** 3`."""
    if y.shape != dy.shape:
        dy = _like(y, dy)
    y = xp.conjugate(y) if y.dtype.kind == "c" else y
    return _zero_kept(xp, dy, y.dtype.type(-0.5) * (dy * y) * (y * y))


@kernel("SqrtGrad", elementwise="same")
def sqrt_grad(xp: Any, y: Any, dy: Any) -> Any:
    """`dy / 2 / y`."""
    if y.shape != dy.shape:
        dy = _like(y, dy)
    y = xp.conjugate(y) if y.dtype.kind == "c" else y
    return _zero_kept(xp, dy, y.dtype.type(0.5) * dy / y)


@kernel("ReciprocalGrad", "InvGrad", elementwise="same")
def reciprocal_grad(xp: Any, y: Any, dy: Any) -> Any:
    """`-dy * y * y`."""
    if y.shape != dy.shape:
        dy = _like(y, dy)
    y = xp.conjugate(y) if y.dtype.kind == "c" else y
    return _zero_kept(xp, dy, -y * dy * y)


# --- bits and checks ------------------------------------------------------------------------------


@kernel("PopulationCount", elementwise="broadcast")
def population_count(xp: Any, x: Any) -> Any:
    """How many bits are set."""
    bits = xp.asarray(x)
    count = xp.zeros(bits.shape, "uint8")
    one = bits.dtype.type(1)
    for place in range(8 * bits.dtype.itemsize):
        count += ((bits >> bits.dtype.type(place)) & one).astype("uint8")
    return count


@kernel("CheckNumerics", aliases=True)
def check_numerics(xp: Any, tensor: Any, message: bytes) -> Any:
    """The tensor itself, if it is finite."""
    if xp.all(xp.isfinite(tensor)):
        return tensor
    nan, infinite = bool(xp.any(xp.isnan(tensor))), bool(xp.any(xp.isinf(tensor)))
    what = " and ".join(name for name, there in (("Inf", infinite), ("NaN", nan)) if there)
    raise _not_finite(message, what)


@kernel("CheckNumericsV2", aliases=True)
def check_numerics_v2(xp: Any, tensor: Any, message: bytes) -> Any:
    """The tensor itself, if it is finite; the error tells the infinities apart."""
    if xp.all(xp.isfinite(tensor)):
        return tensor
    infinite = xp.isinf(tensor)
    found = (
        ("-Inf", bool(xp.any(infinite & (tensor < 0)))),
        ("+Inf", bool(xp.any(infinite & (tensor > 0)))),
        ("NaN", bool(xp.any(xp.isnan(tensor)))),
    )
    names = [name for name, there in found if there]
    # TensorFlow writes "-Inf and NaN", but "-Inf, +Inf, and NaN".
    what = " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])}, and {names[-1]}"
    raise _not_finite(message, what)


def _not_finite(message: bytes, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, f"{message.decode()} : Tensor had {what} values")
