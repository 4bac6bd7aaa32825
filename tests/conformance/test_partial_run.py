"""Partial runs: the same program under real TensorFlow and under tfsession, outcomes compared."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# r1 = b + a, r2 = r1 * c, r3 = c * d + r1; `p` makes a call of the partial run `h`, and `begin`
# begins another one. No wait is longer than the timeout: real TensorFlow would wait for ever.
PRELUDE = """
import collections, threading

a, b, c, d = [tf.placeholder(tf.float32, [], name=name) for name in "abcd"]
r1 = tf.add(b, a, name="r1")
r2 = tf.multiply(r1, c, name="r2")
m = tf.multiply(c, d, name="m")
r3 = tf.add(m, r1, name="r3")
s = tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=4000))
setup, run = s.partial_run_setup, s.run
h = None


def begin(*args):
    global h
    h = s.partial_run_setup(*args)


def p(*args):
    return err(lambda: s.partial_run(h, *args))
"""

SETUPS = [
    "setup([r1, r2], [a, b, c])",
    "setup([r2, r1], (c, b, a))",
    "setup(r1, [a, b])",
    'setup(["r1:0", r1, "r2"], ["a:0", b"b:0", c])',
    "setup([r2.op, r1.op], [a, b, c])",
    'setup({"x": [r1, (r2,)], "y": r1}, [a, b, c])',
    'setup(collections.OrderedDict([("b", r1), ("a", r2.op)]), [a, b, c])',
    "setup(r2, [r1, c])",
    "setup(tf.constant(1.0))",
    "setup(tf.constant(1.0), None)",
    "setup(tf.constant(1.0), [])",
    "setup([tf.constant(1.0)], a)",
    "setup(tf.Variable(1.0), a)",
    "setup(tf.IndexedSlices(tf.stack([r1]), [0]), [a, b])",
    "setup([], [a])",
    "setup([], [])",
    "setup({}, a)",
    "setup([], [b, b])",
    "setup([a], [a])",
    "setup([b, a, r1], [b, a])",
    "setup([r1, a], [a, b, b])",
    "setup(r1, [b, b, a, a])",
    'setup(r1, [a, b, "a:0"])',
    "setup([a, r1.op], [a, b])",
    "setup(None, [a])",
    "setup([None], [a])",
    'setup("zz", [a])',
    'setup("zz:0", [a])',
    "setup(3, [a])",
    "tf.Session(graph=tf.Graph()).partial_run_setup([], [])",
    'tf.Session(graph=tf.Graph()).partial_run("x", [])',
    "s.close() or setup(r1, [a, b])",
    "s.close() or s.partial_run('x', r1)",
    "[setup(r1, [a, b]) for _ in range(3)]",
    "[err(lambda: setup(*x)) for x in ((r1, a), ([], a), (a, a), (r1, [a, a]), (r1, b))]",
]

# Calls of one partial run, each after those before it.
SEQUENCES = {
    "values": """
begin([r1, r2], [a, b, c])
out = [p(r1, {a: 1, b: 2}), p(r2, {c: 10.0}), p(r2)]
""",
    "one by one": """
begin([r1, r2], [a, b, c])
out = [p([], {c: 1}), p([], {a: 2}), p({}, {b: 3}), p([r2]), p((r1,)), p([], {})]
""",
    "not declared": """
begin([r1, r2], [a, b, c])
out = [
    p(r1, {r1: 1.0}),
    p(r1, {"m:0": 1.0, r1: 1.0}),
    p(r1, {d: 1.0, a: 1.0, b: 1.0}),
    p(m),
    p([r1, m]),
    p(m, {d: 1.0}),
    p(a),
    p([a, m], {a: 1.0}),
    p(r1, {a: 1.0, b: 2.0}),
    p(r2, {c: 2.0}),
]
""",
    "twice": """
begin([r1, r2], [a, b, c])
out = [
    p(r1, {a: 1, b: 2}),
    p([], {a: 1}),
    p(r1),
    p(r1, {c: 1}),
    p(r2, {b: 1}),
    p([r1, m]),
    p([m, r1]),
    p(r2, {c: 3}),
    p(r2),
]
""",
    "missing": """
