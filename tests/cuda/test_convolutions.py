"""Convolutions as a GPU computes them: its kernels on the host, products by a fake cuBLASLt."""

import platform
import runpy
import shutil
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from in_process import HostLibrary
from on_cpu import Batch
from test_compiled import compiled_without_spills

import tfsession  # noqa: F401  (registers the op families)
from tfsession.core.dtypes import as_dtype
from tfsession.core.modes import modes
from tfsession.core.op_def import ops
from tfsession.core.rules import find_kernel, fusers
from tfsession.core.windows import axes_of
from tfsession.devices.capture import Watch
from tfsession.devices.cublaslt import BIAS, RELU
from tfsession.devices.cuda_module import CudaModule
from tfsession.kernels.cuda import conv, conv_text, pool

FAKE = Path(__file__).parents[1] / "devices" / "fake_cupy.py"
fake_cupy = SimpleNamespace(**runpy.run_path(str(FAKE)))
fake_library, xp, device = fake_cupy.fake_library, fake_cupy.xp, fake_cupy.device

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)
needs_gxx = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")


@pytest.fixture(scope="module")
def code(host_code):
    return HostLibrary(host_code)


@pytest.fixture
def card(xp, code, monkeypatch):
    """The array module of a card with both libraries."""
    for module in (conv, pool):
        monkeypatch.setattr(module, "code_library", lambda xp: None if xp is np else code)
    monkeypatch.setattr(conv, "_plans", {})
    monkeypatch.setattr(modes, "tensor_float_32", False)
    code.launches.clear()
    return CudaModule(xp, Watch())


def numbers(shape, dtype, seed):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def run(op_type, module, where, arrays, attrs):
    attrs = {"T": as_dtype(arrays[-1].dtype), **attrs}
    return find_kernel(op_type, where, attrs).bind(module, ops[op_type], attrs)(*arrays)


def same(found, expected, dtype):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    near = {"float16": 6e-3, "bfloat16": 5e-2, "float32": 2e-5}.get(dtype, 1e-12)
    scale = max(1.0, float(np.abs(expected.astype(np.float64)).max()))
    np.testing.assert_allclose(
        found.astype(np.float64), expected.astype(np.float64), near, near * scale
    )


def attributes(layout, stride, padding, dilation, explicit=(), rank=2):
    last = layout[-1] == "C"
    around = [lambda v: [1, *v, 1], lambda v: [1, 1, *v]][not last]
    pads = [0] * (2 * (rank + 2))
    for axis, pair in enumerate(explicit):
        place = 2 * (axis + (1 if last else 2))
        pads[place : place + 2] = pair
    found = {"strides": around([stride] * rank), "dilations": around([dilation] * rank)}
    found |= {"padding": padding.encode(), "data_format": layout.encode()}
    return found | ({"explicit_paddings": pads if explicit else []} if rank == 2 else {})


def images(layout, batch, sizes, channels, dtype, seed=0):
    inner = (*sizes, channels) if layout[-1] == "C" else (channels, *sizes)
    return numbers((batch, *inner), dtype, seed)


# (layout, dtype, batch, sizes, filters, stride, padding, dilation, explicit)
PROBLEMS = [
    ("NHWC", "float32", 2, (7, 9), (3, 3, 4, 5), 1, "SAME", 1, ()),
    ("NHWC", "float16", 3, (8, 7), (3, 2, 8, 6), 2, "VALID", 1, ()),
    ("NHWC", "bfloat16", 2, (6, 6), (2, 2, 3, 4), 3, "EXPLICIT", 2, ((1, 2), (0, 3))),
    ("NHWC", "float32", 2, (9, 9), (3, 3, 2, 6), 1, "SAME", 2, ()),  # two groups
    ("NHWC", "float32", 2, (5, 4), (1, 1, 6, 3), 1, "VALID", 1, ()),
    ("NHWC", "float64", 2, (5, 5), (1, 1, 4, 3), 2, "SAME", 1, ()),
    ("NCHW", "float32", 2, (7, 9), (3, 3, 4, 5), 2, "SAME", 1, ()),
    ("NCHW", "float16", 3, (5, 6), (2, 3, 2, 4), 1, "VALID", 1, ()),  # two groups
    ("NCHW", "float32", 2, (5, 4), (1, 1, 6, 3), 1, "SAME", 1, ()),
    ("NDHWC", "float32", 2, (4, 5, 3), (2, 3, 2, 4, 3), 1, "SAME", 1, ()),
]
GROUPS = {3: 2, 7: 2}
WINDOWS = [number for number in range(len(PROBLEMS)) if number not in (4, 8)]


