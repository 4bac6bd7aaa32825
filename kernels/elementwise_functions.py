"""Functions of float32 as LLVM writes them: `exp`, `log` and their like, for one element.

NumPy has them by tables, or not by vectors at all, on processors without AVX-512. Here they are
polynomials over a reduced range (W. J. Cody and W. Waite, Software Manual for the Elementary
Functions, 1980), without a branch, so that LLVM makes vectors of them; the coefficients are
minimax fits in double precision. Results are within two units in the last place; what is not
finite, signed zeros and subnormal numbers are as NumPy has them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["FUNCTIONS", "Lines", "number"]

# exp(r) = 1 + r + r^2 P(r) for |r| <= ln(2) / 2.
_EXP = (
    0.4999999403953552,
    0.1666652113199234,
    0.04166838899254799,
    0.00836874544620514,
    0.0013814540579915047,
)
# tanh(a) = a + a z P(z), z = a^2, for a <= 0.625.
_TANH = (
    -0.3333328366279602,
    0.13331490755081177,
    -0.05374349653720856,
    0.02065058797597885,
    -0.005717045161873102,
)
# log(1 + f) = f - f^2 / 2 + f^3 P(f) for sqrt(1/2) <= 1 + f <= sqrt(2).
_LOG = (
    0.3333333134651184,
    -0.2500081956386566,
    0.20001226663589478,
    -0.16623356938362122,
    0.14201757311820984,
    -0.13160182535648346,
    0.1276157796382904,
    -0.07634497433900833,
)
# ln(2) in two parts: products of the first with small integers are exact.
_LN2 = (0.693359375, math.log(2) - 0.693359375)
# Added to a number it leaves the nearest integer in the last bits.
_MAGIC = 12582912.0
_MAGIC_BITS = 0x4B400000
_TANH_SMALL = 0.625
# Beyond these `exp` is infinite, or zero.
_EXP_RANGE = (-104.0, 89.0)
_MANTISSA, _BIAS = 23, 127
_SUBNORMAL = 1.1754943508222875e-38


def number(value: float, kind: str = "float") -> str:
    """A number as LLVM writes it: the bits of a double, which a float fits in."""
    if kind == "float":
        try:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            value = math.copysign(math.inf, value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Lines:
    """The lines of a function as they grow; each value has a name of its own."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self._count = 0

    def __call__(self, text: str) -> str:
        """The name of what an instruction gives."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"{name} = {text}")
        return name

    def call(self, name: str, kind: str, *arguments: str) -> str:
        """What one of LLVM's own functions gives, of arguments of one kind and of that kind."""
        suffix = {"float": "f32", "double": "f64"}[kind]
        self.declared.add(
            f"declare {kind} @llvm.{name}.{suffix}({', '.join([kind] * len(arguments))})"
        )
        given = ", ".join([f"{kind} {argument}" for argument in arguments])
        return self(f"call {kind} @llvm.{name}.{suffix}({given})")

    def choose(self, condition: str, one: str, other: str, kind: str = "float") -> str:
        """One where the condition holds, else the other."""
        return self(f"select i1 {condition}, {kind} {one}, {kind} {other}")

    def fma(self, a: str, b: str, c: str) -> str:
        """`a * b + c`, rounded once."""
        return self.call("fma", "float", a, b, c)

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        """The one with these coefficients, that of `x ** 0` first."""
        *others, value = map(number, coefficients)
        for coefficient in reversed(others):
            value = self.fma(value, x, coefficient)
        return value


def _reduced(b: Lines, x: str) -> tuple[str, str]:
    """(n, r) with x = n ln(2) + r: n as an integer in i32."""
    shifted = b.fma(x, number(1 / math.log(2)), number(_MAGIC))
    n = b(f"fsub float {shifted}, {number(_MAGIC)}")
    back = b(f"fneg float {n}")
    r = b.fma(back, number(_LN2[1]), b.fma(back, number(_LN2[0]), x))
    bits = b(f"bitcast float {shifted} to i32")
    return b(f"sub i32 {bits}, {_MAGIC_BITS}"), r


def _power_of_two(b: Lines, n: str) -> str:
    """`2 ** n` for n of a normal number."""
    biased = b(f"add i32 {n}, {_BIAS}")
    return b(f"bitcast i32 {b(f'shl i32 {biased}, {_MANTISSA}')} to float")


def _halves(b: Lines, n: str) -> tuple[str, str]:
    """`2 ** n` as a product of two: it may be greater than any number, or subnormal."""
    half = b(f"ashr i32 {n}, 1")
    return _power_of_two(b, half), _power_of_two(b, b(f"sub i32 {n}, {half}"))


def _clamped(b: Lines, x: str, least: float, most: float) -> str:
    """A number within a range; NaN stays."""
    low = b(f"fcmp olt float {x}, {number(least)}")
    raised = b.choose(low, number(least), x)
    high = b(f"fcmp ogt float {raised}, {number(most)}")
    return b.choose(high, number(most), raised)


def _less_one(b: Lines, r: str) -> str:
    """`exp(r) - 1` of a reduced number."""
    square = b(f"fmul float {r}, {r}")
    return b.fma(b.polynomial(r, _EXP), square, r)


