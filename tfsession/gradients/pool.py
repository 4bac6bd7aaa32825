"""Gradients of pools: they flow to the greatest number of each window, or to all of it."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.constant import stop_gradient, zeros_like
from tfsession.ops.gather import gather
from tfsession.ops.sequence import range_
from tfsession.ops.shape import reshape, shape


def _attrs(op: Operation, *names: str) -> dict[str, Any]:
    wanted = ("ksize", "strides", "padding", "data_format", *names)
    return {name: op.attrs[name] for name in wanted if name in op.attrs}


@gradient("MaxPool", "MaxPool3D")
def _max_pool(op: Operation, grad: Any) -> Any:
    attrs = _attrs(op, "explicit_paddings")
    return create_op(f"{op.type}Grad", [op.inputs[0], op.outputs[0], grad], attrs)


@gradient("MaxPoolV2")
def _max_pool_v2(op: Operation, grad: Any) -> Any:
    x, *sizes = op.inputs
    return create_op("MaxPoolGradV2", [x, op.outputs[0], grad, *sizes], _attrs(op)), None, None


@gradient("MaxPoolGrad", "MaxPool3DGrad", "MaxPoolGradV2")
def _max_pool_grad(op: Operation, grad: Any) -> Any:
    x, y, _, *sizes = op.inputs
    names = {"MaxPoolGradV2": "MaxPoolGradGradV2"}
    forward = create_op(names.get(op.type, f"{op.type}Grad"), [x, y, grad, *sizes], _attrs(op))
    return zeros_like(x), zeros_like(y), forward, *(None for _ in sizes)


@gradient("MaxPoolGradGrad", "MaxPool3DGradGrad", "MaxPoolGradGradV2")
def _max_pool_grad_grad(op: Operation, grad: Any) -> Any:
    x, y, _, *sizes = op.inputs
    names = {"MaxPoolGradGradV2": "MaxPoolGradV2"}
    back = create_op(
        names.get(op.type, op.type.removesuffix("Grad")), [x, y, grad, *sizes], _attrs(op)
    )
    return zeros_like(x), zeros_like(y), back, *(None for _ in sizes)


@gradient("MaxPoolWithArgmax")
def _max_pool_with_argmax(op: Operation, grad: Any, _: Any) -> Any:
    inputs = [op.inputs[0], grad, op.outputs[1]]
    return create_op("MaxPoolGradWithArgmax", inputs, _attrs(op, "include_batch_in_index"))


@gradient("MaxPoolGradWithArgmax")
def _max_pool_grad_with_argmax(op: Operation, grad: Any) -> Any:
    """What stands at the places that the gradient went to."""
    x, slopes, places = op.inputs
    if op.attrs["include_batch_in_index"]:
        taken = gather(reshape(grad, [-1]), places)
    else:
        batch = shape(x)[0]
        starts = reshape(range_(batch), [-1, 1]) * (shape(reshape(x, [batch, -1]))[1])
        within = reshape(places, [batch, -1])
        starts = create_op("Cast", [starts], {"DstT": within.dtype})
        taken = gather(reshape(grad, [-1]), within + starts)
    return zeros_like(x), reshape(taken, shape(slopes)), None


@gradient("AvgPool", "AvgPool3D")
def _avg_pool(op: Operation, grad: Any) -> Any:
    return create_op(f"{op.type}Grad", [shape(op.inputs[0]), grad], _attrs(op))


@gradient("AvgPoolGrad", "AvgPool3DGrad")
def _avg_pool_grad(op: Operation, grad: Any) -> Any:
    forward = create_op(op.type.removesuffix("Grad"), [grad], _attrs(op))
    return stop_gradient(op.inputs[0]), forward
