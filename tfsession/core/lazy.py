"""Attributes that are computed when they are first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class lazy(Generic[T]):
    """An attribute that `make(self)` gives once; two threads that come at once may both compute it.

    As `functools.cached_property` from Python 3.12 on: before, that one holds a lock, for all
    objects of a class, which a child process may find taken.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, owner: Any, kind: type[Any] | None = None) -> T:
        if owner is None:
            return self  # type: ignore[return-value]
        values: dict[str, T] = owner.__dict__
        return values.setdefault(self._name, self._make(owner))
