"""Whole TF1 programs under real TensorFlow and here: variables, collections, every number."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("programs")]

FOLDER = Path(__file__).parent.parent / "programs"
PROGRAMS = sorted(set(FOLDER.glob("*.py")) - set(FOLDER.glob("test_*.py")))


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.program


def _flat(value, where):
    """Every array of nested results, with where it stands."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _flat(item, f"{where}/{key}")]
    if isinstance(value, list | tuple):
        return [leaf for i, item in enumerate(value) for leaf in _flat(item, f"{where}[{i}]")]
    return [(where, np.asarray(value))]


def _course(tf, program):
    """Results; variables; what stands in each collection; nodes but for those of gradients."""
    with tf.Graph().as_default() as graph:
        results = program(tf)
        variables = [(v.name, v.dtype.name, str(v.shape)) for v in tf.global_variables()]
        collections = {
            str(key): [getattr(item, "name", None) for item in tf.get_collection(key)]
            for key in graph.get_all_collection_keys()
        }
        nodes = [(op.name, op.type) for op in graph.get_operations() if "gradients" not in op.name]
    return _flat(results, ""), variables, collections, nodes


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_runs_alike(path, tf, monkeypatch):
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
    theirs = _course(tf, _load(path))
    ours = _course(tfsession, _load(path))
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2]
    assert ours[3] == theirs[3]
    assert [where for where, _ in ours[0]] == [where for where, _ in theirs[0]]
    for (where, mine), (_, wanted) in zip(ours[0], theirs[0], strict=True):
        assert mine.dtype == wanted.dtype, where
        # What is left of a loss near zero, and what training makes of weights, adds up roundings.
        rtol = 1e-4 if where.startswith("/losses") else 2e-4
        np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=2e-6, err_msg=where)
