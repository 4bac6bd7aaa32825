"""Queues: elements that producers and consumers of any step hand over, and the wait for them.

An operation that can be done at once is done under one lock and gives its result. One that cannot
becomes an attempt: each side serves its attempts in the order in which they came, and whoever makes
one possible completes it, after the lock is released. No queue has a thread of its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from tfsession.core import forking
from tfsession.core.dtypes import DType
from tfsession.core.errors import CancelledError, InvalidArgumentError, OpError, OutOfRangeError
from tfsession.core.pending import Pending
from tfsession.core.shape import Shape, debug_string
from tfsession.devices.memory import charged
from tfsession.resources.queue_attempts import (
    Attempt,
    Close,
    Dequeue,
    DequeueMany,
    Element,
    Enqueue,
)

UNBOUNDED = 2**31 - 1


class Queue:
    """Elements of some components of given dtypes, first in, first out.

    Args:
        name: as it stands in error messages.
        container: where the queue lives.
        dtypes: of the components.
        shapes: of the components; empty when they may vary.
        capacity: how many elements there may be; a negative number stands for no limit.

    Raises:
        InvalidArgumentError: the settings contradict each other.
    """

    kind: ClassVar[str] = "Queue"
    # The words with which a batch is refused when the shapes of elements may vary.
    batch_ops: ClassVar[str] = "DequeueMany and DequeueUpTo require"

    def __init__(
        self,
        name: str,
        container: str,
        dtypes: Sequence[DType],
        shapes: Sequence[Shape],
        capacity: int,
    ) -> None:
        self.name = name
        self.container = container
        self.dtypes = list(dtypes)
        self.shapes = list(shapes)
        self.capacity = UNBOUNDED if capacity < 0 else capacity
        self._lock = forking.lock()
        self._items: Any = deque()
        # Ordered dicts: the first and any one are taken out in constant time.
        self._enqueues: OrderedDict[Attempt, None] = OrderedDict()
        self._dequeues: OrderedDict[Attempt, None] = OrderedDict()
        self._closed = False
        self._released = False
        self.check_settings()

    # --- what kinds of queues differ in -----------------------------------------------------------

    def check_settings(self) -> None:
        """Raise InvalidArgumentError when the settings contradict each other."""
        if self.shapes and len(self.shapes) != len(self.dtypes):
            raise InvalidArgumentError(
                None,
                None,
                f"Different number of component types.  Types: {_names(self.dtypes)}, Shapes: "
                f"{_texts(self.shapes)}",
            )
        self.check_shapes()

    def check_shapes(self) -> None:
        """Raise InvalidArgumentError for shapes that this kind cannot have."""
        for shape in self.shapes:
            if shape is None or None in shape:
                text = debug_string(shape, "<unknown>")
                raise InvalidArgumentError(None, None, f"Shape {text} is not fully defined")

    def accepts(self, shape: tuple[int, ...], component: int) -> bool:
        """Whether a value of this shape may be a component of an element."""
        return shape == self.shapes[component]

    def check_shared(self, wanted: Queue, op_type: str) -> None:
        """Raise InvalidArgumentError unless the queue is what an operation of its name wants."""
        if type(wanted) is not type(self):
            raise InvalidArgumentError(None, None, f"Expected {self.kind}, found {op_type}")
        if wanted.capacity != self.capacity:
            raise self.differs(
                f"capacity {self.capacity} but requested capacity was {wanted.capacity}"
            )
        if wanted.dtypes != self.dtypes:
            raise self.differs(
                f"component types {_names(self.dtypes)} but requested component types were "
                f"{_names(wanted.dtypes)}"
            )
        if not self.has_shapes(wanted.shapes):
            raise self.differs(
                f"component shapes {_texts(self.shapes)} but requested component shapes were "
                f"{_texts(wanted.shapes)}"
            )

    def has_shapes(self, shapes: list[Shape]) -> bool:
        """Whether an operation that shares the queue may expect these shapes."""
        return shapes == self.shapes

    def differs(self, what: str) -> OpError:
        """The error for a queue that is not as an operation of its name wants it."""
        return InvalidArgumentError(None, None, f"Shared queue '{self.name}' has {what}")

    def _available(self) -> int:
        """How many elements may be taken one by one now."""
        return len(self._items)

    def _push(self, element: Element) -> None:
        self._items.append(element)

    def _push_all(self, elements: Sequence[Element]) -> None:
        self._items.extend(elements)

    def _pop(self) -> Element:
        element: Element = self._items.popleft()
        return element

    def _pop_many(self, wanted: int) -> list[Element]:
        """Up to `wanted` elements, those that a batch may take now."""
        return [self._pop() for _ in range(min(wanted, self._available()))]

    def _put_back(self, elements: Sequence[Element]) -> None:
        self._items.extendleft(reversed(elements))

    def stacked(self, elements: Sequence[Element]) -> Element:
        """The components of one or more elements, each along a new first dimension."""
        columns = zip(*elements, strict=True)
        return tuple([_stack(c, d) for c, d in zip(columns, self.dtypes, strict=True)])

    # --- checks of what comes in ------------------------------------------------------------------

    def element(self, components: Sequence[Any]) -> Element:
        """The components as an element that holds no memory of the caller's.

        Raises:
            InvalidArgumentError: a shape does not fit.
        """
        if self.shapes:
            for index, value in enumerate(components):
                if not self.accepts(_shape(value), index):
                    raise _mismatch(index, self.shapes[index], _shape(value))
        return tuple([_owned(value) for value in components])

    def elements(self, components: Sequence[Any]) -> list[Element]:
        """The slices of batches as elements that hold no memory of the caller's.

        Raises:
            InvalidArgumentError: a shape does not fit, or the batches have different lengths.
        """
        first = components[0].shape
        length = first[0] if first else None
        for index, value in enumerate(components):
            if self.shapes:
                shape = self.shapes[index]
                if (
                    length is None
                    or value.shape[:1] != (length,)
                    or not self.accepts(value.shape[1:], index)
                ):
                    expected = None if shape is None else (length, *shape)
                    raise _mismatch(index, expected, value.shape)
            elif not value.shape or value.shape[0] != length:
                has = str(value.shape[0]) if value.shape else "none, being a scalar"
                raise InvalidArgumentError(
                    None,
                    None,
                    "All input tensors must have the same size in the 0th dimension. Component "
                    f"{index} has {has}, and should have {'one' if length is None else length}",
                )
        return list(zip(*map(_rows, components), strict=True))

    # --- operations -------------------------------------------------------------------------------

    def enqueue(self, element: Element) -> Pending | None:
        """Add an element; a Pending when there is no room.

        Raises:
            CancelledError: the queue is closed.
        """
        with forking.once_free(self._lock):
            is_free = not self._enqueues and not self._closed and len(self._items) < self.capacity
            if is_free:
                self._push(element)
                done = self._flush() if self._dequeues else None
        if not is_free:
            return self._perform(Enqueue(self, (element,)), self._enqueues)  # type: ignore[no-any-return]
        if done:
            _complete(done)
        return None

    def enqueue_many(self, elements: Sequence[Element]) -> Pending | None:
        """Add elements one by one; a Pending when there is not room for all.

        Raises:
            CancelledError: the queue is closed.
        """
        if not elements:
            return None
        return self._perform(Enqueue(self, elements), self._enqueues)  # type: ignore[no-any-return]

    def dequeue(self) -> Pending | Element:
        """Take an element; a Pending when there is none.

        Raises:
            OutOfRangeError: the queue is closed and empty.
        """
        with forking.once_free(self._lock):
            is_free = not self._dequeues and self._available() > 0
            if is_free:
                element = self._pop()
                done = self._flush() if self._enqueues else None
        if not is_free:
            return self._perform(Dequeue(self), self._dequeues)  # type: ignore[no-any-return]
        if done:
            _complete(done)
        return element

    def dequeue_many(self, count: int, allow_small: bool = False) -> Pending | Element:
        """Take `count` elements, stacked; a Pending while there are not enough.

        With `allow_small`, a closed queue gives what is left.

        Raises:
            InvalidArgumentError: the shapes of elements may vary.
            OutOfRangeError: the queue is closed and has too few elements.
        """
        if not self.shapes:
            raise InvalidArgumentError(
                None,
                None,
                f"{self.kind}'s {self.batch_ops} the components to have specified shapes.",
            )
        if count == 0:
            return tuple(
                [
                    np.empty((0, *(size or 0 for size in shape or ())), dtype.numpy)
                    for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
                ]
            )
        attempt = DequeueMany(self, count, allow_small)
        return self._perform(attempt, self._dequeues)  # type: ignore[no-any-return]

    def close(self, cancel_pending_enqueues: bool = False) -> Pending | None:
        """Let no element enter any more; a Pending while elements still wait to enter.

        With `cancel_pending_enqueues` those are cancelled instead.

        Raises:
            CancelledError: the queue is closed already.
        """
        if not cancel_pending_enqueues:
            return self._perform(Close(self), self._enqueues)  # type: ignore[no-any-return]
        with forking.once_free(self._lock):
            self._closed = True
            ended = list(self._enqueues)
            self._enqueues.clear()
            done = self._flush()
        for attempt in ended:
            attempt.cancel()
        _complete(done)
        return None

    @property
    def size(self) -> int:
        """How many elements there are; those that a waiting batch has gathered do not count."""
        with forking.once_free(self._lock):
            return len(self._items)

    @property
    def is_closed(self) -> bool:
        """Whether no element can enter any more."""
        with forking.once_free(self._lock):
            return self._closed

    def release(self) -> None:
        """Forget the elements and end all waits: the session is closed."""
        with forking.once_free(self._lock):
            self._closed = self._released = True
            ended = [*self._enqueues, *self._dequeues]
            self._enqueues.clear()
            self._dequeues.clear()
            self._items.clear()
        for attempt in ended:
            attempt.cancel()

    # --- attempts ---------------------------------------------------------------------------------

    def _perform(self, attempt: Attempt, waiting: OrderedDict[Attempt, None]) -> Any:
        """The result of an attempt whose turn has come, or a Pending."""
        with forking.once_free(self._lock):
            if self._released:
                raise attempt.cancelled()
            waiting[attempt] = None
            done = self._flush()
            if not attempt.is_complete:
                attempt.pending = Pending(partial(self._withdraw, attempt, waiting))
        _complete(other for other in done if other is not attempt)
        return attempt.result() if attempt.pending is None else attempt.pending

    def _flush(self) -> list[Attempt]:
        """Let attempts advance until none can; gives those that are complete. Under the lock."""
        done = []
        moved = True
        while moved:
            moved = False
            for waiting in (self._enqueues, self._dequeues):
                while waiting:
                    attempt = next(iter(waiting))
                    moved |= attempt.advance()
                    if not attempt.is_complete:
                        break
                    moved = True
                    del waiting[attempt]
                    done.append(attempt)
        return done

    def _withdraw(
        self, attempt: Attempt, waiting: OrderedDict[Attempt, None], pending: Pending
    ) -> None:
        """Take a cancelled attempt out, unless another thread is about to complete it."""
        with forking.once_free(self._lock):
            if attempt.is_complete or waiting.pop(attempt, self) is self:
                return
            attempt.undo()
            done = self._flush()
        attempt.cancel()
        _complete(done)

    def restore(self, elements: Sequence[Element]) -> None:
        """Put elements back that were taken out and could not be used."""
        with forking.once_free(self._lock):
            if self._released:
                return
            self._put_back(elements)
            done = self._flush()
        _complete(done)

    # --- errors -----------------------------------------------------------------------------------

    def closed_error(self) -> OpError:
        """The error of an enqueue that comes too late."""
        return CancelledError(None, None, f"{self.kind} '{self.name}' is closed.")

    def insufficient_error(self, requested: int, size: int) -> OpError:
        """The error of a dequeue that waits for what can never come."""
        return OutOfRangeError(
            None,
            None,
            f"{self.kind} '{self.name}' is closed and has insufficient elements "
            f"(requested {requested}, current size {size})",
        )

    # --- what a reference to a queue is as a value: TF1's first queues are string references ------

    @property
    def is_initialized(self) -> bool:
        """A queue always is."""
        return True

    def read(self) -> Any:
        """The container and the name, as a string vector."""
        return np.array([self.container.encode(), self.name.encode()], object)


def _complete(attempts: Any) -> None:
    for attempt in attempts:
        attempt.complete()


def _owned(value: Any) -> Any:
    """The value without memory that someone else may write to."""
    if type(value) is not np.ndarray:
        return value
    is_array = value.ndim or not _has_own_scalars(value.dtype)
    return charged(value.copy()) if is_array else value[()]


def _has_own_scalars(dtype: np.dtype[Any]) -> bool:
    """Whether elements taken out of an array are NumPy scalars, and no views of it."""
    return dtype.names is None and not dtype.hasobject


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of a component; a handle is a scalar."""
    return value.shape if isinstance(value, np.ndarray | np.generic) else ()


def _rows(batch: Any) -> list[Any]:
    """The slices along the first dimension, each in memory of its own."""
    if batch.ndim == 1 and _has_own_scalars(batch.dtype):
        return list(batch)
    # Not views of one copy: a single slice that stays would keep the whole batch.
    return [charged(batch[index, ...].copy()) for index in range(len(batch))]


def _stack(values: Sequence[Any], dtype: DType) -> Any:
    if not dtype.numpy.hasobject:
        return np.array(values, dtype.numpy)
    result = np.empty((len(values), *np.shape(values[0])), object)
    for index, value in enumerate(values):
        result[index, ...] = value
    return result


def _mismatch(index: int, expected: Shape, got: Shape) -> OpError:
    return InvalidArgumentError(
        None,
        None,
        f"Shape mismatch in tuple component {index}. Expected {debug_string(expected)}, got "
        f"{debug_string(got)}",
    )


def _names(dtypes: Sequence[DType]) -> str:
    return ", ".join(dtype.op_def_name for dtype in dtypes)


def _texts(shapes: Sequence[Shape]) -> str:
    return f"[{', '.join(debug_string(shape, '<unknown>') for shape in shapes)}]"
