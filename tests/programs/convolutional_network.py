"""A convolutional network that reads digits: pools, local response and batch normalization."""

import numpy as np

_GLYPHS = """
.##. .#.. ###. ###. #..# #### .##. #### .##. .##.
#..# ##.. ...# ...# #..# #... #... ...# #..# #..#
#..# .#.. .##. .##. #### ###. ###. ..#. .##. .###
#..# .#.. #... ...# ...# ...# #..# ..#. #..# ...#
.##. ###. #### ###. ...# ###. .##. .#.. .##. .##.
"""


def _digits(count):
    """Pictures of 10 x 10 pixels: a digit somewhere, brighter or darker, among noise."""
    rows = [line.split() for line in _GLYPHS.split("\n") if line]
    glyphs = np.array([[[c == "#" for c in row[d]] for row in rows] for d in range(10)], float)
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 10, count)
    pictures = rng.normal(0, 0.15, (count, 10, 10))
    for picture, label in zip(pictures, labels, strict=True):
        top, left = rng.integers(0, 5), rng.integers(0, 6)
        picture[top : top + 5, left : left + 4] += glyphs[label] * rng.uniform(0.7, 1.3)
    return pictures.reshape(count, 100).astype(np.float32), labels


def _weights(tf, shape, seed):
    deviation = float(np.sqrt(2.0 / np.prod(shape[:-1])))
    return tf.Variable(tf.truncated_normal(shape, stddev=deviation, seed=seed), name="weights")


def _normalized(tf, x, decay=0.9):
    """Fused batch normalization, with moving averages of what it normalized by."""
    depth = x.get_shape().as_list()[-1]
    scale, offset = tf.Variable(tf.ones([depth])), tf.Variable(tf.zeros([depth]))
    mean = tf.Variable(tf.zeros([depth]), trainable=False, name="mean")
    variance = tf.Variable(tf.ones([depth]), trainable=False, name="variance")
    y, batch_mean, batch_variance = tf.nn.fused_batch_norm(x, scale, offset, epsilon=1e-3)
    for average, value in ((mean, batch_mean), (variance, batch_variance)):
        update = tf.assign_sub(average, (average - value) * (1.0 - decay))
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)
    return y


def _network(tf, pictures):
    layer = tf.reshape(pictures, [-1, 10, 10, 1])
    with tf.name_scope("first"):
        layer = tf.nn.conv2d(layer, _weights(tf, [3, 3, 1, 12], 1), [1, 1, 1, 1], padding="SAME")
        layer = tf.nn.relu(tf.nn.bias_add(layer, tf.Variable(tf.constant(0.05, shape=[12]))))
        layer = tf.nn.max_pool(layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")
        layer = tf.nn.lrn(layer, 3, bias=1.0, alpha=0.01, beta=0.75)
    with tf.name_scope("second"):
        layer = tf.nn.conv2d(layer, _weights(tf, [3, 3, 12, 20], 2), [1, 1, 1, 1], "VALID")
        layer = tf.nn.relu(_normalized(tf, layer))
        layer = tf.nn.avg_pool(layer, ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1], padding="VALID")
    with tf.name_scope("top"):
        layer = tf.reshape(layer, [-1, 2 * 2 * 20])
        return tf.matmul(layer, _weights(tf, [80, 10], 3)) + tf.Variable(tf.zeros([10]))


def program(tf):
    pictures, labels = _digits(400)
    tf.set_random_seed(21)
    x, y = tf.placeholder(tf.float32, [None, 100]), tf.placeholder(tf.int64, [None])
    logits = _network(tf, x)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    loss = tf.reduce_mean(entropy)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        train = tf.train.MomentumOptimizer(0.03, 0.9).minimize(loss)
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))
    averages = [v for v in tf.global_variables() if v.op.name.endswith(("mean", "variance"))]

    losses = []
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(50):
            part = slice(step * 50 % 400, step * 50 % 400 + 50)
            feeds = {x: pictures[part], y: labels[part]}
            losses.append(session.run([loss, train], feeds)[0])
        right = session.run(accuracy, {x: pictures, y: labels})
        assert right > 0.6
        return {"losses": losses, "averages": session.run(averages)}
