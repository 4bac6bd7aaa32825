"""Files of arrays in NumPy's npz format, read and written: a zip file with an .npy file for each.

Nothing in it is unpickled: an array of objects is refused. An array is read when it is asked for,
and zip's checksum of it is verified.

Source of the formats: NumPy's description of .npy files, PKWARE's of zip files.
"""

from __future__ import annotations

import ast
import math
import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tfsession.checkpoint.safetensors import new_file, part_of, write_array
from tfsession.core.dtypes import DType, as_dtype, bool_, string
from tfsession.core.errors import DataLossError, InvalidArgumentError, NotFoundError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.tensor_parts import Part, whole

if TYPE_CHECKING:
    from tfsession.checkpoint.weights import Weights

_SUFFIX: Final = ".npy"
_MAGIC: Final = b"\x93NUMPY"
_BEGINNINGS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_MOST_HEADER: Final = 10_000
_MOST_DIMENSIONS: Final = 64
_PIECE: Final = 1 << 20
# NumPy's own dtypes without objects, texts, times and structures.
_KINDS: Final = "biufc"
# The earliest that zip files know: equal arrays give equal files.
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT: Final = 64
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Bytes that one deflated byte can stand for.
_MOST_DEFLATED: Final = 1032


class Entry(NamedTuple):
    """An array: `order` is "C" or "F", `offset` that of its bytes in the .npy file."""

    dtype: DType
    shape: tuple[int, ...]
    stored: Any
    order: str
    offset: int
    size: int


