"""Convolutions of sequences, images and volumes, their transposes, and the gradients of all."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases

# What oneDNN can compute, it computes, too.
ONEDNN = True

SINGLE = ("float32",)


def windows_of(size, extent, stride, dilation, padding):
    """Start and count of windows along one dimension: the text of the documentation, again."""
    reach = (extent - 1) * dilation + 1
    if padding == "SAME":
        count = -(-size // stride)
        return -(max((count - 1) * stride + reach - size, 0) // 2), count
    before, after = padding if isinstance(padding, tuple) else (0, 0)
    return -before, (size + before + after - reach) // stride + 1


def convolve(x, w, strides, padding, dilations=None, groups=1):
    """Sums over windows, one product at a time, channels last."""
    spatial = x.ndim - 2
    dilations = dilations or [1] * spatial
    pads = padding if isinstance(padding, list) else [padding] * spatial
    places = [
        windows_of(*each)
        for each in zip(x.shape[1:-1], w.shape[:-2], strides, dilations, pads, strict=True)
    ]
    out = np.zeros((x.shape[0], *(count for _, count in places), w.shape[-1]))
    part, share = w.shape[-2], w.shape[-1] // groups
    for spot in np.ndindex(*out.shape[1:-1]):
        for offset in np.ndindex(*w.shape[:-2]):
            at = tuple(
                start + o * s + k * d
                for (start, _), o, s, k, d in zip(
                    places, spot, strides, offset, dilations, strict=True
                )
            )
            if any(not 0 <= a < n for a, n in zip(at, x.shape[1:-1], strict=True)):
                continue
            for g in range(groups):
                taken = x[(slice(None), *at, slice(g * part, (g + 1) * part))].astype(float)
                given = slice(g * share, (g + 1) * share)
                out[(slice(None), *spot, given)] += taken @ w[offset][:, given].astype(float)
    return out


def _reference(x, w, strides, padding, dilations=None, **_):
    if isinstance(padding, list):
        padding = [tuple(pair) for pair in padding[1:-1]]
    groups = max(x.shape[-1] // w.shape[-2], 1) if w.shape[-2] else 1
    dilations = dilations and list(dilations[1:-1])
    return convolve(x, w, strides[1:-1], padding, dilations, groups)


def _large(x, w, name="conv2d", dtypes=SINGLE, **kwargs):
    """Enough work for products at points of polynomials, as there are on CPUs."""

    def build(module, x, w):
        with module.device("/cpu:0"):
            y = getattr(module.nn, name)(x, w, **kwargs)
            return [y, *module.gradients(y * y, [x, w])]

    # Errors are those of the largest sums.
    inputs = [floats(*shape, low=-0.1, high=0.1) for shape in (x, w)]
    return Row({"conv3d": "Conv3D"}.get(name, "Conv2D"), build, inputs, {}, dtypes, tolerance=4,
               same_graph="rules name their nodes otherwise",
               label=f"large{x}{w}{kwargs}")  # fmt: skip


def _conv2d(x, w, strides, padding, dtypes=SINGLE, label="", grad=True, oracle=True, **more):
    kwargs = {"strides": strides, "padding": padding, **more}
    return Row("Conv2D", "nn.conv2d", [floats(*x), floats(*w)], kwargs, dtypes, _reference,
               grad=grad, tolerance=4, oracle=oracle,
               label=label or f"{x}{w}{strides}{padding}{more}")  # fmt: skip


def _first(x, w, **more):
    """Channels first: the same as channels last, transposed."""

    def build(module, x, w):
        return module.nn.conv2d(x, w, data_format="NCHW", **more)

    def reference(x, w):
        strides = [more["strides"][d] for d in (0, 2, 3, 1)]
        padding = more["padding"]
        if isinstance(padding, list):
            padding = [padding[d] for d in (0, 2, 3, 1)]
        return _reference(x.transpose(0, 2, 3, 1), w, strides, padding).transpose(0, 3, 1, 2)

    return Row("Conv2D", build, [floats(*x), floats(*w)], {}, SINGLE, reference, grad=True,
               tolerance=4, oracle="TensorFlow has no such kernel on the CPU",
               label=f"NCHW{x}{more}")  # fmt: skip


def _gradient(op, name, index, x, w, dtypes=FLOATS, **kwargs):
    """A gradient of a convolution, as tf.gradients makes it, from given weights."""

    def build(module, x, w, weights):
        y = getattr(module.nn, name)(x, w, **kwargs)
        return module.gradients(y, [x, w], weights)[index]

    places = [windows_of(*each) for each in zip(
        x[1:-1], w[:-2], kwargs["strides"][1:-1], [1] * (len(x) - 2),
        [kwargs["padding"]] * (len(x) - 2), strict=True)]  # fmt: skip
    out = (x[0], *(count for _, count in places), w[-1])
    return Row(op, build, [floats(*x), floats(*w), floats(*out)], {}, dtypes, grad=dtypes == SINGLE,
               tolerance=4, same_graph="rules name their nodes otherwise",
               label=f"{x}{w}{kwargs}")  # fmt: skip


ONES, TWOS = [1, 1, 1, 1], [1, 2, 2, 1]
ROWS = [
    _conv2d((2, 5, 4, 3), (3, 2, 3, 4), ONES, "SAME", FLOATS, grad=False),
    _conv2d((2, 4, 3, 2), (3, 2, 2, 3), ONES, "VALID"),
    _conv2d((1, 4, 3, 2), (3, 2, 2, 3), ONES, "SAME"),
    _conv2d((1, 5, 4, 2), (3, 3, 2, 2), TWOS, "SAME"),
    _conv2d((1, 7, 6, 1), (3, 3, 1, 2), [1, 3, 2, 1], "VALID"),
    _conv2d((1, 6, 6, 2), (1, 1, 2, 3), TWOS, "SAME", label="one element, by two"),
    _conv2d((2, 2, 3, 5), (1, 1, 5, 2), ONES, "VALID", label="one element"),
    _conv2d((2, 2, 3, 2), (2, 3, 2, 4), ONES, "VALID", label="one window"),
    _conv2d((1, 3, 4, 2), (2, 2, 2, 5), ONES, [[0, 0], [2, 1], [0, 3], [0, 0]], label="explicit"),
    _conv2d((1, 4, 3, 2), (2, 2, 2, 2), TWOS, [[0, 0], [4, 0], [0, 5], [0, 0]], label="far"),
    _conv2d((1, 3, 3, 4), (2, 2, 2, 4), ONES, "SAME", label="groups"),
    _conv2d((1, 5, 4, 2), (2, 3, 2, 2), ONES, "SAME", dilations=[1, 2, 2, 1]),
    _conv2d((1, 5, 6, 1), (2, 3, 1, 2), ONES, "VALID", dilations=[1, 3, 2, 1]),
    _conv2d((1, 2, 2, 17), (2, 1, 17, 2), ONES, "SAME", label="many channels"),
    _conv2d((1, 9, 40, 1), (3, 3, 1, 2), ONES, "SAME", grad=False, label="few channels"),
    _conv2d((0, 5, 4, 3), (3, 2, 3, 4), ONES, "SAME", grad=False, label="no image",
            oracle="TensorFlow gives it another depth"),
    _conv2d((2, 5, 4, 3), (3, 2, 3, 4), ONES, "SAME", label="named", name="layer"),
    Row("Conv2D", "nn.conv2d", [floats(2, 4, 4, 2, low=-9, high=9),
                                floats(2, 2, 2, 3, low=-9, high=9)],
        {"strides": ONES, "padding": "SAME"}, ("int32",), _reference, label="integers",
        oracle="TensorFlow's refuses unaligned sizes"),
    Row("Conv2D", "nn.conv2d", [floats(2, 4, 4, 2), floats(2, 2, 2, 3)],
        {"strides": 2, "padding": "SAME"}, label="one stride"),
    Row("Conv2D", "nn.conv2d", [floats(2, 4, 4, 2), floats(2, 2, 2, 3)],
        {"strides": (1, 2), "padding": "VALID", "dilations": 1, "data_format": None},
        label="two strides"),
    Row("Conv2D", lambda tf, x, w: tf.nn.conv2d(tf.reshape(x, [2, 3, 3, 2, 2]), w, 1, "SAME"),
        [floats(2, 36), floats(2, 2, 2, 1)], grad=True, tolerance=4, label="five dimensions"),
    Row("Conv2D", lambda tf, x, w: tf.nn.conv2d(input=x, filters=w, strides=ONES, padding="SAME"),
        [floats(1, 3, 3, 1), floats(2, 2, 1, 1)], label="filters"),
    _large((9, 17, 31, 32), (3, 3, 32, 24), strides=1, padding="SAME"),
    _large((9, 14, 13, 32), (5, 5, 32, 40), strides=1, padding="VALID"),
    _large((4, 9, 33, 40), (3, 5, 40, 32), strides=1, padding=[[0, 0], [3, 0], [1, 6], [0, 0]]),
    _large((16, 125, 32), (5, 32, 64), "conv1d", stride=1, padding="SAME"),
    _large((3, 9, 10, 11, 24), (3, 3, 3, 24, 24), "conv3d", strides=[1] * 5, padding="SAME"),
    _large((4, 25, 23, 16), (3, 3, 16, 24), strides=2, padding="SAME"),
    _first((2, 2, 3, 4), (3, 2, 2, 3), strides=ONES, padding="SAME"),
    _first((1, 2, 5, 4), (3, 3, 2, 2), strides=[1, 1, 2, 3], padding="VALID"),
    _first((1, 2, 3, 4), (2, 2, 2, 2), strides=ONES, padding=[[0, 0], [0, 0], [1, 0], [2, 1]]),
    *(
        _gradient(op, "conv2d", index, x, w, dtypes, strides=strides, padding=padding)
        for index, op in ((0, "Conv2DBackpropInput"), (1, "Conv2DBackpropFilter"))
        for x, w, strides, padding, dtypes in (
            ((2, 5, 4, 3), (3, 2, 3, 4), ONES, "SAME", FLOATS),
            ((1, 5, 4, 2), (3, 3, 2, 5), TWOS, "VALID", SINGLE),
            ((1, 3, 4, 2), (3, 2, 2, 3), ONES, "SAME", SINGLE),
            ((1, 3, 2, 17), (2, 1, 17, 2), TWOS, "SAME", SINGLE),
        )
    ),
    Row("Conv2DBackpropInput", "nn.conv2d_transpose", [floats(1, 3, 3, 4), floats(3, 3, 2, 4)],
        {"output_shape": [1, 6, 6, 2], "strides": TWOS}, SINGLE, grad=True, tolerance=4),
    Row("Conv2DBackpropInput", "nn.conv2d_transpose", [floats(1, 3, 2, 4), floats(2, 2, 3, 4)],
        {"output_shape": [1, 7, 5, 3], "strides": 2, "padding": "VALID", "name": "up"}, SINGLE,
        grad=True, tolerance=4, label="valid"),
    Row("Conv2DBackpropInput",
        lambda tf, x, w: tf.nn.conv2d_transpose(x, w, tf.stack([tf.shape(x)[0], 6, 6, 3]), TWOS),
        [floats(2, 3, 3, 4), floats(2, 2, 3, 4)], label="computed shape"),
    Row("Conv2DBackpropInput",
        lambda tf, w, g: tf.nn.conv2d_backprop_input([1, 4, 4, 2], w, g, ONES, "VALID"),
        [floats(2, 2, 2, 3), floats(1, 3, 3, 3)], grad=True, tolerance=4, label="direct"),
    Row("Conv2DBackpropFilter",
        lambda tf, x, g: tf.nn.conv2d_backprop_filter(x, [2, 2, 2, 3], g, ONES, "VALID"),
        [floats(1, 4, 4, 2), floats(1, 3, 3, 3)], grad=True, tolerance=4, label="direct"),
    Row("Conv2D", "nn.conv1d", [floats(2, 7, 3), floats(3, 3, 4)],
        {"stride": 2, "padding": "SAME"}, SINGLE, grad=True, tolerance=4, label="conv1d"),
    Row("Conv2D", "nn.conv1d", [floats(2, 9, 3), floats(3, 3, 4)],
        {"stride": 1, "padding": "VALID", "dilations": 2, "name": "sequence"}, grad=True,
        tolerance=4, label="conv1d-dilated"),
    Row("Conv2DBackpropInput", "nn.conv1d_transpose", [floats(2, 4, 3), floats(3, 2, 3)],
        {"output_shape": [2, 8, 2], "strides": 2}, grad=True, tolerance=4, label="conv1d"),
    Row("Conv2DBackpropInput", "nn.conv_transpose", [floats(2, 4, 3), floats(3, 2, 3)],
        {"output_shape": [2, 8, 2], "strides": 2, "data_format": "NWC"}, tolerance=4,
        label="conv_transpose"),
    Row("Conv3D", "nn.conv3d", [floats(1, 3, 2, 3, 2), floats(2, 2, 3, 2, 1)],
        {"strides": [1] * 5, "padding": "SAME"}, SINGLE, _reference, grad=True, tolerance=4),
    Row("Conv3D", "nn.conv3d", [floats(1, 3, 2, 4, 2), floats(2, 1, 3, 2, 2)],
        {"strides": [1, 2, 1, 2, 1], "padding": "VALID"}, SINGLE, _reference, grad=True,
        tolerance=4, label="steps"),
    *(
        _gradient(op, "conv3d", index, (1, 2, 2, 3, 1), (2, 2, 2, 1, 2), SINGLE, strides=[1] * 5,
                  padding="SAME")
        for index, op in ((0, "Conv3DBackpropInputV2"), (1, "Conv3DBackpropFilterV2"))
    ),
    Row("Conv3DBackpropInputV2", "nn.conv3d_transpose",
        [floats(1, 2, 1, 2, 2), floats(2, 2, 2, 1, 2)],
        {"output_shape": [1, 4, 2, 4, 1], "strides": 2}, grad=True, tolerance=4,
        label="transpose"),
    Row("Conv3DBackpropFilterV2",
        lambda tf, x, g: tf.nn.conv3d_backprop_filter(x, [2, 2, 2, 2, 3], g, [1] * 5, "VALID"),
        [floats(1, 3, 3, 3, 2), floats(1, 2, 2, 2, 3)], tolerance=4, label="direct"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape, dtype="float32"):
    return tf.placeholder(dtype, shape)


def conv(x, w, strides=ONES, padding="VALID", **more):
    return lambda: tf.nn.conv2d(ph(*x), ph(*w), strides, padding, **more)


IMAGE, FILTER = (1, 5, 5, 3), (2, 2, 3, 2)
BAD = [
    (conv(IMAGE, (2, 2, 4, 2)), r"Depth of input \(3\) is not a multiple of input depth of filter"),
    (conv((1, 5, 5, 4), (2, 2, 2, 3)), r"Depth of output \(3\) is not a multiple of the number of"),
    (conv(IMAGE, (2, 2, 3)), "Shape must be rank 4 but is rank 3"),
    (conv((5, 5, 3), FILTER), "Shape must be rank 4 but is rank 3"),
    (conv((1, 2, 2, 3), (5, 5, 3, 2)), "Negative dimension size caused by subtracting 5 from 2"),
    (conv(IMAGE, FILTER, [1, 0, 1, 1]), "Stride must be > 0, but got 0"),
    (conv(IMAGE, FILTER, dilations=[1, 0, 1, 1]), "Dilation rate must be >= 1, but got 0"),
    (conv(IMAGE, FILTER, padding="FOO"), "Attr 'padding' of 'Conv2D' Op passed string 'FOO'"),
    (conv(IMAGE, FILTER, data_format="CHWN"), "Attr 'data_format' of 'Conv2D' Op passed string"),
    (conv(IMAGE, FILTER, [1, 1, 1]), "strides should be of length 1, 2 or 4. Received: strides=.1"),
    (conv(IMAGE, FILTER, padding="EXPLICIT"), "'EXPLICIT' is not a valid value for `padding`"),
    (conv(IMAGE, FILTER, padding=[1, 2]), "must be a list/tuple of size 2. Received: .* of type"),
    (conv(IMAGE, FILTER, padding=[[1], [2]]), "must be a list/tuple of size 2. .* of size 1"),
    (conv(IMAGE, FILTER, padding=[[0, 0]]), "it must be of size 4. Received: .* of size 1"),
    (conv(IMAGE, FILTER, padding=[[0, 0], [1, 1], [1, -1], [0, 0]]), "must be nonnegative"),
    (conv(IMAGE, FILTER, padding=[[1, 0], [1, 1], [1, 1], [0, 0]]), "in the batch or depth dimens"),
    (lambda: tf.nn.conv2d_transpose(ph(1, 3, 3, 4), ph(2, 2, 3, 5), [1, 6, 6, 3], TWOS),
     "Dimensions must be equal, but are 4 and 5"),
    (lambda: tf.nn.conv1d(ph(1, 3, 3), ph(2, 3, 5), 1, "SAME", data_format="X"), "must be 'NWC'"),
    (lambda: tf.nn.conv_transpose(ph(1, 3), ph(2, 3), [1, 2], 1), "must be of length 3, 4 or 5"),
    (lambda: tf.nn.conv3d(ph(1, 5, 5, 5, 3), ph(2, 2, 2, 4, 2), [1] * 5, "SAME"), "Depth of input"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


_ATTRS = {"strides": ONES, "padding": b"VALID"}
RUN_TIME = [
    ("Conv2D", [IMAGE, (2, 2, 4, 2)], {}, "evenly divisible by filter depth: 3 vs 4"),
    ("Conv2D", [(5, 5, 3), (2, 3, 2)], {}, "strides field must specify 3 dimensions"),
    ("Conv2D", [IMAGE, (2, 2, 3)], {}, "input and filter must have one rank, not 4, 3"),
    ("Conv2D", [(1, 1, 1, 3), FILTER], {}, "Negative dimension size caused by subtracting 2 from"),
    ("Conv2D", [IMAGE, FILTER], {"strides": [2, 1, 1, 1]}, "strides in the batch and depth"),
    ("Conv2D", [IMAGE, FILTER], {"dilations": [1, 1, 1, 2]}, "dilations in the batch and depth"),
    ("Conv2DBackpropInput", [IMAGE, FILTER, (1, 4, 4, 3)], {}, "out_backprop doesn't match"),
    ("Conv2DBackpropInput", [(1, 5, 5), FILTER, (1, 4, 4, 2)], {}, "a vector of 4 sizes"),
    ("Conv2DBackpropInput", [(1, -5, 5, 3), FILTER, (1, 4, 4, 2)], {}, "a vector of 4 sizes"),
    ("Conv2DBackpropFilter", [IMAGE, FILTER, (1, 3, 4, 2)], {}, "out_backprop doesn't match"),
]


@pytest.mark.parametrize(("op", "shapes", "attrs", "phrase"), RUN_TIME)
def test_refused_when_run(op, shapes, attrs, phrase, device, fresh_graph):
    sizes = {"Conv2DBackpropInput": 0, "Conv2DBackpropFilter": 1}.get(op)
    inputs, feeds = [], {}
    for index, shape in enumerate(shapes):
        inputs.append(tf.placeholder("int32" if index == sizes else "float32"))
        feeds[inputs[-1]] = shape if index == sizes else np.ones(shape, "float32")
    with tf.device(device):
        result = create_op(op, inputs, _ATTRS | attrs)
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, feeds)


def test_what_is_known_of_shapes(fresh_graph):
    unknown = tf.placeholder("float32")

    def shape(x, w, *arguments):
        return tf.nn.conv2d(x, w, *arguments).shape.as_list()

    assert shape(unknown, ph(2, 2, 2, 3), ONES, "VALID") == [None, None, None, 3]
    assert shape(ph(None, None, 5, 2), unknown, [1, 2, 3, 1], "SAME") == [None, None, 2, None]
    assert shape(ph(None, None, 5, 2), unknown, ONES, "VALID") == [None] * 4
    sizes = tf.placeholder("int32")
    transposed = tf.nn.conv2d_transpose(ph(1, 3, 3, 4), ph(2, 2, 3, 4), sizes, TWOS)
    assert transposed.shape.as_list() == [1, None, None, None]


def test_more_windows_than_one_block_holds(monkeypatch, fresh_graph):
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(3, 9, 8, 2)), rng.normal(size=(3, 3, 2, 4))
    images, filters = tf.constant(x), tf.constant(w)
    y = tf.nn.conv2d(images, filters, TWOS, "SAME")
    found = [y, *tf.gradients(tf.sin(y), [images, filters])]
    with tf.Session() as session:
        whole = session.run(found)
        for limit in (1, 2000, 3000):
            monkeypatch.setattr("tfsession.kernels.conv_patches.BLOCK", limit)
            for one, other in zip(whole, session.run(found), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_two_sizes_of_the_input_are_enough(device, fresh_graph):
    w, grad = np.ones((2, 2, 3, 4), "float32"), np.ones((1, 4, 4, 4), "float32")
    with tf.device(device):
        short = create_op("Conv2DBackpropInput", [[5, 5], w, grad], _ATTRS)
        whole = create_op("Conv2DBackpropInput", [[1, 5, 5, 3], w, grad], _ATTRS)
    assert short.shape == (1, 5, 5, 3)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        np.testing.assert_array_equal(*session.run([short, whole]))
