"""The same elements in another order of dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError, UnimplementedError
from tfsession.core.rules import kernel
from tfsession.core.shape_tensor import numbers_of


@kernel("Transpose", host=["perm"], aliases=True)
def transpose(xp: Any, x: Any, perm: Any) -> Any:
    """A view with its dimensions in another order."""
    order = numbers_of(perm, "perm must be rank 1, got shape ")
    try:
        return x.transpose(order) if order else _of_rank_zero(x)
    except ValueError:
        raise _bad_order(x.ndim, order) from None


@kernel("ConjugateTranspose", host=["perm"])
def conjugate_transpose(xp: Any, x: Any, perm: Any) -> Any:
    """The complex conjugate with its dimensions in another order."""
    return xp.conjugate(transpose(xp, x, perm))


def _of_rank_zero(x: Any) -> Any:
    if x.ndim:
        raise ValueError
    return x


def _bad_order(rank: int, order: list[int]) -> InvalidArgumentError:
    if len(order) != rank:
        text = (
            f"transpose expects a vector of size {rank}. But input(1) is a vector of size "
            f"{len(order)}"
        )
    elif bad := [dim for dim in order if not -rank <= dim < rank]:
        text = f"{bad[0]} is out of range [0 .. {rank})"
    else:
        known = {dim % rank for dim in order}
        absent = next(dim for dim in range(rank) if dim not in known)
        text = f"{absent} is missing from {{{','.join(map(str, order))}}}."
    return InvalidArgumentError(None, None, text)


@kernel("InvertPermutation", host=["x"], host_outputs=["y"])
def invert_permutation(xp: Any, x: Any) -> Any:
    """Where each number stands."""
    if x.ndim != 1:
        raise InvalidArgumentError(None, None, "invert_permutation expects a 1D vector.")
    size = x.size
    outside = (x < 0) | (x >= size)
    if outside.any():
        text = f"{x[outside][0]} is not between 0 and {size}"
        raise InvalidArgumentError(None, None, text)
    result = np.full(size, -1, x.dtype)
    result[x] = np.arange(size, dtype=x.dtype)
    if (result < 0).any():
        values, counts = np.unique(x, return_counts=True)
        text = f"{values[counts > 1][0]} is duplicated in the input."
        raise InvalidArgumentError(None, None, text)
    return result


@kernel("DepthToSpace")
def depth_to_space(xp: Any, x: Any, block_size: int, data_format: bytes) -> Any:
    """Depth to blocks of the image."""
    image, order = _image_last(x, data_format)
    n, h, w, c = image.shape
    depth = c // (block_size * block_size)
    split = image.reshape(n, h, w, block_size, block_size, depth).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(n, h * block_size, w * block_size, depth).transpose(order)


@kernel("SpaceToDepth")
def space_to_depth(xp: Any, x: Any, block_size: int, data_format: bytes) -> Any:
    """Blocks of the image to depth."""
    image, order = _image_last(x, data_format)
    n, h, w, c = image.shape
    high, wide = h // block_size, w // block_size
    split = image.reshape(n, high, block_size, wide, block_size, c).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(n, high, wide, block_size * block_size * c).transpose(order)


def _image_last(x: Any, data_format: bytes) -> tuple[Any, tuple[int, ...]]:
    """The input as NHWC, and the order of dimensions that leads back."""
    if data_format == b"NHWC":
        return x, (0, 1, 2, 3)
    if data_format == b"NCHW":
        return x.transpose(0, 2, 3, 1), (0, 3, 1, 2)
    raise UnimplementedError(None, None, f"data_format {data_format.decode()} is not supported")
