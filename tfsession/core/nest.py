"""Nests: structures of lists, tuples, named tuples and mappings around leaves, as in `tf.nest`.

Mappings are walked in the order of their sorted keys, views of them (`d.values()`) in their own; a
view is packed as a list. Everything else is a leaf.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, MappingView
from typing import Any


def is_nested(value: Any) -> bool:
    """Whether `value` is a structure, not a leaf."""
    return isinstance(value, list | tuple | Mapping | MappingView)


def flatten(structure: Any) -> list[Any]:
    """The leaves in order; a leaf alone gives a list of itself."""
    if not is_nested(structure):
        return [structure]
    return [leaf for part in parts_of(structure) for leaf in flatten(part)]


def pack(structure: Any, leaves: list[Any]) -> Any:
    """A structure of the same form around other leaves, as many as there are in it."""
    rest = iter(leaves)
    return _packed(structure, rest)


def map_structure(function: Callable[..., Any], *structures: Any) -> Any:
    """The results of `function` over corresponding leaves, in the form of the first structure."""
    columns = zip(*map(flatten, structures), strict=True)
    return pack(structures[0], [function(*leaves) for leaves in columns])


def flatten_up_to(shallow: Any, structure: Any, check_types: bool = True) -> list[Any]:
    """The parts of `structure` where `shallow` has leaves.

    Raises:
        TypeError: `shallow` goes deeper somewhere, or has another type if `check_types`.
        ValueError: it has other sizes or keys.
    """
    if not is_nested(shallow):
        return [structure]
    if not is_nested(structure):
        raise TypeError(
            "If shallow structure is a sequence, input must also be a sequence. "
            f"Input has type: {type(structure)}."
        )
    are_maps = isinstance(shallow, Mapping), isinstance(structure, Mapping)
    if check_types and not all(are_maps) and type(shallow) is not type(structure):
        raise TypeError(
            "The two structures don't have the same sequence type. Input structure has type "
            f"{type(structure)}, while shallow structure has type {type(shallow)}."
        )
    if len(shallow) != len(structure):
        raise ValueError(
            "The two structures don't have the same sequence length. Input structure has length "
            f"{len(structure)}, while shallow structure has length {len(shallow)}."
        )
    if all(are_maps) and set(shallow) != set(structure):
        raise ValueError(
            f"The keys {list(shallow)} of the shallow structure are not those of the input, "
            f"{list(structure)}."
        )
    pairs = zip(parts_of(shallow), parts_of(structure), strict=True)
    return [part for pair in pairs for part in flatten_up_to(*pair, check_types)]


def check_same(first: Any, second: Any) -> None:
    """Hold two structures to one form, types of sequences included.

    Raises:
        TypeError: two sequences or mappings are of different types.
        ValueError: the forms differ otherwise.
    """
    found = _difference(first, second)
    if found is not None:
        kind, text = found
        raise kind(
            "The two structures don't have the same nested structure.\n\n"
            f"First structure: {_text(first)}\n\nSecond structure: {_text(second)}\n\n"
            f"More specifically: {text}"
        )


def parts_of(structure: Any) -> list[Any]:
    """What stands one level under a structure, in order."""
    if isinstance(structure, Mapping):
        return [structure[key] for key in _sorted_keys(structure)]
    return list(structure)


def _sorted_keys(structure: Mapping[Any, Any]) -> list[Any]:
    try:
        return sorted(structure)
    except TypeError:
        raise TypeError("nest only supports dicts with sortable keys.") from None


def _packed(structure: Any, leaves: Iterator[Any]) -> Any:
    if not is_nested(structure):
        return next(leaves)
    return with_parts(structure, [_packed(part, leaves) for part in parts_of(structure)])


def with_parts(structure: Any, parts: list[Any]) -> Any:
    """A structure of the same kind around other parts, as many as `parts_of` gives."""
    if isinstance(structure, Mapping):
        found = dict(zip(_sorted_keys(structure), parts, strict=True))
        pairs = [(key, found[key]) for key in structure]
        kind: Any = type(structure)
        if isinstance(structure, defaultdict):
            return kind(structure.default_factory, pairs)
        return kind(pairs)
    if hasattr(structure, "_fields"):
        return type(structure)(*parts)
    return parts if isinstance(structure, MappingView) else type(structure)(parts)


def _difference(first: Any, second: Any) -> tuple[type[Exception], str] | None:
    """Where two structures differ first, in words."""
    if is_nested(first) != is_nested(second):
        nested, leaf = (first, second) if is_nested(first) else (second, first)
        text = f"Substructure {_text(nested)} is a sequence, while substructure {leaf} is not."
        return ValueError, text
    if not is_nested(first):
        return None
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return ValueError, f"The keys {list(first)} differ from the keys {list(second)}."
    elif type(first) is not type(second):
        names = type(first).__name__, type(second).__name__
        return TypeError, f"The types {names[0]} and {names[1]} differ."
    elif len(first) != len(second):
        return ValueError, f"They have {len(first)} and {len(second)} elements."
    pairs = zip(parts_of(first), parts_of(second), strict=True)
    return next((d for d in (_difference(a, b) for a, b in pairs) if d is not None), None)


def _text(structure: Any) -> str:
    return f"type={type(structure).__name__} str={structure}"
