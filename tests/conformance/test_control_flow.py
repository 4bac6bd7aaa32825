"""Control flow: the same program under real TensorFlow and under tfsession, outcomes compared."""

import pytest

pytestmark = pytest.mark.oracle

# Endless loops have no place here: a timeout may hang real TensorFlow's process.
PRELUDE = """
import collections
from google.protobuf import text_format

g = tf.get_default_graph()
x = tf.placeholder(tf.float32, [2], name="x")
y = tf.placeholder(tf.float32, [2], name="y")
p = tf.placeholder(tf.bool, [], name="p")
q = tf.placeholder(tf.bool, [], name="q")
n = tf.placeholder(tf.int32, [], name="n")
v = tf.Variable(1.0, name="v")
u = tf.get_variable("u", initializer=2.0, use_resource=True)
s = tf.Session()
s.run(tf.global_variables_initializer())
BASE = {x: [1.0, -2.0], y: [3.0, 4.0], p: True, q: True, n: 3}


def err(f):
    try:
        return "ok", f()
    except BaseException as e:
        lines = (getattr(e, "message", None) or str(e)).split("\\n")
        node = [i for i, line in enumerate(lines) if line.startswith("Node: ")]
        return type(e).__name__, lines[node[-1]:] if node else lines


def r(fetches, **feeds):
    return s.run(fetches, {**BASE, **{globals()[k]: value for k, value in feeds.items()}})


def both(fetches):
    '''What it is for each value of p and q.'''
    return [err(lambda: r(fetches, p=a, q=b)) for a in (False, True) for b in (False, True)]


def raw(op, *inputs, name=None, **attrs):
    '''A node as a GraphDef has it.'''
    T = inputs[0].dtype.base_dtype.as_datatype_enum
    names = "".join(f'input: "in{i}:0" ' for i in range(len(inputs)))
    text = "".join(f'attr {{ key: "{k}" value {{ {t} }} }} ' for k, t in attrs.items())
    kind = "" if op == "LoopCond" else f'attr {{ key: "T" value {{ type: {T} }} }}'
    text = f'node {{ name: "{name or op}" op: "{op}" {names} {kind} {text} }}'
    definition = text_format.Parse(text, tf.GraphDef())
    for i, t in enumerate(inputs):
        k = definition.node.add(name=f"in{i}", op="Placeholder")
        k.attr["dtype"].type = t.dtype.base_dtype.as_datatype_enum
    mapped = {f"in{i}:0": t for i, t in enumerate(inputs)}
    found = tf.import_graph_def(definition, mapped, [name or op], name="")[0]
    return found.outputs[0] if len(found.outputs) == 1 else list(found.outputs)


def merge(*inputs, name="Merge"):
    return raw("Merge", *inputs, name=name, N=f"i: {len(inputs)}")


def enter(t, frame="f", constant=False, name="Enter"):
    return raw("Enter", t, name=name, frame_name=f's: "{frame}"',
               is_constant=f"b: {str(constant).lower()}")


def nodes():
    return [(k.name, k.op, list(k.input), k.device,
             [(a, str(k.attr[a])) for a in sorted(k.attr) if a in KEPT])
            for k in g.as_graph_def().node]


KEPT = ("_class", "frame_name", "is_constant", "parallel_iterations", "N", "T", "summarize")


def built():
    '''The graph, and what may be fed and fetched.'''
    return nodes(), [
        (o.name, [str(t.shape) for t in o.outputs], g.is_fetchable(o),
         [g.is_feedable(t) for t in o.outputs])
        for o in g.get_operations()
    ], {k: len(g.get_collection(k)) for k in sorted(g.get_all_collection_keys())}
"""

