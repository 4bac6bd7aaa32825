"""Plans: segments, transfers, lifetimes, errors that name the operation, and fetched values."""

import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.op_def import define_op
from tfsession.core.rules import kernel, no_gradient
from tfsession.devices import simulated_array, simulated_numpy
from tfsession.devices.simulated import SimulatedDevice
from tfsession.graph.create import create_op
from tfsession.runtime.plan import Signature


def _plan(session, fetches, feeds=()):
    """The compiled plan of a run."""
    feeds = tuple(feeds)
    return session._engine.plan(Signature(tuple(fetches), (), feeds, (None,) * len(feeds)))


def _moves(plan):
    """Each transfer as (tensor, from, to)."""
    return [
        (
            t.tensor.op.name,
            t.source.name[-5:] if t.source else "host",
            t.destination.name[-5:] if t.destination else "host",
        )
        for t in plan.transfers
    ]


SPLITS = [
    # (device of a, of b, of c) for c = (a + a) * (b + b) with a and b fed, and what moves
    (("/cpu:0", "/cpu:0", "/cpu:0"), []),
    (
        ("/gpu:0", "/gpu:0", "/gpu:0"),
        [("x", "host", "GPU:0"), ("y", "host", "GPU:0"), ("c", "GPU:0", "host")],
    ),
    (
        ("/gpu:0", "/cpu:0", "/gpu:0"),
        [("x", "host", "GPU:0"), ("b", "host", "GPU:0"), ("c", "GPU:0", "host")],
    ),
    (("/gpu:0", "/cpu:0", "/cpu:0"), [("x", "host", "GPU:0"), ("a", "GPU:0", "host")]),
    (
        ("/gpu:0", "/gpu:1", "/gpu:1"),
        [
            ("x", "host", "GPU:0"),
            ("y", "host", "GPU:1"),
            ("a", "GPU:0", "GPU:1"),
            ("c", "GPU:1", "host"),
        ],
    ),
]


def _split(devices):
    x = tf.placeholder(tf.float32, [3], name="x")
    y = tf.placeholder(tf.float32, [3], name="y")
    with tf.device(devices[0]):
        a = tf.add(x, x, name="a")
    with tf.device(devices[1]):
        b = tf.add(y, y, name="b")
    with tf.device(devices[2]):
        c = tf.multiply(a, b, name="c")
    return x, y, c


@pytest.mark.parametrize(("devices", "moves"), SPLITS)
def test_a_split_needs_these_transfers_and_no_more(fresh_graph, devices, moves):
    x, y, c = _split(devices)
    with tf.Session() as session:
        plan = _plan(session, [c], [x, y])
        assert sorted(_moves(plan)) == sorted(moves)
        feeds = {x: [1.0, 2.0, 3.0], y: [4.0, 5.0, 6.0]}
        with session.counting() as counted:
            np.testing.assert_array_equal(session.run(c, feeds), [16.0, 40.0, 72.0])
    assert sum(counted.total[1:4]) == len(moves)


def test_a_tensor_goes_to_a_device_once_for_all_its_readers(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/gpu:0"):
        readers = [tf.add(x, x), tf.multiply(x, x), tf.subtract(x, x)]
        total = tf.add_n(readers, name="total")
    with tf.Session() as session:
        assert _moves(_plan(session, [total], [x])) == [
            ("x", "host", "GPU:0"),
            ("total", "GPU:0", "host"),
        ]


def test_int32_and_strings_stay_on_the_host(fresh_graph):
    with tf.device("/gpu:0"):
        n = tf.placeholder(tf.int32, [2], name="n")
        total = tf.add(n, n)
    with tf.Session() as session:
        assert _moves(_plan(session, [total], [n])) == []
        assert session.run(total, {n: [1, 2]}).tolist() == [2, 4]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_split_gives_the_same_bytes(data):
    """A random graph on the CPU, on a GPU, and scattered over all devices."""
    shape = (3,)
    steps = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "multiply", "subtract", "maximum"]),
                st.integers(0, 100),
                st.integers(0, 100),
                st.sampled_from(["/cpu:0", "/gpu:0", "/gpu:1"]),
            ),
            min_size=1,
            max_size=12,
        )
    )
    values = [np.linspace(-1, 2, 3, dtype=np.float32), np.full(3, 0.7, np.float32)]
    results = []
    for where in ("/cpu:0", "/gpu:0", None):
        with tf.Graph().as_default() as graph:
            tensors = [tf.placeholder(tf.float32, shape) for _ in values]
            feeds = dict(zip(tensors, values, strict=True))
            for name, i, j, device in steps:
                with tf.device(where or device):
                    pair = tensors[i % len(tensors)], tensors[j % len(tensors)]
                    tensors.append(getattr(tf, name)(*pair))
            with tf.Session(graph=graph) as session:
                results.append([a.tobytes() for a in session.run(tensors[2:], feeds)])
    assert results[0] == results[1] == results[2]


