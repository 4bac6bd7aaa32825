"""Composite types: objects that stand for several tensors, such as a SparseTensor.

Each type says here how it comes apart and together; sessions, `identity` and `group` go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple


class CompositeType(NamedTuple):
    """How objects of a type that stand for several tensors come apart and together."""

    type: type
    components: Callable[[Any], Sequence[Any]]
    contract: Callable[[list[Any]], Any]
    expand: Callable[[Any], Iterable[Any]]
    convert: Callable[[Callable[[Any], Any], Any], Any] | None


_composite_types: list[CompositeType] = []


def register_composite_type(
    cls: type,
    components: Callable[[Any], Sequence[Any]],
    contract: Callable[[list[Any]], Any],
    expand: Callable[[Any], Iterable[Any]] = iter,
    convert: Callable[[Callable[[Any], Any], Any], Any] | None = None,
) -> None:
    """Let sessions fetch and feed objects of `cls`, which stand for several tensors.

    Args:
        cls: the type, subclasses included; where two fit, the one registered last is taken.
        components: gives the tensors of an object.
        contract: makes what a fetch gives from the values of the components.
        expand: gives the components' values of a value that is fed.
        convert: takes a function and an object, gives one of the components that the function
            makes of those of the object.
    """
    _composite_types.insert(0, CompositeType(cls, components, contract, expand, convert))


def composite_type_of(value: Any) -> CompositeType | None:
    """How `value` comes apart if it stands for several tensors, else None."""
    for composite in _composite_types:
        if isinstance(value, composite.type):
            return composite
    return None


def map_components(function: Callable[[Any], Any], value: Any) -> Any:
    """`function(value)`; of a composite, one like it whose components `function` has made."""
    composite = composite_type_of(value)
    if composite is None or composite.convert is None:
        return function(value)
    return composite.convert(function, value)
