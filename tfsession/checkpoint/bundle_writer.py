"""Writes checkpoints of the second format: an index, and tensors back to back in a data file."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np

from tfsession.checkpoint import bundle_files, varint
from tfsession.checkpoint.part_keys import part_key
from tfsession.checkpoint.table import encode_table
from tfsession.core import protos
from tfsession.core.crc32c import crc32c, masked
from tfsession.core.dtypes import DType, resource, string, variant
from tfsession.core.errors import InvalidArgumentError, UnimplementedError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.progress import Progress
from tfsession.core.shape import to_proto
from tfsession.core.tensor_parts import Part

# A piece that is still in the processor's cache when it is written after its checksum.
_PIECE: Final = 1 << 20
# What is worth a flush of its own.
_FLUSHED: Final = 32 << 20
_UINT32_MAX: Final = 0xFFFFFFFF


class BundleWriter:
    """A checkpoint while it is written, in files that lie aside until `finish`.

    Used in a `with` statement: what was not finished is deleted at its end.

    Args:
        prefix: the checkpoint's name; its directory is made.
        total: how many bytes are to come, without those of texts, for those who watch.
    """

    def __init__(self, prefix: str, total: int = 0) -> None:
        self.prefix = local_path(prefix)
        self._progress = Progress(self.prefix, total)
        self._entries: dict[bytes, Any] = {}
        self._offset = 0
        self._index = bundle_files.aside(bundle_files.index_name(self.prefix))
        self._data = bundle_files.aside(bundle_files.data_name(self.prefix, 0, 1))
        with file_errors():
            bundle_files.make_directory(self.prefix)
            self._file: BinaryIO = Path(self._data).open("wb", buffering=0)  # noqa: SIM115
        self._flusher = _Flusher(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with contextlib.suppress(OSError):
            self._flusher.stop()
        self._file.close()
        for name in (self._data, self._index):
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)

    def add(self, name: str, array: Any, dtype: DType) -> None:
        """Write a tensor.

        Raises:
            InvalidArgumentError: there is one of that name already.
            UnimplementedError: the dtype cannot be saved.
        """
        self._add(name.encode(), name, array, dtype)

    def add_part(self, name: str, part: Part, array: Any, dtype: DType) -> None:
        """Write a part of a partitioned tensor under the name of the whole."""
        if part.is_whole:
            self.add(name, array, dtype)
            return
        key = name.encode()
        entry = self._entries.get(key)
        if entry is None:
            entry = protos.BundleEntryProto(
                dtype=dtype.as_datatype_enum, shape=to_proto(part.shape)
            )
            self._entries[key] = entry
        elif (entry.dtype, entry.shape) != (dtype.as_datatype_enum, to_proto(part.shape)):
            raise InvalidArgumentError(
                None, None, f"Parts of tensor {name} differ in dtype or in the shape of the whole"
            )
        entry.slices.append(part.to_proto())
        self._add(part_key(name, part), f"{name} {part.spec()}", array, dtype)

    def _add(self, key: bytes, name: str, array: Any, dtype: DType) -> None:
        if key in self._entries:
            raise InvalidArgumentError(None, None, f"Adding duplicate key: {name}")
        if dtype in (resource, variant):
            raise UnimplementedError(
                None, None, f"Tensors of type {dtype.op_def_name} cannot be saved: {name}"
            )
        write = self._write_strings if dtype is string else self._write_array
        with file_errors(self._data):
            size, crc = write(array)
        self._entries[key] = protos.BundleEntryProto(
            dtype=dtype.as_datatype_enum,
            shape=to_proto(array.shape),
            offset=self._offset,
            size=size,
            crc32c=masked(crc),
        )
        self._offset += size

    def _write_array(self, array: Any) -> tuple[int, int]:
        little = array.dtype.newbyteorder("<")
        contiguous = np.ascontiguousarray(array, dtype=little)
        return self._write(contiguous.reshape(-1).view(np.uint8), 0)

    def _write_strings(self, array: Any) -> tuple[int, int]:
        """Lengths, a checksum of them, then the texts without anything between."""
        texts = array.reshape(-1).tolist()
        sizes = list(map(len, texts))
        # The checksum is that of fixed-width lengths, whatever they take in the file.
        numbers = b"".join(
            size.to_bytes(4 if size <= _UINT32_MAX else 8, "little") for size in sizes
        )
        crc = crc32c(numbers)
        checksum = masked(crc).to_bytes(4, "little")
        head = b"".join(map(varint.encode, sizes)) + checksum
        self._progress.expect(len(head) + sum(sizes))
        self._write(np.frombuffer(head, np.uint8), 0)
        body = np.frombuffer(b"".join(texts), np.uint8)
        size, crc = self._write(body, crc32c(checksum, crc))
        return len(head) + size, crc

    def _write(self, data: Any, crc: int) -> tuple[int, int]:
        for start in range(0, data.size, _PIECE):
            # A copy: another step may write to a variable between the checksum and the write.
            piece = data[start : start + _PIECE].copy()
            crc = crc32c(piece, crc)
            _write_all(self._file, piece)
            self._flusher.written(piece.size)
            self._progress.add(piece.size)
        return data.size, crc

    def finish(self) -> None:
        """Put the checkpoint in its place, instead of what may have been there."""
        with file_errors():
            self._flusher.stop()
            bundle_files.flush(self._data)
            self._file.close()
        write_index(self._index, self._entries, 1)
        target = bundle_files.data_name(self.prefix, 0, 1)
        bundle_files.put_in_place(self.prefix, [(self._data, target)], self._index)


class _Flusher:
    """Has a large file on the disk as it grows, so that little is left to be done in the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = 0
        self._pool: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def written(self, count: int) -> None:
        """So many more bytes were written; raises OSError where earlier ones cannot be kept."""
        self._waiting += count
        if self._waiting < _FLUSHED or (self._running and not self._running.done()):
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "flush")
        if self._running is not None:
            self._running.result()
        self._running = self._pool.submit(os.fdatasync, self._descriptor)
        self._waiting = 0

    def stop(self) -> None:
        """Wait for what is under way; raises OSError where it fails."""
        pool, self._pool = self._pool, None
        if pool is not None and self._running is not None:
            pool.shutdown()
            self._running.result()


def _write_all(file: BinaryIO, data: Any) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def write_index(name: str, entries: dict[bytes, Any], shards: int) -> None:
    """Write the file of an index, to the disk."""
    header = protos.BundleHeaderProto(
        num_shards=shards, version=protos.VersionDef(producer=1)
    ).SerializeToString()
    rows = [(key, entries[key].SerializeToString()) for key in sorted(entries)]
    with file_errors(name):
        Path(name).write_bytes(encode_table([(b"", header), *rows]))
        bundle_files.flush(name)
