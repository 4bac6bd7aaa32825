"""Timelines: the events of a step, and how much memory its allocators have held."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core import protos
from tfsession.tracing import timeline

CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
GPU = "/job:localhost/replica:0/task:0/device:GPU:0"


def node(name, start, length, label=None, **outputs):
    """A NodeExecStats; `outputs` are the bytes of each output by the name of its allocator."""
    stats = protos.NodeExecStats(
        node_name=name.partition("@")[0],
        all_start_micros=start,
        all_end_rel_micros=length,
        timeline_label=f"{name} = Op()" if label is None else label,
    )
    for slot, (allocator, nbytes) in enumerate(outputs.items()):
        allocation = {"requested_bytes": nbytes, "allocator_name": allocator}
        stats.output.add(slot=slot, tensor_description={"allocation_description": allocation})
    return stats


def stats_of(**devices):
    names = {"cpu": CPU, "gpu": GPU, "memcpy": f"{GPU}/memcpy", "stream": "/gpu:0/stream:all"}
    return protos.StepStats(
        dev_stats=[{"device": names[key], "node_stats": nodes} for key, nodes in devices.items()]
    )


def events(step_stats, phases, **options):
    text = timeline.Timeline(step_stats).generate_chrome_trace_format(**options)
    return [event for event in json.loads(text)["traceEvents"] if event["ph"] in phases]


def test_processes_are_the_allocators_and_two_for_each_device():
    found = events(stats_of(cpu=[], gpu=[]), "M")
    assert [(event["pid"], event["name"], event["args"]["name"]) for event in found] == [
        (0, "process_name", "Allocators"),
        (1, "process_name", f"{CPU} Compute"),
        (2, "process_name", f"{CPU} Tensors"),
        (3, "process_name", f"{GPU} Compute"),
        (4, "process_name", f"{GPU} Tensors"),
    ]


def test_a_node_is_an_event_with_its_inputs():
    (event,) = events(stats_of(cpu=[node("scope/a", 10, 5, "scope/a = Add(b, c:1, ^d)")]), "X")
    assert event == {
        "ph": "X",
        "cat": "Op",
        "name": "Add",
        "pid": 1,
        "tid": 0,
        "ts": 10,
        "dur": 5,
        "args": {"name": "scope/a", "op": "Add", "input0": "b", "input1": "c:1", "input2": "^d"},
    }


LABELS = [  # kind of device, node, label, and the name, op and inputs that are shown
    ("cpu", "a", "a = Const()", ("a", "Const", [])),
    ("cpu", "a", "no label", ("a", "unknown", [])),
    ("cpu", "RecvTensor", "[8B] from here to there", ("RecvTensor", "RecvTensor", [])),
    ("memcpy", "x:MEMCPYHtoD", "MEMCPYHtoD 8 bytes", ("x", "MEMCPYHtoD", [])),
    ("stream", "k", "kernel @@a:MatMul#id=3#", ("a", "MatMul", [])),
    ("stream", "k:Op", "kernel @@#", ("k", "Op", [])),
    ("stream", "k", "# kernel @@a:MatMul", ("k", "unknown", [])),
]


@pytest.mark.parametrize(("kind", "name", "label", "shown"), LABELS)
def test_names_of_operations_and_kernels(kind, name, label, shown):
    (event,) = events(stats_of(**{kind: [node(name, 1, 1, label)]}), "X")
    args = event["args"]
    assert (args.pop("name"), args.pop("op"), list(args.values())) == shown
    assert event["name"] == shown[1]


def test_what_overlaps_is_in_lanes_of_its_own():
    spans = [(1, 10), (2, 3), (6, 1), (11, 2), (12, 1)]
    nodes = [node(f"n{i}", *span) for i, span in enumerate(spans)]
    assert [event["tid"] for event in events(stats_of(cpu=nodes), "X")] == [0, 1, 1, 1, 0]


def test_arrows_lead_from_makers_to_readers_elsewhere():
    made = node("a", 1, 4, cpu=8)
    same_lane = node("b", 6, 1, "b = Neg(a)")
    other = node("c", 9, 1, "c = Neg(a/_3)")
    unknown = node("d", 20, 1, "d = Neg(gone/_3, /_7)")
    found = events(stats_of(cpu=[made, same_lane], gpu=[other, unknown]), "st")
    assert found == [
        {"ph": "s", "cat": "DataFlow", "name": "a", "pid": 1, "tid": 0, "ts": 5, "id": 0},
        {"ph": "t", "cat": "DataFlow", "name": "a", "pid": 3, "tid": 0, "ts": 9, "id": 0},
    ]
    assert events(stats_of(cpu=[made], gpu=[other]), "st", show_dataflow=False) == []


def test_tensors_live_until_their_last_reader():
    step_stats = stats_of(cpu=[node("a", 1, 4, cpu=8, gpu=2), node("b", 6, 9, "b = Neg(a)", cpu=4)])
    found = events(step_stats, "NDO", show_memory=True)
    assert [(e["ph"], e["name"], e["ts"], e["id"]) for e in found] == [
        ("N", "a", 1, 0),
        ("O", "a", 4, 0),
        ("N", "a:1", 1, 1),
        ("O", "a:1", 4, 1),
        ("N", "b", 6, 2),
        ("O", "b", 14, 2),
        ("D", "a", 14, 0),
        ("D", "a:1", 5, 1),
        ("D", "b", 15, 2),
    ]
    assert "requested_bytes: 8" in found[1]["args"]["snapshot"]["tensor_description"]
    counters = events(step_stats, "C", show_memory=True)
    assert [(e["name"], e["ts"], e["args"]) for e in counters] == [
        ("cpu", 1, {"cpu": 8}),
        ("cpu", 6, {"cpu": 12}),
        ("cpu", 14, {"cpu": 4}),
        ("cpu", 15, {"cpu": 0}),
        ("gpu", 1, {"gpu": 2}),
        ("gpu", 5, {"gpu": 0}),
    ]
    maximums = timeline.Timeline(step_stats).analyze_step_stats().allocator_maximums
    assert maximums == {"cpu": (6, 12, {"a", "b"}), "gpu": (1, 2, {"a:1"})}
    assert maximums["cpu"].num_bytes == 12
    assert events(step_stats, "NDOC") == []


TIMES = [("schedule", (1, 2)), ("gpu", (5, 4)), ("all", (1, 8))]


@pytest.mark.parametrize(("op_time", "span"), TIMES)
def test_operations_can_be_shown_with_the_time_of_their_kernels(op_time, span):
    step_stats = stats_of(
        gpu=[node("a", 1, 2), node("b", 3, 1)],
        stream=[node("k", 5, 1, "f @@a:Op#"), node("k", 7, 2, "g @@a:Op#")],
    )
    before = step_stats.SerializeToString()
    a, b, *_ = events(step_stats, "X", op_time=op_time)
    assert (a["ts"], a["dur"]) == span
    assert (b["ts"], b["dur"]) == (3, 1)
    assert step_stats.SerializeToString() == before


def test_a_timeline_can_be_made_again():
    line = timeline.Timeline(stats_of(cpu=[node("a", 1, 2, cpu=3)]), graph=tf.Graph())
    assert line.generate_chrome_trace_format() == line.generate_chrome_trace_format()
    trace = line.analyze_step_stats().chrome_trace
    assert json.loads(trace.format_to_string()) == json.loads(trace.format_to_string(pretty=True))
    assert "\n    " in trace.format_to_string(pretty=True)
    assert "\n" not in trace.format_to_string()


def test_a_step_of_a_session(fresh_graph, device):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device(device):
        y = tf.negative(tf.add(x, x, name="twice"), name="y")
    metadata = tf.RunMetadata()
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    with tf.Session() as session:
        session.run(y, {x: [1, 2]}, options=options, run_metadata=metadata)
    found = events(metadata.step_stats, "X", show_memory=True)
    ops = {event["args"]["name"]: event for event in found}
    assert ops["twice"]["name"] == "AddV2"
    assert ops["twice"]["ts"] + ops["twice"]["dur"] <= ops["y"]["ts"]
    assert {"_arg_x_0_0", "_retval_y_0_0", "_SOURCE"} <= ops.keys()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5)), max_size=20))
def test_nothing_overlaps_within_a_lane(spans):
    nodes = [node(f"n{i}", *span) for i, span in enumerate(sorted(spans))]
    ends = {}
    for event in events(stats_of(cpu=nodes), "X"):
        assert event["ts"] > ends.get(event["tid"], 0)
        ends[event["tid"]] = event["ts"] + event["dur"]
