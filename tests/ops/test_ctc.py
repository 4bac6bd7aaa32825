"""CTC losses."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

PLACES = value([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]], "int64")
LABELS = value([1, 1, 2, 0, 0], "int32")
LENGTHS = value([5, 6], "int32")


def loss(**kwargs):
    return lambda tf, x, i, v, n: tf.nn.ctc_loss(
        tf.SparseTensor(i, v, np.array([2, 3])), x, n, **kwargs
    )


ROWS = [
    *(
        Row("CTCLoss", loss(**kwargs), [floats(6, 2, 4), PLACES, LABELS, LENGTHS], dtypes=dtypes,
            label=f"{kwargs}", tolerance=10)
        for kwargs, dtypes in (
            ({}, ["float32"]), ({"preprocess_collapse_repeated": True}, ["float32"]),
            ({"ctc_merge_repeated": False}, ["float32"]),
        )
    ),
    Row("CTCLoss", loss(time_major=False), [floats(2, 6, 4), PLACES, LABELS, LENGTHS],
        label="batch first", tolerance=10),
    *(
        Row("CTCLoss", loss(ignore_longer_outputs_than_inputs=ignore),
            [floats(3, 2, 4), PLACES, LABELS, value([3, steps], "int32")],
            label=f"too few {ignore} {steps}", tolerance=10)
        for ignore, steps in ((True, 2), (True, 3), (False, 3))
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("merge", [True, False])
def test_the_gradient_is_what_differences_tell(fresh_graph, device, merge):
    values = np.random.default_rng(0).normal(size=(6, 2, 4))
    with tf.device(device):
        x = tf.placeholder(tf.float64, [6, 2, 4])
        args = ([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]], [1, 1, 2, 0, 0], [2, 3])
        total = tf.reduce_sum(
            tf.nn.ctc_loss(tf.SparseTensor(*args), x, [5, 6], ctc_merge_repeated=merge) * [1.0, 2.0]
        )
        (grad,) = tf.gradients(total, x)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        found = session.run(grad, {x: values})
        assert not found[5, 0].any()
        for place in np.ndindex(values.shape):
            step = np.zeros_like(values)
            step[place] = 1e-5
            above, below = (session.run(total, {x: values + s * step}) for s in (1, -1))
            assert found[place] == pytest.approx((above - below) / 2e-5, abs=1e-7)


WRONG = {
    "a length": (([[0, 0]], [1], [1, 1]), [9], "sequence_length"),
    "no labels": ((np.zeros((0, 2)), np.zeros(0, np.int32), [1, 1]), [2], "Labels length is zero"),
    "a label": (([[0, 0]], [3], [1, 1]), [2], "nonnegative integers below 3"),
}


@pytest.mark.parametrize(("labels", "lengths", "text"), WRONG.values(), ids=WRONG)
def test_errors(fresh_graph, labels, lengths, text):
    wrong = tf.nn.ctc_loss(tf.SparseTensor(*labels), tf.zeros([2, 1, 4]), lengths)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(wrong)


def test_labels_are_sparse(fresh_graph):
    with pytest.raises(TypeError, match="Expected argument labels to be a SparseTensor"):
        tf.nn.ctc_loss(tf.constant([[1]]), tf.zeros([2, 1, 4]), [2])
