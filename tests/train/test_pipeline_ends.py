"""Pipelines that end, fail or are left: no thread stays behind, and one error names the cause."""

import threading
import time
from contextlib import suppress

import pytest

import tfsession as tf

GOOD = "".join(f"{number}\n" for number in range(40))
BAD = GOOD + "x\n" + GOOD
CAUSE = "Field 0 in record 0 is not a valid int32: x"


@pytest.fixture(autouse=True)
def all_threads_end():
    """No test leaves a thread that was not there."""
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 5
    while (left := set(threading.enumerate()) - before) and time.monotonic() < end:
        time.sleep(0.002)
    assert not left


def slowly(value):
    time.sleep(0.0005)
    return value


def parsed(line):
    """The number in a line; it takes long enough to be made ahead."""
    (number,) = tf.decode_csv(line, [[0]])
    number = tf.py_func(slowly, [number], tf.int32)
    number.set_shape([])
    return number


def by_queues(path, count):
    names = tf.train.string_input_producer([path], num_epochs=count)
    _, line = tf.TextLineReader().read(names)
    return tf.train.shuffle_batch([parsed(line)], 4, 50, 3, num_threads=3)


def by_joined_queues(path, count):
    names = tf.train.string_input_producer([path] * 2, num_epochs=count)
    lists = [[parsed(tf.TextLineReader().read(names)[1])] for _ in range(2)]
    return tf.train.batch_join(lists, 4, capacity=8)


def by_dataset(path, count):
    dataset = tf.data.TextLineDataset(path).repeat(count).map(parsed).prefetch(3)
    iterator = dataset.batch(4).prefetch(2).make_initializable_iterator()
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    return iterator.get_next()


def by_both(path, count):
    return tf.train.batch([tf.reduce_sum(by_dataset(path, count))], 2, num_threads=2)


PIPELINES = [by_queues, by_joined_queues, by_dataset, by_both]
INITIALIZERS = (
    tf.global_variables_initializer,
    tf.local_variables_initializer,
    tf.tables_initializer,
)


@pytest.fixture(params=PIPELINES)
def pipeline(request, fresh_graph, tmp_path):
    """A function that builds a pipeline over a file's text, so many times; what it gives."""

    def build(text, count=1):
        path = tmp_path / "lines"
        path.write_text(text)
        return request.param(str(path), count)

    return build


@pytest.fixture
def started():
    """A function that gives a session, its coordinator and its threads, all under way."""

    def start():
        session, coord = tf.Session(), tf.train.Coordinator()
        session.run([initializer() for initializer in INITIALIZERS])
        return session, coord, tf.train.start_queue_runners(session, coord)

    return start


def test_one_that_has_ended(pipeline, started):
    batch = pipeline(GOOD)
    session, coord, threads = started()
    with session, pytest.raises(tf.errors.OutOfRangeError):
        while True:
            session.run(batch)
    coord.request_stop()
    coord.join(threads)


def test_one_that_fails(pipeline, started):
    """The cause comes from the step, or from the coordinator, and nothing else does."""
    batch = pipeline(BAD, 1000)
    session, coord, threads = started()
    errors = []
    with session:
        try:
            while not coord.should_stop():
                session.run(batch)
        except tf.errors.OpError as error:
            errors.append(error)
        coord.request_stop()
        try:
            coord.join(threads)
        except tf.errors.OpError as error:
            errors.append(error)
    causes = [error for error in errors if not isinstance(error, tf.errors.OutOfRangeError)]
    assert [type(error) for error in causes] == [tf.errors.InvalidArgumentError]
    assert CAUSE in causes[0].message


def test_one_that_is_left(pipeline, started):
    batch = pipeline(GOOD, None)
    session, coord, threads = started()
    with session:
        session.run(batch)
        coord.request_stop()
        coord.join(threads)


def test_a_session_that_is_closed(pipeline, started):
    """While threads fill queues, and others wait at their ends."""
    batch = pipeline(GOOD, None)
    session, coord, threads = started()
    found = []

    def take():
        try:
            while True:
                session.run(batch)
        except Exception as error:
            found.append(error)

    takers = [threading.Thread(target=take) for _ in range(3)]
    for taker in takers:
        taker.start()
    time.sleep(0.02)
    session.close()
    for taker in takers:
        taker.join()
    with suppress(tf.errors.CancelledError, RuntimeError):
        coord.join(threads)
    for error in found:
        assert isinstance(error, tf.errors.CancelledError) or "closed" in str(error)


def test_a_monitored_session(pipeline):
    batch, seen = pipeline(GOOD), []
    with tf.train.MonitoredTrainingSession() as session:
        while not session.should_stop():
            seen.append(session.run(batch))
    assert seen


def test_a_monitored_session_that_fails(pipeline):
    batch = pipeline(BAD, 1000)
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match=CAUSE),
        tf.train.MonitoredTrainingSession() as session,
    ):
        while not session.should_stop():
            session.run(batch)


def test_a_monitored_session_whose_program_fails(pipeline):
    batch = pipeline(GOOD, None)
    with (
        pytest.raises(KeyError, match="mine"),
        tf.train.MonitoredTrainingSession() as session,
    ):
        session.run(batch)
        raise KeyError("mine")
