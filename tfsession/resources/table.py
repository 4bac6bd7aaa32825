"""Tables: from keys to values, for as long as the session lives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from tfsession.core import forking
from tfsession.core.dtypes import DType
from tfsession.core.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnimplementedError,
)
from tfsession.core.shape import debug_string

Array = Any


class Table:
    """Values of one dtype and shape by keys of one dtype; safe to use from many threads.

    Args:
        name: as it stands in error messages.
        key_dtype: dtype of the keys, which are scalars.
        value_dtype: dtype of the values.
        value_shape: shape of each value.
    """

    kind: ClassVar[str] = "table"

    def __init__(
        self, name: str, key_dtype: DType, value_dtype: DType, value_shape: tuple[int, ...] = ()
    ) -> None:
        self.name = name
        self.key_dtype = key_dtype
        self.value_dtype = value_dtype
        self.value_shape = value_shape
        self._lock = forking.lock()
        # Keys are Python's numbers and bytes; values too if they are scalars, else arrays.
        self._entries: dict[Any, Any] = {}

    def check_shared(self, wanted: Table) -> None:
        """Raise InvalidArgumentError unless the table is what an operation of its name wants."""
        mine, others = ((t.key_dtype, t.value_dtype) for t in (self, wanted))
        if mine != others:
            asked, found = (f"{a.op_def_name}->{b.op_def_name}" for a, b in (others, mine))
            raise _refuse(
                f"Conflicting key/value dtypes {asked} with {found} for table {self.name}"
            )

    def size(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def find(self, keys: Array, default: Array) -> Array:
        """The values of keys; the default, or that of the key, where there is none."""
        flat, wanted, entries = _hashable(keys), keys.shape + self.value_shape, self._entries
        if default.shape == self.value_shape:
            missing = default if self.value_shape else default.item()
            return self._values([entries.get(key, missing) for key in flat], wanted)
        if default.shape != wanted:
            raise _refuse(
                f"Expected shape {debug_string(self.value_shape)} or {debug_string(wanted)} for "
                f"default value, got {debug_string(default.shape)}"
            )
        own = default.reshape(len(flat), *self.value_shape)
        own = own if self.value_shape else own.tolist()
        pairs = zip(flat, own, strict=True)
        return self._values([entries.get(key, missing) for key, missing in pairs], wanted)

    def _values(self, entries: list[Any], shape: tuple[int, ...]) -> Array:
        found = np.empty((len(entries), *self.value_shape), self.value_dtype.numpy)
        if self.value_shape:
            for index, entry in enumerate(entries):
                found[index] = entry
        else:
            found[:] = entries
        return found.reshape(shape)

    def export(self) -> tuple[Array, Array]:
        """All keys, and their values, in the order in which the keys came."""
        with self._lock:
            keys, values = list(self._entries), list(self._entries.values())
        found = np.empty(len(keys), self.key_dtype.numpy)
        found[:] = keys
        return found, self._values(values, (len(keys), *self.value_shape))

    def _pairs(self, keys: Array, values: Array) -> list[tuple[Any, Any]]:
        """Keys and values, checked to fit each other."""
        expected = keys.shape + self.value_shape
        if values.shape != expected:
            raise _refuse(
                f"Expected shape {debug_string(expected)} for value, got "
                f"{debug_string(values.shape)}"
            )
        flat = _hashable(keys)
        # A row is copied, so that it does not keep the whole array.
        rows: Iterable[Any] = (
            (row.copy() for row in values.reshape(len(flat), *self.value_shape))
            if self.value_shape
            else values.ravel().tolist()
        )
        return list(zip(flat, rows, strict=True))

    def insert(self, keys: Array, values: Array) -> None:
        """Give keys new values; of a key that comes twice the last one counts."""
        raise UnimplementedError(None, None, f"Insert not supported by {self.kind} implementations")

    def remove(self, keys: Array) -> None:
        """Forget keys, if they are there."""
        raise UnimplementedError(None, None, f"Remove not supported by {self.kind} implementations")

    def replace(self, keys: Array, values: Array) -> None:
        """Forget everything, and take these entries."""
        raise NotImplementedError

    def initialize(self, keys: Array, values: Array) -> None:
        """Take the entries of a table that is filled once."""
        raise _refuse(f"Table localhost {self.name} is not initializable")


class StaticTable(Table):
    """A table that is filled once, before it is used."""

    kind = "InitializableLookupTable"

    def __init__(self, name: str, key_dtype: DType, value_dtype: DType) -> None:
        super().__init__(name, key_dtype, value_dtype)
        self.is_initialized = False

    def find(self, keys: Array, default: Array) -> Array:
        """As of any table; FailedPreconditionError before it is filled."""
        if not self.is_initialized:
            raise FailedPreconditionError(None, None, "Table not initialized.")
        return super().find(keys, default)

    def export(self) -> tuple[Array, Array]:
        """As of any table; AbortedError before it is filled."""
        if not self.is_initialized:
            raise AbortedError(None, None, "HashTable is not initialized.")
        return super().export()

    def initialize(self, keys: Array, values: Array) -> None:
        """Take the entries, at once or not at all; once more if they are the same.

        Raises:
            FailedPreconditionError: a key comes with two values, or the table has others already.
        """
        entries: dict[Any, Any] = {}
        for key, value in self._pairs(keys, values):
            known = entries.setdefault(key, value)
            if known is not value and known != value:
                raise FailedPreconditionError(
                    None,
                    None,
                    f"HashTable has different value for same key. Key {_shown(key)} has "
                    f"{_shown(known)} and trying to add value {_shown(value)}",
                )
        with self._lock:
            if self.is_initialized and entries != self._entries:
                raise FailedPreconditionError(
                    None, None, "Table was already initialized with different data."
                )
            self._entries, self.is_initialized = entries, True

    replace = initialize


class MutableTable(Table):
    """A table whose entries change from step to step."""

    kind = "MutableHashTable"

    def insert(self, keys: Array, values: Array) -> None:
        """Give keys new values."""
        pairs = self._pairs(keys, values)
        with self._lock:
            self._entries.update(pairs)

    def remove(self, keys: Array) -> None:
        """Forget keys."""
        with self._lock:
            for key in _hashable(keys):
                self._entries.pop(key, None)

    def replace(self, keys: Array, values: Array) -> None:
        """Forget everything, and take these entries."""
        pairs = self._pairs(keys, values)
        with self._lock:
            self._entries = dict(pairs)


class DenseTable(MutableTable):
    """A table that refuses two keys, which TensorFlow's uses to mark places of its own.

    Args:
        name: as it stands in error messages.
        key_dtype: dtype of the keys.
        value_dtype: dtype of the values.
        value_shape: shape of each value.
        empty_key: the key that marks places that were never taken.
        deleted_key: the one that marks those that were given up; None if there is none.

    Raises:
        InvalidArgumentError: the two keys are equal.
    """

    kind = "MutableDenseHashTable"

    def __init__(
        self,
        name: str,
        key_dtype: DType,
        value_dtype: DType,
        value_shape: tuple[int, ...],
        empty_key: Any,
        deleted_key: Any,
    ) -> None:
        super().__init__(name, key_dtype, value_dtype, value_shape)
        self._marks = {empty_key: "empty_key"}
        if deleted_key is not None:
            if deleted_key == empty_key:
                raise _refuse("Empty and deleted keys cannot be equal")
            self._marks[deleted_key] = "deleted_key"

    def _check(self, keys: Array) -> None:
        used = set(_hashable(keys)) & self._marks.keys()
        if used:
            mark = self._marks[used.pop()]
            raise _refuse(f"Using the {mark} as a table key is not allowed")

    def find(self, keys: Array, default: Array) -> Array:
        """As of any table."""
        self._check(keys)
        return super().find(keys, default)

    def insert(self, keys: Array, values: Array) -> None:
        """Give keys new values."""
        self._check(keys)
        super().insert(keys, values)

    def remove(self, keys: Array) -> None:
        """Forget keys."""
        self._check(keys)
        super().remove(keys)

    def replace(self, keys: Array, values: Array) -> None:
        """Forget everything, and take these entries, but for places that TensorFlow has marked."""
        pairs = self._pairs(keys, values)
        with self._lock:
            self._entries = {key: value for key, value in pairs if key not in self._marks}


def _hashable(keys: Array) -> list[Any]:
    return keys.ravel().tolist()  # type: ignore[no-any-return]


def _shown(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)
