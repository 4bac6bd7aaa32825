"""Contractions of two tensors along given axes, as one product of matrices."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import Shape, TensorShape, is_fully_defined
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import where
from tfsession.ops.constant import constant
from tfsession.ops.join import concat, stack
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_prod
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.transpose import transpose
from tfsession.ops.unique import setdiff1d


@export("tensordot", "linalg.tensordot")
def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Tensor:
    """The sum of products of `a` and `b` over pairs of axes.

    Args:
        a: a tensor.
        b: a tensor of the same dtype.
        axes: how many of the last axes of `a` go with the first of `b`; or two lists of axes (or
            two axes), which go with one another; or an int32 tensor that holds two such lists.
        name: name of the operation.

    Raises:
        ValueError: the axes or the sizes along them do not fit.
    """
    with graph_of([a, b]).as_default() as graph, graph.name_scope(name or "Tensordot") as scope:
        a = convert_to_tensor(a, name="a")
        b = convert_to_tensor(b, name="b")
        a_axes, b_axes = _contracted(a, axes)
        a_rows, a_free, a_sizes = _as_matrix(a, a_axes, False)
        b_rows, b_free, b_sizes = _as_matrix(b, b_axes, True)
        product = matmul(a_rows, b_rows)
        if isinstance(a_free, list) and isinstance(b_free, list):
            sizes = a_free + b_free
            return product if product._shape == tuple(sizes) else reshape(product, sizes, scope)
        a_free = convert_to_tensor(a_free, int32)
        b_free = convert_to_tensor(b_free, int32)
        result = reshape(product, concat([a_free, b_free], 0), scope)
        if a_sizes is not None and b_sizes is not None:
            result.set_shape(TensorShape.from_tuple((*a_sizes, *b_sizes)))
        return result


def _contracted(a: Tensor, axes: Any) -> tuple[Any, Any]:
    """The axes of `a` and of the other tensor: as lists, or as tensors if unknown as yet."""
    if isinstance(axes, int):
        if axes < 0:
            raise ValueError(f"`axes` must be at least 0. Received: {axes}.")
        if a._shape is None:
            unknown: Any = rank(a)
            return range_(unknown - axes, unknown, dtype=int32), range_(axes, dtype=int32)
        ndim = len(a._shape)
        if axes > ndim:
            raise ValueError(
                "`axes` must not be larger than the number of dimensions of tensor "
                f"{a}.  Received {axes}, vs tensor dimensions {ndim}."
            )
        return list(range(ndim - axes, ndim)), list(range(axes))
    if isinstance(axes, list | tuple):
        if len(axes) != 2:
            raise ValueError(f"`axes` must be an integer or have length 2. Received {axes}.")
        first, second = ([part] if isinstance(part, int) else part for part in axes)
        if not isinstance(first, Tensor) and len(first) != len(second):
            raise ValueError(
                f"Different number of contraction axes `a` and `b`, {len(first)} != {len(second)}."
            )
        return first, second
    axes = convert_to_tensor(axes, int32, name="axes")
    return axes[0], axes[1]


def _as_matrix(tensor: Tensor, axes: Any, inner_first: bool) -> tuple[Tensor, Any, Shape]:
    """`tensor` with its contracted axes made one dimension of a matrix, and the others the other.

    Also gives the other sizes: a list where all sizes are known, else a tensor; and what is known
    of them.
    """
    shape = tensor._shape
    if isinstance(axes, list | tuple) and shape is not None:
        known = [axis if axis >= 0 else axis + len(shape) for axis in axes]
        free = [axis for axis in range(len(shape)) if axis not in known]
        if is_fully_defined(shape):
            return _known_matrix(tensor, known, free, inner_first)
        sizes: Shape = tuple(shape[axis] for axis in free)
        inner = constant(known, int32, name="axes")
        outer = constant(free, int32, name="free")
        dims = shape_of(tensor)
    else:
        sizes = None
        dims = shape_of(tensor)
        ndim = rank(tensor)
        inner = convert_to_tensor(axes, int32, name="axes")
        inner = where(inner >= 0, inner, inner + ndim)
        outer, _ = setdiff1d(range_(ndim), inner)
    free_dims = create_op("GatherV2", [dims, outer, 0])
    inner_dims = create_op("GatherV2", [dims, inner, 0])
    free_size, inner_size = reduce_prod(free_dims), reduce_prod(inner_dims)
    order = concat([inner, outer] if inner_first else [outer, inner], 0)
    matrix_dims = stack([inner_size, free_size] if inner_first else [free_size, inner_size])
    return reshape(transpose(tensor, order), matrix_dims), free_dims, sizes


def _known_matrix(
    tensor: Tensor, axes: list[int], free: list[int], inner_first: bool
) -> tuple[Tensor, list[int], Shape]:
    shape: Any = tensor._shape
    sizes = [shape[axis] for axis in free]
    inner_size = free_size = 1
    for axis in axes:
        inner_size *= shape[axis]
    for size in sizes:
        free_size *= size
    order = axes + free if inner_first else free + axes
    if order != list(range(len(shape))):
        tensor = transpose(tensor, order)
    matrix = (inner_size, free_size) if inner_first else (free_size, inner_size)
    if tensor._shape != matrix:
        tensor = reshape(tensor, list(matrix))
    return tensor, sizes, tuple(sizes)
