"""Means and variances, and normalizing by them, composed of element-wise operations and sums."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core import dtypes
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import constant, stop_gradient, zeros_like
from tfsession.ops.elementwise import (
    add,
    div_no_nan,
    multiply,
    squared_difference,
    subtract,
)
from tfsession.ops.gather import gather
from tfsession.ops.reduce import reduce_mean, reduce_prod, reduce_sum
from tfsession.ops.shape import rank, renamed, squeeze
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import reciprocal, rsqrt, square

Moments = tuple[Tensor, Tensor]


def _is_narrow(x: Tensor) -> bool:
    """Whether `x` is computed in float32; bfloat16 is not, as in TensorFlow."""
    return x.dtype.base_dtype is dtypes.float16


@export("nn.moments")
def moments(
    x: Any,
    axes: Any,
    shift: Any = None,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> Moments:
    """Mean and variance of `x` along `axes`; half is computed in float32.

    Args:
        x: tensor.
        axes: the dimensions to reduce, a list of numbers.
        shift: not used.
        name: name of the operations' scope.
        keep_dims: the older name of `keepdims`.
        keepdims: whether reduced dimensions stay, with size one.
    """
    keepdims = bool(renamed("keepdims", keepdims, "keep_dims", keep_dims))
    with graph_of((x, axes)).as_default() as graph, graph.name_scope(name or "moments"):
        x = convert_to_tensor(x, name="x")
        y = cast(x, dtypes.float32) if _is_narrow(x) else x
        mean = reduce_mean(y, axes, keepdims=True, name="mean")
        distances = squared_difference(y, stop_gradient(mean))
        variance = reduce_mean(distances, axes, keepdims=True, name="variance")
        return _finished(mean, variance, axes, keepdims, x)


def _finished(mean: Tensor, variance: Tensor, axes: Any, keepdims: bool, x: Tensor) -> Moments:
    """Without the reduced dimensions, unless they are kept, and in the type of `x`."""
    if not keepdims:
        mean, variance = squeeze(mean, axes), squeeze(variance, axes)
    if _is_narrow(x):
        mean, variance = cast(mean, x.dtype), cast(variance, x.dtype)
    return mean, variance


@export("nn.weighted_moments")
def weighted_moments(
    x: Any,
    axes: Any,
    frequency_weights: Any,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> Moments:
    """Mean and variance of `x` along `axes`, each element counted as often as its weight says.

    Args:
        x: tensor.
        axes: the dimensions to reduce, a list of numbers.
        frequency_weights: tensor that broadcasts with `x`.
        name: name of the operations' scope.
        keep_dims: the older name of `keepdims`.
        keepdims: whether reduced dimensions stay, with size one.
    """
    keepdims = bool(renamed("keepdims", keepdims, "keep_dims", keep_dims))
    inputs = (x, frequency_weights, axes)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "weighted_moments"):
        x = convert_to_tensor(x, name="x")
        weights = convert_to_tensor(frequency_weights, name="frequency_weights")
        y = cast(x, dtypes.float32) if _is_narrow(x) else x
        if weights.dtype.base_dtype is not y.dtype.base_dtype:
            weights = cast(weights, y.dtype)
        total = reduce_sum(weights * y, axes, name="weighted_input_sum", keepdims=True)
        # As many weights as elements, so that their sum counts every element.
        each = weights + zeros_like(y)
        weight = reduce_sum(each, axes, name="sum_of_weights", keepdims=True)
        mean = div_no_nan(total, weight)
        distances = weights * squared_difference(y, mean)
        distance = reduce_sum(distances, axes, name="weighted_distsq", keepdims=True)
        return _finished(mean, div_no_nan(distance, weight), axes, keepdims, x)


@export("nn.sufficient_statistics")
def sufficient_statistics(
    x: Any,
    axes: Any,
    shift: Any = None,
    keep_dims: bool | None = None,
    name: str | None = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What mean and variance follow from: element count, sum, sum of squares, and `shift`.

    Args:
        x: tensor.
        axes: the dimensions to reduce, a list of numbers.
        shift: is taken from all elements first, which keeps large sums exact; or None.
        keep_dims: the older name of `keepdims`.
        name: name of the operations' scope.
        keepdims: whether reduced dimensions stay, with size one.
    """
    keepdims = bool(renamed("keepdims", keepdims, "keep_dims", keep_dims))
    axes = list(set(axes))
    inputs = (x, shift)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "sufficient_statistics"):
        x = convert_to_tensor(x, name="x")
        count = _count(x, axes)
        if shift is None:
            distances, squares = x, square(x)
        else:
            shift = convert_to_tensor(shift, name="shift")
            distances, squares = subtract(x, shift), squared_difference(x, shift)
        total = reduce_sum(distances, axes, keepdims=keepdims, name="mean_ss")
        return count, total, reduce_sum(squares, axes, keepdims=keepdims, name="var_ss"), shift


def _count(x: Tensor, axes: list[int]) -> Tensor:
    if x._shape is not None:
        sizes = [x._shape[axis] for axis in axes]
        if None not in sizes:
            return constant(math.prod(size for size in sizes if size is not None), x.dtype)
    ndims = rank(x)
    places = [axis + ndims if axis < 0 else axis for axis in axes]
    return reduce_prod(gather(cast(shape_of(x), x.dtype), places), name="count")


@export("nn.normalize_moments")
def normalize_moments(
    counts: Any, mean_ss: Any, variance_ss: Any, shift: Any, name: str | None = None
) -> Moments:
    """Mean and variance from what `sufficient_statistics` gives."""
    inputs = (counts, mean_ss, variance_ss, shift)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "normalize"):
        divisor = reciprocal(counts, name="divisor")
        if shift is None:
            mean = distance = multiply(mean_ss, divisor, name="mean")
        else:
            distance = multiply(mean_ss, divisor, name="shifted_mean")
            mean = add(distance, shift, name="mean")
        variance = subtract(multiply(variance_ss, divisor), square(distance), name="variance")
        return mean, variance


@export("nn.batch_normalization")
def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any,
    scale: Any,
    variance_epsilon: Any,
    name: str | None = None,
) -> Tensor:
    """`scale * (x - mean) / sqrt(variance + variance_epsilon) + offset`.

    Args:
        x: tensor.
        mean: broadcasts with `x`, as the following three do.
        variance: as said.
        offset: as said; None for none.
        scale: as said; None for none.
        variance_epsilon: small number against division by zero.
        name: name of the operations' scope.
    """
    inputs = (x, mean, variance, scale, offset)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "batchnorm"):
        factor = rsqrt(variance + variance_epsilon)
        if scale is not None:
            factor = factor * scale
        scaled = x * cast(factor, x.dtype)
        moved = -mean * factor if offset is None else offset - mean * factor
        return scaled + cast(moved, x.dtype)


@export("nn.batch_norm_with_global_normalization")
def batch_norm_with_global_normalization(
    t: Any = None,
    m: Any = None,
    v: Any = None,
    beta: Any = None,
    gamma: Any = None,
    variance_epsilon: Any = None,
    scale_after_normalization: bool | None = None,
    name: str | None = None,
    input: Any = None,
    mean: Any = None,
    variance: Any = None,
) -> Tensor:
    """`batch_normalization` under an older name; `gamma` counts with `scale_after_normalization`.

    `t`, `m` and `v` are older names of `input`, `mean` and `variance`.
    """
    t = renamed("input", input, "t", t)
    m = renamed("mean", mean, "m", m)
    v = renamed("variance", variance, "v", v)
    scale = gamma if scale_after_normalization else None
    return batch_normalization(t, m, v, beta, scale, variance_epsilon, name)
