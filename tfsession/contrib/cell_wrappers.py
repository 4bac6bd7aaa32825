"""Cells around others: projections, an embedding, attention over the last states."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tfsession.contrib.linear import linear
from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.conv import conv2d
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.initializers import RandomUniform
from tfsession.ops.join import concat
from tfsession.ops.nn import softmax
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.rnn_cell import RNNCell, assert_like_rnncell
from tfsession.ops.shape import expand_dims, reshape
from tfsession.ops.slice import slice_
from tfsession.ops.unary import tanh
from tfsession.ops.variable_scope import get_variable, get_variable_scope, variable_scope


class _AroundCell(RNNCell):
    """A cell with one other inside, which it calls in its own scope."""

    def __init__(self, cell: Any, reuse: Any) -> None:
        super().__init__(_reuse=reuse)
        assert_like_rnncell("cell", cell)
        self._cell = cell

    @property
    def state_size(self) -> Any:
        """That of the cell inside."""
        return self._cell.state_size

    @property
    def output_size(self) -> Any:
        """That of the cell inside."""
        return self._cell.output_size

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """That of the cell inside."""
        with get_default_graph().name_scope(f"{type(self).__name__}ZeroState"):
            return self._cell.zero_state(batch_size, dtype)


@export("contrib.rnn.OutputProjectionWrapper")
class OutputProjectionWrapper(_AroundCell):
    """A cell whose output is mapped to another size.

    Args:
        cell: the cell.
        output_size: the size.
        activation: function of the output, or None.
        reuse: take the variables that are there.

    Raises:
        ValueError: `output_size` is under one.
    """

    def __init__(
        self,
        cell: Any,
        output_size: int,
        activation: Callable[[Any], Any] | None = None,
        reuse: Any = None,
    ) -> None:
        super().__init__(cell, reuse)
        if output_size < 1:
            raise ValueError(f"Parameter output_size must be > 0: {output_size}.")
        self._output_size = output_size
        self._activation = activation

    @property
    def output_size(self) -> Any:
        """The size asked for."""
        return self._output_size

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The mapped output, and the state of the cell inside."""
        output, new_state = self._cell(inputs, state)
        projected = linear(output, self._output_size, True)
        return projected if self._activation is None else self._activation(projected), new_state


@export("contrib.rnn.InputProjectionWrapper")
class InputProjectionWrapper(_AroundCell):
    """A cell whose input is mapped to another size.

    Args:
        cell: the cell.
        num_proj: the size.
        activation: function of what is mapped, or None.
        input_size: accepted; not used.
        reuse: take the variables that are there.
    """

    def __init__(
        self,
        cell: Any,
        num_proj: int,
        activation: Callable[[Any], Any] | None = None,
        input_size: Any = None,
        reuse: Any = None,
    ) -> None:
        super().__init__(cell, reuse)
        self._num_proj = num_proj
        self._activation = activation

    def call(self, inputs: Any, state: Any = None) -> Any:
        """What the cell inside gives."""
        projected = linear(inputs, self._num_proj, True)
        if self._activation is not None:
            projected = self._activation(projected)
        return self._cell(projected, state)


@export("contrib.rnn.EmbeddingWrapper")
class EmbeddingWrapper(_AroundCell):
    """A cell whose inputs are numbers of rows in a table of vectors.

    Args:
        cell: the cell.
        embedding_classes, embedding_size: how many rows there are, and their size.
        initializer: of the table; the scope's, else uniform draws of variance one, when None.
        reuse: take the variables that are there.

    Raises:
        ValueError: a size is under one.
    """

    def __init__(
        self,
        cell: Any,
        embedding_classes: int,
        embedding_size: int,
        initializer: Any = None,
        reuse: Any = None,
    ) -> None:
        super().__init__(cell, reuse)
        if embedding_classes <= 0 or embedding_size <= 0:
            raise ValueError(
                "Both embedding_classes and embedding_size must be > 0: "
                f"{embedding_classes}, {embedding_size}."
            )
        self._shape = [embedding_classes, embedding_size]
        self._initializer = initializer

    def call(self, inputs: Any, state: Any = None) -> Any:
        """What the cell inside gives for the rows."""
        with get_default_graph().device("/cpu:0"):
            initializer = self._initializer or get_variable_scope().initializer
            if initializer is None:
                bound = math.sqrt(3)  # of uniform draws with variance one
                initializer = RandomUniform(-bound, bound)
            dtype = nest.flatten(state)[0].dtype.base_dtype
            table = get_variable("embedding", self._shape, dtype, initializer)
            rows = embedding_lookup(table, reshape(inputs, [-1]))
        return self._cell(rows, state)


