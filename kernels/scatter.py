"""Arrays made from, or changed at, given indices."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import sizes_of
from tfsession.kernels.gather import flat_places, index_text
from tfsession.kernels.segment_sums import add_rows, combine_rows, row_sums


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _rows(xp: Any, shape: tuple[int, ...], indices: Any, updates: Any) -> tuple[Any, Any]:
    """Row numbers in an array of `shape` and the update of each, checked."""
    if indices.ndim < 1:
        raise _refuse("indices must be at least a vector")
    depth, outer = indices.shape[-1], indices.ndim - 1
    if depth > len(shape):
        raise _refuse(
            f"Dimensions [{depth},{len(shape)}) of input[shape={debug_string(shape)}] must match "
            f"dimensions [{outer},{updates.ndim}) of updates[shape={debug_string(updates.shape)}]"
        )
    if updates.shape != (*indices.shape[:-1], *shape[depth:]):
        raise _refuse(
            f"Dimensions [0,{outer}) of indices[shape={debug_string(indices.shape)}] and "
            f"[{depth},{len(shape)}) of input[shape={debug_string(shape)}] must match updates"
            f"[shape={debug_string(updates.shape)}]"
        )
    places, bad = flat_places(xp, shape, indices)
    if bad.any():
        raise _refuse(
            f"{index_text(xp, indices, bad)} does not index into shape {debug_string(shape)}"
        )
    return places.reshape(-1), updates.reshape(places.size, *shape[depth:])


def _as_rows(xp: Any, array: Any, depth: int) -> Any:
    return array.reshape(math.prod(array.shape[:depth]), *array.shape[depth:])


@kernel("ScatterNd", host=["shape"])
def scatter_nd(xp: Any, indices: Any, updates: Any, shape: Any) -> Any:
    """Zeros with the updates added."""
    sizes = tuple(sizes_of(shape, "Shape must be a vector, not of shape ")[0])
    places, rows = _rows(xp, sizes, indices, updates)
    if updates.dtype.kind == "O":
        result = xp.full(sizes, b"", object)
        _as_rows(xp, result, indices.shape[-1])[places] = rows
        return result
    count = math.prod(sizes[: indices.shape[-1]])
    return row_sums(xp, places, rows, count).reshape(sizes)


def _changed(xp: Any, tensor: Any, indices: Any, updates: Any) -> tuple[Any, Any, Any, Any]:
    """A copy of the tensor, its rows, the places to change and the update of each."""
    result = xp.array(tensor, order="C")
    places, rows = _rows(xp, tensor.shape, indices, updates)
    return result, _as_rows(xp, result, indices.shape[-1]), places, rows


@kernel("TensorScatterUpdate")
def tensor_scatter_update(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
    """A copy with elements replaced."""
    result, target, places, rows = _changed(xp, tensor, indices, updates)
    target[places] = rows
    return result


@kernel("TensorScatterAdd")
def tensor_scatter_add(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
    """A copy with the updates added."""
    result, target, places, rows = _changed(xp, tensor, indices, updates)
    add_rows(xp, target, places, rows)
    return result


@kernel("TensorScatterSub")
def tensor_scatter_sub(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
    """A copy with the updates subtracted."""
    result, target, places, rows = _changed(xp, tensor, indices, updates)
    add_rows(xp, target, places, rows, "subtract")
    return result


@kernel("TensorScatterMax")
def tensor_scatter_max(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
    """A copy with elements raised to the updates."""
    result, target, places, rows = _changed(xp, tensor, indices, updates)
    combine_rows(xp, "maximum", target, places, rows)
    return result


@kernel("TensorScatterMin")
def tensor_scatter_min(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
    """A copy with elements lowered to the updates."""
    result, target, places, rows = _changed(xp, tensor, indices, updates)
    combine_rows(xp, "minimum", target, places, rows)
    return result
