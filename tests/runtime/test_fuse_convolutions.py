"""Convolutions with what is done to their results, block by block: the same as one by one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core import protos
from tfsession.kernels import conv_library, conv_windows, conv_winograd
from tfsession.runtime import fuse_convolutions
from tfsession.runtime.fuse_chains import Chained
from tfsession.runtime.fuse_convolutions import Convolved

OPTIONS = tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
L0 = tf.ConfigProto(graph_options=tf.GraphOptions(optimizer_options=OPTIONS))


@pytest.fixture
def ran(monkeypatch):
    """Counts the groups that have run, by the types of what is in them; all that can be are."""
    counted = Counter()

    def kinds_of(group):
        if isinstance(group, Chained):
            return [kinds for part in group.parts for kinds in kinds_of(part)]
        if not isinstance(group, Convolved):
            return []
        return ["+".join(part.op.type for part in group.parts)]

    def counting(kind):
        computed = kind.computed

        def replaced(group, *arguments):
            compute = computed(group, *arguments)

            def count(*values):
                found = compute(*values)
                if found is not None:
                    counted.update(kinds_of(group))
                elif kind is Convolved:
                    counted.update(f"not {kinds}" for kinds in kinds_of(group))
                return found

            return count

        monkeypatch.setattr(kind, "computed", replaced)

    counting(Convolved)
    counting(Chained)
    monkeypatch.setattr(fuse_convolutions, "_SMALL", 1)
    monkeypatch.setattr(conv_windows, "BLOCK", 4096)
    monkeypatch.setattr(conv_windows, "BLOCK_BYTES", 1024)
    monkeypatch.setattr(conv_winograd, "_BLOCK", 1 << 16)
    monkeypatch.setattr(conv_winograd, "_START", -(10**12))
    monkeypatch.setattr(conv_library, "_LEAST_BLOCK", 1 << 12)
    monkeypatch.setattr(conv_library, "_LEAST_PIECE", 1 << 11)
    conv_winograd.suits.cache_clear()
    conv_library._plan.cache_clear()
    yield counted
    conv_winograd.suits.cache_clear()
    conv_library._plan.cache_clear()


def _both(fetches, feeds, graph=None):
    """What a session gives, and one that does one operation after another; twice each."""
    found = []
    for config in (None, L0):
        with tf.Session(graph=graph, config=config) as session:
            session.run(tf.global_variables_initializer())
            first = session.run(fetches, feeds)
            again = session.run(fetches, feeds)
        for value, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(value, other)
        found.append(again)
    return found


STEPS = ["bias", "vector", "scale", "shortcut", "relu", "relu6", "number", "norm", "slope"]


@st.composite
def chains(draw):
    size, depth = draw(st.integers(5, 11)), draw(st.sampled_from([1, 3, 8]))
    return {
        "shape": (draw(st.integers(1, 3)), size, draw(st.integers(5, 9)), depth),
        "filters": (*draw(st.sampled_from([(1, 1), (3, 3), (5, 2)])), depth),
        "out_depth": draw(st.sampled_from([1, 4, 12])),
        "stride": draw(st.sampled_from([1, 1, 2])),
        "padding": draw(st.sampled_from(["SAME", "VALID"])),
        "steps": draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)),
        "weights": draw(st.sampled_from([tf.constant, tf.Variable])),
        "holes": draw(st.sampled_from([None, None, np.nan, np.inf, -np.inf])),
        "has_two": draw(st.booleans()),
    }


def _program(shape, filters, out_depth, stride, padding, steps, weights, holes, has_two):
    rng = np.random.default_rng(0)

    def vector():
        return weights(rng.normal(size=out_depth).astype(np.float32))

    images = rng.normal(size=shape).astype(np.float32)
    if holes is not None:
        images[0, 0, 0, 0] = holes
    x = tf.placeholder(tf.float32, [None, None, None, shape[-1]])
    w = rng.normal(size=(*filters, out_depth)).astype(np.float32)
    y = tf.nn.conv2d(x, weights(w), [1, stride, stride, 1], padding)
    other = tf.nn.conv2d(x, weights(w[::-1]), [1, stride, stride, 1], padding)
    made = [y]
    for step in steps:
        if step == "bias":
            y = tf.nn.bias_add(y, vector())
        elif step == "vector":
            y = vector() + y
        elif step == "scale":
            y = y * vector()
        elif step == "shortcut":
            y = y + other
        elif step == "relu":
            y = tf.nn.relu(y)
        elif step == "relu6":
            y = tf.nn.relu6(y)
        elif step == "number":
            y = tf.constant(2.5) - y
        elif step == "slope":
            y = tf.nn.leaky_relu(y)
        else:
            norm = tf.nn.fused_batch_norm
            y = norm(y, vector(), vector(), vector(), tf.abs(vector()), 0.1, is_training=False)[0]
        made.append(y)
    return [y, made[len(made) // 2]] if has_two else [y], {x: images}


@pytest.mark.parametrize("library", ["numpy", pytest.param("onednn", marks=pytest.mark.onednn)])
def test_what_is_done_to_blocks_is_what_is_done_one_by_one(ran, library):
    @settings(max_examples=60, deadline=None, database=None)
    @given(chains())
    def check(chain):
        with tf.Graph().as_default(), tf.device("/cpu:0"):
            one, other = _both(*_program(**chain))
        for fused, plain in zip(one, other, strict=True):
            if "norm" in chain["steps"]:
                where = np.isfinite(plain)
                assert chain["holes"] is not None or np.isfinite(fused).all()
                np.testing.assert_allclose(fused[where], plain[where], rtol=2e-4, atol=2e-4)
            else:
                np.testing.assert_array_equal(fused.view(np.uint32), plain.view(np.uint32))

    check()
    assert any(not kinds.startswith("not") for kinds in ran)


# --- what stands in a group -----------------------------------------------------------------------


def _network(x, weights=tf.constant):
    """A block of a residual network: two convolutions with their norms, and a shortcut."""
    rng = np.random.default_rng(1)

    def conv(x, extent):
        w = rng.normal(0, 0.1, (extent, extent, 8, 8)).astype(np.float32)
        y = tf.nn.conv2d(x, weights(w), [1, 1, 1, 1], "SAME")
        vectors = [weights(rng.uniform(0.5, 1.5, 8).astype(np.float32)) for _ in range(4)]
        return tf.nn.fused_batch_norm(y, *vectors, is_training=False)[0]

    inner = tf.nn.relu(conv(x, 3))
    return tf.nn.relu(conv(inner, 3) + conv(x, 1))


X = np.random.default_rng(2).normal(size=(2, 9, 9, 8)).astype(np.float32)


@pytest.mark.parametrize("weights", [tf.constant, tf.Variable])
def test_a_residual_block_is_three_groups(fresh_graph, ran, weights):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 9, 9, 8])
        one, other = _both(_network(x, weights), {x: X})
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    norm = "Conv2D+FusedBatchNormV3"
    assert ran == {f"{norm}+Relu": 2, f"{norm}+AddV2+Relu": 2, norm: 2}


def test_remapping_off_leaves_operations_alone(fresh_graph, ran):
    rewrite = protos.RewriterConfig(remapping=protos.RewriterConfig.OFF)
    config = tf.ConfigProto(graph_options=tf.GraphOptions(rewrite_options=rewrite))
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 9, 9, 8])
        y = _network(x)
    with tf.Session(config=config) as session, tf.Session(config=L0) as plain:
        np.testing.assert_array_equal(session.run(y, {x: X}), plain.run(y, {x: X}))
    assert not ran


def test_variables_that_change_change_what_is_computed(fresh_graph, ran):
    with tf.device("/cpu:0"):
        w, v = tf.Variable(np.ones((3, 3, 8, 4), np.float32)), tf.Variable(np.ones(4, np.float32))
        y = tf.nn.conv2d(X, w, [1, 1, 1, 1], "SAME")
        y = tf.nn.fused_batch_norm(y, v, v, v, v, is_training=False)[0]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            before = session.run(y)
            session.run([w.assign(w * 2.0), v.assign(v * 3.0)])
            after = session.run(y)
            expected = (2 * ((before - 1) * np.sqrt(1.001) + 1) - 3) / np.sqrt(3.001) * 3 + 3
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4)
    assert ran == {"Conv2D+FusedBatchNormV3": 2}


def test_a_constant_that_is_fed_is_read(fresh_graph, ran):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 9, 9, 8])
        w, v = tf.constant(np.ones((3, 3, 8, 4), np.float32)), tf.constant(np.ones(4, np.float32))
        bias = tf.constant(np.ones(4, np.float32))
        y = tf.nn.bias_add(tf.nn.conv2d(x, w, [1, 1, 1, 1], "SAME"), bias)
        y = tf.nn.fused_batch_norm(y, v, v, v, v, is_training=False)[0]
    with tf.Session() as session, tf.Session(config=L0) as plain:
        for fed in (v, w, bias):
            for number in (1, 3):
                feeds = {x: X, fed: np.full(fed.shape, number, np.float32)}
                expected = plain.run(y, feeds)
                np.testing.assert_allclose(session.run(y, feeds), expected, rtol=1e-4, atol=1e-4)
    assert ran == {"Conv2D+BiasAdd+FusedBatchNormV3": 6}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("library", ["numpy", pytest.param("onednn", marks=pytest.mark.onednn)])
def test_gradients_go_through_activations_block_by_block(fresh_graph, ran, library, stride):
    rng = np.random.default_rng(3)
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, None, None, 8])
        y, weights = x, []
        for extent, step in ((3, 1), (3, stride), (1, 1)):
            w = tf.Variable(rng.normal(size=(extent, extent, 8, 8)).astype(np.float32))
            y = tf.nn.relu(tf.nn.conv2d(y, w, [1, step, step, 1], "SAME"))
            y = tf.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "SAME") if extent == 3 else y
            weights.append(w)
        z = tf.nn.relu(tf.nn.conv2d(y, weights[-1], [1, 1, 1, 1], "SAME"))
        grads = tf.gradients(tf.reduce_sum(z * z), weights)
        one, other = _both(grads, {x: rng.normal(size=(3, 21, 18, 8)).astype(np.float32)})
    for fused, plain in zip(one, other, strict=True):
        np.testing.assert_array_equal(fused.view(np.uint32), plain.view(np.uint32))
    assert ran == {"Conv2D+Relu": 8, "MaxPoolGrad+ReluGrad": 4, "Conv2DBackpropInput+ReluGrad": 2}


@pytest.mark.parametrize("library", ["numpy", pytest.param("onednn", marks=pytest.mark.onednn)])
def test_nan_goes_through_an_activation(fresh_graph, ran, library):
    images = np.array(X)
    images[0, 4, 4, 0] = np.nan
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 9, 9, 8])
        y = tf.nn.conv2d(x, np.ones((3, 3, 8, 4), np.float32), [1, 1, 1, 1], "SAME")
        y = tf.nn.relu(tf.nn.bias_add(y, np.ones(4, np.float32)))
    one, other = _both(y, {x: images})
    assert np.isnan(one).sum() == 9 * 4
    np.testing.assert_array_equal(one, other)


def test_an_error_names_the_operation(fresh_graph, ran):
    with tf.device("/cpu:0"):
        x, bias = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
        y = tf.nn.conv2d(x, np.ones((3, 3, 8, 4), np.float32), [1, 1, 1, 1], "SAME")
        y = tf.nn.relu(tf.nn.bias_add(y, bias, name="biased"))
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="last dimension") as caught:
            session.run(y, {x: X, bias: np.ones(5)})
        assert caught.value.op.name == "biased"
        with pytest.raises(tf.errors.InvalidArgumentError, match="evenly divisible"):
            session.run(y, {x: X[..., :3], bias: np.ones(4)})
        assert session.run(y, {x: X, bias: np.ones(4)}).shape == (2, 9, 9, 4)
    assert ran["Conv2D+BiasAdd+Relu"] == 1


def test_what_is_read_elsewhere_or_awaited_stays(fresh_graph, ran):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 9, 9, 8])
        c = tf.nn.conv2d(x, np.ones((3, 3, 8, 8), np.float32), [1, 1, 1, 1], "SAME")
        with tf.control_dependencies([c]):
            other = tf.identity(tf.random.uniform([]))
        y = tf.nn.relu(c)
        z = tf.nn.relu(tf.nn.conv2d(y, np.ones((3, 3, 8, 8), np.float32), [1, 1, 1, 1], "SAME"))
        with tf.Session() as session:
            session.run([y, z, other], {x: X})
            session.run([z, c], {x: X})
    assert ran == {"Conv2D+Relu": 2}


def test_a_device_with_a_limit_counts_what_each_operation_makes(fresh_graph, ran):
    options = {"memory_limits": {"/cpu:0": "64MiB"}}
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 9, 9, 8])
        c = tf.nn.conv2d(x, np.ones((3, 3, 8, 8), np.float32), [1, 1, 1, 1], "SAME")
        y = tf.nn.relu(c)
    with tf.Session(config=tf.ConfigProto(device_options=options)) as session:
        session.run(y, {x: X})
    assert not ran
