"""Runs of neighbouring texts."""

import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, row_cases, strings, value

WORDS = strings(b"a", b"b", b"cd", b"\xc3\xa9", b"")
SPLITS = value([0, 3, 3, 5], "int64")


def ngrams(tf, words, splits, widths, pads=0, keep=False):
    return tf.raw_ops.StringNGrams(
        data=words, data_splits=splits, separator="|", ngram_widths=widths, left_pad="<",
        right_pad=">>", pad_width=pads, preserve_short_sequences=keep,
    )  # fmt: skip


ROWS = [
    Row("StringNGrams", ngrams, [WORDS, SPLITS],
        {"widths": widths, "pads": pads, "keep": keep}, label=f"{widths}-{pads}-{keep}")
    for widths in ([2], [1, 3], [4], [])
    for pads, keep in ((0, False), (0, True), (1, True), (5, False), (-1, False))
] + [
    Row("StringNGrams", ngrams, [WORDS, value([0, 5], "int32")], {"widths": [2]}, label="int32"),
    Row("StringNGrams", ngrams, [strings(), value([], "int64")], {"widths": [2]}, label="nothing"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("splits", "widths", "text"),
    [
        ([1, 2], [1], "First split value must be 0, got 1"),
        ([0, 1], [1], "Last split value must be data size. Expected 2, got 1"),
        ([0, 3], [1], r"Invalid split value 3, must be in \[0, 2\]"),
        ([0, 2, 1], [1], r"Invalid split value 1, must be in \[2, 2\]"),
        ([], [1], "Last split value"),
        ([0, 2], [0], "must contain positive values"),
    ],
)
def test_rows_that_are_none(fresh_graph, splits, widths, text):
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(ngrams(tf, tf.constant(["a", "b"]), tf.constant(splits, tf.int64), widths))


def test_more_than_the_machine_has_room_for(fresh_graph):
    """A million runs of a million words: refused before they are made."""
    width = 1 << 20
    grams = ngrams(tf, tf.constant(["a"]), tf.constant([0, 1], tf.int64), [width], -1)
    with tf.Session() as session, pytest.raises(tf.errors.ResourceExhaustedError, match="OOM"):
        session.run(grams)
