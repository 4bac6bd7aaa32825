"""Kernels of readers. The value of a handle is the reader itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.pending import Pending
from tfsession.core.rules import kernel
from tfsession.kernels.queue import queue_of
from tfsession.resources.reader import Reader
from tfsession.resources.reader_kinds import (
    FixedLengthRecordReader,
    IdentityReader,
    TextLineReader,
    TFRecordReader,
    WholeFileReader,
)
from tfsession.resources.store import DEFAULT_CONTAINER

_ENCODINGS = ("", "GZIP", "ZLIB")


def _found(
    ctx: Any, kind: type[Reader], container: bytes, shared_name: bytes, **settings: Any
) -> Reader:
    """The reader of the node, or of its shared name, made when first met."""
    found: Reader | None = ctx.state.get("reader")
    if found is None:
        where, store = container.decode() or DEFAULT_CONTAINER, ctx.resources
        name = shared_name.decode() or ctx.state.setdefault("name", store.unique_name(ctx.name))
        found = store.get_or_create(where, name, Reader, lambda: kind(name, where, **settings))
        if type(found) is not kind or found.settings != settings:
            raise InvalidArgumentError(
                None, None, f"Shared reader '{name}' is another one: {type(found).__name__} "
                f"with {found.settings}"
            )  # fmt: skip
        ctx.state["reader"] = found
    return found


def _encoding(text: bytes) -> str:
    if (kind := text.decode()) not in _ENCODINGS:
        raise InvalidArgumentError(
            None, None, f"Unknown compression {kind!r}: it must be 'GZIP', 'ZLIB' or empty"
        )
    return kind


def _define(version: str) -> None:
    @kernel(f"TextLineReader{version}", device="CPU", stateful=True)
    def text_line_reader(
        ctx: Any, *, skip_header_lines: int, container: bytes, shared_name: bytes
    ) -> Reader:
        return _found(ctx, TextLineReader, container, shared_name, skip=skip_header_lines)

    @kernel(f"WholeFileReader{version}", device="CPU", stateful=True)
    def whole_file_reader(ctx: Any, *, container: bytes, shared_name: bytes) -> Reader:
        return _found(ctx, WholeFileReader, container, shared_name)

    @kernel(f"IdentityReader{version}", device="CPU", stateful=True)
    def identity_reader(ctx: Any, *, container: bytes, shared_name: bytes) -> Reader:
        return _found(ctx, IdentityReader, container, shared_name)

    @kernel(f"TFRecordReader{version}", device="CPU", stateful=True)
    def tf_record_reader(
        ctx: Any, *, container: bytes, shared_name: bytes, compression_type: bytes
    ) -> Reader:
        compression = _encoding(compression_type)
        return _found(ctx, TFRecordReader, container, shared_name, compression=compression)


@kernel("FixedLengthRecordReader", device="CPU", stateful=True)
def fixed_length_record_reader(
    ctx: Any, *, header_bytes: int, record_bytes: int, footer_bytes: int, hop_bytes: int,
    container: bytes, shared_name: bytes,
) -> Reader:  # fmt: skip
    """The reader of the node."""
    return fixed_length_record_reader_v2(
        ctx, header_bytes=header_bytes, record_bytes=record_bytes, footer_bytes=footer_bytes,
        hop_bytes=hop_bytes, container=container, shared_name=shared_name, encoding=b"",
    )  # fmt: skip


@kernel("FixedLengthRecordReaderV2", device="CPU", stateful=True)
def fixed_length_record_reader_v2(
    ctx: Any, *, header_bytes: int, record_bytes: int, footer_bytes: int, hop_bytes: int,
    container: bytes, shared_name: bytes, encoding: bytes,
) -> Reader:  # fmt: skip
    """As above; files may be compressed."""
    sizes = {"header_bytes": header_bytes, "footer_bytes": footer_bytes, "hop_bytes": hop_bytes}
    for name, size in (("record_bytes", record_bytes - 1), *sizes.items()):
        if size < 0:
            least = "positive" if name == "record_bytes" else ">= 0"
            raise InvalidArgumentError(None, None, f"{name} must be {least}")
    return _found(
        ctx, FixedLengthRecordReader, container, shared_name, size=record_bytes,
        header=header_bytes, footer=footer_bytes, hop=hop_bytes, encoding=_encoding(encoding),
    )  # fmt: skip


for _version in ("", "V2"):
    _define(_version)


def _reader_of(handle: Any) -> Reader:
    if not isinstance(handle, Reader):
        raise InvalidArgumentError(
            None,
            None,
            "Trying to access resource using the wrong type. Expected a reader, got "
            f"{type(handle).__name__}",
        )
    return handle


def _vectors(records: list[tuple[bytes, bytes]]) -> tuple[Any, Any]:
    keys, values = np.empty(len(records), object), np.empty(len(records), object)
    keys[:], values[:] = zip(*records, strict=True)
    return keys, values


def _scalars(record: tuple[bytes, bytes]) -> tuple[Any, Any]:
    return np.array(record[0], object), np.array(record[1], object)


def _outputs(found: Any, as_arrays: Any) -> Any:
    """The outputs of a read, now or once it is done."""
    if not isinstance(found, Pending):
        return as_arrays(found)
    outputs = Pending(lambda _: found.cancel())

    def done(read: Pending) -> None:
        if read.error is not None:
            outputs.fail(read.error)
        else:
            outputs.succeed(as_arrays(read.result))

    found.when_done(done)
    return outputs


@kernel("ReaderRead", "ReaderReadV2", device="CPU", blocking=True)
def read(xp: Any, reader: Any, queue: Any) -> Any:
    """Key and value of the next record."""
    return _outputs(_reader_of(reader).read(queue_of(queue)), _scalars)


@kernel("ReaderReadUpTo", "ReaderReadUpToV2", device="CPU", blocking=True)
def read_up_to(xp: Any, reader: Any, queue: Any, num_records: Any) -> Any:
    """Keys and values of the next records."""
    count = int(num_records)
    if count < 1:
        raise InvalidArgumentError(None, None, f"num_records must be positive, but is {count}")
    return _outputs(_reader_of(reader).read(queue_of(queue), count), _vectors)


@kernel("ReaderNumRecordsProduced", "ReaderNumRecordsProducedV2", device="CPU")
def num_records_produced(xp: Any, reader: Any) -> Any:
    """How many records were read."""
    return np.int64(_reader_of(reader).produced)


@kernel("ReaderNumWorkUnitsCompleted", "ReaderNumWorkUnitsCompletedV2", device="CPU")
def num_work_units_completed(xp: Any, reader: Any) -> Any:
    """How many work items were read to their ends."""
    return np.int64(_reader_of(reader).finished)


@kernel("ReaderSerializeState", "ReaderSerializeStateV2", device="CPU")
def serialize_state(xp: Any, reader: Any) -> Any:
    """What restoring needs."""
    return np.array(_reader_of(reader).state(), object)


@kernel("ReaderRestoreState", "ReaderRestoreStateV2", device="CPU")
def restore_state(xp: Any, reader: Any, state: Any) -> None:
    """Nothing; the reader goes on from there."""
    _reader_of(reader).restore(state.item())


@kernel("ReaderReset", "ReaderResetV2", device="CPU")
def reset(xp: Any, reader: Any) -> None:
    """Nothing; the reader is as it was at first."""
    _reader_of(reader).reset()
