"""Blocks of images moved to the batch, and back; patches cut out of images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.conv_windows import checked_axes, padded, windows
from tfsession.kernels.nn import REAL_NUMBERS


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _checked(x: Any, block_shape: Any, pairs: Any, name: str) -> tuple[list[int], list[list[int]]]:
    if block_shape.ndim != 1:
        raise _refuse(f"block_shape rank should be 1 instead of {block_shape.ndim}")
    blocks, amounts = block_shape.tolist(), pairs.tolist()
    if x.ndim < 1 + len(blocks):
        raise _refuse(f"input rank should be >= {1 + len(blocks)} instead of {x.ndim}")
    if pairs.shape != (len(blocks), 2):
        raise _refuse(f"{name} should have shape [{len(blocks)}, 2] instead of "
                      f"{debug_string(pairs.shape)}")  # fmt: skip
    if blocks and min(blocks) < 1:
        raise _refuse(f"All values in block_shape must be positive, got value {min(blocks)}")
    if any(amount < 0 for pair in amounts for amount in pair):
        raise _refuse(f"{name} must be non-negative, got {amounts}")
    return blocks, amounts


@kernel("SpaceToBatchND", types={"T": REAL_NUMBERS}, host=["block_shape", "paddings"])
def space_to_batch(xp: Any, input: Any, block_shape: Any, paddings: Any) -> Any:
    """The positions in a block before the batch, in order of the block's dimensions."""
    blocks, pairs = _checked(input, block_shape, paddings, "paddings")
    count = len(blocks)
    sizes = [n + sum(pair) for n, pair in zip(input.shape[1:], pairs, strict=False)]
    for i, (size, block) in enumerate(zip(sizes, blocks, strict=True)):
        if size % block:
            raise _refuse(f"padded_shape[{i}]={size} is not divisible by block_shape[{i}]={block}")
    rest = input.shape[count + 1 :]
    if any(map(any, pairs)):
        whole = xp.zeros((input.shape[0], *sizes, *rest), input.dtype)
        inside = (slice(b, b + n) for (b, _), n in zip(pairs, input.shape[1:], strict=False))
        whole[(slice(None), *inside)] = input
    else:
        whole = input
    split = [n for size, block in zip(sizes, blocks, strict=True) for n in (size // block, block)]
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2)]
    parts = whole.reshape(input.shape[0], *split, *rest)
    parts = parts.transpose(*order, *range(2 * count + 1, parts.ndim))
    batch = input.shape[0] * math.prod(blocks)
    smaller = [size // block for size, block in zip(sizes, blocks, strict=True)]
    return xp.array(parts).reshape(batch, *smaller, *rest)


@kernel("BatchToSpaceND", types={"T": REAL_NUMBERS}, host=["block_shape", "crops"])
def batch_to_space(xp: Any, input: Any, block_shape: Any, crops: Any) -> Any:
    """The positions in a block taken from before the batch to their places."""
    blocks, pairs = _checked(input, block_shape, crops, "crops")
    count, product = len(blocks), math.prod(blocks)
    if input.shape[0] % product:
        raise _refuse(
            f"Input batch dimension ({input.shape[0]}) is not divisible by product of block sizes "
            f"({product})"
        )
    sizes, rest = input.shape[1 : count + 1], input.shape[count + 1 :]
    larger = [size * block for size, block in zip(sizes, blocks, strict=True)]
    for i, (size, pair) in enumerate(zip(larger, pairs, strict=True)):
        if size < sum(pair):
            raise _refuse(f"cropped_shape[{i}]={size - sum(pair)} must be non-negative")
    batch = input.shape[0] // product
    parts = input.reshape(*blocks, batch, *sizes, *rest)
    order = [count]
    for i in range(count):
        order += [count + 1 + i, i]
    parts = parts.transpose(*order, *range(2 * count + 1, parts.ndim))
    whole = parts.reshape(batch, *larger, *rest)
    inside = (slice(b, n - a) for (b, a), n in zip(pairs, larger, strict=True))
    return xp.array(whole[(slice(None), *inside)])


def _square(block_size: int) -> Any:
    return np.array([block_size, block_size])


@kernel("SpaceToBatch", types={"T": REAL_NUMBERS}, host=["paddings"])
def space_to_batch_squares(xp: Any, input: Any, paddings: Any, *, block_size: int) -> Any:
    """As SpaceToBatchND, for square blocks of images."""
    return space_to_batch(xp, input, _square(block_size), paddings)


@kernel("BatchToSpace", types={"T": REAL_NUMBERS}, host=["crops"])
def batch_to_space_squares(xp: Any, input: Any, crops: Any, *, block_size: int) -> Any:
    """As BatchToSpaceND, for square blocks of images."""
    return batch_to_space(xp, input, _square(block_size), crops)


@kernel("ExtractImagePatches")
def extract_image_patches(
    xp: Any,
    images: Any,
    ksizes: list[int],
    strides: list[int],
    rates: list[int],
    padding: bytes,
) -> Any:
    """Each patch as one pixel; zeros stand where it leaves the image."""
    if images.ndim != 4:
        raise _refuse(f"input must be 4-dimensional{debug_string(images.shape)}")
    axes = checked_axes(images.shape[1:3], ksizes[1:3], strides[1:3], rates[1:3], padding)
    view = windows(xp, padded(xp, images, axes), axes)
    return xp.array(view).reshape(*view.shape[:3], math.prod(view.shape[3:]))
