"""Graphs in files: MetaGraphDefs with collections, frozen graphs, and warm starts."""

import numpy as np
import pytest

import tfsession as tf


@pytest.fixture
def model(fresh_graph):
    """A small network with what programs put into collections."""
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        w = tf.get_variable("w", [2, 3], initializer=tf.ones_initializer())
        b = tf.get_variable("b", [3], use_resource=True, initializer=tf.ones_initializer())
        tf.get_variable("p", [4], partitioner=tf.fixed_size_partitioner(2), trainable=False)
        y = tf.identity(tf.nn.relu(tf.matmul(x, w) + b), name="y")
    tf.train.get_or_create_global_step()
    for name, value in [
        *(("tensors", y), ("operations", y.op), ("numbers", 3), ("fractions", 2.5)),
        *(("texts", "text"), ("objects", object())),
    ]:
        tf.add_to_collection(name, value)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        yield session


COLLECTIONS = {
    "tensors": "node_list",
    "operations": "node_list",
    "numbers": "int64_list",
    "fractions": "float_list",
    "texts": "bytes_list",
    "variables": "bytes_list",
    "trainable_variables": "bytes_list",
    "global_step": "bytes_list",
}


def _names(collection):
    return [item.name for item in tf.get_collection(collection)]


def test_what_a_meta_graph_holds(model, tmp_path):
    saver = tf.train.Saver()
    message = saver.export_meta_graph(str(tmp_path / "new" / "m.meta"))
    kinds = {key: found.WhichOneof("kind") for key, found in message.collection_def.items()}
    assert kinds == COLLECTIONS  # an object of any class is left out, with a warning
    assert message.saver_def == saver.saver_def
    ops = [op.name for op in message.meta_info_def.stripped_op_list.op]
    assert ops == sorted({node.op for node in message.graph_def.node})
    assert "_output_shapes" in message.graph_def.node[0].attr
    text = tf.train.export_meta_graph(str(tmp_path / "m.txt"), as_text=True, clear_devices=True)
    assert {node.device for node in text.graph_def.node} == {"", "/device:CPU:0"} - {
        "/device:CPU:0"
    }
    assert (tmp_path / "m.txt").read_text().startswith("meta_info_def {")
    stripped = tf.train.export_meta_graph(strip_default_attrs=True)
    matmul = next(node for node in stripped.graph_def.node if node.op == "MatMul")
    assert "transpose_a" not in matmul.attr
    assert stripped.meta_info_def.stripped_default_attrs


