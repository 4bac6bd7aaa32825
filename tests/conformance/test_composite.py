"""Composite tensors: the same call under real TensorFlow and under tfsession, outcomes compared."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import collections, types
import numpy as np

R, V = tf.RaggedTensor, tf.SparseTensorValue
sp = tf.SparseTensor([[0, 1], [2, 0]], [1.5, 2.5], [3, 4])
pl = tf.sparse_placeholder(tf.float32, name="pl")
pv, pi, ps = tf.identity(pl.values), tf.identity(pl.indices), tf.identity(pl.dense_shape)
p2 = tf.sparse_placeholder(tf.float32, [2, None], "p2")
k = tf.constant(3.0, name="k")
a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
v2 = tf.placeholder(tf.float32, [None, 2], name="v2")
sl = tf.IndexedSlices(v2, tf.placeholder(tf.int32, [None], name="rows"), None)
sl3 = tf.IndexedSlices(v2, sl.indices, tf.placeholder(tf.int64, [2], name="size"))
rg = tf.ragged.constant([[1, 2], [], [3]])
deep = tf.ragged.constant([[[1, 2], []], [], [[3], []]])
rp = tf.ragged.placeholder(tf.float32, 1, [], "rp")
rp2 = tf.ragged.placeholder(tf.float32, 2, [2], "rp2")
rows = tf.identity(rp.row_splits)
sess = tf.Session()
r = sess.run
VALUE = ([[0, 0], [1, 1]], [1.0, 2.0], [2, 2])


def ragged_value(lists, **options):
    return tf.ragged.constant_value(lists, **({"dtype": np.float32} | options))


class A:
    __attrs_attrs__ = (types.SimpleNamespace(name="x"), types.SimpleNamespace(name="y"))

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __repr__(self):
        return f"A({self.x!r}, {self.y!r})"


class HashableDict(dict):
    __hash__ = object.__hash__


def nodes(make):
    with tf.Graph().as_default() as graph:
        make()
        return [(op.name, op.type, [i.name for i in op.inputs]) for op in graph.get_operations()]


def of_all(value):
    return [
        value.dtype, value.shape, value.get_shape(), str(value), repr(value),
    ]
"""

