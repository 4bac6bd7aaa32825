"""Sessions: the same program under real TensorFlow and under tfsession, outcomes compared."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import collections, threading

a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
n = tf.no_op(name="n")
"""

# Expressions.
CALLS = {
    "1.1": [
        "tf.Session(3)",
        "tf.Session(tf.ConfigProto())",
        "tf.Session(b'').sess_str",
        "tf.Session(None).sess_str",
        "tf.Session('').sess_str",
        "tf.Session('bogus')",
        "tf.Session('bogus', config=tf.ConfigProto(allow_soft_placement=True))",
        "tf.Session(graph=3)",
        "tf.Session(graph=tf.GraphDef())",
        "tf.Session(3, graph=3, config=3)",
        "tf.Session(3, config=3)",
        "tf.Session(config={})",
        "tf.Session(config=0)",
        "tf.Session(config=tf.RunOptions())",
        "tf.Session(config=tf.ConfigProto(device_count={'CPU': 0}))",
        "tf.Session(config=tf.ConfigProto(device_count={'CPU': -1}))",
        "[x.__name__ for x in tf.Session.__mro__]",
    ],
    "1.2": [
        "[x.__name__ for x in tf.InteractiveSession.__mro__]",
    ],
    "1.3": [
        "err(lambda: a.eval())",
        "err(lambda: n.run())",
    ],
}

