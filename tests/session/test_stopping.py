"""What ends a step: closing, a deadline, an error beside it; and what is left when it has ended."""

import gc
import runpy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tfsession as tf
from tfsession.runtime import execution, in_place

ops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("waiting.py"))))

SOFT = {"allow_soft_placement": True}
ONE = {"inter_op_parallelism_threads": 1, **SOFT}
# Of chains that are to end before their last operation.
LENGTH = 100
# Far more than any of this takes, and less than a cancelled operation is waited for.
SOON = 3.0


@pytest.fixture(autouse=True)
def nothing_waits():
    yield
    left = len(ops.waits)
    ops.waits.clear()
    assert not left


def _x(value=2.0):
    return tf.placeholder_with_default(np.float32(value), [])


def _chain(x, steps, ms=5):
    for _ in range(steps):
        x = ops.pause(x, ms)
    return x


def _error(work, *args, **kwargs):
    """The class and the last line of the message of the error with which it ends."""
    with pytest.raises(tf.errors.OpError) as caught:
        work(*args, **kwargs)
    return type(caught.value).__name__, caught.value.message.split("\n\t")[0].split("\n")[-1]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as threads:
        yield threads


# --- closing -----------------------------------------------------------------------------------

WAITS = {
    "run": lambda session, y: session.run(y),
    "a nested fetch": lambda session, y: session.run({"y": [y]}),
    "a callable": lambda session, y: session.make_callable(y)(),
    "a callable with feeds": lambda session, y: session.make_callable(y, [])(),
    "with options": lambda session, y: session.run(y, options=tf.RunOptions(timeout_in_ms=60_000)),
    "traced": lambda session, y: session.run(
        y,
        options=tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE),
        run_metadata=tf.RunMetadata(),
    ),
    "eval": lambda session, y: y.eval(session=session),
}


@pytest.mark.parametrize("config", [SOFT, ONE], ids=["free", "one at a time"])
@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_closing_ends_a_step_that_waits(fresh_graph, pool, call, config):
    y = ops.wait(_x()) + 1.0
    session = tf.Session(config=tf.ConfigProto(**config))
    step = pool.submit(_error, call, session, y)
    ops.until_waiting()
    start = time.monotonic()
    session.close()
    assert step.result(SOON) == ("CancelledError", "Wait operation was cancelled")
    assert time.monotonic() - start < SOON
    with pytest.raises(RuntimeError, match="Attempted to use a closed Session"):
        session.run(y)


def test_closing_ends_many_steps(fresh_graph, pool):
    y = ops.wait(_x())
    session = tf.Session()
    steps = [pool.submit(_error, session.run, y) for _ in range(8)]
    ops.until_waiting(8)
    session.close()
    assert {step.result(SOON)[0] for step in steps} == {"CancelledError"}


def test_closing_ends_a_partial_run(fresh_graph, pool):
    x = tf.placeholder(tf.float32, [])
    y = ops.wait(x) + 1.0
    session = tf.Session()
    handle = session.partial_run_setup([y], [x])
    step = pool.submit(_error, session.partial_run, handle, y, {x: 1.0})
    ops.until_waiting()
    session.close()
    assert step.result(SOON) == ("CancelledError", "Run call was cancelled")


TERMS = {
    "free": {},
    "one at a time": ONE,
    "with a deadline": {"operation_timeout_in_ms": 60_000},
    "on two devices": {"device_count": {"CPU": 2}},
}


@pytest.mark.parametrize("config", TERMS.values(), ids=TERMS)
def test_closing_ends_a_step_that_computes(fresh_graph, pool, config):
    """Between two operations, of the same segment or of two."""
    x = _x()
    for number in range(LENGTH):
        with tf.device(f"/cpu:{number % config.get('device_count', {}).get('CPU', 1)}"):
            x = ops.pause(x)
    session = tf.Session(config=tf.ConfigProto(**config))
    ops.paused.clear()
    ops.pauses.clear()
    step = pool.submit(_error, session.run, x)
    assert ops.paused.wait(30)
    session.close()
    assert step.result(SOON) == ("CancelledError", "Run call was cancelled")
    assert len(ops.pauses) < LENGTH


def test_what_fails_because_of_the_closing_says_so(fresh_graph, pool):
    """The variables are gone when the step comes to them."""
    v = tf.Variable(1.0)
    with tf.control_dependencies([ops.pause(_x(), 200)]):
        y = v.read_value() + 1.0
    session = tf.Session()
    session.run(v.initializer)
    ops.paused.clear()
    step = pool.submit(_error, session.run, y)
    assert ops.paused.wait(30)
    session.close()
    assert step.result(SOON) == ("CancelledError", "Run call was cancelled")


