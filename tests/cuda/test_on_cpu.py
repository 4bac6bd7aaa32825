"""Generated CUDA C, run on the CPU, gives what NumPy gives; and what is broken is found broken."""

import platform
import shutil
import sys

import ml_dtypes
import numpy as np
import pytest
from cases import numbers, plain, program_of, reductions, shapes, single_functions
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


def test_each_function(tmp_path):
    rows = list(single_functions())
    assert len(rows) > 200
    jobs = [Job(program, arrays) for _, _, program, arrays in rows]
    for (name, dtype, *_), job, found in zip(
        rows, jobs, Batch(jobs, tmp_path).results(), strict=True
    ):
        _check(f"{name} of {dtype}", job, found, _tolerance(job))


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Names, jobs and a batch of all groups over shapes and with reductions."""
    rows = [*shapes(), *reductions()]
    jobs = [Job(program_of(function, *arrays), arrays) for _, function, arrays in rows]
    return [name for name, *_ in rows], jobs, Batch(jobs, tmp_path_factory.mktemp("groups"))


@pytest.mark.parametrize("from_last", [False, True], ids=["first warp first", "last warp first"])
def test_groups(groups, from_last):
    names, jobs, batch = groups
    for name, job, found in zip(names, jobs, batch.results(from_last), strict=True):
        tolerance = _tolerance(job)
        _check(name, job, found, None if tolerance is None else max(tolerance, 3e-5))


def test_results_do_not_depend_on_the_order_of_warps(groups):
    _, _, batch = groups
    for found, other in zip(batch.results(), batch.results(from_last=True), strict=True):
        assert [array.tobytes() for array in found] == [array.tobytes() for array in other]


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


@pytest.mark.parametrize(("old", "new", "function", "shape"), PLANTED)
def test_planted_mistakes_are_found(old, new, function, shape, tmp_path):
    arrays = [plain(own) for own in shape]
    jobs = [Job(program_of(function, *arrays), arrays)]
    assert any(old in launch.source for launch in jobs[0].calls.launches)
    batch = Batch(jobs, tmp_path, change=lambda text: text.replace(old, new))
    with pytest.raises(AssertionError):
        _check("planted", jobs[0], batch.results()[0], 1e-4)


def test_no_memory_is_touched_but_what_is_given(tmp_path):
    rows = [row for row in (*shapes(), *reductions()) if max(a.size for a in row[2]) < 20000][::2]
    jobs = [Job(program_of(function, *arrays), arrays) for _, function, arrays in rows]
    Batch(jobs, tmp_path, sanitized=True).results()


def test_memory_beyond_is_found_to_be_touched(tmp_path):
    arrays = [numbers((1003,)), numbers((1003,))]
    jobs = [Job(program_of(_add, *arrays), arrays)]
    batch = Batch(
        jobs, tmp_path, sanitized=True, change=lambda t: t.replace("x < tail", "x < tail + 1")
    )
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        batch.results()
