"""Transposed convolutions: from what a convolution gives to what it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.conv import channel_of, convert_padding, sequence_for, sequence_layout
from tfsession.ops.join import concat
from tfsession.ops.shape import expand_dims, renamed, squeeze


@export("nn.conv2d_transpose")
def conv2d_transpose(
    value: Any = None,
    filter: Any = None,
    output_shape: Any = None,
    strides: Any = None,
    padding: Any = "SAME",
    data_format: str | None = "NHWC",
    name: str | None = None,
    input: Any = None,
    filters: Any = None,
    dilations: Any = None,
) -> Tensor:
    """The transpose of `conv2d`: from what it gives to what it takes; often called deconvolution.

    Args:
        value: images, as `conv2d` would give them.
        filter: `[height, width, output channels, input channels]`: as `conv2d` would take it.
        output_shape: shape of the result, as `conv2d` would take it.
        strides: of that convolution; so are the following.
        padding: as said.
        data_format: "NHWC" or "NCHW".
        name: name of the operation.
        input: another name of `value`.
        filters: another name of `filter`.
        dilations: of that convolution.

    Raises:
        ValueError: shapes, strides or paddings do not fit.
    """
    value = renamed("input", input, "value", value)
    filter = renamed("filters", filters, "filter", filter)
    graph = graph_of((value, filter, output_shape))
    with graph.as_default(), graph.name_scope(name or "conv2d_transpose") as scope:
        layout = data_format or "NHWC"
        channel = channel_of(layout, 4)
        padding, explicit = convert_padding(padding)
        attrs = {
            "strides": sequence_for(strides, 2, channel, "strides"),
            "padding": padding,
            "explicit_paddings": explicit,
            "data_format": layout,
            "dilations": sequence_for(dilations, 2, channel, "dilations"),
        }
        inputs = [output_shape, filter, value]
        result: Tensor = create_op("Conv2DBackpropInput", inputs, attrs, scope)
        return result


@export("nn.conv1d_transpose")
def conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str | None = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose of `conv1d`; arguments as in `conv2d_transpose`.

    Raises:
        ValueError: shapes or strides do not fit.
    """
    graph = graph_of((input, filters, output_shape))
    with graph.as_default(), graph.name_scope(name or "conv1d_transpose") as scope:
        layout, channel = sequence_layout(data_format)
        height = 1 if layout == "NHWC" else 2
        attrs = {
            "strides": [1, *sequence_for(strides, 1, channel, "stride")],
            "padding": padding,
            "data_format": layout,
            "dilations": [1, *sequence_for(dilations, 1, channel, "dilations")],
        }
        image, flat = expand_dims(input, height), expand_dims(filters, 0)
        sizes = output_shape if isinstance(output_shape, Tensor) else list(output_shape)
        sizes = concat([sizes[:height], [1], sizes[height:]], 0)
        return squeeze(create_op("Conv2DBackpropInput", [sizes, flat, image], attrs, scope), height)


@export("nn.conv3d_transpose")
def conv3d_transpose(
    value: Any,
    filter: Any = None,
    output_shape: Any = None,
    strides: Any = None,
    padding: Any = "SAME",
    data_format: str | None = "NDHWC",
    name: str | None = None,
    input: Any = None,
    filters: Any = None,
    dilations: Any = None,
) -> Tensor:
    """The transpose of `conv3d`; arguments as in `conv2d_transpose`.

    Raises:
        ValueError: shapes or strides do not fit.
    """
    filter = renamed("filters", filters, "filter", filter)
    value = renamed("input", input, "value", value)
    graph = graph_of((value, filter, output_shape))
    with graph.as_default(), graph.name_scope(name or "conv3d_transpose") as scope:
        layout = data_format or "NDHWC"
        channel = channel_of(layout, 5)
        attrs = {
            "strides": sequence_for(strides, 3, channel, "strides"),
            "padding": padding,
            "data_format": layout,
            "dilations": sequence_for(dilations, 3, channel, "dilations"),
        }
        inputs = [output_shape, filter, value]
        result: Tensor = create_op("Conv3DBackpropInputV2", inputs, attrs, scope)
        return result


@export("nn.conv_transpose")
def conv_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose of a convolution of as many dimensions as `output_shape` tells.

    Raises:
        ValueError: it is not of length 3, 4 or 5, or shapes or strides do not fit.
    """
    graph = graph_of((input, output_shape))
    with graph.as_default(), graph.name_scope(name or "conv_transpose") as scope:
        if isinstance(output_shape, Tensor):
            length = 0 if output_shape._shape is None else output_shape._shape[0]
        else:
            length = len(output_shape)
        transposes = {3: conv1d_transpose, 4: conv2d_transpose, 5: conv3d_transpose}
        if length not in transposes:
            raise ValueError(
                f"`output_shape` must be of length 3, 4 or 5. Received: output_shape={output_shape}"
                f" of length {length}."
            )
        build: Callable[..., Tensor] = transposes[length]
        return build(
            input, filters, output_shape, strides, padding, data_format,
            dilations=dilations, name=scope,
        )  # fmt: skip
