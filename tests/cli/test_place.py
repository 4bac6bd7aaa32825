"""`tfsession place`: graphs from all kinds of files, named devices, filters, JSON, errors."""

import json
import os
import subprocess
import sys

import pytest
from google.protobuf import text_format

import tfsession as tf
from tfsession.cli.main import main
from tfsession.core import protos
from tfsession.core.graph_file import read_graph

FULL = "/job:localhost/replica:0/task:0/device:"
TWO = "CPU:0,GPU:0,GPU:1"


@pytest.fixture(scope="module")
def graph_def():
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        with tf.device("/gpu:0"):
            w = tf.get_variable("w", [4, 2])
            h = tf.matmul(x, w, name="h")
        with tf.device("/gpu:1"):
            y = tf.nn.softmax(h, name="y")
        with tf.device("/cpu:0"):
            tf.argmax(y, 1, name="best")
    return graph.as_graph_def()


@pytest.fixture
def path(tmp_path, graph_def):
    file = tmp_path / "graph.pb"
    file.write_bytes(graph_def.SerializeToString())
    return str(file)


@pytest.fixture
def place(capsys):
    """What `tfsession place ARGS` prints, (stdout, stderr); fails unless it gives `code`."""

    def place(*args, code=0):
        assert main(["place", *map(str, args)]) == code
        return capsys.readouterr()

    return place


def meta_graph(graph_def):
    message = protos.MetaGraphDef(graph_def=graph_def)
    message.meta_info_def.tags.append("serve")
    message.meta_info_def.tensorflow_version = "1.15.0"
    message.meta_info_def.stripped_op_list.op.add(name="MatMul")
    return message


def saved_model(graph_def, count=1):
    metas = [meta_graph(graph_def)] * count
    return protos.SavedModel(saved_model_schema_version=1, meta_graphs=metas)


def binary(message):
    return message.SerializeToString()


def text(message):
    return text_format.MessageToString(message).encode()


KINDS = {
    "graph": ("GraphDef", lambda g: g),
    "meta graph": ("MetaGraphDef", meta_graph),
    "saved model": ("SavedModel", saved_model),
    "two meta graphs": (
        "SavedModel, the first of 2 meta graphs",
        lambda g: saved_model(g, 2),
    ),
}


@pytest.mark.parametrize("write", [binary, text])
@pytest.mark.parametrize(("kind", "wrapped"), KINDS.values(), ids=KINDS)
def test_files(place, tmp_path, graph_def, write, kind, wrapped):
    file = tmp_path / "saved"
    file.write_bytes(write(wrapped(graph_def)))
    assert read_graph(file) == (graph_def, kind)
    out, err = place(file, "--devices", TWO)
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == f"{file}: {kind}, {len(graph_def.node)} nodes"
    assert lines[1] == f"{len(graph_def.node)} operations placed on CPU:0, GPU:0, GPU:1"
    (y,) = [line.split(None, 3) for line in lines if line.startswith("y ")]
    assert y == ["y", "Softmax", "GPU:1", "requested GPU:1"]


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_directory(place, tmp_path, graph_def, name):
    write = binary if name.endswith("pb") else text
    (tmp_path / name).write_bytes(write(saved_model(graph_def)))
    assert ": SavedModel, " in place(tmp_path, "--devices", TWO).out


NO_GRAPH = {
    "empty": (b"", "is not a graph: the file is empty"),
    "bytes": (bytes(range(256)), "is not a graph: no GraphDef, MetaGraphDef or SavedModel"),
    "more bytes": (b"\x08" * 99, "is not a graph: no GraphDef, MetaGraphDef or SavedModel"),
    "prose": (b"hello there\n", "is not a graph: it seems to be text, but 1:1"),
    "another encoding": (b"node { name: '\xff' }", "is not a graph: it seems to be text, but"),
    "no nodes": (b"versions { producer: 1 }", "it seems to be text, but the "),
    "no meta graphs": (b"\x08\x01", "is not a graph: no GraphDef"),
    "unnamed nodes": (b"node { op: 'NoOp' }", "it seems to be text, but the "),
    "a cycle": (
        b"node { name: 'a' op: 'NoOp' input: '^b' } node { name: 'b' op: 'NoOp' input: '^a' }",
        "cannot be imported: 2 nodes in a cycle",
    ),
    "a missing input": (
        b"node { name: 'a' op: 'NoOp' input: '^b' }",
        "cannot be imported: Node 'a': Unknown input node '^b'",
    ),
    "a missing attribute": (b"node { name: 'a' op: 'Placeholder' }", "cannot be imported: "),
    "a later version": (
        b"node { name: 'a' op: 'NoOp' } versions { min_consumer: 99999 }",
        "cannot be imported: GraphDef min consumer version 99999",
    ),
    "unknown ops": (
        b"node { name: 'a' op: 'Foo' } node { name: 'b' op: 'Bar' } node { name: 'c' op: 'Foo' }",
        "has nodes of op types that are not known here: Bar (1), Foo (2)",
    ),
}


