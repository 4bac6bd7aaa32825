"""The variables of programs: `tf.Variable` as a reference or a resource, and their initializers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.exports import export
from tfsession.core.modes import modes
from tfsession.core.shape import TensorShape, to_shape
from tfsession.graph.create import (
    convert_to_tensor,
    create_op,
    create_operation,
    register_tensor_conversion_function,
)
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import group, identity, no_op
from tfsession.ops.state import assign as assign_reference
from tfsession.ops.state import assign_add as add_to_reference
from tfsession.ops.state import assign_sub as subtract_from_reference
from tfsession.ops.state import count_up_to


@export("VariableSynchronization")
class VariableSynchronization:
    """When copies of a variable are brought together; there is one copy here."""

    AUTO = 0
    NONE = 1
    ON_WRITE = 2
    ON_READ = 3


@export("VariableAggregation")
class VariableAggregation:
    """How updates of copies of a variable are combined; there is one copy here."""

    NONE = 0
    SUM = 1
    MEAN = 2
    ONLY_FIRST_REPLICA = 3


@export("Variable")
class Variable:
    """State that outlives a run: a tensor that operations read and update.

    `tf.Variable(...)` makes a reference variable, as TF1 does, or a resource variable with
    `use_resource=True` or after `tf.enable_resource_variables()`.

    Args:
        initial_value: the first value, or a function without arguments that makes it.
        trainable: add it to the collection that optimizers train by default.
        collections: the collections to add it to; GLOBAL_VARIABLES when None.
        validate_shape: False allows values of another shape later.
        caching_device: where readers find a copy.
        name: name of the variable, made unique.
        variable_def: not supported.
        dtype: dtype to convert `initial_value` to.
        expected_shape: not used.
        import_scope: not used.
        constraint: function that an optimizer applies to the value after an update.
        use_resource: the kind of variable.
        synchronization: kept only.
        aggregation: kept only.
        shape: static shape, when it is not that of `initial_value`.

    Raises:
        ValueError: no initial value, or one of unknown shape while `validate_shape` is true.
    """

    _kind = "Variable"

    def __new__(cls, *args: Any, use_resource: bool | None = None, **kwargs: Any) -> Variable:
        """Choose the class by `use_resource`."""
        if cls is Variable:
            resource = modes.resource_variables if use_resource is None else use_resource
            return object.__new__(ResourceVariable if resource else RefVariable)
        return object.__new__(cls)

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool | None = None,
        collections: Sequence[str] | None = None,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: str | None = None,
        variable_def: Any = None,
        dtype: Any = None,
        expected_shape: Any = None,
        import_scope: str | None = None,
        constraint: Callable[[Any], Any] | None = None,
        use_resource: bool | None = None,
        synchronization: Any = VariableSynchronization.AUTO,
        aggregation: Any = VariableAggregation.NONE,
        shape: Any = None,
    ) -> None:
        if variable_def is not None:
            raise NotImplementedError("Variables from a VariableDef are not supported yet.")
        if initial_value is None:
            raise ValueError("initial_value must be specified.")
        if constraint is not None and not callable(constraint):
            raise ValueError("The `constraint` argument must be a callable.")
        self._trainable = trainable is None or bool(trainable)
        self._constraint = constraint
        self._synchronization, self._aggregation = synchronization, aggregation
        self._save_slice_info: Any = None
        keys = [GraphKeys.GLOBAL_VARIABLES] if collections is None else collections
        if isinstance(keys, str) or not isinstance(keys, list | tuple | set):
            raise ValueError(
                "collections argument to Variable constructor must be a list, tuple, or set. Got "
                f"{keys} of type {type(keys)}"
            )
        if self._trainable and GraphKeys.TRAINABLE_VARIABLES not in keys:
            keys = [*keys, GraphKeys.TRAINABLE_VARIABLES]
        graph = get_default_graph()
        with graph.control_dependencies(None):
            self._build(
                graph, initial_value, name, None if dtype is None else as_dtype(dtype),
                validate_shape, caching_device, shape,
            )  # fmt: skip
        graph.add_to_collections(keys, self)

    def _build(
        self, graph: Graph, initial_value: Any, name: str | None, dtype: DType | None,
        validate_shape: bool, caching_device: Any, shape: Any,
    ) -> None:  # fmt: skip
        raise NotImplementedError

    def _initial_tensor(
        self, graph: Graph, scope: str, initial_value: Any, dtype: DType | None, name: str
    ) -> Tensor:
        """The initial value, as an operation near the variable that is still to be made."""
        made = initial_value() if callable(initial_value) else initial_value
        return convert_to_tensor(made, dtype, name=name)

    @property
    def name(self) -> str:
        """Name of the variable's tensor."""
        return self._tensor.name

    @property
    def _tensor(self) -> Tensor:
        raise NotImplementedError

    @property
    def op(self) -> Operation:
        """The operation that holds the variable."""
        return self._tensor.op

    @property
    def graph(self) -> Graph:
        """The graph of the variable."""
        return self._tensor.graph

    @property
    def device(self) -> str:
        """The device requested for the variable."""
        return self._tensor.device

    @property
    def dtype(self) -> DType:
        """Dtype of the variable; a reference dtype for a reference variable."""
        return self._dtype

    @property
    def shape(self) -> TensorShape:
        """Static shape of the variable."""
        return TensorShape.from_tuple(self._static_shape)

    def get_shape(self) -> TensorShape:
        """Static shape of the variable."""
        return self.shape

    @property
    def initializer(self) -> Operation:
        """The operation that assigns the initial value."""
        return self._initializer_op

    @property
    def initial_value(self) -> Any:
        """The tensor of the initial value."""
        return self._initial_value

    @property
    def trainable(self) -> bool:
        """Whether optimizers train the variable by default."""
        return self._trainable

    @property
    def constraint(self) -> Callable[[Any], Any] | None:
        """What optimizers apply to the value after an update."""
        return self._constraint

    @property
    def synchronization(self) -> Any:
        """When copies are brought together."""
        return self._synchronization

    @property
    def aggregation(self) -> Any:
        """How updates of copies are combined."""
        return self._aggregation

    def value(self) -> Tensor:
        """The value as a tensor; readers of one step may share it."""
        raise NotImplementedError

    def read_value(self) -> Tensor:
        """The value as a new tensor, read where this is called."""
        raise NotImplementedError

    def _set_save_slice_info(self, info: Any) -> None:
        self._save_slice_info = info

    def set_shape(self, shape: Any) -> None:
        """Merge `shape` into the static shape."""
        self.value().set_shape(shape)
        self._static_shape = self.value()._shape

    def eval(self, session: Any = None) -> Any:
        """The value in `session`, or in the default session."""
        return self.value().eval(session=session)

    def load(self, value: Any, session: Any = None) -> None:
        """Set the variable in `session`, or in the default session, without a new operation."""
        initializer = self.initializer
        initializer.run(feed_dict={initializer.inputs[1]: value}, session=session)

    def assign(self, value: Any, use_locking: bool = False, name: str | None = None,
               read_value: bool = True) -> Any:  # fmt: skip
        """Set the variable; gives its new value, or the operation with `read_value=False`."""
        raise NotImplementedError

    def assign_add(self, delta: Any, use_locking: bool = False, name: str | None = None,
                   read_value: bool = True) -> Any:  # fmt: skip
        """Add to the variable; gives its new value, or the operation with `read_value=False`."""
        raise NotImplementedError

    def assign_sub(self, delta: Any, use_locking: bool = False, name: str | None = None,
                   read_value: bool = True) -> Any:  # fmt: skip
        """Subtract from the variable; gives its new value, or the operation."""
        raise NotImplementedError

    def count_up_to(self, limit: int) -> Tensor:
        """Add one; gives the value before. OutOfRangeError at `limit`."""
        return count_up_to(self, limit)

    def scatter_add(
        self, sparse_delta: Any, use_locking: bool = False, name: str | None = None
    ) -> Any:
        """Add an IndexedSlices."""
        return self._scatter("Add", sparse_delta, name)

    def scatter_sub(
        self, sparse_delta: Any, use_locking: bool = False, name: str | None = None
    ) -> Any:
        """Subtract an IndexedSlices."""
        return self._scatter("Sub", sparse_delta, name)

    def scatter_update(
        self, sparse_delta: Any, use_locking: bool = False, name: str | None = None
    ) -> Any:
        """Set rows to those of an IndexedSlices."""
        return self._scatter("Update", sparse_delta, name)

    def _scatter(self, kind: str, slices: Any, name: str | None) -> Any:
        raise NotImplementedError

    def _as_graph_element(self) -> Any:
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Tensor:
        return self.value()[index]

    def __iter__(self) -> Any:
        raise TypeError("'Variable' object is not iterable.")

    def __repr__(self) -> str:
        return f"<tf.Variable '{self.name}' shape={self.shape} dtype={self.dtype.name}>"

    __array_priority__ = 100

    _dtype: DType
    _static_shape: Any
    _initializer_op: Operation
    _initial_value: Any


