"""Products of matrices, alone and in batches, and of matrices with vectors; the operator `@`.

Contractions over any axes stand in `tensordot.py` and `einsum.py`.
"""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import as_dtype, bfloat16, float32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, conj
from tfsession.ops.operators import install
from tfsession.ops.shape import expand_dims, squeeze

# --- definitions ----------------------------------------------------------------------------------


def _product_dims(x: Shape, y: Shape, turn_x: bool, turn_y: bool) -> tuple[int | None, int | None]:
    """Rows and columns of the product of the matrices in the last two dimensions."""
    rows, inner = (None, None) if x is None else (x[-1], x[-2]) if turn_x else (x[-2], x[-1])
    other, columns = (None, None) if y is None else (y[-1], y[-2]) if turn_y else (y[-2], y[-1])
    merge_dims(inner, other)
    return rows, columns


def _matmul_shape(op: Operation) -> list[Shape]:
    a, b = (with_rank(tensor._shape, 2) for tensor in op.inputs)
    return [_product_dims(a, b, op.attrs["transpose_a"], op.attrs["transpose_b"])]


_FLOATS = "bfloat16, half, float, double"
_COMPLEX = "complex64, complex128"
define_op(
    "MatMul",
    inputs=["a: T", "b: T"],
    outputs=["product: T"],
    attrs=[
        "transpose_a: bool = false",
        "transpose_b: bool = false",
        f"T: {{{_FLOATS}, int32, int64, uint8, uint16, uint32, uint64, {_COMPLEX}}}",
        "grad_a: bool = false",
        "grad_b: bool = false",
    ],
    shape=_matmul_shape,
)
define_op(
    "SparseMatMul",
    inputs=["a: Ta", "b: Tb"],
    outputs=["product: float"],
    attrs=[
        "transpose_a: bool = false",
        "transpose_b: bool = false",
        "a_is_sparse: bool = false",
        "b_is_sparse: bool = false",
        "Ta: {float, bfloat16} = DT_FLOAT",
        "Tb: {float, bfloat16} = DT_FLOAT",
    ],
    shape=_matmul_shape,
)


def _batch_shape(op: Operation) -> list[Shape]:
    x, y = (with_rank_at_least(tensor._shape, 2) for tensor in op.inputs)
    batch = shape_lib.merge(None if x is None else x[:-2], None if y is None else y[:-2])
    dims = _product_dims(x, y, op.attrs["adj_x"], op.attrs["adj_y"])
    return [None if batch is None else (*batch, *dims)]


def _broadcasting_shape(op: Operation) -> list[Shape]:
    x, y = (with_rank_at_least(tensor._shape, 2) for tensor in op.inputs)
    dims = _product_dims(x, y, op.attrs["adj_x"], op.attrs["adj_y"])
    if x is None or y is None:
        return [None]
    batch = shape_lib.broadcast(x[:-2], y[:-2])
    assert batch is not None
    return [(*batch, *dims)]


_ADJOINTS = [
    "adj_x: bool = false",
    "adj_y: bool = false",
    "grad_x: bool = false",
    "grad_y: bool = false",
]
define_op(
    "BatchMatMul",
    inputs=["x: T", "y: T"],
    outputs=["output: T"],
    attrs=[f"T: {{{_FLOATS}, int32, int64, {_COMPLEX}}}", *_ADJOINTS],
    shape=_batch_shape,
)
define_op(
    "BatchMatMulV2",
    inputs=["x: T", "y: T"],
    outputs=["output: T"],
    attrs=[
        f"T: {{{_FLOATS}, int16, int32, int64, uint8, uint16, uint32, uint64, {_COMPLEX}}}",
        *_ADJOINTS,
    ],
    shape=_broadcasting_shape,
)
define_op(
    "BatchMatMulV3",
    inputs=["x: Ta", "y: Tb"],
    outputs=["output: Tout"],
    attrs=[
        f"Ta: {{{_FLOATS}, uint8, int8, int16, int32, int64, {_COMPLEX}}}",
        f"Tb: {{{_FLOATS}, uint8, int8, int16, int32, int64, {_COMPLEX}}}",
        f"Tout: {{{_FLOATS}, int16, int32, int64, {_COMPLEX}}}",
        *_ADJOINTS,
    ],
    shape=_broadcasting_shape,
)

# --- builders -------------------------------------------------------------------------------------