@export("contrib.rnn.AttentionCellWrapper")
class AttentionCellWrapper(_AroundCell):
    """A cell that attends to its own last outputs (Bahdanau et al. 2014, arXiv 1409.0473).

    Args:
        cell: the cell.
        attn_length: how many outputs it attends to.
        attn_size: their size; the cell's output size when None or zero.
        attn_vec_size: size in which they are compared; `attn_size` when None or zero.
        input_size: size of the cell's inputs; that of the inputs given when None.
        state_is_tuple: whether the state is a tuple, or one tensor of all, joined.
        reuse: take the variables that are there.

    Raises:
        TypeError: `cell` is no cell.
        ValueError: `attn_length` is under one, or a nested state cannot be joined.
    """

    def __init__(
        self,
        cell: Any,
        attn_length: int,
        attn_size: int | None = None,
        attn_vec_size: int | None = None,
        input_size: int | None = None,
        state_is_tuple: bool = True,
        reuse: Any = None,
    ) -> None:
        super().__init__(cell, reuse)
        if nest.is_nested(cell.state_size) and not state_is_tuple:
            raise ValueError(
                "Cell returns tuple of states, but the flag state_is_tuple is not set. State size "
                f"is: {cell.state_size}"
            )
        if attn_length <= 0:
            raise ValueError(f"attn_length should be greater than zero, got {attn_length}")
        self._state_is_tuple = state_is_tuple
        self._attn_length = attn_length
        self._attn_size = attn_size or cell.output_size
        self._attn_vec_size = attn_vec_size or self._attn_size
        self._input_size = input_size

    @property
    def state_size(self) -> Any:
        """Sizes of the cell's state, of what it attended to, and of its last outputs."""
        sizes = (self._cell.state_size, self._attn_size, self._attn_size * self._attn_length)
        return sizes if self._state_is_tuple else sum(sizes)

    @property
    def output_size(self) -> Any:
        """The size of what is attended to."""
        return self._attn_size

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Zeros."""
        return RNNCell.zero_state(self, batch_size, dtype)

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The output, made of the cell's and of what it attends to, and the new state."""
        if self._state_is_tuple:
            own, attended, last = state
        else:
            size = self._cell.state_size
            own = slice_(state, [0, 0], [-1, size])
            attended = slice_(state, [0, size], [-1, self._attn_size])
            last = slice_(
                state, [0, size + self._attn_size], [-1, self._attn_size * self._attn_length]
            )
        last = reshape(last, [-1, self._attn_length, self._attn_size])
        size = self._input_size or inputs.shape.as_list()[1]
        cell_output, own = self._cell(linear([inputs, attended], size, True), own)
        query = concat(nest.flatten(own), 1) if nest.is_nested(own) else own
        attended = self._attend(query, last)
        with variable_scope("attn_output_projection"):
            output = linear([cell_output, attended], self._attn_size, True)
        last = concat([slice_(last, [0, 1, 0], [-1, -1, -1]), expand_dims(output, 1)], 1)
        last = reshape(last, [-1, self._attn_length * self._attn_size])
        parts = (own, attended, last)
        return output, parts if self._state_is_tuple else concat(parts, 1)

    def _attend(self, query: Tensor, last: Tensor) -> Tensor:
        """The last outputs, weighted by how they fit the query."""
        length, size, compared = self._attn_length, self._attn_size, self._attn_vec_size
        with variable_scope("attention"):
            kernel = get_variable("attn_w", [1, 1, size, compared])
            v = get_variable("attn_v", [compared])
            hidden = reshape(last, [-1, length, 1, size])
            features = conv2d(hidden, kernel, [1, 1, 1, 1], "SAME")
            y = reshape(linear(query, compared, True), [-1, 1, 1, compared])
            weights = softmax(reduce_sum(v * tanh(features + y), [2, 3]))
            found = reduce_sum(reshape(weights, [-1, length, 1, 1]) * hidden, [1, 2])
            return reshape(found, [-1, size])
