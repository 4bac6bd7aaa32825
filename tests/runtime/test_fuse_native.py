"""Small groups in machine code: one call, with the bits of operations one after another."""

from collections import Counter

import numpy as np
import pytest

import tfsession as tf
from tfsession.runtime import blocks

OFTEN = blocks._OFTEN
L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)


def _cell(x, state):
    """A cell of an LSTM, behind its product, and a gradient of it."""
    i, j, f, o = tf.split(x, 4, 1)
    new = state * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
    output = tf.tanh(new) * tf.sigmoid(o)
    return [new, output, tf.gradients(output, x)[0]]


@pytest.mark.llvm
@pytest.mark.parametrize("batch", [32, None])
def test_small_groups_are_one_function_once_they_have_run_often(batch, monkeypatch):
    calls = Counter()
    run = blocks.Cut.run_at_once

    def noting(cut, values):
        results = run(cut, values)
        calls["none" if results is None else "all"] += 1
        return results

    monkeypatch.setattr(blocks.Cut, "run_at_once", noting)
    rng = np.random.default_rng(0)
    given = [rng.normal(size=shape).astype("float32") for shape in ((32, 256), (32, 64))]
    with tf.device("/cpu:0"):
        feeds = [tf.placeholder(tf.float32, [batch, n]) for n in (256, 64)]
        fetches = _cell(*feeds)
    found = []
    for config in (None, L0):
        with tf.Session(config=config) as session:
            call = session.make_callable(fetches, feeds)
            found += [[value.tobytes() for value in call(*given)] for _ in range(OFTEN + 1)]
    assert all(bits == found[-1] for bits in found)
    assert calls["none"] >= OFTEN * calls["all"] > 0
