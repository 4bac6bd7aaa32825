"""Indices that a GPU makes distinct without telling how many there are: so a step can be recorded.

`Unique` gives as many elements as its content says, which the host would have to know. Where all
that follows only updates rows of variables, as behind the gradient of an embedding, it may as well
give as many as it takes, -1 for those that are not there: what is computed of them goes nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

import numpy as np

from tfsession.core.rules import Kernel, find_kernel
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node, Segment


class _Mark(Enum):
    """What a tensor has to do with elements that are not there."""

    INDICES = auto()  # -1 for those
    NUMBERS = auto()  # of indices, those that are not there among them
    ROWS = auto()  # anything for those
    SHAPE = auto()  # begins with how many there are with them
    COUNT = auto()  # that


Marks = Mapping[int, _Mark]

# What gives distinct indices: as they are, or as those of sums.
_SUMS = frozenset(f"SparseSegment{kind}GradV2" for kind in ("Sum", "Mean", "SqrtN"))
_STARTS = _SUMS | {"Unique"}
_LOOK_UPS = frozenset({"Gather", "GatherV2", "ResourceGather"})
# Inputs with a row for each index.
_OF_ROWS = frozenset({"updates", "grad", "delta"})
_SCATTERS = frozenset(
    f"{where}Scatter{verb}"
    for where in ("", "Resource")
    for verb in ("Add", "Sub", "Min", "Max", "Update")
)


def padded(segments: list[Segment], is_needed: Callable[[Tensor], bool]) -> list[Segment]:
    """The segments, with padded kernels in the place of others where nobody sees that.

    Args:
        segments: those of a region, in an order in which they can run.
        is_needed: whether a tensor is read behind them, or is fed.
    """
    if not any(node.op.type in _STARTS for segment in segments for node in segment.nodes):
        return segments
    nodes = [node for segment in segments for node in segment.nodes]
    found = _Padding(nodes, is_needed).kernels()
    return [_with(found, segment) for segment in segments] if found else segments


def _with(found: Mapping[Operation, Kernel], segment: Segment) -> Segment:
    nodes = [
        replace(node, kernel=found[node.op]) if node.op in found else node for node in segment.nodes
    ]
    return replace(segment, nodes=nodes)


class _Padding:
    """Follows what comes of distinct indices through the operations of a region."""

    def __init__(self, nodes: Sequence[Node], is_needed: Callable[[Tensor], bool]) -> None:
        self._nodes = nodes
        self._is_needed = is_needed
        self._readers: dict[Tensor, list[int]] = {}
        for number, node in enumerate(nodes):
            for tensor in dict.fromkeys(node.inputs):
                self._readers.setdefault(tensor, []).append(number)

    def kernels(self) -> dict[Operation, Kernel]:
        """The kernels that take the place of others."""
        found: dict[Operation, Kernel] = {}
        # What stands behind may be padded by itself where what stands before may not.
        for number, node in reversed(list(enumerate(self._nodes))):
            # One that takes nothing gives what was computed before the step.
            if node.op.type in _STARTS and node.inputs:
                found |= self._behind(number) or {}
        return found

    def _behind(self, first: int) -> dict[Operation, Kernel] | None:
        """The kernels for an operation and for all that follows; None if it cannot be padded."""
        marks: dict[Tensor, _Mark] = {}
        found: dict[Operation, Kernel] = {}
        waiting = {first}
        while waiting:
            number = min(waiting)
            waiting.discard(number)
            node = self._nodes[number]
            given = {i: marks[t] for i, t in enumerate(node.inputs) if t in marks}
            made = _marked(node, given)
            if made is None:
                return None
            form = _form(node, given)
            if form is not None:
                found[node.op] = form
            for output, mark in made.items():
                tensor = node.op.outputs[output]
                if self._is_needed(tensor):
                    return None
                marks[tensor] = mark
                waiting.update(self._readers.get(tensor, ()))
        return found


def _form(node: Node, given: Marks) -> Kernel | None:
    if node.op.type not in _STARTS and not _is_row_update(node):
        return None
    return find_kernel(node.op.type, node.device.device_type, node.op.attrs, "padded")


def _is_row_update(node: Node) -> bool:
    return "SparseApply" in node.op.type


def _marked(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """The marks of what an operation makes of marked inputs; None if it must not get such."""
    if _is_row_update(node) or node.op.type in _SCATTERS:
        return {} if _updates_rows(node, given) else None
    if node.device.device_type == "CPU":
        return None
    rule = _RULES.get(node.op.type)
    if rule is not None:
        return rule(node, given)
    return _of_each(node, given)


def _updates_rows(node: Node, given: Marks) -> bool:
    """Whether indices are padded, and so are the rows beside them, and nothing else is."""
    if node.memory is None:
        return False  # the host looks at indices
    if _is_row_update(node) and _form(node, given) is None:
        return False
    for place, arg in enumerate(node.op.op_def.inputs):
        mark = given.get(place)
        if arg.name == "indices" or mark is _Mark.INDICES:
            if mark is not _Mark.INDICES or arg.name != "indices":
                return False
        elif arg.name in _OF_ROWS:
            if mark is not _Mark.ROWS and node.inputs[place]._shape != ():
                return False
        elif mark is not None:
            return False
    return True


def _unique(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """Of what is padded already all who are not there are one index: -1."""
    if _form(node, given) is None or not given.items() <= {0: _Mark.INDICES}.items():
        return None
    return {0: _Mark.INDICES, 1: _Mark.NUMBERS} if given else {0: _Mark.INDICES}


def _distinct_sums(node: Node, given: Marks) -> dict[int, _Mark] | None:
    return None if given or _form(node, given) is None else {0: _Mark.ROWS, 1: _Mark.INDICES}


def _rows_of(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """Rows of a table by indices, nothing for those that are not there; or by numbers of rows."""
    rows, places = given.get(0), given.get(1)
    if node.memory is None or set(given) - {0, 1} or node.op.attrs.get("batch_dims"):
        return None
    if node.op.type == "GatherV2" and _known(node.inputs[2]) != [0]:
        return None
    if rows is None and places is _Mark.INDICES:
        return {0: _Mark.ROWS}
    return {} if _are_numbered(node, given) else None


def _are_numbered(node: Node, given: Marks) -> bool:
    """Whether rows are taken by numbers of which each is that of a row that is there."""
    if given.get(0) is not _Mark.ROWS or not set(given) <= {0, 1}:
        return False
    if 1 in given:
        return given[1] is _Mark.NUMBERS
    rows, numbers = node.inputs[0], node.inputs[1]
    while rows.op.type == "Identity":
        rows = rows.op.inputs[0]
    is_looked_up = rows.op.type in _LOOK_UPS and numbers.op.type == "Unique"
    return is_looked_up and rows.op.inputs[1] is numbers.op.outputs[0] is not numbers


def _sums_of_rows(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """Sums of rows by their numbers; those that are not there have none."""
    is_unseen = node.kernel.form == "counted" and node.memory is not None
    return {} if is_unseen and _are_numbered(node, given) else None


def _gradients_of_rows(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """The gradient of each row: anything for those that are not there."""
    marks = {place: mark for place, mark in given.items() if place != 1}
    is_numbered = given.get(1) in (None, _Mark.NUMBERS)
    fits = node.memory is not None and is_numbered and marks == {3: _Mark.COUNT}
    return {0: _Mark.ROWS} if fits else None


def _shape(node: Node, given: Marks) -> dict[int, _Mark] | None:
    return {0: _Mark.SHAPE} if given[0] in (_Mark.INDICES, _Mark.ROWS) else None


def _first_of(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """The first number of a shape, cut out."""
    is_shape = given == {0: _Mark.SHAPE} and _known(node.inputs[1]) == [0]
    masks = [node.op.attrs[f"{name}_mask"] for name in ("shrink_axis", "new_axis", "ellipsis")]
    return {0: _Mark.COUNT} if is_shape and masks == [1, 0, 0] else None


def _size(node: Node, given: Marks) -> dict[int, _Mark] | None:
    return {0: _Mark.COUNT} if given[0] is _Mark.INDICES else None


def _in_front(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """A shape made of how many there are and of what stands behind."""
    if node.op.type == "ConcatV2":
        fits = given == {0: _Mark.SHAPE} and _known(node.inputs[-1]) == [0]
    else:
        fits = given == {0: _Mark.COUNT}
    return {0: _Mark.SHAPE} if fits else None


def _known(tensor: Tensor) -> list[int] | None:
    return np.ravel(tensor.op.attrs["value"]).tolist() if tensor.op.type == "Const" else None


def _summed(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """As many sums as there are indices; rows that are not there go to an index that is not."""
    data, ids, count = (given.get(place) for place in range(3))
    if count is not _Mark.COUNT or node.memory is None:
        return None
    fits = (data is None and ids is None) or (data is _Mark.ROWS and ids is _Mark.NUMBERS)
    return {0: _Mark.ROWS} if fits else None


def _through(node: Node, given: Marks) -> dict[int, _Mark] | None:
    return {0: given[0]}


def _same_rows(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """A shape that is the old one: how many rows there are is left open."""
    if given == {0: _Mark.ROWS, 1: _Mark.SHAPE}:
        return {0: _Mark.ROWS}
    if given == {0: _Mark.INDICES, 1: _Mark.SHAPE}:
        return {0: _Mark.INDICES} if len(node.op.outputs[0]._shape or ()) == 1 else None
    if given == {0: _Mark.COUNT}:
        return {0: _Mark.SHAPE} if _known(node.inputs[1]) == [1] else None
    shape, is_alone = node.inputs[0]._shape, set(given) == {0}
    if not is_alone or given[0] not in (_Mark.INDICES, _Mark.ROWS) or not shape:
        return None
    return {0: given[0]} if _known(node.inputs[1]) == [-1, *shape[1:]] else None


def _of_each(node: Node, given: Marks) -> dict[int, _Mark] | None:
    """Element-wise operations between rows, and with numbers."""
    if node.kernel.elementwise != "broadcast" or len(node.op.outputs) != 1:
        return None
    for place, tensor in enumerate(node.inputs):
        if given.get(place) is not _Mark.ROWS and (place in given or tensor._shape != ()):
            return None
    return {0: _Mark.ROWS}


_RULES: dict[str, Callable[[Node, Marks], dict[int, _Mark] | None]] = {
    **dict.fromkeys(_SUMS, _distinct_sums),
    **dict.fromkeys(_LOOK_UPS, _rows_of),
    **{f"SparseSegment{kind}": _sums_of_rows for kind in ("Sum", "Mean", "SqrtN")},
    **{f"SparseSegment{kind}Grad": _gradients_of_rows for kind in ("Sum", "Mean", "SqrtN")},
    "Identity": _through,
    **dict.fromkeys(("ConcatV2", "ExpandDims", "Pack"), _in_front),
    "Reshape": _same_rows,
    "Shape": _shape,
    "Size": _size,
    "StridedSlice": _first_of,
    "Unique": _unique,
    "UnsortedSegmentSum": _summed,
}
