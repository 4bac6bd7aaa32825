"""What stands for several operations of a GPU that run sometimes, or often: see structuring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tfsession.core.dtypes import bool_, int32
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Layout, Node
from tfsession.runtime.regions import Loop

Read = tuple[Tensor, Memory]


@dataclass(slots=True, eq=False)
class Part:
    """Operations one after another, and the tensors that they are for, in the same memory.

    `others` are read outside, too, where it is known that the part has run.
    """

    nodes: list[Node]
    results: list[Tensor]
    others: list[Tensor] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Structure(Node):
    """Operations of a GPU that run sometimes, or often; `parts` are functions of `reads`."""

    parts: tuple[Part, ...] = ()
    reads: tuple[Read, ...] = ()

    def within(self) -> Iterator[Node]:
        """The operations inside, those of structures inside included."""
        for part in self.parts:
            yield from each_within(part.nodes)


@dataclass(slots=True, eq=False)
class Fork(Structure):
    """Two ways, of which the first input says whether it is the second: (if false, if true).

    `switch` is an operation that asks, for errors.
    """

    switch: Operation | None = None


@dataclass(slots=True, eq=False)
class Repeat(Structure):
    """A loop: the parts are its condition, and what gives the next values of its variables.

    Both read the variables, and then what else they need. `carried` are the numbers of the
    variables that are given back; `switch` is an operation that asks for the condition, for errors.
    """

    variables: int = 0
    carried: tuple[int, ...] = ()
    switch: Operation | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Unrolled(Structure):
    """A loop whose turns the host counts, of what it knows: all of them become one recording.

    It reads what the loop takes from the region around it, and gives what its Exits let through.
    `body` is that of `loop`, cut into segments.
    """

    loop: Loop
    body: Layout


def each_within(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes, and those inside of structures."""
    for node in nodes:
        yield node
        if isinstance(node, Structure):
            yield from node.within()


# --- what they are made of ----------------------------------------------------------------------

# What counts turns on the host, and may do so on a device.
_MOVABLE = frozenset({int32, bool_})


class Unfit(Exception):
    """What stands in the way of one node for all."""


def in_order(group: Sequence[Node]) -> list[Node]:
    """The nodes, each behind what it needs, else as they stand."""
    own = {node.op: node for node in group}
    ordered: dict[Operation, Node] = {}
    begun: set[Operation] = set()
    for begin in group:
        waiting = [begin]
        while waiting:
            node = waiting[-1]
            if node.op in begun:
                ordered.setdefault(waiting.pop().op, node)
                continue
            begun.add(node.op)
            sources = (*(tensor.op for tensor in node.inputs), *node.controls)
            waiting += [own[op] for op in sources if op in own and op not in begun]
    return list(ordered.values())


class Moved:
    """The operations of a loop, those that count its turns on the host moved to the device.

    A counter of int32 lies on the host, as in TensorFlow: there it would have the host look at each
    turn.
    """

    def __init__(self, location: dict[Tensor, Memory], memory: Accelerator, loop: Loop) -> None:
        self._location = location
        self._memory = memory
        self._before: dict[Tensor, Memory] = {}
        for variable in loop.variables:
            self._set(variable.merge.op.outputs[0])
        for tensor in loop.results:
            self._set(tensor)
        self._groups = {
            mask: [self._moved(node) for node in in_order(group)]
            for mask, group in loop.body.groups.items()
        }

    def nodes(self, mask: int) -> list[Node]:
        """Those of a mask."""
        return self._groups.get(mask, [])

    def _set(self, tensor: Tensor) -> None:
        self._before[tensor] = self._location[tensor]
        self._location[tensor] = self._memory

    def undo(self) -> None:
        """Let all be where it was."""
        self._location.update(self._before)

    def _moved(self, node: Node) -> Node:
        memory, kernel = self._memory, node.kernel
        is_dynamic = node.memory is None and not kernel.constant and node.stays_with is None
        dtypes = {tensor.dtype for tensor in (*node.inputs, *node.op.outputs)}
        if not is_dynamic or not dtypes or not dtypes <= _MOVABLE or node.device is not memory:
            return node
        if kernel.host or kernel.host_outputs or not kernel.records or kernel.stateful:
            return node
        for tensor in node.op.outputs:
            self._set(tensor)
        inputs, outputs = (memory,) * len(node.inputs), (memory,) * len(node.op.outputs)
        return replace(node, memory=memory, input_memories=inputs, output_memories=outputs)


def device_of(loop: Loop) -> Accelerator:
    """The only device on which a loop computes, if that can repeat by itself; or Unfit."""
    body = loop.body
    memories = {node.memory for node in loop.all_nodes() if node.memory is not None}
    if body.joints or body.triggers or body.loops or len(body.predicates) != 1:
        raise Unfit
    if len(memories) != 1 or not loop.variables:
        raise Unfit
    (memory,), (predicate,) = memories, body.predicates
    if not isinstance(memory, Accelerator) or not memory.has_conditionals:
        raise Unfit
    if predicate.waits or body.groups.keys() - {0, predicate.if_true}:
        raise Unfit
    if any(variable.next_waits != predicate.if_true for variable in loop.variables):
        raise Unfit
    if any(variable.merge.op.type != "Merge" for variable in loop.variables):
        raise Unfit
    if any(mask != predicate.if_false for mask in loop.results.values()) or not loop.results:
        raise Unfit
    return memory
