"""Operations that give one of their inputs, bit by bit: for each type, a rule that tells which.

A rule gives None where it is not sure: where a shape that matters is not known, where the sign of a
zero may change, or where elements may come to lie in another order, in which a reduction that
follows would add them up, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tfsession.core.rules import kernels
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

Array = np.ndarray[Any, Any]


class Seen(Protocol):
    """What is known of the operations so far."""

    def value_of(self, tensor: Tensor) -> Array | None:
        """The value of a tensor that is known on the host."""

    def inputs_of(self, op: Operation) -> Sequence[Tensor]:
        """What an operation reads."""

    def is_fed(self, tensor: Tensor) -> bool:
        """Whether a tensor is fed, whatever would make it."""

    def are_same_sizes(self, first: Tensor, second: Tensor) -> bool:
        """Whether two tensors surely have one shape."""


# From an operation, what it reads, and what is known: the tensor that it gives.
Rule = Callable[[Operation, Sequence[Tensor], Seen], Tensor | None]

rules: dict[str, Rule] = {}

IDENTITIES = frozenset({"Identity", "PreventGradient", "StopGradient"})
# Rules that need to know no value.
NEEDS_NO_CONSTANT = IDENTITIES | {
    *("AccumulateNV2", "AddN", "BroadcastTo", "Cast", "LogicalNot", "Neg", "Reshape"),
}
# Their results lie in memory without gaps.
_DENSE = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})


def _gives_input(*op_types: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        rules.update(dict.fromkeys(op_types, rule))
        return rule

    return register


@_gives_input(*IDENTITIES)
def _identity(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    return inputs[0]


@_gives_input("AddN", "AccumulateNV2")
def _sum_of_one(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    return inputs[0] if len(inputs) == 1 else None


# --- arithmetic -----------------------------------------------------------------------------------


def _is_all(value: Array, number: int, *, negative_zero: bool = False) -> bool:
    """Whether a value is one number throughout; of a float zero, with which sign."""
    if not value.size or value.item(0) != number or value.dtype.kind not in "iufV":
        return False
    if not (value == number).all():
        return False
    if number or value.dtype.kind in "iu":
        return True
    return bool((np.signbit(value) == negative_zero).all())


def _unchanged(tensor: Tensor, value: Array, seen: Seen) -> Tensor | None:
    """`tensor`, if a ufunc of it and of a neutral element gives it as it is."""
    shape = tensor._shape
    if not value.ndim:
        is_same = True
    elif shape is None or len(shape) < value.ndim:
        is_same = False
    else:
        behind = zip(shape[::-1], value.shape[::-1], strict=False)
        is_same = all(size == 1 or size == own for own, size in behind)
    return tensor if is_same and _is_dense(tensor, seen) else None


def _is_dense(tensor: Tensor, seen: Seen) -> bool:
    """Whether the elements surely lie side by side: what a ufunc gives then lies as they do."""
    while tensor.op.type in IDENTITIES and not seen.is_fed(tensor):  # as gradients are gated
        (tensor,) = seen.inputs_of(tensor.op)
    if seen.is_fed(tensor):
        return False
    if tensor.op.type in _DENSE:
        return True
    found = kernels.get(tensor.op.type) or ()
    return bool(found) and all(kernel.ufunc is not None for kernel in found)


@_gives_input("Add", "AddV2", "Mul")
def _neutral(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    is_product = op.type == "Mul"
    for tensor, other in (inputs, inputs[::-1]):
        value = seen.value_of(other)
        if value is None:
            value = _filled(tensor, other, seen)
        if value is None:
            continue
        # -0.0 is what adds nothing to -0.0.
        if _is_all(value, 1) if is_product else _is_all(value, 0, negative_zero=True):
            return _unchanged(tensor, value, seen)
    return None


def _filled(tensor: Tensor, other: Tensor, seen: Seen) -> Array | None:
    """The number of which a tensor is full that surely has the shape of `tensor`."""
    if other.op.type != "Fill" or seen.is_fed(other):
        return None
    value = seen.value_of(seen.inputs_of(other.op)[1])
    return value if value is not None and seen.are_same_sizes(tensor, other) else None


@_gives_input("Sub")
def _without_nothing(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    value = seen.value_of(inputs[1])
    if value is None or not _is_all(value, 0):
        return None
    return _unchanged(inputs[0], value, seen)


@_gives_input("Div", "RealDiv")
def _by_one(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    value = seen.value_of(inputs[1])
    if value is None or not _is_all(value, 1):
        return None
    return _unchanged(inputs[0], value, seen)


@_gives_input("FloorDiv")
def _whole_by_one(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    return _by_one(op, inputs, seen) if op.outputs[0].dtype.is_integer else None


@_gives_input("LogicalNot", "Neg")
def _twice(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    inner = inputs[0].op
    if inner.type != op.type or seen.is_fed(inputs[0]):
        return None
    (tensor,) = seen.inputs_of(inner) or (None,)
    if tensor is None or tensor.dtype.is_ref or not _is_dense(tensor, seen):
        return None
    return tensor


@_gives_input("Cast")
def _same_type(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    is_same = op.attrs["SrcT"] is op.attrs["DstT"]
    return inputs[0] if is_same and _is_dense(inputs[0], seen) else None


@_gives_input("All", "Any", "Max", "Mean", "Min", "Prod", "Sum")
def _over_nothing(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    axes = seen.value_of(inputs[1])
    # A complex infinity is no number any more when it is multiplied or divided by one.
    if axes is None or axes.size or inputs[0].dtype.is_complex:
        return None
    return inputs[0] if _is_dense(inputs[0], seen) else None


# --- shapes ---------------------------------------------------------------------------------------


def _rank_of(tensor: Tensor) -> int | None:
    return None if tensor._shape is None else len(tensor._shape)


@_gives_input("BroadcastTo", "Reshape")
def _same_shape(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    shape, wanted = inputs[0]._shape, seen.value_of(inputs[1])
    if wanted is None and inputs[1].op.type == "Shape" and not seen.is_fed(inputs[1]):
        like = seen.inputs_of(inputs[1].op)[0]
        return inputs[0] if seen.are_same_sizes(inputs[0], like) else None
    if shape is None or wanted is None or wanted.ndim != 1 or tuple(wanted.tolist()) != shape:
        return None
    return inputs[0]


@_gives_input("Transpose")
def _same_order(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    tensor, order = inputs[0], _order_of(inputs, seen)
    if order is None:
        return None
    if order == list(range(len(order))):
        return tensor
    if tensor.op.type != "Transpose" or seen.is_fed(tensor):
        return None
    first = seen.inputs_of(tensor.op)
    before = _order_of(first, seen) if first and not first[0].dtype.is_ref else None
    if before is None or [before[axis] for axis in order] != list(range(len(order))):
        return None
    return first[0]


def _order_of(inputs: Sequence[Tensor], seen: Seen) -> list[int] | None:
    """The order of axes that a Transpose makes, where it surely does."""
    order, rank = seen.value_of(inputs[1]), _rank_of(inputs[0])
    if order is None or rank is None or order.shape != (rank,):
        return None
    axes = [int(axis) for axis in order]
    return axes if sorted(axes) == list(range(rank)) else None


@_gives_input("Tile")
def _once(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    counts, rank = seen.value_of(inputs[1]), _rank_of(inputs[0])
    if counts is None or rank is None or counts.shape != (rank,) or not (counts == 1).all():
        return None
    return inputs[0] if _is_dense(inputs[0], seen) else None


@_gives_input("MirrorPad", "Pad", "PadV2")
def _nothing_around(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    pads, rank = seen.value_of(inputs[1]), _rank_of(inputs[0])
    if pads is None or rank is None or pads.shape != (rank, 2) or pads.any():
        return None
    if len(inputs) > 2:
        around = seen.value_of(inputs[2])
        if around is None or around.ndim:
            return None
    return inputs[0] if _is_dense(inputs[0], seen) else None


@_gives_input("Slice")
def _whole(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    begin, size, shape = seen.value_of(inputs[1]), seen.value_of(inputs[2]), inputs[0]._shape
    if begin is None or size is None or shape is None or begin.any():
        return None
    if begin.shape != (len(shape),) or size.shape != begin.shape:
        return None
    takes_all = all(s == -1 or s == own for s, own in zip(size.tolist(), shape, strict=True))
    return inputs[0] if takes_all else None


@_gives_input("StridedSlice")
def _whole_by_masks(op: Operation, inputs: Sequence[Tensor], seen: Seen) -> Tensor | None:
    attrs, rank, strides = op.attrs, _rank_of(inputs[0]), seen.value_of(inputs[3])
    if seen.value_of(inputs[1]) is None or seen.value_of(inputs[2]) is None:
        return None
    if strides is None or rank is None or strides.ndim != 1 or strides.size > rank:
        return None
    everything = (1 << strides.size) - 1
    if attrs["begin_mask"] & attrs["end_mask"] & everything != everything:
        return None
    if attrs["ellipsis_mask"] or attrs["new_axis_mask"] or attrs["shrink_axis_mask"]:
        return None
    return inputs[0] if (strides == 1).all() else None
