"""Reductions: values, shapes and gradients as rows; axes, ties, NaN and errors beside them."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import (
    COMPLEX,
    FLOATS,
    INTS,
    NUMBERS,
    Row,
    bools,
    case_name,
    check_row,
    floats,
    ints,
    row_cases,
    strings,
    value,
)

REALS = (*FLOATS, *INTS)


def along(function, **fixed):
    """A reference that reduces in a wide type."""

    def reference(x, axis=None, keepdims=None, **_):
        axis = tuple(np.atleast_1d(axis).tolist()) if axis is not None else None
        kind = {"f": np.float64, "V": np.float64, "c": np.complex128}.get(x.dtype.kind, x.dtype)
        return function(x.astype(kind), axis=axis, keepdims=bool(keepdims), **fixed)

    return reference


def integer_mean(x, axis=None, **_):
    return np.trunc(np.mean(x.astype(np.float64), axis=axis))


def norm(x, axis=None, **_):
    return np.sqrt(np.sum(np.abs(x.astype(np.complex128)) ** 2, axis=axis))


def variance(x, axis=None, **_):
    return np.var(x.astype(np.complex128 if x.dtype.kind == "c" else np.float64), axis=axis)


def logsumexp(x, axis=None, **_):
    return np.log(np.sum(np.exp(x.astype(np.float64)), axis=axis))


def whole(x):
    """The dtype's own arithmetic, wrapping around."""
    return lambda a, axis=None, **_: x(a, axis=axis, dtype=a.dtype)


def reductions(op, build, dtypes, reference, grad, **extra):
    """Rows over axes and shapes for one reduction."""
    extra = {"reference": reference, **extra}
    return [
        Row(op, build, [floats(3, 5)], dtypes=dtypes, label="all", **extra),
        Row(op, build, [floats(3, 5)], {"axis": 1}, grad=grad, label="one", **extra),
        Row(op, build, [floats(2, 3, 4)], {"axis": [0, -1]}, grad=grad, label="two", **extra),
        Row(op, build, [floats(2, 3, 4)], {"axis": (1,), "keepdims": True}, grad=grad,
            label="kept", **extra),
        Row(op, build, [floats()], grad=grad, label="scalar", **extra),
        Row(op, build, [floats(2, 3)], {"axis": []}, grad=grad, label="none", **extra),
        Row(op, build, [floats(3, 0)], {"axis": 0}, dtypes=dtypes, label="empty", **extra),
    ]  # fmt: skip


