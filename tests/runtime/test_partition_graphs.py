"""The graphs of a step: what is put in where edges leave a device, its names and its order."""

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.runtime.partition_graphs import StepGraph
from tfsession.runtime.plan import Signature

FULL = "/job:localhost/replica:0/task:0/device:"


def drawn(fetches=(), targets=(), feeds=(), gpus=0, numbers=None):
    """The graphs of a step as {short device: {node name: NodeDef}}."""
    config = tf.ConfigProto(device_count={"CPU": 3, "GPU": gpus})
    with tf.Session(config=config) as session:
        engine = session._engine
        signature = Signature(tuple(fetches), tuple(targets), tuple(feeds), (None,) * len(feeds))
        plan = engine.plan(signature)
        graph = StepGraph(
            plan.nodes,
            dict.fromkeys(feeds),
            dict.fromkeys(fetches),
            engine.devices.host,
            numbers or count(),
        )
        messages = graph.to_graph_defs(session.graph_def.versions)
    return {
        message.node[0].device.removeprefix(FULL): {node.name: node for node in message.node}
        for message in messages
    }


def texts(nodes):
    """Nodes as `name = Op(inputs)`."""
    return [f"{node.name} = {node.op}({', '.join(node.input)})" for node in nodes.values()]


def test_feeds_and_fetches_are_nodes_of_the_client(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.name_scope("scope"):
        both = tf.split(x, 2, name="both")
    graphs = drawn([both[0], both[1]], feeds=[x])
    assert {device: texts(nodes) for device, nodes in graphs.items()} == {
        "CPU:0": [
            "scope/both/split_dim = Const()",
            "_arg_x_0_0 = _Arg()",
            "scope/both = Split(scope/both/split_dim, _arg_x_0_0)",
            "_retval_scope/both_0_0 = _Retval(scope/both)",
            "_retval_scope/both_1_1 = _Retval(scope/both:1)",
        ]
    }
    nodes = graphs["CPU:0"]
    assert nodes["_arg_x_0_0"].attr["T"].type == tf.float32.as_datatype_enum
    assert nodes["_retval_scope/both_1_1"].attr["index"].i == 1


def test_a_feed_that_nothing_reads_is_left_out_and_keeps_its_number(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    y = tf.placeholder(tf.float32, [2], name="y")
    nodes = drawn([tf.negative(y, name="z")], feeds=[x, y])["CPU:0"]
    assert list(nodes) == ["_arg_y_0_1", "z", "_retval_z_0_0"]


def test_one_pair_for_each_tensor_and_destination(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/cpu:1"):
        a = tf.add(x, x, name="a")
    with tf.device("/cpu:2"):
        b = tf.add(a, a, name="b")
        c = tf.multiply(a, b, name="c")
    graphs = drawn([c], feeds=[x], numbers=count(7))
    assert list(graphs) == ["CPU:0", "CPU:1", "CPU:2"]
    assert texts(graphs["CPU:1"]) == [
        "_arg_x_0_0/_8 = _Recv()",
        "a = AddV2(_arg_x_0_0/_8, _arg_x_0_0/_8)",
        "a/_9 = _Send(a)",
    ]
    assert texts(graphs["CPU:2"]) == [
        "a/_10 = _Recv()",
        "b = AddV2(a/_10, a/_10)",
        "c = Mul(a/_10, b)",
        "c/_11 = _Send(c)",
    ]
    send, receive = graphs["CPU:1"]["a/_9"], graphs["CPU:2"]["a/_10"]
    for node in send, receive:
        assert node.attr["_src"].s == b"a"
        assert node.attr["_dst"].s == b"b"
        assert node.attr["tensor_name"].s == b"edge_3_a"
        assert node.attr["send_device"].s == f"{FULL}CPU:1".encode()
        assert node.attr["recv_device"].s == f"{FULL}CPU:2".encode()
        assert node.attr["send_device_incarnation"].i == 1
        assert node.attr["client_terminated"].b is False
    assert send.attr["T"].type == receive.attr["tensor_type"].type == tf.float32.as_datatype_enum


def test_a_control_edge_sends_nothing_and_waits(fresh_graph):
    with tf.device("/cpu:1"):
        first = tf.no_op(name="first")
    with tf.control_dependencies([first]):
        second = tf.constant(3.0, name="second")
    graphs = drawn([second])
    assert texts(graphs["CPU:1"]) == [
        "first = NoOp()",
        "first/ctrl/_0 = Const(^first)",
        "first/_1 = _Send(first/ctrl/_0)",
    ]
    assert texts(graphs["CPU:0"]) == [
        "first/_2 = _Recv()",
        "first/_3 = Identity(first/_2)",
        "second = Const(^first/_3)",
        "_retval_second_0_0 = _Retval(second)",
    ]
    assert graphs["CPU:1"]["first/ctrl/_0"].attr["value"].tensor.tensor_shape.dim[0].size == 0


def test_every_reader_of_a_variable_gets_its_own_copy_after_its_other_inputs(fresh_graph):
    with tf.device("/cpu:1"):
        v = tf.get_variable("v", [], initializer=tf.zeros_initializer())
    x = tf.placeholder(tf.float32, [], name="x")
    with tf.device("/cpu:0"):
        a = tf.add(x, v._ref(), name="a")
        b = tf.add(x, v._ref(), name="b")
    nodes = texts(drawn([a, b], feeds=[x])["CPU:0"])
    assert "v/_1 = _Recv(^_arg_x_0_0)" in nodes
    assert "a = AddV2(_arg_x_0_0, v/_1)" in nodes
    assert "b = AddV2(_arg_x_0_0, v/_3)" in nodes


def test_waiting_for_a_fed_placeholder_is_waiting_for_its_argument(fresh_graph):
    x = tf.placeholder(tf.float32, [], name="x")
    with tf.control_dependencies([x]):
        c = tf.constant(1.0, name="c")
    assert "c = Const(^_arg_x_0_0)" in texts(drawn([c], feeds=[x])["CPU:0"])


def test_host_memory_has_sends_of_its_own(fresh_graph):
    x = tf.placeholder(tf.float32, [2, 2], name="x")
    with tf.device("/gpu:0"):
        size = tf.shape(x, name="size")
        y = tf.reshape(x, size, name="y")
        z = tf.negative(y, name="z")
    graphs = drawn([size, z], feeds=[x], gpus=1)
    gpu = {node.name: node.op for node in graphs["GPU:0"].values()}
    assert gpu["size/_2"] == "_HostSend"
    assert graphs["CPU:0"]["size/_3"].op == "_Recv"
    assert "y = Reshape(_arg_x_0_0/_1, size)" in texts(graphs["GPU:0"])


def test_a_copy_between_the_memories_of_one_device_waits_for_its_send(fresh_graph):
    size = tf.placeholder(tf.int64, [1], name="size")
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.device("/gpu:0"):
        negative = tf.negative(size, name="negative")
        y = tf.reshape(x, negative, name="y")
    nodes = texts(drawn([y], feeds=[size, x], gpus=1)["GPU:0"])
    assert "negative/_4 = _Send(negative)" in nodes
    assert "negative/_5 = _HostRecv(^negative/_4)" in nodes
    assert "y = Reshape(_arg_x_0_1/_3, negative/_5)" in nodes


def test_no_operation_at_all(fresh_graph):
    with tf.device("/cpu:2"):
        target = tf.no_op(name="alone")
    assert {d: texts(n) for d, n in drawn(targets=[target]).items()} == {
        "CPU:2": ["alone = NoOp()"]
    }


@st.composite
def steps(draw):
    """Rows of (op kind, device, indices of inputs, indices of controls), and fetched indices."""
    rows = []
    for index in range(draw(st.integers(1, 12))):
        earlier = st.integers(0, index - 1) if index else st.nothing()
        inputs = draw(st.lists(earlier, max_size=3)) if index else []
        controls = draw(st.lists(earlier, max_size=2)) if index else []
        rows.append((draw(st.integers(0, 2)), inputs, controls))
    fetches = draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=3))
    feeds = draw(st.sets(st.integers(0, len(rows) - 1), max_size=2))
    return rows, sorted(fetches - feeds), sorted(feeds)


@settings(max_examples=60, deadline=None)
@given(steps())
def test_each_graph_is_whole_and_in_order(step):
    rows, fetches, feeds = step
    if not fetches:
        return
    with tf.Graph().as_default():
        tensors = []
        for index, (device, inputs, controls) in enumerate(rows):
            with (
                tf.device(f"/cpu:{device}"),
                tf.control_dependencies([tensors[i] for i in controls]),
            ):
                values = [tensors[i] for i in inputs] or [tf.constant(1.0)]
                tensors.append(tf.add_n(values, name=f"n{index}"))
        by_name = lambda t: t.name  # noqa: E731
        graphs = drawn(
            sorted((tensors[i] for i in fetches), key=by_name),
            feeds=sorted((tensors[i] for i in feeds), key=by_name),
        )
    sent, received = {}, {}
    for device, nodes in graphs.items():
        seen = set()
        for node in nodes.values():
            for name in node.input:
                assert name.removeprefix("^").partition(":")[0] in seen
            seen.add(node.name)
            assert node.device == FULL + device
            if node.op in ("_Send", "_Recv"):
                pairs = sent if node.op == "_Send" else received
                key = node.attr["tensor_name"].s
                assert key not in pairs
                pairs[key] = node.attr["send_device"].s, node.attr["recv_device"].s
    assert sent == received
    names = [name for nodes in graphs.values() for name in nodes]
    assert len(names) == len(set(names))
