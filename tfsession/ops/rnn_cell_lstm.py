"""Cells with long short-term memory (LSTM): state of a memory `c` and an output `h`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.verbosity import warning
from tfsession.ops.constant import constant
from tfsession.ops.elementwise import add, clip_by_value, multiply
from tfsession.ops.initializers import Zeros
from tfsession.ops.join import concat, split
from tfsession.ops.layer import InputSpec
from tfsession.ops.matmul import matmul
from tfsession.ops.nn import bias_add
from tfsession.ops.rnn_cell import (
    LayerRNNCell,
    cell_names,
    check_dtypes,
    check_inputs,
    depth_of,
    function_of,
)
from tfsession.ops.slice import slice_
from tfsession.ops.unary import sigmoid


@export(*cell_names("LSTMStateTuple"))
class LSTMStateTuple(namedtuple("LSTMStateTuple", ("c", "h"))):
    """State of an LSTM cell: memory `c` and output `h`, both `[batch, units]`."""

    __slots__ = ()

    @property
    def dtype(self) -> Any:
        """The dtype of both; TypeError where they differ."""
        c, h = self
        if c.dtype != h.dtype:
            raise TypeError(f"Inconsistent internal state: {c.dtype} vs {h.dtype}")
        return c.dtype


def _warn_of_joined_state(cell: LayerRNNCell, state_is_tuple: bool) -> None:
    if not state_is_tuple:
        warning(
            "%s: Using a concatenated state is slower and will soon be deprecated.  Use "
            "state_is_tuple=True.",
            cell,
        )


@export(*cell_names("BasicLSTMCell"))
class BasicLSTMCell(LayerRNNCell):
    """LSTM cell without clipping, projection or peepholes (Zaremba et al. 2014, arXiv 1409.2329).

    `i, j, f, o = split([x, h] @ kernel + bias)`;
    `c' = c * sigmoid(f + forget_bias) + sigmoid(i) * activation(j)`;
    `output = h' = activation(c') * sigmoid(o)`.

    Args:
        num_units: size of `c` and of `h`.
        forget_bias: added to the forget gate's inputs, so that the memory lasts at first.
        state_is_tuple: whether the state is an LSTMStateTuple, or `[c, h]` joined in one tensor.
        activation: function, or its name in `tf.nn`; tanh when None.
        reuse: take the variables that are there.
        name, dtype, kwargs: as for `tf.layers.Layer`.
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Any = None,
        reuse: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(_reuse=reuse, name=name, dtype=dtype, **kwargs)
        check_dtypes(self.dtype)
        _warn_of_joined_state(self, state_is_tuple)
        self.input_spec = InputSpec(ndim=2)
        self._num_units = num_units
        self._forget_bias = forget_bias
        self._state_is_tuple = state_is_tuple
        self._activation = function_of(activation)

    @property
    def state_size(self) -> Any:
        """Sizes of `c` and `h`, or their sum."""
        units = self._num_units
        return LSTMStateTuple(units, units) if self._state_is_tuple else 2 * units

    @property
    def output_size(self) -> Any:
        """The number of units."""
        return self._num_units

    def build(self, input_shape: Any) -> None:
        """Make kernel `[depth + units, 4 * units]` and bias `[4 * units]`."""
        units, depth = self._num_units, depth_of(input_shape)
        check_dtypes(self.dtype)
        self._kernel, self._bias = self.add_parts(
            [("kernel", [depth + units, 4 * units], None), ("bias", [4 * units], Zeros())]
        )
        self.built = True

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The new `h` and the new state."""
        check_inputs(inputs, state)
        one = constant(1, dtype=int32)
        c, h = state if self._state_is_tuple else split(state, 2, axis=one)
        gate_inputs = bias_add(matmul(concat([inputs, h], 1), self._kernel), self._bias)
        i, j, f, o = split(gate_inputs, 4, axis=one)
        kept = multiply(c, sigmoid(add(f, constant(self._forget_bias, dtype=f.dtype))))
        new_c = add(kept, multiply(sigmoid(i), self._activation(j)))
        new_h = multiply(self._activation(new_c), sigmoid(o))
        if self._state_is_tuple:
            return new_h, LSTMStateTuple(new_c, new_h)
        return new_h, concat([new_c, new_h], 1)


@export(*cell_names("LSTMCell"))
class LSTMCell(LayerRNNCell):
    """LSTM cell with peepholes, clipping and projection if asked (Sak et al. 2014).

    As `BasicLSTMCell`; with peepholes the gates see the memory, too, each unit its own.

    Args:
        num_units: size of `c`.
        use_peepholes: whether gates see the memory, through three vectors of weights.
        cell_clip: bound of the absolute values of the memory.
        initializer: for kernels and peepholes.
        num_proj: size of `h`, which is projected by a matrix; `num_units`, and none, when None.
        proj_clip: bound of the absolute values of what is projected.
        num_unit_shards, num_proj_shards: how many slices the kernels are cut into; older than
            partitioners of variable scopes.
        forget_bias: added to the forget gate's inputs.
        state_is_tuple: whether the state is an LSTMStateTuple, or `[c, h]` joined in one tensor.
        activation: function, or its name in `tf.nn`; tanh when None.
        reuse: take the variables that are there.
        name, dtype, kwargs: as for `tf.layers.Layer`.
    """

    def __init__(
        self,
        num_units: int,
        use_peepholes: bool = False,
        cell_clip: Any = None,
        initializer: Any = None,
        num_proj: int | None = None,
        proj_clip: Any = None,
        num_unit_shards: int | None = None,
        num_proj_shards: int | None = None,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Any = None,
        reuse: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(_reuse=reuse, name=name, dtype=dtype, **kwargs)
        check_dtypes(self.dtype)
        _warn_of_joined_state(self, state_is_tuple)
        self.input_spec = InputSpec(ndim=2)
        self._num_units = num_units
        self._use_peepholes = use_peepholes
        self._cell_clip = cell_clip
        self._initializer = initializer
        self._num_proj = num_proj
        self._proj_clip = proj_clip
        self._num_unit_shards = num_unit_shards
        self._num_proj_shards = num_proj_shards
        self._forget_bias = forget_bias
        self._state_is_tuple = state_is_tuple
        self._activation = function_of(activation)

    @property
    def state_size(self) -> Any:
        """Sizes of `c` and `h`, or their sum."""
        sizes = LSTMStateTuple(self._num_units, self.output_size)
        return sizes if self._state_is_tuple else sum(sizes)

    @property
    def output_size(self) -> Any:
        """The size of `h`."""
        return self._num_proj or self._num_units

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias; peepholes and projection where asked."""
        units, depth, make = self._num_units, depth_of(input_shape), self._initializer
        check_dtypes(self.dtype)
        output = units if self._num_proj is None else self._num_proj
        (self._kernel,) = self.add_parts(
            [("kernel", [depth + output, 4 * units], make)], self._num_unit_shards
        )
        (self._bias,) = self.add_parts([("bias", [4 * units], Zeros())])
        if self._use_peepholes:
            names = ("w_f_diag", "w_i_diag", "w_o_diag")
            self._w_f_diag, self._w_i_diag, self._w_o_diag = self.add_parts(
                [(name, [units], make) for name in names]
            )
        if self._num_proj is not None:
            (self._proj_kernel,) = self.add_parts(
                [("projection/kernel", [units, self._num_proj], make)], self._num_proj_shards
            )
        self.built = True

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The new `h` and the new state."""
        check_inputs(inputs, state)
        if self._state_is_tuple:
            c_prev, h_prev = state
        else:
            output = self._num_units if self._num_proj is None else self._num_proj
            c_prev = slice_(state, [0, 0], [-1, self._num_units])
            h_prev = slice_(state, [0, self._num_units], [-1, output])
        gates = bias_add(matmul(concat([inputs, h_prev], 1), self._kernel), self._bias)
        i, j, f, o = split(gates, 4, axis=1)
        c, h = self._stepped(c_prev, i, j, f, o)
        return h, LSTMStateTuple(c, h) if self._state_is_tuple else concat([c, h], 1)

    def _stepped(self, c_prev: Any, i: Any, j: Any, f: Any, o: Any) -> tuple[Any, Any]:
        """The new memory and the new output, from the inputs of the gates."""
        if self._use_peepholes:
            forget = sigmoid(f + self._forget_bias + self._w_f_diag * c_prev)
            c = forget * c_prev + sigmoid(i + self._w_i_diag * c_prev) * self._activation(j)
        else:
            c = sigmoid(f + self._forget_bias) * c_prev + sigmoid(i) * self._activation(j)
        if self._cell_clip is not None:
            c = clip_by_value(c, -self._cell_clip, self._cell_clip)
        if self._use_peepholes:
            h = sigmoid(o + self._w_o_diag * c) * self._activation(c)
        else:
            h = sigmoid(o) * self._activation(c)
        if self._num_proj is not None:
            h = matmul(h, self._proj_kernel)
            if self._proj_clip is not None:
                h = clip_by_value(h, -self._proj_clip, self._proj_clip)
        return c, h
