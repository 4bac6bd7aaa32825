"""Element-wise operations on one tensor: rows, special values, numerics checks."""

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
    Row,
    case_name,
    check_row,
    floats,
    row_cases,
    value,
)

SIGNED = ("int8", "int16", "int32", "int64")
ANALYTIC = FLOATS + COMPLEX
ODD = value([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan])


def raw(op_type, *names):
    """Builds an operation that has no builder; real TensorFlow has `tf.raw_ops` for it."""

    def build(module, *tensors, **attrs):
        if not hasattr(module, "raw_ops"):
            return create_op(op_type, tensors, attrs or None)
        function = getattr(module.raw_ops, op_type)
        return function(**dict(zip(names or ("x",), tensors, strict=True)), **attrs)

    return build


def wide(function):
    """A reference that computes in a wide type; rows compare it after rounding."""

    def reference(*arrays, **_):
        kind = np.complex128 if arrays[0].dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            return function(*(a.astype(kind) for a in arrays))

    return reference


def smooth(op_type, build, reference, low=-2.0, high=2.0, **options):
    """Rows of a function that is smooth between `low` and `high`: values, scalars, gradients."""
    options = {"dtypes": ANALYTIC, **options}
    return [
        Row(op_type, build, [floats(3, 4, low=low, high=high)], reference=wide(reference),
            grad=True, tolerance=3.0, **options),
        Row(op_type, build, [floats(low=low, high=high)], grad=True, label="scalar"),
        Row(op_type, build, [floats(0, 2)], label="empty"),
        Row(op_type, build, [ODD], dtypes=("float32",), label="odd values"),
    ]  # fmt: skip


