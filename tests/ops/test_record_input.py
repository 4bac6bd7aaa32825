"""RecordInput: each record once each time through, in an order of the seed; and its errors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.ops.record_input import RecordInput

# What it gives is random, and depends on what was taken before.
COVERED = ["RecordInput"]
RECORDS = sorted(f"{number}-{place}".encode() for number in range(3) for place in range(5))


@pytest.fixture(params=["", "GZIP"])
def pattern(tmp_path, request):
    options = tf.python_io.TFRecordOptions(request.param)
    for number in range(3):
        name = str(tmp_path / f"{number}.tfrecord")
        with tf.python_io.TFRecordWriter(name, options) as writer:
            for place in range(5):
                writer.write(f"{number}-{place}".encode())
    return str(tmp_path / "*.tfrecord"), request.param


def batches(count, *args, **kwargs):
    with tf.Graph().as_default():
        records = RecordInput(*args, **kwargs).get_yield_op()
        with tf.Session() as session:
            return np.concatenate([session.run(records) for _ in range(count)]).tolist()


@pytest.mark.parametrize("buffer_size", [1, 4, 100])
@pytest.mark.parametrize("parallelism", [1, 2, 16])
def test_all_records_come_once_before_any_comes_again(pattern, buffer_size, parallelism):
    kwargs = {
        "batch_size": 6,
        "buffer_size": buffer_size,
        "parallelism": parallelism,
        "compression_type": pattern[1],
    }
    found = batches(10, pattern[0], **kwargs)
    times = [found[start : start + 15] for start in range(0, 60, 15)]
    assert [sorted(records) for records in times] == [RECORDS] * 4
    assert len({tuple(records) for records in times}) > 1
    assert batches(10, pattern[0], **kwargs) == found
    assert batches(10, pattern[0], seed=8, **kwargs) != found


def test_a_batch_may_be_split_into_lists(fresh_graph, pattern):
    lists = RecordInput(pattern[0], 5, batches=3, compression_type=pattern[1]).get_yield_op()
    with tf.Session() as session:
        found = session.run(lists)
    assert [len(records) for records in found] == [5, 5, 5]
    assert sorted(record for records in found for record in records) == RECORDS


def test_shifted_files_come_later(tmp_path):
    for name in "abcd":
        with tf.python_io.TFRecordWriter(str(tmp_path / name)) as writer:
            writer.write(name.encode())
    first = batches(4, str(tmp_path / "*"))
    half = batches(4, str(tmp_path / "*"), shift_ratio=0.5)
    assert half == first[2:] + first[:2]


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"buffer_size": 0}, tf.errors.InvalidArgumentError),
        ({"parallelism": 0}, tf.errors.InvalidArgumentError),
        ({"batch_size": 0}, tf.errors.InvalidArgumentError),
        ({"shift_ratio": 1.5}, tf.errors.InvalidArgumentError),
        ({"compression_type": 9}, ValueError),
    ],
    ids=str,
)
def test_bad_settings_are_refused(pattern, kwargs, error):
    with pytest.raises(error):
        batches(1, pattern[0], **kwargs)


def test_bad_files_are_refused_and_the_session_goes_on(fresh_graph, tmp_path):
    records = RecordInput(str(tmp_path / "*"), batch_size=2).get_yield_op()
    path = tmp_path / "file"
    with tf.Session() as session:
        with pytest.raises(tf.errors.NotFoundError, match="Found no files at"):
            session.run(records)
        path.write_bytes(b"")
        with pytest.raises(tf.errors.DataLossError, match="no records"):
            session.run(records)
        path.write_bytes(b"x" * 100)
        with pytest.raises(tf.errors.DataLossError, match="corrupted"):
            session.run(records)
        with tf.python_io.TFRecordWriter(str(path)) as writer:
            writer.write(b"a")
        assert session.run(records).tolist() == [b"a", b"a"]
