"""Gradients of moving blocks and of cutting out patches."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.join import unstack
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import reshape, shape
from tfsession.ops.transpose import transpose


@gradient("SpaceToBatchND")
def _space_to_batch(op: Operation, grad: Any) -> Any:
    return create_op("BatchToSpaceND", [grad, *op.inputs[1:]]), None, None


@gradient("BatchToSpaceND")
def _batch_to_space(op: Operation, grad: Any) -> Any:
    return create_op("SpaceToBatchND", [grad, *op.inputs[1:]]), None, None


@gradient("SpaceToBatch")
def _space_to_batch_squares(op: Operation, grad: Any) -> Any:
    attrs = {"block_size": op.attrs["block_size"]}
    return create_op("BatchToSpace", [grad, op.inputs[1]], attrs), None


@gradient("BatchToSpace")
def _batch_to_space_squares(op: Operation, grad: Any) -> Any:
    attrs = {"block_size": op.attrs["block_size"]}
    return create_op("SpaceToBatch", [grad, op.inputs[1]], attrs), None


@gradient("ExtractImagePatches")
def _extract_image_patches(op: Operation, grad: Any) -> Any:
    """The pixels of patches are summed by the pixel of the image that they were taken from."""
    batch, rows, columns, channels = unstack(shape(op.inputs[0], out_type=int64))
    # Pixels are counted from one, so that padding, which is zero, counts as none.
    numbers = reshape(range_(1, rows * columns + 1, dtype=int64), [1, rows, columns, 1])
    attrs = {name: op.attrs[name] for name in ("ksizes", "strides", "rates", "padding")}
    taken = create_op("ExtractImagePatches", [numbers], attrs)
    _, high, wide, _ = op.attrs["ksizes"]
    places = unstack(shape(op.outputs[0], out_type=int64))[1:3]
    by_pixel = reshape(grad, [batch, *places, high, wide, channels])
    flat = reshape(transpose(by_pixel, [1, 2, 3, 4, 0, 5]), [-1, batch * channels])
    total = unsorted_segment_sum(flat, reshape(taken, [-1]) - 1, rows * columns)
    return transpose(reshape(total, [rows, columns, batch, channels]), [2, 0, 1, 3])
