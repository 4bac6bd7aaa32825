"""Dilated convolutions, which are made of dense ones."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases

# What oneDNN can compute, it computes, too.
ONEDNN = True


def _with_holes(w, rates):
    """The filter with zeros between its elements, which a dense convolution takes."""
    for d, rate in enumerate(rates):
        shape = list(w.shape)
        shape[d] = (shape[d] - 1) * rate + 1
        wide = np.zeros(shape, w.dtype)
        wide[(slice(None),) * d + (slice(None, None, rate),)] = w
        w = wide
    return w


def _dense(padding, rates):
    def reference(x, w, **_):
        with tf.Graph().as_default(), tf.Session() as session:
            y = tf.nn.convolution(tf.constant(x), tf.constant(_with_holes(w, rates)), padding)
            return session.run(y)

    return reference


def _of_rank(rank):
    def build(module, x, w, **kwargs):
        x.set_shape([None] * rank)
        w.set_shape([None] * rank)
        return module.nn.convolution(x, w, **kwargs)

    return build


def _convolution(x, w, padding, op="Conv2D", label="", **more):
    return Row(op, _of_rank(len(x)), [floats(*x), floats(*w)], {"padding": padding, **more},
               tolerance=4, grad=True, label=label or f"{more}")  # fmt: skip


def _dilated(x, w, padding, rates, label="", **more):
    kwargs = {"padding": padding, "dilation_rate": rates, **more}
    reference = None if more else _dense(padding, rates)
    return Row("SpaceToBatchND", _of_rank(len(x)), [floats(*x), floats(*w)], kwargs,
               reference=reference, grad=not more, tolerance=4,
               label=label or f"{kwargs}")  # fmt: skip


ROWS = [
    _dilated((1, 5, 4, 2), (2, 2, 2, 2), "VALID", [2, 2]),
    _dilated((2, 4, 5, 1), (3, 2, 1, 2), "SAME", [2, 3]),
    _dilated((1, 6, 4, 1), (2, 2, 1, 1), "SAME", [1, 2]),
    _dilated((2, 7, 2), (3, 2, 2), "SAME", [2]),
    _dilated((1, 9, 2), (3, 2, 2), "VALID", [3]),
    _dilated((1, 3, 4, 3, 1), (2, 2, 2, 1, 1), "SAME", [1, 2, 1]),
    _dilated((1, 5, 4, 2), (2, 2, 2, 2), "SAME", [2, 2], name="holes", label="named"),
    _dilated((1, 5, 4, 2), (2, 2, 2, 2), [[0, 0], [1, 2], [0, 1], [0, 0]], [2, 2],
             label="explicit", data_format="NHWC"),
    _convolution((1, 4, 4, 2), (2, 2, 2, 2), "SAME"),
    _convolution((1, 4, 4, 2), (2, 2, 2, 2), "VALID", strides=[2, 1]),
    _convolution((1, 5, 2), (2, 2, 2), "SAME", strides=[2]),
    _convolution((1, 3, 2, 3, 1), (2, 1, 2, 1, 2), "SAME", "Conv3D"),
    Row("SpaceToBatchND", lambda tf, x, w: tf.nn.atrous_conv2d(
        tf.reshape(x, [1, 5, 4, 2]), tf.reshape(w, [2, 2, 2, 2]), 2, "SAME"),
        [floats(40), floats(16)], grad=True, tolerance=4, label="atrous"),
    *(
        Row("Conv2DBackpropInput", lambda tf, x, w, padding=padding, high=high, rate=rate:
            tf.nn.atrous_conv2d_transpose(tf.reshape(x, [1, high, high, 2]),
                                          tf.reshape(w, [2, 2, 3, 2]), [1, 5, 5, 3], rate, padding),
            [floats(high * high * 2), floats(24)], grad=True, tolerance=4,
            label=f"atrous-{padding}{rate}")
        for padding, high, rate in (("SAME", 5, 2), ("VALID", 3, 2), ("SAME", 5, 1))
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape):
    return tf.placeholder("float32", shape)


X, W = (1, 5, 5, 4), (2, 2, 4, 2)
BAD = [
    (lambda: tf.nn.convolution(ph(*X), ph(*W), "SAME", [2, 2], [2, 2]), "not supported in"),
    (lambda: tf.nn.convolution(ph(*X), ph(2, 2, 3, 2), "SAME", None, [2, 2]), "is not divisible"),
    (lambda: tf.nn.convolution(ph(*X), ph(*W), "SAME", [2, 2, 2]), "of length 1, 2 or 4"),
    (lambda: tf.nn.convolution(ph(*X), ph(*W), "SAME", None, [0, 2]), "must be positive"),
    (lambda: tf.nn.convolution(tf.placeholder("float32"), tf.placeholder("float32"), "SAME"),
     "one of `input.shape.rank` or `filters.shape.rank` must be known"),
    (lambda: tf.nn.convolution(ph(1, 4), ph(4, 2), "SAME"), "must be 1, 2, or 3. Received"),
    (lambda: tf.nn.with_space_to_batch(ph(*X), [2, 2], "SAME", None), "`filter_shape` must"),
    (lambda: tf.nn.with_space_to_batch(ph(*X), [2, 2], "ELSE", None), "must be one of"),
    (lambda: tf.nn.with_space_to_batch(ph(*X), [0, 2], "SAME", None), "`dilation_rate` must"),
    (lambda: tf.nn.with_space_to_batch(ph(*X), [[2]], "SAME", None), "rank` must be 1. Received"),
    (lambda: tf.nn.with_space_to_batch(ph(*X), [2, 2], "VALID", None, spatial_dims=[2, 1]),
     "monotonically increasing"),
    (lambda: tf.nn.with_space_to_batch(ph(1, 4), [2, 2], "VALID", None), "must be at least 3"),
    (lambda: tf.nn.atrous_conv2d_transpose(ph(1, 3, 3, 2), ph(2, 2, 3, 2), [1, 5, 5, 3], 0, "SAME"),
     "`rate` cannot be less than one"),
    (lambda: tf.nn.atrous_conv2d_transpose(ph(1, 3, 3, 2), ph(2, 2, 3, 2), [1, 5, 5, 3], 2, "X"),
     "`padding` must be either 'VALID' or 'SAME'"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


def test_rates_and_sizes_that_show_only_when_it_runs(fresh_graph):
    x, rate = tf.placeholder("float64"), tf.placeholder("int32", [2])
    x.set_shape([None, None, None, 1])
    w = np.ones((2, 2, 1, 1))

    def dense(part, count, padding):
        return tf.nn.conv2d(part, w, 1, padding)

    y = tf.nn.with_space_to_batch(x, rate, "SAME", dense, [2, 2])
    image = np.random.default_rng(2).normal(size=(2, 7, 5, 1))
    with tf.Session() as session:
        for rates in ([1, 1], [2, 3], [3, 1]):
            wanted = session.run(tf.nn.convolution(image, w, "SAME", None, rates))
            np.testing.assert_allclose(session.run(y, {x: image, rate: rates}), wanted, rtol=1e-12)
