"""Loops of which the host counts the turns: with TensorArrays and stacks, one replay a step."""

import gc
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import recordings, refusals

import tfsession as tf
from tfsession.resources.tensor_array import TensorArray
from tfsession.runtime import structured

X = np.linspace(-1, 1, 2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
SOFT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield
    gc.collect()


def array(size, **options):
    return tf.TensorArray(tf.float32, size, **options)


def weights(name="w"):
    return tf.get_variable(name, initializer=np.full([3, 3], 0.3, np.float32), use_resource=True)


def lstm(lengths=None, trains=False):
    def build(x):
        cell = tf.nn.rnn_cell.LSTMCell(4, initializer=tf.glorot_uniform_initializer(1))
        y, state = tf.nn.dynamic_rnn(cell, x, sequence_length=lengths, dtype=tf.float32)
        if not trains:
            return [y, state.h]
        loss = tf.reduce_sum(tf.square(y))
        step = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
        with tf.control_dependencies([step]):
            return [tf.identity(loss)]

    return build


def mapped(x):
    return [tf.map_fn(lambda row: tf.tanh(row) * 2.0, x)]


def scanned(x):
    return [tf.scan(lambda a, row: tf.tanh(a + row), x), tf.foldr(lambda a, row: a * row, x)]


def gradient(x):
    w = weights()
    first = tf.reshape(x, [-1, 3])
    _, y = tf.while_loop(lambda i, _: i < 4, lambda i, y: (i + 1, tf.tanh(y @ w)), [0, first])
    return [y, *tf.gradients(y, [w, x])]


def nested(x):
    def outer(i, y, kept):
        _, z = tf.while_loop(lambda j, _: j <= i, lambda j, z: (j + 1, tf.tanh(z) * x), [0, y])
        return i + 1, z, kept.write(i, z)

    _, y, kept = tf.while_loop(lambda i, *_: i < 3, outer, [0, x, array(3)])
    return [kept.stack(), *tf.gradients(y, x)]


def chosen(x):
    """Ways that the host chooses, others that the device does, and numbers that are drawn."""

    def body(i, y, kept):
        z = tf.cond(i > 1, lambda: y * 2.0, lambda: y + 1.0)
        z = tf.cond(tf.reduce_sum(z) > 3.0, lambda: z - 2.0, lambda: z)
        return i + 1, z, kept.write(i, z + tf.random_uniform([3], seed=5))

    _, _, kept = tf.while_loop(lambda i, *_: i < 4, body, [0, x, array(4)])
    return [kept.stack()]


def updated(x):
    v = weights()

    def body(i, kept):
        with tf.control_dependencies([tf.assign_add(v, x[0, :3] * tf.cast(i, tf.float32))]):
            return i + 1, kept.write(i, v.read_value() * 1.0)

    return [tf.while_loop(lambda i, _: i < 3, body, [0, array(3)])[1].stack()]


def grown(x):
    """The number of turns follows from a shape; the array's size is asked for, and fetched."""
    _, kept = tf.while_loop(
        lambda i, _: i < tf.shape(x)[1],
        lambda i, kept: (i + 1, kept.write(i, x[:, i] * 2.0)),
        [0, array(0, dynamic_size=True)],
    )
    return [kept.stack(), kept.size()]


def empty(x):
    return [tf.map_fn(lambda row: row * 2.0, tf.reshape(x, [-1, 3])[:0]), x + 1.0]


PROGRAMS = {
    "lstm": lstm(),
    "lstm, trained": lstm(trains=True),
    "lstm of lengths": lstm([2, 4]),
    "lstm of lengths, trained": lstm([2, 4], trains=True),
    "mapped": mapped,
    "scanned": scanned,
    "gradient": gradient,
    "nested": nested,
    "chosen": chosen,
    "updated": updated,
    "grown": grown,
    "empty": empty,
}


def answers(build, config=SOFT, steps=6):
    """What steps and variables give, as bytes; the counters of the last one; and refusals."""
    with tf.Graph().as_default():
        tf.set_random_seed(7)
        with tf.device("/gpu:0"):
            x = tf.placeholder(tf.float32, [2, None, 3])
            fetches = build(x)
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            found = [session.run(fetches, {x: X * (i + 1)}) for i in range(steps)]
            with session.counting() as counted:
                found.append(session.run(fetches, {x: -X}))
            found.append(session.run(tf.global_variables()))
            told = refusals(session)
        return [np.asarray(v).tobytes() for step in found for v in step], counted["/gpu:0"], told


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_step_with_loops_that_keep_things_is_one_replay(name):
    expected, _, _ = answers(PROGRAMS[name], WITHOUT)
    found, counted, told = answers(PROGRAMS[name])
    assert found == expected
    assert told == []
    assert (counted.replays, counted.launches, counted.reads, counted.uploads) == (1, 0, 0, 0)
    assert counted.synchronizations == 1  # for what is fetched


# --- random loops -------------------------------------------------------------------------------

_STEPS = {
    "tanh": lambda i, y, x: tf.tanh(y),
    "times": lambda i, y, x: y * x,
    "counted": lambda i, y, x: y + tf.cast(i, tf.float32),
    "host chooses": lambda i, y, x: tf.cond(i > 1, lambda: y * 0.5, lambda: y - x),
    "device chooses": lambda i, y, x: tf.cond(
        tf.reduce_sum(y) > 0.0, lambda: y * 0.5, lambda: y + x
    ),
}


def looped(steps, turns, x, inner=0):
    """The last value of a loop, all that it had on its way, and how often it turned."""

    def body(i, y, kept):
        for step in steps:
            y = _STEPS[step](i, y, x)
        if inner:
            y, more, _ = looped(steps[:1], inner, y)
            y += tf.reduce_mean(more, 0)
        return i + 1, y, kept.write(i, y)

    count, y, kept = tf.while_loop(lambda i, *_: i < turns, body, [0, x, array(turns)])
    return y, kept.stack(), count


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(_STEPS)), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 2),
    st.booleans(),
)
def test_random_loops_give_the_bits_of_unrecorded_ones(steps, turns, inner, is_differentiated):
    def build(x):
        y, kept, count = looped(steps, turns, x, inner)
        grads = tf.gradients(tf.reduce_sum(kept) + tf.reduce_sum(y), x) if is_differentiated else []
        return [y, kept, count, *grads]

    found, _, told = answers(build, steps=3)
    assert found == answers(build, WITHOUT, steps=3)[0]
    assert told == []


