"""Sizes that no graph tells: where they are the same, no step finds out along which axes to sum."""

import numpy as np
import pytest

import tfsession as tf

from .test_rewrite import L0, computing, config_of, same_bits


def centred(x):
    return x - tf.reduce_mean(x, -1, keepdims=True)


def normalized(x):
    mean, variance = tf.nn.moments(x, [-1], keep_dims=True)
    scale = tf.Variable([1.0, 2.0, 0.5], dtype=tf.float32)
    return (x - mean) * tf.rsqrt(variance + 1e-5) * scale


def chosen(x):
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: centred(x) * x, lambda: tf.exp(x) * centred(x))


# Of gradients for a tensor of [None, 3]: a program, and what is left of what finds axes.
KNOWN = {
    "centred": (lambda x: tf.square(centred(x)), 0),
    "normalized": (normalized, 0),
    "powers": (lambda x: x * tf.exp(x) * x, 0),
    "shares": (lambda x: tf.exp(x) / tf.reduce_sum(tf.exp(x), 1, keepdims=True), 0),
    "softmax": (lambda x: tf.nn.softmax(x) * tf.nn.log_softmax(x) - x, 0),
    "products": (lambda x: tf.matmul(x, tf.eye(3)) * tf.matmul(tf.exp(x), tf.eye(3)), 0),
    "of shapes": (lambda x: tf.reshape(x, tf.shape(tf.exp(x))) * x * tf.fill(tf.shape(x), 2.0), 0),
    "a branch": (chosen, None),
    "of other rows": (lambda x: tf.exp(x) * x[::-1], 1),
    "of the first rows": (lambda x: tf.exp(x) * x[:1], 1),
}  # fmt: skip


@pytest.mark.parametrize("batch", [0, 1, 4])
@pytest.mark.parametrize(("make", "left"), KNOWN.values(), ids=KNOWN)
def test_gradients_along_known_axes(fresh_graph, make, left, batch):
    x = tf.placeholder(tf.float32, [None, 3])
    y = make(x)
    fetches = [y, *tf.gradients(y, [x, *tf.trainable_variables()])]
    fed = np.random.default_rng(1).normal(0, 1, (batch, 3)).astype(np.float32)
    results = []
    for options in ({}, L0):
        with tf.Session(config=config_of(**options)) as session:
            session.run(tf.global_variables_initializer())
            results.append(session.run(fetches, {x: fed}))
            if not options and left is not None:
                types = computing(session, fetches, [x])
                assert types.count("BroadcastGradientArgs") == left
    for mine, plain in zip(*results, strict=True):
        assert same_bits(mine, plain)


def test_what_is_fed_may_have_another_size(fresh_graph):
    x = tf.placeholder(tf.float32, [None, 3])
    mean = tf.reduce_mean(x, -1, keepdims=True)
    y = tf.exp(x - mean)
    to_x, to_mean = tf.gradients(y, [x, mean], stop_gradients=[x, mean])
    with tf.Session(config=config_of()) as session:
        fed = np.arange(6, dtype=np.float32).reshape(2, 3)
        for size in (1, 2):
            given = np.full((size, 1), 2.0, np.float32)
            slopes = np.exp(fed - given)
            grads = session.run([to_x, to_mean], {x: fed, mean: given})
            np.testing.assert_allclose(grads[0], slopes, rtol=1e-6)
            axes = (0, 1) if size == 1 else 1
            np.testing.assert_allclose(grads[1], -slopes.sum(axes, keepdims=True), rtol=1e-6)


def test_axes_that_are_fetched_are_as_in_the_graph(fresh_graph):
    x = tf.placeholder(tf.float32, [None, 3])
    tf.gradients(tf.square(centred(x)), x)
    found = [op for op in x.graph.get_operations() if op.type == "BroadcastGradientArgs"]
    assert found
    for size in (1, 2):
        values = []
        for options in ({}, L0):
            with tf.Session(config=config_of(**options)) as session:
                fetches = [tensor for op in found for tensor in op.outputs]
                values.append(session.run(fetches, {x: np.ones((size, 3), np.float32)}))
        assert all(same_bits(*pair) for pair in zip(*values, strict=True))
