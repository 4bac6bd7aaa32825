"""Summaries: the messages that a step gives of its tensors."""

import re

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases, strings, value

REAL = ["float16", "bfloat16", "float32", "float64", "int8", "int64", "uint8", "uint32", "bool"]
NUMBERS = REAL[:-1]
PNG = "another PNG encoder: tests/conformance/test_summaries.py compares pixels"
SOUNDS = floats(4, 7, 2, low=-1.5, high=1.5)


def message(*values):
    """The serialized summary as an array, as a step gives it."""
    return np.array(tf.Summary(value=values).SerializeToString(), object)


def scalar_summary(x):
    with np.errstate(over="ignore"):
        return message(tf.Summary.Value(tag="s", simple_value=float(np.float32(x))))


def histogram_summary(x):
    """By the definition, one value after another."""
    ups = [1e-12]
    while ups[-1] < 1e20:
        ups.append(ups[-1] * 1.1)
    limits = [-x for x in ups[-2::-1]] + [0.0] + ups[:-1]
    limits = [-np.finfo(float).max, *limits, np.finfo(float).max]
    counts, total, squares = [0] * len(limits), 0.0, 0.0
    numbers = x.astype(np.float64).ravel().tolist()
    for number in numbers:
        counts[next(i for i, limit in enumerate(limits) if limit > number)] += 1
        total += number
        squares += number * number
    last = len(limits) - 1
    kept = [i for i, c in enumerate(counts) if c or i == last or counts[i + 1]]
    proto = tf.HistogramProto(
        min=min(numbers), max=max(numbers), num=len(numbers), sum=total, sum_squares=squares,
        bucket_limit=[limits[i] for i in kept], bucket=[counts[i] for i in kept],
    )  # fmt: skip
    return message(tf.Summary.Value(tag="h", histo=proto))


ROWS = [
    Row("ScalarSummary", lambda tf, x: tf.summary.scalar("s", x), [floats()], dtypes=NUMBERS,
        reference=scalar_summary),
    Row("ScalarSummary", lambda tf, x: tf.summary.scalar("a b/c:", x, family="/f!"), [floats()],
        label="names"),
    Row("HistogramSummary", lambda tf, x: tf.summary.histogram("h", x), [floats(3, 50, high=60.0)],
        dtypes=NUMBERS, reference=histogram_summary),
    Row("HistogramSummary", lambda tf, x: tf.summary.histogram(None, x),
        [value([0.0, -0.0, 1e-30, -1e-12, 1e20, 3e38, -3e38, 1e19, 1.1e-12])], label="ends"),
    Row("HistogramSummary", lambda tf, x: tf.summary.histogram("h", x), [floats(0)],
        label="empty"),
    Row("ImageSummary", lambda tf, x: tf.summary.image("i", x, 2), [floats(3, 5, 4, 3)],
        dtypes=["float16", "float32", "float64", "uint8"], oracle=PNG),
    Row("AudioSummaryV2", lambda tf, x: tf.summary.audio("a", x, 44100.5, 2), [SOUNDS]),
    Row("AudioSummaryV2", lambda tf, x: tf.summary.audio("a", x, [2.5], 1, family="f"),
        [value([[0.5 / 32768, -0.5 / 32768, 1.5 / 32768, 0.49999 / 32768, np.nan, np.inf, -9.0]])],
        label="rounding"),
    Row("AudioSummaryV2", lambda tf, x: tf.summary.audio("a", x, 1), [floats(0, 2)],
        label="empty"),
    Row("TensorSummaryV2", lambda tf, x: tf.summary.tensor_summary("t", x, "d", family="f"),
        [floats(2, 3)], dtypes=[*REAL, "complex64"]),
    Row("TensorSummaryV2", lambda tf, x: tf.summary.tensor_summary("t", x, display_name="n"),
        [floats()], label="scalar"),
    Row("TensorSummaryV2", lambda tf, x: tf.summary.text("t", x), [strings(b"a", b"\xff")],
        dtypes=["string"], label="text"),
    Row("MergeSummary", lambda tf, x, y: tf.summary.merge(
        [tf.summary.scalar("a", x), tf.summary.histogram("b", y)]), [floats(), ints(9)]),
    Row("MergeSummary", lambda tf, x: [tf.summary.scalar("a", x), tf.summary.merge_all(name="m")],
        [floats()], label="all"),
]  # fmt: skip
COVERED = ["TensorSummary"]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


