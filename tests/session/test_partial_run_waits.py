"""Partial runs that wait: for operations that block, for each other's feeds, and for an end."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.op_def import define_op
from tfsession.core.pending import Pending
from tfsession.core.rules import kernel, no_gradient
from tfsession.graph.create import create_op
from tfsession.runtime.execution import Execution

define_op("PartialTestValve", inputs=["x: float"], outputs=["y: float"], stateful=True)
no_gradient("PartialTestValve")
define_op("PartialTestNap", inputs=["x: float"], outputs=["y: float"], stateful=True)
no_gradient("PartialTestNap")

nap = SimpleNamespace(sleep=time.sleep)
_shut: dict[str, tuple[Pending, np.ndarray]] = {}  # by node


def _give_up(pending):
    pending.fail(tf.errors.CancelledError(None, None, "The valve was given up."))


@kernel("PartialTestValve", device="CPU", stateful=True, blocking=True)
def valve_kernel(ctx, x):
    pending = Pending(_give_up)
    _shut[ctx.name] = pending, x
    return pending


@kernel("PartialTestNap", device="CPU", stateful=True)
def nap_kernel(ctx, x):
    nap.sleep(0.02)
    return x


def valve(x, name):
    """What gives x, but only once it is opened."""
    return create_op("PartialTestValve", [x], name=name)


def until(condition):
    """Wait for what another thread is about to do."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def open_valve(name):
    """Let the operation end, once it has begun."""
    until(lambda: name in _shut)
    pending, x = _shut.pop(name)
    assert pending.succeed(x)


@pytest.fixture
def valves(fresh_graph, device):
    """Sums of a feed and what comes through a valve: sum = a + v(b), more = a + w(b); v and w."""
    _shut.clear()
    with tf.device(device):
        a, b = (tf.placeholder(tf.float32, [], name=name) for name in "ab")
        for name, total in (("v", "sum"), ("w", "more")):
            with tf.device("/cpu:0"):
                through = valve(b, name)
            tf.add(a, through, name=total)
    return a, b


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def waiting(session):
    """How many calls wait."""
    return sum(len(run._waiting) for run in session._partial_runs._runs.values())


def test_a_fetch_waits_for_what_blocks(valves, pool):
    a, b = valves
    with tf.Session() as session:
        handle = session.partial_run_setup(["sum:0"], [a, b])
        session.partial_run(handle, [], {b: 2.0})
        call = pool.submit(session.partial_run, handle, "sum:0", {a: 1.0})
        until(lambda: waiting(session))
        assert not call.done()
        open_valve("v")
        assert call.result(30) == 3.0
        assert not session._partial_runs._runs


def test_what_comes_when_nobody_waits_goes_on_by_itself(valves):
    _, b = valves
    v = tf.Variable(1.0)
    added = tf.assign_add(v, tf.get_default_graph().get_tensor_by_name("v:0"))
    with tf.Session() as session:
        session.run(v.initializer)
        handle = session.partial_run_setup([added.op, "more:0"], [b, "a:0"])
        session.partial_run(handle, [], {b: 2.0})
        open_valve("v")
        until(lambda: session.run(v) == 3.0)


def test_threads_that_wait_leave_the_machine_alone(valves, pool, monkeypatch):
    """Each arrival wakes one of them, which wakes those that are served by it."""
    a, b = valves
    steps = []
    go_on = Execution.go_on
    monkeypatch.setattr(Execution, "go_on", lambda *args: (steps.append(1), go_on(*args))[1])
    with tf.Session() as session:
        handle = session.partial_run_setup(["sum:0", "more:0", "v"], [a, b])
        first = pool.submit(session.partial_run, handle, "sum:0", {a: 1.0, b: 2.0})
        until(lambda: waiting(session) == 1)
        second = pool.submit(session.partial_run, handle, "more:0")
        until(lambda: waiting(session) == 2)
        before = len(steps)
        open_valve("w")
        assert second.result(30) == 3.0
        until(lambda: waiting(session) == 1)
        assert len(steps) - before <= 3
        open_valve("v")
        assert first.result(30) == 3.0
    assert len(steps) <= 9


