"""GIF files, as the specification of 1990 has them; the frames are unpacked by Pillow.

As in TensorFlow, a frame is drawn over the one before, whatever the file says is to be done with
that, and the canvas is as large as the largest frame.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np


class Frames:
    """How many frames are there whole, their greatest size, and a file of those."""

    def __init__(self, contents: bytes) -> None:
        self.count = self.width = self.height = 0
        data = bytearray(contents)
        at = end = 13 + _table(data[10])
        while at < len(data) and data[at] != 0x3B:
            try:
                at = self._block(data, at)
            except (IndexError, struct.error):
                break
            if at > len(data):
                break
            end = at
            if self._is_frame:
                self.count += 1
                self.width = max(self.width, self._size[0])
                self.height = max(self.height, self._size[1])
        data[6:10] = struct.pack("<HH", self.width, self.height)
        self.contents = bytes(data[:end]) + b"\x3b"

    def _block(self, data: bytearray, at: int) -> int:
        """The end of the block at `at`; what becomes of its frame is set to: left as it is."""
        self._is_frame = data[at] == 0x2C
        if self._is_frame:
            self._size = struct.unpack_from("<HH", data, at + 5)
            return _after_parts(data, at + 11 + _table(data[at + 9]))
        if data[at] != 0x21:
            raise IndexError(at)
        if data[at + 1] == 0xF9:
            data[at + 3] = data[at + 3] & 0xE3 | 0x04
        return _after_parts(data, at + 2)


def _table(flags: int) -> int:
    """Bytes of the color table that these flags tell of."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_parts(data: bytearray, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def decoded(frames: Frames, opened: Callable[[Any], Any]) -> Any:
    """uint8 `[frames, height, width, 3]`; black where nothing was drawn."""
    image = opened(io.BytesIO(frames.contents))
    result = np.zeros((frames.count, frames.height, frames.width, 3), np.uint8)
    for number in range(frames.count):
        image.seek(number)
        drawn = np.asarray(image.convert("RGBA"))[: frames.height, : frames.width]
        rows, columns = drawn.shape[:2]
        result[number, :rows, :columns] = drawn[..., :3] * (drawn[..., 3:] > 0)
    return result
