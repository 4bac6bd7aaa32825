"""Blocks of images moved to the batch, and back; patches cut out of images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.core.windows import positions
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import zeros
from tfsession.ops.join import stack
from tfsession.ops.shape import renamed

Dim = int | None


def _divided(size: Dim, divisor: int) -> Dim:
    if size is None:
        return None
    if size % divisor:
        raise ValueError(f"Dimension size must be evenly divisible by {divisor} but is {size}")
    return size // divisor


def _blocks_of(op: Operation, what: str) -> tuple[Shape, int, Any, Any] | None:
    """Input shape, number of block dimensions, block sizes and pairs; None where unknown."""
    x, sizes, pairs = op.inputs
    if sizes._shape is None or len(sizes._shape) != 1:
        raise ValueError("block_shape must have rank 1.")
    count = sizes._shape[0]
    if count is None:
        return None
    with_rank_at_least(x._shape, count + 1)
    merge(pairs._shape, (count, 2))
    blocks, amounts = constant_value(sizes), constant_value(pairs)
    if blocks is not None and blocks.size and blocks.min() < 1:
        raise ValueError("block_shape must be positive")
    if amounts is not None and amounts.size and amounts.min() < 0:
        raise ValueError(f"{what} cannot be negative")
    return x._shape, count, blocks, amounts


def _to_batch_shape(op: Operation) -> list[Shape]:
    known = _blocks_of(op, "paddings")
    if known is None or known[0] is None:
        return [None]
    return _moved_to_batch(*known)


def _moved_to_batch(shape: Shape, count: int, blocks: Any, pads: Any) -> list[Shape]:
    assert shape is not None
    batch: Dim = None
    if blocks is not None and shape[0] is not None:
        batch = shape[0] * math.prod(blocks.tolist())
    sizes: list[Dim] = [None] * count
    if blocks is not None and pads is not None:
        for i, size in enumerate(shape[1 : count + 1]):
            whole = None if size is None else size + int(pads[i].sum())
            sizes[i] = _divided(whole, int(blocks[i]))
    return [(batch, *sizes, *shape[count + 1 :])]


def _from_batch_shape(op: Operation) -> list[Shape]:
    known = _blocks_of(op, "crops")
    if known is None or known[0] is None:
        return [None]
    return _moved_from_batch(*known)


def _moved_from_batch(shape: Shape, count: int, blocks: Any, crops: Any) -> list[Shape]:
    assert shape is not None
    batch: Dim = None
    if blocks is not None:
        batch = _divided(shape[0], math.prod(blocks.tolist()))
    sizes: list[Dim] = [None] * count
    if blocks is not None and crops is not None:
        for i, size in enumerate(shape[1 : count + 1]):
            if size is not None:
                whole, taken = size * int(blocks[i]), int(crops[i].sum())
                if taken > whole:
                    raise ValueError(
                        f"Negative dimension size caused by subtracting {taken} from {whole}"
                    )
                sizes[i] = whole - taken
    return [(batch, *sizes, *shape[count + 1 :])]


define_op(
    "SpaceToBatchND",
    ["input: T", "block_shape: Tblock_shape", "paddings: Tpaddings"],
    ["output: T"],
    [
        "T: type",
        "Tblock_shape: {int32, int64} = DT_INT32",
        "Tpaddings: {int32, int64} = DT_INT32",
    ],
    _to_batch_shape,
)
define_op(
    "BatchToSpaceND",
    ["input: T", "block_shape: Tblock_shape", "crops: Tcrops"],
    ["output: T"],
    ["T: type", "Tblock_shape: {int32, int64} = DT_INT32", "Tcrops: {int32, int64} = DT_INT32"],
    _from_batch_shape,
)


def _square_shape(shape: Any) -> Any:
    """The shape function of the older op, whose blocks are squares, by that of the newer one."""

    def infer(op: Operation) -> list[Shape]:
        x, pairs = with_rank(op.inputs[0]._shape, 4), merge(op.inputs[1]._shape, (2, 2))
        assert x is not None
        size, amounts = op.attrs["block_size"], constant_value(op.inputs[1])
        return shape(x, 2, np.array([size, size]), amounts if pairs else None)

    return infer


define_op(
    "SpaceToBatch",
    ["input: T", "paddings: Tpaddings"],
    ["output: T"],
    ["T: type", "Tpaddings: {int32, int64} = DT_INT32", "block_size: int >= 2"],
    _square_shape(_moved_to_batch),
)
define_op(
    "BatchToSpace",
    ["input: T", "crops: Tidx"],
    ["output: T"],
    ["T: type", "block_size: int >= 2", "Tidx: {int32, int64} = DT_INT32"],
    _square_shape(_moved_from_batch),
)


def _patches_shape(op: Operation) -> list[Shape]:
    shape = with_rank(op.inputs[0]._shape, 4)
    assert shape is not None
    extents, strides, rates = (op.attrs[name] for name in ("ksizes", "strides", "rates"))
    for name, values in (("ksizes", extents), ("strides", strides), ("rates", rates)):
        if len(values) != 4:
            raise ValueError(
                f"ExtractImagePatches requires the {name} attribute to contain 4 values, but got: "
                f"{len(values)}"
            )
    sizes = [
        positions(shape[d], extents[d], strides[d], rates[d], op.attrs["padding"]) for d in (1, 2)
    ]
    depth = None if shape[3] is None else shape[3] * extents[1] * extents[2]
    return [(shape[0], *sizes, depth)]


define_op(
    "ExtractImagePatches",
    ["images: T"],
    ["patches: T"],
    [
        "ksizes: list(int) >= 4",
        "strides: list(int) >= 4",
        "rates: list(int) >= 4",
        "T: {bfloat16, half, float, double, int8, int16, int32, int64, uint8, uint16, uint32, "
        "uint64, complex64, complex128, bool}",
        "padding: {'SAME', 'VALID'}",
    ],
    _patches_shape,
)


# --- batches --------------------------------------------------------------------------------------


@export("space_to_batch_nd", "manip.space_to_batch_nd")
def space_to_batch_nd(
    input: Any, block_shape: Any, paddings: Any, name: str | None = None
) -> Tensor:
    """`input` with the positions in each block of its dimensions 1... moved to the batch.

    Args:
        input: tensor of shape `[batch, *spatial, ...]`.
        block_shape: vector of m block sizes, for the first m spatial dimensions.
        paddings: `[m, 2]`: zeros before and after, so that blocks fill each dimension.
        name: name of the operation.

    Raises:
        ValueError, or InvalidArgumentError at run time: blocks do not fit.
    """
    result: Tensor = create_op("SpaceToBatchND", [input, block_shape, paddings], name=name)
    return result


@export("batch_to_space_nd", "manip.batch_to_space_nd")
def batch_to_space_nd(input: Any, block_shape: Any, crops: Any, name: str | None = None) -> Tensor:
    """The reverse of `space_to_batch_nd`; `crops` is taken off at the ends.

    Raises:
        ValueError, or InvalidArgumentError at run time: blocks do not fit.
    """
    result: Tensor = create_op("BatchToSpaceND", [input, block_shape, crops], name=name)
    return result


@export("space_to_batch", "nn.space_to_batch")
def space_to_batch(
    input: Any,
    paddings: Any,
    block_size: Any = None,
    name: str | None = None,
    block_shape: Any = None,
) -> Tensor:
    """`space_to_batch_nd` of images, with square blocks; `block_shape` is a name of their size."""
    size = renamed("block_shape", block_shape, "block_size", block_size)
    blocks = np.array([size, size], np.int64)
    result = space_to_batch_nd(input, blocks, paddings, name)
    result.set_shape(result.shape.with_rank(4))
    return result


@export("batch_to_space")
def batch_to_space(
    input: Any,
    crops: Any,
    block_size: Any,
    name: str | None = None,
    block_shape: Any = None,
) -> Tensor:
    """`batch_to_space_nd` of images, with square blocks; `block_shape` is a name of their size."""
    size = renamed("block_shape", block_shape, "block_size", block_size)
    blocks = np.array([size, size], np.int64)
    result = batch_to_space_nd(input, blocks, crops, name)
    result.set_shape(result.shape.with_rank(4))
    return result


@export("required_space_to_batch_paddings")
def required_space_to_batch_paddings(
    input_shape: Any, block_shape: Any, base_paddings: Any = None, name: str | None = None
) -> tuple[Any, Any]:
    """Paddings for `space_to_batch_nd` that make blocks fit, and crops that take them off again.

    Args:
        input_shape: vector of m sizes.
        block_shape: vector of m block sizes.
        base_paddings: `[m, 2]`: paddings that there are anyway; None for none.
        name: name of the operations' scope.
    """
    graph = graph_of((input_shape, block_shape, base_paddings))
    with (
        graph.as_default(),
        graph.name_scope(name or "required_space_to_batch_paddings"),
    ):
        sizes: Any = convert_to_tensor(input_shape, int32, name="input_shape")
        blocks: Any = convert_to_tensor(block_shape, int32, name="block_shape")
        blocks.shape.assert_is_fully_defined()
        blocks.shape.assert_has_rank(1)
        count = blocks.shape.as_list()[0]
        if count == 0:
            return zeros([0, 2], int32), zeros([0, 2], int32)
        sizes.shape.assert_is_compatible_with([count])
        base: Any
        if base_paddings is None:
            base = zeros([count, 2], int32)
        else:
            base = convert_to_tensor(base_paddings, int32, name="base_paddings")
            base.shape.assert_is_compatible_with([count, 2])
        values = [constant_value(x) for x in (sizes, blocks, base)]
        if all(v is not None for v in values):
            sizes, blocks, base = values
        start, end = base[:, 0], base[:, 1]
        whole = sizes + start + end
        extra = (blocks - whole % blocks) % blocks
        end = end + extra
        pads = stack([[start[i], end[i]] for i in range(count)], name="paddings")
        crops = stack([[0, extra[i]] for i in range(count)], name="crops")
        return pads, crops


# --- patches --------------------------------------------------------------------------------------


@export("extract_image_patches", "image.extract_image_patches")
def extract_image_patches(
    images: Any,
    ksizes: Any = None,
    strides: Any = None,
    rates: Any = None,
    padding: str | None = None,
    name: str | None = None,
    sizes: Any = None,
) -> Tensor:
    """Patches of images, each as the channels of one pixel: rows, columns, channels.

    Args:
        images: `[batch, height, width, channels]`.
        ksizes: `[1, rows, columns, 1]` of a patch.
        strides: `[1, rows, columns, 1]` from a patch to the next.
        rates: `[1, rows, columns, 1]` from a pixel of a patch to the next.
        padding: "SAME" or "VALID".
        name: name of the operation.
        sizes: another name of `ksizes`.

    Raises:
        ValueError: the patches do not fit.
    """
    ksizes = renamed("sizes", sizes, "ksizes", ksizes)
    attrs = {"ksizes": ksizes, "strides": strides, "rates": rates, "padding": padding}
    result: Tensor = create_op("ExtractImagePatches", [images], attrs, name)
    return result


@export("image.extract_patches")
def extract_patches(
    images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: str | None = None
) -> Tensor:
    """`extract_image_patches` under its later name."""
    return extract_image_patches(images, sizes, strides, rates, padding, name)
