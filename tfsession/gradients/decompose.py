"""Gradients of decompositions, as Giles, Walter and Lehmann, and Townsend derive them."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, where
from tfsession.ops.constant import ones_like, zeros_like
from tfsession.ops.decompose import self_adjoint_eig, svd
from tfsession.ops.diag import matrix_diag, matrix_diag_part, matrix_set_diag
from tfsession.ops.join import concat
from tfsession.ops.linalg import matrix_band_part
from tfsession.ops.matmul import matmul
from tfsession.ops.solve import matrix_triangular_solve
from tfsession.ops.transpose import matrix_transpose
from tfsession.ops.unary import square


def _adjoint(matrix: Tensor) -> Tensor:
    return matrix_transpose(matrix, conjugate=True)


@gradient("Cholesky")
def _cholesky(op: Operation, grad: Any) -> Any:
    factor = op.outputs[0]
    middle = matrix_band_part(matmul(factor, grad, adjoint_a=True), -1, 0)
    middle = matrix_set_diag(middle, 0.5 * matrix_diag_part(middle))
    inner = matrix_triangular_solve(factor, middle, adjoint=True)
    outer = matrix_triangular_solve(factor, _adjoint(inner), adjoint=True)
    return (outer + _adjoint(outer)) * 0.5


no_gradient("CholeskyGrad", "Lu")


def _gaps(values: Tensor) -> Tensor:
    """`1 / (values[j] - values[i])`, 0 where the two are equal."""
    difference = values[..., None, :] - values[..., :, None]
    is_same = equal(difference, zeros_like(difference))
    safe = where(is_same, ones_like(difference), difference)
    return where(is_same, zeros_like(difference), 1.0 / safe)


@gradient("SelfAdjointEigV2")
def _self_adjoint_eig(op: Operation, value_grad: Any, vector_grad: Any) -> Any:
    if op.attrs["compute_v"]:
        values, vectors = op.outputs
        middle = _gaps(values) * matmul(vectors, vector_grad, adjoint_a=True)
        middle = matrix_diag(value_grad) + middle
    else:
        _, vectors = self_adjoint_eig(op.inputs[0])
        middle = matrix_diag(value_grad)
    found = matmul(vectors, matmul(middle, vectors, adjoint_b=True))
    # Only the lower triangle was read: it takes the gradients of both.
    lower = matrix_band_part(found + _adjoint(found), -1, 0)
    return matrix_set_diag(lower, 0.5 * matrix_diag_part(lower))


@gradient("Eig")
def _eig(op: Operation, value_grad: Any, vector_grad: Any) -> Any:
    raise NotImplementedError(
        f"The gradient of {op.name!r} is not there: self_adjoint_eig has one, for matrices that "
        "are Hermitian."
    )


@gradient("Svd")
def _svd(op: Operation, s_grad: Any, u_grad: Any, v_grad: Any) -> Any:
    matrix = op.inputs[0]
    if not op.attrs["compute_uv"]:
        _, left, right = svd(matrix)
        scaled = left * cast(s_grad, left.dtype)[..., None, :]
        return matmul(scaled, right, adjoint_b=True)
    _check_svd(op)
    values, left, right = op.outputs
    gaps = _gaps(square(values))
    turns = []
    for vectors, grad in ((left, u_grad), (right, v_grad)):
        turn = gaps * matmul(vectors, grad, transpose_a=True)
        turns.append(turn + matrix_transpose(turn))
    middle = matrix_diag(s_grad) + turns[0] * values[..., None, :] + turns[1] * values[..., None]
    found = matmul(left, matmul(middle, right, transpose_b=True))
    # What turns vectors out of the space that they span.
    for vectors, grad, others, is_left in (
        (left, u_grad, right, True),
        (right, v_grad, left, False),
    ):
        away = grad - matmul(vectors, matmul(vectors, grad, transpose_a=True))
        term = matmul(away / values[..., None, :], others, transpose_b=True)
        found += term if is_left else matrix_transpose(term)
    return found


def _check_svd(op: Operation) -> None:
    shape = op.inputs[0]._shape
    if op.inputs[0].dtype.is_complex:
        raise NotImplementedError("The gradient to complex matrices has singular values only.")
    known = shape is not None and None not in shape[-2:]
    if op.attrs["full_matrices"] and not (known and shape is not None and shape[-1] == shape[-2]):
        raise NotImplementedError(
            "The gradient of svd with full_matrices=True needs matrices that are known to be square"
        )


@gradient("Qr")
def _qr(op: Operation, q_grad: Any, r_grad: Any) -> Any:
    shape = op.inputs[0]._shape
    if shape is None or None in shape[-2:]:
        raise NotImplementedError("The gradient of qr needs matrices of known sizes.")
    rows, columns = shape[-2:]
    assert rows is not None
    assert columns is not None
    if op.attrs["full_matrices"] and rows > columns:
        raise NotImplementedError("The gradient of qr with full_matrices=True needs wide matrices.")
    q, r = op.outputs
    if rows >= columns:
        return _tall_qr(q, r, q_grad, r_grad)
    # The columns beyond a square: they follow from it.
    matrix = op.inputs[0]
    beyond, beyond_grad = matrix[..., rows:], r_grad[..., rows:]
    q_grad += matmul(beyond, beyond_grad, adjoint_b=True)
    first = _tall_qr(q, r[..., :rows], q_grad, r_grad[..., :rows])
    return concat([first, matmul(q, beyond_grad)], -1)


def _tall_qr(q: Tensor, r: Tensor, q_grad: Tensor, r_grad: Tensor) -> Tensor:
    turned = matmul(q, q_grad, adjoint_a=True)
    product = matmul(r, r_grad, adjoint_b=True)
    lower = matrix_band_part(turned - _adjoint(turned) + product - _adjoint(product), -1, 0)
    inside = matmul(q, r_grad + _divided(lower, r))
    return inside + _divided(q_grad - matmul(q, turned), r)


def _divided(x: Tensor, r: Tensor) -> Tensor:
    """`x` times the inverse of the adjoint of the triangle `r`."""
    return _adjoint(matrix_triangular_solve(r, _adjoint(x), lower=False))
