"""Conditionals and loops of a GPU within one recording: the answers of unrecorded steps."""

import gc
import random
import threading
import time

import numpy as np
import pytest
from recordings import refusals

import tfsession as tf
from tfsession.ops import function
from tfsession.ops.defun import Defun
from tfsession.runtime.execution import Execution

X = np.arange(4, dtype=np.float32)
WITHOUT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield
    gc.collect()


def variable(use_resource=True, name="v"):
    return tf.get_variable(
        name, initializer=np.zeros(4, np.float32), use_resource=use_resource, dtype=tf.float32
    )


def positive(x):
    return tf.reduce_sum(x) > 0.0


def chosen(x):
    y = x * 2.0
    z = tf.cond(positive(y), lambda: tf.nn.relu(y) + 1.0, lambda: y - 3.0)
    return [tf.reduce_sum(z * z), z]


def functional(x):
    @Defun(tf.float32, tf.float32)
    def more(a, b):
        return a * 2.0 + b

    @Defun(tf.float32, tf.float32)
    def less(a, b):
        return a - b

    return [function.If(positive(x), [x, x + 1.0], more, less)[0] * 3.0]


def handed_through(x):
    y = x + 1.0
    first, second = tf.cond(positive(x), lambda: (y, x), lambda: (x, tf.zeros([4])))
    return [first * 1.0, second + first]


def nested(x):
    def inner():
        return tf.cond(x[1] > 1.0, lambda: x * 3.0, lambda: tf.exp(x))

    return [tf.cond(positive(x), inner, lambda: -x) + 1.0]


def twice(x):
    truth = positive(x)
    y = tf.cond(truth, lambda: x * 2.0, lambda: x - 1.0)
    z = tf.cond(truth, lambda: y + x, lambda: y * y)
    return [y, tf.reduce_sum(z)]


def counted_mean(x):
    """Numbers that follow from shapes, made on the host within a way."""
    return [
        tf.cond(
            positive(x),
            lambda: tf.reduce_mean(tf.reshape(x, [2, 2]), 0),
            lambda: tf.fill([2], tf.cast(tf.size(x), tf.float32)),
        )
        * 2.0
    ]


def gradient(x):
    w = tf.get_variable("w", initializer=np.ones(4, np.float32), use_resource=True)
    y = tf.cond(positive(x), lambda: x * w, lambda: x - tf.square(w))
    loss = tf.reduce_sum(y * y)
    return [loss, tf.gradients(loss, w)[0]]


def trained_sometimes(use_resource):
    def build(x):
        v = variable(use_resource)
        done = tf.cond(positive(x), lambda: tf.group(tf.assign_add(v, x)), tf.no_op)
        with tf.control_dependencies([done]):
            return [v.read_value() * 2.0]

    return build


def assigned(use_resource):
    def build(x):
        v = variable(use_resource)
        return [
            tf.cond(positive(x), lambda: tf.assign_add(v, x), lambda: tf.identity(v.read_value()))
            * 2.0
        ]

    return build


def counted(x):
    _, y = tf.while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, y * 0.5 + x), [0, x * 1.0])
    return [tf.reduce_sum(y), y]


def counter_read(x):
    i, y = tf.while_loop(
        lambda i, y: tf.logical_and(i < 9, tf.reduce_sum(tf.abs(y)) < 40.0),
        lambda i, y: (i + 1, y * 1.5 + 1.0),
        [0, x],
    )
    return [i, y, tf.cast(i, tf.float32) * y]


def until_it_is_enough(x):
    return [tf.while_loop(lambda y: tf.reduce_sum(y) < 50.0, lambda y: y * 1.5 + 1.0, [tf.abs(x)])]


def no_turn(x):
    return [tf.while_loop(lambda y: tf.reduce_sum(y) > 1e9, lambda y: y + 1.0, [x]) * 2.0]


def swapped(x):
    """Each variable gets what another was, one the rows of itself turned around."""
    _, a, b, c, d = tf.while_loop(
        lambda i, a, b, c, d: i < 3,
        lambda i, a, b, c, d: (i + 1, b, a, tf.transpose(c), d),
        [0, x, x * 2.0, tf.reshape(x, [2, 2]), x - 1.0],
    )
    return [a, b, c, d * 1.0]


def multiplied(x):
    w = tf.get_variable("w", initializer=np.eye(4, dtype=np.float32) * 0.5, use_resource=True)
    _, y = tf.while_loop(
        lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w) + x)), [0, x[None] * 1.0]
    )
    return [y, tf.reduce_mean(y, 0)]


def loop_in_loop(x):
    def outer(i, y):
        _, z = tf.while_loop(lambda j, _: j < i, lambda j, z: (j + 1, z * 2.0), [0, y])
        return i + 1, z + x

    return [tf.while_loop(lambda i, _: i < 4, outer, [0, x])[1] * 1.0]


