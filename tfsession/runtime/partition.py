"""Partition: where each operation of a step computes, and the segments and transfers that follow.

A segment is a maximal run of operations in one place that need not wait for anything outside: in a
GPU's memory, or on the host. int32, string and resource data stay in host memory also for
operations placed on a GPU, as in TensorFlow; an operation that touches nothing else runs there.
A segment holds operations of one mask (see runtime.regions), so that nothing is held up by what it
does not need, and no step blocks itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType

from tfsession.core.dtypes import DType, bool_, int32, resource, string, variant
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.op_def import ArgDef, OpDef
from tfsession.core.rules import Kernel, find_kernel
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.regions import Region, make_region
from tfsession.runtime.wiring import AS_IN_GRAPH, Connections, controls_of, inputs_of

# When an operation runs, among those that are ready: see `_group_by_place`.
_PREPARES, _COMPUTES, _WAITS = range(3)
HOST_DTYPES = frozenset({int32, string})
# int32 numbers that a GPU has made are worked on there also by these, beside what is element-wise.
_OF_ARRAYS = frozenset(
    {
        *("ExpandDims", "Gather", "GatherV2", "Rank", "Reshape", "Shape", "Size", "Squeeze"),
        *("StridedSlice", "UnsortedSegmentSum"),
    }
)
_HANDLE_DTYPES = frozenset({resource, variant})


@dataclass(slots=True, eq=False)
class Node:
    """An operation with its device, its kernel, and the memory in which it computes.

    `inputs` are the tensors that it reads, `controls` what else must run before it. `waits` holds
    the bits of the arrivals that it needs, `arrival` its own bit if it may block. `stays_with` is
    the GPU among whose operations it is computed, on the host: it looks at shapes alone.
    """

    op: Operation
    device: Device
    kernel: Kernel
    memory: Memory
    inputs: Sequence[Tensor]
    controls: Sequence[Operation]
    input_memories: tuple[Memory, ...]
    output_memories: tuple[Memory, ...]
    waits: int = 0
    arrival: int = 0
    stays_with: Memory = None

    @property
    def blamed(self) -> Operation:
        """The operation whose failures are this node's."""
        return self.op

    @property
    def place(self) -> Memory:
        """What a segment stays in: a memory, or one of several CPU devices; None for CPU:0."""
        if self.stays_with is not None:
            return self.stays_with
        if self.memory is None and self.device.device_type == "CPU" and self.device.index:
            return self.device
        return self.memory

    @property
    def allocator(self) -> Memory:
        """The device that counts what it makes; None for a GPU's operation on the host."""
        return self.device if self.device.device_type == "CPU" else self.memory


@dataclass(slots=True, frozen=True)
class Transfer:
    """A tensor that must be copied from one device's memory to another's within a step."""

    tensor: Tensor
    source: Memory
    destination: Memory


@dataclass(slots=True, eq=False)
class Segment:
    """Operations of one place that run one after another, and what must be copied before.

    `is_recorded` says that its device may record them.
    """

    memory: Memory
    place: Memory = None
    waits: int = 0
    arrival: int = 0
    nodes: list[Node] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    is_recorded: bool = False


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


def gives_tuple(definition: OpDef) -> bool:
    """Whether a kernel gives its outputs as a tuple, not one value."""
    outputs = definition.outputs
    return len(outputs) > 1 or (len(outputs) == 1 and outputs[0].is_sequence)


def _data_dtypes(
    op: Operation, kernel: Kernel, arguments: Sequence[ArgDef], results: Sequence[ArgDef]
) -> set[DType]:
    """The dtypes that decide where `op` computes: a variable's own when it works on a variable."""
    if any(arg.is_ref or arg.type is resource for arg in arguments):
        dtype = op.attrs.get("dtype", op.attrs.get("T"))
        if isinstance(dtype, DType):
            return {dtype}
    read, made = (
        {
            tensor.dtype.base_dtype
            for tensor, arg in zip(tensors, args, strict=True)
            if arg.name not in on_host
        }
        for tensors, args, on_host in (
            (op.inputs, arguments, kernel.host),
            (op.outputs, results, kernel.host_outputs),
        )
    )
    if read and read <= HOST_DTYPES:
        made.discard(bool_)  # counters are compared where they lie, most of all to end a loop
    return (read | made) - _HANDLE_DTYPES


