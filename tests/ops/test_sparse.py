"""Sparse tensors made dense."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, strings, value


def _dense(indices, values, shape=(3, 4), default=0.0):
    result = np.full(shape, default, np.asarray(values).dtype)
    result[tuple(np.asarray(indices).T)] = values
    return result


OTHER = "constants are made elsewhere"
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
    *(
        Row("SparseToDense", lambda tf, i, v, kwargs=kwargs: tf.sparse_tensor_to_dense(
                tf.SparseTensor(i, v, [3, 4]), **kwargs),
            [PLACES, floats(3)], dtypes=("float32", "int32"), grad=True, label=f"sparse {kwargs}")
        for kwargs in ({}, {"default_value": 7, "validate_indices": False, "name": "foo"})
    ),
    Row("SparseToDense", lambda tf, i, v: tf.sparse.to_dense(tf.SparseTensor(i, v, [3, 4])),
        [PLACES, strings(b"a", b"b", b"c")], label="sparse texts"),
    Row("GatherNd", lambda tf, x: _parts(tf.sparse.from_dense(x)),
        [value([[0, 1.5, 0], [2, 0, 0]])], dtypes=("float32", "int32"), label="from dense"),
    *(
        Row("Pack", lambda tf, args=args: _parts(tf.sparse.eye(*args)), label=f"eye {args}",
            same_graph="shapes are asked for otherwise",
            reference=lambda args=args: [np.eye(2, 2).nonzero()[0][:, None] * [1, 1],
                                         np.ones(2), np.array(args)])
        for args in ((2, 3), (3, 2))
    ),
    Row("ListDiff", lambda tf, v, i, m: _slices(tf.sparse_mask(tf.IndexedSlices(v, i), m)),
        [floats(3, 2), value([4, 1, 7], "int64"), value([7], "int64")],
        reference=lambda v, i, m: [v[:2], i[:2]]),
    *(
        Row("SparseToDense", lambda tf, i, v: tf.sparse_to_indicator(
                tf.SparseTensor(i, v, [3, 4]), 6),
            [PLACES, value([5, 0, 2], kind)], label=f"indicator {kind}", same_graph=OTHER,
            reference=lambda i, v: _dense(np.stack([i[:, 0], v], 1), [True] * 3, (3, 6), False))
        for kind in ("int32", "int64")
    ),
    *(
        Row("ConcatV2", lambda tf, i, v, w, is_sorted=is_sorted: _parts(tf.sparse_merge(
                tf.SparseTensor(i, v, [3, 4]), tf.SparseTensor(i, w, [3, 4]), 6,
                already_sorted=is_sorted)),
            [value([[0, 1], [1, 0], [1, 3]], "int64"), value([5, 2, 0], "int32"), floats(3)],
            label=f"merge {is_sorted}", same_graph=OTHER)
        for is_sorted in (False, True)
    ),
    Row("SparseReorder", lambda tf, i, v, k, w: _parts(tf.sparse_merge(
            [tf.SparseTensor(i, v, [3, 4]), tf.SparseTensor(i, k, [3, 4])],
            tf.SparseTensor(i, w, [3, 4]), [6, 3])),
        [PLACES, value([5, 2, 0], "int64"), value([2, 0, 1], "int64"), floats(3)],
        label="merge many", same_graph=OTHER),
]  # fmt: skip


def _parts(sparse):
    return [sparse.indices, sparse.values, sparse.dense_shape]


def _slices(slices):
    return [slices.values, slices.indices]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_merges_that_are_refused(fresh_graph):
    s = tf.SparseTensor([[0, 0]], [1], [2, 2])
    with pytest.raises(TypeError, match="vocab_size has to be a list"):
        tf.sparse_merge([s], s, 3)
    with pytest.raises(ValueError, match="have to have equal lengths"):
        tf.sparse_merge([s], s, [3, 4])


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
