"""Equal elements of a vector find each other, whatever the order in which threads come."""

import platform
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from on_cpu import Batch
from test_compiled import compiled_without_spills

from tfsession.kernels.cuda.distinct import NONE, entering, first_places_of, table_size

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)

RNG = np.random.default_rng(5)
VECTORS = [
    *(RNG.integers(-low, high, size).astype(dtype)
      for low, high, size in ((0, 3, 700), (5, 100, 300), (9, 1 << 31, 300), (0, 1, 257))
      for dtype in ("int32", "int64")),
    np.array([7], np.int32),
    np.arange(0, 1 << 40, 1 << 32),
    np.array([-(1 << 63), (1 << 63) - 1, -1, 0, -1, -(1 << 63)]),
    np.arange(512)[::-1].copy(),
]  # fmt: skip


def _job(vector):
    calls = entering(vector.dtype.name, vector.size)
    table = np.full(table_size(vector.size), NONE, np.int32)
    return SimpleNamespace(calls=replace(calls, results=(1, 2)), inputs=[vector, table])


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_it_compiles_without_spills(arch):
    launches = [launch for vector in VECTORS[:2] for launch in _job(vector).calls.launches]
    assert len(compiled_without_spills(launches, arch)) == 2


@pytest.mark.skipif(shutil.which("g++") is None, reason="a compiler of C++ is needed")
def test_each_element_finds_the_first_one_like_it(host_code):
    jobs = [_job(vector) for vector in VECTORS]
    for (table, slots), vector in zip(Batch(jobs, host_code).results(), VECTORS, strict=True):
        wanted = [vector.tolist().index(element) for element in vector.tolist()]
        assert table[slots].tolist() == wanted == first_places_of(vector).tolist()
        assert np.count_nonzero(table != NONE) == len(set(vector.tolist()))


def test_half_of_a_table_stays_empty():
    for count in (*range(1, 70), 1 << 20, (1 << 20) + 1):
        size = table_size(count)
        assert size >= 2 * count
        assert size.bit_count() == 1
