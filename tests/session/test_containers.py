"""Containers, shared names, and Session.reset: whose state is whose, and when it ends."""

import threading
import time

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op

HOST, AWAY = "/cpu:0", "/gpu:0"
SOFT = tf.ConfigProto(allow_soft_placement=True)


def _variable(kind, container="", shared_name="", **attrs):
    """How to set and how to read a variable made as an operation."""
    attrs = {"dtype": tf.float32, "shape": [], **attrs}
    made = create_op(kind, [], {**attrs, "container": container, "shared_name": shared_name})
    if kind == "VariableV2":
        return lambda value: tf.assign(made, value).op, tf.identity(made)
    read = create_op("ReadVariableOp", [made], {"dtype": attrs["dtype"]})
    return lambda value: create_op("AssignVariableOp", [made, value]), read


KINDS = pytest.mark.parametrize("kind", ["VariableV2", "VarHandleOp"])
FAILS = (tf.errors.FailedPreconditionError, "ninitialized")


@KINDS
def test_equal_names_in_one_container_are_one(fresh_graph, device, kind):
    with tf.device(device):
        put, read = _variable(kind, "c", "s")
        others = [_variable(kind, *names)[1] for names in (("c", "s"), ("d", "s"), ("c", "t"))]
        with tf.container("c"):
            inherits = _variable(kind, "", "s")[1]
    with tf.Session(config=SOFT) as session:
        session.run(put(3.0))
        assert session.run([read, others[0], inherits]) == [3.0] * 3
        for other in others[1:]:
            with pytest.raises(FAILS[0], match=FAILS[1]):
                session.run(other)


@KINDS
def test_each_device_has_its_own(fresh_graph, kind):
    with tf.device(HOST):
        put, read = _variable(kind, "c", "s")
    with tf.device(AWAY):
        put_away, read_away = _variable(kind, "c", "s")
    with tf.Session() as session:
        if len(session.list_devices()) < 2:
            pytest.skip("no GPU, real or simulated")
        session.run(put(3.0))
        with pytest.raises(FAILS[0], match=FAILS[1]):
            session.run(read_away)
        session.run(put_away(4.0))
        assert session.run([read, read_away, read + read_away]) == [3.0, 4.0, 7.0]


@KINDS
def test_names_shared_by_several_dtypes(fresh_graph, device, kind):
    """An error for the wrong one, and the value stays."""
    with tf.device(device):
        put, read = _variable(kind, "", "s", shape=[1])
        put_int, read_int = _variable(kind, "", "s", dtype=tf.int64, shape=[1])
        updates = [put_int(np.int64([1])), read_int]
        if kind == "VarHandleOp":
            handle = read_int.op.inputs[0]
            one, at = np.array([1], np.int64), [[0]]
            updates += [
                create_op("AssignAddVariableOp", [handle, one]),
                create_op("ResourceGatherNd", [handle, at], {"dtype": tf.int64}),
                create_op("ResourceScatterNdAdd", [handle, at, one]),
            ]
    with tf.Session(config=SOFT) as session:
        session.run(put([3.0]))
        for update in updates:
            with pytest.raises((tf.errors.InternalError, tf.errors.InvalidArgumentError)):
                session.run(update)
        assert session.run(read).tolist() == [3.0]


def test_queues_live_in_containers_too(fresh_graph):
    with tf.container("c"):
        one, same = (tf.FIFOQueue(3, tf.int32, shared_name="q") for _ in range(2))
    other = tf.FIFOQueue(3, tf.int32, shared_name="q")
    assert one.queue_ref.op.get_attr("container") == b"c"
    with tf.Session() as session:
        session.run(one.enqueue(7))
        assert session.run([same.size(), other.size()]) == [1, 0]
        assert session.run(same.dequeue()) == 7


def test_what_was_fed_to_a_variable_stays_the_program_s(fresh_graph, device):
    with tf.device(device):
        v, u = tf.Variable([0.0] * 64), tf.Variable([0.0] * 64, use_resource=True)
        p = tf.placeholder(tf.float32, [64])
        steps = [tf.assign(v, p).op, u.assign(p).op]
    with tf.Session(config=SOFT) as session:
        fed = np.arange(64, dtype=np.float32)
        session.run(steps, {p: fed})
        fed[:] = -1.0
        session.run([tf.assign_add(v, p).op, u.assign_add(p).op], {p: np.ones(64)})
        assert fed.tolist() == [-1.0] * 64
        for value in session.run([v, u]):
            assert value.tolist() == list(range(1, 65))


def test_reports_of_missing_values(fresh_graph, device):
    with tf.device(device):
        v, u = tf.Variable(1.0, name="v"), tf.Variable(1.0, name="u", use_resource=True)
    with tf.Session(config=SOFT) as session:
        everything, some = (
            tf.report_uninitialized_variables(),
            tf.report_uninitialized_variables([u]),
        )
        assert session.run(everything).tolist() == [b"v", b"u"]
        session.run(v.initializer)
        assert session.run([everything, some])[0].tolist() == [b"u"]
        session.run(u.initializer)
        assert session.run(everything).tolist() == []


# --- reset ----------------------------------------------------------------------------------------


def _started(session, fetch):
    """A thread that runs `fetch` until it fails, and the list in which its error will stand."""
    errors = []

    def work():
        try:
            while True:
                session.run(fetch)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, errors


def test_reset_ends_steps_that_wait_and_steps_that_run(fresh_graph):
    queue = tf.FIFOQueue(1, tf.float32)
    v = tf.Variable(tf.zeros([1000]))
    busy = v.value()
    for _ in range(40):
        busy = busy + tf.sqrt(v)
    sessions = [tf.Session() for _ in range(4)]
    work = []
    for session in sessions:
        session.run(v.initializer)
        work += [_started(session, queue.dequeue()), _started(session, busy.op)]
    time.sleep(0.05)
    tf.Session.reset("", ["some", "names"])
    for thread, errors in work:
        thread.join(10.0)
        assert not thread.is_alive()
        assert type(errors[0]) is tf.errors.CancelledError, errors
    for session in sessions:
        with pytest.raises(tf.errors.CancelledError, match="Session has been closed"):
            session.run(v)
        assert not session._closed
        session.close()
    with tf.Session() as later:
        with pytest.raises(tf.errors.FailedPreconditionError):
            later.run(v)
        later.run(v.initializer)
        assert later.run([v[0], queue.size()]) == [0.0, 0]


def test_resets_of_many_threads_beside_new_sessions(fresh_graph):
    k, stop, wrong = tf.constant(1.0), threading.Event(), []

    def work():
        while not stop.is_set():
            session = tf.Session(graph=fresh_graph)
            try:
                if session.run(k) != 1.0:
                    wrong.append("value")
            except tf.errors.CancelledError:
                pass
            except BaseException as error:
                wrong.append(error)
            session.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        tf.Session.reset("")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((3,), TypeError),
        (("x",), tf.errors.NotFoundError),
        (("grpc://localhost:1",), tf.errors.UnimplementedError),
        (("", 3), TypeError),
        (("", [3]), TypeError),
        (("", ["a"], 3), AttributeError),
        (("", ["\ud800"]), UnicodeEncodeError),
    ],
    ids=str,
)
def test_a_reset_that_is_refused_closes_nothing(fresh_graph, arguments, error):
    k = tf.constant(1.0)
    with tf.Session() as session:
        with pytest.raises(error):
            tf.Session.reset(*arguments)
        assert session.run(k) == 1.0
