"""Cells of `tf.contrib.rnn`: LSTM with layer normalization, NASCell, the so-called block cells."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.graph.tensor import Tensor
from tfsession.ops.dropout import dropout
from tfsession.ops.initializers import Constant, Zeros
from tfsession.ops.join import concat, split
from tfsession.ops.layer import InputSpec
from tfsession.ops.matmul import matmul
from tfsession.ops.moments import batch_normalization, moments
from tfsession.ops.nn import bias_add, relu
from tfsession.ops.rnn_cell import GRUCell, LayerRNNCell, RNNCell, depth_of, function_of
from tfsession.ops.rnn_cell_lstm import LSTMCell, LSTMStateTuple
from tfsession.ops.unary import sigmoid, tanh
from tfsession.ops.variable_scope import get_variable, variable_scope


@export("contrib.rnn.LayerNormBasicLSTMCell")
class LayerNormBasicLSTMCell(RNNCell):
    """LSTM cell with layer normalization (Ba et al. 2016, arXiv 1607.06450) and dropout of what
    the memory takes in (Semeniuta et al. 2016, arXiv 1603.05118).

    Args:
        num_units: size of `c` and of `h`.
        forget_bias: added to the forget gate's inputs.
        input_size: accepted; not used.
        activation: function.
        layer_norm: whether gates and memory are normalized; without, there is a bias.
        norm_gain, norm_shift: first values of the scale and the offset.
        dropout_keep_prob: probability that an element is kept, a number or a scalar tensor.
        dropout_prob_seed: number from which the draws follow.
        reuse: take the variables that are there.
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        input_size: Any = None,
        activation: Any = tanh,
        layer_norm: bool = True,
        norm_gain: float = 1.0,
        norm_shift: float = 0.0,
        dropout_keep_prob: Any = 1.0,
        dropout_prob_seed: int | None = None,
        reuse: Any = None,
    ) -> None:
        super().__init__(_reuse=reuse)
        self._num_units = num_units
        self._forget_bias = forget_bias
        self._activation = function_of(activation)
        self._layer_norm = layer_norm
        self._norm_gain = norm_gain
        self._norm_shift = norm_shift
        self._keep_prob = dropout_keep_prob
        self._seed = dropout_prob_seed

    @property
    def state_size(self) -> Any:
        """Sizes of `c` and `h`."""
        return LSTMStateTuple(self._num_units, self._num_units)

    @property
    def output_size(self) -> Any:
        """The number of units."""
        return self._num_units

    def _normalized(self, x: Tensor, scope: str) -> Tensor:
        if not self._layer_norm:
            return x
        size, dtype = x.shape[-1:], x.dtype.base_dtype
        with variable_scope(scope):
            gamma = get_variable("gamma", size, dtype, Constant(self._norm_gain))
            beta = get_variable("beta", size, dtype, Constant(self._norm_shift))
            mean, variance = moments(x, [1], keepdims=True)
            epsilon = 1e-3 if dtype.size == 2 else 1e-12
            return batch_normalization(x, mean, variance, beta, gamma, epsilon)

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The new `h` and the new state."""
        c, h = state
        joined = concat([inputs, h], 1)
        dtype, size = joined.dtype.base_dtype, 4 * self._num_units
        kernel = get_variable("kernel", [depth_of(joined.shape), size], dtype)
        gates = matmul(joined, kernel)
        if not self._layer_norm:
            gates = bias_add(gates, get_variable("bias", [size], dtype))
        i, j, f, o = split(gates, 4, axis=1)
        i, j = self._normalized(i, "input"), self._normalized(j, "transform")
        f, o = self._normalized(f, "forget"), self._normalized(o, "output")
        taken = self._activation(j)
        if not isinstance(self._keep_prob, float) or self._keep_prob < 1:
            taken = dropout(taken, self._keep_prob, seed=self._seed)
        new_c = c * sigmoid(f + self._forget_bias) + sigmoid(i) * taken
        new_c = self._normalized(new_c, "state")
        new_h = self._activation(new_c) * sigmoid(o)
        return new_h, LSTMStateTuple(new_c, new_h)


@export("contrib.rnn.NASCell")
class NASCell(LayerRNNCell):
    """The cell that a search found (Zoph and Le 2016, arXiv 1611.01578).

    Args:
        num_units: size of `c`.
        num_proj: size of `h`, which is projected by a matrix; `num_units`, and none, when None.
        use_bias: whether there is a bias.
        reuse: take the variables that are there.
        kwargs: as for `tf.layers.Layer`.
    """

    def __init__(
        self,
        num_units: int,
        num_proj: int | None = None,
        use_bias: bool = False,
        reuse: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(_reuse=reuse, **kwargs)
        self.input_spec = InputSpec(ndim=2)
        self._num_units = num_units
        self._num_proj = num_proj
        self._use_bias = use_bias

    @property
    def state_size(self) -> Any:
        """Sizes of `c` and `h`."""
        return LSTMStateTuple(self._num_units, self.output_size)

    @property
    def output_size(self) -> Any:
        """The size of `h`."""
        return self._num_units if self._num_proj is None else self._num_proj

    def build(self, input_shape: Any) -> None:
        """Make the kernels of inputs and `h`; bias and projection where asked."""
        depth, size = depth_of(input_shape), 8 * self._num_units
        self.recurrent_kernel, self.kernel = self.add_parts([
            ("recurrent_kernel", [self.output_size, size], None), ("kernel", [depth, size], None)
        ])  # fmt: skip
        self.bias = self.add_weight("bias", [size], initializer=Zeros()) if self._use_bias else None
        if self._num_proj is not None:
            shape = [self._num_units, self._num_proj]
            self.projection_weights = self.add_weight("projection_weights", shape)
        self.built = True

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The new `h` and the new state."""
        c, h = state
        recurrent = matmul(h, self.recurrent_kernel)
        given = matmul(inputs, self.kernel)
        if self.bias is not None:
            recurrent = bias_add(recurrent, self.bias)
        x, m = split(given, 8, axis=1), split(recurrent, 8, axis=1)
        one = tanh(sigmoid(x[0] + m[0]) * relu(x[1] + m[1]))
        two = tanh(sigmoid(x[2] + m[2]) + relu(x[3] * m[3]))
        three = tanh(tanh(x[4] + m[4]) * sigmoid(x[5] + m[5]))
        four = sigmoid(tanh(x[6] + m[6]) + sigmoid(x[7] + m[7]))
        new_c = tanh(one + c) * two
        new_h = tanh(new_c * tanh(three + four))
        if self._num_proj is not None:
            new_h = matmul(new_h, self.projection_weights)
        return new_h, LSTMStateTuple(new_c, new_h)


