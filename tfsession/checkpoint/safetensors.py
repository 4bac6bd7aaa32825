"""Files of tensors in the safetensors format, read and written.

A file is the length of its header (uint64), the header, and the tensors' bytes. The header is a
JSON object: for each tensor its dtype, its shape and the range of its bytes, behind the header; and
texts about the file under `__metadata__`. Spaces may follow it. The ranges leave no gap and do not
overlap. All little-endian.

It is written out here because the format's own library, as far as it speaks NumPy, reads neither
bfloat16 nor float8, and wants all tensors in memory when it writes.

Source of the format: safetensors' format description, and the order in which its library writes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np

from tfsession.checkpoint import bundle_files
from tfsession.core import dtypes
from tfsession.core.dtypes import DType
from tfsession.core.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.tensor_parts import Part, whole

if TYPE_CHECKING:
    from tfsession.checkpoint.weights import Weights

_METADATA: Final = "__metadata__"
# What the format's own library takes at most.
_MOST_HEADER: Final = 100_000_000
_ALIGNMENT: Final = 8
_MOST_DIMENSIONS: Final = 64
# Bytes that are read or written together.
_PIECE: Final = 1 << 20
_NAMES: Final[dict[str, DType]] = {
    "F64": dtypes.float64,
    "F32": dtypes.float32,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "F8_E5M2": dtypes.float8_e5m2,
    "F8_E4M3": dtypes.float8_e4m3fn,
    "F8_E4M3FNUZ": dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": dtypes.float8_e5m2fnuz,
    "I64": dtypes.int64,
    "I32": dtypes.int32,
    "I16": dtypes.int16,
    "I8": dtypes.int8,
    "U64": dtypes.uint64,
    "U32": dtypes.uint32,
    "U16": dtypes.uint16,
    "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
    "C64": dtypes.complex64,
}
_BY_DTYPE: Final = {dtype: name for name, dtype in _NAMES.items()}


class Entry(NamedTuple):
    """Where a tensor lies in the file, in bytes from its beginning."""

    dtype: DType
    shape: tuple[int, ...]
    offset: int
    size: int


def begins_so(head: bytes) -> bool:
    """Whether a file that begins with these bytes, nine or more, may be one of this format."""
    return len(head) > 8 and head[8:9] == b"{" and _length(head) <= _MOST_HEADER


def holds(dtype: DType) -> bool:
    """Whether the format knows a dtype."""
    return dtype in _BY_DTYPE


def _length(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


class SafetensorsReader:
    """The tensors of a file, by name. Only the header is read until one is asked for.

    Args:
        path: the file.

    Raises:
        NotFoundError: there is none.
        DataLossError: the header makes no sense, or the file is shorter or longer than it says.
    """

    def __init__(self, path: str) -> None:
        self.path = local_path(path)
        with file_errors(), Path(self.path).open("rb") as file:
            self._state = _state(file)
            try:
                header, start = _header(file, self._state[0])
                self.metadata = _metadata(header.pop(_METADATA, None))
                self._entries = _entries(header, start, self._state[0])
            except ValueError as error:
                raise _lost(f"{self.path} is no safetensors file: {error}") from None

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
        return sorted(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def entry(self, name: str) -> Entry:
        """What is known of a tensor; NotFoundError when there is none of that name."""
        if name not in self._entries:
            raise NotFoundError(None, None, f"Key {name} not found in {self.path}")
        return self._entries[name]

    def read(self, name: str, part: Part | None = None) -> Any:
        """A tensor, or a part of it, as a new array.

        Raises:
            NotFoundError: there is none of that name.
            InvalidArgumentError: the part is that of a tensor of another shape.
            DataLossError: another file has taken the place of the one that was opened.
        """
        entry = self.entry(name)
        if part is None or part == whole(entry.shape):
            return self._read(entry)
        return part_of(part, entry, name, lambda: self._read(entry))

    def _read(self, entry: Entry) -> Any:
        array = np.empty(entry.shape, entry.dtype.numpy)
        view = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        position = 0
        with file_errors(), Path(self.path).open("rb", 0) as file:
            if _state(file) != self._state:
                raise _lost(f"{self.path} has changed since it was opened")
            file.seek(entry.offset)
            while position < entry.size:
                count = file.readinto(view[position : position + _PIECE])
                if not count:
                    raise _lost(f"{self.path} ends within its tensors")
                position += count
        if entry.dtype is dtypes.bool_:
            # Other bytes than 0 and 1 are no booleans to NumPy.
            np.not_equal(array.view(np.uint8), 0, out=array)
        return array


def part_of(part: Part, entry: Any, name: str, read: Any) -> Any:
    """A part of a tensor that is read as a whole; InvalidArgumentError where it is none of it."""
    if part.shape != tuple(entry.shape):
        raise InvalidArgumentError(
            None,
            None,
            f"Tensor {name} has shape {list(entry.shape)}, but a part of shape "
            f"{list(part.shape)} is asked for",
        )
    index = tuple(slice(start, start + length) for start, length in part.bounds)
    return np.array(read()[index])  # not all of it is kept in memory


def _state(file: Any) -> tuple[int, ...]:
    """What changes with the file: its size first."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_ino, found.st_dev, found.st_mtime_ns


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    head = file.read(8)
    length = _length(head)
    if len(head) < 8 or not 1 < length <= min(_MOST_HEADER, size - 8):
        raise ValueError(f"its header cannot be {length:,} bytes long")
    data = file.read(length)
    try:
        header = json.loads(data, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if data[:1] != b"{" or not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header has a name twice")
    return found


def _metadata(found: Any) -> dict[str, str]:
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError(f"{_METADATA} holds something else than texts")
    return found


def _entries(header: dict[str, Any], start: int, size: int) -> dict[str, Entry]:
    entries = {name: _entry(name, found, start) for name, found in header.items()}
    position = start
    for entry in sorted(entries.values(), key=lambda e: (e.offset, e.size)):
        if entry.offset != position:
            raise ValueError("its tensors overlap, or leave a gap")
        position += entry.size
    if position != size:
        raise ValueError(f"it has {size:,} bytes, but its header speaks of {position:,}")
    return entries


def _entry(name: str, found: Any, start: int) -> Entry:
    if not isinstance(found, dict) or set(found) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} lacks a dtype, a shape or offsets, or has more")
    dtype = _NAMES.get(found["dtype"]) if isinstance(found["dtype"], str) else None
    if dtype is None:
        raise ValueError(f"tensor {name!r} is of dtype {found['dtype']!r}, which is not known here")
    shape, offsets = found["shape"], found["data_offsets"]
    if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
        raise ValueError(f"tensor {name!r} has no shape or no offsets")
    # The product of the others counts too: NumPy refuses (0, 2**62, 8).
    if len(shape) > _MOST_DIMENSIONS or math.prod(size or 1 for size in shape) >= 1 << 59:
        raise ValueError(f"the shape of tensor {name!r} is too large")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.size:
        raise ValueError(f"tensor {name!r} has {end - begin:,} bytes, which do not fit its shape")
    return Entry(dtype, tuple(shape), start + begin, end - begin)


