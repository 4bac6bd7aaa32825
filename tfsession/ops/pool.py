"""Pools: the greatest number, or the mean, of each window of a sequence, an image or a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import int64
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.core.windows import positions, spatial_axes
from tfsession.graph.constant_value import constant_dims, constant_shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.conv import channel_of, convert_padding, padding_pairs, sequence_for
from tfsession.ops.dilated import checked_strides_and_rates, with_space_to_batch
from tfsession.ops.shape import expand_dims, renamed, squeeze


def _pooled(
    op: Operation, rank: int, ksize: Sequence[int | None], strides: Sequence[int | None]
) -> Shape:
    """The shape of the pool of the first input; the batch stays."""
    shape = with_rank(op.inputs[0]._shape, rank)
    assert shape is not None
    for name, values in (("ksize", ksize), ("stride", strides)):
        if len(values) != rank:
            raise ValueError(
                f"{op.type} requires the {name} attribute to contain {rank} values, but got: "
                f"{len(values)}"
            )
    if "padding" not in op.attrs:
        return shape
    pairs = padding_pairs(op, rank)
    sizes = [
        None if step is None else positions(size, extent, step, 1, op.attrs["padding"], pair)
        for size, extent, step, pair in zip(shape, ksize, strides, pairs, strict=True)
    ]
    return (shape[0], *sizes[1:])


def _by_attributes(rank: int, means: bool = False) -> Callable[[Operation], list[Shape]]:
    def shape_function(op: Operation) -> list[Shape]:
        found = _pooled(op, rank, op.attrs["ksize"], op.attrs["strides"])
        if means and found is not None:
            shape = with_rank(op.inputs[0]._shape, rank)
            channel = spatial_axes(op.attrs["data_format"], rank)[1]
            assert shape is not None
            found = (*found[:channel], shape[channel], *found[channel + 1 :])
        return [found] * len(op.outputs)

    return shape_function


def _by_inputs(op: Operation) -> list[Shape]:
    vectors = []
    for index in (1, 2):
        with_rank(op.inputs[index]._shape, 1)
        vectors.append(constant_dims(op.inputs[index]))
    ksize, strides = vectors
    if ksize is None or strides is None or None in ksize:
        return [(None,) * 4]
    return [_pooled(op, 4, ksize, strides)]


def _like_input(rank: int) -> Callable[[Operation], list[Shape]]:
    """The gradient for the input has its shape."""

    def shape_function(op: Operation) -> list[Shape]:
        return [with_rank(op.inputs[0]._shape, rank)]

    return shape_function


def _like_output(rank: int) -> Callable[[Operation], list[Shape]]:
    """The gradient of the gradient has the shape of the pool."""

    def shape_function(op: Operation) -> list[Shape]:
        with_rank(op.inputs[0]._shape, rank)
        shape = with_rank(op.inputs[1]._shape, rank)
        merge(op.inputs[0]._shape, op.inputs[2]._shape)
        return [shape]

    return shape_function


def _told(rank: int) -> Callable[[Operation], list[Shape]]:
    def shape_function(op: Operation) -> list[Shape]:
        with_rank(op.inputs[1]._shape, rank)
        return [with_rank(constant_shape(op.inputs[0]), rank)]

    return shape_function


_FLOATS = "half, bfloat16, float"
_REAL = "T: realnumbertype"
_ALL = f"T: {{{_FLOATS}, double, int32, int64, uint8, int16, int8, uint16, qint8}} = DT_FLOAT"
_SIZES_2D = ["ksize: list(int) >= 4", "strides: list(int) >= 4"]
_SIZES_3D = ["ksize: list(int) >= 5", "strides: list(int) >= 5"]
_ENDS = "padding: {'SAME', 'VALID'}"
_ANY_ENDS = ["padding: {'SAME', 'VALID', 'EXPLICIT'}", "explicit_paddings: list(int) = []"]
_IMAGES = "data_format: {'NHWC', 'NCHW'} = 'NHWC'"
_VECTORS = "data_format: {'NHWC', 'NCHW', 'NCHW_VECT_C'} = 'NHWC'"
_VOLUMES = "data_format: {'NDHWC', 'NCDHW'} = 'NDHWC'"
_BACK = ["orig_input: T", "orig_output: T", "grad: T"]
_OUT = ["output: T"]

define_op(
    "MaxPool",
    ["input: T"],
    _OUT,
    [_ALL, *_SIZES_2D, *_ANY_ENDS, _VECTORS],
    _by_attributes(4),
)
define_op(
    "MaxPoolGrad",
    _BACK,
    _OUT,
    [*_SIZES_2D, *_ANY_ENDS, _IMAGES, f"{_REAL} = DT_FLOAT"],
    _like_input(4),
)
define_op("MaxPoolGradGrad", _BACK, _OUT, [*_SIZES_2D, _ENDS, _IMAGES, _REAL], _like_output(4))
define_op(
    "MaxPoolV2",
    ["input: T", "ksize: int32", "strides: int32"],
    _OUT,
    [_ALL, _ENDS, _VECTORS],
    _by_inputs,
)
_BACK_V2 = [*_BACK, "ksize: int32", "strides: int32"]
define_op("MaxPoolGradV2", _BACK_V2, _OUT, [_ENDS, _IMAGES, f"{_REAL} = DT_FLOAT"], _like_input(4))
define_op("MaxPoolGradGradV2", _BACK_V2, _OUT, [_ENDS, _IMAGES, _REAL], _like_output(4))


def _with_places(op: Operation) -> list[Shape]:
    found = _pooled(op, 4, op.attrs["ksize"], op.attrs["strides"])
    return [found, found]


_PLACES = "include_batch_in_index: bool = false"
define_op(
    "MaxPoolWithArgmax",
    ["input: T"],
    ["output: T", "argmax: Targmax"],
    [*_SIZES_2D, "Targmax: {int32, int64} = DT_INT64", _ENDS, _PLACES, _REAL],
    _with_places,
)
define_op(
    "MaxPoolGradWithArgmax",
    ["input: T", "grad: T", "argmax: Targmax"],
    _OUT,
    [*_SIZES_2D, _ENDS, _PLACES, "Targmax: {int32, int64}", _REAL],
    _like_input(4),
)
_MEANS = f"T: {{{_FLOATS}, double}}"
define_op(
    "AvgPool", ["value: T"], _OUT, [*_SIZES_2D, _ENDS, _IMAGES, _MEANS], _by_attributes(4, True)
)
define_op(
    "AvgPoolGrad",
    ["orig_input_shape: int32", "grad: T"],
    _OUT,
    [*_SIZES_2D, _ENDS, _IMAGES, _MEANS],
    _told(4),
)
_ATTRS_3D = [*_SIZES_3D, _ENDS, _VOLUMES]
define_op("MaxPool3D", ["input: T"], _OUT, [*_ATTRS_3D, f"T: {{{_FLOATS}}}"], _by_attributes(5))
define_op(
    "MaxPool3DGrad",
    ["orig_input: TInput", "orig_output: TInput", "grad: T"],
    _OUT,
    [*_ATTRS_3D, f"T: {{{_FLOATS}}} = DT_FLOAT", f"TInput: {{{_FLOATS}}} = DT_FLOAT"],
    _like_input(5),
)
define_op("MaxPool3DGradGrad", _BACK, _OUT, [*_ATTRS_3D, _REAL], _like_output(5))
define_op("AvgPool3D", ["input: T"], _OUT, [*_ATTRS_3D, _MEANS], _by_attributes(5, True))
define_op(
    "AvgPool3DGrad", ["orig_input_shape: int32", "grad: T"], _OUT, [*_ATTRS_3D, _MEANS], _told(5)
)


# --- builders -------------------------------------------------------------------------------------


def _pool(
    op_type: str, default: str, rank: int, x: Any, ksize: Any, strides: Any, padding: Any,
    data_format: str | None, name: str | None, channel: int | None = None,
) -> Tensor:  # fmt: skip
    """A pool of a tensor of this rank, 4 or 5, inside a scope of the name `default`."""
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or default) as scope:
        layout = data_format or ("NHWC" if rank == 4 else "NDHWC")
        channel = channel_of(layout, rank) if channel is None or layout[1] == "C" else channel
        sizes = sequence_for(ksize, rank - 2, channel, "ksize")
        attrs = {"ksize": sizes, "strides": sequence_for(strides, rank - 2, channel, "strides")}
        if op_type == "MaxPool":
            if isinstance(padding, list | tuple) and data_format == "NCHW_VECT_C":
                raise ValueError(
                    "`data_format='NCHW_VECT_C'` is not supported with explicit padding. "
                    f"Received: padding={padding}"
                )
            padding, attrs["explicit_paddings"] = convert_padding(padding)
            if default == "MaxPool" and any(size == 0 for size in sizes):
                raise ValueError(f"`ksize` cannot be zero. Received: ksize={sizes}")
        attrs |= {"padding": padding, "data_format": layout}
        result: Tensor = create_op(op_type, [x], attrs, scope)
        return result


@export("nn.max_pool")
def max_pool(
    value: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    name: str | None = None,
    input: Any = None,
) -> Tensor:
    """The greatest number of each window of images.

    Args:
        value: images of shape `[batch, height, width, channels]`.
        ksize: size of the windows: a number, height and width, or one for each dimension.
        strides: steps of the windows, likewise.
        padding: "SAME" lets windows leave the image, "VALID" does not; or pairs of numbers.
        data_format: "NHWC" or "NCHW".
        name: name of the operation.
        input: another name of `value`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    value = renamed("input", input, "value", value)
    return _pool("MaxPool", "MaxPool", 4, value, ksize, strides, padding, data_format, name)


