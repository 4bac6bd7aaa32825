"""`tf.train.export_graph` and `import_graph`: graphs whose large constants lie beside them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.checkpoint.weights import WRITERS, KeptWeights
from tfsession.cli.main import main
from tfsession.core import errors
from tfsession.core.graph_file import read_graph
from tfsession.train.external_weights import serialized

LARGE = np.arange(1000, dtype=np.float32).reshape(10, 100)
X = np.ones([2, 10], np.float32)


def build():
    """A graph with large constants of several dtypes, a small one, one of a single value, texts."""
    x = tf.placeholder(tf.float32, [None, 10], name="x")
    w = tf.constant(LARGE, name="w")
    half = tf.constant(LARGE.astype(np.float16), name="half")
    ints = tf.constant(np.arange(2000), name="ints")
    tf.constant(2.0, shape=[4000], name="uniform")
    tf.constant([b"text" * 1000], name="text")
    tf.constant(np.full([300], 1j), name="complex")
    with tf.device("/cpu:0"), tf.control_dependencies([ints.op]):
        y = tf.matmul(x, w + tf.cast(half, tf.float32), name="y")
    return x, y


@pytest.fixture
def graph():
    with tf.Graph().as_default() as made:
        build()
    return made


def nodes_of(path):
    return {node.name: node for node in read_graph(path).graph_def.node}


def answer(graph):
    with tf.Session(graph=graph) as session:
        return session.run(["y:0", "ints:0", "text:0", "complex:0", "uniform:0"], {"x:0": X})


KINDS = ["graph", "message"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [None, "values.safetensors", "values"])
@pytest.mark.parametrize("name", ["m.pb", "m.pbtxt"])
def test_it_comes_back(graph, tmp_path, kind, weights, name):
    given = graph if kind == "graph" else graph.as_graph_def()
    path = tf.train.export_graph(tmp_path / "new" / name, given, weights)
    assert path == str(tmp_path / "new" / name)
    file = weights or "m.safetensors"
    external = {"w", "half", "ints"} | ({"complex"} if weights == "values" else set())
    found = nodes_of(path)
    assert {n for n in found if "_external_file" in found[n].attr} == external
    assert found["w"].attr["_external_file"].s == file.encode()
    assert "value" not in found["w"].attr
    assert {name for name, _ in tf.train.list_variables(str(tmp_path / "new" / file))} == external
    with tf.Graph().as_default() as copy:
        (y,) = tf.train.import_graph(path, return_elements=["y:0"], name="")
        assert y.shape.as_list() == [None, 100]
    assert copy.as_graph_def(add_shapes=True) == graph.as_graph_def(add_shapes=True)
    for mine, expected in zip(answer(copy), answer(graph), strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_the_message_stays_and_small_graphs_have_one_file(graph, tmp_path):
    message = graph.as_graph_def()
    before = message.SerializeToString(deterministic=True)
    tf.train.export_graph(tmp_path / "a.pb", message)
    assert message.SerializeToString(deterministic=True) == before
    tf.train.export_graph(tmp_path / "b.pb", message, least_bytes=1 << 20)
    assert (tmp_path / "b.pb").read_bytes() == before
    assert not (tmp_path / "b.safetensors").exists()
    with tf.Graph().as_default() as copy:
        tf.train.import_graph(tmp_path / "b.pb", {"x": tf.ones([2, 10])}, name="n")
        assert copy.get_tensor_by_name("n/y:0").shape.as_list() == [2, 100]


def test_the_default_graph(tmp_path):
    with tf.Graph().as_default():
        build()
        tf.train.export_graph(tmp_path / "m.pb")
    assert "w" in nodes_of(tmp_path / "m.pb")


def test_import_graph_def_says_what_to_do(graph, tmp_path):
    tf.train.export_graph(tmp_path / "m.pb", graph)
    message = read_graph(tmp_path / "m.pb").graph_def
    with tf.Graph().as_default() as other:
        told = r"Node 'w' has its value in the file b'm.safetensors': import the graph by tf"
        with pytest.raises(ValueError, match=told):
            tf.import_graph_def(message)
        assert other.get_operations() == []


def break_crc(folder):
    values = {n: tf.train.load_variable(str(folder / "m.safetensors"), n) for n in ("half", "ints")}
    values["w"] = LARGE + 1
    WRITERS["safetensors"](str(folder / "m.safetensors"), KeptWeights(values))


def rename(folder, file):
    message = read_graph(folder / "m.pb").graph_def
    for node in message.node:
        if "_external_file" in node.attr:
            node.attr["_external_file"].s = file
    (folder / "m.pb").write_bytes(message.SerializeToString())


def reshape(folder):
    message = read_graph(folder / "m.pb").graph_def
    (node,) = [node for node in message.node if node.name == "w"]
    node.attr["_external_shape"].shape.dim[0].size = 20
    (folder / "m.pb").write_bytes(message.SerializeToString())


def cut(folder):
    data = (folder / "m.safetensors").read_bytes()
    (folder / "m.safetensors").write_bytes(data[:-1])


BROKEN = {
    "gone": (lambda f: (f / "m.safetensors").unlink(), errors.NotFoundError, "which is not there"),
    "another value": (break_crc, errors.DataLossError, "node 'w' .* is not that with which"),
    "another shape": (reshape, errors.DataLossError, "node 'w' .* is not that with which"),
    "cut": (cut, errors.DataLossError, "its header speaks of"),
    "a directory": (lambda f: rename(f, b"../x"), ValueError, "may lie anywhere"),
    "a root": (lambda f: rename(f, b"/etc/passwd"), ValueError, "may lie anywhere"),
    "parent": (lambda f: rename(f, b".."), ValueError, "may lie anywhere"),
    "no text": (lambda f: rename(f, b"\xff\x00"), ValueError, "may lie anywhere"),
    "nothing": (lambda f: rename(f, b""), ValueError, "may lie anywhere"),
    "itself": (lambda f: rename(f, b"m.pb"), errors.DataLossError, "Unable to open table file"),
}


@pytest.mark.parametrize(("spoil", "kind", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_files(graph, tmp_path, spoil, kind, told):
    tf.train.export_graph(tmp_path / "m.pb", graph)
    spoil(tmp_path)
    with tf.Graph().as_default() as other:
        with pytest.raises(kind, match=told):
            tf.train.import_graph(tmp_path / "m.pb")
        assert other.get_operations() == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "m.pb"])
def test_names_that_are_refused(graph, tmp_path, name):
    if not name:
        name = "."
    with pytest.raises(ValueError, match="Expected another name than the graph's, without"):
        tf.train.export_graph(tmp_path / "m.pb", graph, name)
    with pytest.raises(TypeError, match="Expected a GraphDef message"):
        tf.train.export_graph(tmp_path / "m.pb", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_message_too_large_for_a_file():
    class Message:
        def SerializeToString(self, deterministic):
            raise AssertionError("it is too large")

        def ByteSize(self):
            return 1 << 31

    with pytest.raises(ValueError, match=r"\(2147483648bytes\) would be larger than the limit .*"):
        serialized(Message(), False)


def test_commands_know_such_graphs(graph, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())
    assert main(["convert", "g.pb", "m.pb", "--external"]) == 0
    told = "m.pb: GraphDef, 10 nodes, its large constants in m.safetensors\n"
    assert capsys.readouterr().out == told
    assert main(["inspect", "m.pb"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["w", "float32", "[10,100]", "3.9", "KiB", "m.safetensors"] in rows
    assert main(["place", "m.pb", "--devices", "CPU:0"]) == 0
    assert main(["convert", "g.pb", "m2.pb", "--external", "--clear-devices"]) == 0
    (tmp_path / "m2.pb").unlink()
    assert main(["convert", "g.pb", "m2.pb", "--external"]) == 1
    assert "m2.safetensors is there already: --force overwrites it" in capsys.readouterr().err
    (tmp_path / "m.safetensors").unlink()
    assert main(["place", "m.pb", "--devices", "CPU:0"]) == 2
    assert "m.pb cannot be imported: m.pb has the values of 3 nodes in m.safetensors, which" in (
        capsys.readouterr().err
    )
