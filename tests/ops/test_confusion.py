"""Counts of what was predicted for what was true."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, floats, ints


def _counts(labels, predictions, weights=None, size=4):
    result = np.zeros((size, size))
    np.add.at(result, (labels, predictions), 1 if weights is None else weights)
    return result


ROWS = [
    Row("ScatterNd", lambda tf, x, y: tf.confusion_matrix(x, y, 4, tf.float64),
        [ints(9, high=4), ints(9, high=4)], reference=_counts, label="confusion"),
    Row("ScatterNd", lambda tf, x, y, w: tf.confusion_matrix(x, y, 4, tf.float64, weights=w),
        [ints(9, high=4), ints(9, 1, high=4), floats(9, dtype="float64")],
        reference=lambda x, y, w: _counts(x, y[:, 0], w), label="weighted confusion"),
    Row("ScatterNd", lambda tf, x: tf.math.confusion_matrix(x, [3, 0, 1], dtype=tf.int64),
        [ints(3, high=3)], label="confusion of all", oracle=True),
]  # fmt: skip


def test_errors(fresh_graph):
    labels, predictions = tf.placeholder(tf.int32, [2]), tf.placeholder(tf.int32, [2])
    matrix = tf.confusion_matrix(labels, predictions, 3)
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="`labels` contains negative"):
            session.run(matrix, {labels: [-1, 0], predictions: [0, 0]})
        with pytest.raises(tf.errors.InvalidArgumentError, match="`predictions` out of bound"):
            session.run(matrix, {labels: [1, 0], predictions: [0, 3]})
    with pytest.raises(ValueError, match="incompatible"):
        tf.confusion_matrix([1, 2], [0, 1], 3, weights=[1, 2, 3])
