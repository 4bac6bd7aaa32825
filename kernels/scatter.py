"""Arrays made from, or changed at, given indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import sizes_of
from tfsession.kernels.gather import flat_places, index_text
from tfsession.kernels.segment_sums import (
    add_rows,
    combine_rows,
    put_rows,
    row_sums,
    without_strays,
)


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _rows(
    xp: Any, shape: tuple[int, ...], indices: Any, updates: Any, check: bool
) -> tuple[Any, Any]:
    """Row numbers in an array of `shape`, -1 out of range unless that is refused; their updates."""
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
    if not check:
        places = xp.where(bad, -1, places)
    elif bad.any():
        raise _refuse(
            f"{index_text(xp, indices, bad)} does not index into shape {debug_string(shape)}"
        )
    return places.reshape(-1), updates.reshape(places.size, *shape[depth:])


def _as_rows(xp: Any, array: Any, depth: int) -> Any:
    return array.reshape(math.prod(array.shape[:depth]), *array.shape[depth:])


@kernel("ScatterNd", host=["shape"], device="CPU")
def scatter_nd_checked(xp: Any, indices: Any, updates: Any, shape: Any) -> Any:
    """Zeros with the updates added; an index out of range is an error."""
    sizes = tuple(sizes_of(shape, "Shape must be a vector, not of shape ")[0])
    places, rows = _rows(xp, sizes, indices, updates, check=True)
    if updates.dtype.kind == "O":
        result = xp.full(sizes, b"", object)
        _as_rows(xp, result, indices.shape[-1])[places] = rows
        return result
    count = math.prod(sizes[: indices.shape[-1]])
    return row_sums(xp, places, rows, count).reshape(sizes)


@kernel("ScatterNd", host=["shape"])
def scatter_nd(xp: Any, indices: Any, updates: Any, shape: Any) -> Any:
    """Zeros with the updates added, those out of range left out; the host does not look at them."""
    sizes = tuple(sizes_of(shape, "Shape must be a vector, not of shape ")[0])
    places, rows = _rows(xp, sizes, indices, updates, check=False)
    result = xp.zeros(sizes, updates.dtype)
    target = _as_rows(xp, result, indices.shape[-1])
    combine_rows(xp, "add", target, *without_strays(xp, "add", target, places, rows))
    return result


def _replace(xp: Any, result: Any, ids: Any, rows: Any) -> None:
    put_rows(xp, result, ids, rows)


_CHANGES = {
    "Update": (None, _replace),
    "Add": ("add", add_rows),
    "Sub": ("subtract", partial(add_rows, ufunc="subtract")),
    "Max": ("maximum", partial(combine_rows, ufunc="maximum")),
    "Min": ("minimum", partial(combine_rows, ufunc="minimum")),
}


def _register(name: str, ufunc: str | None, change: Callable[..., None]) -> None:
    """A changed copy of a tensor; a place out of range is an error on the CPU alone."""

    @kernel(f"TensorScatter{name}", device="CPU")
    def _(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
        result = xp.array(tensor, order="C")
        places, rows = _rows(xp, tensor.shape, indices, updates, check=True)
        target = _as_rows(xp, result, indices.shape[-1])
        change(xp, result=target, ids=places, rows=rows)
        return result

    @kernel(f"TensorScatter{name}")
    def _(xp: Any, tensor: Any, indices: Any, updates: Any) -> Any:
        result = xp.array(tensor, order="C")
        places, rows = _rows(xp, tensor.shape, indices, updates, check=False)
        target = _as_rows(xp, result, indices.shape[-1])
        places, rows = without_strays(xp, ufunc, target, places, rows)
        if ufunc is None:
            put_rows(xp, target, places, rows)
        else:
            combine_rows(xp, ufunc, target, places, rows)
        return result


for _name, _how in _CHANGES.items():
    _register(_name, *_how)
