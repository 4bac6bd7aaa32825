"""Convolutions and pools of `tf.contrib.layers`, in one call each."""

from __future__ import annotations

from typing import Any

from tfsession.contrib.fully_connected import applied, shown
from tfsession.contrib.initializers import xavier_initializer
from tfsession.contrib.layer_scope import collect_output, renaming_getter
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import name_scope
from tfsession.graph.tensor import Tensor
from tfsession.ops import nn
from tfsession.ops.initializers import Zeros
from tfsession.ops.join import concat
from tfsession.ops.layer_conv import Conv1D, Conv2D, Conv3D
from tfsession.ops.layer_conv_transpose import Conv2DTranspose, Conv3DTranspose, SeparableConv2D
from tfsession.ops.layer_pool import (
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling2D,
    MaxPooling3D,
)
from tfsession.ops.pad import pad
from tfsession.ops.pool import pool as nn_pool
from tfsession.ops.variable_scope import variable_scope

_XAVIER, _ZEROS = xavier_initializer(), Zeros()
_CONV = {"bias": "biases", "kernel": "weights"}
_SEPARABLE = {
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}
# The layer for each rank of the inputs.
_KINDS: dict[int, Any] = {3: Conv1D, 4: Conv2D, 5: Conv3D}
_FIRST = ("NCW", "NCHW", "NCDHW")
_LAYOUTS = (None, "NWC", "NHWC", "NDHWC", *_FIRST)


def _order(data_format: str | None, allowed: tuple[str | None, ...] = _LAYOUTS) -> str:
    if data_format not in allowed:
        raise ValueError(f"Invalid data_format: {data_format!r}: one of {allowed} is expected.")
    return "channels_first" if data_format in _FIRST else "channels_last"


def _convolution(
    inputs: Any,
    num_outputs: Any,
    kernel_size: Any,
    stride: Any = 1,
    padding: str = "SAME",
    data_format: str | None = None,
    rate: Any = 1,
    activation_fn: Any = nn.relu,
    normalizer_fn: Any = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_initializer: Any = _XAVIER,
    weights_regularizer: Any = None,
    biases_initializer: Any = _ZEROS,
    biases_regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    scope: Any = None,
    conv_dims: int | None = None,
    _kinds: Any = _KINDS,
    _default_scope: str = "Conv",
) -> Tensor:
    """`activation_fn(conv(inputs, weights) + biases)`.

    Args:
        inputs: sequences, images or volumes, with channels.
        num_outputs: number of output channels.
        kernel_size, stride, rate: a number, or one for each spatial dimension: size of the filters,
            steps, and distance of neighbours in a filter.
        padding: "SAME" or "VALID".
        data_format: such as "NHWC", the default, or "NCHW".
        activation_fn: None for none.
        normalizer_fn: used instead of biases, such as `batch_norm`.
        normalizer_params: its arguments.
        weights_initializer, biases_initializer: no biases if the latter is None.
        weights_regularizer, biases_regularizer: functions that give losses.
        reuse: whether the variables are there already; then `scope` must be given.
        variables_collections: for all variables, or a dict of those for each.
        outputs_collections: for the output.
        trainable: whether the variables are trained.
        scope: variable scope.
        conv_dims: the number of spatial dimensions that the inputs must have, if given.

    Raises:
        ValueError: the layout or the rank is not one of these, or the channels are not known.
    """
    order, getter = _order(data_format), renaming_getter(_CONV)
    with variable_scope(scope, _default_scope, [inputs], reuse=reuse, custom_getter=getter) as sc:
        inputs = convert_to_tensor(inputs)
        rank = inputs.shape.ndims
        if conv_dims is not None and conv_dims + 2 != rank:
            raise ValueError(f"Convolution expects input with rank {conv_dims + 2}, got {rank}")
        layer_class = _kinds.get(rank or 0)
        if layer_class is None:
            raise ValueError(f"Convolution not supported for input with rank {rank}")
        layer = layer_class(
            filters=num_outputs,
            kernel_size=kernel_size,
            strides=stride,
            padding=padding,
            data_format=order,
            use_bias=normalizer_fn is None and biases_initializer is not None,
            kernel_initializer=weights_initializer,
            bias_initializer=biases_initializer,
            kernel_regularizer=weights_regularizer,
            bias_regularizer=biases_regularizer,
            trainable=trainable,
            name=sc.name,
            dtype=inputs.dtype.base_dtype,
            _scope=sc,
            _reuse=reuse,
            **({} if rate == 1 else {"dilation_rate": rate}),
        )
        return applied(
            layer, inputs, ["kernel"], variables_collections,
            normalizer_fn, normalizer_params, activation_fn, outputs_collections, sc.name,
        )  # fmt: skip


