"""Gradients of the greatest elements: back to where they stood."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.scatter import scatter_nd
from tfsession.ops.shape import reshape, shape, size

no_gradient("InTopK", "InTopKV2")


@gradient("TopKV2")
def _top_k(op: Operation, grad: Any, _: Any) -> Any:
    value, indices = op.inputs[0], create_op("Cast", [op.outputs[1]], {"DstT": "int32"})
    sizes = shape(value)
    columns = sizes[-1]
    flat = reshape(indices, create_op("Pack", [[-1, shape(indices)[-1]]]))
    rows = create_op("Range", [0, shape(flat)[0], 1])
    starts = reshape(create_op("Mul", [rows, columns]), [-1, 1])
    places = reshape(create_op("AddV2", [flat, starts]), [-1, 1])
    spread = scatter_nd(places, reshape(grad, [-1]), reshape(size(value), [1]))
    return reshape(spread, sizes), None
