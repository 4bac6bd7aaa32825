"""Pairs of normal numbers as TensorFlow computes them, to the last bit.

float32 follows glibc's `logf` and `sincosf` (2.28 and later), whose tables and polynomials are
those of ARM Optimized Routines, copyright Arm Limited, MIT or Apache-2.0 WITH LLVM-exception.
They work in float64, so that plain operations of NumPy and CuPy repeat them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tfsession.devices.constants import constant

__all__ = ["doubles", "normal_pair", "normal_pair_double"]

Function = Callable[[Any], Any]


def _numbers(text: str) -> list[float]:
    return [float.fromhex(number) for number in text.split()]


# Sixteen points c of [0.7, 1.4): 1/c and log(c).
_INVERSES = _numbers("""
    0x1.661ec79f8f3bep+0 0x1.571ed4aaf883dp+0 0x1.49539f0f010bp+0 0x1.3c995b0b80385p+0
    0x1.30d190c8864a5p+0 0x1.25e227b0b8eap+0 0x1.1bb4a4a1a343fp+0 0x1.12358f08ae5bap+0
    0x1.0953f419900a7p+0 0x1p+0 0x1.e608cfd9a47acp-1 0x1.ca4b31f026aap-1
    0x1.b2036576afce6p-1 0x1.9c2d163a1aa2dp-1 0x1.886e6037841edp-1 0x1.767dcf5534862p-1
""")
_LOGARITHMS = _numbers("""
    -0x1.57bf7808caadep-2 -0x1.2bef0a7c06ddbp-2 -0x1.01eae7f513a67p-2 -0x1.b31d8a68224e9p-3
    -0x1.6574f0ac07758p-3 -0x1.1aa2bc79c81p-3 -0x1.a4e76ce8c0e5ep-4 -0x1.1973c5a611cccp-4
    -0x1.252f438e10c1ep-5 0x0p+0 0x1.aa5aa5df25984p-5 0x1.c5e53aa362eb4p-4
    0x1.526e57720db08p-3 0x1.bc2860d22477p-3 0x1.1058bc8a07ee1p-2 0x1.4043057b6ee09p-2
