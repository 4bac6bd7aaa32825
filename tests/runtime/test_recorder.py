"""Step stats, cost graphs and run metadata: what is told of a step, and that it is true."""

import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core import protos
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.wire import varint
from tfsession.devices.simulated import SimulatedDevice
from tfsession.runtime import recorder as recorder_lib
from tfsession.runtime.cost_graph import is_measured
from tfsession.runtime.plan import Signature
from tfsession.runtime.run_metadata import wants_step_stats
from tfsession.runtime.step_stats import Layout, Output, encode_node

FULL = "/job:localhost/replica:0/task:0/device:"
TRACE = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)


def host_session(cpus=1, **fields):
    return tf.Session(config=tf.ConfigProto(device_count={"CPU": cpus, "GPU": 0}, **fields))


def traced(session, fetches, feeds=None, options=TRACE):
    """The metadata of a run."""
    metadata = tf.RunMetadata()
    session.run(fetches, feeds, options, metadata)
    return metadata


def plan_trace(session, *fetches):
    """What the recordings of a plan have in common."""
    engine = session._engine
    return engine.metadata(engine.plan(Signature(fetches, (), (), ())))._trace


def by_name(metadata):
    """{short device: {node name: NodeExecStats}}."""
    return {
        stats.device.removeprefix(FULL): {node.node_name: node for node in stats.node_stats}
        for stats in metadata.step_stats.dev_stats
    }


def described(output):
    description = output.tensor_description
    allocation = description.allocation_description
    shape = None if description.shape.unknown_rank else [d.size for d in description.shape.dim]
    return output.slot, tf.as_dtype(description.dtype).name, shape, allocation.requested_bytes


def test_every_operation_is_there_with_its_inputs_and_outputs(fresh_graph):
    x = tf.placeholder(tf.float32, [None], name="x")
    k = tf.constant([1.0, 2.0], name="k")
    parts = tf.split(x * k, 2, name="parts")
    with tf.control_dependencies([tf.no_op(name="n")]):
        last = tf.identity(parts[1], name="last")
    with host_session() as session:
        (nodes,) = by_name(traced(session, last, {x: [3, 4]})).values()
    assert {name: node.timeline_label for name, node in nodes.items()} == {
        "_SOURCE": "_SOURCE = NoOp()",
        "_arg_x_0_0": "_arg_x_0_0 = _Arg()",
        "k": "k = Const()",
        "mul": "mul = Mul(_arg_x_0_0, k)",
        "parts/split_dim": "parts/split_dim = Const()",
        "parts": "parts = Split(parts/split_dim, mul)",
        "n": "n = NoOp()",
        "last": "last = Identity(parts:1, ^n)",
        "_retval_last_0_0": "_retval_last_0_0 = _Retval(last)",
    }
    assert list(nodes)[:2] == ["_SOURCE", "_arg_x_0_0"]
    assert list(nodes)[-1] == "_retval_last_0_0"
    outputs = {name: list(map(described, node.output)) for name, node in nodes.items()}
    assert outputs["_arg_x_0_0"] == [(0, "float32", [2], 8)]
    assert outputs["parts"] == [(0, "float32", [1], 4), (1, "float32", [1], 4)]
    assert outputs["parts/split_dim"] == [(0, "int32", [], 4)]
    assert outputs["n"] == outputs["_retval_last_0_0"] == []
    assert nodes["k"].memory_stats.persistent_memory_size == 8
    assert not nodes["k"].memory
    (memory,) = nodes["mul"].memory
    assert (memory.allocator_name, memory.total_bytes, memory.live_bytes) == ("cpu", 8, 8)
    (record,) = memory.allocation_records
    assert record.alloc_bytes == 8
    assert record.alloc_micros == nodes["mul"].all_start_micros + nodes["mul"].op_end_rel_micros


