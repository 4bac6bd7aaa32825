"""Sums over the rows of an array that belong together."""

from __future__ import annotations

import math
from typing import Any

from ml_dtypes import finfo

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def add_rows(xp: Any, result: Any, ids: Any, rows: Any) -> None:
    """Add `rows[k]` to `result[ids[k]]` in place, in order; `result` is contiguous."""
    width = math.prod(result.shape[1:])
    places = ids.astype(xp.int64)
    if width != 1:
        # Element by element in one dimension: there NumPy has a fast loop for repeated places.
        places = (places[:, None] * width + xp.arange(width)).reshape(-1)
    xp.add.at(result.reshape(-1), places, rows.reshape(-1))


def _segments(data: Any, segment_ids: Any) -> int:
    """How many segments there are; InvalidArgumentError where ids are wrong."""
    if segment_ids.ndim != 1 or data.ndim < 1 or data.shape[0] != segment_ids.size:
        raise _refuse("segment_ids should be the same size as dimension 0 of input.")
    count = int(segment_ids[-1]) + 1 if segment_ids.size else 0
    if (segment_ids[1:] < segment_ids[:-1]).any():
        raise _refuse("segment ids are not increasing")
    if segment_ids.size and segment_ids[0] < 0:
        raise _refuse(
            f"Segment id {segment_ids[0]} out of range [0, {count}), possibly because "
            "'segment_ids' input is not sorted."
        )
    return count


@kernel("SegmentSum", host=["segment_ids"])
def segment_sum(xp: Any, data: Any, segment_ids: Any) -> Any:
    """Sums of runs of rows; ids that are left out give zeros."""
    result = xp.zeros((_segments(data, segment_ids), *data.shape[1:]), data.dtype)
    add_rows(xp, result, xp.asarray(segment_ids), data)
    return result


@kernel("SegmentMean", host=["segment_ids"])
def segment_mean(xp: Any, data: Any, segment_ids: Any) -> Any:
    """Means of runs of rows; ids that are left out give zeros."""
    total = segment_sum(xp, data, segment_ids)
    if not len(total):
        return total
    counts = xp.maximum(xp.bincount(xp.asarray(segment_ids), minlength=len(total)), 1)
    divisors = counts.reshape(-1, *[1] * (data.ndim - 1)).astype(data.dtype)
    is_whole = data.dtype.kind in "iu"
    return (total // divisors if is_whole else total / divisors).astype(data.dtype, copy=False)


def _extreme(xp: Any, kind: str, dtype: Any) -> Any:
    """What a segment without rows starts from."""
    if kind == "Prod":
        return 1
    sign = -1 if kind == "Max" else 1
    if dtype.kind in "iu":
        limits = xp.iinfo(dtype)
        return limits.min if sign < 0 else limits.max
    return sign * float(finfo(dtype).max)


_UFUNCS = {"Max": "maximum", "Min": "minimum", "Prod": "multiply"}


def _reduced(xp: Any, kind: str, start: Any, ids: Any, rows: Any) -> Any:
    """Rows combined with those of `start` by id, in order."""
    getattr(xp, _UFUNCS[kind]).at(start, ids, rows)
    return start


def _register(kind: str) -> None:
    @kernel(f"Segment{kind}", device="CPU")
    def _(xp: Any, data: Any, segment_ids: Any) -> Any:
        count = _segments(data, segment_ids)
        start = xp.full((count, *data.shape[1:]), _extreme(xp, kind, data.dtype), data.dtype)
        result = _reduced(xp, kind, start, segment_ids, data)
        if kind != "Prod":
            result[xp.bincount(segment_ids, minlength=count)[:count] == 0] = 0
        return result

    @kernel(f"UnsortedSegment{kind}", device="CPU")
    def _(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
        result = _empty_sums(xp, data, segment_ids, num_segments)
        result[...] = _extreme(xp, kind, data.dtype)
        _check_ids(xp, segment_ids, result.shape[0])
        kept = segment_ids >= 0
        return _reduced(xp, kind, result, segment_ids[kept], data[kept])


def _empty_sums(xp: Any, data: Any, ids: Any, num_segments: Any, spare: int = 0) -> Any:
    if data.shape[: ids.ndim] != ids.shape:
        raise _refuse(
            f"data.shape = {debug_string(data.shape)} does not start with segment_ids.shape = "
            f"{debug_string(ids.shape)}"
        )
    count = int(num_segments)
    if count < 0:
        raise _refuse(f"Input num_segments == {count} must not be negative.")
    return xp.zeros((count + spare, *data.shape[ids.ndim :]), data.dtype)


def _check_ids(xp: Any, segment_ids: Any, count: int) -> None:
    if not segment_ids.size or segment_ids.max() < count:
        return
    place = [int(i[0]) for i in xp.nonzero(segment_ids >= count)]
    text = ",".join(map(str, place))
    bad = segment_ids[tuple(place)]
    raise _refuse(f"segment_ids[{text}] = {bad} is out of range [0, {count})")


for _kind in _UFUNCS:
    _register(_kind)


@kernel("UnsortedSegmentSum", device="CPU")
def unsorted_segment_sum_checked(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """Sums of rows by id; an id that is too large is an error."""
    result = _empty_sums(xp, data, segment_ids, num_segments)
    _check_ids(xp, segment_ids, result.shape[0])
    if segment_ids.size == 0:
        return result
    ids = segment_ids.reshape(-1)
    rows = data.reshape(ids.size, -1) if data.size else data.reshape(ids.size, 0)
    if ids.min() < 0:
        kept = ids >= 0
        ids, rows = ids[kept], rows[kept]
    add_rows(xp, result, ids, rows)
    return result


@kernel("UnsortedSegmentSum", host=["num_segments"])
def unsorted_segment_sum(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """Sums of rows by id; the host does not look at the ids, those out of range are dropped."""
    result = _empty_sums(xp, data, segment_ids, num_segments, spare=1)
    ids, count = segment_ids.reshape(-1), result.shape[0] - 1
    ids = xp.where((ids < 0) | (ids >= count), count, ids)
    add_rows(xp, result, ids, data)
    return result[:count]
