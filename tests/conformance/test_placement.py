"""Where operations go, and what is told: the sentences of section 6, as programs."""

import re

import pytest

import tfsession

pytestmark = pytest.mark.oracle

PRELUDE = """
import re


def config(cpus=4, pruned=False, **options):
    made = tf.ConfigProto(device_count={"CPU": cpus}, **options)
    made.graph_options.place_pruned_graph = pruned
    made.graph_options.optimizer_options.opt_level = -1
    made.graph_options.rewrite_options.disable_meta_optimizer = True
    return made


def session(**options):
    return tf.Session(config=config(**options))


def ran(session, *fetches, feeds=None):
    # Where each operation ran.
    metadata, names = tf.RunMetadata(), {op.name for op in tf.get_default_graph().get_operations()}
    full = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    session.run(fetches, feeds, full, metadata)
    return sorted(
        (node.node_name, stats.device.split("device:")[-1])
        for stats in metadata.step_stats.dev_stats
        for node in stats.node_stats
        if node.node_name in names
    )


def where(*fetches, feeds=None, **options):
    with session(**options) as made:
        return ran(made, *fetches, feeds=feeds)


def refused(*fetches, **options):
    # The error of placing, without the lines that tell where operations were made.
    with session(**options) as made:
        kind, text = err(lambda: made.run(fetches))
    # Who is in conflict, beside those named, is told in our errors only.
    text = re.sub("\\nIn conflict: .*", "", re.split("Node: '.*'\\n", text)[-1])
    return kind, text.split("Colocation Debug Info")[0]


def at(device, build):
    with tf.device(device):
        return build()


def const(device, name, value=1.0):
    return at(device, lambda: tf.constant(value, name=name))


def colocated(op, *groups):
    op = getattr(op, "op", op)
    value = tf.AttrValue.ListValue(s=[b"loc:@" + group.encode() for group in groups])
    op._set_attr("_class", tf.AttrValue(list=value))


def variable(device, resource, name="v"):
    make = lambda: tf.Variable(1.0, name=name, use_resource=resource)
    return at(device, make)


def grown(*builds, **options):
    # Where what each function makes has run, one after the other in one session.
    with session(**options) as made:
        return [ran(made, build()) for build in builds]
"""

