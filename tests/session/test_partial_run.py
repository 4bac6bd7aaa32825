"""Partial runs: one step whose feeds come, and whose fetches go, in several calls."""

import gc
import weakref
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest

import tfsession as tf

InvalidArgumentError = tf.errors.InvalidArgumentError


@pytest.fixture
def session(fresh_graph, device):
    """A session on a graph of two steps, r1 = a + b and r2 = r1 * c."""
    with tf.device(device):
        a, b, c = (tf.placeholder(tf.float32, [], name=name) for name in "abc")
        r1 = tf.add(a, b, name="r1")
        tf.multiply(r1, c, name="r2")
    with tf.Session() as session:
        yield session


def finish(session, handle):
    """Go through a partial run of r1 and r2 that has fetched and been fed nothing so far."""
    assert session.partial_run(handle, "r1:0", {"a:0": 1.0, "b:0": 2.0}) == 3.0
    assert session.partial_run(handle, "r2:0", {"c:0": 10.0}) == 30.0
    with pytest.raises(InvalidArgumentError, match="Must run 'setup' before performing"):
        session.partial_run(handle, "r2:0")


HANDLES = [
    # (fetches, feeds, handle without its number)
    (["r1:0", "r2:0"], ["a:0", "b:0", "c:0"], "a:0,b:0,c:0->r1:0,r2:0//1/;"),
    (["r2:0", "r1:0", "r1:0"], ("c:0", b"b:0", "a:0"), "a:0,b:0,c:0->r1:0,r2:0//1/;"),
    ({"x": ["r1:0", ("r2", "r1")]}, ["a:0", "b:0", "c:0"], "a:0,b:0,c:0->r1:0/r1,r2/1/;"),
    ("r1:0", "r1:0", None),
    ("a", None, "->/a/1/;"),
    ("r2:0", "r1:0", "r1:0->r2:0//1/;"),
]


@pytest.mark.parametrize(("fetches", "feeds", "text"), HANDLES)
def test_a_handle_tells_what_it_stands_for(session, fetches, feeds, text):
    if text is None:
        with pytest.raises(InvalidArgumentError, match="r1:0 is both fed and fetched"):
            session.partial_run_setup(fetches, feeds)
        text = "r1:0->r2:0//1/;"
        assert session.partial_run_setup("r2:0", feeds) == f"{text}1"
    else:
        assert session.partial_run_setup(fetches, feeds) == f"{text}0"
        assert session.partial_run_setup(fetches, feeds) == f"{text}1"


SETUPS = [
    # (fetches, feeds, error, what it says)
    ([], ["a:0"], InvalidArgumentError, "Must specify at least one target to fetch or execute."),
    ([], [], InvalidArgumentError, "Must specify at least one target to fetch or execute."),
    (["r1:0", "b:0", "a:0"], ["b:0", "a:0"], InvalidArgumentError, "a:0 is both fed and fetched."),
    ("r1:0", ["b:0", "b:0", "a:0", "a:0"], InvalidArgumentError, '"a:0" fed more than once.'),
    ("a:0", ["a:0", "b:0", "b:0"], InvalidArgumentError, 'Endpoint "b:0" fed more than once.'),
    ("r1:0", "zz:0", TypeError, "Cannot interpret argument `feed` key as Tensor: The name 'zz:0'"),
    ("r1:0", ["a"], TypeError, "Cannot interpret argument `feed` key as Tensor: The name 'a'"),
    ("r1:0", [3], TypeError, "key as Tensor: Can not convert a int into a Tensor."),
    ("r1:0", [None], TypeError, "key as Tensor: Can not convert a NoneType into a Tensor."),
    ("r1:0", {"a:0": 1.0}, TypeError, "key as Tensor: Can not convert a dict into a Tensor."),
    ("r1:0", [("a:0", "b:0")], TypeError, "key as Tensor: Can not convert a tuple into"),
    (None, "a:0", TypeError, "`fetch` = None has invalid type"),
    (["r1:0", None], "a:0", TypeError, "`fetch` = None has invalid type"),
    ("zz:0", "a:0", ValueError, "cannot be interpreted as a Tensor"),
]


