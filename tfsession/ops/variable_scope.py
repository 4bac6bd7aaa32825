"""Sharing variables by name: `variable_scope` and `get_variable`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from inspect import signature
from typing import Any

from tfsession.core.dtypes import DType, as_dtype, float32, string
from tfsession.core.exports import export, export_value
from tfsession.core.shape import TensorShape, to_shape
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import zeros
from tfsession.ops.deferred_tensor import DeferredTensor
from tfsession.ops.initializers import GlorotUniform
from tfsession.ops.variables import Variable, VariableAggregation, VariableSynchronization


class _AutoReuse:
    def __repr__(self) -> str:
        return "_ReuseMode.AUTO_REUSE"


AUTO_REUSE = _AutoReuse()
export_value(AUTO_REUSE, "AUTO_REUSE")

_STORE_KEY = ("__variable_store",)
_SCOPE_KEY = ("__varscope",)


@export("no_regularizer")
def no_regularizer(_: Any) -> None:
    """Regularizer that overrides an enclosing scope's with none."""


@export("VariableScope")
class VariableScope:
    """What `get_variable` takes as defaults inside a `variable_scope`."""

    def __init__(
        self,
        reuse: Any,
        name: str = "",
        initializer: Any = None,
        regularizer: Any = None,
        caching_device: Any = None,
        partitioner: Any = None,
        custom_getter: Callable[..., Any] | None = None,
        name_scope: str = "",
        dtype: Any = float32,
        use_resource: bool | None = None,
        constraint: Any = None,
    ) -> None:
        self._name = name
        self._name_scope = name_scope
        self._reuse = reuse
        self._initializer = initializer
        self._regularizer = regularizer
        self._caching_device = caching_device
        self._partitioner = partitioner
        self._custom_getter = custom_getter
        self._dtype = dtype
        self._use_resource = use_resource
        self._constraint = constraint

    @property
    def name(self) -> str:
        """The prefix of variable names, without a slash at its end."""
        return self._name

    @property
    def original_name_scope(self) -> str:
        """The name scope in which the scope was first opened."""
        return self._name_scope

    @property
    def reuse(self) -> Any:
        """False, True or AUTO_REUSE."""
        return self._reuse

    @property
    def initializer(self) -> Any:
        """Default initializer."""
        return self._initializer

    @property
    def regularizer(self) -> Any:
        """Default regularizer."""
        return self._regularizer

    @property
    def caching_device(self) -> Any:
        """Default caching device."""
        return self._caching_device

    @property
    def partitioner(self) -> Any:
        """Default partitioner."""
        return self._partitioner

    @property
    def custom_getter(self) -> Any:
        """Default custom getter."""
        return self._custom_getter

    @property
    def dtype(self) -> DType:
        """Default dtype."""
        return as_dtype(self._dtype)

    @property
    def use_resource(self) -> bool | None:
        """Default kind of variable."""
        return self._use_resource

    @property
    def constraint(self) -> Any:
        """Default constraint."""
        return self._constraint

    def reuse_variables(self) -> None:
        """Share existing variables from now on."""
        self._reuse = True

    def set_initializer(self, initializer: Any) -> None:
        """Set the default initializer."""
        self._initializer = initializer

    def set_regularizer(self, regularizer: Any) -> None:
        """Set the default regularizer."""
        self._regularizer = regularizer

    def set_dtype(self, dtype: Any) -> None:
        """Set the default dtype."""
        self._dtype = dtype

    def set_use_resource(self, use_resource: bool) -> None:
        """Set the default kind of variable."""
        self._use_resource = use_resource

    def set_caching_device(self, caching_device: Any) -> None:
        """Set the default caching device."""
        self._caching_device = caching_device

    def set_partitioner(self, partitioner: Any) -> None:
        """Set the default partitioner."""
        self._partitioner = partitioner

    def set_custom_getter(self, custom_getter: Any) -> None:
        """Set the default custom getter."""
        self._custom_getter = custom_getter

    def get_collection(self, name: str) -> list[Any]:
        """The items of a collection whose names stand under this scope."""
        return get_default_graph().get_collection(name, self._name + "/" if self._name else "")

    def trainable_variables(self) -> list[Any]:
        """The trainable variables of this scope."""
        return self.get_collection(GraphKeys.TRAINABLE_VARIABLES)

    def global_variables(self) -> list[Any]:
        """The global variables of this scope."""
        return self.get_collection(GraphKeys.GLOBAL_VARIABLES)

    def local_variables(self) -> list[Any]:
        """The local variables of this scope."""
        return self.get_collection(GraphKeys.LOCAL_VARIABLES)

    def get_variable(self, store: _Store, name: str, **arguments: Any) -> Any:
        """A variable under this scope; see `tf.get_variable`."""
        defaults = {
            "initializer": self._initializer,
            "regularizer": self._regularizer,
            "caching_device": self._caching_device,
            "partitioner": self._partitioner,
            "use_resource": self._use_resource,
            "constraint": self._constraint,
            "custom_getter": self._custom_getter,
        }
        for key, default in defaults.items():
            if arguments.get(key) is None:
                arguments[key] = default
        if arguments.get("dtype") is None:
            arguments["dtype"] = self._dtype
        if arguments.pop("reuse", None) is None:
            arguments["reuse"] = self._reuse
        full_name = f"{self._name}/{name}" if self._name else name
        with get_default_graph().name_scope(None):
            return store.get_variable(full_name, **arguments)


