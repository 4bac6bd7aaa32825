"""Attention as one kernel: it compiles without spills, and gives what NumPy gives in float64."""

import platform
import runpy
import shutil
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from in_process import HostLibrary
from on_cpu import Batch, array_of
from test_compiled import compiled_without_spills

import tfsession  # noqa: F401  (registers the op families)
from tfsession.core.modes import modes
from tfsession.core.rules import fusers
from tfsession.devices.traced import dtype_named
from tfsession.kernels.cuda import attention
from tfsession.kernels.cuda.attention import OPTIONS, Way, planned
from tfsession.kernels.cuda.attention_changes import changes_of

FAKE = Path(__file__).parents[1] / "devices" / "fake_cupy.py"
fake_cupy = SimpleNamespace(**runpy.run_path(str(FAKE)))

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)
needs_gxx = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")

KINDS = [("float32", False), ("float32", True), ("float16", False), ("bfloat16", False)]
# How near the result is to that of float64, for values of about 1.
TOLERANCES = {("float32", False): 1e-5, ("float32", True): 2e-3, ("float16", False): 2e-3,
              ("bfloat16", False): 1.6e-2}  # fmt: skip


def numbers(shape, dtype, seed):
    random = np.random.default_rng([seed, *shape])
    return random.normal(size=shape).astype(np.float32).astype(dtype_named(dtype))


