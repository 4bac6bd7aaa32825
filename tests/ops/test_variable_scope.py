"""Variable scopes: names, sharing, defaults, custom getters, regularizers."""

import numpy as np
import pytest

import tfsession as tf


def _value(fetches):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


def test_scopes_prefix_variables_and_operations(fresh_graph):
    with tf.variable_scope("a") as a:
        x = tf.get_variable("x", [1])
        with tf.variable_scope("b"):
            y = tf.get_variable("x", [1])
            op = tf.no_op()
    with tf.variable_scope(a):
        z = tf.get_variable("z", [1])
        again = tf.no_op()
    assert [v.name for v in (x, y, z)] == ["a/x:0", "a/b/x:0", "a/z:0"]
    assert (op.name, again.name) == ("a/b/NoOp", "a_1/NoOp")
    assert [v.name for v in a.global_variables()] == ["a/x:0", "a/b/x:0", "a/z:0"]


def test_sharing_is_asked_for(fresh_graph):
    with tf.variable_scope("a"):
        x = tf.get_variable("x", [2, 3])
        with pytest.raises(ValueError, match="Variable a/x already exists, disallowed"):
            tf.get_variable("x", [2, 3])
    with tf.variable_scope("a", reuse=True):
        assert tf.get_variable("x") is x
        with pytest.raises(ValueError, match="Variable a/y does not exist"):
            tf.get_variable("y", [1])
        with pytest.raises(ValueError, match="Trying to share variable a/x, but specified shape"):
            tf.get_variable("x", [3, 3])
        with pytest.raises(ValueError, match="Trying to share variable a/x, but specified dtype"):
            tf.get_variable("x", dtype=tf.int32)
    with tf.variable_scope("a", reuse=tf.AUTO_REUSE):
        assert tf.get_variable("x", [2, 3]) is x
        y = tf.get_variable("y", [1])
        assert tf.get_variable("y", [1]) is y


def test_scopes_give_defaults(fresh_graph):
    with tf.variable_scope(
        "a", initializer=tf.ones_initializer(), dtype=tf.float64, use_resource=True
    ) as scope:
        x = tf.get_variable("x", [2])
        scope.set_initializer(tf.zeros_initializer())
        y = tf.get_variable("y", [2], dtype=tf.float32)
        with tf.variable_scope("b", use_resource=False):
            z = tf.get_variable("z", [2], initializer=tf.constant_initializer(3))
    assert [v.dtype.name for v in (x, y, z)] == ["float64", "float32", "float64_ref"]
    assert [v.tolist() for v in _value([x, y, z])] == [[1, 1], [0, 0], [3, 3]]


def test_getters_are_called_by_keyword(fresh_graph):
    seen = []

    class Getter:
        def __call__(self, getter, *, name, **keywords):
            seen.append((name, keywords["shape"]))
            return getter(name=name, **keywords)

    def with_constraint_hidden(getter, name, shape, dtype, initializer, regularizer, reuse,
                               trainable, collections, caching_device, partitioner,
                               validate_shape, use_resource, synchronization,
                               aggregation):  # fmt: skip
        return getter(name, shape, dtype, tf.ones_initializer())

    with tf.variable_scope("a", custom_getter=Getter()):
        x = tf.get_variable("x", [1])
    y = tf.get_variable("y", [2], custom_getter=with_constraint_hidden)
    assert seen == [("a/x", [1])]
    assert x.name == "a/x:0"
    assert _value(y).tolist() == [1.0, 1.0]


def test_an_inner_getter_asks_the_outer_one(fresh_graph):
    order = []

    def noting(text, suffix):
        def custom_getter(getter, name, *args, **kwargs):
            order.append((text, name))
            return getter(name + suffix, *args, **kwargs)

        return custom_getter

    with (
        tf.variable_scope("a", custom_getter=noting("outer", "_o")),
        tf.variable_scope("b", custom_getter=noting("inner", "_i")),
    ):
        x = tf.get_variable("x", [1], custom_getter=None)
        y = tf.get_variable("y", [1], custom_getter=noting("own", ""))
    assert order == [("inner", "a/b/x"), ("outer", "a/b/x_i"), ("own", "a/b/y")]
    assert [x.name, y.name] == ["a/b/x_i_o:0", "a/b/y:0"]


def _half_square(weights):
    return tf.reduce_sum(tf.square(weights)) / 2


@pytest.fixture
def penalty(fresh_graph):
    initializer = tf.constant_initializer([1.0, 2.0])
    with tf.variable_scope("a", regularizer=_half_square):
        x = tf.get_variable("x", [2], initializer=initializer)
        tf.get_variable("free", [2], regularizer=tf.no_regularizer)
    (loss,) = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    return x, loss


def test_regularizers_add_losses(penalty):
    x, loss = penalty
    assert (loss.name, loss.dtype, loss.shape) == ("a/x/Regularizer/truediv:0", tf.float32, [])
    assert loss.op.colocation_groups() == [b"loc:@a/x"]
    assert _value([loss, {"again": loss}]) == [2.5, {"again": 2.5}]
    with tf.variable_scope("a", reuse=True, regularizer=_half_square):
        assert tf.get_variable("x", [2]) is x
    assert tf.losses.get_regularization_losses() == [loss]
    assert _value(tf.losses.get_regularization_loss()) == 2.5


def test_a_regularization_loss_is_a_tensor_wherever_one_is_due(penalty):
    x, loss = penalty
    uses = [loss + 1, 2 * loss, -loss, tf.add_n([loss, loss]), tf.reduce_max(tf.stack([loss, 1]))]
    assert _value(uses) == [3.5, 5.0, -2.5, 5.0, 2.5]
    assert _value(tf.gradients(loss, x)[0]).tolist() == [1.0, 2.0]
    with tf.Session().as_default():
        x.initializer.run()
        assert loss.eval() == np.float32(2.5)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = loss.nothing
    assert tf.is_tensor(loss)


def test_a_regularization_loss_is_built_anew_for_each_use(penalty):
    """As in TensorFlow, whose default seeds count operations."""
    _, loss = penalty
    assert tf.identity(loss).op.inputs[0].name == "a/x/Regularizer/truediv_1:0"
    assert tf.identity(loss).op.inputs[0].name == "a/x/Regularizer/truediv_2:0"
