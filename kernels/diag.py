"""Diagonals of matrices, as strided slices of the matrices laid flat."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

_RIGHT_LEFT = b"RIGHT_LEFT"
_LEFT_LEFT = b"LEFT_LEFT"


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# --- tensors --------------------------------------------------------------------------------------


@kernel("Diag")
def diag(xp: Any, diagonal: Any) -> Any:
    """Zeros but where both halves of the index agree."""
    if not diagonal.ndim:
        raise _invalid("Input must be at least rank 1, got 0")
    size = diagonal.size
    result = xp.zeros(size * size, diagonal.dtype)
    result[:: size + 1] = diagonal.ravel()
    return result.reshape(diagonal.shape * 2)


@kernel("DiagPart")
def diag_part(xp: Any, input: Any) -> Any:
    """The elements where both halves of the index agree."""
    shape, half = input.shape, input.ndim // 2
    if input.ndim % 2 or not half:
        text = "The rank of the tensor should be even and positive, got shape "
        raise _invalid(text + debug_string(shape))
    for i in range(half):
        if shape[i] != shape[i + half]:
            text = (
                f"Invalid shape {debug_string(shape)}: dimensions {i} and {i + half} do not match."
            )
            raise _invalid(text)
    size = math.prod(shape[:half])
    return input.reshape(-1)[:: size + 1].reshape(shape[:half]).copy()


# --- matrices -------------------------------------------------------------------------------------


def _bounds(k: Any) -> tuple[int, int]:
    indices = k.ravel().tolist()
    if k.ndim > 1 or not 1 <= len(indices) <= 2:
        raise _invalid(
            f"diag_index must be a scalar or vector of one or two elements, received shape: "
            f"{debug_string(k.shape)}"
        )
    lower, upper = indices[0], indices[-1]
    if lower > upper:
        raise _invalid(
            f"lower_diag_index must not be larger than upper_diag_index: {lower} > {upper}"
        )
    return lower, upper


def _bounds_within(k: Any, rows: int, columns: int) -> tuple[int, int]:
    bounds = _bounds(k)
    for index, which in zip(bounds, ("lower", "upper"), strict=True):
        if index and not -rows < index < columns:
            raise _invalid(
                f"{which}_diag_index is out of bound: {index}. It must be between {-rows} and "
                f"{columns}"
            )
    return bounds


def _scalar(value: Any, name: str) -> int:
    if value.size != 1:
        raise _invalid(f"{name} must be a scalar")
    number: int = value.reshape(()).item()
    return number


def _length(index: int, rows: int, columns: int) -> int:
    return min(rows + min(index, 0), columns - max(index, 0))


def _longest(bounds: tuple[int, int], rows: int, columns: int) -> int:
    lower, upper = bounds
    return min(rows + min(upper, 0), columns - max(lower, 0))


def _view(flat: Any, index: int, rows: int, columns: int) -> Any:
    """One diagonal of matrices that are laid flat, as a view."""
    start = index if index >= 0 else -index * columns
    length = _length(index, rows, columns)
    return flat[:, start : start + max(length - 1, 0) * (columns + 1) + (length > 0) : columns + 1]


def _columns_of(index: int, length: int, longest: int, align: bytes) -> slice:
    """Where a diagonal stands in its row of `longest` places."""
    above, below = align.split(b"_")
    left = (index >= 0 and above == b"LEFT") or (index <= 0 and below == b"LEFT")
    start = 0 if left else longest - length
    return slice(start, start + length)


def _matrix_dims(value: Any) -> tuple[int, int]:
    if value.ndim < 2:
        shape = debug_string(value.shape)
        raise _invalid(f"input must be at least 2-dim, received shape: {shape}")
    rows, columns = value.shape[-2:]
    return rows, columns


def _flat(value: Any) -> Any:
    """Matrices laid flat; a view where `value` is contiguous."""
    batch = math.prod(value.shape[:-2])
    return value.reshape(batch, value.shape[-2] * value.shape[-1])


def _write(matrices: Any, diagonals: Any, bounds: tuple[int, int], align: bytes) -> None:
    """Write diagonals into contiguous matrices."""
    rows, columns = matrices.shape[-2:]
    flat = _flat(matrices)
    lower, upper = bounds
    longest = diagonals.shape[-1]
    source = diagonals.reshape(flat.shape[0], upper - lower + 1, longest)
    for index in range(lower, upper + 1):
        view = _view(flat, index, rows, columns)
        places = _columns_of(index, view.shape[1], longest, align)
        view[...] = source[:, upper - index, places]


def _take(xp: Any, matrices: Any, bounds: tuple[int, int], padding: Any, align: bytes) -> Any:
    rows, columns = matrices.shape[-2:]
    flat = _flat(matrices)
    lower, upper = bounds
    batch = matrices.shape[:-2]
    longest = _longest(bounds, rows, columns)
    if lower == upper:
        return _view(flat, lower, rows, columns).reshape(*batch, longest)
    result = xp.empty((flat.shape[0], upper - lower + 1, longest), matrices.dtype)
    result[...] = padding
    for index in range(lower, upper + 1):
        view = _view(flat, index, rows, columns)
        places = _columns_of(index, view.shape[1], longest, align)
        result[:, upper - index, places] = view
    return result.reshape(*batch, upper - lower + 1, longest)


@kernel("MatrixDiagPart", aliases=True)
def main_diagonals(xp: Any, input: Any) -> Any:
    """The main diagonals."""
    _matrix_dims(input)
    return _take(xp, input, (0, 0), None, _RIGHT_LEFT)


@kernel("MatrixDiagPartV2", host=["k"], aliases=True)
def left_diagonals(xp: Any, input: Any, k: Any, padding_value: Any) -> Any:
    """Some diagonals, all of them aligned to the left."""
    return diagonals(xp, input, k, padding_value, _LEFT_LEFT)


@kernel("MatrixDiagPartV3", host=["k"], aliases=True)
def diagonals(xp: Any, input: Any, k: Any, padding_value: Any, align: bytes) -> Any:
    """Some diagonals."""
    bounds = _bounds_within(k, *_matrix_dims(input))
    return _take(xp, input, bounds, padding_value, align)


def _made(
    xp: Any,
    diagonal: Any,
    bounds: tuple[int, int],
    sizes: tuple[int, int],
    padding: Any,
    align: bytes,
) -> Any:
    if not diagonal.ndim:
        raise _invalid("diagonal must be at least 1-dim, received shape: []")
    lower, upper = bounds
    batch = diagonal.shape[:-1]
    if lower < upper:
        if diagonal.ndim < 2 or diagonal.shape[-2] != upper - lower + 1:
            raise _invalid(
                "The number of diagonals provided in the input does not match the lower_diag_index "
                "and upper_diag_index range."
            )
        batch = diagonal.shape[:-2]
    rows, columns = _sizes(diagonal.shape[-1], bounds, *sizes)
    result = xp.empty((*batch, rows, columns), diagonal.dtype)
    result[...] = padding
    _write(result, diagonal, bounds, align)
    return result


def _sizes(longest: int, bounds: tuple[int, int], rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns; -1 asks for the least."""
    lower, upper = bounds
    least_rows, least_columns = longest - min(upper, 0), longest + max(lower, 0)
    if rows == columns == -1:
        return (max(least_rows, least_columns),) * 2
    rows, columns = (
        (least_rows if rows == -1 else rows),
        (least_columns if columns == -1 else columns),
    )
    if rows < least_rows:
        raise _invalid("The number of rows is too small.")
    if columns < least_columns:
        raise _invalid("The number of columns is too small.")
    if rows != least_rows and columns != least_columns:
        raise _invalid(
            "The number of rows or columns is not consistent with the specified d_lower, d_upper, "
            "and diagonal."
        )
    return rows, columns


