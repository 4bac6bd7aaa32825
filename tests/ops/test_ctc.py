"""CTC losses and decoders."""

import itertools

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

PLACES = value([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]], "int64")
LABELS = value([1, 1, 2, 0, 0], "int32")
LENGTHS = value([5, 6], "int32")


def loss(**kwargs):
    return lambda tf, x, i, v, n: tf.nn.ctc_loss(
        tf.SparseTensor(i, v, np.array([2, 3])), x, n, **kwargs
    )


STEPS = value([6, 2, 3], "int32")


def decoded(name, **kwargs):
    def build(tf, x, n):
        paths, scores = getattr(tf.nn, f"ctc_{name}")(x, n, **kwargs)
        return [part for p in paths for part in (p.indices, p.values, p.dense_shape)] + [scores]

    return build


ROWS = [
    *(
        Row("CTCLoss", loss(**kwargs), [floats(6, 2, 4), PLACES, LABELS, LENGTHS], dtypes=dtypes,
            label=f"{kwargs}", tolerance=10)
        for kwargs, dtypes in (
            ({}, ["float32"]), ({"preprocess_collapse_repeated": True}, ["float32"]),
            ({"ctc_merge_repeated": False}, ["float32"]),
        )
    ),
    Row("CTCLoss", loss(time_major=False), [floats(2, 6, 4), PLACES, LABELS, LENGTHS],
        label="batch first", tolerance=10),
    *(
        Row("CTCGreedyDecoder", decoded("greedy_decoder", **kwargs), [floats(6, 3, 4), STEPS],
            dtypes=["float32", "float64"], label=f"{kwargs}")
        for kwargs in ({}, {"merge_repeated": False}, {"blank_index": 0}, {"blank_index": -2})
    ),
    *(
        Row("CTCBeamSearchDecoder", decoded(name, **kwargs), [floats(6, 3, 4), STEPS],
            label=f"{name} {kwargs}", tolerance=10)
        for name, kwargs in (
            ("beam_search_decoder", {}),
            ("beam_search_decoder", {"beam_width": 3, "top_paths": 2, "merge_repeated": False}),
            ("beam_search_decoder", {"beam_width": 20, "top_paths": 4}),
            ("beam_search_decoder_v2", {"beam_width": 7, "top_paths": 3}),
        )
    ),
    *(
        Row("CTCLoss", loss(ignore_longer_outputs_than_inputs=ignore),
            [floats(3, 2, 4), PLACES, LABELS, value([3, steps], "int32")],
            label=f"too few {ignore} {steps}", tolerance=10)
        for ignore, steps in ((True, 2), (True, 3), (False, 3))
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("merge", [True, False])
def test_the_gradient_is_what_differences_tell(fresh_graph, device, merge):
    values = np.random.default_rng(0).normal(size=(6, 2, 4))
    with tf.device(device):
        x = tf.placeholder(tf.float64, [6, 2, 4])
        args = ([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]], [1, 1, 2, 0, 0], [2, 3])
        total = tf.reduce_sum(
            tf.nn.ctc_loss(tf.SparseTensor(*args), x, [5, 6], ctc_merge_repeated=merge) * [1.0, 2.0]
        )
        (grad,) = tf.gradients(total, x)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        found = session.run(grad, {x: values})
        assert not found[5, 0].any()
        for place in np.ndindex(values.shape):
            step = np.zeros_like(values)
            step[place] = 1e-5
            above, below = (session.run(total, {x: values + s * step}) for s in (1, -1))
            assert found[place] == pytest.approx((above - below) / 2e-5, abs=1e-7)


WRONG = {
    "a length": (([[0, 0]], [1], [1, 1]), [9], "sequence_length"),
    "no labels": ((np.zeros((0, 2)), np.zeros(0, np.int32), [1, 1]), [2], "Labels length is zero"),
    "a label": (([[0, 0]], [3], [1, 1]), [2], "nonnegative integers below 3"),
}


@pytest.mark.parametrize(("labels", "lengths", "text"), WRONG.values(), ids=WRONG)
def test_errors(fresh_graph, labels, lengths, text):
    wrong = tf.nn.ctc_loss(tf.SparseTensor(*labels), tf.zeros([2, 1, 4]), lengths)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(wrong)


def test_labels_are_sparse(fresh_graph):
    with pytest.raises(TypeError, match="Expected argument labels to be a SparseTensor"):
        tf.nn.ctc_loss(tf.constant([[1]]), tf.zeros([2, 1, 4]), [2])


def most_likely(logits):
    """All label sequences by the probability of all ways to them, one after the other."""
    steps, classes = logits.shape
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = {}
    for way in itertools.product(range(classes), repeat=steps):
        labels = tuple(x for x, _ in itertools.groupby(way) if x != classes - 1)
        share = shares[range(steps), way].prod()
        found[labels] = found.get(labels, 0) + share
    return sorted(found.items(), key=lambda entry: -entry[1])


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_most_likely_labels(fresh_graph, seed):
    logits = np.random.default_rng(seed).normal(size=(5, 1, 3))
    paths, scores = tf.nn.ctc_beam_search_decoder_v2(logits, [5], beam_width=500, top_paths=4)
    with tf.Session() as session:
        paths, scores = session.run([paths, scores])
    wanted = most_likely(logits[:, 0])[:4]
    assert [tuple(path.values) for path in paths] == [labels for labels, _ in wanted]
    assert np.exp(scores[0]) == pytest.approx([share for _, share in wanted])


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda x: tf.nn.ctc_greedy_decoder(x, [9, 1]), "FailedPrecondition", "sequence_length"),
        (lambda x: tf.nn.ctc_greedy_decoder(x, [1, 1], blank_index=7), "InvalidArgument",
         "blank_index expected to be between -4 and 3"),
        (lambda x: tf.nn.ctc_greedy_decoder(x, tf.placeholder_with_default([1], None)),
         "FailedPrecondition", "batch_size"),
        (lambda x: tf.nn.ctc_beam_search_decoder(x, [1, 1], 2, 3), "InvalidArgument",
         "more paths than the beam width"),
        (lambda x: tf.nn.ctc_beam_search_decoder(x, [1, 0], 2, 2), "InvalidArgument",
         "Less leaves in the beam search than requested"),
        (lambda x: tf.nn.ctc_beam_search_decoder(x[:, :0], np.zeros(0, np.int32)),
         "InvalidArgument", "inputs must not be empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded(fresh_graph, build, error, text):
    wrong = build(tf.zeros([3, 2, 4]))
    kind = getattr(tf.errors, f"{error}Error")
    with tf.Session() as session, pytest.raises(kind, match=text):
        session.run(wrong)
