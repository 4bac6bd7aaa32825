"""Convolutions of each channel alone: one product and sum over the image for each filter element.

A channel with several filters is taken as often, so that products run along all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from tfsession.core.rules import kernel
from tfsession.core.windows import Axis, spatial_axes
from tfsession.devices.threads import run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels import conv_library
from tfsession.kernels.conv import checked_sizes, geometry, refuse, refuse_bad_gradient
from tfsession.kernels.conv_patches import phases
from tfsession.kernels.conv_windows import (
    as_it_was,
    blocks,
    summed_blocks,
    windows_by_block,
    with_channels_last,
)
from tfsession.kernels.cuda import conv as of_cards
from tfsession.kernels.nn import widened

# Bytes of the output worked on at a time: they and what they are made of stay in the cache.
_BLOCK = 1 << 19


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

    def repeated(self, xp: Any, x: Any) -> Any:
        """An input whose channels are repeated, one for each filter."""
        wide = widened(with_channels_last(xp, x, self.first))
        return wide if self.times == 1 else xp.repeat(wide, self.times, axis=-1)


def _parts(axes: Sequence[Axis], shape: Sequence[int], itemsize: int) -> list[Any]:
    """Parts of an output that are worked on one after the other."""
    rows, columns = (axis.steps for axis in axes)
    return list(blocks(shape[0], rows, columns * shape[-1] * itemsize, _BLOCK))


def _offsets(axes: Sequence[Axis]) -> list[tuple[int, ...]]:
    """The elements of a filter."""
    return list(product(*(range(axis.extent) for axis in axes)))


def _correlate(xp: Any, x: Any, weights: Any, axes: Sequence[Axis], out: Any) -> None:
    """Write the sums over each window of `x`, channels last, times the filter of each channel."""
    if not out.size:
        return
    seen, parts = windows_by_block(xp, x, axes), _parts(axes, out.shape, out.itemsize)
    # Repeated along a row, they meet the row in one run.
    shape = (*weights.shape[:2], axes[1].steps, weights.shape[-1])
    weights = xp.ascontiguousarray(xp.broadcast_to(weights[:, :, None], shape))
    first, *others = _offsets(axes)

    def compute(start: int, stop: int) -> None:
        for block in parts[start:stop]:
            with Workspace(xp) as take:
                view, target = seen(block, take), out[block]
                share = take(target.shape, target.dtype)
                xp.multiply(view[(..., *first, slice(None))], weights[first], out=target)
                for offset in others:
                    xp.multiply(view[(..., *offset, slice(None))], weights[offset], out=share)
                    target += share

    run_blocks(xp, len(parts), 1, compute)


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
    by_card = of_cards.depthwise(xp, problem, input, filter)
    if by_card is not None:
        return by_card
    weights = widened(filter).reshape(*filter.shape[:2], -1)
    result = xp.empty(problem.out_shape, weights.dtype)
    x = problem.repeated(xp, input)
    if not conv_library.correlate(xp, x, weights, problem.axes, result):
        _correlate(xp, x, weights, problem.axes, result)
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
    """The gradient for the input."""
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
             "data_format": data_format, "dilations": dilations}  # fmt: skip
    op, shape = "DepthwiseConv2dNativeBackpropInput", checked_sizes(input_sizes, 4, "input_sizes")
    problem = _Problem(op, shape, filter.shape, attrs)
    problem.check_gradient(op, out_backprop)
    by_card = of_cards.depthwise_input_gradient(xp, problem, filter, out_backprop)
    if by_card is not None:
        return by_card
    grad = widened(with_channels_last(xp, out_backprop, problem.first))
    weights = widened(filter).reshape(*filter.shape[:2], -1)
    total = xp.empty((len(grad), *(axis.size for axis in problem.axes), grad.shape[-1]), grad.dtype)
    if not conv_library.input_gradient(xp, weights, grad, problem.axes, total):
        _to_input(xp, weights, grad, problem.axes, total)
    if problem.times != 1:
        total = total.reshape(*total.shape[:-1], filter.shape[2], problem.times).sum(axis=-1)
    return as_it_was(xp, total.astype(out_backprop.dtype, copy=False), problem.first)


def _to_input(xp: Any, weights: Any, grad: Any, axes: Sequence[Axis], total: Any) -> None:
    """Write the gradient for the input, in which each element of a filter takes its share back."""
    for parts in product(*map(phases, axes)):
        out = total[(slice(None), *(part.places for part in parts))]
        near = [part.axis for part in parts if part.axis is not None]
        if len(near) < len(parts):
            out[...] = 0
        else:
            _correlate(xp, grad, weights[tuple(part.taps for part in parts)], near, out)


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
    by_card = of_cards.depthwise_filter_gradient(xp, problem, input, out_backprop)
    if by_card is not None:
        return by_card
    grad = widened(with_channels_last(xp, out_backprop, problem.first))
    sums = (shape[0], shape[1], problem.out_shape[-1])
    if not grad.size:
        return xp.zeros(shape, input.dtype)
    x, total = problem.repeated(xp, input), xp.empty(sums, grad.dtype)
    if conv_library.filter_gradient(xp, x, grad, problem.axes, total):
        return total.reshape(shape).astype(input.dtype, copy=False)
    seen = windows_by_block(xp, x, problem.axes)
    parts, offsets = _parts(problem.axes, grad.shape, grad.itemsize), _offsets(problem.axes)

    def compute(block: Any, out: Any) -> None:
        with Workspace(xp) as take:
            view, slopes = seen(block, take), grad[block]
            share = take(slopes.shape, slopes.dtype)
            for offset in offsets:
                xp.multiply(view[(..., *offset, slice(None))], slopes, out=share)
                share.reshape(-1, share.shape[-1]).sum(axis=0, out=out[offset])

    with Workspace(xp) as take:
        summed_blocks(xp, parts, sums, grad.dtype, take, compute).sum(axis=0, out=total)
    return total.reshape(shape).astype(input.dtype, copy=False)
