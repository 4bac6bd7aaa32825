"""Errors of a step, callables, devices; line by line."""

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
    "2.6": {
        "what an error tells": """
y = tf.check_numerics(tf.identity(a, name="x"), "bad", name="y")
e = failure(lambda: s.run(y, {a: float("nan")}))
out = {
    "class": [x.__name__ for x in type(e).__mro__],
    "message": e.message,
    "str": trace(e),
    "op": e.op is y.op,
    "node_def": e.node_def == y.op.node_def,
    "error_code": e.error_code,
    "args": e.args,
    "repr": repr(e),
    "payloads": e.experimental_payloads,
    "context": [type(e.__cause__).__name__, e.__suppress_context__],
}
""",
        "a scope and a function on the way": """
def make():
    with tf.name_scope("outer"):
        with tf.name_scope("inner"):
            return tf.check_numerics(a, "bad", name="y")
y = make()
e = failure(lambda: s.run(tf.identity(y), {a: float("inf")}))
out = e.message, e.op.name, trace(e)
""",
        "an error of a callable": """
y = tf.check_numerics(k0 / 0.0, "bad", name="y")
e = failure(s.make_callable(y))
f = failure(s.make_callable(y, []))
out = {
    "no feed list": [type(e).__name__, e.message, str(e), e.op, e.node_def, repr(e)],
    "feed list": [type(f).__name__, f.message, trace(f), f.op is y.op],
}
""",
        "texts of kernels": """
i = tf.placeholder(tf.int32, name="i")
x = tf.placeholder(tf.float32, name="x")
y = tf.placeholder(tf.float32, name="y")
ones = np.ones
def start(f):
    return err(f)[0], text(f)[1][3][:52]
out = {
    "matmul": start(lambda: s.run(tf.matmul(x, y), {x: ones((2, 3)), y: ones((2, 3))})),
    "matmul of vectors": text(lambda: s.run(tf.matmul(x, y), {x: ones(3), y: ones(3)})),
    "division": text(lambda: s.run(tf.floordiv(i, 0), {i: 1})),
    "mod": text(lambda: s.run(tf.floormod(i, 0), {i: [1]})),
    "gather": text(lambda: s.run(tf.gather([1.0, 2.0, 3.0], i), {i: 5})),
    "gather of many": text(lambda: s.run(tf.gather([1.0, 2.0, 3.0], i), {i: [[0, 1], [-1, 2]]})),
    "gather_nd": start(lambda: s.run(tf.gather_nd(k, i), {i: [[0, 7]]})),
    "add": text(lambda: s.run(x + y, {x: ones((2, 3)), y: ones((3, 2))})),
    "reshape": text(lambda: s.run(tf.reshape(x, i), {x: ones(6), i: [4, 2]})),
    "reshape, two unknown": text(lambda: s.run(tf.reshape(x, i), {x: ones(6), i: [-1, -1]})),
    "concat": text(lambda: s.run(tf.concat([x, y], 0), {x: ones((2, 3)), y: ones((2, 2))})),
    "stack": text(lambda: s.run(tf.stack([x, y]), {x: ones(2), y: ones(3)})),
    "split": text(lambda: s.run(tf.split(x, 2), {x: ones(3)})),
    "slice": text(lambda: s.run(tf.slice(x, [0], i), {x: ones(3), i: [5]})),
    "squeeze": text(lambda: s.run(tf.squeeze(x, [0]), {x: ones((2, 1))})),
    "transpose": text(lambda: s.run(tf.transpose(x, i), {x: ones((2, 1)), i: [0, 0]})),
    "reduce": text(lambda: s.run(tf.reduce_sum(x, i), {x: ones((2, 1)), i: 4})),
    "tile": text(lambda: s.run(tf.tile(x, i), {x: ones((2, 1)), i: [1]})),
    "one_hot": text(lambda: s.run(tf.one_hot(i, tf.identity(i)), {i: -1})),
    "check_numerics": text(lambda: s.run(tf.check_numerics(x, "m"), {x: [1, float("nan")]})),
    "check_numerics, inf": text(lambda: s.run(tf.check_numerics(x, "m"), {x: float("-inf")})),
    "check_numerics, both": text(
        lambda: s.run(tf.check_numerics(x, "m"), {x: [float("inf"), float("nan")]})
    ),
    "random": text(lambda: s.run(tf.random_uniform([2], i, i, tf.int32), {i: 4})),
    "ensure_shape": err(lambda: s.run(tf.ensure_shape(x, [2, None]), {x: ones(3)}))[0],
}
""",
        "NaN and infinity are values": """
x = tf.constant([0.0, 1.0, -1.0])
out = s.run([x / 0.0, tf.log(x), tf.sqrt(x), tf.exp(x * 1e4), tf.is_nan(x / 0.0)])
""",
        "errors of construction": """
x = tf.placeholder(tf.float32, [2, 1], name="q")
i = tf.placeholder(tf.int32, [2], name="i")
out = {
    "matmul": err(lambda: tf.matmul(x, x, name="m")),
    "add": err(lambda: tf.add(x, tf.zeros([3, 3]), name="p")),
    "types": err(lambda: tf.add(x, i)),
    "rank": err(lambda: tf.matmul(x, i))[0],
    "reshape": err(lambda: tf.reshape(x, [3], name="r")),
    "concat": err(lambda: tf.concat([x, tf.zeros([2, 2, 2])], 0, name="cc")),
    "axis": err(lambda: tf.reduce_sum(x, 5, name="s5")),
    "squeeze": err(lambda: tf.squeeze(x, [0], name="sq")),
    "in a scope": err(lambda: tf.name_scope("sc").__enter__() and tf.matmul(x, x, name="inner")),
    "nothing is left": [op.name for op in tf.get_default_graph().get_operations()][-3:],
}
""",
        "the session goes on after an error": """
v = tf.Variable(1.0)
s.run(v.initializer)
y = tf.check_numerics(a, "bad")
out = []
for _ in range(3):
    out += [err(lambda: s.run([y, n], {a: float("nan")}))[0], s.run(v.assign_add(1.0))]
out += [s.run(y, {a: 1.0})]
""",
        "the lines of each function on the way": """
def one():
    return tf.check_numerics(a, "bad", name="one")
def two():
    return one() * 2.0
y = two()
e = failure(lambda: s.run(y, {a: float("nan")}))
out = e.message, e.op.name, trace(e)
""",
        "an op of a gradient, an op that was imported": """
x = tf.placeholder(tf.float32, name="x")
g = tf.gradients(tf.reshape(x, [4]), x)[0]
with tf.Graph().as_default() as graph:
    tf.check_numerics(tf.placeholder(tf.float32, name="p"), "bad", name="check")
p, y = tf.import_graph_def(graph.as_graph_def(), return_elements=["p:0", "check:0"], name="in")
e = [failure(lambda: s.run(g, {x: [1.0]})), failure(lambda: s.run(y, {p: float("nan")}))]
def lines(error):
    return [line for line in error.message.splitlines() if "File" not in line]
out = [(type(x).__name__, x.op.name, lines(x)) for x in e]
""",
        "an error is a new one each time": """
e, f = failure(lambda: s.run(a + 1.0)), failure(lambda: s.run("a:0"))
out = e is f, e.op is f.op is a.op, e.__traceback__ is not None
""",
        "several root errors are one": """
t = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
p = tf.placeholder(tf.float32, [], name="p")
with tf.device("/cpu:0"):
    x = tf.check_numerics(p, "bad", name="x")
with tf.device("/cpu:1"):
    y = tf.check_numerics(p, "bad", name="y")
def several(f):
    # Which device fails first differs from run to run.
    for _ in range(50):
        error = failure(f)
        if "root error" in error.message:
            break
    lines = error.message.splitlines()
    start = lines.index("2 root error(s) found.")
    lines = [x[:24] for x in lines[start:] if "node" not in x and "\t" not in x]
    return type(error).__name__, error.message.splitlines()[0][:22], lines, error.error_code
call = t.make_callable([x, y], [p])
out = [several(lambda: t.run([x, y], {p: float("nan")})), several(lambda: call(float("nan")))]
out.append(t.run([x, y], {p: 1.0}))
""",
    },
    "3.1": {
        "feed_list": """
out = {
    repr(x): err(lambda: callable(s.make_callable(k0, x)))
    for x in (None, [], (), 3, {}, {1: 2}, "a", set(), a, [3], ["zz"], [None], (a, b))
}
""",
        "nothing is checked before the call": """
out = {
    "fetch": err(lambda: callable(s.make_callable("zz", []))),
    "fetch, called": err(lambda: s.make_callable("zz", [])()),
    "None": err(lambda: s.make_callable(None, [])()),
    "feed": err(lambda: s.make_callable(k0, ["zz"])(1.0)),
    "feed of another kind": err(lambda: s.make_callable(k0, [3])(1.0)),
    "no such feed is given": err(lambda: s.make_callable(k0, [3])()),
}
""",
        "everything is checked without a feed list": """
out = {
    x: err(lambda: s.make_callable(fetch))
    for x, fetch in {"name": "zz", "None": None, "nested": [k0, None], "number": 3}.items()
}
with tf.device("/job:nowhere"):
    bad = tf.constant(1.0, name="bad")
out["placement"] = err(lambda: s.make_callable(k0))[0]
out["placement, feed list"] = err(lambda: s.make_callable(k0, []))[0]
""",
        "numbers of arguments": """
f = s.make_callable(c, [a, b])
g = s.make_callable([a, c], (a, b))
out = {
    "all": [f(2, 3), g(2.0, 3.0)],
    "too few": text(lambda: f(2)),
    "none": err(lambda: f())[0],
    "too many": f(2, 3, 4, "x"),
    "again": f(5, 6),
    "wrong type": err(lambda: f(2, "x")),
    "wrong shape": err(lambda: f(2, [3])),
    "tensor": err(lambda: f(2, k0))[0],
    "still good": f(2, 3),
    "empty feed list": s.make_callable(k0, [])(1, 2, 3),
    "no feed list": err(lambda: s.make_callable(k0)(1)),
}
""",
        "keywords": """
f = s.make_callable(c, [a, b])
g = s.make_callable(c, [a, b], accept_options=True)
h = s.make_callable(k0)
i = s.make_callable(k0, accept_options=True)
m = tf.RunMetadata()
out = {
    "options": [f(2, 3, options=tf.RunOptions()), g(2, 3, options=None), f(2, 3, run_metadata=m)],
    "unknown": err(lambda: f(2, 3, zz=3)),
    "feed_dict": err(lambda: f(2, 3, feed_dict={})),
    "fetches": err(lambda: f(2, 3, fetches=k0)),
    "no feed list, options": err(lambda: h(options=None)),
    "no feed list, accept_options": [i(), i(tf.RunOptions()), i(options=None, run_metadata=m)],
    "no feed list, unknown": err(lambda: i(zz=3)),
    "wrong options": err(lambda: f(2, 3, options=3)),
    "no feed list, wrong options": err(lambda: i(3))[0],
}
""",
        "structures": """
P = __import__("collections").namedtuple("P", "x y")
fetches = {
    "list": [k0, n], "tuple": (k0,), "P": P(k0, [n]), "dict": {"x": k0}, "op": n, "name": "k0:0",
    "name of an op": "n", "one twice": [k0, k0], "deep": [[{"x": (k0, n)}]],
}
out = {x: [s.make_callable(f)(), s.make_callable(f, [a])(1.0)] for x, f in fetches.items()}
""",
        "results are private": """
f = s.make_callable(k)
f()[...] = 0
out = f(), s.make_callable(k, [])()
""",
        "state and growth": """
v = tf.Variable(1.0)
f = s.make_callable(v.assign_add(1.0))
s.run(v.initializer)
out = [f(), f(), s.run(v)]
d = v * 2.0
out += [f(), s.run(d), s.make_callable(d)()]
""",
        "a variable in the feed list": """
v = tf.Variable(1.0)
rv = tf.Variable(1.0, use_resource=True)
s.run(tf.global_variables_initializer())
out = s.make_callable(v + 1.0, [v])(5.0), s.make_callable([rv, v], [rv, "k0:0"])(5.0, 1.0)
""",
        "tuples and repeats in the feed list": """
out = {
    "tuple": err(lambda: s.make_callable(c, [(a, b)])((2, 3))),
    "tensor twice": err(lambda: s.make_callable(c, [a, a, b])(1, 2, 3)),
    "tensor and name": err(lambda: s.make_callable(c, [a, "a:0", b])(1, 2, 3)),
    "names": s.make_callable("c:0", ["a:0", "b:0"])(2, 3),
    "list in it": err(lambda: s.make_callable(c, [[a, b]])((2, 3))),
}
""",
        "timeouts": """
q = tf.FIFOQueue(3, tf.float32, [[]])
take = q.dequeue()
f, g = s.make_callable(take, accept_options=True), s.make_callable(take, [a])
soon = tf.RunOptions(timeout_in_ms=50)
e = [failure(lambda: f(soon)), failure(lambda: g(1.0, options=soon))]
out = [(type(x).__name__, x.message, x.op, x.node_def) for x in e]
out += [s.run(q.enqueue([5.0])), f(), s.run(q.size())]
""",
        "options and metadata": """
m, o = tf.RunMetadata(), tf.RunOptions(trace_level=3, output_partition_graphs=True)
f, g = s.make_callable(c, [a, b]), s.make_callable(k0 + 1.0, accept_options=True)
out = [f(2, 3, options=o, run_metadata=m), len(m.partition_graphs), len(m.step_stats.dev_stats)]
m.Clear()
out += [g(o, m), len(m.partition_graphs), len(m.step_stats.dev_stats)]
out += [err(lambda: g(tf.RunOptions(inter_op_thread_pool=9)))]
""",
        "what may not be fed or fetched any more": """
f, g, h = s.make_callable(c, [a, b]), s.make_callable(k0), s.make_callable([k0, c], [a, b])
p = s.make_callable(k0, [])
def told():
    return [err(x)[0] for x in (lambda: f(1, 2), g, lambda: h(1, 2), p, lambda: s.run(k0))]
out = [told()]
tf.get_default_graph().prevent_feeding(b)
out.append(told())
tf.get_default_graph().prevent_fetching(k0.op)
out += [told(), told()]
""",
        "a bad op elsewhere": """
f, g = s.make_callable(c, [a, b]), s.make_callable(k0)
out = [f(1, 2)]
with tf.device("/job:nowhere"):
    bad = tf.constant(1.0, name="bad")
out += [err(lambda: f(1, 2)), err(g)]
""",
        "handles and texts as arguments": """
h = s.run(tf.get_session_handle(k0))
t = tf.placeholder(tf.string)
f, g = s.make_callable(c, [a, b]), s.make_callable([tf.identity(t), t], [t])
out = [f(h, 2.0), f(1.0, h), f(h, h), f(1.0, 1.0)]
out += [g("é"), g(b"x"), g(["a", b"b"]), err(lambda: g(3)), g(np.array(["q"]))]
""",
        "threads": """
import threading
f, found = s.make_callable(c, [a, b]), []
def work(i):
    found.append([f(i, j) for j in range(20)] == [i * j for j in range(20)])
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = found
""",
    },
    "3.5": {
        "attributes": """
def of(session):
    return session.list_devices()
one, two = of(s), of(tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})))
d = one[0]
out = {
    "names": [[x.name for x in ds] for ds in (one, two)],
    "types": [[x.device_type for x in ds] for ds in (one, two)],
    "limits": [[x.memory_limit_bytes for x in ds] for ds in (one, two)],
    "incarnations": len({x.incarnation for x in one + two} - {0}),
    "same each time": [x.incarnation for x in of(s)] == [x.incarnation for x in one],
    "incarnation is an int": type(d.incarnation).__name__,
    "repr": repr(d).rsplit(", ", 1)[0],
    "no setter": err(lambda: setattr(d, "name", "x"))[0],
    "list": type(one).__name__,
}
""",
        "many": """
config = tf.ConfigProto(device_count={"CPU": 12})
out = [x.name for x in tf.Session(config=config).list_devices()]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)


CHOICES = {
    "2.6": [
        (
            "`truncatediv` by zero",
            "out = text(lambda: s.run(tf.truncatediv(tf.constant(1), tf.identity(0))))",
            (
                "InvalidArgumentError",
                [
                    "Graph execution error:",
                    "",
                    "Node: 'TruncateDiv'",
                    "Integer division by zero",
                    "\t [[{{node TruncateDiv}}]]",
                ],
            ),
        ),
        (
            "`softmax` of a scalar of unknown rank",
            "out = err(lambda: s.run(tf.nn.softmax(tf.placeholder_with_default(1.0, None))))[0]",
            "InvalidArgumentError",
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
