"""The elements of a TensorArray, made anew in each step; and the sums of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, count
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError, OpError, UnimplementedError
from tfsession.core.shape import Shape, debug_string, is_compatible, is_fully_defined, merge

_numbers = count()
_UNKNOWN = "<unknown>"
_AT_ONCE = 8


class TensorArray:
    """Elements of one dtype, by number; each in the memory in which it was written.

    Args:
        name: what errors call it.
        dtype: of the elements.
        size: how many there are.
        shape: what is known of the shape of all.
        grows: whether writing more makes it larger.
        clears: whether elements are dropped once they are read.
        is_uniform: whether the first element tells the shape of all.
    """

    container = "_tensor_arrays"

    __slots__ = (
        "_clears",
        "_elements",
        "_gradients",
        "_grows",
        "_is_closed",
        "_is_gradient",
        "_is_uniform",
        "_read",
        "_shape",
        "_shapes",
        "dtype",
        "name",
    )

    def __init__(
        self,
        name: str,
        dtype: DType,
        size: int,
        shape: Shape,
        *,
        grows: bool,
        clears: bool,
        is_uniform: bool,
    ) -> None:
        self.name = f"{name}_{next(_numbers)}"
        self.dtype = dtype
        self._shape = shape
        self._grows = grows
        self._clears = clears
        self._is_uniform = is_uniform
        # None for what was not written, or was read and dropped: then it is in `_read`.
        self._elements: list[Any] = [None] * size
        self._shapes: list[Shape] = [None] * size
        self._read: set[int] = set()
        self._gradients: dict[str, TensorArray] = {}
        self._is_gradient = False
        self._is_closed = False

    @property
    def size(self) -> int:
        """How many elements there are; raises InvalidArgumentError when it is closed."""
        self._check_open()
        return len(self._elements)

    # --- writing --------------------------------------------------------------------------------

    def write(self, index: int, value: Any, dtype: DType) -> None:
        """Take an element; where gradients are summed, add it.

        Raises:
            InvalidArgumentError: the number, the dtype or the shape does not suit, or the element
                was written before.
        """
        elements = self._elements
        if dtype is not self.dtype or not 0 <= index < len(elements):
            self._make_room(index, dtype)
        shape = value.shape
        if (shape != self._shape and self._shape is not None) or self._shapes[index] is not None:
            value = self._checked(index, value)
        elif self._is_uniform:
            self._shape = shape
        elements[index] = value
        self._shapes[index] = shape

    def _make_room(self, index: int, dtype: DType) -> None:
        self._check_open()
        if dtype is not self.dtype:
            raise _refuse(
                f"TensorArray dtype is {self.dtype.op_def_name} but Op is trying to write dtype "
                f"{dtype.op_def_name}."
            )
        size = len(self._elements)
        if index < 0 or (index >= size and not self._grows):
            raise self._error(
                f"Tried to write to index {index} but array is not resizeable and size is: {size}"
            )
        self.grow(index + 1)

    def grow(self, size: int) -> None:
        """Have at least so many elements."""
        missing = max(0, size - len(self._elements))
        self._elements += [None] * missing
        self._shapes += [None] * missing

    def _checked(self, index: int, value: Any) -> Any:
        """What is to be kept at a place that has a shape, or in an array that has."""
        shape, expected = value.shape, self._shapes[index] if self._is_gradient else None
        if not is_compatible(shape, self._shape):
            expected = self._shape
        if expected is not None and not is_compatible(shape, expected):
            raise self._error(
                f"Could not write to TensorArray index {index} because the value shape is "
                f"{debug_string(shape)} which is incompatible with the TensorArray's inferred "
                f"element shape: {debug_string(expected)} (consider setting infer_shape=False)."
            )
        if self._is_uniform:
            self._shape = merge(self._shape, shape)
        there = self._elements[index]
        if index in self._read:
            raise self._error(
                f"Could not write to TensorArray index {index} because it has already been read."
            )
        if there is None:
            return value
        if not self._is_gradient:
            raise self._error(
                f"Could not write to TensorArray index {index} because it has already been "
                "written to."
            )
        return there + value

    # --- reading --------------------------------------------------------------------------------

    def read(self, xp: Any, index: int, dtype: DType) -> Any:
        """An element; zeros where none was written and the shape is known.

        Raises:
            InvalidArgumentError: there is no such element, or it was dropped, or has another dtype.
        """
        elements = self._elements
        if dtype is self.dtype and 0 <= index < len(elements):
            value = elements[index]
            if value is not None:
                self._read.add(index)
                if self._clears:
                    elements[index] = None
                return value
        return self._zeros(xp, index, dtype)

    def _zeros(self, xp: Any, index: int, dtype: DType) -> Any:
        self._check_open()
        if dtype is not self.dtype:
            raise _refuse(
                f"TensorArray dtype is {self.dtype.op_def_name} but Op requested dtype "
                f"{dtype.op_def_name}."
            )
        if not 0 <= index < len(self._elements):
            raise _refuse(
                f"Tried to read from index {index} but array size is: {len(self._elements)}"
            )
        if self._clears and index in self._read:
            raise self._error(
                f"Could not read index {index} twice because it was cleared after a previous read "
                "(perhaps try setting clear_after_read = false?)."
            )
        shape = self._shapes[index]
        if shape is None:
            shape = self._shape
        if not is_fully_defined(shape):
            raise self._error(
                f"Could not read from TensorArray index {index}.  Furthermore, the element shape "
                f"is not fully defined: {debug_string(shape, _UNKNOWN)}.  It is possible you are "
                "working with a resizeable TensorArray and stop_gradients is not allowing the "
                "gradients to be written.  If you set the full element_shape property on the "
                "forward TensorArray, the proper all-zeros tensor will be returned instead of "
                "incurring this error."
            )
        self._read.add(index)
        self._shapes[index] = shape
        return _filled(xp, shape, dtype)

    def gather(self, xp: Any, indices: Sequence[int], dtype: DType, shape: Shape) -> Any:
        """The elements of these numbers, stacked; raises as `read` does.

        Raises:
            InvalidArgumentError: elements differ in shape.
            UnimplementedError: there are none, and their shape is not known.
        """
        if not indices:
            self._check_open()
            known = merge(shape, self._shape) if is_compatible(shape, self._shape) else shape
            if not is_fully_defined(known):
                raise UnimplementedError(
                    None,
                    None,
                    "TensorArray has size zero, but element shape "
                    f"{debug_string(known, _UNKNOWN)} is not fully defined. Currently only static "
                    "shapes are supported when packing zero-size TensorArrays.",
                )
            return _filled(xp, (0, *(known or ())), dtype)
        values = [self.read(xp, index, dtype) for index in indices]
        first = values[0].shape
        for number, value in enumerate(values):
            if value.shape != first:
                raise _refuse(
                    f"TensorArray has inconsistent shapes.  Index {indices[0]} has shape: "
                    f"{debug_string(first)} but index {indices[number]} has shape: "
                    f"{debug_string(value.shape)}"
                )
        if not first:
            return _joined(xp, [value.reshape(1) for value in values])
        return _joined(xp, values).reshape((len(values), *first))

    def concat(self, xp: Any, dtype: DType, shape: Shape) -> tuple[Any, list[int]]:
        """All elements along their first dimension, and how long each is there.

        Raises as `gather` does.
        """
        if not self.size:
            inner = shape if is_fully_defined(shape) else None
            return _filled(xp, (0, *(inner or ())), dtype), []
        values = [self.read(xp, index, dtype) for index in range(self.size)]
        for number, value in enumerate(values):
            if not value.ndim:
                raise _refuse(
                    f"Concat saw a scalar shape at index {number} but requires at least vectors.  "
                    "Did you mean to call pack?"
                )
            if value.shape[1:] != values[0].shape[1:]:
                raise _refuse(
                    "TensorArray has inconsistent shapes.  Index 0 has (excepting dimension 0) "
                    f"shape: {debug_string(values[0].shape[1:])} but index {number} has (excepting "
                    f"dimension 0) shape: {debug_string(value.shape[1:])}"
                )
        return _joined(xp, values), [len(value) for value in values]

    # --- the whole ------------------------------------------------------------------------------

    @property
    def grows(self) -> bool:
        """Whether writing more makes it larger."""
        return self._grows

    def gradients(self, source: str) -> TensorArray:
        """Where the gradients of the elements are summed that `source` computes.

        From now on the array does not grow.

        Raises:
            InvalidArgumentError: this array sums gradients itself.
        """
        self._check_open()
        if self._is_gradient:
            raise _refuse(f"Wrong input container. _tensor_array_grads{self.name}")
        found = self._gradients.get(source)
        if found is None:
            self._grows = False
            found = TensorArray(
                "",
                self.dtype,
                self.size,
                self._shape,
                grows=False,
                clears=True,
                is_uniform=self._is_uniform,
            )
            found.name = f"{self.name}@{source}"
            found._is_gradient = True
            found._shapes = list(self._shapes)
            self._gradients[source] = found
        return found

    def close(self) -> None:
        """Drop the elements for good."""
        self._is_closed = True
        self._elements.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._error("has already been closed.", "")

    def _error(self, text: str, colon: str = ":") -> OpError:
        return _refuse(f"TensorArray {self.name}{colon} {text}")


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _filled(xp: Any, shape: Shape, dtype: DType) -> Any:
    """Zeros, or empty texts."""
    assert shape is not None
    if dtype.numpy.kind == "O":
        return np.full([d or 0 for d in shape], b"", object)
    return xp.zeros(shape, dtype.numpy)


def _joined(xp: Any, values: Sequence[Any]) -> Any:
    """Arrays one behind the other.

    Of more than eight, CuPy has the host tell a kernel where they lie: no recording can hold that.
    """
    if xp is np or len(values) <= _AT_ONCE:
        return xp.concatenate(values)
    lengths = [len(value) for value in values]
    joined = xp.empty((sum(lengths), *values[0].shape[1:]), values[0].dtype)
    for value, end in zip(values, accumulate(lengths), strict=True):
        joined[end - len(value) : end] = value
    return joined


def array_of(handle: Any) -> TensorArray:
    """The array of a handle, which may have been chosen from an array of handles."""
    chosen = handle.item() if isinstance(handle, np.ndarray) and handle.size == 1 else handle
    if not isinstance(chosen, TensorArray):
        raise _refuse(
            "Trying to access resource using the wrong type. Expected a TensorArray, got "
            f"{type(chosen).__name__}"
        )
    return chosen


def parts_of(value: Any, lengths: Sequence[int]) -> list[Any]:
    """Views of the parts of an array, which have these lengths along its first dimension.

    Raises:
        InvalidArgumentError: they are not those of its parts.
    """
    if not value.ndim:
        raise _refuse(
            f"Expected value to be at least a vector, but received shape: {debug_string(())}"
        )
    if sum(lengths) != len(value) or min(lengths, default=0) < 0:
        raise _refuse(
            "Expected sum of lengths to be equal to values.shape[0], but sum of lengths is "
            f"{sum(lengths)} and value's shape is: {debug_string(value.shape)}"
        )
    parts, begin = [], 0
    for length in lengths:
        parts.append(value[begin : begin + length])
        begin += length
    return parts
