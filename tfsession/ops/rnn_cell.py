"""Cells of recurrent networks: what they have in common, the plain one and the gated one (GRU).

A cell is a layer of two inputs: `output, new_state = cell(inputs, state)`. Its state is a tensor or
a nest of tensors; `state_size` has the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import as_dtype, int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant, zeros
from tfsession.ops.initializers import Constant, Zeros
from tfsession.ops.join import concat, split
from tfsession.ops.layer import InputSpec, Layer, activation_of
from tfsession.ops.matmul import matmul
from tfsession.ops.nn import bias_add
from tfsession.ops.partitioned_variable import PartitionedVariable
from tfsession.ops.partitioner import fixed_size_partitioner
from tfsession.ops.shape import expand_dims
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import sigmoid, tanh
from tfsession.ops.variable_scope import get_variable_scope, variable_scope


def cell_names(name: str) -> tuple[str, ...]:
    """The public names of what belongs to cells."""
    rooms = ("nn.rnn_cell", "contrib.rnn", "contrib.rnn.rnn_cell", "contrib.rnn.core_rnn_cell")
    return tuple(f"{room}.{name}" for room in rooms)


# --- sizes ----------------------------------------------------------------------------------------


def static_sizes(prefix: Any, suffix: Any) -> list[int | None] | None:
    """The sizes of both, one behind the other, as far as they are known now.

    Makes the nodes that TensorFlow makes on the way: default seeds count on them.
    """
    for value in (prefix, suffix):
        _sizes_tensor(value, "prefix")
    parts = [constant_value(x) if isinstance(x, Tensor) else x for x in (prefix, suffix)]
    shape = TensorShape(parts[0]).concatenate(TensorShape(parts[1]))
    return None if shape.ndims is None else shape.as_list()


def joined_sizes(prefix: Any, suffix: Any) -> Tensor:
    """The sizes of both, one behind the other, as an int32 vector.

    Args:
        prefix, suffix: numbers, shapes, or scalars or vectors of int32.

    Raises:
        ValueError: one is neither scalar nor vector, or not known.
    """
    parts = [_sizes_tensor(x, name) for x, name in ((prefix, "prefix"), (suffix, "suffix"))]
    if any(part is None for part in parts):
        raise ValueError(f"Provided a prefix or suffix of None: {prefix} and {suffix}")
    return concat(parts, 0)


def _sizes_tensor(value: Any, name: str) -> Tensor | None:
    if not isinstance(value, Tensor):
        shape = TensorShape(value)
        return constant(shape.as_list(), dtype=int32) if shape.is_fully_defined() else None
    if value.shape.ndims == 0:
        return expand_dims(value, 0)
    if value.shape.ndims != 1:
        raise ValueError(
            f"{name} tensor must be either a scalar or vector, but saw tensor: {value}"
        )
    return value


def zero_states(state_size: Any, batch_size: Any, dtype: Any) -> Any:
    """Zeros `[batch_size, size]` for each size of a nest."""

    def zero_state(size: Any) -> Tensor:
        state = zeros(joined_sizes(batch_size, size), dtype)
        state.set_shape(static_sizes(batch_size, size))
        return state

    return nest.map_structure(zero_state, state_size)


# --- what a cell is -------------------------------------------------------------------------------


def assert_like_rnncell(cell_name: str, cell: Any) -> None:
    """Hold an object to what a cell is.

    Raises:
        TypeError: it lacks `output_size`, `state_size` or an initial state, or is not callable.
    """
    has_start = hasattr(cell, "get_initial_state") or hasattr(cell, "zero_state")
    lacks = {
        "'output_size' property is missing": hasattr(cell, "output_size"),
        "'state_size' property is missing": hasattr(cell, "state_size"),
        "either 'zero_state' or 'get_initial_state' method is required": has_start,
        "is not callable": callable(cell),
    }
    errors = [text for text, holds in lacks.items() if not holds]
    if errors:
        raise TypeError(
            f"The argument {cell_name!r} ({cell}) is not an RNNCell: {', '.join(errors)}."
        )


def check_dtypes(*dtypes: Any) -> None:
    """Raise ValueError for a dtype that a cell does not compute with; None is let through."""
    for dtype in dtypes:
        if dtype is not None and not (as_dtype(dtype).is_floating or as_dtype(dtype).is_complex):
            raise ValueError(
                f"RNN cell only supports floating point inputs, but saw dtype: {as_dtype(dtype)}"
            )


def check_inputs(*inputs: Any) -> None:
    """Raise ValueError unless all tensors of these nests are of floating point."""
    check_dtypes(*[tensor.dtype for tensor in nest.flatten(list(inputs))])


def depth_of(inputs_shape: Any) -> int:
    """The last size of the inputs; ValueError where it is not known."""
    sizes = TensorShape(inputs_shape)
    depth = None if sizes.ndims is None else sizes.as_list()[-1]
    if depth is None:
        raise ValueError(f"Expected inputs.shape[-1] to be known, saw shape: {sizes}")
    return depth


def function_of(activation: Any, default: Any = tanh) -> Any:
    """The function of an activation, which may be given by name; `default` for None."""
    if not activation:
        return default
    return activation_of(activation) or (lambda x: x)


@export(*cell_names("RNNCell"))
class RNNCell(Layer):
    """Base of cells. A subclass defines `state_size`, `output_size` and `call(inputs, state)`.

    Variables that `call` makes by `tf.get_variable` become the cell's.

    Args:
        trainable, name, dtype: as for `tf.layers.Layer`.
        kwargs: `_scope`, `_reuse`.
    """

    def __init__(
        self, trainable: bool = True, name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(trainable=trainable, name=name, dtype=dtype, **kwargs)
        self._opened: variable_scope | None = None

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Any:
        """The output and the new state.

        Args:
            inputs: tensor `[batch, depth]`, or a nest of such.
            state: tensor or nest of tensors `[batch, size]` in the form of `state_size`.
            scope: variable scope, or the name of one; else one named as the cell.
        """
        if scope is not None:
            with variable_scope(scope, custom_getter=self._note_variable) as opened:
                return super().__call__(inputs, state, scope=opened)
        if self._opened is None:
            current = get_variable_scope()
            self._opened = variable_scope(current, custom_getter=self._note_variable)
        with self._opened:
            return super().__call__(inputs, state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy that opens a scope of its own, and shares what it has made already."""
        made = super().__deepcopy__(memo)
        made._opened = None
        return made

    def _note_variable(self, getter: Any, *args: Any, **kwargs: Any) -> Any:
        variable = getter(*args, **kwargs)
        # The slices of a partitioned variable are trained, or not, together.
        first = next(iter(variable)) if isinstance(variable, PartitionedVariable) else variable
        kept = self._trainable_weights if first.trainable else self._non_trainable_weights
        if all(variable is not other for other in kept):
            kept.append(variable)
        return variable

    @property
    def state_size(self) -> Any:
        """Size of the state, or a nest of sizes: ints or TensorShapes, without the batch."""
        raise NotImplementedError("Abstract method")

    @property
    def output_size(self) -> Any:
        """Size of the output, without the batch."""
        raise NotImplementedError("Abstract method")

    def build(self, input_shape: Any) -> None:
        """Nothing: a subclass makes its variables here, or in `call`."""

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The output and the new state; a subclass says what they are."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(inputs, state).")

    def get_initial_state(
        self, inputs: Any = None, batch_size: Any = None, dtype: Any = None
    ) -> Any:
        """The state at first, for the batch size and dtype given, or those of `inputs`.

        Raises:
            ValueError: neither is given, or they differ.
        """
        if inputs is not None:
            inputs = convert_to_tensor(inputs, name="inputs")
            first = inputs.shape.as_list()[0]
            if batch_size is not None:
                known = batch_size
                if isinstance(batch_size, Tensor):
                    known = constant_value(batch_size)
                if first != known:
                    raise ValueError(
                        "batch size from input tensor is different from the input param. Input "
                        f"tensor batch: {first}, batch_size: {batch_size}"
                    )
            if dtype is not None and inputs.dtype != as_dtype(dtype):
                raise ValueError(
                    "dtype from input tensor is different from the input param. Input tensor "
                    f"dtype: {inputs.dtype}, dtype: {dtype}"
                )
            batch_size, dtype = first or shape_of(inputs)[0], inputs.dtype
        if batch_size is None or dtype is None:
            raise ValueError(
                "batch_size and dtype cannot be None while constructing initial state: "
                f"batch_size={batch_size}, dtype={dtype}"
            )
        return self.zero_state(batch_size, dtype)

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Zeros `[batch_size, size]` for each size of the state."""
        with get_default_graph().name_scope(f"{type(self).__name__}ZeroState"):
            return zero_states(self.state_size, batch_size, dtype)


class LayerRNNCell(RNNCell):
    """A cell that makes its variables in `build`, as other layers do."""

    def __call__(
        self, inputs: Any, state: Any, scope: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """The output and the new state."""
        return Layer.__call__(self, inputs, state, *args, scope=scope, **kwargs)

    def add_parts(
        self, sizes: Sequence[tuple[str, Sequence[int], Any]], shards: int | None = None
    ) -> list[Any]:
        """Make variables by name, shape and initializer; each in so many slices, if so asked."""
        partitioner = None if shards is None else fixed_size_partitioner(shards)
        return [
            self.add_weight(name, shape, initializer=make, partitioner=partitioner)
            for name, shape, make in sizes
        ]


# --- cells ----------------------------------------------------------------------------------------


class UnitsCell(LayerRNNCell):
    """A cell whose output is its state."""

    def __init__(
        self, num_units: int, activation: Any, reuse: Any, name: str | None, dtype: Any,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(_reuse=reuse, name=name, dtype=dtype, **kwargs)
        check_dtypes(self.dtype)
        self.input_spec = InputSpec(ndim=2)
        self._num_units = num_units
        self._activation = function_of(activation)

    @property
    def state_size(self) -> Any:
        """The number of units."""
        return self._num_units

    @property
    def output_size(self) -> Any:
        """The number of units."""
        return self._num_units


@export(*cell_names("BasicRNNCell"))
class BasicRNNCell(UnitsCell):
    """`output = state = activation([inputs, state] @ kernel + bias)`.

    Args:
        num_units: size of output and state.
        activation: function, or its name in `tf.nn`; tanh when None.
        reuse: take the variables that are there.
        name, dtype, kwargs: as for `tf.layers.Layer`.
    """

    def __init__(
        self,
        num_units: int,
        activation: Any = None,
        reuse: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_units, activation, reuse, name, dtype, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make kernel `[depth + units, units]` and bias `[units]`."""
        units, depth = self._num_units, depth_of(input_shape)
        check_dtypes(self.dtype)
        self._kernel, self._bias = self.add_parts(
            [("kernel", [depth + units, units], None), ("bias", [units], Zeros())]
        )
        self.built = True

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The output, twice."""
        check_inputs(inputs, state)
        gate_inputs = matmul(concat([inputs, state], 1), self._kernel)
        output = self._activation(bias_add(gate_inputs, self._bias))
        return output, output


@export(*cell_names("GRUCell"))
class GRUCell(UnitsCell):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078).

    `r, u = sigmoid([x, h] @ K + b)`; `c = activation([x, r * h] @ k + d)`;
    `output = state = u * h + (1 - u) * c`.

    Args:
        num_units: size of output and state.
        activation: function, or its name in `tf.nn`; tanh when None.
        reuse: take the variables that are there.
        kernel_initializer: for both kernels.
        bias_initializer: for both biases; None begins with ones for the gates, zeros for the rest.
        name, dtype, kwargs: as for `tf.layers.Layer`.
    """

    def __init__(
        self,
        num_units: int,
        activation: Any = None,
        reuse: Any = None,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_units, activation, reuse, name, dtype, **kwargs)
        self._kernel_initializer = kernel_initializer
        self._bias_initializer = bias_initializer

    def build(self, input_shape: Any) -> None:
        """Make kernels and biases of the gates and of the candidate state."""
        units, depth = self._num_units, depth_of(input_shape)
        check_dtypes(self.dtype)
        kernel, bias = self._kernel_initializer, self._bias_initializer
        parts = self.add_parts([
            ("gates/kernel", [depth + units, 2 * units], kernel),
            ("gates/bias", [2 * units], Constant(1.0) if bias is None else bias),
            ("candidate/kernel", [depth + units, units], kernel),
            ("candidate/bias", [units], Zeros() if bias is None else bias),
        ])  # fmt: skip
        self._gate_kernel, self._gate_bias, self._candidate_kernel, self._candidate_bias = parts
        self.built = True

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The output, twice."""
        check_inputs(inputs, state)
        gates = matmul(concat([inputs, state], 1), self._gate_kernel)
        gates = sigmoid(bias_add(gates, self._gate_bias))
        r, u = split(gates, 2, axis=1)
        candidate = matmul(concat([inputs, r * state], 1), self._candidate_kernel)
        c = self._activation(bias_add(candidate, self._candidate_bias))
        output = u * state + (1 - u) * c
        return output, output
