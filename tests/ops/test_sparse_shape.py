"""Sparse tensors in other shapes and orders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, strings, value

PLACES = value([[0, 1], [1, 0], [1, 3], [2, 2]], "int64")
MIXED = value([[2, 2], [0, 1], [1, 3], [1, 0]], "int64")
SIZES = [3, 4]
KINDS = ["float32", "int32"]


def sparse(tf, indices, values, sizes=SIZES):
    return tf.SparseTensor(indices, values, np.array(sizes, np.int64))


def parts(sparse):
    return [sparse.indices, sparse.values, sparse.dense_shape]


def total(tf, s):
    """A dense number that each element takes part in, by its place."""
    return tf.reduce_sum(tf.sparse_tensor_to_dense(s) * tf.reshape(
        tf.cast(tf.range(tf.reduce_prod(s.dense_shape)), tf.float64), s.dense_shape))  # fmt: skip


ROWS = [
    Row("SparseReshape", lambda tf, i, v: parts(tf.sparse_reshape(sparse(tf, i, v), [2, -1])),
        [PLACES, floats(4)], dtypes=KINDS),
    Row("SparseReshape", lambda tf, i, v, s: parts(tf.sparse.reshape(sparse(tf, i, v), s)),
        [PLACES, floats(4), value([12], "int64")], label="fed"),
    Row("SparseReorder", lambda tf, i, v: parts(tf.sparse_reorder(sparse(tf, i, v))),
        [MIXED, floats(4)], dtypes=KINDS, grad=True),
    Row("SparseReorder", lambda tf, i, v: tf.sparse_reorder(sparse(tf, i, v)).values,
        [MIXED, strings(b"a", b"b", b"c", b"d")], label="texts"),
    Row("SparseReorder", lambda tf, i, v, s: parts(tf.sparse_reorder(tf.SparseTensor(i, v, s))),
        [MIXED, floats(4), value(SIZES, "int64")], label="fed"),
    *(
        Row("SparseReorder", lambda tf, i, v, s, perm=perm: parts(
                tf.sparse_transpose(tf.SparseTensor(i, v, s), perm)),
            [PLACES, floats(4), value(SIZES, "int64")], constants=constants, grad=True,
            label=f"transpose {perm} {constants}")
        for perm in (None, [1, 0], [0, 1]) for constants in ((), (2,))
    ),
    *(
        Row("SparseConcat", lambda tf, i, v, j, w, axis=axis, expand=expand, sizes=sizes: parts(
                tf.sparse_concat(axis, [sparse(tf, i, v), sparse(tf, j, w, sizes)],
                                 expand_nonconcat_dim=expand)),
            [PLACES, floats(4), PLACES, floats(4)], dtypes=KINDS,
            label=f"{axis} {expand} {sizes}",
            same_graph="sizes are cut in another way" if expand else True)
        for axis, expand, sizes in ((0, False, [5, 4]), (-1, False, [3, 6]), (1, True, [5, 4]),
                                    (-1, True, [3, 4]))
    ),
    *(
        Row("SparseSplit", lambda tf, i, v, axis=axis: [parts(part) for part in
                tf.sparse_split(sp_input=sparse(tf, i, v), num_split=3, axis=axis)],
            [PLACES, floats(4)], dtypes=KINDS, label=f"{axis}")
        for axis in (0, -1)
    ),
    *(
        Row("SparseSlice", lambda tf, i, v, start=start, size=size: parts(
                tf.sparse_slice(sparse(tf, i, v), start, size)),
            [PLACES, floats(4)], dtypes=KINDS, label=f"{start} {size}")
        for start, size in (([1, 0], [2, 4]), ([0, 1], [9, 2]), ([2, 0], [1, 1]))
    ),
    *(
        Row("SparseFillEmptyRows", lambda tf, i, v, d, rows=rows: _filled(
                tf, sparse(tf, i, v, [rows, 4]), d),
            [PLACES, floats(4), floats()], dtypes=KINDS, label=f"{rows}")
        for rows in (3, 6)
    ),
    Row("SparseFillEmptyRows", lambda tf, i, v: _filled(tf, sparse(tf, i, v), b"no"),
        [value([[2, 1], [0, 3], [2, 0]], "int64"), strings(b"a", b"b", b"c")], label="in no order"),
    Row("Where", lambda tf, i, v, k: parts(tf.sparse_retain(sparse(tf, i, v), k)),
        [PLACES, floats(4), value([True, False, True, True], "bool")], dtypes=KINDS,
        label="retain"),
    Row("Maximum", lambda tf, i, v: parts(tf.sparse_reset_shape(sparse(tf, i, v, [7, 9]))),
        [PLACES, floats(4)], label="reset"),
    *(
        Row(op, lambda tf, i, v, s, f=f: getattr(tf, f)(tf.SparseTensor(i, v, s)),
            [PLACES, floats(4), value(SIZES, "int64")], label="of a sparse one")
        for op, f in (("Cast", "shape"), ("Prod", "size"), ("Size", "rank"))
    ),
    Row("LessEqual", lambda tf, i, v, s: parts(tf.sparse_reset_shape(sparse(tf, i, v), s)),
        [PLACES, floats(4), value([3, 9], "int64")], label="reset", same_graph="checks differ"),
    *(
        Row("ConcatV2", lambda tf, i, v, axis=axis: parts(
                tf.sparse.expand_dims(sparse(tf, i, v), axis)),
            [PLACES, floats(4)], label=f"expand {axis}", same_graph="cut by other slices")
        for axis in (None, 0, 1, -2)
    ),
]  # fmt: skip
COVERED = ["SparseSliceGrad", "SparseFillEmptyRowsGrad"]  # in test_gradients
GRADIENTS = {
    "slice": lambda s: tf.sparse_slice(s, [1, 0], [2, 3]),
    "fill": lambda s: tf.sparse_fill_empty_rows(s, s.values[0] * 3.0)[0],
    "transpose": lambda s: tf.sparse_transpose(s),
}


def _filled(tf, s, default):
    filled, is_empty = tf.sparse_fill_empty_rows(s, default)
    return [*parts(filled), is_empty]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(fetches, feeds=None):
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        return session.run(fetches, feeds)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(fresh_graph, device, name):
    places = [[0, 1], [1, 0], [1, 3], [2, 2]]
    values = np.linspace(-1, 1, 4)
    with tf.device(device):
        v = tf.placeholder(tf.float64, [4])
        loss = total(tf, GRADIENTS[name](sparse(tf, places, v, [6, 4])))
        (grad,) = tf.gradients(loss, v)
    found = run(grad, {v: values})
    for k in range(4):
        above, below = (run(loss, {v: values + s * np.eye(4)[k]}) for s in (0.5, -0.5))
        assert found[k] == pytest.approx(above - below)


def _stored(indices, sizes=SIZES):
    arrays = (np.array(indices, np.int64), np.ones(len(indices), np.float32), np.array(sizes))
    return tf.SparseTensor(*(tf.placeholder_with_default(a, [None] * a.ndim) for a in arrays))


def _fed(*numbers):
    return tf.placeholder_with_default(np.array(numbers, np.int64), None)


ONE = [[0, 0]]
WRONG = {
    "sizes": (lambda: tf.sparse_reshape(_stored(ONE), _fed(5, 2)),
              "12 dense values, but the requested shape has 10"),
    "a size": (lambda: tf.sparse_reshape(_stored(ONE), _fed(5, -1)), "requires a multiple of 5"),
    "two sizes": (lambda: tf.sparse_reshape(_stored(ONE), _fed(-1, -1)),
                  "only one output dimension may be -1, not both 0 and 1"),
    "a place": (lambda: tf.sparse_reshape(_stored([[0, 4]]), _fed(2, 6)), "is out of bounds"),
    "very many": (lambda: tf.sparse_reduce_sum(_stored(ONE, [2**40, 2**40]), [1, 1][:0]),
                  "too many elements"),
    "other sizes": (lambda: tf.sparse_concat(0, [_stored(ONE), _stored(ONE, [3, 5])]),
                    "Input shapes must match: expected 4 for dimension 1 but got 5 at position 1"),
    "too many parts": (lambda: tf.sparse_split(sp_input=_stored(ONE), num_split=5, axis=1),
                       r"between 1 and the splitting dimension size \(4\), got 5"),
    "an axis": (lambda: tf.sparse_split(sp_input=_stored(ONE), num_split=1, axis=2),
                r"Input axis should be in range \[-2, 2\), got 2"),
    "a start": (lambda: tf.sparse_slice(_stored(ONE), [0], [1, 1]),
                "Expected start to be a vector of length 2 but got length 1"),
    "a row": (lambda: tf.sparse_fill_empty_rows(_stored([[3, 0]]), 0.0)[0],
              r"indices\(0, 0\) is invalid: 3 >= 3"),
    "a smaller shape": (lambda: tf.sparse_reset_shape(_stored(ONE), _fed(3, 3)),
                        "assertion failed"),
    "another rank": (lambda: tf.sparse_reset_shape(_stored(ONE), _fed(3, 4, 5)),
                     "assertion failed"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "text"), WRONG.values(), ids=WRONG)
def test_errors(fresh_graph, device, build, text):
    with tf.device(device):
        wrong = build()
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        run(wrong)


def test_what_is_refused_at_once(fresh_graph):
    s = tf.SparseTensor(ONE, [1.0], SIZES)
    for build, text in (
        (lambda: tf.sparse_reshape(s, [5, 5]), "Cannot reshape a tensor with 12 elements to shape"),
        (lambda: tf.sparse_reshape(s, [-1, -1]), "At most one dimension can be inferred"),
        (lambda: tf.sparse_split(s), "Keyword arguments are required"),
        (lambda: tf.sparse_split(sp_input=s), "num_split is required"),
        (lambda: tf.sparse_split(num_split=1), "sp_input is required"),
        (lambda: tf.sparse_split(sp_input=s, num_split=1), "axis is required"),
        (lambda: tf.sparse_retain(s, [True, False]), "not compatible"),
    ):
        with pytest.raises(ValueError, match=text):
            build()


@settings(max_examples=40)
@given(st.data())
def test_parts_and_wholes(data):
    """What is split, sliced, transposed or reshaped is what NumPy makes of the dense tensor."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    array = rng.integers(0, 3, shape).astype(np.float64)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    start = [data.draw(st.integers(0, size)) for size in shape]
    size = [data.draw(st.integers(0, 4)) for _ in shape]
    perm = data.draw(st.permutations(range(len(shape))))
    pieces = data.draw(st.integers(1, shape[axis]))
    with tf.Graph().as_default():
        s = tf.sparse.from_dense(tf.constant(array))
        cut = tf.sparse_split(sp_input=s, num_split=pieces, axis=axis)
        whole = tf.sparse_concat(axis, cut)
        results = [
            *cut,
            whole,
            tf.sparse_slice(s, start, size),
            tf.sparse_transpose(s, perm),
            tf.sparse_reshape(s, [-1]),
        ]
        found = run([tf.sparse_tensor_to_dense(r) for r in results])
    part = array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    expected = [*np.array_split(array, pieces, axis), array, part, array.transpose(perm)]
    for one, other in zip(found, [*expected, array.reshape(-1)], strict=True):
        np.testing.assert_array_equal(one, other)
