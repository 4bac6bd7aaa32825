"""What is told of a placement: a row for each reason, the transfers of a step."""

import random
from importlib import resources

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.op_def import define_op, ops
from tfsession.core.rules import kernel
from tfsession.runtime.explain import operation_rows

FULL = "/job:localhost/replica:0/task:0/device:"
MIXED = "CPU:0 CPU:1 GPU:0 GPU:1"

if "ExplainHalf" not in ops:
    # On a GPU for some dtypes only.
    define_op("ExplainHalf", ["x: T"], ["y: T"], ["T: type"])
    kernel("ExplainHalf", device="CPU")(lambda xp, x: x)
    kernel("ExplainHalf", device="GPU", types={"T": ["half"]})(lambda xp, x: x)

# Devices, whether placement is soft, a graph, and what is told of some of its nodes.
WHYS = {
    "requested": (MIXED, False, "a=Make@/gpu:1", {"a": "requested GPU:1"}),
    "requested in part": (
        MIXED,
        False,
        "a=Make@/device:GPU:*",
        {"a": "requested GPU:*"},
    ),
    "requested by job": (
        MIXED,
        False,
        "a=Make@/job:localhost b=Make@/job:localhost/cpu:1",
        {"a": "preferred device", "b": "requested /job:localhost/device:CPU:1"},
    ),
    "resource": (
        MIXED,
        False,
        "v=State@/cpu:1 w=Use(v)",
        {"v": "requested CPU:1", "w": "colocated with 'v' (requested)"},
    ),
    "resource against a request": (
        MIXED,
        False,
        "v=State@/cpu:1 w=Use(v)@/gpu:0",
        {"w": "colocated with 'v' (requested), though it asks for GPU:0"},
    ),
    "a reader's request": (
        MIXED,
        False,
        "v=Ref w=Bump(v)@/cpu:1",
        {"v": "colocated with 'w' (requested)", "w": "requested CPU:1"},
    ),
    "group": (
        MIXED,
        False,
        "a=Make@/cpu:1~c b=Make c=Make@/cpu:1 d=Map(b)@/cpu:1",
        {
            "a": "colocated with 'c' (requested)",
            "c": "requested CPU:1",
            "d": "requested CPU:1",
        },
    ),
    "group of which one lacks a kernel": (
        MIXED,
        False,
        "a=Make b=Map(a) c=CpuOnly(a)~b",
        {"b": "colocated with 'c' (only kernel)", "c": "only kernel: no GPU kernel"},
    ),
    "group by whoever came first": (
        MIXED,
        False,
        "a=Make b=Make c=Map(a)~b d=CpuOnly(a)",
        {"c": "preferred device", "b": "colocated with 'c' (preferred device)"},
    ),
    "kernel": (
        MIXED,
        False,
        "a=Make b=CpuOnly(a) c=GpuOnly(a)",
        {"b": "only kernel: no GPU kernel", "c": "only kernel: no CPU kernel"},
    ),
    "kernel for other dtypes": (
        MIXED,
        False,
        "a=Make b=ExplainHalf(a)",
        {"b": "only kernel: no GPU kernel for T=float32"},
    ),
    "dtype of the host": (
        MIXED,
        False,
        "a=Make{T=string} b=Make{T=float8_e5m2}",
        {
            "a": "host dtype: GPU memory holds no string",
            "b": "host dtype: GPU memory holds no float8_e5m2",
        },
    ),
    "variant of the host": (
        MIXED,
        False,
        "a=Make{T=string} b=Box(a) c=Map(b)",
        {"c": "host dtype: it reads what was made for the host"},
    ),
    "int32": (
        MIXED,
        False,
        "a=Make{T=int32}@/gpu:0 b=Map(a)",
        {
            "a": "requested GPU:0; int32 in host memory",
            "b": "preferred device; int32 in host memory",
        },
    ),
    "follows input": (
        MIXED,
        False,
        "x=Make a=Map(x)@/cpu:1 b=Shape(a)",
        {"b": "follows input 'a'"},
    ),
    "follows consumer": (
        MIXED,
        False,
        "a=Make b=Map(a)@/cpu:1 c=Map(a)@/cpu:1",
        {"a": "follows consumer 'b'"},
    ),
    "follows who waits": (
        MIXED,
        False,
        "a=Make x=Make b=Map(x)@/cpu:1^a",
        {"a": "follows consumer 'b'"},
    ),
    "one device": ("CPU:0", False, "a=Make b=Map(a)", {"b": "preferred device, the only one"}),
    "no such device": (
        MIXED,
        True,
        "a=Make@/gpu:7",
        {"a": "soft fallback from GPU:7: no such device"},
    ),
    "no such kernel": (
        MIXED,
        True,
        "a=Make b=CpuOnly(a)@/gpu:0 c=ExplainHalf(a)@/gpu:1 d=Make{T=string}@/gpu:1",
        {
            "b": "soft fallback from GPU:0: no GPU kernel",
            "c": "soft fallback from GPU:1: no GPU kernel for T=float32",
            "d": "soft fallback from GPU:1: GPU memory holds no string",
        },
    ),
    "a group that cannot": (
        MIXED,
        True,
        "a=Make@/gpu:0 b=CpuOnly(a)~a",
        {
            "a": "soft fallback from GPU:0: colocated with 'b', no GPU kernel",
            "b": "only kernel: no GPU kernel",
        },
    ),
    "a group that asks for two": (
        MIXED,
        True,
        "a=Make@/gpu:0 b=Make@/gpu:1~a",
        {
            "a": "requested GPU:0",
            "b": "soft fallback from GPU:1: colocated with 'a', which asks for GPU:0",
        },
    ),
}


