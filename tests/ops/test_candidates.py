"""Samples of classes, and losses by them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, floats, ints, value


def _sampler(name, *arguments, **keywords):
    def build(tf, true):
        return getattr(tf.nn, name)(true, 2, *arguments, **keywords)

    return build


def _loss(name, **keywords):
    def build(tf, weights, biases, labels, inputs):
        return getattr(tf.nn, name)(weights, biases, labels, inputs, 5, 20, **keywords)

    return build


TRUE = ints(6, 2, high=20, dtype="int64")
MODEL = [floats(20, 3), floats(20), ints(6, 1, high=20, dtype="int64"), floats(6, 3)]
# Drawn with numbers of the graph's seed, which the oracle tier sets; equal in every bit.
ROWS = [
    *(
        Row(f"{kind}CandidateSampler", _sampler(f"{name}_candidate_sampler", *arguments, seed=3),
            [TRUE], label=label, tolerance=1)
        for kind, name in (("LogUniform", "log_uniform"), ("Uniform", "uniform"))
        for label, arguments in (
            ("unique", (10, True, 20)), ("repeated", (300, False, 20)), ("all", (20, True, 20)),
            ("power of two", (7, True, 32)), ("many", (700, True, 100_000)),
        )
    ),
    Row("AllCandidateSampler", _sampler("all_candidate_sampler", 20, True), [TRUE]),
    Row("ComputeAccidentalHits", lambda tf, x, y: tf.nn.compute_accidental_hits(x, y, 2),
        [value([[1, 2], [3, 1], [9, 9]], "int64"), value([3, 1, 7, 1], "int64")]),
    Row("LogUniformCandidateSampler", _loss("nce_loss"), MODEL, label="nce", tolerance=4),
    Row("LogUniformCandidateSampler", _loss("nce_loss", remove_accidental_hits=True), MODEL,
        label="nce without hits", tolerance=4),
    Row("LogUniformCandidateSampler", _loss("sampled_softmax_loss", seed=5), MODEL,
        label="softmax", tolerance=4),
]  # fmt: skip


def test_a_sampler_goes_on_from_run_to_run(fresh_graph):
    tf.set_random_seed(1)
    sample, *_ = tf.nn.log_uniform_candidate_sampler(np.zeros((1, 1), np.int64), 1, 8, True, 1000)
    with tf.Session() as session:
        first, second = session.run(sample), session.run(sample)
    assert len(set(first.tolist())) == 8
    assert first.tolist() != second.tolist()
    with tf.Session() as session:
        assert session.run(sample).tolist() == first.tolist()


ERRORS = [
    (np.zeros((2, 1)), 1, 30, True, 20, "Sampler's range is too small"),
    (np.zeros((2, 1)), 2, 3, True, 20, "must have num_true columns, expected: 1 was: 2"),
    (np.zeros(2), 1, 3, True, 20, "true_classes must be a matrix"),
]


@pytest.mark.parametrize("row", ERRORS, ids=[row[-1] for row in ERRORS])
def test_errors(fresh_graph, row):
    true, num_true, count, unique, size, text = row
    x = tf.placeholder(tf.int64)
    sample = tf.nn.uniform_candidate_sampler(x, num_true, count, unique, size)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(sample, {x: true})


def test_gradients_reach_the_sampled_rows(fresh_graph):
    weights, biases = tf.Variable(tf.zeros([20, 3])), tf.Variable(tf.zeros([20]))
    labels = tf.constant([[2], [7]], tf.int64)
    loss = tf.nn.nce_loss(weights, biases, labels, tf.ones([2, 3]), 4, 20)
    train = tf.train.GradientDescentOptimizer(1.0).minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        moved = np.nonzero(session.run(biases))[0]
    assert {2, 7} <= set(moved.tolist())
    assert 2 <= len(moved) <= 6