def _are_sizes(found: Any) -> bool:
    return isinstance(found, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in found)


def write_safetensors(
    path: str, weights: Weights, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file, which takes the place of another one only when it is complete.

    Args:
        path: the file; its directory is made.
        weights: the tensors; each is asked for when it is its turn.
        metadata: texts about the file.

    Raises:
        InvalidArgumentError: a tensor has a dtype or a name that the format does not know.
    """
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise TypeError(f"metadata must be texts by name, not {metadata!r}")
        header[_METADATA] = dict(metadata)
    entries = {name: weights.entry(name) for name in weights.names()}
    for name, entry in entries.items():
        _check(name, entry.dtype)
    position = 0
    for name in sorted(entries, key=lambda n: (-entries[n].dtype.size, n)):
        dtype, shape = entries[name].dtype, entries[name].shape
        size = math.prod(shape) * dtype.size
        header[name] = {
            "dtype": _BY_DTYPE[dtype],
            "shape": list(shape),
            "data_offsets": [position, position + size],
        }
        position += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with new_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in header:
            if name != _METADATA:
                write_array(file, weights.read(name), entries[name].dtype)


@contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of another one when it is complete."""
    target = local_path(path)
    with file_errors():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
    with bundle_files.written_aside(target) as written, Path(written).open("wb") as file:
        yield file


def _check(name: str, dtype: DType) -> None:
    if not holds(dtype):
        raise InvalidArgumentError(
            None,
            None,
            f"Tensor {name} is of dtype {dtype.name}, which safetensors files cannot hold: leave "
            "it out, or write a checkpoint",
        )
    if name == _METADATA:
        raise InvalidArgumentError(None, None, f"No tensor of a safetensors file is called {name}")


def write_array(file: BinaryIO, array: Any, dtype: DType) -> None:
    """Append an array's bytes, little-endian, piece by piece."""
    little = np.dtype(dtype.numpy).newbyteorder("<")
    data = np.ascontiguousarray(array, dtype=little).reshape(-1).view(np.uint8)
    for start in range(0, data.size, _PIECE):
        file.write(data[start : start + _PIECE])  # type: ignore[arg-type]


def _lost(text: str) -> DataLossError:
    return DataLossError(None, None, text)
