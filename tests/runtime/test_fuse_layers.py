"""Small dense layers of constant weights by the library: the same as one after another."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core import protos
from tfsession.devices import onednn
from tfsession.devices.blas import square_sum
from tfsession.kernels import matmul_library
from tfsession.runtime import fuse_layers

pytestmark = pytest.mark.onednn

OPTIONS = tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
L0 = tf.ConfigProto(graph_options=tf.GraphOptions(optimizer_options=OPTIONS))


@pytest.fixture(params=["onednn"])
def library(request):
    """Only where the library multiplies by loops of its own, as with AVX-512."""
    if not matmul_library.has_own_loops(onednn.dnn_library(np)):
        pytest.skip("products are left to BLAS: no layer is computed at once")
    return request.param


@pytest.fixture
def ran(monkeypatch):
    """Counts the groups that have run, by whether they gave something."""
    counted = Counter()
    computed = fuse_layers.Layered.computed

    def counting(group, *arguments):
        compute = computed(group, *arguments)

        def count(*values):
            found = compute(*values)
            counted[found is not None] += 1
            return found

        return count

    monkeypatch.setattr(fuse_layers.Layered, "computed", counting)
    return counted


@st.composite
def networks(draw):
    widths = st.sampled_from([10, 64, 300, 512])
    layers = st.tuples(widths, st.sampled_from([None, "bias_add", "add"]), st.booleans())
    return {
        "rows": draw(st.sampled_from([2, 8, 17, 40])),
        "inner": draw(st.sampled_from([200, 500])),
        "layers": draw(st.lists(layers, min_size=1, max_size=4)),
        "scale": draw(st.sampled_from([1, 1, 1, 1e-20, 1e18, 1e30])),
        "hole": draw(st.sampled_from([None, None, None, np.nan, np.inf, -np.inf])),
    }


def _network(rows, inner, layers, scale, hole, weights=tf.constant):
    rng = np.random.default_rng(0)
    x = rng.normal(0, scale, (rows, inner)).astype(np.float32)
    if hole is not None:
        x[1, 2] = hole
    y = fed = tf.placeholder(tf.float32, [None, inner])
    for width, bias, is_rectified in layers:
        y = tf.matmul(y, weights(rng.normal(size=(inner, width)).astype(np.float32)))
        vector = weights(rng.normal(size=width).astype(np.float32))
        if bias is not None:
            y = tf.nn.bias_add(y, vector) if bias == "bias_add" else y + vector
        y, inner = tf.nn.relu(y) if is_rectified else y, width
    return y, {fed: x}


def _both(y, feeds):
    found = []
    for config in (None, L0):
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            found.append([session.run(y, feeds) for _ in range(2)])
            np.testing.assert_array_equal(*found[-1])
    return found[0][0], found[1][0]


def same_bits(one, other):
    """Of what is a number; which NaN it is depends on where arrays lie."""
    assert np.array_equal(np.isnan(one), np.isnan(other))
    bits = [np.where(np.isnan(array), 0, array).astype(np.float32) for array in (one, other)]
    np.testing.assert_array_equal(*[array.view(np.uint32) for array in bits])


def test_layers_give_what_their_operations_give(library, ran):
    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(networks())
    def check(network):
        with tf.Graph().as_default(), tf.device("/cpu:0"), np.errstate(all="ignore"):
            one, other = _both(*_network(**network))
        same_bits(one, other)

    check()
    assert ran[True]


@pytest.mark.parametrize("weights", [tf.constant, tf.Variable])
def test_blocks_of_many_rows_give_what_all_give(library, ran, monkeypatch, weights):
    monkeypatch.setattr(fuse_layers, "_LEAST_WORK", 1 << 20)
    monkeypatch.setattr(fuse_layers, "_BLOCK", 1 << 23)

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(networks(), st.integers(150, 900))
    def check(network, rows):
        network["rows"] = rows
        with tf.Graph().as_default(), tf.device("/cpu:0"), np.errstate(all="ignore"):
            one, other = _both(*_network(**network, weights=weights))
        same_bits(one, other)

    check()
    assert ran[True]


def _layers(x, constants=True):
    rng = np.random.default_rng(1)
    for _ in range(3):
        w = rng.normal(0, 0.1, (300, 300)).astype(np.float32)
        x = tf.nn.relu(tf.matmul(x, tf.constant(w) if constants else tf.Variable(w)))
    return x


X = np.random.default_rng(2).normal(size=(40, 300)).astype(np.float32)


def test_what_is_not_finite_is_left_to_the_operations(fresh_graph, library, ran):
    with tf.device("/cpu:0"), tf.Session() as session, tf.Session(config=L0) as plain:
        x = tf.placeholder(tf.float32, [None, 300])
        y = _layers(x)
        images = X.copy()
        session.run(y, {x: X})
        assert ran == {True: 1}
        images[3, 4] = np.nan
        found = session.run(y, {x: images})
        assert np.isnan(found[3]).any()
        assert np.isfinite(found[4:]).all()
        np.testing.assert_array_equal(found, plain.run(y, {x: images}))
    assert ran == {True: 1, False: 1}


def test_sizes_that_gain_nothing_are_left_to_the_operations(fresh_graph, library, ran):
    with tf.device("/cpu:0"), tf.Session() as session, tf.Session(config=L0) as plain:
        x = tf.placeholder(tf.float32, [None, None])
        y = _layers(x)
        for batch in (X[:1], X[:5], X[:0], X[:, ::2].repeat(2, 1), X):
            found = session.run(y, {x: batch})
            np.testing.assert_array_equal(found, plain.run(y, {x: batch}))
        with pytest.raises(tf.errors.InvalidArgumentError, match="MatMul"):
            session.run(y, {x: X[:, :200]})
    # Five rows are too little work, one and none are not looked at; in the end rows are too short.
    assert ran == {True: 2, False: 2}


def test_only_constants_are_taken(fresh_graph, library, ran):
    with tf.device("/cpu:0"), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 300])
        y = _layers(x, constants=False)
        w = tf.constant(np.ones((300, 300), np.float32))
        z = tf.nn.relu(tf.matmul(x, w))
        session.run(tf.global_variables_initializer())
        session.run(y, {x: X})
        found = session.run(z, {x: X, w: np.zeros((300, 300))})
        assert not found.any()
    assert not ran


def test_what_is_read_elsewhere_is_there(fresh_graph, library, ran):
    with tf.device("/cpu:0"), tf.Session() as session, tf.Session(config=L0) as plain:
        x = tf.placeholder(tf.float32, [None, 300])
        y = _layers(x)
        inner = y.op.inputs[0].op.inputs[0]
        for fetches in ([y, inner], [y, y.op.inputs[0]], [inner]):
            found = session.run(fetches, {x: X})
            for value, other in zip(found, plain.run(fetches, {x: X}), strict=True):
                np.testing.assert_array_equal(value, other)
    assert ran == {True: 4}


def test_remapping_off_leaves_operations_alone(fresh_graph, library, ran):
    rewrite = protos.RewriterConfig(remapping=protos.RewriterConfig.OFF)
    config = tf.ConfigProto(graph_options=tf.GraphOptions(rewrite_options=rewrite))
    with tf.device("/cpu:0"), tf.Session(config=config) as session:
        x = tf.placeholder(tf.float32, [None, 300])
        session.run(_layers(x), {x: X})
    assert not ran


def test_threads_share_a_session(fresh_graph, library, ran):
    with tf.device("/cpu:0"), tf.Session() as session, tf.Session(config=L0) as plain:
        x = tf.placeholder(tf.float32, [None, 300])
        y = _layers(x)
        batches = [X * number for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda batch: session.run(y, {x: batch}), batches * 5))
        for value, batch in zip(found, batches * 5, strict=True):
            np.testing.assert_array_equal(value, plain.run(y, {x: batch}))
    assert ran == {True: 40}


@pytest.mark.parametrize("size", [0, 1, 1000, 8192, 8193, 30000])
def test_squares_are_summed(size):
    vector = np.random.default_rng(3).normal(size=size).astype(np.float32)
    assert square_sum(vector) == pytest.approx(np.square(vector, dtype=np.float64).sum(), rel=1e-5)
    if size:
        vector[-1] = np.inf
        assert square_sum(vector) == np.inf
        vector[0] = np.nan
        assert np.isnan(square_sum(vector))