@pytest.mark.parametrize(("devices", "soft", "text", "expected"), WHYS.values(), ids=WHYS)
def test_why(toys, devices, soft, text, expected):
    graph = toys.graph(text)
    placer = toys.placer(devices, soft=soft)
    placement = placer.place(graph.get_operations(), {})
    rows = {row.name: row for row in operation_rows(placer, graph.get_operations())}
    assert {name: rows[name].why for name in expected} == expected
    for op in graph.get_operations():
        row = rows[op.name]
        assert row.device == placement[op].name
        assert row.reason is placer.decision(op).reason
        assert row.why.startswith(row.reason.value)
        assert (row.type, row.requested) == (op.type, op.device)
        assert (row.other == "") or f"'{row.other}'" in row.why


def test_why_what_was_placed_before_is_where_it_is(toys):
    graph, placer = toys.graph("v=State@/cpu:1 m=State w=Use(m)"), toys.placer(MIXED)
    placement = placer.place(graph.get_operations(), {})
    toys.add(graph, "x=Use(v)")
    placement = placer.place(graph.get_operations(), placement)
    toys.add(graph, "y=Use(m)")
    placer.place(graph.get_operations(), placement)
    assert {row.name: row.why for row in operation_rows(placer, graph.get_operations())} == {
        "v": "placed before (requested)",
        "m": "placed before (preferred device)",
        "w": "colocated with 'm' (placed before)",
        "x": "colocated with 'v' (placed before)",
        "y": "colocated with 'm' (placed before)",
    }


def test_host_inputs(toys):
    graph, placer = toys.graph("a=Make t=Make{T=string} b=HostText(a,t)"), toys.placer(MIXED)
    placer.place(graph.get_operations(), {})
    rows = {row.name: row for row in operation_rows(placer, graph.get_operations())}
    assert rows["b"].host_inputs == ("text",)
    assert rows["b"].memory == "device"
    assert rows["t"].memory == "host"


