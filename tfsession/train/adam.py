"""Adam: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import create_operation
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.ops.cast import cast
from tfsession.ops.constant import group
from tfsession.ops.state import assign_sub, scatter_add
from tfsession.ops.unary import sqrt
from tfsession.train.optimizer import HyperParameter, Optimizer
from tfsession.train.slots import is_resource


@export("train.AdamOptimizer")
class AdamOptimizer(Optimizer):
    """Moving means of gradients and of their squares set the step of each element."""

    def __init__(
        self,
        learning_rate: HyperParameter = 0.001,
        beta1: HyperParameter = 0.9,
        beta2: HyperParameter = 0.999,
        epsilon: HyperParameter = 1e-08,
        use_locking: bool = False,
        name: str = "Adam",
    ) -> None:
        super().__init__(use_locking, name)
        self._lr = learning_rate
        self._beta1 = beta1
        self._beta2 = beta2
        self._epsilon = epsilon

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        first = min(var_list, key=lambda variable: variable.name)
        for name, value in (("beta1_power", self._beta1), ("beta2_power", self._beta2)):
            start = value() if callable(value) else value
            self._create_non_slot_variable(start, name, first)
        for var in var_list:
            self._zeros_slot(var, "m", self._name)
            self._zeros_slot(var, "v", self._name)

    def _beta_powers(self) -> tuple[Any, Any]:
        return self._get_non_slot_variable("beta1_power"), self._get_non_slot_variable(
            "beta2_power"
        )

    def _prepare(self) -> None:
        self._lr_t = self._hyperparameter(self._lr, "learning_rate")
        self._beta1_t = self._hyperparameter(self._beta1, "beta1")
        self._beta2_t = self._hyperparameter(self._beta2, "beta2")
        self._epsilon_t = self._hyperparameter(self._epsilon, "epsilon")

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        resource, dtype = is_resource(var), var.dtype.base_dtype
        op_type = "ResourceApplyAdam" if resource else "ApplyAdam"
        states = [var, self.get_slot(var, "m"), self.get_slot(var, "v")]
        powers = [_as(power, dtype) for power in self._beta_powers()]
        others = [
            cast(t, dtype) for t in (self._lr_t, self._beta1_t, self._beta2_t, self._epsilon_t)
        ]
        inputs = [s.handle if resource else s._ref() for s in states] + powers + others + [grad]
        return create_operation(op_type, inputs, {"use_locking": self._use_locking})

    def _resource_apply_dense(self, grad: Any, handle: Any) -> Any:
        return self._apply_dense(grad, handle)

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        return self._resource_apply_sparse(grad.values, var, grad.indices)

    def _resource_apply_sparse(self, grad: Any, handle: Any, indices: Any) -> Any:
        values, var = grad, handle
        dtype = var.dtype.base_dtype
        power1, power2 = (_as(power, dtype) for power in self._beta_powers())
        rate, beta1 = cast(self._lr_t, dtype), cast(self._beta1_t, dtype)
        beta2, epsilon = cast(self._beta2_t, dtype), cast(self._epsilon_t, dtype)
        rate = rate * sqrt(1 - power2) / (1 - power1)
        m = self._decayed(self.get_slot(var, "m"), beta1, indices, values * (1 - beta1))
        v = self._decayed(self.get_slot(var, "v"), beta2, indices, (values * values) * (1 - beta2))
        root = sqrt(v)
        update = assign_sub(var, rate * m / (root + epsilon), use_locking=self._use_locking)
        return group(update, m, v)

    def _decayed(self, slot: Any, decay: Any, indices: Any, rows: Any) -> Any:
        """The slot after `slot = slot * decay`, with `rows` added at `indices`."""
        decayed = slot.assign(slot * decay, use_locking=self._use_locking)
        with get_default_graph().control_dependencies([decayed]):
            if not is_resource(slot):
                return scatter_add(slot, indices, rows, use_locking=self._use_locking)
            added = create_operation("ResourceScatterAdd", [slot.handle, indices, rows])
            with get_default_graph().control_dependencies([added]):
                return slot.value()

    def _finish(self, update_ops: list[Any], name_scope: str) -> Operation:
        graph = get_default_graph()
        power1, power2 = self._beta_powers()
        with graph.control_dependencies(update_ops), graph.colocate_with(power1.op):
            after1 = power1.assign(power1 * self._beta1_t, use_locking=self._use_locking)
            after2 = power2.assign(power2 * self._beta2_t, use_locking=self._use_locking)
        return group(*update_ops, after1, after2, name=name_scope)


def _as(variable: Any, dtype: Any) -> Any:
    """The variable itself where it has the dtype: who takes it reads it."""
    return variable if variable.dtype.base_dtype == dtype else cast(variable, dtype)
