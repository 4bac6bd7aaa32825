"""The garbage collector held back while much is made that stays.

A graph of a hundred thousand nodes is a million objects, none of them garbage: to look through the
growing heap again and again takes a third of the time of making it. Once made they are old to the
collector, which would go through all of them at the next object that anybody makes.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tfsession.core import forking

# So many new objects are worth to be made old at once, and with them what else is new.
_MANY = 50_000


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
            if gc.get_count()[0] > _MANY and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()  # into the oldest generation
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
