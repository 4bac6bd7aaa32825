"""Checkpoints of objects, restored by the names that their variables had."""

import pytest

import tfsession as tf
from tfsession.core import protos

KEY = "model/{}/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def checkpoint(tmp_path):
    """One of two variables, as TensorFlow 2 lays it out."""
    graph = protos.TrackableObjectGraph()
    node = graph.nodes.add()
    for name in ("a", "b"):
        node.attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=KEY.format(name))
    return _written(tmp_path, graph.SerializeToString())


def _written(folder, about):
    with tf.Graph().as_default(), tf.Session() as session:
        saved = {KEY.format(name): tf.Variable([n, n]) for n, name in enumerate("ab", 1)}
        saved["_CHECKPOINTABLE_OBJECT_GRAPH"] = tf.Variable(about)
        session.run(tf.global_variables_initializer())
        return tf.train.Saver(saved).save(session, str(folder / "ck"), write_meta_graph=False)


@pytest.mark.parametrize("resource", [False, True])
def test_variables_are_found_by_name(fresh_graph, checkpoint, resource):
    a, b = (tf.get_variable(n, [2], tf.int32, use_resource=resource) for n in "ab")
    other = tf.get_variable("other", [2], tf.int32)
    with tf.Session() as session:
        tf.train.Saver([a, b]).restore(session, checkpoint)
        assert [v.tolist() for v in session.run([a, b])] == [[1, 1], [2, 2]]
        tf.train.Saver({"b": other}).restore(session, checkpoint)
        assert session.run(other).tolist() == [2, 2]


def test_operations_are_made_once(fresh_graph, checkpoint):
    tf.get_variable("b", [2], tf.int32)
    saver = tf.train.Saver()
    with tf.Session() as session:
        saver.restore(session, checkpoint)
        fresh_graph.finalize()
        saver.restore(session, checkpoint)
        assert session.run("b:0").tolist() == [2, 2]


def test_partitioned_variables_are_filled(fresh_graph, checkpoint):
    a = tf.get_variable("a", [2], tf.int32, partitioner=tf.fixed_size_partitioner(2))
    with tf.Session() as session:
        tf.train.Saver().restore(session, checkpoint)
        assert session.run(list(a)) == [[1], [1]]


def test_names_that_are_missing_are_told(fresh_graph, checkpoint):
    for name in ("b", "c"):
        tf.get_variable(name, [2], tf.int32)
    with tf.Session() as session:
        for _ in range(2):
            with pytest.raises(tf.errors.NotFoundError) as error:
                tf.train.Saver().restore(session, checkpoint)
            for text in ("not in the checkpoint: c", "don't exist now: a", r"(1 variable name(s)"):
                assert text in error.value.message


@pytest.mark.parametrize("about", [b"\xff\xff\xff", [b"a", b"b"]])
def test_what_tells_no_names(fresh_graph, tmp_path, about):
    path = _written(tmp_path, about)
    tf.get_variable("b", [2], tf.int32)
    with tf.Session() as session, pytest.raises(tf.errors.DataLossError, match="tells no names"):
        tf.train.Saver().restore(session, path)


def test_a_checkpoint_of_names_tells_what_it_lacks(fresh_graph, tmp_path):
    a = tf.get_variable("a", [2], tf.int32)
    saver = tf.train.Saver([a])
    b = tf.get_variable("b", [2], tf.int32)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        path = saver.save(session, str(tmp_path / "ck"))
        with pytest.raises(tf.errors.NotFoundError, match="Key b not found in checkpoint"):
            tf.train.Saver([b]).restore(session, path)