begin([r1, r2, r3], [a, b, c, d])
out = [
    p(r1),
    p(r2),
    p(r3),
    p([r1, r3]),
    p([r3, r1]),
    p(r3, {a: 1}),
    p(r3, {b: 1}),
    p(r3, {a: 1, b: 1}),
    p(r3, {c: 1}),
    p(r3, {c: 1, d: 1}),
    p(r3, {a: 1, b: 1, c: 1}),
    p(r1, {a: 1, b: 2}),
    p([r2, r3], {d: 1}),
    p([r2, r3], {c: 1}),
    p([r2, r3], {c: 1, d: 1}),
]
""",
    "missing, deep and wide": """
x = [tf.placeholder(tf.float32, [], name=f"x{i}") for i in range(6)]
y = tf.add_n([x[3] * x[1], x[0] - x[5]], name="y")
z = tf.subtract(y * x[4], x[2] + x[0], name="z")
begin([y, z, r1], [*x, a, b])
out = []
for given in ([], [4], [4, 2], [3], [4, 0, 2], [4, 0, 2, 5], [4, 0, 2, 3, 1], [0, 1, 2, 3, 4]):
    out += [p(fetch, {x[i]: 1.0 for i in given}) for fetch in (y, z, [r1, z], [z, r1], [z, y])]
""",
    "operations": """
begin([r1, r1.op, r2], [a, b, c])
out = [
    p(r1.op),
    p("r1"),
    p([r1, r1.op], {a: 1, b: 1}),
    p([r1.op, m], {m: 1}),
    p({"x": [tf.no_op()]}),
    p(r1, {a: 1, b: 1}),
]
""",
    "feed errors": """
begin([r1, r2], [a, b, c])
out = [
    p(r1, {a: [1.0]}),
    p(r1, {a: 1.0, b: "x"}),
    p(r1, {b: 1.0, a: "x"}),
    p(r1, {a: r1}),
    p(r1, {"zz": 1.0}),
    p(r1, {"zz:0": 1.0, a: "x"}),
    p(r1, {r1.op: 1.0}),
    p(r1, {(a, b): (1.0,)}),
    p(r1, {(a, b): (1.0, 2.0), a: 3.0}),
    p(r1, [1.0]),
    p(r1, 3),
    p("zz", {a: "x"}),
    p("zz", {a: 1.0}),
    p(None, {a: 1.0}),
    p([None]),
    p(3, {a: 1.0}),
    p(r1, {(a, b): (1.0, 2.0)}),
    p(r2, {c: True}),
]
""",
    "what may not be fed or fetched": """
begin([r1, r2], [a, b, c])
s.graph.prevent_feeding(a)
out = [p(r1, {a: 1.0, b: 1.0}), p(r1, {b: 1.0, a: "x"})]
s.graph.prevent_fetching(r1.op)
out += [p(r1, {b: 1.0})[0], err(lambda: setup(r1, [a, b]))[0], err(lambda: setup(r2, [a, c]))]
""",
    "unknown handles": """
begin(r1, [a, b])
other = tf.Session()
out = [
    err(lambda: s.partial_run(x, r1, {a: 1, b: 1})) for x in ("zz", h + "1", h.replace("0", "1"))
]
out += [err(lambda: other.partial_run(h, r1, {a: 1, b: 1})), err(lambda: s.partial_run("zz", []))]
out += [err(lambda: s.partial_run(x, r1))[0] for x in (3, 3.5, [h], (h,), object(), True)]
out += [err(lambda: s.partial_run("zz", [r1, r1.op])), err(lambda: s.partial_run(3, "r1"))]
out += [err(lambda: s.partial_run("zz", r1, {a: "x"})), err(lambda: s.partial_run("zz", "zz"))]
out += [err(lambda: s.partial_run(h.encode(), r1, {a: 1, b: 1})), p(r1)]
""",
    "None is an ordinary run": """
