"""What is measured in images, and between two: edges, and how much they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import float32, int32
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, greater_equal, not_equal
from tfsession.ops.cond import cond
from tfsession.ops.constant import constant, identity, zeros
from tfsession.ops.control import assert_
from tfsession.ops.depthwise import depthwise_conv2d
from tfsession.ops.elementwise import pow as power
from tfsession.ops.elementwise import squared_difference, subtract
from tfsession.ops.image_color import convert_image_dtype
from tfsession.ops.join import concat, stack, unstack
from tfsession.ops.nn import relu, softmax
from tfsession.ops.pad import pad, tile
from tfsession.ops.pool import avg_pool
from tfsession.ops.reduce import reduce_all, reduce_any, reduce_mean, reduce_prod, reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import expand_dims, reshape, shape_n, size
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import abs as absolute
from tfsession.ops.unary import log, square

# --- of one image ---------------------------------------------------------------------------------


@export("image.total_variation")
def total_variation(images: Any, name: str | None = None) -> Tensor:
    """How much neighboring pixels differ, summed: a number for each image.

    Args:
        images: `[batch, height, width, channels]`, or one image without the batch.
        name: name scope of the operations.

    Raises:
        ValueError: `images` are neither.
    """
    graph = graph_of([images])
    with graph.as_default(), graph.name_scope(name or "total_variation"):
        images = convert_to_tensor(images)
        ndims = images.shape.ndims
        if ndims == 3:
            down = images[1:, :, :] - images[:-1, :, :]
            across = images[:, 1:, :] - images[:, :-1, :]
            axes = None
        elif ndims == 4:
            down = images[:, 1:, :, :] - images[:, :-1, :, :]
            across = images[:, :, 1:, :] - images[:, :, :-1, :]
            axes = [1, 2, 3]
        else:
            raise ValueError("'images' must be either 3 or 4-dimensional.")
        first: Any = reduce_sum(absolute(down), axis=axes)
        result: Tensor = first + reduce_sum(absolute(across), axis=axes)
        return result


@export("image.image_gradients")
def image_gradients(image: Any) -> tuple[Tensor, Tensor]:
    """Differences from each pixel to the one below, and to the one at its right; zero at the ends.

    Raises:
        ValueError: `image` is not `[batch, height, width, channels]`.
    """
    if image.shape.ndims != 4:
        raise ValueError(
            f"image_gradients expects a 4D tensor [batch_size, h, w, d], not {image.shape}."
        )
    with image.graph.as_default():
        sizes = shape_of(image)
        batch, height, width, depth = unstack(sizes)
        down = image[:, 1:, :, :] - image[:, :-1, :, :]
        across = image[:, :, 1:, :] - image[:, :, :-1, :]
        last = zeros(stack([batch, 1, width, depth]), image.dtype)
        down = reshape(concat([down, last], 1), sizes)
        last = zeros(stack([batch, height, 1, depth]), image.dtype)
        across = reshape(concat([across, last], 2), sizes)
        return down, across


@export("image.sobel_edges")
def sobel_edges(image: Any) -> Tensor:
    """Sobel's edges, `[batch, height, width, channels, 2]`: vertical and horizontal slopes.

    `image` is `[batch, height, width, channels]`, of floating point numbers.
    """
    with image.graph.as_default():
        told, sizes = image.shape, shape_of(image)
        down = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
        filters = np.stack([down, down.T], axis=-1)[:, :, None, :]
        given = constant(filters, dtype=image.dtype)
        each = tile(given, [1, 1, sizes[-1], 1], name="sobel_filters")
        padded = pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
        edges = depthwise_conv2d(padded, each, [1, 1, 1, 1], "VALID")
        edges = reshape(edges, shape=concat([sizes, [2]], 0))
        edges.set_shape(told.concatenate([2]))
        return edges


# --- between two ----------------------------------------------------------------------------------


def _comparable(first: Tensor, second: Tensor) -> tuple[list[Tensor], list[Operation]]:
    """The shapes of two batches, and what checks that one image fits the other.

    Raises:
        ValueError: the graph tells that it does not.
    """
    told = [x.shape.with_rank_at_least(3) for x in (first, second)]
    told[0][-3:].assert_is_compatible_with(told[1][-3:])
    if all(t.ndims is not None for t in told):
        batches = (reversed(t.as_list()[:-3]) for t in told)
        for a, b in zip(*batches, strict=False):
            if a != 1 and b != 1 and a is not None and b is not None and a != b:
                raise ValueError(f"Two images are not compatible: {told[0]} and {told[1]}")
    shapes = shape_n([first, second])
    checks = [assert_(greater_equal(size(shapes[0]), 3), shapes, summarize=10)]
    same = reduce_all(equal(shapes[0][-3:], shapes[1][-3:]))
    checks.append(assert_(same, shapes, summarize=10))
    return shapes, checks


@export("image.psnr")
def psnr(a: Any, b: Any, max_val: Any, name: str | None = None) -> Tensor:
    """Peak signal to noise ratio of each image, in decibels, float32.

    Args:
        a, b: two batches of images, `[..., height, width, channels]`.
        max_val: the difference from the least to the greatest number that pixels may have.
        name: name scope of the operations.

    Raises:
        ValueError, or InvalidArgumentError at run time: shapes that do not fit.
    """
    graph = graph_of([a, b])
    with graph.as_default(), graph.name_scope(name or "PSNR"):
        most: Any = convert_image_dtype(cast(max_val, a.dtype), float32)
        a, b = convert_image_dtype(a, float32), convert_image_dtype(b, float32)
        error = reduce_mean(squared_difference(a, b), [-3, -2, -1])
        signal = 20 * log(most) / log(10.0)
        noise: Any = np.float32(10 / np.log(10)) * log(error)
        ratio = subtract(signal, noise, name="psnr")
        _, checks = _comparable(a, b)
        with graph.control_dependencies(checks):
            result: Tensor = identity(ratio)
            return result


def _bell(extent: Tensor, sigma: Tensor) -> Tensor:
    """A filter of `extent` times `extent` with the weights of a normal distribution."""
    places: Any = cast(range_(extent), sigma.dtype)
    places = places - cast(extent - 1, sigma.dtype) / 2.0
    powers: Any = square(places)
    powers = powers * (-0.5 / square(sigma))
    powers = reshape(powers, shape=[1, -1]) + reshape(powers, shape=[-1, 1])
    weights = softmax(reshape(powers, shape=[1, -1]))
    return reshape(weights, shape=[extent, extent, 1, 1])


def _likeness(
    x: Any, y: Any, mean: Callable[[Any], Any], max_val: Any, k1: float, k2: float
) -> tuple[Any, Any]:
    """How alike two batches are in brightness, and in contrast and structure."""
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    of_x, of_y = mean(x), mean(y)
    top = of_x * of_y * 2.0
    bottom = square(of_x) + square(of_y)
    brightness = (top + c1) / (bottom + c1)
    products = mean(x * y) * 2.0
    squares = mean(square(x) + square(y))
    c2 = c2 * 1.0
    return brightness, (products - top + c2) / (squares - bottom + c2)


def _by_channel(
    first: Any,
    second: Any,
    max_val: Any,
    filter_size: int,
    filter_sigma: float,
    k1: float,
    k2: float,
    return_index_map: bool = False,
) -> tuple[Any, Any]:
    extent = constant(filter_size, dtype=int32)
    sigma = constant(filter_sigma, dtype=first.dtype)
    shapes = shape_n([first, second])
    checks = [
        assert_(reduce_all(greater_equal(s[-3:-1], extent)), [s, extent], summarize=8)
        for s in shapes
    ]
    with first.graph.control_dependencies(checks):
        first = identity(first)
    filters = tile(_bell(extent, sigma), multiples=[1, 1, shapes[0][-1], 1])

    def mean(x: Any) -> Any:
        sizes = shape_of(x)
        flat = reshape(x, shape=concat([[-1], sizes[-3:]], 0))
        y = depthwise_conv2d(flat, filters, strides=[1, 1, 1, 1], padding="VALID")
        return reshape(y, concat([sizes[:-3], shape_of(y)[1:]], 0))

    brightness, structure = _likeness(first, second, mean, max_val, k1, k2)
    if return_index_map:
        return brightness * structure, structure
    axes = constant([-3, -2], dtype=int32)
    return reduce_mean(brightness * structure, axes), reduce_mean(structure, axes)


def _as_floats(img1: Any, img2: Any, max_val: Any) -> tuple[Any, Any, Any, list[Tensor]]:
    img1, img2 = convert_to_tensor(img1, name="img1"), convert_to_tensor(img2, name="img2")
    shapes, checks = _comparable(img1, img2)
    with img1.graph.control_dependencies(checks):
        img1 = identity(img1)
    most = convert_image_dtype(cast(max_val, img1.dtype), float32)
    floats = convert_image_dtype(img1, float32), convert_image_dtype(img2, float32)
    return *floats, most, shapes


@export("image.ssim")
def ssim(
    img1: Any,
    img2: Any,
    max_val: Any,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    return_index_map: bool = False,
) -> Tensor:
    """Structural similarity of each image, up to 1, float32.

    Source: Wang et al., Image quality assessment: from error visibility to structural similarity
    (2004).

    Args:
        img1, img2: two batches of images, `[..., height, width, channels]`.
        max_val: the difference from the least to the greatest number that pixels may have.
        filter_size, filter_sigma: pixels of the window, and how wide its bell is.
        k1, k2: constants of the formula, against divisions by zero.
        return_index_map: give the similarity around each pixel, not the mean.

    Raises:
        ValueError, or InvalidArgumentError at run time: shapes that do not fit, or images that are
            smaller than the window.
    """
    graph = graph_of([img1, img2])
    with graph.as_default(), graph.name_scope("SSIM"):
        first, second, most, _ = _as_floats(img1, img2, max_val)
        how = filter_size, filter_sigma, k1, k2, return_index_map
        found, _ = _by_channel(first, second, most, *how)
        return reduce_mean(found, [-1])


_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@export("image.ssim_multiscale")
def ssim_multiscale(
    img1: Any,
    img2: Any,
    max_val: Any,
    power_factors: Sequence[float] = _SCALES,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Tensor:
    """`ssim` of images and of smaller and smaller ones made of them, as one number each.

    Source: Wang et al., Multi-scale structural similarity for image quality assessment (2003).

    `power_factors` are the weights of the scales; each is half as large as the one before. See
    `ssim` for the rest.
    """
    graph = graph_of([img1, img2])
    with graph.as_default(), graph.name_scope("MS-SSIM"):
        first, second, most, shapes = _as_floats(img1, img2, max_val)
        images, factors = [first, second], list(power_factors)
        heads, tails = [s[:-3] for s in shapes], [s[-3:] for s in shapes]
        halves = constant([2, 2, 1], dtype=int32)
        structures, found = [], None
        for scale in range(len(factors)):
            with graph.name_scope(f"Scale{scale}"):
                if scale:
                    images, tails = _halved(images, heads, tails, halves)
                how = filter_size, filter_sigma, k1, k2
                found, structure = _by_channel(*images, most, *how)
                structures.append(relu(structure))
        parts = stack([*structures[:-1], relu(found)], axis=-1)
        return reduce_mean(reduce_prod(power(parts, power_factors), [-1]), [-1])


def _halved(
    images: list[Any], heads: list[Tensor], tails: list[Tensor], halves: Tensor
) -> tuple[list[Any], list[Tensor]]:
    """Images of half the size; an odd row or column is there twice."""
    flat = [reshape(x, concat([[-1], t], 0)) for x, t in zip(images, tails, strict=True)]
    rest: Any = tails[0] % halves

    def padded() -> list[Tensor]:
        amounts = pad(expand_dims(rest, -1), [[1, 0], [1, 0]])
        return [pad(x, amounts, mode="SYMMETRIC") for x in flat]

    even = cond(reduce_any(not_equal(rest, 0)), padded, lambda: flat)
    sizes = [1, 2, 2, 1]
    smaller = [avg_pool(x, ksize=sizes, strides=sizes, padding="VALID") for x in even]
    tails = [s[1:] for s in shape_n(smaller)]
    whole = zip(smaller, heads, tails, strict=True)
    return [reshape(x, concat([h, t], 0)) for x, h, t in whole], tails
