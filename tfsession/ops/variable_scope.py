"""Sharing variables by name: `variable_scope` and `get_variable`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from tfsession.core.dtypes import DType, as_dtype, float32
from tfsession.core.exports import export, export_value
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.variable_store import VariableStore, variable_store
from tfsession.ops.variables import VariableAggregation, VariableSynchronization


class _AutoReuse:
    def __repr__(self) -> str:
        return "_ReuseMode.AUTO_REUSE"


AUTO_REUSE = _AutoReuse()
export_value(AUTO_REUSE, "AUTO_REUSE")

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

    def get_variable(self, store: VariableStore, name: str | None, **arguments: Any) -> Any:
        """A variable under this scope, or of its own name; see `tf.get_variable`."""
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
        # With a slash at its end when `name` is empty: such a name is taken as it is, not made
        # unique beside the name scope of the same name. Slots are named so.
        full_name = "/".join(part for part in (self._name or None, name) if part is not None)
        with get_default_graph().name_scope(None):
            return store.get_variable(full_name, **arguments)


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
        variable_store(get_default_graph()),
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


@export("create_partitioned_variables")
def create_partitioned_variables(
    shape: Sequence[int],
    slicing: Sequence[int],
    initializer: Any,
    dtype: Any = float32,
    trainable: bool = True,
    collections: Sequence[str] | None = None,
    name: str | None = None,
    reuse: Any = None,
) -> list[Any]:
    """Variables that are slices of one; `get_variable` with a partitioner gives them as one.

    Args:
        shape: of the whole.
        slicing: how many slices there are along each dimension; along one of them only.
        initializer: as of `get_variable`, for the slices, or a tensor of the whole.
        dtype: of the variables.
        trainable, collections: as of `get_variable`.
        name: of the whole, "PartitionedVariable" made unique by default.
        reuse: as of `variable_scope`.

    Raises:
        ValueError: `slicing` is not of the length of `shape`, or the shape is that of a scalar.
    """
    if len(shape) != len(slicing):
        raise ValueError(
            "The 'shape' and 'slicing' of a partitioned Variable must have the length: shape: "
            f"{shape}, slicing: {slicing}"
        )
    if len(shape) < 1:
        raise ValueError(f"A partitioned Variable must have rank at least 1: shape: {shape}")
    with variable_scope(name, "PartitionedVariable", reuse=reuse) as scope:
        whole = scope.get_variable(
            variable_store(get_default_graph()),
            None,
            shape=shape,
            dtype=dtype,
            initializer=initializer,
            trainable=trainable,
            collections=collections,
            partitioner=lambda **_: slicing,
        )
    return list(whole)


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
        store, current = variable_store(graph), get_variable_scope()
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


def _unique_scope(store: VariableStore, outer: str, prefix: str) -> str:
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
