"""State: what outlives a step and what does not, under real TensorFlow and under tfsession."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import threading


def attr(**value):
    return tf.AttrValue(**value)


def sized(shape):
    value = tf.AttrValue()
    value.shape.SetInParent()
    for size in shape:
        value.shape.dim.add(size=size)
    return value


def raw(op_type, name, inputs, outputs, **attrs):
    op = tf.get_default_graph().create_op(
        op_type, [tf.convert_to_tensor(x) for x in inputs], outputs, name=name, attrs=attrs
    )
    return op.outputs[0] if outputs else op


def names(shared, container):
    return {"shared_name": attr(s=shared.encode()), "container": attr(s=container.encode())}


def ref(name, dtype=tf.float32, shape=(), shared="", container=""):
    t = attr(type=dtype.as_datatype_enum)
    return raw("VariableV2", name, [], [dtype._as_ref], dtype=t, shape=sized(shape),
               **names(shared, container))


def handle(name, dtype=tf.float32, shape=(), shared=None, container=""):
    t = attr(type=dtype.as_datatype_enum)
    return raw("VarHandleOp", name, [], [tf.resource], dtype=t, shape=sized(shape),
               **names(name if shared is None else shared, container))


def typed(op_type, name, inputs, dtype=tf.float32, outputs=(), **attrs):
    return raw(op_type, name, inputs, list(outputs), dtype=attr(type=dtype.as_datatype_enum),
               **attrs)


def read(h, dtype=tf.float32, name="read"):
    return typed("ReadVariableOp", name, [h], dtype, [dtype])


def put(h, value, name="put", **attrs):
    value = tf.convert_to_tensor(value)
    return typed("AssignVariableOp", name, [h, value], value.dtype, **attrs)


def add(h, value, name="add"):
    value = tf.convert_to_tensor(value)
    return typed("AssignAddVariableOp", name, [h, value], value.dtype)


def destroy(h, name="destroy", ignore=False):
    return raw("DestroyResourceOp", name, [h], [], ignore_lookup_error=attr(b=ignore))


INT = attr(type=tf.int32.as_datatype_enum)


def uses(h, name="use"):
    at = tf.constant([0])
    return [
        read(h, name=name + "_read"), add(h, [1.0], name + "_add"),
        typed("ResourceGather", name + "_gather", [h, at], outputs=[tf.float32], Tindices=INT),
        typed("ResourceGatherNd", name + "_nd", [h, [[0]]], outputs=[tf.float32], Tindices=INT),
        typed("ResourceScatterAdd", name + "_scatter", [h, at, [1.0]], Tindices=INT),
        raw("VariableShape", name + "_shape", [h], [tf.int32], out_type=INT),
        raw("VarIsInitializedOp", name + "_is", [h], [tf.bool]),
    ]


s = tf.Session()
"""

