"""Sums of rows that belong together."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, value


def summed(count):
    def reference(data, ids):
        result = np.zeros((count, *data.shape[ids.ndim :]), data.dtype)
        for place in np.ndindex(*ids.shape):
            if ids[place] >= 0:
                result[ids[place]] += data[place]
        return result

    return reference


def reduced(kind, count, known=None):
    def reference(data, ids=known):
        ids, absent = np.asarray(ids), 1 if kind == "Prod" else 0
        result = np.full((count, *data.shape[1:]), absent, data.dtype)
        for segment in set(ids.tolist()):
            function = getattr(np, kind.lower())
            result[segment] = function(data[ids == segment], axis=0)
        return result

    return reference


def of_two(kind):
    name = f"segment_{kind.lower()}"
    return lambda tf, x: tf.reshape(getattr(tf, name)(x, [0, 0, 1, 1, 1]), [2, 2])


def unsorted(kind, count):
    return lambda tf, x, i: getattr(tf, f"unsorted_segment_{kind.lower()}")(x, i, count)


REAL = ["float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8"]
OWN = "the same gradient by fewer operations"
UNSORTED = value([0, 2, -1, 2, 0], "int32")
ROWS = [
    Row("SegmentSum", "segment_sum", [floats(5, 2), value([0, 0, 2, 2, 2])],
        dtypes=["int32", "int64"], reference=summed(3)),
    Row("SegmentSum", "segment_sum", [floats(4), value([0, 1, 1, 2], "int32")], dtypes=NUMBERS,
        reference=summed(3), label="vector"),
    Row("SegmentSum", "segment_sum", [floats(0, 2), value([], "int32")], label="empty"),
    Row("UnsortedSegmentSum", lambda tf, x, i: tf.unsorted_segment_sum(x, i, 3),
        [floats(5, 2), UNSORTED], dtypes=NUMBERS, reference=summed(3), grad=True),
    Row("UnsortedSegmentSum", lambda tf, x, i: tf.unsorted_segment_sum(x, i, 4),
        [floats(2, 2, 3), value([[0, 3], [3, 1]])], dtypes=["int32", "int64"],
        reference=summed(4), label="matrix of ids"),
    Row("UnsortedSegmentSum", lambda tf, x, i, n: tf.unsorted_segment_sum(x, i, n),
        [floats(5), UNSORTED, value(3, "int64")], label="fed count"),
    Row("UnsortedSegmentSum", lambda tf, x, i: tf.unsorted_segment_sum(x, i, 2),
        [floats(0, 3), value([], "int32")], label="empty"),
    Row("UnsortedSegmentSum", lambda tf, x, i: tf.unsorted_segment_sum(x, i, 2),
        [floats(2, 0), value([1, 0], "int32")], label="empty rows"),
    Row("UnsortedSegmentSum", lambda tf, x, i: tf.unsorted_segment_sum(x, i, 2),
        [floats(), value(1, "int32")], grad=True, label="scalar"),
    *(
        row
        for kind, dtypes in (("Max", REAL), ("Min", REAL), ("Prod", ["float32", "int32"]),
                             ("Mean", ["float32", "float64"]))
        for row in (
            Row(f"Segment{kind}", f"segment_{kind.lower()}",
                [floats(5, 2, low=0.5), value([0, 0, 2, 2, 2])], dtypes=["int32", "int64"],
                reference=reduced(kind, 3) if kind != "Mean" else None),
            Row(f"Segment{kind}", of_two(kind), [floats(5, 2, low=0.5)], dtypes=dtypes, grad=True,
                reference=reduced(kind, 2, [0, 0, 1, 1, 1]), same_graph=OWN, label="known"),
            Row(f"Segment{kind}", f"segment_{kind.lower()}", [floats(0, 2), value([], "int32")],
                label="empty"),
        )
    ),
    *(
        row
        for kind, dtypes in (("Max", REAL), ("Min", REAL), ("Prod", ["float32", "int32"]))
        for row in (
            Row(f"UnsortedSegment{kind}",
                unsorted(kind, 4),
                [floats(5, 2, low=0.5), UNSORTED], dtypes=dtypes, label="gaps"),
            Row(f"UnsortedSegment{kind}",
                unsorted(kind, 2),
                [floats(2, 2, 3, low=0.5), value([[0, -1], [1, 1]], "int32")], grad=True,
                same_graph=OWN, label="matrix of ids"),
        )
    ),
    *(
        Row("UnsortedSegmentSum", lambda tf, x, i, name=name: getattr(tf, name)(x, i, 4),
            [floats(5, 2), UNSORTED], grad=True, label=name, same_graph=OWN)
        for name in ("unsorted_segment_mean", "unsorted_segment_sqrt_n")
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.unsorted_segment_sum(x, [0, 1], 3), "must be equal, but are 4 and 2"),
        (lambda x: tf.unsorted_segment_sum(x, [0] * 4, [3]), "must be rank 0 but is rank 1"),
        (lambda x: tf.segment_sum(x, [[0]]), "Shape must be rank 1 but is rank 2"),
    ],
)
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [4, 2])
    with pytest.raises(ValueError, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.unsorted_segment_sum(x, [0, 5, 0, 2], 3),
         r"segment_ids\[1\] = 5 is out of range \[0, 3\)"),
        (lambda x: tf.unsorted_segment_sum(x, [0, 1], 3),
         r"data.shape = \[4,2\] does not start with segment_ids.shape = \[2\]"),
        (lambda x: tf.unsorted_segment_sum(x, [0] * 4, tf.placeholder_with_default(-2, [])),
         "Input num_segments == -2 must not be negative."),
        (lambda x: tf.segment_sum(x, [0, 2, 1, 2]), "segment ids are not increasing"),
        (lambda x: tf.segment_sum(x, [0, 2]), "should be the same size as dimension 0 of input."),
        (lambda x: tf.segment_sum(x, [-1, 0, 0, 2]), r"Segment id -1 out of range \[0, 3\)"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x = tf.placeholder(tf.float32)
    result = build(x)
    with (
        tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=text),
    ):
        session.run(result, {x: np.zeros((4, 2))})


def test_a_gpu_drops_ids_out_of_range(fresh_graph):
    with tf.device("/gpu:0"):
        result = tf.unsorted_segment_sum(tf.constant([1.0, 2.0, 4.0]), [0, 7, -1], 2)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        assert session.run(result).tolist() == [1.0, 0.0]


def test_the_gradient_of_a_segment_sum(fresh_graph):
    x = tf.placeholder(tf.float32, [4])
    (grad,) = tf.gradients(tf.segment_sum(x, [0, 0, 1, 1]) * [1.0, 2.0], x)
    with tf.Session() as session:
        assert session.run(grad, {x: np.zeros(4)}).tolist() == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("values", [[2.0, 3, 5], [0.0, 3, 5], [0.0, 0, 5]])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_the_gradient_of_a_product_with_zeros(fresh_graph, values, is_sorted):
    x = tf.placeholder(tf.float32, [3])
    y = tf.segment_prod(x, [0] * 3) if is_sorted else tf.unsorted_segment_prod(x, [0] * 3, 1)
    (grad,) = tf.gradients(y, x)
    with tf.Session() as session:
        found = session.run(grad, {x: values}).tolist()
    assert found == [np.prod(np.delete(values, i)) for i in range(3)]
