"""Softmax and sigmoid cross-entropies, and the Poisson loss."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, ints, row_cases, value

SAME = "rules name their nodes otherwise"


def _log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def dense(labels, logits, **_):
    labels, logits = labels.astype(np.float64), logits.astype(np.float64)
    return -(labels * _log_softmax(logits)).sum(axis=-1)


def sparse(labels, logits):
    picked = np.take_along_axis(_log_softmax(logits.astype(np.float64)), labels[..., None], -1)
    return -picked[..., 0]


def _both_outputs(module, labels, logits):
    """The loss, and the second output by way of the gradient."""
    loss = module.nn.softmax_cross_entropy_with_logits_v2(labels=labels, logits=logits)
    return [loss, module.gradients(loss, logits)[0]]


def _of_distributions(module, scores, logits):
    """Labels that sum to one whatever the scores: only then is the op's gradient the true one."""
    labels = module.nn.softmax(scores)
    return module.nn.softmax_cross_entropy_with_logits_v2(labels=labels, logits=logits)


def _first_version(module, labels, logits, **kwargs):
    function = module.nn.softmax_cross_entropy_with_logits
    return function(labels=labels, logits=logits, **kwargs)


def _sparse_row(label, labels_shape, classes, dtypes=("float32",), **kwargs):
    return Row(
        "SparseSoftmaxCrossEntropyWithLogits",
        "nn.sparse_softmax_cross_entropy_with_logits",
        [ints(*labels_shape, high=classes, **kwargs), floats(*labels_shape, classes)],
        {},
        dtypes,
        sparse,
        grad=True,
        label=label,
    )


def _of_unknown_sizes(module, labels, logits):
    labels = module.placeholder_with_default(labels, [None, 3])
    return module.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def _logistic(op, name, **kwargs):
    return [
        Row(op, f"nn.{name}", [floats(3, 4, low=0, high=1), floats(3, 4)], kwargs, FLOATS,
            grad=True, label=name),
        Row(op, f"nn.{name}", [value([0.0, 1, 0, 1]), value([-800.0, -800, 800, 800])], kwargs,
            ("float32", "float64"), label=f"{name}-large"),
    ]  # fmt: skip


