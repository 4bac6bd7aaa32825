"""A recurrent network unrolled in Python: gates by split and concat, state carried in variables."""

import collections

import numpy as np

STEPS, BATCH, UNITS = 6, 4, 7

State = collections.namedtuple("State", ["c", "h"])


class Cell:
    """A cell with forget gates whose variables are made at its first call."""

    def __init__(self, tf, units):
        self.tf = tf
        self.units = units
        self.variables = None

    def __call__(self, x, state):
        tf = self.tf
        if self.variables is None:
            shape = [x.shape.as_list()[1] + self.units, 4 * self.units]
            kernel = tf.get_variable(
                "kernel", shape, initializer=tf.variance_scaling_initializer(seed=31)
            )
            self.variables = (
                kernel,
                tf.get_variable("bias", shape[1:], initializer=tf.zeros_initializer),
            )
        kernel, bias = self.variables
        gates = tf.nn.bias_add(tf.matmul(tf.concat([x, state.h], 1), kernel), bias)
        i, j, f, o = tf.split(value=gates, num_or_size_splits=4, axis=1)
        c = state.c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
        return State(c, tf.sigmoid(o) * tf.tanh(c))


def _waves():
    """For each row of the batch a wave of its own, one value a step, and the value that follows."""
    time = np.arange(STEPS * 20 + 1)
    rate = np.linspace(0.2, 0.6, BATCH)[:, None]
    wave = (np.sin(time * rate) + 0.3 * np.sin(2.7 * time * rate)).astype(np.float32)
    return wave[:, :-1, None], wave[:, 1:, None]


def program(tf):
    inputs, targets = _waves()
    x = tf.placeholder(tf.float32, [BATCH, STEPS, 1], name="x")
    y = tf.placeholder(tf.float32, [BATCH, STEPS, 1], name="y")
    with tf.variable_scope("carried", initializer=tf.zeros_initializer()):
        carried = State(
            *(tf.get_variable(n, [BATCH, UNITS], trainable=False) for n in State._fields)
        )
    with tf.variable_scope("rnn"):
        cell, state, outputs = Cell(tf, UNITS), State(*map(tf.identity, carried)), []
        for piece in tf.unstack(x, axis=1):
            state = cell(piece, state)
            outputs.append(state.h)
    hidden = tf.transpose(tf.stack(outputs), perm=[1, 0, 2])
    with tf.variable_scope("project"):
        weights = tf.get_variable(
            "w", initializer=tf.random_normal([UNITS, 1], stddev=0.3, seed=32)
        )
        flat = tf.matmul(tf.reshape(hidden, [-1, UNITS]), weights)
        prediction = tf.reshape(flat, tf.shape(y))
    loss = tf.losses.huber_loss(y, prediction, delta=0.5)

    optimizer = tf.train.AdamOptimizer(0.03)
    grads, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    grads = [tf.clip_by_norm(grad, 2.0) for grad in grads]
    step = tf.train.get_or_create_global_step()
    with tf.control_dependencies(grads):
        keep = [tf.assign(old, new) for old, new in zip(carried, state, strict=True)]
        with tf.control_dependencies(keep):
            train = optimizer.apply_gradients(zip(grads, variables, strict=True), step)
    forget = tf.variables_initializer(carried)

    course = []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(forget)
            for start in range(0, inputs.shape[1], STEPS):
                window = np.s_[:, start : start + STEPS]
                feeds = {x: inputs[window], y: targets[window]}
                course.append(session.run([loss, train], feeds)[0])
        final = session.run({"state": carried, "weights": tf.trainable_variables(), "step": step})
    return {"losses": [np.mean(course[:20]), np.mean(course[-20:])], "course": course, **final}
