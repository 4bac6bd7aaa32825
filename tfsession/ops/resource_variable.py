"""Resource variables: behind a handle, read as snapshots."""

from __future__ import annotations

from typing import Any, NoReturn

from tfsession.core.dtypes import DType
from tfsession.core.shape import to_shape
from tfsession.graph.create import convert_to_tensor, create_op, create_operation
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity
from tfsession.ops.initial_value import without_uninitialized
from tfsession.ops.variable_scatter import ScatterExtremes
from tfsession.ops.variables import Variable, initializer_scope


class ResourceVariable(ScatterExtremes, Variable, is_resource=True):
    """A variable behind a handle: reads are snapshots, in the order that the graph asks for."""

    def _build(
        self, graph: Graph, initial_value: Any, name: str | None, dtype: DType | None,
        validate_shape: bool, caching_device: Any, shape: Any,
    ) -> None:  # fmt: skip
        with graph.name_scope(name or "Variable") as scope:
            true_name = scope.rstrip("/")
            with initializer_scope(graph, true_name):
                with graph.name_scope("Initializer"), graph.device(None):
                    initial = self._initial_tensor(
                        graph, scope, initial_value, dtype, "initial_value"
                    )
                static = initial._shape if shape is None else to_shape(shape)
                attrs = {
                    "shape": static if validate_shape else None,
                    "dtype": initial.dtype.base_dtype,
                    "shared_name": true_name,
                    "debug_name": scope,
                    "container": graph._scopes.container,
                }
                self._handle: Tensor = create_op("VarHandleOp", [], attrs, scope)
            self._dtype = initial.dtype.base_dtype
            self._static_shape = static if validate_shape else None
            self._initial_value = initial
            with graph.name_scope("IsInitialized"):
                self._is_initialized_tensor: Tensor = create_op(
                    "VarIsInitializedOp", [self._handle]
                )
            with (
                graph.colocate_with(None, ignore_existing=True),
                graph.device(self._handle.device),
            ):
                start = without_uninitialized(scope, initial)
                self._initializer_op = create_operation(
                    "AssignVariableOp", [self._handle, start], name="Assign"
                )
            with (
                graph.name_scope("Read"),
                graph.device(self._handle.device if caching_device is None else caching_device),
            ):
                self._graph_element = self._read()
            self._cached = None if caching_device is None else self._graph_element

    def _read(self) -> Tensor:
        value: Tensor = create_op("ReadVariableOp", [self._handle], {"dtype": self._dtype})
        value._shape = self._static_shape
        return value

    @property
    def _tensor(self) -> Tensor:
        return self._handle

    @property
    def handle(self) -> Tensor:
        """The resource handle."""
        return self._handle

    def value(self) -> Tensor:
        """The value, read where this is called."""
        if self._cached is not None:
            return self._cached
        with self.graph.colocate_with(None, ignore_existing=True):
            return self._read()

    def read_value(self) -> Tensor:
        """The value as a new tensor, read where this is called."""
        with self.graph.name_scope("Read"):
            value = self._read()
        return identity(value)

    def read_value_no_copy(self) -> Tensor:
        """As `read_value`: reading copies nothing."""
        return self.read_value()

    @property
    def create(self) -> Operation:
        """The operation that assigns the initial value."""
        return self.initializer

    def numpy(self) -> NoReturn:
        """Raise NotImplementedError: a variable has its value in a session."""
        raise NotImplementedError(
            f"numpy() is only available when eager execution is enabled: run {self.name} in a "
            "session to get its value."
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.numpy()

    def is_initialized(self, name: str | None = None) -> Tensor:
        """Whether the variable has a value: a bool scalar."""
        result: Tensor = create_op("VarIsInitializedOp", [self._handle], name=name)
        return result

    def sparse_read(self, indices: Any, name: str | None = None) -> Tensor:
        """The rows at `indices`."""
        with self.graph.name_scope("Gather" if name is None else name) as scope:
            attrs = {"dtype": self._dtype}
            result: Tensor = create_op("ResourceGather", [self._handle, indices], attrs, scope)
        return result

    def gather_nd(self, indices: Any, name: str | None = None) -> Tensor:
        """Elements or slices at the index vectors in `indices`."""
        with self.graph.name_scope("GatherNd" if name is None else name) as scope:
            attrs = {"dtype": self._dtype}
            result: Tensor = create_op("ResourceGatherNd", [self._handle, indices], attrs, scope)
        return result

    def assign(self, value: Any, use_locking: bool | None = None, name: str | None = None,
               read_value: bool = True) -> Any:  # fmt: skip
        """Set the variable; gives its new value, or the operation with `read_value=False`.

        Raises:
            ValueError: the static shape of `value` is not the variable's.
        """
        tensor = convert_to_tensor(value, self._dtype)
        if not self.shape.is_compatible_with(tensor.shape):
            where = "" if self.name is None else " " + self.name
            raise ValueError(
                f"Cannot assign value to variable '{where}': Shape mismatch.The variable shape "
                f"{self.shape}, and the assigned value shape {tensor.shape} are incompatible."
            )
        attrs = {"validate_shape": True}
        op = create_operation("AssignVariableOp", [self._handle, tensor], attrs, name)
        return self._lazy_read(op) if read_value else op

    def assign_add(self, delta: Any, use_locking: bool | None = None, name: str | None = None,
                   read_value: bool = True) -> Any:  # fmt: skip
        """Add to the variable; gives its new value, or the operation with `read_value=False`."""
        return self._update("AssignAddVariableOp", delta, name, read_value)

    def assign_sub(self, delta: Any, use_locking: bool | None = None, name: str | None = None,
                   read_value: bool = True) -> Any:  # fmt: skip
        """Subtract from the variable; gives its new value, or the operation."""
        return self._update("AssignSubVariableOp", delta, name, read_value)

    def _update(self, op_type: str, delta: Any, name: str | None, read_value: bool) -> Any:
        value = convert_to_tensor(delta, self._dtype)
        op = create_operation(op_type, [self._handle, value], name=name)
        return self._lazy_read(op) if read_value else op

    def _scatter(self, kind: str, slices: Any, use_locking: bool, name: str | None) -> Any:
        values = convert_to_tensor(slices.values, self._dtype)
        op = create_operation(
            f"ResourceScatter{kind}", [self._handle, slices.indices, values], name=name
        )
        return self._lazy_read(op)

    def _scatter_nd(self, kind: str, indices: Any, updates: Any, name: str | None) -> Any:
        inputs = [self._handle, indices, convert_to_tensor(updates, self._dtype)]
        return self._lazy_read(create_operation(f"ResourceScatterNd{kind}", inputs, name=name))

    @staticmethod
    def _no_slices(value: Any) -> str:
        return f"Argument `sparse_delta` must be a `tf.IndexedSlices`. Received arg: {value}"

    def _lazy_read(self, op: Operation) -> Any:
        return _UpdatedVariable(self, op)

    def _as_graph_element(self) -> Any:
        return self._graph_element


class _UpdatedVariable(ResourceVariable):
    """A resource variable as it is after an update: whoever reads it waits for the update."""

    def __init__(self, variable: ResourceVariable, update: Operation) -> None:
        self.__dict__.update(variable.__dict__)
        self._update_op = update
        with self.graph.control_dependencies([update]):
            self._graph_element = self._read()

    @property
    def name(self) -> str:
        """Name of the update."""
        return self._update_op.name

    @property
    def op(self) -> Operation:
        """The update."""
        return self._update_op

    def value(self) -> Tensor:
        """The value, read after the update."""
        with self.graph.control_dependencies([self._update_op]):
            return super().value()

    def read_value(self) -> Tensor:
        """The value as a new tensor, read after the update."""
        with self.graph.control_dependencies([self._update_op]):
            return super().read_value()
