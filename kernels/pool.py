"""Pools, one dimension after the other.

The greatest number of a window is the greatest of its rows' greatest, and its first place in order
of the elements is the first of the first rows'; sums are sums of sums. So each dimension costs as
many passes over the array as a window has elements along it, and their product is never paid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.windows import Axis
from tfsession.kernels.conv_windows import checked_axes
from tfsession.kernels.nn import REAL_NUMBERS, widened

# Bytes of the input worked on at a time, so that what is made of it stays in the cache.
_BLOCK = 1 << 20


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _axes(
    shape: Sequence[int],
    rank: int,
    ksize: Sequence[int],
    strides: Sequence[int],
    padding: bytes,
    explicit: Sequence[int] = (),
) -> list[Axis]:
    """An axis for each dimension of the input, those that are not pooled among them."""
    if len(shape) != rank:
        raise _refuse(f"tensor_in must be {rank}-dimensional")
    for name, values in (("ksize", ksize), ("stride", strides)):
        if len(values) != rank:
            raise _refuse(f"Sliding window {name} field must specify {rank} dimensions")
        if min(values) <= 0:
            raise _refuse(f"Sliding window {name} for dimension {values} was zero or negative.")
    if ksize[0] != 1 or strides[0] != 1:
        raise _refuse("Pooling is not yet supported on the batch dimension.")
    pairs = list(zip(explicit[::2], explicit[1::2], strict=True))
    if padding != b"EXPLICIT":
        return checked_axes(shape, ksize, strides, [1] * rank, padding)
    for pair, extent in zip(pairs, ksize, strict=True):
        if any(pair) and max(pair) >= extent:
            raise _refuse(f"padding {max(pair)} needs to be smaller than the window size {extent}")
    return checked_axes(shape, ksize, strides, [1] * rank, padding, pairs)


def _by_images(
    xp: Any, arrays: Sequence[Any], shape: Sequence[int], dtype: Any, function: Callable[..., Any]
) -> Any:
    """`function` of some images of each array at a time; the first array is the largest."""
    batch, size = shape[0], arrays[0].nbytes
    step = max(_BLOCK * batch // max(size, 1), 1)
    if step >= batch:
        result = function(*arrays)
        return result.astype(dtype, copy=any(result is array for array in arrays))
    result = xp.empty(tuple(shape), dtype)
    for first in range(0, batch, step):
        part = slice(first, first + step)
        result[part] = function(*(array[part] for array in arrays))
    return result


def _at(dimension: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * dimension + (part,)


def _pooled_along(xp: Any, x: Any, d: int, axis: Axis, join: Any, start: Any) -> Any:
    """`join` of the elements of each window along dimension `d`; `start` where there is none."""
    meetings = [m for m in map(axis.meeting, range(axis.extent)) if m is not None]
    whole = [m for m in meetings if m[0] == slice(0, axis.steps)]
    parts = [m for m in meetings if m[0] != slice(0, axis.steps)]
    if len(whole) > 1:
        result = join(x[_at(d, whole[0][1])], x[_at(d, whole[1][1])])
    elif whole:
        result = x[_at(d, whole[0][1])].copy()
    else:
        shape = (*x.shape[:d], axis.steps, *x.shape[d + 1 :])
        result = xp.full(shape, start, x.dtype)
    for given, taken in (*whole[2:], *parts):
        target = result[_at(d, given)]
        join(target, x[_at(d, taken)], out=target)
    return result


def _lowest(dtype: Any) -> Any:
    return dtype.type("-inf") if dtype.kind not in "iu" else np.iinfo(dtype).min


def _greatest(xp: Any, x: Any, axes: Sequence[Axis]) -> list[Any]:
    """The input, then what pooling its last dimension, the one before, ... makes of it."""
    stages = [x]
    for d in reversed(range(x.ndim)):
        if not axes[d].is_identity:
            x = _pooled_along(xp, x, d, axes[d], xp.maximum, _lowest(x.dtype))
        stages.append(x)
    return stages


def _max_pool(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    shape = [axis.steps for axis in axes]
    return _by_images(xp, [x], shape, x.dtype, lambda part: _greatest(xp, part, axes)[-1])


# --- to the greatest, and from there --------------------------------------------------------------


def _scattered(xp: Any, grad: Any, x: Any, y: Any, d: int, axis: Axis) -> Any:
    """The gradient of each window given to the first of its elements that is its greatest."""
    result = xp.zeros(x.shape, grad.dtype)
    apart = axis.stride >= axis.extent
    free = xp.ones(y.shape, bool)
    for offset in range(axis.extent):
        meeting = axis.meeting(offset)
        if meeting is None:
            continue
        given, taken = _at(d, meeting[0]), _at(d, meeting[1])
        first = x[taken] == y[given]
        first &= free[given]
        if apart:
            xp.multiply(grad[given], first, out=result[taken])
        else:
            result[taken] += grad[given] * first
        if offset + 1 < axis.extent:
            free[given] ^= first
    return result


def _selected(xp: Any, values: Any, x: Any, y: Any, d: int, axis: Axis) -> Any:
    """What stands in `values` where the first of the greatest elements of each window stands."""
    result = xp.zeros(y.shape, values.dtype)
    for offset in reversed(range(axis.extent)):
        meeting = axis.meeting(offset)
        if meeting is None:
            continue
        given, taken = _at(d, meeting[0]), _at(d, meeting[1])
        first = x[taken] == y[given]
        result[given] = xp.where(first, values[taken], result[given])
    return result


def _check_parts(x: Any, y: Any, grad: Any, like: Any, axes: Sequence[Axis]) -> None:
    if y.shape != tuple(axis.steps for axis in axes):
        raise _refuse(f"Expected orig_output shape to be "
                      f"{debug_string(tuple(axis.steps for axis in axes))}, but got "
                      f"{debug_string(y.shape)}")  # fmt: skip
    if grad.shape != like.shape:
        raise _refuse(
            f"Expected grad shape to be {debug_string(like.shape)}, but got "
            f"{debug_string(grad.shape)}"
        )


def _back(xp: Any, x: Any, y: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    _check_parts(x, y, grad, y, axes)

    def back(x: Any, y: Any, grad: Any) -> Any:
        stages = _greatest(xp, x, axes)
        result = widened(grad)
        for d in range(x.ndim):
            if not axes[d].is_identity:
                before, after = stages[x.ndim - d - 1], stages[x.ndim - d]
                result = _scattered(xp, result, before, after, d, axes[d])
        return result

    return _by_images(xp, [x, y, grad], x.shape, grad.dtype, back)


def _forward(xp: Any, x: Any, y: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    _check_parts(x, y, grad, x, axes)

    def forward(x: Any, y: Any, grad: Any) -> Any:
        stages = _greatest(xp, x, axes)
        result = grad
        for number, d in enumerate(reversed(range(x.ndim))):
            if not axes[d].is_identity:
                result = _selected(xp, result, stages[number], stages[number + 1], d, axes[d])
        return result

    return _by_images(xp, [x, y, grad], y.shape, grad.dtype, forward)


@kernel("MaxPool", types={"T": REAL_NUMBERS})
def max_pool(
    xp: Any,
    input: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
) -> Any:
    """The greatest number of each window."""
    return _max_pool(xp, input, _axes(input.shape, 4, ksize, strides, padding, explicit_paddings))


@kernel("MaxPoolV2", types={"T": REAL_NUMBERS}, host=["ksize", "strides"])
def max_pool_v2(xp: Any, input: Any, ksize: Any, strides: Any, padding: bytes) -> Any:
    """The greatest number of each window, whose size and step are inputs."""
    axes = _axes(input.shape, 4, ksize.tolist(), strides.tolist(), padding)
    return _max_pool(xp, input, axes)


@kernel("MaxPool3D")
def max_pool3d(xp: Any, input: Any, ksize: list[int], strides: list[int], padding: bytes) -> Any:
    """The greatest number of each window of volumes."""
    return _max_pool(xp, input, _axes(input.shape, 5, ksize, strides, padding))


@kernel("MaxPoolGrad")
def max_pool_grad(
    xp: Any,
    orig_input: Any,
    orig_output: Any,
    grad: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
) -> Any:
    """The gradient for the input."""
    axes = _axes(orig_input.shape, 4, ksize, strides, padding, explicit_paddings)
    return _back(xp, orig_input, orig_output, grad, axes)


@kernel("MaxPoolGradV2", host=["ksize", "strides"])
def max_pool_grad_v2(
    xp: Any, orig_input: Any, orig_output: Any, grad: Any, ksize: Any, strides: Any, padding: bytes
) -> Any:
    """The gradient for the input."""
    axes = _axes(orig_input.shape, 4, ksize.tolist(), strides.tolist(), padding)
    return _back(xp, orig_input, orig_output, grad, axes)


@kernel("MaxPool3DGrad")
def max_pool3d_grad(
    xp: Any,
    orig_input: Any,
    orig_output: Any,
    grad: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
) -> Any:
    """The gradient for the input."""
    axes = _axes(orig_input.shape, 5, ksize, strides, padding)
    return _back(xp, orig_input, orig_output, grad, axes)


@kernel("MaxPoolGradGrad")
def max_pool_grad_grad(
    xp: Any,
    orig_input: Any,
    orig_output: Any,
    grad: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
) -> Any:
    """What of the gradient stands at the greatest number of each window."""
    axes = _axes(orig_input.shape, 4, ksize, strides, padding)
    return _forward(xp, orig_input, orig_output, grad, axes)


@kernel("MaxPoolGradGradV2", host=["ksize", "strides"])
def max_pool_grad_grad_v2(
    xp: Any, orig_input: Any, orig_output: Any, grad: Any, ksize: Any, strides: Any, padding: bytes
) -> Any:
    """What of the gradient stands at the greatest number of each window."""
    axes = _axes(orig_input.shape, 4, ksize.tolist(), strides.tolist(), padding)
    return _forward(xp, orig_input, orig_output, grad, axes)


@kernel("MaxPool3DGradGrad")
def max_pool3d_grad_grad(
    xp: Any,
    orig_input: Any,
    orig_output: Any,
    grad: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
) -> Any:
    """What of the gradient stands at the greatest number of each window."""
    axes = _axes(orig_input.shape, 5, ksize, strides, padding)
    return _forward(xp, orig_input, orig_output, grad, axes)


# --- places ---------------------------------------------------------------------------------------


@kernel("MaxPoolWithArgmax")
def max_pool_with_argmax(
    xp: Any,
    input: Any,
    ksize: list[int],
    strides: list[int],
    Targmax: Any,
    padding: bytes,
    include_batch_in_index: bool,
) -> Any:
    """The greatest number of each window, and its place in the image, or in the batch."""
    axes = _axes(input.shape, 4, ksize, strides, padding)
    if not axes[3].is_identity:
        raise _refuse("max_pool_with_argmax does not pool along the depth")
    n = input.shape[0] if include_batch_in_index else 1
    places = xp.arange(n * input[:1].size, dtype=Targmax.as_numpy_dtype)
    places = xp.broadcast_to(places.reshape(n, *input.shape[1:]), input.shape)
    greatest = _max_pool(xp, input, axes)
    return greatest, _forward(xp, input, greatest, places, axes)


@kernel("MaxPoolGradWithArgmax")
def max_pool_grad_with_argmax(
    xp: Any, input: Any, grad: Any, argmax: Any, include_batch_in_index: bool
) -> Any:
    """The gradient for the input: that of each window added at its place."""
    if grad.shape != argmax.shape:
        raise _refuse(
            f"Expected argmax shape to be {debug_string(grad.shape)}, but got "
            f"{debug_string(argmax.shape)}"
        )
    result = xp.zeros(input.size, widened(grad).dtype)
    places = argmax.astype(xp.int64)
    if not include_batch_in_index and input.shape[0]:
        image = input.size // input.shape[0]
        starts = xp.arange(input.shape[0], dtype=xp.int64) * image
        places = places + starts.reshape(-1, 1, 1, 1)
    if places.size and bool(((places < 0) | (places >= input.size)).any()):
        raise _refuse(f"Invalid index in argmax: places must be in [0, {input.size})")
    xp.add.at(result, places.reshape(-1), widened(grad).reshape(-1))
    return result.reshape(input.shape).astype(grad.dtype, copy=False)


# --- means ----------------------------------------------------------------------------------------


def _counts(axis: Axis) -> list[int]:
    """How many elements of each window are no padding."""
    starts = [i * axis.stride - axis.before for i in range(axis.steps)]
    return [min(start + axis.extent, axis.size) - max(start, 0) for start in starts]


def _divide(xp: Any, x: Any, axes: Sequence[Axis]) -> None:
    """Divide sums by the number of their elements, in place."""
    for d, axis in enumerate(axes):
        counts = [] if axis.is_identity else _counts(axis)
        if not counts:
            continue
        if len(set(counts)) == 1:
            x /= x.dtype.type(counts[0])
        else:
            x /= xp.asarray(counts, x.dtype).reshape(-1, *(1,) * (x.ndim - d - 1))


def _mean_pool(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    def mean(part: Any) -> Any:
        result = wide = widened(part)
        for d in range(x.ndim):
            if not axes[d].is_identity:
                result = _pooled_along(xp, result, d, axes[d], xp.add, 0)
        result = result.copy() if result is wide else result
        _divide(xp, result, axes)
        return result

    return _by_images(xp, [x], [axis.steps for axis in axes], x.dtype, mean)


def _mean_back(
    xp: Any, sizes: Any, grad: Any, find_axes: Callable[[Sequence[int]], list[Axis]]
) -> Any:
    shape = sizes.tolist()
    if sizes.ndim != 1 or len(shape) != grad.ndim or min(shape) < 0:
        raise _refuse(f"out_backprop and input_shape must have one rank, not {grad.ndim}, {shape}")
    axes = find_axes(shape)
    steps = tuple(axis.steps for axis in axes)
    if grad.shape != steps:
        raise _refuse(
            f"Expected grad shape to be {debug_string(steps)}, but got {debug_string(grad.shape)}"
        )
    result = grad.astype(widened(grad).dtype)
    _divide(xp, result, axes)
    for d, axis in enumerate(axes):
        if axis.is_identity:
            continue
        total = xp.zeros((*result.shape[:d], axis.size, *result.shape[d + 1 :]), result.dtype)
        for offset in range(axis.extent):
            meeting = axis.meeting(offset)
            if meeting is not None:
                total[_at(d, meeting[1])] += result[_at(d, meeting[0])]
        result = total
    return result.astype(grad.dtype, copy=False)


@kernel("AvgPool")
def avg_pool(xp: Any, value: Any, ksize: list[int], strides: list[int], padding: bytes) -> Any:
    """The mean of each window, padding not counted."""
    return _mean_pool(xp, value, _axes(value.shape, 4, ksize, strides, padding))


@kernel("AvgPool3D")
def avg_pool3d(xp: Any, input: Any, ksize: list[int], strides: list[int], padding: bytes) -> Any:
    """The mean of each window of volumes."""
    return _mean_pool(xp, input, _axes(input.shape, 5, ksize, strides, padding))


@kernel("AvgPoolGrad", host=["orig_input_shape"])
def avg_pool_grad(
    xp: Any,
    orig_input_shape: Any,
    grad: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
) -> Any:
    """The gradient for the input: shared among the elements of each window."""
    return _mean_back(
        xp, orig_input_shape, grad, lambda shape: _axes(shape, 4, ksize, strides, padding)
    )


@kernel("AvgPool3DGrad", host=["orig_input_shape"])
def avg_pool3d_grad(
    xp: Any,
    orig_input_shape: Any,
    grad: Any,
    ksize: list[int],
    strides: list[int],
    padding: bytes,
) -> Any:
    """The gradient for the input: shared among the elements of each window."""
    return _mean_back(
        xp, orig_input_shape, grad, lambda shape: _axes(shape, 5, ksize, strides, padding)
    )
