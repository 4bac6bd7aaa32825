"""Sizes that the graph does not tell, as symbols: where two are surely the same, this says so.

A placeholder of `[None, 512]` has some size along its first axis. Whatever is computed from it
element by element has the same one there, and its means along the last axis have, too: so gradients
are summed along axes that are known before a step runs, or along none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfsession.core.rules import kernels
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.rewrite_rules import IDENTITIES, Seen

# A number, or a tensor and its axis: the size that this tensor has there.
Size = int | tuple[Tensor, int]
Sizes = tuple[Size, ...]

_LIKE_THE_FIRST = frozenset({*IDENTITIES, "LogSoftmax", "OnesLike", "Softmax", "ZerosLike"})
_SHAPED = {"BroadcastTo": 1, "Fill": 0, "Reshape": 1}
_REDUCTIONS = frozenset({"All", "Any", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"})


def _padded(sizes: Sizes, rank: int) -> Sizes:
    return (1,) * (rank - len(sizes)) + sizes


def _pairs(first: Sizes, second: Sizes) -> Iterator[tuple[Size, Size]]:
    rank = max(len(first), len(second))
    return zip(_padded(first, rank), _padded(second, rank), strict=True)


def _broadcast(every: Sequence[Sizes]) -> Sizes | None:
    """What shapes broadcast to; None where that may be one or the other."""
    rank = max(map(len, every))
    found: list[Size] = []
    for sizes in zip(*(_padded(one, rank) for one in every), strict=True):
        kinds = {size for size in sizes if size != 1}
        numbers = [size for size in kinds if isinstance(size, int)]
        if len(kinds) > 1 and not numbers:
            return None
        found.append(numbers[0] if numbers else kinds.pop() if kinds else 1)
    return tuple(found)


def _reduced(sizes: Sizes, axes: np.ndarray[Any, Any], keeps: bool) -> Sizes:
    gone = {int(axis) % max(len(sizes), 1) for axis in axes.reshape(-1)}
    if keeps:
        return tuple([1 if axis in gone else size for axis, size in enumerate(sizes)])
    return tuple([size for axis, size in enumerate(sizes) if axis not in gone])


def _is_elementwise(op_type: str) -> bool:
    found = kernels.get(op_type) or ()
    return any(k.ufunc is not None or k.elementwise for k in found)


class SymbolicSizes:
    """The sizes of tensors of a step, found when they are asked for."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._found: dict[Tensor, Sizes | None] = {}

    def of(self, tensor: Tensor) -> Sizes | None:
        """The sizes of a tensor; None where not even their number is known."""
        found = self._found
        stack = [tensor]
        while stack:
            top = stack[-1]
            if top in found:
                stack.pop()
                continue
            missing = [t for t in self._sources(top) if t not in found]
            if missing:
                stack += missing
            else:
                found[stack.pop()] = self._find(top)
        return found[tensor]

    def axes_to_sum(
        self, first: Tensor, second: Tensor, dtype: Any
    ) -> list[np.ndarray[Any, Any]] | None:
        """What BroadcastGradientArgs gives for the shapes of two tensors, if that is known.

        Axes of size one in both may or may not be among them: a sum along such changes nothing.
        """
        one, other = self.of(first), self.of(second)
        if one is None or other is None:
            return None
        axes: tuple[list[int], list[int]] = [], []
        for axis, (a, b) in enumerate(_pairs(one, other)):
            if a != b:
                if a != 1 and b != 1:
                    return None
                axes[b == 1].append(axis)
        return [np.array(found, dtype) for found in axes]

    def are_same(self, first: Tensor, second: Tensor) -> bool:
        """Whether two tensors surely have one shape."""
        sizes = self.of(first)
        return sizes is not None and sizes == self.of(second)

    def _sources(self, tensor: Tensor) -> Sequence[Tensor]:
        """The tensors whose sizes say something about those of this one."""
        shape, op = tensor._shape, tensor.op
        if (shape is not None and None not in shape) or self._seen.is_fed(tensor):
            return ()
        if tensor.dtype.is_ref or tensor is not op.outputs[0]:
            return ()
        if op.type in _SHAPED:
            told = self._seen.inputs_of(op)[_SHAPED[op.type]]
            is_shape = told.op.type == "Shape" and not self._seen.is_fed(told)
            return self._seen.inputs_of(told.op) if is_shape else ()
        if op.type in _LIKE_THE_FIRST or op.type in _REDUCTIONS:
            return self._seen.inputs_of(op)[:1]
        if op.type == "MatMul" or _is_elementwise(op.type):
            return self._seen.inputs_of(op)
        return ()

    def _find(self, tensor: Tensor) -> Sizes | None:
        shape, op = tensor._shape, tensor.op
        sources = self._sources(tensor)
        given = [self._found[source] for source in sources]
        told: Sizes | None = None
        if given and None not in given:
            told = self._told(op, [sizes for sizes in given if sizes is not None])
        if shape is None:
            return told
        if told is None or len(told) != len(shape):
            told = tuple([(tensor, axis) for axis in range(len(shape))])
        pairs = zip(shape, told, strict=True)
        return tuple([size if known is None else known for known, size in pairs])

    def _told(self, op: Operation, given: Sequence[Sizes]) -> Sizes | None:
        if op.type in _SHAPED or op.type in _LIKE_THE_FIRST:
            return given[0]
        if op.type in _REDUCTIONS:
            axes = self._seen.value_of(self._seen.inputs_of(op)[1])
            return None if axes is None else _reduced(given[0], axes, op.attrs["keep_dims"])
        if op.type == "MatMul":
            turned, other_turned = op.attrs["transpose_a"], op.attrs["transpose_b"]
            return given[0][bool(turned)], given[1][not other_turned]
        return _broadcast(given)
