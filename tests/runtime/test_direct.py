"""What gates of gradients hand on is read directly, and nothing pure waits for anything pure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.runtime import blocks, fuse
from tfsession.runtime.direct import read_directly
from tfsession.runtime.plan import Signature

L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)


@pytest.fixture(autouse=True)
def _on_the_host(fresh_graph):
    with tf.device("/cpu:0"):
        yield


def read(session, fetches, feeds=()):
    """The operations of a step as they are read, by their names."""
    plan = session._engine.plan(Signature(tuple(fetches), (), tuple(feeds), (None,) * len(feeds)))
    return {node.op.name: node for node in read_directly(plan.nodes, feeds, set(fetches))}


def waiting(made, *tensors):
    with tf.control_dependencies(list(tensors)):
        return made()


def test_gates_are_passed_by():
    x = tf.placeholder(tf.float32, [None, 8])
    first, second = tf.exp(x, name="first"), tf.sin(x, name="second")
    gated, other = tf.tuple([first, second])
    y, z = tf.tanh(gated, name="y"), tf.tanh(other, name="z")
    with tf.Session() as session:
        found = read(session, [y, z], [x])
    assert found["y"].inputs == (first,)
    assert not any(node.controls for node in found.values())
    assert gated.op.name not in found


def test_what_is_fetched_is_handed_on():
    x = tf.placeholder(tf.float32, [None, 8])
    gated, other = tf.tuple([tf.exp(x), tf.sin(x)])
    with tf.Session() as session:
        assert gated.op.name in read(session, [gated, other], [x])
        one, _ = session.run([gated, other], {x: np.ones((1, 8))})
        np.testing.assert_array_equal(one, session.run(tf.exp(np.ones((1, 8), np.float32))))


def test_effects_are_waited_for():
    v = tf.Variable(1.0)
    x = tf.placeholder(tf.float32, [None, 8])
    total = tf.assign_add(v, 1.0)
    y = waiting(lambda: tf.exp(x, name="late") * 2.0, total)
    with tf.Session() as session:
        session.run(v.initializer)
        assert [op.name for op in read(session, [y], [x])["late"].controls] == [total.op.name]


def test_gradients_of_an_activation_are_one_group(monkeypatch):
    monkeypatch.setattr(fuse, "SMALL", 2)
    monkeypatch.setattr(fuse, "_WORTH", 0)
    ran = []
    run = blocks.Cut.run
    monkeypatch.setattr(blocks.Cut, "run", lambda cut, v: ran.append(cut) or run(cut, v))
    x = tf.placeholder(tf.float32, [None, 64])
    y = 0.5 * x * (1.0 + tf.tanh(0.8 * (x + 0.04 * tf.pow(x, 3.0))))
    (slope,) = tf.gradients(y, x, tf.ones_like(x) * 2.0)
    value = np.linspace(-3, 3, 640, dtype=np.float32).reshape(10, 64)
    with tf.Session() as session, tf.Session(config=L0) as plain:
        found = session.run(slope, {x: value})
        assert len(ran) == 1
        np.testing.assert_array_equal(found, plain.run(slope, {x: value}))


STEPS = st.tuples(
    st.sampled_from(["exp", "add", "identity", "tuple", "assign", "read", "sum"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
)


def build(steps, x, v):
    """Tensors, of which each may wait for another, and a variable that changes meanwhile."""
    made = [x, x * 0.5]
    effects = []
    for kind, one, other, waits in steps:
        first, second = made[one % len(made)], made[other % len(made)]
        with tf.control_dependencies(effects[-1:] + ([second] if waits else [])):
            if kind == "exp":
                made.append(tf.exp(-first * first))
            elif kind == "add":
                made.append(first + second)
            elif kind == "identity":
                made.append(tf.identity(first))
            elif kind == "tuple":
                made += tf.tuple([tf.sin(first), second])
            elif kind == "assign":
                effects.append(tf.assign_add(v, tf.reduce_mean(first, 0)).op)
            elif kind == "read":
                made.append(v.read_value() + first)
                effects.append(made[-1].op)
            else:
                made.append(tf.reduce_sum(first, 0, keepdims=True) + second)
    return made, effects


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=14), st.integers(0, 20), st.booleans())
def test_steps_give_what_they_give_without(steps, fetched, use_resource):
    value = np.linspace(-1, 1, 128, dtype=np.float32).reshape(4, 32)
    found = []
    for config in (None, L0):
        with tf.Graph().as_default(), tf.device("/cpu:0"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(fuse, "SMALL", 2)
            patch.setattr(fuse, "_WORTH", 0)
            x = tf.placeholder(tf.float32, [None, 32])
            v = tf.Variable(np.ones(32, np.float32), use_resource=use_resource)
            made, effects = build(steps, x, v)
            with tf.Session(config=config) as session:
                session.run(v.initializer)
                fetches = [made[-1], made[fetched % len(made)], effects]
                values = [session.run(fetches, {x: value})[:2] for _ in range(2)]
                found.append([a.tobytes() for pair in values for a in pair])
                found[-1].append(session.run(v).tobytes())
    assert found[0] == found[1]
