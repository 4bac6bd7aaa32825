"""Session handles: tensors that stay in a session, under real TensorFlow and under tfsession."""

import numpy as np
import pytest

pytestmark = pytest.mark.oracle

CPU0 = "/job:localhost/replica:0/task:0/device:CPU:0"

PRELUDE = """
import gc

a = tf.placeholder(tf.float32, name="a")
b = tf.placeholder(tf.float32, [7], name="b")
i = tf.placeholder(tf.int32, name="i")
double = a * 2.0
get = tf.get_session_handle(double, name="get")
s = tf.Session()
CPU0 = "/job:localhost/replica:0/task:0/device:CPU:0"


def handle(value=(1.0, 2.0), session=s):
    return session.run(get, {a: value})


def ops(start=0):
    named = tf.get_default_graph().get_operations()[start:]
    return [(op.name, op.type, op.device, [x.name for x in op.inputs]) for op in named]
"""

PROGRAMS = {
    "3.6": {
        "the nodes": """
tf.get_session_handle(a)
h = handle()
tf.get_session_tensor(h.handle, tf.float32)
tf.get_session_tensor(h.handle, tf.float32, name="mine")
tf.delete_session_tensor(h.handle)
with tf.name_scope("scope"), tf.device("/cpu:0"):
    tf.get_session_handle(a)
    tf.get_session_tensor(h.handle, "float32")
    tf.delete_session_tensor(h.handle, name="mine")
out = ops(), str(tf.get_default_graph().as_graph_def())
""",
        "the tensors": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.int32)
q, d = tf.delete_session_tensor(h.handle)
out = [str(x) for x in (get, p, t, q)], type(d).__name__
""",
        "data must be a tensor": """
v = tf.Variable(1.0)
out = [err(lambda: tf.get_session_handle(x)) for x in (3, [1.0], "a:0", v, double.op, None)]
""",
        "the text of a handle": """
texts = [str(handle()) for _ in range(3)]
texts += [str(x) for x in s.run([get, tf.get_session_handle(a + 1.0)], {a: 1.0})][:0]
with tf.Session() as other:
    texts += [str(handle(session=other)), handle().handle]
out = texts, [type(handle()).__name__, type(handle().handle).__name__]
""",
        "fetched in every way": """
out = [
    type(x).__name__ for x in (
        s.run(get, {a: 1}), s.run("get:0", {a: 1}), s.run([get], {a: 1})[0],
        s.run({"x": (get,)}, {a: 1})["x"][0], s.make_callable(get, [a])(1.0),
        s.make_callable([get], [a])(1.0)[0], get.eval({a: 1}, s), s.run(get.op, {a: 1}),
        s.run(tf.identity(get), {a: 1}), s.run([get, get], {a: 1})[1],
    )
]
""",
        "one run, two fetches of one handle": """
x, y = s.run([get, get], {a: 1})
out = x is y, x.handle == y.handle
""",
        "as an input it is a string": """
out = s.run(tf.identity(get), {a: 1.0}), s.run(tf.stack([get, get]), {a: 1.0})
""",
        "fed itself": """
x = s.run(get, {get: "zz"})
out = type(x).__name__, str(x), s.run(tf.identity(get), {get: "zz"})
""",
        "what it offers": """
h = handle()
out = [
    str(h), h.handle, h.eval(), h.to_numpy_array().dtype.names, h.to_numpy_array().tobytes(),
    err(lambda: setattr(h, "handle", 1))[0], h.get_raw_handle(),
]
""",
        "eval of every dtype and shape": """
out = []
for dtype in ("float16", "float32", "float64", "int8", "int32", "int64", "bool", "complex64"):
    for shape in ((), (0,), (2, 3)):
        x = tf.constant(np.ones(shape, dtype))
        out.append(s.run(tf.get_session_handle(x)).eval())
out.append(s.run(tf.get_session_handle(tf.constant(["a", "bc"]))).eval())
out.append(s.run(tf.get_session_handle(tf.constant("abc"))).eval())
""",
        "eval makes a reader once for the name and the device": """
one, two = handle([1.0]), handle([2.0])
before = len(ops())
out = one.eval(), two.eval(), one.eval(), ops(before)
""",
        "delete makes a deleter once": """
one, two = handle([1.0]), handle([2.0])
before = len(ops())
out = one.delete(), two.delete(), ops(before)
""",
        "the text fed": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.float32)
out = s.run([t, t * 3.0], {p: h.handle}), s.run(t, {p: handle([7.0]).handle.encode()})
""",
        "the text, made by the graph": """
h = handle()
t = tf.get_session_tensor(h.handle, tf.float32)[0]
out = err(lambda: s.run("GetSessionTensor:0"))
""",
        "deleted by its text": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.float32)
q, d = tf.delete_session_tensor(h.handle)
out = [s.run(t, {p: h.handle}), s.run(d, {q: h.handle}), err(lambda: s.run(t, {p: h.handle})),
       err(lambda: s.run(d, {q: h.handle})), err(lambda: h.eval()), err(lambda: h.delete()),
       err(lambda: h.delete())]
