"""Normalizing by the statistics of a batch, or by neighbouring channels; all in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import affine, kernel
from tfsession.core.shape import debug_string
from tfsession.devices.onednn import dnn_library
from tfsession.devices.threads import even_rows, run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels import norm_library
from tfsession.kernels.nn import widened


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# Bytes of a tensor in a block, and numbers in a row of it: NumPy repeats a vector at full speed
# only if it is longer than the buffers of its iterators. What a library does is done sooner.
_BLOCK, _LIBRARY_BLOCK, _ROW = 1 << 20, 2 << 20, 16384


class _Channels:
    """A tensor in which each channel's numbers can be reached at once.

    Channels that come last are columns of a matrix, several times beside each other if they are
    few; others lie as `[batch, channels, positions]`.
    """

    def __init__(self, xp: Any, shape: tuple[int, ...], data_format: bytes, what: str) -> None:
        rank = len(data_format)
        if len(shape) != rank:
            raise _refuse(f"{what} must be {rank}-dimensional{debug_string(shape)}")
        self._xp = xp
        self.first = data_format.startswith(b"NC")
        self.depth = shape[1 if self.first else -1]
        self.count = math.prod(shape) // max(self.depth, 1)
        if self.first:
            self._repeats = 1
            self.shape: tuple[int, ...] = (shape[0], self.depth, math.prod(shape[2:]))
        else:
            most = max(_ROW // max(self.depth, 1), 1)
            self._repeats = math.gcd(self.count, 1 << (most.bit_length() - 1)) or 1
            self.shape = (self.count // self._repeats, self._repeats * self.depth)
        self._step = even_rows(
            self.shape[0],
            4 * math.prod(self.shape[1:]),
            _LIBRARY_BLOCK if dnn_library(xp) else _BLOCK,
        )

    def laid(self, x: Any) -> Any:
        """The tensor so."""
        return x.reshape(self.shape)

    def columns(self, laid: Any) -> Any:
        """A part of the tensor, laid so, as a matrix with a column for each channel, if it is one.

        A library of neural networks takes these.
        """
        return None if self.first else laid.reshape(-1, self.depth)

    def run(self, task: Callable[[int, int], object]) -> None:
        """Run `task(start, stop)` for blocks of the first dimension."""
        run_blocks(self._xp, self.shape[0], self._step, task)

    def summed(self, task: Callable[[int, int], Sequence[Any]], sums: int) -> Any:
        """What `task(start, stop)` gives for each block, so many vectors: `[sums, blocks, depth]`.

        With it comes how many numbers of each channel are in each block, as a column.
        """
        blocks = -(-self.shape[0] // self._step)
        found = self._xp.empty((sums, blocks, self.depth), "float32")

        def store(start: int, stop: int) -> None:
            # Elsewhere than on the host all is one block.
            for block in range(start // self._step, -(-stop // self._step)):
                first = block * self._step
                vectors = task(first, min(first + self._step, stop))
                for number, vector in enumerate(vectors):
                    found[number, block] = vector

        self.run(store)
        sizes = self._xp.full((blocks, 1), self._step, "float32")
        sizes[-1:] = self.shape[0] - (blocks - 1) * self._step
        return found, sizes * (self.count // max(self.shape[0], 1))

    def spread(self, vector: Any) -> Any:
        """A vector so that it meets its channels."""
        wide = widened(vector)
        return wide[:, None] if self.first else self._xp.tile(wide, self._repeats)

    def total(self, x: Any) -> Any:
        """The sums of the channels."""
        if self.first:
            return x.sum(axis=2, dtype=x.dtype).sum(axis=0, dtype=x.dtype)
        if self._repeats > 1:
            return x.sum(axis=0).reshape(self._repeats, self.depth).sum(axis=0)
        # By BLAS, which sums short rows several times faster, but on one thread at a time.
        return self._xp.matmul(self._xp.ones(x.shape[0], x.dtype), x)

    def check(self, vector: Any, what: str, start: str = "") -> None:
        """Raise InvalidArgumentError unless there is one number for each channel."""
        if vector.ndim != 1:
            raise _refuse(f"{what} must be 1-dimensional{debug_string(vector.shape)}")
        if vector.shape[0] != self.depth:
            raise _refuse(
                f"{start}{what} must have the same number of elements as the channels of x, got "
                f"{vector.shape[0]} and {self.depth}"
            )


def checked(
    xp: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any, data_format: bytes,
    is_training: bool, factor: float,
) -> _Channels:  # fmt: skip
    """How the channels of a tensor lie; raises InvalidArgumentError where shapes are wrong."""
    channels = _Channels(xp, x.shape, data_format, "input")
    channels.check(scale, "scale")
    channels.check(offset, "offset")
    for vector, what in ((mean, "mean"), (variance, "variance")):
        if not is_training:
            channels.check(vector, what, "When is_training=false, ")
        elif factor != 1:
            channels.check(vector, what, "When exponential_avg_factor != 1, ")
    return channels


def _moments(xp: Any, channels: _Channels, laid: Any) -> tuple[Any, Any]:
    """The mean and the variance of each channel, in one pass.

    The squares are of what is left of the mean of a block, and blocks are joined as in Chan, Golub
    and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances".
    """

    def block(start: int, stop: int) -> tuple[Any, Any]:
        part = laid[start:stop]
        count = part.size // channels.depth
        mean, squares = xp.empty((2, channels.depth), "float32")
        with Workspace(xp) as take:
            if norm_library.moments(xp, take, channels.columns(part), mean, squares):
                squares *= count
                return mean, squares
            rest = take(part.shape, "float32")
            mean = channels.total(widened(part)) / xp.float32(count)
            xp.subtract(part, channels.spread(mean), out=rest)
            rest *= rest
            return mean, channels.total(rest)

    (means, squares), sizes = channels.summed(block, 2)
    count = xp.float32(channels.count)
    mean = (means * sizes).sum(axis=0) / count
    means -= mean
    means *= means
    means *= sizes
    squares += means
    return mean, squares.sum(axis=0) / count


def normalized(
    xp: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float,
    factor: float, data_format: bytes, is_training: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """The normalized tensor, running mean and variance, and mean and variance of this one."""
    channels = checked(xp, x, scale, offset, mean, variance, data_format, is_training, factor)
    laid, number = channels.laid(x), scale.dtype.type
    if is_training and x.size:
        centre, spread = _moments(xp, channels, laid)
        unbiased = spread * (number(channels.count) / number(max(channels.count - 1, 1)))
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
    wide = widened(scale), widened(offset)
    result = xp.empty(laid.shape, x.dtype)

    @cache
    def rows() -> tuple[Any, Any, Any]:
        slope = wide[0] / xp.sqrt(spread + number(epsilon))
        return channels.spread(centre), channels.spread(slope), channels.spread(wide[1])

    def block(start: int, stop: int) -> None:
        out = result[start:stop]
        given, wanted = channels.columns(laid[start:stop]), channels.columns(out)
        if norm_library.normalize(xp, given, centre, spread, *wide, epsilon, wanted):
            return
        middle, slope, base = rows()
        with Workspace(xp) as take:
            moved = out if out.dtype == xp.float32 else take(out.shape, "float32")
            xp.subtract(laid[start:stop], middle, out=moved)
            moved *= slope
            moved += base
            if moved is not out:
                out[...] = moved

    channels.run(block)
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
    return normalized(xp, x, scale, offset, mean, variance, epsilon, exponential_avg_factor,
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
    outputs = normalized(xp, x, scale, offset, mean, variance, epsilon, exponential_avg_factor,
                         data_format, is_training)  # fmt: skip
    return (*outputs, xp.zeros(0, scale.dtype))


@affine("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def by_given_statistics(
    xp: Any, epsilon: float, data_format: bytes, is_training: bool
) -> Callable[..., tuple[Any, Any]] | None:
    """The factor and the shift of each channel, where its statistics are given."""
    if is_training or data_format.startswith(b"NC"):
        return None

    def found(scale: Any, offset: Any, mean: Any, variance: Any) -> tuple[Any, Any]:
        factor = scale / xp.sqrt(variance + scale.dtype.type(epsilon))
        return factor, offset - mean * factor

    return found


def checked_for_gradient(
    xp: Any, y_backprop: Any, x: Any, scale: Any, mean: Any, variance: Any, data_format: bytes
) -> _Channels:
    """As `checked`, for the inputs of the gradient."""
    if y_backprop.shape != x.shape:
        raise _refuse(
            "x and y_backprop must have same shape, but x has shape "
            f"{debug_string(x.shape)} and y_backprop has shape {debug_string(y_backprop.shape)}"
        )
    channels = _Channels(xp, x.shape, data_format, "input")
    channels.check(scale, "scale")
    channels.check(mean, "reserve_space_1")
    channels.check(variance, "reserve_space_2")
    return channels


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
    given = y_backprop, x, scale, reserve_space_1, reserve_space_2
    channels = checked_for_gradient(xp, *given, data_format)
    laid, grads = channels.laid(x), channels.laid(y_backprop)
    kind = reserve_space_1.dtype
    nothing = xp.zeros(0, kind)
    vectors = map(widened, (reserve_space_1, reserve_space_2, scale))
    rest = (xp, channels, laid, grads, *vectors, epsilon, is_training)
    of_x, *others = _by_library(*rest) or _gradients(*rest)
    others = [vector.astype(kind, copy=False) for vector in others]
    return (of_x.reshape(x.shape), *others, nothing, nothing.copy())


def _by_library(
    xp: Any, channels: _Channels, laid: Any, grads: Any, mean: Any, variance: Any, scale: Any,
    epsilon: float, is_training: bool,
) -> tuple[Any, Any, Any] | None:  # fmt: skip
    """As `_gradients`, by a library of neural networks; None if there is none for the arrays.

    It computes what the gradients are if mean and variance are given. If they are those of `laid`,
    their share in the gradient for it is a normalized tensor, too.
    """
    if channels.first or dnn_library(xp, laid, grads, mean, variance, scale) is None:
        return None
    of_x = xp.empty(laid.shape, laid.dtype)
    found = []

    def sums(start: int, stop: int) -> tuple[Any, Any]:
        of_scale, of_offset = vectors = xp.empty((2, channels.depth), "float32")
        x, grad, out = (channels.columns(a[start:stop]) for a in (laid, grads, of_x))
        found.append(
            norm_library.back(xp, x, grad, mean, variance, scale, epsilon, out, of_scale, of_offset)
        )
        return vectors

    vectors = channels.summed(sums, 2)[0].sum(axis=1)
    if not all(found):
        return None
    of_scale, of_offset = vectors
    slope = scale / xp.sqrt(variance + xp.float32(epsilon)) / xp.float32(max(channels.count, 1))
    shares = of_scale * slope, of_offset * slope

    def block(start: int, stop: int) -> None:
        out = of_x[start:stop]
        with Workspace(xp) as take:
            share = take(out.shape, out.dtype)
            given, wanted = channels.columns(laid[start:stop]), channels.columns(share)
            norm_library.normalize(xp, given, mean, variance, *shares, epsilon, wanted)
            out -= share

    if is_training:
        channels.run(block)
    return of_x, of_scale, of_offset


def _gradients(
    xp: Any, channels: _Channels, laid: Any, grads: Any, mean: Any, variance: Any, scale: Any,
    epsilon: float, is_training: bool,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The gradients for the tensor, scale and offset."""
    inverse = xp.reciprocal(xp.sqrt(variance + xp.float32(epsilon)))
    middle = channels.spread(mean)

    def sums(start: int, stop: int) -> tuple[Any, Any]:
        grad = grads[start:stop]
        with Workspace(xp) as take:
            share = take(grad.shape, "float32")
            xp.subtract(laid[start:stop], middle, out=share)
            share *= grad
            return channels.total(widened(grad)), channels.total(share)

    (of_offset, of_scale), _ = channels.summed(sums, 2)
    of_offset, of_scale = of_offset.sum(axis=0), of_scale.sum(axis=0) * inverse
    slope = channels.spread(inverse * scale)
    of_x = xp.empty(laid.shape, laid.dtype)
    count = xp.float32(max(channels.count, 1))
    bend, shift = channels.spread(inverse * of_scale / -count), channels.spread(of_offset / count)

    def block(start: int, stop: int) -> None:
        out, grad = of_x[start:stop], grads[start:stop]
        if not is_training:
            xp.multiply(grad, slope, out=out, casting="same_kind")
            return
        with Workspace(xp) as take:
            share = out if out.dtype == xp.float32 else take(out.shape, "float32")
            xp.subtract(laid[start:stop], middle, out=share)
            share *= bend
            share += grad
            share -= shift
            share *= slope
            if share is not out:
                out[...] = share

    channels.run(block)
    return of_x, of_scale, of_offset


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


@kernel("BatchNormWithGlobalNormalization")
def batch_norm_with_global_normalization(
    xp: Any,
    t: Any,
    m: Any,
    v: Any,
    beta: Any,
    gamma: Any,
    *,
    variance_epsilon: float,
    scale_after_normalization: bool,
) -> Any:
    """By given statistics of each channel."""
    if t.ndim != 4:
        raise _refuse(f"input must be 4-dimensional{debug_string(t.shape)}")
    for vector, what in ((m, "mean"), (v, "var"), (beta, "beta"), (gamma, "gamma")):
        if vector.shape != t.shape[3:]:
            raise _refuse(f"{what} must be a vector of {t.shape[3]}, not {vector.shape}")
    factor = 1 / xp.sqrt(v + v.dtype.type(variance_epsilon))
    if scale_after_normalization:
        factor = factor * gamma
    return (t - m) * factor + beta
