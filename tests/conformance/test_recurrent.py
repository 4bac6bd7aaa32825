"""Recurrent networks and their cells under real TensorFlow and here: nodes, variables, numbers.

TensorFlow's own copy of the cells is asked, which needs no Keras.
"""

import inspect
import warnings

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("programs")]

DATA = np.random.default_rng(7).normal(size=(3, 5, 2)).astype("float32")
# TensorFlow's iterations draw in any order unless they come one after another.
DROPPING = {"parallel_iterations": 1}


@pytest.fixture(scope="module")
def cells(tf):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.python.keras.layers.legacy_rnn import rnn_cell_impl  # noqa: PLC0415
    return rnn_cell_impl


def _inputs(tf, known=True):
    return tf.constant(DATA) if known else tf.placeholder_with_default(DATA, [None, None, 2])


def _dynamic(make, known=True, **keywords):
    def program(tf, cells):
        x = _inputs(tf, known)
        return tf.nn.dynamic_rnn(make(tf, cells), x, dtype=tf.float32, **keywords)

    return program


def _static(make, known=True, **keywords):
    def program(tf, cells):
        x = tf.constant(DATA) if known else tf.placeholder_with_default(DATA, [None, 5, 2])
        pieces = tf.unstack(x, axis=1)
        return tf.nn.static_rnn(make(tf, cells), pieces, dtype=tf.float32, **keywords)

    return program


def _lstm(tf, cells):
    return cells.LSTMCell(
        4, use_peepholes=True, cell_clip=0.5, num_proj=3, proj_clip=0.2, activation=tf.nn.relu,
        initializer=tf.random_uniform_initializer(-1, 1, seed=2),
    )  # fmt: skip


def _joined(tf, cells):
    first = cells.LSTMCell(4, state_is_tuple=False, num_proj=3)
    return cells.MultiRNNCell([first, cells.GRUCell(2)], state_is_tuple=False)


def _dropped(tf, cells):
    first = cells.DropoutWrapper(cells.BasicLSTMCell(4), 0.5, tf.constant(0.6), 0.7, seed=5)
    second = cells.ResidualWrapper(cells.DeviceWrapper(cells.GRUCell(4), "/cpu:0"))
    return cells.MultiRNNCell([first, second])


def _same_drops(tf, cells):
    return cells.DropoutWrapper(
        cells.BasicLSTMCell(4), 0.5, 0.6, 0.7, variational_recurrent=True, input_size=2,
        dtype=tf.float32, seed=5,
    )  # fmt: skip


def _row_in_slices(tf, cells):
    tf.get_variable_scope().set_partitioner(tf.fixed_size_partitioner(2))
    return cells.MultiRNNCell([cells.GRUCell(4), cells.BasicRNNCell(2)])


def own_cell(tf, cells):
    class Cell(cells.RNNCell):
        @property
        def state_size(self):
            return tf.TensorShape([3])

        @property
        def output_size(self):
            return (3, tf.TensorShape([2]))

        def call(self, inputs, state):
            w = tf.get_variable("w", [5, 3])
            state = tf.tanh(tf.matmul(tf.concat([inputs, state], 1), w))
            return (state, inputs), state

    one = tf.nn.dynamic_rnn(Cell(), _inputs(tf), [1, 5, 3], dtype=tf.float32)
    pieces = tf.unstack(_inputs(tf), axis=1)
    cell = Cell(name="mine")
    two = tf.nn.static_rnn(cell, pieces, dtype=tf.float32, scope="again")
    assert [v.name for v in cell.trainable_variables] == ["again/mine/w:0"]
    return one, two


def plain_object(tf, cells):
    class Cell:
        state_size, output_size = (4, 2), 4

        def zero_state(self, batch_size, dtype):
            return tuple(tf.zeros([batch_size, size], dtype) for size in self.state_size)

        def __call__(self, inputs, state, scope=None):
            w = tf.get_variable("w", [8, 4], initializer=tf.glorot_normal_initializer(seed=3))
            new = tf.tanh(tf.matmul(tf.concat([inputs, *state], 1), w))
            return new, (new, inputs)

    return tf.nn.dynamic_rnn(Cell(), _inputs(tf, known=False), [1, 5, 3], dtype=tf.float32)


def both_ways(tf, cells):
    x = _inputs(tf)
    one = tf.nn.bidirectional_dynamic_rnn(
        cells.GRUCell(3), cells.BasicLSTMCell(2), x, sequence_length=[1, 4, 5], dtype=tf.float32
    )
    two = tf.nn.bidirectional_dynamic_rnn(
        cells.GRUCell(3), cells.BasicLSTMCell(2), x, dtype=tf.float32, time_major=True, scope="b"
    )
    return one, two