def test_the_documentation_shows_what_is_printed(fresh_graph, capsys, caplog):
    text = resources.files(tf).joinpath("docs/placement.md").read_text(encoding="utf-8")
    program, _, rest = text.split("```python\n")[1].partition("```")
    scope = {"tf": tf}
    exec(program, scope)
    assert capsys.readouterr().out == rest.split("```\n")[1]
    feeds = {scope["images"]: np.zeros((5, 784)), scope["labels"]: np.zeros(5)}
    scope["session"].run(tf.global_variables_initializer())
    with tf.transfer_guard("log"):
        scope["session"].run(scope["hits"], feeds)
    shown = text.split("```\nWARNING ")[1].split("\n```")[0]
    assert caplog.messages[0] == shown.replace("\n", " ")


# --- steps ----------------------------------------------------------------------------------------


def session(**config):
    return tf.Session(config=tf.ConfigProto(device_options={"simulated_gpus": "2:64MiB"}, **config))


def gpus(of):
    return of._engine.devices.devices[1:]


def copies(report):
    """(tensor, source, destination, kind) of each transfer, devices in short."""
    return [
        (t.tensor, t.source.removeprefix(FULL), t.destination.removeprefix(FULL), t.kind)
        for t in report.transfers
    ]


def test_the_transfers_of_a_step(fresh_graph):
    x = tf.placeholder(tf.float32, [None, 4], name="x")
    with tf.device("/gpu:0"):
        h = tf.tanh(x, name="h")
        n = tf.shape(h, name="n")
    with tf.device("/gpu:1"):
        y = tf.reshape(h, [-1], name="y")
        z = tf.exp(y, name="z")
    with tf.device("/cpu:0"):
        s = tf.sin(z, name="s")
    report = session().explain_placement([s, n, z])
    assert copies(report) == [
        ("x:0", "host", "GPU:0", "fed"),
        ("h:0", "GPU:0", "GPU:1", "implicit"),
        ("z:0", "GPU:1", "host", "implicit"),
    ]
    assert [row.why for row in report.transfers] == [
        "fed, read by 'h'",
        "read by 'y'",
        "read by 's', fetched",
    ]
    h = report.transfers[1]
    assert (h.bytes, h.unit_bytes, h.shape, h.dtype) == (None, 16, (None, 4), "float32")
    assert [row.name for row in report] == ["h", "n", "y/shape", "y", "z", "s"]
    assert "x" not in [row.name for row in report]  # it is fed
    assert report.transfers[2].readers == ("s",)


