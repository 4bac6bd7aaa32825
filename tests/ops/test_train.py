"""The fused training operations: one step of each, in each dtype, on references and resources."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.op_def import ops
from tfsession.graph.create import create_op
from tfsession.testing import TOLERANCES

# They work on variables, which rows do not have; the table below covers them.
COVERED = [
    f"{where}{name}"
    for name in ops.names()
    if name.startswith(("Apply", "SparseApply"))
    for where in ("", "Resource")
]

START = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])
SLOT = np.array([[0.5, 0.25], [0.125, 1.0], [2.0, 0.5]])
OTHER = np.array([[0.25, 0.5], [1.0, 0.125], [0.5, 2.0]])
GRAD = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]])


def _descent(w, s, t, g, alpha):
    return w - alpha * g


def _momentum(w, s, t, g, lr, momentum, use_nesterov=False):
    accum = s * momentum + g
    return w - (lr * g + lr * momentum * accum if use_nesterov else lr * accum)


def _adam(w, s, t, g, power1, power2, lr, beta1, beta2, epsilon, use_nesterov=False):
    m = s + (g - s) * (1 - beta1)
    v = t + (g**2 - t) * (1 - beta2)
    rate = lr * np.sqrt(1 - power2) / (1 - power1)
    step = g * (1 - beta1) + beta1 * m if use_nesterov else m
    return w - rate * step / (np.sqrt(v) + epsilon)


def _rms_prop(w, s, t, g, lr, rho, momentum, epsilon):
    ms = rho * s + (1 - rho) * g**2
    return w - (momentum * t + lr * g / np.sqrt(ms + epsilon))


def _centered(w, mg, ms, g, lr, rho, momentum, epsilon):
    # Its third slot, the momentum, is SLOT.
    mean = rho * mg + (1 - rho) * g
    ms = rho * ms + (1 - rho) * g**2
    return w - (momentum * SLOT[: len(w)] + lr * g / np.sqrt(ms - mean**2 + epsilon))


def _adagrad(w, s, t, g, lr, epsilon=0, update_slots=True):
    return w - lr * g / (np.sqrt(s + g**2 * update_slots) + epsilon)


def _adagrad_da(w, s, t, g, lr, l1, l2, step):
    total, squares = s + g, t + g**2
    shrunk = np.sign(total) * np.maximum(np.abs(total) - step * l1, 0)
    return -lr * shrunk / (step * lr * l2 + np.sqrt(squares))


def _adadelta(w, s, t, g, lr, rho, epsilon):
    accum = rho * s + (1 - rho) * g**2
    return w - lr * np.sqrt(t + epsilon) / np.sqrt(accum + epsilon) * g


def _ftrl(w, s, t, g, lr, l1, l2, *rest, multiply_linear_by_lr=False):
    *shrinkage, power = rest
    accum = s + g**2
    sigma = (accum**-power - s**-power) / lr
    scale = lr if multiply_linear_by_lr else 1
    shrunk = g + 2 * (shrinkage or [0])[0] * w
    linear = t + scale * (shrunk - sigma * w)
    slope = scale * (accum**-power / lr + 2 * l2)
    return (np.clip(linear, -l1 * scale, l1 * scale) - linear) / slope


def _proximal(w, s, t, g, rate, l1, l2):
    w = w - rate * g
    return np.sign(w) * np.maximum(np.abs(w) - rate * l1, 0) / (1 + rate * l2)


def _proximal_adagrad(w, s, t, g, lr, l1, l2):
    return _proximal(w, s, t, g, lr / np.sqrt(s + g**2), l1, l2)


# (how many variables, the numbers in the order of the inputs, the formula)
FORMULAS = {
    "GradientDescent": (1, [0.1], _descent),
    "Momentum": (2, [0.1, 0.9], _momentum),
    "Adam": (3, [0.81, 0.98, 0.1, 0.9, 0.99, 0.01], _adam),
    "RMSProp": (3, [0.1, 0.9, 0.5, 0.01], _rms_prop),
    "CenteredRMSProp": (4, [0.1, 0.9, 0.5, 5.0], _centered),
    "Adagrad": (2, [0.1], _adagrad),
    "AdagradV2": (2, [0.1, 0.25], _adagrad),
    "AdagradDA": (3, [0.1, 0.25, 0.125, 3], _adagrad_da),
    "Adadelta": (3, [0.1, 0.9, 0.01], _adadelta),
    "Ftrl": (3, [0.1, 0.25, 0.125, -0.5], _ftrl),
    "FtrlV2": (3, [0.1, 0.25, 0.125, 0.25, -0.75], _ftrl),
    "ProximalGradientDescent": (1, [0.5, 0.25, 0.125], _proximal),
    "ProximalAdagrad": (2, [0.5, 0.25, 0.125], _proximal_adagrad),
}
NAMES = [name for name in COVERED if not name.startswith("Resource")]
KINDS = pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
EACH = pytest.mark.parametrize("name", NAMES)


def _family(name):
    return name.removeprefix("Sparse").removeprefix("Apply")


def _flags(name):
    """The attributes of a step, each at both values."""
    names = [n for n in ops[name].attrs if n not in ("T", "Tindices", "use_locking")]
    return [{names[0]: value} for value in (False, True)] if names else [{}]


def _build(name, dtype, use_resource, attrs=None, grad=GRAD):
    """The variables and slots, and a step; a sparse one with rows 0 and 2, row 0 twice."""
    count, numbers, _ = FORMULAS[_family(name)]
    kind, numbers = tf.as_dtype(dtype), list(numbers)
    values = [START, SLOT, OTHER, SLOT][:count]
    states = [tf.Variable(tf.constant(v, kind), use_resource=use_resource) for v in values]
    inputs = [v.handle if use_resource else v._ref() for v in states]
    for arg in ops[name].inputs[count:]:
        if arg.name == "indices":
            inputs.append(tf.constant(PICKED))
        elif arg.name in ("grad", "delta"):
            grad = grad[PICKED] if name.startswith("Sparse") and grad is GRAD else grad
            inputs.append(grad if isinstance(grad, tf.Tensor) else tf.constant(grad, kind))
        else:
            is_step = arg.name == "global_step"
            inputs.append(tf.constant(numbers.pop(0), tf.int64 if is_step else kind))
    op = create_op(("Resource" if use_resource else "") + name, inputs, attrs)
    return states, op if use_resource else op.op


PICKED = [0, 2]


@KINDS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@EACH
def test_one_step(fresh_graph, device, name, dtype, use_resource):
    _, numbers, formula = FORMULAS[_family(name)]
    for attrs in _flags(name):
        with tf.device(device):
            states, op = _build(name, dtype, use_resource, attrs)
        with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
            session.run(tf.global_variables_initializer())
            session.run(op)
            found = session.run(states[0])
        assert found.dtype == tf.as_dtype(dtype).as_numpy_dtype
        wanted = formula(START, SLOT, OTHER, GRAD, *numbers, **attrs)
        if name.startswith("Sparse"):
            wanted[1] = START[1]
        near = 8 * TOLERANCES[dtype]
        np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=near, atol=near)


@KINDS
@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("Sparse")])
def test_a_row_that_comes_twice_takes_two_steps(
    fresh_graph, device, name, use_resource, monkeypatch
):
    """As two operations would, one after the other."""
    found = []
    for rows, steps in (([0, 2], 2), ([0, 2, 0, 2], 1)):
        monkeypatch.setitem(globals(), "PICKED", rows)
        with tf.Graph().as_default(), tf.device(device):
            states, op = _build(name, "float64", use_resource)
            with tf.Session() as session:
                session.run(tf.global_variables_initializer())
                for _ in range(steps):
                    session.run(op)
                found.append(session.run(states))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@KINDS
@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("Sparse")])
def test_a_gradient_of_another_shape_is_refused_and_changes_nothing(
    fresh_graph, device, name, use_resource
):
    with tf.device(device):
        grad = tf.placeholder(tf.float64)
        states, op = _build(name, "float64", use_resource, grad=grad)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match="do not have the same shape"):
            session.run(op, {grad: np.ones((3, 1))})
        for state, value in zip(states, (START, SLOT, OTHER, SLOT), strict=False):
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
    with tf.device("/cpu:0"):  # GPUs do not look
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
