"""The public names: what `tf.nn.softmax` means, as modules say it of themselves.

The façade, `tfsession/__init__.py`, turns this table into attributes and modules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# Dotted name under `tf` -> object; a Deferred is made when it is first asked for.
names: dict[str, Any] = {}
# Where each was shown: file and line.
_sites: dict[str, tuple[str, int]] = {}


class Deferred:
    """Stands for an object that is costly to make until someone asks for it."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def export_value(value: Any, *dotted: str) -> None:
    """Show `value` to users under the dotted names, such as `"float32"` and `"dtypes.float32"`.

    Raises:
        ValueError: a name stands for another object already, which the same line of an earlier,
            interrupted import of the same module has not made.
    """
    _show(value, dotted, _line_of_caller())


def export(*dotted: str) -> Callable[[T], T]:
    """Show the decorated function or class to users: `@export("nn.softmax", "softmax")`."""
    site = _line_of_caller()

    def register(value: T) -> T:
        _show(value, dotted, site)
        return value

    return register


def _line_of_caller() -> tuple[str, int]:
    frame = sys._getframe(2)
    return frame.f_code.co_filename, frame.f_lineno


def _show(value: Any, dotted: tuple[str, ...], site: tuple[str, int]) -> None:
    for name in dotted:
        known = names.get(name, value)
        if known is not value and _sites[name] != site:
            raise ValueError(f"The public name {name!r} stands for {known!r} already")
        _sites[name] = site  # first: Ctrl-C may come in between
        names[name] = value


def lookup(dotted: str) -> Any:
    """The object of a public name; raises KeyError when there is none."""
    value = names[dotted]
    if isinstance(value, Deferred):
        value = names[dotted] = value.make()
    return value
