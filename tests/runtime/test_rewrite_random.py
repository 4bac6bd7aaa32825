"""Random graphs give the same bits, and fail alike, whatever is done to their steps."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf

F = np.float32
FED = [
    np.array([[1.5, -2.0, 0.25], [-0.0, 3.0, 7.0]], F),
    np.array([[0.5, np.inf, -1.0], [0.0, -0.0, np.nan]], F),
]
ELEMENTWISE = [tf.tanh, tf.negative, tf.identity, tf.stop_gradient, tf.floor, tf.square]
# These give their input, or nearly so.
NEUTRAL = [
    lambda x: x * 1.0,
    lambda x: 0.0 + x,
    lambda x: x + 0.0,
    lambda x: x - 0.0,
    lambda x: x + -0.0,
    lambda x: x - -0.0,
    lambda x: x / 1.0,
    lambda x: x / tf.ones([2, 1]) if x.shape[0].value == 2 else x,
]
SAME = [
    lambda x: tf.tile(x, [1, 1]),
    lambda x: tf.pad(x, [[0, 0], [0, 0]]),
    lambda x: x[:],
    lambda x: tf.slice(x, [0, 0], [-1, -1]),
    lambda x: tf.reshape(x, tf.shape(x)),
    lambda x: tf.reduce_sum(x, tf.constant([], tf.int32)),
    lambda x: tf.transpose(x, [0, 1]),
]
# These give it in another order or shape.
MOVED = [
    tf.transpose,
    lambda x: x[:, ::-1],
    lambda x: tf.reshape(x, tf.shape(x)[::-1]),
    lambda x: tf.concat([x, x], 0)[: tf.shape(x)[0]],
    lambda x: tf.slice(x, [0, 0], [-1, 2])[:, :1] + x,
]
BINARY = [tf.add, tf.multiply, tf.subtract, tf.maximum]
REDUCED = [
    lambda x: x + tf.reduce_sum(x, keepdims=True),
    lambda x: x * tf.reduce_mean(x, 1, keepdims=True) + tf.reduce_mean(x, 1)[:, None],
    lambda x: x - tf.reduce_max(x, 0, keepdims=True),
    lambda x: x + tf.cast(tf.size(x), tf.float32),
    lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32) - tf.cast(tf.cast(x, tf.bool), tf.float32),
]
KINDS = [*["elementwise", "neutral"] * 2, "same", "known", "moved", "twin", "binary", "reduced"]
MADE = {"elementwise": ELEMENTWISE, "neutral": NEUTRAL, "same": SAME, "moved": MOVED}
MADE["reduced"] = REDUCED
# What belongs to no branch and no loop: there the order of reads and updates is settled.
TOP = ["read", "update", "check"]


class Builder:
    """Makes tensors at random, each of those before it: matrices of one size, and transposes."""

    def __init__(self, draw):
        self.draw = draw
        self.variable = tf.get_variable("v", initializer=[1.0], use_resource=draw.random() < 0.5)
        self.first = tf.identity(self.variable)
        self.last = [self.first]

    def build(self, tensors, depth):
        tensors = list(tensors)
        kinds = [*KINDS, *["cond", "loop"] * (depth > 0), *TOP * (depth == 2)]
        for _ in range(self.draw.randint(1, 10 if depth == 2 else 3)):
            tensors.append(self.made(self.draw.choice(kinds), tensors, depth))
        return tensors

    def made(self, kind, tensors, depth):
        draw = self.draw
        x, y = (draw.choice(draw.choice([tensors[-2:], tensors])) for _ in range(2))
        if kind in MADE:
            return draw.choice(MADE[kind])(x)
        if kind == "known":
            return tf.constant(draw.choice(FED)) * tf.exp(tf.constant(F(draw.randrange(3))))
        if kind == "twin":
            f = draw.choice([*ELEMENTWISE, *REDUCED])
            return f(x) * 0.5 + f(x) * 0.5
        if kind == "binary":
            is_like = tf.equal(tf.shape(x)[0], tf.shape(y)[0])
            return draw.choice(BINARY)(x, tf.cond(is_like, lambda: y, lambda: tf.transpose(y)))
        if kind == "check":
            return tf.check_numerics(x, f"tensor {len(tensors)}")
        if kind in ("read", "update"):
            return y + self.touched(kind == "update", x) * tf.constant(2.0) + self.first
        if kind == "cond":
            ways = [lambda: self.build(tensors, depth - 1)[-1]] * 2
            return tf.cond(tf.reduce_sum(x) > F(draw.randrange(5)), *ways)

        def body(i, x):
            return i + 1, tf.reshape(self.build([x, tensors[0]], depth - 1)[-1], tf.shape(x))

        return tf.while_loop(lambda i, x: i < draw.randrange(4), body, [0, x])[1]

    def touched(self, is_update, x):
        """The variable as it is behind what has touched it so far, and behind an update or two."""
        v = self.variable
        with tf.control_dependencies([*self.last, x]):
            self.last = [v.assign_add([1.5]) for _ in range(2)] if is_update else [x]
        with tf.control_dependencies(self.last):
            read = tf.identity(v)
        self.last = [read]
        return read


def outcome(session, fetches, feeds):
    """The bits of what is fetched, or the error; and the variable afterwards."""
    session.run(tf.global_variables_initializer())
    try:
        values = session.run(fetches, feeds)
        found = [(v.dtype, v.shape, v.tobytes()) for v in values]
    except tf.errors.InvalidArgumentError as error:
        found = error.op.name
    except ValueError as error:  # it cannot be fed
        found = str(error)
    return found, session.run("v:0").tolist()


def compare(seed, gpus):
    draw = random.Random(seed)
    with tf.Graph().as_default():
        is_static = draw.random() < 0.5
        fed = [tf.placeholder(tf.float32, [2, 3] if is_static else [None, None]) for _ in FED]
        tensors = Builder(draw).build(fed, 2)
        # Read by what tells zeros from zeros.
        last = [1.0 / tensor for tensor in tensors[-3:]]
        some = [1.0 / tensor for tensor in draw.choices(tensors, k=3)]
        feeds = dict(zip(fed, FED, strict=True))
        inside = {**feeds, draw.choice(tensors): FED[0], draw.choice(tensors[2:]): FED[1].T}
        found = []
        for level in (0, -1):
            options = tf.OptimizerOptions(opt_level=level)
            config = tf.ConfigProto(
                device_options={"simulated_gpus": gpus},
                graph_options=tf.GraphOptions(optimizer_options=options),
            )
            with tf.Session(config=config) as session:
                runs = (last, feeds), ([*some, tensors[-1]], feeds), (last[-1:], inside)
                found.append([outcome(session, *run) for run in runs])
    assert found[0] == found[1]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 32))
def test_bits_and_errors_are_the_same(seed):
    compare(seed, "0")


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(["0", "1:64MiB"]))
def test_bits_and_errors_are_the_same_in_many_graphs(seed, gpus):
    compare(seed, gpus)
