"""Texts: joined, cut, trimmed, measured, in base64."""

import base64

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, ints, row_cases, strings, value

WORDS = strings(b"", b" a b ", b"\t\n\x0b\x0c\r\x1cX", "Éß ΑΣ".encode(), b"\x80\xffz", b"plain",
                shape=[2, 3])  # fmt: skip


def _of_each(function):
    return lambda x, **_: np.frompyfunc(function, 1, 1)(x)


def _join_all(x, axis, **_):
    return np.array(b"-".join(x.transpose(axis[::-1]).ravel().tolist()), object)


ROWS = [
    Row("StringJoin", lambda tf, a, b, c: tf.strings.join([a, b, c], "-"),
        [WORDS, strings(b"x", shape=[]), WORDS], reference=lambda a, b, c: a + b"-x-" + a),
    Row("StringJoin", lambda tf: tf.string_join([]), [], label="nothing",
        reference=lambda: np.array(b"", object)),
    Row("ReduceJoin", "reduce_join", [WORDS], kwargs={"axis": [0, 1], "separator": "-"},
        reference=_join_all),
    Row("ReduceJoin", "reduce_join", [WORDS], kwargs={"axis": [1, 0], "separator": "-"},
        reference=_join_all, label="rows first"),
    Row("ReduceJoin", "strings.reduce_join", [WORDS], label="all",
        reference=lambda x: np.array(b"".join(x.ravel().tolist()), object)),
    Row("ReduceJoin", "strings.reduce_join", [WORDS], label="kept",
        kwargs={"axis": -1, "keepdims": True},
        reference=lambda x, **_: np.array([[b"".join(row)] for row in x.tolist()], object)),
    Row("UnsortedSegmentJoin", "strings.unsorted_segment_join",
        [WORDS, value([2, 0], "int64"), value(3, "int32")], kwargs={"separator": ":"},
        constants=[2], reference=lambda x, *_, **k: np.stack([x[1], x[1] * 0, x[0]])),
    Row("UnsortedSegmentJoin", "strings.unsorted_segment_join",
        [WORDS, ints(2, 3, low=0, high=2), value(2, "int32")], label="elements"),
    Row("Substr", "substr", [strings(b"hello", b"worl", b"\x80z"), value([0, -3, 1], "int32"),
                             value([2, 5, -1], "int32")],
        reference=lambda *_: np.array([b"he", b"orl", b"z"], object)),
    Row("Substr", "strings.substr", [strings("aéßz".encode(), b"\x80\x80a\xc3\xa9"),
                                     value([1, -2], "int64"), value([2, 1], "int64")],
        kwargs={"unit": "UTF8_CHAR"}, label="characters",
        reference=lambda *_, **k: np.array(["éß".encode(), b"a"], object)),
    Row("Substr", "substr", [strings(b"ab", b"cd", b"ef", b"gh", shape=[2, 2]),
                             value([[0], [1]], "int32"), value([[1], [1]], "int32")],
        label="broadcast", reference=lambda *_: np.array([[b"a", b"c"], [b"f", b"h"]], object)),
    Row("StringLength", "strings.length", [WORDS],
        reference=lambda x: np.vectorize(len, [np.int32])(x)),
    Row("StringLength", "strings.length", [WORDS], kwargs={"unit": "UTF8_CHAR"},
        label="characters",
        reference=lambda x, **_: np.array([[0, 5, 7], [5, 2, 5]], np.int32)),
    Row("StringStrip", "strings.strip", [WORDS], reference=_of_each(bytes.strip)),
    Row("StringLower", "strings.lower", [WORDS], reference=_of_each(bytes.lower)),
    Row("StringLower", "strings.lower", [WORDS], kwargs={"encoding": "utf-8"}, label="utf-8"),
    Row("StringUpper", "strings.upper", [WORDS], reference=_of_each(bytes.upper)),
    Row("StringUpper", "strings.upper", [WORDS], kwargs={"encoding": "utf-8"}, label="utf-8"),
    Row("EncodeBase64", "encode_base64", [WORDS], kwargs={"pad": True},
        reference=_of_each(base64.urlsafe_b64encode)),
    Row("EncodeBase64", "io.encode_base64", [WORDS], label="bare"),
    Row("DecodeBase64", "decode_base64", [strings(b"", b"YQ", b"YQ==", b"__79", b"YR")],
        reference=lambda _: np.array([b"", b"a", b"a", b"\xff\xfe\xfd", b"a"], object)),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


E = tf.errors
# (program, error class, what its text says)
FAILURES = [
    (lambda p: tf.strings.join([p(["a"]), p(["b", "c"])]), E.InvalidArgumentError,
     r"Input shapes do not match: \[1\] vs. \[2\]"),
    (lambda p: tf.reduce_join(p(["a"]), p([0, 0])), E.InvalidArgumentError,
     "Duplicate reduction dimension 0"),
    (lambda p: tf.reduce_join(p(["a"]), p(1)), E.OutOfRangeError, "Invalid reduction dimension 1"),
    (lambda p: tf.strings.unsorted_segment_join(p(["a"]), p([2]), 2), E.InvalidArgumentError,
     "segment_ids are not allowed to exceed"),
    (lambda p: tf.strings.unsorted_segment_join(p(["a"]), p([-1]), 2), E.InvalidArgumentError,
     "or to have negative values"),
    (lambda p: tf.strings.unsorted_segment_join(p(["a"]), p([0]), p(-2)), E.InvalidArgumentError,
     "Number of segments must be non-negative but got -2"),
    (lambda p: tf.strings.unsorted_segment_join(p(["a", "b"]), p([0]), p(2)),
     E.InvalidArgumentError, "Segment dimension is 1 while"),
    (lambda p: tf.substr(p(["hello"]), p(6), p(1)), E.InvalidArgumentError,
     "pos 6 out of range for string b'hello' at index 0"),
    (lambda p: tf.substr(p(["hello"]), p(-6), p(1), unit="UTF8_CHAR"), E.InvalidArgumentError,
     "pos -6 out of range for string at index 0"),
    (lambda p: tf.substr(p(["hello"]), p([0, 1]), p([1])), E.InvalidArgumentError,
     r"pos and len should have the same shape, got: \[2\] vs. \[1\]"),
    (lambda p: tf.substr(p([["a"]]), p([[[0]]]), p([[[1]]])), E.UnimplementedError,
     "Substr broadcast not implemented for 3 dimensions"),
    (lambda p: tf.strings.lower(p("a"), "ascii"), E.InvalidArgumentError,
     "only utf-8 or '' .no encoding. is supported, received ascii"),
    *((lambda p, t=t: tf.decode_base64(p(t)), E.InvalidArgumentError,
       "Base64 string length cannot be 1 modulo 4" if len(t) % 4 == 1 else
       "Invalid character found in base64") for t in ("YQ=", "//79", "Y", "Y!Q", "====", "YWI=x")),
]  # fmt: skip


@pytest.mark.parametrize("row", FAILURES, ids=range(len(FAILURES)))
def test_failures(fresh_graph, row):
    program, kind, text = row
    bad = program(lambda v: tf.placeholder_with_default(tf.constant(v), None))
    with tf.Session() as session:
        with pytest.raises(kind, match=text):
            session.run(bad)
        assert session.run(tf.strings.strip([" a "])).tolist() == [b"a"]


def test_known_shapes_are_held_to(fresh_graph):
    with pytest.raises(ValueError, match="Dimension 0 in both shapes must be equal"):
        tf.strings.join([["a"], ["b", "c"]])
    with pytest.raises(ValueError, match="pos and len shapes must match"):
        tf.substr(["a"], [0, 1], [1])
    with pytest.raises(ValueError, match="Invalid reduction dimension 2"):
        tf.reduce_join(["a"], 2)
    with pytest.raises(ValueError, match="Cannot specify both"):
        tf.reduce_join(["a"], 0, reduction_indices=0)


def test_empty_tensors(fresh_graph):
    none = tf.zeros([0, 2], tf.string)
    with tf.Session() as session:
        assert session.run(tf.reduce_join(none, 0)).tolist() == [b"", b""]
        assert session.run(tf.reduce_join(none, 1)).tolist() == []
        assert session.run(tf.strings.join([none, "a"])).shape == (0, 2)
        assert session.run(tf.strings.length(none)).shape == (0, 2)
        segments = tf.strings.unsorted_segment_join(none, tf.zeros([0], tf.int32), 2)
        assert session.run(segments).tolist() == [[b"", b""]] * 2
