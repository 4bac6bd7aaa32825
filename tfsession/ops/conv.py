"""Convolutions of sequences, images and volumes.

Their transposes stand in `conv_transpose.py`, dilated ones that are made of several operations in
`dilated.py`, those of each channel alone in `depthwise.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.core.windows import positions, spatial_axes
from tfsession.graph.constant_value import constant_shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.join import concat
from tfsession.ops.shape import expand_dims, renamed, reshape, squeeze
from tfsession.ops.shape import shape as shape_of

# --- shapes ---------------------------------------------------------------------------------------


def padding_pairs(op: Operation, rank: int) -> list[tuple[int, int]]:
    """The explicit paddings of an operation by dimension; ValueError where they are bad."""
    explicit = op.attrs.get("explicit_paddings") or []
    if op.attrs["padding"] != b"EXPLICIT":
        if explicit:
            raise ValueError("explicit_paddings attribute must be empty if the padding attribute "
                             "is not EXPLICIT")  # fmt: skip
        return [(0, 0)] * rank
    if len(explicit) != 2 * rank:
        raise ValueError(
            f"explicit_paddings attribute must contain {2 * rank} values, but got: {len(explicit)}"
        )
    if min(explicit) < 0:
        raise ValueError("All elements of explicit_paddings must be nonnegative")
    pairs = list(zip(explicit[::2], explicit[1::2], strict=True))
    _, channel = spatial_axes(op.attrs["data_format"], rank)
    if any(pairs[0]) or any(pairs[channel]):
        raise ValueError(
            "Nonzero explicit padding in the batch or depth dimensions is not supported"
        )
    return pairs


def windowed_sizes(
    op: Operation, shape: Sequence[int | None], extents: Sequence[int | None]
) -> list[int | None]:
    """The sizes of the spatial dimensions of what windows give that slide over `shape`."""
    rank = len(shape)
    spatial, _ = spatial_axes(op.attrs["data_format"], rank)
    strides, dilations = op.attrs["strides"], op.attrs["dilations"]
    for name, values in (("stride", strides), ("dilation", dilations)):
        if len(values) != rank:
            raise ValueError(
                f"{op.type} requires the {name} attribute to contain {rank} values, but got: "
                f"{len(values)}"
            )
    pairs = padding_pairs(op, rank)
    return [
        positions(shape[d], extent, strides[d], dilations[d], op.attrs["padding"], pairs[d])
        for d, extent in zip(spatial, extents, strict=True)
    ]


def assembled(
    op: Operation, batch: int | None, sizes: Sequence[int | None], depth: int | None
) -> list[Shape]:
    """The shape of an output with these sizes, in the operation's layout."""
    if op.attrs["data_format"].startswith(b"NC"):
        return [(batch, depth, *sizes)]
    return [(batch, *sizes, depth)]


def _convolved(rank: int) -> Callable[[Operation], list[Shape]]:
    def shape_function(op: Operation) -> list[Shape]:
        shape, filters = (with_rank(x._shape, rank) for x in op.inputs)
        assert shape is not None
        assert filters is not None
        depth = shape[spatial_axes(op.attrs["data_format"], rank)[1]]
        *extents, group_depth, out_depth = filters
        sizes = windowed_sizes(op, shape, extents)
        if depth is not None and group_depth is not None:
            if group_depth <= 0 or depth % group_depth:
                raise ValueError(
                    f"Depth of input ({depth}) is not a multiple of input depth of filter "
                    f"({group_depth})"
                )
            groups = depth // group_depth
            if out_depth is not None and groups > 1 and out_depth % groups:
                raise ValueError(
                    f"Depth of output ({out_depth}) is not a multiple of the number of groups "
                    f"({groups})"
                )
        return assembled(op, shape[0], sizes, out_depth)

    return shape_function


def _of_input(rank: int) -> Callable[[Operation], list[Shape]]:
    """The shape that the first input tells, as far as the gradient agrees."""

    def shape_function(op: Operation) -> list[Shape]:
        sizes, filters, grad = op.inputs
        of_filter, of_grad = with_rank(filters._shape, rank), with_rank(grad._shape, rank)
        assert of_filter is not None
        assert of_grad is not None
        channel = spatial_axes(op.attrs["data_format"], rank)[1]
        merge_dims(of_grad[channel], of_filter[-1])
        told = constant_shape(sizes)
        if told is not None and len(told) == rank - 2 != rank:
            return assembled(op, of_grad[0], told, of_filter[-2])
        told = with_rank(told, rank)
        assert told is not None
        return [(merge_dims(told[0], of_grad[0]), *told[1:])]

    return shape_function


