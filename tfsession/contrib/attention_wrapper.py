"""A cell with attention: `tf.contrib.seq2seq.AttentionWrapper`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from tfsession.contrib.attention import AttentionMechanism
from tfsession.core import nest
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.check import assert_equal
from tfsession.ops.constant import identity, zeros
from tfsession.ops.join import concat
from tfsession.ops.layer_dense import Dense
from tfsession.ops.matmul import matmul
from tfsession.ops.rnn_cell import RNNCell, assert_like_rnncell, zero_states
from tfsession.ops.shape import expand_dims, squeeze
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.tensor_array import TensorArray

_FIELDS = ("cell_state", "attention", "time", "alignments", "alignment_history", "attention_state")


@export("contrib.seq2seq.AttentionWrapperState")
class AttentionWrapperState(namedtuple("AttentionWrapperState", _FIELDS)):
    """State of an AttentionWrapper: the cell's; what was attended to; the number of the step; the
    weights; those of all steps; what the mechanisms keep.
    """

    __slots__ = ()

    def clone(self, **kwargs: Any) -> AttentionWrapperState:
        """A copy with other fields, whose tensors have the shapes of those they replace.

        Raises:
            ValueError: shapes that do not go together.
        """

        def with_shape(old: Any, new: Any) -> Any:
            if isinstance(old, Tensor) and isinstance(new, Tensor):
                new = identity(new) if new.shape.ndims is None else new
                new.set_shape(old.shape)
            return new

        return nest.map_structure(with_shape, self, self._replace(**kwargs))


@export("contrib.seq2seq.AttentionWrapper")
class AttentionWrapper(RNNCell):
    """A cell that attends to memories after each step, and reads what it found in the next.

    Args:
        cell: the cell.
        attention_mechanism: a mechanism, or a list of them.
        attention_layer_size: size of a layer over output and what was found, or a list of sizes;
            None takes what was found as it is.
        alignment_history: whether the weights of all steps are kept, in TensorArrays.
        cell_input_fn: makes what the cell reads of inputs and of what was found; joins them when
            None.
        output_attention: whether what was found is the output; else the cell's is.
        initial_cell_state: state that `zero_state` begins with; the cell's own when None.
        name: name of the layer.
        attention_layer: a layer, or list of layers, in place of `attention_layer_size`.
        attention_fn: function of mechanism, cell output, its state and layer that gives what was
            found, the weights and the mechanism's next state; as described when None.
        dtype: dtype of the layer.

    Raises:
        TypeError: objects of other kinds.
        ValueError: lists of other lengths, or both sizes and layers.
    """

    def __init__(
        self,
        cell: Any,
        attention_mechanism: Any,
        attention_layer_size: Any = None,
        alignment_history: bool = False,
        cell_input_fn: Callable[[Any, Any], Any] | None = None,
        output_attention: bool = True,
        initial_cell_state: Any = None,
        name: str | None = None,
        attention_layer: Any = None,
        attention_fn: Callable[..., Any] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        assert_like_rnncell("cell", cell)
        self._is_several = isinstance(attention_mechanism, list | tuple)
        self._mechanisms = (
            tuple(attention_mechanism) if self._is_several else (attention_mechanism,)
        )
        for mechanism in self._mechanisms:
            if not isinstance(mechanism, AttentionMechanism):
                raise TypeError(
                    "attention_mechanism must be an AttentionMechanism or list of multiple "
                    f"AttentionMechanism instances, saw type: {type(mechanism).__name__}"
                )
        if cell_input_fn is not None and not callable(cell_input_fn):
            raise TypeError(
                f"cell_input_fn must be callable, saw type: {type(cell_input_fn).__name__}"
            )
        self._cell = cell
        self._cell_input_fn = cell_input_fn or (lambda inputs, found: concat([inputs, found], -1))
        self._layers = self._attention_layers(attention_layer_size, attention_layer, dtype)
        self._attention_size = self._size_of_attention()
        self._attention_fn = attention_fn or _attend
        self._output_attention = output_attention
        self._alignment_history = alignment_history
        self._initial_cell_state = None
        if initial_cell_state is not None:
            with get_default_graph().name_scope(name or "AttentionWrapperInit"):
                last = nest.flatten(initial_cell_state)[-1]
                with self._checked(_batch_size(last)):
                    self._initial_cell_state = nest.map_structure(
                        lambda s: identity(s, name="check_initial_cell_state"), initial_cell_state
                    )

    def _attention_layers(self, sizes: Any, layers: Any, dtype: Any) -> tuple[Any, ...] | None:
        if sizes is not None and layers is not None:
            raise ValueError("Only one of attention_layer_size and attention_layer should be set")
        if sizes is not None:
            what, given = "attention_layer_size", sizes
        else:
            what, given = "attention_layer", layers
        if given is None:
            return None
        given = tuple(given) if isinstance(given, list | tuple) else (given,)
        if len(given) != len(self._mechanisms):
            raise ValueError(
                f"If provided, {what} must contain exactly one integer per attention_mechanism, "
                f"saw: {len(given)} vs {len(self._mechanisms)}"
            )
        if layers is not None:
            return given
        return tuple(
            Dense(size, name="attention_layer", use_bias=False, dtype=dtype) for size in given
        )

    def _size_of_attention(self) -> Any:
        total = 0
        for number, mechanism in enumerate(self._mechanisms):
            depth = mechanism.values.shape.as_list()[-1]
            if self._layers is not None:
                joined = TensorShape([None, self._cell.output_size + depth])
                depth = self._layers[number].compute_output_shape(joined).as_list()[-1]
            total += depth
        return total

    def _checked(self, batch_size: Any) -> Any:
        """Operations made inside check that memories are as many as there are states."""
        message = (
            f"When calling AttentionWrapper {self._base_name}: Non-matching batch sizes between "
            "the memory (encoder output) and the query (decoder output).  Are you using the "
            "BeamSearchDecoder?  You may need to tile your memory input via the tf.contrib.seq2seq."
            "tile_batch function with argument multiple=beam_width."
        )
        checks = [assert_equal(batch_size, m.batch_size, message=message) for m in self._mechanisms]
        return get_default_graph().control_dependencies(checks)

    def _one_or_tuple(self, items: Any) -> Any:
        found = tuple(items)
        return found if self._is_several else found[0]

    @property
    def output_size(self) -> Any:
        """The size of what is found, or the cell's."""
        return self._attention_size if self._output_attention else self._cell.output_size

    @property
    def state_size(self) -> Any:
        """Sizes, as an AttentionWrapperState."""
        sizes = [m.alignments_size for m in self._mechanisms]
        return AttentionWrapperState(
            cell_state=self._cell.state_size,
            time=TensorShape([]),
            attention=self._attention_size,
            alignments=self._one_or_tuple(sizes),
            attention_state=self._one_or_tuple(m.state_size for m in self._mechanisms),
            alignment_history=self._one_or_tuple(
                size if self._alignment_history else () for size in sizes
            ),
        )

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """The first state: zeros, but for the cell's.

        The batch must be that of the memories, which a run checks.
        """
        with get_default_graph().name_scope(f"{type(self).__name__}ZeroState"):
            state = self._initial_cell_state
            if state is None:
                state = self._cell.zero_state(batch_size, dtype)
            with self._checked(batch_size):
                state = nest.map_structure(lambda s: identity(s, name="checked_cell_state"), state)
            weights = [m.initial_alignments(batch_size, dtype) for m in self._mechanisms]
            return AttentionWrapperState(
                cell_state=state,
                time=zeros([], int32),
                attention=zero_states(self._attention_size, batch_size, dtype),
                alignments=self._one_or_tuple(weights),
                attention_state=self._one_or_tuple(
                    m.initial_state(batch_size, dtype) for m in self._mechanisms
                ),
                alignment_history=self._one_or_tuple(
                    TensorArray(dtype, 0, True, element_shape=each.shape)
                    if self._alignment_history
                    else ()
                    for each in weights
                ),
            )

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The output and the new state.

        Raises:
            TypeError: the state is no AttentionWrapperState.
        """
        if not isinstance(state, AttentionWrapperState):
            raise TypeError(
                "Expected state to be instance of AttentionWrapperState. Received type "
                f"{type(state)} instead."
            )
        given = self._cell_input_fn(inputs, state.attention)
        output, cell_state = self._cell(given, state.cell_state)
        with self._checked(_batch_size(output)):
            output = identity(output, name="checked_cell_output")
        if self._is_several:
            states, histories = state.attention_state, state.alignment_history
        else:
            states, histories = [state.attention_state], [state.alignment_history]
        found, weights, kept, written = [], [], [], []
        for number, mechanism in enumerate(self._mechanisms):
            layer = None if self._layers is None else self._layers[number]
            attention, alignments, own = self._attention_fn(
                mechanism, output, states[number], layer
            )
            history = histories[number]
            written.append(
                history.write(state.time, alignments) if self._alignment_history else ()
            )  # fmt: skip
            found.append(attention)
            weights.append(alignments)
            kept.append(own)
        attention = concat(found, 1)
        new_state = AttentionWrapperState(
            time=state.time + 1,
            cell_state=cell_state,
            attention=attention,
            attention_state=self._one_or_tuple(kept),
            alignments=self._one_or_tuple(weights),
            alignment_history=self._one_or_tuple(written),
        )
        return attention if self._output_attention else output, new_state


def _batch_size(tensor: Tensor) -> Any:
    known = tensor.shape.as_list()[0]
    return shape_of(tensor)[0] if known is None else known


def _attend(mechanism: Any, cell_output: Any, state: Any, layer: Any) -> tuple[Any, Any, Any]:
    """What is found, the weights, and the mechanism's next state."""
    alignments, next_state = mechanism(cell_output, state)
    found = squeeze(matmul(expand_dims(alignments, 1), mechanism.values), [1])
    attention = found if layer is None else layer(concat([cell_output, found], 1))
    return attention, alignments, next_state
