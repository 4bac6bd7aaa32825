"""Inverses, determinants, solutions and exponentials of matrices."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import COMPLEX, Row, case_name, check_row, floats, row_cases, value

WIDE = ("float32", "float64", *COMPLEX)
SINGLE, BATCH = floats(3, 3), floats(2, 3, 3)


def triangle(x, lower=True, adjoint=False):
    x = np.tril(x) if lower else np.triu(x)
    return x.conj().swapaxes(-1, -2) if adjoint else x


def least(a, b):
    return np.linalg.pinv(a) @ b


def exponential(a):
    """By eigenvalues."""
    values, vectors = np.linalg.eig(a)
    result = vectors @ (np.exp(values)[..., None] * np.linalg.inv(vectors))
    return result if a.dtype.kind == "c" else result.real


def safe(tf, x):
    """Far from singular."""
    return x + tf.cast(4.0 * tf.eye(3), x.dtype)


ROWS = [
    Row("MatrixDeterminant", "matrix_determinant", [SINGLE], dtypes=WIDE, grad=True,
        reference=np.linalg.det),
    Row("MatrixDeterminant", "linalg.det", [BATCH], grad=True, label="batch"),
    Row("MatrixDeterminant", "linalg.det", [floats(2, 0, 0)], label="empty"),
    Row("LogMatrixDeterminant", "linalg.slogdet", [BATCH], dtypes=WIDE, grad=True,
        reference=lambda x: list(np.linalg.slogdet(x)), tolerance=5),
    Row("Cholesky", lambda tf, x: tf.linalg.logdet(tf.matmul(x, x, transpose_b=True)), [BATCH],
        grad=True, label="logdet", tolerance=50),
    Row("MatrixInverse", lambda tf, x: tf.matrix_inverse(safe(tf, x)), [SINGLE], dtypes=WIDE,
        grad=True, reference=lambda x: np.linalg.inv(x + 4 * np.eye(3))),
    Row("MatrixInverse", lambda tf, x: tf.linalg.inv(safe(tf, x), adjoint=True), [BATCH],
        dtypes=WIDE, grad=True, label="adjoint"),
    Row("MatrixInverse", "matrix_inverse", [floats(0, 0)], label="empty"),
    *(
        Row("MatrixSolve",
            lambda tf, x, y, adjoint=adjoint: tf.matrix_solve(safe(tf, x), y, adjoint),
            [floats(*batch, 3, 3), floats(*batch, 3, 2)], dtypes=dtypes, grad=True,
            label=f"{batch} {adjoint}")
        for batch, adjoint, dtypes in (
            ((), False, WIDE), ((2,), True, ["float32", "complex64"]), ((2, 0), False, ["float32"]),
        )
    ),
    Row("MatrixSolve", "linalg.solve", [floats(0, 0), floats(0, 2)], label="empty"),
    *(
        Row("MatrixTriangularSolve",
            lambda tf, x, y, kwargs=kwargs: tf.matrix_triangular_solve(safe(tf, x), y, **kwargs),
            [floats(*one, 3, 3), floats(*other, 3, 2)], dtypes=dtypes, grad=True,
            reference=lambda x, y, kwargs=kwargs: np.linalg.solve(
                triangle(x + 4 * np.eye(3), **kwargs), y),
            label=f"{one} {other} {kwargs}")
        for kwargs, one, other, dtypes in (
            ({}, (), (), WIDE), ({"lower": False}, (2,), (2,), ["float32"]),
            ({"adjoint": True}, (2,), (2,), ["float32", "complex64"]),
            ({"lower": False, "adjoint": True}, (2, 1), (1, 2), ["float64"]),
        )
    ),
    Row("MatrixTriangularSolve", "linalg.triangular_solve",
        [value(np.tril(np.linspace(1, 2, 110 * 110).reshape(110, 110)) / 100 + np.eye(110)),
         floats(110, 2)], dtypes=["float64"], reference=np.linalg.solve, label="large"),
    Row("MatrixTriangularSolve", lambda tf, x, y: tf.cholesky_solve(safe(tf, x), y),
        [BATCH, floats(2, 3, 2)], grad=True, label="cholesky"),
    *(
        Row("Cholesky",
            lambda tf, a, b, amount=amount: tf.matrix_solve_ls(a, b, l2_regularizer=amount),
            [floats(*batch, rows, columns), floats(*batch, rows, 2)], grad=True, tolerance=200,
            label=f"least squares {batch} {rows} {columns} {amount}")
        for batch, rows, columns, amount in (
            ((), 4, 3, 0.0), ((2,), 4, 3, 0.2), ((), 3, 4, 0.1), ((2,), 3, 3, 0.3),
        )
    ),
    Row("MatrixSolveLs", "matrix_solve_ls", [floats(2, 4, 3), floats(2, 4, 2)], {"fast": False},
        dtypes=["float64"], label="of the least norm", tolerance=100,
        reference=lambda a, b, fast: least(a, b)),
    Row("MatrixExponential", "linalg.expm", [floats(2, 3, 3)], dtypes=WIDE, grad=True, tolerance=20,
        reference=exponential, same_graph="TensorFlow has a loop of many operations"),
    Row("MatrixExponential", "linalg.expm", [floats(2, 2, low=-20, high=20)], dtypes=["float64"],
        reference=exponential, same_graph="a loop there", label="great", tolerance=100),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def fed(array):
    return tf.placeholder_with_default(np.array(array, np.float32), None)


ONES = [[1, 1], [1, 1]]
WRONG = {
    "no inverse": (lambda: tf.matrix_inverse(fed(ONES)), "Input is not invertible."),
    "no solution": (lambda: tf.matrix_solve(fed(ONES), fed([[1], [2]])),
                    "Input matrix is not invertible."),
    "not square": (lambda: tf.matrix_inverse(fed([[1, 2]])), "Input matrix must be square."),
    "no matrix": (lambda: tf.matrix_determinant(fed([1])), "must have rank >= 2, got 1"),
    "other rows": (lambda: tf.matrix_solve(fed(np.eye(2)), fed(np.ones((3, 1)))),
                   "Input matrix and rhs are incompatible."),
    "other rows of a triangle": (
        lambda: tf.matrix_triangular_solve(fed(np.eye(2)), fed(np.ones((3, 1)))), "2 vs. 3"),
    "other batches": (
        lambda: tf.matrix_triangular_solve(fed(np.ones((2, 2, 2))), fed(np.ones((3, 2, 1)))),
        "compatible batch dimensions"),
}  # fmt: skip


def run(fetches):
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        return session.run(fetches)


@pytest.mark.parametrize(("build", "text"), WRONG.values(), ids=WRONG)
def test_errors(fresh_graph, device, build, text):
    with tf.device(device):
        wrong = build()
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        run(wrong)


def test_a_zero_on_the_diagonal_of_a_triangle_gives_infinities(fresh_graph):
    found = run(tf.matrix_triangular_solve(fed([[0, 2], [2, 4]]), fed([[1], [2]])))
    assert found.ravel().tolist() == [np.inf, -np.inf]


def test_least_squares_of_matrices_of_unknown_sizes(fresh_graph):
    rng = np.random.default_rng(0)
    for shape in ((5, 3), (3, 5)):
        a, b = rng.normal(size=shape), rng.normal(size=(shape[0], 2))
        unknown = tf.placeholder_with_default(a, None)
        solution = tf.matrix_solve_ls(unknown, tf.constant(b))
        np.testing.assert_allclose(run(solution), least(a, b), atol=1e-10)
        with pytest.raises(ValueError, match="Gradient not defined"):
            tf.gradients(solution, unknown)
    with pytest.raises(ValueError, match="l2_regularizer must be zero if fast=False"):
        tf.matrix_solve_ls(tf.eye(2), tf.eye(2), 0.1, fast=False)