def _of_filter(rank: int) -> Callable[[Operation], list[Shape]]:
    def shape_function(op: Operation) -> list[Shape]:
        for index in (0, 2):
            with_rank(op.inputs[index]._shape, rank)
        return [with_rank(constant_shape(op.inputs[1]), rank)]

    return shape_function


_FLOATS = "half, bfloat16, float, double"
_WINDOW_2D = [
    "padding: {'SAME', 'VALID', 'EXPLICIT'}",
    "explicit_paddings: list(int) = []",
    "data_format: {'NHWC', 'NCHW'} = 'NHWC'",
    "dilations: list(int) = [1, 1, 1, 1]",
]
_ATTRS_2D = ["strides: list(int)", "use_cudnn_on_gpu: bool = true", *_WINDOW_2D]
define_op(
    "Conv2D",
    ["input: T", "filter: T"],
    ["output: T"],
    [f"T: {{{_FLOATS}, int32}}", *_ATTRS_2D],
    _convolved(4),
)
define_op(
    "Conv2DBackpropInput",
    ["input_sizes: int32", "filter: T", "out_backprop: T"],
    ["output: T"],
    [f"T: {{{_FLOATS}, int32}}", *_ATTRS_2D],
    _of_input(4),
)
define_op(
    "Conv2DBackpropFilter",
    ["input: T", "filter_sizes: int32", "out_backprop: T"],
    ["output: T"],
    [f"T: {{{_FLOATS}}}", *_ATTRS_2D],
    _of_filter(4),
)
_ATTRS_3D = [
    f"T: {{{_FLOATS}}}",
    "strides: list(int) >= 5",
    "padding: {'SAME', 'VALID'}",
    "data_format: {'NDHWC', 'NCDHW'} = 'NDHWC'",
    "dilations: list(int) = [1, 1, 1, 1, 1]",
]
define_op("Conv3D", ["input: T", "filter: T"], ["output: T"], _ATTRS_3D, _convolved(5))
define_op(
    "Conv3DBackpropInputV2",
    ["input_sizes: Tshape", "filter: T", "out_backprop: T"],
    ["output: T"],
    [*_ATTRS_3D, "Tshape: {int32, int64} = DT_INT32"],
    _of_input(5),
)
define_op(
    "Conv3DBackpropFilterV2",
    ["input: T", "filter_sizes: int32", "out_backprop: T"],
    ["output: T"],
    _ATTRS_3D,
    _of_filter(5),
)


# --- arguments ------------------------------------------------------------------------------------


def sequence_for(value: Any, count: int, channel: int, name: str) -> list[Any]:
    """`value`, a number or `count` of them, by dimension: ones for batch and channels.

    Raises:
        ValueError: it has another length than 1, `count` or `count + 2`.
    """
    if value is None:
        return [1] * (count + 2)
    values = list(value) if hasattr(value, "__len__") else [value]
    length = len(values)
    if length == count + 2:
        return values
    if length == 1:
        values = values * count
    elif length != count:
        raise ValueError(
            f"{name} should be of length 1, {count} or {count + 2}. "
            f"Received: {name}={values} of length {length}"
        )
    return [1, 1, *values] if channel == 1 else [1, *values, 1]


def convert_padding(padding: Any, length: int = 4) -> tuple[Any, list[int]]:
    """The attributes `padding` and `explicit_paddings` for a name or a list of pairs.

    Raises:
        ValueError: it is neither, or there are not `length` pairs.
    """
    if padding == "EXPLICIT":
        raise ValueError(
            "'EXPLICIT' is not a valid value for `padding`. To use explicit padding, `padding` "
            "must be a list."
        )
    if not isinstance(padding, list | tuple):
        return padding, []
    explicit: list[int] = []
    start = "When `padding` is a list, each element of `padding` must be a list/tuple of size 2. "
    for place, pair in enumerate(padding):
        received = f"Received: padding={padding} with element at index {place} of "
        if not isinstance(pair, list | tuple):
            raise ValueError(f"{start}{received}type {type(pair)}")
        if len(pair) != 2:
            raise ValueError(f"{start}{received}size {len(pair)}")
        explicit.extend(pair)
    if len(padding) != length:
        raise ValueError(
            f"When padding is a list, it must be of size {length}. Received: padding={padding} "
            f"of size {len(padding)}"
        )
    return "EXPLICIT", explicit


