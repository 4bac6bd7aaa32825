"""Datasets of what is in files: lines, TFRecords, records of one size."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64, string
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.dataset import Dataset
from tfsession.ops.dataset_structure import ElementSpec
from tfsession.ops.shape import reshape

_RECORDS = ElementSpec.declared(string, ())
# TensorFlow's default; files are read here as the system reads them.
_BUFFER = 256 * 1024


class _FileDataset(Dataset):
    """What `read` gives for each file of a tensor of names, or of a dataset of them."""

    def _read_each(self, filenames: Any, parallel: Any) -> None:
        if isinstance(filenames, Dataset):
            names = filenames
        else:
            tensor = convert_to_tensor(filenames, string, name="filenames")
            names = Dataset.from_tensor_slices(reshape(tensor, [-1], name="flat_filenames"))
        if parallel is None:
            read = names.flat_map(self._read)
        else:
            read = names.interleave(self._read, cycle_length=parallel)
        super().__init__(read._variant_tensor, _RECORDS)

    def _read(self, name: Tensor) -> Dataset:
        raise NotImplementedError


def _settings(compression_type: Any, buffer_size: Any) -> list[Tensor]:
    compression = convert_to_tensor(compression_type or "", string, name="compression_type")
    size = _BUFFER if buffer_size is None else buffer_size
    return [compression, convert_to_tensor(size, int64, name="buffer_size")]


class _Records(_FileDataset):
    """Files whose records an operation reads that takes names and a compression."""

    op_type: str

    def __init__(
        self,
        filenames: Any,
        compression_type: Any = None,
        buffer_size: Any = None,
        num_parallel_reads: Any = None,
        name: str | None = None,
    ) -> None:
        self._arguments = compression_type, buffer_size
        self._read_each(filenames, num_parallel_reads)

    def _read(self, name: Tensor) -> Dataset:
        return Dataset(create_op(self.op_type, [name, *_settings(*self._arguments)]), _RECORDS)


@export("data.TextLineDataset")
class TextLineDataset(_Records):
    """The lines of text files, without their ends.

    Args:
        filenames: a string tensor, or a dataset of names.
        compression_type: "", "GZIP" or "ZLIB".
        buffer_size: accepted.
        num_parallel_reads: from how many files lines are taken in turn; one after another if None.
        name: not used.
    """

    op_type = "TextLineDataset"


@export("data.TFRecordDataset")
class TFRecordDataset(_Records):
    """The records of TFRecord files, held to their checksums; arguments as of `TextLineDataset`."""

    op_type = "TFRecordDataset"


@export("data.FixedLengthRecordDataset")
class FixedLengthRecordDataset(_FileDataset):
    """Records of one size.

    Args:
        filenames: a string tensor, or a dataset of names.
        record_bytes: size of a record.
        header_bytes, footer_bytes: what is left out at the beginning and the end of each file.
        buffer_size: accepted.
        compression_type: "", "GZIP" or "ZLIB".
        num_parallel_reads: from how many files records are taken in turn; one after another if
            None.
        name: not used.
    """

    def __init__(
        self,
        filenames: Any,
        record_bytes: Any,
        header_bytes: Any = None,
        footer_bytes: Any = None,
        buffer_size: Any = None,
        compression_type: Any = None,
        num_parallel_reads: Any = None,
        name: str | None = None,
    ) -> None:
        self._arguments = compression_type, buffer_size
        self._sizes = header_bytes or 0, record_bytes, footer_bytes or 0
        self._read_each(filenames, num_parallel_reads)

    def _read(self, name: Tensor) -> Dataset:
        sizes = [convert_to_tensor(size, int64) for size in self._sizes]
        compression, buffer_size = _settings(*self._arguments)
        inputs = [name, *sizes, buffer_size, compression]
        return Dataset(create_op("FixedLengthRecordDatasetV2", inputs), _RECORDS)
