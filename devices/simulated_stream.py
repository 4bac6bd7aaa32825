"""Streams and events of simulated devices: they hold nothing back, but find what was not ordered.

A stream counts the work it is given. An event holds what is done once it has come: the stream's
count, and those of the streams that it waited for itself (vector clocks, as Fidge and Mattern
described them). Memory knows the work that wrote it and that read it; what would be a race on a
GPU, because no event and no wait of the host lies between, raises InternalError here. What two
threads do to one variable is not looked at: their order is the program's matter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import get_ident

from tfsession.core import forking
from tfsession.core.errors import InternalError
from tfsession.devices.timer import Timer

__all__ = ["Accesses", "Event", "SimulatedStream", "SimulatedTimer"]

_lock = forking.lock()


class SimulatedStream:
    """A queue of work, which is a number: how much was queued so far."""

    __slots__ = ("_awaited", "_done", "_queued", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._queued = 0
        # How much of it the host has waited for; how much of other streams' work comes first.
        self._done = 0
        self._awaited: Event = {}

    def queue(self) -> int:
        """The number of one more piece of work."""
        self._queued += 1
        return self._queued

    def record(self) -> Event:
        """What is done when this moment has come."""
        with _lock:
            return {**self._awaited, self: self._queued}

    def wait_event(self, event: Event) -> None:
        """Let what is queued next come after an event."""
        with _lock:
            for stream, number in event.items():
                self._awaited[stream] = max(number, self._awaited.get(stream, 0))

    def synchronize(self) -> None:
        """Let the host wait for all that is queued; then it is done for every stream."""
        for stream, number in self.record().items():
            stream._done = max(number, stream._done)

    def has_come(self, event: Event) -> bool:
        """Whether the host knows, by a wait, that all before an event is done."""
        return all(number <= stream._done for stream, number in event.items())

    def comes_after(self, stream: SimulatedStream, number: int) -> bool:
        """Whether work that is queued here now begins after a piece of work has ended."""
        return stream is self or number <= stream._done or number <= self._awaited.get(stream, 0)

    def __repr__(self) -> str:
        return f"<SimulatedStream {self.name}>"


Event = dict[SimulatedStream, int]


class SimulatedTimer(Timer):
    """Marks with the times of the host, as work is done at once; not told before they have come."""

    def __init__(self, stream: SimulatedStream) -> None:
        self._stream = stream
        self._marks: list[tuple[Event, int]] = []

    def mark(self) -> None:
        """Queued as a piece of work: what was waited for before does not cover it."""
        self._stream.queue()
        self._marks.append((self._stream.record(), time.perf_counter_ns()))

    def nanoseconds(self) -> list[int]:
        """Raises InternalError where CUDA would say that an event is not ready."""
        for number, (event, _) in enumerate(self._marks):
            if not self._stream.has_come(event):
                raise InternalError(
                    None, None, f"{self._stream.name} may not have come to mark {number} yet."
                )
        return [moment - self._marks[0][1] for _, moment in self._marks]


class Accesses:
    """The work that one piece of memory depends on, from the moment it is handed out by a stream.

    `home` is that stream: in its order the memory is handed out again.
    """

    __slots__ = ("_reads", "_write", "home")

    def __init__(self, stream: SimulatedStream) -> None:
        self.home = stream
        self._write = _Access(stream)
        self._reads: dict[SimulatedStream, _Access] = {}

    def read(self, stream: SimulatedStream) -> None:
        """A stream reads; InternalError if it may come before what writes."""
        if self._write.disturbs(stream):
            raise _race(stream, "reads", self._write.stream, "writes it")
        self._reads[stream] = _Access(stream)

    def write(self, stream: SimulatedStream) -> None:
        """A stream writes; InternalError if it may come before what reads or writes."""
        for other in self.unordered(stream):
            raise _race(stream, "writes", other, "uses it")
        self._write = _Access(stream)
        self._reads.clear()

    def unordered(self, stream: SimulatedStream) -> Iterator[SimulatedStream]:
        """The streams whose work on this memory may still go on when `stream` uses it."""
        for access in [self._write, *self._reads.values()]:
            if access.disturbs(stream):
                yield access.stream


class _Access:
    """One piece of work, and the thread that asked for it."""

    __slots__ = ("number", "stream", "thread")

    def __init__(self, stream: SimulatedStream) -> None:
        self.stream = stream
        self.number = stream.queue()
        self.thread = get_ident()

    def disturbs(self, stream: SimulatedStream) -> bool:
        """Whether it may still go on when this thread has `stream` do something now."""
        return not stream.comes_after(self.stream, self.number) and self.thread == get_ident()


def _race(stream: SimulatedStream, does: str, other: SimulatedStream, still: str) -> InternalError:
    return InternalError(
        None,
        None,
        f"{stream.name} {does} memory while {other.name} still {still}: nothing orders the two. On "
        "a GPU this would be a race, with other values each time.",
    )
