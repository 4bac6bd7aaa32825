"""Graphs cut down, frozen, in text, and imports of the less common kinds, row by row."""

import pytest

import tfsession

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.spec("9.8"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import os
import tempfile
from google.protobuf import text_format

util = tf.graph_util


def node(name, op, *inputs, more="", T="DT_FLOAT"):
    lines = "".join('input:"%s" ' % i for i in inputs)
    kind = 'attr{key:"T" value{type:%s}}' % T if T else ""
    return 'node{name:"%s" op:"%s" %s %s %s}' % (name, op, lines, kind, more)


def parsed(text, kind=None):
    return text_format.Parse(text, (kind or tf.GraphDef)())


def nodes(graph_def):
    found = [(n.name, n.op, list(n.input), n.device, sorted(n.attr)) for n in graph_def.node]
    versions = graph_def.versions
    functions = [f.signature.name for f in graph_def.library.function]
    return found, versions.producer, versions.min_consumer, functions


def run(text, *args, **kwargs):
    found = tf.import_graph_def(parsed(text), *args, **kwargs)
    ops = [
        (o.name, o.type, o.device, [t.name for t in o.inputs], [c.name for c in o.control_inputs])
        for o in tf.get_default_graph().get_operations()
    ]
    return found, ops


def producer(op, attr, default):
    tf.negative(1.0)
    op_list = tf.train.export_meta_graph().meta_info_def.stripped_op_list
    (op_def,) = [one for one in op_list.op if one.name == op]
    op_def.attr.add(name=attr, type="int").default_value.i = default
    return op_list


def attrs(name):
    return sorted(tf.get_default_graph().get_operation_by_name(name).node_def.attr)


KIND = 'attr{key:"dtype" value{type:%(t)s}} attr{key:"SrcT" value{type:%(t)s}}'
ATTR = 'attr{key:"%s" value{i:%s}}'


CPU_1 = 'device:"/cpu:1"'
TOGETHER = 'attr{key:"_class" value{list{s:"loc:@%s"}}}'
X = node("x", "Placeholder", T="", more='attr{key:"dtype" value{type:DT_FLOAT}}')
CHAIN = X + node("a", "Neg", "x") + node("b", "Neg", "a") + node("c", "Neg", "b", "^a")
CHAIN += node("d", "Neg", "x")
VERSIONS = 'versions{producer:27 min_consumer:3 bad_consumers:9}'
FUNCTION = 'library{function{signature{name:"f"}}}'
"""

EXTRACT = [
    "nodes(util.extract_sub_graph(parsed(CHAIN), ['b']))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), ['d', 'a', 'a']))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), ['c']))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), []))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), ('a',)))",
    "nodes(util.extract_sub_graph(parsed(CHAIN + VERSIONS + FUNCTION), ['d']))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), ['zz']))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), ['a:0']))",
    "nodes(util.extract_sub_graph(parsed(CHAIN), 'a'))",
    "nodes(util.extract_sub_graph('graph', ['a']))",
    "nodes(util.extract_sub_graph(None, ['a']))",
    "nodes(util.extract_sub_graph(parsed(node('a', 'Neg', 'b') + node('b', 'Neg', 'a')), ['a']))",
    "nodes(util.extract_sub_graph(parsed(X + node('a', 'Split', 'x:3')), ['a']))",
    "nodes(util.extract_sub_graph(parsed(X + X), ['x']))",
]

IDENTITIES = [
    "X + node('i', 'Identity', 'x') + node('a', 'Neg', 'i')",
    "X + node('i', 'Identity', 'x') + node('j', 'Identity', 'i') + node('a', 'Neg', 'j')",
    "X + node('i', 'Identity', 'x') + node('a', 'Neg', 'x', '^i')",
    "X + node('i', 'Identity', 'x', '^x') + node('a', 'Neg', 'i')",
    "X + node('s', 'Split', 'x') + node('i', 'Identity', 's:1') + node('a', 'Neg', 'i')",
    "X + node('i', 'Identity', 'x')",
    "X + node('i', 'Identity', 'x', more='device:\"/cpu:0\"') + node('a', 'Neg', 'i')",
    "X + node('i', 'Identity', 'x') + node('a', 'Add', 'i', 'i')",
    "X + node('i', 'Identity', 'x') + node('b', 'Neg', 'x') + node('a', 'Add', 'i', 'b', '^b')",
    "X + node('i', 'Identity', 'x') + node('f', 'f', 'i') + FUNCTION + VERSIONS",
    "X + node('i', 'StopGradient', 'x') + node('a', 'Neg', 'i')",
    "X + node('i', 'IdentityN', 'x') + node('a', 'Neg', 'i')",
    "X + node('w', 'VariableV2') + node('i', 'Identity', 'w') + node('a', 'Add', 'i', 'x')",
    "X + node('i', 'Identity', 'x', more='attr{key:\"_class\" value{list{s:\"loc:@x\"}}}')"
    " + node('a', 'Neg', 'i')",
    "node('i', 'Identity', 'j') + node('j', 'Identity', 'zz') + node('a', 'Neg', 'i')",
]
PROTECTED = ["None", "['i']", "['j']", "['zz']", "[]"]

ON_CPU = {
    "DT_FLOAT": "Const DynamicStitch Cast VariableV2 Variable Assign AssignAdd AssignSub Queue "
    "NoOp ScatterAdd ScatterUpdate ScatterSub ScatterMul TruncatedNormal RandomUniform VarHandleOp",
    "DT_INT32": "Const DynamicStitch ParallelDynamicStitch Cast Switch Concat",
    "DT_INT64": "Const Cast",
    "DT_STRING": "Const Pack",
}

SHAPE_NAMES = ["x", "x:0", "two:1", "two", "x:1", "zz", "^x", "x:zz", ""]

FROZEN = """
x = tf.placeholder(tf.float32, [2, 2], name="x")
ones = tf.ones_initializer()
with tf.device("/cpu:0"):
    w = tf.get_variable("w", [2, 2], initializer=ones)
r = tf.get_variable("r", [2], use_resource=True, initializer=ones)
n = tf.get_variable("n", [], tf.int64, initializer=ones)
y = tf.identity(tf.matmul(x, w) + r, name="y")
z = tf.identity(tf.gather(r, [1]) + tf.cast(n, tf.float32), name="z")
empty = tf.get_variable("empty", [0], initializer=ones)
e = tf.identity(empty, name="e")
session = tf.Session()
session.run(tf.global_variables_initializer())
graph_def = tf.get_default_graph().as_graph_def()


def frozen(*args, **kwargs):
    found = util.convert_variables_to_constants(session, graph_def, *args, **kwargs)
    values = {}
    for n in found.node:
        if n.op == "Const":
            values[n.name] = tf.make_ndarray(n.attr["value"].tensor).tolist(), n.attr["dtype"].type
    return sorted(nodes(found)[0]), sorted(values.items())
"""

FREEZE = [
    "frozen(['y'])",
    "frozen(['y', 'z'])",
    "frozen(['z'])",
    "frozen(['e'])",
    "frozen(['y'], ['w'])",
    "frozen(['y'], ['r'])",
    "frozen(['y'], [])",
    "frozen(['y'], None, ['w'])",
    "frozen(['y'], ['w', 'r'], ['r'])",
    "frozen(['y'], variable_names_whitelist=['zz'])",
    "frozen(['x'])",
    "frozen([])",
    "frozen(['zz'])",
    "frozen('y')",
    "frozen(['w/Assign'])",
    "frozen(['w'])",
    "frozen(['r'])",
]

TEXTS = [
    "str(tf.constant(1.0, name='c').op.node_def)",
    "text_format.MessageToString(tf.get_default_graph().as_graph_def())",
    "tf.train.write_graph(tf.get_default_graph(), 'WHERE/new', 'g.pbtxt')",
    "tf.train.write_graph(tf.get_default_graph(), 'WHERE', 'g.pb', as_text=False)",
    "tf.train.write_graph(tf.get_default_graph().as_graph_def(), 'WHERE', 'g.pbtxt')",
    "tf.io.write_graph(tf.constant(1.0).graph, 'WHERE', 'sub.pbtxt', True)",
    "tf.train.write_graph('graph', 'WHERE', 'g.pbtxt')",
    "tf.train.write_graph(None, 'WHERE', 'g.pb', False)",
]

IMPORTS = [
    "run(CHAIN, {'a': tf.constant(1.0, name='k')}, ['c'])",
    "run(CHAIN, {'^a': tf.constant(1.0, name='k')}, ['c'])",
    "run(CHAIN, {'a': tf.constant(1.0), '^a': tf.constant(1.0)})",
    "run(CHAIN, {'a:0': 3.0}, ['c:0', 'a'])",
    "run(CHAIN, {'x': np.float32(1)})",
    "run(CHAIN, {'x': 'text'})",
    "run(CHAIN, {'x': None})",
    "run(CHAIN, {b'x': tf.constant(1.0)})",
    "run(CHAIN, {'x': tf.Variable(1.0)})",
    "run(CHAIN, {'x': tf.Variable(1.0, use_resource=True)})",
    "run(CHAIN, {'x': tf.placeholder(tf.float64)})",
    "run(CHAIN, {'^x': tf.constant(1.0)})",
    "run(CHAIN, {'^zz': tf.constant(1.0)})",
    "run(CHAIN, {'c': tf.constant(1.0)}, ['c', 'c:0'])",
    "run(CHAIN, {}, [])",
    "run(CHAIN, None, ('a', 'b'))",
    "run(CHAIN, None, ['^a'])",
    "run(CHAIN, None, [''])",
    "run(CHAIN, None, None, 'one/two')",
    "run(CHAIN, None, None, 'one//two')",
    "run(CHAIN, name=''), run(CHAIN, name='')",
    "run(CHAIN, op_dict={})",
    "run(CHAIN, op_dict=3)",
    "run('', None, None)",
    "run(VERSIONS + X), tf.get_default_graph().as_graph_def().versions",
    "run(X + node('a', 'Neg', 'x', more=ATTR % ('zz', 3)))",
    "run(X + node('a', 'Neg', 'x', more=ATTR % ('_zz', 3))), "
    "tf.get_default_graph().get_operation_by_name('import/a').get_attr('_zz')",
    "run(X + node('a', 'Neg', 'x', more=ATTR % ('zz', 3)), None, None, None, None, "
    "producer('Neg', 'zz', 3)), attrs('import/a')",
    "run(X + node('a', 'Neg', 'x', more=ATTR % ('zz', 4)), None, None, None, None, "
    "producer('Neg', 'zz', 3)), attrs('import/a')",
    "run(X + node('a', 'AddN', 'x', 'x', more=ATTR % ('N', 2)))",
    "run(X + node('a', 'AddN', 'x', 'x', more=ATTR % ('N', 3)))",
    "run(X + node('a', 'AddN', 'x', more=ATTR % ('N', -1)))",
    "run(X + node('a', 'Neg', 'x', '^x', '^x'))",
    "run(X + node('a', 'Neg', 'x', '^a'))",
    "run(X + node('a', 'NoOp', '^b', T='') + node('b', 'NoOp', '^a', T=''))",
    "run(X + node('a', 'Neg', ''))",
    "run(X + node('a', 'Neg', 'x:'))",
    "run(X + node('a', 'Neg', 'x:-1'))",
    "run(X + node('a', 'Neg', '^'))",
    "run(X + node('a', '', 'x'))",
    "run(X + node('a/', 'Neg', 'x'))",
    "run(X + node('/a', 'Neg', 'x'))",
    "run(X + node('a', 'Neg', 'x', more='device:\"zz\"'))",
    "run(X + node('a', 'Neg', 'x', more='device:\"/job:w/gpu:1\"'))",
    "run(X + node('A', 'Neg', 'x') + node('a', 'Neg', 'x'), name='')",
    "run(FUNCTION + node('a', 'f', T=''))",
    "run(FUNCTION + FUNCTION + node('a', 'f', T=''))",
    "run(X + node('s', 'Split', 'x', 'x', more=ATTR % ('num_split', 2)))",
    "run(X + node('a', 'MatMul', 'x', 'x'), return_elements=['a:0'])",
]

# Programs that import in less plain surroundings; `out` is what becomes of it.
SURROUNDINGS = {
    "device function": """
with tf.device(lambda op: "/gpu:%d" % len(op.name)):
    out = run(X + node('a', 'Neg', 'x') + node('b', 'Neg', 'a', more='device:"/cpu:1"'))
""",
    "device function that merges": """
with tf.device(lambda op: "/job:w"), tf.device("/gpu:1"):
    out = run(X + node('a', 'Neg', 'x') + node('b', 'Neg', 'a', more='device:"/cpu:1"'))
""",
    "colocation with devices": """
with tf.device("/gpu:1"):
    out = run(X + node('a', 'Neg', 'x', more='device:"/cpu:1"' + TOGETHER % 'x')
              + node('b', 'Neg', 'a', more=TOGETHER % 'a'))
""",
    "colocation with a device function": """
with tf.device(lambda op: "/gpu:%d" % len(op.name)):
    out = run(X + node('a', 'Neg', 'x', more=TOGETHER % 'x'), name='long')
""",
    "colocation of a later node": """
out = run(X + node('a', 'Neg', 'x', more=TOGETHER % 'b') + node('b', 'Neg', 'x', more=CPU_1))
""",
    "colocation of two": """
two = node('a', 'Neg', 'x', more=CPU_1) + node('b', 'Neg', 'x', more='device:"/cpu:2"')
both = 'attr{key:"_class" value{list{s:"loc:@a" s:"loc:@b"}}}'
out = run(X + two + node('c', 'Neg', 'x', more=both))
""",
    "control inputs of a scope": """
with tf.control_dependencies([tf.constant(1.0, name='first')]):
    out = run(CHAIN, {'x': tf.constant(2.0, name='fed')})
""",
    "cond": """
out = tf.cond(tf.constant(True), lambda: run(CHAIN, {'x': 2.0}, ['c:0'])[0][0], lambda: 1.0)
out = out, run('', None)
""",
    "while": """
with tf.Graph().as_default() as g:
    tf.while_loop(lambda i: i < 3, lambda i: i + 1, [0], name='w')
    tf.identity(g.get_tensor_by_name('w/Exit:0'), name='last')
run('', None)
found = tf.import_graph_def(g.as_graph_def(), return_elements=['last:0'], name='again')
out = run('')[1], tf.Session().run(found)
""",
    "while in while": """
with tf.Graph().as_default() as g:
    tf.while_loop(lambda i: i < 3, lambda i: i + 1, [0], name='w')
    tf.identity(g.get_tensor_by_name('w/Exit:0'), name='last')


def body(i):
    (last,) = tf.import_graph_def(g.as_graph_def(), return_elements=['last:0'], name='again')
    return i + last


out = tf.Session().run(tf.while_loop(lambda i: i < 10, body, [0]))
""",
    "variables": """
with tf.Graph().as_default() as g:
    v = tf.get_variable('v', initializer=2.0)
    r = tf.get_variable('r', initializer=3.0, use_resource=True)
    tf.add(v * r, 1.0, name='y')
found = tf.import_graph_def(g.as_graph_def(), return_elements=['y:0', 'v/Assign', 'r/Assign'])
s = tf.Session()
s.run(found[1:])
out = s.run(found[0]), tf.global_variables(), run('')[1]
""",
    "gradients of what is imported": """
with tf.Graph().as_default() as g:
    a = tf.placeholder(tf.float32, [], name='a')
    tf.multiply(a * a, a, name='y')
x = tf.constant(2.0)
(y,) = tf.import_graph_def(g.as_graph_def(), {'a': x}, ['y:0'])
out = tf.Session().run(tf.gradients(y, x))
""",
    "two functions of one name": """
run(FUNCTION)
out = err(lambda: run('library{function{signature{name:"f" is_stateful:true}}}'))
""",
    "a finalized graph": """
tf.get_default_graph().finalize()
out = err(lambda: run(CHAIN)), run
out = out[0]
""",
    "after an error": """
failed = err(lambda: run(X + node('a', 'Bad', 'x')))[0], err(lambda: run(node('a', 'Neg', 'zz')))
out = failed, run(X)
""",
    "a message of another kind": """
messages = tf.MetaGraphDef(), tf.NodeDef(), b'', 'x', 3, []
out = [err(lambda: tf.import_graph_def(m)) for m in messages]
""",
    "the message afterwards": """
message = parsed(X + node('a', 'MatMul', 'x', 'x'))
tf.import_graph_def(message)
out = nodes(message)
""",
}

GRAPHS = [
    "nodes(tf.get_default_graph().as_graph_def(0))",
    "nodes(tf.get_default_graph().as_graph_def(None, True))",
    "nodes(tf.get_default_graph().as_graph_def(from_version=10**6))",
    "nodes(tf.get_default_graph().as_graph_def(from_version=-1))",
    "tf.get_default_graph().version",
    "tf.get_default_graph().graph_def_versions",
]


@pytest.mark.parametrize("program", EXTRACT)
def test_extract_sub_graph(assert_same, program):
    assert_same(PRELUDE, f"out = {program}")


@pytest.mark.parametrize("graph", IDENTITIES)
def test_remove_training_nodes(assert_same, graph):
    calls = [f"nodes(util.remove_training_nodes(parsed({graph}), {names}))" for names in PROTECTED]
    assert_same(PRELUDE, f"out = [{', '.join(f'err(lambda: {call})' for call in calls)}]")


@pytest.mark.parametrize("pinned", [False, True])
def test_must_run_on_cpu(assert_same, pinned):
    calls = [
        f"parsed(node('a', '{op}', T='{kind}', more=KIND % dict(t='{kind}'))).node[0]"
        for kind, names in ON_CPU.items()
        for op in names.split()
    ]
    assert_same(PRELUDE, f"out = [util.must_run_on_cpu(n, {pinned}) for n in [{', '.join(calls)}]]")
    assert_same(PRELUDE, "out = [util.must_run_on_cpu(tf.constant(v).op) for v in (1, 1.0, 'a')]")


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_tensor_shape_from_node_def_name(assert_same, name):
    graph = (
        "tf.placeholder(tf.float32, [None, 4], name='x'); tf.split(tf.ones([4, 2]), 2, name='two')"
    )
    call = f"util.tensor_shape_from_node_def_name(tf.get_default_graph(), {name!r})"
    assert_same(PRELUDE, f"{graph}\nout = {call}")


@pytest.mark.parametrize("program", FREEZE)
def test_convert_variables_to_constants(assert_same, program):
    assert_same(PRELUDE + FROZEN, f"out = {program}")


@pytest.mark.parametrize("program", TEXTS)
@pytest.mark.spec("9.1")
def test_texts(assert_same, program):
    graph = """
where = tempfile.mkdtemp()
with tf.device('/gpu:1'):
    x = tf.placeholder(tf.float32, [None, 2], name='x')
y = tf.identity(x + 2.5, name='y')
"""
    lines = f"found = eval({program!r}.replace('WHERE', where))"
    read = """
files = {}
for folder, _, names in os.walk(where):
    for name in names:
        with open(os.path.join(folder, name), 'rb') as file:
            data = file.read()
        if name.endswith('txt'):
            message = text_format.Parse(data, tf.GraphDef())
        else:
            message = tf.GraphDef.FromString(data)
        files[os.path.relpath(folder, where), name] = nodes(message)
out = found.replace(where, ''), files
"""
    assert_same(PRELUDE + graph, lines + read)


@pytest.mark.parametrize("program", IMPORTS)
@pytest.mark.spec("9.2")
def test_imports(assert_same, program):
    assert_same(PRELUDE, f"out = {program}")


@pytest.mark.parametrize("program", SURROUNDINGS.values(), ids=SURROUNDINGS)
@pytest.mark.spec("9.2")
def test_imports_in_surroundings(assert_same, program):
    assert_same(PRELUDE, program)


@pytest.mark.parametrize("program", GRAPHS)
@pytest.mark.spec("9.1")
def test_graphs(assert_same, program):
    assert_same(PRELUDE, f"a = tf.constant([1.0]); b = tf.tanh(a) * a\nout = {program}")


def test_tensorflow_takes_no_external_constant_for_zeros(tf, tmp_path):
    with tfsession.Graph().as_default() as graph:
        tfsession.constant([[1.0] * 300 + [2.0]], name="c")
    path = tfsession.train.export_graph(tmp_path / "g.pb", graph)
    message = tf.GraphDef.FromString((tmp_path / "g.pb").read_bytes())
    with tf.Graph().as_default(), pytest.raises(ValueError, match="NodeDef missing attr 'value'"):
        tf.import_graph_def(message)
    with tf.Graph().as_default(), tfsession.Graph().as_default(), tfsession.Session() as session:
        tfsession.train.import_graph(path, name="")
        assert session.run("c:0")[0, -1] == 2.0


# (row of docs/differences.md, program, our outcome)
CHOICES = {
    "9.8": [
        (
            "`graph_util.extract_sub_graph` of a node that reads what is not there",
            "out = err(lambda: util.extract_sub_graph(parsed(node('a', 'Neg', 'zz')), ['a']))",
            ("AssertionError", "zz is not in graph"),
        ),
        (
            "`graph_util.remove_training_nodes` with CheckNumerics",
            "g = parsed(X + node('i', 'CheckNumerics', 'x') + node('a', 'Neg', 'i'))\n"
            "out = list(util.remove_training_nodes(g).node[1].input)",
            ["x"],
        ),
        (
            "`graph_util.remove_training_nodes` where a node reads `i:0`",
            "g = parsed(X + node('i', 'Identity', 'x') + node('a', 'Neg', 'i:0'))\n"
            "out = list(util.remove_training_nodes(g).node[1].input)",
            ["x"],
        ),
        (
            "`graph_util.remove_training_nodes` of what is no GraphDef",
            "out = err(lambda: util.remove_training_nodes('graph'))",
            (
                "TypeError",
                "graph_def must be a graph_pb2.GraphDef proto, but got type <class 'str'>.",
            ),
        ),
    ],
    "9.2": [
        (
            "`import_graph_def(..., return_elements=['a:-1'])`",
            "out = err(lambda: run(CHAIN, None, ['a:-1']))",
            ("ValueError", "Invalid return output -1 of node 'a', which has 1 output(s)"),
        ),
        (
            "`import_graph_def(..., producer_op_list=3)`",
            "out = err(lambda: run(CHAIN, producer_op_list=3))",
            ("TypeError", "Argument `producer_op_list` must be an OpList proto."),
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
