"""Slow operations that need nothing of each other run at once, and give what they give alone."""

import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.op_def import define_op
from tfsession.core.rules import kernel, no_gradient
from tfsession.devices import threads
from tfsession.graph.create import create_op
from tfsession.graph.shape_fns import same_as

L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)
MEETING = threading.Barrier(2, timeout=20)

define_op("MeetOther", ["x: float"], ["y: float"], [], same_as(0))
no_gradient("MeetOther")


@kernel("MeetOther", slow=1000)
def meet_other(xp, x):
    """One more; ends only when another one has begun."""
    MEETING.wait()
    return x + 1


def meet(x):
    return create_op("MeetOther", (x,), None, None)


@pytest.fixture(autouse=True)
def on_cpus(fresh_graph, monkeypatch):
    """Two cores at least, whatever the machine has."""
    monkeypatch.setattr(threads, "_cores", lambda: {0, 1})
    monkeypatch.setattr(threads, "_getcpu", lambda: None)
    pool = threads._Pool()
    monkeypatch.setattr(threads, "_pool", pool)
    MEETING.reset()
    with tf.device("/cpu:0"):
        yield
    for _ in pool._threads:
        pool._jobs.put(None)


@pytest.mark.parametrize("static", [True, False])
def test_they_run_at_once(static):
    x = tf.placeholder(tf.float32, [4000] if static else [None])
    a, b = meet(x * 2.0), meet(x - 1.0)
    both = tf.concat([tf.sqrt(a + 3.0), b], 0)
    value = np.arange(4000, dtype=np.float32)
    with tf.Session() as session:
        found = session.run(both, {x: value})
    np.testing.assert_array_equal(found, np.concatenate([np.sqrt(value * 2 + 4), value]))


def test_levels_meet_each_for_itself():
    """What is read between two slow operations of one chain does not part them from the other."""
    x = tf.placeholder(tf.float32, [4000])
    chains = [x, x * 2.0]
    for _ in range(3):
        chains = [tf.square(meet(chain)) * 0.001 for chain in chains]
    with tf.Session() as session:
        first, second = session.run(chains, {x: np.ones(4000, np.float32)})
    one, two = np.float32(1), np.float32(2)
    for _ in range(3):
        one, two = (np.square(v + 1) * np.float32(0.001) for v in (one, two))
    assert (first == one).all()
    assert (second == two).all()


def test_small_ones_run_alone(monkeypatch):
    monkeypatch.setattr(threads._Pool, "help", lambda *_: pytest.fail("nothing to help with"))
    x = tf.placeholder(tf.float32, [None, None])
    fetches = [tf.linalg.inv(x), tf.linalg.inv(tf.transpose(x) * 2.0)]
    with tf.Session() as session:
        session.run(fetches, {x: np.eye(3, dtype=np.float32)})


def test_effects_keep_their_place():
    """An assignment between them parts them: the second reads what was assigned."""
    v = tf.Variable(np.zeros(4000, np.float32))
    first = tf.unique(v)[0]
    with tf.control_dependencies([first]):
        assigned = v.assign(np.arange(4000, dtype=np.float32))
    second = tf.unique(assigned)[0]
    with tf.Session() as session:
        session.run(v.initializer)
        before, after = session.run([first, second])
    assert before.size == 1
    assert after.size == 4000


OPERATIONS = [
    lambda x: tf.linalg.svd(x),
    lambda x: tf.linalg.qr(x),
    lambda x: [tf.linalg.eigh(tf.matmul(x, x, transpose_b=True))[0]],
    lambda x: [tf.linalg.inv(x), tf.linalg.det(x)],
    lambda x: tf.nn.top_k(x, 3),
    lambda x: tf.unique(tf.reshape(tf.round(x * 5.0), [-1])),
    lambda x: [tf.cumsum(x), tf.linalg.solve(x, x)],
]


def test_bits_are_those_of_one_after_another():
    x = tf.placeholder(tf.float64, [None, 160])
    y = tf.placeholder(tf.float64, [160, 160])
    fetches = [list(build(v)) for build in OPERATIONS for v in (x, y)]
    values = np.random.default_rng(0).normal(0, 1, (2, 160, 160))
    with tf.Session() as session, tf.Session(config=L0) as plain:
        found = session.run(fetches, {x: values[0], y: values[1]})
        wanted = plain.run(fetches, {x: values[0], y: values[1]})
    for mine, other in zip(found, wanted, strict=True):
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_an_error_names_its_operation():
    x = tf.placeholder(tf.float32, [100, 100])
    fine, failing = tf.linalg.inv(x), tf.linalg.inv(x * 0.0, name="singular")
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="not invertible") as caught:
            session.run([fine, failing], {x: np.eye(100, dtype=np.float32)})
        assert caught.value.op.name == "singular"
        session.run(fine, {x: np.eye(100, dtype=np.float32)})
