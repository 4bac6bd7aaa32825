"""Strings into tensors: raw bytes, CSV records, serialized tensors, compressed data."""

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.csv_records import fields_of
from tfsession.graph.create import create_op
from tfsession.testing import (
    Row,
    case_name,
    check_row,
    floats,
    row_cases,
    strings,
    value,
)

NUMBERS = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "uint16",
           "int32", "int64", "complex64", "complex128")  # fmt: skip
BYTES = strings(bytes(range(1, 17)), bytes(range(17, 33)))


def raw(dtype, **kwargs):
    return lambda tf, x: tf.decode_raw(x, getattr(tf, dtype), **kwargs)


def padded(tf, strings, dtype, size, little_endian=True):
    op = tf.raw_ops.DecodePaddedRaw if hasattr(tf, "raw_ops") else None
    if op is not None:
        return op(
            input_bytes=strings, fixed_length=size, out_type=dtype, little_endian=little_endian
        )
    attrs = {"out_type": dtype, "little_endian": little_endian}
    return create_op("DecodePaddedRaw", [strings, size], attrs)


RAW = [
    row
    for dtype in NUMBERS
    for row in (
        Row("DecodeRaw", raw(dtype), [BYTES], label=dtype),
        Row("DecodeRaw", raw(dtype, little_endian=False), [BYTES], label=f"{dtype}-big"),
    )
]
CSV = strings(b"1,2.5,abc,-9,1e300", b'-3,,"x,""y\n""",, inf ')


def csv(tf, x, **kwargs):
    defaults = [[0], [1.5], ["z"], tf.constant([7], tf.int64), tf.constant(2.0, tf.float64)]
    return tf.decode_csv(x, defaults, **kwargs)


