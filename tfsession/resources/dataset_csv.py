"""Datasets of comma-separated values: records of files, field by field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tfsession.core.csv_records import column
from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.records import decompressed
from tfsession.resources.dataset import Dataset, Element, Steps, refused, text_value

_QUOTE = b'"'
_END = re.compile(rb"\r?\n|\r")


class Csv(NamedTuple):
    """How files of comma-separated values are read.

    Attributes:
        delimiter: one byte.
        quotes: whether quotation marks enclose fields, in which there may be line ends.
        header: whether the first line of each file is no record.
        missing: the fields that stand for none.
        selected: the positions of the fields to take, increasing; all when empty.
        excluded: the positions of fields that are not taken.
        compression: "", "GZIP" or "ZLIB".
    """

    delimiter: bytes
    quotes: bool
    header: bool
    missing: frozenset[bytes]
    selected: Sequence[int]
    excluded: Sequence[int]
    compression: str


class CsvDataset(Dataset):
    """The records of several files, of which each field is a component.

    Args:
        names: of the files.
        csv: how they are read.
        defaults: for each field the value where it is missing; an empty array if it must be there.
        dtypes: of the fields.
    """

    def __init__(
        self, names: Sequence[bytes], csv: Csv, defaults: Sequence[Any], dtypes: Sequence[DType]
    ) -> None:
        if len(csv.delimiter) != 1:
            raise refused("field_delim should be only 1 char")
        for positions in (csv.selected, csv.excluded):
            if list(positions) != sorted(set(positions)) or any(p < 0 for p in positions):
                raise refused("select_cols should be strictly increasing indices")
        for index, default in enumerate(defaults):
            if default.size > 1:
                raise refused(
                    "Each record default should be at most one value; that of field "
                    f"{index} has {default.size}."
                )
        self._arguments = names, csv, defaults, dtypes

    def __iter__(self) -> Steps:
        return CsvSteps(*self._arguments)


class CsvSteps(Steps):
    """Goes through the records of files."""

    def __init__(
        self, names: Sequence[bytes], csv: Csv, defaults: Sequence[Any], dtypes: Sequence[DType]
    ) -> None:
        self._names = iter(names)
        self._csv = csv
        self._fields = list(zip(defaults, dtypes, strict=True))
        self._file: CsvFile | None = None

    def __next__(self) -> Element:
        with file_errors():
            while True:
                if self._file is None:
                    self._file = CsvFile(next(self._names), self._csv)
                fields = self._file.record()
                if fields is not None:
                    return self._element(fields)
                self._file.close()
                self._file = None

    def _element(self, fields: list[bytes]) -> Element:
        csv, wanted = self._csv, len(self._fields)
        if csv.selected:
            fields = [fields[place] for place in csv.selected if place < len(fields)]
        elif csv.excluded:
            left_out = frozenset(csv.excluded)
            fields = [field for place, field in enumerate(fields) if place not in left_out]
        rows = enumerate(zip(fields, self._fields, strict=False))
        element = tuple([self._value(index, field, *of) for index, (field, of) in rows])
        if len(fields) != wanted:
            have = "more" if len(fields) > wanted else len(fields)
            raise refused(f"Expect {wanted} fields but have {have} in record")
        return element

    def _value(self, index: int, field: bytes, default: Any, dtype: DType) -> Any:
        try:
            value = column([field], index, default, dtype, self._csv.missing)[0]
        except InvalidArgumentError as error:
            raise refused(error.message.replace("in record 0", "in record")) from None
        return text_value(value) if isinstance(value, bytes) else value

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


class CsvFile:
    """The records of a file."""

    def __init__(self, name: bytes, csv: Csv) -> None:
        self._raw: BinaryIO = Path(local_path(name)).open("rb")  # noqa: SIM115
        self._file = decompressed(self._raw, csv.compression) if csv.compression else self._raw
        self._delimiter, self._quotes = csv.delimiter, csv.quotes
        self._stop = re.compile(b"[\r\n" + re.escape(csv.delimiter) + b"]")
        # What was read behind a record that ended within a line.
        self._rest = b""
        if csv.header:
            self._file.readline()

    def record(self) -> list[bytes] | None:
        """The fields of the next record; None at the end.

        Raises:
            InvalidArgumentError: it is none; the next one comes with the next call.
        """
        line, self._rest = self._rest or self._file.readline(), b""
        if not line:
            return None
        end = _END.search(line)
        if (end is None or end.end() == len(line)) and not (self._quotes and _QUOTE in line):
            return line[: len(line) if end is None else end.start()].split(self._delimiter)
        return self._scanned(bytearray(line))

    def _scanned(self, text: bytearray) -> list[bytes]:
        """The fields of a record that may go on behind its first line, or end before that does."""
        fields: list[bytes] = []
        place, is_wrong = 0, False
        while True:
            if self._quotes and text.startswith(_QUOTE, place):
                start = place + 1
                place = self._closing(text, start)
                fields.append(bytes(text[start:place]).replace(b'""', _QUOTE))
                place += 1
            else:
                stop = self._stop.search(text, place)
                end = len(text) if stop is None else stop.start()
                fields.append(bytes(text[place:end]))
                is_wrong = is_wrong or (self._quotes and _QUOTE in fields[-1])
                place = end
            if not text.startswith(self._delimiter, place):
                break
            place += 1
        ended = _END.match(text, place)
        self._rest = bytes(text[ended.end() :]) if ended is not None else b""
        if is_wrong:
            raise refused("Unquoted fields cannot have quotes inside")
        return fields

    def _closing(self, text: bytearray, place: int) -> int:
        """Where the mark is that closes a field; lines are added to the text until it is there."""
        while True:
            place = text.find(_QUOTE, place)
            if place < 0:
                place = len(text)
                more = self._file.readline()
                if not more:
                    raise refused("Reached end of file without closing quoted field in record")
                text += more
            elif text[place + 1 : place + 2] == _QUOTE:
                place += 2
            elif text[place + 1 : place + 2] in (b"", b"\n", b"\r", self._delimiter):
                return place
            else:
                place += 1

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
