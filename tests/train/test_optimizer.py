"""Optimizers: updates by the published formulas, slots, global step, sparse gradients, errors."""

import numpy as np
import pytest

import tfsession as tf

KINDS = pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
START = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]], np.float32)
TARGET = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, -1.0]], np.float32)


def _gradient(w):
    """Of sum((w - target)**2)."""
    return 2 * (w - TARGET)


def descent(w, state, step):
    return w - 0.1 * _gradient(w)


def momentum(w, state, step, nesterov=False):
    grad = _gradient(w)
    state["m"] = state.get("m", 0) * 0.9 + grad
    return w - 0.1 * (grad + 0.9 * state["m"] if nesterov else state["m"])


def nesterov(w, state, step):
    return momentum(w, state, step, nesterov=True)


def adam(w, state, step):
    grad = _gradient(w)
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * grad
    state["v"] = 0.99 * state.get("v", 0) + 0.01 * grad**2
    rate = 0.1 * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
    return w - rate * state["m"] / (np.sqrt(state["v"]) + 1e-6)


def rms_prop(w, state, step, centered=False):
    grad = _gradient(w)
    state["ms"] = 0.8 * state.get("ms", 1) + 0.2 * grad**2
    state["mg"] = 0.8 * state.get("mg", 0) + 0.2 * grad
    around = state["mg"] ** 2 if centered else 0
    state["m"] = 0.5 * state.get("m", 0) + 0.1 * grad / np.sqrt(state["ms"] - around + 1e-10)
    return w - state["m"]


def centered(w, state, step):
    return rms_prop(w, state, step, centered=True)


def adagrad(w, state, step):
    grad = _gradient(w)
    state["s"] = state.get("s", 0.1) + grad**2
    return w - 0.1 * grad / np.sqrt(state["s"])


def adadelta(w, state, step):
    grad = _gradient(w)
    state["g"] = 0.9 * state.get("g", 0) + 0.1 * grad**2
    update = np.sqrt(state.get("u", 0) + 1e-2) / np.sqrt(state["g"] + 1e-2) * grad
    state["u"] = 0.9 * state.get("u", 0) + 0.1 * update**2
    return w - update


def proximal(w, state, step):
    w = w - 0.1 * _gradient(w)
    return np.sign(w) * np.maximum(np.abs(w) - 0.1 * 0.25, 0) / (1 + 0.1 * 0.5)


def ftrl(w, state, step):
    grad = _gradient(w)
    before = state.get("n", 0.1)
    state["n"] = before + grad**2
    state["z"] = state.get("z", 0) + grad - (np.sqrt(state["n"]) - np.sqrt(before)) / 0.1 * w
    slope = np.sqrt(state["n"]) / 0.1 + 2 * 0.5
    return (np.clip(state["z"], -0.25, 0.25) - state["z"]) / slope


OPTIMIZERS = [
    (rms_prop, lambda: tf.train.RMSPropOptimizer(0.1, 0.8, 0.5), ["momentum", "rms"]),
    (
        centered,
        lambda: tf.train.RMSPropOptimizer(0.1, 0.8, 0.5, centered=True),
        ["mg", "momentum", "rms"],
    ),
    (adagrad, lambda: tf.train.AdagradOptimizer(0.1), ["accumulator"]),
    (adadelta, lambda: tf.train.AdadeltaOptimizer(1.0, 0.9, 1e-2), ["accum", "accum_update"]),
    (proximal, lambda: tf.train.ProximalGradientDescentOptimizer(0.1, 0.25, 0.5), []),
    (
        ftrl,
        lambda: tf.train.FtrlOptimizer(
            0.1, l1_regularization_strength=0.25, l2_regularization_strength=0.5
        ),
        ["accum", "linear"],
    ),
    (descent, lambda: tf.train.GradientDescentOptimizer(0.1), []),
    (momentum, lambda: tf.train.MomentumOptimizer(0.1, 0.9), ["momentum"]),
    (nesterov, lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True), ["momentum"]),
    (adam, lambda: tf.train.AdamOptimizer(0.1, beta2=0.99, epsilon=1e-6), ["m", "v"]),
]
EACH = pytest.mark.parametrize("row", OPTIMIZERS, ids=[row[0].__name__ for row in OPTIMIZERS])


