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