out = [p(r1, {a: 1, b: 1}), p([r1.op, r1], {a: 1, b: 1}), p(r1, {a: 1}), p([])]
""",
    "structures": """
begin({"x": [r1, (r2, r3)]}, [a, b, c, d])
P = collections.namedtuple("P", "x y")
out = [
    p(P(r1, [r1, r1]), {a: 1, b: 2}),
    p(collections.OrderedDict([("z", r2), ("c", c), ("y", [{}, ()])]), {c: 2}),
    p({"x": d, "y": (d, r3)}, {d: 4}),
]
""",
    "what is fed is given back": """
begin(r1, [a, b])
x = np.array(1.0, np.float32)
out = [p(a, {a: x})[1] is x, p(b, {"b:0": 2}), p(r1)]
""",
    "types and flags": """
k = tf.constant([1.0, 2.0])
i = tf.placeholder(tf.int32, [None])
begin([k, r1, i + 1, tf.reshape(k, [2, 1])], [a, b, i])
names = [n for n in h.split("->")[1].split("/")[0].split(",") if n != "r1:0"]
out = [p(r1, {a: 1, b: 1}), p(names, {i: []})]
out.append([(x.flags.writeable, x.flags.c_contiguous) for x in out[1][1]])
""",
    "texts": """
t = tf.placeholder(tf.string, name="t")
same = tf.identity(t, name="same")
begin(same, [t, a])
out = [
    p(same, {t: np.array([1, None], object)}),
    p([same, t], {t: ["\\u00e9", b"x"]}),
    p([], {a: 1}),
]
""",
    "IndexedSlices": """
x = tf.IndexedSlices(tf.placeholder(tf.float32), tf.placeholder(tf.int64))
y = tf.IndexedSlices(x.values * 2.0, x.indices + 1)
begin(y, [x])
out = [p([x, y], {x: ([1.0, 2.0], [3, 4])})]
""",
    "needed by nothing": """
out = []
for first in ([], r1):
    begin(r1, [a, b, d])
    out += [p(first, {d: 1} if first == [] else {a: 1, b: 1}), p([])]
    out += [p(r1, {a: 1, b: 1}) if first == [] else p([], {d: 1}), p([], {d: 1})]
""",
    "fed instead of computed": """
begin(r2, [r1, c])
out = [p(r2, {c: 1}), p(r2, {a: 1}), p(r2, {r1: 5}), p(r2, {r1: 5, c: 2})]
""",
    "control inputs": """
x = tf.multiply(a, 2.0, name="x")
with tf.control_dependencies([x.op]):
    k = tf.add(b, 1.0, name="k")
begin(k, [b, x, a])
out = [p(k, {b: 1.0}), p(k, {b: 1.0, a: 1.0}), p([], {x: 1.0}), p([], {x: 1.0})]
""",
}

STEPS = {
    "ops run as soon as they can": """
v = tf.Variable(0.0)
w = tf.Variable(1.0, use_resource=True)
ops = [tf.assign_add(v, a).op, w.assign_add(a * b).op, tf.assign_add(v, 100.0).op]
run(tf.global_variables_initializer())
begin(ops, [a, b])


def seen(wanted):
    for _ in range(400):
        if run([v, w]) == wanted:
            return True
        threading.Event().wait(0.01)
    return run([v, w])


out = [seen([100.0, 1.0]), p([], {a: 5}), seen([105.0, 1.0])]
out += [p([], {b: 2}), seen([105.0, 11.0]), p([], {b: 2})]
""",
    "variables": """
v = tf.Variable(1.0, name="v", use_resource=False)
w = tf.Variable(1.0, name="w", use_resource=True)
more = [tf.assign_add(v, 10.0).op, w.assign_add(10.0).op]
read = w.read_value()
run(tf.global_variables_initializer())
begin([v, w, read], [a])
run(tf.no_op()), threading.Event().wait(0.1)
run(more)
out = [p(v), p(read), p(w), p([], {a: 1}), run([v, w])]
begin(tf.add(v, b, name="sum"), [v, b])
out += [p("sum:0", {v: 5, b: 1}), run(v)]
begin(tf.assign_add(v, a, name="more"), [a])
out += [p("more:0", {a: 1}), run(v)]
""",
    "interleaved with each other, runs, and a growing graph": """
