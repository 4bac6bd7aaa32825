"""What accumulators and staging areas share: operations that wait until the resource can do them.

An operation is an attempt, which runs under the resource's lock and gives its result, or `WAIT`
while it cannot be done. Whatever changes the resource lets the attempts that wait try again, in the
order in which they came; who made one possible completes it, after the lock is released.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from tfsession.core import forking
from tfsession.core.errors import CancelledError
from tfsession.core.pending import Pending

WAIT: Final = object()

Attempt = Callable[[], Any]


class Waits:
    """A resource with operations that may have to wait for each other.

    `in_turn` says that no operation that waits is done before those that wait longer.
    """

    in_turn: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._waiting: dict[Pending, tuple[str, Attempt]] = {}
        self._is_released = False

    def _perform(self, action: str, attempt: Attempt) -> Any:
        """The result of an attempt, or a Pending; `action` is what errors call the operation."""
        done: Sequence[Callable[[], Any]] = ()
        try:
            with forking.once_free(self._lock):
                if self._is_released:
                    raise _cancelled(action)
                try:
                    result = WAIT if self.in_turn and self._waiting else attempt()
                except Exception:
                    # What is refused may be gone, and have made room.
                    done = self._let_through()
                    raise
                if result is WAIT:
                    pending = Pending(self._withdraw)
                    self._waiting[pending] = action, attempt
                    return pending
                done = self._let_through() if self._waiting else ()
        finally:
            _complete(done)
        return result

    def _change(self, change: Attempt) -> Any:
        """The result of what never waits, but may let others through."""
        with forking.once_free(self._lock):
            result = change()
            done = self._let_through() if self._waiting else ()
        _complete(done)
        return result

    def _let_through(self) -> list[Callable[[], Any]]:
        """Do what can be done of what waits, under the lock; gives what tells those who wait."""
        done: list[Callable[[], Any]] = []
        moved = True
        while moved:
            moved = False
            for pending, (_, attempt) in list(self._waiting.items()):
                try:
                    result = attempt()
                except Exception as error:
                    done.append(partial(pending.fail, error))
                else:
                    if result is WAIT and self.in_turn:
                        break
                    if result is WAIT:
                        continue
                    done.append(partial(pending.succeed, result))
                del self._waiting[pending]
                moved = True
        return done

    def _withdraw(self, pending: Pending) -> None:
        """End a wait that is cancelled, unless another thread is about to complete it."""
        with forking.once_free(self._lock):
            waited = self._waiting.pop(pending, None)
            # Those behind it may have waited for their turn only.
            done = self._let_through() if waited is not None else ()
        if waited is not None:
            pending.fail(_cancelled(waited[0]))
        _complete(done)

    def _forget(self) -> None:
        """Let go of what the resource holds, under the lock."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget everything and end all waits: the session is closed."""
        with forking.once_free(self._lock):
            self._is_released = True
            waiting, self._waiting = self._waiting, {}
            self._forget()
        for pending, (action, _) in waiting.items():
            pending.fail(_cancelled(action))


def _complete(done: Any) -> None:
    for tell in done:
        tell()


def _cancelled(action: str) -> CancelledError:
    return CancelledError(None, None, f"{action} operation was cancelled")
