"""Where the pixels of a resized image lie in the old one, and how much they take from each.

An axis of an image is resized alone: position and weights of its pixels are the same in all rows.
`Taps` tells them: pixel `i` of the new axis is the sum over `k` of `weights[k, i]` times the old
pixel `indices[k, i]`. They are computed on the host in float32, as TensorFlow does, so that every
device and every release gives the same bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError

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
