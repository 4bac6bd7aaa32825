"""Device names, DeviceSpec, scopes and colocation: the sentences of section 5, as programs."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import contextlib, copy, pickle
Mutable, Fixed = tf.DeviceSpec, tf.compat.v2.DeviceSpec


def read(*texts):
    return [
        err(lambda: (repr(kind.from_string(text)), kind.from_string(text).to_string()))
        for kind in (Mutable, Fixed)
        for text in texts
    ]


def made(*scopes):
    with tf.Graph().as_default(), contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(tf.device(scope))
        return tf.no_op().device


def ran(device, **config):
    with tf.Graph().as_default():
        op = tf.no_op(name="n")
        op._set_device(device)
        with tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}, **config)) as session:
            return session.run(op)
"""

ROWS = {
    "5.1": {
        "the keys": """
out = read("job:w", "/job:w", "/replica:1", "/task:2", "cpu", "/cpu:1", "/cpu:*", "/device:FOO:3")
out += read("/job:w/replica:1/task:2/device:GPU:3", "/device:GPU:3/task:2/replica:1/job:w")
""",
        "short types": """
types = ("cpu", "GPU", "Gpu", "tpu", "TPU", "custom", "epu", "XLA_GPU", "foo")
out = read(*(f"/{kind}:1" for kind in types), *types)
""",
        "types after device:": """
out = read(*(f"/device:{kind}:1" for kind in ("cpu", "gpu", "Gpu", "tpu", "foo", "XLA_GPU", "*")))
""",
        "nothing": 'out = read("", "/", "//", None, "::", "/:x")',
        "slashes": 'out = read("gpu:0", "//gpu:0", "/gpu:0/", "/job:a//gpu:0", "job:a/gpu:0")',
        "a key again": """
out = read("/job:a/job:b", "/task:1/task:2", "/replica:x/replica:2", "/task:1/task:x")
""",
        "two device types": """
out = read("/gpu:0/cpu:1", "/gpu:0/gpu:0", "/cpu/device:FOO:1", "/device:A:0/device:B:0")
""",
        "anything else": """
out = read("/device:CPU", "/device", "/device:GPU:0:1", "/foo:1", "bogus", "/Job:x", " /gpu:0")
out += read("/job", "/job:a:b", "/task", "/task:1:2", "/replica", "/gpu:0:1", "/gpu :0", "/é:0")
""",
        "numbers": """
out = read("/gpu:-1", "/gpu:+1", "/gpu:00", "/gpu: 1 ", "/gpu:1_0", "/gpu:x", "/gpu:", "/gpu:1.0")
out += read("/task:*", "/replica:*", "/task:", "/task:-1", "/job:*", "/device:GPU:*", "/job:")
""",
        "no text": 'out = read(b"/gpu:0", 5, 1.5, 0, object)',
    },
    "5.2": {
        "constructors": """
out = [
    err(lambda: repr(kind(*args)))
    for kind in (Mutable, Fixed)
    for args in ((), ("w",), (3,), ("w", "1", 2.7, "cpu", "0"), (None, None, None, "Cpu"),
                 (None, None, None, 3), (None, "x"), (None, None, None, None, 4), ("*", "*"))
]
out += [err(lambda: Mutable(foo=1))[0], err(lambda: Fixed("a", 1, 2, "cpu", 3, 4))[0]]
""",
        "text": """
out = [str(kind(job="w", device_type="cpu", device_index=0)) for kind in (Mutable, Fixed)]
out += [kind(device_index=1).to_string() for kind in (Mutable, Fixed)]
out += [kind(device_type="GPU").to_string() for kind in (Mutable, Fixed)]
""",
        "the mutable form": """
spec = Mutable.from_string("/job:w/gpu:1")
out = [spec.parse_from_string("/task:2") is spec, repr(spec)]
spec.job, spec.replica, spec.task, spec.device_type, spec.device_index = 1, "2", "3", "gpu", "4"
out.append(repr(spec))
out.append(err(lambda: setattr(spec, "task", "x")))
out.append(err(lambda: setattr(spec, "foo", "x")))
out.append([spec.merge_from(Mutable.from_string("/job:y/cpu")), repr(spec)])
out.append([spec.merge_from(Fixed(task=9)), repr(spec)])
out.append(err(lambda: spec.merge_from("/cpu:0")))
out.append([err(lambda: spec.parse_from_string("/task:7/bogus"))[0], repr(spec)])
spec.job = spec.device_type = None
out.append([repr(spec), spec.to_string(), hash(spec) == hash(Mutable.from_string("/replica:2/task:9"))])
""",
        "the fixed form": """
spec = Fixed.from_string("/job:w/gpu:1")
out = [repr(spec.parse_from_string("/task:2")), repr(spec), hasattr(spec, "merge_from")]
out += [
    err(lambda: setattr(spec, name, 1))[0]
    for name in ("job", "replica", "task", "device_type", "device_index", "foo")
]
out += [issubclass(Mutable, Fixed), sorted(n for n in dir(Fixed) if n[0] != "_")]
out += [sorted(n for n in dir(Mutable) if n[0] != "_")]
""",
        "merging": """
texts = ("", "/gpu:1", "/cpu", "/job:a/task:1", "/job:b/replica:2/device:FOO:7")
out = [
    (type(found).__name__, repr(found))
    for one in (Mutable, Fixed)
    for other in (Mutable, Fixed)
    for a in texts
    for b in texts
    for found in [one.from_string(a).make_merged_spec(other.from_string(b))]
]
out.append(err(lambda: Mutable().make_merged_spec("/cpu:0")))
""",
        "replace": """
out = []
for kind in (Mutable, Fixed):
    spec = kind.from_string("/job:w/gpu:1")
    out += [repr(spec.replace(job="y", device_index=None)), repr(spec.replace(task="3"))]
    out += [type(spec.replace()).__name__, spec.replace() == spec, repr(spec)]
    out += [err(lambda: spec.replace(foo=1))[0], err(lambda: spec.replace(task="x"))]
""",
        "equality and hash": """
texts = ("", "/gpu:1", "gpu:1", "/cpu", "/job:a/task:1", "/job:b/task:1")
specs = [kind.from_string(text) for kind in (Mutable, Fixed) for text in texts]
specs += [Mutable(device_index=1), Fixed(device_index=2), Mutable(device_type="GPU", device_index=1)]
out = [[a == b for b in specs] for a in specs]
out += [[hash(a) == hash(b) for b in specs] for a in specs]
out += [specs[0] == "", specs[0] != "", specs[1] == "/device:GPU:1", len(set(specs))]
""",
        "copies": """
out = [
    repr(how(kind.from_string("/job:w/gpu:1")))
    for kind in (Mutable, Fixed)
    for how in (copy.copy, copy.deepcopy, lambda spec: pickle.loads(pickle.dumps(spec)))
]
""",
    },
    "5.3": {
        "texts and specs": """
scopes = [
    ("/gpu:0", ""), ("/job:w/cpu:0", "/task:1"), ("/gpu:1", "/cpu"), ("/cpu", "/gpu:1"),
    (Mutable(job="q", device_type="CPU", device_index=1),), (Fixed(job="q"), "/cpu:0"),
    (Mutable(device_index=1), "/cpu"), (Mutable(job="hidden", device_index=1), "/cpu"),
    ("/device:FOO:7", "/job:nowhere"), ("/task:1", Fixed(job="hid", device_index=3), "/device:*:*"),
]
out = [made(*some) for some in scopes]
""",
        "None": """
out = [
    made(*some)
    for some in (("/gpu:0", None), ("/gpu:0", None, "/task:1"), (None, "/gpu:0"),
                 ("/gpu:0", None, None), (lambda op: "/task:3", None, "/cpu:0"))
]
""",
        "functions": """
class Callable:
    def __call__(self, op):
        return "/cpu:1"

out = [
    made(*some)
    for some in (
        ("/gpu:1", lambda op: "/task:3"), (lambda op: "/task:3", "/gpu:1"),
        (lambda op: "", "/gpu:1"), ("/job:w", lambda op: "", "/gpu:1"), (Callable(),),
        (lambda op: op.device + "/task:3", "/gpu:1"), (lambda op: Fixed(task=4), "/gpu:1"),
        ("/job:a", lambda op: Mutable(task=4)), (lambda op: b"/job:w",), ("/job:b", lambda op: b"cpu:1"),
        (lambda op: "/job:outer", lambda op: op.device + "/task:1", "/cpu:0"),
        (lambda op: op.device + "/replica:1", lambda op: "/task:1", "/cpu:0"),
    )
]
""",
        "what a function sees": """
seen = []


def function(op):
    controls = [control.name for control in op.control_inputs]
    seen.append((op.type, op.name, op.device, [x.name for x in op.inputs], controls))
    return "/cpu:1"


x = tf.constant(1.0, name="x")
with tf.device("/job:w"), tf.device(function), tf.device("/task:1"), tf.control_dependencies([x]):
    made = [tf.no_op(name="done").device, tf.add(x, tf.constant(2.0, name="y")).device]
out = seen, made
""",
        "errors": """
out = [
    err(lambda: made(*some))
    for some in (
        ("bogus",), ("/cpu:x",), (5,), (b"/cpu:0",), ("/job:a", lambda op: "bogus"),
        (lambda op: None,), (lambda op: 3,), ("/cpu:0", lambda op: None),
    )
]
out += [err(lambda: tf.device())[0], err(lambda: tf.get_default_graph().device())[0]]
out += [err(lambda: setattr(a.op, "device", "/cpu:0"))[0]]
""",
        "scopes left in another order": """
with tf.Graph().as_default():
    one, two = tf.device("/cpu:0"), tf.device("/job:w")
    one.__enter__()
    two.__enter__()
    out = [err(lambda: one.__exit__(None, None, None)), tf.no_op().device]
    out += [err(lambda: two.__exit__(None, None, None)), tf.no_op().device]
""",
        "a scope is over after an error": """
def fails():
    with tf.device("/cpu:1"):
        raise KeyError("x")

with tf.Graph().as_default():
    out = [err(fails), tf.no_op().device, err(lambda: made("/cpu:0", "bogus"))[0], tf.no_op().device]
""",
        "scopes of graphs and of the default graph": """
one, two = tf.Graph(), tf.Graph()
with one.device("/cpu:1"), two.device("/job:w"):
    with one.as_default(), tf.device("/task:1"):
        out = [tf.no_op().device]
    with two.as_default():
        out.append(tf.no_op().device)
    out.append(tf.no_op().device)
""",
        "the symbol of version 2": """
device = tf.compat.v2.device
out = [err(lambda: device(what)) for what in (lambda op: "/cpu:0", Mutable, len)]
out += [err(lambda: device("bogus").__enter__())]
for what in ("/cpu:1", Fixed(job="w"), Mutable(task=1), None, ""):
    with tf.device("/gpu:0"), device(what):
        out.append(tf.no_op().device)
""",
        "no such device": 'out = [err(lambda: made(x)) for x in ("/gpu:99", "/device:FOO:0", "/job:x")]',
        "a device that is set": """
op = tf.no_op()
out = []
for device in ("/cpu:1", "/task:1/job:b", "garbage", b"/cpu:0", Mutable(job="a"), Fixed(), "", None, 3):
    out.append((err(lambda: op._set_device(device)), op.device))
""",
        "garbage that is set": """
out = [err(lambda: ran("garbage")), err(lambda: ran("garbage", allow_soft_placement=True))]
out = [(name, text.split("Node: 'n'")[-1]) for name, text in out]
""",
    },
    "5.4": {
        "groups": """
names = lambda op: (op.colocation_groups(), op.device, [*op.node_def.attr["_class"].list.s])
v, w = tf.no_op(name="v"), tf.no_op(name="w")
out = [names(v)]
with tf.colocate_with(w), tf.colocate_with(v):
    x = tf.no_op(name="x")
with tf.colocate_with(x):
    y = tf.no_op(name="y")
with tf.colocate_with(y), tf.colocate_with(tf.constant(1.0, name="z")):
    z = tf.no_op()
with tf.colocate_with(v), tf.colocate_with(w, ignore_existing=True):
    u = tf.no_op()
out += [names(op) for op in (x, y, z, u)]
""",
        "devices": """
with tf.device("/gpu:0"):
    v = tf.no_op(name="v")
with tf.device("/job:w"):
    w = tf.no_op(name="w")
out, g = [], tf.get_default_graph()
seen = []
for scopes in (
    lambda: (g.colocate_with(v),),
    lambda: (g.colocate_with(v), g.colocate_with(w)),
    lambda: (g.colocate_with(w), g.colocate_with(v)),
    lambda: (g.device("/cpu:0"), g.colocate_with(v)),
    lambda: (g.device("/cpu:0"), g.colocate_with(n)),
    lambda: (g.colocate_with(v), g.device("/cpu:0")),
    lambda: (g.colocate_with(n), g.device("/cpu:0")),
    lambda: (g.colocate_with(v), g.device(None)),
    lambda: (g.colocate_with(v), g.device(lambda op: seen.append(op.device) or "/cpu:3")),
    lambda: (g.device("/cpu:0"), g.colocate_with(v, ignore_existing=True)),
    lambda: (g.device("/cpu:0"), g.colocate_with(None, ignore_existing=True)),
    lambda: (g.colocate_with(v), g.colocate_with(None, ignore_existing=True)),
    lambda: (g.colocate_with(v), g.colocate_with(None, ignore_existing=True), g.device("/cpu:1")),
):
    with contextlib.ExitStack() as stack:
        for scope in scopes():
            stack.enter_context(scope)
        op = tf.no_op()
    out.append((op.device, op.colocation_groups()))
with g.device("/cpu:5"):
    with g.colocate_with(v):
        pass
    out.append(tf.no_op().device)
""",
        "a device set later": """
v = tf.no_op(name="v")
with tf.colocate_with(v):
    first = tf.no_op()
v._set_device("/cpu:1")
with tf.colocate_with(first):
    second = tf.no_op()
with tf.colocate_with(v):
    third = tf.no_op()
out = [op.device for op in (first, second, third)]
""",
        "what may be a target": """
g = tf.get_default_graph()
v = tf.Variable(1.0, name="v")
r = tf.Variable(1.0, name="r", use_resource=True)
s = tf.IndexedSlices(tf.constant([1.0], name="slices"), tf.constant([0]))
out = []
for target in (v, r, s, a, a.op, n):
    with g.colocate_with(target):
        out.append(tf.no_op().colocation_groups())
out += [err(lambda: g.colocate_with(target).__enter__())[0] for target in (None,)]
out += [err(lambda: tf.colocate_with(None).__enter__())]
out += [err(lambda: tf.colocate_with(None, ignore_existing=False).__enter__())]
""",
    },
    "5.5": {
        "malformed": """
names = ("garbage", "/job:", "/job:1a", "/job:a-b", "/task:-1", "/task:x", "/device:CPU:x")
names += ("/device::0", "/replica:", "/device:C*:0", "/cpu:0x", "/Job:x")
out = [err(lambda: ran(name))[1].split("Node: 'n'")[-1] for name in names]
""",
        "stars": """
names = ("/job:*", "/replica:*", "/task:*", "/device:CPU:*", "/device:*:*", "/device:*:1", "/cpu:*")
out = [err(lambda: ran(name)) for name in names]
""",
        "types are as they are spelled": """
names = ("/cpu:0", "/CPU:1", "/device:CPU:0", "/device:CPU", "/device:Cpu:0", "/device:FOO:0")
out = [err(lambda: ran(name))[1] for name in names]
out = [text and text.split("Node: 'n'")[-1] for text in out]
""",
        "full names": """
head = "/job:localhost/replica:0/task:0"
names = (head, head + "/device:CPU:1", head + "/cpu:1", head + "/device:CPU:2", "/job:other/cpu:0")
out = [err(lambda: ran(name))[1] for name in names]
out = [text and text.split("Node: 'n'")[-1] for text in out]
""",
    },
}


@pytest.mark.rows("program", ROWS)
def test_same_as_tensorflow(assert_same, program):
    assert_same(PRELUDE + BEGIN, program)


# What programs find there.
BEGIN = """
a = tf.placeholder(tf.float32, [], name="a")
n = tf.no_op(name="n")
"""
