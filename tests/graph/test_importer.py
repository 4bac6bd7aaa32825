"""`import_graph_def`: each row is a GraphDef, the arguments, and what becomes of it."""

import pytest

import tfsession as tf
from tfsession.core import errors, protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import as_dtype
from tfsession.graph.create import create_op
from tfsession.graph.graph import Graph
from tfsession.graph.graph_def import PRODUCER
from tfsession.graph.importer import import_graph_def

FLOAT = as_dtype("float32")


def node(name, op, *inputs, device="", **attrs):
    message = protos.NodeDef(name=name, op=op, input=inputs, device=device)
    for key, value in attrs.items():
        message.attr[key].CopyFrom(to_attr_value(value, None))
    return message


def graph_of(*nodes, **versions):
    return protos.GraphDef(node=nodes, versions=protos.VersionDef(**versions))


def source(name="a", shape=(2,), **more):
    return node(name, "ToyInput", dtype=FLOAT, shape=shape, **more)


def neg(name, *inputs, T=FLOAT, **more):
    return node(name, "ToyNeg", *inputs, T=T, **more)


def nothing(name, *inputs, **more):
    return node(name, "ToyNothing", *inputs, **more)


A, B = source(), neg("b", "a")
C = nothing("c", "^a")


def described(graph):
    return [
        (op.name, [t.name for t in op.inputs], [c.name for c in op.control_inputs])
        for op in graph.get_operations()
    ]


# --- names and order ------------------------------------------------------------------------------

NAMES = [
    ("default", [{}], ["import/a", "import/b"]),
    ("twice", [{}, {}], ["import/a", "import/b", "import_1/a", "import_1/b"]),
    ("named", [{"name": "x"}], ["x/a", "x/b"]),
    ("exact", [{"name": "x/"}], ["x/a", "x/b"]),
    ("exact_twice", [{"name": "x/"}] * 2, ["x/a", "x/b", "x/a_1", "x/b_1"]),
    ("none_twice", [{"name": ""}] * 2, ["a", "b", "a_1", "b_1"]),
]


@pytest.mark.parametrize(("imports", "names"), [row[1:] for row in NAMES], ids=lambda v: None)
def test_names(fresh_graph, imports, names):
    for arguments in imports:
        assert import_graph_def(graph_of(A, B), **arguments) is None
    assert [op.name for op in fresh_graph.get_operations()] == names
    for op in fresh_graph.get_operations()[1::2]:
        assert op.inputs[0].op.name == op.name.replace("b", "a")


def test_prefix_beside_names_in_use(fresh_graph):
    create_op("ToyNothing", name="import/a")
    create_op("ToyNothing", name="x")
    import_graph_def(graph_of(A))
    import_graph_def(graph_of(A), name="x")
    with fresh_graph.name_scope("s"):
        import_graph_def(graph_of(A))
        import_graph_def(graph_of(A), name="")
    names = ["import/a", "x", "import/a_1", "x_1/a", "s/import/a", "a"]
    assert [op.name for op in fresh_graph.get_operations()] == names


def test_names_differ_by_case_only(fresh_graph):
    create_op("ToyNothing", name="A")
    import_graph_def(graph_of(A), name="")
    create_op("ToyNothing", name="a")
    assert [op.name for op in fresh_graph.get_operations()] == ["A", "a", "a_1"]


@pytest.mark.parametrize("name", ["a b", "_q"])
def test_bad_prefix(fresh_graph, name):
    with pytest.raises(ValueError, match="is not a valid root scope name"):
        import_graph_def(graph_of(A), name=name)


def test_forward_references(fresh_graph):
    import_graph_def(graph_of(neg("c", "b"), B, A, nothing("z")), name="")
    assert described(fresh_graph) == [
        ("a", [], []),
        ("b", ["a:0"], []),
        ("c", ["b:0"], []),
        ("z", [], []),
    ]
    assert fresh_graph.get_tensor_by_name("c:0").shape.as_list() == [2]
    assert [op._id for op in fresh_graph.get_operations()] == [0, 1, 2, 3]


