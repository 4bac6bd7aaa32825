"""Rows updated in place by kernels, those that come several times each time, in their order."""

import platform
import shutil
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from on_cpu import Batch
from test_compiled import compiled_without_spills

from tfsession.devices.program import Value
from tfsession.kernels import train
from tfsession.kernels.cuda.emit_update_rows import Rows
from tfsession.kernels.cuda.order import TILE, ordering
from tfsession.kernels.cuda.update_rows import planned_rows

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)
NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler of C++")

# Formulas that are rounded alike everywhere, and for which the order of rows matters.
FORMULAS = {
    train._momentum_rows: ("lr momentum", {"use_nesterov": True}),
    train._adagrad_v2: ("lr epsilon", {"update_slots": True}),
    train._proximal_gradient_descent: ("alpha l1 l2", {}),
    train._ftrl_rows: ("lr l1 l2", {"lr_power": np.float32(-0.5), "multiply_linear_by_lr": False}),
}
STATES = {train._proximal_gradient_descent: 1, train._ftrl_rows: 3}


def _orders():
    rng = np.random.default_rng(7)
    sizes = (1, 2, 5, 1000, TILE, TILE + 1, 3 * TILE - 7, 8 * TILE + 100)
    return [
        rng.integers(-2, count + 2, size).astype(dtype)
        for size in sizes
        for dtype, count in (("int32", 9), ("int64", 1 << 30))
    ]


@NEEDS_COMPILER
def test_indices_are_ordered_and_equal_ones_as_they_came(host_code):
    found = [(ids, 9 if ids.dtype == np.int32 else 1 << 30) for ids in _orders()]
    jobs = [
        SimpleNamespace(calls=ordering(ids.dtype.name, ids.size, count), inputs=[ids])
        for ids, count in found
    ]
    for from_last in (False, True):
        results = Batch(jobs, host_code).results(from_last=from_last)
        for (keys,), (ids, count) in zip(results, found, strict=True):
            rows = np.where((ids >= 0) & (ids < count), ids.astype(np.int64), 0xFFFFFFFF)
            rows = rows.astype(np.uint64)
            order = np.argsort(rows, kind="stable")
            np.testing.assert_array_equal(keys >> np.uint64(32), rows[order])
            np.testing.assert_array_equal(keys & np.uint64(0xFFFFFFFF), order)


def _job(formula, dtype, shape, size, index, are_distinct):
    rng = np.random.default_rng(size)
    names, told = FORMULAS[formula]
    count = STATES.get(formula, 2)
    arrays = [(rng.random(shape) + 1).astype(dtype) for _ in range(count)]
    arrays.append(rng.normal(size=(size, *shape[1:])).astype(dtype))
    numbers = {name: np.array(0.25 + n, dtype) for n, name in enumerate(names.split())}
    if are_distinct:
        ids = rng.permutation(np.arange(shape[0]))[:size].astype(index)
        ids[::3] = -1
    else:
        ids = rng.integers(-1, shape[0] + 1, size).astype(index)
    rows = Rows(size, shape[1:], shape[0], index if are_distinct else "")
    open_numbers = {name: Value(value.dtype.name, ()) for name, value in numbers.items()}
    calls = planned_rows(formula, [a.dtype.name for a in arrays], open_numbers | told, rows, index)
    inputs = [*arrays, *numbers.values(), ids]
    return SimpleNamespace(
        calls=replace(calls, results=tuple(range(count))), inputs=inputs,
        wanted=_wanted(formula, arrays, ids, numbers | told),
    )  # fmt: skip


def _spare(like, count):
    return [np.empty_like(like) for _ in range(count)]


def _wanted(formula, arrays, ids, scalars):
    """Row by row, as a loop would."""
    states = [array.copy() for array in arrays[:-1]]
    for row, grad in zip(ids.tolist(), arrays[-1], strict=True):
        if 0 <= row < len(states[0]):
            parts = [np.atleast_1d(state[row]) for state in states]
            with np.errstate(all="ignore"):
                formula(np, partial(_spare, parts[0]), *parts, np.atleast_1d(grad), **scalars)
            for state, part in zip(states, parts, strict=True):
                state[row] = part if state.ndim > 1 else part[0]
    return states


def _jobs():
    return [
        _job(formula, dtype, shape, size, index, are_distinct)
        for formula in FORMULAS
        for dtype in ("float32", "float64")
        for shape, size, index, are_distinct in (
            ((5, 3), 40, "int32", False),
            ((7,), 2 * TILE + 9, "int64", False),
            ((300, 2, 2), 70, "int64", True),
        )
    ] + [
        _job(train._momentum_rows, dtype, (4, 6), 30, "int32", False)
        for dtype in ("float16", ml_dtypes.bfloat16)
    ]


@NEEDS_COMPILER
def test_the_bits_are_those_of_one_row_after_another(host_code):
    jobs = _jobs()
    for arch in ("sm_80", "sm_90"):
        assert compiled_without_spills([n for job in jobs for n in job.calls.launches], arch)
    for found, job in zip(Batch(jobs, host_code).results(), jobs, strict=True):
        for one, other in zip(found, job.wanted, strict=True):
            assert one.reshape(other.shape).tobytes() == other.tobytes()
