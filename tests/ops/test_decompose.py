"""Decompositions of matrices. What has a sign of its library's choice is compared without it."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import COMPLEX, Row, case_name, check_row, floats, row_cases, value

WIDE = ("float32", "float64", *COMPLEX)
SINGLE, BATCH = floats(3, 3), floats(2, 3, 3)


def positive(tf, x):
    """A positive definite matrix, with eigenvalues apart from each other."""
    return tf.matmul(x, x, adjoint_b=True) + tf.cast(tf.diag([1.0, 2.0, 3.0]), x.dtype)


def positive_array(x):
    return x @ x.conj().swapaxes(-1, -2) + np.diag([1, 2, 3])


def sizes(tf, parts):
    return [tf.abs(part) for part in parts]


def _svd(tf, x, **kwargs):
    s, u, v = tf.svd(x, **kwargs)
    return [s, tf.abs(u), tf.abs(v)]


def _restored(tf, x):
    s, u, v = tf.svd(x)
    return tf.matmul(u * s[..., None, :], v, transpose_b=True)


CHOSEN = "signs are the library's choice"
ROWS = [
    Row("Cholesky", lambda tf, x: tf.cholesky(positive(tf, x)), [SINGLE], dtypes=WIDE, grad=True,
        reference=lambda x: np.linalg.cholesky(positive_array(x))),
    Row("Cholesky", lambda tf, x: tf.linalg.cholesky(positive(tf, x)), [BATCH], grad=True,
        label="batch"),
    Row("Cholesky", "cholesky", [floats(0, 0)], label="empty"),
    Row("CholeskyGrad", lambda tf, x, g: _cholesky_grad(tf, tf.cholesky(positive(tf, x)), g),
        [BATCH, BATCH], dtypes=["float32", "float64"], tolerance=10,
        oracle="made by its op type alone"),
    Row("SelfAdjointEigV2", lambda tf, x: sizes(tf, tf.self_adjoint_eig(positive(tf, x))), [BATCH],
        dtypes=["float32", "float64"], grad=True, tolerance=10,
        reference=lambda x: [abs(part) for part in np.linalg.eigh(positive_array(x))]),
    Row("SelfAdjointEigV2", lambda tf, x: tf.self_adjoint_eigvals(positive(tf, x)), [SINGLE],
        dtypes=WIDE, grad=True, label="values", tolerance=10),
    Row("SelfAdjointEigV2", lambda tf, x: tf.linalg.eigvalsh(x), [SINGLE],
        grad=True, label="lower triangle"),
    Row("SelfAdjointEigV2", lambda tf, x: list(tf.linalg.eigh(x)), [floats(2, 0, 0)],
        label="empty"),
    Row("Eig", lambda tf, x: tf.abs(tf.linalg.eigvals(positive(tf, x))), [SINGLE], dtypes=WIDE,
        same_graph=CHOSEN, oracle="in no order"),
    Row("Eig", lambda tf, x: _times_vectors(tf, x), [BATCH], dtypes=WIDE, tolerance=10,
        reference=lambda x: np.zeros((2, 3, 3), np.result_type(x.dtype, np.complex64)),
        oracle="in no order", label="vectors"),
    *(
        Row("Svd", lambda tf, x, full=full: _svd(tf, x, full_matrices=full), [floats(*shape)],
            dtypes=dtypes, grad=not full, label=f"{shape} {full}", tolerance=20)
        for shape, full, dtypes in (
            ((3, 3), False, ["float32", "float64"]), ((2, 4, 3), False, ["float32"]),
            ((3, 4), False, ["float32"]), ((2, 3), True, ["float32"]),
        )
    ),
    Row("Svd", lambda tf, x: list(tf.svd(x)[1:]), [value(np.zeros((0, 3)))], label="empty"),
    Row("Svd", lambda tf, x: tf.svd(x, full_matrices=True)[2], [value(np.zeros((0, 3)))],
        label="empty, full"),
    Row("Svd", lambda tf, x: tf.linalg.svd(x, compute_uv=False), [floats(2, 4, 3)], grad=True,
        dtypes=["float32", *COMPLEX], label="values", tolerance=10),
    Row("Svd", _restored, [floats(2, 4, 3)], dtypes=["float32", "float64"], grad=True,
        reference=lambda x: x, label="restored", tolerance=10),
    *(
        Row("Qr", lambda tf, x, full=full: list(tf.qr(x, full)), [floats(*shape)], dtypes=dtypes,
            grad=not full or shape[-2] <= shape[-1], label=f"{shape} {full}", tolerance=10)
        for shape, full, dtypes in (
            ((3, 3), False, WIDE), ((2, 4, 3), False, ["float32", "complex64"]),
            ((3, 5), False, ["float32"]), ((4, 3), True, ["float32"]), ((3, 4), True, ["float32"]),
            ((0, 3), False, ["float32"]), ((3, 0), False, ["float32"]), ((3, 0), True, ["float32"]),
        )
    ),
    *(
        Row("Qr", lambda tf, shape=shape: tf.orthogonal_initializer(2.0, seed=3)(shape),
            label=f"initializer {shape}", tolerance=10)
        for shape in ([4, 3], [2, 2, 5], [3, 1, 3])
    ),
    Row("Lu", lambda tf, x: list(tf.linalg.lu(x)), [BATCH], dtypes=WIDE, tolerance=10),
    Row("Lu", lambda tf, x: tf.linalg.lu(x, output_idx_type=tf.int64).p, [floats(5, 5)],
        label="int64"),
    Row("Svd", "linalg.matrix_rank",
        [value([[[1, 2, 3], [2, 4, 6]], [[1, 0, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]])],
        reference=lambda x: np.int32([1, 2, 0]), label="rank", same_graph="written otherwise"),
    Row("Svd", "linalg.pinv", [floats(2, 4, 3)], dtypes=["float32", "float64"], grad=True,
        reference=np.linalg.pinv, label="pseudo-inverse", same_graph="written otherwise",
        tolerance=10),
]  # fmt: skip


def _cholesky_grad(tf, factor, grad):
    """The op beside the same gradient in small steps."""
    from tfsession.graph.create import create_op  # noqa: PLC0415

    (matrix,) = factor.op.inputs
    (wanted,) = tf.gradients(factor, matrix, tf.matrix_band_part(grad, -1, 0))
    return create_op("CholeskyGrad", [factor, grad]) - wanted


def _times_vectors(tf, x):
    values, vectors = tf.linalg.eig(x)
    return tf.matmul(tf.cast(x, vectors.dtype), vectors) - vectors * values[..., None, :]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def fed(array):
    return tf.placeholder_with_default(np.array(array, np.float32), None)


WRONG = {
    "indefinite": (lambda: tf.cholesky(fed([[1, 2], [2, 1]])),
                   "Cholesky decomposition was not successful. The input might not be valid."),
    "not square": (lambda: tf.cholesky(fed([[1, 2]])), "Input matrix must be square."),
    "no numbers": (lambda: tf.self_adjoint_eig(fed([[np.nan, 1], [1, 1]])),
                   "Self-adjoint eigen decomposition was not successful."),
    "no matrix": (lambda: tf.qr(fed([1])), "must have rank >= 2, got 1"),
    "a singular matrix": (lambda: tf.linalg.lu(fed([[1, 2], [2, 4]])), "Input is not invertible."),
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


def test_singular_values_of_what_is_no_number_are_none(fresh_graph, device):
    with tf.device(device):
        parts = tf.svd(fed([[[np.nan, 1], [1, 1]], [[2, 0], [0, 1]]]))
    for part in run(parts):
        assert np.isnan(part[0]).all()
        assert np.isfinite(part[1]).all()


def test_parts_have_names(fresh_graph):
    x = tf.eye(2)
    assert run(tf.qr(x)).r.shape == run(tf.linalg.lu(x)).lu.shape == (2, 2)
    assert run(tf.linalg.slogdet(x)).sign == 1


def test_gradients_that_are_not_there(fresh_graph):
    x = tf.placeholder(tf.float32, [3, 2])
    for build, text in (
        (lambda: tf.svd(x, full_matrices=True)[1], "known to be square"),
        (lambda: tf.qr(x, full_matrices=True).q, "needs wide matrices"),
        (lambda: tf.qr(tf.placeholder_with_default(x, None)).q, "needs matrices of known sizes"),
        (lambda: tf.real(tf.linalg.eig(tf.matmul(x, x, transpose_b=True))[0]), "is not there"),
    ):
        with pytest.raises(NotImplementedError, match=text):
            tf.gradients(build(), x)
