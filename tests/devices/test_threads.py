"""Blocks of work on the threads of the host: all of them run once, whoever runs them."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.devices import threads
from tfsession.devices.blas import _controls
from tfsession.devices.threads import (
    blas_threads_for,
    block_rows,
    run_blocks,
    this_thread,
    write_blocks,
)


@pytest.fixture
def many(monkeypatch):
    """A machine of eight cores, as far as the pool knows."""
    monkeypatch.setattr(threads, "_cores", lambda: set(range(8)))
    monkeypatch.setattr(threads, "_getcpu", lambda: None)
    pool = threads._Pool()
    monkeypatch.setattr(threads, "_pool", pool)
    yield
    for _ in pool._threads:
        pool._jobs.put(None)


@given(st.integers(0, 300), st.integers(1, 40))
def test_blocks_cover_all_rows_once(rows, step):
    seen = np.zeros(rows, int)

    def task(start, stop):
        assert start % step == 0
        assert stop == min(start + step, rows)
        seen[start:stop] += 1

    run_blocks(np, rows, step, task)
    assert (seen == 1).all()


def test_several_threads_work_and_the_caller_is_one(many):
    together = threading.Barrier(4, timeout=20)
    workers = set()

    def task(start, stop):
        together.wait()
        workers.add(threading.get_ident())

    run_blocks(np, 4, 1, task)
    assert len(workers) == 4
    assert threading.get_ident() in workers


def test_a_limit_holds_and_ends(many, monkeypatch):
    workers = set()

    def task(start, stop):
        workers.add(threading.get_ident())
        time.sleep(0.001)

    monkeypatch.setattr(this_thread, "limit", 1)
    run_blocks(np, 20, 1, task)
    assert workers == {threading.get_ident()}
    monkeypatch.setattr(this_thread, "limit", 3)
    run_blocks(np, 60, 1, task)
    assert len(workers) <= 3
    monkeypatch.setattr(this_thread, "limit", 0)
    run_blocks(np, 60, 1, task)
    assert len(workers) > 1


def test_what_a_task_cuts_into_blocks_stays_on_its_thread(many):
    own = []

    def outer(start, stop):
        here = threading.get_ident()
        run_blocks(np, 5, 1, lambda i, j: own.append(threading.get_ident() == here))

    run_blocks(np, 6, 1, outer)
    assert own == [True] * 30


def test_the_first_failure_comes_out_and_the_pool_works_on(many):
    def task(start, stop):
        raise ValueError(f"block {start}")

    for _ in range(20):
        with pytest.raises(ValueError, match="block"):
            run_blocks(np, 9, 1, task)
    done = []
    run_blocks(np, 9, 1, lambda i, j: done.append(i))
    assert sorted(done) == list(range(9))


def test_nobody_works_on_when_the_caller_is_back(many):
    """Not even after an interruption: the arrays belong to the caller again."""
    running = []

    def task(start, stop):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        running.append(start)
        time.sleep(0.02)
        running.remove(start)

    for _ in range(10):
        with pytest.raises(KeyboardInterrupt):
            run_blocks(np, 8, 1, task)
        assert not running


def test_who_has_come_works_though_the_caller_lets_nobody_in_any_more():
    class Lock:
        """As if the caller took the task away as soon as the lock is free."""

        def __enter__(self):
            pass

        def __exit__(self, *exception):
            job._task = None

    done = []
    job = threads._Job(lambda i, j: done.append(i), 2, 1)
    job._lock = Lock()
    job.assist()
    assert (done, job._inside) == ([0, 1], 0)
    job.assist()
    assert done == [0, 1]


def test_jobs_of_many_callers_do_not_wait_for_each_other(many):
    results = []

    def caller(number):
        for _ in range(20):
            out = np.zeros(100, int)
            run_blocks(np, 100, 3, lambda i, j, out=out: out[i:j].fill(number))
            results.append(bool((out == number).all()))

    callers = [threading.Thread(target=caller, args=(n,)) for n in range(1, 9)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(30)
    assert results == [True] * 160


def test_tasks_see_the_callers_settings_of_floats(many):
    seen = []
    with np.errstate(divide="raise"):
        run_blocks(np, 50, 1, lambda i, j: seen.append(np.geterr()["divide"]))
    assert set(seen) == {"raise"}


def test_blas_has_one_thread_within_blocks():
    controls = _controls()
    if controls is None:
        pytest.skip("nobody knows this BLAS")
    before, seen = controls.get(), []
    run_blocks(np, 50, 1, lambda i, j: seen.append(controls.get()))
    assert set(seen) == {1}
    assert controls.get() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_child_has_threads_of_its_own():
    code = """