ROWS = {
    "6.1": {
        "nothing asked": 'out = where(tf.negative(const("", "a"), name="b"))',
        "asked": 'out = where(at("/cpu:2", lambda: tf.negative(const("/cpu:3", "a"), name="b")))',
        "no kernel": """
out = []
for kind in ("FloorDiv", "TruncateDiv"):  # of one attribute: TensorFlow's order of several varies
    with tf.Graph().as_default() as g:
        x = tf.placeholder(tf.complex64, [], name="x")
        attrs = {"T": tf.AttrValue(type=x.dtype.as_datatype_enum)}
        op = g.create_op(kind, [x, x], [x.dtype], name="op", attrs=attrs)
        for soft in (False, True):
            found, text = refused(op, allow_soft_placement=soft)
            # Who has which kernels differs.
            start, _, kernels = text.partition("Registered kernels:\\n")
            out.append((found, start, "  device='CPU'; T in [" in kernels))
""",
        "a reference draws its readers": """
v = variable("/cpu:1", False)
with tf.device("/cpu:2"):
    added = tf.assign_add(v, 1.0, name="added")
    read = tf.negative(v, name="read")
added.op._set_device("/device:CPU:3")
with session() as s:
    s.run(v.initializer)
    out = ran(s, added), ran(s, read)
""",
        "a resource draws its readers": """
v = variable("/cpu:1", True)
with tf.device("/cpu:2"):
    added = v.assign_add(1.0, name="added").op
    read = v.read_value()
    read = tf.negative(read, name="negative")
with session() as s:
    s.run(v.initializer)
    out = ran(s, added), ran(s, read)
""",
        "a reader's request serves a source without one": """
v = variable("", False)
with tf.device("/cpu:2"):
    added = tf.assign_add(v, 1.0, name="added")
with session() as s:
    s.run(v.initializer)
    out = ran(s, added)
""",
        "two resources apart": """
v, w = variable("/cpu:1", True), variable("/cpu:2", True, "w")
one = tf.constant(1.0, name="one")
op = tf.get_default_graph().create_op(
    "ResourceApplyMomentum", [v.handle, w.handle, one, one, one], name="apply"
)
out = [refused(op), refused(op, allow_soft_placement=True)]
""",
        "groups": """
a, b, c = const("/cpu:2", "a"), const("", "b"), const("", "c")
colocated(b, "a")
colocated(c, "b", "label")
d = const("", "d")
colocated(d, "label")
out = where(a, b, c, d)
""",
        "a group by a later name": """
a = const("", "a")
colocated(a, "b")
b = const("/cpu:2", "b")
out = where(a, b)
""",
        "a text is no group": """
a, b = const("/cpu:2", "a"), const("", "b")
b.op._set_attr("_class", tf.AttrValue(s=b"loc:@a"))
out = where(a, b)
""",
        "what is no group": """
a, b = const("/cpu:2", "a"), const("", "b")
b.op._set_attr("_class", tf.AttrValue(list=tf.AttrValue.ListValue(s=[b"a", b"loc:a", b"LOC:@a"])))
out = where(a, b)
""",
        "groups that contradict": """
out = []
for asked in ("/cpu:2", "/gpu:1", "/job:w", "/task:1", "/replica:1", "/device:FOO:1"):
    with tf.Graph().as_default():
        a, b = const("/job:localhost/replica:0/task:0/cpu:1", "a"), const(asked, "b")
        colocated(b, "a")
        out += [refused(a, b), refused(a, b, allow_soft_placement=True)]
        if asked in ("/cpu:2", "/gpu:1", "/device:FOO:1"):
            out.append(where(a, b, allow_soft_placement=True))
""",
        "groups joined by a third": """
a, b, c = const("/cpu:1", "a"), const("/cpu:2", "b"), const("", "c")
colocated(c, "a", "b")
out = [refused(c), where(a, b, c, allow_soft_placement=True)]
""",
        "names are text": 'out = where(at("", lambda: tf.no_op(name="n")), cpus=11)',
        "names are text among those that fit": """
out = where(at("/job:localhost", lambda: tf.no_op(name="n")), cpus=12)
""",
        "metadata": """
x = tf.placeholder(tf.float32, [None], name="x")
y = at("/cpu:2", lambda: tf.negative(x, name="y"))
create = tf.get_default_graph().create_op
attrs = {"T": tf.AttrValue(type=1), "out_type": tf.AttrValue(type=3)}
kinds = [
    create("Shape", [y], [tf.int32], name="shape", attrs=attrs),
    create("Size", [y], [tf.int32], name="size", attrs=attrs),
    create("Rank", [y], [tf.int32], name="rank", attrs={"T": attrs["T"]}),
    create("ShapeN", [y, y], [tf.int32] * 2, name="n", attrs={"N": tf.AttrValue(i=2), **attrs}),
    at("/cpu:3", lambda: create("Shape", [y], [tf.int32], name="elsewhere", attrs=attrs)),
]
out = where(*kinds, tf.negative(y, name="other"), feeds={x: [1.0, 2.0]})
""",
        "an identity on its way": """
v = variable("/cpu:2", False)
alone = tf.identity(tf.assign_add(v, 1.0, name="added"), name="alone")
read = tf.identity(tf.assign_add(v, 1.0, name="again"), name="read")
several = tf.negative(read, name="n1"), tf.negative(read, name="n2")
with session() as s:
    s.run(v.initializer)
    out = ran(s, alone), ran(s, *several)
""",
        "generators": """
a = const("", "a")
b = const("", "b")
c = const("", "c")
d = const("/cpu:1", "d")
with tf.device("/cpu:3"):
    one = tf.add(a, b, name="one")
    with tf.control_dependencies([c]):
        two = tf.negative(d, name="two")
out = where(one, two)
""",
        "generators waited for by generators": """
a = const("", "a")
with tf.device("/cpu:3"), tf.control_dependencies([a]):
    b = tf.constant(1.0, name="b")
    c = tf.negative(a, name="c")
out = where(b, c)
""",
        "state stays where it was": """
v = variable("", True)
x = tf.placeholder(tf.float32, [], name="x")
out = grown(
    lambda: v.initializer,
    lambda: at("/cpu:1", lambda: v.assign_add(1.0, name="added").op),
    lambda: at("/cpu:1", lambda: tf.add(v.handle.op.name and v.read_value(), 1.0, name="sum")),
)
""",
        "what has no state moves": """
a = const("", "a")
made = {}
with session() as s:
    out = [ran(s, tf.negative(a, name="b"))]
    c = at("/cpu:1", lambda: tf.negative(a, name="c"))
    out += [ran(s, c), ran(s, "b:0")]
""",
        "state that cannot stay": """
v = variable("", True)
with session() as s:
    s.run(v.initializer)
    with tf.device("/cpu:1"):
        w = tf.constant(1.0, name="w")
    colocated(w, "v")
    out = err(lambda: s.run(w))[0], err(lambda: s.run(v.initializer))[0]
""",
    },
    "6.2": {
        "wildcards": """
out = []
for text in ("/cpu:*", "/cpu", "/job:localhost", "/replica:0", "/task:0", "/device:*:*",
             "/device:*:1", "/job:localhost/device:*:2", "/job:*", "/device:CPU:*"):
    with tf.Graph().as_default():
        def place(op, text=text):
            return text
        try:
            tf.DeviceSpec.from_string(text)
        except ValueError as error:
            out.append(str(error))
        else:
            out.append(where(at(text, lambda: tf.no_op(name="n"))))
""",
        "wildcards in a group": """
a, b, c = const("/cpu:*", "a"), const("/device:*:2", "b"), const("/task:0", "c")
colocated(b, "a")
colocated(c, "a")
out = where(a, b, c)
""",
        "a wildcard lets a generator follow": """
out = []
for text in ("/cpu:*", "/job:localhost", "/device:*:*", "/device:*:1"):
    with tf.Graph().as_default():
        a = const(text, "a")
        out.append(where(at("/cpu:3", lambda: tf.negative(a, name="b"))))
""",
    },
    "6.3": {
        "no such device": """
out = []
for asked in ("/gpu:0", "/cpu:9", "/device:FOO:0", "/job:ps", "/task:1", "/replica:1",
              "/job:ps/gpu:1", "/device:*:7", "/device:GPU:*", "/job:localhost/task:0/gpu:3"):
    with tf.Graph().as_default():
        x = const(asked, "c")
        out += [refused(x), refused(x, allow_soft_placement=True)]
""",
        "as it was spelled": """
out = []
for asked in ("/gpu:0", "/device:CPU:7/task:0"):
    x = tf.no_op()
    x._set_device(asked)
    out.append(refused(x))
""",
        "soft": """
out = []
for asked in ("/gpu:0", "/cpu:9", "/device:FOO:0", "/task:0/gpu:1", "/device:*:7", "/cpu:2"):
    with tf.Graph().as_default():
        out.append(where(const(asked, "c"), allow_soft_placement=True))
""",
        "soft: a generator still follows": """
a = const("/gpu:1", "a")
out = where(at("/cpu:3", lambda: tf.negative(a, name="b")), allow_soft_placement=True)
""",
        "soft: the device of a resource is kept": """
v = variable("/cpu:2", True)
with tf.device("/gpu:0"):
    added = v.assign_add(1.0, name="added").op
with session(allow_soft_placement=True) as s:
    s.run(v.initializer)
    out = ran(s, added)
""",
        "soft: the device of a resource is given up": """
v = variable("/gpu:2", True)
with tf.device("/cpu:1"):
    added = v.assign_add(1.0, name="added").op
with session(allow_soft_placement=True) as s:
    s.run(v.initializer)
    out = ran(s, added)
out = out, refused(added)
""",
        "an error hinders all": """
bad, good = const("/gpu:0", "bad"), const("", "good")
out = [refused(good), where(good, allow_soft_placement=True)]
""",
        "an error hinders nobody when placed pruned": """
bad, good = const("/gpu:0", "bad"), const("/cpu:1", "good")
with session(pruned=True) as s:
    out = [ran(s, good), err(lambda: s.run(bad))[0], ran(s, good)]
    out.append(err(lambda: s.run([good, bad]))[1].split("Node: 'bad'")[-1])
""",
        "pruned: what is fed is not placed": """
bad = const("/gpu:0", "bad")
good = at("/cpu:1", lambda: tf.negative(bad, name="good"))
out = where(good, feeds={bad: 2.0}, pruned=True)
""",
        "the graph after an error": """
good = const("/cpu:1", "good")
with session() as s:
    out = [ran(s, good)]
    bad = const("/gpu:0", "bad")
    out.append(err(lambda: s.run(good))[0])
    out.append(err(lambda: s.run(good))[0])
""",
    },
}


