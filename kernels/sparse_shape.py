"""Kernels of sparse tensors in other shapes and orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import MOST_DIMENSIONS
from tfsession.kernels.sparse_math import (
    check_places,
    flat_places,
    found_values,
    refuse,
    row_major_order,
    split_places,
)


@kernel("SparseReshape", host=["input_shape", "new_shape"], host_outputs=["output_shape"])
def reshape(xp: Any, input_indices: Any, input_shape: Any, new_shape: Any) -> Any:
    """Places in another dense shape, and the shape."""
    if input_shape.ndim != 1 or new_shape.ndim != 1:
        raise refuse("Input shape and new shape should be vectors")
    if max(input_shape.size, new_shape.size) > MOST_DIMENSIONS:
        raise refuse("Too many dimensions in tensor")
    sizes, wanted = input_shape.tolist(), new_shape.tolist()
    unknown = [axis for axis, size in enumerate(wanted) if size == -1]
    if len(unknown) > 1:
        raise refuse(f"only one output dimension may be -1, not both {unknown[0]} and {unknown[1]}")
    if any(size < -1 for size in wanted):
        raise refuse(f"size {min(wanted)} must be non-negative, not {min(wanted)}")
    count, rest = math.prod(sizes), math.prod(size for size in wanted if size != -1)
    if unknown:
        if not rest or count % rest:
            raise refuse(
                f"Input to reshape is a SparseTensor with {count} dense values, but the requested "
                f"shape requires a multiple of {rest}. input_shape={debug_string(sizes)} "
                f"output_shape={debug_string(wanted)}"
            )
        wanted[unknown[0]] = count // rest
    elif rest != count:
        raise refuse(
            f"Input to reshape is a tensor with {count} dense values, but the requested shape has "
            f"{rest}. input_shape={debug_string(sizes)} output_shape={debug_string(wanted)}"
        )
    check_places(xp, input_indices, sizes)
    flat = flat_places(xp, input_indices, sizes)
    return split_places(xp, flat, wanted), np.array(wanted, np.int64)


@kernel("SparseReorder", host=["input_shape"])
def reorder(xp: Any, input_indices: Any, input_values: Any, input_shape: Any) -> Any:
    """Elements in row-major order."""
    if input_indices.ndim != 2 or input_values.shape != input_indices.shape[:1]:
        raise refuse(
            "Input indices should be a matrix with a row for each value, but received shapes "
            f"{debug_string(input_indices.shape)} and {debug_string(input_values.shape)}"
        )
    order = row_major_order(xp, input_indices)
    return input_indices[order], input_values[order]


@kernel("SparseConcat", host=["shapes"], host_outputs=["output_shape"])
def concat(xp: Any, *inputs: Any, concat_dim: int, N: int) -> Any:
    """Sparse tensors one after the other along a dimension."""
    indices, values, shapes = inputs[:N], inputs[N : 2 * N], inputs[2 * N :]
    count = shapes[0].size
    if not -count <= concat_dim < count:
        raise refuse(f"Concat dimension must be in range [{-count}, {count}), got {concat_dim}")
    axis = concat_dim % count
    for number, own in enumerate(shapes):
        if own.ndim != 1:
            text = f"{debug_string(own.shape)} at position {number}"
            raise refuse(f"Input shapes should be a vector but received shape {text}")
    sizes = shapes[0].copy()
    for number, own in enumerate(shapes[1:], 1):
        if own.size != count:
            raise refuse(
                f"Ranks of all input tensors must match: expected {count} but got {own.size} at "
                f"position {number}"
            )
        for other in range(count):
            if other != axis and own[other] != sizes[other]:
                raise refuse(
                    f"Input shapes must match: expected {int(sizes[other])} for dimension {other} "
                    f"but got {int(own[other])} at position {number}"
                )
    moved, offset = [], 0
    for places, own in zip(indices, shapes, strict=True):
        check_places(xp, places, own.tolist())
        step = [offset if other == axis else 0 for other in range(count)]
        moved.append(places + xp.asarray(step, xp.int64))
        offset += int(own[axis])
    sizes[axis] = offset
    places = xp.concatenate(moved)
    order = row_major_order(xp, places)
    return places[order], xp.concatenate(values)[order], sizes


@kernel("SparseSplit", host=["split_dim", "shape"], host_outputs=["output_shape"])
def split(xp: Any, split_dim: Any, indices: Any, values: Any, shape: Any, *, num_split: int) -> Any:
    """Parts along a dimension; the first ones are longer by one where it does not come out even."""
    count, axis = shape.size, split_dim.item() if split_dim.size == 1 else 0
    if split_dim.size != 1:
        raise refuse("Input split_dim should be a scalar")
    if not -count <= axis < count:
        raise refuse(f"Input axis should be in range [{-count}, {count}), got {axis}")
    axis %= count
    size = int(shape[axis])
    if not 1 <= num_split <= size:
        raise refuse(
            "Input num_split should be between 1 and the splitting dimension size "
            f"({size}), got {num_split}"
        )
    check_places(xp, indices, shape.tolist())
    places, parts, sizes = [], [], []
    start = 0
    for number in range(num_split):
        length = size // num_split + (number < size % num_split)
        here = (indices[:, axis] >= start) & (indices[:, axis] < start + length)
        step = [start if other == axis else 0 for other in range(count)]
        places.append(indices[here] - xp.asarray(step, xp.int64))
        parts.append(values[here])
        own = shape.copy()
        own[axis] = length
        sizes.append(own)
        start += length
    return (*places, *parts, *sizes)


@kernel("SparseSlice", host=["shape", "start", "size"], host_outputs=["output_shape"])
def cut(xp: Any, indices: Any, values: Any, shape: Any, start: Any, size: Any) -> Any:
    """The elements of a part."""
    for name, value in (("start", start), ("size", size)):
        if value.ndim != 1 or value.size != shape.size:
            raise refuse(
                f"Expected {name} to be a vector of length {shape.size} but got length {value.size}"
            )
    check_places(xp, indices, shape.tolist())
    ends = [min(a + b, end) for a, b, end in zip(*map(_ints, (start, size, shape)), strict=True)]
    here = ((indices >= xp.asarray(start)) & (indices < xp.asarray(ends, xp.int64))).all(axis=1)
    sizes = shape.copy()
    sizes[:] = [max(end - first, 0) for first, end in zip(_ints(start), ends, strict=True)]
    return indices[here] - xp.asarray(start), values[here], sizes


def _ints(vector: Any) -> list[int]:
    found: list[int] = vector.tolist()
    return found


@kernel("SparseSliceGrad", host=["input_start"])
def cut_grad(
    xp: Any, backprop_val_grad: Any, input_indices: Any, input_start: Any, output_indices: Any
) -> Any:
    """For each element its gradient in the part, or 0 where it is not in it."""
    places = output_indices + xp.asarray(input_start)
    return found_values(xp, places, backprop_val_grad, input_indices)


@kernel("SparseFillEmptyRows", host=["dense_shape"])
def fill_empty_rows(
    xp: Any, indices: Any, values: Any, dense_shape: Any, default_value: Any
) -> Any:
    """Elements by rows, with one for each row that had none."""
    if default_value.ndim:
        raise refuse(f"default_value must be a scalar, saw: {debug_string(default_value.shape)}")
    if dense_shape.ndim != 1 or not dense_shape.size:
        raise refuse("Dense shape must have at least one dimension.")
    if indices.ndim != 2 or values.shape != indices.shape[:1]:
        raise refuse(
            "indices must be a matrix with a row for each value, saw shapes "
            f"{debug_string(indices.shape)} and {debug_string(values.shape)}"
        )
    count, rows = int(dense_shape[0]), indices[:, 0]
    bad = (rows < 0) | (rows >= count)
    if bad.any():
        at = int(xp.nonzero(bad)[0][0])
        raise refuse(f"indices({at}, 0) is invalid: {int(rows[at])} >= {count}")
    is_empty = xp.bincount(rows, minlength=count) == 0
    missing = xp.nonzero(is_empty)[0]
    added = xp.zeros((missing.size, indices.shape[1]), indices.dtype)
    added[:, 0] = missing
    filling = xp.empty(missing.size, values.dtype)
    filling[...] = default_value
    places = xp.concatenate([indices, added])
    order = xp.argsort(places[:, 0], kind="stable")
    numbers = xp.empty(order.size, xp.int64)
    numbers[order] = xp.arange(order.size)
    filled = xp.concatenate([values, filling])[order]
    return places[order], filled, is_empty, numbers[: len(values)]


@kernel("SparseFillEmptyRowsGrad")
def fill_empty_rows_grad(xp: Any, reverse_index_map: Any, grad_values: Any) -> Any:
    """The gradients of the elements, and the sum of those of what was filled in."""
    if reverse_index_map.ndim != 1 or grad_values.ndim != 1:
        raise refuse("reverse_index_map and grad_values must be vectors")
    bad = (reverse_index_map < 0) | (reverse_index_map >= grad_values.size)
    if bad.any():
        at = int(xp.nonzero(bad)[0][0])
        raise refuse(
            f"Elements in reverse index must be in [0, {grad_values.size}) but got "
            f"{int(reverse_index_map[at])}"
        )
    was_there = xp.zeros(grad_values.size, bool)
    was_there[reverse_index_map] = True
    rest = xp.where(was_there, xp.zeros((), grad_values.dtype), grad_values)
    return grad_values[reverse_index_map], rest.sum(dtype=grad_values.dtype)
