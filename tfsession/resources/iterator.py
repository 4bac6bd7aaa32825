"""Iterators: what a session goes through a dataset with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import starmap
from typing import TypeVar

from tfsession.core import forking
from tfsession.core.dtypes import DType
from tfsession.core.errors import FailedPreconditionError, InvalidArgumentError, OutOfRangeError
from tfsession.core.shape import Shape, debug_string, is_compatible
from tfsession.core.waiting import here, patience
from tfsession.resources.dataset import Dataset, Element

T = TypeVar("T")
# The arguments of an `acquire` that does not wait, for one call.
_AT_ONCE = ((False,),)


class DatasetIterator:
    """An iterator with its place in a dataset; one thread at a time takes an element.

    Args:
        name: of the resource.
        container: of the resource.
        dtypes: of the components of each element.
        shapes: of the components, as far as they are known.
    """

    def __init__(
        self, name: str, container: str, dtypes: Sequence[DType], shapes: Sequence[Shape]
    ) -> None:
        self.name = name
        self.container = container
        self.dtypes = tuple(dtypes)
        self.shapes = tuple(shapes)
        self._lock = forking.rlock()
        self._steps: Iterator[Element] | None = None
        self._is_released = False

    def begin(self, dataset: Dataset) -> None:
        """Go to the start of a dataset."""
        self._alone(partial(self._begin, lambda: dataset))

    def begin_once(self, make: Callable[[], Dataset]) -> None:
        """Go to the start of the dataset that `make` gives, if there is none yet."""
        if self._steps is None:
            self._alone(partial(self._begin, make, once=True))

    def _begin(self, make: Callable[[], Dataset], once: bool = False) -> None:
        if self._steps is None or not once:
            self._steps = iter(make())

    def release(self) -> None:
        """Drop what goes through the dataset, and with it its threads: the session is closed."""
        self._is_released = True
        self._steps = None

    def _is_over(self) -> bool:
        """Whether nobody wants elements any more."""
        return self._is_released

    def _alone(self, work: Callable[[], T]) -> T:
        """`work()`, which no two threads do at a time.

        Raises:
            Stop: the time of the step is over.
            CancelledError: the session was closed meanwhile.
        """
        before, acquire = here.is_over, self._lock.acquire
        # Ctrl-C can come after any call: the one that takes the lock also keeps it.
        taken: list[bool] = []
        try:
            here.is_over = self._is_over
            taken.extend(starmap(acquire, _AT_ONCE))
            while not taken[-1]:
                taken.extend(starmap(acquire, ((True, patience()),)))
            return work()
        finally:
            here.is_over = before
            if taken and taken[-1]:
                self._lock.release()

    def check(self, dtypes: Sequence[DType], shapes: Sequence[Shape]) -> None:
        """Raise InvalidArgumentError unless the elements are as somebody expects them."""
        if dtypes and tuple(dtypes) != self.dtypes:
            wanted, found = (", ".join(t.name for t in types) for types in (dtypes, self.dtypes))
            raise InvalidArgumentError(
                None,
                None,
                f"The iterator '{self.name}' gives elements of types ({found}), not ({wanted}).",
            )
        if shapes and not (
            len(shapes) == len(self.shapes) and all(map(is_compatible, shapes, self.shapes))
        ):
            wanted, found = (", ".join(map(debug_string, both)) for both in (shapes, self.shapes))
            raise InvalidArgumentError(
                None,
                None,
                f"The iterator '{self.name}' gives elements of shapes {found}, not {wanted}.",
            )

    def next(self) -> Element:
        """The next element.

        Raises:
            FailedPreconditionError: there is no dataset yet.
            OutOfRangeError: there are no more elements.
            InvalidArgumentError: the element is not as the iterator promises.
        """
        element = self._alone(self._advance)
        if len(element) != len(self.shapes):
            raise InvalidArgumentError(
                None,
                None,
                f"Expected {len(self.shapes)} components but got {len(element)}.",
            )
        for index, (value, shape) in enumerate(zip(element, self.shapes, strict=True)):
            found = getattr(value, "shape", ())
            if not is_compatible(found, shape):
                raise InvalidArgumentError(
                    None,
                    None,
                    f"Incompatible shapes at component {index}: expected {debug_string(shape)} but "
                    f"got {debug_string(found)}.",
                )
        return element

    def _advance(self) -> Element:
        if self._steps is None:
            raise FailedPreconditionError(
                None,
                None,
                "GetNext() failed because the iterator has not been initialized. Ensure that you "
                "have run the initializer operation for this iterator before getting the next "
                "element.",
            )
        try:
            return next(self._steps)
        except StopIteration:
            self._steps = iter(())  # what it went through may hold files and threads
            raise OutOfRangeError(None, None, "End of sequence") from None
