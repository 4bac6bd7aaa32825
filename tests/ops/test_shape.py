"""Shapes as values and changes of shape; what shape functions see through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import (
    NUMBERS,
    Row,
    case_name,
    check_row,
    floats,
    row_cases,
    strings,
    value,
)

ANY = (*NUMBERS, "bool")
EMPTY_LIST = "TensorFlow makes a float constant of an empty list first"


def both(tf, a, b):
    op = getattr(tf, "raw_ops", None)
    if op is None or tf.__name__ == "tfsession":
        return create_op("BroadcastGradientArgs", [a, b])
    return list(op.BroadcastGradientArgs(s0=a, s1=b))


ROWS = [
    Row("Const", lambda tf, x: tf.shape(x), [floats(2, 3)],
        reference=lambda x: np.array(x.shape), label="shape"),
    Row("Shape", lambda tf, x: tf.shape(hidden(tf, x), out_type=tf.int64), [floats(2, 0, 3)],
        dtypes=ANY, reference=lambda x: np.array(x.shape)),
    Row("ShapeN", lambda tf, x, y: tf.shape_n([x, y]), [floats(2, 3), floats()]),
    Row("Size", lambda tf, x: tf.size(hidden(tf, x)), [floats(2, 3)], reference=np.size),
    Row("Size", lambda tf, x: tf.size(hidden(tf, x), out_type=tf.int64), [strings(b"a", b"b")]),
    Row("Rank", lambda tf, x: tf.rank(hidden(tf, x)), [floats(2, 3)], reference=np.ndim),
    Row("Reshape", lambda tf, x: tf.reshape(x, [3, 2]), [floats(2, 3)], dtypes=ANY, grad=True),
    Row("Reshape", lambda tf, x: tf.reshape(x, [-1]), [floats(2, 3)], grad=True, label="flat"),
    Row("Reshape", lambda tf, x: tf.reshape(x, [2, -1, 1]), [floats(2, 6)], grad=True),
    Row("Reshape", lambda tf, x: tf.reshape(x, []), [floats(1, 1)], same_graph=EMPTY_LIST,
        grad=True, label="scalar"),
    Row("Reshape", lambda tf, x, s: tf.reshape(x, s), [floats(0, 3), value([-1, 0], "int64")],
        label="empty"),
    Row("Reshape", lambda tf, x: tf.reshape(x, [2, 1]), [strings(b"a", b"b")], label="texts"),
    Row("Reshape", lambda tf, x: tf.reshape(x, [tf.shape(x)[1], -1]), [floats(2, 3)],
        label="by shape"),
    Row("ExpandDims", lambda tf, x: tf.expand_dims(x, 1), [floats(2, 3)], dtypes=ANY, grad=True),
    Row("ExpandDims", lambda tf, x: tf.expand_dims(x, dim=-1), [floats(2)], grad=True),
    Row("ExpandDims", lambda tf, x: tf.expand_dims(x, 0), [floats()], grad=True, label="scalar"),
    Row("Squeeze", lambda tf, x: tf.squeeze(x), [floats(1, 2, 1)], dtypes=ANY, grad=True),
    Row("Squeeze", lambda tf, x: tf.squeeze(x, -1), [floats(1, 2, 1)], grad=True, label="last"),
    Row("Squeeze", lambda tf, x: tf.squeeze(x, squeeze_dims=[0, 2]), [floats(1, 2, 1)],
        grad=True, label="some"),
    Row("BroadcastTo", lambda tf, x: tf.broadcast_to(x, [4, 2, 3]), [floats(2, 1)], dtypes=ANY,
        reference=lambda x: np.broadcast_to(x, [4, 2, 3]), grad=True),
    Row("BroadcastTo", lambda tf, x: tf.broadcast_to(x, [2, 3]), [floats(2, 3)], grad=True,
        label="same"),
    Row("BroadcastTo", lambda tf, x: tf.broadcast_to(x, [0, 3]), [floats(1, 3)], label="empty"),
    Row("BroadcastArgs", lambda tf, a, b: tf.broadcast_dynamic_shape(a, b),
        [value([2, 1, 3]), value([4, 1])], dtypes=["int32", "int64"]),
    Row("BroadcastGradientArgs", both, [value([2, 1, 3]), value([1, 3])],
        dtypes=["int32", "int64"]),
    Row("BroadcastGradientArgs", both, [value([1, 1]), value([1])], dtypes=["int32"], label="ones"),
    Row("BroadcastGradientArgs", both, [value([2, 1]), value([2, 1])], dtypes=["int32"],
        label="equal"),
    Row("BroadcastGradientArgs", both, [value([0, 1]), value([], "int32")], dtypes=["int32"],
        label="empty"),
    Row("EnsureShape", lambda tf, x: tf.ensure_shape(x, [None, 3]), [floats(2, 3)], dtypes=ANY,
        grad=False),
    Row("Bitcast", lambda tf, x: tf.bitcast(x, tf.uint8), [floats(2, 3)],
        dtypes=["float32", "float64", "int16", "complex64", "int8"]),
    Row("Bitcast", lambda tf, x: tf.bitcast(x, tf.int64), [value([[1, 2], [3, 4]], "int32")],
        label="joined"),
    Row("Bitcast", lambda tf, x: tf.bitcast(x, tf.int32), [floats()], label="scalar"),
]  # fmt: skip


def hidden(tf, x):
    """`x` without its static shape."""
    return tf.placeholder_with_default(x, None)


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.reshape(x, [4]),
         r"Cannot reshape a tensor with 6 elements to shape \[4\] \(4 elements\) for '{{node "
         r"Reshape}} = Reshape\[T=DT_FLOAT, Tshape=DT_INT32\]\(x, Reshape/shape\)' with input "
         r"shapes: \[2,3\], \[1\] and with input tensors computed as partial shapes: "
         r"input\[1\] = \[4\]\."),
        (lambda x: tf.reshape(x, [4, -1]), "must be evenly divisible by 4 but is 6"),
        (lambda x: tf.reshape(x, [-1, 0]), r"to shape \[\?,0\] \(0 elements\)"),
        (lambda x: tf.reshape(x, 6), "Shape must be rank 1 but is rank 0"),
        (lambda x: tf.reshape(x, [-2, 3]), "Invalid value in tensor used for shape: -2"),
        (lambda x: tf.expand_dims(x, 3), r"dim 3 not in the interval \[-3, 2\]."),
        (lambda x: tf.expand_dims(x), "Must specify an axis argument to tf.expand_dims"),
        (lambda x: tf.expand_dims(x, 1, dim=1), "Cannot specify both 'dim' and 'axis'."),
        (lambda x: tf.squeeze(x, 0), r"Can not squeeze dim\[0\], expected a dimension of 1, got 2"),
        (lambda x: tf.squeeze(x, 5), r"squeeze_dims\[0\] not in \[-2,2\)."),
        (lambda x: tf.broadcast_to(x, [3]), "Shape must be at most rank 1 but is rank 2"),
        (lambda x: tf.broadcast_to(x, [2, 4]), "Dimensions must be equal, but are 3 and 4"),
        (lambda x: tf.broadcast_static_shape(x.shape, tf.TensorShape([4])),
         "Incompatible shapes for broadcasting"),
        (lambda x: tf.ensure_shape(x, [2, 4]), r"Shapes are \[2,4\] and \[2,3\]"),
        (lambda x: tf.bitcast(x, tf.float64), "does not match 2"),
        (lambda x: tf.bitcast(tf.constant(1.0), tf.int64), "must be at least rank 1"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, text):
    x = tf.placeholder(tf.float32, [2, 3], name="x")
    before = len(fresh_graph.get_operations())
    with pytest.raises(ValueError, match=text):
        build(x)
    assert all(op.type == "Const" for op in fresh_graph.get_operations()[before:])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: tf.reshape(x, [4]), "tensor with 6 values, but the requested shape has 4"),
        (lambda x: tf.reshape(x, [4, -1]), "the requested shape requires a multiple of 4"),
        (lambda x: tf.reshape(x, [-1, -1]), "Only one input size may be -1, not both 0 and 1"),
        (lambda x: tf.reshape(x, tf.placeholder_with_default([-2, 3], [2])),
         "Size 0 must be non-negative, not -2"),
        (lambda x: tf.reshape(x, tf.placeholder_with_default([[6]], None)),
         r"sizes input must be 1-D, not \[1,1\]"),
        (lambda x: tf.expand_dims(x, 3), "Tried to expand dim index 3 for tensor with 2"),
        (lambda x: tf.squeeze(x, 0), r"Can not squeeze dim\[0\], expected a dimension of 1, got 2"),
        (lambda x: tf.squeeze(x, -7), "Tried to squeeze dim index -7 for tensor with 2 dimensions"),
        (lambda x: tf.broadcast_to(x, [2, 4]), r"Incompatible shapes: \[2,3\] vs. \[2,4\]"),
        (lambda x: tf.broadcast_to(x, [6]), "Rank of input"),
        (lambda x: tf.broadcast_dynamic_shape(tf.shape(x), [2, 4]), r"\[2,3\] vs. \[2,4\]"),
        (lambda x: create_op("BroadcastGradientArgs", [tf.shape(x), [4]])[0], r"\[2,3\] vs. \[4\]"),
        (lambda x: tf.ensure_shape(x, [None, 4]),
         r"\[2,3\] is not compatible with expected shape \[\?,4\]."),
        (lambda x: tf.bitcast(x, tf.float64), "Cannot bitcast from 1 to 2"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, text):
    x = tf.placeholder(tf.float32)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(build(x), {x: np.zeros((2, 3), np.float32)})


def p(*sizes):
    return tf.placeholder(tf.float32, sizes)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: tf.zeros(tf.constant([1, 2]) + 1), [2, 3]),
        (lambda: tf.reshape(p(None), [tf.shape(p(3, None))[0], -1]), [3, None]),
        (lambda: tf.reshape(p(None), [tf.shape(p(3, None))[0] * 2, -1]), [6, None]),
        (lambda: tf.zeros(tf.gather(tf.constant([3, 4]), [1])), [4]),
        (lambda: tf.zeros(tf.concat([tf.shape(p(3, None)), [5]], 0)), [3, None, 5]),
        (lambda: tf.zeros(tf.shape(p(3, None, 4))[1:]), [None, 4]),
        (lambda: tf.zeros(tf.shape(p(3, None, 4))[-1:]), [4]),
        (lambda: tf.zeros(tf.cast(tf.shape(p(3, None, 4)), tf.int64)), [3, None, 4]),
        (lambda: tf.zeros(tf.identity(tf.shape(p(3, None)))), [None, None]),
        (lambda: tf.zeros(tf.maximum(tf.constant([3]), 4)), [4]),
        (lambda: tf.zeros(tf.reduce_sum(tf.constant([[3], [5]]), 0)), [8]),
        (lambda: tf.zeros(tf.placeholder_with_default([2, 3], [2])), [None, None]),
        (lambda: tf.zeros(tf.expand_dims(tf.shape(p(3, None))[0], 0)), [3]),
        (lambda: tf.zeros([tf.size(tf.zeros([2, 3]))]), [6]),
        (lambda: tf.zeros(tf.stack([tf.shape(p(3, None))[0], 2])), [3, 2]),
        (lambda: tf.zeros(tf.fill([2], 3)), [3, 3]),
        (lambda: tf.reshape(p(None, 3), [-1, 3]), [None, 3]),
        (lambda: tf.reshape(p(None, 3), [-1, 6]), [None, 6]),
        (lambda: tf.squeeze(p(None, 1)), None),
        (lambda: tf.squeeze(p(None, 1), [0]), [1]),
    ],
)
def test_shape_functions_see_through_constants_and_shapes(fresh_graph, build, shape):
    result = build().shape
    assert (None if result.ndims is None else result.as_list()) == shape


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: tf.constant(1) + 1, None),
        (lambda: tf.identity(tf.constant(1)), 1),
        (lambda: tf.shape(p(2, None))[0], None),
        (lambda: tf.cast(tf.constant(1), tf.float32), 1.0),
        (lambda: tf.concat([[1], [2]], 0), [1, 2]),
        (lambda: tf.range(3), [0, 1, 2]),
        (lambda: tf.size(p(2, 3)), 6),
        (lambda: tf.rank(p(2, 3)), 2),
        (lambda: tf.reshape(tf.constant([1]), [1]), None),
        (lambda: 3, 3),
    ],
)
def test_static_values(fresh_graph, build, expected):
    tensor = build()
    found = tf.get_static_value(tensor)
    assert found is None if expected is None else np.array_equal(found, expected)
    if isinstance(tensor, tf.Tensor):
        assert fresh_graph.is_feedable(tensor) == (found is None)


def test_a_static_value_may_be_known_in_part(fresh_graph):
    tensor = tf.stack([tf.constant(1), tf.placeholder(tf.int32, [])])
    assert tf.get_static_value(tensor) is None
    assert tf.get_static_value(tensor, partial=True).tolist() == [1, None]


def test_a_long_chain_of_constants_is_no_burden(fresh_graph):
    size = tf.constant([1])
    for _ in range(300):
        size = size + size
    assert tf.zeros(size).shape.ndims == 1


@given(st.lists(st.integers(0, 3), max_size=4), st.lists(st.integers(0, 3), max_size=4))
def test_summing_over_the_reduced_dimensions_undoes_a_broadcast(a, b):
    try:
        whole = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        return
    with tf.Graph().as_default(), tf.Session() as session:
        axes = session.run(create_op("BroadcastGradientArgs", [np.array(a, int), np.array(b, int)]))
    for axis, shape in zip(axes, (a, b), strict=True):
        assert np.zeros(whole).sum(axis=tuple(axis)).size == np.prod(shape)
