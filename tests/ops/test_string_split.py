"""Texts cut into parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, row_cases, strings

WORDS = strings(b"a b", b"", b" c  d ", b"<>x<>", b"\x0b\x1cy \xc3\xa9")


def _parts(sparse):
    return sparse.indices, sparse.values, sparse.dense_shape


ROWS = [
    Row("StringSplit", lambda tf, x: _parts(tf.string_split(x)), [WORDS]),
    Row("StringSplit", lambda tf, x: _parts(tf.string_split(x, "<> ", skip_empty=False)), [WORDS],
        label="set"),
    Row("StringSplit", lambda tf, x: _parts(tf.string_split(x, delimiter="")), [WORDS],
        label="bytes"),
    Row("StringSplit", lambda tf, x: tf.string_split(x, result_type="RaggedTensor").values, [WORDS],
        label="ragged", same_graph="ragged tensors have fewer operations here"),
    Row("StringSplitV2", lambda tf, x: _parts(tf.strings.split(x)), [WORDS]),
    Row("StringSplitV2", lambda tf, x: _parts(tf.strings.split(x, "<>", 1)), [WORDS], label="one"),
    Row("StringSplitV2", lambda tf, x: _parts(tf.strings.split(x, maxsplit=1)), [WORDS],
        label="one word"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@settings(max_examples=200, deadline=None)
@given(st.text("ab ", max_size=9), st.sampled_from(["", "a", "ab", "  "]), st.integers(-2, 4))
def test_parts_are_those_of_python(text, sep, maxsplit):
    """But for an empty rest after the last allowed cut, which counts, as in TensorFlow."""
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(tf.strings.split([text], sep, maxsplit)).values.tolist()
    words = text.encode().split(sep.encode() or None, max(maxsplit, -1))
    if sep == "" and maxsplit == 0:
        words = [text.encode()]
    elif sep == "" and 0 < maxsplit == len(words):
        words.append(b"")
    assert found == words


def test_a_matrix(fresh_graph):
    texts = tf.constant([["a b", ""], ["c", "d e f"]])
    sparse, ragged = tf.strings.split(texts), tf.strings.split(texts, result_type="RaggedTensor")
    with tf.Session() as session:
        found = session.run(sparse)
        assert found.indices.tolist() == [
            [0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 2],
        ]  # fmt: skip
        assert found.values.tolist() == [b"a", b"b", b"c", b"d", b"e", b"f"]
        assert found.dense_shape.tolist() == [2, 2, 3]
        nested = [[[b"a", b"b"], []], [[b"c"], [b"d", b"e", b"f"]]]
        assert session.run(ragged).to_list() == nested
        again = tf.strings.split(ragged, "e", result_type="RaggedTensor")
        assert session.run(again).to_list()[1][1] == [[b"d"], [b"", b""], [b"f"]]
        cut = tf.strings.bytes_split(texts)
        assert session.run(cut).to_list()[0] == [[b"a", b" ", b"b"], []]
        assert session.run(tf.strings.bytes_split("ab")).tolist() == [b"a", b"b"]


def test_scalars_and_nothing(fresh_graph):
    with tf.Session() as session:
        assert session.run(tf.strings.split("a b")).values.tolist() == [b"a", b"b"]
        for op in (tf.string_split, tf.strings.split):
            none = session.run(op(tf.zeros([0], tf.string)))
            assert (none.indices.shape, none.dense_shape.tolist()) == ((0, 2), [0, 0])
            assert none.indices.dtype == none.dense_shape.dtype == np.int64


def test_failures(fresh_graph):
    def hidden(v):
        return tf.placeholder_with_default(tf.constant(v), None)

    with tf.Session() as session:
        for bad, text in (
            (tf.string_split(hidden("a")), "input must be a vector"),
            (tf.string_split(["a"], hidden(["b"])), "delimiter must be a scalar, got shape: .1."),
        ):
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(bad)
    with pytest.raises(ValueError, match="Shape must be rank 1 but is rank 2"):
        tf.string_split([["a"]])
    for op in (tf.string_split, tf.strings.split):
        with pytest.raises(ValueError, match="result_type must be 'RaggedTensor'"):
            op(["a"], result_type="list")
