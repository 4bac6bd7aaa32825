"""Pending: the result of a blocking kernel that has to wait, as for an element of a queue."""

from __future__ import annotations

import threading
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
            unless it has completed it already. Called at most once, and never under a lock.
    """

    __slots__ = ("_callback", "_cancel", "_is_done", "_lock", "error", "result")

    def __init__(self, cancel: Callable[[Pending], object]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._cancel: Callable[[Pending], object] | None = cancel
        self._callback: Callback | None = None
        self._is_done = False
        self._lock = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether the result or an error is there."""
        return self._is_done

    def succeed(self, result: Any) -> bool:
        """Give the outputs, as a kernel returns them; False when it was completed before."""
        return self._complete(result, None)

    def fail(self, error: BaseException) -> bool:
        """Give an error instead; False when it was completed before."""
        return self._complete(None, error)

    def _complete(self, result: Any, error: BaseException | None) -> bool:
        with self._lock:
            if self._is_done:
                return False
            self.result, self.error, self._is_done = result, error, True
            callback, self._callback, self._cancel = self._callback, None, None
        if callback is not None:
            callback(self)
        return True

    def when_done(self, callback: Callback) -> None:
        """Call `callback(self)` once it is done: now, if it is; else in the completing thread."""
        with self._lock:
            if not self._is_done:
                self._callback = callback
                return
        callback(self)

    def cancel(self) -> None:
        """Ask for an end of the wait; without effect once it is done, or was asked before."""
        with self._lock:
            cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel(self)