@pytest.mark.rows("program", ROWS)
def test_same_as_tensorflow(assert_same, program):
    assert_same(PRELUDE, program)


def story(tf, capfd):
    """What is written to stdout: when a session is made, and with each placement."""
    told = []

    def tell():
        told.append(capfd.readouterr().out.splitlines())

    config = tf.ConfigProto(device_count={"CPU": 3}, log_device_placement=True)
    with tf.Graph().as_default() as graph:
        with tf.device("/cpu:1"):
            x = tf.placeholder(tf.float32, [], name="x")
            v = tf.Variable(2.0, name="v")
        with tf.device("/cpu:2"):
            y = tf.add(x, tf.constant(1.0, name="one"), name="y")
            added = tf.assign_add(v, y, name="added")
        tell()
        with tf.Session(config=config) as session:
            tell()
            session.run(v.initializer)
            tell()
            session.run(added, {x: 1.0})
            session.run(v.initializer)
            tell()
            with tf.device("/cpu:1"), graph.control_dependencies([y]):
                z = tf.identity(tf.constant(3.0, name="three"), name="z")
            session.run(z, {x: 1.0})
            tell()
    return told


@pytest.mark.spec("6.4")
def test_lines_of_placement(tf, capfd, monkeypatch):
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS")
    real, ours = story(tf, capfd), story(tfsession, capfd)
    assert ours == real
    assert [len(lines) for lines in real] == [0, 0, 8, 0, 10]


def logged(tf, capfd, caplog):
    """The lines of the log of a session that is made and used, without time and place."""
    caplog.set_level("INFO", "tfsession")
    caplog.clear()
    capfd.readouterr()
    config = tf.ConfigProto(device_count={"CPU": 3}, log_device_placement=True)
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        with tf.device("/cpu:1"):
            v = tf.Variable(2.0, name="v")
        tf.assign_add(v, 1.0, name="added").op._set_device("/device:CPU:2")
        session.run(v.initializer)
    found = re.findall(r"^I\S+ .*?\d+ \w+\.cc:\d+\] (.*)$", capfd.readouterr().err, re.M)
    wanted = ("Device mapping", "Ignoring device", "v", "added")
    return [line for line in found or caplog.messages if line.startswith(wanted)]


@pytest.mark.spec("6.4")
def test_lines_of_the_log(tf, capfd, caplog, monkeypatch):
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS")
    real, ours = logged(tf, capfd, caplog), logged(tfsession, capfd, caplog)
    assert ours == real
    assert any("reference connection" in line for line in real)
