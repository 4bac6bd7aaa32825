"""Numbers of few bits, and floats rounded as if they had been.

All in float32, in the order of TensorFlow's kernels, so that the same numbers are rounded up
(core/kernels/quantize_op.cc, dequantize_op.cc, quantize_and_dequantize_op.h,
fake_quant_ops_functor.h).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel

_ONE: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_LARGEST: Final = np.finfo(np.float32).max


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _away_from_zero(xp: Any, x: Any) -> Any:
    """Rounded, halves to the greater magnitude."""
    whole = xp.trunc(x)
    return whole + xp.sign(x) * (abs(x - whole) >= _HALF)


def _spread(xp: Any, ends: Any, axis: int, x: Any, what: str) -> Any:
    """The ends of ranges as an array that goes with `x`.

    Raises:
        InvalidArgumentError: they are no scalar, or not one for each index of the axis.
    """
    if axis < 0:
        if ends.size != 1:
            raise _refuse(f"{what} must be a scalar, or have one element, not shape {ends.shape}")
        return ends.reshape(())
    if axis >= x.ndim:
        raise _refuse(f"Axis must be less than input dimension ({x.ndim}), got {axis}")
    if ends.shape != (x.shape[axis],):
        raise _refuse(
            f"{what} must be a vector with one element for each index of dimension {axis}, "
            f"{x.shape[axis]}, not shape {ends.shape}"
        )
    return ends.reshape((-1, *[1] * (x.ndim - axis - 1)))


def _limits(dtype: Any) -> tuple[Any, Any]:
    info = np.iinfo(dtype)
    return np.float32(info.min), np.float32(info.max)


def _whole(T: DType) -> Any:
    """The type of NumPy that quantized numbers are made of."""
    (name,) = T.numpy.names
    return T.numpy[name]


# --- quantized types ------------------------------------------------------------------------------


@kernel("QuantizeV2")
def quantize_v2(
    xp: Any,
    input: Any,
    min_range: Any,
    max_range: Any,
    *,
    T: DType,
    mode: bytes,
    round_mode: bytes,
    narrow_range: bool,
    axis: int,
    ensure_minimum_range: float,
) -> tuple[Any, Any, Any]:
    """The numbers, and the ends of the ranges as they were taken."""
    if round_mode == b"HALF_TO_EVEN" and mode != b"SCALED":
        raise _refuse("Round mode 'HALF_TO_EVEN' only supported for mode 'SCALED'.")
    lows, highs = (
        _spread(xp, ends, axis, input, what)
        for ends, what in ((min_range, "min_range"), (max_range, "max_range"))
    )
    if (lows > highs).any():
        raise _refuse("min_range must be not greater than max_range")
    least = xp.maximum(_ONE, xp.maximum(abs(lows), abs(highs))) * np.float32(ensure_minimum_range)
    lows = xp.minimum(lows, np.float32(0))
    highs = xp.maximum(xp.maximum(highs, lows + least), np.float32(0))
    whole = _whole(T)
    lowest, highest = _limits(whole)
    if mode == b"MIN_COMBINED":
        scale = (highest - lowest) / (highs - lows)
        half = (highest - lowest + _ONE) / np.float32(2) if whole.kind == "i" else np.float32(0)
        found = (xp.clip(input, lows, highs) - lows) * scale - half
        found = _away_from_zero(xp, found)
    elif mode == b"MIN_FIRST":
        steps = np.float64(1 << (8 * whole.itemsize))
        adjusted = (highs.astype(xp.float64) - lows) * (steps / (steps - 1.0))
        scale = (steps / adjusted).astype(xp.float32)
        first = _away_from_zero(xp, lows * scale)
        found = _away_from_zero(xp, input * scale) - (first - lowest)
    else:
        low = lowest + (_ONE if narrow_range else np.float32(0))
        by_low = xp.where(low * lows > 0, low / xp.where(lows, lows, _ONE), _LARGEST)
        by_high = xp.where(highest * highs > 0, highest / xp.where(highs, highs, _ONE), _LARGEST)
        scale = xp.minimum(by_low, by_high).astype(xp.float32)
        lows, highs = low / scale, highest / scale
        found = xp.clip(input, lows, highs) * scale
        even = round_mode == b"HALF_TO_EVEN"
        found = xp.rint(found) if even else _away_from_zero(xp, found)
    numbers = _saturated(xp, found, whole)
    ends = [xp.asarray(end, xp.float32).reshape(min_range.shape if axis >= 0 else ())
            for end in (lows, highs)]  # fmt: skip
    return numbers.view(T.numpy), ends[0], ends[1]


def _saturated(xp: Any, x: Any, whole: Any) -> Any:
    """As whole numbers; what lies beyond the type is its last one."""
    info = np.iinfo(whole)
    # In float64, where the last numbers of 32 bits are exact.
    return xp.clip(x.astype(xp.float64), info.min, info.max).astype(whole)


@kernel("Dequantize")
def dequantize(
    xp: Any,
    input: Any,
    min_range: Any,
    max_range: Any,
    *,
    mode: bytes,
    narrow_range: bool,
    axis: int,
    dtype: DType,
) -> Any:
    """The floats that numbers stand for."""
    (name,) = input.dtype.names
    whole = input.dtype[name]
    numbers = xp.ascontiguousarray(input).view(whole).astype(xp.float32)
    lows, highs = (
        _spread(xp, ends, axis, input, what)
        for ends, what in ((min_range, "min_range"), (max_range, "max_range"))
    )
    lowest, highest = _limits(whole)
    if mode == b"MIN_COMBINED":
        half = (highest - lowest + _ONE) / np.float32(2) if whole.kind == "i" else np.float32(0)
        found = (numbers + half) * ((highs - lows) / (highest - lowest)) + lows
    elif mode == b"MIN_FIRST":
        steps = np.float32((1 << (8 * whole.itemsize)) - 1)
        scale = (highs - lows) / steps
        step = xp.where(scale, scale, _ONE)
        first = xp.where(highs == lows, lows, _away_from_zero(xp, lows / step) * scale)
        found = first.astype(xp.float32) + (numbers - lowest) * scale
    else:
        low = lowest + (_ONE if narrow_range else np.float32(0))
        scale = highs / highest
        if low:
            scale = xp.maximum(lows / low, scale)
        found = numbers * scale
    return found.astype(dtype.numpy)


# --- rounded floats -------------------------------------------------------------------------------


def _rounded_in(
    xp: Any, x: Any, lows: Any, highs: Any, bits: int, signed: bool, narrow: bool, given: bool,
    axis: int, half_up: bool,
) -> Any:  # fmt: skip
    """Floats at the steps of numbers of so many bits."""
    if not 1 <= bits <= (62 if signed else 63):
        raise _refuse(f"num_bits is out of range: {bits} with signed_input {signed}")
    kind = x.dtype.type
    if given:
        lows, highs = (
            _spread(xp, ends, axis, x, what)
            for ends, what in ((lows, "input_min"), (highs, "input_max"))
        )
        if (lows > highs).any():
            raise _refuse("Invalid range: input_min > input_max")
    elif not x.size:
        return x.copy()
    else:
        axes = tuple(i for i in range(x.ndim) if i != axis) if axis >= 0 else None
        lows, highs = (f(axis=axes, keepdims=axis >= 0) for f in (x.min, x.max))
    low = -(1 << (bits - 1)) + narrow if signed else 0
    high = (1 << (bits - (1 if signed else 0))) - 1
    low, high = kind(low), kind(high)
    most = np.finfo(x.dtype).max
    by_low = xp.where(low * lows > 0, low / xp.where(lows, lows, kind(1)), most)
    by_high = xp.where(high * highs > 0, high / xp.where(highs, highs, kind(1)), most)
    is_low = by_low < by_high
    back = xp.where(is_low, lows / (low or kind(1)), highs / high).astype(x.dtype)
    scale = xp.where(is_low, by_low, by_high).astype(x.dtype)
    if given:
        first, last = xp.where(is_low, lows, low * back), xp.where(is_low, high * back, highs)
        x = xp.clip(x, first.astype(x.dtype), last.astype(x.dtype))
    steps = x * scale
    whole = xp.floor(steps + kind(0.5)) if half_up else xp.rint(steps)
    return whole * back


@kernel("QuantizeAndDequantizeV2")
def quantize_and_dequantize_v2(
    xp: Any,
    input: Any,
    input_min: Any,
    input_max: Any,
    *,
    signed_input: bool,
    num_bits: int,
    range_given: bool,
    round_mode: bytes,
    narrow_range: bool,
    axis: int,
) -> Any:
    """Floats at the steps of whole numbers."""
    return _rounded_in(
        xp, input, input_min, input_max, num_bits, signed_input, narrow_range, range_given, axis,
        round_mode == b"HALF_UP",
    )  # fmt: skip


@kernel("QuantizeAndDequantizeV3", host=["num_bits"])
def quantize_and_dequantize_v3(
    xp: Any,
    input: Any,
    input_min: Any,
    input_max: Any,
    num_bits: Any,
    *,
    signed_input: bool,
    range_given: bool,
    narrow_range: bool,
    axis: int,
) -> Any:
    """As the second version; the number of bits is an input."""
    if num_bits.size != 1:
        raise _refuse("num_bits must be a scalar")
    return _rounded_in(
        xp, input, input_min, input_max, int(num_bits), signed_input, narrow_range, range_given,
        axis, False,
    )  # fmt: skip


class _Nudged:
    """A range, moved so that zero is one of its steps."""

    def __init__(self, xp: Any, low: Any, high: Any, num_bits: int, narrow_range: bool) -> None:
        if not 2 <= num_bits <= 16:
            raise _refuse(f"num_bits must be between 2 and 16, inclusive, not {num_bits}")
        first, last = np.float32(narrow_range), np.float32((1 << num_bits) - 1)
        self.scale = (high - low) / (last - first)
        # A range of nothing is given back as it is: zero.
        scale = xp.where(self.scale == 0, _ONE, self.scale)
        zero = _away_from_zero(xp, xp.clip(first - low / scale, first, last))
        self.low = ((first - zero) * self.scale).astype(xp.float32)
        self.high = ((last - zero) * self.scale).astype(xp.float32)
        self._inverse = _ONE / scale

    def rounded(self, xp: Any, x: Any) -> Any:
        zero = xp.floor(_HALF - self.low * self._inverse)
        inside = xp.clip(x, self.low, self.high) - self.low
        return xp.floor(inside * self._inverse - zero + _HALF) * self.scale

    def inside(self, x: Any) -> Any:
        return (x >= self.low) & (x <= self.high)


def _range_of(xp: Any, low: float, high: float, num_bits: int, narrow_range: bool) -> _Nudged:
    if low >= high:
        raise _refuse(f"min has to be smaller than max, was: {low} >= {high}")
    return _Nudged(xp, np.float32(low), np.float32(high), num_bits, narrow_range)


@kernel("FakeQuantWithMinMaxArgs")
def fake_quant_with_min_max_args(
    xp: Any, inputs: Any, *, min: float, max: float, num_bits: int, narrow_range: bool
) -> Any:
    """Rounded to the steps of a range that is known."""
    return _range_of(xp, min, max, num_bits, narrow_range).rounded(xp, inputs)


@kernel("FakeQuantWithMinMaxArgsGradient")
def fake_quant_with_min_max_args_gradient(
    xp: Any,
    gradients: Any,
    inputs: Any,
    *,
    min: float,
    max: float,
    num_bits: int,
    narrow_range: bool,
) -> Any:
    """Through what is in the range."""
    if gradients.shape != inputs.shape:
        raise _refuse("gradient and input must be the same size")
    return gradients * _range_of(xp, min, max, num_bits, narrow_range).inside(inputs)


def _check_ends(low: Any, high: Any, shape: tuple[int, ...]) -> None:
    for end, what in ((low, "min"), (high, "max")):
        if end.shape != shape:
            raise _refuse(f"`{what}` has incorrect size, expected shape {shape}, was {end.shape}")


def _channels(inputs: Any) -> tuple[int, ...]:
    if not inputs.ndim:
        raise _refuse("inputs must have a dimension of channels")
    return (inputs.shape[-1],)


@kernel("FakeQuantWithMinMaxVars")
def fake_quant_with_min_max_vars(
    xp: Any, inputs: Any, min: Any, max: Any, *, num_bits: int, narrow_range: bool
) -> Any:
    """Rounded to the steps of one range."""
    _check_ends(min, max, ())
    return _Nudged(xp, min, max, num_bits, narrow_range).rounded(xp, inputs)


@kernel("FakeQuantWithMinMaxVarsPerChannel")
def fake_quant_with_min_max_vars_per_channel(
    xp: Any, inputs: Any, min: Any, max: Any, *, num_bits: int, narrow_range: bool
) -> Any:
    """Rounded to the steps of each channel's range."""
    _check_ends(min, max, _channels(inputs))
    return _Nudged(xp, min, max, num_bits, narrow_range).rounded(xp, inputs)