convolution = shown("convolution")(_convolution)


def _of_dims(dims: int) -> Any:
    def layer(*args: Any, **kwargs: Any) -> Tensor:
        return _convolution(*args, conv_dims=dims, **kwargs)

    layer.__name__ = f"convolution{dims}d"
    layer.__doc__ = f"`convolution` of inputs with {dims} spatial dimensions."
    return shown(f"conv{dims}d", f"convolution{dims}d")(layer)


conv1d, conv2d, conv3d = map(_of_dims, (1, 2, 3))


@shown("conv2d_in_plane", "convolution2d_in_plane")
def conv2d_in_plane(inputs: Any, kernel_size: Any, scope: Any = None, **kwargs: Any) -> Tensor:
    """One filter for all channels, each convolved alone; other arguments as of `conv2d`."""
    inputs = convert_to_tensor(inputs)
    channels = inputs.shape.as_list()[-1]
    with variable_scope(scope, "ConvInPlane", [inputs]) as sc:
        planes = [
            conv2d(inputs[..., i : i + 1], 1, kernel_size, scope=sc, reuse=i > 0 or None, **kwargs)
            for i in range(channels)
        ]
        return _joined(planes)


def _joined(planes: list[Tensor]) -> Tensor:
    return planes[0] if len(planes) == 1 else concat(planes, -1)


def _transpose(dims: int, layer_class: Any) -> Any:
    def layer(
        inputs: Any,
        num_outputs: Any,
        kernel_size: Any,
        stride: Any = 1,
        padding: str = "SAME",
        data_format: str | None = None,
        activation_fn: Any = nn.relu,
        **kwargs: Any,
    ) -> Tensor:
        return _convolution(
            inputs, num_outputs, kernel_size, stride, padding, data_format,
            activation_fn=activation_fn, _kinds={dims + 2: layer_class},
            _default_scope=f"Conv{dims}d_transpose", **kwargs,
        )  # fmt: skip

    layer.__name__ = f"conv{dims}d_transpose"
    layer.__doc__ = "From what a convolution gives to what it takes; arguments as of `convolution`."
    return shown(f"conv{dims}d_transpose", f"convolution{dims}d_transpose")(layer)


conv2d_transpose = _transpose(2, Conv2DTranspose)
conv3d_transpose = _transpose(3, Conv3DTranspose)


@shown("separable_conv2d", "separable_convolution2d")
def separable_conv2d(
    inputs: Any,
    num_outputs: int | None,
    kernel_size: Any,
    depth_multiplier: int = 1,
    stride: Any = 1,
    padding: str = "SAME",
    data_format: str = "NHWC",
    rate: Any = 1,
    activation_fn: Any = nn.relu,
    normalizer_fn: Any = None,
    normalizer_params: dict[str, Any] | None = None,
    weights_initializer: Any = _XAVIER,
    pointwise_initializer: Any = None,
    weights_regularizer: Any = None,
    biases_initializer: Any = _ZEROS,
    biases_regularizer: Any = None,
    reuse: bool | None = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    scope: Any = None,
) -> Tensor:
    """Each channel convolved alone, then all channels of each pixel mixed.

    Args:
        num_outputs: number of output channels.
        depth_multiplier: number of filters of each channel.
        inputs, kernel_size, stride, padding, data_format, rate, activation_fn, normalizer_fn,
            normalizer_params, weights_initializer, weights_regularizer, biases_initializer,
            biases_regularizer, reuse, variables_collections, outputs_collections, trainable, scope:
            as of `convolution`.
        pointwise_initializer: of the second step; `weights_initializer` if None.

    Raises:
        NotImplementedError: `num_outputs` is None, which left the second step out.
        ValueError: as of `convolution`.
    """
    if num_outputs is None:
        raise NotImplementedError(
            "separable_conv2d without num_outputs is not supported: use "
            "tf.nn.depthwise_conv2d for the first step alone."
        )
    order = _order(data_format)
    getter = renaming_getter(_SEPARABLE)
    with variable_scope(
        scope, "SeparableConv2d", [inputs], reuse=reuse, custom_getter=getter
    ) as sc:
        inputs = convert_to_tensor(inputs)
        layer = SeparableConv2D(
            filters=num_outputs,
            kernel_size=kernel_size,
            strides=stride,
            padding=padding,
            data_format=order,
            dilation_rate=rate,
            depth_multiplier=depth_multiplier,
            use_bias=normalizer_fn is None and biases_initializer is not None,
            depthwise_initializer=weights_initializer,
            pointwise_initializer=pointwise_initializer or weights_initializer,
            bias_initializer=biases_initializer,
            depthwise_regularizer=weights_regularizer,
            pointwise_regularizer=weights_regularizer,
            bias_regularizer=biases_regularizer,
            trainable=trainable,
            name=sc.name,
            dtype=inputs.dtype.base_dtype,
            _scope=sc,
            _reuse=reuse,
        )
        kernels = ["depthwise_kernel", "pointwise_kernel"]
        return applied(
            layer, inputs, kernels, variables_collections,
            normalizer_fn, normalizer_params, activation_fn, outputs_collections, sc.name,
        )  # fmt: skip


