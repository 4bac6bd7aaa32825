"""Attention of `tf.contrib.seq2seq`: how well a query fits each of the states of a memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core import nest
from tfsession.core.dtypes import as_dtype, float32
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.check import assert_positive
from tfsession.ops.compare import where
from tfsession.ops.constant import ones_like
from tfsession.ops.initializers import Constant, Ones, Zeros
from tfsession.ops.layer_dense import Dense
from tfsession.ops.matmul import matmul
from tfsession.ops.nn import softmax
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.rnn_cell import zero_states
from tfsession.ops.sequence_mask import sequence_mask
from tfsession.ops.shape import expand_dims, reshape, squeeze
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import rsqrt, square, tanh
from tfsession.ops.variable_scope import get_variable, variable_scope


@export("contrib.seq2seq.AttentionMechanism")
class AttentionMechanism:
    """What weighs the states of a memory by a query."""

    @property
    def alignments_size(self) -> Any:
        """How many states there are."""
        raise NotImplementedError

    @property
    def state_size(self) -> Any:
        """Size of what goes from step to step."""
        raise NotImplementedError


class OverMemory(AttentionMechanism):
    """A mechanism over a memory, whose states behind the lengths count nothing.

    Args:
        query_layer, memory_layer: layers over the query and the memory, or None.
        memory: `[batch, length, ...]`.
        probability_fn: makes weights of scores.
        memory_sequence_length: int `[batch]`, or None.
        check_inner_dims_defined: whether depths must be known now.
        score_mask_value: score of states behind the lengths; minus infinity when None.
        name: name scope of the operations.
    """

    def __init__(
        self,
        query_layer: Any,
        memory: Any,
        probability_fn: Callable[[Any], Any] | None,
        memory_sequence_length: Any = None,
        memory_layer: Any = None,
        check_inner_dims_defined: bool = True,
        score_mask_value: Any = None,
        name: str | None = None,
    ) -> None:
        self._query_layer = query_layer
        self._memory_layer = memory_layer
        self._probability_fn = probability_fn or softmax
        graph = graph_of(nest.flatten(memory))
        with graph.name_scope(name or "BaseAttentionMechanismInit"):
            if memory_sequence_length is not None:
                memory_sequence_length = convert_to_tensor(
                    memory_sequence_length, name="memory_sequence_length"
                )
            self._lengths = memory_sequence_length
            self._values = _masked(memory, memory_sequence_length, check_inner_dims_defined)
            self._keys = self._values if memory_layer is None else memory_layer(self._values)
            sizes, found = self._keys.shape.as_list(), None
            if None in sizes[:2]:
                found = shape_of(self._keys)
            self._batch_size = found[0] if sizes[0] is None else sizes[0]
            self._alignments_size = found[1] if sizes[1] is None else sizes[1]
        self._mask_value = -np.inf if score_mask_value is None else score_mask_value

    @property
    def memory_layer(self) -> Any:
        """The layer over the memory, or None."""
        return self._memory_layer

    @property
    def query_layer(self) -> Any:
        """The layer over the query, or None."""
        return self._query_layer

    @property
    def values(self) -> Tensor:
        """The memory, with zeros behind the lengths."""
        return self._values

    @property
    def keys(self) -> Tensor:
        """What queries are compared with."""
        return self._keys

    @property
    def batch_size(self) -> Any:
        """How many memories there are."""
        return self._batch_size

    @property
    def alignments_size(self) -> Any:
        """How many states there are."""
        return self._alignments_size

    @property
    def state_size(self) -> Any:
        """The same: the last weights go from step to step."""
        return self._alignments_size

    def initial_alignments(self, batch_size: Any, dtype: Any) -> Tensor:
        """Zeros for the weights `[batch, length]`."""
        found: Tensor = zero_states(self._alignments_size, batch_size, dtype)
        return found

    def initial_state(self, batch_size: Any, dtype: Any) -> Tensor:
        """What goes into the first step."""
        return self.initial_alignments(batch_size, dtype)

    def weights(self, score: Tensor) -> Tensor:
        """The weights for scores `[batch, length]`."""
        if self._lengths is not None:
            message = "All values in memory_sequence_length must greater than zero."
            check = assert_positive(self._lengths, message=message)
            with get_default_graph().control_dependencies([check]):
                mask = sequence_mask(self._lengths, maxlen=shape_of(score)[1])
                score = where(mask, score, self._mask_value * ones_like(score))
        found: Tensor = self._probability_fn(score)
        return found


def _masked(memory: Any, lengths: Any, checks: bool) -> Any:
    """The memory with zeros behind the lengths."""
    memory = convert_to_tensor(memory, name="memory")
    if checks and not memory.shape[2:].is_fully_defined():
        raise ValueError(
            f"Expected memory {memory.name} to have fully defined inner dims, but saw shape: "
            f"{memory.shape}"
        )
    if lengths is None:
        return memory
    mask = sequence_mask(lengths, maxlen=shape_of(memory)[1], dtype=memory.dtype)
    rank = memory.shape.ndims
    if rank is None:
        raise ValueError(f"The rank of memory {memory.name} must be known.")
    sizes = shape_of(mask)
    return memory * reshape(mask, [sizes[0], sizes[1], *[1] * (rank - 2)])


@export("contrib.seq2seq.LuongAttention")
class LuongAttention(OverMemory):
    """Scores are products of query and keys (Luong et al. 2015, arXiv 1508.04025).

    Args:
        num_units: size of the keys, and of queries.
        memory: `[batch, length, ...]`.
        memory_sequence_length: int `[batch]`; None lets all states count.
        scale: whether scores are scaled by a variable.
        probability_fn: makes weights of scores; softmax when None.
        score_mask_value: score of states behind the lengths; minus infinity when None.
        dtype: of the layer over the memory; float32 when None.
        name: name scope of the operations.
    """

    def __init__(
        self,
        num_units: int,
        memory: Any,
        memory_sequence_length: Any = None,
        scale: bool = False,
        probability_fn: Callable[[Any], Any] | None = None,
        score_mask_value: Any = None,
        dtype: Any = None,
        name: str = "LuongAttention",
    ) -> None:
        dtype = as_dtype(float32 if dtype is None else dtype)
        super().__init__(
            None,
            memory,
            probability_fn,
            memory_sequence_length,
            Dense(num_units, name="memory_layer", use_bias=False, dtype=dtype),
            score_mask_value=score_mask_value,
        )
        self._num_units = num_units
        self._scale = scale
        self._name = name

    def __call__(self, query: Any, state: Any) -> tuple[Tensor, Tensor]:
        """The weights `[batch, length]`, and what goes into the next step, which they are.

        Raises:
            ValueError: the query has not the size of the keys.
        """
        with variable_scope(None, "luong_attention"):
            depth, units = query.shape.as_list()[-1], self.keys.shape.as_list()[-1]
            if depth != units:
                raise ValueError(
                    "Incompatible or unknown inner dimensions between query and keys.  Query "
                    f"({query}) has units: {depth}.  Keys ({self.keys}) have units: {units}.  "
                    "Perhaps you need to set num_units to the keys' dimension "
                    f"({units})?"
                )
            score = squeeze(matmul(expand_dims(query, 1), self.keys, transpose_b=True), [1])
            if self._scale:
                score = score * get_variable("attention_g", [], query.dtype, Ones())
            alignments = self.weights(score)
        return alignments, alignments


@export("contrib.seq2seq.BahdanauAttention")
class BahdanauAttention(OverMemory):
    """Scores are sums `v * tanh(query + key)` (Bahdanau et al. 2014, arXiv 1409.0473).

    Args:
        num_units: size in which query and keys are added.
        memory: `[batch, length, ...]`.
        memory_sequence_length: int `[batch]`; None lets all states count.
        normalize: whether `v` is normalized, and there is a bias (Salimans and Kingma 2016).
        probability_fn: makes weights of scores; softmax when None.
        score_mask_value: score of states behind the lengths; minus infinity when None.
        dtype: of the layers; float32 when None.
        name: name scope of the operations.
    """

    def __init__(
        self,
        num_units: int,
        memory: Any,
        memory_sequence_length: Any = None,
        normalize: bool = False,
        probability_fn: Callable[[Any], Any] | None = None,
        score_mask_value: Any = None,
        dtype: Any = None,
        name: str = "BahdanauAttention",
    ) -> None:
        dtype = as_dtype(float32 if dtype is None else dtype)
        super().__init__(
            Dense(num_units, name="query_layer", use_bias=False, dtype=dtype),
            memory,
            probability_fn,
            memory_sequence_length,
            Dense(num_units, name="memory_layer", use_bias=False, dtype=dtype),
            score_mask_value=score_mask_value,
        )
        self._num_units = num_units
        self._normalize = normalize
        self._name = name

    def __call__(self, query: Any, state: Any) -> tuple[Tensor, Tensor]:
        """The weights `[batch, length]`, and what goes into the next step, which they are."""
        with variable_scope(None, "bahdanau_attention"):
            dtype = query.dtype.base_dtype
            summed = self.keys + expand_dims(self._query_layer(query), 1)
            v = get_variable("attention_v", [self._num_units], dtype)
            if self._normalize:
                begin = Constant(math.sqrt(1.0 / self._num_units))
                g = get_variable("attention_g", [], dtype, begin)
                b = get_variable("attention_b", [self._num_units], dtype, Zeros())
                v = g * v * rsqrt(reduce_sum(square(v)))
                summed = summed + b
            alignments = self.weights(reduce_sum(v * tanh(summed), [2]))
        return alignments, alignments
