"""Placing: a row for each rule, what is told and kept, and why an operation is where it is."""

import logging
from collections import Counter

import pytest

from tfsession.core.errors import InvalidArgumentError
from tfsession.runtime import colocation, device_support, placement_errors
from tfsession.runtime.colocation import Groups
from tfsession.runtime.decision import Decision, Reason
from tfsession.runtime.place import Placer

FULL = "/job:localhost/replica:0/task:0/device:"
CPUS = "CPU:0 CPU:1 CPU:2 CPU:3"
MIXED = "CPU:0 CPU:1 GPU:0 GPU:1"

PLACED = {
    # 6.1, 1: kernels by device type and dtype
    "nothing asked": (CPUS, "a=Make b=Map(a)", "a=CPU:0 b=CPU:0"),
    "gpu before cpu": (MIXED, "a=Make b=Map(a)", "a=GPU:0 b=GPU:0"),
    "kernel for cpu only": (MIXED, "a=Make b=CpuOnly(a)", "a=CPU:0 b=CPU:0"),
    "kernel for gpu only": (MIXED, "a=Make b=GpuOnly(a)", "a=GPU:0 b=GPU:0"),
    "text": (MIXED, "a=Make{T=string} b=Map(a)", "a=CPU:0 b=CPU:0"),
    "float8": (MIXED, "a=Make{T=float8_e5m2} b=Map(a)", "a=CPU:0 b=CPU:0"),
    "int4": (MIXED, "a=Make{T=int4} b=Map(a)", "a=CPU:0 b=CPU:0"),
    "quantized": (MIXED, "a=Make{T=qint8} b=Map(a)", "a=CPU:0 b=CPU:0"),
    "bfloat16": (MIXED, "a=Make{T=bfloat16} b=Map(a)", "a=GPU:0 b=GPU:0"),
    "int32": (MIXED, "a=Make{T=int32} b=Map(a)", "a=GPU:0 b=GPU:0"),
    "text among others": (
        MIXED,
        "a=Make t=Make{T=string} b=Each(a,t) c=Each(a)",
        "a=GPU:0 t=CPU:0 b=CPU:0 c=GPU:0",
    ),
    "text in host memory": (
        MIXED,
        "a=Make t=Make{T=string} b=HostText(a,t)",
        "a=GPU:0 t=CPU:0 b=GPU:0",
    ),
    "text behind a handle": (
        MIXED,
        "b=Behind{dtype=string} c=Behind{dtype=float}",
        "b=CPU:0 c=GPU:0",
    ),
    "text in a variant": (
        MIXED,
        "a=Make{T=string} b=Box(a) c=Map(b) d=Unbox(c) e=Make f=Box(e) g=Unbox(f)",
        "a=CPU:0 b=CPU:0 c=CPU:0 d=CPU:0 e=GPU:0 f=GPU:0 g=GPU:0",
    ),
    "never run": (CPUS, "a=Make b=GraphOnly(a)", "a=CPU:0 b=CPU:0"),
    # 6.1, 2: requests
    "asked": (CPUS, "a=Make@/cpu:3 b=Map(a)@/cpu:2", "a=CPU:3 b=CPU:2"),
    "asked against preference": (MIXED, "a=Make b=Map(a)@/cpu:1", "a=CPU:1 b=CPU:1"),
    "full name": (CPUS, "a=Make@/job:localhost/replica:0/task:0/device:CPU:1", "a=CPU:1"),
    # 6.1, 3: references and resources
    "reference wins": (CPUS, "v=Ref@/cpu:1 w=Bump(v)@/cpu:2", "v=CPU:1 w=CPU:1"),
    "reader without a request": (
        CPUS,
        "v=Ref@/cpu:1 w=Bump(v) x=Bump(w)",
        "v=CPU:1 w=CPU:1 x=CPU:1",
    ),
    "reader's request serves": (CPUS, "v=Ref w=Bump(v)@/cpu:2", "v=CPU:2 w=CPU:2"),
    "value of a reference is free": (CPUS, "v=Ref@/cpu:1 w=Map(v)@/cpu:2", "v=CPU:1 w=CPU:2"),
    "resource wins": (MIXED, "v=State@/cpu:1 w=Use(v)@/gpu:0", "v=CPU:1 w=CPU:1"),
    "resource draws resource": (
        CPUS,
        "v=State m=State@/cpu:2 w=UseTwo(v,m)@/cpu:3",
        "v=CPU:2 m=CPU:2 w=CPU:2",
    ),
    "request overridden for good": (
        CPUS,
        "v=State@/cpu:1 m=State@/cpu:1 w=UseTwo(v,m)@/job:ps/cpu:2",
        "v=CPU:1 m=CPU:1 w=CPU:1",
    ),
    # 6.1, 4: groups
    "group": (CPUS, "a=Make@/cpu:2 b=Make~a c=Map(a)~a", "a=CPU:2 b=CPU:2 c=CPU:2"),
    "group by a later name": (CPUS, "a=Make~c b=Make c=Make@/cpu:2", "a=CPU:2 b=CPU:0 c=CPU:2"),
    "group by a label": (CPUS, "a=Make@/cpu:2~x b=Make~x", "a=CPU:2 b=CPU:2"),
    "group of two names": (CPUS, "a=Make@/cpu:2 b=Make c=Make~a~b", "a=CPU:2 b=CPU:2 c=CPU:2"),
    "group on what all can run on": (
        MIXED,
        "a=Make b=Map(a) c=CpuOnly(a)~b",
        "a=CPU:0 b=CPU:0 c=CPU:0",
    ),
    # 6.1, 5: the order of candidates; metadata and identities
    "names are text": ("CPU:2 CPU:10", "a=Make", "a=CPU:10"),
    "metadata follows": (
        MIXED,
        "a=Make b=Map(a)@/gpu:1 c=Shape(b) d=Size(b) e=Rank(b) f=Map(b)",
        "a=GPU:1 b=GPU:1 c=GPU:1 d=GPU:1 e=GPU:1 f=GPU:0",
    ),
    "metadata asked elsewhere": (
        MIXED,
        "a=Make b=Map(a)@/gpu:1 c=Shape(b)@/cpu:0",
        "a=GPU:1 b=GPU:1 c=CPU:0",
    ),
    "metadata of a generator": (CPUS, "a=Make@/cpu:1 c=Shape(a)", "a=CPU:1 c=CPU:0"),
    "identity follows": (
        MIXED,
        "v=Ref@/gpu:1 w=Bump(v) i=Identity(w) j=Identity(w) k=Map(j) l=Map(j)",
        "v=GPU:1 w=GPU:1 i=GPU:1 j=GPU:0 k=GPU:0 l=GPU:0",
    ),
    # 6.1, 6: generators
    "generator follows": (CPUS, "a=Make b=Map(a)@/cpu:3", "a=CPU:3 b=CPU:3"),
    "generator of two masters": (
        CPUS,
        "a=Make b=Map(a)@/cpu:3 c=Map(a)@/cpu:2",
        "a=CPU:0 b=CPU:3 c=CPU:2",
    ),
    "generator waited for": (CPUS, "a=Make b=Map(a)@/cpu:3 c=NoOp^a", "a=CPU:0 b=CPU:3 c=CPU:0"),
    "generator before a generator": (
        CPUS,
        "a=Make b=Map(a)@/cpu:3 c=Make@/cpu:3^a",
        "a=CPU:0 b=CPU:3 c=CPU:3",
    ),
    "generator that cannot follow": (
        MIXED,
        "a=Make t=Make{T=string} b=HostText(a,t)@/gpu:1",
        "a=GPU:1 t=CPU:0 b=GPU:1",
    ),
    "generator asked elsewhere": (CPUS, "a=Make@/cpu:1 b=Map(a)@/cpu:3", "a=CPU:1 b=CPU:3"),
    # 6.2: wildcards
    "/cpu:*": (MIXED, "a=Make@/cpu:*", "a=CPU:0"),
    "/cpu": (MIXED, "a=Make@/cpu", "a=CPU:0"),
    "/job": (MIXED, "a=Make@/job:localhost", "a=GPU:0"),
    "/replica": (MIXED, "a=Make@/replica:0", "a=GPU:0"),
    "/device:*:*": (MIXED, "a=Make@/device:*:*", "a=GPU:0"),
    "/device:*:1": (MIXED, "a=Make@/device:*:1", "a=GPU:1"),
    "/device:*:1 on the CPU": (CPUS, "a=Make@/device:*:1", "a=CPU:1"),
}


