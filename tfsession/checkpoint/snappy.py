"""Decompression of Snappy blocks: other writers of tables may have compressed them.

Source of the format: Snappy's format description, version 1.
"""

from __future__ import annotations

from tfsession.checkpoint import varint
from tfsession.core.errors import DataLossError

# Three bytes can copy 64: what claims to hold more than this per byte is no Snappy block.
_MOST_PER_BYTE = 64


def decompress(data: bytes) -> bytes:
    """The content of a block; DataLossError when it is damaged."""
    size, position = varint.decode(data, 0, len(data))
    if size > _MOST_PER_BYTE * len(data):
        raise _damaged(f"claims to hold {size} bytes")
    content = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        if tag & 3 == 0:
            length, position = _literal_length(data, tag >> 2, position)
            if position + length > len(data):
                raise _damaged("ends within a literal")
            content += data[position : position + length]
            position += length
        else:
            position = _copy(data, tag, position, content)
        if len(content) > size:
            raise _damaged("holds more than it claims")
    if len(content) != size:
        raise _damaged("holds less than it claims")
    return bytes(content)


def _literal_length(data: bytes, code: int, position: int) -> tuple[int, int]:
    if code < 60:
        return code + 1, position
    count = code - 59
    if position + count > len(data):
        raise _damaged("ends within a length")
    return int.from_bytes(data[position : position + count], "little") + 1, position + count


def _copy(data: bytes, tag: int, position: int, content: bytearray) -> int:
    """Append what stands further ahead; it may reach into what it appends itself."""
    count = (1, 2, 4)[(tag & 3) - 1]
    if position + count > len(data):
        raise _damaged("ends within an offset")
    offset = int.from_bytes(data[position : position + count], "little")
    length = (tag >> 2) + 1
    if count == 1:
        offset |= tag >> 5 << 8
        length = (tag >> 2 & 7) + 4
    if not 0 < offset <= len(content):
        raise _damaged("copies from before its beginning")
    start = len(content) - offset
    piece = content[start : start + length]
    content += (piece * (length // len(piece) + 1))[:length]
    return position + count


def _damaged(how: str) -> DataLossError:
    return DataLossError(None, None, f"corrupted compressed block contents: it {how}")