@export("nn.max_pool2d")
def max_pool2d(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    name: str | None = None,
) -> Tensor:
    """As `max_pool`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    return _pool("MaxPool", "MaxPool2d", 4, input, ksize, strides, padding, data_format, name)


@export("nn.avg_pool", "nn.avg_pool2d")
def avg_pool(
    value: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NHWC",
    name: str | None = None,
    input: Any = None,
) -> Tensor:
    """The mean of each window of images, padding not counted; arguments as in `max_pool`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    graph = graph_of((value, input))
    with graph.as_default():
        value = renamed("input", input, "value", value)
        return _pool("AvgPool", "AvgPool", 4, value, ksize, strides, padding, data_format, name)


@export("nn.max_pool3d")
def max_pool3d(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """The greatest number of each window of volumes `[batch, depth, height, width, channels]`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    return _pool("MaxPool3D", "MaxPool3D", 5, input, ksize, strides, padding, data_format, name)


@export("nn.avg_pool3d")
def avg_pool3d(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """The mean of each window of volumes `[batch, depth, height, width, channels]`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    return _pool("AvgPool3D", "AvgPool3D", 5, input, ksize, strides, padding, data_format, name)


def _of_sequence(
    op_type: str, default: str, x: Any, ksize: Any, strides: Any, padding: Any,
    data_format: str | None, name: str | None,
) -> Tensor:  # fmt: skip
    """A pool of sequences: of images that are one high."""
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or default) as scope:
        layout = data_format or "NWC"
        channel = channel_of(layout, 3)
        attrs: dict[str, Any] = {
            "ksize": [1, *sequence_for(ksize, 1, channel, "ksize")],
            "strides": [1, *sequence_for(strides, 1, channel, "strides")],
        }
        if op_type == "MaxPool":
            padding, explicit = convert_padding(padding, 3)
            attrs["explicit_paddings"] = [0, 0, *explicit] if explicit else explicit
        height = 1 if layout == "NWC" else 2
        attrs |= {"padding": padding, "data_format": "NHWC" if layout == "NWC" else "NCHW"}
        image = expand_dims(x, height)
        return squeeze(create_op(op_type, [image], attrs, scope), height)


