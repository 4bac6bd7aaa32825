"""A stack of tensors, made anew in each step."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError


class Stack:
    """Elements of one dtype, each in the memory in which it was pushed.

    Args:
        name: what errors and fetched handles call it.
        dtype: of the elements.
        limit: how many elements it takes; any number if negative.
    """

    __slots__ = ("_elements", "_is_closed", "_limit", "dtype", "name")

    container: Final = "_stacks"

    def __init__(self, name: str, dtype: DType, limit: int) -> None:
        self.name = name
        self.dtype = dtype
        self._limit = limit
        self._elements: list[Any] = []
        self._is_closed = False

    def push(self, element: Any, dtype: DType) -> None:
        """Put an element on top; raises InvalidArgumentError where it does not suit."""
        if dtype is not self.dtype or self._is_closed or self._limit >= 0:
            self._check(dtype)
            if len(self._elements) >= self._limit >= 0:
                raise InvalidArgumentError(
                    None,
                    None,
                    f"Stack[{self.name}] overflowed its max_size ({self._limit})",
                )
        self._elements.append(element)

    def pop(self, dtype: DType) -> Any:
        """Take the element on top; raises InvalidArgumentError when there is none."""
        if dtype is not self.dtype or not self._elements:
            self._check(dtype)
            if not self._elements:
                raise InvalidArgumentError(
                    None, None, f"Stack[{self.name}] is empty when calling Pop()."
                )
        return self._elements.pop()

    def close(self) -> None:
        """Drop the elements for good."""
        self._is_closed = True
        self._elements.clear()

    def _check(self, dtype: DType) -> None:
        if self._is_closed:
            raise InvalidArgumentError(None, None, f"Stack[{self.name}] has already been closed.")
        if dtype is not self.dtype:
            raise InvalidArgumentError(
                None,
                None,
                f"Must have type {self.dtype.op_def_name} but got {dtype.op_def_name}",
            )


def stack_of(handle: Any) -> Stack:
    """The stack of a handle, which may have been chosen from an array of handles."""
    chosen = handle.item() if isinstance(handle, np.ndarray) and handle.size == 1 else handle
    if not isinstance(chosen, Stack):
        raise InvalidArgumentError(
            None,
            None,
            "Trying to access resource using the wrong type. Expected a stack, got "
            f"{type(chosen).__name__}",
        )
    return chosen
