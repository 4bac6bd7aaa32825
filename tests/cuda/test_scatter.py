"""Rows multiplied and divided in place, those that come several times each time."""

import platform
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from on_cpu import Batch
from test_compiled import compiled_without_spills

from tfsession.kernels.cuda.scatter import combining

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)

KINDS = [
    *(("multiply", dtype) for dtype in ("float32", "float64", "int32", "int64", "uint64")),
    *(("true_divide", dtype) for dtype in ("float32", "float64")),
]


def _job(ufunc, dtype, index, shape, count):
    rng = np.random.default_rng([*shape, count])
    array, rows = (
        rng.choice([1, 2, 4, -2], (size, *shape[1:])).astype(dtype) for size in (shape[0], count)
    )
    ids = rng.integers(-2, shape[0] + 2, count).astype(index)
    width = int(np.prod(shape[1:]))
    calls = combining(ufunc, dtype, index, count, width, shape[0])
    return SimpleNamespace(calls=replace(calls, results=(0,)), inputs=[array, ids, rows])


JOBS = [
    _job(*kind, index, shape, count)
    for kind in KINDS
    for index in ("int32", "int64")
    for shape, count in (((5, 3), 40), ((7,), 300), ((2, 3, 100), 4))
]


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_it_compiles_without_spills(arch):
    launches = [launch for job in JOBS for launch in job.calls.launches]
    assert len(compiled_without_spills(launches, arch)) == 2 * len(KINDS)


@pytest.mark.skipif(shutil.which("g++") is None, reason="a compiler of C++ is needed")
def test_it_is_what_numpy_does_and_strays_do_nothing(host_code):
    for job, (found,) in zip(JOBS, Batch(JOBS, host_code).results(), strict=True):
        wanted, ids, rows = (value.copy() for value in job.inputs)
        kept = (ids >= 0) & (ids < len(wanted))
        ufunc = np.multiply if "multiply" in job.calls.launches[0].name else np.true_divide
        ufunc.at(wanted, ids[kept], rows[kept])  # of powers of two: in any order
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)