""",
        "deleted by the handle": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.float32)
out = [h.delete(), err(h.delete), err(h.eval), err(h.get_raw_handle), str(h),
       err(lambda: s.run(t, {p: h.handle}))]
""",
        "the raw handle": """
h = handle()
text = h.get_raw_handle()
p, t = tf.get_session_tensor(text, tf.float32)
out = [err(h.eval), err(h.delete), text == h.handle, s.run(t, {p: text})]
del h
out.append(s.run(t, {p: text}))
""",
        "texts that are no handles": """
out = [
    [err(lambda: f(x)) for x in ("abc", "", "a;b", 3, b"xy", "a;b;/cpu:x", None)]
    for f in (lambda x: tf.get_session_tensor(x, tf.float32), tf.delete_session_tensor)
]
""",
        "texts of short devices": """
out = [
    [x.device for x in (*tf.get_session_tensor(text, tf.float32), *tf.delete_session_tensor(text))]
    for text in ("a;b;/cpu:0", "/cpu:0", b"a;/device:CPU:0", "a;1;/job:localhost")
]
""",
        "missing": """
p, t = tf.get_session_tensor("a;1;" + CPU0, tf.float32)
q, d = tf.delete_session_tensor("a;1;" + CPU0)
out = [err(lambda: s.run(x, {p: "a;1;" + CPU0, q: "b;2;" + CPU0})) for x in (t, t + 1.0, d)]
""",
        "missing, after which the session works": """
p, t = tf.get_session_tensor("a;1;" + CPU0, tf.float32)
err(lambda: s.run(t, {p: "a;1;" + CPU0}))
h = handle()
out = s.run(t, {p: h.handle})
""",
        "another dtype": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.int32)
out = [err(lambda: s.run(x, {p: h.handle})) for x in (t, t + 1)]
""",
        "another dtype: no node in the error": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.float64)
try:
    s.run(t, {p: h.handle})
except tf.errors.InternalError as error:
    out = error.node_def, error.op, error.error_code
""",
        "another session's text": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.float32)
with tf.Session() as other:
    out = err(lambda: other.run(t, {p: h.handle})), err(lambda: other.run(b * 2.0, {b: h}))
""",
        "feeding the handle": """
h = handle()
out = [
    s.run(a + 1.0, {a: h}), s.run(b + 1.0, {b: h}), s.run([b, b * 2.0], {b: h}), s.run(b, {b: h}),
    s.run("b:0", {"b:0": h}), s.run({"x": b, "y": a + 1.0}, {b: h, a: 5.0}),
    s.run(double, {double: h}), s.run(double + 1.0, {"mul:0": h}), s.run([], {b: h}),
    s.run(b.op, {b: h}), s.make_callable([b, b + 1.0], [b])(h),
]
""",
        "feeding the handle again and again": """
h, k = handle(), handle([5.0])
f = s.make_callable(a + 1.0, [a])
out = [s.run(a + 1.0, {a: x}) for x in (h, 3.0, k, [1.0], h)], [f(x) for x in (h, 3.0, k, 4.0)]
""",
        "feeding the handle of a string": """
h = s.run(tf.get_session_handle(tf.constant(["x", "yz"])))
p = tf.placeholder(tf.string)
out = s.run([tf.identity(p), p], {p: h})
""",
        "feeding the handle for its text": """
h = handle()
p, t = tf.get_session_tensor(h.handle, tf.float32)
with tf.device("/cpu:0"):
    q, u = tf.get_session_tensor("/cpu:0", tf.float32)
out = err(lambda: s.run(t, {p: h})), err(lambda: s.run(u, {q: h}))
""",
        "between devices": """
s = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
with tf.device("/cpu:1"):
    away = tf.get_session_handle(a + 1.0)
    x = tf.placeholder(tf.float32)
    y = x * 2.0
h, k = s.run(away, {a: 3.0}), s.run(get, {a: 5.0})
out = [str(h), str(k), h.eval(), k.eval()]
out += [s.run(t, {p: fed}) for t, p in ((y, x), (double, a)) for fed in (h, k)]
""",
        "feeding the handle where it does not suit": """
h = handle()
st = tf.placeholder(tf.string, name="st")
z = tf.placeholder(tf.float32, name="z")
out = [
    err(lambda: s.run(i + 1, {i: h})), err(lambda: s.run([z + 1.0, i + 1], {z: 1.0, i: h})),
    err(lambda: s.run([z + 1.0, i + 1, a], {z: 1.0, i: h, a: 1.0})),
    err(lambda: s.run(tf.identity(st), {st: h})), err(lambda: s.run(i, {i: h})),
    err(lambda: s.run(a + 1.0, {a: [h]})), err(lambda: s.run(a + 1.0, {a: [h, 1.0]}))[0],
    err(lambda: s.run(a + 1.0, {a: h, 3: h})), err(lambda: s.run("nothing:0", {a: h})),
    err(lambda: s.run(None, {a: h})),
]
""",
        "feeding a handle that is gone": """