@pytest.mark.parametrize(("content", "expected"), NO_GRAPH.values(), ids=NO_GRAPH)
def test_files_that_are_no_graphs(place, tmp_path, content, expected):
    file = tmp_path / "file"
    file.write_bytes(content)
    out, err = place(file, code=2)
    assert out == ""
    assert err.startswith(f"tfsession: {file} ")
    assert expected in err
    assert err.count("\n") == 1


def test_files_that_are_not_there(place, tmp_path):
    assert "nothing cannot be read: No such file" in place(tmp_path / "nothing", code=2).err
    assert "the directory holds no saved_model.pb" in place(tmp_path, code=2).err


def test_a_truncated_file(place, tmp_path, graph_def):
    data = binary(graph_def)
    for size in range(1, len(data), 97):
        file = tmp_path / "file"
        file.write_bytes(data[:size])
        code = main(["place", str(file), "--soft", "--devices", TWO])
        assert code in (0, 2)  # a cut between two nodes leaves a graph


def test_unknown_ops_that_a_step_does_without(place, tmp_path, graph_def):
    more = protos.GraphDef()
    more.CopyFrom(graph_def)
    more.node.add(name="save", op="SaveEverything", input=["y", "^best"])
    file = tmp_path / "file"
    file.write_bytes(binary(more))
    hint = "SaveEverything (1) (--fetch NAME explains a step that does without them)"
    assert hint in place(file, "--devices", TWO, code=2).err
    out, _ = place(file, "--devices", TWO, "--fetch", "y:0")
    assert "not known there: SaveEverything (1)\n4 operations placed on" in out
    found = json.loads(place(file, "--devices", TWO, "--fetch", "best", "--json").out)
    assert found["graph"]["left_out_op_types"] == {"SaveEverything": 1}
    err = place(file, "--devices", TWO, "--fetch", "save", code=2).err
    assert "that the fetches need: SaveEverything (1)" in err


def test_a_step(place, path):
    out, _ = place(path, "--devices", TWO, "--fetch", "best:0", "--fetch", "h")
    rows = [line.split(None, 4) for line in out.split("Transfers of a step:")[1].splitlines()]
    assert rows[3] == ["x:0", "host", "GPU:0", "16", "B x ?  fed, read by 'h'"]
    assert rows[4] == ["h:0", "GPU:0", "GPU:1", "8", "B x ?  read by 'y'"]
    assert rows[5] == ["y:0", "GPU:1", "host", "8", "B x ?  read by 'best'"]
    err = place(path, "--devices", TWO, "--fetch", "nope:0", code=2).err
    assert err.startswith("tfsession: --fetch: Argument `fetch` = nope:0 cannot be interpreted")


def test_filters(place, path):
    out, _ = place(path, "--devices", TWO, "--device", "/gpu:1")
    assert out.splitlines()[1] == "1 operation placed on CPU:0, GPU:0, GPU:1"
    out, _ = place(path, "--devices", TWO, "--reason", "requested", "--reason", "ONLY_KERNEL")
    assert "By reason: requested " in out
    assert "colocated" not in out.split("By reason")[1]
    # A mistake there shows before anything is read.
    err = place("nothing", "--reason", "chance", code=2).err
    assert err.startswith("tfsession: --reason: There is no such reason as 'chance'; there are ")
    assert "--device: Unknown attribute 'x'" in place("nothing", "--device", "x", code=2).err