# What is left of checks and prints where a session strips them, as TensorFlow's stripper does:
# their inputs are computed, the first one goes through.
_STRIPPED = {
    "Assert": Kernel("Assert", lambda xp, *inputs: None),
    **{
        name: Kernel(name, None, forwards=True)
        for name in ("CheckNumerics", "CheckNumericsV2", "Print")
    },
}


class _Hosts(dict[int, tuple[None, ...]]):
    """For each number of tensors, that they lie on the host; shared: there may be a million."""

    def __missing__(self, number: int) -> tuple[None, ...]:
        return self.setdefault(number, (None,) * number)


_HOSTS = _Hosts()


def make_node(
    op: Operation,
    device: Device,
    feeds: Collection[Tensor] = (),
    connections: Connections = AS_IN_GRAPH,
    strip_debug: bool = False,
) -> Node:
    """Find the kernel of `op` on `device`, and the memory of each of its inputs and outputs."""
    rewired = connections.rewired
    wired = rewired.get(op) if rewired else None
    if wired is not None and wired.node is not None:
        return replace(wired.node, controls=wired.controls)
    device_type = device.device_type
    kernel = find_kernel(op.type, device_type, op.attrs)
    if strip_debug:
        kernel = _STRIPPED.get(op.type, kernel)
    if kernel is None:
        raise InvalidArgumentError(
            None,
            op,
            f"No OpKernel was registered to support Op '{op.type}' used by {{{{node {op.name}}}}}",
        )
    read: Sequence[Tensor] = op.inputs
    awaited: Sequence[Operation] = op.control_inputs
    if wired is not None:
        read, awaited = wired.inputs, wired.controls
    elif awaited or connections.elements:
        read, awaited = inputs_of(op, connections), controls_of(op, feeds, connections)
    if device_type == "CPU":
        if kernel.keeps and _are_constants(op, read, kernel.keeps, feeds):
            kernel = kernel.keeping()
        hosts = _HOSTS[len(read)], _HOSTS[len(op.outputs)]
        return Node(op, device, kernel, None, read, awaited, *hosts)
    arguments, results = input_arguments(op), _argument_of_each(op.op_def.outputs, op)
    is_on_host = _data_dtypes(op, kernel, arguments, results) <= HOST_DTYPES
    memory: Memory = None if is_on_host else device
    inputs = tuple(
        None if arg.name in kernel.host or tensor.dtype.base_dtype in _HANDLE_DTYPES else memory
        for tensor, arg in zip(op.inputs, arguments, strict=True)
    )
    outputs = tuple(
        None
        if arg.name in kernel.host_outputs or tensor.dtype.base_dtype in _HANDLE_DTYPES
        else memory
        for tensor, arg in zip(op.outputs, results, strict=True)
    )
    return Node(op, device, kernel, memory, read, awaited, inputs, outputs)


def _are_constants(
    op: Operation, read: Sequence[Tensor], names: Collection[str], feeds: Collection[Tensor]
) -> bool:
    """Whether the inputs with these names have the same value in each step."""
    return all(
        tensor.op.type == "Const" and tensor not in feeds
        for tensor, argument in zip(read, input_arguments(op), strict=True)
        if argument.name in names
    )


@dataclass(slots=True, eq=False)
class Layout:
    """The segments of a region, those of its loops' bodies, and where each tensor is made."""

    region: Region
    segments: list[Segment]
    bodies: list[Layout]
    location: Mapping[Tensor, Memory]

    def all_layouts(self) -> Iterator[Layout]:
        """This one and those of the loops inside."""
        yield self
        for body in self.bodies:
            yield from body.all_layouts()


