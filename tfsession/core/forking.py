"""Forks: what a child process must make anew, because the threads that held it are not there.

A fork copies every lock as it is and only one thread. A lock that another thread held would never
be released, and what that thread was about to write would stay half-written. So the locks of this
package come from here: they are taken, as far as that goes within `_PATIENCE`, before the process
is copied, and free afterwards in both copies.
"""

from __future__ import annotations

import os
import threading
import time
from _thread import LockType
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import ref

# Seconds that a fork waits for other threads to come out of their locks.
_PATIENCE = 0.5
# Seconds after which a thread looks again whether a lock is free.
_MOMENT = 5e-5


class Forked(Protocol):
    """What knows how to go on in a child process."""

    def after_fork(self) -> None:
        """This is a child, where no thread but the calling one is left."""


_locks: set[ref[Any]] = set()
_owners: set[ref[Forked]] = set()
_held = threading.local()


def lock() -> LockType:
    """A lock that is free in a forked child."""
    made = threading.Lock()
    _locks.add(ref(made, _locks.discard))
    return made


def once_free(lock: LockType) -> LockType:
    """The lock, once no other thread seems to hold it: `with once_free(lock):`.

    For what threads do often and takes microseconds. Who waits for a lock gets it before the
    interpreter, for which it then waits while the next one comes to wait for the lock: once it
    has begun, threads take turns for good, at the price of a switch for each. None wait here.
    """
    while lock.locked():
        time.sleep(_MOMENT)
    return lock


def rlock() -> Any:
    """A reentrant lock that is free in a forked child, unless the forking thread holds it."""
    made = threading.RLock()
    _locks.add(ref(made, _locks.discard))
    return made


def notice(owner: Forked) -> None:
    """Call `owner.after_fork()` in forked children, as long as the owner lives."""
    _owners.add(ref(owner, _owners.discard))


def _alive(refs: Iterable[ref[Any]]) -> list[Any]:
    return [found for found in [reference() for reference in list(refs)] if found is not None]


def _before() -> None:
    """Take all locks at once, so that nothing is half-written in the child.

    To hold some while waiting for others might wait for a thread that waits for those.
    """
    locks, until = _alive(_locks), time.monotonic() + _PATIENCE
    while True:
        taken = [lock for lock in locks if lock.acquire(blocking=False)]
        remaining = until - time.monotonic()
        if len(taken) == len(locks) or remaining <= 0:
            _held.locks = taken
            return
        (missing,) = (set(locks) - set(taken)) if len(locks) - len(taken) == 1 else (None,)
        _release(taken)
        if missing is None:
            time.sleep(min(0.001, remaining))
        elif missing.acquire(timeout=remaining):
            missing.release()


def _release(locks: Iterable[Any]) -> None:
    for lock in locks:
        lock.release()


def _after_in_parent() -> None:
    _release(_held.__dict__.pop("locks", ()))


def _after_in_child() -> None:
    _after_in_parent()
    for lock in _alive(_locks):
        is_owned = getattr(lock, "_is_owned", None)
        if is_owned is None or not is_owned():
            lock._at_fork_reinit()
    for owner in _alive(_owners):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