ROWS = [
    Row("Neg", "negative", [floats(3, 4)], dtypes=FLOATS + SIGNED + COMPLEX, reference=np.negative,
        grad=True),
    Row("Abs", "abs", [floats(3, 4)], dtypes=FLOATS + SIGNED, reference=np.abs, grad=True),
    Row("ComplexAbs", "abs", [floats(3, 4)], dtypes=COMPLEX, reference=np.abs, label="complex"),
    Row("Sign", "sign", [floats(3, 4)], dtypes=FLOATS + SIGNED, reference=np.sign, grad=True),
    Row("DivNoNan", "sign", [floats(3, 4)], dtypes=COMPLEX, label="sign",
        reference=lambda x: x / np.abs(x)),
    Row("Sign", raw("Sign"), [floats(3, 4)], dtypes=COMPLEX, label="complex",
        reference=lambda x: x / np.abs(x)),
    Row("Sign", "sign", [ODD], dtypes=FLOATS, label="odd values"),
    *smooth("Square", "square", np.square, dtypes=ANALYTIC + INTS),
    *smooth("Sqrt", "sqrt", np.sqrt, low=0.5),
    *smooth("Rsqrt", "rsqrt", lambda x: 1 / np.sqrt(x), low=0.5),
    *smooth("Reciprocal", "reciprocal", np.reciprocal, low=0.5),
    *smooth("Inv", raw("Inv"), np.reciprocal, low=0.5),
    *smooth("Exp", "exp", np.exp),
    *smooth("Expm1", "expm1", np.expm1),
    *smooth("Log", "log", np.log, low=0.5),
    *smooth("Log1p", "log1p", np.log1p, low=-0.5),
    *smooth("Sigmoid", "sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    *smooth("Tanh", "tanh", np.tanh),
    *smooth("Sin", "sin", np.sin),
    *smooth("Cos", "cos", np.cos),
    *smooth("Tan", "tan", np.tan, low=-1.0, high=1.0),
    *smooth("Asin", "asin", np.arcsin, low=-0.9, high=0.9),
    *smooth("Acos", "acos", np.arccos, low=-0.9, high=0.9),
    *smooth("Atan", "atan", np.arctan, low=-0.9, high=0.9),
    *smooth("Sinh", "sinh", np.sinh),
    *smooth("Cosh", "cosh", np.cosh),
    *smooth("Asinh", "asinh", np.arcsinh, low=-0.9, high=0.9),
    *smooth("Acosh", "acosh", np.arccosh, low=1.2),
    *smooth("Atanh", "atanh", np.arctanh, low=-0.9, high=0.9),
    Row("Floor", "floor", [floats(3, 4)], dtypes=FLOATS, reference=wide(np.floor)),
    Row("Ceil", "ceil", [floats(3, 4)], dtypes=FLOATS, reference=wide(np.ceil)),
    Row("Round", "round", [value([0.5, 1.5, 2.5, -0.5, -1.5, 0.4, 0.6])], dtypes=FLOATS,
        reference=wide(np.rint)),
    Row("Round", raw("Round"), [floats(3)], dtypes=SIGNED, reference=lambda x: x,
        oracle="TensorFlow gives zeros", label="integers"),
    Row("Rint", "rint", [value([0.5, 1.5, 2.5, -0.5])], dtypes=("float32", "float64"),
        reference=np.rint),
    Row("IsNan", "is_nan", [ODD], dtypes=FLOATS, reference=wide(np.isnan)),
    Row("IsInf", "math.is_inf", [ODD], dtypes=FLOATS, reference=wide(np.isinf)),
    Row("IsFinite", "debugging.is_finite", [ODD], dtypes=FLOATS, reference=wide(np.isfinite)),
    Row("Invert", "bitwise.invert", [floats(3, 4, high=9)], dtypes=INTS, reference=np.invert),
    Row("PopulationCount", raw("PopulationCount"), [value([0, 1, 3, 100, -1])], dtypes=SIGNED),
    Row("PopulationCount", raw("PopulationCount"), [value([0, 1, 3, 100])], dtypes=INTS[4:],
        label="natural"),
    *(
        Row(op_type, raw(op_type, "y", "dy"), [floats(3, 4, low=0.5), floats(3, 4)],
            dtypes=ANALYTIC, grad=True, tolerance=3.0)
        for op_type in ("SigmoidGrad", "TanhGrad", "RsqrtGrad", "SqrtGrad", "ReciprocalGrad",
                        "InvGrad")
    ),
    *(
        Row(op_type, raw(op_type, "y", "dy"), [value([0, np.inf, 0, 1]), value([0, 0, 1, 0])],
            dtypes=FLOATS, label="nothing flows")
        for op_type in ("RsqrtGrad", "SqrtGrad", "ReciprocalGrad", "InvGrad")
    ),
    Row("CheckNumerics", "check_numerics", [floats(3, 4)], kwargs={"message": "m"}, dtypes=FLOATS,
        grad=True),
    Row("CheckNumerics", "verify_tensor_all_finite", [floats(3)], kwargs={"msg": "m"}, grad=True,
        label="verify"),
    Row("CheckNumericsV2", raw("CheckNumericsV2", "tensor"), [floats(3)], kwargs={"message": "m"},
        dtypes=FLOATS, grad=True),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(build, array, device="/cpu:0"):
    with tf.Graph().as_default(), tf.device(device), tf.Session() as session:
        x = tf.placeholder(array.dtype)
        return session.run(build(x), {x: array})


INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("op_type", "values", "what"),
    [
        ("CheckNumerics", [NAN, 1], "NaN"),
        ("CheckNumerics", [-INF, 1], "Inf"),
        ("CheckNumerics", [NAN, INF], "Inf and NaN"),
        ("CheckNumericsV2", [INF], "+Inf"),
        ("CheckNumericsV2", [-INF], "-Inf"),
        ("CheckNumericsV2", [-INF, INF], "-Inf and +Inf"),
        ("CheckNumericsV2", [NAN, -INF], "-Inf and NaN"),
        ("CheckNumericsV2", [NAN, -INF, INF], "-Inf, +Inf, and NaN"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(op_type, values, what, device):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run(
            lambda x: create_op(op_type, [x], {"message": "what this is"}, "check"),
            np.array(values, np.float32),
            device,
        )
    text = str(caught.value)
    assert f"what this is : Tensor had {what} values\n\t [[{{{{node check}}}}]]" in text


def test_verify_tells_what_was_not_finite():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32)
        checked = tf.verify_tensor_all_finite(x, "the weights")
        assert session.run(checked, {x: [1.0]}).tolist() == [1.0]
        with pytest.raises(tf.errors.InvalidArgumentError, match="the weights : Tensor had NaN"):
            session.run(checked, {x: [np.nan]})


@pytest.mark.parametrize("names", [("x", "t"), ("message", "msg")])
def test_an_argument_has_one_name(names, fresh_graph):
    with pytest.raises(ValueError, match=f"Cannot specify both '{names[1]}' and '{names[0]}'"):
        tf.verify_tensor_all_finite(**dict.fromkeys(names, 1.0))


def test_gradients_are_checked_too():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [])
        (grad,) = tf.gradients(tf.sqrt(tf.check_numerics(x, "here")), x)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"detected in gradient\. here"):
            session.run(grad, {x: 0.0})


@pytest.mark.parametrize("op_type", ["SigmoidGrad", "TanhGrad", "SqrtGrad", "RsqrtGrad", "InvGrad"])
def test_gradients_of_another_size_are_refused(op_type, device):
    with tf.Graph().as_default(), tf.device(device), tf.Session() as session:
        y, dy = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
        z = create_op(op_type, [y, dy])
        assert session.run(z, {y: np.ones((2, 2)), dy: np.ones(4)}).shape == (2, 2)
        with pytest.raises(tf.errors.InvalidArgumentError, match="got 2 and 3"):
            session.run(z, {y: [1, 2], dy: [1, 2, 3]})


@pytest.mark.parametrize("name", ["exp", "sqrt", "log", "sigmoid", "floor", "is_nan"])
def test_whole_numbers_are_refused(name, fresh_graph):
    with pytest.raises(TypeError, match="has DataType int32 not in list of allowed values"):
        getattr(tf, name)(tf.placeholder(tf.int32))


def test_round_leaves_whole_numbers_alone(fresh_graph):
    x = tf.placeholder(tf.int32)
    assert tf.round(x) is x


def test_gradients_through_complex_numbers():
    """Against real TensorFlow's numbers."""
    x, y = [0.0, 1.0, -1.0, 2.0], [0.0, 1.0, 2.0, 2.0]
    rows = [
        (lambda z: tf.abs(z), [0, 0.7071068, -0.4472136, 0.7071068]),
        (lambda z: tf.real(tf.sign(z)), [0, 0.3535534, 0.3577709, 0.1767767]),
        (lambda z: tf.real(tf.exp(z)), [1, 1.4686939, -0.1530919, -3.0749323]),
        (lambda z: tf.imag(tf.square(z)), [0, 2, 4, 4]),
    ]
    for build, wanted in rows:
        with tf.Graph().as_default(), tf.Session() as session:
            a, b = tf.placeholder(tf.float64, [4]), tf.placeholder(tf.float64, [4])
            (grad,) = tf.gradients(build(tf.complex(a, b)), a)
            assert session.run(grad, {a: x, b: y}) == pytest.approx(np.array(wanted), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_sigmoid_stays_between_zero_and_one(numbers):
    x = np.array(numbers, np.float32)
    found = run(tf.sigmoid, x)
    assert ((found >= 0) & (found <= 1) | np.isnan(x)).all()
    assert (found[x == np.inf] == 1).all()
    assert (found[x == -np.inf] == 0).all()
