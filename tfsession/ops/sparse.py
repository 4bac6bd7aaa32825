"""Sparse tensors: how they enter a graph."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import told_shape
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import placeholder, placeholder_with_default


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
