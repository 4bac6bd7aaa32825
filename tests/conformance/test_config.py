"""ConfigProto and RunOptions, field by field: what a session does with each."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

import tfsession

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PRELUDE = """
w = tf.Variable([1.0, 2.0], name="w")
a = tf.placeholder(tf.float32, [], name="a")
y = tf.reduce_sum(w * a + 1.0, name="y")
value = w.read_value()
config = tf.ConfigProto()
options = tf.RunOptions()


def outcome():
    with tf.Session(config=config) as s:
        s.run(w.initializer)
        return s.run([y, {"w": value}], {a: 2.0}, options=options), s.make_callable(y, [a])(3.0)
"""

# Set by the tables below, for the reasons that stand there, or by other tests.
NOT_IN_THE_TABLE = {
    "device_filters",  # test_lifetime.py
    "log_device_placement",  # test_place.py
    "graph_options.rewrite_options.auto_mixed_precision",
    "graph_options.rewrite_options.auto_parallel.enable",  # ends the process without replicas
    "graph_options.rewrite_options.custom_optimizers",
    "experimental.executor_type",
    "experimental.use_tfrt",
    "debug_options.debug_tensor_watch_opts",
}
SECTION_OF = {
    "gpu_options": "GPUOptions",
    "graph_options": "GraphOptions",
    "graph_options.optimizer_options": "OptimizerOptions",
    "graph_options.rewrite_options": "RewriterConfig",
}


def _fields(descriptor, prefix=""):
    """Each field that holds values, with its path from the outermost message."""
    for field in descriptor.fields:
        path, inner = prefix + field.name, field.message_type
        if inner is None or field.is_repeated:
            yield path, field
        else:
            yield from _fields(inner, f"{path}.")


def _statements(path, field, message):
    """What sets the field to each of a few values that are not its default."""
    target = f"{message}.{path}"
    if field.message_type is not None:
        is_map = field.message_type.GetOptions().map_entry
        return [f'{target}["X"] = 3' if is_map else f"{target}.add()"]
    if field.enum_type is not None:
        values = [value.number for value in field.enum_type.values if value.number]
    elif field.type == FieldDescriptor.TYPE_BOOL:
        values = [True]
    elif field.type == FieldDescriptor.TYPE_STRING:
        values = ["x"]
    elif field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        values = [0.5, 7.0, -1.0]
    else:
        values = [30_000, -1]
    if field.is_repeated:
        return [f"{target}.append({value!r})" for value in values]
    return [f"{target} = {value!r}" for value in values]


def _table():
    table = {}
    for name, cls in (("config", tfsession.ConfigProto), ("options", tfsession.RunOptions)):
        for path, field in _fields(cls.DESCRIPTOR):
            known = [start for start in SECTION_OF if path.startswith(f"{start}.")]
            section = SECTION_OF[max(known)] if known else cls.DESCRIPTOR.name
            is_own = path.startswith("device_options.")  # TensorFlow has no such field
            if path not in NOT_IN_THE_TABLE and not is_own:
                table.setdefault(section, []).extend(_statements(path, field, name))
    return table


FIELDS = _table()
# Values that are refused: below.
FIELDS["RunOptions"].remove("options.inter_op_thread_pool = 30000")
FIELDS["ConfigProto"].remove("config.experimental.session_metadata.version = -1")


@pytest.mark.rows("statement", FIELDS)
def test_a_field_that_changes_no_value(statement, assert_same):
    assert_same(PRELUDE, f"{statement}\nout = err(outcome)")


PROGRAMS = {
    "ConfigProto": {
        "session_metadata": """
config.experimental.session_metadata.name = "n"
config.experimental.session_metadata.version = 3
metadata = tf.RunMetadata()
tf.Session(config=config).run(w.initializer, run_metadata=metadata)
out = str(metadata.session_metadata)
""",
        "disable_output_partition_graphs": """
config.experimental.disable_output_partition_graphs = True
options.output_partition_graphs = True
out = err(outcome)
""",
        "allow_soft_placement": """
def placed(soft, device):
    with tf.Graph().as_default(), tf.device(device):
        x = tf.constant([1.0, 2.0])
        with tf.Session(config=tf.ConfigProto(allow_soft_placement=soft)) as s:
            return s.run(x)
out = {
    (soft, device): err(lambda: placed(soft, device))[0]
    for soft in (False, True)
    for device in ("/gpu:0", "/cpu:9", "/device:FOO:0", "/job:ps", "/task:1", "/cpu:0", "")
}
""",
        "device_count": """
