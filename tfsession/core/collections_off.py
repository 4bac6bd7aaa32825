"""The garbage collector held back while much is made that stays.

A graph of a hundred thousand nodes is a million objects, none of them garbage: to look through the
growing heap again and again takes a third of the time of making it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tfsession.core import forking


class _Holders:
    """Who holds the collector back; it goes on, if it was on before, when the last one ends."""

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._threads: list[int] = []
        self._was_enabled = False
        forking.notice(self)

    def enter(self) -> None:
        with self._lock:
            if not self._threads:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._threads.append(threading.get_ident())

    def leave(self) -> None:
        with self._lock:
            own = threading.get_ident()
            if own in self._threads:  # not where Ctrl-C came before
                self._threads.remove(own)
            self._go_on()

    def after_fork(self) -> None:
        """Other threads' blocks have no end here."""
        if self._threads:
            own = threading.get_ident()
            self._threads = [thread for thread in self._threads if thread == own]
            self._go_on()

    def _go_on(self) -> None:
        if not self._threads and self._was_enabled:
            gc.enable()


_holders = _Holders()


@contextmanager
def no_collections() -> Iterator[None]:
    """No collection begins by itself in the block, in any thread; afterwards all is as before."""
    try:
        _holders.enter()
        yield
    finally:
        _holders.leave()
