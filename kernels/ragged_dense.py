"""Ragged tensors made rectangular."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("RaggedTensorToTensor", host=["shape", "row_partition_tensors"])
def ragged_tensor_to_tensor(
    xp: Any,
    shape: Any,
    values: Any,
    default_value: Any,
    *row_partition_tensors: Any,
    row_partition_types: list[bytes],
) -> Any:
    """Each row cut or filled up to the longest, or to the size that is asked for."""
    if not values.ndim:
        raise _refuse("values must have at least one dimension")
    first, levels = _levels(row_partition_tensors, row_partition_types, len(values))
    longest = [max((level[1:] - level[:-1]).tolist(), default=0) for level in levels]
    sizes = [first, *longest, *values.shape[1:]]
    if shape.ndim:
        if shape.size != len(sizes):
            raise _refuse(f"Shape {shape.tolist()} must have {len(sizes)} dimensions")
        sizes = [own if size < 0 else int(size) for size, own in zip(shape, sizes, strict=True)]
    elif shape != -1:
        raise _refuse("The only valid scalar shape tensor is the fully unknown shape, -1.")
    ragged, inner = sizes[: len(levels) + 1], tuple(sizes[len(levels) + 1 :])
    if inner != values.shape[1:]:
        raise _refuse(f"Shape {debug_string(tuple(sizes))} does not fit values of {values.shape}")
    places = np.arange(first)
    places[ragged[0] :] = -1
    for splits, size in zip(levels, ragged[1:], strict=True):
        lengths = splits[1:] - splits[:-1]
        columns = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
        parents = np.repeat(places, lengths)
        places = np.where((parents >= 0) & (columns < size), parents * size + columns, -1)
    result = xp.empty((math.prod(ragged), *inner), values.dtype)
    result[...] = default_value
    kept = places >= 0
    result[xp.asarray(places[kept])] = values[xp.asarray(kept)]
    return result.reshape(sizes)


def _levels(tensors: Sequence[Any], kinds: list[bytes], count: int) -> tuple[int, list[Any]]:
    """The number of rows, and for each ragged dimension where its rows begin and end.

    Raises:
        InvalidArgumentError: the tensors are no such partitions of so many values.
    """
    if len(tensors) != len(kinds):
        raise _refuse(f"{len(tensors)} partitions, but {len(kinds)} kinds of them")
    levels: list[Any] = []
    rows = None
    for kind, tensor in zip(kinds, tensors, strict=True):
        if kind == b"FIRST_DIM_SIZE" and rows is None and not tensor.ndim and tensor >= 0:
            rows = first = int(tensor)
            continue
        if tensor.ndim != 1:
            raise _refuse(f"A partition by {kind.decode()} must be a vector")
        splits = tensor.astype(np.int64)
        if kind == b"VALUE_ROWIDS":
            if rows is None:
                raise _refuse("Cannot handle VALUE_ROWIDS in first dimension.")
            if splits.size and (
                splits[0] < 0 or splits[-1] >= rows or (splits[1:] < splits[:-1]).any()
            ):
                raise _refuse(f"Row ids must never fall and be in [0, {rows})")
            splits = np.searchsorted(splits, np.arange(rows + 1))
        elif kind != b"ROW_SPLITS":
            raise _refuse(f"Unsupported row partition type: {kind.decode(errors='replace')}")
        elif not splits.size or splits[0] != 0 or (splits[1:] < splits[:-1]).any():
            raise _refuse(f"Row splits must start with 0 and never fall, not be {splits.tolist()}")
        if rows is None:
            first = len(splits) - 1
        elif len(splits) != rows + 1:
            raise _refuse(f"{len(splits) - 1} rows are told for {rows}")
        levels.append(splits)
        rows = int(splits[-1])
    if not levels or rows != count:
        raise _refuse(f"The partitions are of {rows} values, there are {count}")
    return first, levels
