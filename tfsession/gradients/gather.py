"""Gradients of gathers: slices of the gradient, summed where an index stands twice."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import expand_dims, rank, reshape, shape, size, squeeze
from tfsession.ops.transpose import transpose


def _joined(parts: list[Any]) -> Tensor:
    vector: Tensor = create_op("ConcatV2", [parts, 0])
    return vector


def _rows(params: Tensor, indices: Tensor, grad: Tensor) -> IndexedSlices:
    sizes = shape(params)
    count = expand_dims(size(indices), 0)
    values = reshape(grad, _joined([count, sizes[1:]]))
    return IndexedSlices(values, reshape(indices, count), sizes)


@gradient("Gather")
def _gather(op: Operation, grad: Any) -> Any:
    return _rows(op.inputs[0], op.inputs[1], grad), None


@gradient("GatherV2")
def _gather_v2(op: Operation, grad: Any) -> Any:
    params, indices, axis = op.inputs
    at, batch_dims = constant_value(axis), op.attrs["batch_dims"]
    if at is not None and int(at) == 0 and batch_dims == 0:
        return _rows(params, indices, grad), None, None
    if batch_dims < 0:
        if indices._shape is None:
            raise ValueError("A negative batch_dims needs indices of known rank")
        batch_dims += len(indices._shape)
    if at is None:
        place = create_op("FloorMod", [_as_int32(axis), rank(params)])
    elif int(at) < 0:
        place = create_op("AddV2", [rank(params), int(at)])
    else:
        place = int(at)
    return _scattered(params, indices, grad, place, batch_dims), None, None


def _as_int32(value: Tensor) -> Any:
    return value if value.dtype.name == "int32" else create_op("Cast", [value], {"DstT": "int32"})


def _scattered(params: Tensor, indices: Tensor, grad: Tensor, axis: Any, batch_dims: int) -> Any:
    """The gradient as four dimensions (batch, before, indices, after), summed by index."""
    sizes = shape(params)
    following = create_op("AddV2", [axis, 1]) if isinstance(axis, Tensor) else axis + 1
    batch, before = _product(sizes[:batch_dims]), _product(sizes[batch_dims:axis])
    length, after = sizes[axis], _product(sizes[following:])
    chosen = _product(shape(indices)[batch_dims:])
    blocks = transpose(reshape(grad, [batch, before, chosen, after]), [0, 2, 1, 3])
    rows = reshape(blocks, [create_op("Mul", [batch, chosen]), before, after])
    offset = create_op("Mul", [create_op("Range", [0, batch, 1]), length])
    offset = reshape(create_op("Cast", [offset], {"DstT": indices.dtype}), [-1, 1])
    ids = reshape(create_op("AddV2", [reshape(indices, [batch, chosen]), offset]), [-1])
    total = create_op("UnsortedSegmentSum", [rows, ids, create_op("Mul", [batch, length])])
    back = transpose(reshape(total, [batch, length, before, after]), [0, 2, 1, 3])
    return reshape(back, sizes)


def _product(sizes: Tensor) -> Tensor:
    product: Tensor = create_op("Prod", [sizes, [0]])
    return product


@gradient("GatherNd")
def _gather_nd(op: Operation, grad: Any) -> Any:
    params, indices = op.inputs
    sizes = create_op("Shape", [params], {"out_type": indices.dtype.base_dtype})
    if indices._shape is not None and len(indices._shape) == 2 and indices._shape[-1] == 1:
        return IndexedSlices(grad, squeeze(indices, -1), sizes), None
    return create_op("ScatterNd", [indices, grad, sizes]), None
