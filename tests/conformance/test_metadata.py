"""Run metadata: graphs, step stats, costs and timelines beside real TensorFlow's."""

import json
import random
import warnings

import pytest

import tfsession
from tfsession.tracing import timeline as our_timeline

pytestmark = pytest.mark.oracle

# What both do to a step before it runs is off.
PRELUDE = """
import numpy as np

def session(cpus=1, build=0, after=0, **experimental):
    config = tf.ConfigProto(device_count={"CPU": cpus, "GPU": 0}, experimental=experimental)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = -1
    config.graph_options.build_cost_model = build
    config.graph_options.build_cost_model_after = after
    return tf.Session(config=config)

def fields(metadata):
    return [field.name for field, _ in metadata.ListFields()]

def run(sess, fetches, feeds=None, **options):
    metadata = tf.RunMetadata()
    sess.run(fetches, feeds, tf.RunOptions(**options) if options else None, metadata)
    return metadata

def graphs(metadata):
    return sorted(
        [
            (
                node.device, node.name, node.op, list(node.input),
                sorted((k, str(v)) for k, v in node.attr.items() if k != "_XlaHasReferenceVars"),
            )
            for node in graph.node
        ] + [str(graph.versions)]
        for graph in metadata.partition_graphs
    )

def partition_graphs(sess, fetches, feeds=None):
    return graphs(run(sess, fetches, feeds, output_partition_graphs=True))

x = tf.placeholder(tf.float32, [2], name="x")
with tf.device("/cpu:1" if CPUS > 1 else ""):
    a = tf.add(x, x, name="a")
    b = tf.identity(a, name="scope/b")
with tf.device("/cpu:2" if CPUS > 2 else ""):
    c = tf.multiply(a, b, name="c")
    with tf.control_dependencies([b]):
        d = tf.fill([2], 3.0, name="d")
    e = tf.no_op(name="e")
    parts = tf.split(c, 2, name="parts")
with tf.control_dependencies([e]):
    f = tf.identity(a, name="f")
i = tf.identity(tf.constant([1, 2], name="ic"), name="i")
with tf.device("/cpu:1" if CPUS > 1 else ""):
    j = tf.identity(i, name="j")
    v = tf.get_variable("v", [2], initializer=tf.zeros_initializer())
    h = tf.get_variable("h", [2], initializer=tf.zeros_initializer(), use_resource=True)
    update = tf.assign_add(v, [1.0, 2.0], name="update")
    text = tf.constant("abc", name="text")
outer = tf.add(v._ref() if hasattr(v, "_ref") else v, x, name="outer")
read = h.read_value()
"""

GRAPHS = [
    "partition_graphs(s, [c, d, f], {x: [1, 2]})",
    "partition_graphs(s, [f, c, d], {x: [1, 2]})",
    "partition_graphs(s, j)",
    "partition_graphs(s, [c, c, a], {x: [1, 2]})",
    "partition_graphs(s, e)",
    "partition_graphs(s, [e, d], {x: [1, 2]})",
    "partition_graphs(s, [v.initializer, h.initializer])",
    "partition_graphs(s, [v, h])",
    "partition_graphs(s, [h.handle, read])",
    "partition_graphs(s, [x, c], {x: [1, 2]})",
    "partition_graphs(s, x, {x: [1, 2]})",
    "partition_graphs(s, [c], {a: [1, 2]})",
    "partition_graphs(s, [d], {b: [1, 2], x: [1, 2]})",
    "partition_graphs(s, [v, c], {x: [1, 2], v: [3, 4]})",
    "partition_graphs(s, [parts[1], text, update], {x: [1, 2]})",
    "partition_graphs(s, outer, {x: [1, 2]})",
    # The numbers go on from run to run, and one plan keeps its own.
    "[partition_graphs(s, fetch, {x: [1, 2]}) for fetch in (c, f, c)]",
]

TOLD = [
    # What is filled, by options.
    "[fields(run(s, a, {x: [1, 2]}, **o)) for o in ({}, {'trace_level': 1}, {'trace_level': 3},"
    " {'trace_level': 99}, {'trace_level': -1}, {'report_tensor_allocations_upon_oom': True},"
    " {'output_partition_graphs': True}, {'timeout_in_ms': 1000})]",
    "fields(run(session(session_metadata={'name': 'n', 'version': 2}), a, {x: [1, 2]}))",
    "fields(run(session(session_metadata={}), a, {x: [1, 2]}))",
    "fields(run(session(session_metadata={'name': 'n'}), x, {x: [1, 2]}))",
    "fields(run(s, x, {x: [1, 2]}, trace_level=1))",
    "run(session(disable_output_partition_graphs=True), a, {x: [1, 2]},"
    " output_partition_graphs=True)",
    "fields(run(session(disable_output_partition_graphs=True), a, {x: [1, 2]}, trace_level=1))",
]

