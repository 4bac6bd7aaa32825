"""Event files: records of `tf.Event` messages, as TensorBoard reads them; written in a thread.

The first event of a file names the version of the format. A file that exists is never written to:
two writers of one second, or a writer that is opened again, take different names.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tfsession.checkpoint.bundle_files import make_directory
from tfsession.core import forking, protos, verbosity
from tfsession.core.errors import DataLossError
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.records import RecordReader, RecordWriter

__all__ = ["EventFileWriter", "EventsWriter", "summary_iterator"]

_VERSION: Final = "brain.Event:2"
# What a writer's thread is asked beside writing an event.
_FLUSH: Final = object()


@export("train.summary_iterator")
def summary_iterator(path: Any) -> Iterator[Any]:
    """The `tf.Event` messages of an event file, one after the other.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: the file is damaged, or ends within an event.
    """
    with RecordReader(path) as reader:
        for record in reader:
            try:
                event = protos.Event.FromString(record)
            except protos.DecodeError as error:
                text = f"{os.fsdecode(path)}: no event before {reader.offset}: {error}"
                raise DataLossError(None, None, text) from None
            yield event


@export("python.pywrap_tensorflow.EventsWriter")
class EventsWriter:
    """Writes events to a file, in the thread that calls.

    The file is `<prefix>.out.tfevents.<seconds since 1970>.<host name><suffix>`; it is made with
    the first event, after which events wait in memory until `Flush`.

    Args:
        file_prefix: path of a local file, text or bytes.
    """

    def __init__(self, file_prefix: Any) -> None:
        self._prefix = local_path(file_prefix)
        self._suffix = ""
        self._path: Path | None = None
        self._records: RecordWriter | None = None

    def InitWithSuffix(self, suffix: Any) -> None:
        """Make a file now, whose name ends so."""
        self.Close()
        self._suffix = os.fsdecode(suffix)
        self._opened()

    def FileName(self) -> bytes:
        """The path of the file, which is made if it was not."""
        self._opened()
        return os.fsencode(str(self._path))

    def WriteEvent(self, event: Any) -> None:
        """Write a `tf.Event`."""
        self.write(protos.coerce(event, protos.Event).SerializeToString())

    def write(self, event: bytes) -> None:
        """Write a serialized event."""
        self._opened().write(event)

    def Flush(self) -> None:
        """Hand the events to the operating system, so that readers find them."""
        if self._records is not None:
            self._records.flush()

    def Close(self) -> None:
        """Close the file; the next event makes another one."""
        if self._records is not None:
            records, self._records = self._records, None
            records.close()

    def forget(self) -> None:
        """Drop the file without what is not flushed: in a forked child, whose parent has it."""
        if self._records is not None:
            records, self._records = self._records, None
            records.forget()

    def _opened(self) -> RecordWriter:
        if self._records is None:
            seconds = int(time.time())
            self._path = self._made(seconds)
            self._records = RecordWriter(self._path)
            source = protos.SourceMetadata(writer="tfsession")
            version = protos.Event(wall_time=seconds, file_version=_VERSION, source_metadata=source)
            self._records.write(version.SerializeToString())
            self._records.flush()
        return self._records

    @file_errors()
    def _made(self, seconds: int) -> Path:
        """A file that was not there before; a later second's where a writer has taken this one's.

        So names sort as the files were made.
        """
        while True:
            end = f"{seconds:010}.{socket.gethostname()}{self._suffix}"
            path = Path(f"{self._prefix}.out.tfevents.{end}")
            try:
                path.open("xb").close()
            except FileExistsError:
                seconds += 1
            else:
                return path


class _Queue:
    """What a writer's thread is to do, one after the other; and whether it still lives."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Any] = deque()
        # Reentrant: a collection may end any writer, in any thread, even in this one's own.
        self._changed = threading.Condition(forking.rlock())
        self._is_closed = False
        self._flushes_asked = self._flushes_done = 0
        self.error: BaseException | None = None

    def put(self, item: Any) -> None:
        """Add an item, when there is room; raises what has ended the thread."""
        with self._changed:
            while 0 < self._size <= len(self._items) and not self._is_closed:
                self._changed.wait()
            self._append(item)

    def _append(self, item: Any) -> None:
        if self.error is not None:
            raise self.error
        if not self._is_closed:
            self._items.append(item)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all that was put is written; raises what has ended the thread."""
        with self._changed:
            self._append(_FLUSH)
            self._flushes_asked += 1
            wanted = self._flushes_asked
            while self._flushes_done < wanted and self.error is None and not self._is_closed:
                self._changed.wait()
            if self.error is not None:
                raise self.error

    def flushed(self) -> None:
        """What was put before a `flush` is written."""
        with self._changed:
            self._flushes_done += 1
            self._changed.notify_all()

    def take(self, timeout: float | None) -> list[Any] | None:
        """All that is there, when something is; nothing after the timeout, None at the end."""
        with self._changed:
            if not self._items and not self._is_closed:
                self._changed.wait(timeout)
            if not self._items:
                return None if self._is_closed else []
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def close(self, error: BaseException | None = None) -> None:
        """Take nothing any more."""
        with self._changed:
            self._is_closed = True
            self.error = self.error or error
            self._changed.notify_all()


# The threads that have events to write, and what tells them to end.
_running: dict[threading.Thread, _Queue] = {}


def _write_all(queue: _Queue, writer: EventsWriter, flush_secs: float) -> None:
    """The thread: write what comes, flush now and then; until the queue is closed and empty."""
    try:
        _write(queue, writer, flush_secs)
    except BaseException as error:
        verbosity.error("EventFileWriter writer thread error: %s", error)
        queue.close(error)
        writer.forget()
    finally:
        _running.pop(threading.current_thread(), None)


def _write(queue: _Queue, writer: EventsWriter, flush_secs: float) -> None:
    next_flush: float | None = None  # when to flush what was written since the last time
    while True:
        wait = None if next_flush is None else max(0.0, next_flush - time.monotonic())
        items = queue.take(wait)
        if items is None:
            writer.Close()
            return
        for item in items:
            if item is _FLUSH:
                writer.Flush()
                next_flush = None
                queue.flushed()
            else:
                writer.write(item)
                next_flush = next_flush or time.monotonic() + flush_secs
        if next_flush is not None and time.monotonic() >= next_flush:
            writer.Flush()
            next_flush = None


@atexit.register
def _end_all() -> None:
    """Before the process ends: let every thread write what it has."""
    for thread, queue in list(_running.items()):
        queue.close()
        thread.join()


class EventFileWriter:
    """Writes events to a file of a directory, in a thread of its own.

    All that was added is in the file after `flush` and `close`; and when the process ends, or the
    writer is collected, too. In a forked child it writes to a file of its own.

    Args:
        logdir: the directory; it is made, with those above.
        max_queue: how many events may wait for the thread; adding more waits.
        flush_secs: after how many seconds an event is in the file without being asked.
        filename_suffix: what the file's name ends in.
    """

    def __init__(
        self,
        logdir: Any,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: Any = None,
    ) -> None:
        self._logdir = os.fsdecode(logdir)
        self._max_queue = max_queue
        self._flush_secs = flush_secs
        prefix = Path(local_path(logdir)) / "events"
        with file_errors():
            make_directory(str(prefix))
        self._writer = EventsWriter(prefix)
        if filename_suffix:
            self._writer.InitWithSuffix(filename_suffix)
        self._closed = False
        self._lock = forking.lock()
        self._queue: _Queue | None = None
        self._thread: threading.Thread | None = None
        forking.notice(self)

    def _started(self) -> _Queue:
        """The queue of the thread, which starts when it is first needed."""
        with self._lock:
            if self._queue is None:
                queue = self._queue = _Queue(self._max_queue)
                arguments = (queue, self._writer, self._flush_secs)
                thread = self._thread = threading.Thread(
                    target=_write_all, args=arguments, name="EventLoggerThread", daemon=True
                )
                _running[thread] = queue
                thread.start()
                weakref.finalize(self, queue.close).atexit = False
            return self._queue

    def after_fork(self) -> None:
        """Leave what waits to the parent, which writes it; begin anew with the next event."""
        _running.clear()
        self._writer.forget()
        self._queue = self._thread = None

    def get_logdir(self) -> str:
        """The directory."""
        return self._logdir

    def add_event(self, event: Any) -> None:
        """Write a `tf.Event` soon; nothing once the writer is closed.

        Raises:
            OpError: what the thread met when it wrote earlier events.
        """
        if not self._closed:
            serialized = protos.coerce(event, protos.Event).SerializeToString()
            self._started().put(serialized)

    def flush(self) -> None:
        """Wait until all events are in the file; raises OpError when that fails."""
        if self._queue is not None:
            self._queue.flush()

    def close(self) -> None:
        """Write all events and close the file; raises OpError when that fails."""
        if self._closed:
            return
        self._closed = True
        with self._lock:
            queue, thread, self._queue, self._thread = self._queue, self._thread, None, None
        if queue is None or thread is None:
            self._writer.Close()
            return
        queue.close()
        thread.join()
        if queue.error is not None:
            raise queue.error

    def reopen(self) -> None:
        """Go on, in another file, after `close`; nothing before."""
        self._closed = False