def test_times_are_of_the_clock_and_in_order(fresh_graph):
    x = tf.placeholder(tf.float32, [300, 300], name="x")
    y = tf.matmul(x, x)
    z = tf.reduce_sum(y)
    with host_session() as session:
        value = np.ones((300, 300), np.float32)
        for _ in range(2):  # the second time from what the first has left
            before = time.time_ns()
            metadata = traced(session, z, {x: value})
            after = time.time_ns()
    (stats,) = metadata.step_stats.dev_stats
    ends = before // 1000
    for node in stats.node_stats:
        assert node.all_start_nanos // 1000 == node.all_start_micros
        assert node.scheduled_micros <= node.all_start_micros
        assert node.scheduled_nanos <= node.all_start_nanos
        end = node.all_start_nanos + node.all_end_rel_nanos
        assert end // 1000 == node.all_start_micros + node.all_end_rel_micros
        assert 0 <= node.op_start_rel_nanos <= node.op_end_rel_nanos <= node.all_end_rel_nanos
        assert ends <= node.all_start_micros
        ends = node.all_start_micros + node.all_end_rel_micros
    assert ends <= after // 1000 + 1
    total = sum(node.all_end_rel_nanos for node in stats.node_stats)
    assert total <= after - before
    nodes = {node.node_name: node for node in stats.node_stats}
    assert nodes["MatMul"].all_end_rel_nanos > nodes["_SOURCE"].all_end_rel_nanos


def test_shapes_are_those_of_the_run(fresh_graph):
    x = tf.placeholder(tf.float32, None, name="x")
    y = tf.negative(x, name="y")
    with host_session() as session:
        for shape in [(), (3,), (3,), (2, 0), (3,)]:
            (nodes,) = by_name(traced(session, y, {x: np.zeros(shape)})).values()
            size = 4 * int(np.prod(shape))
            assert described(nodes["y"].output[0]) == (0, "float32", list(shape), size)
            assert described(nodes["_arg_x_0_0"].output[0]) == (0, "float32", list(shape), size)
            assert [m.total_bytes for m in nodes["y"].memory] == [size] * bool(size)


def test_variables_handles_and_texts(fresh_graph):
    v = tf.get_variable("v", [2], initializer=tf.zeros_initializer())
    h = tf.get_variable("h", [3], initializer=tf.zeros_initializer(), use_resource=True)
    text = tf.identity(tf.constant(["a", "bc"], name="k"), name="text")
    read = h.read_value()
    with host_session() as session:
        assign = tf.assign_add(v, [1.0, 1.0])
        (nodes,) = by_name(traced(session, v.initializer)).values()
        # The variable had no value when it was handed to its initializer.
        assert described(nodes["v"].output[0]) == (0, "float32", None, 0)
        session.run(h.initializer)
        (nodes,) = by_name(traced(session, [assign, h.handle, text, read])).values()
    assert described(nodes["v"].output[0]) == (0, "float32", [2], 8)
    assert nodes["v"].memory_stats.persistent_memory_size == 8
    assert described(nodes["AssignAdd"].output[0]) == (0, "float32", [2], 8)
    assert not nodes["AssignAdd"].memory
    assert described(nodes["h"].output[0])[1:3] == ("resource", [])
    assert described(nodes["text"].output[0])[:3] == (0, "string", [2])
    assert described(nodes["Read/ReadVariableOp"].output[0]) == (0, "float32", [3], 12)


