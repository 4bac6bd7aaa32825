"""Decoders and whole models of `tf.contrib.legacy_seq2seq`, unrolled over lists of inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.contrib.cell_wrappers import EmbeddingWrapper, OutputProjectionWrapper
from tfsession.core import nest
from tfsession.core.dtypes import float32
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.cond import cond
from tfsession.ops.constant import stop_gradient
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.nn import xw_plus_b
from tfsession.ops.reduce import argmax
from tfsession.ops.rnn_static import static_rnn
from tfsession.ops.variable_scope import get_variable, get_variable_scope, variable_scope


def embedded_choice(
    embedding: Any, output_projection: Any, update_embedding: bool
) -> Callable[[Any, Any], Tensor]:
    """A loop function: the row of a table for the class that the last output found likeliest.

    Args:
        embedding: the table.
        output_projection: matrix and bias that make scores of an output; None when it is scores.
        update_embedding: whether gradients flow into the row.
    """

    def loop_function(prev: Any, _: Any) -> Tensor:
        if output_projection is not None:
            prev = xw_plus_b(prev, output_projection[0], output_projection[1])
        found = embedding_lookup(embedding, argmax(prev, 1))
        return found if update_embedding else stop_gradient(found)

    return loop_function


def checked_projection(output_projection: Any, dtype: Any, shapes: Sequence[Any]) -> None:
    """Raise ValueError unless matrix and bias have these shapes."""
    if output_projection is not None:
        for value, shape in zip(output_projection, shapes, strict=True):
            convert_to_tensor(value, dtype=dtype).shape.assert_is_compatible_with(shape)


@export("contrib.legacy_seq2seq.rnn_decoder")
def rnn_decoder(
    decoder_inputs: Any,
    initial_state: Any,
    cell: Any,
    loop_function: Callable[[Any, Any], Any] | None = None,
    scope: Any = None,
) -> Any:
    """Run a cell over inputs, or over what a function makes of its outputs.

    Args:
        decoder_inputs: list of tensors `[batch, depth]`.
        initial_state: the first state.
        cell: the cell.
        loop_function: takes the last output and the number of the step, gives the input that is
            taken instead of the one in the list; not asked for the first.
        scope: VariableScope, or the name of one; "rnn_decoder" when None.

    Returns:
        The list of outputs and the last state.
    """
    with variable_scope(scope or "rnn_decoder"):
        state, outputs, prev = initial_state, [], None
        for i, given in enumerate(decoder_inputs):
            if loop_function is not None and prev is not None:
                with variable_scope("loop_function", reuse=True):
                    given = loop_function(prev, i)
            if i > 0:
                get_variable_scope().reuse_variables()
            output, state = cell(given, state)
            outputs.append(output)
            if loop_function is not None:
                prev = output
        return outputs, state


@export("contrib.legacy_seq2seq.basic_rnn_seq2seq")
def basic_rnn_seq2seq(
    encoder_inputs: Any, decoder_inputs: Any, cell: Any, dtype: Any = float32, scope: Any = None
) -> Any:
    """Read a list of inputs with a copy of the cell; from its state on, read another with the cell.

    Returns:
        The list of outputs and the last state.
    """
    with variable_scope(scope or "basic_rnn_seq2seq"):
        _, state = static_rnn(copy.deepcopy(cell), encoder_inputs, dtype=dtype)
        return rnn_decoder(decoder_inputs, state, cell)


@export("contrib.legacy_seq2seq.tied_rnn_seq2seq")
def tied_rnn_seq2seq(
    encoder_inputs: Any,
    decoder_inputs: Any,
    cell: Any,
    loop_function: Callable[[Any, Any], Any] | None = None,
    dtype: Any = float32,
    scope: Any = None,
) -> Any:
    """As `basic_rnn_seq2seq`, with one cell, the same variables, for both.

    Returns:
        The list of outputs and the last state.
    """
    with variable_scope("combined_tied_rnn_seq2seq"):
        scope = scope or "tied_rnn_seq2seq"
        _, state = static_rnn(cell, encoder_inputs, dtype=dtype, scope=scope)
        get_variable_scope().reuse_variables()
        return rnn_decoder(decoder_inputs, state, cell, loop_function=loop_function, scope=scope)


@export("contrib.legacy_seq2seq.embedding_rnn_decoder")
def embedding_rnn_decoder(
    decoder_inputs: Any,
    initial_state: Any,
    cell: Any,
    num_symbols: int,
    embedding_size: int,
    output_projection: Any = None,
    feed_previous: bool = False,
    update_embedding_for_previous: bool = True,
    scope: Any = None,
) -> Any:
    """`rnn_decoder` over rows of a table of vectors.

    Args:
        decoder_inputs: list of int tensors `[batch]`, numbers of symbols.
        initial_state, cell: as for `rnn_decoder`.
        num_symbols, embedding_size: how many rows there are, and their size.
        output_projection: matrix `[output, num_symbols]` and bias that make scores of outputs; None
            when the cell gives scores. Only for `feed_previous`.
        feed_previous: read the likeliest symbol of the last output, of the inputs only the first.
        update_embedding_for_previous: whether gradients flow into its row.
        scope: VariableScope, or the name of one; "embedding_rnn_decoder" when None.

    Returns:
        The list of outputs and the last state.

    Raises:
        ValueError: the projection has other shapes.
    """
    with variable_scope(scope or "embedding_rnn_decoder") as opened:
        shapes = [None, num_symbols], [num_symbols]
        checked_projection(output_projection, opened.dtype, shapes)
        embedding = get_variable("embedding", [num_symbols, embedding_size])
        loop_function = None
        if feed_previous:
            update = update_embedding_for_previous
            loop_function = embedded_choice(embedding, output_projection, update)
        rows = (embedding_lookup(embedding, symbols) for symbols in decoder_inputs)
        return rnn_decoder(rows, initial_state, cell, loop_function=loop_function)


def either_decoder(
    feed_previous: Any, count: int, state: Any, decoder: Callable[[bool], tuple[Any, Any]]
) -> Any:
    """What a decoder gives, one way or the other; which way may be a bool tensor.

    Args:
        feed_previous: bool, or bool scalar tensor.
        count: how many outputs there are.
        state: a nest in the form of the decoder's last state.
        decoder: builds the graph for one way.
    """
    if isinstance(feed_previous, bool):
        return decoder(feed_previous)

    def flat(way: bool) -> list[Any]:
        with variable_scope(get_variable_scope(), reuse=None if way else True):
            outputs, last = decoder(way)
        return [*outputs, *nest.flatten(last)]

    results = cond(feed_previous, lambda: flat(True), lambda: flat(False))
    last = results[count:]
    return results[:count], nest.pack(state, last) if nest.is_nested(state) else last[0]


@export("contrib.legacy_seq2seq.embedding_rnn_seq2seq")
def embedding_rnn_seq2seq(
    encoder_inputs: Any,
    decoder_inputs: Any,
    cell: Any,
    num_encoder_symbols: int,
    num_decoder_symbols: int,
    embedding_size: int,
    output_projection: Any = None,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
) -> Any:
    """Read symbols with one cell, and write symbols with another.

    Args:
        encoder_inputs, decoder_inputs: lists of int tensors `[batch]`, numbers of symbols.
        cell: the cell; a copy of it reads.
        num_encoder_symbols, num_decoder_symbols, embedding_size: how many symbols there are, and
            the size of their vectors.
        output_projection: matrix and bias that make scores of outputs; None lets outputs be scores.
        feed_previous: bool, or bool scalar tensor: whether the decoder reads its own outputs.
        dtype: of states; that of the scope when None.
        scope: VariableScope, or the name of one; "embedding_rnn_seq2seq" when None.

    Returns:
        The list of outputs and the last state.
    """
    with variable_scope(scope or "embedding_rnn_seq2seq") as opened:
        if dtype is not None:
            opened.set_dtype(dtype)
        encoder = EmbeddingWrapper(copy.deepcopy(cell), num_encoder_symbols, embedding_size)
        _, state = static_rnn(encoder, encoder_inputs, dtype=opened.dtype)
        if output_projection is None:
            cell = OutputProjectionWrapper(cell, num_decoder_symbols)

        update = isinstance(feed_previous, bool)

        def decoder(way: bool) -> Any:
            return embedding_rnn_decoder(
                decoder_inputs, state, cell, num_decoder_symbols, embedding_size,
                output_projection=output_projection, feed_previous=way,
                update_embedding_for_previous=update,
            )  # fmt: skip

        return either_decoder(feed_previous, len(decoder_inputs), state, decoder)


@export("contrib.legacy_seq2seq.embedding_tied_rnn_seq2seq")
def embedding_tied_rnn_seq2seq(
    encoder_inputs: Any,
    decoder_inputs: Any,
    cell: Any,
    num_symbols: int,
    embedding_size: int,
    num_decoder_symbols: int | None = None,
    output_projection: Any = None,
    feed_previous: Any = False,
    dtype: Any = None,
    scope: Any = None,
) -> Any:
    """As `embedding_rnn_seq2seq`, with one cell and one table of vectors for both.

    Args:
        num_symbols: how many symbols there are.
        num_decoder_symbols: how many of them are written; all when None.
        encoder_inputs, decoder_inputs, cell, embedding_size, output_projection, feed_previous,
            dtype: as for `embedding_rnn_seq2seq`.
        scope: VariableScope, or the name of one; "embedding_tied_rnn_seq2seq" when None.

    Returns:
        The list of outputs and the last state.
    """
    with variable_scope(scope or "embedding_tied_rnn_seq2seq", dtype=dtype) as opened:
        shapes = [None, num_symbols], [num_symbols]
        checked_projection(output_projection, opened.dtype, shapes)
        embedding = get_variable("embedding", [num_symbols, embedding_size], dtype=opened.dtype)
        reads = [embedding_lookup(embedding, symbols) for symbols in encoder_inputs]
        writes = [embedding_lookup(embedding, symbols) for symbols in decoder_inputs]
        written = num_symbols if num_decoder_symbols is None else num_decoder_symbols
        if output_projection is None:
            cell = OutputProjectionWrapper(cell, written)

        update = isinstance(feed_previous, bool)

        def decoder(way: bool) -> Any:
            loop_function = None
            if way:
                loop_function = embedded_choice(embedding, output_projection, update)
            return tied_rnn_seq2seq(reads, writes, cell, loop_function, opened.dtype)

        form = None if update else cell.zero_state(1, opened.dtype)
        return either_decoder(feed_previous, len(decoder_inputs), form, decoder)