# --- what tells recordings apart, and what is not recorded --------------------------------------


def fed_turns():
    with tf.device("/gpu:0"):
        x, turns = tf.placeholder(tf.float32, [3]), tf.placeholder(tf.int32, [])
        y = tf.exp(x) * 2.0
        _, kept = tf.while_loop(
            lambda i, _: i < turns, lambda i, kept: (i + 1, kept.write(i, y)), [0, array(turns)]
        )
        return x, turns, [kept.stack(), y]


def run(session, fetches, feeds):
    with session.counting() as counted:
        found = session.run(fetches, feeds)
    return found, counted["/gpu:0"]


def test_each_number_of_turns_has_a_recording():
    x, turns, fetches = fed_turns()
    with tf.Session() as session:
        for count in (2, 3, 2, 3, 2, 3):
            (kept, _), counted = run(session, fetches, {x: np.ones(3), turns: count})
            assert kept.shape == (count, 3)
        assert (counted.replays, counted.launches) == (1, 0)
        assert len(recordings(session)[0]._known) == 2


def test_a_loop_of_which_no_step_is_like_another_is_left_to_the_host():
    x, turns, fetches = fed_turns()
    with tf.Session() as session:
        for count in range(20):
            (kept, _), counted = run(session, fetches, {x: np.ones(3), turns: count + 1})
            assert kept.shape == (count + 1, 3)
        assert counted.replays > 0  # of what stands before the loop


def test_too_many_turns_are_left_to_the_host(monkeypatch):
    monkeypatch.setattr(structured, "MOST_UNROLLED", 10)
    expected, _, _ = answers(mapped, WITHOUT, steps=3)
    assert answers(mapped, steps=3)[0] == expected
    monkeypatch.setattr(structured, "MOST_UNROLLED", 1)
    found, counted, _ = answers(mapped, steps=3)
    assert found == expected
    assert counted.launches > 0


def told_by(build, config):
    """The error of each of four steps."""
    with tf.Graph().as_default():
        with tf.device("/gpu:0"):
            x, size = tf.placeholder(tf.float32, [3]), tf.placeholder(tf.int32, [])
            fetch = build(x, size)
        with tf.Session(config=config) as session:
            found = []
            for _ in range(3):
                with pytest.raises(tf.errors.OpError) as caught:
                    session.run(fetch, {x: X[0, 0], size: 1})
                found.append((type(caught.value), caught.value.op.name))
            assert session.run(fetch, {x: X[0, 0], size: 3}).shape == (3, 3)
            return found