ORDER = ["a", "enter", "merge", "neg", "next"]


def test_loop(fresh_graph):
    import_graph_def(
        graph_of(
            A,
            node("enter", "Enter", "a", T=FLOAT, frame_name="f"),
            node("merge", "Merge", "enter", "next", T=FLOAT, N=2),
            neg("neg", "merge"),
            node("next", "NextIteration", "neg", T=FLOAT),
        ),
        name="",
    )
    merge = fresh_graph.get_operation_by_name("merge")
    assert [op.name for op in fresh_graph.get_operations()] == [
        "a",
        "enter",
        "merge",
        "neg",
        "next",
    ]
    assert [t.name for t in merge.inputs] == ["enter:0", "next:0"]
    assert [op.name for op in fresh_graph.get_tensor_by_name("next:0").consumers()] == ["merge"]


# --- arguments ------------------------------------------------------------------------------------


def test_return_elements(fresh_graph):
    found = import_graph_def(graph_of(A, B), return_elements=["b", "b:0", "a:0", b"a"])
    get = fresh_graph.as_graph_element
    assert found == [get(f"import/{name}") for name in ("b", "b:0", "a:0", "a")]
    assert import_graph_def(graph_of(A, B), return_elements="b")[0].name == "import_1/b"
    assert import_graph_def(graph_of(A), return_elements=[]) == []


def test_input_map(fresh_graph):
    c = tf.constant([1.0, 2.0], name="k")
    b, a = import_graph_def(graph_of(A, B), {"a": c}, ["b", "a:0"])
    assert b.inputs[0] is c
    assert a is c
    assert import_graph_def(graph_of(A, B), {"a:0": c}, ["b"])[0].inputs[0] is c
    # A control input is another edge, and a node that is not in the GraphDef may be mapped.
    (node_c,) = import_graph_def(graph_of(A, B, C), {"^a": c}, ["c"])
    assert node_c.control_inputs == (c.op,)
    (node_c,) = import_graph_def(graph_of(A, B, C), {"a": c}, ["c"])
    assert [op.name for op in node_c.control_inputs] == ["import_3/a"]
    assert import_graph_def(graph_of(B), {"a": c}, ["b"])[0].inputs[0] is c
    import_graph_def(graph_of(A, B), {"b:0": c})


def test_input_map_converts(fresh_graph):
    (b,) = import_graph_def(graph_of(A, B), {"a": [1.0, 2.0]}, ["b"], name="x")
    assert b.inputs[0].name == "x/_inputs/Const:0"


def test_the_given_graph_def_is_completed(fresh_graph):
    given = graph_of(node("a", "ToyInput", dtype=FLOAT), node("m", "ToyMatMul", "a", "a", T=FLOAT))
    import_graph_def(given)
    assert given.node[0].attr["shape"].shape.unknown_rank
    assert given.node[1].attr["transpose_a"].WhichOneof("value") == "b"


def test_unknown_attributes_are_kept_and_reported(fresh_graph, caplog):
    (b,) = import_graph_def(graph_of(A, neg("b", "a", zork=3, _private="x")), None, ["b"])
    assert b.get_attr("zork") == 3
    assert b.get_attr("_private") == b"x"
    assert "attribute zork" in caplog.text
    assert "_private" not in caplog.text


def test_producer_op_list(fresh_graph):
    attr = protos.OpDef.AttrDef
    ops = protos.OpList(
        op=[
            protos.OpDef(
                name="ToyNeg",
                attr=[
                    attr(name="new", type="int", default_value=to_attr_value(4, "int")),
                    attr(name="other", type="int", default_value=to_attr_value(4, "int")),
                ],
            )
        ]
    )
    nodes = graph_of(A, neg("b", "a", new=4, other=5))
    (b,) = import_graph_def(nodes, None, ["b"], producer_op_list=ops)
    assert {"T", "other"} == set(b.attrs)


