"""The kernels of products as GPUs run them, through a fake cuBLASLt, beside those of the host."""

import itertools
import runpy
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import tfsession  # noqa: F401  (registers the op families)
from tfsession.core.dtypes import as_dtype
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.modes import modes
from tfsession.core.op_def import ops
from tfsession.core.rules import find_kernel
from tfsession.devices.capture import Watch
from tfsession.devices.cuda_module import CudaModule

FAKE = Path(__file__).parents[1] / "devices" / "fake_cupy.py"
fake_cupy = SimpleNamespace(**runpy.run_path(str(FAKE)))
fake_library, xp, device = fake_cupy.fake_library, fake_cupy.xp, fake_cupy.device

DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]


@pytest.fixture(autouse=True)
def _exact():
    modes.tensor_float_32 = False
    yield
    modes.tensor_float_32 = True


def numbers(shape, dtype, seed=0):
    rng = np.random.default_rng([seed, *shape])
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    values = rng.uniform(-2, 2, shape)
    if dtype.kind == "c":
        values = values + 1j * rng.uniform(-2, 2, shape)
    return values.astype(dtype)


def run(op_type, module, device_type, arrays, **attrs):
    kernel = find_kernel(op_type, device_type, attrs)
    return kernel.bind(module, ops[op_type], attrs)(*arrays)


def both(xp, op_type, x, y, **attrs):
    """What a GPU gives, and the host."""
    given = [device(value) for value in (x, y)]
    on_gpu = run(op_type, CudaModule(xp, Watch()), "GPU", given, **attrs)
    for value, before in zip(given, (x, y), strict=True):
        np.testing.assert_array_equal(np.asarray(value), before)
    return on_gpu, run(op_type, np, "CPU", [x, y], **attrs)


def assert_equal(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    tolerance = {"float16": 2e-3, "bfloat16": 1.6e-2}.get(expected.dtype.name, 1e-5)
    np.testing.assert_allclose(
        found.astype(wide), expected.astype(wide), rtol=tolerance, atol=4 * tolerance
    )


FLAGS = list(itertools.product([False, True], repeat=2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a", "b"), FLAGS)
def test_matmul(xp, dtype, a, b):
    x, y = numbers((4, 3) if a else (3, 4), dtype), numbers((5, 4) if b else (4, 5), dtype, 1)
    before = xp.fake.fake_products()
    assert_equal(*both(xp, "MatMul", x, y, T=as_dtype(dtype), transpose_a=a, transpose_b=b))
    assert xp.fake.fake_products() == before + 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("x", "y"), FLAGS)
@pytest.mark.parametrize("op_type", ["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"])
def test_batches(xp, op_type, dtype, x, y):
    shape = (2, 3) if op_type == "BatchMatMul" else (3,)
    left = numbers((2, 3, *((5, 4) if x else (4, 5))), dtype)
    right = numbers((*shape, *((2, 5) if y else (5, 2))), dtype, 1)
    named = as_dtype(dtype)
    types = {"Ta": named, "Tb": named, "Tout": named} if op_type.endswith("3") else {"T": named}
    found = both(xp, op_type, left, right, **types, adj_x=x, adj_y=y)
    assert_equal(*found)


def test_halves_are_not_widened(xp):
    x, y = device(numbers((3, 4), "float16")), device(numbers((4, 5), "float16"))
    module = CudaModule(xp, Watch())
    module.float32 = None  # nobody asks for it
    run("MatMul", module, "GPU", [x, y], T=as_dtype("half"), transpose_a=False, transpose_b=False)


@pytest.mark.parametrize("dtype", ["float16", "complex64"])
def test_empty_and_refused_shapes_go_the_usual_way(xp, dtype):
    named = as_dtype(dtype)
    flags = {"adj_x": False, "adj_y": False}
    x, y = numbers((2, 3), dtype), numbers((4, 2), dtype)
    with pytest.raises(InvalidArgumentError, match="Matrix size-incompatible"):
        xp.matmul = np.matmul
        both(xp, "BatchMatMulV2", x, y, T=named, **flags)
    with pytest.raises(InvalidArgumentError, match="must be >= 2"):
        both(xp, "BatchMatMulV2", x[0], y, T=named, **flags)
    empty = numbers((0, 3), dtype), numbers((3, 2), dtype)
    assert_equal(*both(xp, "BatchMatMulV2", *empty, T=named, **flags))
