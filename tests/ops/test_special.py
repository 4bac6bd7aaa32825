"""Special functions, held against SciPy to the last digits, also far out."""

import numpy as np
import pytest
import scipy.special

import tfsession as tf
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases, value

NARROW = ("float16", "float32", "float64")
DOUBLE = ("float32", "float64")


def wide(function):
    return lambda *arrays: function(*(a.astype(np.float64) for a in arrays))


def family(op_type, build, reference, low, high, dtypes, edges, tf_types=None):
    """Rows: values and gradients, a scalar, more than a block, and the edges of the domain."""
    return [
        Row(op_type, build, [floats(3, 4, low=low, high=high)], reference=wide(reference),
            dtypes=dtypes, grad=True, tolerance=3.0),
        Row(op_type, build, [floats(low=low, high=high)], dtypes=("float64",), label="scalar"),
        Row(op_type, build, [floats(3, 7001, low=low, high=high)], dtypes=("float32",),
            reference=wide(reference), label="many"),
        Row(op_type, build, [floats(2, 0)], label="empty"),
        Row(op_type, build, [value(edges)], dtypes=DOUBLE, reference=wide(reference),
            oracle="TensorFlow is less exact there", label="edges"),
    ]  # fmt: skip


FAR = [0.0, 0.3, 0.46875, 0.5, 1.0, 3.9, 4.0, 4.1, 6.0, 26.0, -0.2, -3.0, -9.0, np.inf, -np.inf]
GAMMA = [0.5, 1e-5, 0.999, 1.0, 1.001, 2.0, 1.999, 2.5, 7.9, 8.0, 8.1, 1e3, 1e10, -0.5, -2.5, -30.5]
PARTS = [1e-20, 1e-8, 0.01, 0.0749, 0.075, 0.5, 0.6, 0.92, 0.926, 0.99]

ROWS = [
    *family("Erf", "erf", scipy.special.erf, -3, 3, FLOATS, [*FAR, np.nan, 1e-30]),
    *family("Erfc", "erfc", scipy.special.erfc, -3, 3, FLOATS, [*FAR[:8], *FAR[10:], np.nan]),
    *family("Erfinv", "math.erfinv", scipy.special.erfinv, -0.9, 0.9, DOUBLE,
            [0.0, *PARTS, -0.5, -0.999, 1.0, -1.0]),
    *family("Ndtri", "math.ndtri", scipy.special.ndtri, 0.05, 0.95, DOUBLE, [*PARTS, 0.0, 1.0]),
    *family("Lgamma", "lgamma", scipy.special.gammaln, 0.2, 9, NARROW,
            [*GAMMA, 0.0, -1.0, np.inf]),
    *family("Digamma", "digamma", scipy.special.digamma, 0.2, 9, DOUBLE, GAMMA),
    Row("Digamma", "digamma", [floats(5, low=0.2, high=9)], dtypes=("float16", "bfloat16"),
        reference=wide(scipy.special.digamma), tolerance=3.0, label="narrow",
        oracle="TensorFlow has no kernel for bfloat16"),
    Row("Ndtri", "math.erfcinv", [floats(3, low=0.2, high=1.8)], dtypes=DOUBLE, tolerance=3.0,
        reference=wide(scipy.special.erfcinv), grad=True, label="erfcinv"),
    Row("Zeta", "zeta", [floats(3, 1, low=1.5, high=5.0), floats(4, low=0.5, high=5.0)],
        dtypes=DOUBLE, reference=wide(scipy.special.zeta)),
    Row("Zeta", "zeta", [value([1, 0.5, 2, 40]), value([2, 2, 0, 0.5])], dtypes=DOUBLE,
        label="edges"),
    Row("Zeta", "zeta", [value([2, 3, 3]), value([-0.5, -2.5, -30.5])], dtypes=DOUBLE,
        label="below zero"),
    Row("Polygamma", "polygamma", [value([[1.0], [2.0], [3.0]]), floats(4, low=0.5, high=5.0)],
        dtypes=DOUBLE, reference=lambda n, x: scipy.special.polygamma(n.astype(int), x)),
    Row("Polygamma", "polygamma", [value([0, -1, 1.5, 1]), value([2, 2, 2, -0.5])], dtypes=DOUBLE,
        label="edges"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "reference", "low", "high"),
    [
        (tf.erf, scipy.special.erf, -7, 7),
        (tf.erfc, scipy.special.erfc, -3, 4),
        (tf.math.erfinv, scipy.special.erfinv, -1, 1),
        (tf.math.ndtri, scipy.special.ndtri, 0, 1),
        (tf.lgamma, scipy.special.gammaln, 2.5, 300),
        (tf.digamma, scipy.special.digamma, 2, 300),
    ],
)
def test_exact_to_the_last_digits(build, reference, low, high):
    numbers = np.random.default_rng(5).uniform(low, high, 5000)
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = tf.placeholder(tf.float64), tf.placeholder(tf.float32)
        double, single = session.run([build(x), build(y)], {x: numbers, y: numbers})
    np.testing.assert_allclose(double, reference(numbers), rtol=3e-15, atol=1e-300)
    rounded = reference(numbers.astype(np.float32).astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(single, rounded, rtol=1.3e-7, atol=0)


def test_polygamma_differentiates_digamma():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float64, [3])
        first = tf.gradients(tf.digamma(x), x)[0]
        second = tf.gradients(first, x)[0]
        feed = {x: [0.5, 2.0, 7.0]}
        for order, tensor in ((1, first), (2, second)):
            wanted = scipy.special.polygamma(order, [0.5, 2.0, 7.0])
            np.testing.assert_allclose(session.run(tensor, feed), wanted, rtol=1e-13)
