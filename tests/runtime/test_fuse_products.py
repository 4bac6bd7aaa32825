"""Products with what is done to them: what joins, and that it gives what the operations give."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.rules import fusers
from tfsession.devices import cublaslt
from tfsession.devices.simulated_array import SimulatedArray
from tfsession.runtime import fuse_products, source
from tfsession.testing import simulated_session

RELU, BIAS, GELU, SUM = cublaslt.RELU, cublaslt.BIAS, cublaslt.GELU, cublaslt.GRADIENT_OF_BIAS


def bert_gelu(x):
    return x * (0.5 * (1.0 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3)))))


def other_gelu(x):
    inner = tf.multiply(0.7978845608, x + x * x * x * 0.044715)
    return (x + x * tf.tanh(inner)) * 0.5


def exact_gelu(x):
    return 0.5 * x * (1.0 + tf.math.erf(x / np.sqrt(2.0).astype(np.float32)))


class Library:
    """What gemm.GemmLibrary promises, by the device's own functions; `lacks` is what it cannot."""

    def __init__(self, lacks=()):
        self.lacks = lacks
        self.calls = []

    def multiply(self, xp, left, right, out=None, *, epilogue=1, vector=None):
        self.calls.append(epilogue)
        assert isinstance(left, SimulatedArray)
        if epilogue in self.lacks or not left.size or not right.size:
            return None
        if left.shape[1] != right.shape[0]:
            return None
        found = xp.matmul(left, right)
        if epilogue & BIAS:
            found = found + vector
        if epilogue & RELU:
            found = xp.maximum(found, 0)
        if epilogue & GELU:
            inner = np.float32(np.sqrt(2 / np.pi)) * (found + np.float32(0.044715) * found**3)
            found = np.float32(0.5) * found * (1 + xp.tanh(inner))
        if epilogue == SUM:
            vector[...] = right.sum(axis=0)
        return found


@pytest.fixture
def library(monkeypatch):
    found = Library()
    monkeypatch.setattr(fuse_products, "gemm_library", lambda xp: found)
    return found


@pytest.fixture
def groups(monkeypatch):
    """The types of the operations of each group that was made."""
    made = []

    def noting(*arguments):
        nodes = fuse_products.fused_products(*arguments)
        joined = [node for node in nodes if isinstance(node, fuse_products.Products)]
        made.extend([part.op.type for part in node.parts] for node in joined)
        return nodes

    monkeypatch.setattr(source, "fused_products", noting)
    return made


X = np.linspace(-3, 3, 15, dtype=np.float32).reshape(5, 3)
W = np.linspace(2, -2, 12, dtype=np.float32).reshape(3, 4)
B = np.array([0.5, -0.25, 0, 1], np.float32)


def outcome(build, feed=X, steps=3):
    """What `build(x, w, b)` gives on a simulated GPU and on the CPU, in some steps."""
    found = []
    for device in ("/gpu:0", "/cpu:0"):
        with tf.Graph().as_default(), tf.device(device):
            x = tf.placeholder(tf.float32, [None, None])
            made = build(x, tf.constant(W), tf.constant(B))
            config = tf.ConfigProto(allow_soft_placement=True)
            with simulated_session(config=config) as session:
                found.append([session.run(made, {x: feed}) for _ in range(steps)][-1])
    return found


def assert_same(found, tolerance=2e-5):
    for one, other in zip(tf.nest.flatten(found[0]), tf.nest.flatten(found[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


FORWARDS = [
    (lambda x, w, b: tf.nn.bias_add(tf.matmul(x, w), b), BIAS),
    (lambda x, w, b: tf.matmul(x, w) + b, BIAS),
    (lambda x, w, b: b + tf.matmul(x, w), BIAS),
    (lambda x, w, b: tf.nn.relu(tf.matmul(x, w)), RELU),
    (lambda x, w, b: tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w), b)), BIAS | RELU),
    (lambda x, w, b: tf.maximum(0.0, tf.matmul(x, w) + b), BIAS | RELU),
    (lambda x, w, b: bert_gelu(tf.matmul(x, w) + b), BIAS | GELU),
    (lambda x, w, b: other_gelu(tf.matmul(x, w) + b), BIAS | GELU),
    (lambda x, w, b: other_gelu(tf.matmul(x, w)), GELU),
    (lambda x, w, b: tf.nn.relu6(tf.matmul(x, w) + b), BIAS),
    (lambda x, w, b: tf.nn.leaky_relu(tf.matmul(x, w) + b), BIAS),
    (lambda x, w, b: exact_gelu(tf.matmul(x, w) + b), BIAS),
    (lambda x, w, b: tf.nn.relu(tf.matmul(x, w) + b) * 2.0, BIAS | RELU),
    (lambda x, w, b: tf.nn.relu(tf.matmul(x, tf.transpose(w), transpose_b=True) + b), BIAS | RELU),
]