ARGUMENTS = [
    ("no_message", None, {}, TypeError, "Argument `graph_def` must be a GraphDef proto."),
    ("other_message", protos.NodeDef(), {}, TypeError, "must be a GraphDef proto"),
    (
        "map_list",
        [A],
        {"input_map": [1]},
        TypeError,
        "Argument `input_map` must be a dictionary. Obtained list",
    ),
    (
        "map_key",
        [A],
        {"input_map": {1: 2}},
        TypeError,
        "All keys for argument `input_map` must be strings. Obtained keys: [1]",
    ),
    (
        "map_unknown",
        [A, B],
        {"input_map": {"zz:0": 1.0, "q:1": 2.0}},
        ValueError,
        "Attempted to map inputs that were not found in graph_def: [q:1, zz:0]",
    ),
    (
        "map_output",
        [A, B],
        {"input_map": {"b:7": 1.0}},
        ValueError,
        "Attempted to map inputs that were not found in graph_def: [b:7]",
    ),
    (
        "map_dtype",
        [A, B],
        {"input_map": {"a": 1}},
        ValueError,
        "Input 0 of node import/b was passed int32 from import/_inputs/Const:0 incompatible with "
        "expected float.",
    ),
    (
        "map_nameless",
        [A],
        {"input_map": {"a": 1.0}, "name": ""},
        ValueError,
        "tf.import_graph_def() requires a non-empty `name` if `input_map` contains non-Tensor "
        "values.",
    ),
    (
        "map_index",
        [A],
        {"input_map": {"a:x": 1.0}},
        ValueError,
        "Cannot convert 'a:x' to a tensor name. Second component of the name following the `:` "
        "should be an int. Got x.",
    ),
    (
        "return_type",
        [A],
        {"return_elements": [3]},
        TypeError,
        "Argument `return_elements` must be a list of strings. Obtained [3].",
    ),
    (
        "return_node",
        [A],
        {"return_elements": ["zz"]},
        ValueError,
        "Requested return node 'zz' not found in graph def",
    ),
    (
        "return_tensor",
        [A],
        {"return_elements": ["zz:0"]},
        ValueError,
        "Requested return tensor 'zz:0' not found in graph def",
    ),
    (
        "return_output",
        [A, B],
        {"return_elements": ["b:1"]},
        ValueError,
        "Invalid return output 1 of node 'b', which has 1 output(s)",
    ),
    (
        "return_colons",
        [A, B],
        {"return_elements": ["b:1:2"]},
        ValueError,
        "Cannot convert 'b:1:2' to a tensor name. Tensor names should not contain more than 1 "
        "`:`. Obtained 2",
    ),
    (
        "return_text",
        [A, B],
        {"return_elements": ["b:x"]},
        ValueError,
        "Cannot convert 'b:x' to a tensor name.",
    ),
]


def check_refusal(graph, given, arguments, error, phrase):
    """The import fails so, and leaves the graph as it was but for converted inputs."""
    given = graph_of(*given) if isinstance(given, list) else given
    with pytest.raises(error) as caught:
        import_graph_def(given, **arguments)
    assert phrase in str(caught.value)
    assert [op for op in graph.get_operations() if op.type != "Const"] == []
    import_graph_def(graph_of(A, B), name="usable")
    assert graph.get_operation_by_name("usable/b").inputs[0].op.name == "usable/a"


@pytest.mark.parametrize("row", ARGUMENTS, ids=lambda row: row[0])
def test_bad_argument(fresh_graph, row):
    check_refusal(fresh_graph, *row[1:])


