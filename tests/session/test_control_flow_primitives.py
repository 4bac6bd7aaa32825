"""Switches, Merges and frames as a GraphDef may have them, without what builds them properly."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_operation

TRACE = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
X = np.array([1.0, -2.0], np.float32)


def run(session, fetches, feeds):
    """What a run gives, traced and not."""
    found = session.run(fetches, feeds)
    np.testing.assert_equal(session.run(fetches, feeds, TRACE, tf.RunMetadata()), found)
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


def primitive(op_type, *inputs, **attrs):
    """The outputs of one operation of a GraphDef."""
    arguments = [list(inputs)] if op_type == "Merge" else inputs
    return create_operation(op_type, arguments, attrs).outputs


def test_merges(feeds):
    x, p, q, _ = feeds
    a, b = primitive("Switch", x, p), primitive("Switch", x + 10.0, q)
    merged, index = primitive("Merge", a[1], b[1])
    with tf.Session() as session:
        for first, second, at in ((True, False, 0), (False, True, 1), (True, True, 0)):
            found = run(session, [merged, index], {x: X, p: first, q: second})
            assert found[1].dtype == np.int32
            assert found[1] == at
            assert found[0].tolist() == (X + 10 * at).tolist()
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Retval\[0\] does not have"):
            session.run(merged, {x: X, p: False, q: False})


def test_frames_without_a_loop(feeds):
    x, p, _, _ = feeds
    inside = primitive("Enter", x, frame_name="f")[0]
    constant = primitive("Enter", x * 3.0, frame_name="f", is_constant=True)[0]
    out = primitive("Exit", inside * constant)[0]
    through = primitive("Exit", inside)[0]
    dead = primitive("Enter", primitive("Switch", x, p)[1], frame_name="g")[0]
    gone = primitive("Exit", dead * dead)[0]
    with tf.Session() as session:
        found = run(session, [out, through], {x: X})
        assert found[0].tolist() == (X * X * 3).tolist()
        assert found[1].tolist() == X.tolist()
        assert run(session, gone, {x: X, p: True}).tolist() == (X * X).tolist()
        for options in (None, TRACE):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"Retval\[0\] does not"):
                session.run(gone, {x: X, p: False}, options, tf.RunMetadata())


def test_an_enter_read_by_more_than_its_merge(feeds):
    """The first value of a variable, also within the turns."""
    x, _, _, n = feeds
    y = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + x), [0, x], name="w")[1]
    adding = tf.get_default_graph().get_operation_by_name("w/add_1")
    adding._update_input(1, tf.get_default_graph().get_tensor_by_name("w/Enter_1:0"))
    with tf.Session() as session:
        assert run(session, y, {x: X, n: 3}).tolist() == (X * 4).tolist()


def test_what_is_in_a_frame_cannot_be_fetched(feeds):
    """Not even in an imported graph, where nothing is marked: it has no one value."""
    x, _, _, n = feeds
    tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + x), [0, x], name="w")
    graph_def = tf.get_default_graph().as_graph_def()
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def, name="")
        with tf.Session() as session:
            for name in ("w/Merge_1", "w/add_1", "w/Identity", "w/NextIteration"):
                with pytest.raises(tf.errors.InvalidArgumentError, match="is in a loop"):
                    session.run(name + ":0", {"x:0": X, "n:0": 3})
                assert session.run(name, {"x:0": X, "n:0": 3}) is None
            assert session.run("w/Exit_1:0", {"x:0": X, "n:0": 3}).tolist() == (X * 4).tolist()


def test_a_control_trigger_comes_whatever_was_dead(feeds):
    """It comes behind all that it waits for, also behind what does not run."""
    x, p, q, _ = feeds
    v = tf.Variable(1.0)
    one, other = (tf.identity(primitive("Switch", x, pred)[1]) for pred in (p, q))
    with tf.control_dependencies([one]):
        added = tf.assign_add(v, 10.0)
    with tf.control_dependencies([other, added]):
        trigger = create_operation("ControlTrigger")
        never = tf.identity(x)
    with tf.control_dependencies([trigger]):
        read = tf.identity(v.read_value())
        later = create_operation("ControlTrigger")
    with tf.Session() as session:
        for first, second in ((False, False), (False, True), (True, False), (True, True)):
            for trace in (None, TRACE):
                session.run(v.initializer)
                found = session.run([read], {x: X, p: first, q: second}, trace)
                assert found == [11.0 if first else 1.0]
            session.run([trigger, later], {x: X, p: first, q: second})
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Retval\[0\] does not have"):
            session.run(never, {x: X, p: True, q: False})


def test_a_control_trigger_in_a_loop(feeds):
    """What waits for it runs in each iteration, behind what happened in this one."""
    _, _, _, n = feeds
    v = tf.Variable(0)

    def body(i, seen):
        changed = tf.cond(i > 1, lambda: tf.assign_add(v, 1), lambda: tf.constant(0))
        with tf.control_dependencies([changed.op.inputs[1].op]):
            trigger = create_operation("ControlTrigger")
        with tf.control_dependencies([trigger]):
            return i + 1, seen + tf.identity(v)

    seen = tf.while_loop(lambda i, _: i < n, body, (0, 0), back_prop=False)[1]
    with tf.Session() as session:
        for trace in (None, TRACE):
            session.run(v.initializer)
            assert session.run(seen, {n: 5}, trace) == 1 + 2 + 3