@export("contrib.rnn.LSTMBlockCell")
class LSTMBlockCell(LSTMCell):
    """`LSTMCell` by another name: there is one kernel for each of its operations here, too.

    Args:
        num_units, forget_bias, cell_clip, dtype, reuse, name: as for `LSTMCell`.
        use_peephole: its `use_peepholes`.
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        cell_clip: Any = None,
        use_peephole: bool = False,
        dtype: Any = None,
        reuse: Any = None,
        name: str | None = "lstm_cell",
    ) -> None:
        clip = None if cell_clip is None or cell_clip < 0 else cell_clip
        super().__init__(
            num_units, use_peephole, clip, forget_bias=forget_bias, reuse=reuse, name=name,
            dtype=dtype,
        )  # fmt: skip


@export("contrib.rnn.GRUBlockCellV2")
class GRUBlockCellV2(GRUCell):
    """`GRUCell` by another name.

    Args:
        num_units, reuse, name: as for `GRUCell`.
        cell_size: another name of `num_units`.
    """

    def __init__(
        self,
        num_units: int | None = None,
        cell_size: int | None = None,
        reuse: Any = None,
        name: str | None = "gru_cell",
        **kwargs: Any,
    ) -> None:
        if (num_units is None) == (cell_size is None):
            raise ValueError("Exactly one of num_units or cell_size must be given.")
        units = cell_size if num_units is None else num_units
        super().__init__(units, reuse=reuse, name=name, **kwargs)  # type: ignore[arg-type]


@export("contrib.rnn.GRUBlockCell")
class GRUBlockCell(GRUBlockCellV2):
    """`GRUBlockCellV2` with other names of variables: w_ru, b_ru, w_c, b_c."""

    def build(self, input_shape: Any) -> None:
        """Make kernels and biases of the gates and of the candidate state."""
        units, depth = self._num_units, depth_of(input_shape)
        parts = self.add_parts([
            ("w_ru", [depth + units, 2 * units], None),
            ("b_ru", [2 * units], Constant(1.0)),
            ("w_c", [depth + units, units], None),
            ("b_c", [units], Constant(0.0)),
        ])  # fmt: skip
        self._gate_kernel, self._gate_bias, self._candidate_kernel, self._candidate_bias = parts
        self.built = True
