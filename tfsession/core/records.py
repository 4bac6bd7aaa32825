"""TFRecord files: records of bytes, each with its length and checksums, plain or compressed.

A record is its length (uint64), the masked CRC-32C of those eight bytes (uint32), the data, and
their masked CRC-32C (uint32); all little-endian. GZIP (RFC 1952) and ZLIB (RFC 1950) compress a
file as a whole.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from tfsession.core.crc32c import first_wrong, masked_crc32c
from tfsession.core.errors import DataLossError, FailedPreconditionError, OpError
from tfsession.core.file_system import file_errors, local_path

_LENGTH: Final = struct.Struct("<Q")
_CRC: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct("<QI")
_LENGTH_SIZE: Final = _LENGTH.size
_HEADER_SIZE: Final = _HEADER.size
_BUFFER: Final = 256 * 1024
# A length is not believed further than data follow: memory for more is not taken at once.
_PIECE: Final = 64 * 1024 * 1024
# What zlib calls the two formats: the size of the window, and 16 more for a gzip header.
_WINDOW_BITS: Final = {"GZIP": 31, "ZLIB": 15}


# What programs may say for them, by number.
COMPRESSION_TYPES: Final = {1: "ZLIB", 2: "GZIP", 0: ""}


def compression_kind(options: Any) -> str:
    """ "GZIP", "ZLIB" or "": of a `compression_type` in options, or of what may stand there.

    Raises:
        ValueError: it is none of these.
    """
    kind = getattr(options, "compression_type", options)
    if not kind:
        return ""
    if kind in COMPRESSION_TYPES.values():
        return str(kind)
    if kind in COMPRESSION_TYPES:
        return COMPRESSION_TYPES[kind]
    raise ValueError(f'Not a valid compression_type: "{kind}"')


class Compression(NamedTuple):
    """How a file is compressed: `kind` is "", "GZIP" or "ZLIB"; the rest is zlib's."""

    kind: str = ""
    level: int = zlib.Z_DEFAULT_COMPRESSION
    window_bits: int = 15
    memory_level: int = 9
    strategy: int = zlib.Z_DEFAULT_STRATEGY


UNCOMPRESSED: Final = Compression()


class RecordReader:
    """The records of a file, one after the other.

    Args:
        path: of a local file.
        compression: "", "GZIP" or "ZLIB".

    Raises:
        NotFoundError: there is no such file.
        PermissionDeniedError, FailedPreconditionError: it cannot be read, or is a directory.
    """

    def __init__(self, path: Any, compression: str = "") -> None:
        with file_errors():
            self._file: BinaryIO = Path(local_path(path)).open("rb", _BUFFER)  # noqa: SIM115
        self._stream = decompressed(self._file, compression) if compression else self._file
        self.offset = 0
        # What was read, and how far of it records were given.
        self._chunk = b""
        self._at = 0

    def read(self) -> bytes | None:
        """The next record, or None at the end; a file may end within a length.

        `offset` is then the position behind it, without compression.

        Raises:
            DataLossError: the file is damaged, or ends within a record.
        """
        for record in self.read_some(1):
            return record
        return None

    def read_some(self, count: int) -> list[bytes]:
        """Up to `count` next records, at least one; none at the end.

        Raises as `read` does: where something follows sound records, at the next call.
        """
        if not self._has(_HEADER_SIZE):
            return []
        length, check = _HEADER.unpack_from(self._chunk, self._at)
        if not self._has(_HEADER_SIZE + length + _CRC.size, checked=check):
            message = (
                f"truncated record at {self.offset}' failed with Read less bytes than requested"
            )
            raise DataLossError(None, None, message)
        parts, stored, ends = self._split(count)
        wrong = first_wrong(parts, stored)
        if wrong is not None:
            if wrong < 2:
                raise _corrupted(self.offset + wrong * _HEADER_SIZE)
            wrong //= 2
        self.offset += ends[:wrong][-1] - self._at
        self._at = ends[:wrong][-1]
        return parts[1::2][:wrong]

    def _split(self, count: int) -> tuple[list[bytes], list[int], list[int]]:
        """Lengths and data of records that are here, in turns, their checksums, and their ends."""
        chunk, at, size = self._chunk, self._at, len(self._chunk)
        parts: list[bytes] = []
        stored: list[int] = []
        ends: list[int] = []
        for _ in range(count):
            body = at + _HEADER_SIZE
            if body > size:
                break
            length, check = _HEADER.unpack_from(chunk, at)
            end = body + length
            if end + _CRC.size > size:
                break
            parts += chunk[at : at + _LENGTH_SIZE], chunk[body:end]
            stored += check, *_CRC.unpack_from(chunk, end)
            at = end + _CRC.size
            ends.append(at)
        return parts, stored, ends

    def _has(self, size: int, checked: int | None = None) -> bool:
        """Whether so many bytes follow; before many are read, the checksum of the length is held.

        Memory for more than there is, is not taken at once.
        """
        while len(self._chunk) - self._at < size:
            if checked is not None:
                if masked_crc32c(self._chunk[self._at : self._at + _LENGTH_SIZE]) != checked:
                    raise _corrupted(self.offset)
                checked = None
            missing = size - len(self._chunk) + self._at
            pieces = [self._chunk[self._at :]]
            while missing > 0:
                piece = self._stream.read(min(max(missing, _BUFFER), _PIECE))
                if not piece:
                    break
                pieces.append(piece)
                missing -= len(piece)
            self._chunk, self._at = b"".join(pieces), 0
            if missing > 0:
                return False
        return True

    def __iter__(self) -> Iterator[bytes]:
        while (record := self.read()) is not None:
            yield record

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _corrupted(offset: int) -> OpError:
    hint = "" if offset else " (Is this even a TFRecord file?)"
    return DataLossError(None, None, f"corrupted record at {offset}{hint}")


