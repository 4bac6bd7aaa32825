"""Whole TF1 programs on the CPU, on a simulated GPU, and split over both: equal to the last bit."""

import importlib.util
import math
import zlib
from pathlib import Path

import numpy as np
import pytest

import tfsession as tf

PROGRAMS = sorted(set(Path(__file__).parent.glob("*.py")) - {Path(__file__)})
EACH = pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)


def load(path):
    """The function `program` of a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def split(op):
    """A device function that deals out operations by their names; references stay together."""
    if any(x.dtype._is_ref_dtype or x.dtype == tf.resource for x in op.inputs):
        return ""
    return ("/cpu:0", "/gpu:0")[zlib.crc32(op.name.encode()) % 2]


def run(path, device):
    """What a program gives, and on which devices its sessions ran operations."""
    with tf.Graph().as_default() as graph, tf.device(device):
        found = load(path)(tf)
    with tf.Session(graph=graph, config=tf.ConfigProto(allow_soft_placement=True)) as session:
        used = {name[-5:] for name in session.placement().values()}
    return found, used


def assert_same(one, other, where):
    """The same, but for the order in which kernels of GPUs sum floating point numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{number}]")
    else:
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype, where
        tolerance = 1e-4 if one.dtype.kind == "f" else 0
        np.testing.assert_allclose(one, other, tolerance, tolerance, err_msg=where)


def assert_learned(losses):
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < 0.7 * losses[0]


@EACH
def test_every_placement_gives_the_same(path, pytestconfig):
    on_cpu, used = run(path, "/cpu:0")
    assert "CPU:0" in used
    assert_learned(on_cpu["losses"])
    for device, wanted in (("/gpu:0", {"GPU:0"}), (split, {"CPU:0", "GPU:0"})):
        elsewhere, used = run(path, device)
        assert wanted <= used
        assert_learned(elsewhere["losses"])
        if pytestconfig.getoption("--device") == "cuda":
            continue  # another library computes there, in another order
        for key, value in on_cpu.items():
            assert_same(value, elsewhere[key], f"{key} on {device}")
