"""Fetches and feeds: the same call under real TensorFlow and under tfsession, outcomes compared."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import collections, decimal, fractions, types

a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
p23 = tf.placeholder(tf.float32, [2, 3], name="p23")
i = tf.placeholder(tf.int32, [], name="i")
s = tf.placeholder(tf.string, name="s")
u = tf.placeholder(tf.uint8, name="u")
bo = tf.placeholder(tf.bool, name="bo")
h = tf.placeholder(tf.float16, name="h")
f = tf.placeholder(tf.float32, name="f")
iv = tf.placeholder(tf.int32, [None], name="iv")
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
k0 = tf.constant(3.0, name="k0")
ks = tf.constant(b"x", name="ks")
oi = tf.identity(i)
ou = tf.identity(u)
os_ = tf.identity(s)
ob = tf.identity(bo)
oh = tf.identity(h)
of = tf.identity(f)
oiv = tf.identity(iv)
n = tf.no_op(name="n")
bf = tf.placeholder(tf.bfloat16, name="bf")
obf = tf.identity(bf)
cx = tf.placeholder(tf.complex64, name="cx")
ocx = tf.identity(cx)
i64 = tf.placeholder(tf.int64, name="i64")
oi64 = tf.identity(i64)
sess = tf.Session()
r = sess.run


class ArrayLike:
    def __array__(self, dtype=None, copy=None):
        return np.array([3, 4])
"""