def test_the_last_call_ends_with_the_step(valves, pool):
    """As a run ends with all its targets; not before a call that is still under way, though."""
    a, b = valves
    with tf.Session() as session:
        handle = session.partial_run_setup(["v", "more:0"], [a, b])
        more = pool.submit(session.partial_run, handle, "more:0", {a: 1.0, b: 2.0})
        until(lambda: waiting(session))
        open_valve("w")
        until(lambda: session._partial_runs._runs[handle]._execution.has(0))
        time.sleep(0.02)
        assert not more.done()
        open_valve("v")
        assert more.result(30) == 3.0

        handle = session.partial_run_setup(["sum:0"], [a, b, "w:0"])
        total = pool.submit(session.partial_run, handle, "sum:0", {a: 1.0, b: 2.0})
        until(lambda: waiting(session))
        session.partial_run(handle, [], {"w:0": 5.0})  # the last one, of one that waits
        with pytest.raises(tf.errors.InvalidArgumentError, match="has already been fed"):
            session.partial_run(handle, [], {"w:0": 5.0})
        open_valve("v")
        assert total.result(30) == 3.0
        assert not session._partial_runs._runs


ENDS = [
    # (how, the error of who waits, and of the next call under the handle)
    ("close", tf.errors.CancelledError, RuntimeError),
    ("reset", tf.errors.CancelledError, tf.errors.CancelledError),
    ("fail", tf.errors.DataLossError, tf.errors.InvalidArgumentError),
    ("feed", tf.errors.InvalidArgumentError, tf.errors.InvalidArgumentError),
]


@pytest.mark.parametrize(("how", "error", "next_error"), ENDS, ids=[row[0] for row in ENDS])
def test_an_end_reaches_all_who_wait(valves, pool, how, error, next_error):
    a, b = valves
    x = tf.placeholder(tf.float32, name="x")
    bad = tf.add(x, [1.0, 2.0], name="bad")
    session = tf.Session()
    handle = session.partial_run_setup(["sum:0", "more:0", bad], [a, b, x])
    calls = [pool.submit(session.partial_run, handle, "sum:0", {a: 1.0, b: 2.0})]
    until(lambda: waiting(session) == 1)
    calls.append(pool.submit(session.partial_run, handle, "more:0"))
    until(lambda: waiting(session) == 2)
    if how == "close":
        session.close()
    elif how == "reset":
        tf.Session.reset("")
    elif how == "fail":
        _shut["v"][0].fail(tf.errors.DataLossError(None, None, "broken"))
    else:
        with pytest.raises(error, match="Incompatible shapes"):
            session.partial_run(handle, bad, {x: [1.0, 2.0, 3.0]})
    for call in calls:
        with pytest.raises(error):
            call.result(30)
    assert all(pending.is_done for pending, _ in _shut.values())
    with pytest.raises(next_error):
        session.partial_run(handle, "sum:0")
    if how in ("fail", "feed"):
        assert session.run(bad, {x: 1.0}).tolist() == [2.0, 3.0]
    session.close()


