"""Where tfsession differs by choice, row by row, as far as no other file of this folder has it."""

import numpy as np
import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import gc, sys, threading
from tensorflow.core.framework.resource_handle_pb2 import ResourceHandleProto
from tensorflow.core.protobuf.config_pb2 import CallableOptions

a = tf.placeholder(tf.float32, [], name="a")
half = tf.placeholder(tf.float16)
k = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="k")
s = tf.Session()


def two_devices():
    return tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))


def message(f):
    try:
        f()
    except Exception as error:
        lines = error.message.splitlines()
        return [x for x in lines[2:] if not x.startswith(("    File", "Detected"))]


def options(feed, fetch, **connect):
    o = CallableOptions(feed=feed, fetch=fetch)
    for start, to in connect.items():
        o.tensor_connection.add(from_tensor=start, to_tensor=to)
    return s._make_callable_from_options(o)


def reference(name):
    shape = tf.AttrValue()
    shape.shape.SetInParent()
    attrs = {"dtype": tf.AttrValue(type=1), "shape": shape, "shared_name": tf.AttrValue(s=b"S")}
    create = tf.get_default_graph().create_op
    return create("VariableV2", [], [tf.float32._as_ref], name=name, attrs=attrs).outputs[0]
"""

CHOICES = {
    "0.2": [
        (
            "a name taken as it is (`x/`), then asked for again (`x`)",
            'tf.no_op(name="x/"); out = err(lambda: tf.no_op(name="x").name)',
            ("ok", "x_1"),
        ),
    ],
    "1.1": [
        (
            "failed `Session` constructor",
            """
told, hook = [], sys.unraisablehook
sys.unraisablehook = lambda found: told.append(type(found.exc_value).__name__)
try:
    for arguments in ((3,), ("", 3), ("", None, 3), ("bogus",)):
        err(lambda: tf.Session(*arguments))
        err(lambda: tf.InteractiveSession(*arguments))
    gc.collect()
finally:
    sys.unraisablehook = hook
out = told
""",
            [],
        ),
    ],
    "2.2": [
        (
            "a fetched handle of a resource",
            """
rv = tf.Variable(1.0, use_resource=True, name="rv")
found = ResourceHandleProto.FromString(s.run(rv.handle).tobytes())
out = found.container, found.name
""",
            ("localhost", "rv"),
        ),
    ],
    "2.4": [
        (
            "a quantized tensor that is fed and fetched",
            """
p = tf.placeholder(tf.qint8, [1])
out = s.run(p, {p: np.array([(1,)], tf.qint8.as_numpy_dtype)})
""",
            np.array([1], np.int8),
        ),
    ],
    "2.6": [
        (
            "an error in what another device waits for",
            """
t = two_devices()
with tf.device("/cpu:1"):
    y = a + 1.0
out = any("root error" in " ".join(message(lambda: t.run([y, a]))) for _ in range(20))
""",
            False,
        ),
        (
            "an error in what another device waits for",
            """
t, v = two_devices(), reference("v")
with tf.device("/cpu:1"):
    y = tf.negative(v, name="y")
out = message(lambda: t.run(y))
""",
            ["Node: 'y'", "Attempting to use uninitialized value v", "\t [[{{node y}}]]"],
        ),
    ],
    "3.2": [
        (
            "callables of CallableOptions: one tensor under two names, `a` and `a:0`",
            """
one = np.ones([2, 2], np.float32)
out = [
    err(lambda: options(["k", "k:0"], ["k:0"])(one, one))[0],
    err(lambda: options(["a", "a:0"], ["k:0"])(np.float32(1), np.float32(2)))[0],
]
""",
            ["InvalidArgumentError"] * 2,
        ),
        (
            "callables of CallableOptions: a tensor that is fetched twice",
            "out = np.shares_memory(*options([], ['k:0', 'k:0'])())",
            False,
        ),
    ],
    "3.5": [
        (
            "`memory_limit` of what `list_devices` gives",
            "out = err(lambda: s.list_devices()[0].memory_limit)",
            ("ok", 268435456),
        ),
    ],
    "5.3": [
        (
            "device function that returns garbage",
            """
def place():
    with tf.device(lambda op: "garbage"):
        return tf.constant(1.0)
out = err(place)[0]
""",
            "ValueError",
        ),
        (
            "device function that returns `gpu:0` or `/cpu`",
            """
out = []
for text in ("gpu:0", "/cpu", "/device:gpu:1"):
    with tf.device(lambda op: text):
        out.append(tf.no_op().device)
""",
            ["/device:GPU:0", "/device:CPU:*", "/device:GPU:1"],
        ),
        (
            "device function that fails",
            """
def place(result):
    with tf.device(result):
        return err(lambda: tf.constant(1.0, name="made"))[0]
