"""Windows of images. Places and sizes are on the host; noise is drawn there, too."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

_FAR = 1 << 40  # pixels; nothing is there


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _starts(
    offsets: Any, image: tuple[int, int], size: list[int], centered: bool, normalized: bool
) -> Any:
    """The first row and column of each window, as TensorFlow rounds: in float32, towards zero."""
    whole, window = np.array(image, np.float32), np.array(size, np.float32)
    places = offsets.astype(np.float32)
    if normalized:
        places = places * whole
    if centered:
        places = places / np.float32(2) + whole / np.float32(2)
    places = places - window / np.float32(2)
    return np.clip(np.nan_to_num(places, nan=-_FAR), -_FAR, _FAR).astype(np.int64).tolist()


def _noise(xp: Any, like: Any, shape: tuple[int, ...], noise: bytes) -> Any:
    if noise == b"zero" or not like.size:
        return xp.zeros(shape, np.float32)
    rng = np.random.default_rng()
    low, high = float(like.min()), float(like.max())
    if noise == b"uniform":
        drawn = rng.uniform(low, high, shape)
    else:
        drawn = np.clip(rng.normal(float(like.mean()), float(like.std()), shape), low, high)
    return xp.asarray(drawn.astype(np.float32))


@kernel("ExtractGlimpse", host=["size", "offsets"])
def extract_glimpse(
    xp: Any,
    input: Any,
    size: Any,
    offsets: Any,
    centered: bool,
    normalized: bool,
    noise: bytes,
) -> Any:
    """A window of each image."""
    if input.ndim != 4:
        raise _refuse(f"input must be 4-dimensional {debug_string(input.shape)}")
    if size.shape != (2,):
        raise _refuse(f"input must be a vector of size 2, got {debug_string(size.shape)}")
    if offsets.shape != (input.shape[0], 2):
        raise _refuse(f"input must be a matrix of [{input.shape[0]}, 2], got "
                      f"{debug_string(offsets.shape)}")  # fmt: skip
    if noise not in (b"uniform", b"gaussian", b"zero"):
        raise _refuse(f"The noise could only be uniform, gaussian or zero, not {noise.decode()}")
    height, width = size.tolist()
    if height <= 0 or width <= 0:
        raise _refuse(f"glimpse height and width must be positive, got {height}, {width}")
    batch, rows, columns, channels = input.shape
    result = xp.empty((batch, height, width, channels), np.float32)
    starts = _starts(offsets, (rows, columns), [height, width], centered, normalized)
    for number, (top, left) in enumerate(starts):
        if top < 0 or left < 0 or top + height > rows or left + width > columns:
            result[number] = _noise(xp, input, result.shape[1:], noise)
        above, before = max(top, 0), max(left, 0)
        part = input[number, above : max(top + height, 0), before : max(left + width, 0)]
        if part.size:
            down, right = above - top, before - left
            inside = slice(down, down + part.shape[0]), slice(right, right + part.shape[1])
            result[(number, *inside)] = part
    return result