def wanted(q, k, v, mask, scale):
    """In float64."""
    q, k, v = (x.astype(np.float32).astype(np.float64) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = scores + mask.astype(np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True) @ v


# (shape of Q, shape of K, depth of V, shape of the mask)
SHAPES = [
    ((2, 3, 70, 64), (2, 3, 70, 64), 64, None),
    ((1, 2, 5, 16), (1, 2, 5, 16), 16, (1, 1, 5, 5)),
    ((2, 2, 1, 40), (2, 2, 131, 40), 24, (2, 1, 1, 131)),
    ((3, 65, 33), (3, 40, 33), 47, (65, 40)),
    ((66, 128), (97, 128), 128, None),
    ((2, 1, 17, 8), (1, 3, 64, 8), 8, (2, 3, 17, 64)),
]


def rows(shapes=SHAPES):
    for number, (q, k, dv, mask) in enumerate(shapes):
        for kind in KINDS:
            arrays = [numbers(shape, kind[0], number + i) for i, shape in
                      enumerate((q, k, (*k[:-1], dv)))]  # fmt: skip
            given = None if mask is None else numbers(mask, kind[0], 9)
            yield kind, arrays, given, q[-1] ** -0.5


def odd_rows():
    """How arrays may lie, and scores that are no plain numbers."""
    for kind in KINDS:
        q = numbers((2, 9, 3, 32), kind[0], 1).swapaxes(1, 2)  # heads behind their positions
        k = numbers((2, 3, 32, 70), kind[0], 2).swapaxes(2, 3)
        v = numbers((2, 70, 3, 32), kind[0], 3).swapaxes(1, 2)
        yield kind, [q, k, v], None, 0.25
        mask = np.zeros((9, 70), np.float32)
        mask[0], mask[1, :66], mask[2, 64:], mask[3, 5], mask[4, 69] = -np.inf, -np.inf, -np.inf, \
            np.nan, np.inf  # fmt: skip
        yield kind, [q, k, v], mask.astype(dtype_named(kind[0])), 0.125
        # Not aligned, steps between elements.
        wide = numbers((2, 3, 9, 65), kind[0], 4)
        yield kind, [wide[..., 1::2], k, v], None, -0.25


def changes(scale, is_masked):
    return changes_of([("scale", scale), *[("add", 0.0)] * is_masked])


def job(kind, arrays, mask, scale):
    inputs = [*arrays, *([] if mask is None else [mask])]
    way = Way(changes(scale, mask is not None), rounds=kind[1])
    calls = planned(way, [array_of(x) for x in inputs])
    assert calls is not None
    return SimpleNamespace(calls=calls, inputs=inputs)


def check(given, found):
    kind, arrays, mask, scale = given
    expected = wanted(*arrays, mask, scale)
    assert (found.dtype, found.shape) == (arrays[0].dtype, expected.shape)
    tolerance = TOLERANCES[kind]
    np.testing.assert_allclose(found.astype(np.float32), expected, tolerance, tolerance)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_attention_compiles_without_spills(arch):
    launches = {}
    for kind, (depth, mask) in product(KINDS, [(64, (5, 7)), (80, None), (128, (5, 7))]):
        arrays = [numbers((5, depth), kind[0], 0), *[numbers((7, depth), kind[0], 1)] * 2]
        (launch,) = job(kind, arrays, mask and numbers(mask, kind[0], 2), 0.5).calls.launches
        launches[launch.name] = launch
    assert compiled_without_spills(list(launches.values()), arch, OPTIONS) == set(launches)
    assert len(launches) == 12


@pytest.fixture(scope="module")
def batch(host_code):
    given = [*rows(), *odd_rows()]
    jobs = [job(*row) for row in given]
    return given, Batch(jobs, host_code)


@needs_gxx
@pytest.mark.parametrize("from_last", [False, True])
def test_attention_is_that_of_numpy(batch, from_last):
    given, made = batch
    for row, (found,) in zip(given, made.results(from_last=from_last), strict=True):
        check(row, found)


@needs_gxx
def test_no_memory_is_touched_but_what_is_given(host_code):
    edges, whole = SHAPES[3], SHAPES[1]
    jobs = [job(*row) for row in rows([edges])] + [job(*row) for row in rows([whole])][::2]
    assert len({job.calls.launches[0].source for job in jobs}) == 6
    Batch(jobs, host_code, sanitized=True).results()


def test_what_has_no_kernel():
    def refuses(*shapes, dtypes=("float32",) * 4, scale=1.0):
        arrays = [array_of(numbers(s, d, 0)) for s, d in zip(shapes, dtypes, strict=False)]
        assert planned(Way(changes(scale, len(shapes) > 3)), arrays) is None

    refuses((5, 129), (7, 129), (7, 8))  # too deep
    refuses((5, 8), (7, 9), (7, 8))
    refuses((5, 8), (7, 8), (6, 8))
    refuses((5, 8), (0, 8), (0, 8))
    refuses((2, 5, 8), (3, 7, 8), (3, 7, 8))
    refuses((5, 8), (7, 8), (7, 8), (2, 5, 7))  # a mask that makes more scores
    refuses((5, 8), (7, 8), (7, 8), scale=float("inf"))
    refuses((5, 8), (7, 8), (7, 8), dtypes=("float32", "float16", "float32"))
    refuses((1, 1, 1, 5, 8), (1, 1, 1, 7, 8), (1, 1, 1, 7, 8))


# --- on a card ------------------------------------------------------------------------------------


@pytest.fixture
def card(monkeypatch, host_code):
    """The array module of a card, whose kernels run on the host."""
    found = fake_cupy.FakeCupy()
    found.code = HostLibrary(host_code)
    monkeypatch.setattr(attention, "code_library", lambda xp: xp.code)
    monkeypatch.setattr(modes, "tensor_float_32", True)
    return found


@needs_gxx
@pytest.mark.parametrize(("dtype", "is_tf32"), KINDS[1:])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_whole_way_on_a_card(card, dtype, is_tf32, transposed):
    q, k, v = (numbers((2, 2, n, 16), dtype, n) for n in (5, 7, 7))
    mask = numbers((2, 1, 1, 7), dtype, 0)
    turned = k.swapaxes(-1, -2) if transposed else k
    given = [fake_cupy.device(x) for x in (q, turned, v, mask)]
    compute = fusers["attention"](card, [("scale", 0.25), ("add", 0.0)], [], transposed)
    for _ in range(2):
        check(((dtype, is_tf32), [q, k, v], mask, 0.25), compute(*given))
    name = f"masked_attention_{'tf32' if is_tf32 else dtype}_16"
    assert card.code.launches == [name] * 2
    assert len(card.code.known) == 1
    assert compute(given[0], given[2][..., :3], *given[2:]) is None  # these do not fit


# (dtype, whether TF32 is allowed, capability, batch, rows, keys, depth, whether it is worth it)
WORTHS = [
    ("float16", True, 90, 16, 1024, 1024, 64, True),
    ("bfloat16", False, 80, 8, 4096, 4096, 128, True),
    ("float16", True, 70, 16, 1024, 1024, 64, False),  # other tensor cores
    ("float16", True, 90, 4, 1, 8192, 64, False),  # few blocks over many keys
    ("float16", True, 90, 4, 1, 200, 64, True),
    ("float32", True, 90, 16, 1024, 1024, 64, True),
    ("float32", False, 90, 16, 1024, 1024, 64, False),  # the library multiplies better
    ("float32", False, 90, 16, 1024, 1024, 32, True),  # scores leave the cache
    ("float32", False, 90, 4, 512, 512, 32, False),
    ("float32", False, 90, 8, 64, 64, 64, True),  # small
    ("float32", True, 70, 16, 1024, 1024, 64, False),
]


@pytest.mark.parametrize("row", WORTHS)
def test_where_it_is_worth_it(monkeypatch, row):
    dtype, is_allowed, capability, batch, m, n, d, is_worth_it = row
    monkeypatch.setattr(modes, "tensor_float_32", is_allowed)
    card, launches = fake_cupy.FakeCupy(str(capability)), []

    def kernels(source, names, options):
        assert tuple(options) == OPTIONS
        return [lambda grid, block, arguments: launches.append(grid)]

    card.code = SimpleNamespace(kernels=kernels, card=card.cuda.Device())
    monkeypatch.setattr(attention, "code_library", lambda xp: xp.code)
    shapes = (batch, m, d), (batch, n, d), (batch, n, d)
    arrays = [card.empty(shape, dtype_named(dtype)) for shape in shapes]
    found = fusers["attention"](card, [("scale", 0.125)], [], False)(*arrays)
    assert (found is not None) is is_worth_it
    assert len(launches) == is_worth_it
    if is_worth_it:
        assert found.shape == (batch, m, d)
        assert launches[0][0] == batch * -(-m // 64)