PROGRAMS = {
    "7.3": {
        "the container of what is made": """
with tf.container("c"):
    made = [tf.Variable(1.0, use_resource=use).op for use in (False, True)]
    made.append(ref("raw").op)
    with tf.container("d"):
        made.append(tf.Variable(1.0).op)
    made.append(tf.get_variable("g", []).op)
    with tf.container(""):
        made.append(tf.Variable(1.0).op)
made.append(tf.Variable(1.0).op)
out = [(op.name, op.get_attr("container"), op.get_attr("shared_name")) for op in made]
""",
        "a container is not for what has no state": """
with tf.container("c"):
    ops = [tf.constant(1.0).op, tf.random_uniform([]).op, tf.placeholder(tf.float32).op]
out = [sorted(op.node_def.attr) for op in ops]
""",
        "references that share": """
v, w = ref("v", shared="S"), ref("w", shared="S")
other, own = ref("x", shared="S", container="c"), ref("S")
s.run(tf.assign(v, 3.0))
out = s.run([v, w, own]), err(lambda: s.run(other)), s.run(tf.assign_add(w, 1.0)), s.run(v)
""",
        "resources that share": """
h, g = handle("h", shared="S"), handle("g", shared="S")
other, own = handle("x", shared="S", container="c"), handle("S")
s.run(put(h, 3.0))
reads = [read(x, name=x.op.name + "_read") for x in (h, g, own, other)]
out = s.run(reads[:3]), err(lambda: s.run(reads[3])), s.run(add(g, 1.0)), s.run(reads[0])
""",
        "a resource and a reference of one name do not share": """
v, h = ref("v", shared="S"), handle("h", shared="S")
s.run(tf.assign(v, 3.0))
out = err(lambda: s.run(read(h))), s.run(put(h, 5.0)), s.run(v)
""",
        "devices have containers of their own": """
s = tf.Session(config=tf.ConfigProto(device_count={"CPU": 2}))
with tf.device("/cpu:0"):
    v, h = ref("v", shared="S"), handle("h", shared="S")
    r = read(h)
with tf.device("/cpu:1"):
    w, g = ref("w", shared="S"), handle("g", shared="S")
    q = read(g, name="q")
s.run([tf.assign(v, 3.0), put(h, 4.0)])
out = s.run([v, r]), err(lambda: s.run(w))[0], err(lambda: s.run(q))[0]
""",
        "uninitialised reference": """
v = tf.Variable([1.0], name="v")
out = [
    err(lambda: s.run(x)) for x in (
        v, "v:0", v.value(), v.read_value(), tf.identity(v), tf.assign_add(v, [1.0]),
        tf.assign_sub(v, [1.0]), tf.scatter_add(v, [0], [1.0]), tf.gather(v, [0]), v.op,
        tf.count_up_to(ref("n", tf.int32), 3), tf.is_variable_initialized(v), v.initializer, v,
    )
]
""",
        "uninitialised reference: the error": """
v = tf.Variable([1.0], name="v")
def of(x):
    try:
        s.run(x)
    except tf.errors.FailedPreconditionError as error:
        return error.error_code, error.op and error.op.name, error.node_def and error.node_def.name
out = of(v), of(v.value())
""",
        "uninitialised resource, no container": """
s = tf.Session()
out = []
for x in uses(handle("h", shape=[1])):
    s = tf.Session()
    out.append(err(lambda: s.run(x)))
""",
        "uninitialised resource, no such container": """
s.run(put(handle("there"), 1.0))
out = [err(lambda: s.run(x)) for x in uses(handle("h", shared="SH", shape=[1], container="other"))]
""",
        "uninitialised resource": """
s.run(put(handle("there"), 1.0))
out = [err(lambda: s.run(x)) for x in uses(handle("h", shape=[1]))]
""",
        "uninitialised resource beside a reference": """
s.run(ref("v").op)
out = [err(lambda: s.run(x)) for x in uses(handle("h", shape=[1]))]
""",
        "uninitialised resource in a container with others": """
s.run(put(handle("there", container="other"), 1.0))
out = [err(lambda: s.run(x)) for x in uses(handle("h", shape=[1], container="other"))]
""",
        "uninitialised variables of programs": """
u, v = tf.Variable([1.0], use_resource=True, name="u"), tf.get_variable("v", [1])
out = [
    err(lambda: s.run(x)) for x in (
        v, u, u.value(), u.assign_add([1.0]), u.assign_sub([1.0]), tf.scatter_add(u, [0], [1.0]),
        u.is_initialized(), tf.gather(u, [0]), u.initializer, u, u.assign_add([1.0]),
    )
]
""",
        "uninitialised while training": """
x, out = tf.get_variable("x", [1]), []
for make in (tf.train.GradientDescentOptimizer, lambda rate: tf.train.MomentumOptimizer(rate, 0.5)):
    train = make(0.1).apply_gradients([(tf.constant([1.0]), x)])
    out.append(err(lambda: s.run(train)))
s.run(x.initializer)
out.append(err(lambda: s.run(train)))
""",
        "destroyed": """
h = handle("h", shape=[2])
strict, quiet, r, p = destroy(h), destroy(h, "quiet", True), read(h), put(h, [1.0, 2.0])
out = [err(lambda: s.run(x)) for x in (strict, quiet, p, r, strict, r, strict, quiet, p, r, quiet)]
""",
        "destroyed without a container": """
out = [err(lambda: s.run(destroy(x, name))) for x, name in (
    (handle("h", container="c"), "a"), (handle("g"), "b"),
)]
""",
        "destroyed by default": """
h = handle("h")
out = [s.run(raw("DestroyResourceOp", name, [h], [])) for name in "ab"]
""",
        "another dtype through a shared reference": """
v, w = ref("v", shared="S"), ref("w", tf.int32, shared="S")
s.run(tf.assign(v, 3.0))
out = [
    err(lambda: s.run(x)) for x in (
        w, tf.assign(w, 3), tf.identity(w), tf.is_variable_initialized(w), w.op, v,
    )
]
""",
        "another dtype through a shared resource": """
h, g = handle("h", shared="S"), handle("g", tf.int32, shared="S")
s.run(put(h, 1.0))
out = [
    err(lambda: s.run(x)) for x in (
        read(g, tf.int32), put(g, 3, "put_int"), add(g, 3), read(h, name="again"),
        raw("VarIsInitializedOp", "is", [g], [tf.bool]),
        raw("VariableShape", "shape", [g], [tf.int32]),
    )
]
""",
        "the first value decides the dtype": """
h, g = handle("h", shared="S"), handle("g", tf.int32, shared="S")
r, q = read(h), read(g, tf.int32, name="q")
out = [err(lambda: s.run(x)) for x in (put(g, 3), q, r, destroy(g), put(h, 1.0, "float"), r, q)]
""",
        "read as another dtype": """
out = err(lambda: read(handle("h"), tf.int32))
""",
        "another shape through a shared reference": """
v, w = ref("v", shared="S"), ref("w", shape=[2], shared="S")
s.run(tf.assign(v, 3.0))
wide, free = tf.assign(w, [3.0, 4.0]), tf.assign(w, [1.0, 2.0], validate_shape=False)
out = [err(lambda: s.run(x)) for x in (w, wide, free, v, wide)]
""",
        "reference and run-time shapes": """
v, p = tf.Variable([1.0, 2.0, 3.0], name="v"), tf.placeholder(tf.float32)
assign, free = tf.assign(v, p), tf.assign(v, p, validate_shape=False)
plus, minus = tf.assign_add(v, p), tf.assign_sub(v, p)
steps = [(assign, [1.0]), (assign, [1.0] * 3), (plus, [1.0]), (minus, 1.0), (plus, [1.0] * 3),
         (plus, [[1.0] * 3]), (free, [5.0]), (v, 0.0), (assign, [1.0] * 3), (minus, [1.0]),
         (free, [[1.0, 2.0]]), (assign, [[3.0, 4.0]]), (v, 0.0)]
out = [err(lambda: s.run(x, {p: value})) for x, value in steps]
""",
        "resource and run-time shapes": """
u, p = tf.Variable([1.0, 2.0], name="u", use_resource=True), tf.placeholder(tf.float32)
assign, plus = u.assign(p), u.assign_add(p)
free = put(u.handle, p, validate_shape=attr(b=False))
steps = [(plus, [1.0, 1.0]), (assign, [1.0]), (assign, [1.0, 2.0]), (plus, [1.0]), (plus, 1.0),
         (assign, [1.0]), (free, [5.0]), (u, 0.0), (plus, [1.0]), (assign, [1.0, 2.0])]
out = [err(lambda: s.run(x, {p: value})) for x, value in steps]
""",
        "static shapes": """
v, u = tf.Variable([1.0, 2.0], name="v"), tf.Variable([1.0, 2.0], name="u", use_resource=True)
out = [
    err(f) for f in (
        lambda: tf.assign(v, [1.0]), lambda: v.assign([1.0]), lambda: u.assign([1.0]),
        lambda: tf.assign(u, [1.0]), lambda: tf.assign_add(v, [1.0]), lambda: u.assign_add([1.0]),
        lambda: v.assign([[1.0]]), lambda: u.assign(1.0), lambda: tf.assign(v, 1.0),
        lambda: tf.assign(v, [1.0], validate_shape=False).shape, lambda: tf.assign(v, ["x"]),
    )
]
""",
        "asking for values": """
v = tf.Variable(1.0, name="v")
u, w = tf.Variable(1.0, name="u", use_resource=True), tf.Variable(1, name="w", trainable=False)
local = tf.Variable(1.0, name="local", collections=[tf.GraphKeys.LOCAL_VARIABLES])
everything, some = tf.report_uninitialized_variables(), tf.report_uninitialized_variables([w, v])
none = tf.report_uninitialized_variables([], name="none")
all_, again = tf.global_variables_initializer(), tf.global_variables_initializer()
mine, nothing = tf.variables_initializer([v], name="mine"), tf.variables_initializer([])
out = [
    s.run([everything, some, none]), s.run(u.initializer), s.run([everything, some]),
    s.run(mine), s.run(everything), s.run(all_), s.run(everything),
    s.run([tf.is_variable_initialized(x) for x in (u, v, w, local)]),
    [(op.name, op.type, op.device, [x.name for x in op.control_inputs])
     for op in (all_, again, mine, nothing)],
    [(x.name, str(x.shape), x.op.device) for x in (everything, some, none)],
]
""",
        "asking for values of variables that are operations alone": """
v = ref("v")
out = s.run(tf.report_uninitialized_variables())
""",
        "asking for values of no variables": """
out = s.run(tf.report_uninitialized_variables())
""",
        "values stay from signature to signature and as the graph grows": """
v, u = tf.Variable(0.0), tf.Variable(0.0, use_resource=True)
s.run(tf.global_variables_initializer())
a, b = tf.assign_add(v, 1.0), u.assign_add(1.0)
out = [s.run([a, b]), s.run(a), s.run({"x": b, "y": v})]
out.append(s.run(a, {tf.placeholder(tf.float32): 1.0}))
c = tf.assign_add(v, 10.0)
out += [s.run(c), s.run([v, u]), s.run(a), s.make_callable([a, b])(), v.eval(s)]
""",
        "sessions share nothing": """
v, u = tf.Variable(1.0), tf.Variable(1.0, use_resource=True)
a, b = tf.assign_add(v, 1.0), u.assign_add(1.0)
t = tf.Session()
s.run(tf.global_variables_initializer())
out = [s.run([a, b]), err(lambda: t.run(a))[0], err(lambda: t.run(b))[0]]
t.run(tf.global_variables_initializer())
out += [t.run([a, b]), s.run([v, u])]
""",
        "random state stays from signature to signature and as the graph grows": """
tf.set_random_seed(1)
r, q = tf.random_uniform([2], seed=3), tf.random_normal([2])
out = [s.run(r), s.run([r, q]), s.run(r + 0.0)]
tf.constant(1.0)
out += [s.run([q, r]), s.make_callable(r)()]
t = tf.Session()
out += [t.run([r, q]), t.run(r)]
""",
        "random state of two nodes with one seed": """
a, b = tf.random_uniform([2], seed=3), tf.random_uniform([2], seed=3)
out = s.run(a), s.run([a, b]), s.run(b)
""",
        "one op once in a step": """
v = tf.Variable(0.0)
a = tf.assign_add(v, 1.0)
s.run(v.initializer)
out = s.run([a, a, a + 0.0, a.op, [a, {"x": a}]]), s.run(v)
""",
        "a reference shows what comes later in the step": """
v = tf.Variable(10.0)
r = v.read_value()
with tf.control_dependencies([r]):
    a = tf.assign(v, 1.0)
with tf.control_dependencies([a]):
    reads = [v.read_value(), tf.identity(r), r + 0.0, tf.reshape(r, [1]) + 0.0,
             tf.stop_gradient(r) + 0.0, tf.identity_n([r])[0] + 0.0]
s.run(v.initializer)
out = [s.run([r, *reads])]
for x in reads:
    s.run(v.initializer)
    out.append(s.run(x))
""",
        "a computed value is not a reference": """
v = tf.Variable(10.0)
r = -v.read_value()
with tf.control_dependencies([r]):
    a = tf.assign(v, 1.0)
with tf.control_dependencies([a]):
    x = r + 0.0
s.run(v.initializer)
out = s.run([r, x])
""",
        "a resource read is a snapshot": """
u = tf.Variable([10.0, 20.0], use_resource=True)
r = u.read_value()
with tf.control_dependencies([r]):
    a, b = u.assign([1.0, 2.0], read_value=False), tf.scatter_update(u, [0], [5.0])
with tf.control_dependencies([a, b.op if hasattr(b, "op") else b]):
    reads = [u.read_value()[1], tf.identity(r), r + 0.0, tf.reshape(r, [2, 1]) + 0.0]
s.run(u.initializer)
out = s.run([r, *reads])
""",
        "what was fetched stays": """
out = []
for use in (False, True):
    v = tf.Variable([1.0, 2.0], use_resource=use)
    s.run(v.initializer)
    add = tf.assign_add(v, [1.0, 1.0])
    reads = v, v.value(), add, tf.reshape(v, [1, 2]), v.read_value()
    kept = [s.run(x) for x in reads]
    s.run(tf.scatter_update(v, [0], [50.0]))
    s.run(v.assign([7.0, 8.0]))
    kept[0][0] = 99.0
    kept[2] += 1.0
    out += [kept, s.run(v)]
""",
        "what was fetched may be written to": """
c, v = tf.constant([1.0, 2.0]), tf.Variable([1.0, 2.0])
s.run(v.initializer)
out = []
for x in (c, v, tf.identity(c), tf.reshape(c, [2, 1]), v.value()):
    value = s.run(x)
    value += 1.0
    out += [value.flags.writeable, value.flags.owndata or value.base is not None, s.run(x)]
""",
        "an error does not undo what ran before": """
out = []
for use in (False, True):
    v, p = tf.Variable(1.0, use_resource=use), tf.placeholder(tf.float32)
    s.run(v.initializer)
    a = tf.assign_add(v, 5.0, name="a")
    with tf.control_dependencies([a if not use else a.op]):
        fails = tf.reshape(p, [3])
    out += [err(lambda: s.run(fails, {p: [1.0]}))[0], s.run(v)]
    out += [s.run(fails, {p: [1.0] * 3}), s.run(v)]
""",
        "temporary variables": """
f = attr(type=tf.float32.as_datatype_enum)
t = raw("TemporaryVariable", "t", [], [tf.float32._as_ref], shape=sized([2]), dtype=f,
        var_name=attr(s=b"tmp"))
a = tf.assign_add(tf.assign(t, [1.0, 2.0]), [1.0, 1.0])
final = raw("DestroyTemporaryVariable", "d", [a], [tf.float32], T=f, var_name=attr(s=b"tmp"))
out = s.run(final), s.run(final)
""",
        "counting": """
v = tf.Variable(0, name="v")
n = tf.count_up_to(v, 2)
s.run(v.initializer)
out = [err(lambda: s.run(n)) for _ in range(4)], s.run(v)
""",
    },
    "3.4": {
        "targets": """
out = [err(lambda: tf.Session.reset(x)) for x in ("", None, b"", "x", b"local", 3, 1.5, [])]
""",
        "containers": """
out = [
    err(lambda: tf.Session.reset("", x))
    for x in (None, [], (), ["a", b"b"], "abc", {"a": 1}, 3, [3], [None], ["a", 4.5], object)
]
""",
        "configurations": """
out = [
    err(lambda: tf.Session.reset("", config=x)) for x in (None, tf.ConfigProto(), 3, {}, "x")
]
""",
        "order of the checks": """
out = [
    err(lambda: tf.Session.reset(*x))
    for x in ((3, 3, 3), ("x", 3), (3, [], 3), ("x", None, 3), ("", 3, 3), ("x", ["a"]), ())
]
""",
        "closes every session": """
v, k = tf.Variable(1.0, name="v"), tf.constant(2.0)
t = tf.Session()
s.run(v.initializer)
f = t.make_callable(k)
tf.Session.reset("", ["nothing there"])
out = [
    err(lambda: s.run(v)), err(lambda: t.run(k)), err(f), s._closed, t._closed,
    err(lambda: s.run([])), len(t.list_devices()), err(lambda: t.make_callable(k)()),
    err(lambda: t.partial_run_setup([k])),
    err(s.close), err(lambda: s.run(k)), s._closed, err(t.close),
]
""",
        "not those that come later": """
v = tf.Variable(1.0, name="v")
s.run(v.initializer)
tf.Session.reset("")
n = tf.Session()
out = err(lambda: n.run(v))[0], n.run(v.initializer), n.run(v), err(lambda: tf.Session.reset(""))
""",
        "inside of with": """
k = tf.constant(2.0)
with tf.Session() as t:
    tf.Session.reset("")
    out = [err(lambda: t.run(k)), err(k.eval)]
i = tf.InteractiveSession()
tf.Session.reset("")
out += [err(k.eval), err(i.close)]
""",
        "through an instance, again and again": """
out = [err(lambda: s.reset("")) for _ in range(3)], err(lambda: s.run(tf.constant(1.0)))
""",
        "session handles": """
get = tf.get_session_handle(tf.constant(1.0))
h = s.run(get)
tf.Session.reset("")
out = err(h.eval), err(h.delete)
""",
        "and close": """
a, k = tf.placeholder(tf.float32), tf.constant(2.0)
tf.Session.reset("")
out = [err(s.close), err(s.close), err(lambda: s.run(k)), err(s.list_devices)]
t = tf.Session()
t.close()
out += [err(lambda: tf.Session.reset("")), err(lambda: t.run(k)), err(t.list_devices), err(t.close)]
u = tf.Session()
f, g = u.make_callable(k), u.make_callable(a * 2.0, [a])
def told():
    return [err(x) for x in (
        f, lambda: g(1), lambda: u.run([]), lambda: u.run(a, {a: 1}), lambda: u.run("zz"),
        lambda: u.partial_run_setup(k), lambda: u.make_callable(k)(),
        lambda: u.make_callable(k, [])(),
        lambda: len(u.graph_def.node), lambda: [d.name for d in u.list_devices()],
    )]
tf.Session.reset("")
out += [told(), told(), err(u.close), told()]
""",
        "with a configuration, and sessions of other graphs": """
with tf.Graph().as_default():
    v = tf.Variable(1.0)
    t = tf.Session()
    out = [t.run(v.initializer), t.run(v)]
tf.Session.reset("", None, tf.ConfigProto())
out += [err(lambda: t.run(v)), err(lambda: s.run(tf.constant(1.0)))]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert ours == real


# (row of docs/differences.md, program, our outcome)
CHOICES = {
    "7.3": [
        (
            "training a resource variable without a value",
            """
u = tf.get_variable("u", [1], use_resource=True)
train = tf.train.GradientDescentOptimizer(0.1).apply_gradients([(tf.constant([1.0]), u)])
error, text = err(lambda: s.run(train))
out = error, "Attempting to use uninitialized value u" in text
""",
            ("FailedPreconditionError", True),
        ),
        (
            "`VarHandleOp` without a shared_name",
            """
h, g = handle("h", shared=""), handle("g", shared="")
s.run(put(h, 1.0))
out = err(lambda: s.run(read(g)))[0]
""",
            "FailedPreconditionError",
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_program_differs_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
