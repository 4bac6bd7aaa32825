"""Inputs of a rank that only a step sees: what must be a vector is refused where it is none."""

import pytest

import tfsession as tf
from tfsession.graph.create import create_op


def late(value, dtype=None):
    """A tensor whose shape nobody knows while the graph is built."""
    return tf.placeholder_with_default(tf.constant(value, dtype), None)


def longs(value):
    """The same, of int64."""
    return late(value, tf.int64)


def of_sparse(op_type, *rest, **attrs):
    """What builds an op of a sparse tensor with one element, given its dense shape."""
    return lambda v: create_op(
        op_type, (longs([[0]]), late([1.0]), longs(v), *(make() for make in rest)), attrs
    )


def lists_length(op_type, *inputs):
    """What builds an op that makes a list of tensors, and asks for its length."""
    return lambda v: create_op(
        "TensorListLength",
        (create_op(op_type, tuple(make(v) for make in inputs), {"element_dtype": tf.float32}),),
    )


VECTOR = r"shape must be a vector of \{int32,int64\}, got shape "
SPARSE = r"Inputs sp_values and sp_shape should be vectors but received shapes: \[1\] and "
REDUCED = "Expected input_shape to be a vector; got shape: "


def floats(v):
    return late([1.0, 2.0])


# A builder that is given what should be a vector, and what TensorFlow says.
NO_VECTORS = [
    (lambda v: tf.scatter_nd(late([[0]]), late([1.0]), late(v)), "Shape must be a vector"),
    (lambda v: tf.transpose(late([[1.0]]), late(v)), "perm must be rank 1, got shape "),
    (lambda v: tf.invert_permutation(late(v)), "invert_permutation expects a 1D vector"),
    (lambda v: tf.random_uniform(late(v)), VECTOR),
    (lambda v: tf.broadcast_to(late([1.0]), late(v)), VECTOR),
    (lambda v: tf.fill(late(v), 1.0), "dims must represent a vector, got shape "),
    (lambda v: tf.reverse_v2(late([1.0]), late(v)), "'dims' must be 1-dimension"),
    (lambda v: tf.reverse_sequence(late([[1.0]]), longs(v), 0, 1), "seq_lengths must be 1-dim"),
    (
        lambda v: tf.sparse_to_dense(late([[0]]), late(v), late([1.0])),
        "output_shape must be rank 1",
    ),
    (lambda v: create_op("Empty", (late(v),), {"dtype": tf.float32}), "shape must be a vector of "),
    (
        lambda v: create_op("BroadcastGradientArgs", (late(v), late([1]))),
        r"In\[0\] must be a vector",
    ),
    (lambda v: create_op("BroadcastArgs", (late([1]), late(v))), r"In\[1\] must be a vector"),
    (
        lambda v: create_op("ConcatOffset", (late(0), [late([2]), late(v)])),
        "input 2 should be a vector, but got shape ",
    ),
    (
        lambda v: create_op(
            "StridedSliceGrad", (late(v), late([0]), late([1]), late([1]), late([1.0]))
        ),
        "shape must be 1-D, got shape.shape = ",
    ),
    (of_sparse("SparseDenseCwiseMul", lambda: late([1.0])), SPARSE),
    (of_sparse("SparseDenseCwiseDiv", lambda: late([1.0])), SPARSE),
    (of_sparse("SparseDenseCwiseAdd", lambda: late([1.0])), SPARSE),
    (of_sparse("SparseSoftmax"), SPARSE),
    (of_sparse("SparseTensorDenseAdd", lambda: late([1.0])), SPARSE.replace("sp_", "a_")),
    (of_sparse("SparseReduceSum", lambda: late([0])), REDUCED),
    (of_sparse("SparseReduceMaxSparse", lambda: late([0])), REDUCED),
    (
        lists_length("TensorListSplit", floats, lambda v: late([-1]), longs),
        "Expected lengths to be a vector, received shape: ",
    ),
    (
        lists_length("TensorListScatterV2", floats, late, lambda v: late(-1), lambda v: late(-1)),
        "Expected indices to be a vector, but received shape: ",
    ),
]


@pytest.mark.parametrize("value", [3, [[3]]], ids=["scalar", "matrix"])
@pytest.mark.parametrize(("build", "text"), NO_VECTORS)
def test_what_is_no_vector_is_refused(fresh_graph, build, text, value):
    made = build(value)
    tensor = made[0] if isinstance(made, (list, tuple)) else made
    with (
        tf.Session() as session,
        pytest.raises(tf.errors.InvalidArgumentError, match=text) as caught,
    ):
        session.run(tensor)
    assert caught.value.op is tensor.op or caught.value.op is tensor.op.inputs[0].op


@pytest.mark.parametrize(
    "build",
    [
        lambda v: tf.random_uniform(v),
        lambda v: tf.scatter_nd(tf.cast(late([[0]]), v.dtype), late([1.0]), v),
        lambda v: tf.broadcast_to(late([1.0]), v),
        lambda v: tf.fill(v, 1.0),
    ],
)
@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([1] * 300, "Too many dimensions"),
        ([2, -3], "Dimension -3 must be >= 0"),
        ([1 << 31, 1 << 31, 1 << 31], r"would have more than 2\*\*63 - 1 elements"),
    ],
    ids=["long", "negative", "large"],
)
def test_sizes_that_no_tensor_has(fresh_graph, build, sizes, text):
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(build(longs(sizes) if max(sizes) >= 1 << 31 else late(sizes)))
