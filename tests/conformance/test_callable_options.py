"""`_make_callable_from_options`: the same options under real TensorFlow and under tfsession."""

import numpy as np
import pytest

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
import ml_dtypes
from tensorflow.core.protobuf import config_pb2

a = tf.placeholder(tf.float32, [2], name="a")
b = tf.placeholder(tf.float32, name="b")
c = tf.add(a, b, name="c")
sq = tf.square(c, name="sq")
i = tf.placeholder(tf.int32, name="i")
i1 = tf.add(i, 1, name="i1")
t = tf.placeholder(tf.string, name="t")
t1 = tf.identity(t, name="t1")
bf = tf.placeholder(tf.bfloat16, name="bf")
bf2 = tf.add(bf, bf, name="bf2")
k = tf.constant(3.0, name="k")
k2 = tf.multiply(k, 2.0, name="k2")
v = tf.get_variable("v", [2], initializer=tf.zeros_initializer())
up = tf.assign_add(v, [1.0, 1.0], name="up")
with tf.control_dependencies([up]):
    after = tf.identity(k, name="after")
with tf.control_dependencies([b.op]):
    waits = tf.constant(4.0, name="waits")
with tf.control_dependencies([k.op]):
    waits_for_k = tf.constant(5.0, name="waits_for_k")
bad = tf.gather(a, [9], name="bad")
none = tf.no_op(name="none")
s = tf.Session()
s.run(v.initializer)
CPU = "/job:localhost/replica:0/task:0/device:CPU:0"


def f(*numbers):
    return np.array(numbers, np.float32)


def options(
    feed=(), fetch=(), target=(), connect=(), feed_devices={}, fetch_devices={}, skip=True, **run
):
    o = config_pb2.CallableOptions(feed=feed, fetch=fetch, target=target, fetch_skip_sync=skip)
    for start, to in connect:
        o.tensor_connection.add(from_tensor=start, to_tensor=to)
    o.feed_devices.update(feed_devices)
    o.fetch_devices.update(fetch_devices)
    for name, value in run.items():
        setattr(o.run_options, name, value)
    return o


def make(**asked):
    return s._make_callable_from_options(options(**asked))


def call(*args, **asked):
    return err(lambda: make(**asked)(*args))


AB = ["a:0", "b:0"]


def sum_of(*args, **asked):
    return call(*args, feed=AB, fetch=["c:0"], **asked)
"""

ROWS = {
    "3.2": {
        "values by position": """
out = [
    sum_of(f(1, 2), f(3, 4)),
    call(f(3), f(1, 2), feed=["b:0", "a:0"], fetch=["sq:0", "c:0"]),
    call(f(1, 2), f(3), feed=["a", "b"], fetch=["c"]),
    call(f(7, 8), feed=["c:0"], fetch=["sq:0"]),
    call(np.float32(5), feed=["k:0"], fetch=["k2:0", "k2:0"]),
    call(fetch=["k:0", "k:0", "v:0"]),
    type(make(fetch=["k:0"])()).__name__,
]
""",
        "the number of values": """
out = [
    sum_of(f(1, 2)),
    sum_of(f(1, 2), f(1, 2), f(1, 2)),
    sum_of(),
    call(f(1), fetch=["k:0"]),
]
""",
        "nothing is cast": """
out = [
    sum_of(np.array([1.0, 2.0]), f(1)),
    sum_of([1.0, 2.0], f(1)),
    sum_of(f(1, 2), 1.0),
    sum_of(f(1, 2), 1),
    sum_of(f(1, 2), True),
    sum_of(f(1, 2), 1j),
    sum_of(f(1, 2), "x"),
    sum_of(f(1, 2), np.float16(1)),
    sum_of(f(1, 2), ml_dtypes.bfloat16(1)),
    sum_of(f(1, 2), np.array([b"x"])),
    call(1, feed=["i:0"], fetch=["i1:0"]),
    call(np.int32(1), feed=["i:0"], fetch=["i1:0"]),
    call(np.uint32(1), feed=["i:0"], fetch=["i1:0"]),
    call([np.int32(1), np.int32(2)], feed=["i:0"], fetch=["i1:0"]),
    call(np.ones(2, ml_dtypes.bfloat16), feed=["bf:0"], fetch=["bf2:0"]),
    call(np.ones(2, np.float32), feed=["bf:0"], fetch=["bf2:0"]),
]
""",
        "texts": """