def install_operators() -> None:
    """Give Variable the operators of Tensor, on its value."""
    for name in ["add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv", "mod", "rmod", "pow", "rpow", "matmul", "rmatmul", "neg", "abs", "invert", "and", "rand", "or", "ror", "xor", "rxor", "lt", "le", "gt", "ge", "div", "rdiv"]:
        operator = getattr(Tensor, f"__{name}__", None)
        if operator is not None:
            setattr(Variable, f"__{name}__", _on_value(operator))


def _on_value(operator: Callable[..., Any]) -> Callable[..., Any]:
    def apply(self: Variable, *others: Any) -> Any:
        return operator(self.value(), *others)

    return apply


def _initializer_scope(graph: Graph, name: str) -> AbstractContextManager[Any]:
    """Colocation with a variable that does not exist yet."""
    return graph._attr_scope({"_class": [b"loc:@" + name.encode()]})


class RefVariable(Variable):
    """A variable whose operation gives a reference, updated in place: TF1's default."""

    def _build(
        self, graph: Graph, initial_value: Any, name: str | None, dtype: DType | None,
        validate_shape: bool, caching_device: Any, shape: Any,
    ) -> None:  # fmt: skip
        from_function = callable(initial_value)
        with graph.name_scope(name or "Variable") as scope:
            true_name = scope.rstrip("/")
            with _initializer_scope(graph, true_name) if from_function else nullcontext():
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
            assigned = create_op(
                "Assign", [self._variable, initial], {"validate_shape": validate_shape}, "Assign"
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

    def _scatter(self, kind: str, slices: Any, name: str | None) -> Any:
        return create_op(
            f"Scatter{kind}", [self._variable, slices.indices, slices.values], name=name
        )

    def _as_graph_element(self) -> Any:
        return self._variable


class ResourceVariable(Variable):
    """A variable behind a handle: reads are snapshots, in the order that the graph asks for."""

    def _build(
        self, graph: Graph, initial_value: Any, name: str | None, dtype: DType | None,
        validate_shape: bool, caching_device: Any, shape: Any,
    ) -> None:  # fmt: skip
        with graph.name_scope(name or "Variable") as scope:
            true_name = scope.rstrip("/")
            with _initializer_scope(graph, true_name):
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
            self._initializer_op = create_operation(
                "AssignVariableOp", [self._handle, initial], name="Assign"
            )
            with graph.name_scope("Read"), graph.device(
                self._handle.device if caching_device is None else caching_device
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

    def _scatter(self, kind: str, slices: Any, name: str | None) -> Any:
        values = convert_to_tensor(slices.values, self._dtype)
        op = create_operation(
            f"ResourceScatter{kind}", [self._handle, slices.indices, values], name=name
        )
        return self._lazy_read(op)

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


def _to_tensor(
    variable: Variable, dtype: Any = None, name: str | None = None, as_ref: bool = False
) -> Any:
    if dtype is not None and not as_dtype(dtype).is_compatible_with(variable.dtype.base_dtype):
        raise ValueError(
            f"Incompatible type conversion requested to type '{as_dtype(dtype).name}' for variable "
            f"of type '{variable.dtype.name}'"
        )
    if as_ref and isinstance(variable, RefVariable):
        return variable._ref()
    return variable.value()


register_tensor_conversion_function(Variable, _to_tensor)
install_operators()


def _collection(key: str, scope: str | None) -> list[Any]:
    return get_default_graph().get_collection(key, scope)


@export("global_variables", "all_variables")
def global_variables(scope: str | None = None) -> list[Variable]:
    """The variables that sessions of several processes share: all but local ones."""
    return _collection(GraphKeys.GLOBAL_VARIABLES, scope)


@export("trainable_variables")
def trainable_variables(scope: str | None = None) -> list[Variable]:
    """The variables that optimizers train by default."""
    return _collection(GraphKeys.TRAINABLE_VARIABLES, scope)


@export("local_variables")
def local_variables(scope: str | None = None) -> list[Variable]:
    """The variables of one process."""
    return _collection(GraphKeys.LOCAL_VARIABLES, scope)


@export("model_variables")
def model_variables(scope: str | None = None) -> list[Variable]:
    """The variables in the MODEL_VARIABLES collection."""
    return _collection(GraphKeys.MODEL_VARIABLES, scope)


@export("moving_average_variables")
def moving_average_variables(scope: str | None = None) -> list[Variable]:
    """The variables that keep moving averages."""
    return _collection(GraphKeys.MOVING_AVERAGE_VARIABLES, scope)


@export("variables_initializer", "initialize_variables", "initializers.variables")
def variables_initializer(var_list: Sequence[Variable] | None, name: str = "init") -> Operation:
    """An operation that initializes the variables."""
    if var_list:
        return group(*[variable.initializer for variable in var_list], name=name)
    return no_op(name=name)


@export("global_variables_initializer", "initialize_all_variables", "initializers.global_variables")
def global_variables_initializer() -> Operation:
    """An operation that initializes all global variables."""
    return variables_initializer(global_variables())


@export("local_variables_initializer", "initialize_local_variables", "initializers.local_variables")
def local_variables_initializer() -> Operation:
    """An operation that initializes all local variables."""
    return variables_initializer(local_variables())
