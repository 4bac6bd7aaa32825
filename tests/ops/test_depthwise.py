"""Convolutions of each channel alone, and with a mixing of channels behind them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases

# What oneDNN can compute, it computes, too.
ONEDNN = True

ONES, TWOS = [1, 1, 1, 1], [1, 2, 2, 1]
SINGLE = ("float32",)


def _one_by_one(x, w, strides, padding, **_):
    """Each channel through a convolution of one channel."""
    channels = range(x.shape[3])
    with tf.Graph().as_default(), tf.Session() as session:
        parts = [tf.nn.conv2d(x[..., c : c + 1].astype(float), w[:, :, c : c + 1].astype(float),
                              strides, padding) for c in channels]  # fmt: skip
        return np.concatenate(session.run(parts), axis=-1)


def _native(x, w, strides, padding, dtypes=SINGLE, grad=True, label="", **more):
    kwargs = {"strides": strides, "padding": padding, **more}
    return Row("DepthwiseConv2dNative", "nn.depthwise_conv2d_native", [floats(*x), floats(*w)],
               kwargs, dtypes, None if "dilations" in more else _one_by_one, grad=grad,
               tolerance=4, label=label or f"{x}{w}{kwargs}",
               oracle="dilations" not in more or "TensorFlow does not dilate it on the CPU",
               )  # fmt: skip


def _gradient(op, index, x, w, out, dtypes=SINGLE, **kwargs):
    def build(module, x, w, weights):
        y = module.nn.depthwise_conv2d_native(x, w, **kwargs)
        return module.gradients(y, [x, w], weights)[index]

    return Row(op, build, [floats(*x), floats(*w), floats(*out)], {}, dtypes,
               grad=dtypes == SINGLE, tolerance=4,
               same_graph="rules name their nodes otherwise", label=f"{x}{w}{kwargs}")  # fmt: skip


def _channels_first(module, x, w):
    return module.nn.depthwise_conv2d_native(x, w, [1, 1, 2, 1], "SAME", "NCHW")


def _channels_first_reference(x, w):
    y = _one_by_one(x.transpose(0, 2, 3, 1), w, [1, 2, 1, 1], "SAME")
    return y.transpose(0, 3, 1, 2)


def _of_images(function):
    """A builder for inputs that come as they are, or without a shape."""

    def build(module, x, *filters, **kwargs):
        x.set_shape([None, None, None, None])
        for w in filters:
            w.set_shape([None] * 4)
        return getattr(module.nn, function)(x, *filters, **kwargs)

    return build


IMAGE, FILTER = (2, 4, 3, 2), (3, 2, 2, 1)
ROWS = [
    _native((2, 5, 4, 3), (2, 3, 3, 2), ONES, "SAME", FLOATS, grad=False),
    _native(IMAGE, FILTER, ONES, "VALID"),
    _native((1, 5, 4, 2), (3, 2, 2, 2), TWOS, "SAME"),
    _native((1, 4, 3, 2), (2, 2, 2, 1), ONES, [[0, 0], [1, 0], [0, 2], [0, 0]], label="explicit"),
    _native((1, 5, 5, 2), (2, 2, 2, 1), ONES, "SAME", dilations=[1, 2, 2, 1]),
    _native((0, 4, 3, 2), FILTER, ONES, "SAME", grad=False, label="no image"),
    Row("DepthwiseConv2dNative", _channels_first, [floats(1, 2, 5, 4), floats(2, 3, 2, 2)],
        reference=_channels_first_reference, grad=True, tolerance=4, label="NCHW",
        oracle="TensorFlow has no such kernel on the CPU"),
    *(
        _gradient(f"DepthwiseConv2dNativeBackprop{to}", index, x, w, out, dtypes, strides=strides,
                  padding=padding)
        for index, to in enumerate(("Input", "Filter"))
        for x, w, out, strides, padding, dtypes in (
            ((2, 5, 4, 3), (2, 3, 3, 2), (2, 5, 4, 6), ONES, "SAME", FLOATS),
            ((1, 5, 4, 2), (3, 2, 2, 1), (1, 2, 2, 2), TWOS, "VALID", SINGLE),
            ((1, 3, 4, 1), (2, 2, 1, 2), (1, 3, 4, 2), ONES, "SAME", SINGLE),
        )
    ),
    Row("DepthwiseConv2dNativeBackpropInput", lambda tf, w, g:
        tf.nn.depthwise_conv2d_native_backprop_input([1, 4, 4, 2], w, g, ONES, "VALID"),
        [floats(2, 2, 2, 1), floats(1, 3, 3, 2)], label="direct"),
    Row("DepthwiseConv2dNativeBackpropFilter", lambda tf, x, g:
        tf.nn.depthwise_conv2d_native_backprop_filter(x, [2, 2, 2, 1], g, ONES, "VALID"),
        [floats(1, 4, 4, 2), floats(1, 3, 3, 2)], label="direct"),
    Row("DepthwiseConv2dNative", _of_images("depthwise_conv2d"), [floats(*IMAGE), floats(*FILTER)],
        {"strides": ONES, "padding": "SAME"}, grad=True, tolerance=4, label="depthwise_conv2d"),
    Row("DepthwiseConv2dNative", _of_images("depthwise_conv2d"),
        [floats(1, 5, 4, 2), floats(*FILTER)],
        {"strides": ONES, "padding": "SAME", "rate": [2, 2], "name": "holes"}, grad=True,
        tolerance=4, label="rate"),
    Row("DepthwiseConv2dNative", _of_images("separable_conv2d"),
        [floats(*IMAGE), floats(*FILTER), floats(1, 1, 2, 3)],
        {"strides": ONES, "padding": "SAME"}, grad=True, tolerance=8, label="separable"),
    Row("DepthwiseConv2dNative", _of_images("separable_conv2d"),
        [floats(1, 5, 4, 2), floats(2, 2, 2, 2), floats(1, 1, 4, 2)],
        {"strides": ONES, "padding": "VALID", "rate": [2, 1], "name": "apart"}, tolerance=8,
        label="separable-rate"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape):
    return tf.placeholder("float32", shape)


def native(x, w, *arguments):
    return lambda: tf.nn.depthwise_conv2d_native(ph(*x), ph(*w), *arguments)


BAD = [
    (native((1, 5, 5, 3), (2, 2, 4, 2), ONES, "SAME"), "Dimensions must be equal, but are 3 and 4"),
    (native((5, 5, 3), (2, 2, 3, 2), ONES, "SAME"), "Shape must be rank 4 but is rank 3"),
    (native((1, 2, 2, 3), (3, 3, 3, 2), ONES, "VALID"), "Negative dimension size caused by"),
    (lambda: tf.nn.separable_conv2d(ph(1, 5, 5, 2), ph(2, 2, 2, 1), ph(2, 1, 2, 3), ONES, "SAME"),
     "Dimensions 2 and 1 are not compatible"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


def test_rates_with_strides_are_warned_of(fresh_graph):
    with pytest.warns(UserWarning, match="all values of strides must be 1"):
        tf.nn.depthwise_conv2d(ph(1, 5, 5, 1), ph(2, 2, 1, 1), TWOS, "VALID", [2, 2])


RUN_TIME = [
    ("", [(1, 5, 5, 3), (2, 2, 4, 1)], "must have the same depth: 3 vs 4"),
    ("", [(5, 5, 3), (2, 2, 3, 1)], "input must be 4-dimensional, not of rank 3"),
    ("", [(1, 5, 5, 3), (2, 3, 1)], "filter must be 4-dimensional, not of rank 3"),
    ("BackpropInput", [(1, 5, 5, 3), (2, 2, 3, 1), (1, 5, 4, 3)], "out_backprop doesn't match"),
    ("BackpropFilter", [(1, 5, 5, 3), (2, 2, 3, 1), (1, 4, 4, 6)], "out_backprop doesn't match"),
    ("BackpropFilter", [(1, 5, 5, 3), (2, 2, 3), (1, 4, 4, 3)], "must be a vector of 4 sizes"),
]


@pytest.mark.parametrize(("op", "shapes", "phrase"), RUN_TIME)
def test_refused_when_run(op, shapes, phrase, device, fresh_graph):
    sizes = {"BackpropInput": 0, "BackpropFilter": 1}.get(op)
    inputs, feeds = [], {}
    for index, shape in enumerate(shapes):
        inputs.append(tf.placeholder("int32" if index == sizes else "float32"))
        feeds[inputs[-1]] = shape if index == sizes else np.ones(shape, "float32")
    attrs = {"strides": ONES, "padding": b"VALID"}
    with tf.device(device):
        result = create_op(f"DepthwiseConv2dNative{op}", inputs, attrs)
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, feeds)
