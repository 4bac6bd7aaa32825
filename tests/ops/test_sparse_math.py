"""Arithmetic of sparse tensors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import (
    COMPLEX,
    FLOATS,
    Row,
    case_name,
    check_row,
    floats,
    row_cases,
    value,
)

PLACES = value([[0, 1], [1, 0], [1, 3], [2, 2]], "int64")
OTHERS = value([[0, 0], [1, 0], [2, 2], [2, 3]], "int64")
SIZES = [3, 4]


def dense(indices, values, sizes=SIZES):
    result = np.zeros(sizes, values.dtype)
    np.add.at(result, tuple(indices.T), values)
    return result


def sparse(tf, indices, values, sizes=SIZES):
    return tf.SparseTensor(indices, values, np.array(sizes, np.int64))


def parts(sparse):
    return [sparse.indices, sparse.values, sparse.dense_shape]


def product(a, b, adjoint_a=False, adjoint_b=False):
    a = a.conj().T if adjoint_a else a
    b = b.conj().T if adjoint_b else b
    wide = np.result_type(a.dtype, np.float64) if a.dtype.kind in "fV" else a.dtype
    return a.astype(wide) @ b.astype(wide)


def times(**kwargs):
    return lambda tf, i, v, b: tf.sparse_tensor_dense_matmul(sparse(tf, i, v), b, **kwargs)


ROWS = [
    *(
        Row("SparseTensorDenseMatMul", times(**kwargs), [PLACES, floats(4), floats(*shape)],
            dtypes=dtypes, grad=True, label=label,
            reference=lambda i, v, b, kwargs=kwargs: product(dense(i, v), b, **kwargs))
        for label, kwargs, shape, dtypes in (
            ("plain", {}, (4, 2), [*FLOATS, "int32", *COMPLEX]),
            ("turned a", {"adjoint_a": True}, (3, 2), ["float32", *COMPLEX]),
            ("turned b", {"adjoint_b": True}, (2, 4), ["float32", *COMPLEX]),
            ("turned both", {"adjoint_a": True, "adjoint_b": True}, (5, 3), ["float64", *COMPLEX]),
            ("empty", {}, (4, 0), ["float32"]),
        )
    ),
    Row("SparseTensorDenseMatMul", times(),
        [value([[2, 1], [0, 1], [2, 0], [2, 1]], "int64"), floats(4), floats(4, 3)], grad=True,
        reference=lambda i, v, b: dense(i, v) @ b, label="in any order"),
    Row("SparseTensorDenseMatMul", times(),
        [value(np.zeros((0, 2)), "int64"), floats(0), floats(4, 3)],
        reference=lambda i, v, b: np.zeros((3, 3), np.float32), label="nothing stored"),
    Row("SparseTensorDenseMatMul", lambda tf, i, v, b: tf.sparse.matmul(b, sparse(tf, i, v)),
        [PLACES, floats(4), floats(2, 3)], grad=True, label="dense first",
        reference=lambda i, v, b: b @ dense(i, v)),
    *(
        Row(op, lambda tf, i, v, b, f=f: parts(f(sparse(tf, i, v), b)),
            [PLACES, floats(4), floats(*shape, low=0.5)], dtypes=dtypes, grad=True,
            label=f"by {shape}",
            oracle=True if shape else "its gradient fails in TensorFlow",
            reference=lambda i, v, b, f=f: [
                i, f(v, np.broadcast_to(b, SIZES)[tuple(i.T)]), np.array(SIZES)])
        for op, f in (("SparseDenseCwiseMul", lambda x, y: x * y),
                      ("SparseDenseCwiseDiv", lambda x, y: x / y))
        for shape, dtypes in (
            ((3, 4), ["float16", "float32"]), ((3, 1), ["float32"]),
            ((4,), ["float64"]), ((), ["float32"]), ((1, 1), ["float32"]),
        )
    ),
    Row("SparseDenseCwiseMul", lambda tf, i, v: parts(sparse(tf, i, v) * 2), [PLACES, floats(4)],
        dtypes=["float32", "int32"], label="by a number"),
    Row("SparseDenseCwiseMul", lambda tf, i, v, b: parts(b * sparse(tf, i, v)),
        [PLACES, floats(4), floats(3, 4)], grad=True, label="dense first"),
    Row("SparseDenseCwiseDiv", lambda tf, i, v: parts(sparse(tf, i, v) / tf.constant([3])),
        [PLACES, value([7, -7, 5, 1], "int32")], label="of integers"),
    Row("SparseDenseCwiseAdd", lambda tf, i, v, b: _cwise(tf, "SparseDenseCwiseAdd", i, v, b),
        [PLACES, floats(4), floats(4)], oracle="made by its op type alone", grad=True,
        reference=lambda i, v, b: v + b[i[:, 1]]),
    Row("SparseDenseCwiseDiv", lambda tf, i, v, b: _cwise(tf, "SparseDenseCwiseDiv", i, v, b),
        [PLACES, value([7, -7, 5, 1], "int32"), value([2, -3, 4, -2], "int32")],
        oracle="made by its op type alone", label="cut off",
        reference=lambda i, v, b: np.trunc(v / b[i[:, 1]])),
    Row("SparseTensorDenseAdd", lambda tf, i, v, b: tf.sparse_add(sparse(tf, i, v), b),
        [PLACES, floats(4), floats(3, 4)], dtypes=["float32", "int32", "complex64"], grad=True,
        reference=lambda i, v, b: dense(i, v) + b),
    Row("SparseTensorDenseAdd", lambda tf, i, v, b: tf.sparse.add(b, sparse(tf, i, v)),
        [PLACES, floats(4), floats(3, 4)], label="dense first"),
    *(
        Row("SparseAdd", lambda tf, i, v, j, w, least=least: parts(
                tf.sparse_add(sparse(tf, i, v), sparse(tf, j, w), threshold=least)),
            [PLACES, floats(4), OTHERS, floats(4)], dtypes=dtypes, label=f"above {least}")
        for least, dtypes in ((None, ["float32", "int32", "complex64"]), (0.7, ["float32"]))
    ),
    Row("SparseAdd", lambda tf, i, v, j, w: tf.sparse_reduce_sum(
            tf.sparse_add(sparse(tf, i, v), sparse(tf, j, w), threshold=0.7), 0),
        [PLACES, floats(4), OTHERS, floats(4)], grad=True, label="reduced"),
    Row("SparseAddGrad", lambda tf, i, v, j, w: tf.gradients(
            tf.sparse_add(sparse(tf, i, v), sparse(tf, j, w), threshold=0.7).values, [v, w]),
        [PLACES, floats(4), OTHERS, floats(4)], same_graph="gradients are not named alike"),
    *(
        Row(op, lambda tf, i, v, j, w, name=name: parts(
                getattr(tf, name)(sparse(tf, i, v), sparse(tf, j, w))),
            [PLACES, floats(4), OTHERS, floats(4)], dtypes=["float32", "int32"])
        for op, name in (("SparseSparseMaximum", "sparse_maximum"),
                         ("SparseSparseMinimum", "sparse_minimum"))
    ),
    *(
        Row(op, lambda tf, i, v, name=name, axis=axis, keep=keep: _all(
                getattr(tf, name)(sparse(tf, i, v), axis, keepdims=keep)),
            [PLACES, floats(4)], dtypes=dtypes, label=f"over {axis} {keep}",
            grad=op == "SparseReduceSum")
        for op, name in (("SparseReduceSum", "sparse_reduce_sum"),
                         ("SparseReduceMax", "sparse_reduce_max"),
                         ("SparseReduceSumSparse", "sparse_reduce_sum_sparse"),
                         ("SparseReduceMaxSparse", "sparse_reduce_max_sparse"))
        for axis, keep, dtypes in (
            (None, False, ["float32"]), (0, False, ["float32", "int32"]), (-1, True, ["float64"]),
            ([0, 1], True, ["float32"]), ([1], False, ["float32"]),
        )
    ),
    Row("SparseSoftmax", lambda tf, i, v: parts(tf.sparse_softmax(sparse(tf, i, v))),
        [PLACES, floats(4)], dtypes=["float32", "float64"], grad=True),
    Row("SparseSoftmax", lambda tf, i, v: parts(tf.sparse.softmax(sparse(tf, i, v, [2, 2, 3]))),
        [value([[0, 0, 0], [0, 0, 2], [0, 1, 1], [1, 0, 0], [1, 0, 1]], "int64"), floats(5)],
        grad=True, label="three dimensions"),
]  # fmt: skip


def _cwise(tf, op, i, v, b):
    from tfsession.graph.create import create_op  # noqa: PLC0415

    return create_op(op, [i, v, np.array(SIZES), b])


def _all(result):
    return parts(result) if hasattr(result, "dense_shape") else result


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(fetches, feeds=None):
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.Session(config=config) as session:
        return session.run(fetches, feeds)


def _stored(indices, values=None, sizes=SIZES):
    values = np.ones(len(indices), np.float32) if values is None else values
    parts = (np.array(indices, np.int64), values, np.array(sizes, np.int64))
    fed = [tf.placeholder_with_default(part, [None] * part.ndim) for part in parts]
    return tf.SparseTensor(*fed)


def _fed(*shape):
    return tf.placeholder_with_default(np.ones(shape, np.float32), None)


WRONG = {
    "a column": (lambda: tf.sparse_tensor_dense_matmul(_stored([[0, 4]]), _fed(4, 2)),
                 r"k \(4\) from index\[0,1\] out of bounds \(>=4\)"),
    "a row": (lambda: tf.sparse_tensor_dense_matmul(_stored([[0, 0], [-1, 0]]), _fed(4, 2)),
              r"m \(-1\) from index\[1,0\] out of bounds \(>=3\)"),
    "inner sizes": (lambda: tf.sparse_tensor_dense_matmul(_stored([[0, 0]]), _fed(3, 2)),
                    "inner dimension does not match: 4 vs. 3.  Did you forget a transpose"),
    "a vector": (lambda: tf.sparse_tensor_dense_matmul(_stored([[0, 0]]), _fed(4)),
                 "Tensor 'b' is not a matrix"),
    "no broadcast": (lambda: _stored([[0, 0]]) * _fed(3, 2),
                     r"got incompatible shapes: \[3,4\] vs"),
    "too high a rank": (lambda: _stored([[0, 0]]) * _fed(1, 3, 4),
                        "broadcasts dense to sparse only"),
    "a place": (lambda: _stored([[0, 9]]) * _fed(3, 4), "is out of bounds: need 0 <= index"),
    "a dense size": (lambda: tf.sparse_add(_stored([[0, 0]]), _fed(3, 2)),
                     "Dimension 1 does not equal .* sparse side 4 vs dense side 2"),
    "two sizes": (lambda: tf.sparse_add(_stored([[0, 0]]), _stored([[0, 0]], sizes=[3, 5])),
                  "shapes do not match: got 4 and 5 for dimension 1"),
    "an axis": (lambda: tf.sparse_reduce_sum(_stored([[0, 0]]), 2),
                "Invalid reduction dimension 2, for input with 2 dimensions."),
    "a softmax of a vector": (lambda: tf.sparse_softmax(_stored([[0]], sizes=[2])),
                              "Input should have rank >= 2"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "text"), WRONG.values(), ids=WRONG)
def test_errors(fresh_graph, device, build, text):
    with tf.device("/cpu:0" if "index" in text else device):
        wrong = build()
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        run(wrong)


def test_what_is_refused_at_once(fresh_graph):
    with pytest.raises(TypeError, match="Input must be a SparseTensor"):
        tf.sparse_tensor_dense_matmul(tf.ones([2, 2]), tf.ones([2, 2]))
    with pytest.raises(TypeError, match="At least one input should be SparseTensor"):
        tf.sparse_add(tf.ones([2]), tf.ones([2]))
    with pytest.raises(ValueError, match="Dimensions must be equal, but are 4 and 3"):
        tf.sparse_tensor_dense_matmul(tf.SparseTensor([[0, 0]], [1.0], SIZES), tf.ones([3, 2]))
    with pytest.raises(TypeError, match="must have the same dtype"):
        tf.SparseTensor([[0, 0]], [1.0], SIZES) / tf.constant([2])


@settings(max_examples=60)
@given(st.data())
def test_products_are_those_of_dense_matrices(data):
    """Rows of all lengths, in any order, with places that come twice."""
    rows, inner, width = (data.draw(st.integers(1, 9)) for _ in range(3))
    count = data.draw(st.integers(0, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    places = np.stack([rng.integers(0, rows, count), rng.integers(0, inner, count)], 1)
    values, b = rng.normal(size=count), rng.normal(size=(inner, width))
    with tf.Graph().as_default():
        found = run(tf.sparse_tensor_dense_matmul(
            tf.SparseTensor(places, values, [rows, inner]), tf.constant(b)))  # fmt: skip
    np.testing.assert_allclose(found, dense(places, values, [rows, inner]) @ b, atol=1e-12)


@pytest.mark.parametrize("adjoint", [False, True])
def test_products_with_constant_indices_are_those_with_fed_ones(fresh_graph, adjoint):
    rng = np.random.default_rng(0)
    places = np.unique(rng.integers(0, 60, (900, 2)), axis=0)
    other = np.unique(rng.integers(0, 60, (900, 2)), axis=0)[: len(places)]
    indices, b = tf.constant(places), tf.placeholder(tf.float32, [None, 40])
    numbers = tf.placeholder(tf.float32, [None])
    matrix = tf.SparseTensor(indices, numbers, (60, 60))
    product = tf.sparse.sparse_dense_matmul(matrix, b, adjoint_a=adjoint)
    with tf.Session() as session:
        for _ in range(3):
            feeds = {
                b: rng.normal(size=(60, 40)).astype(np.float32),
                numbers: rng.normal(size=len(places)).astype(np.float32),
            }
            kept = session.run(product, feeds)
            fed = session.run(product, {**feeds, indices: places})
            assert kept.tobytes() == fed.tobytes()
            few = {**feeds, indices: other, numbers: feeds[numbers][: len(other)]}
            full = dense(other, few[numbers], (60, 60))
            wanted = (full.T if adjoint else full) @ feeds[b]
            np.testing.assert_allclose(session.run(product, few), wanted, atol=1e-4)


@pytest.mark.parametrize("bad", [[[0, 4]], [[3, 0]], [[-1, 0]]])
def test_constant_indices_out_of_range_fail_in_each_step(fresh_graph, bad):
    b = tf.placeholder(tf.float32, [None, 2])
    with tf.device("/cpu:0"):
        product = tf.sparse.sparse_dense_matmul(sparse(tf, np.array(bad), np.float32([1])), b)
    with tf.Session() as session:
        for _ in range(2):
            with pytest.raises(tf.errors.InvalidArgumentError, match="out of bounds"):
                session.run(product, {b: np.ones((4, 2), np.float32)})


@pytest.mark.parametrize("adjoint", [False, True])
def test_a_gpu_leaves_out_rows_and_marks_columns_out_of_range(fresh_graph, adjoint):
    places = np.array([[0, 0], [3, 0], [-1, 1], [1, 4], [2, 3]])
    if adjoint:
        places = places[:, ::-1]
    with tf.device("/gpu:0"):
        matrix = tf.SparseTensor(places, np.float32([1, 2, 3, 4, 5]), (4, 3) if adjoint else (3, 4))
        product = tf.sparse.sparse_dense_matmul(matrix, tf.ones([4, 2]), adjoint_a=adjoint)
    found = run(product)
    np.testing.assert_array_equal(found, [[1, 1], [np.nan, np.nan], [5, 5]])


BESIDE = {
    "SparseDenseCwiseMul": lambda v, met: v * met,
    "SparseDenseCwiseDiv": lambda v, met: v / met,
    "SparseDenseCwiseAdd": lambda v, met: v + met,
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("shape", [(3, 4), (4,), (3, 1), ()])
def test_what_elements_meet_is_in_the_same_replay(fresh_graph, name, shape):
    places, values = [[0, 1], [2, 3], [0, 1], [3, 0], [1, -1]], [3.0, -2.0, 1.0, 5.0, 7.0]
    with tf.device("/gpu:0"):
        i, v = tf.placeholder(tf.int64, [5, 2]), tf.placeholder(tf.float32, [5])
        b = tf.placeholder(tf.float32, shape)
        z = _cwise(tf, name, i, tf.tanh(v), tf.exp(b)) * 2.0
    table = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    with tf.Session() as session:
        for _ in range(3):
            with session.counting() as counted:
                found = session.run(z, {i: places, v: values, b: table})
    assert (counted["/gpu:0"].replays, counted["/gpu:0"].reads) == (1, 0)
    met = np.broadcast_to(np.exp(table), SIZES)[[0, 2, 0], [1, 3, 1]]
    wanted = BESIDE[name](np.tanh(np.float32(values[:3])), met) * 2
    np.testing.assert_allclose(found[:3], wanted, rtol=1e-6)
    assert np.isnan(found[3:]).all()


def test_a_gpu_leaves_out_of_sums_what_is_out_of_range(fresh_graph):
    with tf.device("/gpu:0"):
        i, b = tf.placeholder(tf.int64, [4, 2]), tf.placeholder(tf.float32, [3, 4])
        z = tf.sparse_add(sparse(tf, i, tf.constant([1.0, 2.0, 4.0, 8.0])), b + 1.0)
    with tf.Session() as session:
        for _ in range(3):
            with session.counting() as counted:
                found = session.run(z, {i: [[0, 1], [0, 4], [0, 1], [-1, 2]], b: np.ones(SIZES)})
    assert (counted["/gpu:0"].replays, counted["/gpu:0"].reads) == (1, 0)
    wanted = np.full(SIZES, 2)
    wanted[0, 1] = 7
    np.testing.assert_array_equal(found, wanted)


def test_integers_are_divided_on_a_gpu_as_on_a_cpu(fresh_graph):
    dividends, divisors = np.array([7, -7, 5, 1]), np.array([-3, 2, 0, 1])
    places = [[0, 1], [1, 0], [1, 3], [2, 2]]
    with tf.device("/gpu:0"):
        quotient = _cwise(tf, "SparseDenseCwiseDiv", places, dividends, divisors)
    assert run(quotient).tolist() == [3, 2, 5, 0]
