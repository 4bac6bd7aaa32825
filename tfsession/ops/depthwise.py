"""Convolutions of each channel alone, and with a mixing of channels behind them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.core.windows import spatial_axes
from tfsession.graph.constant_value import constant_shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.conv import assembled, conv2d, convert_padding, windowed_sizes
from tfsession.ops.dilated import with_space_to_batch
from tfsession.ops.shape import renamed
from tfsession.ops.shape import shape as shape_of


def _depthwise_shape(op: Operation) -> list[Shape]:
    shape, filters = (with_rank(x._shape, 4) for x in op.inputs)
    assert shape is not None
    assert filters is not None
    depth = merge_dims(shape[spatial_axes(op.attrs["data_format"], 4)[1]], filters[2])
    sizes = windowed_sizes(op, shape, filters[:2])
    known = depth is not None and filters[3] is not None
    return assembled(op, shape[0], sizes, depth * filters[3] if known else None)  # type: ignore[operator]


def _told_by(index: int) -> Callable[[Operation], list[Shape]]:
    def shape_function(op: Operation) -> list[Shape]:
        return [with_rank(constant_shape(op.inputs[index]), 4)]

    return shape_function


_ATTRS = [
    "T: {half, bfloat16, float, double}",
    "strides: list(int)",
    "padding: {'SAME', 'VALID', 'EXPLICIT'}",
    "explicit_paddings: list(int) = []",
    "data_format: {'NHWC', 'NCHW'} = 'NHWC'",
    "dilations: list(int) = [1, 1, 1, 1]",
]
define_op(
    "DepthwiseConv2dNative", ["input: T", "filter: T"], ["output: T"], _ATTRS, _depthwise_shape
)
define_op(
    "DepthwiseConv2dNativeBackpropInput",
    ["input_sizes: int32", "filter: T", "out_backprop: T"],
    ["output: T"],
    _ATTRS,
    _told_by(0),
)
define_op(
    "DepthwiseConv2dNativeBackpropFilter",
    ["input: T", "filter_sizes: int32", "out_backprop: T"],
    ["output: T"],
    _ATTRS,
    _told_by(1),
)


def _native(op_type: str, inputs: Any, strides: Any, padding: Any, data_format: Any,
            dilations: Any, name: str | None) -> Tensor:  # fmt: skip
    padding, explicit = convert_padding(padding)
    attrs = {
        "strides": strides,
        "padding": padding,
        "explicit_paddings": explicit,
        "data_format": data_format,
        "dilations": dilations,
    }
    result: Tensor = create_op(op_type, inputs, attrs, name)
    return result


@export("nn.depthwise_conv2d_native")
def depthwise_conv2d_native(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006  (as TensorFlow has it; never changed)
    name: str | None = None,
) -> Tensor:
    """The convolution of each channel with filters of its own.

    Args:
        input: images of shape `[batch, height, width, channels]`.
        filter: `[height, width, channels, filters of each channel]`.
        strides: steps, one for each dimension.
        padding: "SAME" or "VALID", or one pair of numbers for each dimension.
        data_format: "NHWC" or "NCHW".
        dilations: distance of neighbours in a filter, one for each dimension.
        name: name of the operation.

    Raises:
        ValueError: shapes or strides do not fit.
    """
    inputs = [input, filter]
    return _native("DepthwiseConv2dNative", inputs, strides, padding, data_format, dilations, name)


@export("nn.depthwise_conv2d_native_backprop_input", "nn.depthwise_conv2d_backprop_input")
def depthwise_conv2d_native_backprop_input(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> Tensor:
    """The gradient of `depthwise_conv2d_native` for its input, of shape `input_sizes`."""
    inputs = [input_sizes, filter, out_backprop]
    op_type = "DepthwiseConv2dNativeBackpropInput"
    return _native(op_type, inputs, strides, padding, data_format, dilations, name)


@export("nn.depthwise_conv2d_native_backprop_filter", "nn.depthwise_conv2d_backprop_filter")
def depthwise_conv2d_native_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> Tensor:
    """The gradient of `depthwise_conv2d_native` for its filters, of shape `filter_sizes`."""
    inputs = [input, filter_sizes, out_backprop]
    op_type = "DepthwiseConv2dNativeBackpropFilter"
    return _native(op_type, inputs, strides, padding, data_format, dilations, name)


@export("nn.depthwise_conv2d")
def depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Any = None,
) -> Tensor:
    """The convolution of each channel with filters of its own, dilated by `rate`.

    Args:
        input: images of shape `[batch, height, width, channels]`.
        filter: `[height, width, channels, filters of each channel]`.
        strides: steps, one for each dimension; ones where `rate` is above one.
        padding: "SAME" or "VALID", or one pair of numbers for each dimension.
        rate: distance of neighbours in a filter, in height and width.
        name: name of the operation.
        data_format: "NHWC" or "NCHW".
        dilations: another name of `rate`.

    Raises:
        ValueError: shapes, strides or rates do not fit.
    """
    rate = renamed("dilations", dilations, "rate", rate)
    graph = graph_of((input, filter))
    with graph.as_default(), graph.name_scope(name or "depthwise") as scope:
        input = convert_to_tensor(input, name="tensor_in")
        filter = convert_to_tensor(filter, name="filter_in")
        rate = [1, 1] if rate is None else rate
        if any(r > 1 for r in rate) and any(s != 1 for s in strides):
            warnings.warn(
                "When dilation rate is greater than 1, then all values of strides must be 1. "
                f"Received: `dilation rate` {rate} and `strides` {strides}",
                stacklevel=2,
            )

        def dense(x: Any, _: int, narrowed: Any) -> Tensor:
            return depthwise_conv2d_native(x, filter, strides, narrowed, data_format, name=scope)

        return with_space_to_batch(
            input, rate, padding, dense, shape_of(filter), data_format=data_format
        )


@export("nn.separable_conv2d")
def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Any = None,
) -> Tensor:
    """The convolution of each channel alone, then of all channels of each pixel.

    Args:
        input: images of shape `[batch, height, width, channels]`.
        depthwise_filter: `[height, width, channels, filters of each channel]`.
        pointwise_filter: `[1, 1, channels * filters of each, output channels]`.
        strides: steps of the first convolution, one for each dimension.
        padding: "SAME" or "VALID", or one pair of numbers for each dimension.
        rate: distance of neighbours in a filter, in height and width.
        name: name of the operation.
        data_format: "NHWC" or "NCHW".
        dilations: another name of `rate`.

    Raises:
        ValueError: shapes, strides or rates do not fit.
    """
    rate = renamed("dilations", dilations, "rate", rate)
    graph = graph_of((input, depthwise_filter, pointwise_filter))
    with graph.as_default(), graph.name_scope(name or "separable_conv2d") as scope:
        input = convert_to_tensor(input, name="tensor_in")
        depthwise_filter = convert_to_tensor(depthwise_filter, name="depthwise_filter")
        pointwise_filter = convert_to_tensor(pointwise_filter, name="pointwise_filter")
        shape = pointwise_filter.shape.with_rank(4)
        for size in shape.as_list()[:2]:
            if size not in (1, None):
                raise ValueError(f"Dimensions {size} and 1 are not compatible")

        def dense(x: Any, _: int, narrowed: Any) -> Tensor:
            return depthwise_conv2d_native(
                x, depthwise_filter, strides, narrowed, data_format, name="depthwise"
            )

        middle = with_space_to_batch(
            input, [1, 1] if rate is None else rate, padding, dense, shape_of(depthwise_filter),
            data_format=data_format,
        )  # fmt: skip
        ones = [1, 1, 1, 1]
        return conv2d(middle, pointwise_filter, ones, "VALID", data_format=data_format, name=scope)
