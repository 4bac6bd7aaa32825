"""Ctrl-C in every situation, each with a signal of the system to this process's main thread.

`python interrupted.py WHAT` prints a line for each situation: how long after the signal
KeyboardInterrupt came out, in milliseconds. With `storm`, signals come at any moment of many short
steps, and the session must be as good as new after each. With `loading`, it comes while kernels,
gradients and late modules are loaded.
"""

import random
import runpy
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import tfsession as tf
from tfsession.core import exports, rules

ops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("waiting.py"))))
ONE = {"inter_op_parallelism_threads": 1}


def check(session, quick):
    """The session works: here, and in another thread, which no lock keeps out."""
    assert session.run(quick) == 3.0
    found = []
    thread = threading.Thread(target=lambda: found.append(session.run(quick)))
    thread.start()
    thread.join(20)
    assert found == [3.0]
    assert not ops.waits
    assert not session._engine.cancellation.waiting


def interrupt(work, begun):
    """Seconds from a signal, sent once `begun()` is there, to KeyboardInterrupt out of `work`."""
    sent = []

    def send():
        begun()
        time.sleep(0.02)
        sent.append(time.perf_counter())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        work()
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]
    finally:
        thread.join()
    raise AssertionError("not interrupted")


def situations():
    x = tf.placeholder_with_default(np.float32(2), [])
    quick, waits = x + 1.0, ops.wait(x) + 1.0
    computes = x
    for _ in range(200):
        computes = ops.pause(computes, 20)
    fed = tf.placeholder(tf.float32, [])
    partial = ops.wait(fed) + 1.0
    limit = tf.RunOptions(timeout_in_ms=60_000)
    for name, config in (("free", {}), ("one at a time", ONE)):
        session = tf.Session(config=tf.ConfigProto(**config))
        call = session.make_callable(waits)
        for what, fetch, work in (
            ("run, waiting", waits, lambda s=session: s.run(waits)),
            ("callable, waiting", waits, lambda c=call: c()),
            ("with a deadline, waiting", waits, lambda s=session: s.run(waits, options=limit)),
            ("partial run, waiting", waits, lambda s=session: s.partial_run(
                s.partial_run_setup([partial], [fed]), partial, {fed: 1.0})),
            ("run, computing", computes, lambda s=session: s.run(computes)),
            ("with a deadline, computing", computes, lambda s=session: s.run(
                computes, options=limit)),
        ):  # fmt: skip
            ops.paused.clear()
            begun = ops.until_waiting if fetch is waits else ops.paused.wait
            yield f"{name}: {what}", session, quick, work, begun
        if config:  # another thread has the place
            ops.paused.clear()
            thread = threading.Thread(target=lambda s=session: _quietly(s, computes))
            thread.start()
            ops.paused.wait()
            begun = lambda: None  # noqa: E731
            yield f"{name}: waiting for a place", None, quick, lambda s=session: s.run(quick), begun
            session.close()
            thread.join()
        session.close()


def _quietly(session, fetch):
    with suppress(tf.errors.CancelledError):
        session.run(fetch)


def storm(count):
    """Signals at random moments of steps that wait, hand over, update variables, and compute."""
    x = tf.placeholder_with_default(np.float32(2), [])
    quick = x + 1.0
    w = tf.Variable(np.zeros(4))
    loss = tf.reduce_sum(tf.matmul(tf.reshape(w, [2, 2]), tf.ones([2, 2], tf.float64)))
    train = tf.train.AdamOptimizer(0.1).minimize(loss)
    waits = ops.wait(x) + 1.0
    session = tf.Session(config=tf.ConfigProto(**ONE))
    session.run(tf.global_variables_initializer())
    limit = tf.RunOptions(timeout_in_ms=1)
    settings = np.geterr()

    def work():
        for _ in range(8):
            session.run([train, quick])
            with suppress(tf.errors.DeadlineExceededError):
                session.run(waits, options=limit)

    generator, came = random.Random(0), 0
    for _ in range(count):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-4, 1.2e-2))
                work()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            came += 1
        check(session, quick)
        assert np.geterr() == settings
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    session.run(train)
    sys.stdout.write(f"storm: {came} of {count}\n")
    assert came


def loading():
    """Ctrl-C while modules register what they hold: the next call loads them all."""

    def interrupted(module, name, calls, work):
        original, left = getattr(module, name), [calls]

        def counting(*args):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return original(*args)

        setattr(module, name, counting)
        try:
            work()
        except KeyboardInterrupt:
            return
        finally:
            setattr(module, name, original)
        raise AssertionError(f"{name} was not called {calls} times")

    w = tf.placeholder_with_default(np.float32(2), [])
    y = tf.square(w) * 3.0
    with tf.Session() as session:
        for calls in (1, 50, 200):
            interrupted(rules, "_add_kernel", calls, lambda: session.run(y))
        assert session.run(y) == 12.0
        for calls in (1, 4):
            interrupted(exports, "_show", calls, lambda: tf.gradients)
        for calls in (1, 30):
            interrupted(rules.gradients, "register", calls, lambda: tf.gradients(y, w))
        assert session.run(tf.gradients(y, w)) == [12.0]
    assert tf.train.AdamOptimizer(0.1)
    sys.stdout.write("loading: well\n")


def main(what):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if what == "loading":
        loading()
        return
    if what == "storm":
        # A timer's signal comes at any moment, and is Ctrl-C's at once.
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        storm(int(sys.argv[2]))
        return
    for name, session, quick, work, begun in situations():
        sys.stdout.write(f"{name}: {interrupt(work, begun) * 1e3:.1f} ms\n")
        if session is not None:
            check(session, quick)


if __name__ == "__main__":
    main(sys.argv[1])