def expected(text):
    return dict(pair.split("=") for pair in text.split())


@pytest.mark.parametrize("row", PLACED)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_placement(toys, row, soft):
    names, nodes, where = PLACED[row]
    assert toys.placed(names, nodes, soft=soft) == expected(where)


# 6.3: what hard placement refuses.
SOFT = {
    "no gpu": (CPUS, "a=Make@/gpu:0", "a=CPU:0"),
    "no such index": (CPUS, "a=Make@/cpu:9", "a=CPU:0"),
    "no such index, gpu preferred": (MIXED, "a=Make@/cpu:9", "a=GPU:0"),
    "no such type": (CPUS, "a=Make@/device:FOO:0", "a=CPU:0"),
    "no kernel": (
        MIXED,
        "a=Make b=CpuOnly(a)@/gpu:1 t=Make{T=string}@/gpu:0",
        "a=CPU:0 b=CPU:0 t=CPU:0",
    ),
    "task kept": (CPUS, "a=Make@/task:0/gpu:1", "a=CPU:0"),
    "group disagrees on the index": (CPUS, "a=Make@/cpu:1 b=Make@/cpu:2~a", "a=CPU:0 b=CPU:0"),
    "group disagrees on the type": (MIXED, "a=Make@/cpu:1 b=Make@/gpu:1~a", "a=GPU:0 b=GPU:0"),
    "group dropped": (
        "CPU:0 CPU:1 CPU:2 CPU:3 GPU:0",
        "a=Make z=Make b=CpuOnly(z) c=GpuOnly(a)~b d=Make~b",
        "a=GPU:0 z=CPU:0 b=CPU:0 c=GPU:0 d=CPU:0",
    ),
    "resource device kept": (
        CPUS,
        "v=State@/cpu:2 w=Use(v) a=Make@/gpu:0~w",
        "v=CPU:2 w=CPU:2 a=CPU:2",
    ),
    "resource device given up": (CPUS, "v=State@/gpu:1 w=Use(v)@/cpu:2", "v=CPU:0 w=CPU:0"),
}


