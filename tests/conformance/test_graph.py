"""Graphs: the same program under real TensorFlow and under tfsession, outcomes compared."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.spec("graph"),
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

# Programs that leave what is compared in `out`.
PROGRAMS = {
    "0.2": {
        "uniquified names": """
g = tf.get_default_graph()
names = []
for n_ in ["a", "a", "A", "a_1", "b/", "x/y", "x/y"]:
    names.append(err(lambda: tf.constant(1, name=n_).name))
out = names
""",
        "invalid names": """
out = [err(lambda: tf.negative(a, name=x)) for x in ["_x", "x y", "", "-", "a$"]]
""",
        "name scopes": """
out = []
with tf.name_scope("s") as s1:
    out += [s1, tf.constant(1, name="q").name, tf.constant(1, name="_x").name]
    with tf.name_scope("t"):
        out.append(tf.constant(1, name="q").name)
    with tf.name_scope("s2/"):
        out.append(tf.constant(1, name="q").name)
    with tf.name_scope(None):
        out.append(tf.constant(1, name="q").name)
with tf.name_scope("s") as s2:
    out.append(s2)
with tf.name_scope(s1):
    out.append(tf.constant(1, name="q").name)
out.append(tf.get_default_graph().get_name_scope())
""",
        "names beyond ASCII": """
out = {
    x: [err(lambda: tf.constant(1, name=x)), err(lambda: tf.no_op(name=x))]
    for x in ("é", "xé", "a٣", "٣", "ª", "ß/y", "_a", "a b")
}
""",
    },
    "0.3": {
        "unique_name, equality, texts": """
g = tf.get_default_graph()
out = [
    g.unique_name("zz"),
    g.unique_name("zz"),
    g.unique_name("ZZ", mark_as_used=False),
    g.unique_name("ZZ"),
    g.version,
    len(g.get_operations()),
    err(lambda: bool(a))[1][:53],
    err(lambda: iter(a))[1][:52],
    err(lambda: len(a)),
    err(lambda: np.array(a)),
    a == b,
    a == a,
    a != b,
    {a: 1}[a],
    repr(a),
    str(a),
    repr(a.op),
    repr(k),
    str(k),
]
""",
    },
    "1.6": {
        "tensors of two graphs": """
g = tf.Graph()
with g.as_default():
    z = tf.constant(1.0)
out = [err(lambda: tf.add(z, a)), err(lambda: tf.add(a, z))]
""",
    },
    "2.2": {
        "None in a structure": """
s = tf.Session()
out = [err(lambda: s.run([k, [None]])), err(lambda: s.run({"a": None}))]
""",
    },
    "5.3": {
        "device scopes": """
def d(f):
    return f().op.device


cst = lambda: tf.constant(1)
out = []
with tf.device("/gpu:0"):
    with tf.device(""):
        out.append(d(cst))
    with tf.device(None):
        out.append(d(cst))
    with tf.device("/cpu"):
        out.append(d(cst))
    with tf.device(lambda op: "/task:3"):
        out.append(d(cst))
with tf.device(lambda op: "/task:3"):
    with tf.device("/gpu:1"):
        out.append(d(cst))
with tf.device("/job:w/cpu:0"):
    with tf.device("/task:1"):
        out.append(d(cst))


def bad(x):
    with tf.device(x):
        return d(cst)


out += [
    err(lambda: bad("bogus")),
    err(lambda: bad(lambda op: None)),
    err(lambda: bad(tf.DeviceSpec(job="q", device_type="CPU", device_index=1))),
    err(lambda: setattr(a.op, "device", "x")),
]
""",
    },
    "5.4": {
        "colocation": """
with tf.device("/gpu:0"):
    t = tf.constant(1.0, name="t")
with tf.colocate_with(t):
    u = tf.constant(1.0, name="u")
    with tf.device("/cpu:0"):
        v = tf.constant(1.0, name="v")
with tf.colocate_with(u):
    w = tf.constant(1.0, name="w")
with tf.colocate_with(k):
    with tf.colocate_with(u):
        x = tf.constant(1.0, name="x")
    with tf.colocate_with(u, ignore_existing=True):
        y = tf.constant(1.0, name="y")
