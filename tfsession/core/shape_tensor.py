"""Shapes and lists of numbers that come as tensors, so that only a step sees what they are."""

from __future__ import annotations

import math
from typing import Any, Final

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.shape import debug_string

MOST_DIMENSIONS: Final = 254
_MOST_ELEMENTS: Final = (1 << 63) - 1


def sizes_of(
    shape: Any, text: str = "shape must be a vector of {int32,int64}, got shape "
) -> tuple[list[int], int]:
    """The sizes that a tensor holds, a list of ints, and how many elements they make.

    `text` is what TensorFlow's op says when it is no vector, followed by its shape.

    Raises:
        InvalidArgumentError: no vector, too long a one, a negative size, too many elements.
    """
    if shape.ndim != 1:
        raise InvalidArgumentError(None, None, text + debug_string(shape.shape))
    sizes: list[int] = shape.tolist()
    if len(sizes) > MOST_DIMENSIONS:
        raise InvalidArgumentError(None, None, "Too many dimensions")
    count = math.prod(sizes)
    if sizes and min(sizes) < 0:
        negative = next(size for size in sizes if size < 0)
        raise InvalidArgumentError(None, None, f"Dimension {negative} must be >= 0")
    if count > _MOST_ELEMENTS:
        text = f"Shape {debug_string(tuple(sizes))} would have more than 2**63 - 1 elements"
        raise InvalidArgumentError(None, None, text)
    return sizes, count


def numbers_of(vector: Any, text: str) -> list[int]:
    """The elements of a vector of integers; raises InvalidArgumentError as `sizes_of` does."""
    if vector.ndim != 1:
        raise InvalidArgumentError(None, None, text + debug_string(vector.shape))
    found: list[int] = vector.tolist()
    return found
