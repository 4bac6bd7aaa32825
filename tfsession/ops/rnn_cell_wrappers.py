"""Cells made of other cells: several in a row, with dropout, with residuals, on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.ops.dropout import dropout
from tfsession.ops.elementwise import divide
from tfsession.ops.join import concat
from tfsession.ops.random import random_uniform
from tfsession.ops.rnn_cell import RNNCell, assert_like_rnncell, cell_names
from tfsession.ops.rnn_cell_lstm import LSTMStateTuple
from tfsession.ops.slice import slice_
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.unary import floor
from tfsession.ops.variable_scope import variable_scope


class _MadeOfCells(RNNCell):
    """A cell whose variables are those of other cells."""

    def _inner(self) -> Sequence[Any]:
        raise NotImplementedError

    @property
    def trainable_weights(self) -> list[Any]:
        """The variables of the cells that are trained."""
        if not self.trainable:
            return []
        return self._weights_of("trainable_weights")

    @property
    def non_trainable_weights(self) -> list[Any]:
        """The other variables of the cells."""
        others = self._weights_of("non_trainable_weights")
        return others if self.trainable else self._weights_of("trainable_weights") + others

    def _weights_of(self, kind: str) -> list[Any]:
        found: list[Any] = []
        for cell in self._inner():
            for weight in getattr(cell, kind, ()):
                if all(weight is not other for other in found):
                    found.append(weight)
        return found


@export(*cell_names("MultiRNNCell"))
class MultiRNNCell(_MadeOfCells):
    """Cells in a row: the output of each is the input of the next.

    Args:
        cells: the cells, as a list or tuple.
        state_is_tuple: whether the state is a tuple of theirs, or one tensor of all, joined.

    Raises:
        TypeError: `cells` is neither list nor tuple.
        ValueError: there are none, or nested states cannot be joined.
    """

    def __init__(self, cells: Any, state_is_tuple: bool = True) -> None:
        super().__init__()
        if not cells:
            raise ValueError("Must specify at least one cell for MultiRNNCell.")
        if not nest.is_nested(cells):
            raise TypeError(f"cells must be a list or tuple, but saw: {cells}.")
        self._cells = cells
        self._state_is_tuple = state_is_tuple
        if not state_is_tuple and any(nest.is_nested(c.state_size) for c in cells):
            raise ValueError(
                "Some cells return tuples of states, but the flag state_is_tuple is not set.  "
                f"State sizes are: {[c.state_size for c in cells]}"
            )

    def _inner(self) -> Sequence[Any]:
        cells: Sequence[Any] = self._cells
        return cells

    @property
    def state_size(self) -> Any:
        """A tuple of the cells' sizes, or their sum."""
        if self._state_is_tuple:
            return tuple(cell.state_size for cell in self._cells)
        return sum(cell.state_size for cell in self._cells)

    @property
    def output_size(self) -> Any:
        """The size of the last cell's output."""
        return self._cells[-1].output_size

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """The cells' own first states."""
        with get_default_graph().name_scope(f"{type(self).__name__}ZeroState"):
            if self._state_is_tuple:
                return tuple(cell.zero_state(batch_size, dtype) for cell in self._cells)
            return super().zero_state(batch_size, dtype)

    def call(self, inputs: Any, state: Any = None) -> Any:
        """The last cell's output, and the new states."""
        if self._state_is_tuple and not nest.is_nested(state):
            raise ValueError(
                f"Expected state to be a tuple of length {len(self.state_size)}, but received: "
                f"{state}"
            )
        at, states = 0, []
        for number, cell in enumerate(self._cells):
            with variable_scope(f"cell_{number}"):
                if self._state_is_tuple:
                    own = state[number]
                else:
                    own = slice_(state, [0, at], [-1, cell.state_size])
                    at += cell.state_size
                inputs, new_state = cell(inputs, own)
                states.append(new_state)
        return inputs, tuple(states) if self._state_is_tuple else concat(states, 1)


