"""Conditionals and loops in sessions: on each device, traced, timed, partial, stopped half-way."""

import collections
import threading
import time
import tracemalloc

import numpy as np
import pytest

import tfsession as tf

SOFT = tf.ConfigProto(allow_soft_placement=True)
TRACE = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
TIMED = tf.RunOptions(timeout_in_ms=60_000)
X = np.array([1.0, -2.0], np.float32)


def run(session, fetches, feeds=None):
    """What a run gives: inlined, under a deadline and traced, which are compiled in other ways."""
    found = session.run(fetches, feeds)
    for options in (TIMED, TRACE):
        again = session.run(fetches, feeds, options, tf.RunMetadata())
        flat = [
            tf.nest.flatten(value) if hasattr(tf, "nest") else value for value in (found, again)
        ]
        np.testing.assert_equal(flat[1], flat[0])
    return found


@pytest.fixture
def feeds(fresh_graph):
    """A vector, two predicates and a number."""
    return (
        tf.placeholder(tf.float32, [2], name="x"),
        tf.placeholder(tf.bool, [], name="p"),
        tf.placeholder(tf.bool, [], name="q"),
        tf.placeholder(tf.int32, [], name="n"),
    )


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [False, True])
@pytest.mark.parametrize("q", [False, True])
def test_nested_conds(feeds, device, p, q):
    x, first, second, _ = feeds
    with tf.device(device):
        y = tf.cond(
            first,
            lambda: tf.cond(second, lambda: x + 1.0, lambda: x * 2.0),
            lambda: tf.cond(second, lambda: tf.exp(x), lambda: x),
        )
        z = y * 3.0
    with tf.Session(config=SOFT) as session:
        found = run(session, [y, z], {x: X, first: p, second: q})
    expected = ((X + 1 if q else X * 2) if p else (np.exp(X) if q else X)).astype(np.float32)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    np.testing.assert_allclose(found[1], expected * 3, rtol=1e-6)


def test_a_loop(feeds, device):
    x, _, _, n = feeds
    with tf.device(device):
        i, y = tf.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, y * 0.5 + x), [0, x])
    with tf.Session(config=SOFT) as session:
        for count in (0, 1, 7, 0):
            expected = X
            for _ in range(count):
                expected = expected * np.float32(0.5) + X
            found = run(session, [i, y], {x: X, n: count})
            assert found[0] == count
            np.testing.assert_array_equal(found[1], expected)


def test_loops_in_loops_in_branches(feeds, device):
    x, p, _, n = feeds
    with tf.device(device):

        def triangle(y):
            return tf.while_loop(
                lambda i, y: i < n,
                lambda i, y: (
                    i + 1,
                    tf.while_loop(
                        lambda j, y: j <= i,
                        lambda j, y: (j + 1, tf.cond(tf.equal(j, 1), lambda: y, lambda: y + x)),
                        [0, y],
                    )[1],
                ),
                [0, y],
            )[1]

        z = tf.cond(p, lambda: triangle(x), lambda: -x)
    with tf.Session(config=SOFT) as session:
        assert run(session, z, {x: X, p: False, n: 5}).tolist() == (-X).tolist()
        # 1 + 2 + 3 + 4 + 5 turns, of which 4 add nothing.
        assert run(session, z, {x: X, p: True, n: 5}).tolist() == (X * 12).tolist()
        assert run(session, z, {x: X, p: True, n: 0}).tolist() == X.tolist()


def test_loop_variables_that_change_their_device(feeds):
    x, _, _, n = feeds

    def body(i, a, b):
        with tf.device("/gpu:0"):
            c = a + b
        with tf.device("/cpu:0"):
            d = b * 2.0
        with tf.device("/gpu:1"):
            e = tf.cond(tf.reduce_sum(c) > 0.0, lambda: c, lambda: c - d)
        return i + 1, d, e

    _, a, b = tf.while_loop(lambda i, a, b: i < n, body, [0, x, x])
    with tf.Session(config=SOFT) as session:
        first, second = X, X
        for _ in range(6):
            c, d = first + second, second * 2
            first, second = d, c if c.sum() > 0 else c - d
        found = run(session, [a, b], {x: X, n: 6})
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], second)


def test_predicates_computed_on_a_device(feeds, device):
    x, _, _, _ = feeds
    with tf.device(device):
        y = tf.while_loop(lambda y: tf.reduce_sum(y) < 100.0, lambda y: y * 2.0, [x + 3.0])
        z = tf.cond(tf.reduce_max(x) > 0.0, lambda: y, lambda: x)
    with tf.Session(config=SOFT) as session:
        assert run(session, z, {x: X}).tolist() == [4 * 32, 32]
        assert run(session, z, {x: [-1.0, -2.0]}).tolist() == [-1, -2]


