"""Parts of tensors, as checkpoints hold them: how specifications and messages name them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core import protos
from tfsession.core.shape import debug_string

# Few boxes are compared with each other; the elements of more are marked.
_MOST_COMPARED: Final = 128
# One dimension's (start, length); None where the whole dimension is meant.
Extent = tuple[int, int] | None


class Part(NamedTuple):
    """A box of a tensor: `shape` is the whole tensor's."""

    shape: tuple[int, ...]
    extents: tuple[Extent, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the tensor is missing."""
        return all(b == (0, n) for b, n in zip(self.bounds, self.shape, strict=True))

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Start and length in each dimension."""
        pairs = zip(self.extents, self.shape, strict=True)
        return tuple((0, size) if extent is None else extent for extent, size in pairs)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The shape of the part."""
        return tuple(length for _, length in self.bounds)

    @property
    def size(self) -> int:
        """How many elements the part has."""
        return math.prod(self.lengths)

    def to_proto(self) -> Any:
        """The TensorSliceProto."""
        proto = protos.TensorSliceProto()
        for extent in self.extents:
            added = proto.extent.add()
            if extent is not None:
                added.start, added.length = extent
        return proto

    def spec(self) -> str:
        """The text of a slice: `0,4:-`."""
        return ":".join("-" if e is None else f"{e[0]},{e[1]}" for e in self.extents)


def whole(shape: tuple[int, ...]) -> Part:
    """All of a tensor."""
    return Part(shape, (None,) * len(shape))


def part_from_proto(proto: Any, shape: tuple[int, ...]) -> Part:
    """The part of a TensorSliceProto; ValueError where it is none of a tensor of `shape`."""
    extents = tuple(
        (extent.start, extent.length) if extent.WhichOneof("has_length_hack") else None
        for extent in proto.extent
    )
    return _checked(Part(shape, extents))


def _checked(part: Part) -> Part:
    if len(part.extents) != len(part.shape):
        raise ValueError(
            f"Ranks of shape and slice differ: shape = {debug_string(part.shape)}, "
            f"slice = {part.spec()}"
        )
    pairs = zip(part.bounds, part.shape, strict=True)
    for dimension, ((start, length), size) in enumerate(pairs):
        if start < 0 or length < 0 or start + length > size:
            raise ValueError(
                f"Extent in dimension {dimension} out of bounds: shape = "
                f"{debug_string(part.shape)}, slice = {part.spec()}"
            )
    return part


def parse_part(text: str) -> Part:
    """The part of a specification: `10 3 0,4:-`, the whole shape and then the slice.

    Raises:
        ValueError: the text is no such thing.
    """
    *sizes, spec = text.split(" ")
    if not sizes:
        raise ValueError(f"Need least two elements in shape_and_slice specification: {text}")
    try:
        shape = tuple(map(int, sizes))
    except ValueError:
        raise ValueError(f"Non numerical dimension in shape_and_slice: {text}") from None
    return _checked(Part(shape, tuple(_extent(one, spec) for one in spec.split(":"))))


def _extent(text: str, spec: str) -> Extent:
    if text == "-":
        return None
    try:
        start, length = map(int, text.split(","))
    except ValueError:
        raise ValueError(
            f"Expected a pair of numbers or '-' but got '{text}': string = {spec}"
        ) from None
    return start, length


def overlap(wanted: Part, there: Part) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Where both parts meet, as indices into the one and into the other; None if nowhere."""
    into_wanted, into_there = [], []
    for (start, length), (begin, count) in zip(wanted.bounds, there.bounds, strict=True):
        first, last = max(start, begin), min(start + length, begin + count)
        if first >= last:
            return None
        into_wanted.append(slice(first - start, last - start))
        into_there.append(slice(first - begin, last - begin))
    return tuple(into_wanted), tuple(into_there)


# Fills an array with those elements of a stored part that the indices name.
Fill = Callable[[Part, tuple[slice, ...], Any], None]


def assemble(
    wanted: Part,
    stored: Iterable[Part],
    dtype: Any,
    fill: Fill,
    check: Callable[[Part], object],
) -> Any:
    """A new array of NumPy's `dtype` for a part of a tensor, from the parts that are stored.

    Args:
        wanted: the part.
        stored: the parts that there are.
        dtype: of the array.
        fill: called for a stored part, the indices of what is wanted of it, and the array for that.
        check: raises unless a stored part is as large as it claims to be.

    Raises:
        ValueError: they leave something out, or meet each other.
    """
    meetings = [(there, overlap(wanted, there)) for there in stored]
    counts = [math.prod(s.stop - s.start for s in both[0]) for _, both in meetings if both]
    # Before memory is taken for what a damaged file may claim.
    if sum(counts) != wanted.size:
        raise ValueError(f"the parts there do not make up {wanted.spec()}")
    for there, both in meetings:
        if both:
            check(there)
    if _overlap([both[0] for _, both in meetings if both], wanted.lengths):
        raise ValueError("its parts overlap")
    result: Any = np.empty(wanted.lengths, dtype)
    for there, both in meetings:
        if both:
            fill(there, both[1], result[(*both[0], ...)])
    return result


def _overlap(boxes: list[tuple[slice, ...]], shape: tuple[int, ...]) -> bool:
    """Whether two boxes, of as many elements together as `shape` has, have one in common."""
    if len(boxes) > _MOST_COMPARED:
        filled = np.zeros(shape, np.bool_)
        for box in boxes:
            filled[box] = True
        return not filled.all()
    return any(
        all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))
        for number, one in enumerate(boxes)
        for other in boxes[:number]
    )
