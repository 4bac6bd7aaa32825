"""What others only wait for: it does not run where it does nothing but compute."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.runtime.plan import Signature


def config_of(toggle=0):
    config = tf.ConfigProto(device_options={"simulated_gpus": "2"}, allow_soft_placement=True)
    config.graph_options.rewrite_options.dependency_optimization = toggle
    return config


def running(session, fetches, feeds=(), targets=()):
    """The names of the operations that a step runs."""
    signature = Signature(tuple(fetches), tuple(targets), tuple(feeds), (None,) * len(feeds))
    return {node.op.name for node in session._engine.plan(signature).nodes}


def waiting(made, *tensors):
    with tf.control_dependencies(list(tensors)):
        return made()


def failing():
    """A sum that no step can compute, of what is known only when it runs."""
    sizes = tf.placeholder_with_default(np.array([2, 2]), [2])
    return tf.reshape(tf.ones([3]), sizes)


def test_gradients_that_nobody_reads_are_not_computed(fresh_graph):
    x = tf.placeholder(tf.float32, [4, 3], name="x")
    w = tf.Variable(np.ones((3, 2), np.float32), name="w")
    loss = tf.reduce_sum(tf.square(tf.matmul(x, w, name="product")))
    train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    products = {f"gradients/product_grad/MatMul{suffix}" for suffix in ("", "_1")}
    for toggle, run in ((0, {"gradients/product_grad/MatMul_1"}), (2, products)):
        with tf.Session(config=config_of(toggle)) as session:
            assert running(session, [], [x], [train]) & products == run


def test_effects_behind_what_is_idle_come_first(fresh_graph):
    v = tf.Variable(1.0)
    total = tf.assign_add(v, 1.0)
    idle = waiting(lambda: tf.exp(tf.sin(tf.constant(1.0) + tf.ones([])), name="idle"), total)
    further = tf.tanh(idle, name="further")
    y = waiting(v.read_value, further)
    with tf.Session(config=config_of()) as session:
        session.run(v.initializer)
        assert not running(session, [y]) & {"idle", "further"}
        assert [session.run(y) for _ in range(3)] == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("use", ["fetched", "asked to run", "read as well", "fed"])
def test_what_is_wanted_for_itself_runs(fresh_graph, use):
    idle = tf.exp(tf.placeholder_with_default(1.0, []), name="idle")
    y = waiting(lambda: tf.identity(tf.placeholder_with_default(2.0, []) + 1.0), idle)
    fetches, targets, feeds = [y], [], []
    if use == "fetched":
        fetches.append(idle)
    elif use == "asked to run":
        targets.append(idle.op)
    elif use == "fed":
        feeds.append(idle)
    else:
        fetches = [y + idle]
    with tf.Session(config=config_of()) as session:
        assert ("idle" in running(session, fetches, feeds, targets)) == (use != "fed")


def test_what_would_fail_need_not(fresh_graph):
    """As in TensorFlow; but what is there to check something does so."""
    y = waiting(lambda: tf.constant(1.0) + 1.0, failing())
    checked = tf.check_numerics(tf.log(tf.placeholder_with_default(-1.0, [])), "no number")
    z = waiting(lambda: tf.constant(1.0) + 1.0, checked)
    with tf.Session(config=config_of()) as session:
        assert session.run(y) == 2.0
        with pytest.raises(tf.errors.InvalidArgumentError, match="no number"):
            session.run(z)
    session = tf.Session(config=config_of(2))
    with session, pytest.raises(tf.errors.InvalidArgumentError, match="node"):
        session.run(y)


@pytest.mark.parametrize("way", [True, False])
def test_who_waits_in_a_branch_is_as_alive_as_the_branch(fresh_graph, way):
    v = tf.Variable(0.0)
    p = tf.placeholder(tf.bool, [])
    x = tf.placeholder(tf.float32, [])

    def taken():
        return waiting(lambda: tf.assign_add(v, 1.0), tf.exp(tf.sin(x)), tf.constant(3.0) + x)

    y = tf.cond(p, taken, lambda: tf.constant(-1.0))
    with tf.Session(config=config_of()) as session:
        session.run(v.initializer)
        assert session.run(y, {p: way, x: 1.0}) == (1.0 if way else -1.0)
        assert session.run(v) == float(way)


def test_who_waits_in_a_loop_does_so_each_turn(fresh_graph):
    v = tf.Variable(0.0)
    x = tf.placeholder(tf.float32, [])

    def body(i):
        with tf.control_dependencies([tf.exp(tf.cast(i, tf.float32) * x)]):
            counted = tf.assign_add(v, x)
        with tf.control_dependencies([tf.sin(counted)]):
            return i + 1

    n = tf.while_loop(lambda i: i < 4, body, [0])
    with tf.Session(config=config_of()) as session:
        session.run(v.initializer)
        assert session.run(n, {x: 2.0}) == 4
        assert session.run(v) == 8.0


def test_between_devices(fresh_graph):
    with tf.device("/gpu:0"):
        v = tf.Variable(1.0)
        total = tf.assign_add(v, 1.0)
    with tf.device("/gpu:1"), tf.control_dependencies([total]):
        idle = tf.exp(tf.placeholder_with_default(1.0, []), name="idle")
    with tf.device("/gpu:0"):
        y = waiting(v.read_value, idle)
    with tf.Session(config=config_of()) as session:
        session.run(v.initializer)
        assert "idle" not in running(session, [y])
        assert session.run(y) == 2.0


def test_a_partial_run_computes_all(fresh_graph):
    x, z = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
    y = waiting(lambda: x + 1.0, tf.exp(z))
    with tf.Session(config=config_of()) as session:
        handle = session.partial_run_setup([y, z * 2.0], [x, z])
        assert session.partial_run(handle, y, {x: 1.0, z: 1.0}) == 2.0
