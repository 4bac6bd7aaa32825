"""Generated CUDA C, run on the CPU, gives what NumPy gives; and what is broken is found broken."""

import platform
import shutil
import sys
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from cases import at_random, numbers, plain, program_of, reductions, shapes, single_functions
from on_cpu import Batch, Job
from programs import computed

from tfsession.devices.traced import dtype_named

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("g++") is None,
    reason="fibers and a compiler of C++ are needed",
)

# Steps whose last bits are those of a library of functions.
EXACT = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "where", "astype", "literal"),
    *("view", "greater", "negative", "square", "sqrt", "max", "min", "all", "any"),
)
# NumPy leaves the sign of a zero to how it goes through an array.
FREE_ZEROS = {"fmax of", "fmin of"}
# In units of the last place of the widest type that is left to round.
ULPS = 4


def _check(name, job, results, tolerance=None):
    wanted = computed(job.program, *job.inputs)
    for found, expected in zip(results, wanted, strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        if found.dtype.kind == "V" or found.dtype == np.float16:
            found, expected = found.astype("f4"), expected.astype("f4")
        if tolerance is None or found.dtype.kind in "biu":
            np.testing.assert_array_equal(found, expected, err_msg=name)
            if name[:7] not in FREE_ZEROS and found.dtype.kind == "f":
                zeros = found[found == 0], expected[found == 0]
                np.testing.assert_array_equal(*map(np.signbit, zeros), err_msg=name)
        else:
            np.testing.assert_allclose(found, expected, tolerance, tolerance, err_msg=name)


def _tolerance(job):
    steps = job.program.steps
    if {step.name for step in steps} <= set(EXACT):
        return None
    floats = {step.value.dtype for step in steps} - {"bool"}
    floats = {name for name in floats if dtype_named(name).kind in "fV"}
    return ULPS * max((float(ml_dtypes.finfo(dtype_named(name)).eps) for name in floats), default=0)


def test_each_function(host_code):
    rows = list(single_functions())
    assert len(rows) > 200
    jobs = [Job(program, arrays) for _, _, program, arrays in rows]
    for (name, dtype, *_), job, found in zip(
        rows, jobs, Batch(jobs, host_code).results(), strict=True
    ):
        _check(f"{name} of {dtype}", job, found, _tolerance(job))


@pytest.fixture(scope="module")
def groups(host_code):
    """Names, jobs and a batch of all groups over shapes and with reductions."""
    rows = [*shapes(), *reductions(), *at_random(range(60))]
    jobs = [Job(program_of(function, *arrays), arrays) for _, function, arrays in rows]
    batch = Batch(jobs, host_code)
    return [name for name, *_ in rows], jobs, batch.results(), batch.results(from_last=True)


def test_groups(groups):
    names, jobs, results, _ = groups
    for name, job, found in zip(names, jobs, results, strict=True):
        tolerance = _tolerance(job)
        _check(name, job, found, None if tolerance is None else max(tolerance, 3e-5))


def test_results_do_not_depend_on_the_order_of_warps(groups):
    names, _, results, others = groups
    for name, found, other in zip(names, results, others, strict=True):
        assert [a.tobytes() for a in found] == [a.tobytes() for a in other], name


# --- what is broken -------------------------------------------------------------------------------


def _add(xp, x, y):
    return x + y


def _sums(xp, x):
    return [x - x.sum(axis=1, keepdims=True), x.sum(axis=0)]


PLANTED = [
    ("__syncthreads();", "", _sums, [(3, 5000)]),
    ("lane + (I)(e / ", "lane + (I)1 + (I)(e / ", _sums, [(3, 5000)]),
    (", d)", ", 1)", _sums, [(3, 50)]),
    ("< m) {", "< m - 1) {", _sums, [(3, 50)]),
    ("n * 4 + threadIdx.x", "n * 4 + 1 + threadIdx.x", _add, [(1003,), (1003,)]),
    ("const I i = first + (I)u", "const I i = 1 + first + (I)u", _add, [(1000,), (1000,)]),
    ("threadIdx.y; b <", "threadIdx.y + 1; b <", _sums, [(40, 9)]),
]


class _Changed(Job):
    """A job whose kernels are broken."""

    def __init__(self, old, new, function, arrays):
        super().__init__(program_of(function, *arrays), arrays)
        assert any(old in launch.source for launch in self.calls.launches), old
        launches = [replace(x, source=x.source.replace(old, new)) for x in self.calls.launches]
        self.calls = replace(self.calls, launches=tuple(launches))


def test_planted_mistakes_are_found(host_code):
    jobs = [
        _Changed(old, new, function, [plain(shape) for shape in shapes])
        for old, new, function, shapes in PLANTED
    ]
    for (old, *_), job, found in zip(PLANTED, jobs, Batch(jobs, host_code).results(), strict=True):
        with pytest.raises(AssertionError):
            _check("planted", job, found, 1e-4)
            pytest.fail(f"{old} is not missed")


def test_no_memory_is_touched_but_what_is_given(host_code):
    rows = [row for row in (*shapes(), *reductions()) if max(a.size for a in row[2]) < 20000][::2]
    jobs = [Job(program_of(function, *arrays), arrays) for _, function, arrays in rows]
    arrays = [numbers((1003,)), numbers((1003,))]
    broken = _Changed("threadIdx.x < tail", "threadIdx.x < tail + 1", _add, arrays)
    batch = Batch([*jobs, broken], host_code, sanitized=True)
    batch.results(jobs)
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        batch.results([broken])
