"""Steps in the measure of a moving mean of squares: RMSProp (Hinton, 2012), Adadelta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import ones_like
from tfsession.ops.initializers import Ones
from tfsession.train.fused import FusedOptimizer
from tfsession.train.optimizer import HyperParameter


@export("train.RMSPropOptimizer")
class RMSPropOptimizer(FusedOptimizer):
    """Gradients over the root of the moving mean of their squares, with momentum.

    Args:
        learning_rate: factor of the step.
        decay: how much of the mean stays at each step.
        momentum: how much of the last step is taken again.
        epsilon: added under the root.
        use_locking: not needed: updates are atomic here.
        centered: divide by the deviation from the mean of the gradients instead.
        name: name of the training operation and of the slots.
    """

    def __init__(
        self,
        learning_rate: HyperParameter,
        decay: HyperParameter = 0.9,
        momentum: HyperParameter = 0.0,
        epsilon: HyperParameter = 1e-10,
        use_locking: bool = False,
        centered: bool = False,
        name: str = "RMSProp",
    ) -> None:
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._decay = decay
        self._momentum = momentum
        self._epsilon = epsilon
        self._centered = centered

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            dtype = var.dtype.base_dtype
            if var.shape.is_fully_defined():
                self._get_or_make_slot_with_initializer(
                    var, Ones(dtype), var.shape, dtype, "rms", self._name
                )
            else:
                self._get_or_make_slot(var, ones_like(var), "rms", self._name)
            if self._centered:
                self._zeros_slot(var, "mg", self._name)
            self._zeros_slot(var, "momentum", self._name)

    def _prepare(self) -> None:
        self._numbers = (
            self._hyperparameter(self._learning_rate, "learning_rate"),
            self._hyperparameter(self._decay, "decay"),
            self._hyperparameter(self._momentum, "momentum"),
            self._hyperparameter(self._epsilon, "epsilon"),
        )

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The slots in the order of the operation's inputs."""
        return ("mg", "rms", "momentum") if self._centered else ("rms", "momentum")

    def _operation(self) -> str:
        return "CenteredRMSProp" if self._centered else "RMSProp"

    def _before(self) -> Sequence[Tensor]:
        return self._numbers


@export("train.AdadeltaOptimizer")
class AdadeltaOptimizer(FusedOptimizer):
    """Steps in the measure of earlier steps (Zeiler, 2012)."""

    slots = ("accum", "accum_update")

    def __init__(
        self,
        learning_rate: HyperParameter = 0.001,
        rho: HyperParameter = 0.95,
        epsilon: HyperParameter = 1e-08,
        use_locking: bool = False,
        name: str = "Adadelta",
    ) -> None:
        super().__init__(use_locking, name)
        self._lr = learning_rate
        self._rho = rho
        self._epsilon = epsilon

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            self._zeros_slot(var, "accum", self._name)
            self._zeros_slot(var, "accum_update", self._name)

    def _prepare(self) -> None:
        self._numbers = (
            self._hyperparameter(self._lr, "lr"),
            self._hyperparameter(self._rho, "rho"),
            self._hyperparameter(self._epsilon, "epsilon"),
        )

    def _operation(self) -> str:
        return "Adadelta"

    def _before(self) -> Sequence[Tensor]:
        return self._numbers
