"""Convolutions of the host one behind the other, computed as one piece of work for all cores.

A network would have its threads wait for each other at every layer. Here the convolutions are cut
into pieces, which threads take in the order of the layers; a piece waits only for those whose
results it reads, and they are written long since but for the last few. What is computed, and how,
is as without this: so are the bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.rules import fusers
from tfsession.devices.spares import Spares
from tfsession.devices.threads import limited_threads, pause, run_blocks
from tfsession.graph.tensor import Tensor
from tfsession.runtime.blocks import Unfit
from tfsession.runtime.control import stop_closed
from tfsession.runtime.fuse import Group, in_stretches, leaves
from tfsession.runtime.fuse_convolutions import (
    Convolved,
    Filters,
    Link,
    in_rows,
    is_convolution,
    is_worth_it,
    work_of,
)
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

# Convolutions of one chain.
_MOST = 128
# What is known of inputs of so many shapes.
_MOST_SHAPES = 8

# Images, and rows of them.
Index = tuple[slice, slice]


class _Member(NamedTuple):
    """A convolution of a chain; places are among the values: inputs, results, and shifts of norms.

    Attributes:
        find: gives its pieces; see `fusers`.
        filters: what it convolves with.
        links: what is done to its result.
        x, shift: the places of its images, and of what its norm adds.
        reads: the places of all that it reads of results.
    """

    find: Callable[..., Any]
    filters: Filters
    links: Sequence[Link]
    x: int
    shift: int
    reads: Sequence[int]


class _Task(NamedTuple):
    """A piece of a member, and the tasks whose results it reads."""

    member: int
    piece: int
    needs: Sequence[int]


class _Cut(NamedTuple):
    """How a chain is cut for inputs of some shapes; one member has `widest` pieces at most."""

    pieces: Sequence[Any]
    tasks: Sequence[_Task]
    widest: int


@dataclass(slots=True, eq=False)
class Chained(Group):
    """Convolutions with what is done to their results, each in a group or alone."""

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Whether the first images are large enough."""
        return is_worth_it(_convolution(self.parts[0]).inputs[:1], name)

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes it, or gives None."""
        return _Chain(self, closing)


def _convolution(node: Node) -> Node:
    return node.parts[0] if isinstance(node, Convolved) else node


class _Chain:
    """Computes the convolutions of a group."""

    def __init__(self, group: Chained, closing: Sequence[object]) -> None:
        self._closing = closing
        self._count = len(group.inputs)
        count = len(group.parts)
        places = {tensor: place for place, tensor in enumerate(group.inputs)}
        for number, part in enumerate(group.parts):
            places[part.op.outputs[0]] = self._count + number
        self.members: list[_Member] = []
        for number, part in enumerate(group.parts):
            conv, shift = _convolution(part), self._count + count + number
            parts = part.parts if isinstance(part, Convolved) else [part]
            keeps = isinstance(part, Convolved) and part.keeps
            filters, links = work_of(parts, keeps, places, shift)
            x = places[conv.inputs[0]]
            taken = {x, *(place for link in links for place in link.places if place is not None)}
            reads = sorted(place for place in taken if self._count <= place < shift - number)
            find = fusers["pieces"]
            self.members.append(
                _Member(
                    lambda *told, attrs=conv.op.attrs, find=find: find(attrs, *told),
                    filters, links, x, shift, reads,
                )
            )  # fmt: skip
        self._outputs = [places[tensor] for tensor in group.op.outputs]
        self._readers = [0] * count
        for place in (*self._outputs, *(p for member in self.members for p in member.reads)):
            self._readers[place - self._count] += 1
        self._cuts: dict[Any, _Cut | None] = {}

    def __call__(self, *values: Any) -> Any:
        """The outputs for the inputs; None where they have to be computed one after another."""
        try:
            shapes = tuple([value.shape for value in values])
            cut = self._cuts[shapes] if shapes in self._cuts else self._known(shapes, values)
            if cut is None or not all(map(_is_plain, values)):
                return None
            work = _Work(self, cut, values)
            try:
                with limited_threads(cut.widest):
                    run_blocks(np, len(cut.tasks), 1, work.do)
            finally:
                work.end()
            found = [work.values[place] for place in self._outputs]
            return found[0] if len(found) == 1 else tuple(found)
        except Exception:
            return None  # one after another they find the error again, and whose it is

    def begun(self, values: Sequence[Any]) -> tuple[list[Any], list[int]]:
        """The values with room for results and what norms add, and who reads the results."""
        empty: list[Any] = [None] * (2 * len(self.members))
        return [*values, *empty], list(self._readers)

    @property
    def first(self) -> int:
        """Where the results begin among the values."""
        return self._count

    @property
    def closing(self) -> Sequence[object]:
        """Not empty where the session is closed."""
        return self._closing

    # --- how it is cut ----------------------------------------------------------------------------

    def _known(self, shapes: tuple[Any, ...], values: Sequence[Any]) -> _Cut | None:
        if len(self._cuts) >= _MOST_SHAPES:
            self._cuts.clear()
        try:
            found = self._cut(list(shapes), values)
        except Exception:
            found = None
        self._cuts[shapes] = found
        return found

    def _cut(self, shapes: list[tuple[int, ...]], values: Sequence[Any]) -> _Cut:
        """How the chain is cut; raises Unfit where it cannot be."""
        pieces = []
        for member in self.members:
            w, shift = member.filters.made(values)
            added = []
            for place in map(_added, member.links):
                if place is None:
                    break
                added.append(shift.shape if place == member.shift else shapes[place])
            found = member.find(shapes[member.x], w, added)
            if found is None:
                raise Unfit
            pieces.append(found)
            shapes.append(found.shape)
        starts = [0, *accumulate(len(found.parts) for found in pieces)]
        tasks = []
        for number, member in enumerate(self.members):
            others = {place for link in member.links for place in link.places}
            for piece, (taken, given) in enumerate(pieces[number].parts):
                needs: dict[int, None] = {}
                for place in member.reads:
                    source = place - self._count
                    told = pieces[source].parts, starts[source]
                    if place == member.x:
                        needs |= dict.fromkeys(_overlapping(*told, taken))
                    if place in others:
                        needs |= dict.fromkeys(_overlapping(*told, given))
                tasks.append(_Task(number, piece, tuple(needs)))
        widest = max(after - before for before, after in pairwise(starts))
        return _Cut(pieces, tasks, widest)


def _added(link: Link) -> int | None:
    """The place of what a link adds; None where it does something else."""
    return link.places[1] if link.is_sum else None


def _is_plain(value: Any) -> bool:
    return bool(value.dtype == np.float32 and value.flags.c_contiguous and value.flags.aligned)


def _overlapping(parts: Sequence[tuple[Index, Index]], start: int, index: Index) -> Iterator[int]:
    """The numbers of the pieces that write to a part of a result; `start` is the first one's."""
    for number, (_, given) in enumerate(parts, start):
        pairs = zip(given, index, strict=True)
        if all(own.start < other.stop and other.start < own.stop for own, other in pairs):
            yield number