@pytest.mark.parametrize(("build", "epilogue"), FORWARDS)
def test_what_is_done_to_a_product(library, groups, build, epilogue):
    assert_same(outcome(build))
    assert library.calls[0] == epilogue
    assert len(set(library.calls)) == 1
    assert len(groups) == 1


APART = [
    lambda x, w, b: tf.matmul(x, w),
    lambda x, w, b: tf.tanh(tf.matmul(x, w)),
    lambda x, w, b: (lambda y: (y, y + b))(tf.matmul(x, w)),
    lambda x, w, b: (lambda y: tf.nn.relu(y) + y)(tf.matmul(x, w)),
    lambda x, w, b: tf.matmul(x, w) + b[:1],
    lambda x, w, b: tf.matmul(x, w) + tf.placeholder_with_default(b, None),
    lambda x, w, b: (
        tf.matmul(tf.cast(x, tf.float64), tf.cast(w, tf.float64)) + tf.cast(b, "double")
    ),
]


@pytest.mark.parametrize("build", APART)
def test_what_stays_apart(library, groups, build):
    assert_same(outcome(build))
    assert groups == []


def test_an_activation_is_left_where_others_read_what_leads_to_it(library, groups):
    def build(x, w, b):
        before = tf.matmul(x, w) + b
        return tf.nn.relu(before), tf.exp(before)

    assert_same(outcome(build))
    assert groups == [["MatMul", "AddV2"]]


def test_what_is_fetched_inside_is_there(library, groups):
    def build(x, w, b):
        before = tf.nn.bias_add(tf.matmul(x, w), b)
        return before, tf.nn.relu(before)

    assert_same(outcome(build))
    assert groups == [["MatMul", "BiasAdd"]]


def test_feeds_inside_are_taken(library, groups):
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        product = tf.matmul(tf.constant(X), tf.constant(W))
        result = tf.nn.relu(product + B)
        with simulated_session() as session:
            found = session.run(result, {product: np.ones((5, 4), np.float32)})
    np.testing.assert_allclose(found, np.maximum(1 + np.tile(B, (5, 1)), 0))


def dense_layers(optimizer, activation=tf.nn.relu, use_resource=False):
    def build(x):
        with tf.variable_scope("", use_resource=use_resource):
            init = tf.random_uniform_initializer(-1, 1, seed=3)
            hidden = tf.layers.dense(x, 6, activation, kernel_initializer=init)
            out = tf.layers.dense(hidden, 2, kernel_initializer=init)
        loss = tf.reduce_mean(tf.square(out))
        return optimizer().minimize(loss), loss

    return build


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize("activation", [tf.nn.relu, bert_gelu])
def test_training(library, groups, use_resource, activation):
    build = dense_layers(lambda: tf.train.MomentumOptimizer(0.1, 0.9), activation, use_resource)
    losses = []
    for device in ("/gpu:0", "/cpu:0"):
        with tf.Graph().as_default(), tf.device(device):
            x = tf.placeholder(tf.float32, [None, 3])
            step, loss = build(x)
            with simulated_session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
                session.run(tf.global_variables_initializer())
                losses.append([session.run([step, loss], {x: X})[1] for _ in range(6)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]
    assert groups.count(["BiasAddGrad", "MatMul"]) == 2
    assert library.calls.count(SUM) >= 4


LACKING = [{BIAS | RELU}, {SUM}, {BIAS, BIAS | RELU, SUM}]


@pytest.mark.parametrize("lacks", LACKING)
def test_what_the_library_lacks_is_computed_one_by_one(library, groups, lacks):
    library.lacks = lacks
    build = dense_layers(lambda: tf.train.GradientDescentOptimizer(0.1))
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None, 3])
        step, loss = build(x)
        with simulated_session() as session:
            session.run(tf.global_variables_initializer())
            losses = [session.run([step, loss], {x: X})[1] for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("shape", [(0, 3), (5, 7)])
def test_empty_and_wrong_inputs_are_those_of_the_operations(library, shape):
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32)
        result = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, tf.constant(W), name="product"), B))
        with simulated_session() as session:
            feed = {x: np.ones(shape, np.float32)}
            if shape == (0, 3):
                assert session.run(result, feed).shape == (0, 4)
                return
            with pytest.raises(tf.errors.InvalidArgumentError, match="product"):
                session.run(result, feed)
            assert session.run(result, {x: X}).shape == (5, 4)


