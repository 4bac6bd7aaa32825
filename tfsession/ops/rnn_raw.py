"""`raw_rnn`: a loop over a cell whose inputs, states and end a function says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import logical_not, logical_or
from tfsession.ops.constant import constant, zeros
from tfsession.ops.reduce import reduce_all
from tfsession.ops.rnn_cell import assert_like_rnncell, joined_sizes
from tfsession.ops.rnn_step import kept, read_variables_once
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.variable_scope import variable_scope
from tfsession.ops.while_loop import while_loop


@export("nn.raw_rnn", "contrib.rnn.raw_rnn")
def raw_rnn(
    cell: Any,
    loop_fn: Callable[..., Any],
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    scope: Any = None,
) -> Any:
    """Run a cell in a loop, as a function says.

    Args:
        cell: the cell.
        loop_fn: takes `time` (int32 scalar), the cell's output, its state and the loop state, and
            gives `(finished, next input, next state, what to emit, next loop state)`. `finished` is
            a bool vector `[batch]`; what has finished emits zeros and keeps its state. At first it
            is called with 0 and three times None; then what it emits is None, for something like
            `cell.output_size`, or an example of another structure, without the batch. None as the
            next loop state keeps it.
        parallel_iterations, swap_memory: see `while_loop`.
        scope: VariableScope, or the name of one; "rnn" when None.

    Returns:
        TensorArrays of what was emitted, the last state, the last loop state.

    Raises:
        TypeError: `cell` is no cell, or `loop_fn` no function.
        ValueError: structures or batch sizes differ.
    """
    assert_like_rnncell("cell", cell)
    if not callable(loop_fn):
        raise TypeError(f"Argument `loop_fn` must be a callable. Received: {loop_fn}.")
    with variable_scope(scope or "rnn") as varscope:
        read_variables_once(varscope)
        time = constant(0, dtype=int32)
        finished, first_input, state, emitted, first_loop_state = loop_fn(time, None, None, None)
        loop_state = constant(0, dtype=int32) if first_loop_state is None else first_loop_state
        known, batch_size = _batch_size(nest.flatten(first_input))
        nest.check_same(state, cell.state_size)
        state = nest.map_structure(convert_to_tensor, state)
        arrays, zero = _places(cell, emitted, nest.flatten(state)[0].dtype, known, batch_size)

        def body(time: Any, finished: Any, given: Any, arrays: Any, state: Any, loop: Any) -> Any:
            output, cell_state = cell(given, state)
            nest.check_same(state, cell_state)
            nest.check_same(cell.output_size, output)
            next_time = time + 1
            ends, following, next_state, emit, next_loop = loop_fn(
                next_time, output, cell_state, loop
            )
            nest.check_same(state, next_state)
            nest.check_same(given, following)
            nest.check_same(arrays, emit)
            emit = nest.map_structure(lambda old, new: kept(finished, old, new), zero, emit)
            next_state = nest.map_structure(
                lambda old, new: kept(finished, old, new), state, next_state
            )
            arrays = nest.map_structure(lambda a, value: a.write(time, value), arrays, emit)
            loop = loop if next_loop is None else next_loop
            return next_time, logical_or(finished, ends), following, arrays, next_state, loop

        results = while_loop(
            lambda _, finished, *rest: logical_not(reduce_all(finished)),
            body,
            [time, finished, first_input, arrays, state, loop_state],
            parallel_iterations=parallel_iterations or 32,
            swap_memory=swap_memory,
        )
        arrays, state, loop_state = results[-3:]
        return arrays, state, None if first_loop_state is None else loop_state


def _batch_size(inputs: list[Tensor]) -> tuple[int | None, Any]:
    """How many examples there are, as far as known, and as a number or tensor."""
    sizes = [each.shape[:1] for each in inputs]
    for size in sizes:
        sizes[0].assert_is_compatible_with(size)
    known = None if sizes[0].ndims is None else sizes[0].as_list()[0]
    return known, shape_of(inputs[0])[0] if known is None else known


def _places(
    cell: Any, emitted: Any, dtype: Any, known: int | None, batch_size: Any
) -> tuple[Any, Any]:
    """TensorArrays for what is emitted, and zeros like it."""
    if emitted is None:
        form = cell.output_size
        kinds = [(size, dtype) for size in nest.flatten(form)]
    else:
        form = emitted
        kinds = [
            (each.shape if each.shape.is_fully_defined() else shape_of(each), each.dtype)
            for each in nest.flatten(form)
        ]
    arrays = []
    for number, (size, kind) in enumerate(kinds):
        depth = TensorShape(constant_value(size) if isinstance(size, Tensor) else size)
        shape = TensorShape([known]).concatenate(depth)
        name = f"rnn_output_{number}"
        arrays.append(TensorArray(kind, 0, True, element_shape=shape, name=name))
    zero = [zeros(joined_sizes(batch_size, size), kind) for size, kind in kinds]
    return nest.pack(form, arrays), nest.pack(form, zero)
