"""Checksums of stored data: known answers, and that parts add up to the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_dtypes import bfloat16

from tfsession.core.crc32c import crc32c, joined, masked_crc32c

# RFC 3720, appendix B.4.
KNOWN = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


def bit_by_bit(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(("data", "crc"), KNOWN)
def test_known_answers(data, crc):
    assert crc32c(data) == crc
    assert masked_crc32c(data) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_parts_add_up(first, second):
    assert crc32c(second, crc32c(first)) == crc32c(first + second) == bit_by_bit(first + second)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_sums_of_parts_are_joined(first, second):
    assert joined(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)


def test_sums_of_large_parts_are_joined():
    first, second = b"first", bytes(range(251)) * 5000
    assert joined(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.complex64, bfloat16])
@pytest.mark.parametrize("shape", [(), (0,), (3, 5)])
def test_any_buffer_will_do(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    whole = crc32c(array.tobytes())
    assert crc32c(array) == whole
    assert crc32c(bytearray(array.tobytes())) == crc32c(memoryview(array.tobytes())) == whole
