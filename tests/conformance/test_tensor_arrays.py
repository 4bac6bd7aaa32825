"""TensorArray, map_fn, scan, foldl and foldr under real TensorFlow and under tfsession."""

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
        "map": """
f = [tf.map_fn(lambda r: r * r, a)]
f += dy(f[0], [a])
""",
        "map nested": """
f = list(tf.map_fn(lambda t: (t[0] * t[1], t[0] + 1.0), (a, b), dtype=(tf.float32, tf.float32)))
f += dy(f[0], [b, a])
""",
        "map int": """
f = [tf.map_fn(lambda i: i * 2, k)]
""",
        "map dtype": """
f = [tf.map_fn(lambda i: tf.cast(i, tf.float32) * x, k, dtype=tf.float32)]
f += dy(f[0], [x])
""",
        "map in map": """
f = [tf.map_fn(lambda r: tf.map_fn(lambda e: e * e * x, r), a)]
f += dy(f[0], [a, x])
""",
        "foldl nested": """
f = list(tf.foldl(lambda s, r: (s[0] * r[1], s[1] + r[0]), (a, b)))
f += dy(f[0], [b, a])
""",
        "scan fib": """
f = list(tf.scan(lambda a, _: (a[1], a[0] + a[1]), k, initializer=(0, 1)))
""",
        "scan infer": """
f = [tf.scan(lambda s, r: s + r, b, initializer=v, infer_shape=False)]
f += dy(f[0], [b, v])
""",
        "name": """
f = [
    tf.map_fn(lambda r: r * r, a, name="mm"),
    tf.scan(lambda s, r: s + r, a, name="sc"),
    tf.foldl(lambda s, r: s + r, a, name="fl"),
]
ta = T(tf.float32, size=2, name="nn").write(0, v, name="ww").write(1, v, name="w2")
f += [ta.stack(name="stst"), ta.size(name="szsz")]
g = dy(f[0], a, name="my/gradients_x")
f += g
""",
        "bad name": """
y = tf.map_fn(lambda r: r * r, a)
try:
    f = dy(y, a, name="foo")
except ValueError as e:
    f = [tf.constant(str(e))]
""",
        "accumulate": """
ta = T(tf.float32, size=4, clear_after_read=False).unstack(a)
_, s = W(lambda i, s: i < 6, lambda i, s: (i + 1, s * ta.read(i % 4) + v), (0, v))
f = [s] + dy(s, [a, v])
""",
    }
}
ALIKE = {
    "11.4": {
        "map w": """
f = [tf.map_fn(lambda r: r * v * w, b)]
f += dy(f[0], [b, v, w])
""",
        "map matmul": """
f = [tf.map_fn(lambda r: tf.matmul(r[None], m)[0], b)]
f += dy(f[0], [b, m])
""",
        "map dict": """
d = tf.map_fn(
    lambda t: {"p": t["x"] * 2.0, "q": tf.cast(t["y"], tf.float32)},
    {"x": a, "y": k},
    dtype={"p": tf.float32, "q": tf.float32},
)
f = [d["p"], d["q"]]
f += dy(f[0], [a])
""",
        "map cond": """
f = [tf.map_fn(lambda e: tf.cond(e > 0.5, lambda: e * e * x, lambda: e + x), a[:, 0])]
f += dy(f[0], [a, x])
""",
        "foldl": """
f = [tf.foldl(lambda s, r: s * 0.5 + r * v, a)]
f += dy(f[0], [a, v])
""",
        "foldl init": """
f = [tf.foldl(lambda s, r: s * 0.5 + r * v, b, initializer=v)]
f += dy(f[0], [b, v])
""",
        "foldr": """
f = [tf.foldr(lambda s, r: s * 0.5 + r * v, a)]
f += dy(f[0], [a, v])
""",
        "foldr init": """
f = [tf.foldr(lambda s, r: s * 0.5 + r * v, b, initializer=v)]
f += dy(f[0], [b, v])
""",
        "scan": """
f = [tf.scan(lambda s, r: s * 0.5 + r * v, a)]
f += dy(f[0], [a, v])
""",
        "scan init": """
f = [tf.scan(lambda s, r: tf.tanh(s * 0.5 + r), b, initializer=v)]
f += dy(f[0], [b, v])
""",
        "scan reverse": """
f = [tf.scan(lambda s, r: tf.tanh(s * 0.5 + r), b, initializer=v, reverse=True)]
f += dy(f[0], [b, v])
""",
        "scan reverse no init": """
f = [tf.scan(lambda s, r: tf.tanh(s * 0.5 + r), a, reverse=True)]
f += dy(f[0], [a])
""",
        "scan nested": """
f = list(tf.scan(lambda s, r: (s[0] * r[0], s[1] + r[1]), (a, b), initializer=(v, v * 2.0)))
f += dy(f, [a, b, v])
""",
        "scan matrix": """
f = [tf.scan(lambda s, r: tf.matmul(s, m) + r, tf.stack([m, m * 2.0]), initializer=m)]
f += dy(f[0], [m])
""",
        "ta rnn": """
ta = T(tf.float32, size=4, tensor_array_name="in").unstack(a)
out = T(tf.float32, size=4, tensor_array_name="out")


def body(i, h, out):
    h = tf.tanh(tf.reshape(tf.matmul(h[None], m), [3]) + ta.read(i))
    return i + 1, h, out.write(i, h)


_, h, out = W(lambda i, h, o: i < 4, body, (0, v, out))
y = out.stack()
f = [y, h] + dy([y, h], [a, v, m])
""",
        "ta dynamic": """
out = T(tf.float32, size=0, dynamic_size=True, element_shape=[3])


def body(i, h, out):
    h = tf.tanh(h * x)
    return i + 1, h, out.write(i, h)


_, h, out = W(lambda i, h, o: i < n, body, (0, v, out))
y = out.stack()
f = [y, h, out.size()] + dy(y, [v, x])
""",
        "ta concat": """
out = T(tf.float32, size=3, element_shape=[None], infer_shape=False)


def body(i, out):
    return i + 1, out.write(i, v[: i + 1] * x)


_, out = W(lambda i, o: i < 3, body, (0, out))
y = out.concat()
f = [y] + dy(y * y, [v, x])
""",
        "ta split": """
ta = T(tf.float32, size=3, infer_shape=False).split(v * x, [0, 2, 1])
y = ta.read(1) * 2.0
z = ta.read(2)
f = [y, z] + dy([y, z], [v, x])
""",
        "ta gather": """
ta = T(tf.float32, size=4, clear_after_read=False).unstack(a * x)
y = ta.gather([2, 0])
f = [y] + dy(y * y, [a, x])
""",
        "ta scatter": """
ta = T(tf.float32, size=4, clear_after_read=False).scatter(k, a * x)
y = ta.read(1) * ta.read(3)
f = [y] + dy(y * y, [a, x])
""",
        "ta read twice": """
ta = T(tf.float32, size=4, clear_after_read=False).unstack(a * x)
y = ta.read(1) * ta.read(1) + ta.read(2)
f = [y] + dy(y, [a, x])
""",
        "ta two gradients": """
ta = T(tf.float32, size=4, clear_after_read=False).unstack(a * x)
y = ta.read(1)
z = ta.read(2) * y
f = [y, z] + dy(y, [a, x]) + dy(z, [a, x])
""",
        "ta in cond": """
ta = T(tf.float32, size=2).write(0, v)
ta = tf.cond(x > 0.0, lambda: ta.write(1, v * x), lambda: ta.write(1, v))
y = ta.stack()
f = [y] + dy(y, [v, x])
""",
        "ta cond in loop": """
out = T(tf.float32, size=4)


def body(i, o):
    o = tf.cond(i > 1, lambda: o.write(i, v * x), lambda: o.write(i, v))
    return i + 1, o


_, out = W(lambda i, o: i < 4, body, (0, out))
y = out.stack()
f = [y] + dy(y, [v, x])
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