@pytest.mark.parametrize(("fetches", "feeds", "error", "text"), SETUPS)
def test_a_setup_that_is_refused(session, fetches, feeds, error, text):
    with pytest.raises(error) as caught:
        session.partial_run_setup(fetches, feeds)
    assert text in str(caught.value)
    finish(session, session.partial_run_setup(["r1:0", "r2:0"], ["a:0", "b:0", "c:0"]))


CALLS = [
    # (fetches, feeds, error, what it says), refused after nothing was fed
    ("r1:0", {"r1:0": 1.0}, InvalidArgumentError, "The feed r1:0 was not specified in partial"),
    ("zero:0", {}, InvalidArgumentError, "The fetch zero:0 was not specified in partial_run_setup"),
    ("zero:0", {"r1:0": 1.0}, InvalidArgumentError, "The feed r1:0 was not specified"),
    (["r1:0", "zero:0"], {}, InvalidArgumentError, "The fetch zero:0 was not specified"),
    ("a:0", {}, InvalidArgumentError, "The fetch a:0 was not specified in partial_run_setup"),
    ("r1:0", {}, InvalidArgumentError, "Fetch a:0 can't be computed from the feeds that have"),
    ("r1:0", {"a:0": 1.0}, InvalidArgumentError, "Fetch b:0 can't be computed from the feeds"),
    ("r2:0", {"a:0": 1.0}, InvalidArgumentError, "Fetch c:0 can't be computed from the feeds"),
    ("r2:0", {"c:0": 1.0}, InvalidArgumentError, "Fetch a:0 can't be computed from the feeds"),
    ("r1", {"a:0": 1.0}, RuntimeError, "requires empty `target_list`. Received: target_list=[<tf."),
    (["r1:0", "r1"], {"zero:0": 1.0}, RuntimeError, "partial_run() requires empty `target_list`"),
    ("r1:0", {"a:0": [1.0]}, ValueError, "Cannot feed value of shape (1,) for Tensor a:0"),
    ("r1:0", {"a:0": 1.0, "b:0": "x"}, ValueError, "could not convert string to float"),
    ("r1:0", {"a:0": {}}, TypeError, "float"),
    ("r1:0", {"zz:0": 1.0}, TypeError, "Cannot interpret feed_dict key as Tensor"),
    ("r1:0", [1.0], TypeError, "FlattenDictItems"),
    ("r1:0", {("a:0", "b:0"): (1.0,)}, ValueError, "Could not flatten dictionary."),
    (None, {"a:0": 1.0}, TypeError, "`fetch` = None has invalid type"),
    ("zz:0", {"a:0": 1.0}, ValueError, "cannot be interpreted as a Tensor"),
]


@pytest.mark.parametrize(("fetches", "feeds", "error", "text"), CALLS)
def test_a_refused_call_leaves_no_trace(session, fetches, feeds, error, text):
    tf.constant(0.0, name="zero")
    handle = session.partial_run_setup(["r1:0", "r2:0", "r1"], ["a:0", "b:0", "c:0"])
    for _ in range(2):
        with pytest.raises(error) as caught:
            session.partial_run(handle, fetches, feeds)
        assert text in str(caught.value)
    finish(session, handle)


def test_what_was_fed_and_fetched_is_so_once(session):
    handle = session.partial_run_setup(["r1:0", "r2:0"], ["a:0", "b:0", "c:0"])
    assert session.partial_run(handle, "r1:0", {"a:0": 1.0, "b:0": 2.0}) == 3.0
    refused = [
        ([], {"a:0": 1.0}, "The feed a:0 has already been fed."),
        ("r1:0", {"c:0": 1.0}, "The fetch r1:0 has already been fetched."),
        ("r1:0", {"b:0": 1.0}, "The feed b:0 has already been fed."),
    ]
    for fetches, feeds, text in refused:
        with pytest.raises(InvalidArgumentError, match=text):
            session.partial_run(handle, fetches, feeds)
    assert session.partial_run(handle, "r2:0", {"c:0": 2.0}) == 6.0


