"""Which operations run at once: slow ones of one thread each, that need nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from math import prod
from typing import Any

import numpy as np

from tfsession.core.dtypes import resource, variant
from tfsession.devices.spares import Spares
from tfsession.devices.threads import run_blocks
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import Group, leaves, stretches
from tfsession.runtime.partition import Node, gives_tuple


class Beside(Group):
    """Operations that run at once."""

    __slots__ = ()

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Whether two of them have large inputs."""
        large = []
        for part in self.parts:
            sizes = " + ".join(f"{name(tensor)}.size" for tensor in part.inputs)
            large.append(f"({sizes} >= {part.kernel.slow})")
        return f"{' + '.join(large)} > 1"

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes each on a thread."""
        places = {tensor: place for place, tensor in enumerate(self.inputs)}
        calls = []
        for node in self.parts:
            function = node.kernel.bind(np, node.op.op_def, node.op.attrs)
            calls.append((function, [places[tensor] for tensor in node.inputs]))
        made = {
            tensor: (number, index if gives_tuple(node.op.op_def) else None)
            for number, node in enumerate(self.parts)
            for index, tensor in enumerate(node.op.outputs)
        }
        wanted = [made[tensor] for tensor in self.op.outputs]

        def compute(*values: Any) -> Any:
            found: list[Any] = [None] * len(calls)

            def call(number: int, _: int) -> None:
                function, arguments = calls[number]
                found[number] = function(*[values[place] for place in arguments])

            try:
                run_blocks(np, len(calls), 1, call)
            except Exception:
                return None  # one after another they find the error again, and whose it is
            results = [
                found[number] if index is None else found[number][index] for number, index in wanted
            ]
            return results[0] if len(results) == 1 else tuple(results)

        return compute


def side_by_side(
    nodes: Sequence[Node], feeds: Container[Tensor], is_needed: Container[Tensor]
) -> Sequence[Node]:
    """The operations of a segment, with groups in the place of what runs at once.

    Operations only change places between those that have effects.

    Args:
        nodes: in an order in which they can run.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    if sum([_is_slow(node, feeds) for node in nodes if node.kernel.slow]) < 2:
        return nodes
    read = {tensor for node in nodes for tensor in node.inputs}
    found: list[Node] = []
    for stretch in stretches(nodes):
        levels = _by_level(stretch, feeds)
        if all(len(slow) < 2 for _, slow in levels):
            found += stretch
            continue
        for others, slow in levels:
            found += others
            found += [_group(slow, read, is_needed)] if len(slow) > 1 else slow
    return found


def _by_level(
    nodes: Sequence[Node], feeds: Container[Tensor]
) -> list[tuple[list[Node], list[Node]]]:
    """For each number of slow operations one behind the other: what else runs then, and the slow.

    No slow operation of a level needs another of it, and none needs what stands behind it.
    """
    # For each operation the level of those that need it.
    behind: dict[Operation, int] = {}
    levels: list[tuple[list[Node], list[Node]]] = []
    for node in nodes:
        parts = leaves(node)
        before = [tensor.op for tensor in node.inputs if tensor not in feeds]
        before += [control for part in parts for control in part.controls]
        level = max((behind.get(op, 0) for op in before), default=0)
        is_slow = _is_slow(node, feeds)
        behind.update((part.op, level + is_slow) for part in parts)
        while len(levels) <= level:
            levels.append(([], []))
        levels[level][is_slow].append(node)
    return levels


def _group(parts: Sequence[Node], read: Container[Tensor], is_needed: Container[Tensor]) -> Node:
    made = [tensor for node in parts for tensor in node.op.outputs]
    inputs = list(dict.fromkeys(tensor for node in parts for tensor in node.inputs))
    outputs = [tensor for tensor in made if tensor in read or tensor in is_needed]
    return Beside.of(parts, inputs, outputs)


def _is_slow(node: Node, feeds: Container[Tensor]) -> bool:
    """Whether an operation may take long on one thread of the host, and has no effects."""
    kernel, op = node.kernel, node.op
    if not kernel.slow or node.memory is not None or kernel.stateful or kernel.aliases:
        return False
    if node.allocator is not None and node.allocator.ledger is not None:
        return False  # what it makes is charged to the thread of the step
    tensors = (*node.inputs, *op.outputs)
    if any(t.dtype.is_ref or t.dtype.base_dtype in (resource, variant) for t in tensors):
        return False
    if any(tensor in feeds for tensor in op.outputs):
        return False
    size = 0
    for tensor in node.inputs:
        shape = tensor._shape
        if shape is None or None in shape:
            return True
        size += prod(shape)  # type: ignore[arg-type]
    return size >= kernel.slow