def test_each_device_has_its_own(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/cpu:1"):
        a = tf.add(x, x, name="a")
    with tf.device("/cpu:2"):
        b = tf.add(a, a, name="b")
    with host_session(cpus=4) as session:
        devices = by_name(traced(session, b, {x: [1, 1]}))
    assert {device: list(nodes) for device, nodes in devices.items()} == {
        "CPU:0": ["_SOURCE", "_arg_x_0_0", "_retval_b_0_0"],
        "CPU:1": ["_SOURCE", "a"],
        "CPU:2": ["_SOURCE", "b"],
    }
    assert devices["CPU:2"]["b"].timeline_label == "b = AddV2(a/_3, a/_3)"


def test_copies_are_shown_beside_the_gpu(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/gpu:0"):
        a = tf.add(x, x, name="a")
    with tf.device("/gpu:1"):
        b = tf.add(a, a, name="b")
    with tf.Session() as session:
        devices = by_name(traced(session, b, {x: [1, 1]}))
    (memory,) = devices["GPU:0"]["a"].memory
    assert memory.allocator_name == "GPU_0_bfc"
    copies = {
        name: {node.node_name: node.timeline_label for node in nodes.values()}
        for name, nodes in devices.items()
        if name.endswith("/memcpy")
    }
    assert copies == {
        "GPU:0/memcpy": {"x:MEMCPYHtoD": "MEMCPYHtoD 8 bytes"},
        "GPU:1/memcpy": {
            "a:MEMCPYDtoD": "MEMCPYDtoD 8 bytes",
            "b:MEMCPYDtoH": "MEMCPYDtoH 8 bytes",
        },
    }
    copy = devices["GPU:0/memcpy"]["x:MEMCPYHtoD"]
    assert devices["CPU:0"]["_arg_x_0_0"].all_start_nanos <= copy.all_start_nanos
    end = copy.all_start_nanos + copy.all_end_rel_nanos
    (computed,) = devices["GPU:0/stream:all"].values()
    assert computed.node_name.startswith("a:Add")
    assert end <= computed.all_start_nanos


def nodes_of(profile):
    """The nodes of a profile by types of operations, and of those under it."""
    return [*profile.graph_nodes, *(n for child in profile.children for n in nodes_of(child))]


def test_a_gpu_tells_itself_when_it_computed(fresh_graph):
    x = tf.placeholder(tf.float32, [64, 64], name="x")
    with tf.device("/gpu:0"):
        y = tf.matmul(x, tf.constant(np.ones((64, 64), np.float32), name="ones"), name="y")
        z = tf.reshape(tf.exp(y, name="exp"), [-1], name="z")
    with tf.device("/gpu:1"):
        total = tf.reduce_sum(z, name="total")
    begin = time.time_ns()
    with tf.Session() as session:
        for _ in range(3):  # recorded and replayed, which a traced step is not
            session.run(total, {x: np.ones((64, 64))})
        metadata = traced(session, total, {x: np.ones((64, 64))})
    end = time.time_ns()
    devices = by_name(metadata)
    stream, other = devices["GPU:0/stream:all"], devices["GPU:1/stream:all"]
    assert list(stream) == ["y:MatMul", "exp:Exp", "z:Reshape"]
    assert list(other) == ["total:Sum"]
    copies = devices["GPU:0/memcpy"]["x:MEMCPYHtoD"], devices["GPU:1/memcpy"]["z:MEMCPYDtoD"]
    last = devices["GPU:1/memcpy"]["total:MEMCPYDtoH"]
    row = [copies[0], stream["y:MatMul"], stream["exp:Exp"], copies[1], other["total:Sum"], last]
    spans = [(n.all_start_nanos, n.all_start_nanos + n.all_end_rel_nanos) for n in row]
    moments = [moment for span in spans for moment in span]
    assert moments == sorted(moments)
    assert begin <= moments[0]
    assert moments[-1] <= end
    assert all(first < last for first, last in spans)
    profile = tf.profiler.profile(
        fresh_graph,
        metadata,
        cmd="op",
        options={**tf.profiler.ProfileOptionBuilder.time_and_memory(), "output": "none"},
    )
    (product,) = (node for node in nodes_of(profile) if node.name == "y")
    assert product.accelerator_exec_micros == stream["y:MatMul"].all_end_rel_micros


def test_a_profiler_sees_operations_then_the_replay(fresh_graph, monkeypatch):
    seen = []

    def shown(self, function, name):
        return lambda *arguments, **settings: [
            seen.append(name),
            function(*arguments, **settings),
        ][1]

    monkeypatch.setattr(SimulatedDevice, "shown", shown)
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/gpu:0"):
        z = tf.tanh(tf.multiply(x, x, name="square") + 1.0, name="tanh")
        y = tf.matmul(
            tf.fft(tf.cast(z, tf.complex64), name="fft")[None],
            tf.ones([2, 2], tf.complex64),
            name="y",
        )
    with tf.Session() as session:
        for step in range(4):
            seen.clear()
            session.run(y, {x: [1, 2]})
            if step < 2:
                assert {"fft", "y"} <= set(seen)
                assert any(name.startswith("square .. ") for name in seen)
                operations = list(seen)
    assert len(seen) == 1
    assert seen[0].startswith("replay: ")
    assert seen[0].endswith(".. y")
    assert len(operations) > 1


def test_an_unfinished_device_is_waited_for(fresh_graph, monkeypatch):
    waited = []
    wait = SimulatedDevice.synchronize
    monkeypatch.setattr(
        SimulatedDevice, "synchronize", lambda self: [waited.append(self.name), wait(self)]
    )
    with tf.device("/gpu:0"):
        variable = tf.Variable([1.0], name="v")
        change = tf.assign_add(variable, [1.0], name="change").op
    with tf.Session() as session:
        session.run(variable.initializer)
        waited.clear()
        session.run(change)
        software = tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE)
        assert "GPU:0/stream:all" not in by_name(traced(session, change, options=software))
        assert waited == []
        stream = by_name(traced(session, change))["GPU:0/stream:all"]
    assert "change:AssignAdd" in stream
    assert waited == [f"{FULL}GPU:0"] * 2


def test_an_operation_that_waits_lasts_from_its_beginning(fresh_graph):
    a, b = tf.constant(1.0, name="a"), tf.constant(2.0, name="b")
    with host_session() as session:
        trace = plan_trace(session, a, b)
        step = trace.start()
        step.began(0)
        step.observe(1, np.float32(2))
        step.observe(0, np.float32(1))
        nodes = {e.node.name: e for e in step.finish().executions()}
    assert nodes["a"].nanos > nodes["b"].nanos


def test_an_operation_that_blocks_lasts_until_it_ends(fresh_graph):
    queue = tf.FIFOQueue(1, [tf.float32], shapes=[[]])
    taken = queue.dequeue(name="taken")
    other = tf.constant(1.0, name="other")
    enqueue = queue.enqueue([2.0])
    with host_session() as session:
        results = []
        thread = threading.Thread(
            target=lambda: results.append(traced(session, [taken, other])), daemon=True
        )
        thread.start()
        while thread.is_alive() and not session._engine.cancellation.waiting:
            time.sleep(0.001)
        filled = time.time_ns()
        session.run(enqueue)
        thread.join()
    (nodes,) = by_name(results[0]).values()
    ends = {name: node.all_start_nanos + node.all_end_rel_nanos for name, node in nodes.items()}
    assert nodes["taken"].all_start_nanos < filled < ends["taken"]
    assert ends["other"] < filled
    assert nodes["_retval_taken_0_1"].all_start_nanos >= ends["taken"]


def test_a_step_with_a_timeout_is_recorded_too(fresh_graph):
    a = tf.constant(1.0, name="a")
    options = tf.RunOptions(trace_level=1, timeout_in_ms=60_000)
    with host_session() as session:
        (nodes,) = by_name(traced(session, a, options=options)).values()
    assert list(nodes) == ["_SOURCE", "a", "_retval_a_0_0"]


def test_values_are_not_kept(fresh_graph):
    a = tf.constant(1.0, name="a")
    with host_session() as session:
        step = plan_trace(session, a).start()
        held = np.ones(8, np.float32)
        alive = weakref.ref(held)
        step.fed([held])
        step.observe(0, held)
        del held
        assert alive() is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**40)), min_size=1, max_size=5))
