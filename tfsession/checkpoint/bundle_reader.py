"""Reads checkpoints of the second format: an index that says where in the data files tensors lie.

Bytes go straight from the file into the new array, piece by piece, and are summed up while they are
in the processor's cache. (A mapped file would do without the array, but reading from one that
somebody cuts short ends the process.)
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from tfsession.checkpoint import bundle_files, varint
from tfsession.checkpoint.bundle_writer import PIECE
from tfsession.checkpoint.part_keys import part_key
from tfsession.checkpoint.table import decode_table
from tfsession.core import protos
from tfsession.core.crc32c import crc32c, masked
from tfsession.core.dtypes import DType, as_dtype, bool_, resource, string, variant
from tfsession.core.errors import DataLossError, NotFoundError, OpError, UnimplementedError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.shape import debug_string
from tfsession.core.tensor_parts import Part, assemble, part_from_proto, whole

_UINT32_MAX: Final = 0xFFFFFFFF
_MOST_SHARDS: Final = 99_999
# NumPy's own limit.
_MOST_DIMENSIONS: Final = 64


class Entry(NamedTuple):
    """What the index says of a tensor; `parts` of a partitioned one, which has no bytes itself."""

    dtype: DType
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    parts: tuple[Part, ...]


class BundleReader:
    """The tensors of a checkpoint, by name.

    Args:
        prefix: the checkpoint's name.

    Raises:
        NotFoundError: there is none.
        DataLossError: its index is damaged.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = local_path(prefix)
        name = bundle_files.index_name(self.prefix)
        with file_errors():
            data = Path(bundle_files.current(name, self.prefix)).read_bytes()
        try:
            self._rows = dict(decode_table(data))
            header = protos.BundleHeaderProto.FromString(self._rows.pop(b"", b""))
        except (protos.DecodeError, DataLossError) as error:
            raise _lost(f"Unable to open table file {name}: {_text(error)}") from None
        self.shards = header.num_shards
        if not 0 < self.shards <= _MOST_SHARDS or header.endianness or header.version.producer < 1:
            raise _lost(f"Unable to open table file {name}: its header is not that of a bundle")
        self._entries: dict[bytes, Entry] = {}

    def names(self) -> list[str]:
        """The names of all tensors, sorted; a partitioned one has one name."""
        return [key.decode(errors="replace") for key in self._rows if not key.startswith(b"\0")]

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._rows

    def raw_entries(self) -> dict[bytes, bytes]:
        """The messages of the index by key, parts of tensors too."""
        return self._rows

    def entry(self, name: str) -> Entry:
        """What is known of a tensor.

        Raises:
            NotFoundError: there is none of that name.
            DataLossError: what stands there makes no sense.
        """
        return self._entry(name.encode(), name)

    def _entry(self, key: bytes, name: str) -> Entry:
        found = self._entries.get(key)
        if found is None:
            row = self._rows.get(key)
            if row is None:
                raise NotFoundError(None, None, f"Key {name} not found in checkpoint")
            try:
                found = self._entries[key] = self._parsed(row)
            except (protos.DecodeError, ValueError, TypeError) as error:
                raise _lost(f"Entry for key {name} in {self.prefix} is damaged: {error}") from None
        return found

    def _parsed(self, row: bytes) -> Entry:
        proto = protos.BundleEntryProto.FromString(row)
        dtype, shape = dtype_from_proto(proto.dtype), shape_from_proto(proto.shape)
        if proto.offset < 0 or proto.size < 0 or not 0 <= proto.shard_id < self.shards:
            raise ValueError("it lies nowhere")
        count = math.prod(shape)
        if proto.slices:
            parts = tuple(part_from_proto(part, shape) for part in proto.slices)
            if sum(part.size for part in parts) != count:
                raise ValueError("its parts do not make up the whole")
        else:
            parts = ()
            if dtype.size and dtype.size * count != proto.size:
                raise ValueError(f"{proto.size} bytes for shape {debug_string(shape)}")
            if dtype is string and proto.size < count:
                raise ValueError(f"{proto.size} bytes for {count} texts")
        return Entry(dtype, shape, proto.shard_id, proto.offset, proto.size, proto.crc32c, parts)

    def read(self, name: str, part: Part | None = None) -> Any:
        """A tensor, or a part of it, as a new array.

        Raises:
            NotFoundError: there is none of that name, or no file that should hold it.
            InvalidArgumentError: the part is that of a tensor of another shape.
            DataLossError: a file is damaged.
        """
        entry = self.entry(name)
        if part is None:
            part = whole(entry.shape)
        stored = entry.parts or (whole(entry.shape),)
        if not entry.parts and part.is_whole:
            return self._read(entry, name)
        if part in entry.parts:
            return self._read_part(entry, name, part)
        try:
            return assemble(
                part, stored, entry.dtype.numpy, lambda there: self._read_part(entry, name, there)
            )
        except ValueError as error:
            raise _lost(f"Tensor {name} in {self.prefix} is damaged: {error}") from None

    def _read_part(self, entry: Entry, name: str, part: Part) -> Any:
        if not entry.parts:
            return self._read(entry, name)
        found = self._entry(part_key(name, part), f"{name} {part.spec()}")
        if found.shape != part.lengths or found.dtype is not entry.dtype or found.parts:
            raise _lost(f"Part {part.spec()} of tensor {name} in {self.prefix} is of another kind")
        return self._read(found, name)

    def _read(self, entry: Entry, name: str) -> Any:
        if entry.dtype in (resource, variant):
            raise UnimplementedError(
                None, None, f"Tensor {name} of type {entry.dtype.op_def_name} cannot be read"
            )
        target = bundle_files.data_name(self.prefix, entry.shard, self.shards)
        with file_errors(), Path(bundle_files.current(target, self.prefix)).open("rb", 0) as file:
            size = file.seek(0, 2)
            if entry.offset + entry.size > size:
                raise self._short(entry, name)
            file.seek(entry.offset)
            if entry.dtype is string:
                return self._strings(entry, name, file)
            return self._array(entry, name, file)

    def _array(self, entry: Entry, name: str, file: BinaryIO) -> Any:
        array = np.empty(entry.shape, entry.dtype.numpy)
        crc = self._fill(array.reshape(-1).view(np.uint8), entry, name, file)
        self._check(entry, crc)
        if entry.dtype is bool_:
            # Other bytes than 0 and 1 are no booleans to NumPy.
            np.not_equal(array.view(np.uint8), 0, out=array)
        return array

    def _fill(self, data: Any, entry: Entry, name: str, file: BinaryIO, crc: int = 0) -> int:
        view = memoryview(data)
        position = 0
        while position < len(view):
            count = file.readinto(view[position : position + PIECE])  # type: ignore[attr-defined]
            if not count:
                raise self._short(entry, name)
            crc = crc32c(data[position : position + count], crc)
            position += count
        return crc

    def _strings(self, entry: Entry, name: str, file: BinaryIO) -> Any:
        raw = np.empty(entry.size, np.uint8)
        self._fill(raw, entry, name, file)
        data = raw.tobytes()
        sizes, position = [], 0
        for _ in range(math.prod(entry.shape)):
            size, position = varint.decode(data, position, len(data))
            sizes.append(size)
        numbers = b"".join(
            size.to_bytes(4 if size <= _UINT32_MAX else 8, "little") for size in sizes
        )
        crc = crc32c(numbers)
        stored = data[position : position + 4]
        if stored != masked(crc).to_bytes(4, "little"):
            raise _lost(f"The length checksum does not match: tensor {name} in {self.prefix}")
        position += 4
        if position + sum(sizes) != len(data):
            raise self._short(entry, name)
        self._check(entry, crc32c(data[position:], crc32c(stored, crc)))
        texts = np.empty(len(sizes), object)
        for place, size in enumerate(sizes):
            texts[place] = data[position : position + size]
            position += size
        return texts.reshape(entry.shape)

    def _check(self, entry: Entry, crc: int) -> None:
        if masked(crc) != entry.crc:
            raise _lost(
                f"TensorBundle at {self.prefix} shard {entry.shard} ({entry.size} bytes): Checksum "
                f"does not match: stored {entry.crc} vs. calculated on the restored bytes "
                f"{masked(crc)}"
            )

    def _short(self, entry: Entry, name: str) -> OpError:
        return _lost(
            f"TensorBundle at {self.prefix} shard {entry.shard} ({entry.size} bytes): the file "
            f"ends within tensor {name}, or its texts do"
        )


def dtype_from_proto(number: int) -> DType:
    """The dtype of a tensor; TypeError or ValueError where it is none of a value."""
    dtype = as_dtype(number)
    if dtype.is_ref:
        raise ValueError(f"no tensor is of type {dtype.op_def_name}")
    return dtype


def shape_from_proto(proto: Any) -> tuple[int, ...]:
    """The shape of a tensor; ValueError where it is none of an array."""
    shape = tuple(dim.size for dim in proto.dim)
    if proto.unknown_rank or len(shape) > _MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise ValueError("it has no shape of an array")
    # The product of the others counts too: NumPy refuses (0, 2**62, 8).
    if math.prod(size or 1 for size in shape) >= 1 << 59:
        raise ValueError("its shape is too large")
    return shape


def _lost(text: str) -> DataLossError:
    return DataLossError(None, None, text)


def _text(error: Exception) -> str:
    return f"DATA_LOSS: {error.message}" if isinstance(error, OpError) else str(error)
