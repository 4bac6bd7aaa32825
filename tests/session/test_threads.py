"""Many threads at once: one session, a growing graph, shared callables, two sessions on a graph.

`TFSESSION_TEST_THREADS=64x10000` makes as many threads run a growing graph as often.
"""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tfsession as tf

THREADS = 16
RUNS = 300
GROWING = tuple(map(int, os.environ.get("TFSESSION_TEST_THREADS", "16x300").split("x")))
SOFT = tf.ConfigProto(allow_soft_placement=True)


@pytest.fixture(autouse=True)
def often():
    """Switch threads often, so that a race has many chances."""
    before = sys.getswitchinterval()
    if GROWING[0] <= 16:  # of many more, those that wait to be switched to would do most of it
        sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*works):
    """Run the functions, each in a thread of its own, all from one moment on."""
    barrier = threading.Barrier(len(works))

    def run(work):
        barrier.wait(30)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(run, work) for work in works]
        return [future.result(60 * GROWING[1] // 300) for future in futures]


class Arithmetic:
    """Small steps of several signatures with answers that are known."""

    def __init__(self, device):
        with tf.device(device):
            self.a = tf.placeholder(tf.float32, [None], name="a")
            self.b = tf.placeholder(tf.float32, [None], name="b")
            self.total = self.a + self.b
            self.product = tf.multiply(self.a, self.b, name="product")
            self.dot = tf.reduce_sum(self.product)
            self.fixed = tf.constant([3.0, 4.0]) * 2.0

    def check(self, session, number):
        """One run, of a signature that depends on the number."""
        x, y = np.float32([number, 1]), np.float32([2, number])
        kind = number % 6
        if kind == 0:
            assert session.run(self.total, {self.a: x, self.b: y}).tolist() == [
                number + 2,
                number + 1,
            ]
        elif kind == 1:
            assert session.run([self.dot, self.dot.op], {"b:0": y, "a:0": x}) == [
                3.0 * number,
                None,
            ]
        elif kind == 2:
            found = session.run(
                {"p": self.product, "n": (self.a, self.fixed)}, {self.a: x, self.b: y}
            )
            assert found["p"].tolist() == [2 * number, number]
            assert found["n"][0].tolist() == x.tolist()
            assert found["n"][1].tolist() == [6.0, 8.0]
        elif kind == 3:
            assert session.run(self.dot, {self.product: x}) == number + 1
        elif kind == 4:
            found = session.run(self.fixed)
            assert found.tolist() == [6.0, 8.0]
            found[:] = -1  # the caller's own
        else:
            with pytest.raises(tf.errors.InvalidArgumentError, match="placeholder tensor 'b'"):
                session.run(self.total, {self.a: x})


def test_steps_while_the_graph_grows(fresh_graph, device):
    steps = Arithmetic(device)
    done = threading.Event()

    threads, runs = GROWING

    def run(seed):
        for number in range(seed, seed + runs):
            steps.check(session, number)

    def grow():
        """Add operations, and run each: until the other threads are done."""
        with fresh_graph.as_default(), tf.device(device):
            value, count = tf.constant(0.0), 0
            while count < 20 or not done.wait(0.002):
                value, count = value + 1.0, count + 1
                if count % 50 == 0:  # a longer chain would take its time
                    value = tf.constant(float(count))
                assert session.run(value) == count
        return count

    def run_all():
        try:
            together(*(lambda seed=seed: run(seed) for seed in range(threads)))
        finally:
            done.set()

    with tf.Session(config=SOFT) as session:
        assert together(run_all, grow)[1] >= 20


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_updates_add_up(fresh_graph, device, use_resource):
    with tf.device(device):
        table = tf.Variable(np.zeros([4, 3]), use_resource=use_resource, dtype=tf.float64)
        count = tf.Variable(0, use_resource=use_resource, dtype=tf.int64)
        row = tf.placeholder(tf.int32, [])
        moves = [
            tf.assign_add(count, 1).op,
            tf.scatter_add(table, tf.reshape(row, [1]), tf.ones([1, 3], tf.float64)).op,
            table.assign_sub(tf.fill([4, 3], tf.constant(0.5, tf.float64))).op,
        ]
        step = tf.group(*moves)
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())

        def run(seed):
            for number in range(RUNS // 2):
                session.run(step, {row: (seed + number) % 4})

        together(*(lambda seed=seed: run(seed) for seed in range(THREADS)))
        steps = THREADS * RUNS // 2
        assert session.run(count) == steps
        assert session.run(table).tolist() == [[steps / 4 - steps / 2] * 3] * 4


def test_a_training_step_in_many_threads_loses_nothing(fresh_graph, device):
    """Each step of a loss that is linear moves the variable by the same."""
    with tf.device(device):
        w = tf.Variable(np.zeros(5), dtype=tf.float64)
        step = tf.train.get_or_create_global_step()
        loss = tf.reduce_sum(w * [1.0, 2.0, 3.0, 4.0, 5.0])
        train = tf.train.GradientDescentOptimizer(0.25).minimize(loss, global_step=step)
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        call = session.make_callable([train, loss])

        def run():
            for _ in range(RUNS // 4):
                call()

        together(*[run] * THREADS)
        steps = THREADS * (RUNS // 4)
        assert session.run(step) == steps
        assert session.run(w).tolist() == [-0.25 * steps * k for k in range(1, 6)]


def test_readers_see_whole_values(fresh_graph, device):
    """A resource variable's value is a snapshot: assignments show as a whole or not at all."""
    with tf.device(device):
        v = tf.Variable(np.zeros(2000), use_resource=True)
        bump = v.assign_add(tf.ones([2000], tf.float64)).op
        spread = tf.reduce_max(v) - tf.reduce_min(v.read_value())
        value = v.read_value()
        of_one = tf.reduce_max(value) - tf.reduce_min(value)
    with tf.Session(config=SOFT) as session:
        session.run(v.initializer)

        def write():
            for _ in range(RUNS):
                session.run(bump)

        def read():
            for _ in range(RUNS):
                whole, difference = session.run([value, of_one])
                assert difference == 0
                assert (whole == whole[0]).all()
                assert abs(session.run(spread)) <= 4 * RUNS

        together(*[write] * 4, *[read] * 4)
        assert session.run(v).tolist() == [4.0 * RUNS] * 2000


def test_a_callable_is_shared(fresh_graph, device):
    steps = Arithmetic(device)
    with tf.Session(config=SOFT) as session:
        product = session.make_callable([steps.product, steps.dot], [steps.a, steps.b])
        fixed = session.make_callable(steps.fixed)

        def run(seed):
            for number in range(seed, seed + RUNS):
                found, dot = product([number, 1.0], np.float32([2, seed]))
                assert found.tolist() == [2 * number, seed]
                assert dot == 2 * number + seed
                assert fixed().tolist() == [6.0, 8.0]

        together(*(lambda seed=seed: run(seed) for seed in range(THREADS)))


def test_two_sessions_share_a_graph_but_no_state(fresh_graph, device):
    with tf.device(device):
        v = tf.Variable(0.0, dtype=tf.float64)
        amount = tf.placeholder(tf.float64, [])
        move = tf.assign_add(v, amount).op
        initialize = tf.global_variables_initializer()
    sessions = [tf.Session(config=SOFT) for _ in range(2)]

    def run(session, by):
        for _ in range(RUNS // 2):
            session.run(move, {amount: by})

    for session in sessions:
        session.run(initialize)
    works = [
        lambda session=session, by=by: run(session, by)
        for session, by in zip(sessions, (1.0, -2.0), strict=True)
        for _ in range(THREADS // 2)
    ]
    together(*works)
    steps = THREADS // 2 * (RUNS // 2)
    assert [session.run(v) for session in sessions] == [steps, -2 * steps]
    for session in sessions:
        session.close()


def test_steps_split_over_devices(fresh_graph, device):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None])
        doubled = x * 2.0
    with tf.device(device):
        squared = tf.square(doubled)
    with tf.device("/cpu:0"):
        total = tf.reduce_sum(squared + x)
    with tf.Session(config=SOFT) as session:

        def run(seed):
            for number in range(seed, seed + RUNS):
                found = session.run([total, squared], {x: [number, 1.0]})
                assert found[0] == 4 * number**2 + number + 5
                assert found[1].tolist() == [4 * number**2, 4]

        together(*(lambda seed=seed: run(seed) for seed in range(THREADS)))


def test_closing_ends_the_steps_of_others(fresh_graph, device):
    """Steps under way end well or with an error that says why; none hangs, none is wrong."""
    steps = Arithmetic(device)
    session = tf.Session(config=SOFT)
    started = threading.Event()

    def run():
        number = 0
        try:
            while True:
                number += 6
                steps.check(session, number)
                started.set()
        except (RuntimeError, tf.errors.CancelledError) as error:
            return str(error)

    def close():
        assert started.wait(30)
        session.close()

    for text in together(*[run] * 4, close)[:-1]:
        assert "closed" in text or "cancelled" in text


def test_each_thread_has_its_own_defaults(fresh_graph):
    """Default graph, session, scopes and devices belong to a thread."""

    def build(number):
        assert tf.get_default_session() is None
        assert tf.get_default_graph() is not fresh_graph
        with tf.Graph().as_default() as graph, tf.name_scope(f"n{number}"), tf.device("/cpu:0"):
            for _ in range(50):
                value = tf.constant(float(number)) + 1.0
                with tf.Session() as session:
                    assert tf.get_default_session() is session
                    assert value.eval() == number + 1
                assert value.op.name.startswith(f"n{number}/")
        return len(graph.get_operations())

    with tf.Session(), tf.name_scope("main"):
        found = together(*(lambda n=n: build(n) for n in range(6)))
        assert tf.constant(1.0).op.name == "main/Const"
    assert found == [150] * 6


def test_one_graph_is_built_by_many_threads(fresh_graph):
    """Names stay unique, nothing is lost; scopes do not leak from thread to thread."""

    def build(number):
        with fresh_graph.as_default(), tf.name_scope("shared/"):
            return [tf.constant(float(number), name="c") * 2.0 for _ in range(100)]

    values = together(*(lambda n=n: build(n) for n in range(8)))
    ops = fresh_graph.get_operations()
    assert len({op.name for op in ops}) == len(ops) == 8 * 300
    assert [op._id for op in ops] == list(range(8 * 300))
    with tf.Session() as session:
        for number, found in enumerate(session.run(values)):
            assert found == [2.0 * number] * 100


def test_draws_are_dealt_out_among_threads(fresh_graph, device):
    """Together the threads draw what one thread would: nothing twice, nothing left out."""
    with tf.device(device):
        draw = tf.random_uniform([3], seed=7, dtype=tf.float64)
    with tf.Session(config=SOFT) as session:
        alone = [tuple(session.run(draw)) for _ in range(THREADS * 40)]
    with tf.Session(config=SOFT) as session:
        fetches = [draw, [draw], {"x": draw}, (draw, draw.op)]

        def run(seed):
            found = []
            for number in range(seed, seed + 40):
                value = session.run(fetches[number % 4])
                value = value["x"] if isinstance(value, dict) else value
                found.append(tuple(value[0] if isinstance(value, list | tuple) else value))
            return found

        shared = together(*(lambda seed=seed: run(seed) for seed in range(THREADS)))
    assert sorted(draw for found in shared for draw in found) == sorted(alone)
