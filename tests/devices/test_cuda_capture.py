"""What a captured graph may hold: asked of a driver that answers from a list of nodes."""

import ctypes

import pytest

from tfsession.devices.capture import CaptureRefused
from tfsession.devices.cuda_capture import _Memcpy3D, check_graph

KERNEL, MEMCPY, MEMSET, HOST, GRAPH, EMPTY = range(6)
ON_HOST, ON_DEVICE, UNIFIED = 1, 2, 4
HOST_ADDRESS, DEVICE_ADDRESS = 0x7F0000001000, 0x7F8000001000


def copy(source, destination, kind=UNIFIED):
    return (MEMCPY, source, destination, kind)


class Driver:
    """As much of libcuda as is asked; `nodes` are types, or copies with their ends."""

    def __init__(self, nodes, status=0):
        self.nodes = nodes
        self.status = status

    def _node(self, handle):
        found = self.nodes[handle.value - 1]
        return found if isinstance(found, tuple) else (found,)

    def cuGraphGetNodes(self, graph, nodes, count):
        assert graph.value == 77
        count._obj.value = len(self.nodes)
        if nodes is not None:
            for number in range(len(self.nodes)):
                nodes[number] = number + 1
        return self.status

    def cuGraphNodeGetType(self, node, kind):
        kind._obj.value = self._node(node)[0]
        return 0

    def cuGraphMemcpyNodeGetParams(self, node, params):
        _, source, destination, kind = self._node(node)
        found = params._obj
        found.srcMemoryType = found.dstMemoryType = kind
        if kind == ON_HOST:
            found.srcHost, found.dstHost = source, destination
        else:
            found.srcDevice, found.dstDevice = source, destination
        return 0

    def cuPointerGetAttribute(self, kind, attribute, pointer):
        assert attribute == 2
        if pointer.value == HOST_ADDRESS:
            return 1  # ordinary memory is none that CUDA knows
        kind._obj.value = ON_DEVICE
        return 0


def check(nodes, status=0):
    check_graph(77, Driver(nodes, status))


def test_the_parameters_of_a_copy_are_as_large_as_the_drivers():
    assert ctypes.sizeof(_Memcpy3D) == 200


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [KERNEL, MEMSET, EMPTY, KERNEL],
        [KERNEL, copy(DEVICE_ADDRESS, DEVICE_ADDRESS + 512)],
        [copy(DEVICE_ADDRESS, DEVICE_ADDRESS + 512, ON_DEVICE)],
    ],
)
def test_work_on_the_device_alone_may_be_replayed(nodes):
    check(nodes)


@pytest.mark.parametrize(
    "nodes",
    [
        [KERNEL, copy(HOST_ADDRESS, DEVICE_ADDRESS)],
        [copy(DEVICE_ADDRESS, HOST_ADDRESS), KERNEL],
        [copy(HOST_ADDRESS, HOST_ADDRESS, ON_HOST)],
        [KERNEL, HOST],
        [GRAPH],
    ],
)
def test_what_would_read_or_write_the_hosts_memory_later_is_refused(nodes):
    with pytest.raises(CaptureRefused):
        check(nodes)


def test_a_driver_that_does_not_answer_refuses():
    with pytest.raises(CaptureRefused, match="201"):
        check([KERNEL], status=201)
