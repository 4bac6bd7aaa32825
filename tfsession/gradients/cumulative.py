"""Gradients of running sums: a running sum in the other direction."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.cumulative import cumprod, cumsum, cumulative_logsumexp
from tfsession.ops.elementwise import div_no_nan
from tfsession.ops.unary import exp, log


def _directions(op: Operation) -> tuple[dict[str, Any], dict[str, Any]]:
    """The op's direction, and the one in which its gradients run."""
    exclusive, reverse = op.attrs["exclusive"], op.attrs["reverse"]
    return (
        {"exclusive": exclusive, "reverse": reverse},
        {"exclusive": exclusive, "reverse": not reverse},
    )


@gradient("Cumsum")
def _cumsum(op: Operation, grad: Any) -> Any:
    _, back = _directions(op)
    return cumsum(grad, op.inputs[1], **back), None


@gradient("Cumprod")
def _cumprod(op: Operation, grad: Any) -> Any:
    """As in TensorFlow, elements that are zero get no gradient."""
    x, axis = op.inputs
    forth, back = _directions(op)
    return div_no_nan(cumsum(cumprod(x, axis, **forth) * grad, axis, **back), x), None


@gradient("CumulativeLogsumexp")
def _cumulative_logsumexp(op: Operation, grad: Any) -> Any:
    """Positive and negative gradients apart, since they are summed as logarithms."""
    x, axis = op.inputs
    forth, back = _directions(op)
    result = cumulative_logsumexp(x, axis, **forth)
    # Where nothing was summed there is no logarithm, and no gradient flows back.
    something = create_op("Greater", [result, -math.inf])
    result = create_op("SelectV2", [something, result, 0])

    def part(grad: Tensor) -> Tensor:
        positive = create_op("Greater", [grad, 0])
        logs = log(create_op("SelectV2", [positive, grad, 1]))
        logs = create_op("SelectV2", [positive, logs, constant(grad.dtype.min, grad.dtype)])
        return exp(cumulative_logsumexp(logs - result, axis, **back) + x)

    return part(grad) - part(-grad), None
