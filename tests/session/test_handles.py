"""TensorHandles: tensors that stay in a session, fetched, fed, moved and given up."""

import gc
import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.resources.session_tensors import DEAD_TOGETHER

HOST, AWAY = "/cpu:0", "/gpu:0"


def _kept(session):
    return len(session._engine.state.tensors._tensors)


@pytest.fixture
def doubled(fresh_graph):
    """A session, a placeholder, and the handle of twice its value."""
    a = tf.placeholder(tf.float32, name="a")
    return tf.Session(), a, tf.get_session_handle(a * 2.0, name="get")


def test_every_way_to_fetch(doubled):
    session, a, get = doubled
    feeds = {a: [1.0]}
    found = [
        session.run(get, feeds),
        session.run("get:0", feeds),
        session.run({"x": (get,)}, feeds)["x"][0],
        session.make_callable(get, [a])([1.0]),
        session.make_callable(get, [a], device_fetches=True)([1.0]),
        session.run(get, feeds, tf.RunOptions(timeout_in_ms=10_000)),
        get.eval(feeds, session),
    ]
    setup = session.partial_run_setup([get], [a])
    found.append(session.partial_run(setup, get, feeds))
    assert [kept.eval().tolist() for kept in found] == [[2.0]] * len(found)
    assert [int(kept.handle.split(";")[1]) for kept in found] == list(range(len(found)))
    twice = session.run([get, get], feeds)
    assert twice[0] is twice[1]
    assert session.run(get.op, feeds) is None
    assert session.run(tf.stack([get, get]), feeds).tolist()[0].startswith(b"get;")


def test_every_way_to_feed(doubled):
    session, a, get = doubled
    b = tf.placeholder(tf.float32, [7], name="b")  # the static shape is not looked at
    more = b + 1.0
    kept, other = session.run(get, {a: [1.0]}), session.run(get, {a: [5.0]})
    call = session.make_callable([more, b], [b])
    for _ in range(2):
        assert session.run(more, {b: kept}).tolist() == [3.0]
        assert session.run([more, b], {"b:0": kept})[1].tolist() == [2.0]
        assert session.run(more, {b: np.zeros(7)}).tolist() == [1.0] * 7
        assert session.run({"x": [b]}, {b: kept})["x"][0].tolist() == [2.0]
        assert [x.tolist() for x in call(kept)] == [[3.0], [2.0]]
        assert [x.tolist() for x in call(other)] == [[11.0], [10.0]]
        assert call(np.ones(7))[0].tolist() == [2.0] * 7
        options = tf.RunOptions(timeout_in_ms=10_000)
        assert session.run(more, {b: kept}, options).tolist() == [3.0]
        assert session.run([more, a], {b: kept, a: other})[1].tolist() == [10.0]
    setup = session.partial_run_setup([more], [b])
    assert session.partial_run(setup, more, {b: kept}).tolist() == [3.0]


@pytest.mark.parametrize("source", [HOST, AWAY])
@pytest.mark.parametrize("target", [HOST, AWAY, "/gpu:1"])
def test_between_devices(fresh_graph, source, target):
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.device(source):
        a = tf.placeholder(tf.float32, name="a")
        get = tf.get_session_handle(a * 2.0)
    with tf.device(target):
        b = tf.placeholder(tf.float32, name="b")
        more = b + 1.0
    with tf.Session(config=config) as session:
        kept = session.run(get, {a: [1.0, 2.0]})
        assert session.run(more, {b: kept}).tolist() == [3.0, 5.0]
        assert session.run([b, more], {b: kept})[0].tolist() == [2.0, 4.0]
        with tf.device(target):
            holder, tensor = tf.get_session_tensor(f"any;0;{target}", tf.float32)
            tripled = tensor * 3.0
        assert session.run(tripled, {holder: kept.handle}).tolist() == [6.0, 12.0]
        assert kept.eval().tolist() == [2.0, 4.0]


def test_a_fed_handle_does_not_leave_its_device(fresh_graph, monkeypatch):
    with tf.device(AWAY):
        a, b = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
        get, again = tf.get_session_handle(a * 2.0), tf.get_session_handle(b * 3.0)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        kept = session.run(get, {a: [1.0]})
        device = session._engine.state.tensors.get(kept.handle).memory
        if device is None:
            pytest.skip("no GPU, real or simulated")
        copies = []
        for name in ("to_host", "to_device"):
            monkeypatch.setattr(device, name, lambda *args: copies.append(args))
        for _ in range(2):
            kept = session.run(again, {b: kept})
        assert copies == []
        monkeypatch.undo()
        assert kept.eval().tolist() == [18.0]


