"""Datasets of what is in files: lines, TFRecords, records of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.dtypes import DType, bool_, int64, string
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
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


def _settings(compression_type: Any, buffer_size: Any, default: int = _BUFFER) -> list[Tensor]:
    compression = convert_to_tensor(compression_type or "", string, name="compression_type")
    size = default if buffer_size is None else buffer_size
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


@export("data.experimental.CsvDataset", "contrib.data.CsvDataset")
class CsvDataset(Dataset):
    """The records of files of comma-separated values; each field is a component.

    Args:
        filenames: a string tensor.
        record_defaults: for each field its dtype, if it must be there, or the value that it has
            where it is missing, a scalar or a vector of one. Dtypes are float32, float64, int32,
            int64 and string.
        compression_type: "", "GZIP" or "ZLIB".
        buffer_size: accepted.
        header: whether the first line of each file is no record.
        field_delim: what stands between fields, one byte.
        use_quote_delim: whether quotation marks enclose fields, in which there may be line ends.
        na_value: a text that stands for a missing field, too.
        select_cols: the positions of the fields to take, increasing; all by default.
        exclude_cols: the positions of those to leave out, increasing, where none are selected.

    Raises:
        InvalidArgumentError: when it is iterated over, if both are given.
    """

    def __init__(
        self,
        filenames: Any,
        record_defaults: Sequence[Any],
        compression_type: Any = None,
        buffer_size: Any = None,
        header: Any = False,
        field_delim: Any = ",",
        use_quote_delim: Any = True,
        na_value: Any = "",
        select_cols: Any = None,
        exclude_cols: Any = None,
    ) -> None:
        compression, size = _settings(compression_type, buffer_size, 4 * 1024 * 1024)
        defaults = [_default(value) for value in record_defaults]
        dtypes = tuple([default.dtype for default in defaults])
        spec = ElementSpec.declared(dtypes, ((),) * len(dtypes))
        inputs = [
            convert_to_tensor(filenames, string, name="filenames"),
            compression,
            size,
            convert_to_tensor(header, bool_, name="header"),
            convert_to_tensor(field_delim, string, name="field_delim"),
            convert_to_tensor(use_quote_delim, bool_, name="use_quote_delim"),
            convert_to_tensor(na_value, string, name="na_value"),
            convert_to_tensor(select_cols or [], int64, name="select_cols"),
            defaults,
            convert_to_tensor(exclude_cols or [], int64, name="exclude_cols"),
        ]
        attrs = {"output_shapes": spec.shapes}
        super().__init__(create_op("CSVDatasetV2", inputs, attrs), spec)


def _default(value: Any) -> Tensor:
    """What a missing field is: nothing where there must be one of a dtype."""
    if isinstance(value, DType):
        return constant([], value)  # type: ignore[no-any-return]
    tensor: Tensor = convert_to_tensor(value)
    return reshape(tensor, [1]) if tensor._shape == () else tensor  # type: ignore[no-any-return]


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
