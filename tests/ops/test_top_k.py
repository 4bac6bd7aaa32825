"""The greatest elements of the last dimension."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases, value

REALS = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64",
         "uint8", "uint16", "uint32", "uint64")  # fmt: skip


def first_in_top_k(module, predictions, targets):
    if module is tf:
        return create_op("InTopK", [predictions, targets], {"k": 1})
    return module.raw_ops.InTopK(predictions=predictions, targets=targets, k=1)


PREDICTIONS = value([[1, 5, 3], [2, 2, 9], [np.nan, 1, 2], [4, 4, 4], [1, np.inf, 2]], "float32")
TARGETS = value([2, 1, 1, 2, 0], "int32")
ROWS = [
    Row("TopKV2", lambda tf, x: list(tf.nn.top_k(x, 3)), [floats(4, 7)], dtypes=REALS, grad=False),
    Row(
        "TopKV2",
        lambda tf, x: tf.nn.top_k(x, 2).values,
        [floats(2, 3, 5)],
        grad=True,
        label="gradient",
    ),
    Row("TopKV2", lambda tf, x: list(tf.math.top_k(x)), [ints(9, high=4)], label="equals"),
    Row(
        "TopKV2",
        lambda tf, x, k: list(tf.nn.top_k(x, k, index_type=tf.int64)),
        [floats(2, 5), value(4, "int32")],
        label="fed",
    ),
    Row("TopKV2", lambda tf, x: list(tf.nn.top_k(x, 0)), [floats(2, 3)], label="none"),
    Row("InTopKV2", lambda tf, p, t: tf.nn.in_top_k(p, t, 2), [PREDICTIONS, TARGETS]),
    Row(
        "InTopKV2",
        lambda tf, p, t: tf.nn.in_top_k(p, t, 3),
        [floats(2, 4), value([7, -1], "int64")],
        label="out of range",
    ),
    Row("InTopK", first_in_top_k, [PREDICTIONS, TARGETS]),
]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_errors(fresh_graph):
    x, k = tf.placeholder(tf.float32, [2, 3]), tf.placeholder(tf.int32, [])
    with pytest.raises(ValueError, match="input must have last dimension >= k = 5 but is 3"):
        tf.nn.top_k(x, 5)
    with pytest.raises(ValueError, match="Dimensions must be equal, but are 2 and 1"):
        tf.nn.in_top_k(x, [1], 1)
    result = tf.nn.top_k(x, k)
    with tf.Session() as session:
        for count, text in (
            (7, "columns. Had 3, needed 7"),
            (-1, "Need k >= 0, got -1"),
        ):
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(result, {x: np.zeros((2, 3)), k: count})
