"""Sparse tensors: how they enter a graph, and how they become dense."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, TensorShape
from tfsession.graph.constant_value import constant_shape, told_shape
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import placeholder, placeholder_with_default


def _dense_shape(op: Operation) -> list[Shape]:
    return [constant_shape(op.inputs[1])]


define_op(
    "SparseToDense",
    inputs=[
        "sparse_indices: Tindices",
        "output_shape: Tindices",
        "sparse_values: T",
        "default_value: T",
    ],
    outputs=["dense: T"],
    attrs=["validate_indices: bool = true", "T: type", "Tindices: {int32, int64}"],
    shape=_dense_shape,
)


@export("sparse_to_dense")
def sparse_to_dense(
    sparse_indices: Any,
    output_shape: Any,
    sparse_values: Any,
    default_value: Any = 0,
    validate_indices: bool = True,
    name: str | None = None,
) -> Tensor:
    """A tensor with values at some places, and one value at all others.

    Args:
        sparse_indices: the places: a matrix with a row for each; a vector or a scalar for a vector.
        output_shape: its shape, a vector.
        sparse_values: a value for each place, or one for all.
        default_value: the value elsewhere.
        validate_indices: hold the places to be in order, and none to come twice.
        name: name of the operation.

    A step raises InvalidArgumentError for places outside of the shape or out of order.
    """
    inputs = [sparse_indices, output_shape, sparse_values, default_value]
    attrs = {"validate_indices": validate_indices}
    result: Tensor = create_op("SparseToDense", inputs, attrs, name)
    return result


@export("sparse.placeholder", "sparse_placeholder")
def sparse_placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> SparseTensor:
    """A SparseTensor that is fed: running what needs it without feeding it is an error.

    Args:
        dtype: the dtype of the values that are fed.
        shape: the shape of the dense tensor, None or -1 for a size that is not known; None for any
            shape. The shape is what `dense_shape` is while it is not fed; it may be a Tensor.
        name: a prefix for the names of the operations.
    """

    def part(suffix: str) -> str | None:
        return None if name is None else f"{name}/{suffix}"

    rank, static = None, TensorShape(None)
    if shape is None:
        dense_shape = placeholder(int64, [None], part("shape"))
    else:
        if isinstance(shape, Tensor):
            default, static = shape, told_shape(shape)
        else:
            static = TensorShape([None if size == -1 else size for size in shape])
            sizes = [-1 if size is None else size for size in static.as_list()]
            default = convert_to_tensor(sizes, int64, part("shape_default"))
        rank = default.shape[0]
        dense_shape = placeholder_with_default(default, default.shape, part("shape"))
    values = placeholder(dtype, [None], part("values"))
    indices = placeholder(int64, [None, rank], part("indices"))
    sparse = SparseTensor(indices, values, dense_shape)
    sparse.set_shape(static)
    return sparse
