"""Where the pixels of a resized image lie in the old one, and how much they take from each.

An axis of an image is resized alone: position and weights of its pixels are the same in all rows.
`Taps` tells them: pixel `i` of the new axis is the sum over `k` of `weights[k, i]` times the old
pixel `indices[k, i]`. They are computed on the host in float32, as TensorFlow does, so that every
device and every release gives the same bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.errors import InvalidArgumentError

_BAND = 8  # rows of one product
_STEPS = 1 << 10  # between two pixels; the weights of cubic curves are tabulated there


def refuse(text: str) -> InvalidArgumentError:
    """The error for input that does not fit."""
    return InvalidArgumentError(None, None, text)


def scale_of(old: int, new: int, align_corners: bool) -> Any:
    """How far it is from a new pixel to the next, in old pixels."""
    if align_corners and new > 1:
        return np.float32(old - 1) / np.float32(new - 1)
    return np.float32(old) / np.float32(new)


def places(old: int, new: int, align_corners: bool, half_pixel_centers: bool) -> Any:
    """Where each new pixel lies, in old pixels."""
    scale = scale_of(old, new, align_corners)
    at = np.arange(new, dtype=np.float32)
    if half_pixel_centers:
        return (at + np.float32(0.5)) * scale - np.float32(0.5)
    return at * scale


def between(old: int, new: int, *how: bool) -> tuple[Any, Any, Any]:
    """The old pixels before and after each new one, and its distance from the former."""
    at = places(old, new, *how)
    floor = np.floor(at)
    lower = np.clip(floor, 0, old - 1).astype(np.int64)
    upper = np.clip(np.ceil(at), 0, old - 1).astype(np.int64)
    return lower, upper, at - floor


class Bands(NamedTuple):
    """New rows, a few at a time, as products of weights and of the old rows around them.

    `weights` are `[bands, rows of a band, old rows]`; the old rows of a band begin `step` rows
    behind those of the band before it, and those of the first at `first`.
    """

    new: slice
    first: int
    step: int
    weights: Any


class Rows(NamedTuple):
    """Some new rows: the old ones that they need, and which of these are above and below each.

    `part` is the distance from the row above, `[new, 1, 1]`; `bands` are empty where products cost
    more than they save.
    """

    needed: Any
    above: Any
    below: Any
    part: Any
    bands: list[Bands]


@lru_cache(maxsize=256)
def rows_between(start: int, stop: int, old: int, new: int, *how: bool) -> Rows:
    """The new rows from `start` on, of `between(old, new, *how)`."""
    above, below, part = (array[start:stop] for array in between(old, new, *how))
    needed, inner = np.unique(np.concatenate([above, below]), return_inverse=True)
    above, below = np.split(inner.reshape(-1), 2)
    first, last = int(needed[0]), int(needed[-1])
    is_range = needed.size == last + 1 - first
    bands = _bands(above, below, part) if needed.size <= 2 * above.size else []
    chosen = slice(first, last + 1) if is_range else needed
    return Rows(chosen, above, below, part[:, None, None], bands)


def _bands(above: Any, below: Any, part: Any) -> list[Bands]:
    starts, ends = above[::_BAND], np.maximum.reduceat(below, np.arange(0, below.size, _BAND)) + 1
    width = min(int((ends - starts).max()) + 1, int(ends[-1]))
    step = round(int(starts[-1] - starts[0]) / max(starts.size - 1, 1))
    found = []
    band = 0
    while band < starts.size:
        first = min(int(starts[band]), int(ends[-1]) - width)
        # So many bands from here on have what they need where they look for it.
        begins = first + step * np.arange(starts.size - band)
        fits = (begins <= starts[band:]) & (begins + width >= ends[band:])
        fits &= begins + width <= ends[-1]
        fits[1:] &= np.arange(band + 2, starts.size + 1) * _BAND <= above.size
        count = starts.size - band if fits.all() else int(fits.argmin())
        new = np.arange(band * _BAND, min((band + count) * _BAND, above.size))
        places, begin = new - new[0], begins[new // _BAND - band]
        weights = np.zeros((new.size, width), np.float32)
        rest = np.float32(1) - part[new]
        # Both together are one, so that what is the same everywhere stays so.
        weights[places, below[new] - begin] = np.float32(1) - rest
        weights[places, above[new] - begin] += rest
        weights = weights.reshape(count, -1, width)
        found.append(Bands(slice(int(new[0]), int(new[-1]) + 1), first, step, weights))
        band += count
    return found


def nearest(old: int, new: int, align_corners: bool, half_pixel_centers: bool) -> Any:
    """The old pixel that each new one is."""
    scale = scale_of(old, new, align_corners)
    at = np.arange(new, dtype=np.float32)
    at = (at + np.float32(0.5)) * scale if half_pixel_centers else at * scale
    if align_corners:
        at = np.floor(at.astype(np.float64) + 0.5)  # halves away from zero
    return np.clip(np.floor(at), 0, old - 1).astype(np.int64)


class Taps:
    """Old pixels and weights of each new pixel, `[taps, new]`; `old` is the number of old ones."""

    __slots__ = ("indices", "old", "weights")

    def __init__(self, old: int, indices: Any, weights: Any) -> None:
        self.old = old
        self.indices = indices
        self.weights = weights

    def transposed(self) -> Taps:
        """What each old pixel gives, and to which new ones: the taps of the gradient."""
        new = self.indices.shape[1]
        flat = self.indices.reshape(-1)
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=self.old)
        starts = np.cumsum(counts) - counts
        old = flat[order]
        rank = np.arange(flat.size) - starts[old]
        most = int(max(counts.max(), 1))
        # What is left over takes nothing, from a pixel that counts anyway.
        sources = order % new
        first = np.zeros(self.old, np.int64)
        first[counts > 0] = sources[starts[counts > 0]]
        indices = np.tile(first, (most, 1))
        weights = np.zeros((most, self.old), self.weights.dtype)
        indices[rank, old] = sources
        weights[rank, old] = self.weights.reshape(-1)[order]
        return Taps(new, indices, weights)


def linear(old: int, new: int, *how: bool) -> Taps:
    """Along the line between the two pixels around each place."""
    lower, upper, part = between(old, new, *how)
    return Taps(old, np.stack([lower, upper]), np.stack([np.float32(1) - part, part]))


def copied(old: int, new: int, *how: bool) -> Taps:
    """The nearest pixel."""
    return Taps(old, nearest(old, new, *how)[None], np.ones((1, new), np.float32))


@lru_cache(maxsize=2)
def _cubic_weights(slope: float) -> tuple[Any, Any]:
    x = (np.arange(_STEPS + 1) / _STEPS).astype(np.float32)
    near = ((slope + 2) * x.astype(np.float64) - (slope + 3)) * x * x + 1
    y = (x + np.float32(1)).astype(np.float64)
    far = ((slope * y - 5 * slope) * y + 8 * slope) * y - 4 * slope
    return near.astype(np.float32), far.astype(np.float32)


def cubic(old: int, new: int, align_corners: bool, half_pixel_centers: bool) -> Taps:
    """On the cubic curve through the four pixels around each place."""
    near, far = _cubic_weights(-0.5 if half_pixel_centers else -0.75)
    at = places(old, new, align_corners, half_pixel_centers)
    floor = np.floor(at)
    part = np.rint((at - floor) * np.float32(_STEPS)).astype(np.int64)
    wanted = floor.astype(np.int64) + np.arange(-1, 3)[:, None]
    indices = np.clip(wanted, 0, old - 1)
    weights = np.stack([far[part], near[part], near[_STEPS - part], far[_STEPS - part]])
    if half_pixel_centers:
        # Nothing counts that lies outside; what is inside makes up for it.
        weights = np.where(indices == wanted, weights, np.float32(0))
        total = weights[0] + weights[1] + weights[2] + weights[3]
        safe = np.abs(total) >= 1000 * np.finfo(np.float32).tiny
        weights = weights * np.where(safe, np.float32(1) / np.where(safe, total, 1), 1)
    return Taps(old, indices, weights.astype(np.float32))


def covered(old: int, new: int, align_corners: bool) -> Taps:
    """All pixels of which each new one covers a part, by the part's size in old pixels."""
    scale = scale_of(old, new, align_corners)
    start = np.arange(new, dtype=np.float32) * scale
    end = np.arange(1, new + 1, dtype=np.float32) * scale
    first = np.floor(start)
    most = int((np.ceil(end) - first).max())
    wanted = first + np.arange(most, dtype=np.float32)[:, None]
    parts = np.minimum(wanted + 1, end) - np.maximum(wanted, start)
    indices = np.clip(wanted, 0, old - 1).astype(np.int64)
    # A tap of nothing takes it from a pixel that counts anyway.
    indices = np.where(parts > 0, indices, np.clip(first, 0, old - 1).astype(np.int64))
    return Taps(old, indices, np.maximum(parts, 0).astype(np.float32))
