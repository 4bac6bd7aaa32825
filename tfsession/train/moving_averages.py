"""Moving averages: variables that follow others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tfsession.core import dtypes
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.cast import cast
from tfsession.ops.constant import group
from tfsession.ops.elementwise import divide, minimum, pow, truediv
from tfsession.ops.initializers import Zeros
from tfsession.ops.state import assign, assign_sub
from tfsession.ops.variable_scope import get_variable, get_variable_scope, variable_scope
from tfsession.ops.variables import (
    Variable,
    global_variables,
    moving_average_variables,
    trainable_variables,
)
from tfsession.train.slots import create_slot, create_zeros_slot

_AVERAGED = (dtypes.bfloat16, dtypes.float16, dtypes.float32, dtypes.float64)


@export("python.training.moving_averages.assign_moving_average")
def assign_moving_average(
    variable: Any, value: Any, decay: Any, zero_debias: bool = True, name: str | None = None
) -> Any:
    """Move `variable` towards `value`: `variable * decay + value * (1 - decay)`.

    Args:
        variable: the average.
        value: what it follows.
        decay: how much of it stays.
        zero_debias: give the average of the values seen so far, as though it had not begun at
            zero (Kingma and Ba, 2015); two more variables keep what that needs.
        name: name of the update.

    Returns:
        The updated variable.
    """
    with get_default_graph().name_scope(name or "AssignMovingAvg") as scope:
        rate = convert_to_tensor(1.0 - decay, name="decay")
        if rate.dtype != variable.dtype.base_dtype:
            rate = cast(rate, variable.dtype.base_dtype)
        if zero_debias:
            return _without_bias(variable, value, rate)
        with get_default_graph().colocate_with(variable.op):
            return assign_sub(variable, (variable - value) * rate, name=scope)


def _without_bias(variable: Any, value: Any, rate: Any) -> Any:
    graph, dtype = get_default_graph(), variable.dtype.base_dtype
    with variable_scope(variable.name[: -len(":0")]), graph.colocate_with(variable.op):
        biased = get_variable(_unused("biased"), variable.shape, dtype, Zeros(), trainable=False)
        count = get_variable(_unused("local_step"), [], dtype, Zeros(), trainable=False)
    with graph.colocate_with(variable.op):
        sums = assign_sub(biased, (biased - value) * rate)
        steps = count.assign_add(1)
        weight = 1 - pow(1.0 - rate, steps)
        return assign(variable, sums / weight, name=graph.get_name_scope() + "/")


def _unused(name: str) -> str:
    """The name, with a number where the scope has such a variable and does not reuse it."""
    scope = get_variable_scope()
    if scope.reuse:
        return name
    taken = {variable.op.name for variable in scope.global_variables()}
    full, number = f"{scope.name}/{name}", 0
    while (full if not number else f"{full}_{number}") in taken:
        number += 1
    return f"{name}_{number}" if number else name


@export("python.training.moving_averages.weighted_moving_average")
def weighted_moving_average(
    value: Any,
    decay: Any,
    weight: Any,
    truediv: bool = True,
    collections: list[str] | None = None,
    name: str | None = None,
) -> Any:
    """The moving average of values of different weight."""
    keys = [GraphKeys.GLOBAL_VARIABLES] if collections is None else collections
    with variable_scope(name, "WeightedMovingAvg") as scope:
        sums, weights = (
            get_variable(
                key, tensor.shape, tensor.dtype, Zeros(), trainable=False, collections=keys
            )
            for key, tensor in (("value_x_weight", value), ("weight", weight))
        )
        above = assign_moving_average(sums, value * weight, decay, zero_debias=False)
        below = assign_moving_average(weights, weight, decay, zero_debias=False)
        return (_TRUE if truediv else divide)(above, below, name=scope.name)


_TRUE = truediv


@export("train.ExponentialMovingAverage")
class ExponentialMovingAverage:
    """Averages of variables, which follow them as training goes on.

    Args:
        decay: how much of an average stays at each update.
        num_updates: a count; the decay is at most `(1 + num_updates) / (10 + num_updates)`.
        zero_debias: for averages of tensors: as though they had not begun at zero.
        name: the last part of the names of the averages.
    """

    def __init__(
        self,
        decay: Any,
        num_updates: Any = None,
        zero_debias: bool = False,
        name: str = "ExponentialMovingAverage",
    ) -> None:
        self._decay = decay
        self._num_updates = num_updates
        self._zero_debias = zero_debias
        self._name = name
        self._averages: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        """The last part of the names of the averages."""
        return self._name

    def apply(self, var_list: Iterable[Any] | None = None) -> Any:
        """The operation that moves the averages; makes those that do not exist yet.

        Args:
            var_list: variables and tensors; the trainable variables when None.

        Raises:
            TypeError: one of them is not of floating type.
        """
        found = trainable_variables() if var_list is None else list(var_list)
        graph, without_bias = get_default_graph(), set()
        for var in found:
            if var.dtype.base_dtype not in _AVERAGED:
                raise TypeError(f"The variables must be half, float, or double: {var.name}")
            if var not in self._averages:
                with graph.control_dependencies(None):
                    self._averages[var] = self._average_of(var)
                if self._zero_debias and not isinstance(var, Variable):
                    without_bias.add(var)
        with graph.name_scope(self._name) as scope:
            decay = convert_to_tensor(self._decay, dtype=dtypes.float32, name="decay")
            if self._num_updates is not None:
                count = cast(self._num_updates, dtypes.float32, name="num_updates")
                decay = minimum(decay, (1.0 + count) / (10.0 + count))
            updates = [
                assign_moving_average(self._averages[var], var, decay, var in without_bias)
                for var in found
            ]
            return group(*updates, name=scope)

    def _average_of(self, var: Any) -> Any:
        graph = get_default_graph()
        if not isinstance(var, Variable):
            beside = var.op.type in ("Variable", "VariableV2", "VarHandleOp")
            return create_zeros_slot(var, self._name, colocate=beside)
        with graph.device(var.device):
            start = var.initialized_value()
        average = create_slot(var, start, self._name)
        graph.add_to_collection(GraphKeys.MOVING_AVERAGE_VARIABLES, var)
        return average

    def average(self, var: Any) -> Any:
        """The average of a variable or tensor; None before `apply` was called with it."""
        return self._averages.get(var)

    def average_name(self, var: Any) -> str:
        """The name of the average of a variable, also before it is there."""
        if var in self._averages:
            name: str = self._averages[var].op.name
            return name
        graph = get_default_graph()
        return graph.unique_name(f"{var.name[: -len(':0')]}/{self._name}", mark_as_used=False)

    def variables_to_restore(self, moving_avg_variables: Any = None) -> dict[str, Any]:
        """For a Saver that loads averages in place of variables: variables by name in checkpoints.

        Args:
            moving_avg_variables: those to load the averages of; the trainable ones, and all that
                have an average, when None.
        """
        if moving_avg_variables is None:
            averaged = dict.fromkeys([*trainable_variables(), *moving_average_variables()])
        else:
            averaged = dict.fromkeys(moving_avg_variables)
        by_name = {self.average_name(var): var for var in averaged}
        names = {var.name for var in averaged}
        for var in global_variables():
            if var.name not in names and var.op.name not in by_name:
                by_name[var.op.name] = var
        return by_name
