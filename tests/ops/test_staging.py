"""Staging areas: what is put down, where it lies, whose memory it is, and how waits end."""

import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.resources import staging

# Ops on state cannot be rows: what they give depends on an area.
COVERED = ["Stage", "Unstage", "StagePeek", "StageSize", "StageClear"]
StagingArea = tf.contrib.staging.StagingArea
SOFT = tf.ConfigProto(allow_soft_placement=True)


def test_elements_go_in_and_come_out_in_order(fresh_graph, device):
    with tf.device(device):
        value = tf.placeholder_with_default(1.0, [])
        row = tf.stack([value, value + 1.0])
        area = StagingArea([tf.float32, tf.float32], [[2], []], capacity=3)
        put, got = area.put([row, value * 3.0]), area.get()
        total = tf.reduce_sum(got[0]) + got[1]
        peeked = area.peek(1)
    assert [t.shape.as_list() for t in (*got, *peeked)] == [[2], [], [2], []]
    with tf.Session(config=SOFT) as session:
        for number in (1.0, 2.0, 3.0):
            session.run(put, {value: number})
        assert session.run(area.size()) == 3
        assert [v.tolist() for v in session.run(peeked)] == [[2, 3], 6]
        assert session.run(total) == 6
        assert [v.tolist() for v in session.run(got)] == [[2, 3], 6]
        session.run(area.clear())
        assert session.run(area.size()) == 0
        session.run(put)
        assert session.run(total) == 6


def test_the_next_element_is_put_in_the_step_that_takes_the_last(fresh_graph, device):
    """How programs keep a device busy: the area is always one element ahead."""
    queue = tf.FIFOQueue(10, tf.float32, [[2]])
    with tf.device(device):
        area = StagingArea([tf.float32], [[2]])
        put = area.put([queue.dequeue() * 2.0])
        (row,) = area.get()
        result = tf.reduce_sum(row)
    with tf.Session(config=SOFT) as session:
        session.run(queue.enqueue_many(np.arange(12.0, dtype=np.float32).reshape(6, 2)))
        session.run(put)
        found = [session.run([result, put])[0] for _ in range(5)]
        assert found == [2, 10, 18, 26, 34]
        assert session.run(area.size()) == 1


def test_names_and_subsets(fresh_graph):
    area = StagingArea([tf.float32, tf.int32], names=["x", "y"], shared_name="s")
    put = area.put({"y": tf.constant(1), "x": tf.constant(2.0)})
    half = area.put({"x": tf.constant(2.0)})
    same = StagingArea([tf.float32, tf.int32], shared_name="s")
    with tf.Session() as session:
        session.run(put)
        assert session.run(area.get()) == {"x": 2.0, "y": 1}
        session.run(put)
        assert session.run(same.get()) == [2.0, 1]
        session.run(half)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Mismatch stage/unstage: 1 vs"):
            session.run(area.get())
        wrong = StagingArea([tf.int32, tf.int32], shared_name="s")
        session.run(put)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Output 0 of type float does not"):
            session.run(wrong.peek(0))
        assert session.run(same.get()) == [2.0, 1]


def test_whose_memory_elements_are(fresh_graph):
    """Not the user's who feeds, not a variable's; what is fetched is the user's own."""
    value, variable = tf.placeholder(tf.float32, [2]), tf.Variable([1.0, 2.0], use_resource=True)
    area = StagingArea([tf.float32, tf.float32], [[2], [2]])
    put, got, peeked = area.put([value, variable]), area.get(), area.peek(0)
    array = np.ones(2, np.float32)
    with tf.Session() as session:
        session.run(variable.initializer)
        session.run(put, {value: array})
        array[:] = 7
        session.run(variable.assign_add([1.0, 1.0]))
        for fetched in session.run(peeked):
            fetched[:] = 9
        double = session.run([tf.negative(tf.negative(t)) for t in peeked])
        assert [v.tolist() for v in double] == [[1, 1], [1, 2]]
        assert [v.tolist() for v in session.run(got)] == [[1, 1], [1, 2]]


