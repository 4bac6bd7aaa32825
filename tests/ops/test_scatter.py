"""Tensors made from, or changed at, given indices."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value

ROWS = [
    Row("ScatterNd", lambda tf, u: tf.scatter_nd([[1], [0], [1]], u, [3]), [floats(3)],
        dtypes=NUMBERS, grad=True),
    Row("ScatterNd", lambda tf, u, i, s: tf.scatter_nd(i, u, s),
        [floats(2, 3), value([[1], [1]]), value([4, 3])], dtypes=["int32", "int64"], label="fed"),
    Row("ScatterNd", lambda tf, u: tf.scatter_nd([[0, 1], [1, 0]], u, [2, 2]), [floats(2)],
        grad=True, label="elements"),
    Row("ScatterNd", lambda tf, u: tf.scatter_nd(np.zeros((0, 1), np.int32), u, [3]), [floats(0)],
        label="empty"),
    Row("TensorScatterUpdate", lambda tf, x, u: tf.tensor_scatter_nd_update(x, [[2], [0]], u),
        [floats(3, 2), floats(2, 2)], dtypes=(*NUMBERS, "bool"), grad=True),
    Row("TensorScatterUpdate", lambda tf, x: tf.tensor_scatter_update(x, [[1]], ["c"]),
        [strings(b"a", b"b")], label="texts"),
    Row("TensorScatterAdd", lambda tf, x, u: tf.tensor_scatter_nd_add(x, [[1], [1]], u),
        [floats(3, 2), floats(2, 2)], dtypes=NUMBERS, grad=True),
    Row("TensorScatterSub", lambda tf, x, u: tf.tensor_scatter_nd_sub(x, [[1, 0], [1, 1]], u),
        [floats(3, 2), floats(2)], dtypes=["float32", "float64", "int32", "uint8"], grad=True),
    Row("TensorScatterMax", lambda tf, x, u: tf.tensor_scatter_nd_max(x, [[1], [2]], u),
        [floats(4), floats(2)], dtypes=["float32", "float64", "int32", "int8"], grad=True),
    Row("TensorScatterMin", lambda tf, x, u: tf.tensor_scatter_nd_min(x, [[1], [1]], u),
        [floats(4), floats(2)], dtypes=["float32", "float64", "int32", "int64"], grad=True),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: tf.scatter_nd([[1]], [1.0, 2.0], [3]),
         r"Dimensions \[0,1\) of indices\[shape=\[1,1\]\] = \[1\] must match dimensions \[0,1\) of "
         r"updates\[shape=\[2\]\] = \[2\]: Dimension 0 in both shapes must be equal"),
        (lambda: tf.scatter_nd([[1]], [[1.0, 2.0]], [3, 3]), r"of input\[shape=\[3,3\]\] = \[3\]"),
        (lambda: tf.tensor_scatter_nd_update(tf.zeros([3, 2]), [[1]], [5.0, 6.0]),
         r"of indices\[shape=\[1,1\]\] = \[1\] must match"),
        (lambda: tf.scatter_nd([[1, 1]], [1.0], [3]), "must be at most the rank of the shape"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, text):
    with pytest.raises(ValueError, match=text):
        build()


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda i: tf.scatter_nd(i, [1.0], [3]), r"indices\[0\] = \[7\] does not index into shape"),
        (lambda i: tf.scatter_nd(i, [1.0, 2.0], [9]), "must match updates"),
        (lambda i: tf.scatter_nd(i[0], 1.0, [3]), r"indices = \[7\] does not index into"),
        (lambda i: tf.tensor_scatter_nd_update(tf.zeros([3]), i, [5.0]),
         r"indices\[0\] = \[7\] does not index into shape \[3\]"),
        (lambda i: tf.scatter_nd(tf.concat([i, i], 1), [1.0], [3]), r"Dimensions \[2,1\) of input"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    i = tf.placeholder(tf.int32)
    with tf.device("/cpu:0"):
        result = build(i)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {i: [[7]]})


START = np.array([[1.0, 2], [3, 4], [5, 6]], np.float32)
UPDATES = np.array([[7, 8], [9, -10], [-11, 12], [0, 1]], np.float32)
PLACES = [[5], [0], [-1], [2]]
CHANGED = {
    "update": [[9, -10], [3, 4], [0, 1]],
    "add": [[10, -8], [3, 4], [5, 7]],
    "sub": [[-8, 12], [3, 4], [5, 5]],
    "min": [[1, -10], [3, 4], [0, 1]],
    "max": [[9, 2], [3, 4], [5, 6]],
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_gpu_leaves_out_what_is_out_of_range(fresh_graph, name):
    places = tf.constant(PLACES, tf.int64)
    with tf.device("/gpu:0"):
        changed = getattr(tf, f"tensor_scatter_nd_{name}")(START, places, UPDATES)
        nothing = getattr(tf, f"tensor_scatter_nd_{name}")(START, places[2:3], UPDATES[2:3])
    with tf.Session() as session:
        found, same = session.run([changed, nothing])
    assert found.tolist() == CHANGED[name]
    assert same.tolist() == START.tolist()


def test_a_gpu_adds_what_is_in_range(fresh_graph):
    with tf.device("/gpu:0"):
        made = tf.scatter_nd(tf.constant(PLACES, tf.int64), UPDATES, [3, 2])
    with tf.Session() as session:
        assert session.run(made).tolist() == [[9, -10], [0, 0], [0, 1]]