def test_ctrl_c_ends_a_call_that_waits(valves, pool, ctrl_c):
    a, b = valves
    with tf.Session() as session:
        handle = session.partial_run_setup(["sum:0", "more:0"], [a, b])
        session.partial_run(handle, [], {a: 1.0, b: 2.0})
        other = pool.submit(session.partial_run, handle, "more:0")
        until(lambda: waiting(session) == 1)

        def interrupt():
            until(lambda: waiting(session) == 2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.partial_run(handle, "sum:0")
        with pytest.raises(tf.errors.CancelledError):
            other.result(30)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Must run 'setup'"):
            session.partial_run(handle, "sum:0")
        assert all(pending.is_done for pending, _ in _shut.values())
        assert session.run(a + 1.0, {a: 1.0}) == 2.0


def test_closing_does_not_wait_for_calls_at_work(valves, pool, monkeypatch):
    """They end those that wait, once they look up."""
    a, b = valves
    x = tf.placeholder(tf.float32, [], name="x")
    y = create_op("PartialTestNap", [x])
    inside, woken = threading.Event(), threading.Event()
    monkeypatch.setattr(nap, "sleep", lambda seconds: (inside.set(), woken.wait(30)))
    session = tf.Session()
    handle = session.partial_run_setup(["sum:0", "more:0", y], [a, b, x])
    waits = pool.submit(session.partial_run, handle, "sum:0", {a: 1.0, b: 2.0})
    until(lambda: waiting(session))
    works = pool.submit(session.partial_run, handle, y, {x: 1.0})
    assert inside.wait(30)
    session.close()
    assert not works.done()
    woken.set()
    for call in (works, waits):
        with pytest.raises(tf.errors.CancelledError):
            call.result(30)
    assert all(pending.is_done for pending, _ in _shut.values())


@pytest.mark.parametrize("at_setup", [True, False])
def test_ctrl_c_within_an_operation(fresh_graph, monkeypatch, at_setup):
    x = tf.placeholder(tf.float32, [], name="x")
    y = create_op("PartialTestNap", [tf.constant(1.0) if at_setup else x])

    def interrupt(seconds):
        raise KeyboardInterrupt

    with tf.Session() as session:
        with monkeypatch.context() as patch:
            patch.setattr(nap, "sleep", interrupt)
            if not at_setup:
                handle = session.partial_run_setup(y, x)
            with pytest.raises(KeyboardInterrupt):
                if at_setup:
                    session.partial_run_setup(y, x)
                else:
                    session.partial_run(handle, y, {x: 1.0})
        assert not session._partial_runs._runs
        assert session.run(y, {x: 1.0}) == 1.0


def test_a_timeout_ends_the_run(valves):
    a, b = valves
    late = tf.placeholder(tf.float32, [], name="late")
    naps = late
    for _ in range(50):
        naps = create_op("PartialTestNap", [naps])
    with tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=60)) as session:
        handle = session.partial_run_setup(["sum:0", "more:0"], [a, b])
        session.partial_run(handle, [], {a: 1.0, b: 2.0})
        with pytest.raises(tf.errors.DeadlineExceededError, match="Timed out waiting"):
            session.partial_run(handle, "sum:0")
        with pytest.raises(tf.errors.InvalidArgumentError, match="Must run 'setup'"):
            session.partial_run(handle, "more:0")
        assert all(pending.is_done for pending, _ in _shut.values())
        # So does an operation after which there is no more time.
        handle = session.partial_run_setup([naps], [late])
        with pytest.raises(tf.errors.DeadlineExceededError, match="Timed out waiting"):
            session.partial_run(handle, naps, {late: 1.0})


def test_each_call_has_a_time_of_its_own(fresh_graph):
    a, b = (tf.placeholder(tf.float32, []) for _ in range(2))
    total = a
    for _ in range(4):
        total = total + b
    with tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=800)) as session:
        handle = session.partial_run_setup(total, [a, b])
        session.partial_run(handle, [], {b: 1.0})
        time.sleep(0.9)
        assert session.partial_run(handle, total, {a: 1.0}) == 5.0


def test_a_pool_of_one_thread(valves, pool):
    a, b = valves
    with tf.Session(config=tf.ConfigProto(inter_op_parallelism_threads=1)) as session:
        handle = session.partial_run_setup(["sum:0", "more:0"], [a, b])
        call = pool.submit(session.partial_run, handle, "sum:0", {a: 1.0, b: 2.0})
        until(lambda: waiting(session))
        assert session.run(a + 1.0, {a: 1.0}) == 2.0
        open_valve("v")
        assert call.result(30) == 3.0
        open_valve("w")
        assert session.partial_run(handle, "more:0") == 3.0


