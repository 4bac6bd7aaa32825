"""Products by cuBLASLt: the whole path down to its functions in C, of which a fake is strict."""

import gc
import itertools
import json
import os
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core.errors import InternalError
from tfsession.core.modes import modes
from tfsession.devices import cublaslt, gemm
from tfsession.devices.capture import Watch
from tfsession.devices.cuda_module import CudaModule
from tfsession.devices.gemm_choices import Choices
from tfsession.devices.layout import GpuSlot
from tfsession.devices.nvml import PhysicalGpu
from tfsession.devices.simulated import SimulatedDevice

fake_cupy = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("fake_cupy.py"))))
fake_library, xp, device = fake_cupy.fake_library, fake_cupy.xp, fake_cupy.device

DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
TOLERANCES = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 1e-5, "complex64": 1e-5}
RELU, BIAS, GELU, GRADIENT = cublaslt.RELU, cublaslt.BIAS, cublaslt.GELU, 256


@pytest.fixture(autouse=True)
def _exact():
    """Without TF32, unless a test asks for it."""
    modes.tensor_float_32 = False
    yield
    modes.tensor_float_32 = True


@pytest.fixture
def timing(monkeypatch):
    """Algorithms are chosen by time, as they are unless that is switched off."""
    monkeypatch.delenv("TF_MATMUL_AUTOTUNE_ENABLE")


def numbers(shape, dtype="float32", seed=0):
    rng = np.random.default_rng([seed, *shape])
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    values = rng.uniform(-2, 2, shape)
    if dtype.kind == "c":
        values = values + 1j * rng.uniform(-2, 2, shape)
    return values.astype(dtype)


def wide(array):
    return np.asarray(array).astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def assert_product(found, left, right, what=""):
    expected = wide(left) @ wide(right)
    assert found is not None and found.dtype == left.dtype, what
    assert found.shape == expected.shape, what
    tolerance = TOLERANCES.get(left.dtype.name, 1e-12)
    np.testing.assert_allclose(
        wide(found), expected, rtol=tolerance, atol=4 * tolerance, err_msg=str(what)
    )


def stored(shape, how, dtype="float32", seed=0):
    """A matrix, or a batch of them, that lies in memory as `how` says."""
    *batch, rows, columns = shape
    if how == "transposed":
        return device(numbers((*batch, columns, rows), dtype, seed)).swapaxes(-1, -2)
    if how == "part":
        return device(numbers((*batch, rows + 2, columns + 3), dtype, seed))[..., 1:-1, 1:-2]
    if how == "part, transposed":
        whole = device(numbers((*batch, columns + 1, rows + 5), dtype, seed))
        return whole[..., 1:, 2:-3].swapaxes(-1, -2)
    if how == "strided":
        return device(numbers((*batch, rows, 2 * columns), dtype, seed))[..., ::2]
    if how == "backwards":
        return device(numbers(shape, dtype, seed))[..., ::-1, :]
    return device(numbers(shape, dtype, seed))


LAYOUTS = ["rows", "transposed", "part", "part, transposed", "strided", "backwards"]
SHAPES = [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (1, 1, 5), (7, 1, 1), (16, 16, 8)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "inner", "columns"), SHAPES)
def test_matrices_of_all_layouts(xp, dtype, rows, inner, columns):
    library = gemm.gemm_library(xp)
    for one, other in itertools.product(LAYOUTS, LAYOUTS):
        left, right = stored((rows, inner), one, dtype), stored((inner, columns), other, dtype, 1)
        assert_product(library.multiply(xp, left, right), left, right, (one, other))


