"""Steps of optimizers by oneDNN have the bits of NumPy's, whatever the sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.devices.onednn import dnn_library
from tfsession.devices.program import Value
from tfsession.devices.traced import traced_program
from tfsession.kernels import train, train_library
from tfsession.kernels.train_chains import Chains

pytestmark = pytest.mark.onednn
llvm = pytest.mark.llvm

ADAM = {"beta1_power": 0.81, "beta2_power": 0.99, "lr": 0.01, "beta1": 0.9, "beta2": 0.99,
        "epsilon": 1e-6}  # fmt: skip
FORMULAS = {
    "Adam": (train._adam, 4, ADAM, {"use_nesterov": False}),
    "Adam, Nesterov": (train._adam, 4, ADAM, {"use_nesterov": True}),
    "momentum": (train._momentum, 3, {"lr": 0.1, "momentum": 0.9}, {"use_nesterov": False}),
    "Nesterov": (train._momentum, 3, {"lr": 0.1, "momentum": 0.9}, {"use_nesterov": True}),
    "RMSProp": (
        *(train._rms_prop, 4, {"lr": 0.1, "rho": 0.9, "momentum": 0.5, "epsilon": 1e-6}),
        {},
    ),
    "Adagrad": (train._adagrad_v2, 3, {"lr": 0.1, "epsilon": 1e-7}, {"update_slots": True}),
}


def arrays_of(count, *shape):
    """A variable, its states, which are positive, and a gradient."""
    rng = np.random.default_rng(count)
    signs = [1, *[None] * (count - 2), 1]
    found = [rng.normal(size=shape).astype(np.float32) for _ in signs]
    return [
        x if sign else np.abs(x) + np.float32(1e-3) for x, sign in zip(found, signs, strict=True)
    ]


@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=10)
@given(size=st.integers(1, 700), block=st.sampled_from([64, 512, 1 << 20]))
def test_bits(name, size, block):
    formula, count, numbers, told = FORMULAS[name]
    scalars = {key: np.float32(value) for key, value in numbers.items()} | told
    arrays = arrays_of(count, size)
    arrays[-1][::7] = [0, -0.0, np.inf, np.nan, 1e-42, 1e38, 1][size % 7]
    alone = [array.copy() for array in arrays]
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(train_library, "_LEAST", 1)
        patch.setattr(train_library, "_BLOCK", block)
        assert train_library.updated(formula, arrays, scalars)
        train._compute(formula, np, alone, scalars)
    for found, expected in zip(arrays, alone, strict=True):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(found[known].view(np.uint32), expected[known].view(np.uint32))


@llvm
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FORMULAS)
def test_bits_of_compiled_code(name, dtype, monkeypatch):
    formula, count, numbers, told = FORMULAS[name]
    scalars = {key: dtype(value) for key, value in numbers.items()} | told
    monkeypatch.setattr(train_library, "_LEAST", 10**9)  # not by oneDNN
    train_library._compiled.cache_clear()
    monkeypatch.setattr(train_library, "_BLOCK", 1 << 14)
    arrays = [array.astype(dtype) for array in arrays_of(count, 70, 100)]
    arrays[-1][::7] = np.array([0, -0.0, np.inf, np.nan, 1e-42, 1e38, 1, 2, 3, 4] * 10)
    alone = [array.copy() for array in arrays]
    with np.errstate(all="ignore"):
        for turn in range(4):
            if not train_library.updated(formula, arrays, scalars):
                assert turn < train_library.OFTEN - 1
                train._compute(formula, np, arrays, scalars)
            train._compute(formula, np, alone, scalars)
    for found, expected in zip(arrays, alone, strict=True):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        known = ~np.isnan(expected)
        assert found[known].tobytes() == expected[known].tobytes()


def test_what_the_library_does_not_compute_is_left_to_numpy(monkeypatch):
    monkeypatch.setattr(train_library, "_LEAST", 1)
    f = np.float32
    numbers = {"lr": f(0.1), "momentum": f(0.9), "use_nesterov": False}
    assert train_library.updated(train._momentum, arrays_of(3, 5, 4), numbers)
    for arrays, changed in (
        ([a.astype("float64") for a in arrays_of(3, 5, 4)], {}),
        ([a.T for a in arrays_of(3, 5, 4)], {}),
        (arrays_of(3, 5, 4), {"lr": np.float64(0.1)}),
        (arrays_of(3, 5, 4), {"lr": np.array([0.1], f)}),
    ):
        before = [array.copy() for array in arrays]
        assert not train_library.updated(train._momentum, arrays, numbers | changed)
        for array, same in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, same)
    # A sign, a power that is looked at, and too little to do.
    shrunk = {"alpha": f(1), "l1": f(1), "l2": f(1)}
    assert not train_library.updated(train._proximal_gradient_descent, arrays_of(2, 9), shrunk)
    assert not train_library.updated(train._gradient_descent, arrays_of(2, 9), {"alpha": f(1)})


def chains(function, count, numbers):
    values = [Value("float32", (6,))] * count + [Value("float32", ())] * numbers
    return Chains(traced_program(function, values), count)


@pytest.mark.parametrize(
    ("function", "length"),
    [
        (lambda x, y, a: [a - x * y], 1),
        (lambda x, y, a: [y - (x + a) * (x + a)], 2),
        (lambda x, y, a: [a + y / (x + 2)], 2),
        (lambda x, y, a: [np.sqrt(y * y) - x], 1),
        (lambda x, y, a: [x, (y + x) * (a * a - 1)], 1),
        (lambda x, y, a: [x + y, y + 1], 2),
    ],
)
def test_programs_become_chains(function, length):
    x, y = arrays_of(2, 6)
    a = np.float32(1.5)
    found = chains(function, 2, 1)
    assert found.is_fit()
    assert len(found.chains) == length
    expected = function(x, y, a)
    given = [x.copy(), y.copy()]
    found.run(found.compiled(dnn_library(np), 6), given, found.numbers([a]))
    for array, value in zip(given, expected, strict=False):
        np.testing.assert_array_equal(array, value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y, a: [x + a, y + x],  # reads what is written by then
        lambda x, y, a: [y, x],
        lambda x, y, a: [a / x],
        lambda x, y, a: [np.exp(x)],
        lambda x, y, a: [x + y, x + y],
    ],
)
def test_programs_that_do_not_fit(function):
    assert not chains(function, 2, 1).is_fit()


def test_training_is_the_same_with_and_without(monkeypatch):
    def trained(least):
        monkeypatch.setattr(train_library, "_LEAST", least)
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.Variable(np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30))
            train_op = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(tf.sin(x) * x))
            session.run(tf.global_variables_initializer())
            for _ in range(5):
                session.run(train_op)
            return session.run(x)

    np.testing.assert_array_equal(trained(1), trained(10**9))
