"""`tfsession convert`: every format into every other, frozen graphs, what is refused."""

import sys

import numpy as np
import pytest

import tfsession as tf
from tfsession.checkpoint.reader import open_checkpoint
from tfsession.checkpoint.weights import WRITERS, KeptWeights
from tfsession.cli.main import main
from tfsession.core import protos
from tfsession.core.graph_file import read_message

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a checkpoint, a SavedModel and graphs of one model, and what it answers."""
    folder = tmp_path_factory.mktemp("converted")
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.Graph().as_default() as graph, tf.Session(config=config) as session:
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        draw = tf.random_uniform_initializer(seed=1)
        w = tf.get_variable("w", [4, 3], initializer=draw)
        r = tf.get_variable("r", [3], initializer=draw, use_resource=True)
        p = tf.get_variable(
            "p", [4, 3], initializer=draw, partitioner=tf.fixed_size_partitioner(2)
        )  # fmt: skip
        with tf.device("/gpu:7"):
            h = tf.matmul(x, w + p, name="h")
        y = tf.nn.softmax(h + r, name="y")
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(y))
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver({"weights": w, "r": r, "p": p})  # under another name than the node's
        saver.save(session, str(folder / "m"))
        with tf.Graph().as_default() as clean, tf.Session() as serving:
            v = tf.get_variable("v", [4], initializer=draw)
            z = tf.identity(tf.reduce_sum(tf.placeholder(tf.float32, [4], "in") * v), name="z")
            serving.run(v.initializer)
            inputs = {"in": clean.get_tensor_by_name("in:0")}
            tf.saved_model.simple_save(serving, folder / "saved", inputs, {"z": z})
            expected_z = serving.run(z, {"in:0": X[0]})
        tf.train.write_graph(graph, folder, "graph.pb", as_text=False)
        with tf.device("/cpu:0"):
            expected = session.run(tf.nn.softmax(tf.matmul(x, w + p) + r), {x: X})
    return folder, expected, expected_z


@pytest.fixture
def convert(capsys):
    """What `tfsession convert ARGS` prints, (stdout, stderr); fails unless it gives `code`."""

    def convert(*args, code=0):
        assert main(["convert", *map(str, args)]) == code
        return capsys.readouterr()

    return convert


ARRAYS = {
    "a/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([True, False]),
    "half": np.array([1, 2], np.float16),
    "step": np.array(3, np.int64),
}
KINDS = ["safetensors", "npz", "v1", "v2"]


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_tensors(convert, tmp_path, source, target):
    WRITERS[source](str(tmp_path / "from"), KeptWeights(ARRAYS))
    out, err = convert(tmp_path / "from", tmp_path / "new" / "to", "--to", target)
    long = {"v1": "checkpoint V1", "v2": "checkpoint V2"}.get(source, source)
    assert (out, err) == (f"{tmp_path}/new/to: {target}, 4 tensors, 38 B, from {long}\n", "")
    reader = open_checkpoint(str(tmp_path / "new" / "to"))
    assert reader.names() == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        found = reader.read(name)
        assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.safetensors", "safetensors"), ("a.npz", "npz"), ("a", "v2"), ("a.ckpt", "v2")],
)
def test_the_name_tells_the_format(convert, tmp_path, name, kind):
    WRITERS["npz"](str(tmp_path / "from"), KeptWeights(ARRAYS))
    assert f"/{name}: {kind}, 4 tensors" in convert(tmp_path / "from", tmp_path / name).out


def test_a_partitioned_variable_becomes_one_tensor(convert, model, tmp_path):
    folder, *_ = model
    convert(folder / "m", tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as found:
        assert {name: found[name].shape for name in found.files} == {
            "p": (4, 3), "r": (3,), "weights": (4, 3)
        }  # fmt: skip


def test_some_tensors(convert, tmp_path):
    WRITERS["v2"](str(tmp_path / "from"), KeptWeights(ARRAYS | {"t": np.array(b"x", object)}))
    target = tmp_path / "a.safetensors"
    err = convert(tmp_path / "from", target, code=1).err
    assert "cannot be converted: Tensor t is of dtype string, which safetensors files cannot" in err
    assert not target.exists()
    out = convert(tmp_path / "from", target, "--without", "t", "--without", "b").out
    assert out.endswith("3 tensors, 36 B, from checkpoint V2; 2 left out\n")
    convert(tmp_path / "from", target, "--only", "a/*", "--force")
    assert open_checkpoint(str(target)).names() == ["a/w"]
    assert (
        "no tensor has such a name"
        in convert(tmp_path / "from", target, "--only", "zz", "--force", code=1).err
    )


def test_what_only_tensorflow_2_needs_is_left_out(convert, tmp_path):
    objects = {"_CHECKPOINTABLE_OBJECT_GRAPH": np.array(b"", object)}
    WRITERS["v2"](str(tmp_path / "from"), KeptWeights(ARRAYS | objects))
    assert "; 1 left out" in convert(tmp_path / "from", tmp_path / "a.safetensors").out
    assert "5 tensors" in convert(tmp_path / "from", tmp_path / "b").out


@pytest.mark.parametrize("name", ["graph.pb", "m.meta"])
def test_text_and_back(convert, model, tmp_path, name):
    folder, *_ = model
    convert(folder / name, tmp_path / "g.pbtxt")
    assert b"node {" in (tmp_path / "g.pbtxt").read_bytes()
    convert(tmp_path / "g.pbtxt", tmp_path / "g.pb")
    assert read_message(tmp_path / "g.pb") == read_message(folder / name)


def answers(path, feed, fetch):
    graph_def = tf.GraphDef.FromString(path.read_bytes())
    assert not [node for node in graph_def.node if "Var" in node.op]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.Session(graph=graph, config=config) as session:
        return session.run(fetch, feed)


@pytest.mark.parametrize("name", ["m", "m.meta", "m.index"])
def test_a_checkpoint_becomes_a_frozen_graph(convert, model, tmp_path, name):
    folder, expected, _ = model
    out = convert(folder / name, tmp_path / "f.pb", "--outputs", "y").out
    assert f"{tmp_path}/f.pb: frozen graph of y, " in out
    np.testing.assert_array_equal(answers(tmp_path / "f.pb", {"x:0": X}, "y:0"), expected)
    nodes = tf.GraphDef.FromString((tmp_path / "f.pb").read_bytes()).node
    assert {node.name: node.device for node in nodes}["h"] == "/device:GPU:7"
    convert(folder / name, tmp_path / "c.pb", "--outputs", "y,h", "--clear-devices")
    nodes = tf.GraphDef.FromString((tmp_path / "c.pb").read_bytes()).node
    assert {node.device for node in nodes} == {""}


def test_other_weights_of_the_same_names(convert, model, tmp_path):
    folder, expected, _ = model
    convert(folder / "m", tmp_path / "w.safetensors")
    meta = folder / "m.meta"
    convert(tmp_path / "w.safetensors", tmp_path / "f.pb", "--outputs", "y", "--graph", meta)
    np.testing.assert_array_equal(answers(tmp_path / "f.pb", {"x:0": X}, "y:0"), expected)


def test_a_saved_model_becomes_a_frozen_graph(convert, model, tmp_path):
    folder, _, expected = model
    for target, options in (("a.pb", ()), ("b.pb", ("--tags", "serve", "--outputs", "z"))):
        convert(folder / "saved", tmp_path / target, *options)
        assert answers(tmp_path / target, {"in:0": X[0]}, "z:0") == expected
    told = convert(folder / "saved", tmp_path / "c.pb", "--tags", "gpu", code=1).err
    assert "no meta graph has the tags gpu, but: serve" in told
    assert "1 tensors" in convert(folder / "saved", tmp_path / "v.npz").out


def test_what_the_outputs_do_not_need_may_be_unknown(convert, model, tmp_path):
    folder, expected, _ = model
    meta, _ = read_message(folder / "m.meta")
    meta.graph_def.node.add(name="strange", op="NobodysOp")
    (tmp_path / "s.meta").write_bytes(meta.SerializeToString())
    convert(folder / "m", tmp_path / "f.pb", "--outputs", "y", "--graph", tmp_path / "s.meta")
    np.testing.assert_array_equal(answers(tmp_path / "f.pb", {"x:0": X}, "y:0"), expected)


def save_with_functions(folder):
    """A checkpoint whose graph reads its variable in functions, as TensorFlow 2's do."""
    with tf.Graph().as_default(), tf.Session() as session:
        v = tf.get_variable("v", initializer=2.5, use_resource=True)
        y = tf.while_loop(lambda i: i < 3.0, lambda i: i + v, [tf.constant(0.0)], name="y")
        tf.identity(y, name="out")
        session.run(v.initializer)
        tf.train.Saver().save(session, str(folder / "m"))
    message, _ = read_message(folder / "m.meta")
    resource, number = protos.DT_RESOURCE, protos.DT_FLOAT
    for name, body in (("inner", "ReadVariableOp"), ("outer", "inner"), ("unused", "NobodysOp")):
        function = message.graph_def.library.function.add()
        function.signature.name = name
        function.signature.input_arg.add(name="a", type=resource)
        function.signature.output_arg.add(name="b", type=number)
        function.signature.is_stateful = True
        node = function.node_def.add(name="n", op=body, input=["a"])
        if body == "ReadVariableOp":
            node.attr["dtype"].type = number
        function.ret["b"] = "n:value:0" if body == "ReadVariableOp" else "n:b:0"
    message.graph_def.node.add(name="call", op="outer", input=["v"])
    twice = message.graph_def.node.add(name="twice", op="AddV2", input=["call", "call"])
    twice.attr["T"].type = number
    (folder / "m.meta").write_bytes(message.SerializeToString())