# --- pools ----------------------------------------------------------------------------------------


def _pool_layer(kind: str, dims: int, layer_class: Any, default_scope: str) -> Any:
    layout = "NHWC" if dims == 2 else "NDHWC"

    def layer(
        inputs: Any,
        kernel_size: Any,
        stride: Any = 2,
        padding: str = "VALID",
        data_format: str = layout,
        outputs_collections: Any = None,
        scope: str | None = None,
    ) -> Tensor:
        order = _order(data_format)
        with name_scope(scope, default_scope, [inputs]) as sc:
            inputs = convert_to_tensor(inputs)
            made = layer_class(
                pool_size=kernel_size, strides=stride, padding=padding, data_format=order, _scope=sc
            )
            return collect_output(outputs_collections, sc, made.apply(inputs))

    layer.__name__ = f"{kind}_pool{dims}d"
    layer.__doc__ = f"""The {"greatest number" if kind == "max" else "mean"} of each window.

    Args:
        inputs: images or volumes with channels.
        kernel_size: size of the windows, a number or one for each spatial dimension.
        stride: steps of the windows, likewise.
        padding: "VALID" or "SAME".
        data_format: "{layout}", or with channels first.
        outputs_collections: for the output.
        scope: name scope.
    """
    return shown(f"{kind}_pool{dims}d")(layer)


max_pool2d = _pool_layer("max", 2, MaxPooling2D, "MaxPool2D")
max_pool3d = _pool_layer("max", 3, MaxPooling3D, "MaxPool3D")
avg_pool2d = _pool_layer("avg", 2, AveragePooling2D, "AvgPool2D")
avg_pool3d = _pool_layer("avg", 3, AveragePooling3D, "AvgPool3D")


@shown("pool")
def pool(
    inputs: Any,
    kernel_size: Any,
    pooling_type: str,
    padding: str = "VALID",
    data_format: str | None = None,
    dilation_rate: Any = 1,
    stride: Any = 1,
    outputs_collections: Any = None,
    scope: str | None = None,
) -> Tensor:
    """A pool of any number of spatial dimensions; `pooling_type` is "MAX" or "AVG".

    Raises:
        ValueError: the rank is not known.
    """
    with name_scope(scope, f"{pooling_type.lower()}_pool", [inputs]) as sc:
        inputs = convert_to_tensor(inputs)
        if inputs.shape.ndims is None:
            raise ValueError("Rank of inputs must be known")
        dims = inputs.shape.ndims - 2
        sizes, strides, rates = (
            [value] * dims if isinstance(value, int) else list(value)
            for value in (kernel_size, stride, dilation_rate)
        )
        outputs = nn_pool(
            inputs,
            sizes,
            pooling_type.upper(),
            padding,
            strides=strides,
            data_format=data_format,
            dilation_rate=rates,
        )
        return collect_output(outputs_collections, sc, outputs)


@export("contrib.slim.conv2d_same")
def conv2d_same(
    inputs: Any, num_outputs: int, kernel_size: int, stride: int, rate: int = 1, scope: Any = None
) -> Tensor:
    """A strided convolution padded by the kernel alone, whatever the size of the image."""
    if stride == 1:
        return conv2d(inputs, num_outputs, kernel_size, stride=1, rate=rate, scope=scope)  # type: ignore[no-any-return]
    total = (kernel_size - 1) * rate
    before, after = total // 2, total - total // 2
    inputs = pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
    return conv2d(  # type: ignore[no-any-return]
        inputs, num_outputs, kernel_size, stride=stride, rate=rate, padding="VALID", scope=scope
    )
