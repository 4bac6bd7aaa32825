"""Examples, serialized, as columns: the values of one feature of all examples of a batch.

Messages are split with protobuf; the values, which most bytes are, are read by NumPy, of a whole
batch at once. Wire format: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core import protos
from tfsession.core.dtypes import DType, float32, int64, string
from tfsession.core.wire import sized

_LIST_FIELD: Final = 0x0A  # the first field, with a length
# The field of a Feature that holds its values, on the wire and in the message.
_FIELDS: Final[dict[DType, tuple[int, str]]] = {
    string: (0x0A, "bytes_list"),
    float32: (0x12, "float_list"),
    int64: (0x1A, "int64_list"),
}
_HIGH: Final = bytes(range(128, 256))
_NAMES: Final = {"bytes_list": "string", "float_list": "float", "int64_list": "int64"}


class WrongKindError(Exception):
    """A feature holds values of another type.

    Args:
        index: the example's position in the batch.
        found: the type of its values.
    """

    def __init__(self, index: int, found: str) -> None:
        super().__init__(f"values of type {found}")
        self.index = index
        self.found = found


class Column(NamedTuple):
    """The values of one feature: of all examples in one vector, and how many each example has.

    `missing` holds the positions of examples without the feature.
    """

    values: Any
    counts: list[int]
    missing: list[int]


def example_features(data: bytes) -> dict[bytes, bytes]:
    """The features of an Example, serialized, by name; ValueError when it is none."""
    parts = protos.parsed(protos.ExampleParts, data).features.feature
    return {part.key: part.value for part in parts}


def sequence_features(data: bytes) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]]]:
    """The context and the feature lists of a SequenceExample; ValueError when it is none."""
    message = protos.parsed(protos.SequenceExampleParts, data)
    lists = {
        part.key: list(protos.parsed(protos.FeatureListParts, part.value).feature)
        for part in message.feature_lists.feature
    }
    return {part.key: part.value for part in message.context.feature}, lists


def column(features: Sequence[bytes | None], dtype: DType) -> Column:
    """The values of a feature.

    Args:
        features: serialized, one of each example, None where there is none.
        dtype: of the values: float32, int64 or string.

    Raises:
        ValueError: one is no Feature.
        WrongKindError: one holds values of another type.
    """
    missing, parts = [], []
    for index, feature in enumerate(features):
        part = None if feature is None else _values(feature, dtype, index)
        if part is None:
            missing.append(index)
            part = b""
        parts.append(part)
    if dtype is string:
        values, counts = _texts(parts)
    elif dtype is float32:
        joined = bytearray().join(parts)
        values = np.frombuffer(joined, "<f4").astype(np.float32, copy=False)
        counts = [len(part) // 4 for part in parts]
    else:
        values, counts = _integers(parts)
    return Column(values, counts, missing)


def known_column(kind: int, parts: Sequence[bytes], dtype: DType) -> Column | None:
    """As `column`, of values that `example_layout` found; None where they are of another kind."""
    if kind != _FIELDS[dtype][0]:
        return None
    if dtype is string:
        values = np.empty(len(parts), object)
        values[:] = parts
        return Column(values, [1] * len(parts), [])
    if dtype is float32:
        if any(len(part) % 4 for part in parts):
            return None
        joined = bytearray().join(parts)
        counts = [len(part) // 4 for part in parts]
        return Column(np.frombuffer(joined, "<f4").astype(np.float32, copy=False), counts, [])
    return Column(*_integers(parts), [])


def _values(feature: bytes, dtype: DType, index: int) -> bytes | None:
    """The values alone, as they lie on the wire: of numbers packed, of texts a serialized list."""
    tag, field = _FIELDS[dtype]
    start = _body(feature, 0, tag)
    if start >= 0:
        if dtype is string:
            return feature[start:]
        packed = _body(feature, start, _LIST_FIELD)
        if packed >= 0:
            return feature[packed:]
    # Something rarer: no or other values, values in pieces, fields of a later version.
    message = protos.parsed(protos.Feature, feature)
    found = message.WhichOneof("kind")
    if found is None:
        return None
    if found != field:
        raise WrongKindError(index, _NAMES[found])
    data: bytes = getattr(message, field).SerializeToString()
    return data if dtype is string or not data else data[_body(data, 0, _LIST_FIELD) :]


def _body(data: bytes, start: int, tag: int) -> int:
    """Where the body of a field begins that takes up the rest of `data`; -1 if it does not."""
    size, at = len(data), start + 2
    if at > size or data[start] != tag:
        return -1
    length = data[at - 1]
    if length > 127:
        length, shift, octet = length & 127, 7, 128
        while octet > 127:
            if at >= size or shift > 35:
                return -1
            octet = data[at]
            length |= (octet & 127) << shift
            shift += 7
            at += 1
    return at if at + length == size else -1


def _texts(parts: Sequence[bytes]) -> tuple[Any, list[int]]:
    values: list[bytes] = []
    counts = []
    for part in parts:
        start = _body(part, 0, _LIST_FIELD)
        if start >= 0:
            values.append(part[start:])
            counts.append(1)
        else:
            found = protos.parsed(protos.BytesList, part).value
            values += found
            counts.append(len(found))
    result = np.empty(len(values), object)
    result[:] = values
    return result, counts


def _integers(parts: Sequence[bytes]) -> tuple[Any, list[int]]:
    joined = b"".join(parts)
    # A number ends with its first byte under 128; most numbers have one byte.
    if joined.isascii():
        return np.frombuffer(joined, np.uint8).astype(np.int64), [len(part) for part in parts]
    counts = [len(part.translate(None, _HIGH)) for part in parts]
    message = bytes((_LIST_FIELD,)) + sized(joined)
    values = protos.parsed(protos.Int64List, message).value
    return np.fromiter(values, np.int64, len(values)), counts
