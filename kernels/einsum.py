"""Einstein's summation as one batched product of matrices, on views wherever memory allows.

Narrow floats are multiplied in float32 and rounded once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tfsession.core.einsum import ELLIPSIS, Labels, parse_equation
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

Axes = tuple[int, ...]


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@dataclass(frozen=True, slots=True)
class _Input:
    """What is done to one input before the product.

    Its dimensions have these `labels`; diagonals are taken along pairs of axes, the diagonal
    becoming the last axis; then axes are `summed`, the others put in `order`, and new ones of size
    1 inserted at `missing`.
    """

    labels: Labels
    diagonals: tuple[tuple[int, int], ...]
    summed: Axes
    order: Axes
    missing: Axes


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done to inputs of known ranks.

    The product has batch dimensions, those that only the first input has, and those that only the
    second has; `own` and `inner` count the latter and the dimensions that are multiplied away.
    Its dimensions are put in `order`, and stand for the `distinct` labels of the output.
    """

    inputs: tuple[_Input, ...]
    own: tuple[int, int]
    inner: int
    order: Axes
    distinct: Labels
    output: Labels


def _numbered(labels: Labels, rank: int, index: int) -> Labels:
    """The labels of all dimensions; those under an ellipsis are numbered from behind."""
    if ELLIPSIS not in labels:
        if rank != len(labels):
            raise _invalid(f"Expected input {index} to have rank {len(labels)} but got: {rank}")
        return labels
    covered = rank - len(labels) + 1
    if covered < 0:
        raise _invalid(
            f"Expected input {index} to have rank at least {len(labels) - 1} but got: {rank}"
        )
    at = labels.index(ELLIPSIS)
    return (*labels[:at], *_broadcasting(covered), *labels[at + 1 :])


def _broadcasting(count: int) -> Labels:
    return tuple(f"{ELLIPSIS}{i}" for i in reversed(range(count)))


@lru_cache(maxsize=512)
def _plan(equation: str, ranks: tuple[int, ...]) -> _Plan:
    inputs, output = parse_equation(equation)
    labels = tuple(map(_numbered, inputs, ranks, range(len(ranks))))
    covered = max(sum(label.startswith(ELLIPSIS) for label in names) for names in labels)
    if ELLIPSIS in output:
        at = output.index(ELLIPSIS)
        output = (*output[:at], *_broadcasting(covered), *output[at + 1 :])
    elif covered:
        raise _invalid(
            f"Output contains {covered} broadcasting dimension(s) but no ellipsis (...) was found "
            "in the output subscripts."
        )
    distinct = tuple(dict.fromkeys(output))
    if len(labels) == 1:
        single = _input(labels[0], distinct, distinct)
        return _Plan((single,), (0, 0), 0, (), distinct, output)
    first, second = (set(names) for names in labels)
    inner = [n for n in dict.fromkeys(labels[0]) if n in second and n not in output]
    # A dimension under an ellipsis belongs to the batch even where one input has none such.
    batch = [n for n in distinct if (n in first and n in second) or n.startswith(ELLIPSIS)]
    own = [[n for n in distinct if n in names and n not in batch] for names in (first, second)]
    made = batch + own[0] + own[1]
    return _Plan(
        (
            _input(labels[0], (*batch, *own[0], *inner), tuple(batch)),
            _input(labels[1], (*batch, *inner, *own[1]), tuple(batch)),
        ),
        (len(own[0]), len(own[1])),
        len(inner),
        tuple(made.index(name) for name in distinct),
        distinct,
        output,
    )


def _input(labels: Labels, wanted: Labels, batch: Labels) -> _Input:
    """How an input with `labels` comes to have the dimensions `wanted`, in that order."""
    names = list(labels)
    diagonals = []
    for name in dict.fromkeys(labels):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            diagonals.append((first, second))
            names = [*names[:first], *names[first + 1 : second], *names[second + 1 :], name]
    summed = tuple(i for i, name in enumerate(names) if name not in wanted)
    names = [name for name in names if name in wanted]
    order = tuple(names.index(name) for name in wanted if name in names)
    missing = tuple(i for i, name in enumerate(batch) if name not in names)
    return _Input(labels, tuple(diagonals), summed, order, missing)


def _check_sizes(plan: _Plan, values: tuple[Any, ...]) -> None:
    sizes: dict[str, int] = {}
    for value, item in zip(values, plan.inputs, strict=True):
        for axis, (label, size) in enumerate(zip(item.labels, value.shape, strict=True)):
            known = sizes.setdefault(label, size)
            if known == size:
                continue
            if not label.startswith(ELLIPSIS):
                shape = debug_string(value.shape)
                raise _invalid(
                    f"Expected dimension {known} at axis {axis} of the input shaped {shape} but "
                    f"got dimension {size}"
                )
            if known != 1 and size != 1:
                shapes = " vs. ".join(debug_string(x.shape) for x in values)
                raise _invalid(f"Invalid broadcasting dimensions: {shapes}")


def _prepared(xp: Any, item: _Input, value: Any) -> Any:
    for first, second in item.diagonals:
        value = value.diagonal(0, first, second)
    if item.summed:
        value = xp.asarray(value.sum(axis=item.summed, dtype=value.dtype))
    value = value.transpose(item.order)
    for axis in item.missing:
        value = xp.expand_dims(value, axis)
    return value


def _product(xp: Any, plan: _Plan, x: Any, y: Any) -> Any:
    (x_own, y_own), inner = plan.own, plan.inner
    batch = x.ndim - x_own - inner
    rows, columns = x.shape[batch : batch + x_own], y.shape[batch + inner :]
    if not inner:
        x = x.reshape(x.shape + (1,) * y_own)
        return x * y.reshape(y.shape[:batch] + (1,) * x_own + columns)
    depth = math.prod(y.shape[batch : batch + inner])
    product = xp.matmul(
        x.reshape(*x.shape[:batch], math.prod(rows), depth),
        y.reshape(*y.shape[:batch], depth, math.prod(columns)),
    )
    return product.reshape(product.shape[:batch] + rows + columns)


def _spread(xp: Any, plan: _Plan, value: Any) -> Any:
    """Where the output repeats a label: the values on the diagonal, zeros elsewhere."""
    if len(plan.output) == len(plan.distinct):
        return value
    sizes = dict(zip(plan.distinct, value.shape, strict=True))
    result = xp.zeros(tuple(sizes[label] for label in plan.output), value.dtype)
    places = {}
    for axis, label in enumerate(plan.distinct):
        shape = [1] * value.ndim
        shape[axis] = sizes[label]
        places[label] = xp.arange(sizes[label]).reshape(shape)
    result[tuple(places[label] for label in plan.output)] = value
    return result


@kernel("Einsum", types={"T": ["half", "bfloat16"]})
def einsum_of_halves(xp: Any, *inputs: Any, equation: bytes) -> Any:
    """In float32, rounded once."""
    wide = einsum(xp, *(value.astype(xp.float32) for value in inputs), equation=equation)
    return wide.astype(inputs[0].dtype)


@kernel("Einsum", aliases=True)
def einsum(xp: Any, *inputs: Any, equation: bytes) -> Any:
    """Sums of products of elements."""
    plan = _plan(equation.decode(), tuple(value.ndim for value in inputs))
    values = tuple(map(xp.asarray, inputs))
    _check_sizes(plan, values)
    parts = [_prepared(xp, item, value) for item, value in zip(plan.inputs, values, strict=True)]
    if len(parts) == 1:
        return _spread(xp, plan, parts[0])
    return _spread(xp, plan, _product(xp, plan, *parts).transpose(plan.order))
