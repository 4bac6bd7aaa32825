"""Layers that are not of images alone: dense ones, dropout, and what makes vectors of tensors."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import as_dtype
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import constant, identity
from tfsession.ops.dropout import dropout as nn_dropout
from tfsession.ops.initializers import Zeros
from tfsession.ops.layer import InputSpec, Layer, activation_of, export_function, smart_cond
from tfsession.ops.matmul import matmul
from tfsession.ops.nn import bias_add
from tfsession.ops.shape import expand_dims, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensordot import tensordot
from tfsession.ops.transpose import transpose


@export("layers.Dense")
class Dense(Layer):
    """`activation(inputs @ kernel + bias)`, over the last dimension of the inputs.

    Args:
        units: size of the output.
        activation: function, or its name in `tf.nn`; None for none.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: initializers.
        kernel_regularizer, bias_regularizer, activity_regularizer: functions that give losses.
        kernel_constraint, bias_constraint: functions that variables are projected with.
        trainable: whether the variables are trained.
        name: name of the layer and its variable scope.
        kwargs: `dtype`, `_scope` and `_reuse`.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = Zeros(),  # noqa: B008  (as TensorFlow has it; it keeps no state)
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable, name, activity_regularizer=activity_regularizer, **kwargs)
        self.units = int(units)
        if self.units < 0:
            raise ValueError(
                "Received an invalid value for `units`, expected a positive integer. Received: "
                f"units={units}"
            )
        self.activation = activation_of(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint
        self.input_spec = InputSpec(min_ndim=2)
        self.kernel: Any = None
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias.

        Raises:
            TypeError: the dtype is no floating point.
            ValueError: the last dimension of the input is not known.
        """
        dtype = as_dtype(self._dtype or "float32")
        if not (dtype.is_floating or dtype.is_complex):
            raise TypeError(
                f"A Dense layer can only be built with a floating-point dtype. Received: dtype="
                f"{dtype}"
            )
        depth = TensorShape(input_shape).as_list()[-1]
        if depth is None:
            raise ValueError(
                "The last dimension of the inputs to a Dense layer should be defined. Found None. "
                f"Full input shape received: {input_shape}"
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: depth})
        self.kernel = self.add_weight(
            "kernel", [depth, self.units], None, self.kernel_initializer, self.kernel_regularizer,
            True, self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", [self.units], None, self.bias_initializer, self.bias_regularizer, True,
                self.bias_constraint,
            )  # fmt: skip
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The product, with bias and activation."""
        rank = inputs.shape.ndims
        if inputs.dtype.base_dtype is not self._dtype:
            inputs = cast(inputs, self._dtype)
        if rank in (2, None):
            outputs = matmul(inputs, self.kernel)
        else:
            outputs = tensordot(inputs, self.kernel, [[rank - 1], [0]])
            outputs.set_shape([*inputs.shape.as_list()[:-1], self.units])
        if self.use_bias:
            outputs = bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        """The shape of the input with another last dimension."""
        shape = TensorShape(input_shape).with_rank_at_least(2)
        return shape[:-1].concatenate(self.units)


@export("layers.Dropout")
class Dropout(Layer):
    """`tf.nn.dropout` while training, else the inputs.

    Args:
        rate: probability that an element is lost.
        noise_shape: shape of what is drawn.
        seed: number from which the draws follow.
        name: name of the layer.
        kwargs: `_scope`, `_reuse`.
    """

    def __init__(
        self,
        rate: Any = 0.5,
        noise_shape: Any = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if isinstance(rate, int | float) and not 0 <= rate <= 1:
            raise ValueError(
                f"Invalid value {rate} received for `rate`, expected a value between 0 and 1."
            )
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed

    def call(self, inputs: Any, training: Any = False) -> Any:
        """Drop out where `training`, a Python value or a scalar tensor, holds."""
        return smart_cond(
            training,
            lambda: nn_dropout(
                inputs, noise_shape=self.noise_shape, seed=self.seed, rate=self.rate
            ),
            lambda: identity(inputs),
        )

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        """The shape of the input."""
        return TensorShape(input_shape)


@export("layers.Flatten")
class Flatten(Layer):
    """All dimensions but the first made one.

    Args:
        data_format: "channels_last" (None), or "channels_first" to put the channels last before.
        kwargs: `name`, `_scope`, `_reuse`.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Tensor) -> Any:
        """Reshape; what is known of the shape stays known."""
        rank = inputs.shape.ndims
        if self.data_format == "channels_first" and rank is not None and rank > 1:
            inputs = transpose(inputs, [0, *range(2, rank), 1])
        if rank == 1:
            return expand_dims(inputs, -1)
        others = inputs.shape[1:]
        if others.is_fully_defined():
            return reshape(inputs, constant([-1, others.num_elements() or 0]))
        batch = None if rank is None else inputs.shape.as_list()[0]
        return reshape(inputs, [batch or shape_of(inputs)[0], -1])


export_function(Dense, "layers.dense", order=("trainable", "name", "reuse"))
export_function(Dropout, "layers.dropout", call=("training",), order=("training", "name"))
export_function(Flatten, "layers.flatten", order=("name", "data_format"))
