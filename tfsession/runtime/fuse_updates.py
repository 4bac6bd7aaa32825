"""Steps of optimizers on a GPU, computed together: one launch for many variables.

An update moves to where the last one of its group stood. Nothing in between knows what it changes,
changes what it reads, or waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from tfsession.core.dtypes import resource, variant
from tfsession.core.op_def import ArgDef
from tfsession.core.rules import find_kernel, fusers
from tfsession.devices.program import Call
from tfsession.devices.spares import Spares
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import Group, has_effects
from tfsession.runtime.partition import Node, gives_tuple, input_arguments

# Updates that say nothing but what they do to a variable, and elements of the value of a small one.
_CHANGES = frozenset({"AssignSub", "AssignAdd", "AssignSubVariableOp", "AssignAddVariableOp"})
_SMALL = 1 << 16
_VARIABLES = frozenset({"VariableV2", "Variable", "VarHandleOp"})
# What a tensor may be the memory of: variables by container and name; more than is known.
_UNKNOWN = ("", "")
Origins = frozenset[tuple[str, str]]


class Updates(Group):
    """Updates of variables; the values that it takes are the variables themselves."""

    __slots__ = ()

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Always."""
        return "True"

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What updates all of them, or gives None where it has done nothing."""
        assert self.memory is not None
        numbers = {tensor: number for number, tensor in enumerate(self.inputs)}
        calls = []
        for node in self.parts:
            op = node.op
            bind = _binding(node)
            arguments = tuple([numbers[tensor] for tensor in node.inputs])
            calls.append(Call(bind, arguments, len(op.outputs), gives_tuple(op.op_def)))
        made = [tensor for node in self.parts for tensor in node.op.outputs]
        results = [made.index(tensor) for tensor in self.op.outputs]
        make: Callable[..., Callable[..., Any]] = fusers["updates"]
        return make(self.memory.xp, calls, len(self.inputs), results)


def _binding(node: Node) -> Callable[[Any], Callable[..., Any]]:
    return lambda xp: node.kernel.bind(xp, node.op.op_def, node.op.attrs)


@dataclass(eq=False)
class _Open:
    """Updates that may still be joined by others."""

    places: list[int] = field(default_factory=list)
    ops: set[Operation] = field(default_factory=set)
    written: set[tuple[str, str]] = field(default_factory=set)
    read: set[tuple[str, str]] = field(default_factory=set)
    taken: dict[Tensor, tuple[ArgDef, Memory]] = field(default_factory=dict)


def fused_updates(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """The operations of a segment of a GPU, with groups in the place of updates."""
    if sum(_is_update(node) for node in nodes) < 2:
        return list(nodes)
    return _Stretch(nodes, feeds, is_needed).fused()


def late_updates(nodes: Sequence[Node], feeds: Collection[Tensor]) -> list[Node]:
    """The operations of a segment of a GPU, where small updates stand as late as they may.

    Between others, as those of moving averages stand, they would keep these from one group: what
    is done to the result of a norm from the norm itself.
    """
    if not any(_is_small_update(node) for node in nodes):
        return list(nodes)
    return _Stretch(nodes, feeds, ()).delayed()


def _is_small_update(node: Node) -> bool:
    if node.op.type not in _CHANGES or node.memory is None or node.arrival:
        return False
    shape = node.inputs[1]._shape
    return shape is not None and None not in shape and prod(shape) <= _SMALL  # type: ignore[arg-type]


def _is_update(node: Node) -> bool:
    return node.kernel.joins == "updates" and node.memory is not None


def _controls(node: Node) -> Iterator[Operation]:
    for part in node.parts if isinstance(node, Group) else (node,):
        yield from part.controls


def _is_state(tensor: Tensor, arg: ArgDef) -> bool:
    return arg.is_ref or tensor.dtype.base_dtype is resource


def _own_origins(tensor: Tensor) -> Origins:
    """The variable that a tensor is a reference or a handle to."""
    op = tensor.op
    if op.type in _VARIABLES:
        name = op.attrs["shared_name"].decode() or op.name
        return frozenset({(op.attrs["container"].decode(), name)})
    if tensor.dtype.is_ref and op.inputs:
        return frozenset()  # it hands on what it was given
    is_handle = tensor.dtype.is_ref or tensor.dtype.base_dtype in (resource, variant)
    return frozenset({_UNKNOWN} if is_handle else ())


def _may_alias(tensor: Tensor) -> bool:
    """Whether a tensor may lie in the memory of what its operation takes, and change with it."""
    op = tensor.op
    if op.type == "ReadVariableOp":
        return False  # what was read stays as it was
    kernel = find_kernel(op.type, "GPU", op.attrs)
    return kernel is None or kernel.aliases or tensor.dtype.is_ref


class _Stretch:
    """The operations of a segment in their order."""

    def __init__(
        self, nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
    ) -> None:
        self._nodes = nodes
        self._feeds = feeds
        self._is_needed = is_needed
        self._known: dict[Tensor, Origins] = {}
        self._groups: list[_Open] = []

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs."""
        last: _Open | None = None
        for place, node in enumerate(self._nodes):
            written, read = self._touched(node)
            if last is not None and self._is_in_the_way(node, written, read, last):
                last = None
            if not _is_update(node) or any(t in self._feeds for t in node.op.outputs):
                continue
            if _UNKNOWN in written | read or written & read:
                continue  # it stays by itself; what it changes is in nobody's way by then
            if last is None:
                last = _Open()
                self._groups.append(last)
            self._add(last, place, written, read)
        groups = {g.places[-1]: self._group(g) for g in self._groups if len(g.places) > 1}
        gone = {place for g in self._groups if len(g.places) > 1 for place in g.places}
        return [
            groups.get(place, node)
            for place, node in enumerate(self._nodes)
            if place in groups or place not in gone
        ]

    def delayed(self) -> list[Node]:
        """The operations, where small updates stand before what is in their way, or at the end."""
        found: list[Node] = []
        waiting = _Open()
        for place, node in enumerate(self._nodes):
            written, read = self._touched(node)
            if waiting.places and self._is_in_the_way(node, written, read, waiting):
                found += [self._nodes[index] for index in waiting.places]
                waiting = _Open()
            is_free = _UNKNOWN not in written | read and not written & read
            if (
                _is_small_update(node)
                and is_free
                and not any(t in self._feeds for t in node.op.outputs)
            ):
                self._add(waiting, place, written, read)
            else:
                found.append(node)
        return found + [self._nodes[index] for index in waiting.places]

    def _is_in_the_way(self, node: Node, written: Origins, read: Origins, group: _Open) -> bool:
        """Whether updates of a group may not be made behind an operation, or with it."""
        if any(tensor.op in group.ops for tensor in node.inputs):
            return True
        if any(op in group.ops for op in _controls(node)) or _UNKNOWN in written | read:
            return True
        if (written | read) & group.written or written & group.read:
            return True
        if _is_update(node):
            return any(group.taken.get(t, own) != own for t, own in self._takes(node))
        return has_effects(node) and not written

    def _touched(self, node: Node) -> tuple[Origins, Origins]:
        """The variables that an operation may change, and those in whose memory its inputs lie."""
        written, read = set[tuple[str, str]](), set[tuple[str, str]]()
        changes = has_effects(node) and not node.kernel.stateful and not node.arrival
        for tensor, arg in zip(node.inputs, input_arguments(node.op), strict=False):
            into = written if changes and _is_state(tensor, arg) else read
            into.update(self._origins(tensor))
        return frozenset(written), frozenset(read)

    def _origins(self, tensor: Tensor) -> Origins:
        """The variables whose memory a tensor may be."""
        found = self._known.get(tensor)
        if found is None:
            names = set[tuple[str, str]]()
            waiting, seen = [tensor], {tensor}
            while waiting:  # as deep as the graph
                one = waiting.pop()
                names |= _own_origins(one)
                if one not in self._feeds and _may_alias(one):
                    waiting += [t for t in one.op.inputs if t not in seen]
                    seen.update(one.op.inputs)
            found = self._known[tensor] = frozenset(names)
        return found

    @staticmethod
    def _takes(node: Node) -> list[tuple[Tensor, tuple[ArgDef, Memory]]]:
        """What an update takes, and how."""
        rows = zip(node.inputs, input_arguments(node.op), node.input_memories, strict=True)
        return [(t, (_AS_STATE if _is_state(t, arg) else _AS_VALUE, m)) for t, arg, m in rows]

    def _add(self, group: _Open, place: int, written: Origins, read: Origins) -> None:
        node = self._nodes[place]
        group.places.append(place)
        group.ops.add(node.op)
        group.written |= written
        group.read |= read
        group.taken.update(self._takes(node))

    def _group(self, group: _Open) -> Node:
        parts = [self._nodes[place] for place in group.places]
        readers = {t for n in self._nodes if n.op not in group.ops for t in n.inputs}
        made = [tensor for part in parts for tensor in part.op.outputs]
        outputs = [t for t in made if t in readers or t in self._is_needed]
        return Updates.of(parts, list(group.taken), outputs, taken=group.taken)


_AS_VALUE = ArgDef.make(name="value")
_AS_STATE = ArgDef.make(name="state", is_ref=True)
