"""What steps cost in counts that do not depend on the machine, beside the table that is kept.

    python tests/bench/counters.py             prints them, and what changed since the table
    python tests/bench/counters.py --update    writes them into the table: tests/bench/counters.json

Each work is run until its step is cached, then once for each count, on one core:
  calls   of functions, of Python and of C (NumPy's ufuncs are neither)
  lines   of Python executed
  arrays  memory blocks that NumPy asked for
  bytes   in all of these blocks
  peak    bytes of the blocks that lived at one time, beyond those that lived before
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from works import dense, graphs, images, loops, small, sparse
from works.row import Sizes, Step, Work

from tfsession.devices import native, onednn

TABLE = Path(__file__).with_name("counters.json")
KINDS = ("calls", "lines", "arrays", "bytes", "peak")
# Worse by more fails; better by more asks for an update of the table.
WORSE, BETTER = 1.03, 0.9
# A few numbers beside the arrays are no news.
SLACK = {"bytes": 1024, "peak": 1024}

WORKS: dict[str, tuple[Work, Sizes]] = {
    "fed multiply": (small.fed_multiply, (False,)),
    "chain of 100": (small.chain, (100,)),
    "cond": (small.cond, ()),
    "construction of 200 nodes": (graphs.construction, (100,)),
    "gradients of 200 ops": (graphs.gradients, (100,)),
    "import of 200 nodes": (graphs.imported, (100,)),
    "first run of 200 nodes": (graphs.first_run, (100,)),
    "MLP inference": (dense.mlp_inference, (32,)),
    "MLP Adam step": (dense.mlp_training, (32,)),
    "12 element-wise ops, 1 M": (dense.elementwise, (1_000_000, False)),
    "sum(x * x + 1), 1 M": (dense.reduction, (1_000_000,)),
    "softmax": (dense.softmax, (512, 1000)),
    "layer norm, gradients": (dense.layer_norm, (512, 256, True)),
    "transformer, Adam step": (dense.transformer, (2, 16, 64, 4, True)),
    "convolution, gradients": (images.convolution, ((4, 14, 14, 16), 3, 16, True)),
    "pools, gradients": (images.pools, ((4, 28, 28, 8), True)),
    "batch norm, gradients": (images.batch_norm, (8, 14, 16)),
    "CNN descent step": (images.cnn_training, (8,)),
    "frozen CNN": (images.frozen, (1, 32, 8)),
    "loop of 100": (loops.loop, (100,)),
    "gradient of a loop of 100": (loops.loop_gradient, (100,)),
    "static LSTM, descent": (loops.cells, (True, "LSTM", 10, 8, 16, True)),
    "dynamic LSTM, descent": (loops.cells, (False, "LSTM", 10, 8, 16, True)),
    "embedding, Adam step": (sparse.embedding, ("Adam", (10_000, 16), 256)),
    "embedding, Adagrad step": (sparse.embedding, ("Adagrad", (10_000, 16), 256)),
    "sparse matmul": (sparse.product, (500, 1000, 16)),
    "graph convolutions, Adam step": (sparse.graph_convolutions, (300, 600, 100, 16, 7)),
}


class _Allocator(ctypes.Structure):
    _fields_ = [
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
        (
            "calloc",
            ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t),
        ),
        (
            "realloc",
            ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
        ),
        (
            "free",
            ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
        ),
    ]


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler, version 1 (NEP 49)."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("allocator", _Allocator),
    ]


class Memory:
    """Counts the blocks that NumPy's arrays take while it is installed in this thread.

    Blocks keep the handler that made them, so it must outlive all arrays made under it.
    """

    NAME = b"mem_handler"

    def __init__(self) -> None:
        api = ctypes.pythonapi
        api.PyCapsule_GetPointer.restype = ctypes.c_void_p
        api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
        api.PyCapsule_New.restype = ctypes.py_object
        api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        table = api.PyCapsule_GetPointer(np._core.multiarray._ARRAY_API, None)
        address = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[304]
        self._set = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)
        self.count = self.bytes = self.live = self.peak = 0
        libc = ctypes.CDLL(None)
        for name, takes, gives in (
            ("malloc", [ctypes.c_size_t], ctypes.c_void_p),
            ("calloc", [ctypes.c_size_t, ctypes.c_size_t], ctypes.c_void_p),
            ("realloc", [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_void_p),
            ("free", [ctypes.c_void_p], None),
        ):
            getattr(libc, name).argtypes, getattr(libc, name).restype = takes, gives
        self._handler = _Handler(b"counting", 1, self._allocator(libc))
        self._capsule = api.PyCapsule_New(ctypes.addressof(self._handler), self.NAME, None)

    def _allocator(self, libc: Any) -> _Allocator:
        def took(size: int) -> None:
            self.count += 1
            self.bytes += size
            self.live += size
            self.peak = max(self.peak, self.live)

        def malloc(_: Any, size: int) -> Any:
            took(size)
            return libc.malloc(max(size, 1))

        def calloc(_: Any, count: int, size: int) -> Any:
            took(count * size)
            return libc.calloc(max(count, 1), max(size, 1))

        def realloc(_: Any, block: Any, size: int) -> Any:
            took(size)
            return libc.realloc(block, max(size, 1))

        def free(_: Any, block: Any, size: int) -> None:
            self.live -= size
            libc.free(block)

        types = [kind for _, kind in _Allocator._fields_[1:]]
        functions = (malloc, calloc, realloc, free)
        return _Allocator(None, *(kind(f) for kind, f in zip(types, functions, strict=True)))

    def counts(self, step: Step) -> dict[str, int]:
        """Blocks, their bytes and their peak, of one step."""
        before = self._set(self._capsule)
        try:
            self.count = self.bytes = self.live = self.peak = 0
            step()
            return {"arrays": self.count, "bytes": self.bytes, "peak": self.peak}
        finally:
            self._set(before)


def _counts(frame: Any) -> bool:
    """Whether it is a function's: comprehensions are functions in Python 3.11 alone."""
    return frame.f_code.co_name not in ("<listcomp>", "<dictcomp>", "<setcomp>")


