"""Follow the regularized leader, proximally: McMahan and others, 2013."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import ones
from tfsession.ops.elementwise import maximum
from tfsession.train.fused import FusedOptimizer
from tfsession.train.optimizer import HyperParameter


@export("train.FtrlOptimizer")
class FtrlOptimizer(FusedOptimizer):
    """Weights that stay at zero until their gradients outweigh the first-order penalty.

    Args:
        learning_rate: factor of the step.
        learning_rate_power: how the rate falls with the sum of squares; not positive.
        initial_accumulator_value: where these sums begin.
        l1_regularization_strength: penalty of absolute values.
        l2_regularization_strength: penalty of squares.
        use_locking: not needed: updates are atomic here.
        name: name of the training operation.
        accum_name: name of the slots with the sums; `name` when None.
        linear_name: name of the slots with the linear terms; `name` when None.
        l2_shrinkage_regularization_strength: penalty of the squares of the present values.
        beta: constant of the rate's schedule, as in the paper.

    Raises:
        ValueError: a number has the wrong sign.
    """

    slots = ("accum", "linear")

    def __init__(
        self,
        learning_rate: HyperParameter,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "Ftrl",
        accum_name: str | None = None,
        linear_name: str | None = None,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float | None = None,
    ) -> None:
        super().__init__(use_locking, name)
        not_negative = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }
        for key, value in not_negative.items():
            if value < 0.0:
                raise ValueError(f"{key} {value:f} needs to be positive or zero")
        if learning_rate_power > 0.0:
            raise ValueError(
                f"learning_rate_power {learning_rate_power:f} needs to be negative or zero"
            )
        self._learning_rate = learning_rate
        self._learning_rate_power = learning_rate_power
        self._initial = initial_accumulator_value
        self._l1 = l1_regularization_strength
        self._l2 = l2_regularization_strength
        self._l2_shrinkage = l2_shrinkage_regularization_strength
        self._beta = 0.0 if beta is None else beta
        self._accum_name = accum_name or name
        self._linear_name = linear_name or name

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        def start(shape: Any, dtype: Any, partition_info: Any = None) -> Tensor:
            value: Tensor = ones(shape, dtype) * self._initial
            return value

        for var in var_list:
            self._get_or_make_slot_with_initializer(
                var, start, var.shape, var.dtype, "accum", self._accum_name
            )
            self._zeros_slot(var, "linear", self._linear_name)

    def _prepare(self) -> None:
        rate = self._hyperparameter(self._learning_rate, "learning_rate")
        l1 = self._hyperparameter(self._l1, "l1_regularization_strength")
        adjusted = self._l2 + self._beta / (2.0 * maximum(self._learning_rate, 1e-36))
        l2 = self._hyperparameter(adjusted, "adjusted_l2_regularization_strength")
        self._hyperparameter(self._beta, "beta")
        shrinkage = self._hyperparameter(self._l2_shrinkage, "l2_shrinkage_regularization_strength")
        power = self._hyperparameter(self._learning_rate_power, "learning_rate_power")
        self._numbers = (rate, l1, l2, *([shrinkage] if self._l2_shrinkage > 0.0 else []), power)

    def _operation(self) -> str:
        return "FtrlV2" if self._l2_shrinkage > 0.0 else "Ftrl"

    def _after(self) -> Sequence[Tensor]:
        return self._numbers
