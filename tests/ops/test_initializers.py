"""Initializers: shapes, dtypes, configurations, errors. Values are held in tests/conformance."""

import numpy as np
import pytest

import tfsession as tf

SEEDED = [
    ("random_uniform", {"minval": -1.0, "maxval": 1.0}),
    *((name, {}) for name in ("random_normal", "truncated_normal", "uniform_unit_scaling")),
    *((name, {}) for name in ("variance_scaling", "glorot_uniform", "glorot_normal")),
    *((name, {}) for name in ("he_normal", "he_uniform", "lecun_normal", "lecun_uniform")),
]


def value(tensor):
    with tf.Session(graph=tensor.graph) as session:
        return session.run(tensor)


@pytest.mark.parametrize(("name", "options"), SEEDED)
def test_a_seed_determines_the_value(fresh_graph, name, options):
    initializer = getattr(tf.initializers, name)(seed=3, **options)
    again = type(initializer).from_config(initializer.get_config())
    first = value(initializer([4, 3]))
    assert (first.dtype, first.shape) == (np.float32, (4, 3))
    assert np.array_equal(first, value(again([4, 3])))
    assert value(initializer(tf.TensorShape([2]), dtype=tf.float64)).dtype == np.float64


@pytest.mark.parametrize(
    ("initializer", "shape", "expected"),
    [
        (tf.zeros_initializer(), [2], [0.0, 0.0]),
        (tf.zeros_initializer("string"), [1], [b""]),
        (tf.ones_initializer(tf.bool), [2], [True, True]),
        (tf.constant_initializer(3), [2, 1], [[3.0], [3.0]]),
        (tf.constant_initializer([1, 2], tf.int32), [3], [1, 2, 2]),
        (tf.initializers.identity(2.0), [2, 3], [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]),
    ],
)
def test_fixed_values(fresh_graph, initializer, shape, expected):
    assert value(initializer(shape)).tolist() == expected


def test_orthonormal_rows_or_columns(fresh_graph):
    first = tf.orthogonal_initializer(gain=3.0, seed=1, dtype=tf.float64)
    again = tf.initializers.orthogonal.from_config(first.get_config() | {"dtype": "float64"})
    wide, tall = value(first([2, 2, 9])).reshape(4, 9), value(again([3, 3, 4])).reshape(9, 4)
    np.testing.assert_allclose(wide @ wide.T, 9 * np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(wide.T, tall)


def test_variances(fresh_graph):
    for scale, mode, fan in ((1.0, "fan_in", 200), (2.0, "fan_out", 300), (3.0, "fan_avg", 250)):
        for distribution in ("uniform", "truncated_normal", "untruncated_normal"):
            initializer = tf.variance_scaling_initializer(scale, mode, distribution, seed=1)
            variance = value(initializer([200, 300])).var()
            assert abs(variance * fan / scale - 1) < 0.03


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: tf.variance_scaling_initializer(0), ValueError,
         "Argument `scale` must be a positive float. Received: 0"),
        (lambda: tf.variance_scaling_initializer(mode="x"), ValueError,
         r"Argument `mode` should be one of \('fan_in', 'fan_out', 'fan_avg'\). Received: x"),
        (lambda: tf.variance_scaling_initializer(distribution="x"), ValueError,
         "Argument `distribution` should be one of"),
        (lambda: tf.random_normal_initializer(dtype=tf.int32), ValueError,
         "Argument `dtype` is expected to be floating point. Received: <dtype: 'int32'>."),
        (lambda: tf.random_uniform_initializer(0, dtype="int32")([2]), ValueError,
         "Must specify maxval for integer dtype tf.int32"),
        (lambda: tf.constant_initializer(object()), TypeError, "Invalid type for initial value"),
        (lambda: tf.constant_initializer(None), TypeError, "of type: NoneType"),
        (lambda: tf.constant_initializer([1, 2, 3], verify_shape=True)([2, 2]), TypeError,
         r"Expected Tensor's shape: \(2, 2\), but got \(3,\)"),
        (lambda: tf.initializers.identity()([2]), ValueError, "must be at least two-dimensional"),
        (lambda: tf.orthogonal_initializer()([2]), ValueError, "must be at least two-dimensional"),
    ],
)  # fmt: skip
def test_errors(fresh_graph, make, error, text):
    with pytest.raises(error, match=text):
        make()
