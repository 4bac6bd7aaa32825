"""tf.Assert: silent while its condition holds, and telling what TensorFlow tells where not."""

import re

import numpy as np
import pytest

import tfsession as tf

COVERED = ["Assert"]  # it has no output, so no row

SHOWN = [
    # (data, summarize, what the error shows)
    (["hello", 3], None, "[hello] [3]"),
    ([np.arange(5)], None, "[0 1 2...]"),
    ([np.arange(5)], 2, "[0 1...]"),
    ([np.arange(6).reshape(2, 3)], None, "[[0 1 2]...]"),
    ([np.arange(6).reshape(2, 3)], 2, "[[0 1...]...]"),
    ([np.arange(6).reshape(2, 3)], 6, "[[0 1 2][3 4 5]]"),
    ([np.arange(12).reshape(2, 3, 2), "x"], None, "[[[0 1][2...]]...] [x]"),
    ([np.arange(12).reshape(2, 3, 2)], 2, "[[[0 1]]...]"),
    ([1.5, True, ["a", "b", "c", "d"]], None, "[1.5] [1] [a b c...]"),
    ([np.float32(1e-7), np.zeros(0, np.float32)], None, "[1e-07] []"),
    ([1 + 2j], None, "[?]"),
]


@pytest.mark.parametrize(("data", "summarize", "text"), SHOWN, ids=[row[2] for row in SHOWN])
def test_what_is_shown(fresh_graph, device, data, summarize, text):
    ok = tf.placeholder(tf.bool, [])
    with tf.device(device):
        check = tf.Assert(ok, data, summarize, name="check")
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        assert session.run(check, {ok: True}) is None
        at_once = all(tf.convert_to_tensor(x).dtype in (tf.string, tf.int32) for x in data)
        node = "check/Assert" if at_once else "check/AssertGuard/Assert"
        phrase = re.escape(f"assertion failed: {text}\n\t [[{{{{node {node}}}}}]]")
        with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
            session.run(check, {ok: False})


def test_what_waits_for_it_does_not_run(fresh_graph):
    v = tf.Variable(1.0)
    with tf.control_dependencies([tf.Assert(v > 5.0, [v])]):
        update = v.assign(7.0)
    with tf.Session() as session:
        session.run(v.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"assertion failed: \[1\]"):
            session.run(update)
        assert session.run(v) == 1.0


def test_nothing_to_show_is_refused(fresh_graph):
    with pytest.raises(ValueError, match="list of length 0 less than minimum 1"):
        tf.Assert(True, [])

    with pytest.raises(TypeError, match="values must be a sequence"):
        tf.Assert(True, np.zeros(2))


def test_the_guard_is_what_others_wait_for(fresh_graph):
    v = tf.Variable([1.0])
    ok = tf.placeholder(tf.bool, [])
    check = tf.Assert(ok, [v], name="check")
    assert check.name == "check/AssertGuard/Merge"
    with tf.control_dependencies([check]):
        one = tf.constant(1)
    with tf.Session() as session:
        session.run(v.initializer)
        assert session.run(one, {ok: True}) == 1
        assert session.run([check, one], {ok: True}) == [None, 1]