def both_ways_unrolled(tf, cells):
    pieces = tf.unstack(_inputs(tf), axis=1)
    one = tf.nn.static_bidirectional_rnn(
        cells.GRUCell(3), cells.GRUCell(2), pieces, sequence_length=[1, 4, 5], dtype=tf.float32
    )
    two = tf.nn.static_bidirectional_rnn(
        cells.GRUCell(3), cells.GRUCell(2), pieces, dtype=tf.float32, scope="b"
    )
    return one, two


def kept_state(tf, cells):
    class Saver:
        def state(self, name):
            return tf.get_variable(name, initializer=np.ones([3, 3], "f"))

        def save_state(self, name, value):
            with tf.variable_scope("", reuse=True):
                return tf.assign(tf.get_variable(name, [3, 3]), value)

    pieces = tf.unstack(_inputs(tf), axis=1)
    one = tf.nn.static_state_saving_rnn(cells.GRUCell(3), pieces, Saver(), "a")
    lstm = cells.BasicLSTMCell(3)
    two = tf.nn.static_state_saving_rnn(lstm, pieces, Saver(), ("b", "c"), scope="l")
    return one, two


def raw(tf, cells):
    x = tf.placeholder_with_default(DATA.transpose(1, 0, 2), [5, None, 2])
    cell = cells.LSTMCell(3)

    def loop(emit, first):
        array = tf.TensorArray(tf.float32, 5).unstack(x)

        def loop_fn(time, output, state, loop_state):
            finished = time >= tf.constant([2, 3, 5])
            following = tf.cond(
                tf.reduce_all(finished), lambda: tf.zeros([tf.shape(x)[1], 2]),
                lambda: array.read(time),
            )  # fmt: skip
            following.set_shape([None, 2])
            if output is None:
                state = cell.zero_state(tf.shape(x)[1], tf.float32)
                return finished, following, state, first and first[0], first and 1.0
            loop_state = first and loop_state * 2.0
            return finished, following, state, emit(time, output), loop_state

        return tf.nn.raw_rnn(cell, loop_fn)

    arrays, state, _ = loop(lambda _, output: output, None)
    with tf.variable_scope("second"):
        pair, state_2, doubled = loop(
            lambda time, output: (output[:, :2], tf.fill([tf.shape(x)[1]], time)),
            ((tf.zeros([2]), tf.zeros([], tf.int32)),),
        )
    return arrays.stack(), state, pair[0].stack(), pair[1].stack(), state_2, doubled


PROGRAMS = {
    "plain": _dynamic(lambda tf, cells: cells.BasicRNNCell(4), known=False, time_major=True),
    "gated, lengths": _dynamic(
        lambda tf, cells: cells.GRUCell(4), known=False, sequence_length=np.array([1, 4, 5])
    ),
    "lstm": _dynamic(lambda tf, cells: cells.BasicLSTMCell(4, name="mine")),
    "lstm, joined state": _dynamic(
        lambda tf, cells: cells.BasicLSTMCell(4, state_is_tuple=False), sequence_length=[1, 0, 5]
    ),
    "lstm, all options": _dynamic(_lstm, known=False),
    "kernels in slices": _dynamic(
        lambda tf, cells: cells.LSTMCell(4, num_unit_shards=2, num_proj=3, num_proj_shards=2)
    ),
    "a row in slices": _dynamic(_row_in_slices),
    "joined": _dynamic(_joined, known=False),
    "dropout": _dynamic(_dropped, **DROPPING),
    "same dropout": _dynamic(_same_drops, **DROPPING),
    "unrolled": _static(lambda tf, cells: cells.BasicLSTMCell(4)),
    "unrolled, lengths": _static(_dropped, known=False, sequence_length=[1, 3, 4]),
    **{
        program.__name__: program
        for program in (own_cell, plain_object, both_ways, both_ways_unrolled, kept_state, raw)
    },
}


