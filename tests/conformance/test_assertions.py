"""Assertions on tensors: when they fail, and with which words."""

import pytest

pytestmark = pytest.mark.oracle

STATIC = [
    f"{name}({values})"
    for name in ("equal", "none_equal", "less", "less_equal", "greater", "greater_equal")
    for values in ("[1, 2], [1, 2]", "[1, 2], [2, 3]", "[3, 4], 2, message='m'")
] + [
    f"{name}({values})"
    for name in ("positive", "negative", "non_negative", "non_positive")
    for values in ("[1.5, 2]", "[-1, -2]", "[0, 1]", "[0, -1], message='m'")
]
PROGRAM = """
x = tf.placeholder(tf.float32, [2], name="x")
op = getattr(tf, "assert_{name}")({values})
nodes = [(n.name, n.type) for n in tf.get_default_graph().get_operations()]
def run(value):
    with tf.Session() as s:
        return s.run(op, {{x: value}})
out = nodes, [err(lambda: run(v)) for v in ([1, 1], [0, 2], [-1, -2], [3, 3])]
"""
AT_RUN = {
    "less": "x, 1.5, message='m'", "greater": "x, [1.0, 0.5]", "none_equal": "x, 1.0",
    "positive": "x", "negative": "x, message='m'", "non_positive": "x, summarize=1",
    "non_negative": "x",
}  # fmt: skip


@pytest.mark.spec("ops")
@pytest.mark.parametrize("call", STATIC)
def test_what_is_known_now(assert_same, call):
    assert_same("", f"out = err(lambda: tf.assert_{call} and None)")


@pytest.mark.spec("ops")
@pytest.mark.parametrize("name", AT_RUN)
def test_what_shows_in_a_step(assert_same, name):
    assert_same("", PROGRAM.format(name=name, values=AT_RUN[name]))


KINDS = [
    *(f"tf.assert_rank({args})" for args in (
        "x, 2", "x, 1", "x, 1, message='m'", "u, 2", "u, r", "x, r", "x, [1]", "x, 1.0",
        "sparse, 2", "sparse, 1")),
    *(f"tf.assert_rank_at_least({args})" for args in ("x, 2", "x, 3", "u, 2", "u, 3, name='n'")),
    *(f"tf.assert_rank_in({args})" for args in (
        "x, [1, 2]", "x, (1, 3)", "u, (0, 2)", "u, [r, 0]", "u, [3, 4], data=['d', u]")),
    *(f"tf.assert_scalar({args})" for args in ("x", "u", "s", "1", "x, message='m'")),
    *(f"tf.assert_type({args})" for args in ("x, tf.float32", "x, tf.int32, 'm'", "1, 'int32'")),
    *(f"tf.assert_integer({args})" for args in ("s", "x", "x, message='m'", "[1, 2]")),
    *(f"tf.assert_near({args})" for args in (
        "x, x + 1e-8", "x, x + 1e-3", "x, 1.0, rtol=1e-2, atol=0.1", "x, 0.0, message='m'")),
    *(f"tf.debugging.assert_shapes({args})" for args in (
        "{x: ('N', 'M')}", "[(x, (2, 2)), (s, ())]", "[(x, ('N', 'N')), (u, ('N', 'Q'))]",
        "[(x, (3, 2))]", "[(x, ('N', 'N', 'M'))]", "[(u, ('...', 2))]", "[(u, ('*', 3))]",
        "[(x, (2, '...'))]", "[(x, 2)]", "[(u, ('N',)), (x, ('N', '.'))]", "[(x, None)]",
        "[(x, ('N', None)), (y, ('N',))], message='m'")),
    *(f"tf.{name}({args})" for name in ("is_non_decreasing", "is_strictly_increasing")
      for args in ("x", "u, name='n'", "[1]", "[]", "[1, 1, 2]", "['a']")),
    "tf.assert_same_float_dtype([x, u])", "tf.assert_same_float_dtype([x, s])",
    "tf.assert_same_float_dtype()", "tf.assert_same_float_dtype([None, x], tf.float64)",
    "tf.assert_same_float_dtype(dtype=tf.int32)",
    *(f"tf.assert_proper_iterable({x})" for x in ("[x]", "x", "5")),
    *(f"tf.is_numeric_tensor({x})" for x in ("x", "s", "5", "tf.constant('a')", "u > 1")),
]  # fmt: skip
OF_KIND = """
x = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="x")
y = tf.placeholder(tf.float32, [None], name="y")
u = tf.placeholder_with_default([[1.0, 2.0], [3.0, 4.0]], None, name="u")
sparse = tf.SparseTensor([[0, 0]], [1.0], [2, 2])
r = tf.placeholder_with_default(2, None, name="r")
s = tf.constant(3, name="s")
def made():
    op = {call}
    with tf.Session() as session:
        return str(op) if not hasattr(op, "op") and not hasattr(op, "run") else session.run(
            op, {{y: [1.0, 2.0]}})
result = err(made)
nodes = [(n.name.rpartition("group_deps")[1] or n.name, n.type)  # of no scope in TensorFlow
         for n in tf.get_default_graph().get_operations()]
out = result, nodes
"""


@pytest.mark.spec("ops")
@pytest.mark.parametrize("call", KINDS)
def test_kinds(assert_same, call):
    assert_same("", OF_KIND.format(call=call))


@pytest.mark.spec("ops")
def test_all_floats_of_a_graph(assert_same):
    program = """
x = tf.placeholder(tf.float32, [], name="x")
y = tf.constant([2, 3]), tf.log(x), tf.cast(x, tf.float64)
op = tf.add_check_numerics_ops()
nodes = [(n.name, n.type) for n in tf.get_default_graph().get_operations()]
with tf.Session() as s:
    out = nodes, err(lambda: s.run(op, {x: 1.0})), err(lambda: s.run(op, {x: 0.0}))
"""
    assert_same("", program)