@pytest.mark.parametrize("row", SOFT)
def test_soft_placement(toys, row):
    names, nodes, where = SOFT[row]
    assert toys.placed(names, nodes, soft=True) == expected(where)
    with pytest.raises(InvalidArgumentError):
        toys.placed(names, nodes)


@pytest.mark.parametrize("groups", [[b"a", b"loc@a", "a"], b"loc:@a"])
def test_what_is_no_group_is_ignored(toys, groups, caplog):
    graph = toys.graph("a=Make@/cpu:1 b=Make")
    graph.get_operation_by_name("b").attrs["_class"] = groups
    placement = toys.placer(CPUS).place(graph.get_operations(), {})
    assert toys.short(placement) == {"a": "CPU:1", "b": "CPU:0"}
    texts = [(r.levelname, r.message) for r in caplog.records]
    if groups == b"loc:@a":
        ((level, text),) = texts
        assert level == "ERROR"
        assert text.startswith("The value for colocation attribute '_class' must be a list of")
    else:
        assert texts == []


def test_nothing_is_kept_of_a_failure(toys):
    ops = toys.graph("a=Make@/cpu:1 b=Make@/cpu:9").get_operations()
    placer = toys.placer(CPUS)
    with pytest.raises(InvalidArgumentError):
        placer.place(ops, {})
    assert toys.short(placer.place(ops[:1], {})) == {"a": "CPU:1"}


