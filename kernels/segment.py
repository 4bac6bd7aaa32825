"""Sums over the rows of an array that belong together."""

from __future__ import annotations

from typing import Any

from ml_dtypes import finfo

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.segment_sums import combine_rows, row_sums


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


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
    return row_sums(xp, xp.asarray(segment_ids), data, _segments(data, segment_ids))


@kernel("SegmentMean", host=["segment_ids"])
def segment_mean(xp: Any, data: Any, segment_ids: Any) -> Any:
    """Means of runs of rows; ids that are left out give zeros."""
    total = segment_sum(xp, data, segment_ids)
    if not len(total):
        return total
    counts = xp.bincount(xp.asarray(segment_ids), minlength=len(total))
    return _means(xp, total, xp.maximum(counts, 1))


@kernel("SegmentSum", form="counted", device="GPU")
def segment_sum_counted(xp: Any, data: Any, segment_ids: Any, count: Any) -> Any:
    """As the others, for ids that were looked at, of so many segments."""
    if data.ndim < 1 or data.shape[0] != segment_ids.size:
        raise _refuse("segment_ids should be the same size as dimension 0 of input.")
    return row_sums(xp, segment_ids, data, int(count))


@kernel("SegmentMean", form="counted", device="GPU")
def segment_mean_counted(xp: Any, data: Any, segment_ids: Any, count: Any) -> Any:
    """As the others, for ids that were looked at, of so many segments."""
    total = segment_sum_counted(xp, data, segment_ids, count)
    if not len(total):
        return total
    counts = row_sums(xp, segment_ids, xp.ones(segment_ids.size), len(total))
    return _means(xp, total, xp.maximum(counts, 1))


def _means(xp: Any, total: Any, counts: Any) -> Any:
    divisors = counts.reshape(-1, *[1] * (total.ndim - 1)).astype(total.dtype)
    means = total // divisors if total.dtype.kind in "iu" else total / divisors
    return means.astype(total.dtype, copy=False)


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


def _register(kind: str) -> None:
    @kernel(f"Segment{kind}", device="CPU")
    def _(xp: Any, data: Any, segment_ids: Any) -> Any:
        count = _segments(data, segment_ids)
        start = xp.full((count, *data.shape[1:]), _extreme(xp, kind, data.dtype), data.dtype)
        combine_rows(xp, _UFUNCS[kind], start, segment_ids, data)
        if kind != "Prod":
            start[xp.bincount(segment_ids, minlength=count)[:count] == 0] = 0
        return start

    @kernel(f"UnsortedSegment{kind}", device="CPU")
    def _(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
        shape = _result_shape(data, segment_ids, num_segments)
        ids, rows = _kept(xp, data, segment_ids, shape[0])
        result = xp.full(shape, _extreme(xp, kind, data.dtype), data.dtype)
        combine_rows(xp, _UFUNCS[kind], result, ids, rows)
        return result


def _result_shape(data: Any, ids: Any, num_segments: Any) -> tuple[int, ...]:
    if data.shape[: ids.ndim] != ids.shape:
        raise _refuse(
            f"data.shape = {debug_string(data.shape)} does not start with segment_ids.shape = "
            f"{debug_string(ids.shape)}"
        )
    count = int(num_segments)
    if count < 0:
        raise _refuse(f"Input num_segments == {count} must not be negative.")
    return count, *data.shape[ids.ndim :]


def _kept(xp: Any, data: Any, segment_ids: Any, count: int) -> tuple[Any, Any]:
    """A vector of ids and the row of each, those with a negative id left out."""
    ids = segment_ids.reshape(-1)
    rows = data.reshape(ids.size, *data.shape[segment_ids.ndim :])
    if not ids.size:
        return ids, rows
    if ids.max() >= count:
        place = [int(i[0]) for i in xp.nonzero(segment_ids >= count)]
        text = ",".join(map(str, place))
        bad = segment_ids[tuple(place)]
        raise _refuse(f"segment_ids[{text}] = {bad} is out of range [0, {count})")
    if ids.min() < 0:
        kept = ids >= 0
        return ids[kept], rows[kept]
    return ids, rows


for _kind in _UFUNCS:
    _register(_kind)


@kernel("UnsortedSegmentSum", device="CPU")
def unsorted_segment_sum_checked(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """Sums of rows by id; an id that is too large is an error."""
    shape = _result_shape(data, segment_ids, num_segments)
    ids, rows = _kept(xp, data, segment_ids, shape[0])
    return row_sums(xp, ids, rows, shape[0])


@kernel("UnsortedSegmentSum", host=["num_segments"])
def unsorted_segment_sum(xp: Any, data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """Sums of rows by id; the host does not look at the ids, those out of range are dropped."""
    count, *rest = _result_shape(data, segment_ids, num_segments)
    ids = segment_ids.reshape(-1)
    ids = xp.where((ids < 0) | (ids >= count), count, ids)
    return row_sums(xp, ids, data.reshape(ids.size, *rest), count + 1)[:count]