begin([r1, r2], [a, b, c])
first = h
out = [p([], {a: 1}), run(r1, {a: 1, b: 1})]
more = tf.add(r2, 1.0, name="more")
begin([r1, more], [a, b, c])
out += [h, p(r1, {a: 10, b: 1}), run(more, {a: 1, b: 1, c: 1}), p(r2)]
second, h = h, first
out += [p(r1, {b: 2}), p(more), p(r2, {c: 2})]
h = second
out += [p(more, {c: 3})]
""",
    "cond and while_loop": """
n = tf.placeholder(tf.int32, [], name="n")
q = tf.placeholder(tf.bool, [], name="q")
k = tf.cond(q, lambda: a * 2.0, lambda: b + 1.0)
w = tf.while_loop(lambda i, x: i < n, lambda i, x: (i + 1, x * b), (0, a))[1]
begin([k, w], [a, b, n, q])
out = [h, p(k), p(k, {q: True}), p(k, {q: True, a: 1}), p(k, {q: True, a: 1, b: 3})]
out += [p(w), p(w, {n: 3}), p(w)]
begin([k, w], [a, b, n, q])
out += [p([], {n: 2, q: False}), p(w, {a: 2}), p(w, {a: 2, b: 5}), p(k)]
""",
    "a way not taken": """
from google.protobuf import text_format

g = tf.GraphDef()
text = '''
    node { name: "switch" op: "Switch" input: "x" input: "p" attr { key: "T" value { type: 1 } } }
    node { name: "merge" op: "Merge" input: "switch" input: "switch:1"
           attr { key: "T" value { type: 1 } } attr { key: "N" value { i: 2 } } }
'''
text_format.Parse(text.replace("type: 1", "type: DT_FLOAT"), g)
q = tf.placeholder(tf.bool, [], name="q")
ways = tf.import_graph_def(g, {"x": a, "p": q}, ["switch:0", "switch:1", "merge:0"], name="")
false, true, merged = *ways[:2], ways[2]
false = tf.identity(false, name="false")
out = []
for taken in (True, False):
    begin([false, true, merged], [a, q])
    out += [p([], {q: taken}), p(merged, {a: 4}), p(true), p(false), p(false), p([])]
""",
    "a failure": """
x = tf.placeholder(tf.float32, name="x")
bad = tf.subtract(x, [1.0, 2.0], name="bad")
begin([bad, r1], [x, a, b])
out = [p(bad, {x: [1.0, 2.0, 3.0]}), p(r1, {a: 1, b: 1})]
""",
    "a failure at the setup": """
begin([r1, r2], [a, b])
threading.Event().wait(0.3)  # real TensorFlow fails in the background
out = [p(c), p(r2), p(r1, {d: 1}), p(r1, {a: 1, b: 1}), p(r1, {a: 1, b: 1})]
""",
    "reset": """
begin(r1, [a, b])
tf.Session.reset("")
out = [p(r1, {a: 1, b: 1}), p(m), err(lambda: setup(r1, [a, b])), err(lambda: setup([], a))]
out += [err(lambda: s.partial_run("zz", r1)), p(r1.op), p([])]
""",
    "no place": """
begin(r1, [a, b])
with tf.device("/gpu:77"):
    tf.identity(1.0)
out = [err(lambda: setup(x, [a, b]))[0] for x in (r1, [])] + [p(r1, {a: 1, b: 1})]
""",
    "threads": """
count = 16
x = [tf.placeholder(tf.float32, [], name=f"x{i}") for i in range(count)]
begin([tf.add_n(x, name="sum"), tf.add_n(x[:4], name="part")], x)
results = []


def feed(i):
    results.append(p([], {x[i]: i}))