def test_what_is_fed(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/gpu:0"):
        y = tf.tanh(x, name="y")
        z = tf.exp(y, name="z")
        d = tf.placeholder_with_default(tf.constant([1.0, 2.0]), [2], name="d")
        e = tf.exp(d, name="e")
    with session() as s:
        for feeds in ([y], y, "y:0", {y: [1.0, 2.0]}, ("y:0",)):
            report = s.explain_placement(z, feeds)
            assert copies(report) == [
                ("y:0", "host", "GPU:0", "fed"),
                ("z:0", "GPU:0", "host", "fetched"),
            ]
        assert s.explain_placement(y, y).transfers == ()  # what is fed and fetched does not move
        assert "d" in [row.name for row in s.explain_placement(e)]
        assert copies(s.explain_placement(e.op, d)) == [("d:0", "host", "GPU:0", "fed")]
        with pytest.raises(TypeError, match="Cannot interpret argument `feed` key as Tensor"):
            s.explain_placement(e, ["nope"])
        with pytest.raises(TypeError, match="Argument `fetch` = 3 has invalid type"):
            s.explain_placement(3)
        with pytest.raises(ValueError, match="cannot be interpreted as a Tensor"):
            s.explain_placement("nope:0")


def test_nested_fetches(fresh_graph):
    with tf.device("/gpu:0"):
        a, b = tf.constant(1.0, name="a"), tf.constant(2.0, name="b")
    report = session().explain_placement({"a": a, "more": [b, a.op]})
    assert [row.name for row in report] == ["a", "b"]
    assert [row[0] for row in copies(report)] == ["a:0", "b:0"]


@pytest.mark.parametrize("seed", range(25))
def test_every_transfer_is_told_and_nothing_else(fresh_graph, seed, monkeypatch):
    """Random steps: what is told equals what the simulated devices count."""
    monkeypatch.setenv("TFSESSION_GPU_GRAPHS", "0")  # a recording brings several values at once
    draw = random.Random(seed)
    names = ["/gpu:0", "/gpu:1", "/cpu:0"]
    feeds = {tf.placeholder(tf.float32, [3, 2]): np.ones((3, 2), np.float32) for _ in range(3)}
    tensors = list(feeds)
    for _ in range(draw.randrange(4, 25)):
        with tf.device(draw.choice(names)):
            a, b = draw.choice(tensors), draw.choice(tensors)
            made = draw.choice(
                [
                    lambda a, b: tf.add(a, b),
                    lambda a, b: tf.tanh(a),
                    lambda a, b: tf.constant(np.full((3, 2), 2, np.float32)),
                    lambda a, b: tf.reshape(a, tf.shape(b)),
                    lambda a, b: tf.cast(tf.cast(a, tf.int32), tf.float32),
                    lambda a, b: tf.where(tf.less(a, b), a, b),
                ]
            )
            tensors.append(made(a, b))
    fetches = draw.sample(tensors[3:], min(3, len(tensors) - 3))
    with session() as s:
        report = s.explain_placement(fetches)
        assert all(gpu.memory_stats().num_allocs == 0 for gpu in gpus(s))
        s.make_callable(fetches, list(feeds))(*feeds.values())  # constants are made
        copied = counted(s, fetches, feeds)
        placement = s.placement()
    assert {row.name: row.device for row in report}.items() <= placement.items()
    assert copied == told(report)


def counted(s, fetches, feeds=None):
    """What the devices count in a run: copies to, from and between them."""
    with s.counting() as counting:
        s.run(fetches, feeds)
    return list(counting.total[1:4])


def told(report, iterations=1):
    numbers = [0, 0, 0]
    for row in report.transfers:
        kind = 0 if row.source == "host" else 1 if row.destination == "host" else 2
        numbers[kind] += iterations if row.loop else 1
    return numbers


def test_the_transfers_of_a_loop(fresh_graph):
    def body(i, a):
        with tf.device("/gpu:1"):
            return i + 1.0, a * 2.0

    with tf.device("/gpu:0"):
        start = tf.tanh(tf.ones([3]), name="start")
        zero = tf.constant(0.0)
        _, out = tf.while_loop(lambda i, a: i < 5.0, body, [zero, start], name="w")
    with session() as s:
        report = s.explain_placement(out)
        assert {t.loop for t in report.transfers if t.kind == "implicit"} == {"w/while_context"}
        moved = {row[0]: row[1:] for row in copies(report)}
        assert moved["w/Less:0"] == ("GPU:0", "host", "implicit")
        assert moved["w/mul:0"] == ("GPU:1", "GPU:0", "implicit")
        assert moved["w/Switch_1:1"] == ("GPU:0", "GPU:1", "implicit")
        whys = {row.tensor: row.why for row in report.transfers}
        text = "read by 'w/NextIteration_1', in each iteration of 'w/while_context'"
        assert whys["w/mul:0"] == text
        s.run(out)
        # Five iterations, the predicate asked once more, and what is fetched.
        assert counted(s, out) == [0, 5 + 1 + 1, 4 * 5]


def test_the_transfers_of_a_conditional(fresh_graph):
    with tf.device("/gpu:0"):
        a = tf.tanh(tf.ones([3]), name="a")
        p = tf.less(tf.reduce_sum(a), 1.0, name="p")

    def yes():
        with tf.device("/gpu:1"):
            return tf.exp(a, name="e")

    def no():
        with tf.device("/gpu:0"):
            return tf.sin(a, name="s")

    with tf.device("/gpu:0"):
        out = tf.cond(p, yes, no, name="c")
    with session() as s:
        report = s.explain_placement(out)
        rows = {row.tensor: row for row in report.transfers}
        assert rows["c/e:0"].conditional
        assert rows["c/e:0"].why == "read by 'c/Merge', on one way of a conditional"
        assert not rows["p:0"].conditional
        assert rows["p:0"].why.startswith("read on the host by 'c/e/Switch' of GPU:0")
        way = sum(row.conditional for row in report.transfers)
        assert sum(counted(s, out)) == sum(told(report)) - way  # the other way is taken


def test_explaining_leaves_no_trace(fresh_graph):
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", initializer=tf.constant([1.0, 2.0]))
        r = tf.random.uniform([2], seed=3)
    with tf.Session() as one:
        first = one.run(r)
    with session() as s:
        s.explain_placement([v, r, tf.global_variables_initializer()])
        s.explain_placement()
        assert [gpu.memory_stats()[:2] for gpu in gpus(s)] == [(0, 0), (0, 0)]
        assert not s._engine._plans
        assert not s._engine._constants
        with pytest.raises(tf.errors.FailedPreconditionError):
            s.run(v)
        assert (s.run(r) == first).all()


BAD = {
    "no such device": lambda: tf.device("/gpu:9"),
    "another job": lambda: tf.device("/job:ps/cpu:0"),
    "no such type": lambda: tf.device("/device:TPU:0"),
}


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("where", BAD.values(), ids=BAD)
def test_a_placement_that_fails_raises_what_run_does(fresh_graph, where, pruned):
    good = tf.constant(1.0, name="good")
    with where():
        bad = tf.exp(good, name="bad")
    graph_options = tf.GraphOptions(place_pruned_graph=pruned)
    errors = []
    with session(graph_options=graph_options) as s:
        for work in (lambda: s.explain_placement(bad), lambda: s.run(bad)):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                work()
            errors.append((str(caught.value), caught.value.op))
        assert errors[0] == errors[1]
        if pruned:
            assert [row.name for row in s.explain_placement(good)] == ["good"]
            assert s.run(good) == 1.0
            assert [row.name for row in s.explain_placement()] == ["good"]
        else:
            with pytest.raises(tf.errors.InvalidArgumentError):
                s.explain_placement()


def test_a_graph_placed_in_parts_tells_of_each(fresh_graph):
    a = tf.constant(1.0, name="a")
    with tf.device("/gpu:1"):
        b = tf.exp(a, name="b")
    with tf.device("/cpu:0"):
        c = tf.sin(a, name="c")
    with session(graph_options=tf.GraphOptions(place_pruned_graph=True)) as s:
        assert len(s.explain_placement()) == 0
        s.run(b)
        s.run(c)
        assert {row.name: row.why for row in s.explain_placement()} == {
            "a": "follows consumer 'c'",
            "b": "requested GPU:1",
            "c": "requested CPU:0",
        }
        assert s.explain_placement(b)["a"].why == "follows consumer 'b'"


def test_functions_that_kernels_call_are_told_of_beside_the_graph(fresh_graph):
    doubled = tf.data.Dataset.range(3).map(lambda x: tf.multiply(x, 2, name="doubled"))
    element = doubled.make_one_shot_iterator().get_next()
    with session() as s:
        assert s.run(element) == 0
        found = {row.name.rpartition("/")[2] for row in s.explain_placement()}
        assert {"IteratorGetNext", "doubled"} <= found
        assert s.run(element) == 2


def test_closed_and_empty(fresh_graph):
    s = session()
    assert len(s.explain_placement()) == 0
    with pytest.raises(RuntimeError, match="The Session graph is empty"):
        s.explain_placement([])
    tf.constant(1.0)
    assert len(s.explain_placement([])) == 0
    s.close()
    for fetches in (None, []):
        with pytest.raises(RuntimeError, match="closed Session"):
            s.explain_placement(fetches)