out = [
    call(x, feed=["t:0"], fetch=["t1:0"])
    for x in (
        "x",
        b"x",
        ["x", b"y"],
        np.array(["x", b"y"], object),
        np.array(["x", "y"]),
        np.array([b"x", b"y"]),
        "\\u00e9",
        "\\ud800",
        f(1),
        np.array([1, 2], object),
        None,
    )
]
""",
        "values that no tensor holds": """
out = [
    sum_of(f(1, 2), x)
    for x in (None, object(), {1}, {1: 2}, (x for x in [1.0]), 10**30, [None])
]
""",
        "arrays of any layout": """
class Array:
    def __array__(self, dtype=None, copy=None):
        return f(1, 2)


x = f(1, 2, 3, 4)
read_only = f(1, 2)
read_only.flags.writeable = False
out = [
    sum_of(Array(), f(1)),
    sum_of(x[::2], x[::-2]),
    sum_of(read_only, np.asfortranarray(np.ones((3, 2), np.float32))),
    sum_of(f(1, 2), np.zeros((0, 2), np.float32)),
    x.tolist(),
]
""",
        "unknown names": """
out = [
    call(fetch=["zz:0"]),
    call(fetch=["zz"]),
    call(fetch=[""]),
    call(fetch=["k:x"]),
    call(fetch=["k:1"]),
    call(fetch=["^k"]),
    call(fetch=["none"]),
    call(f(1), feed=["zz:0"], fetch=["k:0"]),
    call(f(1), feed=["a:1"], fetch=["k:0"]),
    call(f(1), feed=["zz:0"]),
    call(target=["zz"]),
    call(target=["zz", "k", "yy:0"]),
    call(target=["zz"], fetch=["yy:0"]),
]
""",
        "errors come when it is made": """
out = [
    err(lambda: make(fetch=["zz:0"])),
    err(lambda: make()),
    err(lambda: make(feed=["a:0", "a:0"], fetch=["k:0"])),
    err(lambda: type(make(fetch=["c:0"])) is None),
]
""",
        "nothing to do": "out = [call(), call(f(1, 2), feed=['a:0'])]",
        "fed twice, fed and fetched": """
out = [
    call(f(1, 2), f(1, 2), feed=["a:0", "a:0"], fetch=["c:0"]),
    call(f(1, 2), feed=["a:0"], fetch=["a:0"]),
    call(f(1, 2), feed=["a:0", "a:0"], target=["zz"]),
    call(f(1, 2), feed=["zz:0", "a:0", "a:0"], fetch=["c:0"]),
]
""",
        "targets": """
out = [
    call(target=["up"]),
    s.run(v),
    call(target=["up:0"], fetch=["k:0"]),
    s.run(v),
    call(fetch=["after:0", "up:0"]),
    call(target=["none"]),
]
""",
        "errors of the step are raw": """
def caught(*args, **asked):
    try:
        make(**asked)(*args)
    except Exception as e:
        return type(e).__name__, e.op, e.node_def, e.args, repr(e), e.message


out = [
    caught(f(1, 2), feed=["a:0"], fetch=["c:0"]),
    caught(f(1, 2), feed=["a:0"], fetch=["bad:0"]),
    caught(f(1, 2), feed=["v:0"], target=["up"]),
    sum_of(f(1, 2), f(3)),
]
""",
        "no message": """
out = [
    err(lambda: s._make_callable_from_options(None)),
    err(lambda: s._make_callable_from_options("x")),
    err(lambda: s._make_callable_from_options(config_pb2.RunOptions())),
]
""",
        "keywords": """
g = make(fetch=["k2:0"])
out = [
    err(lambda: g(zz=3)),
    err(lambda: g(run_metadata=None)),
    err(lambda: g(run_metadata=3)),
]
""",
        "a session that is closed, a graph that is empty": """
