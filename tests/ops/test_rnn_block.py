"""Recurrent cells as one operation."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases

BATCH, INPUTS, SIZE, STEPS = 2, 3, 4, 3
STATES = [floats(BATCH, SIZE, low=-1.0, high=1.0)] * 2
WEIGHTS = [floats(INPUTS + SIZE, 4 * SIZE, low=-1.0, high=1.0), *[floats(SIZE)] * 3,
           floats(4 * SIZE)]  # fmt: skip
NAMES = ["x", "cs_prev", "h_prev", "w", "wci", "wcf", "wco", "b"]


def cell(tf, *given, **attrs):
    return list(tf.raw_ops.LSTMBlockCell(**dict(zip(NAMES, given, strict=True)), **attrs))


def steps(tf, *given, op="BlockLSTM", count=STEPS, **attrs):
    inputs = dict(zip(NAMES, given, strict=True), seq_len_max=tf.constant(count, tf.int64))
    return list(getattr(tf.raw_ops, op)(**inputs, **attrs))


def told(tf, *given, count=STEPS, **kwargs):
    """What TensorFlow fills: behind the last step, gates are there whatever was in memory."""
    found = steps(tf, *given, count=count, **kwargs)
    return found if count == STEPS else [found[1], found[6]]


def slopes(tf, *given, **kwargs):
    """The gradients of all inputs, for weights on the states and outputs of each step."""
    found = steps(tf, *given, **kwargs)
    weights = np.cos(np.arange(STEPS * BATCH * SIZE)).reshape(STEPS, BATCH, SIZE)
    loss = tf.reduce_sum(found[6] * weights.astype("float32") + found[1] * 0.5)
    return [g for g in tf.gradients(loss, given) if g is not None]


def gru(tf, *given):
    names = ["x", "h_prev", "w_ru", "w_c", "b_ru", "b_c"]
    return list(tf.raw_ops.GRUBlockCell(**dict(zip(names, given, strict=True))))


GRU = [floats(BATCH, INPUTS), floats(BATCH, SIZE), floats(INPUTS + SIZE, 2 * SIZE),
       floats(INPUTS + SIZE, SIZE), floats(2 * SIZE), floats(SIZE)]  # fmt: skip
WAYS = [{}, {"use_peephole": True}, {"cell_clip": 0.3}]
ROWS = [
    *(
        Row("LSTMBlockCell", cell, [floats(BATCH, INPUTS), *STATES, *WEIGHTS],
            {"forget_bias": 0.5, **attrs}, label=f"{attrs}")
        for attrs in WAYS
    ),
    *(
        Row(op, build, [floats(STEPS, BATCH, INPUTS), *STATES, *WEIGHTS],
            {"op": name, "count": count, **attrs}, label=f"{count}{attrs}",
            same_graph=build is told or "gradients are of other operations",
            oracle=op != "BlockLSTMGradV2" or "it takes the gates in the other order")
        for op, build, name in (
            ("BlockLSTM", told, "BlockLSTM"), ("BlockLSTMV2", told, "BlockLSTMV2"),
            ("BlockLSTMGrad", slopes, "BlockLSTM"), ("BlockLSTMGradV2", slopes, "BlockLSTMV2"),
        )
        for attrs in WAYS
        for count in ((2,) if attrs else (STEPS, 0))
        if build is told or (count and "cell_clip" not in attrs)
    ),
    Row("BlockLSTM", steps, [floats(STEPS, BATCH, INPUTS), *STATES, *WEIGHTS],
        dtypes=["float16"], label="half"),
    Row("GRUBlockCell", gru, GRU),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def _assert_equal(session, first, second):
    for one, other in zip(*session.run([first, second]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("peephole", [False, True])
def test_a_cell_is_one_step(fresh_graph, peephole):
    random = np.random.default_rng(1)
    shapes = [(BATCH, INPUTS), *[(BATCH, SIZE)] * 2, (INPUTS + SIZE, 4 * SIZE)]
    given = [tf.constant(random.normal(size=s), tf.float32)
             for s in (*shapes, *[(SIZE,)] * 3, (4 * SIZE,))]  # fmt: skip
    one = cell(tf, *given, use_peephole=peephole)
    more = steps(tf, given[0][None], *given[1:], count=1, use_peephole=peephole)
    with tf.Session() as session:
        _assert_equal(session, one, [value[0] for value in more])
        grads = [tf.gradients([out[1], out[6]], given[: None if peephole else 4])
                 for out in (one, more)]  # fmt: skip
        _assert_equal(session, *grads)


def test_the_second_version_has_the_gates_in_another_order(fresh_graph):
    random = np.random.default_rng(3)
    shapes = [(STEPS, BATCH, INPUTS), *[(BATCH, SIZE)] * 2, (INPUTS + SIZE, 4 * SIZE)]
    x, cs, h, w, *peeps, b = (tf.constant(random.normal(size=s), tf.float32)
                              for s in (*shapes, *[(SIZE,)] * 3, (4 * SIZE,)))  # fmt: skip

    def moved(gates):
        i, c, f, o = tf.split(gates, 4, -1)
        return tf.concat([i, f, c, o], -1)

    first = slopes(tf, x, cs, h, w, *peeps, b, use_peephole=True, forget_bias=0.0, cell_clip=0.0)
    second = slopes(tf, x, cs, h, moved(w), *peeps, moved(b), op="BlockLSTMV2", use_peephole=True)
    first[3], first[7] = moved(first[3]), moved(first[7])
    with tf.Session() as session:
        _assert_equal(session, first, second)


def test_gradients_of_a_gated_cell_are_those_of_its_formulas(fresh_graph):
    random = np.random.default_rng(2)
    shapes = [(BATCH, INPUTS), (BATCH, SIZE), (INPUTS + SIZE, 2 * SIZE), (INPUTS + SIZE, SIZE)]
    given = [tf.constant(random.normal(size=s), tf.float32)
             for s in (*shapes, (2 * SIZE,), (SIZE,))]  # fmt: skip
    x, h, w_ru, w_c, b_ru, b_c = given
    r, u = tf.split(tf.sigmoid(tf.matmul(tf.concat([x, h], 1), w_ru) + b_ru), 2, 1)
    c = tf.tanh(tf.matmul(tf.concat([x, h * r], 1), w_c) + b_c)
    formulas = u * h + (1 - u) * c
    weights = np.cos(np.arange(BATCH * SIZE)).reshape(BATCH, SIZE).astype(np.float32)
    with tf.Session() as session:
        _assert_equal(session, *(
            tf.gradients(y * weights, given) for y in (gru(tf, *given)[3], formulas)
        ))  # fmt: skip


def test_what_does_not_fit(fresh_graph):
    unknown = tf.placeholder(tf.float32)
    x, states = tf.ones([STEPS, BATCH, INPUTS]), [tf.ones([BATCH, SIZE])] * 2
    w, vectors, b = tf.ones([INPUTS + SIZE, 4 * SIZE]), [tf.ones([SIZE])] * 3, tf.ones([4 * SIZE])
    with tf.Session() as session:
        for given, count, text in [
            ((x, *states, unknown, *vectors, b), 3, "w must have shape"),
            ((x, unknown, states[0], w, *vectors, b), 3, "cs_prev must have shape"),
            ((x, *states, w, *vectors, b), 4, r"seq_len_max must be a scalar in \[0, 3\]"),
            ((unknown, *states, w, *vectors, b), 1, "x must be of rank 3"),
        ]:
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(steps(tf, *given, count=count), {unknown: np.ones((2, 2))})