def test_input_of_another_graph(fresh_graph):
    with Graph().as_default():
        foreign = tf.constant(1.0)
    phrase = "node 'Const' in input_map does not exist in graph (input_map entry: a:0->Const:0)"
    check_refusal(fresh_graph, [A, B], {"input_map": {"a": foreign}}, ValueError, phrase)


# --- bad graphs -----------------------------------------------------------------------------------

NEG_OP = "Op<name=ToyNeg; signature=x:T -> y:T; attr=T:type,allowed=[DT_HALF, DT_FLOAT, DT_DOUBLE"
AT_B = "; NodeDef: {{node import/b}}"

BAD = [
    ("duplicate", [A, A], "Node 'a' is not unique"),
    ("unknown_input", [B], "Node 'b': Unknown input node 'a'"),
    ("unknown_control", [nothing("b", "^zz")], "Node 'b': Unknown input node '^zz'"),
    ("odd_index", [A, neg("b", "a:x")], "Node 'b': Unknown input node 'a:x'"),
    (
        "bad_output",
        [A, neg("b", "a:3")],
        "Node 'b': Connecting to invalid output 3 of source node a which has 1 outputs.",
    ),
    (
        "types_clash",
        [A, neg("b", "a", T=as_dtype("int32"))],
        "Input 0 of node import/b was passed float from import/a:0 incompatible with expected "
        "int32.",
    ),
    (
        "no_reference",
        [A, node("b", "ToyAssign", "a", "a", T=FLOAT)],
        "Input 0 of node import/b was passed float from import/a:0 incompatible with expected "
        "float_ref.",
    ),
    (
        "missing_attr",
        [node("a", "ToyInput")],
        "NodeDef missing attr 'dtype' from Op<name=ToyInput; signature= -> output:dtype; "
        "attr=dtype:type; attr=shape:shape,default=<unknown>>; NodeDef: {{node import/a}}",
    ),
    (
        "missing_attrs",
        [node("a", "ToyNeeds", n=3)],
        "NodeDef missing attrs 'choice', 'value', 'dtype' from Op<name=ToyNeeds; ",
    ),
    (
        "too_many_inputs",
        [A, neg("b", "a", "a")],
        f"NodeDef expected inputs 'float' do not match 2 inputs specified; {NEG_OP}",
    ),
    (
        "too_few_inputs",
        [neg("b")],
        "NodeDef expected inputs 'float' do not match 0 inputs specified; ",
    ),
    (
        "control_first",
        [A, neg("b", "^a", "a")],
        "Node 'b': Control dependencies must come after regular dependencies",
    ),
    ("cycle", [neg("b", "c"), neg("c", "b")], "2 nodes in a cycle"),
    ("cycle_of_one", [neg("b", "b")], "1 nodes in a cycle"),
    ("cycle_and_more", [A, neg("b", "c"), neg("c", "b"), neg("d", "c")], "3 nodes in a cycle"),
    ("bad_name", [nothing("a b")], "Node 'a b': Node name contains invalid characters"),
    ("no_name", [nothing("")], "Node '': Node name contains invalid characters"),
    ("underscore", [nothing("_a")], "Node '_a': Node name contains invalid characters"),
    (
        "colocated",
        [A, neg("b", "a", _class=["loc:@zz"])],
        "Node 'b' expects to be colocated with unknown node 'zz'",
    ),
    (
        "output_shape",
        [A, neg("b", "a", _output_shapes=[(3,)])],
        "Node 'import/b' has an _output_shapes attribute inconsistent with the GraphDef for output "
        "#0: Dimension 0 in both shapes must be equal, but are 2 and 3. Shapes are [2] and [3].",
    ),
    (
        "output_rank",
        [A, neg("b", "a", _output_shapes=[(3, 2)])],
        "for output #0: Shapes must be equal rank, but are 1 and 2",
    ),
    (
        "output_shapes_missing",
        [A, neg("b", "a", _output_shapes=[])],
        "Node 'import/b' has 1 outputs but the _output_shapes attribute specifies shapes for 0 "
        "outputs",
    ),
    (
        "shape_inference",
        [A, node("m", "ToyMatMul", "a", "a", "^a", T=FLOAT, _z="q", device="/gpu:1")],
        "Shape must be rank 2 but is rank 1 for '{{node import/m}} = ToyMatMul[T=DT_FLOAT, "
        '_z="q", transpose_a=false, _device="/gpu:1"](import/a, import/a, ^import/a)\' with input '
        "shapes: [2], [2].",
    ),
    (
        "device",
        [nothing("a", device="bogus")],
        "Unknown attribute 'bogus' is encountered while parsing the device spec: 'bogus'.",
    ),
    (
        "attr_kind",
        [node("a", "ToyInput", dtype=3)],
        "AttrValue had value with type 'int' when 'type' expected\n\t for attr 'dtype'\n\t; "
        "NodeDef: {{node import/a}}; Op<name=ToyInput; ",
    ),
    (
        "attr_list",
        [node("a", "ToyInput", dtype=[FLOAT])],
        "AttrValue had value with type 'list(type)' when 'type' expected\n\t for attr 'dtype'",
    ),
    (
        "attr_type",
        [A, neg("b", "a", T=as_dtype("string"))],
        "Value for attr 'T' of string is not in the list of allowed values: half, float, double, "
        f"int32, int64\n\t{AT_B}; {NEG_OP}",
    ),
    (
        "attr_text",
        [node("a", "ToyAttrs", "x", T=FLOAT, choice="ZAP"), source("x", (1, 1, 1))],
        'Value for attr \'choice\' of "ZAP" is not in the list of allowed values: "SAME", '
        '"VALID"\n\t; NodeDef: {{node import/a}}',
    ),
    (
        "attr_minimum",
        [node("a", "ToySum", T=FLOAT, N=0)],
        "Value for attr 'N' of 0 must be at least minimum 1\n\t; NodeDef: {{node import/a}}",
    ),
    (
        "attr_length",
        [node("a", "ToyMany", T=[])],
        "Length for attr 'T' of 0 must be at least minimum 1\n\t; NodeDef: {{node import/a}}",
    ),
]


