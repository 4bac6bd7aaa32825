"""PNG files, as the specification (W3C, third edition) has them; the filters are undone by Pillow.

Pillow reads colors of 16 bits as 8. But filters work on each byte of a pixel by itself: so the
upper bytes are one image of 8 bits, the lower ones another, and Pillow reads both.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
# First row and column, and steps, of the passes of an interlaced image.
_PASSES = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)


class Header:
    """Width, height, bits, color type and transparent color; raises ValueError at bad files."""

    def __init__(self, contents: bytes) -> None:
        chunks = _chunks(contents)
        fields = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
        self.width, self.height, self.bits, self.color_type, _, _, self.interlaced = fields
        if self.color_type not in _CHANNELS or not self.width or not self.height:
            raise ValueError("no such color type, or no pixels")
        self.key: Any = None
        transparent = chunks.get(b"tRNS")
        if transparent and self.color_type in (0, 2):
            self.key = np.frombuffer(transparent, ">u2", _CHANNELS[self.color_type])
            if self.bits < 8:
                self.key = self.key * (255 // ((1 << self.bits) - 1))

    @property
    def bytes(self) -> int:
        """Of the image when it is decoded, at most."""
        return self.width * self.height * 4 * (2 if self.bits == 16 else 1)


def _chunks(contents: bytes) -> dict[bytes, bytes]:
    """The data of all chunks, those of one name joined."""
    found: dict[bytes, list[bytes]] = {}
    at = len(SIGNATURE)
    while at + 12 <= len(contents):
        (size,) = struct.unpack_from(">I", contents, at)
        found.setdefault(contents[at + 4 : at + 8], []).append(contents[at + 8 : at + 8 + size])
        at += 12 + size
    return {name: b"".join(parts) for name, parts in found.items()}


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _file(fields: tuple[int, ...], stream: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))
    return SIGNATURE + header + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _halves(contents: bytes, header: Header) -> list[bytes]:
    """Two files of 8 bits: the upper and the lower bytes of one of 16."""
    width, height, channels = header.width, header.height, _CHANNELS[header.color_type]
    sizes = [(height, width)]
    if header.interlaced:
        sizes = [(-(-(height - r) // y), -(-(width - c) // x)) for r, c, y, x in _PASSES]
    sizes = [(rows, columns) for rows, columns in sizes if rows > 0 and columns > 0]
    total = sum(rows * (1 + columns * channels * 2) for rows, columns in sizes)
    stream = _chunks(contents)[b"IDAT"]
    data = np.frombuffer(zlib.decompressobj().decompress(stream, total), np.uint8)
    if data.size < total:
        raise ValueError("the file is truncated")
    parts: tuple[list[Any], list[Any]] = ([], [])
    at = 0
    for rows, columns in sizes:
        size = rows * (1 + columns * channels * 2)
        lines = data[at : at + size].reshape(rows, -1)
        for half, part in enumerate(parts):
            part.append(np.concatenate([lines[:, :1], lines[:, 1 + half :: 2]], axis=1).reshape(-1))
        at += size
    fields = (width, height, 8, header.color_type, 0, 0, header.interlaced)
    return [_file(fields, zlib.compress(np.concatenate(part).tobytes(), 1)) for part in parts]


def _pixels(image: Any) -> Any:
    """The array of an image of Pillow's, its palette looked up; always `[rows, columns, ...]`."""
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def decoded(contents: bytes, header: Header, opened: Callable[[Any], Any]) -> Any:
    """The image with its own channels, uint8 or uint16; a palette's are 3, or 4 with alpha."""
    if header.bits == 16:
        high, low = (_pixels(opened(io.BytesIO(file))) for file in _halves(contents, header))
        return high.astype(np.uint16) << 8 | low
    return _pixels(opened(io.BytesIO(contents)))


def with_channels(image: Any, channels: int, key: Any) -> Any:
    """Of 1, 3 or 4 channels: alpha dropped or made of the transparent color `key`."""
    count = image.shape[-1]
    if not channels or channels == count:
        return image
    colors = image[..., :-1] if count in (2, 4) else image
    alpha = image[..., -1:] if count in (2, 4) else None
    if channels == 4 and alpha is None:
        most = np.iinfo(image.dtype).max
        alpha = np.full((*image.shape[:-1], 1), most, image.dtype)
        if key is not None:
            alpha[(colors == key).all(axis=-1)] = 0
    if channels == 1 and colors.shape[-1] == 3:
        # The weights of libpng, in parts of 32768, when it is asked for 0.299 and 0.587.
        weighted = colors.astype(np.int64) @ np.array([9797, 19234, 3737])
        half = 0 if image.dtype == np.uint8 else 1 << 14  # it rounds 16 bits, and cuts 8
        return (weighted + half >> 15).astype(image.dtype)[..., None]
    if channels >= 3 and colors.shape[-1] == 1:
        colors = np.repeat(colors, 3, axis=-1)
    return np.concatenate([colors, alpha], axis=-1) if channels == 4 else colors


def encoded(image: Any, compression: int) -> bytes:
    """The file of one image; each row as differences from pixel to pixel."""
    height, width, channels = image.shape
    step = channels * image.itemsize
    lines = np.ascontiguousarray(image.astype(image.dtype.newbyteorder(">"))).view(np.uint8)
    lines = lines.reshape(height, width * step)
    rows = np.empty((height, 1 + width * step), np.uint8)
    rows[:, 0] = 1
    rows[:, 1 : 1 + step] = lines[:, :step]
    rows[:, 1 + step :] = lines[:, step:] - lines[:, :-step]
    fields = (width, height, image.itemsize * 8, _COLOR_TYPES[channels], 0, 0, 0)
    return _file(fields, zlib.compress(rows.tobytes(), compression))
