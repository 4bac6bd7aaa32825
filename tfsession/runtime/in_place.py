"""Waits in place: operations of a step that may have to wait, called by the step's function.

While one waits nothing else of the step could run, so its thread sleeps there. Steps in which more
than one operation may wait at once are run by an Execution; so are those in a pool, in which a step
that waits must take no place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import get_ident
from typing import Any

from tfsession.core.errors import CancelledError
from tfsession.core.pending import Pending
from tfsession.core.waiting import Stop, remaining, timed_out
from tfsession.graph.operation import Operation
from tfsession.runtime.control import (
    PATIENCE,
    CancellationManager,
    run_cancelled,
    uninterrupted,
)
from tfsession.runtime.errors import failure_of

__all__ = ["in_place"]


def in_place(
    cancellation: CancellationManager, op: Operation, kernel: Callable[..., Any]
) -> Callable[..., Any]:
    """The kernel of an operation that may block, as a function that gives its outputs in the end.

    It raises what the operation fails with; Stop when its time is over, and for a CancelledError,
    whose words stay even if the session was closed meanwhile.
    """

    def call(*inputs: Any) -> Any:
        begun: list[Pending] = []
        # No frame may hold what holds the error that it raises: they would keep each other alive.
        failure: list[BaseException] = []
        try:
            result = uninterrupted(_begin, begun, kernel, inputs)
            if begun:
                result = _Wait(begun[0]).result(cancellation, failure)
        except CancelledError as error:
            failure.append(error)
        finally:
            # Ctrl-C can come after any call: then what was begun is given up.
            while begun:
                _withdraw(begun[0])
                begun.pop()
        if failure:
            if isinstance(failure[0], CancelledError):
                failure[0] = Stop(failure_of(failure[0], None, [op]))
            raise failure.pop()
        return result

    return call


def _begin(begun: list[Pending], kernel: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    result = kernel(*inputs)
    if type(result) is Pending:
        begun.append(result)
    return result


def _withdraw(pending: Pending) -> None:
    """Give up a wait, and let it end."""
    pending.cancel()
    until = time.monotonic() + PATIENCE
    while not pending.is_done and time.monotonic() < until:
        time.sleep(0.001)


class _Wait:
    """A thread that waits for one Pending, as the session knows it."""

    __slots__ = ("_arrivals", "_pending")

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._arrivals: SimpleQueue[Pending | None] = SimpleQueue()

    def cancel(self) -> None:
        """End the wait; from any thread."""
        self._arrivals.put(None)

    def abandon(self) -> None:
        """Take back what is waited for: the thread that waits is not in this process."""
        self._pending.cancel()

    def result(self, cancellation: CancellationManager, failure: list[BaseException]) -> Any:
        """Wait, and give the outputs; the error with which the wait ended goes to `failure`."""
        pending, waiting = self._pending, cancellation.waiting
        try:
            waiting[self] = get_ident()
            pending.when_done(self._arrivals.put)
            if cancellation.flag or self._arrivals.get(timeout=remaining()) is None:
                _withdraw(pending)
                failure.append(pending.error or run_cancelled())
            elif pending.error is not None:
                failure.append(pending.error)
        except Empty:
            # What has arrived in the last moment is not lost.
            _withdraw(pending)
            if pending.error is not None or not pending.is_done:
                failure.append(Stop(timed_out()))
        finally:
            waiting.pop(self, None)
        return pending.result