@pytest.mark.parametrize("row", BAD, ids=lambda row: row[0])
def test_bad_graph(fresh_graph, row):
    check_refusal(fresh_graph, row[1], {}, ValueError, row[2])


def test_attribute_without_value(fresh_graph):
    given = graph_of(node("a", "ToyInput"))
    given.node[0].attr["dtype"].SetInParent()
    phrase = "AttrValue missing value with expected type 'type'\n\t for attr 'dtype'"
    check_refusal(fresh_graph, given, {}, ValueError, phrase)


def test_unknown_op(fresh_graph):
    phrase = "Op type not registered 'Bogus' in binary running on "
    check_refusal(fresh_graph, [node("a", "Bogus")], {}, errors.NotFoundError, phrase)


def test_finalized(fresh_graph):
    fresh_graph.finalize()
    with pytest.raises(RuntimeError, match=r"Graph is finalized and cannot be modified\."):
        import_graph_def(graph_of(A))


VERSIONS = [
    (
        {"min_consumer": 99999},
        f"GraphDef min consumer version 99999 above current version {PRODUCER} for TensorFlow "
        "2.21.0.  Please upgrade TensorFlow.",
    ),
    (
        {"bad_consumers": [PRODUCER]},
        f"GraphDef disallows consumer version {PRODUCER}.  Please upgrade TensorFlow: this "
        "version is likely buggy.",
    ),
    (
        {"producer": -5},
        "GraphDef producer version -5 below min producer 0 supported by TensorFlow 2.21.0.  "
        "Please regenerate your graph.",
    ),
]


@pytest.mark.parametrize(("versions", "phrase"), VERSIONS, ids=["min", "bad", "producer"])
def test_bad_version(fresh_graph, versions, phrase):
    check_refusal(fresh_graph, graph_of(A, **versions), {}, ValueError, phrase)


