"""Pools of sequences, images and volumes, and their gradients of both orders."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.windows import axes_of
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases, value

# What oneDNN can compute, it computes, too.
ONEDNN = True

SINGLE = ("float32",)
TWOS, THREES = [1, 2, 2, 1], [1, 3, 3, 1]


def apart(*shape):
    """Numbers of which no two are near: steps of a difference quotient do not reorder them."""
    return floats(*shape) if not shape else _Apart(shape).input


class _Apart:
    def __init__(self, shape):
        self._shape = shape
        self.input = type(floats())(self._make, None)

    def _make(self, rng, dtype):
        count = int(np.prod(self._shape))
        return (rng.permutation(count).reshape(self._shape) / 8 - 2).astype(dtype)


def slow(reduce, x, ksize, strides, padding):
    """One window after the other, all dimensions alike."""
    spans = []
    for size, extent, step in zip(x.shape, ksize, strides, strict=True):
        if padding == "SAME":
            count = -(-size // step)
            start = -(max((count - 1) * step + extent - size, 0) // 2)
        else:
            start, count = 0, (size - extent) // step + 1
        spans.append([(max(start + i * step, 0), min(start + i * step + extent, size))
                      for i in range(count)])  # fmt: skip
    out = np.zeros([len(span) for span in spans], x.dtype)
    for spot in np.ndindex(*out.shape):
        window = x[tuple(slice(*span[i]) for span, i in zip(spans, spot, strict=True))]
        out[spot] = reduce(window)
    return out


def greatest(x, ksize, strides, padding, **_):
    return slow(np.max, x, ksize, strides, padding)


def mean(x, ksize, strides, padding, **_):
    return slow(lambda w: w.astype(np.float64).mean(), x, ksize, strides, padding)


def _pools(name, op, reference, make, integers, rank=4):
    spatial = rank - 2
    small, odd = (1, 4, 5, 2)[:rank] if rank == 4 else (1, 3, 4, 2, 2), [1, *(3, 2, 2)[:spatial], 1]
    for kwargs, shape, dtypes in (
        ({"ksize": [1, *[2] * spatial, 1], "strides": [1, *[2] * spatial, 1], "padding": "VALID"},
         small, SINGLE),
        ({"ksize": odd, "strides": [1, *[1] * spatial, 1], "padding": "SAME"}, small, SINGLE),
        ({"ksize": odd, "strides": [1, *(2, 3, 1)[:spatial], 1], "padding": "SAME"}, small, SINGLE),
        ({"ksize": odd, "strides": [1] * rank, "padding": "VALID"}, small, integers),
    ):  # fmt: skip
        yield Row(op, f"nn.{name}", [make(*shape)], kwargs, dtypes, reference,
                  grad=dtypes == SINGLE and (op, rank) != ("MaxPool3D", 5),
                  oracle=rank == 4 or dtypes == SINGLE or "TensorFlow's takes float32 alone",
                  label=f"{name}{kwargs}")  # fmt: skip
    yield Row(op, f"nn.{name}", [make(0, *small[1:])],
              {"ksize": odd, "strides": odd, "padding": "SAME"}, label=f"{name}-none")  # fmt: skip


def _of_gradient(op, name, kwargs, shape, out, dtypes=SINGLE, make=apart, oracle=True):
    """The gradient of a pool, as tf.gradients makes it, from given weights."""

    def build(module, x, weights):
        return module.gradients(getattr(module.nn, name)(x, **kwargs), x, weights)[0]

    return Row(op, build, [make(*shape), floats(*out)], {}, dtypes, oracle=oracle,
               grad=dtypes == SINGLE and op != "MaxPool3DGrad",
               same_graph="rules name their nodes otherwise", label=f"{kwargs}")  # fmt: skip


def _twice(op, name, kwargs, shape, out, dtypes=SINGLE):
    """The gradient of the gradient for the weights."""

    def build(module, x, weights, slopes):
        y = getattr(module.nn, name)(x, **kwargs)
        back = module.gradients(y, x, weights)[0]
        return module.gradients(back, weights, slopes)[0]

    return Row(op, build, [apart(*shape), floats(*out), floats(*shape)], {}, dtypes,
               grad=op == "MaxPoolGradGrad",
               same_graph="rules name their nodes otherwise", label=f"{kwargs}")  # fmt: skip


def _by_vectors(op):
    def build(module, x, *slopes):
        from_module = create_op
        sizes = [module.constant([1, 3, 2, 1]), module.constant([1, 1, 2, 1])]
        y = from_module("MaxPoolV2", [x, *sizes], {"padding": b"SAME"})
        found = [y, *module.gradients(y, x, slopes[0])]
        found += module.gradients(found[1], slopes[0], slopes[1])
        return found[{"MaxPoolV2": 0, "MaxPoolGradV2": 1, "MaxPoolGradGradV2": 2}[op]]

    return Row(op, build, [apart(1, 4, 4, 2), floats(1, 4, 2, 2), floats(1, 4, 4, 2)],
               grad=True, oracle="it has no public builder")  # fmt: skip


WINDOW = {"ksize": [1, 3, 2, 1], "strides": [1, 2, 1, 1], "padding": "SAME"}
PLAIN = {"ksize": TWOS, "strides": TWOS, "padding": "VALID"}
CUBE = {"ksize": [1, 2, 2, 2, 1], "strides": [1, 1, 2, 1, 1], "padding": "SAME"}
INTEGERS = ("int32", "float16", "bfloat16")
TIES = value([[[[1.0], [1.0], [0.0]], [[1.0], [1.0], [0.0]], [[0.0], [0.0], [0.0]]]])


def _argmax(module, x, **kwargs):
    return module.nn.max_pool_with_argmax(x, **kwargs)


def _of_argmax(order, batch):
    kwargs = {**WINDOW, "include_batch_in_index": batch}

    def build(module, x, weights, *slopes):
        y, _ = module.nn.max_pool_with_argmax(x, **kwargs)
        back = module.gradients(y, x, weights)[0]
        return back if order == 1 else module.gradients(back, weights, slopes[0])[0]

    slopes = [floats(2, 4, 4, 2)][: order - 1]
    return Row("MaxPoolGradWithArgmax", build, [apart(2, 4, 4, 2), floats(2, 2, 4, 2), *slopes],
               grad=order == 2, same_graph="rules name their nodes otherwise",
               oracle=order == 1 or "TensorFlow knows no second derivative",
               label=f"{order}{batch}")  # fmt: skip


ROWS = [
    *_pools("max_pool", "MaxPool", greatest, apart, INTEGERS),
    *_pools("avg_pool", "AvgPool", mean, floats, FLOATS),
    *_pools("max_pool3d", "MaxPool3D", greatest, apart, ("float16",), 5),
    *_pools("avg_pool3d", "AvgPool3D", mean, floats, ("float16", "float64"), 5),
    Row("MaxPool", "nn.max_pool", [apart(1, 3, 3, 4)],
        {"ksize": [1, 1, 1, 2], "strides": [1, 1, 1, 2], "padding": "VALID"}, reference=greatest,
        grad=True, label="depth", oracle="TensorFlow knows no gradient of it on the CPU"),
    Row("MaxPool", "nn.max_pool", [apart(1, 4, 3, 2)],
        {"ksize": 2, "strides": (1, 2), "padding": [[0, 0], [1, 0], [1, 1], [0, 0]]},
        label="explicit"),
    Row("MaxPool", "nn.max_pool", [apart(1, 2, 4, 4)],
        {"ksize": 2, "strides": 2, "padding": "SAME", "data_format": "NCHW"}, grad=True,
        label="NCHW", oracle="TensorFlow has no such kernel on the CPU"),
    Row("AvgPool", "nn.avg_pool", [floats(1, 2, 4, 3)],
        {"ksize": 2, "strides": 2, "padding": "SAME", "data_format": "NCHW"}, grad=True,
        label="NCHW", oracle="TensorFlow has no such kernel on the CPU"),
    Row("MaxPool", lambda tf, x: tf.nn.max_pool(x, name="top", **PLAIN),
        [apart(1, 4, 4, 1)], label="named"),
    Row("MaxPool", "nn.max_pool2d", [apart(1, 4, 4, 1)], PLAIN, label="2d"),
    Row("AvgPool", "nn.avg_pool2d", [floats(1, 4, 4, 1)], PLAIN, label="2d"),
    *(
        Row(op, f"nn.{name}", [apart(1, 5, 2)], {"ksize": 2, "strides": 2, "padding": "SAME"},
            grad=True, label=name)
        for op, name in (("MaxPool", "max_pool1d"), ("AvgPool", "avg_pool1d"))
    ),
    *(
        Row(op + "3D" * (rank == 5), lambda tf, x, name=name, rank=rank: getattr(tf.nn, name)(
            tf.reshape(x, [*[1, 5, 2, 2][:rank - 1], 2]), 2, 2, "SAME"),
            [apart(2 * [5, 10, 20][rank - 3])], label=f"{name}{rank}")
        for op, name in (("MaxPool", "max_pool_v2"), ("AvgPool", "avg_pool_v2"))
        for rank in (3, 4, 5)
    ),
    Row("MaxPoolWithArgmax", _argmax, [apart(2, 4, 4, 2)], WINDOW,
        ("float32", "float64", "int32")),
    Row("MaxPoolWithArgmax", _argmax, [apart(2, 4, 4, 2)],
        {**PLAIN, "include_batch_in_index": True, "Targmax": "int32"}, label="batch"),
    Row("MaxPoolWithArgmax", _argmax, [TIES], {**WINDOW}, label="ties"),
    *(_of_argmax(order, batch) for order in (1, 2) for batch in (False, True)),
    _of_gradient("MaxPoolGrad", "max_pool", PLAIN, (2, 4, 5, 2), (2, 2, 2, 2),
                 ("float16", "bfloat16", "float64")),
    _of_gradient("MaxPoolGrad", "max_pool", PLAIN, (2, 4, 6, 2), (2, 2, 3, 2),
                 ("float16", "bfloat16", "float64")),
    _of_gradient("MaxPoolGrad", "max_pool", WINDOW, (1, 4, 3, 2), (1, 2, 3, 2)),
    _of_gradient("MaxPoolGrad", "max_pool", {"ksize": 2, "strides": 1, "padding": [
        [0, 0], [1, 0], [0, 1], [0, 0]]}, (1, 3, 3, 2), (1, 3, 3, 2), ("float64",)),
    Row("MaxPoolGrad", lambda tf, x, g: tf.gradients(
        tf.nn.max_pool(x, [1, 2, 2, 1], [1, 1, 1, 1], "SAME"), x, g)[0],
        [TIES, floats(1, 3, 3, 1)], same_graph="rules name their nodes otherwise", label="ties"),
    _twice("MaxPoolGradGrad", "max_pool", WINDOW, (1, 4, 3, 2), (1, 2, 3, 2)),
    _of_gradient("AvgPoolGrad", "avg_pool", WINDOW, (1, 4, 3, 2), (1, 2, 3, 2), make=floats),
    _of_gradient("AvgPoolGrad", "avg_pool", PLAIN, (2, 4, 5, 2), (2, 2, 2, 2), FLOATS, floats),
    _of_gradient("MaxPool3DGrad", "max_pool3d", CUBE, (1, 3, 3, 2, 2), (1, 3, 2, 2, 2)),
    _twice("MaxPool3DGradGrad", "max_pool3d", CUBE, (1, 3, 3, 2, 2), (1, 3, 2, 2, 2)),
    _of_gradient("AvgPool3DGrad", "avg_pool3d", CUBE, (1, 2, 3, 2, 1), (1, 2, 2, 2, 1),
                 make=floats),
    *map(_by_vectors, ("MaxPoolV2", "MaxPoolGradV2", "MaxPoolGradGradV2")),
]  # fmt: skip


def _sized_pool(shape, **kwargs):
    rank = len(shape)

    def build(module, x):
        x.set_shape([None] * rank)
        return module.nn.pool(x, **kwargs)

    op = {"MAX": "MaxPool", "AVG": "AvgPool"}[kwargs["pooling_type"]] + "3D" * (rank == 5)
    return Row(op, build, [apart(*shape)], grad=op != "MaxPool3D", label=f"pool{kwargs}")


ROWS += [
    _sized_pool((1, 4, 5, 2), window_shape=[2, 3], pooling_type="MAX", padding="SAME"),
    _sized_pool((1, 4, 5, 2), window_shape=[2, 2], pooling_type="AVG", padding="VALID",
                strides=[1, 2], name="mine"),
    _sized_pool((1, 5, 6, 1), window_shape=[2, 2], pooling_type="MAX", padding="VALID",
                dilation_rate=[2, 3]),
    _sized_pool((2, 5, 2), window_shape=[2], pooling_type="AVG", padding="SAME"),
    _sized_pool((2, 7, 1), window_shape=[2], pooling_type="MAX", padding="VALID",
                dilation_rate=[2]),
    _sized_pool((1, 3, 2, 3, 1), window_shape=[2, 1, 2], pooling_type="MAX", padding="SAME"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape):
    return tf.placeholder("float32", shape)


IMAGE = (1, 5, 5, 3)
BAD = [
    (lambda: tf.nn.max_pool(ph(*IMAGE), [1, 7, 2, 1], TWOS, "VALID"), "subtracting 7 from 5"),
    (lambda: tf.nn.max_pool(ph(5, 5, 3), TWOS, TWOS, "VALID"), "must be rank 4 but is rank 3"),
    (lambda: tf.nn.max_pool(ph(*IMAGE), [1, 0, 2, 1], TWOS, "VALID"), "`ksize` cannot be zero"),
    (lambda: tf.nn.avg_pool(ph(*IMAGE), TWOS, [1, 0, 2, 1], "VALID"), "Stride must be > 0"),
    (lambda: tf.nn.max_pool(ph(*IMAGE), [1, 2, 2], TWOS, "VALID"), "ksize should be of length"),
    (lambda: tf.nn.max_pool(ph(*IMAGE), TWOS, TWOS, "EXPLICIT"), "To use explicit padding"),
    (lambda: tf.nn.max_pool_v2(ph(2, 2), 2, 2, "SAME"), "must be 3, 4 or 5"),
    (lambda: tf.nn.max_pool_with_argmax(ph(*IMAGE), TWOS, TWOS, "SAME", "NCHW"), "other  than"),
    (lambda: tf.nn.pool(ph(*IMAGE), [2, 2], "MIN", "SAME"), "2-D MIN pooling is not supported"),
    (lambda: tf.nn.pool(ph(*IMAGE), [2, 2], "MAX", "SAME", [2, 2]), "'SAME' padding is not"),
    (lambda: tf.nn.pool(ph(*IMAGE), [2, 2], "MAX", "SAME", None, [3, 1]), "`strides` > `window"),
    (lambda: tf.nn.pool(ph(*IMAGE), [2] * 4, "MAX", "SAME"), "must be 1, 2, or 3. Received"),
    (lambda: tf.nn.pool(ph(2, 5, 3), [2], "MAX", "SAME", data_format="X"), "either 'NWC' or 'NCW'"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


ATTRS = {"ksize": TWOS, "strides": TWOS, "padding": b"VALID"}
RUN_TIME = [
    ("MaxPool", [(5, 5, 3)], {}, "tensor_in must be 4-dimensional"),
    ("MaxPool", [(1, 1, 5, 3)], {}, "subtracting 2 from 1"),
    ("MaxPool", [IMAGE], {"ksize": [2, 2, 2, 1]}, "not yet supported on the batch dimension"),
    ("MaxPool", [IMAGE], {"padding": b"EXPLICIT", "explicit_paddings": [0, 0, 0, 2, 0, 0, 0, 0]},
     "padding 2 needs to be smaller than the window size 2"),
    ("AvgPool", [IMAGE], {"ksize": [1, 2, 0, 1], "padding": b"SAME"}, "was zero or negative"),
    (
        "MaxPoolGrad",
        [IMAGE, (1, 2, 3, 3), (1, 2, 3, 3)],
        {},
        r"be \[1,2,2,3\], but got \[1,2,3,3\]",
    ),
    ("MaxPoolGrad", [IMAGE, (1, 2, 2, 3), (1, 2, 3, 3)], {}, "Expected grad shape to be"),
    ("MaxPoolGradGrad", [IMAGE, (1, 2, 2, 3), (1, 2, 2, 3)], {}, "Expected grad shape to be"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shapes", "attrs", "phrase"), RUN_TIME)
def test_refused_when_run(op, shapes, attrs, phrase, device, fresh_graph):
    inputs = [tf.placeholder("float32") for _ in shapes]
    with tf.device(device):
        result = create_op(op, inputs, ATTRS | attrs)
    feeds = {key: np.ones(shape) for key, shape in zip(inputs, shapes, strict=True)}
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, feeds)


def test_places_that_are_none(device, fresh_graph):
    places, shape = tf.placeholder("int64"), tf.placeholder("int32")
    attrs = {**ATTRS, "include_batch_in_index": False}
    with tf.device(device):
        found = create_op("MaxPoolGradWithArgmax", [np.ones(IMAGE), np.ones((1, 2, 2, 3)), places],
                          attrs)  # fmt: skip
        means = create_op("AvgPoolGrad", [shape, np.ones((1, 2, 2, 3))], ATTRS)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        beyond = np.full((1, 2, 2, 3), 75)
        if device == "/gpu:0":  # where the host does not look
            assert not session.run(found, {places: beyond}).any()
        for wrong, phrase in ((beyond, "Invalid index"), ([1], "argmax shape")):
            if device == "/cpu:0" or wrong is not beyond:
                with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
                    session.run(found, {places: wrong})
        for wrong, phrase in (([1, 5, 5], "one rank"), ([1, 7, 5, 3], "Expected grad shape")):
            with pytest.raises(tf.errors.InvalidArgumentError, match=phrase):
                session.run(means, {shape: wrong})


@pytest.mark.parametrize("strides", [[1, 1, 1, 1], [1, 2, 3, 1], [1, 9, 1, 1]])
def test_windows_far_larger_than_the_image(device, fresh_graph, strides):
    """They cost no more than those that just hold it."""
    x = tf.constant(np.random.default_rng(3).permutation(60).reshape(1, 5, 4, 3), tf.float32)
    results = []
    for extent in (19, 2**31 - 1):
        ksize = [1, extent, extent, 1]
        with tf.device(device):
            pooled = tf.nn.max_pool(x, ksize, strides, "SAME")
            mean = tf.nn.avg_pool(x, ksize, strides, "SAME")
            results.append([pooled, mean, *tf.gradients([pooled, mean], x)])
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        for small, large in zip(*session.run(results), strict=True):
            np.testing.assert_allclose(small, large, rtol=1e-6)


@settings(max_examples=300)
@given(
    *(st.integers(*ends) for ends in ((0, 9), (1, 20), (1, 6), (1, 3))),
    st.sampled_from([b"SAME", b"VALID"]),
)
def test_offsets_are_those_that_meet_something(size, extent, stride, dilation, padding):
    reach = (extent - 1) * dilation + 1
    assume(padding == b"SAME" or reach <= size)
    (axis,) = axes_of([size], [extent], [stride], [dilation], padding, [(0, 0)])
    meeting = [n for n in range(extent) if axis.meeting(n) is not None]
    assert meeting == [n for n in axis.offsets if axis.meeting(n) is not None]
