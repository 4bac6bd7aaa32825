"""Callables of CallableOptions: devices of feeds and fetches, connected tensors, run options."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core import protos

GPU = "/job:localhost/replica:0/task:0/device:GPU:{}"
X, Y = np.float32([1, 2]), np.float32([3, 4])


@pytest.fixture(autouse=True, scope="module")
def simulated():
    """Two simulated GPUs, on any machine: they count what they copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFSESSION_SIMULATED_GPUS", "2:256MiB")
        yield


def options(connect=(), feed_devices=None, fetch_devices=None, **fields):
    message = protos.CallableOptions(**fields)
    for source, to in connect:
        message.tensor_connection.add(from_tensor=source, to_tensor=to)
    message.feed_devices.update(feed_devices or {})
    message.fetch_devices.update(fetch_devices or {})
    return message


def make(session, **asked):
    return session._make_callable_from_options(options(**asked))


def gpus(session):
    return [d for d in session._engine.devices.devices if d.device_type == "GPU"]


def copies(session, call, *values):
    """Copies to devices, from them, and between them, as simulated devices count them."""
    with session.counting() as counted:
        call(*values)
    return counted.total[1:4]


@pytest.fixture
def sums(fresh_graph):
    """`c` is the sum of `a` and `b`, and `d` is twice `c`, on the first GPU."""
    with tf.device("/gpu:0"):
        a, b = (tf.placeholder(tf.float32, [2], name=name) for name in "ab")
        c = tf.add(a, b, name="c")
        tf.multiply(c, 2.0, name="d")
    with tf.device("/gpu:1"):
        tf.multiply(c, 3.0, name="e")
    return tf.Session()


def test_fetches_stay_where_they_are_asked_for(sums):
    devices = {"c:0": GPU.format(0), "e:0": GPU.format(0)}
    call = make(sums, feed=["a:0", "b:0"], fetch=["e:0", "c:0", "d:0"], fetch_devices=devices)
    e, c, d = call(X, Y)
    assert (e.device, c.device) == (gpus(sums)[0],) * 2
    assert e.get().tolist() == [12, 18]
    assert c.get().tolist() == [4, 6]
    assert d.tolist() == [8, 12]
    # Two feeds and a constant factor each; d comes to the host; c to the other GPU, e back.
    assert copies(sums, call, X, Y) == (2, 1, 2)


def test_feeds_lie_where_they_are_said_to(sums):
    feeds = {"feed": ["a:0", "b:0"], "fetch": ["c:0"]}
    make_arrays = make(sums, **feeds, fetch_devices={"c:0": GPU.format(0)})
    (here,) = make_arrays(X, Y)
    (there,) = make(sums, feed=["c:0"], fetch=["e:0"], fetch_devices={"e:0": GPU.format(1)})(X)
    devices = {"a:0": GPU.format(0), "b:0": GPU.format(0)}
    call = make(sums, **feeds, feed_devices=devices, fetch_devices={"c:0": GPU.format(0)})
    # Both ways a value that lies elsewhere is brought, and one that is there is not copied.
    for values, moves in (
        ((here, here), (0, 0, 0)),
        ((here, Y), (1, 0, 0)),
        ((X, Y), (2, 0, 0)),
        ((there, here), (0, 0, 1)),
    ):
        for run in (call, make_arrays):
            assert copies(sums, run, *values) == moves
            (result,) = run(*values)
            parts = [v.get() if hasattr(v, "get") else v for v in values]
            np.testing.assert_array_equal(result.get(), parts[0] + parts[1])


def test_arrays_of_devices_are_held_to_dtype_and_shape(sums):
    with tf.device("/gpu:0"):
        tf.cast(tf.placeholder(tf.float32, [2], name="x"), tf.float64, name="doubles")
    (array,) = make(
        sums, feed=["x:0"], fetch=["doubles:0"], fetch_devices={"doubles:0": GPU.format(0)}
    )(X)
    assert array.dtype == np.float64
    (short,) = make(sums, feed=["a:0", "b:0"], fetch=["c:0"], fetch_devices={"c:0": GPU.format(0)})(
        X, Y
    )
    for feed_devices in ({}, {"a:0": GPU.format(0)}):
        call = make(sums, feed=["a:0", "b:0"], fetch=["c:0"], feed_devices=feed_devices)
        with pytest.raises(tf.errors.InvalidArgumentError, match="actual double vs"):
            call(array, Y)
        with pytest.raises(ValueError, match=r"shape \(1,\) for Tensor a:0"):
            call(short[:1], Y)
        assert call(X, Y)[0].tolist() == [4, 6]