def test_kinds_of_loop_variables(feeds, device):
    _, p, _, n = feeds
    with tf.device(device):
        found = tf.while_loop(
            lambda i, *_: i < n,
            lambda i, b, t, d, c: (
                i + 1,
                tf.logical_not(b),
                tf.where(b, t, tf.constant("b")),
                d * 2,
                c * c,
            ),
            [0, p, "a", tf.constant([1, 2], tf.int64), tf.constant(1j, tf.complex64)],
        )
    with tf.Session(config=SOFT) as session:
        i, b, t, d, c = run(session, found, {p: True, n: 3})
    assert (i, b, t, d.tolist(), c) == (3, False, b"b", [8, 16], 1)


def test_structures(feeds, device):
    x, p, _, n = feeds
    Pair = collections.namedtuple("Pair", "rows rest")

    def made(k):
        sparse = tf.SparseTensor([[0, 1]], x[:1] * k, [2, 2])
        return Pair(tf.IndexedSlices(x * k, tf.range(2)), {"s": sparse, "l": [x, (x + k,)]})

    with tf.device(device):
        z = tf.cond(p, lambda: made(2.0), lambda: made(3.0))
        w = tf.while_loop(
            lambda i, pair: i < n,
            lambda i, pair: (i + 1, Pair(pair.rows, {"s": pair.rest["s"], "l": [x, (x,)]})),
            [0, made(5.0)],
        )[1]
    assert type(z) is type(w) is Pair
    with tf.Session(config=SOFT) as session:
        for fetched, feed, k, last in ((z, True, 2, 3), (z, False, 3, 4), (w, True, 5, 1)):
            found = session.run(fetched, {x: X, p: feed, n: 3})
            assert found.rows.values.tolist() == (X * k).tolist()
            assert found.rest["s"].values.tolist() == [k]
            assert found.rest["s"].indices.tolist() == [[0, 1]]
            assert found.rest["l"][1][0].tolist() == ([1, -2] if fetched is w else [last, k - 2])


def test_ten_thousand_turns(feeds, device):
    """In the memory of a few: nothing of an iteration outlives the next one."""
    x, _, _, n = feeds
    turns = 9999 if "cpu" in device else 999
    with tf.device(device):
        big = tf.zeros([1000]) + x[0]

        def body(i, y):
            y = tf.cond(tf.equal(i % 3, 0), lambda: y + 1.0, lambda: tf.maximum(y, 0.0) * 1.0)
            return i + 1, y

        y = tf.while_loop(lambda i, y: i < n, body, [0, big])[1]
    with tf.Session(config=SOFT) as session:
        session.run(y, {x: X, n: 10})
        tracemalloc.start()
        try:
            found = session.run(y, {x: X, n: turns})
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()
    assert found.tolist() == [1 + turns / 3] * 1000


def test_several_conds_at_once(feeds):
    x, p, q, _ = feeds
    conds = [
        tf.cond(a, lambda k=k: x + k, lambda k=k: x - k)
        for k, a in enumerate([p, q, tf.logical_and(p, q), p])
    ]
    total = tf.add_n(conds)
    with tf.Session() as session:
        for a in (False, True):
            for b in (False, True):
                signs = [1 if c else -1 for c in (a, b, a and b, a)]
                expected = [X + k * sign for k, sign in enumerate(signs)]
                *found, last = run(session, [*conds, total], {x: X, p: a, q: b})
                np.testing.assert_array_equal(found, np.array(expected, np.float32))
                np.testing.assert_array_equal(last, sum(expected))


def test_fed_tensors_inside(feeds):
    """What branches and loops read may be fed, also where it was brought in."""
    x, p, _, n = feeds
    inner = tf.multiply(x, 3.0, name="inner")
    z = tf.cond(p, lambda: inner + 1.0, lambda: inner)
    w = tf.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, y + inner), [0, x])[1]
    with tf.Session() as session:
        base = {x: X, p: True, n: 2}
        assert run(session, [z, w], {**base, inner: [7, 7]})[0].tolist() == [8, 8]
        assert run(session, w, {**base, inner: [7, 7]}).tolist() == [15, 12]
        assert run(session, z * 2.0, {**base, z: [5, 5]}).tolist() == [10, 10]
        assert run(session, w * 2.0, {w: [5, 5]}).tolist() == [10, 10]
        assert run(session, z, {**base, "cond/add/Switch:1": [6, 6]}).tolist() == [7, 7]


