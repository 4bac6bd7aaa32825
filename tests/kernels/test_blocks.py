"""Kernels that work in blocks: the blocks do not show in the result, nor in the memory."""

import tracemalloc

import numpy as np
import pytest

import tfsession as tf
from tfsession.devices.threads import this_thread
from tfsession.kernels import cross_entropy, nn, norm, pool, pool_windows

EMPTY = np.zeros(0, np.float32)


def pools(shape, extent, stride, padding, dtype="float32"):
    """What each kind of pool makes of small numbers, of which many are equal."""
    rng = np.random.default_rng(3)
    x = rng.integers(-2, 3, shape).astype(dtype)
    how = [1, *extent, 1], [1, *stride, 1], padding
    y = pool.max_pool(np, x, *how, [])
    grad = rng.integers(1, 9, y.shape).astype(dtype)
    second = rng.integers(1, 9, shape).astype(dtype)
    mean = pool.avg_pool(np, x, *how)
    return (
        y,
        pool.max_pool_grad(np, x, y, grad, *how, []),
        pool.max_pool_grad_grad(np, x, y, second, *how),
        mean,
        pool.avg_pool_grad(np, np.array(shape), mean, *how),
    )


WINDOWS = [
    ((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 1)), ((2, 3), (3, 2)), ((1, 4), (1, 3)),
    ((5, 1), (2, 1)),
]  # fmt: skip


@pytest.mark.parametrize("padding", [b"SAME", b"VALID"])
@pytest.mark.parametrize(("extent", "stride"), WINDOWS)
@pytest.mark.parametrize("shape", [(3, 13, 11, 2), (1, 24, 6, 3), (5, 6, 6, 1)])
def test_pools_are_the_same_in_rows_and_whole(monkeypatch, shape, extent, stride, padding):
    whole = pools(shape, extent, stride, padding)
    monkeypatch.setattr(pool_windows, "_BLOCK", 300)
    for cut, expected in zip(pools(shape, extent, stride, padding), whole, strict=True):
        np.testing.assert_array_equal(cut, expected)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_pools_of_other_types_are_those_of_float32(dtype):
    case = (2, 9, 8, 3), (3, 3), (2, 2), b"SAME"
    for found, expected in zip(pools(*case, dtype), pools(*case), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(("extent", "stride"), WINDOWS[:3])
def test_a_gradient_goes_to_the_first_of_the_greatest(extent, stride):
    """One window after the other, as a loop finds it."""
    shape = (2, 7, 8, 2)
    x = np.random.default_rng(5).integers(0, 3, shape).astype(np.float32)
    how = [1, *extent, 1], [1, *stride, 1], b"VALID"
    y = pool.max_pool(np, x, *how, [])
    grad, expected = np.random.default_rng(6).random(y.shape, np.float32), np.zeros(shape)
    for n, i, j, c in np.ndindex(*y.shape):
        top, left = i * stride[0], j * stride[1]
        window = x[n, top : top + extent[0], left : left + extent[1], c]
        row, column = np.unravel_index(window.argmax(), window.shape)
        expected[n, top + row, left + column, c] += grad[n, i, j, c]
    found = pool.max_pool_grad(np, x, y, grad, *how, [])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_an_infinite_gradient_stays_at_the_winner(stride):
    x = np.array([[1, 5, 2], [3, 4, 0]], np.float32).reshape(1, 2, 3, 1)
    how = [1, 2, 2, 1], [1, stride, stride, 1], b"VALID"
    y = pool.max_pool(np, x, *how, [])
    found = pool.max_pool_grad(np, x, y, np.full_like(y, np.inf), *how, [])
    assert found.ravel().tolist() == [0, np.inf, 0, 0, 0, 0]


def test_what_is_no_number_is_the_greatest_and_what_is_infinite_stays():
    x = np.array([[np.nan, 1], [2, 3], [-np.inf, -np.inf], [np.inf, 1]], np.float32)
    y = pool.max_pool(np, x.reshape(4, 1, 2, 1), [1, 1, 2, 1], [1, 1, 2, 1], b"VALID", [])
    np.testing.assert_array_equal(y.ravel(), [np.nan, 3, -np.inf, np.inf])


# --- batch norm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("data_format", [b"NHWC", b"NCHW"])
@pytest.mark.parametrize("shape", [(4, 6, 5, 3), (1, 7, 9, 5), (37, 1, 1, 2), (8, 16, 16, 4)])
def test_batches_in_blocks_have_the_statistics_of_all(monkeypatch, shape, data_format, dtype):
    """With a mean that is large beside the deviation, where a sum of squares would be lost."""
    monkeypatch.setattr(norm, "_BLOCK", 512)
    monkeypatch.setattr(norm, "_ROW", 32)
    mean, factor = (300, 0.25) if dtype == "float32" else (3, 1)
    x = (np.random.default_rng(1).normal(size=shape) * factor + mean).astype(dtype)
    grad = np.random.default_rng(2).normal(size=shape).astype(dtype)
    axis = 3 if data_format == b"NHWC" else 1
    others = tuple(set(range(4)) - {axis})
    ones = np.ones(shape[axis], np.float32)
    y, _, variance, centre, spread = norm.fused_batch_norm(
        np, x, 2 * ones, ones, EMPTY, EMPTY, 1e-3, 1, data_format, True
    )
    wide = x.astype(np.float64)
    np.testing.assert_allclose(centre, wide.mean(others), rtol=1e-6)
    np.testing.assert_allclose(spread, wide.var(others), rtol=1e-3)
    np.testing.assert_allclose(variance, wide.var(others, ddof=1), rtol=1e-3)
    deviation = np.sqrt(wide.var(others, keepdims=True) + 1e-3)
    normal = (wide - wide.mean(others, keepdims=True)) / deviation
    assert y.dtype == dtype
    np.testing.assert_allclose(y, 2 * normal + 1, rtol=5e-3, atol=1e-2)
    of_x, of_scale, of_offset, *_ = norm.fused_batch_norm_grad(
        np, grad, x, 2 * ones, centre, spread, epsilon=1e-3, data_format=data_format,
        is_training=True,
    )  # fmt: skip
    g = grad.astype(np.float64)
    np.testing.assert_allclose(of_offset, g.sum(others), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(of_scale, (g * normal).sum(others), rtol=5e-3, atol=2e-2)
    means = g.mean(others, keepdims=True), (g * normal).mean(others, keepdims=True)
    expected = 2 * (g - means[0] - normal * means[1]) / deviation
    np.testing.assert_allclose(of_x, expected, rtol=1e-2, atol=2e-2)


# --- softmax --------------------------------------------------------------------------------------


def softmaxes(x):
    labels = np.arange(len(x), dtype=np.int32) % x.shape[1]
    dense = np.eye(x.shape[1], dtype=x.dtype)[labels]
    return [
        nn.softmax(np, x),
        nn.log_softmax(np, x),
        *cross_entropy.checked_sparse_softmax_cross_entropy_with_logits(np, x, labels),
        *cross_entropy.softmax_cross_entropy_with_logits(np, x, dense),
        *cross_entropy.softmax_cross_entropy_with_logits(np, x, dense[:1]),
    ]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(37, 10), (9, 40), (3, 3000), (1, 5), (5, 1)])