class RecordWriter:
    """Writes records to a file, which it makes anew.

    Args:
        path: of a local file.
        compression: how it is compressed.

    Raises:
        NotFoundError: there is no such directory.
        PermissionDeniedError, FailedPreconditionError: it cannot be written, or is a directory.
    """

    def __init__(self, path: Any, compression: Compression = UNCOMPRESSED) -> None:
        self._path = local_path(path)
        with file_errors():
            self._file: BinaryIO | None = Path(self._path).open("wb", _BUFFER)  # noqa: SIM115
        self._deflate: Any = None
        if compression.kind:
            bits = compression.window_bits + (16 if compression.kind == "GZIP" else 0)
            self._deflate = zlib.compressobj(
                compression.level,
                zlib.DEFLATED,
                bits,
                compression.memory_level,
                compression.strategy,
            )

    def write(self, record: bytes) -> None:
        """Append a record.

        Raises:
            FailedPreconditionError: the writer is closed.
            ResourceExhaustedError: the disk is full.
        """
        length = _LENGTH.pack(len(record))
        self._put(
            b"".join(
                (length, _CRC.pack(masked_crc32c(length)), record, _CRC.pack(masked_crc32c(record)))
            )
        )

    def _put(self, data: bytes) -> None:
        file = self._opened()
        if self._deflate is not None:
            data = self._deflate.compress(data)
        with file_errors(self._path):
            file.write(data)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise FailedPreconditionError(None, None, "Writer is closed.")
        return self._file

    def flush(self) -> None:
        """Hand what was written to the operating system, so that readers find it."""
        file = self._opened()
        with file_errors(self._path):
            if self._deflate is not None:
                file.write(self._deflate.flush(zlib.Z_SYNC_FLUSH))
            file.flush()

    def forget(self) -> None:
        """Close the file without what is not flushed: in a forked child, whose parent has it."""
        file, self._file = self._opened(), None
        file.raw.close()  # type: ignore[attr-defined]

    def close(self) -> None:
        """End the file, unless that was done before."""
        file, self._file = self._file, None
        if file is None:
            return
        with file_errors(self._path), file:
            if self._deflate is not None:
                file.write(self._deflate.flush())

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def decompressed(file: BinaryIO, compression: str) -> BinaryIO:
    """The contents of a file that is compressed as "GZIP" or "ZLIB" say; closes it too."""
    return io.BufferedReader(_Inflated(file, _WINDOW_BITS[compression]), _BUFFER)


class _Inflated(io.RawIOBase):
    """The data of a compressed file; of a gzip file's members one after the other."""

    def __init__(self, file: BinaryIO, window_bits: int) -> None:
        self._file = file
        self._window_bits = window_bits
        self._inflate: Any = zlib.decompressobj(window_bits)
        self._pending = b""

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with up to its size; 0 at the end, which may lie within the data.

        Raises:
            DataLossError: the data are damaged.
        """
        wanted = len(buffer)
        while True:
            if self._inflate.eof and not self._next_member():
                return 0
            if not self._pending:
                self._pending = self._file.read(_BUFFER)
            given, at_end = self._pending, not self._pending
            try:
                data = self._inflate.decompress(given, wanted)
            except zlib.error as error:
                raise DataLossError(None, None, _status(error)) from None
            self._pending = self._inflate.unconsumed_tail
            if data or at_end:
                buffer[: len(data)] = data
                return len(data)

    def _next_member(self) -> bool:
        self._pending = self._inflate.unused_data or self._file.read(_BUFFER)
        if not self._pending or self._window_bits != _WINDOW_BITS["GZIP"]:
            return False
        self._inflate = zlib.decompressobj(self._window_bits)
        return True


def _status(error: zlib.error) -> str:
    """zlib's error in TensorFlow's words; Python tells it as "Error -3 while ...: reason"."""
    text = str(error)
    return f"inflate() failed with error {text.split()[1]}: {text.rpartition(': ')[2]}"


def inflated(data: bytes, compression: str) -> bytes:
    """The data of a compressed string; as much of them as is there when it was cut short.

    Raises:
        DataLossError: they are damaged.
    """
    return io.BufferedReader(_Inflated(io.BytesIO(data), _WINDOW_BITS[compression])).read()
