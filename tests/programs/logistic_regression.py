"""Logistic regression: name scopes, one-hot labels, a learning rate that decays with the step."""

import numpy as np

CLASSES = 3


def _blobs():
    """Points around three centres, standardised, and which centre each belongs to."""
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 2.0, 1.0, -1.0], [2.0, -1.0, 0.0, 1.0], [-2.0, -1.0, 1.5, 0.5]])
    labels = rng.integers(0, CLASSES, 150)
    points = centres[labels] + rng.normal(0, 0.8, (150, 4))
    return (points - points.mean(0)) / points.std(0), labels


def program(tf):
    points, labels = _blobs()
    step = tf.train.get_or_create_global_step()
    with tf.name_scope("input"):
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        y = tf.placeholder(tf.int32, [None], name="labels")
        targets = tf.one_hot(y, CLASSES)
    with tf.name_scope("model"):
        weights = tf.Variable(tf.truncated_normal([4, CLASSES], stddev=0.1, seed=3), name="W")
        biases = tf.Variable(tf.constant(0.1, shape=[CLASSES]), name="b")
        logits = tf.nn.xw_plus_b(x, weights, biases, name="logits")
    with tf.name_scope("loss"):
        losses = tf.nn.softmax_cross_entropy_with_logits_v2(labels=targets, logits=logits)
        loss = tf.reduce_mean(losses)
    with tf.name_scope("train"):
        decay = tf.pow(0.9, tf.cast(step // 10, tf.float32))
        rate = tf.maximum(0.5 * decay, 0.05, name="rate")
        train = tf.train.GradientDescentOptimizer(rate).minimize(loss, global_step=step)
    with tf.name_scope("accuracy"):
        correct = tf.equal(tf.argmax(logits, 1), tf.cast(y, tf.int64))
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))

    course, rates = [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for start in list(range(0, 150, 25)) * 5:
            feeds = {x: points[start : start + 25], y: labels[start : start + 25]}
            _, now, used = session.run([train, loss, rate], feed_dict=feeds)
            course.append(now)
            rates.append(used)
        found = session.run(
            {"accuracy": accuracy, "state": (weights, biases, step), "odds": tf.nn.softmax(logits)},
            {x: points, y: labels},
        )
    return {"losses": course, "rates": rates, **found}
