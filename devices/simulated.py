"""Simulated accelerators: NumPy behind the rules of a GPU, so that breaking one of them shows.

Memory is counted against a hard limit; arrays of the host or of another device are refused; what
is copied to the host is garbage until the device was synchronised; work on different streams that
nothing orders is an error. It says nothing about speed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar
from weakref import ref

import numpy as np

from tfsession.core.errors import CancelledError, InternalError
from tfsession.devices.accelerator import Accelerator, conditionals_wanted
from tfsession.devices.capture import SlabMemory
from tfsession.devices.counters import Counters
from tfsession.devices.layout import GpuSlot
from tfsession.devices.memory import Charge, Ledger
from tfsession.devices.simulated_array import Again, SimulatedArray
from tfsession.devices.simulated_capture import (
    POISON,
    SimulatedRecording,
    SimulatedRehearsal,
    SimulatedSlab,
    SimulatedStaging,
    address_of,
)
from tfsession.devices.simulated_numpy import SimulatedNumpy
from tfsession.devices.simulated_stream import Accesses, SimulatedStream, SimulatedTimer
from tfsession.devices.slab import Slab

__all__ = ["SimulatedDevice"]


class _Pool(Ledger):
    """The arrays of a simulated device, and how many of them kernels have made."""

    launches = 0

    def charge(self, array: np.ndarray[Any, Any], nbytes: int, launches: int) -> Charge:
        """Charges `nbytes` for `array`; raises as `take` does."""
        charge = Charge()
        with self.lock:
            self.take(charge, nbytes, array.shape, array.dtype)
            self.launches += launches
        return charge


class _Entered(threading.local):
    """How often the calling thread has made a device's stream its current one, one in another."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


