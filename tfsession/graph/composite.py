"""Composite types: objects that stand for several tensors, such as a SparseTensor.

Each type says here how it comes apart and together; sessions, `identity` and `group` go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tfsession.core import nest


class CompositeType(NamedTuple):
    """How objects of a type that stand for several tensors come apart and together."""

    type: type
    components: Callable[[Any], Sequence[Any]]
    contract: Callable[[list[Any]], Any]
    expand: Callable[[Any], Iterable[Any]]
    convert: Callable[[Callable[[Any], Any], Any], Any] | None
    is_value: bool


_composite_types: list[CompositeType] = []


def register_composite_type(
    cls: type,
    components: Callable[[Any], Sequence[Any]],
    contract: Callable[[list[Any]], Any],
    expand: Callable[[Any], Iterable[Any]] = iter,
    convert: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    is_value: bool = True,
) -> None:
    """Let sessions fetch and feed objects of `cls`, which stand for several tensors.

    Args:
        cls: the type, subclasses included; where two fit, the one registered last is taken.
        components: gives the tensors of an object.
        contract: makes what a fetch gives from the values of the components.
        expand: gives the components' values of a value that is fed.
        convert: takes a function and an object, gives one of the components that the function
            makes of those of the object.
        is_value: False for objects that only conditionals and loops take apart.
    """
    made = CompositeType(cls, components, contract, expand, convert, is_value)
    _composite_types.insert(0, made)


def composite_type_of(value: Any) -> CompositeType | None:
    """How `value` comes apart if it stands for several tensors of which it is made, else None."""
    composite = _type_of(value)
    return composite if composite is not None and composite.is_value else None


def _type_of(value: Any) -> CompositeType | None:
    for composite in _composite_types:
        if isinstance(value, composite.type):
            return composite
    return None


def map_components(function: Callable[[Any], Any], value: Any) -> Any:
    """`function(value)`; of a composite, one like it whose components `function` has made."""
    composite = _type_of(value)
    if composite is None or composite.convert is None:
        return function(value)
    return composite.convert(function, value)


def components_of(value: Any) -> list[Any]:
    """The components of a composite; anything else alone."""
    composite = _type_of(value)
    return [value] if composite is None else list(composite.components(value))


def flatten(structure: Any) -> list[Any]:
    """The leaves of a nest in order, composites as their components."""
    return [part for leaf in nest.flatten(structure) for part in components_of(leaf)]


def map_leaves(function: Callable[[Any], Any], structure: Any) -> Any:
    """A nest of the same form, whose leaves and components `function` has made."""
    return nest.map_structure(lambda leaf: map_components(function, leaf), structure)


def pack(structure: Any, leaves: Iterable[Any]) -> Any:
    """A nest of the same form, composites included, around other leaves."""
    rest = iter(leaves)
    return map_leaves(lambda _: next(rest), structure)


def check_same(first: Any, second: Any, told_first: str = "") -> None:
    """As `nest.check_same`; composites are to be of one type, else ValueError, `told_first`."""
    nest.check_same(first, second)
    for one, other in zip(nest.flatten(first), nest.flatten(second), strict=True):
        kinds = [_type_of(leaf) for leaf in (one, other)]
        if kinds[0] is not kinds[1] or len(components_of(one)) != len(components_of(other)):
            raise ValueError(
                f"{told_first}The two structures don't have the same nested structure.\n\n"
                f"First structure: {first}\n\nSecond structure: {second}\n\n"
                f"More specifically: {one} stands for other tensors than {other}."
            )