@KINDS
@EACH
def test_updates_follow_the_formula(fresh_graph, device, row, use_resource):
    formula, make, slots = row
    with tf.device(device):
        w = tf.Variable(START, use_resource=use_resource, name="w")
        loss = tf.reduce_sum(tf.square(w - TARGET))
        optimizer = make()
        train = optimizer.minimize(loss)
    assert optimizer.get_slot_names() == slots
    wanted, state = START.astype(np.float64), {}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(1, 6):
            session.run(train)
            wanted = formula(wanted, state, step)
            np.testing.assert_allclose(session.run(w), wanted, rtol=2e-5, atol=1e-6)


@KINDS
@EACH
def test_sparse_gradients_update_the_gathered_rows(fresh_graph, device, row, use_resource):
    """Where every row takes part, they agree with dense ones."""
    formula, make, _ = row
    with tf.device(device):
        w = tf.Variable(START, use_resource=use_resource)
        rows = tf.gather(w, [0, 1, 2])
        loss = tf.reduce_sum(tf.square(rows - TARGET))
        grad = tf.gradients(loss, [w])[0]
        assert isinstance(grad, tf.IndexedSlices)
        train = make().minimize(loss)
    wanted, state = START.astype(np.float64), {}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(1, 4):
            session.run(train)
            wanted = formula(wanted, state, step)
            np.testing.assert_allclose(session.run(w), wanted, rtol=2e-5, atol=1e-6)


def test_duplicate_rows_are_summed(fresh_graph):
    w = tf.Variable([[1.0], [2.0], [3.0]])
    loss = tf.reduce_sum(tf.gather(w, [0, 0, 2]))
    train = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run(w).tolist() == [[0.0], [2.0], [2.5]]


def test_slots_stand_beside_their_variables(fresh_graph):
    with tf.variable_scope("model"):
        w = tf.get_variable("w", [2], initializer=tf.zeros_initializer())
    optimizer = tf.train.AdamOptimizer(0.1)
    train = optimizer.minimize(tf.reduce_sum(w), global_step=tf.train.get_or_create_global_step())
    assert optimizer.get_slot(w, "m").name == "model/w/Adam:0"
    assert optimizer.get_slot(w, "v").name == "model/w/Adam_1:0"
    assert optimizer.get_slot(w, "other") is None
    names = [v.name for v in optimizer.variables()]
    assert names == ["beta1_power:0", "beta2_power:0", "model/w/Adam:0", "model/w/Adam_1:0"]
    assert [v.name for v in tf.trainable_variables()] == ["model/w:0"]
    assert train.name == "Adam"
    assert tf.get_collection(tf.GraphKeys.TRAIN_OP) == [train]


@KINDS
def test_the_global_step_counts(fresh_graph, use_resource):
    with tf.variable_scope("", use_resource=use_resource):
        step = tf.train.create_global_step()
    assert tf.train.get_or_create_global_step() is step
    w = tf.Variable(1.0)
    train = tf.train.GradientDescentOptimizer(0.1).minimize(w * w, global_step=step)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(train)
        assert tf.train.global_step(session, step) == 3
        assert session.run(step).dtype == np.int64


def test_rates_may_be_tensors_and_functions(fresh_graph):
    rate = tf.placeholder(tf.float32, [])
    w = tf.Variable(1.0)
    first = tf.train.GradientDescentOptimizer(rate).minimize(w)
    second = tf.train.GradientDescentOptimizer(lambda: 0.25).minimize(w)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(first, {rate: 0.5})
        assert session.run(w) == 0.5
        session.run(second)
        assert session.run(w) == 0.25


