"""Datasets: descriptions of sequences of elements, and what goes through them.

An element is a tuple of arrays in host memory, one for each component. A dataset can be gone
through any number of times. An error in one element does not end what goes through: the next
element comes with the next call, as in TensorFlow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.file_system import file_errors
from tfsession.resources.reader_files import Records

Element = tuple[Any, ...]
# A function of the graph: takes the components of an element and gives those of another.
Function = Callable[..., Sequence[Any]]


def refused(text: str) -> InvalidArgumentError:
    """The error for what a dataset cannot do."""
    return InvalidArgumentError(None, None, text)


def text_value(value: bytes) -> Any:
    """A string scalar."""
    array = np.empty((), object)
    array[()] = value
    return array


class Dataset(ABC):
    """What can be gone through."""

    @abstractmethod
    def __iter__(self) -> Iterator[Element]:
        """Go through it from the start."""


class Steps(ABC):
    """What goes through a dataset; `__next__` gives an element or raises StopIteration."""

    def __iter__(self) -> Steps:
        return self

    @abstractmethod
    def __next__(self) -> Element:
        """The next element."""


class TensorDataset(Dataset):
    """One element."""

    def __init__(self, components: Element) -> None:
        self._components = components

    def __iter__(self) -> Iterator[Element]:
        return iter([self._components])


class TensorSliceDataset(Dataset):
    """The rows of its components."""

    def __init__(self, components: Element) -> None:
        arrays = [np.asarray(component) for component in components]
        for index, array in enumerate(arrays):
            if array.ndim == 0:
                raise refused(f"Component {index} of a dataset of slices must not be a scalar.")
            if len(array) != len(arrays[0]):
                raise refused(
                    f"All components must have the same size in the 0th dimension: component 0 has "
                    f"{len(arrays[0])}, component {index} has {len(array)}."
                )
        self._arrays = arrays

    def __iter__(self) -> Iterator[Element]:
        arrays = self._arrays
        # A row of a vector stays an array.
        return (tuple([a[i, ...] for a in arrays]) for i in range(len(arrays[0])))


class RangeDataset(Dataset):
    """Integers from `start` on, by `step`, before `stop`."""

    def __init__(self, start: int, stop: int, step: int, dtype: Any) -> None:
        if step == 0:
            raise refused("step must be a non-zero integer.")
        self._range = range(start, stop, step)
        self._dtype = dtype

    def __iter__(self) -> Iterator[Element]:
        make = self._dtype.type
        return ((make(i),) for i in self._range)


class FileDataset(Dataset):
    """The records of several files, one after another."""

    def __init__(self, names: Sequence[bytes], opened: Callable[[bytes], Records]) -> None:
        self._names = names
        self._opened = opened

    def __iter__(self) -> Iterator[Element]:
        return FileSteps(self._names, self._opened)


class FileSteps(Steps):
    """Goes through files; a damaged one is left at the error."""

    def __init__(self, names: Sequence[bytes], opened: Callable[[bytes], Records]) -> None:
        self._names = iter(names)
        self._opened = opened
        self._file: Records | None = None

    def __next__(self) -> Element:
        with file_errors():
            while True:
                if self._file is None:
                    self._file = self._opened(next(self._names))
                file, self._file = self._file, None
                record = file.read()
                if record is not None:
                    self._file = file
                    return (text_value(record[1]),)
                file.close()


class RepeatDataset(Dataset):
    """A dataset `count` times; without end if that is negative."""

    def __init__(self, source: Dataset, count: int) -> None:
        self._source = source
        self._count = count

    def __iter__(self) -> Iterator[Element]:
        return RepeatSteps(self._source, self._count)


class RepeatSteps(Steps):
    """Goes through a dataset again and again."""

    def __init__(self, source: Dataset, count: int) -> None:
        self._source = source
        self._left = count
        self._steps: Iterator[Element] | None = None

    def __next__(self) -> Element:
        while self._left != 0:
            fresh = self._steps is None
            if self._steps is None:
                self._steps = iter(self._source)
            for element in self._steps:
                return element
            self._steps = None
            if self._left < 0 and fresh:
                break  # it is empty: it will never give anything
            self._left -= self._left > 0
        raise StopIteration


class TakeDataset(Dataset):
    """The first `count` elements; all if that is negative."""

    def __init__(self, source: Dataset, count: int) -> None:
        self._source = source
        self._count = count

    def __iter__(self) -> Iterator[Element]:
        return iter(self._source) if self._count < 0 else TakeSteps(self._source, self._count)


class TakeSteps(Steps):
    """Goes through the first elements."""

    def __init__(self, source: Dataset, count: int) -> None:
        self._steps = iter(source)
        self._left = count

    def __next__(self) -> Element:
        if self._left <= 0:
            raise StopIteration
        self._left -= 1
        return next(self._steps)


class SkipDataset(Dataset):
    """All but the first `count` elements; none if that is negative."""

    def __init__(self, source: Dataset, count: int) -> None:
        self._source = source
        self._count = count

    def __iter__(self) -> Iterator[Element]:
        if self._count < 0:
            return iter(())
        return SkipSteps(self._source, self._count)


class SkipSteps(Steps):
    """Goes through what follows the first elements."""

    def __init__(self, source: Dataset, count: int) -> None:
        self._steps = iter(source)
        self._left = count

    def __next__(self) -> Element:
        while self._left > 0:
            next(self._steps)
            self._left -= 1
        return next(self._steps)


class ShardDataset(Dataset):
    """Every `count`-th element, from `index` on."""

    def __init__(self, source: Dataset, count: int, index: int) -> None:
        if count <= 0:
            raise refused(f"Number of shards must be greater than zero (currently {count}).")
        if not 0 <= index < count:
            raise refused(f"Index must be between 0 and {count - 1} (currently index = {index}).")
        self._source = source
        self._count, self._index = count, index

    def __iter__(self) -> Iterator[Element]:
        return ShardSteps(self._source, self._count, self._index)


class ShardSteps(Steps):
    """Goes through a part of the elements."""

    def __init__(self, source: Dataset, count: int, index: int) -> None:
        self._steps = iter(source)
        self._count, self._index = count, index
        self._number = 0

    def __next__(self) -> Element:
        while True:
            element = next(self._steps)
            self._number += 1
            if (self._number - 1) % self._count == self._index:
                return element


class ConcatenateDataset(Dataset):
    """One dataset, then another."""

    def __init__(self, first: Dataset, second: Dataset) -> None:
        self._parts = first, second

    def __iter__(self) -> Iterator[Element]:
        return ConcatenateSteps(self._parts)


class ConcatenateSteps(Steps):
    """Goes through datasets one after another."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        self._rest = iter(parts)
        self._steps: Iterator[Element] = iter(())

    def __next__(self) -> Element:
        while True:
            for element in self._steps:
                return element
            self._steps = iter(next(self._rest))