out = (
    [(o.op.colocation_groups(), o.op.device) for o in (t, u, v, w, x, y)],
    err(lambda: tf.colocate_with(None).__enter__()),
)
""",
    },
    "7.2": {
        "control dependencies": """
with tf.control_dependencies([a, n]):
    x = tf.constant(1.0, name="x")
    with tf.control_dependencies([b.op]):
        y = tf.constant(1.0, name="y")
        z = tf.add(a, y, name="z")
    with tf.control_dependencies(None):
        w = tf.constant(1.0, name="w")
    with tf.control_dependencies(["k", "c:0"]):
        v = tf.no_op(name="v")
out = (
    [[i.name for i in o.op.control_inputs] for o in (x, y, z, w)],
    [i.name for i in v.control_inputs],
    err(lambda: tf.control_dependencies([3])),
)
""",
        "the order of control inputs": """
x, y = tf.no_op(name="zz"), tf.no_op(name="aa")
made = [tf.group(x, y, k, name="g")]
with tf.control_dependencies([x, k, y]):
    made += [tf.no_op(name="d"), tf.identity(k, name="e").op]
tf.Variable(1.0, name="v"), tf.Variable(1.0, name="rv", use_resource=True)
made.append(tf.global_variables_initializer())
made[1]._add_control_input(n)
out = [(list(op.node_def.input), [i.name for i in op.control_inputs], str(op)) for op in made]
nodes = tf.get_default_graph().as_graph_def().node
out.append([list(node.input) for node in nodes])
""",
        "control inputs in errors of shapes": """
p = tf.placeholder(tf.float32, [2, 1], name="p")
with tf.control_dependencies([n, p.op, k]):
    out = [err(lambda: tf.matmul(p, p)), err(lambda: tf.add(p, tf.zeros([7, 3])))]
    with tf.device("/cpu:0"), tf.colocate_with(n), tf.container("c"), tf.name_scope("sc"):
        out.append(err(lambda: tf.matmul(p, p)))
    with tf.control_dependencies(None):
        out.append(err(lambda: tf.matmul(p, p)))
""",
    },
    "7.3": {
        "containers": """
g = tf.get_default_graph()
out = [g.version]
with g.container("cc"):
    v = tf.Variable(1.0, name="v")
out += [v.op.get_attr("container"), err(lambda: v.op.get_attr("nix"))]
""",
    },
    "graph": {
        "what names refer to": """
s = tf.Session()
out = (
    err(lambda: tf.get_default_graph().as_graph_element("zz", allow_operation=False)),
    err(lambda: tf.get_default_graph().as_graph_element("zz:0", allow_tensor=False)),
    err(lambda: tf.get_default_graph().as_graph_element("zz", allow_tensor=False)),
    err(lambda: tf.get_default_graph().as_graph_element("k:0", allow_tensor=False)),
    err(lambda: tf.get_default_graph().get_tensor_by_name("k")),
    err(lambda: tf.get_default_graph().get_operation_by_name("k:0")),
    err(lambda: tf.get_default_graph().get_operation_by_name("zz")),
    err(lambda: tf.get_default_graph().get_tensor_by_name(3)),
)
""",
        "collections": """
g = tf.get_default_graph()
g.add_to_collection("x", a)
g.add_to_collection("x", 3)
g.add_to_collections(["x", "y", "y"], b)
g.add_to_collections("xy", b)
g.get_collection_ref("new").append(4)
out = [
    g.get_collection("x"),
    g.get_collection("x", "a"),
    g.get_collection("y"),
    g.get_collection("xy"),
    g.get_collection("new"),
    g.get_collection("none"),
    sorted(map(str, g.collections)),
    g.get_collection("x") is g.get_collection("x"),
    g.get_collection("x", "."),
    g.clear_collection("x"),
    g.get_collection("x"),
]
g.finalize()
out += [err(lambda: g.add_to_collection("q", 1)), err(lambda: g.clear_collection("q"))]
""",
        "neighbours": """
out = [
    k.consumers(),
    [o.name for o in a.consumers()],
    c.op.type,
    [i.name for i in c.op.inputs],
    c.op.outputs,
    a.op.values(),
    c.graph is c.op.graph,
]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
