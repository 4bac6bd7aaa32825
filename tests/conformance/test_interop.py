"""Objects of other kinds at the run boundary, under real TensorFlow and under tfsession."""

import numpy as np
import pytest

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import array

x = tf.placeholder(tf.float32, name="x")
x2 = tf.placeholder(tf.float32, [2], name="x2")
i = tf.placeholder(tf.int32, name="i")
t = tf.placeholder(tf.string, name="t")
y, y2, i1, t1 = x * 2.0, x2 * 2.0, i + 1, tf.identity(t)
s = tf.Session()


def f(*numbers):
    return np.array(numbers, np.float32)


class Array:
    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


class OldArray(Array):
    def __array__(self):
        return self.value


class Interface:
    def __init__(self, value):
        self.held = value
        self.__array_interface__ = value.__array_interface__


class Exporter:
    def __init__(self, value):
        self.value = value

    def __dlpack_device__(self):
        return self.value.__dlpack_device__()

    def __dlpack__(self, **asked):
        return self.value.__dlpack__(**asked)


def shared(tensor, value, memory):
    call = s.make_callable(tensor, [tensor])
    ways = [lambda: s.run(tensor, {tensor: value}), lambda: call(value)]
    return [err(lambda: np.shares_memory(way(), memory)) for way in ways]
"""

ROWS = {
    "2.4": {
        "objects with __array__": """
out = [
    err(lambda: s.run(tensor, {fed: value}))
    for tensor, fed in ((y, x), (y2, x2), (i1, i))
    for value in (
        Array(f(1, 2)),
        Array(np.array([1.5, 2.5])),
        Array(f(1, 2, 3)),
        Array([1, 2]),
        Array(3),
        Array(ValueError("no array")),
        Array(TypeError("no array")),
        Array(RuntimeError("no array")),
    )
]
""",
        "objects of the buffer protocol and of the array interface": """
out = [
    err(lambda: s.run(tensor, {fed: value}))
    for tensor, fed in ((y, x), (y2, x2), (i1, i))
    for value in (
        memoryview(f(1, 2)),
        memoryview(b"ab"),
        array.array("f", [1, 2]),
        array.array("i", [1, 2]),
        bytearray(b"ab"),
        Interface(f(1, 2)),
        Interface(f(1, 2)[::-1]),
    )
]
""",
        "subclasses of arrays": """
class Own(np.ndarray):
    pass


record = np.rec.array([(1.0, 2)], dtype=[("a", "f4"), ("b", "i4")])
out = [
    err(lambda: (lambda r: (type(r).__name__, r.tolist()))(s.run(tensor, {fed: value})))
    for tensor, fed in ((x, x), (y, x), (i1, i))
    for value in (
        f(1, 2).view(Own),
        np.matrix([[1, 2]]),
        np.ma.masked_array([1, 2], [True, False]),
        np.memmap,  # the class
        record.b,
    )
]
""",
        "which memory a fetched feed has": """
read_only = f(1, 2)
read_only.flags.writeable = False
out = [
    shared(x, v, v.held if isinstance(v, Interface) else getattr(v, "value", v))
    for v in (
        f(1, 2),
        f(1, 2, 3, 4)[::2],
        f(1, 2)[::-1],
        np.asfortranarray(np.ones((2, 3), np.float32)),
        read_only,
        Array(f(1, 2)),
        Array(np.array([1, 2])),
        Interface(f(1, 2)),
        np.ones(2, ">f4"),
        np.ones(2),
    )
]
""",
        "a fetched feed may be read-only, and results never are": """
v = f(1, 2)
v.flags.writeable = False
out = [r.flags.writeable for r in s.run([x, y, tf.identity(x)], {x: v})]
""",
        "what is fed stays as it was": """
v = f(1, 2)
held = [s.run(tf.identity(x), {x: v}), s.run(tf.reshape(x, [2, 1]), {x: v}), s.run(x[:1], {x: v})]
for h in held:
    h[...] = 9
out = v.tolist(), [np.shares_memory(h, v) for h in held]
""",
    },
    "3.1": {
        "feeds of callables": """
g = s.make_callable([y, x], [x])
v = f(1, 2)
out = [
    err(lambda: g(Array(f(1, 2)))),
    err(lambda: g(memoryview(f(1, 2)))),
    err(lambda: g(Interface(f(1, 2)))),
    g(v)[1] is v,
]
""",
    },
}

CHOICES = {
    "2.4": [
        (
            "feeds that speak DLPack or CUDA's array interface alone",
            """
v = f(1, 2)
out = [err(lambda: s.run(y, {x: Exporter(v)})), *shared(x, Exporter(v), v)]
""",
            [("ok", np.array([2, 4], "f")), ("ok", True), ("ok", True)],
        ),
    ],
    "3.1": [
        (
            "`make_callable(..., device_fetches=True)`",
            "out = err(lambda: s.make_callable(y, [x], device_fetches=True)(f(1, 2)))",
            ("ok", np.array([2, 4], "f")),
        ),
    ],
}


@pytest.mark.rows("program", ROWS)
def test_objects_of_other_kinds(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert ours == real


@pytest.mark.choices(CHOICES)
def test_where_the_run_boundary_takes_more(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
