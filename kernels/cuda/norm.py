"""Batch norms on a GPU: texts of whole arrays, of which a few kernels can be written."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import kernel
from tfsession.kernels import norm
from tfsession.kernels.nn import widened


def _axes(ndim: int, channel: int) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """The axes over which channels are summed, and the index that spreads a vector of channels."""
    axes = tuple([axis for axis in range(ndim) if axis != channel])
    return axes, tuple([slice(None) if axis == channel else None for axis in range(ndim)])


def _normalized(
    xp: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float,
    factor: float, data_format: bytes, is_training: bool,
) -> tuple[Any, ...]:  # fmt: skip
    given = x, scale, offset, mean, variance
    channels = norm.checked(xp, *given, data_format, is_training, factor)
    if not x.size:
        return norm.normalized(xp, *given, epsilon, factor, data_format, is_training)
    axes, spread = _axes(x.ndim, 1 if channels.first else x.ndim - 1)
    wide, number, own = widened(x), scale.dtype.type, scale.dtype
    if is_training:
        count = number(channels.count)
        centre = wide.sum(axis=axes) / count
        rest = wide - centre[spread]
        squares = (rest * rest).sum(axis=axes) / count
        unbiased = squares * (count / number(max(channels.count - 1, 1)))
        running = [centre, unbiased]
        if factor != 1:
            left, weight = number(1 - factor), number(factor)
            old = (widened(mean), widened(variance))
            running = [left * o + weight * n for o, n in zip(old, running, strict=True)]
        outputs = (*running, centre, squares)
    else:
        centre, squares = widened(mean), widened(variance)
        rest = wide - centre[spread]
        outputs = (centre, squares, centre, squares)
    slope = widened(scale) / xp.sqrt(squares + number(epsilon))
    result = rest * slope[spread] + widened(offset)[spread]
    return (result.astype(x.dtype), *[value.astype(own) for value in outputs])


@kernel("FusedBatchNorm", "FusedBatchNormV2", device="GPU", traces=True)
def fused_batch_norm(
    xp: Any,
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: bytes,
    is_training: bool,
) -> tuple[Any, ...]:
    """The normalized tensor, running mean and variance, and mean and variance for the gradient."""
    return _normalized(xp, x, scale, offset, mean, variance, epsilon, exponential_avg_factor,
                       data_format, is_training)  # fmt: skip


@kernel("FusedBatchNormV3", device="GPU", traces=True)
def fused_batch_norm_v3(
    xp: Any,
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    epsilon: float,
    exponential_avg_factor: float,
    data_format: bytes,
    is_training: bool,
) -> tuple[Any, ...]:
    """As the others, with room for what a library would keep: nothing here."""
    outputs = _normalized(xp, x, scale, offset, mean, variance, epsilon, exponential_avg_factor,
                          data_format, is_training)  # fmt: skip
    return (*outputs, xp.zeros(0, scale.dtype))


@kernel(
    "FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3", device="GPU", traces=True
)
def fused_batch_norm_grad(
    xp: Any,
    y_backprop: Any,
    x: Any,
    scale: Any,
    reserve_space_1: Any,
    reserve_space_2: Any,
    *_: Any,
    epsilon: float,
    data_format: bytes,
    is_training: bool,
) -> tuple[Any, ...]:
    """The gradients for input, scale and offset, from the mean and variance that were used."""
    given = y_backprop, x, scale, reserve_space_1, reserve_space_2
    channels = norm.checked_for_gradient(xp, *given, data_format)
    if not x.size:
        return norm.fused_batch_norm_grad(
            xp, *given, epsilon=epsilon, data_format=data_format, is_training=is_training
        )
    axes, spread = _axes(x.ndim, 1 if channels.first else x.ndim - 1)
    mean, variance, factor = map(widened, (reserve_space_1, reserve_space_2, scale))
    number, kind = mean.dtype.type, reserve_space_1.dtype
    grads, inverse = widened(y_backprop), xp.reciprocal(xp.sqrt(variance + number(epsilon)))
    normal = (widened(x) - mean[spread]) * inverse[spread]
    of_offset = grads.sum(axis=axes)
    of_scale = (grads * normal).sum(axis=axes)
    rest = grads
    if is_training:
        count = number(channels.count)
        rest = grads - (of_offset / count)[spread] - normal * (of_scale / count)[spread]
    of_x = (rest * (factor * inverse)[spread]).astype(x.dtype)
    nothing = xp.zeros(0, kind)
    return (of_x, of_scale.astype(kind), of_offset.astype(kind), nothing, nothing.copy())