def test_handles_that_are_none(session):
    handle = session.partial_run_setup(["r1:0", "r2:0"], ["a:0", "b:0", "c:0"])
    for other in ("", "zz", handle + "1", handle[:-1], ";", "\ud800", b"\xff"):
        with pytest.raises(InvalidArgumentError, match="Must run 'setup' before performing"):
            session.partial_run(other, "r1:0", {"a:0": 1.0, "b:0": 1.0})
    for other in (0, 3.5, [handle], object(), ("x",)):
        with pytest.raises(TypeError, match="handle is what partial_run_setup gave"):
            session.partial_run(other, "r1:0", {"a:0": 1.0, "b:0": 1.0})
    with tf.Session() as another, pytest.raises(InvalidArgumentError, match="Must run 'setup'"):
        another.partial_run(handle, "r1:0", {"a:0": 1.0, "b:0": 1.0})
    # None is for an ordinary run; nothing to do is done under any handle.
    assert session.partial_run(None, ["r1:0", "r1"], {"a:0": 1.0, "b:0": 1.0}) == [2.0, None]
    assert session.partial_run("zz", []) == []
    assert session.partial_run(handle.encode(), [], {}) == []
    finish(session, handle)


def test_structures_names_and_duplicates(session):
    handle = session.partial_run_setup({"x": ["r1:0", ("r2:0",)]}, ["a:0", "b:0", "c:0"])
    assert session.partial_run(handle, {"y": []}, {b"a:0": 1.0}) == {"y": []}
    fetches = OrderedDict(z=["r1:0", "r1:0"], b="b:0")
    fetched = session.partial_run(handle, fetches, {"b:0": 2.0})
    assert fetched == OrderedDict(z=[3.0, 3.0], b=2.0)
    assert type(fetched["z"][0]) is np.float32
    x = np.array(4.0, np.float32)
    value, same = session.partial_run(handle, ("r2:0", "c:0"), {("c:0",): (x,)})
    assert value == 12.0
    assert same is x


def test_a_step_begins_with_its_setup(fresh_graph, device):
    """Each operation runs as soon as what it needs is there, fetched or not, and once."""
    with tf.device(device):
        a, b = (tf.placeholder(tf.float32, [], name=name) for name in "ab")
        v = [tf.Variable(float(i), use_resource=i % 2 == 0) for i in range(4)]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        added = [v[0].assign_add(10.0), tf.assign_add(v[1], a), v[2].assign_add(a * b)]
        handle = session.partial_run_setup([*[x.op for x in added], v[3]], [a, b])
        assert session.run(v) == [10.0, 1.0, 2.0, 3.0]
        session.partial_run(handle, [], {a: 5.0})
        assert session.run(v) == [10.0, 6.0, 2.0, 3.0]
        session.partial_run(handle, [], {b: 2.0})
        assert session.run(v) == [10.0, 6.0, 12.0, 3.0]
        session.run(tf.assign_add(v[3], 1.0))
        assert session.partial_run(handle, v[3]) == 4.0  # a reference: read when it is fetched
        assert session.run(v) == [10.0, 6.0, 12.0, 4.0]


def test_a_value_stays_what_it_was_when_it_was_read(fresh_graph, device):
    """Others may write to a variable between the calls."""
    with tf.device(device):
        a = tf.placeholder(tf.float32, [3])
        v = tf.Variable([1.0, 2.0, 3.0], use_resource=True)
        read = v.read_value()
        later = read + a
    with tf.Session() as session:
        session.run(v.initializer)
        handle = session.partial_run_setup([read, later], [a])
        for _ in range(2):
            session.run(v.assign_add([1.0, 1.0, 1.0]).op)
        zeros = np.zeros(3, np.float32)
        assert session.partial_run(handle, read).tolist() == [1.0, 2.0, 3.0]
        assert session.partial_run(handle, later, {a: zeros}).tolist() == [1.0, 2.0, 3.0]
        assert session.run(v).tolist() == [3.0, 4.0, 5.0]


