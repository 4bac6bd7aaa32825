"""Conditionals and loops of a GPU as one operation each, so that they do not part what is recorded.

A region of Switch and Merge tells which operations run only one way (runtime.regions). Where all
of both ways can be recorded by one device, what stands between the predicate and its Merges becomes
one node, a Fork, which takes what both ways read, and gives what the Merges let through. A loop of
which condition and body can be recorded becomes a Repeat. All else stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import cast

import numpy as np

from tfsession.core.dtypes import resource
from tfsession.core.op_def import ArgDef
from tfsession.core.rules import Kernel
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.constants import constant
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import OUTPUT, Definition, Stand
from tfsession.runtime.partition import Node, cut
from tfsession.runtime.recordable import can_be_recorded, is_kept, reads_kept
from tfsession.runtime.regions import Joint, Loop, Predicate, Region
from tfsession.runtime.structure import (
    Fork,
    Moved,
    Part,
    Read,
    Repeat,
    Structure,
    Unfit,
    Unrolled,
    device_of,
    each_within,
    in_order,
)
from tfsession.runtime.unrolling import device_that_unrolls, stay_with

_SWITCHES = frozenset({"Switch", "RefSwitch"})
_ENTERS = frozenset({"Enter"})
# A variable as it is: parts read it themselves.
_STORAGE = ArgDef.make(name="storage", is_ref=True)
_THROUGH = Kernel("Through", lambda xp, value: value, forwards=True, aliases=True)


def structured(
    region: Region,
    location: dict[Tensor, Memory],
    wanted: Collection[Tensor],
    refused: Container[str],
    feeds: Container[Tensor],
) -> None:
    """Put structures into a region, and into the bodies of its loops, where they can be.

    Args:
        region: that of a step; it is changed.
        location: where each tensor lies; it gets those that structures make.
        wanted: what is fetched.
        refused: the names of kernels that a device would not record.
        feeds: what is fed.
    """
    for loop in region.loops:
        read = {*loop.results, *(variable.next for variable in loop.variables)}
        structured(loop.body, location, read, refused, feeds)
        waits = loop.body.waits
        loop.results = {tensor: waits.get(tensor, 0) for tensor in loop.results}
        for variable in loop.variables:
            variable.next_waits = waits.get(variable.next, 0)
    if region.loops or any(isinstance(j.nodes[0].memory, Accelerator) for j in region.joints):
        _Structuring(region, location, wanted, refused, feeds).run()


class _Structuring:
    """Looks through one region."""

    def __init__(
        self,
        region: Region,
        location: dict[Tensor, Memory],
        wanted: Collection[Tensor],
        refused: Container[str],
        feeds: Container[Tensor],
    ) -> None:
        self._region = region
        self.location = location
        self._wanted = wanted
        self.refused = refused
        self.feeds = feeds
        self.by_op = {node.op: node for node in region.all_nodes()}
        # What is waited for by what a structure under way sees through.
        self._awaited: dict[Operation, None] = {}

    def run(self) -> None:
        """Put in what can be, the innermost first, until there is no more."""
        region, found, has_changed = self._region, True, False
        while found:
            found = False
            items: list[Loop | Joint] = [*region.loops, *region.joints]
            for item in items:
                self._awaited.clear()
                try:
                    if isinstance(item, Loop):
                        self._put_for(item)
                    else:
                        self._fork(item)
                except Unfit:
                    continue
                self._sweep()
                found = has_changed = True
        if has_changed:
            self._read_directly()
            self._sweep()
            for mask, group in region.groups.items():
                region.groups[mask] = in_order(group)

    def _read_directly(self) -> None:
        """Let operations read what a Switch lets through: they wait for its predicate anyway."""
        nodes = [node for group in self._region.groups.values() for node in group]
        # Not those in loops, of which Exits read.
        switches = {node.op for node in nodes if node.op.type in _SWITCHES}
        for node in nodes:
            if any(tensor.op in switches for tensor in node.inputs):
                node.inputs = tuple(
                    [self._directly(t) if t.op in switches else t for t in node.inputs]
                )
            if not switches.isdisjoint(node.controls):
                node.controls = tuple(self.waited_for(node.controls))
        for predicate in self._region.predicates:
            predicate.tensor = self._directly(predicate.tensor)

    def _directly(self, tensor: Tensor) -> Tensor:
        if tensor.dtype.is_ref or tensor.dtype is resource:
            return tensor
        source = self.source(tensor)
        return source if self.location[source] is self.location[tensor] else tensor

    # --- conditionals ---------------------------------------------------------------------------

    def _fork(self, joint: Joint) -> None:
        """Put a Fork in the place of a joint and of what is behind its predicate; or Unfit."""
        memory = joint.nodes[0].memory
        if not isinstance(memory, Accelerator):
            raise Unfit
        predicate, waits, order = self._predicate_of(joint)
        # The host's truths tell recordings apart; the device's are for the device to look at.
        truth = self.source(predicate.tensor)
        if self.location[truth] is not None and not memory.has_conditionals:
            raise Unfit
        parts: list[Part] = []
        reads: dict[Read, None] = {}
        inside: set[Operation] = set()
        for way, number in zip((predicate.if_false, predicate.if_true), order, strict=True):
            looked = _Inside(self, memory, self._behind(waits, way))
            ends = [self.source(node.inputs[number]) for node in joint.nodes]
            parts.append(looked.part(ends, [op for node in joint.nodes for op in node.controls]))
            reads |= looked.reads
            inside.update(node.op for node in parts[-1].nodes)
        self._look_at(joint)
        for part in parts:
            part.others = self._read_outside(part, joint, inside)
        given = [node.op.outputs[0] for node in joint.nodes]
        given += [tensor for part in parts for tensor in part.others]
        node = self._stand(
            partial(Fork, reads=tuple(reads), switch=predicate.switch), joint.nodes, memory,
            parts, [(truth, self.location[truth]), *reads], given,
        )  # fmt: skip
        self._put(joint, node, waits, inside)

    def _predicate_of(self, joint: Joint) -> tuple[Predicate, int, tuple[int, int]]:
        """What decides between a joint's inputs, what all wait for, and which is which.

        The numbers are those of the inputs where it is false, and where it is true.
        """
        if len(joint.alternatives) != 2 or any(node.op.type != "Merge" for node in joint.nodes):
            raise Unfit
        first, second = joint.alternatives
        for predicate in self._region.predicates:
            no, yes = predicate.if_false, predicate.if_true
            if first & no and second & yes and first & ~no == second & ~yes:
                return predicate, first & ~no, (0, 1)
            if first & yes and second & no and first & ~yes == second & ~no:
                return predicate, first & ~yes, (1, 0)
        raise Unfit

    def _behind(self, waits: int, way: int) -> list[Node]:
        """What runs one way, and waits for nothing more than that and `waits`."""
        groups = self._region.groups
        return in_order(
            [
                node
                for mask, group in groups.items()
                if mask & way and not mask & ~(waits | way)
                for node in group
            ]
        )

    def _look_at(self, joint: Joint) -> None:
        """Raise Unfit where something asks which way was taken, or Merges give other things."""
        memory = joint.nodes[0].memory
        read = {t for node in self._region.all_nodes() for t in node.inputs}.union(self._wanted)
        for node in joint.nodes:
            value, index = node.op.outputs
            if index in read or index in self.feeds or value in self.feeds:
                raise Unfit
            if node.memory is not memory or node.output_memories[0] is not memory:
                raise Unfit

    def _read_outside(self, part: Part, joint: Joint, inside: Container[Operation]) -> list[Tensor]:
        """What is made inside and read behind the same predicate, but not let through: or Unfit.

        It is there only where that way was taken.
        """
        region, made = self._region, {t for node in part.nodes for t in node.op.outputs}
        left = [n for n in region.all_nodes() if n.op not in inside and n not in joint.nodes]
        read = [tensor for node in left for tensor in node.inputs]
        read += [predicate.tensor for predicate in region.predicates]
        others = dict.fromkeys(tensor for tensor in read if tensor in made)
        if not made.isdisjoint(self._wanted):
            raise Unfit
        for tensor in others:
            if self.location[tensor] is not joint.nodes[0].memory or tensor.dtype.is_ref:
                raise Unfit
        return list(others)

    def source(self, tensor: Tensor) -> Tensor:
        """What goes through a Switch as this tensor; a handle also through others."""
        while tensor not in self.feeds:
            kind = tensor.op.type
            is_handle = tensor.dtype is resource and kind in ("Identity", "Enter")
            is_seen_through = is_handle or kind in _SWITCHES or kind == "LoopCond"
            node = self.by_op.get(tensor.op)
            if node is None or not is_seen_through or node.kernel is _THROUGH:
                break
            self._awaited.update(dict.fromkeys(node.controls))
            tensor = node.inputs[0]
        return tensor

    def waited_for(self, controls: Iterable[Operation]) -> list[Operation]:
        """What is waited for by who waits for these: what a Switch lets through, not the Switch."""
        found: dict[Operation, None] = {}
        waiting = list(controls)
        while waiting:
            op = waiting.pop()
            node = self.by_op.get(op)
            if node is None or op.type not in _SWITCHES or node.kernel is _THROUGH:
                found[op] = None
            else:
                waiting += [self.source(node.inputs[0]).op, *node.controls]
        return list(found)

    # --- what is put in -------------------------------------------------------------------------

    def _stand(
        self,
        kind: Callable[..., Structure],
        ends: Sequence[Node],
        memory: Accelerator,
        parts: Sequence[Part],
        taken: Sequence[Read],
        like: Sequence[Tensor],
    ) -> Structure:
        """The structure of these parts, which takes some tensors and gives others like these.

        It bears the name of the first of the Merges `ends`, and waits for what they wait for.
        """
        op = ends[0].op
        kernel = Kernel(f"Structure:{op.name}", None, aliases=True, records=True)
        if kernel.name in self.refused:
            raise Unfit
        nodes = [node for part in parts for node in part.nodes]
        is_stateful = any(n.kernel.stateful or n.op.op_def.is_stateful for n in each_within(nodes))
        outputs = list[Tensor]()
        stand = Stand(
            op.name, op.type, op.node_def, [tensor for tensor, _ in taken], outputs,
            Definition(
                tuple([_STORAGE if tensor.dtype.is_ref else OUTPUT for tensor, _ in taken]),
                (OUTPUT,) * len(like), True, is_stateful,
            ),
        )  # fmt: skip
        for number, tensor in enumerate(like):
            made = Tensor(cast(Operation, stand), number, tensor.dtype)
            made._shape = tensor._shape
            self.location[made] = memory
            outputs.append(made)
        inside = {node.op for node in nodes}
        awaited = [op for node in (*nodes, *ends) for op in node.controls]
        awaited = [op for op in (*awaited, *self._awaited) if op not in inside]
        return kind(
            cast(Operation, stand), ends[0].device, kernel, memory, stand.inputs,
            tuple(dict.fromkeys(awaited)), tuple([m for _, m in taken]), (memory,) * len(outputs),
            parts=tuple(parts),
        )  # fmt: skip

    def _put(self, joint: Joint, node: Structure, waits: int, inside: set[Operation]) -> None:
        """Put a structure in the place of what is inside; who read there reads what it gives."""
        region, ends = self._region, joint.nodes
        for mask, group in list(region.groups.items()):
            region.groups[mask] = [other for other in group if other.op not in inside]
        others = [tensor for part in node.parts for tensor in part.others]
        given = dict(zip(others, node.op.outputs[len(ends) :], strict=True))
        for tensor, made in given.items():
            region.waits[made] = region.waits.get(tensor, 0)
        for predicate in region.predicates:
            predicate.tensor = given.get(predicate.tensor, predicate.tensor)
        for other in region.all_nodes():
            if not given.keys().isdisjoint(other.inputs):
                other.inputs = tuple([given.get(tensor, tensor) for tensor in other.inputs])
            if not inside.isdisjoint(other.controls):
                other.controls = tuple([node.op if op in inside else op for op in other.controls])
        region.joints.remove(joint)
        self._add(node, ends, waits)
        self._let_pass(joint.arrival, waits)

    def _add(self, node: Structure, ends: Sequence[Node], waits: int) -> None:
        """Add a structure, of which the nodes `ends` let the first outputs through."""
        node.waits = waits
        self.by_op[node.op] = node
        group = self._region.groups.setdefault(waits, [])
        group.append(node)
        for made, end in zip(node.op.outputs, ends, strict=False):
            through = replace(
                end, kernel=_THROUGH, inputs=(made,), controls=(), waits=waits,
                input_memories=(node.memory,), output_memories=(node.memory,) * len(end.op.outputs),
            )  # fmt: skip
            self.by_op[end.op] = through
            group.append(through)
        for tensor, memory in zip(node.inputs, node.input_memories, strict=True):
            maker = self.by_op.get(tensor.op)
            if maker is None or maker.memory is not None or maker.device is not node.memory:
                continue
            if memory is None or maker.kernel.constant:  # nothing else needs it there
                maker.stays_with = maker.stays_with or node.memory

    # --- loops ----------------------------------------------------------------------------------

    def _put_for(self, loop: Loop) -> None:
        """Put a structure in the place of a loop; or Unfit."""
        try:
            self._repeat(loop)
        except Unfit:
            self._awaited.clear()
            self._unroll(loop)

    def _unroll(self, loop: Loop) -> None:
        """Put an Unrolled in the place of a loop; or Unfit."""
        region, location = self._region, self.location
        memory = device_that_unrolls(loop, location, self.refused)
        taken = dict.fromkeys([*loop.constants, *(v.enter for v in loop.variables)])
        reads = [(tensor, location[tensor]) for tensor in taken]
        results, merges = list(loop.results), [variable.merge for variable in loop.variables]
        kind = partial(Unrolled, reads=tuple(reads), loop=loop, body=cut(loop.body, location))
        part = Part(list(loop.all_nodes()), results)
        node = self._stand(kind, merges, memory, [part], reads, results)
        assert isinstance(node, Unrolled)
        node.output_memories = tuple([location[tensor] for tensor in results])
        given = dict(zip(results, node.op.outputs, strict=True))
        for tensor, made in given.items():
            location[made], region.waits[made] = location[tensor], loop.waits
        region.loops.remove(loop)
        for other in region.all_nodes():
            if not given.keys().isdisjoint(other.inputs):
                other.inputs = tuple([given.get(tensor, tensor) for tensor in other.inputs])
        self._add(node, (), loop.waits)
        self._let_pass(loop.arrival, loop.waits)
        own = [other for group in region.groups.values() for other in group]  # in no other loop
        stay_with(node, in_order(own), location, self.refused)

    def _repeat(self, loop: Loop) -> None:
        """Put a Repeat in the place of a loop; or Unfit."""
        memory = device_of(loop)
        moved = Moved(self.location, memory, loop)
        try:
            node, ends = self._repeated(loop, memory, moved)
        except Unfit:
            moved.undo()
            raise
        self._region.loops.remove(loop)
        self._add(node, ends, loop.waits)
        self._let_pass(loop.arrival, loop.waits)

    def _repeated(
        self, loop: Loop, memory: Accelerator, moved: Moved
    ) -> tuple[Structure, list[Node]]:
        """What stands for a loop, and the Switches that let its results through."""
        (predicate,) = loop.body.predicates
        variables = [variable.merge.op.outputs[0] for variable in loop.variables]
        asking = _Inside(self, memory, moved.nodes(0))
        condition = asking.part([self.source(predicate.tensor)], ())
        turning = _Inside(self, memory, in_order(moved.nodes(0) + moved.nodes(predicate.if_true)))
        body = turning.part([variable.next for variable in loop.variables], ())
        used = {node.op for node in body.nodes}
        for node in moved.nodes(predicate.if_true):
            if node.op not in used and node.op.op_def.is_stateful and not node.kernel.constant:
                raise Unfit
        for node in moved.nodes(0):
            if node.op in used and node.op.op_def.is_stateful and not node.kernel.constant:
                raise Unfit  # it would be done twice each turn
        if any(variable.merge.op.outputs[1] in turning.seen for variable in loop.variables):
            raise Unfit
        sources = [self.source(tensor) for tensor in loop.results]
        if not all(tensor in variables for tensor in sources):
            raise Unfit
        own: list[Read] = [(tensor, memory) for tensor in variables]
        others = [read for read in asking.reads | turning.reads if read not in own]
        taken: list[Read] = [(self._entered(v.enter), memory) for v in loop.variables]
        taken += [(self._entered(tensor), where) for tensor, where in others]
        kind = partial(
            Repeat, reads=(*own, *others), variables=len(variables), switch=predicate.switch,
            carried=tuple([variables.index(tensor) for tensor in sources]),
        )  # fmt: skip
        merges = [variable.merge for variable in loop.variables]
        node = self._stand(kind, merges, memory, [condition, body], taken, list(loop.results))
        return node, [self.by_op[tensor.op] for tensor in loop.results]

    def _entered(self, tensor: Tensor) -> Tensor:
        """What an Enter lets through."""
        while tensor.op.type in _ENTERS and tensor.op in self.by_op and tensor not in self.feeds:
            node = self.by_op[tensor.op]
            self._awaited.update(dict.fromkeys(node.controls))
            tensor = node.inputs[0]
        return tensor

    def _let_pass(self, bit: int, waits: int) -> None:
        """A bit comes with a mask: who waited for it waits for that."""
        region = self._region

        def changed(mask: int) -> int:
            return mask & ~bit | waits if mask & bit else mask

        for tensor, mask in region.waits.items():
            region.waits[tensor] = changed(mask)
        for predicate in region.predicates:
            predicate.waits = changed(predicate.waits)
        for joint in region.joints:
            joint.alternatives = tuple(map(changed, joint.alternatives))
        for trigger in region.triggers:
            trigger.waits = changed(trigger.waits)
        for loop in region.loops:
            loop.waits = changed(loop.waits)
        for mask, group in list(region.groups.items()):
            if mask & bit:
                del region.groups[mask]
                for node in group:
                    node.waits = changed(mask)
                region.groups.setdefault(changed(mask), []).extend(group)

    # --- what is left over ----------------------------------------------------------------------

    def _sweep(self) -> None:
        """Drop Switches that nobody reads behind, and predicates that nobody asks for."""
        region = self._region
        read = {*self._wanted, *(predicate.tensor for predicate in region.predicates)}
        awaited: set[Operation] = set()
        for node in region.all_nodes():
            read.update(node.inputs)
            awaited.update(node.controls)
        read.update(tensor for loop in region.loops for tensor in loop.constants)
        read.update(v.enter for loop in region.loops for v in loop.variables)
        for mask, group in list(region.groups.items()):
            kept = [
                node
                for node in group
                if node.op.type not in _SWITCHES | _ENTERS
                or node.kernel is _THROUGH
                or node.op in awaited
                or any(tensor in read for tensor in node.op.outputs)
            ]
            if kept:
                region.groups[mask] = kept
            else:
                del region.groups[mask]
        masks = [*region.groups, *(mask for joint in region.joints for mask in joint.alternatives)]
        masks += [predicate.waits for predicate in region.predicates]
        masks += [trigger.waits for trigger in region.triggers]
        masks += [loop.waits for loop in region.loops]
        masks += [region.waits.get(tensor, 0) for tensor in self._wanted]
        asked = reduce(or_, masks, 0)
        region.predicates = [p for p in region.predicates if asked & (p.if_false | p.if_true)]


class _Inside:
    """Looks at operations that are to stand inside of a structure.

    Attributes:
        reads: what they take, and where they take it.
        seen: all that any of them reads.
    """

    def __init__(self, outer: _Structuring, memory: Accelerator, nodes: Sequence[Node]) -> None:
        self.reads: dict[Read, None] = {}
        self._outer = outer
        self._memory = memory
        self._nodes = {node.op: node for node in nodes}
        self._brought: dict[Tensor, Node] = {}
        self.seen: set[Tensor] = set()

    def part(self, results: Sequence[Tensor], ends: Sequence[Operation]) -> Part:
        """The operations behind these results, and those that are waited for; or Unfit."""
        needed = self._needed([*(tensor.op for tensor in results), *ends])
        self._nodes = {op: node for op, node in self._nodes.items() if op in needed}
        nodes: list[Node] = []
        for node in self._nodes.values():
            inputs = [self._outer.source(tensor) for tensor in node.inputs]
            self.seen.update(inputs)
            awaited = self._outer.waited_for(node.controls)
            node = replace(node, inputs=tuple(inputs), controls=tuple(awaited))
            if not self._is_fit(node):
                raise Unfit
            reads = zip(inputs, node.input_memories, strict=True)
            node.inputs = tuple([self._taken(*read, nodes) for read in reads])
            nodes.append(node)
        given = [self._taken(tensor, self._memory, nodes) for tensor in results]
        return Part(nodes, given)

    def _needed(self, ends: Iterable[Operation]) -> set[Operation]:
        """The operations inside that these need, and they themselves."""
        found: set[Operation] = set()
        waiting = [op for op in ends if op in self._nodes]
        while waiting:
            op = waiting.pop()
            if op in found:
                continue
            found.add(op)
            node = self._nodes[op]
            sources = [self._outer.source(tensor).op for tensor in node.inputs]
            sources += self._outer.waited_for(node.controls)
            waiting += [other for other in sources if other in self._nodes]
        return found

    def _is_fit(self, node: Node) -> bool:
        """Whether the device may record it, or the host knows beforehand what it gives."""
        if node.arrival or any(tensor in self._outer.feeds for tensor in node.op.outputs):
            return False
        if node.kernel.constant or (node.kernel.forwards and node.inputs[0].dtype is resource):
            return True
        # The host does not know whether, or how often, something is kept.
        if isinstance(node, Unrolled) or is_kept(node.op) or reads_kept(node):
            return False
        if node.memory is self._memory:
            # What is vouched for draws numbers, of which the host says for each step where they
            # begin: it does not know how often a part runs.
            draws = node.kernel.is_vouched_for and not isinstance(node, Structure)
            return not draws and can_be_recorded(node, self._outer.refused)
        is_known = node.stays_with is self._memory and node.kernel.name not in self._outer.refused
        return node.memory is None and is_known

    def _taken(self, tensor: Tensor, memory: Memory, nodes: list[Node]) -> Tensor:
        """What stands for a tensor that is read in a memory, perhaps behind `nodes`."""
        location = self._outer.location[tensor]
        if tensor.op in self._nodes:
            if location is memory:
                return tensor
            if location is None and memory is self._memory:
                return self._bring(tensor, nodes)
            raise Unfit
        if memory is None and tensor.dtype is not resource and not self._is_known(tensor):
            raise Unfit
        if tensor.dtype.is_ref and location is not memory:
            raise Unfit
        self.reads[tensor, memory] = None
        return tensor

    def _is_known(self, tensor: Tensor) -> bool:
        """Whether a value of the host follows from shapes and constants."""
        if tensor in self._outer.feeds:
            return False
        node = self._outer.by_op.get(tensor.op)
        return node is not None and (node.kernel.constant or node.stays_with is self._memory)

    def _bring(self, tensor: Tensor, nodes: list[Node]) -> Tensor:
        """A known value of the host, made inside, as one of the device's that is kept there."""
        node = self._brought.get(tensor)
        if node is None:
            memory, made = self._memory, list[Tensor]()
            stand = Stand(
                tensor.op.name, "Brought", tensor.op.node_def, [tensor], made,
                Definition((OUTPUT,), (OUTPUT,)),
            )  # fmt: skip
            there = Tensor(cast(Operation, stand), 0, tensor.dtype)
            there._shape = tensor._shape
            made.append(there)
            self._outer.location[there] = memory
            node = self._brought[tensor] = Node(
                cast(Operation, stand), self._nodes[tensor.op].device, _keeping(memory), memory,
                [tensor], (), (None,), (memory,),
            )  # fmt: skip
            nodes.append(node)
        return node.op.outputs[0]


def _keeping(memory: Accelerator) -> Kernel:
    """A kernel that has the device keep what shapes decide."""
    return Kernel("Brought", lambda xp, value: constant(memory.xp, np.asarray(value)), aliases=True)