config.device_count["CPU"] = 3
with tf.device("/cpu:2"):
    x = tf.constant(5.0, name="x")
s = tf.Session(config=config)
out = s.run(x), len(s.list_devices()), err(lambda: tf.Session().run(x))[0]
""",
        "threads": """
out = []
for field in ("inter_op_parallelism_threads", "intra_op_parallelism_threads"):
    for count in (-1, 0, 1, 2, 64):
        config.Clear()
        setattr(config, field, count)
        config.use_per_session_threads = True
        out.append(err(outcome))
""",
        "executor_type": """
out = []
for kind in ("", "DEFAULT", "SINGLE_THREADED_EXECUTOR"):
    config.experimental.executor_type = kind
    with tf.Graph().as_default():
        v = tf.Variable([1.0, 2.0], use_resource=True)
        up = v.assign_add([1.0, 1.0])
        with tf.control_dependencies([up]):
            x = v.read_value() * tf.random_uniform([], seed=1)
        with tf.Session(config=config) as s:
            out.append(s.run([v.initializer]) + s.run([x, up.op]))
""",
        "a field that is not known": """
raw = bytes([0xFA, 0x7F, 3]) + b"new"  # number 2047, a string
config.MergeFromString(raw)
out = config.SerializeToString() == raw, err(outcome)
""",
        "a cluster without tasks": """
config.cluster_def.job.add(name="worker")
out = err(outcome)
""",
        "two sessions, two configs": """
config.device_count["CPU"] = 2
s, t = tf.Session(config=config), tf.Session()
out = len(s.list_devices()), len(t.list_devices())
""",
        "an unknown executor": """
config.experimental.executor_type = "x"
out = err(outcome)
""",
        "session_metadata of a negative version": """
config.experimental.session_metadata.version = -1
kind, text = err(outcome)
out = kind, text.split(":")[0]
""",
        "session_inter_op_thread_pool": """
def through(*pools):
    config = tf.ConfigProto()
    for pool in pools:
        config.session_inter_op_thread_pool.add(**pool)
    s = tf.Session(config=config)
    s.run(w.initializer)
    terms = [tf.RunOptions(inter_op_thread_pool=i) for i in range(-3, 5)]
    found = [err(lambda: s.run(y, {a: 1.0}, pool)) for pool in terms]
    return [*found, s.run(y, {a: 1.0}), s.make_callable(y, [a])(1.0)]
one, two = {"num_threads": 1}, {"num_threads": 2}
out = {
    "none": through(),
    "one": through({}),
    "two": through(one, two),
    "three": through(one, one, two),
    "of one name": through({"global_name": "g", **one}, {"global_name": "g", **two}),
    "of one name in another session": through({"global_name": "g", "num_threads": 7}),
}
""",
        "one thread never waits for itself": """
import threading
config = tf.ConfigProto(inter_op_parallelism_threads=1, use_per_session_threads=True)
s = tf.Session(config=config)
q = tf.FIFOQueue(3, tf.float32, [[]])
put, take, found = q.enqueue([a]), q.dequeue(), []
out = [s.run([take, put], {a: 3.0})]
thread = threading.Thread(target=lambda: found.append(s.run(take)))
thread.start()
thread.join(0.1)
out += [s.run(a + 1.0, {a: 2.0}), list(found), s.run(put, {a: 4.0}), thread.join(5), found]
for pool in (-1, 0):
    out.append(s.run([take, put], {a: 3.0}, tf.RunOptions(inter_op_thread_pool=pool)))
""",
        "operation_timeout_in_ms": """
import time
q = tf.FIFOQueue(3, tf.float32, [[]])
take, put = q.dequeue(), q.enqueue([5.0])
s = tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=50))
def failed(f):
    try:
        return f()
    except tf.errors.DeadlineExceededError as error:
        return error.message, error.op, error.node_def
def after(ms):
    return tf.RunOptions(timeout_in_ms=ms)
f = s.make_callable(take, accept_options=True)
out = [
    failed(lambda: s.run(take)), failed(f), failed(s.make_callable(take, [])),
    failed(lambda: take.eval(session=s)), failed(lambda: take.op.run(session=s)),
    *(failed(lambda: s.run(take, options=after(ms))) for ms in (0, -5, 60)),
    failed(lambda: f(after(60))),
]
start = time.monotonic()
out += [failed(lambda: s.run(take, options=after(400))), time.monotonic() - start > 0.3]
out += [s.run(q.size()), s.run(put), s.run(take)]
out.append(tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=-1)).run(a + 1.0, {a: 1.0}))
""",
        "what is ignored is so in silence": """
