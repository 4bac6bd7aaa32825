"""The variables of programs: `tf.Variable` as a reference or a resource, and their initializers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar

from tfsession.core.dtypes import DType, as_dtype, string
from tfsession.core.exports import export
from tfsession.core.modes import modes
from tfsession.core.shape import TensorShape
from tfsession.graph.create import (
    convert_to_tensor,
    create_op,
    register_tensor_conversion_function,
)
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor, TensorReference
from tfsession.ops.compare import logical_not
from tfsession.ops.constant import constant, group, no_op
from tfsession.ops.initial_value import initialized_value
from tfsession.ops.join import stack
from tfsession.ops.slice import boolean_mask
from tfsession.ops.state import count_up_to, is_variable_initialized
from tfsession.ops.variable_scatter import ScatterMethods


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


class _Creators(type):
    """Making a Variable asks the creators of the graph's scopes, the innermost one first."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        creators = get_default_graph()._scopes.variable_creators if cls in _asking else ()
        if not creators:
            return super().__call__(*args, **kwargs)
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
        bound.apply_defaults()
        asked = dict(bound.arguments)
        del asked["self"]
        make: Callable[..., Any] = super().__call__
        for creator in creators:
            make = partial(creator, make)
        return make(**asked)


# The classes whose objects creators may make; variables made otherwise are what they are.
_asking: set[type] = set()


@export("variable_creator_scope")
@contextmanager
def variable_creator_scope(variable_creator: Callable[..., Any]) -> Iterator[None]:
    """Let `variable_creator(next_creator, **kwargs)` make the variables of this block.

    Args:
        variable_creator: function that gives a variable, usually what `next_creator(**kwargs)`
            gives; `kwargs` are those of `tf.Variable`. Of nested scopes the innermost is asked
            first, and its `next_creator` is the next one's.
    """
    scopes = get_default_graph()._scopes
    previous = scopes.variable_creators
    scopes.variable_creators = (*previous, variable_creator)
    try:
        yield
    finally:
        scopes.variable_creators = previous


@export("Variable")
class Variable(ScatterMethods, metaclass=_Creators):
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

    _kinds: ClassVar[dict[bool, type[Variable]]] = {}

    def __new__(cls, *args: Any, use_resource: bool | None = None, **kwargs: Any) -> Variable:
        """Choose the class by `use_resource`."""
        if cls is Variable:
            resource = modes.resource_variables if use_resource is None else use_resource
            return object.__new__(Variable._kinds[bool(resource)])
        return object.__new__(cls)

    def __init_subclass__(cls, is_resource: bool | None = None) -> None:
        """Be what `tf.Variable` makes when a resource is wanted, or when it is not."""
        if is_resource is not None:
            Variable._kinds[is_resource] = cls

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

    def initialized_value(self) -> Tensor:
        """The value, or the initial value while there is none: for other initial values."""
        return initialized_value(self)

    def _set_save_slice_info(self, info: Any) -> None:
        self._save_slice_info = info

    def ref(self) -> TensorReference:
        """A hashable reference to this variable."""
        return TensorReference(self)

    def experimental_ref(self) -> TensorReference:
        """Older name of `ref`."""
        return self.ref()

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

    def _scatter(self, kind: str, slices: Any, use_locking: bool, name: str | None) -> Any:
        raise NotImplementedError

    def _scatter_nd(self, kind: str, indices: Any, updates: Any, name: str | None) -> Any:
        raise NotImplementedError

    def _as_graph_element(self) -> Any:
        raise NotImplementedError

    def _as_tensor(self, as_ref: bool) -> Tensor:
        return self.value()

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


_BINARY = "add sub mul truediv floordiv mod pow matmul and or xor"
_OPERATORS = (
    *_BINARY.split(),
    *(f"r{name}" for name in _BINARY.split()),
    *("neg", "abs", "invert", "lt", "le", "gt", "ge"),
)


def _on_value(name: str) -> Callable[..., Any]:
    """An operator of what `value()` gives, found when it is used: families install it later."""

    def apply(self: Any, *others: Any) -> Any:
        return getattr(Tensor, name)(self.value(), *others)

    return apply


def give_operators(cls: type) -> None:
    """Let Python's operators work on the `value()` of a class."""
    for name in _OPERATORS:
        setattr(cls, f"__{name}__", _on_value(f"__{name}__"))


give_operators(Variable)
_asking.add(Variable)


def initializer_scope(graph: Graph, name: str) -> AbstractContextManager[Any]:
    """Colocation with a variable that does not exist yet."""
    return graph._attr_scope({"_class": [b"loc:@" + name.encode()]})


def _to_tensor(
    variable: Variable, dtype: Any = None, name: str | None = None, as_ref: bool = False
) -> Any:
    if dtype is not None and not as_dtype(dtype).is_compatible_with(variable.dtype.base_dtype):
        raise ValueError(
            f"Incompatible type conversion requested to type '{as_dtype(dtype).name}' for variable "
            f"of type '{variable.dtype.name}'"
        )
    return variable._as_tensor(as_ref)


register_tensor_conversion_function(Variable, _to_tensor)


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


@export("report_uninitialized_variables")
def report_uninitialized_variables(
    var_list: Sequence[Any] | None = None, name: str = "report_uninitialized_variables"
) -> Tensor:
    """The names of the variables that have no value yet: a string vector.

    Args:
        var_list: the variables to ask; when None all global and local ones, or without any
            those that were made as operations.
        name: name of the operations.
    """
    graph = get_default_graph()
    if var_list is None:
        var_list = _global_and_local()
    with graph.name_scope(name):
        flags = [is_variable_initialized(variable) for variable in var_list]
        with graph.device("/cpu:0"):
            if not flags:
                return constant([], string)
            mask = logical_not(stack(flags))
            return boolean_mask(constant([variable.op.name for variable in var_list]), mask)


@export("assert_variables_initialized")
def assert_variables_initialized(var_list: Sequence[Any] | None = None) -> Tensor | None:
    """A tensor that fails with FailedPreconditionError where a variable has no value yet.

    Args:
        var_list: the variables to ask; all global and local ones when None, or without any those
            that were made as operations.

    Returns:
        None where there is no variable.
    """
    if var_list is None:
        var_list = _global_and_local()
    ranks = []
    for variable in var_list:
        with get_default_graph().colocate_with(variable.op):
            ranks.append(create_op("Rank", [variable]))
    if len(ranks) == 1:
        return ranks[0]
    return stack(ranks) if ranks else None


def _global_and_local() -> list[Any]:
    """All variables, or without any those that were made as operations."""
    return [*global_variables(), *local_variables()] or [
        op.outputs[0]
        for op in get_default_graph().get_operations()
        if op.type in ("Variable", "VariableV2")
    ]
