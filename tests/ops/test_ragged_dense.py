"""Ragged tensors made rectangular."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value


def dense(tf, values, default, *partitions, kinds, shape=-1):
    return tf.raw_ops.RaggedTensorToTensor(
        shape=tf.constant(shape, tf.int64), values=values, default_value=default,
        row_partition_tensors=[tf.constant(p, tf.int64) for p in partitions],
        row_partition_types=kinds,
    )  # fmt: skip


def row(label, kinds, partitions, count=6, shape=-1, inner=(), default=(), **more):
    def build(tf, values, default):
        return dense(tf, values, default, *partitions, kinds=kinds, shape=shape)

    return Row("RaggedTensorToTensor", build, [floats(count, *inner), floats(*default)],
               label=label, **more)  # fmt: skip


SPLITS = ["ROW_SPLITS"]
ROWIDS = ["FIRST_DIM_SIZE", "VALUE_ROWIDS"]
ROWS = [
    row("splits", SPLITS, [[0, 3, 3, 6]]),
    row("row ids", ROWIDS, [4, [0, 0, 0, 2, 2, 2]], dtypes=["float32", "int32", "float64"]),
    row("cut", SPLITS, [[0, 3, 3, 6]], shape=[2, 2], grad=True),
    row("filled", SPLITS, [[0, 3, 3, 6]], shape=[-1, 5]),
    row("full", SPLITS, [[0, 3, 3, 6]], shape=[3, 5], grad=True),
    row("inner", SPLITS, [[0, 3, 3, 6]], shape=[3, 3, 2, 3], inner=(2, 3), default=(2, 3),
        grad=True),
    row("inner sizes", SPLITS, [[0, 1, 6]], inner=(2,), default=(2,), shape=[3, -1, 2]),
    row("deep", SPLITS * 2, [[0, 2, 2, 3], [0, 3, 3, 6]], shape=[3, 2, 3], grad=True),
    row("deep ids", [*ROWIDS, "VALUE_ROWIDS"], [3, [0, 0, 2], [0, 0, 0, 2, 2, 2]], shape=[3, 2, 2]),
    row("nothing", SPLITS, [[0]], count=0),
    Row("RaggedTensorToTensor", lambda tf, x: dense(
        tf, x, tf.constant(""), [0, 1, 3], kinds=SPLITS),
        [value(np.array([b"a", b"b", b"c"], object), "string")], label="texts"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("kinds", "partitions", "shape", "text"),
    [
        (SPLITS, [[0, 2]], -1, "The partitions are of 2 values, there are 3"),
        (SPLITS, [[1, 3]], -1, "must start with 0"),
        (SPLITS, [[0, 2, 1, 3]], -1, "never fall"),
        (SPLITS, [[0, 3]], -2, "The only valid scalar shape"),
        (SPLITS * 2, [[0, 2], [0, 3]], -1, "1 rows are told for 2"),
        (ROWIDS, [2, [0, 0, 2]], -1, r"be in \[0, 2\)"),
        (["VALUE_ROWIDS"], [[0, 0, 2]], -1, "VALUE_ROWIDS in first dimension"),
        (["FIRST_DIM_SIZE"], [3], -1, "The partitions are of 3|there are 3"),
        (["ROW_LENGTHS"], [[3]], -1, "Unsupported row partition type: ROW_LENGTHS"),
        (SPLITS, [3], -1, "must be a vector"),
    ],
)
def test_partitions_that_are_none(fresh_graph, kinds, partitions, shape, text):
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(dense(tf, [1, 2, 3], 0, *partitions, kinds=kinds, shape=shape))
