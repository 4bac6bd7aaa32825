"""What of a GPU's segments can be recorded, and as how few recordings.

Segments are cut where something cannot be, and joined where all that parts them is a value of the
host that follows from shapes: it is brought over where it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, cast

import numpy as np

from tfsession.core.dtypes import resource, string, variant
from tfsession.core.rules import Kernel
from tfsession.devices.accelerator import Accelerator
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import OUTPUT, Definition, Stand
from tfsession.runtime.names import Names
from tfsession.runtime.partition import Node, Segment, Transfer

# So many operations are worth a recording: to replay one costs as much as a launch or two.
_WORTH = 2


@dataclass(slots=True, eq=False)
class Brought(Node):
    """A value of the host, brought to the device within a segment."""

    @property
    def blamed(self) -> Operation:
        """The operation that made the value."""
        return self.inputs[0].op


def joined(
    segments: Iterable[Segment],
    refused: Container[str],
    names: Names,
    constant: Callable[[Node], Any],
) -> Iterator[Segment]:
    """The segments, those of a GPU that follow each other as one where they can be.

    `refused` are names of kernels that a device would not record; `constant` gives the value of
    a node that is one.
    """
    former: _Joined | None = None
    for segment in segments:
        if former is not None and former.takes(segment, refused):
            continue
        if former is not None:
            yield former.segment
        former = _Joined(segment, names, constant)
    if former is not None:
        yield former.segment


class _Joined:
    """A segment as it grows by those behind it."""

    def __init__(self, segment: Segment, names: Names, constant: Callable[[Node], Any]) -> None:
        self.segment = segment
        self._constant = constant
        self._names = names
        self._makers = {node.op: node for node in segment.nodes}
        # What is read in the memory of the device in place of what lies on the host.
        self._there: dict[Tensor, Tensor] = {}

    def takes(self, segment: Segment, refused: Container[str]) -> bool:
        """Take another segment in, if nothing but known values parts it from this one."""
        own = self.segment
        if segment.memory is None or segment.place is not own.place or segment.waits != own.waits:
            return False
        if segment.arrival or own.arrival or any(t.tensor.dtype.is_ref for t in segment.transfers):
            return False
        parting = [t for t in segment.transfers if t.tensor.op in self._makers]
        if not parting or not all(self._is_known(t, refused) for t in parting):
            return False
        brought = [self._brought(transfer) for transfer in parting]
        self._makers |= {node.op: node for node in segment.nodes}
        others = [t for t in segment.transfers if t not in parting]
        # Constants first: what reads one on the host, too, stands behind all that bear its name.
        first = [node for node in brought if node.kernel.constant]
        behind = [node for node in brought if not node.kernel.constant]
        nodes = [*first, *own.nodes, *behind, *map(self._reading, segment.nodes)]
        self.segment = replace(own, nodes=nodes, transfers=[*own.transfers, *others])
        return True

    def _is_known(self, transfer: Transfer, refused: Container[str]) -> bool:
        """Whether shapes and constants say what is copied to the device."""
        maker, memory = self._makers[transfer.tensor.op], self.segment.memory
        if transfer.source is not None or transfer.destination is not memory:
            return False
        if maker.stays_with is not None:
            return maker.kernel.name not in refused
        return maker.memory is memory and can_be_recorded(maker, refused)

    def _brought(self, transfer: Transfer) -> Node:
        """What gives a known value in the memory of the device: a constant, or a copy."""
        tensor, memory = transfer.tensor, self.segment.memory
        maker = self._makers[tensor.op]
        if maker.kernel.constant and len(maker.op.outputs) == 1:
            kernel = _giving(self._constant(maker))
            return replace(
                maker, kernel=kernel, memory=memory, output_memories=(memory,), stays_with=None,
                controls=(),
            )  # fmt: skip
        copied: list[Tensor] = []
        stand = Stand(
            tensor.op.name, "Brought", tensor.op.node_def, [tensor], copied,
            Definition((OUTPUT,), (OUTPUT,)),
        )  # fmt: skip
        there = Tensor(cast(Operation, stand), 0, tensor.dtype)
        there._shape = tensor._shape
        copied.append(there)
        self._there[tensor] = there
        # Who reads it behind this segment knows it by the same name.
        self._names.call(there, memory, self._names.of(tensor, memory))
        return Brought(
            cast(Operation, stand), maker.device, _bringing(memory), memory, [tensor], (), (None,),
            (memory,), maker.waits,
        )  # fmt: skip

    def _reading(self, node: Node) -> Node:
        """A node that reads on the device what was brought there."""
        there, memory = self._there, self.segment.memory
        reads = list(zip(node.inputs, node.input_memories, strict=True))
        if not any(own is memory and tensor in there for tensor, own in reads):
            return node
        inputs = [there.get(tensor, tensor) if own is memory else tensor for tensor, own in reads]
        return replace(node, inputs=inputs)


def _giving(value: Any) -> Kernel:
    """A kernel that has the device keep a value of the host."""
    return Kernel("Const", lambda xp: xp.asarray(np.asarray(value)), constant=True)


def _bringing(memory: Any) -> Kernel:
    """A kernel that brings a value of the host over; a recording, each time that it is replayed."""
    assert isinstance(memory, Accelerator)
    return Kernel(
        "Brought", lambda xp, value: memory.array_of_each_step(lambda: value), aliases=True
    )


def cut_to_record(
    segments: Iterable[Segment], refused: Container[str], is_needed: Callable[[Tensor], bool]
) -> list[Segment]:
    """The segments, those of GPUs cut into what is recorded and what is not.

    A TensorArray or a stack is known to the host alone, and only while it records: all that works
    on it is in one recording, or in none.

    Args:
        segments: what is cut.
        refused: the names of kernels that a device would not record.
        is_needed: tells whether something else than segments reads a tensor.
    """
    whole, apart = list(segments), set[Operation]()
    while True:
        found: list[Segment] = []
        for segment in whole:
            if segment.memory is None or segment.arrival:
                found.append(segment)
            else:
                found += _pieces(segment, refused, apart)
        torn = _torn(found, is_needed) - apart
        if not torn:
            return found
        apart |= torn


def _torn(segments: Sequence[Segment], is_needed: Callable[[Tensor], bool]) -> set[Operation]:
    """The recorded operations that work on what others work on that are not in their recording."""
    families: dict[Operation, _Family] = {}
    for number, segment in enumerate(segments):
        for node in segment.nodes:
            tensors = (*node.inputs, *node.op.outputs)
            kept = [t for t in tensors if t.dtype is resource and is_kept(maker_of(t))]
            if not kept:
                continue
            recorded = [node.op] if segment.is_recorded else []
            own = _Family({number}, recorded, any(map(is_needed, kept)), set(map(_root_of, kept)))
            for known in [families[op] for op in own.roots if op in families]:
                own.join(known)
            families.update(dict.fromkeys(own.roots, own))
    unlike = [f for f in families.values() if len(f.segments) > 1 or f.is_needed]
    return {op for family in unlike for op in family.recorded}


@dataclass(slots=True, eq=False)
class _Family:
    """TensorArrays and stacks that somebody works on together: where, and who of it is recorded."""

    segments: set[int]
    recorded: list[Operation]
    is_needed: bool
    roots: set[Operation]

    def join(self, other: _Family) -> None:
        """Take another one in."""
        self.segments |= other.segments
        self.recorded += other.recorded
        self.is_needed |= other.is_needed
        self.roots |= other.roots


def _root_of(tensor: Tensor) -> Operation:
    """What made the TensorArray or stack of a handle, or that in which it was kept."""
    op = maker_of(tensor)
    while op.type in _FOUND:
        op = maker_of(op.inputs[0])
    return op


def _pieces(
    segment: Segment, refused: Container[str], apart: Container[Operation]
) -> Iterator[Segment]:
    runs: list[tuple[bool, list[Node]]] = []
    for is_recorded, nodes in _runs(segment.nodes, refused, apart):
        if runs and runs[-1][0] == is_recorded:
            runs[-1][1].extend(nodes)
        else:
            runs.append((is_recorded, nodes))
    left = list(segment.transfers)
    for number, (is_recorded, nodes) in enumerate(runs):
        read = {tensor for node in nodes for tensor in node.inputs}
        taken = [
            t
            for t in left
            # What reads a variable elsewhere does so before all of the segment.
            if t.tensor in read or number == len(runs) - 1 or (t.tensor.dtype.is_ref and not number)
        ]
        left = [t for t in left if t not in taken]
        yield replace(segment, nodes=nodes, transfers=taken, is_recorded=is_recorded)


def can_be_recorded(node: Node, refused: Container[str]) -> bool:
    """Whether a GPU can record an operation, as far as is known."""
    if node.kernel.constant:
        return True
    return node.kernel.name not in refused and _works_on_arrays(node)


def _runs(
    nodes: Sequence[Node], refused: Container[str], apart: Container[Operation]
) -> Iterator[tuple[bool, list[Node]]]:
    def can_be(node: Node) -> bool:
        return node.op not in apart and can_be_recorded(node, refused)

    for can_record, run in groupby(nodes, key=can_be):
        found = list(run)
        work = sum(not node.kernel.constant for node in found)
        yield can_record and work >= _WORTH, found


def _works_on_arrays(node: Node) -> bool:
    """Whether all that an operation does is done to arrays and variables of the device.

    What lies in queues, tables or accumulators is the host's, and so is what a program prints.
    """
    kernel, op = node.kernel, node.op
    if not kernel.records or not all(map(_is_array_or_variable, node.inputs)):
        return False
    holds = any(t.dtype.is_ref or t.dtype is resource for t in node.inputs)
    return holds or kernel.is_vouched_for or not op.op_def.is_stateful


def _is_array_or_variable(tensor: Tensor) -> bool:
    """Whether a tensor is one, or a TensorArray or stack, of which only the host knows."""
    dtype = tensor.dtype
    if dtype.is_ref:
        return dtype.base_dtype is not string
    if dtype is resource:
        return handed_on(tensor).op.type == "VarHandleOp" or is_kept(maker_of(tensor))
    return dtype is not variant


# --- TensorArrays and stacks --------------------------------------------------------------------

# What makes them, in each step anew; or finds one that is kept in another.
_KEPT = frozenset({"TensorArrayV3", "TensorArrayGradV3", "StackV2", "StackPopV2"})
_PASSING = frozenset({"Enter", "Identity", "Switch"})
_FOUND = frozenset({"TensorArrayGradV3", "StackPopV2"})


def is_kept(op: Operation) -> bool:
    """Whether an operation makes a TensorArray or a stack, or finds one in another."""
    return op.type in _KEPT and any(tensor.dtype is resource for tensor in op.outputs)


def reads_kept(node: Node) -> bool:
    """Whether an operation works on a TensorArray or a stack."""
    return any(t.dtype is resource and is_kept(maker_of(t)) for t in node.inputs)


def handed_on(tensor: Tensor) -> Tensor:
    """The handle that loops take in as this one."""
    while tensor.op.type == "Enter":
        tensor = tensor.op.inputs[0]
    return tensor


def maker_of(tensor: Tensor) -> Operation:
    """What made a handle, which may have gone through conditionals and loops."""
    while tensor.op.type in _PASSING:
        tensor = tensor.op.inputs[0]
    return tensor.op
