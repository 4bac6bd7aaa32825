"""Convolutions as products of matrices: the windows, one a row, times the filters, one a column.

Windows are copied in blocks that stay in the cache. The gradient for the input is a convolution
too, one for each phase of the strides; where there are few channels, each window's share of it is
added at its place instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from tfsession.core.windows import Axis
from tfsession.devices.threads import run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels.conv_windows import (
    BLOCK,
    Done,
    blocks,
    bytes_at_a_time,
    summed_blocks,
    windows_by_block,
)

# A copy of fewer neighbours in memory than this costs NumPy more for the run than for its elements.
_RUN = 32
# With fewer channels than this, their places in a row of memory are too short to work along.
_FEW = 16


class _Patches:
    """The windows of an array as rows of matrices, a stack of them for each block of windows."""

    def __init__(self, xp: Any, x: Any, axes: Sequence[Axis], limit: int) -> None:
        self._windows = windows_by_block(xp, x, axes)
        self._spatial = len(axes)
        self.columns = math.prod(axis.extent for axis in axes) * x.shape[-1]
        rows, *others = (axis.steps for axis in axes)
        row = math.prod(others) * self.columns
        limit = bytes_at_a_time(xp, limit)
        self.blocks = list(blocks(x.shape[0], rows, row * x.dtype.itemsize, limit))

    def matrices(self, block: Any, take: Any) -> Any:
        """The matrices `[stack, windows, elements]` of a block, in memory that `take` gives."""
        view = self._windows(block, take)
        split = self._spatial + 1
        memory = take((view.size,), view.dtype)
        if _side_by_side(view) >= min(_RUN, view.shape[split - 1]):
            memory.reshape(view.shape)[...] = view
            return memory.reshape(1, -1, self.columns)
        # Elements lie far apart in windows, but side by side in windows that are side by side.
        turned = view.transpose(0, *range(split, view.ndim), *range(1, split))
        memory.reshape(turned.shape)[...] = turned
        return memory.reshape(len(view), self.columns, -1).swapaxes(1, 2)


def _side_by_side(view: Any) -> int:
    """How many elements of a window lie side by side in memory."""
    *_, outer, inner = view.strides
    if inner != view.itemsize:
        return 1
    *_, extent, channels = view.shape
    return int(channels * extent if outer == channels * inner else channels)


def correlate(xp: Any, x: Any, w: Any, axes: Sequence[Axis], out: Any, done: Done = None) -> None:
    """Write the sums over each window of `x`, channels last, times the filters `w`."""
    columns = w.reshape(-1, w.shape[-1])
    patches = _Patches(xp, x, axes, BLOCK)

    def compute(start: int, stop: int) -> None:
        for block in patches.blocks[start:stop]:
            with Workspace(xp) as take:
                matrices, target = patches.matrices(block, take), out[block]
                if target.flags.c_contiguous:
                    shape = (*matrices.shape[:2], columns.shape[1])
                    xp.matmul(matrices, columns, out=target.reshape(shape))
                else:
                    target[...] = xp.matmul(matrices, columns).reshape(target.shape)
                if done is not None:
                    done(block)

    run_blocks(xp, len(patches.blocks), 1, compute)


def filter_gradient(xp: Any, x: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    """The gradient for filters, as a matrix of one column a filter."""
    out_depth = grad.shape[-1]
    shape = (math.prod(axis.extent for axis in axes) * x.shape[-1], out_depth)
    # To add a block's sums to others' must cost little beside the block itself.
    patches = _Patches(xp, x, axes, max(BLOCK, 2 * math.prod(shape) * x.dtype.itemsize))

    def compute(block: Any, out: Any) -> None:
        with Workspace(xp) as take:
            matrices = patches.matrices(block, take).swapaxes(1, 2)
            slopes = grad[block].reshape(len(matrices), -1, out_depth)
            if len(matrices) == 1:
                xp.matmul(matrices[0], slopes[0], out=out)
            else:
                xp.matmul(matrices, slopes).sum(axis=0, out=out)

    with Workspace(xp) as take:
        return summed_blocks(xp, patches.blocks, shape, x.dtype, take, compute).sum(axis=0)


class Phase(NamedTuple):
    """The places of the input, one axis, whose gradient some elements of the filters make."""

    places: slice
    taps: slice
    axis: Axis | None  # along which these elements, turned, move over the gradient; None: no such


def phases(axis: Axis) -> Iterator[Phase]:
    """The convolutions that make the gradient for the input, one for each place in a stride."""
    stride, gap = axis.stride, math.gcd(axis.stride, axis.dilation)
    step = stride // gap
    for place in range(min(stride, axis.size)):
        places = slice(place, None, stride)
        shift = place + axis.before
        first = next(
            (k for k in range(min(step, axis.extent)) if (shift - k * axis.dilation) % stride == 0),
            None,
        )
        if first is None:
            yield Phase(places, slice(0), None)
            continue
        count = -(-(axis.extent - first) // step)
        last = first + (count - 1) * step
        stop = first - step
        taps = slice(last, stop if stop >= 0 else None, -step)
        before = (last * axis.dilation - shift) // stride
        steps = -(-(axis.size - place) // stride)
        yield Phase(
            places, taps, Axis(axis.steps, count, 1, axis.dilation // gap, before, 0, steps)
        )


def is_thin(w: Any) -> bool:
    """Whether the filters have so few channels that shares are better added than gathered."""
    depth, out_depth = w.shape[-2:]
    return bool(depth < _FEW and out_depth > 2 * depth)


def scattered(xp: Any, w: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    """The gradient for the input: the share of each window in it, added at its place."""
    depth, out_depth = w.shape[-2:]
    rows = w.reshape(-1, out_depth)
    sizes = [max(axis.padded, axis.before + axis.size) for axis in axes]
    extents = [axis.extent for axis in axes]
    inside = [slice(a.before, a.before + a.size) for a in axes]
    result = xp.empty((grad.shape[0], *(axis.size for axis in axes), depth), grad.dtype)
    row_bytes = math.prod(grad.shape[2:-1]) * len(rows) * grad.dtype.itemsize
    limit = bytes_at_a_time(xp, BLOCK)

    def add(total: Any, part: Any, first: int, take: Any) -> None:
        flat = part.reshape(-1, out_depth)
        shares = xp.matmul(rows, flat.T, out=take((len(rows), len(flat)), grad.dtype))
        shares = shares.reshape(*extents, depth, *part.shape[:-1])
        for offset in product(*map(range, extents)):
            place = [
                slice(start := o * a.dilation + (first * a.stride if not d else 0),
                      start + (n - 1) * a.stride + 1, a.stride)
                for d, (o, a, n) in enumerate(zip(offset, axes, part.shape[1:-1], strict=True))
            ]  # fmt: skip
            total[(slice(None), slice(None), *place)] += shares[offset]

    def compute(start: int, stop: int) -> None:
        with Workspace(xp) as take:
            total = take((depth, stop - start, *sizes), grad.dtype)
            total[...] = 0
            for images, high in blocks(stop - start, grad.shape[1], row_bytes, limit):
                part = grad[start + images.start : start + images.stop, high]
                with Workspace(xp) as take_more:
                    add(total[:, images], part, high.start, take_more)
            result[start:stop] = xp.moveaxis(total[(slice(None), slice(None), *inside)], 0, -1)

    run_blocks(xp, len(grad), max(1, BLOCK // max(grad.shape[1] * row_bytes, 1)), compute)
    return result
