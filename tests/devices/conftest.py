"""A stand-in for CuPy, with two cards: what CUDA devices ask of it, it writes down."""

import threading
import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest


class FakeArray:
    def __init__(self, cupy, host):
        self.host = host
        self.shape, self.dtype, self.nbytes = host.shape, host.dtype, host.nbytes
        self.flags = host.flags
        self.cupy = cupy
        self.data = cupy.here.allocator(host.nbytes)
        self.data.array = weakref.proxy(self)  # a cycle would keep the memory

    def copy(self):
        self.cupy.here.streams[-1].note("made contiguous")
        return FakeArray(self.cupy, self.host.copy())

    def part(self):
        """Every second element: a view."""
        view = self.cupy.foreign(self.host[::2])
        view.cupy, view.flags = self.cupy, view.host.flags
        return view

    def get(self, stream, out, blocking):
        assert not blocking
        stream.note(("get", out))
        out[...] = self.host
        return out


class FakePool:
    """Keeps what is given back, in pieces as they were, until its free blocks are freed."""

    def __init__(self, cupy, allocator):
        self.cupy, self.allocator = cupy, allocator
        self.limits, self.kept, self.used, self.freed = {}, [], 0, 0

    def set_limit(self, size):
        self.limits[self.cupy.here.card] = size

    def malloc(self, size):
        if size in self.kept:
            self.kept.remove(size)
        elif self.total_bytes() + size > self.limits[self.cupy.here.card]:
            raise self.cupy.cuda.memory.OutOfMemoryError("limit")
        self.used += size
        return FakePointer(FakeMemory(self, size, self.cupy.here.card), 0)

    def used_bytes(self):
        return self.used

    def total_bytes(self):
        return self.used + sum(self.kept)

    def free_all_blocks(self):
        self.freed += 1
        self.kept.clear()


class FakeMemory:
    """A piece of a pool; it goes back with the last reference."""

    def __init__(self, pool, size, card):
        self.pool, self.ptr, self.size, self.device_id = pool, 4096, size, card

    def __del__(self):
        if self.pool is not None:
            self.pool.used -= self.size
            self.pool.kept.append(self.size)


class UnownedMemory:
    """Memory that lives as long as its owner, which it keeps."""

    def __init__(self, ptr, size, owner, device_id):
        assert ptr
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device_id


class FakePointer:
    def __init__(self, mem, offset):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    def copy_from_device_async(self, source, size, stream):
        stream.note(("copy", size))
        self.array.host[...] = source.array.host


class FakeCard:
    def __init__(self, cupy, number):
        self.cupy, self.id = cupy, number

    def __enter__(self):
        self.cupy.here.cards.append(self.id)

    def __exit__(self, *_error):
        self.cupy.here.cards.pop()


class FakeStream:
    def __init__(self, cupy, non_blocking):
        assert non_blocking
        self.cupy, self.card, self.log = cupy, cupy.here.card, []

    def __enter__(self):
        self.cupy.here.streams.append(self)

    def __exit__(self, *_error):
        self.cupy.here.streams.pop()

    def note(self, what):
        self.log.append(what)
        self.cupy.calls.append((self, what))

    def record(self):
        assert self.cupy.here.card == self.card  # where the event is made
        self.note("record")
        return self

    def wait_event(self, event):
        self.note(("wait", event))

    def synchronize(self):
        assert self.cupy.here.card == self.card
        self.note("synchronize")


class FakeEvent:
    """Tells how much its stream had been asked for, a millisecond each, once that is waited for."""

    def __init__(self, cupy):
        self.cupy, self.card = cupy, cupy.here.card

    def record(self, stream):
        assert self.card == stream.card
        stream.note("event")
        self.stream, self.number = stream, len(stream.log)

    def elapsed(self, later):
        for event in (self, later):
            if "synchronize" not in event.stream.log[event.number :]:
                raise self.cupy.cuda.runtime.CUDARuntimeError("cudaErrorNotReady")
        return float(later.number - self.number)


