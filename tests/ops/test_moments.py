"""Means and variances, and normalizing by them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import FLOATS, Row, case_name, check_gradient, check_row, floats, row_cases


def moments(x, axes, keepdims=False, **_):
    x = x.astype(np.float64)
    return [function(x, axis=tuple(axes), keepdims=keepdims) for function in (np.mean, np.var)]


def _weighted(tf, x, weights, axes=(0,), **kwargs):
    return tf.nn.weighted_moments(x, list(axes), weights, **kwargs)


def weighted(x, weights, axes=(0,), **_):
    x, weights = x.astype(np.float64), np.broadcast_to(weights.astype(np.float64), x.shape)
    mean = np.average(x, axis=axes, weights=weights)
    distance = (x - np.expand_dims(mean, axes)) ** 2
    return [mean, np.average(distance, axis=axes, weights=weights)]


def _statistics(tf, x, *shift, **kwargs):
    found = tf.nn.sufficient_statistics(x, [0, 1], *shift, **kwargs)
    return list(found if shift else found[:3])


def _normalized(tf, counts, mean, variance, *shift):
    return tf.nn.normalize_moments(counts, mean, variance, *(shift or (None,)))


def _old_batch_norm(tf, t, m, v, beta, gamma, after):
    return tf.nn.batch_norm_with_global_normalization(t, m, v, beta, gamma, 1e-3, after)


def _batch_norm(tf, x, mean, variance, *rest, has_offset=False, has_scale=False):
    rest = list(rest)
    offset = rest.pop(0) if has_offset else None
    scale = rest.pop(0) if has_scale else None
    return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)


POSITIVE = floats(4, low=0.5, high=2.0)
ROWS = [
    Row("SquaredDifference", "nn.moments", [floats(3, 4, 2)], {"axes": [0, 1]}, FLOATS, moments),
    Row("SquaredDifference", "nn.moments", [floats(3, 4, 2)],
        {"axes": [1], "keep_dims": True, "name": "stats"}, reference=None, label="keep_dims"),
    Row("SquaredDifference", "nn.moments", [floats(3, 4, 2)], {"axes": [0, 2], "keepdims": True},
        reference=moments, label="keepdims"),
    Row("DivNoNan", _weighted, [floats(5, 3), floats(5, 1, low=0.1)], {}, FLOATS, weighted,
        grad=True, label="weighted"),
    Row("DivNoNan", _weighted, [floats(2, 3, 4), floats(1, 3, 1, low=0.1)],
        {"axes": (0, 1), "keep_dims": True, "name": "stats"}, label="weighted-kept"),
    Row("Sum", _statistics, [floats(2, 3, 4)], {}, FLOATS, grad=True, label="statistics"),
    Row("Sum", _statistics, [floats(2, 3, 4), floats()], {"keepdims": True}, grad=True,
        label="statistics-shift"),
    Row("Reciprocal", _normalized, [floats(low=1, high=9), floats(4), floats(4)], grad=True),
    Row("Reciprocal", _normalized, [floats(low=1, high=9), floats(4), floats(4), floats()],
        grad=True, label="shift"),
    Row("Rsqrt", _batch_norm, [floats(3, 4), floats(4), POSITIVE], {}, FLOATS, grad=True),
    Row("Rsqrt", _batch_norm, [floats(3, 4), floats(4), POSITIVE, floats(4)],
        {"has_offset": True}, grad=True, label="offset"),
    Row("Rsqrt", _batch_norm, [floats(3, 4), floats(4), POSITIVE, floats(4)],
        {"has_scale": True}, grad=True, label="scale"),
    Row("Rsqrt", _batch_norm, [floats(3, 4), floats(4), POSITIVE, floats(4), floats(4)],
        {"has_offset": True, "has_scale": True}, FLOATS, grad=True, label="both"),
    Row("Rsqrt", _batch_norm,
        [floats(3, 4, dtype="float16"), floats(4), POSITIVE, floats(4), floats(4)],
        {"has_offset": True, "has_scale": True}, label="half"),
    *(
        Row("Rsqrt", _old_batch_norm,
            [floats(2, 2, 2, 4), floats(4), POSITIVE, floats(4), floats(4)], {"after": after},
            grad=True, label=f"old-{after}")
        for after in (True, False)
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("row", ROWS[:3], ids=str)
def test_first_slopes_of_moments(row):
    # Not second ones: the variance takes the mean for constant, as in TensorFlow.
    check_gradient(row, orders=1)


def test_counts_of_unknown_sizes_are_found_when_the_graph_runs(fresh_graph):
    x = tf.placeholder("float32", [None, 3])
    statistics = tf.nn.sufficient_statistics(x, [-2, 1])[:3]
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with tf.Session() as session:
        count, total, squares = session.run(statistics, {x: array})
    assert (count, total, squares) == (6.0, array.sum(), (array**2).sum())


def test_old_and_new_names_are_not_given_together(fresh_graph):
    x = tf.ones([2, 3])
    for function in (tf.nn.moments, tf.nn.sufficient_statistics):
        with pytest.raises(ValueError, match="Cannot specify both 'keep_dims' and 'keepdims'"):
            function(x, [0], keep_dims=True, keepdims=True)
    with pytest.raises(ValueError, match="Cannot specify both 't' and 'input'"):
        tf.nn.batch_norm_with_global_normalization(t=x, input=x)
