"""Summaries: what a step tells of its tensors, as serialized `tf.Summary` messages, on the host."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np

from tfsession.core import png, protos
from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.tensor_proto import content_proto

_LARGEST: Final = float(np.finfo(np.float64).max)
# Numbers are summed one after another, so many at a time.
_BLOCK: Final = 1 << 16


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _serialized(*values: Any) -> Any:
    return np.array(protos.Summary(value=values).SerializeToString(), object)


def _text(tag: bytes) -> str:
    return tag.decode(errors="replace")


def _scalar_tag(tag: Any, error: str = "tag must be scalar") -> str:
    if tag.shape != ():
        raise _refuse(error)
    return _text(tag[()])


@kernel("ScalarSummary", device="CPU")
def scalar_summary(xp: Any, tags: Any, values: Any) -> Any:
    """A value for each tag."""
    if tags.shape != values.shape:
        single = f" (tag '{_text(tags.item())}')" if tags.size == 1 else ""
        raise _refuse(
            "tags and values are not the same shape: "
            f"{debug_string(tags.shape)} != {debug_string(values.shape)}{single}"
        )
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32).ravel().tolist()
    return _serialized(
        *(
            protos.Summary.Value(tag=_text(tag), simple_value=number)
            for tag, number in zip(tags.ravel().tolist(), numbers, strict=True)
        )
    )


@cache
def _bucket_limits() -> Any:
    """The upper ends of the buckets: they grow by 10 % from 1e-12 to 1e20, and so below zero."""
    growing = [1e-12]
    while growing[-1] * 1.1 < 1e20:
        growing.append(growing[-1] * 1.1)
    growing.append(_LARGEST)
    return np.array([*(-x for x in reversed(growing)), 0.0, *growing])


def _sums(values: Any) -> tuple[float, float]:
    """The sum of numbers and of their squares, added up in their order, as TensorFlow does."""
    total = squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, values.size, _BLOCK):
            block = values[start : start + _BLOCK]
            total = float(np.add.accumulate(np.append(total, block))[-1])
            squares = float(np.add.accumulate(np.append(squares, block * block))[-1])
    return total, squares


def _histogram(values: Any) -> Any:
    """The HistogramProto of finite float64 numbers; a run of empty buckets is told as one."""
    limits = _bucket_limits()
    if not values.size:
        return protos.HistogramProto(
            min=_LARGEST, max=-_LARGEST, bucket_limit=[_LARGEST], bucket=[0.0]
        )
    places = np.minimum(np.searchsorted(limits, values, side="right"), len(limits) - 1)
    counts = np.bincount(places, minlength=len(limits))
    told = counts > 0
    told[:-1] |= told[1:]  # the last of the empty ones before a full one
    told[-1] = True
    total, squares = _sums(values)
    return protos.HistogramProto(
        min=values[values.argmin()],
        max=values[values.argmax()],
        num=values.size,
        sum=total,
        sum_squares=squares,
        bucket_limit=limits[told].tolist(),
        bucket=counts[told].tolist(),
    )


@kernel("HistogramSummary", device="CPU", stateful=True)
def histogram_summary(ctx: Any, tag: Any, values: Any) -> Any:
    """How the values are spread; an error names the operation."""
    text = _scalar_tag(tag, "tags must be scalar")
    numbers = values.astype(np.float64).ravel()
    if not np.isfinite(numbers).all():
        first = numbers[~np.isfinite(numbers)][0]
        what = "Nan in summary histogram" if np.isnan(first) else "Infinity in Histogram"
        raise _refuse(f"{what} for: {ctx.name}")
    return _serialized(protos.Summary.Value(tag=text, histo=_histogram(numbers)))


def _tags(tag: str, kind: str, most: int, count: int) -> list[str]:
    """A tag for each of the first `most` images or sounds."""
    if most == 1:
        return [f"{tag}/{kind}"][:count]
    return [f"{tag}/{kind}/{i}" for i in range(min(most, count))]


def _as_bytes(image: Any, bad_color: Any) -> Any:
    """Pixels as uint8: scaled so that the farthest from zero is at an end of the range.

    The arithmetic is of the image's own dtype.
    """
    finite = np.isfinite(image).all(-1)
    good = image[finite]
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
    farthest = max(abs(low), abs(high)) if low < 0 else high
    middle, reach = (128, 127.0) if low < 0 else (0, 255.0)
    scale = np.float32(reach) / np.float32(farthest) if farthest >= 1e-6 else np.float32(0)
    with np.errstate(over="ignore"):
        scaled = good * image.dtype.type(scale) + image.dtype.type(middle)
    pixels = np.empty(image.shape, np.uint8)
    pixels[finite] = scaled
    pixels[~finite] = bad_color
    return pixels


@kernel("ImageSummary", device="CPU")
def image_summary(xp: Any, tag: Any, tensor: Any, *, max_images: int, bad_color: Any) -> Any:
    """The first images, each as a PNG file."""
    text = _scalar_tag(tag, "Tags must be a scalar")
    if tensor.ndim != 4 or tensor.shape[3] not in (1, 3, 4):
        raise _refuse(
            f"Tensor must be 4-D with last dim 1, 3, or 4, not {debug_string(tensor.shape)}"
        )
    count, height, width, depth = tensor.shape
    tags = _tags(text, "image", max_images, count)
    if 0 in tensor.shape[1:]:
        raise _refuse(f"input tensor must have non-zero dims. Found: {list(tensor.shape)}.")
    _check_color(bad_color, 0 if tensor.dtype == np.uint8 else depth)
    values = []
    for name, pixels in zip(tags, tensor, strict=False):
        shown = pixels if pixels.dtype == np.uint8 else _as_bytes(pixels, bad_color[:depth])
        file = png.encode(shown)
        protos.require_room(len(file))
        image = protos.Summary.Image(
            height=height, width=width, colorspace=depth, encoded_image_string=file
        )
        values.append(protos.Summary.Value(tag=name, image=image))
    return _serialized(*values)


def _check_color(bad_color: Any, depth: int) -> None:
    if bad_color.dtype != np.uint8:
        raise _refuse(f"bad_color must be uint8, got {bad_color.dtype}")
    if bad_color.ndim != 1:
        raise _refuse(f"bad_color must be a vector, got shape {debug_string(bad_color.shape)}")
    if bad_color.size < depth:
        raise _refuse(
            f"expected depth <= bad_color.size, got depth = {depth}, "
            f"bad_color.size = {bad_color.size}"
        )


def _wav(sound: Any, rate: int) -> bytes:
    """The WAV file of 16 bits of float32 samples, [frames, channels]; halves round away from 0."""
    with np.errstate(over="ignore"):
        scaled = np.nan_to_num(np.clip(sound * np.float32(1 << 15), -32768, 32767))
    samples = np.trunc(scaled + np.copysign(0.5, scaled, dtype=np.float64)).astype("<i2")
    channels = sound.shape[1]
    a_second = 2 * channels * rate & 0xFFFFFFFF
    layout = struct.pack("<IHHIIHH", 16, 1, channels, rate, a_second, 2 * channels & 0xFFFF, 16)
    data = samples.tobytes()
    protos.require_room(len(data))
    size = struct.pack("<I", 36 + len(data))
    return b"".join(
        (b"RIFF", size, b"WAVEfmt ", layout, b"data", struct.pack("<I", len(data)), data)
    )


@kernel("AudioSummaryV2", device="CPU")
def audio_summary(xp: Any, tag: Any, tensor: Any, sample_rate: Any, *, max_outputs: int) -> Any:
    """The first sounds, each as a WAV file."""
    text = _scalar_tag(tag, "Tag must be a scalar")
    if tensor.ndim not in (2, 3):
        raise _refuse(f"Tensor must be 3-D or 2-D, got: {debug_string(tensor.shape)}")
    if sample_rate.size != 1:
        raise _refuse("sample_rate must be rank-0 or contain a single value")
    rate = sample_rate.item()
    if not rate > 0:
        raise _refuse("sample_rate must be > 0")
    if not rate < 2.0**32:
        raise _refuse(f"sample_rate must be in (0, 2^32), got: {rate:.0f}")
    sounds = tensor if tensor.ndim == 3 else tensor[:, :, None]
    count, frames, channels = sounds.shape
    tags = _tags(text, "audio", max_outputs, count)
    if tags and not tensor.size:
        raise _refuse("audio is null")
    if channels >= 1 << 16:
        raise _refuse(f"num_channels must be in (0, 2^16), got: {channels}")
    return _serialized(
        *(
            protos.Summary.Value(
                tag=name,
                audio=protos.Summary.Audio(
                    sample_rate=rate,
                    num_channels=channels,
                    length_frames=frames,
                    encoded_audio_string=_wav(sound, max(1, round(rate))),
                    content_type="audio/wav",
                ),
            )
            for name, sound in zip(tags, sounds, strict=False)
        )
    )


def _parsed(inputs: Any) -> Iterator[Any]:
    for text in inputs:
        for serialized in text.ravel().tolist():
            try:
                yield protos.Summary.FromString(serialized)
            except protos.DecodeError:
                raise _refuse("Could not parse one of the summary inputs") from None


@kernel("MergeSummary", device="CPU")
def merge_summary(xp: Any, *inputs: Any) -> Any:
    """All values of all inputs; only those without a tag may be alike."""
    values = [value for summary in _parsed(inputs) for value in summary.value]
    seen: set[str] = set()
    for value in values:
        if value.tag in seen:
            raise _refuse(f"Duplicate tag {value.tag} found in summary inputs ")
        seen.update(filter(None, [value.tag]))
    return _serialized(*values)


@kernel("TensorSummary", device="CPU", stateful=True)
def tensor_summary(ctx: Any, tensor: Any, *, T: DType) -> Any:
    """The whole tensor, under the operation's name."""
    return _serialized(protos.Summary.Value(node_name=ctx.name, tensor=content_proto(tensor)))


@kernel("TensorSummaryV2", device="CPU")
def tensor_summary_v2(
    xp: Any, tag: Any, tensor: Any, serialized_summary_metadata: Any, *, T: DType
) -> Any:
    """The whole tensor, under its tag, with what viewers should know."""
    text = _scalar_tag(tag)
    if serialized_summary_metadata.shape != ():
        raise _refuse("serialized_summary_metadata must be scalar")
    try:
        metadata = protos.SummaryMetadata.FromString(serialized_summary_metadata[()])
    except protos.DecodeError:
        metadata = protos.SummaryMetadata()
    return _serialized(
        protos.Summary.Value(tag=text, tensor=content_proto(tensor), metadata=metadata)
    )
