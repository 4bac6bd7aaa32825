"""Strings into tensors: raw bytes, CSV records, serialized tensors, compressed data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import input_rank, same_as, scalar, unknown, with_rank_at_most
from tfsession.graph.tensor import Tensor

_RAW = "half, float, double, int32, uint16, uint8, int16, int8, int64"


def _one_dimension_more(op: Operation) -> list[Shape]:
    first = op.inputs[0]._shape
    return [None if first is None else (*first, None)]


def _padded_shape(op: Operation) -> list[Shape]:
    first, rank = op.inputs[0]._shape, op.inputs[1]._shape
    if rank is not None and rank != ():
        raise ValueError(f"Input must be scalar but has rank {len(rank)}")
    length = constant_value(op.inputs[1])
    size = None
    if length is not None:
        width = op.attrs["out_type"].size
        if length < 0:
            raise ValueError(
                f"Dimension size, given by scalar input 1, must be non-negative but is {length}"
            )
        if length % width:
            raise ValueError(f"Dimension size must be evenly divisible by {width} but is {length}")
        size = int(length) // width
    return [None if first is None else (*first, size)]


def _columns(op: Operation) -> list[Shape]:
    for default in op.inputs[1:]:
        shape = with_rank_at_most(default._shape, 1)
        if shape and shape[0] is not None and shape[0] > 1:
            raise ValueError(
                "Shape of a default must be a length-0 or length-1 vector, or a scalar."
            )
    return [op.inputs[0]._shape] * len(op.outputs)


def _parsed_shape(op: Operation) -> list[Shape]:
    input_rank(op, 0, 0)
    return unknown(op)


define_op(
    "DecodeRaw",
    inputs=["bytes: string"],
    outputs=["output: out_type"],
    attrs=[
        f"out_type: {{{_RAW}, complex64, complex128, bool, bfloat16}}",
        "little_endian: bool = true",
    ],
    shape=_one_dimension_more,
)
define_op(
    "DecodePaddedRaw",
    inputs=["input_bytes: string", "fixed_length: int32"],
    outputs=["output: out_type"],
    attrs=[f"out_type: {{{_RAW}, bfloat16}}", "little_endian: bool = true"],
    shape=_padded_shape,
)
define_op(
    "DecodeCSV",
    inputs=["records: string", "record_defaults: OUT_TYPE"],
    outputs=["output: OUT_TYPE"],
    attrs=[
        "OUT_TYPE: list({float, double, int32, int64, string}) >= 1",
        "field_delim: string = ','",
        "use_quote_delim: bool = true",
        "na_value: string = ''",
        "select_cols: list(int) = []",
    ],
    shape=_columns,
)
define_op(
    "ParseTensor",
    inputs=["serialized: string"],
    outputs=["output: out_type"],
    attrs=["out_type: type"],
    shape=_parsed_shape,
)
define_op(
    "SerializeTensor",
    inputs=["tensor: T"],
    outputs=["serialized: string"],
    attrs=["T: type"],
    shape=scalar,
)
define_op(
    "DecodeCompressed",
    inputs=["bytes: string"],
    outputs=["output: string"],
    attrs=["compression_type: string = ''"],
    shape=same_as(0),
)


@export("decode_raw", "io.decode_raw")
def decode_raw(
    input_bytes: Any = None,
    out_type: Any = None,
    little_endian: bool = True,
    name: str | None = None,
    bytes: Any = None,
) -> Tensor:
    """The bytes of each string as numbers.

    Args:
        input_bytes: a string tensor whose strings have one length.
        out_type: dtype of the numbers.
        little_endian: whether the first byte of a number is its lowest.
        name: name of the operation.
        bytes: an older name of `input_bytes`.

    Returns:
        A tensor of `out_type` with one dimension more. When it runs it raises
        InvalidArgumentError if the lengths differ or hold no whole numbers.

    Raises:
        ValueError: `input_bytes` or `out_type` is missing, or `input_bytes` is given twice.
    """
    if bytes is not None:
        if input_bytes is not None:
            raise ValueError("Cannot specify both 'bytes' and 'input_bytes'.")
        input_bytes = bytes
    if out_type is None:
        raise ValueError("decode_raw_v1() missing 1 positional argument: 'out_type'")
    attrs = {"out_type": out_type, "little_endian": little_endian}
    result: Tensor = create_op("DecodeRaw", [input_bytes], attrs, name)
    return result


@export("decode_csv", "io.decode_csv")
def decode_csv(
    records: Any,
    record_defaults: Sequence[Any],
    field_delim: str = ",",
    use_quote_delim: bool = True,
    name: str | None = None,
    na_value: str = "",
    select_cols: Sequence[int] | None = None,
) -> list[Tensor]:
    """The fields of CSV records (RFC 4180), each column as a tensor.

    Args:
        records: a string tensor, one record a string.
        record_defaults: for each column what an empty field stands for, a scalar or a vector of
            one, or an empty vector when no field may be empty. Their dtypes are those of the
            columns: float32, float64, int32, int64 or string.
        field_delim: the character between fields.
        use_quote_delim: whether quotation marks enclose fields that hold the delimiter, line ends
            or, doubled, quotation marks.
        name: name of the operation.
        na_value: a text that stands for an empty field as well.
        select_cols: the columns to take, in increasing order; all when None.

    Returns:
        A list of tensors of the shape of `records`. When it runs it raises InvalidArgumentError
        for a record of another number of fields, a missing field or one that is no number.

    Raises:
        ValueError: `select_cols` is not increasing, negative, or as long as `record_defaults`.
    """
    if select_cols is not None:
        if any(a >= b for a, b in pairwise(select_cols)):
            raise ValueError("select_cols is not strictly increasing.")
        if select_cols and select_cols[0] < 0:
            raise ValueError("select_cols contains negative values.")
        if len(select_cols) != len(record_defaults):
            raise ValueError("Length of select_cols and record_defaults do not match.")
    attrs = {
        "field_delim": field_delim,
        "use_quote_delim": use_quote_delim,
        "na_value": na_value,
        "select_cols": select_cols,
    }
    result: Any = create_op("DecodeCSV", [records, list(record_defaults)], attrs, name)
    return list(result) if isinstance(result, list | tuple) else [result]


@export("parse_tensor", "io.parse_tensor")
def parse_tensor(serialized: Any, out_type: Any, name: str | None = None) -> Tensor:
    """The tensor of a serialized TensorProto.

    Args:
        serialized: a string scalar.
        out_type: the dtype of the tensor, which must be that of the message.
        name: name of the operation.

    Returns:
        A tensor of unknown shape. When it runs it raises InvalidArgumentError if `serialized` is
        no TensorProto, or one of another dtype.
    """
    result: Tensor = create_op("ParseTensor", [serialized], {"out_type": out_type}, name)
    return result


@export("serialize_tensor", "io.serialize_tensor")
def serialize_tensor(tensor: Any, name: str | None = None) -> Tensor:
    """The serialized TensorProto of a tensor: a string scalar, which `parse_tensor` reads."""
    result: Tensor = create_op("SerializeTensor", [tensor], None, name)
    return result


@export("decode_compressed", "io.decode_compressed")
def decode_compressed(bytes: Any, compression_type: str = "", name: str | None = None) -> Tensor:
    """The data of compressed strings.

    Args:
        bytes: a string tensor.
        compression_type: "GZIP", "ZLIB", or "" for strings that are not compressed.
        name: name of the operation.

    Returns:
        A string tensor of the same shape. When it runs it raises DataLossError for damaged data.
    """
    attrs = {"compression_type": compression_type}
    result: Tensor = create_op("DecodeCompressed", [bytes], attrs, name)
    return result