def test_many_threads_feed_and_fetch_one_run(fresh_graph, device, pool):
    """Every tensor by another thread, in any order: calls that come too early are refused."""
    count = 24
    with tf.device(device):
        feeds = [tf.placeholder(tf.float32, [2]) for _ in range(count)]
        totals = [feeds[0]]
        for feed in feeds[1:]:
            totals.append(totals[-1] + feed)
    wanted = np.cumsum(np.arange(count))

    def feed(i):
        session.partial_run(handle, [], {feeds[i]: [i, i]})

    def fetch(i):
        while True:
            try:
                return session.partial_run(handle, totals[i]).tolist()
            except tf.errors.InvalidArgumentError as error:
                assert "can't be computed" in error.message
                time.sleep(0)

    with tf.Session() as session:
        for _ in range(5):
            handle = session.partial_run_setup(totals[1:], feeds)
            fetched = [pool.submit(fetch, i) for i in range(1, 5)]
            fed = [pool.submit(feed, i) for i in range(count)]
            for call in fed:
                call.result(30)
            fetched += [pool.submit(fetch, i) for i in range(5, count)]
            for i, call in enumerate(fetched, start=1):
                assert call.result(30) == [wanted[i]] * 2
            assert not session._partial_runs._runs


def test_closing_while_calls_come_and_go(fresh_graph, device, pool):
    """Nothing but an error of a closed session, and nothing is left behind."""
    with tf.device(device):
        a = tf.placeholder(tf.float32, [])
        b = a + 1.0
    expected = (RuntimeError, tf.errors.CancelledError)
    for _ in range(10):
        session = tf.Session()
        begun = threading.Barrier(5)

        def work(session=session, begun=begun):
            session.run(b, {a: 0.0})
            begun.wait(30)
            try:
                while True:
                    handle = session.partial_run_setup(b, a)
                    assert session.partial_run(handle, b, {a: 1.0}) == 2.0
            except expected as error:
                return type(error)

        calls = [pool.submit(work) for _ in range(4)]
        begun.wait(30)
        session.close()
        assert {call.result(30) for call in calls} <= set(expected)
        assert not session._partial_runs._runs


def test_a_queue_stays_whole_when_a_wait_at_it_ends(fresh_graph, device, pool):
    with tf.device("/cpu:0"):
        queue = tf.FIFOQueue(3, tf.float32, [[]])
        taken = queue.dequeue()
    with tf.device(device):
        a = tf.placeholder(tf.float32, [])
        total = taken + a
    put = queue.enqueue([a])
    with tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=500)) as session:
        handle = session.partial_run_setup(total, a)  # the dequeue waits from now on
        with pytest.raises(tf.errors.DeadlineExceededError):
            session.partial_run(handle, total, {a: 1.0})
        session.run(put, {a: 5.0})
        assert session.run(queue.size()) == 1  # nobody was there to take it
        handle = session.partial_run_setup([total, put], a)
        assert session.partial_run(handle, total, {a: 2.0}) == 7.0
        assert session.run(taken) == 2.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_goes_on_with_what_was_its_own(valves, pool):
    """But not where another thread has a call under way: its values went to no one."""
    a, b = valves
    with tf.Session() as session:
        own = session.partial_run_setup("sum:0", [a, "v:0"])
        shared = session.partial_run_setup(["more:0", "sum:0"], [a, b])
        call = pool.submit(session.partial_run, shared, "more:0", {a: 1.0, b: 2.0})
        until(lambda: waiting(session))
        child = os.fork()
        if not child:
            code = 1
            signal.alarm(30)
            with suppress(BaseException):
                assert session.partial_run(own, "sum:0", {a: 1.0, "v:0": 2.0}) == 3.0
                with pytest.raises(tf.errors.CancelledError):
                    session.partial_run(shared, "sum:0")
                session.close()
                code = 0
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        open_valve("w")
        assert call.result(30) == 3.0
