"""Kernels of tables. The value of a handle is the table itself; entries are in host memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError, NotFoundError, OutOfRangeError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string
from tfsession.kernels.string_number import parsed
from tfsession.resources.store import DEFAULT_CONTAINER
from tfsession.resources.table import DenseTable, MutableTable, StaticTable, Table


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _found(
    ctx: Any, kind: Any, container: bytes, shared_name: bytes, use_node_name: bool, *settings: Any
) -> Table:
    """The table of the node, or of its shared name, made when first met."""
    found: Table | None = ctx.state.get("table")
    if found is None:
        where, store = container.decode() or DEFAULT_CONTAINER, ctx.resources
        name = shared_name.decode() or (ctx.name if use_node_name else "")
        name = name or ctx.state.setdefault("name", store.unique_name(ctx.name))
        made = kind(name, *settings)
        found = store.get_or_create(where, name, Table, lambda: made)
        found.check_shared(made)
        ctx.state["table"] = found
    return found


@kernel("HashTable", "HashTableV2", device="CPU", stateful=True)
def hash_table(
    ctx: Any, *, container: bytes, shared_name: bytes, use_node_name_sharing: bool,
    key_dtype: DType, value_dtype: DType,
) -> Table:  # fmt: skip
    """A table that is filled once."""
    return _found(
        ctx, StaticTable, container, shared_name, use_node_name_sharing, key_dtype, value_dtype
    )


@kernel("MutableHashTable", "MutableHashTableV2", device="CPU", stateful=True)
def mutable_hash_table(
    ctx: Any, *, container: bytes, shared_name: bytes, use_node_name_sharing: bool,
    key_dtype: DType, value_dtype: DType,
) -> Table:  # fmt: skip
    """A table of scalars that changes."""
    return _found(
        ctx, MutableTable, container, shared_name, use_node_name_sharing, key_dtype, value_dtype
    )


def _known(value_shape: Shape) -> tuple[int, ...]:
    if value_shape is None or None in value_shape:
        text = debug_string(value_shape, "<unknown>")
        raise _refuse(f"The shape of values, {text}, must be fully known")
    return value_shape  # type: ignore[return-value]


@kernel("MutableHashTableOfTensors", "MutableHashTableOfTensorsV2", device="CPU", stateful=True)
def mutable_hash_table_of_tensors(
    ctx: Any, *, container: bytes, shared_name: bytes, use_node_name_sharing: bool,
    key_dtype: DType, value_dtype: DType, value_shape: Shape,
) -> Table:  # fmt: skip
    """A table of vectors that changes."""
    shape = _known(value_shape)
    if len(shape) != 1:
        raise _refuse(f"Default value must be a vector, got shape {debug_string(shape)}")
    settings = (key_dtype, value_dtype, shape)
    return _found(ctx, MutableTable, container, shared_name, use_node_name_sharing, *settings)


def _dense(
    ctx: Any, container: bytes, shared_name: bytes, use_node_name: bool, keys: list[Any],
    key_dtype: DType, value_dtype: DType, value_shape: Shape, buckets: int, load: float,
) -> Table:  # fmt: skip
    if buckets < 4 or buckets & (buckets - 1):
        raise _refuse(f"Number of buckets must be at least 4 and a power of 2, got: {buckets}")
    if not 0 < load < 1:
        raise _refuse(f"max_load_factor must be between 0 and 1, got: {load}")
    for key in keys:
        if key.ndim:
            raise _refuse("Empty and deleted keys must be scalars")
    marks = [key.item() for key in keys]
    shape = _known(value_shape)
    settings = (key_dtype, value_dtype, shape, marks[0], marks[1] if marks[1:] else None)
    return _found(ctx, DenseTable, container, shared_name, use_node_name, *settings)


@kernel("MutableDenseHashTable", device="CPU", stateful=True)
def mutable_dense_hash_table(
    ctx: Any, empty_key: Any, *, container: bytes, shared_name: bytes,
    use_node_name_sharing: bool, key_dtype: DType, value_dtype: DType, value_shape: Shape,
    initial_num_buckets: int, max_load_factor: float,
) -> Table:  # fmt: skip
    """A table with a key that stands for no entry."""
    return _dense(
        ctx, container, shared_name, use_node_name_sharing, [np.asarray(empty_key)],
        key_dtype, value_dtype, value_shape, initial_num_buckets, max_load_factor,
    )  # fmt: skip


@kernel("MutableDenseHashTableV2", device="CPU", stateful=True)
def mutable_dense_hash_table_v2(
    ctx: Any, empty_key: Any, deleted_key: Any, *, container: bytes, shared_name: bytes,
    use_node_name_sharing: bool, key_dtype: DType, value_dtype: DType, value_shape: Shape,
    initial_num_buckets: int, max_load_factor: float,
) -> Table:  # fmt: skip
    """A table with two keys that stand for no entry."""
    keys = [np.asarray(empty_key), np.asarray(deleted_key)]
    return _dense(
        ctx, container, shared_name, use_node_name_sharing, keys,
        key_dtype, value_dtype, value_shape, initial_num_buckets, max_load_factor,
    )  # fmt: skip


# --- what is done with tables ---------------------------------------------------------------------


def _table_of(handle: Any) -> Table:
    """The table of a handle, which may have been chosen from an array of handles."""
    chosen = handle.item() if isinstance(handle, np.ndarray) and handle.size == 1 else handle
    if isinstance(chosen, Table):
        return chosen
    raise _refuse(
        "Trying to access resource using the wrong type. Expected a table, got "
        f"{type(chosen).__name__}"
    )


def _line(inputs: tuple[DType, ...], outputs: tuple[DType, ...]) -> str:
    names = ", ".join(["resource", *(dtype.op_def_name for dtype in inputs)])
    return f"{names}->{', '.join(dtype.op_def_name for dtype in outputs)}"


def _with_types(handle: Any, inputs: tuple[DType, ...], outputs: tuple[DType, ...] = ()) -> Table:
    """The table, whose keys and values must be of the dtypes that go in, or come out."""
    table = _table_of(handle)
    own = (table.key_dtype, table.value_dtype)
    mine = own[: len(inputs)], own[2 - len(outputs) :]
    if (inputs, outputs) != mine:
        have, expected = _line(inputs, outputs), _line(*mine)
        raise _refuse(f"Signature mismatch, have: {have} expected: {expected}")
    return table


@kernel("LookupTableFind", "LookupTableFindV2", device="CPU")
def find(xp: Any, handle: Any, keys: Any, default_value: Any, *, Tin: DType, Tout: DType) -> Any:
    """The values of keys."""
    return _with_types(handle, (Tin, Tout), (Tout,)).find(keys, np.asarray(default_value))


@kernel("LookupTableInsert", "LookupTableInsertV2", device="CPU")
def insert(xp: Any, handle: Any, keys: Any, values: Any, *, Tin: DType, Tout: DType) -> None:
    """New values of keys."""
    _with_types(handle, (Tin, Tout)).insert(keys, values)


@kernel("LookupTableRemoveV2", device="CPU")
def remove(xp: Any, handle: Any, keys: Any, *, Tin: DType) -> None:
    """Keys forgotten."""
    _with_types(handle, (Tin,)).remove(keys)


@kernel("LookupTableImport", "LookupTableImportV2", device="CPU")
def import_(xp: Any, handle: Any, keys: Any, values: Any, *, Tin: DType, Tout: DType) -> None:
    """All entries replaced."""
    _with_types(handle, (Tin, Tout)).replace(keys, values)


@kernel("LookupTableExport", "LookupTableExportV2", device="CPU")
def export(xp: Any, handle: Any, *, Tkeys: DType, Tvalues: DType) -> Any:
    """All entries."""
    return _with_types(handle, (), (Tkeys, Tvalues)).export()


@kernel("LookupTableSize", "LookupTableSizeV2", device="CPU")
def size(xp: Any, handle: Any) -> Any:
    """The number of entries."""
    return np.int64(_table_of(handle).size())


@kernel("InitializeTable", "InitializeTableV2", device="CPU")
def initialize(xp: Any, handle: Any, keys: Any, values: Any, *, Tkey: DType, Tval: DType) -> None:
    """The entries of a table that is filled once."""
    _with_types(handle, (Tkey, Tval)).initialize(keys, values)


# --- entries in a file ----------------------------------------------------------------------------

_WHOLE_LINE, _LINE_NUMBER = -2, -1


def _lines(path: str, vocab_size: int) -> list[bytes]:
    """The lines of a file, as many as there should be."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise NotFoundError(None, None, f"{path}; {error.strerror}") from error
    if not content:
        raise OutOfRangeError(
            None, None, f"The file {path} is empty: Read less bytes than requested"
        )
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    if not lines[-1]:
        lines.pop()
    if vocab_size != -1:
        if len(lines) < vocab_size:
            raise _refuse(
                f"Invalid vocab_size in {path}: expected {vocab_size} but got {len(lines)}"
            )
        lines = lines[:vocab_size]
    if b"" in lines:
        position = sum(len(line) + 1 for line in lines[: lines.index(b"")]) + 1
        raise _refuse(f"Invalid content in {path}: empty line found at position {position}.")
    return lines


