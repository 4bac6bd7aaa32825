"""Skip-gram word vectors: look-ups, sampled negatives, sparse gradients, nearest neighbours."""

import numpy as np

WORDS = 30
WIDTH = 8


def _pairs():
    """Words and their neighbours in a text where a word follows others of its own third."""
    rng = np.random.default_rng(3)
    topics = np.repeat(rng.integers(0, 3, 80), 6)
    text = topics * 10 + rng.integers(0, 10, topics.size)
    return np.stack([text[:-1], text[1:]], 1)


def program(tf):
    pairs = _pairs()
    tf.set_random_seed(4)
    centre = tf.placeholder(tf.int32, shape=[None], name="centre")
    context = tf.placeholder(tf.int32, shape=[None], name="context")
    with tf.device("/cpu:0"), tf.name_scope("embeddings"):
        table = tf.Variable(tf.random_uniform([WORDS, WIDTH], -0.5, 0.5), name="table")
        embedded = tf.nn.embedding_lookup(table, centre)
    output = tf.Variable(tf.zeros([WORDS, WIDTH]), name="output")
    bias = tf.Variable(tf.zeros([WORDS]), name="output_bias")
    batch = tf.shape(centre)[0]
    sampled = tf.random_uniform([4], 0, WORDS, dtype=tf.int32, name="sampled")

    true_rows = tf.gather(output, context)
    true_logits = tf.reduce_sum(embedded * true_rows, 1) + tf.gather(bias, context)
    noise = tf.matmul(embedded, tf.nn.embedding_lookup(output, sampled), transpose_b=True)
    noise_logits = noise + tf.reshape(tf.gather(bias, sampled), [1, -1])
    positive = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.ones_like(true_logits), logits=true_logits
    )
    negative = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.zeros([batch, 4]), logits=noise_logits
    )
    loss = tf.reduce_mean(positive + tf.reduce_sum(negative, axis=1), name="loss")
    optimizer = tf.train.AdamOptimizer(0.05)
    grads = optimizer.compute_gradients(loss)
    assert all(isinstance(grad, tf.IndexedSlices) for grad, _ in grads)
    train = optimizer.apply_gradients(grads)

    normal = tf.nn.l2_normalize(table, 1)
    similarity = tf.matmul(tf.gather(normal, [0, 10, 20]), normal, transpose_b=True)
    nearest = tf.nn.top_k(similarity, k=5)

    course, negatives = [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        tf.global_variables_initializer().run()
        for _ in range(8):
            for start in range(0, len(pairs) - 48, 48):
                chosen = pairs[start : start + 48]
                feeds = {centre: chosen[:, 0], context: chosen[:, 1]}
                now, words, _ = session.run([loss, sampled, train], feeds)
                course.append(now)
                negatives.append(words)
        values, indices = session.run(nearest)
        tables = session.run([table, output, bias])
    return {
        "losses": course,
        "negatives": negatives,
        "similarities": values,
        "indices": indices,
        "tables": tables,
    }
