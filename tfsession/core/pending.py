"""Pending: the result of a blocking kernel that has to wait, as for an element of a queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Callback = Callable[["Pending"], object]


class Pending:
    """A result that arrives later, once, from any thread.

    A kernel that is registered as `blocking` gives its outputs at once where it can, and a Pending
    where it must wait. Who completes it calls `succeed` or `fail` outside of all locks of its own:
    the callback runs in that thread.

    Args:
        cancel: asks the resource that is waited for to give up; it must then `fail` this soon,
            unless it has completed it already. Never called under a lock. Called again only when
            Ctrl-C came in between.
    """

    # No lock: taking the last item out of a list is a step of its own, which one thread makes.
    __slots__ = ("_callbacks", "_cancel", "_open", "error", "is_done", "result")

    def __init__(self, cancel: Callable[[Pending], object]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self._cancel: Callable[[Pending], object] | None = cancel
        self._callbacks: list[Callback] = []
        self._open = [True]

    def succeed(self, result: Any) -> bool:
        """Give the outputs, as a kernel returns them; False when it was completed before."""
        return self._complete(result, None)

    def fail(self, error: BaseException) -> bool:
        """Give an error instead; False when it was completed before."""
        return self._complete(None, error)

    def _complete(self, result: Any, error: BaseException | None) -> bool:
        try:
            self._open.pop()
        except IndexError:
            return False
        self.result, self.error = result, error
        self.is_done, self._cancel = True, None
        self._tell()
        return True

    def _tell(self) -> None:
        try:
            callback = self._callbacks.pop()
        except IndexError:
            return  # there is none yet, or another thread calls it
        callback(self)

    def when_done(self, callback: Callback) -> None:
        """Call `callback(self)` once it is done: now, if it is; else in the completing thread."""
        self._callbacks.append(callback)
        if self.is_done:
            self._tell()

    def cancel(self) -> None:
        """Ask for an end of the wait; without effect once it is done, or was asked before."""
        cancel = self._cancel
        if cancel is not None:
            cancel(self)
            self._cancel = None
