"""Gradients of convolutions: each of the three products is differentiated into the other two."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.shape import shape, shape_n

_TO_INPUT = {
    "Conv2D": "Conv2DBackpropInput",
    "Conv3D": "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative": "DepthwiseConv2dNativeBackpropInput",
}
_TO_FILTER = {
    "Conv2D": "Conv2DBackpropFilter",
    "Conv3D": "Conv3DBackpropFilterV2",
    "DepthwiseConv2dNative": "DepthwiseConv2dNativeBackpropFilter",
}
_FORWARD = {name: base for table in (_TO_INPUT, _TO_FILTER) for base, name in table.items()}


def _attrs(op: Operation) -> dict[str, Any]:
    names = ("strides", "padding", "explicit_paddings", "use_cudnn_on_gpu", "data_format")
    return {name: op.attrs[name] for name in (*names, "dilations") if name in op.attrs}


@gradient("Conv2D", "Conv3D", "DepthwiseConv2dNative")
def _convolution(op: Operation, grad: Any) -> Any:
    x, filters = op.inputs
    attrs = _attrs(op)
    if op.type == "DepthwiseConv2dNative":
        of_x = create_op(_TO_INPUT[op.type], [shape(x), filters, grad], attrs)
        return of_x, create_op(_TO_FILTER[op.type], [x, shape(filters), grad], attrs)
    sizes = shape_n([x, filters])
    of_x = create_op(_TO_INPUT[op.type], [sizes[0], filters, grad], attrs)
    return of_x, create_op(_TO_FILTER[op.type], [x, sizes[1], grad], attrs)


@gradient("Conv2DBackpropInput", "Conv3DBackpropInputV2", "DepthwiseConv2dNativeBackpropInput")
def _to_input(op: Operation, grad: Any) -> Any:
    _, filters, out_backprop = op.inputs
    attrs, base = _attrs(op), _FORWARD[op.type]
    of_filters = create_op(_TO_FILTER[base], [grad, shape(filters), out_backprop], attrs)
    return None, of_filters, create_op(base, [grad, filters], attrs)


@gradient("Conv2DBackpropFilter", "Conv3DBackpropFilterV2", "DepthwiseConv2dNativeBackpropFilter")
def _to_filter(op: Operation, grad: Any) -> Any:
    x, _, out_backprop = op.inputs
    attrs, base = _attrs(op), _FORWARD[op.type]
    of_x = create_op(_TO_INPUT[base], [shape(x), grad, out_backprop], attrs)
    return of_x, None, create_op(base, [x, grad], attrs)