def written_beyond(x, size):
    body = lambda i, kept: (i + 1, kept.write(i, x * 2.0))  # noqa: E731
    _, kept = tf.while_loop(lambda i, _: i < 3, body, [0, array(size)])
    return kept.stack()


def test_an_error_names_its_operation_as_unrecorded_and_the_session_goes_on():
    found = told_by(written_beyond, SOFT)
    assert found == told_by(written_beyond, WITHOUT)
    name = "while/TensorArrayWrite/TensorArrayWriteV3"
    assert found == [(tf.errors.InvalidArgumentError, name)] * 3


@pytest.mark.parametrize("before", [0, 1], ids=["as it is", "recorded"])
def test_a_session_that_is_closed_ends_a_loop(before, monkeypatch):
    write, closing = TensorArray.write, []

    def write_while_closed(*arguments):
        write(*arguments)
        if len(closing) == before + 1 and closing[-1].ident is None:
            closing[-1].start()
            closing[-1].join(0.2)  # it waits for the step, which sees that it is over

    monkeypatch.setattr(TensorArray, "write", write_while_closed)
    x, turns, fetches = fed_turns()
    with tf.Session() as session:
        for _ in range(before):
            closing.append(None)
            session.run(fetches, {x: np.ones(3), turns: 50})
        closing.append(threading.Thread(target=session.close))
        with pytest.raises(tf.errors.CancelledError):
            session.run(fetches, {x: np.ones(3), turns: 50})
        closing[-1].join(20)
        assert not closing[-1].is_alive()


def device_says_when(x):
    _, y, kept = tf.while_loop(
        lambda i, y, _: tf.reduce_sum(y) < 60.0,
        lambda i, y, kept: (i + 1, y + 1.0, kept.write(i, y)),
        [0, tf.abs(x[:, 0]), array(0, dynamic_size=True, element_shape=[2, 3])],
    )
    return [y, kept.stack()]


def asked_of_python(x):
    def row_of(row):
        return tf.py_func(lambda a: a * 2, [row], tf.float32)

    return [tf.map_fn(row_of, tf.exp(x) + 1.0)]


def read_by_the_host(x):
    """What the device has made is read by the host within the loop."""
    with tf.device("/cpu:0"):
        on_host = tf.get_variable("h", initializer=np.float32(2), use_resource=True)
    return [tf.map_fn(lambda row: row * on_host, tf.exp(x) + 1.0)]


def within_a_choice(x):
    return [tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.map_fn(tf.exp, x), lambda: x * 2.0)]


STAYS = {
    "the device says when": device_says_when,
    "python": asked_of_python,
    "host": read_by_the_host,
    "within a choice": within_a_choice,
}


@pytest.mark.parametrize("name", STAYS)
def test_what_the_host_cannot_know_stays_as_it_was(name):
    expected, _, _ = answers(STAYS[name], WITHOUT)
    found, _, told = answers(STAYS[name])
    assert found == expected
    assert told == []


def test_a_handle_that_is_fetched_is_in_no_recording():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [4, 3])
        kept = array(4).unstack(tf.exp(x) * 2.0)
        fetches = [kept.handle, kept.gather([1, 2]) + 1.0]
    with tf.Session() as session:
        found = [session.run(fetches, {x: np.ones([4, 3])})[1] for _ in range(4)]
        assert refusals(session) == []
    assert all(value.tobytes() == found[0].tobytes() for value in found)


class Library:
    """NumPy, but for what a recording cannot hold where CuPy does it."""

    empty = staticmethod(np.empty)

    @staticmethod
    def concatenate(values):
        assert len(values) <= 8, "a kernel is told by the host where its inputs lie"
        return np.concatenate(values)


@pytest.mark.parametrize("shape", [(), (2,), (1, 3)])
def test_many_elements_are_joined_as_a_recording_can_hold_it(shape):
    rows = np.arange(12.0, dtype=np.float32).reshape(12, *[1] * len(shape)) + np.zeros(shape)
    kept = TensorArray("t", tf.float32, 12, None, grows=False, clears=False, is_uniform=True)
    for index, row in enumerate(rows):
        kept.write(index, row, tf.float32)
    assert (kept.gather(Library, range(12), tf.float32, None) == rows).all()
    if shape:
        joined, lengths = kept.concat(Library, tf.float32, None)
        assert (joined == np.concatenate(rows)).all()
        assert lengths == [shape[0]] * 12
