"""Beam search: the decoder that keeps the best few sequences of each example."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from tfsession.contrib.attention_wrapper import AttentionWrapperState
from tfsession.contrib.beam_tree import gather_tree, gather_tree_from_array, taken
from tfsession.contrib.decoder import Decoder
from tfsession.contrib.decoder_inputs import rows_of
from tfsession.core import nest
from tfsession.core.dtypes import bool_, float32, int32, int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, logical_not, logical_or, where
from tfsession.ops.cond import cond
from tfsession.ops.constant import fill, ones_like, zeros, zeros_like
from tfsession.ops.elementwise import minimum
from tfsession.ops.join import concat, stack
from tfsession.ops.layer import Layer
from tfsession.ops.nn import log_softmax
from tfsession.ops.pad import tile
from tfsession.ops.reduce import reduce_all, reduce_max, reduce_mean, reduce_sum
from tfsession.ops.rnn_cell import assert_like_rnncell
from tfsession.ops.sequence import one_hot
from tfsession.ops.shape import expand_dims, reshape, size
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.top_k import top_k
from tfsession.ops.unary import log

_STATE = ("cell_state", "log_probs", "finished", "lengths", "accumulated_attention_probs")


@export("contrib.seq2seq.BeamSearchDecoderState")
class BeamSearchDecoderState(namedtuple("BeamSearchDecoderState", _STATE)):
    """The cell's state; log probabilities, ends and lengths of the beams, all `[batch, beam]`; the
    sums of attention weights.
    """

    __slots__ = ()


@export("contrib.seq2seq.BeamSearchDecoderOutput")
class BeamSearchDecoderOutput(
    namedtuple("BeamSearchDecoderOutput", ("scores", "predicted_ids", "parent_ids"))
):
    """Scores, symbols and the beams they continue, all `[batch, beam]` in each step."""

    __slots__ = ()


@export("contrib.seq2seq.FinalBeamSearchDecoderOutput")
class FinalBeamSearchDecoderOutput(
    namedtuple("FinalBeamSearchDecoderOutput", ("predicted_ids", "beam_search_decoder_output"))
):
    """The sequences `[batch, time, beam]`, best first, and the outputs of all steps."""

    __slots__ = ()


@export("contrib.seq2seq.BeamSearchDecoder")
class BeamSearchDecoder(Decoder):
    """Keeps the sequences of the best scores, which are log probabilities over a length penalty.

    Memories of attention, and states that come from elsewhere, are to be tiled: `tile_batch`.

    Args:
        cell: the cell.
        embedding: table of vectors, or function of symbols that gives them.
        start_tokens: int32 `[batch]`, what is read at first.
        end_token: int32 scalar, the symbol that ends a sequence.
        initial_state: the cell's first state, `[batch * beam_width, ...]`.
        beam_width: how many sequences are kept of each example.
        output_layer: layer over the outputs of the cell, or None.
        length_penalty_weight: exponent of the penalty `((5 + length) / 6) ** weight` of Wu et al.
            2016 (arXiv 1609.08144); 0.0 for none.
        coverage_penalty_weight: weight of their penalty for states that little was attended to.
        reorder_tensor_arrays: whether TensorArrays in the last state follow the sequences.

    Raises:
        TypeError: objects of other kinds.
        ValueError: tensors of other ranks.
    """

    def __init__(
        self,
        cell: Any,
        embedding: Any,
        start_tokens: Any,
        end_token: Any,
        initial_state: Any,
        beam_width: int,
        output_layer: Any = None,
        length_penalty_weight: float = 0.0,
        coverage_penalty_weight: float = 0.0,
        reorder_tensor_arrays: bool = True,
    ) -> None:
        assert_like_rnncell("cell", cell)
        if output_layer is not None and not isinstance(output_layer, Layer):
            raise TypeError(f"output_layer must be a Layer, received: {type(output_layer)}")
        self._cell = cell
        self._output_layer = output_layer
        self._rows = rows_of(embedding)
        self._start_tokens = convert_to_tensor(start_tokens, dtype=int32, name="start_tokens")
        if self._start_tokens.shape.ndims != 1:
            raise ValueError("start_tokens must be a vector")
        self._end_token = convert_to_tensor(end_token, dtype=int32, name="end_token")
        if self._end_token.shape.ndims != 0:
            raise ValueError("end_token must be a scalar")
        self._length_weight = length_penalty_weight
        self._coverage_weight = coverage_penalty_weight
        self._reorders = reorder_tensor_arrays
        self._batch_size = size(self._start_tokens)
        self._known_size = self._start_tokens.shape.as_list()[0]
        self._width = beam_width
        self._first_state = nest.map_structure(self._apart, initial_state)
        starts = tile(expand_dims(self._start_tokens, 1), [1, beam_width])
        self._first_inputs = self._rows(starts)

    @property
    def batch_size(self) -> Any:
        """How many examples there are."""
        return self._batch_size

    @property
    def tracks_own_finished(self) -> bool:
        """Beams change places, so that what has finished is told anew in each step."""
        return True

    @property
    def output_size(self) -> Any:
        """The beams, for each part of the output."""
        shape = TensorShape([self._width])
        return BeamSearchDecoderOutput(shape, shape, shape)

    @property
    def output_dtype(self) -> Any:
        """Dtypes of the parts of the output."""
        return BeamSearchDecoderOutput(self._dtype, int32, int32)

    @property
    def _dtype(self) -> Any:
        return nest.flatten(self._first_state)[0].dtype

    def _apart(self, x: Any) -> Any:
        """`[batch * beam, ...]` as `[batch, beam, ...]`; scalars and arrays as they are."""
        if isinstance(x, TensorArray) or x.shape.ndims == 0:
            return x
        sizes = shape_of(x)
        result = reshape(x, concat([[self._batch_size, self._width], sizes[1:]], 0))
        result.set_shape(TensorShape([self._known_size, self._width]).concatenate(x.shape[1:]))
        return result

    def _together(self, x: Any) -> Any:
        """`[batch, beam, ...]` as `[batch * beam, ...]`; scalars and arrays as they are."""
        if isinstance(x, TensorArray) or x.shape.ndims == 0:
            return x
        sizes = shape_of(x)
        result = reshape(x, concat([[self._batch_size * self._width], sizes[2:]], 0))
        known = None if self._known_size is None else self._known_size * self._width
        result.set_shape(TensorShape([known]).concatenate(x.shape[2:]))
        return result

    def _by_first_beam(self, first: Any, others: Any, dtype: Any) -> Tensor:
        """`[batch, beam]` with one value for the first beam, another for the rest."""
        zero = zeros(reshape(self._batch_size, [1]), int32)
        return one_hot(zero, self._width, on_value=first, off_value=others, dtype=dtype)

    def initialize(self, name: str | None = None) -> Any:
        """One beam that counts; the others have finished, and are never chosen."""
        finished = self._by_first_beam(False, True, bool_)
        attended = self._attention(self._first_state)
        return finished, self._first_inputs, BeamSearchDecoderState(
            cell_state=self._first_state,
            log_probs=self._by_first_beam(0.0, -np.inf, self._dtype),
            finished=finished,
            lengths=zeros(stack([self._batch_size, self._width]), int64),
            accumulated_attention_probs=() if attended is None else attended,
        )  # fmt: skip

    def step(self, time: Any, inputs: Any, state: Any, name: str | None = None) -> Any:
        """Go on with the best continuations of all beams."""
        with get_default_graph().name_scope(name or "BeamSearchDecoderStep"):
            merged = nest.map_structure(self._together, state.cell_state)
            outputs, cell_state = self._cell(nest.map_structure(self._together, inputs), merged)
            logits = self._apart(outputs)
            if self._output_layer is not None:
                logits = self._output_layer(logits)
            cell_state = nest.map_structure(self._apart, cell_state)
            output, state = self._chosen(logits, cell_state, state)
            following = cond(
                reduce_all(state.finished),
                lambda: self._first_inputs,
                lambda: self._rows(output.predicted_ids),
            )
            return output, state, following, state.finished

    def _chosen(self, logits: Tensor, cell_state: Any, state: Any) -> tuple[Any, Any]:
        """The best continuations `[batch, beam]`, and the state of those."""
        known = logits.shape.as_list()[-1]
        classes = shape_of(logits)[-1] if known is None else known
        going = logical_not(state.finished)
        steps = _only_end(log_softmax(logits), self._end_token, state.finished, classes)
        totals = expand_dims(state.log_probs, 2) + steps
        ends = fill(stack([self._batch_size, self._width]), self._end_token)
        added = one_hot(ends, classes, on_value=0, off_value=1, dtype=int64)
        added *= expand_dims(cast(going, int64), 2)
        lengths = added + expand_dims(state.lengths, 2)
        attended = self._attention(cell_state)
        if attended is not None:
            attended *= expand_dims(cast(going, float32), 2)
            attended += state.accumulated_attention_probs
        scores = totals / self._length_penalty(lengths, totals.dtype)
        if attended is not None:
            coverage = where(state.finished, _coverage(attended), zeros_like(attended[:, :, 0]))
            scores += expand_dims(coverage * self._coverage_weight, 2)
        best, places = top_k(reshape(scores, stack([self._batch_size, -1])), k=self._width)
        best.set_shape([self._known_size, self._width])
        places.set_shape([self._known_size, self._width])
        words, parents = places % classes, places // classes
        log_probs = taken(reshape(totals, stack([self._batch_size, -1])), places)
        finished = taken(state.finished, parents)
        lengths = taken(state.lengths, parents) + cast(logical_not(finished), int64)
        next_state = BeamSearchDecoderState(
            cell_state=nest.map_structure(lambda x: _of_parents(x, parents), cell_state),
            log_probs=log_probs,
            finished=logical_or(finished, equal(words, self._end_token)),
            lengths=lengths,
            accumulated_attention_probs=() if attended is None else taken(attended, parents),
        )
        return BeamSearchDecoderOutput(best, words, parents), next_state

    def _length_penalty(self, lengths: Tensor, dtype: Any) -> Any:
        weight = self._length_weight
        if not isinstance(weight, Tensor) and weight == 0:
            return 1.0
        weight = convert_to_tensor(weight, dtype=dtype)
        return ((5.0 + cast(lengths, dtype)) / 6.0) ** weight

    def _attention(self, state: Any) -> Tensor | None:
        """The mean weights of all mechanisms in a state, `[batch, beam, length]`."""
        if not isinstance(self._coverage_weight, Tensor) and self._coverage_weight == 0:
            return None
        found: list[Tensor] = []
        _collect_alignments(state, found)
        if not found:
            raise ValueError("coverage_penalty_weight must be 0.0 if no cell is attention.")
        return reduce_mean(stack(found, -1), -1)

    def finalize(self, outputs: Any, final_state: Any, sequence_lengths: Any) -> Any:
        """The sequences, read backwards from the last beams, and TensorArrays in their order."""
        longest = cast(reduce_max(final_state.lengths, axis=1), int32)
        predicted = gather_tree(
            outputs.predicted_ids, outputs.parent_ids, longest, self._end_token
        )  # fmt: skip
        if self._reorders:

            def in_order(x: Any) -> Any:
                if not isinstance(x, TensorArray) or not x.element_shape.ndims:
                    return x
                return gather_tree_from_array(x.stack(), outputs.parent_ids, final_state.lengths)

            cell_state = nest.map_structure(in_order, final_state.cell_state)
            final_state = final_state._replace(cell_state=cell_state)
        return FinalBeamSearchDecoderOutput(predicted, outputs), final_state


def _only_end(steps: Tensor, end_token: Any, finished: Tensor, classes: Any) -> Tensor:
    """Log probabilities of a step: what has finished goes on with ends, for certain."""
    least = steps.dtype.min
    row = one_hot(end_token, classes, on_value=0.0, off_value=least, dtype=steps.dtype)
    rows = zeros(shape_of(steps), steps.dtype) + row
    mask = tile(expand_dims(finished, 2), stack([1, 1, classes]))
    return where(mask, rows, steps)


def _coverage(attended: Tensor) -> Tensor:
    """How well all states were attended to, `[batch, beam]`; zero is best.

    States behind a memory's length are never attended to, and must not count.
    """
    counts = where(attended > 0, minimum(attended, 1.0), ones_like(attended))
    return reduce_sum(log(counts), 2)


def _of_parents(x: Any, parents: Tensor) -> Any:
    """What a beam takes over from the beam that it continues."""
    if isinstance(x, TensorArray) or (x.shape.ndims is not None and x.shape.ndims < 2):
        return x
    return taken(x, parents)


def _collect_alignments(state: Any, found: list[Tensor]) -> None:
    if isinstance(state, AttentionWrapperState):
        several = isinstance(state.alignments, tuple)
        found.extend(state.alignments if several else [state.alignments])
    elif isinstance(state, tuple):
        for part in state:
            _collect_alignments(part, found)