@pytest.mark.parametrize("scope", [None, "imported"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_graph_comes_back_with_its_variables(model, tmp_path, scope, as_text):
    saver = tf.train.Saver()
    path = saver.save(model, str(tmp_path / "m"))
    expected = model.run("y:0", {"x:0": [[1, 2]]})
    meta = str(tmp_path / "m.meta")
    saver.export_meta_graph(meta, as_text=as_text)
    prefix = f"{scope}/" if scope else ""
    before = {key: _names(key) for key in ("variables", "trainable_variables", "global_step")}
    with tf.Graph().as_default(), tf.Session() as session:
        again = tf.train.import_meta_graph(meta, import_scope=scope)
        for key, names in before.items():
            assert _names(key) == [prefix + name for name in names]
        assert tf.get_collection("variables")[0] is tf.get_collection("trainable_variables")[0]
        again.restore(session, path)
        found = session.run(f"{prefix}y:0", {f"{prefix}x:0": [[1, 2]]})
        assert found.tolist() == expected.tolist()
        assert tf.get_collection("numbers") == [3]
        assert tf.get_collection("texts") == [b"text"]
        assert tf.get_collection("tensors")[0].name == f"{prefix}y:0"
        # The variables are whole: they train, they are saved, they have initializers.
        loss = tf.reduce_sum(tf.square(tf.get_collection("tensors")[0]))
        session.run(
            tf.train.GradientDescentOptimizer(0.1).minimize(loss), {f"{prefix}x:0": [[1, 2]]}
        )
        session.run(tf.global_variables_initializer())
        again.save(session, str(tmp_path / "again"))
        slices = [v for v in tf.global_variables() if v._save_slice_info is not None]
        assert [v._save_slice_info.spec for v in slices] == ["4 0,2", "4 2,2"]


def test_variables_as_messages(model):
    for variable in tf.global_variables():
        message = variable.to_proto()
        again = tf.Variable.from_proto(message)
        assert type(again) is type(variable)
        assert (again.name, again.dtype, again.shape) == (
            variable.name,
            variable.dtype,
            variable.shape,
        )
        assert again.initializer is variable.initializer
        assert again.to_proto() == message
        assert variable.to_proto("elsewhere") is None


def test_a_meta_graph_of_a_scope(fresh_graph):
    with tf.name_scope("inner"):
        x = tf.placeholder(tf.float32, [], name="x")
        tf.square(x, name="y")
    outer = tf.constant(2.0, name="outer")
    message = tf.train.export_meta_graph(export_scope="inner")
    assert [node.name for node in message.graph_def.node] == ["x", "y"]
    with tf.name_scope("inner/"), tf.control_dependencies([outer]):
        tf.add(x, outer, name="z")
    message = tf.train.export_meta_graph(export_scope="inner")
    unbound = "$unbound_inputs_outer"
    assert message.graph_def.node[-1].input[:] == ["x", unbound]
    assert message.collection_def["unbound_inputs"].bytes_list.value == [unbound.encode()]
    with tf.Graph().as_default(), tf.Session() as session:
        with pytest.raises(ValueError, match=r"contains unbound inputs: \$unbound_inputs_outer\. "):
            tf.train.import_meta_graph(message)
        three = tf.constant(3.0)
        tf.train.import_meta_graph(message, input_map={unbound: three})
        assert session.run("z:0", {"x:0": 4.0}) == 7.0


def test_what_is_no_meta_graph(fresh_graph, tmp_path):
    with pytest.raises(OSError, match=r"File does not exist. Received: "):
        tf.train.import_meta_graph(str(tmp_path / "none.meta"))
    (tmp_path / "bad.meta").write_bytes(b"\xff\xff\xff")
    with pytest.raises(OSError, match="Cannot parse file"):
        tf.train.import_meta_graph(str(tmp_path / "bad.meta"))
    empty = tf.train.export_meta_graph()
    assert tf.train.import_meta_graph(empty) is None


def test_frozen_graphs_compute_the_same(model, tmp_path):
    feeds = {"x:0": [[1, 2], [3, 4]]}
    expected = model.run("y:0", feeds)
    graph_def = tf.get_default_graph().as_graph_def()
    frozen = tf.graph_util.convert_variables_to_constants(model, graph_def, ["y"])
    assert {node.op for node in frozen.node} <= {
        *("Placeholder", "Const", "Identity", "MatMul", "AddV2", "Relu"),
    }
    lean = tf.graph_util.remove_training_nodes(frozen, ["y"])
    assert [node.name for node in lean.node if node.op == "Identity"] == ["y"]
    path = tf.train.write_graph(lean, str(tmp_path / "new"), "frozen.pb", as_text=False)
    for message in (frozen, tf.GraphDef.FromString((tmp_path / "new" / "frozen.pb").read_bytes())):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.import_graph_def(message, name="")
            assert session.run("y:0", feeds).tolist() == expected.tolist()
    assert path == str(tmp_path / "new" / "frozen.pb")
    only = tf.graph_util.convert_variables_to_constants(model, graph_def, ["y"], ["w"])
    kinds = {node.name: node.op for node in only.node}
    assert (kinds["w"], kinds["b"]) == ("Const", "VarHandleOp")
    none = tf.graph_util.convert_variables_to_constants(model, graph_def, ["y"], None, ["w", "b"])
    assert "VariableV2" in {node.op for node in none.node}


def test_parts_of_graphs(model):
    graph_def = tf.get_default_graph().as_graph_def()
    part = tf.graph_util.extract_sub_graph(graph_def, ["MatMul"])
    assert [node.name for node in part.node] == ["x", "w", "w/read", "MatMul"]
    with pytest.raises(AssertionError, match="nope is not in graph"):
        tf.graph_util.extract_sub_graph(graph_def, ["nope"])
    with pytest.raises(TypeError, match="must be an iterable of strings"):
        tf.graph_util.extract_sub_graph(graph_def, "y")
    with pytest.raises(TypeError, match=r"must be a graph_pb2.GraphDef proto"):
        tf.graph_util.extract_sub_graph(3, ["y"])
    shape = tf.graph_util.tensor_shape_from_node_def_name(tf.get_default_graph(), "y")
    assert shape.as_list() == [None, 3]
    assert tf.graph_util.must_run_on_cpu(tf.constant("a").op)
    assert not tf.graph_util.must_run_on_cpu(tf.constant(1.0).op)
    assert tf.graph_util.must_run_on_cpu(tf.global_variables()[0].op, pin_variables_on_cpu=True)


def test_uninitialized_variables_cannot_be_frozen(fresh_graph):
    tf.identity(tf.get_variable("w", [2]), name="y")
    graph_def = tf.get_default_graph().as_graph_def()
    with tf.Session() as session, pytest.raises(tf.errors.FailedPreconditionError):
        tf.graph_util.convert_variables_to_constants(session, graph_def, ["y"])


def test_variables_that_begin_with_a_checkpoint(model, tmp_path):
    path = tf.train.Saver().save(model, str(tmp_path / "m"))
    expected = {name: tf.train.load_variable(path, name) for name in ("w", "b", "p")}
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("net"):
            w = tf.get_variable("w", [2, 3])
            b = tf.get_variable("b", [3], use_resource=True)
            tf.get_variable("p", [4], partitioner=tf.fixed_size_partitioner(2))
        other, small = tf.get_variable("other", [2, 3]), tf.get_variable("small", [2])
        tf.train.init_from_checkpoint(str(tmp_path), {"/": "net/"})
        tf.train.init_from_checkpoint(path, {"w": other})
        session.run(tf.global_variables_initializer())
        whole = tf.concat([v for v in tf.global_variables() if "p/" in v.name], 0)
        for tensor, name in ((w, "w"), (b, "b"), (other, "w"), (whole, "p")):
            np.testing.assert_array_equal(session.run(tensor), expected[name])
        for mapped, text in [
            ({"w": small}, r"Shape of variable small:0 \(\(2,\)\) doesn't match with shape of te"),
            ({"zz": "small"}, "Tensor zz is not found in"),
            ({"w": "net/"}, "Should be 'scope/': 'other_scope/'"),
            ({"zz/": "net/"}, "Tensor zz/b is not found in"),
        ]:
            with pytest.raises(ValueError, match=text):
                tf.train.init_from_checkpoint(path, mapped)


def test_branches_and_loops_that_were_imported_have_gradients(fresh_graph):
    x = tf.placeholder(tf.float32, [], name="x")
    branch = tf.cond(x > 0, lambda: x * x, lambda: 3.0 * x)
    tf.identity(tf.while_loop(lambda a: a < 100, lambda a: a * x, [branch]), name="y")
    message = tf.train.export_meta_graph()
    for scope in (None, "imported"):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.train.import_meta_graph(message, import_scope=scope)
            prefix = f"{scope}/" if scope else ""
            y, x = (graph.get_tensor_by_name(f"{prefix}{name}:0") for name in "yx")
            again = tf.train.export_meta_graph(export_scope=scope)
            assert again.collection_def == message.collection_def
            assert session.run([y, *tf.gradients(y, x)], {x: 5.0}) == [125, 75]
