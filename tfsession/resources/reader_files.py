"""How records lie in files: by lines, by size, as record files, or the whole file as one."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

from tfsession.core.file_system import local_path
from tfsession.core.records import RecordReader, decompressed, inflated


def _opened(work: bytes) -> BinaryIO:
    return Path(local_path(work)).open("rb", 256 * 1024)


class Records:
    """The records of a work item, one after the other, each under a key."""

    # Whether it is known already that no record follows.
    is_over = False

    def read(self) -> tuple[bytes, bytes] | None:
        """Key and value of the next record; None at the end."""
        raise NotImplementedError

    def values(self, count: int) -> list[bytes]:
        """Up to `count` next values, at least one; none at the end."""
        record = self.read()
        return [] if record is None else [record[1]]

    def close(self) -> None:
        """Close the file."""


class OneRecord(Records):
    """A single record."""

    def __init__(self, key: bytes, value: bytes) -> None:
        self._record = key, value

    def read(self) -> tuple[bytes, bytes] | None:
        """The record, once."""
        if self.is_over:
            return None
        self.is_over = True
        return self._record


def whole_file(work: bytes) -> Records:
    """The contents of a file under its name."""
    return OneRecord(work, Path(local_path(work)).read_bytes())


class Lines(Records):
    """The lines of a file, without their ends, under its name and their numbers, from 1."""

    def __init__(self, work: bytes, skip: int, compression: str = "") -> None:
        self._work = work
        self._file = _opened(work)
        if compression:
            self._file = decompressed(self._file, compression)
        self._number = 0
        while self._number < skip and self._file.readline():
            self._number += 1

    def read(self) -> tuple[bytes, bytes] | None:
        """The next line."""
        line = self._file.readline()
        if not line:
            return None
        self._number += 1
        if line.endswith(b"\n"):
            line = line[: -2 if line.endswith(b"\r\n") else -1]
        return b"%s:%d" % (self._work, self._number), line

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FixedLengthRecords(Records):
    """Records of one size between a header and a footer, under the file's name and their numbers.

    Args:
        work: name of the file.
        size: of a record, in bytes.
        header: bytes before the first record.
        footer: bytes behind the last one.
        hop: bytes from one record to the next; 0 stands for `size`.
        encoding: "", "GZIP" or "ZLIB".
    """

    def __init__(
        self, work: bytes, size: int, header: int, footer: int, hop: int, encoding: str
    ) -> None:
        self._work = work
        self._file = _opened(work)
        if encoding:
            with self._file:
                self._file = io.BytesIO(inflated(self._file.read(), encoding))
        self._size = size
        self._hop = hop or size
        self._position = header
        self._last = self._file.seek(0, os.SEEK_END) - footer - size
        # What lies between header and footer.
        self.body = self._last + size - header
        self._file.seek(min(header, max(self._last, 0)))
        self._number = 0

    def read(self) -> tuple[bytes, bytes] | None:
        """The next record; what is too short for one is passed over."""
        if self._position > self._last:
            return None
        if self._hop != self._size:
            self._file.seek(self._position)
        record = b"%s:%d" % (self._work, self._number), self._file.read(self._size)
        self._position += self._hop
        self._number += 1
        return record

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RecordFile(Records):
    """The records of a TFRecord file, under its name and where they begin."""

    def __init__(self, work: bytes, compression: str) -> None:
        self._work = work
        self._reader: Any = RecordReader(work, compression)

    def read(self) -> tuple[bytes, bytes] | None:
        """The next record."""
        offset = self._reader.offset
        record = self._reader.read()
        return None if record is None else (b"%s:%d" % (self._work, offset), record)

    def values(self, count: int) -> list[bytes]:
        """Records without their keys."""
        return self._reader.read_some(count)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