def test_what_no_device_holds_is_neither_fed_nor_fetched_there(fresh_graph):
    tf.placeholder(tf.int32, name="i")
    tf.placeholder(tf.string, name="t")
    tf.get_variable("v", [1], use_resource=True)
    session = tf.Session()
    for name, kind in (("i:0", "int32"), ("t:0", "string"), ("v:0", "resource")):
        for asked in (
            {"feed": [name], "target": ["i"], "feed_devices": {name: GPU.format(0)}},
            {"fetch": [name], "fetch_devices": {name: GPU.format(0)}},
        ):
            with pytest.raises(
                tf.errors.InvalidArgumentError,
                match=f"'{name}' from device {GPU.format(0)} as .* not yet supported for {kind} te",
            ):
                make(session, **asked)


def test_variables_on_a_device_are_fetched_as_copies(fresh_graph):
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", [2], initializer=tf.zeros_initializer())
        up = tf.assign_add(v, [1.0, 1.0], name="up")
    session = tf.Session()
    call = make(session, fetch=["v:0"], fetch_devices={"v:0": GPU.format(0)})
    with pytest.raises(
        tf.errors.FailedPreconditionError, match=r"uninitialized value v\n.*_retval"
    ):
        call()
    session.run(v.initializer)
    (before,) = call()
    session.run(up)
    assert before.get().tolist() == [0, 0]
    before += 5
    assert call()[0].get().tolist() == [1, 1]


@pytest.mark.parametrize("source", ["/cpu:0", "/gpu:0", "/gpu:1"])
@pytest.mark.parametrize("reader", ["/cpu:0", "/gpu:0"])
def test_connected_tensors_are_brought_to_their_readers(fresh_graph, source, reader):
    with tf.device(source):
        x = tf.placeholder(tf.float32, [2], name="x")
        tf.square(x, name="square")
    with tf.device(reader):
        k = tf.constant([1.0, 1.0], name="k")
        tf.multiply(k, 10.0, name="y")
    session = tf.Session()
    call = make(session, feed=["x:0"], fetch=["y:0"], connect=[("square:0", "k:0")])
    for _ in range(3):
        assert call(X)[0].tolist() == [10, 40]
        assert session.run("y:0").tolist() == [10, 10]
    metadata = protos.RunMetadata()
    traced = protos.RunOptions(trace_level=3, output_partition_graphs=True)
    call = make(
        session, feed=["x:0"], fetch=["y:0"], connect=[("square:0", "k:0")], run_options=traced
    )
    assert call(X, run_metadata=metadata)[0].tolist() == [10, 40]
    nodes = {n.name: n for g in metadata.partition_graphs for n in g.node}
    assert "square" in nodes
    assert "k" not in nodes


def test_a_connected_tensor_may_have_another_shape(fresh_graph):
    tf.placeholder(tf.float32, [], name="small")
    wide = tf.placeholder(tf.float32, [3], name="wide")
    y = tf.add(tf.exp(wide), [1.0, 2.0, 3.0], name="y")
    session = tf.Session()
    call = make(session, feed=["small:0"], fetch=["y:0"], connect=[("small:0", "wide:0")])
    assert call(np.float32(0))[0].tolist() == [2, 3, 4]
    assert session.run(y, {wide: [0, 0, 0]}).tolist() == [2, 3, 4]


