"""Kernels of decompositions: LAPACK's, through the array library."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.rules import kernel
from tfsession.devices.threads import blas_threads_for
from tfsession.kernels.solve import (
    adjoint_of,
    check_matrices,
    check_square,
    refuse,
    solved,
    triangular_solve,
    wide,
)


@kernel("Cholesky", slow=2_000)
def cholesky(xp: Any, input: Any) -> Any:
    """Lower triangles; an error where a matrix is not positive definite."""
    check_square(input)
    result = solved(
        "Cholesky decomposition was not successful. The input might not be valid.",
        input.size * input.shape[-1],
        lambda: xp.linalg.cholesky(wide(xp, input)),
    )
    return result.astype(input.dtype, copy=False)


@kernel("CholeskyGrad", slow=2_000)
def cholesky_grad(xp: Any, l: Any, grad: Any) -> Any:  # noqa: E741
    """The gradient to a symmetric matrix, from that to its lower triangle."""
    check_square(l)
    if l.shape != grad.shape:
        raise refuse("Inputs to Cholesky grad must have the same shape.")
    factor = wide(xp, l)
    middle = xp.tril(xp.matmul(adjoint_of(factor), xp.tril(wide(xp, grad))))
    unit = xp.eye(l.shape[-1], dtype=factor.dtype)
    middle = middle * (1 - unit / 2)
    inner = triangular_solve(xp, factor, middle, lower=True, adjoint=True)
    outer = triangular_solve(xp, factor, adjoint_of(inner), lower=True, adjoint=True)
    return ((outer + adjoint_of(outer)) / 2).astype(l.dtype, copy=False)


_NO_EIGEN = "Self-adjoint eigen decomposition was not successful. The input might not be valid."


@kernel("SelfAdjointEigV2", slow=2_000)
def self_adjoint_eig(xp: Any, input: Any, *, compute_v: bool) -> Any:
    """Eigenvalues in order, and eigenvectors; the lower triangle is read."""
    check_square(input)
    value, kind = wide(xp, input), input.dtype
    if not xp.isfinite(value).all():
        raise refuse(_NO_EIGEN)
    work = input.size * input.shape[-1]
    if not compute_v:
        values = solved(_NO_EIGEN, work, lambda: xp.linalg.eigvalsh(value))
        return values.astype(kind, copy=False), xp.zeros(0, kind)
    values, vectors = solved(_NO_EIGEN, work, lambda: xp.linalg.eigh(value))
    return values.astype(kind, copy=False), vectors.astype(kind, copy=False)


@kernel("Eig", slow=2_000)
def eig(xp: Any, input: Any, *, compute_v: bool, Tout: DType) -> Any:
    """Eigenvalues and eigenvectors of any square matrices."""
    check_square(input)
    text = "Eigen decomposition was not successful. The input might not be valid."
    if not xp.isfinite(input).all():
        raise refuse(text)
    kind, work = Tout.numpy, input.size * input.shape[-1]
    if not compute_v:
        values = solved(text, work, lambda: xp.linalg.eigvals(input))
        return values.astype(kind, copy=False), xp.zeros(0, kind)
    values, vectors = solved(text, work, lambda: xp.linalg.eig(input))
    return values.astype(kind, copy=False), vectors.astype(kind, copy=False)


@kernel("Svd", slow=2_000)
def svd(xp: Any, input: Any, *, compute_uv: bool, full_matrices: bool) -> Any:
    """Singular values in order, and singular vectors; of what is not finite, no numbers."""
    check_matrices(input)
    kind = input.dtype
    if not input.size and not (compute_uv and full_matrices):
        *batch, rows, columns = input.shape
        least = min(rows, columns)
        shapes = [(*batch, rows, least), (*batch, columns, least)] if compute_uv else [(0,), (0,)]
        # LAPACK's answer to a matrix without rows takes a while for each of its columns.
        return tuple(xp.zeros(shape, kind) for shape in ((*batch, least), *shapes))
    is_finite = xp.isfinite(wide(xp, input)).all(axis=(-2, -1))
    value = xp.where(is_finite[..., None, None], wide(xp, input), 0)
    text = "The singular values did not converge."
    work = input.size * min(input.shape[-2:])
    if not compute_uv:
        values = solved(text, work, lambda: xp.linalg.svd(value, compute_uv=False))
        parts = [xp.where(is_finite[..., None], values, math.nan), xp.zeros(0), xp.zeros(0)]
    else:
        left, values, right = solved(text, work, lambda: xp.linalg.svd(value, full_matrices))
        mask = is_finite[..., None, None]
        parts = [xp.where(is_finite[..., None], values, math.nan)]
        parts += [xp.where(mask, part, math.nan) for part in (left, adjoint_of(right))]
    return tuple(part.astype(kind, copy=False) for part in parts)


@kernel("Qr", slow=2_000)
def qr(xp: Any, input: Any, *, full_matrices: bool) -> Any:
    """Orthonormal columns and upper triangles."""
    check_matrices(input)
    with blas_threads_for(input.size * min(input.shape[-2:])):
        q, r = xp.linalg.qr(wide(xp, input), "complete" if full_matrices else "reduced")
    return q.astype(input.dtype, copy=False), r.astype(input.dtype, copy=False)


@kernel("Lu", slow=2_000)
def lu(xp: Any, input: Any, *, output_idx_type: DType) -> Any:
    """Triangles in one matrix, by columns, with the greatest element of each as the pivot."""
    check_square(input)
    size = input.shape[-1]
    matrices = xp.array(wide(xp, input), order="C").reshape(-1, size, size)
    order = xp.zeros((len(matrices), size), xp.int64) + xp.arange(size)
    each = xp.arange(len(matrices))
    for k in range(size):
        pivot = k + xp.argmax(xp.absolute(matrices[:, k:, k]), axis=1)
        for table in (matrices, order):
            upper = table[each, pivot]
            table[each, pivot] = table[:, k]
            table[:, k] = upper
        corner = matrices[:, k, k]
        if (corner == 0).any():
            raise refuse("Input is not invertible.")
        matrices[:, k + 1 :, k] /= corner[:, None]
        matrices[:, k + 1 :, k + 1 :] -= (
            matrices[:, k + 1 :, k, None] * matrices[:, k, None, k + 1 :]
        )
    kind = output_idx_type.numpy
    result = matrices.reshape(input.shape).astype(input.dtype, copy=False)
    return result, order.reshape(input.shape[:-1]).astype(kind)
