"""`tfsession inspect`: all kinds of files by what they are, tables, filters, JSON, errors."""

import json
import random
import shutil
import sys

import numpy as np
import pytest
from google.protobuf import text_format

import tfsession as tf
from tfsession.checkpoint.weights import WRITERS, KeptWeights
from tfsession.cli.main import main
from tfsession.core import protos
from tfsession.core.records import RecordWriter


def model():
    """A small network with what graphs hold: a partitioned variable, a summary, a constant."""
    x = tf.placeholder(tf.float32, [None, 4], name="x")
    w = tf.get_variable("w", [4, 2])
    p = tf.get_variable("p", [6, 2], partitioner=tf.fixed_size_partitioner(3))
    step = tf.Variable(0, trainable=False, name="step")
    big = tf.constant(np.full([6, 400], 0.5, np.float32), name="big")
    y = tf.nn.softmax(
        tf.matmul(x, w) + tf.reduce_sum(tf.matmul(big, p, transpose_a=True)), name="y"
    )
    tf.summary.scalar("loss", tf.reduce_mean(y, name="loss_value"))
    with tf.device("/gpu:1"):
        tf.add(tf.cast(step, tf.float32), 1.0, name="next")
    return x, y


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with one file of each kind, of one model."""
    folder = tmp_path_factory.mktemp("inspected")
    with tf.Graph().as_default() as graph, tf.Session() as session:
        x, y = model()
        merged = tf.summary.merge_all()
        session.run(tf.global_variables_initializer())
        tf.train.write_graph(graph, folder, "graph.pb", as_text=False)
        tf.train.write_graph(graph, folder, "graph.pbtxt")
        tf.train.Saver().save(session, str(folder / "v2/model"), 7)
        (folder / "v1").mkdir()
        tf.train.Saver(write_version=tf.train.SaverDef.V1).save(session, str(folder / "v1/model"))
        tf.saved_model.simple_save(session, folder / "saved", {"x": x}, {"y": y})
        with tf.summary.FileWriter(folder / "events", graph) as writer:
            writer.add_summary(session.run(merged, {x: np.ones([1, 4])}), 3)
            writer.add_summary(session.run(merged, {x: np.ones([1, 4])}), 5)
    return folder


@pytest.fixture
def inspect(capsys):
    """What `tfsession inspect ARGS` prints, (stdout, stderr); fails unless it gives `code`."""

    def inspect(*args, code=0):
        assert main(["inspect", *map(str, args)]) == code
        return capsys.readouterr()

    return inspect


@pytest.fixture
def found(inspect):
    """The JSON of `tfsession inspect ARGS`."""
    return lambda *args: json.loads(inspect(*args, "--json").out)


TENSORS = [
    {"name": "p", "dtype": "float32", "shape": [6, 2], "bytes": 48, "parts": 3},
    {"name": "step", "dtype": "int32", "shape": [], "bytes": 4, "parts": None},
    {"name": "w", "dtype": "float32", "shape": [4, 2], "bytes": 32, "parts": None},
]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("v2/model-7", "checkpoint V2"),
        ("v2/model-7.index", "checkpoint V2"),
        ("v2/model-7.data-00000-of-00001", "checkpoint V2"),
        ("v2", "checkpoint V2"),
        ("v2/checkpoint", "checkpoint V2"),
        ("v1/model", "checkpoint V1"),
        ("v1", "checkpoint V1"),
        ("saved/variables", "checkpoint V2"),
    ],
)
def test_checkpoints(found, files, name, kind):
    told = found(files / name)
    assert (told["schema_version"], told["kind"], told["notes"]) == (1, kind, [])
    assert (told["tensors"], told["bytes"], told["elements"]) == (TENSORS, 84, 21)


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_files_of_arrays(found, tmp_path, kind):
    WRITERS[kind](str(tmp_path / "anything"), KeptWeights({"a/b": np.zeros([2, 3], np.float16)}))
    told = found(tmp_path / "anything")
    assert told["kind"] == kind
    row = {"name": "a/b", "dtype": "float16", "shape": [2, 3], "bytes": 12, "parts": None}
    assert told["tensors"] == [row]


def test_only_the_index_is_read(found, files, tmp_path):
    shutil.copy(files / "v2/model-7.index", tmp_path / "model.index")
    told = found(tmp_path / "model.index")
    assert told["tensors"] == TENSORS
    assert told["notes"] == [f"{tmp_path}/model.data-00000-of-00001 is missing"]


@pytest.mark.parametrize("name", ["graph.pb", "graph.pbtxt", "copy.of.graph"])
def test_graphs(found, files, tmp_path, name):
    path = files / name
    if not path.exists():
        path = shutil.copy(files / "graph.pb", tmp_path / name)
    told = found(path)
    assert told["kind"] == "GraphDef"
    assert told["nodes"] == sum(row["nodes"] for row in told["ops"]) > 30
    assert told["placeholders"] == [{"name": "x", "dtype": "float32", "shape": [None, 4]}]
    outputs = [row["name"] for row in told["likely_outputs"]]
    assert outputs == ["loss_value", "next"]
    variables = {row["name"]: (row["shape"], row["bytes"]) for row in told["variables"]}
    assert variables == {"w": ([4, 2], 32), "step": ([], 4)} | {
        f"p/part_{i}": ([2, 2], 16) for i in range(3)
    }
    assert told["constants"] == [
        {"name": "big", "dtype": "float32", "shape": [6, 400], "bytes": 9600, "file": None}
    ]
    assert told["devices"] == [{"device": "/device:GPU:1", "nodes": 3}]
    assert told["lacking_ops"] == []
    assert told["producer"] == 2474


def test_a_meta_graph(found, files):
    told = found(files / "v2/model-7.meta")
    assert (told["kind"], told["tensorflow"]) == ("MetaGraphDef", "2.21.0")
    assert told["saver"] == "version 2, restored by save/restore_all"
    trainable = {row["name"]: row["trainable"] for row in told["variables"]}
    assert trainable == {"w": True, "step": False} | {f"p/part_{i}": True for i in range(3)}
    collections = {row["name"]: row["items"] for row in told["collections"]}
    assert collections == {"summaries": 1, "trainable_variables": 4, "variables": 5}
    assert [row["name"] for row in told["placeholders"]] == ["x"]


def test_a_saved_model(found, files, inspect):
    told = found(files / "saved")
    assert found(files / "saved/saved_model.pb")["parts"][0] == told["parts"][0]
    graph, variables = told["parts"]
    assert (told["kind"], graph["tags"]) == ("SavedModel", ["serve"])
    assert variables["tensors"] == TENSORS
    (x, y) = graph["signatures"]
    assert x == {
        "signature": "serving_default", "side": "input", "key": "x", "tensor": "x:0",
        "dtype": "float32", "shape": [None, 4], "method": "tensorflow/serving/predict",
    }  # fmt: skip
    assert (y["side"], y["tensor"], y["shape"]) == ("output", "y:0", [None, 2])
    assert "Part 2 of 2: checkpoint V2" in inspect(files / "saved").out


def test_events(found, files, inspect):
    (path,) = (files / "events").iterdir()
    told = found(path)
    assert (told["kind"], told["version"], told["events"]) == ("event file", "brain.Event:2", 5)
    (tag,) = told["tags"]
    assert tag == {
        "tag": "loss", "kind": "scalar", "events": 2, "first_step": 3, "last_step": 5,
        "last_value": pytest.approx(0.5),
    }  # fmt: skip
    others = {row["kind"] for row in told["other_events"]}
    assert others == {"file_version", "graph_def", "meta_graph_def"}
    cut = files / "cut"
    cut.write_bytes(path.read_bytes()[:-5])
    assert "Not readable after 4 events: truncated record" in inspect(cut).out


def test_text(inspect, files):
    assert inspect(files / "v2").out == (
        f"{files}/v2: checkpoint V2\n"
        "Tensors: 3\n"
        "Elements: 21\n"
        "Bytes: 84\n"
        "Data files: 1\n"
        "\n"
        "Tensors (3):\n"
        "Name  Dtype    Shape  Size  Parts\n"
        "p     float32  [6,2]  48 B      3\n"
        "step  int32    []      4 B      -\n"
        "w     float32  [4,2]  32 B      -\n"
    )


def test_filters_and_nodes(inspect, found, files):
    told = found(files / "graph.pb", "--nodes", "--match", "p/part_1*")
    assert {row["name"] for row in told["nodes_by_name"]} >= {"p/part_1", "p/part_1/read"}
    assert all(row["name"].startswith("p/part_1") for row in told["nodes_by_name"])
    assert [row["name"] for row in told["variables"]] == ["p/part_1"]
    (read,) = [row for row in told["nodes_by_name"] if row["name"] == "p/part_1/read"]
    assert read == {
        "name": "p/part_1/read",
        "op": "Identity",
        "inputs": ["p/part_1"],
        "device": None,
    }
    assert "nodes_by_name" not in found(files / "graph.pb")
    assert "Variables (2 of 5):" in inspect(files / "graph.pb", "--match", "w", "--match", "s*").out


def test_statistics(found, tmp_path):
    arrays = {
        "a": np.array([1, 2, np.nan, np.inf], np.float32),
        "b": np.array([True, False]),
        "c": np.array([2**62, -(2**62)]),
        "nothing": np.zeros(0),
        "text": np.array([b"x"], object),
    }
    WRITERS["v2"](str(tmp_path / "m"), KeptWeights(arrays))
    keys = ("min", "max", "mean", "nan", "infinite")
    told = {
        r["name"]: tuple(r[k] for k in keys)
        for r in found(tmp_path / "m", "--statistics")["tensors"]
    }
    assert told == {
        "a": (1.0, 2.0, 1.5, 1, 1),
        "b": (False, True, 0.5, 0, 0),
        "c": (-(2**62), 2**62, 0.0, 0, 0),
        "nothing": (None, None, None, 0, 0),
        "text": (None,) * 5,
    }


def test_statistics_of_constants(found, files):
    (big,) = found(files / "graph.pb", "--statistics")["constants"]
    assert (big["min"], big["max"], big["mean"], big["nan"]) == (0.5, 0.5, 0.5, 0)
    told = found(files / "saved", "--statistics")["parts"]
    assert told[0]["constants"] == [big]
    assert all(row["nan"] == 0 for row in told[1]["tensors"])


def test_what_is_lacking(found, inspect, tmp_path):
    graph = protos.GraphDef()
    graph.node.add(name="a", op="NobodysOp")
    function = graph.library.function.add()
    function.signature.name = "f"
    for name, op in (("b", "NobodysOp"), ("c", "Neg"), ("d", "f")):
        function.node_def.add(name=name, op=op)
    graph.node.add(name="e", op="f", input=["a"])
    (tmp_path / "g").write_bytes(graph.SerializeToString())
    told = found(tmp_path / "g")
    assert told["lacking_ops"] == [{"op": "NobodysOp", "nodes": 2}]
    assert told["functions"] == [{"name": "f", "nodes": 3, "inputs": [], "outputs": []}]
    assert told["nodes_in_functions"] == 3
    assert "Types that tfsession lacks (1):\nType       Nodes\nNobodysOp      2\n" in (
        inspect(tmp_path / "g").out
    )


def test_objects(found, tmp_path):
    """What TensorFlow 2 has saved: only listed."""
    graph = protos.TrackableObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="v")
    graph.nodes.add().attributes.add(
        name="VARIABLE_VALUE", full_name="v", checkpoint_key="v/.ATTRIBUTES/VARIABLE_VALUE"
    )
    arrays = {
        "v/.ATTRIBUTES/VARIABLE_VALUE": np.zeros(2),
        "_CHECKPOINTABLE_OBJECT_GRAPH": np.array(graph.SerializeToString(), object),
    }
    WRITERS["v2"](str(tmp_path / "m"), KeptWeights(arrays))
    told = found(tmp_path / "m")
    key = "v/.ATTRIBUTES/VARIABLE_VALUE"
    assert told["objects"] == [{"key": key, "variable": "v", "object": 1}]
    model = protos.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    meta.graph_def.node.add(name="a", op="NoOp")
    meta.object_graph_def.nodes.add().user_object.identifier = "_generic_user_object"
    meta.object_graph_def.nodes.add().variable.name = "v"
    meta.object_graph_def.nodes[0].children.add(node_id=1, local_name="v")
    (tmp_path / "saved_model.pbtxt").write_text(text_format.MessageToString(model))
    (part,) = found(tmp_path)["parts"]
    first, second = part["objects"]
    assert (first["what"], first["children"]) == ("_generic_user_object", ["v"])
    assert second["kind"] == "variable"


def records(*data):
    def write(path):
        with RecordWriter(path) as writer:
            for one in data:
                writer.write(one)

    return write


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 32)


BROKEN = {
    "nothing": (lambda path: None, "no such file, directory or checkpoint"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "bytes": (lambda path: path.write_bytes(bytes(range(256))), "no GraphDef, MetaGraphDef"),
    "prose": (lambda path: path.write_text("hello"), "it seems to be text, but"),
    "deep": (lambda path: path.write_bytes(b"\x12\x7f" * 9000), "no GraphDef, MetaGraphDef"),
    "records": (records(b"x"), "a file of records (TFRecord), but not of events"),
    "huge": (sparse, "it has 2 GB or more, and no message of a graph has"),
    "folder": (lambda path: path.mkdir(), "neither a saved_model.pb nor a file `checkpoint`"),
    "safetensors": (lambda path: path.write_bytes(b"\xff" * 8 + b"{}"), ""),
    "npz": (lambda path: path.write_bytes(b"PK\x03\x04"), "is no npz file"),
    "table": (
        lambda path: path.write_bytes(bytes(90) + bytes.fromhex("57fb808b247547db")),
        "Unable to open table file",
    ),
}


@pytest.mark.parametrize(("make", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_files(inspect, tmp_path, make, told):
    path = tmp_path / "file"
    make(path)
    out, err = inspect(path, code=2)
    assert out == ""
    assert err.startswith(f"tfsession: {path} cannot be read: ")
    assert err.count("\n") == 1
    assert told in err


def test_whatever_stands_there_is_told_or_shown(files, tmp_path):
    """Bits turned over, bytes lost and put in: no other end than these two."""
    chance = random.Random(3)
    (events,) = (files / "events").iterdir()
    names = ["graph.pb", "graph.pbtxt", "saved/saved_model.pb", "v1/model", "v2/model-7.index"]
    good = [(files / name).read_bytes() for name in names] + [events.read_bytes()]
    codes = set()
    for number in range(120):
        data = bytearray(good[number % len(good)])
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 9))
        (tmp_path / "m.index").write_bytes(data)
        codes.add(main(["inspect", str(tmp_path / "m.index"), "--nodes", "--statistics"]))
    assert codes == {0, 2}


def test_damaged_checkpoints(inspect, files, tmp_path):
    index = bytearray((files / "v2/model-7.index").read_bytes())
    index[20] ^= 1
    (tmp_path / "m.index").write_bytes(index)
    assert "block checksum mismatch" in inspect(tmp_path / "m", code=2).err
    shutil.copy(files / "v2/model-7.index", tmp_path / "m.index")
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(84))
    inspect(tmp_path / "m")
    assert "Checksum does not match" in inspect(tmp_path / "m", "--statistics", code=2).err


def test_a_long_table_is_cut_at_a_terminal(inspect, tmp_path, monkeypatch):
    nodes = "".join(f"node {{ name: 'n{i}' op: 'NoOp' }}" for i in range(100))
    (tmp_path / "g").write_text(nodes)
    assert "n99" in inspect(tmp_path / "g", "--nodes").out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = inspect(tmp_path / "g", "--nodes").out
    assert "... 40 more: --all shows all" in out
    assert "n99" not in out
    assert "n99" in inspect(tmp_path / "g", "--nodes", "--all").out


def test_nothing_steers_the_terminal(inspect, tmp_path):
    graph = protos.GraphDef()
    graph.node.add(name="\x1b[2Ja", op="NoOp")
    (tmp_path / "g").write_bytes(graph.SerializeToString())
    out = inspect(tmp_path / "g", "--nodes").out
    assert "\x1b" not in out
    assert "?[2Ja" in out


def test_a_large_graph(found, tmp_path):
    graph = protos.GraphDef()
    graph.node.add(name="n0", op="Const")
    for i in range(1, 20_000):
        graph.node.add(name=f"n{i}", op="Neg", input=[f"n{i - 1}"])
    (tmp_path / "g").write_bytes(graph.SerializeToString())
    told = found(tmp_path / "g")
    assert told["likely_outputs"] == [{"name": "n19999", "op": "Neg"}]