CALLS = {
    "composites": [
        # What they are.
        "of_all(sp) + [sp.op, sp.graph is k.graph, sp.indices, sp.values, sp.dense_shape]",
        "of_all(pl)",
        "of_all(p2)",
        "of_all(rg) + [rg.values, rg.row_splits, rg.nested_row_splits, rg.flat_values]",
        "of_all(deep) + [deep.ragged_rank, deep.values, deep.nested_row_splits, deep.flat_values]",
        "of_all(rp2) + [rp2.ragged_rank, rp2.uniform_row_length]",
        "[str(sl), str(sl3), sl.shape, sl3.shape, sl.dtype, sl.name, sl.op, sl.device]",
        "nodes(lambda: tf.SparseTensor([[0, 0]], [1.0], [2, 2]))",
        "nodes(lambda: tf.sparse_placeholder(tf.float32))",
        'nodes(lambda: tf.sparse.placeholder(tf.string, [2, -1], "q"))',
        "nodes(lambda: tf.sparse_placeholder(tf.int32, tf.TensorShape([None, 2])))",
        'nodes(lambda: tf.sparse_placeholder(tf.int32, tf.constant([3, 4], tf.int64), "q"))',
        "nodes(lambda: tf.ragged.constant([[1, 2], [3]]))",
        'nodes(lambda: tf.ragged.placeholder(tf.float32, 2, [3], "q"))',
        "nodes(lambda: R.from_row_splits([1, 2], [0, 2], validate=False))",
        "nodes(lambda: R.from_nested_row_splits([1, 2], [[0, 1], [0, 2]], validate=False))",
        "[bool(sp), sp == sp, sp != pl, rg == rg, rg in {rg}, sp in {sp: 1}]",
        "bool(rg)",
        "len(sp)",
        "iter(sp)",
        "len(rg)",
        "rg.numpy()",
        "rg.to_list()",
        "sp.name",
        "rg.graph",
        "[op.name for op in rp.consumers()], [op.name for op in p2.consumers()]",
        "sorted(op.name for op in pl.consumers())",
        "R([1], [0])",
        # Static checks.
        "tf.SparseTensor([0], [1.0], [2, 2])",
        "tf.SparseTensor([[0, 0]], 1.0, [2, 2])",
        "tf.SparseTensor([[0, 0]], [1.0], 2)",
        "tf.SparseTensor([[0, 0]], [1.0], a)",
        "tf.SparseTensor([[0, 0]], [1.0], [[2, 2]])",
        "tf.SparseTensor([[0, 0]], [1.0, 2.0], [2, 2])",
        "tf.SparseTensor([[0, 0, 0]], [1.0], [2, 2])",
        "tf.SparseTensor([[0.5, 0]], [1.0], [2, 2])",
        "tf.SparseTensor(k, [1.0], [2, 2])",
        "tf.SparseTensor(tf.constant([[0, 0]]), [1.0], [2, 2])",
        "tf.SparseTensor([[0, 0]], None, [2, 2])",
        "tf.SparseTensor([], [], [2, 2])",
        "tf.SparseTensor(np.zeros((0, 2), np.int64), [], [2, 2])",
        "tf.SparseTensor([[0, 0]], [1.0], np.int32([2, 2]))",
        "tf.SparseTensor([[0, 0]], [1.0], [-1, 2]).shape",
        "tf.SparseTensor(values=[b'x'], dense_shape=[2, 2], indices=[[0, 0]]).dtype",
        "[sp.set_shape([3, None]), pl.set_shape([None, 4]), pl.shape]",
        "sp.set_shape([2, None])",
        "sp.with_values([2, 3])",
        "sp.with_values([2])",
        "tf.SparseTensor.from_value(V([[0, 0]], [1.0], [2, 2]))",
        "tf.SparseTensor.from_value(sp)",
        "tf.SparseTensor.from_value(3)",
        "tf.sparse_placeholder(tf.int32, [-2])",
        "tf.IndexedSlices(k, k, tf.constant(3)).shape",
        # Conversions.
        "tf.convert_to_tensor_or_sparse_tensor(sp) is sp",
        "tf.convert_to_tensor_or_sparse_tensor(V([[0, 0]], [1.0], [2, 2]))",
        "tf.convert_to_tensor_or_sparse_tensor(sp, tf.int32)",
        'tf.convert_to_tensor_or_sparse_tensor([1.0], tf.float64, "q")',
        "tf.convert_to_tensor_or_indexed_slices(sl) is sl",
        "tf.convert_to_tensor_or_indexed_slices(sp) is sp",
        "tf.convert_to_tensor_or_indexed_slices(sl, tf.int32)",
        "tf.convert_to_tensor_or_indexed_slices(k, tf.int32)",
        'tf.convert_to_tensor_or_indexed_slices([1.0], tf.float64, "q")',
        'tf.convert_to_tensor_or_indexed_slices(tf.Variable(1.0, name="v"))',
        "[tf.identity(x) for x in (sp, rg, deep, sl, sl3)]",
        'tf.identity(sp, "q")',
        "[sorted(i.name for i in tf.group(x).control_inputs) for x in (sp, rg, [sl3, k])]",
        "tf.tuple([sp, k])",
        "r(tf.tuple([sp, k]))",
        "[tf.is_tensor(x) for x in (sp, rg, sl, r(sp), r(rg), VALUE)]",
        "[tf.get_static_value(x) for x in (sp, rg, sl, VALUE)]",
        "tf.group({'x': sp, 'y': [rg]}).name",
        # Rows in all notations.
        "r(R.from_row_splits([1, 2, 3], [0, 2, 3]))",
        "R.from_row_splits([1, 2, 3], [0, 2, 3])",
        "r(R.from_row_splits([1, 2, 3], [0, 2, 4]))",
        "r(R.from_row_splits([1, 2, 3], [1, 2, 3]))",
        "r(R.from_row_splits([1, 2, 3], [0, 2, 1]))",
        "R.from_row_splits([1, 2, 3], [])",
        "R.from_row_splits([1, 2, 3], [[0]])",
        "R.from_row_splits([1, 2, 3], [0.0, 2.0])",
        "R.from_row_splits([1, 2, 3], np.int32([0, 3]))",
        "R.from_row_splits([1, 2, 3], np.float32([0, 3]))",
        "R.from_row_splits([1, 2, 3], [0, 3], validate=1)",
        "R.from_row_splits(R.from_row_splits([1, 2], np.int32([0, 2])), [0, 1])",
        "R.from_row_splits(rg, tf.constant([0, 3]))",
        "r(R.from_row_splits(tf.ragged.constant_value([[1], [2]]), [0, 2]))",
        'r(R.from_row_splits([[1, 2], [3, 4]], [0, 2], "q"))',
        "r(R.from_row_lengths([1, 2, 3], [2, 0, 1]))",
        "R.from_row_lengths([1, 2, 3], [2, -1, 2])",
        "r(R.from_row_lengths([1, 2, 3], [2, 2]))",
        "r(R.from_row_lengths([1, 2, 3], [2, 2], validate=False))",
        "r(R.from_row_lengths([], []))",
        "R.from_row_lengths([1, 2, 3], [2, 1]).row_lengths()",
        "r(R.from_value_rowids([1, 2, 3], [0, 0, 2]))",
        "r(R.from_value_rowids([1, 2, 3], [0, 0, 2], 5))",
        "R.from_value_rowids([1, 2, 3], [0, 0, 2], 2)",
        "R.from_value_rowids([1, 2, 3], [0, 0, 2], -2)",
        "r(R.from_value_rowids([1, 2, 3], [0, 2, 0]))",
        "r(R.from_value_rowids([1, 2, 3], [-1, 0, 2]))",
        "R.from_value_rowids([1, 2, 3], [0, 0])",
        "r(R.from_value_rowids([], []))",
        "r(R.from_value_rowids([1, 2, 3], rg.row_splits[:-1]))",
        "r(R.from_row_starts([1, 2, 3], [0, 2]))",
        "r(R.from_row_starts([1, 2, 3], [1, 2]))",
        "r(R.from_row_starts([1, 2, 3], [0, 4]))",
        "r(R.from_row_limits([1, 2, 3], [2, 3]))",
        "r(R.from_row_limits([1, 2, 3], [2, 2]))",
        "r(R.from_row_limits([1, 2, 3], [-1, 3]))",
        "r(R.from_uniform_row_length([1, 2, 3, 4], 2))",
        "R.from_uniform_row_length([1, 2, 3, 4], 2).uniform_row_length",
        "r(R.from_uniform_row_length([1, 2, 3, 4], 3))",
        "R.from_uniform_row_length([1, 2, 3, 4], 0)",
        "R.from_uniform_row_length([1, 2, 3, 4], 2, nrows=3)",
        "r(R.from_uniform_row_length([], 0, nrows=3))",
        "R.from_uniform_row_length([1, 2, 3, 4], 2).shape",
        "r(R.from_uniform_row_length([1, 2], tf.placeholder_with_default(np.int64(2), [])))",
        "r(R.from_uniform_row_length(tf.placeholder_with_default([1, 2, 3, 4], [None]), 2))",
        "r(R.from_uniform_row_length(rg, 3)), R.from_uniform_row_length(rg, 3).shape",
        "r(R.from_nested_row_splits([1, 2, 3], [[0, 2], [0, 2, 3]]))",
        "R.from_nested_row_splits([1, 2, 3], tf.constant([[0, 2]]))",
        "R.from_nested_row_splits([1, 2, 3], [])",
        "r(R.from_nested_row_lengths([1, 2, 3], [[2], [1, 2]]))",
        "r(R.from_nested_value_rowids([1, 2, 3], [[0, 0], [0, 0, 1]], [3, 2]))",
        "R.from_nested_value_rowids([1, 2, 3], [[0, 0], [0, 0, 1]], [3])",
        "r([rg.value_rowids(), rg.row_lengths(), rg.row_starts(), rg.row_limits(), rg.nrows()])",
        "rg.nrows(tf.int32), rg.row_lengths(0), rg.row_lengths()",
        "[r(deep.row_lengths(i)) for i in (0, 1, 2, -1)]",
        "deep.row_lengths(3)",
        "r(tf.ragged.constant([[[1, 2]], [[3, 4]]], ragged_rank=1).row_lengths(2))",
        "r([deep.nested_row_lengths(), deep.nested_value_rowids()])",
        "r([deep.bounding_shape(), deep.bounding_shape(0), deep.bounding_shape(1)])",
        "r([deep.bounding_shape([0, 2]), deep.bounding_shape(out_type=tf.int32)])",
        "r(deep.with_values(tf.ragged.constant([[1.0], [], [2.0, 3.0], []])))",
        "deep.with_values([1, 2, 3, 4])",
        "deep.with_values([1, 2, 3])",
        "deep.with_values(3)",
        "r(deep.with_flat_values([1.0, 2.0, 3.0]))",
        "deep.with_values(deep.values.with_row_splits_dtype(tf.int32))",
        "deep.with_row_splits_dtype(tf.int32)",
        "deep.with_row_splits_dtype(tf.int64) is deep",
        "deep.with_row_splits_dtype(tf.float32)",
        "[r(deep.merge_dims(i, j)) for i, j in [(0, 1), (1, 2), (0, 2), (1, 1), (-2, -1)]]",
        "r(tf.ragged.constant([[[1, 2]], [[3, 4]]], ragged_rank=1).merge_dims(1, 2))",
        "r(tf.ragged.constant([[[1, 2]], [[3, 4]]], ragged_rank=1).merge_dims(0, 1))",
        "r(tf.ragged.constant([[[[1, 2]]], [[[3, 4]]]], ragged_rank=1).merge_dims(2, 3))",
        "r(tf.ragged.constant([[[[1, 2]]], [[[3, 4]]]], ragged_rank=1).merge_dims(0, 3))",
        "deep.merge_dims(2, 1)",
        "deep.merge_dims(0, 5)",
        "[tf.ragged.constant(x) for x in ([], 3, [1, 2], [[]], [[], [[]]])]",
        "tf.ragged.constant([[1], 2])",
        "tf.ragged.constant([[1], [[]]])",
        "r(tf.ragged.constant([[[1, 2]], [[3, 4]]], ragged_rank=1))",
        "tf.ragged.constant([[[1, 2]], [[3]]], ragged_rank=1)",
        "tf.ragged.constant([1, 2], ragged_rank=1)",
        "tf.ragged.constant([[1, 2], [3]], ragged_rank=5)",
        "tf.ragged.constant([[1, 2], [3]], ragged_rank=-1)",
        "tf.ragged.constant([[1, 2], [3, 4]], ragged_rank=0)",
        "tf.ragged.constant(3, ragged_rank=1)",
        "tf.ragged.constant(3, inner_shape=(1,))",
        "r(tf.ragged.constant([[[1, 2]], [[3, 4]]], inner_shape=(2,)))",
        "tf.ragged.constant([[[1, 2]], [[3, 4]]], ragged_rank=2, inner_shape=(2,))",
        'tf.ragged.constant([[1, 2], [3]], tf.float64, row_splits_dtype=tf.int32, name="q")',
        "tf.ragged.constant([[1, 2], [3]], tf.string)",
        "tf.ragged.constant(rg)",
        "r(tf.ragged.constant([np.array([1, 2]), np.array([3])]))",
        "[tf.ragged.constant_value(x) for x in (3, [1, 2], [[1, 2], [3]], [[[1]], []], [['a']])]",
        'tf.ragged.constant_value([[1, 2], [3]], tf.float32, row_splits_dtype="int32")',
        "tf.ragged.constant_value([[1, 2], [3]], np.float64).dtype",
        "tf.ragged.constant_value([[[1, 2]], [[3]]]).nested_row_splits",
        "tf.ragged.constant_value([[[1, 2]], [[3]]]).flat_values",
        "tf.ragged.constant_value([[[1, 2]], [[3]]], ragged_rank=0)",
        "tf.ragged.RaggedTensorValue([1], np.array([0, 1]))",
        "tf.ragged.RaggedTensorValue(np.array([1]), [0, 1])",
        "tf.ragged.RaggedTensorValue(np.array([1]), np.array([0.0, 1.0]))",
        "tf.ragged.RaggedTensorValue(tf.ragged.constant_value([[1]]), np.int32([0, 1]))",
        "tf.ragged.placeholder(tf.float32, 0, [2])",
        "tf.ragged.placeholder(tf.float32, 1).shape",
        "r(tf.ragged.row_splits_to_segment_ids([0, 3, 3, 5, 5]))",
        "r(tf.ragged.row_splits_to_segment_ids([0]))",
        "tf.ragged.row_splits_to_segment_ids(np.zeros(0, np.int64))",
        "tf.ragged.row_splits_to_segment_ids([0.5])",
        "r(tf.ragged.row_splits_to_segment_ids([0, 2], out_type=tf.int32))",
        "r(tf.ragged.segment_ids_to_row_splits([0, 0, 2]))",
        "r(tf.ragged.segment_ids_to_row_splits([0, 0, 2], 5, tf.int32))",
        "r(tf.ragged.segment_ids_to_row_splits(tf.constant([0, 0, 2])))",
        # Checks.
        "r(tf.assert_equal(a, b), {a: 1.0, b: 1.0})",
        'r(tf.assert_equal(a, b, message="why"), {a: 1.0, b: 2.0})',
        "r(tf.assert_equal(a, b, [a, 'x']), {a: 1.0, b: 2.0})",
        "tf.assert_equal(a, a).type",
        "tf.assert_equal([1, 2], [1, 3])",
        'tf.debugging.assert_equal([1, 2], [1, 3], message="why")',
        "tf.assert_equal([1, 2], [1, 2]) is None",
        "r(tf.assert_less_equal(a, b), {a: 2.0, b: 1.0})",
        "r(tf.assert_greater_equal(a, b), {a: 1.0, b: 2.0})",
        'r(tf.assert_non_negative(a, message="why"), {a: -1.0})',
        "r(tf.assert_non_negative(v2, summarize=1), {v2: [[-1.0, 0.0]]})",
        "tf.assert_non_negative([1, -1])",
        "tf.assert_equal(a, 1)",
    ],
    "2.2": [
        "r(sp)",
        "[x.dtype for x in r(sp)] + [x.flags.writeable for x in r(sp)]",
        "r(tf.SparseTensor([[0]], [b'x'], [1]))",
        "r(rg), type(r(rg)).__name__, str(r(rg)), r(rg).to_list()",
        "r(deep), str(r(deep)), r(deep).shape, r(deep).ragged_rank",
        "r(tf.ragged.constant([['a'], ['b', 'c']]))",
        "r(V([[0, 0]], [1.0], [2, 2]))",
        "r(tf.ragged.constant_value([[1]]))",
        "r(tf.IndexedSlices([[1.0]], [0], [1, 1]))",
        "sp.eval()",
        "sp.eval(session=sess)",
        "pl.eval({pl: VALUE}, sess)",
        "sp.eval(session=tf.Session(graph=tf.Graph()))",
    ],
    "2.3": [
        "r([sp, {'x': (sp, k)}])",
        "[x.values is y.values for x, y in [r([sp, sp])]]",
        "r([sp, sp.values])[1]",
        "[x.values is y for x, y in [r([sp, sp.values])]]",
        "r({'x': [rg, deep, sp, k]})",
        "r(A(sp, [k])).x, r(A(sp, [k])).y, type(r([A(k, k.op)])[0]).__name__",
        "repr(r({'x': A(k, {'y': A(rg, k)})}))",
        "r(A)",
        "r(A(None, k))",
        "r(V(sp.indices, sp.values, sp.dense_shape))",
    ],
    "2.4": [
        "r([pi, pv, ps], {pl: V(*VALUE)})",
        "r([pi, pv, ps], {pl: VALUE})",
        "r([pi, pv, ps], {pl: list(VALUE)})",
        "r([pi, pv, ps], {pl: map(list, VALUE)})",
        "r(pv, {pl: {0: VALUE[0], 1: VALUE[1]}})",
        "r(pl, {pl: V(*VALUE)})",
        "[type(x).__name__ for x in r(pl, {pl: VALUE})]",
        "r(pv, {pl: VALUE[:2]})",
        "r(pv, {pl: (*VALUE, 'left out', None)})",
        "r(ps, {pl: VALUE[:2]})",
        "r(pv, {pl: ()})",
        "r(k, {pl: ()})",
        "r(pv, {pl: 3})",
        "r(pv, {pl: None})",
        "r(pv, {pl: sp})",
        "r(pv, {pl: V(sp.indices, sp.values, sp.dense_shape)})",
        "r(pv, {pl: ([0], [1.0], [2, 2])})",
        "r(pv, {pl: ([[0, 0]], [[1.0]], [2, 2])})",
        "r(pv, {pl: ([[0, 0]], ['x'], [2, 2])})",
        "r(pv, {pl: ([[0, 0]], [1.0], 2)})",
        "r(pi, {pl: ([[0.7, 1.2]], [1.0], [2, 2])})",
        "r(p2, {p2: ([[0, 0]], [1.0], [9, 9])})",
        "r(p2, {p2: ([[0, 0]], [1.0])})",
        "r(p2, {p2: ([[0, 0, 0]], [1.0])})",
        "r(tf.identity(sp.values), {sp: ([[0, 0], [1, 1]], [5.0, 6.0])})",
        "r(tf.identity(sp.values), {sp: ([[0, 0], [1, 1]], [5.0, 6.0], [2, 2])})",
        "r(tf.identity(sp.values), {sp: ([[0, 0]], [5.0])})",
        "r(pv, {pl: VALUE, pl.values: [7.0]})",
        "r(pv, {pl.values: [7.0], pl: VALUE})",
        "r(c, {(pl, a, b): (VALUE, 1.0, 2.0)})",
        "r(c, {(pl, a, b): (V(*VALUE), 1.0, 2.0)})",
        "r(rows, {(rp, a): (ragged_value([[1.0]]), 1.0)})",
        "r([v2 + 1.0, sl.indices], {sl: ([[1.0, 2.0]], [5])})",
        "r([v2 + 1.0, sl.indices], {sl: ([[1.0, 2.0]], [5], [9, 9])})",
        "r(tf.identity(sl3.dense_shape), {sl3: ([[1.0, 2.0]], [5], [9, 9])})",
        "r(tf.identity(sl3.dense_shape), {sl3: ([[1.0, 2.0]], [5])})",
        "r(sl, {sl: r(sl, {sl: ([[1.0, 2.0]], [5])})[:2]})",
        "r(rows, {rp: ragged_value([[1.0, 2.0], [3.0]])})",
        "r(rp, {rp: ragged_value([[1.0, 2.0], [3.0]])})",
        "r(rp, {rp: ragged_value([[1.0, 2.0], [3.0]], row_splits_dtype='int32')})",
        "r(tf.identity(rp2.flat_values), {rp2: ragged_value([[[[1, 2]]], []], ragged_rank=2)})",
        "r(rows, {rp: [[1.0, 2.0], [3.0]]})",
        "r(rows, {rp: (1, 2)})",
        "r(rows, {rp: rp})",
        "r(rows, {rp: rg})",
        "r(rows, {rp: ragged_value([[[1.0]]])})",
        "r(tf.identity(rp2.flat_values), {rp2: ragged_value([[1.0]])})",
        "r(rows, {rp: ragged_value([[['x']]], dtype=None)})",
        "r('zz', {rp: []})",
        "tf.Session(graph=tf.Graph()).run(k, {sp: VALUE})",
        "tf.Session(graph=tf.Graph()).run(sp)",
        "r(c, {a: 'x', pl: 3})",
        "r(c, {A(a, b): A(2.0, 3.0)})",
        "r(c, {A(a, b): (2.0, 3.0)})",
        "r(c, {(a, b): A(2.0, 3.0)})",
        "r(c, {A(a, b): (2.0,)})",
        "r(c, {HashableDict(y=b, x=a): HashableDict(x=2.0, y=3.0)})",
        "r(c, {(a, b): {'x': 2.0, 'y': 3.0}.values()})",
        "r(c, {(a, b): {2.0, 3.0}})",
        "r(c, {frozenset([a, b]): (2.0, 3.0)})",
    ],
    "3.1": [
        "sess.make_callable(sp)()",
        "sess.make_callable({'x': rg})()",
        "sess.make_callable([pv, k], [pl])(VALUE)",
        "sess.make_callable(pl, [pl])(VALUE)",
        "sess.make_callable(pv, [pl])(VALUE[:2])",
        "sess.make_callable(c, [(a, b), pl])((2.0, 3.0), VALUE)",
        "sess.make_callable(rows, [rp])([[1.0]])",
        "sess.make_callable(rows, [rp, a])(ragged_value([[1.0], []]))",
        "[list(sess.make_callable(pl, [pl])(x)[1]) for x in (VALUE, V(*VALUE), list(VALUE))]",
    ],
}


