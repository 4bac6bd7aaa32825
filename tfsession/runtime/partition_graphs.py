"""The graphs of a step as TensorFlow's run metadata shows them: one for each device that computes.

Fed tensors come out of `_Arg` nodes and fetched ones go into `_Retval` nodes, both on the client's
device. Where an edge leaves a device, a `_Send` and a `_Recv` stand in for it, one pair for each
tensor and destination. A plan does not run these nodes: it copies, or shares, memory. They are what
programs find in `RunMetadata.partition_graphs`, in the labels of step stats and in the cost graph.

Names, attributes, numbers and order are TensorFlow's for a graph that no optimiser has changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import DType, float32, resource, string
from tfsession.core.rules import kernels
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.node_def import fill_node_def
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node, input_arguments
from tfsession.runtime.regions import MERGES, NEXT_ITERATIONS
from tfsession.runtime.wiring import is_fed_placeholder

# What lies in host memory on every device, CPUs included, when it comes to the names of copies.
_HOST_DTYPES: Final = frozenset({string, resource})
# TensorFlow's port number of control edges.
_CONTROL: Final = -1
# What is in a graph before its nodes: TensorFlow copies it twice and adds such an edge each time.
_FIRST_EDGE: Final = 3


@dataclass(slots=True, eq=False)
class GraphNode:
    """A node of the graph of one device; `op` is None for what was put in by partitioning."""

    name: str
    type: str
    device: Device
    op: Operation | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    inputs: list[tuple[GraphNode, int]] = field(default_factory=list)
    controls: list[GraphNode] = field(default_factory=list)

    def input_names(self) -> list[str]:
        """The inputs as a NodeDef spells them."""
        names = [f"{source.name}:{port}" if port else source.name for source, port in self.inputs]
        names.extend(sorted({f"^{source.name}" for source in self.controls}))
        return names

    @property
    def label(self) -> str:
        """What a timeline shows: `name = Type(inputs)`; constants have none, as in TensorFlow."""
        inputs = [] if self.type == "Const" else self.input_names()
        return f"{self.name} = {self.type}({', '.join(inputs)})"

    @property
    def output_dtypes(self) -> list[DType]:
        """The dtype of each output, reference dtypes included."""
        if self.op is not None:
            return [tensor.dtype for tensor in self.op.outputs]
        if self.type in _WITHOUT_OUTPUTS:
            return []
        return [self.attrs.get("tensor_type") or self.attrs.get("dtype") or self.attrs["T"]]

    def fill(self, message: Any) -> None:
        """Write this node into an empty NodeDef."""
        if self.op is not None:
            fill_node_def(message, self.op, ())
            del message.input[:]
        message.name = self.name
        message.op = self.type
        message.device = self.device.name
        message.input.extend(self.input_names())
        for name, value in self.attrs.items():
            message.attr[name].CopyFrom(to_attr_value(value, None))


_WITHOUT_OUTPUTS = frozenset({"NoOp", "_Retval", "_Send", "_HostSend"})


class _Edge(NamedTuple):
    """An edge before partitioning, with TensorFlow's number of it."""

    number: int
    source: GraphNode
    port: int
    target: GraphNode
    slot: int
    dtype: DType
    from_host: bool = False
    to_host: bool = False
    is_ref: bool = False

    @property
    def is_control(self) -> bool:
        return self.port == _CONTROL

    @property
    def is_back(self) -> bool:
        """Whether it brings the value of a loop's next iteration back."""
        return self.source.type in NEXT_ITERATIONS and self.target.type in MERGES

    @property
    def stays(self) -> bool:
        """Whether no copy is needed."""
        same = self.source.device is self.target.device
        return same and (self.is_control or self.from_host is self.to_host)


class StepGraph:
    """The graphs of a step.

    Args:
        nodes: what the step runs.
        feeds: the fed tensors, sorted by name, each with the memory in which its value is given.
        fetches: the fetched tensors, sorted by name, none of them fed, each with the memory in
            which its value is wanted.
        host: the device of the client: host memory, when it comes to `_Arg` and `_Retval` nodes.
        numbers: gives the numbers in the names of new nodes; one for each session.

    `arguments` are the nodes of the feeds that are read, by index, `results` those of the fetches,
    `by_op` those of operations; `partitions` holds the nodes of each device, CPUs first, each
    after its inputs.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        feeds: Mapping[Tensor, Memory],
        fetches: Mapping[Tensor, Memory],
        host: Device,
        numbers: Iterator[int],
    ) -> None:
        ordered = sorted(nodes, key=lambda node: node.op._id)
        self.by_op = {node.op: _shown(node) for node in ordered}
        arguments = [_end("_Arg", k, t, m or host) for k, (t, m) in enumerate(feeds.items())]
        self.results = [
            _end("_Retval", k, t, m or host) for k, (t, m) in enumerate(fetches.items())
        ]
        edges = _Edges(self.by_op, dict(zip(feeds, arguments, strict=True)))
        edges.collect(ordered, fetches, self.results)
        self.arguments = {k: node for k, node in enumerate(arguments) if node in edges.read}
        targets = [*self.by_op.values(), *self.arguments.values(), *self.results]
        parts = _Partitioner(numbers).run(targets, edges.incoming)
        self.partitions: dict[Device, list[GraphNode]] = {
            device: _in_order(parts[device]) for device in sorted(parts, key=_rank)
        }

    def to_graph_defs(self, versions: Any) -> list[Any]:
        """A GraphDef message for each device; `versions` is the graph's VersionDef."""
        messages = []
        for nodes in self.partitions.values():
            message = protos.GraphDef(versions=versions)
            for node in nodes:
                node.fill(message.node.add())
            messages.append(message)
        return messages


