"""Elements in reverse order, in part or rotated."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value

ANY = (*NUMBERS, "bool")


def flagged(module, x):
    if module is tf:
        return create_op("Reverse", [x, [True, False]])
    return module.raw_ops.Reverse(tensor=x, dims=[True, False])


ROWS = [
    Row("ReverseV2", lambda tf, x: tf.reverse(x, [-1, 0]), [floats(2, 3, 4)], dtypes=ANY,
        reference=lambda x: x[::-1, :, ::-1], grad=True),
    Row("ReverseV2", lambda tf, x, a: tf.reverse_v2(x, a), [floats(2, 3), value([1], "int64")],
        label="fed axis"),
    Row("ReverseV2", lambda tf, x: tf.reverse(x, [0]), [strings(b"a", b"b")], label="texts"),
    Row("ReverseV2", lambda tf, x: tf.reverse(x, [0]), [floats(0, 3)], label="empty"),
    Row("Reverse", flagged, [floats(2, 3)], reference=lambda x: x[::-1], grad=True),
    Row("ReverseSequence", lambda tf, x, n: tf.reverse_sequence(x, n, seq_axis=1, batch_axis=0),
        [floats(3, 4, 2), value([0, 3, 4])], dtypes=["int32", "int64"]),
    Row("ReverseSequence", lambda tf, x: tf.reverse_sequence(x, [1, 2, 0], seq_dim=0, batch_dim=1),
        [floats(2, 3)], dtypes=ANY, grad=True, label="dim"),
    Row("Roll", lambda tf, x: tf.roll(x, [1, -2], [0, -1]), [floats(3, 4)], dtypes=ANY,
        reference=lambda x: np.roll(x, (1, -2), (0, 1)), grad=True),
    Row("Roll", lambda tf, x, n: tf.roll(x, n, 1), [floats(3, 4), value(7, "int64")],
        label="far"),
    Row("Roll", lambda tf, x: tf.roll(x, [1, 2], [1, 1]), [floats(2, 4)], label="twice"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.reverse(x, [5]), r"'axis'\[0\] = 5 is out of valid range \[0, 1"),
        (lambda x: tf.reverse(x, [0, 0]), "axis 0 specified more than once."),
        (lambda x: tf.reverse(x, 0), "Shape must be rank 1 but is rank 0"),
        (
            lambda x: tf.reverse_sequence(x, [1], seq_axis=1),
            "must be equal, but are 2 and 1",
        ),
        (lambda x: tf.reverse_sequence(x, [1, 1], seq_axis=5), "seq_dim must be < input rank"),
        (lambda x: tf.roll(x, [1, 2], [1]), r"Shapes are \[2\] and \[1\]"),
        (lambda x: create_op("Reverse", [x, [True]]), "Dimensions must be equal, but are 1 and 2"),
    ],
)
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [2, 3])
    with pytest.raises(ValueError, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.reverse(x, [5]), r"'axis'\[0\] = 5 is out of valid range \[0, 1"),
        (lambda x: tf.reverse(x, [0, -2]), "axis 0 specified more than once."),
        (lambda x: tf.reverse_sequence(x, [1, 4], seq_axis=1), r"seq_lens\(1\) > input.dims\(1\)"),
        (lambda x: tf.reverse_sequence(x, [-1, 0], seq_axis=1), r"seq_lens\(0\) < 0"),
        (lambda x: tf.reverse_sequence(x, [1, 1], seq_axis=0), "batch_dim == seq_dim == 0"),
        (lambda x: tf.roll(x, 1, 5), "axis 5 is out of range"),
        (lambda x: create_op("Reverse", [x, [True]]), "must have the same number of values"),
    ],
)
def test_errors_at_run_time(fresh_graph, build, text):
    x = tf.placeholder(tf.float32)
    with tf.device("/cpu:0"):
        result = build(x)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {x: np.zeros((2, 3))})


def test_a_gpu_takes_lengths_as_far_as_there_are_elements(fresh_graph):
    with tf.device("/gpu:0"):
        result = tf.reverse_sequence(tf.constant([[1.0, 2, 3], [4, 5, 6]]), [9, -1], seq_axis=1)
    with tf.Session() as session:
        assert session.run(result).tolist() == [[3, 2, 1], [4, 5, 6]]
