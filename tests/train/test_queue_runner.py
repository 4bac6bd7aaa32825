"""Queue runners: queues are filled, and every thread ends, whatever the reason."""

import threading
import time

import pytest

import tfsession as tf


def counting(limit, capacity=3, threads=1):
    """A queue of 1, 2, 3, ..., `limit` and a runner that fills it."""
    counter = tf.get_variable("c", [], tf.int32, tf.zeros_initializer(), trainable=False)
    queue = tf.FIFOQueue(capacity, tf.int32, [[]], name="q")
    runner = tf.train.QueueRunner(queue, [queue.enqueue(counter.count_up_to(limit))] * threads)
    tf.train.add_queue_runner(runner)
    return queue, runner


def initialized():
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return session


@pytest.mark.parametrize("threads", [1, 4])
def test_all_elements_come_and_then_the_end(fresh_graph, threads):
    queue, runner = counting(50, threads=threads)
    take, found = queue.dequeue(), []
    with initialized() as session:
        coord = tf.train.Coordinator()
        started = tf.train.start_queue_runners(session, coord)
        names = {thread.name for thread in started}
        assert names == {"QueueRunnerThread-q-q_enqueue", "QueueRunnerThread-q-close_on_stop"}
        assert all(thread.daemon for thread in started)
        assert runner.create_threads(session, coord) == []  # they run already
        with pytest.raises(tf.errors.OutOfRangeError, match="'_0_q' is closed and has insuff"):
            while True:
                found.append(session.run(take))
        coord.request_stop()
        coord.join(started)
    assert sorted(found) == list(range(50))
    assert not any(thread.is_alive() for thread in started)


def test_a_stop_ends_threads_that_wait(fresh_graph):
    counting(1000, threads=3)
    with initialized() as session:
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coord)
        coord.request_stop()
        coord.join(threads, stop_grace_period_secs=5)
    assert not any(thread.is_alive() for thread in threads)


def test_a_closed_session_ends_threads_that_wait(fresh_graph):
    _, runner = counting(1000)
    session = initialized()
    coord = tf.train.Coordinator()
    threads = runner.create_threads(session, coord, start=True)
    while session.run(runner.queue.size()) < 3:
        time.sleep(0.001)
    session.close()
    with pytest.raises((tf.errors.CancelledError, RuntimeError)):
        coord.join(threads, stop_grace_period_secs=5)
    assert not any(thread.is_alive() for thread in threads)


def test_a_stop_ends_threads_that_wait_for_something_else(fresh_graph):
    """Here an empty queue that nobody closes; and nothing is left in between."""
    source, queue = tf.FIFOQueue(3, tf.int32), tf.FIFOQueue(3, tf.int32)
    both = source.dequeue() + source.dequeue()
    runner = tf.train.QueueRunner(queue, [queue.enqueue(both)] * 2)
    with tf.Session() as session:
        coord = tf.train.Coordinator()
        threads = runner.create_threads(session, coord, start=True)
        session.run(source.enqueue(1))
        coord.request_stop()
        coord.join(threads, stop_grace_period_secs=20)
        assert not any(thread.is_alive() for thread in threads)
        session.run(source.enqueue(2))


def test_an_error_stops_all_and_names_its_cause(fresh_graph):
    queue = tf.FIFOQueue(3, tf.int32)
    enqueue = queue.enqueue(tf.decode_csv("x", [[0]], name="cause"))
    tf.train.add_queue_runner(tf.train.QueueRunner(queue, [enqueue]))
    counting(1000)
    with initialized() as session:
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coord)
        with pytest.raises(tf.errors.InvalidArgumentError, match="cause"):
            coord.join(threads, stop_grace_period_secs=5)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_a_coordinator_errors_are_kept(fresh_graph):
    queue = tf.FIFOQueue(3, tf.int32)
    enqueue = queue.enqueue(tf.decode_csv("x", [[0]]))
    runner = tf.train.QueueRunner(queue, [enqueue])
    with tf.Session() as session:
        (thread,) = runner.create_threads(session, start=True)
        thread.join(5)
        assert [type(e) for e in runner.exceptions_raised] == [tf.errors.InvalidArgumentError]
        (thread,) = runner.create_threads(session)
        assert not thread.daemon
        assert runner.exceptions_raised == []


def test_other_errors_may_mean_the_end(fresh_graph):
    queue = tf.FIFOQueue(3, tf.int32)
    enqueue = queue.enqueue(tf.decode_csv("x", [[0]]))
    closed = (tf.errors.InvalidArgumentError,)
    runner = tf.train.QueueRunner(queue, [enqueue], queue_closed_exception_types=closed)
    assert runner.queue_closed_exception_types == closed
    with tf.Session() as session:
        for thread in runner.create_threads(session, start=True):
            thread.join(5)
        assert session.run(queue.is_closed())
    for wrong in ([], (), (ValueError,)):
        with pytest.raises(TypeError, match="when provided, must be a tuple of"):
            tf.train.QueueRunner(queue, [enqueue], queue_closed_exception_types=wrong)


def test_a_message_holds_a_runner(fresh_graph):
    with tf.name_scope("s"):
        counting(5)
    (runner,) = tf.get_collection(tf.GraphKeys.QUEUE_RUNNERS)
    message = runner.to_proto()
    assert message.queue_name == "s/q"
    assert list(message.enqueue_op_name) == ["s/q_enqueue"]
    assert (message.close_op_name, message.cancel_op_name) == ("s/q_Close", "s/q_Close_1")
    assert list(message.queue_closed_exception_types) == [tf.errors.OUT_OF_RANGE]
    assert runner.to_proto("s").queue_name == "q"
    assert runner.to_proto("other") is None
    again = tf.train.QueueRunner.from_proto(message)
    assert [op.name for op in again.enqueue_ops] == ["s/q_enqueue"]
    assert (again.name, again.close_op.name) == ("s/q", "s/q_Close")
    with pytest.raises(ValueError, match="mutually exclusive"):
        tf.train.QueueRunner(runner.queue, queue_runner_def=message)
    with pytest.raises(ValueError, match="Must provide queue and enqueue_ops"):
        tf.train.QueueRunner(runner.queue)


def test_runners_go_with_meta_graphs(fresh_graph):
    counting(20)
    message = tf.train.export_meta_graph()
    with tf.Graph().as_default():
        tf.train.import_meta_graph(message, import_scope="i")
        (runner,) = tf.get_collection(tf.GraphKeys.QUEUE_RUNNERS)
        assert runner.name == "i/q"
        with initialized() as session:
            coord = tf.train.Coordinator()
            threads = tf.train.start_queue_runners(session, coord)
            take = tf.QueueBase([tf.int32], [[]], None, runner.queue.outputs[0]).dequeue()
            assert [session.run(take) for _ in range(20)] == list(range(20))
            coord.request_stop()
            coord.join(threads)


def test_starting_needs_a_session(fresh_graph):
    before = threading.active_count()
    with pytest.raises(ValueError, match="Cannot start queue runners: No default session"):
        tf.train.start_queue_runners()
    with pytest.raises(TypeError, match="Given class: <class"):
        tf.train.start_queue_runners(3)
    counting(5)
    with initialized().as_default():
        threads = tf.train.start_queue_runners(start=False)
    assert len(threads) == 1
    assert not threads[0].is_alive()
    assert threading.active_count() <= before
