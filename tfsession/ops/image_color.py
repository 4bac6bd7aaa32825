"""Colors of images: their models, their numbers, and what changes them."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType, as_dtype, float16, float32, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import unchanged, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, saturate_cast
from tfsession.ops.constant import identity, ones, with_dependencies
from tfsession.ops.elementwise import add, divide, floordiv, maximum, multiply
from tfsession.ops.image_shape import checked, gray, requirement
from tfsession.ops.join import concat
from tfsession.ops.pad import tile
from tfsession.ops.random import random_uniform
from tfsession.ops.reduce import reduce_mean, reduce_prod, reduce_std
from tfsession.ops.shape import expand_dims, rank, shape
from tfsession.ops.tensordot import tensordot
from tfsession.ops.unary import rsqrt


def _three_channels(op: Operation) -> list[Shape]:
    image = with_rank_at_least(op.inputs[0]._shape, 1)
    return [None if image is None else (*image[:-1], *merge(image[-1:], (3,)))]


for _name in ("RGBToHSV", "HSVToRGB"):
    define_op(
        _name,
        ["images: T"],
        ["output: T"],
        ["T: {half, bfloat16, float, double} = DT_FLOAT"],
        _three_channels,
    )
for _name, _factor in (
    ("AdjustContrastv2", "contrast_factor"),
    ("AdjustHue", "delta"),
    ("AdjustSaturation", "scale"),
):
    define_op(
        _name,
        ["images: T", f"{_factor}: float"],
        ["output: T"],
        ["T: {half, float} = DT_FLOAT"],
        unchanged(min_rank=3),
    )


# --- dtypes ---------------------------------------------------------------------------------------


@export("image.convert_image_dtype")
def convert_image_dtype(
    image: Any, dtype: Any, saturate: bool = False, name: str | None = None
) -> Tensor:
    """An image of another dtype, its numbers scaled to that dtype's range.

    Floating point images have numbers from 0 to 1, those of integers up to their greatest.

    Args:
        image: a tensor.
        dtype: the dtype to convert to.
        saturate: clip what does not fit, instead of letting it wrap.
        name: name of the operation, or scope of several.

    Raises:
        AttributeError: a dtype is neither of floating point numbers nor of integers.
    """
    with graph_of([image]).as_default():
        image = convert_to_tensor(image, name="image")
        dtype = as_dtype(dtype)
        for what, kind in (("dtype", dtype), ("image dtype", image.dtype)):
            if not kind.is_floating and not kind.is_integer:
                raise AttributeError(f"{what} must be either floating point or integer")
        if dtype == image.dtype:
            return identity(image, name=name)
        with image.graph.name_scope(name or "convert_image") as scope:
            return _converted(image, dtype, saturate, scope)


def _converted(image: Tensor, dtype: DType, saturate: bool, name: str) -> Tensor:
    convert = saturate_cast if saturate else cast
    result: Tensor
    if image.dtype.is_floating and dtype.is_floating:
        result = cast(image, dtype, name=name)
    elif image.dtype.is_integer and dtype.is_integer:
        largest, wanted = image.dtype.max, dtype.max
        if largest > wanted:
            scaled = floordiv(image, (largest + 1) // (wanted + 1))
            return convert(scaled, dtype, name=name)
        result = multiply(convert(image, dtype), (wanted + 1) // (largest + 1), name=name)
    elif image.dtype.is_integer:
        result = multiply(cast(image, dtype), 1.0 / image.dtype.max, name=name)
    else:
        # Half a step more, so that the cast, which cuts off, rounds.
        result = convert(multiply(image, dtype.max + 0.5), dtype, name=name)
    return result


def _as_floats(image: Tensor) -> Tensor:
    if image.dtype in (float16, float32):
        return image
    return convert_image_dtype(image, float32)


# --- models ---------------------------------------------------------------------------------------


@export("image.rgb_to_hsv")
def rgb_to_hsv(images: Any, name: str | None = None) -> Tensor:
    """Hue, saturation and value, from 0 to 1, of pixels in red, green and blue from 0 to 1."""
    result: Tensor = create_op("RGBToHSV", [images], None, name)
    return result


@export("image.hsv_to_rgb")
def hsv_to_rgb(images: Any, name: str | None = None) -> Tensor:
    """Red, green and blue of pixels in hue, saturation and value, all from 0 to 1."""
    result: Tensor = create_op("HSVToRGB", [images], None, name)
    return result


@export("image.rgb_to_grayscale")
def rgb_to_grayscale(images: Any, name: str | None = None) -> Tensor:
    """Images of one channel, of the same dtype: 0.2989 red + 0.587 green + 0.114 blue."""
    graph = graph_of([images])
    with graph.as_default(), graph.name_scope(name or "rgb_to_grayscale") as scope:
        images = convert_to_tensor(images, name="images")
        floats = convert_image_dtype(images, float32)
        weighted = tensordot(floats, [0.2989, 0.5870, 0.1140], [-1, -1])
        return convert_image_dtype(expand_dims(weighted, -1), images.dtype, name=scope)


@export("image.grayscale_to_rgb")
def grayscale_to_rgb(images: Any, name: str | None = None) -> Tensor:
    """Images of three channels, each the only one of `images`.

    Raises:
        ValueError, or InvalidArgumentError at run time: there are more channels.
    """
    graph = graph_of([images])
    with graph.as_default(), graph.name_scope(name or "grayscale_to_rgb") as scope:
        given = convert_to_tensor(images, name="images")
        images = with_dependencies(gray(given), given)
        before = expand_dims(rank(images) - 1, 0)
        multiples = concat([ones(before, dtype=int32), expand_dims(3, 0)], 0)
        rgb = tile(images, multiples, name=scope)
        rgb.set_shape(images.shape[:-1].concatenate([3]))
        return rgb


# Of the standard, in rows: what red, green and blue give to Y, I and Q; and so on.
_MATRICES = {
    "rgb_to_yiq": [
        [0.299, 0.59590059, 0.2115],
        [0.587, -0.27455667, -0.52273617],
        [0.114, -0.32134392, 0.31119955],
    ],
    "yiq_to_rgb": [
        [1, 1, 1],
        [0.95598634, -0.27201283, -1.10674021],
        [0.6208248, -0.64720424, 1.70423049],
    ],
    "rgb_to_yuv": [
        [0.299, -0.14714119, 0.61497538],
        [0.587, -0.28886916, -0.51496512],
        [0.114, 0.43601035, -0.10001026],
    ],
    "yuv_to_rgb": [
        [1, 1, 1],
        [0, -0.394642334, 2.03206185],
        [1.13988303, -0.58062185, 0],
    ],
}


def _by_matrix(images: Any, name: str) -> Tensor:
    with graph_of([images]).as_default():
        images = convert_to_tensor(images, name="images")
        matrix = convert_to_tensor(_MATRICES[name], dtype=images.dtype, name="kernel")
        return tensordot(images, matrix, axes=[[images.shape.ndims - 1], [0]])


@export("image.rgb_to_yiq")
def rgb_to_yiq(images: Any) -> Tensor:
    """Pixels in YIQ, of pixels in red, green and blue from 0 to 1."""
    return _by_matrix(images, "rgb_to_yiq")


@export("image.yiq_to_rgb")
def yiq_to_rgb(images: Any) -> Tensor:
    """Pixels in red, green and blue, of pixels in YIQ."""
    return _by_matrix(images, "yiq_to_rgb")


@export("image.rgb_to_yuv")
def rgb_to_yuv(images: Any) -> Tensor:
    """Pixels in YUV, of pixels in red, green and blue from 0 to 1."""
    return _by_matrix(images, "rgb_to_yuv")


@export("image.yuv_to_rgb")
def yuv_to_rgb(images: Any) -> Tensor:
    """Pixels in red, green and blue, of pixels in YUV."""
    return _by_matrix(images, "yuv_to_rgb")


# --- adjustments ----------------------------------------------------------------------------------


@export("image.adjust_brightness")
def adjust_brightness(image: Any, delta: Any) -> Tensor:
    """`image + delta`, where numbers are from 0 to 1; of the dtype of `image`."""
    graph = graph_of([image, delta])
    with graph.as_default(), graph.name_scope("adjust_brightness") as scope:
        image = convert_to_tensor(image, name="image")
        floats = _as_floats(image)
        adjusted = add(floats, cast(delta, floats.dtype), name=scope)
        return convert_image_dtype(adjusted, image.dtype, saturate=True)


@export("image.adjust_contrast")
def adjust_contrast(images: Any, contrast_factor: Any) -> Tensor:
    """Distances from the mean of each channel, times a factor; of the dtype of `images`."""
    graph = graph_of([images, contrast_factor])
    with graph.as_default(), graph.name_scope("adjust_contrast") as scope:
        images = convert_to_tensor(images, name="images")
        inputs = [_as_floats(images), contrast_factor]
        adjusted = create_op("AdjustContrastv2", inputs, name=scope)
        return convert_image_dtype(adjusted, images.dtype, saturate=True)


@export("image.adjust_gamma")
def adjust_gamma(image: Any, gamma: Any = 1, gain: Any = 1) -> Tensor:
    """`gain * image ** gamma`, where numbers are from 0 to 1; of the dtype of `image`.

    Raises:
        ValueError, or InvalidArgumentError at run time: `gamma` is less than zero.
    """
    graph = graph_of([image, gamma, gain])
    with graph.as_default(), graph.name_scope("adjust_gamma"):
        image = convert_to_tensor(image, name="image")
        floats = _as_floats(image)
        checks = requirement(gamma >= 0, "Gamma should be a non-negative real number.")
        if checks:
            gamma = with_dependencies(checks, gamma)
        return convert_image_dtype(gain * floats**gamma, image.dtype, saturate=True)


@export("image.adjust_hue")
def adjust_hue(image: Any, delta: Any, name: str | None = None) -> Tensor:
    """Images with all hues turned by `delta`, a part of the color wheel from -1 to 1."""
    graph = graph_of([image, delta])
    with graph.as_default(), graph.name_scope(name or "adjust_hue"):
        image = convert_to_tensor(image, name="image")
        return convert_image_dtype(create_op("AdjustHue", [_as_floats(image), delta]), image.dtype)


@export("image.adjust_saturation")
def adjust_saturation(image: Any, saturation_factor: Any, name: str | None = None) -> Tensor:
    """Images with all saturations times a factor."""
    graph = graph_of([image, saturation_factor])
    with graph.as_default(), graph.name_scope(name or "adjust_saturation"):
        image = convert_to_tensor(image, name="image")
        inputs = [_as_floats(image), saturation_factor]
        return convert_image_dtype(create_op("AdjustSaturation", inputs), image.dtype)


@export("image.per_image_standardization")
def per_image_standardization(image: Any) -> Tensor:
    """Images less their mean, by their standard deviation; that is at least `1/sqrt(numbers)`.

    Raises:
        ValueError, or InvalidArgumentError at run time: there are less than three dimensions.
    """
    graph = graph_of([image])
    with graph.as_default(), graph.name_scope("per_image_standardization") as scope:
        image = checked(convert_to_tensor(image, name="image"))
        image = cast(image, float32)
        count = reduce_prod(shape(image)[-3:])
        mean = reduce_mean(image, axis=[-1, -2, -3], keepdims=True)
        deviation = reduce_std(image, axis=[-1, -2, -3], keepdims=True)
        least = rsqrt(cast(count, float32))
        deviation = maximum(deviation, least)
        return divide(image - mean, deviation, name=scope)


# --- at random ------------------------------------------------------------------------------------


def _check_range(lower: float, upper: float) -> None:
    if upper <= lower:
        raise ValueError("upper must be > lower.")
    if lower < 0:
        raise ValueError("lower must be non-negative.")


@export("image.random_brightness")
def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """`adjust_brightness` by a random number from `-max_delta` to `max_delta`.

    Raises:
        ValueError: `max_delta` is less than zero.
    """
    if max_delta < 0:
        raise ValueError("max_delta must be non-negative.")
    with graph_of([image]).as_default():
        return adjust_brightness(image, random_uniform([], -max_delta, max_delta, seed=seed))


@export("image.random_contrast")
def random_contrast(image: Any, lower: float, upper: float, seed: int | None = None) -> Tensor:
    """`adjust_contrast` by a random factor from `lower` to `upper`.

    Raises:
        ValueError: `upper` is not more than `lower`, or that is less than zero.
    """
    _check_range(lower, upper)
    with graph_of([image]).as_default():
        return adjust_contrast(image, random_uniform([], lower, upper, seed=seed))


@export("image.random_hue")
def random_hue(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """`adjust_hue` by a random number from `-max_delta` to `max_delta`.

    Raises:
        ValueError: `max_delta` is not from 0 to 0.5.
    """
    if max_delta > 0.5:
        raise ValueError("max_delta must be <= 0.5.")
    if max_delta < 0:
        raise ValueError("max_delta must be non-negative.")
    with graph_of([image]).as_default():
        return adjust_hue(image, random_uniform([], -max_delta, max_delta, seed=seed))


@export("image.random_saturation")
def random_saturation(image: Any, lower: float, upper: float, seed: int | None = None) -> Tensor:
    """`adjust_saturation` by a random factor from `lower` to `upper`.

    Raises:
        ValueError: `upper` is not more than `lower`, or that is less than zero.
    """
    _check_range(lower, upper)
    with graph_of([image]).as_default():
        return adjust_saturation(image, random_uniform([], lower, upper, seed=seed))
