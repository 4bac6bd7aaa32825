"""Counts of whole numbers, and places in sorted rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.devices.constants import constant


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("Bincount", host=["size"])
def bincount(xp: Any, arr: Any, size: Any, weights: Any) -> Any:
    """Counts, or sums of weights; numbers that are not below `size` are left out."""
    count = int(size)
    if count < 0:
        raise _refuse(f"size ({count}) must be non-negative")
    if weights.size and weights.shape != arr.shape:
        raise _refuse("Shape of weights must be that of arr, or weights must be empty")
    numbers = arr.reshape(-1)
    if numbers.size and numbers.min() < 0:
        raise _refuse("Input arr must be non-negative!")
    result = xp.zeros(count, weights.dtype)
    kept = numbers < count
    each = weights.reshape(-1)[kept] if weights.size else xp.ones((), weights.dtype)
    xp.add.at(result, numbers[kept], each)
    return result


def _counted(
    xp: Any, rows: Any, count: int, numbers: Any, size: int, weights: Any, binary: bool
) -> Any:
    """Counts of `numbers` for each of so many rows; `rows` tells where each number belongs."""
    if size < 0:
        raise _refuse(f"size ({size}) must be non-negative")
    if weights.size and weights.size != numbers.size:
        raise _refuse("`weights` must be the same shape as `arr` or a length-0 `Tensor`")
    if numbers.size and numbers.min() < 0:
        raise _refuse("Input arr must be non-negative!")
    result = xp.zeros((count, size), weights.dtype)
    kept = numbers < size
    places = rows[kept], numbers[kept]
    if binary:
        result[places] = 1
    else:
        each = weights.reshape(-1)[kept] if weights.size else xp.ones((), weights.dtype)
        xp.add.at(result, places, each)
    return result


@kernel("DenseBincount", host=["size"])
def dense_bincount(xp: Any, input: Any, size: Any, weights: Any, *, binary_output: bool) -> Any:
    """Counts of a vector, or of each row of a matrix."""
    if input.ndim > 2:
        raise _refuse(f"Shape must be at most rank 2 but is rank {input.ndim}")
    count = input.shape[0] if input.ndim == 2 else 1
    rows = xp.arange(count).repeat(input.shape[-1] if input.ndim else 1)
    found = _counted(xp, rows, count, input.reshape(-1), int(size), weights, binary_output)
    return found if input.ndim == 2 else found[0]


@kernel("RaggedBincount", host=["splits", "size"])
def ragged_bincount(
    xp: Any, splits: Any, values: Any, size: Any, weights: Any, *, binary_output: bool
) -> Any:
    """Counts of each ragged row."""
    lengths = splits[1:] - splits[:-1]
    if not splits.size or splits[0] != 0 or (lengths < 0).any() or splits[-1] != values.size:
        raise _refuse(
            f"Splits must start with 0, never fall and end with {values.size}, not be "
            f"{splits.tolist()}"
        )
    rows = xp.asarray(np.repeat(np.arange(len(lengths)), lengths))
    return _counted(xp, rows, len(lengths), values.reshape(-1), int(size), weights, binary_output)


@kernel("SparseBincount", host=["dense_shape", "size"])
def sparse_bincount(
    xp: Any,
    indices: Any,
    values: Any,
    dense_shape: Any,
    size: Any,
    weights: Any,
    *,
    binary_output: bool,
) -> Any:
    """Counts of a sparse vector, or of each row of a sparse matrix."""
    rank = dense_shape.size
    if rank not in (1, 2):
        raise _refuse(f"Shape must be of rank 1 or 2, not {rank}")
    if indices.ndim != 2 or indices.shape != (values.size, rank):
        raise _refuse(
            "Number of sparse indices must be that of the values, each of the shape's rank"
        )
    count = int(dense_shape[0]) if rank == 2 else 1
    rows = indices[:, 0] if rank == 2 else xp.zeros(values.size, xp.int64)
    if rows.size and not (rows.min() >= 0 and rows.max() < count):
        raise _refuse(f"Index out of bound: rows must be in [0, {count})")
    found = _counted(xp, rows, count, values, int(size), weights, binary_output)
    return found if rank == 2 else found[0]


@kernel("Bucketize")
def bucketize(xp: Any, input: Any, *, boundaries: list[float]) -> Any:
    """How many boundaries are at most each number."""
    bounds = np.asarray(boundaries, np.float32)
    if (bounds[1:] < bounds[:-1]).any():
        raise _refuse("Expected sorted boundaries")
    return xp.searchsorted(constant(xp, bounds), input, side="right").astype(xp.int32)


def _places(xp: Any, rows: Any, values: Any, side: str, out_type: DType) -> Any:
    if rows.ndim != 2 or values.ndim != 2 or len(rows) != len(values):
        raise _refuse("Leading dim_size of both tensors must match.")
    result = xp.empty(values.shape, out_type.numpy)
    for number in range(len(rows)):
        result[number] = xp.searchsorted(rows[number], values[number], side=side)
    return result


@kernel("LowerBound", device="CPU")
def lower_bound(xp: Any, sorted_inputs: Any, values: Any, *, out_type: DType) -> Any:
    """Before equal elements."""
    return _places(xp, sorted_inputs, values, "left", out_type)


@kernel("UpperBound", device="CPU")
def upper_bound(xp: Any, sorted_inputs: Any, values: Any, *, out_type: DType) -> Any:
    """Behind equal elements."""
    return _places(xp, sorted_inputs, values, "right", out_type)
