"""Looking up rows for sparse ids."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases, value

PLACES = value([[0, 0], [0, 2], [2, 0], [2, 1]], "int64")
WEIGHTS = floats(4, low=0.5, high=2.0, dtype="float32")
DIVISORS = {
    "sum": lambda w: 1,
    "mean": lambda w: w.sum(),
    "sqrtn": lambda w: np.sqrt((w**2).sum()),
}


def combined(table, places, ids, weights=None, combiner="mean", **_):
    weights = np.ones(len(ids)) if weights is None else weights.astype(float)
    count = int(places[-1, 0]) + 1
    result = np.zeros((count, *table.shape[1:]))
    for row in range(count):
        here = places[:, 0] == row
        if here.any():
            rows = table[ids[here]].astype(float)
            total = np.tensordot(weights[here], rows, 1)
            result[row] = total / DIVISORS[combiner](weights[here])
    return result


def lookup(tf, *inputs, name="embedding_lookup_sparse", sizes=(4, 3), tables=1, **kwargs):
    tables, (places, ids, *weights) = list(inputs[:tables]), inputs[tables:]
    ids, *weights = (tf.SparseTensor(places, x, np.array(sizes)) for x in (ids, *weights))
    weights = weights[0] if weights else None
    return getattr(tf.nn, name)(tables, ids, weights, **kwargs)


IDS = value([3, 0, 3, 1], "int64")
BAD = value([3, -1, -2, 1], "int64")
DEEP = value([[0, 0, 0], [0, 1, 2], [1, 1, 0], [1, 1, 1]], "int64")
SAFE = {"name": "safe_embedding_lookup_sparse"}
MORE_KNOWN = "more of the constant dense shape is known here"


def fed_sizes(tf, table, places, ids, sizes):
    return tf.nn.safe_embedding_lookup_sparse(table, tf.SparseTensor(places, ids, sizes))


ROWS = [
    *(
        row
        for combiner, op in (("sum", "Sum"), ("mean", "Mean"), ("sqrtn", "SqrtN"))
        for row in (
            Row(f"SparseSegment{op}", lookup, [floats(4, 2), PLACES, IDS],
                {"combiner": combiner}, FLOATS[2:], combined, label="unweighted"),
            Row("SegmentSum", lookup, [floats(4, 2), PLACES, IDS, WEIGHTS],
                {"combiner": combiner}, FLOATS if combiner == "mean" else ["float32"], combined,
                label=combiner, tolerance=2),
            Row("SparseFillEmptyRows", lookup, [floats(4, 2), PLACES, BAD],
                {"combiner": combiner, **SAFE}, same_graph=MORE_KNOWN, label=combiner),
            Row("SparseFillEmptyRows", lookup, [floats(4, 2), PLACES, BAD, WEIGHTS],
                {"combiner": combiner, "default_id": 2, **SAFE},
                same_graph=MORE_KNOWN, label=f"weighted {combiner}"),
        )
    ),
    Row("SegmentSum", lookup, [floats(4, 2), PLACES, IDS, WEIGHTS],
        {"allow_fast_lookup": True, "combiner": "sqrtn"}, reference=combined, label="fast"),
    Row("SparseSegmentMean", lookup, [floats(4, 2), PLACES, IDS],
        {"allow_fast_lookup": True}, reference=combined, label="fast"),
    Row("SparseSegmentMean", lookup, [floats(4, 2, low=1), PLACES, IDS], {"max_norm": 1.0},
        label="clipped"),
    Row("SparseSegmentMean", lookup, [floats(2, 3), floats(2, 3), PLACES, IDS], {"tables": 2},
        label="parts"),
    Row("SparseFillEmptyRows", lookup, [floats(2, 3), floats(2, 3), PLACES, BAD],
        {"tables": 2, **SAFE}, same_graph=MORE_KNOWN, label="parts"),
    Row("SparseFillEmptyRows", lookup, [floats(4, 2), DEEP, BAD], {"sizes": (2, 2, 3), **SAFE},
            same_graph=MORE_KNOWN, label="deep"),
    Row("SparseFillEmptyRows", fed_sizes, [floats(4, 2), PLACES, BAD, value([4, 3], "int64")],
        label="fed sizes"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_tables_learn_by_row(use_resource, is_weighted, fresh_graph):
    table = tf.Variable(np.arange(8.0).reshape(4, 2), use_resource=use_resource)
    ids = tf.SparseTensor([[0, 0], [0, 1], [1, 0]], [3, 1, 3], [2, 2])
    weights = tf.SparseTensor([[0, 0], [0, 1], [1, 0]], [3.0, 1.0, 5.0], [2, 2])
    rows = tf.nn.embedding_lookup_sparse(table, ids, weights if is_weighted else None)
    slices = tf.gradients(rows, table)[0]
    assert isinstance(slices, tf.IndexedSlices)
    with tf.Session() as session:
        session.run(table.initializer)
        found, dense = session.run([rows, tf.convert_to_tensor(slices)])
    share = 0.75 if is_weighted else 0.5
    first = [2 + 4 * share, 3 + 4 * share]
    assert found.tolist() == [first, [6, 7]]
    assert dense[:, 0].tolist() == [0, 1 - share, 0, 1 + share]


def test_errors(fresh_graph):
    table, ids = tf.zeros([4, 2]), tf.SparseTensor([[0, 0]], [3], [1, 1])
    other = tf.SparseTensor([[0, 0], [0, 1]], [1.0, 2.0], [1, 2])
    for build, error, text in (
        (lambda: tf.nn.embedding_lookup_sparse(table, [1], None), TypeError, "sp_ids must be"),
        (lambda: tf.nn.embedding_lookup_sparse(table, ids, [1]), TypeError, "sp_weights must be"),
        (lambda: tf.nn.embedding_lookup_sparse(table, ids, other), ValueError, "are incompatible"),
        (lambda: tf.nn.embedding_lookup_sparse(table, ids, None, combiner="max"), ValueError,
         "must be one of 'mean', 'sqrtn' or 'sum'"),
        (lambda: tf.nn.safe_embedding_lookup_sparse([], ids), ValueError, "Missing embedding"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            build()
