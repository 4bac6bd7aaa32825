"""The records of many files in random order, over and over."""

from __future__ import annotations

from collections.abc import Iterator

from tfsession.core import forking
from tfsession.core.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsession.core.file_system import matching_paths
from tfsession.core.records import RecordReader
from tfsession.resources.philox import words


class RecordInput:
    """Goes through the records of all files that fit a pattern, in another order each time.

    All records come once before any comes again. The order is that of a seed: the files are
    shuffled, some are read by turns, and their records go through a buffer from which one is taken
    at random.

    Args:
        pattern: of the names of the files; looked up anew each time through.
        seed: chooses the orders.
        shift: the part of the shuffled list of files, from 0 to 1, that is moved to its end.
        buffer_size: how many records are shuffled among each other.
        parallelism: how many files are read by turns.
        compression: "", "GZIP" or "ZLIB".

    Raises:
        InvalidArgumentError: a setting is out of its range.
    """

    def __init__(
        self,
        pattern: bytes,
        seed: int,
        shift: float,
        buffer_size: int,
        parallelism: int,
        compression: str,
    ) -> None:
        for name, value in (("buffer_size", buffer_size), ("parallelism", parallelism)):
            if value < 1:
                raise _refuse(f"file_{name} must be positive, but is {value}")
        if not 0 <= shift <= 1:
            raise _refuse(f"file_shuffle_shift_ratio must be between 0 and 1, but is {shift}")
        if compression not in ("", "GZIP", "ZLIB"):
            raise _refuse(f"Unknown compression {compression!r}")
        self._pattern = pattern
        self._seed = seed
        self._shift = shift
        self._buffer_size = buffer_size
        self._parallelism = parallelism
        self._compression = compression
        self._lock = forking.lock()
        self._times = 0
        self._records: Iterator[bytes] = iter(())

    def batch(self, size: int) -> list[bytes]:
        """The next `size` records.

        After an error the files are gone through from their beginnings.

        Raises:
            InvalidArgumentError: `size` is not positive.
            NotFoundError: no file fits the pattern.
            DataLossError: a file is damaged, or there is not a single record.
        """
        if size < 1:
            raise _refuse(f"batch_size must be positive, but is {size}")
        batch: list[bytes] = []
        with self._lock:
            while len(batch) < size:
                record = next(self._records, None)
                if record is None:
                    self._records = self._once_through()
                    record = next(self._records, None)
                if record is None:
                    raise DataLossError(
                        None, None, f"There are no records in {self._pattern.decode()}"
                    )
                batch.append(record)
        return batch

    def _once_through(self) -> Iterator[bytes]:
        paths = matching_paths(self._pattern)
        if not paths:
            raise NotFoundError(None, None, f"Found no files at {self._pattern.decode()}")
        random = words(self._seed, self._times << 64)
        self._times += 1
        for last in range(len(paths) - 1, 0, -1):
            chosen = next(random) % (last + 1)
            paths[last], paths[chosen] = paths[chosen], paths[last]
        moved = int(len(paths) * self._shift)
        buffer: list[bytes] = []

        def taken() -> bytes:
            chosen = next(random) % len(buffer)
            buffer[chosen], buffer[-1] = buffer[-1], buffer[chosen]
            return buffer.pop()

        for record in self._by_turns(paths[moved:] + paths[:moved]):
            buffer.append(record)
            if len(buffer) >= self._buffer_size:
                yield taken()
        while buffer:
            yield taken()

    def _by_turns(self, paths: list[str]) -> Iterator[bytes]:
        """The records of files, of which some are open at a time."""
        waiting, readers = iter(paths), list[RecordReader]()
        try:
            while True:
                while len(readers) < self._parallelism:
                    path = next(waiting, None)
                    if path is None:
                        break
                    readers.append(RecordReader(path, self._compression))
                if not readers:
                    return
                for reader in list(readers):
                    record = reader.read()
                    if record is None:
                        reader.close()
                        readers.remove(reader)
                    else:
                        yield record
        finally:
            for reader in readers:
                reader.close()

    def release(self) -> None:
        """Close the files: the session is closed."""
        with self._lock:
            self._records = iter(())


def _refuse(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, message)