import contextlib, io, logging, warnings
told, stream = [], io.StringIO()
handler = logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
loggers = [logging.getLogger(name) for name in ("tensorflow", "tfsession")]
config.intra_op_parallelism_threads, config.placement_period = 3, 4
config.isolate_session_state = config.share_cluster_devices_in_session = True
config.gpu_options.allocator_type = "BFC"
config.rpc_options.compression_level = 3
options.experimental.collective_graph_key = 7
for logger in loggers:
    logger.addHandler(handler)
with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        value = outcome()
for logger in loggers:
    logger.removeHandler(handler)
out = value, told, stream.getvalue(), len(warned)
""",
    },
    "GPUOptions": {
        "values that make no sense": """
out = []
for field, value in [
    ("visible_device_list", "garbage,7,7"), ("per_process_gpu_memory_fraction", -3.0),
    ("allocator_type", "x"), ("deferred_deletion_bytes", -1), ("polling_active_delay_usecs", -1),
]:
    config.Clear()
    setattr(config.gpu_options, field, value)
    out.append(err(outcome))
""",
        "virtual devices": """
config.gpu_options.per_process_gpu_memory_fraction = 7.0
config.gpu_options.experimental.virtual_devices.add(memory_limit_mb=[-1.0], priority=[3, 3])
config.gpu_options.experimental.num_virtual_devices_per_gpu = -4
out = err(outcome)
""",
    },
    "GraphOptions": {
        "infer_shapes": """
config.graph_options.infer_shapes = True
s = tf.Session(config=config)
out = {n.name: "_output_shapes" in n.attr for n in s.graph_def.node}, err(outcome)
""",
        "place_pruned_graph": """
with tf.device("/job:nowhere"):
    bad = tf.constant(1.0)
out = [err(outcome)[0]]
config.graph_options.place_pruned_graph = True
out += [err(outcome)]
""",
    },
    "OptimizerOptions": {
        "folding changes no value": """
x = tf.add(tf.constant(1.0), tf.constant(2.0), name="folded")
z = tf.identity(tf.identity(x * 3.0 + x * 3.0))
r = tf.random_uniform([], seed=1) + tf.random_uniform([], seed=1)
def values():
    s = tf.Session(config=config)
    return s.run([x, z, r, "folded:0"]), s.run(z, {x: 1.0})
out = []
for level in (0, -1):
    for off in (False, True):
        config.graph_options.optimizer_options.opt_level = level
        config.graph_options.rewrite_options.disable_meta_optimizer = off
        config.graph_options.rewrite_options.min_graph_nodes = -1
        out.append(values())
for size in (-1, 1, 10**9):
    config.graph_options.optimizer_options.max_folded_constant_in_bytes = size
    out.append(values())
""",
        "what only a shape needs does not run, but for checks": """
config.graph_options.rewrite_options.min_graph_nodes = -1
p = tf.placeholder(tf.float32, [None])
reshaped = tf.reshape(p, [2, 3])
checked = tf.check_numerics(reshaped, "bad")
s = tf.Session(config=config)
out = s.run(tf.raw_ops.Shape(input=reshaped) * 2, {p: [1.0, 2.0]})
out = out, err(lambda: s.run(tf.raw_ops.Shape(input=checked) * 2, {p: [1.0, 2.0]}))[0]
""",
        "initial values, twins, loops of constants": """
config.graph_options.rewrite_options.min_graph_nodes = -1
def body(i, v):
    return i + 1, v * (tf.constant(2.0) - 1.5) + tf.cast(tf.shape(v)[0], tf.float32)
loop = tf.while_loop(lambda i, v: i < 3, body, [0, tf.fill([2], 4.0) * 0.5])
q = tf.placeholder(tf.bool, [])
cond = tf.cond(q, lambda: tf.constant(2.0) * 3.0, lambda: -tf.negative(tf.identity(a)) * 1.0)
v = tf.get_variable("v", initializer=tf.ones([3]) * 2.0)
twice = tf.square(v) + tf.square(v)
with tf.control_dependencies([v.assign_add(tf.ones([3]))]):
    later = tf.identity(v) * 1.0
s = tf.Session(config=config)
s.run(v.initializer)
out = s.run([loop, twice]), [s.run(cond, {q: k, a: 5.0}) for k in (True, False)], s.run(later)
""",
        "nothing fails at folding": """
config.graph_options.rewrite_options.min_graph_nodes = -1
bad = tf.floordiv(tf.constant(1), tf.constant(0), name="bad")
s = tf.Session(config=config)
out = s.run(tf.constant(1) + 2), err(lambda: s.run(bad))[0]
""",
    },
    "RewriterConfig": {
        "debug_stripper": """
