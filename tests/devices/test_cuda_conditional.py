"""Conditional nodes, as they are asked of a driver that keeps graphs as lists of nodes."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from tfsession.devices.capture import CaptureRefused
from tfsession.devices.cuda_capture import CONDITIONAL, CudaRecording
from tfsession.devices.cuda_conditional import Conditionals, NodeParameters

CONTEXT = 0xC0


class Stream:
    """A stream of CuPy; `graph` is what it captures, `last` its node that was captured last."""

    def __init__(self, cuda, ptr):
        self._cuda, self.ptr, self.graph, self.last = cuda, ptr, None, None

    def __enter__(self):
        self._cuda.current.append(self)

    def __exit__(self, *_):
        self._cuda.current.pop()

    def add(self, what):
        nodes = self._cuda.graphs[self.graph]
        nodes.append((what, () if self.last is None else (self.last,)))
        self.last = len(nodes)


class Cuda:
    """As much of CuPy, of libcuda and of loaded code as is asked."""

    def __init__(self):
        self.graphs = {1: []}
        self.owners = {}  # the graph of each handle
        self.streams = {}
        self.current = []
        self.cuda = SimpleNamespace(
            Stream=lambda non_blocking: self.stream(), get_current_stream=lambda: self.current[-1]
        )
        self.failing = None

    def stream(self):
        stream = Stream(self, len(self.streams) + 100)
        self.streams[stream.ptr] = stream
        return stream

    def kernels(self, source, names, options):
        assert all(f"void {name}(" in source for name in names)

        def kernel(name):
            return lambda grid, block, arguments: self.current[-1].add((name, *map(int, arguments)))

        return [kernel(name) for name in names]

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")

    # --- the driver -----------------------------------------------------------------------------

    def _status(self, name):
        return 201 if self.failing == name else 0

    def cuStreamGetCaptureInfo_v2(self, stream, status, number, graph, nodes, count):
        found = self.streams[stream.value]
        status._obj.value = int(found.graph is not None)
        graph._obj.value = found.graph
        last = (ctypes.c_void_p * 1)(found.last or 0)
        nodes._obj.contents = ctypes.c_void_p.from_buffer(last)
        self.kept = last
        count._obj.value = int(found.last is not None)
        return self._status("cuStreamGetCaptureInfo")

    def cuCtxGetCurrent(self, context):
        context._obj.value = CONTEXT
        return 0

    def cuGraphConditionalHandleCreate(self, handle, graph, context, default, flags):
        assert (context.value, default, flags) == (CONTEXT, 0, 1)
        handle._obj.value = made = 1000 + len(self.owners)
        self.owners[made] = graph.value
        return self._status("cuGraphConditionalHandleCreate")

    def cuGraphAddNode(self, node, graph, behind, count, parameters):
        if self.failing == "cuGraphAddNode":
            return 201
        found = parameters._obj
        assert found.type == CONDITIONAL
        assert (found.size, found.context) == (1, CONTEXT)
        assert self.owners[found.handle] == graph.value
        body = max(self.graphs) + 1
        self.graphs[body] = []
        self.bodies = (ctypes.c_void_p * 1)(body)
        found.bodies = ctypes.cast(self.bodies, ctypes.POINTER(ctypes.c_void_p))
        nodes = self.graphs[graph.value]
        needs = tuple(behind[number] for number in range(count.value))
        nodes.append(((("if", "while")[found.kind], found.handle, body), needs))
        node._obj.value = len(nodes)
        return 0

    def cuStreamUpdateCaptureDependencies(self, stream, node, count, flags):
        assert (count.value, flags.value) == (1, 1)
        self.streams[stream.value].last = node._obj.value
        return 0

    def cuStreamBeginCaptureToGraph(self, stream, graph, nodes, data, count, mode):
        assert (nodes, data, count.value, mode) == (None, None, 0, 2)
        found = self.streams[stream.value]
        assert found.graph is None
        found.graph = graph.value
        return 0

    def cuStreamEndCapture(self, stream, graph):
        found = self.streams[stream.value]
        graph._obj.value, found.graph = found.graph, None
        return self._status("cuStreamEndCapture")


TRUTH = SimpleNamespace(data=SimpleNamespace(ptr=0xB0))
STOP = 0xD0


@pytest.fixture
def cuda():
    """A stream that captures graph 1."""
    found = Cuda()
    stream = found.stream()
    stream.graph = 1
    with stream:
        yield found


def recording(cuda):
    return CudaRecording(None, None, lambda: Conditionals(cuda, cuda, cuda), STOP)


def test_parameters_are_as_large_as_the_drivers():
    assert ctypes.sizeof(NodeParameters) == 256
    assert NodeParameters.handle.offset == 16
    assert NodeParameters.bodies.offset == 32
    assert NodeParameters.context.offset == 40


def test_a_choice_is_two_nodes_one_behind_the_other(cuda):
    made = recording(cuda)
    outer = cuda.current[-1]
    outer.add("before")
    made.choose(TRUTH, lambda: cuda.current[-1].add("yes"), lambda: cuda.current[-1].add("no"))
    outer.add("behind")
    assert cuda.graphs == {
        1: [
            ("before", ()),
            (("choose", 1000, 1001, 0xB0), (1,)),
            (("if", 1000, 2), (2,)),
            (("if", 1001, 3), (3,)),
            ("behind", (4,)),
        ],
        2: [("yes", ())],
        3: [("no", ())],
    }
    assert made._made.bodies == [2, 3]


def test_a_loop_asks_before_and_at_the_end_of_each_turn(cuda):
    made = recording(cuda)
    made.repeat(TRUTH, lambda: cuda.current[-1].add("turn"), [])
    asked = ("repeat", 1000, 0xB0, STOP)
    assert cuda.graphs == {
        1: [(asked, ()), (("while", 1000, 2), (1,))],
        2: [("turn", ()), (asked, (1,))],
    }


def test_handles_belong_to_the_graph_of_their_node(cuda):
    made = recording(cuda)

    def turn():
        made.choose(TRUTH, lambda: None, lambda: None)

    made.repeat(TRUTH, turn, [])
    assert cuda.owners == {1000: 1, 1001: 2, 1002: 2}
    assert [what for what, _ in cuda.graphs[2]] == [
        ("choose", 1001, 1002, 0xB0),
        ("if", 1001, 3),
        ("if", 1002, 4),
        ("repeat", 1000, 0xB0, STOP),
    ]


@pytest.mark.parametrize(
    "call",
    [
        *("cuStreamGetCaptureInfo", "cuGraphConditionalHandleCreate", "cuGraphAddNode"),
        "cuStreamEndCapture",
    ],
)
def test_what_the_driver_refuses_is_told(cuda, call):
    cuda.failing = call
    with pytest.raises(CaptureRefused, match=f"{call} failed with CUDA error 201"):
        recording(cuda).repeat(TRUTH, lambda: None, [])


def test_a_body_that_fails_ends_its_capture(cuda):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        recording(cuda).repeat(TRUTH, fail, [])
    assert [stream.graph for stream in cuda.streams.values()] == [1, None]
    assert cuda.current == [cuda.streams[100]]


def test_numbers_are_those_of_the_kernels_parameters(cuda):
    kinds = []
    cuda.kernels = lambda *_: [lambda grid, block, given: kinds.append(list(map(type, given)))] * 2
    recording(cuda).choose(TRUTH, lambda: None, lambda: None)
    recording(cuda).repeat(TRUTH, lambda: None, [])
    assert kinds == [[np.uint64] * 3] * 3