ROWS = [
    *reductions("Sum", "reduce_sum", (*FLOATS, *COMPLEX), along(np.sum), True),
    Row("Sum", "math.reduce_sum", [ints(40, 3, high=100, dtype=None)], {"axis": 0}, dtypes=INTS,
        reference=whole(np.sum), label="wrapping"),
    Row("Sum", "reduce_sum", [floats(0, 3)], {"axis": 0}, dtypes=NUMBERS,
        reference=along(np.sum), label="nothing"),
    Row("Sum", "reduce_sum", [floats(2, 3, 4), value([1, -3], "int64")], constants=[1], grad=True,
        label="int64_axes"),
    Row("Sum", "reduce_sum", [floats(2, 3, 4), value([2, 0], "int32")], label="fed_axes"),
    Row("Sum", "reduce_sum", [floats(4, 3), value(0, "int32")], {"keep_dims": True},
        label="fed_axis"),
    *reductions("Mean", "reduce_mean", (*FLOATS, *COMPLEX), along(np.mean), True),
    Row("Mean", "math.reduce_mean", [floats(7, 3, low=-9, high=9)], {"axis": 0}, dtypes=INTS,
        reference=integer_mean, label="truncated"),
    Row("Mean", "reduce_mean", [value(np.full([300], 100), None)], dtypes=INTS,
        reference=integer_mean, label="wide"),
    Row("Mean", "reduce_mean", [floats(0, 3)], {"axis": 0}, dtypes=NUMBERS, label="nothing"),
    *reductions("Prod", "reduce_prod", (*FLOATS, *COMPLEX), along(np.prod), True),
    Row("Prod", "math.reduce_prod", [ints(9, 3, high=100, dtype=None)], {"axis": 0}, dtypes=INTS,
        reference=whole(np.prod), label="wrapping"),
    Row("Prod", "reduce_prod", [value([[0, 2, 3], [1, 2, 3.5]])], label="zero"),
    Row("Prod", "reduce_prod", [floats(0, 3)], {"axis": 0}, dtypes=NUMBERS,
        reference=along(np.prod), label="nothing"),
    *(
        row
        for op, build, reference in (
            ("Max", "reduce_max", np.max),
            ("Min", "reduce_min", np.min),
        )
        for row in (
            *reductions(op, build, REALS, along(reference), True),
            Row(op, f"math.{build}", [value([[1, np.nan, 3], [1, 2, 3]])], {"axis": 1},
                dtypes=FLOATS, label="nan"),
            Row(op, build, [floats(0, 3)], {"axis": 0}, dtypes=REALS, label="nothing"),
            Row(op, build, [value([[1, 1, 1], [2, 2, 1], [1, 2, 1]])], {"axis": 1},
                label="ties"),
        )
    ),
    *(
        row
        for op, build, reference in (("All", "reduce_all", np.all), ("Any", "reduce_any", np.any))
        for row in (
            Row(op, build, [bools(3, 5)], dtypes=["bool"], reference=reference, label="all"),
            Row(op, f"math.{build}", [bools(4, 2, 3)], {"axis": [0, 2], "keepdims": True},
                dtypes=["bool"], label="kept"),
            Row(op, build, [bools(0, 3)], {"axis": 0}, dtypes=["bool"], label="nothing"),
            Row(op, build, [bools()], dtypes=["bool"], label="scalar"),
        )
    ),
    *reductions("EuclideanNorm", "math.reduce_euclidean_norm", (*FLOATS, *COMPLEX), None, True),
    Row("EuclideanNorm", "math.reduce_euclidean_norm", [floats(3, 5)], {"axis": 1},
        dtypes=(*FLOATS, *COMPLEX), reference=norm, label="reference"),
    Row("EuclideanNorm", "math.reduce_euclidean_norm", [ints(9, 3, high=100, dtype=None)],
        {"axis": 0}, dtypes=INTS, label="integers"),
    Row("Sum", "reduce_logsumexp", [floats(3, 5)], {"axis": 1}, dtypes=FLOATS,
        reference=logsumexp, grad=True, label="logsumexp"),
    Row("Sum", "math.reduce_logsumexp", [floats(2, 3)], grad=True, reference=logsumexp,
        label="logsumexp_all"),
    Row("Sum", "reduce_logsumexp", [value([[np.inf, 1], [-np.inf, -np.inf], [800, 800]])],
        {"axis": 1, "keep_dims": True}, label="logsumexp_infinite"),
    Row("Mean", "math.reduce_variance", [floats(3, 5)], {"axis": 0}, dtypes=(*FLOATS, *COMPLEX),
        reference=variance, grad=True, label="variance"),
    Row("Mean", "math.reduce_std", [floats(3, 5)], {"keepdims": True}, grad=True, label="std"),
    Row("Sum", "count_nonzero", [ints(3, 5, high=2, dtype=None)], {"axis": 1},
        dtypes=[*NUMBERS, "bool"], label="nonzero"),
    Row("Sum", "math.count_nonzero", [strings(b"", b"a", b"b")], {"dtype": "int32"},
        label="nonempty"),
    *(
        Row(op, build, [inputs], {"axis": axis, **more}, dtypes=dtypes, label=label)
        for op, build in (("ArgMax", "argmax"), ("ArgMin", "math.argmin"))
        for label, inputs, axis, dtypes, more in (
            ("last", floats(4, 5), -1, REALS, {}),
            ("first", floats(4, 5), None, ["float32"], {"output_type": "int32"}),
            ("middle", ints(2, 5, 3, high=3, dtype=None), 1, ["int32", "float64"], {}),
            ("bool", bools(3, 4), 1, ["bool"], {}),
            ("nan", value([[np.nan, 1, 0], [3, np.nan, 5], [np.nan] * 3]), 1, FLOATS, {}),
            ("infinite", value([[-np.inf, np.inf, 1], [-np.inf] * 3, [np.inf] * 3]), 1, FLOATS,
             {}),
            ("no_rows", floats(0, 3), 1, ["float32"], {}),
        )
    ),
    Row("ArgMax", "arg_max", [floats(4, 5)], {"dimension": 1, "output_type": "uint16"},
        label="old"),
    Row("ArgMin", "arg_min", [floats(4, 5)], {"dimension": 1}, label="old"),
    Row("ArgMax", "argmax", [floats(4, 5), value(1, "int32")], label="fed_axis"),
    Row("ArgMax", "argmax", [floats(4, 5), value(1, "int16")], constants=[1], label="narrow_axis"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(build, feeds=None):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(build(), feeds)


def fed(array):
    """A tensor whose shape is known only when the graph runs."""
    return tf.placeholder_with_default(array, None)


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        (5, "Invalid reduction dimension 5 for input with 2 dimensions. for '{{node Sum}}"),
        (-3, "Invalid reduction dimension -3 for input with 2 dimensions."),
        ([[0, 1]], "Shape must be at most rank 1 but is rank 2 for '{{node Sum}}"),
    ],
)
def test_a_wrong_axis_is_told_when_the_graph_is_built(fresh_graph, axis, text):
    x = tf.placeholder("float32", [2, 3])
    with pytest.raises(ValueError) as error:
        tf.reduce_sum(x, axis)
    assert text in str(error.value)
    assert [op.type for op in fresh_graph.get_operations()].count("Sum") == 0


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: tf.reduce_sum(fed(np.ones([2, 3])), 2),
            "Invalid reduction dimension (2 for input",
        ),
        (lambda: tf.reduce_mean(fed(np.ones([2, 3])), -3), "input with 2 dimension(s)"),
        (lambda: tf.reduce_prod(fed(np.ones([2, 3])), [1, -1]), "duplicate dimension: 1"),
        (lambda: tf.reduce_max(fed(np.float32(1)), 0), "(0 for input with 0 dimension(s)"),
        (lambda: tf.reduce_min(fed(np.zeros([0, 2])), 2), "(2 for input with 2 dimension(s)"),
        (lambda: tf.reduce_all(fed(np.array([True])), 1), "Invalid reduction dimension (1"),
        (
            lambda: tf.argmax(fed(np.ones([2, 3])), 2),
            "Expected dimension in the range [-2, 2), but",
        ),
        (lambda: tf.argmax(fed(np.float32(1)), 0), "Expected dimension in the range [0, 0), but"),
        (lambda: tf.argmin(np.zeros([0, 3]), 0), "Reduction axis 0 is empty in shape [0,3]"),
        (lambda: tf.argmax([1.0], fed([0])), "dim must be a scalar, but received tensor of shape"),
    ],
)
def test_a_wrong_axis_is_told_at_run_time(build, text):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        run(build)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"axis": 1, "reduction_indices": 1},
            "Cannot specify both 'reduction_indices' and 'axis'.",
        ),
        ({"keepdims": True, "keep_dims": True}, "Cannot specify both 'keep_dims' and 'keepdims'."),
    ],
)
def test_old_and_new_names_exclude_each_other(fresh_graph, arguments, text):
    for build in (tf.reduce_sum, tf.reduce_all, tf.reduce_logsumexp, tf.count_nonzero):
        with pytest.raises(ValueError, match=text):
            build(tf.placeholder("bool", [2, 3]), **arguments)


