"""Sessions from construction to close: what the specification says, line by line."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import logging, threading

a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder(tf.float32, [], name="b")
c = tf.multiply(a, b, name="c")
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
n = tf.no_op(name="n")


def other_graph():
    g = tf.Graph()
    with g.as_default():
        tf.constant([5.0], name="k")
        tf.no_op(name="n")
    return g


def logged(f):
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append((record.levelname, record.getMessage()[:72]))
    names = "tensorflow", "tfsession"
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        f()
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)
    return records
"""

PROGRAMS = {
    "1.1": {
        "target: each type": """
out = {
    repr(t): err(lambda: tf.Session(t).sess_str)
    for t in ("", b"", None, 3, 1.5, [], ["x"], {}, True, "x", b"x", "local", "http://h:1", "é")
}
""",
        "target: messages": """
out = {
    t.__name__: err(lambda: tf.Session(t()))
    for t in (tf.ConfigProto, tf.RunOptions, tf.GraphDef, tf.Graph)
}
""",
        "graph: each type": """
out = {
    type(g).__name__: err(lambda: type(tf.Session(graph=g)).__name__)
    for g in (None, tf.Graph(), tf.GraphDef(), k, n, "g", 0, [], tf.ConfigProto())
}
""",
        "config: each type": """
out = {
    type(x).__name__: err(lambda: type(tf.Session(config=x)).__name__)
    for x in (
        None, tf.ConfigProto(), {}, 0, "", b"", [], (), False, 1.5,
        tf.RunOptions(), tf.GPUOptions(), tf.GraphOptions(), tf.ConfigProto, tf.Graph(),
    )
}
""",
        "order of the checks": """
out = {
    "all three": err(lambda: tf.Session(3, 3, 3)),
    "target and config": err(lambda: tf.Session(3, None, 3)),
    "graph and config": err(lambda: tf.Session("", 3, 3)),
    "target unknown, config wrong": err(lambda: tf.Session("x", None, 3)),
    "too many": err(lambda: tf.Session("", None, None, 4))[0],
    "unknown name": err(lambda: tf.Session(conf=3))[0],
}
""",
        "no graph needs to exist yet": """
g = tf.Graph()
s = tf.Session(graph=g)
with g.as_default():
    x = tf.constant(2.0)
out = s.run(x)
""",
        "the default graph of the moment of construction": """
g = other_graph()
with g.as_default():
    s = tf.Session()
out = {
    "graph": s.graph is g,
    "run outside of the scope": s.run("k:0"),
    "not the default graph": err(lambda: s.run(c)),
}
""",
        "a config changed later has no effect": """
x = tf.ConfigProto(device_count={"CPU": 2})
s = tf.Session(config=x)
x.device_count["CPU"] = 5
x.graph_options.infer_shapes = True
x.allow_soft_placement = True
with tf.device("/gpu:0"):
    z = tf.constant(1.0)
out = {
    "devices": [d.name for d in s.list_devices()],
    "shapes": ["_output_shapes" in node.attr for node in s.graph_def.node],
    "hard placement": err(lambda: s.run(z))[0],
}
""",
        "the session never changes its config": """
x = tf.ConfigProto(device_count={"CPU": 2}, allow_soft_placement=True)
before = x.SerializeToString(deterministic=True)
with tf.Session(config=x) as s:
    s.run(k)
out = x.SerializeToString(deterministic=True) == before
""",
        "attributes": """
s = tf.Session()
first, second = s.graph_def, s.graph_def
first.node[0].name = "changed"
out = {
    "graph": s.graph is tf.get_default_graph(),
    "graph_def is fresh": [x.node[0].name for x in (second, s.graph_def)],
    "type of graph_def": type(first).__name__,
    "graph_def has no setter": err(lambda: setattr(s, "graph_def", 3))[0],
    "sess_str has no setter": err(lambda: setattr(s, "sess_str", 3))[0],
    "graph has no setter": err(lambda: setattr(s, "graph", 3))[0],
    "sess_str": [tf.Session(t).sess_str for t in ("", b"", None)],
}
""",
        "graph_def with infer_shapes": """
def shapes(flag):
    s = tf.Session(config=tf.ConfigProto(graph_options=tf.GraphOptions(infer_shapes=flag)))
    return {
        node.name: str(node.attr["_output_shapes"]) for node in s.graph_def.node
        if "_output_shapes" in node.attr
    }
out = {flag: shapes(flag) for flag in (False, True)}
""",
        "device_count": """
def names(**counts):
    return [d.name for d in tf.Session(config=tf.ConfigProto(device_count=counts)).list_devices()]
out = {
    "none": names(),
    "three": names(CPU=3),
    "others": names(FOO=7, cpu=5, GPU=2, TPU=1),
    "no CPU": err(lambda: names(CPU=0)),
    "negative": err(lambda: names(CPU=-2)),
    "no GPU": names(GPU=0),
}
""",
        "device_filters": """
config = tf.ConfigProto(device_filters=["/job:x", "/device:CPU:7", "/cpu:*", ""])
s = tf.Session(config=config)
out = s.run(c, {a: 2, b: 3}), len(s.list_devices())
""",
        "isinstance": """
s = tf.Session()
i = tf.InteractiveSession()
out = [x.__name__ for x in type(s).__mro__], isinstance(i, tf.Session)
i.close()
""",
        "a device filter that is none": """
config = tf.ConfigProto(device_filters=["/job:x", "garbage"])
out = err(lambda: tf.Session(config=config).run(c, {a: 2, b: 3}))
""",
        "arguments by place and by name": """
g = tf.Graph()
out = [
    tf.Session("", g).graph is g, tf.Session(target="", graph=g, config=None).graph is g,
    tf.Session(None, None, None).graph is k.graph, tf.Session(config=tf.ConfigProto()).sess_str,
]
""",
        "a class of one's own": """
class Mine(tf.Session):
    def __init__(self):
        super().__init__(graph=tf.Graph())

    def run(self, *args, **kwargs):
        return "mine"
m = Mine()
with m.graph.as_default():
    x = tf.constant(1.0)
out = [m.run(3), super(Mine, m).run(x)]
with m:
    out += [x.eval(), tf.get_default_session() is m]
""",
        "graph_def grows with the graph": """
s = tf.Session()
before = len(s.graph_def.node)
tf.constant(1.0)
out = len(s.graph_def.node) - before, s.graph_def == s.graph_def, s.graph_def is s.graph_def
""",
    },
    "1.2": {
        "config that is false": """
def seen(config):
    s = tf.InteractiveSession(config=config)
    made = s._config.gpu_options.allow_growth, s._config.graph_options.place_pruned_graph
    s.close()
    return made
out = {repr(x): seen(x) for x in (None, {}, 0, "", [])}
""",
        "the caller's config is changed": """
x = tf.ConfigProto()
s = tf.InteractiveSession(config=x)
out = x.graph_options.place_pruned_graph, x.gpu_options.allow_growth
s.close()
""",
        "arguments": """
out = {
    "config": err(lambda: tf.InteractiveSession(config=3)),
    "graph": err(lambda: tf.InteractiveSession(graph=3)),
    "target": err(lambda: tf.InteractiveSession(3)),
    "unknown target": err(lambda: tf.InteractiveSession("bogus"))[0],
    "default session after all": tf.get_default_session(),
}
""",
        "a second one while one is active": """
made = []
first = logged(lambda: made.append(tf.InteractiveSession()))
second = logged(lambda: made.append(tf.InteractiveSession()))
out = {"first": first, "second": second, "default": tf.get_default_session() is made[1]}
made[1].close()
made[0].close()
out["again"] = logged(lambda: made.append(tf.InteractiveSession()))
made[2].close()
""",
        "closing out of order": """
s, t = tf.InteractiveSession(), tf.InteractiveSession()
out = {
    "wrong one first": err(s.close)[0],
    "its session is closed": err(lambda: s.run(k)),
    "the other is the default": tf.get_default_session() is t,
    "again": err(s.close),
    "the other": err(t.close),
    "what is left": tf.get_default_session() is s,
}
""",
        "what it is not": """
s = tf.InteractiveSession()
out = {
    "with": err(lambda: s.__enter__())[0],
    "as_default": err(lambda: s.as_default().__enter__() is s),
    "eval": k.eval(),
    "run": n.run(),
}
""",
        "a graph of its own": """
g = other_graph()
s = tf.InteractiveSession(graph=g)
out = {
    "default graph": tf.get_default_graph() is g,
    "value": g.get_tensor_by_name("k:0").eval(),
    "of the other graph": err(k.eval),
}
s.close()
out["after"] = tf.get_default_graph() is k.graph
""",
        "a bad op elsewhere": """
s = tf.InteractiveSession()
with tf.device("/job:nowhere"):
    bad = tf.constant(1.0, name="bad")
out = s.run(k), err(lambda: s.run(bad))[0]
s.close()
""",
    },
    "1.3": {
        "stacks of sessions": """
s, t = tf.Session(), tf.Session()
out = {"none": tf.get_default_session()}
with s.as_default():
    with t.as_default():
        out["inner"] = tf.get_default_session() is t
    out["outer"] = tf.get_default_session() is s
    with s.as_default():
        out["twice"] = tf.get_default_session() is s
out["left"] = tf.get_default_session()
out["neither is closed"] = s.run(n), t.run(n)
""",
        "as_default leaves the graph": """
g = other_graph()
s = tf.Session(graph=g)
with s.as_default():
    out = {"default graph": tf.get_default_graph() is k.graph}
with s:
    out["with"] = tf.get_default_graph() is g
out["after"] = tf.get_default_graph() is k.graph
""",
        "stacks of graphs": """
g, h = tf.Graph(), tf.Graph()
with g.as_default() as inside:
    out = {"as": inside is g}
    with h.as_default():
        out["inner"] = tf.get_default_graph() is h
    out["outer"] = tf.get_default_graph() is g
out["left"] = tf.get_default_graph() is k.graph
""",
        "graphs left out of order": """
g, h = tf.Graph(), tf.Graph()
G, H = g.as_default(), h.as_default()
G.__enter__()
H.__enter__()
out = {
    "wrong one": err(lambda: G.__exit__(None, None, None)),
    "stack as it was": tf.get_default_graph() is h,
    "right one": err(lambda: H.__exit__(None, None, None)),
}
""",
        "sessions left out of order": """
s, t = tf.Session(), tf.Session()
S, T = s.as_default(), t.as_default()
S.__enter__()
T.__enter__()
out = {
    "wrong one": err(lambda: S.__exit__(None, None, None)),
    "stack as it was": tf.get_default_session() is t,
    "right one": err(lambda: T.__exit__(None, None, None)),
}
""",
        "with pushes both and closes": """
g = other_graph()
s = tf.Session(graph=g)
with s as inside:
    out = {
        "as": inside is s,
        "session": tf.get_default_session() is s,
        "graph": tf.get_default_graph() is g,
    }
out["session after"] = tf.get_default_session()
out["graph after"] = tf.get_default_graph() is k.graph
out["closed"] = err(lambda: s.run("k:0"))
""",
        "entering again": """
s = tf.Session()
with s:
    out = {"inside": err(s.__enter__), "still works": s.run(n)}
with s:
    out["closed, entered again"] = tf.get_default_session() is s
    out["and run"] = err(lambda: s.run(n))
with s.as_default(), s.as_default():
    out["as_default"] = tf.get_default_session() is s
""",
        "an exception comes out of with": """
names = [[], []]
def leave(error):
    s = tf.Session()
    close = s.close
    def closed():
        names[0].append(threading.current_thread().name)
        names[1].append(threading.current_thread().daemon)
        close()
    s.close = closed
    def body():
        with s:
            raise error
    return err(body), err(lambda: s.run(n)), tf.get_default_session()
out = [leave(e) for e in (KeyError("x"), KeyboardInterrupt(), SystemExit(3))], names
""",
        "another thread": """
found = {}
def look():
    found["session"] = tf.get_default_session()
    found["graph is of this thread"] = tf.get_default_graph() is not k.graph
    found["version"] = tf.get_default_graph().version
    found["same each time"] = tf.get_default_graph() is tf.get_default_graph()
    found["empty"] = err(lambda: tf.Session().run([]))
    found["graph given"] = tf.Session(graph=k.graph).run(k)
    x = tf.constant(1.0)
    found["own"] = x.graph is tf.get_default_graph(), tf.Session().run(x)
with tf.Session():
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
out = found
""",
        "reset_default_graph": """
old = tf.get_default_graph()
tf.reset_default_graph()
out = {
    "new": tf.get_default_graph() is not old,
    "version": tf.get_default_graph().version,
    "old one runs": tf.Session(graph=old).run(k),
}
with tf.Graph().as_default():
    out["inside"] = err(tf.reset_default_graph)
with tf.Session():
    out["inside with session"] = err(tf.reset_default_graph)
with tf.Session().as_default():
    out["inside as_default of a session"] = err(tf.reset_default_graph)
""",
        "eval and run without a session": """
out = {"eval": err(k.eval), "run": err(n.run)}
v = tf.Variable(1.0)
out["variable"] = err(v.eval)
out["initializer"] = err(v.initializer.run)
""",
        "eval and run with the session of another graph": """
s = tf.Session(graph=other_graph())
out = {}
with s.as_default():
    out["default, eval"] = err(k.eval)
    out["default, run"] = err(n.run)
out["given, eval"] = err(lambda: k.eval(session=s))
out["given, run"] = err(lambda: n.run(session=s))
""",
        "eval and run": """
s = tf.Session()
out = {
    "eval": c.eval({a: 2, b: 3}, s),
    "eval by name": c.eval(session=s, feed_dict={"a:0": 2, b: 3}),
    "run": n.run(session=s),
    "a fed tensor": k.eval({k: [[1, 1], [1, 1]]}, s),
    "missing feed": err(lambda: c.eval({a: 2}, s))[0],
    "too many": err(lambda: c.eval({}, s, 3))[0],
    "no session at all": err(lambda: k.eval(session=3)),
}
with s:
    out["the default"] = k.eval(), n.run()
""",
        "an error of a run comes out of with": """
def body():
    with tf.Session() as s:
        s.run(c)
out = err(body)[0], logged(lambda: err(body))[0][0]
""",
        "a session and graphs in turn": """
g, h = tf.Graph(), tf.Graph()
with g.as_default():
    x = tf.constant(1.0)
    with tf.Session() as t:
        with h.as_default():
            y = tf.constant(2.0)
            out = [tf.get_default_session() is t, err(y.eval), x.eval(), t.graph is g]
            out += [tf.Session().run(y), err(lambda: tf.Session().run(x))]
""",
        "the default session of each thread": """
s, found = tf.Session(), []
def work():
    found.append(tf.get_default_session())
    with s.as_default():
        found.append(k.eval())
        with k.graph.as_default():
            found.append((k + 1.0).eval())
with tf.Session():
    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
out = found
""",
        "an interactive session and a block": """
i = tf.InteractiveSession()
with tf.Session() as t:
    out = [tf.get_default_session() is t, k.eval()]
out += [tf.get_default_session() is i, k.eval()]
i.close()
""",
        "an exception comes out of as_default": """
s = tf.Session()
def go():
    with s.as_default():
        raise KeyError("x")
out = err(go), s.run(k), tf.get_default_session()
""",
    },
    "1.4": {
        "close": """
s = tf.Session()
f = s.make_callable(k)
g = s.make_callable(c, [a, b])
h = s.make_callable(k, [])
f(), g(1, 2), h()
out = {
    "close": s.close(),
    "again": s.close(),
    "run": err(lambda: s.run(k)),
    "run of nothing": err(lambda: s.run([])),
    "run of what is wrong": err(lambda: s.run(None)),
    "run with a wrong feed": err(lambda: s.run(k, {3: 4})),
    "callable without a feed list": err(f),
    "callable with a feed list": err(lambda: g(1, 2)),
    "callable with an empty feed list": err(h),
    "eval": err(lambda: k.eval(session=s)),
    "list_devices": err(s.list_devices),
    "graph": s.graph is k.graph,
    "graph_def": [node.name for node in s.graph_def.node],
    "sess_str": s.sess_str,
}
""",
        "close before anything": """
s = tf.Session(graph=tf.Graph())
out = s.close(), s.close(), err(lambda: s.run([])), err(s.list_devices)
""",
        "close gives back the state, not the graph": """
v = tf.Variable(3.0)
s = tf.Session()
s.run(v.initializer)
s.close()
t = tf.Session()
out = err(lambda: t.run(v))[0], t.run(v.initializer), t.run(v)
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)


# Not yet as in TensorFlow.
