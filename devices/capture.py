"""Recorded steps: what a device was asked to do once, done again by one call.

On CUDA a recording is a graph that the stream has captured; a simulated device keeps the calls and
refuses what CUDA would refuse. Everything that a recorded step makes lies in one slab, at the same
addresses each time.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from tfsession.devices.slab import AllocationTrace, Slab

__all__ = [
    "CaptureRefused",
    "NotRecordable",
    "Places",
    "Recorder",
    "Recording",
    "Rehearsal",
    "SlabMemory",
    "Staging",
    "Watch",
]


class CaptureRefused(Exception):
    """What was asked of the device cannot be recorded; the text says why."""


class NotRecordable(CaptureRefused):
    """An operation did what no recording can hold: it would be refused each time."""


class SlabMemory(abc.ABC):
    """Memory of a device for all that a recorded step makes."""

    nbytes: int

    @abc.abstractmethod
    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of the device, in rows, that begins so many bytes behind the first."""

    @abc.abstractmethod
    def holds(self, array: Any) -> bool:
        """Whether the elements of an array of the device lie here."""


class Staging(abc.ABC):
    """Memory of the host from which small inputs of a step go to its slab, all in one copy."""

    @abc.abstractmethod
    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of the host for an input; it may be written to once `ready` has returned."""

    @abc.abstractmethod
    def ready(self) -> None:
        """Wait until what was sent last from here has left."""

    @abc.abstractmethod
    def send(self) -> None:
        """Queue the copy of all of it to the beginning of the slab."""


Work = Callable[[], None]


class Recorder(abc.ABC):
    """What takes down what a thread asks a device for, and does none of it."""

    @abc.abstractmethod
    def choose(self, predicate: Any, if_true: Work, if_false: Work) -> None:
        """Take down two ways, one of which is gone each time, as a truth of the device says.

        They are asked for in this order.
        """

    @abc.abstractmethod
    def repeat(self, predicate: Any, turn: Work, closing: Sequence[object]) -> None:
        """Take down a turn that is done as long as a truth of the device holds, which it changes.

        It ends, too, when there is something in `closing`, or the device is closed.
        """


class Rehearsal(Recorder):
    """Takes nothing down: it shows what would be allocated, and what a device would refuse."""

    def choose(self, predicate: Any, if_true: Work, if_false: Work) -> None:
        """Both ways, one after the other."""
        if_true()
        if_false()

    def repeat(self, predicate: Any, turn: Work, closing: Sequence[object]) -> None:
        """One turn."""
        turn()


class Recording(Recorder):
    """The work of a step, once its recording has ended. `slab` is where it computes."""

    slab: SlabMemory

    @abc.abstractmethod
    def replay(self) -> None:
        """Queue all of it; called inside the device's `replaying()`."""


class Places:
    """Hands out the places of a slab in the order in which they were planned."""

    def __init__(self, plan: Slab, base: int) -> None:
        """The planned offsets count from `base` on."""
        self._plan = plan
        self._base = base
        self._next = 0

    def take(self, nbytes: int) -> int:
        """Where the next allocation lies; CaptureRefused if it is not the one that was planned."""
        number = self._next
        if number == len(self._plan.sizes) or self._plan.sizes[number] != nbytes:
            planned = self._plan.sizes[number : number + 1]
            raise CaptureRefused(
                f"allocation {number} is of {nbytes} bytes, planned were {planned or 'no more'}"
            )
        self._next += 1
        return self._base + self._plan.offsets[number]


class Watch(threading.local):
    """What the calling thread's work on a device is looked at by: a trace, or a recording.

    `places` gives the memory for so many bytes, where it is that of a recording; `inputs` the array
    in which a recording finds what the given function makes for each step; `elsewhere` lets work
    be queued where it is not taken down.
    """

    def __init__(self) -> None:
        self.trace: AllocationTrace | None = None
        self.recording: Any = None  # a Recorder
        self.places: Callable[[int], Any] | None = None
        self.inputs: Callable[[Callable[[], Any]], Any] | None = None
        self.elsewhere: Callable[[], AbstractContextManager[Any]] = nullcontext

    @contextmanager
    def tracing(self) -> Iterator[AllocationTrace]:
        """Every allocation of this thread is noted in the trace, as long as the block runs."""
        before, self.trace = self.trace, AllocationTrace()
        try:
            yield self.trace
        finally:
            self.trace = before

    @contextmanager
    def untraced(self) -> Iterator[None]:
        """What is allocated meanwhile stays for later steps, which do not allocate it again."""
        before, self.trace = self.trace, None
        try:
            yield
        finally:
            self.trace = before

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is asked for meanwhile is done at once, and stays: none of it is recorded."""
        before = self.trace, self.recording, self.places
        self.trace = self.recording = self.places = None
        try:
            with self.elsewhere() if before[1] is not None else nullcontext():
                yield
        finally:
            self.trace, self.recording, self.places = before

    @contextmanager
    def taking(self, inputs: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
        """What the host makes for each step is what `inputs` gives, as long as the block runs."""
        before, self.inputs = self.inputs, inputs
        try:
            yield
        finally:
            self.inputs = before

    def each_step(self, make: Callable[[], Any]) -> tuple[Any, bool]:
        """What `make` gives, or the device's array that holds it, and whether it is that."""
        if self.inputs is not None:
            return self.inputs(make), True
        value = make()
        if self.trace is not None:
            self.trace.inputs.append((value.shape, value.dtype))
        return value, False

    def refuse(self, what: str) -> None:
        """Raises NotRecordable while this thread's work is recorded."""
        if self.recording is not None:
            raise NotRecordable(f"{what} is not possible while a step is recorded")