MEASURED = [(1, 0), (2, 0), (3, 0), (1, 2), (3, 2), (2, 1), (3, 4), (-1, 0), (0, 3), (2, -1)]

MESSAGES = """
s = session(CPUS)
old = tf.RunMetadata(session_metadata={"name": "old"})
out = []
for fetch, feeds in [(a, {x: [1, 2]}), (x, {x: [1, 2]}), (v, {}), (a, {}), ([], {})]:
    metadata = tf.RunMetadata()
    metadata.CopyFrom(old)
    try:
        s.run(fetch, feeds, tf.RunOptions(trace_level=1), metadata)
    except tf.errors.OpError:
        pass
    out.append(fields(metadata))
call = s.make_callable(e, accept_options=True)
metadata.CopyFrom(old)
call(tf.RunOptions(trace_level=1), metadata)
out.append(fields(metadata))
"""

STATS = """
s = session(CPUS)
s.run([v.initializer, h.initializer])
metadata = run(s, [c, d, f, j, h.handle, read, update, text, parts[1]], {x: [1, 2]}, trace_level=1)

def description(output):
    told = output.tensor_description
    # What texts and handles take is a matter of the library.
    sized = told.dtype not in (tf.string.as_datatype_enum, tf.resource.as_datatype_enum)
    size = told.allocation_description.requested_bytes if sized else None
    return output.slot, told.dtype, str(told.shape), size

out = {
    stats.device: sorted(
        (
            node.node_name,
            node.timeline_label,
            [description(output) for output in node.output],
            node.memory_stats.persistent_memory_size if node.node_name != "text" else None,
        )
        for node in stats.node_stats
        # What stands in for a control edge between devices is not run by tfsession.
        if "/_" not in node.node_name
    )
    for stats in sorted(metadata.step_stats.dev_stats, key=lambda stats: stats.device)
}
firsts = {stats.node_stats[0].node_name for stats in metadata.step_stats.dev_stats}
sane = all(
    0 <= node.op_start_rel_nanos <= node.op_end_rel_nanos <= node.all_end_rel_nanos
    and node.scheduled_nanos <= node.all_start_nanos
    and node.all_start_micros == node.all_start_nanos // 1000
    and node.all_end_rel_micros
    == (node.all_start_nanos + node.all_end_rel_nanos) // 1000 - node.all_start_micros
    for stats in metadata.step_stats.dev_stats
    for node in stats.node_stats
)
out = list(out.items()), sorted(firsts), sane
"""

COSTS = """
s = session(CPUS, build=1)
s.run([v.initializer, h.initializer])
metadata = run(s, [c, f, j, update, parts[1], read], {x: [1, 2]})
nodes = {node.id: node for node in metadata.cost_graph.node}
owner, device = {}, ""
for node in metadata.cost_graph.node:
    # The sources and sinks, that name no device, stand before the nodes of theirs.
    following = [n for n in metadata.cost_graph.node if n.id > node.id and n.device]
    owner[node.id] = node.name + "@" + (node.device or following[0].device)

def output(info):
    # Sizes are there, and buffers used again seen, only if the first session of the process asked.
    alias = info.alias_input_port if info.dtype > 100 else None
    return alias, str(info.shape), info.dtype

out = sorted(
    (
        owner[node.id],
        [(owner[i.preceding_node], i.preceding_port) for i in node.input_info],
        [output(o) for o in node.output_info] if "/_" not in node.name else None,
        # An edge that TensorFlow has twice in its own copies of the graph counts once.
        sorted({owner[i] for i in node.control_input}),
        node.is_final,
        node.persistent_memory_size,
    )
    for node in metadata.cost_graph.node
), sorted(nodes) == list(range(len(nodes))), fields(metadata)
"""


def same(outcomes, cpus, program):
    theirs, ours = outcomes(f"CPUS = {cpus}\n{PRELUDE}", program)
    assert ours == theirs


@pytest.mark.spec("7.4")
@pytest.mark.parametrize("cpus", [1, 3])
@pytest.mark.parametrize("expression", GRAPHS, ids=range(len(GRAPHS)))
def test_partition_graphs(outcomes, expression, cpus):
    begin = "s = session(CPUS)\npartition_graphs(s, [v.initializer, h.initializer])"
    same(outcomes, cpus, f"{begin}\nout = {expression}")


