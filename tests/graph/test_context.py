"""Contexts: what becomes of operations built inside branches and loops, and what is refused."""

import pytest

import tfsession as tf
from tfsession.graph.context import CondContext, WhileContext


@pytest.fixture
def inputs(fresh_graph):
    return (
        tf.placeholder(tf.float32, [2], name="x"),
        tf.placeholder(tf.bool, [], name="p"),
        tf.placeholder(tf.int32, [], name="n"),
    )


def nodes():
    """Each node as `name:op(inputs)`."""
    graph_def = tf.get_default_graph().as_graph_def()
    return [f"{node.name}:{node.op}({','.join(node.input)})" for node in graph_def.node]


def test_a_cond_is_built_of(inputs):
    x, p, _ = inputs
    y = tf.cond(p, lambda: x + 1.0, lambda: tf.constant([3.0, 4.0]), name="c")
    assert nodes()[3:] == [
        "c/Switch:Switch(p,p)",
        "c/switch_t:Identity(c/Switch:1)",
        "c/switch_f:Identity(c/Switch)",
        "c/pred_id:Identity(p)",
        "c/add/y:Const(^c/switch_t)",
        "c/add:AddV2(c/add/Switch:1,c/add/y)",
        "c/add/Switch:Switch(x,c/pred_id)",
        "c/Const:Const(^c/switch_f)",
        "c/Merge:Merge(c/Const,c/add)",
    ]
    graph = tf.get_default_graph()
    assert y.op.get_attr("N") == 2
    switch = graph.get_operation_by_name("c/add/Switch")
    assert switch.colocation_groups() == [b"loc:@x"]
    assert [op.name for op in graph.get_operations() if not graph.is_fetchable(op)] == [
        op.name for op in graph.get_operations()[3:-1]
    ]
    assert all(graph.is_feedable(t) for op in graph.get_operations() for t in op.outputs)
    assert len(graph.get_collection(tf.GraphKeys.COND_CONTEXT)) == 2


def test_a_loop_is_built_of(inputs):
    x, _, n = inputs
    y = tf.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, y * x), [0, x], name="w")[1]
    assert nodes()[3:] == [
        "w/Const:Const()",
        "w/Enter:Enter(w/Const)",
        "w/Enter_1:Enter(x)",
        "w/Merge:Merge(w/Enter,w/NextIteration)",
        "w/Merge_1:Merge(w/Enter_1,w/NextIteration_1)",
        "w/Less:Less(w/Merge,w/Less/Enter)",
        "w/Less/Enter:Enter(n)",
        "w/LoopCond:LoopCond(w/Less)",
        "w/Switch:Switch(w/Merge,w/LoopCond)",
        "w/Switch_1:Switch(w/Merge_1,w/LoopCond)",
        "w/Identity:Identity(w/Switch:1)",
        "w/Identity_1:Identity(w/Switch_1:1)",
        "w/add/y:Const(^w/Identity)",
        "w/add:AddV2(w/Identity,w/add/y)",
        "w/mul:Mul(w/Identity_1,w/mul/Enter)",
        "w/mul/Enter:Enter(x)",
        "w/NextIteration:NextIteration(w/add)",
        "w/NextIteration_1:NextIteration(w/mul)",
        "w/Exit:Exit(w/Switch)",
        "w/Exit_1:Exit(w/Switch_1)",
    ]
    graph = tf.get_default_graph()
    assert [graph.is_fetchable(t) for t in (y, y.op.inputs[0])] == [True, False]
    assert [graph.is_feedable(t) for t in (y, y.op.inputs[0])] == [True, False]
    assert y.op.get_attr("T") == tf.float32
    enter = graph.get_operation_by_name("w/mul/Enter")
    assert enter.get_attr("is_constant")
    assert enter.get_attr("frame_name") == b"w/while_context"
    (context,) = graph.get_collection(tf.GraphKeys.WHILE_CONTEXT)
    assert isinstance(context, WhileContext)


def test_operations_know_their_contexts(inputs):
    x, p, n = inputs
    kept = {}

    def keep(name, tensor):
        kept[name] = tensor.op._get_control_flow_context()
        return tensor

    def turn(i):
        return keep("turn", tf.cond(p, lambda: keep("yes", i + 1), lambda: keep("no", i + 2)))

    tf.while_loop(lambda i: keep("test", i < n), turn, [0])
    assert isinstance(kept["yes"], CondContext)
    assert (kept["yes"].branch, kept["no"].branch) == (1, 0)
    assert kept["yes"] is not kept["no"]
    assert kept["yes"].outer_context is kept["turn"] is kept["test"]
    assert kept["turn"].outer_context is None
    assert (x + 1.0).op._get_control_flow_context() is None
    assert tf.get_default_graph()._get_control_flow_context() is None