# Programs that leave what is compared in `out`.
PROGRAMS = {
    "1.1": {
        "a config with all that is ignored": """
config = tf.ConfigProto(
    device_count={"CPU": 2, "FOO": 3},
    device_filters=["/job:x"],
    inter_op_parallelism_threads=-1,
)
out = tf.Session(config=config).run(k)
""",
        "graph has no setter": """
s = tf.Session()
out = err(lambda: setattr(s, "graph", 3))
""",
        "graph and graph_def": """
s = tf.Session()
out = s.graph is tf.get_default_graph(), [n.name for n in s.graph_def.node]
""",
        "the config is not changed": """
c1 = tf.ConfigProto()
s = tf.Session(config=c1)
out = c1 == tf.ConfigProto()
""",
    },
    "1.2": {
        "an interactive session": """
c1 = tf.ConfigProto()
s = tf.InteractiveSession(config=c1)
out = [
    c1.graph_options.place_pruned_graph,
    tf.get_default_session() is s,
    c.eval({a: 1, b: 2}),
    hasattr(s, "__enter__"),
]
s.close()
s.close()
out += [tf.get_default_session(), err(lambda: s.run(k))]
""",
        "two interactive sessions, closed out of order": """
s = tf.InteractiveSession()
t = tf.InteractiveSession()
out = [
    err(s.close),
    tf.get_default_session() is t,
    err(t.close),
    tf.get_default_session() is s,
    err(s.close),
    err(lambda: s.run(k)),
]
""",
        "an interactive session with a graph": """
g = tf.Graph()
s = tf.InteractiveSession(graph=g)
out = [tf.get_default_graph() is g]
s.close()
out += [tf.get_default_graph() is g]
""",
        "an interactive session with an empty config": """
s = tf.InteractiveSession(config={})
out = [s._config.gpu_options.allow_growth]
s.close()
""",
        "an interactive session with a wrong config": """
s = tf.InteractiveSession("")
out = err(lambda: tf.InteractiveSession(config=3))
s.close()
""",
    },
    "1.3": {
        "eval and run in a session of another graph": """
g = tf.Graph()
s = tf.Session(graph=g)
out = []
with s.as_default():
    out += [err(a.eval), err(n.run)]
out += [err(lambda: a.eval(session=s)), err(lambda: n.run(session=s))]
""",
        "eval and run with a session": """
s = tf.Session()
out = [
    c.eval({a: 1, b: 2}, s),
    n.run({a: 1}, s),
    err(lambda: c.eval(session=3)),
    err(lambda: c.eval({a: 1}, session=s)),
]
""",
        "with a session": """
s = tf.Session()
out = [tf.get_default_session() is None]
with s:
    out += [tf.get_default_session() is s, c.eval({a: 1, b: 2}), err(s.__enter__)]
out += [s._closed, tf.get_default_session(), err(s.__enter__), err(lambda: s.run(k))]
s.__exit__(None, None, None)
""",
        "as_default does not close": """
s = tf.Session()
out = []
with s.as_default() as q:
    out += [q is s, tf.get_default_session() is s]
out += [s._closed]
""",
        "nested defaults, left out of order": """
s = tf.Session()
t = tf.Session()
A = s.as_default()
B = t.as_default()
A.__enter__()
B.__enter__()
out = [
    err(lambda: A.__exit__(None, None, None)),
    tf.get_default_session() is t,
    err(lambda: B.__exit__(None, None, None)),
]
""",
        "reset_default_graph inside a graph": """
g = tf.Graph()
out = []
with g.as_default():
    out.append(err(tf.reset_default_graph))
""",
        "a session enters its graph": """
g = tf.Graph()
s = tf.Session(graph=g)
out = []
with s:
    out.append(tf.get_default_graph() is g)
""",
        "another thread has its own stacks": """
out = []


def f():
    out.extend(
        [
            tf.get_default_session(),
            tf.get_default_graph() is k.graph,
            tf.get_default_graph().version,
            err(lambda: tf.Session().run([])),
        ]
    )


with tf.Session():
    t = threading.Thread(target=f)
    t.start()
    t.join()
""",
        "closing after an exception": """
s = tf.Session()
th = []
orig = s.close


def cl():
    th.append((threading.current_thread().name, threading.current_thread().daemon))
    orig()


s.close = cl


def go():
    with s:
        raise KeyError("x")


out = [err(go), th, s._closed]
""",
    },
    "1.4": {
        "a closed session": """
s = tf.Session()
s.close()
s.close()
out = [
    err(lambda: s.run(k)),
    err(lambda: s.run(None)),
    err(lambda: s.make_callable(k, [])()),
    err(lambda: s.list_devices()),
    err(lambda: len(s.graph_def.node)),
    s._closed,
]
""",
        "callables of a closed session": """
s = tf.Session()
f = s.make_callable(k)
g = s.make_callable(c, [a, b])
f()
g(1, 2)
s.close()
out = [err(f), err(lambda: g(1, 2)), err(lambda: s.make_callable([])())]
""",
    },
    "1.5": {
        "an empty graph": """
g = tf.Graph()
s = tf.Session(graph=g)
out = [
    err(lambda: s.run([])),
    err(lambda: s.run(k)),
    err(lambda: s.make_callable([])()),
    err(lambda: s.run([], {3: 4})),
    err(lambda: s.make_callable([], [])()),
]
""",
        "nothing to fetch": """
s = tf.Session()
out = [
    err(lambda: s.make_callable([])()),
    err(lambda: s.make_callable({})()),
    err(lambda: s.run([])),
]
""",
        "ops added between runs": """
s = tf.Session()
r = [s.run(k).sum()]
z = tf.constant(5.0)
r += [s.run(z), s.run([z, k.op])]
out = r
""",
        "an op that cannot be placed": """
s = tf.Session()
s.run(k)
with tf.device("/job:zz/cpu:0"):
    z = tf.constant(5.0, name="bad")
out = [err(lambda: s.run(k)), err(lambda: s.make_callable(k)), err(lambda: s.run(c))]
""",
        "an op that cannot be placed, place_pruned_graph": """
s = tf.Session(
    config=tf.ConfigProto(graph_options=tf.GraphOptions(place_pruned_graph=True))
)
s.run(k)
with tf.device("/job:zz/cpu:0"):
    z = tf.constant(5.0, name="bad")
out = [err(lambda: s.run(k).sum()), err(lambda: s.run(z))]
""",
        "a finalized graph": """
tf.get_default_graph().finalize()
s = tf.Session()
out = [err(lambda: s.run(k).sum()), err(lambda: tf.constant(1))]
""",
        "an op changed after it was run": """
s = tf.Session()
a.set_shape([])
s.run(k)
k.op._set_device("/cpu:0")
out = err(lambda: s.run(k).sum())
""",
    },
    "1.6": {
        "an element of another graph": """
g = tf.Graph()
with g.as_default():
    z = tf.constant(1, name="k")
s = tf.Session()
out = [
    err(lambda: s.run(z)),
    err(lambda: s.run(z.op)),
    err(lambda: s.run(c, {z: 1})),
    err(lambda: tf.add(k, z)),
]
""",
    },
    "2.4": {
        "prevent_feeding": """
s = tf.Session()
tf.get_default_graph().prevent_feeding(a)
out = [
    err(lambda: s.run(c, {a: 1, b: 2})),
    err(lambda: s.run(c, {a: [1], b: 2})),
    tf.get_default_graph().is_feedable(a),
    tf.get_default_graph().is_feedable(b),
]
""",
    },
    "2.5": {
        "prevent_feeding and prevent_fetching after a run": """
s = tf.Session()
s.run(c, {a: 1, b: 2})
tf.get_default_graph().prevent_feeding(a)
tf.get_default_graph().prevent_fetching(k.op)
out = [
    err(lambda: s.run(c, {a: 1, b: 2})),
    [
        x[:45]
        for x in (
            err(lambda: s.run(k)) + err(lambda: s.run(k.op)) + err(lambda: s.run("k"))
        )
    ],
]
""",
    },
    "2.6": {
        "an error of run": """
s = tf.Session()
e0 = None
try:
    s.run(c, {a: 1.0})
except Exception as e:
    e0 = e
out = [
    e0.op is b.op,
    e0.node_def is not None,
    e0.args,
    repr(e0),
    e0.message,
    str(e0).split("Original stack")[0],
]
""",
        "an error of a callable": """
s = tf.Session()
e0 = None
f = s.make_callable(tf.negative(a))
try:
    f()
except Exception as e:
    e0 = e
out = [e0.op, e0.node_def, e0.args, repr(e0), e0.message]
""",
    },
    "3.1": {
        "make_callable with wrong arguments": """
s = tf.Session()
out = [
    err(lambda: s.make_callable(k, 3)),
    err(lambda: s.make_callable(k, {})),
    err(lambda: s.make_callable(None)),
    err(lambda: s.make_callable(None, [])),
    err(lambda: s.make_callable("zz")),
]
""",
        "a callable with a feed list, wrong arguments": """
s = tf.Session()
g = s.make_callable(c, [a, b])
out = [
    err(lambda: g(1)),
    err(lambda: g(1, 2, 3)),
    err(lambda: s.make_callable(tf.negative(a), [a])()),
    err(lambda: g(1, 2, options=None)),
    err(lambda: g(1, 2, zz=None)),
    err(lambda: g(1, 2, feed_dict={})),
    err(lambda: g(1, "x")),
    err(lambda: g([1], 2)),
]
""",
        "a callable without a feed list, options": """
s = tf.Session()
g = s.make_callable(k)
out = [
    err(lambda: g(1)),
    err(lambda: g(options=None)),
    err(
        lambda: s.make_callable(k, accept_options=True)(
            options=tf.RunOptions(), run_metadata=tf.RunMetadata()
        )
    ),
    err(lambda: s.make_callable(k, accept_options=True)(zz=3)),
]
""",
        "what callables give": """
s = tf.Session()
out = [
    err(s.make_callable(tf.negative(a))),
    err(s.make_callable([n, k])),
    err(s.make_callable(n)),
    err(s.make_callable({"x": (k, n)})),
    err(lambda: s.make_callable(tf.negative(a), [b])(1)),
    err(lambda: s.make_callable(c, [a, a, b])(1.0, 2.0, 3.0)),
]
""",
    },
    "3.4": {
        "reset": """
s = tf.Session()
tf.Session.reset("")
out = [
    err(lambda: s.run(k)),
    s._closed,
    err(lambda: tf.Session.reset(3)),
    err(lambda: tf.Session.reset("bogus")),
    err(lambda: tf.Session.reset("", ["x"])),
    err(lambda: tf.Session.reset("", config=3)),
    err(lambda: tf.Session.reset(None)),
]
""",
    },
    "3.5": {
        "three CPU devices": """
s = tf.Session(config=tf.ConfigProto(device_count={"CPU": 3}))
out = (
    [(x.name, x.device_type, x.memory_limit_bytes) for x in s.list_devices()],
    repr(s.list_devices()[0])[:70],
)
""",
    },
    "8.1": {
        "run_metadata is replaced": """
s = tf.Session()
m = tf.RunMetadata()
m.partition_graphs.add()
r1 = s.run(k, run_metadata=m)
out = len(m.partition_graphs)
""",
        "run_metadata after an error": """
s = tf.Session()
m = tf.RunMetadata()
m.partition_graphs.add()
r1 = err(lambda: s.run(tf.negative(a), run_metadata=m))
out = len(m.partition_graphs), r1
""",
    },
}


@pytest.mark.rows("call", CALLS)
def test_a_call_has_the_same_outcome(call, assert_same):
    assert_same(PRELUDE, f"out = {call}")


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)


CHOICES = {
    "1.1": [
        (
            "`Session('grpc://...')`",
            "out = err(lambda: type(tf.Session('grpc://localhost:1')).__name__)",
            ("UnimplementedError", "Sessions on other processes are not supported."),
        ),
    ],
    "1.4": [
        (
            "`make_callable` on a closed session",
            """
s = tf.Session()
s.close()
out = err(lambda: callable(s.make_callable(k)))
""",
            ("ok", True),
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
