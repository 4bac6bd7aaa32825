"""The public names: what `tf.nn.softmax` means, as modules say it of themselves.

The façade, `tfsession/__init__.py`, turns this table into attributes and modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# Dotted name under `tf` -> object; a Deferred is made when it is first asked for.
names: dict[str, Any] = {}


class Deferred:
    """Stands for an object that is costly to make until someone asks for it."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def export_value(value: Any, *dotted: str) -> None:
    """Show `value` to users under the dotted names, such as `"float32"` and `"dtypes.float32"`.

    Raises:
        ValueError: a name stands for another object already, which no earlier, interrupted import
            of the same module has made.
    """
    for name in dotted:
        known = names.setdefault(name, value)
        if known is not value:
            if _origin(known) is None or _origin(known) != _origin(value):
                raise ValueError(f"The public name {name!r} stands for {known!r} already")
            names[name] = value


def _origin(value: Any) -> tuple[str, str] | None:
    name = getattr(value, "__qualname__", None)
    return None if name is None else (value.__module__, name)


def export(*dotted: str) -> Callable[[T], T]:
    """Show the decorated function or class to users: `@export("nn.softmax", "softmax")`."""

    def register(value: T) -> T:
        export_value(value, *dotted)
        return value

    return register


def lookup(dotted: str) -> Any:
    """The object of a public name; raises KeyError when there is none."""
    value = names[dotted]
    if isinstance(value, Deferred):
        value = names[dotted] = value.make()
    return value
