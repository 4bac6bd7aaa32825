"""The sorted string table of both formats, and the Snappy blocks that it may hold."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsession.checkpoint import snappy, varint
from tfsession.checkpoint.part_keys import part_key
from tfsession.checkpoint.table import decode_table, encode_table
from tfsession.core.errors import DataLossError
from tfsession.core.tensor_parts import Part

TABLES = st.dictionaries(st.binary(max_size=20), st.binary(max_size=40), max_size=60)


@given(TABLES)
def test_what_is_written_is_read(table):
    rows = sorted(table.items())
    assert list(decode_table(encode_table(rows))) == rows


def test_long_tables_have_many_blocks():
    rows = [(b"variable/%08d" % i, b"v" * 300) for i in range(5000)]
    data = encode_table(rows)
    assert len(data) > 1 << 20
    assert list(decode_table(data)) == rows


def test_keys_must_ascend():
    with pytest.raises(ValueError, match="must ascend"):
        encode_table([(b"b", b""), (b"a", b"")])
    with pytest.raises(ValueError, match="must ascend"):
        encode_table([(b"a", b""), (b"a", b"")])


def test_every_flipped_bit_of_a_table_is_noticed_or_does_not_count():
    rows = [(b"", b"header"), *((b"name/%02d" % i, b"value") for i in range(20))]
    whole = encode_table(rows)
    for place in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            try:
                assert list(decode_table(bytes(data))) == rows
            except DataLossError:
                continue
            # Only the padding of the footer does not count.
            assert place >= len(whole) - 48


def test_a_table_cut_short_is_noticed():
    whole = encode_table([(b"a", b"1"), (b"b", b"2")])
    for length in range(len(whole)):
        with pytest.raises(DataLossError):
            list(decode_table(whole[:length]))


# (compressed, content): literals, copies of all three kinds, one that reaches into itself.
COMPRESSED = [
    (bytes([0]), b""),
    (bytes([3, 2 << 2]) + b"abc", b"abc"),
    (bytes([9, 2 << 2]) + b"abc" + bytes([(2 << 2) | 1, 3]), b"abcabcabc"),
    (bytes([7, 2 << 2]) + b"abc" + bytes([(3 << 2) | 2, 3, 0]), b"abcabca"),
    (bytes([5, 2 << 2]) + b"abc" + bytes([(1 << 2) | 3, 2, 0, 0, 0]), b"abcbc"),
    (bytes([61, 60 << 2, 60]) + b"x" * 61, b"x" * 61),
]


@pytest.mark.parametrize(("data", "content"), COMPRESSED)
def test_snappy_blocks(data, content):
    assert snappy.decompress(data) == content


@given(st.binary(max_size=60))
def test_any_bytes_are_decompressed_or_refused(data):
    with contextlib.suppress(DataLossError):
        assert len(snappy.decompress(data)) <= 64 * len(data)


@given(st.integers(0, 2**64 - 1))
def test_numbers(value):
    data = varint.encode(value)
    assert varint.decode(b"x" + data, 1, len(data) + 1) == (value, len(data) + 1)
    with pytest.raises(DataLossError):
        varint.decode(data, 0, len(data) - 1)


@pytest.mark.parametrize("data", [b"\xff" * 9 + b"\x02", b"\xff" * 9 + b"\x7f", b"\xff" * 11])
def test_numbers_of_more_than_64_bits(data):
    with pytest.raises(DataLossError, match="bad variable-length number"):
        varint.decode(data, 0, len(data))


# Keys that TensorFlow has written.
KEYS = [
    (Part((10, 3), ((0, 4), None)), b"\0p\0\x01\x01\x02\x80\x84\x80\x7f"),
    (Part((10, 3), ((7, 3), None)), b"\0p\0\x01\x01\x02\x87\x83\x80\x7f"),
    (Part((), ()), b"\0p\0\x01\0"),
    (Part((20000,), ((64, 10000),)), b"\0p\0\x01\x01\x01\xc0\x40\xe0\x27\x10"),
]


@pytest.mark.parametrize(("part", "key"), KEYS)
def test_keys_of_parts(part, key):
    assert part_key("p", part) == key
