"""Gradients of choices; comparisons and logic have none."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.gradients.elementwise import reduce_to
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation

no_gradient("Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "ApproximateEqual")
no_gradient("LogicalAnd", "LogicalOr", "LogicalNot", "Where")


@gradient("Select")
def _select(op: Operation, grad: Any) -> Any:
    condition = op.inputs[0]
    zeros = create_op("ZerosLike", (grad,))
    return (
        None,
        create_op("Select", (condition, grad, zeros)),
        create_op("Select", (condition, zeros, grad)),
    )


@gradient("SelectV2")
def _select_v2(op: Operation, grad: Any) -> Any:
    condition, yes, no = op.inputs
    result = op.outputs[0]
    zeros = create_op("ZerosLike", (grad,))
    return (
        None,
        reduce_to(yes, result, create_op("SelectV2", (condition, grad, zeros))),
        reduce_to(no, result, create_op("SelectV2", (condition, zeros, grad))),
    )
