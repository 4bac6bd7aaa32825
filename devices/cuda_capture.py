"""Recorded steps on CUDA: what a stream captures becomes a graph, which is launched as a whole.

CuPy's graphs hold no reference to memory: a slab is held here, the arrays outside of it by whoever
recorded. Copies from or to the host within a graph would read what was there while recording, so a
graph that has any is refused.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.devices.capture import CaptureRefused, Recording, SlabMemory, Staging, Work

if TYPE_CHECKING:
    from tfsession.devices.cuda_conditional import Conditionals

__all__ = ["CONDITIONAL", "CudaRecording", "CudaSlab", "CudaStaging", "check_graph"]

# CUgraphNodeType: kernels, copies, memory set to a value, nothing.
_KERNEL, _MEMCPY, _MEMSET, _HOST, _GRAPH, _EMPTY = range(6)
CONDITIONAL = 13
# CUgraphConditionalNodeType.
IF, WHILE = 0, 1
# CUmemorytype.
_HOST_MEMORY = 1
_SETS = 2


class CudaSlab(SlabMemory):
    """Memory of a device's pool, cut by hand."""

    def __init__(self, cupy: Any, memory: Any, nbytes: int) -> None:
        self.nbytes = nbytes
        self.memory = memory
        self._cupy = cupy

    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of the device over a part."""
        return self._cupy.ndarray(shape, dtype, self.memory + offset)

    def holds(self, array: Any) -> bool:
        """Whether the elements of an array of the device lie here."""
        begin = self.memory.ptr
        return bool(begin <= array.data.ptr < begin + self.nbytes)


class CudaStaging(Staging):
    """Pinned memory in two sets that take turns: one is filled while the other is on its way."""

    def __init__(self, cupy: Any, stream: Any, slab: CudaSlab, nbytes: int) -> None:
        self._cupy = cupy
        self._stream = stream
        self._slab = slab
        self._pinned = [cupy.cuda.alloc_pinned_memory(nbytes) for _ in range(_SETS)]
        self._left = [cupy.cuda.Event(disable_timing=True) for _ in range(_SETS)]
        self._filled = np.empty(nbytes, np.uint8)
        self._turn = 0

    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of the host for an input."""
        return np.ndarray(shape, dtype, self._filled.data, offset)

    def ready(self) -> None:
        """Wait until the set whose turn it is has left."""
        self._left[self._turn].synchronize()

    def send(self) -> None:
        """Copy all of it into the set, and queue its copy to the slab."""
        nbytes, pinned = self._filled.nbytes, self._pinned[self._turn]
        ctypes.memmove(pinned.ptr, self._filled.ctypes.data, nbytes)
        self._slab.memory.copy_from_host_async(ctypes.c_void_p(pinned.ptr), nbytes, self._stream)
        self._left[self._turn].record(self._stream)
        self._turn = (self._turn + 1) % _SETS


class CudaRecording(Recording):
    """A graph that a stream has captured."""

    def __init__(
        self, slab: CudaSlab, stream: Any, conditionals: Callable[[], Conditionals], stop: int
    ) -> None:
        """`conditionals` gives what makes nodes of this graph alone; `stop` ends its loops."""
        self.slab: CudaSlab = slab
        self._stream = stream
        self._graph: Any = None
        self._make_conditionals = conditionals
        self._made: Conditionals | None = None
        self._stop = stop

    @property
    def _conditionals(self) -> Conditionals:
        if self._made is None:
            self._made = self._make_conditionals()
        return self._made

    def begin(self) -> None:
        """What is queued from now on is captured."""
        self._stream.begin_capture()

    def end(self) -> None:
        """The captured work becomes a graph; raises CaptureRefused."""
        self._graph = self._stream.end_capture()
        check_graph(self._graph.graph)
        for body in self._made.bodies if self._made is not None else ():
            check_graph(body)
        self._graph.upload(self._stream)

    def choose(self, predicate: Any, if_true: Work, if_false: Work) -> None:
        """Two nodes, of which the predicate lets one run."""
        nodes = self._conditionals
        handles = nodes.handle(), nodes.handle()
        nodes.set_choice(*handles, predicate)
        for handle, work in zip(handles, (if_true, if_false), strict=True):
            with nodes.body(IF, handle):
                work()

    def repeat(self, predicate: Any, turn: Work, closing: Sequence[object]) -> None:
        """A node that runs as long as the predicate holds."""
        nodes = self._conditionals
        handle = nodes.handle()
        nodes.set_repeated(handle, predicate, self._stop)
        with nodes.body(WHILE, handle):
            turn()
            nodes.set_repeated(handle, predicate, self._stop)

    def drop(self) -> None:
        """End a capture that has failed; what ends it badly is no news."""
        try:
            self._stream.end_capture()
        except Exception:
            return

    def replay(self) -> None:
        """Launch the graph."""
        self._graph.launch(self._stream)