# Expressions; `r` is the run method of a session.
CALLS = {
    "2.1": [
        'r("zz", {a: "x"})',
        'r(c, {a: 1.0, b: 2.0}, options={"x": 1})',
        "r(c, {a: 1.0, b: 2.0}, options={})",
        "r(c, {a: 1.0, b: 2.0}, options=tf.RunOptions())",
        "r(c, {a: 1.0, b: 2.0}, options=tf.ConfigProto())",
        "r(c, {a: 1.0, b: 2.0}, run_metadata=tf.RunMetadata())",
        "r(c, {a: 1.0, b: 2.0}, run_metadata=3)",
        "r(c, {a: 1.0, b: 2.0}, run_metadata=0)",
    ],
    "2.2": [
        "r(c, {a: 1.0, b: 2})",
        'r([c, "c", "c:0", n, "n"], {a: 1, b: 2})',
        "r(k)",
        "r(k0)",
        "r(ks)",
        'r("k:-1")',
        'r(b"k:0")',
        'r(np.str_("k:0"))',
        'r("/k:0")',
        'r("^k")',
        'r("zz")',
        'r("zz:0")',
        'r("k:1")',
        'r("k:x")',
        'r("k:0:0")',
        'r("")',
        "r(None)",
        "r([None])",
        "r(3)",
        "r(3.5)",
        "r(np.zeros(2))",
        "r({1, 2})",
        "r(tf.float32)",
        "r(int)",
        "r((x for x in [k]))",
        'r({"a": k}.values())',
        "r(tf.IndexedSlices(k, iv, None), {iv: [1, 2]})",
        "type(r(tf.IndexedSlices(k, iv, None), {iv: [1, 2]})).__name__",
        "r(tf.IndexedSlices(k, [0, 1], tf.constant([4, 2])))",
        "r(n)",
        "r([x for x in [k.op, k]])",
        "r(k.op)",
        "r(k).flags.writeable, r(k).flags.owndata",
        "r(tf.reshape(k, [4])).flags.owndata",
    ],
    "2.3": [
        "r([])",
        "r({})",
        "r(())",
        "r([[], {}, ()])",
        'r((k0, [k0, {"x": k0, "y": (k0,)}]))',
        'r(collections.namedtuple("P", "x y")(k0, [k0]))',
        'r(collections.OrderedDict([("b", k0), ("a", n)]))',
        "type(r(collections.defaultdict(list, x=k0))).__name__",
        "r(collections.defaultdict(list, x=k0)).default_factory",
        'r(types.MappingProxyType({"x": k0}))',
        'r(type("L", (list,), {})([k0]))',
        'type(r(type("L", (list,), {})([k0])))',
        'r(type("T", (tuple,), {})([k0]))',
        'type(r(type("D", (dict,), {})(x=k0))).__name__',
        "[x is y for x, y in [r([k, k])]]",
    ],
    "2.4": [
        "r(k0, 0)",
        "r(c, 5)",
        "r(c, [1])",
        "r(k0, {})",
        'r(k0, "abc")',
        "r(c, {a: 1.0})",
        'r(c, {"a:0": 1.0, b"b:0": 2.0})',
        'r(c, {"a": 1.0, b: 2.0})',
        "r(c, {c.op: 1.0})",
        "r(c, {3: 1.0})",
        "r(c, {None: 1.0})",
        'r(c, {"zz:0": 1.0})',
        'r(c, {"zz": 1.0})',
        'r(c, {"a:1": 1.0})',
        'r(c, {"a:x": 1.0})',
        "r(c, {(a, b): (1.0, 2.0)})",
        "r(c, {(a, b): [1.0, 2.0]})",
        "r(c, {(a, (b,)): [1.0, [2.0]]})",
        "r(c, {(a, (b,)): [1.0, 2.0]})",
        "r(c, {(a, b): np.array([1.0, 2.0])})",
        "r(c, {(a, b): (1.0,)})",
        "r(c, {(a, b): (1.0, 2.0, 3.0)})",
        "r(c, {(a, b): (1.0, 2.0), a: 3.0})",
        "r(c, {(a, a): (1.0, 2.0), b: 3.0})",
        'r(c, {a: 1.0, "a:0": 5.0, b: 2.0})',
        'r(c, {"a:0": 5.0, a: 1.0, b: 2.0})',
        "r(c, {a: k0, b: 1.0})",
        "r(c, {a: [k0], b: 1.0})",
        "r(oiv, {iv: [1, k0]})",
        "r(oi, {i: 2**31})",
        "r(oi, {i: -(2**31) - 1})",
        "r(oi, {i: 2**31 - 1})",
        "r(oi, {i: np.int64(2**31)})",
        "r(oiv, {iv: [2**31]})",
        "r(ou, {u: -1})",
        "r(ou, {u: 256})",
        "r(ou, {u: [256]})",
        "r(ou, {u: np.int64(256)})",
        "r(ob, {bo: 2})",
        "r(ob, {bo: 1})",
        "r(ob, {bo: True})",
        "r(ob, {bo: object()})",
        'r(ob, {bo: "x"})',
        'r(ob, {bo: ""})',
        "r(os_, {s: 1})",
        "r(os_, {s: True})",
        "r(os_, {s: 1.5})",
        "r(os_, {s: None})",
        "r(os_, {s: [1]})",
        'r(os_, {s: "é"})',
        'r(os_, {s: b"a\\0b\\0"})',
        'r(os_, {s: np.array([b"a\\0", b"bc"])})',
        'r(os_, {s: np.array(["é", "z"])})',
        'r(os_, {s: ["a", b"b"]})',
        'r(os_, {s: [["a"], ["b"]]})',
        'r(os_, {s: "\\ud800"})',
        'r(os_, {s: bytearray(b"ab")})',
        'r(os_, {s: np.str_("q")})',
        'r(os_, {s: np.bytes_(b"q")})',
        "r(of, {f: 2**24 + 1})",
        "r(of, {f: 10**400})",
        "r(of, {f: [10**400]})",
        "r(of, {f: 1e300})",
        "r(oh, {h: 70000})",
        "r(oh, {h: 70000.0})",
        "r(obf, {bf: 257})",
        "r(obf, {bf: 1.5})",
        "r(obf, {bf: np.float32(1.5)})",
        "r(oi, {i: 1.7})",
        'r(oi, {i: float("nan")})',
        'r(oi, {i: float("inf")})',
        "r(oi, {i: True})",
        "r(oi, {i: None})",
        "r(of, {f: None})",
        "r(of, {f: [None, 1.0]})",
        "r(of, {f: 1 + 2j})",
        'r(of, {f: "1.5"})',
        'r(of, {f: b"1.5"})',
        'r(of, {f: "abc"})',
        'r(oi, {i: "7"})',
        'r(of, {f: decimal.Decimal("1.5")})',
        "r(of, {f: fractions.Fraction(3, 2)})",
        "r(of, {f: range(3)})",
        "r(of, {f: np.ma.array([1.0, 2.0], mask=[True, False])})",
        "r(of, {f: ArrayLike()})",
        "r(of, {f: (x for x in [1])})",
        "r(of, {f: {1}})",
        "r(of, {f: {}})",
        "r(of, {f: object()})",
        "r(of, {f: [[1], [1, 2]]})",
        'r(of, {f: np.array([1, 2], ">f4")})',
        'r(of, {f: np.array([1, 2], ">i8")})',
        "r(of, {f: np.asfortranarray(np.arange(6.0).reshape(2, 3))}).flags.c_contiguous",
        "r(of, {f: np.arange(6.0)[::2]})",
        "r(of, {f: 3})",
        "r(of, {f: True})",
        "r(of, {f: np.bool_(True)})",
        "r(ocx, {cx: 1})",
        "r(ocx, {cx: 1.5})",
        "r(ocx, {cx: 2j})",
        "r(oi64, {i64: 2**63})",
        "r(oi64, {i64: 2**62})",
        'r(oi64, {i64: type("I", (int,), {})(5)})',
        'r(oi, {i: type("I", (int,), {})(2**40)})',
        "r(p23, {p23: np.zeros((3, 2))})",
        "r(c, {a: [1.0], b: 2.0})",
        "r(oiv, {iv: 3})",
        "r(oiv, {iv: [[3]]})",
        "r(k + 1.0, {k: [[1.0]]})",
        "r(k + 1.0, {k: [[1.0, 1.0], [5.0, 5.0]]})",
        "r(a, {a: 1.0})",
        "r([a], {a: 1.0})[0].shape",
        "type(r(a, {a: 1.0})), r(a, {a: 1.0}).dtype",
        "(lambda z: r(f, {f: z}) is z)(np.zeros(2, np.float32))",
        "(lambda z: np.shares_memory(r(of, {f: z}), z))(np.zeros(2, np.float32))",
        'r(s, {s: "x"})',
        'r(s, {s: np.array([b"x"])})',
        'r(s, {s: ["x", b"y"]})',
        "r([a, c], {a: 1.0, b: 3.0})",
        "r(a)",
        "r(p23)",
        "r(f)",
        "r(iv)",
        "r(n, {a: 1.0})",
        "r(c, {a: 1.0, b: 2.0, i: 7})",
        "r(c, {a: 1.0, b: 2.0, i: 2**40})",
        "r(c, {a: np.zeros((0,)), b: 1.0})",
    ],
}