def test_a_dict_s_values_are_variables(fresh_graph):
    layers = {"b": tf.Variable(3.0), "a": tf.Variable(2.0)}
    other = tf.Variable(1.0)
    loss = layers["a"] * layers["b"] * other
    descent = tf.train.GradientDescentOptimizer(0.5)
    step = descent.minimize(loss, var_list=layers.values())
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(tf.group(layers.values()))
        sess.run(step)
        assert sess.run([layers["a"], layers["b"], other]) == [0.5, 2.0, 1.0]


def test_a_constraint_holds_after_the_update(fresh_graph):
    w = tf.Variable(0.05, constraint=lambda value: tf.maximum(value, 0.0))
    train = tf.train.GradientDescentOptimizer(1.0).minimize(w)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run(w) == 0.0


def test_gradients_can_be_changed_in_between(fresh_graph):
    w = tf.Variable([1.0, 2.0])
    unused = tf.Variable(1.0)
    optimizer = tf.train.GradientDescentOptimizer(1.0)
    pairs = optimizer.compute_gradients(tf.reduce_sum(w * 3.0))
    assert [grad is None for grad, _ in pairs] == [False, True]
    assert pairs[1][1] is unused
    train = optimizer.apply_gradients([(g * 0.5, v) for g, v in pairs if g is not None])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run(w).tolist() == [-0.5, 0.5]


ERRORS = [
    (lambda: tf.train.GradientDescentOptimizer(1.0).minimize(tf.constant(1.0)), "No variables to"),
    (
        lambda: tf.train.GradientDescentOptimizer(1.0).minimize(
            tf.constant(1.0), var_list=[tf.Variable(1.0)]
        ),
        "No gradients provided for any variable",
    ),
    (lambda: tf.train.GradientDescentOptimizer(1.0).apply_gradients([]), "No variables provided"),
    (lambda: tf.train.AdamOptimizer(name=""), "Must specify the optimizer name"),
    (
        lambda: tf.train.GradientDescentOptimizer(1.0).minimize(
            tf.cast(tf.Variable(1.0), tf.int32), gate_gradients=tf.train.Optimizer.GATE_NONE
        ),
        "Invalid type",
    ),
    (
        lambda: tf.train.GradientDescentOptimizer(1.0).minimize(tf.Variable(1.0) * 1.0,
                                                               gate_gradients=7),
        "gate_gradients must be one of",
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRORS, ids=[row[1] for row in ERRORS])
def test_errors(fresh_graph, row):
    build, phrase = row
    with pytest.raises(ValueError, match=phrase):
        build()


def test_training_an_uninitialized_variable_changes_nothing(fresh_graph):
    w = tf.Variable(1.0, name="w")
    train = tf.train.AdamOptimizer(0.1).minimize(tf.constant(2.0) * w)
    with tf.Session() as session:
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized"):
            session.run(train)
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run(w) != 1.0


class Halves(tf.train.Optimizer):
    """An optimizer of a program: it says only what TensorFlow's protocol asks for."""

    def __init__(self):
        super().__init__(use_locking=False, name="Halves")

    def _create_slots(self, var_list):
        for var in var_list:
            self._get_or_make_slot(var, tf.ones_like(var.initial_value) * 0.5, "rate", self._name)

    def _apply_dense(self, grad, var):
        return tf.assign_sub(var, self.get_slot(var, "rate") * grad)

    def _resource_apply_dense(self, grad, var):
        return self._apply_dense(grad, var)

    def _apply_sparse(self, grad, var):
        return tf.scatter_sub(var, grad.indices, grad.values)

    def _resource_apply_sparse(self, grad, var, indices):
        return tf.scatter_sub(var, indices, grad)


@KINDS
def test_programs_write_optimizers(fresh_graph, use_resource):
    w = tf.Variable([4.0, 8.0], use_resource=use_resource)
    table = tf.Variable([[4.0], [8.0]], use_resource=use_resource)
    loss = tf.reduce_sum(w * 3.0) + tf.reduce_sum(tf.gather(table, [1, 1]))
    train = Halves().minimize(loss)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(train)
        assert session.run(w).tolist() == [2.5, 6.5]
        assert session.run(table).tolist() == [[4.0], [6.0]]
