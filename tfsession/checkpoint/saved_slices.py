"""Checkpoints of the first format: tables whose values are messages with the tensors in them.

The key "" tells what a table holds; each part of a tensor stands under its own key. A checkpoint
may be several tables, `NAME-00000-of-00002` and so on, with parts of one tensor in each of them.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import dtype_from_proto, shape_from_proto
from tfsession.checkpoint.part_keys import part_key
from tfsession.checkpoint.table import decode_table, encode_table
from tfsession.core import dtypes, protos
from tfsession.core.dtypes import DType
from tfsession.core.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
)
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.shape import to_proto
from tfsession.core.tensor_parts import Part, assemble, part_from_proto, whole
from tfsession.core.tensor_proto import make_ndarray
from tfsession.core.wire import nested, varint

# The field that holds a dtype's values, and as which type it sees their bits.
_FIELDS: Final[dict[DType, tuple[str, Any]]] = {
    dtypes.float32: ("float_val", None),
    dtypes.float64: ("double_val", None),
    dtypes.int32: ("int_val", None),
    dtypes.uint8: ("int_val", None),
    dtypes.int16: ("int_val", None),
    dtypes.int8: ("int_val", None),
    dtypes.uint16: ("int_val", None),
    dtypes.int64: ("int64_val", None),
    dtypes.bool_: ("bool_val", None),
    dtypes.string: ("string_val", None),
    dtypes.complex64: ("scomplex_val", np.float32),
    dtypes.complex128: ("dcomplex_val", np.float64),
    dtypes.float16: ("half_val", np.uint16),
    dtypes.qint8: ("int_val", np.int8),
    dtypes.quint8: ("int_val", np.uint8),
    dtypes.qint32: ("int_val", np.int32),
}


# Those whose values a message holds as memory does.
_AS_IN_MEMORY: Final = frozenset(
    [dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128, dtypes.bool_]
)
# So many others become Python's numbers at once.
_CHUNK: Final = 1 << 16


def _beginning(name: str, part: Part, dtype: DType, nbytes: int) -> bytes:
    """How the message of a part begins, up to its values, where they are as in memory."""
    number = protos.TensorProto.DESCRIPTOR.fields_by_name[_FIELDS[dtype][0]].number
    values = _opening(number, nbytes) if nbytes else b""
    text = nested(1, name.encode()) if name else b""
    start = text + nested(2, part.to_proto().SerializeToString())
    start += _opening(3, len(values) + nbytes) + values
    return _opening(2, len(start) + nbytes) + start


def _opening(field: int, size: int) -> bytes:
    return varint(field << 3 | 2) + varint(size)


class Saved(NamedTuple):
    """A tensor that a checkpoint holds, whole or in parts; `files` says where each part is."""

    dtype: DType
    shape: tuple[int, ...]
    files: dict[Part, dict[bytes, bytes]]


class SlicesReader:
    """The tensors of the tables whose names fit a pattern, by name.

    Args:
        pattern: name of a file, or a pattern of several.

    Raises:
        NotFoundError: no file fits.
        DataLossError: one of them is damaged.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        path = local_path(pattern)
        files = [path] if Path(path).is_file() else sorted(glob.glob(path))  # noqa: PTH207
        if not files:
            raise NotFoundError(
                None,
                None,
                "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for "
                f"{pattern}",
            )
        self.tensors: dict[str, Saved] = {}
        for file in files:
            self._open(file)

    def _open(self, file: str) -> None:
        try:
            with file_errors():
                rows = dict(decode_table(Path(file).read_bytes()))
            meta = protos.SavedTensorSlices.FromString(rows.pop(b"")).meta
            for saved in meta.tensor:
                shape = shape_from_proto(saved.shape)
                dtype = dtype_from_proto(saved.type)
                known = self.tensors.setdefault(saved.name, Saved(dtype, shape, {}))
                if (known.dtype, known.shape) != (dtype, shape):
                    raise ValueError(f"tensor {saved.name} differs between files")
                for proto in saved.slice:
                    known.files[part_from_proto(proto, shape)] = rows
        except DataLossError as error:
            raise _lost(
                f"Unable to open table file {file}: DATA_LOSS: {error.message}: perhaps your file "
                "is in a different file format and you need to use a different restore operator?"
            ) from None
        except (protos.DecodeError, KeyError, ValueError, TypeError) as error:
            raise _lost(f"Unable to open table file {file}: {error}") from None

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
        return sorted(self.tensors)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def entry(self, name: str) -> Saved:
        """What is known of a tensor; NotFoundError when there is none of that name."""
        found = self.tensors.get(name)
        if found is None:
            raise NotFoundError(
                None, None, f'Tensor name "{name}" not found in checkpoint files {self.pattern}'
            )
        return found

    def read(self, name: str, part: Part | None = None) -> Any:
        """A tensor, or a part of it, as a new array.

        Raises:
            NotFoundError: there is none of that name.
            DataLossError: its parts do not make it up, or are damaged.
        """
        saved = self.entry(name)
        wanted = whole(saved.shape) if part is None else part

        def fill(there: Part, inside: tuple[slice, ...], target: Any) -> None:
            target[...] = self._part(saved, name, there)[inside]

        def check(there: Part) -> None:
            # No element takes less than a byte.
            if there.size > len(saved.files[there].get(part_key(name, there), b"")):
                raise ValueError("it has another number of values")

        try:
            return assemble(wanted, saved.files, saved.dtype.numpy, fill, check)
        except ValueError as error:
            raise _lost(f"Tensor {name} in {self.pattern} is damaged: {error}") from None

    def _part(self, saved: Saved, name: str, part: Part) -> Any:
        try:
            row = saved.files[part][part_key(name, part)]
            if saved.dtype in _AS_IN_MEMORY:
                size = part.size * saved.dtype.size
                start = _beginning(name, part, saved.dtype, size)
                if len(row) == len(start) + size and row.startswith(start):
                    values = np.frombuffer(row, saved.dtype.numpy, part.size, len(start))
                    if saved.dtype is not dtypes.bool_ or not (values.view(np.uint8) > 1).any():
                        return values.reshape(part.lengths)
            # Written by others, who have their ways.
            data = protos.SavedTensorSlices.FromString(row).data.data
            data.dtype = saved.dtype.as_datatype_enum
            data.tensor_shape.CopyFrom(to_proto((part.size,)))
            field = _FIELDS.get(saved.dtype)
            if field is None or not data.tensor_content:
                count = len(getattr(data, field[0])) if field else 0
                if count != part.size * (2 if saved.dtype.is_complex else 1):
                    raise ValueError("it has another number of values")
            return make_ndarray(data).reshape(part.lengths)
        except (protos.DecodeError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise _lost(f"Tensor {name} in {self.pattern} is damaged: {error}") from None


class SlicesWriter:
    """A table while it is put together; `finish` writes it."""

    def __init__(self, name: str) -> None:
        self.name = local_path(name)
        self._meta: dict[str, Any] = {}
        self._rows: dict[bytes, bytes] = {}

    def add(self, name: str, part: Part, array: Any, dtype: DType) -> None:
        """Add a part of a tensor, or all of it.

        Raises:
            UnimplementedError: the format does not know the dtype.
            InvalidArgumentError: the part is there already, or is that of another tensor.
        """
        field = _FIELDS.get(dtype)
        if field is None:
            raise UnimplementedError(
                None, None, f"Saving data type {dtype.op_def_name} not yet supported"
            )
        # A whole tensor is said so, whatever way the part was spelled in.
        part = whole(part.shape) if part.is_whole else part
        kind, shape = dtype.as_datatype_enum, to_proto(part.shape)
        meta = self._meta.setdefault(name, protos.SavedSliceMeta(name=name, shape=shape, type=kind))
        key = part_key(name, part)
        if (meta.type, meta.shape) != (kind, shape) or key in self._rows:
            raise InvalidArgumentError(
                None, None, f"Mismatching shapes or types, or a part that comes twice: {name}"
            )
        meta.slice.append(part.to_proto())
        values = np.ascontiguousarray(array).reshape(-1)
        if dtype in _AS_IN_MEMORY:
            start = _beginning(name, part, dtype, values.nbytes)
            self._rows[key] = b"".join([start, values.view(np.uint8)])
            return
        saved = protos.SavedTensorSlices()
        saved.data.name = name
        saved.data.slice.CopyFrom(part.to_proto())
        values = values if field[1] is None else values.view(field[1])
        saved.data.data.SetInParent()
        for begin in range(0, values.size, _CHUNK):
            chunk = values[begin : begin + _CHUNK].tolist()
            protos.extend(getattr(saved.data.data, field[0]), chunk)
        self._rows[key] = saved.SerializeToString()

    def finish(self) -> None:
        """Write the file aside, and put it in its place."""
        top = protos.SavedTensorSlices()
        top.meta.tensor.extend(self._meta[name] for name in sorted(self._meta))
        top.meta.versions.producer = 1
        rows = [(b"", top.SerializeToString()), *sorted(self._rows.items())]
        with file_errors(self.name):
            bundle_files.make_directory(self.name)
        with bundle_files.written_aside(self.name) as written:
            Path(written).write_bytes(encode_table(rows))


def _lost(text: str) -> DataLossError:
    return DataLossError(None, None, text)
