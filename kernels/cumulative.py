"""Running sums, products and logarithms of sums along an axis."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

_HALVES = {"T": ["half", "bfloat16"]}


def _axis(x: Any, axis: Any) -> int:
    if axis.ndim:
        shape = debug_string(axis.shape)
        raise InvalidArgumentError(None, None, f"ScanOp: axis must be a scalar, not {shape}")
    ndim = x.ndim
    given: int = axis.item()
    along = given + ndim if given < 0 else given
    if not 0 <= along < ndim:
        raise InvalidArgumentError(
            None,
            None,
            f"ScanOp: Expected scan axis in the range [{-ndim}, {ndim}), but got {along}",
        )
    return along


def _running(
    xp: Any, scan: Any, x: Any, axis: Any, exclusive: bool, reverse: bool, first: float
) -> Any:
    """`scan(x, axis)` forth or back, with the elements themselves or those before them."""
    along = _axis(x, axis)
    if not (exclusive or reverse) or not x.size:
        return scan(x, along)
    # Seen from a last axis, and from the end when going back.
    seen = xp.moveaxis(x, along, -1)
    result = xp.empty_like(x)
    target = xp.moveaxis(result, along, -1)
    if reverse:
        seen, target = seen[..., ::-1], target[..., ::-1]
    if exclusive:
        target[..., 0] = first
        target[..., 1:] = scan(seen[..., :-1], -1)
    else:
        target[...] = scan(seen, -1)
    return result


@kernel("Cumsum", host=["axis"], slow=200_000)
def cumsum(xp: Any, x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
    """Running sums in the input's type."""

    def scan(values: Any, along: int) -> Any:
        return values.cumsum(axis=along, dtype=x.dtype)

    return _running(xp, scan, x, axis, exclusive, reverse, 0)


@kernel("Cumprod", host=["axis"], slow=200_000)
def cumprod(xp: Any, x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
    """Running products in the input's type."""

    def scan(values: Any, along: int) -> Any:
        return values.cumprod(axis=along, dtype=x.dtype)

    return _running(xp, scan, x, axis, exclusive, reverse, 1)


def _log_sums(xp: Any, x: Any, along: int) -> Any:
    """Running logarithms of sums, doubling the reach of each sum in each of log2(n) rounds."""
    result = xp.moveaxis(x, along, -1).copy()
    reach, length = 1, result.shape[-1]
    while reach < length:
        result[..., reach:] = xp.logaddexp(result[..., reach:], result[..., :-reach])
        reach *= 2
    return xp.moveaxis(result, -1, along)


@kernel("CumulativeLogsumexp", host=["axis"], types=_HALVES)
def log_sums_of_halves(xp: Any, x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
    """In float32, rounded once."""
    wide = x.astype(xp.float32)
    return cumulative_logsumexp(xp, wide, axis, exclusive, reverse).astype(x.dtype)


@kernel("CumulativeLogsumexp", host=["axis"])
def cumulative_logsumexp(xp: Any, x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
    """Running `log(sum(exp(x)))`."""

    def scan(values: Any, along: int) -> Any:
        return _log_sums(xp, values, along)

    return _running(xp, scan, x, axis, exclusive, reverse, -math.inf)
