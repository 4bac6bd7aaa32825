"""Loops, and the recurrent networks made of them or of unrolled cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.row import Step, works

TEN = np.linspace(0.1, 0.3, 10, dtype=np.float32)


@works({"loop of 1,000 turns, two ops": (1000,)}, small={"loop": (10,)})
def loop(tf: Any, turns: int) -> Step:
    """A loop whose body multiplies and adds ten numbers."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [10])
        y = tf.while_loop(lambda i, y: i < turns, lambda i, y: (i + 1, y * 0.5 + x), [0, x])[1]
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x])
    return lambda: call(TEN)


@works({"gradient of a loop of 1,000 turns": (1000,)}, small={"gradient of a loop": (10,)})
def loop_gradient(tf: Any, turns: int) -> Step:
    """The gradient of a loop whose body multiplies ten numbers twice."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [10])
        y = tf.while_loop(lambda i, y: i < turns, lambda i, y: (i + 1, y * x * 0.99), [0, x])[1]
        (grad,) = tf.gradients(y, x)
        session = tf.Session(graph=graph)
    call = session.make_callable(grad, [x])
    value = np.linspace(1.0, 1.01, 10, dtype=np.float32)
    return lambda: call(value)


@works(
    {
        "recurrent network, 100 steps": (100, False),
        "recurrent network, 100 steps, gradients": (100, True),
    },
    small={"recurrent network": (5, False), "recurrent network, gradients": (5, True)},
)
def recurrent(tf: Any, steps: int, trains: bool) -> Step:
    """A recurrent network of 32 units over TensorArrays, a batch of 8; its outputs or gradients."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [steps, 8, 16])
        w = tf.constant(np.linspace(-0.2, 0.2, 48 * 32, dtype=np.float32).reshape(48, 32))
        inputs = tf.TensorArray(tf.float32, steps).unstack(x)

        def body(step: Any, state: Any, outputs: Any) -> Any:
            state = tf.tanh(tf.matmul(tf.concat([inputs.read(step), state], 1), w))
            return step + 1, state, outputs.write(step, state)

        first = 0, tf.zeros([8, 32]), tf.TensorArray(tf.float32, steps)
        outputs = tf.while_loop(lambda step, *_: step < steps, body, first)[2].stack()
        fetch = tf.gradients(tf.reduce_mean(tf.square(outputs)), w)[0] if trains else outputs
        session = tf.Session(graph=graph)
    call = session.make_callable(fetch, [x])
    value = np.linspace(-1, 1, steps * 128, dtype=np.float32).reshape(steps, 8, 16)
    return lambda: call(value)


def _cell(tf: Any, kind: str, units: int) -> Any:
    cells = tf.nn.rnn_cell
    if not hasattr(cells, "LSTMCell"):
        # TensorFlow hides them beside Keras 3.
        from tensorflow.python.keras.layers.legacy_rnn import rnn_cell_impl as cells
    return getattr(cells, f"{kind}Cell")(units)


def cell_arrays(kind: str, units: int) -> list[Any]:
    """Kernels and biases of a cell, in the order of its variables."""
    rng, width = np.random.default_rng(0), 32 + units
    sizes = [(width, 4 * units), (4 * units,)]
    if kind == "GRU":
        sizes = [(width, 2 * units), (2 * units,), (width, units), (units,)]
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def sequences(steps: int, batch: int) -> Any:
    """What recurrent networks of cells read."""
    return np.random.default_rng(1).normal(0, 1, (batch, steps, 32)).astype(np.float32)


# Static or dynamic, the cell, steps, batch, units, and whether it trains.
CELLS = {
    "static LSTM, 100 steps": (True, "LSTM", 100, 32, 64, False),
    "static LSTM, 100 steps, descent": (True, "LSTM", 100, 32, 64, True),
    "dynamic LSTM, 100 steps": (False, "LSTM", 100, 32, 64, False),
    "dynamic LSTM, 100 steps, descent": (False, "LSTM", 100, 32, 64, True),
    "dynamic GRU, 100 steps": (False, "GRU", 100, 32, 64, False),
}


@works(
    CELLS,
    small={
        "static LSTM": (True, "LSTM", 4, 2, 3, True),
        "dynamic LSTM": (False, "LSTM", 4, 2, 3, True),
        "dynamic GRU": (False, "GRU", 4, 2, 3, False),
    },
)
def cells(
    tf: Any, static: bool, kind: str, steps: int, batch: int, units: int, trains: bool
) -> Step:
    """A recurrent network of a cell of the library: its last output, or a step of descent."""
    with tf.Graph().as_default() as graph:
        x, cell = tf.placeholder(tf.float32, [batch, steps, 32]), _cell(tf, kind, units)
        if static:
            outputs, _ = tf.nn.static_rnn(cell, tf.unstack(x, axis=1), dtype=tf.float32)
            last = outputs[-1]
        else:
            outputs, _ = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)
            last = outputs[:, -1]
        fetches = [last]
        if trains:
            loss = tf.reduce_mean(tf.square(last))
            fetches = [loss, tf.train.GradientDescentOptimizer(0.1).minimize(loss)]
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
        given = zip(tf.trainable_variables(), cell_arrays(kind, units), strict=True)
        session.run([tf.assign(variable, array) for variable, array in given])
    call = session.make_callable(fetches, [x])
    value = sequences(steps, batch)
    return lambda: call(value)[0]


@works({"map_fn of 1,000 rows, two ops": (1000,)}, small={"map_fn": (5,)})
def mapped(tf: Any, rows: int) -> Step:
    """A function of two ops of each row, by `map_fn`."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [rows, 10])
        y = tf.map_fn(lambda row: tf.tanh(row) * 2.0, x)
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x])
    value = np.linspace(-1, 1, rows * 10, dtype=np.float32).reshape(rows, 10)
    return lambda: call(value)
