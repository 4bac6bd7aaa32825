"""Optimizers whose step is one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tfsession.graph.create import create_op, create_operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.train.optimizer import Optimizer
from tfsession.train.slots import is_resource


class FusedOptimizer(Optimizer):
    """Base of optimizers that say which operation it is, and what it takes.

    The inputs of a training operation are the variable and its slots, numbers, the gradient (for
    rows, their indices too), and other numbers.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def _operation(self) -> str:
        """The op type, without what tells its four forms apart."""
        raise NotImplementedError

    def _before(self) -> Sequence[Tensor]:
        """The numbers before the gradient."""
        return ()

    def _after(self) -> Sequence[Tensor]:
        """The numbers behind it."""
        return ()

    def _attrs(self) -> dict[str, Any]:
        return {"use_locking": self._use_locking}

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        return self._apply(var, [grad], "Apply")

    def _resource_apply_dense(self, grad: Any, handle: Any) -> Any:
        return self._apply(handle, [grad], "Apply")

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        return self._apply(var, [grad.values, grad.indices], "SparseApply")

    def _resource_apply_sparse(self, grad: Any, handle: Any, indices: Any) -> Any:
        return self._apply(handle, [grad, indices], "SparseApply")

    def _apply(self, var: Any, gradient: list[Any], form: str) -> Any:
        dtype = var.dtype.base_dtype
        states = [var, *(self.get_slot(var, name) for name in self.slots)]
        before = [cast(number, dtype) for number in self._before()]
        others = [*before, *gradient, *(self._as_input(n, dtype) for n in self._after())]
        op_type = form + self._operation()
        if is_resource(var):
            inputs = [state.handle for state in states] + others
            return create_operation(f"Resource{op_type}", inputs, self._attrs())
        return create_op(op_type, states + others, self._attrs()).op

    def _as_input(self, number: Tensor, dtype: Any) -> Tensor:
        return cast(number, dtype)
