"""Gradients of joins are splits, and of splits joins."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.join import concat, split
from tfsession.ops.shape import rank, shape
from tfsession.ops.slice import boolean_mask

no_gradient("ConcatOffset")


@gradient("Pack")
def _pack(op: Operation, grad: Any) -> Any:
    return create_op("Unpack", [grad], {"num": op.attrs["N"], "axis": op.attrs["axis"]})


@gradient("Unpack")
def _unpack(op: Operation, *grads: Any) -> Any:
    return create_op("Pack", [list(grads)], {"axis": op.attrs["axis"]})


@gradient("ConcatV2")
def _concat_v2(op: Operation, grad: Any) -> Any:
    return [*_parts(list(op.inputs[:-1]), op.inputs[-1], grad), None]


@gradient("Concat")
def _concat(op: Operation, grad: Any) -> Any:
    return [None, *_parts(list(op.inputs[1:]), op.inputs[0], grad)]


def _parts(values: list[Tensor], axis: Tensor, grad: Any) -> list[Any]:
    """The part of the gradient that belongs to each of the joined values."""
    at = constant_value(axis)
    if isinstance(grad, IndexedSlices):
        if at is None:
            raise ValueError("Can only compute IndexedSlices gradient with statically-known axis")
        return _parts_of_slices(values, int(at), grad)
    if at is None:
        axis = create_op(
            "FloorMod", [axis, create_op("Cast", [rank(values[0])], {"DstT": axis.dtype})]
        )
        sizes = [create_op("GatherV2", [shape(value), axis, 0]) for value in values]
        return _split(grad, create_op("Pack", [sizes]), axis, len(values))
    known = [None if value._shape is None else value._shape[int(at)] for value in values]
    if None not in known:
        return _split(grad, known, int(at), len(values))
    return _split(grad, create_op("Pack", [_sizes(values, int(at))]), int(at), len(values))


def _split(grad: Tensor, sizes: Any, axis: Any, count: int) -> list[Any]:
    if isinstance(axis, Tensor) and axis.dtype.name != "int32":
        axis = create_op("Cast", [axis], {"DstT": "int32"})
    pieces: list[Any] = split(grad, sizes, axis, num=count)
    return pieces


def _sizes(values: list[Tensor], at: int) -> list[Tensor]:
    return [shape(value)[at] for value in values]


def _parts_of_slices(values: list[Tensor], at: int, grad: IndexedSlices) -> list[Any]:
    """Slices divided by index when the first dimension was joined, else each slice divided."""
    ranks = [len(value._shape) for value in values if value._shape is not None]
    if at and (not ranks or at % ranks[0]):
        pieces = _split(grad.values, create_op("Pack", [_sizes(values, at)]), at, len(values))
        return [
            IndexedSlices(piece, grad.indices, shape(value))
            for piece, value in zip(pieces, values, strict=True)
        ]
    parts = []
    start = create_op("Cast", [0], {"DstT": grad.indices.dtype})
    for value in values:
        sizes = create_op("Shape", [value], {"out_type": grad.indices.dtype})
        end = create_op("AddV2", [start, sizes[0]])
        inside = create_op(
            "LogicalAnd",
            [
                create_op("GreaterEqual", [grad.indices, start]),
                create_op("Less", [grad.indices, end]),
            ],
        )
        indices = create_op("Sub", [boolean_mask(grad.indices, inside), start])
        parts.append(IndexedSlices(boolean_mask(grad.values, inside), indices, sizes))
        start = end
    return parts


@gradient("Split")
def _split_gradient(op: Operation, *grads: Any) -> Any:
    return None, concat(list(grads), op.inputs[0])


@gradient("SplitV")
def _split_v_gradient(op: Operation, *grads: Any) -> Any:
    return concat(list(grads), op.inputs[2]), None, None
