"""Two networks against each other on one-dimensional data: two optimizers, a var_list each."""

import numpy as np


def _linear(tf, x, units, scope, stddev=0.5):
    with tf.variable_scope(scope):
        shape = [x.get_shape()[1], units]
        w = tf.get_variable("w", shape, initializer=tf.random_normal_initializer(stddev=stddev))
        b = tf.get_variable("b", [units], initializer=tf.constant_initializer(0.0))
        return tf.matmul(x, w) + b


def _generator(tf, noise):
    with tf.variable_scope("G"):
        return _linear(tf, tf.nn.softplus(_linear(tf, noise, 8, "g0")), 1, "g1")


def _judge(tf, x, reuse=None):
    with tf.variable_scope("D", reuse=reuse):
        h0 = tf.nn.leaky_relu(_linear(tf, tf.concat([x, tf.square(x)], axis=1), 12, "d0"))
        h1 = tf.tanh(_linear(tf, h0, 12, "d1"))
        return _linear(tf, h1, 1, "d2", stddev=0.1)


def program(tf):
    tf.set_random_seed(21)
    real = tf.placeholder(tf.float32, [None, 1], name="real")
    # Both networks see noise that the graph draws, so that a step of one has samples of its own.
    noise = tf.random_uniform([32, 1], -1.0, 1.0)
    fake = _generator(tf, noise)
    on_real = _judge(tf, real)
    on_fake = _judge(tf, fake, reuse=True)

    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    loss_d = tf.reduce_mean(entropy(logits=on_real, labels=tf.ones_like(on_real))) + tf.reduce_mean(
        entropy(logits=on_fake, labels=tf.zeros_like(on_fake))
    )
    loss_g = tf.reduce_mean(entropy(logits=on_fake, labels=tf.ones_like(on_fake)))
    mine = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, scope="G/")
    its = [v for v in tf.trainable_variables() if v.name.startswith("D/")]
    train_d = tf.train.AdamOptimizer(0.02, beta1=0.5, epsilon=1e-3).minimize(loss_d, var_list=its)
    train_g = tf.train.MomentumOptimizer(0.02, 0.5).minimize(loss_g, var_list=mine)

    rng = np.random.default_rng(22)
    losses_d, losses_g, spread = [], [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.variables_initializer(tf.global_variables()))
        for _ in range(60):
            batch = rng.normal(2.0, 0.5, (32, 1))
            d, _ = session.run([loss_d, train_d], {real: batch})
            g, samples, _ = session.run([loss_g, fake, train_g])
            losses_d.append(d)
            losses_g.append(g)
            spread.append([samples.mean(), samples.std()])
        final = session.run([mine, its])
    return {"losses": [losses_d[0], min(losses_d)], "d": losses_d, "g": losses_g} | {
        "spread": spread,
        "generator": final[0],
        "judge": final[1],
    }
