"""Values of variant tensors: lists of tensors, and what may be absent.

None of them changes once it was made: to change one is to make another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import DType, string, variant
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.shape import Shape, is_fully_defined


def refuse(text: str) -> InvalidArgumentError:
    """The error of a wrong input."""
    return InvalidArgumentError(None, None, text)


def zeros(xp: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """An element that nobody has set."""
    if dtype is variant:
        return ABSENT
    if dtype is string:
        return np.full(shape, b"", object)
    return xp.zeros(shape, dtype.numpy)


class TensorList:
    """Tensors of one dtype whose shapes fit `shape`; None stands for one that was not set.

    Lists share their memory: each is the first `length` items, and the longest one may grow there.
    """

    __slots__ = ("_items", "dtype", "length", "limit", "shape")

    def __init__(
        self, dtype: DType, shape: Shape, items: list[Any], length: int, limit: int | None = None
    ) -> None:
        self.dtype, self.shape, self.limit = dtype, shape, limit
        self._items, self.length = items, length

    def items(self) -> list[Any]:
        """The elements, as a list of the caller's own."""
        return self._items[: self.length]

    def _like(self, items: list[Any]) -> TensorList:
        return TensorList(self.dtype, self.shape, items, len(items), self.limit)

    def check(self, dtype: DType, shape: tuple[int, ...] | None = None) -> None:
        """Raise InvalidArgumentError unless an element of such dtype and shape fits."""
        if dtype is not self.dtype:
            raise refuse(
                f"Invalid data types; list elements {self.dtype.name} but tried to use {dtype.name}"
            )
        if shape is not None:
            self.merged(shape)

    def merged(self, shape: Shape) -> Shape:
        """The shape of elements that fit `shape` too."""
        try:
            return shape_lib.merge(self.shape, shape)
        except ValueError:
            raise refuse(
                "Tried to use an element or shape that does not fit the list: "
                f"{shape_lib.debug_string(shape)} against {shape_lib.debug_string(self.shape)}"
            ) from None

    def pushed(self, element: Any) -> TensorList:
        """With one more element."""
        if self.limit is not None and self.length >= self.limit:
            raise refuse(
                f"Tried to push item into a full list list size: {self.length} max_num_elements: "
                f"{self.limit}"
            )
        items = self._items
        if len(items) != self.length:
            # Another list has gone on from here.
            items = self.items()
        items.append(element)
        return TensorList(self.dtype, self.shape, items, self.length + 1, self.limit)

    def popped(self) -> TensorList:
        """Without the last element."""
        return TensorList(self.dtype, self.shape, self._items, self.length - 1, self.limit)

    def element(self, xp: Any, index: int, shape: Shape) -> Any:
        """One element, or zeros of `shape` where it was not set."""
        if not 0 <= index < self.length:
            raise refuse(f"Trying to access element {index} in a list with {self.length} elements.")
        found = self._items[index]
        if found is not None:
            return found
        known = self.merged(shape)
        for other in self.items():
            if other is not None and not is_fully_defined(known) and self.dtype is not variant:
                known = other.shape
        if self.dtype is not variant and not is_fully_defined(known):
            raise refuse(
                "Trying to read an uninitialized tensor but element_shape is not fully defined: "
                f"{shape_lib.debug_string(known)} and no uninitialized tensor is present"
            )
        return zeros(xp, known or (), self.dtype)  # type: ignore[arg-type]

    def replaced(self, index: int, element: Any, may_grow: bool) -> TensorList:
        """With another element at `index`."""
        items = self.items()
        if may_grow and index >= self.length:
            items += [None] * (index + 1 - self.length)
        elif not 0 <= index < self.length:
            raise refuse(f"Trying to modify element {index} in a list with {self.length} elements.")
        items[index] = element
        return self._like(items)

    def resized(self, size: int) -> TensorList:
        """Cut, or filled with elements that are not set."""
        items = self._items[: min(size, self.length)]
        return self._like(items + [None] * (size - len(items)))

    def joined(self, other: TensorList) -> TensorList:
        """All elements of both."""
        other.check(self.dtype)
        self.merged(other.shape)
        return self._like(self.items() + other.items())

    def zeroed(self, xp: Any) -> TensorList:
        """Zeros in the places of the elements."""
        return self._like([None if x is None else zeros_like(xp, x) for x in self.items()])

    def added(self, other: Any) -> TensorList:
        """Sums of the elements; one that is not set counts as zeros."""
        if not isinstance(other, TensorList) or other.length != self.length:
            raise refuse(
                "Trying to add two lists of tensors with different lengths: "
                f"{self.length} and {getattr(other, 'length', 'no list')}"
            )
        pairs = zip(self.items(), other.items(), strict=True)
        return self._like([b if a is None else a if b is None else added(a, b) for a, b in pairs])


class Optional:
    """Some tensors, or their absence."""

    __slots__ = ("components",)

    def __init__(self, components: tuple[Any, ...] | None) -> None:
        self.components = components

    def zeroed(self, xp: Any) -> Optional:
        """Zeros in the places of what is there."""
        if self.components is None:
            return self
        return Optional(tuple(zeros_like(xp, x) for x in self.components))

    def added(self, other: Any) -> Optional:
        """Sums of what is there; both have a value, or neither."""
        mine, theirs = self.components, getattr(other, "components", None)
        if (mine is None) != (theirs is None):
            raise refuse("Cannot add optionals because one has a value and the other doesn't.")
        if mine is None or theirs is None:
            return self
        if len(mine) != len(theirs):
            raise refuse("Cannot add optionals because they have different numbers of components.")
        return Optional(tuple(added(a, b) for a, b in zip(mine, theirs, strict=True)))


ABSENT = Optional(None)


def zeros_like(xp: Any, value: Any) -> Any:
    """Zeros of an array, or of what a variant holds."""
    if isinstance(value, TensorList | Optional):
        return value.zeroed(xp)
    if value.dtype == object:
        return np.full(value.shape, b"", object)
    return xp.zeros(value.shape, value.dtype)


def added(a: Any, b: Any) -> Any:
    """The sum of two arrays, or of what two variants hold."""
    if isinstance(a, TensorList | Optional):
        return a.added(b)
    if a.shape != b.shape:
        raise refuse(
            f"Trying to add two tensors with incompatible element shapes. One is {list(a.shape)} "
            f"and the other is {list(b.shape)}"
        )
    return a + b
