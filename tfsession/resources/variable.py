"""The value of a variable: one array in one memory, replaced or updated under a lock."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from tfsession.core import forking
from tfsession.core.dtypes import DType, float32
from tfsession.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OpError,
)
from tfsession.core.shape import Shape
from tfsession.devices.memory import charged
from tfsession.devices.threads import write_blocks


class Moves:
    """Tells that a variable lies elsewhere: whoever knows where all of them lie looks again.

    Attributes:
        last: another object after each move; to hold it keeps it from coming again.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.note()

    def note(self) -> None:
        """A variable has just got another array."""
        self.last = object()


moves = Moves()


def _copy(array: Any, value: Any) -> None:
    array[...] = value


def _stands_alone(value: Any) -> bool:
    """Whether the memory of an array is its own, and all of it is in use."""
    flags = getattr(value, "flags", None)
    return flags is not None and value.ndim > 0 and flags.owndata and flags.c_contiguous


class Variable:
    """A variable's storage. Readers get the array itself, not a copy.

    A reference variable (VariableV2) is updated in place, so that readers of the same step see the
    change, as in TensorFlow. A resource variable (VarHandleOp) is updated in place only when nobody
    holds its array or a view of it, so that readers keep a snapshot.

    Attributes:
        updates: how often it was written to; by it a recorded step is told what it writes to.
    """

    __slots__ = ("__weakref__", "array", "container", "dtype", "lock", "name", "shape", "updates")

    is_reference: ClassVar[bool]

    def __init__(
        self, name: str, dtype: DType, container: str, shape: Shape = None, lock: Any = None
    ) -> None:
        """`lock` is held by who updates it; its own if there is none."""
        self.name = name
        self.dtype = dtype
        self.container = container
        self.shape = shape
        self.array: Any = None
        self.updates = 0
        self.lock = lock or forking.rlock()

    @property
    def is_initialized(self) -> bool:
        """Whether a value was assigned."""
        return self.array is not None

    def read(self) -> Any:
        """The array; raises FailedPreconditionError before the first assignment."""
        with self.lock:
            array = self.array
        if array is None:
            raise self.uninitialized()
        return array

    def uninitialized(self) -> OpError:
        """The error of a read before the first assignment."""
        raise NotImplementedError

    def missing(self) -> OpError:
        """The error of an update before the first assignment."""
        return self.uninitialized()

    def place(self, array: Any) -> None:
        """Keep this array from now on, without a copy, or none."""
        self.array = array
        moves.note()

    def is_shared(self, known: int = 0) -> bool:
        """Whether anything but the variable holds the array or a view of it.

        `known` references of the caller's do not count.
        """
        return self._references() > _OWN_REFERENCES + known

    def _references(self) -> int:
        return sys.getrefcount(self.array)

    def writable(self) -> Any:
        """The array to update in place, a private copy first where a snapshot must stay.

        The caller holds `lock`. Raises the error of a missing value.
        """
        if self.array is None:
            raise self.missing()
        self.updates += 1
        if not self.is_reference and self.is_shared():
            self.place(charged(self.array.copy()))
        return self.array

    def assign(self, value: Any, owned: bool = False) -> None:
        """Take a copy of `value`, in place where the shape allows and no snapshot must stay.

        Args:
            value: an array, or a NumPy scalar.
            owned: nobody else has it: the variable keeps the array itself where it can.
        """
        with self.lock:
            self.updates += 1
            fits = (
                self.array is not None
                and self.array.shape == value.shape
                and self.array.dtype == value.dtype
            )
            if owned and not (fits and self.is_reference) and _stands_alone(value):
                self.place(charged(value))
            elif fits and (self.is_reference or not self.is_shared()):
                write_blocks(_copy, self.array, value)
            else:
                # A NumPy scalar, as ufuncs give for rank 0, copies to a scalar: [...] helps.
                self.place(charged(value[...].copy()))

    def release(self) -> None:
        """Give the memory back; the variable is uninitialized then."""
        with self.lock:
            self.place(None)


class ReferenceVariable(Variable):
    """The storage behind a VariableV2 operation."""

    __slots__ = ()

    is_reference = True

    def read(self) -> Any:
        """The array itself: later updates of the same step show in it."""
        array = self.array
        if array is None:
            raise self.uninitialized()
        return array

    def uninitialized(self) -> OpError:
        """The error of a read before the first assignment."""
        return FailedPreconditionError(
            None, None, f"Attempting to use uninitialized value {self.name}"
        )


class ResourceVariable(Variable):
    """The storage behind a VarHandleOp operation.

    It exists from its first value on; `containers` holds those of its device that exist.
    """

    __slots__ = ("containers",)

    is_reference = False

    def __init__(
        self,
        name: str,
        dtype: DType,
        container: str,
        shape: Shape = None,
        containers: set[str] | None = None,
        lock: Any = None,
    ) -> None:
        super().__init__(name, dtype, container, shape, lock)
        self.containers: set[str] = set() if containers is None else containers

    def assign(self, value: Any, owned: bool = False) -> None:
        """As any variable's; then its container exists, too."""
        super().assign(value, owned)
        self.containers.add(self.container)

    def existing(self, dtype: DType) -> Any:
        """The array.

        Raises:
            NotFoundError: there is no value.
            InvalidArgumentError: it is not of the dtype for which it is wanted.
        """
        with self.lock:
            array, found = self.array, self.dtype
        if array is None:
            raise self.missing()
        if found is not dtype:
            raise wrong_dtype(dtype, found)
        return array

    def uninitialized(self) -> OpError:
        """The error of a read before the first assignment."""
        return FailedPreconditionError(
            None,
            None,
            f"Could not find variable {self.name}. This could mean that the variable has been "
            "deleted. In TF1, it can also mean the variable is uninitialized. Debug info: "
            f"container={self.container}, status error message={self._absence()}",
        )

    def missing(self) -> OpError:
        """The error of an update before the first assignment."""
        return NotFoundError(None, None, self._absence())

    def _absence(self) -> str:
        if self.container not in self.containers:
            return (
                f"Container {self.container} does not exist. (Could not find resource: "
                f"{self.container}/{self.name})"
            )
        return f"Resource {self.container}/{self.name}/N10tensorflow3VarE does not exist."


def wrong_dtype(wanted: DType, found: DType) -> InvalidArgumentError:
    """The error of reading a variable as one of another dtype."""
    return InvalidArgumentError(
        None,
        None,
        f"Trying to read variable with wrong dtype. Expected {wanted.op_def_name} got "
        f"{found.op_def_name}",
    )


def locks_of(*variables: Variable) -> list[Any]:
    """The locks of variables that are updated together, in the order in which to take them.

    In one order for all, so that steps of several threads cannot wait for each other. To be entered
    as they are, `with first, second:`: Ctrl-C may come before the first line of any `__exit__` that
    is written in Python.
    """
    return sorted({variable.lock for variable in variables}, key=id)


def arrays_of(*variables: Variable) -> list[Any]:
    """The arrays to write to; the caller holds the locks.

    Raises:
        FailedPreconditionError: a variable has no value.
    """
    for variable in variables:
        if variable.array is None:
            raise FailedPreconditionError(
                None, None, f"Attempting to use uninitialized value {variable.name}"
            )
    return [variable.writable() for variable in variables]


def _own_references() -> int:
    probe = ResourceVariable("", float32, "")
    probe.array = object()
    return probe._references()


# What getrefcount says when only the variable holds its array; it differs between Python versions.
_OWN_REFERENCES = _own_references()
