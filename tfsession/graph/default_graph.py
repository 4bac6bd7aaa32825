"""Scopes and collections of the default graph: `tf.device`, `tf.name_scope` and the like."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.composite import composite_type_of
from tfsession.graph.create import graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor


@export("device")
def device(device_name_or_function: Any) -> AbstractContextManager[None]:
    """Request a device for operations made inside: a name, a DeviceSpec, a function or None."""
    return get_default_graph().device(device_name_or_function)


@export("compat.v2.device")
def device_v2(device_name: Any) -> AbstractContextManager[None]:
    """As `tf.device`, for a name, a DeviceSpec or None; RuntimeError for a function."""
    if callable(device_name):
        raise RuntimeError("tf.device does not support functions.")
    return device(device_name)


@export("container")
def container(container_name: str) -> AbstractContextManager[str]:
    """Keep the state of stateful operations made inside in the named container."""
    return get_default_graph().container(container_name)


@export("colocate_with")
def colocate_with(op: Any, ignore_existing: bool = False) -> AbstractContextManager[None]:
    """Place operations made inside where `op` is placed."""
    return get_default_graph().colocate_with(op, ignore_existing)


@export("control_dependencies")
def control_dependencies(control_inputs: Any) -> AbstractContextManager[Any]:
    """Run operations made inside after the given operations and tensors; None clears."""
    return get_default_graph().control_dependencies(control_inputs)


@export("add_to_collection")
def add_to_collection(name: Any, value: Any) -> None:
    """Append `value` to a collection of the default graph."""
    get_default_graph().add_to_collection(name, value)


@export("add_to_collections")
def add_to_collections(names: Any, value: Any) -> None:
    """Append `value` to each of the named collections, once each."""
    get_default_graph().add_to_collections(names, value)


@export("get_collection_ref")
def get_collection_ref(key: Any) -> list[Any]:
    """The collection itself, made when absent."""
    return get_default_graph().get_collection_ref(key)


@export("get_collection")
def get_collection(key: Any, scope: str | None = None) -> list[Any]:
    """A copy of a collection; with `scope`, the items whose names match it as a prefix regex."""
    return get_default_graph().get_collection(key, scope)


@export("is_tensor")
def is_tensor(x: Any) -> bool:
    """Whether `x` is a Tensor, a Variable, or another object that stands for tensors."""
    if isinstance(x, Tensor) or hasattr(x, "_as_graph_element"):
        return True
    return composite_type_of(x) is not None


@export("name_scope")
class name_scope(AbstractContextManager[str]):
    """Prefix the names of operations made inside; gives the prefix with its slash.

    Args:
        name: the scope's name; with a trailing slash, exactly that prefix; "" leads to the top.
        default_name: the name when `name` is None.
        values: tensors whose graph becomes the default inside.

    Raises:
        TypeError: `default_name` is not a string.
        ValueError: neither name is given though `values` are, or the name is not valid.
    """

    def __init__(self, name: Any, default_name: Any = None, values: Any = None) -> None:
        if not (default_name is None or isinstance(default_name, str)):
            raise TypeError(
                f"`default_name` type ({type(default_name)}) is not a string type. You likely "
                "meant to pass this into the `values` kwarg."
            )
        self._name = default_name if name is None else name
        self._missing = self._name is None and values is not None
        self._values = values
        self._stacks: list[ExitStack] = []

    @property
    def name(self) -> Any:
        """The name asked for."""
        return self._name

    def __enter__(self) -> str:
        if self._missing:
            raise ValueError(
                "At least one of name (None) and default_name (None) must be provided."
            )
        with ExitStack() as stack:
            graph = graph_of(self._values) if self._values else get_default_graph()
            if self._values:
                stack.enter_context(graph.as_default())
            prefix: str = stack.enter_context(graph.name_scope(self._name))
            self._stacks.append(stack.pop_all())
        return prefix

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stacks.pop().__exit__(kind, error, traceback)


@export("op_scope")
def op_scope(values: Any, name: Any, default_name: Any = None) -> name_scope:
    """The older form of `name_scope`."""
    return name_scope(name, default_name, values)
