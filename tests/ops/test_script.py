"""Python functions in a graph."""

import gc
import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, strings

ROWS = [
    Row("PyFunc", lambda tf, x: tf.py_func(np.sin, [x], x.dtype), [floats(3, 4)],
        dtypes=("float32", "float64"), reference=np.sin),
    Row("PyFunc", lambda tf, x, y: tf.py_func(lambda a, b: (a + b, a * b), [x, y], [x.dtype] * 2),
        [floats(3), floats(3)], reference=lambda x, y: (x + y, x * y), label="two"),
    Row("PyFunc", lambda tf, x: tf.numpy_function(lambda a: a[::-1], [x], tf.string),
        [strings(b"a", b"b")], reference=lambda x: x[::-1], label="texts"),
    Row("PyFuncStateless", lambda tf, x: tf.py_func(np.cos, [x], x.dtype, stateful=False, name="f"),
        [floats(3, 4)], reference=np.cos),
    Row("EagerPyFunc", lambda tf, x, y: tf.py_function(lambda a, b: a.numpy() + b, [x, y], x.dtype),
        [floats(3, 4), floats(3, 4)], dtypes=("float32", "float64"),
        reference=lambda x, y: x + y),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def _raising(error):
    def function():
        raise error

    return function


E = tf.errors
# (function, Tout, error class, what its text says)
FAILURES = [
    (_raising(ValueError("v")), tf.float32, E.InvalidArgumentError, "ValueError: v\nTraceback"),
    (_raising(TypeError("t")), tf.float32, E.InvalidArgumentError, "TypeError: t"),
    (_raising(StopIteration("s")), tf.float32, E.OutOfRangeError, "StopIteration: s"),
    (_raising(MemoryError("m")), tf.float32, E.ResourceExhaustedError, "MemoryError: m"),
    (_raising(NotImplementedError("n")), tf.float32, E.UnimplementedError, "NotImplemented"),
    (_raising(KeyError("k")), tf.float32, E.UnknownError, "KeyError: 'k'"),
    (_raising(E.NotFoundError(None, None, "f")), tf.float32, E.UnknownError, "NotFoundError: f"),
    (lambda: 1.0, tf.float32, E.InvalidArgumentError, "is double, but expects float"),
    (lambda: [1.0, 2.0], tf.float64, E.InvalidArgumentError, "returns 2 values, but expects to"),
    (lambda: None, tf.float64, E.InvalidArgumentError, "returns 0 values, but expects to see 1"),
    (lambda: 5, [], E.InvalidArgumentError, "returns 1 values, but expects to see 0"),
    (object, tf.float32, E.InternalError, "Unsupported object type object"),
]


@pytest.mark.parametrize("row", FAILURES, ids=[row[3][:20] for row in FAILURES])
def test_failures_of_functions(fresh_graph, row):
    function, dtype, kind, text = row
    good = tf.py_func(lambda: np.float32(2), [], tf.float32)
    bad = tf.py_func(function, [], dtype)
    with tf.Session() as session:
        with pytest.raises(kind, match=text.replace("(", r"\(")) as caught:
            session.run(bad)
        assert type(caught.value) is kind
        assert session.run(good) == 2


def test_what_a_function_is_given(fresh_graph):
    given = []

    def function(*args):
        given.extend(args)
        args[1][0] = 7  # it may write to what it is given
        return []

    variable = tf.Variable([1, 2])
    op = tf.py_func(function, [1.0, variable, "a", ["a", "b"], True], [])
    assert isinstance(op, tf.Operation)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(op)
        assert session.run(variable).tolist() == [1, 2]
    kinds = [type(value) for value in given]
    assert kinds == [np.float32, np.ndarray, bytes, np.ndarray, np.bool_]


def test_results_are_the_steps_own(fresh_graph):
    kept = np.zeros(2, np.float32)
    x = tf.py_func(lambda: kept, [], tf.float32)
    with tf.Session() as session:
        first = session.run(x)
        kept += 1
        assert first.tolist() == [0, 0]
        assert session.run(x).tolist() == [1, 1]


def test_a_function_may_run_the_session_and_threads_share_it(fresh_graph):
    variable = tf.Variable(0)
    add = tf.assign_add(variable, 1)
    calls = []

    def function(number):
        calls.append(number)
        return session.run(add)

    number = tf.placeholder(tf.int32, [])
    call = tf.py_func(function, [number], tf.int32)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        threads = [threading.Thread(target=session.run, args=(call, {number: i})) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.run(variable) == 8
    assert sorted(calls) == list(range(8))


def test_the_graph_keeps_functions_and_a_graph_def_does_not(fresh_graph):
    with tf.Graph().as_default() as graph:
        tf.py_func(lambda: np.float32(1), [], tf.float32, name="f")
        graph_def = graph.as_graph_def()
    (value,) = tf.import_graph_def(graph_def, return_elements=["f:0"])
    with tf.Session() as session:
        assert session.run(value) == 1
        del graph
        gc.collect()
        with pytest.raises(tf.errors.InvalidArgumentError, match="Could not find callback with"):
            session.run(value)


def test_gradients_by_override(fresh_graph):
    @tf.RegisterGradient("SquareOfScript")
    def _square(op, grad):
        return grad * 2 * op.inputs[0]

    x = tf.placeholder(tf.float32, [2])
    with tf.get_default_graph().gradient_override_map({"PyFunc": "SquareOfScript"}):
        y = tf.py_func(np.square, [x], tf.float32)
    y.set_shape([2])
    slope = tf.gradients(y, x)[0]
    assert tf.gradients(tf.py_func(np.square, [x], tf.float32), x) == [None]
    with tf.Session() as session:
        assert session.run([y, slope], {x: [1, 3]})[1].tolist() == [2, 6]


def test_py_function_gives_what_converts(fresh_graph):
    def run(function, *inputs, Tout=tf.float32):
        with tf.Session() as session:
            return session.run(tf.py_function(function, list(inputs), Tout))

    assert run(lambda: 2) == np.float32(2)
    assert run(lambda: [1, 2.5], Tout=[tf.float32, tf.float64]) == [1, 2.5]
    assert run(lambda x: x.numpy().decode() + "b", "a", Tout=tf.string) == b"ab"
    assert run(lambda x: type(x.numpy()) is np.float32 and x.shape == (), 1.0, Tout=tf.bool)
    assert run(lambda x: x * 2, [1, 2], Tout=tf.int64).dtype == np.int64
    for bad, text in (
        (lambda: 1.5, "Cannot convert 1.5"),
        (lambda: "a", "Cannot convert 'a'"),
        (lambda: tf.constant(1), "a tensor of a graph"),
        (lambda: [1, 2], "returns 2 values, but expects to see 1"),
        (_raising(ValueError("v")), "ValueError: v"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            run(bad, Tout=tf.int32)


def test_py_function_has_no_gradient_of_its_own(fresh_graph):
    @tf.RegisterGradient("SquareOfFunction")
    def _square(op, grad):
        return grad * 2 * op.inputs[0]

    x = tf.constant([1.0, 3.0])
    y = tf.py_function(np.square, [x], tf.float32)
    with pytest.raises(NotImplementedError, match="gradient_override_map"):
        tf.gradients(y, x)
    with tf.get_default_graph().gradient_override_map({"EagerPyFunc": "SquareOfFunction"}):
        y = tf.py_function(np.square, [x], tf.float32)
    with tf.Session() as session:
        assert session.run(tf.gradients(y, x)[0]).tolist() == [2, 6]
    with pytest.raises(TypeError, match="needs func, inp and Tout"):
        tf.py_function(np.square)
