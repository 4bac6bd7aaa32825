"""CUDA devices: CuPy arrays in a pool with a hard limit, on a stream of the device's own.

CuPy is imported, and a CUDA context made, when a session first uses the device.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from tfsession.core import forking
from tfsession.core.errors import CancelledError, FailedPreconditionError, InternalError
from tfsession.devices import cuda_conditional
from tfsession.devices.accelerator import Accelerator, conditionals_wanted
from tfsession.devices.capture import Places, Rehearsal
from tfsession.devices.cuda_capture import CudaRecording, CudaSlab, CudaStaging
from tfsession.devices.cuda_module import CudaModule
from tfsession.devices.layout import GpuSlot
from tfsession.devices.memory import Charge, Ledger, MemoryStats
from tfsession.devices.slab import Slab
from tfsession.devices.timer import Timer

__all__ = ["CudaDevice"]

# kDLCUDA and kDLCUDAManaged of DLPack.
_DLPACK_CUDA = (2, 13)


# What a parent process had of CUDA when it made this one.
_left_behind: list[Any] = []
_FORKED = (
    "This process was forked from one that had used a CUDA device: CUDA does not work in it. Start "
    "processes with multiprocessing's 'spawn', or fork before the first step on a GPU."
)


_STOP_BYTES = 4
# Seconds between two looks whether a stream has done that may be in a loop.
_LOOK = 50e-6
# Bytes of arrays that come to the host through pinned memory, which nothing else can use.
_PINNED = 1 << 20


def _import_cupy() -> Any:
    import cupy  # noqa: PLC0415  heavy, and only for those who use a GPU

    return cupy


def _card_of(cupy: Any, array: Any) -> int | None:
    """CUDA's number of the card on which an array lies; None where it lies on none."""
    if isinstance(array, cupy.ndarray):
        return int(array.data.device_id)
    if hasattr(array, "__dlpack_device__"):
        kind, number = array.__dlpack_device__()
        return int(number) if int(kind) in _DLPACK_CUDA else None
    pointer = array.__cuda_array_interface__["data"][0]
    if not pointer:  # no elements: it may be anywhere
        return int(cupy.cuda.runtime.getDevice())
    return int(cupy.cuda.runtime.pointerGetAttributes(pointer).device)


def describe(slot: GpuSlot) -> str:
    """The physical description that TensorFlow gives of a card."""
    gpu = slot.gpu
    capability = ".".join(map(str, gpu.compute_capability or ("unknown",)))
    return (
        f"device: {slot.card}, name: {gpu.name}, pci bus id: {gpu.pci_bus_id}, "
        f"compute capability: {capability}"
    )


class CudaTimer(Timer):
    """Marks by events of CUDA on a stream."""

    def __init__(self, cupy: Any, card: Any, stream: Any) -> None:
        self._cupy, self._card, self._stream = cupy, card, stream
        self._events: list[Any] = []

    def mark(self) -> None:
        """Records an event."""
        with self._card:
            event = self._cupy.cuda.Event()
            event.record(self._stream)
        self._events.append(event)

    def nanoseconds(self) -> list[int]:
        """By CUDA, which tells half microseconds; its error if the stream is not yet there."""
        elapsed, events = self._cupy.cuda.get_elapsed_time, self._events
        with self._card:
            return [int(elapsed(events[0], event) * 1e6) for event in events]


def _shown(push: Callable[[str], Any], pop: Callable[[], Any], function: Any, name: str) -> Any:
    def shown(*arguments: Any, **settings: Any) -> Any:
        push(name)
        try:
            return function(*arguments, **settings)
        finally:
            pop()

    return shown


