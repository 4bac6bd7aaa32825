"""Reference variables: TF1's default kind, updated in place."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.shape import to_shape
from tfsession.graph.create import create_op
from tfsession.graph.graph import Graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity
from tfsession.ops.initial_value import without_uninitialized
from tfsession.ops.state import assign as assign_reference
from tfsession.ops.state import assign_add as add_to_reference
from tfsession.ops.state import assign_sub as subtract_from_reference
from tfsession.ops.variable_scatter import ScatterExtremes
from tfsession.ops.variables import Variable, initializer_scope


class RefVariable(ScatterExtremes, Variable, is_resource=False):
    """A variable whose operation gives a reference, updated in place: TF1's default."""

    def _build(
        self, graph: Graph, initial_value: Any, name: str | None, dtype: DType | None,
        validate_shape: bool, caching_device: Any, shape: Any,
    ) -> None:  # fmt: skip
        from_function = callable(initial_value)
        with graph.name_scope(name or "Variable") as scope:
            true_name = scope.rstrip("/")
            with initializer_scope(graph, true_name) if from_function else nullcontext():
                if from_function:
                    with graph.name_scope("Initializer"), graph.device(None):
                        initial = self._initial_tensor(
                            graph, scope, initial_value, dtype, "initial_value"
                        )
                else:
                    initial = self._initial_tensor(
                        graph, scope, initial_value, dtype, "initial_value"
                    )
                static = initial._shape if shape is None else to_shape(shape)
                if validate_shape and (static is None or None in static):
                    raise ValueError(f"initial_value must have a shape specified: {initial}")
                attrs = {
                    "shape": static if validate_shape else None,
                    "dtype": initial.dtype.base_dtype,
                }
                self._variable: Tensor = create_op("VariableV2", [], attrs, scope)
            self._variable._shape = static if validate_shape else None
            self._dtype = self._variable.dtype
            self._static_shape = self._variable._shape
            self._initial_value = initial
            start = without_uninitialized(scope, initial)
            assigned = create_op(
                "Assign", [self._variable, start], {"validate_shape": validate_shape}, "Assign"
            )
            self._initializer_op = assigned.op
            with graph.colocate_with(self._variable.op):
                if caching_device is None:
                    self._snapshot: Tensor = identity(self._variable, name="read")
            if caching_device is not None:
                with graph.colocate_with(None, ignore_existing=True), graph.device(caching_device):
                    self._snapshot = identity(self._variable, name="read")

    @property
    def _tensor(self) -> Tensor:
        return self._variable

    def _ref(self) -> Tensor:
        return self._variable

    def value(self) -> Tensor:
        """The value as a tensor, shared by all readers of a step."""
        return self._snapshot

    def read_value(self) -> Tensor:
        """The value as a new tensor, read where this is called."""
        return identity(self._variable, name="read")

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None,
               read_value: bool = True) -> Any:  # fmt: skip
        """Set the variable; gives a reference to it, or the operation with `read_value=False`."""
        result = assign_reference(self._variable, value, use_locking=use_locking, name=name)
        return result if read_value else result.op

    def assign_add(self, delta: Any, use_locking: bool = False, name: str | None = None,
                   read_value: bool = True) -> Any:  # fmt: skip
        """Add to the variable; gives a reference to it, or the operation."""
        result = add_to_reference(self._variable, delta, use_locking=use_locking, name=name)
        return result if read_value else result.op

    def assign_sub(self, delta: Any, use_locking: bool = False, name: str | None = None,
                   read_value: bool = True) -> Any:  # fmt: skip
        """Subtract from the variable; gives a reference to it, or the operation."""
        result = subtract_from_reference(self._variable, delta, use_locking=use_locking, name=name)
        return result if read_value else result.op

    def _scatter(self, kind: str, slices: Any, use_locking: bool, name: str | None) -> Any:
        inputs = [self._variable, slices.indices, slices.values]
        return create_op(f"Scatter{kind}", inputs, {"use_locking": use_locking}, name)

    def _scatter_nd(self, kind: str, indices: Any, updates: Any, name: str | None) -> Any:
        inputs = [self._variable, indices, updates]
        return create_op(f"ScatterNd{kind}", inputs, {"use_locking": True}, name)

    @staticmethod
    def _no_slices(value: Any) -> str:
        return f"sparse_delta is not IndexedSlices: {value}"

    def _as_graph_element(self) -> Any:
        return self._variable

    def _as_tensor(self, as_ref: bool) -> Tensor:
        return self._variable if as_ref else self._snapshot
