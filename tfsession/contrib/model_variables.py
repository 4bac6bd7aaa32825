"""`tf.contrib.framework`: default arguments, variables of models, and where to find them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from tfsession.contrib.arg_scope import add_arg_scope
from tfsession.core.dtypes import float32
from tfsession.core.exports import export, export_value
from tfsession.graph.default_graph import device as device_scope
from tfsession.graph.default_graph import is_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.variable_scope import get_variable, get_variable_scope
from tfsession.train import step_counter

for _name in ("assert", "create", "get", "get_or_create"):
    _function = getattr(step_counter, f"{_name}_global_step")
    for _room in ("framework", "slim"):
        export_value(_function, f"contrib.{_room}.{_name}_global_step")
export_value(is_tensor, "contrib.framework.is_tensor")


@export("contrib.framework.variable", "contrib.slim.variable")
@add_arg_scope
def variable(
    name: str,
    shape: Any = None,
    dtype: Any = None,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool = True,
    collections: Iterable[str] | None = None,
    caching_device: Any = None,
    device: Any = None,
    partitioner: Any = None,
    custom_getter: Any = None,
    use_resource: bool | None = None,
    synchronization: Any = None,
    aggregation: Any = None,
) -> Any:
    """`get_variable`, on `device`, and asking `custom_getter(getter, ...)` first if given."""
    kinds = [GraphKeys.GLOBAL_VARIABLES] if collections is None else collections
    getter = get_variable
    if custom_getter is not None:
        getter = partial(custom_getter, getter, reuse=get_variable_scope().reuse)
    options = {"synchronization": synchronization, "aggregation": aggregation}
    with device_scope(device or ""):
        return getter(
            name,
            shape=shape,
            dtype=dtype,
            initializer=initializer,
            regularizer=regularizer,
            trainable=trainable,
            collections=list(dict.fromkeys(kinds)),
            caching_device=caching_device,
            partitioner=partitioner,
            use_resource=use_resource,
            **{key: value for key, value in options.items() if value is not None},
        )


@export("contrib.framework.model_variable", "contrib.slim.model_variable")
@add_arg_scope
def model_variable(
    name: str,
    shape: Any = None,
    dtype: Any = float32,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool = True,
    collections: Iterable[str] | None = None,
    caching_device: Any = None,
    device: Any = None,
    partitioner: Any = None,
    custom_getter: Any = None,
    use_resource: bool | None = None,
    synchronization: Any = None,
    aggregation: Any = None,
) -> Any:
    """As `variable`, in the collections of global variables and of variables of models too."""
    kinds = [*(collections or ()), GraphKeys.GLOBAL_VARIABLES, GraphKeys.MODEL_VARIABLES]
    return variable(
        name,
        shape=shape,
        dtype=dtype,
        initializer=initializer,
        regularizer=regularizer,
        trainable=trainable,
        collections=kinds,
        caching_device=caching_device,
        device=device,
        partitioner=partitioner,
        custom_getter=custom_getter,
        use_resource=use_resource,
        synchronization=synchronization,
        aggregation=aggregation,
    )


@export("contrib.framework.add_model_variable", "contrib.slim.add_model_variable")
def add_model_variable(var: Any) -> None:
    """Put a variable into the collection of variables of models, once."""
    if var not in get_default_graph().get_collection(GraphKeys.MODEL_VARIABLES):
        get_default_graph().add_to_collection(GraphKeys.MODEL_VARIABLES, var)


@export("contrib.framework.local_variable", "contrib.slim.local_variable")
def local_variable(
    initial_value: Any, validate_shape: bool = True, name: str = "", use_resource: Any = None
) -> Any:
    """A variable of this process that is not trained and not saved."""
    return get_variable(
        name or "Variable",
        initializer=initial_value,
        trainable=False,
        collections=[GraphKeys.LOCAL_VARIABLES],
        validate_shape=validate_shape,
        use_resource=use_resource,
    )


# --- finding variables ----------------------------------------------------------------------------


@export("contrib.framework.get_variables", "contrib.slim.get_variables")
def get_variables(
    scope: Any = None,
    suffix: str | None = None,
    collection: str = GraphKeys.GLOBAL_VARIABLES,
) -> list[Any]:
    """The variables of a collection.

    Args:
        scope: a variable scope, or a regular expression that names begin with.
        suffix: what names end with, digits and output numbers aside.
        collection: its key.
    """
    pattern = getattr(scope, "name", scope)
    if suffix is not None:
        pattern = (pattern or "") + ".*" if ":" in suffix else f"{pattern or ''}.*{suffix}"
    return get_default_graph().get_collection(collection, pattern)


@export("contrib.framework.get_model_variables", "contrib.slim.get_model_variables")
def get_model_variables(scope: Any = None, suffix: str | None = None) -> list[Any]:
    """As `get_variables`, of those of models."""
    return get_variables(scope, suffix, GraphKeys.MODEL_VARIABLES)


@export("contrib.framework.get_local_variables", "contrib.slim.get_local_variables")
def get_local_variables(scope: Any = None, suffix: str | None = None) -> list[Any]:
    """As `get_variables`, of those of this process."""
    return get_variables(scope, suffix, GraphKeys.LOCAL_VARIABLES)


@export("contrib.framework.get_trainable_variables", "contrib.slim.get_trainable_variables")
def get_trainable_variables(scope: Any = None, suffix: str | None = None) -> list[Any]:
    """As `get_variables`, of those that are trained."""
    return get_variables(scope, suffix, GraphKeys.TRAINABLE_VARIABLES)


@export("contrib.framework.get_variables_to_restore", "contrib.slim.get_variables_to_restore")
def get_variables_to_restore(
    include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
) -> list[Any]:
    """The variables in the scopes `include` (all if None) that are in none of `exclude`.

    Raises:
        TypeError: one of them is no list or tuple.
    """
    for name, scopes in (("include", include), ("exclude", exclude)):
        if scopes is not None and not isinstance(scopes, list | tuple):
            raise TypeError(f"{name} must be a list/tuple if not None.")
    wanted = get_variables() if include is None else [v for s in include for v in get_variables(s)]
    unwanted = {id(v) for scope in exclude or () for v in get_variables(scope)}
    return [v for v in wanted if id(v) not in unwanted]


@export("contrib.framework.get_variables_by_suffix", "contrib.slim.get_variables_by_suffix")
def get_variables_by_suffix(suffix: str, scope: Any = None) -> list[Any]:
    """The variables whose names end with `suffix`."""
    return get_variables(scope=scope, suffix=suffix)


@export("contrib.framework.get_variables_by_name", "contrib.slim.get_variables_by_name")
def get_variables_by_name(given_name: str, scope: Any = None) -> list[Any]:
    """The variables that are called `given_name` in whatever scope."""
    pattern = re.compile(rf"(.+/)?{re.escape(given_name)}")
    return [v for v in get_variables(scope) if pattern.fullmatch(v.op.name)]


@export("contrib.framework.get_unique_variable", "contrib.slim.get_unique_variable")
def get_unique_variable(var_op_name: str) -> Any:
    """The variable of that name; ValueError unless there is just one."""
    found = [v for v in get_variables(re.escape(var_op_name)) if v.op.name == var_op_name]
    if len(found) != 1:
        raise ValueError(
            f"Variable {var_op_name} does not uniquely identify a variable"
            if found
            else f"Couldn't find variable {var_op_name}"
        )
    return found[0]


@export("contrib.framework.get_variable_full_name", "contrib.slim.get_variable_full_name")
def get_variable_full_name(var: Any) -> str:
    """The name of a variable, or of the whole of which it is a slice."""
    info = getattr(var, "_save_slice_info", None)
    return str(info.full_name if info is not None else var.op.name)


@export("contrib.framework.get_name_scope")
def get_name_scope() -> str:
    """The current name scope, without a slash at its end."""
    return get_default_graph().get_name_scope()
