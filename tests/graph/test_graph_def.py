"""Graphs as GraphDefs: every kind of attribute, inputs, devices, shapes, and the way back."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core import protos
from tfsession.core.attr_value import attr_from_proto, kind_of, public_attr, to_attr_value
from tfsession.core.dtypes import as_dtype
from tfsession.graph import node_def
from tfsession.graph.create import create_op
from tfsession.graph.graph import Graph
from tfsession.graph.importer import import_graph_def
from tfsession.graph.node_text import attr_text, float_text, values_text

FLOAT, INT = as_dtype("float32"), as_dtype("int32")


def shape_proto(*sizes):
    return protos.TensorShapeProto(dim=[protos.TensorShapeProto.Dim(size=s) for s in sizes])


UNKNOWN = protos.TensorShapeProto(unknown_rank=True)
LIST = protos.AttrValue.ListValue
FUNC = protos.NameAttrList(name="f", attr={"n": protos.AttrValue(i=3)})
TENSOR = protos.TensorProto(dtype=protos.DT_INT32, tensor_shape=shape_proto(), int_val=[7])

# kind, Python value, fields of AttrValue, and the text in error messages
ATTRS = [
    ("int", -3, {"i": -3}, "-3"),
    ("float", 0.25, {"f": 0.25}, "0.25"),
    ("bool", False, {"b": False}, "false"),
    ("string", b"\xff", {"s": b"\xff"}, '"\\377"'),
    ("type", FLOAT, {"type": protos.DT_FLOAT}, "DT_FLOAT"),
    ("shape", (2, None), {"shape": shape_proto(2, -1)}, "[2,?]"),
    ("shape", (), {"shape": shape_proto()}, "[]"),
    ("shape", None, {"shape": UNKNOWN}, "<unknown>"),
    ("tensor", np.array(7, np.int32), {"tensor": TENSOR}, None),
    ("func", FUNC, {"func": FUNC}, "f[n=3]"),
    ("list(int)", [1, 2], {"list": LIST(i=[1, 2])}, "[1, 2]"),
    ("list(float)", [0.5], {"list": LIST(f=[0.5])}, "[0.5]"),
    ("list(bool)", [True], {"list": LIST(b=[True])}, "[true]"),
    ("list(string)", [b"a", b""], {"list": LIST(s=[b"a", b""])}, '["a", ""]'),
    ("list(type)", [FLOAT, INT], {"list": LIST(type=[1, 3])}, "[DT_FLOAT, DT_INT32]"),
    ("list(shape)", [None, (1,)], {"list": LIST(shape=[UNKNOWN, shape_proto(1)])}, None),
    ("list(tensor)", [np.array(7, np.int32)], {"list": LIST(tensor=[TENSOR])}, None),
    ("list(func)", [FUNC], {"list": LIST(func=[FUNC])}, "[f[n=3]]"),
    ("list(int)", [], {"list": LIST()}, "[]"),
]


@pytest.mark.parametrize(("kind", "value", "fields", "text"), ATTRS, ids=[r[0] for r in ATTRS])
def test_attribute(kind, value, fields, text):
    message = protos.AttrValue(**fields)
    assert to_attr_value(value, kind) == message
    assert to_attr_value(value, kind).WhichOneof("value") == message.WhichOneof("value")
    back = attr_from_proto(message, kind)
    assert np.array_equal(back, value) if kind == "tensor" else back == value
    assert type(back) is type(value)
    if fields != {"list": LIST()}:
        assert kind_of(value) == kind
    if text is not None:
        assert attr_text(value) == text


def test_attributes_as_get_attr_gives_them():
    assert public_attr((2, None), "shape") == shape_proto(2, -1)
    assert public_attr([None], None) == [UNKNOWN]
    assert public_attr(np.array(7, np.int32), None) == TENSOR
    assert public_attr([FLOAT], "list(type)") == [FLOAT]


def test_text_is_bytes_in_attributes():
    assert to_attr_value("é", "string").s == "é".encode()
    assert to_attr_value(["é"], "list(string)").list.s == ["é".encode()]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, np.complex64, np.bool_, ml_dtypes.bfloat16, np.uint64]
)
def test_a_value_written_once_stays_so(dtype, shape):
    once = tf.make_tensor_proto(np.ones((), dtype), shape=shape)
    value = attr_from_proto(protos.AttrValue(tensor=once))
    assert value.shape == shape
    assert (value == np.ones(shape, dtype)).all()
    assert to_attr_value(value, "tensor").tensor == once


def test_values_that_differ_do_not_become_one():
    proto = protos.TensorProto(dtype=protos.DT_INT32, tensor_shape=shape_proto(3), int_val=[1, 2])
    np.testing.assert_array_equal(attr_from_proto(protos.AttrValue(tensor=proto)), [1, 2, 2])


def test_resource_tensors_stay_messages():
    proto = protos.TensorProto(dtype=protos.DT_RESOURCE, tensor_shape=shape_proto())
    proto.resource_handle_val.add(name="x")
    value = attr_from_proto(protos.AttrValue(tensor=proto))
    assert value == proto
    assert value is not proto
    assert to_attr_value(value, None).tensor == proto


# --- text in error messages -----------------------------------------------------------------------

VALUES = [
    ("scalar", np.int32(5), 3, "5"),
    ("vector", np.arange(3), 3, "0 1 2"),
    ("long_vector", np.arange(30), 3, "0 1 2..."),
    ("matrix", np.array([[1, 2], [3, 4]]), 4, "[1 2][3 4]"),
    ("cut_matrix", np.array([[1, 2], [3, 4]]), 3, "[1 2][3...]..."),
    ("cut_row", np.arange(12.0).reshape(3, 4), 3, "[0 1 2...]..."),
    ("cube", np.arange(8).reshape(2, 2, 2), 3, "[[0 1][2...]]..."),
    ("empty", np.zeros((0, 3)), 3, ""),
    ("empty_rows", np.zeros((2, 0)), 3, ""),
    ("bools", np.array([True, False]), 3, "1 0"),
    ("float", np.float32(1 / 3), 3, "0.333333343"),
    ("double", np.float64(1 / 3), 3, "0.33333333333333331"),
    ("half", np.array([0.1], np.float16), 3, "0.0999755859"),
    ("complex", np.array([1j, 2]), 3, "? ?"),
    ("text", np.array([b'q"\n', b"x"], object), 3, 'q\\"\\n x'),
]


@pytest.mark.parametrize(("value", "limit", "text"), [r[1:] for r in VALUES], ids=lambda v: None)
def test_values_text(value, limit, text):
    assert values_text(value, limit) == text


TEXTS = [
    (list(range(29)), "[" + ", ".join(map(str, range(29))) + "]"),
    (list(range(30)), "[0, 1, 2, 3, 4, ..., 25, 26, 27, 28, 29]"),
    (b"x" * 79, '"' + "x" * 79 + '"'),
    (b"x" * 80, '"xxxxxxxxxx...xxxxxxxxxx"'),
    (b"\n" * 40, '"\\n\\n\\n\\n\\n...\\n\\n\\n\\n\\n"'),
    (b"a\"b'c\\d\r\t\x00", '"a\\"b\\\'c\\\\d\\r\\t\\000"'),
    (1234567.0, "1234567"),
    (1e6, "1e+06"),
    (1e20, "1e+20"),
    (1e300, "inf"),
    (-0.0, "-0"),
    (float("nan"), "nan"),
    (np.arange(4, dtype=np.int32), "Tensor<type: int32 shape: [4] values: 0 1 2...>"),
]


@pytest.mark.parametrize(("value", "text"), TEXTS, ids=[str(i) for i in range(len(TEXTS))])
def test_attr_text(value, text):
    assert attr_text(value) == text


@given(st.floats(width=32, allow_nan=False), st.floats(allow_nan=False))
def test_float_text_tells_numbers_apart(single, double):
    assert np.float32(float_text(np.float32(single))) == np.float32(single)
    assert float(float_text(np.float64(double))) == double


# --- graphs ---------------------------------------------------------------------------------------


def test_nodes(fresh_graph):
    with fresh_graph.device("/job:w/gpu:1"):
        x = create_op("ToyInput", [], {"dtype": FLOAT, "shape": (2, 2)}, name="x")
    z, y = create_op("ToyNothing", name="z"), create_op("ToyNothing", name="y")
    axis = tf.constant(0, name="axis")
    with fresh_graph.control_dependencies([z, y]):
        many = create_op("ToySplit", [axis, x], {"num_split": 2}, name="m")
    create_op("ToyNeg", [many[1]], name="n")
    message = fresh_graph.as_graph_def()
    assert [node.name for node in message.node] == ["x", "z", "y", "axis", "m", "n"]
    assert message.versions == protos.VersionDef(producer=2474)
    assert not message.HasField("library")
    node_x, node_z, _, _, node_m, node_n = message.node
    assert node_x.device == "/job:w/device:GPU:1"
    assert node_z.attr["_has_manual_control_dependencies"].b
    assert node_m.input == ["axis", "x", "^y", "^z"]
    assert node_n.input == ["m:1"]
    assert set(node_m.attr) == {"num_split", "T"}
    assert message.node[-1] == many[1].consumers()[0].node_def
    assert str(many[1].consumers()[0]) == str(node_n)


def test_from_version_has_no_effect(fresh_graph):
    create_op("ToyNothing")
    create_op("ToyNothing")
    assert len(fresh_graph.as_graph_def(from_version=1).node) == 2


def test_add_shapes(fresh_graph):
    create_op("ToyInput", [], {"dtype": FLOAT, "shape": (2, None)})
    create_op("ToyInput", [], {"dtype": FLOAT})
    create_op("ToyNothing")
    nodes = fresh_graph.as_graph_def(add_shapes=True).node
    shapes = [node.attr["_output_shapes"].list.shape for node in nodes]
    assert shapes == [[shape_proto(2, -1)], [UNKNOWN], []]
    assert not any("_output_shapes" in n.attr for n in fresh_graph.as_graph_def().node)


def test_round_trip(fresh_graph):
    x = create_op("ToyInput", [], {"dtype": FLOAT, "shape": (None, 2, 3)}, name="x")
    with fresh_graph.colocate_with(x), fresh_graph.control_dependencies([x]):
        create_op("ToyAttrs", [x], {"value": np.arange(3.0), "shapes": [None, ()], "f": 0.1})
    create_op("ToyMany", [[1, "s", x]])
    message = fresh_graph.as_graph_def(add_shapes=True)
    with Graph().as_default() as copy:
        import_graph_def(message, name="")
    assert copy.as_graph_def(add_shapes=True) == message
    assert copy.as_graph_def() == fresh_graph.as_graph_def()


@given(st.data())
def test_any_graph_comes_back(data):
    graph = Graph()
    with graph.as_default():
        ops = [create_op("ToyInput", [], {"dtype": FLOAT, "shape": None}).op]
        for _ in range(data.draw(st.integers(0, 8))):
            tensors = st.sampled_from([op.outputs[0] for op in ops])
            device = data.draw(st.sampled_from(["", "/cpu:1", "/job:a/task:2"]))
            control = data.draw(st.lists(st.sampled_from(ops), max_size=3))
            with graph.device(device), graph.control_dependencies(control):
                inputs = data.draw(st.lists(tensors, min_size=1, max_size=3))
                ops.append(create_op("ToySum", [inputs]).op)
    message = graph.as_graph_def(add_shapes=True)
    shuffled = protos.GraphDef(versions=message.versions)
    shuffled.node.extend(data.draw(st.permutations(list(message.node))))
    for nodes in (message, shuffled):
        with Graph().as_default() as copy:
            import_graph_def(nodes, name="")
        by_name = {node.name: node for node in copy.as_graph_def(add_shapes=True).node}
        assert by_name == {node.name: node for node in message.node}


def test_a_graph_def_holds_the_messages_of_its_nodes():
    with tf.Graph().as_default() as graph:
        values = np.arange(1 << 18, dtype=np.float32)  # a part of its own
        start = tf.constant(values, name="long" * 50)
        with tf.device("/cpu:0"), tf.control_dependencies([start]):
            parts = tf.split(start, 2)
        tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(1)])  # inputs that come later
        for value in (True, 1, 0.0, -0.0, b"x"):
            tf.identity(parts[1]).op._set_attr("_own", to_attr_value(value, None))
    nodes = graph.as_graph_def().node
    assert list(nodes) == [op.node_def for op in graph.get_operations()]


def _new_node(graph, x, y):
    tf.identity(y, name="more")


def _control(graph, x, y):
    with tf.control_dependencies([x]):  # it says so of itself in an attribute
        tf.no_op()


CHANGES = {
    "node": _new_node,
    "device": lambda graph, x, y: y.op._set_device("/cpu:1"),
    "attribute": lambda graph, x, y: y.op._set_attr("_own", to_attr_value(1, None)),
    "input": lambda graph, x, y: y.op._update_input(0, y.op.inputs[1]),
    "control input": lambda graph, x, y: y.op._add_control_input(x.op),
    "control dependencies": _control,
    "device left out": lambda graph, x, y: graph.create_op(
        "NoOp", [], [], name="bare", compute_device=False
    ),
    "loop": lambda graph, x, y: tf.while_loop(
        lambda i: i < 3, lambda i: (graph.as_graph_def(), i + 1)[1], [tf.constant(1)]
    ),
    "loop in a loop": lambda graph, x, y: tf.while_loop(
        lambda i: i < 3,
        lambda i: tf.while_loop(
            lambda j: j < 3, lambda j: (graph.as_graph_def(), j + 1)[1], [tf.constant(0)]
        ),
        [tf.constant(1)],
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_after_an_export_is_in_the_next(change):
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        x, y = tf.constant(1.0), tf.constant(2.0) + tf.constant(3.0)
        graph.as_graph_def()
        change(graph, x, y)
        for _ in range(2):
            nodes = graph.as_graph_def().node
            assert list(nodes) == [op.node_def for op in graph.get_operations()]


def test_exports_of_large_nodes_are_not_kept(monkeypatch):
    monkeypatch.setattr(node_def, "_MOST_KEPT", 1000)
    monkeypatch.setattr(node_def, "_BYTES_AT_ONCE", 10)
    with tf.Graph().as_default() as graph:
        for size in (1, 2000, 1, 1):
            tf.constant(np.arange(size, dtype=np.float32))
            for _ in range(2):
                nodes = graph.as_graph_def().node
                assert list(nodes) == [op.node_def for op in graph.get_operations()]
    assert sum(map(len, graph._encoded._kept)) <= 1000