def given(number):
    layout, dtype, batch, sizes, filters, stride, padding, dilation, explicit = PROBLEMS[number]
    attrs = attributes(layout, stride, padding, dilation, explicit, len(sizes))
    x = images(layout, batch, sizes, filters[-2] * GROUPS.get(number, 1), dtype)
    w = numbers(filters, dtype, 1)
    name = "Conv2D" if len(sizes) == 2 else "Conv3D"
    y = run(name, np, "CPU", [x, w], attrs)
    return name, dtype, attrs, x, w, numbers(y.shape, dtype, 2), y


def all_three(card, name, attrs, x, w, grad):
    """What a card gives, and the host: sums, and the gradients for input and filters."""
    version = "V2" if name == "Conv3D" else ""
    calls = [
        (name, [x, w]),
        (f"{name}BackpropInput{version}", [np.array(x.shape, np.int32), w, grad]),
        (f"{name}BackpropFilter{version}", [x, np.array(w.shape, np.int32), grad]),
    ]
    for op_type, arrays in calls:
        on_card = [a if a.dtype == np.int32 else device(a) for a in arrays]
        found = run(op_type, card, "GPU", on_card, attrs)
        yield found, run(op_type, np, "CPU", arrays, attrs)


@needs_gxx
@pytest.mark.parametrize("number", range(len(PROBLEMS)))
def test_convolutions(card, code, xp, number):
    name, dtype, attrs, x, w, grad, _ = given(number)
    before = xp.fake.fake_products()
    for found, expected in all_three(card, name, attrs, x, w, grad):
        same(found, expected, dtype)
    groups = GROUPS.get(number, 1)
    assert xp.fake.fake_products() == before + 3 * groups
    assert len(code.launches) == (3 * groups if number in WINDOWS else 0)


@needs_gxx
@pytest.mark.parametrize("number", [0, 1, 7])
def test_windows_are_made_in_slices(card, code, monkeypatch, number):
    name, dtype, attrs, x, w, grad, y = given(number)
    places = y[0].size // w.shape[-1]
    monkeypatch.setattr(conv, "_MOST_BYTES", places * w[..., 0].size * w.itemsize)
    for found, expected in all_three(card, name, attrs, x, w, grad):
        same(found, expected, dtype)
    assert len(code.launches) == 3 * len(x) * GROUPS.get(number, 1)


@needs_gxx
@pytest.mark.parametrize("number", [0, 3, 4, 8])
@pytest.mark.parametrize("epilogue", [RELU, BIAS, BIAS | RELU])
def test_what_is_done_to_the_sums(card, code, xp, number, epilogue):
    name, dtype, attrs, x, w, _, y = given(number)
    bias = numbers(w.shape[-1:], dtype, 3)
    before = xp.fake.fake_products()
    arrays = device(x), device(w), epilogue, device(bias) if epilogue & BIAS else None
    found = fusers["convolution"](card, name, attrs)(*arrays)
    if number == 8 and epilogue & BIAS:  # channels come first
        assert found is None
        return
    expected = y + bias if epilogue & BIAS else y
    same(found, np.maximum(expected, 0) if epilogue & RELU else expected, dtype)
    assert xp.fake.fake_products() == before + GROUPS.get(number, 1)


