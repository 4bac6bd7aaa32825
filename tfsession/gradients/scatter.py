"""Gradients of scatters are gathers."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.constant import zeros_like
from tfsession.ops.gather import gather_nd
from tfsession.ops.scatter import tensor_scatter_nd_update


@gradient("ScatterNd")
def _scatter_nd(op: Operation, grad: Any) -> Any:
    return None, gather_nd(grad, op.inputs[0]), None


@gradient("TensorScatterUpdate")
def _tensor_scatter_update(op: Operation, grad: Any) -> Any:
    _, indices, updates = op.inputs
    kept = tensor_scatter_nd_update(grad, indices, zeros_like(updates))
    return kept, None, gather_nd(grad, indices)


@gradient("TensorScatterAdd")
def _tensor_scatter_add(op: Operation, grad: Any) -> Any:
    return grad, None, gather_nd(grad, op.inputs[1])


@gradient("TensorScatterSub")
def _tensor_scatter_sub(op: Operation, grad: Any) -> Any:
    return grad, None, create_op("Neg", [gather_nd(grad, op.inputs[1])])


@gradient("TensorScatterMax", "TensorScatterMin")
def _tensor_scatter_extreme(op: Operation, grad: Any) -> Any:
    """Shared among the old element and all updates that equal the result."""
    tensor, indices, updates = op.inputs
    result, dtype = op.outputs[0], grad.dtype

    def equals(a: Any, b: Any) -> Any:
        return create_op("Cast", [create_op("Equal", [a, b])], {"DstT": dtype})

    kept, chosen = equals(tensor, result), equals(updates, gather_nd(result, indices))
    sizes = create_op("Shape", [tensor], {"out_type": indices.dtype})
    shares = create_op("AddV2", [kept, create_op("ScatterNd", [indices, chosen, sizes])])
    share = create_op("RealDiv", [grad, shares])
    return (
        create_op("Mul", [share, kept]),
        None,
        create_op("Mul", [gather_nd(share, indices), chosen]),
    )
