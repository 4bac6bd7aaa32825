"""Windows over arrays as views, and the blocks in which they are worked on.

Arrays here have their channels last, whatever the layout of their memory: a tensor with channels
first is looked at through a transposed view. Windows become the rows of a matrix by one copy, and
BLAS does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.windows import Axis, axes_of

# Bytes of windows that are copied at a time: BLAS takes them from the cache, at twice the speed.
BLOCK = 2 << 20
# A copy of fewer neighbours in memory than this costs NumPy more for the run than for its elements.
_RUN = 32


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


def padded(xp: Any, x: Any, axes: Sequence[Axis]) -> Any:
    """`x` among as many zeros as its windows touch; itself where they touch none."""
    if all(not axis.before and axis.padded <= axis.size for axis in axes):
        return x
    sizes = [max(axis.padded, axis.before) for axis in axes]
    # The memory keeps the order of `x`, so that runs stay runs.
    if x.ndim > 2 and x.strides[-1] > x.strides[-2]:
        shape = (x.shape[0], x.shape[-1], *sizes)
        result = xp.moveaxis(xp.zeros(shape, x.dtype), 1, -1)
    else:
        result = xp.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    inside = [slice(a.before, a.before + a.size) for a in axes]
    target = result[(slice(None), *inside)]
    # Elements behind the last window are left out.
    target[...] = x[(slice(None), *(slice(size) for size in target.shape[1:-1]))]
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


def blocks(batch: int, rows: int, row_bytes: int, limit: int = BLOCK) -> Iterator[Any]:
    """Indices (images, rows) that cover a batch, each of at most `limit` bytes or one row."""
    images = limit // max(rows * row_bytes, 1)
    if images >= 1 or rows <= 1:
        step = max(images, 1)
        for first in range(0, batch, step):
            yield slice(first, min(first + step, batch)), slice(0, rows)
        return
    step = max(limit // row_bytes, 1)
    for image in range(batch):
        for first in range(0, rows, step):
            yield slice(image, image + 1), slice(first, min(first + step, rows))


class PatchMatrix:
    """The windows of an array as rows of a matrix, one block at a time, in one piece of memory."""

    def __init__(self, xp: Any, view: Any) -> None:
        self._view = view
        self._spatial = spatial = (view.ndim - 2) // 2
        self._columns = math.prod(view.shape[spatial + 1 :])
        row_bytes = math.prod(view.shape[2 : spatial + 1]) * self._columns * view.dtype.itemsize
        self.blocks = list(blocks(view.shape[0], view.shape[1], row_bytes))
        largest = max((math.prod(self._sizes(block)) for block in self.blocks), default=0)
        self._memory = xp.empty(largest * self._columns, view.dtype)
        self._by_column = self._run() < min(_RUN, view.shape[spatial])

    def _sizes(self, block: Any) -> tuple[int, ...]:
        images, rows = block
        others = self._view.shape[2 : self._spatial + 1]
        return (images.stop - images.start, rows.stop - rows.start, *others)

    def _run(self) -> int:
        """How many elements of a window lie side by side."""
        *_, outer, inner = self._view.strides
        if inner != self._view.itemsize:
            return 1
        *_, extent, channels = self._view.shape
        side_by_side = extent if outer == channels * inner else 1
        return int(channels * side_by_side)

    def __getitem__(self, block: Any) -> Any:
        """The matrix of the windows of a block; good until the next one is asked for."""
        part = self._view[block]
        count = math.prod(self._sizes(block))
        memory = self._memory[: count * self._columns]
        if not self._by_column:
            memory.reshape(part.shape)[...] = part
            return memory.reshape(count, self._columns)
        split = self._spatial + 1
        order = (*range(split, part.ndim), *range(split))
        turned = part.transpose(order)
        memory.reshape(turned.shape)[...] = turned
        return memory.reshape(self._columns, count).T
