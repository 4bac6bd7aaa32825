"""How a table's keys spell parts of tensors, so that they sort as what they stand for.

Source of the encoding: OrderedCode, as TensorFlow's checkpoints use it.
"""

from __future__ import annotations

from tfsession.core.tensor_parts import Part


def part_key(name: str, part: Part) -> bytes:
    """The key of a part in a table: it begins with a zero byte, as no name of a tensor does."""
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
