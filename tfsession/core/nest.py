"""Nests: structures of lists, tuples, named tuples and mappings around leaves, as in `tf.nest`.

Mappings are walked in the order of their sorted keys. Everything else is a leaf.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def is_nested(value: Any) -> bool:
    """Whether `value` is a structure, not a leaf."""
    return isinstance(value, list | tuple | Mapping)


def flatten(structure: Any) -> list[Any]:
    """The leaves in order; a leaf alone gives a list of itself."""
    if not is_nested(structure):
        return [structure]
    return [leaf for part in _parts(structure) for leaf in flatten(part)]


def pack(structure: Any, leaves: list[Any]) -> Any:
    """A structure of the same form around other leaves, as many as there are in it."""
    rest = iter(leaves)
    return _packed(structure, rest)


def map_structure(function: Callable[..., Any], *structures: Any) -> Any:
    """The results of `function` over corresponding leaves, in the form of the first structure."""
    columns = zip(*map(flatten, structures), strict=True)
    return pack(structures[0], [function(*leaves) for leaves in columns])


def check_same(first: Any, second: Any) -> None:
    """Raise ValueError unless both structures have the same form, types of sequences included."""
    found = _difference(first, second)
    if found is not None:
        raise ValueError(
            "The two structures don't have the same nested structure.\n\n"
            f"First structure: {_text(first)}\n\nSecond structure: {_text(second)}\n\n"
            f"More specifically: {found}"
        )


def _parts(structure: Any) -> list[Any]:
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
    if isinstance(structure, Mapping):
        found = {key: _packed(structure[key], leaves) for key in _sorted_keys(structure)}
        pairs = [(key, found[key]) for key in structure]
        kind: Any = type(structure)
        if isinstance(structure, defaultdict):
            return kind(structure.default_factory, pairs)
        return kind(pairs)
    parts = [_packed(part, leaves) for part in structure]
    if hasattr(structure, "_fields"):
        return type(structure)(*parts)
    return type(structure)(parts)


def _difference(first: Any, second: Any) -> str | None:
    """Where two structures differ first, in words."""
    if is_nested(first) != is_nested(second):
        nested, leaf = (first, second) if is_nested(first) else (second, first)
        return f"Substructure {_text(nested)} is a sequence, while substructure {leaf} is not."
    if not is_nested(first):
        return None
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            return f"The keys {list(first)} differ from the keys {list(second)}."
    elif type(first) is not type(second):
        return f"The types {type(first).__name__} and {type(second).__name__} differ."
    elif len(first) != len(second):
        return f"They have {len(first)} and {len(second)} elements."
    pairs = zip(_parts(first), _parts(second), strict=True)
    return next((d for d in (_difference(a, b) for a, b in pairs) if d is not None), None)


def _text(structure: Any) -> str:
    return f"type={type(structure).__name__} str={structure}"
