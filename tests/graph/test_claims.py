"""What a GraphDef may claim that is not so: refused, without the memory that it asks for."""

import pytest

import tfsession as tf
from tfsession.core import protos

HUGE = 1 << 40


def const(dtype=protos.DT_FLOAT, shape=(), **values):
    """A node of a constant."""
    node = protos.NodeDef(name="c", op="Const")
    node.attr["dtype"].type = dtype
    tensor = node.attr["value"].tensor
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for field, found in values.items():
        getattr(tensor, field).extend(found)
    return node


def node_of(op, inputs=(), name="n", **attrs):
    """A node; `attrs` are fields of AttrValue by name."""
    node = protos.NodeDef(name=name, op=op, input=inputs)
    for key, message in attrs.items():
        node.attr[key].CopyFrom(message)
    return node


def of_type(number):
    return protos.AttrValue(type=number)


def changed(node, change):
    change(node)
    return node


FLOAT = of_type(protos.DT_FLOAT)
REFUSED = {
    "a reference as a type": (
        [node_of("Placeholder", dtype=of_type(101))],
        "must not have reference type value of float_ref",
    ),
    "a constant of another type": (
        [changed(const(float_val=[1.0]), lambda n: n.attr["dtype"].CopyFrom(of_type(3)))],
        r"Type mismatch between value \(float\) and dtype \(int32\)",
    ),
    "a quantized constant of another type": (
        [changed(const(12, int_val=[1]), lambda n: n.attr["dtype"].CopyFrom(of_type(3)))],
        r"Type mismatch between value \(quint8\) and dtype \(int32\)",
    ),
    "values out of range": ([const(4, int_val=[300])], "out of bounds"),
    "more inputs than there can be": (
        [node_of("AddN", N=protos.AttrValue(i=1 << 60), T=FLOAT)],
        "asks for 1152921504606846976 tensors",
    ),
    "more outputs than there can be": (
        [
            const(float_val=[1.0]),
            node_of("Unpack", ["c"], num=protos.AttrValue(i=1 << 40), T=FLOAT),
        ],
        "asks for 1099511627776 tensors",
    ),
    "a group that is no text": (
        [changed(const(), lambda n: n.attr["_class"].list.i.append(1))],
        r"value with type 'list\(int\)' when 'list\(string\)' expected",
    ),
    "several values for very many elements": (
        [const(shape=[HUGE], float_val=[1.0, 2.0])],
        "2 values are given for a tensor of shape",
    ),
    "a size below zero": ([const(shape=[-5])], "-5"),
    "an axis that is not there": (
        [
            const(float_val=[1.0]),
            changed(const(3, [0]), lambda n: setattr(n, "name", "d")),
            node_of("ExpandDims", ["c", "d"], T=FLOAT, Tdim=of_type(3)),
        ],
        "out of bounds",
    ),
    "a group named by no text": (
        [changed(const(), lambda n: n.attr["_class"].list.s.append(b"loc:@\xff"))],
        "colocated with unknown node",
    ),
}


@pytest.mark.parametrize("claim", REFUSED)
def test_what_is_refused(fresh_graph, claim):
    nodes, text = REFUSED[claim]
    with pytest.raises(ValueError, match=text):
        tf.import_graph_def(protos.GraphDef(node=nodes))
    assert fresh_graph.get_operations() == []


def test_one_value_for_very_many_elements_takes_no_memory(fresh_graph):
    nodes = [
        const(shape=[HUGE], float_val=[2.0]),
        changed(const(shape=[1 << 20, 1 << 20]), lambda n: setattr(n, "name", "zeros")),
        node_of("Shape", ["c"], T=FLOAT, out_type=of_type(protos.DT_INT64)),
    ]
    c, zeros, shape = tf.import_graph_def(
        protos.GraphDef(node=nodes), return_elements=["c:0", "zeros:0", "n:0"]
    )
    assert c.shape.as_list() == [HUGE]
    with tf.Session() as session:
        assert session.run(shape).tolist() == [HUGE]
        # Only who computes with them needs the memory.
        for constant in (c, zeros):
            with pytest.raises(tf.errors.ResourceExhaustedError, match="OOM"):
                session.run(tf.negative(constant))
    again = fresh_graph.as_graph_def()
    assert list(again.node[0].attr["value"].tensor.float_val) == [2.0]


def test_functions_whose_arguments_have_no_type(fresh_graph):
    function = protos.FunctionDef()
    function.signature.name = "f"
    function.signature.input_arg.add(name="x")
    message = protos.GraphDef(node=[node_of("f", ["f"])])
    message.library.function.append(function)
    with pytest.raises(ValueError, match="Argument 'x' of 'f' has no type"):
        tf.import_graph_def(message)


def test_a_collection_that_names_what_is_not_there(fresh_graph):
    message = protos.MetaGraphDef()
    message.collection_def["trainable"].node_list.value.append("nobody:0")
    with pytest.raises(ValueError, match=r"Collection 'trainable' cannot be restored: .*nobody"):
        tf.train.import_meta_graph(message)
    message.collection_def["trainable"].Clear()
    message.collection_def["variables"].bytes_list.value.append(b"\xff\xff")
    with pytest.raises(ValueError, match="Collection 'variables' cannot be restored"):
        tf.train.import_meta_graph(message)
