"""`tf.contrib.opt`: what SciPy makes of a graph, against answers known beforehand."""

import numpy as np
import pytest

import tfsession as tf

optimize = pytest.importorskip("scipy.optimize")
Interface = tf.contrib.opt.ScipyOptimizerInterface
START, GOAL = [7.0, 7.0], [[1.0, 2.0]]


def started(session, **arguments):
    vector = tf.Variable(START, **arguments)
    row = tf.Variable([[3.0, 4.0]], **arguments)
    unused = tf.Variable(5.0, **arguments)
    session.run(tf.global_variables_initializer())
    return vector, row, unused


@pytest.mark.parametrize("method", ["L-BFGS-B", "CG", "BFGS", "SLSQP", "TNC", "trust-constr"])
@pytest.mark.parametrize("use_resource", [False, True])
def test_minimizes(fresh_graph, method, use_resource):
    with tf.Session() as session:
        vector, row, unused = started(session, use_resource=use_resource)
        goal = tf.placeholder(tf.float32)
        loss = tf.reduce_sum(tf.square(vector)) + tf.reduce_sum(tf.square(row - goal))
        Interface(loss, method=method).minimize(feed_dict={goal: GOAL})
        found = session.run([vector, row, unused])
    for value, expected in zip(found, [[0, 0], GOAL, 5.0], strict=True):
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected, atol=1e-3)


def test_constraints_and_bounds(fresh_graph):
    with tf.Session() as session:
        vector, row, _ = started(session)
        loss = tf.reduce_sum(tf.square(vector)) + tf.reduce_sum(tf.square(row))
        interface = Interface(
            loss,
            [vector, row],
            equalities=[vector[1] - 1.0],
            inequalities=[vector[0] - 1.0],
            var_to_bounds={row: ([[-np.inf, 2.0]], 4.0)},
            method="SLSQP",
        )
        interface.minimize(session)
        np.testing.assert_allclose(session.run(vector), [1, 1], atol=1e-4)
        np.testing.assert_allclose(session.run(row), [[0, 2]], atol=1e-4)


def test_steps_are_those_of_scipy(fresh_graph):
    options = {"maxiter": 6}
    steps, losses, expected = [], [], []
    with tf.Session() as session:
        x = tf.Variable(np.linspace(-1, 2, 5), dtype=tf.float64)
        loss = tf.reduce_sum(100 * tf.square(x[1:] - x[:-1] ** 2) + tf.square(1 - x[:-1]))
        session.run(x.initializer)
        Interface(loss, options=options).minimize(
            fetches=[loss, x],
            step_callback=lambda at: steps.append(at.copy()),
            loss_callback=lambda value, at: losses.append((float(value), at.copy())),
        )
        optimize.minimize(
            optimize.rosen,
            np.linspace(-1, 2, 5),
            jac=optimize.rosen_der,
            method="L-BFGS-B",
            options=options,
            callback=lambda at: expected.append(at.copy()),
        )
        np.testing.assert_allclose(steps, expected, rtol=1e-9)
        np.testing.assert_array_equal(session.run(x), steps[-1])
        for value, at in losses:  # what is fetched is seen at the point of the loss
            np.testing.assert_allclose(value, optimize.rosen(at), rtol=1e-12)


def test_variables_stay_when_the_caller_stops(fresh_graph):
    with tf.Session() as session:
        vector, _, _ = started(session)
        interface = Interface(tf.reduce_sum(tf.square(vector)))

        def stop(loss):
            assert session.run(vector).tolist() == START
            raise KeyError("stop")

        with pytest.raises(KeyError, match="stop"):
            interface.minimize(session, fetches=[interface._loss], loss_callback=stop)
        assert session.run(vector).tolist() == START


def test_another_optimizer(fresh_graph):
    class Descent(tf.contrib.opt.ExternalOptimizerInterface):
        def _minimize(self, initial_val, loss_grad_func, optimizer_kwargs, **_):
            at = initial_val
            for _ in range(optimizer_kwargs["steps"]):
                at = at - 0.25 * loss_grad_func(at)[1]
            return at

    with tf.Session() as session:
        vector, _, _ = started(session)
        Descent(tf.reduce_sum(tf.square(vector)), [vector], steps=2).minimize(session)
        np.testing.assert_allclose(session.run(vector), np.array(START) / 4)
        base = tf.contrib.opt.ExternalOptimizerInterface(tf.reduce_sum(vector))
        with pytest.raises(NotImplementedError, match="implement the _minimize"):
            base.minimize(session)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounds": [(0, 1)]}, "Bounds must be set using the var_to_bounds argument"),
        ({"jac": True}, "keyword arg 'jac' is set automatically"),
        ({"callback": print}, "keyword arg 'callback' is set automatically"),
    ],
)
def test_arguments_that_are_set_here(fresh_graph, arguments, message):
    with tf.Session() as session:
        vector, _, _ = started(session)
        interface = Interface(tf.reduce_sum(vector), **arguments)
        with pytest.raises(ValueError, match=message):
            interface.minimize(session)


def test_needs_a_session_and_fixed_shapes(fresh_graph):
    with tf.Session() as session:
        vector, _, _ = started(session)
    with pytest.raises(ValueError, match="needs a session"):
        Interface(tf.reduce_sum(vector)).minimize()
    loose = tf.Variable(tf.placeholder(tf.float32), validate_shape=False)
    with pytest.raises(ValueError, match="has no fixed shape"):
        Interface(tf.reduce_sum(loose), [loose])
