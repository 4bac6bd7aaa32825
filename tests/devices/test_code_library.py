"""Kernels come from disk, or from the compiler once, and are loaded once for each card."""

import platform
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tfsession.devices.code_cache import CodeCache
from tfsession.devices.code_library import CodeLibrary, code_library
from tfsession.devices.nvrtc import CompilationError, Compiled, compiler
from tfsession.kernels.cuda import update
from tfsession.kernels.cuda.body import Array
from tfsession.kernels.cuda.emit import OPTIONS
from tfsession.kernels.cuda.fused import Fused


class FakeModule:
    """What CuPy's `Module` does, without a card: it notes what is loaded and called."""

    def __init__(self, notes):
        self.notes = notes

    def load(self, code):
        assert code.startswith(b"\x7fELF")
        self.notes.append("load")

    def get_function(self, name):
        return lambda grid, block, arguments: self.notes.append((name, grid, block, arguments))


class FakeArray:
    """An array with an address, as CuPy's."""

    def __init__(self, shape, dtype, address=4096):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.itemsize, self.size = self.dtype.itemsize, int(np.prod(shape))
        self.strides = np.empty(shape, dtype).strides
        self.data = SimpleNamespace(ptr=address)
        self.flags = SimpleNamespace(c_contiguous=True)


def fake_cupy(notes, card=0):
    """As much of CuPy as generated kernels need."""
    device = SimpleNamespace(id=card, compute_capability="90")
    return SimpleNamespace(
        __name__="cupy",
        ndarray=FakeArray,
        empty=lambda shape, dtype: FakeArray(shape, dtype, 1 << 20),
        cuda=SimpleNamespace(
            Device=lambda: device, function=SimpleNamespace(Module=lambda: FakeModule(notes))
        ),
    )


class CountingCompiler:
    """Counts what is compiled."""

    version = (12, 9)

    def __init__(self):
        self.count = 0

    def compile(self, source, name, arch, options):
        self.count += 1
        if "wrong" in source:
            raise CompilationError(f"The kernel {name} does not compile for {arch}")
        return Compiled(b"\x7fELF" + source.encode(), "")


def test_what_is_compiled_once_is_found_by_others(tmp_path):
    notes, made = [], CountingCompiler()
    for _ in range(2):
        library = CodeLibrary(fake_cupy(notes), made, CodeCache(tmp_path))
        for _ in range(2):
            (kernel,) = library.kernels("source", ["name"], OPTIONS)
    assert made.count == 1
    assert notes == ["load", "load"]
    kernel((1, 1, 1), (32, 1, 1), ())
    assert notes[-1] == ("name", (1, 1, 1), (32, 1, 1), ())
    with pytest.raises(CompilationError, match="kernel name"):
        library.kernels("wrong", ["name"], OPTIONS)


def test_other_arrays_have_no_library():
    assert code_library(np) is None
    assert code_library(SimpleNamespace(__name__="numpy of GPU:0")) is None


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A group on a card that is not there, and what is done to the card."""
    from tfsession.kernels.cuda import fused  # noqa: PLC0415  (tests patch it)

    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("there is no NVRTC")
    notes = []
    xp = fake_cupy(notes)
    library = CodeLibrary(xp, compiler(), CodeCache(tmp_path))
    monkeypatch.setattr(fused, "code_library", lambda module: library)
    call = fused.Call(lambda module: lambda x, y: module.tanh(x + y).sum(axis=1), (0, 1))
    return Fused(xp, [call], 2, [2]), notes


def test_a_group_launches_its_kernels_with_addresses_and_sizes(group):
    run, notes = group
    x, y = FakeArray((4, 64), "f4", 4096), FakeArray((64,), "f4", 8192)
    (result,) = run(x, y)
    assert (result.shape, result.dtype) == ((4,), np.float32)
    load, (name, grid, block, arguments) = notes
    assert (load, name) == ("load", "rows_add_tanh_sum")
    assert (len(grid), len(block)) == (3, 3)
    assert {a.dtype for a in arguments} == {np.dtype("u8"), np.dtype("u4")}
    addresses = sorted(int(a) for a in arguments if a.dtype == np.uint64)
    assert addresses == [4096, 8192, 1 << 20]
    run(x, y)
    assert [note == "load" for note in notes] == [True, False, False]


def test_arrays_that_lie_otherwise_get_other_kernels(group):
    run, notes = group
    run(FakeArray((4, 64), "f4", 4096), FakeArray((64,), "f4", 8192))
    run(FakeArray((4, 64), "f4", 4100), FakeArray((64,), "f4", 8192))
    assert notes.count("load") == 2
    assert run(FakeArray((0, 64), "f4"), FakeArray((64,), "f4")) is None
    assert run(FakeArray((4, 64), "c8"), FakeArray((64,), "f4")) is None
    assert run(FakeArray((4, 64), "f4"), FakeArray((63,), "f4")) is None


def test_how_arrays_lie_is_all_that_code_depends_on(group):
    run, _ = group
    texts = set()
    for rows, columns in ((4, 64), (40, 64), (7, 128)):
        shapes = (rows, columns), (columns,)
        arrays = [Array("float32", s, tuple(np.empty(s, "i1").strides)) for s in shapes]
        texts.update(launch.source for launch in run.planned(arrays).launches)
    assert len(texts) == 1


def _descent(xp, spare, var, grad, *, rate, factor):
    var -= grad * rate * factor


def test_updates_write_to_the_arrays_themselves(tmp_path, monkeypatch):
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("there is no NVRTC")
    notes = []
    xp = fake_cupy(notes)
    library = CodeLibrary(xp, compiler(), CodeCache(tmp_path))
    monkeypatch.setattr(update, "code_library", lambda module: library)
    var, grad = FakeArray((40,), "f4", 4096), FakeArray((40,), "f4", 8192)
    scalars = {"rate": FakeArray((), "f4", 12288), "factor": np.float32(2)}
    for _ in range(2):
        assert update.updated_in_place(xp, _descent, [var, grad], scalars)
    load, (name, _, _, arguments), again = notes
    assert (load, name, again[0]) == ("load", "elementwise_multiply_multiply_subtract", name)
    addresses = [int(a) for a in arguments if a.dtype == np.uint64]
    assert sorted(addresses) == [4096, 4096, 8192, 12288]
    grad.flags.c_contiguous = False
    assert not update.updated_in_place(xp, _descent, [var, grad], scalars)
