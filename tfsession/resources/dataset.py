"""Datasets: descriptions of sequences of elements, and what goes through them.

An element is a tuple of arrays in host memory, one for each component. A dataset can be gone
through any number of times. An error in one element does not end what goes through: the next
element comes with the next call, as in TensorFlow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.file_system import file_errors
from tfsession.core.waiting import is_late
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


class Steps(ABC):
    """What goes through a dataset; `__next__` gives an element or raises StopIteration."""

    def __iter__(self) -> Steps:
        return self

    @abstractmethod
    def __next__(self) -> Any:
        """The next element."""

    def some(self, count: int) -> list[Any]:
        """Up to `count` next elements, at least one; none at the end.

        As if they were asked for one by one, but for what it costs. Where one fails there are but
        those before it, and its error is raised when it is the first.
        """
        for element in self:
            return [element]
        return []


# Begins to go through something.
Begin = Callable[[], Steps]


class Rows(NamedTuple):
    """Elements as rows of arrays: what `begin` goes through are their numbers."""

    arrays: Sequence[Any]
    begin: Begin


class Dataset(ABC):
    """What can be gone through."""

    @abstractmethod
    def __iter__(self) -> Steps:
        """Go through it from the start."""

    def rows(self) -> Rows | None:
        """The same elements as rows of arrays, where that is what they are."""
        return None


class MovingDataset(Dataset):
    """The elements of another dataset as they are, but in other order, fewer or more often.

    So it is all the same to it whether elements or their numbers go through.
    """

    def __init__(self, source: Dataset) -> None:
        self._source = source

    @abstractmethod
    def through(self, begin: Begin) -> Steps:
        """Go through what `begin` goes through."""

    def __iter__(self) -> Steps:
        return self.through(self._source.__iter__)

    def rows(self) -> Rows | None:
        """Those of the other dataset."""
        rows = self._source.rows()
        return rows and Rows(rows.arrays, partial(self.through, rows.begin))


class ListSteps(Steps):
    """Goes through what is in a sequence already."""

    def __init__(self, elements: Sequence[Any]) -> None:
        self._elements = elements
        self._next = 0

    def __next__(self) -> Any:
        if self._next >= len(self._elements):
            raise StopIteration
        self._next += 1
        return self._elements[self._next - 1]

    def some(self, count: int) -> list[Any]:
        """A part of the sequence."""
        first = self._next
        found = list(self._elements[first : first + count])
        self._next += len(found)
        return found


class TensorDataset(Dataset):
    """One element."""

    def __init__(self, components: Element) -> None:
        self._components = components

    def __iter__(self) -> Steps:
        return ListSteps([self._components])


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

    def rows(self) -> Rows:
        """All of them in turn."""
        return Rows(self._arrays, lambda: ListSteps(range(len(self._arrays[0]))))

    def __iter__(self) -> Steps:
        return SliceSteps(*self.rows())


class SliceSteps(Steps):
    """Goes through rows of arrays."""

    def __init__(self, arrays: Sequence[Any], begin: Begin) -> None:
        self._arrays = arrays
        self._numbers = begin()

    def __next__(self) -> Element:
        number = next(self._numbers)
        # A row of a vector stays an array.
        return tuple([array[number, ...] for array in self._arrays])

    def some(self, count: int) -> list[Element]:
        """Rows."""
        numbers = self._numbers.some(count)
        columns = [[array[number, ...] for number in numbers] for array in self._arrays]
        return list(zip(*columns, strict=True))


class RangeDataset(Dataset):
    """Integers from `start` on, by `step`, before `stop`."""

    def __init__(self, start: int, stop: int, step: int, dtype: Any) -> None:
        if step == 0:
            raise refused("step must be a non-zero integer.")
        self._range = range(start, stop, step)
        self._dtype = dtype

    def __iter__(self) -> Steps:
        return RangeSteps(self._range, self._dtype)


class RangeSteps(Steps):
    """Goes through integers."""

    def __init__(self, numbers: range, dtype: Any) -> None:
        self._numbers = ListSteps(numbers)
        self._dtype = dtype

    def __next__(self) -> Element:
        return (self._dtype.type(next(self._numbers)),)

    def some(self, count: int) -> list[Element]:
        """Integers."""
        return [(number,) for number in np.array(self._numbers.some(count), self._dtype)]


class FileDataset(Dataset):
    """The records of several files, one after another."""

    def __init__(self, names: Sequence[bytes], opened: Callable[[bytes], Records]) -> None:
        self._names = names
        self._opened = opened

    def __iter__(self) -> Steps:
        return FileSteps(self._names, self._opened)


class FileSteps(Steps):
    """Goes through files; a damaged one is left at the error."""

    def __init__(self, names: Sequence[bytes], opened: Callable[[bytes], Records]) -> None:
        self._names = iter(names)
        self._opened = opened
        self._file: Records | None = None

    def __next__(self) -> Element:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Element]:
        """Records of one file."""
        with file_errors():
            while True:
                if self._file is None:
                    name = next(self._names, None)
                    if name is None:
                        return []
                    self._file = self._opened(name)
                file, self._file = self._file, None
                records = file.values(count)
                if records:
                    self._file = file
                    return [(text_value(record),) for record in records]
                file.close()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


class RepeatDataset(MovingDataset):
    """A dataset `count` times; without end if that is negative."""

    def __init__(self, source: Dataset, count: int) -> None:
        super().__init__(source)
        self._count = count

    def through(self, begin: Begin) -> Steps:
        """Again and again."""
        return RepeatSteps(begin, self._count)


class RepeatSteps(Steps):
    """Goes through a dataset again and again."""

    def __init__(self, begin: Begin, count: int) -> None:
        self._begin = begin
        self._left = count
        self._steps: Steps | None = None

    def __next__(self) -> Any:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Any]:
        """Elements of one time through."""
        while self._left != 0:
            fresh = self._steps is None
            if self._steps is None:
                self._steps = self._begin()
            found = self._steps.some(count)
            if found:
                return found
            self._steps = None
            if self._left < 0 and fresh:
                break  # it is empty: it will never give anything
            self._left -= self._left > 0
        return []


class TakeDataset(MovingDataset):
    """The first `count` elements; all if that is negative."""

    def __init__(self, source: Dataset, count: int) -> None:
        super().__init__(source)
        self._count = count

    def through(self, begin: Begin) -> Steps:
        """The first ones."""
        return begin() if self._count < 0 else TakeSteps(begin(), self._count)


class TakeSteps(Steps):
    """Goes through the first elements."""

    def __init__(self, steps: Steps, count: int) -> None:
        self._steps = steps
        self._left = count

    def __next__(self) -> Any:
        if self._left <= 0:
            raise StopIteration
        self._left -= 1
        return next(self._steps)

    def some(self, count: int) -> list[Any]:
        """Of the first ones."""
        if self._left <= 0:
            return []
        try:
            found = self._steps.some(min(count, self._left))
        except Exception:
            self._left -= 1  # one that fails is one of them
            raise
        self._left -= len(found)
        return found


class SkipDataset(MovingDataset):
    """All but the first `count` elements; none if that is negative."""

    def __init__(self, source: Dataset, count: int) -> None:
        super().__init__(source)
        self._count = count

    def through(self, begin: Begin) -> Steps:
        """Behind the first ones."""
        return ListSteps(()) if self._count < 0 else SkipSteps(begin(), self._count)


class SkipSteps(Steps):
    """Goes through what follows the first elements."""

    def __init__(self, steps: Steps, count: int) -> None:
        self._steps = steps
        self._left = count

    def __next__(self) -> Any:
        self._pass_over()
        return next(self._steps)

    def some(self, count: int) -> list[Any]:
        """Of what follows."""
        self._pass_over()
        return self._steps.some(count)

    def _pass_over(self) -> None:
        while self._left > 0:
            found = len(self._steps.some(self._left))
            self._left = self._left - found if found else 0


class ShardDataset(MovingDataset):
    """Every `count`-th element, from `index` on."""

    def __init__(self, source: Dataset, count: int, index: int) -> None:
        if count <= 0:
            raise refused(f"Number of shards must be greater than zero (currently {count}).")
        if not 0 <= index < count:
            raise refused(f"Index must be between 0 and {count - 1} (currently index = {index}).")
        super().__init__(source)
        self._count, self._index = count, index

    def through(self, begin: Begin) -> Steps:
        """A part of them."""
        return ShardSteps(begin(), self._count, self._index)


class ShardSteps(Steps):
    """Goes through a part of the elements."""

    def __init__(self, steps: Steps, count: int, index: int) -> None:
        self._steps = steps
        self._count, self._index = count, index
        self._number = 0

    def __next__(self) -> Element:
        while True:
            element: Element = next(self._steps)
            self._number += 1
            if (self._number - 1) % self._count == self._index:
                return element


class ConcatenateDataset(Dataset):
    """One dataset, then another."""

    def __init__(self, first: Dataset, second: Dataset) -> None:
        self._parts = first, second

    def __iter__(self) -> Steps:
        return ConcatenateSteps(self._parts)


class ConcatenateSteps(Steps):
    """Goes through datasets one after another."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        self._rest = iter(parts)
        self._steps: Steps | None = ListSteps(())

    def __next__(self) -> Element:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Element]:
        """Elements of one part."""
        while self._steps is not None:
            found = self._steps.some(count)
            if found:
                return found
            part = next(self._rest, None)
            self._steps = part if part is None else iter(part)
        return []


