"""Checks of tensors against each other, at once and in a step."""

import pytest

import tfsession as tf

CHECKS = [
    (tf.assert_equal, "==", 1, [(1, True), (2, False)]),
    (tf.assert_less_equal, "<=", 1, [(0, True), (1, True), (2, False)]),
    (tf.assert_greater_equal, ">=", 1, [(0, False), (1, True), (2, True)]),
]


@pytest.mark.parametrize(("check", "symbol", "bound", "cases"), CHECKS)
def test_two_tensors(device, fresh_graph, check, symbol, bound, cases):
    with tf.device(device):
        x = tf.placeholder(tf.int32, [None], name="x")
        op = check(x, bound, message="why", name="q")
        with tf.control_dependencies([op]):
            y = x + 1
    session = tf.Session(config=tf.ConfigProto(allow_soft_placement=True))
    text = (
        rf"assertion failed: \[why\] \[Condition x {symbol} y did not hold element-wise:\] "
        r"\[x \(x:0\) = \] \[1 "
    )
    for value, holds in cases:
        if holds:
            assert session.run(y, {x: [1, value]}).tolist() == [2, value + 1]
        else:
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(y, {x: [1, value]})
        assert session.run(op, {x: []}) is None


@pytest.mark.parametrize(("check", "symbol", "bound", "cases"), CHECKS)
def test_what_is_known_is_checked_at_once(fresh_graph, check, symbol, bound, cases):
    for value, holds in cases:
        if holds:
            assert tf.Session().run(check([1, value], bound)) is None
            continue
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            check([1, value], bound, message="why")
        assert raised.value.message.startswith(f"why\nCondition x {symbol} y did not hold")
        assert f"[1 {value}]" in raised.value.message


def test_non_negative(fresh_graph):
    x = tf.placeholder(tf.float32)
    session = tf.Session()
    check = tf.assert_non_negative(x, message="why")
    assert session.run(check, {x: [0.0, 1.0]}) is None
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[why\.  \] \[Condition x >= 0 "):
        session.run(check, {x: -1.0})
    with pytest.raises(tf.errors.InvalidArgumentError, match="Condition x >= 0 did not hold"):
        tf.debugging.assert_non_negative([1, -1])


def test_data_and_the_same_tensor(fresh_graph):
    x = tf.placeholder(tf.int32, [None])
    assert tf.assert_equal(x, x).type == "NoOp"
    check = tf.assert_equal(x, 0, data=["see", x], summarize=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[see\] \[5\.\.\.\]"):
        tf.Session().run(check, {x: [5, 6]})


def test_all_floats_of_a_graph_are_checked(fresh_graph):
    x = tf.placeholder(tf.float32, [], name="x")
    tf.log(x, name="logarithm")
    tf.constant("no number")
    check = tf.add_check_numerics_ops()
    with tf.Session() as session:
        assert session.run(check, {x: 1.0}) is None
        with pytest.raises(tf.errors.InvalidArgumentError, match="logarithm:0 : Tensor had Inf"):
            session.run(check, {x: 0.0})
    tf.cond(x > 0, lambda: x + 1, lambda: x)
    with pytest.raises(ValueError, match="not compatible with TensorFlow control flow"):
        tf.add_check_numerics_ops()