class ZipDataset(Dataset):
    """The components of the elements of several datasets together, as long as all have some."""

    def __init__(self, sources: Sequence[Dataset]) -> None:
        self._sources = sources

    def __iter__(self) -> Iterator[Element]:
        return ZipSteps(self._sources)


class ZipSteps(Steps):
    """Goes through several datasets at once."""

    def __init__(self, sources: Sequence[Dataset]) -> None:
        self._steps = [iter(source) for source in sources]

    def __next__(self) -> Element:
        elements = [next(steps) for steps in self._steps]
        return tuple([component for element in elements for component in element])


class CacheDataset(Dataset):
    """What another dataset gave the first time that somebody went through all of it."""

    def __init__(self, source: Dataset) -> None:
        self._source = source
        self._kept: list[Element] | None = None

    def keep(self, elements: list[Element]) -> None:
        """Give these from now on."""
        self._kept = elements

    def __iter__(self) -> Iterator[Element]:
        return iter(self._kept) if self._kept is not None else CacheSteps(self, self._source)


class CacheSteps(Steps):
    """Goes through a dataset, and keeps what it gives."""

    def __init__(self, cache: CacheDataset, source: Dataset) -> None:
        self._cache = cache
        self._steps = iter(source)
        self._elements: list[Element] = []

    def __next__(self) -> Element:
        for element in self._steps:
            self._elements.append(element)
            return element
        self._cache.keep(self._elements)
        raise StopIteration