@pytest.mark.usefixtures("fresh_graph")
def test_wrong_types_are_refused():
    x = tf.placeholder("float32", [2, 3])
    with pytest.raises(TypeError, match="not in list of allowed values"):
        tf.reduce_sum(tf.placeholder("bool", [2]))
    with pytest.raises(TypeError, match="not in list of allowed values: int32, int64"):
        tf.reduce_sum(x, 1.5)
    with pytest.raises(TypeError, match="Received integer type <dtype: 'int32'>"):
        tf.math.reduce_variance([1, 2])
    for axis in ([1], 1.0, "1"):
        with pytest.raises(TypeError, match="axis must be int or Tensor with integer datatype"):
            tf.argmax(x, axis)
    with pytest.raises(ValueError, match=r"Dimension \(2\) must be in the range \[-2, 2\)"):
        tf.argmin(x, 2)


@pytest.mark.usefixtures("fresh_graph")
def test_static_shapes():
    unknown, part = tf.placeholder("float32"), tf.placeholder("float32", [2, None])
    axis = tf.placeholder("int32", [1])
    assert tf.reduce_sum(unknown).shape.as_list() == []
    assert tf.reduce_sum(unknown, 0).shape.rank is None
    assert tf.reduce_max(part, 0).shape.as_list() == [None]
    assert tf.reduce_max(part, 0, keepdims=True).shape.as_list() == [1, None]
    assert tf.reduce_sum(part, axis).shape.rank is None
    assert tf.reduce_sum(part, axis, keepdims=True).shape.as_list() == [None, None]
    assert tf.argmax(part, tf.placeholder("int32", [])).shape.as_list() == [None]
    assert tf.argmax(tf.placeholder("float32", [3]), tf.placeholder("int32")).shape.as_list() == []