""")
_LOG_TERMS = _numbers("-0x1.ffffef20a4123p-2 0x1.5575b0be00b6ap-2 -0x1.00ea348b88334p-2")
_LOG_2 = float.fromhex("0x1.62e42fefa39efp-1")
_HALF_PI = float.fromhex("0x1.921FB54442D18p0")
_TWO_BY_PI = float.fromhex("0x1.45F306DC9C883p-1")
_SIN_TERMS = _numbers("-0x1.555545995a603p-3 0x1.1107605230bc4p-7 -0x1.994eb3774cf24p-13")
_COS_TERMS = _numbers(
    "-0x1.ffffffd0c621cp-2 0x1.55553e1068f19p-5 -0x1.6c087e89a359dp-10 0x1.99343027bf8c3p-16"
)

# A uniform number is w * 2**-23 with a whole w; the tables below take that w.
_BITS = 23
_TWO_PI_STEP = 2 * math.pi * 2.0**-_BITS
_SMALLEST = float(np.float32(1e-7)) * 2.0**_BITS
_SMALLEST_DOUBLE = 1e-7
# Adding 2**52 to a whole number puts it into the low bits; 1.5 * 2**52 rounds to one, too.
_WHOLE = 2.0**52
_WHOLE_BITS = 0x433 << 52
_ROUNDING = 1.5 * 2.0**52
# The least number whose logarithm the tables give, as bits; sixteen entries for each power of two.
_FIRST_BITS = 0x3FE66 << 44
_ENTRY_SHIFT = 48


def _log_tables() -> tuple[Any, Any]:
    """For each sixteenth of each binade of w: 1/c scaled to w, and log(c) scaled back."""
    exponents = np.arange(_BITS + 1.0)[:, None]
    scales = np.array(_INVERSES) * 2.0**-exponents
    offsets = np.array(_LOGARITHMS) + (exponents - _BITS) * _LOG_2
    return scales.ravel(), offsets.ravel()


_SCALES, _OFFSETS = _log_tables()


def _whole(words: Any) -> Any:
    """The low 23 bits as float64."""
    bits = words & ((1 << _BITS) - 1)
    bits |= _WHOLE_BITS
    numbers = bits.view(np.float64)
    numbers -= _WHOLE
    return numbers


def _log(xp: Any, whole: Any) -> Any:
    """float32 logarithm of `whole * 2**-23`, which is less than one."""
    entry = whole.view(np.int64) - _FIRST_BITS
    entry >>= _ENTRY_SHIFT
    r = xp.take(constant(xp, _SCALES), entry)
    r *= whole
    r -= 1.0
    square = r * r
    y = r * _LOG_TERMS[1]
    y += _LOG_TERMS[0]
    y += square * _LOG_TERMS[2]
    y *= square
    r += xp.take(constant(xp, _OFFSETS), entry)
    y += r
    return y.astype(np.float32)


def _sin_cos(x: Any) -> tuple[Any, Any]:
    """float32 sine and cosine of float64 angles in [0, 2 pi], which it overwrites."""
    t = x * _TWO_BY_PI
    t += _ROUNDING
    quadrant = t.view(np.uint64).astype(np.uint32)
    t -= _ROUNDING
    t *= _HALF_PI
    x -= t
    square = x * x
    cube = square * x
    high = square * _SIN_TERMS[2]
    high += _SIN_TERMS[1]
    sine = cube * _SIN_TERMS[0]
    sine += x
    cube *= square
    cube *= high
    sine += cube
    fourth = square * square
    high = square * _COS_TERMS[3]
    high += _COS_TERMS[2]
    cosine = square * _COS_TERMS[0]
    cosine += 1.0
    square *= fourth
    fourth *= _COS_TERMS[1]
    cosine += fourth
    square *= high
    cosine += square
    return _turned(sine.astype(np.float32), cosine.astype(np.float32), quadrant)


def _turned(sine: Any, cosine: Any, quadrant: Any) -> tuple[Any, Any]:
    """Sine and cosine, turned by as many right angles: exchanged and signed as bits."""
    sine_bits, cosine_bits = sine.view(np.uint32), cosine.view(np.uint32)
    exchange = sine_bits ^ cosine_bits
    exchange &= -(quadrant & 1)
    sine_bits ^= exchange
    cosine_bits ^= exchange
    sign = quadrant & 2
    sign <<= 30
    sine_bits ^= sign
    quadrant += 1
    quadrant &= 2
    quadrant <<= 30
    cosine_bits ^= quadrant
    return sine, cosine


def normal_pair(xp: Any, first: Any, second: Any) -> tuple[Any, Any]:
    """Two float32 arrays of normal numbers from two of 32-bit words, which are uint64."""
    radius = _log(xp, xp.maximum(_whole(first), _SMALLEST))
    radius *= np.float32(-2.0)
    radius = xp.sqrt(radius)
    angle = _whole(second)
    angle *= _TWO_PI_STEP
    sine, cosine = _sin_cos(angle.astype(np.float32).astype(np.float64))
    sine *= radius
    cosine *= radius
    return sine, cosine


def doubles(high: Any, low: Any) -> Any:
    """float64 numbers in [0, 1) from two arrays of 32-bit words, which are uint64."""
    bits = high & ((1 << 20) - 1)
    bits <<= 32
    bits |= low
    bits |= 0x3FF << 52
    numbers = bits.view(np.float64)
    numbers -= 1.0
    return numbers


def normal_pair_double(xp: Any, words: Any, of_c_library: bool) -> tuple[Any, Any]:
    """Two float64 arrays of normal numbers from four of words.

    `of_c_library` takes functions from the C library of the host, as TensorFlow does, instead of
    the array module.
    """
    names = ("log", "sin", "cos")
    log, sin, cos = (_of_c_library(n) if of_c_library else getattr(xp, n) for n in names)
    radius = log(xp.maximum(doubles(words[0], words[1]), _SMALLEST_DOUBLE))
    radius *= -2.0
    radius = xp.sqrt(radius)
    angle = doubles(words[2], words[3])
    angle *= 2 * math.pi
    sine, cosine = sin(angle), cos(angle)
    sine *= radius
    cosine *= radius
    return sine, cosine


@cache
def _of_c_library(name: str) -> Function:
    """The C library's function over vectors: NumPy's where it is the same one, else one by one.

    NumPy has its own for processors with AVX-512, which differ in the last bit now and then.
    """
    vectorised: Function = getattr(np, name)
    scalar = getattr(math, name)

    def one_by_one(x: Any) -> Any:
        return np.fromiter(map(scalar, x.tolist()), np.float64, x.size)

    sample = np.linspace(_SMALLEST_DOUBLE, 2 * math.pi, 4096)
    return vectorised if np.array_equal(vectorised(sample), one_by_one(sample)) else one_by_one
