"""Sums over the rows of an array that belong together."""

from __future__ import annotations

import math
from typing import Any

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


@kernel("SegmentSum", host=["segment_ids"])
def segment_sum(xp: Any, data: Any, segment_ids: Any) -> Any:
    """Sums of runs of rows; ids that are left out give zeros."""
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
    result = xp.zeros((count, *data.shape[1:]), data.dtype)
    add_rows(xp, result, xp.asarray(segment_ids), data)
    return result


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


@kernel("UnsortedSegmentSum", device="CPU")
def unsorted_segment_sum_checked(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """Sums of rows by id; an id that is too large is an error."""
    result = _empty_sums(xp, data, segment_ids, num_segments)
    if segment_ids.size == 0:
        return result
    if segment_ids.max() >= result.shape[0]:
        place = [int(i[0]) for i in xp.nonzero(segment_ids >= result.shape[0])]
        text = ",".join(map(str, place))
        bad = segment_ids[tuple(place)]
        raise _refuse(f"segment_ids[{text}] = {bad} is out of range [0, {result.shape[0]})")
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
