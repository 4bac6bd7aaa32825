"""Gradient descent and momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import create_op, create_operation
from tfsession.ops.cast import cast
from tfsession.train.optimizer import HyperParameter, Optimizer, is_resource


@export("train.GradientDescentOptimizer")
class GradientDescentOptimizer(Optimizer):
    """var -= learning_rate * gradient."""

    _sums_duplicates = False

    def __init__(
        self,
        learning_rate: HyperParameter,
        use_locking: bool = False,
        name: str = "GradientDescent",
    ) -> None:
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate

    def _prepare(self) -> None:
        self._rate = self._hyperparameter(self._learning_rate, "learning_rate")

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        rate = cast(self._rate, var.dtype.base_dtype)
        attrs = {"use_locking": self._use_locking}
        if is_resource(var):
            return create_operation("ResourceApplyGradientDescent", [var.handle, rate, grad], attrs)
        return create_op("ApplyGradientDescent", [var, rate, grad], attrs).op

    def _apply_sparse(self, values: Any, indices: Any, var: Any) -> Any:
        rate = cast(self._rate, var.dtype.base_dtype)
        if is_resource(var):
            return create_operation("ResourceScatterAdd", [var.handle, indices, -values * rate])
        attrs = {"use_locking": self._use_locking}
        return create_op("ScatterSub", [var, indices, values * rate], attrs).op


@export("train.MomentumOptimizer")
class MomentumOptimizer(Optimizer):
    """accumulation = momentum * accumulation + gradient; var -= learning_rate * accumulation."""

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
        self._rate = self._hyperparameter(self._learning_rate, "learning_rate")
        self._decay = self._hyperparameter(self._momentum, "momentum")

    def _attrs(self) -> dict[str, Any]:
        return {"use_locking": self._use_locking, "use_nesterov": self._use_nesterov}

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        dtype = var.dtype.base_dtype
        rate, decay = cast(self._rate, dtype), cast(self._decay, dtype)
        slot = self.get_slot(var, "momentum")
        if is_resource(var):
            inputs = [var.handle, slot.handle, rate, grad, decay]
            return create_operation("ResourceApplyMomentum", inputs, self._attrs())
        return create_op("ApplyMomentum", [var, slot, rate, grad, decay], self._attrs()).op

    def _apply_sparse(self, values: Any, indices: Any, var: Any) -> Any:
        dtype = var.dtype.base_dtype
        rate, decay = cast(self._rate, dtype), cast(self._decay, dtype)
        slot = self.get_slot(var, "momentum")
        if is_resource(var):
            inputs = [var.handle, slot.handle, rate, values, indices, decay]
            return create_operation("ResourceSparseApplyMomentum", inputs, self._attrs())
        inputs = [var, slot, rate, values, indices, decay]
        return create_op("SparseApplyMomentum", inputs, self._attrs()).op