g = make(fetch=["k:0"])
s.close()
out = [call(fetch=["k:0"]), err(g)]
s = tf.Session(graph=tf.Graph())
out += [call(fetch=["k:0"]), call()]
""",
        "the graph grows": """
g = make(feed=AB, fetch=["c:0"])
d = tf.multiply(c, 2.0, name="d")
out = [g(f(1, 2), f(3)), call(f(1, 2), f(3), feed=AB, fetch=["d:0"]), g(f(1, 2), f(3))]
""",
        "run options": """
m = config_pb2.RunMetadata()
g = make(fetch=["k2:0"], trace_level=3, output_partition_graphs=True)
out = [
    err(lambda: g(run_metadata=m)),
    len(m.step_stats.dev_stats),
    len(m.partition_graphs),
    err(g),
    call(fetch=["k2:0"], timeout_in_ms=10000),
    call(fetch=["k2:0"], inter_op_thread_pool=7),
    call(fetch=["k2:0"], inter_op_thread_pool=-1),
    err(lambda: type(make(fetch=["k2:0"], inter_op_thread_pool=7)) is None),
]
m.Clear()
out += [make(fetch=["k2:0"])(run_metadata=m), len(m.step_stats.dev_stats)]
""",
        "devices of feeds": """
out = [
    sum_of(f(1, 2), f(3), feed_devices={name: device})
    for name, device in [
        ("a:0", CPU),
        ("a:0", "/job:localhost/replica:0/task:0/cpu:0"),
        ("zz:0", CPU),
        ("k:0", "bogus"),
        *[
            ("a:0", text)
            for text in (
                *("/cpu:0", "/device:CPU:0", "CPU:0", "bogus", "", "/", "/job:x"),
                *(CPU[:-1] + "7", CPU[:-1] + "*", CPU.replace("CPU", "cpu"), CPU[:-6] + "GPU:0"),
                "/job:localhost/task:0/device:CPU:0",
            )
        ],
    ]
]
""",
        "devices of fetches": """
out = [
    sum_of(f(1, 2), f(3), fetch_devices={name: device})
    for name, device in [
        ("c:0", CPU), ("zz:0", CPU), ("c:0", "/cpu:0"), ("c:0", "bogus"), ("c:0", CPU[:-1] + "3")
    ]
]
""",
        "connected tensors": """
x = f(1, 2), f(3, 4)
out = [
    call(*x, feed=AB, fetch=["k2:0"], connect=[("c:0", "k:0")]),
    call(*x, feed=AB, fetch=["k2:0"], connect=[("c", "k")]),
    call(*x, feed=AB, fetch=["k2:0"], target=["k"], connect=[("c:0", "k:0")]),
    call(f(1, 2), feed=["a:0"], fetch=["c:0", "sq:0"], connect=[("k:0", "b:0")]),
    call(f(1, 2), feed=["b:0"], fetch=["c:0", "sq:0"], connect=[("k:0", "a:0")]),
    call(*x, feed=AB, fetch=["k2:0"], connect=[("v:0", "k:0")]),
    call(f(1, 2), feed=["a:0"], fetch=["c:0"], connect=[("k:0", "b:0"), ("k2:0", "k:0")]),
]
""",
        "what waits for a connected placeholder": """
out = [
    call(fetch=["waits:0"]),
    call(fetch=["waits:0"], connect=[("up:0", "b:0")]),
    s.run(v),
    call(fetch=["waits_for_k:0"], connect=[("up:0", "k:0")]),
    s.run(v),
    call(f(1, 2), f(3), feed=AB, fetch=["waits:0"]),
]
""",
        "tensors that cannot be connected": """
