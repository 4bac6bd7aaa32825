"""Gradients through loops: graphs and values under real TensorFlow and under tfsession."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import numpy as np

x = tf.placeholder(tf.float32, [], "x")
w = tf.constant(2.0, name="w")
v = tf.placeholder(tf.float32, [3], "v")
u = tf.placeholder(tf.float32, [None], "u")
m = tf.placeholder(tf.float32, [3, 3], "m")
n = tf.placeholder(tf.int32, [], "n")
a = tf.placeholder(tf.float32, [4, 3], "a")
b = tf.placeholder(tf.float32, [None, 3], "b")
k = tf.placeholder(tf.int32, [4], "k")
A = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
F = {x: 1.1, v: [1.0, -2.0, 3.0], u: [0.5, 0.25], m: A[:3] * 0.7, n: 3, a: A, b: A, k: [3, 1, 2, 0]}
W = tf.while_loop


def loop(body, first, turns=n, **options):
    return W(lambda i, _: i < turns, lambda i, y: (i + 1, body(i, y)), [0, first], **options)[1]


def err(f):
    try:
        return f()
    except (TypeError, ValueError) as error:
        return [tf.constant(f"{type(error).__name__} {error}")]


T = tf.TensorArray
dy = tf.gradients
"""

SAME = {
    "11.4": {
        "plain": """
y = loop(lambda i, y: y * y * w, x)
f = [y] + dy(y, [x, w])
""",
        "vector": """
y = loop(lambda i, y: tf.tanh(y) * v + y, v)
f = [y] + dy(y, [v])
""",
        "unknown shape": """
y = loop(lambda i, y: tf.tanh(y) * u * y, u)
f = [y] + dy(y, [u])
""",
        "matmul": """
y = loop(lambda i, y: tf.matmul(y, m) + y, m)
f = [y] + dy(y, [m])
""",
        "two vars, one used": """
_, a, b = W(lambda i, a, b: i < n, lambda i, a, b: (i + 1, a * b, b + x * a), [0, x, x * 2.0])
f = [a, b] + dy(a, [x])
""",
        "both used": """
_, a, b = W(lambda i, a, b: i < n, lambda i, a, b: (i + 1, a * b, b + x * a), [0, x, x * 2.0])
f = [a, b] + dy([a, b * b], [x])
""",
        "independent": """
_, a, b = W(lambda i, a, b: i < n, lambda i, a, b: (i + 1, a * 2.0, b + a), [0, x, x * 2.0])
f = [a, b] + dy(b, [x])
""",
        "dead var": """
_, a, b = W(lambda i, a, b: i < n, lambda i, a, b: (i + 1, x * 3.0, b + a), [0, x, x * 2.0])
f = [a, b] + dy(b, [x])
""",
        "nested": """
def outer(i, y):
    z = W(lambda j, z: j < 2, lambda j, z: (j + 1, z * y * x), [0, y])[1]
    return i + 1, z


y = W(lambda i, y: i < n, outer, [0, x])[1]
f = [y] + dy(y, [x])
""",
        "nested vec": """
def outer(i, y):
    z = W(lambda j, z: j < i, lambda j, z: (j + 1, tf.tanh(z) * u + y), [0, y * u])[1]
    return i + 1, z


y = W(lambda i, y: i < n, outer, [0, u])[1]
f = [y] + dy(y, [u])
""",
        "nested three": """
def mid(j, z, y):
    q = W(lambda k, q: k < 2, lambda k, q: (k + 1, q * z * x * 0.5), [0, y])[1]
    return j + 1, q + z, y


def outer(i, y):
    z = W(lambda j, z, y: j < 2, mid, [0, y, y])[1]
    return i + 1, z


y = W(lambda i, y: i < 2, outer, [0, x])[1]
f = [y] + dy(y, [x])
""",
        "cond in loop": """
def body(i, y):
    return i + 1, tf.cond(y > 2.0, lambda: y * 0.5 * x, lambda: y * y * x)


y = W(lambda i, y: i < n, body, [0, x])[1]
f = [y] + dy(y, [x])
F[n] = 6
""",
        "variable": """
t = tf.get_variable("t", initializer=1.5, use_resource=True)
r = tf.get_variable("r", initializer=0.5, use_resource=False)
y = loop(lambda i, y: y * t * r + t, x)
f = [y] + dy(y, [t, r, x])
""",
        "ref in cond in loop": """
t = tf.get_variable("t", initializer=1.5, use_resource=False)
y = loop(lambda i, y: tf.cond(i > 1, lambda: y * t, lambda: y), x)
f = [y] + dy(y, [t, x])
""",
        "maximum": """
y = W(lambda i, y: i < n, lambda i, y: (i + 1, y * y * w), (0, x), maximum_iterations=2)[1]
f = [y] + dy(y, [x, w])
""",
        "no back_prop": """
y = loop(lambda i, y: y * y * w, x, back_prop=False)
g = dy(y * x, [x, w])
f = [y, g[0], tf.constant(str(g[1] is None))]
""",
        "serial": """
y = loop(lambda i, y: y * y * w, x, parallel_iterations=1, swap_memory=True)
f = [y] + dy(y, [x, w])
""",
        "stop": """
y = loop(lambda i, y: y * tf.stop_gradient(y) * w, x)
f = [y] + dy(y, [x, w])
""",
        "two calls": """
y = loop(lambda i, y: y * y * w, x)
f = [y] + dy(y, [x, w]) + dy(y * y, [x])
""",
        "inner gradient": """
def body(i, y):
    h = y * y * x
    return i + 1, y - 0.1 * dy(h, y)[0]


y = W(lambda i, y: i < n, body, [0, x])[1]
f = [y]
""",
        "gradient of inner gradient": """
def body(i, y):
    h = y * y * y * x
    return i + 1, y - 0.1 * dy(h, y)[0]


y = W(lambda i, y: i < n, body, [0, x])[1]
f = [y] + dy(y, [x])
""",
        "initial value": """
def body(i, y):
    return i + 1, y - 0.1 * dy(y * y, x)[0]


try:
    y = W(lambda i, y: i < n, body, [0, x])[1]
    f = [y]
except ValueError as e:
    f = [tf.constant(str(e))]
""",
        "colocate": """
y = loop(lambda i, y: y * y * w, x)
f = [y] + dy(y, [x, w], colocate_gradients_with_ops=True)
""",
        "gate": """
y = loop(lambda i, y: y * y * w, x)
f = [y] + dy(y, [x, w], gate_gradients=True)
""",
        "optimizer": """
t = tf.get_variable("t", initializer=1.5, use_resource=True)
y = loop(lambda i, y: y * t, x)
tr = tf.train.GradientDescentOptimizer(0.1).minimize(y * y)
with tf.control_dependencies([tr]):
    f = [t.read_value()]
""",
        "gradient in cond": """
y = loop(lambda i, y: y * y * w, x)
f = [tf.cond(x > 0.0, lambda: dy(y, x)[0], lambda: x)]
""",
        "loop and gradient in cond": """
def go():
    y = loop(lambda i, y: y * y * w, x)
    return dy(y, x)[0]


f = [tf.cond(x > 0.0, go, lambda: x)]
""",
    }
}
ALIKE = {
    "11.4": {
        "zero turns": """
y = loop(lambda i, y: tf.tanh(y) * u * y * x, u)
f = [y] + dy(y, [u, x])
F[n] = 0
""",
        "dead var unknown": """
_, a, b = W(lambda i, a, b: i < n, lambda i, a, b: (i + 1, u * 3.0, b + a), [0, u, u * 2.0])
f = [a, b] + dy(b, [u])
""",
        "cond in loop vec": """
def body(i, y):
    return i + 1, tf.cond(tf.reduce_sum(y) > 2.0, lambda: y * 0.5 * u, lambda: tf.sin(y) * 2.0)


y = W(lambda i, y: i < n, body, [0, u])[1]
f = [y] + dy(y, [u])
F[n] = 6
""",
        "cond dead zeros": """
def body(i, y, z):
    return i + 1, tf.cond(i > 2, lambda: tf.sin(y) * 2.0, lambda: z), z * tf.reduce_sum(y)


_, y, _z = W(lambda i, y, z: i < n, body, [0, u, u * 2])
f = [y] + dy(y, [u])
F[n] = 6
""",
        "cond nested in loop": """
def body(i, y):
    return i + 1, tf.cond(
        y > 1.0,
        lambda: tf.cond(y > 2.0, lambda: tf.sin(y), lambda: y * y * x),
        lambda: y * 3.0 * x,
    )


y = W(lambda i, y: i < n, body, [0, x])[1]
f = [y] + dy(y, [x])
F[n] = 6
""",
        "loop in cond": """
y = tf.cond(x > 0.0, lambda: loop(lambda i, y: tf.sin(y) * x, x), lambda: x * 2.0)
f = [y] + dy(y, [x])
""",
        "loop in cond off": """
y = tf.cond(x > 0.0, lambda: loop(lambda i, y: tf.sin(y) * x, x), lambda: x * 2.0)
f = [y] + dy(y, [x])
F[x] = -2.0
""",
        "loop in cond in loop": """
def body(i, y):
    return i + 1, tf.cond(
        y > 1.0,
        lambda: W(lambda j, z: j < i, lambda j, z: (j + 1, tf.sin(z) * x), [0, y])[1],
        lambda: y * 3.0 * x,
    )


y = W(lambda i, y: i < n, body, [0, x])[1]
f = [y] + dy(y, [x])
F[n] = 6
""",
        "invariant slices": """
t = tf.Variable(A[:3], name="t")
y = loop(lambda i, y: y * tf.gather(t, i) + tf.gather(t, [0])[0], v)
g = dy(y, [t, v])
f = [y, tf.convert_to_tensor(g[0]), g[1]]
""",
        "resource slices": """
t = tf.get_variable("t", initializer=A[:3], use_resource=True)
y = loop(lambda i, y: y * tf.nn.embedding_lookup(t, i), v)
g = dy(y, [t, v])
f = [y, tf.convert_to_tensor(g[0]), g[1]]
""",
        "resource in cond in loop": """
t = tf.get_variable("t", initializer=1.5, use_resource=True)
y = loop(lambda i, y: tf.cond(i > 1, lambda: y * t, lambda: y), x)
f = [y] + dy(y, [t, x])
""",
        "invariants": """
y = W(
    lambda i, y: i < n,
    lambda i, y: (i + 1, tf.concat([y, y * x], 0)),
    [0, u],
    shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
)[1]
f = [y] + dy(y, [u, x])
""",
        "two loops": """
y = loop(lambda i, y: y * y * w, x)
z = W(lambda i, y: i < n, lambda i, z: (i + 1, tf.sin(z) * y), [0, y])[1]
f = [z] + dy(z, [x, w])
""",
        "grad_ys": """
y = loop(lambda i, y: y * v * w, v)
f = [y] + dy(y, [v, w], grad_ys=[v])
""",
        "split outs": """
def body(i, y):
    a, b = tf.split(y, 2)
    return i + 1, tf.concat([a, a * x], 0)


y = W(lambda i, y: i < n, body, [0, tf.stack([x, x * 2.0])])[1]
f = [y] + dy(y, [x])
""",
        "split outs unknown": """
def body(i, y):
    a, b = tf.split(y, 2)
    y2 = tf.concat([a, a * x], 0)
    y2.set_shape([None])
    return i + 1, y2


y = W(
    lambda i, y: i < n,
    body,
    [0, u],
    shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
)[1]
f = [y] + dy(y, [u])
""",
        "shape in gradient": """
y = loop(lambda i, y: y + tf.reduce_sum(y * u) * u, u)
f = [y] + dy(tf.reduce_mean(y), [u])
""",
        "zero unconnected": """
y = loop(lambda i, y: y * 2.0, x)
f = [y] + dy(y, [x, w], unconnected_gradients="zero")
""",
        "case in loop": """
def body(i, y):
    return i + 1, tf.case(
        [(tf.equal(i, 0), lambda: y * x), (tf.equal(i, 1), lambda: tf.sin(y))],
        default=lambda: y * y * x,
    )


y = W(lambda i, y: i < n, body, [0, x])[1]
f = [y] + dy(y, [x])
F[n] = 4
""",
        "loop and gradient in loop": """
def go(k, z):
    y = loop(lambda i, y: tf.sin(y) * z, z)
    return k + 1, dy(y, z)[0]


f = [W(lambda k, z: k < 2, go, [0, x])[1]]
""",
    }
}


@pytest.mark.rows("program", SAME)
def test_graphs_and_values_are_the_same(program, graphs_of):
    ours, theirs = graphs_of(PRELUDE + program)
    assert ours == theirs


@pytest.mark.rows("program", ALIKE)
def test_values_are_the_same(program, graphs_of):
    """The graphs are not: gradients of some operations are made in another way here."""
    graphs_of(PRELUDE + program)
