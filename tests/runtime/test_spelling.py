"""Operations whose kernels are written out in a function's text: the same bits, the same errors."""

from __future__ import annotations

import numpy as np
import pytest

import tfsession as tf
from tfsession.runtime import source

L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)


def _x(shape, dtype=tf.float32):
    return tf.placeholder(dtype, shape, name="x")


ROWS = {
    "sigmoid": (lambda x: tf.sigmoid(x), [3, 5]),
    "sigmoid of what dies": (lambda x: tf.sigmoid(x * 2.0), [3, 5]),
    "sigmoid of what lives": (lambda x: (lambda y: tf.sigmoid(y) - y)(x * 2.0), [3, 5]),
    "sigmoid of one number": (lambda x: tf.sigmoid(x), []),
    "bias": (
        lambda x: tf.nn.bias_add(x * 2.0, tf.constant([1.0, 2.0, 3.0, 4.0, 5.0], x.dtype)),
        [3, 5],
    ),
    "split": (lambda x: tf.split(x, 3, axis=1), [2, 6, 3]),
    "split from the end": (lambda x: tf.split(x + 1.0, 3, axis=-1), [2, 6]),
    "split of a part": (lambda x: tf.split(tf.split(x, 2, axis=0)[1], 3, axis=1), [4, 6]),
    "sum": (lambda x: tf.add_n([x * 2.0, x]), [3, 5]),
    "sum over what dies": (lambda x: tf.add_n([x * 2.0, x * 3.0]), [3, 5]),
    "sum of one number": (lambda x: tf.add_n([x * 2.0, x]), []),
    "concat": (lambda x: tf.concat([x, x * 2.0, x], -1), [2, 6]),
    "product": (lambda x: tf.matmul(x, tf.constant(np.eye(6, 4), x.dtype)), [5, 6]),
    "turned product": (lambda x: tf.matmul(x, x, transpose_a=True), [5, 6]),
    "product, other side": (lambda x: tf.matmul(x, x, transpose_b=True), [5, 6]),
}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.complex64], ids=lambda t: t.name)
@pytest.mark.parametrize("name", ROWS)
def test_bits_are_those_of_the_kernel(name, dtype, is_known):
    build, shape = ROWS[name]
    value = np.random.default_rng(0).normal(0, 3, shape).astype(dtype.as_numpy_dtype)
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        x = _x([None, *shape[1:]] if shape and not is_known else shape, dtype)
        fetch = build(x)
    found = [tf.Session(graph=graph, config=c).run(fetch, {x: value}) for c in (None, L0)]
    for one, other in zip(*map(tf.nest.flatten, found), strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_what_is_spelled(monkeypatch):
    texts: list[str] = []
    compile_ = source.Source.compile

    def kept(self):
        function = compile_(self)
        texts.append("\n".join(self.lines))
        return function

    monkeypatch.setattr(source.Source, "compile", kept)
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        x = _x([2, 6])
        parts = tf.split(tf.nn.bias_add(x, tf.ones([6])), 2, axis=1)
        session.run(tf.sigmoid(parts[0]) * parts[1], {x: np.ones((2, 6), np.float32)})
    (text,) = texts
    assert ".shape[1] == 6 else" in text  # a split
    assert ".shape[-1:] == " in text  # a bias
    assert text.count("; k") >= 3  # a sigmoid


def test_a_variable_of_another_shape_than_the_graph_says():
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        v = tf.Variable(np.zeros([4, 8], np.float32), use_resource=False)
        bias = tf.Variable(np.zeros(8, np.float32), use_resource=False)
        parts, total = tf.split(v, 2, axis=1), tf.nn.bias_add(v, bias)
        given = np.arange(24, dtype=np.float32).reshape(4, 6)
        session.run(tf.global_variables_initializer())
        session.run(tf.assign(v, given, validate_shape=False))
        for found, wanted in zip(session.run(parts), np.split(given, 2, 1), strict=True):
            np.testing.assert_array_equal(found, wanted)
        session.run(tf.assign(bias, [1.0], validate_shape=False))
        with pytest.raises(tf.errors.InvalidArgumentError, match="as many biases"):
            session.run(total)


def test_what_is_fed_in_place_of_a_constant_is_read():
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        axis, x = tf.constant(0), tf.constant(np.arange(16.0).reshape(4, 4))
        parts, joined = tf.split(x, 2, axis=axis), tf.concat([x, x], axis)
        assert [p.shape for p in session.run(parts, {axis: 1})] == [(4, 2), (4, 2)]
        assert session.run(joined, {axis: 1}).shape == (4, 8)
        other = np.zeros((2, 4))
        assert session.run(parts, {parts[0]: other})[0] is not None
