"""SparseTensor, IndexedSlices and what makes a type composite."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.composite import composite_type_of, map_components, register_composite_type


@pytest.fixture
def sparse(fresh_graph):
    return tf.SparseTensor([[0, 1], [2, 0]], [1.5, 2.5], [3, 4])


def test_parts(sparse, fresh_graph):
    assert (sparse.dtype, sparse.graph, sparse.op) == (tf.float32, fresh_graph, sparse.values.op)
    assert sparse.indices.dtype is sparse.dense_shape.dtype is tf.int64
    assert sparse.shape.as_list() == sparse.get_shape().as_list() == [3, 4]
    names = ["SparseTensor/indices", "SparseTensor/values", "SparseTensor/dense_shape"]
    assert [op.name for op in fresh_graph.get_operations()] == names
    assert str(sparse) == repr(sparse)
    assert str(sparse).startswith('SparseTensor(indices=Tensor("SparseTensor/indices:0", shape=')
    assert sparse.consumers() == []
    used = [tf.identity(sparse.values), sparse.indices + 1]
    assert {tensor.op for tensor in used} == set(sparse.consumers())


REFUSED = [
    (([0], [1.0], [2]), ValueError, "must have rank 2"),
    (([[0]], 1.0, [2]), ValueError, "must have rank 1"),
    (([[0]], [1.0], 2), ValueError, "Received a scalar value '2' as shape"),
    (([[0]], [1.0], [[2]]), ValueError, "must have rank 1"),
    (([[0]], [1.0, 2.0], [2]), ValueError, "Dimensions 1 and 2 are not compatible"),
    (([[0, 0]], [1.0], [2]), ValueError, "Dimensions 2 and 1 are not compatible"),
    (([[0.5]], [1.0], [2]), TypeError, "Expected int64, but got 0.5"),
    (([[0]], None, [2]), ValueError, "None values not supported"),
]


@pytest.mark.parametrize(("parts", "error", "text"), REFUSED)
def test_parts_that_do_not_fit(fresh_graph, parts, error, text):
    with pytest.raises(error) as raised:
        tf.SparseTensor(*parts)
    assert text in str(raised.value)


SHAPES = [
    (lambda: tf.constant([3, -1], tf.int64), [3, None]),
    (lambda: tf.placeholder(tf.int64, [2]), [None, None]),
    (lambda: tf.placeholder(tf.int64), None),
    (lambda: tf.stack([tf.constant(5, tf.int64), tf.placeholder(tf.int64, [])]), [5, None]),
    (lambda: tf.shape(tf.placeholder(tf.float32, [None, 7]), out_type=tf.int64), [None, 7]),
]


@pytest.mark.parametrize(("make", "shape"), SHAPES)
def test_static_shapes(fresh_graph, make, shape):
    indices = tf.placeholder(tf.int64, [None, None])
    sparse = tf.SparseTensor(indices, tf.placeholder(tf.int32, [None]), make())
    assert sparse.shape.dims is None if shape is None else sparse.shape.as_list() == shape
    sparse.set_shape([None, 7])
    assert sparse.shape.as_list() == [shape[0] if shape else None, 7]
    with pytest.raises(ValueError, match="are not compatible"):
        sparse.set_shape([1, 8])
    assert sparse.shape.as_list()[1] == 7


def test_a_shape_that_was_told_cannot_be_fed(sparse, fresh_graph):
    assert not fresh_graph.is_feedable(sparse.dense_shape)
    assert fresh_graph.is_feedable(sparse.values)
    size, other = tf.constant(5, tf.int64), tf.placeholder(tf.int64, [])
    tf.SparseTensor([[0, 0]], [1.0], tf.stack([size, other]))
    assert not fresh_graph.is_feedable(size)
    assert fresh_graph.is_feedable(other)
    slices = tf.IndexedSlices(sparse.values, sparse.indices, tf.constant([9, 2]))
    assert fresh_graph.is_feedable(slices.dense_shape)
    assert slices.shape.as_list() == [9, 2]
    assert not fresh_graph.is_feedable(slices.dense_shape)


def test_made_of_another(sparse):
    assert sparse.with_values(["a", "b"]).dtype is tf.string
    assert sparse.with_values(["a", "b"]).indices is sparse.indices
    with pytest.raises(ValueError, match="Dimensions 2 and 1 are not compatible"):
        sparse.with_values([1.0])
    value = tf.SparseTensorValue([[0]], [1.0], [2])
    assert tf.SparseTensor.from_value(value).shape.as_list() == [2]
    assert tf.SparseTensor.from_value(sparse).values is sparse.values
    with pytest.raises(TypeError, match="is neither a SparseTensor nor SparseTensorValue"):
        tf.SparseTensor.from_value(3)


def test_conversions(sparse):
    slices = tf.IndexedSlices(sparse.values, sparse.indices)
    assert tf.convert_to_tensor_or_sparse_tensor(sparse, tf.float32) is sparse
    assert isinstance(tf.convert_to_tensor_or_sparse_tensor([1.0]), tf.Tensor)
    with pytest.raises(RuntimeError, match=r"Sparse dtype mismatch\. Requested: int32"):
        tf.convert_to_tensor_or_sparse_tensor(sparse, tf.int32)
    for composite in (sparse, slices):
        assert tf.convert_to_tensor_or_indexed_slices(composite, tf.float32) is composite
        with pytest.raises(ValueError, match="Incompatible tensor conversion requested to"):
            tf.convert_to_tensor_or_indexed_slices(composite, tf.int32)
    assert isinstance(tf.convert_to_tensor_or_indexed_slices([1.0]), tf.Tensor)
    with pytest.raises(TypeError, match="Failed to convert elements of SparseTensor"):
        tf.convert_to_tensor(sparse)


def test_identity_group_and_tuple_take_composites(sparse):
    slices = tf.IndexedSlices(sparse.values, sparse.indices, tf.constant([9, 2]))
    ragged = tf.RaggedTensor.from_uniform_row_length(tf.ragged.constant([[1], [2, 3]]), 2)
    for composite in (sparse, slices, ragged):
        copy = tf.identity(composite)
        assert type(copy) is type(composite)
        assert copy.shape.as_list() == composite.shape.as_list()
        parts = composite_type_of(copy).components(copy)
        assert {part.op.type for part in parts} == {"Identity"}
        waited = set(tf.group(composite).control_inputs)
        assert waited == {part.op for part in composite_type_of(composite).components(composite)}
    gated, _ = tf.tuple([sparse, slices])
    assert isinstance(gated, tf.SparseTensor)
    assert gated.values.op.control_inputs


PLACEHOLDERS = [
    (None, None, None, ["Placeholder"] * 3),
    ([2, None], [2, None], 2, ["Const", "PlaceholderWithDefault", "Placeholder", "Placeholder"]),
    ([2, -1], [2, None], 2, ["Const", "PlaceholderWithDefault", "Placeholder", "Placeholder"]),
    ([], [], 0, ["Const", "PlaceholderWithDefault", "Placeholder", "Placeholder"]),
]


@pytest.mark.parametrize(("shape", "static", "rank", "types"), PLACEHOLDERS)
def test_sparse_placeholder(fresh_graph, shape, static, rank, types):
    sparse = tf.sparse_placeholder(tf.string, shape, "p")
    assert [op.type for op in fresh_graph.get_operations()] == types
    assert all(op.name.startswith("p/") for op in fresh_graph.get_operations())
    assert sparse.dtype is tf.string
    assert sparse.shape.dims is None if static is None else sparse.shape.as_list() == static
    assert sparse.indices.shape.as_list() == [None, rank]


def test_a_placeholder_may_take_its_shape_from_a_tensor(fresh_graph):
    sparse = tf.sparse.placeholder(tf.float32, tf.constant([3, 4], tf.int64))
    assert sparse.shape.as_list() == [3, 4]
    assert fresh_graph.is_feedable(sparse.dense_shape)


class Pair:
    """A composite that a program registers."""

    def __init__(self, left, right):
        self.parts = [left, right]


class Twin(Pair):
    """A composite of its own, though a kind of another."""


def test_the_type_registered_last_goes_before():
    register_composite_type(Pair, lambda pair: pair.parts, sum)
    register_composite_type(
        Twin, lambda pair: pair.parts, list, convert=lambda f, pair: Twin(*map(f, pair.parts))
    )
    assert composite_type_of(Pair(1, 2)).contract([1, 2]) == 3
    assert composite_type_of(Twin(1, 2)).contract([1, 2]) == [1, 2]
    assert composite_type_of(3) is None
    assert map_components(np.negative, Twin(1, 2)).parts == [-1, -2]
    assert map_components(np.negative, 3) == -3
