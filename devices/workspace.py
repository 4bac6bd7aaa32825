"""Memory for what a block of a kernel makes on its way: of each thread, kept from block to block.

Fresh memory costs more than the arithmetic done in it: the system clears every page of it. So each
thread keeps some, and a block cuts from it what it needs until it ends.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Workspace"]

# Pages that were never used take no memory.
_BYTES = 16 << 20
_ALIGNMENT = 64


class _Arena(threading.local):
    """The memory of a thread, and how much of it is in use."""

    def __init__(self) -> None:
        room = np.empty(_BYTES + _ALIGNMENT, np.uint8)
        self._memory = room[-room.ctypes.data % _ALIGNMENT :][:_BYTES]
        self.used = 0

    def take(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array, not cleared; of memory of its own if there is too little here."""
        dtype = np.dtype(dtype)
        start = self.used
        stop = start + math.prod(shape) * dtype.itemsize
        if stop > _BYTES:
            return np.empty(shape, dtype)
        self.used = -(-stop // _ALIGNMENT) * _ALIGNMENT
        return np.ndarray(shape, dtype, self._memory, start)


_arena = _Arena()


class Workspace:
    """A context in which a thread takes arrays, which nothing may use once it has ended.

    `with Workspace(xp) as take:` gives `take(shape, dtype)`, as `xp.empty`. Contexts may be nested.
    """

    __slots__ = ("_mark", "_take")

    def __init__(self, xp: Any) -> None:
        self._take: Callable[..., Any] | None = None if xp is np else xp.empty

    def __enter__(self) -> Callable[..., Any]:
        if self._take is not None:
            return self._take
        self._mark = _arena.used
        return _arena.take

    def __exit__(self, *exception: object) -> None:
        if self._take is None:
            _arena.used = self._mark