def test_functions_are_written_out(convert, tmp_path):
    save_with_functions(tmp_path)
    convert(tmp_path / "m", tmp_path / "f.pb", "--outputs", "out,twice,call")
    found = {n: answers(tmp_path / "f.pb", {}, f"{n}:0") for n in ("out", "twice", "call")}
    assert found == {"out": 5.0, "twice": 5.0, "call": 2.5}
    frozen, _ = read_message(tmp_path / "f.pb")
    assert list(frozen.library.function) == []
    assert {node.op for node in frozen.node} & {"outer", "inner", "ReadVariableOp"} == set()


def test_what_assigns_to_variables_cannot_be_frozen(convert, tmp_path):
    save_with_functions(tmp_path)
    told = convert(tmp_path / "m", tmp_path / "g.pb", "--outputs", "v/Assign", code=1).err
    assert "the result is no valid graph, as where it assigns to a variable: Input 0 of " in told


def test_functions_without_end_are_told(convert, tmp_path, monkeypatch):
    save_with_functions(tmp_path)
    message, _ = read_message(tmp_path / "m.meta")
    functions = {one.signature.name: one for one in message.graph_def.library.function}
    functions["inner"].node_def[0].CopyFrom(protos.NodeDef(name="n", op="outer", input=["a"]))
    functions["inner"].ret["b"] = "n:b:0"
    (tmp_path / "m.meta").write_bytes(message.SerializeToString())
    monkeypatch.setattr("tfsession.graph.inline_calls._MOST_OPERATIONS", 1000)
    told = convert(tmp_path / "m", tmp_path / "g.pb", "--outputs", "call", code=1).err
    assert "calls have no end" in told


