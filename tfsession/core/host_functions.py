"""Python functions that operations call, by the token that stands in their attributes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

Function = Callable[..., Any]
# The collection in which a graph keeps those that its operations call.
HOST_FUNCTIONS_KEY = ("__host_functions",)


class HostFunction:
    """A function with its token; it can be called as long as somebody keeps this object."""

    __slots__ = ("__weakref__", "function", "token")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.token = f"pyfunc_{next(_numbers)}"
        _known[self.token] = self


def host_function(token: str) -> Function:
    """The function of a token.

    Raises:
        ValueError: there is none: it belongs to another process, or to a graph that is gone.
    """
    found = _known.get(token)
    if found is None:
        raise ValueError(f"Could not find callback with key={token} in the registry.")
    return found.function


_numbers = itertools.count()
_known: WeakValueDictionary[str, HostFunction] = WeakValueDictionary()
