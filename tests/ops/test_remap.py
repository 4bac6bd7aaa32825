"""Rows and columns of a saved matrix, moved."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op

COVERED = ("GenerateVocabRemapping", "LoadAndRemapMatrix")
MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def prefix(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        saved = {"m": tf.Variable(MATRIX), "v": tf.Variable([1.0])}
        session.run(tf.global_variables_initializer())
        return tf.train.Saver(saved).save(session, str(tmp_path / "ck"), write_meta_graph=False)


def words(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def remapping(tmp_path, new, old, **attrs):
    files = [words(tmp_path / "new", *new), words(tmp_path / "old", *old)]
    attrs = {"new_vocab_offset": 0, "num_new_vocab": len(new), **attrs}
    return create_op("GenerateVocabRemapping", files, attrs)


def test_words_are_found_where_they_were(fresh_graph, tmp_path):
    for attrs, expected in [
        ({}, ([2, -1, 0], 2)),
        ({"new_vocab_offset": 1, "num_new_vocab": 2}, ([-1, 0], 1)),
        ({"old_vocab_size": 2}, ([-1, -1, 0], 1)),
        ({"num_new_vocab": 0}, ([], 0)),
    ]:
        found = remapping(tmp_path, "cxa", "abc", **attrs)
        with tf.Session() as session:
            numbers, count = session.run(found)
        assert (numbers.tolist(), count) == expected


def load(prefix, rows, columns, values, name="m", shape=(2, 3)):
    rows, columns = (tf.constant(x, tf.int64) for x in (rows, columns))
    inputs = [prefix, name, rows, columns, tf.constant(values, tf.float32)]
    attrs = {"num_rows": shape[0], "num_cols": shape[1]}
    return create_op("LoadAndRemapMatrix", inputs, attrs)


def test_matrices_are_moved(fresh_graph, prefix):
    with tf.Session() as session:
        assert session.run(load(prefix, [3, 0], [], [])).tolist() == [[9, 10, 11], [0, 1, 2]]
        found = load(prefix, [2, -1], [-1, 1], [7, 8, 9], shape=(2, 2))
        assert session.run(found).tolist() == [[7, 7], [8, 9]]


def test_what_does_not_fit(fresh_graph, prefix, tmp_path):
    cases = [
        (remapping(tmp_path, "ab", "a", new_vocab_offset=1), "Request for 2 words from number 1"),
        (load(prefix, [4, 0], [], []), r"must be in \[-1, 4\)"),
        (load(prefix, [0, -2], [], []), r"must be in \[-1, 4\)"),
        (load(prefix, [1, 1], [], []), "has a number twice"),
        (load(prefix, [1, 2], [], [], shape=(2, 2)), "has 3 columns, not 2"),
        (load(prefix, [1, -1], [], [1]), "contained 1 elements, but 3 are missing"),
        (load(prefix, [1, 2], [], [], name="v"), "no matrix of float32"),
    ]
    with tf.Session() as session:
        for made, text in cases:
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(made)
        with pytest.raises(tf.errors.NotFoundError, match="Key z not found"):
            session.run(load(prefix, [1, 2], [], [], name="z"))
        twice = remapping(tmp_path, "aa", "ab")
        with pytest.raises(tf.errors.InvalidArgumentError, match="has a word twice"):
            session.run(twice)
