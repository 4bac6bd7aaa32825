"""The greatest elements of the last dimension."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor


def _top_k_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 1)
    with_rank(op.inputs[1]._shape, 0)
    value = constant_value(op.inputs[1])
    k = None if value is None else int(value)
    if shape is None:
        return [None, None]
    if k is not None and shape[-1] is not None and shape[-1] < k:
        raise ValueError(f"input must have last dimension >= k = {k} but is {shape[-1]}")
    return [(*shape[:-1], k)] * 2


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
    shape=_top_k_shape,
)


def _in_top_k_shape(op: Operation) -> list[Shape]:
    predictions = with_rank(op.inputs[0]._shape, 2)
    targets = with_rank(op.inputs[1]._shape, 1)
    assert predictions is not None
    assert targets is not None
    return [(merge_dims(predictions[0], targets[0]),)]


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


class TopKV2(NamedTuple):
    """The greatest elements and where they stand."""

    values: Tensor
    indices: Tensor


@export("nn.top_k", "math.top_k")
def top_k(
    input: Any,
    k: Any = 1,
    sorted: bool = True,
    index_type: Any = int32,
    name: str | None = None,
) -> TopKV2:
    """The k greatest elements of each row of the last dimension, and their indices.

    Args:
        input: tensor of rank at least 1.
        k: scalar; equal elements are taken in order of their indices.
        sorted: greatest first.
        index_type: dtype of the indices.
        name: name of the operation.

    Raises:
        ValueError, or InvalidArgumentError at run time: there are fewer than k elements.
    """
    attrs = {"sorted": sorted, "index_type": index_type}
    return TopKV2(*create_op("TopKV2", [input, k], attrs, name))


@export("nn.in_top_k", "math.in_top_k")
def in_top_k(predictions: Any, targets: Any, k: Any, name: str | None = None) -> Tensor:
    """For each row, whether the prediction of its target is among the k greatest.

    Args:
        predictions: float32 tensor of shape `[batch, classes]`.
        targets: integer vector of classes; one out of range is never among them.
        k: scalar.
        name: name scope of the operation.
    """
    graph = graph_of([predictions, targets])
    with graph.as_default(), graph.name_scope(name or "in_top_k"):
        result: Tensor = create_op("InTopKV2", [predictions, targets, k])
        return result