@pytest.mark.parametrize("limits", [{"capacity": 1}, {"memory_limit": 7}], ids=str)
def test_a_put_waits_for_room_and_a_get_for_an_element(fresh_graph, limits):
    area = StagingArea([tf.int32], [[]], **limits)
    value = tf.placeholder(tf.int32, [])
    put, (got,) = area.put([value]), area.get()
    soon = tf.RunOptions(timeout_in_ms=20)
    with tf.Session() as session:
        with pytest.raises(tf.errors.DeadlineExceededError):
            session.run(got, options=soon)
        session.run(put, {value: 0})
        with pytest.raises(tf.errors.DeadlineExceededError):
            session.run(put, {value: 100}, options=soon)
        found = []

        def take():
            found.extend(int(session.run(got)) for _ in range(50))

        thread = threading.Thread(target=take)
        thread.start()
        for number in range(1, 50):
            session.run(put, {value: number})
        thread.join(20)
        assert found == list(range(50))
        # Both ends in one step.
        assert session.run([got, put], {value: 3})[0] == 3


def test_an_element_that_is_refused_makes_room():
    area = staging.StagingArea(1, 0)
    area.put((1,))
    second, third = area.put((2,)), area.put((3,))

    def refuse(element):
        raise ValueError(element)

    with pytest.raises(ValueError, match="1"):
        area.get(refuse)
    assert second.is_done
    assert area.get(lambda element: None) == (2,)
    assert third.is_done
    waiting = area.peek(1, refuse)
    assert not waiting.is_done
    waiting.cancel()
    assert isinstance(waiting.error, tf.errors.CancelledError)
    assert area.get(lambda element: None) == (3,)


def test_close_ends_all_waits(fresh_graph):
    area = StagingArea([tf.int32], [[]], capacity=1)
    empty = StagingArea([tf.int32], [[]])
    session, errors = tf.Session(), []
    put = area.put([tf.constant(1)])
    session.run(put)

    def wait(op):
        with pytest.raises(tf.errors.CancelledError) as caught:
            session.run(op)
        errors.append(caught.value)

    threads = [threading.Thread(target=wait, args=(op,)) for op in (put, empty.get(), area.peek(3))]
    for thread in threads:
        thread.start()
    session.run(area.size())
    session.close()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 3


def test_what_is_refused(fresh_graph):
    c, area = tf.constant, StagingArea([tf.float32], [[]], memory_limit=4)
    named = StagingArea([tf.float32], names=["x"])
    for call in (
        lambda: StagingArea([tf.float32], [[], []]),
        lambda: StagingArea([tf.float32], names=["a", "b"]),
        lambda: StagingArea([tf.float32], shared_name=3),
        lambda: area.put([c(1)]),
        lambda: area.put([c([1.0])]),
        lambda: area.put([c(1.0), c(1.0)]),
        lambda: area.put({"x": c(1.0)}),
        lambda: named.put([c(1.0)]),
        lambda: named.put({"y": c(1.0)}),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()
    value, index = tf.placeholder(tf.float32), tf.placeholder(tf.int32)
    with tf.Session() as session:
        with pytest.raises(tf.errors.ResourceExhaustedError, match="size of '8' bytes into"):
            session.run(area.put([value]), {value: [1, 2]})
        for bad in (-1, [0]):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"negative|scalar"):
                session.run(area.peek(index), {index: bad})
        assert session.run(area.size()) == 0


def test_each_session_has_its_own(fresh_graph):
    area = StagingArea([tf.string], [[]])
    put, size = area.put([tf.constant("text")]), area.size()
    with tf.Session() as one, tf.Session() as other:
        one.run(put)
        assert (one.run(size), other.run(size)) == (1, 0)
        assert one.run(area.get()) == [b"text"]
