"""Runs of operations as text: names, lifetimes, and long ones cut into pieces of like text."""

import weakref
from types import FunctionType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.op_def import define_op
from tfsession.core.rules import kernel, no_gradient
from tfsession.graph.create import create_op
from tfsession.runtime import runs, source
from tfsession.runtime.plan import Signature

OPS = [
    tf.identity,
    tf.tanh,
    lambda x: x + 1.5,
    lambda x: tf.reshape(x, [-1, 2]),
    lambda x: tf.reverse(x, [0]),
    lambda x: tf.nn.leaky_relu(x, 0.3),
    lambda x: tf.nn.leaky_relu(x, 0.1),
    lambda x, y: x * y,
    lambda x, y: tf.maximum(x, y),
    lambda x, y: tf.cond(tf.reduce_sum(x) > 0.0, lambda: y - x, lambda: y * 0.5),
    lambda x, y: tf.while_loop(lambda i, z: i < 2, lambda i, z: (i + 1, z * 0.5 + x), [0, y])[1],
]


def _function(session, fetches, feeds):
    """The one function of a step."""
    signature = Signature(tuple(fetches), (), tuple(feeds), (None,) * len(feeds))
    (segment,) = session._engine.plan(signature).segments
    return segment


def _pieces(segment):
    """The functions of the pieces of one."""
    values = [v for v in segment.function.__defaults__ if isinstance(v, FunctionType)]
    return [value for value in values if value.__name__ == "segment"]


