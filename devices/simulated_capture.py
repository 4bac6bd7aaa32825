"""Recorded steps of simulated devices: the calls themselves, made again at each replay.

Nothing that is recorded is done yet, as on CUDA: outside of its slab nothing is written to before
the first replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.devices.capture import (
    NotRecordable,
    Places,
    Recording,
    Rehearsal,
    SlabMemory,
    Staging,
    Work,
)
from tfsession.devices.slab import Slab

if TYPE_CHECKING:
    from tfsession.devices.simulated import SimulatedDevice
    from tfsession.devices.simulated_array import SimulatedArray
    from tfsession.devices.simulated_stream import Accesses

__all__ = ["SimulatedRecording", "SimulatedRehearsal", "SimulatedSlab", "SimulatedStaging"]

_HostArray = np.ndarray[Any, Any]

POISON = 0xCB


def address_of(host: _HostArray) -> int:
    """Where the first element lies."""
    return int(host.__array_interface__["data"][0])


class SimulatedSlab(SlabMemory):
    """A counted part of the device's memory, cut by hand."""

    def __init__(self, device: SimulatedDevice, nbytes: int) -> None:
        self.nbytes = nbytes
        self._device = device
        self._memory = memoryview(bytearray([POISON]) * nbytes)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._array = device.wrap(self._bytes, self._bytes)
        self._begin = address_of(self._bytes)

    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of the device over a part."""
        host = self.host(offset, shape, dtype)
        return self._device.placed(host)

    def host(
        self, offset: int, shape: tuple[int, ...], dtype: Any, strides: Any = None
    ) -> _HostArray:
        """NumPy's array over a part. It is the root of its views: the slab is no array to it."""
        return np.ndarray(shape, dtype, self._memory, offset, strides)

    def bytes_of(self, nbytes: int) -> _HostArray:
        """The first bytes."""
        return self._bytes[:nbytes]

    def holds(self, array: Any) -> bool:
        """Whether the elements of an array of the device lie here."""
        return self.has(array._host)

    def has(self, host: _HostArray) -> bool:
        """Whether NumPy's array lies here."""
        return self._begin <= address_of(host) < self._begin + self.nbytes


class SimulatedStaging(Staging):
    """Ordinary memory: what is sent has left at once."""

    def __init__(self, device: SimulatedDevice, slab: SimulatedSlab, nbytes: int) -> None:
        self._device = device
        self._slab = slab
        self._memory = np.full(nbytes, POISON, np.uint8)

    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of the host over a part."""
        return np.ndarray(shape, dtype, self._memory, offset)

    def ready(self) -> None:
        """Nothing is under way."""

    def send(self) -> None:
        """Copy all of it; afterwards it is garbage, as a next step may have written over it."""
        self._slab.bytes_of(self._memory.nbytes)[...] = self._memory
        self._device.sent(self._memory.nbytes)
        self._memory[...] = POISON


class SimulatedRecording(Recording):
    """The calls of a step; `state` are the arrays outside of the slab that it may write to."""

    def __init__(
        self,
        device: SimulatedDevice,
        slab: SimulatedSlab,
        plan: Slab,
        base: int,
        state: Iterable[SimulatedArray],
    ) -> None:
        self.slab: SimulatedSlab = slab
        self._device = device
        self._places = Places(plan, base)
        self._calls: list[Callable[[], object]] = []
        self._reads: dict[Accesses, None] = {}
        self._writes: dict[Accesses, None] = {}
        self._state = {address_of(array._root) for array in state}

    # --- recording ------------------------------------------------------------------------------

    def place(
        self, result: _HostArray, root: _HostArray, again: Callable[[], Any] | None
    ) -> _HostArray:
        """The result of a call, put where the plan has it.

        `again` gives it anew; None where its content is not defined.
        """
        start = self._places.take(root.nbytes)
        into = address_of(result) - address_of(root)
        placed = self.slab.host(start + into, result.shape, result.dtype, result.strides)
        if again is not None:
            placed[...] = result
            self._calls.append(partial(_fill, placed, again))
        return placed

    def write(self, call: Callable[[], object], written: Sequence[SimulatedArray]) -> None:
        """A call that writes into arrays; done now only where they are of the slab."""
        outside = [array._root for array in written if not self.slab.has(array._root)]
        if not outside:
            call()
        elif any(address_of(root) not in self._state for root in outside):
            raise NotRecordable("a kernel writes to memory that is neither its own nor a variable")
        self._calls.append(call)
        self._writes.update(dict.fromkeys(array._accesses for array in written))

    def read(self, arrays: Iterable[SimulatedArray]) -> None:
        """A call reads arrays."""
        for array in arrays:
            self._reads[array._accesses] = None

    def computed(
        self,
        result: _HostArray,
        root: _HostArray,
        seen: Iterable[SimulatedArray],
        again: Callable[[], Any] | None,
    ) -> SimulatedArray:
        """The result of a call that read the arrays `seen`, as an array of the slab."""
        self.read(seen)
        return self._device.placed(self.place(result, root, again))

    def choose(self, predicate: SimulatedArray, if_true: Work, if_false: Work) -> None:
        """The calls of two ways, of which a replay makes those of one."""
        self.read([predicate])
        taken = self._calls_of(if_true)
        self._calls.append(partial(_choose, predicate._host, taken, self._calls_of(if_false)))

    def repeat(self, predicate: SimulatedArray, turn: Work, closing: Sequence[object]) -> None:
        """The calls of a turn."""
        self.read([predicate])
        calls = self._calls_of(turn)
        self._calls.append(partial(_repeat, predicate._host, calls, closing, self._device))

    def _calls_of(self, work: Work) -> list[Callable[[], object]]:
        before, self._calls = self._calls, []
        try:
            work()
            return self._calls
        finally:
            self._calls = before

    # --- replaying ------------------------------------------------------------------------------

    def replay(self) -> None:
        """Make all calls again, in their order."""
        stream = self._device._current()
        for accesses in self._reads:
            accesses.read(stream)
        for accesses in self._writes:
            accesses.write(stream)
        with np.errstate(all="ignore"):
            for call in self._calls:
                call()
        self._device.replayed()


def _fill(placed: _HostArray, again: Callable[[], Any]) -> None:
    placed[...] = again()


def _choose(
    predicate: _HostArray,
    if_true: Sequence[Callable[[], object]],
    if_false: Sequence[Callable[[], object]],
) -> None:
    for call in if_true if predicate else if_false:
        call()


def _repeat(
    predicate: _HostArray,
    calls: Sequence[Callable[[], object]],
    closing: Sequence[object],
    device: SimulatedDevice,
) -> None:
    while predicate and not closing and not device.is_closed:
        for call in calls:
            call()


class SimulatedRehearsal(Rehearsal):
    """Nothing outside of what is made meanwhile is written to."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._made: set[int] = set()

    def computed(
        self,
        result: _HostArray,
        root: _HostArray,
        seen: Iterable[SimulatedArray],
        again: Callable[[], Any] | None,
    ) -> SimulatedArray:
        """The result of a call, in memory of its own."""
        self._made.add(address_of(root))
        return self._device.wrap(result, root)

    def read(self, arrays: Iterable[SimulatedArray]) -> None:
        """A call reads arrays."""

    def write(self, call: Callable[[], object], written: Sequence[SimulatedArray]) -> None:
        """A call that writes into arrays, made only where they are new."""
        if all(address_of(array._root) in self._made for array in written):
            call()
