"""Random graphs give the same bits, and fail alike, whatever is done to their steps."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfsession as tf

F = np.float32
FED = [
    np.array([[1.5, -2.0, 0.25], [-0.0, 3.0, 7.0]], F),
    np.array([[0.5, np.inf, -1.0], [0.0, -0.0, np.nan]], F),
]
ELEMENTWISE = [tf.exp, tf.tanh, tf.negative, tf.identity, tf.square, tf.stop_gradient, tf.floor]
NEUTRAL = [
    lambda x: x * 1.0,
    lambda x: x + 0.0,
    lambda x: x - 0.0,
    lambda x: x / 1.0,
    lambda x: x + -0.0,
    lambda x: tf.tile(x, [1, 1]),
    lambda x: tf.pad(x, [[0, 0], [0, 0]]),
    lambda x: x[:],
    lambda x: tf.reshape(x, tf.shape(x)),
    lambda x: tf.reduce_sum(x, tf.constant([], tf.int32)),
]
SHAPES = [
    tf.transpose,
    lambda x: x[:, ::-1],
    lambda x: tf.reshape(x, tf.shape(x)[::-1]),
    lambda x: tf.concat([x, x], 0)[: tf.shape(x)[0]],
]
BINARY = [tf.add, tf.multiply, tf.subtract, tf.maximum]
REDUCTIONS = [
    lambda x: x + tf.reduce_sum(x, keepdims=True),
    lambda x: x * tf.reduce_mean(x, 1, keepdims=True),
    lambda x: x - tf.reduce_max(x, 0, keepdims=True),
    lambda x: x + tf.cast(tf.size(x), tf.float32),
]


# What belongs to no branch and no loop: there the order of reads and updates is settled.
TOP = ["cond", "loop", "read", "update", "check"]


@st.composite
def graphs(draw, depth=2):
    """How to make, from matrices of one size and their transposes, more of them."""
    kinds = ["known", "elementwise", "neutral", "shape", "binary", "reduction", "twin"]
    kinds += TOP if depth == 2 else TOP[:2] * (depth > 0)
    steps = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=8 if depth == 2 else 3)):
        numbers = draw(st.tuples(*[st.integers(0, 9)] * 3))
        inner = [draw(graphs(depth - 1)) for _ in range(2)] if kind in ("cond", "loop") else []
        steps.append((kind, numbers, inner))
    return steps


def chosen(choices, number):
    return choices[number % len(choices)]


class Builder:
    """Makes the tensors that some steps say, each of those before it."""

    def __init__(self):
        self.variable = tf.get_variable("v", initializer=[1.0], use_resource=True)
        self.last = []

    def build(self, steps, tensors):
        tensors = list(tensors)
        for kind, numbers, inner in steps:
            tensors.append(self.made(kind, numbers, inner, tensors))
        return tensors

    def made(self, kind, numbers, inner, tensors):
        a, b, c = numbers
        x, y = chosen(tensors, a), chosen(tensors, b)
        if kind == "known":
            return tf.constant(FED[c % 2]) * tf.exp(tf.constant(F(c)))
        if kind == "elementwise":
            return chosen(ELEMENTWISE, c)(x)
        if kind == "neutral":
            return chosen(NEUTRAL, c)(x)
        if kind == "shape":
            return chosen(SHAPES, c)(x)
        if kind == "twin":
            return chosen(ELEMENTWISE, c)(x) * 0.5 + chosen(ELEMENTWISE, c)(x) * 0.5
        if kind == "binary":
            is_like = tf.equal(tf.shape(x)[0], tf.shape(y)[0])
            return chosen(BINARY, c)(x, tf.cond(is_like, lambda: y, lambda: tf.transpose(y)))
        if kind == "reduction":
            return chosen(REDUCTIONS, c)(x)
        if kind == "check":
            return tf.check_numerics(x, f"number {c}")
        if kind in ("read", "update"):
            with tf.control_dependencies([*self.last, x]):
                v = self.variable
                read = v.read_value() if kind == "read" else v.assign_add([F(c)])
                read = tf.identity(read)
            self.last = [read]
            return y + read * tf.constant(2.0)
        if kind == "cond":
            ways = [lambda way=way: self.build(way, tensors)[-1] for way in inner]
            return tf.cond(tf.reduce_sum(x) > F(c), *ways)

        def body(i, x):
            return i + 1, tf.reshape(self.build(inner[0], [x, tensors[0]])[-1], tf.shape(x))

        return tf.while_loop(lambda i, x: i < c % 3, body, [0, x])[1]


def outcome(session, fetches, feeds):
    """The bits of what is fetched, or the error; and the variable afterwards."""
    session.run(tf.global_variables_initializer())
    try:
        values = session.run(fetches, feeds)
        found = [(v.dtype, v.shape, v.tobytes()) for v in values]
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        found = str(error)  # which names the operation, or what cannot be fed
    return found, session.run("v:0").tolist()


def compare(steps, is_static, picked, gpus):
    with tf.Graph().as_default():
        fed = [tf.placeholder(tf.float32, [2, 3] if is_static else [None, None]) for _ in FED]
        tensors = Builder().build(steps, fed)
        found = []
        for level in (0, -1):
            options = tf.OptimizerOptions(opt_level=level)
            config = tf.ConfigProto(
                device_options={"simulated_gpus": gpus},
                graph_options=tf.GraphOptions(optimizer_options=options),
            )
            with tf.Session(config=config) as session:
                feeds = dict(zip(fed, FED, strict=True))
                some = [chosen(tensors, number) for number in picked]
                inside = {**feeds, some[0]: FED[0] if is_static else FED[0].T}
                runs = (tensors[-1:], feeds), (some, feeds), (tensors[-1:], inside)
                found.append([outcome(session, *run) for run in runs])
    assert found[0] == found[1]


PICKED = st.lists(st.integers(0, 9), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(graphs(), st.booleans(), PICKED)
def test_bits_and_errors_are_the_same(steps, is_static, picked):
    compare(steps, is_static, picked, "0")


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.booleans(), PICKED, st.sampled_from(["0", "1:64MiB"]))
def test_bits_and_errors_are_the_same_in_many_graphs(steps, is_static, picked, gpus):
    compare(steps, is_static, picked, gpus)
