"""Regions: what runs only sometimes, or again and again, in graphs of Switch, Merge and loops.

A step's root and the body of each loop are regions. Within a region no operation runs twice, and
every operation has a mask: the bits of all that must have come before it can run. A bit stands for
an arrival (a feed of a partial run, the end of a blocking operation), for one way out of a
predicate, for a Merge, or for the end of a loop. Bits come alive or dead; what waits for a dead bit
is dead and does not run. A Merge waits for one of several masks, and hides which one it was; a
ControlTrigger hides whether what it waited for was dead.

So Switch needs no work at run time: its outputs are its input, and what reads them has a mask with
the bit of its predicate. Operations of one mask live and die together: they form segments.

A loop (a frame of TensorFlow's) is one segment of the region around it. Its Enters and Exits belong
to that region; the values of its Merges are given to each iteration of its body as feeds are.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tfsession.core.dtypes import bool as bool_
from tfsession.core.errors import InvalidArgumentError
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.wiring import is_fed_placeholder

if TYPE_CHECKING:
    from tfsession.runtime.partition import Node

Frame = tuple[str, ...]

MERGES = frozenset({"Merge", "RefMerge"})
NEXT_ITERATIONS = frozenset({"NextIteration", "RefNextIteration"})
_SWITCHES = frozenset({"Switch", "RefSwitch"})
_ENTERS = frozenset({"Enter", "RefEnter"})
_EXITS = frozenset({"Exit", "RefExit"})
_SOMETIMES = _SWITCHES | MERGES | _ENTERS | _EXITS | NEXT_ITERATIONS


def each_bit(mask: int) -> Iterator[int]:
    """The bits of a mask, lowest first."""
    while mask:
        bit = mask & -mask
        yield bit
        mask ^= bit


@dataclass(slots=True, eq=False)
class Predicate:
    """A bool that decides which of two bits comes alive: `if_false` or `if_true`."""

    tensor: Tensor
    waits: int
    if_false: int
    if_true: int
    switch: Operation  # one that asks, for errors


@dataclass(slots=True, eq=False)
class Joint:
    """Merges whose inputs wait for the same masks: they fire together."""

    alternatives: tuple[int, ...]
    arrival: int
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Trigger:
    """A ControlTrigger: it comes when all that it waits for has come, alive or dead."""

    waits: int
    arrival: int
    node: Node


@dataclass(slots=True, eq=False)
class LoopVariable:
    """A Merge of a loop: where its first value comes from, and its later ones."""

    merge: Node
    enter: Tensor
    next: Tensor
    next_waits: int


@dataclass(slots=True, eq=False)
class Loop:
    """One loop: what it takes from the region around it, its body, and what it gives back.

    `constants` are tensors of the region around it that every iteration reads; `results` the inputs
    of its Exits, with their masks in the body.
    """

    frame: Frame
    waits: int
    arrival: int
    constants: list[Tensor]
    variables: list[LoopVariable]
    results: dict[Tensor, int]
    body: Region

    def all_nodes(self) -> Iterator[Node]:
        """Every node that runs in its iterations."""
        yield from (variable.merge for variable in self.variables)
        yield from self.body.all_nodes()


@dataclass(slots=True, eq=False)
class Region:
    """Nodes by mask, and what is no plain operation; `waits` has the mask of each tensor."""

    waits: dict[Tensor, int] = field(default_factory=dict)
    groups: dict[int, list[Node]] = field(default_factory=dict)
    predicates: list[Predicate] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether all of it runs, once."""
        return not (self.predicates or self.joints or self.triggers or self.loops)

    def all_nodes(self) -> Iterator[Node]:
        """Every node, those of loops included."""
        for group in self.groups.values():
            yield from group
        for joint in self.joints:
            yield from joint.nodes
        yield from (trigger.node for trigger in self.triggers)
        for loop in self.loops:
            yield from loop.all_nodes()


def make_region(
    nodes: Sequence[Node], feeds: Collection[Tensor], arrivals: Mapping[Tensor, int]
) -> Region:
    """The root region of a step.

    Args:
        nodes: all operations, each behind what it needs, edges from NextIterations aside.
        feeds: the fed tensors.
        arrivals: the bits of feeds that arrive only after the step has begun.

    Raises:
        InvalidArgumentError: an operation mixes frames, or an Exit is in none.
    """
    if not arrivals and not any(n.kernel.blocking or n.op.type in _SOMETIMES for n in nodes):
        return Region(groups={0: list(nodes)})
    frames = _Frames(nodes, feeds)
    return _Builder(frames, (), nodes, feeds, dict(arrivals)).build()