def test_closing_ends_who_waits_for_a_place(fresh_graph, pool):
    """Two sessions share a pool of one thread: while one computes, the other waits."""
    settings = tf.ConfigProto(**SOFT)
    settings.session_inter_op_thread_pool.add(num_threads=1, global_name="stopping")
    slow, quick = _chain(_x(), 200, ms=10), _x() + 1.0
    sessions = [tf.Session(config=settings) for _ in range(2)]
    ops.paused.clear()
    first = pool.submit(_error, sessions[0].run, slow)
    assert ops.paused.wait(30)
    second = pool.submit(_error, sessions[1].run, quick)
    time.sleep(0.02)
    assert not second.done()
    sessions[1].close()
    assert second.result(SOON) == ("CancelledError", "Run call was cancelled")
    assert not first.done()
    sessions[0].close()
    assert first.result(SOON) == ("CancelledError", "Run call was cancelled")


def test_one_that_does_not_hear_is_left_behind(fresh_graph, pool, monkeypatch):
    for module in (execution, in_place):
        monkeypatch.setattr(module, "PATIENCE", 0.05)
    y = ops.stubborn(_x()) + 1.0
    session = tf.Session()
    timeout = tf.RunOptions(timeout_in_ms=20)
    late = ("DeadlineExceededError", "Timed out waiting for notification")
    assert _error(session.run, y, options=timeout) == late
    step = pool.submit(_error, session.run, y)
    ops.until_waiting(2)
    session.close()
    assert step.result(SOON) == ("CancelledError", "Run call was cancelled")
    ops.waits.clear()


# --- deadlines ---------------------------------------------------------------------------------

LATE = {
    "a wait": lambda: ops.wait(_x()) + 1.0,
    "two waits": lambda: ops.wait(_x()) + ops.wait(_x()),
    "a computation": lambda: _chain(_x(), LENGTH),
    "a computation after a wait's start": lambda: ops.wait(_x()) + _chain(_x(), LENGTH),
}
CALLS = {
    "run": lambda y, ms: (
        tf.Session(),
        lambda s: s.run(y, options=tf.RunOptions(timeout_in_ms=ms)),
    ),
    "the session's own": lambda y, ms: (
        tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=ms)),
        lambda s: s.run(y),
    ),
    "one at a time": lambda y, ms: (
        tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=ms, **ONE)),
        lambda s: s.run(y),
    ),
    "a callable": lambda y, ms: (
        tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=ms)),
        lambda s: s.make_callable(y)(),
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("build", LATE.values(), ids=LATE)
def test_a_deadline_ends_a_step(fresh_graph, build, call):
    y, quick = build(), _x() + 1.0
    session, run = call(y, 30)
    with session:
        ops.pauses.clear()
        start = time.monotonic()
        late = ("DeadlineExceededError", "Timed out waiting for notification")
        assert _error(run, session) == late
        assert time.monotonic() - start >= 0.03
        assert len(ops.pauses) < LENGTH
        assert not ops.waits
        assert session.run(quick) == 3.0


def test_a_deadline_counts_the_wait_for_a_place(fresh_graph, pool):
    slow, quick = _chain(_x(), 200, ms=10), _x() + 1.0
    with tf.Session(config=tf.ConfigProto(**ONE)) as session:
        ops.paused.clear()
        first = pool.submit(_error, session.run, slow)
        assert ops.paused.wait(30)
        limit = tf.RunOptions(timeout_in_ms=20)
        late = ("DeadlineExceededError", "Timed out waiting for notification")
        assert _error(session.run, quick, options=limit) == late
        # In the caller's own thread no place is needed.
        own = tf.RunOptions(inter_op_thread_pool=-1)
        assert session.run(quick, options=own) == 3.0
        assert not first.done()
        session.close()
        assert first.result(SOON)[0] == "CancelledError"


def test_a_step_in_time_is_not_disturbed(fresh_graph, pool):
    y = ops.wait(_chain(_x(), 3)) + 1.0
    with tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=60_000)) as session:
        step = pool.submit(session.run, y)
        assert ops.go()
        assert step.result(SOON) == 6.0


def test_what_arrives_at_the_last_moment_is_not_lost(fresh_graph):
    """Again and again a value comes when time is up: it is in the result, or still outside."""
    y = ops.wait(_x())
    got = lost = 0
    with tf.Session() as session:
        for number in range(24):
            giver = threading.Timer(0.004 + number % 8 * 0.0005, ops.go)
            given = []
            giver.function = lambda given=given: given.append(ops.waits and ops.go())
            giver.start()
            try:
                session.run(y, options=tf.RunOptions(timeout_in_ms=6))
            except tf.errors.DeadlineExceededError:
                giver.join()
                lost += bool(given[0])
            else:
                giver.join()
                got += 1
                assert given[0]
    assert not lost


# --- errors beside a wait ----------------------------------------------------------------------


def test_a_failure_ends_the_waits_of_its_step(fresh_graph, device):
    with tf.device(device):
        waits = [ops.wait(_x(), name=f"w{i}") for i in range(2)]
        bad = ops.fail(_x(), name="bad")
    after = [wait + 1.0 for wait in waits]
    with tf.Session(config=tf.ConfigProto(**SOFT)) as session:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            session.run([*after, bad])
        assert caught.value.op is bad.op
        assert caught.value.message.endswith("\nfailed on purpose\n\t [[{{node bad}}]]")
        assert not ops.waits
        assert session.run(_x() + 1.0) == 3.0


