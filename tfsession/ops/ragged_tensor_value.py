"""RaggedTensorValue: what fetching a RaggedTensor gives."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tfsession.core.exports import export

Array = np.ndarray[Any, Any]


@export("ragged.RaggedTensorValue")
class RaggedTensorValue:
    """Rows of different lengths: row `i` is `values[row_splits[i]:row_splits[i + 1]]`.

    Args:
        values: an array, or a RaggedTensorValue whose rows are the elements of these.
        row_splits: a vector of int32 or int64, as that of `values` is.

    Raises:
        TypeError: an argument is of a wrong kind.
        ValueError: the row splits of `values` have another dtype.
    """

    __slots__ = ("__weakref__", "_row_splits", "_values")

    def __init__(self, values: Any, row_splits: Any) -> None:
        is_array = isinstance(row_splits, np.ndarray | np.generic)
        if not is_array or row_splits.dtype not in (np.int64, np.int32) or row_splits.ndim != 1:
            raise TypeError("row_splits must be a 1D int32 or int64 numpy array")
        if not isinstance(values, np.ndarray | np.generic | RaggedTensorValue):
            raise TypeError("values must be a numpy array or a RaggedTensorValue")
        if isinstance(values, RaggedTensorValue) and row_splits.dtype != values.row_splits.dtype:
            raise ValueError("row_splits and values.row_splits must have the same dtype")
        self._values = values
        self._row_splits = row_splits

    @property
    def values(self) -> Any:
        """The elements of all rows, one after the other."""
        return self._values

    @property
    def row_splits(self) -> Array:
        """Where each row begins, and where the last one ends."""
        return self._row_splits

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the values."""
        return self._values.dtype

    @property
    def flat_values(self) -> Array:
        """The array of the innermost values."""
        inner = self._values
        return inner.flat_values if isinstance(inner, RaggedTensorValue) else inner

    @property
    def nested_row_splits(self) -> tuple[Array, ...]:
        """The row splits of each ragged dimension, outermost first."""
        inner = self._values
        nested = inner.nested_row_splits if isinstance(inner, RaggedTensorValue) else ()
        return (self._row_splits, *nested)

    @property
    def ragged_rank(self) -> int:
        """The number of ragged dimensions."""
        return len(self.nested_row_splits)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The sizes, None for each ragged dimension."""
        return (self._row_splits.shape[0] - 1, None, *self._values.shape[1:])

    def to_list(self) -> list[Any]:
        """The rows as nested lists."""
        inner = self._values
        items = inner.to_list() if isinstance(inner, RaggedTensorValue) else inner.tolist()
        bounds = self._row_splits.tolist()
        return [items[start:end] for start, end in pairwise(bounds)]

    def __str__(self) -> str:
        return f"<tf.RaggedTensorValue {self.to_list()}>"

    def __repr__(self) -> str:
        return f"tf.RaggedTensorValue(values={self._values!r}, row_splits={self._row_splits!r})"
