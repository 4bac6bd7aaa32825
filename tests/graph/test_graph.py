"""The graph: names, scopes, control dependencies, devices, colocation, collections, mixing."""

import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.errors import OperatorNotAllowedInGraphError


@pytest.fixture(autouse=True)
def graph(fresh_graph):
    return fresh_graph


def node(name=None):
    """A new operation."""
    return tf.constant(1.0, name=name or "Const").op


def inputs(op):
    return [control.name for control in op.control_inputs]


class TestNames:
    def test_are_made_unique_letter_case_aside(self):
        names = [node(name).name for name in ("a", "a", "A", "a_1", "x/y", "x/y", "b/")]
        assert names == ["a", "a_1", "A_2", "a_1_1", "x/y", "x/y_1", "b"]

    def test_unique_name(self, graph):
        assert graph.unique_name("z") == "z"
        assert graph.unique_name("z", mark_as_used=False) == "z_1"
        assert graph.unique_name("Z") == "Z_1"

    @pytest.mark.parametrize("name", ["_x", "x y", "-", "a$"])
    def test_must_be_valid(self, name, graph):
        x = tf.placeholder(tf.float32)
        for make in (lambda: tf.negative(x, name=name), lambda: tf.constant(1.0, name=name)):
            with pytest.raises(ValueError, match="is not a valid"):
                make()
        assert graph.version == 1

    def test_scopes(self, graph):
        with tf.name_scope("s") as outer:
            assert (outer, node("q").name, node("_x").name) == ("s/", "s/q", "s/_x")
            with tf.name_scope("t"):
                assert node("q").name == "s/t/q"
                assert graph.get_name_scope() == "s/t"
            with tf.name_scope("u/"):
                assert node("q").name == "u/q"
            with tf.name_scope(None):
                assert node("q").name == "q"
        with tf.name_scope("s") as again:
            assert again == "s_1/"
        with tf.name_scope(outer):
            assert node("q").name == "s/q_1"
        assert graph.get_name_scope() == ""

    def test_default_names_and_values(self):
        with tf.name_scope(None, "default") as scope:
            assert scope == "default/"
        with tf.Graph().as_default() as other:
            value = tf.constant(1.0)
        with tf.name_scope("s", values=[value]):
            assert tf.get_default_graph() is other
        assert tf.name_scope(None, "default").name == "default"
        with (
            pytest.raises(ValueError, match="At least one of name"),
            tf.name_scope(None, values=[]),
        ):
            pass
        with pytest.raises(TypeError, match=r"`default_name` type .* is not a string type"):
            tf.name_scope(None, 3)
        twice = tf.name_scope("twice")
        with twice as first, twice as second:
            assert (first, second) == ("twice/", "twice/twice/")

    @pytest.mark.parametrize(
        ("ask", "error", "text"),
        [
            (
                lambda g: g.get_tensor_by_name("k"),
                ValueError,
                "refers to an Operation, not a Tensor",
            ),
            (
                lambda g: g.get_tensor_by_name("zz:0"),
                KeyError,
                "operation, 'zz', does not exist",
            ),
            (lambda g: g.get_tensor_by_name("k:1"), KeyError, "exists but only has 1 outputs"),
            (lambda g: g.get_tensor_by_name("k:x"), ValueError, "looks a like a Tensor name"),
            (lambda g: g.get_tensor_by_name(3), TypeError, "Tensor names are strings"),
            (lambda g: g.get_operation_by_name("k:0"), ValueError, "appears to refer to a Tensor"),
            (lambda g: g.get_operation_by_name("zz"), KeyError, "refers to an Operation not in"),
            (
                lambda g: g.as_graph_element("zz", allow_operation=False),
                ValueError,
                "looks like an (invalid) Operation name",
            ),
        ],
    )
    def test_look_up(self, graph, ask, error, text):
        op = node("k")
        assert graph.get_operation_by_name("k") is op
        assert graph.get_tensor_by_name("k:0") is op.outputs[0]
        with pytest.raises(error) as raised:
            ask(graph)
        assert text in str(raised.value)


