"""What is asked of the shapes of images: at once where the graph tells, else when a step runs."""

from __future__ import annotations

from typing import Any

from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.check import assert_equal, assert_greater_equal, assert_positive
from tfsession.ops.constant import with_dependencies
from tfsession.ops.control import assert_
from tfsession.ops.join import unstack
from tfsession.ops.shape import expand_dims, rank, shape
from tfsession.ops.variables import Variable


def is_tensor(value: Any) -> bool:
    """Whether only a step can tell the value."""
    return isinstance(value, Tensor | Variable)


def dimensions(image: Tensor, rank: int) -> list[Any]:
    """The sizes of an image: numbers where the graph tells them, else scalars."""
    if image.shape.is_fully_defined():
        known: list[Any] = image.shape.as_list()
        return known
    told = image.shape.with_rank(rank).as_list()
    found = unstack(shape(image), rank)
    return [d if s is None else s for s, d in zip(told, found, strict=True)]


def requirement(condition: Any, message: str) -> list[Operation]:
    """What checks a condition in a step; nothing where it is known to hold.

    Raises:
        ValueError: it is known not to hold.
    """
    if is_tensor(condition):
        return [assert_(condition, [message])]
    if not condition:
        raise ValueError(message)
    return []


def not_empty(image: Tensor) -> list[Operation]:
    """What checks in a step that the last three dimensions are there, and not zero.

    Raises:
        ValueError: they are known not to be.
    """
    told = image.shape
    if told.ndims is None:
        told = told.with_rank(3)
    elif told.ndims < 3:
        raise ValueError(f"'image' (shape {image.shape}) must be at least three-dimensional.")
    if 0 in told.as_list()[-3:]:
        raise ValueError(f"inner 3 dims of 'image.shape' must be > 0: {told}")
    if told[-3:].is_fully_defined():
        return []
    return [
        assert_positive(shape(image)[-3:], ["inner 3 dims of 'image.shape' must be > 0."]),
        assert_greater_equal(rank(image), 3, message="'image' must be at least three-dimensional."),
    ]


def gray(image: Tensor) -> list[Operation]:
    """What checks in a step that there is one channel.

    Raises:
        ValueError: there is known to be none, or more.
    """
    told = image.shape
    if told.ndims is None:
        told = told.with_rank(2)
    elif told.ndims < 2:
        raise ValueError(f"A grayscale image (shape {told}) must be at least two-dimensional.")
    text = "Last dimension of a grayscale image should be size 1."
    if told.is_fully_defined():
        if told.as_list()[-1] != 1:
            raise ValueError(text)
        return []
    return [
        assert_equal(shape(image)[-1], 1, message=text),
        assert_greater_equal(
            rank(image), 3, message="A grayscale image must be at least two-dimensional."
        ),
    ]


def checked(image: Tensor) -> Tensor:
    """The image, once `not_empty` holds."""
    result: Tensor = with_dependencies(not_empty(image), image)
    return result


def as_batch(image: Tensor) -> tuple[Tensor, bool]:
    """The image as a batch, and whether it was one.

    Raises:
        ValueError: it has neither three nor four dimensions.
    """
    ndims = image.shape.ndims
    if ndims == 4:
        return image, True
    if ndims not in (None, 3):
        raise ValueError(f"'image' (shape {image.shape}) must have either 3 or 4 dimensions.")
    batch = expand_dims(image, 0)
    if ndims is None:
        batch.set_shape([None] * 4)
    return batch, False
