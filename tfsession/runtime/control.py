"""What one step is run under: how long it may take, in which pool, and what is recorded of it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from tfsession.core.errors import CancelledError, DeadlineExceededError
from tfsession.runtime.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tfsession.runtime.partition import Transfer


class Recorder(Protocol):
    """Takes down what a step does."""

    @property
    def observe(self) -> Callable[..., None]:
        """Takes (index, *outputs): operation number `index` of the plan has given these outputs."""

    def fed(self, feeds: Sequence[Any]) -> None:
        """The step begins, with these values of the plan's feeds."""

    def began(self, index: int) -> None:
        """Operation number `index` begins now, and will end after others."""

    def resume(self) -> None:
        """A wait is over: what is observed next begins now."""

    def transferred(self, transfer: Transfer, start: int, end: int, value: Any) -> None:
        """A copy was made between two moments, in nanoseconds of `time.perf_counter_ns`."""


class Cancellable(Protocol):
    """A step that waits."""

    def cancel(self) -> None:
        """End the wait; from any thread."""


class Gate:
    """Lets a number of steps compute at once: what a pool of that many threads comes to here.

    Steps run in the threads of their callers. A step that waits for a queue is outside; a step
    that a running step starts in the same thread is inside already.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self._free.put(None)
        self._inside = threading.local()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be one of those inside while the block runs."""
        if getattr(self._inside, "yes", False):
            yield
            return
        self._free.get()
        self._inside.yes = True
        try:
            yield
        finally:
            self._inside.yes = False
            self._free.put(None)


class StepControl:
    """The terms of one step; compiled code tells it of every operation that is done.

    Args:
        timeout: seconds from now on after which the step ends with DeadlineExceededError.
        gate: the pool in which it computes, or None.
        recorder: takes the times and outputs of operations, or None.
    """

    __slots__ = ("deadline", "gate", "observe", "recorder")

    def __init__(
        self,
        timeout: float | None = None,
        gate: Gate | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.gate = gate
        self.recorder = recorder
        self.observe = self._observe
        if recorder is not None and self.deadline is None:
            self.observe = recorder.observe

    @property
    def watches(self) -> bool:
        """Whether operations must tell that they are done."""
        return self.deadline is not None or self.recorder is not None

    def _observe(self, index: int, *results: Any) -> None:
        if self.recorder is not None:
            self.recorder.observe(index, *results)
        self.check()

    def check(self) -> None:
        """Raise Stop when the time is over."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise Stop(timed_out())

    def remaining(self) -> float | None:
        """The seconds left, at least 0; None when there is no end."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())


FREE = StepControl()


class CancellationManager:
    """Ends the steps of a session: those that compute see `flag`, those that wait are told."""

    def __init__(self) -> None:
        # Compiled code looks whether it is empty: that costs a few nanoseconds.
        self.flag: list[bool] = []
        self._waiting: set[Cancellable] = set()
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """End every step, now and from now on."""
        with self._lock:
            self.flag.append(True)
            waiting = list(self._waiting)
        for step in waiting:
            step.cancel()

    @contextmanager
    def watching(self, step: Cancellable) -> Iterator[None]:
        """Tell the step when it is to end, while the block runs."""
        self.attend(step)
        try:
            yield
        finally:
            self.leave(step)

    def attend(self, step: Cancellable) -> None:
        """Tell the step when it is to end, until it leaves."""
        with self._lock:
            self._waiting.add(step)
            is_cancelled = bool(self.flag)
        if is_cancelled:
            step.cancel()

    def leave(self, step: Cancellable) -> None:
        """The step has ended."""
        with self._lock:
            self._waiting.discard(step)

    @staticmethod
    def stop() -> None:
        """End the step between two operations."""
        raise Stop(run_cancelled())


def timed_out() -> DeadlineExceededError:
    """The error of a step that took too long."""
    return DeadlineExceededError(None, None, "Timed out waiting for notification")


def run_cancelled() -> CancelledError:
    """The error of a step whose session was closed."""
    return CancelledError(None, None, "Run call was cancelled")
