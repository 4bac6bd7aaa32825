"""Normalizing as one operation: by the statistics of a batch, by neighbouring channels."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, row_cases

# What oneDNN can compute, it computes, too.
ONEDNN = True

HALVES = ("float32", "float16", "bfloat16")
NARROW = {"dtype": "float32"}
OTHERWISE = "rules name their nodes otherwise"


def _normalized(x, scale, offset, *given, data_format="NHWC", epsilon=0.001, is_training=True,
                exponential_avg_factor=1.0):  # fmt: skip
    x = np.asarray(x, np.float64)
    if data_format.startswith("NC"):
        x = np.moveaxis(x, 1, -1)
    axes = tuple(range(x.ndim - 1))
    if is_training:
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
        running = [mean, x.var(axis=axes, ddof=1)]
        if exponential_avg_factor != 1:
            f = exponential_avg_factor
            running = [(1 - f) * old + f * new for old, new in zip(given, running, strict=True)]
    else:
        mean, variance = running = list(given)
    y = (x - mean) / np.sqrt(variance + epsilon) * scale + offset
    return [np.moveaxis(y, -1, 1) if data_format.startswith("NC") else y, *running]


def _vectors(depth):
    return [floats(depth, low=0.5, **NARROW), floats(depth, **NARROW)]


def _batch_row(shape, depth, dtypes=("float32",), oracle=True, label="", given=False, **kwargs):
    extra = [floats(depth, **NARROW), floats(depth, low=0.5, **NARROW)] if given else []
    return Row("FusedBatchNormV3", "nn.fused_batch_norm",
               [floats(*shape), *_vectors(depth), *extra], kwargs, dtypes, _normalized,
               tolerance=4, oracle=oracle, label=label or f"{shape}{kwargs}")  # fmt: skip


def _back_row(version, shape, is_training, label="", data_format="NHWC", dtypes=("float32",),
              oracle=True):  # fmt: skip
    """All three gradients, from given weights of the output."""
    depth = shape[1 if data_format.startswith("NC") else -1]

    def build(module, x, scale, offset, mean, variance, weights):
        kwargs = {"is_training": is_training, "data_format": data_format}
        if not is_training:
            kwargs |= {"mean": mean, "variance": variance}
        y = module.nn.fused_batch_norm(x, scale, offset, **kwargs)[0]
        return module.gradients(y, [x, scale, offset], weights)

    inputs = [floats(*shape), *_vectors(depth), floats(depth, **NARROW),
              floats(depth, low=0.5, **NARROW), floats(*shape)]  # fmt: skip
    return Row(f"FusedBatchNormGrad{version}", build, inputs, {}, dtypes, same_graph=OTHERWISE,
               tolerance=8, oracle=oracle, label=f"{shape}{is_training}{label}")  # fmt: skip


def _second_row(is_training):
    """Gradients of gradients."""

    def build(module, x, scale, offset, mean, variance, weights, *slopes):
        kwargs = {"is_training": is_training}
        if not is_training:
            kwargs |= {"mean": mean, "variance": variance}
        y = module.nn.fused_batch_norm(x, scale, offset, **kwargs)[0]
        back = module.gradients(y, [x, scale], weights)
        return module.gradients(back, [x, scale, weights], slopes)

    shape = (2, 3, 2, 2)
    inputs = [floats(*shape), *_vectors(2), floats(2, **NARROW), floats(2, low=0.5, **NARROW),
              floats(*shape), floats(*shape), floats(2, **NARROW)]  # fmt: skip
    return Row("FusedBatchNormGradV3", build, inputs, same_graph=OTHERWISE, tolerance=20,
               label=f"second{is_training}")  # fmt: skip


def _older(version):
    def build(module, x, scale, offset, weights):
        nothing = module.constant([])
        inputs = [x, scale, offset, nothing, nothing]
        y = create_op(f"FusedBatchNorm{version}", inputs, {"epsilon": 0.001})
        return [*y[:3], *module.gradients(y[0], [x, scale, offset], weights)]

    shape = (2, 3, 2, 2)
    names = (f"FusedBatchNorm{version}", f"FusedBatchNormGrad{version}")
    for name in names:
        yield Row(name, build, [floats(*shape), *_vectors(2), floats(*shape)],
                  oracle="it has no public builder")  # fmt: skip


def _lrn(input, depth_radius=5, bias=1, alpha=1, beta=0.5):
    x = np.asarray(input, np.float64)
    sums = np.zeros_like(x)
    for c in range(x.shape[3]):
        near = x[..., max(c - depth_radius, 0) : c + depth_radius + 1]
        sums[..., c] = (near**2).sum(axis=-1)
    return x / (bias + alpha * sums) ** beta


def _lrn_back(module, x, weights):
    y = module.nn.lrn(x, 2, 1.5, 0.3, 0.75)
    return module.gradients(y, x, weights)[0]


ROWS = [
    *(
        Row("BatchNormWithGlobalNormalization", lambda tf, x, m, v, beta, gamma, scaled:
            tf.raw_ops.BatchNormWithGlobalNormalization(
                t=x, m=m, v=v, beta=beta, gamma=gamma, variance_epsilon=0.01,
                scale_after_normalization=scaled),
            [floats(2, 3, 2, 4), floats(4), floats(4, low=0.5), floats(4), floats(4)],
            {"scaled": scaled}, ["float32", "float64"], grad=True, label=f"{scaled}",
            reference=lambda x, m, v, b, g, scaled: [
                (x - m) / np.sqrt(v + np.float32(0.01)) * (g if scaled else 1) + b],
            oracle="graphs of today may not have it")
        for scaled in (False, True)
    ),
    _batch_row((3, 2, 4, 3), 3, HALVES),
    _batch_row((3, 2, 4, 3), 3, given=True, exponential_avg_factor=0.25),
    _batch_row((3, 2, 4, 3), 3, HALVES, given=True, is_training=False, epsilon=0.01),
    _batch_row((3, 2, 4, 5), 2, data_format="NCHW", oracle="not on the CPU"),
    _batch_row((2, 2, 3, 2, 2), 2, data_format="NDHWC"),
    _batch_row((2, 2, 3, 2, 2), 2, data_format="NCDHW", oracle="not on the CPU"),
    Row("FusedBatchNormV3", "nn.fused_batch_norm", [floats(1, 1, 1, 2), *_vectors(2)],
        {"name": "one"}, label="one pixel"),
    Row("FusedBatchNormV3", "nn.fused_batch_norm", [floats(0, 2, 1, 2), *_vectors(2)],
        label="none"),
    _back_row("V3", (3, 2, 4, 3), True, dtypes=HALVES),
    _back_row("V3", (3, 2, 4, 3), False, dtypes=HALVES),
    _back_row("V3", (3, 2, 4, 3), True, data_format="NCHW", oracle="not on the CPU"),
    _back_row("V3", (3, 2, 4, 3), False, data_format="NCHW", oracle="not on the CPU"),
    _back_row("V3", (2, 2, 2, 1, 3), True, data_format="NDHWC"),
    _second_row(True),
    _second_row(False),
    *_older(""),
    *_older("V2"),
    Row("LRN", "nn.local_response_normalization", [floats(2, 2, 1, 7)], {}, HALVES[:2], _lrn),
    Row("LRN", "nn.lrn", [floats(1, 2, 2, 5)],
        {"depth_radius": 1, "bias": 2.0, "alpha": 0.5, "beta": 0.75}, reference=_lrn,
        label="narrow"),
    *(
        Row(op, build, [floats(1, 2, 2, 6)] * inputs, {}, ("bfloat16",), label="bfloat16",
            oracle="TensorFlow has no such kernel")
        for op, build, inputs in (("LRN", "nn.lrn", 1), ("LRNGrad", _lrn_back, 2))
    ),
    Row("LRN", "nn.lrn", [floats(0, 2, 2, 5)], label="none"),
    Row("LRNGrad", _lrn_back, [floats(1, 2, 2, 6), floats(1, 2, 2, 6)], {}, HALVES[:2],
        same_graph=OTHERWISE),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def _plain(x, scale, offset, mean, variance, is_training, epsilon=0.001):
    """The same out of simple operations."""
    if is_training:
        mean, variance = tf.nn.moments(x, [0, 1, 2])
    return tf.nn.batch_normalization(x, mean, variance, offset, scale, epsilon)


@pytest.mark.parametrize("is_training", [True, False])
def test_gradients_of_three_orders_are_those_of_simple_operations(is_training, fresh_graph):
    rng = np.random.default_rng(3)

    def drawn(*shape):
        return tf.constant(rng.uniform(0.5, 1.5, shape).astype("float32"))

    x, scale, offset = drawn(3, 2, 2, 2), drawn(2), drawn(2)
    mean, variance = drawn(2), drawn(2)
    fused = tf.nn.fused_batch_norm(x, scale, offset, mean, variance, is_training=is_training)[0]
    plain = _plain(x, scale, offset, mean, variance, is_training)
    weights = drawn(3, 2, 2, 2)
    orders = []
    for y in (fused, plain):
        found, terms = [], [y * y * weights]
        for _ in range(2):
            terms = tf.gradients(tf.add_n([tf.reduce_sum(t * t) for t in terms]), [x, scale])
            found += terms
        orders.append(found)
    with tf.Session() as session:
        for one, other in zip(*session.run(orders), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3 * abs(other).max())


def test_the_second_gradient_by_neighbours_is_that_of_simple_operations(fresh_graph):
    rng = np.random.default_rng(4)
    x = tf.constant(rng.normal(size=(1, 2, 2, 5)).astype("float32"))
    band = tf.constant((abs(np.arange(5)[:, None] - np.arange(5)) <= 1).astype("float32"))
    sums = tf.tensordot(x * x, band, [[3], [0]])
    orders = []
    for y in (tf.nn.lrn(x, 1, 1.0, 0.5, 0.75), x / (1.0 + 0.5 * sums) ** 0.75):
        first = tf.gradients(y * y, x)[0]
        orders.append([first, tf.gradients(first * first, x)[0]])
    with tf.Session() as session:
        for one, other in zip(*session.run(orders), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def ph(*shape):
    return tf.placeholder("float32", shape)


IMAGE = (2, 3, 3, 4)
BAD = [
    (lambda: tf.nn.fused_batch_norm(ph(*IMAGE), ph(3), ph(4)), "must be equal, but are 4 and 3"),
    (lambda: tf.nn.fused_batch_norm(ph(3, 3, 4), ph(4), ph(4)), "must be rank 4 but is rank 3"),
    (lambda: tf.nn.fused_batch_norm(ph(*IMAGE), ph(4), ph(4), ph(3), ph(4), is_training=False),
     "must be equal, but are 4 and 3"),
    (lambda: tf.nn.fused_batch_norm(ph(*IMAGE), ph(4), ph(4), is_training=False),
     "Both `mean` and `variance` must be a 1D tensor when `is_training` is False"),
    (lambda: tf.nn.lrn(ph(2, 3, 3)), "must be rank 4 but is rank 3"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


NORM = ("FusedBatchNormV3", {})
FIXED = ("FusedBatchNormV3", {"is_training": False})
RUN_TIME = [
    (NORM, [(3, 3, 4), (4,), (4,), (0,), (0,)], r"input must be 4-dimensional\[3,3,4\]"),
    (NORM, [IMAGE, (3,), (4,), (0,), (0,)], "scale must have the same number of elements .* 3 and"),
    (NORM, [IMAGE, (4, 1), (4,), (0,), (0,)], r"scale must be 1-dimensional\[4,1\]"),
    (FIXED, [IMAGE, (4,), (4,), (0,), (0,)], "When is_training=false, mean must have"),
    (("FusedBatchNormV3", {"exponential_avg_factor": 0.5}), [IMAGE, (4,), (4,), (0,), (0,)],
     "When exponential_avg_factor != 1, mean must have"),
    (("FusedBatchNormGradV3", {}), [IMAGE, (2, 3, 3, 3), (4,), (4,), (4,), (0,)], "same shape"),
    (("LRN", {}), [(3, 3, 4)], "in must be 4-dimensional"),
    (("LRNGrad", {}), [IMAGE, IMAGE, (2, 3, 3, 3)], "should have the same shape"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shapes", "phrase"), RUN_TIME)
def test_refused_when_run(op, shapes, phrase, device, fresh_graph):
    inputs = [tf.placeholder("float32") for _ in shapes]
    with tf.device(device):
        result = create_op(op[0], inputs, op[1])
    feeds = {key: np.ones(shape) for key, shape in zip(inputs, shapes, strict=True)}
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, feeds)


def test_shapes_follow_from_each_other(fresh_graph):
    unknown = tf.placeholder("float32")
    outputs = tf.nn.fused_batch_norm(unknown, ph(4), unknown)
    assert [t.shape.as_list() for t in outputs] == [[None, None, None, 4], [4], [4]]
