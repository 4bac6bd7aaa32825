"""Datasets: descriptions of sequences of elements, and what goes through them.

An element is a tuple of arrays in host memory, one for each component. A dataset can be gone
through any number of times. An error in one element does not end what goes through: the next
element comes with the next call, as in TensorFlow.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError, OutOfRangeError
from tfsession.core.shape import Shape, debug_string
from tfsession.resources.philox import Philox, words

Element = tuple[Any, ...]
# A function of the graph: takes the components of an element and gives those of another.
Function = Callable[..., Sequence[Any]]


def _refuse(text: str) -> InvalidArgumentError:
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
                raise _refuse(f"Component {index} of a dataset of slices must not be a scalar.")
            if len(array) != len(arrays[0]):
                raise _refuse(
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
            raise _refuse("step must be a non-zero integer.")
        self._range = range(start, stop, step)
        self._dtype = dtype

    def __iter__(self) -> Iterator[Element]:
        make = self._dtype.type
        return ((make(i),) for i in self._range)


class FileDataset(Dataset):
    """What `read` gives for each of several files, one after another."""

    def __init__(self, names: Sequence[bytes], read: Callable[[bytes], Iterator[bytes]]) -> None:
        self._names = names
        self._read = read

    def __iter__(self) -> Iterator[Element]:
        return FileSteps(self._names, self._read)


class FileSteps(Steps):
    """Goes through files."""

    def __init__(self, names: Sequence[bytes], read: Callable[[bytes], Iterator[bytes]]) -> None:
        self._names = iter(names)
        self._read = read
        self._file: Iterator[bytes] = iter(())

    def __next__(self) -> Element:
        while True:
            for record in self._file:
                return (text_value(record),)
            self._file = self._read(next(self._names))


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
            raise _refuse(f"Number of shards must be greater than zero (currently {count}).")
        if not 0 <= index < count:
            raise _refuse(f"Index must be between 0 and {count - 1} (currently index = {index}).")
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


class ShuffleDataset(Dataset):
    """Elements in random order, chosen from a buffer of those that come next.

    The order is TensorFlow's: the words of a stream of Philox choose, one for each element; another
    stream gives the seeds of each time that somebody goes through.

    Args:
        source: the dataset.
        buffer_size: how many elements there are to choose from; -1 for all.
        seeds: two seeds; zeros stand for seeds from the operating system.
        reshuffle: whether the order is another each time.
        count: how often to go through the source.
    """

    def __init__(
        self,
        source: Dataset,
        buffer_size: int,
        seeds: tuple[int, int],
        reshuffle: bool,
        count: int = 1,
    ) -> None:
        if buffer_size <= 0 and buffer_size != -1:
            raise _refuse("buffer_size must be greater than zero or UNKNOWN_CARDINALITY")
        self._source = source
        self._size = buffer_size
        stream = Philox(*seeds)
        self._stream = stream
        self._seeds = (stream.key, stream.reserve(0) >> 64) if not reshuffle else None
        self._words = words(stream.key, stream.reserve(1))
        self._count = count

    def __iter__(self) -> Iterator[Element]:
        seeds = self._seeds or (next(self._words), next(self._words))
        return ShuffleSteps(self._source, self._size, seeds, self._count)


class ShuffleSteps(Steps):
    """Goes through a dataset in random order."""

    def __init__(
        self, source: Dataset, size: int, seeds: tuple[int, int], count: int
    ) -> None:
        self._source = RepeatSteps(source, count)
        self._size = size
        self._words = words(seeds[0], seeds[1] << 64)
        self._buffer: list[Element] = []
        self._first = 0
        self._at_end = False

    def __next__(self) -> Element:
        buffer = self._buffer
        while not self._at_end and (self._size < 0 or len(buffer) - self._first < self._size):
            try:
                buffer.append(next(self._source))
            except StopIteration:
                self._at_end = True
        left = len(buffer) - self._first
        if left == 0:
            raise StopIteration
        chosen = self._first + next(self._words) % left
        element = buffer[chosen]
        # The first one takes the place of the chosen one.
        buffer[chosen] = buffer[self._first]
        buffer[self._first] = ()
        self._first += 1
        if self._first > 1024 and self._first * 2 > len(buffer):
            del buffer[: self._first]
            self._first = 0
        return element


class BatchDataset(Dataset):
    """Several elements at a time, stacked; `pad` makes them of one shape before."""

    def __init__(
        self,
        source: Dataset,
        size: int,
        drop_remainder: bool,
        stack: Callable[[list[Element]], Element],
    ) -> None:
        if size <= 0:
            raise _refuse("Batch size must be greater than zero.")
        self._source = source
        self._settings = size, drop_remainder, stack

    def __iter__(self) -> Iterator[Element]:
        return BatchSteps(iter(self._source), *self._settings)


class BatchSteps(Steps):
    """Goes through a dataset, several elements at a time."""

    def __init__(
        self,
        steps: Iterator[Element],
        size: int,
        drop_remainder: bool,
        stack: Callable[[list[Element]], Element],
    ) -> None:
        self._steps = steps
        self._size, self._drops, self._stack = size, drop_remainder, stack

    def __next__(self) -> Element:
        elements: list[Element] = []
        for element in self._steps:
            elements.append(element)
            if len(elements) == self._size:
                break
        if not elements or (self._drops and len(elements) < self._size):
            raise StopIteration
        return self._stack(elements)


def stacked(elements: list[Element]) -> Element:
    """Each component of all elements as one array; InvalidArgumentError for various shapes."""
    columns = list(zip(*elements, strict=True))
    for index, column in enumerate(columns):
        first = np.shape(column[0])
        for number, value in enumerate(column):
            if np.shape(value) != first:
                raise _refuse(
                    f"Cannot batch tensors with different shapes in component {index}. First "
                    f"element had shape {debug_string(first)} and element {number} had shape "
                    f"{debug_string(np.shape(value))}."
                )
    return tuple([np.stack(column) for column in columns])


def padded(
    shapes: Sequence[Shape], values: Sequence[Any], elements: list[Element]
) -> Element:
    """As `stacked`, each component filled up with its value to its shape.

    A size that is not known is the largest of the batch.
    """
    results = []
    for index, column in enumerate(zip(*elements, strict=True)):
        wanted = shapes[index]
        found = [np.shape(value) for value in column]
        for shape in found:
            if wanted is not None and len(shape) != len(wanted):
                raise _refuse(
                    "All elements in a batch must have the same rank as the padded shape for "
                    f"component{index}: expected rank {len(wanted)} but got element with rank "
                    f"{len(shape)}"
                )
        largest = tuple(map(max, zip(*found, strict=True))) if found[0] else ()
        sizes = tuple(
            [most if size is None else size for size, most in zip(wanted or (), largest, strict=True)]
        )
        for shape in found:
            for dim, (most, size) in enumerate(zip(sizes, shape, strict=True)):
                if size > most:
                    raise _refuse(
                        f"Attempted to pad to a smaller size than the input element: dimension "
                        f"{dim} of component {index} has size {size}, padded size {most}."
                    )
        first = np.asarray(column[0])
        result = np.empty((len(column), *sizes), first.dtype)
        result[...] = values[index]
        for number, value in enumerate(column):
            place: Any = (number, *map(slice, np.shape(value)))
            result[place] = value
        results.append(result)
    return tuple(results)


class MapDataset(Dataset):
    """What a function gives for each element."""

    def __init__(self, source: Dataset, function: Function) -> None:
        self._source = source
        self._function = function

    def __iter__(self) -> Iterator[Element]:
        return MapSteps(iter(self._source), self._function)


class MapSteps(Steps):
    """Goes through a dataset, and calls a function."""

    def __init__(self, steps: Iterator[Element], function: Function) -> None:
        self._steps = steps
        self._function = function

    def __next__(self) -> Element:
        return tuple(self._function(*next(self._steps)))


class FilterDataset(Dataset):
    """The elements for which a function gives true."""

    def __init__(self, source: Dataset, predicate: Function) -> None:
        self._source = source
        self._predicate = predicate

    def __iter__(self) -> Iterator[Element]:
        return FilterSteps(iter(self._source), self._predicate)


class FilterSteps(Steps):
    """Goes through a dataset, and leaves out what a function does not want."""

    def __init__(self, steps: Iterator[Element], predicate: Function) -> None:
        self._steps = steps
        self._predicate = predicate

    def __next__(self) -> Element:
        while True:
            element = next(self._steps)
            if self._predicate(*element)[0]:
                return element


class InterleaveDataset(Dataset):
    """The elements of the datasets that a function gives for elements, taken in turn.

    Args:
        source: the dataset.
        function: gives a dataset for an element.
        cycle_length: from how many of these datasets elements are taken in turn.
        block_length: how many elements are taken from one before it is the next one's turn.
    """

    def __init__(
        self, source: Dataset, function: Function, cycle_length: int = 1, block_length: int = 1
    ) -> None:
        for name, value in (("cycle_length", cycle_length), ("block_length", block_length)):
            if value <= 0:
                raise _refuse(f"{name} must be greater than zero.")
        self._source = source
        self._function = function
        self._lengths = cycle_length, block_length

    def __iter__(self) -> Iterator[Element]:
        return InterleaveSteps(iter(self._source), self._function, *self._lengths)


class InterleaveSteps(Steps):
    """Goes through several datasets in turn."""

    def __init__(
        self, steps: Iterator[Element], function: Function, cycle: int, block: int
    ) -> None:
        self._steps = steps
        self._function = function
        self._open: list[Iterator[Element] | None] = [None] * cycle
        self._block = block
        self._turn = self._taken = 0
        self._at_end = False

    def __next__(self) -> Element:
        while not self._at_end or any(steps is not None for steps in self._open):
            steps = self._open[self._turn]
            if steps is not None:
                for element in steps:
                    self._taken += 1
                    if self._taken == self._block:
                        self._next_turn()
                    return element
                self._open[self._turn] = None
                self._next_turn()
            elif not self._at_end:
                try:
                    element = next(self._steps)
                except StopIteration:
                    self._at_end = True
                else:
                    (dataset,) = self._function(*element)
                    self._open[self._turn] = iter(dataset)
            else:
                self._next_turn()
        raise StopIteration

    def _next_turn(self) -> None:
        self._taken = 0
        self._turn = (self._turn + 1) % len(self._open)


class GeneratorDataset(Dataset):
    """What a function gives until it raises OutOfRangeError.

    Args:
        begin: gives the state that the others take.
        advance: gives the next element.
        end: is called when there are no more, or nobody goes through any more.
    """

    def __init__(self, begin: Function, advance: Function, end: Function) -> None:
        self._functions = begin, advance, end

    def __iter__(self) -> Iterator[Element]:
        return GeneratorSteps(*self._functions)


class GeneratorSteps(Steps):
    """Calls a function until it says that there is no more."""

    def __init__(self, begin: Function, advance: Function, end: Function) -> None:
        self._begin, self._advance, self._end = begin, advance, end
        self._state: Sequence[Any] | None = None
        self._is_done = False

    def __next__(self) -> Element:
        if self._is_done:
            raise StopIteration
        if self._state is None:
            self._state = list(self._begin())
        try:
            return tuple(self._advance(*self._state))
        except OutOfRangeError:
            self._finish()
            raise StopIteration from None

    def _finish(self) -> None:
        if not self._is_done:
            self._is_done = True
            if self._state is not None:
                self._end(*self._state)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the session may be closed by now
            self._finish()
