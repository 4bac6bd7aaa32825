"""Ranking along the last dimension: the greatest elements, and whether targets are among them."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor


def _top_shape(op: Operation, k: int | None) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 1)
    if shape is None:
        return [None, None]
    width = shape[-1]
    if width is not None and k is not None and width < k:
        raise ValueError(f"input must have last dimension >= k = {k} but is {width}")
    return [(*shape[:-1], k)] * 2


def _top_k_v2_shape(op: Operation) -> list[Shape]:
    with_rank_at_least(op.inputs[0]._shape, 1)
    with_rank(op.inputs[1]._shape, 0)
    value = constant_value(op.inputs[1])
    k = None if value is None else int(value)
    if k is not None and k < 0:
        raise ValueError(
            f"Dimension size, given by scalar input 1, must be non-negative but is {k}"
        )
    return _top_shape(op, k)


def _in_top_k_shape(op: Operation) -> list[Shape]:
    predictions = with_rank(op.inputs[0]._shape, 2)
    targets = with_rank(op.inputs[1]._shape, 1)
    if len(op.inputs) == 3:
        with_rank(op.inputs[2]._shape, 0)
    assert predictions is not None
    assert targets is not None
    return [(merge_dims(predictions[0], targets[0]),)]


define_op(
    "TopK",
    inputs=["input: T"],
    outputs=["values: T", "indices: int32"],
    attrs=["k: int >= 0", "sorted: bool = true", "T: realnumbertype"],
    shape=lambda op: _top_shape(op, op.attrs["k"]),
)
define_op(
    "TopKV2",
    inputs=["input: T", "k: Tk"],
    outputs=["values: T", "indices: index_type"],
    attrs=[
        "sorted: bool = true",
        "T: realnumbertype",
        "Tk: {int16, int32, int64} = DT_INT32",
        "index_type: {int16, int32, int64} = DT_INT32",
    ],
    shape=_top_k_v2_shape,
)
define_op(
    "InTopK",
    inputs=["predictions: float", "targets: T"],
    outputs=["precision: bool"],
    attrs=["k: int", "T: {int32, int64} = DT_INT32"],
    shape=_in_top_k_shape,
)
define_op(
    "InTopKV2",
    inputs=["predictions: float", "targets: T", "k: T"],
    outputs=["precision: bool"],
    attrs=["T: {int32, int64} = DT_INT32"],
    shape=_in_top_k_shape,
)


@export("nn.top_k", "math.top_k")
def top_k(
    input: Any,
    k: Any = 1,
    sorted: bool = True,
    index_type: Any = dtypes.int32,
    name: str | None = None,
) -> Any:
    """The `k` greatest elements along the last dimension, and their places: `values`, `indices`.

    Args:
        input: tensor of rank 1 or more.
        k: how many, a scalar; at most the size of the last dimension.
        sorted: greatest first; otherwise in any order. Of equal elements the first go first.
        index_type: dtype of the places.
        name: name of the operation.

    Raises:
        ValueError, or InvalidArgumentError at run time: `k` is negative or too large.
    """
    attrs = {"sorted": sorted, "index_type": index_type}
    return create_op("TopKV2", (input, k), attrs, name)


@export("nn.in_top_k", "math.in_top_k")
def in_top_k(predictions: Any, targets: Any, k: Any, name: str | None = None) -> Tensor:
    """Whether each row's target class is among its `k` greatest predictions, ties included.

    Args:
        predictions: float32 matrix, a row for each example.
        targets: vector of class numbers; one that is no class gives False.
        k: how many classes count, a scalar.
        name: name of the operation.
    """
    inputs = (predictions, targets, k)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "in_top_k"):
        return create_op("InTopKV2", inputs, None, name)
