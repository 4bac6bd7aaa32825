"""The value of a variable: one array on one device, replaced or updated under a lock."""

from __future__ import annotations

import sys
import threading
from typing import Any

from tfsession.core.dtypes import DType, float32
from tfsession.core.errors import FailedPreconditionError


class Variable:
    """A variable's storage, shared by reference (VariableV2) and resource (VarHandleOp) variables.

    Readers get the array itself, not a copy. A reference variable is updated in place, so readers
    of the same step see the change, as in TensorFlow; a resource variable is updated in place only
    when nobody holds its array, so readers keep a snapshot.
    """

    __slots__ = ("__weakref__", "array", "container", "dtype", "is_reference", "lock", "name")

    def __init__(self, name: str, dtype: DType, container: str, is_reference: bool) -> None:
        self.name = name
        self.dtype = dtype
        self.container = container
        self.is_reference = is_reference
        self.array: Any = None
        self.lock = threading.RLock()

    @property
    def is_initialized(self) -> bool:
        """Whether a value was assigned."""
        return self.array is not None

    def read(self) -> Any:
        """The array; raises FailedPreconditionError before the first assignment."""
        array = self.array
        if array is None:
            raise self.uninitialized()
        return array

    def uninitialized(self) -> FailedPreconditionError:
        """The error of a read before the first assignment."""
        if self.is_reference:
            text = f"Attempting to use uninitialized value {self.name}"
        else:
            text = (
                f"Could not find variable {self.name}. This could mean that the variable has been "
                "deleted. In TF1, it can also mean the variable is uninitialized. Debug info: "
                f"container={self.container}, status error message=Resource {self.container}/"
                f"{self.name}/N10tensorflow3VarE does not exist."
            )
        return FailedPreconditionError(None, None, text)

    def _references(self) -> int:
        # A view keeps its base alive, so views count as well.
        return sys.getrefcount(self.array)

    def is_shared(self) -> bool:
        """Whether anything but the variable holds the array or a view of it."""
        return self._references() > _OWN_REFERENCES

    def writable(self) -> Any:
        """The array to update in place: a private copy first where a snapshot must stay."""
        if self.array is None:
            raise self.uninitialized()
        if not self.is_reference and self.is_shared():
            self.array = self.array.copy()
        return self.array

    def assign(self, value: Any) -> None:
        """Take a copy of `value`, in place where the shape allows and no snapshot must stay."""
        if (
            self.array is not None
            and self.array.shape == value.shape
            and self.array.dtype == value.dtype
            and (self.is_reference or not self.is_shared())
        ):
            self.array[...] = value
        else:
            self.array = _array_copy(value)

    def release(self) -> None:
        """Give the memory back."""
        self.array = None


def _array_copy(value: Any) -> Any:
    # A NumPy scalar, as ufuncs give for rank 0, copies to a scalar; [...] makes it an array.
    return value[...].copy()


def _own_references() -> int:
    probe = Variable("", float32, "", False)
    probe.array = object()
    return probe._references()


# What getrefcount says when only the variable holds its array; it differs between Python versions.
_OWN_REFERENCES = _own_references()