def _shown(node: Node) -> GraphNode:
    """An operation as it runs: a constant if its value is known, one that gives its input."""
    op, kernel = node.op, node.kernel
    if kernel.forwards and kernel not in (kernels.get(op.type) or ()):
        return GraphNode(op.name, "Identity", node.device, attrs={"T": op.outputs[0].dtype})
    if not (kernel.constant and op.inputs and len(op.outputs) == 1):
        return GraphNode(op.name, op.type, node.device, op)
    assert kernel.function is not None
    attrs = {"dtype": op.outputs[0].dtype, "value": np.asarray(kernel.function(np))}
    return GraphNode(op.name, "Const", node.device, attrs=attrs)


def _end(kind: str, index: int, tensor: Tensor, device: Device) -> GraphNode:
    name = f"{kind.lower()}_{tensor.op.name}_{tensor.value_index}_{index}"
    return GraphNode(name, kind, device, attrs={"index": index, "T": tensor.dtype.base_dtype})


def _rank(device: Device) -> tuple[bool, str, int]:
    return device.device_type != "CPU", device.device_type, device.index


class _Edges:
    """The edges into each node, numbered as TensorFlow numbers them.

    First come the edges between the graph's own nodes, then those that tie nodes without inputs or
    readers to the graph's source and sink, then those of the feeds and of the fetches.
    """

    def __init__(self, by_op: dict[Operation, GraphNode], fed: dict[Tensor, GraphNode]) -> None:
        self._by_op = by_op
        self._fed = fed
        self._hosts: dict[tuple[GraphNode, int], bool] = {}
        self._next = _FIRST_EDGE
        self.incoming: dict[GraphNode, list[_Edge]] = {}
        self.read: set[GraphNode] = set()

    def collect(
        self, nodes: list[Node], fetches: Iterable[Tensor], results: list[GraphNode]
    ) -> None:
        of_feeds: dict[GraphNode, list[_Edge]] = {node: [] for node in self._fed.values()}
        for node in nodes:
            target = self._by_op[node.op]
            if target.device.device_type != "CPU":
                for port, memory in enumerate(node.output_memories):
                    self._hosts[target, port] = memory is None
        back: list[_Edge] = []
        for node in nodes:
            for edge in self._into(node):
                if edge.source in of_feeds:
                    of_feeds[edge.source].append(edge)
                elif edge.is_back:
                    back.append(edge)
                else:
                    self._add(edge)
        for edge in back:
            self._add(edge)
        self._next += _loose_ends(list(self._by_op))
        for feed, edges in of_feeds.items():
            if not edges:
                continue  # it is read by nothing that runs
            self.read.add(feed)
            self._next += 1
            for edge in edges:
                self._add(edge)
        for tensor, result in zip(fetches, results, strict=True):
            self._add(self._data(tensor, result, 0, tensor.dtype.base_dtype, False))
            self._next += 1

    def _add(self, edge: _Edge) -> None:
        self.incoming.setdefault(edge.target, []).append(edge._replace(number=self._next))
        self._next += 1

    def _into(self, node: Node) -> Iterator[_Edge]:
        op = node.op
        target = self._by_op[op]
        on_gpu = target.device.device_type != "CPU"
        arguments = input_arguments(op)
        for slot, (tensor, memory) in enumerate(zip(node.inputs, node.input_memories, strict=True)):
            dtype = tensor.dtype if arguments[slot].is_ref else tensor.dtype.base_dtype
            yield self._data(tensor, target, slot, dtype, on_gpu and memory is None)
        fed = [c for c in op.control_inputs if is_fed_placeholder(c, self._fed)]
        for control in sorted([*node.controls, *fed], key=attrgetter("name")):
            source = self._by_op.get(control) or self._fed[control.outputs[0]]
            yield _Edge(0, source, _CONTROL, target, _CONTROL, float32)

    def _data(
        self, tensor: Tensor, target: GraphNode, slot: int, dtype: DType, to_host: bool
    ) -> _Edge:
        always = dtype.base_dtype in _HOST_DTYPES
        source, port, is_ref = self._fed.get(tensor), 0, False
        if source is None:
            source, port, is_ref = self._by_op[tensor.op], tensor.value_index, tensor.dtype.is_ref
        from_host = always or self._hosts.get((source, port), False)
        return _Edge(0, source, port, target, slot, dtype, from_host, always or to_host, is_ref)


