"""Datasets that choose among elements, take them apart, or group them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.errors import CancelledError
from tfsession.core.shape import debug_string
from tfsession.resources.dataset import Dataset, Element, ListSteps, Steps, refused
from tfsession.resources.dataset_calls import Function
from tfsession.resources.philox import Philox, Words


class StepsDataset(Dataset):
    """A dataset of which `begin` goes through the source in some way."""

    def __init__(self, source: Dataset, begin: Callable[[Steps], Steps]) -> None:
        self._source = source
        self._begin = begin

    def __iter__(self) -> Steps:
        return self._begin(iter(self._source))


class UnbatchSteps(Steps):
    """Goes through the rows of elements."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._rows: Steps = ListSteps(())

    def __next__(self) -> Element:
        while True:
            for row in self._rows.some(1):
                return row  # type: ignore[no-any-return]
            element = next(self._steps)
            shapes = [np.shape(component) for component in element]
            if any(not shape for shape in shapes):
                raise refused("Input element must have a non-scalar value in each component.")
            if len({shape[0] for shape in shapes}) > 1:
                shown = ", ".join(map(debug_string, shapes))
                raise refused(
                    "Input element must have the same batch size in each component. Got shapes "
                    f"{shown}."
                )
            rows = range(shapes[0][0])
            self._rows = ListSteps([tuple([c[i, ...] for c in element]) for i in rows])


class UniqueSteps(Steps):
    """Goes through elements that were not there before."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._seen: set[Any] = set()

    def __next__(self) -> Element:
        while True:
            element: Element = next(self._steps)
            array = np.asarray(element[0])
            content = tuple(array.flat) if array.dtype.hasobject else array.tobytes()
            key = array.shape, content
            if key not in self._seen:
                self._seen.add(key)
                return element


class RandomDataset(Dataset):
    """The words of a stream of Philox, as int64 numbers, without end."""

    def __init__(self, *seeds: int) -> None:
        stream = Philox(*seeds)
        self._start = stream.key, stream.reserve(1)

    def __iter__(self) -> Steps:
        return RandomSteps(Words(*self._start))


class RandomSteps(Steps):
    """Goes through random numbers."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def __next__(self) -> Element:
        return (np.int64(self._words.next()),)

    def some(self, count: int) -> list[Element]:
        """Random numbers."""
        return [(number,) for number in self._words.take(count).astype(np.int64)]


class TakeWhileSteps(Steps):
    """Goes through the elements before the first one that a function does not want."""

    def __init__(self, steps: Steps, predicate: Function) -> None:
        self._steps = steps
        self._predicate = predicate
        self._is_over = False

    def __next__(self) -> Element:
        if not self._is_over:
            element: Element = next(self._steps)
            if self._predicate(*element)[0]:
                return element
            self._is_over = True
        raise StopIteration


class IgnoreErrorsSteps(Steps):
    """Goes through the elements that can be made."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __next__(self) -> Element:
        while True:
            try:
                return next(self._steps)
            except (StopIteration, CancelledError):
                raise
            except Exception:
                continue


class ScanSteps(Steps):
    """Goes through what a function gives for a state and each element."""

    def __init__(self, steps: Steps, state: Sequence[Any], function: Function) -> None:
        self._steps = steps
        self._state = tuple(state)
        self._function = function

    def __next__(self) -> Element:
        found = self._function(*self._state, *next(self._steps))
        count = len(self._state)
        self._state = tuple(found[:count])
        return tuple(found[count:])


class GroupByWindowSteps(Steps):
    """Goes through what a function makes of groups of elements with one key."""

    def __init__(self, steps: Steps, key: Function, reduce: Function, size: Function) -> None:
        self._steps = steps
        self._key, self._reduce, self._size = key, reduce, size
        self._groups: dict[int, list[Element]] = {}
        self._sizes: dict[int, int] = {}
        self._ended = False
        self._rows: deque[Steps] = deque()

    def __next__(self) -> Element:
        while True:
            while self._rows:
                for row in self._rows[0].some(1):
                    return row  # type: ignore[no-any-return]
                self._rows.popleft()
            if self._ended:
                if not self._groups:
                    raise StopIteration
                self._give(min(self._groups))
                continue
            for element in self._steps:
                self._put(element)
                break
            else:
                self._ended = True

    def _put(self, element: Element) -> None:
        key = int(self._key(*element)[0])
        group = self._groups.setdefault(key, [])
        if key not in self._sizes:
            size = int(self._size(np.int64(key))[0])
            if size <= 0:
                raise refused(f"Window size must be greater than zero, but got {size}.")
            self._sizes[key] = size
        group.append(element)
        if len(group) >= self._sizes[key]:
            self._give(key)

    def _give(self, key: int) -> None:
        self._sizes.pop(key)
        (dataset,) = self._reduce(np.int64(key), ElementsDataset(self._groups.pop(key)))
        self._rows.append(iter(dataset))


class ElementsDataset(Dataset):
    """Elements that are there."""

    def __init__(self, elements: Sequence[Element]) -> None:
        self._elements = elements

    def __iter__(self) -> Steps:
        return ListSteps(self._elements)


class DirectedDataset(Dataset):
    """Elements of several datasets, of which another one tells by number whose turn it is."""

    def __init__(self, selector: Dataset, sources: Sequence[Dataset], stops: bool) -> None:
        self._selector, self._sources, self._stops = selector, sources, stops

    def __iter__(self) -> Steps:
        return DirectedSteps(iter(self._selector), list(map(iter, self._sources)), self._stops)


class DirectedSteps(Steps):
    """Goes through several datasets; those that are at their end are passed over, or end all."""

    def __init__(self, selector: Steps, steps: list[Steps], stops: bool) -> None:
        self._selector = selector
        self._steps: list[Steps | None] = list(steps)
        self._stops = stops

    def __next__(self) -> Element:
        while any(steps is not None for steps in self._steps):
            number = int(next(self._selector)[0])
            if not 0 <= number < len(self._steps):
                raise refused(f"Selector index out of range: {number} >= {len(self._steps)}.")
            steps = self._steps[number]
            if steps is not None:
                for element in steps.some(1):
                    return element  # type: ignore[no-any-return]
                if self._stops:
                    self._steps = []
                    break
                self._steps[number] = None
        raise StopIteration


def single(dataset: Dataset) -> Element:
    """The one element of a dataset; InvalidArgumentError for none or more."""
    steps = iter(dataset)
    for element in steps:
        for _ in steps:
            raise refused("Dataset had more than one element.")
        return element  # type: ignore[no-any-return]
    raise refused("Dataset was empty.")
