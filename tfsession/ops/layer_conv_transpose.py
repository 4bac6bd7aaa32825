"""Layers of transposed convolutions, and of convolutions that are separated in two."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.tensor import Tensor
from tfsession.ops.conv_transpose import conv2d_transpose, conv3d_transpose
from tfsession.ops.depthwise import separable_conv2d
from tfsession.ops.join import stack
from tfsession.ops.layer import InputSpec, export_function
from tfsession.ops.layer_conv import FUNCTION_ORDER, ZEROS, ConvBase
from tfsession.ops.nn import bias_add
from tfsession.ops.shape import expand_dims, squeeze
from tfsession.ops.shape import shape as shape_of


class TransposeLayer(ConvBase):
    """A transposed convolution."""

    def __init__(
        self,
        filters: Any,
        kernel_size: Any,
        strides: Any = 1,
        padding: Any = "valid",
        data_format: Any = "channels_last",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = ZEROS,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, 1, activation, use_bias,
            bias_initializer, bias_regularizer, activity_regularizer, bias_constraint, trainable,
            name, **kwargs,
        )  # fmt: skip
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = kernel_regularizer
        self.kernel_constraint = kernel_constraint
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias; ValueError when the channels of the input are not known."""
        shape = (*self.kernel_size, self.filters, self._depth_of(input_shape))
        self.kernel = self.add_weight(
            "kernel", shape, None, self.kernel_initializer, self.kernel_regularizer, True,
            self.kernel_constraint,
        )  # fmt: skip
        self._add_bias()

    def _grown(self, size: Any, d: int) -> Any:
        """The size of the output for one of the input, a number or a tensor."""
        if size is None:
            return None
        size = size * self.strides[d]
        if self.padding == "same":
            return size
        return size + max(self.kernel_size[d] - self.strides[d], 0)

    def _spatial(self) -> list[int]:
        start = 2 if self._first else 1
        return list(range(start, start + self.rank))

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        """The shape of the output."""
        sizes = TensorShape(input_shape).as_list()
        for d, axis in enumerate(self._spatial()):
            sizes[axis] = self._grown(sizes[axis], d)
        sizes[1 if self._first else -1] = self.filters
        return TensorShape(sizes)

    def _output_sizes(self, batch: Any, sizes: list[Any]) -> Any:
        grown = [self._grown(size, d) for d, size in enumerate(sizes)]
        if self._first:
            return stack([batch, self.filters, *grown])
        return stack([batch, *grown, self.filters])


@export("layers.Conv2DTranspose", "layers.Convolution2DTranspose")
class Conv2DTranspose(TransposeLayer):
    """A transposed convolution of images: from what a convolution gives to what it takes.

    Args:
        filters: number of output channels.
        kernel_size: size of the filters, one number or one for each of height and width.
        strides: how much larger the output is than the input, likewise.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".
        activation: function, or its name in `tf.nn`; None for none.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: initializers.
        kernel_regularizer, bias_regularizer, activity_regularizer: functions that give losses.
        kernel_constraint, bias_constraint: functions that variables are projected with.
        trainable: whether the variables are trained.
        name: name of the layer and its variable scope.
        kwargs: `dtype`, `_scope` and `_reuse`.
    """

    rank = 2

    def call(self, inputs: Any) -> Any:
        """The transposed convolution, with bias and activation."""
        dynamic = shape_of(inputs)
        batch = dynamic[0]
        known = [None] * 4 if inputs.shape.ndims is None else inputs.shape.as_list()
        sizes = [known[a] if known[a] is not None else dynamic[a] for a in self._spatial()]
        output_shape = self._output_sizes(batch, sizes)
        # A node that nobody reads: TensorFlow has it, and counts it in the names of later ones.
        output_shape[0]
        outputs = conv2d_transpose(
            inputs, self.kernel, output_shape, self._whole(self.strides), self.padding.upper(),
            self._layout(),
        )  # fmt: skip
        if inputs.shape.ndims is not None:
            outputs.set_shape(self.compute_output_shape(inputs.shape))
        return self._finished(outputs)


