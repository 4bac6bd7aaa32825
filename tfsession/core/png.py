"""PNG files from pixels: ISO/IEC 15948, over zlib, without interlacing or a palette."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np

# The colour type of the header, by the number of channels: grey, with alpha, RGB, with alpha.
_COLOR_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}


def encode(pixels: Any, compression: int = -1) -> bytes:
    """The PNG file of an array of shape [height, width, channels], of dtype uint8 or uint16.

    Args:
        pixels: grey, grey with alpha, RGB or RGBA: one to four channels.
        compression: zlib's level, 0 to 9; -1 for its default.

    Raises:
        ValueError: another shape, no pixels, or another dtype.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOR_TYPES or not pixels.size:
        raise ValueError(f"Pixels must be [height, width, 1 to 4], not empty: {pixels.shape}")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"Pixels must be uint8 or uint16, not {pixels.dtype}")
    height, width, channels = pixels.shape
    depth = 8 * pixels.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOR_TYPES[channels], 0, 0, 0)
    big_endian = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)
    # Every row begins with its filter: 0, the bytes as they are.
    rows = np.zeros((height, 1 + width * channels * pixels.itemsize), np.uint8)
    rows[:, 1:] = np.ascontiguousarray(big_endian).view(np.uint8).reshape(height, -1)
    data = zlib.compress(rows.tobytes(), compression)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body) for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))