def _summary(tf, cells, program):
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(4)
        results = tf.nest.flatten(program(tf, cells))
        shapes = [str(tensor.shape) for tensor in results]
        nodes = [
            (op.name, op.type, [t.name for t in op.inputs], [str(t.shape) for t in op.outputs])
            for op in graph.get_operations()
        ]
        variables = [(v.name, v.shape.as_list(), v.trainable) for v in tf.global_variables()]
        floats = [t for t in results if t.dtype == tf.float32]
        loss = tf.add_n([tf.reduce_sum(t * t) for t in floats])
        grads = tf.gradients(loss, tf.trainable_variables())
        with tf.Session(graph=graph) as session:
            session.run(tf.global_variables_initializer())
            first = session.run([results, grads])
            return (shapes, nodes, variables), [*first, session.run(results)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_graph_and_numbers(name, tf, cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, their_values = _summary(tf, cells, PROGRAMS[name])
    ours, our_values = _summary(tfsession, tfsession.nn.rnn_cell, PROGRAMS[name])
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine == wanted
    for mine, wanted in zip(our_values, their_values, strict=True):
        for a, b in zip(mine, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


ERRORS = {
    "no cell": lambda tf, cells, x: tf.nn.dynamic_rnn(3, x, dtype=tf.float32),
    "no dtype": lambda tf, cells, x: tf.nn.dynamic_rnn(cells.GRUCell(3), x),
    "lengths of rank two": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.GRUCell(3), x, [[1]], dtype=tf.float32
    ),
    "ints": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.GRUCell(3), tf.zeros([3, 5, 2], tf.int32), dtype=tf.float32
    ),
    "unknown depth": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.GRUCell(3), tf.placeholder(tf.float32, [3, 5, None]), dtype=tf.float32
    ),
    "rank one": lambda tf, cells, x: tf.nn.dynamic_rnn(cells.GRUCell(3), x[0, 0], dtype=tf.float32),
    "other times": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.GRUCell(3), (x, x[:, 1:]), dtype=tf.float32
    ),
    "other batches": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.GRUCell(3), (x, x[1:]), dtype=tf.float32
    ),
    "other state": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.GRUCell(3), x, initial_state=tf.zeros([3, 4])
    ),
    "no list": lambda tf, cells, x: tf.nn.static_rnn(cells.GRUCell(3), x, dtype=tf.float32),
    "empty list": lambda tf, cells, x: tf.nn.static_rnn(cells.GRUCell(3), [], dtype=tf.float32),
    "unrolled without dtype": lambda tf, cells, x: tf.nn.static_rnn(
        cells.GRUCell(3), tf.unstack(x, axis=1)
    ),
    "no loop function": lambda tf, cells, x: tf.nn.raw_rnn(cells.GRUCell(3), 3),
    "no cells": lambda tf, cells, x: cells.MultiRNNCell([]),
    "one cell": lambda tf, cells, x: cells.MultiRNNCell(cells.GRUCell(3)),
    "nested states": lambda tf, cells, x: cells.MultiRNNCell(
        [cells.BasicLSTMCell(3)], state_is_tuple=False
    ),
    "probability": lambda tf, cells, x: cells.DropoutWrapper(cells.GRUCell(3), 1.5),
    "no dtype for draws": lambda tf, cells, x: cells.DropoutWrapper(
        cells.GRUCell(3), 0.5, variational_recurrent=True
    ),
    "no size for draws": lambda tf, cells, x: cells.DropoutWrapper(
        cells.GRUCell(3), 0.5, variational_recurrent=True, dtype=tf.float32
    ),
    "no filter": lambda tf, cells, x: cells.DropoutWrapper(
        cells.GRUCell(3), dropout_state_filter_visitor=3
    ),
    "dtype": lambda tf, cells, x: cells.BasicLSTMCell(3, dtype=tf.int32),
    "residual of other size": lambda tf, cells, x: tf.nn.dynamic_rnn(
        cells.ResidualWrapper(cells.GRUCell(3)), x, dtype=tf.float32
    ),
}


def _outcome(tf, cells, program):
    with tf.Graph().as_default():
        try:
            program(tf, cells, _inputs(tf))
        except Exception as error:
            return type(error).__name__
    return None


@pytest.mark.parametrize("name", ERRORS)
def test_same_errors(name, tf, cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = _outcome(tf, cells, ERRORS[name])
    assert wanted is not None
    assert _outcome(tfsession, tfsession.nn.rnn_cell, ERRORS[name]) == wanted


FUNCTIONS = [
    *("dynamic_rnn", "bidirectional_dynamic_rnn", "static_rnn", "static_bidirectional_rnn"),
    *("static_state_saving_rnn", "raw_rnn"),
]
CLASSES = [
    *("RNNCell", "BasicRNNCell", "GRUCell", "BasicLSTMCell", "LSTMCell", "MultiRNNCell"),
    *("LSTMStateTuple",),
]


def test_same_arguments(tf, cells):
    pairs = [(getattr(tfsession.nn, name), getattr(tf.nn, name)) for name in FUNCTIONS]
    ours = tfsession.nn.rnn_cell
    pairs += [(getattr(ours, name), getattr(cells, name)) for name in CLASSES]
    for mine, theirs in pairs:
        assert list(inspect.signature(mine).parameters) == list(
            inspect.signature(theirs).parameters
        )
