"""Sequences to sequences with attention: learns to write numbers backwards, then does so alone."""

import numpy as np

SYMBOLS, UNITS, LENGTH, BATCH = 8, 12, 5, 16
START, END = 0, 1


class Cell:
    """A gated cell; any object with these attributes is one."""

    state_size = output_size = UNITS

    def __init__(self, tf, name, seed):
        self.tf, self.name, self.seed = tf, name, seed

    def zero_state(self, batch_size, dtype):
        return self.tf.zeros([batch_size, UNITS], dtype)

    def __call__(self, inputs, state, scope=None):
        tf = self.tf
        with tf.variable_scope(scope or self.name):
            depth = inputs.shape.as_list()[1] + UNITS
            start = tf.random_uniform_initializer(-0.4, 0.4, seed=self.seed)
            kernel = tf.get_variable("kernel", [depth, 2 * UNITS], initializer=start)
            joined = tf.concat([inputs, state], 1)
            gate, new = tf.split(tf.matmul(joined, kernel), 2, axis=1)
            gate = tf.sigmoid(gate)
            state = gate * state + (1.0 - gate) * tf.tanh(new)
            return state, state


class Attention:
    """Weighs what was read by what is being written."""

    def __init__(self, tf, memory, lengths):
        self.tf, self.memory = tf, memory
        start = tf.random_uniform_initializer(-0.4, 0.4, seed=31)
        self.key = tf.get_variable("key", [2 * UNITS, UNITS], initializer=start)
        self.v = tf.get_variable("v", [UNITS], initializer=start)
        size = tf.shape(memory)
        flat = tf.matmul(tf.reshape(memory, [-1, 2 * UNITS]), self.key)
        self.keys = tf.reshape(flat, [size[0], size[1], UNITS])
        self.mask = (1.0 - tf.sequence_mask(lengths, size[1], dtype=tf.float32)) * -1e9

    def __call__(self, query):
        tf = self.tf
        score = tf.reduce_sum(self.v * tf.tanh(self.keys + tf.expand_dims(query, 1)), 2)
        weights = tf.nn.softmax(score + self.mask)
        found = tf.matmul(tf.expand_dims(weights, 1), self.memory)
        return tf.squeeze(found, [1]), weights


def _batch(rng):
    """Numbers, the same backwards with an end, and how many there are."""
    lengths = rng.integers(2, LENGTH + 1, BATCH)
    reads = np.zeros((BATCH, LENGTH), np.int32)
    writes = np.full((BATCH, LENGTH + 1), END, np.int32)
    for row, length in enumerate(lengths):
        reads[row, :length] = rng.integers(2, SYMBOLS, length)
        writes[row, :length] = reads[row, :length][::-1]
    return reads, lengths.astype(np.int32), writes


def program(tf):
    reads = tf.placeholder(tf.int32, [None, LENGTH], name="reads")
    lengths = tf.placeholder(tf.int32, [None], name="lengths")
    writes = tf.placeholder(tf.int32, [None, LENGTH + 1], name="writes")
    batch = tf.shape(reads)[0]
    table = tf.get_variable(
        "table", [SYMBOLS, UNITS], initializer=tf.random_uniform_initializer(-1, 1, seed=32)
    )
    with tf.variable_scope("encoder"):
        outputs, states = tf.nn.bidirectional_dynamic_rnn(
            Cell(tf, "cell", 33), Cell(tf, "cell", 34), tf.nn.embedding_lookup(table, reads),
            sequence_length=lengths, dtype=tf.float32,
        )  # fmt: skip
    memory = tf.concat(outputs, 2)
    with tf.variable_scope("decoder") as scope:
        attend, cell = Attention(tf, memory, lengths), Cell(tf, "cell", 35)
        w = tf.get_variable(
            "w", [UNITS, SYMBOLS], initializer=tf.random_uniform_initializer(-0.4, 0.4, seed=36)
        )

        def step(symbols, state):
            found, weights = attend(state)
            _, state = cell(tf.concat([tf.gather(table, symbols), found], 1), state)
            return tf.matmul(state, w), state, weights

        begin = tf.add(*states)
        # While it learns, it reads what it should have written.
        given = tf.concat([tf.fill([batch, 1], START), writes[:, :-1]], 1)
        logits, state = [], begin
        for symbols in tf.unstack(given, axis=1):
            with tf.variable_scope(scope, reuse=bool(logits)):
                scores, state, _ = step(symbols, state)
            logits.append(scores)
        logits = tf.concat(logits, 0)

        # Alone, it reads what it wrote, until all have come to an end.
        def body(time, symbols, state, ended, written, seen):
            with tf.variable_scope(scope, reuse=True):
                scores, state, weights = step(symbols, state)
            symbols = tf.where(
                ended, tf.fill([batch], END), tf.argmax(scores, 1, output_type=tf.int32)
            )
            ended = tf.logical_or(ended, tf.equal(symbols, END))
            written, seen = written.write(time, symbols), seen.write(time, weights)
            return [time + 1, symbols, state, ended, written, seen]

        _, _, _, _, written, seen = tf.while_loop(
            lambda time, symbols, state, ended, *_: tf.logical_not(tf.reduce_all(ended)),
            body,
            [
                *(0, tf.fill([batch], START), begin, tf.zeros([batch], tf.bool)),
                *(tf.TensorArray(kind, 0, True) for kind in (tf.int32, tf.float32)),
            ],
            maximum_iterations=LENGTH + 1,
            back_prop=False,
        )
        written, seen = tf.transpose(written.stack()), seen.stack()
    labels = tf.reshape(tf.transpose(writes), [-1])  # step after step, as the scores stand
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    weights = tf.sequence_mask(lengths + 1, LENGTH + 1, dtype=tf.float32)
    weights = tf.reshape(tf.transpose(weights), [-1])
    loss = tf.reduce_sum(entropy * weights) / tf.reduce_sum(weights)
    train = tf.train.AdamOptimizer(0.02).minimize(loss)

    rng, course = np.random.default_rng(9), []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(50):
            feeds = dict(zip((reads, lengths, writes), _batch(rng), strict=True))
            course.append(session.run([loss, train], feeds)[0])
        feeds = dict(zip((reads, lengths), _batch(rng)[:2], strict=True))
        alone, where = session.run([written, seen], feeds)
    return {"losses": course, "alone": alone, "where": where}