class _Frames:
    """The region of each node, by the names of the loops around it."""

    def __init__(self, nodes: Sequence[Node], feeds: Collection[Tensor]) -> None:
        self.region: dict[Operation, Frame] = {}
        self.entered: dict[Operation, Frame] = {}  # by Enter
        outputs: dict[Operation, Frame] = {}
        for node in nodes:
            op = node.op
            frame = self._frame_of(node, outputs, feeds)
            self.region[op] = outputs[op] = frame
            if op.type in _ENTERS:
                self.entered[op] = outputs[op] = (
                    *frame,
                    op.attrs["frame_name"].decode(errors="backslashreplace"),
                )
            elif op.type in _EXITS:
                if not frame:
                    raise InvalidArgumentError(
                        None, op, "Invalid Exit op: Cannot find a corresponding Enter op."
                    )
                self.region[op] = outputs[op] = frame[:-1]

    @staticmethod
    def _frame_of(
        node: Node, outputs: Mapping[Operation, Frame], feeds: Collection[Tensor]
    ) -> Frame:
        """The frame of all inputs of an operation; what is fed is in none."""
        fed = [tensor for tensor in node.inputs if tensor in feeds]
        computed = dict.fromkeys(tensor.op for tensor in node.inputs if tensor not in feeds)
        computed.update(dict.fromkeys(node.controls))
        frames: list[tuple[Frame, str]] = [((), _argument(tensor, feeds)) for tensor in fed]
        frames += [(outputs[op], op.name) for op in computed if op in outputs]
        for frame, name in frames[1:]:
            if frame != frames[0][0]:
                first, other = (
                    f"The input {{{{node {n}}}}} is in frame '{'/'.join(f)}'."
                    for f, n in ((frame, name), frames[0])
                )
                text = f"has inputs from different frames. {first} {other}"
                raise InvalidArgumentError(None, node.op, f"{{{{node {node.op.name}}}}} {text}")
        return frames[0][0] if frames else ()


def _argument(tensor: Tensor, feeds: Collection[Tensor]) -> str:
    """What a fed tensor is called within a step."""
    return f"_arg_{tensor.op.name}_{tensor.value_index}_{list(feeds).index(tensor)}"


