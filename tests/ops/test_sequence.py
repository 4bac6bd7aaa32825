"""Ranges, evenly spaced numbers, one-hot rows."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases, value

REALS = ("float32", "float64", "int32", "int64")
COMPOSED = "TensorFlow composes it of other operations"


def one_hot(indices, depth, axis):
    hot = indices[..., None] == np.arange(depth)
    return np.moveaxis(hot, -1, axis).astype(np.float32)


ROWS = [
    Row("Range", lambda tf, a, b, c: tf.range(a, b, c),
        [value(2), value(18), value(3)], dtypes=REALS, reference=np.arange),
    Row("Range", lambda tf, a, b, c: tf.range(a, b, c), [value(10), value(-3), value(-4)],
        dtypes=REALS, reference=np.arange, label="down"),
    Row("Range", lambda tf, a, b, c: tf.range(a, b, c), [value(0.3), value(7.0), value(0.7)],
        dtypes=["float32", "float64"], tolerance=0, label="fractions"),
    Row("Range", lambda tf, a: tf.range(a), [value(0)], dtypes=REALS, label="empty"),
    Row("Range", lambda tf, a: tf.range(1, a, dtype=tf.float64), [value(4, "int32")], label="cast"),
    Row("LinSpace", lambda tf, a, b: create_linspace(tf, a, b, 7), [value(-1.5), value(4.0)],
        dtypes=["float32", "float64"], reference=lambda a, b: np.linspace(a, b, 7)),
    Row("ConcatV2", lambda tf, a, b: tf.linspace(a, b, 5), [floats(2, 3), floats(3)],
        reference=lambda a, b: np.linspace(a, np.broadcast_to(b, a.shape), 5),
        grad=False, same_graph=COMPOSED, label="linspace"),
    Row("ConcatV2", lambda tf, a, b: tf.linspace(a, b, 4, axis=-1), [floats(2), floats(2)],
        same_graph=COMPOSED, label="linspace along the last dimension"),
    Row("ConcatV2", lambda tf, a: tf.linspace(a, 9, 1), [value(3.0)], same_graph=COMPOSED,
        label="linspace of one"),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 4), [value([0, 2, -1, 5, 3], "int32")],
        reference=lambda i: one_hot(i, 4, -1)),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 3, axis=0), [ints(2, 4, high=3)],
        reference=lambda i: one_hot(i, 3, 0), label="first"),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 3, axis=1), [ints(2, 4, high=5)],
        reference=lambda i: one_hot(i, 3, 1), label="between"),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 3, 5.0, -1.0), [ints(high=3, dtype=None)],
        dtypes=["uint8", "int8", "int32", "int64"], label="scalar"),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 300), [value([0, 255], "uint8")], label="deep"),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 0), [ints(3, high=3)], label="no depth"),
    Row("OneHot", lambda tf, i: tf.one_hot(i, 2, on_value="a", off_value="b"), [ints(3, high=3)],
        label="texts"),
    Row("OneHot", lambda tf, i, on, off: tf.one_hot(i, 2, on, off),
        [ints(3, high=2), value(3), value(1)],
        dtypes=["float16", "bfloat16", "int64", "complex64", "bool"]),
]  # fmt: skip


def create_linspace(module, start, stop, num):
    if module is tf:
        return create_op("LinSpace", [start, stop, num])
    return module.raw_ops.LinSpace(start=start, stop=stop, num=num)


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: tf.range(0, 5, 0), ValueError, "Requires delta != 0"),
        (lambda: tf.range(5, 0), ValueError, "Requires start <= limit when delta > 0: 5/0"),
        (lambda: tf.range(0, 5, -1), ValueError, "Requires start >= limit when delta < 0: 0/5"),
        (lambda: tf.range([3]), ValueError, "Shape must be rank 0 but is rank 1\n\t for 'limit'"),
        (lambda: create_op("LinSpace", [1.0, 2.0, 0]), ValueError, "Requires num > 0: 0"),
        (lambda: tf.one_hot([0], -3), ValueError, "must be non-negative but is -3"),
        (lambda: tf.one_hot([0], 3, 1, 2.0), TypeError, "does not match dtype .* of off_value"),
        (lambda: tf.one_hot([0], 3, 1.0, dtype=tf.int32), TypeError, "does not match dtype"),
        (lambda: tf.one_hot([0.0], 3), TypeError, "not in list of allowed values"),
    ],
)
def test_errors_while_building(fresh_graph, build, error, text):
    with pytest.raises(error, match=text):
        build()


@pytest.mark.parametrize(
    ("build", "fed", "text"),
    [
        (lambda x: tf.range(5, x), 0, "Requires start <= limit when delta > 0: 5/0"),
        (lambda x: tf.range(0, 5, x), 0, "Requires delta != 0: 0"),
        (lambda x: create_op("LinSpace", [1.0, 2.0, x]), 0, "Requires num > 0: 0"),
        (lambda x: tf.one_hot([0], x), -1, "depth must be non-negative, got: -1"),
        (lambda x: tf.one_hot([x], 3, axis=5), 1,
         r"Expected axis to be -1 or between \[0, 2\).  But received: 5"),
    ],
)  # fmt: skip
def test_errors_at_run_time(fresh_graph, build, fed, text):
    x = tf.placeholder(tf.int32, [])
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(build(x), {x: fed})


@pytest.mark.parametrize(
    ("arguments", "dtype"),
    [((3,), "int32"), ((1.0, 3), "float32"), ((0, np.int64(3)), "int64"), ((0, 3, 0.5), "float32")],
)
def test_a_range_takes_the_widest_type(fresh_graph, arguments, dtype):
    tensor = tf.range(*arguments)
    assert tensor.dtype == dtype
    with tf.Session() as session:
        np.testing.assert_array_equal(session.run(tensor), np.arange(*arguments).astype(dtype))
