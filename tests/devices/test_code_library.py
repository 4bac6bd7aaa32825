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
from tfsession.kernels.cuda.emit_together import most_rows
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


@pytest.fixture
def updated(tmp_path, monkeypatch):
    """What updates arrays by code, and notes of what it does."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("there is no NVRTC")
    notes = []
    xp = fake_cupy(notes)
    library = CodeLibrary(xp, compiler(), CodeCache(tmp_path))
    monkeypatch.setattr(update, "code_library", lambda module: library)
    monkeypatch.setattr(update, "_plans", {})
    return lambda rows: update.updated_together(xp, rows), notes


def _row(size, place, rate=12288, factor=2, dtype="f4"):
    arrays = [FakeArray((size,), dtype, place), FakeArray((size,), dtype, place + (1 << 20))]
    scalars = {"rate": FakeArray((), dtype, rate), "factor": np.dtype(dtype).type(factor)}
    return update.Update(_descent, arrays, scalars)


def _numbers(arguments, dtype):
    return sorted(int(a) for a in arguments if a.dtype == np.dtype(dtype))


def test_updates_write_to_the_arrays_themselves(updated):
    run, notes = updated
    for _ in range(2):
        assert run([_row(40, 4096)]) == []
    load, (name, grid, _, arguments), again = notes
    assert (load, name, again[0]) == ("load", "together_multiply_multiply_subtract", name)
    assert (grid, _numbers(arguments, "u4")) == ((1, 1, 1), [40])
    assert _numbers(arguments, "u8") == [4096, 12288, 4096 + (1 << 20)]
    apart = _row(40, 4096)
    apart.arrays[1].flags.c_contiguous = False
    assert run([apart, _row(5, 4096)]) == [0]


def test_updates_of_many_variables_are_one_launch(updated):
    run, notes = updated
    assert run([_row(size, 4096 * size) for size in (3, 70000, 1024)]) == []
    (_, grid, _, arguments) = notes[-1]
    assert _numbers(arguments, "u4") == [1, 3, 70, 1024, 70000]  # sizes, and where blocks begin
    assert grid == (71, 1, 1)
    assert len(_numbers(arguments, "u8")) == 7  # the rate is one for all
    del notes[:]
    assert run([_row(3, 4096, rate) for rate in (8, 16)]) == []
    assert len(_numbers(notes[-1][-1], "u8")) == 6


def test_updates_that_are_not_alike_are_several(updated):
    run, notes = updated
    rows = [_row(3, 4096), _row(3, 8192, factor=3), _row(3, 4096, dtype="f8"), _row(3, 4100)]
    assert run(rows) == []
    assert len([note for note in notes if note != "load"]) == 4
    del notes[:]
    many = [_row(1 + number, 4096 * number) for number in range(1, 500)]
    assert run(many) == []
    launches = [note for note in notes if note != "load"]
    assert len(launches) == -(-len(many) // most_rows(3, 1))
    assert all(sum(a.itemsize for a in arguments) <= 4096 for *_, arguments in launches)
