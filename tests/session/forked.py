"""Forks while other threads run steps; `python forked.py WHAT` prints a line, or fails.

Each child must answer within a second, and is killed after five.
"""

import multiprocessing
import os
import runpy
import select
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import tfsession as tf

ops = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("waiting.py"))))
ONE = tf.ConfigProto(inter_op_parallelism_threads=1, allow_soft_placement=True)


def child(work):
    """What `work()` gives in a forked child, as text, and the seconds that it took."""
    reader, writer = os.pipe()
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks with threads: that is the point
        pid = os.fork()
    if not pid:
        try:
            text = str(work())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode()[:4000])
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], 5)
    took = time.monotonic() - start
    if not ready:
        os.kill(pid, signal.SIGABRT)  # with faulthandler: tells where it hangs
    text = os.read(reader, 4096).decode() if ready else "hung"
    os.close(reader)
    os.waitpid(pid, 0)
    return text, took


class Program:
    """Steps of all kinds: on all devices and between them, updating, drawing, waiting."""

    def __init__(self):
        self.x = tf.placeholder_with_default(np.float32([2, 3]), [None])
        with tf.device("/cpu:0"):
            self.w = tf.Variable(np.zeros(2, np.float32))
            self.train = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(self.w * self.x))
            self.draw = tf.random_uniform([2], seed=1)
        with tf.device("/gpu:0"):
            far = tf.tanh(self.x) * 2.0
        with tf.device("/gpu:1"):
            self.far = tf.reduce_sum(far)
        self.quick = self.x + 1.0
        self.wait = ops.wait(tf.reduce_sum(self.x))
        self.session = tf.Session(config=ONE)
        self.session.run(tf.global_variables_initializer())

    def steps(self, session):
        """What a child does: steps in the session that it has, in a new one, and of new ops."""
        assert session.run(self.quick).tolist() == [3.0, 4.0]
        session.run([self.train, self.draw])
        assert np.isfinite(session.run([self.w, self.draw])).all()
        assert abs(session.run(self.far) - 3.918) < 1e-3
        with self.session.graph.as_default():
            more = self.quick * 2.0
        assert session.run(more).tolist() == [6.0, 8.0]
        call = session.make_callable(self.quick, [self.x])
        assert call([1.0]).tolist() == [2.0]
        # The waits of threads that are not here take nothing away.
        assert not ops.waits
        threading.Timer(0.01, ops.go).start()
        assert session.run(self.wait) == 5.0

    def in_child(self):
        self.steps(self.session)
        with tf.Session(graph=self.session.graph, config=ONE) as session:
            session.run(tf.variables_initializer(tf.global_variables()))
            self.steps(session)
        self.session.close()
        return "works"


def busy(count):
    """Forks while four threads run steps, two wait, one builds, and one makes sessions."""
    program, done = Program(), threading.Event()
    session, graph = program.session, program.session.graph

    def run(*fetches):
        while not done.is_set():
            session.run(list(fetches))

    def wait():
        with suppress(tf.errors.CancelledError):
            session.run(program.wait)

    def build():
        with graph.as_default():
            while not done.is_set():
                session.run(tf.constant(1.0) + 1.0)
                time.sleep(0.002)

    def make():
        while not done.is_set():
            with tf.Session(graph=graph, config=ONE) as other:
                other.run(program.quick)

    runs = [
        (run, program.train, program.draw),
        (run, program.far),
        (run, program.quick, program.w),
        (run, program.train),
        (wait,),
        (wait,),
        (build,),
        (make,),
    ]
    threads = [threading.Thread(target=work, args=args) for work, *args in runs]
    for thread in threads:
        thread.start()
    ops.until_waiting(2)
    try:
        longest = 0.0
        for number in range(count):
            time.sleep(0.0005 * (number % 7))
            text, took = child(program.in_child)
            assert text == "works", text
            longest = max(longest, took)
        assert len(ops.waits) == 2  # of this process; they were not taken by a child
    finally:
        done.set()
        for thread in [t for t, (work, *_) in zip(threads, runs, strict=True) if work is not wait]:
            thread.join(20)
        session.close()
        for thread in threads:
            thread.join(20)
    sys.stdout.write(f"busy: {count} children, the slowest took {longest * 1e3:.0f} ms\n")


def within():
    """A fork in the middle of a step, by its own thread; the step goes on in both."""
    program = Program()
    with tf.Session(config=ONE) as session:
        found = []
        ops.paused.set = lambda: found.append(child(lambda: session.run(program.quick).tolist()))
        assert session.run(ops.pause(tf.reduce_sum(program.x))) == 6.0
    assert found[0][0] == "[3.0, 4.0]", found
    sys.stdout.write("within: well\n")


def pool():
    """Workers of multiprocessing, forked, with a session made before."""
    PROGRAMS.append(Program())
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map(work, [[1.0], [2.0], [3.0]]) == [[2.0], [3.0], [4.0]]
    sys.stdout.write("pool: well\n")


def ahead():
    """Forks while a thread makes elements ahead; each child goes on where its parent was."""

    def slowly(value):
        time.sleep(0.001)
        return value

    dataset = tf.data.Dataset.range(300).map(lambda x: tf.py_func(slowly, [x], tf.int64))
    element = dataset.prefetch(3).make_one_shot_iterator().get_next()
    with tf.Session(config=ONE) as session:
        for number in range(40):
            assert session.run(element) == number
            if number > 20:
                expected = list(range(number + 1, number + 11))
                time.sleep(0.0003 * (number % 5))
                text, _ = child(lambda: [int(session.run(element)) for _ in range(10)])
                assert text == str(expected), (text, expected)
    sys.stdout.write("ahead: well\n")


def torn():
    """A fork in the middle of an element that takes longer than a fork waits."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(value):
        time.sleep(0.001)
        if value == 4:
            begun.set()
            go_on.wait(20)
        return value

    dataset = tf.data.Dataset.range(9).map(lambda x: tf.py_func(slowly, [x], tf.int64)).prefetch(1)
    iterator = tf.data.make_initializable_iterator(dataset)
    element = iterator.get_next()
    with tf.Session(config=ONE) as session:
        session.run(iterator.initializer)
        assert [int(session.run(element)) for _ in range(4)] == [0, 1, 2, 3]
        assert begun.wait(10)

        def in_child():
            go_on.set()
            try:
                session.run(element)
            except tf.errors.FailedPreconditionError:
                session.run(iterator.initializer)
            return [int(session.run(element)) for _ in range(9)]

        text, _ = child(in_child)
        assert text == str([*range(9)]), text
        go_on.set()
        assert [int(session.run(element)) for _ in range(5)] == [4, 5, 6, 7, 8]
    sys.stdout.write("torn: well\n")


PROGRAMS = []


def work(value):
    """Called in a worker, which has the program from its parent."""
    program = PROGRAMS[0]
    return program.session.run(program.quick, {program.x: value}).tolist()


if __name__ == "__main__":
    if sys.argv[1] == "busy":
        busy(int(sys.argv[2]))
    else:
        globals()[sys.argv[1]]()
