"""Operations of a GPU computed together: bits as one after another, errors, names, switches."""

from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.kernels.cuda.fused import Fused

L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)


@contextmanager
def noted():
    """Notes how many operations each group that runs has, and whether it gave results."""
    found = Counter()
    run = Fused.__call__

    def noting(group, *arrays):
        results = run(group, *arrays)
        found[len(group._calls), results is not None] += 1
        return results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fused, "__call__", noting)
        yield found


def run_both(build, *feeds, times=3):
    """What a graph gives in groups and without, several times; and which groups ran."""
    found = []
    for config in (None, L0):
        with tf.Graph().as_default(), tf.device("/gpu:0"):
            placeholders = [tf.placeholder(value.dtype, [None] * value.ndim) for value in feeds]
            fetches = build(*placeholders)
            with tf.Session(config=config) as session, noted() as groups:
                session.run(tf.global_variables_initializer())
                fed = dict(zip(placeholders, feeds, strict=True))
                found.append([session.run(fetches, fed) for _ in range(times)])
        if config is not None:
            assert not groups
        else:
            of_groups = groups
    for one, other in zip(*found, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return of_groups


X = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
Y = np.random.default_rng(2).normal(size=(7,)).astype(np.float32)


def test_chains_reductions_and_what_follows_are_one_group():
    def build(x, y):
        hidden = tf.nn.relu(x * y + 1.0)
        centred = hidden - tf.reduce_mean(hidden, 1, keepdims=True)
        return [tf.nn.softmax(centred), tf.reduce_sum(centred * centred), hidden]

    assert list(run_both(build, X, Y)) == [(8, True)]


def test_gradients_of_norms_and_losses():
    def build(x, y):
        mean, variance = tf.nn.moments(x, [1], keep_dims=True)
        normal = (x - mean) * tf.rsqrt(variance + 1e-3) * y
        labels = tf.range(tf.shape(x)[0])
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=normal)
        return [loss, *tf.gradients(loss, [x, y])]

    assert sum(run_both(build, X, Y).values()) > 0


def test_variables_that_are_read_and_updated():
    def build(x, y):
        v = tf.get_variable("v", initializer=Y, use_resource=True)
        w = tf.get_variable("w", initializer=Y, use_resource=False)
        loss = tf.reduce_sum(tf.square(x * v + w * y - 1.0))
        step = tf.train.AdamOptimizer(0.1).minimize(loss)
        with tf.control_dependencies([step]):
            return [loss, tf.identity(v.read_value()), tf.identity(w)]

    assert sum(run_both(build, X, Y, times=5).values()) > 0


def test_a_branch_that_waits_for_a_group_that_waits_for_it():
    def build(x, y):
        a = tf.tanh(x + 1.0)
        b = tf.matmul(a, a, transpose_b=True)
        c = tf.reduce_sum(b * 2.0) + a * a
        with tf.control_dependencies([c]):
            return [tf.exp(a) - c, b + 1.0]

    run_both(build, X, Y)


def test_one_operation_of_one_step_is_no_group():
    assert not run_both(lambda x, y: [tf.tanh(tf.matmul(x, tf.transpose(x)))], X, Y)
    assert run_both(lambda x, y: [tf.sigmoid(tf.matmul(x, tf.transpose(x)))], X, Y)


def test_a_group_is_one_launch():
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None])
        y = tf.exp(tf.tanh(x * 2.0) + 1.0)
        with tf.Session() as session:
            counters = session._engine.devices.find("/device:GPU:0").counters
            before = counters().launches
            session.run([y, y * y], {x: np.ones(1000, np.float32)})
            assert counters().launches - before == 1


def test_errors_name_the_operation():
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        x, y = (tf.placeholder(tf.float32) for _ in range(2))
        total = tf.add(tf.tanh(x) * 2.0, y, name="the_sum")
        with tf.Session() as session:
            assert session.run(total, {x: X, y: Y}).shape == X.shape
            with pytest.raises(tf.errors.InvalidArgumentError, match="the_sum"):
                session.run(total, {x: X, y: Y[:3]})
            assert session.run(total, {x: X, y: Y}).shape == X.shape


def test_traced_steps_name_every_operation():
    metadata = tf.RunMetadata()
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None])
        y = tf.multiply(tf.tanh(x, name="one"), 2.0, name="two")
        with tf.Session() as session, noted() as groups:
            options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            session.run(y, {x: Y}, options=options, run_metadata=metadata)
    names = {row.node_name for stats in metadata.step_stats.dev_stats for row in stats.node_stats}
    assert {"one", "two"} <= names
    assert not groups


# --- at random ------------------------------------------------------------------------------------

UNARY = [
    *(tf.tanh, tf.square, tf.nn.relu, tf.sigmoid, tf.nn.softplus, tf.nn.elu, tf.abs, tf.floor),
    *(tf.nn.softmax, tf.nn.log_softmax, lambda x: x * 2.0, lambda x: tf.cast(x > 0.0, x.dtype)),
    *(lambda x: tf.clip_by_value(x, -1.0, 1.0), tf.transpose, lambda x: x + tf.ones_like(x)),
    lambda x: tf.cast(tf.cast(x, tf.bfloat16), x.dtype),
]
BINARY = [tf.add, tf.multiply, tf.maximum, tf.squared_difference, tf.div_no_nan]
REDUCED = [
    lambda x: x - tf.reduce_mean(x, -1, keepdims=True),
    lambda x: x * tf.reduce_sum(x),
    lambda x: x / (1.0 + tf.reduce_max(tf.abs(x), 0, keepdims=True)),
    lambda x: x + tf.reduce_sum(x, 1)[:, None],
]


@settings(max_examples=40)
@given(st.data())
def test_random_graphs_give_the_same_bits(data):
    size = data.draw(st.sampled_from([1, 4, 33]))
    choices = data.draw(st.lists(st.tuples(*[st.integers(0, 99)] * 4), min_size=2, max_size=12))

    def build(x, y):
        values = [x, y]
        for kind, op, first, second in choices:
            a, b = values[first % len(values)], values[second % len(values)]
            made = [UNARY, BINARY, REDUCED][kind % 3]
            values.append(made[op % len(made)](*([a, b] if made is BINARY else [a])))
        wanted = [v for v, (kind, *_) in zip(values[2:], choices, strict=True) if kind > 70]
        return [values[-1], *wanted]

    random = np.random.default_rng(size)
    run_both(build, *random.normal(size=(2, size, size)).astype(np.float32))
