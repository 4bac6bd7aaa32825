"""Python's operators on tensors: names and types of nodes, other operands, refusals."""

import numpy as np
import pytest

import tfsession as tf

P = tf.placeholder


def made(build, dtype="float32"):
    """The result of an operator, and the nodes it made as (type, name)."""
    with tf.Graph().as_default() as graph:
        x = P(dtype, [2], name="x")
        result = build(x)
        return result, [(op.type, op.name) for op in graph.get_operations()[1:]]


@pytest.mark.parametrize(
    ("build", "op_type", "name"),
    [
        (lambda x: x + x, "AddV2", "add"),
        (lambda x: x - x, "Sub", "sub"),
        (lambda x: x * x, "Mul", "mul"),
        (lambda x: x / x, "RealDiv", "truediv"),
        (lambda x: x // x, "FloorDiv", "floordiv"),
        (lambda x: x % x, "FloorMod", "mod"),
        (lambda x: x**x, "Pow", "pow"),
        (lambda x: -x, "Neg", "Neg"),
        (abs, "Abs", "Abs"),
        (lambda x: x < x, "Less", "Less"),
        (lambda x: x <= x, "LessEqual", "LessEqual"),
        (lambda x: x > x, "Greater", "Greater"),
        (lambda x: x >= x, "GreaterEqual", "GreaterEqual"),
        (lambda x: x.__div__(x), "RealDiv", "div"),
    ],
)
def test_name_and_type(build, op_type, name):
    result, nodes = made(build)
    assert nodes == [(op_type, name)]
    assert result.op.name == name


NUMPY = np.ones(2, np.float32)


@pytest.mark.parametrize("other", [2, 2.0, NUMPY, np.float64(2), [1.0, 2.0], True], ids=repr)
@pytest.mark.parametrize(
    ("name", "build", "reflected"),
    [
        ("add", lambda x, y: x + y, lambda x, y: y + x),
        ("sub", lambda x, y: x - y, lambda x, y: y - x),
        ("mul", lambda x, y: x * y, lambda x, y: y * x),
        ("truediv", lambda x, y: x / y, lambda x, y: y / x),
        ("floordiv", lambda x, y: x // y, lambda x, y: y // x),
        ("mod", lambda x, y: x % y, lambda x, y: y % x),
        ("pow", lambda x, y: x**y, lambda x, y: y**x),
    ],
)
def test_other_operands_become_constants_of_the_tensors_type(other, name, build, reflected):
    result, nodes = made(lambda x: build(x, other))
    assert [name for _, name in nodes] == [f"{name}/y", name]
    assert result.dtype == tf.float32
    result, nodes = made(lambda x: reflected(x, other))
    assert [name for _, name in nodes] == [f"{name}/x", name]
    assert result.dtype == tf.float32


@pytest.mark.parametrize(
    ("build", "value"),
    [
        (lambda x: 1 + x, [4, -2]),
        (lambda x: 1 - x, [-2, 4]),
        (lambda x: x - np.int64(1), [2, -4]),
        (lambda x: 2**x, [8, 0.125]),
        (lambda x: 7 // x, [2, -3]),
        (lambda x: 7 % x, [1, -2]),
        (lambda x: 7.0 / x, [7 / 3, -7 / 3]),
        (lambda x: NUMPY * x, [3, -3]),
        (lambda x: x < 0, [False, True]),
        (lambda x: x > 0, [True, False]),
        (lambda x: x <= NUMPY, [False, True]),
    ],
)
def test_value(build, value):
    with tf.Graph().as_default(), tf.Session() as session:
        x = P("float64")
        found = session.run(build(x), {x: [3.0, -3.0]})
    np.testing.assert_allclose(
        found, np.asarray(value, float) if found.dtype != bool else value, atol=0.2
    )


@pytest.mark.parametrize(
    ("dtype", "quotient"),
    [("int8", "float32"), ("uint16", "float32"), ("int32", "float64"), ("uint64", "float64"),
     ("bfloat16", "bfloat16"), ("complex64", "complex64")],
)  # fmt: skip
def test_true_division_of_whole_numbers(dtype, quotient):
    for build in (lambda x: x / 2, lambda x: 2 / x, lambda x: x / x):
        result, nodes = made(build, dtype)
        assert result.dtype == quotient
        assert [name for kind, name in nodes if kind == "Cast"] == (
            [] if quotient == dtype else ["truediv/Cast", "truediv/Cast_1"]
        )


@pytest.mark.parametrize(
    ("dtype", "build", "nodes"),
    [
        ("bool", lambda x: x & x, [("LogicalAnd", "and")]),
        ("bool", lambda x: x | x, [("LogicalOr", "or")]),
        ("bool", lambda x: True & x, [("Const", "and/x"), ("LogicalAnd", "and")]),
        ("bool", lambda x: x ^ x, [("LogicalOr", "xor/LogicalOr"), ("LogicalAnd", "xor/LogicalAnd"),
                                   ("LogicalNot", "xor/LogicalNot"), ("LogicalAnd", "xor")]),
        ("bool", lambda x: ~x, [("LogicalNot", "LogicalNot")]),
        ("int32", lambda x: x & x, [("BitwiseAnd", "and/BitwiseAnd")]),
        ("int32", lambda x: x | 1, [("Const", "or/BitwiseOr/y"), ("BitwiseOr", "or/BitwiseOr")]),
        ("int32", lambda x: 1 ^ x, [("Const", "xor/BitwiseXor/x"),
                                    ("BitwiseXor", "xor/BitwiseXor")]),
        ("int32", lambda x: ~x, [("Invert", "Invert")]),
        ("string", lambda x: x + "a", [("Const", "add/y"), ("Add", "add")]),
        ("string", lambda x: "a" + x, [("Const", "add/x"), ("Add", "add")]),
        ("complex64", abs, [("ComplexAbs", "Abs")]),
    ],
)  # fmt: skip
def test_the_type_decides_the_operation(dtype, build, nodes):
    assert made(build, dtype)[1] == nodes


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_exclusive_or(left, right):
    with tf.Graph().as_default(), tf.Session() as session:
        x = P("bool")
        assert session.run([x ^ right, right ^ x], {x: left}) == [left != right] * 2


def test_equality_is_identity(fresh_graph):
    x, y = P("float32"), P("float32")
    assert x == x
    assert x != y
    assert {x: 1}[x] == 1


@pytest.mark.parametrize(
    ("dtype", "build", "error", "message"),
    [
        ("float32", lambda x: x + P("int32"), TypeError, "Input 'y' of 'AddV2' Op has type int32"),
        ("int32", lambda x: x + 1.5, TypeError, "Input 'y' of 'AddV2' Op has type float32"),
        ("int32", lambda x: 1.5 + x, TypeError, "Expected int32, but got 1.5 of type 'float'."),
        ("int32", lambda x: x - 1.5, TypeError, "got 1.5 of type 'float' instead."),
        ("int32", lambda x: x < 1.5, TypeError, "got 1.5 of type 'float' instead."),
        ("float32", lambda x: x * [1.0, 2.0, 3.0], ValueError, "must be equal, but are 2 and 3"),
        ("float32", lambda x: x * np.ones(3), ValueError, "must be equal, but are 2 and 3"),
        ("float32", lambda x: np.ones(3) * x, ValueError, "must be equal, but are 3 and 2"),
        ("float32", lambda x: x + None, ValueError, "None values not supported."),
        ("float32", lambda x: x / P("int32"), TypeError,
         "`x` and `y` must have the same dtype, got tf.float32 != tf.int32."),
        ("float32", lambda x: x & x, TypeError, "has DataType float32 not in list of allowed"),
        ("float32", lambda x: ~x, TypeError, "has DataType float32 not in list of allowed"),
        ("uint8", lambda x: -x, TypeError, "has DataType uint8 not in list of allowed"),
        ("string", lambda x: x < x, TypeError, "has DataType string not in list of allowed"),
        ("bool", lambda x: x + x, TypeError, "has DataType bool not in list of allowed"),
        ("int32", lambda x: x << 1, TypeError, "unsupported operand"),
    ],
)  # fmt: skip
def test_refused(dtype, build, error, message):
    with pytest.raises(error) as caught:
        made(build, dtype)
    assert message in str(caught.value)


def test_an_operand_of_another_kind_has_a_say():
    class Meter:
        def __radd__(self, tensor):
            return "added by the meter"

        def __rmul__(self, tensor):
            return NotImplemented

    assert made(lambda x: x + Meter())[0] == "added by the meter"
    with pytest.raises(TypeError):
        made(lambda x: x * Meter())
