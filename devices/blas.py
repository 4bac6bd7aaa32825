"""Threads of the BLAS that NumPy carries.

OpenBLAS's threads wait for each other by spinning. For a small product that costs more than it
gains, and on a machine that does other work besides it costs milliseconds. So products are cut into
blocks (`devices.threads`), of which each is computed on one thread; only what LAPACK does with
large matrices is left to BLAS's own threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np

from tfsession.core import forking
from tfsession.devices.workspace import Workspace

__all__ = ["description", "one_thread", "product", "square_sum"]


class _Controls(NamedTuple):
    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def _library() -> Any:
    """The controller of the BLAS of NumPy; None where nobody knows one."""
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415  only for who computes

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    package = Path(np.__file__).parent
    own = [c for c in found if package in Path(c.filepath).parents or "numpy" in c.filepath]
    return next(iter([*own, *found]), None)


@cache
def _controls() -> _Controls | None:
    """The number of threads of the BLAS of NumPy; None where nobody knows how to set it."""
    library = _library()
    if library is None:
        return None
    if getattr(library, "threading_layer", None) == "pthreads":
        # OpenBLAS's own functions: what stands around them takes longer than a small product gains,
        # and lets only one thread of the process set anything.
        affixes = getattr(library, "_symbol_prefix", ""), getattr(library, "_symbol_suffix", "")
        own = [
            getattr(library.dynlib, f"openblas_{verb}_num_threads".join(affixes), None)
            for verb in ("get", "set")
        ]
        if all(own):
            return _Controls(*own)  # type: ignore[arg-type]
    return _Controls(library.get_num_threads, library.set_num_threads)


# Rows of a left matrix from which on BLAS is as fast where the right one is transposed, and numbers
# of it that are turned in less time than it takes to read them across.
_MANY_ROWS, _TURNED = 33, 1 << 13
# Smaller arrays are made as fast as they are taken from a workspace.
_WORTH_KEEPING = 1 << 16
# Kernels of OpenBLAS without AVX-512; some of its versions choose them on CPUs that have it.
_NARROW_KERNELS = frozenset({"Haswell", "Zen"})


@cache
def _is_slow_across() -> bool:
    """Whether the BLAS of NumPy takes long for few rows and a transposed matrix."""
    library = _library()
    return library is None or library.info().get("architecture") not in _NARROW_KERNELS


def product(xp: Any, left: Any, right: Any, out: Any = None) -> Any:
    """The product of two matrices, of numbers that are some for BLAS.

    With AVX-512 OpenBLAS takes up to three times as long for few rows and a transposed matrix, as
    gradients and steps of recurrent networks have them, as for that matrix and a few columns.
    """
    is_slow = (
        xp is np
        and 1 < len(left) < _MANY_ROWS
        and right.flags.f_contiguous
        and left.flags.c_contiguous
        and left.dtype.char in "fd"
        and left.dtype == right.dtype
        and left.shape[1] == len(right)
        and _is_slow_across()
    )
    if not is_slow:
        return xp.matmul(left, right, out=out)
    columns = np.ascontiguousarray(left.T) if left.size <= _TURNED else left.T
    if out is None:
        out = np.empty((len(left), right.shape[1]), left.dtype)
    if out.nbytes < _WORTH_KEEPING:
        out[...] = np.matmul(right.T, columns).T
        return out
    with Workspace(np) as take:
        turned = take(out.shape[::-1], out.dtype)
        out[...] = np.matmul(right.T, columns, out=turned).T
    return out


# Elements that OpenBLAS sums up on the thread that asks.
_OF_ONE_THREAD = 1 << 13


@cache
def _dot() -> Callable[..., float] | None:
    """OpenBLAS's product of two vectors of float32; called, it keeps the interpreter."""
    library = _library()
    affixes = getattr(library, "_symbol_prefix", ""), getattr(library, "_symbol_suffix", "")
    if getattr(library, "internal_api", None) != "openblas":
        return None
    try:
        found = getattr(ctypes.PyDLL(library.filepath), "cblas_sdot".join(affixes))
    except (OSError, AttributeError):
        return None
    number = ctypes.c_int64 if "64" in affixes[1] else ctypes.c_int
    found.argtypes = [number, ctypes.c_void_p, number, ctypes.c_void_p, number]
    found.restype = ctypes.c_float
    return found  # type: ignore[no-any-return]


def square_sum(vector: Any) -> float:
    """The sum of the squares of a vector of float32 without gaps: NaN, or infinite, if one is.

    It is for some ten thousand numbers: no other thread runs Python meanwhile.
    """
    dot = _dot()
    if dot is None:
        return float(vector.dot(vector))
    start, total = vector.__array_interface__["data"][0], 0.0
    for first in range(0, vector.size, _OF_ONE_THREAD):
        place = start + 4 * first
        total += dot(min(_OF_ONE_THREAD, vector.size - first), place, 1, place, 1)
    return total


# What NumPy calls it before version 2.4, and since.
_AVX_512 = frozenset({"AVX512_SKX", "X86_V4"})


def _features() -> list[str]:
    """The extensions of this CPU that NumPy's own loops use, beyond what all of them have."""
    config: Any = np.show_config("dicts")
    found: list[str] = config.get("SIMD Extensions", {}).get("found", [])
    return found


def description() -> str:
    """The BLAS of NumPy in a line, with what to set where it misjudges the CPU."""
    library = _library()
    if library is None:
        return "unknown to threadpoolctl"
    info = library.info()
    architecture = info.get("architecture", "unknown")
    text = (
        f"{info['internal_api']} {info['version']}, {architecture} kernels, "
        f"{info['num_threads']} threads"
    )
    if architecture in _NARROW_KERNELS and not _AVX_512.isdisjoint(_features()):
        text += "; the CPU has AVX-512: OPENBLAS_CORETYPE=SkylakeX may double its speed"
    return text


class _OneThread:
    """While anyone is inside, BLAS uses one thread; the last one out restores what was.

    Who is inside must not enter again.
    """

    def __init__(self) -> None:
        self._lock = forking.lock()
        # The threads that are inside: one that Ctrl-C drove out is set right by its next visit.
        self._inside: set[int] = set()
        self._before = 1
        forking.notice(self)

    def __enter__(self) -> None:
        controls = _controls()
        if controls is not None:
            with self._lock:
                is_first = not self._inside
                if is_first:
                    self._before = controls.get()
                self._inside.add(get_ident())
                if is_first and self._before > 1:
                    controls.set(1)

    def __exit__(self, *exception: object) -> None:
        controls = _controls()
        if controls is not None:
            with self._lock:
                self._leave(controls, {get_ident()})

    def _leave(self, controls: _Controls, threads: set[int]) -> None:
        self._inside -= threads
        if not self._inside and self._before > 1:
            controls.set(self._before)

    def after_fork(self) -> None:
        """No other thread is inside any more."""
        controls = _controls() if self._inside else None
        if controls is not None:
            self._leave(controls, self._inside - {get_ident()})


one_thread = _OneThread()