@pytest.mark.spec("8.1")
@pytest.mark.parametrize("expression", TOLD, ids=range(len(TOLD)))
def test_what_is_told(outcomes, expression):
    same(outcomes, 1, f"s = session(CPUS)\nout = {expression}")


@pytest.mark.spec("8.1")
def test_messages_are_replaced_by_success_alone(outcomes):
    same(outcomes, 1, MESSAGES)


@pytest.mark.spec("GraphOptions")
@pytest.mark.parametrize(("build", "after"), MEASURED)
def test_which_runs_have_a_cost_graph(outcomes, build, after):
    program = f"""
s = session(CPUS, build={build}, after={after})
out = []
for number in range(8):
    if number in (3, 6):  # they count, too
        s.run(a, {{x: [1, 2]}})
    out.append(fields(run(s, a, {{x: [1, 2]}})))
    if number == 4:
        out.append(fields(run(s, b, {{x: [1, 2]}})))
"""
    same(outcomes, 1, program)


@pytest.mark.spec("8.2")
@pytest.mark.parametrize("cpus", [1, 3])
def test_step_stats(outcomes, cpus):
    same(outcomes, cpus, STATS)


@pytest.mark.spec("8.3")
@pytest.mark.parametrize("cpus", [1, 3])
def test_cost_graphs(outcomes, cpus):
    same(outcomes, cpus, COSTS)


CONTROL_FLOW = """
chosen = tf.cond(x[0] > 0, lambda: x * 2.0, lambda: x - 1.0, name="cond")
turns = tf.while_loop(lambda i: i < 4, lambda i: i + 1, [tf.constant(1)], name="turns")
sums = tf.while_loop(
    lambda i, t: i < 3, lambda i, t: (i + 1, t + x), [tf.constant(0), x], name="sums"
)
s = session(CPUS)

def executions(metadata):
    return sorted(
        # Of the outputs of Switch and Merge, TensorFlow tells those that are alive and read.
        (node.timeline_label, [str(o.tensor_description.shape) for o in node.output[:1]])
        for stats in metadata.step_stats.dev_stats
        for node in stats.node_stats
    )

out = [
    (executions(run(s, fetch, feeds, trace_level=1)), partition_graphs(s, fetch, feeds))
    for fetch in (chosen, turns, sums, [chosen, sums])
    for feeds in ({x: [1, 2]}, {x: [-1, 2]})
]
"""


@pytest.mark.spec("11.1")
def test_conditionals_and_loops(outcomes):
    same(outcomes, 1, CONTROL_FLOW)


# Constants are left out where another device may read them: TensorFlow then makes copies of them.
RANDOM = """
import random

choice = random.Random(SEED)
pool, ops = [], []
for n in range(choice.randint(3, 14)):
    device = choice.choice(["", *(f"/cpu:{d}" for d in range(CPUS))])
    waits = choice.sample(ops, min(len(ops), choice.choice([0, 0, 0, 1, 2])))
    kind = choice.choice(["placeholder", "identity", "add", "split", "no_op", "variable"])
    made = []
    with tf.device(device), tf.control_dependencies(waits):
        if kind == "placeholder" or not pool:
            made = [tf.placeholder(tf.float32, [2], name=f"n{n}")]
        elif kind == "no_op":
            ops.append(tf.no_op(name=f"n{n}"))
        elif kind == "variable":
            tf.Variable([1.0, 2.0], name=f"n{n}")
            made = [tf.get_default_graph().get_tensor_by_name(f"n{n}:0")]
        elif kind == "identity":
            made = [tf.identity(choice.choice(pool), name=f"scope/n{n}")]
        elif kind == "split":
            halves = tf.split(choice.choice(pool), 2, name=f"n{n}")
            made = [tf.concat([halves[1], halves[0]], 0, name=f"n{n}c")]
        else:
            made = [tf.add(choice.choice(pool), choice.choice(pool), name=f"n{n}")]
    pool += made
    ops += [t.op for t in made]

fed = {t for t in pool if t.op.type == "Placeholder"}
fed |= {t for t in choice.sample(pool, 1) if t.op.type != "VariableV2" and choice.random() < 0.3}
fetched = choice.sample(pool, min(len(pool), choice.choice([1, 2, 3])))
fetched += [op for op in choice.sample(ops, choice.choice([0, 1])) if op.type != "Placeholder"]
s = session(CPUS)
# Every step that is shown takes numbers for its copies, in tfsession only these.
partition_graphs(s, tf.global_variables_initializer())
out = partition_graphs(s, fetched, {t: [1.0, 2.0] for t in fed})
"""


