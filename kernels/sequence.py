"""Sequences of numbers, and one-hot rows."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _scalar(value: Any, name: str) -> Any:
    if value.size != 1 or value.ndim > 1:
        shape = debug_string(value.shape)
        raise InvalidArgumentError(None, None, f"{name} must be a scalar, not shape {shape}")
    return value.reshape(()).item()


@kernel("Range", host=["start", "limit", "delta"])
def range_(xp: Any, start: Any, limit: Any, delta: Any) -> Any:
    """Numbers in equal steps, each computed from its place as TensorFlow does."""
    dtype = start.dtype
    first, last, step = _scalar(start, "start"), _scalar(limit, "limit"), _scalar(delta, "delta")
    if step == 0:
        raise InvalidArgumentError(None, None, "Requires delta != 0: 0")
    if step > 0 and first > last:
        raise InvalidArgumentError(
            None, None, f"Requires start <= limit when delta > 0: {first}/{last}"
        )
    if step < 0 and first < last:
        raise InvalidArgumentError(
            None, None, f"Requires start >= limit when delta < 0: {first}/{last}"
        )
    if dtype.kind in "iu":
        return xp.arange(first, last, step, dtype)
    places = xp.arange(math.ceil(abs((last - first) / step)), dtype=xp.int64).astype(dtype)
    return places * dtype.type(step) + dtype.type(first)


@kernel("LinSpace", host=["start", "stop", "num"])
def lin_space(xp: Any, start: Any, stop: Any, num: Any) -> Any:
    """Numbers in equal steps, the last one exactly `stop`."""
    count = _scalar(num, "num")
    if count <= 0:
        raise InvalidArgumentError(None, None, f"Requires num > 0: {count}")
    dtype = start.dtype
    first, last = dtype.type(_scalar(start, "start")), dtype.type(_scalar(stop, "stop"))
    step = (last - first) / dtype.type(max(count - 1, 1))
    result = xp.arange(count, dtype=xp.int64).astype(dtype) * dtype.type(step) + first
    if count > 1:
        result[-1] = last
    return result


@kernel("OneHot", host=["depth"])
def one_hot(xp: Any, indices: Any, depth: Any, on_value: Any, off_value: Any, axis: int) -> Any:
    """All `off_value`, then one `on_value` for each index."""
    indices = xp.asarray(indices)
    if not -1 <= axis <= indices.ndim:
        raise InvalidArgumentError(
            None,
            None,
            f"Expected axis to be -1 or between [0, {indices.ndim + 1}).  But received: {axis}",
        )
    size = _scalar(depth, "depth")
    if size < 0:
        raise InvalidArgumentError(None, None, f"depth must be non-negative, got: {size}")
    on, off = xp.asarray(on_value).reshape(()), xp.asarray(off_value).reshape(())
    at = indices.ndim if axis == -1 else axis
    shape = indices.shape
    result = xp.full((*shape[:at], size, *shape[at:]), off, off.dtype)
    if result.size:
        before, after = math.prod(shape[:at]), math.prod(shape[at:])
        wide = indices.astype(xp.int64).reshape(before, after)
        inside = (wide >= 0) & (wide < size)
        # An index outside goes to a place of its own column and writes the value that is there.
        place = xp.where(inside, wide, 0)
        rows, columns = xp.arange(before)[:, None], xp.arange(after)
        result.reshape(before, size, after)[rows, place, columns] = xp.where(inside, on, off)
    return result