def test_runs_interleave_with_each_other_and_a_growing_graph(session, device):
    setup = ["r1:0", "r2:0"], ["a:0", "b:0", "c:0"]
    handles = [session.partial_run_setup(*setup) for _ in range(3)]
    for number, handle in enumerate(handles):
        session.partial_run(handle, [], {"a:0": number})
    with tf.device(device):
        more = session.graph.get_tensor_by_name("r2:0") * 2.0
    assert session.run(more, {"a:0": 1.0, "b:0": 1.0, "c:0": 4.0}) == 16.0
    handles.append(session.partial_run_setup([more, *setup[0]], setup[1]))
    session.partial_run(handles[3], [], {"a:0": 3})
    assert session.partial_run(handles[3], more, {"b:0": 1.0, "c:0": 1.0}) == 8.0
    for number, handle in reversed(list(enumerate(handles))):
        feeds = {"b:0": 1.0} if number < 3 else {}
        assert session.partial_run(handle, "r1:0", feeds) == number + 1
    for number, handle in enumerate(handles):
        feeds = {"c:0": 2.0} if number < 3 else {}
        assert session.partial_run(handle, "r2:0", feeds) == (number + 1) * (2 if number < 3 else 1)
    assert session.partial_run_setup(*setup).endswith(";4")


def test_a_feed_of_what_would_be_computed(session):
    """What lies behind a fed tensor is not needed; a placeholder waited for by control is."""
    handle = session.partial_run_setup("r2:0", ["a:0", "b:0", "c:0", "r1:0"])
    assert session.partial_run(handle, "r2:0", {"r1:0": 3.0, "c:0": 2.0}) == 6.0
    session.partial_run(handle, [], {"a:0": 1.0, "b:0": 1.0})
    with tf.control_dependencies(["a", "r1"]):
        after = tf.constant(1.0) + 1.0
    handle = session.partial_run_setup(after, ["a:0", "b:0", "r1:0"])
    for name in "ab":
        with pytest.raises(InvalidArgumentError, match=f"Fetch {name}:0 can't be computed"):
            session.partial_run(handle, after)
        session.partial_run(handle, [], {f"{name}:0": 1.0})
    assert session.partial_run(handle, after) == 2.0
    session.partial_run(handle, [], {"r1:0": 1.0})


def test_a_feed_that_nothing_needs(session):
    for early in (True, False):
        handle = session.partial_run_setup("r1:0", ["a:0", "b:0", "c:0"])
        if early:
            session.partial_run(handle, [], {"c:0": 1.0})
        assert session.partial_run(handle, "r1:0", {"a:0": 1.0, "b:0": 1.0}) == 2.0
        if not early:
            session.partial_run(handle, [], {"c:0": 1.0})
        with pytest.raises(InvalidArgumentError, match="Must run 'setup'"):
            session.partial_run(handle, [], {"c:0": 1.0})


def test_constants_variables_and_texts(fresh_graph, device):
    with tf.device(device):
        a = tf.placeholder(tf.float32, [2])
        k, v, r = tf.constant([1.0, 2.0]), tf.Variable(3.0), tf.Variable(4.0, use_resource=True)
    text = tf.placeholder(tf.string)
    same = tf.identity(text)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        handle = session.partial_run_setup([k, v, r, same], [a, text])
        assert session.partial_run(handle, [v, r]) == [3.0, 4.0]
        first, second = session.partial_run(handle, [k, k])
        first[:] = 0.0
        assert second.tolist() == [0.0, 0.0]  # fetched once, as by run
        assert session.run(k).tolist() == [1.0, 2.0]
        with pytest.raises(tf.errors.InternalError, match="Unsupported object type int"):
            session.partial_run(handle, same, {text: np.array([1, None], object)})
        fetched = session.partial_run(handle, same, {text: ["é", b"x"]})
        assert fetched.tolist() == [b"\xc3\xa9", b"x"]
        session.partial_run(handle, [], {a: [0.0, 0.0]})


def test_ways_that_are_taken_and_not(fresh_graph, device):
    with tf.device(device):
        a, b = (tf.placeholder(tf.float32, [2], name=name) for name in "ab")
        n, q = tf.placeholder(tf.int32, []), tf.placeholder(tf.bool, [])
        chosen = tf.cond(q, lambda: a * 2.0, lambda: b + 1.0)
        powers = tf.while_loop(lambda i, x: i < n, lambda i, x: (i + 1, x * b), (0, a))[1]
    with tf.Session() as session:
        for taken, wanted in ((True, [2.0, 4.0]), (False, [4.0, 5.0])):
            handle = session.partial_run_setup([chosen, powers], [a, b, n, q])
            session.partial_run(handle, [], {q: taken, a: [1.0, 2.0]})
            with pytest.raises(InvalidArgumentError, match="can't be computed"):
                session.partial_run(handle, chosen)
            assert session.partial_run(handle, chosen, {b: [3.0, 4.0]}).tolist() == wanted
            assert session.partial_run(handle, powers, {n: 2}).tolist() == [9.0, 32.0]