def test_one_capture_for_all_readers(inputs):
    x, p, n = inputs
    tf.cond(p, lambda: x + x * x, lambda: x, name="c")
    tf.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, y + x * x), [0, x], name="w")
    brought = [text for text in nodes() if "(x" in text]
    assert brought == [
        "c/mul/Switch:Switch(x,c/pred_id)",
        "c/Switch_1:Switch(x,c/pred_id)",
        "w/Enter_1:Enter(x)",
        "w/mul/Enter:Enter(x)",
    ]


def test_a_loop_waits_for_what_stands_around_it(inputs):
    _, _, n = inputs
    v = tf.Variable(0.0)
    with tf.control_dependencies([tf.assign_add(v, 1.0, name="before")]):
        loop = tf.while_loop(lambda i: i < n, lambda i: i + 1, [0], name="w")
    assert "w/Less/Enter:Enter(n,^before)" in nodes()
    assert "w/add/y:Const(^w/Identity,^w/add/Identity)" in nodes()
    with tf.Session() as session:
        session.run(v.initializer)
        assert session.run(loop, {n: 3}) == 3
        assert session.run(v) == 1


def test_a_failed_branch_leaves_the_graph_usable(inputs):
    x, p, _ = inputs

    def fail(*_):
        raise KeyError("mine")

    for build in (
        lambda: tf.cond(p, fail, lambda: x),
        lambda: tf.cond(p, lambda: x, fail),
        lambda: tf.while_loop(lambda i: i < 3, fail, [0]),
        lambda: tf.while_loop(fail, lambda i: i, [0]),
    ):
        with pytest.raises(KeyError, match="mine"):
            build()
        assert tf.get_default_graph()._get_control_flow_context() is None
        assert tf.get_default_graph().get_name_scope() == ""
    with tf.Session() as session:
        assert session.run(tf.cond(p, lambda: x, lambda: -x), {x: [1, 2], p: True}).tolist() == [
            1,
            2,
        ]


BOOL = "'pred' must not be a Python bool"
TYPES = (
    r"Outputs of 'true_fn' and 'false_fn' must have the same type\(s\)\. Received float32 from "
    "'true_fn' and int32 from 'false_fn'"
)
SAME = "The two structures don't have the same nested structure"
LEAST = "'true_fn' and 'false_fn' must return at least one result"

CONDS = [
    # (predicate, true, false, error, its text)
    (True, lambda x: x, lambda x: x, TypeError, BOOL),
    (None, 3, lambda x: x, TypeError, "'true_fn' must be callable"),
    (None, lambda x: x, 3, TypeError, "'false_fn' must be callable"),
    (None, lambda x: None, lambda x: x, ValueError, "'true_fn' must have a return value"),
    (None, lambda x: x, lambda x: None, ValueError, "'false_fn' must have a return value"),
    (None, lambda x: [], lambda x: [], ValueError, LEAST),
    (None, lambda x: [None], lambda x: [x], ValueError, "None values not supported"),
    (None, lambda x: x, lambda x: 1, ValueError, TYPES),
    (None, lambda x: x, lambda x: [x, x], ValueError, SAME),
    (None, lambda x: (x, x), lambda x: [x, x], TypeError, SAME),
    (None, lambda x: {"a": x}, lambda x: {"b": x}, ValueError, SAME),
    (None, lambda x: tf.IndexedSlices(x, [0, 1]), lambda x: x, ValueError, SAME),
]


@pytest.mark.parametrize(("pred", "true", "false", "error", "text"), CONDS)
def test_conds_that_are_refused(inputs, pred, true, false, error, text):
    x, p, _ = inputs
    functions = [(lambda f=f: f(x)) if callable(f) else f for f in (true, false)]
    with pytest.raises(error, match=text):
        tf.cond(p if pred is None else pred, *functions)


def less(i, *_):
    return i < 3


def more(i):
    return i + 1


SHAPES = (
    r"Input tensor 'x:0' enters the loop with shape \(2,\), but has shape \(4,\) after one "
    "iteration. To allow the shape to vary across iterations, use the `shape_invariants` argument"
)
CHANGES = "enters the loop with type int32, but has type float32 after one iteration"
LOOP_COND = (
    "Input 'input' of 'LoopCond' Op has type float32 that does not match expected type of bool"
)
INVARIANT = (
    r"The shape invariant specified for x:0 is not compatible with the initial shape of the loop "
    r"variable\. It enters the loop with shape \(2,\), but the specified shape invariant is \(3,\)"
)

