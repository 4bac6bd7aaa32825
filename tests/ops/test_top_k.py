"""The greatest elements of rows, and whether targets are among them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import (
    FLOATS,
    INTS,
    Row,
    case_name,
    check_row,
    floats,
    ints,
    row_cases,
    value,
)


def greatest(x, k=1, **_):
    order = np.argsort(-x.astype(np.float64), axis=-1, kind="stable")[..., : int(k)]
    return [np.take_along_axis(x, order, -1), order]


def _values(module, x, **kwargs):
    return module.nn.top_k(x, **kwargs)[0]


def _old_top_k(_, x):
    return create_op("TopK", [x], {"k": 2})


def _old_in_top_k(_, predictions, targets):
    return create_op("InTopK", [predictions, targets], {"k": 2})


def _row(label, shape, dtypes=("float32",), **kwargs):
    return Row("TopKV2", "nn.top_k", [floats(*shape)], kwargs, dtypes, greatest, label=label)


INDEX_TYPES = [
    Row("TopKV2", lambda tf, x, name=name: tf.nn.top_k(x, 2, index_type=tf.as_dtype(name)),
        [floats(3, 5)], label=name)
    for name in ("int16", "int64")
]  # fmt: skip
SCORES = value([[0.1, 0.3, 0.3, 0.2], [np.nan, 1, 2, 3], [np.inf, 1, 2, 3], [4, 3, 2, 1]] * 2,
               "float32")  # fmt: skip
NO_BUILDER = "it has no public builder"
ROWS = [
    _row("", (3, 5), FLOATS + INTS, k=3),
    _row("one", (4, 6), FLOATS + INTS),
    _row("long", (3, 40), FLOATS + INTS, k=4),
    _row("all", (2, 3, 4), k=4),
    _row("none", (2, 3), k=0),
    _row("vector", (9,), k=2),
    _row("empty", (0, 3), k=2),
    _row("no-rows-long", (0, 9), k=2),
    _row("named", (2, 3), k=2, name="best"),
    *INDEX_TYPES,
    Row("TopKV2", "nn.top_k", [floats(2, 9), value(3, "int32")], reference=greatest, label="fed-k"),
    Row("TopKV2", _values, [floats(2, 3, 8)], {"k": 2}, grad=True, label="gradient"),
    Row("TopKV2", _values, [floats(2, 3)], {"k": 0}, grad=True, label="gradient-none"),
    Row("TopK", _old_top_k, [floats(2, 4)], {}, FLOATS, lambda x: greatest(x, 2),
        oracle=NO_BUILDER),
    Row("InTopKV2", "nn.in_top_k", [floats(6, 5), ints(6, high=5), value(2, "int32")]),
    Row("InTopKV2", "nn.in_top_k", [SCORES, ints(8, low=-1, high=6, dtype="int64")], {"k": 2},
        reference=None, label="edges"),
    Row("InTopKV2", "nn.in_top_k", [SCORES, value([1, 2, 3, 0, 2, 3, 1, 1], "int32")],
        {"k": 1, "name": "hit"}, label="ties",
        reference=lambda *_, **__: np.array([1, 0, 0, 1, 1, 0, 0, 0], bool)),
    Row("InTopKV2", "nn.in_top_k", [floats(0, 5), ints(0)], {"k": 2}, label="empty"),
    Row("InTopK", _old_in_top_k, [floats(6, 5), ints(6, high=5)], oracle=NO_BUILDER),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(0, 12),
    st.sampled_from(["int32", "float32"]),
    st.randoms(use_true_random=False),
)
def test_ties_go_to_the_first(rows, width, k, dtype, random):
    array = np.array([[random.randrange(3) for _ in range(width)] for _ in range(rows)], dtype)
    k = min(k, width)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(tf.nn.top_k(array, k))
    wanted = greatest(array, k)
    assert found.values.tolist() == wanted[0].tolist()
    assert found.indices.tolist() == wanted[1].tolist()


def ph(*shape, dtype="float32"):
    return tf.placeholder(dtype, shape)


@pytest.mark.parametrize(
    ("build", "phrase"),
    [
        (lambda: tf.nn.top_k(ph(2, 3), 4), "input must have last dimension >= k = 4 but is 3"),
        (lambda: tf.nn.top_k(ph(2, 3), -1), "scalar input 1, must be non-negative but is -1"),
        (lambda: tf.nn.top_k(ph()), "Shape must be at least rank 1 but is rank 0"),
        (lambda: tf.nn.in_top_k(ph(2, 3), ph(3, dtype="int32"), 1), "equal, but are 2 and 3"),
        (lambda: tf.nn.in_top_k(ph(3), ph(3, dtype="int32"), 1), "must be rank 2 but is rank 1"),
    ],
)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


@pytest.mark.parametrize(
    ("op", "arrays", "phrase"),
    [
        ("TopKV2", [np.zeros((2, 3)), 4], "at least k columns. Had 3, needed 4"),
        ("TopKV2", [np.zeros((2, 3)), -1], "Need k >= 0, got -1"),
        ("TopKV2", [np.zeros((2, 3)), [1]], r"k must be scalar, got shape \[1\]"),
        ("TopKV2", [np.zeros(()), 1], r"input must be >= 1-D, got shape \[\]"),
        ("InTopKV2", [np.zeros(3), [1], 1], "predictions must be 2-dimensional"),
        ("InTopKV2", [np.zeros((3, 2)), [[1]], 1], "targets must be 1-dimensional"),
        ("InTopKV2", [np.zeros((2, 3)), [1], 1], "predictions 2 must match length of targets 1"),
        ("InTopKV2", [np.zeros((1, 3)), [1], [1]], r"k must be 0-D, got shape \[1\]"),
    ],
)
def test_refused_when_run(op, arrays, phrase, device, fresh_graph):
    inputs = [tf.placeholder("float32"), *(tf.placeholder("int32") for _ in arrays[1:])]
    with tf.device(device):
        result = create_op(op, inputs)
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(result, dict(zip(inputs, arrays, strict=True)))
