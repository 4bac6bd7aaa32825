"""The ways to compute a convolution: each gives the sums over windows, whatever the sizes."""

import itertools
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.windows import Axis, axes_of
from tfsession.devices.threads import this_thread
from tfsession.kernels import conv, conv_patches, conv_windows, conv_winograd

# Of the largest sum: what is computed at points of polynomials is as near as this.
NEAR = 1e-5


def sums(x, w, axes):
    """Sums over windows, one filter element after the other, in float64."""
    result = np.zeros((len(x), *(axis.steps for axis in axes), w.shape[-1]))
    for offset, given_, taken in meetings(axes):
        result[given_] += x[taken].astype(float) @ w[offset].astype(float)
    return result


def gradients(x, w, grad, axes):
    """Those of the sums, times `grad`, for `x` and `w`."""
    to_x, to_w = np.zeros(x.shape), np.zeros(w.shape)
    for offset, given_, taken in meetings(axes):
        slopes = grad[given_].astype(float)
        to_x[taken] += slopes @ w[offset].astype(float).T
        to_w[offset] += np.tensordot(x[taken].astype(float), slopes, (range(len(axes) + 1),) * 2)
    return to_x, to_w


def meetings(axes):
    for offset in itertools.product(*(range(axis.extent) for axis in axes)):
        pairs = [axis.meeting(o) for axis, o in zip(axes, offset, strict=True)]
        if None not in pairs:
            given_, taken = ((slice(None), *parts) for parts in zip(*pairs, strict=True))
            yield offset, given_, taken


@st.composite
def problems(draw):
    """Sizes, channels and filters, axes; where they may, they move by one."""
    small = st.integers(1, 3)
    rank = draw(small)
    moves = draw(st.booleans())
    padding = draw(st.sampled_from([b"SAME", b"VALID", b"EXPLICIT"]))
    extents = [draw(st.integers(1, 7 if rank < 3 else 3)) for _ in range(rank)]
    dilations = [draw(small) if moves else 1 for _ in range(rank)]
    strides = [draw(st.integers(1, 4)) if moves else 1 for _ in range(rank)]
    reaches = [(n - 1) * gap + 1 for n, gap in zip(extents, dilations, strict=True)]
    sizes = [reach + draw(st.integers(0, 9 if rank < 3 else 3)) for reach in reaches]
    pads = [(draw(st.integers(0, 7)), draw(st.integers(0, 7))) for _ in range(rank)]
    axes = axes_of(sizes, extents, strides, dilations, padding, pads)
    channels = draw(st.sampled_from([(1, 1), (1, 4), (3, 17), (16, 1), (20, 5)]))
    return draw(st.integers(1, 3)), channels, axes, draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(
    problem=problems(),
    dtype=st.sampled_from(["float32", "float64"]),
    at_points=st.booleans(),
    limit=st.sampled_from([1, 5_000, 4 << 20]),
    seed=st.integers(0, 99),
)
def test_any_way_gives_the_sums(problem, dtype, at_points, limit, seed):
    batch, (depth, out_depth), axes, channels_first = problem
    rng = np.random.default_rng(seed)

    def normal(*shape):
        array = rng.normal(size=shape).astype(dtype)
        if not channels_first:
            return array
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 1)), 1, -1)

    x = normal(batch, *(axis.size for axis in axes), depth)
    grad = normal(batch, *(axis.steps for axis in axes), out_depth)
    w = rng.normal(size=(*(axis.extent for axis in axes), depth, out_depth)).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (conv_winograd, "_BLOCK"), (conv_winograd, "_FILTER_BLOCK"), (conv_patches, "BLOCK"),
            (conv_windows, "BLOCK"),
        ):  # fmt: skip
            patch.setattr(module, name, limit)
        patch.setattr(conv_windows, "_MOST_SHARES", 2)
        conv_winograd.suits.cache_clear()
        if at_points:
            patch.setattr(conv_winograd, "_START", -1 << 60)
        found = (
            conv.correlate(np, x, w, axes),
            conv.input_gradient(np, w, grad, axes),
            conv.filter_gradient(np, x, grad, axes).reshape(w.shape),
        )
    conv_winograd.suits.cache_clear()
    for mine, wanted in zip(found, (sums(x, w, axes), *gradients(x, w, grad, axes)), strict=True):
        assert mine.dtype == dtype
        scale = max(np.abs(wanted).max(), 1.0)
        near = 2 * NEAR if dtype == "float32" else 1e-13
        np.testing.assert_allclose(mine / scale, wanted / scale, rtol=0, atol=near)


def same(size, extent=3, stride=1, dilation=1):
    return axes_of([size], [extent], [stride], [dilation], b"SAME")[0]


# Axes, images, channels, filters, type; and whether the products are at points.
CHOICES = [
    ([same(56), same(56)], 8, 64, 64, "float32", True),
    ([same(28), same(28)], 32, 32, 64, "float32", True),
    ([same(14, 5), same(14, 5)], 64, 32, 64, "float32", True),
    ([same(100, 7), same(100, 7)], 4, 32, 32, "float32", True),
    ([same(16), same(16), same(16)], 8, 32, 32, "float32", True),
    ([same(512, 5)], 32, 64, 64, "float32", True),
    ([same(56, 1), same(56)], 8, 64, 64, "float32", True),
    ([same(56), same(56)], 8, 64, 64, "float64", False),
    ([same(28, 5), same(28, 5)], 32, 1, 32, "float32", False),
    ([same(56, 3, 2), same(56)], 8, 64, 64, "float32", False),
    ([same(56, 3, 1, 2), same(56)], 8, 64, 64, "float32", False),
    ([same(56, 9), same(56)], 8, 64, 64, "float32", False),
    ([same(8), same(8)], 1, 16, 16, "float32", False),
    ([same(4), same(4)], 1, 512, 512, "float32", False),
    ([same(1), same(1)], 64, 64, 64, "float32", False),
]


