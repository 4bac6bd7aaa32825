"""Kernels of distinct elements. They order by first appearance; sorting is only the means."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.rules import kernel
from tfsession.kernels.cuda.distinct import first_places

# A table has so many entries for each number, and so many more: what is not written costs nothing.
_ENTRIES, _TABLE = 64, 1 << 16
_LARGEST = (1 << 63) - 1


def _by_first_appearance(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """Positions of the distinct elements, the number of each element, and their counts."""
    _, first, inverse, counts = xp.unique(
        x, return_index=True, return_inverse=True, return_counts=True
    )
    order = xp.argsort(first)
    rank = xp.empty_like(order)
    rank[order] = xp.arange(order.size)
    return first[order], rank[inverse.reshape(-1)], counts[order]


def _by_table(xp: Any, x: Any) -> tuple[Any, Any] | None:
    """The same without counts and without a sort: numbers by a table of all between them.

    None where that would take too much memory. Whoever writes to a place last must win it.
    """
    if x.dtype.kind not in "iu" or not x.size:
        return None
    low, high = int(x.min()), int(x.max())
    if high - low > _TABLE + _ENTRIES * x.size or high > _LARGEST:
        return None
    offsets, places = x.astype(xp.int64) - low, xp.arange(x.size)
    table = xp.empty(high - low + 1, xp.int64)
    table[offsets[::-1]] = places[::-1]
    earliest = table[offsets]
    first = (earliest == places).nonzero()[0]
    table[offsets[first]] = places[: first.size]
    return first, table[offsets]


@kernel("Unique", device="CPU", slow=200_000)
def unique_of_numbers(xp: Any, x: Any, *, out_idx: DType) -> tuple[Any, Any]:
    """Distinct elements, and the number of each element's."""
    first, number = _by_table(xp, x) or _by_first_appearance(xp, x)[:2]
    return x[first], number.astype(out_idx.numpy)


@kernel("Unique", slow=20_000)
def unique(xp: Any, x: Any, *, out_idx: DType) -> tuple[Any, Any]:
    """Distinct elements, and the number of each element's."""
    first, number, _ = _by_first_appearance(xp, x)
    return x[first], number.astype(out_idx.numpy)


@kernel("Unique", form="padded", types={"T": ["int32", "int64"]})
def unique_padded(xp: Any, x: Any, *, out_idx: DType) -> tuple[Any, Any]:
    """As many elements as there are, -1 behind the last distinct one: no size depends on them."""
    first = None if xp is np else first_places(xp, x)
    if first is None:
        distinct, number = (unique_of_numbers if xp is np else unique)(xp, x, out_idx=out_idx)
        found = xp.full(x.size, -1, x.dtype)
        found[: distinct.size] = distinct
        return found, number
    places = xp.arange(x.size, dtype=first.dtype)
    is_first = first == places
    numbers = xp.cumsum(is_first, dtype=first.dtype) - 1
    found = xp.full(x.size + 1, -1, x.dtype)
    found[xp.where(is_first, numbers, x.size)] = xp.where(is_first, x, -1)
    return found[:-1], xp.take(numbers, first).astype(out_idx.numpy, copy=False)


@kernel("UniqueWithCounts", slow=20_000)
def unique_with_counts(xp: Any, x: Any, *, out_idx: DType) -> tuple[Any, Any, Any]:
    """Distinct elements, the number of each element's, and how often each appears."""
    first, number, counts = _by_first_appearance(xp, x)
    return x[first], number.astype(out_idx.numpy), counts.astype(out_idx.numpy)


@kernel("ListDiff", slow=20_000)
def list_diff(xp: Any, x: Any, y: Any, *, out_idx: DType) -> tuple[Any, Any]:
    """The elements of `x` that are not in `y`, and their positions."""
    positions = xp.nonzero(~xp.isin(x, y))[0]
    return x[positions], positions.astype(out_idx.numpy)