def test_rows_do_not_know_their_block(monkeypatch, shape, dtype):
    x = np.random.default_rng(4).normal(size=shape).astype(dtype)
    whole = softmaxes(x)
    monkeypatch.setattr(nn, "_BLOCK", 200)
    for cut, expected in zip(softmaxes(x), whole, strict=True):
        assert cut.dtype == dtype
        np.testing.assert_allclose(cut, expected, rtol=2e-6, atol=1e-6)


def test_what_is_no_number_stays_in_its_row():
    x = np.zeros((4, 40), np.float32)
    x[1, 3], x[2, 5], x[3, 6] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        results = [*softmaxes(x)[:3], nn.softmax(np, x)[3, 6]]
    assert results.pop() == 0
    for found in results:
        bad = np.isnan(found).reshape(4, -1).any(axis=1)
        assert bad.tolist() == [False, True, True, False]


# --- memory ---------------------------------------------------------------------------------------

LIMIT = 8 << 20
TWOS, THREES = ([1, 2, 2, 1], [1, 2, 2, 1], b"SAME"), ([1, 3, 3, 1], [1, 1, 1, 1], b"SAME")
ONES = np.ones(32, np.float32)
# Of [1, 512, 512, 32], 32 MiB.
WORKS = {
    "max": lambda x: pool.max_pool(np, x, *TWOS, []),
    "max of neighbours": lambda x: pool.max_pool(np, x, *THREES, []),
    "max back": lambda x: pool.max_pool_grad(np, x, x[:, :256, :256], x[:, :256, :256], *TWOS, []),
    "max of neighbours back": lambda x: pool.max_pool_grad(np, x, x, x, *THREES, []),
    "max twice": lambda x: pool.max_pool_grad_grad(np, x, x[:, :256, :256], x, *TWOS),
    "mean": lambda x: pool.avg_pool(np, x, *THREES),
    "mean back": lambda x: pool.avg_pool_grad(np, np.array(x.shape), x[:, :256, :256], *TWOS),
    "places": lambda x: pool.max_pool_with_argmax(np, x, *TWOS[:2], tf.int64, b"SAME", True),
    "norm": lambda x: norm.fused_batch_norm(
        np, x, ONES, ONES, EMPTY, EMPTY, 1e-3, 1, b"NHWC", True
    ),
    "norm back": lambda x: norm.fused_batch_norm_grad(
        np, x, x, ONES, ONES, ONES, epsilon=1e-3, data_format=b"NHWC", is_training=True
    ),
    "softmax": lambda x: nn.softmax(np, x.reshape(-1, 1024)),
    "log softmax": lambda x: nn.log_softmax(np, x.reshape(-1, 1024)),
    "sparse": lambda x: cross_entropy.checked_sparse_softmax_cross_entropy_with_logits(
        np, x.reshape(-1, 1024), np.zeros(x.size // 1024, np.int32)
    ),
    "dense": lambda x: cross_entropy.softmax_cross_entropy_with_logits(
        np, x.reshape(-1, 1024), x.reshape(-1, 1024)
    ),
}


@pytest.fixture(scope="module")
def large():
    return np.random.default_rng(0).random((1, 512, 512, 32), np.float32)


@pytest.mark.parametrize("name", WORKS)
def test_memory_beside_the_result_does_not_grow_with_the_input(monkeypatch, large, name):
    monkeypatch.setattr(this_thread, "limit", 2)
    work = WORKS[name]
    work(large[:, :64, :64].repeat(8, 1).repeat(8, 2)[:, :512, :512])  # what threads keep
    tracemalloc.start()
    try:
        result = work(large)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    results = result if isinstance(result, tuple) else (result,)
    assert peak - sum(r.nbytes for r in results) < LIMIT