def test_values_are_dropped_after_their_last_use(fresh_graph):
    alive = []

    if "PlanTestWatch" not in _watched:
        _watched.add("PlanTestWatch")
        define_op("PlanTestWatch", inputs=["x: float"], outputs=["y: float"])
        no_gradient("PlanTestWatch")

        @kernel("PlanTestWatch")
        def watch(xp, x):
            made = x + 1
            _made.append(weakref.ref(made))
            alive.append(sum(ref() is not None for ref in _made))
            return made

    x = tf.placeholder(tf.float32, [4])
    y = x
    for _ in range(10):
        y = create_op("PlanTestWatch", [y])
    with tf.Session() as session:
        session.run(y, {x: np.zeros(4, np.float32)})
    assert max(alive) <= 2


_watched: set = set()
_made: list = []


def test_a_device_keeps_no_value_that_nothing_reads_any_more(fresh_graph):
    """A chain over both memories needs room for two of its values at a time, not for all."""
    x = tf.placeholder(tf.float32, [1 << 16])
    y = x
    for _ in range(8):
        with tf.device("/gpu:0"):
            y = y + 1.0
        with tf.device("/cpu:0"):
            y = y * 2.0
    with tf.Session() as session:
        session.run(y.op, {x: np.zeros(1 << 16, np.float32)})
        gpu = session._engine.devices.devices[1]
        assert gpu.memory_stats().peak < 3 * (1 << 18)


def test_a_failure_names_the_operation_and_its_line(fresh_graph):
    x = tf.placeholder(tf.float32, name="x")
    y = tf.placeholder(tf.float32, name="y")
    total = tf.add(x, y, name="total")
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            session.run(total, {x: [1.0, 2.0], y: [1.0, 2.0, 3.0]})
        assert caught.value.op is total.op
        assert "[[{{node total}}]]" in caught.value.message
        assert "test_plan.py" in caught.value.message
        assert session.run(total, {x: 1.0, y: 2.0}) == 3.0


def test_an_error_keeps_no_value_of_the_step_alive(fresh_graph, device):
    """Neither the failed segment's frame nor the kernel's error hangs on what is raised."""
    with tf.device(device):
        x = tf.placeholder(tf.float32)
        doubled = tf.add(x, x)
        bad = tf.matmul(doubled, doubled)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError) as caught:
        session.run(bad, {x: np.zeros((2, 3), np.float32)})
    assert caught.value.__context__ is None
    assert "<segment>" not in [str(entry.path) for entry in caught.traceback]


FETCHED = [
    ("a constant", lambda: tf.constant([1.0, 2.0])),
    ("a view of a feed", lambda: tf.reshape(_fed(), [4])),
    ("a transposed feed", lambda: tf.transpose(_fed())),
    ("a fresh value", lambda: _fed() + 1.0),
    ("a transposed fresh value", lambda: tf.transpose(_fed() + 1.0)),
    ("the identity of a fresh value", lambda: tf.identity(_fed() + 1.0)),
]


def _fed():
    graph = tf.get_default_graph()
    if "fed" not in graph._ops:
        return tf.placeholder(tf.float32, [2, 2], name="fed")
    return graph.get_tensor_by_name("fed:0")


@pytest.mark.parametrize(("name", "build"), FETCHED, ids=[row[0] for row in FETCHED])
def test_a_fetched_array_is_the_callers_own(fresh_graph, name, build):
    tensor = build()
    _fed()
    feed = np.arange(4, dtype=np.float32).reshape(2, 2)
    with tf.Session() as session:
        first, again = (session.run(tensor, {"fed:0": feed}) for _ in range(2))
        twice = session.run([tensor, tf.identity(tensor)], {"fed:0": feed})
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert not np.shares_memory(first, feed)
    assert not np.shares_memory(first, again)
    assert not np.shares_memory(*twice)
    first += 100.0
    np.testing.assert_array_equal(twice[0], again)


def test_rank_zero_comes_out_as_a_scalar(fresh_graph, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [])
        y = x * 2.0
    with tf.Session() as session:
        result = session.run(y, {x: 3.0})
    assert type(result) is np.float32
    assert result == 6.0


REUSE = [
    # (what is built from x, how often memory of x's size is asked for beyond what is fetched)
    ("a chain of ufuncs", lambda x: tf.tanh(x * 2.0 + 1.0) - 3.0),
    ("a value read twice", lambda x: (x * 2.0) + tf.tanh(x * 2.0)),
    ("a view that lives on", lambda x: _view_and_more(x)),
    ("an identity that lives on", lambda x: _identity_and_more(x)),
    ("a fetched value", lambda x: _fetched_and_more(x)),
    ("a broadcast", lambda x: tf.reduce_sum(x * 2.0, 0, keepdims=True) + x[:1] * 3.0),
]