def together(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


together([threading.Thread(target=feed, args=(i,)) for i in range(count)])
out = [results == [("ok", [])] * count, p(["part:0"]), p("sum:0"), p("sum:0")]
""",
    "a wait for another one's enqueue": """
q = tf.FIFOQueue(3, tf.float32, [[]])
put, take = q.enqueue([a]), q.dequeue()
total = tf.add(take, b, name="total")
begin(total, [b])
waiting = []
thread = threading.Thread(target=lambda: waiting.append(p(total, {b: 1})))
thread.start()
thread.join(0.2)
out = [list(waiting), run(put, {a: 5}), thread.join(5), waiting, run(q.size())]
begin([put, total], [a, b])
out += [p([], {a: 7}), p(total, {b: 1}), run(q.size())]
""",
    "a timeout": """
s = tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=300))
q = tf.FIFOQueue(3, tf.float32, [[]])
total = tf.add(q.dequeue(), b, name="total")
begin(total, [b])
closing = threading.Timer(2.0, lambda: s.run(q.close(cancel_pending_enqueues=True)))
closing.start()  # what ends the wait of real TensorFlow's step
out = [p(total, {b: 1}), p(total)]
closing.cancel()
""",
}


@pytest.mark.rows("call", {"3.3": SETUPS})
def test_a_call_has_the_same_outcome(call, outcomes):
    real, ours = outcomes(PRELUDE, f"out = {call}")
    assert ours == real


@pytest.mark.rows("program", {"3.3": SEQUENCES | STEPS})
def test_a_program_has_the_same_outcome(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert ours == real


BAD_FEED = "Cannot interpret argument `feed` key as Tensor: "
FAILURE = """
x = tf.placeholder(tf.float32, name="x")
bad = tf.subtract(x, [1.0, 2.0], name="bad")
other, h = setup(r1, [a, b]), setup(bad, x)
failed = p(bad, {x: [1.0, 2.0, 3.0]})[0]
h = other
threading.Event().wait(0.2)
out = [failed, p(r1, {a: 1, b: 1})[0], err(lambda: run(r1, {a: 1, b: 1}))[0]]
"""
BESIDE = """
begin(r2, [a, b, r1, c])
out = p(r2, {r1: 3, c: 2})[0]
"""
AWAITED = """
with tf.control_dependencies([a]):
    k = tf.add(b, 1.0, name="k")
s = tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=300))
begin(k, [a, b])
out = p(k, {b: 1})[0]
"""

# Real TensorFlow takes an array as it is where its address suits it.
CHANGED = """
x = tf.placeholder(tf.float32, [None], name="x")
begin([tf.add(x, a, name="sum"), tf.reshape(x, [-1, 2], name="pairs")], [x, a])
room = np.zeros(1064, np.float32)
fed = room[-room.ctypes.data % 64 // 4 :][:1000]
p([], {x: fed})
fed[:] = 7
out = [float(p("sum:0", {a: 0})[1].max()), float(p("pairs:0")[1].max())]
"""

CHOICES = {
    "3.3": [
        (
            "`partial_run_setup` with a key that is no tensor",
            f"""
feeds = ("zz:0", "a", [3], [None], [(a, b)], {{a: 1.0}}, [r1.op])
out = [x[:{len(BAD_FEED)}] for x in [err(lambda: setup(r1, f))[1] for f in feeds]]
out += [err(lambda: setup(r1, f))[0] for f in feeds]
""",
            [BAD_FEED] * 7 + ["TypeError"] * 7,
        ),
        ("an array fed to a partial run", CHANGED, [0.0, 0.0]),
        ("a failed partial run", FAILURE, ["InvalidArgumentError", "ok", "ok"]),
        ("a partial run's fetch behind what is fed", BESIDE, "ok"),
        ("a partial run's fetch that waits for a placeholder", AWAITED, "InvalidArgumentError"),
        (
            "the text of a partial run's handle",
            "out = [setup([r2, r1], [c, b, a])[:-1] for _ in range(2)]",
            ["a:0,b:0,c:0->r1:0,r2:0//1/;"] * 2,
        ),
    ]
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
