"""What element-wise operations on two tensors compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import ALL_DTYPES, variant
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Spelling, elementwise, kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.elementwise_loop import function

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
Quotient = Callable[[Any, Any, Any], Any]
FLOATS = ("bfloat16", "half", "float", "double")
COMPLEX = ("complex64", "complex128")


@kernel("Add", types={"T": ["string"]}, device="CPU")
def join(xp: Any, x: Any, y: Any) -> Any:
    """Texts one after the other."""
    return xp.asarray(x + y, object)


elementwise("Add", "add")
elementwise("AddV2", "add")
elementwise("Sub", "subtract")
elementwise("Mul", "multiply")
elementwise("Maximum", "maximum")
elementwise("Minimum", "minimum")
elementwise("BitwiseAnd", "bitwise_and")
elementwise("BitwiseOr", "bitwise_or")
elementwise("BitwiseXor", "bitwise_xor")
elementwise("Atan2", "arctan2")
elementwise("NextAfter", "nextafter")


@kernel("MulNoNan", elementwise="broadcast")
def mul_no_nan(xp: Any, x: Any, y: Any) -> Any:
    """Zero where `y` is zero."""
    return xp.where(y == 0, x.dtype.type(0), x * y)


# --- quotients and remainders ---------------------------------------------------------------------

elementwise("RealDiv", "divide", types={"T": (*FLOATS, *COMPLEX)})
elementwise("Div", "divide", types={"T": (*FLOATS, *COMPLEX)})
elementwise("FloorMod", "remainder", types={"T": FLOATS})
elementwise("Mod", "fmod", types={"T": ("float", "double")})
elementwise("TruncateMod", "fmod", types={"T": ("float", "double")})


def _refuse_zeros(xp: Any, divisor: Any) -> None:
    if not (xp.all(divisor) if divisor.ndim else divisor):
        raise InvalidArgumentError(None, None, "Integer division by zero")


def _integers(*op_types: str, types: Iterable[str] = INTEGERS) -> Callable[[Quotient], Quotient]:
    """Register a quotient of integers: a divisor of zero is an error wherever the host may look.

    That is on CPUs, and for int32 everywhere, which lies on the host. A GPU gives what its own
    division gives.
    """

    def register(function: Quotient) -> Quotient:
        def checked(xp: Any, x: Any, y: Any) -> Any:
            _refuse_zeros(xp, y)
            return function(xp, x, y)

        kernel(*op_types, types={"T": types}, elementwise="broadcast")(checked)
        wide = [name for name in types if name != "int32"]
        kernel(*op_types, types={"T": wide}, elementwise="broadcast", device="GPU")(function)
        return function

    return register


@_integers("FloorDiv")
def floor_div(xp: Any, x: Any, y: Any) -> Any:
    """Rounded down."""
    return xp.floor_divide(x, y)


@kernel("FloorDiv", types={"T": FLOATS}, elementwise="broadcast")
def floor_div_of_floats(xp: Any, x: Any, y: Any) -> Any:
    """Rounded down."""
    return xp.floor(x / y)


@kernel("TruncateDiv", types={"T": FLOATS}, elementwise="broadcast")
def truncate_div_of_floats(xp: Any, x: Any, y: Any) -> Any:
    """Rounded toward zero."""
    return xp.trunc(x / y)


@_integers("Div", "TruncateDiv")
def truncate_div(xp: Any, x: Any, y: Any) -> Any:
    """Rounded toward zero."""
    quotient = xp.floor_divide(x, y)
    if x.dtype.kind == "i":
        # The floor is one too low where signs differ and something is left over.
        quotient = quotient + ((quotient < 0) & (quotient * y != x)).astype(quotient.dtype)
    return quotient


@_integers("FloorMod")
def floor_mod(xp: Any, x: Any, y: Any) -> Any:
    """With the sign of `y`."""
    return xp.remainder(x, y)


@_integers("Mod", "TruncateMod", types=("int32", "int64"))
def truncate_mod(xp: Any, x: Any, y: Any) -> Any:
    """With the sign of `x`."""
    return xp.fmod(x, y)


@kernel("DivNoNan", elementwise="broadcast")
def div_no_nan(xp: Any, x: Any, y: Any) -> Any:
    """Zero where `y` is zero."""
    return xp.where(y == 0, x.dtype.type(0), x / y)


# --- powers and logarithms ------------------------------------------------------------------------

elementwise("Pow", "power", types={"T": ("half", "bfloat16", *COMPLEX)})


@kernel("Pow", types={"T": ("float", "double")}, elementwise="broadcast")
def pow_(xp: Any, x: Any, y: Any, out: Any = None) -> Any:
    """Squares and cubes by products, which take a fiftieth of the time where `x` is negative."""
    exponent = None if y.ndim else float(y)
    if exponent == 2:
        return xp.multiply(x, x, out=out)
    if exponent == 3:
        is_apart = out is not None and xp is np and not np.may_share_memory(x, out)
        return xp.multiply(xp.multiply(x, x, out=out if is_apart else None), x, out=out)
    return xp.power(x, y, out=out)


@kernel("Pow", types={"T": ("float", "double")}, elementwise="broadcast", device="GPU")
def pow_unseen(xp: Any, x: Any, y: Any) -> Any:
    """The same numbers, with an exponent that the host does not look at."""
    powers = xp.power(x, y)
    if y.ndim:
        return powers
    return xp.where(y == 2, x * x, xp.where(y == 3, x * x * x, powers))


@kernel("Pow", types={"T": INTEGERS}, elementwise="broadcast")
def integer_pow(xp: Any, x: Any, y: Any) -> Any:
    """No negative powers."""
    if xp.any(y < 0):
        raise InvalidArgumentError(
            None, None, "Integers to negative integer powers are not allowed"
        )
    return xp.power(x, y)


@kernel("SquaredDifference", elementwise="broadcast")
def squared_difference(xp: Any, x: Any, y: Any, out: Any = None) -> Any:
    """Of complex numbers, the square of the absolute value."""
    difference = xp.subtract(x, y, out=out)
    if difference.dtype.kind == "c":
        return xp.multiply(difference, xp.conj(difference), out=out)
    return xp.multiply(difference, difference, out=out)


@kernel("Xdivy", elementwise="broadcast")
def xdivy(xp: Any, x: Any, y: Any) -> Any:
    """Zero where `x` is zero."""
    return xp.where(x == 0, x.dtype.type(0), x / y)


@kernel("Xlogy", elementwise="broadcast")
def xlogy(xp: Any, x: Any, y: Any) -> Any:
    """Zero where `x` is zero."""
    return xp.where(x == 0, x.dtype.type(0), x * function(xp, "log", y.dtype)(y))


@kernel("Xlog1py", elementwise="broadcast")
def xlog1py(xp: Any, x: Any, y: Any) -> Any:
    """Zero where `x` is zero."""
    return xp.where(x == 0, x.dtype.type(0), x * function(xp, "log1p", y.dtype)(y))


# --- bits -----------------------------------------------------------------------------------------


def _places(xp: Any, y: Any) -> Any:
    """Shifts beyond the width count as the width less one, negative ones as none."""
    return xp.minimum(xp.maximum(y, y.dtype.type(0)), y.dtype.type(8 * y.dtype.itemsize - 1))


@kernel("LeftShift", elementwise="broadcast")
def left_shift(xp: Any, x: Any, y: Any) -> Any:
    """Bits moved up."""
    return xp.left_shift(x, _places(xp, y))


@kernel("RightShift", elementwise="broadcast")
def right_shift(xp: Any, x: Any, y: Any) -> Any:
    """Bits moved down."""
    return xp.right_shift(x, _places(xp, y))


# --- bounds and sums of many ----------------------------------------------------------------------


@kernel("ClipByValue", elementwise="same")
def clip_by_value(xp: Any, t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    """The lower bound goes before the upper one."""
    for bound in (clip_value_min, clip_value_max):
        if bound.ndim and bound.shape != t.shape:
            raise InvalidArgumentError(
                None,
                None,
                "clip_value_min and clip_value_max must be either of the same shape as input, or a "
                f"scalar. input shape: {debug_string(t.shape)} clip_value_min shape: "
                f"{debug_string(clip_value_min.shape)} clip_value_max shape: "
                f"{debug_string(clip_value_max.shape)}",
            )
    return xp.maximum(xp.minimum(t, clip_value_max), clip_value_min)


def _spell_add_n(inputs: Sequence[Any], attrs: Any, constant: Any) -> Spelling | None:
    if len(inputs) != 2 or not inputs[0]._shape or not inputs[1]._shape:
        return None
    # A variable may have another shape than the graph says.
    otherwise = "if {0}.shape == {1}.shape else {add_n}({np}, {0}, {1})"
    values = {"add": np.add, "add_n": add_n, "np": np}
    return Spelling(f"{{result}} = {{add}}({{0}}, {{1}}{{out}}) {otherwise}", values)


@kernel(
    "AddN",
    aliases=True,
    types={"T": set(ALL_DTYPES) - {variant}},
    elementwise="same",
    spells=_spell_add_n,
)
@kernel("AccumulateNV2", aliases=True)
def add_n(xp: Any, *inputs: Any, out: Any = None) -> Any:
    """The sum, from the first to the last."""
    shape = inputs[0].shape
    if len(inputs) == 2 and inputs[1].shape == shape:  # as most are
        return inputs[0] + inputs[1] if out is None else xp.add(inputs[0], inputs[1], out=out)
    for index, array in enumerate(inputs):
        if array.shape != shape:
            raise InvalidArgumentError(
                None,
                None,
                "Inputs to operation of type AddN must have the same size and shape.  Input 0: "
                f"{debug_string(shape)} != input {index}: {debug_string(array.shape)}",
            )
    if len(inputs) == 1:
        return inputs[0]
    place = out
    for array in inputs[2:]:
        if array is out:  # it is read after the first sum is written
            place = None
    total = inputs[0] + inputs[1] if place is None else xp.add(inputs[0], inputs[1], out=place)
    for array in inputs[2:]:
        total += array
    if out is None or total is out:
        return total
    xp.copyto(out, total)
    return out
