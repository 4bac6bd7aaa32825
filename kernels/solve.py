"""Kernels of linear equations. Narrow floats are computed in float32 and rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.linalg import LinAlgError

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.devices.threads import blas_threads_for

# Rows of a triangle that are solved one by one before a product takes the rest.
_ROWS = 48


def refuse(text: str) -> InvalidArgumentError:
    """The error of a wrong input."""
    return InvalidArgumentError(None, None, text)


def check_matrices(*inputs: Any) -> None:
    """Each input has two dimensions or more."""
    for number, value in enumerate(inputs):
        if value.ndim < 2:
            raise refuse(f"Input tensor {number} must have rank >= 2, got {value.ndim}")


def check_square(value: Any) -> None:
    """The matrices are square."""
    check_matrices(value)
    if value.shape[-1] != value.shape[-2]:
        raise refuse("Input matrix must be square.")


def wide(xp: Any, value: Any) -> Any:
    """The value in a type that LAPACK has."""
    return value.astype(xp.float32) if value.dtype.itemsize == 2 else value


def adjoint_of(value: Any) -> Any:
    """Conjugate transposes."""
    turned = value.swapaxes(-1, -2)
    return turned.conj() if turned.dtype.kind == "c" else turned


def solved(text: str, size: int, function: Callable[[], Any]) -> Any:
    """What a function of LAPACK gives; InvalidArgumentError where it finds no answer."""
    try:
        with blas_threads_for(size):
            return function()
    except LinAlgError:
        raise refuse(text) from None


@kernel("MatrixDeterminant", slow=8_000)
def determinant(xp: Any, input: Any) -> Any:
    """Determinants; those of matrices without elements are 1."""
    check_square(input)
    with blas_threads_for(input.size * input.shape[-1]):
        return xp.linalg.det(wide(xp, input)).astype(input.dtype, copy=False)


@kernel("LogMatrixDeterminant", slow=8_000)
def log_determinant(xp: Any, input: Any) -> Any:
    """Signs and logarithms of the sizes of determinants."""
    check_square(input)
    with blas_threads_for(input.size * input.shape[-1]):
        sign, size = xp.linalg.slogdet(wide(xp, input))
    return sign.astype(input.dtype, copy=False), size.astype(input.dtype, copy=False)


@kernel("MatrixInverse", slow=8_000)
def inverse(xp: Any, input: Any, *, adjoint: bool) -> Any:
    """Inverses."""
    check_square(input)
    value = adjoint_of(input) if adjoint else input
    work = input.size * input.shape[-1]
    result = solved("Input is not invertible.", work, lambda: xp.linalg.inv(wide(xp, value)))
    return result.astype(input.dtype, copy=False)


@kernel("MatrixSolve", slow=8_000)
def solve(xp: Any, matrix: Any, rhs: Any, *, adjoint: bool) -> Any:
    """Solutions of systems of linear equations."""
    check_square(matrix)
    check_matrices(matrix, rhs)
    if matrix.shape[-2] != rhs.shape[-2] or matrix.shape[:-2] != rhs.shape[:-2]:
        raise refuse("Input matrix and rhs are incompatible.")
    if not rhs.size:
        return xp.zeros(rhs.shape, rhs.dtype)
    left = wide(xp, adjoint_of(matrix) if adjoint else matrix)
    text, work = "Input matrix is not invertible.", matrix.size * matrix.shape[-1]
    result = solved(text, work, lambda: xp.linalg.solve(left, wide(xp, rhs)))
    return result.astype(rhs.dtype, copy=False)


@kernel("MatrixTriangularSolve", slow=8_000)
def triangular_solve(xp: Any, matrix: Any, rhs: Any, *, lower: bool, adjoint: bool) -> Any:
    """Solutions of systems whose matrix is a triangle, by substitution."""
    check_square(matrix)
    check_matrices(matrix, rhs)
    if matrix.shape[-1] != rhs.shape[-2]:
        raise refuse(
            f"In[0] mismatch In[1] shape: {matrix.shape[-1]} vs. {rhs.shape[-2]}: "
            f"{debug_string(matrix.shape)} {debug_string(rhs.shape)}"
        )
    left, right = wide(xp, matrix), wide(xp, rhs)
    if adjoint:
        left, lower = adjoint_of(left), not lower
    try:
        batch = xp.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise refuse(
            "In[0] and In[1] must have compatible batch dimensions: "
            f"{debug_string(matrix.shape)} vs. {debug_string(rhs.shape)}"
        ) from None
    result = xp.empty((*batch, *right.shape[-2:]), right.dtype)
    result[...] = right
    with blas_threads_for(left.size * right.shape[-1]):
        _substitute(xp, left, result, lower)
    return result.astype(rhs.dtype, copy=False)


def _substitute(xp: Any, left: Any, x: Any, lower: bool) -> None:
    """Solve `left @ result = x` in place."""
    size = left.shape[-1]
    starts = range(0, size, _ROWS)
    for start in starts if lower else reversed(starts):
        end = min(start + _ROWS, size)
        done = slice(0, start) if lower else slice(end, size)
        if done.start < done.stop:
            x[..., start:end, :] -= xp.matmul(left[..., start:end, done], x[..., done, :])
        rows = range(start, end)
        for row in rows if lower else reversed(rows):
            known = slice(start, row) if lower else slice(row + 1, end)
            if known.start < known.stop:
                x[..., row : row + 1, :] -= xp.matmul(
                    left[..., row : row + 1, known], x[..., known, :]
                )
            x[..., row, :] /= left[..., row, row, None]


@kernel("MatrixSolveLs", host=["l2_regularizer"], slow=8_000)
def least_squares(xp: Any, matrix: Any, rhs: Any, l2_regularizer: Any, *, fast: bool) -> Any:
    """Least squares: by normal equations, or of the least norm."""
    check_matrices(matrix, rhs)
    if matrix.shape[-2] != rhs.shape[-2] or matrix.shape[:-2] != rhs.shape[:-2]:
        raise refuse("Input matrix and rhs are incompatible.")
    amount = l2_regularizer.item()
    if amount < 0:
        raise refuse("l2_regularizer must be >= 0.")
    left, right = wide(xp, matrix), wide(xp, rhs)
    if not fast:
        result = solved(
            "The singular values did not converge.",
            left.size * left.shape[-1],
            lambda: xp.matmul(xp.linalg.pinv(left), right),
        )
        return result.astype(rhs.dtype, copy=False)
    turned = adjoint_of(left)
    is_tall = left.shape[-2] >= left.shape[-1]
    gramian = xp.matmul(turned, left) if is_tall else xp.matmul(left, turned)
    gramian = gramian + xp.eye(gramian.shape[-1], dtype=left.dtype) * amount
    goal = xp.matmul(turned, right) if is_tall else right
    text = "Cholesky decomposition was not successful. The input might not be valid."
    work = gramian.size * gramian.shape[-1]
    result = solved(text, work, lambda: xp.linalg.solve(gramian, goal))
    if not is_tall:
        result = xp.matmul(turned, result)
    return result.astype(rhs.dtype, copy=False)


# Coefficients of the numerator of the [13/13] Pade approximant of exp; and the norm up to which it
# is exact in double precision (Higham, "The scaling and squaring method", 2005).
_PADE = (
    *(64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000),
    *(10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1),
)
_REACH = 5.371920351148152


@kernel("MatrixExponential", slow=8_000)
def exponential(xp: Any, input: Any) -> Any:
    """Exponentials, by scaling, a rational approximation, and squaring."""
    check_square(input)
    if not input.size:
        return xp.zeros(input.shape, input.dtype)
    a = wide(xp, input)
    sizes = xp.absolute(a).sum(axis=-2).max(axis=-1)
    doublings = xp.ceil(xp.log2(xp.maximum(sizes / _REACH, 1)))
    steps = doublings.max().item()
    if steps != steps or steps > 64:
        steps = 64  # infinite, or not numbers: so is the result
    a = a / 2.0**steps
    unit = xp.broadcast_to(xp.eye(a.shape[-1], dtype=a.dtype), a.shape)
    square = xp.matmul(a, a)
    power, even, odd = unit, unit * _PADE[0], unit * _PADE[1]
    for k in range(2, 14, 2):
        power = xp.matmul(power, square)
        even = even + power * _PADE[k]
        odd = odd + power * _PADE[k + 1]
    odd = xp.matmul(a, odd)
    work = a.size * a.shape[-1]
    text = "Input matrix has no exponential in its precision."
    result = solved(text, work, lambda: xp.linalg.solve(even - odd, even + odd))
    for _ in range(int(steps)):
        result = xp.matmul(result, result)
    return result.astype(input.dtype, copy=False)
