"""Which operations of a GPU's segments can be recorded: segments are cut where some cannot."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from tfsession.core.dtypes import resource, string, variant
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node, Segment

# So many operations are worth a recording: to replay one costs as much as a launch or two.
_WORTH = 2


def cut_to_record(segments: Sequence[Segment], refused: Container[str]) -> Iterator[Segment]:
    """The segments, those of GPUs cut into what is recorded and what is not.

    `refused` are types of operations that a device would not record.
    """
    for segment in segments:
        if segment.memory is None or segment.arrival:
            yield segment
        else:
            yield from _pieces(segment, refused)


def _pieces(segment: Segment, refused: Container[str]) -> Iterator[Segment]:
    runs: list[tuple[bool, list[Node]]] = []
    for is_recorded, nodes in _runs(segment.nodes, refused):
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


def _runs(nodes: Sequence[Node], refused: Container[str]) -> Iterator[tuple[bool, list[Node]]]:
    def can_be(node: Node) -> bool:
        if node.kernel.constant:
            return True
        return node.op.type not in refused and _works_on_arrays(node)

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
    dtype = tensor.dtype
    if dtype.is_ref:
        return dtype.base_dtype is not string
    return dtype is not variant and (dtype is not resource or tensor.op.type == "VarHandleOp")
