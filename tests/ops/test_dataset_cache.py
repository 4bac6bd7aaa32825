"""Datasets that are kept in files."""

import os
import warnings

import numpy as np
import pytest

import tfsession as tf

Dataset = tf.data.Dataset


@pytest.fixture
def name(tmp_path):
    """Where to cache; and a function that tells the files that are there."""
    return str(tmp_path / "c")


def files(name):
    return sorted(entry.name for entry in os.scandir(os.path.dirname(name)))  # noqa: PTH120


def gone_through(session, iterator, most=99):
    element = iterator.get_next()
    session.run(iterator.initializer)
    found = []
    for _ in range(most):
        try:
            found.append(session.run(element))
        except tf.errors.OutOfRangeError:
            break
    return found


def counted(calls):
    def note(value):
        calls.append(int(value))
        return value

    return Dataset.range(5).map(lambda x: tf.py_func(note, [x], tf.int64))


def test_a_cache_is_filled_once_for_all_programs(fresh_graph, name):
    calls = []
    iterator = counted(calls).cache(name).repeat(2).make_initializable_iterator()
    for _ in range(2):
        with tf.Session() as session:
            assert gone_through(session, iterator) == [0, 1, 2, 3, 4] * 2
            assert files(name) == ["c.cache"]
    assert calls == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "dtype",
    [tf.float16, tf.bfloat16, tf.float64, tf.uint8, tf.int64, tf.complex64, tf.bool, tf.string,
     tf.qint8, tf.uint16],
    ids=lambda dtype: dtype.name,
)  # fmt: skip
def test_any_element_comes_back(fresh_graph, name, dtype):
    value = np.array([[1, 0, 1]]).astype(dtype.as_numpy_dtype)
    if dtype is tf.string:
        value = np.array([[b"a", b"", b"\\0b"]], object)
    if dtype is tf.qint8:
        value = np.array([[(1,), (0,), (1,)]], dtype.as_numpy_dtype)
    whole = tf.constant(value, dtype)
    parts = (whole, tf.reshape(whole, [3])[0], tf.zeros([0, 2]), {"text": "some", "n": 3})
    iterator = Dataset.from_tensors(parts).cache(name).repeat(2).make_initializable_iterator()
    with tf.Session() as session:
        first, second = gone_through(session, iterator)
    assert repr(first) == repr(second)
    assert first[0].dtype == second[0].dtype
    assert second[2].shape == (0, 2)


def test_sparse_tensors_come_back(fresh_graph, name):
    sparse = tf.SparseTensor([[0, 1], [2, 2]], ["a", "b"], [3, 4])
    dataset = Dataset.from_tensor_slices((sparse, np.arange(3))).batch(2).cache(name).repeat(2)
    with tf.Session() as session:
        found = gone_through(session, dataset.make_initializable_iterator())
    assert repr(found[:2]) == repr(found[2:])
    assert found[2][0].values.tolist() == [b"a"]


def test_what_is_not_read_to_its_end_is_discarded(fresh_graph, name):
    iterator = Dataset.range(5).cache(name).take(2).make_initializable_iterator()
    with tf.Session() as session:
        assert gone_through(session, iterator) == [0, 1]
        assert files(name) == []
        assert gone_through(session, iterator, 1) == [0]
        assert [entry.split("state")[0] for entry in files(name)] == [
            "c.cache.temp",
            "c_0.lockfile",
        ]
    assert files(name) == []


def test_two_do_not_write_one_cache(fresh_graph, name):
    iterator = Dataset.range(5).cache(name).make_initializable_iterator()
    with tf.Session() as first, tf.Session() as second:
        assert gone_through(first, iterator, 1) == [0]
        for _ in range(2):
            with pytest.raises(tf.errors.AlreadyExistsError, match="concurrent caching iterator"):
                gone_through(second, iterator)
        assert gone_through(first, iterator) == [0, 1, 2, 3, 4]
        assert gone_through(second, iterator) == [0, 1, 2, 3, 4]
    assert files(name) == ["c.cache"]


def test_what_another_dataset_has_written(fresh_graph, name):
    with tf.Session() as session:
        gone_through(session, Dataset.range(5).cache(name).make_initializable_iterator())
        other = Dataset.from_tensors(1.0).cache(name).make_initializable_iterator()
        with pytest.raises(tf.errors.InvalidArgumentError, match="was not written by this dataset"):
            gone_through(session, other)


def test_damage_is_told(fresh_graph, name):
    iterator = Dataset.range(5).cache(name).make_initializable_iterator()
    with tf.Session() as session:
        gone_through(session, iterator)
        with open(f"{name}.cache", "r+b") as file:  # noqa: PTH123
            file.seek(-30, os.SEEK_END)
            file.write(b"?")
        with pytest.raises(tf.errors.DataLossError):
            gone_through(session, iterator)
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(iterator.get_next())


def test_an_error_in_an_element_leaves_the_others(fresh_graph, name):
    def divided(x):
        with tf.device("/cpu:0"):  # no error on a GPU
            return 6 // (x - 2)

    dataset = Dataset.range(5).map(divided).cache(name)
    iterator = dataset.make_initializable_iterator()
    element = iterator.get_next()
    with tf.Session() as session:
        session.run(iterator.initializer)
        found = []
        for _ in range(5):
            try:
                found.append(int(session.run(element)))
            except tf.errors.InvalidArgumentError:
                found.append(None)
        assert found == [-3, -6, None, 6, 3]
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(element)
        assert gone_through(session, iterator) == [-3, -6, 6, 3]


def test_nowhere_to_write(fresh_graph, name):
    iterator = Dataset.range(5).cache(f"{name}/none").make_initializable_iterator()
    with tf.Session() as session, pytest.raises(tf.errors.NotFoundError, match="lockfile"):
        gone_through(session, iterator)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_the_file_to_its_parent(fresh_graph, name):
    iterator = Dataset.range(5).cache(name).make_initializable_iterator()
    element = iterator.get_next()
    with tf.Session() as session:
        session.run(iterator.initializer)
        assert session.run(element) == 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
        if not pid:
            status = 1
            try:
                status = [int(session.run(element)) for _ in range(4)] != [1, 2, 3, 4]
                session.close()
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert len(files(name)) == 2
        assert [int(session.run(element)) for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(element)
        assert gone_through(session, iterator) == [0, 1, 2, 3, 4]