@kernel("MatrixDiag")
def square_of_diagonal(xp: Any, diagonal: Any) -> Any:
    """Square matrices with main diagonals."""
    return _made(xp, diagonal, (0, 0), (-1, -1), 0, _RIGHT_LEFT)


@kernel("MatrixDiagV2", host=["k", "num_rows", "num_cols"])
def matrix_of_left_diagonals(
    xp: Any, diagonal: Any, k: Any, num_rows: Any, num_cols: Any, padding_value: Any
) -> Any:
    """Matrices with diagonals that are all aligned to the left."""
    return matrix_of_diagonals(xp, diagonal, k, num_rows, num_cols, padding_value, _LEFT_LEFT)


@kernel("MatrixDiagV3", host=["k", "num_rows", "num_cols"])
def matrix_of_diagonals(
    xp: Any, diagonal: Any, k: Any, num_rows: Any, num_cols: Any, padding_value: Any, align: bytes
) -> Any:
    """Matrices with some diagonals."""
    sizes = _scalar(num_rows, "num_rows"), _scalar(num_cols, "num_cols")
    return _made(xp, diagonal, _bounds(k), sizes, padding_value, align)


def _replaced(input: Any, diagonal: Any, bounds: tuple[int, int], align: bytes) -> Any:
    lower, upper = bounds
    longest = _longest(bounds, *input.shape[-2:])
    count = () if lower == upper else (upper - lower + 1,)
    wanted = (*input.shape[:-2], *count, longest)
    if diagonal.shape != wanted:
        raise _invalid(
            "Either first dimensions of diagonal don't match input.shape[:-2], or "
            "diagonal.shape[:-1] is not equal to the longests diagonal in range "
            f"[lower_diag_index:upper_diag_index].\nInput shape: {debug_string(input.shape)}\n"
            f"Diagonal shape: {debug_string(diagonal.shape)}\n"
            f"Expected diagonal shape: {debug_string(wanted)}"
        )
    result = input.copy(order="C")
    _write(result, diagonal, bounds, align)
    return result


@kernel("MatrixSetDiag")
def with_main_diagonals(xp: Any, input: Any, diagonal: Any) -> Any:
    """Matrices with other main diagonals."""
    _matrix_dims(input)
    return _replaced(input, diagonal, (0, 0), _RIGHT_LEFT)


@kernel("MatrixSetDiagV2", host=["k"])
def with_left_diagonals(xp: Any, input: Any, diagonal: Any, k: Any) -> Any:
    """Matrices with other diagonals, all of them aligned to the left."""
    return with_diagonals(xp, input, diagonal, k, _LEFT_LEFT)


@kernel("MatrixSetDiagV3", host=["k"])
def with_diagonals(xp: Any, input: Any, diagonal: Any, k: Any, align: bytes) -> Any:
    """Matrices with other diagonals."""
    return _replaced(input, diagonal, _bounds_within(k, *_matrix_dims(input)), align)
