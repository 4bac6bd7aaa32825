"""One piece of memory for all that a step makes: when each allocation lives, and where it lies.

A step that is replayed finds its arrays at the same addresses each time. Where they lie is planned
from a step that ran before: allocations that never live at once share memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

__all__ = [
    "ALIGNMENT",
    "FOREVER",
    "AllocationTrace",
    "Lifetime",
    "Lifetimes",
    "Slab",
    "aligned",
    "lay_out",
]

# The moment at which what lives on is said to end.
FOREVER = 1 << 62
# What cudaMalloc itself guarantees, and more than any load of a kernel needs.
ALIGNMENT = 256


def aligned(nbytes: int) -> int:
    """So many bytes, rounded up to where the next allocation may begin."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Lifetime(NamedTuple):
    """An allocation of `nbytes`, alive from moment `begin` on and gone at moment `end`."""

    nbytes: int
    begin: int
    end: int


class Lifetimes(Sequence[Lifetime]):
    """Those of a whole step, of which there may be thousands, in little memory."""

    def __init__(self, rows: Iterable[Lifetime] = ()) -> None:
        self.sizes, self.begins, self.ends = array("q"), array("q"), array("q")
        for row in rows:
            self.append(row)

    def append(self, row: Lifetime) -> None:
        """One more."""
        self.sizes.append(row.nbytes)
        self.begins.append(row.begin)
        self.ends.append(row.end)

    def end(self, number: int, moment: int) -> None:
        """One ends earlier than it was said to."""
        self.ends[number] = moment

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, number: Any) -> Any:
        return Lifetime(self.sizes[number], self.begins[number], self.ends[number])


class Slab(NamedTuple):
    """Where the allocations of a step lie, in the order in which it asks for them.

    Attributes:
        sizes: bytes of each, as asked for.
        offsets: where each begins, a multiple of ALIGNMENT.
        nbytes: what all of it takes.
    """

    sizes: tuple[int, ...]
    offsets: tuple[int, ...]
    nbytes: int


class AllocationTrace:
    """The allocations of one thread while it is watched, and when each ends.

    What is alive when the watching stops is taken to live on.

    Attributes:
        inputs: shape and dtype of what the host made anew for this step, in order.
        refusal: why what was watched cannot be recorded, if that is known already.
    """

    def __init__(self) -> None:
        self.refusal: BaseException | None = None
        self.inputs: list[tuple[tuple[int, ...], Any]] = []
        self._found = Lifetimes()
        self._watched: dict[int, ref[Any]] = {}
        self._moment = 0

    def add(self, holder: Any, nbytes: int) -> None:
        """Memory was handed out; it returns when `holder` is gone."""
        number = len(self._found)
        self._found.append(Lifetime(nbytes, self._moment, FOREVER))
        self._moment += 1
        self._watched[number] = ref(holder, lambda _: self._end(number))

    def _end(self, number: int) -> None:
        if self._watched.pop(number, None) is not None:
            self._found.end(number, self._moment)
            self._moment += 1

    def __len__(self) -> int:
        return len(self._found)

    def lifetimes(self) -> Lifetimes:
        """What was seen so far; nothing is watched any more."""
        self._watched.clear()
        return self._found


def lay_out(lifetimes: Sequence[Lifetime]) -> Slab:
    """A place for each allocation, so that none overlaps another while both live.

    The largest come first, each into the smallest gap between those that live with it: "greedy by
    size" with best fit (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
    Inference", 2020).
    """
    count = len(lifetimes)
    known = lifetimes if isinstance(lifetimes, Lifetimes) else Lifetimes(lifetimes)
    begins, ends = np.array(known.begins, np.int64), np.array(known.ends, np.int64)
    sizes = np.array([*map(aligned, known.sizes)], np.int64)
    offsets = np.zeros(count, np.int64)
    placed = np.empty(0, np.int64)  # the numbers of those that have a place, by offset
    for number in np.argsort(-sizes, kind="stable"):
        if not sizes[number]:
            continue
        alive = placed[(begins[placed] < ends[number]) & (ends[placed] > begins[number])]
        offsets[number] = _best_gap(offsets[alive], sizes[alive], int(sizes[number]))
        at = np.searchsorted(offsets[placed], offsets[number])
        placed = np.insert(placed, at, number)
    nbytes = int((offsets + sizes).max(initial=0))
    return Slab(tuple(known.sizes), tuple(offsets.tolist()), nbytes)


def _best_gap(offsets: Any, sizes: Any, nbytes: int) -> int:
    """Where so many bytes fit tightest between blocks in the order of their offsets."""
    if not len(offsets):
        return 0
    ends = np.maximum.accumulate(offsets + sizes)
    starts = np.concatenate([[0], ends[:-1]])
    gaps = offsets - starts
    fitting = np.flatnonzero(gaps >= nbytes)
    if len(fitting):
        return int(starts[fitting[np.argmin(gaps[fitting])]])
    return int(ends[-1])
