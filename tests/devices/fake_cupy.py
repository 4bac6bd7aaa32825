"""The few names of CuPy that devices/gemm.py uses, over NumPy; its own products are refused."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tfsession.devices import cublaslt, gemm

SOURCE = Path(__file__).with_name("fake_cublaslt.c")


class Array(np.ndarray):
    """An array that says where it lies as CuPy's do."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])


def device(array):
    """A copy that lies as CuPy would have it, with something else around it."""
    array = np.asarray(array)
    found = aligned(array.nbytes).view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def aligned(nbytes):
    """Bytes that begin where CuPy lets arrays begin; the next ones are no number."""
    room = np.empty(nbytes + 1024, np.uint8)
    room[: min(len(room), 1 << 16)] = room[-1024:] = 0xFF
    start = -room.ctypes.data % 256 + 256
    return room[start : start + nbytes].view(Array)


class Event:
    def record(self, stream):
        self.at = stream.tick()

    def synchronize(self):
        pass


class Stream:
    ptr = 0

    def __init__(self):
        self.captures, self.ticks = False, 0

    def is_capturing(self):
        return self.captures

    def tick(self):
        assert not self.captures, "nothing is timed in a capture"
        self.ticks += 1
        return self.ticks


class FakeCupy:
    """`xp` with the arrays of one card."""

    __name__ = "fake_cupy"

    def __init__(self, capability="90", name=b"Fake GPU"):
        self.stream = Stream()
        # Milliseconds between the events, one after another; the last one for ever.
        self.times = [1.0]
        self.empties = 0
        self.cuda = SimpleNamespace(
            get_current_stream=lambda: self.stream,
            get_elapsed_time=lambda begin, end: (
                self.times.pop(0) if len(self.times) > 1 else self.times[0]
            ),
            Event=Event,
            Device=lambda: SimpleNamespace(id=0, compute_capability=capability),
            runtime=SimpleNamespace(
                getDevice=lambda: 0, getDeviceProperties=lambda number: {"name": name}
            ),
        )

    def empty(self, shape, dtype=np.float64):
        self.empties += 1
        size = np.prod(shape, dtype=int) * np.dtype(dtype).itemsize
        return aligned(size).view(dtype).reshape(shape)

    def matmul(self, *args, **kwargs):
        raise NotImplementedError("cuBLAS is not captured")

    dot = einsum = tensordot = matmul

    def __getattr__(self, name):
        found = getattr(np, name)
        if not callable(found) or isinstance(found, type):
            return found
        return lambda *args, **kwargs: made(found(*args, **kwargs))


def made(result):
    """A result of NumPy's as an array of the card."""
    if isinstance(result, np.ndarray | np.generic) and not isinstance(result, np.bool_):
        return np.asarray(result).view(Array)
    return result


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory):
    """The fake, compiled; a machine without a compiler has no test of all this."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        assert not sys.platform.startswith("linux"), "cc, gcc or clang is needed: see ci/test"
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("cublaslt") / "libcublasLt.so.12"
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(path)]
    subprocess.run([*command, str(SOURCE), "-lm"], check=True)
    return ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))


@pytest.fixture
def xp(fake_library, tmp_path, monkeypatch):
    """A card with the fake library, no choices made before, and none made by time."""
    monkeypatch.setenv("TF_MATMUL_AUTOTUNE_ENABLE", "0")
    monkeypatch.setenv("TFSESSION_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cublaslt, "load", lambda: fake_library)
    monkeypatch.setattr(gemm, "_libraries", {})
    found = FakeCupy()
    found.fake = fake_library[0]
    return found
