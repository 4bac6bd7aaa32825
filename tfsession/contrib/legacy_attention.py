"""Decoders with attention of `tf.contrib.legacy_seq2seq` (Vinyals et al. 2014, arXiv 1412.7449)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tfsession.contrib.cell_wrappers import EmbeddingWrapper, OutputProjectionWrapper
from tfsession.contrib.legacy_decoders import checked_projection, either_decoder, embedded_choice
from tfsession.contrib.linear import linear
from tfsession.core import nest
from tfsession.core.dtypes import float32
from tfsession.core.exports import export
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import zeros
from tfsession.ops.conv import conv2d
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.join import concat, stack
from tfsession.ops.nn import softmax
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.rnn_static import static_rnn
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import tanh
from tfsession.ops.variable_scope import get_variable, get_variable_scope, variable_scope


class _Heads:
    """What attends to states: each head weighs them in its own way."""

    def __init__(self, states: Tensor, count: int, dtype: Any) -> None:
        sizes = states.shape.as_list()
        self._length = shape_of(states)[1] if sizes[1] is None else sizes[1]
        self._size = sizes[2]
        self._dtype = dtype
        # One by one convolutions: what linear maps of each state are.
        self._hidden = reshape(states, [-1, self._length, 1, self._size])
        self._features, self._vectors = [], []
        for head in range(count):
            kernel = get_variable(f"AttnW_{head}", [1, 1, self._size, self._size], dtype=dtype)
            self._features.append(conv2d(self._hidden, kernel, [1, 1, 1, 1], "SAME"))
            self._vectors.append(get_variable(f"AttnV_{head}", [self._size], dtype=dtype))

    def __call__(self, query: Any) -> list[Tensor]:
        """For each head the states, weighted by how they fit the query."""
        if nest.is_nested(query):
            query = concat(nest.flatten(query), 1)
        return [self._attend(head, query) for head in range(len(self._vectors))]

    def _attend(self, head: int, query: Tensor) -> Tensor:
        with variable_scope(f"Attention_{head}"):
            y = reshape(linear(query, self._size, True), [-1, 1, 1, self._size])
            y = cast(y, self._dtype)
            score = reduce_sum(self._vectors[head] * tanh(self._features[head] + y), [2, 3])
            weights = cast(softmax(cast(score, float32)), self._dtype)
            weights = reshape(weights, [-1, self._length, 1, 1])
            return reshape(reduce_sum(weights * self._hidden, [1, 2]), [-1, self._size])

    def nothing(self, batch_size: Any) -> list[Tensor]:
        """Zeros in place of what is attended to."""
        shape = stack([batch_size, self._size])
        found = [zeros(shape, self._dtype) for _ in self._vectors]
        for tensor in found:
            tensor.set_shape([None, self._size])
        return found


@export("contrib.legacy_seq2seq.attention_decoder")
def attention_decoder(
    decoder_inputs: Any,
    initial_state: Any,
    attention_states: Any,
    cell: Any,
    output_size: int | None = None,
    num_heads: int = 1,
    loop_function: Callable[[Any, Any], Any] | None = None,
    dtype: Any = None,
    scope: Any = None,
    initial_state_attention: bool = False,
) -> Any:
    """`rnn_decoder` that attends to states, by its own state.

    Args:
        decoder_inputs, initial_state, cell, loop_function: as for `rnn_decoder`.
        attention_states: `[batch, length, size]`.
        output_size: size of the outputs; the cell's when None.
        num_heads: how often it attends to them.
        dtype: of what is computed; that of the scope when None.
        scope: VariableScope, or the name of one; "attention_decoder" when None.
        initial_state_attention: attend by the first state already; else zeros are read at first.

    Returns:
        The list of outputs and the last state.

    Raises:
        ValueError: there are no inputs or no heads, or the size of states is not known.
    """
    if not decoder_inputs:
        raise ValueError("Must provide at least 1 input to attention decoder.")
    if num_heads < 1:
        raise ValueError("With less than 1 heads, use a non-attention decoder.")
    if attention_states.shape.as_list()[2] is None:
        raise ValueError(
            f"Shape[2] of attention_states must be known: {attention_states.shape}"
        )  # fmt: skip
    output_size = cell.output_size if output_size is None else output_size
    with variable_scope(scope or "attention_decoder", dtype=dtype) as opened:
        dtype = opened.dtype
        batch_size = shape_of(decoder_inputs[0])[0]
        heads = _Heads(attention_states, num_heads, dtype)
        attended = heads.nothing(batch_size)
        state, outputs, prev = initial_state, [], None
        if initial_state_attention:
            attended = heads(initial_state)
        for i, given in enumerate(decoder_inputs):
            if i > 0:
                get_variable_scope().reuse_variables()
            if loop_function is not None and prev is not None:
                with variable_scope("loop_function", reuse=True):
                    given = loop_function(prev, i)
            size = given.shape.with_rank(2).as_list()[1]
            if size is None:
                raise ValueError(f"Could not infer input size from input: {given.name}")
            parts = [cast(part, dtype) for part in (given, *attended)]
            cell_output, state = cell(linear(parts, size, True), state)
            if i == 0 and initial_state_attention:
                with variable_scope(get_variable_scope(), reuse=True):
                    attended = heads(state)
            else:
                attended = heads(state)
            with variable_scope("AttnOutputProjection"):
                output = linear([cast(cell_output, dtype), *attended], output_size, True)
            if loop_function is not None:
                prev = output
            outputs.append(output)
    return outputs, state


@export("contrib.legacy_seq2seq.embedding_attention_decoder")
def embedding_attention_decoder(
    decoder_inputs: Any,
    initial_state: Any,
    attention_states: Any,
    cell: Any,
    num_symbols: int,
    embedding_size: int,
    num_heads: int = 1,
    output_size: int | None = None,
    output_projection: Any = None,
    feed_previous: bool = False,
    update_embedding_for_previous: bool = True,
    dtype: Any = None,
    scope: Any = None,
    initial_state_attention: bool = False,
) -> Any:
    """`attention_decoder` over rows of a table of vectors; arguments as for it and for
    `embedding_rnn_decoder`.

    Returns:
        The list of outputs and the last state.

    Raises:
        ValueError: the projection has other shapes.
    """
    output_size = cell.output_size if output_size is None else output_size
    shapes = [output_size, num_symbols], [num_symbols]
    with variable_scope(scope or "embedding_attention_decoder", dtype=dtype) as opened:
        checked_projection(output_projection, opened.dtype, shapes)
        embedding = get_variable("embedding", [num_symbols, embedding_size])
        loop_function = None
        if feed_previous:
            update = update_embedding_for_previous
            loop_function = embedded_choice(embedding, output_projection, update)
        rows = [embedding_lookup(embedding, symbols) for symbols in decoder_inputs]
        return attention_decoder(
            rows, initial_state, attention_states, cell, output_size=output_size,
            num_heads=num_heads, loop_function=loop_function,
            initial_state_attention=initial_state_attention,
        )  # fmt: skip


@export("contrib.legacy_seq2seq.embedding_attention_seq2seq")
def embedding_attention_seq2seq(
    encoder_inputs: Any,
    decoder_inputs: Any,
    cell: Any,
    num_encoder_symbols: int,
    num_decoder_symbols: int,
    embedding_size: int,
    num_heads: int = 1,
    output_projection: Any = None,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
    initial_state_attention: bool = False,
) -> Any:
    """Read symbols with one cell; write symbols with another that attends to what was read.

    Arguments as for `embedding_rnn_seq2seq` and `attention_decoder`; the scope's name is
    "embedding_attention_seq2seq" when None.

    Returns:
        The list of outputs and the last state.
    """
    with variable_scope(scope or "embedding_attention_seq2seq", dtype=dtype) as opened:
        encoder = EmbeddingWrapper(copy.deepcopy(cell), num_encoder_symbols, embedding_size)
        outputs, state = static_rnn(encoder, encoder_inputs, dtype=opened.dtype)
        states = concat([reshape(each, [-1, 1, cell.output_size]) for each in outputs], 1)
        output_size = None
        if output_projection is None:
            cell = OutputProjectionWrapper(cell, num_decoder_symbols)
            output_size = num_decoder_symbols
        update = isinstance(feed_previous, bool)

        def decoder(way: bool) -> Any:
            return embedding_attention_decoder(
                decoder_inputs, state, states, cell, num_decoder_symbols, embedding_size,
                num_heads=num_heads, output_size=output_size, output_projection=output_projection,
                feed_previous=way, update_embedding_for_previous=update,
                initial_state_attention=initial_state_attention,
            )  # fmt: skip

        return either_decoder(feed_previous, len(decoder_inputs), state, decoder)
