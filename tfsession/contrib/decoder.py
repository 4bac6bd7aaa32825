"""Decoders of `tf.contrib.seq2seq`: what one is, the plain one, and the loop that runs one."""

from __future__ import annotations

from collections import namedtuple
from contextlib import suppress
from typing import Any

from tfsession.contrib.decoder_inputs import Source
from tfsession.core import nest
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import logical_not, logical_or, where
from tfsession.ops.constant import constant, fill, zeros, zeros_like
from tfsession.ops.layer import Layer
from tfsession.ops.reduce import reduce_all
from tfsession.ops.rnn import swapped
from tfsession.ops.rnn_cell import assert_like_rnncell, joined_sizes
from tfsession.ops.rnn_step import kept, read_variables_once
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.variable_scope import variable_scope
from tfsession.ops.while_loop import while_loop


@export("contrib.seq2seq.Decoder")
class Decoder:
    """What `dynamic_decode` runs; subclasses say what a step is."""

    @property
    def batch_size(self) -> Any:
        """How many sequences there are: an int32 scalar, or a number."""
        raise NotImplementedError

    @property
    def output_size(self) -> Any:
        """Sizes of the outputs, a nest of numbers and TensorShapes, without the batch."""
        raise NotImplementedError

    @property
    def output_dtype(self) -> Any:
        """Dtypes of the outputs, in the same form."""
        raise NotImplementedError

    def initialize(self, name: str | None = None) -> Any:
        """`(finished, inputs, state)` before the first step; `finished` is bool `[batch]`."""
        raise NotImplementedError

    def step(self, time: Any, inputs: Any, state: Any, name: str | None = None) -> Any:
        """`(outputs, next state, next inputs, finished)` of step number `time`."""
        raise NotImplementedError

    def finalize(self, outputs: Any, final_state: Any, sequence_lengths: Any) -> Any:
        """`(outputs, state)` as the program is to see them, from time-major outputs of all steps.

        Without it they stay as they are.
        """
        raise NotImplementedError

    @property
    def tracks_own_finished(self) -> bool:
        """Whether `step` tells all that has finished, and may take it back."""
        return False


@export("contrib.seq2seq.BasicDecoderOutput")
class BasicDecoderOutput(namedtuple("BasicDecoderOutput", ("rnn_output", "sample_id"))):
    """Output of a cell, and what was drawn or chosen by it."""

    __slots__ = ()


@export("contrib.seq2seq.BasicDecoder")
class BasicDecoder(Decoder):
    """A cell, and something that says what it reads.

    Args:
        cell: the cell.
        helper: chooses from outputs, and gives inputs: a `Helper`.
        initial_state: the cell's first state.
        output_layer: layer over the outputs of the cell, or None.

    Raises:
        TypeError: the objects are none of those.
    """

    def __init__(
        self, cell: Any, helper: Any, initial_state: Any, output_layer: Any = None
    ) -> None:
        assert_like_rnncell("cell", cell)
        if not isinstance(helper, Source):
            raise TypeError(f"helper must be a Helper, received: {type(helper)}")
        if output_layer is not None and not isinstance(output_layer, Layer):
            raise TypeError(f"output_layer must be a Layer, received: {type(output_layer)}")
        self._cell = cell
        self._helper = helper
        self._initial_state = initial_state
        self._output_layer = output_layer

    @property
    def batch_size(self) -> Any:
        """That of the inputs."""
        return self._helper.batch_size

    @property
    def output_size(self) -> Any:
        """Sizes of the cell's output, or the layer's, and of what is chosen."""
        return BasicDecoderOutput(
            output_size_of(self._cell, self._output_layer), self._helper.sample_ids_shape
        )

    @property
    def output_dtype(self) -> Any:
        """The dtype of the state for outputs, and that of what is chosen."""
        dtype = nest.flatten(self._initial_state)[0].dtype
        size = output_size_of(self._cell, self._output_layer)
        return BasicDecoderOutput(
            nest.map_structure(lambda _: dtype, size), self._helper.sample_ids_dtype
        )

    def initialize(self, name: str | None = None) -> Any:
        """What has finished, and is read, at first; the first state."""
        return (*self._helper.initialize(), self._initial_state)

    def step(self, time: Any, inputs: Any, state: Any, name: str | None = None) -> Any:
        """Call the cell, choose, and say what comes next."""
        with get_default_graph().name_scope(name or "BasicDecoderStep"):
            outputs, state = self._cell(inputs, state)
            if self._output_layer is not None:
                outputs = self._output_layer(outputs)
            chosen = self._helper.sample(time=time, outputs=outputs, state=state)
            finished, following, state = self._helper.next_inputs(
                time=time, outputs=outputs, state=state, sample_ids=chosen
            )
            return BasicDecoderOutput(outputs, chosen), state, following, finished


def output_size_of(cell: Any, output_layer: Any) -> Any:
    """Sizes of what a cell gives, or the layer over it, without the batch."""
    size = cell.output_size
    if output_layer is None:
        return size
    shape = nest.map_structure(lambda each: TensorShape([None]).concatenate(each), size)
    result = output_layer.compute_output_shape(shape)
    return nest.map_structure(lambda each: each[1:], result)


