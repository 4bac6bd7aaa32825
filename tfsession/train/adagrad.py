"""Adagrad in its forms: Duchi, Hazan and Singer, 2011."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.exports import export
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import constant, fill, identity
from tfsession.ops.initializers import Constant
from tfsession.ops.shape import shape as shape_of
from tfsession.train.fused import FusedOptimizer
from tfsession.train.optimizer import HyperParameter


@export("train.AdagradOptimizer")
class AdagradOptimizer(FusedOptimizer):
    """Each element's rate falls with the sum of the squares of its gradients.

    Raises:
        ValueError: the sums would not begin above zero.
    """

    slots = ("accumulator",)

    def __init__(
        self,
        learning_rate: HyperParameter,
        initial_accumulator_value: float = 0.1,
        use_locking: bool = False,
        name: str = "Adagrad",
    ) -> None:
        _check_positive("initial_accumulator_value", initial_accumulator_value)
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._initial_accumulator_value = initial_accumulator_value

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        start = self._initial_accumulator_value
        for var in var_list:
            dtype = var.dtype.base_dtype
            initial: Any = Constant(start, dtype=dtype)
            if not var.shape.is_fully_defined():
                initial = cast(fill(shape_of(var), start), dtype)
                self._get_or_make_slot(var, initial, "accumulator", self._name)
                continue
            self._get_or_make_slot_with_initializer(
                var, initial, var.shape, dtype, "accumulator", self._name
            )

    def _prepare(self) -> None:
        self._learning_rate_tensor = self._hyperparameter(self._learning_rate, "learning_rate")

    def _operation(self) -> str:
        return "Adagrad"

    def _before(self) -> Sequence[Tensor]:
        return (self._learning_rate_tensor,)


@export("train.ProximalAdagradOptimizer")
class ProximalAdagradOptimizer(FusedOptimizer):
    """Adagrad, then a step towards zero (Duchi and Singer, 2009).

    Raises:
        ValueError: the sums would not begin above zero.
    """

    slots = ("accumulator",)

    def __init__(
        self,
        learning_rate: HyperParameter,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "ProximalAdagrad",
    ) -> None:
        _check_positive("initial_accumulator_value", initial_accumulator_value)
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._initial_accumulator_value = initial_accumulator_value
        self._l1 = l1_regularization_strength
        self._l2 = l2_regularization_strength

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            start = _everywhere(var, self._initial_accumulator_value)
            self._get_or_make_slot(var, start, "accumulator", self._name)

    def _prepare(self) -> None:
        self._numbers = (
            self._hyperparameter(self._learning_rate, "learning_rate"),
            self._hyperparameter(self._l1, "l1_regularization_strength"),
            self._hyperparameter(self._l2, "l2_regularization_strength"),
        )

    def _operation(self) -> str:
        return "ProximalAdagrad"

    def _before(self) -> Sequence[Tensor]:
        return self._numbers


@export("train.AdagradDAOptimizer")
class AdagradDAOptimizer(FusedOptimizer):
    """Adagrad by dual averaging: variables are computed anew from all gradients so far.

    Raises:
        ValueError: the sums of squares would not begin above zero.
    """

    slots = ("gradient_accumulator", "gradient_squared_accumulator")

    def __init__(
        self,
        learning_rate: HyperParameter,
        global_step: Any,
        initial_gradient_squared_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "AdagradDA",
    ) -> None:
        _check_positive(
            "initial_gradient_squared_accumulator_value",
            initial_gradient_squared_accumulator_value,
        )
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._global_step = global_step
        self._initial = initial_gradient_squared_accumulator_value
        self._l1 = l1_regularization_strength
        self._l2 = l2_regularization_strength

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            sums, squares = _everywhere(var, 0.0), _everywhere(var, self._initial)
            self._get_or_make_slot(var, sums, "gradient_accumulator", self._name)
            self._get_or_make_slot(var, squares, "gradient_squared_accumulator", self._name)

    def _prepare(self) -> None:
        self._learning_rate_tensor = self._hyperparameter(self._learning_rate, "learning_rate")
        with get_default_graph().colocate_with(self._learning_rate_tensor):
            self._step = identity(self._global_step) + 1

    def _operation(self) -> str:
        return "AdagradDA"

    def _apply(self, var: Any, gradient: list[Any], form: str) -> Any:
        with get_default_graph().device(var.device):
            self._step_there = identity(self._step)
        return super()._apply(var, gradient, form)

    def _after(self) -> Sequence[Any]:
        return self._learning_rate_tensor, self._l1, self._l2, self._step_there

    def _as_input(self, number: Any, dtype: Any) -> Tensor:
        is_step = isinstance(number, Tensor) and number.dtype is int64
        return number if is_step else cast(number, dtype)


def _check_positive(name: str, value: float) -> None:
    if value <= 0.0:
        raise ValueError(f"{name} must be positive: {value}")


def _everywhere(var: Any, value: float) -> Tensor:
    """The value in the shape of a variable, placed beside it."""
    with get_default_graph().colocate_with(var.op):
        return constant(value, shape=var.shape, dtype=var.dtype.base_dtype)