def _evaluate(tensor, graph, connections, feeds):
    """What a node of a random graph comes to, by the definition."""
    if tensor in feeds:
        return feeds[tensor]
    inputs = [connections.get(name, name) for name in graph[tensor]]
    return 1 + sum((i + 2) * _evaluate(n, graph, connections, feeds) for i, n in enumerate(inputs))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_connections_give_what_they_say(data):
    """A random graph in which readers are led elsewhere, on random devices."""
    size = data.draw(st.integers(2, 8))
    graph = {"n0": []}
    with tf.Graph().as_default():
        tensors = {"n0": tf.constant(np.float64(1), name="n0")}
        for number in range(1, size):
            name = f"n{number}"
            graph[name] = data.draw(st.lists(st.sampled_from(sorted(tensors)), max_size=3))
            with tf.device(data.draw(st.sampled_from(["/cpu:0", "/gpu:0", "/gpu:1"]))):
                parts = [tf.multiply(tensors[n], i + 2.0) for i, n in enumerate(graph[name])]
                one = tf.constant(np.float64(1))
                tensors[name] = tf.add_n([one, *parts], name=name)
        names = st.sampled_from(sorted(tensors))
        pairs = data.draw(st.dictionaries(names, names, max_size=3))
        feeds = data.draw(st.sets(names.filter(lambda n: n not in pairs), max_size=2))
        fetches = sorted(set(graph) - set(pairs) - feeds) or ["other"]
        tensors["other"], graph["other"] = tf.constant(np.float64(1), name="other"), []
        call_options = options(
            feed=[f"{n}:0" for n in sorted(feeds)],
            fetch=[f"{n}:0" for n in fetches],
            connect=[(f"{source}:0", f"{to}:0") for to, source in pairs.items()],
        )
        values = {name: np.float64(7 + i) for i, name in enumerate(sorted(feeds))}
        with tf.Session() as session:
            if _is_circular(graph, pairs, values):
                with pytest.raises(tf.errors.InvalidArgumentError, match="would create a cycle"):
                    session._make_callable_from_options(call_options)
            else:
                call = session._make_callable_from_options(call_options)
                ends = _followed(pairs)
                wanted = [_evaluate(n, graph, ends, values) for n in fetches]
                assert [float(v) for v in call(*values.values())] == wanted


def _is_circular(graph, pairs, values):
    """Whether the connections, made one after another, ever close a circle, needed or not."""
    for count in range(1, len(pairs) + 1):
        try:
            ends = _followed(dict(list(pairs.items())[:count]))
            for name in graph:
                _evaluate(name, graph, ends, values)
        except RecursionError:
            return True
    return False


def _followed(pairs):
    """Where each connection leads in the end; a circle is left to those who walk it."""
    ends = {}
    for to in pairs:
        end, steps = pairs[to], 0
        while end in pairs and steps < len(pairs):
            end, steps = pairs[end], steps + 1
        if end in pairs:
            raise RecursionError
        ends[to] = end
    return ends


def test_timeouts(fresh_graph):
    x = tf.placeholder(tf.float32, [400, 400], name="x")
    y = x
    for _ in range(60):
        y = tf.matmul(y, x)
    tf.identity(y, name="y")
    session, value = tf.Session(), np.zeros((400, 400), np.float32)
    call = make(
        session, feed=["x:0"], fetch=["y:0"], run_options=protos.RunOptions(timeout_in_ms=5)
    )
    for _ in range(2):
        with pytest.raises(tf.errors.DeadlineExceededError):
            call(value)
    free = make(session, feed=["x:0"], fetch=["y:0"])
    assert free(value)[0].shape == (400, 400)


def test_make_callable_takes_a_timeout(fresh_graph):
    x = y = tf.get_variable("v", [400, 400], initializer=tf.zeros_initializer())
    for _ in range(60):
        y = tf.matmul(y, x)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    call = session.make_callable(y, accept_options=True)
    with pytest.raises(tf.errors.DeadlineExceededError) as caught:
        call(options=tf.RunOptions(timeout_in_ms=5))
    assert caught.value.op is None
    assert call().shape == call(tf.RunOptions(timeout_in_ms=60000)).shape == (400, 400)


def test_messages_of_other_packages(sums):
    other = protos.CallableOptions(feed=["a:0", "b:0"], fetch=["c:0"])

    class Foreign:
        def SerializeToString(self):
            return other.SerializeToString()

    assert sums._make_callable_from_options(Foreign())(X, Y)[0].tolist() == [4, 6]


def test_many_threads(sums):
    call = make(sums, feed=["a:0", "b:0"], fetch=["c:0"])
    keep = make(sums, feed=["a:0", "b:0"], fetch=["c:0"], fetch_devices={"c:0": GPU.format(0)})
    failures = []

    def work(number):
        value = np.full(2, number, np.float32)
        for _ in range(50):
            (array,) = keep(value, value)
            if call(array, value)[0].tolist() != [3 * number] * 2:
                failures.append(number)

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
