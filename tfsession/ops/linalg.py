"""Identity matrices, traces, norms, bands of matrices, cross products."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import float32, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, conj
from tfsession.ops.constant import ones, zeros
from tfsession.ops.decompose import svd
from tfsession.ops.diag import matrix_diag, matrix_diag_part, matrix_set_diag
from tfsession.ops.elementwise import minimum, pow
from tfsession.ops.join import concat
from tfsession.ops.reduce import reduce_max, reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed, squeeze
from tfsession.ops.transpose import invert_permutation, matrix_transpose, transpose
from tfsession.ops.unary import abs, sqrt
from tfsession.ops.unique import setdiff1d

define_op(
    "MatrixBandPart",
    inputs=["input: T", "num_lower: Tindex", "num_upper: Tindex"],
    outputs=["band: T"],
    attrs=["T: type", "Tindex: {int32, int64} = DT_INT64"],
    shape=same_as(0),
)


def _cross_shape(op: Operation) -> list[Shape]:
    a, b = (with_rank_at_least(tensor._shape, 1) for tensor in op.inputs)
    shape = merge(a, b)
    if shape is not None and shape[-1] not in (3, None):
        raise ValueError(f"Dimension must be 3 but is {shape[-1]}")
    return [shape]


define_op(
    "Cross",
    inputs=["a: T", "b: T"],
    outputs=["product: T"],
    attrs=["T: realnumbertype"],
    shape=_cross_shape,
)


@export("matrix_band_part", "linalg.band_part")
def matrix_band_part(input: Any, num_lower: Any, num_upper: Any, name: str | None = None) -> Tensor:
    """Matrices with zeros outside of a band about the main diagonal.

    Args:
        input: matrices in the last two dimensions.
        num_lower: how many diagonals below the main one to keep; negative keeps all.
        num_upper: how many above it.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time, when there are fewer rows or columns than that.
    """
    result: Tensor = create_op("MatrixBandPart", [input, num_lower, num_upper], name=name)
    return result


@export("cross", "linalg.cross")
def cross(a: Any, b: Any, name: str | None = None) -> Tensor:
    """The cross products of the vectors of three elements in the last dimension."""
    result: Tensor = create_op("Cross", [a, b], name=name)
    return result


@export("eye", "linalg.eye")
def eye(
    num_rows: Any,
    num_columns: Any = None,
    batch_shape: Any = None,
    dtype: Any = float32,
    name: str | None = None,
) -> Tensor:
    """Identity matrices.

    Args:
        num_rows: number of rows, an int or an int32 scalar.
        num_columns: number of columns; None makes square matrices.
        batch_shape: leading dimensions of the result; None for one matrix.
        dtype: the dtype.
        name: name scope of the operations.
    """
    columns = num_rows if num_columns is None else num_columns
    batch: Any = [] if batch_shape is None else batch_shape
    graph = graph_of([num_rows, num_columns, batch_shape])
    with graph.as_default(), graph.name_scope(name or "eye"):
        diagonal: Any
        symbolic = isinstance(num_rows, Tensor) or isinstance(columns, Tensor)
        size = minimum(num_rows, columns) if symbolic else min(num_rows, columns)
        shape: Any = None
        if symbolic or isinstance(batch, Tensor):
            batch = convert_to_tensor(batch, int32, name="shape")
            diagonal = concat([batch, [size]], 0)
            if num_columns is not None:
                shape = concat([batch, [num_rows, columns]], 0)
        else:
            diagonal, shape = [*batch, size], [*batch, num_rows, columns]
        main = ones(diagonal, dtype)
        if num_columns is None:
            return matrix_diag(main)
        return matrix_set_diag(zeros(shape, dtype), main)


@export("trace", "linalg.trace")
def trace(x: Any, name: str | None = None) -> Tensor:
    """The sums of the main diagonals of the matrices in the last two dimensions."""
    with graph_of([x]).as_default() as graph, graph.name_scope(name or "Trace") as scope:
        x = convert_to_tensor(x, name="x")
        return reduce_sum(matrix_diag_part(x), [-1], name=scope)


@export("linalg.adjoint")
def adjoint(matrix: Any, name: str | None = None) -> Tensor:
    """The conjugate transposes of the matrices in the last two dimensions."""
    with graph_of([matrix]).as_default() as graph, graph.name_scope(name or "adjoint"):
        matrix = convert_to_tensor(matrix, name="matrix")
        return matrix_transpose(matrix, conjugate=True)


# --- norms ----------------------------------------------------------------------------------------

_EUCLIDEAN = ("fro", "euclidean", 2, 2.0)


@export("norm", "linalg.norm")
def norm(
    tensor: Any,
    ord: Any = "euclidean",
    axis: Any = None,
    keepdims: bool | None = None,
    name: str | None = None,
    keep_dims: bool | None = None,
) -> Tensor:
    """The norms of vectors along an axis, or of matrices along two.

    Args:
        tensor: the tensor.
        ord: `"euclidean"`, 1, 2, `np.inf` or any positive number; of matrices `"fro"` too.
        axis: the axis of vectors; a pair of axes of matrices; None takes all elements as a vector.
        keepdims: leave the reduced dimensions in the result, with size 1.
        name: name scope of the operations.
        keep_dims: older name of `keepdims`.

    Raises:
        ValueError: such a norm or such an axis is not known.
    """
    keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
    matrices = isinstance(axis, tuple | list) and len(axis) == 2
    _check_norm(ord, axis, matrices)
    axes = None if axis is None else tuple(axis) if matrices else (axis,)
    with graph_of([tensor]).as_default() as graph, graph.name_scope(name or "norm"):
        tensor = convert_to_tensor(tensor)
        if ord in _EUCLIDEAN:
            if matrices and ord == 2:
                result = _spectral_norm(tensor, *axis)
            else:
                result = sqrt(reduce_sum(tensor * conj(tensor), axes, True))
        else:
            result = _norm_of_sizes(abs(tensor), ord, axes, matrices)
        return result if keepdims else squeeze(result, axes)


def _spectral_norm(tensor: Tensor, first: int, last: int) -> Tensor:
    """The greatest singular values of matrices along two axes, which stay with size 1."""
    order: Any
    if tensor.shape.rank is None:
        count = rank(tensor)
        pair = (convert_to_tensor([first, last]) + count) % count
        order = concat([setdiff1d(range_(count), pair)[0], pair], 0)
        back: Any = invert_permutation(order)
    else:
        every = range(tensor.shape.rank)
        last_two = [every[first], every[last]]
        order = [axis for axis in every if axis not in last_two] + last_two
        back = [order.index(axis) for axis in every]
    values = reduce_max(svd(transpose(tensor, order), compute_uv=False), -1, True)
    return transpose(values[..., None], back)


def _norm_of_sizes(sizes: Tensor, ord: Any, axes: Any, matrices: bool) -> Tensor:
    """A norm of absolute values."""
    first, last = (None, None) if axes is None else (axes[0], axes[-1])
    if ord == 1:
        total = reduce_sum(sizes, first, True)
        return reduce_max(total, last, True) if matrices else total
    if ord == np.inf:
        return reduce_max(reduce_sum(sizes, last, True) if matrices else sizes, first, True)
    return pow(reduce_sum(pow(sizes, ord), axes, True), 1.0 / ord)


def _check_norm(ord: Any, axis: Any, matrices: bool) -> None:
    if matrices:
        supported: list[Any] = ["euclidean", "fro", 1, 2, np.inf]
        if axis[0] != axis[1] and all(isinstance(item, int | np.integer) for item in axis):
            if ord not in supported:
                raise ValueError(f"'ord' must be a supported matrix norm in {supported}, got {ord}")
            return
    elif axis is None or isinstance(axis, int | np.integer):
        positive = np.isreal(ord) and not isinstance(ord, str) and ord > 0
        if not positive and ord != "euclidean":
            raise ValueError(f"'ord' must be a supported vector norm, got {ord}")
        return
    raise ValueError(
        f"'axis' must be None, an integer, or a tuple of 2 unique integers, got {axis}"
    )


@export("linalg.normalize")
def normalize(
    tensor: Any, ord: Any = "euclidean", axis: Any = None, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """`tensor` divided by its norm along `axis`, and that norm; arguments as in `norm`."""
    with graph_of([tensor]).as_default() as graph, graph.name_scope(name or "normalize"):
        tensor = convert_to_tensor(tensor)
        size = cast(norm(tensor, ord, axis, keepdims=True), tensor.dtype)
        return tensor / size, size
