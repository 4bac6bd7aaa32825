"""Loops of a GPU of which the host counts the turns, as one operation each: see structure.Unrolled.

A loop that keeps something of each turn, in TensorArrays or on stacks, has no one place for it, as
a loop that a device repeats must have. But where conditions follow from what lies on the host, as
counters and lengths do, the host can go through all turns while the device records: what lies on
the host tells recordings apart, and TensorArrays and stacks are the host's own affair.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping

from tfsession.core.dtypes import resource
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node
from tfsession.runtime.recordable import can_be_recorded, is_kept, reads_kept
from tfsession.runtime.regions import Loop, Region
from tfsession.runtime.structure import Unfit, Unrolled


def device_that_unrolls(
    loop: Loop, location: Mapping[Tensor, Memory], refused: Container[str]
) -> Accelerator:
    """The only device on which a loop computes, if it can record all turns; or Unfit."""
    nodes = list(loop.all_nodes())
    memories = {node.memory for node in nodes if node.memory is not None}
    if len(memories) != 1 or not loop.variables or not loop.results:
        raise Unfit
    (memory,) = memories
    if not isinstance(memory, Accelerator):
        raise Unfit
    if any(location[tensor] is not None for tensor in _truths(loop.body)):
        raise Unfit
    ends = {predicate.if_false for predicate in loop.body.predicates if not predicate.waits}
    masks = set(loop.results.values())
    if len(masks) != 1 or not masks <= ends or any(t.dtype is resource for t in loop.results):
        raise Unfit
    if not all(_is_fit(node, memory, location, refused) for node in nodes):
        raise Unfit
    return memory


def _truths(region: Region) -> Iterator[Tensor]:
    """What decides between ways, or about turns, in a region and the loops in it."""
    yield from (predicate.tensor for predicate in region.predicates)
    for loop in region.loops:
        yield from _truths(loop.body)


def _is_fit(
    node: Node, memory: Accelerator, location: Mapping[Tensor, Memory], refused: Container[str]
) -> bool:
    """Whether the device may record an operation, or what the host has tells what it gives."""
    if node.arrival:
        return False
    for tensor, where in zip(node.inputs, node.input_memories, strict=True):
        lies = location[tensor]
        # The host waits for nothing: it would wait while the device records.
        if lies is not where and (lies is not None or where is not memory or tensor.dtype.is_ref):
            return False
    if node.kernel.constant or node.kernel.forwards or node.op.type == "Merge":
        return not any(tensor.dtype.is_ref for tensor in node.op.outputs)
    if node.memory is memory:
        return can_be_recorded(node, refused)
    return node.memory is None and _is_known(node, refused)


def _is_known(node: Node, refused: Container[str]) -> bool:
    """Whether what an operation of the host gives is the same where what it takes is."""
    kernel = node.kernel
    if kernel.name in refused or not kernel.records or node.arrival:
        return False
    if is_kept(node.op) or reads_kept(node):
        return True
    holds = any(t.dtype.is_ref or t.dtype is resource for t in node.inputs)
    return not holds and not (kernel.stateful or node.op.op_def.is_stateful)


def stay_with(
    node: Unrolled,
    nodes: Collection[Node],
    location: Mapping[Tensor, Memory],
    refused: Container[str],
) -> None:
    """Let the host do among the operations of a device what a loop takes and gives.

    Else what the host does between two loops would part them.
    """
    memory = node.memory
    by_op = {other.op: other for other in nodes}
    for maker in _made_before(node, by_op):
        if maker.stays_with is None and maker.device is memory:
            maker.stays_with = memory
    known = {t for t in node.op.outputs if location[t] is None}
    for other in nodes:
        is_beside = other.stays_with is memory and not other.kernel.constant
        if is_beside or is_kept(other.op) or (other.memory is memory and reads_kept(other)):
            known.update(t for t in other.op.outputs if location.get(t, memory) is None)
    for other in nodes:
        if other.memory is not None or other.device is not memory or other.stays_with is not None:
            continue
        on_host = all(location[tensor] is None for tensor in other.inputs)
        if not on_host or known.isdisjoint(other.inputs):
            continue
        if other.kernel.forwards or _is_known(other, refused):
            other.stays_with = memory
            known.update(other.op.outputs)


def _made_before(node: Unrolled, by_op: Mapping[Operation, Node]) -> Iterator[Node]:
    """What the host hands on to a loop that is known before, or made in each step: stacks."""
    for tensor in node.inputs:
        passed: list[Node] = []
        maker = by_op.get(tensor.op)
        while maker is not None and maker.memory is None and maker.op.type == "Enter":
            passed.append(maker)
            maker = by_op.get(maker.inputs[0].op)
        if maker is None:
            continue
        if maker.memory is None and (maker.kernel.constant or is_kept(maker.op)):
            passed.append(maker)
        elif maker.stays_with is not node.memory and not is_kept(maker.op):
            continue
        yield from passed