def test_a_wait_that_fails_ends_the_others(fresh_graph, pool):
    first, second = ops.wait(_x(), name="w1"), ops.wait(_x(), name="w2")
    total = first + second
    with tf.Session() as session:
        step = pool.submit(_error, session.run, total)
        ops.until_waiting(2)
        ops.take()[0].fail(tf.errors.OutOfRangeError(None, None, "no more"))
        assert step.result(SOON) == ("OutOfRangeError", "no more")
        assert not ops.waits


def test_the_failure_of_one_step_leaves_others_alone(fresh_graph, pool):
    y, bad = ops.wait(_x()) + 1.0, ops.fail(_x())
    with tf.Session() as session:
        step = pool.submit(session.run, y)
        ops.until_waiting()
        assert _error(session.run, bad) == ("InvalidArgumentError", "failed on purpose")
        assert not step.done()
        assert ops.go()
        assert step.result(SOON) == 3.0


# --- waits hold up nobody ----------------------------------------------------------------------


@pytest.mark.parametrize("config", [SOFT, ONE], ids=["free", "one at a time"])
def test_a_step_that_waits_holds_up_no_other(fresh_graph, pool, config):
    blocked, free = ops.wait(_x()) + 1.0, _x() * 4.0
    with tf.Session(config=tf.ConfigProto(**config)) as session:
        step = pool.submit(session.run, blocked)
        ops.until_waiting()
        assert session.run(free) == 8.0
        call = session.make_callable(free)
        assert pool.submit(call).result(SOON) == 8.0
        assert not step.done()
        assert ops.go()
        assert step.result(SOON) == 3.0


def test_one_at_a_time_is_one_at_a_time(fresh_graph, pool):
    """Steps of several segments neither overlap nor give way to each other in between."""
    y = _x()
    for number in range(4):
        with tf.device(f"/cpu:{number % 2}"):
            y = ops.count(y)
    config = tf.ConfigProto(device_count={"CPU": 2}, **ONE)
    with tf.Session(config=config) as session:
        ops.most.clear()
        list(pool.map(lambda _: session.run(y), range(16)))
    assert set(ops.most) == {1}


# --- what is left ------------------------------------------------------------------------------


def _close(session, y, pool):
    step = pool.submit(_error, session.run, y)
    ops.until_waiting()
    session.close()
    return step.result(SOON)


def _be_late(session, y, pool):
    return _error(session.run, y, options=tf.RunOptions(timeout_in_ms=20))


def _fail(session, y, pool):
    step = pool.submit(_error, session.run, y)
    ops.take()[0].fail(tf.errors.OutOfRangeError(None, None, "no more"))
    return step.result(SOON)


ENDS = {"CancelledError": _close, "DeadlineExceededError": _be_late, "OutOfRangeError": _fail}


@pytest.mark.parametrize(("kind", "end"), ENDS.items(), ids=ENDS)
def test_an_ended_step_keeps_no_memory(fresh_graph, pool, device, kind, end):
    """What was computed before the end is gone with it; no garbage collection is needed."""
    with tf.device("/cpu:0"):
        x = tf.placeholder_with_default(np.ones(1 << 12, np.float32), [None])
        spare = ops.watched(x + 1.0)
    with tf.device(device):
        y = tf.reduce_sum(tf.tanh(x) * ops.wait(spare) + spare)
    with tf.Session(config=tf.ConfigProto(**SOFT)) as session:
        gc.disable()
        try:
            ops.seen.clear()
            assert end(session, y, pool)[0] == kind
            assert [ref() for ref in ops.seen] == [None]
            gpus = [d for d in session._engine.devices.devices if d.device_type == "GPU"]
            assert [gpu.memory_stats().in_use for gpu in gpus] == [0] * len(gpus)
        finally:
            gc.enable()


def test_failed_runs_leave_no_cycles(fresh_graph):
    """Neither errors nor the frames they came through keep each other alive."""
    x = tf.placeholder(tf.float32, [None])
    bad = ops.fail(tf.reduce_sum(x))
    with tf.device("/cpu:0"):
        split = tf.placeholder(tf.float32, [None])
    with tf.device("/gpu:0"):
        far = ops.fail(tf.reduce_sum(split))
    with tf.Session(config=tf.ConfigProto(**SOFT)) as session:
        late = tf.RunOptions(timeout_in_ms=1)
        calls = [
            lambda: session.run(bad, {x: [1.0]}),
            lambda: session.run(far, {split: [1.0]}),
            lambda: session.run(bad, {x: [1.0]}, options=tf.RunOptions(timeout_in_ms=10_000)),
            lambda: session.run(waits, options=late),
            session.make_callable(bad, [x]),
            lambda: session.run("nothing"),
            lambda: session.run(bad, {x: "text"}),
        ]
        waits = ops.wait(_x())
        gc.collect()
        gc.freeze()  # what is there needs not be looked at
        for call in calls:
            for _ in range(2):  # the first one compiles
                gc.collect()
                with suppress(Exception):
                    call([1.0]) if call is calls[4] else call()
                found = gc.collect()
            assert found == 0
