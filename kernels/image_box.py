"""Boxes in images. Boxes are few: they are on the host, and what follows from them as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.resources.philox import Philox, words


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# What has not been found in so many attempts, a second of them, will hardly be.
_MOST_ATTEMPTS = 100_000

# --- at random ------------------------------------------------------------------------------------


class _Words:
    """Random numbers as TensorFlow makes them of the words of a generator, one of each."""

    def __init__(self, stream: Iterator[int]) -> None:
        self._stream = stream

    def part(self) -> Any:
        """From 0 to 1, without 1."""
        return np.float32(next(self._stream) & 0x7FFFFF) / np.float32(1 << 23)

    def below(self, count: int) -> int:
        """A whole number."""
        return next(self._stream) % count


def _rounded(x: Any) -> int:
    return int(np.rint(np.float32(x)))


def _crop(width: int, height: int, least: Any, most: Any, ratio: Any, draw: _Words) -> Any:
    """A part of an image, as first and last row and column; None where there is none.

    Areas are float32, as all that is made of them, so that it rounds as TensorFlow does.
    """
    if most <= 0 or ratio <= 0 or width <= 0 or height <= 0 or least > most:
        return None
    least, most = (np.float32(a) * np.float32(width) * np.float32(height) for a in (least, most))
    rows, most_rows = (_rounded(np.sqrt(area / ratio)) for area in (least, most))
    if _rounded(np.float32(most_rows) * ratio) > width:
        most_rows = int((width + 0.5 - float(np.float32(1e-7))) / float(ratio))
        if _rounded(np.float32(most_rows) * ratio) > width:
            most_rows -= 1
    most_rows = min(most_rows, height)
    rows = min(rows, most_rows)
    if rows < most_rows:
        rows += draw.below(most_rows - rows + 1)
    columns = _rounded(np.float32(rows) * ratio)
    if np.float32(columns * rows) < least:
        rows += 1
        columns = _rounded(np.float32(rows) * ratio)
    if np.float32(columns * rows) > most:
        rows -= 1
        columns = _rounded(np.float32(rows) * ratio)
    if not least <= np.float32(columns * rows) <= most:
        return None
    if columns > width or rows > height or columns <= 0 or rows <= 0:
        return None
    top = draw.below(height - rows) if rows < height else 0
    left = draw.below(width - columns) if columns < width else 0
    return top, left, top + rows, left + columns


def _shows_enough(part: Any, boxes: list[Any], least: Any) -> bool:
    """Whether `part` covers at least that much of any box that has an area."""
    for box in boxes:
        area = _area(box)
        if area < 1:
            continue
        common = (*map(max, part[:2], box[:2]), *map(min, part[2:], box[2:]))
        covered = _area(common) if common[0] <= common[2] and common[1] <= common[3] else 0
        if np.float32(covered) / np.float32(area) >= least:
            return True
    return False


def _area(box: Any) -> int:
    return int((box[2] - box[0]) * (box[3] - box[1]))


def _boxes_of(bounding_boxes: Any, height: int, width: int, use_image: bool) -> list[Any]:
    """The boxes in pixels, the fractions cut off."""
    if bounding_boxes.size:
        if bounding_boxes.ndim != 3:
            raise _refuse("input boxes must be 3-dimensional [batch, num_boxes, coords]: "
                          f"{debug_string(bounding_boxes.shape)}")  # fmt: skip
        if bounding_boxes.shape[-1] != 4:
            raise _refuse("bounding boxes must have shape [4] in last dimension: "
                          f"{debug_string(bounding_boxes.shape)}")  # fmt: skip
        inside = (bounding_boxes >= 0) & (bounding_boxes <= 1)
        if not inside.all():
            wrong = bounding_boxes[~inside].flat[0]
            raise _refuse(f"All bounding box coordinates must be in [0.0, 1.0]: {wrong}")
    elif not use_image:
        raise _refuse(
            "No bounding boxes provided as input. One must enable use_image_if_no_bounding_boxes "
            "if you wish to not provide any bounding boxes."
        )
    sizes = np.array([height, width, height, width], np.float32)
    found: list[Any] = (bounding_boxes.reshape(-1, 4) * sizes).astype(np.int64).tolist()
    return found or [(0, 0, height, width)]


def _check_ranges(ratios: list[float], areas: list[float], attempts: int) -> None:
    for name, values in (("aspect_ratio_range", ratios), ("area_range", areas)):
        if len(values) != 2:
            raise _refuse(f"{name.split('_range')[0].replace('_', ' ')} range must be of length 2")
    if min(ratios) <= 0:
        raise _refuse(f"Aspect ratio range must be non-negative: {ratios}")
    if min(areas) <= 0 or max(areas) > 1:
        raise _refuse(f"Area range must be in (0, 1]: {areas}")
    if attempts <= 0:
        raise _refuse(f"Max attempts must be non-negative: {attempts}")


@kernel(
    "SampleDistortedBoundingBoxV2",
    stateful=True,
    host=["image_size", "bounding_boxes", "min_object_covered"],
    host_outputs=["begin", "size"],
)
def sample_distorted_bounding_box(
    ctx: Any,
    image_size: Any,
    bounding_boxes: Any,
    min_object_covered: Any,
    seed: int,
    seed2: int,
    aspect_ratio_range: list[float],
    area_range: list[float],
    max_attempts: int,
    use_image_if_no_bounding_boxes: bool,
) -> Any:
    """A random part of an image, with TensorFlow's random numbers."""
    _check_ranges(aspect_ratio_range, area_range, max_attempts)
    if image_size.shape != (3,):
        raise _refuse(f"image_size must contain 3 elements {debug_string(image_size.shape)}")
    if min_object_covered.ndim:
        raise _refuse(
            f"min_object_covered must be 0-D, got shape {debug_string(min_object_covered.shape)}"
        )
    if min_object_covered < 0:
        raise _refuse(f"Min object covered must be non-negative: {min_object_covered}")
    height, width = image_size.tolist()[:2]
    if height <= 0 or width <= 0:
        raise _refuse(f"Image height and width must be positive: {height}, {width}")
    boxes = _boxes_of(bounding_boxes, height, width, use_image_if_no_bounding_boxes)
    generator: Philox = ctx.state.get("philox") or ctx.state.setdefault(
        "philox", Philox(seed, seed2)
    )
    draw = _Words(words(generator.key, generator.reserve(max_attempts)))
    low, high = (np.float32(ratio) for ratio in aspect_ratio_range)
    found = None
    for _ in range(min(max_attempts, _MOST_ATTEMPTS)):
        ratio = draw.part() * (high - low) + low
        part = _crop(width, height, *map(np.float32, area_range), ratio, draw)
        if part is not None and _shows_enough(part, boxes, min_object_covered):
            found = part
            break
    top, left, bottom, right = found or (0, 0, height, width)
    begin = np.array([top, left, 0]).astype(image_size.dtype)
    size = np.array([bottom - top, right - left, -1]).astype(image_size.dtype)
    parts = np.array([top, left, bottom, right], np.float32) / np.array([height, width] * 2, "f4")
    return begin, size, ctx.xp.asarray(parts.reshape(1, 1, 4))


