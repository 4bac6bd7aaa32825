"""The wire format of protobuf messages: what is written often is put together from bytes."""

from __future__ import annotations

__all__ = ["nested", "read_varint", "sized", "varint"]


def varint(value: int) -> bytes:
    """A number of at least 0 as the wire format has it."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it; ValueError if it is cut off."""
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("a number is cut off")


_SHORT = [varint(size) for size in range(1 << 10)]


def sized(content: bytes) -> bytes:
    """A message or a text with its length before it."""
    size = len(content)
    return (_SHORT[size] if size < len(_SHORT) else varint(size)) + content


def nested(field: int, content: bytes) -> bytes:
    """A field that holds a message or a text."""
    return varint(field << 3 | 2) + sized(content)
