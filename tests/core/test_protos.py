import copy
import pickle
import re
import subprocess
import sys
from importlib import resources

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tfsession.core import protos


def node_def():
    node = protos.NodeDef(name="add", op="Add", input=["a", "b:1", "^c"], device="/cpu:0")
    node.attr["T"].type = protos.DT_FLOAT
    node.attr["shapes"].list.shape.add().dim.add(size=-1, name="batch")
    node.attr["f"].func.name = "body"
    node.attr["value"].tensor.CopyFrom(
        protos.TensorProto(dtype=protos.DT_STRING, string_val=[b"\x00\xff"])
    )
    return node


def graph_def():
    graph = protos.GraphDef(node=[node_def()], versions=protos.VersionDef(producer=2000))
    graph.library.function.add().arg_attr[3].attr["x"].b = True
    graph.debug_info.traces_by_id[7].frame_id.extend([1, 2**63])
    return graph


def config():
    message = protos.ConfigProto(device_count={"CPU": 2}, allow_soft_placement=True)
    message.gpu_options.experimental.virtual_devices.add(memory_limit_mb=[1.5, 2.5])
    message.graph_options.optimizer_options.opt_level = protos.OptimizerOptions.L0
    message.graph_options.rewrite_options.constant_folding = protos.RewriterConfig.OFF
    message.experimental.session_metadata.version = 3
    message.cluster_def.job.add(name="worker").tasks[0] = "first"
    return message


def run_metadata():
    message = protos.RunMetadata(partition_graphs=[graph_def()])
    device = message.step_stats.dev_stats.add(device="/device:CPU:0", thread_names={1: "main"})
    output = device.node_stats.add(node_name="add", all_start_micros=2**60).output.add(slot=1)
    output.tensor_description.shape.dim.add(size=3)
    message.cost_graph.node.add(id=4).output_info.add(alias_input_port=-1)
    return message


def meta_graph():
    message = protos.MetaGraphDef(graph_def=graph_def())
    message.meta_info_def.any_info.Pack(protos.VersionDef(producer=5))
    message.collection_def["losses"].node_list.value.append("loss:0")
    message.signature_def["serve"].inputs["x"].name = "x:0"
    message.object_graph_def.nodes.add().variable.trainable = True
    return message


SAMPLES = [
    node_def(),
    graph_def(),
    config(),
    run_metadata(),
    meta_graph(),
    protos.RunOptions(trace_level=protos.RunOptions.FULL_TRACE),
    protos.Event(summary=protos.Summary(value=[protos.Summary.Value(simple_value=0.5)])),
    protos.BundleEntryProto(crc32c=0xFFFFFFFF, slices=[protos.TensorSliceProto()]),
    # Nested messages stand on their own too.
    config().experimental,
    node_def().attr["shapes"].list,
    run_metadata().cost_graph.node[0].output_info[0],
]
NAMES = [type(sample).__qualname__ for sample in SAMPLES]


def copied(message):
    made = type(message)()
    made.CopyFrom(message)
    made.CopyFrom(made)
    return made


def descriptor_set():
    data = resources.files("tfsession.core.protos").joinpath("descriptors.binpb").read_bytes()
    return descriptor_pb2.FileDescriptorSet.FromString(data)


def classes(descriptor, cls):
    yield descriptor, cls
    for name, nested in descriptor.nested_types_by_name.items():
        yield from classes(nested, getattr(cls, name))


def all_classes():
    for file in descriptor_set().file:
        if not file.name.startswith("google/"):
            for message in file.message_type:
                cls = getattr(protos, message.name)
                yield from classes(cls.DESCRIPTOR, cls)