before = len(tf.get_default_graph().get_operations())
out = place(lambda op: None), place(lambda op: {}["x"])
out += (len(tf.get_default_graph().get_operations()) - before,)
""",
            ("TypeError", "KeyError", 0),
        ),
        (
            "a DeviceSpec changed inside its scope",
            """
spec = tf.DeviceSpec.from_string("/gpu:0")
with tf.device(spec):
    spec.device_index = 3
    out = tf.no_op().device
""",
            "/device:GPU:0",
        ),
    ],
    "5.4": [
        (
            '`colocate_with("v")`, or with a number',
            """
g = tf.get_default_graph()
out = [err(lambda: g.colocate_with(target).__enter__()) for target in ("v", 3)]
""",
            [
                ("TypeError", "There is no operation behind 'v' (str)."),
                ("TypeError", "There is no operation behind 3 (int)."),
            ],
        ),
    ],
    "7.1": [
        (
            "constant folding, arithmetic rewrites",
            """
x = tf.add_n([a, a, a, a], name="x")
metadata = tf.RunMetadata()
s.run(tf.negative(x), {a: 1.0}, tf.RunOptions(output_partition_graphs=True), metadata)
out = [node.op for node in metadata.partition_graphs[0].node if node.name == "x"]
""",
            ["AddN"],
        ),
    ],
    "7.2": [
        (
            "a SparseTensor in `control_dependencies`",
            """
with tf.control_dependencies([tf.SparseTensor([[0]], [1.0], [3])]):
    out = [op.name for op in tf.no_op().control_inputs]
""",
            ["SparseTensor/values"],
        ),
    ],
    "7.3": [
        (
            "two reference variables of one `shared_name` without a value",
            """
v, w = reference("v"), reference("w")
out = [message(lambda: s.run(x))[0] for x in (v, w)]
""",
            ["Attempting to use uninitialized value v"] * 2,
        ),
    ],
    "8.1": [
        (
            "a hardware trace while another one is taken",
            """
q = tf.FIFOQueue(3, tf.float32, [[]])
take, put, traced = q.dequeue(), q.enqueue([1.0]), tf.RunOptions(trace_level=3)
def run(fetch):
    return s.run(fetch, options=traced, run_metadata=tf.RunMetadata())
thread = threading.Thread(target=run, args=(take,))
thread.start()
thread.join(0.2)
out = err(lambda: run(k[0, 0]))
s.run(put)
thread.join()
""",
            ("ok", np.float32(1)),
        ),
    ],
    "8.2": [
        (
            "step stats: the name of the CPU's allocator",
            """
metadata = tf.RunMetadata()
s.run(a + k, {a: 1.0}, tf.RunOptions(trace_level=1), metadata)
nodes = [node for stats in metadata.step_stats.dev_stats for node in stats.node_stats]
told = [output.tensor_description for node in nodes for output in node.output]
out = sorted({x.allocation_description.allocator_name for x in told})
""",
            ["cpu"],
        ),
    ],
    "9.2": [
        (
            "`import_graph_def` with an error",
            """
with tf.Graph().as_default() as g:
    tf.constant(1.0), tf.constant(2.0)
definition = g.as_graph_def()
definition.node[-1].device = "garbage:::"
with tf.Graph().as_default() as g:
    out = err(lambda: tf.import_graph_def(definition))[0], len(g.get_operations())
""",
            ("ValueError", 0),
        ),
    ],
    "RunOptions": [
        (
            "watches in `RunOptions.debug_options`",
            """
o = tf.RunOptions()
o.debug_options.debug_tensor_watch_opts.add(node_name="k", debug_urls=["file:///watched"])
out = err(lambda: s.run(k, options=o))
""",
            ("UnimplementedError", "debug_options: tensor watches are not supported."),
        ),
    ],
    "ops": [
        (
            "float16 sums and means",
            """
ones = np.ones([5000, 2])
out = s.run([tf.reduce_sum(half, 0), tf.reduce_mean(half, 0)], {half: ones})
""",
            [np.array([5000, 5000], np.float16), np.ones(2, np.float16)],
        ),
        (
            "denormal numbers",
            "out = s.run(a * 1.0, {a: np.float32(1e-40)})",
            np.float32(1e-40),
        ),
        (
            "float to small integer `cast` out of range",
            "out = s.run(tf.cast(tf.placeholder_with_default([300.0] * 3, [3]), tf.uint8))",
            np.array([255] * 3, np.uint8),
        ),
        (
            "gradients of `CumulativeLogsumexp`, `MatrixDiagV2`",
            """
x = tf.constant([-np.inf, 1.0])
out = s.run(tf.gradients(tf.math.cumulative_logsumexp(x), x)[0])
""",
            np.array([0, 1], np.float32),
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
