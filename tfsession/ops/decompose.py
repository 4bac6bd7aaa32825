"""Decompositions of matrices: Cholesky, QR, LU, singular values, eigenvalues.

All take matrices in the last two dimensions, and batches of them in the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfsession.core.dtypes import complex64, complex128, float32, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, real
from tfsession.ops.compare import greater, where
from tfsession.ops.constant import zeros_like
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_max, reduce_sum
from tfsession.ops.shape import shape

# --- definitions ----------------------------------------------------------------------------------


def _square(op: Operation, index: int = 0) -> tuple[Shape, int | None]:
    """Batch shape and size of square matrices; no batch shape where nothing is known."""
    whole = with_rank_at_least(op.inputs[index]._shape, 2)
    if whole is None:
        return None, None
    return whole[:-2], merge_dims(whole[-2], whole[-1])


def _same_square_shape(op: Operation) -> list[Shape]:
    batch, size = _square(op)
    return [None if batch is None else (*batch, size, size)]


_TYPES = "T: {double, float, half, complex64, complex128}"
define_op("Cholesky", ["input: T"], ["output: T"], [_TYPES], _same_square_shape)
define_op(
    "CholeskyGrad",
    inputs=["l: T", "grad: T"],
    outputs=["output: T"],
    attrs=["T: {half, float, double}"],
    shape=_same_square_shape,
)


def _eigen_shape(op: Operation) -> list[Shape]:
    batch, size = _square(op)
    if batch is None:
        return [None, None]
    vectors = (*batch, size, size) if op.attrs["compute_v"] else (0,)
    return [(*batch, size), vectors]


define_op(
    "SelfAdjointEigV2",
    inputs=["input: T"],
    outputs=["e: T", "v: T"],
    attrs=["compute_v: bool = true", _TYPES],
    shape=_eigen_shape,
)
define_op(
    "Eig",
    inputs=["input: T"],
    outputs=["e: Tout", "v: Tout"],
    attrs=[
        "compute_v: bool = true",
        "T: {float, double, complex64, complex128}",
        "Tout: {complex64, complex128}",
    ],
    shape=_eigen_shape,
)


def _least(a: int | None, b: int | None) -> int | None:
    return 0 if 0 in (a, b) else None if a is None or b is None else min(a, b)


def _svd_shape(op: Operation) -> list[Shape]:
    whole = with_rank_at_least(op.inputs[0]._shape, 2)
    compute, full = op.attrs["compute_uv"], op.attrs["full_matrices"]
    if whole is None:
        return [None, None, None] if compute else [None, (0,), (0,)]
    *batch, rows, columns = whole
    least = _least(rows, columns)
    if not compute:
        return [(*batch, least), (0,), (0,)]
    left, right = (rows, columns) if full else (least, least)
    return [(*batch, least), (*batch, rows, left), (*batch, columns, right)]


define_op(
    "Svd",
    inputs=["input: T"],
    outputs=["s: T", "u: T", "v: T"],
    attrs=["compute_uv: bool = true", "full_matrices: bool = false", _TYPES],
    shape=_svd_shape,
)


def _qr_shape(op: Operation) -> list[Shape]:
    whole = with_rank_at_least(op.inputs[0]._shape, 2)
    if whole is None:
        return [None, None]
    *batch, rows, columns = whole
    inner = rows if op.attrs["full_matrices"] else _least(rows, columns)
    return [(*batch, rows, inner), (*batch, inner, columns)]


define_op(
    "Qr",
    inputs=["input: T"],
    outputs=["q: T", "r: T"],
    attrs=["full_matrices: bool = false", _TYPES],
    shape=_qr_shape,
)


def _lu_shape(op: Operation) -> list[Shape]:
    batch, size = _square(op)
    return [None, None] if batch is None else [(*batch, size, size), (*batch, size)]


define_op(
    "Lu",
    inputs=["input: T"],
    outputs=["lu: T", "p: output_idx_type"],
    attrs=[_TYPES, "output_idx_type: {int32, int64} = DT_INT32"],
    shape=_lu_shape,
)

# --- builders -------------------------------------------------------------------------------------


@export("cholesky", "linalg.cholesky")
def cholesky(input: Any, name: str | None = None) -> Tensor:
    """Lower triangles `l` with `l @ adjoint(l) = input`; only the lower triangle of it is read.

    Raises:
        InvalidArgumentError: at run time, when a matrix is not positive definite.
    """
    result: Tensor = create_op("Cholesky", [input], name=name)
    return result


@export("self_adjoint_eig", "linalg.eigh")
def self_adjoint_eig(tensor: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """Eigenvalues of Hermitian matrices, the least first, and eigenvectors in columns.

    Only the lower triangle is read. The sign of an eigenvector is the library's choice.
    """
    values, vectors = create_op("SelfAdjointEigV2", [tensor], {"compute_v": True}, name)
    return values, vectors


@export("self_adjoint_eigvals", "linalg.eigvalsh")
def self_adjoint_eigvals(tensor: Any, name: str | None = None) -> Tensor:
    """Eigenvalues of Hermitian matrices, the least first."""
    values: Tensor = create_op("SelfAdjointEigV2", [tensor], {"compute_v": False}, name)[0]
    return values


def _complex_type(tensor: Tensor) -> Any:
    return complex64 if tensor.dtype.base_dtype in (float32, complex64) else complex128


@export("linalg.eig")
def eig(tensor: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """Eigenvalues of square matrices, in no order, and eigenvectors of length 1 in columns."""
    with graph_of([tensor]).as_default():
        tensor = convert_to_tensor(tensor)
    attrs = {"compute_v": True, "Tout": _complex_type(tensor)}
    values, vectors = create_op("Eig", [tensor], attrs, name)
    return values, vectors


@export("linalg.eigvals")
def eigvals(tensor: Any, name: str | None = None) -> Tensor:
    """Eigenvalues of square matrices, in no order."""
    with graph_of([tensor]).as_default():
        tensor = convert_to_tensor(tensor)
    attrs = {"compute_v": False, "Tout": _complex_type(tensor)}
    values: Tensor = create_op("Eig", [tensor], attrs, name)[0]
    return values


@export("svd", "linalg.svd")
def svd(
    tensor: Any, full_matrices: bool = False, compute_uv: bool = True, name: str | None = None
) -> Any:
    """Singular values of matrices, the greatest first, and the singular vectors.

    Args:
        tensor: the matrices.
        full_matrices: make square matrices of the vectors, else as many as there are values.
        compute_uv: give the vectors, too.
        name: name of the operation.

    Returns:
        `s`, or `(s, u, v)` with `tensor = u @ diag(s) @ adjoint(v)`. The signs of a pair of vectors
        are the library's choice.
    """
    attrs = {"compute_uv": compute_uv, "full_matrices": full_matrices}
    values, left, right = create_op("Svd", [tensor], attrs, name)
    values = real(values)
    return (values, left, right) if compute_uv else values


class Qr(NamedTuple):
    """What `qr` gives."""

    q: Any
    r: Any


@export("qr", "linalg.qr")
def qr(input: Any, full_matrices: bool = False, name: str | None = None) -> Qr:
    """Matrices with orthonormal columns and upper triangles, whose product is `input`."""
    return Qr(*create_op("Qr", [input], {"full_matrices": full_matrices}, name))


class Lu(NamedTuple):
    """What `linalg.lu` gives."""

    lu: Any
    p: Any


@export("linalg.lu")
def lu(input: Any, output_idx_type: Any = int32, name: str | None = None) -> Lu:
    """Lower triangles (with ones on the diagonal) and upper ones in one matrix, and the order.

    Row `i` of the product of the two is row `p[i]` of `input`.

    Raises:
        InvalidArgumentError: at run time, when a matrix has no inverse.
    """
    return Lu(*create_op("Lu", [input], {"output_idx_type": output_idx_type}, name))


def _largest(a: Tensor, singular: Tensor) -> Any:
    """What counts as zero beside the greatest singular value, by the size of the matrix."""
    size = float(np.finfo(a.dtype.base_dtype.as_numpy_dtype).eps)
    greater_size = cast(reduce_max(shape(a)[-2:]), singular.dtype)
    return reduce_max(singular, -1, True) * (size * greater_size)


@export("linalg.matrix_rank")
def matrix_rank(
    a: Any, tol: Any = None, validate_args: bool = False, name: str | None = None
) -> Tensor:
    """How many singular values of matrices are above `tol`, as int32."""
    with graph_of([a]).as_default() as graph, graph.name_scope(name or "matrix_rank"):
        a = convert_to_tensor(a, name="a")
        singular = svd(a, compute_uv=False)
        limit = _largest(a, singular) if tol is None else tol
        return reduce_sum(cast(greater(singular, limit), int32), -1)


@export("linalg.pinv")
def pinv(a: Any, rcond: Any = None, validate_args: bool = False, name: str | None = None) -> Tensor:
    """The pseudo-inverses of matrices.

    Args:
        a: the matrices.
        rcond: singular values below this part of the greatest one count as zeros; None stands for
            ten times the greater size times the precision of the dtype.
        validate_args: not used.
        name: name scope of the operations.
    """
    with graph_of([a]).as_default() as graph, graph.name_scope(name or "pinv"):
        a = convert_to_tensor(a, name="a")
        singular, left, right = svd(a)
        if rcond is None:
            limit = 10.0 * _largest(a, singular)
        else:
            limit = cast(rcond, singular.dtype) * reduce_max(singular, -1, True)
        kept = greater(singular, limit)
        inverse = where(kept, 1.0 / where(kept, singular, singular + 1.0), zeros_like(singular))
        return matmul(right * inverse[..., None, :], left, adjoint_b=True)