def _view_and_more(x):
    doubled = x * 2.0
    turned = tf.transpose(doubled)
    return [tf.negative(doubled), turned]


def _identity_and_more(x):
    doubled = x * 2.0
    same = tf.identity(doubled)
    return [tf.negative(doubled), same]


def _fetched_and_more(x):
    doubled = x * 2.0
    return [doubled, tf.negative(doubled)]


@pytest.mark.parametrize("static", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(("name", "build"), REUSE, ids=[row[0] for row in REUSE])
def test_writing_over_dying_values_changes_no_answer(fresh_graph, name, build, static):
    x = tf.placeholder(tf.float32, [3, 4] if static else [None, 4])
    built = build(x)
    feed = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    before = feed.copy()
    with tf.device("/gpu:0"):
        again = build(x)
    with tf.Session() as session:
        found, wanted = session.run([built, again], {x: feed})
    np.testing.assert_array_equal(feed, before)
    pairs = zip(found, wanted, strict=True) if isinstance(built, list) else [(found, wanted)]
    for mine, other in pairs:
        np.testing.assert_array_equal(mine, other)


def test_a_chain_of_ufuncs_writes_over_its_own_values(fresh_graph):
    x = tf.placeholder(tf.float32, [3, 4])
    with tf.device("/cpu:0"):
        y = tf.tanh(x * 2.0 + 1.0) - 3.0
    with tf.Session() as session:
        (segment,) = _plan(session, [y], [x]).segments
    calls = [line for line in segment.source.splitlines() if " = k" in line]
    assert [f", {call.split()[0]})" in call for call in calls] == [False, True, True, True]


def test_what_runs_on_a_device_runs_while_it_is_current(fresh_graph, monkeypatch):
    """Kernels, and constants made while a plan is compiled: else they go to another stream."""
    current = []

    @contextmanager
    def activate(self):
        current.append(self)
        with entered(self):
            yield
        current.pop()

    def count(self, what, *amount):
        if what in ("uploads", "reads"):
            assert current[-1:] == [self], f"{what} while {self} is not current"
            seen.append(what)
        counted(self, what, *amount)

    def call(device, *arguments):
        assert current[-1:] == [device], f"a launch while {device} is not current"
        seen.append("launches")
        return original(device, *arguments)

    seen, original = [], simulated_array.call
    entered, counted = SimulatedDevice.activate, SimulatedDevice._count
    monkeypatch.setattr(simulated_array, "call", call)
    monkeypatch.setattr(simulated_numpy, "call", call)
    monkeypatch.setattr(SimulatedDevice, "activate", activate)
    monkeypatch.setattr(SimulatedDevice, "_count", count)
    with tf.device("/gpu:1"):
        v = tf.Variable([1.0, 2.0])
        x = tf.placeholder(tf.float32, [2])
        y = tf.reduce_sum(v * tf.constant([3.0, 4.0]) + x) * tf.random_uniform([], seed=1)
    with tf.Session() as session:
        session.run(v.initializer)
        session.run(y, {x: [1.0, 2.0]})
    assert {"launches", "uploads"} <= set(seen)


def _two_queues():
    queues = [tf.FIFOQueue(10, tf.int32, [()], name=name) for name in ("first", "second")]
    return [queue.dequeue() for queue in queues], queues


def _handed_on():
    (first, _), (_, second) = _two_queues()
    return second.enqueue(first * 2)


def _ordered():
    (first, _), (_, second) = _two_queues()
    with tf.control_dependencies([first]):
        return second.dequeue()


def _chosen():
    (first, _), (_, second) = _two_queues()
    return tf.cond(first > 0, lambda: second.dequeue(), lambda: first)


def _read():
    queue = tf.FIFOQueue(10, tf.string, [()])
    key, value = tf.IdentityReader().read(queue)
    return queue.enqueue(key + value)


def _apart():
    (first, second), _ = _two_queues()
    return first + second


def _both_ends():
    (first, _), (queue, _) = _two_queues()
    return tf.group(first, queue.enqueue(1))


@pytest.mark.parametrize(
    ("build", "is_one"),
    [
        (_handed_on, True),
        (_ordered, True),
        (_chosen, True),
        (_read, True),
        (_apart, False),
        (_both_ends, False),
    ],
)
def test_waits_are_a_part_of_one_function_unless_two_may_wait_at_once(fresh_graph, build, is_one):
    fetch = build()
    with tf.Session() as session:
        tensors, targets = ((fetch,), ()) if isinstance(fetch, tf.Tensor) else ((), (fetch,))
        plan = session._engine.plan(Signature(tensors, targets, (), ()))
        assert len(plan.segments) == 1 if is_one else len(plan.segments) > 1