def test_composites(fresh_graph, device):
    with tf.device(device):
        slices = tf.IndexedSlices(
            tf.placeholder(tf.float32, [None]), tf.placeholder(tf.int32, [None])
        )
        made = tf.IndexedSlices(slices.values * 2.0, slices.indices + 1)
    with tf.Session() as session:
        handle = session.partial_run_setup([made, slices.values + 1.0], [slices])
        fetched = session.partial_run(handle, [made, slices], {slices: ([1.0, 2.0], [3, 4])})
    for found, wanted in zip(fetched, (([2.0, 4.0], [4, 5]), ([1.0, 2.0], [3, 4])), strict=True):
        assert [part.tolist() for part in found[:2]] == list(wanted)


def test_what_is_fed_may_change_after_the_call(fresh_graph, device):
    with tf.device(device):
        x, a = tf.placeholder(tf.float32, [3]), tf.placeholder(tf.float32, [])
        later, view, turned = x + a, tf.reshape(x, [3, 1]), tf.identity(x)
    with tf.Session() as session:
        handle = session.partial_run_setup([later, view, turned], [x, a])
        fed = np.array([1.0, 2.0, 3.0], np.float32)
        assert session.partial_run(handle, turned, {x: fed}).tolist() == [1.0, 2.0, 3.0]
        fed[:] = 7.0
        assert session.partial_run(handle, later, {a: 0.0}).tolist() == [1.0, 2.0, 3.0]
        fetched = session.partial_run(handle, view)
        assert fetched.ravel().tolist() == [1.0, 2.0, 3.0]


def test_arrays_of_a_device_as_feeds(fresh_graph):
    with tf.device("/gpu:0"):
        x, a = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.float32, [])
        made, total = tf.constant([1.0, 2.0]) * 3.0, x + a
    with tf.device("/cpu:0"):
        beside = x * a
    with tf.Session() as session:
        array = session.make_callable(made, device_fetches=True)()
        handle = session.partial_run_setup([total, beside], [x, a])
        session.partial_run(handle, [], {x: array})
        fetched = session.partial_run(handle, [total, beside], {a: 2.0})
    assert [value.tolist() for value in fetched] == [[5.0, 8.0], [6.0, 12.0]]


def test_a_failure_ends_one_partial_run_alone(fresh_graph, device):
    with tf.device(device):
        x, b = tf.placeholder(tf.float32, name="x"), tf.placeholder(tf.float32, [], name="b")
        bad, fine = tf.add(x, [1.0, 2.0], name="bad"), tf.add(b, 1.0, name="fine")
        v = tf.Variable(0.0)
        counted = tf.assign_add(v, b)
    with tf.Session() as session:
        session.run(v.initializer)
        other = session.partial_run_setup([fine, counted.op], [b])
        handle = session.partial_run_setup([bad, fine, counted.op], [x, b])
        with pytest.raises(InvalidArgumentError, match="Incompatible shapes") as caught:
            session.partial_run(handle, bad, {x: [1.0, 2.0, 3.0]})
        assert caught.value.op is bad.op
        assert "test_partial_run.py" in caught.value.message
        assert caught.value.__context__ is None
        with pytest.raises(InvalidArgumentError, match="Must run 'setup'"):
            session.partial_run(handle, fine, {b: 1.0})
        assert session.partial_run(other, fine, {b: 1.0}) == 2.0
        assert session.run([fine, v], {b: 3.0}) == [4.0, 1.0]
        # What fails at the setup shows once a call fits.
        handle = session.partial_run_setup([bad, fine], [b])
        with pytest.raises(InvalidArgumentError, match="The fetch x:0 was not specified"):
            session.partial_run(handle, "x:0")
        for match in ("feed a value for placeholder tensor 'x'", "Must run 'setup'"):
            with pytest.raises(InvalidArgumentError, match=match):
                session.partial_run(handle, fine, {b: 1.0})