class _Store:
    """The variables of one graph by name."""

    def __init__(self) -> None:
        self.variables: dict[str, Any] = {}
        self.scope_counts: dict[str, int] = {}

    def open_scope(self, name: str) -> None:
        self.scope_counts[name] = self.scope_counts.get(name, 0) + 1

    def close_subscopes(self, name: str) -> None:
        prefix = name + "/" if name else ""
        for key in self.scope_counts:
            if key.startswith(prefix):
                self.scope_counts[key] = 0

    def get_variable(self, name: str, custom_getter: Any = None, **arguments: Any) -> Any:
        if custom_getter is None:
            return self._getter(name, **arguments)
        # By keyword, as getters were always called: their signatures rely on it.
        if not _takes_keyword(custom_getter, "constraint"):
            del arguments["constraint"]
        return custom_getter(getter=self._getter, name=name, **arguments)

    def _getter(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = float32,
        initializer: Any = None,
        regularizer: Any = None,
        reuse: Any = None,
        trainable: bool | None = None,
        collections: Sequence[str] | None = None,
        caching_device: Any = None,
        partitioner: Any = None,
        validate_shape: bool = True,
        use_resource: bool | None = None,
        constraint: Any = None,
        synchronization: Any = VariableSynchronization.AUTO,
        aggregation: Any = VariableAggregation.NONE,
    ) -> Any:
        if partitioner is not None:
            raise NotImplementedError(f"Partitioned variables are not supported yet ({name}).")
        dtype = as_dtype(dtype)
        wanted = to_shape(shape) if shape is not None else None
        if name in self.variables:
            if reuse is False or reuse is None:
                raise ValueError(_exists_text(self.variables[name], name))
            return self._existing(name, shape, wanted, dtype)
        if reuse is True:
            raise ValueError(
                f"Variable {name} does not exist, or was not created with tf.get_variable(). Did "
                "you mean to set reuse=tf.AUTO_REUSE in VarScope?"
            )
        variable = Variable(
            initial_value=_initial_value(name, initializer, shape, wanted, dtype),
            trainable=trainable,
            collections=collections,
            validate_shape=validate_shape,
            caching_device=caching_device,
            name=name,
            dtype=dtype if not isinstance(initializer, Tensor) else None,
            constraint=constraint,
            use_resource=use_resource,
            synchronization=synchronization,
            aggregation=aggregation,
        )
        self.variables[name] = variable
        if regularizer is not None:
            self._regularize(variable, name, regularizer)
        return variable

    def _existing(self, name: str, shape: Any, wanted: Any, dtype: DType) -> Any:
        found = self.variables[name]
        if shape is not None and not TensorShape.from_tuple(wanted).is_compatible_with(found.shape):
            raise ValueError(
                f"Trying to share variable {name}, but specified shape "
                f"{TensorShape.from_tuple(wanted)} and found shape {found.shape}."
            )
        if not dtype.is_compatible_with(found.dtype.base_dtype):
            raise ValueError(
                f"Trying to share variable {name}, but specified dtype {dtype.name} and found "
                f"dtype {found.dtype.name}."
            )
        return found

    def _regularize(self, variable: Any, name: str, regularizer: Callable[[Any], Any]) -> None:
        graph = get_default_graph()

        def loss() -> Any:
            with graph.colocate_with(variable.op), graph.name_scope(f"{name}/Regularizer/"):
                return regularizer(variable)

        # Whether there is a loss shows only when it is built, outside its scope at first:
        # default seeds of operations made later count on every one of these operations.
        if regularizer(variable) is not None:
            graph.add_to_collection(GraphKeys.REGULARIZATION_LOSSES, DeferredTensor(loss))


def _exists_text(variable: Any, name: str) -> str:
    lines = [
        f"Variable {name} already exists, disallowed. Did you mean to set reuse=True or "
        "reuse=tf.AUTO_REUSE in VarScope? Originally defined at:\n"
    ]
    lines.extend(
        f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        for frame in list(variable.op.traceback)[-3:]
    )
    return "\n".join(lines) + "\n"


