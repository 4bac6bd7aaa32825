"""Texts as code points, and back."""

import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, row_cases, strings

TEXTS = strings(
    "aé".encode(), b"", b"\xff\xfea", b"\xe2\x82", b"\xe2\x82a\xf0\x9f\x98\x80", b"\x01b"
)
WIDE = strings("aé😀".encode("utf-16-be"), b"")


ROWS = [
    *(Row("UnicodeTranscode", "strings.unicode_transcode", [TEXTS], label=f"{errors} {encoding}",
          kwargs={"input_encoding": "UTF-8", "output_encoding": encoding, "errors": errors})
      for errors in ("replace", "ignore") for encoding in ("UTF-8", "UTF-16-BE", "UTF-32-BE")),
    Row("UnicodeTranscode", "strings.unicode_transcode", [WIDE], label="wide",
        kwargs={"input_encoding": "UTF-16-BE", "output_encoding": "UTF-8"}),
    Row("UnicodeTranscode", "strings.unicode_transcode", [TEXTS], label="controls",
        kwargs={"input_encoding": "ISO-8859-1", "output_encoding": "UTF-8",
                "replace_control_characters": True, "replacement_char": 63}),
]  # fmt: skip
COVERED = ["UnicodeDecode", "UnicodeDecodeWithOffsets", "UnicodeEncode"]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case):
    check_row(*case, "/cpu:0")


def _run(*tensors):
    with tf.Session() as session:
        return [v.to_list() if hasattr(v, "to_list") else v.tolist() for v in session.run(tensors)]


def test_code_points_and_their_places(fresh_graph):
    texts = TEXTS.array(None, "string")
    points, offsets = tf.strings.unicode_decode_with_offsets(tf.constant(texts), "UTF-8")
    assert _run(points, offsets) == [
        [[97, 233], [], [65533, 65533, 97], [65533], [65533, 97, 128512], [1, 98]],
        [[0, 1], [], [0, 1, 2], [0], [0, 2, 3], [0, 1]],
    ]
    ignored = tf.strings.unicode_decode(tf.constant(texts), "UTF-8", errors="ignore")
    nested = tf.strings.unicode_decode([["a", "bc"]], "UTF-8")
    alone = tf.strings.unicode_decode("é", "UTF-8")
    assert _run(ignored, nested, alone) == [
        [[97, 233], [], [97], [], [97, 128512], [1, 98]],
        [[[97], [98, 99]]],
        [233],
    ]


def test_texts_of_code_points(fresh_graph):
    rows = tf.RaggedTensor.from_row_splits([97, 233, 0xD800, 0x110000, 0x1F600, -1], [0, 2, 6])
    assert _run(
        tf.strings.unicode_encode(rows, "UTF-8"),
        tf.strings.unicode_encode(rows, "UTF-16-BE", errors="ignore"),
    ) == [
        ["aé".encode(), "\ufffd\ufffd😀\ufffd".encode()],
        ["aé".encode("utf-16-be"), "😀".encode("utf-16-be")],
    ]
    with tf.Session() as session:
        assert session.run(tf.strings.unicode_encode([97, 98], "UTF-8")) == b"ab"


def test_failures(fresh_graph):
    rows = tf.RaggedTensor.from_row_splits([0xD800], [0, 1])
    splits = create_op("UnicodeEncode", [[97], [0, 2]], {"output_encoding": "UTF-8"})
    for bad, text in (
        (tf.strings.unicode_decode("\udcff".encode("utf-8", "surrogateescape"), "UTF-8", "strict"),
         "Invalid formatting"),
        (tf.strings.unicode_decode("a", "none such"), "Could not create converter"),
        (tf.strings.unicode_encode(rows, "UTF-8", "strict"), "Code point is out of range"),
        (splits, "input_splits must go from 0"),
    ):  # fmt: skip
        with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
            session.run(bad)
    with pytest.raises(ValueError, match="must be statically known"):
        tf.strings.unicode_decode(tf.placeholder(tf.string), "UTF-8")