@pytest.fixture
def tiny_pieces(monkeypatch):
    """Every run of some operations is long."""
    monkeypatch.setattr(runs, "_PIECE", 2)
    monkeypatch.setattr(source, "_LONG", 4)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, len(OPS) - 1), st.integers(0, 9), st.integers(0, 9)), max_size=14
    ),
    fetched=st.sets(st.integers(0, 14), min_size=1, max_size=4),
)
def test_pieces_compute_what_the_whole_does(steps, fetched):
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [3, 2])
        values = [x]
        for op, *indices in steps:
            count = OPS[op].__code__.co_argcount if OPS[op].__name__ == "<lambda>" else 1
            values.append(OPS[op](*[values[index % len(values)] for index in indices[:count]]))
        fetches = [values[index % len(values)] for index in sorted(fetched)]
    feeds = {x: np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)}
    found = []
    for size in (512, 3):
        with pytest.MonkeyPatch.context() as patch, tf.Session(graph=graph) as session:
            patch.setattr(runs, "_PIECE", size // 2)
            patch.setattr(source, "_LONG", size)
            found.append(session.run(fetches, feeds))
            traced = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            found.append(session.run(fetches, feeds, traced, tf.RunMetadata()))
    for values in found[1:]:
        for value, wanted in zip(values, found[0], strict=True):
            np.testing.assert_array_equal(value, wanted, strict=True)


def test_like_layers_share_the_code_of_their_pieces(fresh_graph):
    x = y = tf.placeholder(tf.float32, [4])
    with tf.device("/cpu:0"):
        for layer in range(300):
            w = tf.constant(np.full(4, 1 / (layer + 1), np.float32))
            y = tf.tanh(y * w) + tf.sin(y - w) * tf.cos(w) + x
    with tf.Session() as session:
        pieces = _pieces(_function(session, [y], [x]))
    assert len(pieces) >= 4
    assert len({piece.__code__ for piece in pieces}) <= 3  # the first, those between, the last


def test_like_pieces_have_values_and_failures_of_their_own(fresh_graph, tiny_pieces):
    x = y = tf.placeholder(tf.float32, [2])
    with tf.device("/cpu:0"):
        for layer in range(8):
            y = tf.nn.leaky_relu(y * tf.constant([1e9, layer + 1.0]), alpha=1 / (layer + 2))
            y = tf.check_numerics(y, f"in layer {layer}", name=f"check{layer}")
    with tf.Session() as session:
        pieces = _pieces(_function(session, [y], [x]))
        assert len({piece.__code__ for piece in pieces}) < len(pieces) / 2
        found = session.run(y, {x: [0.0, -1.0]})
        np.testing.assert_allclose(found, [0.0, -1 / 9])  # 8! / 9!
        for _ in range(2):
            with pytest.raises(tf.errors.InvalidArgumentError, match="in layer 4") as caught:
                session.run(y, {x: [1.0, -1.0]})
            assert caught.value.op.name == "check4"


def test_like_pieces_write_over_what_is_theirs_alone(fresh_graph, tiny_pieces):
    """What a piece is given may be a variable's, a feed, or the result of another."""
    x = y = tf.placeholder(tf.float32, [3])
    with tf.device("/cpu:0"):
        v = tf.get_variable("v", initializer=tf.constant([1.0, 2.0, 3.0]))
        kept = []
        for layer in range(6):
            y = tf.tanh(tf.negative(y)) if layer % 2 else tf.tanh(tf.negative(v))
            y = tf.square(tf.exp(y))
            kept.append(y)
    fed = np.array([0.1, 0.2, 0.3], np.float32)
    with tf.Session() as session:
        session.run(v.initializer)
        for _ in range(2):
            *found, state = session.run([*kept, v], {x: fed})
            np.testing.assert_array_equal(state, [1, 2, 3])
            np.testing.assert_array_equal(fed, np.array([0.1, 0.2, 0.3], np.float32))
            first = np.square(np.exp(np.tanh(-state)))
            second = np.square(np.exp(np.tanh(-first)))
            for number, value in enumerate(found):
                np.testing.assert_array_equal(value, second if number % 2 else first)


def test_a_value_ends_within_a_piece(fresh_graph, tiny_pieces):
    """What a piece is given and reads last is gone before the piece is over."""
    seen, alive = [], []

    class Array(np.ndarray):
        pass

    define_op("RunsMake", ["x: float"], ["y: float"])
    define_op("RunsLook", ["x: float"], ["y: float"])
    no_gradient("RunsMake", "RunsLook")

    @kernel("RunsMake")
    def make(xp, x):
        made = (x + 1).view(Array)
        seen.append(weakref.ref(made))
        return made

    @kernel("RunsLook")
    def look(xp, x):
        alive.append(sum(ref() is not None for ref in seen))
        return np.zeros(3, np.float32)

    x = tf.placeholder(tf.float32, [3])
    y = x
    with tf.device("/cpu:0"):
        made = [create_op("RunsMake", [x * number]) for number in (2.0, 3.0, 4.0, 5.0)]
        for value in made:
            y = create_op("RunsLook", [y]) + tf.reduce_sum(value)
    with tf.Session() as session:
        session.run(y, {x: np.zeros(3)})
        assert "given = [" in _function(session, [y], [x]).source
    assert alive == [4, 3, 2, 1]


def test_a_failure_in_a_piece_names_its_operation(fresh_graph, tiny_pieces):
    x = tf.placeholder(tf.float32, [None])
    y = x
    with tf.device("/cpu:0"):
        for number in range(9):
            y = tf.reshape(tf.tanh(y), [3], name="bad") if number == 5 else tf.tanh(y)
    with tf.Session() as session:
        for _ in range(2):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                session.run(y, {x: [1.0]})
            assert caught.value.op.name == "bad"
        session.run(y, {x: [1.0, 2.0, 3.0]})


def test_constants_and_what_goes_through_take_no_line(fresh_graph):
    x = tf.placeholder(tf.float32, [3])
    with tf.device("/cpu:0"):
        y = tf.identity(tf.identity(x * 2.0)) + tf.constant([1.0, 2.0, 3.0])
    with tf.Session() as session:
        segment = _function(session, [y], [x])
    assert len(segment.source.splitlines()) == 4  # a head, two lines, what is returned
