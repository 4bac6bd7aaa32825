"""Convolutions by fewer multiplications, for windows that move by one.

Tiles of the output, m elements a side, and what they are sums of, n = m + r - 1 elements a side for
filters of r, are values of polynomials at n points, of which one is infinity. There a convolution
is a product, element by element, so over channels and filters it is n * n products of matrices
(S. Winograd, "Arithmetic Complexity of Computations", 1980; A. Lavin and S. Gray, "Fast Algorithms
for Convolutional Neural Networks", 2016). The points are chosen for small errors, as B. Barabasz
and others found them ("Error Analysis and Improving the Accuracy of Winograd Convolution", 2020).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.windows import Axis
from tfsession.devices.constants import constant
from tfsession.devices.threads import run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels.conv_windows import (
    Done,
    Kept,
    blocks,
    summed_blocks,
    windows_by_block,
)
from tfsession.kernels.pool_windows import touched

# TensorFlow's switch for those of cuDNN; here it is for the host.
_IS_WANTED = os.environ.get("TF_ENABLE_WINOGRAD_NONFUSED", "1").lower() not in ("0", "false")
# The side of a tile of the output, by the side of the filters; and the points but for infinity, by
# the sum of both sides less one.
_TILES = {1: 1, 2: 3, 3: 4, 4: 3, 5: 4, 6: 3, 7: 2}
_POINTS: dict[int, Sequence[float]] = {
    1: (),
    4: (0, 1, -1),
    6: (0, 1, -1, 0.5, -2),
    8: (0, 1, -1, 0.5, -0.5, 2, -2),
}
# Bytes of what a block of tiles is transformed to, twice: large enough that the filters, which each
# block reads anew, cost little.
_BLOCK = 4 << 20
# Bytes of filters at the points that are worked on at a time.
_FILTER_BLOCK = 1 << 20
# What costs as much time as so many multiplications of a product of matrices: to take an element
# of data to the points (windows overlap, and are copied first), one of the output back, one of a
# filter to the points, to copy one of a window, and to begin.
_TO, _BACK, _FILTER, _COPY, _START = 60, 35, 80, 20, 4_000_000
# To begin costs so much more than a library, which copies no windows.
_MORE = 12_000_000
# Elements left free between rows of memory, which else lie apart by powers of two.
_APART = 16


class _Matrices(NamedTuple):
    """What takes data and filters to the points, and products at the points to the output."""

    data: Any
    filters: Any
    output: Any


@cache
def _matrices(extent: int) -> _Matrices:
    """The matrices for one axis, in float64.

    Rows of `filters` are powers of the points a, over f = prod(a - b) with b all other points;
    columns of `output` are powers too; rows of `data` are the coefficients of prod(x - b).
    """
    tile = _TILES[extent]
    count = tile + extent - 1
    data, filters = np.zeros((count, count)), np.zeros((count, extent))
    output = np.zeros((tile, count))
    points = _POINTS[count]
    for row, a in enumerate(points):
        others = [b for b in points if b != a]
        data[row, :-1] = np.poly(others)[::-1]
        filters[row] = float(a) ** np.arange(extent) / math.prod(a - b for b in others)
        output[:, row] = float(a) ** np.arange(tile)
    data[-1] = np.atleast_1d(np.poly(points))[::-1]
    filters[-1, -1] = output[-1, -1] = 1
    return _Matrices(data, filters, output)


class _Pair:
    """Memory for a chain of steps: what each makes of one half is written to the other."""

    def __init__(self, take: Any, points: int, rest: int, dtype: Any) -> None:
        size = points * (rest + _APART)
        self._here, self._there = take((size,), dtype), take((size,), dtype)

    def room(self, shape: Sequence[int]) -> Any:
        """An array in the half that was not given last; its rows share no lines of the cache."""
        self._here, self._there = self._there, self._here
        *sides, rest = shape
        wide = rest + _APART
        return self._here[: math.prod(sides) * wide].reshape(*sides, wide)[..., :rest]


def _along(xp: Any, matrices: Sequence[Any], values: Any, pair: _Pair) -> Any:
    """`values`, `[*sides, rest]`, with a matrix applied along each side."""
    for axis, matrix in enumerate(matrices):
        if matrix.size > 1:
            out = pair.room((*values.shape[:axis], len(matrix), *values.shape[axis + 1 :]))
            xp.matmul(matrix, values.swapaxes(axis, -2), out=out.swapaxes(axis, -2))
            values = out
    return values


def _of_columns(xp: Any, points: int, columns: int, dtype: Any, compute: Any) -> None:
    """Run `compute(start, stop, pair)` for blocks of columns of points."""
    step = max(1, min(columns, _FILTER_BLOCK // (points * dtype.itemsize)))

    def work(start: int, stop: int) -> None:
        with Workspace(xp) as take:
            compute(start, stop, _Pair(take, points, step, dtype))

    run_blocks(xp, columns, step, work)


class _Part(NamedTuple):
    """Tiles along one axis that have one side, and their places in the output."""

    places: slice
    tiles: range
    side: int


class _Target(NamedTuple):
    """A view of the output, `[*places in a tile, images, *tiles, filters]`, and what goes there."""

    view: Any
    inside: tuple[slice, ...]
    rows: range
    others: tuple[slice, ...]


class _Tiling:
    """The tiles of a convolution, and the blocks of them that are worked on at a time.

    Blocks of `block` bytes become twice as large, if that `grows`, where there are many of them.
    """

    def __init__(
        self,
        xp: Any,
        axes: Sequence[Axis],
        batch: int,
        widest: int,
        dtype: Any,
        block: int,
        grows: bool,
    ) -> None:
        self.xp, self.dtype = xp, dtype
        found = [_matrices(axis.extent) for axis in axes]
        self.data, self.filters, self.output = (
            [constant(xp, matrix.astype(dtype)) for matrix in kind]
            for kind in zip(*found, strict=True)
        )
        self.sides = [len(matrix) for matrix in self.data]
        self.points = math.prod(self.sides)
        # Windows of data that tiles of the output are made of, and these tiles.
        self.seen, self.made = [], []
        for axis, matrix in zip(axes, self.output, strict=True):
            tile, side = matrix.shape
            steps = -(-axis.steps // tile)
            self.seen.append(Axis(axis.size, side, tile, 1, axis.before, 0, steps))
            self.made.append(Axis(axis.steps, tile, tile, 1, 0, 0, steps))
        rows, *others = (axis.steps for axis in self.seen)
        row = math.prod(others) * widest
        row_bytes = 2 * self.points * row * dtype.itemsize
        if grows:
            block = min(2 * block, max(block, batch * rows * row_bytes // 2))
        self.blocks = list(blocks(batch, rows, row_bytes, block))
        images, high = self.blocks[0]
        self._largest = (images.stop - images.start) * (high.stop - high.start) * row

    def pair(self, take: Any) -> _Pair:
        """Memory for a block."""
        return _Pair(take, self.points, self._largest, self.dtype)

    def at_points(self, tiles: Any, matrices: Sequence[Any], pair: _Pair) -> Any:
        """Tiles at the points, `[points, tiles, channels]`."""
        split, last = len(matrices) + 1, tiles.ndim - 1
        turned = tiles.transpose(*range(split, last), *range(split), last)
        sides, others = turned.shape[: split - 1], turned.shape[split - 1 :]
        values = pair.room((*sides, math.prod(others)))
        values.reshape(turned.shape)[...] = turned
        return _along(self.xp, matrices, values, pair).reshape(self.points, -1, tiles.shape[-1])

    def targets(self, out: Any) -> list[_Target]:
        """Views of the output whose tiles have one size each: whole ones, and those cut off."""
        found = []
        for parts in product(*map(_whole_and_cut, self.made)):
            view = out[(slice(None), *(part.places for part in parts))]
            # Each axis becomes two: tiles and places in them, which are taken to the front.
            split = [size for part in parts for size in (len(part.tiles), part.side)]
            view = view.reshape(len(out), *split, out.shape[-1])
            last = view.ndim - 1
            view = view.transpose(*range(2, last, 2), 0, *range(1, last, 2), last)
            inside = tuple(slice(part.side) for part in parts)
            others = tuple(slice(part.tiles.start, part.tiles.stop) for part in parts[1:])
            found.append(_Target(view, inside, parts[0].tiles, others))
        return found

    def place(self, values: Any, block: Any, targets: Sequence[_Target]) -> None:
        """Write tiles, `[*sides, tiles * filters]`, where they belong."""
        images, high = block
        count = images.stop - images.start
        tiles = (high.stop - high.start, *(axis.steps for axis in self.made[1:]))
        values = values.reshape(*values.shape[:-1], count, *tiles, -1)
        whole = [slice(None)] * len(self.made)
        for view, inside, rows, others in targets:
            start, stop = max(high.start, rows.start), min(high.stop, rows.stop)
            if start < stop:
                to = slice(start - rows.start, stop - rows.start)
                taken = slice(start - high.start, stop - high.start)
                view[(*whole, images, to)] = values[(*inside, slice(None), taken, *others)]

    def written(self, block: Any) -> tuple[slice, slice]:
        """The images and the rows of the output that the tiles of a block cover."""
        images, high = block
        rows = self.made[0]
        return images, slice(high.start * rows.extent, min(high.stop * rows.extent, rows.size))


@lru_cache(maxsize=256)
def _known(
    xp: Any, axes: tuple[Axis, ...], batch: int, widest: int, dtype: Any, block: int, grows: bool
) -> _Tiling:
    return _Tiling(xp, axes, batch, widest, dtype, block, grows)


def _tiling(
    xp: Any, batch: int, dtype: Any, axes: Sequence[Axis], widest: int, grows: bool = False
) -> _Tiling:
    """The tiling of a convolution of these sizes: most come again with each step."""
    return _known(xp, tuple(axes), batch, widest, dtype, _BLOCK, grows)


def _whole_and_cut(axis: Axis) -> Iterator[_Part]:
    """The tiles of an axis: those that fit, and one that is cut off by the end."""
    side, whole = axis.extent, axis.size // axis.extent
    if whole:
        yield _Part(slice(0, whole * side), range(whole), side)
    if whole < axis.steps:
        yield _Part(slice(whole * side, axis.size), range(whole, axis.steps), axis.size % side)


@lru_cache(maxsize=1024)
def suits(
    xp: Any,
    axes: tuple[Axis, ...],
    batch: int,
    depth: int,
    out_depth: int,
    dtype: Any,
    has_library: bool = False,
) -> bool:
    """Whether this is less work than the product of all windows with the filters, or a library's.

    Only in float32: what is saved in float64 is not worth what it costs of its accuracy. And only
    in host memory: elsewhere, to ask whether all is finite is to wait for the device.
    """
    if (
        xp is not np
        or not _IS_WANTED
        or dtype != np.float32
        or any(axis.stride != 1 or axis.dilation != 1 or axis.extent not in _TILES for axis in axes)
    ):
        return False
    counts = [(axis, _TILES[axis.extent]) for axis in axes]
    tiles = batch * math.prod(-(-axis.steps // tile) for axis, tile in counts)
    points = math.prod(axis.extent + tile - 1 for axis, tile in counts)
    elements = batch * math.prod(axis.steps * axis.extent for axis in axes)
    by_points = tiles * (depth * out_depth + _TO * depth + _BACK * out_depth)
    by_points += _FILTER * depth * out_depth
    work = points * by_points + _START
    if has_library:
        return work + _MORE < elements * depth * out_depth
    return work < elements * depth * (out_depth + _COPY)


def correlate(
    xp: Any,
    x: Any,
    w: Any,
    axes: Sequence[Axis],
    out: Any,
    kept: Kept = None,
    done: Done = None,
) -> bool:
    """Write the sums over each window of `x`, channels last, times the filters `w`.

    Returns:
        Whether all is finite; what is not has spread to elements that it does not belong to.
    """
    tiling = _tiling(xp, x.shape[0], x.dtype, axes, max(w.shape[-2:]), True)
    seen = windows_by_block(xp, xp.ascontiguousarray(x), tiling.seen)
    targets = tiling.targets(out)
    sums: list[float] = []

    def compute(start: int, stop: int) -> None:
        for block in tiling.blocks[start:stop]:
            sums.append(_written(tiling, seen, filters, block, targets))
            if done is not None:
                done(tiling.written(block))

    with Workspace(xp) as take_filters:
        filters = _kept_filters(tiling, w, kept, take_filters)
        run_blocks(xp, len(tiling.blocks), 1, compute)
    return all(map(math.isfinite, sums))


def _written(
    tiling: _Tiling, seen: Any, filters: Any, block: Any, targets: Sequence[_Target]
) -> float:
    """Write a block of the output; gives the sum of what was made for it."""
    xp, out_depth = tiling.xp, filters.shape[-1]
    with Workspace(xp) as take:
        pair = tiling.pair(take)
        data = tiling.at_points(seen(block, take), tiling.data, pair)
        products = pair.room((*tiling.sides, data.shape[1] * out_depth))
        flat = products.reshape(tiling.points, -1, out_depth)
        xp.matmul(data, filters, out=flat)
        values = _along(xp, tiling.output, products, pair)
        flat = values.reshape(-1, values.shape[-1])
        found = float(xp.einsum("ij->", flat))
        tiling.place(values, block, targets)
    return found


class Pieces:
    """See `conv_windows.Pieces`."""

    added = 0

    def __init__(self, tiling: _Tiling, shape: tuple[int, ...]) -> None:
        self._tiling = tiling
        self.shape = shape
        rows = tiling.seen[0]
        self.parts = [
            ((images, touched(rows, high)), tiling.written((images, high)))
            for images, high in tiling.blocks
        ]

    def filters(self, weights: Any, kept: Kept) -> Any:
        """The filters at the points."""
        return _kept_filters(self._tiling, weights, kept, np.empty)

    def begin(self, filters: Any, x: Any, out: Any, added: Sequence[Any]) -> Callable[[int], bool]:
        """What writes a piece; one that is not finite has spread."""
        tiling = self._tiling
        seen = windows_by_block(tiling.xp, x, tiling.seen, is_whole=False)
        targets = tiling.targets(out)
        return lambda number: math.isfinite(
            _written(tiling, seen, filters, tiling.blocks[number], targets)
        )


def pieces(batch: int, w: Any, axes: Sequence[Axis]) -> Pieces:
    """The pieces of a convolution of so many images on the host."""
    shape = batch, *(axis.steps for axis in axes), w.shape[-1]
    return Pieces(_tiling(np, batch, w.dtype, axes, max(w.shape[-2:]), True), shape)


def _kept_filters(tiling: _Tiling, w: Any, kept: Kept, take: Any) -> Any:
    """The filters at the points, `[points, channels, filters]`; `take` gives what is not kept."""
    if kept is None:
        return _filters(tiling, w, take)
    if "points" not in kept:
        kept["points"] = _filters(tiling, w, tiling.xp.empty)
    return kept["points"]


def _filters(tiling: _Tiling, w: Any, take: Any) -> Any:
    """The filters at the points, `[points, channels, filters]`."""
    columns = w.reshape(*w.shape[:-2], -1)
    result = take((*tiling.sides, columns.shape[-1]), w.dtype)

    def compute(start: int, stop: int, pair: _Pair) -> None:
        part = columns[..., start:stop]
        result[..., start:stop] = _along(tiling.xp, tiling.filters, part, pair)

    _of_columns(tiling.xp, tiling.points, columns.shape[-1], w.dtype, compute)
    return result.reshape(tiling.points, *w.shape[-2:])


def filter_gradient(xp: Any, x: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    """The gradient for filters, as a matrix of one column a filter."""
    depth, out_depth = x.shape[-1], grad.shape[-1]
    tiling = _tiling(xp, x.shape[0], x.dtype, axes, max(depth, out_depth))
    seen = windows_by_block(xp, xp.ascontiguousarray(x), tiling.seen)
    made = windows_by_block(xp, xp.ascontiguousarray(grad), tiling.made)
    forth, back = ([m.T for m in kind] for kind in (tiling.output, tiling.filters))

    def compute(block: Any, out: Any) -> None:
        with Workspace(xp) as take:
            data = tiling.at_points(seen(block, take), tiling.data, tiling.pair(take))
            slopes = tiling.at_points(made(block, take), forth, tiling.pair(take))
            xp.matmul(data.swapaxes(1, 2), slopes, out=out)

    shape = (tiling.points, depth, out_depth)
    columns = depth * out_depth
    result = xp.empty((*(axis.extent for axis in axes), columns), x.dtype)
    with Workspace(xp) as take_sums:
        shares = summed_blocks(xp, tiling.blocks, shape, x.dtype, take_sums, compute)
        shares = shares.reshape(len(shares), *tiling.sides, columns)

        def finish(start: int, stop: int, pair: _Pair) -> None:
            total = shares[..., start:stop].sum(axis=0)
            result[..., start:stop] = _along(xp, back, total, pair)

        _of_columns(xp, tiling.points, columns, x.dtype, finish)
    return result.reshape(-1, out_depth)
