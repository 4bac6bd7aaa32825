"""Waits: the host waits for a device once for all that it reads of what is computed by then.

A segment of the host begins with copies from devices, and with a wait for each of these. What a
later segment or a fetch needs of such a device, and what is there already, is copied along: so a
step that reads ten values of one device need not wait for it ten times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from tfsession.devices.transfer import Memory
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Layout, Segment, Transfer


def share_waits(layout: Layout, fetched: Sequence[Transfer] = ()) -> list[Transfer]:
    """Let each copy to the host be made at the first wait for its device after what makes it.

    Args:
        layout: its segments are changed, those of its loops as well.
        fetched: the copies that fetches need at the end of the step.

    Returns:
        Those of `fetched` that are still to be made then; segments make the others.
    """
    for body in layout.bodies:
        share_waits(body)
    if not any(segment.transfers for segment in layout.segments):
        return list(fetched)
    carriers = _Carriers(layout)
    for index, segment in enumerate(layout.segments):
        segment.transfers = [t for t in segment.transfers if not carriers.carry(t, segment.waits)]
        carriers.add(index, segment)
    waits = layout.region.waits
    return [t for t in fetched if not carriers.carry(t, waits.get(t.tensor, 0))]


class _Carriers:
    """The segments that wait for devices so far, and what they copy."""

    def __init__(self, layout: Layout) -> None:
        self._segments = layout.segments
        self._waits = layout.region.waits
        # Where each value is made in new memory: no assignment changes it before it is copied.
        self._made: dict[Tensor, int] = {
            tensor: index
            for index, segment in enumerate(layout.segments)
            for node in segment.nodes
            if not node.kernel.aliases
            for tensor in node.op.outputs
            if not tensor.dtype.is_ref
        }
        self._by_source: dict[int, list[int]] = {}
        self._copied: dict[Tensor, list[int]] = {}

    def add(self, index: int, segment: Segment) -> None:
        """A segment waits for the devices that its copies come from."""
        for transfer in segment.transfers:
            if transfer.destination is None:
                self._copied.setdefault(transfer.tensor, []).append(index)
                numbers = self._by_source.setdefault(id(transfer.source), [])
                if numbers[-1:] != [index]:
                    numbers.append(index)

    def carry(self, transfer: Transfer, waits: int) -> bool:
        """Whether an earlier segment makes a copy, for a reader that waits for the bits `waits`."""
        tensor = transfer.tensor
        if transfer.destination is not None or tensor not in self._made:
            return False
        copied = self._copied.get(tensor, [])
        if any(self._fits(index, tensor, waits) for index in copied):
            return True
        index = self._find(tensor, transfer.source, waits)
        if index is None:
            return False
        self._segments[index].transfers.append(transfer)
        self._copied.setdefault(tensor, []).append(index)
        return True

    def _find(self, tensor: Tensor, source: Memory, waits: int) -> int | None:
        numbers = self._by_source.get(id(source), [])
        behind = numbers[bisect_right(numbers, self._made[tensor]) :]
        return next((index for index in behind if self._fits(index, tensor, waits)), None)

    def _fits(self, index: int, tensor: Tensor, waits: int) -> bool:
        """Whether a segment runs whenever the reader does, and only when the value is there."""
        own = self._segments[index].waits
        return not self._waits.get(tensor, 0) & ~own and not own & ~waits
