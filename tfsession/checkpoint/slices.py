"""Parts of tensors: how specifications name them, how messages hold them, how keys spell them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tfsession.core import protos
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.shape import debug_string

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
        raise ValueError(f"slice {part.spec()} has another rank than {debug_string(part.shape)}")
    for (start, length), size in zip(part.bounds, part.shape, strict=True):
        if start < 0 or length < 0 or start + length > size:
            raise ValueError(f"slice {part.spec()} reaches out of {debug_string(part.shape)}")
    return part


def parse_part(text: str) -> Part:
    """The part of a specification: `10 3 0,4:-`, the whole shape and then the slice.

    Raises:
        InvalidArgumentError: the text is no such thing.
    """
    *sizes, spec = text.split(" ")
    try:
        if not sizes:
            raise ValueError("it needs a shape and a slice")
        shape = tuple(map(int, sizes))
        extents = tuple(map(_extent, spec.split(":")))
        return _checked(Part(shape, extents))
    except ValueError as error:
        message = f"Invalid shape and slice specification: {text!r}: {error}"
        raise InvalidArgumentError(None, None, message) from None


def _extent(text: str) -> Extent:
    if text == "-":
        return None
    start, length = map(int, text.split(","))
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


def assemble(wanted: Part, stored: Iterable[Part], dtype: Any, read: Callable[[Part], Any]) -> Any:
    """A new array of NumPy's `dtype` for a part of a tensor, from the parts that are stored.

    Args:
        wanted: the part.
        stored: the parts that there are.
        dtype: of the array.
        read: gives the array of a stored part.

    Raises:
        ValueError: they leave something out, or meet each other.
    """
    meetings = [(there, overlap(wanted, there)) for there in stored]
    counts = [math.prod(s.stop - s.start for s in both[0]) for _, both in meetings if both]
    # Before memory is taken for what a damaged file may claim.
    if sum(counts) != wanted.size:
        raise ValueError(f"the parts there do not make up {wanted.spec()}")
    arrays = [(both, read(there)) for there, both in meetings if both]
    result = np.empty(wanted.lengths, dtype)
    filled = np.zeros(wanted.lengths, np.bool_)
    for both, array in arrays:
        result[both[0]] = array[both[1]]
        filled[both[0]] = True
    if not filled.all():
        raise ValueError("its parts overlap")
    return result


def part_key(name: str, part: Part) -> bytes:
    """The key of a part in a table: it begins with a zero byte, as no name of a tensor does.

    Source of the encoding: OrderedCode, whose texts sort as what they stand for.
    """
    key = _number(0) + _text(name.encode()) + _number(len(part.extents))
    for extent in part.extents:
        start, length = (0, -1) if extent is None else extent
        key += _signed(start) + _signed(length)
    return key


def _number(value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(data)]) + data


def _text(data: bytes) -> bytes:
    escapes = {0x00: b"\x00\xff", 0xFF: b"\xff\x00"}
    return b"".join(escapes.get(byte) or bytes([byte]) for byte in data) + b"\x00\x01"


def _signed(value: int) -> bytes:
    """So many bytes in two's complement as hold the value beside a header that tells how many."""
    magnitude = ~value if value < 0 else value
    # With n bytes, n bits are the header and one is the sign.
    count = next(n for n in range(1, 11) if magnitude < 1 << (7 * n - 1))
    header = ((1 << count) - 1) << (8 * count - count)
    encoded = value & ((1 << 8 * count) - 1)
    return (encoded ^ header).to_bytes(count, "big")
