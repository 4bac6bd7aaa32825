"""`make_csv_dataset`: batches of columns of files, of which names and types are found out."""

from __future__ import annotations

import csv
import gzip
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tfsession.core.dtypes import DType, float32, float64, int32, int64, string
from tfsession.core.exports import export
from tfsession.core.file_system import local_path, matching_paths
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.dataset import AUTOTUNE, Dataset
from tfsession.ops.dataset_files import CsvDataset

# From the narrowest on; a column has the first one that fits all its values.
_TYPES = (int32, int64, float32, float64, string)


@export("data.experimental.make_csv_dataset", "contrib.data.make_csv_dataset")
def make_csv_dataset(
    file_pattern: Any, batch_size: Any, column_names: Sequence[str] | None = None,
    column_defaults: Sequence[Any] | None = None, label_name: str | None = None,
    select_columns: Sequence[int | str] | None = None, field_delim: str = ",",
    use_quote_delim: bool = True, na_value: str = "", header: bool = True,
    num_epochs: int | None = None, shuffle: bool = True, shuffle_buffer_size: int = 10000,
    shuffle_seed: int | None = None, prefetch_buffer_size: int | None = None,
    num_parallel_reads: int | None = None, sloppy: bool = False,
    num_rows_for_inference: int | None = 100, compression_type: str | None = None,
    ignore_errors: bool = False, encoding: str = "utf-8",
) -> Dataset:  # fmt: skip
    """Batches of the columns of files of comma-separated values, by their names.

    What is not given is read from the files when this is called: names from their first lines,
    types from their first records, of int32, int64, float32, float64 and string the first that
    fits; values that are missing are then zeros or empty.

    Args:
        file_pattern: a pattern of names of files, or a list of such.
        batch_size: how many records a batch has.
        column_names: the names of all columns.
        column_defaults: for each column that is taken its dtype, if it must be there, or its value
            where it is missing.
        label_name: the column that is given beside the others.
        select_columns: the columns to take, by number or name.
        field_delim: what stands between fields.
        use_quote_delim: whether quotation marks enclose fields.
        na_value: a text that stands for a missing field, too.
        header: whether the first line of each file has the names.
        num_epochs: how often to go through the files; without end by default.
        shuffle: whether files and records come in random order.
        shuffle_buffer_size: how many records there are to choose from.
        shuffle_seed: makes the order repeatable.
        prefetch_buffer_size: how many batches are made ahead; a few by default.
        num_parallel_reads: from how many files records are taken in turn; 1 by default.
        sloppy: accepted.
        num_rows_for_inference: how many records tell the types; all if None.
        compression_type: "", "GZIP" or "ZLIB".
        ignore_errors: whether records that cannot be read are left out.
        encoding: of the files, where names and types are read from them.

    Returns:
        Elements are dicts in the order of columns; with `label_name` pairs of a dict and a column.

    Raises:
        ValueError: no file fits, or names, defaults and selected columns contradict each other.
    """
    files = _files(file_pattern)
    source = _Source(files, field_delim, use_quote_delim, header, compression_type, encoding)
    names, chosen, defaults = _columns(
        source, column_names, column_defaults, select_columns, na_value, num_rows_for_inference
    )
    if label_name is not None and label_name not in names:
        raise ValueError(
            f"`label_name` provided must be one of the columns: {names}. Received: {label_name}."
        )

    def read(name: Tensor) -> Dataset:
        found: Dataset = CsvDataset(
            name, defaults, compression_type, None, header, field_delim, use_quote_delim, na_value,
            chosen,
        )  # fmt: skip
        return found.ignore_errors() if ignore_errors else found  # type: ignore[no-any-return]

    def named(*columns: Tensor) -> Any:
        features = OrderedDict(zip(names, columns, strict=True))
        return features if label_name is None else (features, features.pop(label_name))

    dataset = Dataset.from_tensor_slices(files)
    if shuffle:
        dataset = dataset.shuffle(len(files), shuffle_seed)
    dataset = dataset.interleave(read, num_parallel_reads or 1, 1)
    if shuffle:
        dataset = dataset.shuffle(shuffle_buffer_size, shuffle_seed)
    if num_epochs != 1:
        dataset = dataset.repeat(num_epochs)
    dataset = dataset.batch(batch_size, drop_remainder=num_epochs is None).map(named)
    return dataset.prefetch(AUTOTUNE if prefetch_buffer_size is None else prefetch_buffer_size)


