"""The heap keeps what steps give back, unless the user has told the C library otherwise."""

import os
import subprocess
import sys

import pytest

from tfsession.devices.heap import keep_freed_memory

STEPS = """
import resource
import numpy as np
import tfsession as tf
x = y = tf.placeholder(tf.float32, [1 << 18])
for _ in range(4):
    y = tf.matmul(tf.reshape(tf.tanh(y), [512, 512]), tf.reshape(y, [512, 512]))
    y = tf.reshape(y, [1 << 18])
total = tf.reduce_sum(y)
value = np.full(1 << 18, 1e-3, np.float32)
with tf.Session() as session:
    for _ in range(5):
        session.run(total, {x: value})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        session.run(total, {x: value})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**variables):
    """Page faults of twenty steps, each of which makes eight arrays of 256 pages."""
    kept = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES" and "MALLOC_" not in k}
    run = [sys.executable, "-c", STEPS]
    found = subprocess.run(run, env=kept | variables, capture_output=True, check=True, text=True)
    return int(found.stdout)


def test_steps_take_no_fresh_memory():
    if not keep_freed_memory():
        pytest.skip("no glibc, or it is told otherwise")
    assert faults() < 20 * 256


def test_the_variables_of_the_c_library_decide(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert keep_freed_memory.__wrapped__() is False