h = handle()
h.delete()
out = [err(lambda: s.run(x, {b: h})) for x in (b + 1.0, b, [b, b + 1.0], [])]
""",
        "feeding a handle that was deleted by its text": """
h = handle()
q, d = tf.delete_session_tensor(h.handle)
s.run(d, {q: h.handle})
out = [err(lambda: s.run(x, {b: h})) for x in (b + 1.0, b, [b, b + 1.0])]
""",
        "feeding a raw handle": """
h = handle()
h.get_raw_handle()
out = [err(lambda: s.run(x, {b: h})) for x in (b + 1.0, b)]
""",
        "feeding what may not be fed": """
h = handle()
tf.get_default_graph().prevent_feeding(double)
out = err(lambda: s.run(double + 1.0, {double: h}))
""",
        "an unfed value is a fetched one of its own": """
h = handle()
x, y = s.run(b, {b: h}), h.eval()
x += 1.0
out = h.eval(), y, s.run(b * 1.0, {b: h})
""",
        "in a partial run": """
h = handle()
r = s.partial_run_setup([double], [a])
out = s.partial_run(r, double, {a: h}), s.partial_run_setup([get], [a])[:1]
""",
        "fetched in a partial run": """
r = s.partial_run_setup([get], [a])
out = s.partial_run(r, get, {a: [2.0]}).eval()
""",
        "alive when others die": """
h = handle()
for _ in range(25):
    handle([3.0])
gc.collect()
out = h.eval(), s.run(b * 2.0, {b: h})
""",
        "the texts of the last few dead": """
texts = [handle([float(n)]).handle for n in range(9)]
p, t = tf.get_session_tensor(texts[0], tf.float32)
out = [s.run(t, {p: text}) for text in texts]
""",
        "the texts of ten dead": """
texts = [handle([float(n)]).handle for n in range(10)]
p, t = tf.get_session_tensor(texts[0], tf.float32)
out = [err(lambda: s.run(t, {p: text}))[0] for text in texts]
""",
        "on a closed session": """
h = handle()
s.close()
out = [err(h.eval), err(h.delete), err(h.delete), str(h), h.get_raw_handle()]
""",
        "with a finalized graph": """
h = handle()
tf.get_default_graph().finalize()
out = [err(h.eval), s.run(double, {a: h}), err(h.delete)]
""",
        "of a variable": """
v, u = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0], use_resource=True)
s.run(tf.global_variables_initializer())
of_u = s.run(tf.get_session_handle(u.value()))
s.run(u.assign_add([5.0, 5.0]))
out = of_u.eval(), s.run(u)
""",
        "no gradient": """
t = tf.get_session_tensor("a;1;/cpu:0", tf.float32)[1]
out = tf.gradients(t * a, a)[0] is not None, tf.gradients(t, a)
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert ours == real


# (row of docs/differences.md, program, our outcome)
CHOICES = {
    "3.6": [
        (
            "handles that are gone",
            """
for _ in range(10):
    handle()
out = len(ops(6))
""",
            0,
        ),
        (
            "a handle of another session",
            """
h = handle()
with tf.Session() as other:
    handle([7.0], other)
    out = err(lambda: other.run(double, {a: h}))
""",
            (
                "InvalidArgumentError",
                f"Graph execution error:\n\nThe tensor with handle 'get;0;{CPU0}' is not in the "
                "session store.",
            ),
        ),
        (
            "a handle of a reference variable",
            """
v = tf.Variable([1.0, 2.0])
s.run(v.initializer)
h = s.run(tf.get_session_handle(v.value()))
s.run(v.assign_add([5.0, 5.0]))
out = h.eval().tolist()
""",
            [1.0, 2.0],
        ),
        (
            "a handle's text fed on another device",
            """
s = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
with tf.device("/cpu:1"):
    away = tf.get_session_handle(a + 1.0)
h = s.run(away, {a: 3.0})
p, t = tf.get_session_tensor("a;1;/cpu:0", tf.float32)
before = len(ops())
out = s.run(t, {p: h.handle}).item(), len(ops(before))
""",
            (4.0, 0),
        ),
        (
            "a fed text that is no handle",
            """
p, t = tf.get_session_tensor(handle().handle, tf.float32)
error, text = err(lambda: s.run(t, {p: "abc"}))
out = error, "The tensor with handle 'abc' is not in the session store." in text
""",
            ("InvalidArgumentError", True),
        ),
        (
            "`GetSessionHandleV2`",
            """
two = get.graph.create_op("GetSessionHandleV2", [double], [tf.resource], name="two")
h = s.run(two.outputs[0], {a: 1.0})
out = str(h), err(h.eval)
""",
            (f"two;0;{CPU0}", ("ok", np.float32(2.0))),
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_program_differs_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