def test_images_that_are_too_large_for_it_go_the_usual_way(card, code, monkeypatch):
    *_, x, w, grad, _ = given(3)
    monkeypatch.setattr(conv, "_MOST_BYTES", 8)
    arrays = [device(x), device(w), device(grad)]
    problem = SimpleNamespace(
        channels_first=False, counts=(7, 7), axes=(), batch=2, groups=1, group_depth=9,
        out_depth=6, sizes=(9, 9),
    )  # fmt: skip
    problem.axes = tuple(axes_of([9, 9], [3, 3], [1, 1], [1, 1], b"VALID"))
    assert conv.forward(card, problem, *arrays[:2]) is None
    assert conv.input_gradient(card, problem, *arrays[1:]) is None
    assert conv.filter_gradient(card, problem, arrays[0], arrays[2]) is None
    assert code.launches == []


DEPTHWISE = [
    ("NHWC", "float32", 3, (7, 6), (3, 2, 5, 1), 1, "SAME", 1, ()),
    ("NHWC", "float16", 2, (9, 8), (2, 3, 3, 2), 2, "VALID", 1, ()),
    ("NCHW", "float32", 2, (6, 7), (3, 3, 2, 3), 1, "EXPLICIT", 2, ((1, 2), (2, 0))),
]


@needs_gxx
@pytest.mark.parametrize("number", range(len(DEPTHWISE)))
def test_channels_alone(card, code, monkeypatch, number):
    layout, dtype, batch, sizes, filters, *moves = DEPTHWISE[number]
    monkeypatch.setattr(conv, "_FEW_WINDOWS", 7)
    attrs = attributes(layout, *moves)
    x, w = images(layout, batch, sizes, filters[2], dtype), numbers(filters, dtype, 1)
    name = "DepthwiseConv2dNative"
    y = run(name, np, "CPU", [x, w], attrs)
    for found, expected in all_three(card, name, attrs, x, w, numbers(y.shape, dtype, 2)):
        same(found, expected, dtype)
    assert len(code.launches) == 3


# (dtype, sizes, channels, window, stride, padding)
POOLS = [
    ("float32", (7, 6), 4, (2, 2), 2, "SAME"),
    ("float16", (7, 9), 3, (3, 2), 1, "SAME"),
    ("bfloat16", (8, 8), 16, (3, 3), 2, "VALID"),
    ("float64", (4, 5, 3), 2, (2, 3, 2), 3, "SAME"),
    ("float32", (5, 9), 1, (2, 2), 3, "VALID"),
]


@needs_gxx
@pytest.mark.parametrize("row", POOLS)
def test_pools(card, code, row):
    dtype, sizes, channels, window, stride, padding = row
    rank, three = len(sizes), "3D" if len(sizes) == 3 else ""
    attrs = {"ksize": [1, *window, 1], "strides": [1, *[stride] * rank, 1]}
    attrs |= {"padding": padding.encode(), "explicit_paddings": []}
    x = numbers((2, *sizes, channels), dtype, 0)
    x[0] = np.round(x[0].astype(np.float32)).astype(x.dtype)  # some are equal
    x[1, 0, 0] = np.inf
    calls = [(f"MaxPool{three}", [x]), (f"AvgPool{three}", [x[:1]])]
    y, z = (run(name, np, "CPU", arrays, attrs) for name, arrays in calls)
    assert y.size
    shape = np.array((1, *x.shape[1:]), np.int32)
    calls.append((f"MaxPool{three}Grad", [x, y, numbers(y.shape, dtype, 1)]))
    calls.append((f"AvgPool{three}Grad", [shape, numbers(z.shape, dtype, 2)]))
    for number, (name, arrays) in enumerate(calls):
        on_card = [a if a.dtype == np.int32 else device(a) for a in arrays]
        found, expected = (
            run(name, card, "GPU", on_card, attrs),
            run(name, np, "CPU", arrays, attrs),
        )
        if number == 0:
            np.testing.assert_array_equal(found, expected)
        else:
            same(found, expected, dtype)
    assert len(code.launches) == 4


