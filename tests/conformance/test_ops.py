"""Every row of tests/ops under real TensorFlow and here: graph, shapes, values, gradients."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tfsession
from tfsession import testing

pytestmark = [pytest.mark.oracle, pytest.mark.spec("ops")]

OPS = Path(__file__).parent.parent / "ops"


def _rows(path):
    spec = importlib.util.spec_from_file_location(f"rows_of_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = getattr(module, "ROWS", [])
    return rows if isinstance(rows, list) else []  # another table, by chance of that name


CASES = [
    case
    for path in sorted(OPS.glob("test_*.py"))
    for case in testing.row_cases(row for row in _rows(path) if row.oracle is True)
]


def _program(tf, row, arrays, but_for_gradients=()):
    """Build the row, and gradients where it has some; gives what can be compared.

    Operations of some types may have no gradients for what the row asks.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.set_random_seed(7)
        tensors, outputs, feeds = testing.build_row(tf, row, arrays)
        built = [(op.name, op.type) for op in graph.get_operations()]
        values = [t for t in outputs if t is not None]
        floating = [t for t in values if hasattr(t, "dtype") and t.dtype.is_floating]
        inputs = [t for t in tensors if t in feeds and t.dtype.is_floating]
        grads = []
        if row.grad and floating and inputs:
            grads = tf.gradients(floating, inputs)
            grads = [tf.convert_to_tensor(g) for g in grads if g is not None]
        with tf.Session(graph=graph) as session:
            try:
                results, slopes = session.run([values, grads], feeds)
            except tf.errors.InvalidArgumentError:
                if row.op not in but_for_gradients:
                    raise
                results, slopes = session.run(values, feeds), None
    shapes = [str(t.shape) if hasattr(t, "shape") else None for t in values]
    return built, shapes, results, slopes


@pytest.mark.parametrize("case", CASES, ids=testing.case_name)
def test_row_equals_tensorflow(case, tf, tensorflow_has_onednn):
    row, dtype = case
    arrays = row.arrays(dtype)
    # Without oneDNN, TensorFlow has no gradients of dilated convolutions, nor of groups.
    lacking = () if tensorflow_has_onednn else ("Conv2D",)
    theirs = _program(tf, row, [array.copy() for array in arrays], lacking)
    ours = _program(tfsession, row, arrays)
    if row.same_graph is True:
        assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    for mine, wanted in zip(ours[2], theirs[2], strict=True):
        if wanted is not None:
            testing.assert_close(mine, wanted, row.tolerance, f"{row} against TensorFlow")
    if theirs[3] is None:
        return
    assert len(ours[3]) == len(theirs[3])
    for mine, wanted in zip(ours[3], theirs[3], strict=True):
        testing.assert_close(
            np.asarray(mine), np.asarray(wanted), 4 * row.tolerance, f"gradient of {row}"
        )
