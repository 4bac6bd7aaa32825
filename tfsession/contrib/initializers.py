"""Initial values scaled by the number of inputs: `tf.contrib.layers.xavier_initializer`.

Glorot and Bengio, 2010; He, Zhang, Ren and Sun, 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tfsession.core.dtypes import as_dtype, float32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.tensor import Tensor
from tfsession.ops.random import random_uniform, truncated_normal

_MODES = ("FAN_IN", "FAN_OUT", "FAN_AVG")


@export(
    "contrib.layers.xavier_initializer",
    "contrib.layers.xavier_initializer_conv2d",
    "contrib.slim.xavier_initializer",
    "contrib.slim.xavier_initializer_conv2d",
)
def xavier_initializer(
    uniform: bool = True, seed: int | None = None, dtype: Any = float32
) -> Callable[..., Tensor]:
    """An initializer that keeps the variance of what goes through a layer, either way.

    Args:
        uniform: draw from a uniform distribution, or from a truncated normal one.
        seed: of the operation.
        dtype: a floating-point dtype, unless a call says another.
    """
    return variance_scaling_initializer(1.0, "FAN_AVG", uniform, seed, dtype)


@export("contrib.layers.variance_scaling_initializer", "contrib.slim.variance_scaling_initializer")
def variance_scaling_initializer(
    factor: float = 2.0,
    mode: str = "FAN_IN",
    uniform: bool = False,
    seed: int | None = None,
    dtype: Any = float32,
) -> Callable[..., Tensor]:
    """An initializer with a variance of `factor / n`.

    Args:
        factor: 2.0 for layers of ReLUs, 1.0 for others.
        mode: what n is: "FAN_IN", the number of inputs of a unit; "FAN_OUT", that of outputs;
            "FAN_AVG", their mean.
        uniform: draw from a uniform distribution, or from a truncated normal one.
        seed: of the operation.
        dtype: a floating-point dtype, unless a call says another.

    Raises:
        TypeError: `mode` is none of these, or a dtype is not floating-point.
    """
    if mode not in _MODES:
        raise TypeError(f"Unknown mode {mode} [FAN_IN, FAN_OUT, FAN_AVG]")
    if not as_dtype(dtype).is_floating:
        raise TypeError("Cannot create initializer for non-floating point type.")
    default = dtype

    def initializer(shape: Any, dtype: Any = None, partition_info: Any = None) -> Tensor:
        dtype = as_dtype(default if dtype is None else dtype)
        if not dtype.is_floating:
            raise TypeError("Cannot create initializer for non-floating point type.")
        sizes = [float(size) for size in TensorShape(shape).as_list()]
        kernel = math.prod(sizes[:-2])
        fan_in = sizes[-2 if len(sizes) > 1 else -1] * kernel if sizes else 1.0
        fan_out = sizes[-1] * kernel if sizes else 1.0
        n = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2.0}[mode]
        if uniform:
            limit = math.sqrt(3.0 * factor / n)
            return random_uniform(shape, -limit, limit, dtype, seed=seed)
        # What a truncated normal distribution loses of its variance.
        return truncated_normal(shape, 0.0, math.sqrt(1.3 * factor / n), dtype, seed=seed)

    return initializer
