"""Tensors divided by, and put together from, lists of positions."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.ops.partition import parallel_dynamic_stitch
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value


def parallel(module, x, y):
    indices = [[2, 0], [1]]
    if module is tf:
        return parallel_dynamic_stitch(indices, [x, y])
    return module.raw_ops.ParallelDynamicStitch(indices=indices, data=[x, y])


def divided(x, places):
    return [x[places == i] for i in range(3)]


ROWS = [
    Row("DynamicPartition", lambda tf, x, p: tf.dynamic_partition(x, p, 3),
        [floats(5, 2), value([0, 2, 0, 0, 2], "int32")], dtypes=(*NUMBERS, "bool"),
        reference=divided),
    Row("DynamicPartition", lambda tf, x, p: tf.dynamic_partition(x, p, 2),
        [floats(2, 2), value([[0, 1], [1, 0]], "int32")], label="matrix"),
    Row("DynamicPartition", lambda tf, x, p: tf.dynamic_partition(x, p, 2),
        [strings(b"a", b"b"), value([1, 1], "int32")], label="texts"),
    Row("DynamicStitch", lambda tf, x, y: tf.dynamic_stitch([[0, 3], [1]], [x, y]),
        [floats(2, 2), floats(1, 2)], dtypes=(*NUMBERS, "bool"), grad=True),
    Row("DynamicStitch", lambda tf, x, y: tf.dynamic_stitch([2, [[0, 1]]], [x, y]),
        [floats(3), floats(1, 2, 3)], grad=True, label="ranks"),
    Row("DynamicStitch", lambda tf, x, y, i: tf.dynamic_stitch([i, [1]], [x, y]),
        [floats(2), floats(1), value([1, 4], "int32")], label="twice"),
    Row("ParallelDynamicStitch", parallel, [floats(2), floats(1)], grad=True),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.dynamic_partition(x, [0], 2), "must be equal, but are 2 and 1"),
        (lambda x: tf.dynamic_stitch([[0, 1]], [[1.0]]), "must be equal, but are 1 and 2"),
    ],
)
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [2, 2])
    with pytest.raises(ValueError, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.dynamic_partition(x, [0, 5], 2), r"partitions\[1\] = 5 is not in \[0, 2\)"),
        (lambda x: tf.dynamic_partition(x, [0], 2),
         r"got data.shape = \[2,2\], partitions.shape = \[1\]"),
        (lambda x: tf.dynamic_stitch([[0], [2, -1]], [[[1.0, 2.0]], x]),
         r"indices\[2\] is out of range"),
        (lambda x: tf.dynamic_stitch([[0], [1, 2]], [x[:1, :1], x]), "and end with"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x = tf.placeholder(tf.float32)
    result = build(x)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {x: np.zeros((2, 2))})


def test_the_gradient_of_a_partition_goes_back_to_each_place(fresh_graph):
    x = tf.placeholder(tf.float32, [3])
    first, second = tf.dynamic_partition(x, [1, 0, 1], 2)
    (grad,) = tf.gradients([first * 3.0, second * [5.0, 7.0]], x)
    with tf.Session() as session:
        assert session.run(grad, {x: np.zeros(3)}).tolist() == [5.0, 3.0, 7.0]