def foreign(package):
    """Return VersionDef as another package would have it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="foreign.proto", package=package, syntax="proto3"
    )
    message = file.message_type.add(name="VersionDef")
    message.field.add(name="producer", number=1, type="TYPE_INT32", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName(f"{package}.VersionDef")
    return message_factory.GetMessageClass(found)


@pytest.mark.parametrize("message", SAMPLES, ids=NAMES)
@pytest.mark.parametrize(
    "duplicate",
    [
        lambda m: type(m).FromString(m.SerializeToString()),
        lambda m: pickle.loads(pickle.dumps(m)),
        copy.copy,
        copy.deepcopy,
        copied,
    ],
    ids=["bytes", "pickle", "copy", "deepcopy", "CopyFrom"],
)
def test_round_trips(message, duplicate):
    again = duplicate(message)
    assert type(again) is type(message)
    assert again is not message
    assert again == message
    assert message.ByteSize() > 0


def test_a_copy_takes_the_place_of_what_was_there():
    place = meta_graph()
    place.graph_def.CopyFrom(protos.GraphDef())
    assert place.HasField("graph_def")
    assert not place.graph_def.node
    with pytest.raises(TypeError):
        place.CopyFrom(graph_def())
    assert place.collection_def["losses"].node_list.value == ["loss:0"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited by Linux")
def test_without_room_messages_raise_errors():
    """Left to itself protobuf ends the process, or leaves values out."""
    script = """if True:
        import copy, resource
        import numpy as np
        from google.protobuf.message import EncodeError
        from tfsession.core import protos
        from tfsession.core.tensor_proto import array_to_proto, content_proto
        numbers = np.ones(24 << 20, np.int32)
        message = array_to_proto(numbers)
        texts = np.array([b"x" * 1000] * (100 << 10), object)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        for make in (
            lambda: array_to_proto(numbers),
            lambda: content_proto(texts, texts_as_content=True),
            lambda: array_to_proto(texts),
            lambda: protos.TensorProto().CopyFrom(message),
            lambda: copy.deepcopy(message),
            lambda: protos.AttrValue(tensor=message),
            lambda: array_to_proto(np.ones(24 << 20, np.uint16)),
        ):
            try:
                make()
                print("made")
            except (MemoryError, EncodeError):
                print("no room")
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no room\n" * 7


def test_pickle_in_another_process():
    script = (
        "import pickle, sys; m = pickle.load(sys.stdin.buffer); print(type(m).__qualname__, m.size)"
    )
    dim = protos.TensorShapeProto.Dim(size=12)
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(dim), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"TensorShapeProto.Dim", b"12"]


def test_every_class_is_reachable_under_its_own_name():
    found = list(all_classes())
    assert len(found) > 150
    for descriptor, cls in found:
        assert cls.DESCRIPTOR is descriptor
        assert descriptor.full_name == f"{descriptor.file.package}.{cls.__qualname__}"
        assert pickle.loads(pickle.dumps(cls)) is cls
        assert type(pickle.loads(pickle.dumps(cls()))) is cls


def test_a_fields_message_has_the_exported_class():
    assert type(protos.ConfigProto().experimental) is protos.ConfigProto.Experimental
    assert type(node_def().attr["shapes"].list) is protos.AttrValue.ListValue


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (protos.DT_INVALID, 0),
        (protos.DT_FLOAT, 1),
        (protos.DT_STRING_REF, 107),
        (protos.DT_FLOAT4_E2M1FN, 33),
        (protos.DataType.Value("DT_RESOURCE"), 20),
        (protos.RunOptions.FULL_TRACE, 3),
        (protos.RunOptions.TraceLevel.Value("HARDWARE_TRACE"), 2),
        (protos.OptimizerOptions.L0, -1),
        (protos.RewriterConfig.AGGRESSIVE, 3),
        (protos.SaverDef.V2, 2),
        (protos.VARIABLE_AGGREGATION_MEAN, 2),
        (protos.BundleHeaderProto.BIG, 1),
        (protos.Code.Value("OUT_OF_RANGE"), 11),
    ],
)
def test_enum_values(value, number):
    assert type(value) is int
    assert value == number


def test_enum_names():
    assert protos.DataType.Name(14) == "DT_BFLOAT16"
    assert protos.RunOptions.TraceLevel.Name(1) == "SOFTWARE_TRACE"


def test_unknown_fields_survive():
    known = protos.VersionDef(producer=1).SerializeToString()
    unknown = b"\xca\x3e\x05later"  # field 1001, bytes
    data = protos.VersionDef.FromString(known + unknown).SerializeToString()
    assert data == known + unknown
    graph = protos.GraphDef.FromString(b"\x22" + bytes([len(data)]) + data)
    assert unknown in graph.SerializeToString()


