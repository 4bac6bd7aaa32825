"""Edit distances between sequences in sparse tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _sequences(what: str, indices: Any, values: Any, sizes: Any) -> dict[tuple[int, ...], list]:
    """The sequence at each place, in the order in which its elements are stored."""
    if indices.ndim != 2 or sizes.ndim != 1 or indices.shape != (values.size, sizes.size):
        raise _refuse(f"{what}_indices, {what}_values and {what}_shape do not fit together")
    if sizes.size < 2:
        raise _refuse(f"Input {what} SparseTensors must have rank at least 2")
    if indices.size and ((indices < 0) | (indices >= sizes)).any():
        raise _refuse(f"{what}_indices are out of bounds: shape is {sizes.tolist()}")
    found: dict[tuple[int, ...], list] = {}
    for place, value in zip(indices[:, :-1].tolist(), values.tolist(), strict=True):
        found.setdefault(tuple(place), []).append(value)
    return found


def distance(a: list, b: list) -> int:
    """How many insertions, deletions and replacements make `a` to `b`."""
    row = list(range(len(b) + 1))
    for number, x in enumerate(a, 1):
        before, row[0] = row[0], number
        for at, y in enumerate(b, 1):
            replaced = before + (x != y)
            before = row[at]
            row[at] = min(replaced, before + 1, row[at - 1] + 1)
    return row[-1]


@kernel("EditDistance", device="CPU")
def edit_distance(
    xp: Any,
    hypothesis_indices: Any,
    hypothesis_values: Any,
    hypothesis_shape: Any,
    truth_indices: Any,
    truth_values: Any,
    truth_shape: Any,
    *,
    normalize: bool,
) -> Any:
    """The distance at each place; zero where neither has an element."""
    if hypothesis_shape.size != truth_shape.size:
        raise _refuse(
            "Expected hypothesis_shape and truth_shape to have the same number of elements, got "
            f"{hypothesis_shape.size} and {truth_shape.size}"
        )
    found = _sequences("hypothesis", hypothesis_indices, hypothesis_values, hypothesis_shape)
    wanted = _sequences("truth", truth_indices, truth_values, truth_shape)
    sizes = np.maximum(hypothesis_shape, truth_shape)[:-1]
    result = np.zeros(tuple(sizes.tolist()), np.float32)
    for place in found.keys() | wanted.keys():
        a, b = found.get(place, []), wanted.get(place, [])
        edits: float = distance(a, b)
        if normalize:
            edits = edits / len(b) if b else math.inf
        result[place] = edits
    return result
