"""Steps that wait at queues: what ends the wait, and that queues stay whole."""

import threading
import time
from contextlib import suppress

import numpy as np
import pytest

import tfsession as tf

SHORT = tf.RunOptions(timeout_in_ms=50)
THREADS = 8


class Step:
    """A run in a thread of its own."""

    def __init__(self, session, fetches, **arguments):
        self.value = self.error = None
        self.thread = threading.Thread(target=self.run, args=(session, fetches, arguments))
        self.thread.start()

    def run(self, session, fetches, arguments):
        try:
            self.value = session.run(fetches, **arguments)
        except tf.errors.OpError as error:
            self.error = error

    def end(self):
        """The value, or the class and the text of the error."""
        self.thread.join(30)
        assert not self.thread.is_alive()
        if self.error is None:
            return self.value
        return type(self.error).__name__, self.error.message.split("\n\t")[0].split("\n")[-1]


def until(condition):
    """Wait for what another thread is about to do."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


@pytest.fixture
def ints(fresh_graph):
    """A queue of room for 3 int32, named q."""
    return tf.FIFOQueue(3, tf.int32, [[]], name="q")


def test_both_ends_in_one_step(ints):
    taken, batch = ints.dequeue(), ints.dequeue_many(7)
    one, many = ints.enqueue(1), ints.enqueue_many([[1, 2, 3, 4, 5, 6, 7]])
    config = tf.ConfigProto(inter_op_parallelism_threads=1)
    with tf.Session(config=config) as session:
        assert session.run([taken, one])[0] == 1
        # More than there is room for, through partial progress of both.
        assert session.run([batch, many])[0].tolist() == [1, 2, 3, 4, 5, 6, 7]
        assert session.run(ints.size()) == 0


def test_producers_and_consumers(ints):
    value = tf.placeholder(tf.int32, [])
    put, take = ints.enqueue(value), ints.dequeue()
    count, found, lock = 100, [], threading.Lock()
    with tf.Session() as session:

        def produce(number):
            for k in range(count):
                session.run(put, {value: number * count + k})

        def consume():
            with pytest.raises(tf.errors.OutOfRangeError):
                while True:
                    got = int(session.run(take))
                    with lock:
                        found.append(got)

        takers = [threading.Thread(target=consume) for _ in range(3)]
        makers = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
        for thread in takers + makers:
            thread.start()
        for thread in makers:
            thread.join(60)
        session.run(ints.close())
        for thread in takers:
            thread.join(60)
    assert sorted(found) == list(range(4 * count))


@pytest.mark.parametrize("how", ["options", "config"])
def test_a_timeout_leaves_the_queue_whole(ints, how):
    options = SHORT if how == "options" else None
    config = tf.ConfigProto(operation_timeout_in_ms=50 if how == "config" else 0)
    fill, size = ints.enqueue_many([[1, 2]]), ints.size()
    with tf.Session(config=config) as session:

        def ends(op):
            with pytest.raises(tf.errors.DeadlineExceededError, match="Timed out waiting") as info:
                session.run(op, options=options)
            assert info.value.op is None

        ends(ints.dequeue())
        session.run(fill)
        ends(ints.dequeue_many(3))
        assert session.run(size) == 2
        ends(ints.enqueue_many([[3, 4, 5]]))
        assert session.run(size) == 3
        ends(ints.enqueue(6))
        assert session.run([ints.dequeue_many(3), size])[0].tolist() == [1, 2, 3]
        assert session.run(size) == 0


def test_a_close_that_waits_can_be_timed_out(ints):
    """TensorFlow's would stay until there is room."""
    with tf.Session() as session:
        session.run(ints.enqueue_many([[1, 2, 3]]))
        blocked = Step(session, ints.enqueue(4))
        with pytest.raises(tf.errors.DeadlineExceededError):
            session.run(ints.close(), options=SHORT)
        assert not session.run(ints.is_closed())
        assert session.run(ints.dequeue()) == 1
        blocked.end()
        assert session.run(ints.dequeue_many(3)).tolist() == [2, 3, 4]


def test_closing_the_session_ends_every_wait(ints):
    full = tf.FIFOQueue(0, tf.int32, [[]], name="full")
    ops = {
        "Dequeue": [ints.dequeue(), ints.dequeue_many(3), ints.dequeue_up_to(3)],
        "Enqueue": [full.enqueue(1), full.enqueue_many([[1, 2]]), full.close()],
    }
    session = tf.Session()
    steps = {name: [Step(session, op) for op in some] for name, some in ops.items()}
    time.sleep(0.1)
    session.close()
    for name, some in steps.items():
        for step in some:
            kind, text = step.end()
            assert kind == "CancelledError"
            assert text in (f"{name} operation was cancelled", "Session has been closed.")


def test_a_failure_elsewhere_puts_a_batch_back(ints):
    """The batch has gathered two elements when the other operation of its step fails."""
    go = tf.FIFOQueue(1, tf.bool, [[]], name="go")
    with tf.control_dependencies([go.dequeue()]):
        check = tf.Assert(tf.equal(1, 2), ["no"])
    batch, size = ints.dequeue_many(3), ints.size()
    with tf.Session() as session:
        session.run(ints.enqueue_many([[1, 2]]))
        step = Step(session, [batch, check])
        until(lambda: session.run(size) == 0)
        session.run(go.enqueue(True))
        assert step.end()[0] == "InvalidArgumentError"
        assert session.run(ints.dequeue_up_to(2)).tolist() == [1, 2]


def test_steps_that_wait_do_not_hold_up_others(ints):
    config = tf.ConfigProto(inter_op_parallelism_threads=1)
    take, value = ints.dequeue(), tf.constant([1.0, 2.0]) * 2.0
    with tf.Session(config=config) as session:
        steps = [Step(session, take) for _ in range(THREADS)]
        assert session.run(value).tolist() == [2.0, 4.0]
        for number in range(THREADS):
            session.run(ints.enqueue(number))
        assert sorted(step.end() for step in steps) == list(range(THREADS))


def test_timeouts_and_elements_that_cross_lose_nothing(ints):
    """Waits end at the moment when an element may come: it is either taken or still there."""
    value = tf.placeholder(tf.int32, [])
    put, take, batch = ints.enqueue(value), ints.dequeue(), ints.dequeue_many(2)
    options = tf.RunOptions(timeout_in_ms=1)
    count, found, over = 200, [], threading.Event()
    with tf.Session() as session:

        def consume(op):
            while not over.is_set():
                with suppress(tf.errors.DeadlineExceededError):
                    found.extend(np.ravel(session.run(op, options=options)).tolist())

        takers = [threading.Thread(target=consume, args=(op,)) for op in (take, batch, take)]
        for thread in takers:
            thread.start()
        for number in range(count):
            session.run(put, {value: number})
        over.set()
        for thread in takers:
            thread.join(60)
        session.run(ints.close())
        while True:
            try:
                found.append(int(session.run(take)))
            except tf.errors.OutOfRangeError:
                break
    assert sorted(found) == list(range(count))