def choice_in_loop(x):
    def body(i, y):
        return i + 1, tf.cond(tf.reduce_sum(y) > 3.0, lambda: y - 1.0, lambda: y + x * x)

    return [tf.while_loop(lambda i, _: i < 6, body, [0, x])[1] * 1.0]


def loop_in_choice(x):
    def loop():
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y + x), [0, x])[1]

    return [tf.cond(positive(x), loop, lambda: x * 10.0) - 1.0]


def updating(use_resource):
    def build(x):
        v = variable(use_resource)

        def body(i, y):
            with tf.control_dependencies([tf.assign_add(v, y)]):
                return i + 1, y * 0.5

        _, y = tf.while_loop(lambda i, _: i < 3, body, [0, x])
        with tf.control_dependencies([y]):
            return [v.read_value() + y]

    return build


def functional_loop(x):
    @Defun(tf.float32, tf.float32)
    def condition(a, b):
        return tf.reduce_sum(a) < 30.0

    @Defun(tf.float32, tf.float32)
    def body(a, b):
        return a + b, b * 2.0

    return [function.While([x + 3.0, x * x], condition, body)[0] * 1.0]


def steps_of_a_mean(x):
    """Numbers that follow from shapes, and the counter as a number to compute with."""
    _, y = tf.while_loop(
        lambda i, _: i < tf.size(x),
        lambda i, y: (i + 1, y - tf.reduce_mean(y) + tf.cast(i, tf.float32) * tf.gather(x, i)),
        [0, x],
    )
    return [y * 1.0]


def after_an_update(build):
    def built(x):
        v = variable()
        with tf.control_dependencies([v.assign_add(x)]):
            return build(x, v)

    return built


def chosen_after(x, v):
    return [tf.cond(positive(x), lambda: v.read_value() * 1.0, lambda: x - v.read_value())]


def repeated_after(x, v):
    def body(y):
        return y + 1.0 + tf.abs(v.read_value())

    return [tf.while_loop(lambda y: tf.reduce_sum(y) < 30.0, body, [x])]


def called_after(x, v):
    @Defun(tf.float32, tf.resource)
    def more(a, handle):
        return a + tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

    @Defun(tf.float32, tf.resource)
    def less(a, handle):
        return a - tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

    return [function.If(positive(x), [x, v.handle], more, less)[0] * 1.0]


PROGRAMS = {
    "chosen after": after_an_update(chosen_after),
    "repeated after": after_an_update(repeated_after),
    "called after": after_an_update(called_after),
    "chosen": chosen,
    "functional": functional,
    "handed through": handed_through,
    "nested": nested,
    "twice": twice,
    "mean": counted_mean,
    "gradient": gradient,
    "trained resource": trained_sometimes(True),
    "trained reference": trained_sometimes(False),
    "assigned resource": assigned(True),
    "assigned reference": assigned(False),
    "counted": counted,
    "until": until_it_is_enough,
    "no turn": no_turn,
    "swapped": swapped,
    "multiplied": multiplied,
    "loop in loop": loop_in_loop,
    "choice in loop": choice_in_loop,
    "loop in choice": loop_in_choice,
    "updating resource": updating(True),
    "updating reference": updating(False),
    "functional loop": functional_loop,
    "steps": steps_of_a_mean,
}
FEEDS = [X, -X, X, -X, -X - 1, X + 1, -X]


def answers(build, config, feeds=FEEDS):
    """What steps give, and the counters of the last ones."""
    with tf.Graph().as_default():
        with tf.device("/gpu:0"):
            x = tf.placeholder(tf.float32, [4])
            fetches = build(x)
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            found = [session.run(fetches, {x: feed}) for feed in feeds[:3]]
            counts = []
            for feed in feeds[3:]:
                with session.counting() as counted:
                    found.append(session.run(fetches, {x: feed}))
                counts.append(counted["/gpu:0"])
            found += session.run(tf.global_variables())
            if config is None:
                assert refusals(session) == []
        return [np.asarray(v).tobytes() for step in found for v in step], counts


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_step_that_chooses_or_repeats_is_one_replay_and_asks_the_host_nothing(name):
    expected, _ = answers(PROGRAMS[name], WITHOUT)
    found, counts = answers(PROGRAMS[name], None)
    assert found == expected
    for counted in counts:
        assert (counted.replays, counted.launches, counted.reads, counted.uploads) == (1, 0, 0, 0)
        assert counted.synchronizations == 1  # for what is fetched