def test_any_times_can_be_encoded(times):
    output = Output(tf.float32, None, True, False)
    records = [
        encode_node(f"n{i}", "label" * i * 30, [output], [(i + 1,)]) for i in range(len(times))
    ]
    starts = np.array([start for start, _ in times])
    ends = starts + np.array([length for _, length in times])
    devices = [f"d{i % 2}" for i in range(len(times))]
    stats = protos.StepStats.FromString(Layout(devices, records).encode(starts, ends))
    nodes = {node.node_name: node for d in stats.dev_stats for node in d.node_stats}
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        node = nodes[f"n{i}"]
        assert (node.all_start_nanos, node.scheduled_nanos) == (start, start)
        assert node.all_start_micros == node.scheduled_micros == start // 1000
        assert node.op_end_rel_nanos == node.all_end_rel_nanos == end - start
        assert node.op_end_rel_micros == node.all_end_rel_micros == end // 1000 - start // 1000
        assert node.memory[0].allocation_records[0].alloc_micros == end // 1000
        assert node.timeline_label == "label" * i * 30


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_varints(number):
    field = protos.AllocationRecord.FromString(b"\x08" + varint(number))
    assert field.alloc_micros == number


def test_an_operation_that_runs_again_is_there_again(fresh_graph):
    a = tf.constant(1.0, name="a")
    with host_session() as session:
        step = plan_trace(session, a).start()
        for _ in range(3):
            step.observe(0, np.float32(1))
        stats = protos.StepStats.FromString(step.finish().step_stats)
    assert [n.node_name for n in stats.dev_stats[0].node_stats].count("a") == 3


