"""Steps of training on some rows of a variable are one recording, as those on all of it are."""

import gc

import numpy as np
import pytest
from recordings import refusals

import tfsession as tf
from tfsession.core.op_def import ops
from tfsession.graph.create import create_op

WITHOUT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0

OPTIMIZERS = {
    "descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.1, 0.9),
    "Nesterov": lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "Adam": lambda: tf.train.AdamOptimizer(0.1),
    "Adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "AdagradDA": lambda: tf.train.AdagradDAOptimizer(0.1, tf.constant(1, tf.int64)),
    "Adadelta": lambda: tf.train.AdadeltaOptimizer(0.1),
    "RMSProp": lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.9),
    "centered RMSProp": lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.9, centered=True),
    "Ftrl": lambda: tf.train.FtrlOptimizer(0.1),
    "proximal descent": lambda: tf.train.ProximalGradientDescentOptimizer(0.1),
    "proximal Adagrad": lambda: tf.train.ProximalAdagradOptimizer(0.1),
}
# Another number of distinct ones in each step.
WORDS = [[1, 3, 1, 4], [2, 2, 2, 2], [4, 3, 2, 1], [0, 1, 0, 1], [3, 3, 3, 1]]


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield
    gc.collect()


def embedding(optimizer, use_resource=False, dtype=tf.int64):
    """A training step of words on a GPU; gives the placeholder of words, the step and its loss."""
    with tf.device("/gpu:0"):
        ids = tf.placeholder(dtype, [None])
        with tf.variable_scope("model", use_resource=use_resource):
            table = tf.get_variable(
                "table", initializer=np.linspace(-1, 1, 15, dtype="f4").reshape(5, 3)
            )
            dense = tf.get_variable(
                "dense", initializer=np.linspace(0, 1, 6, dtype="f4").reshape(3, 2)
            )
        found = tf.nn.embedding_lookup(table, ids)
        loss = tf.reduce_mean(tf.square(tf.matmul(found, dense) - 1.0))
        step = optimizer.minimize(loss)
    return ids, step, loss


def trained(session, ids, step, loss, batches=WORDS):
    """The losses of steps, the variables in the end, and what the last step took."""
    session.run(tf.global_variables_initializer())
    for words in batches[:2]:
        session.run(step, {ids: words})
    losses = []
    for words in batches:
        with session.counting() as counted:
            losses.append(session.run([loss, step], {ids: words})[0])
    values = [value.tobytes() for value in session.run(tf.global_variables())]
    return [*losses, *values], counted


KINDS = {"reference": (False, tf.int64), "resource": (True, tf.int64)}
CASES = [(name, *kind) for name in OPTIMIZERS for kind in KINDS.items()]
CASES += [(name, "int32", (False, tf.int32)) for name in ("Adam", "Adagrad")]


@pytest.mark.parametrize(("name", "kind", "how"), CASES, ids=lambda x: x if type(x) is str else "")
def test_it_is_one_recording_with_the_bits_of_unrecorded_steps(name, kind, how):
    model = embedding(OPTIMIZERS[name](), *how)
    with tf.Session() as session:
        found, counted = trained(session, *model)
        assert refusals(session) == []
    counts = counted["/gpu:0"]
    assert counts.uploads == counts.reads == 0
    assert (counts.replays, counts.launches, counts.host_to_device) == (1, 0, 1)
    with tf.Session(config=WITHOUT) as session:
        assert trained(session, *model)[0] == found


def test_rows_that_are_not_there_are_left_out():
    ids, step, _ = embedding(tf.train.MomentumOptimizer(0.1, 0.9))
    table, slot = tf.global_variables()[0], tf.global_variables()[-2]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(step, {ids: [1, 2, 1]})
        before, momenta = session.run([table, slot])
        session.run(step, {ids: [-1, 77, -1]})
        after, now = session.run([table, slot])
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(momenta, now)
        session.run(step, {ids: [9, 3, 9]})
        changed = (session.run(table) != after).any(1)
    assert changed.tolist() == [False, False, False, True, False]


