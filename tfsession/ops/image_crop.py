"""Images cut and padded to a size."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float32, float64, int32
from tfsession.core.exports import export
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, logical_or
from tfsession.ops.constant import with_dependencies
from tfsession.ops.elementwise import maximum, minimum
from tfsession.ops.image_resize import ResizeMethod, resize_images
from tfsession.ops.image_shape import (
    as_batch,
    checked,
    dimensions,
    is_tensor,
    not_empty,
    requirement,
)
from tfsession.ops.join import stack
from tfsession.ops.pad import pad
from tfsession.ops.shape import reshape, squeeze
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.slice import slice_
from tfsession.ops.unary import floor


def _known(sizes: list[Any]) -> list[Any]:
    return [None if is_tensor(size) else size for size in sizes]


def _unpacked(image: Tensor, is_batch: bool) -> Tensor:
    return image if is_batch else squeeze(image, axis=[0])


@export("image.crop_to_bounding_box")
def crop_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Tensor:
    """A part of an image, or of each of a batch.

    Args:
        image: `[height, width, channels]`, or a batch of those.
        offset_height, offset_width: the first row and column to take; numbers or scalars.
        target_height, target_width: how many of them.

    Raises:
        ValueError, or InvalidArgumentError at run time: there is no such part.
    """
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope("crop_to_bounding_box"):
        image, is_batch = as_batch(convert_to_tensor(image, name="image"))
        checks = not_empty(image)
        batch, height, width, depth = dimensions(image, 4)
        checks += requirement(offset_width >= 0, "offset_width must be >= 0.")
        checks += requirement(offset_height >= 0, "offset_height must be >= 0.")
        checks += requirement(target_width > 0, "target_width must be > 0.")
        checks += requirement(target_height > 0, "target_height must be > 0.")
        text = "{} must be >= target + offset."
        checks += requirement(width >= (target_width + offset_width), text.format("width"))
        checks += requirement(height >= (target_height + offset_height), text.format("height"))
        image = with_dependencies(checks, image)
        begin = stack([0, offset_height, offset_width, 0])
        size = stack([shape_of(image)[0], target_height, target_width, shape_of(image)[3]])
        cropped = slice_(image, begin, size)
        cropped.set_shape(_known([batch, target_height, target_width, depth]))
        return _unpacked(cropped, is_batch)


@export("image.pad_to_bounding_box")
def pad_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Tensor:
    """An image, or each of a batch, within zeros.

    Args:
        image: `[height, width, channels]`, or a batch of those.
        offset_height, offset_width: rows and columns of zeros before it; numbers or scalars.
        target_height, target_width: rows and columns of the result.

    Raises:
        ValueError, or InvalidArgumentError at run time: the image does not fit there.
    """
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope("pad_to_bounding_box"):
        image, is_batch = as_batch(convert_to_tensor(image, name="image"))
        batch, height, width, depth = dimensions(image, 4)
        after_width = target_width - offset_width - width
        after_height = target_height - offset_height - height
        checks = not_empty(image)
        checks += requirement(offset_height >= 0, "offset_height must be >= 0")
        checks += requirement(offset_width >= 0, "offset_width must be >= 0")
        checks += requirement(after_width >= 0, "width must be <= target - offset")
        checks += requirement(after_height >= 0, "height must be <= target - offset")
        image = with_dependencies(checks, image)
        amounts = [0, 0, offset_height, after_height, offset_width, after_width, 0, 0]
        padded = pad(image, reshape(stack(amounts), [4, 2]))
        padded.set_shape(_known([batch, target_height, target_width, depth]))
        return _unpacked(padded, is_batch)


def _greater(x: Any, y: Any) -> Any:
    return maximum(x, y) if is_tensor(x) or is_tensor(y) else max(x, y)


def _smaller(x: Any, y: Any) -> Any:
    return minimum(x, y) if is_tensor(x) or is_tensor(y) else min(x, y)


def _equal(x: Any, y: Any) -> Any:
    return equal(x, y) if is_tensor(x) or is_tensor(y) else x == y


def _target_checks(image: Tensor, height: Any, width: Any) -> list[Operation]:
    checks = not_empty(image)
    checks += requirement(width > 0, "target_width must be > 0.")
    checks += requirement(height > 0, "target_height must be > 0.")
    return checks


@export("image.resize_image_with_crop_or_pad", "image.resize_with_crop_or_pad")
def resize_image_with_crop_or_pad(image: Any, target_height: Any, target_width: Any) -> Tensor:
    """An image, or each of a batch, cut or padded with zeros on both sides, to a size.

    Args:
        image: `[height, width, channels]`, or a batch of those.
        target_height, target_width: the size; numbers or scalars.

    Raises:
        ValueError, or InvalidArgumentError at run time: a size is not above zero.
    """
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope("resize_image_with_crop_or_pad"):
        image, is_batch = as_batch(convert_to_tensor(image, name="image"))
        checks = _target_checks(image, target_height, target_width)
        image = with_dependencies(checks, image)
        if is_tensor(target_height):
            target_height = with_dependencies(checks, target_height)
        if is_tensor(target_width):
            target_width = with_dependencies(checks, target_width)
        _, height, width, _ = dimensions(image, 4)
        more_width = target_width - width
        crop_width, pad_width = _greater(-more_width // 2, 0), _greater(more_width // 2, 0)
        more_height = target_height - height
        crop_height, pad_height = _greater(-more_height // 2, 0), _greater(more_height // 2, 0)
        size = _smaller(target_height, height), _smaller(target_width, width)
        cropped = crop_to_bounding_box(image, crop_height, crop_width, *size)
        resized = pad_to_bounding_box(cropped, pad_height, pad_width, target_height, target_width)
        _, height, width, _ = dimensions(resized, 4)
        checks = requirement(_equal(height, target_height), "resized height is not correct.")
        checks += requirement(_equal(width, target_width), "resized width is not correct.")
        return _unpacked(with_dependencies(checks, resized), is_batch)


@export("image.resize_image_with_pad")
def resize_image_with_pad(
    image: Any,
    target_height: Any,
    target_width: Any,
    method: Any = ResizeMethod.BILINEAR,
    align_corners: bool = False,
) -> Tensor:
    """An image, or each of a batch, as large as a size has room for, within zeros.

    See `resize_images` for `method` and `align_corners`.

    Raises:
        ValueError, or InvalidArgumentError at run time: a size is not above zero.
    """
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope("resize_image_with_pad"):
        image, is_batch = as_batch(convert_to_tensor(image, name="image"))
        checks = _target_checks(image, target_height, target_width)
        image = with_dependencies(checks, image)
        _, height, width, _ = dimensions(image, 4)
        sizes = height, width, target_height, target_width
        now_height, now_width, new_height, new_width = (cast(s, float32) for s in sizes)
        ratio = _greater(now_width / new_width, now_height / new_height)
        exact = now_height / ratio, now_width / ratio
        size = [cast(floor(e), int32) for e in exact]
        rests = [(new - e) / 2 for new, e in zip((new_height, new_width), exact, strict=True)]
        before = [floor(rest) for rest in rests]
        offsets = [_greater(0, cast(rest, int32)) for rest in before]
        resized = resize_images(image, size, method, align_corners=align_corners)
        padded = pad_to_bounding_box(resized, *offsets, target_height, target_width)
        dimensions(padded, 4)
        return _unpacked(padded, is_batch)


@export("image.central_crop")
def central_crop(image: Any, central_fraction: Any) -> Tensor:
    """The part of an image, or of each of a batch, that is around its center.

    Args:
        image: `[height, width, channels]`, or a batch of those.
        central_fraction: the part's height and width, as a fraction from 0 to 1.

    Raises:
        ValueError, or InvalidArgumentError at run time: the fraction is none, or no image is.
    """
    graph = graph_of([image, central_fraction])
    with graph.as_default(), graph.name_scope("central_crop"):
        image = convert_to_tensor(image, name="image")
        text = "central_fraction must be within (0, 1]"
        fraction = central_fraction
        if is_tensor(fraction):
            fraction = constant_value(fraction)
        if fraction is None:
            within = logical_or(central_fraction > 0.0, central_fraction <= 1.0)
            image = with_dependencies(requirement(within, text), image)
        elif fraction <= 0.0 or fraction > 1.0:
            raise ValueError(text)
        elif fraction == 1.0:
            return image
        checked(image)
        return _around_center(image, central_fraction, fraction)


def _around_center(image: Tensor, central_fraction: Any, fraction: Any) -> Tensor:
    ndims = image.shape.ndims
    if ndims not in (3, 4):
        raise ValueError(
            f"`image` should either be a Tensor with rank = 3 or rank = 4. Had rank = {ndims}."
        )
    sizes: list[Any] = image.shape.as_list()
    spots = (ndims - 3, ndims - 2)
    found = [shape_of(image)[i] if sizes[i] is None else sizes[i] for i in spots]
    starts = [_start(size, central_fraction, fraction) for size in found]
    counts = [size - start * 2 for size, start in zip(found, starts, strict=True)]
    before = [0] * (ndims - 3)
    part = slice_(
        image,
        stack([*before, *starts, 0]),
        stack([*(-1 for _ in before), *counts, -1]),
    )
    part.set_shape([*sizes[: ndims - 3], *_known(counts), sizes[-1]])
    return part


def _start(size: Any, central_fraction: Any, fraction: Any) -> Any:
    if not is_tensor(size) and fraction is not None:
        return int((float(size) - float(size) * fraction) / 2)
    wide = cast(size, float64)
    return cast((wide - wide * cast(central_fraction, float64)) / 2, int32)