class _Builder:
    """Builds one region out of the nodes that are in it or in loops inside it."""

    def __init__(
        self,
        frames: _Frames,
        frame: Frame,
        nodes: Sequence[Node],
        feeds: Collection[Tensor],
        waits: dict[Tensor, int],
    ) -> None:
        self._frames = frames
        self._frame = frame
        self._nodes = nodes
        self._feeds = feeds
        self._region = Region(waits)
        self._of_op: dict[Operation, int] = {}
        self._next_bit = 1 << len(waits)
        self._predicates: dict[Tensor, Predicate] = {}
        # Copies of predicates: the two ways of a conditional ask two of one.
        self._copies: dict[Tensor, Tensor] = {}
        self._joints: dict[tuple[object, ...], Joint] = {}

    def build(self) -> Region:
        for item in self._ordered():
            if isinstance(item, tuple):
                self._add_loop(item)
            elif item.op.type in MERGES and item.op not in self._of_op:
                self._add_merge(item)
            elif item.op not in self._of_op:
                self._add(item)
        return self._region

    def _bit(self) -> int:
        bit, self._next_bit = self._next_bit, self._next_bit << 1
        return bit

    # --- order ----------------------------------------------------------------------------------

    def _ordered(self) -> list[Node | Frame]:
        """The nodes of this region, and its loops: a loop behind its Enters, before its Exits."""
        own = [node for node in self._nodes if self._frames.region[node.op] == self._frame]
        loops = dict.fromkeys(
            self._frames.entered[node.op] for node in own if node.op.type in _ENTERS
        )
        if not loops:
            return list(own)
        numbers: dict[Operation | Frame, int] = {node.op: i for i, node in enumerate(own)}
        numbers.update((loop, len(own) + i) for i, loop in enumerate(loops))
        items: list[Node | Frame] = [*own, *loops]
        waiting = [0] * len(items)
        readers: list[list[int]] = [[] for _ in items]
        for number, item in enumerate(items):
            for source in self._sources(item, own):
                if source in numbers:
                    waiting[number] += 1
                    readers[numbers[source]].append(number)
        ready = [number for number, count in enumerate(waiting) if not count]
        ordered: list[Node | Frame] = []
        while ready:
            number = heapq.heappop(ready)
            ordered.append(items[number])
            for reader in readers[number]:
                waiting[reader] -= 1
                if not waiting[reader]:
                    heapq.heappush(ready, reader)
        if len(ordered) < len(items):
            stuck = next(node.op for node in own if node not in ordered)
            raise InvalidArgumentError(
                None, stuck, f"Node '{stuck.name}' waits for the loop that it enters."
            )
        return ordered

    def _sources(self, item: Node | Frame, own: Sequence[Node]) -> set[Operation | Frame]:
        if isinstance(item, tuple):
            entered = self._frames.entered
            return {node.op for node in own if entered.get(node.op) == item}
        sources: set[Operation | Frame] = set(item.controls)
        for tensor in item.inputs:
            if item.op.type in _EXITS:
                sources.add(self._loop_of(item.op))
            elif tensor.op.type not in NEXT_ITERATIONS and tensor not in self._feeds:
                sources.add(tensor.op)
        return sources

    def _loop_of(self, exit_op: Operation) -> Frame:
        """The frame that an Exit leaves."""
        source = exit_op.inputs[0].op
        region = self._frames.region[source]
        return self._frames.entered.get(source, region)

    # --- masks ----------------------------------------------------------------------------------

    def _waits_of(self, node: Node) -> int:
        """The mask of an operation."""
        waits = self._behind(node.controls)
        for tensor in node.inputs:
            waits |= self._region.waits.get(tensor, 0)
        for op in node.op.control_inputs:
            if is_fed_placeholder(op, self._feeds):
                waits |= self._region.waits.get(op.outputs[0], 0)
        return waits

    def _behind(self, ops: Iterable[Operation]) -> int:
        """What has come when these operations are done."""
        waits = 0
        for op in ops:
            waits |= self._of_op.get(op, 0)
        return waits

    def _add(self, node: Node) -> None:
        op = node.op
        node.waits = after = self._waits_of(node)
        if op.type == "ControlTrigger" and after:
            self._of_op[op] = arrival = self._bit()
            self._region.triggers.append(Trigger(after, arrival, node))
            return
        self._region.groups.setdefault(node.waits, []).append(node)
        if node.kernel.blocking:
            node.arrival = self._bit()
            after |= node.arrival
        self._of_op[op] = after
        if op.type in _SWITCHES:
            predicate = self._predicate(node)
            self._give(op.outputs[0], after | predicate.if_false)
            self._give(op.outputs[1], after | predicate.if_true)
        else:
            for tensor in op.outputs:
                self._give(tensor, after)
            if op.type == "Identity" and node.inputs and op.outputs[0] not in self._feeds:
                (source,) = node.inputs
                if source.dtype is bool_:
                    self._copies[op.outputs[0]] = source

    def _give(self, tensor: Tensor, waits: int) -> None:
        if tensor not in self._feeds:
            self._region.waits[tensor] = waits

    def _predicate(self, switch: Node) -> Predicate:
        tensor = switch.inputs[1]
        while tensor in self._copies:
            tensor = self._copies[tensor]
        found = self._predicates.get(tensor)
        if found is None:
            waits = self._region.waits.get(tensor, 0)
            found = Predicate(tensor, waits, self._bit(), self._bit(), switch.op)
            self._predicates[tensor] = found
            self._region.predicates.append(found)
        return found

    def _add_merge(self, node: Node) -> None:
        op = node.op
        control, known = self._behind(node.controls), self._region.waits
        alternatives = tuple(control | known.get(tensor, 0) for tensor in node.inputs)
        key = (*alternatives, id(node.place))
        joint = self._joints.get(key)
        if joint is None:
            joint = self._joints[key] = Joint(alternatives, self._bit())
            self._region.joints.append(joint)
        joint.nodes.append(node)
        self._of_op[op] = joint.arrival
        for tensor in op.outputs:
            self._give(tensor, joint.arrival)

    # --- loops ----------------------------------------------------------------------------------

    def _add_loop(self, frame: Frame) -> None:
        inside = [n for n in self._nodes if self._frames.region[n.op][: len(frame)] == frame]
        own = [node for node in inside if self._frames.region[node.op] == frame]
        enters = {op for op, entered in self._frames.entered.items() if entered == frame}
        merges = [node for node in own if _is_loop_merge(node.op)]
        builder = _Builder(self._frames, frame, inside, self._feeds, {})
        for node in merges:
            builder._of_op[node.op] = 0
        body = builder.build()
        exits = [n.op for n in self._nodes if n.op.type in _EXITS and self._loop_of(n.op) == frame]
        results = {op.inputs[0]: body.waits.get(op.inputs[0], 0) for op in exits}
        # Whatever an Enter gives to others than the Merges that begin the iterations.
        begin = {node.op for node in merges}
        used = dict.fromkeys(t for node in inside if node.op not in begin for t in node.inputs)
        constants = [t for t in used | results if t.op in enters]
        arrival = self._bit()
        waits = self._behind(enters)
        for tensor in constants:
            waits |= self._region.waits.get(tensor, 0)
        within = {node.op for node in inside}
        variables = [_loop_variable(node, enters, within, body) for node in merges]
        self._region.loops.append(Loop(frame, waits, arrival, constants, variables, results, body))
        for tensor in results:
            self._region.waits[tensor] = arrival


def _is_constant(enter: Operation) -> bool:
    return bool(enter.attrs["is_constant"])


def _is_loop_merge(op: Operation) -> bool:
    """Whether a Merge begins the iterations of a loop, and does not end a conditional in one."""
    return op.type in MERGES and any(
        t.op.type in NEXT_ITERATIONS or (t.op.type in _ENTERS and not _is_constant(t.op))
        for t in op.inputs
    )


def _loop_variable(
    merge: Node, enters: Collection[Operation], inside: Collection[Operation], body: Region
) -> LoopVariable:
    op = merge.op
    first = [tensor for tensor in op.inputs if tensor.op in enters]
    later = [t for t in op.inputs if t.op.type in NEXT_ITERATIONS and t.op in inside]
    if len(first) != 1 or len(later) != 1 or len(op.inputs) != 2:
        raise InvalidArgumentError(
            None,
            op,
            f"{{{{node {op.name}}}}} must merge one Enter and one NextIteration of its loop.",
        )
    return LoopVariable(merge, first[0], later[0], body.waits.get(later[0], 0))
