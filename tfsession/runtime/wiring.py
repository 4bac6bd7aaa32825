"""Wiring: what the operations of one step read and wait for.

It is not always as in the graph: what is fed is there from the start, a callable may connect
tensors, so that who reads one reads another, and the body of a function stands for a call of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from tfsession.core.errors import InvalidArgumentError
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

# The tensor that is read in place of each one, the operation that is waited for.
Element = Tensor | Operation
Connections = Mapping[Any, Any]

AS_IN_GRAPH: Final[Connections] = MappingProxyType({})
_PLACEHOLDERS: Final = ("Placeholder", "PlaceholderV2")


def inputs_of(op: Operation, connections: Connections) -> Sequence[Tensor]:
    """The tensors that `op` reads."""
    if not connections:
        return op.inputs
    return [connections.get(tensor, tensor) for tensor in op.inputs]


def controls_of(
    op: Operation, feeds: Collection[Tensor], connections: Connections
) -> Sequence[Operation]:
    """The operations that `op` waits for; a placeholder is done when its value is there."""
    if not op.control_inputs or not (feeds or connections):
        return op.control_inputs
    controls = []
    for control in op.control_inputs:
        control = connections.get(control, control)
        if control.type not in _PLACEHOLDERS:
            controls.append(control)
            continue
        tensor = connections.get(control.outputs[0], control.outputs[0])
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
        if start is to or (start not in feeds and _is_needed_for_itself(start, feeds, ends)):
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
        if any(connections.get(read) is tensor for read in (*op.inputs, *awaited)):
            return True
        stack += sources_of(op, feeds, connections)
    return False
