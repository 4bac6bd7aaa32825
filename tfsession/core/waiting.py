"""Waits within kernels: until when the thread may wait, and whether anybody still wants the result.

A thread that makes elements of datasets waits for others that do: here it finds out when to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from tfsession.core.errors import CancelledError, DeadlineExceededError

# Seconds after which one who waits looks whether the result is still wanted.
A_WHILE: Final = 0.05


class Stop(BaseException):
    """Ends a step: `error` is what it ends with, as it is."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class _Here(threading.local):
    """What a thread is to look at while it waits.

    Attributes:
        deadline: the moment of `time.monotonic` at which its step ends; None for no end.
        is_over: whether nobody wants any more what it waits for.
    """

    deadline: float | None = None
    is_over: Callable[[], bool] = staticmethod(lambda: False)


here: Final = _Here()


def timed_out() -> DeadlineExceededError:
    """The error of a step that took too long."""
    return DeadlineExceededError(None, None, "Timed out waiting for notification")


def remaining() -> float | None:
    """The seconds that the thread's step has left, at least 0; None when there is no end."""
    deadline = here.deadline
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def is_late(error: BaseException) -> bool:
    """Whether an error says no more than that the time of the step is over."""
    return isinstance(error, Stop) or (
        isinstance(error, DeadlineExceededError) and remaining() == 0
    )


def patience() -> float:
    """The seconds to wait before asking again.

    Raises:
        Stop: the time of the step is over.
        CancelledError: nobody wants any more what it waits for.
    """
    if here.is_over():
        raise CancelledError(None, None, "Run call was cancelled")
    left = remaining()
    if left is None:
        return A_WHILE
    if not left:
        raise Stop(timed_out())
    return min(left, A_WHILE)
