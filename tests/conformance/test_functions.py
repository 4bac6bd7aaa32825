"""Functions of graphs against real TensorFlow: its graphs run here, and `Defun` in both."""

import importlib

import numpy as np
import pytest

import tfsession
from tfsession.ops import defun, function

pytestmark = [pytest.mark.oracle, pytest.mark.spec("11.3")]

X = [1.0, 2.0, 3.0]
FEEDS = [{"x:0": X, "p:0": p, "k:0": k} for p in (True, False) for k in (0, 1, 2, 7, -1)]


@pytest.fixture
def functional(tf):
    """Real TensorFlow in which branches and loops are built of functions, as in its version 2."""
    tf.enable_control_flow_v2()
    yield importlib.import_module("tensorflow")
    tf.disable_control_flow_v2()


def _written(tf, full):
    """A graph with calls, branches and loops of functions in each other; gives what to fetch."""
    x = tf.placeholder(tf.float32, [3], name="x")
    p = tf.placeholder(tf.bool, [], name="p")
    k = tf.placeholder(tf.int32, [], name="k")
    v = tf.Variable(X, use_resource=True, name="v")
    count = tf.Variable(0.0, use_resource=True, name="count")

    @full.function
    def scaled(a):
        count.assign_add(1.0)
        return a * v + tf.reduce_sum(a)

    y = scaled(x)
    chosen = tf.cond(p, lambda: scaled(x) * 2.0, lambda: y - 1.0)
    turns, looped = tf.while_loop(
        lambda i, z: i < 4,
        lambda i, z: (i + 1, tf.cond(i % 2 < 1, lambda: z * v, lambda: z + x)),
        [0, x],
    )
    case = full.switch_case(k, [lambda: x, lambda: scaled(x), lambda: x * 3.0])
    nested = full.function(lambda a: full.function(lambda b: b * v - x)(a) + a)(looped)
    outputs = [y, chosen, turns, looped, case, nested, count.read_value()]
    names = [tf.identity(t, name=f"out{i}").name for i, t in enumerate(outputs)]
    return names, tf.global_variables_initializer().name


def test_graphs_of_functions_give_the_same_here(tf, functional):
    with tf.Graph().as_default() as graph:
        names, init = _written(tf, functional)
        message = graph.as_graph_def()
        with tf.Session() as sess:
            sess.run(init)
            expected = [[sess.run(name, feeds) for name in names] for feeds in FEEDS]
    kinds = {node.op for f in message.library.function for node in f.node_def}
    assert {"If", "StatefulPartitionedCall"} <= kinds | {node.op for node in message.node}
    with tfsession.Graph().as_default():
        tfsession.import_graph_def(message, name="")
        with tfsession.Session() as sess:
            sess.run(init)
            for feeds, row in zip(FEEDS, expected, strict=True):
                for name, value in zip(names, row, strict=True):
                    np.testing.assert_allclose(sess.run(name, feeds), value, err_msg=name)


def test_gradients_that_tensorflow_built_of_functions_run_here(tf, functional):
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [3], name="x")
        k = tf.placeholder(tf.int32, [], name="k")
        w = tf.constant([0.5, 1.5, 2.0])
        _, looped = tf.while_loop(
            lambda i, z: i < k,
            lambda i, z: (i + 1, tf.cond(i % 2 < 1, lambda: z * tf.sin(w * z), lambda: z + x)),
            [0, x],
        )
        mapped = tf.map_fn(lambda a: a * a + tf.sin(a), x)
        total = tf.reduce_sum(looped) + tf.reduce_sum(mapped * mapped)
        names = [t.name for t in [looped, mapped, *tf.gradients(total, [x, w])]]
        message = graph.as_graph_def()
        feeds = [{"x:0": X, "k:0": turns} for turns in (0, 1, 5)]
        with tf.Session() as sess:
            expected = [sess.run(names, fed) for fed in feeds]
    kinds = {node.op for f in message.library.function for node in f.node_def}
    assert {"TensorListPushBack", "TensorListPopBack", "OptionalFromValue"} <= kinds
    with tfsession.Graph().as_default():
        tfsession.import_graph_def(message, name="")
        with tfsession.Session() as sess:
            for fed, row in zip(feeds, expected, strict=True):
                for name, found, value in zip(names, sess.run(names, fed), row, strict=True):
                    np.testing.assert_allclose(found, value, rtol=1e-5, err_msg=name)


def _calls(tf, Defun, ops):
    @Defun(tf.float32, tf.float32)
    def pair(a, b):
        return tf.sigmoid(a) * b, a - b

    first, second = pair(tf.placeholder(tf.float32, [3], name="x"), tf.constant(X), name="call")
    return [first, second, *tf.gradients(first * second, first.op.inputs)]


def _captures(tf, Defun, ops):
    x = tf.placeholder(tf.float32, [3], name="x")
    w = tf.get_variable("w", initializer=[3.0, 4.0, 5.0], use_resource=True)

    @Defun(tf.float32)
    def layer(a):
        return tf.tanh(a * w.read_value()) + tf.get_variable(
            "b", [3], initializer=tf.ones_initializer
        )

    y = layer(x)
    return [y, *tf.gradients(y, [x])]


def _branches(tf, Defun, ops):
    x = tf.placeholder(tf.float32, [3], name="x")
    then = Defun(tf.float32, func_name="then")(lambda a: (a * 2.0, a))
    other = Defun(tf.float32, func_name="other")(lambda a: (a * a, a + 1.0))
    return [
        *ops.If(tf.reduce_sum(x) > 5.0, [x], then, other),
        *ops.If(tf.constant(0), [x], then, other),
        *ops.If(tf.constant("yes"), [x], then, other),
    ]


def _loops(tf, Defun, ops):
    x = tf.placeholder(tf.float32, [3], name="x")
    w = tf.constant([0.5, 0.25, 2.0])
    cond = Defun(tf.int32, tf.float32, func_name="cond")(lambda i, a: i < 5)
    body = Defun(tf.int32, tf.float32, func_name="body")(
        lambda i, a: (i + 1, a * w + tf.cast(i, tf.float32))
    )
    step = Defun(tf.int32, tf.float32, func_name="step")(lambda i, a: a * tf.cast(i, tf.float32))
    return [
        *ops.While([0, x], cond, body),
        *ops.For(1, 4, 1, [x], step, rewrite_with_while=True),
        *ops.For(6, 0, -2, [x], step, rewrite_with_while=True),
    ]


def _ran(tf, build, Defun, ops):
    with tf.Graph().as_default() as graph:
        outputs = build(tf, Defun, ops)
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            values = sess.run(outputs, {"x:0": [0.5, 1.5, -2.0]})
        library = graph.as_graph_def().library.function
        signatures = [
            ([a.type for a in f.signature.input_arg], [a.type for a in f.signature.output_arg])
            for f in library
        ]
    return values, sorted(signatures)


@pytest.mark.parametrize("build", [_calls, _captures, _branches, _loops])
def test_defined_functions_are_the_same_in_both(tf, build):
    real = importlib.import_module("tensorflow.python.framework.function")
    functional_ops = importlib.import_module("tensorflow.python.ops.functional_ops")
    expected, theirs = _ran(tf, build, real.Defun, functional_ops)
    values, ours = _ran(tfsession, build, defun.Defun, function)
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5)
    if build is not _loops:  # For is another loop there
        assert ours == theirs