def test_a_counter_that_is_read_comes_to_the_host():
    found, counts = answers(counter_read, None)
    assert found == answers(counter_read, WITHOUT)[0]
    assert all((counted.replays, counted.reads) == (2, 0) for counted in counts)


def program(rng, names=("x", "y"), depth=3, kinds=("leaf", "half", "cond", "pair", "loop")):
    """An expression of one float, as text."""

    def inner(names=names):
        return program(rng, names, depth - 1, kinds)

    kind = rng.choice(kinds) if depth else "leaf"
    new = f"v{len(names)}"
    if kind == "leaf":
        return rng.choice([*names, "tf.constant(3.0)"])
    if kind == "half":
        return f"({inner()} * 0.5 + {inner()})"
    if kind == "cond":
        return f"tf.cond({inner()} < {inner()}, lambda: {inner()}, lambda: {inner()})"
    if kind == "pair":
        both = [f"lambda: ({inner()}, {inner()})" for _ in range(2)]
        return f"tf.add(*tf.cond({inner()} < {inner()}, {', '.join(both)}))"
    body = inner((*names, new, f"tf.to_float(i{new})"))
    return (
        f"tf.while_loop(lambda i{new}, {new}: i{new} < {rng.randrange(4)}, "
        f"lambda i{new}, {new}: (i{new} + 1, {body}), [0, {inner()}])[1]"
    )


def with_gradients(text):
    def build(x):
        w = tf.get_variable("w", initializer=np.array([1.5], np.float32), use_resource=True)
        z = eval(text, {"tf": tf, "x": x[1] * w[0], "y": x[2] + w[0]})
        return [z, *[g for g in tf.gradients(z, [x, w]) if g is not None]]

    return build


@pytest.mark.parametrize("seed", range(4))
def test_gradients_of_random_conditionals_are_in_the_same_replay(seed):
    build = with_gradients(program(random.Random(seed), kinds=("half", "cond", "pair")))
    found, counts = answers(build, None)
    assert found == answers(build, WITHOUT)[0]
    assert [counted.replays for counted in counts] == [1] * len(counts)


def test_gradients_of_loops_in_conditionals_that_read_constants_of_the_host():
    build = with_gradients(program(random.Random(134)))
    assert answers(build, None)[0] == answers(build, WITHOUT)[0]


def test_predicates_of_conditionals_in_conditionals_may_come_from_the_host():
    with tf.device("/gpu:0"):
        step = tf.placeholder(tf.int64, [])
        rate = tf.train.piecewise_constant(step, [3, 10, 20], [1.0, 0.5, 0.25, 0.125])
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        found = [session.run(rate, {step: n}) for n in (0, 1, 3, 4, 9, 15, 40)]
    assert found == [1, 1, 1, 0.5, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("seed", range(6))
def test_random_programs_give_what_unrecorded_ones_give(seed):
    text = f"tf.add({program(random.Random(seed))}, {program(random.Random(seed + 100))})"

    def build(x):
        return [eval(text, {"tf": tf, "x": x[1], "y": x[2]})]

    assert answers(build, None)[0] == answers(build, WITHOUT)[0]


# --- what stays with the host -------------------------------------------------------------------


def grows(x):
    return [
        tf.while_loop(
            lambda y: tf.size(y) < 20,
            lambda y: tf.concat([y, y], 0),
            [x],
            shape_invariants=[tf.TensorShape([None])],
        )
    ]


def differs_in_shape(x):
    return [tf.cond(positive(x), lambda: x[:2] * 2.0, lambda: x * 1.0)]


def stacked(x):
    return [tf.map_fn(lambda row: row * row + 1.0, x)]


def through_time(x):
    w = tf.get_variable("w", initializer=np.ones(4, np.float32), use_resource=True)
    _, y = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * w + x), [0, x])
    loss = tf.reduce_sum(y)
    return [loss, tf.gradients(loss, w)[0]]


def drawn(x):
    noise = tf.cond(positive(x), lambda: tf.random_uniform([4], seed=3), lambda: x * 2.0)
    _, y = tf.while_loop(
        lambda i, _: i < 3, lambda i, y: (i + 1, y + tf.random_uniform([4], seed=5)), [0, noise]
    )
    return [y * 1.0]


def read_before(x):
    """What was read of a variable before a way updates it stays as it was."""
    v = variable()
    before = v.read_value()
    with tf.control_dependencies([before]):
        after = tf.cond(positive(x), lambda: tf.assign_add(v, x), lambda: tf.identity(x))
    with tf.control_dependencies([after]):
        return [before + 0.0, after + before]


