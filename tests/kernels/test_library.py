"""What oneDNN computes is what the kernels' own texts compute, whatever the shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.devices import onednn
from tfsession.kernels import (
    conv,
    conv_library,
    depthwise,
    matmul,
    matmul_library,
    nn,
    norm,
    pool,
    pool_windows,
)

pytestmark = pytest.mark.onednn

sizes = st.integers(1, 9)


def close(found, expected, scale=1.0):
    """Equal but for rounding, relative to the greatest element."""
    for f, e in zip(found, expected, strict=True):
        most = float(np.abs(e[np.isfinite(e)]).max(initial=0)) + scale
        np.testing.assert_allclose(f, e, rtol=1e-5, atol=2e-6 * most)


def both(compute):
    """What oneDNN makes of it, and what NumPy alone does."""
    with np.errstate(all="ignore"):  # as in a session
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onednn, "_library", lambda: None)
            alone = compute()
        return compute(), alone


@st.composite
def moves(draw):
    """Images, and windows that move over them."""
    shape = draw(st.integers(1, 4)), draw(sizes), draw(sizes), draw(st.integers(1, 20))
    extent = [draw(st.integers(1, size)) for size in shape[1:3]]
    stride = [draw(st.integers(1, 3)) for _ in range(2)]
    return shape, extent, stride, draw(st.sampled_from([b"SAME", b"VALID"]))


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=60)
@given(moves(), st.booleans())
def test_pools(case, has_equals):
    shape, extent, stride, padding = case
    how = [1, *extent, 1], [1, *stride, 1], padding
    x = normal(1, *shape).round() if has_equals else normal(1, *shape)

    def compute():
        y = pool.max_pool(np, x, *how, [])
        mean = pool.avg_pool(np, x, *how)
        grad = normal(2, *y.shape)
        return (
            y,
            pool.max_pool_grad(np, x, y, grad, *how, []),
            mean,
            pool.avg_pool_grad(np, np.array(shape), grad, *how),
        )

    found, alone = both(compute)
    np.testing.assert_array_equal(found[0], alone[0])
    close(found[1:], alone[1:])


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_pools_of_numbers_that_are_not_finite(lost):
    x = normal(3, 2, 6, 6, 16)
    x[0, :2, :2, 3] = x[1, 4, 5, 0] = lost
    how = [1, 2, 2, 1], [1, 2, 2, 1], b"SAME"
    found, alone = both(lambda: (pool.max_pool(np, x, *how, []), pool.avg_pool(np, x, *how)))
    np.testing.assert_array_equal(found[0], alone[0])
    close(found[1:], alone[1:])


def test_pools_of_large_images_are_cut_into_rows(monkeypatch):
    x = normal(4, 2, 40, 12, 8)
    how = [1, 3, 3, 1], [1, 2, 2, 1], b"SAME"

    def compute():
        y = pool.max_pool(np, x, *how, [])
        return y, pool.max_pool_grad(np, x, y, np.ones_like(y), *how, [])

    expected = compute()
    monkeypatch.setattr(pool_windows, "_LIBRARY_BLOCK", 4000)
    for cut, whole in zip(compute(), expected, strict=True):
        np.testing.assert_array_equal(cut, whole)


@settings(max_examples=60)
@given(moves(), st.integers(1, 3), st.integers(1, 2))
def test_convolutions_of_channels_alone(case, times, dilation):
    shape, extent, stride, padding = case
    attrs = {"strides": [1, *stride, 1], "padding": padding, "explicit_paddings": [],
             "data_format": b"NHWC", "dilations": [1, dilation, dilation, 1]}  # fmt: skip
    if padding == b"VALID":
        attrs["dilations"] = [1, 1, 1, 1]
    x, w = normal(1, *shape), normal(2, *extent, shape[-1], times)

    def compute():
        y = depthwise.depthwise_conv2d(np, x, w, **attrs)
        grad = normal(3, *y.shape)
        back = depthwise.depthwise_conv2d_backprop_input(np, np.array(shape), w, grad, **attrs)
        of_w = depthwise.depthwise_conv2d_backprop_filter(np, x, np.array(w.shape), grad, **attrs)
        return y, back, of_w

    close(*both(compute))


@settings(max_examples=60)
@given(moves(), st.integers(1, 33), st.integers(1, 2))
def test_convolutions(case, filters, dilation):
    shape, extent, stride, padding = case
    attrs = {"strides": [1, *stride, 1], "padding": padding, "explicit_paddings": [],
             "data_format": b"NHWC", "dilations": [1, dilation, dilation, 1]}  # fmt: skip
    if padding == b"VALID":
        attrs["dilations"] = [1, 1, 1, 1]
    x, w = normal(1, *shape), normal(2, *extent, shape[-1], filters)
    close(*both(lambda: (conv.conv2d(np, x, w, **attrs),)))


def test_convolutions_in_blocks_of_images_and_rows(monkeypatch):
    attrs = {"strides": [1, 2, 1, 1], "padding": b"SAME", "explicit_paddings": [],
             "data_format": b"NHWC", "dilations": [1, 1, 1, 1]}  # fmt: skip
    x, w, alone = normal(1, 5, 17, 6, 3), normal(2, 3, 4, 3, 7), normal(3, 3, 4, 3, 1)

    def compute():
        conv_library._plan.cache_clear()
        y = depthwise.depthwise_conv2d(np, x, alone, **attrs)
        of_filters = depthwise.depthwise_conv2d_backprop_filter(
            np, x, np.array(alone.shape), y, **attrs
        )
        return conv.conv2d(np, x, w, **attrs), y, of_filters

    expected = compute()
    for most in (3000, 20_000):
        monkeypatch.setattr(conv_library, "_BLOCK", most)
        monkeypatch.setattr(conv_library, "_ALONE_BLOCK", most)
        close(compute(), expected)
    conv_library._plan.cache_clear()


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 3), sizes, sizes, st.integers(1, 40)),
    st.booleans(),
    st.sampled_from([1.0, 0.25]),
)
def test_batch_norms(shape, is_training, factor):
    x, grad = normal(1, *shape) * 3 + 5, normal(2, *shape)
    scale, offset, mean = normal(3, 3, shape[-1])
    variance = np.abs(normal(4, shape[-1])) + 0.1
    how = {"epsilon": 0.01, "data_format": b"NHWC", "is_training": is_training}

    def compute():
        y, *vectors = norm.fused_batch_norm(
            np, x, scale, offset, mean, variance, exponential_avg_factor=factor, **how
        )
        moments = vectors[2:]
        return (y, *vectors, *norm.fused_batch_norm_grad(np, grad, x, scale, *moments, **how)[:3])

    close(*both(compute), scale=10.0)


def test_batch_norms_in_blocks_have_the_statistics_of_all(monkeypatch):
    x, grad = normal(1, 6, 7, 8, 16) + 100, normal(2, 6, 7, 8, 16)
    ones = np.ones(16, np.float32)
    how = {"epsilon": 0.01, "data_format": b"NHWC", "is_training": True}

    def compute():
        y, *vectors = norm.fused_batch_norm(np, x, ones, ones, ones, ones,
                                            exponential_avg_factor=1, **how)  # fmt: skip
        return y, *vectors, *norm.fused_batch_norm_grad(np, grad, x, ones, *vectors[2:], **how)[:3]

    whole = compute()
    monkeypatch.setattr(norm, "_LIBRARY_BLOCK", 2000)
    close(compute(), whole, scale=100.0)
    np.testing.assert_allclose(whole[3], x.reshape(-1, 16).mean(0, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(whole[4], x.reshape(-1, 16).var(0, dtype="float64"), rtol=1e-4)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 300), st.floats(0, 80))
def test_softmax(rows, columns, spread):
    x = normal(1, rows, columns) * np.float32(spread)
    close(*both(lambda: (nn.softmax(np, x),)))
    assert np.abs(nn.softmax(np, x).sum(axis=1) - 1).max() < 1e-5


def test_softmax_of_numbers_that_are_not_finite():
    x = np.array([[1, np.nan, 2], [np.inf, 1, 2], [-np.inf] * 3, [-np.inf, 0, 1]], np.float32)
    found, alone = both(lambda: nn.softmax(np, x))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(alone))
    np.testing.assert_allclose(found[3], alone[3], rtol=1e-6)


@st.composite
def views(draw, rows, columns):
    """A matrix whose rows, or columns, may stand apart in memory, some of them beyond it."""
    extra = draw(st.integers(0, 3))
    if draw(st.booleans()):
        return normal(rows, columns, rows + extra).T[extra:]
    return normal(columns, rows, columns + extra)[:, extra:]


@st.composite
def pairs(draw):
    """Matrices that can be multiplied."""
    rows, inner, columns = (draw(st.integers(1, 90)) for _ in range(3))
    return draw(views(rows, inner)), draw(views(inner, columns))


@settings(max_examples=60)
@given(pairs(), st.sampled_from([100, 3000, 10**6]))
def test_products_of_matrices(pair, least):
    with pytest.MonkeyPatch.context() as patch:
        for limit, value in (("_TINY", 0), ("_LIBRARY", 0), ("_LEAST_BLOCK", least)):
            patch.setattr(matmul, limit, value)
        patch.setattr(matmul, "_cut", matmul._cut.__wrapped__)
        (found,), (alone,) = both(lambda: (matmul.multiply(np, *pair),))
    # Each term is rounded on its own.
    most = np.abs(pair[0]) @ np.abs(pair[1])
    assert (np.abs(found - alone) <= 1e-6 * most + 1e-30).all()


@pytest.mark.parametrize("is_fast", [True, False])
def test_matrices_are_for_who_multiplies_them_faster(monkeypatch, is_fast):
    monkeypatch.setattr(matmul_library, "has_own_loops", lambda library: is_fast)
    x, y = normal(1, 64, 48), normal(2, 48, 32)
    library = onednn.dnn_library(np)
    turned = normal(3, 32, 48).T, normal(3, 48, 64).T
    for pair in ((x, y[:, 1:]), (y.T, x.T), (x, turned[0]), (turned[1], y)):
        assert matmul_library.suits_two(np, *pair) is (library if is_fast else None)


def test_layers_are_for_a_way_that_adds_up_each_row_alike(monkeypatch):
    monkeypatch.setattr(matmul_library, "_OWN", b"no such way")
    assert matmul_library.written_layer(64, normal(1, 512, 256), None, False) is None


def test_products_of_what_the_library_does_not_take(monkeypatch):
    for limit in ("_TINY", "_LIBRARY", "_LEAST_BLOCK"):
        monkeypatch.setattr(matmul, limit, 1)
    monkeypatch.setattr(matmul, "_cut", matmul._cut.__wrapped__)
    x, y = normal(1, 64, 48), normal(2, 48, 32)
    spread = np.broadcast_to(normal(3, 48), (64, 48))
    for left, right in ((x[::-1], y), (spread, y), (x.astype("float64"), y), (x, y[:, ::2])):
        np.testing.assert_allclose(matmul.multiply(np, left, right), left @ right, 1e-4, 1e-5)
    with pytest.raises(ValueError, match="mismatch"):
        matmul.multiply(np, x, x)
    x[3, 5] = np.nan
    assert np.isnan(matmul.multiply(np, x, y)).sum() == 32


@st.composite
def batches(draw):
    """Batches of matrices, with axes that may have another order in memory."""
    outer, inner, (rows, middle, columns) = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 3)),
        [draw(st.integers(1, 40)) for _ in range(3)],
    )
    left = normal(1, outer, rows, inner, middle).transpose(0, 2, 1, 3)
    right = normal(2, outer, inner, columns, middle).swapaxes(-1, -2)
    if draw(st.booleans()):
        right = np.ascontiguousarray(right)
    return left, right[:1] if draw(st.booleans()) else right


@settings(max_examples=30)
@given(batches(), st.integers(2, 100_000))
def test_products_of_batches(pair, least):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matmul, "_TINY", 0)
        patch.setattr(matmul, "_LIBRARY_BATCH", least)
        found, alone = both(lambda: matmul.batch_matmul(np, *pair, False, False))
    np.testing.assert_allclose(found, alone, 1e-4, 1e-5)
