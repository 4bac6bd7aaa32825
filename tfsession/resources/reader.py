"""Readers: records out of the work items, names of files most often, that a queue hands over.

Reads of one reader are served one after the other, in the order in which they came. One that has to
wait for a work item holds up no thread: whoever puts the item into the queue goes on with it.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, ClassVar

import numpy as np

from tfsession.core import forking, protos
from tfsession.core.errors import CancelledError, InvalidArgumentError, UnimplementedError
from tfsession.core.file_system import file_errors
from tfsession.core.pending import Pending
from tfsession.resources.queue import Queue
from tfsession.resources.reader_files import Records

Record = tuple[bytes, bytes]


class Reader:
    """What all readers share: the work item in progress, the counts, the reads that wait.

    Args:
        name: as it stands in error messages.
        container: where the reader lives.
        settings: how records are found in a work item.
    """

    has_state: ClassVar[bool] = False

    def __init__(self, name: str, container: str, **settings: Any) -> None:
        self.name = name
        self.container = container
        self.settings = settings
        self._lock = forking.lock()
        self._reads: deque[_Read] = deque()
        self._is_released = False
        # Only the read that stands first touches what follows, and counts only under the lock.
        self._work: bytes | None = None  # the latest one
        self._records: Records | None = None
        self._started = 0
        self._finished = 0
        self._produced = 0

    # --- what kinds of readers differ in ----------------------------------------------------------

    def begin(self, work: bytes) -> Records:
        """The records of a work item; raises errors of the file system."""
        raise NotImplementedError

    # --- operations -------------------------------------------------------------------------------

    def read(self, queue: Queue, limit: int | None = None) -> Any:
        """A record, or with `limit` a list of up to so many of one work item; or a Pending.

        Raises:
            OutOfRangeError: the queue is closed and empty.
            NotFoundError, DataLossError: as the work item is read; the next read goes on with the
                next one.
            InvalidArgumentError: the queue holds something else than names.
        """
        read = _Read(self, queue, limit)
        with forking.once_free(self._lock):
            self._reads.append(read)
            is_first = len(self._reads) == 1
        if is_first:
            self._serve(read)
        pending = read.pending
        if not pending.is_done:
            return pending
        if pending.error is not None:
            raise pending.error
        return pending.result

    @property
    def produced(self) -> int:
        """How many records were read."""
        with forking.once_free(self._lock):
            return self._produced

    @property
    def finished(self) -> int:
        """How many work items were read to their ends."""
        with forking.once_free(self._lock):
            return self._finished

    def reset(self) -> None:
        """Forget the work item in progress, and the counts."""
        with forking.once_free(self._lock):
            records, self._records, self._work = self._records, None, None
            self._started = self._finished = self._produced = 0
        if records is not None:
            records.close()

    def state(self) -> bytes:
        """What `restore` needs; UnimplementedError for readers that cannot tell."""
        if not self.has_state:
            raise UnimplementedError(None, None, "Reader SerializeState")
        with forking.once_free(self._lock):
            message = protos.ReaderBaseState(
                work_started=self._started,
                work_finished=self._finished,
                num_records_produced=self._produced,
                current_work=self._work or b"",
            )
        data: bytes = message.SerializeToString()
        return data

    def restore(self, state: bytes) -> None:
        """Go on from a state.

        Raises:
            InvalidArgumentError: it is none.
            UnimplementedError: the reader cannot do that.
        """
        if not self.has_state:
            raise UnimplementedError(None, None, "Reader RestoreState")
        try:
            message = protos.parsed(protos.ReaderBaseState, state)
        except ValueError:
            shown = state.decode(errors="backslashreplace")
            text = f"Could not parse state for {self.name}: {shown}"
            raise InvalidArgumentError(None, None, text) from None
        started, finished = message.work_started, message.work_finished
        if min(started, finished, message.num_records_produced) < 0 or finished > started:
            text = f"Unexpected counts in the state restoring in {self.name}"
            raise InvalidArgumentError(None, None, text)
        self.reset()
        with forking.once_free(self._lock):
            self._started, self._finished = started, finished
            self._produced = message.num_records_produced
            self._work = message.current_work

    def release(self) -> None:
        """End all waits and close the file: the session is closed."""
        with forking.once_free(self._lock):
            self._is_released = True
            reads = list(self._reads)
        for read in reads:
            read.cancel(read.pending)
        self.reset()

    # --- reads ------------------------------------------------------------------------------------

    def _serve(self, read: _Read | None) -> None:
        """Serve the read that stands first, and those behind it, until one has to wait."""
        while read is not None:
            try:
                if not self._advance(read):
                    return
            except BaseException as error:
                read.error = error
            with forking.once_free(self._lock):
                self._reads.popleft()
                following = self._reads[0] if self._reads else None
            if read.error is not None:
                read.pending.fail(read.error)
            else:
                read.pending.succeed(read.result)
            read = following

    def _advance(self, read: _Read) -> bool:
        """Read what is wanted; False when a work item has to come first."""
        if read.error is not None:
            return True
        while True:
            if self._records is None:
                if read.is_cancelled:
                    raise CancelledError(None, None, "Read operation was cancelled")
                item = read.queue.dequeue()
                if isinstance(item, Pending):
                    read.wait_for(item)
                    item.when_done(partial(self._resume, read))
                    return False
                self._begin(_name_in(item))
            found = self._next(read.limit or 1)
            if found:
                read.result = found[0] if read.limit is None else found
                return True

    def _resume(self, read: _Read, item: Pending) -> None:
        """Go on with a work item that has come, in the thread that brought it."""
        read.waits_for = None
        try:
            if item.error is not None:
                raise item.error
            self._begin(_name_in(item.result))
        except BaseException as error:
            read.error = error
        self._serve(read)

    def _begin(self, work: bytes) -> None:
        with file_errors():
            records = self.begin(work)
        with forking.once_free(self._lock):
            is_released = self._is_released
            if not is_released:
                self._work, self._records = work, records
                self._started += 1
        if is_released:
            # Nobody would close what is opened from now on.
            records.close()
            raise CancelledError(None, None, "Read operation was cancelled")

    def _next(self, count: int) -> list[Record]:
        """Up to `count` records of the work item, which is finished when there are fewer."""
        records = self._records
        if records is None:  # a reset came in between
            return []
        found: list[Record] = []
        try:
            with file_errors():
                while len(found) < count and (record := records.read()) is not None:
                    found.append(record)
        except BaseException:
            self._end(records, 0, is_whole=False)
            raise
        if len(found) < count or records.is_over:
            self._end(records, len(found), is_whole=True)
        else:
            with forking.once_free(self._lock):
                self._produced += len(found)
        return found

    def _end(self, records: Records, count: int, is_whole: bool) -> None:
        records.close()
        with forking.once_free(self._lock):
            self._produced += count
            self._finished += is_whole
            if self._records is records:
                self._records = None

    # --- what a reference to a reader is as a value: TF1's first readers are string references ----

    @property
    def is_initialized(self) -> bool:
        """A reader always is."""
        return True


class _Read:
    """A read of one or more records, until its turn comes and a work item is there."""

    __slots__ = ("error", "is_cancelled", "limit", "pending", "queue", "reader", "result",
                 "waits_for")  # fmt: skip

    def __init__(self, reader: Reader, queue: Queue, limit: int | None) -> None:
        self.reader = reader
        self.queue = queue
        self.limit = limit
        self.pending = Pending(self.cancel)
        self.result: Any = None
        self.error: BaseException | None = None
        self.waits_for: Pending | None = None
        self.is_cancelled = False

    def wait_for(self, item: Pending) -> None:
        """Remember whom to ask for an end of the wait; ask at once if it is wanted already."""
        self.waits_for = item
        if self.is_cancelled:
            item.cancel()

    def cancel(self, pending: Pending) -> None:
        """Give up: take it out if it waits for its turn, else ask the queue."""
        self.is_cancelled = True
        reader = self.reader
        with forking.once_free(reader._lock):
            waits_for_turn = self in reader._reads and reader._reads[0] is not self
            if waits_for_turn:
                reader._reads.remove(self)
        if waits_for_turn:
            pending.fail(CancelledError(None, None, "Read operation was cancelled"))
        elif (item := self.waits_for) is not None:
            item.cancel()


def _name_in(element: Any) -> bytes:
    """The one text of an element of a queue."""
    value = element[0]
    if len(element) != 1 or np.size(value) != 1 or np.asarray(value, object).dtype != object:
        raise InvalidArgumentError(None, None, "Expected to dequeue a one-element string tensor")
    text = np.asarray(value, object).reshape(-1)[0]
    if not isinstance(text, bytes):
        raise InvalidArgumentError(
            None, None, f"Expected queue with single string component, got {text!r}"
        )
    return text
