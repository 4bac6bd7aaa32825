"""Constants, placeholders, fills, identities, groups; and how Python values become tensors."""

import ml_dtypes
import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import (
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

ANY = (*NUMBERS, "bool")

ROWS = [
    Row("Const", lambda tf, x: tf.constant([[1.5, 2.0], [3.0, 4.0]]) + x, [floats()]),
    Row("Const", lambda tf, x: tf.constant(7, tf.float64, [2, 3]) * x, [floats(2, 3)],
        dtypes=["float64"], label="repeated"),
    Row("Const", lambda tf, x: [tf.constant(["a"]), x], [strings(b"x")], label="text"),
    Row("Const", lambda tf, x: tf.constant(1.5, name=None) + x, [floats()], label="no-name"),
    Row("Placeholder", lambda tf, x: tf.identity(x), [floats(2, 3)], dtypes=ANY),
    Row("PlaceholderWithDefault", lambda tf, x: tf.placeholder_with_default(x, [2, 3]),
        [floats(2, 3)], dtypes=ANY, grad=True),
    Row("Identity", "identity", [floats(2, 0, 3)], dtypes=ANY, reference=lambda x: x, grad=False),
    Row("Identity", "identity", [floats()], grad=True, label="scalar"),
    Row("IdentityN", lambda tf, x, y: tf.identity_n([x, y]), [floats(2), ints(3)], dtypes=ANY),
    Row("IdentityN", lambda tf, x, y: tf.identity_n([x, y]), [floats(2), floats(3)], grad=True,
        label="gradient"),
    Row("StopGradient", lambda tf, x: tf.stop_gradient(x) * x, [floats(3)], grad=False),
    Row("NoOp", lambda tf, x: tf.tuple([x], control_inputs=[tf.no_op()]), [floats(2)], grad=True,
        same_graph="control inputs are in the order of a set in TensorFlow"),
    Row("ZerosLike", lambda tf, x: tf.zeros_like(x, optimize=False), [floats(2, 3)], dtypes=ANY,
        reference=np.zeros_like),
    Row("ZerosLike", lambda tf, x: tf.zeros_like(x, optimize=False), [strings(b"a", b"b")],
        label="texts"),
    Row("Fill", lambda tf, x: tf.fill([2, 3], x), [floats()], dtypes=ANY, grad=True),
    Row("Fill", lambda tf, x, dims: tf.fill(dims, x), [floats(), value([2, 0], "int64")],
        constants=[1], label="empty"),
    Row("Fill", lambda tf, x: tf.fill([], x), [floats()], grad=True, label="scalar"),
    Row("Fill", lambda tf, x: tf.ones_like(x), [floats(2, 3)], dtypes=ANY, label="ones_like",
        reference=np.ones_like),
    Row("Fill", lambda tf, x: tf.zeros_like(x, dtype=tf.string, optimize=False), [floats(2)],
        label="empty texts"),
]  # fmt: skip

# PreventGradient refuses gradients, OnesLike and Empty have no builder; see below.
COVERED = ("PlaceholderV2", "PreventGradient", "OnesLike", "Empty")


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(build):
    with tf.Graph().as_default() as graph, tf.Session() as session:
        return session.run(build()), graph


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (1.5, None, "float32"),
        (3, None, "int32"),
        (2**40, None, "int64"),
        (True, None, "bool"),
        (1j, None, "complex128"),
        ("a", None, "string"),
        ([1, 2.5], None, "float32"),
        ([], None, "float32"),
        (np.arange(3), None, "int64"),
        (np.float16(2), None, "float16"),
        (np.array([1.0], ml_dtypes.bfloat16), None, "bfloat16"),
        ([1, 2], "float64", "float64"),
    ],
)
def test_constants_take_the_type_that_fits(given, dtype, expected):
    with tf.Graph().as_default():
        tensor = tf.constant(given, dtype)
        assert tensor.dtype == expected
        assert tensor.op.type == "Const"
        assert tuple(tensor.shape.as_list()) == np.shape(given)


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: tf.constant(1.5, tf.int32), TypeError, "Expected int32, but got 1.5"),
        (lambda: tf.constant(None), ValueError, "None values not supported"),
        (lambda: tf.constant([1, 2, 3], shape=[2]), ValueError, "Too many elements provided"),
        (lambda: tf.constant([1], shape=[2], verify_shape=True), TypeError,
         r"Expected Tensor's shape: \(2,\), but got \(1,\)"),
        (lambda: tf.constant(tf.constant(1)), TypeError, "but got a tensor instead"),
        (lambda: tf.convert_to_tensor(object()), TypeError, "Failed to convert elements of"),
        (lambda: tf.convert_to_tensor(tf.no_op()), TypeError, "can't convert Operation 'NoOp'"),
        (lambda: tf.convert_to_tensor(tf.TensorShape([2, None])), ValueError,
         r"Cannot convert a partially known TensorShape \(2, \?\) to a Tensor"),
        (lambda: tf.convert_to_tensor(tf.Dimension(None)), ValueError,
         r"Cannot convert unknown Dimension \? to a Tensor"),
        (lambda: tf.convert_to_tensor(tf.TensorShape([2]), tf.float32), TypeError,
         "Allowed dtypes are tf.int32 and tf.int64"),
        (lambda: tf.fill([-1], 1), ValueError, "Fill dimensions must be >= 0"),
        (lambda: tf.fill([2], [1, 2]), ValueError, "Shape must be rank 0 but is rank 1"),
        (lambda: tf.placeholder_with_default([1, 2], [3]), ValueError,
         r"Shapes are \[2\] and \[3\]"),
        (lambda: tf.group(3), TypeError, "'inputs' should be zero or more"),
        (lambda: tf.group(tf.no_op(), foo=1), ValueError, "Unknown keyword arguments: foo"),
        (lambda: tf.tuple([]), ValueError, "must have at least one Tensor"),
        (lambda: tf.tuple([tf.constant(1)], control_inputs=[3]), TypeError,
         "'control_inputs' must only contain"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, error, text):
    with pytest.raises(error, match=text):
        build()


