"""Lists of tensors and optional values in variants."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value


def empty(tf, shape=-1, limit=-1):
    return tf.raw_ops.EmptyTensorList(
        element_shape=shape, max_num_elements=limit, element_dtype=tf.float32
    )


def pushed(tf, *tensors, **kwargs):
    made = empty(tf, **kwargs)
    for tensor in tensors:
        made = tf.raw_ops.TensorListPushBack(input_handle=made, tensor=tensor)
    return made


def from_rows(tf, x):
    shape = [-1 if s is None else s for s in x.shape.as_list()[1:]] if x.shape.ndims else -1
    return tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=shape)


def stacked(tf, handle, shape=-1, dtype=None):
    return tf.raw_ops.TensorListStack(
        input_handle=handle, element_shape=shape, element_dtype=dtype or tf.float32
    )


def item(tf, handle, index, shape=-1):
    return tf.raw_ops.TensorListGetItem(
        input_handle=handle, index=index, element_shape=shape, element_dtype=tf.float32
    )


def with_item(tf, handle, index, element, **kwargs):
    return tf.raw_ops.TensorListSetItem(input_handle=handle, index=index, item=element, **kwargs)


def reserve(tf, count, shape=-1):
    return tf.raw_ops.TensorListReserve(
        element_shape=shape, num_elements=count, element_dtype=tf.float32
    )


def popped(tf, a, b):
    handle, last = tf.raw_ops.TensorListPopBack(
        input_handle=pushed(tf, a, b), element_shape=-1, element_dtype=tf.float32
    )
    # What is pushed after a pop leaves the first list as it was.
    other = tf.raw_ops.TensorListPushBack(input_handle=handle, tensor=a * 3.0)
    return [last, stacked(tf, handle), stacked(tf, other), stacked(tf, pushed(tf, a, b))]


def concatenated(tf, x):
    parts = tf.raw_ops.TensorListSplit(
        tensor=x, element_shape=[-1, 2], lengths=np.array([1, 0, 3], np.int64)
    )
    return tf.raw_ops.TensorListConcatV2(
        input_handle=parts, element_shape=[-1, 2], leading_dims=np.zeros(0, np.int64),
        element_dtype=tf.float32,
    )  # fmt: skip


def gathered(tf, x):
    spread = tf.raw_ops.TensorListScatterV2(
        tensor=x, indices=[4, 0, 2], element_shape=[2], num_elements=-1
    )
    return tf.raw_ops.TensorListGather(
        input_handle=spread, indices=[0, 4, 3, 0], element_shape=[2], element_dtype=tf.float32
    )


def joined(tf, a, b):
    both = tf.raw_ops.TensorListConcatLists(
        input_a=pushed(tf, a), input_b=pushed(tf, b, a), element_dtype=tf.float32
    )
    return [stacked(tf, both), tf.raw_ops.TensorListLength(input_handle=both)]


def summed(tf, a, b):
    lists = [pushed(tf, a, b), pushed(tf, b, b), pushed(tf, a, a)]
    total = tf.raw_ops.AddN(inputs=lists)
    return [stacked(tf, total), stacked(tf, tf.raw_ops.ZerosLike(x=total))]


def resized(tf, x):
    made = from_rows(tf, x)
    return [
        stacked(tf, tf.raw_ops.TensorListResize(input_handle=made, size=size), [2])
        for size in (1, 3, 5)
    ]


def optional(tf, a, b):
    some = tf.raw_ops.OptionalFromValue(components=[a, b])
    none = tf.raw_ops.OptionalNone()
    doubled = tf.raw_ops.AddN(inputs=[some, some])
    values = [
        tf.raw_ops.OptionalGetValue(
            optional=x, output_types=[tf.float32] * 2, output_shapes=[[2], [2]]
        )
        for x in (some, doubled, tf.raw_ops.ZerosLike(x=some))
    ]
    flags = [tf.raw_ops.OptionalHasValue(optional=x) for x in (some, none)]
    return [part for pair in values for part in pair] + flags


TWO = [floats(2), floats(2)]
ROWS = [
    Row("EmptyTensorList", lambda tf: stacked(tf, empty(tf), [2])),
    Row("TensorListPushBack", lambda tf, a, b: stacked(tf, pushed(tf, a, b)), TWO,
        reference=lambda a, b: np.stack([a, b])),
    Row("TensorListPopBack", popped, TWO,
        reference=lambda a, b: [b, a[None], np.stack([a, a * 3]), np.stack([a, b])]),
    Row("TensorListReserve", lambda tf: stacked(tf, reserve(tf, 3, [2]))),
    Row("TensorListGetItem", lambda tf, x, i: item(tf, from_rows(tf, x), i),
        [floats(3, 2), value(1, "int32")], reference=lambda x, i: x[i]),
    Row("TensorListSetItem",
        lambda tf, x, y: stacked(tf, with_item(tf, from_rows(tf, x), 1, y)),
        [floats(3, 2), floats(2)], reference=lambda x, y: np.stack([x[0], y, x[2]])),
    Row("TensorListSetItem",
        lambda tf, y: stacked(tf, with_item(
            tf, reserve(tf, 0, [2]), 2, y, resize_if_index_out_of_bounds=True)),
        [floats(2)], reference=lambda y: np.stack([y * 0, y * 0, y]), label="grows"),
    Row("TensorListLength", lambda tf, a: tf.raw_ops.TensorListLength(
        input_handle=pushed(tf, a, a)), TWO[:1], reference=lambda a: np.int32(2)),
    Row("TensorListElementShape", lambda tf: [tf.raw_ops.TensorListElementShape(
        input_handle=empty(tf, shape), shape_type=tf.int32) for shape in (-1, [2, -1])]),
    Row("TensorListResize", resized, [floats(3, 2)]),
    Row("TensorListStack", lambda tf, x: stacked(tf, from_rows(tf, x)), [floats(3, 2)],
        reference=lambda x: x),
    Row("TensorListGather", gathered, [floats(3, 2)]),
    Row("TensorListFromTensor", lambda tf, x: item(tf, from_rows(tf, x), 2), [floats(3, 2)],
        reference=lambda x: x[2]),
    Row("TensorListScatterV2", gathered, [floats(3, 2)], label="scattered"),
    Row("TensorListConcatV2", concatenated, [floats(4, 2)],
        reference=lambda x: [x, np.array([1, 0, 3])]),
    Row("TensorListSplit", concatenated, [floats(4, 2)], label="split"),
    Row("TensorListConcatLists", joined, TWO,
        reference=lambda a, b: [np.stack([a, b, a]), np.int32(3)]),
    Row("AddN", summed, TWO, label="of lists",
        reference=lambda a, b: [np.stack([2 * a + b, a + 2 * b]), np.zeros((2, 2), np.float32)]),
    Row("OptionalFromValue", optional, TWO,
        reference=lambda a, b: [a, b, 2 * a, 2 * b, 0 * a, 0 * b, True, False]),
    Row("OptionalGetValue", optional, TWO, label="got"),
    Row("OptionalHasValue", optional, TWO, label="asked"),
    Row("OptionalNone", optional, TWO, label="none"),
    Row("FakeParam", lambda tf: tf.raw_ops.FakeParam(dtype=tf.float32, shape=[2, 0])),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


GRADIENTS = {
    "push": lambda tf, x: stacked(tf, pushed(tf, x[0], x[1] * x[2])),
    "pop": lambda tf, x: popped(tf, x[0], x[1])[0] * x[2],
    "get": lambda tf, x: item(tf, from_rows(tf, x), 1) * item(tf, from_rows(tf, x), 2),
    "set": lambda tf, x: stacked(tf, with_item(tf, from_rows(tf, x * x), 1, x[0])),
    "gather": lambda tf, x: gathered(tf, x * x),
    "concat": lambda tf, x: concatenated(tf, tf.concat([x, x * x], 0)[:4])[0],
    "resize": lambda tf, x: resized(tf, x * x)[2],
    "optional": lambda tf, x: optional(tf, x[0] * x[1], x[1])[0],
    "sum": lambda tf, x: summed(tf, x[0] * x[1], x[2])[0],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_what_differences_tell(fresh_graph, name):
    x = tf.placeholder(tf.float32, [3, 2])
    y = GRADIENTS[name](tf, x)
    total = tf.reduce_sum(tf.reshape(y, [-1]) * tf.range(1.0, tf.cast(tf.size(y), tf.float32) + 1))
    (grad,) = tf.gradients(total, x)
    values = np.random.default_rng(0).uniform(1, 2, (3, 2)).astype(np.float32)
    with tf.Session() as session:
        found = session.run(grad, {x: values})
        for place in np.ndindex(3, 2):
            step = np.zeros_like(values)
            step[place] = 1 / 32
            above, below = (session.run(total, {x: values + s * step}) for s in (1, -1))
            assert found[place] == pytest.approx((above - below) * 16, abs=2e-2)


WRONG = [
    (lambda: item(tf, reserve(tf, 3, [2]), 5), "Trying to access element 5 in a list with 3"),
    (lambda: item(tf, reserve(tf, 3, [-1]), 1), "uninitialized tensor but element_shape is not"),
    (lambda: with_item(tf, reserve(tf, 3), -1, 1.0), "Trying to modify element -1 in a list"),
    (lambda: stacked(tf, empty(tf), [-1]), "empty list with non-fully-defined element_shape"),
    (lambda: stacked(tf, pushed(tf, [1.0], [1.0, 2.0])), "only contains elements of shapes"),
    (lambda: stacked(tf, reserve(tf, 2, [2]), tf.placeholder_with_default([3], [1])),
     "does not fit the list"),
    (lambda: pushed(tf, [1.0], shape=[2]), "does not fit the list"),
    (lambda: pushed(tf, [1.0], [1.0], limit=1), "push item into a full list"),
    (lambda: tf.raw_ops.TensorListPopBack(
        input_handle=empty(tf), element_shape=-1, element_dtype=tf.float32)[1],
     "pop from an empty list"),
    (lambda: pushed(tf, 1), "list elements float32 but tried to use int32"),
    (lambda: reserve(tf, -1), "must be a non negative number, but got -1"),
    (lambda: tf.raw_ops.OptionalGetValue(
        optional=tf.raw_ops.OptionalNone(), output_types=[tf.int32], output_shapes=[[]]),
     "does not have a value"),
    (lambda: stacked(tf, tf.raw_ops.OptionalNone()), "Input handle is not a list"),
    (lambda: tf.raw_ops.AddN(inputs=[reserve(tf, 1), reserve(tf, 2)]), "lengths: 1 and 2"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "text"), WRONG)
def test_errors(fresh_graph, build, text):
    wrong = build()
    op = (wrong[0] if isinstance(wrong, list | tuple) else wrong).op
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(op)
