"""Queues as operations: what is built, what is refused, and whose memory elements are."""

import numpy as np
import pytest

import tfsession as tf

# Ops on state cannot be rows: what they give depends on a queue.
KINDS = ("FIFOQueue", "RandomShuffleQueue", "PaddingFIFOQueue", "PriorityQueue")
ACTIONS = (
    *("Enqueue", "EnqueueMany", "Dequeue", "DequeueMany", "DequeueUpTo"),
    *("Close", "Size", "IsClosed"),
)
COVERED = [
    f"{name}{version}"
    for version in ("", "V2")
    for name in (*KINDS, *(f"Queue{action}" for action in ACTIONS))
]
SOFT = tf.ConfigProto(allow_soft_placement=True)

MAKERS = {
    "FIFOQueue": lambda: tf.FIFOQueue(10, [tf.int64, tf.float32], [[], [2]]),
    "RandomShuffleQueue": lambda: tf.RandomShuffleQueue(10, 0, [tf.int64, tf.float32], [[], [2]]),
    "PaddingFIFOQueue": lambda: tf.PaddingFIFOQueue(10, [tf.int64, tf.float32], [[], [None]]),
    "PriorityQueue": lambda: tf.PriorityQueue(10, tf.float32, [[2]]),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@makers
def test_elements_go_in_and_come_out(fresh_graph, device, make):
    """Also from and to another device than the queue's, which is the host."""
    with tf.device(device):
        rows = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]) * 2.0
        row = tf.negative(rows[0])
    queue = make()
    many = queue.enqueue_many([[1, 2, 3], rows])
    one = queue.enqueue([0, row])
    numbers, batch = queue.dequeue_many(3)
    with tf.device(device):
        shown = batch + 0.0
    last = queue.dequeue()
    with tf.Session(config=SOFT) as session:
        assert session.run(queue.size()) == 0
        session.run(many)
        session.run(one)
        assert session.run(queue.size()) == 4
        found = dict(zip(*(v.tolist() for v in session.run([numbers, shown])), strict=True))
        number, value = session.run(last)
        found[int(number)] = value.tolist()
        assert found == {0: [-2.0, -4.0], 1: [2.0, 4.0], 2: [6.0, 8.0], 3: [10.0, 12.0]}
        session.run(queue.close())
        assert session.run(queue.is_closed())


@makers
def test_an_imported_graph_uses_the_same_queue(fresh_graph, make):
    queue = make()
    queue.enqueue([1, [2.0, 3.0]], name="in")
    queue.dequeue(name="out")
    definition = fresh_graph.as_graph_def()
    with tf.Graph().as_default() as copy:
        tf.import_graph_def(definition, name="")
    assert copy.as_graph_def() == definition
    with tf.Session(graph=copy) as session:
        session.run("in")
        assert [v.tolist() for v in session.run(["out:0", "out:1"])] == [1, [2.0, 3.0]]


@pytest.mark.parametrize("values", [[1], [1, 2, 3], 1], ids=str)
def test_too_few_or_too_many_values_are_refused(fresh_graph, values):
    queue = tf.FIFOQueue(10, [tf.int32, tf.int32], name="q")
    for enqueue in (queue.enqueue, queue.enqueue_many):
        with pytest.raises(ValueError, match=r"Queue 'q' has 2 components, but . values"):
            enqueue(values)


def test_a_scalar_is_no_batch_when_the_step_runs(fresh_graph):
    value = tf.placeholder(tf.int32)
    for shapes in (None, [[]]):
        enqueue = tf.FIFOQueue(10, tf.int32, shapes).enqueue_many(value)
        with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError):
            session.run(enqueue, {value: 3})


def test_no_number_of_elements_is_refused(fresh_graph):
    n = tf.placeholder(tf.int32)
    batch = tf.FIFOQueue(10, tf.int32, [[]]).dequeue_many(n)
    with tf.Session() as session:
        assert session.run(batch, {n: [0]}).tolist() == []
        with pytest.raises(tf.errors.InvalidArgumentError, match="requested no number"):
            session.run(batch, {n: []})


def test_what_is_no_queue_is_refused(fresh_graph):
    variable = tf.Variable(1.0, use_resource=True)
    wrong = tf.QueueBase([tf.float32], None, None, variable.handle)
    with tf.Session() as session:
        for op in (wrong.size(), wrong.dequeue(), wrong.enqueue(1.0), wrong.close()):
            with pytest.raises(tf.errors.InvalidArgumentError, match="Expected a queue, got Res"):
                session.run(op)


def test_a_fed_array_may_change_afterwards(fresh_graph):
    value, batch = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.float32, [2, 2])
    queue = tf.FIFOQueue(10, tf.float32, [[2]])
    one, many = queue.enqueue(value), queue.enqueue_many(batch)
    first, rest = np.ones(2, np.float32), np.full((2, 2), 2, np.float32)
    with tf.Session() as session:
        session.run(one, {value: first})
        session.run(many, {batch: rest})
        first[:], rest[:] = 7, 7
        assert session.run(queue.dequeue_many(3)).tolist() == [[1, 1], [2, 2], [2, 2]]


@pytest.mark.parametrize("use_resource", [False, True])
def test_a_variable_may_change_afterwards(fresh_graph, use_resource):
    variable = tf.Variable([1.0, 2.0], use_resource=use_resource)
    queue = tf.FIFOQueue(10, tf.float32, [[2]])
    enqueue, add = queue.enqueue(variable), variable.assign_add([1.0, 1.0])
    with tf.Session() as session:
        session.run(variable.initializer)
        for _ in range(2):
            session.run(enqueue)
            session.run(add)
        assert session.run(queue.dequeue_many(2)).tolist() == [[1, 2], [2, 3]]


def test_a_value_that_is_used_elsewhere_may_change_afterwards(fresh_graph):
    """Neither the user, who owns what is fetched, nor a later operation writes to an element."""
    value = tf.placeholder(tf.float32, [3])
    double = value * 2.0
    queue = tf.FIFOQueue(10, tf.float32, [[3]])
    enqueue = queue.enqueue(double)
    with tf.control_dependencies([enqueue]):
        later = tf.negative(double)
    out = queue.dequeue()
    with tf.Session() as session:
        fetched, after, _ = session.run([double, later, enqueue], {value: [1, 2, 3]})
        fetched[:], after[:] = 0, 0
        assert session.run(out).tolist() == [2, 4, 6]
        session.run(enqueue, {value: [1, 2, 3]})
        taken, changed = session.run([out, tf.negative(tf.negative(out))])
        taken[:] = 0
        assert changed.tolist() == [2, 4, 6]


def test_handles_can_be_elements(fresh_graph):
    inner, outer = tf.FIFOQueue(3, tf.int32, [[]]), tf.FIFOQueue(3, tf.resource, [[]])
    put = outer.enqueue(inner.queue_ref)
    taken = tf.QueueBase([tf.int32], [[]], None, outer.dequeue())
    with tf.Session() as session:
        session.run([inner.enqueue(5), put])
        assert session.run(taken.dequeue()) == 5


def test_each_session_has_its_own(fresh_graph):
    queue = tf.FIFOQueue(10, tf.int32, name="q")
    tf.FIFOQueue(10, tf.int32, name="r")
    put, size = queue.enqueue(1), queue.size()
    with tf.Session() as one, tf.Session() as other:
        one.run(put)
        assert (one.run(size), other.run(size)) == (1, 0)
        for session in (one, other):
            session.run(queue.close())
            with pytest.raises(tf.errors.CancelledError, match="FIFOQueue '_0_q' is closed"):
                session.run(put)
