"""Sums of blocks, put together so that they are those that NumPy makes of the whole."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np


def _half(count: int, unit: int) -> int:
    """Where NumPy cuts so many elements, of `unit` numbers each, for its pairwise sum."""
    half = count * unit // 2
    return (half - half % 8) // unit


def pairwise_bounds(count: int, most: int, unit: int = 1) -> list[int]:
    """Bounds of blocks of at most `most` elements, at which NumPy's own pairwise sum is cut."""
    bounds: list[int] = []
    most = max(most, 128)

    def cut(start: int, count: int) -> None:
        if count <= most:
            bounds.append(start)
            return
        half = _half(count, unit)
        cut(start, half)
        cut(start + half, count - half)

    cut(0, count)
    return [*bounds, count]


def joined_pairs(pieces: Sequence[Any], bounds: Sequence[int], unit: int) -> Any:
    """The sum of the sums of blocks, in NumPy's order."""

    def join(first: int, last: int) -> Any:
        if last - first == 1:
            return pieces[first]
        middle = bounds.index(
            bounds[first] + _half(bounds[last] - bounds[first], unit), first, last
        )
        return join(first, middle) + join(middle, last)

    return join(0, len(pieces))


class Rows:
    """Rows reduced to one, from the first to the last, as NumPy does it.

    Blocks come in any order; nobody waits for those that are not there yet.
    """

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        self._lock = threading.Lock()
        self._there: dict[int, Any] = {}
        self._next = 0
        self._total: Any = None

    def add(self, index: int, block: Any) -> None:
        """Take in the rows of block number `index`."""
        rows = np.empty((len(block) + 1, *block.shape[1:]), block.dtype)
        rows[1:] = block
        self._there[index] = rows
        while self._next in self._there and self._lock.acquire(blocking=False):
            try:
                self._take_next()
            finally:
                self._lock.release()

    def _take_next(self) -> None:
        rows = self._there.pop(self._next, None)
        if rows is not None:
            if self._next:
                rows[0] = self._total
            self._total = self._ufunc.reduce(rows[0 if self._next else 1 :], 0, rows.dtype)
            self._next += 1

    def total(self) -> Any:
        """The one row, when all blocks are there."""
        while self._there:
            self._take_next()
        return self._total
