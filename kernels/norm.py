"""Normalizing by the statistics of a batch, or by neighbouring channels; all in float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.nn import widened


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# Bytes of a tensor worked on at a time, so that what is made of them stays in the cache.
_BLOCK = 1 << 20


class _Channels:
    """A tensor as a matrix of one column a channel, or as `[batch, channels, positions]`."""

    def __init__(self, xp: Any, shape: tuple[int, ...], data_format: bytes, what: str) -> None:
        rank = len(data_format)
        if len(shape) != rank:
            raise _refuse(f"{what} must be {rank}-dimensional{debug_string(shape)}")
        self._xp = xp
        self.first = data_format.startswith(b"NC")
        self.depth = shape[1 if self.first else -1]
        self.count = math.prod(shape) // max(self.depth, 1)
        self._shape = (
            (shape[0], self.depth, math.prod(shape[2:])) if self.first else (self.count, self.depth)
        )

    def laid(self, x: Any) -> Any:
        """The tensor so."""
        return x.reshape(self._shape)

    def parts(self) -> Iterator[slice]:
        """Slices of the first dimension that are worked on one after the other."""
        length = self._shape[0]
        step = max(_BLOCK * length // max(4 * math.prod(self._shape), 1), 1)
        for first in range(0, length, step):
            yield slice(first, first + step)

    def spread(self, vector: Any) -> Any:
        """A vector so that it meets its channels."""
        wide = widened(vector)
        return wide[:, None] if self.first else wide

    def total(self, x: Any) -> Any:
        """The sums of the channels."""
        if self.first:
            return x.sum(axis=2, dtype=x.dtype).sum(axis=0, dtype=x.dtype)
        # By BLAS, which sums columns several times faster.
        return self._xp.ones(x.shape[0], x.dtype) @ x

    def check(self, vector: Any, what: str, start: str = "") -> None:
        """Raise InvalidArgumentError unless there is one number for each channel."""
        if vector.ndim != 1:
            raise _refuse(f"{what} must be 1-dimensional{debug_string(vector.shape)}")
        if vector.shape[0] != self.depth:
            raise _refuse(
                f"{start}{what} must have the same number of elements as the channels of x, got "
                f"{vector.shape[0]} and {self.depth}"
            )


def _checked(
    xp: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any, data_format: bytes,
    is_training: bool, factor: float,
) -> _Channels:  # fmt: skip
    channels = _Channels(xp, x.shape, data_format, "input")
    channels.check(scale, "scale")
    channels.check(offset, "offset")
    for vector, what in ((mean, "mean"), (variance, "variance")):
        if not is_training:
            channels.check(vector, what, "When is_training=false, ")
        elif factor != 1:
            channels.check(vector, what, "When exponential_avg_factor != 1, ")
    return channels


def _normalize(
    xp: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float,
    factor: float, data_format: bytes, is_training: bool,
) -> tuple[Any, ...]:  # fmt: skip
    channels = _checked(xp, x, scale, offset, mean, variance, data_format, is_training, factor)
    laid, number = channels.laid(x), scale.dtype.type
    if is_training and x.size:
        count = number(channels.count)
        centre = sum(channels.total(widened(laid[part])) for part in channels.parts()) / count
        middle = channels.spread(centre)
        spread = sum(channels.total(xp.square(laid[part] - middle)) for part in channels.parts())
        spread = spread / count
        unbiased = spread * (count / number(max(channels.count - 1, 1)))
        running = [centre, unbiased]
        if factor != 1:
            old = (widened(mean), widened(variance))
            rest, weight = number(1 - factor), number(factor)
            running = [rest * o + weight * n for o, n in zip(old, running, strict=True)]
        outputs = (*running, centre, spread)
    elif is_training:
        nothing = xp.full(channels.depth, math.nan, "float32")
        centre = spread = xp.zeros(channels.depth, "float32")
        outputs = (nothing, nothing, centre, spread)
    else:
        centre, spread = widened(mean), widened(variance)
        outputs = (centre, spread, centre, spread)
    slope = channels.spread(widened(scale) / xp.sqrt(spread + number(epsilon)))
    middle, base = channels.spread(centre), channels.spread(widened(offset))
    result = xp.empty(laid.shape, x.dtype)
    for part in channels.parts():
        moved = laid[part] - middle
        moved *= slope
        moved += base
        result[part] = moved
    return (result.reshape(x.shape), *(value.astype(scale.dtype) for value in outputs))


@kernel("FusedBatchNorm", "FusedBatchNormV2")
def fused_batch_norm(
    xp: Any,
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: bytes,
    is_training: bool,
) -> tuple[Any, ...]:
    """The normalized tensor, running mean and variance, and mean and variance for the gradient."""
    return _normalize(xp, x, scale, offset, mean, variance, epsilon, exponential_avg_factor,
                      data_format, is_training)  # fmt: skip


@kernel("FusedBatchNormV3")
def fused_batch_norm_v3(
    xp: Any,
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: bytes,
    is_training: bool,
) -> tuple[Any, ...]:
    """As the others, with room for what a library would keep: nothing here."""
    outputs = _normalize(xp, x, scale, offset, mean, variance, epsilon, exponential_avg_factor,
                         data_format, is_training)  # fmt: skip
    return (*outputs, xp.zeros(0, scale.dtype))


@kernel("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3")
def fused_batch_norm_grad(
    xp: Any,
    y_backprop: Any,
    x: Any,
    scale: Any,
    reserve_space_1: Any,
    reserve_space_2: Any,
    *_: Any,
    epsilon: float,
    data_format: bytes,
    is_training: bool,
) -> tuple[Any, ...]:
    """The gradients for input, scale and offset, from the mean and variance that were used."""
    if y_backprop.shape != x.shape:
        raise _refuse(
            "x and y_backprop must have same shape, but x has shape "
            f"{debug_string(x.shape)} and y_backprop has shape {debug_string(y_backprop.shape)}"
        )
    channels = _Channels(xp, x.shape, data_format, "input")
    channels.check(scale, "scale")
    channels.check(reserve_space_1, "reserve_space_1")
    channels.check(reserve_space_2, "reserve_space_2")
    laid, grads = channels.laid(x), channels.laid(y_backprop)
    inverse = xp.sqrt(widened(reserve_space_2) + xp.float32(epsilon))
    inverse = xp.reciprocal(inverse)
    middle = channels.spread(widened(reserve_space_1))
    of_offset = of_scale = xp.zeros(channels.depth, "float32")
    for part in channels.parts():
        grad = widened(grads[part])
        of_offset = of_offset + channels.total(grad)
        of_scale = of_scale + channels.total(grad * (laid[part] - middle))
    of_scale *= inverse
    slope = channels.spread(inverse * widened(scale))
    of_x = xp.empty(laid.shape, x.dtype)
    count = xp.float32(max(channels.count, 1))
    bend, shift = channels.spread(inverse * of_scale / -count), channels.spread(of_offset / count)
    for part in channels.parts():
        if not is_training:
            of_x[part] = grads[part] * slope
            continue
        share = laid[part] - middle
        share *= bend
        share += grads[part]
        share -= shift
        share *= slope
        of_x[part] = share
    kind = reserve_space_1.dtype
    nothing = xp.zeros(0, kind)
    return (
        of_x.reshape(x.shape),
        of_scale.astype(kind, copy=False),
        of_offset.astype(kind, copy=False),
        nothing,
        nothing.copy(),
    )


# --- by neighbouring channels ---------------------------------------------------------------------


def _neighbours(xp: Any, rows: Any, radius: int) -> Any:
    """The sums over neighbouring columns: a product with a band of ones, by BLAS."""
    places = xp.arange(rows.shape[1])
    band = xp.absolute(places[:, None] - places) <= radius
    return xp.matmul(rows, band.astype(rows.dtype))


def _images(x: Any, what: str) -> Any:
    if x.ndim != 4:
        raise _refuse(f"{what} must be 4-dimensional")
    return widened(x).reshape(math.prod(x.shape[:3]), x.shape[3])


@kernel("LRN")
def lrn(xp: Any, input: Any, depth_radius: int, bias: float, alpha: float, beta: float) -> Any:
    """The input over a power of the squares of neighbouring channels."""
    rows = _images(input, "in")
    number = rows.dtype.type
    norm = _neighbours(xp, xp.square(rows), depth_radius)
    norm *= number(alpha)
    norm += number(bias)
    result = rows * xp.power(norm, number(-beta))
    return result.reshape(input.shape).astype(input.dtype, copy=False)


@kernel("LRNGrad")
def lrn_grad(
    xp: Any,
    input_grads: Any,
    input_image: Any,
    output_image: Any,
    depth_radius: int,
    bias: float,
    alpha: float,
    beta: float,
) -> Any:
    """The gradient for the input: each number scales itself, and norms its neighbours."""
    grads = _images(input_grads, "input_grads")
    x, y = _images(input_image, "input_image"), _images(output_image, "output_image")
    if not grads.shape == x.shape == y.shape:
        raise _refuse("input_grads, input_image, and out_image should have the same shape")
    number = x.dtype.type
    norm = _neighbours(xp, xp.square(x), depth_radius)
    norm *= number(alpha)
    norm += number(bias)
    shares = _neighbours(xp, grads * y / norm, depth_radius)
    shares *= x
    shares *= number(-2 * alpha * beta)
    shares += grads * xp.power(norm, number(-beta))
    return shares.reshape(input_grads.shape).astype(input_grads.dtype, copy=False)
