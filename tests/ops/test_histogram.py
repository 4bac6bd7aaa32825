"""Counting whole numbers, and finding places in sorted rows."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

OWN = "the same numbers by other operations"
NUMBERS = value([[1, 3, 1], [0, 3, 3]], "int32")
ROWS = [
    Row("Bincount", "bincount", [NUMBERS], same_graph=OWN,
        reference=lambda x: np.bincount(x.reshape(-1))),
    *(
        Row("Bincount", "bincount", [NUMBERS], kwargs, same_graph=OWN, label=f"{kwargs}")
        for kwargs in ({"minlength": 7}, {"maxlength": 2}, {"minlength": 2, "maxlength": 3})
    ),
    Row("Bincount", "math.bincount", [NUMBERS, floats(2, 3)], dtypes=["float32", "int64"],
        same_graph=OWN, label="weighted"),
    Row("Bincount", "bincount", [value([], "int32")], same_graph=OWN, label="empty"),
    *(
        Row("DenseBincount", lambda tf, x, w, size, flag: tf.raw_ops.DenseBincount(
            input=x, size=tf.constant(size), weights=w, binary_output=flag),
            [value(x, "int32"), weights], {"size": size, "flag": flag},
            dtypes=["float32", "int64"], label=f"{np.ndim(x)}-{size}-{flag}-{i}")
        for i, weights in enumerate([value([]), floats(2, 3)])
        for x, size, flag in (
            ([[1, 3, 1], [0, 3, 3]], 4, False),
            ([[1, 3, 1], [0, 3, 3]], 2, True),
            ([1, 3, 1, 0, 3, 3], 6, False),
        )
        if np.ndim(x) == 2 or not i
    ),
    *(
        Row("RaggedBincount", lambda tf, s, x, w, flag: tf.raw_ops.RaggedBincount(
            splits=s, values=x, size=tf.constant(4), weights=w, binary_output=flag),
            [value([0, 2, 2, 6], "int64"), value([1, 3, 1, 9, 3, 3], "int32"), value([])],
            {"flag": flag}, label=f"{flag}", constants=[0])
        for flag in (False, True)
    ),
    *(
        Row("SparseBincount", lambda tf, i, x, w, shape: tf.raw_ops.SparseBincount(
            indices=i, values=x, dense_shape=tf.constant(shape, tf.int64), size=tf.constant(4),
            weights=w), [value(i, "int64"), value([1, 3, 1], "int32"), floats(3)],
            {"shape": shape}, label=f"{shape}")
        for i, shape in (([[0, 1], [2, 0], [2, 3]], [3, 4]), ([[0], [2], [3]], [5]))
    ),
    Row("Bucketize", lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.1, 2.0]),
        [value([[-2, -1, 0], [0, 2, 3]])], dtypes=["float32", "float64", "int32", "int64"]),
    Row("Bucketize", lambda tf, x: tf.raw_ops.Bucketize(input=x, boundaries=[]),
        [floats(2, 3)], label="none"),
    *(
        Row(op, "searchsorted", [value([[1, 3, 3, 9], [0, 1, 2, 3]]), value([[3, 0], [5, 2]])],
            {"side": side}, ["float32", "int32"], same_graph=OWN,
            reference=lambda a, b, side: [
                np.stack([np.searchsorted(x, y, side) for x, y in zip(a, b, strict=True)])])
        for op, side in (("LowerBound", "left"), ("UpperBound", "right"))
    ),
    Row("LowerBound", "searchsorted", [value([1, 3, 9]), value([4])], {"out_type": tf.int64},
        same_graph=OWN, oracle="its dtype is tfsession's", label="vector"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_what_cannot_be_counted(fresh_graph):
    raw, none = tf.raw_ops, tf.constant([], tf.float32)
    x = tf.placeholder_with_default(tf.constant([1, -2]), None)
    splits = tf.placeholder_with_default(tf.constant([0, 3], tf.int64), None)
    two = tf.placeholder_with_default(tf.constant([1, 2]), None)
    with tf.Session() as session:
        for bad, text in [
            (raw.DenseBincount(input=x, size=4, weights=none), "must be non-negative"),
            (raw.DenseBincount(input=two, size=4, weights=tf.ones([3])), "same shape"),
            (raw.RaggedBincount(splits=splits, values=two, size=4, weights=none), "Splits must"),
            (raw.SparseBincount(indices=tf.constant([[9, 0], [0, 1]], tf.int64), values=two,
                                dense_shape=tf.constant([2, 2], tf.int64), size=4, weights=none),
             "Index out of bound"),
            (raw.Bucketize(input=two, boundaries=[2.0, 1.0]), "sorted boundaries"),
        ]:  # fmt: skip
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(bad)


def test_errors(fresh_graph):
    with pytest.raises(ValueError, match="must be either 'right' or 'left'"):
        tf.searchsorted([1], [1], side="middle")
    with (
        tf.Session() as session,
        pytest.raises(tf.errors.InvalidArgumentError, match="non-negative"),
    ):
        session.run(tf.bincount([1, -1]))
