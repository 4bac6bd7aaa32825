"""The cost graph: what each node of a step has cost at most in the steps that were measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tfsession.core import protos
from tfsession.runtime.partition_graphs import GraphNode, StepGraph
from tfsession.runtime.recorder import NodeExecution
from tfsession.runtime.step_stats import Output, fill_description

# The nodes that TensorFlow puts first in the graph of each device, and how many they are.
_SOURCE: Final = 0
_SINK: Final = 1
_ENDS: Final = 2


def is_measured(count: int, every: int, after: int) -> bool:
    """Whether run number `count` of a plan, from 0, is measured for a cost graph.

    Args:
        count: how often the plan has run before.
        every: `graph_options.build_cost_model`: 0 never, n each n-th run.
        after: `graph_options.build_cost_model_after`: how many runs are left out at first.
    """
    return every > 0 and count >= after and (count - after + 1) % every == 0


class CostModel:
    """The costs of a plan's nodes, the greatest of all measured steps."""

    def __init__(self) -> None:
        self._costs: dict[GraphNode, _Cost] = {}

    def add(self, executions: Iterable[NodeExecution]) -> None:
        """Take in a measured step."""
        for execution in executions:
            cost = self._costs.setdefault(execution.node, _Cost())
            cost.take(execution)

    def to_proto(self, graph: StepGraph) -> Any:
        """The CostGraphDef message: the nodes of each device, behind its source and its sink."""
        message = protos.CostGraphDef()
        for nodes in graph.partitions.values():
            self._add_partition(message, nodes)
        return message

    def _add_partition(self, message: Any, nodes: list[GraphNode]) -> None:
        first = len(message.node)
        ids = {node: first + _ENDS + place for place, node in enumerate(nodes)}
        awaited = {source for node in nodes for source, _ in node.inputs}
        awaited.update(source for node in nodes for source in node.controls)
        message.node.add(name="_SOURCE", id=first + _SOURCE)
        last = [ids[node] for node in nodes if node not in awaited]
        message.node.add(name="_SINK", id=first + _SINK, control_input=[first + _SOURCE, *last])
        for node, number in ids.items():
            entry = message.node.add(name=node.name, device=node.device.name, id=number)
            for source, port in node.inputs:
                entry.input_info.add(preceding_node=ids[source], preceding_port=port)
            entry.control_input.extend(ids[source] for source in node.controls)
            if not node.inputs and not node.controls:
                entry.control_input.append(first + _SOURCE)
            entry.is_final = node.type in ("_Send", "_HostSend")
            self._costs.get(node, _UNKNOWN).fill(entry, node)


class _Cost:
    """What one node has cost."""

    def __init__(self) -> None:
        self.nanos = 0
        self._outputs: list[tuple[Output, Any]] = []

    def take(self, execution: NodeExecution) -> None:
        """Keep the longest time, and the greatest outputs."""
        self.nanos = max(self.nanos, execution.nanos)
        found = list(zip(execution.outputs, execution.shapes, strict=True))
        known = self._outputs or found
        self._outputs = [
            new if new[0].nbytes(new[1]) >= old[0].nbytes(old[1]) else old
            for old, new in zip(known, found, strict=True)
        ]

    def fill(self, entry: Any, node: GraphNode) -> None:
        """Write the cost into a CostGraphDef.Node."""
        entry.compute_cost = self.nanos // 1000
        for port, dtype in enumerate(node.output_dtypes):
            info = entry.output_info.add(alias_input_port=_aliased(node, port))
            if port >= len(self._outputs):  # a copy, or a node that has not run
                info.size = -1
                info.shape.unknown_rank = True
                continue
            output, shape = self._outputs[port]
            description = protos.TensorDescription()
            fill_description(description, output, shape)
            info.shape.CopyFrom(description.shape)
            info.dtype = dtype.as_datatype_enum
            # A fed value is the caller's: TensorFlow counts nothing for it.
            info.size = 0 if node.type == "_Arg" else output.nbytes(shape)
            if output.is_persistent:
                entry.persistent_memory_size += info.size


_UNKNOWN = _Cost()


def _aliased(node: GraphNode, port: int) -> int:
    """The input that an output shares memory with: the variable that an update hands on, or -1."""
    op = node.op
    if op is not None and op.outputs[port].dtype.is_ref:
        for slot, tensor in enumerate(op.inputs):
            if tensor.dtype.is_ref:
                return slot
    return -1
