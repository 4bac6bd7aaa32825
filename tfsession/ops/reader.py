"""Readers: records out of the files whose names a queue hands over."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import resource
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.records import compression_kind
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, scalar
from tfsession.graph.tensor import Tensor

# --- definitions ----------------------------------------------------------------------------------


def _reference_shape(op: Operation) -> list[Shape]:
    """A reference is a vector: container and name."""
    return [(2,)]


def _vectors(op: Operation) -> list[Shape]:
    return [(None,)] * len(op.outputs)


_SHARING = ["container: string = ''", "shared_name: string = ''"]
_SIZES = [
    *("header_bytes: int = 0", "record_bytes: int", "footer_bytes: int = 0", "hop_bytes: int = 0"),
    *_SHARING,
]
_KINDS = {
    "TextLineReader": ["skip_header_lines: int = 0", *_SHARING],
    "WholeFileReader": _SHARING,
    "FixedLengthRecordReader": _SIZES,
    "TFRecordReader": [*_SHARING, "compression_type: string = ''"],
    "IdentityReader": _SHARING,
}

# The first version of each passes a reference to a string, the second a resource.
for _version, _handle in (("", "Ref(string)"), ("V2", "resource")):
    _in, _queue = f"reader_handle: {_handle}", f"queue_handle: {_handle}"
    for _name, _attrs in _KINDS.items():
        _more = ["encoding: string = ''"] if _version and _attrs is _SIZES else []
        define_op(
            f"{_name}{_version}",
            outputs=[_in],
            attrs=[*_attrs, *_more],
            stateful=True,
            shape=scalar if _version else _reference_shape,
        )
    for _name, _inputs, _outputs, _shape in (
        ("Read", [_queue], ["key: string", "value: string"], scalar),
        (
            *("ReadUpTo", [_queue, "num_records: int64"]),
            *(["keys: string", "values: string"], _vectors),
        ),
        ("NumRecordsProduced", [], ["records_produced: int64"], scalar),
        ("NumWorkUnitsCompleted", [], ["units_completed: int64"], scalar),
        ("SerializeState", [], ["state: string"], scalar),
        ("RestoreState", ["state: string"], [], no_outputs),
        ("Reset", [], [], no_outputs),
    ):
        define_op(
            f"Reader{_name}{_version}",
            inputs=[_in, *_inputs],
            outputs=_outputs,
            stateful=bool(_version),
            shape=_shape,
        )


# --- classes --------------------------------------------------------------------------------------


@export("ReaderBase")
class ReaderBase:
    """A reader of the session: it takes work items from a queue and gives the records in them.

    Args:
        reader_ref: the handle.
        supports_serialize: whether it can tell its state.
    """

    def __init__(self, reader_ref: Tensor, supports_serialize: bool = False) -> None:
        self._reader_ref = reader_ref
        self._supports_serialize = supports_serialize

    @property
    def reader_ref(self) -> Tensor:
        """The handle, a resource scalar."""
        return self._reader_ref

    @property
    def supports_serialize(self) -> bool:
        """Whether `serialize_state` and `restore_state` can be used."""
        return self._supports_serialize

    def _create(self, action: str, inputs: tuple[Any, ...] = (), name: str | None = None) -> Any:
        version = "V2" if self._reader_ref.dtype is resource else ""
        return create_op(f"Reader{action}{version}", [self._reader_ref, *inputs], None, name)

    def read(self, queue: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
        """The next record; waits for a work item from `queue` when there is none in progress.

        Args:
            queue: a queue of names, or its handle.
            name: name of the operation.

        Returns:
            Key and value, string scalars. When it runs it raises OutOfRangeError if the queue is
            closed and empty, and what reading the file raises.
        """
        queue_ref = queue if isinstance(queue, Tensor) else queue.queue_ref
        result: tuple[Tensor, Tensor] = self._create("Read", (queue_ref,), name)
        return result

    def read_up_to(
        self, queue: Any, num_records: Any, name: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next records, all out of one work item; fewer where it ends.

        Args:
            queue: a queue of names, or its handle.
            num_records: how many, an int64 scalar.
            name: name of the operation.

        Returns:
            Keys and values, string vectors. When it runs it raises what `read` raises.
        """
        queue_ref = queue if isinstance(queue, Tensor) else queue.queue_ref
        result: tuple[Tensor, Tensor] = self._create("ReadUpTo", (queue_ref, num_records), name)
        return result

    def num_records_produced(self, name: str | None = None) -> Tensor:
        """How many records were read: an int64 scalar."""
        result: Tensor = self._create("NumRecordsProduced", name=name)
        return result

    def num_work_units_completed(self, name: str | None = None) -> Tensor:
        """How many work items were read to their ends: an int64 scalar."""
        result: Tensor = self._create("NumWorkUnitsCompleted", name=name)
        return result

    def serialize_state(self, name: str | None = None) -> Tensor:
        """What `restore_state` needs, a string scalar; UnimplementedError where it cannot tell."""
        result: Tensor = self._create("SerializeState", name=name)
        return result

    def restore_state(self, state: Any, name: str | None = None) -> Operation:
        """Go on from a state; UnimplementedError where it cannot."""
        result: Operation = self._create("RestoreState", (state,), name)
        return result

    def reset(self, name: str | None = None) -> Operation:
        """Forget the work item in progress, and the counts."""
        result: Operation = self._create("Reset", name=name)
        return result


