"""Dropout: elements lost at random while training."""

from __future__ import annotations

import numbers
from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import where_v2
from tfsession.ops.constant import constant
from tfsession.ops.elementwise import multiply, realdiv, subtract
from tfsession.ops.random import random_uniform
from tfsession.ops.shape import renamed
from tfsession.ops.shape import shape as shape_of


@export("nn.dropout")
def dropout(
    x: Any,
    keep_prob: Any = None,
    noise_shape: Any = None,
    seed: int | None = None,
    name: str | None = None,
    rate: Any = None,
) -> Tensor:
    """`x` with elements set to zero with probability `rate`, the others divided by `1 - rate`.

    Args:
        x: tensor of floating point.
        keep_prob: older than `rate`, which it is one less.
        noise_shape: shape of what is drawn, which broadcasts to that of `x`: sizes of one lose or
            keep elements together. None draws for each element.
        seed: number from which the draws follow.
        name: name of the operations' scope.
        rate: probability, a number of [0, 1) or a scalar tensor of the type of `x`.

    Raises:
        ValueError: `rate` is out of range, missing, or given twice; or `x` is no float.
    """
    rate = renamed("rate", rate, "keep_prob", None if keep_prob is None else _complement(keep_prob))
    if rate is None:
        raise ValueError(f"`rate` must be provided. Received: rate={rate}")
    with graph_of((x, rate)).as_default() as graph, graph.name_scope(name or "dropout"):
        is_number = isinstance(rate, numbers.Real)
        if is_number and not 0 <= rate < 1:
            raise ValueError(
                "`rate` must be a scalar tensor or a float in the range [0, 1). Received: "
                f"rate={rate}"
            )
        x = convert_to_tensor(x, name="x")
        if not x.dtype.is_floating:
            raise ValueError(
                "`x.dtype` must be a floating point tensor as `x` will be scaled. Received: "
                f"x_dtype={x.dtype}"
            )
        if is_number and rate == 0:
            return x
        scaled = multiply(x, constant(1 / (1 - rate), x.dtype)) if is_number else _scaled(x, rate)
        sizes = _noise_shape(x, noise_shape)
        draws = random_uniform(sizes, seed=seed, dtype=x.dtype)
        kept = draws >= rate
        result = where_v2(kept, scaled, constant(0, x.dtype))
        result._shape = shape_lib.merge(result._shape, x._shape)
        return result


def _complement(keep_prob: Any) -> Any:
    try:
        return 1.0 - keep_prob
    except TypeError:
        raise ValueError(
            f"`keep_prob` must be a floating point number or Tensor. Received: {keep_prob}"
        ) from None


def _scaled(x: Tensor, rate: Any) -> Tensor:
    rate = convert_to_tensor(rate, name="rate")
    if rate._shape is not None and rate._shape != ():
        raise ValueError(f"Shape {rate.shape} must have rank 0")
    if rate.dtype.base_dtype is not x.dtype.base_dtype:
        raise ValueError(
            "`x.dtype` must be compatible with `rate.dtype`. Received: "
            f"x.dtype={x.dtype} and rate.dtype={rate.dtype}"
        )
    return realdiv(x, subtract(constant(1, x.dtype), rate))


def _noise_shape(x: Tensor, noise_shape: Any) -> Any:
    """The given shape with unknown sizes taken from `x`; its shape when none is given."""
    if noise_shape is None:
        return shape_of(x)
    try:
        sizes = shape_lib.to_shape(noise_shape)
    except (TypeError, ValueError):
        return noise_shape
    if sizes is None or x._shape is None or len(sizes) != len(x._shape):
        return noise_shape
    return TensorShape([b if a is None else a for a, b in zip(sizes, x._shape, strict=True)])