# Programs that leave what is compared in `out`.
PROGRAMS = {
    "2.2": {
        "variables": """
v = tf.Variable(3.0, name="v")
rv = tf.Variable(4.0, name="rv", use_resource=True)
s = tf.Session()
s.run(tf.global_variables_initializer())
out = [
    s.run(v),
    s.run(rv),
    s.run([v, rv]),
    s.run({v: v}),
    s.run(v.assign(5.0)),
    s.run(rv.assign(6.0)),
    s.run(v + 1.0, {v: 10.0}),
    s.run(rv + 1.0, {rv: 10.0}),
    s.run(v, {v: 10.0}),
    s.run("v:0"),
    s.run("rv:0").dtype,
    s.run(rv.handle).dtype,
    s.run(v.assign_add(1.0)),
    s.run(rv.assign_add(1.0, read_value=False)),
    s.run(v.initializer),
]
""",
    },
    "2.3": {
        "namedtuples with names of builtins": """
s = tf.Session()
z = tf.constant(5.0)
out = (
    s.run(collections.namedtuple("list2", "x")(z)),
    s.run([(z, z)]),
    s.run([collections.namedtuple("L", "x y")(z, z)]),
    s.run([(z, z)]),
)
""",
    },
    "2.4": {
        "errors of variables": """
v = tf.Variable(3.0, name="v")
rv = tf.Variable(4.0, name="rv", use_resource=True)
s = tf.Session()
out = [
    err(lambda: s.run(v)),
    err(lambda: s.run(rv)),
    err(lambda: s.run(k + 1, {v: "x"})),
    err(lambda: s.run(c, {a: v, b: 1})),
    err(lambda: s.run(v.assign_add(1.0), {v: 10.0})),
]
""",
        "fed slices": """
s = tf.Session()
iv = tf.placeholder(tf.int32, [None], name="iv")
x = tf.IndexedSlices(k, iv, None)
out = [
    err(lambda: s.run(tf.identity(iv), {x: ([[1.0, 2.0], [3.0, 4.0]], [5, 6])})),
    err(lambda: s.run(tf.identity(iv), {x: 3})),
    err(lambda: s.run(tf.identity(iv), {x: (1,)})),
    err(lambda: s.run(tf.identity(iv), {x: tf.IndexedSlices(1, 2)})),
    err(lambda: s.run(x, {x: ([[1.0, 2.0], [3.0, 4.0]], [5, 6])})),
]
""",
        "mappings and tuples as feeds": """
s = tf.Session()
d = {}
d[a] = 1.0
import types

out = [
    err(lambda: s.run(c, types.MappingProxyType({a: 1.0, b: 2.0}))),
    err(lambda: s.run(c, collections.OrderedDict([(a, 1.0), (b, 2.0)]))),
    err(lambda: s.run(c, {type("N", (tuple,), {})((a, b)): (1.0, 2.0)})),
    err(lambda: s.run(c, {collections.namedtuple("Q", "x y")(a, b): (1.0, 2.0)})),
    err(
        lambda: s.run(
            c, {collections.namedtuple("Q", "x y")(a, b): {"x": 1.0, "y": 2.0}}
        )
    ),
]
""",
    },
}


@pytest.mark.rows("call", CALLS)
def test_a_call_has_the_same_outcome(call, assert_same):
    assert_same(PRELUDE, f"out = {call}")


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
