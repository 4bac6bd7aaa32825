"""Memory of large arrays of the host that a step gives back, kept for the next one.

Fresh pages cost as much as the arithmetic on them, or many times that where the machine is a guest
whose host has to find them. Whether somebody still has an array is seen by the references to its
memory: nothing has to be told that it ends, and no view, variable or program can be surprised.
"""

from __future__ import annotations

import sys
from math import prod
from typing import Any

import numpy as np

from tfsession.core import forking

__all__ = ["Spares"]

# What all that is kept may take, and what the smallest part takes: the C library keeps less itself.
_MOST_BYTES, _LEAST_BYTES = 256 << 20, 1 << 20
# What was not wanted in so many requests is given back.
_PATIENCE = 256


class _Kept:
    """Memory, and the number of the last request that it served."""

    __slots__ = ("memory", "served")

    def __init__(self, nbytes: int, served: int) -> None:
        self.memory: Any = np.empty(nbytes, np.uint8)
        self.served = served

    def references(self) -> int:
        """How many there are to the memory."""
        return sys.getrefcount(self.memory)


# What Python counts when nobody has the memory; it differs between its versions.
_OWN_REFERENCES = _Kept(0, 0).references()


class Spares:
    """Arrays in memory that is used again when nobody has it any more; for any number of threads.

    Attributes:
        nbytes: what is kept now, in use or not.
        reused: how often memory was used again.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self.nbytes = 0
        self.reused = 0
        self._most_bytes = most_bytes
        self._requests = 0
        self._kept: list[_Kept] = []
        self._lock = forking.lock()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """An array whose elements are not defined; a view of memory of this.

        Raises MemoryError where the machine has none, not even what is kept here.
        """
        nbytes = prod(shape) * dtype.itemsize
        if not _LEAST_BYTES <= nbytes <= self._most_bytes:
            return np.empty(shape, dtype)
        with self._lock:
            try:
                memory = self._find(nbytes)
            except MemoryError:
                self._drop(self._kept)
                memory = np.empty(nbytes, np.uint8)
        return memory[:nbytes].view(dtype).reshape(shape)

    def _find(self, nbytes: int) -> Any:
        self._requests += 1
        free = [kept for kept in self._kept if kept.references() == _OWN_REFERENCES]
        fitting = [kept for kept in free if nbytes <= kept.memory.nbytes <= 2 * nbytes]
        if fitting:
            found = min(fitting, key=lambda kept: kept.memory.nbytes)
            self.reused += 1
        else:
            self._make_room(nbytes, free)
            found = _Kept(nbytes, 0)
            if self.nbytes + nbytes <= self._most_bytes:
                self._kept.append(found)
                self.nbytes += nbytes
        found.served = self._requests
        self._drop([kept for kept in free if kept.served < self._requests - _PATIENCE])
        return found.memory

    def _make_room(self, nbytes: int, free: list[_Kept]) -> None:
        """Drop what is free and served last, until so much more may be kept."""
        for kept in sorted(free, key=lambda kept: kept.served):
            if self.nbytes + nbytes > self._most_bytes:
                self._drop([kept])

    def _drop(self, dropped: list[_Kept]) -> None:
        gone = set(map(id, dropped))
        self._kept = [kept for kept in self._kept if id(kept) not in gone]
        self.nbytes = sum(kept.memory.nbytes for kept in self._kept)

    def clear(self) -> None:
        """Give back what is kept; what is in use goes when it ends."""
        with self._lock:
            self._drop(self._kept)
