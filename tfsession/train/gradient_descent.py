"""Gradient descent, momentum, and the proximal form of gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import create_op, create_operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.train.fused import FusedOptimizer
from tfsession.train.optimizer import HyperParameter


@export("train.GradientDescentOptimizer")
class GradientDescentOptimizer(FusedOptimizer):
    """var -= learning_rate * gradient."""

    def __init__(
        self,
        learning_rate: HyperParameter,
        use_locking: bool = False,
        name: str = "GradientDescent",
    ) -> None:
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate

    def _prepare(self) -> None:
        self._learning_rate_tensor = self._hyperparameter(self._learning_rate, "learning_rate")

    def _operation(self) -> str:
        return "GradientDescent"

    def _before(self) -> Sequence[Tensor]:
        return (self._learning_rate_tensor,)

    def _apply_sparse_duplicate_indices(self, grad: Any, var: Any) -> Any:
        rate = cast(self._learning_rate_tensor, var.dtype.base_dtype)
        return create_op("ScatterSub", [var, grad.indices, grad.values * rate], self._attrs()).op

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, handle: Any, indices: Any) -> Any:
        rate = cast(self._learning_rate_tensor, handle.dtype.base_dtype)
        return create_operation("ResourceScatterAdd", [handle.handle, indices, -grad * rate])


@export("train.MomentumOptimizer")
class MomentumOptimizer(FusedOptimizer):
    """accumulation = momentum * accumulation + gradient; var -= learning_rate * accumulation."""

    slots = ("momentum",)

    def __init__(
        self,
        learning_rate: HyperParameter,
        momentum: HyperParameter,
        use_locking: bool = False,
        name: str = "Momentum",
        use_nesterov: bool = False,
    ) -> None:
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._momentum = momentum
        self._use_nesterov = use_nesterov

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        for var in var_list:
            self._zeros_slot(var, "momentum", self._name)

    def _prepare(self) -> None:
        self._learning_rate_tensor = self._hyperparameter(self._learning_rate, "learning_rate")
        self._momentum_tensor = self._hyperparameter(self._momentum, "momentum")

    def _operation(self) -> str:
        return "Momentum"

    def _before(self) -> Sequence[Tensor]:
        return (self._learning_rate_tensor,)

    def _after(self) -> Sequence[Tensor]:
        return (self._momentum_tensor,)

    def _attrs(self) -> dict[str, Any]:
        return super()._attrs() | {"use_nesterov": self._use_nesterov}


@export("train.ProximalGradientDescentOptimizer")
class ProximalGradientDescentOptimizer(FusedOptimizer):
    """Gradient descent, then a step towards zero (Duchi and Singer, 2009)."""

    def __init__(
        self,
        learning_rate: HyperParameter,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "ProximalGradientDescent",
    ) -> None:
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._l1 = l1_regularization_strength
        self._l2 = l2_regularization_strength

    def _prepare(self) -> None:
        self._numbers = (
            self._hyperparameter(self._learning_rate, "learning_rate"),
            self._hyperparameter(self._l1, "l1_regularization_strength"),
            self._hyperparameter(self._l2, "l2_regularization_strength"),
        )

    def _operation(self) -> str:
        return "ProximalGradientDescent"

    def _before(self) -> Sequence[Tensor]:
        return self._numbers
