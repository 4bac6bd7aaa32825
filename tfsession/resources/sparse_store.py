"""Sparse tensors by number, so that queues can hold them; and several of them as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tfsession.core import forking
from tfsession.core.errors import InvalidArgumentError
from tfsession.devices.memory import charged


class Sparse(NamedTuple):
    """The places, values and dense shape of a sparse tensor."""

    indices: np.ndarray
    values: np.ndarray
    shape: np.ndarray

    def owned(self) -> Sparse:
        """The same in memory that nobody else writes to."""
        return Sparse(*[charged(part.copy()) for part in self])


class SparseStore:
    """Sparse tensors that one step puts down and another takes.

    Args:
        name: as it stands in error messages.
        container: where the store lives.
    """

    def __init__(self, name: str, container: str) -> None:
        self.name = name
        self.container = container
        self._lock = forking.lock()
        self._kept: dict[int, Sparse] = {}
        self._next = 0

    def add(self, tensors: Iterable[Sparse]) -> list[int]:
        """Keep sparse tensors; gives their numbers."""
        owned = [tensor.owned() for tensor in tensors]
        with forking.once_free(self._lock):
            first, self._next = self._next, self._next + len(owned)
            self._kept.update(enumerate(owned, first))
        return list(range(first, first + len(owned)))

    def take(self, numbers: Sequence[int]) -> list[Sparse]:
        """Sparse tensors by their numbers, which are no more then.

        Raises:
            InvalidArgumentError: there is none of a number; then all stay.
        """
        with forking.once_free(self._lock):
            for number in numbers:
                if number not in self._kept:
                    text = f"Unable to find SparseTensor: {number} in map: {self.name}"
                    raise InvalidArgumentError(None, None, text)
            found = [self._kept[number] for number in numbers]
            for number in numbers:
                self._kept.pop(number, None)
        return found

    def release(self) -> None:
        """Forget all: the session is closed."""
        with forking.once_free(self._lock):
            self._kept.clear()


def rows_of(tensor: Sparse) -> list[Sparse]:
    """The slices along the first dimension.

    Raises:
        InvalidArgumentError: there is none, or a place is outside of it.
    """
    indices, values, shape = tensor
    if len(shape) < 2:
        text = f"Rank of input SparseTensor should be > 1, but saw rank: {len(shape)}"
        raise InvalidArgumentError(None, None, text)
    count, rest = int(shape[0]), shape[1:].copy()
    numbers = indices[:, 0]
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
        wrong = numbers[(numbers < 0) | (numbers >= count)][0]
        text = f"Received unexpected column 0 value in input SparseTensor: {wrong}"
        raise InvalidArgumentError(None, None, f"{text} < 0 or >= N (= {count})")
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(count + 1))
    parts = [order[start:end] for start, end in pairwise(bounds)]
    return [Sparse(indices[part, 1:], values[part], rest) for part in parts]


def joined(tensors: Sequence[Sparse], dims: tuple[int, ...]) -> Sparse:
    """Sparse tensors as one, with `dims` before their own dimensions, each as large as the largest.

    Raises:
        InvalidArgumentError: they have various ranks or dtypes, or there are none.
    """
    if not tensors or math.prod(dims) != len(tensors):
        raise InvalidArgumentError(
            None, None, "Must have at least 1 serialized SparseTensor, to know the rank of them."
        )
    rank, dtype = len(tensors[0].shape), tensors[0].values.dtype
    for number, tensor in enumerate(tensors):
        if len(tensor.shape) != rank or tensor.values.dtype != dtype:
            raise InvalidArgumentError(
                None,
                None,
                f"Inconsistent rank or dtype across SparseTensors: rank prior to "
                f"SparseTensor[{number}] was: {rank} ({dtype}) but rank of SparseTensor[{number}] "
                f"is: {len(tensor.shape)} ({tensor.values.dtype})",
            )
    if not dims:
        return tensors[0].owned()
    sizes = np.max([tensor.shape for tensor in tensors], axis=0)
    counts = [len(tensor.values) for tensor in tensors]
    before = np.stack(np.unravel_index(np.repeat(np.arange(len(tensors)), counts), dims), axis=1)
    places = np.concatenate([tensor.indices for tensor in tensors])
    return Sparse(
        np.concatenate([before.astype(np.int64), places], axis=1),
        np.concatenate([tensor.values for tensor in tensors]),
        np.concatenate([np.array(dims, np.int64), sizes]),
    )
