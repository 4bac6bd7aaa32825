"""Comparisons, logic and choices: rows, shapes that do not fit, errors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
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
    row_cases,
    strings,
    value,
)

REALS = FLOATS + INTS
ODD = value([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan])


def quiet(ufunc):
    """Comparing NaN makes some of NumPy's types warn."""

    def reference(x, y, **_):
        with np.errstate(invalid="ignore"):
            return ufunc(x, y)

    return reference


def raw(op_type):
    def build(module, x, y, **attrs):
        if hasattr(module, "raw_ops"):
            return getattr(module.raw_ops, op_type)(x=x, y=y, **attrs)
        return create_op(op_type, [x, y], attrs)

    return build


ROWS = [
    *(
        row
        for op_type, name, ufunc in (
            ("Less", "less", np.less),
            ("LessEqual", "math.less_equal", np.less_equal),
            ("Greater", "greater", np.greater),
            ("GreaterEqual", "math.greater_equal", np.greater_equal),
        )
        for row in (
            Row(op_type, name, [floats(3, 4), floats(4)], dtypes=REALS, reference=ufunc),
            Row(op_type, name, [ODD, value(np.nan)], dtypes=FLOATS, reference=quiet(ufunc),
                label="nan"),
            Row(op_type, name, [floats(0, 2), floats()], reference=ufunc, label="empty"),
        )
    ),
    *(
        row
        for op_type, name, ufunc in (
            ("Equal", "equal", np.equal),
            ("NotEqual", "math.not_equal", np.not_equal),
        )
        for row in (
            Row(op_type, name, [floats(3, 4), floats(4)], dtypes=(*NUMBERS, "bool"),
                reference=ufunc),
            Row(op_type, name, [ODD, ODD], dtypes=FLOATS, reference=quiet(ufunc),
                label="odd values"),
            Row(op_type, name, [strings(b"a", b"b"), strings(b"a", shape=())], label="texts"),
            Row(op_type, name, [strings(b"a", shape=()), strings(b"b", shape=())],
                label="one text"),
            Row(op_type, raw(op_type), [floats(2), floats(3)],
                kwargs={"incompatible_shape_error": False}, label="other shapes",
                reference=lambda x, y, op_type=op_type, **_: op_type == "NotEqual"),
            Row(op_type, raw(op_type), [floats(2), floats(1)],
                kwargs={"incompatible_shape_error": False}, label="shapes that fit"),
        )
    ),
    Row("ApproximateEqual", raw("ApproximateEqual"), [ODD, value([1e-6, 0.0, 1.1, np.inf, 0, 0])],
        dtypes=("float32", "float64")),
    Row("ApproximateEqual", raw("ApproximateEqual"), [value([1, 2, 3]), value([1, 3, 5])],
        kwargs={"tolerance": 1.5}, dtypes=("float32", "int32", "complex64"),
        reference=lambda x, y, tolerance: np.abs(x - y) < tolerance,
        oracle="TensorFlow has kernels for float32 and float64 only", label="tolerance"),
    Row("LogicalAnd", "logical_and", [bools(3, 4), bools(4)], reference=np.logical_and),
    Row("LogicalOr", "logical_or", [bools(3, 4), bools(4)], reference=np.logical_or),
    Row("LogicalNot", "logical_not", [bools(3, 4)], reference=np.logical_not),
    Row("LogicalNot", "logical_xor", [bools(3, 4), bools(4)], reference=np.logical_xor,
        label="xor"),
    Row("Select", "where", [bools(3, 4), floats(3, 4), floats(3, 4)], dtypes=(*NUMBERS, "bool"),
        reference=np.where, grad=True),
    Row("Select", "where", [bools(3), floats(3, 4), floats(3, 4)], grad=True, label="rows",
        reference=lambda c, x, y: np.where(c[:, None], x, y)),
    Row("Select", "where", [bools(), floats(3, 4), floats(3, 4)], grad=True, label="all or none",
        reference=np.where),
    Row("Select", "where", [bools(2), strings(b"a", b"b"), strings(b"c", b"d")], label="texts"),
    Row("Select", "where", [bools(0), floats(0, 3), floats(0, 3)], label="empty"),
    Row("SelectV2", "where_v2", [bools(3, 1), floats(4), floats(3, 4)], dtypes=(*NUMBERS, "bool"),
        reference=np.where, grad=True),
    Row("SelectV2", "where_v2", [bools(4), floats(), floats(2, 1)], grad=True, label="repeats",
        reference=np.where),
    Row("Where", "where", [floats(3, 4, low=-1.0, high=1.0)], dtypes=(*INTS, "bool"),
        reference=np.argwhere),
    Row("Where", "where", [value([[0, 2], [-0.0, np.nan]])], dtypes=FLOATS[1:] + COMPLEX,
        reference=lambda x: np.argwhere(x.astype(complex)), label="fractions"),
    Row("Where", "where", [floats(3)], dtypes=("float16",), reference=np.argwhere,
        oracle="TensorFlow has no kernel", label="half"),
    Row("Where", "where", [bools(2, 0, 3)], label="empty"),
    Row("Where", "where_v2", [bools(5)], label="v2"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(build, *arrays, device="/cpu:0"):
    with tf.Graph().as_default(), tf.device(device), tf.Session() as session:
        tensors = [tf.placeholder(a.dtype) for a in arrays]
        return session.run(build(*tensors), dict(zip(tensors, arrays, strict=True)))


def ones(shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2,), (2,), (3,)], "must have the same size and shape.  Input 0: [2] != input 2: [3]"),
        ([(2,), (3,), (3,)], "must have the same size and shape.  Input 0: [2] != input 1: [3]"),
        ([(2, 1), (2, 3), (2, 3)], "Input 0: [2,1] != input 1: [2,3]"),
        ([(3,), (2, 3), (2, 3)],
         "Number of batches of 'then' must match size of 'cond', but saw: 2 vs. 3"),
        ([(2,), (), ()], "'then' must be at least a vector, but saw shape: []"),
        ([(), (2,), (3,)], "'then' and 'else' must have the same size.  but received: [2] vs. [3]"),
    ],
)  # fmt: skip
def test_select_refuses_shapes(shapes, message, device):
    condition, yes, no = ones(shapes[0], bool), ones(shapes[1]), ones(shapes[2])
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run(tf.where, condition, yes, no, device=device)
    assert message in str(caught.value)