class ZipDataset(Dataset):
    """The components of the elements of several datasets together, as long as all have some."""

    def __init__(self, sources: Sequence[Dataset]) -> None:
        self._sources = sources

    def __iter__(self) -> Steps:
        return ZipSteps(self._sources)


class ZipSteps(Steps):
    """Goes through several datasets at once."""

    def __init__(self, sources: Sequence[Dataset]) -> None:
        self._steps = [iter(source) for source in sources]
        # Of elements that were waited for too long.
        self._begun: list[Element] = []

    def __next__(self) -> Element:
        elements, self._begun = self._begun, []
        try:
            for steps in self._steps[len(elements) :]:
                elements.append(next(steps))
        except BaseException as error:
            if is_late(error):
                self._begun = elements
            raise
        return tuple([component for element in elements for component in element])


class CacheDataset(Dataset):
    """What another dataset gave the first time that somebody went through all of it."""

    def __init__(self, source: Dataset) -> None:
        self._source = source
        self._kept: list[Element] | None = None

    def keep(self, elements: list[Element]) -> None:
        """Give these from now on."""
        self._kept = elements

    def __iter__(self) -> Steps:
        return ListSteps(self._kept) if self._kept is not None else CacheSteps(self, self._source)

    def rows(self) -> Rows | None:
        """Rows of arrays are there already."""
        return self._source.rows()


class CacheSteps(Steps):
    """Goes through a dataset, and keeps what it gives."""

    def __init__(self, cache: CacheDataset, source: Dataset) -> None:
        self._cache = cache
        self._steps = iter(source)
        self._elements: list[Element] = []

    def __next__(self) -> Element:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Element]:
        """New ones, kept."""
        found = self._steps.some(count)
        self._elements += found
        if not found:
            self._cache.keep(self._elements)
        return found