def test_unknown_enum_values_survive():
    options = protos.RunOptions(trace_level=99)
    assert protos.RunOptions.FromString(options.SerializeToString()).trace_level == 99


def test_coerce_returns_our_own_message_itself():
    message = config()
    assert protos.coerce(message, protos.ConfigProto) is message


@pytest.mark.parametrize("package", ["tensorflow", "tensorboard", "some.where"])
def test_coerce_parses_the_same_message_of_another_package(package):
    message = foreign(package)(producer=7)
    assert not isinstance(message, protos.VersionDef)
    ours = protos.coerce(message, protos.VersionDef)
    assert type(ours) is protos.VersionDef
    assert ours.producer == 7


@pytest.mark.parametrize(
    "message",
    [
        None,
        3,
        b"\x08\x01",
        protos.RunOptions(),
        protos.ConfigProto,
        protos.ConfigProto.Experimental(),
        foreign("tensorboard")(producer=1),
    ],
)
def test_coerce_refuses_anything_else(message):
    with pytest.raises(TypeError, match="Expected a ConfigProto message, but got <class"):
        protos.coerce(message, protos.ConfigProto)


def test_coerce_tells_nested_messages_apart():
    with pytest.raises(TypeError, match=r"Expected a ConfigProto\.Experimental message"):
        protos.coerce(protos.RunOptions.Experimental(), protos.ConfigProto.Experimental)


def test_unknown_names():
    with pytest.raises(AttributeError, match=r"tfsession\.core\.protos.*NoSuchDef"):
        _ = protos.NoSuchDef


def test_dir_lists_the_messages():
    assert {"GraphDef", "DT_FLOAT", "DataType", "coerce"} <= set(dir(protos))


def test_our_messages_stay_out_of_the_default_pool():
    pool = protos.GraphDef.DESCRIPTOR.file.pool
    assert pool is not descriptor_pool.Default()
    assert pool.FindMessageTypeByName("tensorflow.GraphDef") is protos.GraphDef.DESCRIPTOR


LAZY = """
import sys, inspect
from tfsession.core import protos
assert not hasattr(protos, "__wrapped__")
inspect.unwrap(protos)
loaded = [name for name in sys.modules if name.startswith("google.protobuf")]
assert not loaded, loaded
"""


def test_import_does_not_load_protobuf():
    subprocess.run([sys.executable, "-c", LAZY + "protos.GraphDef()"], check=True)


CONCURRENT = """
import threading
from tfsession.core import protos
start, found = threading.Barrier(8), []
def first_use():
    start.wait()
    found.append(protos.GraphDef)
threads = [threading.Thread(target=first_use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8 and len(set(found)) == 1, found
"""


def test_concurrent_first_use_gives_one_set_of_classes():
    subprocess.run([sys.executable, "-c", CONCURRENT], check=True)


def numbers(descriptor):
    """Yield the name and number of everything numbered in a message or enum descriptor."""
    if isinstance(descriptor, descriptor_pb2.EnumDescriptorProto):
        yield from ((value.name, value.number) for value in descriptor.value)
        return
    yield from ((field.name, field.number) for field in descriptor.field)
    for enum in descriptor.enum_type:
        yield from numbers(enum)
    for nested in descriptor.nested_type:
        if not nested.options.map_entry:
            yield from numbers(nested)


@pytest.mark.parametrize(
    "file",
    [f for f in descriptor_set().file if not f.name.startswith("google/")],
    ids=lambda file: file.name,
)
def test_descriptors_are_in_step_with_the_sources(file):
    text = resources.files("tfsession.core.protos").joinpath(file.name).read_text("utf-8")
    written = re.findall(r"(\w+) = (-?\d+)\s*[;\[]", text)
    expected = [pair for kind in (*file.message_type, *file.enum_type) for pair in numbers(kind)]
    assert sorted((name, int(number)) for name, number in written) == sorted(expected)


def test_every_source_is_compiled():
    sources = resources.files("tfsession.core.protos").iterdir()
    assert {source.name for source in sources if source.name.endswith(".proto")} == {
        file.name for file in descriptor_set().file if not file.name.startswith("google/")
    }
