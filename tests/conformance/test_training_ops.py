"""Training operations under real TensorFlow and here: the same bits in variables and slots."""

import numpy as np
import pytest

import tfsession
from tfsession.core.op_def import ops
from tfsession.graph.create import create_op

pytestmark = [pytest.mark.oracle, pytest.mark.spec("ops")]

# Real TensorFlow takes the CPU's own approximation of a reciprocal root in these.
BY_ROOT = {
    *("ApplyAdagrad", "ApplyProximalAdagrad", "ApplyAdadelta", "SparseApplyAdagrad"),
    *("SparseApplyProximalAdagrad", "SparseApplyAdadelta", "SparseApplyRMSProp"),
    "SparseApplyCenteredRMSProp",
}
# It has no kernels of theirs for half precision.
NOT_HALF = ("AdagradDA", "ProximalAdagrad", "ProximalGradientDescent")
NAMES = sorted(
    name
    for name in ops.names()
    if name.startswith(("Apply", "SparseApply")) and ops[name].inputs[0].is_ref
)
SCALARS = {
    "beta1_power": [0.81], "beta2_power": [0.998], "beta1": [0.9], "beta2": [0.999],
    "alpha": [0.1], "lr": [0.05], "rho": [0.9], "momentum": [0.9], "epsilon": [1e-3],
    "l1": [0.0, 0.3], "l2": [0.0, 0.2], "l2_shrinkage": [0.0, 0.1], "lr_power": [-0.5, -0.7],
    "global_step": [3],
}  # fmt: skip
ROWS, WIDTH = 64, 5


def _attr_values(op_def):
    """Each boolean attribute but `use_locking`, at both values."""
    names = [n for n in op_def.attrs if n not in ("T", "Tindices", "use_locking")]
    return [{}] if not names else [{names[0]: flag} for flag in (False, True)]


def _inputs(name, dtype, number, width):
    """Arrays for the states and numbers of an op, the last in one of their choices."""
    rng = np.random.default_rng(number + 10 * width)
    shape = (ROWS, width) if width else (ROWS,)
    states, others = [], []
    for arg in ops[name].inputs:
        if arg.is_ref:
            start = rng.normal(0, 1, shape)
            states.append(start if arg.name in ("var", "linear", "mg") else start**2 + 1.5)
        elif arg.name in ("grad", "delta"):
            rows = 40 if name.startswith("Sparse") else ROWS
            others.append(rng.normal(0, 1, (rows, *shape[1:])))
        elif arg.name == "indices":
            # Some more than once.
            others.append(rng.integers(0, ROWS, 40).astype(np.int32))
        else:
            choices = SCALARS[arg.name]
            others.append(choices[number % len(choices)])
    kinds = {"indices": np.int32, "global_step": np.int64}
    names = [arg.name for arg in ops[name].inputs if not arg.is_ref]
    numpy_dtype = tfsession.as_dtype(dtype).as_numpy_dtype
    others = [np.asarray(o, kinds.get(n, numpy_dtype)) for n, o in zip(names, others, strict=True)]
    return [s.astype(numpy_dtype) for s in states], others


def _results(tf, make, states, others, use_resource):
    with tf.Graph().as_default() as graph:
        made = [tf.Variable(s, use_resource=use_resource) for s in states]
        inputs = [v.handle if use_resource else v._ref() for v in made]
        op = make([*inputs, *(tf.constant(o) for o in others)])
        with tf.Session(graph=graph) as session:
            session.run(tf.global_variables_initializer())
            session.run(op)
            return session.run(made)


def _makers(tf, name, attrs):
    """Functions that make the op there and here."""
    from tensorflow.python.framework import op_def_library  # noqa: PLC0415

    args = [arg.name for arg in ops[name].inputs]

    def real(inputs):
        named = dict(zip(args, inputs, strict=True))
        return op_def_library.apply_op(name, use_locking=False, **named, **attrs)

    return real, lambda inputs: create_op(name, inputs, attrs)


@pytest.mark.parametrize(
    ("width", "dtype"),
    [(WIDTH, "float32"), (WIDTH, "float64"), (WIDTH, "float16"), (1, "float32"), (0, "float32")],
)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits(tf, rows_compared, name, width, dtype):
    if dtype == "float16" and name.endswith(NOT_HALF):
        pytest.skip("nothing to compare with")
    compared = 0
    for attrs in _attr_values(ops[name]):
        for number in range(2):
            states, others = _inputs(name, dtype, number, width)
            for use_resource in (False, True)[: 2 - number]:
                full = f"Resource{name}" if use_resource else name
                real, ours = _makers(tf, full, attrs)
                theirs = _results(tf, real, states, others, use_resource)
                mine = _results(tfsession, ours, states, others, use_resource)
                # Powers are as near as the C library; rows of one element are summed in doubles.
                by_power = "Ftrl" in name and number % 2
                is_near = by_power or name in BY_ROOT or (name.startswith("Sparse") and width < 2)
                for got, wanted in zip(mine, theirs, strict=True):
                    if is_near:
                        near = (512 if by_power else 16) * np.finfo(wanted.dtype).eps
                        np.testing.assert_allclose(got, wanted, rtol=near, atol=near)
                    else:
                        assert got.tobytes() == wanted.tobytes()
                compared += 1
    rows_compared(compared)