def partition(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    feeds: Mapping[Tensor, Memory],
    arrivals: Mapping[Tensor, int] = MappingProxyType({}),
    connections: Connections = AS_IN_GRAPH,
    strip_debug: bool = False,
    change: Callable[[Region, dict[Tensor, Memory]], None] | None = None,
) -> Layout:
    """Cut topologically ordered operations into segments, with the transfers each one waits for.

    Args:
        ops: what must run.
        placement: the device of each operation.
        feeds: the memory in which the value of each fed tensor is given.
        arrivals: the bit of each fed tensor that arrives only after the step has begun.
        connections: the tensors that are read in place of others.
        strip_debug: whether checks and prints are left out.
        change: may change the region, and where tensors lie, before it is cut.

    Returns:
        Segments; in an order in which they can run where nothing has to wait.

    Raises:
        InvalidArgumentError: an operation has no kernel, or loops are not properly nested.
    """
    nodes = [make_node(op, placement[op], feeds, connections, strip_debug) for op in ops]
    location = _locate(nodes, feeds)
    region = make_region(nodes, feeds, arrivals)
    if change is not None:
        change(region, location)
    return cut(region, location)


class _OnHost(dict[Tensor, Memory]):
    """Where tensors are that lie on the host."""

    def __missing__(self, tensor: Tensor) -> Memory:
        return None


def _locate(nodes: Sequence[Node], feeds: Mapping[Tensor, Memory]) -> dict[Tensor, Memory]:
    """Where each tensor is made or fed; settles what goes by where inputs lie."""
    devices = {node.device for node in nodes}
    if all(d.device_type == "CPU" for d in devices) and not any(feeds.values()):
        return _OnHost(feeds)  # there is nothing to settle
    location: dict[Tensor, Memory] = dict(feeds)
    known: set[Tensor] = set()
    _leave_constants(nodes)
    for node in nodes:
        kernel = node.kernel
        if kernel.unseen:
            _leave_unseen(node, location)
        elif node.memory is not None and _is_known_on_host(node, location):
            node.memory = None
            node.input_memories = (None,) * len(node.inputs)
            node.output_memories = (None,) * len(node.op.outputs)
        elif _is_made_of_device_data(node, location):
            _leave_on_device(node)
        if _follows_from_shapes(node, known, feeds):
            node.stays_with = node.device
            known.update(node.op.outputs)
        elif node.memory is not None and node.kernel.records and not node.kernel.stateful:
            made = zip(node.op.outputs, node.output_memories, strict=True)
            known.update(tensor for tensor, memory in made if memory is None)
        for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
            location.setdefault(tensor, memory)
    if any(node.stays_with is not None for node in nodes):
        _leave_to_the_host(nodes)
    return location


def _leave_constants(nodes: Sequence[Node]) -> None:
    """Constants of a GPU that only the host reads stay there: nothing has to be copied back."""
    constants = {
        node.op.outputs[0]: node
        for node in nodes
        if node.memory is not None and node.op.type == "Const"
    }
    if not constants:
        return
    read = {t for n in nodes for t, m in zip(n.inputs, n.input_memories, strict=True) if m is None}
    read -= {t for n in nodes for t, m in zip(n.inputs, n.input_memories, strict=True) if m}
    for tensor in read & constants.keys():
        constants[tensor].memory = None
        constants[tensor].output_memories = (None,)


def _leave_to_the_host(nodes: Sequence[Node]) -> None:
    """Operations on the host stay with a GPU only where they belong to what it computes."""
    beside: dict[Operation, list[Node]] = {n.op: [] for n in nodes if n.place is not None}
    by_op = {node.op: node for node in nodes if node.op in beside}
    for node in by_op.values():
        for op in {*(tensor.op for tensor in node.inputs), *node.controls} & beside.keys():
            beside[op].append(node)
            beside[node.op].append(by_op[op])
    reached = {node.op for node in by_op.values() if node.memory is not None}
    waiting = list(reached)
    while waiting:
        for node in beside[waiting.pop()]:
            if node.op not in reached:
                reached.add(node.op)
                waiting.append(node.op)
    for node in by_op.values():
        if node.op not in reached:
            node.stays_with = None


def _leave_unseen(node: Node, location: Mapping[Tensor, Memory]) -> None:
    """Take inputs that the kernel does not look at, and hands on, from where they lie."""
    unseen = node.kernel.unseen
    lies: dict[str, Memory] = {}
    memories = list(node.input_memories)
    for index, arg in enumerate(input_arguments(node.op)):
        if arg.name in unseen:
            memory = location.get(node.inputs[index], memories[index])
            memories[index] = lies[unseen[arg.name or ""]] = memory
    node.input_memories = tuple(memories)
    results = zip(node.op.op_def.outputs, node.output_memories, strict=True)
    node.output_memories = tuple([lies.get(arg.name or "", memory) for arg, memory in results])


