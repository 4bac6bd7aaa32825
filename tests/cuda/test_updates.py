"""Steps of optimizers as one kernel each: they change variables in place, as NumPy would."""

import platform
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from on_cpu import Batch, array_of
from test_compiled import compiled_without_spills

import tfsession as tf
from tfsession.devices.program import Value
from tfsession.devices.simulated_array import SimulatedArray
from tfsession.kernels import train
from tfsession.kernels.cuda.update import planned, program_of

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


def _updates(monkeypatch):
    """(formula, arrays, scalars) of every update that the optimizers make, before it is made."""
    found = []

    def host(value):
        return value._host.copy() if isinstance(value, SimulatedArray) else value

    def noting(xp, formula, arrays, scalars):
        scalars = {name: host(value) for name, value in scalars.items()}
        found.append((formula, [host(array) for array in arrays], scalars))
        return False

    monkeypatch.setattr(train, "updated_in_place", noting)
    for number, make in enumerate(OPTIMIZERS):
        with tf.Graph().as_default(), tf.device("/gpu:0"):
            tf.set_random_seed(number)
            variables = [
                tf.get_variable(f"v{size}", [3, size], tf.float64 if size == 5 else tf.float32)
                for size in (1, 4, 5, 333)
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


def test_updates_compile_and_change_what_numpy_changes(monkeypatch, tmp_path):
    jobs, wanted = [], []
    for formula, arrays, scalars in _updates(monkeypatch):
        given = {name: v for name, v in scalars.items() if isinstance(v, np.ndarray)}
        told = scalars | {name: Value(v.dtype.name, v.shape) for name, v in given.items()}
        layouts = [array_of(array) for array in (*arrays, *given.values())]
        calls = planned(program_of(formula, layouts[: len(arrays)], told), layouts)
        inputs = [*arrays, *given.values()]
        jobs.append(SimpleNamespace(calls=calls, inputs=inputs, into=range(len(arrays) - 1)))
        wanted.append(_wanted(formula, arrays, scalars))
    assert len({launch.name for job in jobs for launch in job.calls.launches}) >= 8
    assert len(jobs) >= 8 * len(OPTIMIZERS)
    compiled_without_spills([launch for job in jobs for launch in job.calls.launches], "sm_90")
    if shutil.which("g++") is None:
        return
    for found, expected in zip(Batch(jobs, tmp_path).results(), wanted, strict=True):
        for one, other in zip(found, expected, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_allclose(one, other, 1e-6, 1e-7)
