"""Edit distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, row_cases, strings, value


def distance(tf, *parts, sizes, **kwargs):
    sparse = [
        tf.SparseTensor(places, values, np.array(size, np.int64))
        for places, values, size in zip(parts[::2], parts[1::2], sizes, strict=True)
    ]
    return tf.edit_distance(*sparse, **kwargs)


FOUND = value([[0, 0], [0, 1], [1, 0]], "int64")
TRUE = value([[0, 0], [1, 0], [1, 1], [1, 2]], "int64")
SIZES = {"sizes": [(3, 2), (2, 3)]}
LETTERS = [FOUND, strings(b"a", b"b", b"c"), TRUE, strings(b"a", b"c", b"d", b"e")]
CUBE = [value([[0, 0, 0]], "int64"), value([1]), value([[0, 0, 0], [1, 0, 0]], "int64")]
ROWS = [
    Row("EditDistance", distance, LETTERS, SIZES,
        reference=lambda *_, **__: np.array([1, 2 / 3, 0], np.float32)),
    Row("EditDistance", distance, LETTERS, {"normalize": False, **SIZES},
        reference=lambda *_, **__: np.array([1, 2, 0], np.float32), label="counted"),
    Row("EditDistance", distance, [*CUBE, value([1, 2])], {"sizes": [(2, 1, 1), (2, 2, 1)]},
        dtypes=["int32", "float32"], label="uneven cube",
        reference=lambda *_, **__: np.array([[0, 0], [1, 0]], np.float32)),
    Row("EditDistance", distance, [value([[0, 0], [2, 0]], "int64"), value([1, 1]),
        value([[1, 0]], "int64"), value([1])], {"sizes": [(3, 1), (3, 1)]}, label="without truth",
        reference=lambda *_, **__: np.array([np.inf, 1, np.inf], np.float32)),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def recursive(a, b):
    """The definition."""
    if not a or not b:
        return len(a) + len(b)
    replaced = recursive(a[1:], b[1:]) + (a[0] != b[0])
    return min(replaced, recursive(a[1:], b) + 1, recursive(a, b[1:]) + 1)


@settings(deadline=None, max_examples=25)
@given(*[st.lists(st.integers(0, 2), max_size=5)] * 2)
def test_distances_are_as_defined(a, b):
    with tf.Graph().as_default(), tf.Session() as session:
        sparse = []
        for labels in (a, b):
            places = np.array([[0, i] for i in range(len(labels))], np.int64).reshape(-1, 2)
            sparse.append(tf.SparseTensor(places, np.array(labels, np.int32), [1, 9]))
        found = session.run(tf.edit_distance(*sparse, normalize=False))
    assert found.tolist() == [recursive(a, b)]


def test_errors(fresh_graph):
    plain = tf.SparseTensor([[0, 0]], [1], [1, 1])
    for pair, text in (((plain, [1]), "Truth must be"), (([1], plain), "Hypothesis must be")):
        with pytest.raises(TypeError, match=text):
            tf.edit_distance(*pair)
    with pytest.raises(ValueError, match=r"does not match truth_shape: 2 vs\. 3"):
        tf.edit_distance(plain, tf.SparseTensor([[0, 0, 0]], [1], [1, 1, 1]))
    with pytest.raises(ValueError, match="must have rank at least 2"):
        tf.edit_distance(*[tf.SparseTensor([[0]], [1], [1])] * 2)
    wrong = tf.edit_distance(tf.SparseTensor([[9, 0]], [1], [1, 1]), plain)
    with (
        tf.Session() as session,
        pytest.raises(tf.errors.InvalidArgumentError, match="hypothesis_indices are out of bounds"),
    ):
        session.run(wrong)
