"""A model of words unrolled over a few steps: state fed from window to window, falling rate."""

import numpy as np

WORDS, UNITS, STEPS, BATCH = 12, 10, 5, 4


class Gated:
    """A gated cell for `static_rnn`: any object with these attributes is one."""

    def __init__(self, tf, name, seed):
        self.tf, self.name, self.seed = tf, name, seed
        self.state_size = self.output_size = UNITS

    def zero_state(self, batch_size, dtype):
        return self.tf.zeros([batch_size, UNITS], dtype)

    def __call__(self, inputs, state, scope=None):
        tf = self.tf
        with tf.variable_scope(scope or self.name):
            depth = inputs.shape.as_list()[1] + UNITS
            start = tf.uniform_unit_scaling_initializer(seed=self.seed)
            kernel = tf.get_variable("gates", [depth, 2 * UNITS], initializer=start)
            r, u = tf.split(tf.sigmoid(tf.matmul(tf.concat([inputs, state], 1), kernel)), 2, 1)
            kernel = tf.get_variable("candidate", [depth, UNITS], initializer=start)
            c = tf.tanh(tf.matmul(tf.concat([inputs, r * state], 1), kernel))
            new = u * state + (1.0 - u) * c
            return new, new


class Row:
    """Cells in a row."""

    def __init__(self, *cells):
        self.cells = cells
        self.state_size = tuple(cell.state_size for cell in cells)
        self.output_size = cells[-1].output_size

    def zero_state(self, batch_size, dtype):
        return tuple(cell.zero_state(batch_size, dtype) for cell in self.cells)

    def __call__(self, inputs, state, scope=None):
        states = []
        for cell, own in zip(self.cells, state, strict=True):
            inputs, own = cell(inputs, own)
            states.append(own)
        return inputs, tuple(states)


def _words():
    """Four texts in which each word tells what may follow."""
    rng = np.random.default_rng(8)
    texts = np.zeros((BATCH, 12 * STEPS + 1), np.int32)
    for time in range(1, texts.shape[1]):
        texts[:, time] = (3 * texts[:, time - 1] + rng.integers(1, 3, BATCH)) % WORDS
    return texts


def program(tf):
    x = tf.placeholder(tf.int32, [BATCH, STEPS], name="x")
    y = tf.placeholder(tf.int32, [BATCH, STEPS], name="y")
    rate = tf.Variable(0.3, trainable=False, name="rate")
    slower = tf.assign(rate, rate * 0.9)
    with tf.device("/cpu:0"):
        table = tf.get_variable(
            "table", [WORDS, UNITS], initializer=tf.random_uniform_initializer(-1, 1, seed=21)
        )
        embedded = tf.nn.embedding_lookup(table, x)
    cell = Row(Gated(tf, "lower", 22), Gated(tf, "upper", 23))
    first = cell.zero_state(BATCH, tf.float32)
    with tf.variable_scope("RNN"):
        outputs, last = tf.nn.static_rnn(cell, tf.unstack(embedded, axis=1), initial_state=first)
    joined = tf.reshape(tf.concat(outputs, 1), [-1, UNITS])
    w = tf.get_variable("w", [UNITS, WORDS], initializer=tf.zeros_initializer())
    b = tf.get_variable("b", [WORDS], initializer=tf.zeros_initializer())
    logits = tf.nn.xw_plus_b(joined, w, b)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.reshape(y, [-1]), logits=logits
    )
    cost = tf.reduce_sum(entropy) / BATCH
    variables = tf.trainable_variables()
    grads, _ = tf.clip_by_global_norm(tf.gradients(cost, variables), 5.0)
    optimizer = tf.train.GradientDescentOptimizer(rate)
    step = tf.train.get_or_create_global_step()
    train = optimizer.apply_gradients(zip(grads, variables, strict=True), global_step=step)

    texts = _words()
    perplexities = []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for epoch in range(6):
            state, costs = session.run(first), 0.0
            for start in range(0, texts.shape[1] - 1, STEPS):
                feeds = {x: texts[:, start : start + STEPS]}
                feeds[y] = texts[:, start + 1 : start + 1 + STEPS]
                feeds.update(zip(first, state, strict=True))
                state, now, _ = session.run([last, cost, train], feeds)
                costs += now
            perplexities.append(np.exp(costs / (texts.shape[1] - 1)))
            if epoch > 2:
                session.run(slower)
        final = session.run({"weights": variables, "rate": rate, "step": step})
    return {"losses": perplexities, "state": list(state), **final}
