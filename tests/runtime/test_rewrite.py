"""Rewriting: which operations of a step are left, and that nothing else changes."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.core import protos
from tfsession.graph.create import create_operation
from tfsession.ops.defun import Defun
from tfsession.runtime.plan import Signature

X = np.array([[1.5, -2.0, 0.25], [-0.0, 3.0, np.inf]], np.float32)


def config_of(gpus="0", **options):
    """A ConfigProto with these fields of OptimizerOptions, and simulated GPUs."""
    config = tf.ConfigProto(device_options={"simulated_gpus": gpus}, allow_soft_placement=True)
    for name, value in options.items():
        setattr(config.graph_options.optimizer_options, name, value)
    return config


L0 = {"opt_level": -1}


def nodes_of(session, fetches, feeds=(), targets=()):
    """The operations that a step runs."""
    feeds = tuple(feeds)
    signature = Signature(tuple(fetches), tuple(targets), feeds, (None,) * len(feeds))
    return session._engine.plan(signature).nodes


def computing(session, fetches, feeds=(), targets=()):
    """The types of the operations that compute something when a step runs, sorted."""
    nodes = [n for n in nodes_of(session, fetches, feeds, targets) if not n.kernel.constant]
    # What only hands its input on by now has no function of its own.
    return sorted("handed on" if n.kernel.function is n.kernel.ufunc else n.op.type for n in nodes)


def same_bits(mine, other):
    """Whether two values agree in type, shape and bits."""
    mine, other = np.asarray(mine), np.asarray(other)
    return (mine.dtype, mine.shape, mine.tobytes()) == (other.dtype, other.shape, other.tobytes())


def op(kind, *inputs, called=None, **attrs):
    """The first output of an operation."""
    return create_operation(kind, list(inputs), attrs, called).outputs[0]


def small(*sizes):
    return tf.constant(np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes))


def branch(p, x):
    return tf.cond(p, lambda: x * (tf.constant(2.0) + 3.0), lambda: x - tf.exp(tf.constant(1.0)))


def loop(x):
    c = tf.constant(2.0)
    return tf.while_loop(
        lambda i, a: i < 3, lambda i, a: (i + 1, a * (c * 2.0) + tf.exp(tf.constant(1.0))), [0, x]
    )[1]


def twice(x, f):
    return f(x) + f(x)


# A loop of two variables.
LOOP = [*["Enter", "Merge", "NextIteration", "Switch"] * 2, "Exit", "Less", "LoopCond"]
# For each pass: a graph of a fed matrix, and the types that compute in each step.
FOLDED = {
    "a chain": (lambda x: x + tf.exp(tf.constant(1.0)) * 2.0, ["AddV2"]),
    "a fetch": (lambda x: tf.exp(tf.constant(1.0)) * 2.0, []),
    "what has many outputs": (lambda x: tf.add_n(tf.split(small(4, 2), 2)), []),
    "text": (lambda x: tf.string_join([tf.constant("a"), tf.as_string(tf.constant(1))]), []),
    "a shape": (lambda x: op("Shape", tf.exp(x)), []),
    "a rank and a size": (lambda x: op("Rank", x) * op("Size", x), []),
    "several shapes": (lambda x: tf.add_n(tf.shape_n([x, tf.exp(x)])), []),
    "what follows from a shape": (lambda x: tf.reshape(x, op("Shape", x)[::-1]), ["Reshape"]),
    "a part of a shape": (
        lambda x: tf.cast(op("Shape", tf.placeholder_with_default(x, [None, 3]))[1], tf.float32),
        [],
    ),
    "both ways of a conditional": (
        lambda x: branch(x[0, 0] > 0, x),
        ["Greater", "Identity", "Identity", "Merge", "Mul", "StridedSlice", "Sub"] + ["Switch"] * 3,
    ),
    "a loop": (
        loop,
        [*LOOP, "AddV2", "AddV2", "Enter", "Identity", "Mul"],
    ),
}
SHARED = {
    "two ufuncs": (lambda x: twice(x, tf.exp), ["AddV2", "Exp"]),
    "constants that are alike": (lambda x: twice(x, lambda x: x * 2.0), ["AddV2", "Mul"]),
    "behind constants": (
        lambda x: twice(x, lambda x: x * tf.exp(tf.constant(2.0))), ["AddV2", "Mul"],
    ),
    "attributes that differ": (
        lambda x: tf.reduce_sum(x, 0, keepdims=True) + tf.reduce_sum(x, 0), ["AddV2", "Sum", "Sum"],
    ),
    "attributes that are alike": (
        lambda x: twice(x, lambda x: tf.reduce_sum(x, 1)), ["AddV2", "Sum"],
    ),
    "several outputs": (
        lambda x: twice(x, lambda x: tf.unstack(x)[1]), ["AddV2", "Unpack"],
    ),
    "zeros of two signs": (
        lambda x: (x * tf.constant(0.0)) + (x * tf.constant(-0.0)), ["AddV2", "Mul", "Mul"],
    ),
    "random numbers differ": (
        lambda x: x + twice(x, lambda x: tf.random_uniform([3])),
        ["AddV2", "AddV2", "RandomUniform", "RandomUniform"],
    ),
    "random numbers of a seed": (
        lambda x: x + twice(x, lambda x: tf.random.stateless_uniform([3], [1, 2])), ["AddV2"],
    ),
}  # fmt: skip
E = ["Exp"]
SIMPLIFIED = {
    "x * 1": (lambda x: x * 1.0, E),
    "1 * x": (lambda x: 1.0 * x, E),
    "x * a row of ones": (lambda x: x * tf.ones([3]), E),
    "x / 1": (lambda x: x / 1.0, E),
    "x - 0": (lambda x: x - 0.0, E),
    "x + -0": (lambda x: x + -0.0, E),
    "x + 0": (lambda x: x + 0.0, ["AddV2", *E]),
    "x - -0": (lambda x: x - -0.0, [*E, "Sub"]),
    "0 - x": (lambda x: 0.0 - x, [*E, "Sub"]),
    "1 / x": (lambda x: 1.0 / x, [*E, "RealDiv"]),
    "x * 1 of a higher rank": (lambda x: x * tf.ones([1, 1, 1]), [*E, "Mul"]),
    "x * 1 that broadcasts": (lambda x: x[:1] * tf.ones([2, 1]), [*E, "Mul", "StridedSlice"]),
    "x // 1 rounds": (lambda x: x // 1.0, [*E, "FloorDiv"]),
    "two Negs": (lambda x: tf.negative(tf.negative(x)), E),
    "not not x": (
        lambda x: tf.logical_not(tf.logical_not(x > 1.0)), [*E, "Greater"],
    ),
    "a cast to the same type": (lambda x: op("Cast", x, DstT=tf.float32), E),
    "a sum over nothing": (lambda x: tf.reduce_sum(x, []), E),
    "a sum of one": (lambda x: op("AddN", [x]), E),
    "a reshape to the same shape": (lambda x: tf.reshape(x, [2, 3]), E),
    "a transpose of a transpose": (lambda x: tf.transpose(tf.transpose(x)), E),
    "three transposes": (
        lambda x: tf.transpose(tf.transpose(tf.transpose(x))), [*E, "Transpose"],
    ),
    "a transpose that changes nothing": (lambda x: tf.transpose(x, [0, 1]), E),
    "another transpose": (lambda x: tf.transpose(x, [1, 0]), [*E, "Transpose"]),
    "tiles of one": (lambda x: tf.tile(x, [1, 1]), E),
    "no padding": (lambda x: tf.pad(x, [[0, 0], [0, 0]]), E),
    "some padding": (lambda x: tf.pad(x, [[0, 1], [0, 0]]), [*E, "Pad"]),
    "a slice of all": (lambda x: tf.slice(x, [0, 0], [-1, 3]), E),
    "a slice of most": (lambda x: tf.slice(x, [0, 0], [-1, 2]), [*E, "Slice"]),
    "x[:]": (lambda x: x[:], E),
    "x[:, :]": (lambda x: x[:, :], E),
    "x[::-1]": (lambda x: x[::-1], [*E, "StridedSlice"]),
    "identities": (lambda x: tf.identity(tf.stop_gradient(tf.identity(x))), E),
}  # fmt: skip


def left(make, before=None, **options):
    """What computes, the values, and the values without rewriting; of a sum, so that it is read."""
    x = tf.placeholder(tf.float32, [2, 3])
    y = make(x if before is None else before(x))
    if before is not None:  # what is fetched is what it is: let there be a reader
        y = tf.log(tf.cast(y, tf.float32))
    with tf.Session(config=config_of(**options)) as session:
        types = computing(session, [y], [x])
        values = session.run(y, {x: X})
    with tf.Session(config=config_of(**L0)) as session:
        return types, values, session.run(y, {x: X})


@pytest.mark.parametrize(("make", "types"), FOLDED.values(), ids=FOLDED)
def test_what_is_known_is_folded(fresh_graph, make, types):
    found, values, plain = left(make)
    assert found == sorted(types)
    assert same_bits(values, plain)


@pytest.mark.parametrize(("make", "types"), SHARED.values(), ids=SHARED)
def test_what_is_computed_twice_is_computed_once(fresh_graph, make, types):
    found, values, plain = left(make)
    assert found == sorted(types)
    assert "RandomUniform" in types or same_bits(values, plain)


@pytest.mark.parametrize(("make", "types"), SIMPLIFIED.values(), ids=SIMPLIFIED)
def test_what_gives_its_input_is_left_out(fresh_graph, make, types):
    found, values, plain = left(make, tf.exp)
    casts = ["Cast"] * ("Greater" in types)
    assert found == sorted([*types, "Log", *casts])
    assert same_bits(values, plain)


# --- what stays -----------------------------------------------------------------------------------


def names_of(session, fetches, feeds=(), targets=()):
    return {node.op.name for node in nodes_of(session, fetches, feeds, targets)}


def test_each_switch_turns_its_pass_off(fresh_graph):
    x = tf.placeholder(tf.float32, [2, 3])
    y = tf.log(tf.identity(tf.exp(x) * 1.0) * (tf.constant(2.0) + 1.0)) + tf.sin(x) + tf.sin(x)
    everything = {"folds": "AddV2", "shares": "Sin", "simplifies": "Mul", "bypasses": "Identity"}
    rewriting = {
        "folds": "constant_folding",
        "shares": "common_subgraph_elimination",
        "simplifies": "arithmetic_optimization",
        "bypasses": "dependency_optimization",
    }
    counts = {}
    for off in [None, *everything]:
        config = config_of()
        if off:
            setattr(config.graph_options.rewrite_options, rewriting[off], 2)
        with tf.Session(config=config) as session:
            counts[off] = computing(session, [y], [x])
    for off, more in everything.items():
        assert sorted([*counts[None], more]) == counts[off]


def test_what_is_fed_is_known_by_nobody(fresh_graph):
    a = tf.constant(2.0, name="a")
    b = tf.add(a, 1.0, name="b")
    c = b * 3.0
    with tf.Session(config=config_of()) as session:
        assert session.run(c) == 9.0
        assert session.run(c, {b: 1.0}) == 3.0
        assert session.run(c, {a: 2.5}) == 10.5
        assert session.run([c, b], {a: 0.0, b: 5.0}) == [15.0, 5.0]
        assert session.run(c) == 9.0


def test_what_is_fed_has_no_twin(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    first, second = tf.exp(x), tf.exp(x)
    with tf.Session(config=config_of()) as session:
        assert session.run(first - second, {x: 1.0}) == 0.0
        assert session.run(first - second, {x: 0.0, second: 3.0}) == -2.0
        assert session.run(first - second, {x: 0.0, first: 3.0}) == 2.0


def test_what_is_fed_undoes_nothing(fresh_graph):
    x = tf.placeholder(tf.float32, [2, 2], name="x")
    less, moved = tf.negative(x), tf.transpose(x)
    y, z = tf.negative(less) + 1.0, tf.transpose(moved) + 1.0
    with tf.Session(config=config_of()) as session:
        fed = [[1.0, 2.0], [3.0, 4.0]]
        assert session.run(y, {less: fed}).tolist() == [[0.0, -1.0], [-2.0, -3.0]]
        assert session.run(z, {moved: fed}).tolist() == [[2.0, 4.0], [3.0, 5.0]]


def test_sums_keep_their_order(fresh_graph):
    """Elements that lie side by side are added up in another order than those of a slice."""
    fed = np.random.default_rng(0).standard_normal((65, 300)).astype(np.float32)
    assert fed[:, :290].sum() != fed[:, :290].copy().sum(), "no longer told apart: choose others"
    x = tf.placeholder(tf.float32, [65, 300])
    y = x[:, :290]
    parts = [y * 1.0, y - 0.0, y / 1.0, tf.negative(tf.negative(y)), tf.tile(y, [1, 1])]
    parts += [tf.pad(y, [[0, 0]] * 2), op("Cast", y, DstT=tf.float32), tf.reduce_sum(y, [])]
    sums = [1.0 + tf.reduce_sum(part) for part in parts]
    found = []
    for options in ({}, L0):
        with tf.Session(config=config_of(**options)) as session:
            found.append(session.run(sums, {x: fed}))
    assert found[0] == found[1]


def test_a_loop_ends_though_a_value_in_it_never_changes(fresh_graph):
    """What gives its input in a loop is there in its iterations alone, as before."""
    x = tf.placeholder(tf.float32, [2])
    outside = tf.exp(x)

    def body(i, a):
        return i + 1, tf.tanh(outside) * tf.constant(1.0)

    y = tf.while_loop(lambda i, a: i < 3, body, [0, x])
    z = tf.cond(x[0] > 0, lambda: tf.tanh(outside) * 1.0, lambda: outside)
    with tf.Session(config=config_of()) as session:
        assert session.run(y, {x: [1.0, 2.0]})[0] == 3
        assert "handed on" in computing(session, y, [x])
        assert session.run(z, {x: [-1.0, 2.0]}).shape == (2,)


def test_what_is_between_is_waited_for(fresh_graph):
    """Two operations that undo each other are passed by with what the inner one waits for."""
    v = tf.get_variable("v", initializer=0.0)
    fed = tf.placeholder(tf.float32, [2, 3])
    x = tf.exp(fed)
    with tf.control_dependencies([v.assign_add(1.0)]):
        inner = [tf.negative(x), tf.transpose(x), x * 1.0]
    y = [tf.log(f(i)) for f, i in zip((tf.negative, tf.transpose, tf.identity), inner, strict=True)]
    with tf.Session(config=config_of()) as session:
        session.run(v.initializer)
        for count, each in enumerate(y, 1):
            assert set(computing(session, [each], [fed])) >= {"AssignAdd", "Log", "handed on"}
            session.run(each, {fed: X})
            assert session.run(v) == count


def test_a_complex_infinity_is_not_what_it_was_times_one(fresh_graph):
    fed = np.array([complex(-np.inf, 2.0), 1.0 + 2.0j], np.complex64)
    x = tf.placeholder(tf.complex64, [2])
    one = tf.constant(1.0 + 0.0j, tf.complex64)
    y = [x * one, x / one, tf.reduce_mean(x + x, []), tf.reduce_prod(x + x, [])]
    y = [tf.negative(each) for each in y]
    found = []
    for options in ({}, L0):
        with tf.Session(config=config_of(**options)) as session:
            found.append(session.run(y, {x: fed}))
    for mine, other in zip(*found, strict=True):
        assert same_bits(mine, other)


def test_what_is_fetched_twice_has_two_arrays(fresh_graph):
    x = tf.placeholder(tf.float32, [3])
    same = [tf.exp(x), tf.exp(x), tf.identity(tf.exp(x)), tf.constant([1.0, 2.0]) + 1.0]
    with tf.Session(config=config_of()) as session:
        values = session.run(same, {x: [0.0, 1.0, 2.0]})
        values[0][:] = 7.0
        values[3][:] = 7.0
        assert values[1].tolist() == values[2].tolist() != values[0].tolist()
        assert session.run(same[3]).tolist() == [2.0, 3.0]


def test_reads_of_a_variable_are_no_twins(fresh_graph):
    v = tf.get_variable("v", initializer=1.0, use_resource=True)
    r = tf.get_variable("r", initializer=1.0, use_resource=False)
    befores = [v.read_value() * 2.0, tf.identity(r) * 2.0]
    with tf.control_dependencies(befores), tf.control_dependencies([v.assign(5.0), r.assign(5.0)]):
        afters = [v.read_value() * 2.0, tf.identity(r) * 2.0, r * 2.0]
    with tf.Session(config=config_of()) as session:
        session.run(tf.global_variables_initializer())
        assert session.run([befores, afters]) == [[2.0, 2.0], [10.0, 10.0, 10.0]]


def test_effects_stay(fresh_graph):
    """An operation that is waited for, or whose shape is asked for alone, still has its effects."""
    v = tf.get_variable("v", initializer=0.0)
    queue = tf.FIFOQueue(9, tf.float32, [2])
    with tf.control_dependencies([v.assign_add(1.0)]):
        waits = [tf.constant(1.0) + 2.0, tf.constant(3.0) * 2.0]
        same = tf.identity(tf.constant(4.0))
    taken = op("Shape", queue.dequeue())
    with tf.Session(config=config_of()) as session:
        session.run(tf.global_variables_initializer())
        session.run(queue.enqueue_many([[[1.0, 2.0]] * 3]))
        for expected in (1.0, 2.0, 3.0):
            assert session.run([*waits, same]) == [3.0, 6.0, 4.0]
            assert session.run(taken).tolist() == [2]
            assert session.run(v) == expected
            assert session.run(queue.size()) == 3 - expected


def test_what_a_shape_alone_needs_is_not_run(fresh_graph):
    x = tf.placeholder(tf.float32, [2, 3], name="x")
    rows = op("Shape", tf.exp(x, name="e"), called="s")
    with tf.Session(config=config_of()) as session:
        assert names_of(session, [rows], [x]) == {"s"}
        assert names_of(session, [rows]) == {"s", "e", "x"}  # which asks to be fed
        with pytest.raises(tf.errors.InvalidArgumentError, match="must feed a value"):
            session.run(rows)


FAILURES = {
    "division": lambda: tf.constant([1]) // tf.constant([0]),
    "reshape": lambda: tf.reshape(tf.boolean_mask([1, 2, 3], [True, True, False]), [2, 2]),
    "check": lambda: tf.check_numerics(tf.log(tf.constant(0.0)), "bad"),
    "gather": lambda: tf.gather(tf.constant([1, 2]), tf.constant(5)),
    "in a loop": lambda: tf.while_loop(
        lambda i: i < 3, lambda i: i + tf.constant(1) // tf.constant(0), [0]
    ),
    "in a branch": lambda: tf.cond(
        tf.placeholder_with_default(True, []), lambda: tf.constant(1) // 0, lambda: 1
    ),
    "a twin": lambda: twice(tf.placeholder_with_default(0, []), lambda n: tf.constant(1) // n),
}


@pytest.mark.parametrize("make", FAILURES.values(), ids=FAILURES)
def test_errors_are_the_same(fresh_graph, make):
    """Nothing fails at folding; what fails then, fails when it runs, by its own name."""
    y = make()
    told = []
    for options in ({}, L0):
        with tf.Session(config=config_of(**options)) as session:
            for _ in range(2):
                with pytest.raises(tf.errors.OpError) as caught:
                    session.run(y)
                told.append((type(caught.value), caught.value.message, caught.value.op.name))
            assert session.run(tf.constant(1)) == 1
    assert len(set(told)) == 1


def test_a_way_that_is_not_taken_may_not_fail(fresh_graph):
    p = tf.placeholder(tf.bool, [])
    y = tf.cond(p, lambda: tf.constant(1) // 0, lambda: tf.constant(2) + 3)
    with tf.Session(config=config_of()) as session:
        assert session.run(y, {p: False}) == 5
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(y, {p: True})


# --- sizes and memory -----------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "is_folded"), [(0, True), (400, True), (399, False)])
def test_large_values_are_not_kept(fresh_graph, most, is_folded):
    """Neither where the graph tells their size nor where it does not."""
    told = tf.fill([10, 10], 1.0) + 1.0
    untold = tf.unique(tf.range(50))[0] + 1
    with tf.Session(config=config_of(max_folded_constant_in_bytes=most)) as session:
        for y, size in ((told, 100), (untold, 50)):
            assert ("AddV2" not in computing(session, [y])) == is_folded
            assert session.run(y).size == size


def test_a_step_keeps_no_more_than_sixteen_of_the_largest(fresh_graph):
    parts = [tf.fill([100], float(i)) for i in range(20)]
    with tf.Session(config=config_of(max_folded_constant_in_bytes=400)) as session:
        assert computing(session, parts) == ["Fill"] * 4
        assert [value[0] for value in session.run(parts)] == list(range(20))


def test_initial_values_are_not_kept(fresh_graph):
    """They are used once, and may be as large as all variables."""
    v = tf.get_variable("v", [300, 300], initializer=tf.zeros_initializer())
    w = tf.get_variable("w", initializer=tf.ones([300, 300]) * 2.0, use_resource=False)
    with tf.Session(config=config_of()) as session:
        types = computing(session, [], (), [v.initializer, w.initializer])
        assert types.count("Fill") == 1  # the other one is read by Mul
        assert types.count("Mul") == 1
        session.run([v.initializer, w.initializer])
        assert session.run([tf.reduce_sum(v), tf.reduce_sum(w)]) == [0.0, 180000.0]


def test_a_value_is_computed_once_for_a_session(fresh_graph, monkeypatch):
    y = tf.exp(tf.constant([1.0, 2.0]), name="y")
    with tf.Session(config=config_of()) as session:
        computed = []
        evaluate = session._engine.evaluate
        monkeypatch.setattr(
            session._engine, "evaluate", lambda node, values: computed.append(node.op.name)
            or evaluate(node, values),
        )  # fmt: skip
        for fetches in (y, [y, y * 2.0], tf.reduce_sum(y)):
            session.run(fetches)
        assert computed.count("y") == 1


@pytest.mark.parametrize("placed", ["/gpu:0", "/gpu:1", "/cpu:0"])
def test_values_stay_on_their_device(fresh_graph, placed):
    """What a GPU computes is computed there in each step; sizes are known on the host."""
    x = tf.placeholder(tf.float32, [2, 3])
    with tf.device(placed):
        y = tf.exp(x) * tf.exp(tf.constant(2.0)) + tf.cast(op("Shape", tf.exp(x))[1], tf.float32)
        z = tf.reshape(tf.exp(x), [3, op("Shape", x)[0]])
    values = []
    for options in ({}, L0):
        with tf.Session(config=config_of("2:64MiB", **options)) as session:
            types = computing(session, [y, z], [x])
            values.append(session.run([y, z], {x: X}))
            assert types.count("Shape") == (2 if options else 0)
            assert types.count("Exp") == (4 if options else 2 if "gpu" in placed else 1)
    for mine, other in zip(*values, strict=True):
        assert same_bits(mine, other)


def test_twins_are_on_one_device(fresh_graph):
    x = tf.placeholder(tf.float32, [2, 3])
    parts = []
    for name in ("/gpu:0", "/gpu:1", "/gpu:0"):
        with tf.device(name):
            parts.append(tf.exp(x))
    with tf.device("/cpu:0"):
        y = parts[0] + parts[1] + parts[2]
    with tf.Session(config=config_of("2:64MiB")) as session:
        assert computing(session, [y], [x]).count("Exp") == 2
        assert np.array_equal(session.run(y, {x: X}), 3 * np.exp(X))


# --- all ways to run ------------------------------------------------------------------------------


def test_a_partial_run(fresh_graph):
    x, z = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.float32, [2])
    first = tf.exp(x) + tf.exp(x) * tf.exp(tf.constant(1.0))
    with tf.control_dependencies([z]):
        late = tf.constant(2.0) * 3.0
    folded = tf.constant(2.0) + 1.0
    with tf.Session(config=config_of()) as session:
        handle = session.partial_run_setup([first, folded, late, first * z], [x, z])
        value, three = session.partial_run(handle, [first, folded], {x: [0.0, 1.0]})
        assert value.tolist() == (np.exp(np.float32([0, 1])) * (1 + np.exp(np.float32(1)))).tolist()
        assert three == 3.0
        assert session.partial_run(handle, late, {z: [1.0, 1.0]}) == 6.0


def test_connected_tensors(fresh_graph):
    """What is connected is in no respect as the graph says."""
    a, b = tf.constant(1.0), tf.placeholder(tf.float32, [])
    y = a * 2.0 + 1.0
    options = protos.CallableOptions(feed=[b.name], fetch=[y.name])
    options.tensor_connection.add(from_tensor=b.name, to_tensor=a.name)
    with tf.Session(config=config_of()) as session:
        run = session._make_callable_from_options(options)
        assert session.run(y) == 3.0
        assert run(np.float32(5.0)) == [11.0]
        assert session.run(y) == 3.0


@Defun(tf.float32)
def scaled(x):
    """Its factor is known, and computed twice."""
    return x * tf.exp(tf.constant(1.0)) + x * tf.exp(tf.constant(1.0))


def test_functions(fresh_graph):
    x = tf.placeholder(tf.float32, [2, 3])
    y = scaled(x) + scaled(tf.constant(X)) + scaled(tf.constant(X))
    found = []
    for options in ({}, L0):
        with tf.Session(config=config_of(**options)) as session:
            types = computing(session, [y], [x])
            assert types.count("Exp") == (6 if options else 0)
            assert types.count("Mul") == (6 if options else 1)
            found.append(session.run(y, {x: X}))
            again = session.run([y, scaled(tf.constant(X))], {x: X})
            assert same_bits(again[0], found[0])
    assert same_bits(*found)


def test_metadata_tell_what_runs(fresh_graph):
    """Constants go by the names of what they stand for; the partition graph can be imported."""
    x = tf.placeholder(tf.float32, [2, 3], name="x")
    c = tf.exp(tf.constant([1.0, 2.0, 3.0]), name="c")
    y = tf.add(
        tf.identity(x) * 1.0 + c,
        tf.cast(op("Shape", x, called="s")[0], tf.float32),
        name="y",
    )
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE, output_partition_graphs=True)
    config = config_of()
    config.graph_options.build_cost_model = 1
    metadata = tf.RunMetadata()
    with tf.Session(config=config) as session:
        values = session.run([y, c], {x: X}, options, metadata)
    (partition,) = metadata.partition_graphs
    types = {node.name: node.op for node in partition.node}
    assert types["c"] == "Const"
    assert "s" not in types
    assert set(types.values()) == {"Const", "AddV2", "Mul", "_Arg", "_Retval"}
    (device,) = metadata.step_stats.dev_stats
    assert set(types) - {"_arg_x_0_0"} == {stats.node_name for stats in device.node_stats} - {
        "_SOURCE", "_arg_x_0_0",
    }  # fmt: skip
    assert {node.name for node in metadata.cost_graph.node} >= {"c", "y"}
    known = next(node for node in partition.node if node.name == "c")
    assert same_bits(tf.make_ndarray(known.attr["value"].tensor), values[1])


def test_placement_is_explained_as_asked(fresh_graph):
    """All operations have rows, also those that are not needed any more."""
    x = tf.placeholder(tf.float32, [2, 3], name="x")
    y = tf.multiply(tf.identity(x, name="i"), tf.exp(tf.constant(1.0), name="c"), name="y")
    with tf.Session(config=config_of()) as session:
        rows = {row.name for row in session.explain_placement(y).operations}
    assert rows >= {"i", "c", "y"}
