"""What all functions of `tf.contrib.layers` share: their scopes, and the names of variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from tfsession.contrib.model_variables import model_variable
from tfsession.core.exports import export
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor

# Names of tensors for those who look outputs up, as in `slim.utils`.
_aliases: WeakKeyDictionary[Tensor, list[str]] = WeakKeyDictionary()


def renaming_getter(names: Mapping[str, str]) -> Callable[..., Any]:
    """A custom getter: variables of models, under the names that contrib gives them.

    Args:
        names: by the name that a layer of `tf.layers` gives to a variable, contrib's.
    """

    def getter(getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        scope, slash, last = name.rpartition("/")
        return _model_variable(getter, scope + slash + names.get(last, last), *args, **kwargs)

    return getter


def _model_variable(getter: Callable[..., Any], name: str, **kwargs: Any) -> Any:
    def ours(own: Callable[..., Any], name: str, **options: Any) -> Any:
        return getter(name, **{**kwargs, **options})

    return model_variable(
        name,
        shape=kwargs.get("shape"),
        dtype=kwargs.get("dtype"),
        initializer=kwargs.get("initializer"),
        regularizer=kwargs.get("regularizer"),
        trainable=kwargs.get("trainable"),
        collections=kwargs.get("collections"),
        caching_device=kwargs.get("caching_device"),
        partitioner=kwargs.get("partitioner"),
        use_resource=kwargs.get("use_resource"),
        custom_getter=ours,
    )


def variables_collections_of(collections: Any, name: str) -> Any:
    """The collections for a variable: the same for all, or by its name in a dict."""
    return collections.get(name) if isinstance(collections, dict) else collections


def collect_variable(variable: Any, collections: Any, name: str) -> None:
    """Put a variable of a layer, or its slices, into the collections asked for."""
    for key in variables_collections_of(collections, name) or ():
        parts = list(variable) if hasattr(variable, "_get_variable_list") else [variable]
        known = get_default_graph().get_collection_ref(key)
        known += [part for part in parts if not any(part is other for other in known)]


def collect_output(collections: Any, alias: str, output: Tensor) -> Tensor:
    """Put an output into the collections asked for, under the name of its scope."""
    if collections:
        _aliases.setdefault(output, []).append(alias)
        get_default_graph().add_to_collections(collections, output)
    return output


def _name_of(tensor: Tensor) -> str:
    return _aliases.get(tensor, [tensor.op.name])[0]


@export(*(f"contrib.{room}.utils.convert_collection_to_dict" for room in ("layers", "slim")))
def convert_collection_to_dict(collection: str, clear_collection: bool = False) -> dict[str, Any]:
    """The outputs in a collection by the names of the layers that gave them."""
    found = get_default_graph().get_collection(collection)
    if clear_collection:
        get_default_graph().clear_collection(collection)
    return {_name_of(tensor): tensor for tensor in found}
