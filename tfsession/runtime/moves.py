"""Moves: the copies between memories that a step makes, for whom, and who asked for them.

What a caller feeds and fetches is copied because the caller said so: explicit. All else is a
consequence of where operations are: implicit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_

from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Layout, Node, Transfer
from tfsession.runtime.regions import Frame, Region, each_bit


@dataclass(slots=True, eq=False)
class Move:
    """A copy that a step makes: once, or once in each iteration of a loop.

    Attributes:
        transfer: the tensor, and between which memories.
        readers: the operations that read the copy, in order; empty where it is only fetched.
        frame: the loops in which it happens, the outermost first; empty for none.
        is_conditional: whether it depends on the value of a predicate.
        is_fed: whether the tensor is fed from the host, so that the copy is explicit.
        is_fetched: whether the copy is what the caller gets.
    """

    transfer: Transfer
    frame: Frame = ()
    is_conditional: bool = False
    is_fed: bool = False
    is_fetched: bool = False
    readers: dict[Operation, None] = field(default_factory=dict)

    @property
    def is_explicit(self) -> bool:
        """Whether the caller asked for it."""
        return self.is_fed or not self.readers

    @property
    def reader(self) -> Operation:
        """The first of its readers, of which there must be one."""
        return next(iter(self.readers))


# A tensor that an operation reads in a memory; in which loops, and whether at all.
_Read = tuple[Tensor, Memory, Operation, Frame, bool]


def moves_of(
    layout: Layout, feeds: Mapping[Tensor, Memory], fetched: Iterable[Transfer]
) -> list[Move]:
    """Every copy of a step, in the order in which operations need them, then what is fetched.

    Args:
        layout: the step.
        feeds: the memory in which the value of each fed tensor is given.
        fetched: the copies that bring values where they are wanted.
    """
    found: dict[tuple[Tensor, int, Frame], Move] = {}
    region = layout.region
    reads = _reads(region, (), False)
    if region.is_plain and not any(segment.transfers for segment in layout.segments):
        reads = iter(())
    for tensor, memory, reader, frame, is_conditional in reads:
        source = layout.location[tensor]
        if source is memory:
            continue
        key = (tensor, id(memory), frame)
        move = found.get(key)
        if move is None:
            is_fed = tensor in feeds and source is None
            move = found[key] = Move(
                Transfer(tensor, source, memory), frame, is_conditional, is_fed
            )
        move.is_conditional &= is_conditional
        move.readers[reader] = None
    for transfer in fetched:
        key = (transfer.tensor, id(transfer.destination), ())
        move = found.setdefault(key, Move(transfer))
        move.is_fetched, move.is_conditional = True, False
    return list(found.values())


def _reads(region: Region, frame: Frame, is_conditional: bool) -> Iterator[_Read]:
    ways = _Ways(region)

    def depends(waits: int) -> bool:
        return is_conditional or bool(ways.behind(waits))

    for waits, nodes in region.groups.items():
        yield from _reads_of(nodes, frame, depends(waits))
    for predicate in region.predicates:
        yield predicate.tensor, None, predicate.switch, frame, depends(predicate.waits)
    for joint in region.joints:
        for node in joint.nodes:
            reads = zip(node.inputs, node.input_memories, joint.alternatives, strict=True)
            for tensor, memory, waits in reads:
                yield tensor, memory, node.op, frame, depends(waits)
    for loop in region.loops:
        for variable in loop.variables:
            op, memory = variable.merge.op, variable.merge.input_memories[0]
            yield variable.enter, memory, op, frame, depends(loop.waits)
            yield variable.next, memory, op, loop.frame, depends(loop.waits)
        yield from _reads(loop.body, loop.frame, depends(loop.waits))


class _Ways:
    """Which ways of conditionals must be taken for the bits of a region to come alive."""

    def __init__(self, region: Region) -> None:
        # For each bit the masks one of which it needs. What a bit needs has lower bits.
        needs: dict[int, tuple[int, ...]] = {}
        self._own = 0
        for predicate in region.predicates:
            bits = predicate.if_false | predicate.if_true
            needs |= dict.fromkeys(each_bit(bits), (predicate.waits,))
            if predicate.tensor.op.type != "LoopCond":  # which asks for a next iteration
                self._own |= bits
        needs |= {joint.arrival: joint.alternatives for joint in region.joints}
        needs |= {loop.arrival: (loop.waits,) for loop in region.loops}
        for nodes in region.groups.values():
            needs |= {node.arrival: (node.waits,) for node in nodes if node.arrival}
        self._of: dict[int, int] = {}
        for bit in sorted(needs):
            behind = reduce(and_, map(self.behind, needs[bit]))
            self._of[bit] = behind | (bit & self._own)

    def behind(self, waits: int) -> int:
        """The ways that must be taken for all bits of a mask."""
        return reduce(or_, (self._of.get(bit, 0) for bit in each_bit(waits)), 0)


def _reads_of(nodes: Sequence[Node], frame: Frame, is_conditional: bool) -> Iterator[_Read]:
    for node in nodes:
        for tensor, memory in zip(node.inputs, node.input_memories, strict=True):
            yield tensor, memory, node.op, frame, is_conditional


def unit_bytes(tensor: Tensor) -> tuple[int | None, int]:
    """What is known of a tensor's size from its static shape.

    Returns:
        Its bytes, or None where a size is unknown; and the bytes of all that is known: the whole,
        or what one step of the unknown sizes takes.
    """
    shape, unit = tensor._shape, tensor.dtype.base_dtype.size
    for size in shape or ():
        unit *= 1 if size is None else size
    is_known = shape is not None and None not in shape
    return unit if is_known else None, unit


def bytes_text(count: int) -> str:
    """A number of bytes as people read it: 24 B, 3.1 KiB."""
    if count < 1024:
        return f"{count} B"
    size, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while size >= 1023.95 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.1f} {units[0]}"


def size_text(known: int | None, unit: int) -> str:
    """The size of a tensor as far as it is known."""
    return f"{bytes_text(unit)} x ?" if known is None else bytes_text(known)
