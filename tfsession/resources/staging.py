"""Staging areas: elements that one step puts down, on its device, for a later one to take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from tfsession.core import forking
from tfsession.core.errors import InvalidArgumentError, ResourceExhaustedError
from tfsession.resources.waits import WAIT, Waits

# One value for each component: arrays that nobody else can write to, and handles.
Element = tuple[Any, ...]


class StagingArea(Waits):
    """Elements, first in, first out; an element is a tuple of any number of values.

    Args:
        capacity: how many elements there may be; 0 for any number.
        memory_limit: how many bytes they may have together; 0 for any number.
    """

    def __init__(self, capacity: int, memory_limit: int) -> None:
        super().__init__()
        self._capacity = capacity
        self._memory_limit = memory_limit
        self._items: deque[Element] = deque()
        self._bytes = 0

    def put(self, element: Element) -> Any:
        """Add an element; a Pending while there is no room.

        Raises:
            ResourceExhaustedError: it is larger than all that there may be.
        """
        size, limit = _bytes(element), self._memory_limit
        if limit and size > limit:
            raise ResourceExhaustedError(
                None,
                None,
                f"Attempted to insert tensors with combined size of '{size}' bytes into Staging "
                f"Area with a memory limit of '{limit}'.",
            )

        def put() -> Any:
            is_full = self._capacity and len(self._items) >= self._capacity
            if is_full or (limit and self._bytes + size > limit):
                return WAIT
            self._items.append(element)
            self._bytes += size
            return None

        return self._perform("Stage", put)

    def get(self, check: Callable[[Element], None]) -> Any:
        """Take the oldest element; a Pending while there is none.

        `check` may refuse the element; it is gone then, too.
        """

        def get() -> Any:
            if not self._items:
                return WAIT
            element = self._items.popleft()
            self._bytes -= _bytes(element)
            check(element)
            return element

        return self._perform("Unstage", get)

    def peek(self, index: int, check: Callable[[Element], None]) -> Any:
        """The element at a place from the oldest on, which stays; a Pending while there is none.

        Raises:
            InvalidArgumentError: `index` is negative.
        """
        if index < 0:
            raise InvalidArgumentError(
                None, None, f"An index into a staging area must not be negative, but is {index}"
            )

        def peek() -> Any:
            if index >= len(self._items):
                return WAIT
            check(self._items[index])
            return self._items[index]

        return self._perform("StagePeek", peek)

    def clear(self) -> None:
        """Drop all elements."""
        self._change(self._forget)

    @property
    def size(self) -> int:
        """How many elements there are."""
        with forking.once_free(self._lock):
            return len(self._items)

    def _forget(self) -> None:
        self._items.clear()
        self._bytes = 0


def _bytes(element: Element) -> int:
    return sum([getattr(value, "nbytes", 0) for value in element])
