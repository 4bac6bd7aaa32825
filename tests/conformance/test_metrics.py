"""tf.metrics under real TensorFlow and here: graphs, values, updates."""

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("programs")]

# Each sees `m`, tf.metrics; `y` and `p` of [0, 1], `c` and `d` classes, `w` weights.
METRICS = """
m.mean(p)
m.mean(p, w, name="q")
m.mean(p, 2.0)
m.mean_tensor(p)
m.mean_tensor(p, w)
m.accuracy(c, d)
m.accuracy(c, d, w, metrics_collections=["a"], updates_collections=["b"])
m.accuracy(c, tf.expand_dims(d, 1))
m.mean_absolute_error(y, p)
m.mean_squared_error(y, p, w)
m.root_mean_squared_error(y, p)
m.mean_relative_error(y, p, y)
m.mean_cosine_distance(tf.stack([y, p]), tf.stack([p, y]), 0)
m.percentage_below(p, 0.5)
m.mean_per_class_accuracy(c, d, 3)
m.mean_per_class_accuracy(c, d, 3, w)
m.mean_iou(c, d, 3)
m.mean_iou(c, d, 3, w)
m.true_positives(y, d)
m.false_positives(y, d)
m.true_negatives(y, d)
m.false_negatives(y, d)
m.precision(y, d)
m.recall(y, d)
m.true_positives_at_thresholds(y, p, [0.2, 0.7])
m.false_negatives_at_thresholds(y, p, [0.2, 0.7], w)
m.precision_at_thresholds(y, p, [0.2, 0.7])
m.recall_at_thresholds(y, p, [0.2, 0.7], w)
m.auc(y, p)
m.auc(y, p, w, num_thresholds=20, summation_method="minoring")
m.auc(y, p, curve="PR", summation_method="careful_interpolation")
m.auc(y, p, curve="PR", thresholds=[0.1, 0.4, 0.8], summation_method="majoring")
m.sensitivity_at_specificity(y, p, 0.6)
m.auc(y, p, curve="X")
m.auc(y, p, summation_method="X")
m.sensitivity_at_specificity(y, p, 2)
""".strip().splitlines()
# The weights of counts are checked in a way of its own there.
WEIGHTED = ["m.true_positives(y, d, w)", "m.precision(y, d, w)", "m.recall(y, d, 0.5)"]


def _batches():
    rng = np.random.default_rng(4)
    for _ in range(3):
        yield {
            "y": rng.integers(0, 2, 12).astype(np.float32), "p": rng.random(12, np.float32),
            "c": rng.integers(0, 3, 12), "d": rng.integers(0, 3, 12),
            "w": rng.random(12, np.float32),
        }  # fmt: skip


def _course(tf, text):
    dtypes = {"y": tf.float32, "p": tf.float32, "c": tf.int64, "d": tf.int64, "w": tf.float32}
    with tf.Graph().as_default() as graph:
        feeds = {name: tf.placeholder(dtype, [12], name) for name, dtype in dtypes.items()}
        try:
            value, update = eval(text, {"m": tf.metrics, "tf": tf, **feeds})
        except ValueError as error:
            return str(error), []
        keys = ("a", "b", tf.GraphKeys.LOCAL_VARIABLES, tf.GraphKeys.METRIC_VARIABLES)
        names = [[v.name for v in tf.get_collection(key)] for key in keys]
        nodes = [(op.name, op.type) for op in graph.get_operations()]
        found = []
        with tf.Session(graph=graph) as session:
            session.run(tf.local_variables_initializer())
            found.append(session.run(value))
            for batch in _batches():
                feed = {feeds[name]: array for name, array in batch.items()}
                found += [session.run(update, feed), session.run(value)]
    return (nodes, names), found


@pytest.mark.parametrize("text", METRICS)
def test_metrics(tf, text):
    theirs, ours = _course(tf, text), _course(tfsession, text)
    assert ours[0] == theirs[0]
    for mine, wanted in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("text", WEIGHTED)
def test_weighted_counts(tf, text):
    theirs, ours = _course(tf, text), _course(tfsession, text)
    assert ours[0][1] == theirs[0][1]
    for mine, wanted in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-6)