def _calls(step: Step) -> dict[str, int]:
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call" or (event == "call" and _counts(frame))

    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(None)
    return {"calls": count - 2}  # without the step itself, and the end of the profile


def _lines(step: Step) -> dict[str, int]:
    count = 0

    def note(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return note

    sys.settrace(note)
    try:
        step()
    finally:
        sys.settrace(None)
    return {"lines": count}


def _alone() -> None:
    """Make this a process on one core and without GPUs, before tfsession is imported."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.cpu_count = lambda: 1
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TFSESSION_SIMULATED_GPUS": ""}


def count(names: list[str]) -> dict[str, dict[str, int]]:
    """The counts of these works."""
    import tfsession

    memory = Memory()
    found = {}
    for name in names:
        work, sizes = WORKS[name]
        step = work.build(tfsession, *sizes)
        prepare = getattr(step, "prepare", lambda: None)
        for _ in range(4):
            prepare()
            step()
        gc.collect()
        gc.disable()
        found[name] = {}
        # Twice in memory: what a step keeps for the next shall come from the same place.
        for counts in (memory.counts, memory.counts, _calls, _lines):
            prepare()
            found[name] |= counts(step)
        gc.enable()
    return found


def versions() -> dict[str, str]:
    """What the counts depend on, beside this project."""
    return {
        "system": sys.platform,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "numpy": ".".join(np.__version__.split(".")[:2]),
    }


def compare(kept: dict[str, Any], found: dict[str, Any]) -> dict[str, list[str]]:
    """What became worse and what better, a line each; lines are those of one Python version."""
    kinds = KINDS if kept["versions"] == found["versions"] else [k for k in KINDS if k != "lines"]
    changes: dict[str, list[str]] = {"worse": [], "better": [], "new or gone": []}
    for name in kept["works"].keys() ^ found["works"].keys():
        changes["new or gone"].append(name)
    for name in kept["works"].keys() & found["works"].keys():
        for kind in kinds:
            old, new = kept["works"][name][kind], found["works"][name][kind]
            text = f"{name}: {kind} {old:,} -> {new:,} ({(new - old) / max(old, 1):+.1%})"
            if abs(new - old) <= SLACK.get(kind, 0):
                continue
            if new > old * WORSE:
                changes["worse"].append(text)
            elif new < old * BETTER:
                changes["better"].append(text)
    return {what: sorted(lines) for what, lines in changes.items()}


def load() -> dict[str, Any] | None:
    """The table that is kept; None if it is not there, or has the marks of a merge in it."""
    try:
        kept: dict[str, Any] = json.loads(TABLE.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return kept


def main() -> None:
    """Print, compare, update."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the table anew")
    parser.add_argument("--json", action="store_true", help="print the counts for a program")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # They would count otherwise where they are installed.
    os.environ[onednn.SWITCH] = os.environ[native.SWITCH] = "0"
    _alone()
    found = {"versions": versions(), "works": count(list(WORKS))}
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{'':32}" + "".join(f"{kind:>14}" for kind in KINDS))
        for name, figures in found["works"].items():
            print(f"{name:32}" + "".join(f"{figures[kind]:>14,}" for kind in KINDS))
        kept = load()
        for what, lines in compare(kept, found).items() if kept else ():
            print("".join(f"\n{what}: {line}" for line in lines), end="")
        print()
    if options.update:
        works = [
            f'  "{name}": {json.dumps({kind: figures[kind] for kind in KINDS})}'
            for name, figures in found["works"].items()
        ]
        text = ",\n".join(works)
        TABLE.write_text(
            f'{{"versions": {json.dumps(found["versions"])},\n "works": {{\n{text}\n}}}}\n'
        )
    # Arrays may outlive this module, and with it the handler of their memory.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