class TestTensors:
    def test_compare_by_identity(self):
        a, b = tf.placeholder(tf.float32, [], name="a"), tf.placeholder(tf.float32, [], name="b")
        assert (a == a, a == b, a != b) == (True, False, True)
        assert {a: 1}[a] == 1

    def test_are_no_python_values(self):
        a = tf.placeholder(tf.float32, [2], name="a")
        for ask in (bool, iter):
            with pytest.raises(OperatorNotAllowedInGraphError, match=r"symbolic `tf\.Tensor`"):
                ask(a)
        with pytest.raises(TypeError, match="len is not well defined for a symbolic Tensor"):
            len(a)
        with pytest.raises(NotImplementedError, match=r"convert a symbolic tf.Tensor \(a:0\)"):
            np.array(a)

    def test_texts(self):
        a = tf.placeholder(tf.float32, [None, 3], name="a")
        assert repr(a) == "<tf.Tensor 'a:0' shape=(?, 3) dtype=float32>"
        assert str(a) == 'Tensor("a:0", shape=(?, 3), dtype=float32)'
        assert str(tf.placeholder(tf.int32, name="b")) == 'Tensor("b:0", dtype=int32)'
        with tf.device("/gpu:0"):
            placed = tf.placeholder(tf.int32, [], name="c")
        assert str(placed) == 'Tensor("c:0", shape=(), dtype=int32, device=/device:GPU:0)'
        assert repr(a.op) == "<tf.Operation 'a' type=Placeholder>"

    def test_neighbours(self):
        a, b = tf.placeholder(tf.float32, name="a"), tf.placeholder(tf.float32, name="b")
        c = tf.multiply(a, b, name="c")
        assert [op.name for op in a.consumers()] == ["c"]
        assert (c.op.type, list(c.op.inputs), c.op.outputs) == ("Mul", [a, b], [c])
        assert a.graph is c.op.graph

    def test_of_two_graphs_do_not_mix(self):
        a = tf.constant(1.0, name="a")
        with tf.Graph().as_default():
            b = tf.constant(1.0, name="b")
            with pytest.raises(ValueError, match=r"must be from the same graph as .*\(graphs are "):
                tf.add(a, b)


class TestControlDependencies:
    def test_nest_and_add_up(self):
        a, b = node("a"), node("b")
        with tf.control_dependencies([a, a.outputs[0]]):
            with tf.control_dependencies(["b:0"]):
                assert inputs(node()) == ["a", "b"]
            with tf.control_dependencies(None):
                assert inputs(node()) == []
            assert inputs(node()) == ["a"]
        assert inputs(node()) == []
        assert [op.name for op in b.control_outputs] == ["Const"]

    def test_leave_out_what_data_implies(self):
        a = tf.constant(1.0, name="a")
        with tf.control_dependencies([a]):
            inner = node("inner")
            assert inputs(tf.negative(a).op) == []
            assert inputs(tf.negative(inner.outputs[0]).op) == []
            assert inputs(node()) == ["a"]

    @pytest.mark.parametrize("bad", [[3], [object()]])
    def test_take_graph_elements_only(self, bad):
        with pytest.raises(TypeError, match=r"Can not convert a .* into a Tensor or Operation"):
            tf.control_dependencies(bad)


SCOPES = [
    (["/gpu:0", ""], "/device:GPU:0"),
    (["/gpu:0", None], ""),
    (["/gpu:1", "/cpu"], "/device:CPU:1"),
    (["/job:w/cpu:0", "/task:1"], "/job:w/task:1/device:CPU:0"),
    (["/gpu:1", lambda op: "/task:3"], "/task:3/device:GPU:1"),
    ([lambda op: "/task:3", "/gpu:1"], "/task:3"),
    ([lambda op: op.device + "/task:3", "/gpu:1"], "/device:GPU:1/task:3"),
    ([lambda op: "gpu:1"], "/device:GPU:1"),
    ([lambda op: b"/cpu:1"], "/cpu:1"),
    ([lambda op: tf.DeviceSpec(job="q", device_index=1), "/cpu"], "/job:q"),
    ([tf.DeviceSpec(job="q", device_index=1), "/cpu"], "/job:q/device:CPU:1"),
    ([tf.DeviceSpec(device_index=1), "/cpu"], "/device:CPU:*"),
    ([tf.DeviceSpec(job="q", device_type="CPU", device_index=1)], "/job:q/device:CPU:1"),
]