def test_what_a_fetch_gives_is_its_own(feeds):
    """No fetched value shares memory with a feed, a variable or another fetch."""
    x, p, _, n = feeds
    v = tf.Variable([1.0, 2.0])
    z = tf.cond(p, lambda: x, lambda: v)
    w = tf.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, y), [0, x])[1]
    with tf.Session() as session:
        session.run(v.initializer)
        fed = X.copy()
        found = session.run([z, w, z, v], {x: fed, p: True, n: 2})
        for value in found:
            value += 100
        assert fed.tolist() == X.tolist()
        assert session.run(v).tolist() == [1, 2]
        session.run(z, {x: fed, p: False})[:] = 9
        assert session.run(v).tolist() == [1, 2]


# --- state and order ------------------------------------------------------------------------------


@pytest.mark.parametrize("use_resource", [False, True])
def test_variables_change_in_the_taken_branch_only(feeds, device, use_resource):
    _, p, _, n = feeds
    with tf.device(device):
        v = tf.get_variable("v", initializer=1.0, use_resource=use_resource)
        w = tf.get_variable("w", initializer=1.0, use_resource=use_resource)
        outside = tf.assign_add(w, 100.0)
        step = tf.cond(p, lambda: tf.assign_add(v, 1.0), lambda: tf.assign_sub(v, 2.0))
        quiet = tf.cond(p, lambda: tf.group(tf.assign(v, 50.0)), lambda: tf.no_op())
        always = tf.cond(p, lambda: tf.identity(outside), lambda: tf.constant(0.0))

        def body(i):
            with tf.control_dependencies([tf.assign_add(v, tf.to_float(i))]):
                return i + 1

        loop = tf.while_loop(lambda i: i < n, body, [0])
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        assert session.run(step, {p: True}) == 2
        assert session.run(step, {p: False}) == 0
        session.run(quiet, {p: False})
        assert session.run(v) == 0
        session.run(quiet.op, {p: True})
        assert session.run(v) == 50
        assert session.run(loop, {n: 4}) == 4
        assert session.run(v) == 56
        # What was made outside runs whichever way it goes.
        assert session.run(always, {p: False}) == 0
        assert session.run(w) == 101


def test_a_variable_as_a_result(feeds, device):
    """The value that it has, not its storage."""
    _, p, q, _ = feeds
    with tf.device(device):
        v, w = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])
        z = tf.cond(p, lambda: v, lambda: tf.assign_add(w, [1.0, 1.0]))
        k = tf.cond(q, lambda: tf.assign(v, [9.0, 9.0]), lambda: tf.constant([0.0, 0.0])) * 2.0
        u = tf.cond(q, lambda: tf.assign(v, [5.0, 5.0]), lambda: tf.assign(w, [6.0, 6.0]))
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        assert session.run(z, {p: True}).tolist() == [1, 2]
        assert session.run(z, {p: False}).tolist() == [4, 5]
        assert session.run(k, {q: True}).tolist() == [18, 18]
        assert session.run(k, {q: False}, TRACE, tf.RunMetadata()).tolist() == [0, 0]
        assert session.run(u, {q: True}, TRACE, tf.RunMetadata()).tolist() == [5, 5]
        assert session.run(u, {q: False}).tolist() == [6, 6]


def test_what_waits_for_dead_operations_does_not_run(feeds):
    x, p, _, _ = feeds
    v = tf.Variable(0.0)
    kept = []
    tf.cond(p, lambda: kept.append(tf.negative(x)) or kept[0], lambda: x)
    with tf.control_dependencies([kept[0]]):
        after = tf.assign_add(v, 1.0)
        value = tf.constant(3.0)
    with tf.Session() as session:
        session.run(v.initializer)
        assert session.run(after.op, {x: X, p: False}) is None
        assert session.run(v) == 0
        assert session.run(after.op, {x: X, p: True}) is None
        assert session.run(v) == 1
        for options in (None, TIMED, TRACE):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"Retval\[\d\] does not have"):
                session.run([x, value], {x: X, p: False}, options, tf.RunMetadata())
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Retval\[0\] does not have"):
            session.make_callable(value, [x, p])(X, False)
        assert run(session, value, {x: X, p: True}) == 3


