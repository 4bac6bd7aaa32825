"""Counts of whole numbers, and places in sorted rows."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("Bincount", host=["size"])
def bincount(xp: Any, arr: Any, size: Any, weights: Any) -> Any:
    """Counts, or sums of weights; numbers that are not below `size` are left out."""
    count = int(size)
    if count < 0:
        raise _refuse(f"size ({count}) must be non-negative")
    if weights.size and weights.shape != arr.shape:
        raise _refuse("Shape of weights must be that of arr, or weights must be empty")
    numbers = arr.reshape(-1)
    if numbers.size and numbers.min() < 0:
        raise _refuse("Input arr must be non-negative!")
    result = xp.zeros(count, weights.dtype)
    kept = numbers < count
    each = weights.reshape(-1)[kept] if weights.size else xp.ones((), weights.dtype)
    xp.add.at(result, numbers[kept], each)
    return result


def _places(xp: Any, rows: Any, values: Any, side: str, out_type: DType) -> Any:
    if rows.ndim != 2 or values.ndim != 2 or len(rows) != len(values):
        raise _refuse("Leading dim_size of both tensors must match.")
    result = xp.empty(values.shape, out_type.numpy)
    for number in range(len(rows)):
        result[number] = xp.searchsorted(rows[number], values[number], side=side)
    return result


@kernel("LowerBound", device="CPU")
def lower_bound(xp: Any, sorted_inputs: Any, values: Any, *, out_type: DType) -> Any:
    """Before equal elements."""
    return _places(xp, sorted_inputs, values, "left", out_type)


@kernel("UpperBound", device="CPU")
def upper_bound(xp: Any, sorted_inputs: Any, values: Any, *, out_type: DType) -> Any:
    """Behind equal elements."""
    return _places(xp, sorted_inputs, values, "right", out_type)
