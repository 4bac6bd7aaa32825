"""Slices, indices of every kind, and masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import NUMBERS, Row, case_name, check_row, floats, row_cases, strings, value

ANY = (*NUMBERS, "bool")


def indexed(*index, label, **more):
    """A row that indexes a tensor of shape (2, 3) as NumPy does."""
    key = index if len(index) != 1 else index[0]
    return Row("StridedSlice", lambda _, x: x[key], [floats(2, 3)], reference=lambda x: x[key],
               grad=True, label=label, **more)  # fmt: skip


def slice_grad(module, dy):
    arguments = ([2, 3], [0, 1], [2, 3], [1, 1], dy)
    if module is tf:
        return create_op("StridedSliceGrad", arguments)
    names = ("shape", "begin", "end", "strides", "dy")
    return module.raw_ops.StridedSliceGrad(**dict(zip(names, arguments, strict=True)))


ROWS = [
    Row("Slice", lambda tf, x: tf.slice(x, [0, 1], [2, -1]), [floats(2, 3)], dtypes=ANY,
        reference=lambda x: x[:, 1:], grad=True),
    Row("Slice", lambda tf, x, b, n: tf.slice(x, b, n),
        [floats(2, 3), value([1, 0]), value([1, 2])], dtypes=["int32", "int64"], label="fed"),
    Row("Slice", lambda tf, x: tf.slice(x, [1], [0]), [strings(b"a", b"b")], label="empty"),
    Row("StridedSlice", lambda tf, x: x[:, 1::2], [floats(2, 4)], dtypes=ANY,
        reference=lambda x: x[:, 1::2]),
    indexed(0, label="first"),
    indexed(-1, label="last"),
    indexed(slice(None), 1, label="column"),
    indexed(..., 0, label="ellipsis"),
    indexed(slice(None, None, -1), label="reversed"),
    indexed(0, 1, label="element"),
    indexed(None, label="new first"),
    indexed(slice(None), None, slice(None), None, label="new between"),
    indexed(0, ..., None, label="new last"),
    indexed(..., None, 0, label="new before a position"),
    indexed(slice(5, None), label="beyond"),
    indexed(slice(-100, 100), slice(-2, None), label="clipped"),
    indexed(slice(-1, 0, -1), label="backwards"),
    indexed(slice(1, 1), label="empty"),
    indexed(np.int64(1), slice(None, np.int32(2)), label="NumPy integers"),
    indexed(..., label="all"),
    Row("StridedSlice", lambda _, x: x[()], [floats(2, 3)], label="nothing"),
    Row("StridedSlice", lambda tf, x, i: x[i], [floats(2, 3), value(1)],
        dtypes=["int32", "int64"], label="fed position"),
    Row("StridedSlice", lambda tf, x, i: x[:, i:], [floats(2, 3), value(1)],
        dtypes=["int32", "int64"], label="fed range"),
    Row("StridedSlice", lambda tf, x, i: x[::i], [floats(4), value(2, "int32")], label="fed step"),
    Row("StridedSlice", lambda tf, x: x[0 : 2 : tf.constant(1, tf.int64)], [floats(2, 3)],
        grad=True, label="mixed types"),
    Row("StridedSlice", lambda tf, x: tf.strided_slice(x, [0, 0], [2, 2]), [floats(2, 3)],
        grad=True, label="without strides"),
    Row("StridedSlice",
        lambda tf, x: tf.strided_slice(x, [0, 1], [1, 3], [1, 2], shrink_axis_mask=1, end_mask=2),
        [floats(2, 4)], reference=lambda x: x[0, 1::2], grad=True, label="masks"),
    Row("StridedSlice", lambda tf, x: x[1], [strings(b"a", b"b", shape=[2, 1])], label="texts"),
    Row("StridedSliceGrad", slice_grad, [floats(2, 2)], grad=True),
    Row("GatherV2", lambda tf, x: tf.boolean_mask(x, [True, False, True]), [floats(3, 2)],
        reference=lambda x: x[[0, 2]], label="mask"),
    Row("GatherV2", lambda tf, x: tf.boolean_mask(x, [[True, False, True], [False] * 3]),
        [floats(2, 3)], label="mask of all"),
    Row("GatherV2", lambda tf, x: tf.boolean_mask(x, [True, False, True], axis=1),
        [floats(2, 3)], label="mask along an axis"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


ONLY = "Only integers, slices .* are valid indices, got "


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda x: x[5], ValueError, "slice index 5 of dimension 0 out of bounds."),
        (lambda x: x[-3], ValueError, "slice index -1 of dimension 0 out of bounds."),
        (lambda x: x[:, 7], ValueError, "slice index 7 of dimension 1 out of bounds."),
        (lambda x: x[0, 0, 0], ValueError, "using input dim 2; input has only 2 dims"),
        (lambda x: x[::0], ValueError, r"strides\[0\] must be non-zero"),
        (lambda x: x[..., ...], ValueError, "Multiple ellipses in slice spec not allowed"),
        (lambda x: x[1.5], TypeError, ONLY + "1.5"),
        (lambda x: x["a"], TypeError, ONLY + "'a'"),
        (lambda x: x[1.0:2], TypeError, ONLY + "1.0"),
        (lambda x: x[np.array([0, 1])], TypeError, ONLY + r"array\(\[0, 1\]\)"),
        (lambda x: x[tf.constant([0, 1])], TypeError, ONLY + "<tf.Tensor"),
        (lambda x: x[tf.constant(1.0)], TypeError, ONLY + "<tf.Tensor"),
        (lambda x: x[True], ValueError, "mask cannot be scalar."),
        (lambda x: tf.boolean_mask(x, [True] * 3), ValueError, "are incompatible"),
        (lambda x: tf.boolean_mask(x, tf.placeholder(tf.bool)), ValueError,
         "Number of mask dimensions must be specified"),
        (lambda x: tf.slice(x, [0], [2]), ValueError, "Shape must be rank 1 but is rank 2"),
        (lambda x: tf.slice(x, [0, 4], [1, -1]), ValueError, "caused by subtracting 4 from 3"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, error, text):
    x = tf.placeholder(tf.float32, [2, 3])
    with pytest.raises(error, match=text):
        build(x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x, i: x[5], "slice index 5 of dimension 0 out of bounds."),
        (lambda x, i: x[i], "slice index 5 of dimension 0 out of bounds."),
        (lambda x, i: x[0, 0, 0], "Index out of range using input dim 2; input has only 2 dims"),
        (lambda x, i: x[:: i - 5], r"strides\[0\] must be non-zero"),
        (lambda x, i: tf.slice(x, [0, i], [1, 1]), r"Expected begin\[1\] in \[0, 3\], but got 5"),
        (lambda x, i: tf.slice(x, [0, 1], [1, i]), r"Expected size\[1\] in \[0, 2\], but got 5"),
        (
            lambda x, i: tf.strided_slice(x, tf.placeholder_with_default([[5]], None), [1], [1]),
            r"to be 1D equal size tensors, but got shapes \[1,1\], \[1\], \[1\]",
        ),
        (lambda x, i: tf.slice(x, [0], [1]), "to be 1-D tensors of size 2, but got shapes"),
    ],
)
def test_errors_at_run_time(fresh_graph, build, text):
    x, i = tf.placeholder(tf.float32), tf.placeholder(tf.int32, [])
    result = build(x, i)
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(result, {x: np.zeros((2, 3)), i: 5})


def test_a_mask_of_bools_is_a_boolean_mask(fresh_graph):
    x = tf.constant([1, 2, 3])
    assert tf.newaxis is None
    with tf.Session() as session:
        assert session.run(x[x > 1]).tolist() == [2, 3]
        assert session.run(x[np.array([True, False, True])]).tolist() == [1, 3]


ENTRIES = st.one_of(
    st.integers(-3, 2),
    st.slices(4),
    st.builds(slice, st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9),
              st.sampled_from([None, 1, 2, -1, -3])),
    st.none(),
    st.just(...),
)  # fmt: skip


@given(st.lists(ENTRIES, max_size=5).filter(lambda key: sum(e is ... for e in key) < 2))
def test_any_index_means_what_it_means_to_numpy(key):
    array = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    key = tuple(key)
    used = sum(e is not None and e is not ... for e in key)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(array)
        if used > 3:
            with pytest.raises(ValueError, match="input has only 3 dims"):
                x[key]
            return
        part = x[key]
        result, hidden = session.run([part, tf.placeholder_with_default(x, None)[key]])
    wanted = array[key]
    assert part.shape.as_list() == list(wanted.shape)
    np.testing.assert_array_equal(result, wanted)
    np.testing.assert_array_equal(hidden, wanted)
