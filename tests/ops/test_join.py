"""Stack, concat, split, and lists that hold tensors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value

ANY = (*NUMBERS, "bool")


def old_concat(module, x, y):
    if module is tf:
        return create_op("Concat", [1, [x, y]])
    return module.raw_ops.Concat(concat_dim=1, values=[x, y])


def offsets(module, a, b):
    if module is tf:
        return create_op("ConcatOffset", [1, [a, b]])
    return list(module.raw_ops.ConcatOffset(concat_dim=1, shape=[a, b]))


ROWS = [
    Row("Pack", lambda tf, x, y: tf.stack([x, y]), [floats(2, 3), floats(2, 3)], dtypes=ANY,
        reference=lambda x, y: np.stack([x, y]), grad=True),
    Row("Pack", lambda tf, x, y: tf.stack([x, y], -1), [floats(2, 3), floats(2, 3)],
        reference=lambda x, y: np.stack([x, y], -1), grad=True, label="last"),
    Row("Pack", lambda tf, x: tf.stack([x, 1.5]), [floats()], grad=True, label="scalars"),
    Row("Pack", lambda tf, x: tf.stack([x], 1), [strings(b"a", b"b")], label="texts"),
    Row("Pack", lambda tf, x: tf.stack([x, x]), [floats(0, 2)], label="empty"),
    Row("Pack", lambda tf, x: tf.identity([[x, 1.0], [2.0, x]]), [floats()], grad=True,
        label="nested lists"),
    Row("Pack", lambda tf, x: tf.fill([x, 2], 0.0), [value(3, "int64")], label="list of sizes"),
    Row("Unpack", lambda tf, x: tf.unstack(x, 2), [floats(2, 3)], dtypes=ANY,
        reference=list, grad=True),
    Row("Unpack", lambda tf, x: tf.unstack(x, 3, axis=-1), [floats(2, 3)], grad=True,
        label="last"),
    Row("ConcatV2", lambda tf, x, y: tf.concat([x, y], 0), [floats(2, 3), floats(1, 3)],
        dtypes=ANY, reference=lambda x, y: np.concatenate([x, y]), grad=True),
    Row("ConcatV2", lambda tf, x, y: tf.concat([x, y, x], -1), [floats(2, 3), floats(2, 0)],
        grad=True, label="last"),
    Row("ConcatV2", lambda tf, x, y, a: tf.concat([x, y], a),
        [floats(2, 3), floats(1, 3), value(-2, "int64")], label="fed axis"),
    Row("ConcatV2", lambda tf, x, y: tf.concat([x, y], 0), [strings(b"a"), strings(b"b", b"c")],
        label="texts"),
    Row("Identity", lambda tf, x: tf.concat([x], 0), [floats(2)], grad=True, label="concat of one"),
    Row("Concat", old_concat, [floats(2, 3), floats(2, 1)], grad=True),
    Row("ConcatOffset", offsets, [value([2, 3]), value([2, 5])], dtypes=["int32", "int64"]),
    Row("Split", lambda tf, x: tf.split(x, 2), [floats(4, 3)], dtypes=ANY,
        reference=lambda x: np.split(x, 2), grad=True),
    Row("Split", lambda tf, x: tf.split(x, 3, axis=-1), [floats(2, 3)], grad=True, label="last"),
    Row("Split", lambda tf, x, a: tf.split(x, 2, a), [floats(4, 2), value(0, "int32")],
        label="fed axis"),
    Row("SplitV", lambda tf, x: tf.split(x, [1, 3]), [floats(4, 3)], dtypes=ANY,
        reference=lambda x: np.split(x, [1]), grad=True),
    Row("SplitV", lambda tf, x: tf.split(x, [0, -1, 1], 1), [floats(2, 4)], grad=True,
        label="the rest"),
    Row("SplitV", lambda tf, x, s: tf.split(x, s, num=2), [floats(4), value([1, 3])],
        dtypes=["int32", "int64"], label="fed"),
    Row("Mul", lambda tf, x, y: tf.meshgrid(x, y), [floats(3), floats(2)], grad=True,
        reference=np.meshgrid, label="meshgrid"),
    Row("Mul", lambda tf, x, y, z: tf.meshgrid(x, y, z, indexing="ij"),
        [floats(3), floats(2), floats(1)], label="meshgrid ij",
        reference=lambda *xs: np.meshgrid(*xs, indexing="ij")),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda x: tf.stack([x, x], 4), ValueError, r"Argument `axis` = 4 not in range \[-3, 3\)"),
        (lambda x: tf.stack([x, x[0]]), ValueError,
         "Shapes must be equal rank, but are 2 and 1\n\tFrom merging shape 0 with other shapes."),
        (lambda x: tf.stack([x, tf.constant(1)]), TypeError, "that don't all match"),
        (lambda x: tf.unstack(tf.placeholder(tf.int32)), ValueError,
         "Cannot infer argument `num` from shape <unknown>"),
        (lambda x: tf.unstack(x, 3), ValueError, "Dimension must be 3 but is 2"),
        (lambda x: tf.unstack(x, axis=5), ValueError, r"`axis` = 5 not in range \[-2, 2\)"),
        (lambda x: tf.concat([x, x[:, :2]], 0), ValueError, r"Shapes are \[3\] and \[2\]."),
        (lambda x: tf.concat([x, x[0]], 0), ValueError, "Shape must be rank 2 but is rank 1"),
        (lambda x: tf.concat([x, x], 3), ValueError, "Shape must be at least rank 4 but is rank 2"),
        (lambda x: tf.concat([x, x], [0]), ValueError, "Shape must be rank 0 but is rank 1"),
        (lambda x: tf.concat([1, 2], 0), ValueError, "Can't concatenate scalars .use tf.stack"),
        (lambda x: tf.split(x, 3), ValueError, "Number of ways to split should evenly divide"),
        (lambda x: tf.split(x, [1, 2]), ValueError,
         r"can't split axis of size 2 into pieces of size \[1,2\]"),
        (lambda x: tf.split(x, 2, 5), ValueError, r"scalar input 5 must be in range \[-2, 2\)"),
        (lambda x: tf.split(x, 0), ValueError, "passed 0 less than minimum 1"),
        (lambda x: tf.split(x, tf.placeholder(tf.int32, [])), ValueError, "Rank-0 tensors are not"),
        (lambda x: tf.split(x, tf.placeholder(tf.int32)), ValueError, "Cannot infer argument"),
        (lambda x: tf.meshgrid([1], indexing="z"), ValueError, "must be either 'xy' or 'ij'"),
        (lambda x: tf.meshgrid([1], foo=1), TypeError, "'foo' is an invalid keyword argument"),
        (lambda x: tf.convert_to_tensor([x[0, 0], tf.constant(1)]), TypeError,
         "Cannot convert a list containing a tensor of dtype <dtype: 'int32'> to"),
        (lambda x: tf.convert_to_tensor([x[0, 0], "a"]), TypeError, "Expected float32, but got a"),
        (lambda x: tf.convert_to_tensor([x[0, 0], None]), ValueError, "None values not supported"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, error, text):
    x = tf.placeholder(tf.float32, [2, 3])
    with pytest.raises(error, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x, y: tf.stack([x, y]),
         r"values\[0\].shape = \[4,3\] != values\[1\].shape = \[1,2\]"),
        (lambda x, y: tf.stack([x, x], 5), r"axis = 5 not in \[-3, 3\)"),
        (lambda x, y: tf.unstack(x, 3), r"axis 0 must equal 3, got shape \[4,3\]"),
        (lambda x, y: tf.concat([x, y], 0),
         r"ConcatOp : Dimension 1 in both shapes must be equal: shape\[0\] = \[4,3\] vs."),
        (lambda x, y: tf.concat([x, y], 3), r"dimensions in the range \[-2, 2\), but got 3"),
        (lambda x, y: tf.concat([x, y[0]], 0), "Ranks of all input tensors should match"),
        (lambda x, y: tf.concat([x[0, 0], x[0, 0]], 0), "Can't concatenate scalars"),
        (lambda x, y: tf.split(x, 3), r"but got split_dim 0 \(size = 4\) and num_split 3"),
        (lambda x, y: tf.split(x, 2, 5), r"-input rank\(-2\) <= split_dim < input rank \(2\), but"),
        (lambda x, y: tf.split(x, [1, 5]), "Determined shape must either match input shape"),
        (lambda x, y: tf.split(x, [-1, -1]), "There can only be one -1 in the input."),
        (lambda x, y: create_op("ConcatOffset", [1, [tf.shape(x), tf.shape(y)]])[0],
         r"Input 1 has shape \[1 2\] and doesn't match input 0 with shape \[4 3\]."),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x, y = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
    result = build(x, y)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {x: np.zeros((4, 3)), y: np.zeros((1, 2))})


@pytest.mark.parametrize(
    ("values", "kwargs", "names"),
    [
        (lambda x: [x, [1.0, 2.0, 3.0]], {}, ["packed/1_1", "packed"]),
        (lambda x: [x, x], {"name": "n"}, ["n"]),
        (lambda x: [x, x], {"dtype": tf.int32}, ["Cast", "Cast_1", "packed"]),
        (lambda x: [1.0, 2.0], {}, ["Const"]),
        (lambda x: (x, (1, 2, 3)), {}, ["packed/1_1", "packed"]),
    ],
)
def test_lists_with_tensors_are_stacked(fresh_graph, values, kwargs, names):
    x = tf.placeholder(tf.float32, [3], name="x")
    tf.convert_to_tensor(values(x), **kwargs)
    assert [op.name for op in fresh_graph.get_operations()][1:] == names


def test_a_list_of_numbers_is_a_constant(fresh_graph):
    assert tf.stack([1, 2, 3]).op.type == "Const"
    assert tf.stack([]).shape.as_list() == [0]
    assert tf.meshgrid() == []


@pytest.mark.parametrize(("axis", "rows"), [(0, [0, 2]), (1, [0, 1])])
def test_the_gradient_of_a_concat_of_gathered_rows(fresh_graph, axis, rows):
    x, y = (tf.placeholder(tf.float32, [2, 2], name=name) for name in "xy")
    grads = tf.gradients(tf.gather(tf.concat([x, y], axis), rows), [x, y])
    assert all(isinstance(grad, IndexedSlices) for grad in grads)
    with tf.Session() as session:
        dense = session.run([tf.convert_to_tensor(grad) for grad in grads],
                            {x: np.zeros((2, 2)), y: np.zeros((2, 2))})  # fmt: skip
    one_row = [[1.0, 1.0], [0.0, 0.0]]
    wanted = [one_row, one_row] if axis == 0 else [np.ones((2, 2)), np.ones((2, 2))]
    np.testing.assert_array_equal(dense, wanted)