DENSE, SPARSE = "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"
PROBABILITIES = value([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
ROWS = [
    Row(DENSE, "nn.softmax_cross_entropy_with_logits_v2", [PROBABILITIES, floats(2, 3)], {},
        FLOATS, dense),
    Row(DENSE, _of_distributions, [floats(2, 3), floats(2, 3)], grad=True, label="distributions"),
    Row(DENSE, _of_distributions, [floats(2, 2, 40), floats(2, 2, 40)], label="wide"),
    Row(DENSE, _both_outputs, [floats(2, 3), floats(2, 3)], {}, FLOATS, same_graph=SAME,
        label="gradient"),
    Row(DENSE, _first_version, [PROBABILITIES, floats(2, 3)], {}, FLOATS, dense, label="first"),
    Row(DENSE, _first_version, [floats(2, 3, 4), floats(2, 3, 4)], {"dim": 1}, label="dim"),
    Row(DENSE, _first_version, [floats(3), floats(3)], {"name": "loss"}, label="vector"),
    Row(DENSE, _first_version, [floats(0, 3), floats(0, 3)], label="empty"),
    Row(DENSE, _first_version, [floats(2, 0), floats(2, 0)], label="no-class"),
    Row(DENSE, "nn.softmax_cross_entropy_with_logits_v2", [floats(2, 3, 4), floats(2, 3, 4)],
        {"axis": 0}, ("float64",), label="axis"),
    Row(DENSE, "nn.softmax_cross_entropy_with_logits_v2", [floats(1, 3), floats(2, 3)],
        {}, reference=dense, label="broadcast"),
    Row(DENSE, "nn.softmax_cross_entropy_with_logits_v2",
        [value([[0.0, 1.0]]), value([[1000.0, -1000.0]])], reference=dense, label="large"),
    _sparse_row("", (4,), 5, FLOATS),
    _sparse_row("int64", (3,), 4, dtype="int64"),
    _sparse_row("matrix", (2, 3), 4, FLOATS),
    _sparse_row("scalar", (), 4),
    _sparse_row("one-class", (3,), 1),
    _sparse_row("wide", (2,), 50),
    Row(SPARSE, "nn.sparse_softmax_cross_entropy_with_logits",
        [ints(0), floats(0, 3)], {}, FLOATS, label="empty"),
    Row(SPARSE, _of_unknown_sizes, [ints(2, 3, high=4), floats(2, 3, 4)], grad=True,
        label="unknown-sizes"),
    *_logistic("Log1p", "sigmoid_cross_entropy_with_logits"),
    *_logistic("Log1p", "weighted_cross_entropy_with_logits", pos_weight=2.5),
    Row("Exp", "nn.log_poisson_loss", [floats(6, low=0, high=9), floats(6)], {}, FLOATS,
        grad=True, label="poisson"),
    Row("Exp", "nn.log_poisson_loss", [value([0.0, 0.5, 1, 2, 9]), floats(5)],
        {"compute_full_loss": True}, ("float32", "float64"), label="poisson-full"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def ph(*shape, dtype="float32"):
    return tf.placeholder(dtype, shape)


def sparse_of(labels, logits):
    labels = ph(*labels, dtype="int32")
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=ph(*logits))


V1, V2 = tf.nn.softmax_cross_entropy_with_logits, tf.nn.softmax_cross_entropy_with_logits_v2
MISSING = "Both `labels` and `logits` must be provided for "
BAD = [
    (lambda: V1(logits=ph(2)), MISSING + "softmax_cross_entropy_with_logits"),
    (lambda: V1(labels=ph(2, 3), logits=ph(2, 3), axis=0), "Cannot specify both 'dim' and 'axis'"),
    (lambda: V2(ph(2, 3), ph(2, 3), axis=0, dim=0), "Cannot specify both 'dim' and 'axis'"),
    (lambda: V2(ph(2, 4), ph(2, 3)), "Dimensions must be equal, but are 3 and 4"),
    (lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[1]), MISSING + "sparse_soft"),
    (lambda: sparse_of([], []), "`logits` cannot be a scalar"),
    (lambda: sparse_of([2, 1], [2, 3]), "`labels.shape.rank` must equal `logits.shape.rank - 1`"),
    (lambda: sparse_of([3], [2, 3]), "must equal `logits.shape` except for the last dimension"),
    (lambda: tf.nn.sigmoid_cross_entropy_with_logits(labels=ph(2)), MISSING + "sigmoid_cross_"),
    (lambda: tf.nn.sigmoid_cross_entropy_with_logits(labels=ph(2), logits=ph(2, 3)),
     r"must have the same shape, received \(\(2, 3\) vs \(2,\)\)"),
    (lambda: tf.nn.weighted_cross_entropy_with_logits(ph(2), ph(2, 3), 1.0), "the same shape"),
    (lambda: tf.nn.weighted_cross_entropy_with_logits(ph(2), ph(2), 1.0, targets=ph(2)),
     "Cannot specify both 'targets' and 'labels'"),
    (lambda: tf.nn.log_poisson_loss(ph(2), ph(3)), "`log_input` and `targets` must have the same"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


DENSE_BAD = "either 2-dimensional, or broadcasted to be 2-dimensional"
RUN_TIME = [
    (DENSE, (2, 3), (2, 4), r"must be broadcastable: logits_size=\[2,3\] labels_size=\[2,4\]"),
    (DENSE, (3,), (3,), DENSE_BAD),
    (DENSE, (2, 2, 3), (2, 2, 3), DENSE_BAD),
    (SPARSE, (3,), (3,), r"logits must be 2-D, but got shape \[3\]"),
    (SPARSE, (3, 2), (3, 1), r"labels must be 1-D, but got shape \[3,1\]"),
    (SPARSE, (3, 5), (2,), r"first dimension, got logits shape \[3,5\] and labels shape \[2\]"),
    (SPARSE, (3, 0), (3,), r"Must have at least one class, but got logits shape \[3,0\]"),
]


@pytest.mark.parametrize(("op", "features", "labels", "phrase"), RUN_TIME)
def test_refused_when_run(op, features, labels, phrase, device, fresh_graph):
    inputs = [tf.placeholder("float32"), tf.placeholder("float32" if op == DENSE else "int32")]
    with tf.device(device):
        loss, _ = create_op(op, inputs)
    feeds = dict(zip(inputs, [np.zeros(features), np.zeros(labels, int)], strict=True))
    config = tf.ConfigProto(allow_soft_placement=True)
    with (
        tf.Session(config=config) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=phrase),
    ):
        session.run(loss, feeds)


@pytest.mark.parametrize("labels", [[1, 7, 2], [1, -1, 2]])
def test_labels_that_are_no_class_are_refused_and_the_session_goes_on(labels, fresh_graph):
    fed = tf.placeholder("int32", [None])
    with tf.device("/cpu:0"):
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=fed, logits=np.eye(3, 5))
    text = (
        f"Received a label value of {labels[1]} which is outside the valid range of [0, 5).  "
        f"Label values: 1 {labels[1]} 2"
    )
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            session.run(loss, {fed: labels})
        assert text in str(caught.value)
        assert session.run(loss, {fed: [0, 1, 2]}).shape == (3,)


def test_labels_in_another_order_of_sizes_are_refused(fresh_graph):
    labels, logits = ph(None, None, dtype="int32"), ph(None, None, 4)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    zeros = np.zeros([2, 3, 4])
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="x == y did not hold"):
            session.run(loss, {labels: np.zeros([3, 2]), logits: zeros})
        found = session.run(loss, {labels: np.zeros([2, 3]), logits: zeros})
    np.testing.assert_allclose(found, np.full([2, 3], np.log(4)), rtol=1e-6)


def test_a_gpu_gives_nan_where_a_label_is_no_class(fresh_graph):
    fed = tf.placeholder("int32", [None])
    with tf.device("/gpu:0"):
        logits = tf.constant(np.eye(3, 5))
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=fed, logits=logits)
        slope = tf.gradients(loss, logits)[0]
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=False)) as session:
        found, slopes = session.run([loss, slope], {fed: [1, 7, -1]})
    assert np.isnan(found).tolist() == [False, True, True]
    assert np.isnan(slopes).any(axis=1).tolist() == [False, True, True]


def test_the_first_version_stops_gradients_to_labels(fresh_graph):
    labels, logits = ph(2, 3), ph(2, 3)
    assert tf.gradients(V1(labels=labels, logits=logits), labels) == [None]
    assert tf.gradients(V2(labels, logits), labels) != [None]