def test_random_numbers_go_on_from_turn_to_turn(fresh_graph, device):
    """A random operation in a loop gives what as many runs of it outside would give."""
    with tf.device(device):
        n = tf.placeholder(tf.int32, [])
        loop = tf.while_loop(
            lambda i, t: i < n,
            lambda i, t: (i + 1, tf.concat([t, tf.random_uniform([1], seed=5)], 0)),
            [0, tf.zeros([0])],
            [tf.TensorShape([]), tf.TensorShape([None])],
        )[1]
        outside = tf.random_uniform([1], seed=5)
    with tf.Session(config=SOFT) as session:
        expected = [session.run(outside)[0] for _ in range(5)]
        assert session.run(loop, {n: 2}).tolist() == expected[:2]
        assert session.run(loop, {n: 0}).tolist() == []
        assert session.run(loop, {n: 3}).tolist() == expected[2:]


def test_training_through_a_cond(feeds, device):
    x, p, _, _ = feeds
    with tf.device(device):
        v = tf.get_variable("v", initializer=[1.0, 1.0])
        loss = tf.cond(p, lambda: tf.reduce_sum(v * x), lambda: tf.reduce_sum(v * v))
        train = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        session.run(train, {x: X, p: True})
        assert session.run(v).tolist() == [0.5, 2.0]
        session.run(train, {x: X, p: False})
        assert session.run(v).tolist() == [0, 0]


# --- waiting and stopping -------------------------------------------------------------------------


def test_queues_in_branches_and_loops(feeds, device):
    x, p, _, n = feeds
    queue = tf.FIFOQueue(10, tf.float32, [[]])
    with tf.device(device):
        take = tf.cond(p, lambda: queue.dequeue() * 2.0, lambda: tf.constant(-1.0))
        put = tf.cond(p, lambda: queue.enqueue(x[0]), lambda: tf.no_op())
        drain = tf.while_loop(
            lambda i, t: i < n, lambda i, t: (i + 1, t + queue.dequeue()), [0, 0.0]
        )[1]
    with tf.Session(config=SOFT) as session:
        session.run(put, {x: X, p: False})
        assert session.run(queue.size()) == 0
        for _ in range(3):
            session.run(put, {x: X, p: True})
        assert session.run(take, {p: False}) == -1
        assert session.run(take, {p: True}) == 2
        assert session.run(drain, {n: 2}) == 2
        with pytest.raises(tf.errors.DeadlineExceededError):
            session.run(drain, {n: 1}, tf.RunOptions(timeout_in_ms=50))
        session.run(put, {x: X, p: True})
        assert session.run(drain, {n: 1}, TRACE, tf.RunMetadata()) == 1


def test_both_ends_of_a_queue_in_one_step(feeds, device):
    """One end in a loop, the other outside, or in a loop of its own: none holds up the other."""
    *_, n = feeds
    queue = tf.FIFOQueue(1, tf.float32, [[]])

    def put(i):
        with tf.control_dependencies([queue.enqueue(tf.to_float(i))]):
            return i + 1

    with tf.device(device):
        puts = tf.while_loop(lambda i: i < n, put, [0])
        takes = tf.while_loop(
            lambda i, t: i < n, lambda i, t: (i + 1, t + queue.dequeue()), [0, 0.0]
        )[1]
        once = [queue.dequeue() for _ in range(3)]
    with tf.Session(config=SOFT) as session:
        assert session.run([takes, puts], {n: 20}, TIMED) == [190, 20]
        assert sum(session.run([*once, puts], {n: 3}, TIMED)) == 6
        assert session.run([takes, puts], {n: 20}, TRACE, tf.RunMetadata())[0] == 190
        assert session.run(queue.size()) == 0


def endless():
    return tf.while_loop(lambda i: tf.constant(True), lambda i: i + 1, [0])


def test_an_endless_loop_ends_in_time(fresh_graph, device):
    with tf.device(device):
        loop, five = endless(), tf.while_loop(lambda i: i < 5, lambda i: i + 1, [0])
        deep = tf.while_loop(lambda i: i < 5, lambda i: endless(), [0])
    with tf.Session(config=SOFT) as session:
        for fetch in (loop, deep):
            for level in (tf.RunOptions.NO_TRACE, tf.RunOptions.FULL_TRACE):
                options = tf.RunOptions(timeout_in_ms=60, trace_level=level)
                begin = time.monotonic()
                with pytest.raises(tf.errors.DeadlineExceededError, match="Timed out waiting"):
                    session.run(fetch, options=options, run_metadata=tf.RunMetadata())
                assert time.monotonic() - begin < 10
        assert session.run(five) == 5


