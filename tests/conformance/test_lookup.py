"""Tables: the same program under real TensorFlow and under tfsession, graphs and outcomes."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("ops")]

WORDS = "emerson\nlake\npalmer\n"
COLUMNS = "a\t1\nb\t2\nc\t3\n"


def _static(tf, keys, values, default, queries, **kwargs):
    init = tf.lookup.KeyValueTensorInitializer(keys, values, **kwargs)
    table = tf.lookup.StaticHashTable(init, default)
    return [table.lookup(tf.constant(queries)), table.size(), table.default_value]


def _file(tf, path, key, value, key_index, value_index, **kwargs):
    init = tf.lookup.TextFileInitializer(path, key, key_index, value, value_index, **kwargs)
    table = tf.lookup.StaticHashTable(init, tf.zeros([], value))
    return [table.size(), table.lookup(table.export()[0]).shape]


def _after(tf, op, then):
    with tf.control_dependencies([op]):
        return then()


def _mutable(tf, default=-1):
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default)
    values = [[1, 2], [3, 4], [5, 6]] if isinstance(default, list) else [1, 2, 3]
    table_values = tf.constant(values, tf.int64)

    def then():
        return [table.lookup(tf.constant([["a", "c"]])), table.size()]

    first = _after(tf, table.insert(tf.constant(["a", "b", "a"]), table_values), then)
    with tf.control_dependencies(first):
        second = _after(tf, table.remove(tf.constant(["b", "z"])), lambda: list(table.export()))
    return first + second


def _dense(tf, key=1):
    table = tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, -1.0, 0, -1, 4)
    keys = tf.constant([key, 2, 5, 6, 7, 8], tf.int64)
    insert = table.insert(keys, tf.range(6.0))
    return _after(tf, insert, lambda: [table.lookup(keys + 1), table.size()])


def _vocabulary(tf, path, buckets=3):
    init = tf.lookup.TextFileInitializer(path, tf.string, -2, tf.int64, -1)
    table = tf.lookup.StaticVocabularyTable(init, buckets)
    return [table.lookup(tf.constant(["lake", "x", "king", "palmer"])), table.size()]


def _sparse(tf, _):
    table = _lookup_ops(tf).index_table_from_tensor(["a", "b"])
    found = table.lookup(tf.SparseTensor([[0, 0], [1, 1]], ["b", "c"], [2, 2]))
    return [found.indices, found.values, found.dense_shape]


def _lookup_ops(tf):
    if tf is tfsession:
        return tf.python.ops.lookup_ops
    from tensorflow.python.ops import lookup_ops  # noqa: PLC0415

    return lookup_ops


def _index(method, *args, queries=("lake", "x", "y"), **kwargs):
    def program(tf, path):
        named = {k: getattr(tf, v) if k.endswith("dtype") else v for k, v in kwargs.items()}
        table = getattr(_lookup_ops(tf), method)(
            *[path if a == "FILE" else a for a in args], **named
        )
        return [table.lookup(tf.constant(queries, table.key_dtype)), table.size()]

    return program


PROGRAMS = {
    "static": lambda tf, _: _static(tf, ["a", "b"], [1, 2], -1, ["b", "c"]),
    "matrix": lambda tf, _: _static(tf, ["a", "b"], [1.5, 2], 0, [["b"], ["c"]]),
    "dtypes": lambda tf, _: _static(tf, [1, 2], ["x", "y"], "?", np.int64([2, 3]),
                                    key_dtype=tf.int64, name="init"),
    "again": lambda tf, _: _static(tf, ["a", "a"], [1, 1], -1, ["a"]),
    "different": lambda tf, _: _static(tf, ["a", "a"], [1, 2], -1, ["a"]),
    "lengths": lambda tf, _: _static(tf, ["a", "b"], [1], -1, ["a"]),
    "rank": lambda tf, _: _static(tf, [["a"]], [[1]], -1, ["a"]),
    "default": lambda tf, _: _static(tf, ["a"], [1], [-1], ["a"]),
    "keys": lambda tf, _: _static(tf, ["a"], [1], -1, [1]),
    "file": lambda tf, path: _file(tf, path, tf.string, tf.int64, 0, 1),
    "lines": lambda tf, path: _file(tf, path, tf.string, tf.int64, -2, -1, vocab_size=2),
    "numbers": lambda tf, path: _file(tf, path, tf.int64, tf.string, -1, -2),
    "floats": lambda tf, path: _file(tf, path, tf.string, tf.float32, 0, 1),
    "offset": lambda tf, path: _file(tf, path, tf.string, tf.int64, 0, -1, value_index_offset=3),
    "columns": lambda tf, path: _file(tf, path, tf.string, tf.int64, 0, 2),
    "field": lambda tf, path: _file(tf, path, tf.string, tf.int64, 1, 0),
    "more lines": lambda tf, path: _file(tf, path, tf.string, tf.int64, 0, 1, vocab_size=5),
    "no lines": lambda tf, path: _file(tf, path, tf.string, tf.int64, 0, 1, vocab_size=0),
    "no file": lambda tf, path: _file(tf, path + "x", tf.string, tf.int64, 0, 1),
    "no name": lambda tf, path: _file(tf, "", tf.string, tf.int64, 0, 1),
    "dtype": lambda tf, path: _file(tf, path, tf.int32, tf.string, -1, 0),
    "mutable": lambda tf, _: _mutable(tf),
    "vectors": lambda tf, _: _mutable(tf, [-1, -2]),
    "dense": lambda tf, _: _dense(tf),
    "empty key": lambda tf, _: _dense(tf, 0),
    "deleted key": lambda tf, _: _dense(tf, -1),
    "vocabulary": _vocabulary,
    "no buckets": lambda tf, path: _vocabulary(tf, path, 0),
    "sparse": _sparse,
    "index file": _index("index_table_from_file", "FILE", num_oov_buckets=2, queries=["a\t1", "z"]),
    "index file plain": _index("index_table_from_file", "FILE", vocab_size=1, key_column_index=0),
    "index tensor": _index("index_table_from_tensor", ["lake"], default_value=7, name="n"),
    "index int": _index("index_table_from_tensor", [5, 3], 2, dtype="int32", queries=[3, 4]),
    "index back": _index("index_to_string_table_from_tensor", ["x", "y"], queries=[1, 2]),
    "index back file": _index("index_to_string_table_from_file", "FILE", queries=[1, 9]),
    "index none": _index("index_table_from_tensor", None),
    "index float": _index("index_table_from_tensor", [1.0], dtype="float32"),
    "index negative": _index("index_table_from_tensor", ["a"], num_oov_buckets=-1),
    "not initialized": lambda tf, _: _static(tf, ["a", "b"], [1, 2], -1, ["b", "c"]),
}  # fmt: skip


def _outcome(tf, program, path, times):
    """Nodes, static shapes and values; or the error, in which step."""
    found = SimpleNamespace(nodes=None, shapes=None, values=None, error=None)
    with tf.Graph().as_default() as graph:
        try:
            tensors = program(tf, path)
            found.nodes = [(op.name, op.type) for op in graph.get_operations()]
            found.shapes = [str(getattr(t, "shape", t)) for t in tensors]
            tensors = [t for t in tensors if hasattr(t, "op")]
            with tf.Session() as session:
                for _ in range(times):
                    session.run(tf.tables_initializer())
                found.values = [np.asarray(v).tolist() for v in session.run(tensors)]
        except Exception as error:
            found.error = type(error).__name__, _said(str(error))
    return found


def _said(text):
    lines = [line for line in text.split("\n") if line and not line.startswith((" ", "\t"))]
    told = [x for x in lines if not x.startswith(("Graph", "Detected", "Node", "Original"))]
    return re.sub(r"\{\{node.*", "", told[0])


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, tf, tmp_path):
    path = tmp_path / "words"
    path.write_text(COLUMNS if name not in ("vocabulary",) else WORDS)
    # The second time is without effect; but TensorFlow counts a key twice that comes twice.
    times = {"not initialized": 0, "again": 1}.get(name, 2)
    theirs, ours = (_outcome(m, PROGRAMS[name], str(path), times) for m in (tf, tfsession))
    assert ours.error == theirs.error
    assert ours.nodes == theirs.nodes
    assert ours.shapes == theirs.shapes
    assert ours.values == theirs.values