def test_versions_are_merged(fresh_graph):
    import_graph_def(graph_of(A, producer=9999, min_consumer=3, bad_consumers=[8]))
    assert fresh_graph.graph_def_versions == protos.VersionDef(
        producer=PRODUCER, min_consumer=3, bad_consumers=[8]
    )
    import_graph_def(graph_of(A, producer=999, min_consumer=5, bad_consumers=[7]))
    assert fresh_graph.as_graph_def().versions == protos.VersionDef(
        producer=999, min_consumer=5, bad_consumers=[7, 8]
    )


# --- scopes ---------------------------------------------------------------------------------------


def test_colocation(fresh_graph):
    given = graph_of(
        nothing("a", device="/cpu:0"),
        nothing("b", device="/gpu:3", _class=["loc:@a"]),
        nothing("c", device="/job:w"),
        nothing("d", _class=["loc:@d"], device="/cpu:1"),
    )
    with fresh_graph.device("/gpu:7"):
        ops = import_graph_def(given, None, list("abcd"))
    assert [op.device for op in ops] == [
        "/device:CPU:0",
        "/device:CPU:0",
        "/job:w/device:GPU:7",
        "/device:CPU:1",
    ]
    assert ops[1].get_attr("_class") == [b"loc:@import/a"]
    (again,) = import_graph_def(given, None, ["b"], name="import/")
    assert again.get_attr("_class") == [b"loc:@import/a_1"]


def test_colocation_scope(fresh_graph):
    target = create_op("ToyNothing", name="z")
    with fresh_graph.colocate_with(target):
        ops = import_graph_def(graph_of(A, B), None, ["a", "b"])
    assert [op.get_attr("_class") for op in ops] == [[b"loc:@z"]] * 2


def test_device_function(fresh_graph):
    seen = []

    def choose(op):
        seen.append((op.name, op.device))
        return f"/gpu:{len(seen)}"

    with fresh_graph.device(choose):
        ops = import_graph_def(graph_of(A, nothing("q", device="/cpu:0")), None, ["a", "q"])
    assert seen == [("import/a", ""), ("import/q", "/device:CPU:0")]
    assert [op.device for op in ops] == ["/gpu:1", "/gpu:2"]


def test_control_dependencies(fresh_graph):
    before = create_op("ToyNothing", name="before")
    with fresh_graph.control_dependencies([before]):
        import_graph_def(graph_of(A, B, C), name="")
    assert described(fresh_graph)[1:] == [
        ("a", [], ["before"]),
        ("b", ["a:0"], ["before"]),
        ("c", [], ["a", "before"]),
    ]


OUTPUT_SHAPES = [
    ("same", (2,), (2,), [2]),
    ("unknown_rank", (2,), None, [2]),
    ("unknown_size", (2,), (None,), [2]),
    ("refines", None, (3,), [3]),
]


@pytest.mark.parametrize("row", OUTPUT_SHAPES, ids=lambda row: row[0])
def test_output_shapes(fresh_graph, row):
    _, inferred, given, expected = row
    nodes = (source(shape=inferred), neg("b", "a", _output_shapes=[given]), neg("c", "b"))
    b, c = import_graph_def(graph_of(*nodes), None, ["b:0", "c:0"])
    assert b.shape.as_list() == c.shape.as_list() == expected
    assert "_output_shapes" not in b.op.attrs


@pytest.mark.parametrize("producer", [1, 38, 2473])
def test_wrong_output_shapes_of_an_older_tensorflow_are_passed_over(fresh_graph, producer):
    given = graph_of(source(shape=(2,)), neg("b", "a", _output_shapes=[(3,)]))
    given.versions.producer = producer
    (b,) = import_graph_def(given, None, ["b:0"])
    assert b.shape.as_list() == [2]
