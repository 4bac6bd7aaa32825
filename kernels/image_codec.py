"""Images out of files and into files: on the host, JPEG, PNG and GIF through Pillow."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError, OpError, UnimplementedError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels import image_codec_gif as gif
from tfsession.kernels import image_codec_png as png

_MOST = 1 << 29  # bytes of an image, however few its file has
_KINDS = ((b"\xff\xd8\xff", "JPEG"), (png.SIGNATURE, "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"))
_METHODS = ("", "INTEGER_FAST", "INTEGER_ACCURATE")


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _opener(kind: str) -> Any:
    """Pillow's reader of one kind of files: the class itself, which tries no other kinds."""
    try:
        from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin  # noqa: PLC0415
    except ImportError as error:
        text = f"{kind} files need Pillow, which is not installed: pip install 'tfsession[image]'"
        raise UnimplementedError(None, None, text) from error
    return {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }[kind]


def _check_size(size: int) -> None:
    if size > _MOST:
        raise _refuse(f"Image too large: {size} bytes, of which at most {_MOST} are decoded")


def _kind_of(contents: Any) -> tuple[bytes, str]:
    if contents.ndim:
        raise _refuse(f"`contents` must be scalar but got shape{debug_string(contents.shape)}")
    data: bytes = contents[()]
    if not data:
        raise _refuse("Input is empty.")
    for start, kind in _KINDS:
        if data.startswith(start):
            return data, kind
    raise _refuse("Unknown image file format. One of JPEG, PNG, GIF, BMP required.")


def _check_channels(channels: int) -> None:
    if channels not in (0, 1, 3, 4):
        raise _refuse(f"`channels` must be 0, 1, 3 or 4 but got {channels}")


# --- kinds ----------------------------------------------------------------------------------------


def _jpeg(data: bytes, channels: int, ratio: int = 1, recover: bool = False) -> Any:
    if channels == 4:
        raise _refuse("JPEG does not support 4 channels")
    opened = _opener("JPEG")
    # With a mark of the end, what is missing before it is filled with gray.
    image = opened(io.BytesIO(data + b"\xff\xd9" if recover else data))
    width, height = image.size
    _check_size(width * height * 3)
    smaller = None if ratio == 1 else (max(width // ratio, 1), max(height // ratio, 1))
    if image.mode == "CMYK":
        if channels == 1:
            raise _refuse("Invalid JPEG data: Unsupported color conversion request")
        image.draft("CMYK", smaller)
        return _from_cmyk(np.asarray(image), "adobe" in image.info)
    image.draft("L" if channels == 1 else image.mode, smaller)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], channels or 1, axis=-1)
    return pixels