def _columns(
    source: _Source, column_names: Sequence[str] | None, column_defaults: Sequence[Any] | None,
    select_columns: Sequence[int | str] | None, na_value: str, inferred: int | None,
) -> tuple[list[str], list[int] | None, list[Any]]:  # fmt: skip
    """The columns to take: their names, their positions unless these are all, their defaults."""
    names = source.names() if column_names is None else list(column_names)
    if len(set(names)) < len(names):
        twice = {name for name in names if names.count(name) > 1}
        raise ValueError(
            "Either `column_names` argument or CSV header row contains duplicate column names: "
            f"{twice}."
        )
    chosen = None if select_columns is None else _places(select_columns, names)
    if column_defaults is None:
        wanted = range(len(names)) if chosen is None else chosen
        defaults: list[Any] = _defaults(islice(source.rows(len(names)), inferred), wanted, na_value)
    else:
        defaults = list(column_defaults)
    if chosen is not None:
        if len(defaults) != len(chosen):
            raise ValueError(
                "If specified, `column_defaults` and `select_columns` must have the same length: "
                f"`column_defaults` has length {len(defaults)}, `select_columns` has length "
                f"{len(chosen)}."
            )
        names = [names[place] for place in chosen]
    return names, chosen, defaults


def _files(patterns: Any) -> list[str]:
    """The files that fit patterns, sorted."""
    given = patterns if isinstance(patterns, list | tuple) else [patterns]
    found = sorted({name for pattern in given for name in matching_paths(pattern)})
    if not found:
        raise ValueError(f"No files match `file_pattern` {patterns}.")
    return found


class _Source:
    """What the files say of themselves."""

    def __init__(
        self, files: Sequence[str], delimiter: str, quotes: bool, header: bool,
        compression: str | None, encoding: str,
    ) -> None:  # fmt: skip
        self._files = files
        self._format: Any = {
            "delimiter": delimiter,
            "quoting": csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        }
        self._header = header
        self._compression = compression or ""
        self._encoding = encoding

    def _opened(self, name: str) -> TextIO:
        if self._compression not in ("", "GZIP"):
            raise ValueError(
                f"`compression_type` {self._compression} is not supported for probing columns: "
                "give `column_names` and `column_defaults`."
            )
        path = Path(local_path(name))
        if self._compression:
            return gzip.open(path, "rt", encoding=self._encoding, newline="")  # type: ignore[return-value]
        return path.open(encoding=self._encoding, newline="")

    def names(self) -> list[str]:
        """The names in the first lines, which must be the same."""
        if not self._header:
            raise ValueError("Expected `column_names` or `header` arguments. Neither is provided.")
        found: list[list[str]] = []
        for name in self._files:
            with self._opened(name) as file:
                row = next(csv.reader(file, **self._format), None)
            if row is None:
                raise ValueError(
                    f"Failed when reading the header line of {name}. Is it an empty file?"
                )
            found.append(row)
            if row != found[0]:
                raise ValueError(
                    "All input CSV files should have the same column names in the header row. "
                    f"File {name} has different column names."
                )
        return found[0]

    def rows(self, count: int) -> Iterator[list[str]]:
        """The records of all files, each of which must have so many fields."""
        for name in self._files:
            with self._opened(name) as file:
                rows = enumerate(csv.reader(file, **self._format), 1)
                for number, row in islice(rows, int(self._header), None):
                    if len(row) != count:
                        raise ValueError(
                            f"Problem inferring types: CSV row {number} has {len(row)} number of "
                            f"fields. Expected: {count}."
                        )
                    yield row


def _places(columns: Sequence[int | str], names: Sequence[str]) -> list[int]:
    """The positions of columns that are given by position or by name."""
    places = []
    for column in columns:
        if isinstance(column, int):
            if not 0 <= column < len(names):
                raise ValueError(
                    f"Column index {column} specified in `select_columns` should be >= 0 and < "
                    f"{len(names)}, which is the number of columns."
                )
            places.append(column)
        elif column not in names:
            raise ValueError(
                f"Column {column} specified in `select_columns` must be of one of the columns: "
                f"{list(names)}."
            )
        else:
            places.append(names.index(column))
    if len(set(places)) < len(places):
        raise ValueError(f"The `select_columns` argument contains duplicate columns: {columns}.")
    return sorted(places)


def _defaults(rows: Iterator[list[str]], columns: Sequence[int], missing: str) -> list[Tensor]:
    """For each column a zero or an empty text, of the first type that fits its values."""
    types = [0] * len(columns)
    is_seen = [False] * len(columns)
    for row in rows:
        for number, column in enumerate(columns):
            text = row[column]
            if text not in ("", missing):
                is_seen[number] = True
                while not _fits(text, _TYPES[types[number]]):
                    types[number] += 1
    found = [_TYPES[t] if seen else string for t, seen in zip(types, is_seen, strict=True)]
    return [constant(["" if dtype is string else 0], dtype) for dtype in found]


def _fits(text: str, dtype: DType) -> bool:
    if dtype is string:
        return True
    try:
        with np.errstate(over="ignore"):
            value = int(text) if dtype.is_integer else dtype.as_numpy_dtype(text)
    except ValueError:
        return False
    if dtype.is_integer:
        return bool(dtype.min <= value <= dtype.max)
    return bool(value < np.inf)