class CudaDevice(Accelerator):
    """A GPU device on a card, or on a part of one: several may share a card, each with a limit."""

    ledger: Ledger

    def __init__(self, index: int, slot: GpuSlot) -> None:
        super().__init__("GPU", index, slot.limit, describe(slot))
        self._slot = slot
        self._lock = forking.lock()
        self._cupy: Any = None
        self._xp: Any = None
        self._card: Any = None
        self._pool: Any = None
        self.ledger = Ledger(self.name, f"GPU_{index}_bfc", slot.limit)
        self._peers: set[int] = set()
        self._closed = False
        # Memory of the host that the card sees, once something recorded may have a loop.
        self._stop: Any = None
        forking.notice(self)

    def _start(self) -> Any:
        """Imports CuPy and makes the pool and the stream, once; returns CuPy."""
        with self._lock:
            if self._closed:
                raise CancelledError(None, None, "Session has been closed.")
            if self._cupy is not None:
                return self._cupy
            if _left_behind:
                raise FailedPreconditionError(None, None, _FORKED)
            cupy = _import_cupy()
            try:
                card = cupy.cuda.Device(self._number(cupy))
                with card:
                    malloc = cupy.cuda.malloc_managed if self._slot.unified else None
                    pool = cupy.cuda.MemoryPool(malloc)
                    pool.set_limit(size=max(1, self.memory_limit_bytes))  # 0 would mean no limit
                    stream = cupy.cuda.Stream(non_blocking=True)
            except cupy.cuda.runtime.CUDARuntimeError as error:
                raise InternalError(
                    None, None, f"failed initializing {self.physical_description}: {error}"
                ) from error
            self._card, self._pool, self._stream = card, pool, stream
            self._xp = CudaModule(cupy, self.watch, self.memory_limit_bytes)
            self._cupy = cupy  # last: its presence says that the rest is there
            return cupy

    def after_fork(self) -> None:
        """Touch nothing of CUDA any more: a child cannot use its parent's context, nor free it."""
        if self._cupy is not None:
            _left_behind.append((self._card, self._pool, self._stream))
            self._cupy = self._card = self._pool = self._stream = None
        self._stop = None

    def _number(self, cupy: Any) -> int:
        """CUDA's number of the card; asking makes no context."""
        # By bus id: NVML and CUDA may number the cards differently.
        return int(cupy.cuda.runtime.deviceGetByPCIBusId(self._slot.gpu.pci_bus_id))

    @property
    def xp(self) -> Any:
        """CuPy, with products by cuBLASLt."""
        if self._cupy is None:
            self._start()
        return self._xp

    def _allocate(self, size: int) -> Any:
        """The pool's memory, charged to the running operation.

        Raises ResourceExhaustedError, within the limit only where the card has no more.
        """
        places = self.watch.places
        return self._taken(size) if places is None else places(size)

    def _taken(self, size: int) -> Any:
        memory = self._cupy.cuda.memory
        try:
            found = self._pool.malloc(size)
        except memory.OutOfMemoryError:
            self.ledger.collect()
            self._pool.free_all_blocks()  # what it keeps in pieces that do not fit counts, too
            try:
                found = self._pool.malloc(size)
            except memory.OutOfMemoryError as error:
                raise self.ledger.exhausted(size) from error
        if not size:
            return found
        charge, taken = Charge(found), found.mem.size
        self.ledger.note(charge, taken)
        if self.watch.trace is not None:
            self.watch.trace.add(charge, size)
        return memory.MemoryPointer(
            memory.UnownedMemory(found.ptr, taken, charge, found.device_id), 0
        )

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Makes the card, the stream and the pool the calling thread's current ones."""
        cupy = self._cupy or self._start()
        with self.replaying(), self._stream, cupy.cuda.using_allocator(self._allocate):
            yield

    def replaying(self) -> AbstractContextManager[Any]:
        """Makes the card the calling thread's current one; staging and graphs know the stream."""
        if self._closed:
            raise CancelledError(None, None, "Session has been closed.")
        if self._has_lent:
            # The program may have dropped what it was handed while its own stream still reads it:
            # the pool gives out that memory again.
            self._await_program()
        return self._card  # type: ignore[no-any-return]

    def to_device(self, host_array: Any) -> Any:
        """A copy in this device's memory, in order with the stream's other work."""
        with self.activate():
            return self._cupy.array(np.asarray(host_array), order="C")

    def to_host(self, array: Any) -> Any:
        """A host copy, valid after `synchronize()`."""
        with self.activate():
            if 0 < array.nbytes <= _PINNED:
                # CuPy's pool keeps such memory. Who fetches gets a copy, so it is back at once.
                memory = self._cupy.cuda.alloc_pinned_memory(array.nbytes)
                out = np.ndarray(array.shape, array.dtype, memory)
            else:
                # Pageable memory: CUDA stages it, so the call may return late but never early.
                out = np.empty(array.shape, array.dtype)
            return array.get(stream=self._stream, out=out, blocking=False)

    # --- recorded steps -------------------------------------------------------------------------

    def slab(self, nbytes: int) -> CudaSlab:
        """Memory for a recorded step; called inside `activate()`."""
        return CudaSlab(self._cupy, self._allocate(max(1, nbytes)), nbytes)

    def staging(self, slab: CudaSlab, nbytes: int) -> CudaStaging:
        """Pinned memory for so many bytes at the beginning of a slab."""
        return CudaStaging(self._cupy, self._stream, slab, nbytes)

    @contextmanager
    def recording(
        self, slab: CudaSlab, plan: Slab, base: int, state: Sequence[Any]
    ) -> Iterator[CudaRecording]:
        """Captures what this thread asks of the stream in the block."""
        stop = self._stop_word() if self.has_conditionals else 0
        made = CudaRecording(slab, self._stream, self._conditionals, stop)
        places, watch = Places(plan, base), self.watch
        made.begin()
        watch.recording, watch.elsewhere = made, self._beside
        watch.places = lambda size: slab.memory + places.take(size)
        try:
            yield made
        except BaseException:
            watch.recording = watch.places = None
            made.drop()
            raise
        watch.recording = watch.places = None
        made.end()

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """Captures what this thread asks for, on another stream, and drops it: nothing is done."""
        watch = self.watch
        if watch.recording is not None:
            yield
            return

        def place(size: int) -> Any:
            with self._stream:  # where it is used, and returns to
                return self._taken(size)

        self._conditionals()  # code is loaded before anything captures
        stream = self._cupy.cuda.Stream(non_blocking=True)
        stream.begin_capture()
        watch.recording, watch.places, watch.elsewhere = Rehearsal(), place, self._beside
        try:
            with stream:
                yield
        finally:
            watch.recording = watch.places = None
            stream.end_capture()

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Work is queued on another stream than that which captures, and waited for."""
        stream = self._cupy.cuda.Stream(non_blocking=True)
        with stream:
            yield
        stream.synchronize()

    @property
    def has_conditionals(self) -> bool:
        """Whether the driver has conditional nodes, and code can be compiled that sets them."""
        return conditionals_wanted() and cuda_conditional.are_there(self.xp)

    def _conditionals(self) -> cuda_conditional.Conditionals:
        return cuda_conditional.conditionals(self.xp)

    def _stop_word(self) -> int:
        """The address of a number that loops on the card look at each turn: not 0 ends them."""
        with self._lock:
            if self._stop is None:
                memory = self._cupy.cuda.alloc_pinned_memory(_STOP_BYTES)
                self._stop = np.ndarray((), np.int32, memory)
                self._stop[...] = 0
        return int(self._stop.ctypes.data)

    def address(self, array: Any) -> int:
        """Where the array's elements begin."""
        return int(array.data.ptr)

    def alias(self, array: Any) -> Any:
        """Another array of the same memory, which is no reference to this one."""
        return self._cupy.ndarray(array.shape, array.dtype, array.data, array.strides)

    # --------------------------------------------------------------------------------------------

    def _on_card(self) -> AbstractContextManager[Any]:
        return self._card  # type: ignore[no-any-return]

    def _program_stream(self) -> Any:
        return self._cupy.cuda.get_current_stream()

    def _reach(self, card: int) -> None:
        """Lets this card read another's memory directly, where the hardware can; once."""
        runtime = self._cupy.cuda.runtime
        if card in self._peers or card == self._card.id:
            return
        self._peers.add(card)
        if runtime.deviceCanAccessPeer(self._card.id, card):
            try:
                runtime.deviceEnablePeerAccess(card)
            except runtime.CUDARuntimeError:
                return  # already enabled, or no room for one more: the copy goes another way

    def _pulled(self, content: Any, source: Any) -> Any:
        self._reach(source._card.id)
        copied = self._cupy.empty(content.shape, content.dtype)
        if content.nbytes:
            copied.data.copy_from_device_async(content.data, content.nbytes, self._stream)
        return copied

    def owns(self, array: Any) -> bool:
        """Whether `array` is CuPy's and on this card; parts of one card own each other's arrays."""
        if self._cupy is None or not isinstance(array, self._cupy.ndarray):
            return False
        return bool(array.data.device_id == self._card.id)

    def adopt(self, array: Any) -> Any:
        """A CuPy array over memory of this card that CuPy or another library holds; else None."""
        cupy = _import_cupy()
        if _card_of(cupy, array) != self._number(cupy):
            return None  # and the session's other cards stay untouched
        self._start()
        if isinstance(array, cupy.ndarray):
            self._await_program()
            return array
        with self._card, self._stream:  # the protocols order the producer's stream before ours
            return cupy.from_dlpack(array) if hasattr(array, "__dlpack__") else cupy.asarray(array)

    def timer(self) -> CudaTimer:
        """Events of the device's own stream."""
        cupy = self._cupy or self._start()
        return CudaTimer(cupy, self._card, self._stream)

    def shown(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Inside a range of NVTX where the environment's TFSESSION_NVTX asks for it."""
        if os.environ.get("TFSESSION_NVTX", "0") in ("", "0"):
            return function
        nvtx = (self._cupy or self._start()).cuda.nvtx
        return _shown(nvtx.RangePush, nvtx.RangePop, function, name)  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        """Waits for the stream; Ctrl-C ends loops that would have no end."""
        if self._stream is None:
            return
        with self._card:
            if self._stop is not None:
                self._await_loops()
            self._stream.synchronize()

    def _await_loops(self) -> None:
        """Wait in a way that lets Ctrl-C through, which ends loops."""
        try:
            while not self._stream.done:
                time.sleep(_LOOK)
        except BaseException:
            self._stop[...] = 1
            self._stream.synchronize()
            self._stop[...] = 0
            raise

    def memory_stats(self) -> MemoryStats:
        """What is in use, and what the pool has taken from the card."""
        if self._pool is None:
            return self.ledger.stats()
        with self._card:
            return self.ledger.stats(self._pool.total_bytes())

    def close(self) -> None:
        """Waits for the stream, then returns the pool's free memory to the driver.

        What arrays still hold returns with them: drop variables and plans first.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._stop is not None:
            self._stop[...] = 1
        if self._pool is not None:
            self.synchronize()
            self._xp.constants.clear()
            with self._card:
                self._pool.free_all_blocks()
