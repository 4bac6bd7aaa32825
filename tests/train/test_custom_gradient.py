"""Functions that bring their own gradient."""

import numpy as np
import pytest

import tfsession as tf


@tf.custom_gradient
def log1pexp(x):
    e = tf.exp(x)
    return tf.log(1 + e), lambda dy: dy * (1 - 1 / (1 + e))


def test_the_gradient_is_the_functions_own(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    y = log1pexp(x)
    assert y.op.type == "IdentityN"
    slope = tf.gradients(y, x)[0]
    bend = tf.gradients(slope, x)[0]
    with tf.Session() as session:
        assert session.run(slope, {x: 100.0}) == 1.0
        np.testing.assert_allclose(session.run([slope, bend], {x: 0.0}), [0.5, 0.25], rtol=1e-6)


def test_structures(fresh_graph):
    @tf.custom_gradient
    def both(x, y):
        return (x * y, x + y), lambda a, b: (a * 10, b * 100)

    x, y = tf.constant(2.0), tf.constant(3.0)
    product, total = both(x, y)
    with tf.Session() as session:
        assert session.run([product, total]) == [6.0, 5.0]
        assert session.run(tf.gradients([product, total], [x, y])) == [10.0, 100.0]


def test_variables(fresh_graph):
    w = tf.get_variable("w", [], initializer=tf.ones_initializer(), use_resource=True)

    @tf.custom_gradient
    def scaled(x):
        def grad(dy, variables):
            assert variables == [w]
            return dy * 5, [dy * 7]

        return x * w, grad

    x = tf.constant(2.0)
    slopes = tf.gradients(scaled(x), [x, w])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(slopes) == [5.0, 7.0]


def test_pass_through(fresh_graph):
    x = tf.constant(2.4)
    y = tf.grad_pass_through(tf.round)(x)
    with tf.Session() as session:
        assert session.run([y, tf.gradients(y * 3.0, x)[0]]) == [2.0, 3.0]


def test_errors(fresh_graph):
    w = tf.get_variable("w", [], use_resource=True)
    r = tf.get_variable("r", [], use_resource=False)
    x = tf.constant(1.0)
    with pytest.raises(ValueError, match="keywords arguments only when"):
        log1pexp(x=x)
    with pytest.raises(TypeError, match="must accept a 'variables' keyword argument"):
        tf.custom_gradient(lambda x: (x * w, lambda dy: dy))(x)
    with pytest.raises(TypeError, match="must be `ResourceVariable`s"):
        tf.custom_gradient(lambda x: (x * r, lambda dy, variables: (dy, [dy])))(x)
    y = tf.custom_gradient(lambda x: (x * 2, lambda dy: (dy, dy)))(x)
    with pytest.raises(ValueError, match="expected to return 1 gradients, but returned 2"):
        tf.gradients(y, x)