def check_graph(graph: int, driver: Any = None) -> None:
    """Raise CaptureRefused for a graph with copies between host and device, or calls of the host.

    The bodies of its conditional nodes are graphs of their own.

    Asks the driver (libcuda, unless one is given) for the nodes: cuGraphGetNodes,
    cuGraphNodeGetType, cuGraphMemcpyNodeGetParams and cuPointerGetAttribute (CUDA driver API).
    """
    driver = driver or ctypes.CDLL("libcuda.so.1")
    captured, count = ctypes.c_void_p(graph), ctypes.c_size_t()
    _checked(driver.cuGraphGetNodes(captured, None, ctypes.byref(count)))
    nodes = (ctypes.c_void_p * count.value)()
    if count.value:
        _checked(driver.cuGraphGetNodes(captured, nodes, ctypes.byref(count)))
    for handle in nodes:
        node, kind = ctypes.c_void_p(handle), ctypes.c_int()
        _checked(driver.cuGraphNodeGetType(node, ctypes.byref(kind)))
        if kind.value == _MEMCPY:
            _check_copy(driver, node)
        elif kind.value not in (_KERNEL, _MEMSET, _EMPTY, CONDITIONAL):
            raise CaptureRefused(f"the graph has a node of type {kind.value}")


class _Memcpy3D(ctypes.Structure):
    """CUDA_MEMCPY3D of the driver API."""

    _fields_ = [
        ("srcXInBytes", ctypes.c_size_t),
        ("srcY", ctypes.c_size_t),
        ("srcZ", ctypes.c_size_t),
        ("srcLOD", ctypes.c_size_t),
        ("srcMemoryType", ctypes.c_int),
        ("srcHost", ctypes.c_void_p),
        ("srcDevice", ctypes.c_uint64),
        ("srcArray", ctypes.c_void_p),
        ("reserved0", ctypes.c_void_p),
        ("srcPitch", ctypes.c_size_t),
        ("srcHeight", ctypes.c_size_t),
        ("dstXInBytes", ctypes.c_size_t),
        ("dstY", ctypes.c_size_t),
        ("dstZ", ctypes.c_size_t),
        ("dstLOD", ctypes.c_size_t),
        ("dstMemoryType", ctypes.c_int),
        ("dstHost", ctypes.c_void_p),
        ("dstDevice", ctypes.c_uint64),
        ("dstArray", ctypes.c_void_p),
        ("reserved1", ctypes.c_void_p),
        ("dstPitch", ctypes.c_size_t),
        ("dstHeight", ctypes.c_size_t),
        ("WidthInBytes", ctypes.c_size_t),
        ("Height", ctypes.c_size_t),
        ("Depth", ctypes.c_size_t),
    ]


# CU_POINTER_ATTRIBUTE_MEMORY_TYPE; CU_MEMORYTYPE_DEVICE.
_ATTRIBUTE_TYPE, _DEVICE_MEMORY = 2, 2


def _check_copy(driver: Any, node: ctypes.c_void_p) -> None:
    copy = _Memcpy3D()
    _checked(driver.cuGraphMemcpyNodeGetParams(node, ctypes.byref(copy)))
    for memory, host, device in (
        (copy.srcMemoryType, copy.srcHost, copy.srcDevice),
        (copy.dstMemoryType, copy.dstHost, copy.dstDevice),
    ):
        kind = ctypes.c_uint()
        pointer = ctypes.c_uint64(host or 0 if memory == _HOST_MEMORY else device)
        failed = driver.cuPointerGetAttribute(ctypes.byref(kind), _ATTRIBUTE_TYPE, pointer)
        if failed or kind.value != _DEVICE_MEMORY:
            raise CaptureRefused("a copy between host and device cannot be recorded")


def _checked(status: int) -> None:
    if status:
        raise CaptureRefused(f"the driver answers {status} when asked about a captured graph")
