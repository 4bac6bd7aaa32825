"""Thread-local stacks of what is the default: graphs here, sessions in tfsession.session."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class DefaultStack(threading.local):
    """A stack of defaults of one thread."""

    def __init__(self) -> None:
        self.stack: list[Any] = []

    @property
    def top(self) -> Any:
        """The innermost default, or None."""
        return self.stack[-1] if self.stack else None

    @contextmanager
    def pushed(self, item: Any) -> Iterator[Any]:
        """Make `item` the default inside the block; blocks must end in LIFO order."""
        self.stack.append(item)
        try:
            yield item
        finally:
            self.pop(item)

    def pop(self, item: Any) -> None:
        """Remove `item`, which must be on top; raises AssertionError otherwise."""
        if not self.stack or self.stack[-1] is not item:
            raise AssertionError(f"Nesting violated for default stack of {type(item)} objects")
        self.stack.pop()
