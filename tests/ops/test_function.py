"""Calls of functions, and branches and loops made of them: what they compute, where errors lead."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.core import protos
from tfsession.ops.defun import Defun
from tfsession.ops.function import For, If, While

COVERED = [
    *("PartitionedCall", "StatefulPartitionedCall", "SymbolicGradient", "If", "StatelessIf"),
    *("Case", "StatelessCase", "While", "StatelessWhile"),
]
X = np.array([1.0, 2.0], np.float32)


@pytest.fixture
def x(fresh_graph):
    """A vector that is fed."""
    return tf.placeholder(tf.float32, [2], "x")


@Defun(tf.float32, tf.float32)
def product_and_difference(a, b):
    """Two results."""
    return a * b + 1.0, a - b


@Defun(tf.float32)
def doubled(a):
    return a * 2.0


@Defun(tf.float32)
def squared(a):
    return a * a


def node(type_, inputs, name=None, **attrs):
    op = tf.get_default_graph().create_op(type_, inputs, attrs=attrs, name=name or type_)
    return op.outputs


def named(function):
    function.add_to_graph()
    return protos.NameAttrList(name=function.name)


def test_a_call_is_one_operation_and_gives_what_the_body_gives(x, device):
    with tf.device(device):
        b = tf.constant([2.0, 3.0])
        first, second = product_and_difference(x, b, name="call")
    assert first.op.type == product_and_difference.name
    assert first.op.name == "call"
    library = first.graph.as_graph_def().library
    assert [f.signature.name for f in library.function] == [product_and_difference.name]
    assert library.function[0].signature.description == "Two results."
    with tf.Session() as sess:
        np.testing.assert_array_equal(sess.run(first, {x: X}), [3.0, 7.0])
        np.testing.assert_array_equal(sess.run([second, first], {x: X}), [[-1, -1], [3, 7]])
        # What a call gives can be fed as anything else.
        np.testing.assert_array_equal(sess.run(second * 2.0, {second: X}), [2.0, 4.0])
        sess.run(first.op, {x: X})


def test_what_a_call_runs_is_explained_and_traced(x):
    y = doubled(x, name="call")
    metadata = tf.RunMetadata()
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE, output_partition_graphs=True)
    with tf.Session() as sess:
        assert "call/mul" in str(sess.explain_placement(y))
        sess.run(y, {x: X}, options, metadata)
    nodes = {node.name for graph in metadata.partition_graphs for node in graph.node}
    assert "call/mul" in nodes
    traced = {s.node_name for d in metadata.step_stats.dev_stats for s in d.node_stats}
    assert "call/mul" in traced


def test_gradients_flow_through_calls_to_any_order(x):
    w = tf.get_variable("w", initializer=[3.0, 5.0], use_resource=True)
    y = product_and_difference(x, w * x)[0]
    outer = Defun(tf.float32)(lambda a: squared(doubled(a)))
    z = outer(x)
    dy = tf.gradients(y, [x, w])
    first = tf.gradients(z, x)[0]
    second = tf.gradients(tf.reduce_sum(first * x), x)[0]
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        np.testing.assert_allclose(sess.run(dy, {x: X}), [[6.0, 20.0], [1.0, 4.0]])
        np.testing.assert_allclose(sess.run(first, {x: X}), 8 * X)
        np.testing.assert_allclose(sess.run(second, {x: X}), 16 * X)


def test_a_function_may_bring_its_own_gradient(x):
    in_python = Defun(tf.float32, python_grad_func=lambda op, dy: dy * 10.0)(lambda a: a * 1.0)
    given = Defun(tf.float32, tf.float32)(lambda a, dy: dy * 100.0)
    in_graph = Defun(tf.float32, grad_func=given)(lambda a: a * 1.0)
    grads = tf.gradients(in_python(x), x) + tf.gradients(in_graph(x), x)
    with tf.Session() as sess:
        np.testing.assert_array_equal(sess.run(grads, {x: X}), [[10, 10], [100, 100]])


def test_what_a_body_reads_outside_is_passed_or_copied(x):
    outside = tf.constant([2.0, 4.0], name="outside")
    passing = Defun(tf.float32)(lambda a: a * outside)
    copying = Defun(tf.float32, capture_by_value=True)(lambda a: a * outside)
    y, z = passing(x), copying(x)
    assert passing.captured_inputs == [outside]
    assert copying.captured_inputs == []
    assert outside in y.op.inputs
    with tf.Session() as sess:
        np.testing.assert_array_equal(sess.run([y, z], {x: X}), [[2, 8], [2, 8]])


def test_variables_of_a_body_are_those_of_the_graph_around(x):
    @Defun(tf.float32)
    def dense(a):
        return a * tf.get_variable("kernel", [2], initializer=tf.ones_initializer())

    with tf.variable_scope("layer"):
        y = dense(x)
    assert [v.op.name for v in tf.trainable_variables()] == ["layer/kernel"]
    grads = tf.gradients(y, tf.trainable_variables())
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(sess.run([y, *grads], {x: X}), [X, X])


def test_a_function_without_types_is_defined_for_those_of_each_call(fresh_graph):
    @Defun()
    def twice(a):
        return a + a

    outputs = [twice(tf.constant(3)), twice(tf.constant(1.5)), twice(tf.constant(4))]
    assert len(fresh_graph.as_graph_def().library.function) == 2
    with tf.Session() as sess:
        assert sess.run(outputs) == [6, 3.0, 8]


def test_if_runs_one_branch(x, device):
    cond = tf.placeholder(tf.float32, [])
    word = tf.constant(["", "t"])[tf.cast(cond, tf.int32)]
    with tf.device(device):
        y = If(cond, [x], doubled, squared)[0]
        text = If(word, [x], doubled, squared)[0]
    dy = tf.gradients(y, x)[0]
    with tf.Session() as sess:
        for value, expected, slope in ((1.0, 2 * X, [2, 2]), (0.0, X * X, 2 * X)):
            np.testing.assert_array_equal(sess.run(y, {x: X, cond: value}), expected)
            np.testing.assert_array_equal(sess.run(text, {x: X, cond: value}), expected)
            np.testing.assert_array_equal(sess.run(dy, {x: X, cond: value}), slope)


@pytest.mark.parametrize(("index", "factor"), [(0, 2), (1, 3), (2, 5), (3, 5), (-1, 5)])
def test_case_takes_the_last_branch_for_any_other_number(x, index, factor):
    branches = [_times(k) for k in (2, 3, 5)]
    functions = [named(function) for function in branches]
    attrs = {"branches": functions, "Tout": [tf.float32]}
    y = node("StatelessCase", [tf.constant(index), x], Tin=[tf.float32], **attrs)[0]
    dy = tf.gradients(y, x)[0]
    with tf.Session() as sess:
        np.testing.assert_array_equal(sess.run([y, dy], {x: X}), [factor * X, [factor] * 2])


def _times(factor):
    return Defun(tf.float32)(lambda a: a * float(factor))


def test_while_and_for_carry_along_what_their_bodies_read(x):
    w = tf.constant([3.0, 2.0])
    body = Defun(tf.int32, tf.float32)(lambda i, a: (i + 1, a * w))
    cond = Defun(tf.int32, tf.float32)(lambda i, a: i < 3)
    i, y = While([0, x], cond, body)
    step = Defun(tf.int32, tf.float32)(lambda i, a: a * w + tf.cast(i, tf.float32))
    z = For(4, 0, -2, [x], step)[0]
    grads = [tf.gradients(t, [x, w]) for t in (y, z)]
    with tf.Session() as sess:
        found = sess.run([i, y, z, *grads], {x: X})
    w = np.array([3.0, 2.0])
    np.testing.assert_allclose(found[0], 3)
    np.testing.assert_allclose(found[1], X * w**3)
    np.testing.assert_allclose(found[2], (X * w + 4) * w + 2)
    np.testing.assert_allclose(found[3], [w**3, 3 * X * w**2])
    np.testing.assert_allclose(found[4], [w**2, 2 * X * w + 4])


def test_effects_of_a_body_happen_once_whatever_is_read(fresh_graph):
    v = tf.get_variable("v", initializer=0.0, use_resource=True)

    @Defun(tf.resource)
    def count(handle):
        node("AssignAddVariableOp", [handle, tf.constant(1.0)])
        return tf.constant(7.0), tf.constant(8.0)

    seven, eight = count(v.handle)
    waiting = tf.no_op()
    with tf.control_dependencies([seven.op]):
        after = v.read_value()
    with tf.Session() as sess:
        sess.run(v.initializer)
        assert sess.run([seven, eight]) == [7.0, 8.0]
        assert sess.run(v) == 1.0
        sess.run(seven.op)
        assert sess.run(after) == 3.0
        sess.run(waiting)
        assert sess.run(v) == 3.0


def test_only_the_branch_that_is_taken_has_effects(fresh_graph):
    v = tf.get_variable("v", initializer=0.0, use_resource=True)
    cond = tf.placeholder(tf.bool, [])

    def adding(amount):
        def body(handle):
            node("AssignAddVariableOp", [handle, tf.constant(amount)])

        return Defun(tf.resource)(body)

    # Nothing comes out: it runs for what it does.
    functions = {"then_branch": named(adding(1.0)), "else_branch": named(adding(10.0))}
    op = tf.get_default_graph().create_op(
        "If", [cond, v.handle], attrs={"Tin": [tf.resource], "Tout": [], **functions}
    )
    with tf.Session() as sess:
        sess.run(v.initializer)
        sess.run(op, {cond: True})
        assert sess.run(v) == 1.0
        sess.run(op, {cond: False})
        assert sess.run(v) == 11.0


def test_an_error_in_a_body_names_it_and_the_line_of_the_call(x):
    inverse = Defun(tf.float32)(lambda a: tf.check_numerics(a / 0.0, "far too much"))
    y = inverse(x, name="bad")
    with tf.Session() as sess:
        with pytest.raises(tf.errors.InvalidArgumentError, match="far too much") as caught:
            sess.run(y, {x: X})
        assert caught.value.op.name.startswith("bad/")
        assert caught.value.op.traceback[-1].filename == __file__
        np.testing.assert_array_equal(sess.run(x * 2.0, {x: X}), 2 * X)


def _calling(name, called):
    """A FunctionDef that passes its float argument on to another function."""
    message = protos.FunctionDef()
    message.signature.name = name
    message.signature.input_arg.add(name="a", type=1)
    message.signature.output_arg.add(name="b", type=1)
    call = message.node_def.add(name="call", op="PartitionedCall", input=["a"])
    call.attr["Tin"].list.type.append(1)
    call.attr["Tout"].list.type.append(1)
    call.attr["f"].func.name = called
    message.ret["b"] = "call:output:0"
    return message


def _graph_def(*functions):
    message = protos.GraphDef()
    message.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    message.library.function.extend(functions)
    call = message.node.add(name="y", op="PartitionedCall", input=["x"])
    call.attr["Tin"].list.type.append(1)
    call.attr["Tout"].list.type.append(1)
    call.attr["f"].func.name = "f"
    return message


BAD = {
    "itself": (_calling("f", "f"), tf.errors.ResourceExhaustedError, "call itself"),
    "nothing": (_calling("f", "g"), tf.errors.NotFoundError, "'g' is not in the graph's library"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_function_that_cannot_run_is_refused(fresh_graph, name):
    function, error, text = BAD[name]
    tf.import_graph_def(_graph_def(function), name="")
    with tf.Session() as sess:
        with pytest.raises(error, match=text):
            sess.run("y:0", {"x:0": 1.0})
        assert sess.run("x:0", {"x:0": 1.0}) == 1.0


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.signature.input_arg.add(name="more", type=1),
        lambda f: f.ret.update({"b": "call:nothing:0"}),
        lambda f: f.ret.update({"b": "call:output:9"}),
        lambda f: f.node_def[0].input.__setitem__(0, "nowhere"),
        lambda f: f.node_def[0].attr["Tin"].list.type.__setitem__(0, 3),
        lambda f: f.ret.clear(),
        lambda f: f.node_def[0].attr["Tout"].CopyFrom(protos.AttrValue(placeholder="T")),
    ],
)
def test_a_broken_function_is_an_error_not_a_crash(fresh_graph, change):
    function = _calling("f", "g")
    change(function)
    message = _graph_def(function)
    identity = _calling("g", "h")
    identity.node_def[0].op = "Identity"
    identity.node_def[0].attr.clear()
    identity.node_def[0].attr["T"].type = 1
    message.library.function.append(identity)
    tf.import_graph_def(message, name="")
    with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError):
        sess.run("y:0", {"x:0": 1.0})


REFUSED = {
    "a default": (lambda: Defun(tf.float32)(lambda a, b=1: a), "argument defaults"),
    "too many types": (lambda: Defun(tf.float32, tf.int32)(lambda a: a), "not compatible"),
    "no function": (lambda: Defun(tf.float32)(3), "must be a callable"),
    "nothing given back": (lambda: Defun(tf.float32)(lambda a: (a, None)).name, "not return None"),
    "arguments": (lambda: doubled(1.0, 2.0), "Expected number of arguments: 1, received: 2"),
    "a branch that reads outside": (
        lambda: If(True, [1.0], _outside(), doubled),
        "not among its inputs",
    ),
}


def _outside():
    outside = tf.constant(1.0)
    return Defun(tf.float32)(lambda a: a + outside)


@pytest.mark.parametrize("name", REFUSED)
def test_functions_that_cannot_be_defined(fresh_graph, name):
    build, text = REFUSED[name]
    with pytest.raises(ValueError, match=text):
        build()
