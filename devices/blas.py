"""Threads of the BLAS that NumPy carries.

OpenBLAS's threads wait for each other by spinning. For a small product that costs more than it
gains, and on a machine that does other work besides it costs milliseconds: so small products are
computed on the calling thread.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np

from tfsession.core import forking

__all__ = ["threads_for"]

# Multiplications below which one thread computes: some milliseconds of one core's work. The fewer
# cores there are, the less there is to gain, and the likelier one of them is busy.
_SMALL = 512_000_000 // min(os.cpu_count() or 1, 16)

_PREFIXES = ("scipy_openblas_", "openblas_")
_SUFFIXES = ("64_", "")


class _Controls(NamedTuple):
    get: Callable[[], int]
    set: Callable[[int], Any]


@cache
def _controls() -> _Controls | None:
    """Functions of the OpenBLAS in NumPy's wheel; None where NumPy has another BLAS."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    for path in (path for folder in folders for path in sorted(folder.glob("*openblas*"))):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get = getattr(library, f"{prefix}get_num_threads{suffix}", None)
                assign = getattr(library, f"{prefix}set_num_threads{suffix}", None)
                if get is not None and assign is not None:
                    return _Controls(get, assign)
    return None


class _OneThread:
    """While anyone is inside, BLAS uses one thread; the last one out restores what was."""

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


_one_thread = _OneThread()
_as_it_is: AbstractContextManager[None] = nullcontext()


def threads_for(multiplications: int) -> AbstractContextManager[None]:
    """A context for a product of that many multiplications, with as many threads as it is worth."""
    return _one_thread if multiplications < _SMALL else _as_it_is
