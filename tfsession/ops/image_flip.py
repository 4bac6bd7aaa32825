"""Images mirrored and turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.case import case
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, less
from tfsession.ops.cond import cond
from tfsession.ops.elementwise import floormod
from tfsession.ops.image_shape import checked
from tfsession.ops.random import random_uniform
from tfsession.ops.reverse import reverse
from tfsession.ops.shape import rank, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.transpose import transpose as transposed
from tfsession.ops.unary import round as round_


def _by_rank(image: Tensor, of_one: Callable[[], Tensor], of_batch: Callable[[], Tensor]) -> Tensor:
    """One of two functions: of an image, or of a batch of them.

    Raises:
        ValueError: it is neither.
    """
    ndims = image.shape.ndims
    if ndims is None:
        result: Tensor = cond(equal(rank(image), 3), of_one, of_batch)
        return result
    if ndims not in (3, 4):
        raise ValueError(f"'image' (shape {image.shape}) must have either 3 or 4 dimensions.")
    return of_one() if ndims == 3 else of_batch()


def _with_shape_of(image: Tensor, result: Tensor) -> Tensor:
    result.set_shape([None] * 3 if image.shape.ndims is None else image.shape)
    return result


def _flip(image: Any, axis: int, name: str) -> Tensor:
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope(name):
        image = checked(convert_to_tensor(image, name="image"))
        return _by_rank(
            image,
            lambda: _with_shape_of(image, reverse(image, [axis])),
            lambda: reverse(image, [axis + 1]),
        )


@export("image.flip_left_right")
def flip_left_right(image: Any) -> Tensor:
    """An image, or a batch of them, with its columns in the reverse order.

    Raises:
        ValueError, or InvalidArgumentError at run time: it has neither 3 nor 4 dimensions.
    """
    return _flip(image, 1, "flip_left_right")


@export("image.flip_up_down")
def flip_up_down(image: Any) -> Tensor:
    """An image, or a batch of them, with its rows in the reverse order; see `flip_left_right`."""
    return _flip(image, 0, "flip_up_down")


def _random_flip(image: Any, axis: int, seed: int | None, name: str) -> Tensor:
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope(name) as scope:
        image = checked(convert_to_tensor(image, name="image"))

        def of_one() -> Tensor:
            drawn = random_uniform([], 0, 1.0, seed=seed)
            flipped = cond(
                less(drawn, 0.5), lambda: reverse(image, [axis]), lambda: image, name=scope
            )
            return _with_shape_of(image, flipped)

        def of_batch() -> Tensor:
            count = shape_of(image)[0]
            drawn = random_uniform([count], 0, 1.0, seed=seed)
            flips: Any = cast(round_(reshape(drawn, [count, 1, 1, 1])), image.dtype)
            flipped = reverse(image, [axis + 1])
            result: Tensor = flips * flipped + (1 - flips) * image
            return result

        return _by_rank(image, of_one, of_batch)


@export("image.random_flip_left_right")
def random_flip_left_right(image: Any, seed: int | None = None) -> Tensor:
    """`flip_left_right` of half of the images, at random."""
    return _random_flip(image, 1, seed, "random_flip_left_right")


@export("image.random_flip_up_down")
def random_flip_up_down(image: Any, seed: int | None = None) -> Tensor:
    """`flip_up_down` of half of the images, at random."""
    return _random_flip(image, 0, seed, "random_flip_up_down")


@export("image.transpose", "image.transpose_image")
def transpose_image(image: Any, name: str | None = None) -> Tensor:
    """An image, or a batch of them, with rows as columns and columns as rows.

    Raises:
        ValueError, or InvalidArgumentError at run time: it has neither 3 nor 4 dimensions.
    """
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope(name or "transpose"):
        image = checked(convert_to_tensor(image, name="image"))
        return _by_rank(
            image,
            lambda: transposed(image, [1, 0, 2], name=name),
            lambda: transposed(image, [0, 2, 1, 3], name=name),
        )


@export("image.rot90")
def rot90(image: Any, k: Any = 1, name: str | None = None) -> Tensor:
    """An image, or a batch of them, turned counter-clockwise by `k` times 90 degrees.

    Raises:
        ValueError, or InvalidArgumentError at run time: it has neither 3 nor 4 dimensions.
    """
    graph = graph_of([image, k])
    with graph.as_default(), graph.name_scope(name or "rot90") as scope:
        image = checked(convert_to_tensor(image, name="image"))
        k = convert_to_tensor(k, int32, name="k")
        k.shape.assert_has_rank(0)
        k = floormod(k, 4, name="mod")

        def turned(rows: int) -> Tensor:
            return _turned(image, k, rows, scope)

        return _by_rank(image, lambda: turned(0), lambda: turned(1))


def _turned(image: Tensor, k: Tensor, rows: int, name: str) -> Tensor:
    columns = rows + 1
    order: Sequence[int] = [1, 0, 2] if rows == 0 else [0, 2, 1, 3]
    turns: list[Callable[[], Tensor]] = [
        lambda: transposed(reverse(image, [columns]), order),
        lambda: reverse(image, [rows, columns]),
        lambda: reverse(transposed(image, order), [columns]),
    ]
    cases = [(equal(k, number), turn) for number, turn in enumerate(turns, 1)]
    result: Tensor = case(cases, default=lambda: image, exclusive=True, name=name)
    told = image.shape if rows == 0 else result.shape
    known = [None, None] if told.ndims is None else [*told.as_list()[:rows], None, None]
    result.set_shape([*known, None if told.ndims is None else told.as_list()[-1]])
    return result