def refused():
    yield ("no source",), "zz", "a.npz", (), 2, "zz cannot be read: no such file"
    yield ("there",), "m", "there.npz", (), 2, "there.npz is there already: --force overwrites it"
    yield ("there as v2",), "m", "there", (), 2, "there is there already"
    yield ("same",), "m", "m", ("--force",), 2, "m is what is to be converted"
    yield ("folder",), "m", "saved", ("--force",), 2, "saved is a directory"
    yield ("graph as tensors",), "graph.pb", "a.npz", (), 1, "npz holds tensors, but this is a Gr"
    yield ("no outputs",), "m", "a.pb", (), 1, "--outputs must name the nodes"
    yield ("wrong output",), "m", "a.pb", ("--outputs", "zz"), 1, "zz is not in graph"
    yield ("no graph",), "m", "a.pb", ("--graph", "zz"), 1, "needs the MetaGraphDef zz"
    yield ("no meta graph",), "m", "a.pb", ("--graph", "graph.pb"), 1, "is a GraphDef, but"
    yield ("variables left",), "graph.pb", "a.pb", ("--outputs", "y"), 1, "a variable has no value"


@pytest.mark.parametrize(
    ("source", "target", "options", "code", "told"),
    [row[1:] for row in refused()],
    ids=[row[0][0] for row in refused()],
)
def test_refused(convert, model, tmp_path, monkeypatch, source, target, options, code, told):
    folder, *_ = model
    WRITERS["npz"](str(folder / "there.npz"), KeptWeights(ARRAYS))
    WRITERS["v2"](str(folder / "there"), KeptWeights(ARRAYS))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    out, err = convert(source, target, *options, code=code)
    assert out == ""
    assert err.startswith("tfsession: ")
    assert err.count("\n") == 1
    assert told in err
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_damaged_source_leaves_nothing_half_written(convert, tmp_path):
    WRITERS["v2"](str(tmp_path / "from"), KeptWeights(ARRAYS))
    data = tmp_path / "from.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[-1] ^= 1
    data.write_bytes(damaged)
    (tmp_path / "to").write_bytes(b"old")
    before = sorted(path.name for path in tmp_path.iterdir())
    for kind in KINDS:
        told = convert(tmp_path / "from", tmp_path / "to", "--to", kind, "--force", code=1).err
        assert "Checksum does not match" in told
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert (tmp_path / "to").read_bytes() == b"old"


def test_a_terminal_sees_a_bar(convert, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    WRITERS["v2"](str(tmp_path / "from"), KeptWeights(ARRAYS))
    assert "38/38 bytes" in convert(tmp_path / "from", tmp_path / "to.npz").err
