"""Kernels of distinct elements. They order by first appearance; sorting is only the means."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.rules import kernel


def _by_first_appearance(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """Positions of the distinct elements, the number of each element, and their counts."""
    _, first, inverse, counts = xp.unique(
        x, return_index=True, return_inverse=True, return_counts=True
    )
    order = xp.argsort(first)
    rank = xp.empty_like(order)
    rank[order] = xp.arange(order.size)
    return first[order], rank[inverse.reshape(-1)], counts[order]


@kernel("Unique", slow=20_000)
def unique(xp: Any, x: Any, *, out_idx: DType) -> tuple[Any, Any]:
    """Distinct elements, and the number of each element's."""
    first, number, _ = _by_first_appearance(xp, x)
    return x[first], number.astype(out_idx.numpy)


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
