"""map_fn, foldl, foldr and scan against plain Python, with their gradients."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf

SOFT = tf.ConfigProto(allow_soft_placement=True)
VALUES = np.linspace(-1.0, 0.7, 12).reshape(4, 3)


def run(fetches, feeds=None):
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def step(total, row):
    return total * 0.5 + row * row


def _scanned(rows, first=None, reverse=False):
    rows = rows[::-1] if reverse else rows
    found = list(itertools.accumulate(rows, step, initial=first))
    found = found if first is None else found[1:]
    return np.array(found[::-1] if reverse else found).reshape(len(rows), 3)


ONES = np.ones(3)
CASES = {
    "map_fn": (lambda x: tf.map_fn(lambda row: row * row + 1.0, x), lambda x: x * x + 1),
    "foldl": (lambda x: tf.foldl(step, x), lambda x: _scanned(x)[-1]),
    "foldl from ones": (
        lambda x: tf.foldl(step, x, tf.constant(ONES)),
        lambda x: _scanned(x, ONES)[-1] if len(x) else ONES,
    ),
    "foldr": (lambda x: tf.foldr(step, x), lambda x: _scanned(x, reverse=True)[0]),
    "foldr from ones": (
        lambda x: tf.foldr(step, x, tf.constant(ONES)),
        lambda x: _scanned(x, ONES, True)[0] if len(x) else ONES,
    ),
    "scan": (lambda x: tf.scan(step, x), _scanned),
    "scan from ones": (
        lambda x: tf.scan(step, x, tf.constant(ONES)),
        lambda x: _scanned(x, ONES),
    ),
    "scan, reversed": (
        lambda x: tf.scan(step, x, reverse=True),
        lambda x: _scanned(x, None, True),
    ),
    "scan from ones, reversed": (
        lambda x: tf.scan(step, x, tf.constant(ONES), reverse=True),
        lambda x: _scanned(x, ONES, True),
    ),
}
NEEDS_ONE = {"foldl", "foldr", "scan", "scan, reversed"}


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("name", CASES)
def test_it_does_what_python_does(fresh_graph, device, name, count):
    build, expected = CASES[name]
    with tf.device(device):
        x = tf.placeholder(tf.float64, [None, 3])
        y = build(x)
    feeds = {x: VALUES[:count]}
    if count or name not in NEEDS_ONE:
        np.testing.assert_allclose(run(y, feeds), expected(VALUES[:count]), rtol=1e-12)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="array size is: 0"):
            run(y, feeds)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_what_differences_tell(fresh_graph, device, name):
    with tf.device(device):
        x = tf.placeholder(tf.float64, [4, 3])
        total = tf.reduce_sum(tf.sin(CASES[name][0](x)))
        (grad,) = tf.gradients(total, x)
    with tf.Session(config=SOFT) as session:
        found = session.run(grad, {x: VALUES})
        for place in np.ndindex(VALUES.shape):
            change = np.zeros_like(VALUES)
            change[place] = 1e-6
            above, below = (session.run(total, {x: VALUES + c}) for c in (change, -change))
            assert found[place] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-8)


def test_nests_go_in_and_come_out(fresh_graph):
    x, k = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([5, 6])
    mapped = tf.map_fn(
        lambda t: {"sum": tf.reduce_sum(t[0]), "pair": (t[1] * 2, t[0])},
        (x, k),
        dtype={"sum": tf.float32, "pair": (tf.int32, tf.float32)},
    )
    folded = tf.foldl(lambda s, t: [s[0] + t[0], s[1] * t[1]], [x, k])
    scanned = tf.scan(lambda s, t: (s[1], s[0] + s[1]), k, initializer=(0, 1))
    found, totals, numbers = run([mapped, folded, scanned])
    assert found["sum"].tolist() == [3, 7]
    assert [part.tolist() for part in found["pair"]] == [[10, 12], [[1, 2], [3, 4]]]
    assert [part.tolist() for part in totals] == [[4, 6], 30]
    assert [part.tolist() for part in numbers] == [[1, 1], [1, 2]]


def test_shapes_are_known(fresh_graph):
    x = tf.placeholder(tf.float32, [4, None, 2])
    assert str(tf.map_fn(lambda row: row[:, 0], x).shape) == "(4, ?)"
    assert str(tf.scan(lambda s, row: s + row, x).shape) == "(4, ?, 2)"
    assert str(tf.foldl(lambda s, row: s + row, x).shape) == "(?, 2)"
    loose = tf.map_fn(
        lambda k: tf.fill([k], 1.0), tf.constant([1, 1]), tf.float32, infer_shape=False
    )
    assert str(loose.shape) == "<unknown>"
    assert run(loose).tolist() == [[1], [1]]


def test_variables_inside_learn(fresh_graph, device):
    with tf.device(device):
        x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
        w = tf.get_variable("w", initializer=0.5)
        y = tf.map_fn(lambda row: row * w, x)
        train = tf.train.GradientDescentOptimizer(0.05).minimize(
            tf.reduce_mean(tf.squared_difference(y, x))
        )
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(40):
            session.run(train)
        assert session.run(w) == pytest.approx(1.0, abs=1e-3)


REFUSED = {
    "no function": (lambda: tf.map_fn(3, [1.0]), TypeError, "not callable"),
    "no function to fold": (lambda: tf.foldl(3, [1.0]), TypeError, "is not callable"),
    "no function to scan": (lambda: tf.scan(3, [1.0]), TypeError, "is not callable"),
    "nothing": (lambda: tf.map_fn(tf.sin, []), ValueError, "does not contain any Tensors"),
    "a scalar": (lambda: tf.map_fn(tf.sin, 1.0), ValueError, "must be 1\\+ dimensional Tensors"),
    "another structure": (
        lambda: tf.map_fn(lambda x: (x, x), tf.constant([1.0])),
        ValueError,
        "don't have the same nested structure",
    ),
    "another structure than before": (
        lambda: tf.scan(lambda s, x: (x, x), tf.constant([1.0])),
        ValueError,
        "don't have the same nested structure",
    ),
    "other sizes": (
        lambda: tf.map_fn(lambda t: t[0], (tf.zeros([2]), tf.zeros([3])), tf.float32),
        ValueError,
        "Dimensions 2 and 3 are not compatible",
    ),
    "a sparse tensor": (
        lambda: tf.map_fn(tf.identity, tf.SparseTensor([[0]], [1.0], [1])),
        TypeError,
        "map_fn can not consume SparseTensor inputs",
    ),
    "another dtype": (
        lambda: run(tf.map_fn(lambda x: tf.cast(x, tf.int32), tf.constant([1.0]))),
        tf.errors.InvalidArgumentError,
        "dtype is float but Op is trying to write dtype int32",
    ),
}


@pytest.mark.parametrize(("build", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(fresh_graph, build, error, message):
    with pytest.raises(error, match=message):
        build()
    assert tf.get_variable_scope().caching_device is None


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["map", "scan", "back"]), min_size=1, max_size=3),
    st.integers(1, 4),
)
def test_they_go_into_each_other(words, count):
    """Over all but the last dimension, of a tensor with one for each word."""

    def built(words, x):
        if not words:
            return tf.sin(x) * 2.0
        inner = lambda row: built(words[1:], row)  # noqa: E731
        if words[0] == "map":
            return tf.map_fn(inner, x)
        return tf.scan(lambda s, row: s * 0.5 + inner(row), x, reverse=words[0] == "back")

    def plain(words, x):
        if not words:
            return np.sin(x) * 2
        rows = x[::-1] if words[0] == "back" else x
        found = [plain(words[1:], row) for row in rows]
        if words[0] != "map":
            found = list(itertools.accumulate([rows[0], *found[1:]], lambda s, r: s * 0.5 + r))
        return np.array(found[::-1] if words[0] == "back" else found)

    values = np.linspace(-1, 1, count ** (len(words) + 1)).reshape([count] * (len(words) + 1))
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        x = tf.constant(values)
        y = built(words, x)
        found, grad = session.run([y, tf.gradients(y, x)[0]])
    np.testing.assert_allclose(found, plain(words, values), rtol=1e-12)
    assert grad.shape == values.shape


def _folded(kind, count):
    rows = tf.constant(np.arange(3 * count).reshape(count, 3), kind)
    found = tf.scan(lambda s, row: s + row * 2, rows)
    return found if kind == tf.int32 else tf.gradients(found, rows)


@pytest.mark.parametrize("kind", [tf.float32, tf.int32], ids=["float", "int"])
def test_iterations_on_a_gpu_copy_nothing(kind):
    """Neither elements nor flows, nor what ends the loop: the copies do not grow with it."""
    copies = []
    for count in (2, 20):
        metadata = tf.RunMetadata()
        with tf.Graph().as_default() as graph, tf.device("/gpu:0"):
            fetches = _folded(kind, count)
            with tf.Session(graph=graph, config=SOFT) as session:
                session.run(fetches, None, tf.RunOptions(trace_level=3), metadata)
        stats = metadata.step_stats.dev_stats
        copies.append(sum(len(d.node_stats) for d in stats if d.device.endswith("/memcpy")))
    assert copies[0] == copies[1] < 9