@pytest.mark.spec("7.1")
@pytest.mark.parametrize("seed", range(40))
def test_partition_graphs_of_random_steps(outcomes, seed):
    prelude = PRELUDE.partition("\nx = ")[0]
    theirs, ours = outcomes(f"CPUS = {1 + 2 * (seed % 4 > 0)}\nSEED = {seed}\n{prelude}", RANDOM)
    assert "replicate" not in str(theirs)
    assert ours == theirs


# --- timelines ------------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"show_memory": True},
    {"show_dataflow": False},
    {"show_memory": True, "op_time": "all"},
    {"op_time": "gpu"},
]


def random_stats(tf, seed):
    """StepStats such as a machine with a GPU may give, and some that none would."""
    choice = random.Random(seed)
    names = [f"scope/n{i}" for i in range(12)]
    devices = ["/job:localhost/replica:0/task:0/device:CPU:0", "/job:w/task:1/device:GPU:0"]
    devices += ["/device:GPU:0/stream:all", "/job:w/device:GPU:0/memcpy", "/gpu:0/stream:7"]
    stats = tf.RunMetadata().step_stats
    for device in choice.sample(devices, choice.randint(1, 5)):
        found = stats.dev_stats.add(device=device)
        clock = 1_700_000_000_000_000
        for _ in range(choice.randint(0, 12)):
            clock += choice.randint(0, 4)
            name = choice.choice([*names, "RecvTensor"])
            inputs = choice.sample(names, choice.randint(0, 3))
            inputs = [i + choice.choice(["", ":1", "/_5"]) for i in inputs]
            labels = [f"{name} = Op({', '.join(inputs)})", "none", f"k @@{name}:Op#id=1#", "#@@a"]
            node = found.node_stats.add(
                node_name=name + choice.choice(["", "", ":MEMCPYHtoD"]),
                timeline_label=choice.choice([labels[0], *labels]),
                all_start_micros=clock,
                all_end_rel_micros=choice.randint(0, 6),
            )
            for slot in range(choice.choice([0, 1, 1, 2])):
                output = node.output.add(slot=slot)
                allocation = output.tensor_description.allocation_description
                allocation.requested_bytes = choice.choice([0, 4, 64])
                allocation.allocator_name = choice.choice(["cpu", "GPU_0_bfc"])
    return stats


def traces(module, step_stats, options):
    """The text of a trace, and the maxima of the allocators."""
    copy = type(step_stats).FromString(step_stats.SerializeToString())
    text = module.Timeline(copy).generate_chrome_trace_format(**options)
    copy = type(step_stats).FromString(step_stats.SerializeToString())
    analysis = module.Timeline(copy).analyze_step_stats(**options)
    compact = analysis.chrome_trace.format_to_string()
    return text, compact, {k: tuple(v) for k, v in analysis.allocator_maximums.items()}


@pytest.fixture(scope="module")
def their_timeline(tf):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.python.client import timeline  # noqa: PLC0415
    return timeline


@pytest.mark.spec("8.4")
@pytest.mark.parametrize("seed", range(60))
def test_timelines_of_any_step_stats(tf, their_timeline, seed):
    step_stats = random_stats(tf, seed)
    for options in OPTIONS:
        ours, theirs = (traces(m, step_stats, options) for m in (our_timeline, their_timeline))
        assert ours == theirs


@pytest.mark.spec("8.4")
@pytest.mark.parametrize("source", ["real", "ours"])
def test_timelines_of_a_step(tf, their_timeline, source):
    module = tf if source == "real" else tfsession
    names = {"tf": module, "CPUS": 3}
    with module.Graph().as_default():
        exec(PRELUDE, names)
        exec("s = session(3)\ns.run([v.initializer])", names)
        metadata = eval("run(s, [c, d, f, update], {x: [1, 2]}, trace_level=3)", names)
    assert len(metadata.step_stats.dev_stats) == 3
    # Real TensorFlow's timeline reads messages of tfsession, and the other way round.
    for step_stats in (
        metadata.step_stats,
        tf.RunMetadata.FromString(metadata.SerializeToString()).step_stats,
    ):
        for options in OPTIONS:
            ours, theirs = (traces(m, step_stats, options) for m in (our_timeline, their_timeline))
            assert ours == theirs
            assert json.loads(ours[0])["traceEvents"]


@pytest.mark.spec("8.1")
def test_real_messages_can_be_filled(tf):
    metadata = tf.RunMetadata()
    with tfsession.Graph().as_default(), tfsession.Session() as session:
        a = tfsession.constant(1.0, name="a")
        session.run(a, options=tf.RunOptions(trace_level=3), run_metadata=metadata)
    names = [n.node_name for d in metadata.step_stats.dev_stats for n in d.node_stats]
    assert "a" in names