@needs_gxx
def test_what_is_empty_goes_the_usual_way(card, code):
    attrs = attributes("NHWC", 1, "VALID", 1)
    x, w = numbers((0, 5, 5, 3), "float32", 0), numbers((2, 2, 3, 4), "float32", 1)
    assert run("Conv2D", card, "GPU", [device(x), device(w)], attrs).shape == (0, 4, 4, 4)
    assert code.launches == []


@needs_gxx
def test_no_memory_is_touched_but_what_is_given(host_code):
    jobs = []
    for first, lanes in ((True, 1), (False, 4)):
        axes = tuple(axes_of([5, 4], [3, 2], [2, 1], [1, 2], b"SAME"))
        strides = (80, 4, 1, 20) if first else (80, 16, 4, 1)
        told = conv_text.Geometry("float32", axes, 4, strides, first, lanes)
        alone = replace(told, lanes=1)
        x, y = numbers((160,), "float32", 0), numbers((2 * told.places * 8,), "float32", 1)
        w, rows = numbers((48,), "float32", 2), numbers((2 * told.places * told.patch,), "f4", 3)
        for calls, inputs in (
            (conv_text.unfolded(told, 2), [x]),
            (conv_text.gathered(told, 2), [rows]),
            (conv_text.depthwise(alone, 2, 2), [x, w]),
            (conv_text.depthwise_input_gradient(alone, 2, 2), [y, w]),
            (conv_text.depthwise_filter_gradient(alone, 2, 2, 3), [x, y]),
        ):
            jobs.append(SimpleNamespace(calls=calls, inputs=inputs))
    told = replace(told, axes=tuple(axes_of([5, 4], [3, 2], [2, 1], [1, 1], b"SAME")))
    pooled = numbers((2 * told.places * 4,), "float32", 4)
    for make, inputs in (
        (conv_text.greatest, [x]),
        (conv_text.mean, [x]),
        (conv_text.of_greatest, [x, pooled]),
        (conv_text.of_mean, [pooled]),
    ):
        jobs.append(SimpleNamespace(calls=make(told, 2), inputs=inputs))
    for found in Batch(jobs, host_code, sanitized=True).results():
        assert np.isfinite(found[0]).all()  # all of it is written


def _launches():
    for first, dtype, rank in product([False, True], ["float32", "bfloat16", "float64"], [2, 3]):
        axes = axes_of([9] * rank, [3] * rank, [2] * rank, [1] * rank, b"SAME")
        size = 9**rank * 16
        steps = [16 * 9**axis for axis in reversed(range(rank))]
        strides = (size, 9 ** (rank - 1), *[9**a for a in reversed(range(rank - 1))])
        lanes = 1 if first else {"float32": 4, "bfloat16": 8, "float64": 2}[dtype]
        x = (*strides, 9**rank) if first else (size, *steps, 1)
        told = conv_text.Geometry(dtype, tuple(axes), 16, x, first, lanes)
        yield from conv_text.unfolded(told, 4).launches
        yield from conv_text.gathered(told, 4).launches
        if not first:
            for make in (conv_text.greatest, conv_text.mean):
                yield from make(told, 4).launches
            for make in (conv_text.of_greatest, conv_text.of_mean):
                yield from make(told, 4).launches
        if rank == 2:
            yield from conv_text.depthwise(told, 2, 4).launches
            yield from conv_text.depthwise_filter_gradient(told, 2, 4, 3).launches
            alone = conv_text.Geometry(dtype, tuple(axes), 16, x, first)
            yield from conv_text.depthwise_input_gradient(alone, 2, 4).launches


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_kernels_compile_without_spills(arch):
    assert len(compiled_without_spills(list(_launches()), arch)) == 66