@pytest.fixture
def no_collection():
    """What is freed is freed at once, not by the garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Growing:
    """x, y, doubled = 2x, alone = 3x, total = doubled + y and large on a GPU, of size `size`."""

    size = 1 << 16

    def __init__(self):
        with tf.device("/gpu:0"):
            self.x, self.y = (tf.placeholder(tf.float32, [None], name=name) for name in "xy")
            self.doubled, self.alone = self.x * 2.0, self.x * 3.0
            self.total = self.doubled + self.y
            self.large = tf.ones([self.size]) * 2.0
        with tf.device("/cpu:0"), tf.control_dependencies([self.large]):
            self.failing = tf.identity(tf.placeholder(tf.float32, name="z"))
        self.session = tf.Session()
        self.big = np.ones(self.size, np.float32)
        self.session.run([self.total, self.alone, self.large], {self.x: self.big, self.y: self.big})
        self.before = self.in_use

    @property
    def in_use(self):
        """Bytes of the device."""
        return self.session._engine.devices.devices[1].memory_stats().in_use

    def begin(self, *fetches):
        """A partial run that was fed x, and a reference that tells whether it is still there."""
        handle = self.session.partial_run_setup(list(fetches), [self.x, self.y])
        self.session.partial_run(handle, [], {self.x: self.big})
        return handle, weakref.ref(self.session._partial_runs._runs[handle])


def test_a_value_is_given_back_once_it_is_fetched(fresh_graph, no_collection):
    g = Growing()
    handle, run = g.begin(g.alone, g.total)
    held = g.in_use
    fetched = g.session.partial_run(handle, g.alone)
    assert g.in_use == held - 4 * g.size
    array = weakref.ref(fetched)
    del fetched
    assert array() is None
    g.session.partial_run(handle, g.total, {g.y: g.big})
    assert g.in_use == g.before
    assert run() is None


def test_a_failed_run_gives_back_what_it_held(fresh_graph, no_collection, monkeypatch):
    # A recorded step would keep its memory for the next one.
    monkeypatch.setenv("TFSESSION_GPU_GRAPHS", "0")
    g = Growing()
    for _ in range(3):
        handle, run = g.begin(g.doubled, g.total)
        with suppress(InvalidArgumentError):
            g.session.partial_run(handle, g.total, {g.y: [1.0, 2.0, 3.0]})
        assert g.in_use == g.before
        assert run() is None
        # Also where no call comes to see the failure.
        g.session.partial_run_setup([g.large, g.failing, g.total], [g.x, g.y])
        assert g.in_use == g.before


def test_a_closed_session_gives_back_what_its_runs_held(fresh_graph, no_collection):
    g = Growing()
    _, run = g.begin(g.doubled, g.total)
    g.session.close()
    assert g.in_use == 0
    assert run() is None


def test_sessions_that_are_closed_reset_or_empty(fresh_graph):
    empty = tf.Session()
    for call in (lambda: empty.partial_run_setup([]), lambda: empty.partial_run("x", [])):
        with pytest.raises(RuntimeError, match="The Session graph is empty"):
            call()
    a = tf.placeholder(tf.float32, [], name="a")
    b = a + 1.0
    session, closed = tf.Session(), tf.Session()
    handle = session.partial_run_setup(b, a)
    closed.partial_run_setup(b, a)
    closed.close()
    tf.Session.reset("")
    calls = [
        lambda s: s.partial_run(handle, b, {a: 1.0}),
        lambda s: s.partial_run("zz", b),
        lambda s: s.partial_run_setup(b, a),
        lambda s: s.partial_run_setup([], a),
    ]
    for call in calls:
        with pytest.raises(tf.errors.CancelledError, match="Session has been closed"):
            call(session)
        with pytest.raises(RuntimeError, match="Attempted to use a closed Session"):
            call(closed)


def test_a_graph_that_cannot_be_placed(session):
    with tf.device("/gpu:77"):
        tf.identity(1.0)
    for fetches in ("r1:0", []):
        with pytest.raises(InvalidArgumentError, match="Cannot assign a device"):
            session.partial_run_setup(fetches, ["a:0", "b:0"])