class FakeRanges:
    """NVTX: the names of the ranges that are open, and of all so far."""

    def __init__(self):
        self.open, self.all = [], []

    def RangePush(self, name):
        self.open.append(name)
        self.all.append("/".join(self.open))

    def RangePop(self):
        self.open.pop()


class Here(threading.local):
    """What is current in a thread."""

    def __init__(self):
        self.cards, self.streams, self.allocators = [7], [], []
        self.own = {}  # the current stream of each card, outside of all others

    @property
    def card(self):
        return self.cards[-1]

    @property
    def allocator(self):
        return self.allocators[-1]


class OwnStream:
    """The program's current stream on a card."""

    def __init__(self):
        self.log = []

    def record(self):
        return self

    def wait_event(self, event):
        self.log.append(("wait", event))


class FakeCupy:
    """Two cards, numbered against the order of their bus ids."""

    ndarray = FakeArray

    def __init__(self):
        self.here = Here()
        self.enabled, self.calls, self.pinned = [], [], []
        runtime = SimpleNamespace(
            CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
            deviceGetByPCIBusId=self._ordinal,
            deviceCanAccessPeer=lambda a, b: True,
            deviceEnablePeerAccess=lambda card: self.enabled.append((self.here.card, card)),
            getDevice=lambda: 0,
            pointerGetAttributes=lambda pointer: SimpleNamespace(device=pointer >> 32),
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            memory=SimpleNamespace(
                OutOfMemoryError=type("OOM", (MemoryError,), {}),
                MemoryPointer=FakePointer,
                UnownedMemory=UnownedMemory,
            ),
            Device=lambda number: FakeCard(self, number),
            MemoryPool=lambda allocator: FakePool(self, allocator),
            Stream=lambda non_blocking: FakeStream(self, non_blocking),
            using_allocator=self._using,
            malloc_managed="managed",
            alloc_pinned_memory=self._pinned,
            get_current_stream=self._current_stream,
            Event=lambda: FakeEvent(self),
            get_elapsed_time=FakeEvent.elapsed,
            nvtx=FakeRanges(),
        )

    def _pinned(self, size):
        assert size
        self.pinned.append(bytearray(512))  # it comes in pieces of its own sizes
        return self.pinned[-1]

    def _current_stream(self):
        if self.here.streams:
            return self.here.streams[-1]
        return self.here.own.setdefault(self.here.card, OwnStream())

    def _taken(self, array, how):
        # On the device's own stream, so that the producer's comes before it.
        self.taken = how, self.here.card, self.here.streams[-1]
        return self.foreign(array)

    def from_dlpack(self, array):
        return self._taken(array, "dlpack")

    def asarray(self, array):
        return self._taken(array, "interface")

    def foreign(self, host):
        """An array in memory that CuPy did not allocate."""
        array = FakeArray.__new__(FakeArray)
        array.host, array.data = host, FakePointer(FakeMemory(None, 0, self.here.card), 0)
        return array

    def _ordinal(self, bus_id):
        known = {"0000:17:00.0": 1, "0000:18:00.0": 0}
        if bus_id not in known:
            raise self.cuda.runtime.CUDARuntimeError("cudaErrorInvalidDevice")
        return known[bus_id]

    @contextmanager
    def _using(self, allocator):
        self.here.allocators.append(allocator)
        try:
            yield
        finally:
            self.here.allocators.pop()

    def array(self, host, order):
        assert order == "C"
        return FakeArray(self, np.array(host))

    def empty(self, shape, dtype):
        return FakeArray(self, np.empty(shape, dtype))


@pytest.fixture
def cupy(monkeypatch):
    from tfsession.devices import cuda  # noqa: PLC0415

    fake = FakeCupy()
    fake.imports = 0

    def load():
        fake.imports += 1
        return fake

    monkeypatch.setattr(cuda, "_import_cupy", load)
    return fake
