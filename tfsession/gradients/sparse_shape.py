"""Gradients of sparse tensors in other orders and parts."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.gather import gather
from tfsession.ops.sequence import range_
from tfsession.ops.shape import shape
from tfsession.ops.transpose import invert_permutation


@gradient("SparseReorder")
def _reorder(op: Operation, _: Any, grad: Any) -> Any:
    places, values, sizes = op.inputs
    numbers = range_(0, shape(values)[0])
    order = create_op("SparseReorder", [places, numbers, sizes])[1]
    return None, gather(grad, invert_permutation(order)), None


@gradient("SparseSlice")
def _slice(op: Operation, _: Any, grad: Any, __: Any) -> Any:
    inputs = [grad, op.inputs[0], op.inputs[3], op.outputs[0]]
    return None, create_op("SparseSliceGrad", inputs), None, None, None


@gradient("SparseFillEmptyRows")
def _fill(op: Operation, _: Any, grad: Any, __: Any, ___: Any) -> Any:
    values, default = create_op("SparseFillEmptyRowsGrad", [op.outputs[3], grad])
    return None, values, None, default


no_gradient(
    "SparseReshape",
    "SparseConcat",
    "SparseSplit",
    "SparseSliceGrad",
    "SparseFillEmptyRowsGrad",
)
