"""Gradients of matrix products: products of the gradient with the other matrix."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, conj
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import reshape, shape


def _factors(a: Tensor, b: Tensor, turn_a: bool, turn_b: bool, grad: Any) -> tuple[Any, Any]:
    """For each gradient: left factor, whether it is turned, right factor, whether it is."""
    first = (b, turn_b, grad, True) if turn_a else (grad, False, b, not turn_b)
    second = (grad, True, a, turn_a) if turn_b else (a, not turn_a, grad, False)
    return first, second


@gradient("MatMul")
def _matmul(op: Operation, grad: Any) -> Any:
    a, b = (conj(tensor) for tensor in op.inputs)
    turns = op.attrs["transpose_a"], op.attrs["transpose_b"]

    def product(x: Tensor, turn_x: bool, y: Tensor, turn_y: bool) -> Any:
        attrs = {"transpose_a": turn_x, "transpose_b": turn_y}
        return create_op("MatMul", [x, y], attrs)

    return tuple(product(*factors) for factors in _factors(a, b, *turns, grad))


@gradient("SparseMatMul")
def _sparse_matmul(op: Operation, grad: Any) -> Any:
    a, b = op.inputs
    turns = op.attrs["transpose_a"], op.attrs["transpose_b"]
    zeros = {a: op.attrs["a_is_sparse"], b: op.attrs["b_is_sparse"]}

    def product(factors: Any, dtype: Any) -> Any:
        x, turn_x, y, turn_y = factors
        x_is_sparse, y_is_sparse = zeros.get(x, False), zeros.get(y, False)
        attrs = {
            "transpose_a": turn_x,
            "transpose_b": turn_y,
            "a_is_sparse": x_is_sparse,
            "b_is_sparse": y_is_sparse,
        }
        return cast(create_op("SparseMatMul", [x, y], attrs), dtype)

    first, second = _factors(a, b, *turns, grad)
    return product(first, a.dtype.base_dtype), product(second, b.dtype.base_dtype)


def _batch_product(x: Tensor, turn_x: bool, y: Tensor, turn_y: bool) -> Tensor:
    return matmul(x, y, adjoint_a=turn_x, adjoint_b=turn_y)


@gradient("BatchMatMul", "BatchMatMulV2")
def _batch_matmul(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    first, second = _factors(x, y, op.attrs["adj_x"], op.attrs["adj_y"], grad)
    return _unbroadcast(x, y, _batch_product(*first)), _unbroadcast(y, x, _batch_product(*second))


@gradient("BatchMatMulV3")
def _widening_batch_matmul(op: Operation, grad: Any) -> Any:
    x, y = op.inputs
    wide_x, wide_y = (cast(tensor, grad.dtype.base_dtype) for tensor in (x, y))
    first, second = _factors(wide_x, wide_y, op.attrs["adj_x"], op.attrs["adj_y"], grad)
    x_grad = cast(_batch_product(*first), x.dtype.base_dtype)
    y_grad = cast(_batch_product(*second), y.dtype.base_dtype)
    return _unbroadcast(x, y, x_grad), _unbroadcast(y, x, y_grad)


def _batch_dims(tensor: Tensor) -> Shape:
    return None if tensor._shape is None else tensor._shape[:-2]


def _unbroadcast(tensor: Tensor, other: Tensor, grad: Tensor) -> Tensor:
    """`grad` summed over the batch dimensions along which `tensor` repeats beside `other`."""
    own, opposite = _batch_dims(tensor), _batch_dims(other)
    if own is not None and opposite is not None and own == opposite and None not in own:
        return grad
    if own == () and opposite is not None:
        return reduce_sum(grad, list(range(len(opposite)))) if opposite else grad
    sizes = shape(tensor)
    batches = (_without_matrix(size) for size in (sizes, shape(other)))
    axes, _ = create_op("BroadcastGradientArgs", list(batches))
    return reshape(reduce_sum(grad, axes), sizes)


def _without_matrix(sizes: Tensor) -> Tensor:
    """All sizes but the last two."""
    masks = {"begin_mask": 1}
    batch: Tensor = create_op("StridedSlice", [sizes, [0], [-2], [1]], masks)
    return batch
