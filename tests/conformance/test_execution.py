"""Pruning, order, state, seeds and streams of random numbers; line by line."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
k0 = tf.constant(3.0, name="k0")
n = tf.no_op(name="n")
s = tf.Session()
"""

PROGRAMS = {
    "7.1": {
        "only ancestors run": """
v = tf.Variable(0.0)
w = tf.Variable(0.0)
up_v, up_w = tf.assign_add(v, 1.0), tf.assign_add(w, 1.0)
with tf.control_dependencies([up_w]):
    z = tf.identity(k0)
s.run(tf.global_variables_initializer())
out = {
    "neither": (s.run(k0), s.run([v, w])),
    "by data": (s.run(up_v + 1.0), s.run([v, w])),
    "by control": (s.run(z), s.run([v, w])),
    "as target": (s.run(up_w.op), s.run([v, w])),
    "no error elsewhere": s.run(k0),
}
""",
        "feeds cut": """
v = tf.Variable(0.0)
up = tf.assign_add(v, 1.0)
with tf.control_dependencies([up]):
    x = tf.identity(k0)
y = x * 2.0
z = tf.check_numerics(a / 0.0, "bad") + 1.0
s.run(v.initializer)
out = {
    "above a feed nothing runs": (s.run(y, {x: 5.0}), s.run(v)),
    "without it": (s.run(y), s.run(v)),
    "no placeholder is needed": s.run(c * 2.0, {c: 4.0}),
    "no failing op": s.run(z, {z.op.inputs[0]: 1.0}),
    "a fed assignment": (s.run(up * 2.0, {up: 8.0}), s.run(v)),
    "the op of a fed tensor as target": (s.run([y, x.op], {x: 5.0}), s.run(v)),
    "one output fed": s.run(tf.unique([1, 1, 2])[0]),
}
""",
        "one of two outputs fed": """
u, i = tf.unique([3, 3, 5])
out = s.run([u * 2, i * 2], {u: [7]}), s.run([u, i], {i: [1, 1, 1]})
""",
        "names stay": """
x = tf.constant(1.0, name="x") + tf.constant(2.0, name="y")
y = tf.identity(tf.identity(x, name="i1"), name="i2")
z = tf.identity(tf.identity(x, name="i3"), name="i4")
s.run(y)
out = {
    "folded": s.run(["i1:0", "i2:0", "i3:0", "x:0", x, z]),
    "fed where folded": s.run([y, z], {x: 7.0}),
    "fed in between": s.run([y, z], {"i1:0": 7.0}),
    "equal nodes are two": s.run([y, z], {"i3:0": 5.0}),
}
""",
        "the order of fetches and feeds": """
out = [s.run([c, a, b], {a: 2, b: 3}), s.run([b, a, c], {b: 3, a: 2}), s.run((a, c), {b: 3, a: 2})]
""",
        "a random op once for all": """
r = tf.random_uniform([], seed=1)
x, y, z = s.run([r, r + 0.0, tf.identity(r)])
out = x == y, y == z, s.run(r) != x
""",
        "equal stateful nodes are not merged": """
r, q = tf.random_uniform([]), tf.random_uniform([])
v = tf.Variable(0.0)
ups = [tf.assign_add(v, 1.0) for _ in range(5)]
s.run(v.initializer)
x, y = s.run([r, q])
out = x != y, s.run([up.op for up in ups]), s.run(v)
""",
        "names of feeds and fetches in errors": """
v, w = tf.Variable(1.0, name="v"), tf.Variable(1.0, name="w")
with tf.name_scope("sc"):
    x = tf.Variable(1.0, name="x")
s.run(w.initializer)
up = tf.assign_add(w, c)
fed = {a: 1.0, b: 2.0}
out = [
    text(lambda: s.run(v)), text(lambda: s.run([w, v, a], fed)), text(lambda: s.run([k0, v, w])),
    text(lambda: s.run({"z": v, "y": k0})), text(lambda: s.run([x, k0, c], fed)),
    text(s.make_callable([k0, v])), text(lambda: s.make_callable([a, v], [a])(1.0)),
    text(lambda: s.run(up, {w: 2.0, **fed})), text(lambda: s.run(up, {"w:0": 2.0, k0: 1.0, **fed})),
]
""",
        "a handle of another dtype": """
h = s.run(tf.get_session_handle(k0))
i = tf.placeholder(tf.int32, name="i")
out = text(lambda: s.run([i + 1, c], {i: h, a: 1, b: 2})), text(lambda: s.run(i + 1, {i: h}))
""",
        "a failing op as a target": """
x = tf.check_numerics(a, "bad", name="x")
out = [text(lambda: s.run(y, {a: float("nan")})) for y in (x.op, tf.group(x), "x", [k0, x.op])]
""",
    },
    "7.2": {
        "each op once a step": """
v = tf.Variable(0.0)
up = tf.assign_add(v, 1.0)
many = [up * float(i) for i in range(10)]
s.run(v.initializer)
out = s.run([tf.add_n(many), up, up.op, up]), s.run(v)
""",
        "control dependencies hold": """
v = tf.Variable(1.0, use_resource=True)
s.run(v.initializer)
first = v.read_value()
with tf.control_dependencies([first]):
    assign = v.assign(5.0)
with tf.control_dependencies([assign]):
    second = v.read_value()
    with tf.control_dependencies([second]):
        up = v.assign_add(2.0)
    with tf.control_dependencies([up]):
        third = v.read_value()
out = s.run([third, first, second]), s.run(v)
""",
        "what control_dependencies takes": """
g = tf.get_default_graph()
v = tf.Variable(1.0, name="v")
def after(*items):
    with tf.control_dependencies(list(items)):
        return [x.name for x in tf.no_op().control_inputs]
out = {
    "tensor": after(k), "operation": after(n), "name": after("k"), "name of a tensor": after("c:0"),
    "variable": err(lambda: after(v)), "two of one op": after(k, k.op), "nothing": after(),
    "slices": err(lambda: after(tf.IndexedSlices(k, k0))),
    "number": err(lambda: after(3)), "None in a list": err(lambda: after(None)),
    "unknown name": err(lambda: after("zz")),
}
with tf.control_dependencies([k]):
    with tf.control_dependencies([n]):
        out["nested"] = [x.name for x in tf.no_op().control_inputs]
        with tf.control_dependencies(None):
            out["None"] = [x.name for x in tf.no_op().control_inputs]
            with tf.control_dependencies([c]):
                out["inside None"] = [x.name for x in tf.no_op().control_inputs]
    out["implied by data"] = [x.name for x in tf.identity(k).op.control_inputs]
    out["implied through another"] = [x.name for x in tf.identity(tf.identity(k)).op.control_inputs]
with tf.control_dependencies([k, n]):
    out["as text"] = tf.identity(a, name="tt").op.node_def.input
""",
        "group and tuple": """
v = tf.Variable(0.0)
s.run(v.initializer)
up = tf.assign_add(v, 1.0)
with tf.control_dependencies([up]):
    late = tf.identity(k0)
g = tf.group(up, late, name="g")
x, y = tf.tuple([k0, k0 * 2.0], control_inputs=[up])
out = s.run(g), s.run(v), s.run(x), s.run(v), s.run(tf.group()), [i.name for i in g.control_inputs]
""",
        "all that control_dependencies takes": """
class Has:
    _as_graph_element = lambda self: k0
rv = tf.Variable(1.0, use_resource=True, name="rv")
rows = tf.RaggedTensor.from_row_splits(k0 + tf.zeros([2]), [0, 1, 2])
items = {
    "tuple": (k0, n), "generator": (x for x in [k0, n]), "set": {k0}, "operation": n, "text": "k0",
    "list of texts": ["k0", "k0:0", b"n"], "number": 3, "empty": [], "dict": {k0: 1},
    "nested": [[k0]], "nested tuple": [(k0,)], "object": [Has()], "variable": [rv],
    "assignment": [rv.assign(1.0)], "queue": [tf.FIFOQueue(3, tf.float32)], "ragged": [rows],
    "dtype": [tf.float32], "function": [len], "caret": ["^k0"], "no such output": ["k0:7"],
    "session": [s], "array": [np.zeros(2)], "None in a list": [k0, None], "True": [True],
    "lambda": lambda: k0, "nested lambda": [lambda: k0],
}
def after(scope, x):
    with scope(x):
        return [i.name for i in tf.no_op().control_inputs]
g = tf.get_default_graph()
out = {name: err(lambda: after(tf.control_dependencies, x)) for name, x in items.items()}
out["of a graph"] = [err(lambda: after(g.control_dependencies, x)) for x in ([k0], ["n"], 3, [3])]
out["a tensor alone"] = err(lambda: after(tf.control_dependencies, k0))[0]
""",
        "what data inputs imply": """
x = tf.negative(k0, name="x")
y = tf.negative(x, name="y")
def after(items, *inputs):
    with tf.control_dependencies(items):
        return [i.name for i in tf.add_n(list(inputs)).op.control_inputs]
out = [after([x], x), after([x], y), after([x, y], y), after([k0, x, y], x), after([y], x)]
out += [after([x.op], x), after([n, x], x, y)]
with tf.control_dependencies([x]):
    ops = [tf.negative(a).op]
    with tf.control_dependencies(ops):
        ops += [tf.no_op(), tf.negative(ops[0].outputs[0]).op]
        with tf.control_dependencies([n, x]):
            ops += [tf.no_op(), tf.negative(ops[2].outputs[0]).op]
            with tf.control_dependencies(None):
                ops.append(tf.no_op())
                with tf.control_dependencies([x]):
                    ops.append(tf.no_op())
            ops.append(tf.no_op())
out.append([[i.name for i in op.control_inputs] for op in ops])
out.append(["_has_manual_control_dependencies" in op.node_def.attr for op in (x.op, y.op, n, *ops)])
""",
        "a graph has control dependencies of its own": """
h = tf.Graph()
with tf.control_dependencies([k0]):
    with h.as_default(), h.control_dependencies([]):
        x = tf.no_op()
    y = tf.no_op()
out = [[i.name for i in op.control_inputs] for op in (x, y)]
out.append(err(lambda: tf.control_dependencies([x]).__enter__()))
""",
        "independent ops, and a diamond": """
v = tf.Variable(0.0)
s.run(v.initializer)
ups = [tf.assign_add(v, float(2**i), use_locking=True) for i in range(10)]
out = [s.run([up.op for up in ups]), s.run(v), s.run(tf.group(*ups)), s.run(v)]
up = tf.assign_add(v, 1.0)
x = up * 2.0
y, z = x + 1.0, x * 3.0
with tf.control_dependencies([y, z]):
    w = tf.identity(x)
out += [s.run([w, y + z, x, up]), s.run(v), s.run(w.op), s.run(v)]
""",
        "a chain of updates": """
v = tf.Variable(0.0, use_resource=True)
s.run(v.initializer)
ops = []
for i in range(20):
    with tf.control_dependencies(ops[-1:]):
        ops.append(v.assign_add(float(i), read_value=False))
out = s.run(ops), s.run(v), s.run(ops[5]), s.run(v)
""",
    },
    "7.3": {
        "uninitialised": """
v = tf.Variable(1.0, name="v")
rv = tf.Variable(1.0, name="rv", use_resource=True)
out = {
    "read": text(lambda: s.run(v)),
    "read_value": text(lambda: s.run(v.read_value())),
    "in an expression": text(lambda: s.run(v + 1.0)),
    "assign_add": text(lambda: s.run(v.assign_add(1.0))),
    "resource": text(lambda: s.run(rv)),
    "resource, in an expression": text(lambda: s.run(rv + 1.0)),
    "resource, assign_add": text(lambda: s.run(rv.assign_add(1.0))),
    "resource, assign_sub": text(lambda: s.run(rv.assign_sub(1.0))),
    "callable": text(s.make_callable(v)),
    "op": err(lambda: s.run(v.op)),
    "scatter": text(lambda: s.run(tf.scatter_add(tf.Variable([1.0], name="w"), [0], [1.0]))),
    "handle": s.run(rv.handle).ndim,
}
e = failure(lambda: s.run(v))
out["op of the error"] = e.op is v.op, e.node_def is None, e.error_code
""",
        "is_variable_initialized": """
v = tf.Variable(1.0, name="v")
rv = tf.Variable(1.0, name="rv", use_resource=True)
w = tf.Variable([1, 2], name="w")
checks = [tf.is_variable_initialized(x) for x in (v, rv, w)]
out = [s.run(checks), s.run([v.initializer, w.initializer]), s.run(checks), s.run(rv.initializer),
       s.run(checks), type(s.run(checks[0])).__name__]
""",
        "initializers": """
v = tf.Variable(1.0, name="v")
w = tf.Variable(5.0, name="w")
x, y = tf.global_variables_initializer(), tf.global_variables_initializer()
z = tf.variables_initializer([v])
e = tf.variables_initializer([])
out = [x.name, y.name, z.name, e.name, x.type]
out += [s.run(x), s.run(v.assign(7.0)), s.run(y), s.run([v, w]), s.run(e)]
out += [tf.local_variables_initializer().name]
""",
        "state lives in the session": """
v = tf.Variable(1.0, name="v")
s.run(v.initializer)
t = tf.Session()
out = {
    "by name": s.run("v:0"),
    "another session": err(lambda: t.run(v))[0],
    "after growth": (tf.constant(1.0), s.run(v))[1],
    "other signatures": s.run([v + 1.0, v]),
    "initialised again": (s.run(v.assign(9.0)), s.run(v.initializer), s.run(v))[2],
}
""",
        "wrong shapes when it runs": """
v = tf.Variable([1.0, 2.0, 3.0], name="v")
rv = tf.Variable([1.0, 2.0], name="rv", use_resource=True)
free = tf.Variable([1.0], validate_shape=False, name="free")
p = tf.placeholder(tf.float32, name="p")
s.run(tf.global_variables_initializer())
out = {
    "assign": text(lambda: s.run(tf.assign(v, p), {p: [1.0]})),
    "assign_add": text(lambda: s.run(tf.assign_add(v, p), {p: [1.0]})),
    "kept": s.run(v),
    "resource, assign": text(lambda: s.run(rv.assign(p), {p: [1.0]})),
    "resource, assign_add": text(lambda: s.run(rv.assign_add(p), {p: [1.0, 2.0, 3.0]})),
    "resource kept": s.run(rv),
    "validate_shape=False": s.run(tf.assign(free, p, validate_shape=False), {p: [1.0, 2.0]}),
    "its value": s.run(free),
    "scalar": text(lambda: s.run(tf.assign(v, p), {p: 1.0})),
}
""",
        "wrong shapes and types when it is made": """
v = tf.Variable([1.0, 2.0], name="v")
rv = tf.Variable([1.0, 2.0], name="rv", use_resource=True)
out = {
    "assign": err(lambda: tf.assign(v, [1.0, 2.0, 3.0], name="x")),
    "assign_add": err(lambda: tf.assign_add(v, [1.0, 2.0, 3.0], name="y")),
    "rank": err(lambda: tf.assign(v, 1.0, name="z")),
    "method": err(lambda: v.assign([1.0, 2.0, 3.0])),
    "resource": err(lambda: rv.assign([1.0, 2.0, 3.0])),
    "resource, rank": err(lambda: rv.assign(1.0)),
    "type": err(lambda: tf.assign(v, np.array([1, 2]))),
    "type of a tensor": err(lambda: tf.assign(v, tf.constant([1, 2]))),
    "resource, type of a tensor": err(lambda: rv.assign(tf.constant([1, 2]))),
    "not assignable": err(lambda: tf.assign(k, k))[0],
}
""",
        "containers": """
g = tf.get_default_graph()
with g.container("one"):
    v = tf.Variable(1.0, name="v")
    rv = tf.Variable(1.0, name="rv", use_resource=True)
    with g.container("two"):
        w = tf.Variable(2.0, name="w")
    with g.container(""):
        x = tf.Variable(2.0, name="x")
y = tf.Variable(1.0, name="y", use_resource=True)
s.run(tf.global_variables_initializer())
ops = [z.op for z in (v, w, x)] + [z.handle.op for z in (rv, y)]
out = {
    "attribute": [op.get_attr("container") for op in ops],
    "values": s.run([v, rv, w, x, y]),
    "shared_name": [op.get_attr("shared_name") for op in ops],
}
""",
        "reference aliasing": """
v = tf.Variable(1.0, name="v")
with tf.control_dependencies([v.initializer]):
    pass
s.run(v.initializer)
r = v.read_value()
with tf.control_dependencies([r]):
    assign = tf.assign(v, 10.0)
with tf.control_dependencies([assign]):
    late = r + 0.0
out = s.run([late, assign])
""",
        "resource reads are snapshots": """
v = tf.Variable(1.0, use_resource=True)
s.run(v.initializer)
r = v.read_value()
with tf.control_dependencies([r]):
    assign = v.assign(10.0)
with tf.control_dependencies([assign]):
    late = r + 0.0
    new = v.read_value()
out = s.run([r, new, late])
""",
        "what was fetched stays": """
v = tf.Variable([1.0, 2.0])
rv = tf.Variable([1.0, 2.0], use_resource=True)
s.run(tf.global_variables_initializer())
old = s.run([v, rv, v.read_value(), rv.read_value()])
s.run([v.assign_add([5.0, 5.0]), rv.assign_add([5.0, 5.0]), tf.scatter_add(rv, [0], [1.0])])
out = old, s.run([v, rv])
""",
        "assignments in one step": """
v = tf.Variable(0.0)
s.run(v.initializer)
first = tf.assign(v, 3.0)
with tf.control_dependencies([first]):
    second = tf.assign_add(v, 4.0)
with tf.control_dependencies([second]):
    third = tf.assign_sub(v, 1.0)
out = s.run(third), s.run(v)
""",
        "state of random ops": """
r = tf.random_uniform([2], seed=4)
t = tf.Session()
first = [s.run(r).tolist(), s.run(r).tolist()]
tf.constant(1.0)
first.append(s.run([r, k0])[0].tolist())
out = first, [t.run(r).tolist() for _ in range(3)] == first
""",
    },
    "7.5": {
        "get_seed": """
seeds = [None, 0, 1, 2**31 - 1, 2**31, -1, -(2**31), 2**40, 2**63, 87654321]
out = {}
for graph_seed in seeds:
    with tf.Graph().as_default():
        if graph_seed is not None:
            tf.set_random_seed(graph_seed)
        out[graph_seed] = [err(lambda: tf.get_seed(x)) for x in [*seeds, None]]
""",
        "attributes of ops": """
def attrs(graph_seed, *op_seeds):
    with tf.Graph().as_default():
        if graph_seed is not None:
            tf.set_random_seed(graph_seed)
        ops = []
        for x in op_seeds:
            tf.constant(1.0)
            ops.append(tf.random_uniform([], seed=x).op.inputs[0].op)
        found = [op for op in tf.get_default_graph().get_operations() if op.type == "RandomUniform"]
        return [(op.get_attr("seed"), op.get_attr("seed2")) for op in found]
out = {g: err(lambda: attrs(g, None, 3, None, 0, None)) for g in (None, 0, 5, -1)}
""",
        "the counter is the graph's": """
def seeds():
    return [tf.get_seed(None) for _ in range(3)]
with tf.Graph().as_default() as g:
    tf.set_random_seed(5)
    out = {"first": seeds(), "op seeds do not count": (tf.get_seed(9), seeds())}
    with tf.Graph().as_default():
        tf.set_random_seed(5)
        out["another graph"] = seeds()
    out["back"] = seeds()
    tf.set_random_seed(5)
    out["set again"] = seeds()
    out["seed of the graph"] = g.seed
""",
        "no seed": """
with tf.Graph().as_default():
    x, y = tf.random_uniform([4]), tf.random_normal([4])
    def draws():
        with tf.Session() as t:
            return t.run([x, y])
    one, two = draws(), draws()
    out = [bool((p == q).any()) for p, q in zip(one, two)], [(p.dtype, p.shape) for p in one]
""",
        "a graph seed": """
def draws(seed):
    with tf.Graph().as_default():
        tf.set_random_seed(seed)
        x, y = tf.random_uniform([3]), tf.random_uniform([3])
        with tf.Session() as t:
            return t.run([x, y]), t.run([y, x])
out = draws(1), draws(0), draws(-7)
""",
        "the seeds of each kind of op": """
tf.set_random_seed(3)
tf.random_uniform([2]), tf.random_normal([2], seed=4), tf.truncated_normal([2])
tf.random_shuffle(tf.range(5)), tf.multinomial([[0.0, 0.0]], 3), tf.nn.dropout(tf.ones([4]), 0.5)
tf.random_uniform([2], 0, 9, tf.int32, seed=0), tf.RandomShuffleQueue(3, 1, tf.float32)
ops = [op for op in tf.get_default_graph().get_operations() if "seed" in op.node_def.attr]
out = [(op.type, op.get_attr("seed"), op.get_attr("seed2")) for op in ops]
""",
    },
    "7.6": {
        "bounds": """
def between(a, b, dtype):
    return text(lambda: s.run(tf.random_uniform([3], a, b, dtype, seed=1)))
out = {
    "equal": between(tf.identity(4), 4, tf.int32),
    "reversed": between(tf.identity(4), 3, tf.int64),
    "empty anyway": text(lambda: s.run(tf.random_uniform([0], 4, 4, tf.int32))),
    "no maximum": err(lambda: tf.random_uniform([3], 4, dtype=tf.int32)),
    "floats": s.run(tf.random_uniform([3], 4.0, 4.0, seed=1)),
    "reversed floats": s.run(tf.random_uniform([3], 4.0, 3.0, seed=1)),
    "types": err(lambda: tf.random_uniform([3], dtype=tf.int8))[0],
    "shape": text(lambda: s.run(tf.random_uniform(tf.identity([-3])))),
}
""",
        "ops around the numbers": """
def types(f):
    with tf.Graph().as_default() as g:
        f()
        return [op.type for op in g.get_operations()]
out = {
    "uniform": types(lambda: tf.random_uniform([2])),
    "maxval": types(lambda: tf.random_uniform([2], maxval=3.0)),
    "minval": types(lambda: tf.random_uniform([2], 1.0, 3.0)),
    "int": types(lambda: tf.random_uniform([2], 1, 3, tf.int32)),
    "normal": types(lambda: tf.random_normal([2])),
    "truncated": types(lambda: tf.truncated_normal([2], 1.0, 2.0)),
}
""",
        "numbers are taken by the count of elements": """
small = tf.random_uniform([1], seed=2)
p = tf.placeholder(tf.int32, [1])
r = tf.random_uniform(p, seed=2)
out = [s.run(r, {p: [n]}) for n in (1, 3, 0, 4, 5)], [s.run(small) for _ in range(3)]
""",
    },
    "7.7": {
        "threads share the state": """
import threading
v = tf.Variable(0.0, use_resource=True)
s.run(v.initializer)
up = v.assign_add(1.0)
metadata = [tf.RunMetadata() for _ in range(4)]
def work(m):
    for _ in range(20):
        s.run(up.op, options=tf.RunOptions(trace_level=1), run_metadata=m)
threads = [threading.Thread(target=work, args=(m,)) for m in metadata]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = s.run(v), [len(m.step_stats.dev_stats) for m in metadata]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