UNFIT = {
    "grows": grows,
    "differs": differs_in_shape,
    "stacked": stacked,
    "gradient of a loop": through_time,
    "drawn": drawn,
    "read before": read_before,
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_no_recording_can_hold_stays_with_the_host(name):
    feeds = FEEDS * 2
    with tf.Graph().as_default():
        found = answers(UNFIT[name], tf.ConfigProto(allow_soft_placement=True), feeds)
    assert found[0] == answers(UNFIT[name], WITHOUT, feeds)[0]


def test_a_driver_without_conditional_nodes_leaves_all_to_the_host(monkeypatch):
    monkeypatch.setenv("TFSESSION_GPU_CONDITIONALS", "0")
    for build in (chosen, until_it_is_enough, nested, trained_sometimes(True)):
        found, counts = answers(build, None)
        assert found == answers(build, WITHOUT)[0]
        assert all(counted.device_to_host > 1 for counted in counts)


def test_a_truth_of_the_host_tells_recordings_apart(monkeypatch):
    monkeypatch.setenv("TFSESSION_GPU_CONDITIONALS", "0")
    with tf.device("/gpu:0"):
        x, training = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.bool, [])
        y = tf.cond(training, lambda: x * 2.0, lambda: x - 1.0)
        z = tf.cond(training, lambda: tf.exp(y), lambda: y + x)
        loss = tf.reduce_sum(z)
    with tf.Session() as session:
        for turn in range(4):
            for truth in (True, False):
                with session.counting() as counted:
                    found = session.run(loss, {x: X, training: truth})
                wanted = np.exp(X * 2).sum() if truth else (X - 1 + X).sum()
                assert found == pytest.approx(wanted)
                if turn > 1:
                    counts = counted["/gpu:0"]
                    assert (counts.replays, counts.launches, counts.reads) == (1, 0, 0)
        # The same truth again: the step is replayed without another look at all recordings.
        monkeypatch.setattr(Execution, "run", lambda *_: pytest.fail("the recording was not used"))
        assert session.run(loss, {x: X, training: False}) == (X - 1 + X).sum()


def test_the_graphs_of_a_step_show_what_is_in_conditionals():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [4])
        y = tf.cond(positive(x), lambda: tf.exp(x, name="inside"), lambda: x - 1.0)
        z = tf.while_loop(lambda z: tf.reduce_sum(z) < 99.0, lambda z: tf.add(z, 2.0), [y])
    with tf.Session() as session:
        for _ in range(3):
            session.run(z, {x: X})
        metadata = tf.RunMetadata()
        session.run(z, {x: X}, tf.RunOptions(output_partition_graphs=True), metadata)
        names = {node.name for graph in metadata.partition_graphs for node in graph.node}
        assert {"cond/inside", "cond/Merge", "while/Merge", "while/Add"} <= names
        metadata = tf.RunMetadata()
        session.run(z, {x: X}, tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
        traced = {s.node_name for d in metadata.step_stats.dev_stats for s in d.node_stats}
        assert {"cond/inside", "while/Add"} <= traced


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_predicate_that_is_no_scalar_is_told():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, None)
        y = tf.cond(x > 0.0, lambda: x + 1.0, lambda: x - 1.0)
    with tf.Session() as session:
        for _ in range(3):
            with pytest.raises(tf.errors.InvalidArgumentError, match="must be a scalar") as told:
                session.run(y, {x: X})
            assert "cond" in str(told.value)
            assert session.run(y, {x: 1.0}) == 2.0
            assert session.run(y, {x: -1.0}) == -2.0


def test_an_error_of_a_way_names_its_operation_and_only_where_it_is_taken():
    with tf.device("/gpu:0"):
        x, other = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32, None)
        y = tf.cond(positive(x), lambda: tf.add(x, other, name="sum"), lambda: -x)
    with tf.Session() as session:
        for _ in range(3):
            np.testing.assert_array_equal(session.run(y, {x: -X, other: [1.0, 2.0, 3.0]}), X)
            with pytest.raises(tf.errors.InvalidArgumentError, match="sum"):
                session.run(y, {x: X, other: [1.0, 2.0, 3.0]})
            np.testing.assert_array_equal(session.run(y, {x: X, other: 1.0}), X + 1)


def test_a_session_that_is_closed_ends_a_loop_without_end():
    with tf.device("/gpu:0"):
        x, end = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32, [])
        y = tf.while_loop(lambda y: tf.reduce_sum(y) < end, lambda y: y + 0.0 * x, [x])
    for turns in (0, 2):  # as it is, and recorded
        with tf.Session() as session:
            for _ in range(turns):
                session.run(y, {x: X, end: 1.0})
            failed = []

            def run(session=session, failed=failed):
                try:
                    session.run(y, {x: X, end: 1e9})
                except tf.errors.CancelledError as error:
                    failed.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            time.sleep(0.1)
            session.close()
            thread.join(20)
            assert not thread.is_alive()
            assert failed
