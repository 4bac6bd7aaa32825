"""The gradient of Einstein's summation: another summation, with the gradient for one input."""

from __future__ import annotations

from typing import Any

from tfsession.core.einsum import ELLIPSIS, Labels, parse_equation
from tfsession.core.rules import gradient
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import conj
from tfsession.ops.join import concat
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import broadcast_to, expand_dims, reshape
from tfsession.ops.shape import shape as shape_of


def _einsum(inputs: list[Labels], output: Labels, tensors: list[Tensor]) -> Tensor:
    terms = ",".join("".join(labels) for labels in inputs)
    equation = f"{terms}->{''.join(output)}"
    result: Tensor = create_op("Einsum", [tensors], {"equation": equation})
    return result


@gradient("Einsum")
def _gradient(op: Operation, grad: Any) -> Any:
    inputs, output = parse_equation(op.attrs["equation"].decode())
    grads = []
    for index, labels in enumerate(inputs):
        others = [(i, names) for i, names in enumerate(inputs) if i != index]
        terms = [output, *(names for _, names in others)]
        factors = [grad, *(conj(op.inputs[i]) for i, _ in others)]
        grads.append(_to_input(op, index, labels, terms, factors))
    return grads


def _to_input(
    op: Operation, index: int, labels: Labels, terms: list[Labels], factors: list[Tensor]
) -> Tensor:
    """The product of `factors` with the labels of one input.

    What was summed over for this input alone is repeated; repeated labels lie on a diagonal.
    """
    tensor = op.inputs[index]
    distinct = tuple(dict.fromkeys(name for name in labels if name != ELLIPSIS))
    ellipsis = (ELLIPSIS,) if any(ELLIPSIS in names for names in (*terms, labels)) else ()
    known = {name for names in terms for name in names}
    kept = tuple(name for name in distinct if name in known)
    alone = tuple(name for name in distinct if name not in known)
    result = _einsum(terms, ellipsis + kept, factors)
    if ellipsis:
        result = _unbroadcast(op, index, labels, result, len(kept))
    if alone:
        sizes = create_op("GatherV2", [shape_of(tensor), _axes(labels, alone, tensor), 0])
        target = concat([shape_of(result), sizes], 0)
        for _ in alone:
            result = expand_dims(result, -1)
        result = broadcast_to(result, target)
    own = ellipsis if ELLIPSIS in labels else ()
    if own + kept + alone != labels:
        result = _einsum([own + kept + alone], labels, [result])
    return result


def _axes(labels: Labels, wanted: Labels, tensor: Tensor) -> Any:
    """The axes of some labels, counted from the end behind an ellipsis if the rank is not known."""
    middle = labels.index(ELLIPSIS) if ELLIPSIS in labels else len(labels)
    places = [labels.index(name) for name in wanted]
    if all(place < middle for place in places):
        return places
    if tensor._shape is not None:
        covered = len(tensor._shape) - len(labels)
        return [place if place < middle else place + covered for place in places]
    rank = create_op("Rank", [tensor])
    return [place if place < middle else rank - (len(labels) - place) for place in places]


def _covered(shape: Shape, labels: Labels) -> Shape:
    """The dimensions under the ellipsis."""
    if ELLIPSIS not in labels:
        return ()
    if shape is None:
        return None
    at = labels.index(ELLIPSIS)
    return shape[at : at + len(shape) - len(labels) + 1]


def _unbroadcast(op: Operation, index: int, labels: Labels, result: Tensor, kept: int) -> Tensor:
    """`result` summed over the leading dimensions along which the input was broadcast."""
    own = _covered(op.inputs[index]._shape, labels)
    shape = result._shape
    if own is not None and shape is not None:
        broadcast = shape[: len(shape) - kept]
        if own == broadcast and None not in own:
            return result
        if own == ():
            return reduce_sum(result, list(range(len(broadcast)))) if broadcast else result
    at = labels.index(ELLIPSIS) if ELLIPSIS in labels else 0
    sizes = shape_of(op.inputs[index])
    rank = create_op("Size", [sizes])
    count = rank - (len(labels) - 1) if ELLIPSIS in labels else 0
    covered = create_op("Slice", [sizes, [at], [count]])
    dims = shape_of(result)
    ahead = create_op("Size", [dims]) - kept
    leading = create_op("Slice", [dims, [0], [ahead]])
    axes, _ = create_op("BroadcastGradientArgs", [covered, leading])
    rest = create_op("Slice", [dims, [ahead], [-1]])
    return reshape(reduce_sum(result, axes), concat([covered, rest], 0))
