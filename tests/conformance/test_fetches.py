"""Fetches: order of work, leaves, structures, what may be fetched; line by line."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import collections, dataclasses, enum, types

a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
k0 = tf.constant(3.0, name="k0")
n = tf.no_op(name="n")
s = tf.Session()


def flags(x):
    return x.flags.c_contiguous, x.flags.writeable, x.flags.aligned
"""

PROGRAMS = {
    "2.1": {
        "a bad feed wins over a bad fetch": """
out = {
    "unknown fetch, unknown feed": err(lambda: s.run("zz", {"yy:0": 1})),
    "wrong fetch, wrong shape": err(lambda: s.run(3, {a: [1, 2]})),
    "None, wrong key": err(lambda: s.run(None, {3: 4})),
    "wrong fetch alone": err(lambda: s.run("zz", {a: 1})),
}
""",
        "feeds are looked at in their order": """
out = {
    "shape first": err(lambda: s.run(c, {a: [1], "zz:0": 1})),
    "name first": err(lambda: s.run(c, {"zz:0": 1, a: [1]})),
    "tuple last": err(lambda: s.run(c, {a: [1], (b,): (1, 2)})),
    "tensor as value first": err(lambda: s.run(c, {a: k0, b: [1]})),
}
""",
        "options come before all": """
t = tf.Session()
t.close()
out = {
    "closed": err(lambda: t.run(k, options={"x": 1})),
    "bad feed": err(lambda: s.run(k, {3: 4}, options={"x": 1})),
    "anything that serialises": s.run(k0, options=tf.GraphDef()),
    "false": [s.run(k0, options=x) for x in (None, {}, 0, "")],
    "number": err(lambda: s.run(k0, options=3)),
}
""",
        "closed comes before empty": """
t = tf.Session(graph=tf.Graph())
out = [err(lambda: t.run(3, {3: 4}))]
t.close()
out += [err(lambda: t.run(3, {3: 4}))]
""",
        "nothing left to run": """
with tf.device("/job:nowhere"):
    bad = tf.constant(1.0, name="bad")
out = {
    "all fed": s.run([a, (b,)], {a: 1, b: 2}),
    "empty": s.run([[], {}]),
    "the bad one, fed": s.run(bad, {bad: 2.0}),
    "not all fed": err(lambda: s.run([a, k], {a: 1}))[0],
}
""",
        "errors before the step have no effect": """
v = tf.Variable(1.0)
up = tf.assign_add(v, 1.0)
s.run(v.initializer)
for call in (
    lambda: s.run([up, None]),
    lambda: s.run([up, "zz"]),
    lambda: s.run(up, {3: 4}),
    lambda: s.run(up, {a: [1, 2]}),
    lambda: s.run([up, k], {k: "x"}),
    lambda: s.run(up, options={"x": 1}),
):
    assert err(call)[0] != "ok"
out = s.run(v)
""",
        "a failing step is not undone": """
v = tf.Variable(1.0)
with tf.control_dependencies([tf.assign_add(v, 1.0)]):
    fails = tf.check_numerics(tf.constant(float("nan")), "no")
s.run(v.initializer)
out = err(lambda: s.run(fails))[0], s.run(v), err(lambda: s.run(fails))[0], s.run(v)
""",
        "a structure that cannot be made again": """
v = tf.Variable(1.0)
up = tf.assign_add(v, 1.0)
s.run(v.initializer)
T = type("T", (tuple,), {"__new__": lambda cls, *x: tuple.__new__(cls, x) if len(x) < 2 else 1 / 0})
fetch = tuple.__new__(T, (up, up))
out = err(lambda: s.run(fetch))[0], s.run(v)
""",
        "run_metadata is read at the end": """
m = tf.RunMetadata()
m.cost_graph.node.add(name="old")
failed = err(lambda: s.run(c, {a: 1.0}, run_metadata=m))[0]
out = [failed, len(m.cost_graph.node)]
s.run(k, run_metadata=m)
out += [len(m.cost_graph.node), err(lambda: s.run(k, run_metadata=3))]
""",
        "what run is called with": """
m = tf.RunMetadata()
out = {
    "by place": [s.run(k0, None, None, m), s.run(k0, {}, tf.RunOptions(), m)],
    "by name": s.run(fetches=k0, feed_dict={}, options=None, run_metadata=None),
    "too few": err(lambda: s.run())[0],
    "too many": err(lambda: s.run(k0, {}, None, None, 3))[0],
    "unknown": err(lambda: s.run(k0, zz=3))[0],
    "another message": err(lambda: s.run(k0, run_metadata=tf.RunOptions()))[0],
    "a text": err(lambda: s.run(k0, run_metadata="x"))[0],
}
""",
        "handles are moved before the step": """
t = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
with tf.device("/cpu:1"):
    h = tf.get_session_handle(k0)
r = t.run(h)
out = t.run(c, {a: r, b: 2.0}), t.run(a, {a: r}), err(lambda: t.run("zz", {a: r}))
""",
    },
    "2.2": {
        "arrays": """
t = tf.constant(np.arange(6, dtype=np.float32).reshape(2, 3))
x, y, z = s.run([t, tf.transpose(t), tf.strided_slice(t, [0, 0], [2, 3], [1, 2])])
out = {
    "constant": (x, flags(x)),
    "transposed": (y, flags(y)),
    "strided": (z, flags(z)),
    "empty": s.run(tf.zeros([0, 3])),
    "one element": s.run(tf.zeros([1])),
}
""",
        "arrays are private": """
v = tf.Variable([1.0, 2.0])
rv = tf.Variable([1.0, 2.0], use_resource=True)
s.run([v.initializer, rv.initializer])
same = tf.identity(v)
def spoiled(fetch, feed=None):
    s.run(fetch, feed)[...] = 99.0
    return s.run(fetch, feed)
p = tf.placeholder(tf.float32, [2])
value = np.array([1.0, 2.0], np.float32)
got = s.run(tf.identity(p), {p: value})
got[...] = 7.0
first, second = s.run([same, tf.identity(same)])
first[...] = 5.0
out = {
    "constant": spoiled(k),
    "reference variable": spoiled(v),
    "resource variable": spoiled(rv),
    "feed": value,
    "another fetch": second,
    "kept while the variable changes": (lambda old: [s.run(v.assign([8.0, 9.0])), old])(s.run(v)),
}
""",
        "scalars": """
types_ = ["float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
          "uint16", "uint32", "uint64", "bool", "complex64", "complex128"]
out = {
    name: [type(x).__module__, type(x).__name__, x, isinstance(x, np.ndarray)]
    for name, x in ((name, s.run(tf.constant(1, name))) for name in types_)
}
""",
        "strings": """
out = {
    "scalar": s.run(tf.constant("é")),
    "vector": s.run(tf.constant(["a", "", "é"])),
    "nothing": s.run(tf.constant([], tf.string)),
    "matrix": s.run(tf.constant([[b"a\\0"], [b"\\xff"]])),
    "empty text": s.run(tf.constant("")),
}
""",
        "operations and names": """
out = {
    "operation": s.run(n),
    "operation with outputs": s.run(k.op),
    "name of one": [s.run(x) for x in ("n", b"k", np.str_("k0"))],
    "name of a tensor": [s.run(x) for x in ("k0:0", b"k0:0", np.str_("k0:0"), "k0:-1")],
    "np.bytes_": err(lambda: s.run(np.bytes_(b"k0:0"))),
    "too negative": err(lambda: s.run("k0:-2")),
    "big": err(lambda: s.run("k0:99999999999")),
    "signs": [err(lambda: s.run(x)) for x in ("/k0", "^k0", "k0:", ":0", "k0:+0", "k0: 0", " k0")],
}
""",
        "names that are none": """
out = {
    x: err(lambda: s.run(x))
    for x in ("zz", "zz:0", "k0:1", "n:0", "f:x", "f:0:0", "", ":", "k0:0:0", "k0:1.0", "zz:zz")
}
""",
        "several outputs": """
u, i = tf.unique([3, 3, 5])
out = s.run([u, i, u.op, u.op.name + ":1", u.op.name + ":-1"]), err(lambda: s.run(u.op.name + ":2"))
""",
        "variables": """
v = tf.Variable([1.0], name="v")
rv = tf.Variable([2.0], name="rv", use_resource=True)
s.run(tf.global_variables_initializer())
h = s.run("rv:0")
out = {
    "reference": s.run(v),
    "resource": s.run(rv),
    "by name": s.run("v:0"),
    "handle": (type(h).__name__, str(h.dtype), h.ndim),
    "handle itself": str(s.run(rv.handle).dtype),
    "read value": s.run([v.read_value(), rv.read_value(), v.value(), rv.value()]),
    "op of each": s.run([v.op, rv.op, v.initializer, rv.initializer]),
    "both": s.run({"v": v, "rv": (rv, [v])}),
    "key": s.run({v: v})[v],
}
""",
        "what assignments give": """
v = tf.Variable(1.0)
rv = tf.Variable(2.0, use_resource=True)
s.run(tf.global_variables_initializer())
def kinds(x):
    return type(x).__name__, s.run(x)
out = {
    "v.assign": kinds(v.assign(5.0)),
    "v.assign_add": kinds(v.assign_add(1.0)),
    "v.assign_sub, read_value=False": s.run(v.assign_sub(1.0, read_value=False)),
    "tf.assign": kinds(tf.assign(v, 7.0)),
    "rv.assign": s.run(rv.assign(5.0)),
    "rv.assign_add": s.run(rv.assign_add(1.0)),
    "rv.assign, read_value=False": s.run(rv.assign(3.0, read_value=False)),
    "tf.assign_add of rv": s.run(tf.assign_add(rv, 1.0)),
    "values": s.run([v, rv]),
}
""",
        "slices": """
i = tf.constant([1, 0])
x = s.run(tf.IndexedSlices(k, i))
y = s.run(tf.IndexedSlices(k, i, tf.constant([4, 2])))
out = {
    "without shape": (type(x).__name__, x._fields, tuple(x)),
    "with shape": tuple(y),
    "nested": s.run({"x": [tf.IndexedSlices(k, i), n]}),
}
""",
        "objects with _as_graph_element": """
class Has:
    def __init__(self, element):
        self._as_graph_element = lambda: element
class HasNot:
    _as_graph_element = 3
out = {
    "tensor": s.run(Has(k0)),
    "operation": s.run(Has(n)),
    "name": err(lambda: s.run(Has("k0:0"))),
    "nothing": err(lambda: s.run(Has(None)))[0],
    "no function": err(lambda: s.run(HasNot()))[0],
    "nested": s.run([Has(k0), {"x": Has(k0)}]),
}
""",
        "what cannot be fetched": """
class Plain:
    def __repr__(self):
        return "Plain()"
@dataclasses.dataclass
class Data:
    x: object
class Color(enum.Enum):
    RED = 1
out = {
    repr(x): err(lambda: s.run(x))
    for x in (
        3, 2.5, True, 1j, tf.float32, int, Plain(), Plain, Color.RED, {1, 2}, frozenset([1]),
        np.float32(1), np.zeros(2), b"zz", ..., len, slice(1), range(2), tf.TensorShape([1]),
    )
}
out["dataclass"] = err(lambda: s.run(Data(3)))[0]
out["generator"] = err(lambda: s.run(x for x in [k0]))
out["map"] = err(lambda: s.run(map(str, [])))
out["view"] = err(lambda: s.run({"a": k0}.values()))
out["keys"] = err(lambda: s.run({"k0": 1}.keys()))
out["iterator"] = err(lambda: s.run(iter([k0])))
out["deque"] = err(lambda: s.run(collections.deque([3])))
""",
        "None at any depth": """
out = [err(lambda: s.run(x)) for x in (None, [None], {"a": (None,)}, [k0, [n, None]], (None, 3))]
""",
        "quantized types": """
out = [s.run(tf.bitcast(tf.constant([1, 2], "uint8"), t)) for t in ("quint8", "qint8")]
""",
        "the same again": """
x, y, (z,) = s.run([k, "k:0", (k,)])
out = x is y, x is z, s.run([k, k])[0] is s.run([k, k])[0]
""",
        "objects of a session": """
q = tf.FIFOQueue(3, tf.float32, [[]])
h = s.run(q.queue_ref)
out = {"queue_ref": (type(h).__name__, str(h.dtype), h.ndim)}
for x in (q, [q], {"x": q}, tf.get_default_graph(), s, tf.Session, tf.ConfigProto(),
          tf.Dimension(3), np.int64(3), NotImplemented, [tf.float32]):
    out[repr(type(x))] = err(lambda: s.run(x)), err(lambda: s.make_callable(x))
""",
        "variables in every form": """
v, w = tf.get_variable("v", [2]), tf.get_variable("w", [2], use_resource=True)
s.run(tf.global_variables_initializer())
forms = (v, w, v.op, w.op, v.initializer, w.initializer, "v", "w", "v:0", v.name, v.value(),
         w.value(), v.initial_value, w.initial_value)
out = [type(s.run(x)).__name__ for x in forms]
""",
        "the same again, at any depth": """
v = tf.Variable([1.0])
s.run(v.initializer)
x, (y, z, (w,)) = s.run({"x": k, "y": [k, "k:0", (k,)]}).values()
p, q, r = s.run([v, v.value(), "Variable:0"])
out = x is y, y is z, z is w, p is r, p is q, s.run((v, v))[0] is s.run(v)
""",
    },
    "2.3": {
        "lists": """
L = type("L", (list,), {})
out = {
    "list": s.run([k0]),
    "subclass": (type(s.run(L([k0]))).__name__, s.run(L([k0, n]))),
    "UserList": err(lambda: s.run(collections.UserList([3])))[0],
    "deep": s.run([[[[[[[[k0]]]]]]]]),
    "long": len(s.run([k0] * 1000)),
}
""",
        "tuples": """
P = collections.namedtuple("P", "x y")
Q = collections.namedtuple("Q", "class_ x", defaults=[3])
T = type("T", (tuple,), {})
class N(collections.namedtuple("N", "x")):
    def __repr__(self):
        return f"N({self.x})"
out = {
    "tuple": s.run((k0, n)),
    "namedtuple": (type(s.run(P(k0, n))).__name__, s.run(P(k0, [n]))),
    "nested": s.run(P(P(k0, k0), (P(n, n),))),
    "with defaults": err(lambda: s.run(Q(k0))),
    "subclass of a namedtuple": type(s.run(N(k0))).__name__,
    "subclass": err(lambda: s.run(T([k0]))),
    "subclass of two": err(lambda: s.run(T([k0, k0]))),
    "empty": [s.run(()), err(lambda: s.run(T()))],
}
""",
        "mappings": """
D = type("D", (dict,), {})
class M(collections.abc.Mapping):
    def __init__(self, pairs):
        self._d = dict(pairs)
    def __getitem__(self, key):
        return self._d[key]
    def __iter__(self):
        return iter(self._d)
    def __len__(self):
        return len(self._d)
    def __repr__(self):
        return f"M({self._d})"
class Bad(dict):
    def __init__(self, x, y):
        super().__init__(x=y)
def kind(x):
    found = s.run(x)
    return type(found).__name__, list(found), list(found.values())
out = {
    "dict": kind({"z": k0, "a": n}),
    "OrderedDict": kind(collections.OrderedDict([("z", k0), ("a", n)])),
    "defaultdict": kind(collections.defaultdict(list, x=k0)),
    "subclass": kind(D(x=k0)),
    "Counter": err(lambda: kind(collections.Counter({"x": k0}))),
    "UserDict": err(lambda: kind(collections.UserDict({"x": k0}))),
    "Mapping": err(lambda: kind(M([("z", k0), ("a", n)]))),
    "MappingProxyType": err(lambda: kind(types.MappingProxyType({"x": k0}))),
    "ChainMap": err(lambda: kind(collections.ChainMap({"x": k0})))[0],
    "other constructor": err(lambda: kind(Bad(1, k0)))[0],
    "keys": [s.run({1: k0, None: n, (2, 3): k0}), s.run({k0: k0})[k0]],
    "factory": s.run(collections.defaultdict(list, x=k0))["new"],
}
""",
        "empty structures": """
out = [s.run(x) for x in ([], (), {}, [[]], {"a": {}}, ([], {}), collections.OrderedDict())]
""",
        "lists in a wrapper": """
import wrapt
found = s.run(wrapt.ObjectProxy([k0, n]))
out = type(found).__name__, found
""",
        "all at once": """
P = collections.namedtuple("P", "x y")
out = s.run([{"a": (k0, P(n, [k]))}, "k0", ("k0:0", [], {"b": k0}), k0])
""",
        "one op for many": """
v = tf.Variable(0.0)
up = tf.assign_add(v, 1.0)
s.run(v.initializer)
out = s.run([up, [up, {"x": up}], up.op]), s.run(v)
""",
        "a class of namedtuples of one's own": """
P = collections.namedtuple("P", "x y")
class Q(P):
    __slots__ = ()
    def __new__(cls, x, y=3):
        return P.__new__(cls, x, y)
out = [type(s.run(Q(k0, n))).__name__, s.run(Q(k0, k0)).x, err(lambda: s.run(Q(k0)))]
""",
    },
    "2.5": {
        "prevent_fetching": """
def start(f):
    kind, text = err(f)
    return kind, text[:46]
g = tf.get_default_graph()
before = s.run(k0)
g.prevent_fetching(k0.op)
out = {
    "is_fetchable": [g.is_fetchable(x) for x in (k0, k0.op, k, n)],
    "tensor": start(lambda: s.run(k0)),
    "operation": start(lambda: s.run(k0.op)),
    "name": [err(lambda: s.run(x))[0] for x in ("k0", "k0:0")],
    "nested": err(lambda: s.run([k, {"x": k0}]))[0],
    "callable": err(lambda: s.make_callable(k0))[0],
    "not in tf.errors": hasattr(tf.errors, "InaccessibleTensorError"),
    "its consumers": s.run(k0 + 1.0),
    "fed": err(lambda: s.run(k0, {k0: 1.0}))[0],
}
try:
    s.run(k0)
except ValueError as error:
    out["caught"] = [x.__name__ for x in type(error).__mro__]
""",
        "prevent_feeding": """
g = tf.get_default_graph()
g.prevent_feeding(k0)
out = {
    "is_feedable": [g.is_feedable(x) for x in (k0, k, a)],
    "fed": err(lambda: s.run(k0, {k0: 1.0})),
    "shape first": err(lambda: s.run(k0, {k0: [1.0]})),
    "type first": err(lambda: s.run(k0, {k0: "x"})),
    "fetch": s.run(k0),
    "callable": err(lambda: s.make_callable(k0 + 1.0, [k0])(2.0)),
}
""",
        "every op of a graph can be fetched and fed": """
v = tf.Variable(1.0)
g = tf.get_default_graph()
out = [(op.name, g.is_fetchable(op), [g.is_feedable(t) for t in op.outputs])
       for op in g.get_operations()]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
