"""Element-wise operations on two tensors: rows, whole-number division, bounds, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import (
    COMPLEX,
    FLOATS,
    INTS,
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

SIGNED = ("int8", "int16", "int32", "int64")
ANALYTIC = FLOATS + COMPLEX


def raw(op_type):
    """Builds an operation that has no builder; real TensorFlow has `tf.raw_ops` for it."""

    def build(module, *tensors, **attrs):
        many = op_type in ("AccumulateNV2", "AddN")
        if not hasattr(module, "raw_ops"):
            return create_op(op_type, [list(tensors)] if many else tensors, attrs or None)
        names = {"ClipByValue": ("t", "clip_value_min", "clip_value_max")}.get(op_type, ("x", "y"))
        function = getattr(module.raw_ops, op_type)
        if many:
            return function(inputs=list(tensors), **attrs)
        return function(**dict(zip(names, tensors, strict=True)), **attrs)

    return build


def wide(function):
    """A reference that computes in a wide type; rows compare it after rounding."""

    def reference(*arrays, **_):
        kind = np.complex128 if arrays[0].dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            return function(*(a.astype(kind) for a in arrays))

    return reference


def apart(*shape, dtype=None):
    """Numbers away from zero, of both signs where the type has them; never 0."""
    return floats(*shape, low=1.0, high=4.0, dtype=dtype)


BOTH_SIGNS = value([[3, -3, 5, -5], [7, -7, 1, -1]])
DIVISORS = value([[2], [-2]])
NATURAL = value([[3, 9, 5, 200], [7, 0, 1, 10]])

ROWS = [
    Row("AddV2", "add", [floats(3, 4), floats(3, 4)], dtypes=NUMBERS, reference=np.add, grad=True),
    Row("AddV2", "add", [floats(3, 4), floats(4)], dtypes=NUMBERS, grad=True, label="rows"),
    Row("AddV2", "add", [floats(2, 1, 3), floats(4, 1)], grad=True, label="both repeat"),
    Row("AddV2", "add", [floats(), floats(2, 3)], grad=True, label="scalar"),
    Row("AddV2", "add", [floats(0, 3), floats(1, 3)], label="empty"),
    Row("AddV2", "add", [floats(), floats()], grad=True, label="two scalars"),
    Row("Add", "add", [strings(b"a", b"", b"c"), strings(b"x", shape=())], label="texts"),
    Row("Add", raw("Add"), [floats(2, 3), floats(3)], dtypes=("float32", "int8"), grad=True),
    Row("Sub", "subtract", [floats(3, 4), floats(3, 1)], dtypes=NUMBERS, grad=True),
    Row("Mul", "multiply", [floats(3, 4), floats(4)], dtypes=NUMBERS, grad=True),
    Row("Mul", lambda tf, x: x * x, [floats(3, 4)], dtypes=ANALYTIC, grad=True, label="itself"),
    Row(
        "MulNoNan",
        "math.multiply_no_nan",
        [value([np.inf, np.nan, 2, 3]), value([0, 0, 5, 0])],
        dtypes=ANALYTIC,
    ),
    Row("MulNoNan", "math.multiply_no_nan", [floats(3, 4), floats(4)], grad=True, label="plain"),
    Row("RealDiv", "realdiv", [floats(3, 4), apart(4)], dtypes=ANALYTIC, grad=True),
    Row("RealDiv", "truediv", [floats(3, 4), apart(4)], dtypes=INTS, label="integers"),
    Row("RealDiv", "divide", [floats(3, 4), apart(4)], grad=True, label="divide"),
    Row("RealDiv", "div", [floats(3), apart(3)], label="div"),
    Row("FloorDiv", "div", [BOTH_SIGNS, DIVISORS], dtypes=SIGNED, label="div"),
    Row("Div", raw("Div"), [floats(3, 4), apart(3, 4)], dtypes=ANALYTIC, grad=True),
    Row("Div", raw("Div"), [BOTH_SIGNS, DIVISORS], dtypes=SIGNED, label="integers"),
    Row("Div", raw("Div"), [NATURAL, apart(4)], dtypes=INTS[4:], label="natural"),
    Row("FloorDiv", "floordiv", [BOTH_SIGNS, DIVISORS], dtypes=SIGNED + FLOATS),
    Row("FloorDiv", "floor_div", [NATURAL, apart(4)], dtypes=INTS[4:], label="natural"),
    Row(
        "TruncateDiv",
        "truncatediv",
        [BOTH_SIGNS, DIVISORS],
        dtypes=SIGNED + FLOATS,
        reference=wide(lambda x, y: np.trunc(x / y)),
    ),
    Row("TruncateDiv", "truncatediv", [NATURAL, apart(4)], dtypes=INTS[4:], label="natural"),
    Row("FloorMod", "floormod", [BOTH_SIGNS, DIVISORS], dtypes=SIGNED),
    Row("FloorMod", "mod", [NATURAL, apart(4)], dtypes=INTS[4:], label="natural"),
    Row(
        "FloorMod",
        "math.mod",
        [value([5.5, -5.5, 2.25]), value([2, 2, -1.5])],
        dtypes=FLOATS,
        grad=True,
        label="fractions",
    ),
    Row(
        "TruncateMod",
        "truncatemod",
        [BOTH_SIGNS, DIVISORS],
        dtypes=("int32", "int64", "float32", "float64"),
        reference=np.fmod,
    ),
    Row("Mod", raw("Mod"), [BOTH_SIGNS, DIVISORS], dtypes=("int32", "int64", "float32")),
    Row("DivNoNan", "div_no_nan", [floats(3, 4), value([0, 1, 2, -3])], dtypes=ANALYTIC),
    Row("DivNoNan", "math.divide_no_nan", [floats(3, 4), apart(4)], grad=True, label="plain"),
    Row(
        "DivNoNan",
        "math.divide_no_nan",
        [floats(3), ints(3, dtype=None)],
        dtypes=("int32",),
        label="integers",
    ),
    Row("DivNoNan", "math.reciprocal_no_nan", [value([0, 2, -4])], dtypes=FLOATS, label="one over"),
    Row("Pow", "pow", [floats(3, 4, low=0.5), floats(4)], dtypes=FLOATS, grad=True),
    Row("Pow", "pow", [floats(3), floats(3)], dtypes=COMPLEX, label="complex", tolerance=10.0),
    Row("Pow", "pow", [BOTH_SIGNS, value([0, 1, 2, 3])], dtypes=SIGNED, label="integers"),
    Row("Pow", "pow", [value([0.0, 2.0, -2.0]), value([0.0, 0.0, 3.0])], label="zeros"),
    Row(
        "SquaredDifference",
        "squared_difference",
        [floats(3, 4), floats(4)],
        dtypes=(*FLOATS, *COMPLEX, "int32", "int64"),
        grad=True,
    ),
    Row("Xlogy", "math.xlogy", [value([0, 0, 2, 3]), value([0, -1, 2, 3])], dtypes=ANALYTIC),
    Row("Xlogy", "math.xlogy", [apart(2, 3), apart(3)], grad=True, label="plain"),
    Row("Xlog1py", "math.xlog1py", [value([0, 0, 2, 3]), value([-1, -2, 2, 3])], dtypes=ANALYTIC),
    Row("Xlog1py", "math.xlog1py", [apart(2, 3), apart(3)], grad=True, label="plain"),
    Row("Xdivy", "math.xdivy", [value([0, 0, 2, 3]), value([0, 1, 2, -3])], dtypes=ANALYTIC),
    Row("Xdivy", "math.xdivy", [apart(2, 3), apart(3)], grad=True, label="plain"),
    Row(
        "Atan2",
        "atan2",
        [floats(3, 4), apart(4)],
        dtypes=FLOATS,
        reference=wide(np.arctan2),
        grad=True,
    ),
    Row(
        "NextAfter",
        "math.nextafter",
        [floats(3, 4), floats(4)],
        dtypes=("float32", "float64"),
        reference=np.nextafter,
        tolerance=0.0,
    ),
    Row(
        "Maximum",
        "maximum",
        [floats(3, 4), floats(4)],
        dtypes=FLOATS + INTS,
        grad=True,
        reference=np.maximum,
    ),
    Row(
        "Minimum",
        "minimum",
        [floats(3, 4), floats(3, 1)],
        dtypes=FLOATS + INTS,
        grad=True,
        reference=np.minimum,
    ),
    Row(
        "Maximum",
        "maximum",
        [value([1, np.nan, np.nan]), value([np.nan, 2, np.nan])],
        dtypes=FLOATS,
        label="nan",
    ),
    Row(
        "Minimum",
        "minimum",
        [value([1, np.nan, np.nan]), value([np.nan, 2, np.nan])],
        dtypes=FLOATS,
        label="nan",
    ),
    Row(
        "BitwiseAnd",
        "bitwise.bitwise_and",
        [NATURAL, apart(4)],
        dtypes=INTS,
        reference=np.bitwise_and,
    ),
    Row(
        "BitwiseOr", "bitwise.bitwise_or", [NATURAL, apart(4)], dtypes=INTS, reference=np.bitwise_or
    ),
    Row(
        "BitwiseXor",
        "bitwise.bitwise_xor",
        [NATURAL, apart(4)],
        dtypes=INTS,
        reference=np.bitwise_xor,
    ),
    Row("LeftShift", "bitwise.left_shift", [NATURAL, value([0, 1, 3, 6])], dtypes=INTS),
    Row("RightShift", "bitwise.right_shift", [BOTH_SIGNS, value([0, 1, 3, 6])], dtypes=SIGNED),
    Row(
        "RightShift",
        "bitwise.right_shift",
        [NATURAL, value([0, 1, 3, 99])],
        dtypes=INTS[4:],
        label="natural",
    ),
    Row(
        "ClipByValue",
        raw("ClipByValue"),
        [floats(3, 4), value(-1), value(1)],
        dtypes=(*FLOATS, *SIGNED),
        grad=True,
    ),
    Row(
        "ClipByValue",
        raw("ClipByValue"),
        [floats(3), value([-1, -2, 0]), value([1, 2, 0.5])],
        grad=True,
        label="bounds of each",
    ),
    Row(
        "Minimum",
        "clip_by_value",
        [floats(3, 4), value(-1), value(1)],
        dtypes=("float32", "int32"),
        reference=lambda x, low, high: np.clip(x, low, high),
        grad=True,
        label="clip",
    ),
    Row(
        "AddN",
        lambda tf, *x: tf.add_n(list(x)),
        [floats(3, 4)] * 3,
        dtypes=NUMBERS,
        grad=True,
        reference=lambda *x: sum(x[1:], x[0]),
    ),
    Row(
        "AddN", lambda tf, *x: tf.accumulate_n(list(x)), [floats(3), floats(3)], label="accumulate"
    ),
    Row("AddN", raw("AddN"), [floats(2, 3)], label="one"),
    Row(
        "AccumulateNV2",
        raw("AccumulateNV2"),
        [floats(3), floats(3)],
        kwargs={"shape": [3]},
        reference=lambda x, y, shape: x + y,
        oracle="TensorFlow rewrites it, and fails to without static shapes",
    ),
    Row(
        "AddV2",
        lambda tf, x, y: tf.math.polyval([x, y, x], x),
        [floats(3), floats(3)],
        reference=lambda x, y: (x * x + y) * x + x,
        grad=True,
        label="polyval",
    ),
]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def outcome(build, *arrays, device="/cpu:0"):
    """What a session gives for a builder on placeholders of unknown shape."""
    with tf.Graph().as_default(), tf.device(device), tf.Session() as session:
        tensors = [tf.placeholder(a.dtype) for a in arrays]
        return session.run(build(*tensors), dict(zip(tensors, arrays, strict=True)))


@pytest.mark.parametrize("op_type", ["FloorDiv", "Div", "TruncateDiv", "FloorMod", "Mod"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_whole_numbers_are_not_divided_by_zero(op_type, dtype, device):
    x, y = np.array([1, 2], dtype), np.array([1, 0], dtype)
    if device == "/gpu:0" and dtype is np.int64:  # where the host does not look
        assert outcome(lambda *t: create_op(op_type, t), x, y, device=device)[1] == 0
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="Integer division by zero"):
            outcome(lambda *t: create_op(op_type, t), x, y, device=device)
    assert outcome(lambda *t: create_op(op_type, t), x, y[:1], device=device).tolist() in (
        [1, 2],
        [0, 0],
    )


@pytest.mark.parametrize("shape", [(), (3,)])
def test_whole_numbers_have_no_negative_powers(shape, device):
    x, y = np.full(shape, 2, np.int32), np.full(shape, -1, np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Integers to negative integer powers"):
        outcome(tf.pow, x, y, device=device)


@pytest.mark.parametrize(
    ("op_type", "shapes", "message"),
    [
        ("AddV2", [(2,), (3,)], "Incompatible shapes: [2] vs. [3]"),
        ("Mul", [(2, 3), (4, 3)], "Incompatible shapes: [2,3] vs. [4,3]"),
        ("Maximum", [(2, 1, 3), (4,)], "Incompatible shapes: [2,1,3] vs. [4]"),
        ("RealDiv", [(0,), (3,)], "Incompatible shapes: [0] vs. [3]"),
        ("FloorDiv", [(2,), (3,)], "Incompatible shapes: [2] vs. [3]"),
        ("SquaredDifference", [(2,), (3,)], "Incompatible shapes: [2] vs. [3]"),
        (
            "ClipByValue",
            [(2,), (3,), ()],
            "of the same shape as input, or a scalar. input shape: [2]",
        ),
        ("ClipByValue", [(), (2,), ()], "of the same shape as input, or a scalar. input shape: []"),
    ],
)
def test_shapes_that_do_not_broadcast(op_type, shapes, message, device):
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        outcome(lambda *t: create_op(op_type, t, name="node"), *arrays, device=device)
    assert message in str(caught.value)
    assert "[[{{node node}}]]" in str(caught.value)


def test_sums_of_many_do_not_broadcast(device):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Input 0: \[2,3\] != input 1: \[2\]"):
        outcome(lambda *t: tf.add_n(t), np.ones((2, 3)), np.ones(2), device=device)


P = tf.placeholder


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: tf.add(P("float32", [2]), P("float32", [3])), ValueError,
         "Dimensions must be equal, but are 2 and 3 for '{{node Add}} = AddV2[T=DT_FLOAT]"),
        (lambda: tf.add(P("float32"), P("int32")), TypeError,
         "Input 'y' of 'AddV2' Op has type int32 that does not match type float32 of argument 'x'"),
        (lambda: tf.add(P("int32"), 1.5), TypeError,
         "Input 'y' of 'AddV2' Op has type float32 that does not match type int32 of argument 'x'"),
        (lambda: tf.subtract(P("int32"), 1.5), TypeError,
         "Expected int32 passed to parameter 'y' of op 'Sub', got 1.5 of type 'float' instead."),
        (lambda: tf.add(P("bool"), P("bool")), TypeError,
         "Value passed to parameter 'x' has DataType bool not in list of allowed values"),
        (lambda: tf.add(P("float32"), None), ValueError, "None values not supported."),
        (lambda: tf.truediv(P("float32"), P("float64")), TypeError,
         "`x` and `y` must have the same dtype, got tf.float32 != tf.float64."),
        (lambda: tf.truediv(P("bool"), P("bool")), TypeError,
         "Invalid dtype tf.bool in __truediv__"),
        (lambda: tf.scalar_mul(P("float32", [2]), P("float32")), ValueError,
         "The input scalar must be a 0-D value. Received shape (2,)."),
        (lambda: tf.add_n([]), ValueError, "Inputs must be an iterable of at least one Tensor"),
        (lambda: tf.add_n([P("float32"), P("float64")]), TypeError,
         "Tensors in list passed to 'inputs' of 'AddN' Op have types [float32, float64] that don't "
         "all match."),
        (lambda: tf.add_n([P("float32", [2]), P("float32", [3])]), ValueError,
         "Dimension 0 in both shapes must be equal, but are 2 and 3. Shapes are [2] and [3].\n\t"
         "From merging shape 0 with other shapes."),
        (lambda: tf.accumulate_n([]), ValueError, "inputs must be a list of at least one Tensor"),
        (lambda: tf.accumulate_n([P("float32")], tensor_dtype=tf.float64), TypeError,
         "The `tensor_dtype` argument is <dtype: 'float64'>, but `input` is of type <dtype: "
         "'float32'>."),
        (lambda: tf.clip_by_value(P("float32", []), P("float32", [2]), 1.0), ValueError,
         "Shapes () and (2,) are incompatible"),
    ],
)  # fmt: skip
def test_refused_while_the_graph_is_built(build, error, message, fresh_graph):
    with pytest.raises(error) as caught:
        build()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "shape"),
    [
        ([None, 3], [3], "(?, 3)"),
        ([None, 3], [None, 1], "(?, 3)"),
        ([None], [1], "(?,)"),
        ([None], [4], "(4,)"),
        ([2, 1], [None, None, 5], "(?, 2, 5)"),
        ([None], None, "<unknown>"),
    ],
)
def test_static_shape_of_broadcasts(first, second, shape, fresh_graph):
    assert str(tf.add(P("float32", first), P("float32", second)).shape) == shape


def test_a_single_summand_is_itself(fresh_graph):
    x = P("float32", [2])
    assert tf.add_n([x]) is x
    assert tf.accumulate_n([x]) is x
    assert tf.add_n([x], name="n").op.type == "Identity"


def test_slices_keep_their_indices(fresh_graph):
    slices = tf.IndexedSlices(tf.constant([[1.0, 9.0]]), tf.constant([3]))
    scaled = tf.scalar_mul(2.0, slices)
    clipped = tf.clip_by_value(slices, 2.0, 5.0)
    assert scaled.indices is clipped.indices is slices.indices
    with tf.Session() as session:
        assert session.run(scaled.values).tolist() == [[2.0, 18.0]]
        assert session.run(clipped.values).tolist() == [[2.0, 5.0]]


# --- properties -----------------------------------------------------------------------------------

WHOLE = st.integers(-(2**31), 2**31 - 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(WHOLE, WHOLE.filter(bool)), min_size=1, max_size=20))
def test_quotient_and_remainder_belong_together(pairs):
    x, y = np.array(pairs, np.int64).T
    floor, floor_rest, cut, cut_rest = outcome(
        lambda a, b: [a // b, a % b, tf.truncatediv(a, b), tf.truncatemod(a, b)], x, y
    )
    assert (floor * y + floor_rest == x).all()
    assert (cut * y + cut_rest == x).all()
    assert ((floor_rest == 0) | (np.sign(floor_rest) == np.sign(y))).all()
    assert ((cut_rest == 0) | (np.sign(cut_rest) == np.sign(x))).all()


SIZES = st.lists(st.sampled_from([1, 2, 3]), max_size=3)


@settings(max_examples=20, deadline=None)
@given(SIZES, st.data(), st.booleans())
def test_gradients_take_the_shape_of_what_was_broadcast(sizes, data, known):
    """The sum of a gradient over all that an element was repeated to."""
    shapes = []
    for _ in range(2):
        shape = [1 if data.draw(st.booleans()) else size for size in sizes]
        shapes.append(tuple(shape[data.draw(st.integers(0, len(sizes))) :]))
    arrays = [np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape) for shape in shapes]
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = (P("float64", shape if known else [None] * len(shape)) for shape in shapes)
        grads = tf.gradients(x * y, [x, y])
        found = session.run(grads, dict(zip((x, y), arrays, strict=True)))
    repeated = np.broadcast_arrays(*arrays)
    for index, shape in enumerate(shapes):
        flows = repeated[1 - index]
        axes = tuple(range(flows.ndim - len(shape)))
        flows = flows.sum(axis=axes)
        ones = tuple(i for i, size in enumerate(shape) if size == 1)
        np.testing.assert_allclose(found[index], flows.sum(axis=ones, keepdims=True))


def test_gradient_graphs_of_equal_shapes_are_small(fresh_graph):
    x, y = P("float32", [2, 3]), P("float32", [2, 3])
    before = len(fresh_graph.get_operations())
    z = x + y
    tf.gradients(z, [x, y])
    types = [op.type for op in fresh_graph.get_operations()[before:]]
    assert sorted(set(types) - {"Const", "Shape", "Fill"}) == ["AddV2"]
