"""`Graph.create_op`: operations from flat lists of tensors and AttrValue messages."""

import pytest

import tfsession as tf
from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import as_dtype
from tfsession.graph.create import create_op

FLOAT, INT = as_dtype("float32"), as_dtype("int32")


def floats(*shape):
    return create_op("ToyInput", [], {"dtype": FLOAT, "shape": shape})


def ints(*shape):
    return create_op("ToyInput", [], {"dtype": INT, "shape": shape})


def test_graph_create_op(fresh_graph):
    x, y = floats(2), floats(2)
    op = fresh_graph.create_op("ToySum", [x, y], [FLOAT], name="s")
    assert op.node_def.attr["N"].i == 2
    attrs = {"transpose_a": to_attr_value(True, "bool"), "_z": protos.AttrValue(i=1)}
    matrix = floats(2, 2)
    op = fresh_graph.create_op("ToyMatMul", [matrix, matrix], attrs=attrs)
    assert op.attrs == {"transpose_a": True, "_z": 1, "T": FLOAT}
    assert fresh_graph.create_op("ToyNothing", [], name="q/").name == "q"
    assert fresh_graph.create_op("ToyNothing", []).name == "ToyNothing"
    assert fresh_graph.create_op("ToyMany", [x, y]).attrs == {"T": [FLOAT, FLOAT]}
    assert fresh_graph.create_op("ToyNeg", [x], input_types=[FLOAT]).inputs == (x,)
    with fresh_graph.device("/gpu:1"):
        assert fresh_graph.create_op("ToyNothing", [], compute_device=False).device == ""


NEG = "Op<name=ToyNeg; signature=x:T -> y:T; attr=T:type,allowed=[DT_HALF, DT_FLOAT, DT_DOUBLE, "
CREATE_ROWS = [
    ("unknown", ("Bogus", []), {}, RuntimeError, "Op type not registered 'Bogus' in binary"),
    ("no_tensor", ("ToyNeg", [3]), {}, TypeError, "Input #0 is not a tensor: 3"),
    (
        "inconsistent",
        ("ToyAdd", [floats, ints]),
        {},
        ValueError,
        "Inconsistent values for attr 'T' DT_FLOAT vs. DT_INT32 while building NodeDef 'ToyAdd' "
        "using Op<name=ToyAdd; ",
    ),
    (
        "inconsistent_with_given",
        ("ToyNeg", [floats]),
        {"attrs": {"T": protos.AttrValue(type=3)}},
        ValueError,
        "Inconsistent values for attr 'T' DT_FLOAT vs. DT_INT32 while building NodeDef 'ToyNeg'",
    ),
    (
        "too_many",
        ("ToyNeg", [floats, floats]),
        {},
        ValueError,
        f"NodeDef expected inputs 'float' do not match 2 inputs specified; {NEG}",
    ),
    ("too_few", ("ToyNeg", []), {}, ValueError, f"NodeDef missing attr 'T' from {NEG}"),
    (
        "missing",
        ("ToyInput", []),
        {},
        ValueError,
        "NodeDef missing attr 'dtype' from Op<name=ToyInput; signature= -> output:dtype; "
        "attr=dtype:type; attr=shape:shape,default=<unknown>>; NodeDef: {{node ToyInput}}",
    ),
    (
        "name",
        ("ToyNothing", []),
        {"name": "a b"},
        ValueError,
        "`a b` is not a valid node name. Accepted names conform to Regex "
        "/re.compile('^[A-Za-z0-9.][A-Za-z0-9_.\\\\\\\\/>-]*$')/",
    ),
    (
        "input_types",
        ("ToyNeg", [floats]),
        {"input_types": [INT]},
        TypeError,
        "In op 'ToyNeg', input types ([tf.float32]) are not compatible with expected types "
        "([tf.int32])",
    ),
    (
        "no_reference",
        ("ToyAssign", [floats, floats]),
        {},
        ValueError,
        "Input 0 of node ToyAssign was passed float from ToyInput:0 incompatible with expected "
        "float_ref.",
    ),
    (
        "not_allowed",
        ("ToyNeg", [lambda: tf.constant("a")]),
        {},
        ValueError,
        "Value for attr 'T' of string is not in the list of allowed values: half, float, double, "
        "int32, int64\n\t; NodeDef: {{node ToyNeg}}; Op<name=ToyNeg; ",
    ),
]


@pytest.mark.parametrize("row", CREATE_ROWS, ids=lambda row: row[0])
def test_graph_create_op_error(fresh_graph, row):
    _, (op_type, inputs), arguments, error, phrase = row
    inputs = [make() if callable(make) else make for make in inputs]
    with pytest.raises(error) as caught:
        fresh_graph.create_op(op_type, inputs, **arguments)
    assert phrase in str(caught.value)
    assert op_type not in {op.type for op in fresh_graph.get_operations()} or inputs == []


def test_finalized(fresh_graph):
    x = floats(2)
    fresh_graph.finalize()
    for make in (lambda: create_op("ToyNeg", [x]), lambda: fresh_graph.create_op("ToyNeg", [x])):
        with pytest.raises(RuntimeError, match=r"Graph is finalized and cannot be modified\."):
            make()


def test_node_names(fresh_graph):
    with fresh_graph.name_scope("s"):
        assert fresh_graph.create_op("ToyNothing", [], name="_a").name == "s/_a"
        with pytest.raises(ValueError, match="`s/a b` is not a valid node name"):
            fresh_graph.create_op("ToyNothing", [], name="a b")
        assert fresh_graph.create_op("ToyNothing", [], name="q/").name == "q"
    with pytest.raises(ValueError, match="Duplicate node name in graph: 'q'"):
        fresh_graph.create_op("ToyNothing", [], name="q/")
    with pytest.raises(ValueError, match="`_a` is not a valid node name"):
        fresh_graph.create_op("ToyNothing", [], name="_a")
