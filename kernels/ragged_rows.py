"""Rows of different lengths: made by counting, gathered, and as sparse tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel

# Numbers that one range may come to: more would take the memory of all else.
_MOST = 1 << 31


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("RaggedRange", host=["starts", "limits", "deltas"], host_outputs=["rt_nested_splits"])
def ragged_range(xp: Any, starts: Any, limits: Any, deltas: Any, *, Tsplits: Any) -> Any:
    """A row for each start: from there on in steps, up to the limit."""
    sizes = {array.size for array in (starts, limits, deltas) if array.ndim}
    if len(sizes) > 1 or any(array.ndim > 1 for array in (starts, limits, deltas)):
        raise _refuse("starts, limits, and deltas must have the same shape, or be scalars")
    rows = sizes.pop() if sizes else 1
    first, last, step = (np.broadcast_to(array, (rows,)) for array in (starts, limits, deltas))
    if (step == 0).any():
        raise _refuse("Requires delta != 0")
    wide = np.float64 if starts.dtype.kind not in "iu" else np.int64
    a, b, d = (array.astype(wide) for array in (first, last, step))
    count = np.ceil((b - a) / d) if wide is np.float64 else -((a - b) // d)
    lengths = np.where((d > 0) == (b > a), np.maximum(count, 0), 0)
    if not np.isfinite(lengths).all() or lengths.sum() > _MOST:
        raise _refuse("Requires ((limit - start) / delta) <= the numbers that fit in memory")
    lengths = lengths.astype(np.int64)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
    values = np.repeat(a, lengths) + place.astype(wide) * np.repeat(d, lengths)
    return splits.astype(Tsplits.numpy), xp.asarray(values.astype(starts.dtype))


def _levels(nested: Any, count: int) -> list[Any]:
    """Where the rows of each ragged dimension begin and end, checked against what is in them."""
    levels = [splits.astype(np.int64) for splits in nested]
    sizes = [*[len(splits) - 1 for splits in levels[1:]], count]
    for splits, size in zip(levels, sizes, strict=True):
        if not splits.size or splits[0] != 0:
            raise _refuse("Ragged splits must start with 0")
        if (splits[1:] < splits[:-1]).any() or splits[-1] != size:
            raise _refuse(f"Ragged splits must never fall, and end with {size}: {splits.tolist()}")
    return levels


def _places(starts: Any, lengths: Any) -> Any:
    """The numbers from each start on, so many of each."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


@kernel(
    "RaggedGather",
    host=["params_nested_splits", "indices"],
    host_outputs=["output_nested_splits"],
)
def ragged_gather(xp: Any, *inputs: Any, Tsplits: Any, OUTPUT_RAGGED_RANK: int) -> Any:
    """The rows with the given numbers; the shape of the numbers comes first."""
    *nested, values, indices = inputs
    if not values.ndim:
        raise _refuse("params must have a dimension")
    levels = _levels(nested, len(values))
    if len(levels) + indices.ndim - 1 != OUTPUT_RAGGED_RANK:
        raise _refuse(f"OUTPUT_RAGGED_RANK must be {len(levels) + indices.ndim - 1}")
    rows, count = indices.reshape(-1).astype(np.int64), len(levels[0]) - 1
    if rows.size and not (rows.min() >= 0 and rows.max() < count):
        raise _refuse(f"indices = {indices.tolist()} is not in [0, {count})")
    found = []
    for axis in range(1, indices.ndim):
        before = math.prod(indices.shape[:axis])
        found.append(np.arange(before + 1) * indices.shape[axis])
    for splits in levels:
        lengths = splits[rows + 1] - splits[rows]
        found.append(np.concatenate([[0], np.cumsum(lengths)]))
        rows = _places(splits[rows], lengths)
    splits = [each.astype(Tsplits.numpy) for each in found]
    return (*splits, values[xp.asarray(rows)])


@kernel(
    "RaggedTensorToSparse",
    host=["rt_nested_splits"],
    host_outputs=["sparse_dense_shape"],
)
def ragged_tensor_to_sparse(xp: Any, *inputs: Any) -> Any:
    """Indices, values and shape: as wide as the longest rows."""
    *nested, values = inputs
    if not values.ndim:
        raise _refuse("rt_dense_values must have a dimension")
    levels = _levels(nested, len(values))
    shape = [len(levels[0]) - 1]
    columns = [np.arange(shape[0])]
    for splits in levels:
        lengths = splits[1:] - splits[:-1]
        shape.append(max(lengths.tolist(), default=0))
        columns = [np.repeat(column, lengths) for column in columns]
        columns.append(np.arange(splits[-1]) - np.repeat(splits[:-1], lengths))
    inner = values.shape[1:]
    each = math.prod(inner)
    columns = [np.repeat(column, each) for column in columns]
    if inner:
        grid = np.indices(inner).reshape(len(inner), -1)
        columns += [np.tile(row, len(values)) for row in grid]
    indices = np.stack(columns, 1).astype(np.int64)
    whole = np.array([*shape, *inner], np.int64)
    return xp.asarray(indices), values.reshape(-1).copy(), whole
