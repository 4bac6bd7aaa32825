"""Record files: what is written is read, in each compression, and damage is noticed where it is."""

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    UnimplementedError,
)
from tfsession.core.records import Compression, RecordReader, RecordWriter

RECORDS = [b"abc", b"", b"x" * 50]
HEAD = b"\x03\0\0\0\0\0\0\0\xb0\x99I\x0eabcnW\xf1!\0\0\0\0\0\0\0\0)\x03\x98\x07\xd8\xea\x82\xa2"


def written(path, records, compression=""):
    with RecordWriter(path, Compression(compression)) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


def read(path, compression=""):
    with RecordReader(path, compression) as reader:
        return list(reader)


def test_the_bytes_are_tensorflows(tmp_path):
    assert written(tmp_path / "a", RECORDS)[: len(HEAD)] == HEAD


@pytest.mark.parametrize(("kind", "expand"), [("GZIP", gzip.decompress), ("ZLIB", zlib.decompress)])
def test_compression_is_of_the_whole_file(tmp_path, kind, expand):
    assert expand(written(tmp_path / "a", RECORDS, kind)) == written(tmp_path / "b", RECORDS)


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
@settings(max_examples=20)
@given(records=st.lists(st.binary(max_size=300)), repeats=st.sampled_from([1, 3000]))
def test_what_is_written_is_read(tmp_path_factory, kind, records, repeats):
    path = tmp_path_factory.mktemp("records") / "file"
    records = [record * repeats for record in records]
    written(path, records, kind)
    assert read(path, kind) == records


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_what_is_flushed_is_there_for_readers(tmp_path, kind):
    with RecordWriter(tmp_path / "a", Compression(kind)) as writer:
        for count in range(3):
            writer.write(b"r")
            writer.flush()
            assert read(tmp_path / "a", kind) == [b"r"] * (count + 1)


def test_the_offset_is_where_the_next_record_begins(tmp_path):
    written(tmp_path / "a", RECORDS)
    with RecordReader(tmp_path / "a") as reader:
        offsets = [reader.offset for _ in reader]
    assert offsets == [19, 35, 101]


def flipped(data, index):
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


DAMAGE = [
    (lambda d: flipped(d, 0), 0, "corrupted record at 0 (Is this even a TFRecord file?)"),
    (lambda d: flipped(d, 13), 0, "corrupted record at 12"),
    (lambda d: flipped(d, 16), 0, "corrupted record at 12"),
    (lambda d: flipped(d, 28), 1, "corrupted record at 19"),
    (lambda d: d[:14], 0, "truncated record at 0' failed with Read less bytes than requested"),
    (lambda d: d[:-1], 2, "truncated record at 35' failed with Read less bytes than requested"),
]


@pytest.mark.parametrize(("damage", "before", "message"), DAMAGE)
def test_damage_is_told_after_what_is_whole(tmp_path, damage, before, message):
    path = tmp_path / "a"
    path.write_bytes(damage(written(path, RECORDS)))
    found = []
    with pytest.raises(DataLossError) as caught, RecordReader(path) as reader:
        found.extend(reader)
    assert caught.value.message == message
    # extend keeps what came before the error.
    assert found == RECORDS[:before]


def test_a_huge_length_takes_no_memory(tmp_path):
    path = tmp_path / "a"
    head = (2**50).to_bytes(8, "little")
    written(path, [])
    with RecordWriter(path) as writer:
        writer.write(head)
    # The checksum of a length stands behind its own record's data, masked alike.
    path.write_bytes(head + path.read_bytes()[-4:] + b"data")
    with pytest.raises(DataLossError, match="truncated record at 0'"):
        read(path)


def test_a_file_may_end_within_a_length(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(written(path, RECORDS)[:24])
    assert read(path) == RECORDS[:1]


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
def test_damaged_compression_is_data_loss(tmp_path, kind):
    path = tmp_path / "a"
    whole = written(path, RECORDS, kind)
    for damaged, why in [
        (HEAD, "inflate() failed with error -3: incorrect header check"),
        (flipped(whole, len(whole) - 6), "inflate() failed with error -3: incorrect data check"),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(DataLossError) as caught:
            read(path, kind)
        assert caught.value.message == why
    path.write_bytes(whole[:-3])
    assert read(path, kind) == RECORDS
    path.write_bytes(whole + whole)
    assert read(path, kind) == (RECORDS * 2 if kind == "GZIP" else RECORDS)


def test_files_that_cannot_be_opened(tmp_path):
    for make in (RecordReader, RecordWriter):
        with pytest.raises(NotFoundError, match="No such file or directory"):
            make(tmp_path / "none" / "a")
        with pytest.raises(FailedPreconditionError, match="Is a directory"):
            make(tmp_path)
        with pytest.raises(UnimplementedError, match="'gs' not implemented"):
            make("gs://bucket/file")


def test_a_closed_writer_says_so(tmp_path):
    writer = RecordWriter(f"file://{tmp_path}/a")
    for _ in range(2):
        writer.close()
    for use in (writer.flush, lambda: writer.write(b"x")):
        with pytest.raises(FailedPreconditionError, match="Writer is closed"):
            use()
    assert read(tmp_path / "a") == []
