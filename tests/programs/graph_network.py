"""A graph convolutional network on a sparse graph and sparse features, as Kipf and Welling's."""

import numpy as np

NODES, FEATURES, CLASSES, HIDDEN = 60, 40, 3, 8


def _graph():
    """Nodes of three classes, linked within their class above all, with words of their class."""
    rng = np.random.default_rng(2)
    labels = np.arange(NODES) % CLASSES
    same = labels[:, None] == labels
    links = rng.uniform(0, 1, (NODES, NODES)) < np.where(same, 0.2, 0.02)
    links = links | links.T | np.eye(NODES, dtype=bool)
    degrees = links.sum(1)
    adjacency = links / np.sqrt(degrees[:, None] * degrees)
    words = rng.uniform(0, 1, (NODES, FEATURES)) < 0.05
    words |= (rng.uniform(0, 1, words.shape) < 0.2) & (
        np.arange(FEATURES) % CLASSES == labels[:, None]
    )
    return adjacency, words / np.maximum(words.sum(1, keepdims=True), 1), labels


def _sparse(matrix):
    """Indices, values and shape, which may be fed for a sparse placeholder."""
    places = np.argwhere(matrix)
    return places, matrix[tuple(places.T)], np.array(matrix.shape, np.int64)


def _layer(tf, x, sizes, support, name, activation=lambda x: x):
    with tf.variable_scope(name):
        inputs, size = sizes
        limit = np.sqrt(6.0 / (inputs + size))
        initial = tf.random_uniform([inputs, size], -limit, limit, tf.float64, seed=size)
        weights = tf.Variable(initial, name="weights")
        is_sparse = isinstance(x, tf.SparseTensor)
        product = tf.sparse_tensor_dense_matmul(x, weights) if is_sparse else x @ weights
        return activation(tf.sparse_tensor_dense_matmul(support, product)), weights


def _dropped(tf, x, keep):
    """Dropout of a sparse tensor: some elements are left out, the others grow."""
    drawn = keep + tf.random_uniform(tf.shape(x.values), dtype=tf.float64, seed=4)
    return tf.sparse_retain(x, tf.cast(tf.floor(drawn), tf.bool)) * (1.0 / keep)


def program(tf):
    adjacency, words, labels = _graph()
    features = tf.sparse_placeholder(tf.float64, shape=[NODES, FEATURES], name="features")
    support = tf.sparse_placeholder(tf.float64, shape=[None, None], name="support")
    keep = tf.placeholder_with_default(np.float64(1.0), [], name="keep")
    inputs = _dropped(tf, features, keep)
    hidden, weights = _layer(tf, inputs, (FEATURES, HIDDEN), support, "one", tf.nn.relu)
    logits, _ = _layer(tf, hidden, (HIDDEN, CLASSES), support, "two")

    known = np.arange(NODES) % 4 == 0
    losses = tf.nn.softmax_cross_entropy_with_logits_v2(
        labels=np.eye(CLASSES)[labels], logits=logits
    )
    mask = tf.constant(known / known.mean())
    loss = tf.reduce_mean(losses * mask) + 5e-4 * tf.nn.l2_loss(weights)
    right = tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float64)
    accuracy = tf.reduce_mean(tf.boolean_mask(right, ~known))
    train = tf.train.AdamOptimizer(0.05).minimize(loss)

    feeds = {
        features: tf.SparseTensorValue(*_sparse(words)),
        support: tf.SparseTensorValue(*_sparse(adjacency)),
    }
    course = []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(25):
            session.run(train, {**feeds, keep: 0.8})
            course.append(session.run(loss, feeds))
        reached, found, dense = session.run(
            [accuracy, logits, tf.sparse_tensor_to_dense(features)], feeds
        )
    assert reached > 0.8
    return {"losses": course, "accuracy": reached, "logits": found, "features": dense}
