"""Whole numbers in as many bytes as they need, seven bits each: protocol buffers' varints."""

from __future__ import annotations

from tfsession.core.errors import DataLossError
from tfsession.core.wire import varint as encode

__all__ = ["decode", "encode"]

_LONGEST = 10


def decode(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The number at `position` and the position behind it.

    Raises:
        DataLossError: it does not end before `end`, or is longer than any number of 64 bits.
    """
    if position < end and data[position] < 0x80:  # as most are
        return data[position], position + 1
    value = shift = 0
    for place in range(position, min(end, position + _LONGEST)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, place + 1
        shift += 7
    raise DataLossError(None, None, f"bad variable-length number at byte {position}")