def _from_cmyk(pixels: Any, is_inverted: bool) -> Any:
    """RGB; Pillow takes all files for inverted ones, as Adobe writes them."""
    kept = (255 - pixels if is_inverted else 255 - (255 - pixels)).astype(np.int64)
    return (kept[..., :3] * kept[..., 3:] // 255).astype(np.uint8)


def _png(data: bytes, channels: int) -> Any:
    header = png.Header(data)
    _check_size(header.bytes)
    image = png.decoded(data, header, _opener("PNG"))
    return png.with_channels(image, channels, header.key)


def _gif(data: bytes, channels: int) -> Any:
    if channels not in (0, 3):
        raise _refuse(f"channels must be 0 or 3 for GIF, got {channels}")
    frames = gif.Frames(data)
    if not frames.count:
        raise _refuse(f"Invalid GIF data (size {len(data)}), no frames")
    _check_size(frames.count * frames.width * frames.height * 3)
    return gif.decoded(frames, _opener("GIF"))


def _bmp(data: bytes, channels: int) -> Any:
    if channels not in (0, 3, 4):
        raise _refuse(f"`channels` must be 0, 3 or 4 for BMP, but got {channels}")
    if len(data) < 32:
        raise _refuse(
            "Incomplete bmp content, requires at least 32 bytes to find the header size, width, "
            f"height, and bpp, got {len(data)} bytes"
        )
    start, _, width, signed, _, bits = struct.unpack_from("<iiiihh", data, 10)
    count, height = bits // 8, abs(signed)
    if channels and channels != count:
        raise _refuse(f"channels attribute {channels} does not match bits per pixel from file "
                      f"{count}")  # fmt: skip
    if count not in (1, 3, 4):
        raise _refuse(f"Number of channels inherent in the image must be 1, 3 or 4, was {count}")
    if width <= 0 or not height or start < 0:
        raise _refuse(f"Invalid BMP data: width {width}, height {signed}, pixels at {start}")
    _check_size(width * height * count)
    row = (count * width + 3) // 4 * 4
    rest = len(data) - start - row * height
    if not 0 <= rest <= 10:
        raise _refuse(
            f"Input size should match (header_size + row_size * abs_height) but they differ by "
            f"{rest}"
        )
    rows = np.frombuffer(data, np.uint8, row * height, start).reshape(height, row)
    pixels = rows[:: -1 if signed > 0 else 1, : count * width].reshape(height, width, count)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[count]
    return pixels[..., order]


# --- ops that decode ------------------------------------------------------------------------------


def _decoded(kind: str, data: bytes, channels: int, **how: Any) -> Any:
    """Whatever is wrong with the bytes is the caller's mistake; Pillow has many errors for it."""
    try:
        if kind == "JPEG":
            return _jpeg(data, channels, **how)
        return {"PNG": _png, "GIF": _gif, "BMP": _bmp}[kind](data, channels)
    except (OpError, MemoryError):
        raise
    except Exception as error:
        told = "jpeg::Uncompress failed. " if kind == "JPEG" else ""
        end = " or crop window." if kind == "JPEG" else f", size {len(data)}"
        raise _refuse(f"{told}Invalid {kind} data{end} ({error})") from error


def _one_image(op: str, contents: Any, channels: int, **how: Any) -> Any:
    """An image, whatever its file; animations and BMP files have ops of their own."""
    _check_channels(channels)
    data, kind = _kind_of(contents)
    if kind == "BMP":
        raise _refuse(
            "Trying to decode BMP format using a wrong op. Use `decode_bmp` or `decode_image` "
            f"instead. Op used: {op}"
        )
    image = _decoded(kind, data, channels, **how)
    if image.ndim == 4:
        if image.shape[0] > 1:
            raise _refuse(
                f"Got {image.shape[0]} frames, but animated gifs can only be decoded by "
                "tf.io.decode_gif or tf.io.decode_image"
            )
        image = image[0]
    return image


def _as_bytes(image: Any) -> Any:
    image = image if image.dtype == np.uint8 else image >> 8
    return np.ascontiguousarray(image, np.uint8)


def _as_type(image: Any, kind: str, dtype: DType) -> Any:
    """Scaled as TensorFlow scales it: PNG files exactly, others by 256."""
    if dtype.name == "uint8":
        return _as_bytes(image)
    if dtype.name == "float32" and kind != "PNG":
        return image.astype(np.float32) * np.float32(1 / 255)
    if image.dtype == np.uint8:
        image = image.astype(np.uint16) * np.uint16(257 if kind == "PNG" else 256)
    if dtype.name == "float32":
        return image.astype(np.float32) * np.float32(1 / 65535)
    return np.ascontiguousarray(image, np.uint16)


def _check_jpeg(ratio: int, dct_method: bytes) -> None:
    if ratio not in (1, 2, 4, 8):
        raise _refuse(f"ratio must be 1, 2, 4, or 8, got {ratio}")
    if dct_method.decode() not in _METHODS:
        raise _refuse("dct_method must be one of {'', 'INTEGER_FAST', 'INTEGER_ACCURATE'}")


@kernel("DecodeJpeg", device="CPU")
def decode_jpeg(
    xp: Any, contents: Any, channels: int, ratio: int, dct_method: bytes,
    try_recover_truncated: bool,
) -> Any:  # fmt: skip
    """The image of a file."""
    _check_jpeg(ratio, dct_method)
    how = {"ratio": ratio, "recover": try_recover_truncated}
    return _as_bytes(_one_image("DecodeJpeg", contents, channels, **how))


@kernel("DecodeAndCropJpeg", device="CPU")
def decode_and_crop_jpeg(
    xp: Any, contents: Any, crop_window: Any, channels: int, ratio: int, dct_method: bytes,
    try_recover_truncated: bool,
) -> Any:  # fmt: skip
    """A part of the image of a file."""
    _check_jpeg(ratio, dct_method)
    if crop_window.shape != (4,):
        raise _refuse(f"crop_window must have four elements {debug_string(crop_window.shape)}")
    how = {"ratio": ratio, "recover": try_recover_truncated}
    image = _one_image("DecodeAndCropJpeg", contents, channels, **how)
    top, left, height, width = crop_window.tolist()
    inside = top >= 0 and top + height <= image.shape[0] and left >= 0
    if not (inside and left + width <= image.shape[1] and height > 0 and width > 0):
        raise _refuse("jpeg::Uncompress failed. Invalid JPEG data or crop window.")
    return _as_bytes(image[top : top + height, left : left + width])


@kernel("DecodePng", device="CPU")
def decode_png(xp: Any, contents: Any, channels: int, dtype: DType) -> Any:
    """The image of a file."""
    image = _one_image("DecodePng", contents, channels)
    return _as_type(image, "PNG" if contents[()].startswith(png.SIGNATURE) else "", dtype)


@kernel("DecodeGif", device="CPU")
def decode_gif(xp: Any, contents: Any) -> Any:
    """All images of a file."""
    data, kind = _kind_of(contents)
    if kind == "GIF":
        return _decoded(kind, data, 0)
    return _as_bytes(_one_image("DecodeGif", contents, 3))[None]


@kernel("DecodeBmp", device="CPU")
def decode_bmp(xp: Any, contents: Any, channels: int) -> Any:
    """The image of a file."""
    data, kind = _kind_of(contents)
    if kind != "BMP":
        raise _refuse(
            f"Trying to decode {kind} format using DecodeBmp op. Use `decode_{kind.lower()}` or "
            "`decode_image` instead."
        )
    return _as_bytes(_decoded(kind, data, channels))


@kernel("DecodeImage", device="CPU")
def decode_image(
    xp: Any, contents: Any, channels: int, dtype: DType, expand_animations: bool
) -> Any:
    """The image of a file, or all images of an animation."""
    _check_channels(channels)
    data, kind = _kind_of(contents)
    image = _decoded(kind, data, channels)
    if image.ndim == 4 and not expand_animations:
        image = image[0]
    return _as_type(image, kind, dtype)


@kernel("ExtractJpegShape", device="CPU")
def extract_jpeg_shape(xp: Any, contents: Any, output_type: DType) -> Any:
    """Height, width and channels, of the header alone."""
    if contents.ndim:
        raise _refuse(f"contents must be scalar, got shape {debug_string(contents.shape)}")
    data: bytes = contents[()]
    opened = _opener("JPEG")
    try:
        image = opened(io.BytesIO(data))
    except Exception as error:
        raise _refuse(f"Invalid JPEG data, size {len(data)}") from error
    return np.array([*image.size[::-1], len(image.getbands())], output_type.numpy)


# --- ops that encode ------------------------------------------------------------------------------


def _object(values: list[bytes], shape: tuple[int, ...]) -> Any:
    result = np.empty(len(values), object)
    result[:] = values
    return result.reshape(shape)


@kernel("EncodePng", device="CPU")
def encode_png(xp: Any, image: Any, compression: int) -> Any:
    """The file of each image."""
    if image.ndim < 3:
        raise _refuse(f"image must be at least 3-dimensional {debug_string(image.shape)}")
    if not -1 <= compression <= 9:
        raise _refuse(f"compression should be in [-1,9], got {compression}")
    *batch, height, width, channels = image.shape
    if channels not in (1, 2, 3, 4):
        raise _refuse(f"image must have 1, 2, 3, or 4 channels, got {channels}")
    if not height or not width:
        raise _refuse(f"image must have pixels, got {debug_string(image.shape)}")
    flat = image.reshape(-1, height, width, channels)
    return _object([png.encoded(one, compression) for one in flat], tuple(batch))


def _encode_jpeg(
    image: Any,
    quality: int,
    density: tuple[int, int, int] = (1, 300, 300),
    downsampled: bool = True,
    **options: Any,
) -> Any:
    if image.ndim != 3:
        raise _refuse(f"image must be 3-dimensional {debug_string(image.shape)}")
    shape = debug_string(image.shape)
    if image.shape[2] not in (1, 3):
        raise _refuse(f"image must have 1 or 3 channels, got {shape}")
    if not 0 <= quality <= 100:
        raise _refuse(f"quality must be in [0,100], got {quality}")
    if not image.size or max(image.shape) > 65500:
        raise _refuse(f"JPEG encoding failed: no such file has {shape} pixels")
    _opener("JPEG")
    from PIL import Image  # noqa: PLC0415

    pixels = image[..., 0] if image.shape[2] == 1 else image
    options["subsampling"] = 2 if downsampled and image.shape[2] == 3 else 0
    target = io.BytesIO()
    try:
        whole = Image.fromarray(np.ascontiguousarray(pixels))
        whole.save(target, "JPEG", quality=quality, **options)
    except (OSError, ValueError) as error:
        raise _refuse(f"JPEG encoding failed: {error}") from error
    file = target.getbuffer()
    struct.pack_into(">BHH", file, 13, *density)  # in the JFIF header, where files begin
    return _object([bytes(file)], ())


@kernel("EncodeJpeg", device="CPU")
def encode_jpeg(
    xp: Any, image: Any, format: bytes, quality: int, progressive: bool, optimize_size: bool,
    chroma_downsampling: bool, density_unit: bytes, x_density: int, y_density: int,
    xmp_metadata: bytes,
) -> Any:  # fmt: skip
    """The file of an image."""
    wanted = {b"grayscale": 1, b"rgb": 3}.get(format)
    if wanted and image.ndim == 3 and image.shape[2] != wanted:
        raise _refuse(f"format {format.decode()} expects {wanted} channels, got "
                      f"{debug_string(image.shape)}")  # fmt: skip
    if not (0 <= x_density < 1 << 16 and 0 <= y_density < 1 << 16):
        raise _refuse(f"JPEG encoding failed: no file has a density of {x_density}, {y_density}")
    options: dict[str, Any] = {"xmp": xmp_metadata} if xmp_metadata else {}
    return _encode_jpeg(
        image,
        quality,
        progressive=progressive,
        optimize=optimize_size,
        density=(2 if density_unit == b"cm" else 1, x_density, y_density),
        downsampled=chroma_downsampling,
        **options,
    )


@kernel("EncodeJpegVariableQuality", device="CPU")
def encode_jpeg_variable_quality(xp: Any, images: Any, quality: Any) -> Any:
    """The file of an image, of a quality that is an input."""
    if quality.ndim:
        raise _refuse(f"quality must be a scalar, got shape {debug_string(quality.shape)}")
    return _encode_jpeg(images, int(quality))
