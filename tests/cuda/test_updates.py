"""Steps of optimizers as one kernel for many variables, which change in place as NumPy would."""

import platform
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from on_cpu import Batch
from test_compiled import compiled_without_spills

import tfsession as tf
from tfsession.devices.program import Value
from tfsession.devices.simulated_array import SimulatedArray
from tfsession.kernels import train, train_together
from tfsession.kernels.cuda.emit_together import most_rows
from tfsession.kernels.cuda.update import Noted, Update, planned, updated_together

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)

OPTIMIZERS = [
    lambda: tf.train.GradientDescentOptimizer(0.1),
    lambda: tf.train.MomentumOptimizer(0.1, 0.9),
    lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    lambda: tf.train.AdamOptimizer(0.1),
    lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.5),
    lambda: tf.train.RMSPropOptimizer(0.1, centered=True),
    lambda: tf.train.AdagradOptimizer(0.1),
    lambda: tf.train.AdadeltaOptimizer(0.1),
    lambda: tf.train.FtrlOptimizer(0.1, l1_regularization_strength=0.01),
    lambda: tf.train.ProximalGradientDescentOptimizer(0.1, l2_regularization_strength=0.1),
    lambda: tf.train.ProximalAdagradOptimizer(0.1, l1_regularization_strength=0.01),
]


SIZES = (1, 4, 5, 333, 4096)


def _updates(monkeypatch):
    """The updates that each optimizer makes together, before they are made."""
    found = []

    def host(value):
        return value._host.copy() if isinstance(value, SimulatedArray) else value

    def noting(xp, updates):
        if type(xp) is Noted:
            return updated_together(xp, updates)
        found.append(
            [
                Update(formula, [host(a) for a in arrays], {n: host(v) for n, v in scalars.items()})
                for formula, arrays, scalars in updates
            ]
        )
        return list(range(len(updates)))

    for module in (train, train_together):
        monkeypatch.setattr(module, "updated_together", noting)
    for number, make in enumerate(OPTIMIZERS):
        with tf.Graph().as_default(), tf.device("/gpu:0"):
            tf.set_random_seed(number)
            variables = [
                tf.get_variable(f"v{size}", [3, size], tf.float64 if size == 5 else tf.float32)
                for size in SIZES
            ]
            losses = [tf.cast(tf.reduce_sum(v * v * v + v), tf.float32) for v in variables]
            step = make().minimize(tf.add_n(losses))
            with tf.Session() as session:
                session.run(tf.global_variables_initializer())
                session.run(step)
                session.run(step)
    return found


def _wanted(formula, arrays, scalars):
    arrays = [array.copy() for array in arrays]

    def spare(count):
        return [np.empty_like(arrays[0]) for _ in range(count)]

    with np.errstate(all="ignore"):
        formula(np, spare, *arrays, **scalars)
    return arrays[:-1]


def _job(updates, is_aligned=True, shares=True):
    """One call for updates of one dtype; each row's inputs are its arrays and its numbers."""
    formula, arrays, scalars = updates[0]
    given = [name for name, value in scalars.items() if isinstance(value, np.ndarray)]
    told = scalars | {name: Value(scalars[name].dtype.name, ()) for name in given}
    dtypes = [array.dtype.name for array in arrays]
    rows = [[*update.arrays, *[update.scalars[name] for name in given]] for update in updates]
    sizes = [row[0].size for row in rows]
    shared = range(len(arrays), len(rows[0])) if shares else ()
    calls = planned(formula, dtypes, told, sizes, tuple(shared), is_aligned)
    count = len(rows[0])
    results = [r * count + state for r in range(len(rows)) for state in range(len(arrays) - 1)]
    inputs = [array for row in rows for array in row]
    return SimpleNamespace(calls=replace(calls, results=tuple(results)), inputs=inputs)


def _of_one_dtype(updates):
    dtypes = dict.fromkeys(update.arrays[0].dtype for update in updates)
    return [[u for u in updates if u.arrays[0].dtype == dtype] for dtype in dtypes]


def test_updates_compile_and_change_what_numpy_changes(monkeypatch, host_code):
    found = _updates(monkeypatch)
    # Both steps of an optimizer are one group each: nothing orders its updates. But Ftrl looks on
    # the host at an exponent, which it casts for variables of another dtype.
    lengths = [len(updates) for updates in found]
    assert lengths.count(len(SIZES)) == 2 * (len(OPTIMIZERS) - 1)
    assert sum(lengths) == len(SIZES) * 2 * len(OPTIMIZERS)
    jobs, wanted = [], []
    for updates in (alike for group in found for alike in _of_one_dtype(group)):
        for how in ((True, True), (False, False)):
            jobs.append(_job(updates, *how))
            wanted.append([array for update in updates for array in _wanted(*update)])
    launches = [launch for job in jobs for launch in job.calls.launches]
    for arch in ("sm_80", "sm_90"):
        assert len(compiled_without_spills(launches, arch)) >= 4 * len(OPTIMIZERS)
    if shutil.which("g++") is None:
        return
    for found, expected in zip(Batch(jobs, host_code).results(), wanted, strict=True):
        for one, other in zip(found, expected, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_allclose(one, other, 1e-6, 1e-7)


def _exact(xp, spare, var, slot, grad, *, rate, is_fast):
    """Functions that are rounded alike everywhere."""
    (step,) = spare(1)
    slot += grad * grad
    xp.sqrt(slot, out=step)
    var -= grad * rate / step if is_fast else grad * step


NARROW = ("float16", ml_dtypes.bfloat16)


@pytest.mark.skipif(shutil.which("g++") is None, reason="a compiler of C++ is needed")
def test_the_bits_are_numpys_for_any_sizes(host_code):
    rng, jobs, wanted = np.random.default_rng(3), [], []
    for number, dtype in enumerate(("float32", "float64", *NARROW)):
        sizes = rng.permutation([1, 2, 3, 7, 8, 255, 256, 1024, 1025, 4095, 70001])
        updates = [
            Update(
                _exact,
                [np.abs(rng.normal(size=size)).astype(dtype) + 1 for _ in range(3)],
                {"rate": np.array(0.25 + row, dtype), "is_fast": bool(number % 2)},
            )
            for row, size in enumerate(sizes)
        ]
        jobs.append(_job(updates, number != 1, shares=False))
        wanted.append([array for update in updates for array in _wanted(*update)])
    for from_last in (False, True):
        results = Batch(jobs, host_code).results(from_last=from_last)
        for found, expected in zip(results, wanted, strict=True):
            assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]


def test_as_many_rows_as_arguments_have_room_for():
    for given, shared in ((3, 0), (10, 6), (11, 0)):
        rows = most_rows(given, shared)
        dtypes, numbers = ["float32"] * 3, {"rate": Value("float32", ()), "is_fast": True}
        assert rows >= 32
        assert rows * ((given - shared) * 8 + 8) + shared * 8 < 4096
    calls = planned(_exact, dtypes, numbers, [5] * most_rows(4, 1), (3,))
    assert compiled_without_spills(calls.launches, "sm_80")
