"""Conditional nodes of CUDA graphs: what a captured step does only sometimes, or again and again.

A node has a graph of its own, its body, and a handle, a number on the device that says whether the
body runs. A kernel sets it, `cudaGraphSetConditional`, which the driver itself knows: it is
declared and not linked, as PyTorch's graphs and NVIDIA's NeMo do it. All is asked of the driver by
ctypes (CUDA driver API, "Graph Management" and "Stream Management"; 12.4 and later).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tfsession.devices.capture import CaptureRefused, NotRecordable
from tfsession.devices.code_library import CodeLibrary, code_library
from tfsession.devices.cuda_capture import CONDITIONAL
from tfsession.devices.driver import cuda_version, load_driver

__all__ = [
    *("NAMES", "OPTIONS", "SOURCE", "Conditionals", "NodeParameters", "are_there"),
    "conditionals",
]

# The driver of CUDA 12.4 has the nodes, and captures into the graphs of their bodies.
_FIRST_VERSION = 12040
_ASSIGN_DEFAULT = 1  # CU_GRAPH_COND_ASSIGN_DEFAULT
_SET_DEPENDENCIES = 1  # CU_STREAM_SET_CAPTURE_DEPENDENCIES
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_CAPTURING = 1  # CU_STREAM_CAPTURE_STATUS_ACTIVE

OPTIONS = ("--std=c++17",)
# `otherwise` gets the opposite, where it is a handle. What is not 0 in `stop`, memory of the host,
# ends loops that would have no end.
SOURCE = r"""
typedef unsigned long long Handle;
extern "C" __device__ void cudaGraphSetConditional(Handle handle, unsigned int value);

extern "C" __global__ void choose(Handle handle, Handle otherwise, const bool *truth) {
    bool holds = *truth;
    cudaGraphSetConditional(handle, holds);
    cudaGraphSetConditional(otherwise, !holds);
}

extern "C" __global__ void repeat(Handle handle, const bool *truth, const volatile int *stop) {
    cudaGraphSetConditional(handle, *truth && !*stop);
}
"""
NAMES = ("choose", "repeat")


class NodeParameters(ctypes.Structure):
    """CUgraphNodeParams of the driver API, as far as conditional nodes use it: 256 bytes."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("reserved0", ctypes.c_int * 3),
        ("handle", ctypes.c_uint64),
        ("kind", ctypes.c_int),
        ("size", ctypes.c_uint),
        ("bodies", ctypes.POINTER(ctypes.c_void_p)),
        ("context", ctypes.c_void_p),
        ("reserved1", ctypes.c_uint64 * 25),
        ("reserved2", ctypes.c_uint64),
    ]


class Conditionals:
    """Adds conditional nodes to the graph that CuPy's current stream captures.

    Attributes:
        bodies: the graphs of all nodes so far.
    """

    def __init__(self, cupy: Any, driver: Any, library: CodeLibrary) -> None:
        """`driver` is libcuda."""
        self.bodies: list[int] = []
        self._cupy = cupy
        self._driver = driver
        self._library = library
        self._choose, self._repeat = library.kernels(SOURCE, NAMES, OPTIONS)

    def _check(self, status: int, call: str) -> None:
        if status:
            raise CaptureRefused(f"{call} failed with CUDA error {status}")

    def _captured(self, stream: Any) -> tuple[ctypes.c_void_p, Any, int]:
        """The graph that a stream captures, and the nodes after which its next node comes."""
        status, number, count = ctypes.c_int(), ctypes.c_uint64(), ctypes.c_size_t()
        graph, nodes = ctypes.c_void_p(), ctypes.POINTER(ctypes.c_void_p)()
        self._check(
            self._driver.cuStreamGetCaptureInfo_v2(
                ctypes.c_void_p(stream.ptr),
                *map(ctypes.byref, (status, number, graph, nodes, count)),
            ),
            "cuStreamGetCaptureInfo",
        )
        if status.value != _CAPTURING:
            raise CaptureRefused("the stream does not capture any more")
        return graph, nodes, count.value

    def handle(self) -> int:
        """A new handle for a node of the graph that is captured; false until it is set."""
        graph, _, _ = self._captured(self._cupy.cuda.get_current_stream())
        made, context = ctypes.c_uint64(), ctypes.c_void_p()
        self._check(self._driver.cuCtxGetCurrent(ctypes.byref(context)), "cuCtxGetCurrent")
        self._check(
            self._driver.cuGraphConditionalHandleCreate(
                ctypes.byref(made), graph, context, 0, _ASSIGN_DEFAULT
            ),
            "cuGraphConditionalHandleCreate",
        )
        return made.value

    def set_choice(self, handle: int, otherwise: int, truth: Any) -> None:
        """Queue what gives a handle the value of a truth, and another the opposite."""
        handles = np.uint64(handle), np.uint64(otherwise)
        self._choose((1,), (1,), (*handles, np.uint64(truth.data.ptr)))

    def set_repeated(self, handle: int, truth: Any, stop: int) -> None:
        """Queue what gives a handle the value of a truth, unless it is to stop."""
        self._repeat((1,), (1,), (np.uint64(handle), np.uint64(truth.data.ptr), np.uint64(stop)))

    @contextmanager
    def body(self, kind: int, handle: int) -> Iterator[None]:
        """What is queued in the block is the body of a new node, behind all that was captured."""
        driver, outer = self._driver, self._cupy.cuda.get_current_stream()
        graph, nodes, count = self._captured(outer)
        parameters, node = NodeParameters(), ctypes.c_void_p()
        parameters.type, parameters.handle = CONDITIONAL, handle
        parameters.kind, parameters.size = kind, 1
        context = ctypes.c_void_p()
        self._check(driver.cuCtxGetCurrent(ctypes.byref(context)), "cuCtxGetCurrent")
        parameters.context = context.value
        self._check(
            driver.cuGraphAddNode(
                ctypes.byref(node), graph, nodes, ctypes.c_size_t(count), ctypes.byref(parameters)
            ),
            "cuGraphAddNode",
        )
        self._check(
            driver.cuStreamUpdateCaptureDependencies(
                ctypes.c_void_p(outer.ptr), ctypes.byref(node), ctypes.c_size_t(1),
                ctypes.c_uint(_SET_DEPENDENCIES),
            ),
            "cuStreamUpdateCaptureDependencies",
        )  # fmt: skip
        inner = self._cupy.cuda.Stream(non_blocking=True)
        body = ctypes.c_void_p(parameters.bodies[0])
        self._check(
            driver.cuStreamBeginCaptureToGraph(
                ctypes.c_void_p(inner.ptr), body, None, None, ctypes.c_size_t(0), _RELAXED
            ),
            "cuStreamBeginCaptureToGraph",
        )
        ended = ctypes.c_void_p()
        try:
            with inner:
                yield
        finally:
            status = driver.cuStreamEndCapture(ctypes.c_void_p(inner.ptr), ctypes.byref(ended))
        self._check(status, "cuStreamEndCapture")
        assert body.value is not None
        self.bodies.append(body.value)


def are_there(xp: Any) -> bool:
    """Whether the driver has conditional nodes, and code can be compiled that sets them."""
    driver = load_driver()
    has_nodes = driver is not None and cuda_version(driver) >= _FIRST_VERSION
    return has_nodes and code_library(xp) is not None


def conditionals(xp: Any) -> Conditionals:
    """What adds nodes to a graph that is captured next; raises NotRecordable where nothing can."""
    library = code_library(xp)
    if library is None or not are_there(xp):
        raise NotRecordable("there are no conditional nodes")
    return Conditionals(xp, load_driver(), library)