@pytest.mark.parametrize(
    ("sizes", "type_"),
    [([2, 3], "Const"), ([], "Const"), ([999], "Const"), ([1000], "Fill"), (3, "Fill"),
     ([10**5, 0], "Const"), (np.array([50, 300]), "Fill"), ((tf.Dimension(2),), "Const")],
)  # fmt: skip
@pytest.mark.parametrize(("build", "number"), [(tf.zeros, 0), (tf.ones, 1)])
def test_small_fills_are_constants(build, number, sizes, type_):
    results, graph = run(lambda: build(sizes, tf.int64))
    assert graph.get_operations()[-1].type == type_
    wanted = np.full(np.array(sizes, int), number)
    np.testing.assert_array_equal(results, wanted)
    assert results.dtype == np.int64


@pytest.mark.parametrize(
    ("dtype", "zero"), [("string", b""), ("bool", False), ("complex64", 0j), ("bfloat16", 0)]
)
def test_zeros_of_other_types(dtype, zero):
    for sizes in ([2], [1001]):
        assert run(lambda sizes=sizes: tf.zeros(sizes, dtype))[0].tolist() == [zero] * sizes[0]


@pytest.mark.parametrize(
    ("dtype", "shape", "text"),
    [
        ("float32", [2], "placeholder tensor 'x' with dtype float and shape [2]"),
        ("int32", None, "placeholder tensor 'x' with dtype int32"),
        ("string", [None, 2], "placeholder tensor 'x' with dtype string and shape [?,2]"),
        ("bool", [], "placeholder tensor 'x' with dtype bool"),
    ],
)
def test_an_unfed_placeholder_tells_its_name_type_and_shape(dtype, shape, text):
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.identity(tf.placeholder(dtype, shape, name="x"))
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            session.run(x)
    lines = caught.value.message.split("\n")
    assert f"You must feed a value for {text}" in lines


def test_a_default_gives_way_to_what_is_fed():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder_with_default([1, 2], [None])
        assert session.run(x).tolist() == [1, 2]
        assert session.run(x, {x: [5, 6, 7]}).tolist() == [5, 6, 7]


def test_a_fed_placeholder_is_done_for_those_that_wait_for_it():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [])
        assert session.run(tf.tuple([x + 1.0, x])[0], {x: 2.0}) == 3.0


def test_negative_sizes_are_refused_at_run_time():
    with tf.Graph().as_default(), tf.Session() as session:
        dims = tf.placeholder(tf.int32, [1])
        with pytest.raises(tf.errors.InvalidArgumentError, match="Dimension -2 must be >= 0"):
            session.run(tf.fill(dims, 1.0), {dims: [-2]})


def test_groups_wait_by_device(fresh_graph):
    with tf.device("/cpu:0"):
        a, b = tf.constant(1), tf.no_op()
    with tf.device("/gpu:0"):
        c = tf.constant(2)
    done = tf.group(a, b, [c])
    assert done.name == "group_deps"
    parts = done.control_inputs
    assert [(op.name, op.device) for op in parts] == [
        ("group_deps/NoOp", "/device:CPU:0"), ("group_deps/NoOp_1", "/device:GPU:0")
    ]  # fmt: skip
    assert [op.control_inputs for op in parts] == [(a.op, b), (c.op,)]
    assert tf.group(a).control_inputs == (a.op,)


def test_tuples_wait_for_all(fresh_graph):
    a, op = tf.constant(1), tf.no_op()
    first, nothing, group = tf.tuple([a, None, op])
    assert nothing is None
    gate = fresh_graph.get_operation_by_name("tuple/group_deps")
    assert gate.control_inputs == (a.op, op)
    assert first.op.control_inputs == (gate,)
    assert group.type == "NoOp"


def test_a_prevented_gradient_says_why(fresh_graph):
    x = tf.constant(1.0)
    y = create_op("PreventGradient", [x], {"message": "why"})
    with pytest.raises(LookupError, match=r"Gradient explicitly disabled. Reason: b'why'"):
        tf.gradients(y, x)


@pytest.mark.parametrize(
    ("op_type", "inputs", "attrs", "wanted"),
    [
        ("OnesLike", [np.zeros(2, np.int8)], {}, np.ones(2, np.int8)),
        ("PreventGradient", [np.ones(2)], {}, np.ones(2)),
        ("Empty", [[2, 0]], {"dtype": tf.float32}, np.zeros((2, 0), np.float32)),
        ("Empty", [[2]], {"dtype": tf.int32, "init": True}, np.zeros(2, np.int32)),
    ],
)
def test_ops_without_a_builder(op_type, inputs, attrs, wanted):
    result = run(lambda: create_op(op_type, inputs, attrs))[0]
    np.testing.assert_array_equal(result, wanted)
    assert result.dtype == wanted.dtype
