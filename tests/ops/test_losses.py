"""tf.losses: weighted losses as one number, and what is collected of them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases, value


def _loss(name, **options):
    def build(module, labels, predictions, *weights):
        return getattr(module.losses, name)(labels, predictions, **_named(weights), **options)

    return build


def _named(weights):
    return {"weights": weights[0]} if weights else {}


def _slope(name, **options):
    """The loss and its gradient: in float32, in which losses are summed whatever they are of."""

    def build(module, labels, predictions, *weights):
        loss = getattr(module.losses, name)(labels, predictions, **_named(weights), **options)
        return [loss, module.gradients(loss, predictions)[0]]

    return build


SAME = "rules name their nodes otherwise"


def _rows(name, op, labels, predictions, weights, **options):
    """A loss without weights, with weights, and in half precision."""
    inputs = [labels, predictions]
    return [
        Row(op, _loss(name, **options), inputs, label=name),
        Row(op, _loss(name, **options), [*inputs, weights], label=f"{name}-weighted"),
        Row(op, _slope(name, **options), [*inputs, weights], same_graph=SAME,
            label=f"{name}-slope"),
        Row(op, _loss(name, scope="named", **options), inputs, {}, ("float16",), tolerance=4,
            label=f"{name}-half"),
    ]  # fmt: skip


UNIT = floats(3, 4, low=0.05, high=0.95)
NUMBERS = floats(3, 4)
COLUMN = value([[0.0], [2.0], [0.5]])
VECTOR = value([0.0, 2.0, 0.5])
REDUCTIONS = [
    Row("SquaredDifference", _loss("mean_squared_error", reduction=reduction),
        [NUMBERS, NUMBERS, COLUMN], label=reduction)
    for reduction in tf.losses.Reduction.all()[:-1]
]  # fmt: skip
CLASSES = [ints(3, high=4), NUMBERS]
ROWS = [
    *_rows("mean_squared_error", "SquaredDifference", NUMBERS, NUMBERS, COLUMN),
    *_rows("absolute_difference", "Abs", NUMBERS, NUMBERS, COLUMN),
    *_rows("huber_loss", "Minimum", NUMBERS, NUMBERS, COLUMN, delta=0.7),
    *_rows("log_loss", "Log", UNIT, UNIT, COLUMN),
    *_rows("hinge_loss", "Relu", UNIT, NUMBERS, COLUMN),
    *_rows("sigmoid_cross_entropy", "Log1p", UNIT, NUMBERS, COLUMN, label_smoothing=0.1),
    *_rows("cosine_distance", "Sum", NUMBERS, NUMBERS, COLUMN, axis=1),
    *_rows("mean_pairwise_squared_error", "Square", NUMBERS, NUMBERS, COLUMN),
    Row("SoftmaxCrossEntropyWithLogits", _loss("softmax_cross_entropy", label_smoothing=0.1),
        [value([[0.0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]), NUMBERS, VECTOR]),
    Row("SparseSoftmaxCrossEntropyWithLogits", _loss("sparse_softmax_cross_entropy"), CLASSES),
    Row("SparseSoftmaxCrossEntropyWithLogits", _slope("sparse_softmax_cross_entropy"), CLASSES,
        same_graph=SAME, label="slope"),
    Row("SparseSoftmaxCrossEntropyWithLogits", _loss("sparse_softmax_cross_entropy"),
        [ints(3, 1, high=4), NUMBERS, COLUMN], label="squeezed"),
    *REDUCTIONS,
    Row("DivNoNan", "losses.compute_weighted_loss", [NUMBERS, value(np.zeros((3, 4)))],
        reference=lambda *_: 0.0, label="no-weight"),
    Row("DivNoNan", "losses.compute_weighted_loss", [NUMBERS], {"weights": 0.5}, ("float16",),
        label="half"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_losses_are_collected_and_summed(fresh_graph):
    labels, predictions = tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 5.0]])
    squared = tf.losses.mean_squared_error(labels, predictions)
    absolute = tf.losses.absolute_difference(labels, predictions, scope="distance")
    tf.losses.huber_loss(labels, predictions, loss_collection=None)
    tf.add_to_collection(tf.GraphKeys.REGULARIZATION_LOSSES, tf.constant(10.0))
    assert tf.losses.get_losses() == [squared, absolute]
    assert tf.losses.get_losses(scope="dist") == [absolute]
    sums = [
        tf.losses.get_total_loss(),
        tf.losses.get_total_loss(add_regularization_losses=False),
        tf.losses.get_total_loss(False, scope="dist"),
        tf.losses.get_regularization_loss(),
    ]
    with tf.Session() as session:
        assert session.run(sums) == [6.5 + 2.5 + 10, 9.0, 2.5, 10.0]


def test_without_losses_regularization_is_zero_and_the_total_an_error(fresh_graph):
    with tf.Session() as session:
        assert session.run(tf.losses.get_regularization_loss()) == 0.0
    with pytest.raises(ValueError, match="at least one Tensor"):
        tf.losses.get_total_loss()


def ph(*shape):
    return tf.placeholder("float32", shape)


MISFIT = "weights can not be broadcast to values. "
BAD = [
    (lambda: tf.losses.mean_squared_error(None, ph(2)), "`labels` must not be None"),
    (lambda: tf.losses.hinge_loss(ph(2), None), "`logits` must not be None"),
    (lambda: tf.losses.softmax_cross_entropy(None, ph(2)), "`onehot_labels` must not be None"),
    (lambda: tf.losses.sigmoid_cross_entropy(None, ph(2)), "`multi_class_labels` must not be"),
    (lambda: tf.losses.mean_squared_error(ph(2, 3), ph(2, 4)), "are incompatible"),
    (lambda: tf.losses.softmax_cross_entropy(ph(2, 3), ph(2, 4)), "are incompatible"),
    (lambda: tf.losses.mean_squared_error(ph(2, 3), ph(2, 3), ph(3)), MISFIT + "values.rank=2"),
    (lambda: tf.losses.compute_weighted_loss(ph(2, 3), ph(2, 2)), MISFIT + "Mismatch at dim 1"),
    (lambda: tf.losses.mean_squared_error(ph(2), ph(2), None), "None values not supported"),
    (lambda: tf.losses.compute_weighted_loss(ph(2), reduction="x"), "Invalid Reduction Key x. Key"),
    (lambda: tf.losses.cosine_distance(ph(2), ph(2)), "You must specify argument `axis`"),
    (lambda: tf.losses.cosine_distance(ph(2), ph(2), axis=0, dim=0), "both 'dim' and 'axis'"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()