BATCHES = [
    ((3, 4, 5), (3, 5, 2)),
    ((3, 4, 5), (5, 2)),
    ((4, 5), (3, 5, 2)),
    ((3, 1, 5), (5, 2)),
    ((1, 4, 5), (6, 5, 2)),
    ((2, 3, 4, 5), (2, 3, 5, 2)),
    ((2, 3, 4, 5), (3, 5, 2)),
    ((2, 1, 4, 5), (1, 3, 5, 2)),
    ((2, 1, 3, 4, 5), (2, 1, 5, 2)),
    ((2, 3, 1, 4, 5), (1, 3, 2, 5, 2)),
    ((40, 1, 1, 5), (1, 40, 5, 1)),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
@pytest.mark.parametrize(("one", "other"), BATCHES)
def test_batches_are_broadcast(xp, dtype, one, other):
    library = gemm.gemm_library(xp)
    for how, where in itertools.product(["rows", "transposed", "part", "strided"], repeat=2):
        left, right = stored(one, how, dtype), stored(other, where, dtype, 1)
        assert_product(library.multiply(xp, left, right), left, right, (how, where))


@pytest.mark.parametrize(
    ("one", "other", "calls"),
    [
        ((3, 4, 5), (3, 5, 2), 1),
        ((2, 3, 4, 5), (2, 3, 5, 2), 1),
        ((2, 3, 4, 5), (5, 2), 1),
        ((2, 3, 4, 5), (3, 5, 2), 2),
        ((2, 1, 4, 5), (1, 3, 5, 2), 2),
        ((40, 40, 1, 5), (40, 1, 5, 1), 1),  # spread out first
    ],
)
def test_batches_take_few_calls(xp, one, other, calls):
    library = gemm.gemm_library(xp)
    left, right = stored(one, "rows"), stored(other, "rows")
    library.multiply(xp, left, right)  # algorithms are timed
    before = xp.fake.fake_products()
    library.multiply(xp, left, right)
    assert xp.fake.fake_products() - before == calls


def test_views_are_read_as_they_lie(xp):
    library = gemm.gemm_library(xp)
    left, right = stored((3, 4, 5), "part, transposed"), stored((3, 5, 2), "transposed", seed=1)
    library.multiply(xp, left, right)
    before = xp.empties
    library.multiply(xp, left, right)
    assert xp.empties - before == 2  # the result and the workspace, as in the first step


def test_steps_take_the_same_memory_while_algorithms_are_timed(xp, timing):
    taken = []
    for _ in range(3):
        xp.empties = 0
        multiply(xp)
        taken.append(xp.empties)
    assert taken == [2, 2, 2]


def test_a_small_device_gives_little_room(xp):
    left, right = stored((3, 4), "rows"), stored((4, 5), "rows")
    assert_product(CudaModule(xp, Watch(), 64 << 16).matmul(left, right), left, right)
    assert xp.fake.fake_last_workspace() == 1 << 16
    assert_product(CudaModule(xp, Watch(), 63 << 16).matmul(left, right), left, right)
    assert xp.fake.fake_last_workspace() == 0


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("conjugates", [(True, False), (False, True), (True, True)])
def test_adjoints(xp, dtype, conjugates):
    library = gemm.gemm_library(xp)
    for one, other in itertools.product(["rows", "transposed"], repeat=2):
        left, right = stored((2, 3, 4), one, dtype), stored((2, 4, 5), other, dtype, 1)
        wanted = [
            array.conj() if conjugate else array
            for array, conjugate in zip((left, right), conjugates, strict=True)
        ]
        assert_product(library.multiply(xp, left, right, conjugates=conjugates), *wanted)


@pytest.mark.parametrize("how", ["rows", "part", "transposed"])
def test_results_go_where_they_are_asked_for(xp, how):
    left, right, out = stored((3, 4), "rows"), stored((4, 5), "rows"), stored((3, 5), how)
    assert gemm.gemm_library(xp).multiply(xp, left, right, out) is out
    assert_product(out, left, right)


@settings(max_examples=60)
@given(data=st.data())
def test_any_shapes(fake_library, data):
    xp = fake_cupy.FakeCupy()
    library = gemm.GemmLibrary(cublaslt.Library(fake_library), 90, "any", Choices(None))
    xp.times = [float(data.draw(st.integers(1, 3))) for _ in range(3)]
    rows, inner, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    whole = data.draw(st.lists(st.integers(1, 3), max_size=3))
    shapes = []
    for matrix in ((rows, inner), (inner, columns)):
        own = [size if data.draw(st.booleans()) else 1 for size in whole]
        shapes.append((*own[data.draw(st.integers(0, len(own))) :], *matrix))
    left, right = (
        stored(shape, data.draw(st.sampled_from(LAYOUTS)), seed=i) for i, shape in enumerate(shapes)
    )
    assert_product(library.multiply(xp, left, right), left, right)


# --- epilogues ------------------------------------------------------------------------------------


def gelu(x):
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("epilogue", [BIAS, BIAS | RELU, BIAS | GELU, RELU, GELU])
@pytest.mark.parametrize(
    ("one", "other"), [((6, 4), (4, 3)), ((2, 5, 4), (4, 3)), ((1, 4), (4, 3))]
)
def test_epilogues(xp, dtype, epilogue, one, other):
    library, bias = gemm.gemm_library(xp), device(numbers((3,), dtype, 5))
    for how in ("rows", "transposed"):
        left, right = stored(one, how, dtype), stored(other, how, dtype, 1)
        vector = bias if epilogue & BIAS else None
        found = library.multiply(xp, left, right, epilogue=epilogue, vector=vector)
        expected = wide(left) @ wide(right) + (wide(bias) if epilogue & BIAS else 0)
        if epilogue & RELU:
            expected = np.maximum(expected, 0)
        if epilogue & GELU:
            expected = gelu(expected)
        tolerance = TOLERANCES[dtype]
        np.testing.assert_allclose(wide(found), expected, rtol=tolerance, atol=4 * tolerance)


def test_the_gradient_of_a_bias_comes_with_that_of_the_matrix(xp):
    library = gemm.gemm_library(xp)
    x, grad = stored((6, 4), "rows"), stored((6, 3), "rows", seed=1)
    total = xp.empty((3,), np.float32)
    found = library.multiply(xp, x.T, grad, epilogue=GRADIENT, vector=total)
    assert_product(found, x.T, grad)
    np.testing.assert_allclose(total, wide(grad).sum(0), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_what_the_library_lacks_is_left_to_others(xp, dtype):
    library = gemm.gemm_library(xp)
    left, right = stored((3, 4), "rows", dtype), stored((4, 5), "rows", dtype)
    bias = device(numbers((5,), dtype))
    assert library.multiply(xp, left, right, epilogue=BIAS, vector=bias) is None
    assert library.multiply(xp, left, right, epilogue=BIAS, vector=bias) is None


REFUSED = [
    ((3, 4), (5, 2)),
    ((3,), (3, 2)),
    ((0, 4), (4, 2)),
    ((3, 0), (0, 2)),
    ((2, 3, 4), (3, 4, 2)),
    ((0, 3, 4), (4, 2)),
]


@pytest.mark.parametrize(("one", "other"), REFUSED)
def test_shapes_that_it_does_not_take(xp, one, other):
    left, right = device(numbers(one)), device(numbers(other))
    assert gemm.gemm_library(xp).multiply(xp, left, right) is None


@pytest.mark.parametrize(("one", "other"), [("int32", "int32"), ("float32", "float64")])
def test_dtypes_that_it_does_not_take(xp, one, other):
    left, right = device(numbers((2, 2), one)), device(numbers((2, 2), other))
    assert gemm.gemm_library(xp).multiply(xp, left, right) is None


def test_who_has_no_such_library(monkeypatch):
    monkeypatch.setattr(gemm, "_libraries", {})
    monkeypatch.setattr(cublaslt, "load", lambda: None)
    gpu = PhysicalGpu("Simulated GPU", "ffff:00:00.0", "", 1 << 20, 1 << 20, None, simulated=True)
    assert gemm.gemm_library(np) is None
    assert gemm.gemm_library(SimulatedDevice(0, GpuSlot(gpu, 0, 1 << 20)).xp) is None
    assert gemm.gemm_library(fake_cupy.FakeCupy()) is None
    assert gemm.description() == "not installed"


# --- the array module of CUDA devices -------------------------------------------------------------

MATMULS = [
    ((3, 4), (4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 5)),
]


@pytest.mark.parametrize(("one", "other"), MATMULS)
def test_matmul_of_any_dimensions(xp, one, other):
    module, left, right = CudaModule(xp, Watch()), device(numbers(one)), device(numbers(other))
    assert_product(module.matmul(left, right), left, right)
    out = xp.empty((left @ right).shape, np.float32)
    assert module.matmul(left, right, out=out) is out
    assert_product(out, left, right)
    if max(left.ndim, right.ndim) < 3:
        assert_product(module.dot(left, right), left, right)


def test_the_rest_is_cupys(xp):
    module = CudaModule(xp, Watch())
    assert module.cuda is xp.cuda
    assert module.float32 is np.float32
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018
    integers = device(numbers((2, 2), "int32"))
    with pytest.raises(NotImplementedError):
        module.matmul(integers, integers)


# --- TF32 -----------------------------------------------------------------------------------------


def rounds(xp):
    """Whether a factor was rounded to TF32."""
    found = gemm.gemm_library(xp).multiply(
        xp, device(np.full((2, 2), 1.0001, np.float32)), device(np.eye(2, dtype=np.float32))
    )
    return bool(found[0, 0] == 1)


def test_tf32_is_a_switch(xp, monkeypatch):
    modes.tensor_float_32 = True
    assert rounds(xp)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert not rounds(xp)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    modes.tensor_float_32 = False
    assert not rounds(xp)


def test_sums_that_are_products_are_exact(xp):
    modes.tensor_float_32 = True
    module, value = CudaModule(xp, Watch()), device(np.full((4, 2), 1.0001, np.float32))
    ones = device(np.ones(4, np.float32))
    for total in (module.matmul(ones, value), module.matmul(value.T, ones[:, None])):
        np.testing.assert_allclose(total.reshape(-1), 4.0004, rtol=1e-6)


def test_cards_before_ampere_round_nothing(xp, fake_library):
    modes.tensor_float_32 = True
    monkey = fake_cupy.FakeCupy(capability="75")
    assert not rounds(monkey)


# --- algorithms -----------------------------------------------------------------------------------


def multiply(xp, seed=0):
    left, right = stored((3, 4), "rows", seed=seed), stored((4, 5), "rows", seed=seed + 1)
    found = gemm.gemm_library(xp).multiply(xp, left, right)
    assert_product(found, left, right)
    return xp.fake.fake_last_workspace()


def test_the_fastest_algorithm_is_taken_and_kept(xp, timing, tmp_path, monkeypatch):
    xp.times = [3.0, 2.0, 1.0, 9.0]
    assert multiply(xp) == 5 << 20
    ticks = xp.stream.ticks
    assert multiply(xp, 7) == 5 << 20
    assert xp.stream.ticks == ticks == 6
    monkeypatch.setattr(gemm, "_libraries", {})  # as another process
    assert multiply(xp) == 5 << 20
    assert xp.stream.ticks == ticks
    kept = json.loads((tmp_path / "gemm.json").read_text())
    (key,) = kept["choices"]
    assert key.startswith("Fake GPU/90/120903/Problem(")
    assert [path.name for path in tmp_path.iterdir()] == ["gemm.json"]


def test_older_cards_have_less_workspace(xp, timing):
    old = fake_cupy.FakeCupy(capability="80")
    old.fake, old.times = xp.fake, [3.0, 2.0]
    assert multiply(old) == 0
    assert old.stream.ticks == 4  # two algorithms fit


def test_nothing_is_timed_in_a_capture(xp, timing):
    xp.times = [3.0, 2.0, 1.0]
    xp.stream.captures = True
    assert multiply(xp) == 1 << 16  # what the library holds for the fastest
    xp.stream.captures = False
    assert multiply(xp) == 5 << 20


def test_timing_can_be_switched_off(xp):
    xp.times = [3.0, 2.0, 1.0]
    assert multiply(xp) == 1 << 16
    assert xp.stream.ticks == 0


def test_an_algorithm_that_is_refused_is_passed_over(xp, timing):
    xp.times = [2.0, 1.0]
    xp.fake.fake_refuse(1)
    assert multiply(xp) == 5 << 20


def test_a_failure_names_the_function_and_the_status(xp):
    multiply(xp)
    xp.fake.fake_refuse(1)
    with pytest.raises(InternalError, match="cublasLtMatmul failed: CUBLAS_STATUS_NOT_SUPPORTED"):
        multiply(xp)
    multiply(xp)


DAMAGED = [
    "",
    "{",
    "[]",
    "[[[[",
    '{"format": 2, "choices": {}}',
    '{"format": 1, "choices": []}',
    '{"format": 1, "choices": {"KEY": 5}}',
    '{"format": 1, "choices": {"KEY": ["zz", 0]}}',
    '{"format": 1, "choices": {"KEY": ["00", 0]}}',
    '{"format": 1, "choices": {"KEY": ["%s", -1]}}' % ("00" * 64),
    '{"format": 1, "choices": {"KEY": ["%s", true]}}' % ("00" * 64),
    '{"format": 1, "choices": {"KEY": ["%s", 0]}}' % ("00" * 64),  # of another problem
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_of_choices_is_passed_over(xp, timing, tmp_path, monkeypatch, text):
    multiply(xp)
    path = tmp_path / "gemm.json"
    (key,) = json.loads(path.read_text())["choices"]
    path.write_text(text.replace("KEY", key))
    monkeypatch.setattr(gemm, "_libraries", {})
    ticks = xp.stream.ticks
    multiply(xp)
    assert xp.stream.ticks == 2 * ticks
    assert len(json.loads(path.read_text())["choices"]) == 1


def test_choices_are_bounded_and_those_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tfsession.devices.gemm_choices._MOST", 4)
    path = tmp_path / "a" / "gemm.json"
    one, other = Choices(path), Choices(path)
    algorithm = cublaslt.Algorithm(bytes(64), 8)
    one.put("a", algorithm)
    assert other.get("b") is None
    other.put("b", algorithm)
    one.put("c", algorithm)
    assert set(Choices(path)._read()) == {"a", "b", "c"}
    for key in "defg":
        one.put(key, algorithm)
    assert set(Choices(path)._read()) == set("defg")
    assert Choices(path).get("d") == algorithm


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    choices = Choices(path / "gemm.json")
    choices.put("a", cublaslt.Algorithm(bytes(64), 8))
    assert choices.get("a") is not None


def test_descriptions_are_destroyed_with_their_products(xp):
    gc.collect()
    before = xp.fake.fake_alive()
    multiply(xp)
    assert xp.fake.fake_alive() > before
    gemm._libraries.clear()
    gc.collect()
    assert xp.fake.fake_alive() == before


# --- planted mistakes -----------------------------------------------------------------------------


def _wrong_lead(side):
    return side._replace(lead=side.lead + 1)


def _wrong_turn(side):
    return side._replace(operation=1 - side.operation)


def _wrong_step(side):
    return side._replace(steps=tuple(2 * step for step in side.steps))


@pytest.mark.parametrize("mistake", [_wrong_lead, _wrong_turn, _wrong_step])
def test_a_mistake_shows(xp, monkeypatch, mistake):
    right_side = gemm.GemmLibrary._side
    monkeypatch.setattr(gemm.GemmLibrary, "_side", lambda *a: mistake(right_side(*a)))
    left, right = stored((2, 3, 4), "rows"), stored((2, 4, 5), "rows")
    with pytest.raises((InternalError, AssertionError)):
        assert_product(gemm.gemm_library(xp).multiply(xp, left, right), left, right)


# --- what CuPy and the library really have --------------------------------------------------------


def _header():
    """Where cublasLt.h is installed; None if it is not."""
    roots = [Path(root, "nvidia", part) for root in sys.path for part in ("cublas", "cu13")]
    roots += [Path(os.environ[name]) for name in ("CUDA_PATH", "CUDA_HOME") if name in os.environ]
    found = [root / "include" / "cublasLt.h" for root in roots]
    return next((path for path in found if path.exists()), None)


NUMBERS = {
    "CUBLASLT_EPILOGUE_DEFAULT": cublaslt.DEFAULT,
    "CUBLASLT_EPILOGUE_RELU": RELU,
    "CUBLASLT_EPILOGUE_BIAS": BIAS,
    "CUBLASLT_EPILOGUE_GELU": GELU,
    "CUBLASLT_EPILOGUE_BGRADA": GRADIENT,
    "CUBLASLT_MATMUL_DESC_TRANSA": cublaslt._TRANSPOSES[0],
    "CUBLASLT_MATMUL_DESC_TRANSB": cublaslt._TRANSPOSES[1],
    "CUBLASLT_MATMUL_DESC_EPILOGUE": cublaslt._EPILOGUE,
    "CUBLASLT_MATMUL_DESC_BIAS_POINTER": cublaslt._BIAS_POINTER,
    "CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT": cublaslt._BATCH_COUNT,
    "CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET": cublaslt._BATCH_STRIDE,
    "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": cublaslt._MOST_WORKSPACE,
    "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES": cublaslt._ALIGNMENTS[0],
    "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES": cublaslt._ALIGNMENTS[1],
    "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES": cublaslt._ALIGNMENTS[2],
    "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES": cublaslt._ALIGNMENTS[3],
    "CUBLAS_OP_N": cublaslt.AS_IT_IS,
    "CUBLAS_OP_T": cublaslt.TRANSPOSED,
    "CUBLAS_OP_C": cublaslt.ADJOINT,
    "CUBLAS_COMPUTE_32F": gemm._FLOAT32,
    "CUBLAS_COMPUTE_32F_FAST_TF32": gemm._TF32,
    "CUBLAS_COMPUTE_64F": 70,
    **{f"CUBLAS_STATUS_{name}": number for number, name in cublaslt._STATUSES.items()},
}


def test_numbers_are_those_of_the_header():
    header = _header()
    if header is None:
        pytest.skip(
            "cublasLt.h is not installed: it comes with the wheels of cuBLAS and the toolkit"
        )
    text = header.read_text() + header.with_name("cublas_api.h").read_text()
    for name, number in NUMBERS.items():
        found = re.search(rf"\b{name}\s*=\s*(\d+)", text)
        assert found is not None, name
        assert int(found[1]) == number, name
    words = re.search(r"uint64_t data\[(\d+)\];\s*\} cublasLtMatmulAlgo_t", text)
    assert int(words[1]) * 8 == cublaslt._ALGORITHM_BYTES


def test_cupy_has_what_is_asked_of_it():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install -e '.[names]'")
    cuda = cupy.cuda
    for owner, name in (
        (cuda, "get_current_stream"),
        (cuda, "get_elapsed_time"),
        (cuda.Event, "record"),
        (cuda.Event, "synchronize"),
        (cuda.Stream, "is_capturing"),
        (cuda.Stream.null, "ptr"),
        (cuda.Device, "compute_capability"),
        (cuda.Device, "id"),
        (cuda.MemoryPointer, "ptr"),
        (cuda.runtime, "getDevice"),
        (cuda.runtime, "getDeviceProperties"),
        (cupy.ndarray, "data"),
    ):
        assert hasattr(owner, name), name
