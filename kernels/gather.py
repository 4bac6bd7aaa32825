"""Elements and slices of an array at given indices.

On the CPU an index out of range is an error. Elsewhere the host does not look at the indices, and
such an index gives zeros, as on TensorFlow's GPUs.
"""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def check_indices(xp: Any, indices: Any, size: int) -> None:
    """InvalidArgumentError when an index is outside of `[0, size)`."""
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        bad = (indices < 0) | (indices >= size)
        place = tuple(int(i[0]) for i in xp.nonzero(bad)) if indices.ndim else ()
        text = f"indices[{','.join(map(str, place))}]" if place else "indices"
        raise _refuse(f"{text} = {int(indices[place])} is not in [0, {size})")


def _axis_of(params: Any, axis: Any) -> int:
    rank, at = params.ndim, int(axis)
    if rank < 1:
        raise _refuse("params must be at least 1 dimensional")
    if not -rank <= at < rank:
        raise _refuse(f"Expected axis in the range [{-rank}, {rank}), but got {at}")
    return at + rank if at < 0 else at


def take(xp: Any, params: Any, indices: Any, at: int, batch_dims: int) -> Any:
    """The slices at valid indices."""
    if not batch_dims:
        return xp.take(params, indices, at)
    batch = params.shape[:batch_dims]
    count = math.prod(batch)
    moved = xp.moveaxis(params, at, batch_dims)
    flat = moved.reshape((count, *moved.shape[batch_dims:]))
    chosen = flat[xp.arange(count)[:, None], indices.reshape(count, -1)]
    wanted = indices.shape[batch_dims:]
    chosen = chosen.reshape((*batch, *wanted, *moved.shape[batch_dims + 1 :]))
    # The dimensions between the batch and the axis go back before those of the indices.
    source = range(batch_dims, batch_dims + len(wanted))
    return xp.moveaxis(chosen, tuple(source), tuple(range(at, at + len(wanted))))


def _batch_rank(params: Any, indices: Any, at: int, batch_dims: int) -> int:
    batch_dims += indices.ndim if batch_dims < 0 else 0
    if not 0 <= batch_dims <= min(indices.ndim, at):
        raise _refuse(f"batch_dims ({batch_dims}) must be in [0, {min(indices.ndim, at)}]")
    for i in range(batch_dims):
        if params.shape[i] != indices.shape[i]:
            raise _refuse(
                f"params.shape[{i}]: {params.shape[i]} should be equal to indices.shape[{i}]: "
                f"{indices.shape[i]}"
            )
    return batch_dims


@kernel("GatherV2", host=["axis"], device="CPU", types={"Tparams": ["string"]})
def gather_texts(xp: Any, params: Any, indices: Any, axis: Any, batch_dims: int) -> Any:
    """Slices of texts; a single one is still an array, which NumPy would hand out as bytes."""
    return xp.asarray(gather_v2_checked(xp, params, indices, axis, batch_dims), params.dtype)


@kernel("GatherV2", host=["axis"], device="CPU")
def gather_v2_checked(xp: Any, params: Any, indices: Any, axis: Any, batch_dims: int) -> Any:
    """Slices along a dimension; an index out of range is an error."""
    at = _axis_of(params, axis)
    check_indices(xp, indices, params.shape[at])
    if batch_dims:
        return take(xp, params, indices, at, _batch_rank(params, indices, at, batch_dims))
    # All indices are valid: clipping saves NumPy the buffer that it checks with.
    return (
        xp.take(params, indices, at, mode="clip")
        if params.size
        else _empty(xp, params, indices, at)
    )


def _empty(xp: Any, params: Any, indices: Any, at: int) -> Any:
    shape = (*params.shape[:at], *indices.shape, *params.shape[at + 1 :])
    return xp.zeros(shape, params.dtype)


@kernel("GatherV2", host=["axis"])
def gather_v2(xp: Any, params: Any, indices: Any, axis: Any, batch_dims: int) -> Any:
    """Slices along a dimension; zeros for an index out of range."""
    at = _axis_of(params, axis)
    return take_or_zeros(xp, params, indices, at, _batch_rank(params, indices, at, batch_dims))