@pytest.mark.parametrize("op", [tf.reduce_max, tf.reduce_min])
def test_ties_share_the_gradient(op):
    def build():
        x = tf.constant([[1.0, 1.0, 5.0, 5.0], [3.0, 3.0, 3.0, 3.0]])
        return tf.gradients(op(x, 1), x, grad_ys=[[4.0, 8.0]])[0]

    first = [0, 0, 2, 2] if op is tf.reduce_max else [2, 2, 0, 0]
    assert run(build).tolist() == [first, [2, 2, 2, 2]]


def test_zeros_have_the_product_of_the_others_as_gradient():
    def build(axis):
        x = tf.constant([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.5]])
        return tf.gradients(tf.reduce_prod(x, axis), x)[0]

    wanted = [[6, 0, 0], [0, 0, 0], [7, 3.5, 2]]
    assert run(lambda: build(1)).tolist() == wanted
    assert run(lambda: build([0, 1])).tolist() == np.zeros([3, 3]).tolist()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "op", ["reduce_sum", "reduce_mean", "reduce_prod", "reduce_max", "math.reduce_euclidean_norm"]
)
def test_gradients_do_not_need_static_shapes_or_axes(op, keepdims):
    """Unknown rank and fed axes give the gradient that known ones give."""
    array = np.arange(1.0, 25.0).reshape(2, 3, 4)

    def build(hidden):
        x = fed(array) if hidden else tf.constant(array)
        axes = tf.placeholder_with_default([-1, 0], None) if hidden else [-1, 0]
        reduce = tf.math.reduce_euclidean_norm if "." in op else getattr(tf, op)
        y = reduce(x, axes, keepdims=keepdims)
        first = tf.gradients(y * y, x)[0]
        return [first, tf.gradients(first * first, x)[0]]

    for mine, known in zip(run(lambda: build(True)), run(lambda: build(False)), strict=True):
        np.testing.assert_allclose(mine, known, rtol=1e-12)


def test_partly_known_shapes_have_gradients():
    array = np.arange(6.0).reshape(2, 3)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder("float64", [None, 3])
        losses = [tf.reduce_mean(x, 1), tf.reduce_mean(x, [-1]), tf.reduce_sum(x, 0)]
        grads = [tf.gradients(loss, x)[0] for loss in losses]
        results = session.run(grads, {x: array})
    for result, wanted in zip(results, (1 / 3, 1 / 3, 1), strict=True):
        np.testing.assert_allclose(result, np.full([2, 3], wanted))


def test_halves_are_summed_in_wider_floats():
    for dtype in (np.float16, ml_dtypes.bfloat16):
        ones = np.ones([5000], dtype)
        assert run(lambda ones=ones: tf.reduce_sum(ones)) == np.float32(5000).astype(dtype)
        hundreds = np.full([5000], 100, dtype)
        assert run(lambda hundreds=hundreds: tf.reduce_mean(hundreds)) == 100


def test_constant_counts_are_known_while_the_graph_is_built():
    with tf.Graph().as_default():
        x = tf.placeholder("float32", [2, 3, 5])
        sizes = tf.stack([tf.reduce_prod(tf.shape(x)), tf.reduce_max(tf.shape(x), 0)])
        assert tf.fill(sizes, 0.0).shape.as_list() == [30, 5]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_axes_in_any_order(data):
    """Sum over any subset of axes, counted from either end, is NumPy's."""
    shape = data.draw(st.lists(st.integers(0, 3), max_size=4))
    axes = data.draw(st.lists(st.integers(0, max(len(shape) - 1, 0)), unique=True))
    axes = [a - len(shape) * data.draw(st.booleans()) for a in axes if shape]
    keepdims = data.draw(st.booleans())
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    with tf.Graph().as_default(), tf.Session() as session:
        y = tf.reduce_sum(array, axes, keepdims=keepdims)
        result = session.run(y)
    wanted = array.sum(axis=tuple(axes), keepdims=keepdims)
    assert y.shape.as_list() == list(wanted.shape)
    np.testing.assert_array_equal(result, wanted)
