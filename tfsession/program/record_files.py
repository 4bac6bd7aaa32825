"""`tf.python_io`: record files written and read outside of graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from tfsession.core.exports import export
from tfsession.core.records import (
    COMPRESSION_TYPES,
    Compression,
    RecordReader,
    RecordWriter,
    compression_kind,
)


@export("python_io.TFRecordCompressionType", "io.TFRecordCompressionType")
class TFRecordCompressionType:
    """How a record file is compressed, as a whole."""

    NONE = 0
    ZLIB = 1
    GZIP = 2


@export("python_io.TFRecordOptions", "io.TFRecordOptions")
class TFRecordOptions:
    """How a record file is compressed.

    Args:
        compression_type: "GZIP", "ZLIB", "" or None, or a TFRecordCompressionType.
        flush_mode: kept; files are whole whatever it is.
        input_buffer_size: kept; the file does not depend on it.
        output_buffer_size: kept; the file does not depend on it.
        window_bits: the size of zlib's window, as its base-2 logarithm, 9 to 15.
        compression_level: 0 to 9.
        compression_method: kept; 8, deflation, is the only one.
        mem_level: memory for zlib's state, 1 to 9.
        compression_strategy: zlib's, as `zlib.Z_DEFAULT_STRATEGY`.

    Raises:
        ValueError: another `compression_type`.
    """

    compression_type_map: ClassVar[dict[int, str]] = dict(COMPRESSION_TYPES)

    def __init__(
        self,
        compression_type: Any = None,
        flush_mode: int | None = None,
        input_buffer_size: int | None = None,
        output_buffer_size: int | None = None,
        window_bits: int | None = None,
        compression_level: int | None = None,
        compression_method: int | None = None,
        mem_level: int | None = None,
        compression_strategy: int | None = None,
    ) -> None:
        self.get_compression_type_string(compression_type)
        self.compression_type = compression_type
        self.flush_mode = flush_mode
        self.input_buffer_size = input_buffer_size
        self.output_buffer_size = output_buffer_size
        self.window_bits = window_bits
        self.compression_level = compression_level
        self.compression_method = compression_method
        self.mem_level = mem_level
        self.compression_strategy = compression_strategy

    @staticmethod
    def get_compression_type_string(options: Any) -> str:
        """ "GZIP", "ZLIB" or "": of options, of a compression type, or of such a text itself.

        Raises:
            ValueError: it is none of these.
        """
        return compression_kind(options)


def _compression(options: Any) -> Compression:
    kind = TFRecordOptions.get_compression_type_string(options)
    if not isinstance(options, TFRecordOptions):
        return Compression(kind)
    settings = {
        "level": options.compression_level,
        "window_bits": options.window_bits,
        "memory_level": options.mem_level,
        "strategy": options.compression_strategy,
    }
    return Compression(kind, **{k: v for k, v in settings.items() if v is not None})


@export("python_io.TFRecordWriter", "io.TFRecordWriter")
class TFRecordWriter:
    """Writes records to a file, which it makes anew; a context manager that closes it.

    Args:
        path: of a local file.
        options: a TFRecordOptions, a TFRecordCompressionType, or "GZIP", "ZLIB" or "".

    Raises:
        NotFoundError: there is no such directory.
        ValueError: the options are none of these.
    """

    def __init__(self, path: Any, options: Any = None) -> None:
        self._writer = RecordWriter(path, _compression(options))

    def write(self, record: Any) -> None:
        """Append a record, bytes or text.

        Raises:
            TypeError: it is something else.
            FailedPreconditionError: the writer is closed.
        """
        if isinstance(record, str):
            record = record.encode()
        if not isinstance(record, bytes):
            raise TypeError(f"A record is bytes, not {type(record).__name__}: {record!r}")
        self._writer.write(record)

    def flush(self) -> None:
        """Hand what was written to the operating system, so that readers find it."""
        self._writer.flush()

    def close(self) -> None:
        """End the file, unless that was done before."""
        self._writer.close()

    def __enter__(self) -> TFRecordWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@export("python_io.tf_record_iterator", "io.tf_record_iterator")
def tf_record_iterator(path: Any, options: Any = None) -> Iterator[bytes]:
    """The records of a file, one after the other, as bytes.

    Args:
        path: of a local file.
        options: how it is compressed, as for TFRecordWriter.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: at a record, the file is damaged.
    """
    return _records(RecordReader(path, TFRecordOptions.get_compression_type_string(options)))


def _records(reader: RecordReader) -> Iterator[bytes]:
    with reader:
        yield from reader
