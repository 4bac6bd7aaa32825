"""Regions: the masks of branches, the parts of loops, and what becomes of them as text."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_operation
from tfsession.runtime.inline import Bits
from tfsession.runtime.partition import make_node
from tfsession.runtime.plan import Signature
from tfsession.runtime.prune import prune
from tfsession.runtime.regions import make_region


def region_of(session, fetches, feeds=(), arrivals=None):
    """The root region of a step on the first CPU."""
    device = session._engine.devices.host
    ops = prune(tuple(fetches), (), tuple(feeds))
    nodes = [make_node(op, device, feeds) for op in ops]
    return make_region(nodes, feeds, arrivals or {})


def masks(region):
    """The mask of each node, by name."""
    return {node.op.name: mask for mask, group in region.groups.items() for node in group}


def functions(session, fetches, feeds=()):
    """The text of each function of a step."""
    signature = Signature(tuple(fetches), (), tuple(feeds), (None,) * len(feeds))
    return [getattr(s, "source", None) for s in session._engine.plan(signature).segments]


@pytest.fixture
def session(fresh_graph):
    with tf.Session() as session:
        yield session


@pytest.fixture
def inputs(fresh_graph):
    return (
        tf.placeholder(tf.float32, [2], name="x"),
        tf.placeholder(tf.bool, [], name="p"),
        tf.placeholder(tf.bool, [], name="q"),
        tf.placeholder(tf.int32, [], name="n"),
    )


def test_without_control_flow_all_is_one_group(inputs, session):
    x, *_ = inputs
    region = region_of(session, [x * 2.0 + 1.0], [x])
    assert region.is_plain
    assert list(region.groups) == [0]


def test_a_cond_has_two_bits_and_one_more_where_it_ends(inputs, session):
    x, p, _, _ = inputs
    a, b = tf.cond(p, lambda: (x + 1.0, x * 2.0), lambda: (x - 1.0, x), name="c")
    region = region_of(session, [a * b], [x, p])
    (predicate,), (joint,) = region.predicates, region.joints
    found = masks(region)
    assert predicate.waits == 0
    assert found["c/add"] == found["c/mul"] == predicate.if_true
    assert found["c/sub"] == predicate.if_false
    assert set(joint.alternatives) == {predicate.if_true, predicate.if_false}
    assert len(joint.nodes) == 2
    assert found["mul"] == joint.arrival
    assert len({predicate.if_true, predicate.if_false, joint.arrival}) == 3


def test_inner_masks_hold_the_outer_ones(inputs, session):
    x, p, q, _ = inputs
    y = tf.cond(
        p, lambda: tf.cond(q, lambda: tf.exp(x, name="deep"), lambda: x), lambda: x, name="c"
    )
    region = region_of(session, [y], [x, p, q])
    outer, inner = sorted(region.predicates, key=lambda predicate: predicate.waits)
    assert outer.waits == 0
    assert inner.waits == outer.if_true
    assert masks(region)["c/cond/deep"] == outer.if_true | inner.if_true


def test_conds_on_one_tensor_share_its_bits(inputs, session):
    x, p, _, _ = inputs
    a, b = (create_operation("Switch", [x, p]).outputs for _ in range(2))
    region = region_of(session, [a[1] + b[1], a[0] * b[0], a[0] + b[1]], [x, p])
    (predicate,) = region.predicates
    assert set(region.groups) == {
        0,
        predicate.if_true,
        predicate.if_false,
        predicate.if_true | predicate.if_false,  # never alive
    }


def test_what_waits_and_what_arrives_has_bits(inputs, session):
    x, p, _, _ = inputs
    queue = tf.FIFOQueue(1, tf.float32, [[2]])
    taken = queue.dequeue(name="take")
    y = tf.cond(p, lambda: taken * 2.0, lambda: x, name="c")
    region = region_of(session, [y], [x, p], {x: 1, p: 2})
    found = masks(region)
    (take,) = [n for group in region.groups.values() for n in group if n.op.name == "take"]
    (predicate,) = region.predicates
    assert take.arrival not in (0, 1, 2)
    assert predicate.waits == 2
    assert found["c/mul"] == 2 | take.arrival | predicate.if_true


def test_the_parts_of_a_loop(inputs, session):
    x, p, _, n = inputs
    _, y = tf.while_loop(
        lambda i, y: i < n,
        lambda i, y: (i + 1, tf.cond(p, lambda: y * 2.0, lambda: y + x)),
        [0, x],
        name="w",
    )
    region = region_of(session, [y], [x, p, n])
    (loop,) = region.loops
    assert loop.frame == ("w/while_context",)
    assert {t.op.inputs[0].op.name for t in loop.constants} == {"x", "p", "n"}
    assert [variable.merge.op.name for variable in loop.variables] == ["w/Merge", "w/Merge_1"]
    assert [tensor.op.name for tensor in loop.results] == ["w/Switch_1"]
    assert len(loop.body.predicates) == 2
    (going_on,) = {variable.next_waits for variable in loop.variables[:1]}
    (result,) = loop.results.values()
    ends = {(k.if_false, k.if_true) for k in loop.body.predicates}
    assert (result, going_on) in ends
    inside = masks(loop.body)
    assert inside["w/Less"] == 0
    assert {"w/Enter", "w/Exit_1"} <= set(masks(region))
    assert not set(inside) & set(masks(region))


def test_loops_stand_in_loops(inputs, session):
    *_, n = inputs
    y = tf.while_loop(
        lambda i: i < n,
        lambda i: tf.while_loop(lambda j: j < i, lambda j: j + 1, [i], name="in"),
        [0],
        name="out",
    )
    region = region_of(session, [y], [n])
    (outer,) = region.loops
    (inner,) = outer.body.loops
    assert inner.frame == (*outer.frame, "out/in/while_context")
    assert inner.waits


# --- errors ---------------------------------------------------------------------------------------


def enter(tensor, frame, **attrs):
    return create_operation("Enter", [tensor], {"frame_name": frame, **attrs}).outputs[0]


def leave(tensor):
    return create_operation("Exit", [tensor]).outputs[0]


def test_frames_do_not_mix(inputs, session):
    x, *_ = inputs
    inside = enter(x * 2.0, "fr")
    mixed = leave(tf.add(inside, x, name="bad"))
    text = (
        r"{{node bad}} has inputs from different frames\. The input {{node Enter}} is in frame "
        r"'fr'\. The input {{node _arg_x_0_0}} is in frame ''"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(mixed, {x: [1, 2]})
    two = leave(tf.add(inside, enter(x * 3.0, "other"), name="worse"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"{{node worse}} has inputs from"):
        session.run(two, {x: [1, 2]})


def test_an_exit_needs_a_frame(inputs, session):
    x, *_ = inputs
    text = r"Invalid Exit op: Cannot find a corresponding Enter op\."
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(leave(x + 1.0), {x: [1, 2]})
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(leave(leave(enter(x, "fr"))), {x: [1, 2]})


def test_a_merge_of_a_loop_has_two_inputs(inputs, session):
    x, *_ = inputs
    a, b = enter(x, "fr"), enter(x, "fr")
    merged = create_operation("Merge", [[a, b]]).outputs[0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="one Enter and one NextIteration"):
        session.run(leave(merged), {x: [1, 2]})


def test_what_a_loop_goes_on_with_comes_from_within_it(inputs, session):
    x, *_ = inputs
    entered = enter(x, "fr")
    merged = create_operation("Merge", [[entered, entered]]).outputs[0]
    outside = create_operation("NextIteration", [x * 2.0]).outputs[0]
    merged.op._update_input(1, outside)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one NextIteration of its loop"):
        session.run(leave(merged), {x: [1, 2]})


# --- text -----------------------------------------------------------------------------------------


def test_a_host_step_is_one_function(inputs, session):
    _, p, _, n = inputs
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [2])
        z = tf.cond(p, lambda: x + 1.0, lambda: x * 2.0) * 3.0
        w = tf.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, y + x), [0, z])[1]
    (text,) = functions(session, [w], [x, p, n])
    lines = text.splitlines()
    assert sum(line.strip() == "while True:" for line in lines) == 1
    # What stands behind the cond runs whichever way it went: no condition.
    assert [line for line in lines if line.startswith((" if b", " elif b"))] == [
        " if b0_0:",
        " if b0_1:",
        " if b0_0:",
        " elif b0_1:",
    ]


def test_what_waits_is_apart_and_a_loop_beside_it_is_not(inputs, session):
    *_, n = inputs
    queue = tf.FIFOQueue(1, tf.int32, [[]])
    loop = tf.while_loop(lambda i: i < n, lambda i: i + 1, [queue.dequeue()])
    texts = functions(session, [loop], [n])
    assert sum("while True:" in (text or "") for text in texts) == 1
    waiting = tf.while_loop(lambda i: i < n, lambda i: i + queue.dequeue(), [0])
    assert not any("while True:" in (text or "") for text in functions(session, [waiting], [n]))


def test_bits_reduce_to_few_variables():
    bits = Bits(0)
    f, t, inner_f, inner_t, end, inner_end = (1 << i for i in range(6))
    bits.define(f, 0, t)
    bits.define(t, 0, f)
    bits.define(inner_f, t, inner_t)
    bits.define(inner_t, t, inner_f)
    assert bits.reduced(t | inner_t) == inner_t
    assert bits.either(t | inner_t, inner_f) is None  # a mask must be reduced
    assert bits.either(inner_t, inner_f) == t
    assert bits.either(t, inner_f) is None
    bits.define_same(inner_end, t)
    assert bits.reduced(inner_end | t) == t
    assert bits.either(f, bits.reduced(inner_end)) == 0
    bits.define_same(end, 0)
    assert bits.reduced(end | inner_end) == t
    assert bits.condition(f | inner_t) == "b0_0 and b0_3"
    assert bits.condition(0) == ""
    assert bits.otherwise(t) == f
    assert bits.otherwise(inner_t) is None


def test_scalars_are_computed_by_operators(session):
    """With the results of ufuncs, where integers go round too."""
    with tf.device("/cpu:0"):
        n, x = tf.placeholder(tf.int32, []), tf.placeholder(tf.float32, [])
        fetches = [n + 1, n * n, n - 1 < n, x * 3e38, x + 1.0, x >= 3.0]
    (text,) = functions(session, fetches, [n, x])
    assert " + s" in text
    assert " = k" not in text
    largest = np.int32(2**31 - 1)
    found = session.run(fetches, {n: largest, x: np.float32(3.0)})
    assert found[:3] == [-(2**31), 1, True]
    assert found[3:] == [np.inf, 4, True]
    assert [value.dtype for value in found] == [t.dtype.as_numpy_dtype for t in fetches]
