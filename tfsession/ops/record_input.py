"""RecordInput: batches of records of many files, shuffled, over and over."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.records import compression_kind
from tfsession.graph.create import create_op
from tfsession.graph.graph import get_default_graph
from tfsession.graph.shape_fns import unknown
from tfsession.ops.join import split
from tfsession.ops.shape import reshape

define_op(
    "RecordInput",
    outputs=["records: string"],
    attrs=[
        *("file_pattern: string", "file_random_seed: int = 301"),
        *("file_shuffle_shift_ratio: float = 0", "file_buffer_size: int = 10000"),
        *("file_parallelism: int = 16", "batch_size: int = 32", "compression_type: string = ''"),
    ],
    stateful=True,
    shape=unknown,
)


@export("python.ops.data_flow_ops.RecordInput")
class RecordInput:
    """Reads TFRecord files in random order, over and over; without queues and their runners.

    All records come once before any comes again; see `get_yield_op`.

    Args:
        file_pattern: of the names of the files: `*`, `?` and `[...]` stand for parts of a name.
        batch_size: how many records a step takes; with `batches` for each of them.
        buffer_size: how many records are shuffled among each other.
        parallelism: how many files are read by turns.
        shift_ratio: the part of the list of files, from 0 to 1, that is moved to its end each time,
            so that several programs read other files first.
        seed: chooses the orders.
        name: name of the operation.
        batches: into how many lists of records a batch is split; None for no split.
        compression_type: a `tf.python_io.TFRecordCompressionType`.
    """

    def __init__(
        self,
        file_pattern: Any,
        batch_size: int = 1,
        buffer_size: int = 1,
        parallelism: int = 1,
        shift_ratio: float = 0,
        seed: int = 0,
        name: str | None = None,
        batches: int | None = None,
        compression_type: Any = None,
    ) -> None:
        self._batch_size = batch_size * (1 if batches is None else batches)
        self._batches = batches
        self._name = name
        self._attrs = {
            "file_pattern": file_pattern,
            "file_buffer_size": buffer_size,
            "file_parallelism": parallelism,
            "file_shuffle_shift_ratio": shift_ratio,
            "file_random_seed": seed,
            "compression_type": compression_type,
        }

    def get_yield_op(self) -> Any:
        """The records of the next batch, a string vector.

        With `batches`, that many lists of string scalars. A step raises NotFoundError when no file
        fits the pattern, DataLossError for damaged files, and InvalidArgumentError for sizes that
        are not positive.

        Raises:
            ValueError: no such compression.
        """
        kind = compression_kind(self._attrs["compression_type"])
        attrs = self._attrs | {"batch_size": self._batch_size, "compression_type": kind}
        records = create_op("RecordInput", [], attrs, self._name)
        if self._batches is None:
            return records
        with get_default_graph().name_scope(self._name):
            scalars = [reshape(record, []) for record in split(records, self._batch_size, 0)]
        return [scalars[first :: self._batches] for first in range(self._batches)]