# --- one step -------------------------------------------------------------------------------------


class _Begun(NamedTuple):
    """A member whose result is being written: what writes a piece of it, and changes that then."""

    parts: Sequence[tuple[Index, Index]]
    write: Callable[[int], bool]
    result: Any
    changes: Sequence[Callable[[Any, Any], object]]


class _Work:
    """The tasks of one step."""

    def __init__(self, chain: _Chain, cut: _Cut, values: Sequence[Any]) -> None:
        self._chain, self._cut = chain, cut
        self._tasks = cut.tasks
        self.values, self._readers = chain.begun(values)
        self._filters = []
        for member, pieces in zip(chain.members, cut.pieces, strict=True):
            w, self.values[member.shift] = member.filters.made(values)
            self._filters.append(pieces.filters(w, member.filters.kept))
        self._left = [len(pieces.parts) for pieces in cut.pieces]
        self._begun: list[_Begun | None] = [None] * len(chain.members)
        self._finished = bytearray(len(cut.tasks))
        self._has_ended = False
        self._lock = threading.Lock()

    def do(self, start: int, stop: int) -> None:
        """Do some tasks; those before them are done, or others do them now."""
        try:
            for number in range(start, stop):
                self._do(number)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Nobody waits any more, for what Ctrl-C has driven the program out of, either."""
        self._has_ended = True

    def _do(self, number: int) -> None:
        member, piece, needs = self._tasks[number]
        for need in needs:
            if not self._finished[need]:
                self._wait(need)
        if self._chain.closing:
            stop_closed()
        begun = self._begun[member] or self._begin(member)
        if not begun.write(piece):
            raise Unfit
        if begun.changes:
            index = begun.parts[piece][1]
            rows = in_rows(begun.result[index])
            for change in begun.changes:
                change(index, rows)
        self._finished[number] = 1
        with self._lock:
            self._left[member] -= 1
            if not self._left[member]:
                self._end(member)

    def _wait(self, need: int) -> None:
        looks = 0
        while not self._finished[need]:
            if self._has_ended:
                raise Unfit
            pause(looks)
            looks += 1

    def _begin(self, number: int) -> _Begun:
        """Make room for the result of a member, when its first piece is computed."""
        with self._lock:
            begun = self._begun[number]
            if begun is None:
                chain, values = self._chain, self.values
                member, pieces = chain.members[number], self._cut.pieces[number]
                result = np.empty(pieces.shape, np.float32)
                own, behind = member.links[: pieces.added], member.links[pieces.added :]
                added = [values[place] for place in map(_added, own) if place is not None]
                changes = [link.change(result, values) for link in behind]
                write = pieces.begin(self._filters[number], values[member.x], result, added)
                values[chain.first + number] = result
                begun = self._begun[number] = _Begun(pieces.parts, write, result, changes)
        return begun

    def _end(self, number: int) -> None:
        """Nothing reads for a member any more."""
        self._begun[number] = None
        first = self._chain.first
        for place in self._chain.members[number].reads:
            self._readers[place - first] -= 1
            if not self._readers[place - first]:
                self.values[place] = None


# --- what belongs together ------------------------------------------------------------------------


def chained(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """The operations of a segment of the host, with chains in the place of convolutions.

    Args:
        nodes: in an order in which they can run.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    if Convolved not in set(map(type, nodes)):
        return list(nodes)
    return in_stretches(_Stretch, nodes, feeds, is_needed)


