"""Rows of different lengths, as operations of TensorFlow 2's graphs make and take them."""

import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value


def flat(outputs):
    return [x for item in outputs for x in (item if isinstance(item, list) else [item])]


def gather(tf, values, indices, *splits, rank=None):
    nested = [tf.constant(s, tf.int64) for s in splits]
    rank = len(splits) + indices.shape.ndims - 1 if rank is None else rank
    return flat(tf.raw_ops.RaggedGather(
        params_nested_splits=nested, params_dense_values=values, indices=indices,
        OUTPUT_RAGGED_RANK=rank))  # fmt: skip


def sparse(tf, values, *splits):
    nested = [tf.constant(s, tf.int64) for s in splits]
    return list(tf.raw_ops.RaggedTensorToSparse(rt_nested_splits=nested, rt_dense_values=values))


def ranges(tf, *given, **kwargs):
    return list(tf.raw_ops.RaggedRange(
        **dict(zip(("starts", "limits", "deltas"), given, strict=True)), **kwargs))  # fmt: skip


ONE, TWO = [[0, 3, 3, 6]], [[0, 2, 2, 3], [0, 3, 3, 6]]
ROWS = [
    *(
        Row("RaggedGather", lambda tf, x, i, splits: gather(tf, x, i, *splits),
            [floats(6, *inner), value(indices, "int32")], {"splits": splits},
            label=f"{indices}{len(splits)}{inner}", constants=[1])
        for splits in (ONE, TWO)
        for inner, indices in (((), [2, 0, 2]), ((2,), [[1, 0], [2, 2]]), ((), []))
    ),
    *(
        Row("RaggedTensorToSparse", lambda tf, x, splits: sparse(tf, x, *splits),
            [floats(6, *inner)], {"splits": splits}, label=f"{len(splits)}{inner}")
        for splits in (ONE, TWO) for inner in ((), (2, 3))
    ),
    Row("RaggedTensorToSparse", lambda tf, x: sparse(tf, x, [0]), [floats(0)], label="nothing"),
    *(
        Row("RaggedRange", ranges, [value(each) for each in given], dtypes=dtypes,
            label=f"{given}")
        for given, dtypes in (
            (([0, 5, 3], [3, 1, 3], [1, -2, 1]), ["int32", "int64", "float32"]),
            ((0, [2, 0, 4], 1), ["int32"]), ((1, 7, 3), ["int64", "float64"]),
            (([0.0, 1.0], [1.0, -1.0], [0.25, -0.3]), ["float32"]), ((5, 1, 1), ["int32"]),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_gradients_go_back_to_the_values(fresh_graph):
    x = tf.constant([1.0, 2.0, 3.0, 4.0])
    gathered = gather(tf, x, tf.constant([1, 0, 1]), [0, 1, 4])[-1]
    values = sparse(tf, x, [0, 1, 4])[1]
    with tf.Session() as session:
        found = session.run([tf.gradients(y * y, x)[0] for y in (gathered, values)])
    assert [g.tolist() for g in found] == [[2, 8, 12, 16], [2, 4, 6, 8]]


def test_rows_that_are_none(fresh_graph):
    hidden = tf.placeholder_with_default(tf.constant([0, 3]), None)
    x = tf.constant([1.0, 2.0])
    with tf.Session() as session:
        for made, text in [
            (gather(tf, x, tf.constant([2]), [0, 1, 2]), r"is not in \[0, 2\)"),
            (gather(tf, x, tf.constant([-1]), [0, 1, 2]), r"is not in \[0, 2\)"),
            (gather(tf, x, tf.constant([0]), [0, 1, 3]), "end with 2"),
            (gather(tf, x, tf.constant([0]), [0, 2, 1, 2]), "never fall"),
            (gather(tf, x, tf.constant([0]), [1, 2]), "start with 0"),
            (gather(tf, x, hidden, [0, 1, 2], rank=3), "OUTPUT_RAGGED_RANK must be 1"),
            (sparse(tf, x, [0, 1]), "end with 2"),
            (ranges(tf, 0, 3, 0), "delta != 0"),
            (ranges(tf, hidden, tf.constant([1, 2, 3]), 1), "same shape"),
            (ranges(tf, 0.0, 1e30, 1.0), "fit in memory"),
        ]:
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(made)
