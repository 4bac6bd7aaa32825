"""`optimize_loss` against what its parts give, and the summarizers."""

import numpy as np
import pytest

import tfsession as tf

layers = tf.contrib.layers


@pytest.fixture
def loss(fresh_graph):
    """A bowl around (1, -2), from (3, 2)."""
    tf.train.create_global_step()
    w = tf.get_variable("w", initializer=[3.0, 2.0])
    return tf.reduce_sum(tf.square(w - [1.0, -2.0]))


def trained(train, steps=1):
    w = next(v for v in tf.global_variables() if v.op.name == "w")
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        losses = [sess.run(train) for _ in range(steps)]
        return losses, sess.run(w), sess.run(tf.train.get_global_step())


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        ("SGD", 0.25),
        (tf.train.GradientDescentOptimizer, 0.25),
        (tf.train.GradientDescentOptimizer(0.25), None),
        (lambda rate: tf.train.GradientDescentOptimizer(rate), 0.25),
        (lambda: tf.train.GradientDescentOptimizer(0.25), None),
    ],
    ids=["name", "class", "optimizer", "function", "function of nothing"],
)
def test_optimizers(loss, optimizer, rate):
    losses, w, step = trained(layers.optimize_loss(loss, None, rate, optimizer))
    assert losses == [20.0]
    np.testing.assert_allclose(w, [2.0, 0.0])
    assert step == 1


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "Ftrl", "Momentum", "RMSProp", "SGD"])
def test_every_name_trains(loss, name):
    losses, _, step = trained(layers.optimize_loss(loss, None, 0.1, name), steps=20)
    assert losses[-1] < losses[0]
    assert step == 20


def test_gradients_are_multiplied_clipped_and_decayed(loss):
    train = layers.optimize_loss(
        loss,
        tf.train.get_global_step(),
        0.5,
        "SGD",
        gradient_multipliers={"w": 2.0},
        clip_gradients=5.0,
        learning_rate_decay_fn=lambda rate, step: rate / (1.0 + tf.cast(step, tf.float32)),
        summaries=layers.OPTIMIZER_SUMMARIES,
    )
    _, w, _ = trained(train)
    gradient = 2 * 2 * np.array([2.0, 4.0])
    np.testing.assert_allclose(w, [3, 2] - 0.5 * 5 * gradient / np.linalg.norm(gradient), rtol=1e-5)
    names = sorted(s.op.name for s in tf.get_collection(tf.GraphKeys.SUMMARIES))
    assert names == [
        "OptimizeLoss/" + name
        for name in (
            *("global_norm/clipped_gradient_norm", "global_norm/gradient_norm"),
            *("gradient_norm/w_0", "gradients/w_0", "learning_rate_1", "loss"),
        )
    ]


def test_updates_come_first_and_the_step_need_not_count(loss):
    count = tf.get_variable("count", initializer=0.0, trainable=False)
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign_add(count, 1.0))
    train = layers.optimize_loss(
        loss, None, 0.25, "SGD", gradient_noise_scale=0.0, increment_global_step=False
    )
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(train)
        assert sess.run([count, tf.train.get_global_step()]) == [1.0, 0]


REFUSED = [
    ({"optimizer": "Nobody"}, "Optimizer name should be one of"),
    ({"optimizer": 3}, "Unrecognized optimizer: should be"),
    ({"optimizer": lambda rate: 3}, "function should return"),
    ({"learning_rate": None}, "Learning rate is None"),
    ({"learning_rate": -1.0}, "Invalid learning_rate"),
    ({"learning_rate": "fast"}, "Learning rate should be"),
    ({"clip_gradients": "much"}, "Unknown type"),
    ({"summaries": ["all"]}, "Summaries should be one of"),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_what_cannot_be_is_refused(loss, arguments, text):
    given = {"learning_rate": 0.1, "optimizer": "SGD", **arguments}
    with pytest.raises(ValueError, match=text):
        layers.optimize_loss(loss, None, **given)


def test_summarizers(fresh_graph):
    x = tf.constant([-1.0, 0.0, 7.0])
    relu, relu6 = tf.nn.relu(x, name="relu"), tf.nn.relu6(x, name="relu6")
    for tensor in (relu, relu6):
        tf.add_to_collection(tf.GraphKeys.ACTIVATIONS, tensor)
    tf.get_variable("w", [2])
    layers.summarize_activations()
    layers.summarize_variables(name_filter="w")
    layers.summarize_tensor(tf.constant(1.0, name="one"))
    assert [s.op.name for s in tf.get_collection(tf.GraphKeys.SUMMARIES)] == [
        *("relu/zeros", "relu/activation", "relu6/zeros", "relu6/sixes", "relu6/activation"),
        *("w_summary", "one_summary"),
    ]
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        assert sess.run(tf.summary.merge_all())