class TestDevices:
    @pytest.mark.parametrize(("scopes", "result"), SCOPES, ids=[str(row[1]) for row in SCOPES])
    def test_scopes(self, scopes, result):
        def enter(rest):
            if not rest:
                return node().device
            with tf.device(rest[0]):
                return enter(rest[1:])

        assert enter(scopes) == result
        assert node().device == ""

    def test_what_is_no_device(self, graph):
        with pytest.raises(ValueError, match="Unknown attribute 'bogus'"), tf.device("bogus"):
            pass
        with pytest.raises(TypeError, match="got None"), tf.device(lambda op: None):
            node()
        with pytest.raises(AttributeError, match="no setter"):
            node().device = "/cpu:0"
        assert graph.version == 1


class TestColocation:
    def test_groups_and_devices(self):
        with tf.device("/gpu:0"):
            target = node("target")
        with tf.colocate_with(target):
            first = node("first")
            with tf.device("/cpu:0"):
                second = node("second")
        with tf.colocate_with(first):
            chained = node("chained")
        for op in (first, second, chained):
            assert op.colocation_groups() == [b"loc:@target"]
            assert op.device == "/device:GPU:0"
        assert target.colocation_groups() == [b"loc:@target"]

    def test_nesting(self):
        a, b = node("a"), node("b")
        with tf.colocate_with(b), tf.colocate_with(a):
            assert node().colocation_groups() == [b"loc:@a", b"loc:@b"]
            with tf.colocate_with(b, ignore_existing=True):
                assert node().colocation_groups() == [b"loc:@b"]
            with tf.colocate_with(None, ignore_existing=True):
                assert node("free").colocation_groups() == [b"loc:@free"]
        with pytest.raises(ValueError, match="Trying to reset colocation"), tf.colocate_with(None):
            pass


def test_collections(graph):
    a = tf.constant(1.0, name="a")
    tf.add_to_collection("x", a)
    tf.add_to_collection("x", 3)
    tf.add_to_collections(["x", "y", "y"], 4)
    tf.add_to_collections("xy", 5)
    assert tf.get_collection("x") == [a, 3, 4]
    assert tf.get_collection("x", "a") == [a]
    assert (tf.get_collection("y"), tf.get_collection("xy")) == ([4], [5])
    assert tf.get_collection("none") == []
    tf.get_collection("x").append(6)
    assert len(tf.get_collection("x")) == 3
    tf.get_collection_ref("x").append(6)
    assert len(tf.get_collection("x")) == 4
    assert set(graph.collections) == {"x", "y", "xy"}
    graph.clear_collection("x")
    assert tf.get_collection("x") == []
    graph.finalize()
    with pytest.raises(RuntimeError, match="Graph is finalized"):
        graph.add_to_collection("x", 1)


def test_graph_keys():
    assert tf.GraphKeys.GLOBAL_VARIABLES == tf.GraphKeys.VARIABLES == "variables"
    assert tf.GraphKeys.TRAINABLE_VARIABLES == "trainable_variables"


def test_containers(graph):
    with tf.container("mine"):
        inside = tf.Variable(1.0).op
    assert inside.get_attr("container") == b"mine"
    assert tf.Variable(1.0).op.get_attr("container") == b""


def test_default_graphs(graph):
    with tf.Graph().as_default() as other:
        assert tf.get_default_graph() is other
        with pytest.raises(AssertionError, match=r"Do not use tf.reset_default_graph"):
            tf.reset_default_graph()
    assert tf.get_default_graph() is graph
    found = []

    def look():
        first = tf.get_default_graph()
        tf.reset_default_graph()
        found.extend([first, tf.get_default_graph()])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert len({graph, *found}) == 3


def test_what_a_graph_tells_of_its_operations():
    with tf.Graph().as_default() as graph:
        tf.constant(1, name="a")
    assert graph.num_operations() == 1
    assert graph.operations == graph.get_operations()
    assert graph.op_def_for_type("Const").name == "Const"
    with pytest.raises(ValueError, match="Op type not registered 'None such'"):
        graph.op_def_for_type("None such")
    assert graph.building_function is False
    graph.switch_to_thread_local()
