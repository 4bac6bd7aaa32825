"""Einstein's summation: sums of products over labelled dimensions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.einsum import ELLIPSIS, Labels, parse_equation, parse_subscript
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims
from tfsession.graph.tensor import Tensor


def _label_dims(
    index: int, labels: Labels, shape: Shape, equation: str, dims: dict[str, int | None]
) -> Shape:
    """Enter the dimensions of one input by label; gives the shape that its ellipsis covers."""
    if shape is None:
        for label in labels:
            dims.setdefault(label, None)
        return None if ELLIPSIS in labels else ()
    named = len(labels) - (ELLIPSIS in labels)
    if len(shape) < named or (len(shape) > named and ELLIPSIS not in labels):
        least = " at least" if ELLIPSIS in labels else ""
        raise ValueError(
            f"Shape must be{least} rank {named} but is rank {len(shape)}\n\t for {index}th input "
            f"and equation: {equation}"
        )
    covered: Shape = ()
    at = 0
    for label in labels:
        if label == ELLIPSIS:
            covered = shape[at : at + len(shape) - named]
            at += len(covered)
            continue
        dims[label] = merge_dims(dims.get(label), shape[at])
        at += 1
    return covered


def _einsum_shape(op: Operation) -> list[Shape]:
    equation = op.attrs["equation"].decode()
    inputs, output = parse_equation(equation)
    if len(inputs) != len(op.inputs):
        raise ValueError(
            f"Expected {len(inputs)} inputs for equation {equation} but got: {len(op.inputs)}"
        )
    dims: dict[str, int | None] = {}
    broadcast: Shape = ()
    for i, (labels, tensor) in enumerate(zip(inputs, op.inputs, strict=True)):
        covered = _label_dims(i, labels, tensor._shape, equation, dims)
        broadcast = shape_lib.broadcast(broadcast, covered)
    if ELLIPSIS not in output and broadcast:
        raise ValueError(
            f"Shape must be at most rank 0 but is rank {len(broadcast)}\n\t for einsum equation "
            f"'{equation}' without ellipsis (...) in the output subscripts where input(s) have "
            "non-empty broadcasting shape"
        )
    if ELLIPSIS in output and broadcast is None:
        return [None]
    result: list[int | None] = []
    for label in output:
        result.extend((broadcast or ()) if label == ELLIPSIS else (dims[label],))
    return [tuple(result)]


define_op(
    "Einsum",
    inputs=["inputs: N * T"],
    outputs=["output: T"],
    attrs=["equation: string", "N: int >= 1", "T: type"],
    shape=_einsum_shape,
)

_SUBSCRIPTS = re.compile(r"[a-zA-Z.]*")
_OPTIONS = {"name", "optimize", "greedy"}


@export("einsum", "linalg.einsum")
def einsum(equation: str, *inputs: Any, **kwargs: Any) -> Tensor:
    """Sums of products of elements, as an equation such as `"ij,jk->ik"` says.

    Each letter is a dimension; letters that the output lacks are summed over. `...` stands for
    dimensions that broadcast. Without `->` the output has the letters that occur once, in order.
    More than two tensors are contracted two by two.

    Args:
        equation: the subscripts of each input, and of the output.
        inputs: the tensors, of one dtype.
        kwargs: `name` of the operation; `optimize`, which is taken and changes nothing.

    Raises:
        ValueError: the equation does not fit itself or the tensors.
        TypeError: an unknown keyword argument.
    """
    unknown = set(kwargs) - _OPTIONS
    if unknown:
        raise TypeError(
            f"Invalid keyword arguments for einsum: {', '.join(sorted(unknown))}. Valid arguments: "
            "name, optimize, greedy."
        )
    with graph_of(inputs).as_default() as graph, graph.name_scope(kwargs.get("name") or "einsum"):
        terms, output = _resolve(equation, len(inputs))
        if len(inputs) <= 2:
            return _pairwise(terms, output, inputs)
        tensors = [convert_to_tensor(value) for value in inputs]
        return _contract(terms, output, tensors)


def _resolve(equation: str, count: int) -> tuple[list[str], str]:
    """The subscripts of the inputs and of the output, which may be implicit."""
    text = equation.replace(" ", "")
    sides = text.split("->")
    terms = sides[0].split(",")
    output = sides[1] if len(sides) == 2 else ""
    if len(sides) > 2 or not all(_is_subscript(term) for term in (*terms, output)):
        raise ValueError(f"Subscripts have incorrect format: {equation}")
    if len(terms) != count:
        raise ValueError(f'Got {count} inputs for equation "{text}", expecting {len(terms)}')
    joined = "".join(terms).replace(".", "")
    if len(sides) == 1:
        once = "".join(sorted(label for label in set(joined) if joined.count(label) == 1))
        return terms, (ELLIPSIS if ELLIPSIS in sides[0] else "") + once
    labels = output.replace(".", "")
    if len(set(labels)) < len(labels):
        raise ValueError(f"Output subscripts contain a label appearing more than once: {text}")
    for label in labels:
        if label not in joined:
            raise ValueError(
                f"Output subscripts contain the label {label} not present in the input subscripts."
            )
    return terms, output


def _is_subscript(term: str) -> bool:
    return bool(_SUBSCRIPTS.fullmatch(term)) and "." not in term.replace(ELLIPSIS, "")


def _pairwise(terms: Sequence[str], output: str, tensors: Sequence[Any]) -> Tensor:
    attrs = {"equation": f"{','.join(terms)}->{output}"}
    result: Tensor = create_op("Einsum", [list(tensors)], attrs)
    return result


# --- three tensors and more -----------------------------------------------------------------------


def _contract(terms: list[str], output: str, tensors: list[Tensor]) -> Tensor:
    """Contract two tensors after the other, each time those after which the least is left."""
    sizes = _sizes(terms, tensors)
    everywhere = set.intersection(*(_labels(term) for term in terms))
    lasting = _labels(output) | everywhere
    ages = list(range(len(terms)))
    while len(terms) > 2:
        first, second = _best_pair(terms, ages, output, lasting, sizes)
        pair = [terms.pop(second), terms.pop(first)]
        values = [tensors.pop(second), tensors.pop(first)]
        del ages[second], ages[first]
        kept = _kept(pair, terms, output)
        tensors.append(_pairwise(pair, kept, values))
        terms.append(kept)
        ages.append(max(ages, default=0) + len(terms))
    return _pairwise(terms[::-1], output, tensors[::-1])


def _labels(term: str) -> set[str]:
    return set(term.replace(".", ""))


def _kept(pair: list[str], others: list[str], output: str) -> str:
    """The labels of a product of two that are still needed, in the order of their appearance."""
    needed = {*output, *"".join(others)}
    labels = dict.fromkeys("".join(pair))
    kept = "".join(label for label in labels if label in needed and label != ".")
    return (ELLIPSIS if "." in labels else "") + kept


def _sizes(terms: list[str], tensors: list[Tensor]) -> dict[str, int]:
    """The size of each label, 1 where it is not known."""
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, tensors, strict=True):
        labels = parse_subscript(term, "input")
        shape = tensor._shape
        if shape is None or (len(shape) != len(labels) and ELLIPSIS not in labels):
            continue
        middle = labels.index(ELLIPSIS) if ELLIPSIS in labels else len(labels)
        after = len(labels) - middle - 1
        ends = [*zip(labels[:middle], shape, strict=False)]
        ends += [*zip(labels[::-1][:after], shape[::-1], strict=False)] if after > 0 else []
        sizes.update({label: size for label, size in ends if size is not None})
    return sizes


def _best_pair(
    terms: list[str], ages: list[int], output: str, lasting: set[str], sizes: dict[str, int]
) -> tuple[int, int]:
    """Which two terms to contract next.

    First come terms of the same labels; then of the pairs that share a label that is summed over
    the one that frees the most elements, older ones first; at last the smallest.
    """
    sets = [_labels(term) for term in terms]

    def elements(labels: set[str]) -> int:
        return math.prod(sizes.get(label, 1) for label in labels)

    def rank(pair: tuple[int, int]) -> tuple[Any, ...]:
        i, j = pair
        by_age = sorted((ages[i], ages[j]), reverse=True)
        if sets[i] == sets[j]:
            return (0, by_age)
        if sets[i] & sets[j] - lasting:
            others = [term for at, term in enumerate(terms) if at not in pair]
            kept = _labels(_kept([terms[i], terms[j]], others, output))
            return (1, elements(kept) - elements(sets[i]) - elements(sets[j]), by_age)
        return (2, sorted((elements(sets[at] & lasting), ages[at]) for at in pair))

    count = len(terms)
    return min(((i, j) for i in range(count) for j in range(i + 1, count)), key=rank)
