"""Bands of matrices and cross products."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import FailedPreconditionError, InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _limit(value: Any, name: str, size: int, what: str) -> int:
    if value.ndim:
        raise _invalid(f"{name} must be scalar, got shape {debug_string(value.shape)}")
    limit: int = value.item()
    if limit > size:
        raise _invalid(
            f"{name} must be negative or less or equal to number of {what} ({size}) got: {limit}"
        )
    return limit


@kernel("MatrixBandPart", host=["num_lower", "num_upper"])
def matrix_band_part(xp: Any, input: Any, num_lower: Any, num_upper: Any) -> Any:
    """Zeros outside of the band."""
    if input.ndim < 2:
        shape = debug_string(input.shape)
        raise _invalid(f"input must be at least 2-dim, received shape: {shape}")
    rows, columns = input.shape[-2:]
    lower = _limit(num_lower, "num_lower", rows, "rows")
    upper = _limit(num_upper, "num_upper", columns, "columns")
    above = xp.arange(columns) - xp.arange(rows)[:, None]
    inside = above <= (upper if upper >= 0 else columns)
    if lower >= 0:
        inside &= above >= -lower
    return xp.where(inside, input, xp.zeros((), input.dtype))


@kernel("Cross")
def cross(xp: Any, a: Any, b: Any) -> Any:
    """Cross products of vectors of three elements."""
    if a.shape != b.shape:
        shapes = f"{debug_string(a.shape)} vs. {debug_string(b.shape)}"
        raise _invalid(f"Both inputs must be of same shape: {shapes}")
    if not a.ndim:
        raise _invalid(f"Input must be at least 1D{debug_string(a.shape)}")
    if a.shape[-1] != 3:
        text = "Cross-products are only defined for 3-element vectors."
        raise FailedPreconditionError(None, None, text)
    result = xp.empty_like(a)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        result[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return result
