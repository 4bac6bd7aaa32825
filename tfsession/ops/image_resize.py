"""Images made larger and smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core.dtypes import float32, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.constant_value import constant_dims, constant_shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.elementwise import minimum
from tfsession.ops.image_shape import dimensions
from tfsession.ops.shape import expand_dims, squeeze
from tfsession.ops.unary import round as round_


def new_size(sizes: Tensor) -> list[int | None]:
    """Height and width that a vector of two tells, as far as the graph knows them."""
    merge(sizes._shape, (2,))
    dims = constant_dims(sizes)
    return [None, None] if dims is None else dims


def _resized(op: Operation) -> list[Shape]:
    shape = with_rank(op.inputs[0]._shape, 4)
    assert shape is not None
    return [(shape[0], *new_size(op.inputs[1]), shape[3])]


def _like_image(op: Operation) -> list[Shape]:
    grads, image = (with_rank(x._shape, 4) for x in op.inputs)
    assert image is not None
    assert grads is not None
    return [(*merge((image[0],), (grads[0],)), *image[1:3], *merge((image[3],), (grads[3],)))]


_ANY = "int8, uint8, int16, uint16, int32, int64"
_CORNERS, _CENTERS = "align_corners: bool = false", "half_pixel_centers: bool = false"
_INPUTS = ["images: T", "size: int32"]
define_op(
    "ResizeBilinear",
    _INPUTS,
    ["resized_images: float"],
    [f"T: {{{_ANY}, bfloat16, half, float, double, bfloat16}}", _CORNERS, _CENTERS],
    _resized,
)
define_op(
    "ResizeNearestNeighbor",
    _INPUTS,
    ["resized_images: T"],
    [f"T: {{{_ANY}, half, float, double, bfloat16}}", _CORNERS, _CENTERS],
    _resized,
)
define_op(
    "ResizeBicubic",
    _INPUTS,
    ["resized_images: float"],
    [f"T: {{{_ANY}, half, float, double, bfloat16}}", _CORNERS, _CENTERS],
    _resized,
)
define_op(
    "ResizeArea",
    _INPUTS,
    ["resized_images: float"],
    [f"T: {{{_ANY}, half, float, double, bfloat16}}", _CORNERS],
    _resized,
)
define_op(
    "ResizeBilinearGrad",
    ["grads: float", "original_image: T"],
    ["output: T"],
    ["T: {float, bfloat16, half, double}", _CORNERS, _CENTERS],
    _like_image,
)
define_op(
    "ResizeBicubicGrad",
    ["grads: float", "original_image: T"],
    ["output: T"],
    ["T: {float, double}", _CORNERS, _CENTERS],
    _like_image,
)
define_op(
    "ResizeNearestNeighborGrad",
    ["grads: T", "size: int32"],
    ["output: T"],
    ["T: {uint8, int8, int32, half, float, double, bfloat16}", _CORNERS, _CENTERS],
    _resized,
)


@export("image.ResizeMethod")
class ResizeMethod:
    """How `resize_images` computes a new pixel from those around it."""

    BILINEAR = 0
    NEAREST_NEIGHBOR = 1
    BICUBIC = 2
    AREA = 3


_METHODS: dict[Any, str] = {
    ResizeMethod.BILINEAR: "ResizeBilinear",
    ResizeMethod.NEAREST_NEIGHBOR: "ResizeNearestNeighbor",
    ResizeMethod.BICUBIC: "ResizeBicubic",
    ResizeMethod.AREA: "ResizeArea",
    # As the second version of the API has them.
    "bilinear": "ResizeBilinear",
    "nearest": "ResizeNearestNeighbor",
    "bicubic": "ResizeBicubic",
    "area": "ResizeArea",
}


def _resize(
    op_type: str,
    images: Any,
    size: Any,
    align_corners: bool,
    name: str | None,
    half_pixel_centers: bool = False,
) -> Tensor:
    attrs = {"align_corners": align_corners, "half_pixel_centers": half_pixel_centers}
    result: Tensor = create_op(op_type, [images, size], attrs, name)
    return result


@export("image.resize_bilinear")
def resize_bilinear(
    images: Any,
    size: Any,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Tensor:
    """Images of a new size; each pixel lies on the lines between the four around its place.

    Args:
        images: `[batch, height, width, channels]`.
        size: vector of the new height and width, in pixels.
        align_corners: let the centers of the corner pixels be where they were.
        name: name of the operation.
        half_pixel_centers: count places from the centers of pixels, not from their corners.

    Returns:
        float32.

    Raises:
        ValueError, or InvalidArgumentError at run time: shapes or sizes that do not fit.
    """
    return _resize("ResizeBilinear", images, size, align_corners, name, half_pixel_centers)


@export("image.resize_nearest_neighbor")
def resize_nearest_neighbor(
    images: Any,
    size: Any,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Tensor:
    """Images of a new size, of the same dtype; each pixel is an old one. See `resize_bilinear`."""
    return _resize("ResizeNearestNeighbor", images, size, align_corners, name, half_pixel_centers)


@export("image.resize_bicubic")
def resize_bicubic(
    images: Any,
    size: Any,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Tensor:
    """Images of a new size, by cubic curves through 16 pixels. See `resize_bilinear`.

    Source: Keys, Cubic convolution interpolation for digital image processing (1981), with the
    slope -0.75, and -0.5 where places are counted from centers.
    """
    return _resize("ResizeBicubic", images, size, align_corners, name, half_pixel_centers)


@export("image.resize_area")
def resize_area(
    images: Any, size: Any, align_corners: bool = False, name: str | None = None
) -> Tensor:
    """Images of a new size; a pixel is the mean of the area that it covers, in float32.

    See `resize_bilinear` for arguments and errors.
    """
    attrs = {"align_corners": align_corners}
    result: Tensor = create_op("ResizeArea", [images, size], attrs, name)
    return result


@export("image.resize_images", "image.resize")
def resize_images(
    images: Any,
    size: Any,
    method: Any = ResizeMethod.BILINEAR,
    align_corners: bool = False,
    preserve_aspect_ratio: bool = False,
    name: str | None = None,
) -> Tensor:
    """Images of a new size.

    Args:
        images: `[batch, height, width, channels]`, or one image without the batch.
        size: vector of the new height and width, in pixels.
        method: one of `tf.image.ResizeMethod`, or its later name, such as "bilinear".
        align_corners: let the centers of the corner pixels be where they were.
        preserve_aspect_ratio: take the largest size that `size` has room for.
        name: name scope of the operations.

    Returns:
        float32; the images' own dtype from the nearest neighbor, and where the images have the
        size already, as far as the graph tells: then they are given back.

    Raises:
        ValueError: shapes, sizes or methods that there are not.
        InvalidArgumentError: (when it runs) the same, where the graph does not tell.
    """

    def resizer(images: Tensor, size: Tensor) -> Tensor:
        op_type = _METHODS.get(method) if isinstance(method, int | str) else None
        if op_type is None:
            raise ValueError(f"Resize method is not implemented: {method}")
        attrs = {"align_corners": align_corners}
        resized: Tensor = create_op(op_type, [images, size], attrs)
        return resized

    return _resize_any(images, size, resizer, preserve_aspect_ratio, name)


def _resize_any(
    images: Any,
    size: Any,
    resizer: Callable[[Tensor, Tensor], Tensor],
    preserve_aspect_ratio: bool,
    name: str | None,
) -> Tensor:
    graph = graph_of([images, size])
    with graph.as_default(), graph.name_scope(name or "resize"):
        images = convert_to_tensor(images, name="images")
        if images.shape.ndims is None:
            raise ValueError("'images' contains no shape.")
        if images.shape.ndims not in (3, 4):
            raise ValueError("'images' must have either 3 or 4 dimensions.")
        is_batch = images.shape.ndims == 4
        if not is_batch:
            images = expand_dims(images, 0)
        try:
            size = convert_to_tensor(size, int32, name="size")
        except (TypeError, ValueError):
            raise ValueError("'size' must be a 1-D int32 Tensor") from None
        if not size.shape.is_compatible_with([2]):
            raise ValueError("'size' must be a 1-D Tensor of 2 elements: new_height, new_width")
        if preserve_aspect_ratio:
            size = _largest_fitting(images, size)
        known = constant_shape(size) or (None, None)
        if None not in known and known == images._shape[1:3]:
            return images if is_batch else squeeze(images, axis=[0])
        images = resizer(images, size)
        images.set_shape([None, *known, None])
        return images if is_batch else squeeze(images, axis=[0])


def _largest_fitting(images: Tensor, size: Tensor) -> Tensor:
    _, height, width, _ = dimensions(images, 4)
    ratios = [cast(size[i], float32) / cast(now, float32) for i, now in enumerate((height, width))]
    scale = minimum(*ratios)
    scaled = [cast(round_(scale * cast(now, float32)), int32) for now in (height, width)]
    result: Tensor = convert_to_tensor(scaled, int32, name="size")
    return result
