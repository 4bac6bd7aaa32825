"""Sparse tensors as single values: serialized, and by number from step to step."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, strings, value

PLACES = value([[0, 1], [1, 0], [1, 3], [2, 2]], "int64")
SIZES = np.array([4, 5], np.int64)
KINDS = ["float32", "int32"]


def sparse(tf, indices, values):
    return tf.SparseTensor(indices, values, SIZES)


def parts(sparse):
    return [sparse.indices, sparse.values, sparse.dense_shape]


def _there_and_back(tf, s):
    many = tf.serialize_many_sparse(s)
    return parts(tf.deserialize_many_sparse(many, s.dtype, rank=s.shape.rank))


ROWS = [
    Row("SerializeSparse", lambda tf, i, v: tf.serialize_sparse(sparse(tf, i, v)),
        [PLACES, floats(4)], dtypes=KINDS),
    Row("SerializeManySparse", lambda tf, i, v: tf.serialize_many_sparse(sparse(tf, i, v)),
        [PLACES, floats(4)], dtypes=KINDS),
    Row("SerializeManySparse", lambda tf, i, v: tf.io.serialize_many_sparse(sparse(tf, i, v)),
        [PLACES, strings(b"a", b"b", b"c", b"d")], label="texts"),
    Row("DeserializeManySparse", lambda tf, i, v: _there_and_back(tf, sparse(tf, i, v)),
        [PLACES, floats(4)], dtypes=KINDS),
    Row("DeserializeManySparse", lambda tf, i, v: _there_and_back(tf, sparse(tf, i, v)),
        [PLACES, strings(b"a", b"b", b"c", b"d")], label="texts"),
]  # fmt: skip
# By datasets and batches, here and in tests/conformance.
COVERED = [
    "DeserializeSparse",
    "AddSparseToTensorsMap",
    "AddManySparseToTensorsMap",
    "TakeManySparseFromTensorsMap",
]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


REFUSED = {
    "a row that is none": (
        lambda: tf.serialize_many_sparse(tf.SparseTensor([[7, 0]], [1.0], [3, 2])),
        "unexpected column 0 value in input SparseTensor: 7",
    ),
    "rows of a vector": (
        lambda: tf.serialize_many_sparse(tf.SparseTensor([[1]], [1.0], [3])),
        "Rank of input SparseTensor should be > 1, but saw rank: 1",
    ),
    "something else": (
        lambda: tf.deserialize_many_sparse([["a", "b", "c"]], tf.float32).values,
        "Could not parse serialized_sparse",
    ),
    "another dtype": (
        lambda: (
            tf.deserialize_many_sparse(
                [tf.serialize_sparse(tf.SparseTensor([[1]], [1.0], [3]))], tf.int32
            ).values
        ),
        "of type int32 but the serialized one has float32",
    ),
    "various ranks": (
        lambda: (
            tf.deserialize_many_sparse(
                [
                    tf.serialize_sparse(tf.SparseTensor([[1]], [1.0], [3])),
                    tf.serialize_sparse(tf.SparseTensor([[1, 1]], [1.0], [3, 3])),
                ],
                tf.float32,
            ).values
        ),
        "Inconsistent rank",
    ),
    "no columns": (
        lambda: tf.deserialize_many_sparse([["a", "b"]], tf.float32).values,
        "3 as the last dimension",
    ),
    "nothing": (
        lambda: tf.deserialize_many_sparse(np.zeros((0, 3), object), tf.float32).values,
        "at least 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(fresh_graph, name):
    build, text = REFUSED[name]
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(build())