class _Wrapper(_MadeOfCells):
    """A cell around one other, called under its scope; `cell` is the one inside."""

    def __init__(self, cell: Any, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        assert_like_rnncell("cell", cell)
        self.cell = cell

    def _inner(self) -> Sequence[Any]:
        return (self.cell,)

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Any:
        """The output and the new state."""
        return self._call_wrapped_cell(inputs, state, self.cell.__call__, scope=scope)

    def _call_wrapped_cell(
        self, inputs: Any, state: Any, cell_call_fn: Callable[..., Any], **kwargs: Any
    ) -> Any:
        raise NotImplementedError

    @property
    def wrapped_cell(self) -> Any:
        """The cell inside."""
        return self.cell

    @property
    def state_size(self) -> Any:
        """That of the cell inside."""
        return self.cell.state_size

    @property
    def output_size(self) -> Any:
        """That of the cell inside."""
        return self.cell.output_size

    def build(self, input_shape: Any) -> None:
        """Build the cell inside."""
        self.cell.build(input_shape)
        self.built = True

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """That of the cell inside."""
        with get_default_graph().name_scope(f"{type(self).__name__}ZeroState"):
            return self.cell.zero_state(batch_size, dtype)


@export(*cell_names("DropoutWrapper"))
class DropoutWrapper(_Wrapper):
    """Dropout of the inputs, outputs or states of a cell.

    Args:
        cell: the cell.
        input_keep_prob, output_keep_prob, state_keep_prob: probabilities that an element is kept,
            numbers or scalar tensors; of an LSTMStateTuple only `h` is dropped from.
        variational_recurrent: drop the same elements in each step of one run (Gal and Ghahramani
            2015, arXiv 1512.05287).
        input_size: sizes of the inputs without the batch, needed for that with `input_keep_prob`.
        dtype: of what is drawn for that.
        seed: number from which the draws follow.
        dropout_state_filter_visitor: function of a state or part of it that tells with bools, in
            its form, what is dropped from.
        kwargs: as for `tf.layers.Layer`.

    Raises:
        TypeError: the cell is none, or the visitor no function.
        ValueError: a probability is out of range, or `dtype` or `input_size` is missing.
    """

    def __init__(
        self,
        cell: Any,
        input_keep_prob: Any = 1.0,
        output_keep_prob: Any = 1.0,
        state_keep_prob: Any = 1.0,
        variational_recurrent: bool = False,
        input_size: Any = None,
        dtype: Any = None,
        seed: int | None = None,
        dropout_state_filter_visitor: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cell, dtype=dtype, **kwargs)
        if dropout_state_filter_visitor is not None and not callable(dropout_state_filter_visitor):
            raise TypeError("dropout_state_filter_visitor must be callable")
        self._filter = dropout_state_filter_visitor or _all_but_memories
        self._seed = seed
        self._noise: dict[str, Any] = {}
        with get_default_graph().name_scope("DropoutWrapperInit"):
            given = {"input": input_keep_prob, "state": state_keep_prob, "output": output_keep_prob}
            self._keep = {what: _probability(f"{what}_keep_prob", p) for what, p in given.items()}
        if variational_recurrent:
            self._draw(input_size, dtype)

    def _draw(self, input_size: Any, dtype: Any) -> None:
        """What is the same in all steps: numbers that tell which elements are dropped."""
        if dtype is None:
            raise ValueError("When variational_recurrent=True, dtype must be provided")
        sizes = {"state": self.cell.state_size, "output": self.cell.output_size}
        if _drops(self._keep["input"]):
            if input_size is None:
                raise ValueError(
                    "When variational_recurrent=True and input_keep_prob < 1.0 or is unknown, "
                    "input_size must be provided"
                )
            sizes = {"input": input_size, **sizes}
        for what, size in sizes.items():
            shapes = [TensorShape(leaf).as_list() for leaf in nest.flatten(size)]
            drawn = [
                random_uniform(concat([[1], shape], 0), seed=self._seed_of(what, i), dtype=dtype)
                for i, shape in enumerate(shapes)
            ]
            self._noise[what] = nest.pack(size, drawn)

    def _seed_of(self, what: str, number: int) -> int | None:
        """A seed for each part of inputs, outputs and states."""
        if self._seed is None:
            return None
        import hashlib  # noqa: PLC0415  (it loads a library for cryptography)

        text = f"{self._seed}{what}_{number}".encode()
        return int(hashlib.md5(text).hexdigest()[:8], 16) & 0x7FFFFFFF

    def _dropped(self, what: str, values: Any, shallow: Any = None) -> Any:
        """The values with elements dropped where `shallow` does not say False."""
        keep = self._keep[what]
        if not _drops(keep):
            return values
        shallow = values if shallow is None else shallow
        wanted, parts = nest.flatten(shallow), nest.flatten_up_to(shallow, values)
        fixed = self._noise.get(what)
        noises = [None] * len(parts) if fixed is None else nest.flatten_up_to(shallow, fixed)
        results = []
        for number, (part, noise) in enumerate(zip(parts, noises, strict=True)):
            if wanted[number] is False:
                results.append(part)
            elif noise is None:
                seed = self._seed_of(what, number)
                results.append(dropout(part, rate=1.0 - keep, seed=seed))
            else:
                mask = floor(keep + noise)
                result = divide(part, keep) * mask
                result.set_shape(part.shape)
                results.append(result)
        return nest.pack(shallow, results)

    def _call_wrapped_cell(
        self, inputs: Any, state: Any, cell_call_fn: Callable[..., Any], **kwargs: Any
    ) -> Any:
        output, new_state = cell_call_fn(self._dropped("input", inputs), state, **kwargs)
        if _drops(self._keep["state"]):
            new_state = self._dropped("state", new_state, _chosen(self._filter, new_state))
        return self._dropped("output", output), new_state


def _probability(name: str, value: Any) -> Any:
    tensor = convert_to_tensor(value)
    known = constant_value(tensor)
    if known is None:
        return tensor
    if not 0 <= known <= 1:
        raise ValueError(f"Parameter {name} must be between 0 and 1: {float(known):g}")
    return float(known)


def _drops(keep: Any) -> bool:
    return not isinstance(keep, float) or keep < 1


def _all_but_memories(part: Any) -> Any:
    """What is dropped from unless told: all but the memories of LSTM cells and arrays."""
    if isinstance(part, LSTMStateTuple):
        return LSTMStateTuple(c=False, h=True)
    return not isinstance(part, TensorArray)


def _chosen(choose: Callable[[Any], Any], structure: Any) -> Any:
    """A structure of bools that ends where `choose` says False."""
    wanted = choose(structure)
    if not nest.is_nested(structure) or wanted is False:
        if not isinstance(wanted, bool):
            raise TypeError(f"The state's filter gave {wanted!r} for {structure}, and no bool.")
        return wanted
    one_deep = nest.parts_of(structure)
    wishes = [True] * len(one_deep) if wanted is True else nest.parts_of(wanted)
    chosen = [
        _chosen(choose, part) if wish else False
        for part, wish in zip(one_deep, wishes, strict=True)
    ]
    return nest.with_parts(structure, chosen)


@export(*cell_names("ResidualWrapper"))
class ResidualWrapper(_Wrapper):
    """A cell whose inputs are added to its outputs.

    Args:
        cell: the cell.
        residual_fn: function of inputs and outputs that takes the sum's place.
        kwargs: as for `tf.layers.Layer`.

    Raises:
        TypeError, ValueError: in a call, inputs and outputs differ in form or shape.
    """

    def __init__(
        self, cell: Any, residual_fn: Callable[[Any, Any], Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cell, **kwargs)
        self._residual_fn = residual_fn

    def _call_wrapped_cell(
        self, inputs: Any, state: Any, cell_call_fn: Callable[..., Any], **kwargs: Any
    ) -> Any:
        outputs, new_state = cell_call_fn(inputs, state, **kwargs)
        return (self._residual_fn or _summed)(inputs, outputs), new_state


def _summed(inputs: Any, outputs: Any) -> Any:
    nest.check_same(inputs, outputs)
    for one, other in zip(nest.flatten(inputs), nest.flatten(outputs), strict=True):
        one.shape.assert_is_compatible_with(other.shape)
    return nest.map_structure(lambda one, other: one + other, inputs, outputs)


@export(*cell_names("DeviceWrapper"))
class DeviceWrapper(_Wrapper):
    """A cell on a device of its own.

    Args:
        cell: the cell.
        device: device or device function, as for `tf.device`.
        kwargs: as for `tf.layers.Layer`.
    """

    def __init__(self, cell: Any, device: Any, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self._device = device

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """That of the cell inside, on the device."""
        with (
            get_default_graph().name_scope(f"{type(self).__name__}ZeroState"),
            get_default_graph().device(self._device),
        ):
            return self.cell.zero_state(batch_size, dtype)

    def _call_wrapped_cell(
        self, inputs: Any, state: Any, cell_call_fn: Callable[..., Any], **kwargs: Any
    ) -> Any:
        with get_default_graph().device(self._device):
            return cell_call_fn(inputs, state, **kwargs)
