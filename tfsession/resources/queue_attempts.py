"""What waits at a queue: an enqueue, a dequeue, a batch, or the closing, until its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tfsession.core.errors import CancelledError, OpError
from tfsession.core.pending import Pending

if TYPE_CHECKING:
    from tfsession.resources.queue import Queue

# One value for each component: arrays and NumPy scalars that nobody else can write to.
Element = tuple[Any, ...]


class Attempt:
    """An operation on a queue that may have to wait for its turn, or for elements or room."""

    __slots__ = ("error", "is_complete", "pending", "queue")

    side: ClassVar[str] = "Enqueue"

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.pending: Pending | None = None
        self.error: OpError | None = None
        self.is_complete = False

    def advance(self) -> bool:
        """Do what can be done now, under the queue's lock; tells whether elements moved."""
        raise NotImplementedError

    def undo(self) -> None:
        """Give up, under the queue's lock."""

    def value(self) -> Any:
        """What the operation gives once it is complete and without error."""
        return None

    def fail(self, error: OpError) -> None:
        """Complete with an error, under the queue's lock."""
        self.error, self.is_complete = error, True

    def result(self) -> Any:
        """The value of a complete attempt; raises its error."""
        if self.error is not None:
            raise self.error
        return self.value()

    def complete(self) -> None:
        """Hand the result to who waits for it; outside of the queue's lock."""
        assert self.pending is not None
        try:
            result = self.result()
        except BaseException as error:
            self.pending.fail(error)
        else:
            self.pending.succeed(result)

    def cancelled(self) -> OpError:
        """The error of a wait that was ended."""
        return CancelledError(None, None, f"{self.side} operation was cancelled")

    def cancel(self) -> None:
        """End the wait of an attempt that was taken out of its queue; outside of the lock."""
        assert self.pending is not None
        self.pending.fail(self.cancelled())


class Enqueue(Attempt):
    """Elements that enter one by one as room appears; those that are in stay in."""

    __slots__ = ("elements", "entered")

    def __init__(self, queue: Queue, elements: Sequence[Element]) -> None:
        super().__init__(queue)
        self.elements = elements
        self.entered = 0

    def advance(self) -> bool:
        """Let as many elements enter as there is room for."""
        queue = self.queue
        if queue._closed:
            self.fail(queue.closed_error())
            return False
        room = queue.capacity - len(queue._items)
        if room <= 0:
            return False
        entering = self.elements[self.entered : self.entered + room]
        queue._push_all(entering)
        self.entered += len(entering)
        self.is_complete = self.entered == len(self.elements)
        return True


class Close(Attempt):
    """The closing of a queue once all that came before it has entered."""

    __slots__ = ()

    def advance(self) -> bool:
        """Close the queue."""
        queue = self.queue
        if queue._closed:
            message = f"Queue '{queue.name}' is already closed."
            self.fail(CancelledError(None, None, message))
        queue._closed = self.is_complete = True
        return False


class Dequeue(Attempt):
    """One element."""

    __slots__ = ("element",)

    side = "Dequeue"

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue)
        self.element: Element = ()

    def advance(self) -> bool:
        """Take an element if there is one."""
        queue = self.queue
        if queue._available() > 0:
            self.element = queue._pop()
            self.is_complete = True
            return True
        if queue._closed:
            self.fail(queue.insufficient_error(1, 0))
        return False

    def value(self) -> Element:
        """The element."""
        return self.element


class DequeueMany(Attempt):
    """A batch, whose elements are taken as they come, and put back when it fails.

    With `allow_small`, a closed queue gives what is left instead of an error.
    """

    __slots__ = ("allow_small", "count", "gathered")

    side = "Dequeue"

    def __init__(self, queue: Queue, count: int, allow_small: bool) -> None:
        super().__init__(queue)
        self.count = count
        self.allow_small = allow_small
        self.gathered: list[Element] = []

    def advance(self) -> bool:
        """Take what is there and wanted."""
        queue, size = self.queue, len(self.queue._items)
        missing = self.count - len(self.gathered)
        if queue._closed and size < missing:
            self.undo()
            if not (self.allow_small and queue._items):
                self.fail(queue.insufficient_error(missing, size))
                return False
            self.count = missing = len(queue._items)
        taken = queue._pop_many(missing)
        self.gathered += taken
        self.is_complete = len(self.gathered) == self.count
        return bool(taken)

    def undo(self) -> None:
        """Put back what was gathered."""
        self.queue._put_back(self.gathered)
        self.gathered = []

    def value(self) -> Element:
        """The components of the elements, each stacked; they are put back if memory fails."""
        try:
            return self.queue.stacked(self.gathered)
        except Exception:
            self.queue.restore(self.gathered)
            raise
