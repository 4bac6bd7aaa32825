"""Learning-rate schedules and moving averages under real TensorFlow and here."""

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("programs")]

SCHEDULES = {
    "exponential": lambda t, s: t.exponential_decay(0.1, s, 10, 0.96),
    "staircase": lambda t, s: t.exponential_decay(0.1, s, 10, 0.96, staircase=True, name="rate"),
    "natural": lambda t, s: t.natural_exp_decay(0.1, s, 10, 0.5, staircase=True),
    "inverse": lambda t, s: t.inverse_time_decay(0.1, s, 10, 0.5),
    "piecewise": lambda t, s: t.piecewise_constant(s, [3, 10, 20], [1.0, 0.5, 0.25, 0.125]),
    "two pieces": lambda t, s: t.piecewise_constant(s, [3], [1.0, 0.5], name="p"),
    "polynomial": lambda t, s: t.polynomial_decay(0.1, s, 15, 0.01, power=2.0),
    "cycle": lambda t, s: t.polynomial_decay(0.1, s, 4, 0.01, cycle=True),
    "cosine": lambda t, s: t.cosine_decay(0.1, s, 15, alpha=0.1),
    "restarts": lambda t, s: t.cosine_decay_restarts(0.1, s, 5, m_mul=0.5, alpha=0.1),
    "even restarts": lambda t, s: t.cosine_decay_restarts(0.1, s, 5, t_mul=1.0),
    "linear": lambda t, s: t.linear_cosine_decay(0.1, s, 15, num_periods=1.5),
    "noisy": lambda t, s: t.noisy_linear_cosine_decay(0.1, s, 15),
}


def _nodes(graph):
    return [(op.name, op.type) for op in graph.get_operations()]


def _course(tf, name):
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(3)
        step = tf.placeholder(tf.int64, [])
        rate = SCHEDULES[name](tf.train, step)
        with tf.Session(graph=graph) as session:
            return _nodes(graph), [session.run(rate, {step: i}) for i in (0, 1, 3, 4, 9, 15, 40)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(tf, name):
    theirs, ours = _course(tf, name), _course(tfsession, name)
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-6)


def _averages(tf, use_resource, zero_debias):
    with tf.Graph().as_default() as graph:
        with tf.variable_scope("net", use_resource=use_resource):
            w = tf.get_variable("w", [2], initializer=tf.ones_initializer())
            step = tf.train.get_or_create_global_step()
        loss = tf.square(w - [2.0, 5.0], name="loss")
        train = tf.train.GradientDescentOptimizer(0.25).minimize(loss, global_step=step)
        ema = tf.train.ExponentialMovingAverage(0.75, step, zero_debias)
        with tf.control_dependencies([train]):
            update = ema.apply([w, loss])
        names = ema.average_name(w), ema.average_name(loss), ema.average(step)
        restored = sorted((k, v.name) for k, v in ema.variables_to_restore().items())
        kept = [v.name for v in tf.moving_average_variables()]
        with tf.Session(graph=graph) as session:
            session.run(tf.global_variables_initializer())
            course = []
            for _ in range(4):
                session.run(update)
                course.append(session.run([w, ema.average(w), ema.average(loss)]))
    nodes = [node for node in _nodes(graph) if not node[0].startswith("gradients/")]
    return nodes, names, restored, kept, course


@pytest.mark.parametrize("zero_debias", [False, True], ids=["plain", "debiased"])
@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_moving_averages(tf, use_resource, zero_debias):
    theirs, ours = (_averages(m, use_resource, zero_debias) for m in (tf, tfsession))
    assert ours[:-1] == theirs[:-1]
    np.testing.assert_allclose(np.array(ours[-1]), np.array(theirs[-1]), rtol=2e-6)


def _moved(tf, assign_moving_average, zero_debias):
    with tf.Graph().as_default() as graph:
        average = tf.Variable([1.0, 2.0], trainable=False, name="mean")
        value = tf.placeholder(tf.float32, [2])
        moved = assign_moving_average(average, value, 0.9, zero_debias=zero_debias)
        with tf.Session(graph=graph) as session:
            session.run(tf.global_variables_initializer())
            return _nodes(graph), [session.run(moved, {value: [i, 3 * i]}) for i in range(4)]


@pytest.mark.parametrize("zero_debias", [False, True], ids=["plain", "debiased"])
def test_assign_moving_average(tf, zero_debias):
    from tensorflow.python.training import moving_averages  # noqa: PLC0415

    theirs = _moved(tf, moving_averages.assign_moving_average, zero_debias)
    name = tfsession.python.training.moving_averages.assign_moving_average
    ours = _moved(tfsession, name, zero_debias)
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-6)


def _templates(tf):
    def layer(x, units):
        w = tf.get_variable("w", [2, units])
        with tf.variable_scope("inner"):
            b = tf.get_variable("b", [units])
        return tf.matmul(x, w) + b

    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, 2], "x")
        late = tf.make_template("late", layer, units=3)
        early = tf.make_template("early", layer, True, units=2)
        named = tf.make_template("t", layer, unique_name_="late", units=3)
        with tf.name_scope("here"):
            late(x), early(x), late(x), early(x)
        with tf.variable_scope("outer"):
            late(x), tf.make_template("late", layer, units=1)(x)
        names = [v.name for v in (*late.variables, *early.trainable_variables)]
        try:
            named(x)
        except ValueError as error:
            names.append(str(error).split(",")[0])
        return _nodes(graph), names, late.variable_scope_name, early.variable_scope.name


def test_templates(tf):
    assert _templates(tfsession) == _templates(tf)
