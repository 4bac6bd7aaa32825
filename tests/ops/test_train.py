"""The fused training operations: one step of each, in each dtype, on references and resources."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import TOLERANCES

NAMES = ("ApplyGradientDescent", "ApplyMomentum", "SparseApplyMomentum", "ApplyAdam")
# They work on variables, which rows do not have; the table below covers them.
COVERED = [f"{kind}{name}" for kind in ("", "Resource") for name in NAMES]

START = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])
SLOT = np.array([[0.5, 0.25], [0.125, 1.0], [2.0, 0.5]])
OTHER = np.array([[0.25, 0.5], [1.0, 0.125], [0.5, 2.0]])
GRAD = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]])


def _descent(nesterov):
    return START - 0.1 * GRAD


def _momentum(nesterov):
    accum = SLOT * 0.9 + GRAD
    return START - (0.1 * GRAD + 0.1 * 0.9 * accum if nesterov else 0.1 * accum)


def _sparse_momentum(nesterov):
    result = _momentum(nesterov)
    result[1] = START[1]
    return result


def _adam(nesterov):
    m = SLOT + (GRAD - SLOT) * (1 - 0.9)
    v = OTHER + (GRAD**2 - OTHER) * (1 - 0.99)
    rate = 0.1 * np.sqrt(1 - 0.98) / (1 - 0.81)
    return START - rate * (GRAD * (1 - 0.9) + 0.9 * m if nesterov else m) / (np.sqrt(v) + 0.01)


# (op, how many variables, scalars before the gradient, what follows it, expected)
STEPS = {
    "ApplyGradientDescent": (1, [0.1], [], _descent),
    "ApplyMomentum": (2, [0.1], [0.9], _momentum),
    "SparseApplyMomentum": (2, [0.1], ["indices", 0.9], _sparse_momentum),
    "ApplyAdam": (3, [0.81, 0.98, 0.1, 0.9, 0.99, 0.01], [], _adam),
}
KINDS = pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
EACH = pytest.mark.parametrize("name", NAMES)


def _build(name, dtype, use_resource, nesterov=False, grad=GRAD):
    count, before, after, _ = STEPS[name]
    kind = tf.as_dtype(dtype)
    values = [START, SLOT, OTHER][:count]
    states = [tf.Variable(tf.constant(v, kind), use_resource=use_resource) for v in values]
    rows = [0, 2]
    sparse = "indices" in after
    inputs = [v.handle if use_resource else v._ref() for v in states]
    inputs += [tf.constant(x, kind) for x in before]
    inputs.append(tf.constant(grad[rows] if sparse else grad, kind))
    inputs += [tf.constant(rows) if x == "indices" else tf.constant(x, kind) for x in after]
    attrs = {"use_nesterov": nesterov} if name != "ApplyGradientDescent" else None
    op = create_op(("Resource" if use_resource else "") + name, inputs, attrs)
    return states, op if use_resource else op.op


@KINDS
@pytest.mark.parametrize("nesterov", [False, True], ids=["plain", "nesterov"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@EACH
def test_one_step(fresh_graph, device, name, dtype, nesterov, use_resource):
    if nesterov and name == "ApplyGradientDescent":
        nesterov = False
    with tf.device(device):
        states, op = _build(name, dtype, use_resource, nesterov)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        session.run(op)
        found = session.run(states[0])
    assert found.dtype == tf.as_dtype(dtype).as_numpy_dtype
    tolerance = 4 * TOLERANCES[dtype]
    wanted = STEPS[name][3](nesterov)
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=tolerance, atol=tolerance)


@KINDS
@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("Sparse")])
def test_a_gradient_of_another_shape_is_refused_and_changes_nothing(
    fresh_graph, device, name, use_resource
):
    count, before, after, _ = STEPS[name]
    with tf.device(device):
        states = [tf.Variable(v, use_resource=use_resource) for v in (START, SLOT, OTHER)[:count]]
        grad = tf.placeholder(tf.float64)
        inputs = [v.handle if use_resource else v._ref() for v in states]
        inputs += [tf.constant(x, tf.float64) for x in before]
        inputs += [grad, *(tf.constant(x, tf.float64) for x in after)]
        op = create_op(("Resource" if use_resource else "") + name, inputs)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match="do not have the same shape"):
            session.run(op if use_resource else op.op, {grad: np.ones((3, 1))})
        for state, value in zip(states, (START, SLOT, OTHER), strict=False):
            np.testing.assert_array_equal(session.run(state), value)


STATIC_ERRORS = [
    (lambda w, g: create_op("ApplyGradientDescent", [w, 0.1, [1.0, 2.0, 3.0]]), "must be equal"),
    (lambda w, g: create_op("ApplyGradientDescent", [w, [0.1], g]), "Shape must be rank 0"),
    (
        lambda w, g: create_op("SparseApplyMomentum", [w, w, 0.1, [[1.0]], [0], 0.9]),
        "must be equal rank|Shapes must be equal|rank",
    ),
]


@pytest.mark.parametrize("row", STATIC_ERRORS, ids=["gradient", "rate", "rows"])
def test_errors_while_building(fresh_graph, row):
    build, phrase = row
    w = tf.Variable([1.0, 2.0])._ref()
    with pytest.raises(ValueError, match=phrase):
        build(w, tf.constant([1.0, 2.0]))


@KINDS
def test_rows_out_of_range_change_nothing(fresh_graph, use_resource):
    states = [tf.Variable(v, use_resource=use_resource) for v in (START, SLOT)]
    handles = [v.handle if use_resource else v._ref() for v in states]
    kind = "Resource" if use_resource else ""
    tail = [np.float64(0.1), GRAD[:2], [0, 7], np.float64(0.9)]
    op = create_op(f"{kind}SparseApplyMomentum", [*handles, *tail])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 7 is not in \[0, 3\)"):
            session.run(op if use_resource else op.op)
        np.testing.assert_array_equal(session.run(states[0]), START)
        np.testing.assert_array_equal(session.run(states[1]), SLOT)
