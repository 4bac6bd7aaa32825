"""Functions of imported GraphDefs: kept, called by nodes, and written again."""

import pytest

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import as_dtype
from tfsession.core.errors import NotFoundError
from tfsession.graph.function_def import instantiate
from tfsession.graph.importer import import_graph_def

FLOAT = as_dtype("float32")


def node(name, op, *inputs, **attrs):
    message = protos.NodeDef(name=name, op=op, input=inputs)
    for key, value in attrs.items():
        message.attr[key].CopyFrom(to_attr_value(value, None))
    return message


A = node("a", "ToyInput", dtype=FLOAT, shape=(2,))


def function(op="ToyNeg"):
    arg = protos.OpDef.ArgDef
    return protos.FunctionDef(
        signature=protos.OpDef(
            name="f",
            input_arg=[arg(name="x", type=protos.DT_FLOAT)],
            output_arg=[arg(name="y", type=protos.DT_FLOAT)],
        ),
        node_def=[node("n", op, "x", T=FLOAT)],
        ret={"y": "n:y:0"},
    )


def test_function_library(fresh_graph):
    given = protos.GraphDef(node=[A, node("call", "f", "a")])
    given.library.function.append(function())
    given.library.gradient.add(function_name="f", gradient_func="g")
    import_graph_def(given, name="")
    import_graph_def(given, name="again")
    out = fresh_graph.as_graph_def()
    assert out.library == given.library
    assert out.versions.min_consumer == 12
    call = fresh_graph.get_operation_by_name("call")
    assert call.outputs[0].dtype is FLOAT
    assert out.node[1] == given.node[1]


def test_two_functions_of_one_name(fresh_graph):
    first, second = protos.GraphDef(), protos.GraphDef(node=[A])
    first.library.function.append(function())
    second.library.function.append(function("ToyNot"))
    import_graph_def(first)
    phrase = "Cannot add function 'f' because a different function with the same name already"
    with pytest.raises(ValueError, match=phrase):
        import_graph_def(second)
    assert fresh_graph.as_graph_def().library.function[0] == function()


def test_a_function_of_an_op_that_is_not_known(fresh_graph):
    given = protos.GraphDef(node=[A])
    given.library.function.append(function("Nowhere"))
    import_graph_def(given, name="")
    body = given.library.function[0]
    with pytest.raises(NotFoundError, match="Op type not registered 'Nowhere'"):
        instantiate(fresh_graph, body, {}, [fresh_graph.get_tensor_by_name("a:0")], "call/")
