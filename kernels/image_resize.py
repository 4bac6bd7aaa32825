"""Images made larger and smaller: an axis at a time, a block of rows that fits the cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.devices.constants import constant
from tfsession.devices.threads import even_rows, run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels.image_resize_taps import (
    Bands,
    Taps,
    between,
    copied,
    covered,
    cubic,
    linear,
    nearest,
    refuse,
    rows_between,
    scale_of,
)

# Bytes of images and result that are worked on at a time, so that what is made on the way stays in
# the cache of a CPU, and calls last long enough; elsewhere large parts fill the machine.
_BLOCK = {"CPU": 4 << 20, None: 1 << 28}
_MANY = 8  # channels from which on it pays to move pixels whole


def _checked(images: Any, size: Any, align_corners: bool, half_pixel_centers: bool) -> list[int]:
    if half_pixel_centers and align_corners:
        raise refuse("If half_pixel_centers is True, align_corners must be False.")
    if images.ndim != 4:
        raise refuse(f"input must be 4-dimensional{debug_string(images.shape)}")
    if size.ndim != 1:
        raise refuse(f"shape_t must be 1-dimensional{debug_string(size.shape)}")
    if size.shape[0] != 2:
        raise refuse(f"shape_t must have two elements{debug_string(size.shape)}")
    height, width = size.tolist()
    if height <= 0 or width <= 0:
        raise refuse("output dimensions must be positive")
    if images.shape[3] <= 0:
        raise refuse("image must have at least one channel")
    if images.shape[1] <= 0 or images.shape[2] <= 0:
        raise refuse("input image must be of non-zero size")
    return [height, width]


class _Columns:
    """Rows as numbers that are moved together: pixels where they have many channels, else one."""

    __slots__ = ("channels", "together")

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.together = channels if channels >= _MANY else 1

    def split(self, images: Any) -> Any:
        """`[batch, height, columns, together]`."""
        batch, rows, columns, channels = images.shape
        return images.reshape(batch, rows, columns * channels // self.together, self.together)

    def indices(self, xp: Any, indices: Any) -> Any:
        """Columns of pixels as columns of what is moved together."""
        if self.together == 1:
            indices = (indices[:, None] * self.channels + np.arange(self.channels)).reshape(-1)
        return constant(xp, indices)

    def weights(self, xp: Any, weights: Any) -> Any:
        """A weight for each number of the `indices`: NumPy is slow to spread short rows."""
        return constant(xp, np.repeat(weights, self.channels).reshape(-1, self.together))


def _by_rows(
    xp: Any,
    block: int,
    images: Any,
    size: Sequence[int],
    dtype: Any,
    columns: _Columns,
    function: Callable[[Any, slice, Any], None],
) -> Any:
    """Call `function(images, rows, result)` for some images and rows of the result at a time."""
    batch, channels = images.shape[0], images.shape[3]
    rows, width = size
    result = xp.empty((batch, rows, width, channels), dtype)
    old, new = columns.split(images), columns.split(result)
    per_row = (images.nbytes + result.nbytes) // max(batch * rows, 1)
    rows_at_once = even_rows(rows, per_row, block)
    images_at_once = even_rows(batch, per_row * rows, block) if rows_at_once >= rows else 1
    parts = [
        (slice(first, first + images_at_once), slice(row, min(row + rows_at_once, rows)))
        for first in range(0, batch, images_at_once)
        for row in range(0, rows, rows_at_once)
    ]

    def some_parts(start: int, stop: int) -> None:
        for part, some in parts[start:stop]:
            function(old[part], some, new[part, some])

    run_blocks(xp, len(parts), 1, some_parts)
    return result


def _bilinear(xp: Any, block: int, images: Any, size: list[int], *how: bool) -> Any:
    """Along the rows first, then between them, in float32, as TensorFlow adds.

    On the host rows that lie close are one product by BLAS, which goes through memory once: a bit
    in the last place may differ.
    """
    columns = _Columns(images.shape[3])
    axis = images.shape[1], size[0], *how
    lefts, rights, along = _across(columns.channels, images.shape[2], size[1], *how)
    lefts, rights, along = (constant(xp, array) for array in (lefts, rights, along))

    def of_rows(images: Any, some: slice, result: Any) -> None:
        needed, above, below, part, bands = rows_between(some.start, some.stop, *axis)
        if not isinstance(needed, slice):
            needed = constant(xp, needed)
        whole = images[:, needed].astype(np.float32, copy=False)
        with Workspace(xp) as take:
            mixed, ends = (_moved(xp, take, whole, i, 2) for i in (lefts, rights))
            _lerp(xp, mixed, ends, along, mixed)
            if xp is np and bands and _is_finite(mixed):
                _by_products(mixed, bands, result)
                return
            end = _moved(xp, take, mixed, constant(xp, below), 1)
            # Into the result, which is then in the cache when the sum is written.
            start = _moved(xp, lambda *_: result, mixed, constant(xp, above), 1)
            _lerp(xp, start, end, constant(xp, part), result)

    return _by_rows(xp, block, images, size, np.float32, columns, of_rows)


@lru_cache(maxsize=64)
def _across(channels: int, old: int, new: int, *how: bool) -> tuple[Any, Any, Any]:
    """For each new column the old ones before and after it, and its distance from the former."""
    columns = _Columns(channels)
    left, right, part = between(old, new, *how)
    return columns.indices(np, left), columns.indices(np, right), columns.weights(np, part)


def _is_finite(x: Any) -> bool:
    """Whether all numbers are finite, and far from too large: asked by BLAS."""
    flat = x.reshape(-1)
    return math.isfinite(flat @ flat)


def _by_products(x: Any, bands: Sequence[Bands], result: Any) -> None:
    """The rows between those of `x`, all of which are finite: what counts nothing is a summand."""
    images, row = x.shape[0], x.strides[1]
    numbers = row // x.itemsize
    for new, first, step, weights in bands:
        count, own, width = weights.shape
        shape, strides = (images, count, width, numbers), (x.strides[0], step * row, row, 4)
        old = np.ndarray(shape, x.dtype, x, first * row, strides)
        np.matmul(weights, old, out=result[:, new].reshape(images, count, own, numbers))


def _moved(xp: Any, take: Any, x: Any, indices: Any, axis: int) -> Any:
    """Rows or columns of `x`, in memory of the block."""
    if xp is not np:
        return xp.take(x, indices, axis=axis)
    out = take((*x.shape[:axis], indices.size, *x.shape[axis + 1 :]), x.dtype)
    # All indices are valid: clipping saves the buffer with which NumPy checks them.
    return x.take(indices, axis, out, "clip")


def _lerp(xp: Any, start: Any, end: Any, part: Any, out: Any) -> None:
    """`start + (end - start) * part`, where `end` is written over."""
    end -= start
    end *= part
    xp.add(start, end, out=out)


def _tapped(xp: Any, block: int, images: Any, rows: Taps, columns: Taps, dtype: Any) -> Any:
    """Weighted sums of rows, then of columns, in float32 at least."""
    moved = _Columns(images.shape[3])
    wide = dtype if dtype.kind in "iu" or dtype == np.float64 else np.dtype(np.float32)
    across = [
        (moved.indices(xp, i), moved.weights(xp, w.astype(wide)))
        for i, w in zip(columns.indices, columns.weights, strict=True)
    ]

    def of_rows(images: Any, some: slice, result: Any) -> None:
        indices, weights = rows.indices[:, some], rows.weights[:, some].astype(wide)
        first = int(indices.min())
        whole = images[:, first : int(indices.max()) + 1].astype(wide, copy=False)
        down = [
            (constant(xp, i - first), constant(xp, w[:, None, None]))
            for i, w in zip(indices, weights, strict=True)
        ]
        with Workspace(xp) as take:
            summed = _weighted(xp, take, whole, down, 1)
            result[...] = _weighted(xp, take, summed, across, 2)

    size = rows.indices.shape[1], columns.indices.shape[1]
    # Of each tap there is an array, too.
    return _by_rows(xp, block // 2, images, size, dtype, moved, of_rows)


def _weighted(xp: Any, take: Any, x: Any, taps: list[tuple[Any, Any]], axis: int) -> Any:
    total = None
    for indices, weights in taps:
        part = _moved(xp, take, x, indices, axis)
        part *= weights
        if total is None:
            total = part
        else:
            total += part
    return total


def _back(xp: Any, block: int, taps: Any, grads: Any, size: Any, dtype: Any, *how: bool) -> Any:
    """What each pixel of images of `size` gave to the pixels that `grads` is for."""
    axes = zip(size, grads.shape[1:3], strict=True)
    rows, columns = (taps(old, new, *how).transposed() for old, new in axes)
    return _tapped(xp, block, grads, rows, columns, dtype)


def _register_gradient(op_type: str, taps: Any, device: str | None, block: int) -> None:
    @kernel(op_type, device=device)
    def resize_grad(
        xp: Any, grads: Any, original_image: Any, align_corners: bool, half_pixel_centers: bool
    ) -> Any:
        how = align_corners, half_pixel_centers
        if original_image.ndim != 4:
            raise refuse(
                f"original_image must be 4-dimensional{debug_string(original_image.shape)}"
            )
        size = np.array(original_image.shape[1:3])
        _checked(grads, size, *how)
        return _back(xp, block, taps, grads, size, original_image.dtype, *how)


def _register(device: str | None, block: int) -> None:
    @kernel("ResizeBilinear", host=["size"], device=device)
    def resize_bilinear(
        xp: Any, images: Any, size: Any, align_corners: bool, half_pixel_centers: bool
    ) -> Any:
        how = align_corners, half_pixel_centers
        return _bilinear(xp, block, images, _checked(images, size, *how), *how)

    @kernel("ResizeBicubic", host=["size"], device=device)
    def resize_bicubic(
        xp: Any, images: Any, size: Any, align_corners: bool, half_pixel_centers: bool
    ) -> Any:
        how = align_corners, half_pixel_centers
        new = _checked(images, size, *how)
        axes = zip(images.shape[1:3], new, strict=True)
        taps = [cubic(old, new, *how) for old, new in axes]
        return _tapped(xp, block, images, *taps, np.dtype(np.float32))

    @kernel("ResizeArea", host=["size"], device=device)
    def resize_area(xp: Any, images: Any, size: Any, align_corners: bool) -> Any:
        new = _checked(images, size, align_corners, False)
        axes = list(zip(images.shape[1:3], new, strict=True))
        rows, columns = (covered(*axis, align_corners) for axis in axes)
        rows.weights *= np.float32(1) / scale_of(*axes[0], align_corners)
        columns.weights *= np.float32(1) / scale_of(*axes[1], align_corners)
        return _tapped(xp, block, images, rows, columns, np.dtype(np.float32))

    _register_gradient("ResizeBilinearGrad", linear, device, block)
    _register_gradient("ResizeBicubicGrad", cubic, device, block)

    @kernel("ResizeNearestNeighborGrad", host=["size"], device=device)
    def resize_nearest_neighbor_grad(
        xp: Any, grads: Any, size: Any, align_corners: bool, half_pixel_centers: bool
    ) -> Any:
        how = align_corners, half_pixel_centers
        new = _checked(grads, size, *how)
        return _back(xp, block, copied, grads, new, grads.dtype, *how)


for _device, _size in _BLOCK.items():
    _register(_device, _size)


@kernel("ResizeNearestNeighbor", host=["size"])
def resize_nearest_neighbor(
    xp: Any, images: Any, size: Any, align_corners: bool, half_pixel_centers: bool
) -> Any:
    """The old pixel that is nearest to each new one."""
    how = align_corners, half_pixel_centers
    new = _checked(images, size, *how)
    rows, columns = (nearest(o, n, *how) for o, n in zip(images.shape[1:3], new, strict=True))
    smaller = new[0] * images.shape[2] <= images.shape[1] * new[1]
    for axis, indices in ((1, rows), (2, columns)) if smaller else ((2, columns), (1, rows)):
        images = xp.take(images, constant(xp, indices), axis=axis)
    return images
