"""Windows over arrays as views, and the blocks in which they are worked on.

Arrays here have their channels last, whatever the layout of their memory: a tensor with channels
first is looked at through a transposed view. Windows become the rows of a matrix by one copy, and
BLAS does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.windows import Axis, axes_of
from tfsession.devices.onednn import Library
from tfsession.devices.threads import BLOCK_BYTES, run_blocks
from tfsession.devices.workspace import Workspace

# Bytes of windows that are copied at a time: BLAS takes them from the cache, at twice the speed.
BLOCK = 2 << 20
# Several blocks are a multiple of this, so that threads have equal shares.
_EVEN = 4
# The same in memory other than the host's, where more work at a time counts more than caches.
_FAR_BLOCK = 64 << 20
# Sums of several blocks that are kept at a time: how many, and their bytes.
_MOST_SHARES, _SUMS = 16, 32 << 20

# What is kept of filters that are constants, and what is called with the index of each block of a
# result that is written: its images, and its rows.
Kept = dict[str, Any] | None
Done = Callable[[tuple[slice, slice]], object] | None
# Takes a result before it is written, and gives that.
Then = Callable[[Any], Callable[[Any], object]] | None


class Pieces(Protocol):
    """A convolution in pieces, each of which can be computed when what it reads is there.

    Attributes:
        shape: of the result.
        parts: what each takes of the images, and what it gives of the result: images and rows.
        added: how many of the arrays that are added to the result `begin` takes.
    """

    shape: tuple[int, ...]
    parts: Sequence[tuple[tuple[slice, slice], tuple[slice, slice]]]
    added: int

    def filters(self, weights: Any, kept: Kept) -> Any:
        """What the pieces take for these filters, which nobody changes as long as they work."""

    def begin(self, filters: Any, x: Any, out: Any, added: Sequence[Any]) -> Callable[[int], bool]:
        """What writes piece number i, and says whether it could.

        Args:
            filters: see `filters`.
            x: images, without gaps; only what a piece takes must be there.
            out: the result, without gaps.
            added: what is added in turn, without gaps: vectors, or arrays of the result's shape.
        """
        ...


def checked_axes(
    sizes: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: bytes,
    explicit: Sequence[tuple[int, int]] | None = None,
) -> list[Axis]:
    """As `axes_of`, but raises what a kernel raises: InvalidArgumentError."""
    try:
        return axes_of(sizes, extents, strides, dilations, padding, explicit)
    except ValueError as error:
        raise InvalidArgumentError(None, None, str(error)) from None


def with_channels_last(xp: Any, x: Any, channels_first: bool) -> Any:
    """A view of `x` whose last dimension is that of the channels."""
    return xp.moveaxis(x, 1, -1) if channels_first else x


def as_it_was(xp: Any, x: Any, channels_first: bool) -> Any:
    """The array with channels last, in the layout of the tensors it was made of."""
    return xp.ascontiguousarray(xp.moveaxis(x, -1, 1)) if channels_first else x


def padded(xp: Any, x: Any, axes: Sequence[Axis], take: Any = None) -> Any:
    """The elements that windows touch, zeros for padding; a view where they touch none.

    `take`, or else `xp.empty`, gives the memory.
    """
    places = [slice(max(-a.before, 0), min(a.padded - a.before, a.size)) for a in axes]
    # Windows may lie among zeros only.
    places = [place if place.start < place.stop else slice(0, 0) for place in places]
    inside = x[(slice(None), *places)]
    sizes = [axis.padded for axis in axes]
    if list(inside.shape[1:-1]) == sizes:
        return inside
    # The memory keeps the order of `x`, so that runs stay runs.
    if x.ndim > 2 and x.strides[-1] > x.strides[-2]:
        shape = (x.shape[0], x.shape[-1], *sizes)
        result = xp.moveaxis((take or xp.empty)(shape, x.dtype), 1, -1)
    else:
        result = (take or xp.empty)((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    result[...] = 0
    starts = [max(axis.before, 0) for axis in axes]
    spans = zip(starts, inside.shape[1:-1], strict=True)
    result[(slice(None), *(slice(start, start + n) for start, n in spans))] = inside
    return result


def windows(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    """A view of shape `[batch, *counts, *extents, channels]` of an array made by `padded`."""
    steps = x.strides[1:-1]
    return xp.lib.stride_tricks.as_strided(
        x,
        (x.shape[0], *(a.steps for a in axes), *(a.extent for a in axes), x.shape[-1]),
        (
            x.strides[0],
            *(s * a.stride for s, a in zip(steps, axes, strict=True)),
            *(s * a.dilation for s, a in zip(steps, axes, strict=True)),
            x.strides[-1],
        ),
    )


def bytes_at_a_time(xp: Any, wanted: int) -> int:
    """How many bytes of windows are worth copying at a time."""
    return wanted if xp is np else max(wanted, _FAR_BLOCK)


def blocks(batch: int, rows: int, row_bytes: int, limit: int) -> Iterator[Any]:
    """Indices (images, rows) that cover a batch, each of at most `limit` bytes or one row."""
    images = limit // max(rows * row_bytes, 1)
    if images >= 1 or rows <= 1:
        for some in _shares(batch, max(images, 1), _EVEN):
            yield some, slice(0, rows)
        return
    even = _EVEN // math.gcd(batch, _EVEN)
    for image in range(batch):
        for some in _shares(rows, max(limit // row_bytes, 1), even):
            yield slice(image, image + 1), some


def _shares(count: int, most: int, even: int) -> Iterator[slice]:
    """Parts of `range(count)` of at most so many; a multiple of `even` if more than one."""
    parts = -(-count // most)
    if parts > 1:
        parts = -(-parts // even) * even
    step = -(-count // max(parts, 1))
    for first in range(0, count, max(step, 1)):
        yield slice(first, min(first + step, count))


def for_blocks(xp: Any, out: Any, done: Callable[[Any], object]) -> None:
    """Call `done` with the index of each block of an array that is written."""
    row_bytes = math.prod(out.shape[2:]) * out.itemsize
    parts = list(blocks(len(out), out.shape[1], row_bytes, bytes_at_a_time(xp, BLOCK_BYTES)))

    def of_parts(start: int, stop: int) -> None:
        for part in parts[start:stop]:
            done(part)

    run_blocks(xp, len(parts), 1, of_parts)


def windows_by_block(
    xp: Any, x: Any, axes: Sequence[Axis], is_whole: bool = True
) -> Callable[[Any, Any], Any]:
    """What gives the view of `windows` for a block of images and rows of windows, and for memory.

    Padding is put around small arrays at once, around others block by block: as it is around those
    that are not written as a whole yet.
    """
    is_small = is_whole and x.nbytes <= BLOCK
    if is_small or all(not a.before and a.padded <= a.size for a in axes):
        view: Any = windows(xp, padded(xp, x, axes), axes)
        return lambda block, take: view[block]
    first, *others = axes

    def of_block(block: Any, take: Any) -> Any:
        images, rows = block
        before, steps = first.before - rows.start * first.stride, rows.stop - rows.start
        near = [first._replace(before=before, steps=steps), *others]
        return windows(xp, padded(xp, x[images], near, take), near)

    return of_block


def summed_blocks(
    xp: Any, parts: Sequence[Any], shape: tuple[int, ...], dtype: Any, take: Any, compute: Any
) -> Any:
    """Sums over shares of the blocks of what `compute(block, out)` writes, `[shares, *shape]`.

    Their number and what belongs to each depend on shapes alone; `take` gives memory for them.
    """
    size = max(math.prod(shape) * dtype.itemsize, 1)
    totals = take((max(min(len(parts), _MOST_SHARES, _SUMS // size), 1), *shape), dtype)
    shares = len(totals)

    def add_up(start: int, stop: int) -> None:
        for share in range(start, stop):
            compute(parts[share], totals[share])
            with Workspace(xp) as take_more:
                more = take_more(shape, totals.dtype)
                for part in parts[share + shares :: shares]:
                    compute(part, more)
                    totals[share] += more

    run_blocks(xp, shares, 1, add_up)
    return totals


# --- for a library of neural networks -------------------------------------------------------------


class Geometry(NamedTuple):
    """Strides, extents, gaps and padding as the library takes them (`dnnl_dims_t`)."""

    strides: Any
    extents: Any
    gaps: Any
    before: Any
    after: Any

    @property
    def of_pool(self) -> tuple[Any, ...]:
        """The arguments of a pool."""
        return self.strides, self.extents, self.gaps, self.before, self.after

    @property
    def of_convolution(self) -> tuple[Any, ...]:
        """The arguments of a convolution, whose filters say their extents."""
        return self.strides, self.gaps, self.before, self.after


def geometry(library: Library, axes: Sequence[Axis]) -> Geometry | None:
    """The geometry of windows along some axes; None where they leave out the first elements."""
    if any(axis.before < 0 for axis in axes):
        return None
    after = [max(axis.padded - axis.before - axis.size, 0) for axis in axes]
    for axis, behind in zip(axes, after, strict=True):
        room = axis.before + axis.size + behind - axis.reach
        if axis.steps < 1 or room // axis.stride + 1 != axis.steps:
            return None
    return Geometry(
        *(
            library.numbers(values)
            for values in (
                [axis.stride for axis in axes],
                [axis.extent for axis in axes],
                [axis.dilation - 1 for axis in axes],
                [axis.before for axis in axes],
                after,
            )
        )
    )