def _is_known_on_host(node: Node, location: Mapping[Tensor, Memory]) -> bool:
    """Whether this makes one truth of others, all on the host: it is asked for there, as a rule."""
    tensors = [*node.inputs, *node.op.outputs]
    if not all(location.get(tensor, node) is None for tensor in node.inputs):
        return False
    if node.kernel.reduces:
        return node.inputs[0].dtype is bool_ and node.op.outputs[0]._shape == ()
    return node.kernel.ufunc is not None and all(
        tensor.dtype is bool_ and tensor._shape == () for tensor in tensors
    )


def _is_made_of_device_data(node: Node, location: Mapping[Tensor, Memory]) -> bool:
    """Whether an operation of a GPU works on numbers that would lie on the host, and do not."""
    kernel = node.kernel
    if node.memory is not None or node.device.device_type == "CPU" or not kernel.records:
        return False
    if not (kernel.elementwise or node.op.type in _OF_ARRAYS):
        return False
    if any(t.dtype is not int32 for t in (*node.inputs[:1], *node.op.outputs)):
        return False
    arguments = zip(node.inputs, input_arguments(node.op), strict=False)
    own = [tensor for tensor, arg in arguments if arg.name not in kernel.host]
    return any(location.get(tensor) is node.device for tensor in own)


def _leave_on_device(node: Node) -> None:
    """Compute where the numbers lie; what the host has to look at comes from there."""
    node.memory = node.device
    arguments = input_arguments(node.op)[: len(node.inputs)]
    node.input_memories = tuple(
        [None if arg.name in node.kernel.host else node.device for arg in arguments]
    )
    results = _argument_of_each(node.op.op_def.outputs, node.op)
    node.output_memories = tuple(
        [None if arg.name in node.kernel.host_outputs else node.device for arg in results]
    )


def _follows_from_shapes(node: Node, known: Container[Tensor], feeds: Container[Tensor]) -> bool:
    """Whether a GPU's operation on the host gives what shapes and constants say.

    `known` are the tensors of which that is known already.
    """
    kernel = node.kernel
    if node.memory is not None or node.device.device_type == "CPU":
        return False
    if any(tensor in feeds for tensor in node.op.outputs):
        return False
    if node.op.type == "VariableShape":  # with another shape it lies elsewhere
        return _is_handle(node.inputs[0])
    if (kernel.stateful or node.op.op_def.is_stateful) and not kernel.constant:
        return False
    if not (kernel.records or kernel.constant):
        return False
    # What a rewritten step runs may read less than the graph says.
    arguments = zip(node.inputs, input_arguments(node.op), strict=False)
    return all(
        (tensor in known or arg.name in kernel.unseen)
        and not tensor.dtype.is_ref
        and tensor.dtype not in (resource, variant)
        for tensor, arg in arguments
    )


def _is_handle(tensor: Tensor) -> bool:
    """Whether a handle is that of a known variable, perhaps on one way of a conditional."""
    while tensor.op.type in ("Switch", "Identity"):
        tensor = tensor.op.inputs[0]
    return tensor.op.type == "VarHandleOp"


def cut(region: Region, location: Mapping[Tensor, Memory]) -> Layout:
    """Cut the operations of a region, and of its loops, into segments."""
    nodes: list[Node] = []
    # Who waits for more comes later: what a node needs waits for a part of what it waits for.
    for _, group in sorted(region.groups.items(), key=lambda item: (item[0].bit_count(), item[0])):
        if len({id(node.place) for node in group}) > 1:
            for _, part in groupby(group, key=attrgetter("arrival")):
                nodes += _group_by_place(list(part), location)
        else:
            nodes += group
    bodies = [cut(loop.body, location) for loop in region.loops]
    return Layout(region, _cut(nodes, location), bodies, location)


