"""Windows that slide over a tensor: the geometry that convolutions, pools and patches share.

A window of `extent` elements, of which neighbours lie `dilation` apart, moves by `stride` over
`size` elements and their padding. Sizes may be None where a shape function does not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Axis", "axes_of", "positions", "spatial_axes"]


def spatial_axes(data_format: bytes, rank: int) -> tuple[list[int], int]:
    """The dimensions over which windows slide, and that of the channels."""
    if data_format.startswith(b"NC"):
        return list(range(2, rank)), 1
    return list(range(1, rank - 1)), rank - 1


def positions(
    size: int | None,
    extent: int | None,
    stride: int,
    dilation: int,
    padding: bytes,
    explicit: tuple[int, int] = (0, 0),
) -> int | None:
    """How many windows there are along one dimension; None where that is unknown.

    Raises:
        ValueError: the window is larger than what it slides over, or no number is positive.
    """
    if stride <= 0:
        raise ValueError(f"Stride must be > 0, but got {stride}")
    if dilation < 1:
        raise ValueError(f"Dilation rate must be >= 1, but got {dilation}")
    if size is None:
        return None
    if padding == b"SAME":
        return -(-size // stride)
    if extent is None:
        return None
    reach = (extent - 1) * dilation + 1
    room = size + sum(explicit)
    if room < reach:
        raise ValueError(f"Negative dimension size caused by subtracting {reach} from {room}")
    return (room - reach + stride) // stride


class Axis(NamedTuple):
    """One dimension over which a window slides, all sizes known."""

    size: int
    extent: int
    stride: int
    dilation: int
    before: int
    after: int
    steps: int  # as many windows as there are

    @property
    def reach(self) -> int:
        """The elements from a window's first to its last."""
        return (self.extent - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """The elements that windows touch, padding included; some at the end may be left out."""
        return max((self.steps - 1) * self.stride + self.reach, 0) if self.steps else 0

    @property
    def is_identity(self) -> bool:
        """Whether each window is one element, and each element one window."""
        return self.extent == self.stride == 1 and not self.before and self.steps == self.size

    @property
    def offsets(self) -> range:
        """The elements of a window that are not padding in all windows, one behind the other.

        A window may be far larger than what it slides over.
        """
        first = max(0, -(((self.steps - 1) * self.stride - self.before) // self.dilation))
        last = min(self.extent - 1, (self.size - 1 + self.before) // self.dilation)
        return range(first, last + 1)

    def meeting(self, offset: int) -> tuple[slice, slice] | None:
        """The windows whose element `offset` is no padding, and these elements; None: no such."""
        start = offset * self.dilation - self.before
        first = max(0, -(start // self.stride))
        last = min(self.steps - 1, (self.size - 1 - start) // self.stride)
        if last < first:
            return None
        begin = start + first * self.stride
        end = start + last * self.stride + 1
        return slice(first, last + 1), slice(begin, end, self.stride)


def _axis(
    size: int,
    extent: int,
    stride: int,
    dilation: int,
    padding: bytes,
    explicit: tuple[int, int],
) -> Axis:
    count = positions(size, extent, stride, dilation, padding, explicit)
    assert count is not None
    before, after = explicit
    if padding == b"SAME":
        reach = (extent - 1) * dilation + 1
        total = max((count - 1) * stride + reach - size, 0)
        before, after = total // 2, total - total // 2
    return Axis(size, extent, stride, dilation, before, after, count)


def axes_of(
    sizes: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: bytes,
    explicit: Sequence[tuple[int, int]] | None = None,
) -> list[Axis]:
    """The axes of windows of known sizes; ValueError as from `positions`."""
    pads = explicit or [(0, 0)] * len(sizes)
    parts = zip(sizes, extents, strides, dilations, pads, strict=True)
    return [_axis(size, n, step, gap, padding, pad) for size, n, step, gap, pad in parts]