@export("WholeFileReader")
class WholeFileReader(ReaderBase):
    """Gives each file as one record, under its name."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(create_op("WholeFileReaderV2", name=name), supports_serialize=True)


@export("TextLineReader")
class TextLineReader(ReaderBase):
    """Gives the lines of text files, without their ends, under the file's name and their numbers.

    Args:
        skip_header_lines: how many lines at the top of each file to pass over.
        name: name of the operation.
    """

    def __init__(self, skip_header_lines: int | None = None, name: str | None = None) -> None:
        attrs = {"skip_header_lines": skip_header_lines}
        super().__init__(create_op("TextLineReaderV2", (), attrs, name))


@export("FixedLengthRecordReader")
class FixedLengthRecordReader(ReaderBase):
    """Gives records of one size, under the file's name and their numbers.

    Args:
        record_bytes: size of a record.
        header_bytes: bytes before the first record.
        footer_bytes: bytes behind the last one.
        hop_bytes: bytes from one record to the next; 0 stands for `record_bytes`.
        name: name of the operation.
        encoding: "", "GZIP" or "ZLIB": how files are compressed.
    """

    def __init__(
        self,
        record_bytes: int,
        header_bytes: int | None = None,
        footer_bytes: int | None = None,
        hop_bytes: int | None = None,
        name: str | None = None,
        encoding: str | None = None,
    ) -> None:
        attrs = {
            "record_bytes": record_bytes,
            "header_bytes": header_bytes,
            "footer_bytes": footer_bytes,
            "hop_bytes": hop_bytes,
            "encoding": encoding,
        }
        super().__init__(create_op("FixedLengthRecordReaderV2", (), attrs, name))


@export("TFRecordReader")
class TFRecordReader(ReaderBase):
    """Gives the records of TFRecord files, under the file's name and where they begin.

    Args:
        name: name of the operation.
        options: a `tf.python_io.TFRecordOptions`, or "GZIP", "ZLIB" or "": how files are
            compressed.
    """

    def __init__(self, name: str | None = None, options: Any = None) -> None:
        attrs = {"compression_type": compression_kind(options)}
        super().__init__(create_op("TFRecordReaderV2", (), attrs, name))


@export("IdentityReader")
class IdentityReader(ReaderBase):
    """Gives the work items themselves, each under itself."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(create_op("IdentityReaderV2", name=name), supports_serialize=True)