def test_a_clock_that_stands_still_is_no_error(fresh_graph, monkeypatch):
    a = tf.constant(1.0, name="a")
    clock = SimpleNamespace(perf_counter_ns=lambda: 5, time_ns=lambda: 1_700_000_000_000_000_000)
    monkeypatch.setattr(recorder_lib, "time", clock)
    with host_session() as session:
        (nodes,) = by_name(traced(session, a)).values()
    assert nodes["a"].all_start_nanos == 1_700_000_000_000_000_000
    assert nodes["a"].all_end_rel_nanos == 0


# --- what is asked for ----------------------------------------------------------------------------

MEASURED = [  # build_cost_model, build_cost_model_after, the runs of ten that are measured
    (0, 0, []),
    (-1, 0, []),
    (1, 0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    (2, 0, [1, 3, 5, 7, 9]),
    (1, 7, [7, 8, 9]),
    (3, 2, [4, 7]),
    (3, 4, [6, 9]),
]


@pytest.mark.parametrize(("every", "after", "runs"), MEASURED)
def test_which_runs_are_measured(every, after, runs):
    assert [i for i in range(10) if is_measured(i, every, after)] == runs


def test_what_options_ask_for(fresh_graph):
    a = tf.constant(1.0, name="a")
    asked = [
        (None, set()),
        (tf.RunOptions(), set()),
        (tf.RunOptions(trace_level=-3), set()),
        (tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE), {"step_stats"}),
        (tf.RunOptions(trace_level=77), {"step_stats"}),
        (tf.RunOptions(report_tensor_allocations_upon_oom=True), {"step_stats"}),
        (tf.RunOptions(output_partition_graphs=True), {"partition_graphs"}),
    ]
    with host_session() as session:
        for options, fields in asked:
            metadata = traced(session, a, options=options)
            assert {field.name for field, _ in metadata.ListFields()} == fields
            assert wants_step_stats(options) is ("step_stats" in fields)


def test_session_metadata_is_handed_on(fresh_graph):
    served = {"name": "served", "version": 3}
    with host_session(experimental={"session_metadata": served}) as session:
        metadata = traced(session, tf.constant(1.0), options=None)
    assert metadata == tf.RunMetadata(session_metadata=served)


def test_partition_graphs_may_be_forbidden(fresh_graph):
    a = tf.constant(1.0)
    options = tf.RunOptions(output_partition_graphs=True)
    with host_session(experimental={"disable_output_partition_graphs": True}) as session:
        session.run(a, options=TRACE)
        with pytest.raises(InvalidArgumentError, match="disable_output_partition_graphs is true"):
            session.run(a, options=options)
        assert session.run(a) == 1


