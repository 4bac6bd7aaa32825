"""Datasets that call functions of the graph for their elements."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.errors import OutOfRangeError
from tfsession.core.waiting import is_late
from tfsession.resources.dataset import Dataset, Element, Steps, refused

# A function of the graph: takes the components of an element and gives those of another.
Function = Callable[..., Sequence[Any]]


class ElementCall:
    """A function of the graph that takes an element, and `captured` beside it.

    Args:
        function: as `runtime.called.Called` is.
        captured: values.
    """

    def __init__(self, function: Any, captured: Sequence[Any]) -> None:
        self._function = function
        self._captured = tuple(captured)

    def __call__(self, *element: Any) -> Sequence[Any]:
        """What it gives for an element."""
        return self._function(*element, *self._captured)  # type: ignore[no-any-return]

    def begin(self, elements: Sequence[Element]) -> Sequence[tuple[Function, Element]]:
        """The calls for elements, as far as there is something to do for all of them at once."""
        captured = self._captured
        if len(elements) > 1:
            begun = self._function.begin([(*element, *captured) for element in elements])
            if begun is not None:
                return begun  # type: ignore[no-any-return]
        return [(self, element) for element in elements]


class MapDataset(Dataset):
    """What a function gives for each element."""

    def __init__(self, source: Dataset, function: ElementCall) -> None:
        self._source = source
        self._function = function

    def __iter__(self) -> Steps:
        return MapSteps(iter(self._source), self._function)


class MapSteps(Steps):
    """Goes through a dataset, and calls a function."""

    def __init__(self, steps: Steps, function: ElementCall) -> None:
        self._steps = steps
        self._function = function
        # Calls that are begun, and the error that comes before them.
        self._begun: deque[tuple[Function, Element]] = deque()
        self._failure: Exception | None = None

    def __next__(self) -> Element:
        for element in self.some(1):
            return element
        raise StopIteration

    def some(self, count: int) -> list[Element]:
        """Results for elements that come together."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if not self._begun:
            self._begun.extend(self._function.begin(self._steps.some(count)))
        found: list[Element] = []
        while self._begun and len(found) < count:
            call, element = self._begun.popleft()
            try:
                found.append(tuple(call(*element)))
            except Exception as error:
                if is_late(error):
                    self._begun.appendleft((call, element))
                    if found:
                        break
                    raise
                if not found:
                    raise
                self._failure = error
                break
        return found


class FilterDataset(Dataset):
    """The elements for which a function gives true."""

    def __init__(self, source: Dataset, predicate: Function) -> None:
        self._source = source
        self._predicate = predicate

    def __iter__(self) -> Steps:
        return FilterSteps(iter(self._source), self._predicate)


class FilterSteps(Steps):
    """Goes through a dataset, and leaves out what a function does not want."""

    def __init__(self, steps: Steps, predicate: Function) -> None:
        self._steps = steps
        self._predicate = predicate

    def __next__(self) -> Element:
        while True:
            element: Element = next(self._steps)
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
                raise refused(f"{name} must be greater than zero.")
        self._source = source
        self._function = function
        self._lengths = cycle_length, block_length

    def __iter__(self) -> Steps:
        return InterleaveSteps(iter(self._source), self._function, *self._lengths)


class InterleaveSteps(Steps):
    """Goes through several datasets in turn."""

    def __init__(self, steps: Steps, function: Function, cycle: int, block: int) -> None:
        self._steps = steps
        self._function = function
        self._open: list[Steps | None] = [None] * cycle
        self._block = block
        self._turn = self._taken = 0
        self._at_end = False

    def __next__(self) -> Element:
        while not self._at_end or any(steps is not None for steps in self._open):
            steps = self._open[self._turn]
            if steps is not None:
                for element in steps.some(1):
                    self._taken += 1
                    if self._taken == self._block:
                        self._next_turn()
                    return element  # type: ignore[no-any-return]
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

    def some(self, count: int) -> list[Element]:
        """Elements of whose turn it is."""
        steps = self._open[self._turn]
        if steps is not None:
            is_alone = len(self._open) == 1
            found = steps.some(count if is_alone else min(count, self._block - self._taken))
            if found:
                self._taken += len(found)
                if self._taken >= self._block:
                    self._next_turn()
                return found
            self._open[self._turn] = None
            self._next_turn()
        return super().some(count)

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

    def __iter__(self) -> Steps:
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
