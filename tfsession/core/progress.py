"""How far reads and writes of large files are: told to those who have asked, at no other cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tfsession.core import forking

# What is told: how many bytes are done, and how many there are in all.
Tell = Callable[[int, int], None]


class _Watch:
    """Somebody who has asked, and what was told so far."""

    def __init__(self, prefix: str, tell: Tell) -> None:
        self.prefix = prefix
        self._tell = tell
        self._done = self._total = 0
        self._lock = forking.lock()

    def add(self, done: int, total: int = 0) -> None:
        with self._lock:
            self._done += done
            self._total += total
            self._tell(self._done, self._total)


_lock = forking.lock()
_watches: list[_Watch] = []


@contextmanager
def watched(prefix: str, tell: Tell) -> Iterator[None]:
    """Within the block, `tell` hears of the files whose names begin with `prefix`, of any thread.

    Several files count as one, and there may be more of them after a while. It is called by one
    thread at a time; what it raises ends the read or write.
    """
    watch = _Watch(prefix, tell)
    with _lock:
        _watches.append(watch)
    try:
        yield
    finally:
        with _lock:
            _watches.remove(watch)


class Progress:
    """What is told while files of one name are read or written; of no effect if nobody asked."""

    def __init__(self, name: str, total: int) -> None:
        self._watches = [w for w in list(_watches) if name.startswith(w.prefix)]
        self.expect(total)

    def expect(self, count: int) -> None:
        """So many more bytes are to come."""
        for watch in self._watches:
            watch.add(0, count)

    def add(self, count: int) -> None:
        """So many more bytes are done."""
        for watch in self._watches:
            watch.add(count)
