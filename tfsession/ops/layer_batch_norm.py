"""The layer of batch normalization, with its moving averages."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import constant
from tfsession.ops.initializers import Ones, Zeros
from tfsession.ops.layer import InputSpec, Layer, export_function, known_truth, smart_cond
from tfsession.ops.moments import batch_normalization as nn_batch_normalization
from tfsession.ops.moments import moments
from tfsession.ops.norm import fused_batch_norm
from tfsession.ops.shape import reshape
from tfsession.ops.state import assign_sub
from tfsession.ops.variables import VariableAggregation, VariableSynchronization

_ZEROS, _ONES = Zeros(), Ones()
_LAYOUTS = {(4, 1): "NCHW", (4, 3): "NHWC", (5, 1): "NCDHW", (5, 4): "NDHWC"}


@export("layers.BatchNormalization")
class BatchNormalization(Layer):
    """Mean zero and variance one in each channel, times gamma, plus beta.

    While training, mean and variance are those of the batch, and operations in the collection
    UPDATE_OPS, to be run with each step, keep moving averages of them; else these are taken.

    Args:
        axis: the dimension of the channels.
        momentum: weight of the old averages.
        epsilon: small number against division by zero.
        center: whether there is a beta.
        scale: whether there is a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer:
            initializers.
        beta_regularizer, gamma_regularizer: functions that give losses.
        beta_constraint, gamma_constraint: functions that variables are projected with.
        renorm, renorm_clipping, renorm_momentum, virtual_batch_size, adjustment: not supported.
        fused: False for simple operations instead of a fused one; None and True take it for images
            and volumes.
        trainable: whether beta and gamma are trained.
        name: name of the layer and its variable scope.
        kwargs: `dtype`, `_scope` and `_reuse`.

    Raises:
        NotImplementedError: an argument that is not supported is given.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: Any = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = _ZEROS,
        gamma_initializer: Any = _ONES,
        moving_mean_initializer: Any = _ZEROS,
        moving_variance_initializer: Any = _ONES,
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: Any = 0.99,
        fused: bool | None = None,
        trainable: bool = True,
        virtual_batch_size: int | None = None,
        adjustment: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable, name, **kwargs)
        for what, value in (
            ("renorm", renorm),
            ("virtual_batch_size", virtual_batch_size),
            ("adjustment", adjustment),
        ):
            if value:
                raise NotImplementedError(
                    f"BatchNormalization with {what}={value!r} is not supported; leave it out to "
                    "normalize by the whole batch."
                )
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.fused = fused
        self._beta = (beta_initializer, beta_regularizer, beta_constraint)
        self._gamma = (gamma_initializer, gamma_regularizer, gamma_constraint)
        self._moving = {
            "moving_mean": moving_mean_initializer,
            "moving_variance": moving_variance_initializer,
        }
        self._layout: str | None = None
        self._depth = 0
        self.beta: Any = None
        self.gamma: Any = None
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def _param_dtype(self) -> Any:
        narrow = self._dtype in (dtypes.float16, dtypes.bfloat16)
        return dtypes.float32 if narrow else self._dtype or dtypes.float32

    def build(self, input_shape: Any) -> None:
        """Make gamma, beta and both moving averages.

        Raises:
            ValueError: the rank, or the number of channels, is not known, or there is no such axis.
        """
        shape = TensorShape(input_shape)
        if shape.ndims is None:
            raise ValueError(f"Input has undefined rank. Received: input_shape={input_shape}.")
        given = self.axis[0] if isinstance(self.axis, list | tuple) else self.axis
        axis = given + shape.ndims if given < 0 else given
        if not 0 <= axis < shape.ndims:
            raise ValueError(
                "Invalid value for `axis` argument. Expected 0 <= axis < inputs.rank (with "
                f"inputs.rank={shape.ndims}). Received: axis=({given},)"
            )
        self.axis = axis
        depth = shape.as_list()[axis]
        if depth is None:
            raise ValueError(
                "Input has undefined `axis` dimension. Received input with shape "
                f"{shape} and axis=({axis},)"
            )
        self._depth = depth
        fusible = self.fused is not False and self._param_dtype() is dtypes.float32
        self._layout = _LAYOUTS.get((shape.ndims, axis)) if fusible else None
        self.fused = self._layout is not None
        self.input_spec = InputSpec(ndim=shape.ndims, axes={axis: depth})
        dtype = self._param_dtype()
        for name, wanted, (initializer, regularizer, constraint) in (
            ("gamma", self.scale, self._gamma),
            ("beta", self.center, self._beta),
        ):
            if wanted:
                variable = self.add_weight(
                    name, (depth,), dtype, initializer, regularizer, True, constraint
                )
                setattr(self, name, variable)
        for name, initializer in self._moving.items():
            variable = self.add_weight(
                name, (depth,), dtype, initializer, trainable=False,
                synchronization=VariableSynchronization.ON_READ,
                aggregation=VariableAggregation.MEAN,
            )  # fmt: skip
            setattr(self, name, variable)
        self.built = True

    def call(self, inputs: Any, training: Any = False) -> Any:
        """Normalize by the batch where `training`, a value or a scalar tensor, holds."""
        return (self._fused if self.fused else self._simple)(inputs, training)

    def _fused(self, inputs: Tensor, training: Any) -> Any:
        dtype = self._param_dtype()
        shape = [self._depth]
        beta = self.beta if self.center else constant(0.0, dtype, shape)
        gamma = self.gamma if self.scale else constant(1.0, dtype, shape)

        def normalize(is_training: bool) -> Any:
            return fused_batch_norm(
                inputs, gamma, beta, self.moving_mean, self.moving_variance, self.epsilon,
                str(self._layout), is_training,
            )  # fmt: skip

        output, mean, variance = smart_cond(
            training, lambda: normalize(True), lambda: normalize(False)
        )
        known = known_truth(training)
        if known is not False:
            if known is None:
                momentum = smart_cond(training, lambda: self.momentum, lambda: 1.0)
            else:
                momentum = convert_to_tensor(self.momentum)
            self.add_update(lambda: self._average(self.moving_mean, mean, momentum))
            self.add_update(lambda: self._average(self.moving_variance, variance, momentum))
        return output

    def _average(self, variable: Any, value: Any, momentum: Any) -> Any:
        """Move an average towards a value."""
        graph = get_default_graph()
        with graph.name_scope("AssignMovingAvg") as scope, graph.colocate_with(variable.op):
            decay = convert_to_tensor(1.0 - momentum, name="decay")
            kind = variable.dtype.base_dtype
            decay = decay if decay.dtype is kind else cast(decay, kind)
            distance = (variable - cast(value, kind)) * decay
            return assign_sub(variable, distance, name=scope)

    def _spread(self, vector: Any, rank: int) -> Any:
        """A vector of channels so that it meets theirs; None stays None."""
        if vector is None or self.axis == rank - 1:
            return vector
        shape = [1] * rank
        shape[self.axis] = self._depth
        return reshape(vector, shape)

    def _simple(self, inputs: Tensor, training: Any) -> Any:
        given = inputs.dtype.base_dtype
        if given in (dtypes.float16, dtypes.bfloat16):
            inputs = cast(inputs, dtypes.float32)
        rank = len(inputs.shape)
        scale, offset = self._spread(self.gamma, rank), self._spread(self.beta, rank)
        mean, variance = self.moving_mean, self.moving_variance
        if known_truth(training) is not False:
            mean, variance = self._statistics(inputs, training, rank)
        mean, variance = cast(mean, inputs.dtype), cast(variance, inputs.dtype)
        offset = None if offset is None else cast(offset, inputs.dtype)
        scale = None if scale is None else cast(scale, inputs.dtype)
        outputs = nn_batch_normalization(
            inputs, self._spread(mean, rank), self._spread(variance, rank), offset, scale,
            self.epsilon,
        )  # fmt: skip
        outputs = outputs if outputs.dtype is given else cast(outputs, given)
        outputs.set_shape(inputs.shape)
        return outputs

    def _statistics(self, inputs: Tensor, training: Any, rank: int) -> tuple[Any, Any]:
        """Mean and variance to normalize by; averages are moved where `training` holds."""
        axes = [axis for axis in range(rank) if axis != self.axis]
        found = moments(cast(inputs, self._param_dtype()), axes)
        pairs = [(self.moving_mean, found[0]), (self.moving_variance, found[1])]

        def chosen(average: Any, value: Any) -> Any:
            return smart_cond(training, lambda: value, lambda: convert_to_tensor(average))

        values = [chosen(average, value) for average, value in pairs]
        for (average, _), value in zip(pairs, values, strict=True):
            self.add_update(
                smart_cond(
                    training,
                    lambda average=average, value=value: self._average(
                        average, value, self.momentum
                    ),
                    lambda average=average: average,
                )
            )
        return values[0], values[1]

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        """The shape of the input."""
        return TensorShape(input_shape)


_ORDER = ("training", "trainable", "name", "reuse", "renorm", "renorm_clipping", "renorm_momentum",
          "fused", "virtual_batch_size", "adjustment")  # fmt: skip
export_function(BatchNormalization, "layers.batch_normalization", call=("training",), order=_ORDER)
