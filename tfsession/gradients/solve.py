"""Gradients of linear equations."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import conj
from tfsession.ops.constant import zeros_like
from tfsession.ops.join import concat
from tfsession.ops.linalg import matrix_band_part
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.solve import expm, matrix_inverse, matrix_solve, matrix_triangular_solve
from tfsession.ops.transpose import matrix_transpose


@gradient("MatrixInverse")
def _inverse(op: Operation, grad: Any) -> Any:
    inverse = op.outputs[0]
    if op.attrs["adjoint"]:
        middle = matmul(inverse, grad, adjoint_b=True)
        return -matmul(middle, inverse)
    return -matmul(inverse, matmul(grad, inverse, adjoint_b=True), adjoint_a=True)


@gradient("MatrixDeterminant")
def _determinant(op: Operation, grad: Any) -> Any:
    factor = grad * conj(op.outputs[0])
    return factor[..., None, None] * matrix_inverse(op.inputs[0], adjoint=True)


@gradient("LogMatrixDeterminant")
def _log_determinant(op: Operation, _: Any, grad: Any) -> Any:
    return grad[..., None, None] * matrix_inverse(op.inputs[0], adjoint=True)


@gradient("MatrixSolve")
def _solve(op: Operation, grad: Any) -> Any:
    adjoint = op.attrs["adjoint"]
    right = matrix_solve(op.inputs[0], grad, adjoint=not adjoint)
    return _matrix_grad(op.outputs[0], right, adjoint), right


def _matrix_grad(solution: Tensor, right: Tensor, adjoint: bool) -> Any:
    first, second = (solution, right) if adjoint else (right, solution)
    return -matmul(first, second, adjoint_b=True)


@gradient("MatrixTriangularSolve")
def _triangular_solve(op: Operation, grad: Any) -> Any:
    matrix, right = op.inputs
    adjoint, lower = op.attrs["adjoint"], op.attrs["lower"]
    right_grad = matrix_triangular_solve(matrix, grad, lower=lower, adjoint=not adjoint)
    matrix_grad = _matrix_grad(op.outputs[0], right_grad, adjoint)
    matrix_grad = matrix_band_part(matrix_grad, -1 if lower else 0, 0 if lower else -1)
    return _like(matrix, matrix_grad), _like(right, right_grad)


def _like(tensor: Tensor, grad: Tensor) -> Tensor:
    """`grad` summed over the batch dimensions along which `tensor` was repeated."""
    own, found = tensor._shape, grad._shape
    if own is not None and own == found and None not in own:
        return grad
    sizes = shape_of(tensor)
    axes, _ = create_op("BroadcastGradientArgs", [sizes[:-2], shape_of(grad)[:-2]])
    return reshape(reduce_sum(grad, axes), sizes)


@gradient("MatrixSolveLs")
def _least_squares(op: Operation, grad: Any) -> Any:
    raise ValueError(
        f"Gradient not defined for the operation {op.name!r}: give matrix_solve_ls matrices of "
        "known sizes, and fast=True, for a solution that has one."
    )


@gradient("MatrixExponential")
def _exponential(op: Operation, grad: Any) -> Any:
    # The exponential of a block triangle holds the derivative in its corner (Mathias, 1996).
    turned = matrix_transpose(op.inputs[0], conjugate=True)
    upper = concat([turned, grad], -1)
    lower = concat([zeros_like(turned), turned], -1)
    size = shape_of(turned)[-1]
    return reshape(expm(concat([upper, lower], -2))[..., :size, size:], shape_of(turned))
