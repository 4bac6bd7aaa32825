"""Recurrent networks unrolled: `static_rnn` and its like call a cell once for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape, unknown_shape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import identity, zeros
from tfsession.ops.join import concat, stack, unstack
from tfsession.ops.reduce import reduce_max, reduce_min
from tfsession.ops.reverse import reverse_sequence
from tfsession.ops.rnn_cell import assert_like_rnncell, joined_sizes, static_sizes
from tfsession.ops.rnn_step import initial_state_of, read_variables_once, state_dtype, step
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.variable_scope import variable_scope


@export("nn.static_rnn", "contrib.rnn.static_rnn")
def static_rnn(
    cell: Any,
    inputs: Any,
    initial_state: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> Any:
    """Run a cell over a list of inputs, one for each step.

    Args:
        cell: the cell.
        inputs: a list of tensors `[batch, depth]`, or of nests of such.
        initial_state: state in the form of `cell.state_size`; the cell's own first one when None.
        dtype: of that one; needed when there is no `initial_state`.
        sequence_length: int vector `[batch]`; behind its end an example's outputs are zeros, and
            its state stays what it was.
        scope: VariableScope, or the name of one; "rnn" when None.

    Returns:
        The list of outputs and the last state.

    Raises:
        TypeError: `cell` is no cell, or `inputs` no list.
        ValueError: there are no inputs, their sizes differ or are not known, or there is neither
            state nor dtype.
    """
    assert_like_rnncell("cell", cell)
    _check_list(inputs)
    with variable_scope(scope or "rnn") as varscope:
        read_variables_once(varscope)
        known, batch_size = _batch_size(inputs)
        state = initial_state_of(cell, initial_state, batch_size, dtype)
        ends = zero = None
        if sequence_length is not None:
            sequence_length = convert_to_tensor(sequence_length, name="sequence_length")
            if sequence_length.shape.ndims not in (None, 1):
                raise ValueError(
                    f"Argument `sequence_length` must be a vector of length {batch_size}. "
                    f"Received sequence_length={sequence_length}."
                )
            zero = _zero_output(cell, batch_size, known, state_dtype(dtype, state))
            lengths = cast(sequence_length, int32)
            ends = lengths, reduce_min(lengths), reduce_max(lengths)
        outputs = []
        for time, given in enumerate(inputs):
            if time > 0:
                varscope.reuse_variables()
            if ends is None:
                output, state = cell(given, state)
            else:
                output, state = step(
                    time, ends, zero, state, lambda x=given, s=state: cell(x, s), in_loop=False
                )  # fmt: skip
            outputs.append(output)
        return outputs, state


def _check_list(inputs: Any) -> None:
    if not nest.is_nested(inputs):
        raise TypeError(f"Argument `inputs` must be a sequence. Received: {inputs}")
    if not inputs:
        raise ValueError("Argument `inputs` must not be empty.")


def _batch_size(inputs: Any) -> tuple[int | None, Any]:
    """How many examples there are, as far as known, and as a number or tensor."""
    first = nest.flatten(inputs)[0]
    if first.shape.ndims == 1:
        known = first.shape.as_list()[0]
    else:
        known = first.shape.with_rank_at_least(2).as_list()[0]
        for each in nest.flatten(inputs):
            sizes = each.shape.with_rank_at_least(2).as_list()
            if known is not None and sizes[0] not in (known, None):
                raise ValueError(f"Dimensions {known} and {sizes[0]} are not compatible")
            if None in sizes[1:]:
                raise ValueError(
                    f"Input size (dimension {sizes[1:].index(None)} of input {each}) must be "
                    "accessible via shape inference, but saw value None."
                )
    return known, known or shape_of(first)[0]


def _zero_output(cell: Any, batch_size: Any, known: int | None, dtype: Any) -> Any:
    made = []
    for size in nest.flatten(cell.output_size):
        output = zeros(stack(joined_sizes(batch_size, size)), dtype)
        output.set_shape(TensorShape(static_sizes([known], size)))
        made.append(output)
    return nest.pack(cell.output_size, made)


@export("nn.static_state_saving_rnn", "contrib.rnn.static_state_saving_rnn")
def static_state_saving_rnn(
    cell: Any,
    inputs: Any,
    state_saver: Any,
    state_name: Any,
    sequence_length: Any = None,
    scope: Any = None,
) -> Any:
    """As `static_rnn`, with the state taken from an object and given back to it.

    Args:
        cell, inputs, sequence_length, scope: as for `static_rnn`.
        state_saver: has `state(name)`, which gives a tensor, and `save_state(name, tensor)`, which
            gives an operation; outputs and state wait for it.
        state_name: the name, or a nest of names in the form of `cell.state_size`.

    Returns:
        The list of outputs and the last state.

    Raises:
        TypeError, ValueError: as for `static_rnn`; `state_name` is of another form.
    """
    size = cell.state_size
    if nest.is_nested(size) != nest.is_nested(state_name):
        raise ValueError(
            "Argument `state_name` should be the same type as `cell.state_size`. Received: "
            f"state_name={state_name}, cell.state_size={size}."
        )
    names = nest.flatten(state_name)
    if len(names) != len(nest.flatten(size)):
        raise ValueError(
            "Number of elements in argument `state_name` and `cell.state_size` are mismatched. "
            f"Received state_name={state_name} with {len(names)} elements and "
            f"cell.state_size={size} with {len(nest.flatten(size))} elements."
        )
    first = nest.pack(size, [state_saver.state(name) for name in names])
    outputs, state = static_rnn(
        cell, inputs, initial_state=first, sequence_length=sequence_length, scope=scope
    )  # fmt: skip
    parts = zip(names, nest.flatten(state), strict=True)
    saved = [state_saver.save_state(name, part) for name, part in parts]
    with get_default_graph().control_dependencies(saved):
        outputs[-1] = nest.map_structure(identity, outputs[-1])
        return outputs, nest.map_structure(identity, state)


@export("nn.static_bidirectional_rnn", "contrib.rnn.static_bidirectional_rnn")
def static_bidirectional_rnn(
    cell_fw: Any,
    cell_bw: Any,
    inputs: Any,
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> Any:
    """Run one cell over a list of inputs forwards, and another backwards.

    Args:
        cell_fw, cell_bw: the cells.
        inputs, dtype, sequence_length: as for `static_rnn`.
        initial_state_fw, initial_state_bw: the cells' first states.
        scope: VariableScope, or the name of one; "bidirectional_rnn" when None.

    Returns:
        The list of outputs, both cells' side by side, and the two last states.

    Raises:
        TypeError, ValueError: as for `static_rnn`.
    """
    assert_like_rnncell("cell_fw", cell_fw)
    assert_like_rnncell("cell_bw", cell_bw)
    _check_list(inputs)
    with variable_scope(scope or "bidirectional_rnn"):
        with variable_scope("fw") as fw_scope:
            output_fw, state_fw = static_rnn(
                cell_fw, inputs, initial_state_fw, dtype, sequence_length, scope=fw_scope
            )
        with variable_scope("bw") as bw_scope:
            backwards = _reversed(inputs, sequence_length)
            output_bw, state_bw = static_rnn(
                cell_bw, backwards, initial_state_bw, dtype, sequence_length, scope=bw_scope
            )
    output_bw = _reversed(output_bw, sequence_length)
    pairs = zip(nest.flatten(output_fw), nest.flatten(output_bw), strict=True)
    outputs = nest.pack(output_fw, [concat(pair, 1) for pair in pairs])
    return outputs, state_fw, state_bw


def _reversed(inputs: Sequence[Any], lengths: Any) -> list[Any]:
    """A list in reverse, for each example up to its length."""
    if lengths is None:
        return list(reversed(inputs))
    columns = zip(*map(nest.flatten, inputs), strict=True)
    rows = zip(*[_reversed_in_time(column, lengths) for column in columns], strict=True)
    return [nest.pack(each, list(row)) for each, row in zip(inputs, rows, strict=True)]


def _reversed_in_time(tensors: Sequence[Tensor], lengths: Any) -> list[Tensor]:
    shape = unknown_shape(rank=tensors[0].shape.ndims)
    for tensor in tensors:
        shape.assert_is_compatible_with(tensor.shape)
    results: list[Tensor] = unstack(reverse_sequence(stack(tensors), lengths, 0, 1))
    return results