ERRORS = [
    (lambda: tf.summary.scalar("s", [1.0, 2.0]),
     r"tags and values are not the same shape: \[\] != \[2\] \(tag 's'\)"),
    (lambda: create_op("ScalarSummary", [["a", "b"], [[1.0, 2.0]]]), r"\[2\] != \[1,2\]\n"),
    (lambda: tf.summary.histogram("h", [1.0, np.nan, np.inf]),
     "Nan in summary histogram for: h"),
    (lambda: tf.summary.histogram("h", [-np.inf, np.nan]), "Infinity in Histogram for: h"),
    (lambda: create_op("HistogramSummary", [["h"], [1.0]]), "tags must be scalar"),
    (lambda: tf.summary.image("i", np.ones([2, 3, 3], np.float32)),
     r"Tensor must be 4-D with last dim 1, 3, or 4, not \[2,3,3\]"),
    (lambda: tf.summary.image("i", np.ones([2, 3, 3, 2], np.uint8)), r"not \[2,3,3,2\]"),
    (lambda: tf.summary.image("i", np.ones([0, 3, 0, 1], np.uint8)), "must have non-zero dims"),
    (lambda: create_op("ImageSummary", ["i", np.ones([1, 2, 2, 3], np.float32)],
                       {"bad_color": tf.make_tensor_proto(np.zeros(2, np.uint8))}),
     "expected depth <= bad_color.size, got depth = 3, bad_color.size = 2"),
    (lambda: create_op("ImageSummary", ["i", np.ones([1, 2, 2, 3], np.float32)],
                       {"bad_color": tf.make_tensor_proto([1, 2, 3])}), "must be uint8"),
    (lambda: create_op("ImageSummary", ["i", np.ones([1, 2, 2, 3], np.float32)],
                       {"bad_color": tf.make_tensor_proto(np.array(1, np.uint8))}),
     "must be a vector"),
    (lambda: tf.summary.audio("a", [1.0], 8), r"Tensor must be 3-D or 2-D, got: \[1\]"),
    (lambda: tf.summary.audio("a", [[1.0]], 0), "sample_rate must be > 0"),
    (lambda: tf.summary.audio("a", [[1.0]], np.nan), "sample_rate must be > 0"),
    (lambda: tf.summary.audio("a", [[1.0]], 1e12), r"sample_rate must be in \(0, 2\^32\)"),
    (lambda: tf.summary.audio("a", [[1.0]], [1.0, 2.0]), "rank-0 or contain a single value"),
    (lambda: tf.summary.audio("a", np.ones([1, 0], np.float32), 8), "audio is null"),
    (lambda: tf.summary.audio("a", np.ones([1, 1, 65536], np.float32), 8), "num_channels"),
    (lambda: tf.summary.merge(["no summary"]), "Could not parse one of the summary inputs"),
    (lambda: tf.summary.merge([tf.summary.scalar("z", 1.0)] * 2),
     "Duplicate tag z found in summary inputs"),
    (lambda: create_op("TensorSummaryV2", [["t"], 1.0, ""]), "tag must be scalar"),
    (lambda: create_op("TensorSummaryV2", ["t", 1.0, [""]]), "metadata must be scalar"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "text"), ERRORS)
def test_what_a_step_refuses(fresh_graph, build, text):
    summary = build()
    fine = tf.summary.scalar("fine", 1.0)
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            session.run(summary)
        assert re.search(text, raised.value.message)
        assert tf.Summary.FromString(session.run(fine)).value[0].simple_value == 1.0


def test_collections_and_scopes(fresh_graph):
    with tf.name_scope("outer"):
        a = tf.summary.scalar("a", 1.0)
        b = tf.summary.scalar("a", 2.0, family="group")
        c = tf.summary.scalar("c", 3.0, collections=["mine"])
    assert tf.get_collection(tf.GraphKeys.SUMMARIES) == [a, b]
    assert tf.get_collection("mine") == [c]
    assert tf.summary.merge_all("nothing") is None
    assert tf.summary.merge_all(scope="other") is None
    merged = tf.summary.merge_all(scope="outer")
    kept = tf.summary.merge([a], collections=["merged"], name="m n")
    assert tf.get_collection("merged") == [kept]
    assert kept.op.name == "m_n/m_n"
    with tf.Session() as session:
        tags = [v.tag for v in tf.Summary.FromString(session.run(merged)).value]
    assert tags == ["outer/a", "group/outer/group/a"]


def test_the_largest_numbers(fresh_graph):
    largest = np.finfo(np.float64).max
    with tf.Session() as session:
        summary = session.run(tf.summary.histogram("h", np.array([largest, -largest])))
    histogram = tf.Summary.FromString(summary).value[0].histo
    assert (histogram.min, histogram.max, histogram.num) == (-largest, largest, 2)
    assert histogram.bucket_limit[-1] == largest
    assert sum(histogram.bucket) == 2


def test_tags_are_texts(fresh_graph):
    summary = create_op("ScalarSummary", [np.array([b"\xff", b"b"], object), [1.0, 2.0]])
    with tf.Session() as session:
        found = tf.Summary.FromString(session.run(summary))
    assert [v.tag for v in found.value] == ["\ufffd", "b"]


def test_bad_pixels_are_red(fresh_graph):
    pixels = np.array([[[[np.nan, 0, 0], [1, 2, 4]]], [[[-1, 0, 1], [0.5, 0, np.inf]]]], np.float32)
    with tf.Session() as session:
        summary = tf.Summary.FromString(session.run(tf.summary.image("i", pixels)))
        again = np.array([[[[255, 0, 0], [63, 127, 255]]], [[[1, 128, 255], [255, 0, 0]]]])
        wanted = tf.summary.image("i", again.astype(np.uint8))
        assert [v.image for v in summary.value] == [
            v.image for v in tf.Summary.FromString(session.run(wanted)).value
        ]


def test_the_tensor_summary_of_old_graphs(fresh_graph):
    attrs = {"description": b'{"typeHint": "x"}', "labels": [b"l"], "display_name": b"n"}
    summary = create_op("TensorSummary", [tf.constant([1, 2])], attrs, "t")
    with tf.Session() as session:
        (found,) = tf.Summary.FromString(session.run(summary)).value
    assert (found.node_name, found.tag) == ("t", "")
    assert tf.make_ndarray(found.tensor).tolist() == [1, 2]


def test_metadata_is_not_changed(fresh_graph):
    metadata = tf.SummaryMetadata(display_name="mine")
    tf.summary.tensor_summary("t", 1.0, "other", summary_metadata=metadata, display_name="n")
    assert metadata == tf.SummaryMetadata(display_name="mine")
    with pytest.raises(ValueError, match="to have dtype string"):
        tf.summary.text("t", tf.constant(1.0))