def test_a_message_is_replaced_by_success_alone(fresh_graph):
    x = tf.placeholder(tf.float32, [], name="x")
    v = tf.get_variable("v", [])
    filled = tf.RunMetadata(session_metadata={"name": "before"})
    with host_session() as session:
        metadata = tf.RunMetadata.FromString(filled.SerializeToString())
        with pytest.raises(tf.errors.FailedPreconditionError):
            session.run(v, options=TRACE, run_metadata=metadata)
        assert metadata == filled
        session.run(x, {x: 1}, options=TRACE, run_metadata=metadata)  # nothing runs
        assert metadata == tf.RunMetadata()
        metadata.CopyFrom(filled)
        session.run(x + 1, {x: 1}, run_metadata=metadata)
        assert metadata == tf.RunMetadata()
        metadata.CopyFrom(filled)
        session.make_callable(tf.constant(1.0), accept_options=True)(TRACE, metadata)
        assert metadata.HasField("step_stats")
        assert not metadata.HasField("session_metadata")


def test_threads_that_trace_do_not_mix_their_records(fresh_graph):
    x = tf.placeholder(tf.float32, [None], name="x")
    y = tf.negative(x, name="y")
    wrong = []

    def work(size):
        for _ in range(50):
            (nodes,) = by_name(traced(session, y, {x: np.zeros(size)})).values()
            names = ["_SOURCE", "_arg_x_0_0", "y", "_retval_y_0_0"]
            if list(nodes) != names or described(nodes["y"].output[0])[3] != 4 * size:
                wrong.append(nodes)

    with host_session() as session:
        threads = [threading.Thread(target=work, args=(size,)) for size in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_cost_graph_has_the_greatest_costs(fresh_graph):
    x = tf.placeholder(tf.float32, [None], name="x")
    with tf.device("/cpu:1"):
        y = tf.split(tf.negative(x, name="negative"), 2, name="y")[1]
    v = tf.get_variable("v", [2], initializer=tf.zeros_initializer())
    update = tf.assign_add(v, [1.0, 1.0], name="update")
    with host_session(cpus=2, graph_options={"build_cost_model": 2}) as session:
        session.run(v.initializer)
        fetches, large = [update, y], {x: np.ones(8)}
        session.run(fetches, large)  # it counts, though nothing asks for metadata
        longest = traced(session, fetches, large, options=None)
        assert traced(session, fetches, {x: np.ones(2)}, options=None) == tf.RunMetadata()
        metadata = traced(session, fetches, {x: np.ones(2)}, options=None)
    assert {field.name for field, _ in metadata.ListFields()} == {"step_stats", "cost_graph"}
    costs = {(node.device.removeprefix(FULL), node.name): node for node in metadata.cost_graph.node}
    assert [node.id for node in metadata.cost_graph.node] == list(
        range(len(metadata.cost_graph.node))
    )
    negative = costs["CPU:1", "negative"]
    assert negative.output_info[0].size == 32
    assert negative.output_info[0].shape.dim[0].size == 8
    assert negative.output_info[0].alias_input_port == -1
    before = {node.name: node.compute_cost for node in longest.cost_graph.node}
    assert all(node.compute_cost >= before[node.name] for node in metadata.cost_graph.node)
    split = costs["CPU:1", "y"]
    assert [i.preceding_node for i in split.input_info] == [
        costs["CPU:1", "y/split_dim"].id,
        negative.id,
    ]
    send = costs["CPU:1", "y/_2"]
    assert send.is_final
    assert (send.input_info[0].preceding_node, send.input_info[0].preceding_port) == (split.id, 1)
    receive = costs["CPU:0", "y/_3"]
    assert (receive.output_info[0].size, receive.output_info[0].shape.unknown_rank) == (-1, True)
    assert costs["CPU:0", "update"].output_info[0].alias_input_port == 0
    assert costs["CPU:0", "v"].persistent_memory_size == 8
    first = {node.name: node.id for node in metadata.cost_graph.node[:2]}
    assert first == {"_SOURCE": 0, "_SINK": 1}
    assert list(costs["CPU:0", "v"].control_input) == [0]
