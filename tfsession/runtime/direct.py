"""Operations of a segment, each reading directly what others only hand on to it.

Gradients are gated: each goes through an `Identity` that waits for all gradients of its operation,
so that none is used before the others are computed. Between operations that have no effects nobody
can tell their order, so there is nothing to wait for, and what only hands on is not asked.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import stretches
from tfsession.runtime.partition import Node

# What these hand on is another value with each turn.
_CONTROL_FLOW = frozenset({"Enter", "Exit", "LoopCond", "NextIteration"})


def read_directly(
    nodes: Sequence[Node], feeds: Container[Tensor], is_needed: Container[Tensor]
) -> Sequence[Node]:
    """The operations, without those that only hand on what others read, and without idle waits.

    Args:
        nodes: in an order in which they can run, in host memory.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    if not any(node.controls or node.kernel.forwards for node in nodes):
        return nodes
    given: dict[Tensor, Tensor] = {}
    found: list[Node] = []
    for stretch in stretches(nodes):
        own: set[Operation] = {node.op for node in stretch} if len(stretch) > 1 else set()
        for node in stretch:
            if node.controls and not own.isdisjoint(node.controls):
                node = replace(node, controls=tuple([c for c in node.controls if c not in own]))
            if given and not given.keys().isdisjoint(node.inputs):
                node = replace(node, inputs=tuple([given.get(t, t) for t in node.inputs]))
            if _hands_on(node, feeds) and not node.controls:
                (made,) = node.op.outputs
                given[made] = node.inputs[0]
                if made not in is_needed:
                    continue
            found.append(node)
    return found


def _hands_on(node: Node, feeds: Container[Tensor]) -> bool:
    """Whether the one result of an operation is what it reads, in the same place."""
    if not node.kernel.forwards or len(node.inputs) != 1 or len(node.op.outputs) != 1:
        return False
    if node.waits or node.arrival or node.memory is not None or node.input_memories != (None,):
        return False
    (read,), (made,) = node.inputs, node.op.outputs
    if read.dtype.is_ref or made in feeds or node.op.type in _CONTROL_FLOW:
        return False
    # Else the graph says less of what is read.
    return made._shape is None or made._shape == read._shape
