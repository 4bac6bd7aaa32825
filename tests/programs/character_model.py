"""A model of characters: LSTM over sequences of several lengths, clipped, written with."""

import collections

import numpy as np

TEXTS = (
    *("the cat sat on the mat", "the dog sat on the log"),
    *("a cat and a dog", "the mat and the log"),
)
LETTERS = [*sorted(set("".join(TEXTS))), "$"]
UNITS, WIDTH = 16, 6

State = collections.namedtuple("State", ["c", "h"])


class Cell:
    """Long short-term memory, as any object with these attributes may have it."""

    state_size, output_size = State(UNITS, UNITS), UNITS

    def __init__(self, tf):
        self.tf = tf

    def zero_state(self, batch_size, dtype):
        with self.tf.name_scope("CellZeroState"):
            return State(*(self.tf.zeros([batch_size, size], dtype) for size in self.state_size))

    def __call__(self, inputs, state, scope=None):
        tf = self.tf
        with tf.variable_scope(scope or "cell"):
            shape = [inputs.shape.as_list()[1] + UNITS, 4 * UNITS]
            start = tf.random_uniform_initializer(-0.3, 0.3, seed=11)
            kernel = tf.get_variable("kernel", shape, initializer=start)
            bias = tf.get_variable("bias", shape[1:], initializer=tf.zeros_initializer())
            joined = tf.concat([inputs, state.h], 1)
            i, j, f, o = tf.split(tf.nn.xw_plus_b(joined, kernel, bias), 4, axis=1)
            c = state.c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
            h = tf.tanh(c) * tf.sigmoid(o)
            return h, State(c, h)


def _rows():
    """Numbers of letters, what follows each, and how many there are."""
    longest = max(map(len, TEXTS))
    rows = [[LETTERS.index(letter) for letter in text + "$"] for text in TEXTS]
    lengths = [len(row) - 1 for row in rows]
    padded = np.array([row + [0] * (longest + 1 - len(row)) for row in rows], np.int32)
    return padded[:, :-1], padded[:, 1:], np.array(lengths, np.int32)


def program(tf):
    x = tf.placeholder(tf.int32, [None, None], name="x")
    y = tf.placeholder(tf.int32, [None, None], name="y")
    lengths = tf.placeholder(tf.int32, [None], name="lengths")
    with tf.variable_scope("model"):
        table = tf.get_variable(
            "table", [len(LETTERS), WIDTH], initializer=tf.random_normal_initializer(seed=12)
        )
        cell = Cell(tf)
        start = cell.zero_state(tf.shape(x)[0], tf.float32)
        outputs, last = tf.nn.dynamic_rnn(
            cell, tf.nn.embedding_lookup(table, x), lengths, initial_state=start, swap_memory=True
        )
        w = tf.get_variable(
            "w", [UNITS, len(LETTERS)], initializer=tf.random_normal_initializer(0, 0.2, seed=13)
        )
        logits = tf.matmul(tf.reshape(outputs, [-1, UNITS]), w)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.reshape(y, [-1]), logits=logits
    )
    entropy = tf.reshape(entropy, tf.shape(y))
    weights = tf.sequence_mask(lengths, tf.shape(x)[1], dtype=tf.float32)
    loss = tf.reduce_sum(entropy * weights) / tf.reduce_sum(weights)

    variables = tf.trainable_variables()
    grads, norm = tf.clip_by_global_norm(tf.gradients(loss, variables), 1.0)
    optimizer = tf.train.AdamOptimizer(0.05)
    train = optimizer.apply_gradients(zip(grads, variables, strict=True))
    likeliest = tf.argmax(logits[-1], output_type=tf.int32)

    inputs, targets, counts = _rows()
    course, norms = [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(30):
            feeds = {x: inputs, y: targets, lengths: counts}
            now, size, _ = session.run([loss, norm, train], feeds)
            course.append(now)
            norms.append(size)
        letter, written = LETTERS.index("t"), []
        state = session.run(start, {x: [[letter]]})
        for _ in range(12):
            feeds = {x: [[letter]], lengths: [1], start: state}
            letter, state = session.run([likeliest, last], feeds)
            written.append(letter)
    return {"losses": course, "norms": norms, "written": written, "state": list(state)}
