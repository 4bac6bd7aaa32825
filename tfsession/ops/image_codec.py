"""Images as the bytes of files: JPEG, PNG, GIF and BMP."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.dtypes import as_dtype
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import unknown, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import equal
from tfsession.ops.image_color import convert_image_dtype
from tfsession.ops.image_shape import is_tensor
from tfsession.ops.random import random_uniform
from tfsession.ops.string import substr


def _decoded(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 0)
    if op.type == "DecodeGif":
        return [(None, None, None, 3)]
    channels = op.attrs["channels"]
    if channels < 0:
        raise ValueError(f"channels must be non-negative, got {channels}")
    size: list[int | None] = [None, None]
    if op.type == "DecodeAndCropJpeg":
        with_rank(op.inputs[1]._shape, 1)
        window = constant_value(op.inputs[1])
        if window is not None and window.size == 4:
            size = window.tolist()[2:]
    return [(*size, channels or None)]


def _file_of_each(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 3)
    return [None if shape is None else shape[:-3]]


def _file(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 3)
    for other in op.inputs[1:]:
        with_rank(other._shape, 0)
    return [()]


def _three_sizes(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 0)
    return [(3,)]


_CONTENTS, _IMAGE = ["contents: string"], ["image: uint8"]
_JPEG = [
    "channels: int = 0",
    "ratio: int = 1",
    "fancy_upscaling: bool = true",
    "try_recover_truncated: bool = false",
    "acceptable_fraction: float = 1.0",
    "dct_method: string = ''",
]
define_op("DecodeJpeg", _CONTENTS, _IMAGE, _JPEG, _decoded)
define_op("DecodeAndCropJpeg", [*_CONTENTS, "crop_window: int32"], _IMAGE, _JPEG, _decoded)
define_op(
    "DecodePng",
    _CONTENTS,
    ["image: dtype"],
    ["channels: int = 0", "dtype: {uint8, uint16} = DT_UINT8"],
    _decoded,
)
define_op("DecodeGif", _CONTENTS, _IMAGE, (), _decoded)
define_op("DecodeBmp", _CONTENTS, _IMAGE, ["channels: int = 0"], _decoded)
define_op(
    "DecodeImage",
    _CONTENTS,
    ["image: dtype"],
    [
        "channels: int = 0",
        "dtype: {uint8, uint16, float} = DT_UINT8",
        "expand_animations: bool = true",
    ],
    unknown,
)
define_op(
    "EncodePng",
    ["image: T"],
    _CONTENTS,
    ["compression: int = -1", "T: {uint8, uint16} = DT_UINT8"],
    _file_of_each,
)
define_op(
    "EncodeJpeg",
    _IMAGE,
    _CONTENTS,
    [
        "format: {'', 'grayscale', 'rgb'} = ''",
        "quality: int = 95",
        "progressive: bool = false",
        "optimize_size: bool = false",
        "chroma_downsampling: bool = true",
        "density_unit: {'in', 'cm'} = 'in'",
        "x_density: int = 300",
        "y_density: int = 300",
        "xmp_metadata: string = ''",
    ],
    _file,
)
define_op("EncodeJpegVariableQuality", ["images: uint8", "quality: int32"], _CONTENTS, (), _file)
define_op(
    "ExtractJpegShape",
    _CONTENTS,
    ["image_shape: output_type"],
    ["output_type: {int32, int64} = DT_INT32"],
    _three_sizes,
)


# --- out of files ---------------------------------------------------------------------------------


@export("image.decode_jpeg", "io.decode_jpeg")
def decode_jpeg(
    contents: Any,
    channels: int = 0,
    ratio: int = 1,
    fancy_upscaling: bool = True,
    try_recover_truncated: bool = False,
    acceptable_fraction: float = 1,
    dct_method: str = "",
    name: str | None = None,
) -> Tensor:
    """The image of a JPEG file, uint8 `[height, width, channels]`; of PNG and GIF files, too.

    Args:
        contents: scalar string, the bytes of the file.
        channels: 0 for those of the file, 1 for gray, 3 for RGB.
        ratio: 1, 2, 4 or 8: the image is made that much smaller while it is read.
        fancy_upscaling: accepted; colors are always interpolated.
        try_recover_truncated: give the first part of a file whose end is missing.
        acceptable_fraction: accepted.
        dct_method: accepted; the accurate one is always taken.
        name: name of the operation.

    Raises:
        InvalidArgumentError: (when it runs) the bytes are no such image.
        UnimplementedError: (when it runs) Pillow is missing: `pip install 'tfsession[image]'`.
    """
    attrs = {
        "channels": channels,
        "ratio": ratio,
        "fancy_upscaling": fancy_upscaling,
        "try_recover_truncated": try_recover_truncated,
        "acceptable_fraction": acceptable_fraction,
        "dct_method": dct_method,
    }
    result: Tensor = create_op("DecodeJpeg", [contents], attrs, name)
    return result


@export("image.decode_and_crop_jpeg", "io.decode_and_crop_jpeg")
def decode_and_crop_jpeg(
    contents: Any,
    crop_window: Any,
    channels: int = 0,
    ratio: int = 1,
    fancy_upscaling: bool = True,
    try_recover_truncated: bool = False,
    acceptable_fraction: float = 1,
    dct_method: str = "",
    name: str | None = None,
) -> Tensor:
    """A part of the image of a JPEG file; see `decode_jpeg`.

    `crop_window` is a vector: first row, first column, height, width.
    """
    attrs = {
        "channels": channels,
        "ratio": ratio,
        "fancy_upscaling": fancy_upscaling,
        "try_recover_truncated": try_recover_truncated,
        "acceptable_fraction": acceptable_fraction,
        "dct_method": dct_method,
    }
    result: Tensor = create_op("DecodeAndCropJpeg", [contents, crop_window], attrs, name)
    return result


@export("image.decode_png", "io.decode_png")
def decode_png(
    contents: Any, channels: int = 0, dtype: Any = dtypes.uint8, name: str | None = None
) -> Tensor:
    """The image of a PNG file, `[height, width, channels]` of uint8 or uint16.

    `channels` is 0 for those of the file, 1 for gray, 3 for RGB, 4 for RGBA. See `decode_jpeg` for
    errors.
    """
    attrs = {"channels": channels, "dtype": dtype}
    result: Tensor = create_op("DecodePng", [contents], attrs, name)
    return result


@export("image.decode_gif", "io.decode_gif")
def decode_gif(contents: Any, name: str | None = None) -> Tensor:
    """All images of a GIF file, uint8 `[frames, height, width, 3]`; errors: see `decode_jpeg`."""
    result: Tensor = create_op("DecodeGif", [contents], None, name)
    return result


@export("image.decode_bmp", "io.decode_bmp")
def decode_bmp(contents: Any, channels: int = 0, name: str | None = None) -> Tensor:
    """The image of a BMP file without compression, uint8 `[height, width, channels]`.

    Raises:
        InvalidArgumentError: (when it runs) the bytes are no such image.
    """
    result: Tensor = create_op("DecodeBmp", [contents], {"channels": channels}, name)
    return result


@export("image.decode_image", "io.decode_image")
def decode_image(
    contents: Any,
    channels: int | None = None,
    dtype: Any = dtypes.uint8,
    name: str | None = None,
    expand_animations: bool = True,
) -> Tensor:
    """The image of a JPEG, PNG, GIF or BMP file, scaled to the range of `dtype`.

    Args:
        contents: scalar string, the bytes of the file.
        channels: 0 or None for those of the file, 1 for gray, 3 for RGB, 4 for RGBA.
        dtype: of the result; floating point numbers are from 0 to 1.
        name: name scope of the operations.
        expand_animations: let GIF files have a first dimension for their frames; without it the
            first frame is given.

    Raises:
        InvalidArgumentError, UnimplementedError: see `decode_jpeg`.
    """
    graph = graph_of([contents])
    with graph.as_default(), graph.name_scope(name or "decode_image"):
        wanted = as_dtype(dtype)
        own = wanted in (dtypes.float32, dtypes.uint8, dtypes.uint16)
        attrs = {
            "channels": channels or 0,
            "expand_animations": expand_animations,
            "dtype": wanted if own else dtypes.uint16,
        }
        image: Tensor = create_op("DecodeImage", [contents], attrs)
        if not own:
            image = convert_image_dtype(image, wanted)
        if not expand_animations:
            image.set_shape([None, None, channels or None])
        return image


@export("image.is_jpeg", "io.is_jpeg")
def is_jpeg(contents: Any, name: str | None = None) -> Tensor:
    """Whether the bytes begin as those of a JPEG file."""
    graph = graph_of([contents])
    with graph.as_default(), graph.name_scope(name or "is_jpeg"):
        return equal(substr(contents, 0, 3), b"\xff\xd8\xff", name=name)


@export("image.extract_jpeg_shape", "io.extract_jpeg_shape")
def extract_jpeg_shape(
    contents: Any, output_type: Any = dtypes.int32, name: str | None = None
) -> Tensor:
    """Height, width and channels of a JPEG file, of which only the header is read."""
    attrs = {"output_type": output_type}
    result: Tensor = create_op("ExtractJpegShape", [contents], attrs, name)
    return result


# --- into files -----------------------------------------------------------------------------------


@export("image.encode_png", "io.encode_png")
def encode_png(image: Any, compression: int = -1, name: str | None = None) -> Tensor:
    """The bytes of a PNG file.

    Args:
        image: uint8 or uint16, `[..., height, width, channels]`: gray, gray and alpha, RGB or RGBA.
        compression: from 0 to 9, the smallest file; -1 for zlib's default.
        name: name of the operation.
    """
    with graph_of([image]).as_default():
        inputs = [convert_to_tensor(image)]
        result: Tensor = create_op("EncodePng", inputs, {"compression": compression}, name)
        return result


@export("image.encode_jpeg", "io.encode_jpeg")
def encode_jpeg(
    image: Any,
    format: str = "",
    quality: int = 95,
    progressive: bool = False,
    optimize_size: bool = False,
    chroma_downsampling: bool = True,
    density_unit: str = "in",
    x_density: int = 300,
    y_density: int = 300,
    xmp_metadata: str = "",
    name: str | None = None,
) -> Tensor:
    """The bytes of a JPEG file.

    Args:
        image: uint8 `[height, width, channels]`, gray or RGB.
        format: "", or "grayscale" or "rgb", so that other channels are an error.
        quality: from 0 to 100.
        progressive: make a file of which all is seen early.
        optimize_size: make a smaller file, slowly.
        chroma_downsampling: keep colors at half of the resolution.
        density_unit: "in" or "cm".
        x_density, y_density: pixels per unit, as programs that print take it.
        xmp_metadata: XMP to put into the file.
        name: name of the operation.

    Raises:
        InvalidArgumentError, UnimplementedError: see `decode_jpeg`.
    """
    attrs = {
        "format": format,
        "quality": quality,
        "progressive": progressive,
        "optimize_size": optimize_size,
        "chroma_downsampling": chroma_downsampling,
        "density_unit": density_unit,
        "x_density": x_density,
        "y_density": y_density,
        "xmp_metadata": xmp_metadata,
    }
    result: Tensor = create_op("EncodeJpeg", [image], attrs, name)
    return result


@export("image.adjust_jpeg_quality")
def adjust_jpeg_quality(
    image: Any, jpeg_quality: Any, dct_method: str = "", name: str | None = None
) -> Tensor:
    """An image as it comes out of a JPEG file of the given quality, from 0 to 100."""
    graph = graph_of([image, jpeg_quality])
    with graph.as_default(), graph.name_scope(name or "adjust_jpeg_quality"):
        image = convert_to_tensor(image, name="image")
        channels = image.shape.as_list()[-1] or 0
        pixels = convert_image_dtype(image, dtypes.uint8, saturate=True)
        if not is_tensor(jpeg_quality):
            jpeg_quality = convert_to_tensor(jpeg_quality, dtypes.int32)
        file = create_op("EncodeJpegVariableQuality", [pixels, jpeg_quality])
        pixels = decode_jpeg(file, channels=channels, dct_method=dct_method)
        return convert_image_dtype(pixels, image.dtype, saturate=True)


@export("image.random_jpeg_quality")
def random_jpeg_quality(
    image: Any, min_jpeg_quality: int, max_jpeg_quality: int, seed: int | None = None
) -> Tensor:
    """`adjust_jpeg_quality` with a random quality.

    Raises:
        ValueError: the qualities are not from 0 to 100, or not in order.
    """
    if not (0 <= min_jpeg_quality <= 100 and 0 <= max_jpeg_quality <= 100):
        raise ValueError("jpeg encoding range must be between 0 and 100.")
    if min_jpeg_quality >= max_jpeg_quality:
        raise ValueError("`min_jpeg_quality` must be less than `max_jpeg_quality`.")
    with graph_of([image]).as_default():
        quality = random_uniform(
            [], min_jpeg_quality, max_jpeg_quality, seed=seed, dtype=dtypes.int32
        )
        return adjust_jpeg_quality(image, quality)
