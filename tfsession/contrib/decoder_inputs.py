"""What decoders read and choose: the sources that `tf.contrib.seq2seq` calls helpers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import nest
from tfsession.core.dtypes import as_dtype, int32
from tfsession.core.exports import export, export_value
from tfsession.core.shape import TensorShape
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, where
from tfsession.ops.cond import cond
from tfsession.ops.constant import fill, zeros_like
from tfsession.ops.embedding import embedding_lookup
from tfsession.ops.gather import gather_nd
from tfsession.ops.pad import tile
from tfsession.ops.random import multinomial, random_uniform
from tfsession.ops.reduce import argmax, reduce_all
from tfsession.ops.rnn import swapped
from tfsession.ops.scatter import scatter_nd
from tfsession.ops.shape import reshape, size
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray


class Source:
    """What a decoder reads, and how it chooses from outputs."""

    @property
    def batch_size(self) -> Any:
        """How many sequences there are: an int32 scalar, or a number."""
        raise NotImplementedError("batch_size has not been implemented")

    @property
    def sample_ids_shape(self) -> Any:
        """The shape of what is chosen, without the batch."""
        raise NotImplementedError("sample_ids_shape has not been implemented")

    @property
    def sample_ids_dtype(self) -> Any:
        """The dtype of what is chosen."""
        raise NotImplementedError("sample_ids_dtype has not been implemented")

    def initialize(self, name: str | None = None) -> Any:
        """`(finished, inputs)` before the first step."""
        raise NotImplementedError("initialize has not been implemented")

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """What is chosen of the outputs."""
        raise NotImplementedError("sample has not been implemented")

    def next_inputs(
        self, time: Any, outputs: Any, state: Any, sample_ids: Any, name: str | None = None
    ) -> Any:
        """`(finished, next inputs, next state)` after step number `time`."""
        raise NotImplementedError("next_inputs has not been implemented")


export_value(Source, "contrib.seq2seq.Helper")


class _Symbols(Source):
    """A source whose choices are numbers of symbols."""

    _batch_size: Any

    @property
    def batch_size(self) -> Any:
        """How many sequences there are."""
        return self._batch_size

    @property
    def sample_ids_shape(self) -> Any:
        """Scalars."""
        return TensorShape([])

    @property
    def sample_ids_dtype(self) -> Any:
        """int32."""
        return int32


@export("contrib.seq2seq.CustomHelper")
class CustomHelper(Source):
    """A source made of functions.

    Args:
        initialize_fn: gives `(finished, inputs)`.
        sample_fn: takes `time`, `outputs` and `state` by keyword, gives what is chosen.
        next_inputs_fn: takes those and `sample_ids`, gives `(finished, inputs, state)`.
        sample_ids_shape, sample_ids_dtype: of what is chosen; int32 scalars when None.
    """

    def __init__(
        self,
        initialize_fn: Callable[..., Any],
        sample_fn: Callable[..., Any],
        next_inputs_fn: Callable[..., Any],
        sample_ids_shape: Any = None,
        sample_ids_dtype: Any = None,
    ) -> None:
        self._initialize_fn = initialize_fn
        self._sample_fn = sample_fn
        self._next_inputs_fn = next_inputs_fn
        self._batch_size: Any = None
        self._shape = TensorShape([] if sample_ids_shape is None else sample_ids_shape)
        self._dtype = as_dtype(int32 if sample_ids_dtype is None else sample_ids_dtype)

    @property
    def batch_size(self) -> Any:
        """How many sequences there are; ValueError before `initialize`."""
        if self._batch_size is None:
            raise ValueError("batch_size accessed before initialize was called")
        return self._batch_size

    @property
    def sample_ids_shape(self) -> Any:
        """The shape of what is chosen."""
        return self._shape

    @property
    def sample_ids_dtype(self) -> Any:
        """The dtype of what is chosen."""
        return self._dtype

    def initialize(self, name: str | None = None) -> Any:
        """What the function gives."""
        with get_default_graph().name_scope(name or "CustomHelperInitialize"):
            finished, inputs = self._initialize_fn()
            if self._batch_size is None:
                self._batch_size = size(finished)
        return finished, inputs

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """What the function chooses."""
        with get_default_graph().name_scope(name or "CustomHelperSample"):
            return self._sample_fn(time=time, outputs=outputs, state=state)

    def next_inputs(
        self, time: Any, outputs: Any, state: Any, sample_ids: Any, name: str | None = None
    ) -> Any:
        """What the function gives."""
        with get_default_graph().name_scope(name or "CustomHelperNextInputs"):
            return self._next_inputs_fn(
                time=time, outputs=outputs, state=state, sample_ids=sample_ids
            )


@export("contrib.seq2seq.TrainingHelper")
class TrainingHelper(_Symbols):
    """Reads given sequences, whatever the outputs are.

    Args:
        inputs: `[batch, time, ...]`, or a nest of such tensors.
        sequence_length: int32 `[batch]`.
        time_major: inputs are `[time, batch, ...]`.
        name: name scope of the operations.

    Raises:
        ValueError: `sequence_length` is no vector.
    """

    def __init__(
        self, inputs: Any, sequence_length: Any, time_major: bool = False, name: str | None = None
    ) -> None:
        graph = graph_of([*nest.flatten(inputs), sequence_length])
        with graph.name_scope(name or "TrainingHelper"):
            inputs = nest.map_structure(lambda x: convert_to_tensor(x, name="inputs"), inputs)
            self._inputs = inputs
            if not time_major:
                inputs = nest.map_structure(swapped, inputs)
            self._arrays = nest.map_structure(_unstacked, inputs)
            self._lengths = convert_to_tensor(sequence_length, name="sequence_length")
            if self._lengths.shape.ndims != 1:
                raise ValueError(
                    "Expected sequence_length to be a vector, but received shape: "
                    f"{self._lengths.shape}"
                )
            self._zero = nest.map_structure(lambda x: zeros_like(x[0, :]), inputs)
            self._batch_size = size(self._lengths)

    @property
    def inputs(self) -> Any:
        """The given sequences."""
        return self._inputs

    @property
    def sequence_length(self) -> Tensor:
        """Their lengths."""
        return self._lengths

    def initialize(self, name: str | None = None) -> Any:
        """The first inputs."""
        with get_default_graph().name_scope(name or "TrainingHelperInitialize"):
            finished = equal(0, self._lengths)
            return finished, self._read(0, finished)

    def _read(self, time: Any, finished: Tensor) -> Any:
        """The inputs of a step; zeros when all has finished."""
        found = cond(
            reduce_all(finished),
            lambda: nest.flatten(self._zero),
            lambda: [array.read(time) for array in nest.flatten(self._arrays)],
        )
        return nest.pack(self._zero, found if isinstance(found, list | tuple) else [found])

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """The likeliest symbols."""
        with get_default_graph().name_scope(name or "TrainingHelperSample"):
            return cast(argmax(outputs, -1), int32)

    def next_inputs(
        self, time: Any, outputs: Any, state: Any, sample_ids: Any, name: str | None = None
    ) -> Any:
        """The inputs of the next step."""
        with get_default_graph().name_scope(name or "TrainingHelperNextInputs"):
            following = time + 1
            finished = following >= self._lengths
            return finished, self._read(following, finished), state


def _unstacked(inputs: Tensor) -> TensorArray:
    count = shape_of(inputs)[0]
    return TensorArray(inputs.dtype, count, element_shape=inputs.shape[1:]).unstack(inputs)


def rows_of(embedding: Any) -> Callable[[Any], Any]:
    """The function of symbols that gives their vectors; a table gives one."""
    if callable(embedding):
        function: Callable[[Any], Any] = embedding
        return function
    return lambda symbols: embedding_lookup(embedding, symbols)


@export("contrib.seq2seq.ScheduledEmbeddingTrainingHelper")
class ScheduledEmbeddingTrainingHelper(TrainingHelper):
    """Reads given sequences, but at times what was drawn (Bengio et al. 2015, arXiv 1506.03099).

    Args:
        inputs, sequence_length, time_major: as for `TrainingHelper`; one tensor of vectors.
        embedding: table of vectors, or function of symbols that gives them.
        sampling_probability: how often a draw is read: a float scalar, or `[batch]`.
        seed, scheduling_seed: numbers from which the draws follow, of symbols and of when.
        name: name scope of the operations.

    Raises:
        ValueError: `sampling_probability` is neither scalar nor vector.
    """

    def __init__(
        self,
        inputs: Any,
        sequence_length: Any,
        embedding: Any,
        sampling_probability: Any,
        time_major: bool = False,
        seed: int | None = None,
        scheduling_seed: int | None = None,
        name: str | None = None,
    ) -> None:
        with get_default_graph().name_scope(name or "ScheduledEmbeddingSamplingWrapper"):
            self._rows = rows_of(embedding)
            self._probability = convert_to_tensor(sampling_probability, name="sampling_probability")
            if self._probability.shape.ndims not in (0, 1):
                raise ValueError(
                    "sampling_probability must be either a scalar or a vector. saw shape: "
                    f"{self._probability.shape}"
                )
            self._seed = seed
            self._scheduling_seed = scheduling_seed
            super().__init__(inputs, sequence_length, time_major, name)

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """Symbols drawn by scores; -1 where the given input is to be read."""
        with get_default_graph().name_scope(name or "ScheduledEmbeddingTrainingHelperSample"):
            draws = random_uniform(
                reshape(self._batch_size, [1]), seed=self._scheduling_seed,
                dtype=self._probability.dtype,
            )  # fmt: skip
            drawn = drawn_symbols(outputs, self._seed)
            given = fill(reshape(self._batch_size, [1]), -1)
            return where(draws < self._probability, drawn, given)

    def next_inputs(
        self, time: Any, outputs: Any, state: Any, sample_ids: Any, name: str | None = None
    ) -> Any:
        """The vectors of what was drawn, and else the given inputs."""
        with get_default_graph().name_scope(name or "ScheduledEmbeddingTrainingHelperNextInputs"):
            finished, given, state = super().next_inputs(time, outputs, state, sample_ids)

            def mixed() -> Tensor:
                drawn = cast(where(sample_ids > -1), int32)
                others = cast(where(sample_ids <= -1), int32)
                vectors = self._rows(gather_nd(sample_ids, drawn))
                shape = shape_of(given)
                kept = scatter_nd(others, gather_nd(given, others), shape)
                return scatter_nd(drawn, vectors, shape) + kept

            following = cond(reduce_all(finished), lambda: given, mixed)
            following.set_shape(given.shape)
            return finished, following, state


def drawn_symbols(logits: Any, seed: int | None) -> Tensor:
    """Symbols drawn by scores `[batch, classes]`: int32 `[batch]`."""
    return reshape(cast(multinomial(logits, 1, seed=seed), int32), [-1])


@export("contrib.seq2seq.GreedyEmbeddingHelper")
class GreedyEmbeddingHelper(_Symbols):
    """Reads the vector of the likeliest symbol.

    Args:
        embedding: table of vectors, or function of symbols that gives them.
        start_tokens: int32 `[batch]`, what is read at first.
        end_token: int32 scalar, the symbol that ends a sequence.

    Raises:
        ValueError: tensors of other ranks.
    """

    def __init__(self, embedding: Any, start_tokens: Any, end_token: Any) -> None:
        self._rows = rows_of(embedding)
        self._start_tokens = convert_to_tensor(start_tokens, dtype=int32, name="start_tokens")
        self._end_token = convert_to_tensor(end_token, dtype=int32, name="end_token")
        if self._start_tokens.shape.ndims != 1:
            raise ValueError("start_tokens must be a vector")
        if self._end_token.shape.ndims != 0:
            raise ValueError("end_token must be a scalar")
        self._batch_size = size(self._start_tokens)
        self._first = self._rows(self._start_tokens)

    def initialize(self, name: str | None = None) -> Any:
        """The vectors of the first symbols."""
        return tile([False], [self._batch_size]), self._first

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """The likeliest symbols."""
        return cast(argmax(_one_tensor(outputs), -1), int32)

    def next_inputs(
        self, time: Any, outputs: Any, state: Any, sample_ids: Any, name: str | None = None
    ) -> Any:
        """The vectors of what was chosen."""
        finished = equal(sample_ids, self._end_token)
        following = cond(
            reduce_all(finished), lambda: self._first, lambda: self._rows(sample_ids)
        )  # fmt: skip
        return finished, following, state


def _one_tensor(outputs: Any) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise TypeError(f"Expected outputs to be a single Tensor, got: {type(outputs)}")
    return outputs


@export("contrib.seq2seq.SampleEmbeddingHelper")
class SampleEmbeddingHelper(GreedyEmbeddingHelper):
    """Reads the vector of a symbol that is drawn by scores.

    Args:
        embedding, start_tokens, end_token: as for `GreedyEmbeddingHelper`.
        softmax_temperature: what scores are divided by, a float; one when None.
        seed: number from which the draws follow.
    """

    def __init__(
        self,
        embedding: Any,
        start_tokens: Any,
        end_token: Any,
        softmax_temperature: Any = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(embedding, start_tokens, end_token)
        self._temperature = softmax_temperature
        self._seed = seed

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """Symbols drawn."""
        logits = _one_tensor(outputs)
        if self._temperature is not None:
            logits = logits / self._temperature
        return drawn_symbols(logits, self._seed)


@export("contrib.seq2seq.InferenceHelper")
class InferenceHelper(Source):
    """Reads what was chosen by functions.

    Args:
        sample_fn: function of outputs that chooses.
        sample_shape, sample_dtype: of what is chosen, without the batch.
        start_inputs: what is read at first.
        end_fn: function of choices that tells what has finished, bool `[batch]`.
        next_inputs_fn: function of choices that gives what is read; choices themselves when None.
    """

    def __init__(
        self,
        sample_fn: Callable[[Any], Any],
        sample_shape: Any,
        sample_dtype: Any,
        start_inputs: Any,
        end_fn: Callable[[Any], Any],
        next_inputs_fn: Callable[[Any], Any] | None = None,
    ) -> None:
        self._sample_fn = sample_fn
        self._end_fn = end_fn
        self._shape = TensorShape(sample_shape)
        self._dtype = as_dtype(sample_dtype)
        self._next_inputs_fn = next_inputs_fn
        self._first = convert_to_tensor(start_inputs, name="start_inputs")
        self._batch_size = shape_of(self._first)[0]

    @property
    def batch_size(self) -> Any:
        """How many sequences there are."""
        return self._batch_size

    @property
    def sample_ids_shape(self) -> Any:
        """The shape of what is chosen."""
        return self._shape

    @property
    def sample_ids_dtype(self) -> Any:
        """The dtype of what is chosen."""
        return self._dtype

    def initialize(self, name: str | None = None) -> Any:
        """The first inputs."""
        return tile([False], [self._batch_size]), self._first

    def sample(self, time: Any, outputs: Any, state: Any, name: str | None = None) -> Any:
        """What the function chooses."""
        return self._sample_fn(outputs)

    def next_inputs(
        self, time: Any, outputs: Any, state: Any, sample_ids: Any, name: str | None = None
    ) -> Any:
        """What was chosen, or what the function makes of it."""
        following = sample_ids if self._next_inputs_fn is None else self._next_inputs_fn(sample_ids)
        return self._end_fn(sample_ids), following, state
