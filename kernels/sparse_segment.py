"""Sums and means of chosen rows, and how their gradients spread back over the rows."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.gather import take_or_zeros
from tfsession.kernels.segment_sums import row_sums
from tfsession.kernels.unique import unique_padded


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _check_vectors(indices: Any, ids: Any) -> None:
    if indices.ndim != 1:
        raise _refuse("indices should be a vector.")
    if ids.ndim != 1:
        raise _refuse("segment_ids should be a vector.")
    if indices.size != ids.size:
        raise _refuse("segment_ids and indices should have same size.")


def _check(indices: Any, ids: Any, rows: int) -> None:
    _check_vectors(indices, ids)
    bad = (indices < 0) | (indices >= rows)
    if bad.any():
        at = int(bad.argmax())
        raise _refuse(f"indices[{at}] == {int(indices[at])} out of range [0, {rows})")


def _divisors(xp: Any, kind: str, ids: Any, count: int) -> Any:
    """What the sum of each segment is divided by; segments without rows stay zero."""
    members = xp.maximum(xp.bincount(ids, minlength=count), 1)
    return members.astype(float) if kind == "Mean" else xp.sqrt(members)


def _summed(xp: Any, count: int, places: Any, rows: Any) -> Any:
    """Sums of rows by place; narrow floats are rounded once."""
    wide = xp.float32 if rows.dtype.itemsize == 2 and rows.dtype.kind in "fV" else rows.dtype
    return row_sums(xp, places, rows.astype(wide, copy=False), count)


def _column(factors: Any, rows: Any) -> Any:
    return factors.astype(rows.dtype).reshape(-1, *[1] * (rows.ndim - 1))


def _reduce(
    xp: Any, kind: str, data: Any, indices: Any, segment_ids: Any, num_segments: Any = None
) -> Any:
    if data.ndim < 1:
        raise _refuse("input must be at least rank 1")
    _check(indices, segment_ids, data.shape[0])
    ids = segment_ids
    count = int(ids[-1]) + 1 if ids.size else 0
    if (ids[1:] < ids[:-1]).any():
        raise _refuse("segment ids are not increasing")
    if ids.size and ids[0] < 0:
        raise _refuse("segment ids must be >= 0")
    if num_segments is not None:
        if num_segments < count:
            raise _refuse("segment ids must be < num_segments")
        count = int(num_segments)
    places = xp.asarray(ids)
    total = _summed(xp, count, places, data[xp.asarray(indices)])
    if kind != "Sum" and count:
        total /= _column(_divisors(xp, kind, places, count), total)
    return total.astype(data.dtype, copy=False)


def _spread(xp: Any, kind: str, grad: Any, indices: Any, segment_ids: Any, rows: Any) -> Any:
    """The gradient of each chosen row, before those of one row are summed."""
    _check(indices, segment_ids, int(rows))
    ids, count = segment_ids, grad.shape[0]
    if ids.size and (ids.min() < 0 or ids.max() >= count):
        raise _refuse(f"Segment id {int(ids.max())} out of range [0, {count})")
    places = xp.asarray(ids)
    if kind != "Sum" and count:
        grad = grad / _column(_divisors(xp, kind, places, count), grad)
    return grad[places]


# --- where the host does not look at indices: those out of range are left out ---------------------


def _sums_unseen(xp: Any, count: int, places: Any, rows: Any) -> Any:
    """Sums of rows by place, the rows of places out of range left out."""
    valid = (places >= 0) & (places < count)
    return _summed(xp, count + 1, xp.where(valid, places, count), rows)[:count]


def _divisors_unseen(xp: Any, kind: str, ids: Any, count: int) -> Any:
    members = xp.maximum(_sums_unseen(xp, count, ids, xp.ones(ids.size)), 1.0)
    return members if kind == "Mean" else xp.sqrt(members)


def _reduce_unseen(xp: Any, kind: str, data: Any, indices: Any, ids: Any, count: int) -> Any:
    if data.ndim < 1:
        raise _refuse("input must be at least rank 1")
    _check_vectors(indices, ids)
    if count < 0:
        raise _refuse("segment ids must be < num_segments")
    total = _sums_unseen(xp, count, ids, take_or_zeros(xp, data, indices, 0, 0))
    if kind != "Sum" and count:
        total /= _column(_divisors_unseen(xp, kind, ids, count), total)
    return total.astype(data.dtype, copy=False)


def _spread_unseen(
    xp: Any, kind: str, grad: Any, indices: Any, ids: Any, rows: int, places: Any = None
) -> Any:
    _check_vectors(indices, ids)
    if kind != "Sum" and len(grad):
        grad = grad / _column(_divisors_unseen(xp, kind, ids, len(grad)), grad)
    places = indices if places is None else places
    total = _sums_unseen(xp, rows, places, take_or_zeros(xp, grad, ids, 0, 0))
    return total.astype(grad.dtype, copy=False)


def _register(kind: str) -> None:
    @kernel(f"SparseSegment{kind}", host=["indices", "segment_ids"])
    def _(xp: Any, data: Any, indices: Any, segment_ids: Any) -> Any:
        return _reduce(xp, kind, data, indices, segment_ids)

    @kernel(f"SparseSegment{kind}", form="counted", device="GPU")
    def _(xp: Any, data: Any, indices: Any, segment_ids: Any, count: Any) -> Any:
        return _reduce_unseen(xp, kind, data, indices, segment_ids, int(count))

    @kernel(f"SparseSegment{kind}WithNumSegments", host=["num_segments"])
    def _(xp: Any, data: Any, indices: Any, segment_ids: Any, num_segments: Any) -> Any:
        return _reduce_unseen(xp, kind, data, indices, segment_ids, int(num_segments))

    @kernel(f"SparseSegment{kind}WithNumSegments", device="CPU")
    def _(xp: Any, data: Any, indices: Any, segment_ids: Any, num_segments: Any) -> Any:
        return _reduce(xp, kind, data, indices, segment_ids, num_segments)

    @kernel(f"SparseSegment{kind}Grad", host=["output_dim0"])
    def _(xp: Any, grad: Any, indices: Any, segment_ids: Any, output_dim0: Any) -> Any:
        return _spread_unseen(xp, kind, grad, indices, segment_ids, int(output_dim0))

    @kernel(f"SparseSegment{kind}Grad", device="CPU")
    def _(xp: Any, grad: Any, indices: Any, segment_ids: Any, output_dim0: Any) -> Any:
        parts = _spread(xp, kind, grad, indices, segment_ids, output_dim0)
        total = _summed(xp, int(output_dim0), indices, parts)
        return total.astype(grad.dtype, copy=False)

    @kernel(f"SparseSegment{kind}GradV2", host=["dense_output_dim0"])
    def _(xp: Any, grad: Any, indices: Any, segment_ids: Any, dense_output_dim0: Any) -> Any:
        kept, places = xp.unique(indices, return_inverse=True)
        places = places.reshape(-1)
        return _spread_unseen(xp, kind, grad, indices, segment_ids, kept.size, places), kept

    @kernel(f"SparseSegment{kind}GradV2", form="padded", device="GPU", host=["dense_output_dim0"])
    def _(xp: Any, grad: Any, indices: Any, segment_ids: Any, dense_output_dim0: Any) -> Any:
        kept, places = unique_padded(xp, indices, out_idx=int64)
        return _spread_unseen(xp, kind, grad, indices, segment_ids, kept.size, places), kept

    @kernel(f"SparseSegment{kind}GradV2", device="CPU")
    def _(xp: Any, grad: Any, indices: Any, segment_ids: Any, dense_output_dim0: Any) -> Any:
        parts = _spread(xp, kind, grad, indices, segment_ids, dense_output_dim0)
        kept, places = xp.unique(xp.asarray(indices), return_inverse=True)
        total = _summed(xp, kept.size, places.reshape(-1), parts)
        return total.astype(grad.dtype, copy=False), kept


_KINDS: tuple[str, ...] = ("Sum", "Mean", "SqrtN")
for _kind in _KINDS:
    _register(_kind)
