"""Gradients of colors."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.operation import Operation
from tfsession.ops.cast import cast
from tfsession.ops.compare import greater
from tfsession.ops.elementwise import div_no_nan
from tfsession.ops.reduce import argmax, argmin, reduce_sum
from tfsession.ops.reverse import reverse, roll
from tfsession.ops.sequence import one_hot

no_gradient("HSVToRGB", "AdjustContrastv2", "AdjustHue", "AdjustSaturation")


@gradient("RGBToHSV")
def _rgb_to_hsv(op: Operation, grad: Any) -> Any:
    """Value is the greatest, saturation range by greatest, hue a difference by the range.

    As in TensorFlow, saturation does not follow a channel that is zero.
    """
    image = op.inputs[0]
    dtype = image.dtype
    greatest = one_hot(argmax(image, -1), 3, dtype=dtype)
    least = reverse(one_hot(argmin(reverse(image, [-1]), -1), 3, dtype=dtype), [-1])
    value = reduce_sum(greatest * image, -1, keepdims=True)
    extent = value - reduce_sum(least * image, -1, keepdims=True)
    spread = greatest - least
    # For red it is green less blue, and so on around the wheel.
    turn = roll(greatest, 1, -1) - roll(greatest, -1, -1)
    way = reduce_sum(turn * image, -1, keepdims=True)
    hue = div_no_nan(turn, extent) - div_no_nan(way * spread, extent * extent)
    saturation = div_no_nan(spread, value) - div_no_nan(extent * greatest, value * value)
    saturation = saturation * cast(greater(image, 0), dtype)
    return grad[..., 0:1] * hue / 6 + grad[..., 1:2] * saturation + grad[..., 2:3] * greatest