@export("layers.Conv3DTranspose", "layers.Convolution3DTranspose")
class Conv3DTranspose(TransposeLayer):
    """A transposed convolution of volumes; arguments as of `Conv2DTranspose`, with a depth."""

    rank = 3

    def call(self, inputs: Any) -> Any:
        """The transposed convolution, with bias and activation."""
        dynamic = shape_of(inputs)
        batch = dynamic[0]
        sizes: list[Tensor] = [dynamic[axis] for axis in self._spatial()]
        outputs = conv3d_transpose(
            inputs, self.kernel, self._output_sizes(batch, sizes), self._whole(self.strides),
            self.padding.upper(), self._layout(),
        )  # fmt: skip
        if inputs.shape.ndims is not None:
            outputs.set_shape(self.compute_output_shape(inputs.shape))
        return self._finished(outputs)


class SeparableLayer(ConvBase):
    """A convolution of each channel alone, then one of all channels of each place."""

    def __init__(
        self,
        filters: Any,
        kernel_size: Any,
        strides: Any = 1,
        padding: Any = "valid",
        data_format: Any = "channels_last",
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = None,
        pointwise_initializer: Any = None,
        bias_initializer: Any = ZEROS,
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            use_bias, bias_initializer, bias_regularizer, activity_regularizer, bias_constraint,
            trainable, name, **kwargs,
        )  # fmt: skip
        self.depth_multiplier = depth_multiplier
        self._parts = {
            "depthwise": (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            "pointwise": (pointwise_initializer, pointwise_regularizer, pointwise_constraint),
        }
        self.depthwise_kernel: Any = None
        self.pointwise_kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make both kernels and the bias; ValueError when the channels are not known."""
        depth = self._depth_of(input_shape)
        middle = depth * self.depth_multiplier
        self.depthwise_kernel = self._kernel(
            "depthwise", (*self.kernel_size, depth, self.depth_multiplier)
        )
        self.pointwise_kernel = self._kernel("pointwise", (*(1,) * self.rank, middle, self.filters))
        self._add_bias()

    def _kernel(self, part: str, shape: Any) -> Any:
        initializer, regularizer, constraint = self._parts[part]
        return self.add_weight(
            f"{part}_kernel", shape, None, initializer, regularizer, True, constraint
        )


@export("layers.SeparableConv2D", "layers.SeparableConvolution2D")
class SeparableConv2D(SeparableLayer):
    """A convolution of each channel alone, then of all channels of each pixel.

    Args:
        filters: number of output channels.
        kernel_size: size of the filters, one number or one for each of height and width.
        strides: steps, likewise.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".
        dilation_rate: distance of neighbours in a filter, likewise.
        depth_multiplier: number of filters of each channel.
        activation: function, or its name in `tf.nn`; None for none.
        use_bias: whether there is a bias.
        depthwise_initializer, pointwise_initializer, bias_initializer: initializers.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer:
            functions that give losses.
        depthwise_constraint, pointwise_constraint, bias_constraint: functions that variables are
            projected with.
        trainable: whether the variables are trained.
        name: name of the layer and its variable scope.
        kwargs: `dtype`, `_scope` and `_reuse`.
    """

    rank = 2

    def call(self, inputs: Any) -> Any:
        """Both convolutions, with bias and activation."""
        outputs = separable_conv2d(
            inputs, self.depthwise_kernel, self.pointwise_kernel, self._whole(self.strides),
            self.padding.upper(), self.dilation_rate, data_format=self._layout(),
        )  # fmt: skip
        return self._finished(outputs)


@export("layers.SeparableConv1D")
class SeparableConv1D(SeparableLayer):
    """`SeparableConv2D` of sequences, as of images one high."""

    rank = 1

    def call(self, inputs: Any) -> Any:
        """Both convolutions, with bias and activation."""
        axis, layout = (2, "NCHW") if self._first else (1, "NHWC")
        inputs = expand_dims(inputs, axis)
        depthwise = expand_dims(self.depthwise_kernel, 0)
        pointwise = expand_dims(self.pointwise_kernel, 0)
        outputs = separable_conv2d(
            inputs, depthwise, pointwise, self._whole(self.strides * 2), self.padding.upper(),
            (1, *self.dilation_rate), data_format=layout,
        )  # fmt: skip
        if self.use_bias:
            outputs = bias_add(outputs, self.bias, data_format=layout)
        outputs = squeeze(outputs, [axis])
        return outputs if self.activation is None else self.activation(outputs)


export_function(Conv2DTranspose, "layers.conv2d_transpose", order=FUNCTION_ORDER)
export_function(Conv3DTranspose, "layers.conv3d_transpose", order=FUNCTION_ORDER)
export_function(SeparableConv1D, "layers.separable_conv1d", order=FUNCTION_ORDER)
export_function(SeparableConv2D, "layers.separable_conv2d", order=FUNCTION_ORDER)
