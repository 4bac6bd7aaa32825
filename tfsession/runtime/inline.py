"""Inlining: a region in which no two operations wait at once becomes a part of one function.

All is known when the text is written but which bits come alive: they are local variables, masks are
conditions, and what waits for a mask stands in a block behind its condition. A loop is a `while`.
So an iteration costs little more than its kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from typing import Any

import numpy as np

from tfsession.devices.accelerator import Accelerator
from tfsession.devices.transfer import Memory, start_copy, wait_for
from tfsession.graph.tensor import Tensor
from tfsession.runtime.function_text import Source
from tfsession.runtime.partition import Layout, Segment, Transfer
from tfsession.runtime.regions import Joint, Loop, Predicate, Trigger, each_bit
from tfsession.runtime.segments import Function, not_scalar, uneven
from tfsession.runtime.source import Readers, Writer
from tfsession.runtime.structure import Unrolled

# Loops in loops; Python's own limit for blocks in blocks is 20.
_DEPTH = 8

Item = Segment | Predicate | Joint | Trigger | tuple[Loop, Layout]


def can_inline(layout: Layout, depth: int = _DEPTH, may_wait: bool = False) -> bool:
    """Whether the loops of a region do not stand in too many others, and nothing has to wait.

    With `may_wait` operations of the region itself may, but none of its loops, and each of them
    only begins when the one before has ended: while it waits nothing else could run.
    """
    waiting = [segment for segment in layout.segments if segment.arrival]
    waiting.sort(key=lambda segment: segment.waits.bit_count())
    return (
        depth > 0
        and (may_wait or not waiting)
        and all(later.waits & earlier.arrival for earlier, later in pairwise(waiting))
        and all(can_inline(body, depth - 1) for body in layout.bodies)
    )


class Bits:
    """The bits of a region as local variables, and what is known of them when text is written."""

    def __init__(self, number: int) -> None:
        self._number = number
        # For each bit what comes alive with it at the latest; what it is alive with, if no variable
        # of its own; and the other way out of its predicate.
        self._implied: dict[int, int] = {}
        self._same: dict[int, int] = {}
        self._other: dict[int, int] = {}

    def variable(self, bit: int) -> str:
        """The name of a bit."""
        return f"b{self._number}_{bit.bit_length() - 1}"

    def define(self, bit: int, waits: int, other: int = 0) -> None:
        """A bit comes alive only behind a reduced mask; `other` never comes alive with it."""
        self._implied[bit] = self._closure(waits)
        if other:
            self._other[bit] = other

    def define_same(self, bit: int, waits: int) -> None:
        """A bit is alive exactly if a reduced mask is."""
        self._same[bit] = waits

    def _closure(self, mask: int) -> int:
        closed = mask
        for bit in each_bit(mask):
            closed |= self._implied[bit]
        return closed

    def reduced(self, mask: int) -> int:
        """A mask that is alive exactly if `mask` is, of as few variables as possible."""
        own = 0
        for bit in each_bit(mask):
            own |= self._same.get(bit, bit)
        implied = 0
        for bit in each_bit(own):
            implied |= self._implied[bit]
        return own & ~implied

    def either(self, first: int, second: int) -> int | None:
        """The reduced mask that is alive if one of two is, where they part at a predicate."""
        left, right = first & ~second, second & ~first
        if not left or self._other.get(left) != right:
            return None
        return self.reduced(first & second | self._implied[left] & self._implied[right])

    def otherwise(self, mask: int) -> int | None:
        """The reduced mask that is alive exactly if `mask` is not, where there is one."""
        return None if self._implied.get(mask) else self._other.get(mask)

    def condition(self, mask: int) -> str:
        """The condition of a reduced mask; empty where it is always alive."""
        return " and ".join(map(self.variable, each_bit(mask)))


def _scheduled(layout: Layout) -> list[Item]:
    """All parts of a region, each behind what it waits for.

    What computes comes before what does not and may read what it gives; what may wait comes last.
    """
    region = layout.region
    loops = list(zip(region.loops, layout.bodies, strict=True))
    items: list[Item] = [*layout.segments, *region.predicates, *region.joints]
    items += [*region.triggers, *loops]
    missing: list[int] = []
    watchers: dict[int, list[int]] = {}
    for number, item in enumerate(items):
        bits = list(each_bit(_waits_of(item)))
        missing.append(len(bits))
        for bit in bits:
            watchers.setdefault(bit, []).append(number)
    may_wait = [isinstance(item, Segment) and item.arrival > 0 for item in items]
    ready = [(may_wait[number], number) for number, count in enumerate(missing) if not count]
    heapify(ready)
    ordered: list[Item] = []
    while ready:
        item = items[heappop(ready)[1]]
        ordered.append(item)
        for bit in each_bit(_arrival_of(item)):
            for number in watchers.get(bit, ()):
                missing[number] -= 1
                if not missing[number]:
                    heappush(ready, (may_wait[number], number))
    assert len(ordered) == len(items), "a region waits for itself"
    return ordered


def _waits_of(item: Item) -> int:
    if isinstance(item, Joint):
        waits = 0
        for alternative in item.alternatives:
            waits |= alternative
        return waits
    return item[0].waits if isinstance(item, tuple) else item.waits


def _arrival_of(item: Item) -> int:
    if isinstance(item, Predicate):
        return item.if_false | item.if_true
    return item[0].arrival if isinstance(item, tuple) else item.arrival


class Inliner:
    """Writes regions into one function."""

    def __init__(
        self, writer: Writer, source: Source, first: int = 0, within: Accelerator | None = None
    ) -> None:
        """Regions get numbers from `first` on.

        The function is called `within` a device where it is active already, and perhaps records.
        """
        self._writer = writer
        self._within = within
        self._names = writer.names
        self._source = source
        self._numbers = count(first)

    def write(self, layout: Layout, results: Collection[str]) -> Bits:
        """Add a region; the names of `results` stay after it. Gives its bits."""
        bits = Bits(next(self._numbers))
        items = _scheduled(layout)
        # Nothing asks what the first one reads.
        readers = Readers([set(), *map(self._reads, items[1:])], results)
        # What segments have brought somewhere, and what each of those waits for.
        brought: dict[tuple[Tensor, int], list[int]] = {}
        for index, item in enumerate(items):
            needed = readers.behind(index)
            if isinstance(item, Segment):
                self._add_segment(item, bits, needed)
                if item.arrival:
                    bits.define_same(item.arrival, bits.reduced(item.waits))
                for transfer in item.transfers:
                    key = transfer.tensor, id(transfer.destination)
                    brought.setdefault(key, []).append(item.waits)
            elif isinstance(item, Predicate):
                carriers = brought.get((item.tensor, id(None)), ())
                is_there = any(not waits & ~item.waits for waits in carriers)
                self._add_predicate(item, bits, is_there)
            elif isinstance(item, Joint):
                self._add_joint(item, bits, needed)
            elif isinstance(item, Trigger):
                bits.define_same(item.arrival, 0)
                self._observe(self._writer.number([item.node]))
            else:
                self.add_loop(*item, bits, needed)
        return bits

    def _reads(self, item: Item) -> set[str]:
        names, writer = self._names, self._writer
        if isinstance(item, Segment):
            return set(writer.reads(item))
        if isinstance(item, Predicate):
            return {names.source_of(item.tensor), names.of(item.tensor, None)}
        if isinstance(item, Trigger):
            return set()
        if isinstance(item, Joint):
            return {names.source_of(t) for node in item.nodes for t in node.inputs}
        return set(writer.loop_reads(item[0]))

    # --- parts ----------------------------------------------------------------------------------

    @contextmanager
    def _behind(self, condition: str) -> Iterator[None]:
        """What is written meanwhile stands behind a condition, if there is one."""
        if not condition:
            yield
            return
        with self._source.block(f"if {condition}:"):
            yield

    def _add_segment(self, segment: Segment, bits: Bits, needed: Container[str]) -> None:
        writer, source = self._writer, self._source
        with self._behind(bits.condition(bits.reduced(segment.waits))):
            self._move(segment.transfers)
            if segment.memory is None or segment.memory is self._within:
                writer.add_nodes(source, segment.nodes, needed, segment.memory)
                return
            with source.block(f"with {source.bind('m', segment.memory)}.activate():"):
                writer.add_nodes(source, segment.nodes, needed, segment.memory)

    def _move(self, transfers: Sequence[Transfer]) -> None:
        """A line for each transfer, and one that waits for those to the host."""
        source, names = self._source, self._names
        for transfer in transfers:
            tensor, origin, goal = transfer.tensor, transfer.source, transfer.destination
            copy = source.bind("x", self._copying(origin, goal))
            name = names.of(tensor, origin)
            value = f"{name}.read()" if names.is_variable(tensor, origin) else name
            source.add(f"{names.of(tensor, goal)} = {copy}({value})", tensor.op)
        origins = [transfer.source for transfer in transfers if transfer.destination is None]
        if origins:
            wait = source.bind("w", partial(wait_for, origins))
            source.add(f"{wait}()", transfers[0].tensor.op)

    def _copying(self, origin: Memory, goal: Memory) -> Callable[[Any], Any]:
        """What copies a value from one memory to another."""
        if self._within is not None:
            return self._within.array_known
        return partial(start_copy, source=origin, destination=goal)

    def _bring(self, tensor: Tensor, memory: Memory) -> None:
        """A tensor is read in a memory: a transfer, if it is made elsewhere."""
        origin = self._names.location[tensor]
        if origin is not memory:
            self._move([Transfer(tensor, origin, memory)])

    def _add_predicate(self, predicate: Predicate, bits: Bits, is_there: bool) -> None:
        source, names, tensor = self._source, self._names, predicate.tensor
        if_false, if_true = bits.variable(predicate.if_false), bits.variable(predicate.if_true)
        waits = bits.reduced(predicate.waits)
        bits.define(predicate.if_false, waits, predicate.if_true)
        bits.define(predicate.if_true, waits, predicate.if_false)
        if waits:
            source.add(f"{if_false} = {if_true} = False")
        with self._behind(bits.condition(waits)):
            if not is_there:
                self._bring(tensor, None)
            name = names.of(tensor, None)
            refuse = source.bind("e", not_scalar)
            source.add(f"if {name}.ndim: {refuse}({name})", predicate.switch)
            source.add(f"{if_false} = not {name}; {if_true} = not {if_false}", predicate.switch)

    def _add_joint(self, joint: Joint, bits: Bits, needed: Container[str]) -> None:
        source = self._source
        first = self._writer.number(joint.nodes)
        masks = [bits.reduced(waits) for waits in joint.alternatives]
        whenever = bits.either(*masks) if len(masks) == 2 else None
        if 0 in masks:
            masks, whenever = masks[: masks.index(0) + 1], 0
        arrival = bits.variable(joint.arrival)
        if whenever is None:
            bits.define(joint.arrival, 0)
            source.add(f"{arrival} = False")
        else:
            bits.define_same(joint.arrival, whenever)
        for index, mask in enumerate(masks):
            word = "elif" if index else "if"
            head = f"{word} {bits.condition(mask)}:" if mask else "else:" if index else "if True:"
            with source.block(head):
                self._let_through(joint, first, index, needed)
                if whenever is None:
                    source.add(f"{arrival} = True")

    def _let_through(self, joint: Joint, first: int, index: int, needed: Container[str]) -> None:
        """The outputs of Merges, numbered from `first` on, whose input number `index` is there."""
        source, names, writer = self._source, self._names, self._writer
        gone: dict[str, None] = {}
        for place, node in enumerate(joint.nodes):
            tensor, memory = node.inputs[index], node.input_memories[index]
            self._bring(tensor, memory)
            value, number = names.outputs(node)
            source.add(f"{value} = {writer.arguments(node)[index]}", node.op)
            which = source.bind("i", np.int32(index))
            if number in needed:
                source.add(f"{number} = {which}", node.op)
            self._observe(first + place, value, which)
            if (name := names.of(tensor, memory)) not in needed:
                gone[name] = None
        if gone:
            source.add(f"del {', '.join(gone)}")

    def _observe(self, number: int, *values: str) -> None:
        """Tell who watches that a Merge has let something through, or a ControlTrigger came."""
        if self._writer.asks == "observe":
            self._source.add(f"observe({', '.join([str(number), *values])})")

    # --- loops ----------------------------------------------------------------------------------

    def add_loop(self, loop: Loop, body: Layout, bits: Bits, needed: Container[str]) -> None:
        """Add a loop; its bit says whether its results are there."""
        source, names = self._source, self._names
        first = self._writer.number([variable.merge for variable in loop.variables])
        waits = bits.reduced(loop.waits)
        arrival = bits.variable(loop.arrival)
        # A result that is not there whenever the loop ends is noted when it is.
        flags = {m: f"{arrival}_{i}" for i, m in enumerate(set(loop.results.values()))}
        source.add(" = ".join([*flags.values(), "False"]))
        results = set(map(names.source_of, loop.results))
        kept = results.union(map(names.source_of, loop.constants))
        with self._behind(bits.condition(waits)):
            enters = {names.source_of(variable.enter) for variable in loop.variables}
            still = kept.union(name for name in enters if name in needed)
            self._assign_variables(loop, first, still, is_first=True)
            with source.block("while True:"):
                nexts = {names.source_of(variable.next) for variable in loop.variables}
                inner = self.write(body, kept | nexts)
                going_on = {inner.reduced(variable.next_waits) for variable in loop.variables}
                ended = inner.otherwise(*going_on) if len(going_on) == 1 else None
                for mask in list(flags):
                    there = inner.reduced(mask)
                    if not there or there == ended:
                        del flags[mask]
                    else:
                        source.add(f"if {inner.condition(there)}: {flags[mask]} = True")
                self._end(loop, [inner.condition(mask) or "True" for mask in going_on])
                self._writer.watch(source)
                self._assign_variables(loop, first, kept, is_first=False)
        if flags:
            bits.define(loop.arrival, waits)
            condition = filter(None, [bits.condition(waits), *flags.values()])
            source.add(f"{arrival} = {' and '.join(condition)}")
        else:
            bits.define_same(loop.arrival, waits)

    def _end(self, loop: Loop, conditions: Sequence[str]) -> None:
        """Leave a loop unless all variables go on, which they must do together."""
        source = self._source
        if not conditions:
            source.add("break")
        elif len(conditions) == 1:
            source.add(f"if not ({conditions[0]}): break")
        else:
            with source.block(f"if not ({' and '.join(conditions)}):"):
                refuse = source.bind("e", partial(uneven, "/".join(loop.frame)))
                source.add(f"if {' or '.join(f'({c})' for c in conditions)}: {refuse}()")
                source.add("break")

    def _assign_variables(
        self, loop: Loop, first: int, kept: Container[str], is_first: bool
    ) -> None:
        """The Merges of a loop, numbered from `first` on, at its begin or between iterations."""
        source, names, writer = self._source, self._names, self._writer
        targets: list[str] = []
        values: list[str] = []
        gone: dict[str, None] = {}
        for variable in loop.variables:
            node, tensor = variable.merge, variable.enter if is_first else variable.next
            index = node.inputs.index(tensor)
            self._bring(tensor, node.input_memories[index])
            value, number = names.outputs(node)
            targets += [value, number]
            values += [writer.arguments(node)[index], source.bind("i", np.int32(index))]
            name = names.of(tensor, node.input_memories[index])
            if name not in kept:
                gone[name] = None
        if targets:
            source.add(f"{', '.join(targets)} = {', '.join(values)}")
        for place in range(len(loop.variables)):
            self._observe(first + place, *targets[2 * place : 2 * place + 2])
        if gone:
            source.add(f"del {', '.join(gone)}")


def unrolled_function(writer: Writer, node: Unrolled) -> Function:
    """A loop as a function of what it reads, for a device that is active already."""
    names, loop = writer.names, node.loop
    assert isinstance(node.memory, Accelerator)
    source, bits = Source([names.of(*read) for read in node.reads]), Bits(0)
    results = [names.source_of(tensor) for tensor in loop.results]
    inliner = Inliner(writer, source, 1, node.memory)
    inliner.add_loop(replace(loop, waits=0), node.body, bits, results)
    if condition := bits.condition(bits.reduced(loop.arrival)):
        refuse = source.bind("e", partial(uneven, "/".join(loop.frame)))
        source.add(f"if not ({condition}): {refuse}()")
    source.add(f"return ({''.join(f'{name}, ' for name in results)})")
    return source.compile()
