"""PNG files: what they say can be read back by the book."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tfsession.core import png

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))


def chunks(data):
    """(type, body) of each chunk, with its checksum verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place = 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + size]
        assert struct.unpack_from(">I", data, place + 8 + size) == (zlib.crc32(body),)
        yield body[:4], body[4:]
        place += 12 + size


@given(SHAPES.flatmap(lambda s: st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, s))), st.integers(-1, 9))  # fmt: skip
def test_pixels_come_back(pixels, level):
    (first, header), (second, data), last = chunks(png.encode(pixels, level))
    assert (first, second, last) == (b"IHDR", b"IDAT", (b"IEND", b""))
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", header)
    assert rest == [0, 0, 0]
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[color]
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    found = np.ascontiguousarray(rows[:, 1:]).view(f">u{depth // 8}")
    assert np.array_equal(found.reshape(height, width, channels), pixels)


@pytest.mark.parametrize(
    ("shape", "dtype", "text"),
    [
        ((2, 2), "uint8", "not empty"),
        ((2, 2, 5), "uint8", "not empty"),
        ((0, 2, 1), "uint8", "not empty"),
        ((2, 2, 1), "float32", "uint8 or uint16"),
    ],
)
def test_what_is_no_image(shape, dtype, text):
    with pytest.raises(ValueError, match=text):
        png.encode(np.zeros(shape, dtype))