def test_select_v2_refuses_shapes(device):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run(tf.where_v2, ones((2,), bool), ones((2, 3)), ones((2, 3)), device=device)
    wanted = "condition [2], then [2,3], and else [2,3] must be broadcastable"
    assert wanted in str(caught.value)


@pytest.mark.parametrize("name", ["less", "equal", "not_equal", "greater_equal"])
def test_comparisons_refuse_shapes(name, device):
    message = r"Incompatible shapes: \[2\] vs. \[3\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run(getattr(tf, name), ones(2), ones(3), device=device)


def test_approximately_equal_tensors_have_one_shape(device):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"x shape: \[2\]. y shape: \[\]"):
        run(lambda *t: create_op("ApproximateEqual", t), ones(2), ones(()), device=device)


def test_a_scalar_has_no_indices(device):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unhandled input dimensions: 0"):
        run(tf.where, ones((), bool), device=device)


P = tf.placeholder


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: tf.where(P("bool"), P("float32")), ValueError,
         "x and y must both be non-None or both be None."),
        (lambda: tf.where_v2(P("bool"), None, 1.0), ValueError,
         "x and y must both be non-None or both be None."),
        (lambda: tf.where(P("bool", [2]), P("float32", [2]), P("float32", [3])), ValueError,
         "Dimension 0 in both shapes must be equal, but are 2 and 3. Shapes are [2] and [3]."),
        (lambda: tf.where(P("bool", [3]), P("float32", [2]), P("float32", [2])), ValueError,
         "Dimension 0 in both shapes must be equal, but are 3 and 2. Shapes are [3] and [2]."),
        (lambda: tf.where_v2(P("bool", [3]), P("float32", [2]), 1.0), ValueError,
         "Dimensions must be equal, but are 3 and 2"),
        (lambda: tf.less(P("float32", [2]), P("float32", [3])), ValueError,
         "Dimensions must be equal, but are 2 and 3 for '{{node Less}} = Less[T=DT_FLOAT]"),
        (lambda: tf.less(P("complex64"), P("complex64")), TypeError,
         "Value passed to parameter 'x' has DataType complex64 not in list of allowed values"),
        (lambda: tf.logical_and(P("bool"), P("float32")), TypeError,
         "Input 'y' of 'LogicalAnd' Op has type float32 that does not match expected type of bool"),
        (lambda: tf.where(P("string")), TypeError,
         "Value passed to parameter 'input' has DataType string not in list of allowed values"),
    ],
)  # fmt: skip
def test_refused_while_the_graph_is_built(build, error, message, fresh_graph):
    with pytest.raises(error) as caught:
        build()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: tf.where(P("bool"), P("float32", [2]), P("float32")), "(2,)"),
        (lambda: tf.where(P("bool", [2]), P("float32"), P("float32")), "<unknown>"),
        (lambda: tf.where(P("bool", [None]), P("float32", [3, None]), P("float32", [None, 4])),
         "(3, 4)"),
        (lambda: tf.where_v2(P("bool", [2, 1]), P("float32", [None, 3]), 0.0), "(2, 3)"),
        (lambda: tf.where(P("bool", [2, 3, 4])), "(?, 3)"),
        (lambda: tf.where(P("bool")), "(?, ?)"),
        (lambda: create_op("Equal", [P("int32", [2]), P("int32", [3])],
                           {"incompatible_shape_error": False}), "()"),
    ],
)  # fmt: skip
def test_static_shape(build, shape, fresh_graph):
    assert str(build().shape) == shape


def test_a_python_value_takes_the_other_sides_type(fresh_graph):
    x = P("float64", [2])
    assert tf.where_v2(x > 0, 0, x).dtype == tf.float64
    assert tf.where_v2(x > 0, x, 0).dtype == tf.float64
