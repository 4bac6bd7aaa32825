"""Gradients of normalizing; those of the gradients by the same formulas, of simple operations."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.rules import gradient
from tfsession.core.windows import spatial_axes
from tfsession.gradients.engine import gradients
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import ones
from tfsession.ops.elementwise import pow
from tfsession.ops.linalg import matrix_band_part
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_mean, reduce_sum
from tfsession.ops.shape import reshape, shape
from tfsession.ops.unary import rsqrt, square


def _partial(ys: list[Tensor], inputs: list[Tensor], grad_ys: list[Any]) -> Any:
    """The gradients for inputs of an operation, as if none of them depended on another."""
    return gradients(ys, inputs, grad_ys, stop_gradients=inputs)


@gradient("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _fused_batch_norm(op: Operation, grad: Any, *_: Any) -> Any:
    x, scale, _, mean, variance = op.inputs
    if op.attrs["is_training"]:
        mean, variance = op.outputs[3:5]
    attrs = {name: op.attrs[name] for name in ("epsilon", "data_format", "is_training")}
    inputs = [grad, x, scale, mean, variance, *op.outputs[5:]]
    back = op.type.replace("Norm", "NormGrad")
    of_x, of_scale, of_offset, _, _ = create_op(back, inputs, attrs)
    return of_x, of_scale, of_offset, None, None


@gradient("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3")
def _fused_batch_norm_grad(op: Operation, *grads: Any) -> Any:
    """The gradient is built once more of simple operations, and differentiated."""
    slopes, x, scale = op.inputs[:3]
    wide_x, wide_slopes = cast(x, dtypes.float32), cast(slopes, dtypes.float32)
    data_format = op.attrs["data_format"]
    axes, channel = spatial_axes(data_format, len(data_format))
    axes = [0, *axes]
    around = [1] * len(data_format)
    around[channel] = -1

    def spread(vector: Tensor) -> Tensor:
        return reshape(vector, around)

    if op.attrs["is_training"]:
        mean = reduce_mean(wide_x, axes, keepdims=True)
        variance = reduce_mean(square(wide_x - mean), axes, keepdims=True)
    else:
        mean, variance = (spread(vector) for vector in op.inputs[3:5])
    factor = rsqrt(variance + op.attrs["epsilon"])
    distance = (wide_x - mean) * factor
    of_scale = reduce_sum(wide_slopes * distance, axes)
    of_offset = reduce_sum(wide_slopes, axes)
    if op.attrs["is_training"]:
        centred = wide_slopes - reduce_mean(wide_slopes, axes, keepdims=True)
        shared = distance * reduce_mean(wide_slopes * distance, axes, keepdims=True)
        of_x = (centred - shared) * factor * spread(scale)
    else:
        of_x = wide_slopes * factor * spread(scale)
    found = [cast(of_x, x.dtype), of_scale, of_offset]
    pairs = [(y, g) for y, g in zip(found, grads[:3], strict=True) if g is not None]
    ys, grad_ys = [y for y, _ in pairs], [g for _, g in pairs]
    results = _partial(ys, [slopes, x, scale], grad_ys)
    return (*results, *[None] * (len(op.inputs) - 3))


_NEIGHBOURS = ("depth_radius", "bias", "alpha", "beta")


@gradient("LRN")
def _lrn(op: Operation, grad: Any) -> Any:
    attrs = {name: op.attrs[name] for name in _NEIGHBOURS}
    return create_op("LRNGrad", [grad, op.inputs[0], op.outputs[0]], attrs)


@gradient("LRNGrad")
def _lrn_grad(op: Operation, grad: Any) -> Any:
    slopes, x, y = op.inputs
    radius, bias, alpha, beta = (op.attrs[name] for name in _NEIGHBOURS)
    depth = shape(x)[3]
    band = matrix_band_part(ones([depth, depth], x.dtype), radius, radius)

    def neighbours(values: Tensor) -> Tensor:
        return reshape(matmul(reshape(values, [-1, depth]), band), shape(x))

    norm = neighbours(square(x)) * alpha + bias
    back = slopes * pow(norm, -beta) - x * neighbours(slopes * y / norm) * (2.0 * alpha * beta)
    return _partial([back], [slopes, x, y], [grad])


@gradient("BatchNormWithGlobalNormalization")
def _batch_norm_with_global_normalization(op: Operation, grad: Any) -> Any:
    t, m, v, _, gamma = op.inputs
    inverse = rsqrt(v + op.attrs["variance_epsilon"])
    is_scaled = op.attrs["scale_after_normalization"]
    factor = inverse * gamma if is_scaled else inverse
    centered, total = t - m, reduce_sum(grad, [0, 1, 2])
    product = reduce_sum(grad * centered, [0, 1, 2])
    to_v = product * factor * inverse * inverse * -0.5
    return grad * factor, -total * factor, to_v, total, product * inverse if is_scaled else None
