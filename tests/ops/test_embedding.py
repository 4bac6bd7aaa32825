"""Looking up rows of tables that may lie in several tensors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, ints, row_cases, value


def _lookup(tf, *inputs, **kwargs):
    return tf.nn.embedding_lookup(list(inputs[:-1]), inputs[-1], **kwargs)


def lookup(*inputs, partition_strategy="mod", name=None):
    *tables, ids = map(np.asarray, inputs)
    if partition_strategy == "div":
        return np.concatenate(tables)[ids]
    rows = np.array([tables[i % len(tables)][i // len(tables)] for i in ids.flat])
    return rows.reshape((*ids.shape, *tables[0].shape[1:]))


DIV = {"partition_strategy": "div"}
ROWS = [
    Row("GatherV2", _lookup, [floats(5, 3), ints(4, high=5)], {}, FLOATS, lookup, grad=True),
    Row("GatherV2", _lookup, [floats(5, 3), ints(2, 2, high=5, dtype="int64")],
        {"name": "rows"}, reference=lookup, label="named"),
    Row("GatherV2", _lookup, [floats(5), ints(high=5)], reference=lookup, label="scalar"),
    Row("GatherV2", _lookup, [floats(5, 3), ints(0)], label="nothing"),
    Row("ParallelDynamicStitch", _lookup, [floats(3, 2), floats(2, 2), ints(6, high=5)], {},
        ("float32", "float64"), lookup, grad=True),
    Row("ParallelDynamicStitch", _lookup, [floats(3), floats(3), floats(2), ints(2, 3, high=8)],
        reference=lookup, grad=True, label="three"),
    Row("ParallelDynamicStitch", _lookup, [floats(3, 2), floats(2, 2), ints(2, 3, high=5)], DIV,
        reference=lookup, grad=True, label="div"),
    Row("ParallelDynamicStitch", _lookup,
        [floats(3, 2), floats(3, 2), floats(2, 2), value([7, 6, 5, 4, 3, 2, 1, 0], "int64")], DIV,
        reference=lookup, label="div-uneven"),
    Row("GatherV2", _lookup, [floats(5, 3, low=1), ints(2, 2, high=5)], {"max_norm": 1.0},
        grad=True, label="max_norm"),
    Row("ParallelDynamicStitch", _lookup,
        [floats(3, 2, low=1), floats(2, 2, low=1), ints(4, high=5)], {"max_norm": 1.0},
        grad=True, label="max_norm"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize("use_resource", [False, True])
def test_variables_are_looked_up_and_learn_by_row(use_resource, fresh_graph):
    table = tf.Variable(np.arange(6.0).reshape(3, 2), use_resource=use_resource)
    rows = tf.nn.embedding_lookup(table, [2, 0, 2])
    slices = tf.gradients(rows, table)[0]
    assert isinstance(slices, tf.IndexedSlices)
    with tf.Session() as session:
        session.run(table.initializer)
        found, dense = session.run([rows, tf.convert_to_tensor(slices)])
    assert found.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert dense.tolist() == [[1, 1], [0, 0], [2, 2]]


@pytest.mark.parametrize(
    ("params", "strategy", "phrase"),
    [
        (None, "mod", "params must be specified"),
        ([], "mod", "Length of params is currently 0. Need at least one param."),
        ([np.eye(2), np.eye(2)], "deal", "Unrecognized partition strategy: deal"),
    ],
)
def test_refused_when_built(params, strategy, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        tf.nn.embedding_lookup(params, [0], strategy)
