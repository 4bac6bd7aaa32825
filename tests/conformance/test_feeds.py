"""Feeds: keys, conversion of values, what may be fed, what comes of it; line by line."""

import numpy as np
import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import collections, decimal, enum, fractions, types

a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
k0 = tf.constant(3.0, name="k0")
n = tf.no_op(name="n")
s = tf.Session()
TYPES = ["float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
         "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "string"]


def through(dtype, value, shape=None):
    with tf.get_default_graph().as_default():
        p = tf.placeholder(dtype, shape, name="p")
        return err(lambda: s.run(tf.identity(p), {p: value}))


def kind(dtype, value, shape=None):
    return through(dtype, value, shape)[0]
"""

# One value into a placeholder of each type. The texts of NumPy's own errors count, too.
VALUES = [
    *("True", "1", "0", "2", "-1", "127", "128", "255", "256", "65535", "65536", "70000"),
    *("2**31 - 1", "2**31", "-(2**31)", "-(2**31) - 1", "2**32", "2**53 + 1", "2**63 - 1"),
    *("2**24 + 1", "257", "-(2**63)", "[True, False]", "[1, 2]", "[-1]", "[256, 257]"),
    *("[2**31]", "[2**63]", "[2**64]", "[10**400]", "1.5", "1.7", "-1.7", "1e300", "[1.7, -1.7]"),
    *("float('nan')", "float('inf')", "[float('nan')]", "1 + 2j", "[1 + 2j]", "1j"),
    *("'1.5'", "b'1.5'", "'7'", "['1', '2']", "'abc'", "''", "b''", "'True'", "[b'a', 'b']"),
    *("None", "[None]", "[None, 1]", "object()", "[object()]", "...", "int", "len"),
    *("np.int8(5)", "np.int64(300)", "np.int64(2**40)", "np.uint64(2**63)", "np.float64(1.7)"),
    *("np.float32(1.5)", "np.bool_(True)", "np.str_('q')", "np.bytes_(b'q')", "np.float16(70000)"),
    *("np.array(3)", "np.array([1.5, 2.5])", "np.array([300], np.int64)", "np.zeros((0, 3))"),
    *("np.array([1, 2], '>f4')", "np.array([1, 2], '>i8')", "np.arange(6.0)[::2]"),
    *("np.arange(6.0).reshape(2, 3).T", "np.asfortranarray(np.ones((2, 3)))", "np.array('x')"),
    *("np.array(['é', 'z'])", "np.array([b'a', b'b\\0'])", "np.array([b'a\\0'], object)"),
    *("np.array(['a', 1], object)", "np.array([1, 2], object)", "np.array([1 + 1j])"),
    *("np.ma.array([1.0, 2.0], mask=[True, False])", "np.array([1], 'M8[s]')", "np.void(b'ab')"),
    *("np.array([(1, 2.0)], 'i4, f4')", "np.longdouble(1.5)", "np.matrix([[1, 2]])"),
    *("decimal.Decimal('1.5')", "fractions.Fraction(3, 2)", "range(3)", "range(0)", "[]", "[[]]"),
    *("[[1, 2], [3]]", "[1, [2]]", "[[1, 2], [3, 4]]", "(1, 2)", "((1,), (2,))", "{1}", "{}"),
    *("{'x': 1}", "(x for x in [1])", "iter([1])", "bytearray(b'ab')", "memoryview(b'ab')"),
    *("collections.deque([1, 2])", "collections.namedtuple('P', 'x y')(1, 2)", "slice(1)"),
    *("enum.IntEnum('E', 'A B').B", "type('I', (int,), {})(5)", "type('I', (int,), {})(2**40)"),
    *("type('F', (float,), {})(1.5)", "type('S', (str,), {})('s')", "type('L', (list,), {})([1])"),
]

PROGRAMS = {
    "2.4": {
        "no feeds": """
out = {repr(x): err(lambda: s.run(k0, x)) for x in (None, {}, 0, [], (), "", False, 0.0, set())}
""",
        "no mappings": """
out = {
    type(x).__name__: err(lambda: s.run(k0, x))
    for x in (5, [1], (a, 1.0), "abc", {1}, 2.5, n, tf.float32, b"ab", [(a, 1.0)], True)
}
""",
        "mappings": """
class M(collections.abc.Mapping):
    def __getitem__(self, key):
        return {a: 2.0, b: 3.0}[key]
    def __iter__(self):
        return iter([a, b])
    def __len__(self):
        return 2
out = {
    "MappingProxyType": err(lambda: s.run(c, types.MappingProxyType({a: 2.0, b: 3.0}))),
    "OrderedDict": err(lambda: s.run(c, collections.OrderedDict([(a, 2.0), (b, 3.0)]))),
    "defaultdict": err(lambda: s.run(c, collections.defaultdict(list, {a: 2.0, b: 3.0}))),
    "Mapping": err(lambda: s.run(c, M())),
    "ChainMap": err(lambda: s.run(c, collections.ChainMap({a: 2.0}, {b: 3.0}))),
    "UserDict": err(lambda: s.run(c, collections.UserDict({a: 2.0, b: 3.0}))),
}
""",
        "after a run without feeds": """
p = tf.placeholder_with_default(3.0, [], name="p")
fetches = p + 1.0, [p + 2.0], {"x": p * 2.0}, [[p]]
feeds = [collections.OrderedDict([(p, 5.0)]), types.MappingProxyType({p: 6.0}), {p: 7.0}, 5, "ab"]
out = []
for fetch in fetches:
    for feed in feeds:
        out += [s.run(fetch), err(lambda: s.run(fetch, feed)), err(lambda: s.run(fetch, feed))]
""",
        "keys": """
v = tf.Variable(1.0, name="v")
rv = tf.Variable(1.0, name="rv", use_resource=True)
class Has:
    _as_graph_element = lambda self: a
s.run(tf.global_variables_initializer())
out = {
    "tensor": s.run(c, {a: 2, b: 3}),
    "names": s.run(c, {"a:0": 2, b"b:0": 3}),
    "np.str_": s.run(c, {np.str_("a:0"): 2, b: 3}),
    "negative index": err(lambda: s.run(c, {"a:-1": 2, b: 3})),
    "reference variable": s.run(v + 1.0, {v: 5.0}),
    "resource variable": s.run(rv + 1.0, {rv: 5.0}),
    "by name of a variable": s.run(v + 1.0, {"v:0": 5.0}),
    "_as_graph_element": s.run(c, {Has(): 2, b: 3}),
    "slices": s.run(k * 2.0, {tf.IndexedSlices(k, a): ([[1.0, 1.0], [1.0, 1.0]], 0.0)}),
}
""",
        "wrong keys": """
class Plain:
    def __repr__(self):
        return "Plain()"
out = {
    repr(x): err(lambda: s.run(c, {x: 1.0}))
    for x in (
        "a", b"a", n, c.op, 3, 2.5, None, True, "zz", "zz:0", "a:1", "a:x", "", ":0", "a:0:0",
        tf.float32, Plain(), Plain, (), (3,), ("zz",), frozenset([a]), "^a", "/a:0", "n:0",
    )
}
""",
        "tuples as keys": """
P, Q = (collections.namedtuple(name, "x y") for name in "PQ")
T = type("T", (tuple,), {})
out = {
    "tuple": s.run(c, {(a, b): (2, 3)}),
    "list as value": s.run(c, {(a, b): [2, 3]}),
    "nested": s.run(c, {(a, (b,)): (2, (3,))}),
    "nested, lists": s.run(c, {(a, (b,)): [2, [3]]}),
    "flat value for nested keys": err(lambda: s.run(c, {(a, (b,)): (2, 3)})),
    "nested value for flat keys": err(lambda: s.run(c, {(a, b): (2, (3,))})),
    "names": s.run(c, {("a:0", b): (2, 3)}),
    "namedtuple": s.run(c, {P(a, b): P(2, 3)}),
    "tuple for a namedtuple": err(lambda: s.run(c, {P(a, b): (2, 3)})),
    "another namedtuple": err(lambda: s.run(c, {P(a, b): Q(2, 3)})),
    "subclass": err(lambda: s.run(c, {T((a, b)): (2, 3)})),
    "dict as value": err(lambda: s.run(c, {(a, b): {"x": 2, "y": 3}})),
    "OrderedDict": err(lambda: s.run(c, {(a, b): collections.OrderedDict([("z", 2), ("y", 3)])})),
    "array as value": err(lambda: s.run(c, {(a, b): np.array([2.0, 3.0])})),
    "text as value": err(lambda: s.run(c, {(a, b): "xy"})),
    "number as value": err(lambda: s.run(c, {(a, b): 2.0})),
    "too short": err(lambda: s.run(c, {(a, b): (2,)})),
    "too long": err(lambda: s.run(c, {(a, b): (2, 3, 4)})),
    "empty": err(lambda: s.run(k0, {(): ()})),
    "single": s.run(a + 1.0, {(a,): (2,)}),
    "array of one": err(lambda: s.run(a + 1.0, {(a,): [np.float32(2)]})),
}
""",
        "a tensor fed twice": """
out = {
    "in one tuple": err(lambda: s.run(c, {(a, a): (1, 2), b: 3})),
    "tuple and key": err(lambda: s.run(c, {(a, b): (1, 2), a: 3})),
    "key and tuple": err(lambda: s.run(c, {a: 3, (a, b): (1, 2)})),
    "tensor and name": s.run(c, {a: 1, "a:0": 5, b: 2}),
    "name and tensor": s.run(c, {"a:0": 5, a: 1, b: 2}),
    "two kinds of names": s.run(c, {"a:0": 5, b"a:0": 7, b: 2}),
    "fetched": s.run(a, {a: 1, "a:0": 5}),
    "the first is wrong": err(lambda: s.run(c, {"a:0": [5], a: 1, b: 2})),
}
""",
        "tensors as values": """
v = tf.Variable(1.0)
rv = tf.Variable(1.0, use_resource=True)
out = {
    "tensor": err(lambda: s.run(c, {a: k0, b: 1})),
    "list": err(lambda: s.run(c, {a: [k0], b: 1}))[0],
    "matrix": err(lambda: s.run(k, {k: [[k0, k0], [k0, k0]]}))[0],
    "array": err(lambda: s.run(c, {a: np.array(k0, object), b: 1}))[0],
    "operation": err(lambda: s.run(c, {a: n, b: 1}))[0],
    "reference variable": err(lambda: s.run(c, {a: v, b: 1}))[0],
    "slices": err(lambda: s.run(c, {a: tf.IndexedSlices(k0, k0), b: 1}))[0],
    "string placeholder": err(lambda: s.run(k0, {tf.placeholder(tf.string): k0})),
}
""",
        "shapes": """
def fed(shape, value):
    p = tf.placeholder(tf.float32, shape, name="p")
    return err(lambda: s.run(tf.shape(p), {p: value}))
out = {
    f"{shape} {np.shape(value)}": fed(shape, value)
    for shape in (None, [], [2], [None], [None, 3], [2, 3], [0], [1])
    for value in (1.0, [1.0], [1.0, 2.0], np.zeros((2, 3)), np.zeros((3, 2)), [], np.zeros((0, 3)))
}
out["constant"] = err(lambda: s.run(k + 1.0, {k: [[1.0]]}))
out["intermediate"] = err(lambda: s.run(k * 2.0 + 1.0, {(k * 2.0).name: [1.0]}))[0]
out["no broadcasting"] = err(lambda: s.run(k + 1.0, {k: 1.0}))
""",
        "what may be fed": """
v = tf.Variable(1.0)
rv = tf.Variable(1.0, use_resource=True)
s.run(tf.global_variables_initializer())
double = c * 2.0
u, i = tf.unique([3, 3, 5])
d = tf.placeholder_with_default(7.0, [])
out = {
    "constant": s.run(k + 1.0, {k: [[0, 0], [0, 0]]}),
    "intermediate": s.run(double, {c: 5.0}),
    "one of two outputs": s.run([u + 0, i + 0], {i: [9, 9, 9]}),
    "default": s.run([d + 0.0, d]),
    "default, fed": s.run(d + 0.0, {d: 1.0}),
    "reference variable": s.run([v + 1.0, v], {v: 5.0}),
    "the variable itself stays": s.run(v),
    "resource variable": s.run([rv + 1.0, rv], {rv: 5.0}),
    "another read of it": s.run([rv.read_value(), rv + 0.0], {rv: 5.0}),
    "assign with a fed value": s.run([v.assign(c), rv.assign(c)], {c: 9.0}),
    "not needed": s.run(k0, {a: 1.0}),
    "not needed, and wrong": err(lambda: s.run(k0, {a: [1.0]})),
    "needed by half": s.run([k0, c], {a: 2, b: 3}),
    "result of an assignment": err(lambda: s.run(v.assign(2.0) + 1.0, {v: 5.0})),
}
""",
        "a fed reference that is changed": """
v = tf.Variable(1.0, name="v")
s.run(v.initializer)
out = err(lambda: s.run(tf.assign_add(v, 1.0), {v: 10.0})), s.run(v)
""",
        "placeholders without a feed": """
def message(dtype, shape=None):
    p = tf.placeholder(dtype, shape, name="p")
    return err(lambda: s.run(tf.identity(p)))[1]
out = {
    "direct": err(lambda: s.run(a)),
    "needed": err(lambda: s.run(c, {b: 1.0}))[0],
    "shapes": [message(tf.float32, x).split("\\n")[-2:] for x in (None, [], [2], [None, 3], [0])],
    "types": [message(x).split("\\n")[-2] for x in TYPES],
    "callable": err(lambda: s.make_callable(c, [a])(1.0))[0],
    "only a target": err(lambda: s.run(tf.identity(a).op))[0],
    "with default": s.run(tf.placeholder_with_default(1.0, [])),
    "by control": err(lambda: s.run(tf.group(a)))[0],
}
""",
        "fetching what is fed": """
p = tf.placeholder(tf.float32, name="p")
q = tf.placeholder(tf.string, name="q")
i = tf.placeholder(tf.int32, name="i")
array = np.zeros(2, np.float32)
strided = np.zeros(4, np.float32)[::2]
texts = np.array([b"x", b"y"], object)
def kinds(fetch, value):
    found = s.run(fetch, {fetch: value})
    return type(found).__name__, str(found.dtype), found, found is value
out = {
    "array": kinds(p, array),
    "strided": kinds(p, strided),
    "another type": kinds(p, np.zeros(2)),
    "list": kinds(p, [1, 2]),
    "number": kinds(p, 3.0),
    "whole number": kinds(i, 3),
    "scalar": kinds(p, np.float32(3)),
    "text": kinds(q, "x"),
    "bytes": kinds(q, b"x"),
    "texts": kinds(q, ["x", b"y"]),
    "array of bytes": kinds(q, texts),
    "array of texts": kinds(q, np.array(["x", "é"])),
    "read-only": (lambda x: [x.setflags(write=False), kinds(p, x)])(np.zeros(1, np.float32)),
    "twice": (lambda x: x[0] is x[1])(s.run([p, p], {p: array})),
    "with what is computed": s.run([p, tf.identity(p), {"p": p}], {p: [1, 2]}),
    "with an operation": s.run([p, n], {p: 1.0}),
}
""",
        "feeds are not aliased": """
p = tf.placeholder(tf.float32, [3], name="p")
v = tf.Variable([0.0, 0.0, 0.0])
s.run(v.initializer)
value = np.array([1, 2, 3], np.float32)
results = s.run([tf.identity(p), tf.reshape(p, [3]), tf.stop_gradient(p), v.assign(p)], {p: value})
shared = [np.shares_memory(x, value) for x in results]
value[:] = 0
out = {"shared": shared, "results": results, "variable": s.run(v)}
s.run(v.assign_add([5, 5, 5]))
out["value"] = value
""",
        "large ints for floats": """
out = {
    (x, value): through(x, value)
    for x in ("float16", "float32", "float64", "bfloat16", "complex64", "complex128")
    for value in (2**63, 2**64, 10**40, 10**400)
}
""",
        "texts": """
def of(value):
    return through(tf.string, value)
out = {
    "str": of("é"),
    "bytes": of(b"\\xff\\0"),
    "NUL at the end": of("a\\0"),
    "list": of(["a", b"b", "é"]),
    "deep": of([[["a"]]]),
    "S array": of(np.array([b"a\\0", b"bc"])),
    "U array": of(np.array([["é"], ["z"]])),
    "object array": of(np.array(["é", b"z\\0"], object)),
    "empty": [of(""), of(b""), of([]), of(np.zeros((0, 2), object))],
    "np.str_": of(np.str_("q\\0")),
    "np.bytes_": of(np.bytes_(b"q")),
    "subclasses": of([type("S", (str,), {})("s"), type("B", (bytes,), {})(b"b")]),
}
""",
        "what is no text": """
def of(value):
    return through(tf.string, value)[0], through(tf.string, value)[1].split("\\n")[-1][:60]
out = {
    repr(x): of(x)
    for x in (1, True, 1.5, None, [1], [1.5], [None], ["a", 1], 2**40, 1j, ...,
              "\\ud800", ["\\ud800"], np.int64(3), np.array([1, 2]), np.array([1.5]),
              bytearray(b"ab"), {}, {1}, b"x".hex)
    if "at 0x" not in repr(x)
}
""",
        "many feeds": """
ps = [tf.placeholder(tf.float32, []) for _ in range(200)]
total = tf.add_n(ps)
out = s.run(total, {p: i for i, p in enumerate(ps)}), s.run(total, {tuple(ps): list(range(200))})
""",
        "quantized types": """
out = {x: [kind(x, [1, 2]), kind(x, np.array([(1,)], tf.as_dtype(x).as_numpy_dtype))]
       for x in ("qint8", "quint8", "qint32")}
""",
        "objects as values": """
rv = tf.Variable(1.0, use_resource=True)
q = tf.FIFOQueue(3, tf.float32)
values = {
    "variable": rv, "list": [rv], "assignment": rv.assign(2.0), "reference": tf.Variable(1.0),
    "queue": q, "session": s, "graph": tf.get_default_graph(), "dtype": tf.float32,
    "shape": tf.TensorShape([2]),
}
out = {name: err(lambda: s.run(c, {a: x, b: 1}))[0] for name, x in values.items()}
""",
        "each dtype and shape in the error of a missing feed": """
out = []
for shape in (None, [], [2], [None], [None, 3], [2, None, 4], [0]):
    for dtype in (tf.float32, tf.string, tf.bool, tf.complex64):
        p = tf.placeholder(dtype, shape, name="p")
        out.append(err(lambda: s.run(tf.identity(p)))[1].splitlines()[-2:])
""",
        "an initial value, a read, one of several outputs": """
v = tf.Variable(tf.random_normal([2]))
x, y = tf.split(tf.constant([1.0, 2.0]), 2)
out = {
    "initial value": [s.run(v.initializer, {v.initial_value: [1.0, 2.0]}), s.run(v)],
    "the read of a variable": s.run(v, {v.value(): [5.0, 6.0]}),
    "the variable of a read": s.run(v.value(), {v: [5.0, 6.0]}),
    "an output": s.run([x + 0.0, y + 0.0], {x: [9.0]}),
    "both": s.run([x, y], {x: [9.0], y: [8.0]}),
}
""",
    },
}

CHOICES = {
    "2.4": [
        (
            "resource and variant feeds",
            """
rv = tf.Variable(1.0, use_resource=True, name="rv")
p = tf.placeholder(tf.variant, [], name="p")
out = err(lambda: s.run(c, {rv.handle: 1.0})), err(lambda: s.run(c, {p: 1.0}))
""",
            (
                (
                    "TypeError",
                    "Tensor rv:0 of type resource cannot be fed: Python has no such values.",
                ),
                (
                    "TypeError",
                    "Tensor p:0 of type variant cannot be fed: Python has no such values.",
                ),
            ),
        ),
        (
            "an int of more than 64 bits, fed",
            "out = [kind(x, 2**100) for x in ('int8', 'int64', 'uint64', 'bool')]",
            ["TypeError"] * 4,
        ),
        (
            "an int fed to a quantized tensor",
            'out = through("qint8", 3, [])[0]',
            "ok",
        ),
        (
            "an array fed to an assignment of a resource variable",
            """
rv = tf.Variable(np.zeros(16, np.float32), use_resource=True)
p = tf.placeholder(tf.float32, [16])
s.run(rv.initializer)
raw = np.zeros(1000, np.uint8)
value = raw[-raw.ctypes.data % 64:][:64].view(np.float32)
value[:] = 1
s.run(rv.assign(p), {p: value})
value[:] = 2
out = s.run(rv)[0]
""",
            np.float32(1),
        ),
    ],
}


@pytest.mark.rows("value", {"2.4": VALUES})
def test_a_value_has_the_same_outcome_for_each_type(value, assert_same):
    assert_same(PRELUDE, f"out = {{x: through(x, {value}) for x in TYPES}}")


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