def test_no_words_are_no_update():
    ids, step, _ = embedding(tf.train.AdagradOptimizer(0.1))
    table = tf.global_variables()[0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run(table)
        for _ in range(3):
            session.run(step, {ids: np.zeros(0, np.int64)})
        np.testing.assert_array_equal(session.run(table), before)


def _distinct(ids):
    return tf.unique(ids)[0]


def _how_many(ids):
    return tf.shape(tf.unique(ids)[0])[0]


def _sums(ids):
    found, places = tf.unique(ids)
    return tf.unsorted_segment_sum(tf.ones([4, 2]), places, tf.shape(found)[0])


def _sums_and_update(ids):
    sums, table = _sums(ids), tf.Variable(np.zeros((5, 2), np.float32))
    with tf.control_dependencies([tf.scatter_add(table, tf.unique(ids)[0], sums).op]):
        return tf.reduce_sum(sums, 1)


def _updates_of_a_constant(ids):
    table = tf.Variable(np.zeros((5, 2), np.float32))
    return tf.scatter_add(table, tf.unique(ids)[0], tf.constant(np.ones((2, 2), np.float32)))


def _mean_of_updates(ids):
    found, places = tf.unique(ids)
    sums = tf.unsorted_segment_sum(tf.ones([4, 2]), places, tf.shape(found)[0])
    table = tf.Variable(np.zeros((5, 2), np.float32))
    return tf.scatter_add(table, found, sums * tf.reduce_mean(sums))


def _multiplied(ids):
    found, places = tf.unique(ids)
    sums = tf.unsorted_segment_sum(tf.ones([4, 2]), places, tf.shape(found)[0])
    return tf.scatter_mul(tf.Variable(np.ones((5, 2), np.float32)), found, sums)


SEEN = [
    *(_distinct, _how_many, _sums, _sums_and_update, _updates_of_a_constant, _mean_of_updates),
    _multiplied,
]


@pytest.mark.parametrize("build", SEEN)
def test_who_sees_how_many_there_are_sees_the_truth(build):
    with tf.device("/gpu:0"):
        ids = tf.placeholder(tf.int64, [4])
        result = build(ids)
    with tf.device("/cpu:0"):
        wanted = build(ids)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            found, expected = session.run([result, wanted], {ids: [3, 1, 3, 3]})
            np.testing.assert_array_equal(found, expected)


def test_what_a_program_fetches_or_feeds_is_as_large_as_it_is():
    ids, step, _ = embedding(tf.train.AdagradOptimizer(0.1))
    operations = tf.get_default_graph().get_operations()
    (distinct,) = (op for op in operations if op.type == "Unique")
    (sums,) = (op for op in operations if op.type == "UnsortedSegmentSum")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            found, rows, _ = session.run(
                [distinct.outputs[0], sums.outputs[0], step], {ids: [3, 1, 3, 3]}
            )
            assert found.tolist() == [3, 1]
            assert rows.shape == (2, 3)
        before = session.run(tf.global_variables()[0])
        fed = {ids: [3, 1, 3, 3], distinct.outputs[0]: np.array([0, 4])}
        session.run(step, fed)
        changed = (session.run(tf.global_variables()[0]) != before).any(1)
    assert changed.tolist() == [True, False, False, False, True]


def test_distinct_numbers_that_are_known_before_a_step():
    with tf.device("/gpu:0"):
        distinct, number = tf.unique(tf.constant([2, 0, 2]))
        table = tf.Variable(np.eye(3, dtype=np.float32))
        rows = tf.gather(tf.gather(table, distinct), number)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(table.initializer)
        for _ in range(3):
            np.testing.assert_array_equal(session.run(rows), np.eye(3)[[2, 0, 2]])


NUMBERS = {
    **dict.fromkeys(("lr", "alpha", "epsilon"), 0.1),
    **dict.fromkeys(("rho", "momentum"), 0.9),
    **dict.fromkeys(("l1", "l2", "l2_shrinkage"), 0.01),
    "lr_power": -0.5,
}
UPDATES = sorted(name for name in ops.names() if "SparseApply" in name)


def updating(name, ids, grad):
    """An operation that updates rows of new variables, and these."""
    states, inputs = [], []
    for arg in ops[name].inputs:
        if arg.is_ref or arg.type is tf.resource:
            states.append(tf.Variable(np.ones((3, 2), np.float32), use_resource=not arg.is_ref))
            inputs.append(states[-1]._ref() if arg.is_ref else states[-1].handle)
        elif arg.name == "global_step":
            inputs.append(tf.constant(3, tf.int64))
        else:
            inputs.append({"indices": ids, "grad": grad, "delta": grad}.get(arg.name))
            if inputs[-1] is None:
                inputs[-1] = tf.constant(NUMBERS[arg.name])
    made = create_op(name, inputs)
    return getattr(made, "op", made), states


@pytest.mark.parametrize("name", UPDATES)
def test_updates_of_rows_that_come_twice_are_made_one_after_another(name):
    ids, x = tf.placeholder(tf.int64, [5]), tf.placeholder(tf.float32, [5, 2])
    found = []
    for device in ("/cpu:0", "/gpu:0"):
        with tf.device(device):
            step, states = updating(name, tf.identity(ids), tf.tanh(x))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for number in range(4):
                feeds = {ids: [2, 0, number % 3, 2, 2], x: np.arange(10).reshape(5, 2) - number}
                with session.counting() as counted:
                    session.run(step, feeds)
            assert refusals(session) == []
            found.append([value.tobytes() for value in session.run(states)])
    assert found[0] == found[1]
    assert (counted["/gpu:0"].replays, counted["/gpu:0"].reads) == (1, 0)


def test_updates_of_rows_that_are_not_there_do_nothing():
    ids = tf.placeholder(tf.int64, [3])
    with tf.device("/gpu:0"):
        step, states = updating("SparseApplyMomentum", ids, tf.tanh([[1.0, 2.0]] * 3))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(step, {ids: [-1, 3, 1 << 40]})
        assert all((value == 1).all() for value in session.run(states))
