"""Checks of what tensors are: their ranks, dtypes, shapes and order."""

import numpy as np
import pytest

import tfsession as tf

E = tf.errors.InvalidArgumentError


def _hidden(value):
    return tf.placeholder_with_default(tf.constant(value), None)


MATRIX = np.float32([[1, 2], [3, 4]])
RAISED = [
    (lambda x: tf.assert_rank(x, 3), ValueError, "must have rank 3.  Received rank 2, shape"),
    (lambda x: tf.assert_rank_at_least(x, 3, message="m"), ValueError, "m.  Tensor x:0 must have"),
    (lambda x: tf.assert_rank_in(x, [0, 3]), ValueError, r"must have rank in \(0, 3\)"),
    (lambda x: tf.assert_rank(x, [2]), ValueError, "Rank must be a scalar"),
    (lambda x: tf.assert_rank(x, 2.0), TypeError, "must be of type tf.int32; got tf.float32"),
    (lambda x: tf.assert_scalar(x), ValueError, "Expected scalar shape for x:0, saw shape"),
    (lambda x: tf.assert_type(x, tf.int32), TypeError, "x:0 must be of type tf.int32; got"),
    (lambda x: tf.assert_integer(x), TypeError, 'Expected "x" to be integer type'),
    (lambda x: tf.assert_proper_iterable(x), TypeError, 'to be a "proper" iterable'),
    (lambda x: tf.assert_proper_iterable(5), TypeError, "to be iterable"),
    (lambda x: tf.is_non_decreasing(["a"]), TypeError, "Expected x to be numeric"),
    (lambda x: tf.assert_same_float_dtype([x, tf.constant(1)]), ValueError, "as x:0"),
    (lambda x: tf.debugging.assert_shapes({x: ("N", "N", 1)}), ValueError, "must have rank 3"),
    (lambda x: tf.debugging.assert_shapes({x: (2, 3)}), ValueError, "must have size 3"),
    (lambda x: tf.debugging.assert_shapes([(x, ("N", ...))]), ValueError, "only allowed as"),
    (lambda x: tf.debugging.assert_shapes([(x, 5)]), ValueError, "must be an iterable"),
]  # fmt: skip


@pytest.mark.parametrize("row", RAISED, ids=range(len(RAISED)))
def test_what_is_known_is_refused_at_once(fresh_graph, row):
    program, kind, text = row
    x = tf.constant(MATRIX, name="x")
    with pytest.raises(kind, match=text):
        program(x)


IN_A_STEP = [
    (lambda x: tf.assert_rank(x, 2), lambda x: tf.assert_rank(x, 1), "must have rank.*1"),
    (lambda x: tf.assert_rank(x, _hidden(2)), lambda x: tf.assert_rank(x, _hidden([2])), "Rank mu"),
    (lambda x: tf.assert_rank_in(x, [0, 2]), lambda x: tf.assert_rank_in(x, []), "rank in"),
    (lambda x: tf.assert_rank_at_least(x, 1), lambda x: tf.assert_rank_at_least(x, 3), "at least"),
    (lambda x: tf.assert_near(x, x + 1e-9), lambda x: tf.assert_near(x, x + 1e-3), "not equal to"),
    (lambda x: tf.debugging.assert_shapes({x: (..., 2)}),
     lambda x: tf.debugging.assert_shapes({x: ("*", 3)}), "Specified explicitly"),
    (lambda x: tf.debugging.assert_shapes([(x, ("N", "N")), (_hidden([1, 2]), ("N",))]),
     lambda x: tf.debugging.assert_shapes([(_hidden([1]), ("N",)), (x, ("N", "M"))]), "Specified"),
]  # fmt: skip


@pytest.mark.parametrize("row", IN_A_STEP, ids=range(len(IN_A_STEP)))
def test_the_rest_in_a_step(fresh_graph, row):
    good, bad, text = row
    x = _hidden(MATRIX)
    right, wrong = good(x), bad(x)
    with tf.Session() as session:
        assert session.run(right) is None
        with pytest.raises(E, match=text):
            session.run(wrong)


def test_order(fresh_graph):
    x = tf.placeholder(tf.int32, None)
    down, up = tf.is_non_decreasing(x), tf.is_strictly_increasing(x)
    with tf.Session() as session:
        for value, expected in (
            ([], (True, True)), ([1], (True, True)), ([1, 2, 2], (True, False)),
            ([[1, 2], [3, 4]], (True, True)), ([2, 1], (False, False)),
        ):  # fmt: skip
            assert session.run((down, up), {x: value}) == expected


def test_what_is_given_back(fresh_graph):
    x = tf.constant(1.0)
    assert tf.assert_scalar(x) is x
    assert tf.assert_integer(3).type == "NoOp"
    assert tf.assert_same_float_dtype([None, x]) is tf.float32
    assert [tf.is_numeric_tensor(v) for v in (x, tf.constant("a"), 1.0)] == [True, False, False]
