"""Kernels that make tensors of strings, on the host."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from tfsession.core.csv_records import column, fields_of
from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.records import inflated
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.tensor_proto import parsed, serialized


@kernel("DecodeRaw", device="CPU")
def decode_raw(xp: Any, strings: Any, *, out_type: DType, little_endian: bool) -> Any:
    """The bytes of strings of one length as numbers."""
    texts = strings.ravel().tolist()
    if not texts:
        return np.zeros((*strings.shape, 0), out_type.numpy)
    size = len(texts[0])
    for index, text in enumerate(texts):
        if len(text) != size:
            raise InvalidArgumentError(
                None,
                None,
                "DecodeRaw requires input strings to all be the same size, but element "
                f"{index} has size {size} != {len(text)}",
            )
    if size % out_type.size:
        raise InvalidArgumentError(
            None,
            None,
            f"Input to DecodeRaw has length {size} that is not a multiple of {out_type.size}, "
            f"the size of {out_type.name}",
        )
    return _numbers(texts, size, strings.shape, out_type, little_endian)


@kernel("DecodePaddedRaw", device="CPU")
def decode_padded_raw(
    xp: Any, strings: Any, fixed_length: Any, *, out_type: DType, little_endian: bool
) -> Any:
    """The bytes of strings as numbers, after each is cut or filled up to one length."""
    if fixed_length.ndim:
        shape = debug_string(fixed_length.shape)
        raise InvalidArgumentError(None, None, f"k must be scalar, got shape {shape}")
    size = int(fixed_length)
    if size <= 0:
        message = f"fixed_length ({size}) must be greater than zero."
        raise InvalidArgumentError(None, None, message)
    if size % out_type.size:
        raise InvalidArgumentError(
            None,
            None,
            f"fixed_length ({size}) must be a multiple of the size of out_type ({out_type.size})",
        )
    texts = [text[:size].ljust(size, b"\0") for text in strings.ravel().tolist()]
    return _numbers(texts, size, strings.shape, out_type, little_endian)


def _numbers(
    texts: list[bytes], size: int, shape: tuple[int, ...], dtype: DType, little_endian: bool
) -> Any:
    numbers = np.frombuffer(bytearray(b"".join(texts)), np.uint8)
    if dtype.numpy == np.bool_:
        numbers = numbers != 0
    if not little_endian and dtype.size > 1:
        # Both halves of a complex number, each by itself.
        width = dtype.size // 2 if dtype.is_complex else dtype.size
        numbers = np.ascontiguousarray(numbers.reshape(-1, width)[:, ::-1]).reshape(-1)
    return numbers.view(dtype.numpy).reshape(*shape, size // dtype.size)


@kernel("DecodeCSV", device="CPU")
def decode_csv(
    xp: Any,
    records: Any,
    *defaults: Any,
    OUT_TYPE: list[DType],
    field_delim: bytes,
    use_quote_delim: bool,
    na_value: bytes,
    select_cols: list[int],
) -> Any:
    """The columns of records."""
    if len(field_delim) != 1:
        raise InvalidArgumentError(None, None, "field_delim should be only 1 char")
    for index, default in enumerate(defaults):
        if default.size > 1:
            raise InvalidArgumentError(
                None,
                None,
                f"There should only be 1 default per field but field {index} has {default.size}",
            )
    count, rows = len(defaults), []
    for number, record in enumerate(records.ravel().tolist()):
        fields = fields_of(record, field_delim, use_quote_delim, select_cols)
        if len(fields) != count:
            message = f"Expect {count} fields but have {len(fields)} in record {number}"
            raise InvalidArgumentError(None, None, message)
        rows.append(fields)
    columns = zip(*rows, strict=True) if rows else [()] * count
    missing = {b"", na_value}
    return tuple(
        column(fields, index, default, dtype, missing).reshape(records.shape)
        for index, (fields, default, dtype) in enumerate(
            zip(columns, defaults, OUT_TYPE, strict=True)
        )
    )


@kernel("ParseTensor", device="CPU")
def parse_tensor(xp: Any, text: Any, *, out_type: DType) -> Any:
    """The array of a TensorProto."""
    if text.ndim:
        shape = debug_string(text.shape)
        raise InvalidArgumentError(
            None, None, f"Expected `serialized` to be a scalar, got shape: {shape}"
        )
    data = text.item()
    try:
        dtype, array = parsed(data)
    except ValueError:
        encoded = base64.b64encode(data).decode()
        message = f"Could not parse `serialized` as TensorProto, base64: {encoded}"
        raise InvalidArgumentError(None, None, message) from None
    if dtype is not out_type:
        message = f"Type mismatch between parsed tensor ({dtype.name}) and dtype ({out_type.name})"
        raise InvalidArgumentError(None, None, message)
    return array


@kernel("SerializeTensor", device="CPU")
def serialize_tensor(xp: Any, tensor: Any) -> Any:
    """The bytes of a TensorProto."""
    return np.array(serialized(tensor), object)


@kernel("DecodeCompressed", device="CPU")
def decode_compressed(xp: Any, strings: Any, *, compression_type: bytes) -> Any:
    """The data of compressed strings."""
    kind = compression_type.decode()
    if kind not in ("", "GZIP", "ZLIB"):
        message = "Only ZLIB, GZIP or NONE are supported compressions"
        raise InvalidArgumentError(None, None, message)
    result = np.empty(strings.shape, object)
    for index in np.ndindex(strings.shape):
        result[index] = inflated(strings[index], kind) if kind else strings[index]
    return result
