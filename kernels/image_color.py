"""Colors of pixels: between RGB and HSV, and hue, saturation and contrast adjusted.

Hue runs from 0 to 1 around the color wheel. With the least and the greatest of a pixel's three
numbers, a channel is the least and what the wheel gives the channel at that hue of their range:
`least + range * wheel(hue)`; so no pixel is looked at by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _as_wide(x: Any) -> Any:
    """Computed in float32 at least."""
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)


def _hue(xp: Any, x: Any, top: Any, extent: Any) -> Any:
    """Hue from 0 to 6; 0 where there is none. `extent` is greatest less least."""
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    some = extent > 0
    norm = 1 / xp.where(some, extent, extent.dtype.type(1))
    hue = xp.where(
        red == top,
        norm * (green - blue),
        xp.where(green == top, norm * (blue - red) + 2, norm * (red - green) + 4),
    )
    hue = xp.where(some, hue, extent.dtype.type(0))
    return xp.where(hue < 0, hue + 6, hue)


def _wheel(xp: Any, hue: Any) -> list[Any]:
    """How much of red, green and blue there is at a hue from 0 to 6, from 0 to 1."""
    parts = (
        xp.absolute(hue - 3) - 1,
        2 - xp.absolute(hue - 2),
        2 - xp.absolute(hue - 4),
    )
    return [xp.clip(part, 0, 1) for part in parts]


def _check_pixels(x: Any, least_rank: int) -> None:
    if x.ndim < least_rank:
        raise _refuse(f"input must be at least {least_rank}-D, got shape{debug_string(x.shape)}")
    if x.shape[-1] != 3:
        raise _refuse(f"input must have 3 channels but instead has {x.shape[-1]} channels.")


def _check_factor(name: str, factor: Any) -> None:
    if factor.ndim:
        raise _refuse(f"{name} must be scalar: {debug_string(factor.shape)}")


@kernel("RGBToHSV")
def rgb_to_hsv(xp: Any, images: Any) -> Any:
    """Hue, saturation and value of each pixel."""
    _check_pixels(images, 1)
    x = _as_wide(images)
    top = x.max(axis=-1)
    extent = top - x.min(axis=-1)
    result = xp.empty(x.shape, images.dtype)
    result[..., 0] = _hue(xp, x, top, extent) / 6
    lit = top > 0
    result[..., 1] = xp.where(lit, extent / xp.where(lit, top, top.dtype.type(1)), 0)
    result[..., 2] = top
    return result


@kernel("HSVToRGB")
def hsv_to_rgb(xp: Any, images: Any) -> Any:
    """Red, green and blue of each pixel."""
    _check_pixels(images, 1)
    x = _as_wide(images)
    hue, saturation, value = (x[..., i] for i in range(3))
    result = xp.empty(x.shape, images.dtype)
    for channel, part in enumerate(_wheel(xp, hue * 6)):
        result[..., channel] = (1 - saturation + saturation * part) * value
    return result


@kernel("AdjustHue")
def adjust_hue(xp: Any, images: Any, delta: Any) -> Any:
    """All hues turned by a part of the wheel."""
    _check_pixels(images, 3)
    _check_factor("delta", delta)
    x = _as_wide(images)
    least, top = x.min(axis=-1), x.max(axis=-1)
    extent = top - least
    hue = (_hue(xp, x, top, extent) + delta * delta.dtype.type(6)) % 6
    result = xp.empty(x.shape, images.dtype)
    for channel, part in enumerate(_wheel(xp, hue)):
        result[..., channel] = least + part * extent
    return result


@kernel("AdjustSaturation")
def adjust_saturation(xp: Any, images: Any, scale: Any) -> Any:
    """All saturations times a factor, within 0 and 1."""
    _check_pixels(images, 3)
    _check_factor("scale", scale)
    x = _as_wide(images)
    top = x.max(axis=-1)
    extent = top - x.min(axis=-1)
    lit = top > 0
    saturation = xp.where(lit, extent / xp.where(lit, top, top.dtype.type(1)), 0)
    saturation = xp.clip(saturation * scale, 0, 1)
    colored = saturation * top
    result = xp.empty(x.shape, images.dtype)
    for channel, part in enumerate(_wheel(xp, _hue(xp, x, top, extent))):
        result[..., channel] = part * colored + (top - colored)
    return result


@kernel("AdjustContrastv2")
def adjust_contrast(xp: Any, images: Any, contrast_factor: Any) -> Any:
    """Distances from the mean of each channel of each image, times a factor."""
    if images.ndim < 3:
        raise _refuse(f"input must be at least 3-D, got shape{debug_string(images.shape)}")
    _check_factor("contrast_factor", contrast_factor)
    if images.size == 0:
        return images.copy()
    x = _as_wide(images)
    # In float64: the mean of many pixels, summed one after the other, would lose them.
    mean = x.mean(axis=(-3, -2), keepdims=True, dtype=np.float64).astype(x.dtype)
    return ((x - mean) * contrast_factor + mean).astype(images.dtype, copy=False)
