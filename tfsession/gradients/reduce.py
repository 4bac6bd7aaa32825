"""Gradients of reductions: what came out of many elements goes back to each of them."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.core.shape import is_fully_defined, num_elements
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, conj
from tfsession.ops.compare import equal
from tfsession.ops.constant import constant, ones_like
from tfsession.ops.cumulative import cumprod, cumsum
from tfsession.ops.elementwise import floordiv, floormod, maximum
from tfsession.ops.reduce import reduce_any, reduce_prod, reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import broadcast_to, expand_dims, rank, reshape, shape, size
from tfsession.ops.transpose import invert_permutation, transpose

no_gradient("All", "Any", "ArgMax", "ArgMin")


def _known_axes(op: Operation) -> list[int] | None:
    """The reduced axes in increasing order, counted from the front, if the graph says so."""
    whole, axes = op.inputs[0]._shape, constant_value(op.inputs[1])
    if whole == ():
        return []
    if axes is None:
        return None
    known = set(axes.reshape(-1).tolist())
    if whole is not None:
        return sorted(axis % len(whole) for axis in known)
    return sorted(known) if min(known, default=0) >= 0 else None


def _is_reduced(op: Operation) -> Tensor:
    """For each dimension of the input, whether it is reduced."""
    ndim = rank(op.inputs[0])
    axes = floormod(cast(reshape(op.inputs[1], [-1]), ndim.dtype) + ndim, ndim)
    return reduce_any(equal(expand_dims(range_(0, ndim), 1), expand_dims(axes, 0)), 1)


def _keeping_dims(op: Operation, value: Tensor) -> Tensor:
    """`value`, shaped as the output, in a shape that broadcasts against the input."""
    if op.attrs["keep_dims"] or op.outputs[0]._shape == ():
        return value
    axes = _known_axes(op)
    if axes is None:
        sizes = shape(op.inputs[0])
        kept = create_op("Select", [_is_reduced(op), ones_like(sizes), sizes])
        return reshape(value, kept)
    whole = op.inputs[0]._shape
    if is_fully_defined(whole):
        assert whole is not None
        return reshape(value, [1 if i in axes else d for i, d in enumerate(whole)])
    for axis in axes:
        value = expand_dims(value, axis)
    return value


def _spread(op: Operation, grad: Tensor) -> Tensor:
    return broadcast_to(_keeping_dims(op, grad), shape(op.inputs[0]))


@gradient("Sum")
def _sum(op: Operation, grad: Any) -> Any:
    return _spread(op, grad), None


@gradient("Mean")
def _mean(op: Operation, grad: Any) -> Any:
    value, output = op.inputs[0], op.outputs[0]
    elements, results = num_elements(value._shape), num_elements(output._shape)
    if elements is not None and results is not None:
        count = constant(elements // max(results, 1), grad.dtype)
    else:
        count = cast(floordiv(size(value), maximum(size(output), 1)), grad.dtype)
    return _spread(op, create_op("RealDiv", [grad, count])), None


@gradient("Max", "Min")
def _extreme(op: Operation, grad: Any) -> Any:
    """Elements that share the extreme share the gradient."""
    chosen = cast(equal(_keeping_dims(op, op.outputs[0]), op.inputs[0]), grad.dtype)
    count = reduce_sum(chosen, op.inputs[1], keepdims=True)
    return chosen * (_keeping_dims(op, grad) / count), None


@gradient("EuclideanNorm")
def _euclidean_norm(op: Operation, grad: Any) -> Any:
    return op.inputs[0] * _keeping_dims(op, grad / op.outputs[0]), None


def _others(value: Tensor, axis: Any) -> Tensor:
    """The product of all elements along an axis but one, for each; zeros do no harm."""
    before = cumprod(value, axis, exclusive=True)
    after = cumprod(value, axis, exclusive=True, reverse=True)
    product: Tensor = conj(before) * conj(after)
    return product


@gradient("Prod")
def _prod(op: Operation, grad: Any) -> Any:
    value, axes = op.inputs[0], _known_axes(op)
    grad = _keeping_dims(op, grad)
    if axes is not None and len(axes) < 2:
        return broadcast_to(grad, shape(value)) * _others(value, axes[0]) if axes else grad, None
    order, count = _reduced_first(op, axes)
    moved = transpose(value, order)
    sizes = shape(moved)
    together = reduce_prod(create_op("Slice", [sizes, [0], [count]]), keepdims=True)
    kept = create_op("Slice", [sizes, [count], [-1]])
    rows = reshape(moved, create_op("ConcatV2", [[together, kept], 0]))
    others = transpose(reshape(_others(rows, 0), sizes), invert_permutation(order))
    return grad * others, None


def _reduced_first(op: Operation, axes: list[int] | None) -> tuple[Tensor, Any]:
    """An order of the input's dimensions with the reduced ones in front, and their number."""
    whole = op.inputs[0]._shape
    if axes is not None and whole is not None:
        kept = [i for i in range(len(whole)) if i not in axes]
        return constant(axes + kept), len(axes)
    reduced = cast(_is_reduced(op), "int32")
    count = reduce_sum(reduced)
    behind = count + cumsum(1 - reduced, exclusive=True)
    place = create_op("Select", [cast(reduced, "bool"), cumsum(reduced, exclusive=True), behind])
    return invert_permutation(place), count
