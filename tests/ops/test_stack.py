"""Stacks: in and out, what is refused, and that they last no longer than a step."""

import numpy as np
import pytest

import tfsession as tf

# A stack makes sense within one step only; the gradients of loops use it.
COVERED = ["StackV2", "StackPushV2", "StackPopV2", "StackCloseV2"]
SOFT = tf.ConfigProto(allow_soft_placement=True)


def op(type_, inputs, **attrs):
    return tf.get_default_graph().create_op(type_, inputs, attrs=attrs, name=type_)


def stack(size=-1, **attrs):
    attrs = {"elem_type": tf.float32, **attrs}
    return op("StackV2", [tf.constant(size)], **attrs).outputs[0]


def push(handle, value):
    return op("StackPushV2", [handle, value]).outputs[0]


def pop(handle, dtype=tf.float32):
    return op("StackPopV2", [handle], elem_type=dtype).outputs[0]


def in_order(*builders):
    """Operations, each behind the one before."""
    made = []
    for build in builders:
        with tf.control_dependencies(made[-1:]):
            made.append(build())
    return made


def test_the_last_comes_first(fresh_graph, device):
    with tf.device(device):
        handle, value = stack(), tf.placeholder(tf.float32, [None])
        ops = in_order(
            lambda: push(handle, value),
            lambda: push(handle, value * 2.0),
            lambda: pop(handle),
            lambda: push(handle, value * 3.0),
            lambda: pop(handle),
            lambda: pop(handle),
        )
    with tf.Session(config=SOFT) as session:
        for _ in range(2):  # each step has its own
            found = session.run(ops, {value: [1.0, 2.0]})
            assert [a.tolist() for a in found] == [[1, 2], [2, 4], [2, 4], [3, 6], [3, 6], [1, 2]]


def test_shapes(fresh_graph):
    handle = stack()
    assert str(handle.shape) == "()"
    assert str(push(handle, tf.zeros([2, 3])).shape) == "(2, 3)"
    assert str(pop(handle).shape) == "<unknown>"


REFUSED = {
    "empty": (lambda h: [pop(h)], "is empty when calling Pop()"),
    "full": (
        lambda h: in_order(*[lambda: push(h, tf.constant(1.0))] * 3),
        "overflowed its max_size (2)",
    ),
    "another dtype": (lambda h: [push(h, tf.constant(1))], "Must have type float but got int32"),
    "popped as another": (lambda h: [pop(h, tf.int32)], "Must have type float but got int32"),
    "closed": (
        lambda h: in_order(lambda: op("StackCloseV2", [h]), lambda: push(h, tf.constant(1.0))),
        "has already been closed",
    ),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(fresh_graph, build, message):
    handle = stack(2, stack_name="mine")
    ops = build(handle)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError) as caught:
        session.run(ops)
    assert message in str(caught.value)


def test_the_size_is_a_scalar(fresh_graph):
    with (
        tf.Session() as session,
        pytest.raises(tf.errors.InvalidArgumentError, match="Stack size must be a scalar"),
    ):
        session.run(push(stack([1, 2]), tf.constant(1.0)))


def test_no_stack(fresh_graph):
    variable = tf.get_variable("v", initializer=1.0, use_resource=True)
    with tf.Session() as session:
        session.run(variable.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match="using the wrong type"):
            session.run(pop(variable.handle))


def test_what_is_pushed_is_not_written_over(fresh_graph):
    """The memory of a value that is on a stack goes to no other result."""
    value, handle = tf.placeholder(tf.float32, [4]), stack()
    kept = value * 2.0
    pushed = push(handle, kept)
    with tf.control_dependencies([pushed]):
        other = kept + 1.0
    with tf.control_dependencies([other]):
        popped = pop(handle)
    with tf.Session() as session:
        a, b = session.run([other, popped], {value: np.arange(4)})
    assert a.tolist() == [1, 3, 5, 7]
    assert b.tolist() == [0, 2, 4, 6]
