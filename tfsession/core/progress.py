"""How far reads and writes of large files are: told to those who have asked, at no other cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tfsession.core import forking

# What is told: how many bytes are done, and how many there are in all.
Tell = Callable[[int, int], None]

_lock = forking.lock()
_watched: list[tuple[str, Tell]] = []


@contextmanager
def watched(prefix: str, tell: Tell) -> Iterator[None]:
    """Within the block, `tell` hears of the files whose names begin with `prefix`, of any thread.

    It is called by one thread at a time; what it raises ends the read or write.
    """
    one = (prefix, tell)
    with _lock:
        _watched.append(one)
    try:
        yield
    finally:
        with _lock:
            _watched.remove(one)


class Progress:
    """What is told while files of one name are read or written; of no effect if nobody asked."""

    def __init__(self, name: str, total: int) -> None:
        self._lock = forking.lock()
        self._done = 0
        self._total = total
        self._tells = [tell for prefix, tell in list(_watched) if name.startswith(prefix)]
        self.add(0)

    def add(self, count: int) -> None:
        """So many more bytes are done."""
        if self._tells:
            with self._lock:
                self._done += count
                for tell in self._tells:
                    tell(self._done, self._total)