def _rank_of(value: Any) -> int | None:
    shape = getattr(value, "shape", None)
    if shape is None or isinstance(shape, tuple):
        return np.ndim(value) if shape is None else len(shape)
    rank: int | None = shape.ndims
    return rank


def channel_of(data_format: str, rank: int) -> int:
    """The dimension of the channels."""
    return 1 if data_format.startswith("NC") else rank - 1


def squeeze_batch_dims(
    inp: Any, op: Callable[[Tensor], Tensor], inner_rank: int, name: str | None = None
) -> Tensor:
    """What `op` gives of `inp` with all dimensions before the last `inner_rank` made one."""
    graph = graph_of((inp,))
    with graph.as_default(), graph.name_scope(name or "squeeze_batch_dims"):
        inp = convert_to_tensor(inp, name="input")
        inner: Any = inp.shape[-inner_rank:]
        if not inner.is_fully_defined():
            inner = shape_of(inp)[-inner_rank:]
        outer: Any = inp.shape[:-inner_rank]
        if not outer.is_fully_defined():
            outer = shape_of(inp)[:-inner_rank]
        sizes = concat(([-1], inner), -1) if isinstance(inner, Tensor) else [-1, *inner.as_list()]
        result = op(reshape(inp, sizes))
        found: Any = result.shape[-inner_rank:]
        if not found.is_fully_defined():
            found = shape_of(result)[-inner_rank:]
        whole = reshape(result, concat((outer, found), -1))
        whole.set_shape(inp.shape[:-inner_rank].concatenate(whole.shape[-inner_rank:]))
        return whole


def each_image(op_type: str, rank: int, x: Any, filters: Any, attrs: Any, name: Any) -> Tensor:
    """The operation on `x`; on its dimensions before the last three as on a batch."""
    known = _rank_of(x)
    if known is None or known <= rank:
        result: Tensor = create_op(op_type, [x, filters], attrs, name)
        return result
    return squeeze_batch_dims(
        x, lambda image: create_op(op_type, [image, filters], attrs), rank - 1, name
    )


# --- builders -------------------------------------------------------------------------------------


@export("nn.conv2d")
def conv2d(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool | None = True,
    data_format: str | None = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006  (as TensorFlow has it; never changed)
    name: str | None = None,
    filters: Any = None,
) -> Tensor:
    """The convolution of images with filters (not mirrored, as is the custom in learning).

    Args:
        input: images of shape `[..., height, width, channels]`, or `[batch, channels, height,
            width]` with `data_format` "NCHW".
        filter: `[height, width, input channels, output channels]`; where its input channels are a
            part of the images', these are convolved in groups.
        strides: steps of the filters: a number, height and width, or one for each dimension.
        padding: "SAME" pads with zeros so that steps of one keep the size, "VALID" does not pad;
            or one pair of numbers for each dimension.
        use_cudnn_on_gpu: not used.
        data_format: "NHWC" or "NCHW".
        dilations: distance of neighbours in a filter, given as `strides` are.
        name: name of the operation.
        filters: another name of `filter`.

    Raises:
        ValueError: shapes, strides or paddings do not fit.
    """
    filter = renamed("filters", filters, "filter", filter)
    padding, explicit = convert_padding(padding)
    layout = data_format or "NHWC"
    channel = channel_of(layout, 4)
    attrs = {
        "strides": sequence_for(strides, 2, channel, "strides"),
        "padding": padding,
        "use_cudnn_on_gpu": use_cudnn_on_gpu,
        "explicit_paddings": explicit,
        "data_format": layout,
        "dilations": sequence_for(dilations, 2, channel, "dilations"),
    }
    return each_image("Conv2D", 4, input, filter, attrs, name)