LOOPS = [
    # (test, body, variables after the first, keywords, error, its text)
    (less, more, None, {}, ValueError, "'loop_vars' must be provided"),
    (3, more, [], {}, TypeError, "'cond' must be callable"),
    (less, 3, [], {}, TypeError, "'body' must be callable"),
    (less, more, [], {"parallel_iterations": 0}, TypeError, "must be a positive integer"),
    (lambda i: tf.to_float(i), more, [], {}, TypeError, LOOP_COND),
    (less, lambda i: (i, i), [], {}, ValueError, SAME),
    (less, lambda i: tf.to_float(i), [], {}, TypeError, CHANGES),
    (less, lambda i, t: (i, tf.concat([t, t], 0)), ["x"], {}, ValueError, SHAPES),
    (
        less,
        lambda i, t: (i, t),
        ["x"],
        {"shape_invariants": [tf.TensorShape([]), tf.TensorShape([3])]},
        ValueError,
        INVARIANT,
    ),
    (
        less,
        lambda i, t: (i, t),
        ["x"],
        {"shape_invariants": [tf.TensorShape([])]},
        ValueError,
        "has 1 shapes for 2 loop variables",
    ),
    (less, more, [], {"shape_invariants": [[]]}, ValueError, "has 0 shapes"),
    (less, more, [], {"shape_invariants": [3]}, TypeError, "must be one of TypeSpec, TensorShape"),
    (less, more, [], {"maximum_iterations": [1, 2]}, ValueError, "must be a scalar"),
]


@pytest.mark.parametrize(("test", "body", "rest", "keywords", "error", "text"), LOOPS)
def test_loops_that_are_refused(inputs, test, body, rest, keywords, error, text):
    x, _, _ = inputs
    loop_vars = [] if rest is None else [0, *([x] if rest else [])]
    with pytest.raises(error, match=text):
        tf.while_loop(test, body, loop_vars, **keywords)


def test_what_is_in_a_loop_is_not_read_outside(inputs):
    _, p, n = inputs
    kept = []

    def turn(i):
        kept.append(tf.add(i, 1, name="mine"))
        return kept[0]

    done = tf.while_loop(lambda i: i < n, turn, [0], name="w")
    text = "Cannot use 'w/mine' as input to '{}' because {}. See info log for more details."
    inside = "'w/mine' is in a while loop"
    other = "they are in different while loops"
    before = len(nodes())
    with pytest.raises(ValueError, match=text.format("out", inside)):
        tf.add(kept[0], 1, name="out")
    assert len(nodes()) == before + 1  # the constant
    with pytest.raises(ValueError, match=text.format("c/add", inside)):
        tf.cond(p, lambda: kept[0] + 1, lambda: n, name="c")
    with pytest.raises(ValueError, match=text.format("k/add", other)):
        tf.while_loop(lambda i: i < 3, lambda i: i + kept[0], [0], name="k")
    assert tf.add(done, 1, name="out").name == "out_1:0"
    # An inner loop may read what is in the one around it.
    tf.while_loop(
        lambda i: i < n,
        lambda i: tf.while_loop(lambda j: j < i + 1, lambda j: j + i + 1, [0]),
        [0],
    )


def test_shape_invariants(inputs):
    x, _, n = inputs
    y = tf.while_loop(
        lambda i, t: i < n,
        lambda i, t: (i + 1, tf.concat([t, t], 0)),
        [0, x],
        [tf.TensorShape([]), tf.TensorShape([None])],
    )[1]
    assert y.shape.as_list() == [None]
    with tf.Session() as session:
        assert session.run(y, {x: [1, 2], n: 2}).shape == (8,)


def test_graphs_come_back_through_a_graph_def(inputs):
    x, p, n = inputs
    y = tf.cond(
        p,
        lambda: tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + x), [0, x])[1],
        lambda: -x,
    )
    graph_def = tf.get_default_graph().as_graph_def()
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        (z,) = tf.import_graph_def(graph_def, return_elements=[y.name], name="")
        again = {node.name: node for node in graph.as_graph_def().node}
        assert again == {node.name: node for node in graph_def.node}
        feeds = {"x:0": [1, 2], "n:0": 3}
        assert session.run(z, {**feeds, "p:0": True}).tolist() == [4, 8]
        assert session.run(z, {**feeds, "p:0": False}).tolist() == [-1, -2]


def test_import_into_a_branch_and_a_body(inputs):
    """Also of a graph that has branches and loops itself."""
    x, p, n = inputs
    with tf.Graph().as_default() as other:
        a = tf.placeholder(tf.float32, [2], name="a")
        b = tf.while_loop(lambda i, t: i < 2, lambda i, t: (i + 1, t * 2.0), [0, a])[1]
        tf.cond(tf.reduce_sum(a) > 0.0, lambda: b, lambda: a, name="last")
        graph_def = other.as_graph_def()

    def imported(tensor):
        (found,) = tf.import_graph_def(graph_def, {"a": tensor}, ["last/Merge:0"], name="im")
        found.set_shape([2])  # an import does not know what a loop keeps
        return found

    y = tf.cond(p, lambda: imported(x), lambda: x)
    z = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, imported(t)), [0, x])[1]
    with tf.Session() as session:
        assert session.run(y, {x: [1, 2], p: True}).tolist() == [4, 8]
        assert session.run(y, {x: [-1, -2], p: True}).tolist() == [-1, -2]
        assert session.run(y, {x: [1, 2], p: False}).tolist() == [1, 2]
        assert session.run(z, {x: [1, 2], n: 3}).tolist() == [64, 128]
