"""Pruning: only ancestors run, feeds cut, and the order is one in which each operation can run."""

from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.runtime.prune import prune


def _names(ops):
    return [op.name for op in ops]


def test_only_ancestors_run(fresh_graph):
    a, b = tf.placeholder(tf.float32, name="a"), tf.placeholder(tf.float32, name="b")
    c = tf.add(a, a, name="c")
    tf.add(b, b, name="unused")
    assert _names(prune([c], [], [])) == ["a", "c"]


def test_feeds_cut(fresh_graph):
    a = tf.placeholder(tf.float32, name="a")
    b = tf.add(a, a, name="b")
    c = tf.add(b, b, name="c")
    assert _names(prune([c], [], [b])) == ["c"]
    assert prune([b], [], [b]) == []


def test_a_target_runs_even_where_its_output_is_fed(fresh_graph):
    a = tf.constant(1.0, name="a")
    assert _names(prune([], [a.op], [a])) == ["a"]


def test_control_inputs_are_ancestors(fresh_graph):
    first = tf.no_op(name="first")
    with tf.control_dependencies([first]):
        second = tf.constant(1.0, name="second")
    assert _names(prune([second], [], [])) == ["first", "second"]


def test_an_order_is_found_after_rewiring(fresh_graph):
    early = tf.identity(tf.constant(1.0, name="a"), name="early")
    late = tf.constant(2.0, name="late")
    early.op._update_input(0, late)
    assert _names(prune([early], [], [])) == ["late", "early"]


def test_a_cycle_is_told(fresh_graph):
    first = tf.identity(tf.constant(1.0), name="first")
    second = tf.identity(first, name="second")
    first.op._update_input(0, second)
    try:
        prune([second], [], [])
    except tf.errors.InvalidArgumentError as error:
        assert "cycle" in error.message
    else:
        raise AssertionError("a cycle was accepted")


@given(st.data())
def test_sources_come_first_in_any_graph(data):
    with tf.Graph().as_default():
        tensors = [tf.constant(1.0)]
        for _ in range(data.draw(st.integers(1, 12))):
            x = data.draw(st.sampled_from(tensors))
            y = data.draw(st.sampled_from(tensors))
            tensors.append(tf.add(x, y))
        for _ in range(data.draw(st.integers(0, 3))):
            op = data.draw(st.sampled_from(tensors[1:])).op
            below = [t for t in tensors if t.op._id < op._id]
            op._update_input(0, data.draw(st.sampled_from(below)))
        fetch = data.draw(st.sampled_from(tensors))
        fed = data.draw(st.lists(st.sampled_from(tensors), max_size=2))
        ordered = prune([fetch], [], fed)
        place = {op: i for i, op in enumerate(ordered)}
        for op in ordered:
            for tensor in op.inputs:
                assert tensor in fed or place[tensor.op] < place[op]
