"""Datasets that gather elements: shuffled, in batches, in windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tfsession.core.errors import DataLossError
from tfsession.core.shape import Shape, debug_string
from tfsession.core.waiting import is_late
from tfsession.resources.dataset import (
    Begin,
    Dataset,
    Element,
    ListSteps,
    MovingDataset,
    Steps,
    refused,
)
from tfsession.resources.philox import Philox, Words

# How many elements are read at a time where all are.
_MANY = 4096

# A function of the graph: takes the components of an element and gives those of another.
Function = Callable[..., Sequence[Any]]


class ShuffleDataset(MovingDataset):
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
            raise refused("buffer_size must be greater than zero or UNKNOWN_CARDINALITY")
        super().__init__(source)
        self._size = buffer_size
        stream = Philox(*seeds)
        self._stream = stream
        self._seeds = (stream.key, stream.reserve(0) >> 64) if not reshuffle else None
        self._words = Words(stream.key, stream.reserve(1))
        self._count = count

    def through(self, begin: Begin) -> Steps:
        """Choose from the buffer."""
        return ShuffleSteps(begin, self._size, self._next_words, self._count)

    def _next_words(self) -> Words:
        """What chooses, the next time through."""
        seed, seed2 = self._seeds or (self._words.next(), self._words.next())
        return Words(seed, seed2 << 64)


class ShuffleSteps(Steps):
    """Goes through something in random order; all of one time through comes before the next."""

    def __init__(
        self, begin: Begin, size: int, next_words: Callable[[], Words], count: int
    ) -> None:
        self._begin = begin
        self._steps: Steps | None = None
        self._size = size
        self._left = count
        self._next_words = next_words
        self._words = next_words()
        self._buffer: list[Any] = []
        self._first = 0
        # Where the elements of each time through end in the buffer.
        self._ends = deque([0])
        # Of an element that comes behind those that were given.
        self._failure: Exception | None = None

    def __next__(self) -> Any:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Any]:
        """Elements of one time through; for each but the first another one was read before."""
        self._fill()
        ends = self._ends
        while len(ends) > 1 and ends[0] == self._first:
            ends.popleft()
            self._words = self._next_words()
        left = ends[0] - self._first
        if left == 0:
            return []
        lefts: Any = left
        if len(ends) > 1:
            count = 1
        elif self._left == 0:
            count = min(count, left)
            lefts = np.arange(left, left - count, -1)
        else:
            try:
                count = 1 + self._read(count - 1)
            except Exception as failure:  # the next element is whole
                self._failure, count = failure, 1
        first = self._first
        buffer, chosen = self._buffer, self._words.take(count) % lefts
        found = []
        for number, place in enumerate((chosen + np.arange(first, first + count)).tolist(), first):
            found.append(buffer[place])
            # The first one takes the place of the chosen one.
            buffer[place] = buffer[number]
            buffer[number] = None
        self._first = first = first + count
        if first > 1024 and first * 2 > len(buffer):
            del buffer[:first]
            self._ends = deque([end - first for end in ends])
            self._first = 0
        return found

    def _fill(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        while self._left != 0:
            missing = self._size - len(self._buffer) + self._first
            if missing <= 0 <= self._size:
                break
            self._read(missing if self._size >= 0 else _MANY)

    def _read(self, count: int) -> int:
        """Up to so many more elements into the buffer, or the end of this time through."""
        if count == 0:
            return 0
        is_fresh = self._steps is None
        if self._steps is None:
            self._steps = self._begin()
        found = self._steps.some(count)
        if found:
            self._buffer += found
            self._ends[-1] += len(found)
            return len(found)
        self._steps = None
        self._left = 0 if is_fresh and self._left < 0 else self._left - (self._left > 0)
        if self._left != 0:
            self._ends.append(self._ends[-1])
        return 0


class BatchDataset(Dataset):
    """Several elements at a time.

    Args:
        source: the dataset.
        size: how many.
        drop_remainder: whether the last ones are left out if they are fewer.
        stack: makes one element of several.
        whole: where one fails, the others of its batch are left out, too, also those behind it: so
            TensorFlow does it where it maps and batches at once.
    """

    def __init__(
        self,
        source: Dataset,
        size: int,
        drop_remainder: bool,
        stack: Callable[[list[Element]], Element],
        whole: bool = False,
    ) -> None:
        if size <= 0:
            raise refused("Batch size must be greater than zero.")
        self._source = source
        self._settings = size, drop_remainder, stack
        self._whole = whole

    def __iter__(self) -> Steps:
        size, drops, stack = self._settings
        rows = self._source.rows() if stack is stacked else None
        if rows is None:
            return BatchSteps(iter(self._source), size, drops, stack, self._whole)
        return BatchSteps(rows.begin(), size, drops, partial(gathered, rows.arrays))


class BatchSteps(Steps):
    """Goes through a dataset, several elements at a time."""

    def __init__(
        self,
        steps: Steps,
        size: int,
        drop_remainder: bool,
        stack: Callable[[list[Any]], Element],
        whole: bool = False,
    ) -> None:
        self._steps = steps
        self._whole = whole
        self._size, self._drops, self._stack = size, drop_remainder, stack
        # Of a batch that was waited for too long.
        self._begun: list[Any] = []

    def __next__(self) -> Element:
        elements, self._begun = self._begun, []
        while len(elements) < self._size:
            try:
                more = self._steps.some(self._size - len(elements))
            except BaseException as error:
                if is_late(error):
                    self._begun = elements
                elif self._whole and isinstance(error, Exception):
                    self._pass_over(self._size - len(elements) - 1)
                raise
            if not more:
                break
            elements += more
        if not elements or (self._drops and len(elements) < self._size):
            raise StopIteration
        return self._stack(elements)

    def _pass_over(self, count: int) -> None:
        while count > 0:
            try:
                passed = len(self._steps.some(count))
            except Exception:
                passed = 1
            count = count - passed if passed else 0


def stacked(elements: list[Element]) -> Element:
    """Each component of all elements as one array; InvalidArgumentError for various shapes."""
    columns = list(zip(*elements, strict=True))
    for index, column in enumerate(columns):
        shapes = [np.shape(value) for value in column]
        first = shapes[0]
        if shapes.count(first) < len(shapes):
            number = next(n for n, shape in enumerate(shapes) if shape != first)
            raise refused(
                f"Cannot batch tensors with different shapes in component {index}. First "
                f"element had shape {debug_string(first)} and element {number} had shape "
                f"{debug_string(shapes[number])}."
            )
    return tuple(map(_stack, columns))


def _stack(column: Sequence[Any]) -> Any:
    """Values of one shape as one array."""
    first = column[0]
    if np.ndim(first):
        return np.concatenate(column).reshape(len(column), *first.shape)
    result = np.empty(len(column), np.asarray(first).dtype)
    result[:] = [value[()] for value in column]
    return result


def gathered(arrays: Sequence[Any], numbers: list[int]) -> Element:
    """Rows of arrays."""
    places = np.array(numbers)
    return tuple([array.take(places, 0) for array in arrays])


def padded(shapes: Sequence[Shape], values: Sequence[Any], elements: list[Element]) -> Element:
    """As `stacked`, each component filled up with its value to its shape.

    A size that is not known is the largest of the batch.
    """
    results = []
    for index, column in enumerate(zip(*elements, strict=True)):
        wanted = shapes[index]
        found = [np.shape(value) for value in column]
        for shape in found:
            if wanted is not None and len(shape) != len(wanted):
                raise refused(
                    "All elements in a batch must have the same rank as the padded shape for "
                    f"component{index}: expected rank {len(wanted)} but got element with rank "
                    f"{len(shape)}"
                )
        largest = tuple(map(max, zip(*found, strict=True))) if found[0] else ()
        sizes = tuple(
            [
                most if size is None else size
                for size, most in zip(wanted or (), largest, strict=True)
            ]
        )
        if any(size > most for shape in found for most, size in zip(sizes, shape, strict=True)):
            raise DataLossError(
                None, None, "Attempted to pad to a smaller size than the input element."
            )
        first = np.asarray(column[0])
        result = np.empty((len(column), *sizes), first.dtype)
        result[...] = values[index]
        for number, value in enumerate(column):
            place: Any = (number, *map(slice, np.shape(value)))
            result[place] = value
        results.append(result)
    return tuple(results)


class WindowDataset(Dataset):
    """For runs of neighbours, a dataset of each component.

    Args:
        source: the dataset.
        size: how many elements are in a window.
        shift: how far the next window begins behind this one.
        stride: how far elements of a window stand from each other.
        drop_remainder: whether windows that are not full are left out.
    """

    def __init__(
        self, source: Dataset, size: int, shift: int, stride: int, drop_remainder: bool
    ) -> None:
        for name, value in (("size", size), ("shift", shift), ("stride", stride)):
            if value <= 0:
                raise refused(f"Window {name} must be greater than zero.")
        self._source = source
        self._settings = size, shift, stride, drop_remainder

    def __iter__(self) -> Steps:
        return WindowSteps(iter(self._source), *self._settings)


class WindowSteps(Steps):
    """Goes through a dataset by windows."""

    def __init__(self, steps: Steps, size: int, shift: int, stride: int, drops: bool) -> None:
        self._steps = steps
        self._size, self._shift, self._stride, self._drops = size, shift, stride, drops
        self._buffer: list[Element] = []
        self._skips = 0

    def __next__(self) -> Element:
        span = (self._size - 1) * self._stride + 1
        for element in self._steps:
            if self._skips:
                self._skips -= 1
                continue
            self._buffer.append(element)
            if len(self._buffer) == span:
                break
        window = self._buffer[: span : self._stride]
        if not window or (self._drops and len(window) < self._size):
            raise StopIteration
        self._skips = max(self._shift - len(self._buffer), 0)
        del self._buffer[: self._shift]
        return tuple([ColumnDataset(column) for column in zip(*window, strict=True)])


class ColumnDataset(Dataset):
    """Values of one component."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __iter__(self) -> Steps:
        return ListSteps([(value,) for value in self._values])
