"""Elements lost at random."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases, value


def _at_rate(tf, x, rate, **kwargs):
    return tf.nn.dropout(x, rate=rate, **kwargs)


ROWS = [
    Row("SelectV2", "nn.dropout", [floats(4, 5)], {"rate": 0.4, "seed": 3}, FLOATS),
    Row("SelectV2", "nn.dropout", [floats(4, 5)], {"keep_prob": 0.75, "seed": 3, "name": "lose"},
        label="keep_prob"),
    Row("SelectV2", "nn.dropout", [floats(2, 3, 4)], {"rate": 0.5, "noise_shape": [2, 1, 4],
        "seed": 1}, label="noise_shape"),
    Row("SelectV2", _at_rate, [floats(3, 4), value(0.5)], {"seed": 2}, ("float32", "float64"),
        label="fed-rate"),
    Row("SelectV2", "nn.dropout", [floats(0, 4)], {"rate": 0.5, "seed": 2}, label="empty"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_what_is_kept_is_scaled_so_that_the_mean_stays(device, fresh_graph):
    with tf.device(device):
        kept = tf.nn.dropout(tf.ones([200, 100]), rate=0.25, seed=5)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        found, again = session.run(kept), session.run(kept)
    assert sorted(set(found.flat)) == [0.0, np.float32(1 / 0.75)]
    assert abs(found.mean() - 1) < 0.02
    assert (found != again).any()


def test_the_slope_is_what_the_same_step_kept(fresh_graph):
    x = tf.ones([30])
    kept = tf.nn.dropout(x, rate=0.5)
    with tf.Session() as session:
        found, slope = session.run([kept, tf.gradients(kept, x)[0]])
    assert found.tolist() == slope.tolist()


def test_unknown_sizes_of_the_noise_are_those_of_the_tensor(fresh_graph):
    with tf.Session() as session:
        kept = tf.nn.dropout(tf.ones([50, 3, 4]), rate=0.5, noise_shape=[None, 1, 4], seed=1)
        found = session.run(kept)
    assert (found == found[:, :1]).all()
    assert len({tuple(row) for row in found[:, 0]}) > 5


@pytest.mark.parametrize("kwargs", [{"rate": 0.0}, {"rate": 0}, {"keep_prob": 1.0}])
def test_nothing_is_lost_at_rate_zero(kwargs, fresh_graph):
    x = tf.ones([2])
    assert tf.nn.dropout(x, **kwargs) is x


RANGE = r"must be a scalar tensor or a float in the range \[0, 1\). Received: rate="


@pytest.mark.parametrize(
    ("x", "kwargs", "phrase"),
    [
        ([1.0], {}, "`rate` must be provided. Received: rate=None"),
        ([1.0], {"rate": 0.5, "keep_prob": 0.5}, "Cannot specify both 'keep_prob' and 'rate'"),
        ([1.0], {"rate": 1.0}, RANGE + "1.0"),
        ([1.0], {"rate": -0.1}, RANGE + "-0.1"),
        ([1.0], {"keep_prob": 2.0}, RANGE + "-1.0"),
        ([1], {"rate": 0.5}, "must be a floating point tensor as `x` will be scaled"),
        ([1.0], {"rate": np.array([0.5], "float32")}, r"Shape \(1,\) must have rank 0"),
        ([1.0], {"rate": np.array(0.5)}, "must be compatible with `rate.dtype`. Received: x.dtype"),
    ],
)
def test_refused_when_built(x, kwargs, phrase, fresh_graph):
    if isinstance(kwargs.get("rate"), np.ndarray):
        kwargs = {"rate": tf.constant(kwargs["rate"])}
    with pytest.raises(ValueError, match=phrase):
        tf.nn.dropout(tf.constant(x), **kwargs)