@pytest.mark.parametrize(("axes", "batch", "depth", "filters", "dtype", "wanted"), CHOICES)
def test_which_way_is_taken(axes, batch, depth, filters, dtype, wanted):
    assert conv_winograd.suits(np, tuple(axes), batch, depth, filters, np.dtype(dtype)) is wanted


@pytest.mark.parametrize(
    ("size", "batch", "depths", "wanted"),
    [
        *((56, 8, (64, 64), True), (16, 8, (64, 64), True), (32, 1, (64, 64), False)),
        # What is taken to the points costs more than what is taken back.
        *((28, 32, (32, 64), True), (64, 8, (32, 32), False), (19, 32, (64, 32), False)),
    ],
)
def test_which_way_is_taken_beside_a_library(size, batch, depths, wanted):
    found = [
        conv_winograd.suits(
            np, (same(size), same(size)), batch, *depths, np.dtype("float32"), has_library
        )
        for has_library in (False, True)
    ]
    assert found == [True, wanted]


def test_what_is_not_finite_stays_in_its_windows():
    axes = [same(40), same(40)]
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 40, 40, 16)).astype("float32")
    w = rng.normal(size=(3, 3, 16, 16)).astype("float32")
    assert conv_winograd.suits(np, tuple(axes), 8, 16, 16, x.dtype)
    x[3, 20, 21, 5] = np.inf
    x[4, 0, 0, 0] = np.nan
    # Too large for the products at points, not for the sums.
    x[5, 7, 7] = 1e38
    w[..., 1:, :] *= 1e-3
    with np.errstate(all="ignore"):
        found = conv.correlate(np, x, w, axes)
        wrong = ~np.isfinite(found).all(axis=-1)
        wanted = ~np.isfinite(sums(x, w, axes).astype("float32")).all(axis=-1)
    np.testing.assert_array_equal(wrong, wanted)
    assert wrong[:3].sum() == 0 and wrong[3].sum() == 9 and wrong[4].sum() == 4


def test_the_gradient_for_filters_is_as_finite_as_the_sums():
    axes = [same(40), same(40)]
    x = np.ones((8, 40, 40, 16), "float32")
    x[0, 3, 3, 2] = np.inf
    grad = np.ones_like(x)
    with np.errstate(all="ignore"):
        found = conv.filter_gradient(np, x, grad, axes).reshape(3, 3, 16, 16)
    assert np.isfinite(np.delete(found, 2, axis=2)).all()
    assert np.isposinf(found[:, :, 2]).all()


# What a convolution takes for itself beyond what it gives and the workspaces that threads keep.
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("strides", [1, 2])
def test_memory_does_not_grow_with_the_images(size, strides, monkeypatch):
    monkeypatch.setattr(this_thread, "limit", 1)
    axes = [same(64, size, strides), same(64, size, strides)]
    x = np.ones((32, 64, 64, 16), "float32")
    w = np.ones((size, size, 16, 16), "float32")
    grad = np.ones((32, axes[0].steps, axes[1].steps, 16), "float32")
    for compute in (
        lambda: conv.correlate(np, x, w, axes),
        lambda: conv.input_gradient(np, w, grad, axes),
        lambda: conv.filter_gradient(np, x, grad, axes),
    ):
        compute()  # the thread has the memory that it keeps
        tracemalloc.start()
        try:
            result = compute()
            assert tracemalloc.get_traced_memory()[1] - result.nbytes < 4 << 20
        finally:
            tracemalloc.stop()


def test_threads_change_no_bits():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 37, 35, 24)).astype("float32")
    for size, stride in ((3, 1), (5, 1), (3, 2)):
        with tf.Graph().as_default() as graph:
            images = tf.constant(x)
            w = tf.constant(rng.normal(size=(size, size, 24, 40)).astype("float32"))
            y = tf.nn.conv2d(images, w, stride, "SAME")
            fetches = [y, *tf.gradients(tf.tanh(y), [images, w])]
        found = []
        for threads in (1, 2, 0):
            config = tf.ConfigProto(intra_op_parallelism_threads=threads)
            with tf.Session(graph=graph, config=config) as session:
                found.append(session.run(fetches))
        for others in found[1:]:
            for mine, other in zip(found[0], others, strict=True):
                np.testing.assert_array_equal(mine, other)


def test_phases_cover_the_input():
    for size, extent, stride, dilation in itertools.product((1, 5, 8), (1, 3), (1, 2, 3), (1, 2)):
        axis = Axis(size, extent, stride, dilation, 1, 1, 2)
        places = [range(size)[phase.places] for phase in conv_patches.phases(axis)]
        assert sorted(itertools.chain(*places)) == list(range(size))


@pytest.mark.parametrize(("value", "wanted"), [("0", False), ("False", False), ("1", True)])
def test_the_environment_can_ask_for_sums_of_each_window(value, wanted):
    code = (
        "import numpy as np; from tfsession.kernels import conv_winograd as kernels; "
        "from tfsession.core.windows import Axis; "
        "axes = (Axis(28, 3, 1, 1, 1, 1, 28),) * 2; "
        "print(kernels.suits(np, axes, 32, 32, 64, np.dtype('float32')))"
    )
    environment = {**os.environ, "TF_ENABLE_WINOGRAD_NONFUSED": value}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(wanted)
