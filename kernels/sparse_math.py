"""Kernels of sparse arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.segment_sums import (
    SparseRows,
    add_rows,
    combine_rows,
    products_unseen,
    without_strays,
)


def refuse(text: str) -> InvalidArgumentError:
    """The error of a wrong input."""
    return InvalidArgumentError(None, None, text)


# --- products -------------------------------------------------------------------------------------


@kernel("SparseTensorDenseMatMul", host=["a_shape"])
def product(
    xp: Any,
    a_indices: Any,
    a_values: Any,
    a_shape: Any,
    b: Any,
    *,
    adjoint_a: bool,
    adjoint_b: bool,
) -> Any:
    """The product of a sparse matrix and a dense one; narrow floats are rounded once.

    The host does not look at the indices: see `products_unseen` for those out of range.
    """
    values, dense = _factors(xp, a_indices, a_values, a_shape, b, adjoint_a, adjoint_b)
    count = a_shape.tolist()[1 if adjoint_a else 0]
    places = a_indices[:, ::-1] if adjoint_a else a_indices
    return products_unseen(xp, places, values, dense, count).astype(b.dtype, copy=False)


@kernel("SparseTensorDenseMatMul", host=["a_shape"], keeps=["a_indices", "a_shape"], device="CPU")
def product_checked(
    xp: Any,
    a_indices: Any,
    a_values: Any,
    a_shape: Any,
    b: Any,
    *,
    adjoint_a: bool,
    adjoint_b: bool,
    kept: dict[str, Any] | None = None,
) -> Any:
    """The product of a sparse matrix and a dense one; narrow floats are rounded once."""
    order = kept.get("order") if kept is not None else None
    if order is None:
        _check_factors(a_indices, a_values, a_shape, b)
        sizes = a_shape.tolist()
        sides = _checked_sides(xp, a_indices, sizes, ("k", "m") if adjoint_a else ("m", "k"))
        rows, columns = reversed(sides) if adjoint_a else sides
        count = sizes[1 if adjoint_a else 0]
        order = SparseRows(xp, rows, columns, count, is_kept=kept is not None)
        if kept is not None:
            kept["order"] = order
    values, dense = _factors(xp, a_indices, a_values, a_shape, b, adjoint_a, adjoint_b)
    return order.times(values, dense).astype(b.dtype, copy=False)


def _factors(
    xp: Any, a_indices: Any, a_values: Any, a_shape: Any, b: Any, adjoint_a: bool, adjoint_b: bool
) -> tuple[Any, Any]:
    """The stored elements, and the dense matrix as its columns meet them; checked."""
    _check_factors(a_indices, a_values, a_shape, b)
    sizes = a_shape.tolist()
    inner = sizes[0 if adjoint_a else 1]
    if inner != b.shape[1 if adjoint_b else 0]:
        raise refuse(
            "Cannot multiply A and B because inner dimension does not match: "
            f"{inner} vs. {b.shape[1 if adjoint_b else 0]}.  Did you forget a transpose?  "
            f"Dimensions of A: [{sizes[0]}, {sizes[1]}).  Dimensions of B: {debug_string(b.shape)}"
        )
    if b.dtype.itemsize == 2 and b.dtype.kind not in "iu":
        a_values, b = a_values.astype(xp.float32), b.astype(xp.float32)
    if b.dtype.kind == "c":
        a_values = a_values.conj() if adjoint_a else a_values
        b = b.conj() if adjoint_b else b
    return a_values, xp.ascontiguousarray(b.T if adjoint_b else b)


def _checked_sides(xp: Any, a_indices: Any, sizes: list[int], names: tuple[str, str]) -> list[Any]:
    """The row and the column of each element, none out of range."""
    sides = _sides(xp, a_indices, sizes)
    for side in sorted((0, 1), key=names.__getitem__, reverse=True):
        column = sides[side]
        unsigned = column.view(f"u{column.itemsize}")  # no sign is large
        if column.size and int(unsigned.max()) >= sizes[side]:
            at = int(xp.nonzero((column < 0) | (column >= sizes[side]))[0][0])
            raise refuse(
                f"{names[side]} ({int(column[at])}) from index[{at},{side}] out of bounds "
                f"(>={sizes[side]})"
            )
    return sides


def _sides(xp: Any, a_indices: Any, sizes: list[int]) -> list[Any]:
    """The row and the column of each element, in four bytes if they fit."""
    indices = xp.ascontiguousarray(a_indices)
    unsigned = indices.view(xp.uint64 if indices.itemsize == 8 else xp.uint32)  # no sign is large
    fits = max(sizes) < 1 << 31 and (not indices.size or int(unsigned.max()) < 1 << 31)
    sides = [indices[:, 0], indices[:, 1]]
    return [xp.ascontiguousarray(side, xp.int32) for side in sides] if fits else sides


def _check_factors(a_indices: Any, a_values: Any, a_shape: Any, b: Any) -> None:
    if b.ndim != 2:
        raise refuse("Tensor 'b' is not a matrix")
    if a_shape.ndim != 1 or a_shape.size != 2:
        raise refuse("Tensor 'a_shape' must have 2 elements")
    if a_values.ndim != 1:
        raise refuse("Tensor 'a_values' is not a vector")
    if a_indices.ndim != 2 or a_indices.shape[1] != 2:
        raise refuse("Tensor 'a_indices' is not a matrix of two columns")
    if a_indices.shape[0] != a_values.size:
        raise refuse("Number of rows of a_indices does not match number of entries in a_values")


# --- beside dense tensors -------------------------------------------------------------------------


def flat_places(xp: Any, places: Any, sizes: list[int]) -> Any:
    """The number of each place in a flat dense tensor of these sizes."""
    if math.prod(sizes) >= 1 << 63:
        raise refuse(f"A dense shape of {sizes} has too many elements")
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    return (places * xp.asarray(strides, xp.int64)).sum(axis=1, dtype=xp.int64)


def split_places(xp: Any, flat: Any, sizes: list[int]) -> Any:
    """The places that have these numbers: the way back from `flat_places`."""
    places = xp.zeros((flat.size, len(sizes)), xp.int64)
    for axis in reversed(range(len(sizes))):
        places[:, axis] = flat % max(sizes[axis], 1)
        flat = flat // max(sizes[axis], 1)
    return places


def _check_broadcast(sizes: list[int], dense: Any) -> None:
    offset = len(sizes) - dense.ndim
    fits = offset >= 0 and all(
        own in (1, size) for own, size in zip(dense.shape, sizes[max(offset, 0) :], strict=False)
    )
    if not fits:
        raise refuse(
            "SparseDenseBinaryOpShared broadcasts dense to sparse only; got incompatible shapes: "
            f"{debug_string(sizes)} vs. {debug_string(dense.shape)}"
        )


def _met(xp: Any, places: Any, sizes: list[int], dense: Any) -> Any:
    """The element of the dense tensor, broadcast to `sizes`, at each place."""
    _check_broadcast(sizes, dense)
    check_places(xp, places, sizes)
    offset = len(sizes) - dense.ndim
    index = [
        places[:, offset + axis] if size != 1 else xp.zeros(places.shape[0], xp.int64)
        for axis, size in enumerate(dense.shape)
    ]
    return dense[tuple(index)]


def _met_unseen(xp: Any, places: Any, sizes: list[int], dense: Any) -> Any:
    """The same without a look at places; out of range is no number, or 0 of a type without one."""
    _check_broadcast(sizes, dense)
    flat = _flat_unseen(xp, places, sizes)
    if not flat.size or not dense.size:
        return xp.zeros(flat.size, dense.dtype)
    offset, at = len(sizes) - dense.ndim, xp.zeros(flat.size, xp.int64)
    for axis, size in enumerate(dense.shape):
        if size != 1:
            at += places[:, offset + axis] * math.prod(dense.shape[axis + 1 :])
    nothing = xp.full((), math.nan if dense.dtype.kind in "fcV" else 0, dense.dtype)
    is_there = flat >= 0
    return xp.where(is_there, xp.take(dense.reshape(-1), xp.where(is_there, at, 0)), nothing)


def stored_sizes(values: Any, shape: Any, name: str = "sp") -> list[int]:
    """The sizes of a sparse tensor, whose stored elements are `values`."""
    if values.ndim != 1 or shape.ndim != 1:
        raise refuse(
            f"Inputs {name}_values and {name}_shape should be vectors but received shapes: "
            f"{debug_string(values.shape)} and {debug_string(shape.shape)}"
        )
    sizes: list[int] = shape.tolist()
    return sizes


def _check_rank(places: Any, sizes: list[int]) -> None:
    if places.ndim != 2 or places.shape[1] != len(sizes):
        raise refuse(
            f"indices of shape {debug_string(places.shape)} do not fit a shape of "
            f"{len(sizes)} dimensions"
        )


def check_places(xp: Any, places: Any, sizes: list[int]) -> None:
    """InvalidArgumentError where a place lies outside of the shape, or has another rank."""
    _check_rank(places, sizes)
    if not places.size:
        return
    bad = (places < 0) | (places >= xp.asarray(sizes))
    if bad.any():
        at = int(xp.nonzero(bad.any(axis=1))[0][0])
        raise refuse(
            f"indices[{at}] = {places[at].tolist()} is out of bounds: need 0 <= index < {sizes}"
        )


def _flat_unseen(xp: Any, places: Any, sizes: list[int]) -> Any:
    """The number of each place in a flat dense tensor, -1 for those out of range."""
    _check_rank(places, sizes)
    flat, is_there = xp.zeros(len(places), xp.int64), xp.ones(len(places), bool)
    for axis, size in enumerate(sizes):
        column = places[:, axis]
        is_there &= (column >= 0) & (column < size)
        flat = flat * size + column
    return xp.where(is_there, flat, -1)


def _quotients(xp: Any, values: Any, met: Any) -> Any:
    """Integers divided, and cut off; 0 where the divisor is 0."""
    quotient = values // xp.where(met == 0, xp.ones_like(met), met)
    is_cut = (quotient < 0) & (quotient * met != values)
    return xp.where(met == 0, xp.zeros_like(met), quotient + is_cut.astype(quotient.dtype))


def _cwise(op_type: str, combine: Callable[[Any, Any, Any], Any]) -> None:
    """Register what combines stored elements with those that they meet."""

    def seen(xp: Any, sp_indices: Any, sp_values: Any, sp_shape: Any, dense: Any) -> Any:
        sizes = stored_sizes(sp_values, sp_shape)
        return combine(xp, sp_values, _met(xp, sp_indices, sizes, dense))

    def unseen(xp: Any, sp_indices: Any, sp_values: Any, sp_shape: Any, dense: Any) -> Any:
        sizes = stored_sizes(sp_values, sp_shape)
        return combine(xp, sp_values, _met_unseen(xp, sp_indices, sizes, dense))

    kernel(op_type, host=["sp_shape"], device="CPU")(seen)
    kernel(op_type, host=["sp_shape"])(unseen)


def _divided(xp: Any, values: Any, met: Any) -> Any:
    if values.dtype.kind not in "iu":
        return values / met
    if xp is np and (met == 0).any():
        raise refuse("Integer division by zero")
    return _quotients(xp, values, met)


_cwise("SparseDenseCwiseMul", lambda xp, values, met: values * met)
_cwise("SparseDenseCwiseDiv", _divided)
_cwise("SparseDenseCwiseAdd", lambda xp, values, met: values + met)


def _check_summands(a_values: Any, a_shape: Any, b: Any) -> list[int]:
    sizes = stored_sizes(a_values, a_shape, "a")
    if len(sizes) != b.ndim:
        raise refuse(
            "Two operands have different ranks; received: "
            f"{len(sizes)} on the sparse side and {b.ndim} on the dense side"
        )
    for axis, (one, other) in enumerate(zip(sizes, b.shape, strict=True)):
        if one != other:
            raise refuse(
                f"Dimension {axis} does not equal (no broadcasting is supported): sparse side "
                f"{one} vs dense side {other}"
            )
    return sizes


@kernel("SparseTensorDenseAdd", host=["a_shape"], device="CPU")
def dense_sum(xp: Any, a_indices: Any, a_values: Any, a_shape: Any, b: Any) -> Any:
    """A copy of the dense tensor with the stored elements added."""
    sizes = _check_summands(a_values, a_shape, b)
    check_places(xp, a_indices, sizes)
    result = xp.array(b, order="C")
    add_rows(xp, result.reshape(-1), flat_places(xp, a_indices, sizes), a_values)
    return result


@kernel("SparseTensorDenseAdd", host=["a_shape"])
def dense_sum_unseen(xp: Any, a_indices: Any, a_values: Any, a_shape: Any, b: Any) -> Any:
    """The same without a look at places: those out of range are left out."""
    sizes = _check_summands(a_values, a_shape, b)
    result = xp.array(b, order="C")
    flat, places = result.reshape(-1), _flat_unseen(xp, a_indices, sizes)
    combine_rows(xp, "add", flat, *without_strays(xp, "add", flat, places, a_values))
    return result


# --- two sparse tensors ---------------------------------------------------------------------------


def row_major_order(xp: Any, places: Any) -> Any:
    """A stable order of places, the first column first."""
    if not places.shape[1]:
        return xp.arange(len(places))
    return xp.lexsort(xp.ascontiguousarray(places.T[::-1]))


def _union(xp: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """The places of either, in order, and where each place of `a` and of `b` is among them."""
    both = xp.concatenate([a, b])
    order = row_major_order(xp, both)
    there = both[order]
    is_new = xp.ones(len(both), bool)
    is_new[1:] = (there[1:] != there[:-1]).any(axis=1)
    number = xp.empty(len(both), xp.int64)
    number[order] = xp.cumsum(is_new) - 1
    return there[is_new], number[: len(a)], number[len(a) :]


def _check_pair(places: tuple[Any, Any], values: tuple[Any, Any], sizes: tuple[Any, Any]) -> None:
    for place, value, size in zip(places, values, sizes, strict=True):
        if place.ndim != 2 or value.ndim != 1 or size.ndim != 1:
            raise refuse("Input indices should be a matrix, values and shapes vectors")
        if place.shape != (value.size, size.size):
            raise refuse(
                f"Expected {value.size} indices of {size.size} dimensions, got shape "
                f"{debug_string(place.shape)}"
            )
    if sizes[0].size != sizes[1].size:
        raise refuse(
            f"Operands' should have the same ranks; got: {sizes[0].size} and {sizes[1].size}"
        )
    for axis, (one, other) in enumerate(zip(sizes[0].tolist(), sizes[1].tolist(), strict=True)):
        if one != other:
            raise refuse(
                f"Operands' shapes do not match: got {one} and {other} for dimension {axis}"
            )


@kernel("SparseAdd", host=["a_shape", "b_shape", "thresh"], host_outputs=["sum_shape"])
def sparse_sum(
    xp: Any,
    a_indices: Any,
    a_values: Any,
    a_shape: Any,
    b_indices: Any,
    b_values: Any,
    b_shape: Any,
    thresh: Any,
) -> Any:
    """The elements at the places of either; sums of two below the threshold are left out."""
    _check_pair((a_indices, b_indices), (a_values, b_values), (a_shape, b_shape))
    places, in_a, in_b = _union(xp, a_indices, b_indices)
    sums = xp.zeros(len(places), a_values.dtype)
    sums[in_a] = a_values
    sums[in_b] = sums[in_b] + b_values
    of_a, of_b = xp.zeros(len(places), bool), xp.zeros(len(places), bool)
    of_a[in_a] = True
    of_b[in_b] = True
    kept = ~(of_a & of_b) | (xp.absolute(sums) >= thresh.item())
    return places[kept], sums[kept], a_shape.copy()


@kernel("SparseAddGrad")
def sparse_sum_grad(
    xp: Any, backprop_val_grad: Any, a_indices: Any, b_indices: Any, sum_indices: Any
) -> Any:
    """For each stored element of the operands, the gradient of the sum that it went into, or 0."""
    if backprop_val_grad.ndim != 1 or len(backprop_val_grad) != len(sum_indices):
        raise refuse("# elements in backprop_val_grad and # rows in sum_indices should match.")
    return tuple(
        found_values(xp, sum_indices, backprop_val_grad, own) for own in (a_indices, b_indices)
    )


def found_values(xp: Any, places: Any, values: Any, wanted: Any) -> Any:
    """The value at each wanted place, 0 where there is none."""
    all_places, here, there = _union(xp, places, wanted)
    table = xp.zeros(len(all_places), values.dtype)
    table[here] = values
    return table[there]


def _extremes(xp: Any, ufunc: Any, pair: tuple[Any, ...]) -> Any:
    a_indices, a_values, a_shape, b_indices, b_values, b_shape = pair
    _check_pair((a_indices, b_indices), (a_values, b_values), (a_shape, b_shape))
    places, in_a, in_b = _union(xp, a_indices, b_indices)
    tables = []
    for here, values in ((in_a, a_values), (in_b, b_values)):
        table = xp.zeros(len(places), values.dtype)
        table[here] = values
        tables.append(table)
    return places, ufunc(*tables)


@kernel("SparseSparseMaximum", host=["a_shape", "b_shape"])
def sparse_maximum(
    xp: Any,
    a_indices: Any,
    a_values: Any,
    a_shape: Any,
    b_indices: Any,
    b_values: Any,
    b_shape: Any,
) -> Any:
    """The greater elements at the places of either."""
    pair = (a_indices, a_values, a_shape, b_indices, b_values, b_shape)
    return _extremes(xp, xp.maximum, pair)


@kernel("SparseSparseMinimum", host=["a_shape", "b_shape"])
def sparse_minimum(
    xp: Any,
    a_indices: Any,
    a_values: Any,
    a_shape: Any,
    b_indices: Any,
    b_values: Any,
    b_shape: Any,
) -> Any:
    """The lesser elements at the places of either."""
    pair = (a_indices, a_values, a_shape, b_indices, b_values, b_shape)
    return _extremes(xp, xp.minimum, pair)