@pytest.mark.rows("call", CALLS)
def test_a_call_has_the_same_outcome(call, assert_same):
    assert_same(PRELUDE, f"out = {call}")


PROXIES = {
    "2.3": [
        "r(wrapt.ObjectProxy([k, k.op]))",
        "r(wrapt.ObjectProxy((k,)))",
        "r([wrapt.ObjectProxy([wrapt.ObjectProxy([k])])])",
        'r(wrapt.ObjectProxy(collections.namedtuple("P", "x y")(k, sp)))',
        "r([wrapt.ObjectProxy(k), k])",
        'r(wrapt.ObjectProxy("k:0"))',
        "r(wrapt.ObjectProxy(sp))",
    ],
    "2.4": [
        "r(c, {(a, b): wrapt.ObjectProxy([2.0, 3.0])})",
        "r(c, {wrapt.ObjectProxy((a, b)): [2.0, 3.0]})",
        "r(c, {a: wrapt.ObjectProxy(2.0), b: 3.0})",
        "r(pv, {pl: wrapt.ObjectProxy(VALUE)})",
    ],
}


@pytest.mark.rows("call", PROXIES)
def test_a_call_with_proxies_has_the_same_outcome(call, outcomes):
    pytest.importorskip("wrapt")
    real, ours = outcomes(PRELUDE, f"import wrapt\nout = [{call}, {call}]")
    assert ours == real