x = f(1, 2), f(3, 4)
out = [
    call(*x, feed=AB, fetch=["k:0"], connect=[("c:0", "k:0")]),
    call(*x, f(1), feed=[*AB, "k:0"], fetch=["k2:0"], connect=[("c:0", "k:0")]),
    call(*x, feed=AB, fetch=["k2:0"], connect=[("c:0", "k:0"), ("sq:0", "k:0")]),
    call(fetch=["k2:0"], connect=[("zz:0", "k:0")]),
    call(fetch=["k2:0"], connect=[("c:3", "k:0")]),
    call(fetch=["k2:0"], connect=[("k:0", "zz:0")]),
    call(fetch=["k2:0"], connect=[("c:0", "k:3")]),
    call(fetch=["yy:0"], connect=[("c:0", "zz:0")]),
    call(np.int32(1), feed=["i:0"], fetch=["k2:0"], connect=[("i1:0", "k:0")]),
    call(np.int32(1), feed=["i:0"], fetch=["v:0"], connect=[("i1:0", "k:0")]),
    call(fetch=["k2:0"], connect=[("k:0", "k:0")]),
    call(fetch=["k2:0"], connect=[("k2:0", "k:0")]),
    call(fetch=["v:0"], connect=[("k2:0", "k:0")]),
    call(*x, feed=AB, fetch=["k2:0"], connect=[("c:0", "k:0"), ("k2:0", "c:0")]),
    call(*x, feed=AB, target=["up"], connect=[("c:0", "v:0")]),
    call(fetch=["waits:0"], connect=[("waits:0", "b:0")]),
]
""",
        "values that are no arrays": """
v3 = tf.Variable(1.0)
class Own:
    pass
values = [
    k, [k], [[1.0], [2.0, 3.0]], [1.0, [2.0]], none, v3, Own(), np.array([1], "M8[s]"),
    np.void(b"ab"), np.array([(1, 2.0)], "i4, f4"), np.longdouble(1),
    np.array([1.0], object), [], slice(1), ...,
]
out = [sum_of(f(1, 2), x)[0] for x in values], [sum_of(f(1, 2), x)[1][:14] for x in values[:4]]
""",
        "names of control inputs": """
out = [
    call(*x, **asked)[0]
    for x, asked in [
        ((), {"fetch": ["sq:0"], "connect": [("^k", "a:0"), ("k:0", "b:0")]}),
        ((), {"fetch": ["k2:0"], "connect": [("^a", "k:0")]}),
        ((), {"fetch": ["c:0"], "connect": [("k:0", "^a"), ("k:0", "b:0")]}),
        ((), {"fetch": ["^k"]}),
        ((), {"target": ["^none"]}),
        ((f(1, 2),), {"feed": ["^a"], "fetch": ["k:0"]}),
    ]
]
""",
        "after close and reset": """
g = make(fetch=["k:0"])
tf.Session.reset("")
out = [err(g), call(fetch=["k:0"])]
s.close()
out += [err(g), call(fetch=["k:0"])]
""",
    },
}

CHOICES = {
    "3.2": [
        (
            "callables of CallableOptions: values whose shape does not fit",
            "out = sum_of(f(1, 2, 3), f(1))",
            ("ValueError", "Cannot feed value of shape (3,) for Tensor a:0, which has shape (2,)"),
        ),
        (
            "callables of CallableOptions: values of another byte order",
            "out = sum_of(np.ones(2, '>f4'), f(1))",
            ("ok", [np.array([2, 2], "f")]),
        ),
        (
            "callables of CallableOptions: values that nothing needs",
            "out = call(f(1, 2), 1, feed=AB, fetch=['k:0'])",
            (
                "InvalidArgumentError",
                "Type mismatch: actual int64 vs. expect float\n\t [[{{node _arg_b_0_1}}]]",
            ),
        ),
        (
            "`CallableOptions.fetch_devices` without `fetch_skip_sync`",
            "out = sum_of(f(1, 2), f(1), fetch_devices={'c:0': CPU}, skip=False)",
            ("ok", [np.array([2, 3], "f")]),
        ),
        (
            "`CallableOptions.tensor_connection` from a tensor that is fed or connected",
            "out = call(f(7, 8), feed=['c:0'], fetch=['k2:0'], connect=[('c:0', 'k:0')])",
            ("ok", [np.array([14, 16], "f")]),
        ),
    ]
}


@pytest.mark.rows("program", ROWS)
def test_callables_of_options(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert ours == real


@pytest.mark.choices(CHOICES)
def test_where_callables_of_options_differ(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