import os, sys, threading, numpy as np
from tfsession.devices import threads
threads._cores = lambda: {0, 1, 2}
threads._getcpu = lambda: None
def works():
    together, seen = threading.Barrier(3, timeout=20), set()
    def task(i, j):
        together.wait(); seen.add(threading.get_ident())
    threads.run_blocks(np, 3, 1, task)
    return len(seen) == 3
assert works()
child = os.fork()
if not child:
    os._exit(0 if works() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_a_block_fits_the_cache_and_has_a_row():
    assert block_rows(1024) * 1024 == threads.BLOCK_BYTES
    assert block_rows(10**9) == 1
    assert block_rows(0) >= 1


def test_a_session_limits_its_threads_and_not_its_results(many, monkeypatch):
    asked = []
    help_ = threads._Pool.help
    monkeypatch.setattr(
        threads._Pool, "help", lambda pool, job, n: (asked.append(n), help_(pool, job, n))
    )
    a, b = (np.random.default_rng(i).random((768, 768), np.float32) for i in (0, 1))
    found = []
    for limit in (0, 1, 3):
        asked.clear()
        with tf.Graph().as_default(), tf.device("/cpu:0"):
            product = tf.matmul(tf.constant(a), tf.Variable(b, name="b"))
            config = tf.ConfigProto(intra_op_parallelism_threads=limit)
            with tf.Session(config=config) as session:
                session.run(tf.global_variables_initializer())
                found.append(session.run(product))
        assert this_thread.limit == 0
        assert all(n < limit for n in asked) if limit else max(asked) >= 3
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0], a @ b, rtol=1e-5)


def test_lapack_in_a_block_leaves_blas_with_one_thread():
    controls = _controls()
    if controls is None:
        pytest.skip("nobody knows this BLAS")
    seen = []

    def task(start, stop):
        with blas_threads_for(10):
            pass
        seen.append(controls.get())

    run_blocks(np, 20, 1, task)
    assert set(seen) == {1}


@pytest.mark.parametrize("value", ["other", "itself", "reversed", "overlaps", "strided", "number"])
def test_what_is_written_in_blocks_is_what_is_written_at_once(value, many):
    memory = np.random.default_rng(0).random(1_200_001, np.float32)
    shape = (1000, 1200)
    array = memory[:-1].reshape(shape)
    given = {
        "other": np.random.default_rng(1).random(shape, np.float32),
        "itself": array,
        "reversed": array[::-1],
        "overlaps": memory[1:].reshape(shape),
        "strided": np.random.default_rng(1).random((1200, 1000), np.float32).T,
        "number": np.float32(2),
    }[value]
    expected = array - given
    write_blocks(lambda there, by: np.subtract(there, by, out=there), array, given)
    np.testing.assert_array_equal(array, expected)


def test_variables_are_written_in_blocks(many, monkeypatch):
    asked = []
    help_ = threads._Pool.help
    monkeypatch.setattr(
        threads._Pool, "help", lambda pool, job, n: (asked.append(n), help_(pool, job, n))
    )
    start, step = (np.random.default_rng(i).random((1000, 1200), np.float32) for i in (0, 1))
    with tf.Graph().as_default(), tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, start.shape)
        variable = tf.Variable(x, name="v")
        with tf.Session() as session:
            session.run(variable.initializer, {x: start})
            del asked[:]
            for change, expected in ((tf.assign_sub, start - step), (tf.assign, step)):
                session.run(change(variable, x).op, {x: step})
                np.testing.assert_array_equal(session.run(variable), expected)
            assert len(asked) == 2
