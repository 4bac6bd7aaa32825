"""Reads checkpoints of the second format: an index that says where in the data files tensors lie.

Bytes go straight from the files into the new arrays. (A mapped file would do without these, but
reading from one that somebody cuts short ends the process.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.checkpoint import bundle_files, varint
from tfsession.checkpoint.part_keys import part_key
from tfsession.checkpoint.stretches import EndOfFile, Stretch, read_stretches
from tfsession.checkpoint.table import decode_table
from tfsession.core import protos
from tfsession.core.crc32c import crc32c, masked
from tfsession.core.dtypes import DType, as_dtype, bool_, resource, string, variant
from tfsession.core.errors import DataLossError, NotFoundError, OpError, UnimplementedError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.progress import Progress
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
        self._shapes: dict[bytes, tuple[int, ...]] = {}

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
        dtype, shape = dtype_from_proto(proto.dtype), self._shape(proto.shape)
        if proto.offset < 0 or proto.size < 0 or not 0 <= proto.shard_id < self.shards:
            raise ValueError("it lies nowhere")
        count = math.prod(shape)
        if proto.slices:
            parts = tuple(part_from_proto(part, shape) for part in proto.slices)
        else:
            parts = ()
            if dtype.size and dtype.size * count != proto.size:
                raise ValueError(f"{proto.size} bytes for shape {debug_string(shape)}")
            if dtype is string and proto.size < count:
                raise ValueError(f"{proto.size} bytes for {count} texts")
        return Entry(dtype, shape, proto.shard_id, proto.offset, proto.size, proto.crc32c, parts)

    def _shape(self, proto: Any) -> tuple[int, ...]:
        """A shape, which other tensors have, too."""
        key = proto.SerializeToString()
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = shape_from_proto(proto)
        return found

    def read(self, name: str, part: Part | None = None) -> Any:
        """A tensor, or a part of it, as a new array; see `read_all`."""
        return self.read_all([(name, part)])[0]

    def read_all(self, asked: Sequence[tuple[str, Part | None]]) -> list[Any]:
        """Tensors, or parts of them, as new arrays; large ones by several threads.

        Raises:
            NotFoundError: there is none of that name, or no file that should hold it.
            InvalidArgumentError: the part is that of a tensor of another shape.
            DataLossError: a file is damaged.
        """
        found: list[Any] = [None] * len(asked)
        stored: dict[int, tuple[Entry, str]] = {}
        for place, (name, part) in enumerate(asked):
            entry = self.entry(name)
            if not entry.parts and (part is None or part.is_whole):
                stored[place] = entry, name
            elif part in entry.parts:
                stored[place] = self._part_entry(entry, name, part), name
        progress = Progress(self.prefix, sum(entry.size for entry, _ in stored.values()))
        arrays = self._read_stored(list(stored.values()), progress)
        for place, array in zip(stored, arrays, strict=True):
            found[place] = array
        for place, (name, part) in enumerate(asked):
            if place not in stored:
                found[place] = self._assembled(name, part)
        return found

    def _assembled(self, name: str, part: Part | None) -> Any:
        """A part of a tensor that is stored in other parts, or whole."""
        entry = self.entry(name)

        def stored_entry(there: Part) -> Entry:
            return self._part_entry(entry, name, there) if entry.parts else entry

        def check(there: Part) -> None:
            with file_errors():
                self._files([(stored_entry(there), name)])

        def fill(there: Part, inside: tuple[slice, ...], target: Any) -> None:
            one = stored_entry(there)
            fits = target.shape == one.shape and target.flags.c_contiguous
            if fits and entry.dtype is not string:
                self._read_stored([(one, name)], _UNTOLD, [target])
            else:
                target[...] = self._read_stored([(one, name)], _UNTOLD)[0][inside]

        stored = entry.parts or (whole(entry.shape),)
        wanted = whole(entry.shape) if part is None else part
        try:
            return assemble(wanted, stored, entry.dtype.numpy, fill, check)
        except ValueError as error:
            raise _lost(f"Tensor {name} in {self.prefix} is damaged: {error}") from None

    def _part_entry(self, entry: Entry, name: str, part: Part | None) -> Entry:
        """What is known of a stored part."""
        assert part is not None
        found = self._entry(part_key(name, part), f"{name} {part.spec()}")
        if found.shape != part.lengths or found.dtype is not entry.dtype or found.parts:
            raise _lost(f"Part {part.spec()} of tensor {name} in {self.prefix} is of another kind")
        return found

    def _read_stored(
        self,
        stored: Sequence[tuple[Entry, str]],
        progress: Progress,
        targets: Sequence[Any] | None = None,
    ) -> list[Any]:
        """What entries stand for, each with the name of its tensor; into `targets` if there are."""
        with file_errors():
            files = self._files(stored)
        arrays = [None] * len(stored) if targets is None else list(targets)

        def target(place: int) -> Any:
            array = arrays[place]
            if array is None:
                entry, _ = stored[place]
                array = np.empty(*_storage(entry))
                arrays[place] = array
            return array.reshape(-1).view(np.uint8)

        stretches = [Stretch(files[e.shard], e.offset, e.size) for e, _ in stored]
        try:
            with file_errors():
                sums = read_stretches(stretches, target, progress)
        except EndOfFile as error:
            raise self._short(*stored[error.number]) from None
        for place, (entry, name) in enumerate(stored):
            if arrays[place] is None:
                target(place)  # it has no bytes
            if entry.dtype is string:
                arrays[place] = self._strings(entry, name, arrays[place].tobytes())
                continue
            self._check(entry, sums[place])
            if entry.dtype is bool_:
                # Other bytes than 0 and 1 are no booleans to NumPy.
                np.not_equal(arrays[place].view(np.uint8), 0, out=arrays[place])
        return arrays

    def _files(self, stored: Sequence[tuple[Entry, str]]) -> dict[int, str]:
        """The data files by their numbers, once they are known to hold what they should."""
        found: dict[int, str] = {}
        sizes: dict[int, int] = {}
        for entry, name in stored:
            if entry.dtype in (resource, variant):
                raise UnimplementedError(
                    None, None, f"Tensor {name} of type {entry.dtype.op_def_name} cannot be read"
                )
            shard = entry.shard
            if shard not in found:
                target = bundle_files.data_name(self.prefix, shard, self.shards)
                found[shard] = bundle_files.current(target, self.prefix)
                sizes[shard] = Path(found[shard]).stat().st_size
            if entry.offset + entry.size > sizes[shard]:
                raise self._short(entry, name)
        return found

    def _strings(self, entry: Entry, name: str, data: bytes) -> Any:
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


# For reads that nobody hears of.
_UNTOLD: Final = Progress("", 0)


def _storage(entry: Entry) -> tuple[tuple[int, ...], Any]:
    """Shape and type of the array that an entry's bytes are read into."""
    if entry.dtype is string:
        return (entry.size,), np.uint8
    return entry.shape, entry.dtype.numpy


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
