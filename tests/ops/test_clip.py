"""Tensors and lists of them scaled down to a norm."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, ints, row_cases, value


def by_norm(t, clip_norm, axes=None, **_):
    norm = np.sqrt((t.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
    return t * clip_norm / np.maximum(norm, clip_norm)


def _norm(tf, *tensors, **kwargs):
    return tf.global_norm([*tensors, None], **kwargs)


def _clipped(tf, *tensors, **kwargs):
    clipped, norm = tf.clip_by_global_norm([tensors[0], None, *tensors[1:]], **kwargs)
    return [t for t in clipped if t is not None], norm


def _slices(tf, values, indices):
    clipped, norm = tf.clip_by_global_norm([tf.IndexedSlices(values, indices)], 1.0)
    return [clipped[0].values, clipped[0].indices, norm]


ROWS = [
    Row("Sqrt", "clip_by_norm", [floats(3, 4)], {"clip_norm": 1.5}, FLOATS, by_norm, grad=True),
    Row("Sqrt", "clip_by_norm", [floats(3, 4)], {"clip_norm": 100.0}, ("float32",), by_norm,
        grad=True, label="short"),
    Row("Sqrt", "clip_by_norm", [floats(3, 4)], {"clip_norm": 1.0, "axes": [1], "name": "rows"},
        ("float32", "float64"), lambda t, clip_norm, axes, name: by_norm(t, clip_norm, 1),
        grad=True, label="axes"),
    Row("Sqrt", "clip_by_norm", [value(np.zeros((2, 2)))], {"clip_norm": 1.0}, FLOATS, by_norm,
        label="zeros"),
    Row("L2Loss", _norm, [floats(3, 4), floats(5)], {}, FLOATS, grad=True, label="global_norm"),
    Row("Identity", _clipped, [floats(3, 4), floats(5), floats()], {"clip_norm": 1.0}, FLOATS,
        grad=True, label="clip_by_global_norm"),
    Row("Identity", _clipped, [floats(3, 4), floats(5)], {"clip_norm": 50.0, "name": "all"},
        label="clip_by_global_norm-short"),
    Row("Identity", _clipped, [floats(3)], {"clip_norm": 2.0, "use_norm": 4.0},
        same_graph="TensorFlow takes no number", oracle="TensorFlow takes no number",
        label="clip_by_global_norm-given"),
    Row("Identity", _slices, [floats(3, 2), ints(3)], label="clip_by_global_norm-slices"),
    Row("Rsqrt", "clip_by_average_norm", [floats(3, 4)], {"clip_norm": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_makes_everything_nan(bad, device, fresh_graph):
    with tf.device(device):
        clipped, norm = tf.clip_by_global_norm([tf.constant([1.0, bad]), tf.constant(2.0)], 1.0)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        arrays, found = session.run([clipped, norm])
    assert all(np.isnan(array).all() for array in arrays)
    assert not np.isfinite(found)


def test_the_slope_of_a_zero_vector_is_one(fresh_graph):
    zeros = tf.constant([0.0, 0.0])
    slope = tf.gradients(tf.clip_by_norm(zeros, 1.0), zeros)[0]
    with tf.Session() as session:
        assert session.run(slope).tolist() == [1.0, 1.0]


def test_slices_stay_slices(fresh_graph):
    slices = tf.IndexedSlices(tf.constant([[3.0, 4.0]]), tf.constant([5]), tf.constant([9, 2]))
    clipped = tf.clip_by_norm(slices, 1.0)
    assert (clipped.indices, clipped.dense_shape) == (slices.indices, slices.dense_shape)
    with tf.Session() as session:
        np.testing.assert_allclose(session.run(clipped.values), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("function", [tf.global_norm, lambda t: tf.clip_by_global_norm(t, 1.0)])
@pytest.mark.parametrize("given", [lambda: tf.constant([1.0]), lambda: {"a": 1.0}, lambda: "text"])
def test_only_sequences_have_a_global_norm(function, given, fresh_graph):
    with pytest.raises(TypeError, match="`t_list` should be a sequence of tensors"):
        function(given())


def test_a_norm_that_broadcasts_is_refused(fresh_graph):
    with pytest.raises(ValueError, match="are incompatible"):
        tf.clip_by_norm(tf.constant([1.0, 2.0]), tf.constant([[1.0, 1.0], [2.0, 2.0]]))