ROWS = [
    *RAW,
    Row("DecodeRaw", raw("int16"), [strings(b"", b"", shape=[2, 1])], label="empty"),
    Row("DecodeRaw", raw("int16"), [strings(shape=[0, 3])], label="no-strings"),
    Row("DecodeRaw", raw("uint8"), [strings(b"abc", shape=[])], label="scalar",
        reference=lambda x: np.frombuffer(b"abc", np.uint8)),
    Row("DecodePaddedRaw", lambda tf, x: padded(tf, x, tf.int16, 4),
        [strings(b"\1\0\2\0\3", b"\3")], label="cut-and-filled",
        reference=lambda x: np.array([[1, 2], [3, 0]], np.int16)),
    Row("DecodePaddedRaw", lambda tf, x: padded(tf, x, tf.float32, 8, False),
        [strings(bytes(range(60, 68)), b"\x40", shape=[2, 1])], label="big"),
    Row("DecodeCSV", csv, [CSV]),
    Row("DecodeCSV", lambda tf, x: tf.decode_csv(x, [3, "d"], na_value="NA"),
        [strings(b"NA,NA", b",", b" +7 , ", shape=[3, 1])], label="missing"),
    Row("DecodeCSV", lambda tf, x: tf.decode_csv(x, [["a"], ["b"]], field_delim="|",
                                                 select_cols=[1, 3], name="n"),
        [strings(b"1|2|3|4", b"\n|'|\"\"|\"x|y\"|\"")], label="columns"),
    Row("DecodeCSV", lambda tf, x: tf.decode_csv(x, [["a"], ["b"]], use_quote_delim=False),
        [strings(b'"1,2"', b',""')], label="no-quotes"),
    Row("DecodeCSV", lambda tf, x: tf.decode_csv(x, [[1.0]] * 4),
        [strings(b".5,-5.,0x1p3,1e-400", b"nan,infinity,+1E2,007")], label="forms"),
    Row("DecodeCSV", lambda tf, x: tf.decode_csv(x, [[1]]), [strings(shape=[0])], label="none"),
    Row("DecodeCompressed", lambda tf, x: tf.io.decode_compressed(x, "GZIP"),
        [strings(gzip.compress(b"abc" * 9), gzip.compress(b"") * 2)], label="gzip",
        reference=lambda x: np.array([b"abc" * 9, b""], object)),
    Row("DecodeCompressed", lambda tf, x: tf.io.decode_compressed(x, "ZLIB"),
        [strings(zlib.compress(b"abc"), zlib.compress(b"d" * 999)[:-6], shape=[2, 1])],
        label="zlib"),
    Row("DecodeCompressed", lambda tf, x: tf.io.decode_compressed(x), [strings(b"abc")]),
    Row("ParseTensor", lambda tf, x: tf.parse_tensor(tf.serialize_tensor(x), x.dtype),
        [floats(2, 3)], dtypes=(*NUMBERS, "bool"), reference=lambda x: x),
    Row("ParseTensor", lambda tf, x: tf.parse_tensor(tf.serialize_tensor(x), x.dtype),
        [strings(b"", b"\xff", shape=[1, 2])], label="strings", reference=lambda x: x),
    Row("SerializeTensor", "serialize_tensor", [floats(2, 3)], dtypes=NUMBERS),
    Row("SerializeTensor", "serialize_tensor", [value(3)], dtypes=("int32",), label="scalar"),
    Row("SerializeTensor", "serialize_tensor", [floats(0, 2)], label="empty"),
    Row("SerializeTensor", "serialize_tensor", [strings(b"a", b"")], label="strings"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


REFUSED = [
    (lambda x: tf.decode_raw(x, tf.int16), [b"\1\0\2\0", b"\3\0"],
     "DecodeRaw requires input strings to all be the same size, but element 1 has size 4 != 2"),
    (lambda x: tf.decode_raw(x, tf.int16), b"abc",
     "Input to DecodeRaw has length 3 that is not a multiple of 2, the size of int16"),
    (lambda x: padded(tf, x, tf.int16, tf.placeholder_with_default(0, [])), b"a",
     "fixed_length (0) must be greater than zero."),
    (lambda x: padded(tf, x, tf.int16, tf.placeholder_with_default(3, [])), b"a",
     "fixed_length (3) must be a multiple of the size of out_type (2)"),
    (lambda x: tf.decode_csv(x, [[0], [1]])[1], b"1,2,3", "Expect 2 fields but have 3 in record 0"),
    (lambda x: tf.decode_csv(x, [[0], [1]])[1], [b"1,2", b"1"],
     "Expect 2 fields but have 1 in record 1"),
    (lambda x: tf.decode_csv(x, [[0]])[0], b"", "Expect 1 fields but have 0 in record 0"),
    (lambda x: tf.decode_csv(x, [[0], tf.constant([], tf.int32)])[1], [b"1,2", b"1,"],
     "Field 1 is required but missing in record 1!"),
    *[(lambda x, d=d: tf.decode_csv(x, [tf.constant([0], d)])[0], [b"1", text],
       f"Field 0 in record 1 is not a valid {name}: {text.decode()}")
      for d, name, text in [(tf.int32, "int32", b"1x"), (tf.int32, "int32", b"2147483648"),
                            (tf.int32, "int32", b"1_0"), (tf.int32, "int32", b"0x7"),
                            (tf.int64, "int64", b"9223372036854775808"), (tf.int64, "int64", b"-"),
                            (tf.float32, "float", b"1_0"), (tf.float32, "float", b"2z"),
                            (tf.float64, "double", b"1d")]],
    *[(lambda x: tf.decode_csv(x, [["a"], ["b"]])[0], text, message) for text, message in [
        (b'a"b,c', "Unquoted fields cannot have quotes/CRLFs inside"),
        (b"a,b\n", "Unquoted fields cannot have quotes/CRLFs inside"),
        (b'"a"b,c', "Quote inside a string has to be escaped by another quote"),
        (b'a,"c"\n', "Quote inside a string has to be escaped by another quote"),
        (b'"ab,c', "Quoted field has to end with quote followed by delim or end"),
    ]],
    (lambda x: tf.decode_csv(x, [[0]], field_delim="||")[0], b"1", "field_delim should"),
    (lambda x: tf.parse_tensor(x, tf.int64), tf.make_tensor_proto([1, 2]).SerializeToString(),
     "Type mismatch between parsed tensor (int32) and dtype (int64)"),
    (lambda x: tf.parse_tensor(x, tf.int64), b"junk",
     "Could not parse `serialized` as TensorProto, base64: anVuaw=="),
    (lambda x: tf.parse_tensor(x, tf.int64), [b""],
     "Expected `serialized` to be a scalar, got shape: [1]"),
    (lambda x: tf.io.decode_compressed(x, "XX"), b"", "are supported compressions"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "given", "message"), REFUSED)
def test_what_is_refused(fresh_graph, build, given, message):
    text = tf.placeholder(tf.string)
    result = build(text)
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            session.run(result, {text: given})
        assert message in caught.value.message


def test_damaged_compression_is_data_loss(fresh_graph):
    for kind in ("GZIP", "ZLIB"):
        with tf.Session() as session, pytest.raises(tf.errors.DataLossError, match="inflate"):
            session.run(tf.io.decode_compressed(b"abcdef", kind))


def test_arguments_are_checked(fresh_graph):
    for columns, message in [
        ([2, 0], "select_cols is not strictly increasing"),
        ([-1, 0], "select_cols contains negative values"),
        ([0], "Length of select_cols and record_defaults"),
    ]:
        with pytest.raises(ValueError, match=message):
            tf.decode_csv("1,2,3", [[0], [0]], select_cols=columns)
    with pytest.raises(ValueError, match="Cannot specify both 'bytes' and 'input_bytes'"):
        tf.decode_raw("a", tf.uint8, bytes="a")
    with pytest.raises(ValueError, match="missing 1 positional argument: 'out_type'"):
        tf.decode_raw("a")
    assert tf.decode_raw(bytes="a", out_type=tf.uint8).shape.as_list() == [None]


@given(
    st.lists(st.binary(max_size=8).filter(lambda f: f), min_size=1, max_size=5),
    st.sampled_from([b",", b"\t", b"x"]),
)
def test_quoted_fields_come_back(fields, delimiter):
    record = delimiter.join(b'"%s"' % field.replace(b'"', b'""') for field in fields)
    assert fields_of(record, delimiter, True, []) == fields
    # What stands behind the last wanted field is not looked at.
    assert fields_of(record + delimiter + b'"', delimiter, True, [0]) == fields[:1]
