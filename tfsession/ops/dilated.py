"""Convolutions in which the elements of a filter lie apart: made of dense ones on parts of images.

An operation dilated by n sees every n-th pixel only. So an image is taken apart into n by n images
of every n-th pixel (`space_to_batch_nd`), the dense operation is run on these, and what it gives is
put together again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape, dimension_at_index
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.conv import conv1d, conv2d, convert_padding, each_image, sequence_for
from tfsession.ops.conv_transpose import conv2d_transpose
from tfsession.ops.join import concat, stack
from tfsession.ops.shape import renamed
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.space import (
    batch_to_space,
    batch_to_space_nd,
    required_space_to_batch_paddings,
    space_to_batch,
    space_to_batch_nd,
)

# f(x, number of spatial dimensions, padding): the dense operation.
Dense = Callable[[Any, int, Any], Tensor]


@export("nn.with_space_to_batch")
def with_space_to_batch(
    input: Any,
    dilation_rate: Any,
    padding: Any,
    op: Dense,
    filter_shape: Any = None,
    spatial_dims: Sequence[int] | None = None,
    data_format: str | None = None,
) -> Tensor:
    """What `op`, which does not dilate, gives when it is dilated.

    Args:
        input: tensor.
        dilation_rate: vector of one distance for each spatial dimension.
        padding: "SAME", "VALID" or pairs of numbers.
        op: `f(x, number of spatial dimensions, padding)`.
        filter_shape: sizes of the filter; "SAME" needs them.
        spatial_dims: the dimensions that are dilated; those after the batch unless told.
        data_format: "NC..." for channels first.

    Raises:
        ValueError: rates are not positive, or something does not fit.
    """
    input = convert_to_tensor(input, name="input")
    rate = convert_to_tensor(dilation_rate, int32, name="dilation_rate")
    if rate._shape is not None and len(rate._shape) != 1:
        raise ValueError(
            f"`dilation_rate.shape.rank` must be 1. Received: dilation_rate={rate} of rank "
            f"{len(rate._shape)}"
        )
    if rate._shape is None or rate._shape[0] is None:
        raise ValueError(
            "`dilation_rate.shape` must be fully defined. Received: dilation_rate="
            f"{rate} with shape {rate.shape}"
        )
    count = rate._shape[0]
    first = bool(data_format) and str(data_format).startswith("NC")
    dims = _checked_dims(input.shape, spatial_dims, count, first)
    known = constant_value(rate)
    if known is not None:
        if (known < 1).any():
            raise ValueError(f"`dilation_rate` must be positive. Received: dilation_rate={known}")
        if (known == 1).all():
            return op(input, count, padding)
    base = _base_paddings(padding, filter_shape, count, rate if known is None else known, first)
    sizes: Any = None if input._shape is None else [input._shape[d] for d in dims]
    if sizes is None or None in sizes:
        whole = shape_of(input)
        sizes = stack([whole[d] for d in dims])
    paddings, crops = required_space_to_batch_paddings(sizes, rate, base)
    blocks, pads, cuts = (_filled(rate, 1, dims), _filled(paddings, 0, dims),
                          _filled(crops, 0, dims))  # fmt: skip
    result = op(space_to_batch_nd(input, blocks, pads), count, "VALID")
    return batch_to_space_nd(result, blocks, cuts)


def _checked_dims(
    shape: TensorShape, spatial_dims: Sequence[int] | None, count: int, first: bool
) -> list[int]:
    start = 2 if first else 1
    given = range(start, count + start) if spatial_dims is None else spatial_dims
    dims = sorted({int(d) for d in given})
    if dims != list(given) or any(d < 1 for d in dims):
        raise ValueError(
            "`spatial_dims` must be a monotonically increasing sequence of positive integers. "
            f"Received: spatial_dims={list(given)}"
        )
    least = dims[-1] if first else dims[-1] + 1
    if shape.ndims is not None and shape.ndims < least:
        raise ValueError(
            f"`input.shape.rank` must be at least {least}. Received: input.shape={shape} with "
            f"rank {shape.ndims}"
        )
    return dims


def _base_paddings(padding: Any, filter_shape: Any, count: int, rate: Any, first: bool) -> Any:
    """What the dilated operation pads with."""
    padding, explicit = convert_padding(padding)
    if padding == "VALID":
        return np.zeros([count, 2], np.int32)
    if padding == "EXPLICIT":
        pairs = np.array(explicit).reshape(count + 2, 2)
        return pairs[2:] if first else pairs[1:-1]
    if padding != "SAME":
        raise ValueError(f"`padding` must be one of 'SAME' or 'VALID'. Received: padding={padding}")
    if filter_shape is None:
        raise ValueError(
            "`filter_shape` must be specified for `padding='SAME'`. Received: filter_shape="
            f"{filter_shape} and padding={padding}"
        )
    filter_shape = convert_to_tensor(filter_shape, name="filter_shape")
    known = constant_value(filter_shape)
    extents = (filter_shape if known is None else known)[:count]
    added = (extents - 1) * rate
    start = added // 2
    end = added - start
    return stack([[start[i], end[i]] for i in range(count)])


def _filled(values: Any, fill: int, dims: Sequence[int]) -> Any:
    """`values` of the dilated dimensions, with `fill` for those before and between them."""
    known = constant_value(values)
    source: Any = values if known is None else known
    width = list(values._shape[1:])
    parts, previous, i = [], 0, 0
    while i < len(dims):
        start = i
        if dims[i] > 1:
            parts.append(np.full([dims[i] - 1 - previous, *width], fill, np.int32))
        while i + 1 < len(dims) and dims[i + 1] == dims[i] + 1:
            i += 1
        parts.append(source[start : i + 1])
        previous = dims[i]
        i += 1
    return np.concatenate(parts) if known is not None else concat(parts, 0)


# --- convolutions ---------------------------------------------------------------------------------


def _spatial_count(x: Any, filters: Any) -> int:
    count: int | None = None
    if filters.shape.ndims:
        count = filters.shape.ndims - 2
    elif x.shape.ndims:
        count = x.shape.ndims - 2
    if count is None:
        raise ValueError(
            "When `num_spatial_dims` is not set, one of `input.shape.rank` or `filters.shape.rank` "
            f"must be known. Received: input.shape={x.shape} of rank {x.shape.ndims} and "
            f"filters.shape={filters.shape} of rank {filters.shape.ndims}"
        )
    if count not in (1, 2, 3):
        raise ValueError(
            f"`num_spatial_dims` must be 1, 2, or 3. Received: num_spatial_dims={count}."
        )
    return count


@export("nn.convolution")
def convolution(
    input: Any,
    filter: Any,
    padding: Any,
    strides: Any = None,
    dilation_rate: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    filters: Any = None,
    dilations: Any = None,
) -> Tensor:
    """The convolution of sequences, images or volumes, as the rank of the filters tells.

    Args:
        input: `[batch, *spatial, channels]`, or channels after the batch with `data_format`
            "NC...".
        filter: `[*spatial, input channels, output channels]`.
        padding: "SAME" or "VALID", or one pair of numbers for each dimension.
        strides: steps: a number, or one for each spatial dimension.
        dilation_rate: distance of neighbours in a filter, likewise.
        name: name of the operation.
        data_format: "N...C" or "NC...".
        filters: another name of `filter`.
        dilations: another name of `dilation_rate`.

    Raises:
        ValueError: shapes, strides or rates do not fit.
    """
    filters = renamed("filters", filters, "filter", filter)
    rates = renamed("dilations", dilations, "dilation_rate", dilation_rate)
    graph = graph_of((input, filters))
    with graph.as_default():
        if not hasattr(filters, "graph"):
            with graph.name_scope("convolution_internal"):
                filters = convert_to_tensor(filters, name="filters")
        if not hasattr(input, "graph"):
            with graph.name_scope("convolution_internal"):
                input = convert_to_tensor(input, name="input")
        count = _spatial_count(input, filters)
        outer = 1 if not input.shape.ndims else input.shape.ndims - count - 1
        first = bool(data_format) and str(data_format).startswith("NC")
        channel = outer if first else outer + count
        gaps = sequence_for(rates, count, channel, "dilations")
        steps = sequence_for(strides, count, channel, "strides")
        with graph.name_scope(name or "convolution") as scope:
            if rates is None or all(gap == 1 for gap in gaps):
                return _dense(input, filters, steps, padding, data_format, gaps, scope, count)
            part = slice(2, None) if first else slice(1, -1)
            return _dilated(
                input, filters, steps[part], padding, data_format, gaps[part], scope, count
            )


def _dense(
    x: Any, filters: Any, strides: Any, padding: Any, data_format: Any, gaps: Any, scope: str,
    count: int,
) -> Tensor:  # fmt: skip
    if count == 1:
        return conv1d(x, filters, strides, padding, data_format=data_format, name=scope,
                      dilations=gaps)  # fmt: skip
    padding, explicit = convert_padding(padding, count + 2)
    attrs = {"strides": strides, "padding": padding, "data_format": data_format, "dilations": gaps}
    if count == 2:
        attrs["explicit_paddings"] = explicit
    return each_image(f"Conv{count}D", count + 2, x, filters, attrs, scope)


def _dilated(
    x: Any, filters: Any, strides: Any, padding: Any, data_format: Any, rates: Any, scope: str,
    count: int,
) -> Tensor:  # fmt: skip
    first = bool(data_format) and str(data_format).startswith("NC")
    outer = 1 if not x.shape.ndims else x.shape.ndims - count - 1
    depth = dimension_at_index(x.shape, outer if first else outer + count).value
    part = dimension_at_index(filters.shape, count).value
    if depth is not None and part and depth % part:
        raise ValueError(
            "The number of input channels is not divisible by the corresponding number of output "
            f"filters. Received: input.shape={x.shape} with {depth} channels and filters.shape="
            f"{filters.shape} with {part} output filters."
        )
    checked_strides_and_rates(count, strides, rates)

    def dense(part: Any, _: int, narrowed: Any) -> Tensor:
        whole = [1, 1, *strides] if first else [1, *strides, 1]
        if count == 1:
            return conv1d(part, filters, strides[0], narrowed, data_format=data_format or "NWC",
                          name=scope)  # fmt: skip
        if count == 2:
            return conv2d(part, filters, whole, narrowed, data_format=data_format, name=scope)
        attrs = {"strides": whole, "padding": narrowed, "data_format": data_format}
        return each_image("Conv3D", 5, part, filters, attrs, scope)

    start = outer + 1 if first else outer
    known = filters.shape.is_fully_defined()
    shape = np.array(filters.shape.as_list(), np.int32) if known else shape_of(filters)
    return with_space_to_batch(
        x, np.array(rates, np.int32), padding, dense, shape,
        range(start, start + count), data_format,
    )  # fmt: skip


def checked_strides_and_rates(count: int, strides: Any, rates: Any) -> tuple[Any, Any]:
    """Both as arrays, ones where they are None.

    Raises:
        ValueError: a length is not `count`, a number is not positive, or both are above one.
    """
    arrays = []
    for name, values in (("dilation_rate", rates), ("strides", strides)):
        if values is None:
            values = [1] * count
        elif len(values) != count:
            raise ValueError(
                f"`len({name})` should be {count}. Received: {name}={values} of length "
                f"{len(values)}"
            )
        array = np.array(values, np.int32)
        if (array < 1).any():
            raise ValueError(f"all values of `{name}` must be positive. Received: {name}={array}")
        arrays.append(array)
    gaps, steps = arrays
    if (steps > 1).any() and (gaps > 1).any():
        raise ValueError(
            "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
            f"strides={steps} and dilation_rate={gaps}"
        )
    return steps, gaps


@export("nn.atrous_conv2d")
def atrous_conv2d(
    value: Any, filters: Any, rate: Any, padding: Any, name: str | None = None
) -> Tensor:
    """The convolution of images with filters whose neighbours are `rate` pixels apart.

    Args:
        value: `[batch, height, width, channels]`.
        filters: `[height, width, input channels, output channels]`.
        rate: distance, a positive number.
        padding: "SAME" or "VALID".
        name: name of the operation.

    Raises:
        ValueError: shapes or the rate do not fit.
    """
    return convolution(value, filters, padding, None, np.broadcast_to(rate, (2,)), name)


@export("nn.atrous_conv2d_transpose")
def atrous_conv2d_transpose(
    value: Any,
    filters: Any,
    output_shape: Any,
    rate: int,
    padding: str,
    name: str | None = None,
) -> Tensor:
    """The transpose of `atrous_conv2d`.

    Args:
        value: images, as `atrous_conv2d` would give them.
        filters: `[height, width, output channels, input channels]`.
        output_shape: shape of the result.
        rate: distance, a positive number.
        padding: "SAME" or "VALID".
        name: name of the operation.

    Raises:
        ValueError: shapes or the rate do not fit.
    """
    graph = graph_of((value, filters, output_shape))
    with graph.as_default(), graph.name_scope(name or "atrous_conv2d_transpose"):
        value = convert_to_tensor(value, name="value")
        filters = convert_to_tensor(filters, name="filters")
        if not value.shape[3:4].is_compatible_with(filters.shape[3:4]):
            raise ValueError(
                "`value` channel count must be compatible with `filters` input channel count. "
                f"Received: value.shape={value.shape} and filters.shape={filters.shape}."
            )
        if rate < 1:
            raise ValueError(f"`rate` cannot be less than one. Received: rate={rate}")
        if rate == 1:
            return conv2d_transpose(value, filters, output_shape, [1, 1, 1, 1], padding)
        sizes = convert_to_tensor(output_shape, name="output_shape")
        if not sizes.shape.is_compatible_with([4]):
            raise ValueError(
                f"`output_shape` must have shape (4,). Received: output_shape={sizes.shape}"
            )
        if padding not in ("SAME", "VALID"):
            raise ValueError(
                f"`padding` must be either 'VALID' or 'SAME'. Received: padding={padding}"
            )
        pads = []
        known = filters.shape.is_fully_defined()
        extents = filters.shape.as_list() if known else shape_of(filters)
        for d in (0, 1):
            added = (extents[d] + (extents[d] - 1) * (rate - 1)) - 1 if padding == "SAME" else 0
            pads.append((added // 2, added - added // 2))
        wide = [output_shape[d + 1] + pads[d][0] + pads[d][1] for d in (0, 1)]
        extra = [(rate - size % rate) % rate for size in wide]
        value = space_to_batch(value, [[0, extra[0]], [0, extra[1]]], rate)
        parts = [
            rate * rate * output_shape[0],
            *((size + more) // rate for size, more in zip(wide, extra, strict=True)),
            output_shape[3],
        ]
        attrs = {"strides": [1, 1, 1, 1], "padding": "VALID"}
        value = create_op("Conv2DBackpropInput", [parts, filters, value], attrs)
        crops = [[before, after + more] for (before, after), more in zip(pads, extra, strict=True)]
        return batch_to_space(value, crops, rate)