def _loose_ends(ops: list[Operation]) -> int:
    """How often an operation has no inputs at all, or nothing in the whole graph that waits."""
    if not ops:
        return 0
    awaited: set[Operation] = set()
    for op in ops[0].graph.get_operations():
        awaited.update(tensor.op for tensor in op.inputs)
        awaited.update(op.control_inputs)
    return sum((not op.inputs and not op.control_inputs) + (op not in awaited) for op in ops)


class _Partitioner:
    """Deals nodes out to their devices, with a pair of nodes for each edge that leaves one."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._parts: dict[Device, list[GraphNode]] = {}
        self._copies: dict[tuple[GraphNode, int, Device, bool], GraphNode] = {}

    def run(
        self, targets: Iterable[GraphNode], incoming: dict[GraphNode, list[_Edge]]
    ) -> dict[Device, list[GraphNode]]:
        for target in targets:
            self._put(target)
            # A variable that leaves its device is sent when the reader's other inputs are there.
            awaited: list[GraphNode] = []
            variables: list[GraphNode] = []
            for edge in sorted(incoming.get(target, ()), key=attrgetter("is_control", "slot")):
                source = edge.source if edge.stays else self._copy(edge)
                if not edge.is_ref:
                    awaited.append(source)
                elif not edge.stays:
                    variables.append(source)
                if edge.is_control:
                    target.controls.append(source)
                else:
                    target.inputs.append((source, edge.port if edge.stays else 0))
            for variable in variables:
                variable.controls.extend(awaited)
        return self._parts

    def _put(self, node: GraphNode) -> GraphNode:
        self._parts.setdefault(node.device, []).append(node)
        return node

    def _new(self, prefix: str, kind: str, device: Device, attrs: dict[str, Any]) -> GraphNode:
        return self._put(GraphNode(f"{prefix}/_{next(self._numbers)}", kind, device, attrs=attrs))

    def _copy(self, edge: _Edge) -> GraphNode:
        """What stands for the source of the edge on the device of its target."""
        device = edge.target.device
        on_host = device.device_type == "CPU" or edge.to_host
        key = (edge.source, edge.port, device, on_host)
        copied = self._copies.get(key)
        if copied is None:
            copied = self._send(edge)
            # A variable is read anew by each reader: it may have changed.
            if not edge.is_ref:
                self._copies[key] = copied
        return copied

    def _send(self, edge: _Edge) -> GraphNode:
        source, target = edge.source, edge.target
        name, sent, port = source.name, source, edge.port
        if edge.is_control:
            nothing = {"dtype": float32, "value": np.empty(0, np.float32)}
            sent, port = self._new(f"{name}/ctrl", "Const", source.device, nothing), 0
            sent.controls.append(source)
        attrs = {
            "tensor_name": f"edge_{edge.number}_{name}",
            "send_device": source.device.name,
            "send_device_incarnation": 1,
            "recv_device": target.device.name,
            "client_terminated": False,
            "_src": name,
            "_dst": target.name,
        }
        kind = "_HostSend" if edge.from_host else "_Send"
        send = self._new(name, kind, source.device, attrs | {"T": edge.dtype})
        send.inputs.append((sent, port))
        kind = "_HostRecv" if edge.to_host else "_Recv"
        attrs["tensor_type"] = edge.dtype
        if edge.is_ref:
            attrs["_start_time"] = 0
        receive = self._new(name, kind, target.device, attrs)
        if source.device is target.device:
            receive.controls.append(send)
        if not edge.is_control:
            return receive
        identity = self._new(name, "Identity", target.device, {"T": edge.dtype})
        identity.inputs.append((receive, 0))
        return identity


def _in_order(nodes: list[GraphNode]) -> list[GraphNode]:
    """Each node after its inputs, but for what comes back in a loop; otherwise as given."""
    place = {node: index for index, node in enumerate(nodes)}
    sources = [{place[source] for source in _before(node)} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, found in enumerate(sources):
        for source in found:
            readers[source].append(index)
    waiting = [len(found) for found in sources]
    ready = [index for index, count in enumerate(waiting) if not count]
    done = []
    while ready:
        index = heapq.heappop(ready)
        done.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    return done


def _before(node: GraphNode) -> Iterator[GraphNode]:
    for source in (*(source for source, _ in node.inputs), *node.controls):
        if not (node.type in MERGES and source.type in NEXT_ITERATIONS):
            yield source