PROGRAMS = {
    "11.1": {
        "both ways of a Switch": """
sw = raw("Switch", x, p)
out = [both(sw[0]), both(sw[1]), both([y, sw[1]]), both([sw[1], sw[0]]), both([sw[0] + 1.0])]
""",
        "a dead target is skipped": """
sw = raw("Switch", x, p)
t = tf.negative(sw[1])
with tf.control_dependencies([t]):
    a = tf.assign_add(v, 10.0)
    b = tf.group(tf.assign_add(v, 100.0))
out = [both([t.op, y]), r(v), both(a.op), r(v), both(b), r(v), both(a)]
""",
        "controls of dead operations": """
sw = raw("Switch", x, p)
with tf.control_dependencies([tf.identity(sw[0])]):
    c = tf.constant(3.0)
    k = y * 2.0
    m = merge(tf.identity(y), y, name="m")[0]
out = [both(c), both(k), both(k + c), both(m)]
""",
        "no scalar": """
w = tf.placeholder(tf.bool, name="w")
sw = raw("Switch", x, w)
out = [err(lambda: s.run(sw[1], {x: [1, 2], w: b})) for b in ([True], [[True]], [], True)]
""",
        "merges": """
a = raw("Switch", x, p, name="a")
b = raw("Switch", y, q, name="b")
m = merge(a[1], b[1])
k = merge(a[0], a[1], name="k")
w = merge(tf.constant(1.0), tf.constant(2.0), name="w")
one = merge(a[1] * 2.0, name="one")
three = merge(b[0], a[0], y, name="three")
# With both inputs there, the first to come wins: either.
out = [both(m)[:3], both(m[1])[:3], both(k), both(m[0] + k[0])[:3], both(w), both(one),
       [str(z.shape) for z in (*m, *k, *one)],
       [z[1] for z in both(three[0]) if z[0] != "ok"]]
""",
        "a merge of merges": """
a = raw("Switch", x, p, name="a")
b = raw("Switch", a[1], q, name="b")
c = raw("Switch", a[0], q, name="c")
m = [merge(b[0], b[1] * 2.0, name="m1")[0], merge(c[0] * 3.0, c[1] * 4.0, name="m2")[0]]
k = merge(*m, name="m3")
out = [both(k), both(m[0]), both([k[1], k[0]]), both(merge(b[0], c[1], name="m4"))]
""",
        "one predicate of many switches": """
sws = [raw("Switch", t, p, name=f"w{i}") for i, t in enumerate((x, y, v, p, n))]
out = [both([w[i] for w in sws]) for i in (0, 1)]
""",
        "a predicate out of a branch": """
a = raw("Switch", p, q, name="a")
z = raw("Switch", x, tf.logical_not(a[1]), name="z")
out = [both(z[0]), both(z[1]), both(merge(z[1], z[0] * 10.0)[0])]
""",
        "frames": """
e = enter(x)
k = enter(y, constant=True, name="k")
one = raw("Exit", e, name="one")
two = raw("Exit", e * k, name="two")
deep = enter(e + k, "inner", name="deep")
back = raw("Exit", raw("Exit", deep * deep, name="b1"), name="b2")
out = [r(one), r(two), r([one, two]), r(back), r([back, two]), nodes()[-10:]]
""",
        "mixed frames": """
e = enter(x)
out = [err(lambda: r(raw("Exit", tf.add(e, y, name="bad"), name="x1")))]
""",
        "two frames": """
a, b = enter(x, "f1", name="a"), enter(x, "f2", name="b")
out = [err(lambda: r(raw("Exit", tf.add(a, b, name="bad"), name="x1")))]
""",
        "an Exit of no frame": """
out = [err(lambda: r(raw("Exit", x, name="x1"))),
       err(lambda: r(raw("Exit", tf.identity(y), name="x2")))]
""",
        "an Exit too many": """
one = raw("Exit", raw("Exit", enter(x), name="x1"), name="x2")
out = [err(lambda: r(one))]
""",
        "dead loops": """
sw = raw("Switch", x, p)
e = enter(sw[1])
k = enter(y, constant=True, name="k")
z = raw("Exit", e * k, name="z")
out = [both(z), both([z.op, y]), both(merge(z, sw[0])[0])]
""",
        "a loop by hand": """
rows = ("i Enter n0", "one Enter n1", "m Merge i next", "lim Less m one", "c LoopCond lim",
        "sw Switch m c", "add Add sw:1 sw:1", "next NextIteration add", "e Exit sw")
d = tf.GraphDef()
for name, op, *inputs in [*map(str.split, rows), ("n0", "Placeholder"), ("n1", "Placeholder")]:
    k = d.node.add(name=name, op=op, input=inputs)
    if op != "LoopCond":
        k.attr["dtype" if op == "Placeholder" else "T"].type = tf.int32.as_datatype_enum
    if op == "Enter":
        k.attr["frame_name"].s, k.attr["is_constant"].b = b"fr", name == "one"
    if op == "Merge":
        k.attr["N"].i = 2
# The default optimizers make a dead value of it.
off = tf.ConfigProto()
off.graph_options.rewrite_options.disable_meta_optimizer = True
s = tf.Session(config=off)
e, = tf.import_graph_def(d, {"n0": n, "n1": n * 10}, ["e:0"], name="L")
out = [r(e), r(e, n=1), r(e, n=7), r([e, e + 1])]
""",
    },
    "11.2": {
        "the graph of a cond": """
with tf.name_scope("sc"):
    a = tf.cond(p, lambda: tf.add(x, y, name="a") * 2.0, lambda: x, name="c")
b = tf.cond(p, lambda: [x, tf.constant(1)], lambda: [y + 1.0, tf.constant(2)])
c = tf.cond(p, lambda: tf.no_op(), lambda: tf.group(x))
out = built(), both([a, b, c])
""",
        "the graph of nested conds": """
a = tf.cond(p, lambda: tf.cond(q, lambda: x, lambda: y + v),
    lambda: tf.cond(q, lambda: x * y, lambda: u + x))
out = built(), both(a)
""",
        "the graph of a loop": """
i, a = tf.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a * x + 1.0),
    [tf.constant(0), tf.zeros([2])], name="w")
out = built(), r([i, a]), r([i, a], n=0), r(a, n=20)
""",
        "the graph of nested loops": """
a = tf.while_loop(lambda i: tf.cond(i < n, lambda: tf.constant(True), lambda: tf.constant(False)),
                  lambda i: tf.while_loop(lambda j: j < i + 2, lambda j: j + 1, [i],
    name="in"), [0], name="out")
out = built(), r(a), r(a, n=9)
""",
        "contexts": """
seen = []
def note(t):
    k = t.op._get_control_flow_context()
    seen.append((type(k).__name__, k.name, k.outer_context and k.outer_context.name))
    return t
tf.cond(p, lambda: note(x + 1.0), lambda: tf.cond(q, lambda: note(x * 2.0), lambda: x))
tf.while_loop(lambda i: note(i < 3), lambda i: note(tf.cond(p, lambda: note(i + 1),
    lambda: i + 2)), [0])
kept = [type(k).__name__ for k in g.get_collection("cond_context")]
out = seen, kept, g._get_control_flow_context()
""",
        "control dependencies in branches": """
with tf.control_dependencies([tf.assign_add(v, 1.0)]):
    a = tf.cond(p, lambda: x + 1.0, lambda: tf.constant([5.0, 6.0]))
def branch():
    with tf.control_dependencies([tf.assign_add(v, 10.0)]):
        return tf.identity(y)
b = tf.cond(p, branch, lambda: x)
out = built(), both(a), r(v), both(b), r(v)
""",
        "control dependencies in loops": """
with tf.control_dependencies([tf.assign_add(v, 1.0)]):
    a = tf.while_loop(lambda i: i < n, lambda i: i + 1, [0])
def body(i):
    with tf.control_dependencies([tf.assign_add(v, 10.0)]):
        return tf.identity(i + 1)
b = tf.while_loop(lambda i: i < n, body, [0])
out = built(), r(a), r(v), r(b), r(v)
""",
        "devices and colocation": """
with tf.device("/cpu:0"):
    a = tf.cond(p, lambda: x + 1.0, lambda: y)
def body(i, t):
    with tf.device("/device:CPU:0"):
        return i + 1, t * 2.0
b = tf.while_loop(lambda i, t: i < n, body, [0, x])
with g.colocate_with(v.op):
    c = tf.cond(p, lambda: x + 1.0, lambda: y)
out = built(), r([a, b, c])
""",
        "structures": """
P = collections.namedtuple("P", "a b")
out = []
for f in (lambda k: x * k, lambda k: [x * k], lambda k: (x * k,), lambda k: [x * k, y],
    lambda k: (x, [y * k]), lambda k: P(x, y * k),
          lambda k: {"b": x * k, "a": y}, lambda k: k, lambda k: [k,
    "s"], lambda k: [[x * k]], lambda k: [x * k, tf.no_op()],
          lambda k: tf.IndexedSlices(x * k, tf.range(2)), lambda k: tf.IndexedSlices(x * k,
    tf.range(2), tf.constant([2])),
          lambda k: v, lambda k: u, lambda k: [], lambda k: (), lambda k: np.float32(k),
          lambda k: [None]):
    for strict in (False, True):
        def made():
            z = tf.cond(p, lambda: f(2.0), lambda: f(3.0), strict=strict)
            return str(type(z).__name__), both(z)[1:3]
        out.append(err(made))
""",
        "sparse results": """
def sp(k):
    return tf.SparseTensor([[0, 0]], x[:1] * k, [2, 2])
z = tf.cond(p, lambda: sp(2.0), lambda: sp(3.0))
w = tf.cond(p, lambda: [sp(2.0), y], lambda: [sp(3.0), x])
out = built(), type(z).__name__, both(z), both(w)
""",
        "sparse loop variables": """
def sp(k):
    return tf.SparseTensor([[0, 0]], x[:1] * k, [2, 2])
z = tf.while_loop(lambda i, t: i < n, lambda i,
    t: (i + 1, tf.SparseTensor(t.indices, t.values * 2.0, t.dense_shape)), [0, sp(1.0)])
out = type(z[1]).__name__, r(z), [str(t.shape) for t in (z[1].indices, z[1].values,
    z[1].dense_shape)]
""",
        "rows as loop variables": """
z = tf.while_loop(lambda i, t: i < n, lambda i,
    t: (i + 1, tf.IndexedSlices(t.values * 2.0, t.indices)), [0, tf.IndexedSlices(x, tf.range(2))])
w = tf.while_loop(lambda i, t: i < n, lambda i,
    t: (i + 1, tf.IndexedSlices(t.values * 2.0, t.indices, t.dense_shape)), [0,
    tf.IndexedSlices(x, tf.range(2), tf.constant([2]))])
out = type(z[1]).__name__, r(z[1]), r(w[1]), [str(t.shape) for t in (z[1].values, z[1].indices,
    w[1].values, w[1].indices, w[1].dense_shape)]
""",
        "variables": """
a = tf.cond(p, lambda: tf.assign(v, 7.0), lambda: v + 1.0)
b = tf.cond(p, lambda: u.assign(9.0), lambda: u.assign_add(1.0))
c = tf.cond(p, lambda: tf.assign_add(v, 1.0).op, lambda: tf.no_op())
out = nodes(), both(a), r(v), both(b), r(u), both(c), r(v)
""",
        "variables in loops": """
def body(i):
    with tf.control_dependencies([tf.assign_add(v, 2.0), u.assign_add(3.0)]):
        return i + 1
a = tf.while_loop(lambda i: i < n, body, [0])
b = tf.while_loop(lambda t: t < 40.0, lambda t: t + v + u, [0.0])
out = nodes(), r(a), r(v), r(u), r(b)
""",
        "variables made inside": """
def branch():
    w = tf.get_variable("w", initializer=5.0)
    return w * 2.0
a = tf.cond(p, branch, lambda: x[0])
out = [err(lambda: built()), [k.name for k in tf.global_variables()]]
""",
        "random numbers": """
tf.set_random_seed(7)
a = tf.cond(p, lambda: tf.random_uniform([2]), lambda: tf.random_normal([2]))
b = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + tf.random_uniform([2], seed=3)),
    [0, x])
c = tf.random_uniform([2])
out = [r([a, c, b[1]]), r([a, c, b[1]], p=False), r([a, c, b[1]]), r(b[1], n=0), r(b[1])]
""",
        "maximum_iterations": """
z = [tf.while_loop(lambda i: i < 100, lambda i: i + 1, [0], maximum_iterations=k) for k in (7,
    0, 200, n, tf.constant(3))]
w = tf.while_loop(lambda i, t: i < 100, lambda i, t: [i + 1, t + 1.0], [0, x],
    maximum_iterations=4, return_same_structure=True)
k = tf.while_loop(lambda i: i < 100, lambda i: [i + 1], [0], maximum_iterations=4,
    return_same_structure=True)
no = err(lambda: tf.while_loop(lambda i: i < 3, lambda i: i + 1, [0], maximum_iterations=[3]))
out = built(), r(z), r([w, k]), type(w).__name__, type(k).__name__, no
""",
        "what loops give back": """
out = [err(lambda: [f(), r(f())]) for f in (
    lambda: tf.while_loop(lambda i: i < 3, lambda i: i + 1, [0], name="a"),
    lambda: tf.while_loop(lambda i: i < 3, lambda i: [i + 1], [0], name="b"),
    lambda: tf.while_loop(lambda i: i < 3, lambda i: (i + 1,), [0], name="b2"),
    lambda: tf.while_loop(lambda i: i < 3, lambda i: i + 1, (0,), name="c"),
    lambda: tf.while_loop(lambda i: i < 3, lambda i: i + 1, 0, name="c2"),
    lambda: tf.while_loop(lambda i: i < 3, lambda i: i + 1, [0], return_same_structure=True,
    name="d"),
    lambda: tf.while_loop(lambda i, j: i < 3, lambda i, j: (i + 1, j), [0, x], name="e"),
    lambda: tf.while_loop(lambda i, j: i < 3, lambda i, j: [i + 1, j], (0, x), name="f"),
    lambda: tf.while_loop(lambda i, j: i < 3, lambda i, j: (i + 1, (j[1], j[0])), (0, (x, y)),
    name="g"),
    lambda: tf.while_loop(lambda i, j: i < 3, lambda i, j: (i + 1, {"b": j["a"], "a": j["b"]}),
    (0, {"a": x, "b": y}), name="h"),
    lambda: tf.while_loop(lambda d: d["i"] < 3, lambda d: {"i": d["i"] + 1}, [{"i": 0}],
    name="k"))]
out = [(k[0], k[1][0]) for k in out]
""",
        "kinds of variables": """
z = tf.while_loop(lambda i, b, t, d: i < n, lambda i, b, t,
    d: (i + 1, tf.logical_not(b), tf.where(b, t, tf.constant("b")), d * 2),
                  [0, p, "a", tf.constant([1, 2], tf.int64)])
out = both(z), r(z, n=0), [str(t.dtype) for t in z]
""",
        "shape invariants": """
z = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, tf.concat([t, t], 0)), [0, x],
                  shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])])
w = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t[tf.newaxis]), [0, x],
                  [tf.TensorShape([]), tf.TensorShape(None)])
out = [str(t.shape) for t in (*z, *w)], r(z), r(w)
""",
        "a bool": "out = [err(lambda: tf.cond(b, lambda: x, lambda: y)) for b in (True, False)]",
        "predicates": """
w = tf.placeholder(tf.bool, name="w")
vec = tf.placeholder(tf.bool, [1], name="vec")
z = tf.cond(w, lambda: x, lambda: y)
out = [err(lambda: tf.cond(b, lambda: x, lambda: y).name) for b in (1, None, "s", x, n,
    np.bool_(True), np.array(False), vec, [True], tf.constant(True))]
out.append([err(lambda: s.run(z, {x: [1, 2], y: [3, 4], w: b})) for b in (True, [True], [])])
""",
        "functions that are none": """
out = [err(f) for f in (lambda: tf.cond(p), lambda: tf.cond(p, 3, lambda: x),
    lambda: tf.cond(p, lambda: x, 3), lambda: tf.cond(p, lambda: x),
    lambda: tf.cond(p, lambda: None, lambda: x), lambda: tf.cond(p, lambda: x,
    lambda: None), lambda: tf.cond(p, fn1=lambda: x, fn2=lambda: y),
    lambda: tf.cond(p, lambda: x, fn1=lambda: x), lambda: tf.cond(p, lambda: x, lambda: y,
    fn2=lambda: x), lambda: tf.cond(p, lambda k: x, lambda: y))]
""",
        "branches that do not match": """
rows = tf.IndexedSlices(x, tf.range(2))
pairs = [(x, n), (x, [x, y]), ([x, n], [n, x]), (x, tf.no_op()), (tf.no_op(), x), ((x, y), [x, y]),
         ({"a": x}, {"b": x}), (rows, x), (rows, tf.SparseTensor([[0]], x[:1], [1]))]
out = [err(lambda: tf.cond(p, lambda: a, lambda: b)) for a, b in pairs]
out = [(k[0], k[1][0] if isinstance(k[1], list) else k[1]) for k in out]
""",
        "an error in a branch": """
def bad():
    raise KeyError("mine")
out = [err(lambda: tf.cond(p, bad, lambda: x)),
    err(lambda: tf.while_loop(lambda i: i < 3, lambda i: bad(), [0])),
       g._get_control_flow_context(), (x + 1.0).op._get_control_flow_context(), r(x + 1.0)]
""",
        "loops that are none": """
lt, inc = lambda i: i < 3, lambda i: i + 1
out = [err(f) for f in (lambda: tf.while_loop(lt, inc, []),
    lambda: tf.while_loop(lt, inc, None), lambda: tf.while_loop(3, inc, [0]),
    lambda: tf.while_loop(lt, 3, [0]), lambda: tf.while_loop(lt, inc, [0],
    parallel_iterations=0), lambda: tf.while_loop(lambda i: x[0], inc, [0]),
    lambda: tf.while_loop(lt, lambda i: (i, i), [0]), lambda: tf.while_loop(lt, lambda i, j: i,
    [0]), lambda: tf.while_loop(lambda i, j: True, inc, [0]),
    lambda: tf.while_loop(lt, lambda i: None, [0]))]
out = [(k[0], k[1][0] if isinstance(k[1], list) else k[1]) for k in out]
""",
        "shapes that change": """
lt = lambda i, t: i < 3
out = [err(f) for f in (lambda: tf.while_loop(lt, lambda i, t: (i + 1, tf.concat([t, t], 0)),
    [0, x]),
    lambda: tf.while_loop(lt, lambda i, t: (i + 1, tf.concat([t, t], 0)), [0, x],
    [tf.TensorShape([]), tf.TensorShape([2])]),
    lambda: tf.while_loop(lt, lambda i, t: (i + 1, t), [0, x],
    [tf.TensorShape([]), tf.TensorShape([3])]),
    lambda: tf.while_loop(lt, lambda i, t: (i + 1, t[0]), [0, x],
    [tf.TensorShape([]), tf.TensorShape([None])]))]
""",
        "inner tensors outside": """
kept = []
tf.while_loop(lambda i: i < 3, lambda i: kept.append(tf.add(i, 1, name="mine")) or kept[-1],
    [0], name="w")
tf.cond(p, lambda: kept.append(x + 1.0) or kept[-1], lambda: y, name="c")
out = [err(lambda: (kept[0] + 1).name), err(lambda: (kept[1] + 1.0).name),
       err(lambda: tf.cond(q, lambda: kept[0] + 1,
    lambda: n).name), err(lambda: tf.while_loop(lambda i: i < 3, lambda i: i + kept[0], [0]))]
""",
        "an import into a branch": """
d = tf.GraphDef()
with tf.Graph().as_default() as other:
    a = tf.placeholder(tf.float32, [2], name="a")
    tf.add(a * tf.constant([2.0, 3.0], name="k"), 1.0, name="b")
    d = other.as_graph_def()
z = tf.cond(p, lambda: tf.import_graph_def(d, {"a": x}, ["b:0"], name="im")[0], lambda: y)
w = tf.while_loop(lambda i, t: i < n, lambda i,
    t: (i + 1, tf.import_graph_def(d, {"a": t}, ["b:0"], name="im")[0]), [0, x])
out = nodes(), both(z), r(w)
""",
        "a graph that comes back": """
a = tf.cond(p, lambda: x * 2.0, lambda: tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1,
    t + y), [0, x])[1])
d = g.as_graph_def()
with tf.Graph().as_default() as other:
    found = tf.import_graph_def(d, return_elements=[k.name for k in (a, x, y, p, n)], name="im")
    with tf.Session() as s2:
        z = [s2.run(found[0], dict(zip(found[1:], ([1., 2.], [3., 4.], b, 3)))) for b in (True,
    False)]
    out = [z, len(other.get_operations()),
    [other.is_fetchable(o) for o in other.get_operations()][-12:],
           other.as_graph_def().node[-1].name]
""",
        "case": """
out = [[built(), both(z)] for z in [tf.case([(p, lambda: x), (q, lambda: y)],
    default=lambda: x + y),
    tf.case([(p, lambda: x), (q, lambda: y)], default=lambda: x + y, exclusive=True, name="ex")]]
""",
        "case without a default": """
z = tf.case({p: lambda: x, q: lambda: y}, exclusive=True)
out = [both(z), both(tf.case([(q, lambda: x), (p, lambda: y)], name="two")), nodes()]
""",
        "cases that are none": """
out = [err(f) for f in (lambda: tf.case(3), lambda: tf.case([(p, 3)]),
    lambda: tf.case([(True, lambda: x)]), lambda: tf.case([p]),
    lambda: tf.case([(p, lambda: x)], default=3), lambda: tf.case([(x,
    lambda: x)]), lambda: tf.case([(p, lambda: x)], default=lambda: n),
    lambda: tf.case([(q, lambda: x), (p, lambda: None)], default=lambda: x))]
""",
        "assertions": """
a = tf.Assert(p, [x, "s", n], name="chk")
b = tf.Assert(q, ["only", n])
with tf.control_dependencies([a, b]):
    z = x * 2.0
out = built(), a.name, b.name, both(a), both(b), r(z)
""",
    },
    "2.5": {
        "fetches": """
kept = []
def keep(t):
    kept.append(t)
    return t
a = tf.cond(p, lambda: keep(x + 1.0), lambda: keep(tf.identity(y)), name="c")
b = tf.while_loop(lambda i: keep(i < n), lambda i: keep(i + 1), [0], name="w")
w = tf.cond(p, lambda: tf.while_loop(lambda i: i < n, lambda i: i + 1, [0], name="in"),
    lambda: n, name="o")
# To fetch what is in a frame and not marked, as an Enter, ends real TensorFlow's process.
names = [o.name for o in g.get_operations() if o.name.startswith(("c", "w",
    "o")) and not g.is_fetchable(o)]
out = [(k, err(lambda: str(r(k))), err(lambda: str(r(k + ":0")))) for k in names]
out = [(k, *[(z[0], z[1][0].split(". ")[0]) for z in zs]) for k, *zs in out]
""",
        "feeds": """
a = tf.cond(p, lambda: x + 1.0, lambda: tf.identity(y), name="c")
b = tf.while_loop(lambda i: i < n, lambda i: i + 1, [0], name="w")
names = [t.name for o in g.get_operations() if o.name.startswith(("c/", "w/")) for t in o.outputs]
out = [(k, g.is_feedable(g.get_tensor_by_name(k))) for k in names]
""",
        "fed tensors in branches and loops": """
a = tf.constant([1.0, 2.0], name="a")
b = tf.identity(x, name="b")
z = tf.cond(p, lambda: b * a, lambda: b + a)
w = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t * a + b), [0, b])
f = {**BASE, a: [5.0, 6.0], b: [7.0, 8.0]}
out = [s.run([z, w], f), s.run([z, w], {**f, p: False}),
    s.run([z, w], {p: True, a: [5.0, 6.0], b: [7.0, 8.0], n: 2}),
       s.run(z, {z: [9.0, 9.0]}), s.run(z * 2.0, {z: [9.0, 9.0]}), s.run(w[1] * 2.0,
    {w[1]: [9.0, 9.0]}),
       s.run([w[0], w[1] * 2.0], {w[1]: [9.0, 9.0], a: [1.0, 1.0], b: [1.0, 1.0], n: 2})]
""",
        "feeding what is inside": """
a = tf.cond(p, lambda: tf.multiply(x, 3.0, name="in") + 1.0, lambda: y, name="c")
k = "c/in:0"
out = [err(lambda: s.run(a, {**BASE, k: [7.0, 8.0]})),
    err(lambda: s.run(a, {**BASE, p: False, k: [7.0, 8.0]})),
       err(lambda: s.run(a, {**BASE, "c/in/Switch:1": [7.0, 8.0]})), err(lambda: s.run(a,
    {**BASE, "c/pred_id:0": False})),
       err(lambda: s.run(a, {**BASE, "c/switch_t:0": True})), err(lambda: s.run(a,
    {**BASE, "c/Merge:1": 1}))]
""",
    },
    "7.7": {
        "loops that fail": """
z = tf.while_loop(lambda i, t: i < n, lambda i,
    t: (i + 1, tf.check_numerics(t / tf.cast(2 - i, tf.float32), "late")), [0, x], name="w")
w = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, tf.gather(x, i)), [0, x[0]], name="d")
out = [err(lambda: r(z)), err(lambda: r(w)), r(z, n=1), r(w, n=2)]
""",
        "a timeout that is long enough": """
z = tf.while_loop(lambda i: i < 1000, lambda i: i + 1, [0])
out = [s.run(z, options=tf.RunOptions(timeout_in_ms=60000)), s.run(z)]
""",
        "queues in branches": """
Q = tf.FIFOQueue(10, tf.float32, [[]], name="Q")
s.run(Q.enqueue_many([[1.0, 2.0, 3.0, 4.0]]))
z = tf.cond(p, lambda: Q.dequeue(), lambda: tf.constant(-1.0))
e = tf.cond(p, lambda: Q.enqueue(7.0), lambda: tf.no_op())
w = tf.while_loop(lambda i, t: i < 2, lambda i, t: (i + 1, t + Q.dequeue()), [0, 0.0])
out = [r(z), r(z, p=False), r(w[1]), r(Q.size()), r(e), r(e, p=False), r(Q.size())]
""",
        "both ends of a queue": """
Q = tf.FIFOQueue(1, tf.float32, [[]], name="Q")
def put(i):
    with tf.control_dependencies([Q.enqueue(tf.cast(i, tf.float32))]):
        return i + 1
a = tf.while_loop(lambda i: i < 5, put, [0], parallel_iterations=1)
b = tf.while_loop(lambda i, t: i < 5, lambda i, t: (i + 1, t + Q.dequeue()), [0, 0.0],
    parallel_iterations=1)
out = r([a, b]), r(Q.size())
""",
        "a blocked branch": """
Q = tf.FIFOQueue(10, tf.float32, [[]], name="Q")
z = tf.cond(p, lambda: Q.dequeue(), lambda: tf.constant(-1.0))
k = err(lambda: s.run(z, BASE, options=tf.RunOptions(timeout_in_ms=100)))
out = k[0], k[1][-1], r(z, p=False), s.run(Q.enqueue(3.0)), r(z)
""",
        "a partial run": """
a = tf.cond(p, lambda: x * 2.0, lambda: y * 3.0)
b = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + x), [0, a])
h = s.partial_run_setup([a, b[1]], [x, y, p, n])
out = [s.partial_run(h, a, {x: [1, 2], y: [3, 4], p: False}), s.partial_run(h, b[1], {n: 3})]
""",
    },
    "11.4": {
        "gradients": """
z = tf.cond(p, lambda: x * x * y, lambda: tf.cond(q, lambda: tf.sin(y) + x, lambda: x))
k = tf.gradients(z, [x, y])
w = tf.cond(p, lambda: v * u, lambda: v + 1.0)
m = tf.gradients(w, [v, u])
c = tf.gradients(tf.cond(p, lambda: x, lambda: tf.constant([1.0, 2.0])), [x, y])
sw = raw("Switch", x, p)
d = tf.gradients([sw[0] * 2.0, sw[1] * 3.0], x)
out = both(k), both(m), both(c[0]), c[1], both(d)
""",
        "gradients of merges": """
a, b = raw("Switch", x, p, name="a"), raw("Switch", y, q, name="b")
mm = merge(a[1] * 2.0, b[1] * 3.0)
d = tf.gradients(mm[0], [x, y])
out = [t.name for t in d], both(d[0])[:3], both(d[1])[:3]
""",
        "gradients of rows": """
e = tf.get_variable("e", initializer=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
s.run(e.initializer)
z = tf.gradients(tf.cond(p, lambda: tf.gather(e, [1, 2]), lambda: tf.gather(e, [0, 0])), e)[0]
w = tf.gradients(tf.cond(p, lambda: e * 2.0, lambda: tf.gather(e, [0, 0, 1])), e)[0]
out = type(z).__name__, both(z), both(tf.convert_to_tensor(z)), both(tf.convert_to_tensor(w))
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