def test_stateful_operations_keep_their_devices(toys):
    with toys.growing(MIXED) as grow:
        assert grow("a=Make v=State") == {"a": "GPU:0", "v": "GPU:0"}
        # Asked for first, the CPU would have had the state and the value.
        later = grow("w=Use(v)@/cpu:1 b=Map(a)@/cpu:1")
        assert later == {"a": "CPU:1", "v": "GPU:0", "w": "GPU:0", "b": "CPU:1"}


def test_pruned_graph_is_placed_without_its_sources(toys):
    nodes = "a=Make@/cpu:9 b=Map(a)@/gpu:1 c=Shape(b) v=State@/gpu:1 w=Use(v) x=Use(v)~a"
    # A fed input comes from the client's device, and there its shape is taken.
    assert toys.placed(MIXED, nodes, only="cw") == {"c": "CPU:0", "w": "GPU:0"}
    assert toys.placed(MIXED, nodes, only="bc") == {"b": "GPU:1", "c": "GPU:1"}
    assert toys.placed(MIXED, nodes, only="vx") == {"v": "GPU:1", "x": "GPU:1"}
    assert toys.placed(CPUS, nodes, only="x") == {"x": "CPU:0"}


def test_empty_graph(toys):
    assert toys.placer(CPUS).place([], {}) == {}


# --- what is told ------------------------------------------------------------------------------


def test_placement_lines(toys, capsys, caplog):
    caplog.set_level(logging.INFO, "tfsession")
    with toys.growing("CPU:0 CPU:1 GPU:0", log=True) as grow:
        grow("a=Make v=Ref@/cpu:1 w=Bump(v)@/gpu:0")
        lines = [
            f"v: (PlaceRef): {FULL}CPU:1",
            f"w: (PlaceBump): {FULL}CPU:1",
            f"a: (PlaceMake): {FULL}GPU:0",
        ]
        assert capsys.readouterr().out.splitlines() == lines
        assert caplog.messages[-3:] == lines
        assert caplog.messages[0].startswith(
            "Ignoring device specification /device:GPU:0 for node 'w' because the input edge"
        )
        grow("b=Map(a)")
        # The whole graph again, what makes values last.
        lines[2:2] = [f"b: (PlaceMap): {FULL}GPU:0"]
        assert capsys.readouterr().out.splitlines() == lines


def test_silence(toys, capsys, caplog):
    caplog.set_level(logging.INFO, "tfsession")
    toys.placed(MIXED, "a=Make v=Ref@/cpu:1 w=Bump(v)@/gpu:0")
    assert caplog.messages == []
    assert capsys.readouterr().out == ""


def test_a_fallback_is_told_once(toys, caplog):
    caplog.set_level(logging.INFO, "tfsession")
    with toys.growing(CPUS, soft=True) as grow:
        grow("a=Make@/gpu:1 b=Make@/cpu:1")
        grow("c=Make")
    assert caplog.messages == [
        f"Soft placement: 'a' asks for /device:GPU:1 and runs on {FULL}CPU:0"
    ]


def test_a_dropped_group_is_told(toys, caplog):
    caplog.set_level(logging.INFO, "tfsession")
    graph = toys.graph(SOFT["group dropped"][1])
    toys.placer(MIXED, soft=True, log=True).place(graph.get_operations(), {})
    assert "Ignoring request to colocate node 'c' with nodes in colocation group 'b'" in caplog.text


def test_moving_a_resource_is_warned_of(toys, caplog):
    toys.placed(CPUS, "v=State@/gpu:1 w=Use(v)", soft=True)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith(
        "Failed to place the graph without changing the devices of some resources."
    )


