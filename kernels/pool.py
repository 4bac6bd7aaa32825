"""Pools, one dimension after the other.

The greatest number of a window is the greatest of its rows' greatest, and its first place in order
of the elements is the first of the first rows'; sums are sums of sums. So each dimension costs as
many passes over the array as a window has elements along it, and their product is never paid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.windows import Axis
from tfsession.kernels import pool_library
from tfsession.kernels.conv_windows import Then
from tfsession.kernels.cuda import pool as of_cards
from tfsession.kernels.nn import REAL_NUMBERS, widened
from tfsession.kernels.pool_windows import along, by_elements, by_windows, pool_axes
from tfsession.kernels.segment_sums import without_strays


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# --- to one number --------------------------------------------------------------------------------


def _joined_along(x: Any, d: int, axis: Axis, join: Any, start: Any, out: Any) -> None:
    """`join` of the elements of each window along dimension `d`; `start` where there is none."""
    meetings = [m for m in map(axis.meeting, axis.offsets) if m is not None]
    whole = [m for m in meetings if m[0] == slice(0, axis.steps)]
    parts = [m for m in meetings if m[0] != slice(0, axis.steps)]
    if len(whole) > 1:
        join(x[along(d, whole[0][1])], x[along(d, whole[1][1])], out=out)
    else:
        out[...] = x[along(d, whole[0][1])] if whole else start
    for given, taken in (*whole[2:], *parts):
        target = out[along(d, given)]
        join(target, x[along(d, taken)], out=target)


def _joined(take: Any, out: Any, axes: Sequence[Axis], x: Any, join: Any, start: Any) -> None:
    """`join` of the elements of each window.

    It begins with the first dimension, along which whole rows meet: that halves what is left for
    the others, where NumPy is slower.
    """
    pooled = [d for d in range(x.ndim) if not axes[d].is_identity]
    for d in pooled:
        shape = (*x.shape[:d], axes[d].steps, *x.shape[d + 1 :])
        target = out if d == pooled[-1] and out.dtype == x.dtype else take(shape, x.dtype)
        _joined_along(x, d, axes[d], join, start, target)
        x = target
    if x is not out:
        out[...] = x


def _wide(take: Any, x: Any) -> Any:
    """`x`, but half and bfloat16 as float32."""
    if x.dtype.itemsize > 2 or x.dtype.kind in "iu":
        return x
    wide = take(x.shape, "float32")
    wide[...] = x
    return wide


def _copied(take: Any, x: Any) -> Any:
    """A copy that may be changed; of half and bfloat16 as float32."""
    copy = take(x.shape, widened(x[:0]).dtype)
    copy[...] = x
    return copy


def _lowest(dtype: Any) -> Any:
    return dtype.type("-inf") if dtype.kind not in "iu" else np.iinfo(dtype).min


def _max_pool(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    lowest = _lowest(widened(x[:0]).dtype)

    def greatest(take: Any, out: Any, axes: Sequence[Axis], part: Any) -> None:
        if pool_library.maximum(xp, part, axes, out):
            return
        _joined(take, out, axes, _wide(take, part), xp.maximum, lowest)

    found = of_cards.greatest(xp, x, axes)
    return by_windows(xp, [x], x.dtype, axes, greatest) if found is None else found


# --- to the greatest, and from there --------------------------------------------------------------


class _Contest(NamedTuple):
    """An offset in the windows along one dimension, and where its element is the greatest so far.

    What is equal does not win, so the last one to win is the first of the greatest.
    """

    given: tuple[slice, ...]  # the windows in which it is no padding
    taken: tuple[slice, ...]  # its elements
    wins: Any  # for each of these windows; None: all


def _contests(
    xp: Any, take: Any, x: Any, d: int, axis: Axis, is_last: bool
) -> tuple[list[_Contest], Any]:
    """The offsets in their order, and the greatest element of each window that is not NaN.

    The latter is left unfinished if `is_last`.
    """
    result: list[_Contest] = []
    room = take((*x.shape[:d], axis.steps, *x.shape[d + 1 :]), x.dtype)
    greatest, begun = room, axis.steps
    for offset in axis.offsets:
        meeting = axis.meeting(offset)
        if meeting is None:
            continue
        given, taken = (along(d, part) for part in meeting)
        element = x[taken]
        # Windows before `begun` had padding only until now.
        first, stop = meeting[0].start, meeting[0].stop
        fresh = min(begun, stop) - first
        begun = min(begun, first)
        if first + fresh == stop:
            wins = None
            if fresh == axis.steps:
                greatest = element
            else:
                room[given] = element
        else:
            wins = take(element.shape, bool)
            if greatest is not room and fresh + stop - first != axis.steps:
                room[...] = greatest
                greatest = room
            before, later = greatest[along(d, slice(first + fresh, stop))], element
            if fresh:
                wins[along(d, slice(0, fresh))] = True
                room[along(d, slice(first, first + fresh))] = element[along(d, slice(0, fresh))]
                later = element[along(d, slice(fresh, None))]
            xp.less(before, later, out=wins[along(d, slice(fresh, None))])
            if not (is_last and offset + 1 == axis.extent):
                xp.fmax(before, later, out=room[along(d, slice(first + fresh, stop))])
            greatest = room
        result.append(_Contest(given, taken, wins))
    return result, greatest


def _all_contests(
    xp: Any, take: Any, x: Any, axes: Sequence[Axis]
) -> list[tuple[int, list[_Contest]]]:
    """The dimensions that are pooled, the last one first, and their contests."""
    result = []
    pooled = [d for d in range(x.ndim) if not axes[d].is_identity]
    for d in reversed(pooled):
        contests, x = _contests(xp, take, x, d, axes[d], d == pooled[0])
        result.append((d, contests))
    return result


def _is_tiled(axis: Axis) -> bool:
    """Whether each element is in one window."""
    return axis.extent == axis.stride and axis.steps * axis.stride == axis.size and not axis.before


def _to_winners(
    xp: Any, take: Any, grad: Any, contests: Sequence[_Contest], axis: Axis, out: Any
) -> None:
    """The gradient of each window added to its winner, in `out`; `grad` is used up.

    What is not won must be zero even if the gradient is infinite, so bits are multiplied.
    """
    bits = xp.dtype(f"i{grad.dtype.itemsize}")
    left, apart = grad.view(bits), axis.stride >= axis.extent
    room = None if apart else take(grad.shape, bits)
    if not _is_tiled(axis):
        out[...] = 0
    for given, taken, wins in reversed(contests):
        share, target = left[given], out[taken]
        if wins is not None:
            share = xp.multiply(share, wins, out=target.view(bits) if apart else room[given])
            left[given] -= share
            if not apart:
                target += share.view(grad.dtype)
        elif apart:
            target[...] = share.view(grad.dtype)
        else:
            target += share.view(grad.dtype)


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


def _back(xp: Any, x: Any, y: Any, grad: Any, axes: Sequence[Axis], then: Then = None) -> Any:
    _check_parts(x, y, grad, y, axes)
    give = partial(_give, xp)
    if x.ndim == 4 and x.size and all(map(_is_tiled, axes)) and _sizes(axes) == [1, 2, 2, 1]:
        lefts = xp.arange(x.shape[2] * x.shape[3]) // x.shape[3] % 2 == 0
        give = partial(_give_pairs, xp, lefts)
    found = of_cards.of_greatest(xp, x, grad, axes) if then is None else None
    return by_elements(xp, [x], [grad], grad.dtype, axes, give, then) if found is None else found


def _give(xp: Any, take: Any, out: Any, axes: Sequence[Axis], x: Any, grad: Any) -> None:
    """The gradient of each window given to its winner, one dimension after the other."""
    if pool_library.to_maximum(xp, take, x, grad, axes, out):
        return
    rest = _copied(take, grad)
    contests = _all_contests(xp, take, _wide(take, x), axes)
    for d, rounds in reversed(contests):
        shape = (*rest.shape[:d], axes[d].size, *rest.shape[d + 1 :])
        is_last = d == contests[0][0] and out.dtype == rest.dtype
        target = out if is_last else take(shape, rest.dtype)
        _to_winners(xp, take, rest, rounds, axes[d], target)
        rest = target
    if rest is not out:
        out[...] = rest


def _sizes(axes: Sequence[Axis]) -> list[int]:
    return [axis.extent for axis in axes]


def _give_pairs(
    xp: Any, lefts: Any, take: Any, out: Any, axes: Sequence[Axis], x: Any, grad: Any
) -> None:
    """As `_give`, where windows of 2x2 tile the image, in long runs of memory.

    Each element meets the one to its right, even if that is in the next window: NumPy is slow where
    short runs lie apart. `lefts` says which elements of a row are the left ones of their windows.
    """
    if pool_library.to_maximum(xp, take, x, grad, axes, out):
        return
    width, depth = x.shape[2:]
    flat = _wide(take, x).reshape(-1)
    best, wins = take(flat.shape, flat.dtype), take(flat.shape, bool)
    xp.fmax(flat[:-depth], flat[depth:], out=best[:-depth])
    xp.less(flat[:-depth], flat[depth:], out=wins[:-depth])
    best[-depth:], wins[-depth:] = 0, False
    rows = best.reshape(-1, 2, width * depth)
    lower = take((len(rows), width * depth), bool)
    xp.less(rows[:, 0], rows[:, 1], out=lower)
    lower = _for_both(xp, take, lower, lefts, depth)
    wins = _for_both(xp, take, wins.reshape(-1, width * depth), lefts, depth)
    xp.not_equal(wins, lefts, out=wins)
    wins = wins.reshape(rows.shape)
    xp.greater(wins[:, 0], lower, out=wins[:, 0])
    xp.logical_and(wins[:, 1], lower, out=wins[:, 1])
    twice = take((*grad.shape[:3], 2, depth), grad.dtype)
    twice[...] = grad[:, :, :, None]
    bits = xp.dtype(f"i{grad.dtype.itemsize}")
    result = out.view(bits).reshape(rows.shape)
    result[...] = wins  # as bits, so that what is not won is zero even if the gradient is infinite
    result *= twice.view(bits).reshape(-1, 1, width * depth)


def _for_both(xp: Any, take: Any, wins: Any, lefts: Any, depth: int) -> Any:
    """What is said at the left element of each pair of pixels, at both."""
    wins &= lefts
    both, flat = take(wins.shape, bool), wins.reshape(-1)
    spread = both.reshape(-1)
    spread[:depth] = flat[:depth]
    xp.logical_or(flat[depth:], flat[:-depth], out=spread[depth:])
    return both


def _select(xp: Any, take: Any, out: Any, axes: Sequence[Axis], x: Any, values: Any) -> None:
    """What stands in `values` where the winner of each window stands."""
    for d, contests in _all_contests(xp, take, _wide(take, x), axes):
        shape = (*values.shape[:d], axes[d].steps, *values.shape[d + 1 :])
        found = take(shape, values.dtype)
        found[...] = 0
        for given, taken, wins in contests:
            if wins is None:
                found[given] = values[taken]
            else:
                found[given] = xp.where(wins, values[taken], found[given])
        values = found
    out[...] = values


def _forward(xp: Any, x: Any, y: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    _check_parts(x, y, grad, x, axes)
    return by_windows(xp, [x, grad], grad.dtype, axes, partial(_select, xp))


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
    return _max_pool(
        xp, input, pool_axes(input.shape, 4, ksize, strides, padding, explicit_paddings)
    )


@kernel("MaxPoolV2", types={"T": REAL_NUMBERS}, host=["ksize", "strides"])
def max_pool_v2(xp: Any, input: Any, ksize: Any, strides: Any, padding: bytes) -> Any:
    """The greatest number of each window, whose size and step are inputs."""
    axes = pool_axes(input.shape, 4, ksize.tolist(), strides.tolist(), padding)
    return _max_pool(xp, input, axes)


@kernel("MaxPool3D")
def max_pool3d(xp: Any, input: Any, ksize: list[int], strides: list[int], padding: bytes) -> Any:
    """The greatest number of each window of volumes."""
    return _max_pool(xp, input, pool_axes(input.shape, 5, ksize, strides, padding))


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
    then: Then = None,
) -> Any:
    """The gradient for the input; `then` as of a convolution."""
    axes = pool_axes(orig_input.shape, 4, ksize, strides, padding, explicit_paddings)
    return _back(xp, orig_input, orig_output, grad, axes, then)


@kernel("MaxPoolGradV2", host=["ksize", "strides"])
def max_pool_grad_v2(
    xp: Any, orig_input: Any, orig_output: Any, grad: Any, ksize: Any, strides: Any, padding: bytes
) -> Any:
    """The gradient for the input."""
    axes = pool_axes(orig_input.shape, 4, ksize.tolist(), strides.tolist(), padding)
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
    axes = pool_axes(orig_input.shape, 5, ksize, strides, padding)
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
    axes = pool_axes(orig_input.shape, 4, ksize, strides, padding)
    return _forward(xp, orig_input, orig_output, grad, axes)


@kernel("MaxPoolGradGradV2", host=["ksize", "strides"])
def max_pool_grad_grad_v2(
    xp: Any, orig_input: Any, orig_output: Any, grad: Any, ksize: Any, strides: Any, padding: bytes
) -> Any:
    """What of the gradient stands at the greatest number of each window."""
    axes = pool_axes(orig_input.shape, 4, ksize.tolist(), strides.tolist(), padding)
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
    axes = pool_axes(orig_input.shape, 5, ksize, strides, padding)
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
    axes = pool_axes(input.shape, 4, ksize, strides, padding)
    if not axes[3].is_identity:
        raise _refuse("max_pool_with_argmax does not pool along the depth")
    n, height, width, depth = input.shape
    kind = Targmax.as_numpy_dtype
    images = xp.arange(n, dtype=kind) * (height * width * depth if include_batch_in_index else 0)
    rows = images[:, None] + xp.arange(height, dtype=kind) * (width * depth)
    within = xp.arange(width * depth, dtype=kind).reshape(width, depth)

    def select(take: Any, out: Any, axes: Sequence[Axis], x: Any, rows: Any) -> None:
        places = xp.add(rows[:, :, None, None], within, out=take(x.shape, kind))
        _select(xp, take, out, axes, x, places)

    return _max_pool(xp, input, axes), by_windows(xp, [input, rows], kind, axes, select)


def _argmax_gradient(check: bool) -> Callable[..., Any]:
    def max_pool_grad_with_argmax(
        xp: Any, input: Any, grad: Any, argmax: Any, include_batch_in_index: bool
    ) -> Any:
        """The gradient for the input: that of each window added at its place.

        Places out of range are left out where the host does not look at them.
        """
        if grad.shape != argmax.shape:
            raise _refuse(
                f"Expected argmax shape to be {debug_string(grad.shape)}, but got "
                f"{debug_string(argmax.shape)}"
            )
        result, slopes = xp.zeros(input.size, widened(grad).dtype), widened(grad).reshape(-1)
        places = argmax.astype(xp.int64)
        if not include_batch_in_index and input.shape[0]:
            image = input.size // input.shape[0]
            starts = xp.arange(input.shape[0], dtype=xp.int64) * image
            places = places + starts.reshape(-1, 1, 1, 1)
        places = places.reshape(-1)
        if not check:
            places, slopes = without_strays(xp, "add", result, places, slopes)
        elif places.size and bool(((places < 0) | (places >= input.size)).any()):
            raise _refuse(f"Invalid index in argmax: places must be in [0, {input.size})")
        xp.add.at(result, places, slopes)
        return result.reshape(input.shape).astype(grad.dtype, copy=False)

    return max_pool_grad_with_argmax


kernel("MaxPoolGradWithArgmax", device="CPU")(_argmax_gradient(True))
kernel("MaxPoolGradWithArgmax")(_argmax_gradient(False))


# --- means ----------------------------------------------------------------------------------------


def _count(axis: Axis) -> int | None:
    """How many elements of each window are no padding; None where windows differ."""
    reach = (axis.steps - 1) * axis.stride - axis.before + axis.extent
    return axis.extent if axis.before <= 0 and reach <= axis.size else None


def _divide(xp: Any, sums: Any, axes: Sequence[Axis]) -> None:
    """Divide by the number of elements of each window, in place."""
    number, by_place = sums.dtype.type(1), None
    for d, axis in enumerate(axes):
        count = _count(axis)
        if count is not None:
            number *= sums.dtype.type(count)
            continue
        starts = xp.arange(axis.steps) * axis.stride - axis.before
        counts = xp.minimum(starts + axis.extent, axis.size) - xp.maximum(starts, 0)
        counts = counts.astype(sums.dtype).reshape(-1, *(1,) * (sums.ndim - d - 1))
        by_place = counts if by_place is None else by_place * counts
    if by_place is not None or number != 1:
        xp.divide(sums, number if by_place is None else by_place * number, out=sums)


def _mean_pool(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    def mean(take: Any, out: Any, axes: Sequence[Axis], part: Any) -> None:
        if pool_library.mean(xp, part, axes, out):
            return
        wide = _wide(take, part)
        sums = out if wide is part else take(out.shape, wide.dtype)
        _joined(take, sums, axes, wide, xp.add, 0)
        _divide(xp, sums, axes)
        if sums is not out:
            out[...] = sums

    found = of_cards.mean(xp, x, axes)
    return by_windows(xp, [x], x.dtype, axes, mean) if found is None else found


def _share(xp: Any, take: Any, out: Any, axes: Sequence[Axis], grad: Any) -> None:
    """The gradient of each window shared among its elements."""
    if pool_library.share_mean(xp, grad, axes, out):
        return
    rest = _copied(take, grad)
    _divide(xp, rest, axes)
    pooled = [d for d in range(grad.ndim) if not axes[d].is_identity]
    for d in reversed(pooled):
        axis = axes[d]
        shape = (*rest.shape[:d], axis.size, *rest.shape[d + 1 :])
        target = out if d == pooled[0] and out.dtype == rest.dtype else take(shape, rest.dtype)
        if not _is_tiled(axis):
            target[...] = 0
        for offset in axis.offsets:
            meeting = axis.meeting(offset)
            if meeting is None:
                continue
            given, taken = (along(d, part) for part in meeting)
            if axis.stride >= axis.extent:
                target[taken] = rest[given]
            else:
                target[taken] += rest[given]
        rest = target
    if rest is not out:
        out[...] = rest


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
    found, share = of_cards.of_mean(xp, grad, axes), partial(_share, xp)
    return by_elements(xp, [], [grad], grad.dtype, axes, share) if found is None else found


@kernel("AvgPool")
def avg_pool(xp: Any, value: Any, ksize: list[int], strides: list[int], padding: bytes) -> Any:
    """The mean of each window, padding not counted."""
    return _mean_pool(xp, value, pool_axes(value.shape, 4, ksize, strides, padding))


@kernel("AvgPool3D")
def avg_pool3d(xp: Any, input: Any, ksize: list[int], strides: list[int], padding: bytes) -> Any:
    """The mean of each window of volumes."""
    return _mean_pool(xp, input, pool_axes(input.shape, 5, ksize, strides, padding))


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
        xp, orig_input_shape, grad, lambda shape: pool_axes(shape, 4, ksize, strides, padding)
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
        xp, orig_input_shape, grad, lambda shape: pool_axes(shape, 5, ksize, strides, padding)
    )