def test_what_does_not_suit(doubled):
    session, a, get = doubled
    i, st = tf.placeholder(tf.int32, name="i"), tf.placeholder(tf.string, name="st")
    kept = session.run(get, {a: [1.0]})
    for tensor in (i, st):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expects arg\[0\] to be .*float"):
            session.run(tf.identity(tensor), {tensor: kept})
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expects arg\[1\] to be int32"):
        session.run(tf.identity(i), {i: kept, a: 1.0})
    assert session.run(i, {i: kept}).tolist() == [2.0]  # nothing runs
    with pytest.raises(TypeError, match="TensorHandle"):
        session.run(get, {a: [kept]})
    with tf.Session() as other:
        other.run(get, {a: [7.0]})  # has the same text
        for fetch in (a * 1.0, [a, a * 1.0]):
            with pytest.raises(tf.errors.InvalidArgumentError, match="not in the session store"):
                other.run(fetch, {a: kept})
    kept.delete()
    with pytest.raises(tf.errors.InvalidArgumentError, match="not in the session store"):
        session.run(a * 1.0, {a: kept})
    assert session.run(a * 1.0, {a: 3.0}) == 3.0


def test_the_dead_are_dropped_together(doubled):
    session, a, get = doubled
    live = session.run(get, {a: [0.0]})
    size = len(tf.get_default_graph().get_operations())
    for number in range(3 * DEAD_TOGETHER + 5):
        session.run(get, {a: [1.0]})
        assert _kept(session) == 1 + (number + 1) % DEAD_TOGETHER
    assert len(tf.get_default_graph().get_operations()) == size
    assert live.eval().tolist() == [0.0]


def test_memory_of_the_dead_comes_back(fresh_graph):
    with tf.device(AWAY):
        a = tf.placeholder(tf.float32)
        get = tf.get_session_handle(a * 2.0)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        kept = session.run(get, {a: np.ones(1 << 18)})
        device = session._engine.state.tensors.get(kept.handle).memory
        if device is None:
            pytest.skip("no GPU, real or simulated")
        for _ in range(200):  # 200 MiB, of which no more than a few stay
            session.run(get, {a: np.ones(1 << 18)})
        assert device.memory_stats().in_use <= 16 << 20
        kept.delete()


def test_raw_and_deleted_handles_are_left_alone(doubled):
    session, a, get = doubled
    raw = session.run(get, {a: [1.0]})
    text = raw.get_raw_handle()
    deleted = session.run(get, {a: [1.0]})
    deleted.delete()
    for call in (raw.eval, raw.delete, deleted.eval, deleted.delete):
        with pytest.raises(TypeError, match="may have already been deleted"):
            call()
    del raw, deleted
    for _ in range(2 * DEAD_TOGETHER):
        session.run(get, {a: [1.0]})
    holder, tensor = tf.get_session_tensor(text, tf.float32)
    assert session.run(tensor, {holder: text}).tolist() == [2.0]


def test_handles_may_outlive_their_session(doubled):
    session, a, get = doubled
    kept = session.run(get, {a: [1.0]})
    session.close()
    assert _kept(session) == 0
    for call in (kept.eval, kept.delete):
        with pytest.raises(RuntimeError, match="Attempted to use a closed Session"):
            call()
    del kept, session
    gc.collect()


def test_a_finalized_graph_keeps_handles_working(doubled):
    session, a, get = doubled
    more = a + 1.0
    kept = session.run(get, {a: [1.0]})
    tf.get_default_graph().finalize()
    assert session.run(more, {a: kept}).tolist() == [3.0]
    with pytest.raises(RuntimeError, match="Graph is finalized"):
        kept.eval()
    for _ in range(2 * DEAD_TOGETHER):
        session.run(get, {a: [1.0]})
    assert _kept(session) <= DEAD_TOGETHER


def test_reading_depends_on_nothing_around_it(doubled):
    session, a, get = doubled
    kept = session.run(get, {a: [1.0]})
    unfed = tf.placeholder(tf.float32)
    with tf.control_dependencies([unfed]), tf.name_scope("scope"):
        assert kept.eval().tolist() == [2.0]
        kept.delete()


def test_from_many_threads(doubled):
    session, a, get = doubled
    more, wrong = a + 1.0, []

    def work(seed):
        for number in range(40):
            value = float(seed * 1000 + number)
            kept = session.run(get, {a: [value]})
            if session.run(more, {a: kept}).tolist() != [2 * value + 1]:
                wrong.append(value)
            if kept.eval().tolist() != [2 * value]:
                wrong.append(value)
            if number % 3 == 0:
                kept.delete()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert _kept(session) < 2 * DEAD_TOGETHER