def _cut(nodes: Sequence[Node], location: Mapping[Tensor, Memory]) -> list[Segment]:
    born: dict[Operation, Segment] = {}
    # For each copy, what the segments that bring it wait for.
    brought: dict[tuple[Tensor, int], list[int]] = {}
    segments: list[Segment] = []
    segment: Segment | None = None
    is_all_on_host = not any(location.values()) and not any(node.memory for node in nodes)
    for node in nodes:
        if segment is None or not _joins(node, segment):
            segment = _begin(segments, node)
        if is_all_on_host:
            segment.nodes.append(node)
            continue
        for tensor, memory in zip(node.inputs, node.input_memories, strict=True):
            source = location[tensor]
            if source is memory:
                continue
            carriers = brought.setdefault((tensor, id(memory)), [])
            # A carrier that waits for more may run later than this segment.
            if any(not waits & ~node.waits for waits in carriers):
                continue
            # A value made within the segment may still have to leave its memory (a host input of
            # a device operation): then the segment ends before the reader.
            if born.get(tensor.op) is segment:
                segment = _begin(segments, node)
            carriers.append(node.waits)
            segment.transfers.append(Transfer(tensor, source, memory))
        segment.nodes.append(node)
        born[node.op] = segment
    return segments


def _joins(node: Node, segment: Segment) -> bool:
    return (
        segment.waits == node.waits
        and not (segment.arrival or node.arrival)
        and segment.place is node.place
    )


def _begin(segments: list[Segment], node: Node) -> Segment:
    memory = node.memory if node.stays_with is None else node.stays_with
    segment = Segment(memory, node.place, node.waits, node.arrival)
    segments.append(segment)
    return segment


def _group_by_place(nodes: list[Node], location: Mapping[Tensor, Memory]) -> list[Node]:
    """Reorder so that runs in one place are long: stay as long as any operation there is ready.

    First comes what the host makes for devices: nothing has to be cut there to wait for it. What
    makes the host wait for a device comes when nothing else is ready: all devices work then.
    Constants come when they are read first, on the host where that is there.
    """
    by_op = {node.op: index for index, node in enumerate(nodes)}
    needs = [
        sorted({by_op[op] for op in (*(t.op for t in n.inputs), *n.controls) if op in by_op})
        for n in nodes
    ]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, before in enumerate(needs):
        for position in before:
            readers[position].append(index)
    constants = {i for i, n in enumerate(nodes) if n.kernel.constant and not needs[i]}
    waiting = [sum(position not in constants for position in before) for before in needs]
    heaps = [
        (rank, id(node.place))
        for rank, node in zip(_ranks(nodes, location, needs, readers), nodes, strict=True)
    ]
    ready: dict[tuple[int, int], list[int]] = {}
    for index in range(len(nodes)):
        if not waiting[index] and index not in constants:
            ready.setdefault(heaps[index], []).append(index)
    ordered: list[Node] = []
    current: list[int] = []
    while True:
        if not current:
            keys = [(key[0], heap[0], key) for key, heap in ready.items() if heap]
            if not keys:
                break
            current = ready[min(keys)[2]]
        index = heapq.heappop(current)
        for position in needs[index]:
            if position in constants:
                constants.discard(position)
                ordered.append(nodes[position])
                if nodes[position].memory is None and nodes[index].memory is None:
                    nodes[position].stays_with = nodes[index].stays_with
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready.setdefault(heaps[reader], []), reader)
    return ordered + [nodes[position] for position in sorted(constants)]


def _ranks(
    nodes: Sequence[Node],
    location: Mapping[Tensor, Memory],
    needs: Sequence[Sequence[int]],
    readers: Sequence[Sequence[int]],
) -> list[int]:
    """When each operation is wanted, among those that are ready."""
    ranks: list[int] = []
    for index, node in enumerate(nodes):
        makes_host_wait = node.memory is None and (
            any(location[tensor] is not None for tensor in node.inputs)
            or any(ranks[position] == _WAITS for position in needs[index] if position < index)
        )
        ranks.append(_WAITS if makes_host_wait else _COMPUTES)

    def is_for_device(node: Node) -> bool:
        return node.memory is not None or node.stays_with is not None

    for index, node in reversed(list(enumerate(nodes))):
        if node.memory is not None or ranks[index] == _WAITS:
            continue
        is_beside = node.stays_with is not None
        if any(
            ranks[reader] == _PREPARES or (not is_beside and is_for_device(nodes[reader]))
            for reader in readers[index]
        ):
            ranks[index] = _PREPARES
            node.stays_with = None
    return ranks