class SimulatedDevice(Accelerator):
    """A GPU device whose memory is a counted part of the host's."""

    asks_ahead: ClassVar[bool] = True

    def __init__(self, index: int, slot: GpuSlot) -> None:
        description = (
            f"device: {slot.card}, name: {slot.gpu.name}, pci bus id: {slot.gpu.pci_bus_id}, "
            "compute capability: none"
        )
        super().__init__("GPU", index, slot.limit, description)
        self.ledger = self._pool = _Pool(self.name, f"GPU_{index}_bfc", slot.limit)
        self._counts = dict.fromkeys(Counters._fields[1:], 0)
        self._pending: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self._xp = SimulatedNumpy(self)
        self._stream = SimulatedStream(self.name)
        self._program = SimulatedStream(f"the program's stream on {self.name}")
        self._entered = _Entered()
        # Memory that other streams use: none of it may be given out again before they have done.
        self._lent: dict[Accesses, ref[np.ndarray[Any, Any]]] = {}

    @property
    def xp(self) -> Any:
        """NumPy's functions over this device's arrays."""
        return self._xp

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Makes the stream current, and silences floating point warnings, as a GPU gives none."""
        with self.replaying(), np.errstate(all="ignore"):
            yield

    def replaying(self) -> AbstractContextManager[Any]:
        """Makes the stream current."""
        if self._pool.closed:
            raise CancelledError(None, None, "Session has been closed.")
        if self._has_lent:
            self._await_program()
        return self._entered

    # --- streams --------------------------------------------------------------------------------

    def _current(self) -> SimulatedStream:
        stream: SimulatedStream = self._stream if self._entered.depth else self._program
        return stream

    def _on_card(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def _program_stream(self) -> SimulatedStream:
        """The one of all threads, as CUDA's default stream is, where they have set no other."""
        return self._current()

    def _use(self, arrays: Iterable[SimulatedArray], stream: SimulatedStream) -> None:
        """A stream reads arrays of this device."""
        for array in arrays:
            accesses = array._accesses
            accesses.read(stream)
            if stream is not accesses.home:
                self._lent[accesses] = ref(array._root)

    def _look_what_returned(self) -> None:
        """Refuse to give out memory that was dropped while another stream may still use it."""
        for accesses, root in list(self._lent.items()):
            others = list(accesses.unordered(self._stream))
            if others and root() is not None:
                continue
            self._lent.pop(accesses, None)
            if others:
                raise InternalError(
                    None,
                    None,
                    f"{self.name} gives out memory again while {others[0].name} still uses it: "
                    "nothing orders the two.",
                )

    # --- what the arrays ask for ----------------------------------------------------------------

    def wrap(
        self, host: np.ndarray[Any, Any], root: np.ndarray[Any, Any], launches: int = 0
    ) -> SimulatedArray:
        """An array of this device over memory of its own; `root` is the array that holds it."""
        charge, stream = self._pool.charge(host, root.nbytes, launches), self._current()
        if self.watch.trace is not None:
            self.watch.trace.add(charge, root.nbytes)
        if self._lent and stream is self._stream:
            self._look_what_returned()
        return SimulatedArray(self, host, root, charge, Accesses(stream))

    def computed(
        self,
        host: np.ndarray[Any, Any],
        root: np.ndarray[Any, Any],
        seen: Iterable[SimulatedArray] = (),
        again: Again = None,
    ) -> SimulatedArray:
        """As `wrap`, for the result of a kernel that read the arrays `seen`.

        `again` gives the result anew; None where its content is not defined.
        """
        recording = self.watch.recording
        if recording is not None:
            made: SimulatedArray = recording.computed(host, root, seen, again)
            return made
        self._use(seen, self._current())
        return self.wrap(host, root, 1)

    def write(
        self,
        arrays: Sequence[SimulatedArray],
        work: Callable[[], object],
        seen: Iterable[SimulatedArray] = (),
    ) -> None:
        """Does the work of a kernel that writes in place what it computes of the arrays `seen`."""
        recording = self.watch.recording
        if recording is not None:
            recording.read(seen)
            recording.write(work, arrays)
            return
        work()
        stream = self._current()
        self._use(seen, stream)
        self._use(arrays, stream)
        for array in arrays:
            array._accesses.write(stream)
        with self._pool.lock:
            self._pool.launches += 1

    def launched_as_one(self, results: int) -> None:
        """Counts what came out of one kernel as one launch."""
        if self.watch.recording is None:
            with self._pool.lock:
                self._pool.launches -= results - 1

    def uploads(self, array: SimulatedArray) -> None:
        """Counts content that a kernel brings from the host by itself."""
        self.watch.refuse("a copy from the host")
        self._count("uploads", "host_to_device_bytes", array.nbytes)

    def reads(self, array: SimulatedArray, nbytes: int) -> None:
        """Waits until content can be read, which the caller then does by itself."""
        self.watch.refuse("to read on the host what the device computes")
        stream = self._current()
        self._use([array], stream)
        stream.synchronize()
        self._count("reads", "device_to_host_bytes", nbytes)
        self._count("synchronizations")

    def waits(self, arrays: Iterable[SimulatedArray], what: str) -> None:
        """A function of CuPy's that waits for the stream, or cannot be recorded for another reason.

        Such are sorts, and what cuSOLVER computes, whose verdict is looked at.
        """
        self.watch.refuse(what)
        stream = self._current()
        self._use(arrays, stream)
        stream.synchronize()
        self._count("synchronizations")

    def host_of(self, array: Any) -> np.ndarray[Any, Any]:
        """The memory behind an array of this device; TypeError for any other."""
        if type(array) is not SimulatedArray:
            raise TypeError(f"Unsupported type {type(array)}")
        if array._device is not self:
            raise TypeError(f"An array of {array._device.name} was given to {self.name}")
        return array._host

    # --- recorded steps -------------------------------------------------------------------------

    def slab(self, nbytes: int) -> SimulatedSlab:
        """Memory for a recorded step; raises ResourceExhaustedError as any allocation."""
        return SimulatedSlab(self, nbytes)

    def staging(self, slab: SlabMemory, nbytes: int) -> SimulatedStaging:
        """What brings so many bytes of the host to the beginning of a slab."""
        assert isinstance(slab, SimulatedSlab)
        return SimulatedStaging(self, slab, nbytes)

    @property
    def has_conditionals(self) -> bool:
        """Whether recordings may hold conditional nodes."""
        return conditionals_wanted()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is computed here."""
        return self._pool.closed

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """What this thread asks for in the block is not done; memory is allocated as ever."""
        before, self.watch.recording = self.watch.recording, SimulatedRehearsal(self)
        try:
            yield
        finally:
            self.watch.recording = before

    @contextmanager
    def recording(
        self, slab: SlabMemory, plan: Slab, base: int, state: Sequence[SimulatedArray]
    ) -> Iterator[SimulatedRecording]:
        """Records what this thread asks for in the block; nothing of it is done."""
        assert isinstance(slab, SimulatedSlab)
        made = SimulatedRecording(self, slab, plan, base, state)
        self.watch.recording = made
        try:
            yield made
        finally:
            self.watch.recording = None

    def placed(self, host: np.ndarray[Any, Any]) -> SimulatedArray:
        """An array over memory that is charged already, as a part of something else."""
        return SimulatedArray(self, host, host, None, Accesses(self._current()))

    def sent(self, nbytes: int) -> None:
        """Counts a copy of small inputs to a slab."""
        self._count("host_to_device", "host_to_device_bytes", nbytes)

    def replayed(self) -> None:
        """Counts a recorded step."""
        self._count("replays")

    def address(self, array: SimulatedArray) -> int:
        """Where the array's elements begin."""
        return address_of(array._host)

    def alias(self, array: SimulatedArray) -> SimulatedArray:
        """Another array of the same memory, which does not count as a reference to this one."""
        return SimulatedArray(self, array._host, array._root, array._charge, array._accesses)

    # --- counters -------------------------------------------------------------------------------

    def _count(self, what: str, way: str = "", nbytes: int = 0) -> None:
        with self._pool.lock:
            self._counts[what] += 1
            if way:
                self._counts[way] += nbytes

    def counters(self) -> Counters:
        """The counters now."""
        with self._pool.lock:
            return Counters(self._pool.launches, **self._counts)

    # --- transfers ------------------------------------------------------------------------------

    def upload(self, host: Any) -> SimulatedArray:
        """A copy of a host array, uncounted."""
        self.watch.refuse("a copy from the host")
        copy = np.array(host, order="C", copy=True)
        if copy.dtype.kind in "OSUMm" or copy.dtype.type is np.void:
            raise TypeError(f"Unsupported type {copy.dtype} on {self.name}")
        return self.wrap(copy, copy)

    def to_device(self, host_array: Any) -> SimulatedArray:
        """A counted copy of a host array or NumPy scalar."""
        with self.activate():
            array = self.upload(host_array)
        self._count("host_to_device", "host_to_device_bytes", array.nbytes)
        return array

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """A counted copy on the host, garbage until `synchronize()`."""
        self.watch.refuse("a copy to the host")
        host = self.host_of(array)
        with self.activate():
            self._use([array], self._stream)
        buffer = np.empty(host.shape, host.dtype)
        buffer.reshape(-1).view(np.uint8)[...] = POISON
        self._count("device_to_host", "device_to_host_bytes", host.nbytes)
        with self._pool.lock:
            self._pending.append((buffer, host.copy()))
        return buffer

    def _pulled(self, content: SimulatedArray, source: SimulatedDevice) -> SimulatedArray:
        copy = self.upload(source.host_of(content))
        source._use([content], self._stream)
        self._count("device_to_device", "device_to_device_bytes", copy.nbytes)
        return copy

    def owns(self, array: Any) -> bool:
        """Whether `array` is this very device's."""
        return type(array) is SimulatedArray and array._device is self

    def adopt(self, array: Any) -> Any:
        """The array itself, if it is this device's, after what the program has asked for."""
        if not self.owns(array):
            return None
        self._await_program()
        return array

    def synchronize(self) -> None:
        """Puts the real content into every host copy made so far."""
        self.watch.refuse("to wait for the device")
        self._count("synchronizations")
        self._wait()

    def _wait(self) -> None:
        self._stream.synchronize()
        with self._pool.lock:
            pending, self._pending = self._pending, []
            for buffer, content in pending:
                buffer[...] = content

    def timer(self) -> SimulatedTimer:
        """A timer of the device's own stream."""
        return SimulatedTimer(self._stream)

    def close(self) -> None:
        """Arrays that are still alive can be computed with no more."""
        self._wait()
        self._xp.constants.clear()
        with self._pool.lock:
            self._pool.closed = True
