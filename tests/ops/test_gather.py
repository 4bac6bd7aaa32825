"""Elements and slices at given indices."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.testing import (
    NUMBERS,
    Row,
    case_name,
    check_row,
    floats,
    ints,
    row_cases,
    strings,
    value,
)

ANY = (*NUMBERS, "bool")
COMPOSED = "TensorFlow composes it of other operations"


def first_gather(module, x, i):
    if module is tf:
        return create_op("Gather", [x, i])
    return module.raw_ops.Gather(params=x, indices=i)


def batched(x, i):
    return np.take_along_axis(x, i, 1)


ROWS = [
    Row("GatherV2", "gather", [floats(4, 3), ints(5, high=4)], dtypes=ANY,
        reference=lambda x, i: x[i], grad=True),
    Row("GatherV2", "gather", [floats(4, 3), ints(2, 2, high=4, dtype=None)],
        dtypes=["int32", "int64", "int16"], label="index types"),
    Row("GatherV2", "gather", [floats(4), value(2, "int32")], grad=True, label="scalar"),
    Row("GatherV2", "gather", [floats(4, 0), ints(3, high=4)], label="empty slices"),
    Row("GatherV2", "gather", [floats(4, 2), ints(0, high=4)], label="no indices"),
    Row("GatherV2", "gather", [strings(b"a", b"b"), value([1, 1, 0], "int32")], label="texts"),
    Row("GatherV2", lambda tf, x, i: tf.string_to_number(tf.gather(x, i)),
        [strings(b"1", b"2"), value(1, "int32")], label="a text"),
    Row("GatherV2", lambda tf, x, i: tf.gather(x, i, axis=1), [floats(2, 3, 2), ints(2, 2, high=3)],
        dtypes=["float32", "int32", "bool"], reference=lambda x, i: x[:, i], grad=True,
        label="axis"),
    Row("GatherV2", lambda tf, x, i: tf.gather(x, i, axis=-1), [floats(2, 3), value(1, "int32")],
        grad=True, label="last axis"),
    Row("GatherV2", lambda tf, x, i: tf.gather(x, i, axis=1, batch_dims=1),
        [floats(2, 3), ints(2, 4, high=3)], reference=batched, grad=True, label="batch"),
    Row("GatherV2", lambda tf, x, i: tf.gather(x, i, axis=2, batch_dims=-1),
        [floats(2, 3, 4), ints(2, 2, high=4)], grad=True, label="batch and axis"),
    Row("Gather", first_gather, [floats(4, 3), ints(5, high=4)], grad=True),
    Row("GatherNd", "gather_nd", [floats(2, 3), value([[0, 1], [1, 2], [1, 2]], "int32")],
        dtypes=ANY, reference=lambda x, i: x[i[:, 0], i[:, 1]], grad=True),
    Row("GatherNd", "gather_nd", [floats(3, 2), value([[1], [1]], "int64")], grad=True,
        label="rows"),
    Row("GatherNd", "gather_nd", [floats(2, 3), value(np.zeros((2, 0)), "int32")], label="whole"),
    Row("GatherNd", "gather_nd", [floats(2, 3), value([1, 2], "int32")], label="one"),
    Row("GatherNd", lambda tf, x, i: tf.gather_nd(x, i, batch_dims=1),
        [floats(2, 3, 2), value([[1], [2]], "int32")], reference=lambda x, i: x[[0, 1], i[:, 0]],
        same_graph=COMPOSED, label="batch"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.gather(x, [0], axis=4), "Shape must be at least rank 5 but is rank 2"),
        (lambda x: tf.gather(x[0, 0], [0]), "Shape must be at least rank 1 but is rank 0"),
        (lambda x: tf.gather(x, [0], axis=[1]), "Shape must be rank 0 but is rank 1"),
        (lambda x: tf.gather_nd(x, [[0, 0, 0]]), "indices.shape.-1. must be <= params.rank"),
        (lambda x: tf.batch_gather(x, tf.placeholder(tf.int32)), "with unknown shape"),
    ],
)
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [2, 3])
    with pytest.raises(ValueError, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x, i: tf.gather(x, [0, i]), r"indices\[1\] = 5 is not in \[0, 2\)"),
        (lambda x, i: tf.gather(x, [[0, 1], [1, -i]]), r"indices\[1,1\] = -5 is not in \[0, 2\)"),
        (lambda x, i: tf.gather(x, i), r"indices = 5 is not in \[0, 2\)"),
        (lambda x, i: tf.gather(x, [i], axis=1), r"indices\[0\] = 5 is not in \[0, 3\)"),
        (lambda x, i: tf.gather(x, [0], axis=i), r"axis in the range \[-2, 2\), but got 5"),
        (lambda x, i: tf.gather(x, [[0]] * 3, batch_dims=1),
         r"params.shape\[0\]: 2 should be equal to indices.shape\[0\]: 3"),
        (lambda x, i: tf.gather(x[0, 0], [0]), "params must be at least 1 dimensional"),
        (lambda x, i: create_op("Gather", [x, [i]]), r"indices\[0\] = 5 is not in \[0, 2\)"),
        (lambda x, i: tf.gather_nd(x, [[0, 1], [1, i]]),
         r"indices\[1\] = \[1, 5\] does not index into param shape \[2,3\]"),
        (lambda x, i: tf.gather_nd(x[:, :0], [[0]]),
         r"Requested more than 0 entries, but params is empty.  Params shape: \[2,0\]"),
        (lambda x, i: tf.gather_nd(x, [[0, 1, 0]]), "must be <= params rank; saw: 3 vs. 2"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x, i = tf.placeholder(tf.float32), tf.placeholder(tf.int32, [])
    result = build(x, i)
    with (
        tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=text),
    ):
        session.run(result, {x: np.zeros((2, 3)), i: 5})


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda x: tf.gather(x, tf.constant([1, 7, -1], tf.int64)), [[3, 4, 5], [0] * 3, [0] * 3]),
        (lambda x: tf.gather(x, tf.constant([0, 3], tf.int64), axis=1), [[0, 0], [3, 0]]),
        (lambda x: tf.gather_nd(x, tf.constant([[1, 1], [2, 0]], tf.int64)), [4, 0]),
    ],
)
def test_a_gpu_gives_zeros_out_of_range(fresh_graph, build, wanted):
    with tf.device("/gpu:0"):
        result = build(tf.constant(np.arange(6.0).reshape(2, 3)))
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        assert session.run(result).tolist() == wanted


def test_batch_gather_goes_along_the_last_dimension_of_the_indices(fresh_graph):
    x, indices = np.arange(6).reshape(2, 3), [[0, 2], [1, 1]]
    with tf.Session() as session:
        found = session.run(tf.batch_gather(x, indices))
    np.testing.assert_array_equal(found, batched(x, np.array(indices)))


def test_the_gradient_of_a_gather_is_its_slices(fresh_graph):
    x = tf.placeholder(tf.float32, [3, 2])
    (grad,) = tf.gradients(tf.gather(x, [[2, 0], [2, 2]]) * 2.0, x)
    assert isinstance(grad, IndexedSlices)
    assert grad.shape.as_list() == [3, 2]
    assert (grad.dtype, grad.graph) == (tf.float32, fresh_graph)
    assert grad.op is grad.values.op
    with tf.Session() as session:
        dense, indices, negative = session.run(
            [tf.convert_to_tensor(grad), grad.indices, (-grad).values]
        )
    assert indices.tolist() == [2, 0, 2, 2]
    assert dense.tolist() == [[2, 2], [0, 0], [6, 6]]
    assert negative.tolist() == [[-2, -2]] * 4


@pytest.mark.parametrize(
    ("dense_shape", "dtype", "text"),
    [(None, None, "without dense_shape"), ([2], tf.int32, "Incompatible tensor conversion")],
)
def test_slices_that_cannot_be_dense(fresh_graph, dense_shape, dtype, text):
    sizes = None if dense_shape is None else tf.constant(dense_shape)
    slices = IndexedSlices(tf.constant([1.0]), tf.constant([0]), sizes)
    with pytest.raises(ValueError, match=text):
        tf.convert_to_tensor(slices, dtype)


def test_slices_tell_their_parts(fresh_graph):
    values, indices = tf.constant([1.0]), tf.constant([0])
    slices = tf.IndexedSlices(values, indices)
    assert str(slices) == f"IndexedSlices(indices={indices}, values={values})"
    assert slices.shape.ndims is None
    assert (slices.name, slices.device) == ("Const:0", "")
    assert tf.identity(slices).values.op.inputs == (values,)
    assert slices.consumers() == [fresh_graph.get_operation_by_name("Identity"),
                                  fresh_graph.get_operation_by_name("Identity_1")]  # fmt: skip
