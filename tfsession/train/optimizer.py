"""Optimizer: from a loss to an operation that updates variables, with TensorFlow's slot names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tfsession.core import dtypes, nest
from tfsession.core.exports import export
from tfsession.gradients.engine import gradients
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import group
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.state import assign_add
from tfsession.ops.unique import unique
from tfsession.ops.variables import Variable
from tfsession.train.slots import create_slot, create_zeros_slot, is_resource

_TRAINABLE = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)


@export("train.Optimizer")
class Optimizer:
    """Base class of optimizers. A subclass says how one variable is updated by one gradient.

    Args:
        use_locking: not needed: updates are atomic here.
        name: name of the training operation and of the slots.

    Raises:
        ValueError: no name.
    """

    GATE_NONE = 0
    GATE_OP = 1
    GATE_GRAPH = 2

    def __init__(self, use_locking: bool, name: str) -> None:
        if not name:
            raise ValueError("Must specify the optimizer name")
        self._use_locking = use_locking
        self._name = name
        self._slots: dict[str, dict[Any, Any]] = {}
        self._non_slots: dict[tuple[str, Any], Any] = {}

    def get_name(self) -> str:
        """The optimizer's name."""
        return self._name

    def minimize(
        self,
        loss: Any,
        global_step: Any = None,
        var_list: Any = None,
        gate_gradients: int = GATE_OP,
        aggregation_method: int | None = None,
        colocate_gradients_with_ops: bool = False,
        name: str | None = None,
        grad_loss: Any = None,
    ) -> Any:
        """The operation that updates variables to lower `loss`, and counts `global_step` up.

        Raises:
            ValueError: no variable has a gradient.
        """
        pairs = self.compute_gradients(
            loss,
            var_list=var_list,
            gate_gradients=gate_gradients,
            aggregation_method=aggregation_method,
            colocate_gradients_with_ops=colocate_gradients_with_ops,
            grad_loss=grad_loss,
        )
        if all(grad is None for grad, _ in pairs):
            names = [str(variable) for _, variable in pairs]
            raise ValueError(
                "No gradients provided for any variable, check your graph for ops that do not "
                f"support gradients, between variables {names} and loss {loss}."
            )
        return self.apply_gradients(pairs, global_step=global_step, name=name)

    def compute_gradients(
        self,
        loss: Any,
        var_list: Any = None,
        gate_gradients: int = GATE_OP,
        aggregation_method: int | None = None,
        colocate_gradients_with_ops: bool = False,
        grad_loss: Any = None,
    ) -> list[tuple[Any, Any]]:
        """Pairs of a gradient (or None) and its variable.

        Raises:
            ValueError: there is no variable to train.
            TypeError: a variable is none, or of a dtype without gradients.
        """
        if gate_gradients not in (self.GATE_NONE, self.GATE_OP, self.GATE_GRAPH):
            raise ValueError(
                "gate_gradients must be one of: Optimizer.GATE_NONE, Optimizer.GATE_OP, "
                f"Optimizer.GATE_GRAPH. Not {gate_gradients}"
            )
        if var_list is None:
            graph = get_default_graph()
            variables = graph.get_collection(GraphKeys.TRAINABLE_VARIABLES)
            variables += graph.get_collection(GraphKeys.TRAINABLE_RESOURCE_VARIABLES)
        else:
            variables = nest.flatten(var_list)
        if not variables:
            raise ValueError("No variables to optimize.")
        self._assert_trainable([loss])
        found = gradients(
            loss,
            variables,
            grad_ys=grad_loss,
            gate_gradients=gate_gradients == self.GATE_OP,
            aggregation_method=aggregation_method,
            colocate_gradients_with_ops=colocate_gradients_with_ops,
        )
        pairs = list(zip(found, variables, strict=True))
        self._assert_trainable([v for g, v in pairs if g is not None])
        return pairs

    def _assert_trainable(self, tensors: Iterable[Any]) -> None:
        for tensor in tensors:
            dtype = tensor.dtype.base_dtype
            if dtype not in self._valid_dtypes():
                names = ", ".join(t.name for t in self._valid_dtypes())
                raise ValueError(f"Invalid type {dtype} for {tensor.name}, expected: {names}.")

    def _valid_dtypes(self) -> tuple[Any, ...]:
        return _TRAINABLE

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Any]],
        global_step: Any = None,
        name: str | None = None,
    ) -> Any:
        """The operation that updates variables by gradients, and counts `global_step` up.

        Raises:
            ValueError: there are no gradients.
            TypeError: a gradient or a variable is none.
        """
        pairs = [(_as_gradient(grad), variable) for grad, variable in grads_and_vars]
        if not pairs:
            raise ValueError("No variables provided.")
        trained = [variable for grad, variable in pairs if grad is not None]
        if not trained:
            names = [str(variable) for _, variable in pairs]
            raise ValueError(f"No gradients provided for any variable: {names}.")
        graph = get_default_graph()
        with graph.control_dependencies(None):
            self._create_slots(trained)
        updates: list[Any] = []
        with graph.name_scope(name or self._name) as scope:
            self._prepare()
            for grad, variable in pairs:
                if grad is None:
                    continue
                with (
                    graph.name_scope("update_" + variable.op.name.replace(":", "_")),
                    graph.colocate_with(variable.op),
                ):
                    updates.append(self._update(grad, variable))
            if global_step is None:
                train_op = self._finish(updates, scope)
            else:
                train_op = self._count(updates, global_step, scope)
        op = train_op.op if isinstance(train_op, Tensor | Variable) else train_op
        collection = graph.get_collection_ref(GraphKeys.TRAIN_OP)
        if op not in collection:
            collection.append(op)
        return op

    def _count(self, updates: list[Any], global_step: Any, scope: str) -> Any:
        graph = get_default_graph()
        with (
            graph.control_dependencies([self._finish(updates, "update")]),
            graph.colocate_with(global_step),
        ):
            if is_resource(global_step):
                return global_step.assign_add(1, name=scope, read_value=False)
            return assign_add(global_step, 1, name=scope)

    def _update(self, grad: Any, variable: Any) -> Any:
        """The operation that updates one variable, its constraint included."""
        if isinstance(grad, IndexedSlices):
            if is_resource(variable):
                op = self._resource_apply_sparse_duplicate_indices(
                    grad.values, variable, grad.indices
                )
            else:
                op = self._apply_sparse_duplicate_indices(grad, variable)
        elif is_resource(variable):
            op = self._resource_apply_dense(grad, variable)
        else:
            op = self._apply_dense(grad, variable)
        if getattr(variable, "constraint", None) is None:
            return op
        with get_default_graph().control_dependencies([op]):
            return variable.assign(variable.constraint(variable.read_value()))

    # --- what a subclass says -------------------------------------------------------------------

    def _create_slots(self, var_list: Sequence[Any]) -> None:
        """Make the slots of the variables."""

    def _prepare(self) -> None:
        """Make tensors of the hyperparameters."""

    def _apply_dense(self, grad: Any, var: Any) -> Any:
        """The operation that updates a reference variable by a dense gradient."""
        raise NotImplementedError

    def _resource_apply_dense(self, grad: Any, handle: Any) -> Any:
        """The operation that updates a resource variable by a dense gradient."""
        raise NotImplementedError

    def _apply_sparse(self, grad: Any, var: Any) -> Any:
        """The operation that updates rows of a reference variable, each once."""
        raise NotImplementedError

    def _resource_apply_sparse(self, grad: Any, handle: Any, indices: Any) -> Any:
        """The operation that updates rows of a resource variable, each once."""
        raise NotImplementedError

    def _apply_sparse_duplicate_indices(self, grad: Any, var: Any) -> Any:
        """As `_apply_sparse`, for rows that may come more than once; sums them first."""
        values, indices = _summed_by_index(grad.values, grad.indices)
        return self._apply_sparse(IndexedSlices(values, indices, grad.dense_shape), var)

    def _resource_apply_sparse_duplicate_indices(self, grad: Any, handle: Any, indices: Any) -> Any:
        """As `_resource_apply_sparse`, for rows that may come more than once; sums them first."""
        values, indices = _summed_by_index(grad, indices)
        return self._resource_apply_sparse(values, handle, indices)

    def _finish(self, update_ops: list[Any], name_scope: str) -> Operation:
        """The operation that stands for the whole step."""
        return group(*update_ops, name=name_scope)

    # --- slots ----------------------------------------------------------------------------------

    def _zeros_slot(self, var: Any, slot_name: str, op_name: str) -> Any:
        """The slot of a variable, made of zeros when it does not exist yet."""
        return self._slot(slot_name, var, lambda: create_zeros_slot(var, op_name))

    def _get_or_make_slot(self, var: Any, val: Any, slot_name: str, op_name: str) -> Any:
        """The slot of a variable, made with the value of a tensor when it does not exist yet."""
        return self._slot(slot_name, var, lambda: create_slot(var, val, op_name))

    def _get_or_make_slot_with_initializer(
        self, var: Any, initializer: Any, shape: Any, dtype: Any, slot_name: str, op_name: str
    ) -> Any:
        """The slot of a variable, made by an initializer when it does not exist yet."""
        return self._slot(
            slot_name,
            var,
            lambda: create_slot(var, initializer, op_name, shape=shape, dtype=dtype.base_dtype),
        )

    def _slot(self, slot_name: str, var: Any, make: Callable[[], Any]) -> Any:
        slots = self._slots.setdefault(slot_name, {})
        if var not in slots:
            slots[var] = make()
        return slots[var]

    def _create_non_slot_variable(self, initial_value: float, name: str, colocate_with: Any) -> Any:
        """A variable of the optimizer itself, kept beside `colocate_with`."""
        key = (name, get_default_graph())
        if key not in self._non_slots:
            with get_default_graph().colocate_with(colocate_with.op):
                self._non_slots[key] = Variable(
                    initial_value,
                    name=name,
                    trainable=False,
                    use_resource=is_resource(colocate_with),
                )
        return self._non_slots[key]

    def _get_non_slot_variable(self, name: str, graph: Any = None) -> Any:
        return self._non_slots.get((name, graph or get_default_graph()))

    def get_slot(self, var: Any, name: str) -> Any:
        """The slot of a variable, or None."""
        return self._slots.get(name, {}).get(var)

    def get_slot_names(self) -> list[str]:
        """The names of the slots, sorted."""
        return sorted(self._slots)

    def variables(self) -> list[Any]:
        """The optimizer's own variables, by name."""
        found = list(self._non_slots.values())
        for slots in self._slots.values():
            found.extend(slots.values())
        return sorted(found, key=lambda variable: variable.name)

    def _hyperparameter(self, value: Any, name: str) -> Tensor:
        return convert_to_tensor(self._call_if_callable(value), name=name)

    def _call_if_callable(self, param: Any) -> Any:
        return param() if callable(param) else param


def _as_gradient(grad: Any) -> Any:
    if grad is None or isinstance(grad, Tensor | IndexedSlices):
        return grad
    try:
        return convert_to_tensor(grad)
    except TypeError:
        raise TypeError(
            f"Gradient must be convertible to a Tensor or IndexedSlices, or None: {grad}"
        ) from None


def _summed_by_index(values: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The rows with each index once: rows of equal index are summed."""
    found, positions = unique(indices)
    return unsorted_segment_sum(values, positions, shape_of(found)[0]), found


HyperParameter = float | Tensor | Callable[[], Any]
