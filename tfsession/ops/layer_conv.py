"""Layers that convolve sequences, images and volumes."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.ops.dilated import convolution
from tfsession.ops.initializers import Zeros
from tfsession.ops.layer import InputSpec, Layer, activation_of, export_function
from tfsession.ops.nn import bias_add
from tfsession.ops.shape import reshape

ZEROS = Zeros()
FUNCTION_ORDER = ("trainable", "name", "reuse")
_NUMBER_NAMES = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def sizes_of(value: Any, count: int, name: str) -> tuple[int, ...]:
    """`count` numbers, for one number or as many.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, int):
        return (value,) * count
    try:
        sizes = tuple(int(v) for v in value)
    except (TypeError, ValueError):
        sizes = ()
    if len(sizes) != count:
        raise ValueError(
            f"The `{name}` argument must be a tuple of {count} integers. Received: {value}"
        )
    return sizes


def padding_of(value: Any) -> Any:
    """The name in small letters, "valid" or "same", or a list; ValueError for what else."""
    if isinstance(value, list | tuple):
        return value
    padding = value.lower()
    if padding not in ("valid", "same"):
        raise ValueError(
            'The `padding` argument must be a list/tuple or one of "valid", "same" (or "causal", '
            f"only for `Conv1D). Received: {value}"
        )
    return padding


def is_channels_first(data_format: str | None) -> bool:
    """Whether channels come before the spatial dimensions; ValueError for an unknown name."""
    name = (data_format or "channels_last").lower()
    if name not in ("channels_first", "channels_last"):
        raise ValueError(
            'The `data_format` argument must be one of "channels_first", "channels_last". '
            f"Received: {data_format}"
        )
    return name == "channels_first"


def layout_of(first: bool, rank: int) -> str:
    """The name that operations have for a layout of `rank` spatial dimensions."""
    name = _NUMBER_NAMES[rank]
    return f"NC{name[1:-1]}" if first else name


class ConvBase(Layer):
    """What layers that convolve have in common: arguments, bias and activation."""

    rank = 2

    def __init__(
        self,
        filters: Any,
        kernel_size: Any,
        strides: Any,
        padding: Any,
        data_format: Any,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        activity_regularizer: Any,
        bias_constraint: Any,
        trainable: bool,
        name: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable, name, activity_regularizer=activity_regularizer, **kwargs)
        self.filters = None if filters is None else int(filters)
        if self.filters is not None and self.filters <= 0:
            raise ValueError(
                "Invalid value for argument `filters`. Expected a strictly positive value. "
                f"Received filters={filters}."
            )
        self.kernel_size = sizes_of(kernel_size, self.rank, "kernel_size")
        self.strides = sizes_of(strides, self.rank, "strides")
        self.padding = padding_of(padding)
        self._first = is_channels_first(data_format)
        self.data_format = "channels_first" if self._first else "channels_last"
        self.dilation_rate = sizes_of(dilation_rate, self.rank, "dilation_rate")
        for what, sizes in (("kernel_size", self.kernel_size), ("strides", self.strides)):
            if not all(sizes):
                raise ValueError(f"The argument `{what}` cannot contain 0(s). Received: {sizes}")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.activation = activation_of(activation)
        self.use_bias = use_bias
        self.bias_initializer = bias_initializer
        self.bias_regularizer = bias_regularizer
        self.bias_constraint = bias_constraint
        self.input_spec = InputSpec(min_ndim=self.rank + 2)
        self.bias: Any = None

    def _depth_of(self, input_shape: Any) -> int:
        axis = -1 - self.rank if self._first else -1
        depth = TensorShape(input_shape).as_list()[axis]
        if depth is None:
            raise ValueError(
                "The channel dimension of the inputs should be defined. The input_shape received "
                f"is {input_shape}, where axis {axis} (0-based) is the channel dimension, which "
                "found to be `None`."
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={axis: depth})
        return int(depth)

    def _add_bias(self) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (self.filters,), None, self.bias_initializer, self.bias_regularizer, True,
                self.bias_constraint,
            )  # fmt: skip
        self.built = True

    def _layout(self) -> str:
        return layout_of(self._first, self.rank)

    def _whole(self, sizes: tuple[int, ...]) -> list[int]:
        return [1, 1, *sizes] if self._first else [1, *sizes, 1]

    def _finished(self, outputs: Any) -> Any:
        """With bias and activation."""
        if self.use_bias:
            if self.rank == 1 and self._first:
                outputs = outputs + reshape(self.bias, (1, self.filters, 1))
            else:
                outputs = bias_add(outputs, self.bias, data_format=self._layout())
        return outputs if self.activation is None else self.activation(outputs)


class ConvLayer(ConvBase):
    """A convolution with one kernel."""

    op_name = "Conv2D"

    def __init__(
        self,
        filters: Any,
        kernel_size: Any,
        strides: Any = 1,
        padding: Any = "valid",
        data_format: Any = "channels_last",
        dilation_rate: Any = 1,
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
            filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            use_bias, bias_initializer, bias_regularizer, activity_regularizer, bias_constraint,
            trainable, name, **kwargs,
        )  # fmt: skip
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = kernel_regularizer
        self.kernel_constraint = kernel_constraint
        self.kernel: Any = None

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias; ValueError when the channels of the input are not known."""
        shape = (*self.kernel_size, self._depth_of(input_shape), self.filters)
        self.kernel = self.add_weight(
            "kernel", shape, None, self.kernel_initializer, self.kernel_regularizer, True,
            self.kernel_constraint,
        )  # fmt: skip
        self._add_bias()

    def call(self, inputs: Any) -> Any:
        """The convolution, with bias and activation."""
        padding = self.padding.upper() if isinstance(self.padding, str) else self.padding
        return self._finished(
            convolution(
                inputs, self.kernel, padding, list(self.strides), list(self.dilation_rate),
                name=self.op_name, data_format=self._layout(),
            )
        )  # fmt: skip


@export("layers.Conv1D", "layers.Convolution1D")
class Conv1D(ConvLayer):
    """A convolution of sequences `[batch, width, channels]`.

    Args:
        filters: number of output channels.
        kernel_size: width of the filters.
        strides: step.
        padding: "valid" or "same".
        data_format: "channels_last", or "channels_first" for `[batch, channels, width]`.
        dilation_rate: distance of neighbours in a filter.
        activation: function, or its name in `tf.nn`; None for none.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: initializers.
        kernel_regularizer, bias_regularizer, activity_regularizer: functions that give losses.
        kernel_constraint, bias_constraint: functions that variables are projected with.
        trainable: whether the variables are trained.
        name: name of the layer and its variable scope.
        kwargs: `dtype`, `_scope` and `_reuse`.
    """

    rank, op_name = 1, "conv1d"


@export("layers.Conv2D", "layers.Convolution2D")
class Conv2D(ConvLayer):
    """A convolution of images `[batch, height, width, channels]`; arguments as of `Conv1D`.

    Sizes are one number, or one for height and one for width.
    """

    rank, op_name = 2, "Conv2D"


@export("layers.Conv3D", "layers.Convolution3D")
class Conv3D(ConvLayer):
    """A convolution of volumes `[batch, depth, height, width, channels]`; as `Conv1D`.

    Sizes are one number, or one for each of depth, height and width.
    """

    rank, op_name = 3, "Conv3D"


export_function(Conv1D, "layers.conv1d", order=FUNCTION_ORDER)
export_function(Conv2D, "layers.conv2d", order=FUNCTION_ORDER)
export_function(Conv3D, "layers.conv3d", order=FUNCTION_ORDER)