def exp(b: Lines, x: str) -> str:
    """`exp(x)`."""
    n, r = _reduced(b, _clamped(b, x, *_EXP_RANGE))
    one, other = _halves(b, n)
    value = b(f"fadd float {_less_one(b, r)}, {number(1)}")
    return b(f"fmul float {b(f'fmul float {value}, {one}')}, {other}")


def expm1(b: Lines, x: str) -> str:
    """`exp(x) - 1`, also where it is small."""
    n, r = _reduced(b, _clamped(b, x, -_EXP_RANGE[1], _EXP_RANGE[1]))
    one, other = _halves(b, n)
    # 2**n (e + 1) - 1 as 2 h (e + 1) - 1, in parts that are exact where they are near to each other
    scale = b(f"fmul float {one}, {other}")
    small = b.fma(scale, _less_one(b, r), b(f"fsub float {scale}, {number(1)}"))
    value = b(f"fadd float {_less_one(b, r)}, {number(1)}")
    great = b(f"fmul float {b(f'fmul float {value}, {one}')}, {other}")
    is_great = b(f"icmp sgt i32 {n}, 64")
    is_zero = b(f"fcmp oeq float {x}, {number(0)}")  # of -0.0 it is -0.0
    return b.choose(is_zero, x, b.choose(is_great, great, small))


def tanh(b: Lines, x: str) -> str:
    """`tanh(x)`: near zero a polynomial, else `1 - 2 / (exp(2 |x|) + 1)`."""
    size = b.call("fabs", "float", x)
    square = b(f"fmul float {size}, {size}")
    near = b.fma(b(f"fmul float {b.polynomial(square, _TANH)}, {square}"), size, size)
    power = exp(b, b(f"fadd float {size}, {size}"))
    quotient = b(f"fdiv float {number(2)}, {b(f'fadd float {power}, {number(1)}')}")
    far = b(f"fsub float {number(1)}, {quotient}")
    is_near = b(f"fcmp olt float {size}, {number(_TANH_SMALL)}")
    return b.call("copysign", "float", b.choose(is_near, near, far), x)


def _split(b: Lines, x: str) -> tuple[str, str]:
    """(e, f) with x = 2**e (1 + f), of a normal x; e as a float."""
    bits = b(f"bitcast float {x} to i32")
    # What is above sqrt(1/2) begins the next power of two.
    moved = b(f"sub i32 {bits}, {0x3F3504F3}")
    e = b(f"ashr i32 {moved}, {_MANTISSA}")
    own = b(f"sub i32 {bits}, {b(f'shl i32 {e}, {_MANTISSA}')}")
    m = b(f"bitcast i32 {own} to float")
    return b(f"sitofp i32 {e} to float"), b(f"fsub float {m}, {number(1)}")


def _log_of_split(b: Lines, e: str, f: str, lost: str | None = None) -> str:
    """`log(2**e (1 + f))`; `lost` is added to it."""
    square = b(f"fmul float {f}, {f}")
    cube = b(f"fmul float {square}, {f}")
    tail = b.fma(e, number(_LN2[1]), b(f"fmul float {cube}, {b.polynomial(f, _LOG)}"))
    if lost is not None:
        tail = b(f"fadd float {tail}, {lost}")
    low = b.fma(square, number(-0.5), tail)
    return b.fma(e, number(_LN2[0]), b(f"fadd float {f}, {low}"))


def log(b: Lines, x: str) -> str:
    """`log(x)`."""
    is_tiny = b(f"fcmp olt float {x}, {number(_SUBNORMAL)}")
    scaled = b.choose(is_tiny, b(f"fmul float {x}, {number(2.0**_MANTISSA)}"), x)
    e, f = _split(b, scaled)
    e = b(f"fadd float {e}, {b.choose(is_tiny, number(-_MANTISSA), number(0))}")
    return _log_of_ends(b, x, _log_of_split(b, e, f))


def _log_of_ends(b: Lines, x: str, value: str) -> str:
    """The logarithm of what is no positive finite number, else the value."""
    is_zero = b(f"fcmp oeq float {x}, {number(0)}")
    value = b.choose(is_zero, number(-math.inf), value)
    is_infinite = b(f"fcmp oeq float {x}, {number(math.inf)}")
    value = b.choose(is_infinite, x, value)
    is_number = b(f"fcmp oge float {x}, {number(0)}")
    return b.choose(is_number, value, number(math.nan))


def log1p(b: Lines, x: str) -> str:
    """`log(1 + x)`, with what rounding took from `1 + x` put back."""
    whole = b(f"fadd float {x}, {number(1)}")
    # The part of x that is not in the sum, or that of 1 where x is the greater.
    is_great = b(f"fcmp ogt float {x}, {number(1)}")
    greater = b.choose(is_great, x, number(1))
    lesser = b.choose(is_great, number(1), x)
    gone = b(f"fsub float {lesser}, {b(f'fsub float {whole}, {greater}')}")
    e, f = _split(b, whole)
    value = _log_of_split(b, e, f, b(f"fdiv float {gone}, {whole}"))
    value = _log_of_ends(b, whole, value)
    is_small = b(f"fcmp olt float {b.call('fabs', 'float', x)}, {number(2.0**-25)}")
    return b.choose(is_small, x, value)


FUNCTIONS: Final[dict[str, Callable[[Lines, str], str]]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
}