# --- drawn ----------------------------------------------------------------------------------------

_COLORS = np.array(
    [
        *((1, 1, 0, 1), (0, 0, 1, 1), (1, 0, 0, 1), (0, 1, 0, 1), (0.5, 0, 0.5, 1)),
        *((0.5, 0.5, 0, 1), (0.5, 0, 0, 1), (0, 0, 0.5, 1), (0, 1, 1, 1), (1, 0, 1, 1)),
    ],
    np.float32,
)


def _draw(images: Any, boxes: Any, colors: Any) -> Any:
    if images.ndim != 4:
        raise _refuse(f"The rank of the images should be 4, not {images.ndim}")
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise _refuse(f"The boxes should be [batch, N, 4], not {debug_string(boxes.shape)}")
    if images.shape[0] != boxes.shape[0]:
        raise _refuse(f"The batch sizes should be the same: {images.shape[0]}, {boxes.shape[0]}")
    batch, height, width, depth = images.shape
    if not len(colors) or colors.shape[1] < depth:
        raise _refuse(f"{debug_string(colors.shape)} colors are none of {depth} channels")
    result = images.copy()
    most = np.array([height - 1, width - 1] * 2, np.float32)
    with np.errstate(invalid="ignore"):
        corners = np.clip(np.nan_to_num(boxes * most), -(2**40), 2**40).astype(np.int64).tolist()
    for image in range(batch):
        for number, (top, left, bottom, right) in enumerate(corners[image]):
            if top > bottom or left > right or bottom < 0 or right < 0:
                continue
            color = colors[number % len(colors)][:depth].tolist()
            rows = slice(max(top, 0), min(bottom, height - 1) + 1)
            columns = slice(max(left, 0), min(right, width - 1) + 1)
            lines = [(row, columns) for row in (top, bottom) if 0 <= row < height]
            lines += [(rows, column) for column in (left, right) if 0 <= column < width]
            for line in lines:
                for channel, part in enumerate(color):
                    result[(image, *line, channel)] = part
    return result


@kernel("DrawBoundingBoxes", host=["boxes"])
def draw_bounding_boxes(xp: Any, images: Any, boxes: Any) -> Any:
    """In ten colors; white where there is one channel."""
    colors = _COLORS
    if images.shape[-1] == 1:
        colors = np.ones((1, 1), np.float32)
    return _draw(images, boxes, colors)


@kernel("DrawBoundingBoxesV2", host=["boxes", "colors"])
def draw_bounding_boxes_v2(xp: Any, images: Any, boxes: Any, colors: Any) -> Any:
    """In colors of the caller's."""
    if colors.ndim != 2:
        raise _refuse(f"colors must be a 2-D matrix, not {debug_string(colors.shape)}")
    return _draw(images, boxes, colors if colors.size else _COLORS)
