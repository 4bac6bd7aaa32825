"""Gradients of sparse arithmetic, to the stored elements and to dense tensors beside them."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, conj
from tfsession.ops.compare import not_equal
from tfsession.ops.gather import gather, gather_nd
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.scatter import scatter_nd
from tfsession.ops.shape import rank, reshape, shape
from tfsession.ops.transpose import matrix_transpose


@gradient("SparseTensorDenseMatMul")
def _product(op: Operation, grad: Any) -> Any:
    places, values, sizes, b = op.inputs
    turned_a, turned_b = op.attrs["adjoint_a"], op.attrs["adjoint_b"]
    attrs = {"adjoint_a": not turned_a}
    b_grad = create_op("SparseTensorDenseMatMul", [places, values, sizes, grad], attrs)
    if turned_b:
        b_grad = matrix_transpose(b_grad, conjugate=True)
    rows, columns = (places[:, side] for side in ((1, 0) if turned_a else (0, 1)))
    dense = matrix_transpose(b, conjugate=True) if turned_b else b
    if dense.dtype.is_complex:
        dense = conj(dense)
    values_grad = reduce_sum(gather(grad, rows) * gather(dense, columns), -1)
    if turned_a and values.dtype.is_complex:
        values_grad = conj(values_grad)
    return None, values_grad, None, b_grad


def _scaled_grads(op: Operation, values_grad: Any, met_grad: Any) -> Any:
    """The gradients of an op beside a dense tensor: an element of it that is met often gets all."""
    places, _, _, dense = op.inputs
    sizes = shape(dense, out_type=int64)
    met = places[:, shape(places)[1] - rank(dense) :] * cast(not_equal(sizes, 1), int64)
    # A dimension more, of size 1: a scalar has no place.
    met = create_op("PadV2", [met, [[0, 0], [1, 0]], cast(0, int64)])
    found = scatter_nd(met, met_grad, create_op("ConcatV2", [[cast([1], int64), sizes], 0]))
    return None, values_grad, None, reshape(found, sizes)


def _beside(op_type: str, op: Operation, values: Any, dense: Any) -> Any:
    places, _, sizes, _ = op.inputs
    return create_op(op_type, [places, values, sizes, dense])


@gradient("SparseDenseCwiseMul")
def _times(op: Operation, grad: Any) -> Any:
    _, values, _, dense = op.inputs
    values_grad = _beside("SparseDenseCwiseMul", op, grad, conj(dense))
    return _scaled_grads(op, values_grad, grad * conj(values))


@gradient("SparseDenseCwiseDiv")
def _over(op: Operation, grad: Any) -> Any:
    dense = conj(op.inputs[3])
    values_grad = _beside("SparseDenseCwiseDiv", op, grad, dense)
    return _scaled_grads(op, values_grad, -values_grad * conj(op.outputs[0]))


@gradient("SparseDenseCwiseAdd")
def _plus(op: Operation, grad: Any) -> Any:
    return _scaled_grads(op, grad, grad)


@gradient("SparseTensorDenseAdd")
def _dense_sum(op: Operation, grad: Any) -> Any:
    return None, gather_nd(grad, op.inputs[0]), None, grad


@gradient("SparseAdd")
def _sum(op: Operation, _: Any, grad: Any, __: Any) -> Any:
    inputs = [grad, op.inputs[0], op.inputs[3], op.outputs[0]]
    a_grad, b_grad = create_op("SparseAddGrad", inputs)
    return None, a_grad, None, None, b_grad, None, None


@gradient("SparseReduceSum")
def _reduce_sum(op: Operation, grad: Any) -> Any:
    places, _, sizes, axes = op.inputs
    kept = _kept_sizes(sizes, axes)
    # A reduced dimension has size 1: all places in it become 0.
    return None, gather_nd(reshape(grad, kept), places // (sizes // kept)), None, None


def _kept_sizes(sizes: Tensor, axes: Tensor) -> Tensor:
    """`sizes` with 1 for each reduced dimension."""
    count = create_op("Size", [sizes])
    axes = reshape((axes + count) % count, [-1])
    ones = create_op("OneHot", [axes, count, cast(1, int64), cast(0, int64)])
    is_reduced = create_op("Max", [ones, 0])
    result: Tensor = sizes * (1 - is_reduced) + is_reduced
    return result


@gradient("SparseSoftmax")
def _softmax(op: Operation, grad: Any) -> Any:
    places, _, sizes = op.inputs
    shares = op.outputs[0]
    attrs = {"keep_dims": True}
    totals = create_op("SparseReduceSum", [places, shares * grad, sizes, [-1]], attrs)
    rows = places * cast(create_op("Less", [_positions(sizes), shape(places)[1] - 1]), int64)
    return None, (grad - gather_nd(totals, rows)) * shares, None


def _positions(sizes: Tensor) -> Tensor:
    positions: Tensor = create_op("Range", [0, create_op("Size", [sizes]), 1])
    return positions


no_gradient(
    "SparseAddGrad",
    "SparseSparseMaximum",
    "SparseSparseMinimum",
    "SparseReduceSumSparse",
    "SparseReduceMax",
    "SparseReduceMaxSparse",
)