config.graph_options.rewrite_options.debug_stripper = 1
config.graph_options.rewrite_options.min_graph_nodes = -1
x = tf.check_numerics(tf.identity(a) / 0.0, "bad") + 1.0
with tf.control_dependencies([tf.Assert(a > 100.0, [a])]):
    z = a * 3.0
s = tf.Session(config=config)
out = err(lambda: s.run(x, {a: 1.0})), err(lambda: s.run(z, {a: 1.0}))
""",
        "all at once": """
r = config.graph_options.rewrite_options
r.min_graph_nodes = -1
out = []
for value in (0, 1, 2, 3):
    for field in r.DESCRIPTOR.fields:
        if field.enum_type and field.enum_type.name == "Toggle":
            if field.name not in ("debug_stripper", "auto_mixed_precision"):
                setattr(r, field.name, value)
    out.append(err(outcome))
""",
        "debug_stripper off": """
config.graph_options.rewrite_options.debug_stripper = 2
x = tf.check_numerics(a / 0.0, "bad")
out = err(lambda: tf.Session(config=config).run(x, {a: 1.0}))[0]
""",
        "optimizers by name": """
config.graph_options.rewrite_options.min_graph_nodes = -1
config.graph_options.rewrite_options.optimizers.extend(["constfold", "x"])
out = err(outcome)
""",
    },
    "RunOptions": {
        "a reference variable": """
s = tf.Session()
s.run(w.initializer)
out = err(lambda: s.run(w, options=options)), err(lambda: s.run([y, w], {a: 2.0}, options=options))
""",
        "inter_op_thread_pool that is not there": """
out = []
for pool in (-2, 1, 3):
    options.inter_op_thread_pool = pool
    out.append(err(outcome))
""",
        "trace_level": """
out = []
for level in range(-1, 6):
    options.trace_level = level
    out.append(err(outcome)[0])
""",
        "timeout_in_ms": """
out = []
for time in (-1, 0, 10**6, 2**40):
    options.timeout_in_ms = time
    out.append(err(outcome))
""",
        "inter_op_thread_pool": """
out = []
for pool in (-1, 0):
    options.inter_op_thread_pool = pool
    out.append(err(outcome))
""",
        "debug options that watch nothing": """
options.debug_options.global_step = 3
options.debug_options.reset_disk_byte_usage = True
out = err(outcome)
""",
        "a field that is not known": """
options.MergeFromString(bytes([0xFA, 0x7F, 3]) + b"new")
out = err(outcome), len(options.SerializeToString())
""",
        "one message for many runs": """
s, metadata = tf.Session(), tf.RunMetadata()
out = []
for level in (0, 1, 2, 3, 1, 0):
    options.trace_level = level
    s.run(a * 2.0, {a: 1.0}, options, metadata)
    out.append((len(metadata.step_stats.dev_stats), len(metadata.function_graphs)))
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)


# Not yet as in TensorFlow.


def _refused(what):
    return "UnimplementedError", f"{what} is not supported."


CHOICES = {
    "ConfigProto": [
        (
            "`cluster_def` with tasks",
            'config.cluster_def.job.add(name="w").tasks[0] = "localhost:1"; out = err(outcome)',
            _refused("A cluster_def with tasks"),
        ),
        (
            "`experimental.use_tfrt`",
            "config.experimental.use_tfrt = True; out = err(outcome)[0]",
            "ok",
        ),
        (
            "`SINGLE_THREADED_EXECUTOR`",
            """
config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
out = err(outcome)[0]
""",
            "ok",
        ),
    ],
    "RewriterConfig": [
        (
            "`rewrite_options`: `auto_mixed_precision`, `auto_parallel`",
            """
config.graph_options.rewrite_options.auto_mixed_precision = 1
out = err(outcome)
""",
            _refused("rewrite_options.auto_mixed_precision"),
        ),
        (
            "`rewrite_options`: `auto_mixed_precision`, `auto_parallel`",
            """
config.graph_options.rewrite_options.auto_parallel.enable = True
config.graph_options.rewrite_options.auto_parallel.num_replicas = 2
out = err(outcome)
""",
            _refused("rewrite_options.auto_parallel"),
        ),
        (
            "`rewrite_options.custom_optimizers`",
            """
config.graph_options.rewrite_options.custom_optimizers.add(name="x")
out = err(outcome)
""",
            ("NotFoundError", "No custom optimizer is called 'x'."),
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_a_difference_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
