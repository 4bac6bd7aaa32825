"""Sorted values, masks of sequences, templates."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, floats, ints, value

ORDERED = ("float32", "float64", "int32", "int64", "uint8")
ROWS = [
    Row("TopKV2", lambda tf, x: tf.sort(x), [floats(3, 7, high=50)], dtypes=ORDERED,
        reference=np.sort, label="sort"),
    Row("TopKV2", lambda tf, x: tf.sort(x, 0, "DESCENDING"), [floats(5, 2, 3)],
        reference=lambda x: -np.sort(-x, 0), label="sort first"),
    Row("TopKV2", lambda tf, x: tf.sort(x, axis=-2), [floats(2, 5, 3)],
        reference=lambda x: np.sort(x, 1), label="sort middle"),
    Row("TopKV2", lambda tf, x: tf.argsort(x, axis=1), [ints(4, 9, high=3)],
        reference=lambda x: np.argsort(x, 1, kind="stable").astype(np.int32), label="argsort"),
    Row("TopKV2", lambda tf, x: tf.argsort(x, direction="DESCENDING", name="s"), [floats(4, 9)],
        reference=lambda x: np.argsort(-x, kind="stable").astype(np.int32), label="descending"),
    Row("Range", lambda tf, n: tf.sequence_mask(n), [value([[1, 3], [0, 2]], "int32")],
        reference=lambda n: np.arange(3) < n[..., None], label="mask"),
    Row("Range", lambda tf, n: tf.sequence_mask(n, 5, tf.float32), [value([4, 0, 7], "int64")],
        reference=lambda n: np.float32(np.arange(5) < n[:, None]), label="mask of five"),
    Row("Range", lambda tf, n, m: tf.sequence_mask(n, m, name="m"),
        [value([4, 0], "int32"), value(6, "int32")], label="mask of any size"),
]  # fmt: skip


def test_errors(fresh_graph):
    with pytest.raises(ValueError, match="`direction` should be one of"):
        tf.sort([1], direction="UP")
    with pytest.raises(ValueError, match="`axis` must be a constant scalar"):
        tf.argsort([1], axis=tf.placeholder(tf.int32, []))
    with pytest.raises(ValueError, match="`maxlen` must be scalar"):
        tf.sequence_mask([1], [2])


def test_templates_share_variables(fresh_graph):
    def scaled(x, by):
        return x * tf.get_variable("w", [], initializer=tf.ones_initializer()) * by

    template = tf.make_template("scaled", scaled, by=3.0)
    other = tf.make_template("scaled", scaled, by=2.0)
    assert template.variables == []
    outputs = [template(2.0), template(5.0), other(1.0)]
    assert [v.name for v in tf.trainable_variables()] == ["scaled/w:0", "scaled_1/w:0"]
    assert [v.name for v in template.trainable_variables] == ["scaled/w:0"]
    assert template.variable_scope_name == "scaled/"
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(outputs) == [6.0, 15.0, 2.0]
    careless = tf.make_template("careless", lambda: tf.Variable(1.0))
    careless()
    with pytest.raises(ValueError, match="Trainable variable created when calling a template"):
        careless()


def test_init_scope_lifts_out(fresh_graph):
    made = []
    with tf.control_dependencies([tf.no_op()]), tf.name_scope("s"), tf.init_scope():
        made.append(tf.constant(1))
    assert made[0].op.control_inputs == ()
    assert made[0].op.name == "s/Const"
