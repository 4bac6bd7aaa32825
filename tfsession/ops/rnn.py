"""Recurrent networks as loops over time: `dynamic_rnn` and its like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal
from tfsession.ops.constant import constant, identity, zeros
from tfsession.ops.control import assert_
from tfsession.ops.elementwise import maximum, minimum
from tfsession.ops.join import concat, stack
from tfsession.ops.reduce import reduce_all, reduce_max, reduce_min
from tfsession.ops.reverse import reverse, reverse_sequence
from tfsession.ops.rnn_cell import assert_like_rnncell, joined_sizes, static_sizes
from tfsession.ops.rnn_step import initial_state_of, read_variables_once, state_dtype, step
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.transpose import transpose
from tfsession.ops.variable_scope import variable_scope
from tfsession.ops.while_loop import while_loop


@export("nn.dynamic_rnn")
def dynamic_rnn(
    cell: Any,
    inputs: Any,
    sequence_length: Any = None,
    initial_state: Any = None,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
) -> Any:
    """Run a cell over time, in a loop; as many steps as the inputs have.

    Args:
        cell: the cell.
        inputs: `[batch, time, ...]`, or a nest of such tensors; depths must be known now.
        sequence_length: int vector `[batch]`; behind its end an example's outputs are zeros, and
            its state stays what it was.
        initial_state: state in the form of `cell.state_size`; the cell's own first one when None.
        dtype: of that one and of the outputs; needed when there is no `initial_state`.
        parallel_iterations, swap_memory: see `while_loop`.
        time_major: inputs and outputs are `[time, batch, ...]`.
        scope: VariableScope, or the name of one; "rnn" when None.

    Returns:
        The outputs `[batch, time, output_size]`, in the form of `cell.output_size`, and the last
        state.

    Raises:
        TypeError: `cell` is no cell.
        ValueError: no state and no dtype; shapes that do not go together or are not known.

    Example:
        `outputs, state = tf.nn.dynamic_rnn(tf.nn.rnn_cell.GRUCell(8), x, dtype=tf.float32)`
    """
    assert_like_rnncell("cell", cell)
    with variable_scope(scope or "rnn") as varscope:
        read_variables_once(varscope)
        flat = [convert_to_tensor(each) for each in nest.flatten(inputs)]
        if not time_major:
            flat = [swapped(each) for each in flat]
        if sequence_length is not None:
            sequence_length = cast(sequence_length, int32)
            if sequence_length.shape.ndims not in (None, 1):
                raise ValueError(
                    "Argument sequence_length must be a vector of length batch_size. Received "
                    f"sequence_length={sequence_length} of shape: {sequence_length.shape}"
                )
            sequence_length = identity(sequence_length, name="sequence_length")
        batch_size = _batch_size(flat)
        state = initial_state_of(cell, initial_state, batch_size, dtype)
        if sequence_length is not None:
            sequence_length = _checked(sequence_length, batch_size)
        loop = _Loop(cell, inputs, flat, sequence_length, dtype)
        outputs, state = loop.run(state, parallel_iterations or 32, swap_memory)
        if not time_major:
            outputs = nest.map_structure(swapped, outputs)
        return outputs, state


def swapped(x: Tensor) -> Tensor:
    """The tensor with its first two dimensions swapped, if it has two."""
    known = x.shape
    if known.ndims is not None and known.ndims < 2:
        return x
    result = transpose(x, concat(([1, 0], range_(2, rank(x))), axis=0))
    if known.ndims is not None:
        sizes = known.as_list()
        result.set_shape([sizes[1], sizes[0], *sizes[2:]])
    return result


def _batch_size(inputs: Sequence[Tensor]) -> Any:
    """How many examples there are, in a batch of time-major inputs: a number, else a tensor."""
    for each in inputs:
        shape = each.shape
        if shape.ndims is None:
            continue
        if shape.ndims < 2:
            raise ValueError(
                f"Input tensor should have rank >= 2. Received input={each} of rank {shape.ndims}"
            )
        size = shape.as_list()[1]
        if size is not None:
            return size
    return shape_of(inputs[0])[1]


def _checked(sequence_length: Tensor, batch_size: Any) -> Tensor:
    """The lengths, which a run finds to be as many as there are examples."""
    found, wanted = shape_of(sequence_length), stack([batch_size])
    told = f"Expected shape for Tensor {sequence_length.name} is "
    check = assert_(
        reduce_all(equal(found, wanted)), [told, wanted, " but saw shape: ", found]
    )  # fmt: skip
    with get_default_graph().control_dependencies([check]):
        checked: Tensor = identity(sequence_length, name="CheckSeqLen")
    return checked


class _Loop:
    """The steps of `dynamic_rnn`: reads inputs by number, writes outputs by number."""

    def __init__(
        self, cell: Any, inputs: Any, flat: Sequence[Tensor], sequence_length: Any, dtype: Any
    ) -> None:
        self._cell = cell
        self._form = inputs
        self._flat = flat
        self._lengths = sequence_length
        self._dtype = dtype
        self._sizes = nest.flatten(cell.output_size)
        self._steps = shape_of(flat[0])[0]
        self._batch = _batch_size(flat)
        self._shapes = [each.shape.with_rank_at_least(3) for each in flat]
        self._known = self._shapes[0].as_list()[:2]
        for tensor, shape in zip(flat, self._shapes, strict=True):
            self._check(tensor, shape)

    def _check(self, tensor: Tensor, shape: TensorShape) -> None:
        if not shape[2:].is_fully_defined():
            raise ValueError(
                "Input size (depth of inputs) must be accessible via shape inference, but saw "
                f"value None for input={tensor}."
            )
        steps, batch = shape.as_list()[:2]
        if steps != self._known[0]:
            raise ValueError(
                "Time steps is not the same for all the elements in the input in a batch. Received "
                f"time steps={steps} for input={tensor}."
            )
        if batch != self._known[1]:
            raise ValueError(
                "Batch_size is not the same for all the elements in the input. Received batch "
                f"size={batch} for input={tensor}."
            )

    def run(self, state: Any, parallel_iterations: int, swap_memory: bool) -> tuple[Any, Any]:
        """The outputs of all steps, time-major, and the last state."""
        kind = state_dtype(self._dtype, state)
        zero = [zeros(stack(joined_sizes(self._batch, size)), kind) for size in self._sizes]
        self._zero = nest.pack(self._cell.output_size, zero)
        last = self._steps
        if self._lengths is not None:
            self._shortest, last = reduce_min(self._lengths), reduce_max(self._lengths)
        self._longest = last
        time = constant(0, dtype=int32, name="time")
        with get_default_graph().name_scope("dynamic_rnn") as name:
            pass
        results = [
            TensorArray(
                kind, self._steps, tensor_array_name=f"{name}output_{number}",
                element_shape=TensorShape([self._known[1]]).concatenate(_known_shape(size)),
            )
            for number, size in enumerate(self._sizes)
        ]  # fmt: skip
        arrays = [
            TensorArray(
                each.dtype, self._steps, tensor_array_name=f"{name}input_{number}",
                element_shape=each.shape[1:],
            )
            for number, each in enumerate(self._flat)
        ]  # fmt: skip
        self._arrays = [
            array.unstack(each) for array, each in zip(arrays, self._flat, strict=True)
        ]  # fmt: skip
        bound = minimum(self._steps, maximum(1, self._longest))
        _, results, state = while_loop(
            lambda time, *_: time < bound,
            self._body,
            (time, tuple(results), state),
            parallel_iterations=parallel_iterations,
            maximum_iterations=self._steps,
            swap_memory=swap_memory,
        )
        return self._stacked(results), state

    def _body(self, time: Tensor, results: Any, state: Any) -> tuple[Any, Any, Any]:
        inputs = [array.read(time) for array in self._arrays]
        for each, shape in zip(inputs, self._shapes, strict=True):
            each.set_shape(shape[1:])
        packed = nest.pack(self._form, inputs)

        def call_cell() -> Any:
            return self._cell(packed, state)

        if self._lengths is None:
            output, new_state = call_cell()
        else:
            ends = (self._lengths, self._shortest, self._longest)
            output, new_state = step(time, ends, self._zero, state, call_cell, in_loop=True)
        pairs = zip(results, nest.flatten(output), strict=False)
        written = tuple(array.write(time, value) for array, value in pairs)
        return time + 1, written, new_state

    def _stacked(self, results: Sequence[TensorArray]) -> Any:
        outputs = [array.stack() for array in results]
        for output, size in zip(outputs, self._sizes, strict=True):
            output.set_shape(static_sizes(self._known, size))
        return nest.pack(self._cell.output_size, outputs)


def _known_shape(size: Any) -> TensorShape:
    return TensorShape(constant_value(size) if isinstance(size, Tensor) else size)


@export("nn.bidirectional_dynamic_rnn")
def bidirectional_dynamic_rnn(
    cell_fw: Any,
    cell_bw: Any,
    inputs: Any,
    sequence_length: Any = None,
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = None,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
) -> Any:
    """Run one cell over time forwards, and another backwards.

    Args:
        cell_fw, cell_bw: the cells.
        inputs, sequence_length, dtype, parallel_iterations, swap_memory, time_major: as for
            `dynamic_rnn`; each example is reversed up to its length.
        initial_state_fw, initial_state_bw: the cells' first states.
        scope: VariableScope, or the name of one; "bidirectional_rnn" when None.

    Returns:
        `(outputs of cell_fw, outputs of cell_bw), (state of cell_fw, state of cell_bw)`.

    Raises:
        TypeError, ValueError: as for `dynamic_rnn`.
    """
    assert_like_rnncell("cell_fw", cell_fw)
    assert_like_rnncell("cell_bw", cell_bw)
    time_axis, batch_axis = (0, 1) if time_major else (1, 0)

    def reversed_in_time(tensor: Any) -> Tensor:
        if sequence_length is None:
            return reverse(tensor, axis=[time_axis])
        return reverse_sequence(
            tensor, sequence_length, seq_axis=time_axis, batch_axis=batch_axis
        )  # fmt: skip

    def run(cell: Any, inputs: Any, state: Any, scope: Any) -> Any:
        return dynamic_rnn(
            cell, inputs, sequence_length, state, dtype, parallel_iterations, swap_memory,
            time_major, scope,
        )  # fmt: skip

    with variable_scope(scope or "bidirectional_rnn"):
        with variable_scope("fw") as fw_scope:
            output_fw, state_fw = run(cell_fw, inputs, initial_state_fw, fw_scope)
        with variable_scope("bw") as bw_scope:
            backwards = nest.map_structure(reversed_in_time, inputs)
            output_bw, state_bw = run(cell_bw, backwards, initial_state_bw, bw_scope)
    output_bw = nest.map_structure(reversed_in_time, output_bw)
    return (output_fw, output_bw), (state_fw, state_bw)
