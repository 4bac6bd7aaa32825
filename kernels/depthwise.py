"""Convolutions of each channel alone: one product and sum over the image for each filter element.

A channel with several filters is taken as often, so that products run along all channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from tfsession.core.rules import kernel
from tfsession.core.windows import Axis, spatial_axes
from tfsession.kernels.conv import checked_sizes, geometry, refuse, refuse_bad_gradient
from tfsession.kernels.conv_windows import (
    as_it_was,
    blocks,
    padded,
    windows,
    with_channels_last,
)
from tfsession.kernels.nn import widened

# Bytes of the output worked on at a time: they and what they are made of stay in the cache.
_BLOCK = 1 << 18


class _Problem:
    """What a depthwise convolution and its gradients have in common."""

    def __init__(self, op: str, shape: Any, filters: Any, attrs: dict[str, Any]) -> None:
        if len(shape) != 4:
            raise refuse(f"{op}: input must be 4-dimensional, not of rank {len(shape)}")
        if len(filters) != 4:
            raise refuse(f"{op}: filter must be 4-dimensional, not of rank {len(filters)}")
        self.first = attrs["data_format"] == b"NCHW"
        depth = shape[spatial_axes(attrs["data_format"], 4)[1]]
        if depth != filters[2]:
            raise refuse(f"input and filter must have the same depth: {depth} vs {filters[2]}")
        self.filters = tuple(filters)
        self.times = filters[3]
        self.axes: list[Axis] = geometry(
            op, shape, filters[:2], attrs["strides"], attrs["padding"],
            attrs["explicit_paddings"], attrs["data_format"], attrs["dilations"],
        )  # fmt: skip
        self.out_shape = (shape[0], *(axis.steps for axis in self.axes), depth * self.times)

    def check_gradient(self, op: str, grad: Any) -> None:
        """Raise InvalidArgumentError unless the array may be a gradient of the output."""
        n, h, w, c = self.out_shape
        refuse_bad_gradient(grad.shape, (n, c, h, w) if self.first else self.out_shape, op)

    def image(self, xp: Any, x: Any) -> Any:
        """The windows of an input whose channels are repeated, one for each filter."""
        wide = widened(with_channels_last(xp, x, self.first))
        if self.times != 1:
            wide = xp.repeat(wide, self.times, axis=-1)
        return windows(xp, padded(xp, wide, self.axes), self.axes)

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """The elements of a filter."""
        return product(*(range(axis.extent) for axis in self.axes))

    def blocks(self, itemsize: int) -> Iterator[Any]:
        """Parts of the output that are worked on one after the other."""
        n, h, w, c = self.out_shape
        return blocks(n, h, w * c * itemsize, _BLOCK)


@kernel("DepthwiseConv2dNative")
def depthwise_conv2d(
    xp: Any,
    input: Any,
    filter: Any,
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
    data_format: bytes,
    dilations: list[int],
) -> Any:
    """The convolution of each channel with its filters."""
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
             "data_format": data_format, "dilations": dilations}  # fmt: skip
    problem = _Problem("DepthwiseConv2dNative", input.shape, filter.shape, attrs)
    weights = widened(filter).reshape(*filter.shape[:2], -1)
    result = xp.zeros(problem.out_shape, weights.dtype)
    if result.size:
        view = problem.image(xp, input)
        for block in problem.blocks(result.itemsize):
            part, seen = result[block], view[block]
            share = xp.empty_like(part)
            for offset in problem.offsets():
                xp.multiply(seen[(..., *offset, slice(None))], weights[offset], out=share)
                part += share
    return as_it_was(xp, result.astype(input.dtype, copy=False), problem.first)


@kernel("DepthwiseConv2dNativeBackpropInput", host=["input_sizes"])
def depthwise_conv2d_backprop_input(
    xp: Any,
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
    data_format: bytes,
    dilations: list[int],
) -> Any:
    """The gradient for the input: each element of a filter takes its share back."""
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
             "data_format": data_format, "dilations": dilations}  # fmt: skip
    op, shape = "DepthwiseConv2dNativeBackpropInput", checked_sizes(input_sizes, 4, "input_sizes")
    problem = _Problem(op, shape, filter.shape, attrs)
    problem.check_gradient(op, out_backprop)
    grad = widened(with_channels_last(xp, out_backprop, problem.first))
    weights = widened(filter).reshape(*filter.shape[:2], -1)
    rows, columns = problem.axes
    total = xp.zeros((grad.shape[0], rows.size, columns.size, grad.shape[-1]), grad.dtype)
    for i, j in problem.offsets():
        high, wide = rows.meeting(i), columns.meeting(j)
        if high is not None and wide is not None:
            total[:, high[1], wide[1]] += grad[:, high[0], wide[0]] * weights[i, j]
    if problem.times != 1:
        total = total.reshape(*total.shape[:-1], filter.shape[2], problem.times).sum(axis=-1)
    return as_it_was(xp, total.astype(out_backprop.dtype, copy=False), problem.first)


@kernel("DepthwiseConv2dNativeBackpropFilter", host=["filter_sizes"])
def depthwise_conv2d_backprop_filter(
    xp: Any,
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
    data_format: bytes,
    dilations: list[int],
) -> Any:
    """The gradient for the filters: sums over the image of what each element was times."""
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
             "data_format": data_format, "dilations": dilations}  # fmt: skip
    op = "DepthwiseConv2dNativeBackpropFilter"
    shape = checked_sizes(filter_sizes, 4, "filter_sizes")
    problem = _Problem(op, input.shape, shape, attrs)
    problem.check_gradient(op, out_backprop)
    grad = widened(with_channels_last(xp, out_backprop, problem.first))
    total = xp.zeros((shape[0], shape[1], problem.out_shape[-1]), grad.dtype)
    if grad.size:
        view = problem.image(xp, input)
        for block in problem.blocks(grad.itemsize):
            slopes, seen = grad[block], view[block]
            for offset in problem.offsets():
                share = seen[(..., *offset, slice(None))] * slopes
                total[offset] += share.sum(axis=(0, 1, 2))
    return total.reshape(shape).astype(input.dtype, copy=False)
