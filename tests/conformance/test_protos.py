"""Our messages against TensorFlow's: the same fields, the same bytes, one process."""

import importlib
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from tfsession.core import protos

pytestmark = [pytest.mark.oracle, pytest.mark.spec("4")]

# Declared by TensorFlow in modules that it does not import by itself.
NOT_IMPORTED = [
    "tensorflow.core.example.example_parser_configuration_pb2",
    "tensorflow.core.framework.reader_base_pb2",
    "tensorflow.core.framework.tensor_slice_pb2",
    "tensorflow.core.protobuf.named_tensor_pb2",
    "tensorflow.core.protobuf.tensor_bundle_pb2",
    "tensorflow.core.util.saved_tensor_slice_pb2",
]

# What only tfsession has, at numbers that TensorFlow does not use.
OWN_MESSAGES = {
    "tensorflow.DeviceOptions",
    # Examples with their parts left as bytes, to be read by other means.
    *("tensorflow.ExampleParts", "tensorflow.FeaturesParts", "tensorflow.FeaturePart"),
    *("tensorflow.SequenceExampleParts", "tensorflow.FeatureListParts"),
    # TensorBoard's: tests/contrib/test_projector.py has it read them.
    *("tensorflow.ProjectorConfig", "tensorflow.EmbeddingInfo", "tensorflow.SpriteMetadata"),
}
OWN_FIELDS = {("tensorflow.ConfigProto", "device_options")}

# Public in TensorFlow's compat.v1 and not here, with the reason.
LEFT_OUT = {
    "tensorflow.quantization.": "options of TensorFlow 2's own quantizer of SavedModels",
}


def ours():
    """Return the descriptors of our top-level messages and enums by full name."""
    exported = [getattr(protos, name) for name in dir(protos)]
    found = [value.DESCRIPTOR for value in exported if hasattr(value, "DESCRIPTOR")]
    return {descriptor.full_name: descriptor for descriptor in found}


OURS = ours()


@pytest.fixture(scope="module")
def theirs(tf):
    """Find a descriptor of TensorFlow's by full name."""
    for module in NOT_IMPORTED:
        importlib.import_module(module)
    pool = descriptor_pool.Default()

    def find(descriptor):
        assert descriptor.file.pool is not pool
        if hasattr(descriptor, "fields"):
            return pool.FindMessageTypeByName(descriptor.full_name)
        return pool.FindEnumTypeByName(descriptor.full_name)

    return find


def described(descriptor):
    """Return all that a descriptor says about its names and bytes, whatever the order written."""
    if not hasattr(descriptor, "fields"):
        return {name: value.number for name, value in descriptor.values_by_name.items()}
    nested = (*descriptor.nested_types, *descriptor.enum_types)
    return {
        "fields": {
            field.name: described_field(field)
            for field in descriptor.fields
            if (descriptor.full_name, field.name) not in OWN_FIELDS
        },
        "nested": {inner.name: described(inner) for inner in nested},
        "map_entry": descriptor.GetOptions().map_entry,
    }


def described_field(field):
    kind = field.message_type or field.enum_type
    group = field.containing_oneof
    return {
        "number": field.number,
        "type": (field.type, kind and kind.full_name),
        "label": (field.is_repeated, field.is_required),
        "oneof": group and group.name,
        "presence": field.has_presence,
        "packed": field.is_packed,
        "default": None if field.is_repeated or field.message_type else field.default_value,
        "deprecated": field.GetOptions().deprecated,
        "json_name": field.json_name,
    }


@pytest.mark.parametrize("name", sorted(OURS.keys() - OWN_MESSAGES))
def test_declared_as_in_tensorflow(name, theirs):
    assert described(OURS[name]) == described(theirs(OURS[name]))


@pytest.mark.spec()  # none
def test_the_comparison_sees_fields_and_enums():
    config = described(OURS["tensorflow.ConfigProto"])
    assert config["fields"]["graph_options"]["number"] == 10
    assert config["nested"]["Experimental"]["fields"]["use_tfrt"]["number"] == 18
    assert described(OURS["tensorflow.DataType"])["DT_HALF"] == 19


@pytest.mark.spec()  # none
def test_what_is_our_own_passes_through_tensorflow(tf):
    own = protos.ConfigProto(device_options={"simulated_gpus": "2", "memory_limits": {"/cpu": "1"}})
    theirs = tf.ConfigProto.FromString(own.SerializeToString())
    assert protos.coerce(theirs, protos.ConfigProto) == own


def test_no_public_message_is_missing(tf):
    public = {
        value.DESCRIPTOR.full_name
        for name, module in list(sys.modules.items())
        if name.startswith("tensorflow._api.v2.compat.v1")
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Message)
    }
    assert len(public) > 30
    missing = {name for name in public if name not in OURS}
    assert {name for name in missing if not name.startswith(tuple(LEFT_OUT))} == set()
    for prefix in LEFT_OUT:
        assert any(name.startswith(prefix) for name in missing), f"{prefix} needs no exception"


