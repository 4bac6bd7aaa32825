"""Every single bit of stored data counts: flipped, it is a DataLossError that names the file."""

import os
from pathlib import Path

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.records import RecordWriter

DATA = "m.data-00000-of-00001"


@pytest.fixture(scope="module", params=[2, 1], ids=["V2", "V1"])
def checkpoint(request, tmp_path_factory):
    """The prefix of a checkpoint, and its variables' names."""
    directory = tmp_path_factory.mktemp("flipped")
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("a", initializer=np.arange(5, dtype=np.float32))
        tf.get_variable("b/c", initializer=np.array([[1, -2]], np.int64))
        tf.get_variable("flag", initializer=True)
        tf.get_variable("texts", initializer=tf.constant(["x", "", "yz"]))
        tf.get_variable(
            "parts", [4], initializer=tf.ones_initializer(),
            partitioner=tf.fixed_size_partitioner(2),
        )  # fmt: skip
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(write_version=request.param)
        prefix = saver.save(session, str(directory / "m"), write_meta_graph=False)
        names = sorted(name for name, _ in tf.train.list_variables(prefix))
    assert names == ["a", "b/c", "flag", "parts", "texts"]
    return prefix, names


def _read(prefix, names):
    reader = tf.train.load_checkpoint(prefix)
    for name in names:
        reader.get_tensor(name)


def _flip_all(path, read):
    """Flip each bit of a file; gives those after which it was read as if nothing were wrong."""
    good, unnoticed = path.read_bytes(), []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(good):
            for changed in (byte ^ 1 << bit for bit in range(8)):
                os.pwrite(file.fileno(), bytes([changed]), place)
                try:
                    read()
                except tf.errors.DataLossError as error:
                    assert path.parent.name in str(error) or "record at" in str(error)
                else:
                    unnoticed.append((place, changed))
            os.pwrite(file.fileno(), bytes([byte]), place)
    read()
    return unnoticed


def test_all_bits_of_a_checkpoint(checkpoint):
    prefix, names = checkpoint
    files = sorted(p for p in Path(prefix).parent.iterdir() if p.name != "checkpoint")
    assert [p.name for p in files] in ([DATA, "m.index"], ["m"])
    for path in files:
        assert _flip_all(path, lambda: _read(prefix, names)) == []


def test_all_bits_of_an_event_file(tmp_path):
    path = tmp_path / "events"
    with RecordWriter(path) as writer:
        for step in range(3):
            summary = tf.Summary(value=[tf.Summary.Value(tag="loss", simple_value=step)])
            writer.write(tf.Event(step=step, summary=summary).SerializeToString())

    def read():
        assert len(list(tf.train.summary_iterator(str(path)))) == 3

    assert _flip_all(path, read) == []