@export("nn.conv2d_backprop_input")
def conv2d_backprop_input(
    input_sizes: Any,
    filter: Any = None,
    out_backprop: Any = None,
    strides: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool | None = True,
    data_format: str = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
    filters: Any = None,
) -> Tensor:
    """The gradient of `conv2d` for an input of shape `input_sizes`, from that of its output."""
    filter = renamed("filters", filters, "filter", filter)
    padding, explicit = convert_padding(padding)
    attrs = {
        "strides": strides,
        "padding": padding,
        "use_cudnn_on_gpu": use_cudnn_on_gpu,
        "explicit_paddings": explicit,
        "data_format": data_format,
        "dilations": dilations,
    }
    inputs = [input_sizes, filter, out_backprop]
    result: Tensor = create_op("Conv2DBackpropInput", inputs, attrs, name)
    return result


@export("nn.conv2d_backprop_filter")
def conv2d_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    use_cudnn_on_gpu: bool | None = True,
    data_format: str = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> Tensor:
    """The gradient of `conv2d` for filters of shape `filter_sizes`, from that of its output."""
    padding, explicit = convert_padding(padding)
    attrs = {
        "strides": strides,
        "padding": padding,
        "use_cudnn_on_gpu": use_cudnn_on_gpu,
        "explicit_paddings": explicit,
        "data_format": data_format,
        "dilations": dilations,
    }
    inputs = [input, filter_sizes, out_backprop]
    result: Tensor = create_op("Conv2DBackpropFilter", inputs, attrs, name)
    return result


def sequence_layout(data_format: str | None) -> tuple[str, int]:
    """The layout of images one high, and where the dimension of their height goes."""
    if data_format in (None, "NHWC", "NWC"):
        return "NHWC", 2
    if data_format in ("NCHW", "NCW"):
        return "NCHW", 1
    raise ValueError(f"`data_format` must be 'NWC' or 'NCW'. Received: data_format={data_format}")


@export("nn.conv1d")
def conv1d(
    value: Any = None,
    filters: Any = None,
    stride: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool | None = None,
    data_format: str | None = None,
    name: str | None = None,
    input: Any = None,
    dilations: Any = None,
) -> Tensor:
    """The convolution of sequences with filters: as `conv2d` of images that are one high.

    Args:
        value: `[..., width, channels]`, or `[batch, channels, width]` with `data_format` "NCW".
        filters: `[width, input channels, output channels]`.
        stride: step of the filters.
        padding: "SAME" or "VALID".
        use_cudnn_on_gpu: not used.
        data_format: "NWC" or "NCW".
        name: name of the operation.
        input: another name of `value`.
        dilations: distance of neighbours in a filter.

    Raises:
        ValueError: shapes or strides do not fit.
    """
    value = renamed("input", input, "value", value)
    graph = graph_of((value, filters))
    with graph.as_default(), graph.name_scope(name or "conv1d") as scope:
        layout, channel = sequence_layout(data_format)
        height = -3 if layout == "NHWC" else -2
        attrs = {
            "strides": [1, *sequence_for(stride, 1, channel, "stride")],
            "padding": padding,
            "use_cudnn_on_gpu": use_cudnn_on_gpu,
            "data_format": layout,
            "dilations": [1, *sequence_for(dilations, 1, channel, "dilations")],
        }
        image, flat = expand_dims(value, height), expand_dims(filters, 0)
        return squeeze(each_image("Conv2D", 4, image, flat, attrs, scope), [height])


@export("nn.conv3d")
def conv3d(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    data_format: str = "NDHWC",
    dilations: Any = [1, 1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
    filters: Any = None,
) -> Tensor:
    """The convolution of volumes with filters; as `conv2d`, with a depth before the height.

    Raises:
        ValueError: shapes or strides do not fit.
    """
    filter = renamed("filters", filters, "filter", filter)
    attrs = {
        "strides": strides,
        "padding": padding,
        "data_format": data_format,
        "dilations": dilations,
    }
    result: Tensor = create_op("Conv3D", [input, filter], attrs, name)
    return result


@export("nn.conv3d_backprop_filter", "nn.conv3d_backprop_filter_v2")
def conv3d_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NDHWC",
    dilations: Any = [1, 1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> Tensor:
    """The gradient of `conv3d` for filters of shape `filter_sizes`, from that of its output."""
    attrs = {
        "strides": strides,
        "padding": padding,
        "data_format": data_format,
        "dilations": dilations,
    }
    inputs = [input, filter_sizes, out_backprop]
    result: Tensor = create_op("Conv3DBackpropFilterV2", inputs, attrs, name)
    return result