def _column(
    path: str, lines: list[bytes], index: int, delimiter: bytes, dtype: DType, offset: int
) -> Any:
    """The keys, or the values, that stand in the lines."""
    found = np.empty(len(lines), dtype.numpy)
    if index == _LINE_NUMBER:
        found[:] = np.arange(len(lines)) + offset
        return found
    fields = lines
    if index != _WHOLE_LINE:
        fields = []
        for number, line in enumerate(lines):
            parts = line.split(delimiter)
            if index >= len(parts):
                shown = line.decode(errors="backslashreplace")
                raise _refuse(
                    f"Invalid number of columns in {path} line {number} ({shown}) : expected at "
                    f"least {index + 1} got {len(parts)}"
                )
            fields.append(parts[index])
    if dtype.name == "string":
        found[:] = fields
        return found
    for number, field in enumerate(fields):
        value = parsed(field, dtype)
        if value is None:
            shown = field.decode(errors="backslashreplace")
            raise _refuse(f"Field {shown} in line {number} is not a valid {dtype.name}.")
        found[number] = value
    return found


@kernel("InitializeTableFromTextFile", "InitializeTableFromTextFileV2", device="CPU")
def initialize_from_file(
    xp: Any, handle: Any, filename: Any, *, key_index: int, value_index: int, vocab_size: int,
    delimiter: bytes, offset: int,
) -> None:  # fmt: skip
    """The entries of a table that is filled once, one a line of a text file."""
    table, name = _table_of(handle), np.asarray(filename)
    if name.size != 1:
        raise _refuse(f"filename should be a single string, but got {debug_string(name.shape)}")
    if len(delimiter) != 1:
        raise _refuse(f"delimiter should be only 1 char, but got {delimiter.decode()!r}")
    if isinstance(table, StaticTable) and table.is_initialized:
        return  # The file may have changed since.
    path = name.item().decode()
    lines = _lines(path, vocab_size)
    keys = _column(path, lines, key_index, delimiter, table.key_dtype, 0)
    values = _column(path, lines, value_index, delimiter, table.value_dtype, offset)
    table.initialize(keys, values)