@export("matmul", "linalg.matmul")
def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
    grad_a: bool = False,
    grad_b: bool = False,
    name: str | None = None,
) -> Tensor:
    """The product of the matrices in the last two dimensions; the dimensions before broadcast.

    Args:
        a: tensor of rank 2 or more.
        b: tensor of rank 2 or more, of the same dtype.
        transpose_a: use the transpose of `a`.
        transpose_b: use the transpose of `b`.
        adjoint_a: use the conjugate transpose of `a`.
        adjoint_b: use the conjugate transpose of `b`.
        a_is_sparse: a hint that `a` holds many zeros.
        b_is_sparse: a hint that `b` holds many zeros.
        output_type: dtype of the result where it is not that of `a`, as int32 of int8.
        grad_a: a mark that `a` is a gradient.
        grad_b: a mark that `b` is a gradient.
        name: name of the operation.

    Raises:
        ValueError: the shapes do not fit, or a matrix is to be both transposed and adjoint;
            InvalidArgumentError when the shapes show only at run time.
    """
    _exclude("a", transpose_a, adjoint_a)
    _exclude("b", transpose_b, adjoint_b)
    with graph_of([a, b]).as_default() as graph, graph.name_scope(name or "MatMul") as scope:
        a = convert_to_tensor(a, name="a")
        b = convert_to_tensor(b, dtype_hint=a.dtype.base_dtype, name="b")
        sparse = a_is_sparse or b_is_sparse
        types = (a.dtype.base_dtype, b.dtype.base_dtype)
        marks = (bool(grad_a), bool(grad_b))
        wide = None if output_type is None else as_dtype(output_type)
        if not sparse and (_may_be_batch(a) or _may_be_batch(b)):
            # The batch ops know adjoints only: a transpose is the adjoint of the conjugate.
            a, b = (conj(a) if transpose_a else a), (conj(b) if transpose_b else b)
            turns = (bool(transpose_a or adjoint_a), bool(transpose_b or adjoint_b))
            return _batch_product(a, b, turns, marks, wide, scope)
        a, b = (conj(a) if adjoint_a else a), (conj(b) if adjoint_b else b)
        turns = (bool(transpose_a or adjoint_a), bool(transpose_b or adjoint_b))
        small = {float32, bfloat16}.issuperset(types)
        if small and (sparse or types[0] is not types[1]):
            product = sparse_matmul(a, b, *turns, a_is_sparse, b_is_sparse, scope)
            return cast(product, bfloat16) if types == (bfloat16, bfloat16) else product
        if wide is not None and (wide is not types[0] or wide is not types[1]):
            return _batch_product(a, b, turns, marks, wide, scope)
        attrs = {
            "transpose_a": turns[0],
            "transpose_b": turns[1],
            "grad_a": marks[0],
            "grad_b": marks[1],
        }
        result: Tensor = create_op("MatMul", [a, b], attrs, scope)
        return result


def _exclude(which: str, transpose: bool, adjoint: bool) -> None:
    if transpose and adjoint:
        raise ValueError(
            f"Only one of `transpose_{which}` and `adjoint_{which}` can be True. Received "
            f"`transpose_{which}`={transpose}, `adjoint_{which}`={adjoint}."
        )


def _may_be_batch(tensor: Tensor) -> bool:
    return tensor._shape is None or len(tensor._shape) > 2


def _batch_product(
    x: Tensor, y: Tensor, turns: tuple[bool, bool], marks: tuple[bool, bool], wide: Any, name: str
) -> Tensor:
    attrs: dict[str, Any] = {
        "adj_x": turns[0], "adj_y": turns[1], "grad_x": marks[0], "grad_y": marks[1]
    }  # fmt: skip
    op_type = "BatchMatMulV2"
    if wide is not None and not wide is x.dtype.base_dtype is y.dtype.base_dtype:
        op_type, attrs["Tout"] = "BatchMatMulV3", wide
    result: Tensor = create_op(op_type, [x, y], attrs, name)
    return result


@export("sparse_matmul")
def sparse_matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The float32 product of two matrices of float32 or bfloat16, which may hold many zeros."""
    attrs = {
        "transpose_a": transpose_a,
        "transpose_b": transpose_b,
        "a_is_sparse": a_is_sparse,
        "b_is_sparse": b_is_sparse,
    }
    result: Tensor = create_op("SparseMatMul", [a, b], attrs, name)
    return result


@export("linalg.matvec")
def matvec(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    adjoint_a: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The product of the matrices `a` with the vectors in the last dimension of `b`.

    The arguments are those of `matmul`.
    """
    with graph_of([a, b]).as_default() as graph, graph.name_scope(name or "MatVec"):
        column = expand_dims(b, -1)
        product = matmul(
            a,
            column,
            transpose_a=transpose_a,
            adjoint_a=adjoint_a,
            a_is_sparse=a_is_sparse,
            b_is_sparse=b_is_sparse,
        )
        return squeeze(product, -1)


# --- the operator ---------------------------------------------------------------------------------


def _reflected(y: Tensor, x: Any) -> Tensor:
    with y.graph.as_default(), y.graph.name_scope("matmul") as scope:
        x = convert_to_tensor(x, y.dtype.base_dtype, name="x")
        return matmul(x, y, name=scope)


install("matmul", lambda x, y: matmul(x, y, name="matmul"), _reflected)