def test_without_a_library_nothing_changes():
    for build, _ in FORWARDS:
        found = outcome(build)
        assert found[0].tobytes() == found[1].tobytes()


def test_a_simulated_device_counts_one_launch(fresh_graph, groups, monkeypatch):
    monkeypatch.setenv("TFSESSION_GPU_GRAPHS", "0")
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [5, 3])
        result = bert_gelu(tf.matmul(x, tf.constant(W)) + B)
        with simulated_session() as session:
            session.run(result, {x: X})
            with session.counting() as counted:
                session.run(result, {x: X + 1})
    assert len(groups) == 1
    assert counted["/gpu:0"].launches == 1


# --- convolutions ---------------------------------------------------------------------------------

IMAGES = np.random.default_rng(7).normal(size=(2, 5, 6, 3)).astype(np.float32)
FILTERS = np.random.default_rng(8).normal(size=(3, 2, 3, 4)).astype(np.float32)


def _convolved(x, w, **more):
    return tf.nn.conv2d(x, FILTERS, 1, "SAME", **more)


CONVOLUTIONS = [
    (lambda x, w, b: tf.nn.bias_add(_convolved(x, w), b), BIAS),
    (lambda x, w, b: tf.nn.relu(tf.nn.bias_add(_convolved(x, w), b)), BIAS | RELU),
    (lambda x, w, b: tf.nn.relu(_convolved(x, w) + b), BIAS | RELU),
    (lambda x, w, b: tf.nn.relu(_convolved(x, w)), RELU),
    (lambda x, w, b: bert_gelu(tf.nn.bias_add(_convolved(x, w), b)), BIAS | GELU),
]


def _on_gpu(build, steps=3):
    with tf.Graph().as_default(), tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None, None, None, 3])
        made = build(x, None, tf.constant(B))
        with simulated_session() as session:
            return [session.run(made, {x: IMAGES}) for _ in range(steps)][-1]


@pytest.mark.parametrize(("build", "epilogue"), CONVOLUTIONS)
def test_what_is_done_to_a_convolution(groups, monkeypatch, build, epilogue):
    told, taken = [], []

    def convolution(xp, op_type, attrs):
        told.append((op_type, attrs["padding"]))

        def computed(x, w, epilogue, bias):
            taken.append((epilogue, bias is not None))

        return computed

    known = {"convolution": convolution, "group": fusers["group"]}
    monkeypatch.setattr(fuse_products, "fusers", known)
    found = _on_gpu(build)
    assert len(groups) == 1
    assert set(told) == {("Conv2D", b"SAME")}
    assert set(taken) == {(epilogue, bool(epilogue & BIAS))}
    monkeypatch.setattr(source, "fused_products", lambda nodes, *_: nodes)
    np.testing.assert_array_equal(found, _on_gpu(build))


def test_a_convolution_that_others_read_stays_apart(groups):
    _on_gpu(lambda x, w, b: (lambda y: (y, tf.nn.relu(y)))(_convolved(x, w)))
    assert groups == []


def test_an_error_of_a_convolution_names_it(groups):
    def build(x, w, b):
        return tf.nn.relu(tf.nn.conv2d(x, tf.placeholder_with_default(W, None), 1, "SAME"))

    with pytest.raises(tf.errors.InvalidArgumentError, match="Conv2D"):
        _on_gpu(build)
    assert len(groups) == 1
