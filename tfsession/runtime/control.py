"""What one step is run under: how long it may take, in which pool, and what is recorded of it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import suppress
from itertools import starmap
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tfsession.core import forking
from tfsession.core.errors import CancelledError
from tfsession.core.waiting import A_WHILE, Stop, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tfsession.runtime.partition import Transfer

T = TypeVar("T")


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

    def abandon(self) -> None:
        """Take back what is waited for: the thread that waits is not in this process."""


class Gate:
    """Lets a number of steps compute at once: what a pool of that many threads comes to here.

    Steps run in the threads of their callers. A step that waits for a queue is outside; a step
    that a running step starts in the same thread is inside already.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._inside = threading.local()
        self.after_fork()
        forking.notice(self)

    def after_fork(self) -> None:
        """Give out all places anew: who had them is not in this process."""
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.size):
            self._free.put(None)

    def run(
        self, work: Callable[..., T], control: StepControl, closing: list[bool], *args: Any
    ) -> T:
        """`work(*args)` as one of those inside.

        Raises:
            DeadlineExceededError: no place was free in time.
            CancelledError: the session was closed meanwhile.
        """
        inside, free = self._inside, self._free
        if getattr(inside, "yes", False):
            return work(*args)
        # Ctrl-C can come after any call. Here the call that takes a place also keeps it, and the
        # one that gives it back is the last: no place is lost.
        taken: list[None] = []
        try:
            try:
                taken.extend(starmap(free.get, _AT_ONCE))
            except Empty:
                while not taken:
                    control.check(closing)
                    wait = min(A_WHILE, control.remaining() or A_WHILE)
                    with suppress(Empty):
                        taken.extend(starmap(free.get, ((True, wait),)))
            inside.yes = True
            return work(*args)
        finally:
            inside.yes = False
            if taken:
                free.put(None)


# The arguments of `SimpleQueue.get`, for one call.
_AT_ONCE = ((False,),)


class StepControl:
    """The terms of one step.

    Args:
        timeout: seconds from now on after which the step ends with DeadlineExceededError.
        gate: the pool in which it computes, or None.
        recorder: takes the times and outputs of operations, or None.
    """

    __slots__ = ("asks", "deadline", "gate", "recorder")

    def __init__(
        self,
        timeout: float | None = None,
        gate: Gate | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.gate = gate
        self.recorder = recorder
        # What compiled code takes first, an attribute of this object; empty for nothing.
        if timeout is None:
            self.deadline, self.asks = None, "" if recorder is None else "observe"
        else:
            self.deadline = time.monotonic() + timeout
            self.asks = "deadline" if recorder is None else "observe"

    @property
    def observe(self) -> Callable[..., None]:
        """What is told of each operation that is done: its number and its outputs."""
        assert self.recorder is not None
        note, deadline, clock = self.recorder.observe, self.deadline, time.monotonic
        if deadline is None:
            return note

        def observe(index: int, *results: Any) -> None:
            note(index, *results)
            if clock() > deadline:
                stop_late()

        return observe

    def check(self, closing: list[bool]) -> None:
        """Raise the error of a step that may not go on, while it has not begun to."""
        if closing:
            raise run_cancelled()
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise timed_out()

    def remaining(self) -> float | None:
        """The seconds left, at least 0; None when there is no end."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())


FREE = StepControl()

# Seconds that a cancelled operation may take to give up before it is left behind.
PATIENCE = 5.0


class CancellationManager:
    """Ends the steps of a session: those that compute see `flag`, those that wait are told.

    `waiting` has the steps that are told, with the threads that run them; 0 for a step that
    belongs to none. To enter and to leave it is one instruction, which Ctrl-C cannot divide.
    """

    def __init__(self) -> None:
        # Compiled code looks whether it is empty: that costs a few nanoseconds.
        self.flag: list[bool] = []
        self.waiting: dict[Cancellable, int] = {}
        forking.notice(self)

    def cancel(self) -> None:
        """End every step, now and from now on."""
        # Who enters sees the flag, or is seen here.
        self.flag.append(True)
        for step in list(self.waiting):
            step.cancel()

    def cancel_waits(self, threads: Collection[int]) -> None:
        """End the steps in which these threads wait at this moment."""
        for step, thread in list(self.waiting.items()):
            if thread in threads:
                step.cancel()

    def attend(self, step: Cancellable) -> None:
        """Tell the step when it is to end, until it leaves."""
        self.waiting[step] = 0
        if self.flag:
            step.cancel()

    def leave(self, step: Cancellable) -> None:
        """The step has ended."""
        self.waiting.pop(step, None)

    def after_fork(self) -> None:
        """Drop the steps of threads that are not in this process."""
        here = threading.get_ident()
        for step, thread in list(self.waiting.items()):
            if thread not in (0, here):
                del self.waiting[step]
            if thread != here:
                step.abandon()


def stop_closed() -> None:
    """End the step between two operations, because its session was closed."""
    raise Stop(run_cancelled())


def stop_late() -> None:
    """End the step between two operations, because its time is over."""
    raise Stop(timed_out())


# The functions of C: those around them cost several microseconds.
_c_functions = sys.modules.get("_signal", signal)
_handler_of: Any = _c_functions.getsignal
_set_handler: Any = _c_functions.signal


def uninterrupted(work: Callable[..., T], *args: Any) -> T:
    """`work(*args)`, with Ctrl-C put off until it is done.

    For what must not be left half-way: an operation that hands something over to another thread.
    """
    # Python handles signals in the main thread only.
    is_main = threading.get_ident() == threading.main_thread().ident
    handler = _handler_of(signal.SIGINT) if is_main else None
    if not callable(handler):
        return work(*args)
    came: list[tuple[Any, ...]] = []
    try:
        _set_handler(signal.SIGINT, lambda *signalled: came.append(signalled))
        return work(*args)
    finally:
        _set_handler(signal.SIGINT, handler)
        if came:
            handler(*came[0])


def run_cancelled() -> CancelledError:
    """The error of a step whose session was closed."""
    return CancelledError(None, None, "Run call was cancelled")
