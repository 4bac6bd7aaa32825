"""Sparse tensors made dense."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, floats, strings, value


def _dense(indices, values, shape=(3, 4), default=0.0):
    result = np.full(shape, default, np.asarray(values).dtype)
    result[tuple(np.asarray(indices).T)] = values
    return result


PLACES = value([[0, 1], [1, 3], [2, 0]], "int64")
ROWS = [
    Row("SparseToDense", lambda tf, i, v: tf.sparse_to_dense(i, [3, 4], v), [PLACES, floats(3)],
        dtypes=("float32", "float64", "int32"), reference=_dense, grad=True),
    Row("SparseToDense", lambda tf, i, v, d: tf.sparse_to_dense(i, [3, 4], v, d),
        [PLACES, floats(3), floats()], reference=lambda i, v, d: _dense(i, v, default=d),
        grad=True, label="default"),
    Row("SparseToDense", lambda tf, i: tf.sparse_to_dense(i, [6], 1.0), [value([1, 4], "int64")],
        reference=lambda i: _dense(i[:, None], np.float32([1, 1]), (6,)), label="one value"),
    Row("SparseToDense", lambda tf, i, v: tf.sparse_to_dense(i, [3, 4], v, validate_indices=False),
        [value([[2, 0], [0, 1]], "int64"), floats(2)], reference=_dense, label="in any order"),
    Row("SparseToDense", lambda tf, i, v: tf.sparse_to_dense(i, [2], v, "no"),
        [value([1], "int64"), strings(b"yes")], label="texts"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([[0, 4]], "out of bounds"),
        ([[1, 0], [0, 0]], "is out of order"),
        ([[1, 0], [1, 0]], "is repeated"),
        ([[1, 0, 0]], "has incorrect number of elements"),
    ],
)
def test_errors(fresh_graph, device, indices, text):
    with tf.device(device):
        x = tf.placeholder(tf.int64)
        dense = tf.sparse_to_dense(x, [3, 4], 1.0)
    config = tf.ConfigProto(allow_soft_placement=True)
    error = pytest.raises(tf.errors.InvalidArgumentError, match=text)
    with tf.Session(config=config) as session, error:
        session.run(dense, {x: indices})
