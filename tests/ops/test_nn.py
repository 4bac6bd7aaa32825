"""Activations, softmax, biases, norms of single tensors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, INTS, Row, case_name, check_row, floats, row_cases, value

# What oneDNN can compute, it computes, too.
ONEDNN = True

REALS = FLOATS + INTS
EDGES = value([[-np.inf, -30.0, -1.5, -0.0], [0.25, 7.0, 30.0, np.inf]])


def wide(function):
    """A reference that computes in float64."""
    return lambda *arrays, **kwargs: function(*(a.astype(np.float64) for a in arrays), **kwargs)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x, axis=-1):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _activation(op, name, reference, dtypes=FLOATS, **kwargs):
    path = f"nn.{name}"
    return [
        Row(op, path, [floats(3, 5)], kwargs, dtypes, wide(reference), grad=True),
        Row(op, path, [floats()], kwargs, ("float32", "float64"), wide(reference), label="scalar"),
        Row(op, path, [floats(0, 4)], kwargs, ("float32",), wide(reference), label="empty"),
    ]


def _edges(op, name, reference, **kwargs):
    return Row(op, f"nn.{name}", [EDGES], kwargs, ("float32", "float64"), reference, label="edges")


def _of_gradient(op, name, dtypes=FLOATS, shape=(3, 4), oracle=True, **kwargs):
    """The op by which another is differentiated, as tf.gradients makes it."""

    def build(module, x, weights):
        function = getattr(module.nn, name)
        return module.gradients(function(x, **kwargs), x, weights)[0]

    return Row(op, build, [floats(*shape, low=-8, high=8), floats(*shape)], {}, dtypes, same_graph=
               "rules name their nodes otherwise", grad=set(dtypes) <= set(FLOATS),
               label=str(kwargs or ""), oracle=oracle)  # fmt: skip


def _direct(op, reference):
    """The op by itself, on integers, which tf.gradients leaves alone."""
    return Row(op, lambda _, *inputs: create_op(op, inputs), [floats(5, 4), floats(5, 4, high=8)],
               {}, INTS, reference, oracle="it has no public builder", label="direct")  # fmt: skip


def _leaky(x, alpha=0.2):
    return np.where(x > 0, x, np.float32(alpha) * x)  # attributes are float32


def _selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


def _elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _softplus(x):
    return np.logaddexp(x, 0)


ACTIVATIONS = [
    *_activation("Relu", "relu", lambda x: np.maximum(x, 0), REALS),
    *_activation("Relu6", "relu6", lambda x: np.clip(x, 0, 6), REALS),
    *_activation("LeakyRelu", "leaky_relu", _leaky),
    *_activation("Elu", "elu", _elu),
    *_activation("Selu", "selu", _selu),
    *_activation("Softplus", "softplus", _softplus),
    *_activation("Softsign", "softsign", lambda x: x / (1 + np.abs(x))),
    _edges("Relu", "relu", lambda x: np.maximum(x, 0)),
    _edges("Relu6", "relu6", lambda x: np.clip(x, 0, 6)),
    _edges("LeakyRelu", "leaky_relu", _leaky),
    _edges("Elu", "elu", _elu),
    _edges("Selu", "selu", _selu),
    _edges("Softplus", "softplus", _softplus),
    *(
        Row("LeakyRelu", "nn.leaky_relu", [floats(4, 3)], {"alpha": alpha}, FLOATS,
            wide(_leaky), grad=True, label=f"alpha{alpha}")
        for alpha in (0.0, 1.0, 1.5, -0.5)
    ),
    Row("LeakyRelu", "nn.leaky_relu", [floats(3, dtype="int32")], label="integers"),
    Row("Relu", "nn.crelu", [floats(2, 3)], {}, FLOATS, grad=True, label="crelu"),
    Row("Relu", "nn.crelu", [floats(2, 3)], {"axis": 0}, grad=True, label="crelu-first"),
    Row("Softplus", "math.log_sigmoid", [floats(2, 3)], {}, FLOATS, grad=True, label="log_sigmoid"),
    Row("IdentityN", "nn.swish", [floats(2, 3)], {}, FLOATS, grad=True, label="swish"),
    Row("IdentityN", "nn.swish", [floats(2, 3), floats()], grad=True, label="swish-beta"),
    Row("IdentityN", "nn.silu", [floats(2, 3), floats(3)], grad=True, label="silu-betas",
        oracle="TensorFlow sums the gradients of all betas"),
    _of_gradient("ReluGrad", "relu"),
    _of_gradient("Relu6Grad", "relu6"),
    _direct("ReluGrad", lambda g, x: g * (x > 0)),
    _direct("Relu6Grad", lambda g, x: g * ((x > 0) & (x < 6))),
    _of_gradient("LeakyReluGrad", "leaky_relu"),
    _of_gradient("LeakyReluGrad", "leaky_relu", ("float64",), (2, 3, 2), alpha=2.0),
    _of_gradient("EluGrad", "elu"),
    _of_gradient("SeluGrad", "selu"),
    _of_gradient("SoftplusGrad", "softplus"),
    _of_gradient("SoftsignGrad", "softsign", oracle="TensorFlow knows no second derivative"),
]  # fmt: skip


def _soft(op, name, reference):
    path = f"nn.{name}"
    return [
        Row(op, path, [floats(3, 5)], {}, FLOATS, wide(reference), grad=True),
        Row(op, path, [floats(2, 70, low=-9, high=9)], {}, FLOATS, wide(reference), label="wide"),
        Row(op, path, [floats(7)], {}, ("float32",), wide(reference), grad=True, label="vector"),
        Row(op, path, [floats(2, 3, 4)], {}, ("float32",), wide(reference), label="cube"),
        Row(op, path, [floats(3, 1)], {}, ("float32",), wide(reference), label="one-class"),
        Row(op, path, [floats(0, 4)], {}, FLOATS, label="empty"),
        Row(op, path, [floats(4, 0)], {}, ("float32",), label="no-class"),
        Row(op, path, [floats(3, 2, low=900, high=1000)], reference=wide(reference), label="large"),
        *(
            Row(op, path, [floats(2, 3, 4)], {"axis": axis}, ("float32", "float64"),
                wide(reference), grad=True, label=f"axis{axis}")
            for axis in (0, 1, 2, -2)
        ),
        Row(op, path, [floats(2, 3)], {"dim": 0}, label="dim"),
    ]  # fmt: skip


def _bias_rows():
    numbers = (*REALS, "complex64", "complex128")
    for dtype_set, label in ((numbers, ""), (("float32",), "named")):
        kwargs = {"name": "biased"} if label else {}
        yield Row("BiasAdd", "nn.bias_add", [floats(2, 3), floats(3)], kwargs, dtype_set,
                  grad=not label, label=label)  # fmt: skip
    for layout, shape, channels in (
        ("NHWC", (2, 2, 3, 4), 4), ("NCHW", (2, 4, 2, 3), 4), ("NC...", (2, 3, 2), 3),
        ("N...C", (2, 1, 3), 3), ("NHWC", (0, 3), 3), ("NCHW", (2, 3, 0), 3), ("NHWC", (2, 0), 0),
    ):  # fmt: skip
        yield Row("BiasAdd", "nn.bias_add", [floats(*shape), floats(channels)],
                  {"data_format": layout}, ("float32", "float64"), grad=0 not in shape,
                  label=f"{layout}{shape}")  # fmt: skip


def _bias_gradient(layout):
    def build(module, x, bias, weights):
        return module.gradients(module.nn.bias_add(x, bias, layout), bias, weights)[0]

    return build


SAME_SUMS = "rules name their nodes otherwise"
ROWS = [
    *ACTIVATIONS,
    *_soft("Softmax", "softmax", softmax),
    *_soft("LogSoftmax", "log_softmax", log_softmax),
    *_bias_rows(),
    Row("BiasAddGrad", _bias_gradient("NHWC"), [floats(4, 3), floats(3), floats(4, 3)], {},
        (*FLOATS, "complex64"), same_graph=SAME_SUMS),
    Row("BiasAddGrad", lambda _, x: create_op("BiasAddGrad", [x]), [floats(4, 3)], {}, INTS,
        lambda x: x.sum(axis=0), oracle="it has no public builder", label="direct"),
    Row("BiasAddGrad", _bias_gradient("NHWC"), [floats(2, 2, 3), floats(3), floats(2, 2, 3)],
        grad=True, same_graph=SAME_SUMS, label="second"),
    Row("BiasAddGrad", _bias_gradient("NCHW"), [floats(2, 3, 2, 2), floats(3), floats(2, 3, 2, 2)],
        {}, FLOATS, grad=True, same_graph=SAME_SUMS, label="NCHW"),
    *(
        Row("BiasAddGrad", _bias_gradient(layout), [floats(*shape), floats(3), floats(*shape)],
            same_graph=SAME_SUMS, label=f"{layout}{shape}")
        for layout, shape in (("NHWC", (0, 3)), ("NHWC", (4, 0, 3)), ("NCHW", (0, 3, 2)),
                              ("NCHW", (2, 3, 0, 1)))
    ),
    Row("L2Loss", "nn.l2_loss", [floats(3, 4)], {}, FLOATS, wide(lambda t: (t * t).sum() / 2),
        grad=True),
    Row("L2Loss", "nn.l2_loss", [floats()], grad=True, label="scalar"),
    Row("L2Loss", "nn.l2_loss", [floats(0, 2)], {}, FLOATS, label="empty"),
    Row("BiasAdd", "nn.xw_plus_b", [floats(2, 3), floats(3, 4), floats(4)], grad=True, label="xw"),
    Row("Relu", "nn.relu_layer", [floats(2, 3), floats(3, 4), floats(4)], grad=True, label="layer"),
    Row("Rsqrt", "nn.l2_normalize", [floats(3, 4)], {}, FLOATS, grad=True, label="l2_normalize"),
    Row("Rsqrt", "nn.l2_normalize", [floats(3, 4)], {"axis": [1], "epsilon": 1e-3}, grad=True,
        label="l2_normalize-axis"),
    Row("Rsqrt", "nn.l2_normalize", [floats(3, 4)], {"dim": 0}, ("float32", "complex64"),
        label="l2_normalize-dim"),
    Row("NotEqual", "nn.zero_fraction", [floats(5, 6, low=0, high=2)], {}, (*INTS, "float32"),
        same_graph="TensorFlow chooses between int32 and int64 with tf.cond", label="zeros"),
    Row("NotEqual", "nn.zero_fraction", [floats(0)], same_graph="as above", label="zeros-empty"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape, dtype="float32"):
    return tf.placeholder(dtype, shape)


BAD = [
    (lambda: tf.nn.softmax(ph()), ValueError, "Shape must be at least rank 1 but is rank 0"),
    (lambda: tf.nn.softmax(ph(2, 3), axis=0, dim=0), ValueError, "Cannot specify both 'dim' and"),
    (lambda: tf.nn.softmax(ph(2, 3), axis=2), tf.errors.InvalidArgumentError,
     r"`dim` must be in the range \[-2, 2\) where 2 is the number of dimensions"),
    (lambda: tf.nn.log_softmax(ph(2, 3, dtype="int32")), TypeError, "'logits' has DataType int32"),
    (lambda: tf.nn.elu(ph(2, dtype="int32")), TypeError, "'features' has DataType int32 not in"),
    (lambda: tf.nn.leaky_relu(ph(2), alpha="x"), TypeError, "Expected float for argument 'alpha'"),
    (lambda: tf.nn.bias_add(ph(2, 3), ph(4)), ValueError, "must be equal, but are 3 and 4"),
    (lambda: tf.nn.bias_add(ph(3), ph(3)), ValueError, "at least rank 2 but is rank 1"),
    (lambda: tf.nn.bias_add(ph(2, 3), ph(1, 3)), ValueError, "must be rank 1 but is rank 2"),
    (lambda: tf.nn.bias_add(ph(2, 3), ph(3), "NCHW"), ValueError, "at least rank 3 but is rank 2"),
    (lambda: tf.nn.bias_add(ph(2, 4, 4, 3), ph(3), "NCHW"), ValueError, "but are 4 and 3"),
    (lambda: tf.nn.bias_add(ph(2, 3), ph(3), "CHWN"), ValueError, "must be of the form `N...C` or"),
    (lambda: tf.nn.bias_add(ph(2, 3), ph(3, dtype="float64")), ValueError, "requested dtype float"),
    (lambda: tf.nn.crelu(ph()), ValueError, "Can't concatenate scalars"),
    (lambda: tf.nn.l2_normalize(ph(2), axis=0, dim=0), ValueError, "Cannot specify both 'dim'"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "error", "phrase"), BAD)
def test_refused_when_built(build, error, phrase, fresh_graph):
    with pytest.raises(error, match=phrase):
        build()


RUN_TIME = [
    ("Softmax", [()], {}, r"logits must have >= 1 dimension, got \[\]"),
    ("LogSoftmax", [()], {}, r"logits must have >= 1 dimension, got \[\]"),
    ("BiasAdd", [(3,), (3,)], {}, r"Input tensor must be at least 2D: \[3\]"),
    ("BiasAdd", [(2, 3), (1, 3)], {}, r"Biases must be 1D: \[1,3\]"),
    ("BiasAdd", [(2, 3), (4,)], {}, r"last dimension of the input tensor: \[4\] vs. \[2,3\]"),
    ("BiasAdd", [(2, 3, 2), (2,)], {"data_format": b"NCHW"}, r": \[2\] vs. \[2,3,2\]"),
    ("BiasAddV1", [(2, 3), (4,)], {}, r"last dimension of the input tensor: \[4\] vs. \[2,3\]"),
    ("BiasAddGrad", [(3,)], {}, r"Input tensor must be at least 2D: \[3\]"),
    *((op, [(6,), (2, 3)], {}, r"same size and shape.  Input 0: \[6\] != input 1: \[2,3\]")
      for op in ("ReluGrad", "Relu6Grad", "LeakyReluGrad", "EluGrad", "SeluGrad", "SoftplusGrad",
                 "SoftsignGrad")),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shapes", "attrs", "phrase"), RUN_TIME)
def test_refused_when_run(op, shapes, attrs, phrase, device, fresh_graph):
    inputs = [tf.placeholder("float32") for _ in shapes]
    with tf.device(device):
        result = create_op(op, inputs, attrs)
    feeds = {key: np.ones(shape, "float32") for key, shape in zip(inputs, shapes, strict=True)}
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, feeds)


def test_the_first_bias_op_adds_along_the_last_dimension(device, fresh_graph):
    with tf.device(device):
        value, bias = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([10.0, 20.0])
        total = create_op("BiasAddV1", [value, bias])
        grads = tf.gradients(total, [value, bias])
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        found = session.run([total, *grads])
    assert [array.tolist() for array in found] == [[[11, 22], [13, 24]], [[1, 1], [1, 1]], [2, 2]]


COVERED = ("BiasAddV1",)


def test_softmax_sees_the_axis_only_when_it_runs(fresh_graph):
    logits, axis = tf.placeholder("float64"), tf.placeholder("int32", [])
    results = [
        tf.nn.softmax(logits, axis=axis),
        tf.nn.softmax(logits, axis=0),
        tf.nn.softmax(logits, axis=-1),
    ]
    array = np.arange(6.0).reshape(2, 3) ** 2
    with tf.Session() as session:
        for chosen in (0, 1, -1, -2):
            found = session.run(results, {logits: array, axis: chosen})
            wanted = [softmax(array, chosen), softmax(array, 0), softmax(array)]
            np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_infinite_logits_are_certain_or_impossible(device, fresh_graph):
    with tf.device(device):
        logits = tf.constant([[-np.inf, 0.0], [np.inf, 0.0]])
        result = tf.nn.softmax(logits)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        first, second = session.run(result)
    assert first.tolist() == [0.0, 1.0]
    assert np.isnan(second).all()


def test_the_gradient_of_a_rectified_number(device, fresh_graph):
    """Computed from another number: NumPy has scalars there, which nothing is written to."""
    with tf.device(device):
        x = tf.placeholder(tf.float32, [])
        (grad,) = tf.gradients(tf.nn.relu(x * 2.0) * 3.0, x)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        assert [session.run(grad, {x: value}) for value in (2.0, -1.0)] == [6.0, 0.0]


@pytest.mark.parametrize("shape", [(70_001, 5), (9, 100, 100, 33), (1100, 300)])
def test_the_gradient_of_a_bias_sums_many_rows(shape, fresh_graph):
    value = np.random.default_rng(0).normal(1, 1, shape).astype(np.float32)
    with tf.device("/cpu:0"):
        y = create_op("BiasAddGrad", [tf.placeholder(tf.float32, shape, name="x")])
    with tf.Session() as session:
        found = session.run(y, {"x:0": value})
    wanted = value.reshape(-1, shape[-1]).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