def begins_so(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a zip file."""
    return head.startswith(_BEGINNINGS)


class NpzReader:
    """The arrays of a file, by name.

    Args:
        path: the file.

    Raises:
        NotFoundError: there is none.
        DataLossError: it is no zip file, or is damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = local_path(path)
        with file_errors():
            file = Path(self.path).open("rb")  # noqa: SIM115
        weakref.finalize(self, file.close)
        self._bytes = os.fstat(file.fileno()).st_size
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise self._lost(f"is no npz file: {error}") from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            name = member.filename.removesuffix(_SUFFIX)
            if member.compress_type not in _COMPRESSIONS:
                # Others may ask for any amount of memory before they give a byte.
                raise self._lost("is no npz file: it is not compressed as NumPy compresses")
            if name == member.filename or name in self._members:
                raise self._lost(f"is no npz file: {member.filename!r} in it is no array")
            self._members[name] = member
        self._entries: dict[str, Entry] = {}

    def names(self) -> list[str]:
        """The names of all arrays, sorted."""
        return sorted(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def entry(self, name: str) -> Entry:
        """What is known of an array.

        Raises:
            NotFoundError: there is none of that name.
            DataLossError: what stands there makes no sense.
            InvalidArgumentError: it is of a dtype that tensors do not have.
        """
        found = self._entries.get(name)
        if found is None:
            if name not in self._members:
                raise NotFoundError(None, None, f"Key {name} not found in {self.path}")
            with self._opened(name) as file:
                found = self._entries[name] = self._header(name, file)
        return found

    def read(self, name: str, part: Part | None = None) -> Any:
        """An array, or a part of it.

        Raises:
            NotFoundError: there is none of that name.
            InvalidArgumentError: the part is that of a tensor of another shape; as `entry`.
            DataLossError: it is damaged.
        """
        entry = self.entry(name)
        if part is None or part == whole(entry.shape):
            return self._read(name, entry)
        return part_of(part, entry, name, lambda: self._read(name, entry))

    def _read(self, name: str, entry: Entry) -> Any:
        flat = np.empty(math.prod(entry.shape), entry.stored)
        view = memoryview(flat.view(np.uint8))  # type: ignore[arg-type]
        with self._opened(name) as file:
            file.read(entry.offset)
            position = 0
            while position < entry.size:
                piece = file.read(min(_PIECE, entry.size - position))
                if not piece:
                    raise self._lost(f"ends within array {name!r}")
                view[position : position + len(piece)] = piece
                position += len(piece)
            if file.read(1):  # at its end the checksum is compared
                raise self._lost(f"has more bytes of array {name!r} than its shape has")
        if entry.dtype is bool_:
            np.not_equal(flat.view(np.uint8), 0, out=flat)
        native = flat.astype(flat.dtype.newbyteorder("="), copy=False)
        return native.reshape(entry.shape, order="F" if entry.order == "F" else "C")

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        try:
            with file_errors(self.path), self._zip.open(self._members[name]) as file:
                yield file
        except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, UnicodeError) as error:
            raise self._lost(f"is damaged: array {name!r}: {error}") from None
        except (NotImplementedError, RuntimeError) as error:
            # Encrypted, or patched data.
            raise self._lost(f"cannot be read: array {name!r}: {error}") from None

    def _header(self, name: str, file: Any) -> Entry:
        head = file.read(len(_MAGIC) + 2)
        width = 2 if head[-2:-1] == b"\x01" else 4
        if head[:-2] != _MAGIC or head[-2:-1] not in (b"\x01", b"\x02", b"\x03"):
            raise self._lost(f"has no array in {name!r}")
        length = int.from_bytes(file.read(width), "little")
        if length > _MOST_HEADER:
            raise self._lost(f"has a header of {length:,} bytes before array {name!r}")
        try:
            found = ast.literal_eval(file.read(length).decode("latin1"))
            descr, shape, order = (found[k] for k in ("descr", "shape", "fortran_order"))
            if not (isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)):
                raise ValueError("no shape")
            if len(shape) > _MOST_DIMENSIONS or math.prod(n or 1 for n in shape) >= 1 << 59:
                raise ValueError("too large a shape")
            stored = np.dtype(descr) if isinstance(descr, str) else np.dtype(object)
        except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
            raise self._lost(f"has a damaged header before array {name!r}: {error}") from None
        try:
            dtype = as_dtype(stored.newbyteorder("="))
        except TypeError:
            dtype = string
        if stored.kind not in _KINDS or dtype is string:
            raise InvalidArgumentError(
                None,
                None,
                f"Array {name} in {self.path} is of NumPy's dtype {descr!r}, which is none of "
                "tensors: NumPy writes bfloat16 and its like so, too, which safetensors files and "
                "checkpoints know by name",
            )
        size = math.prod(shape) * stored.itemsize
        offset = len(head) + width + length
        if self._members[name].file_size != offset + size:
            raise self._lost(f"has another number of bytes of array {name!r} than its shape has")
        is_stored = self._members[name].compress_type == zipfile.ZIP_STORED
        if size > self._bytes * (1 if is_stored else _MOST_DEFLATED):
            raise self._lost(f"is too short to hold the {size:,} bytes of array {name!r}")
        return Entry(dtype, shape, stored, "F" if order else "C", offset, size)

    def _lost(self, text: str) -> DataLossError:
        return DataLossError(None, None, f"{self.path} {text}")


def write_npz(path: str, weights: Weights) -> None:
    """Write a file, not compressed; it takes the place of another one when it is complete.

    Args:
        path: the file; its directory is made.
        weights: the arrays; each is asked for when it is its turn.

    Raises:
        InvalidArgumentError: a tensor has a dtype that NumPy does not have itself.
    """
    entries = {name: weights.entry(name) for name in weights.names()}
    for name, entry in entries.items():
        array_type = np.dtype(entry.dtype.numpy)
        if array_type.kind not in _KINDS or array_type.isbuiltin != 1:
            raise InvalidArgumentError(
                None,
                None,
                f"Tensor {name} is of dtype {entry.dtype.name}, which npz files cannot hold: leave "
                "it out, or write a safetensors file or a checkpoint",
            )
    with new_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, entry in entries.items():
            member = zipfile.ZipInfo(name + _SUFFIX, _TIME)
            with archive.open(member, "w", force_zip64=True) as target:
                target.write(_npy_header(entry.dtype, tuple(entry.shape)))
                write_array(target, weights.read(name), entry.dtype)


def _npy_header(dtype: DType, shape: tuple[int, ...]) -> bytes:
    descr = np.dtype(dtype.numpy).newbyteorder("<").str
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    start = len(_MAGIC) + 4
    text += b" " * (-(start + len(text) + 1) % _ALIGNMENT) + b"\n"
    return _MAGIC + b"\x01\x00" + struct.pack("<H", len(text)) + text