@export("contrib.seq2seq.dynamic_decode")
def dynamic_decode(
    decoder: Any,
    output_time_major: bool = False,
    impute_finished: bool = False,
    maximum_iterations: Any = None,
    parallel_iterations: int = 32,
    swap_memory: bool = False,
    scope: Any = None,
) -> Any:
    """Run a decoder until all has finished.

    Args:
        decoder: the decoder.
        output_time_major: give outputs `[time, batch, ...]`.
        impute_finished: of what has finished, outputs are zeros and the state stays; slower, and
            right gradients need it where lengths differ.
        maximum_iterations: int32 scalar, the greatest number of steps; no bound when None.
        parallel_iterations, swap_memory: see `while_loop`.
        scope: VariableScope, or the name of one; "decoder" when None.

    Returns:
        Outputs `[batch, time, ...]` in the form of `decoder.output_size`; the last state; the
        lengths, int32 `[batch]`.

    Raises:
        TypeError: `decoder` is no Decoder.
        ValueError: `maximum_iterations` is no scalar.
    """
    if not isinstance(decoder, Decoder):
        raise TypeError(f"Expected decoder to be type Decoder, but saw: {type(decoder)}")
    with variable_scope(scope, "decoder") as varscope:
        read_variables_once(varscope)
        if maximum_iterations is not None:
            maximum_iterations = convert_to_tensor(
                maximum_iterations, dtype=int32, name="maximum_iterations"
            )
            if maximum_iterations.shape.ndims != 0:
                raise ValueError("maximum_iterations must be a scalar")
        finished, inputs, state = decoder.initialize()
        zero = nest.map_structure(
            lambda size, dtype: zeros(joined_sizes(decoder.batch_size, size), dtype),
            decoder.output_size,
            decoder.output_dtype,
        )
        if maximum_iterations is not None:
            finished = logical_or(finished, maximum_iterations <= 0)
        lengths = zeros_like(finished, dtype=int32)
        arrays = nest.map_structure(
            lambda size, dtype: TensorArray(
                dtype, 0, True, element_shape=_element_shape(decoder.batch_size, size)
            ),
            decoder.output_size,
            decoder.output_dtype,
        )
        results = while_loop(
            lambda _time, _arrays, _state, _inputs, finished, _lengths: logical_not(
                reduce_all(finished)
            ),
            _Step(decoder, zero if impute_finished else None),
            (constant(0, dtype=int32), arrays, state, inputs, finished, lengths),
            parallel_iterations=parallel_iterations,
            maximum_iterations=maximum_iterations,
            swap_memory=swap_memory,
        )
        outputs = nest.map_structure(lambda array: array.stack(), results[1])
        state, lengths = results[2], results[5]
        with suppress(NotImplementedError):
            outputs, state = decoder.finalize(outputs, state, lengths)
        if not output_time_major:
            outputs = nest.map_structure(swapped, outputs)
        return outputs, state, lengths


def _element_shape(batch_size: Any, size: Any) -> TensorShape:
    if not isinstance(size, TensorShape) or size.ndims == 0:
        return TensorShape(None)
    known = constant_value(convert_to_tensor(batch_size, name="batch_size"))
    return TensorShape([None if known is None else int(known)]).concatenate(size)


class _Step:
    """The body of the loop; `zero` is what finished sequences give instead of outputs, if asked."""

    def __init__(self, decoder: Any, zero: Any) -> None:
        self._decoder = decoder
        self._zero = zero

    def __call__(
        self, time: Any, arrays: Any, state: Any, inputs: Any, finished: Any, lengths: Any
    ) -> Any:
        outputs, new_state, following, ends = self._decoder.step(time, inputs, state)
        own_lengths = None
        if self._decoder.tracks_own_finished:
            next_finished = ends
            own_lengths = getattr(new_state, "lengths", None)
        else:
            next_finished = logical_or(ends, finished)
        if own_lengths is not None:
            # They are taken from the state again after each step.
            next_lengths = cast(own_lengths, int32)
        else:
            counted = fill(shape_of(lengths), time + 1)
            next_lengths = where(logical_not(finished), counted, lengths)
        nest.check_same(state, new_state)
        nest.check_same(arrays, outputs)
        nest.check_same(inputs, following)
        if self._zero is not None:
            outputs = nest.map_structure(
                lambda new, zero: where(finished, zero, new), outputs, self._zero
            )
            new_state = nest.map_structure(
                lambda old, new: _copied(finished, old, new), state, new_state
            )
        arrays = nest.map_structure(lambda array, new: array.write(time, new), arrays, outputs)
        return time + 1, arrays, new_state, following, next_finished, next_lengths


def _copied(finished: Tensor, old: Any, new: Any) -> Any:
    if isinstance(old, Tensor):
        new.set_shape(old.shape)
    return kept(finished, old, new)