def test_decisions(toys):
    graph = toys.graph(
        "a=Make asked=Map(a)@/gpu:1 shape=Shape(asked) cpu=CpuOnly(asked) free=Map(asked) "
        "fallen=Map(asked)@/gpu:7 v=State@/cpu:1 w=Use(v) x=Make~v only=Make "
        "reader=Map(only)@/cpu:1"
    )
    of = graph.get_operation_by_name
    placer = toys.placer(MIXED, soft=True)
    placement = placer.place(graph.get_operations(), {})
    assert {op.name: placer.decision(op) for op in graph.get_operations()} == {
        "a": Decision(Reason.FOLLOWS_CONSUMER),
        "asked": Decision(Reason.REQUESTED),
        "shape": Decision(Reason.FOLLOWS_INPUT, of("asked")),
        "cpu": Decision(Reason.ONLY_KERNEL),
        "free": Decision(Reason.PREFERRED),
        "fallen": Decision(Reason.SOFT_FALLBACK),
        "v": Decision(Reason.REQUESTED),
        "w": Decision(Reason.COLOCATED, of("v")),
        "x": Decision(Reason.COLOCATED, of("v")),
        "only": Decision(Reason.FOLLOWS_CONSUMER),
        "reader": Decision(Reason.REQUESTED),
    }
    placer.place(graph.get_operations(), placement)
    assert placer.decision(of("v")) == Decision(Reason.KEPT)


# --- what it costs -----------------------------------------------------------------------------

LAYER = (
    "v{i}=State@/gpu:{g} m{i}=State@/gpu:{g}~v{i} k{i}=Make~v{i} u{i}=UseTwo(v{i},m{i}) x{i}=Make "
    "y{i}=Map(x{i})@/gpu:{g} s{i}=Shape(y{i}) i{i}=Identity(y{i}) z{i}=Map(i{i})"
)


def layers(count):
    return " ".join(LAYER.format(i=i, g=i % 2) for i in range(count))


@pytest.fixture
def counted(monkeypatch):
    """How often some parts of placing are asked."""
    counts = Counter()

    def count(owner, name):
        function = getattr(owner, name)

        def counting(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(device_support, "has_kernel")
    count(Placer, "_candidates_of")
    count(placement_errors, "debug_info")
    count(Groups, "members")
    count(colocation, "Group")
    return counts


@pytest.mark.parametrize(("names", "soft"), [(MIXED, False), (MIXED, True), (CPUS, True)])
def test_work_grows_with_groups_not_with_kinds(toys, counted, names, soft):
    """Kernels are looked for once for each kind, and a group is one object for all its members."""
    seen = []
    for count in (10, 40):
        counted.clear()
        ops = toys.graph(layers(count)).get_operations()
        toys.placer(names, soft=soft).place(ops, {})
        seen.append(dict(counted))
    few, many = seen
    assert few["has_kernel"] == many["has_kernel"]
    # A group for each layer, and some more that kinds share.
    assert many["_candidates_of"] - few["_candidates_of"] == 30
    assert many["Group"] - few["Group"] == 30
    # Members are listed for the one warning of a session.
    assert few.get("members", 0) == many.get("members", 0) <= 1
    assert few.get("debug_info", 0) == many.get("debug_info", 0) <= 1


def test_a_fallback_that_fails_later_is_not_told(toys, caplog):
    caplog.set_level(logging.INFO, "tfsession")
    placer = toys.placer(CPUS, soft=True)
    ops = toys.graph("a=Make@/gpu:1 b=Map(a)@/gpu:2 c=Make@/job:ps").get_operations()
    for _ in range(2):
        with pytest.raises(InvalidArgumentError):
            placer.place(ops, {})
    assert caplog.messages == []
    placer.place(ops[:2], {})
    assert [text.split(" asks")[0] for text in caplog.messages] == [
        "Soft placement: 'b'",
        "Soft placement: 'a'",
    ]


def test_moved_resources_are_warned_of_once(toys, caplog):
    with toys.growing(CPUS, soft=True) as grow:
        grow("v=State@/gpu:1 w=Use(v) x=State@/gpu:1 y=Use(x)")
        grow("z=State@/gpu:0")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
