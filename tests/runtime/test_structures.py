"""Conditionals and loops of a GPU within one recording: the answers of unrecorded steps."""

import gc

import numpy as np
import pytest

import tfsession as tf
from tfsession.ops import function
from tfsession.runtime.captured import CapturedComputation

X = np.arange(4, dtype=np.float32)
WITHOUT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield
    gc.collect()


def recordings(session):
    segments = [s for plan in session._engine._plans.values() for s in plan.segments]
    return [s.recordings for s in segments if isinstance(s, CapturedComputation)]


def reasons(session):
    return [reason for found in recordings(session) for reason in found.reasons]


def variable(use_resource=True, name="v"):
    return tf.get_variable(
        name, initializer=np.zeros(4, np.float32), use_resource=use_resource, dtype=tf.float32
    )


def positive(x):
    return tf.reduce_sum(x) > 0.0


def chosen(x):
    y = x * 2.0
    z = tf.cond(positive(y), lambda: tf.nn.relu(y) + 1.0, lambda: y - 3.0)
    return [tf.reduce_sum(z * z), z]


def functional(x):
    @function.Defun(tf.float32, tf.float32)
    def more(a, b):
        return a * 2.0 + b

    @function.Defun(tf.float32, tf.float32)
    def less(a, b):
        return a - b

    return [function.If(positive(x), [x, x + 1.0], more, less)[0] * 3.0]


def handed_through(x):
    y = x + 1.0
    first, second = tf.cond(positive(x), lambda: (y, x), lambda: (x, tf.zeros([4])))
    return [first * 1.0, second + first]


def nested(x):
    def inner():
        return tf.cond(x[1] > 1.0, lambda: x * 3.0, lambda: tf.exp(x))

    return [tf.cond(positive(x), inner, lambda: -x) + 1.0]


def twice(x):
    truth = positive(x)
    y = tf.cond(truth, lambda: x * 2.0, lambda: x - 1.0)
    z = tf.cond(truth, lambda: y + x, lambda: y * y)
    return [y, tf.reduce_sum(z)]


def counted_mean(x):
    """Numbers that follow from shapes, made on the host within a way."""
    return [
        tf.cond(
            positive(x),
            lambda: tf.reduce_mean(tf.reshape(x, [2, 2]), 0),
            lambda: tf.fill([2], tf.cast(tf.size(x), tf.float32)),
        )
        * 2.0
    ]


def gradient(x):
    w = tf.get_variable("w", initializer=np.ones(4, np.float32), use_resource=True)
    y = tf.cond(positive(x), lambda: x * w, lambda: x - tf.square(w))
    loss = tf.reduce_sum(y * y)
    return [loss, tf.gradients(loss, w)[0]]


def trained_sometimes(use_resource):
    def build(x):
        v = variable(use_resource)
        done = tf.cond(positive(x), lambda: tf.group(tf.assign_add(v, x)), tf.no_op)
        with tf.control_dependencies([done]):
            return [v.read_value() * 2.0]

    return build


def assigned(use_resource):
    def build(x):
        v = variable(use_resource)
        return [
            tf.cond(positive(x), lambda: tf.assign_add(v, x), lambda: tf.identity(v.read_value()))
            * 2.0
        ]

    return build


PROGRAMS = {
    "chosen": chosen,
    "functional": functional,
    "handed through": handed_through,
    "nested": nested,
    "twice": twice,
    "mean": counted_mean,
    "gradient": gradient,
    "trained resource": trained_sometimes(True),
    "trained reference": trained_sometimes(False),
    "assigned resource": assigned(True),
    "assigned reference": assigned(False),
}
FEEDS = [X, -X, X, -X, -X - 1, X + 1, -X]


def answers(build, config, feeds=FEEDS):
    """What steps give, and the counters of the last ones."""
    with tf.Graph().as_default():
        with tf.device("/gpu:0"):
            x = tf.placeholder(tf.float32, [4])
            fetches = build(x)
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            found = [session.run(fetches, {x: feed}) for feed in feeds[:3]]
            counts = []
            for feed in feeds[3:]:
                with session.counting() as counted:
                    found.append(session.run(fetches, {x: feed}))
                counts.append(counted["/gpu:0"])
            found += session.run(tf.global_variables())
            if config is None:
                assert reasons(session) == []
        return [np.asarray(v).tobytes() for step in found for v in step], counts


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_step_that_chooses_is_one_replay_and_asks_the_host_nothing(name):
    expected, _ = answers(PROGRAMS[name], WITHOUT)
    found, counts = answers(PROGRAMS[name], None)
    assert found == expected
    for counted in counts:
        assert (counted.replays, counted.launches, counted.reads, counted.uploads) == (1, 0, 0, 0)
        assert counted.synchronizations == 1  # for what is fetched