def test_json(place, path, graph_def):
    found = json.loads(place(path, "--devices", TWO, "--fetch", "y:0", "--json").out)
    assert found["schema_version"] == 1
    assert found["graph"] == {
        "path": path, "kind": "GraphDef", "nodes": len(graph_def.node), "left_out_op_types": {},
    }  # fmt: skip
    assert (found["soft_placement"], found["fetches"]) == (False, ["y:0"])
    assert found["devices"] == [FULL + name for name in TWO.split(",")]
    assert [(row["name"], row["device"], row["reason"]) for row in found["operations"]] == [
        ("w", FULL + "GPU:0", "requested"),
        ("w/read", FULL + "GPU:0", "colocated with"),
        ("h", FULL + "GPU:0", "requested"),
        ("y", FULL + "GPU:1", "requested"),
    ]
    assert [(row["tensor"], row["kind"]) for row in found["transfers"]] == [
        ("x:0", "fed"), ("h:0", "implicit"), ("y:0", "fetched"),
    ]  # fmt: skip
    assert json.loads(place(path, "--devices", TWO, "--json").out)["transfers"] is None


DEVICES = {
    "CPU:0": "CPU:0",
    "": "CPU:0",
    "GPU:0": "CPU:0, GPU:0",
    "gpu:1, /gpu:0": "CPU:0, GPU:0, GPU:1",
    "/device:CPU:1,CPU:0,GPU:0": "CPU:0, CPU:1, GPU:0",
    "CPU:0,CPU:0": "CPU:0",
}


@pytest.mark.parametrize(("listed", "devices"), DEVICES.items())
def test_devices(place, path, listed, devices):
    out, err = place(path, "--soft", "--devices", listed)
    assert out.splitlines()[1].endswith(f"placed on {devices}")
    assert err == ""


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("TPU:0", "--devices: 'TPU:0' is no device: they are called CPU:0, GPU:0, ..."),
        ("GPU", "'GPU' is no device"),
        ("GPU:x", "'GPU:x' is no device"),
        ("2", "'2' is no device"),
        ("GPU:1", "--devices names GPU:1 but not GPU:0: a session numbers its devices without"),
    ],
)
def test_devices_that_there_cannot_be(place, path, listed, expected):
    assert expected in place(path, "--devices", listed, code=2).err


def test_named_devices_do_not_depend_on_the_machine(place, path, monkeypatch):
    monkeypatch.setenv("TFSESSION_DISABLE_GPU", "1")
    assert "GPU:1" in place(path, "--devices", TWO).out
    out, _ = place(path, "--soft")
    assert out.splitlines()[1].endswith("placed on CPU:0")


def test_a_placement_that_fails(place, path):
    out, err = place(path, "--devices", "CPU:0", code=1)
    assert out == ""
    assert err.startswith("tfsession: Cannot assign a device for operation ")
    assert err.endswith("(--soft lets operations run elsewhere than they ask for)\n")
    assert err.count("\n") == 1
    out, err = place(path, "--devices", "CPU:0", "--soft")
    assert "soft fallback from GPU:1: no such device" in out
    assert err == ""


def test_a_long_table_is_cut_at_a_terminal(place, tmp_path, monkeypatch):
    nodes = "".join(f"node {{ name: 'n{i}' op: 'NoOp' }}" for i in range(100))
    file = tmp_path / "long"
    file.write_text(nodes)
    assert " n99" in place(file).out.replace("\n", " ")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "... 40 more: --all shows all, --device and --reason fewer" in place(file).out
    assert "more:" not in place(file, "--all").out


def test_who_watches_is_told_what_takes_long(place, path, graph_def, monkeypatch):
    monkeypatch.setattr("tfsession.cli.place._PATIENCE", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    told = set(place(path, "--devices", TWO).err.splitlines())
    importing = f"importing {len(graph_def.node)} nodes"
    steps = {f"reading {path}", importing, "placing"}
    assert told <= {f"tfsession: {step} ..." for step in steps}  # what was quick is not told


def test_as_a_process(path, tmp_path):
    """No traceback where the reader goes away; no library of a GPU's is loaded."""
    script = (
        "import sys; from tfsession.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "assert not {'cupy', 'tensorflow'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-W", "error", "-c", script, "place", path, "--devices", TWO]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "requested GPU:1" in done.stdout
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_tells_the_exit_codes(capsys):
    with pytest.raises(SystemExit):
        main(["place", "--help"])
    out = capsys.readouterr().out
    assert "  1  it cannot: the message names the operation and the constraint" in out