def small_graph(tf):
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, 3], name="x")
        weights = tf.Variable(tf.ones([3, 2]), name="w")
        y = tf.nn.softmax(tf.matmul(x, weights), name="y")
        tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)], name="loop")
        tf.train.Saver()
        tf.add_to_collection("outputs", y)
    return graph


def sample_graph_def(tf):
    return small_graph(tf).as_graph_def(add_shapes=True)


def sample_meta_graph(tf):
    graph = small_graph(tf)
    return tf.train.export_meta_graph(graph=graph)


def sample_config(tf):
    message = tf.ConfigProto(device_count={"CPU": 2, "GPU": 0}, allow_soft_placement=True)
    message.gpu_options.experimental.virtual_devices.add(memory_limit_mb=[1.5, 2.5])
    message.gpu_options.per_process_gpu_memory_fraction = 0.3
    message.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    message.graph_options.rewrite_options.custom_optimizers.add(name="o").parameter_map[
        "k"
    ].list.i.extend([1, -1, 2**40])
    message.session_inter_op_thread_pool.add(num_threads=-1, global_name="g")
    message.experimental.coordination_config.coordinated_job_list.add(name="j", num_tasks=2)
    message.cluster_def.job.add(name="worker").tasks[0] = "first"
    return message


def sample_run_metadata(tf):
    graph = small_graph(tf)
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE, output_partition_graphs=True)
    config = tf.ConfigProto(graph_options=tf.GraphOptions(build_cost_model=1))
    metadata = tf.RunMetadata()
    with tf.Session(graph=graph, config=config) as session:
        session.run(graph.get_operation_by_name("w/Assign"))
        session.run("y:0", {"x:0": [[1, 2, 3]]}, options=options, run_metadata=metadata)
    assert metadata.step_stats.dev_stats
    assert metadata.partition_graphs
    assert metadata.cost_graph.node
    return metadata


def sample_event(tf):
    value = tf.Summary.Value(tag="t", histo=tf.HistogramProto(min=-1, bucket=[1, 2]))
    return tf.Event(wall_time=1.5, step=2, summary=tf.Summary(value=[value]))


def sample_example(tf):
    features = tf.train.Features()
    features.feature["a"].float_list.value.extend([1.5, 2.5])
    features.feature["b"].bytes_list.value.append(b"\xff")
    return tf.train.Example(features=features)


@pytest.mark.parametrize(
    "sample",
    [
        sample_graph_def,
        sample_meta_graph,
        sample_config,
        sample_run_metadata,
        sample_event,
        sample_example,
    ],
)
def test_bytes_interchange(tf, sample):
    real = sample(tf)
    data = real.SerializeToString(deterministic=True)
    assert len(data) > 10
    cls = getattr(protos, type(real).__name__)
    message = cls.FromString(data)
    assert message.SerializeToString(deterministic=True) == data
    assert type(real).FromString(message.SerializeToString()) == real
    assert [field.name for field, _ in message.ListFields()] == [
        field.name for field, _ in real.ListFields()
    ]
    # Unknown fields would stand in the text as bare numbers.
    assert str(message) == str(real)


def test_coerce_takes_tensorflows_messages(tf):
    config = protos.coerce(tf.ConfigProto(log_device_placement=True), protos.ConfigProto)
    assert type(config) is protos.ConfigProto
    assert config.log_device_placement
    with pytest.raises(TypeError, match="Expected a ConfigProto message"):
        protos.coerce(tf.RunOptions(), protos.ConfigProto)


TOGETHER = """
import pickle
{imports}
tf.disable_v2_behavior()
ours, real = protos.GraphDef, tf.GraphDef
assert ours is not real
assert ours.DESCRIPTOR.full_name == real.DESCRIPTOR.full_name == "tensorflow.GraphDef"
x = tf.constant(2) * 3
graph = ours.FromString(x.graph.as_graph_def().SerializeToString())
assert [node.op for node in graph.node] == ["Const", "Const", "Mul"], graph
assert tf.Session().run(x) == 6
for package in (protos, tf):
    message = package.AttrValue(list=package.AttrValue.ListValue(i=[1, 2]))
    assert type(pickle.loads(pickle.dumps(message))) is package.AttrValue
nested = protos.AttrValue.ListValue(i=[1, 2])
assert type(pickle.loads(pickle.dumps(nested))) is protos.AttrValue.ListValue
print("passed")
"""
OURS_FIRST = "from tfsession.core import protos; protos.GraphDef"
REAL_FIRST = "import tensorflow.compat.v1 as tf"


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports", [f"{OURS_FIRST}\n{REAL_FIRST}", f"{REAL_FIRST}\n{OURS_FIRST}"], ids=["ours", "real"]
)
def test_imports_in_either_order(tf, imports):
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER.format(imports=imports)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "passed\n", done.stderr
