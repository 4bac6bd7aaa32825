"""The gradients of attention as two kernels: no spills, and what NumPy gives in float64."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from on_cpu import Batch, array_of
from test_attention import KINDS, card, fake_cupy, numbers  # noqa: F401
from test_attention import pytestmark as there_is_nvrtc
from test_compiled import compiled_without_spills

from tfsession.core.modes import modes
from tfsession.core.rules import fusers
from tfsession.devices.traced import dtype_named
from tfsession.kernels.cuda import attention, attention_gradient
from tfsession.kernels.cuda.attention import OPTIONS, Way
from tfsession.kernels.cuda.attention_changes import changes_of

pytestmark = there_is_nvrtc
needs_gxx = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")

# Those that tensor cores multiply; the others stay apart.
CORES = KINDS[1:]
TOLERANCES = {"float32": 6e-3, "float16": 8e-3, "bfloat16": 6e-2}

SCALED = (("scale", 0.25),)
BERT = (("scale", 0.125), ("add", 0.0))
GPT = (("scale", 0.25), ("times", 0.0), ("subtract", 0.0))
ASIDE = (("where", -1e9),)
TWICE = (("where_not", -1e9), ("scale", 0.5), ("where", float("-inf")))
DROPPED = (("scale", 1.25), ("where", 0.0))

# (shape of Q, rows of K, depth of V, changes, shares, shapes of their arrays)
SHAPES = [
    ((2, 3, 70, 64), 70, 64, SCALED, (), []),
    ((2, 2, 5, 16), 9, 16, BERT, (), [(2, 1, 1, 9)]),
    ((1, 2, 65, 40), 131, 24, GPT, (), [(65, 131), (65, 131)]),
    ((3, 33, 33), 40, 47, ASIDE, DROPPED, [(33, 40), (3, 33, 40)]),
    ((66, 128), 97, 128, TWICE, (), [(66, 1), (66, 97)]),
    ((2, 1, 17, 80), 64, 8, BERT, DROPPED, [(64,), (2, 1, 17, 64)]),
    ((18, 112), 19, 100, (), (), []),
]


def wide(array):
    return array if array.dtype == bool else array.astype(np.float32).astype(np.float64)


def changed(x, slope, changes, arrays):
    """A matrix with what is done to it, and its slope with the gradients of that."""
    for kind, number in changes:
        array = next(arrays) if kind != "scale" else None
        if kind == "scale":
            x, slope = x * number, slope * number
        elif kind == "times":
            x, slope = x * array, slope * array
        elif kind in ("add", "subtract"):
            x = x + array if kind == "add" else x - array
        else:
            kept = array if kind == "where" else ~array
            x, slope = np.where(kept, x, number), np.where(kept, slope, 0)
    return x, slope


def wanted(q, k, v, slope, changes, shares, arrays):
    """The result and the gradients of Q, K and V, in float64."""
    q, k, v, slope = map(wide, (q, k, v, slope))
    masks = iter(map(wide, arrays))
    scores = q @ k.swapaxes(-1, -2)
    scores, through = changed(scores, np.ones_like(scores), changes, masks)
    with np.errstate(all="ignore"):
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        powers /= powers.sum(axis=-1, keepdims=True)
    shares_of, behind = changed(powers, np.ones_like(powers), shares, masks)
    of_shares = slope @ v.swapaxes(-1, -2) * behind
    inner = powers * (of_shares - (of_shares * powers).sum(axis=-1, keepdims=True)) * through
    turned = inner.swapaxes(-1, -2)
    return shares_of @ v, [inner @ k, turned @ q, shares_of.swapaxes(-1, -2) @ slope]


def masks_of(changes, shapes, dtype):
    kinds = [kind for kind, _ in changes if kind != "scale"]
    for number, (kind, shape) in enumerate(zip(kinds, shapes, strict=True)):
        random = np.random.default_rng([number, *shape])
        if kind.startswith("where"):
            yield random.random(shape) < (0.75 if kind == "where" else 0.25)
        elif kind in ("times", "subtract"):  # a causal mask: rows may be 0, or -1e4
            lower = np.tri(*shape)
            yield (lower if kind == "times" else 1e4 * (1 - lower)).astype(dtype_named(dtype))
        else:
            yield random.normal(size=shape).astype(dtype_named(dtype))


def rows():
    for number, (row, kind) in enumerate(zip(SHAPES * 2, CORES * 5, strict=False)):
        shape, n, dv, changes, shares, shapes = row
        q, k, v = (numbers(s, kind[0], number + i) for i, s in enumerate(
            (shape, (*shape[:-2], n, shape[-1]), (*shape[:-2], n, dv))))  # fmt: skip
        slope = numbers((*shape[:-1], dv), kind[0], number + 3)
        masks = list(masks_of((*changes, *shares), shapes, kind[0]))
        if changes is TWICE:
            masks[0][3] = True  # a row that is masked as a whole
            masks[1][:, 5] = True  # none with nothing but -inf
        yield kind, (q, k, v, slope), changes, shares, masks


def odd_rows():
    """How arrays may lie; rows that are masked as a whole."""
    for kind in CORES[:2]:
        q = numbers((2, 9, 3, 32), kind[0], 1).swapaxes(1, 2)  # heads behind their positions
        k = numbers((2, 3, 32, 70), kind[0], 2).swapaxes(2, 3)
        v = numbers((2, 70, 3, 64), kind[0], 3).swapaxes(1, 2)[..., ::2]
        slope = np.broadcast_to(numbers((1, 1, 1, 32), kind[0], 4), (2, 3, 9, 32))
        mask = np.ones((9, 70), bool)
        mask[0], mask[1, :66], mask[2, 64:] = False, False, False
        yield kind, (q, k, v, slope), ASIDE, (), [mask]


def way_of(row):
    kind, _, changes, shares, _ = row
    return Way(changes_of(changes), changes_of(shares), kind[1], True)


def forward(row):
    _, (q, k, v, _), _, _, masks = row
    inputs = [q, k, v, *masks]
    calls = attention.planned(way_of(row), list(map(array_of, inputs)))
    assert calls is not None
    return SimpleNamespace(calls=calls, inputs=inputs)


def backward(row, result, kept):
    _, (q, k, v, slope), _, _, masks = row
    inputs = [q, k, v, result, slope, kept, *masks]
    calls = attention_gradient.planned(way_of(row), list(map(array_of, inputs)))
    assert calls is not None
    return SimpleNamespace(calls=calls, inputs=inputs)


def near(found, expected, dtype):
    scale = max(np.abs(expected).max(), 1e-30)
    np.testing.assert_allclose(wide(found) / scale, expected / scale, 0, TOLERANCES[dtype])


def check(row, result, found):
    kind, arrays, changes, shares, masks = row
    expected, gradients = wanted(*arrays, changes, shares, masks)
    near(result, expected, kind[0])
    for one, other in zip(found, gradients, strict=True):
        assert one.dtype == arrays[0].dtype
        near(one, other, kind[0])


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_gradients_compile_without_spills(arch):
    launches = {}
    for kind, depth in [(CORES[0], 64), (CORES[0], 128), (CORES[1], 128), (CORES[2], 64)]:
        q, k = (numbers((n, depth), kind[0], 0) for n in (5, 7))
        changes = (("scale", 0.5), ("add", 0.0), ("where", -1e9))
        shapes = [(5, 7), (5, 7), (5, 7)]
        masks = list(masks_of((*changes, *DROPPED), shapes, kind[0]))
        row = kind, (q, k, k, q), changes, DROPPED, masks
        kept = np.empty(5, np.complex64)
        for launch in (*forward(row).calls.launches, *backward(row, q, kept).calls.launches):
            launches[launch.name] = launch
    assert compiled_without_spills(list(launches.values()), arch, OPTIONS) == set(launches)
    assert len(launches) == 12


@pytest.fixture(scope="module")
def batches(host_code):
    given = [*rows(), *odd_rows()]
    forwards = Batch([forward(row) for row in given], host_code)
    results = forwards.results()
    jobs = [backward(row, *found) for row, found in zip(given, results, strict=True)]
    return given, results, Batch(jobs, host_code)


@needs_gxx
@pytest.mark.parametrize("from_last", [False, True])
def test_gradients_are_those_of_numpy(batches, from_last):
    given, results, made = batches
    found = made.results(from_last=from_last)
    for row, (result, _), gradients in zip(given, results, found, strict=True):
        check(row, result, gradients)


@needs_gxx
def test_no_memory_is_touched_but_what_is_given(host_code):
    given = [row for row in rows() if row[1][0].shape == (2, 2, 5, 16)][:1]
    forwards = [forward(row) for row in given]
    results = Batch(forwards, host_code, sanitized=True).results()
    jobs = [backward(row, *found) for row, found in zip(given, results, strict=True)]
    assert len(jobs) == 1
    Batch(jobs, host_code, sanitized=True).results()


@needs_gxx
@pytest.mark.parametrize("transposed", [False, True])
def test_the_whole_way_on_a_card(card, transposed):  # noqa: F811
    kind, changes, shares = ("float16", False), BERT, DROPPED
    q, k, v, slope = (numbers((2, 2, n, 16), kind[0], n) for n in (5, 7, 7, 5))
    masks = list(masks_of((*changes, *shares), [(2, 1, 1, 7), (2, 2, 5, 7)], kind[0]))
    turned = k.swapaxes(-1, -2) if transposed else k
    given = [fake_cupy.device(x) for x in (q, turned, v)]
    read = [fake_cupy.device(x) for x in masks]
    attend = fusers["attention"](card, changes, shares, transposed, True)
    differentiate = fusers["attention_gradient"](card, changes, shares, transposed)
    for _ in range(2):
        result, kept = attend(*given, *read)
        found = differentiate(*given, result, fake_cupy.device(slope), kept, *read)
        of_q, of_k, of_v = found
        row = kind, (q, k, v, slope), changes, shares, masks
        check(row, result, [of_q, of_k.swapaxes(-1, -2) if transposed else of_k, of_v])
    name = "masked_dropped_attention_float16_16"
    assert card.code.launches == [name, f"queries_of_{name}", f"keys_of_{name}"] * 2
    # A gradient of another shape has no code; who asks for it tells whose error it is.
    assert differentiate(*given, result, fake_cupy.device(slope[..., 1:]), kept, *read) is None


@needs_gxx
def test_what_is_exact_or_spread_stays_apart(card, monkeypatch):  # noqa: F811
    q = fake_cupy.device(numbers((2, 2, 5, 16), "float32", 0))
    attend = fusers["attention"](card, [], [], False, True)
    assert attend(q, q, q) is not None
    assert attend(q, q[:1], q[:1]) is None
    monkeypatch.setattr(modes, "tensor_float_32", False)
    assert attend(q, q, q) is None
    assert fusers["attention"](card, [], [], False)(q, q, q) is not None