@export("nn.max_pool1d")
def max_pool1d(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NWC",
    name: str | None = None,
) -> Tensor:
    """The greatest number of each window of sequences `[batch, width, channels]`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    return _of_sequence("MaxPool", "MaxPool1d", input, ksize, strides, padding, data_format, name)


@export("nn.avg_pool1d")
def avg_pool1d(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = "NWC",
    name: str | None = None,
) -> Tensor:
    """The mean of each window of sequences `[batch, width, channels]`.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    return _of_sequence("AvgPool", "AvgPool1D", input, ksize, strides, padding, data_format, name)


def _rank_for(x: Any, data_format: str | None) -> int:
    shape = convert_to_tensor(x).shape if not hasattr(x, "shape") else x.shape
    rank = len(shape)
    if not 3 <= rank <= 5:
        raise ValueError(
            f"`input.shape.rank` must be 3, 4 or 5. Received: input.shape={shape} of rank {rank}."
        )
    return rank


@export("nn.max_pool_v2")
def max_pool_v2(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The greatest number of each window of sequences, images or volumes, by the rank of `input`.

    Raises:
        ValueError: the rank is none of 3, 4 and 5, or sizes or strides do not fit.
    """
    rank = _rank_for(input, data_format)
    if rank == 5:
        return _without_scope("MaxPool3D", 5, input, ksize, strides, padding, data_format, name)
    build = max_pool1d if rank == 3 else max_pool2d
    return build(input, ksize, strides, padding, data_format, name)


@export("nn.avg_pool_v2")
def avg_pool_v2(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The mean of each window of sequences, images or volumes, by the rank of `input`.

    Raises:
        ValueError: the rank is none of 3, 4 and 5, or sizes or strides do not fit.
    """
    rank = _rank_for(input, data_format)
    if rank == 3:
        return avg_pool1d(input, ksize, strides, padding, data_format, name)
    op_type = "AvgPool" if rank == 4 else "AvgPool3D"
    return _without_scope(op_type, rank, input, ksize, strides, padding, data_format, name)


def _without_scope(
    op_type: str, rank: int, x: Any, ksize: Any, strides: Any, padding: Any,
    data_format: str | None, name: str | None,
) -> Tensor:  # fmt: skip
    channel = channel_of(data_format or "N...C", rank)
    attrs = {
        "ksize": sequence_for(ksize, rank - 2, channel, "ksize"),
        "strides": sequence_for(strides, rank - 2, channel, "strides"),
        "padding": padding,
        "data_format": data_format,
    }
    result: Tensor = create_op(op_type, [x], attrs, name)
    return result


@export("nn.max_pool_with_argmax")
def max_pool_with_argmax(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    Targmax: Any = None,
    name: str | None = None,
    output_dtype: Any = None,
    include_batch_in_index: bool = False,
) -> tuple[Tensor, Tensor]:
    """The greatest number of each window of images, and where it stands.

    Args:
        input: images of shape `[batch, height, width, channels]`.
        ksize: size of the windows, one for each dimension.
        strides: steps of the windows, likewise.
        padding: "SAME" or "VALID".
        data_format: "NHWC".
        Targmax: type of the places, int32 or int64 (None).
        name: name of the operation.
        output_dtype: another name of `Targmax`.
        include_batch_in_index: count places in the whole batch, else in each image.

    Raises:
        ValueError: sizes or strides do not fit.
    """
    if data_format != "NHWC":
        raise ValueError(
            "`data_format` values other  than 'NHWC' are not supported. Received: "
            f"data_format={data_format}"
        )
    dtype = renamed("output_dtype", output_dtype, "Targmax", Targmax)
    attrs = {
        "ksize": ksize,
        "strides": strides,
        "padding": padding,
        "Targmax": int64 if dtype is None else dtype,
        "include_batch_in_index": include_batch_in_index,
    }
    result: tuple[Tensor, Tensor] = create_op("MaxPoolWithArgmax", [input], attrs, name)
    return result


@export("nn.pool")
def pool(
    input: Any,
    window_shape: Sequence[int],
    pooling_type: str,
    padding: str,
    dilation_rate: Any = None,
    strides: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Any = None,
) -> Tensor:
    """The pool of sequences, images or volumes, dilated where `dilation_rate` is above one.

    Args:
        input: `[batch, *spatial, channels]`, or channels after the batch with `data_format`
            "NC...".
        window_shape: size of the windows, one for each spatial dimension.
        pooling_type: "MAX" or "AVG".
        padding: "SAME" or "VALID".
        dilation_rate: distance of neighbours in a window, one for each spatial dimension.
        strides: steps of the windows, likewise.
        name: name of the operation.
        data_format: "N...C" or "NC...".
        dilations: another name of `dilation_rate`.

    Raises:
        ValueError: sizes, strides or rates do not fit.
    """
    rates = renamed("dilations", dilations, "dilation_rate", dilation_rate)
    default = f"{pooling_type.lower()}_pool"
    with graph_of((input,)).as_default() as graph, graph.name_scope(name or default) as scope:
        input = convert_to_tensor(input, name="input")
        count = len(window_shape)
        steps, gaps = _checked_windows(input, window_shape, pooling_type, padding, strides, rates)
        first = bool(data_format) and str(data_format).startswith("NC")
        start = 2 if first else 1
        layout = data_format
        if count == 1:
            layouts = {None: "NHWC", "NWC": "NHWC", "NCW": "NCHW"}
            if data_format not in layouts:
                raise ValueError(
                    "data_format must be either 'NWC' or 'NCW'. Received: "
                    f"data_format={data_format}"
                )
            layout = layouts[data_format]
        pools = {
            "MAX": max_pool3d if count == 3 else max_pool,
            "AVG": avg_pool3d if count == 3 else avg_pool,
        }

        def whole(values: Any) -> list[int]:
            sizes = [1, 1, *values] if first else [1, *values, 1]
            return [1, *sizes] if count == 1 else sizes

        def dense(x: Any, _: int, narrowed: Any) -> Tensor:
            image = expand_dims(x, start) if count == 1 else x
            build: Callable[..., Tensor] = pools[pooling_type]
            result = build(
                image, whole(window_shape), whole(steps), narrowed, data_format=layout, name=scope
            )
            return squeeze(result, [start]) if count == 1 else result

        return with_space_to_batch(
            input, gaps, padding, dense, window_shape, range(start, start + count)
        )


def _checked_windows(
    x: Tensor, window_shape: Any, pooling_type: str, padding: Any, strides: Any, rates: Any
) -> tuple[Any, Any]:
    count = len(window_shape)
    if not 1 <= count <= 3:
        raise ValueError(
            f"`len(window_shape)` must be 1, 2, or 3. Received: window_shape={window_shape} of "
            f"length {count}"
        )
    x.shape.with_rank(count + 2)
    steps, gaps = checked_strides_and_rates(count, strides, rates)
    if padding == "SAME" and (gaps > 1).any():
        raise ValueError(
            "pooling with 'SAME' padding is not implemented for `dilation_rate` > 1. Received: "
            f"padding={padding} and dilation_rate={gaps}"
        )
    if (steps > np.array(window_shape)).any():
        raise ValueError(
            "`strides` > `window_shape` not supported due to inconsistency between CPU and GPU "
            f"implementations. Received: strides={steps} and window_shape={window_shape}"
        )
    if pooling_type not in ("MAX", "AVG"):
        raise ValueError(f"{count}-D {pooling_type} pooling is not supported.")
    return steps, gaps
