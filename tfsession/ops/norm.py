"""Normalizing as one operation: by the statistics of a batch, or by neighbouring channels."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.core.windows import spatial_axes
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant


def _rank(op: Operation) -> int:
    return len(op.attrs["data_format"])


def _normalized_shape(op: Operation) -> list[Shape]:
    shape = with_rank(op.inputs[0]._shape, _rank(op))
    assert shape is not None
    channel = spatial_axes(op.attrs["data_format"], len(shape))[1]
    depth = shape[channel]
    for tensor in op.inputs[1 : 3 if op.attrs["is_training"] else 5]:
        vector = with_rank(tensor._shape, 1)
        assert vector is not None
        depth = merge_dims(depth, vector[0])
    whole = (*shape[:channel], depth, *shape[channel + 1 :])
    return [whole, *[(depth,)] * 4, *[None] * (len(op.outputs) - 5)]


def _back_shape(op: Operation) -> list[Shape]:
    rank = _rank(op)
    shape = merge(with_rank(op.inputs[0]._shape, rank), with_rank(op.inputs[1]._shape, rank))
    assert shape is not None
    channel = spatial_axes(op.attrs["data_format"], rank)[1]
    depth = shape[channel]
    for tensor in op.inputs[2:5]:
        vector = with_rank(tensor._shape, 1)
        assert vector is not None
        depth = merge_dims(depth, vector[0])
    whole = (*shape[:channel], depth, *shape[channel + 1 :])
    return [whole, (depth,), (depth,), (0,), (0,)]


_FLOATS = "{half, bfloat16, float}"
_EPSILON = "epsilon: float = 0.0001"
_FACTOR = "exponential_avg_factor: float = 1.0"
_TRAINING = "is_training: bool = true"
_LAYOUT = "data_format: {'NHWC', 'NCHW'} = 'NHWC'"
_ANY_LAYOUT = "data_format: {'NHWC', 'NCHW', 'NDHWC', 'NCDHW'} = 'NHWC'"


def _define(version: str, narrow: str, statistics: str, layout: str, type_attrs: list[str]) -> None:
    """One version of the pair; `narrow` is the type of the scale in the gradient."""
    third = version == "V3"
    s = statistics
    define_op(
        f"FusedBatchNorm{version}",
        ["x: T", f"scale: {s}", f"offset: {s}", f"mean: {s}", f"variance: {s}"],
        ["y: T", f"batch_mean: {s}", f"batch_variance: {s}",
         *(f"reserve_space_{i}: {s}" for i in (1, 2, *[3] * third))],
        [*type_attrs, _EPSILON, _FACTOR, layout, _TRAINING],
        _normalized_shape,
    )  # fmt: skip
    first = 4 if third else 3
    define_op(
        f"FusedBatchNormGrad{version}",
        ["y_backprop: T", "x: T", f"scale: {narrow}",
         *(f"reserve_space_{i}: {s}" for i in (1, 2, *[3] * third))],
        ["x_backprop: T", f"scale_backprop: {s}", f"offset_backprop: {s}",
         f"reserve_space_{first}: {s}", f"reserve_space_{first + 1}: {s}"],
        [type_attrs[0], *(a.replace("bfloat16, ", "") for a in type_attrs[1:]), _EPSILON, layout,
         _TRAINING],
        _back_shape,
    )  # fmt: skip


_define("", "T", "T", _LAYOUT, ["T: {float}"])
_define("V2", "float", "U", _LAYOUT, [f"T: {_FLOATS}", "U: {float}"])
_define("V3", "float", "U", _ANY_LAYOUT, [f"T: {_FLOATS}", "U: {bfloat16, float}"])


def _four(op: Operation) -> list[Shape]:
    shape: Shape = None
    for tensor in op.inputs:
        shape = merge(shape, with_rank(tensor._shape, 4))
    return [shape]


_NEIGHBOURS = [
    "depth_radius: int = 5",
    "bias: float = 1.0",
    "alpha: float = 1.0",
    "beta: float = 0.5",
    f"T: {_FLOATS} = DT_FLOAT",
]
define_op("LRN", ["input: T"], ["output: T"], _NEIGHBOURS, _four)
define_op(
    "LRNGrad",
    ["input_grads: T", "input_image: T", "output_image: T"],
    ["output: T"],
    _NEIGHBOURS,
    _four,
)


def _old_shape(op: Operation) -> list[Shape]:
    shape = with_rank(op.inputs[0]._shape, 4)
    assert shape is not None
    depth = shape[3]
    for tensor in op.inputs[1:]:
        vector = with_rank(tensor._shape, 1)
        assert vector is not None
        depth = merge_dims(depth, vector[0])
    return [(*shape[:3], depth)]


# Frozen graphs of 2015 have it; TensorFlow refuses it in graphs of producers since then.
define_op(
    "BatchNormWithGlobalNormalization",
    ["t: T", "m: T", "v: T", "beta: T", "gamma: T"],
    ["result: T"],
    ["T: numbertype", "variance_epsilon: float", "scale_after_normalization: bool"],
    _old_shape,
)


@export("nn.fused_batch_norm")
def fused_batch_norm(
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any = None,
    variance: Any = None,
    epsilon: float = 0.001,
    data_format: str = "NHWC",
    is_training: bool = True,
    name: str | None = None,
    exponential_avg_factor: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """`x` with mean zero and variance one in each channel, times `scale`, plus `offset`.

    Args:
        x: tensor of rank 4 or 5, as `data_format` says; half or float32.
        scale: vector of one number for each channel, float32, as the following are.
        offset: as said.
        mean: the mean to take when not training; when training, the running mean so far, where
            `exponential_avg_factor` is not one.
        variance: likewise.
        epsilon: small number against division by zero.
        data_format: "NHWC", "NCHW", "NDHWC" or "NCDHW".
        is_training: take mean and variance of `x`.
        name: name of the operation.
        exponential_avg_factor: weight of the batch in the running mean and variance.

    Returns:
        The normalized tensor, the running mean, and the running variance (unbiased).

    Raises:
        ValueError: mean or variance is missing, or shapes do not fit.
    """
    if (not is_training or exponential_avg_factor != 1.0) and (mean is None or variance is None):
        raise ValueError(
            "Both `mean` and `variance` must be a 1D tensor when `is_training` is False or "
            f"`exponential_avg_factor` != 1.0. Received: `mean` {mean!r} and `variance` "
            f"{variance!r}"
        )
    x = convert_to_tensor(x, name="input")
    with x.graph.as_default():
        scale = convert_to_tensor(scale, name="scale")
        offset = convert_to_tensor(offset, name="offset")
        mean = constant([]) if mean is None else mean
        variance = constant([]) if variance is None else variance
        attrs = {
            "epsilon": epsilon,
            "exponential_avg_factor": exponential_avg_factor,
            "data_format": data_format,
            "is_training": is_training,
        }
        inputs = [x, scale, offset, mean, variance]
        outputs: tuple[Tensor, ...] = create_op("FusedBatchNormV3", inputs, attrs, name)
        return outputs[0], outputs[1], outputs[2]


@export("nn.local_response_normalization", "nn.lrn")
def local_response_normalization(
    input: Any,
    depth_radius: int = 5,
    bias: float = 1,
    alpha: float = 1,
    beta: float = 0.5,
    name: str | None = None,
) -> Tensor:
    """`input / (bias + alpha * s) ** beta`, s the sum of squares of neighbouring channels.

    Args:
        input: images of shape `[batch, height, width, channels]`.
        depth_radius: how many channels on either side are neighbours.
        bias: as said.
        alpha: as said.
        beta: as said.
        name: name of the operation.

    Source: Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional neural
    networks (2012).
    """
    attrs = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}
    result: Tensor = create_op("LRN", [input], attrs, name)
    return result
