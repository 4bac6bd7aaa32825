"""Systems of linear equations: inverses, determinants, solutions, exponentials of matrices.

All take matrices in the last two dimensions, and batches of them in the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import float64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, real
from tfsession.ops.decompose import cholesky
from tfsession.ops.diag import matrix_diag_part
from tfsession.ops.linalg import eye
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import log

# --- definitions ----------------------------------------------------------------------------------


def square_shape(op: Operation) -> list[Shape]:
    """The only output has the shape of the first input, whose matrices are square."""
    shape = with_rank_at_least(op.inputs[0]._shape, 2)
    if shape is None:
        return [None]
    size = merge_dims(shape[-2], shape[-1])
    return [(*shape[:-2], size, size)]


def _batch_shape(op: Operation) -> list[Shape]:
    [shape] = square_shape(op)
    return [None if shape is None else shape[:-2]] * len(op.outputs)


_TYPES = "T: {double, float, half, complex64, complex128}"
define_op(
    "MatrixDeterminant",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["T: {half, float, double, complex64, complex128}"],
    shape=_batch_shape,
)
define_op(
    "LogMatrixDeterminant",
    inputs=["input: T"],
    outputs=["sign: T", "log_abs_determinant: T"],
    attrs=["T: {half, float, double, complex64, complex128}"],
    shape=_batch_shape,
)
define_op(
    "MatrixInverse",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["adjoint: bool = false", _TYPES],
    shape=square_shape,
)
define_op("MatrixExponential", ["input: T"], ["output: T"], [_TYPES], square_shape)


def _solution_shape(op: Operation) -> list[Shape]:
    [matrix] = square_shape(op)
    right = with_rank_at_least(op.inputs[1]._shape, 2)
    if matrix is None or right is None:
        return [None]
    rows = merge_dims(matrix[-1], right[-2])
    if op.type == "MatrixTriangularSolve":
        batch = shape_lib.broadcast(matrix[:-2], right[:-2])
    else:
        batch = shape_lib.merge(matrix[:-2], right[:-2])
    return [None if batch is None else (*batch, rows, right[-1])]


define_op(
    "MatrixSolve",
    inputs=["matrix: T", "rhs: T"],
    outputs=["output: T"],
    attrs=["adjoint: bool = false", _TYPES],
    shape=_solution_shape,
)
define_op(
    "MatrixTriangularSolve",
    inputs=["matrix: T", "rhs: T"],
    outputs=["output: T"],
    attrs=[
        "lower: bool = true",
        "adjoint: bool = false",
        "T: {bfloat16, double, float, half, complex64, complex128}",
    ],
    shape=_solution_shape,
)


def _least_squares_shape(op: Operation) -> list[Shape]:
    matrix = with_rank_at_least(op.inputs[0]._shape, 2)
    right = with_rank_at_least(op.inputs[1]._shape, 2)
    if matrix is None or right is None:
        return [None]
    merge_dims(matrix[-2], right[-2])
    batch = shape_lib.merge(matrix[:-2], right[:-2])
    return [None if batch is None else (*batch, matrix[-1], right[-1])]


define_op(
    "MatrixSolveLs",
    inputs=["matrix: T", "rhs: T", "l2_regularizer: double"],
    outputs=["output: T"],
    attrs=[_TYPES, "fast: bool = true"],
    shape=_least_squares_shape,
)

# --- builders -------------------------------------------------------------------------------------


@export("matrix_determinant", "linalg.det")
def matrix_determinant(input: Any, name: str | None = None) -> Tensor:
    """The determinants of square matrices."""
    result: Tensor = create_op("MatrixDeterminant", [input], name=name)
    return result


class LogMatrixDeterminant(NamedTuple):
    """What `linalg.slogdet` gives."""

    sign: Any
    log_abs_determinant: Any


@export("linalg.slogdet")
def slogdet(input: Any, name: str | None = None) -> LogMatrixDeterminant:
    """The signs of the determinants of square matrices, and the logarithms of their sizes."""
    return LogMatrixDeterminant(*create_op("LogMatrixDeterminant", [input], name=name))


@export("linalg.logdet")
def logdet(matrix: Any, name: str | None = None) -> Tensor:
    """The logarithms of the determinants of matrices that are Hermitian and positive definite."""
    with graph_of([matrix]).as_default() as graph, graph.name_scope(name or "logdet"):
        factor = cholesky(matrix)
        return 2.0 * reduce_sum(log(real(matrix_diag_part(factor))), [-1])


@export("matrix_inverse", "linalg.inv")
def matrix_inverse(input: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    """The inverses of square matrices, or of their conjugate transposes.

    Raises:
        InvalidArgumentError: at run time, when a matrix has no inverse.
    """
    result: Tensor = create_op("MatrixInverse", [input], {"adjoint": adjoint}, name)
    return result


@export("matrix_solve", "linalg.solve")
def matrix_solve(matrix: Any, rhs: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    """The solutions `x` of `matrix @ x = rhs`, or with the conjugate transpose of `matrix`.

    Args:
        matrix: square matrices.
        rhs: matrices of as many rows, in batches of the same shape.
        adjoint: use the conjugate transpose of `matrix`.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time, when a matrix has no inverse.
    """
    result: Tensor = create_op("MatrixSolve", [matrix, rhs], {"adjoint": adjoint}, name)
    return result


@export("matrix_triangular_solve", "linalg.triangular_solve")
def matrix_triangular_solve(
    matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None
) -> Tensor:
    """The solutions `x` of `matrix @ x = rhs`, where half of the matrix is taken for zeros.

    Args:
        matrix: square matrices.
        rhs: matrices of as many rows; the dimensions before them broadcast.
        lower: take the lower triangle of `matrix`, else the upper one.
        adjoint: use the conjugate transpose of that triangle.
        name: name scope of the operation.
    """
    graph = graph_of([matrix, rhs])
    with graph.as_default(), graph.name_scope(name or "triangular_solve"):
        attrs = {"lower": lower, "adjoint": adjoint}
        result: Tensor = create_op("MatrixTriangularSolve", [matrix, rhs], attrs)
        return result


@export("cholesky_solve", "linalg.cholesky_solve")
def cholesky_solve(chol: Any, rhs: Any, name: str | None = None) -> Tensor:
    """The solutions `x` of `a @ x = rhs`, where `chol` is what `cholesky(a)` gives."""
    with graph_of([chol, rhs]).as_default() as graph, graph.name_scope(name or "cholesky_solve"):
        attrs = {"lower": True, "adjoint": False}
        half = create_op("MatrixTriangularSolve", [chol, rhs], attrs)
        attrs = {"lower": True, "adjoint": True}
        result: Tensor = create_op("MatrixTriangularSolve", [chol, half], attrs)
        return result


@export("matrix_solve_ls", "linalg.lstsq")
def matrix_solve_ls(
    matrix: Any,
    rhs: Any,
    l2_regularizer: Any = 0.0,
    fast: bool = True,
    name: str | None = None,
) -> Tensor:
    """The `x` with the least `|matrix @ x - rhs|^2 + l2_regularizer * |x|^2`.

    Args:
        matrix: matrices of any shape.
        rhs: matrices of as many rows, in batches of the same shape.
        l2_regularizer: a number, not negative.
        fast: solve the normal equations, which is not exact where matrices are nearly singular;
            False asks for the solution of the least norm.
        name: name scope of the operations.

    Raises:
        ValueError: `l2_regularizer` is not zero, and `fast` is False.
    """
    graph = graph_of([matrix, rhs])
    if not fast:
        if l2_regularizer != 0:
            raise ValueError(
                f"l2_regularizer must be zero if fast=False. Received: l2_regularizer="
                f"{l2_regularizer}, fast={fast}"
            )
        inputs = [matrix, rhs, l2_regularizer]
        exact: Tensor = create_op("MatrixSolveLs", inputs, {"fast": False}, name or "MatrixSolveLs")
        return exact
    with graph.as_default(), graph.name_scope(name or "matrix_solve_ls"):
        matrix = convert_to_tensor(matrix, name="matrix")
        right = convert_to_tensor(rhs, matrix.dtype.base_dtype, name="rhs")
        sizes = None if matrix._shape is None else matrix._shape[-2:]
        if sizes is None or None in sizes:
            inputs = [matrix, right, cast(l2_regularizer, float64)]
            result: Tensor = create_op("MatrixSolveLs", inputs, {"fast": True})
            return result
        if sizes[0] >= sizes[1]:
            factor = _gramian_factor(matrix, l2_regularizer, True)
            return cholesky_solve(factor, matmul(matrix, right, adjoint_a=True))
        factor = _gramian_factor(matrix, l2_regularizer, False)
        return matmul(matrix, cholesky_solve(factor, right), adjoint_a=True)


def _gramian_factor(matrix: Tensor, l2_regularizer: Any, is_tall: bool) -> Tensor:
    gramian = matmul(matrix, matrix, adjoint_a=is_tall, adjoint_b=not is_tall)
    number = l2_regularizer
    if isinstance(number, Tensor):
        number = constant_value(number)
    if number is None or number != 0:
        sizes = shape_of(matrix)
        batch, small = sizes[:-2], sizes[-1] if is_tall else sizes[-2]
        unit = eye(small, batch_shape=batch, dtype=matrix.dtype)
        if isinstance(l2_regularizer, Tensor):
            l2_regularizer = cast(l2_regularizer, matrix.dtype)
        gramian += l2_regularizer * unit
    return cholesky(gramian)


@export("linalg.expm")
def expm(input: Any, name: str | None = None) -> Tensor:
    """The exponentials of square matrices: the sums of their powers over factorials."""
    result: Tensor = create_op("MatrixExponential", [input], name=name or "matrix_exponential")
    return result
