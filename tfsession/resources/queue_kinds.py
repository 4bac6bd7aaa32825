"""The kinds of queues: what order elements leave in, and which elements may enter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, int64
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.shape import Shape, debug_string, is_compatible
from tfsession.resources.philox import Philox, words
from tfsession.resources.queue import Queue
from tfsession.resources.queue_attempts import Element

__all__ = ["FIFOQueue", "PaddingFIFOQueue", "PriorityQueue", "RandomShuffleQueue"]


class FIFOQueue(Queue):
    """First in, first out."""

    kind = "FIFOQueue"


class PaddingFIFOQueue(Queue):
    """First in, first out; elements of a batch are padded to the largest where sizes may vary."""

    kind = "PaddingFIFOQueue"

    def check_settings(self) -> None:
        """There must be a shape for each component."""
        super().check_settings()
        if len(self.shapes) != len(self.dtypes):
            raise InvalidArgumentError(
                None,
                None,
                f"Shapes must be provided for all components, but received {len(self.dtypes)} "
                f"dtypes and {len(self.shapes)} shapes.",
            )

    def check_shapes(self) -> None:
        """Sizes may be unknown."""

    def accepts(self, shape: tuple[int, ...], component: int) -> bool:
        """Whether the sizes that are known fit."""
        return is_compatible(shape, self.shapes[component])

    def has_shapes(self, shapes: list[Shape]) -> bool:
        """Whether the sizes that both sides know are equal."""
        return len(shapes) == len(self.shapes) and all(map(is_compatible, shapes, self.shapes))

    def stacked(self, elements: Sequence[Element]) -> Element:
        """The components, each padded with zeros or empty strings to the largest of the batch."""
        return tuple(
            [
                _padded(column, dtype)
                for column, dtype in zip(zip(*elements, strict=True), self.dtypes, strict=True)
            ]
        )


def _padded(values: Sequence[Any], dtype: DType) -> Any:
    sizes = np.array([np.shape(value) for value in values], np.int64).max(0)
    result = np.zeros((len(values), *sizes.tolist()), dtype.numpy)
    if dtype.numpy.hasobject:
        result.fill(b"")
    for index, value in enumerate(values):
        place: Any = (index, ..., *map(slice, np.shape(value)))
        result[place] = value
    return result


class RandomShuffleQueue(Queue):
    """A random one of those that are there; some stay, for mixing, until the queue is closed.

    The order is TensorFlow's: the words of one stream of Philox, as they come, choose an element,
    the last one takes its place.

    Args:
        min_after_dequeue: how many elements must stay after each dequeue.
        seeds: two seeds of the stream; zeros stand for seeds from the operating system.
        settings: those of `Queue`.
    """

    kind = "RandomShuffleQueue"

    def __init__(self, *settings: Any, min_after_dequeue: int, seeds: tuple[int, int]) -> None:
        self.min_after_dequeue = min_after_dequeue
        self.seeds = seeds
        super().__init__(*settings)
        self._items: list[Element] = []
        stream = Philox(*seeds)
        self._words = words(stream.key, stream.reserve(1))

    def check_settings(self) -> None:
        """The elements that stay must leave room for others."""
        super().check_settings()
        if self.min_after_dequeue < 0:
            raise InvalidArgumentError(
                None, None, f"min_after_dequeue {self.min_after_dequeue} must be >= 0"
            )
        if self.min_after_dequeue >= self.capacity:
            raise InvalidArgumentError(
                None,
                None,
                f"min_after_dequeue {self.min_after_dequeue} must be < capacity {self.capacity}",
            )

    def check_shared(self, wanted: Queue, op_type: str) -> None:
        """Compare what stays and the seeds too."""
        super().check_shared(wanted, op_type)
        assert isinstance(wanted, RandomShuffleQueue)
        if wanted.min_after_dequeue != self.min_after_dequeue:
            raise self.differs(
                f"min_after_dequeue {self.min_after_dequeue} but requested min_after_dequeue was "
                f"{wanted.min_after_dequeue}."
            )
        if wanted.seeds != self.seeds:
            raise self.differs(f"random seeds {self.seeds} but requested seeds are {wanted.seeds}.")

    def _available(self) -> int:
        return len(self._items) - (0 if self._closed else self.min_after_dequeue)

    def _pop(self) -> Element:
        items = self._items
        index = next(self._words) % len(items)
        items[index], items[-1] = items[-1], items[index]
        return items.pop()

    def _put_back(self, elements: Sequence[Element]) -> None:
        self._items.extend(reversed(elements))


class PriorityQueue(Queue):
    """The least first component first, an int64.

    Which of equal ones goes first is decided as by a binary heap of the GNU C++ library, which
    TensorFlow uses: to push, the new entry rises from the end; to pop, the better child moves up
    along one path to the bottom, and the last entry rises from there. A batch waits until all of
    it is there, so that it comes out sorted.
    """

    kind = "PriorityQueue"
    batch_ops = "DequeueMany requires"

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._items: list[tuple[int, Element]] = []

    def check_shapes(self) -> None:
        """The priority is an int64 scalar."""
        if self.dtypes[0] is not int64:
            raise InvalidArgumentError(
                None,
                None,
                "PriorityQueue priority index component must be type int64, but dtype is: "
                f"{self.dtypes[0].op_def_name}",
            )
        if self.shapes and self.shapes[0] != ():
            raise InvalidArgumentError(
                None,
                None,
                "PriorityQueue priority index component must be a scalar, but shape is: "
                f"{debug_string(self.shapes[0])}",
            )
        super().check_shapes()

    def element(self, components: Sequence[Any]) -> Element:
        """As for any queue; the priority must be a scalar."""
        element = super().element(components)
        _check_scalar(np.shape(element[0]))
        return element

    def elements(self, components: Sequence[Any]) -> list[Element]:
        """As for any queue; the priorities must be scalars."""
        elements = super().elements(components)
        _check_scalar(components[0].shape[1:])
        return elements

    def _push(self, element: Element) -> None:
        self._items.append((int(element[0]), element))
        _rise(self._items, len(self._items) - 1)

    def _push_all(self, elements: Sequence[Element]) -> None:
        for element in elements:
            self._push(element)

    def _pop(self) -> Element:
        heap = self._items
        first, last = heap[0], heap.pop()
        if heap:
            heap[0] = last
            _sink(heap)
        return first[1]

    def _pop_many(self, wanted: int) -> list[Element]:
        return super()._pop_many(wanted) if wanted <= len(self._items) else []

    def _put_back(self, elements: Sequence[Element]) -> None:
        self._push_all(elements)


def _check_scalar(shape: tuple[int, ...]) -> None:
    if shape:
        raise InvalidArgumentError(
            None,
            None,
            "Expected the priority element to be a scalar, but received shape: "
            f"{debug_string(shape)}",
        )


def _rise(heap: list[tuple[int, Element]], hole: int) -> None:
    """Move the entry at `hole` up, past all with a higher number."""
    entry = heap[hole]
    while hole:
        parent = (hole - 1) // 2
        if heap[parent][0] <= entry[0]:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = entry


def _sink(heap: list[tuple[int, Element]]) -> None:
    """Put the entry at the top in its place."""
    entry, size, hole = heap[0], len(heap), 0
    while (right := 2 * hole + 2) < size:
        child = right - 1 if heap[right][0] > heap[right - 1][0] else right
        heap[hole] = heap[child]
        hole = child
    if right == size:
        heap[hole] = heap[right - 1]
        hole = right - 1
    heap[hole] = entry
    _rise(heap, hole)