def _initial_value(name: str, initializer: Any, shape: Any, wanted: Any, dtype: DType) -> Any:
    """The initial value of a new variable, or the function that makes it."""
    if initializer is None:
        if shape is None:
            raise ValueError(
                f"Variable {name} did not get an initializer, so its `shape` argument must be "
                "specified."
            )
        if dtype.is_floating:
            initializer = GlorotUniform()
        elif dtype.is_integer or dtype.is_unsigned or dtype.is_bool or dtype is string:
            return lambda: zeros(wanted, dtype)
        else:
            raise ValueError(f"An initializer for variable {name} of {dtype} is required")
    if isinstance(initializer, type):
        initializer = initializer()
    if not callable(initializer):
        if shape is not None:
            raise ValueError("If initializer is a constant, do not specify shape.")
        return initializer
    if shape is None and _takes_no_arguments(initializer):
        return initializer
    if wanted is None or None in wanted:
        raise ValueError(
            "The initializer passed is not valid. It should be a callable with no arguments and "
            "the shape should not be provided or an instance of `tf.keras.initializers.*' and "
            "`shape` should be fully defined."
        )
    if _takes_no_arguments(initializer):
        return initializer
    return lambda: initializer(list(wanted), dtype=dtype)


def _takes_keyword(function: Any, name: str) -> bool:
    """Whether a function takes a keyword argument; a callable whose signature is hidden does."""
    try:
        parameters = signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _takes_no_arguments(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and code.co_argcount == 0 and not code.co_flags & 0x04


def _store(graph: Graph) -> _Store:
    stores = graph.get_collection_ref(_STORE_KEY)
    if not stores:
        stores.append(_Store())
    store: _Store = stores[0]
    return store


@export("get_variable_scope")
def get_variable_scope() -> VariableScope:
    """The current variable scope."""
    scopes = get_default_graph().get_collection_ref(_SCOPE_KEY)
    if not scopes:
        scopes.append(VariableScope(False))
    scope: VariableScope = scopes[0]
    return scope


@export("get_variable")
def get_variable(
    name: str,
    shape: Any = None,
    dtype: Any = None,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool | None = None,
    collections: Sequence[str] | None = None,
    caching_device: Any = None,
    partitioner: Any = None,
    validate_shape: bool = True,
    use_resource: bool | None = None,
    custom_getter: Callable[..., Any] | None = None,
    constraint: Any = None,
    synchronization: Any = VariableSynchronization.AUTO,
    aggregation: Any = VariableAggregation.NONE,
) -> Any:
    """The variable `name` of the current variable scope: a new one, or the one made before.

    Raises:
        ValueError: it exists and the scope does not reuse, it does not exist and the scope reuses,
            or shape or dtype are not those it has.
    """
    return get_variable_scope().get_variable(
        _store(get_default_graph()),
        name,
        shape=shape,
        dtype=dtype,
        initializer=initializer,
        regularizer=regularizer,
        trainable=trainable,
        collections=collections,
        caching_device=caching_device,
        partitioner=partitioner,
        validate_shape=validate_shape,
        use_resource=use_resource,
        custom_getter=custom_getter,
        constraint=constraint,
        synchronization=synchronization,
        aggregation=aggregation,
    )


@export("get_local_variable")
def get_local_variable(name: str, *arguments: Any, **keywords: Any) -> Any:
    """As `get_variable`, for a variable that is not trained and belongs to this process."""
    collections = keywords.pop("collections", None) or []
    keywords["collections"] = [*collections, GraphKeys.LOCAL_VARIABLES]
    keywords["trainable"] = False
    return get_variable(name, *arguments, **keywords)


_INHERITED = ("initializer", "regularizer", "caching_device", "partitioner", "dtype",
              "use_resource", "constraint")  # fmt: skip


def _chained(outer: Any, inner: Any) -> Any:
    """One custom getter of two: the inner scope's asks the outer scope's."""
    if outer is None or inner is None:
        return inner or outer

    def custom_getter(getter: Any, *arguments: Any, **keywords: Any) -> Any:
        return inner(partial(outer, getter), *arguments, **keywords)

    return custom_getter


def _entered(
    name_or_scope: Any, current: VariableScope, changes: dict[str, Any], reuse: Any
) -> VariableScope:
    """The scope that is current inside the block."""
    if isinstance(name_or_scope, VariableScope):
        base, name = name_or_scope, name_or_scope.name
        reuse = reuse or base.reuse
    else:
        base = current
        name = (
            f"{current.name}/{name_or_scope}"
            if current.name and name_or_scope
            else (name_or_scope or current.name)
        )
        reuse = reuse or current.reuse
    values = {f"_{key}": getattr(base, f"_{key}") for key in _INHERITED}
    values.update((f"_{k}", changes[k]) for k in _INHERITED if changes.get(k) is not None)
    scope = VariableScope(reuse, name)
    scope.__dict__.update(values)
    scope._custom_getter = _chained(base._custom_getter, changes.get("custom_getter"))
    return scope


@export("variable_scope")
class variable_scope:
    """Prefix the names of variables, and set defaults for `get_variable`, inside a `with` block.

    Args:
        name_or_scope: a name, or a VariableScope to open again; None takes `default_name`.
        default_name: name to make unique when `name_or_scope` is None.
        values: not used: graphs follow from the tensors given to operations.
        initializer, regularizer, caching_device, partitioner, custom_getter, dtype, use_resource,
            constraint: defaults for `get_variable`.
        reuse: None inherits, True shares, AUTO_REUSE shares or makes.
        auxiliary_name_scope: open a name scope as well.

    Raises:
        ValueError: neither a name nor a default name, or `default_name` with `reuse`.
    """

    def __init__(
        self,
        name_or_scope: Any,
        default_name: str | None = None,
        values: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        caching_device: Any = None,
        partitioner: Any = None,
        custom_getter: Callable[..., Any] | None = None,
        reuse: Any = None,
        dtype: Any = None,
        use_resource: bool | None = None,
        constraint: Any = None,
        auxiliary_name_scope: bool = True,
    ) -> None:
        if name_or_scope is None and default_name is None:
            raise TypeError("If default_name is None then name_or_scope is required")
        if name_or_scope is not None and not isinstance(name_or_scope, str | VariableScope):
            raise TypeError("VariableScope: name_or_scope must be a string or VariableScope.")
        if reuse is False:
            reuse = None
        if name_or_scope is None and reuse:
            raise ValueError("reuse=True cannot be used without a name_or_scope")
        self._name_or_scope = name_or_scope
        self._default_name = default_name
        self._reuse = reuse
        self._auxiliary = auxiliary_name_scope
        self._changes = {
            "initializer": initializer,
            "regularizer": regularizer,
            "caching_device": caching_device,
            "partitioner": partitioner,
            "custom_getter": custom_getter,
            "dtype": dtype,
            "use_resource": use_resource,
            "constraint": constraint,
        }
        self._open: list[ExitStack] = []

    def __enter__(self) -> VariableScope:
        stack = ExitStack()
        scope = stack.enter_context(self._scope())
        self._open.append(stack)
        return scope

    def __exit__(self, *exception: Any) -> None:
        self._open.pop().__exit__(*exception)

    @contextmanager
    def _scope(self) -> Iterator[VariableScope]:
        graph = get_default_graph()
        store, current = _store(graph), get_variable_scope()
        name_or_scope = self._name_or_scope
        if name_or_scope is None:
            name_or_scope = _unique_scope(store, current.name, self._default_name or "")
        name_scope = self._name_scope(name_or_scope)
        with ExitStack() as stack:
            prefix = ""
            if self._auxiliary and name_scope:
                prefix = stack.enter_context(graph.name_scope(name_scope))
            elif graph.get_name_scope():
                prefix = graph.get_name_scope() + "/"
            entered = _entered(name_or_scope, current, self._changes, self._reuse)
            entered._name_scope = (
                name_or_scope.original_name_scope
                if isinstance(name_or_scope, VariableScope)
                else prefix
            )
            scopes = graph.get_collection_ref(_SCOPE_KEY)
            counts = dict(store.scope_counts)
            if not isinstance(name_or_scope, VariableScope):
                store.open_scope(entered.name)
                counts = dict(store.scope_counts)
            scopes[:] = [entered]
            try:
                yield entered
            finally:
                store.close_subscopes(entered.name)
                if isinstance(name_or_scope, VariableScope):
                    store.scope_counts = counts
                scopes[:] = [current]

    def _name_scope(self, name_or_scope: Any) -> str:
        if isinstance(name_or_scope, VariableScope):
            return name_or_scope.name.split("/")[-1]
        return str(name_or_scope)


def _unique_scope(store: _Store, outer: str, prefix: str) -> str:
    full = f"{outer}/{prefix}" if outer else prefix
    if not store.scope_counts.get(full):
        return prefix
    number = 1
    while store.scope_counts.get(f"{full}_{number}"):
        number += 1
    return f"{prefix}_{number}"


@export("variable_op_scope")
@contextmanager
def variable_op_scope(
    values: Any, name_or_scope: Any, default_name: str | None = None, **keywords: Any
) -> Iterator[VariableScope]:
    """An older form of `variable_scope`."""
    with variable_scope(name_or_scope, default_name, values, **keywords) as scope:
        yield scope
