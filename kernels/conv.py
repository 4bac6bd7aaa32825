"""Convolutions and their gradients, with groups and in each layout; halves in float32.

Windows of one element are rows of a matrix as they lie. Others are copied to one, or where that is
less work, are multiplied at points of polynomials. A GPU has kernels of its own for both, if there
is what compiles them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product, takewhile
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import fuser, kernel
from tfsession.core.shape import debug_string
from tfsession.core.windows import Axis, spatial_axes
from tfsession.devices.onednn import dnn_library
from tfsession.kernels import conv_library, conv_patches, conv_windows, conv_winograd
from tfsession.kernels.conv_windows import (
    Done,
    Kept,
    Pieces,
    Then,
    as_it_was,
    checked_axes,
    with_channels_last,
)
from tfsession.kernels.cuda import conv as of_cards
from tfsession.kernels.matmul import multiply
from tfsession.kernels.nn import widened


def refuse(text: str) -> InvalidArgumentError:
    """The error of a kernel that cannot take its inputs."""
    return InvalidArgumentError(None, None, text)


def checked_sizes(sizes: Any, rank: int, name: str) -> list[int]:
    """The elements of a shape given as a vector; raises InvalidArgumentError unless it is one."""
    found: list[int] = [int(size) for size in sizes.reshape(-1).tolist()]
    if sizes.ndim != 1 or len(found) != rank or min(found) < 0:
        raise refuse(f"{name} must be a vector of {rank} sizes, not {sizes.tolist()}")
    return found


def geometry(
    op: str,
    shape: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    padding: bytes,
    explicit: Sequence[int],
    data_format: bytes,
    dilations: Sequence[int],
) -> list[Axis]:
    """The axes along which the filters move over an input of this shape."""
    spatial, channel = spatial_axes(data_format, len(shape))
    for values, what in ((strides, "strides"), (dilations, "dilations")):
        if len(values) != len(shape):
            raise refuse(f"Sliding window {what} field must specify {len(shape)} dimensions")
        if values[0] != 1 or values[channel] != 1:
            raise refuse(
                f"Current implementation does not yet support {what} in the batch and depth "
                f"dimensions ({op})."
            )
    pairs = list(zip(explicit[::2], explicit[1::2], strict=True))
    return checked_axes(
        [shape[d] for d in spatial],
        extents,
        [strides[d] for d in spatial],
        [dilations[d] for d in spatial],
        padding,
        [pairs[d] for d in spatial] if padding == b"EXPLICIT" else None,
    )


def refuse_bad_gradient(found: Sequence[int], wanted: Sequence[int], what: str) -> None:
    """Raise InvalidArgumentError unless a gradient has the shape of what it belongs to."""
    if tuple(found) != tuple(wanted):
        raise refuse(
            f"{what}: Size of out_backprop doesn't match computed: actual = "
            f"{debug_string(tuple(found))}, computed = {debug_string(tuple(wanted))}"
        )


class _Problem:
    """What a convolution and its two gradients have in common."""

    def __init__(
        self, op: str, shape: Sequence[int], filters: Sequence[int], attrs: dict[str, Any]
    ) -> None:
        data_format = attrs["data_format"]
        rank = len(shape)
        if len(filters) != rank:
            raise refuse(f"{op}: input and filter must have one rank, not {rank}, {len(filters)}")
        self.channels_first = data_format.startswith(b"NC")
        self.batch, self.depth = shape[0], shape[spatial_axes(data_format, rank)[1]]
        self.filters = tuple(filters)
        *extents, self.group_depth, self.out_depth = filters
        if self.group_depth <= 0 or self.depth % self.group_depth:
            raise refuse(
                f"input depth must be evenly divisible by filter depth: {self.depth} vs "
                f"{self.group_depth}"
            )
        self.groups = self.depth // self.group_depth
        if self.groups and self.out_depth % self.groups:
            raise refuse(
                f"output depth {self.out_depth} must be a multiple of {self.groups} groups"
            )
        if 0 in extents:
            raise refuse(f"{op}: filter must not have zero elements: {debug_string(self.filters)}")
        found = geometry(
            op, shape, extents, attrs["strides"], attrs["padding"],
            attrs.get("explicit_paddings", ()), data_format, attrs["dilations"],
        )  # fmt: skip
        self.axes = tuple(found)
        self.counts = tuple(axis.steps for axis in self.axes)
        self.sizes = tuple(axis.size for axis in self.axes)
        self.out_shape = (self.batch, *self.counts, self.out_depth)

    def check_gradient(self, op: str, grad: Any) -> None:
        """Raise InvalidArgumentError unless the array may be a gradient of the output."""
        wanted = self.out_shape
        if self.channels_first:
            wanted = (wanted[0], wanted[-1], *wanted[1:-1])
        refuse_bad_gradient(grad.shape, wanted, op)

    def parts(self) -> list[tuple[slice, slice]]:
        """The channels of the input and of the output that belong to each group."""
        n, m = self.group_depth, self.out_depth // max(self.groups, 1)
        return [(slice(g * n, g * n + n), slice(g * m, g * m + m)) for g in range(self.groups)]


@lru_cache(maxsize=1024)
def _known(op: str, shape: Any, filters: Any, attrs: tuple[tuple[str, Any], ...]) -> _Problem:
    return _Problem(op, shape, filters, dict(attrs))


def _problem(op: str, shape: Any, filters: Any, attrs: dict[str, Any]) -> _Problem:
    """The problem of these sizes: most come again with each step."""
    hashable = ((k, tuple(v) if isinstance(v, list) else v) for k, v in attrs.items())
    return _known(op, tuple(shape), tuple(filters), tuple(hashable))


# --- the three products ---------------------------------------------------------------------------


def correlate(
    xp: Any, x: Any, w: Any, axes: Sequence[Axis], kept: Kept = None, then: Then = None
) -> Any:
    """The sums over each window of `x`, channels last, times the filters `w`.

    What is made of filters that are constants is `kept`; `then(out)` gives what is called with the
    index of each block of the result, images and rows, once that is written.
    """
    depth, out_depth = w.shape[-2:]
    shape = (x.shape[0], *(axis.steps for axis in axes), out_depth)
    result = xp.empty(shape, x.dtype)
    done = None if then is None else then(result)
    if all(axis.is_identity for axis in axes):
        rows = x.reshape(-1, depth), w.reshape(depth, out_depth)
        multiply(xp, *rows, out=result.reshape(-1, out_depth))
        if done is not None:
            conv_windows.for_blocks(xp, result, done)
    else:
        _write(xp, x, w, axes, result, kept, done)
    return result


def _write(
    xp: Any,
    x: Any,
    w: Any,
    axes: Sequence[Axis],
    out: Any,
    kept: Kept = None,
    done: Done = None,
) -> None:
    """Write to `out` what `correlate` gives."""
    if not out.size:
        return
    if not w.size:
        out[...] = 0
        if done is not None:
            conv_windows.for_blocks(xp, out, done)
        return
    key = tuple(axes), x.shape[0], *w.shape[-2:], x.dtype
    suits = conv_winograd.suits(xp, *key, conv_library.suits(xp, x, w, axes, out))
    if suits and conv_winograd.correlate(xp, x, w, axes, out, kept, done):
        return
    if not conv_library.correlate(xp, x, w, axes, out, kept, done):
        conv_patches.correlate(xp, x, w, axes, out, done)


def filter_gradient(xp: Any, x: Any, grad: Any, axes: Sequence[Axis]) -> Any:
    """The gradient for filters, as a matrix of one column a filter."""
    depth, out_depth = x.shape[-1], grad.shape[-1]
    if all(axis.is_identity for axis in axes):
        return multiply(xp, x.reshape(-1, depth).T, grad.reshape(-1, out_depth))
    if not grad.size or not depth:
        return xp.zeros((math.prod(axis.extent for axis in axes) * depth, out_depth), x.dtype)
    if conv_winograd.suits(xp, tuple(axes), x.shape[0], depth, out_depth, x.dtype):
        result = conv_winograd.filter_gradient(xp, x, grad, axes)
        if xp.isfinite(result).all():
            return result
    if dnn_library(xp, x, grad) is not None:
        result = xp.empty((*(axis.extent for axis in axes), depth, out_depth), x.dtype)
        if conv_library.filter_gradient(xp, x, grad, axes, result):
            return result.reshape(-1, out_depth)
    return conv_patches.filter_gradient(xp, x, grad, axes)


def input_gradient(xp: Any, w: Any, grad: Any, axes: Sequence[Axis], then: Then = None) -> Any:
    """The gradient for the input, channels last; `then` as for `correlate`."""
    depth, out_depth = w.shape[-2:]
    shape = (grad.shape[0], *(axis.size for axis in axes), depth)
    if not grad.size or not depth:
        result = xp.zeros(shape, grad.dtype)
    elif all(axis.is_identity for axis in axes):
        rows = multiply(xp, grad.reshape(-1, out_depth), w.reshape(depth, out_depth).T)
        result = rows.reshape(shape)
    elif conv_patches.is_thin(w):
        result = conv_patches.scattered(xp, w, grad, axes)
    elif all(axis.stride == 1 for axis in axes):
        result = xp.empty(shape, grad.dtype)
        _write_phases(xp, w, grad, axes, result, None if then is None else then(result))
        return result
    else:
        # Windows that move by more are several convolutions, or one call.
        result = xp.empty(shape, grad.dtype)
        if not conv_library.input_gradient(xp, w, grad, axes, result):
            _write_phases(xp, w, grad, axes, result)
    if then is not None and result.size:
        conv_windows.for_blocks(xp, result, then(result))
    return result


def _write_phases(
    xp: Any, w: Any, grad: Any, axes: Sequence[Axis], result: Any, done: Done = None
) -> None:
    """Write the gradient for the input, of each place in the strides; `done` if there is one."""
    for parts in product(*map(conv_patches.phases, axes)):
        out = result[(slice(None), *(part.places for part in parts))]
        near = [part.axis for part in parts if part.axis is not None]
        if len(near) < len(parts):
            out[...] = 0
            continue
        turned = w[tuple(part.taps for part in parts)].swapaxes(-1, -2)
        _write(xp, grad, xp.ascontiguousarray(turned), near, out, None, done)


# --- forward and back, with groups and layouts ----------------------------------------------------


def _joined(xp: Any, parts: list[Any], axis: int) -> Any:
    return parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=axis)


def _forward(
    xp: Any, op: str, x: Any, w: Any, attrs: dict[str, Any], kept: Kept = None, then: Then = None
) -> Any:
    problem = _problem(op, x.shape, w.shape, attrs)
    by_card = of_cards.forward(xp, problem, x, w) if then is None else None
    if by_card is not None:
        return by_card
    if problem.groups == 1 and not problem.channels_first and x.dtype == w.dtype == "float32":
        return correlate(xp, x, w, problem.axes, kept, then)
    if then is not None:
        return None
    wide = widened(with_channels_last(xp, x, problem.channels_first))
    filters = widened(w)
    found = [
        correlate(xp, wide[..., taken], filters[..., given], problem.axes)
        for taken, given in problem.parts()
    ] or [xp.zeros(problem.out_shape, wide.dtype)]
    result = _joined(xp, found, -1).astype(x.dtype, copy=False)
    return as_it_was(xp, result, problem.channels_first)


def _to_input(
    xp: Any,
    op: str,
    sizes: Any,
    w: Any,
    grad: Any,
    attrs: dict[str, Any],
    then: Then = None,
) -> Any:
    shape = _whole_shape(checked_sizes(sizes, grad.ndim, "input_sizes") if sizes.size != 2
                         else sizes.tolist(), grad, w, attrs)  # fmt: skip
    problem = _problem(op, shape, w.shape, attrs)
    problem.check_gradient(op, grad)
    by_card = of_cards.input_gradient(xp, problem, w, grad) if then is None else None
    if by_card is not None:
        return by_card
    if problem.groups == 1 and not problem.channels_first and grad.dtype == w.dtype == "float32":
        return input_gradient(xp, w, grad, problem.axes, then)
    if then is not None:
        return None
    wide = widened(with_channels_last(xp, grad, problem.channels_first))
    filters = widened(w)
    found = [
        input_gradient(xp, filters[..., given], wide[..., given], problem.axes)
        for _, given in problem.parts()
    ] or [xp.zeros((problem.batch, *problem.sizes, 0), wide.dtype)]
    result = _joined(xp, found, -1).astype(grad.dtype, copy=False)
    return as_it_was(xp, result, problem.channels_first)


def _whole_shape(sizes: list[int], grad: Any, w: Any, attrs: dict[str, Any]) -> list[int]:
    """The shape of the input; where only its height and width are given, the rest follows."""
    if len(sizes) == grad.ndim:
        return sizes
    depth = w.shape[-2]
    if attrs["data_format"].startswith(b"NC"):
        return [grad.shape[0], depth, *sizes]
    return [grad.shape[0], *sizes, depth]


def _to_filter(xp: Any, op: str, x: Any, sizes: Any, grad: Any, attrs: dict[str, Any]) -> Any:
    shape = checked_sizes(sizes, x.ndim, "filter_sizes")
    problem = _problem(op, x.shape, shape, attrs)
    problem.check_gradient(op, grad)
    by_card = of_cards.filter_gradient(xp, problem, x, grad)
    if by_card is not None:
        return by_card.reshape(shape)
    wide = widened(with_channels_last(xp, x, problem.channels_first))
    slopes = widened(with_channels_last(xp, grad, problem.channels_first))
    found = [
        filter_gradient(xp, wide[..., taken], slopes[..., given], problem.axes)
        for taken, given in problem.parts()
    ] or [xp.zeros(shape, wide.dtype)]
    return _joined(xp, found, -1).reshape(shape).astype(x.dtype, copy=False)


@fuser("convolution")
def with_epilogue(xp: Any, op: str, attrs: dict[str, Any]) -> Callable[..., Any]:
    """What gives a convolution with what is done to it, or None; see `kernels.cuda.conv`."""

    def computed(x: Any, w: Any, epilogue: int, bias: Any) -> Any:
        problem = _problem(op, x.shape, w.shape, attrs)
        return of_cards.forward(xp, problem, x, w, epilogue, bias)

    return computed


@fuser("pieces")
def pieces(attrs: dict[str, Any], shape: Any, w: Any, added: Sequence[Any]) -> Pieces | None:
    """A convolution of images of the host in pieces; None where it is not computed so.

    Args:
        attrs: of the operation.
        shape: of the images.
        w: the filters.
        added: the shapes of what is added to the result in turn.
    """
    problem = _problem("Conv2D", shape, w.shape, attrs)
    axes = problem.axes
    if problem.groups != 1 or problem.channels_first or w.dtype != "float32":
        return None
    if 0 in (*problem.out_shape, *shape) or all(axis.is_identity for axis in axes):
        return None
    fit = (problem.out_depth,), problem.out_shape
    whole = [len(size) > 1 for size in takewhile(fit.__contains__, added)]
    by_library = conv_library.pieces(tuple(shape), w, axes, whole)
    key = axes, problem.batch, *w.shape[-2:], w.dtype
    if conv_winograd.suits(np, *key, by_library is not None):
        return conv_winograd.pieces(problem.batch, w, axes)
    return by_library


@kernel("Conv2D", keeps=["filter"])
def conv2d(
    xp: Any,
    input: Any,
    filter: Any,
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
    data_format: bytes,
    dilations: list[int],
    kept: Kept = None,
    then: Then = None,
) -> Any:
    """The convolution of images with filters.

    Where `then` is given, what it gives for the result is called with the index of each block of it
    that is written, while that is in the cache; None where results are not written so.
    """
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
                 "data_format": data_format, "dilations": dilations}  # fmt: skip
    return _forward(xp, "Conv2D", input, filter, attrs, kept, then)


@kernel("Conv2DBackpropInput", host=["input_sizes"])
def conv2d_backprop_input(
    xp: Any,
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    strides: list[int],
    padding: bytes,
    explicit_paddings: list[int],
    data_format: bytes,
    dilations: list[int],
    then: Then = None,
) -> Any:
    """The gradient of a convolution for its input; `then` as of that."""
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
                 "data_format": data_format, "dilations": dilations}  # fmt: skip
    return _to_input(xp, "Conv2DBackpropInput", input_sizes, filter, out_backprop, attrs, then)


@kernel("Conv2DBackpropFilter", host=["filter_sizes"])
def conv2d_backprop_filter(
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
    """The gradient of a convolution for its filters."""
    attrs = {"strides": strides, "padding": padding, "explicit_paddings": explicit_paddings,
                 "data_format": data_format, "dilations": dilations}  # fmt: skip
    return _to_filter(xp, "Conv2DBackpropFilter", input, filter_sizes, out_backprop, attrs)


@kernel("Conv3D", keeps=["filter"])
def conv3d(
    xp: Any,
    input: Any,
    filter: Any,
    strides: list[int],
    padding: bytes,
    data_format: bytes,
    dilations: list[int],
    kept: Kept = None,
) -> Any:
    """The convolution of volumes with filters."""
    attrs = {
        "strides": strides,
        "padding": padding,
        "data_format": data_format,
        "dilations": dilations,
    }
    return _forward(xp, "Conv3D", input, filter, attrs, kept)


@kernel("Conv3DBackpropInputV2", host=["input_sizes"])
def conv3d_backprop_input(
    xp: Any,
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    strides: list[int],
    padding: bytes,
    data_format: bytes,
    dilations: list[int],
) -> Any:
    """The gradient of a convolution of volumes for its input."""
    attrs = {
        "strides": strides,
        "padding": padding,
        "data_format": data_format,
        "dilations": dilations,
    }
    return _to_input(xp, "Conv3DBackpropInputV2", input_sizes, filter, out_backprop, attrs)


@kernel("Conv3DBackpropFilterV2", host=["filter_sizes"])
def conv3d_backprop_filter(
    xp: Any,
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: list[int],
    padding: bytes,
    data_format: bytes,
    dilations: list[int],
) -> Any:
    """The gradient of a convolution of volumes for its filters."""
    attrs = {
        "strides": strides,
        "padding": padding,
        "data_format": data_format,
        "dilations": dilations,
    }
    return _to_filter(xp, "Conv3DBackpropFilterV2", input, filter_sizes, out_backprop, attrs)