def _joins(node: Node) -> bool:
    """Whether an operation may be computed in pieces."""
    conv = _convolution(node)
    if conv.op.type != "Conv2D" or not is_convolution(conv):
        return False
    if any(leaf.controls for leaf in leaves(node)):
        return False
    if conv.op.attrs["data_format"] != b"NHWC" or conv.op.outputs[0].dtype != np.float32:
        return False
    # Windows of one element are a product of matrices.
    shape = conv.inputs[1]._shape
    return shape is None or shape[:2] != (1, 1) or prod(conv.op.attrs["strides"]) > 1


class _Stretch(Neighbours):
    """Operations among which there are convolutions, alone or in groups."""

    def fused(self) -> list[Node]:
        """The operations with chains in the place of their last ones."""
        self._ordered: list[Node] = []
        self._indices = {
            leaf.op: index for index, node in enumerate(self._nodes) for leaf in leaves(node)
        }
        # The places of a chain, and of what needs it and has to wait until it is there.
        self._chain: list[int] = []
        self._behind: list[int] = []
        for index, node in enumerate(self._nodes):
            before = [self._makers[tensor] for tensor in node.inputs if tensor in self._makers]
            controls = [op for leaf in leaves(node) for op in leaf.controls]
            before += [self._indices[op] for op in controls if op in self._indices]
            waits = any(place in self._behind for place in before)
            joins = _joins(node) and node.op.outputs[0] not in self._feeds
            if joins and self._chain and (waits or not self._is_open(node)):
                self._close()
                waits = False
            if joins:
                self._chain.append(index)
            elif waits or any(place in self._chain for place in before):
                self._behind.append(index)
            else:
                self._ordered.append(node)
        self._close()
        return self._ordered

    def _is_open(self, node: Node) -> bool:
        """Whether a chain may go on with an operation."""
        first = self._nodes[self._chain[0]]
        return len(self._chain) < _MOST and node.allocator is first.allocator

    def _close(self) -> None:
        """End a chain, and let those follow that wait for it."""
        parts = [self._nodes[index] for index in self._chain]
        if any(isinstance(part, Convolved) for part in parts):
            self._ordered.append(self._group(parts))
        else:
            self._ordered += parts
        self._ordered += [self._nodes[index] for index in self._behind]
        self._chain, self._behind = [], []

    def _group(self, parts: Sequence[Node]) -> Node:
        made = [part.op.outputs[0] for part in parts]
        own = {id(part) for part in parts}
        outputs = [
            tensor
            for tensor in made
            if tensor in self._is_needed
            or any(id(reader) not in own for reader in self._readers.get(tensor, ()))
        ]
        inputs = dict.fromkeys(t for part in parts for t in part.inputs if t not in made)
        return Chained.of(parts, list(inputs), outputs)
