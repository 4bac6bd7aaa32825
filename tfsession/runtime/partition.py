"""Partition: where each operation of a step computes, and the segments and transfers that follow.

A segment is a maximal run of operations in one memory: the host's, which all CPU devices share, or
a GPU's. int32, string and resource data stay in host memory also for operations placed on a GPU,
as in TensorFlow; an operation that touches nothing else runs there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tfsession.core.dtypes import DType, int32, resource, string, variant
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.op_def import ArgDef, OpDef
from tfsession.core.rules import Kernel, find_kernel
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

_HOST_DTYPES = frozenset({int32, string})
_HANDLE_DTYPES = frozenset({resource, variant})


@dataclass(slots=True)
class Node:
    """An operation with its device, its kernel, and the memory in which it computes."""

    op: Operation
    device: Device
    kernel: Kernel
    memory: Memory
    input_memories: tuple[Memory, ...]
    output_memories: tuple[Memory, ...]


@dataclass(slots=True, frozen=True)
class Transfer:
    """A tensor that must be copied from one device's memory to another's within a step."""

    tensor: Tensor
    source: Memory
    destination: Memory


@dataclass(slots=True)
class Segment:
    """Operations of one memory that run one after another, and what must be copied before."""

    memory: Memory
    nodes: list[Node] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)


def _argument_of_each(args: Sequence[ArgDef], op: Operation) -> list[ArgDef]:
    """The argument definition of each flat input or output."""
    flat: list[ArgDef] = []
    for arg in args:
        if arg.number_attr is not None:
            flat.extend([arg] * op.attrs[arg.number_attr])
        elif arg.type_list_attr is not None:
            flat.extend([arg] * len(op.attrs[arg.type_list_attr]))
        else:
            flat.append(arg)
    return flat


def input_arguments(op: Operation) -> list[ArgDef]:
    """The argument definition of each input tensor of `op`."""
    definition: OpDef = op.op_def
    if len(definition.inputs) == len(op.inputs) and definition.is_plain:
        return list(definition.inputs)
    return _argument_of_each(definition.inputs, op)


def _data_dtypes(op: Operation, kernel: Kernel, arguments: Sequence[ArgDef]) -> set[DType]:
    """The dtypes that decide where `op` computes: a variable's own when it works on a variable."""
    if any(arg.is_ref or arg.type is resource for arg in arguments):
        dtype = op.attrs.get("dtype", op.attrs.get("T"))
        if isinstance(dtype, DType):
            return {dtype}
    found = {
        tensor.dtype.base_dtype
        for tensor, arg in zip(op.inputs, arguments, strict=True)
        if arg.name not in kernel.host
    }
    found.update(tensor.dtype.base_dtype for tensor in op.outputs)
    return found - _HANDLE_DTYPES


def make_node(op: Operation, device: Device) -> Node:
    """Find the kernel of `op` on `device`, and the memory of each of its inputs and outputs."""
    kernel = find_kernel(op.type, device.device_type, op.attrs)
    if kernel is None:
        raise InvalidArgumentError(
            None,
            op,
            f"No OpKernel was registered to support Op '{op.type}' used by {{{{node {op.name}}}}}",
        )
    if device.device_type == "CPU":
        return Node(op, device, kernel, None, (None,) * len(op.inputs), (None,) * len(op.outputs))
    arguments = input_arguments(op)
    memory: Memory = None if _data_dtypes(op, kernel, arguments) <= _HOST_DTYPES else device
    inputs = tuple(
        None if arg.name in kernel.host or tensor.dtype.base_dtype in _HANDLE_DTYPES else memory
        for tensor, arg in zip(op.inputs, arguments, strict=True)
    )
    outputs = tuple(
        None
        if arg.name in kernel.host_outputs or tensor.dtype.base_dtype in _HANDLE_DTYPES
        else memory
        for tensor, arg in zip(op.outputs, _argument_of_each(op.op_def.outputs, op), strict=True)
    )
    return Node(op, device, kernel, memory, inputs, outputs)


def partition(
    ops: Sequence[Operation], placement: Mapping[Operation, Device], feeds: Iterable[Tensor]
) -> list[Segment]:
    """Cut topologically ordered operations into segments, with the transfers each one waits for."""
    nodes = [make_node(op, placement[op]) for op in ops]
    memories = {id(node.memory) for node in nodes}
    if len(memories) > 1:
        nodes = _group_by_memory(nodes)
    location: dict[Tensor, Memory] = dict.fromkeys(feeds)
    copied: set[tuple[Tensor, int]] = set()
    born: dict[Tensor, Segment] = {}
    segments: list[Segment] = []
    for node in nodes:
        if not segments or segments[-1].memory is not node.memory:
            segments.append(Segment(node.memory))
        segment = segments[-1]
        for tensor, memory in zip(node.op.inputs, node.input_memories, strict=True):
            source = location[tensor]
            # A value made within the segment may still have to leave its memory (a host input of
            # a device operation): then the segment ends before the reader.
            if source is not memory and (tensor, id(memory)) not in copied:
                if born.get(tensor) is segment:
                    segment = Segment(node.memory)
                    segments.append(segment)
                copied.add((tensor, id(memory)))
                segment.transfers.append(Transfer(tensor, source, memory))
        segment.nodes.append(node)
        for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
            if tensor not in location:
                location[tensor] = memory
                born[tensor] = segment
    return segments


def _group_by_memory(nodes: list[Node]) -> list[Node]:
    """Reorder so that runs in one memory are long: stay as long as any operation there is ready."""
    by_op = {node.op: index for index, node in enumerate(nodes)}
    waiting = [0] * len(nodes)
    readers: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        sources = {t.op for t in node.op.inputs}
        sources.update(node.op.control_inputs)
        for source in sources:
            position = by_op.get(source)
            if position is not None:
                waiting[index] += 1
                readers[position].append(index)
    ready: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        if not waiting[index]:
            ready.setdefault(id(node.memory), []).append(index)
    ordered: list[Node] = []
    current: list[int] = []
    while len(ordered) < len(nodes):
        if not current:
            current = min((heap for heap in ready.values() if heap), key=lambda heap: heap[0])
        index = heapq.heappop(current)
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready.setdefault(id(nodes[reader].memory), []), reader)
    return ordered
