"""Sums of segments of which the host counts the segments ahead, so that a GPU's step is recorded.

How many sums there are says the last one of the ids: for that the host would wait for the device,
in the middle of the step. Where ids follow from what lies on the host, such as feeds, it looks at
them there before the step begins, and refuses those that are wrong. The count then is a value of
the host like others: it tells recordings apart.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tfsession.core.dtypes import int64
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Kernel, find_kernel
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import OUTPUT, Definition, Stand
from tfsession.runtime.partition import Node
from tfsession.runtime.regions import Region

# What makes ids of others: it is done on the host where all that it takes lies there.
_OF_IDS = frozenset(
    {"Cast", "ExpandDims", "Identity", "Pack", "Reshape", "Slice", "Squeeze", "StridedSlice"}
)


@dataclass(slots=True, eq=False)
class Counter(Node):
    """Counts the segments of an operation, on the host."""

    segments: Operation | None = None

    @property
    def blamed(self) -> Operation:
        """The operation whose segments they are."""
        assert self.segments is not None
        return self.segments


def counted(
    region: Region, location: MutableMapping[Tensor, Memory], feeds: Container[Tensor]
) -> None:
    """Let the host count segments ahead, in the operations of a region, where it can."""
    nodes = list(region.all_nodes())
    makers = {tensor: node for node in nodes for tensor in node.op.outputs if tensor not in feeds}
    for group in region.groups.values():
        for place, node in reversed(list(enumerate(group))):
            form = _counted_form(node)
            if form is not None and (counter := _Ahead(makers, location).counter(node)):
                location[counter.op.outputs[0]] = None
                node.kernel = form
                node.inputs = (*node.inputs, counter.op.outputs[0])
                node.input_memories = (*[node.memory] * (len(node.inputs) - 1), None)
                group.insert(place, counter)


def _counted_form(node: Node) -> Kernel | None:
    if node.memory is None or "Segment" not in node.op.type:
        return None
    return find_kernel(node.op.type, node.device.device_type, node.op.attrs, "counted")


class _Ahead:
    """What the host can know of ids before the step of a device begins."""

    def __init__(self, makers: dict[Tensor, Node], location: MutableMapping[Tensor, Memory]):
        self._makers, self._location = makers, location

    def counter(self, node: Node) -> Node | None:
        """What counts the segments of a node on the host; None where it has to wait for them."""
        data, *chosen, ids = node.inputs
        looked = [ids]
        if chosen and chosen[0].op.type != "Unique":  # of that each number is one of its elements
            looked += chosen
        rows = (data._shape or (None,))[0] if len(looked) > 1 else None
        if len(looked) > 1 and rows is None:
            return None
        found = [self._made_on_host(tensor) for tensor in looked]
        if any(makers is None for makers in found):
            return None
        for maker in (maker for makers in found for maker in makers or ()):
            maker.memory = None
            maker.input_memories = (None,) * len(maker.inputs)
            maker.output_memories = (None,) * len(maker.op.outputs)
            self._location.update(dict.fromkeys(maker.op.outputs, None))
        return _counting(node, looked, rows)

    def _made_on_host(self, tensor: Tensor) -> list[Node] | None:
        """The operations of a device that the host does instead to have a tensor; or None."""
        moved: list[Node] = []
        waiting = [tensor]
        for needed in waiting:
            if self._location.get(needed, self) is None:
                continue
            maker = self._makers.get(needed)
            if maker is None or maker.op.type not in _OF_IDS or needed.dtype.is_ref:
                return None
            if maker not in moved:
                moved.append(maker)
                waiting += maker.inputs
        return moved


def _counting(node: Node, looked: list[Tensor], rows: int | None) -> Node:
    made: list[Tensor] = []
    definition = Definition((OUTPUT,) * len(looked), (OUTPUT,))
    op = node.op
    stand = cast(Operation, Stand(op.name, "SegmentCount", op.node_def, looked, made, definition))
    count = Tensor(stand, 0, int64)
    count._shape = ()
    made.append(count)
    kernel = Kernel("SegmentCount", lambda xp, ids, indices=None: _count(ids, indices, rows))
    return Counter(
        stand, node.device, kernel, None, looked, (), (None,) * len(looked), (None,), node.waits,
        segments=op,
    )  # fmt: skip


def _count(ids: Any, indices: Any, rows: int | None) -> Any:
    """How many segments there are; InvalidArgumentError where ids or indices are wrong."""
    for text in _mistakes(ids, indices, rows):
        raise InvalidArgumentError(None, None, text)
    return np.int64(ids[-1] + 1 if ids.size else 0)


def _mistakes(ids: Any, indices: Any, rows: int | None) -> Iterator[str]:
    if indices is not None and indices.ndim != 1:
        yield "indices should be a vector."
    if ids.ndim != 1:
        yield "segment_ids should be a vector."
    if indices is not None:
        if indices.size != ids.size:
            yield "segment_ids and indices should have same size."
        bad = (indices < 0) | (indices >= rows)
        if bad.any():
            at = int(bad.argmax())
            yield f"indices[{at}] == {int(indices[at])} out of range [0, {rows})"
    if (ids[1:] < ids[:-1]).any():
        yield "segment ids are not increasing"
    if ids.size and ids[0] < 0:
        yield (
            "segment ids must be >= 0"
            if indices is not None
            else f"Segment id {ids[0]} out of range [0, {int(ids[-1]) + 1}), possibly because "
            "'segment_ids' input is not sorted."
        )