def _back(
    xp: Any, gradients: Any, inputs: Any, low: Any, high: Any, bits: int, narrow: bool
) -> tuple[Any, Any, Any]:
    """To the inputs what is in the range, to its ends what is beyond them."""
    if gradients.shape != inputs.shape:
        raise _refuse("gradient and input must be the same size")
    found = _Nudged(xp, low, high, bits, narrow)
    # A range of nothing lets all through.
    is_none = (low == 0) & (high == 0)
    axes = tuple(range(inputs.ndim - low.ndim))
    zero = xp.zeros((), xp.float32)
    sums = [
        xp.where(beyond & ~is_none, gradients, zero).sum(axis=axes, dtype=xp.float32)
        for beyond in (inputs < found.low, inputs > found.high)
    ]
    return gradients * (found.inside(inputs) | is_none), sums[0], sums[1]


@kernel("FakeQuantWithMinMaxVarsGradient")
def fake_quant_with_min_max_vars_gradient(
    xp: Any, gradients: Any, inputs: Any, min: Any, max: Any, *, num_bits: int, narrow_range: bool
) -> tuple[Any, Any, Any]:
    """Of one range."""
    _check_ends(min, max, ())
    return _back(xp, gradients, inputs, min, max, num_bits, narrow_range)


@kernel("FakeQuantWithMinMaxVarsPerChannelGradient")
def fake_quant_with_min_max_vars_per_channel_gradient(
    xp: Any, gradients: Any, inputs: Any, min: Any, max: Any, *, num_bits: int, narrow_range: bool
) -> tuple[Any, Any, Any]:
    """Of each channel's range."""
    _check_ends(min, max, _channels(inputs))
    return _back(xp, gradients, inputs, min, max, num_bits, narrow_range)