@pytest.mark.parametrize("waits", [False, True])
def test_close_ends_a_loop(fresh_graph, waits):
    """One that computes, and one that waits again and again."""
    queue = tf.FIFOQueue(1, tf.int32, [[]])
    ends = [queue.dequeue(), queue.enqueue(1)]
    loop = endless()
    if waits:
        loop = tf.while_loop(lambda i: tf.constant(True), lambda i: queue.dequeue(), [0])
    session = tf.Session()
    session.run(ends)
    begun, errors = threading.Event(), []

    def work():
        begun.set()
        try:
            session.run(loop)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    time.sleep(0.05)
    session.close()
    thread.join(30)
    assert not thread.is_alive()
    (error,) = errors
    assert isinstance(error, tf.errors.CancelledError | RuntimeError)


def test_an_error_in_a_turn_leaves_all_sound(feeds, device):
    x, p, _, n = feeds
    with tf.device(device):
        v = tf.get_variable("v", initializer=0.0)

        def body(i, y):
            with tf.control_dependencies([tf.assign_add(v, 1.0)]):
                return i + 1, tf.check_numerics(y / tf.to_float(2 - i), "late", name="check")

        _, y = tf.while_loop(lambda i, y: i < n, body, [0, x], name="w")
        z = tf.cond(p, lambda: tf.check_numerics(x, "bad", name="here"), lambda: x, name="c")
    with tf.Session(config=SOFT) as session:
        session.run(v.initializer)
        for options in (None, TIMED, TRACE):
            with pytest.raises(tf.errors.InvalidArgumentError, match="late : Tensor had") as caught:
                session.run(y, {x: X, n: 5}, options, tf.RunMetadata())
            assert caught.value.op.name == "w/check"
        assert session.run(v) == 9
        with pytest.raises(tf.errors.InvalidArgumentError, match="bad : Tensor had NaN") as caught:
            session.run(z, {x: [np.nan, 1], p: True})
        assert caught.value.op.name == "c/here"
        assert run(session, z, {x: X, p: False}).tolist() == X.tolist()


def test_a_predicate_must_be_a_scalar(fresh_graph):
    p = tf.placeholder(tf.bool, name="p")
    z = tf.cond(p, lambda: tf.constant(1), lambda: tf.constant(2), name="c")
    with tf.Session() as session:
        for options in (None, TIMED, TRACE):
            phrase = r"The second input must be a scalar, but it has shape \[1\]"
            with pytest.raises(tf.errors.InvalidArgumentError, match=phrase) as caught:
                session.run(z, {p: [True]}, options, tf.RunMetadata())
            assert caught.value.op.name == "c/Switch"
        assert run(session, z, {p: True}) == 1


# --- partial runs, callables, traces --------------------------------------------------------------


def test_partial_runs(feeds, device):
    x, p, q, n = feeds
    with tf.device(device):
        a = tf.cond(p, lambda: x * 2.0, lambda: x * 3.0)
        b = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + x), [0, a])[1]
        c = tf.cond(q, lambda: b, lambda: a)
    with tf.Session(config=SOFT) as session:
        for flag in (False, True):
            handle = session.partial_run_setup([a, b, c], [x, p, q, n])
            first = X * (2 if flag else 3)
            found = session.partial_run(handle, a, {x: X, p: flag})
            assert found.tolist() == first.tolist()
            assert (
                session.partial_run(handle, c, {q: flag, n: 2}).tolist()
                == ((first + X + X) if flag else first).tolist()
            )
            assert session.partial_run(handle, b).tolist() == (first + X + X).tolist()


def test_a_partial_run_of_a_dead_fetch(feeds):
    x, p, _, _ = feeds
    dead = tf.get_default_graph().create_op("Switch", [x, p]).outputs[1]
    with tf.Session() as session:
        handle = session.partial_run_setup([dead], [x, p])
        with pytest.raises(tf.errors.InvalidArgumentError, match="for Switch:1 was not valid"):
            session.partial_run(handle, dead, {x: X, p: False})


def test_a_trace_has_each_turn(feeds, device):
    x, p, _, n = feeds
    with tf.device(device):
        z = tf.cond(p, lambda: tf.negative(x, name="yes"), lambda: tf.exp(x, name="no"), name="c")
        w = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, tf.tanh(t, name="turn")), [0, z])
    metadata = tf.RunMetadata()
    with tf.Session(config=SOFT) as session:
        session.run(w, {x: X, p: True, n: 4}, TRACE, metadata)
    names = [node.node_name for dev in metadata.step_stats.dev_stats for node in dev.node_stats]
    assert names.count("while/turn") == 4
    assert names.count("while/Merge") == 5
    assert names.count("c/yes") == names.count("c/Merge") == 1
    assert "c/no" not in names