CHOICES = {
    "2.3": [
        (
            "a `wrapt` proxy of a dict as a fetch",
            "import wrapt\nout = type(r(wrapt.ObjectProxy({'k': k}))).__name__",
            "dict",
        ),
    ],
    "composites": [
        (
            "rows of ragged tensors: `from_value_rowids`, `value_rowids()`, `merge_dims`",
            "out = rg.value_rowids().op.type",
            "StridedSlice",
        ),
        (
            "operators of RaggedTensor, conversions between ragged and sparse tensors",
            "out = err(lambda: tf.ragged.constant([[1.0]]) * 2.0)",
            ("TypeError", "unsupported operand type(s) for *: 'RaggedTensor' and 'float'"),
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    if "wrapt" in choice[1]:
        pytest.importorskip("wrapt")
    assert_by_choice(PRELUDE, choice)


ATTRS = {
    "2.3": ["r(P(k, [sp]))", "r({'x': P(P(k, k.op), ())})", "r(P(None, k))"],
    "2.4": ["r(c, {P(a, b): P(2.0, 3.0)})"],
}


@pytest.mark.rows("call", ATTRS)
def test_a_call_with_attrs_classes_has_the_same_outcome(call, outcomes):
    pytest.importorskip("attrs")
    define = "import attrs\nP = attrs.make_class('P', ['x', 'y'], frozen=True)"
    real, ours = outcomes(PRELUDE, f"{define}\nout = {call}")
    assert ours == real


NAMES = [
    *("SparseTensor", "SparseTensorValue", "RaggedTensor", "IndexedSlices"),
    *("ragged.RaggedTensorValue", "sparse_placeholder", "sparse.placeholder", "ragged.placeholder"),
    *("ragged.constant", "ragged.constant_value", "convert_to_tensor_or_sparse_tensor"),
    *("convert_to_tensor_or_indexed_slices", "ragged.row_splits_to_segment_ids"),
    *("ragged.segment_ids_to_row_splits", "assert_equal", "assert_less_equal"),
    *("assert_greater_equal", "assert_non_negative"),
]
# Need ops that are not there yet.
LATER = {"RaggedTensor": {"from_sparse", "from_tensor", "to_sparse", "to_tensor"}}

SIGNATURES = """
import inspect
out = tf
for part in name.split("."):
    out = getattr(out, part)
members = {"": out}
if isinstance(out, type):
    members = {n: getattr(out, n) for n in dir(out) if n[0] != "_"}
    members |= {"__init__": out.__init__}
out = {
    n: [(p.name, repr(p.default)) for p in inspect.signature(m).parameters.values()]
    if callable(m) else "property"
    for n, m in members.items()
}
"""


@pytest.mark.spec("signatures")
@pytest.mark.parametrize("name", NAMES)
def test_names_and_signatures_are_the_same(name, outcomes):
    real, ours = outcomes(f"name = {name!r}", SIGNATURES)
    assert real[0] == ours[0] == "dict"
    real, ours = ({key.strip("'"): value for key, value in side[1]} for side in (real, ours))
    missing = LATER.get(name, set())
    assert {n: value for n, value in real.items() if n not in missing} == {
        n: value for n, value in ours.items() if n in real
    }
