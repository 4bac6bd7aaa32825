"""A classifier with drop-out, weight decay by collections, clipped gradients and momentum."""

import numpy as np


def _spirals():
    """Two arms wound into each other."""
    rng = np.random.default_rng(2)
    angle = np.sqrt(rng.uniform(0, 1, (2, 100))) * 7
    x = np.stack([np.cos(angle), np.sin(angle)], -1) * angle[..., None] / 7
    x[1] *= -1
    points = x.reshape(-1, 2) + rng.normal(0, 0.02, (200, 2))
    order = rng.permutation(200)
    return points[order].astype(np.float32), np.repeat([0, 1], 100)[order]


def _variable_with_decay(tf, name, shape, decay):
    initializer = tf.truncated_normal_initializer(stddev=np.sqrt(2.0 / shape[0]), seed=11)
    made = tf.get_variable(name, shape, initializer=initializer)
    if decay:
        tf.add_to_collection("losses", tf.multiply(tf.nn.l2_loss(made), decay, name="decay"))
    return made


def _inference(tf, points, keep_prob):
    layer, width = points, 2
    for number, units in enumerate([24, 16], start=1):
        with tf.variable_scope(f"hidden{number}") as scope:
            weights = _variable_with_decay(tf, "weights", [width, units], 1e-4)
            biases = tf.get_variable("biases", [units], initializer=tf.constant_initializer(0.1))
            layer = tf.nn.relu(tf.matmul(layer, weights) + biases, name=scope.name)
            layer = tf.nn.dropout(layer, keep_prob=keep_prob)
            tf.add_to_collection(tf.GraphKeys.ACTIVATIONS, layer)
            width = units
    with tf.variable_scope("softmax_linear"):
        weights = _variable_with_decay(tf, "weights", [width, 2], 0.0)
        biases = tf.get_variable("biases", [2], initializer=tf.zeros_initializer())
        return tf.add(tf.matmul(layer, weights), biases, name="logits")


def program(tf):
    points, labels = _spirals()
    tf.set_random_seed(12)
    x = tf.placeholder(tf.float32, [None, 2])
    y = tf.placeholder(tf.int64, [None])
    keep_prob = tf.placeholder_with_default(tf.constant(1.0), shape=())
    logits = _inference(tf, x, keep_prob)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    tf.add_to_collection("losses", tf.reduce_mean(entropy, name="cross_entropy"))
    total = tf.add_n(tf.get_collection("losses"), name="total_loss")

    step = tf.Variable(0, trainable=False, name="step")
    optimizer = tf.train.MomentumOptimizer(0.1, momentum=0.9)
    pairs = [(g, v) for g, v in optimizer.compute_gradients(total) if g is not None]
    clipped, norm = tf.clip_by_global_norm([g for g, _ in pairs], 1.0)
    variables = [v for _, v in pairs]
    train = optimizer.apply_gradients(zip(clipped, variables, strict=True), global_step=step)
    correct = tf.nn.in_top_k(logits, y, 1)
    accuracy = tf.reduce_mean(tf.to_float(correct))

    course, norms = [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for number in range(120):
            chosen = np.arange(number * 50, number * 50 + 50) % 200
            feeds = {x: points[chosen], y: labels[chosen], keep_prob: 0.9}
            _, loss, length = session.run((train, total, norm), feeds)
            course.append(loss)
            norms.append(length)
        found = session.run(
            [
                accuracy,
                step,
                tf.trainable_variables(),
                optimizer.get_slot(variables[0], "momentum"),
            ],
            feed_dict={x: points, y: labels},
        )
    names = ("accuracy", "steps", "weights", "momentum")
    return {"losses": course, "norms": norms} | dict(zip(names, found, strict=True))
