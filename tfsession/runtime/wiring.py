"""Wiring: what the operations of one step read and wait for.

It is not always as in the graph: what is fed is there from the start, a callable may connect
tensors, so that who reads one reads another, the body of a function stands for a call of it, and a
rewritten step computes the same in another way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tfsession.core.errors import InvalidArgumentError
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

if TYPE_CHECKING:
    from tfsession.runtime.partition import Node

Element = Tensor | Operation
NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_PLACEHOLDERS: Final = ("Placeholder", "PlaceholderV2")


@dataclass(slots=True, eq=False)
class Wired:
    """What an operation reads and waits for in a rewritten step.

    `node` is what runs, if its own kernel does not: one that gives a known value, or its input.
    """

    inputs: Sequence[Tensor]
    controls: Sequence[Operation]
    node: Node | None = None


class Connections(NamedTuple):
    """How a step departs from the graph.

    `elements` has the tensor that is read in place of each one, and the operation that is waited
    for; `rewired` the operations of which all that is known already.
    """

    elements: Mapping[Any, Any] = NOTHING
    rewired: Mapping[Operation, Wired] = NOTHING

    def __bool__(self) -> bool:
        return bool(self.elements or self.rewired)


AS_IN_GRAPH: Final = Connections()


def inputs_of(op: Operation, connections: Connections) -> Sequence[Tensor]:
    """The tensors that `op` reads."""
    if op in connections.rewired:
        return connections.rewired[op].inputs
    if not connections.elements:
        return op.inputs
    elements = connections.elements
    return [elements.get(tensor, tensor) for tensor in op.inputs]


def controls_of(
    op: Operation, feeds: Collection[Tensor], connections: Connections
) -> Sequence[Operation]:
    """The operations that `op` waits for; a placeholder is done when its value is there."""
    elements = connections.elements
    if op in connections.rewired:
        return connections.rewired[op].controls
    if not op.control_inputs or not (feeds or elements):
        return op.control_inputs
    controls = []
    for control in op.control_inputs:
        control = elements.get(control, control)
        if control.type not in _PLACEHOLDERS:
            controls.append(control)
            continue
        tensor = elements.get(control.outputs[0], control.outputs[0])
        if tensor not in feeds:
            controls.append(tensor.op)
    return controls


def sources_of(
    op: Operation, feeds: Collection[Tensor], connections: Connections
) -> list[Operation]:
    """The operations that must run before `op`."""
    inputs = [tensor.op for tensor in inputs_of(op, connections) if tensor not in feeds]
    return [*inputs, *controls_of(op, feeds, connections)]


def is_fed_placeholder(op: Operation, fed: Collection[Tensor]) -> bool:
    """Whether feeding has done all that `op` is there for."""
    return op.type in _PLACEHOLDERS and op.outputs[0] in fed


def resolved(pairs: Mapping[Tensor, Tensor], feeds: Collection[Tensor]) -> Mapping[Tensor, Tensor]:
    """Connections, those that lead through others followed to their start.

    Args:
        pairs: the tensor to be read in place of each one; none of these is fed.
        feeds: the fed tensors.

    Raises:
        InvalidArgumentError: a tensor would be computed from itself.
    """
    ends: dict[Tensor, Tensor] = {}
    for to, tensor in pairs.items():
        start = ends.get(tensor, tensor)
        # What led to this one leads further now.
        ends = {other: start if end is to else end for other, end in ends.items()}
        ends[to] = start
        connections = Connections(ends)
        if start is to or (start not in feeds and _is_needed_for_itself(start, feeds, connections)):
            raise InvalidArgumentError(
                None,
                None,
                f'Requested Tensor connection between nodes "{to.op.name}" and '
                f'"{tensor.op.name}" would create a cycle.',
            )
    return ends


def _is_needed_for_itself(
    tensor: Tensor, feeds: Collection[Tensor], connections: Connections
) -> bool:
    """Whether anything before `tensor` reads it, or waits for it, through a connection."""
    seen: set[Operation] = set()
    stack = [tensor.op]
    while stack:
        op = stack.pop()
        if op in seen:
            continue
        seen.add(op)
        awaited = [c.outputs[0] for c in op.control_inputs if c.type in _PLACEHOLDERS]
        if any(connections.elements.get(read) is tensor for read in (*op.inputs, *awaited)):
            return True
        stack += sources_of(op, feeds, connections)
    return False
