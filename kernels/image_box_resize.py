"""Parts of images made of one size: what each pixel takes is found on the host."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


class _Line:
    """Where the pixels of parts lie along one axis, `[boxes, pixels]`, in pixels of the image."""

    def __init__(self, first: Any, last: Any, count: int, size: int) -> None:
        most = np.float32(size - 1)
        self.steps = np.arange(count, dtype=np.float32)
        if count > 1:
            scale = (last - first) * most / np.float32(count - 1)
            places = (first * most)[:, None] + self.steps * scale[:, None]
            #: How far a place moves when the last, and the first edge of the box do.
            self.of_last = self.steps * most / np.float32(count - 1)
            self.of_first = most - self.of_last
        else:
            places = np.float32(0.5) * (first + last)[:, None] * most
            self.of_first = self.of_last = np.full(1, np.float32(0.5) * most)
        self.inside = (places >= 0) & (places <= most)
        places = np.where(self.inside, places, np.float32(0))
        self.before = np.floor(places).astype(np.int64)
        self.after = np.ceil(places).astype(np.int64)
        self.nearest = np.floor(places.astype(np.float64) + 0.5).astype(np.int64)
        self.part = places - np.floor(places)


def _checked(boxes: Any, box_ind: Any, batch: int) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise _refuse(f"boxes must be 2-D and have 4 columns{debug_string(boxes.shape)}")
    if box_ind.shape != boxes.shape[:1]:
        raise _refuse(f"box_index has incompatible shape{debug_string(box_ind.shape)}")
    if box_ind.size and not (box_ind.min() >= 0 and box_ind.max() < batch):
        raise _refuse("box_index has values outside [0, batch_size)")


def _check_image(shape: Any) -> None:
    if len(shape) != 4:
        raise _refuse(f"input image must be 4-D{debug_string(tuple(shape))}")
    if shape[1] <= 0 or shape[2] <= 0:
        raise _refuse("image dimensions must be positive")


def _lines(boxes: Any, size: Any, image: Any) -> tuple[_Line, _Line]:
    rows = _Line(boxes[:, 0], boxes[:, 2], size[0], image[1])
    return rows, _Line(boxes[:, 1], boxes[:, 3], size[1], image[2])


def _corners(rows: _Line, columns: _Line, method: bytes) -> list[tuple[Any, Any, Any, Any]]:
    """Rows, columns, and how much to take of them; zero outside of the image."""
    if method == b"nearest":
        inside = rows.inside.astype(np.float32), columns.inside.astype(np.float32)
        return [(rows.nearest, columns.nearest, *inside)]
    one = np.float32(1)
    found = []
    for row, down in ((rows.before, one - rows.part), (rows.after, rows.part)):
        for column, across in ((columns.before, one - columns.part), (columns.after, columns.part)):
            found.append((row, column, down * rows.inside, across * columns.inside))
    return found


@kernel("CropAndResize", host=["boxes", "box_ind", "crop_size"])
def crop_and_resize(
    xp: Any,
    image: Any,
    boxes: Any,
    box_ind: Any,
    crop_size: Any,
    method: bytes,
    extrapolation_value: float,
) -> Any:
    """Each pixel from the one, or the four, at its place."""
    _check_image(image.shape)
    _checked(boxes, box_ind, image.shape[0])
    if crop_size.shape != (2,):
        raise _refuse(f"crop_size must have two elements{debug_string(crop_size.shape)}")
    height, width = crop_size.tolist()
    if height <= 0 or width <= 0:
        raise _refuse("crop dimensions must be positive")
    rows, columns = _lines(boxes, (height, width), image.shape)
    numbers = xp.asarray(box_ind.astype(np.int64)[:, None, None])

    def at(row: Any, column: Any) -> Any:
        index = numbers, xp.asarray(row[:, :, None]), xp.asarray(column[:, None, :])
        return image[index].astype(np.float32)

    if method == b"nearest":
        result = at(rows.nearest, columns.nearest)
    else:
        across = xp.asarray(columns.part[:, None, :, None])
        down = xp.asarray(rows.part[:, :, None, None])
        ends = []
        for row in (rows.before, rows.after):
            start = at(row, columns.before)
            ends.append(start + (at(row, columns.after) - start) * across)
        result = ends[0] + (ends[1] - ends[0]) * down
    inside = xp.asarray((rows.inside[:, :, None] & columns.inside[:, None, :])[..., None])
    return xp.where(inside, result, np.float32(extrapolation_value))


@kernel("CropAndResizeGradImage", host=["boxes", "box_ind", "image_size"])
def crop_and_resize_grad_image(
    xp: Any, grads: Any, boxes: Any, box_ind: Any, image_size: Any, T: Any, method: bytes
) -> Any:
    """What each pixel gave, summed."""
    if image_size.shape != (4,):
        raise _refuse(f"image_size must have four elements{debug_string(image_size.shape)}")
    shape = image_size.tolist()
    _check_image(shape)
    if min(shape) < 0 or grads.ndim != 4 or grads.shape[3] != shape[3]:
        raise _refuse("image_size and grads are incompatible")
    _checked(boxes, box_ind, shape[0])
    rows, columns = _lines(boxes, grads.shape[1:3], shape)
    total = xp.zeros((math.prod(shape[:3]), shape[3]), np.float64 if T.size == 8 else np.float32)
    image = box_ind.astype(np.int64)[:, None, None] * shape[1]
    for row, column, down, across in _corners(rows, columns, method):
        places = (image + row[:, :, None]) * shape[2] + column[:, None, :]
        weights = xp.asarray((down[:, :, None] * across[:, None, :])[..., None])
        given = (grads * weights).reshape(-1, shape[3]).astype(total.dtype, copy=False)
        xp.add.at(total, xp.asarray(places.reshape(-1)), given)
    return total.reshape(shape).astype(T.numpy, copy=False)


@kernel("CropAndResizeGradBoxes", host=["boxes", "box_ind"])
def crop_and_resize_grad_boxes(xp: Any, grads: Any, image: Any, boxes: Any, box_ind: Any) -> Any:
    """How the pixels change when the edges of the boxes move."""
    _check_image(image.shape)
    _checked(boxes, box_ind, image.shape[0])
    if grads.ndim != 4 or grads.shape[0] != len(boxes) or grads.shape[3] != image.shape[3]:
        raise _refuse("depth or boxes of grads and image are incompatible")
    rows, columns = _lines(boxes, grads.shape[1:3], image.shape)
    numbers = xp.asarray(box_ind.astype(np.int64)[:, None, None])

    def at(row: Any, column: Any) -> Any:
        index = numbers, xp.asarray(row[:, :, None]), xp.asarray(column[:, None, :])
        return (image[index].astype(np.float32) * grads).sum(axis=3)

    above = [at(rows.before, columns.before), at(rows.before, columns.after)]
    below = [at(rows.after, columns.before), at(rows.after, columns.after)]
    across, down = (xp.asarray(part) for part in (columns.part[:, None, :], rows.part[:, :, None]))
    inside = xp.asarray(rows.inside[:, :, None] & columns.inside[:, None, :])
    to_row = ((1 - across) * (below[0] - above[0]) + across * (below[1] - above[1])) * inside
    to_column = ((1 - down) * (above[1] - above[0]) + down * (below[1] - below[0])) * inside
    by_row, by_column = to_row.sum(axis=2), to_column.sum(axis=1)
    edges = [
        (by_row, rows.of_first),
        (by_column, columns.of_first),
        (by_row, rows.of_last),
        (by_column, columns.of_last),
    ]
    sums = [(slopes * xp.asarray(moves)).sum(axis=1) for slopes, moves in edges]
    return xp.stack(sums, axis=1).astype(np.float32)
