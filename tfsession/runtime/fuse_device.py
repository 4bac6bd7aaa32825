"""Which operations of a GPU are computed together: by kernels that are written for them.

What joins is what can be written down: an operation whose kernel, called once with arrays that only
note what is done to them, gives a program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import Any

import numpy as np

from tfsession.core.rules import fusers
from tfsession.devices.program import DTYPES, Call, Known, Program, Value, called
from tfsession.devices.spares import Spares
from tfsession.devices.traced import TRACED, traced_program
from tfsession.devices.traced_array import operand
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import Group, Stretch, in_stretches, is_number
from tfsession.runtime.partition import Node, gives_tuple

# The size of an axis of which the graph knows none.
_ANY_SIZE = 3
# Programs that are remembered, by what they are made of.
_MOST_KNOWN = 4096

_known: dict[Any, Program | None] = {}


class OnDevice(Group):
    """Operations of a GPU that generated kernels compute."""

    __slots__ = ()

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Always."""
        return "True"

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes it, or gives None."""
        assert self.memory is not None
        numbers = {tensor: number for number, tensor in enumerate(self.inputs)}
        calls = []
        for node in self.parts:
            calls.append(_call_of(node, numbers))
            for tensor in node.op.outputs:
                numbers[tensor] = len(numbers)
        results = [numbers[tensor] for tensor in self.op.outputs]
        group = fusers["group"](self.memory.xp, calls, len(self.inputs), results)
        if len(results) > 1:
            return group  # type: ignore[no-any-return]

        def alone(*arrays: Any) -> Any:
            found = group(*arrays)
            return None if found is None else found[0]

        return alone


def fused_on_device(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """As `fuse.fused`, for the operations of a segment of a GPU."""
    return in_stretches(_Stretch, nodes, feeds, is_needed)


class _Stretch(Stretch):
    """Operations of a GPU whose order is only that of their inputs."""

    most = 48

    def _that_join(self) -> list[bool]:
        return [self._joins_others(node) for node in self._nodes]

    def _joins_others(self, node: Node) -> bool:
        if not _is_candidate(node) or any(t in self._feeds for t in node.op.outputs):
            return False
        if not any(self._is_read(tensor) for tensor in node.op.outputs):
            return False
        return _program_of(node, self._feeds) is not None

    def _can_join(self, maker: int, reader: int) -> bool:
        if not (self._joins[maker] and self._joins[reader]):
            return False
        return self._nodes[maker].memory is self._nodes[reader].memory

    def _group(self, members: Sequence[int]) -> Node:
        parts = [self._nodes[index] for index in members]
        if len(parts) == 1:
            program = _program_of(parts[0], self._feeds)
            assert program is not None
            if sum(step.name not in ("literal", "view") for step in program.steps) < 2:
                return parts[0]
        inputs, outputs = self._ends(parts)
        taken = [
            tensor for tensor in inputs if any(_is_given(n, tensor, self._feeds) for n in parts)
        ]
        return OnDevice.of(parts, taken, outputs)


# --- operations as calls --------------------------------------------------------------------------


def _is_candidate(node: Node) -> bool:
    kernel, memory = node.kernel, node.memory
    if memory is None or node.arrival or not kernel.traces:
        return False
    if kernel.stateful or kernel.constant or kernel.forwards or kernel.blocking:
        return False
    if kernel.aliases and kernel.elementwise and len(node.inputs) < 2:
        return False  # a sum of one is that one
    if any(own is not memory for own in node.output_memories):
        return False
    tensors = (*node.inputs, *node.op.outputs)
    return all(is_number(t.dtype.base_dtype) and _name_of(t) in DTYPES for t in tensors)


def _name_of(tensor: Tensor) -> str:
    return np.dtype(tensor.dtype.base_dtype.numpy).name


def _known_value(tensor: Tensor, feeds: Container[Tensor]) -> Any:
    """The value of a constant that has one of its type; None of anything else."""
    is_constant = tensor.op.type == "Const" and tensor not in feeds
    value = tensor.op.attrs["value"] if is_constant else None
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def _is_given(node: Node, tensor: Tensor, feeds: Container[Tensor]) -> bool:
    """Whether a node takes a tensor as an array of the device, whose value is not known."""
    if tensor not in node.inputs:
        return False
    memory = node.input_memories[list(node.inputs).index(tensor)]
    if memory is None:
        return False
    value = _known_value(tensor, feeds)
    return value is None or bool(value.ndim)


def _call_of(node: Node, numbers: dict[Tensor, int]) -> Call:
    """A node, its inputs numbered; those that have no number are known."""
    arguments: list[int | Known] = []
    for tensor, memory in zip(node.inputs, node.input_memories, strict=True):
        if tensor in numbers and memory is not None:
            arguments.append(numbers[tensor])
        else:
            value = np.asarray(tensor.op.attrs["value"])
            arguments.append(Known(value, True) if memory is None else Known(value[()]))
    op = node.op

    def bind(xp: Any) -> Callable[..., Any]:
        return node.kernel.bind(xp, op.op_def, op.attrs)

    return Call(bind, tuple(arguments), len(op.outputs), gives_tuple(op.op_def))


# --- what can be written down ---------------------------------------------------------------------


def _program_of(node: Node, feeds: Container[Tensor]) -> Program | None:
    """The program of a node for arrays as the graph knows them; None if it has none."""
    given = [tensor for tensor in dict.fromkeys(node.inputs) if _is_given(node, tensor, feeds)]
    unknown = [
        tensor
        for tensor, memory in zip(node.inputs, node.input_memories, strict=True)
        if memory is None and _known_value(tensor, feeds) is None
    ]
    if unknown:
        return None
    numbers = {tensor: number for number, tensor in enumerate(given)}
    call = _call_of(node, numbers)
    shapes = _shapes(node, given)
    values = [Value(_name_of(tensor), shape) for tensor, shape in zip(given, shapes, strict=True)]
    key = (node.kernel, tuple(values), _told(node, call))
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = _traced(call, values, len(node.op.outputs))
    return _known[key]


def _told(node: Node, call: Call) -> Any:
    """What else a program depends on: what is known, and attributes."""
    known = [
        argument if isinstance(argument, int) else (argument.value.dtype, argument.value.tolist())
        for argument in call.arguments
    ]
    if node.kernel.ufunc is not None:
        return repr(known)
    attrs = [(name, node.op.attrs[name]) for name in node.kernel.keywords(node.op.op_def)]
    return repr((known, attrs))


def _traced(call: Call, values: Sequence[Value], outputs: int) -> Program | None:
    def function(*inputs: Any) -> list[Any]:
        numbers = [len(inputs) + output for output in range(outputs)]
        return [operand(result) for result in called([call], numbers, TRACED, inputs, operand)]

    try:
        with np.errstate(all="ignore"):
            return traced_program(function, values)
    except Exception:
        return None  # what is wrong with it shows when it runs


def _shapes(node: Node, given: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """Shapes that the inputs may have, as far as the graph tells: those of one kind fit."""
    kind, ranks = node.kernel.elementwise, [len(t._shape or ()) for t in given]
    rank = max(ranks, default=0)
    found = []
    for tensor in given:
        shape = tensor._shape
        if shape is None:
            shape = (None,) * (rank or 2) if kind != "broadcast" else (1,)
        found.append([_size(size, kind) for size in shape])
    if kind != "broadcast":
        for axis in range(rank):
            known = [s[axis] for s in found if len(s) == rank and s[axis] != _ANY_SIZE]
            for sizes in found:
                if len(sizes) == rank and known:
                    sizes[axis] = known[0]
    if kind == "bias" and len(found) == 2 and found[1]:
        data_format = node.op.attrs.get("data_format", b"NHWC")
        found[1][0] = found[0][1 if data_format.startswith(b"NC") else -1]
    return [tuple(sizes) for sizes in found]


def _size(size: int | None, kind: str) -> int:
    if size is None:
        return 1 if kind == "broadcast" else _ANY_SIZE
    return size
