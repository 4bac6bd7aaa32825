"""Records of comma-separated values (RFC 4180), field by field."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import numpy as np

from tfsession.core.dtypes import DType, float32, float64, int32, int64, string
from tfsession.core.errors import InvalidArgumentError, OpError

_QUOTE: Final = b'"'
_SPECIAL: Final = re.compile(rb'["\r\n]')
_LINE_ENDS: Final = re.compile(rb"[\r\n]")
_SKIPPED: Final = re.compile(rb"[\r\n]*")


def fields_of(record: bytes, delimiter: bytes, quotes: bool, wanted: Sequence[int]) -> list[bytes]:
    """The fields of a record, without the quotation marks around them.

    Args:
        record: without a line end behind it.
        delimiter: one byte.
        quotes: whether quotation marks enclose fields.
        wanted: the positions of the fields to take, increasing; all when empty. What stands behind
            the last of them is not looked at.

    Raises:
        InvalidArgumentError: a quotation mark or a line end stands where it must not.
    """
    if (_SPECIAL if quotes else _LINE_ENDS).search(record) is None:
        fields = record.split(delimiter) if record else []
    else:
        fields = _fields_with_marks(record, delimiter, quotes, wanted[-1] + 1 if wanted else -1)
    return [fields[i] for i in wanted if i < len(fields)] if wanted else fields


def _fields_with_marks(record: bytes, delimiter: bytes, quotes: bool, count: int) -> list[bytes]:
    """Up to `count` fields of a record that holds quotation marks or line ends."""
    fields: list[bytes] = []
    forbidden = _SPECIAL if quotes else _LINE_ENDS
    position = 0
    while len(fields) != count:
        # Line ends before a field are passed over.
        position = _SKIPPED.match(record, position).end()  # type: ignore[union-attr]
        if position >= len(record):
            if record.endswith(delimiter):
                fields.append(b"")
            break
        if quotes and record.startswith(_QUOTE, position):
            field, position = _quoted(record, delimiter, position + 1)
        else:
            end = record.find(delimiter, position)
            field = record[position:] if end < 0 else record[position:end]
            if forbidden.search(field):
                raise _error("Unquoted fields cannot have quotes/CRLFs inside")
            position += len(field) + 1
        fields.append(field)
    return fields


def _quoted(record: bytes, delimiter: bytes, position: int) -> tuple[bytes, int]:
    """A field that begins behind its first quotation mark, and where the next one begins."""
    parts = []
    while True:
        end = record.find(_QUOTE, position)
        if end < 0:
            raise _error("Quoted field has to end with quote followed by delim or end")
        parts.append(record[position:end])
        follows = record[end + 1 : end + 2]
        if follows in (b"", delimiter):
            return _QUOTE.join(parts), end + 2
        if follows != _QUOTE:
            raise _error("Quote inside a string has to be escaped by another quote")
        position = end + 2


def _error(message: str) -> OpError:
    return InvalidArgumentError(None, None, message)


def _integer(text: bytes) -> int:
    if b"_" in text:  # Python's own grouping of digits
        raise ValueError
    return int(text)


def _int32(text: bytes) -> int:
    number = _integer(text)
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError
    return number


def _int64(text: bytes) -> int:
    number = _integer(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError
    return number


def _float(text: bytes) -> float:
    if b"_" in text:
        raise ValueError
    return float.fromhex(text.decode("ascii")) if b"x" in text.lower() else float(text)


# How a field of each type is read, and what errors call the type.
_READERS: Final[dict[DType, tuple[Callable[[bytes], Any], str]]] = {
    int32: (_int32, "int32"),
    int64: (_int64, "int64"),
    float32: (_float, "float"),
    float64: (_float, "double"),
    string: (bytes, "string"),
}


def column(
    fields: Sequence[bytes], index: int, default: Any, dtype: DType, missing: Collection[bytes]
) -> Any:
    """The values of column `index`, one for each record: a vector.

    Args:
        fields: one of each record.
        index: the position of the column, for errors.
        default: an array with the value of missing fields, empty when there must be none.
        dtype: of the column.
        missing: the fields that stand for none.

    Raises:
        InvalidArgumentError: a field is missing, or is no number of this type.
    """
    read, kind = _READERS[dtype]
    values: list[Any] = []
    for number, field in enumerate(fields):
        if field in missing:
            if not default.size:
                raise _error(f"Field {index} is required but missing in record {number}!")
            values.append(default.flat[0])
            continue
        try:
            values.append(read(field))
        except ValueError:
            text = field.decode(errors="replace")
            message = f"Field {index} in record {number} is not a valid {kind}: {text}"
            raise _error(message) from None
    with np.errstate(over="ignore"):
        return np.array(values, dtype.numpy)
