"""Sums of segments on a GPU, whose number the host counts ahead: a step of them is recorded."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import refusals

import tfsession as tf

WITHOUT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
ROWS, WIDTH = 5, 3


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield
    gc.collect()


def batch(rng, examples, count):
    """Ids and weights of some examples, each with one id at least."""
    rows = np.sort(np.concatenate([np.arange(examples), rng.integers(0, examples, count)]))
    places = np.stack([rows, np.arange(rows.size)], 1)
    shape = np.array([examples, rows.size])
    ids = tf.SparseTensorValue(places, rng.integers(0, ROWS, rows.size), shape)
    return ids, ids._replace(values=rng.uniform(0.5, 2, rows.size).astype(np.float32))


def model(device, optimizer, combiner, use_resource, is_weighted):
    with tf.device(device):
        ids = tf.sparse_placeholder(tf.int64, [None, None])
        weights = tf.sparse_placeholder(tf.float32, [None, None])
        start = np.linspace(-1, 1, ROWS * WIDTH, dtype="f4").reshape(ROWS, WIDTH)
        with tf.variable_scope(None, "model", use_resource=use_resource):
            table = tf.get_variable("table", initializer=start)
            dense = tf.get_variable("dense", initializer=start[:WIDTH, :2])
        told = weights if is_weighted else None
        found = tf.nn.embedding_lookup_sparse(table, ids, told, combiner=combiner)
        loss = tf.reduce_mean(tf.square(tf.matmul(found, dense) - 1.0))
        step = optimizer().minimize(loss, var_list=[table, dense])
    return ids, weights, [loss, found, step]


def trained(session, built, batches):
    ids, weights, fetches = built
    session.run(tf.global_variables_initializer())
    found = []
    for given_ids, given_weights in batches:
        with session.counting() as counted:
            found += session.run(fetches, {ids: given_ids, weights: given_weights})[:2]
    return [*found, *session.run(tf.trainable_variables())], counted


OPTIMIZERS = {
    "descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "Adam": lambda: tf.train.AdamOptimizer(0.1),
    "Adagrad": lambda: tf.train.AdagradOptimizer(0.1),
}
CASES = [
    (name, combiner, use_resource, is_weighted)
    for number, combiner in enumerate(("mean", "sum", "sqrtn"))
    for use_resource in (False, True)
    for is_weighted in (False, True)
    for name in list(OPTIMIZERS)[number : number + 1]
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_is_one_recording_with_the_bits_of_an_unrecorded_one(case):
    name, *how = case
    rng = np.random.default_rng(1)
    batches = [batch(rng, 4, 6) for _ in range(5)]
    built = model("/gpu:0", OPTIMIZERS[name], *how)
    with tf.Session() as session:
        found, counted = trained(session, built, batches)
        assert refusals(session) == []
    counts = counted["/gpu:0"]
    assert (counts.replays, counts.launches, counts.reads, counts.uploads) == (1, 0, 0, 0)
    with tf.Session(config=WITHOUT) as session:
        for one, other in zip(trained(session, built, batches)[0], found, strict=True):
            np.testing.assert_array_equal(one, other)
    with tf.Graph().as_default() as graph:
        built = model("/cpu:0", OPTIMIZERS[name], *how)
    with tf.Session(graph=graph) as session, graph.as_default():
        for one, other in zip(trained(session, built, batches)[0], found, strict=True):
            np.testing.assert_allclose(one, other, 1e-5, 1e-6)


WHOLE = ["segment_sum", "segment_mean", "sparse_segment_sum"]
OPS = ["segment_sum", "segment_mean", "sparse_segment_sum", "sparse_segment_mean"]


@given(data=st.data())
@settings(max_examples=25)
def test_sums_are_those_of_the_cpu_whatever_the_ids(data):
    op = data.draw(st.sampled_from([*OPS, "sparse_segment_sqrt_n"]))
    dtype = data.draw(st.sampled_from(["float32", "float64", "int32"][: 3 if op in WHOLE else 2]))
    lists = data.draw(st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=4))
    rng = np.random.default_rng(0)
    with tf.Graph().as_default():
        ids = tf.placeholder(tf.int64, [None])
        chosen = tf.placeholder(tf.int32, [None])
        rows = tf.placeholder(dtype, [None, 2])
        table = tf.constant(rng.integers(-9, 9, (7, 2)).astype(dtype))
        results = []
        for device in ("/gpu:0", "/cpu:0"):
            with tf.device(device):
                given_rows = (table + 1, chosen) if "sparse" in op else (rows,)
                results.append(getattr(tf, op)(*given_rows, ids[:]) * 2)
        with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
            for own in [part for part in lists for _ in range(3)]:
                count = len(own)
                fed = {
                    ids: np.sort(np.array(own, np.int64)),
                    chosen: rng.integers(0, 7, count).astype(np.int32),
                    rows: rng.integers(-9, 9, (count, 2)).astype(dtype),
                }
                found, wanted = session.run(results, fed)
                np.testing.assert_array_equal(found, wanted)
            assert refusals(session) == []


# (ids, indices, what the error says)
WRONG = [
    ([0, 2, 1], [0, 1, 2], "segment ids are not increasing"),
    ([-1, 0, 1], [0, 1, 2], "segment ids must be >= 0"),
    ([0, 0, 1], [0, 5, 2], r"indices\[1\] == 5 out of range \[0, 5\)"),
    ([0, 0, 1], [0, 1, -2], r"indices\[2\] == -2 out of range \[0, 5\)"),
    ([0, 1], [0, 1, 2], "segment_ids and indices should have same size"),
]


@pytest.mark.parametrize(("ids", "indices", "text"), WRONG)
def test_what_is_wrong_is_refused_and_the_session_goes_on(device, ids, indices, text):
    given_ids, given_indices = tf.placeholder(tf.int64, [None]), tf.placeholder(tf.int64, [None])
    with tf.device(device):
        rows = tf.constant(np.ones((5, 2), np.float32))
        sums = tf.sparse_segment_sum(tf.exp(rows), given_indices, given_ids[:], name="sums")
        result = tf.reduce_sum(sums * 2.0)
    right = {given_ids: [0, 0, 1], given_indices: [0, 1, 2]}
    with tf.Session() as session:
        for _ in range(3):
            before = session.run(result, right)
            with pytest.raises(tf.errors.InvalidArgumentError, match=text) as caught:
                session.run(result, {given_ids: ids, given_indices: indices})
            assert caught.value.op.name == "sums"
            assert session.run(result, right) == before


def test_ids_of_which_only_the_device_knows_are_waited_for():
    ids = tf.placeholder(tf.float32, [None])
    with tf.device("/gpu:0"):
        own = tf.cast(tf.exp(ids) - 1.0, tf.int64)
        sums = tf.segment_sum(tf.ones([3, 2]), own)
    with tf.Session() as session:
        for last in (1, 2, 0):
            found = session.run(sums, {ids: np.log1p(np.array([0, 0, last]) + 0.25)})
            assert found[:, 0].tolist() == {0: [3], 1: [2, 1], 2: [2, 0, 1]}[last]


def test_who_sees_how_many_distinct_ids_there_are_sees_the_truth():
    ids, segments = tf.placeholder(tf.int64, [4]), tf.placeholder(tf.int64, [4])
    with tf.device("/gpu:0"):
        table = tf.constant(np.arange(10, dtype=np.float32).reshape(5, 2))
        kept, places = tf.unique(ids)
        rows = tf.gather(table * 2.0, kept)
        sums = tf.sparse_segment_sum(rows, places, segments)
        others = tf.sparse_segment_sum(rows, tf.zeros_like(places), segments)
    with tf.Session() as session:
        for _ in range(3):
            fed = {ids: [3, 1, 3, 3], segments: [0, 0, 1, 1]}
            assert session.run(rows, fed).shape == (2, 2)
            assert session.run([sums, kept], fed)[1].tolist() == [3, 1]
            assert session.run(sums, fed).tolist() == [[16, 20], [24, 28]]
            assert session.run([sums, others], fed)[1].tolist() == [[24, 28], [24, 28]]


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize("verb", ["mul", "div", "min", "max", "add"])
def test_scatters_of_places_that_come_twice_are_recorded(verb, use_resource):
    places = tf.placeholder(tf.int32, [4])
    updates = tf.placeholder(tf.float32, [4, 2])
    results = []
    for number, device in enumerate(("/gpu:0", "/cpu:0")):
        with tf.device(device):
            start = np.full((5, 2), 4, np.float32)
            table = tf.Variable(start, use_resource=use_resource, name=f"table{number}")
            given_places = tf.identity(places)
            changed = getattr(tf, f"scatter_{verb}")(table, given_places, tf.abs(updates) * 2.0)
            with tf.control_dependencies([changed]):
                results.append(table.read_value() + 1.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(4):
            fed = {places: [1, 3, 1, step], updates: np.exp2(np.arange(8) % 3 - 2).reshape(4, 2)}
            with session.counting() as counted:
                found, wanted = session.run(results, fed)
            np.testing.assert_array_equal(found, wanted)
        assert refusals(session) == []
    assert (counted["/gpu:0"].replays, counted["/gpu:0"].launches) == (1, 0)