def take_or_zeros(xp: Any, params: Any, indices: Any, at: int, batch_dims: int) -> Any:
    """The slices at indices, without a look at them: zeros for those out of range."""
    size = params.shape[at]
    if not params.size or not indices.size:
        shape = (*params.shape[:at], *indices.shape[batch_dims:], *params.shape[at + 1 :])
        return xp.zeros(shape, params.dtype)
    valid = (indices >= 0) & (indices < size)
    chosen = take(xp, params, xp.where(valid, indices, 0), at, batch_dims)
    between, after = at - batch_dims, params.ndim - at - 1
    front, back = valid.shape[:batch_dims], valid.shape[batch_dims:]
    mask = valid.reshape((*front, *(1,) * between, *back, *(1,) * after))
    return xp.where(mask, chosen, xp.zeros((), params.dtype))


@kernel("Gather", device="CPU", types={"Tparams": ["string"]})
def gather_texts_in_front(xp: Any, params: Any, indices: Any) -> Any:
    """Slices of texts along the first dimension."""
    return gather_texts(xp, params, indices, 0, 0)


@kernel("Gather", device="CPU")
def gather_checked(xp: Any, params: Any, indices: Any) -> Any:
    """Slices along the first dimension; an index out of range is an error."""
    return gather_v2_checked(xp, params, indices, 0, 0)


@kernel("Gather")
def gather(xp: Any, params: Any, indices: Any) -> Any:
    """Slices along the first dimension; zeros for an index out of range."""
    return gather_v2(xp, params, indices, 0, 0)


def flat_places(xp: Any, shape: tuple[int, ...], indices: Any) -> tuple[Any, Any]:
    """The index vectors of `indices` as single numbers, and where any is out of range."""
    depth = indices.shape[-1]
    places = xp.zeros(indices.shape[:-1], xp.int64)
    bad = xp.zeros(indices.shape[:-1], bool)
    for i in range(depth):
        column = indices[..., i]
        bad |= (column < 0) | (column >= shape[i])
        places = places * shape[i] + column
    return places, bad


def index_text(xp: Any, indices: Any, bad: Any) -> str:
    """`indices[1] = [1, 3]`, the first index vector that is out of range."""
    place = tuple(int(i[0]) for i in xp.nonzero(bad)) if bad.ndim else ()
    where = f"indices[{','.join(map(str, place))}]" if place else "indices"
    return f"{where} = [{', '.join(map(str, indices[place].tolist()))}]"


def gather_rows(xp: Any, params: Any, indices: Any, check: bool) -> Any:
    """Slices at index vectors; those out of range are an error where they are looked at."""
    if params.ndim < 1 or indices.ndim < 1:
        raise _refuse("params and indices must be at least a vector")
    depth = indices.shape[-1]
    if depth > params.ndim:
        raise _refuse(
            "index innermost dimension length must be <= params rank; saw: "
            f"{depth} vs. {params.ndim}"
        )
    if not params.size and math.prod(indices.shape[:-1]):
        raise _refuse(
            "Requested more than 0 entries, but params is empty.  Params shape: "
            f"{debug_string(params.shape)}"
        )
    tail = params.shape[depth:]
    places, bad = flat_places(xp, params.shape, indices)
    if check and bad.any():
        raise _refuse(
            f"{index_text(xp, indices, bad)} does not index into param shape "
            f"{debug_string(params.shape)}"
        )
    shape = (*indices.shape[:-1], *tail)
    if not math.prod(shape):
        return xp.zeros(shape, params.dtype)
    rows = params.reshape((math.prod(params.shape[:depth]), *tail))
    if check:
        return xp.take(rows, places, 0)
    chosen = xp.take(rows, xp.where(bad, 0, places), 0)
    mask = bad.reshape((*bad.shape, *(1,) * len(tail)))
    return xp.where(mask, xp.zeros((), params.dtype), chosen)


@kernel("GatherNd", device="CPU")
def gather_nd_checked(xp: Any, params: Any, indices: Any) -> Any:
    """Slices at index vectors; one out of range is an error."""
    return gather_rows(xp, params, indices, check=True)


@kernel("GatherNd")
def gather_nd(xp: Any, params: Any, indices: Any) -> Any:
    """Slices at index vectors; zeros for one out of range."""
    return gather_rows(xp, params, indices, check=False)
