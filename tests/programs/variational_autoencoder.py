"""A variational autoencoder: noise in the middle, a loss of two parts, generation from noise."""

import numpy as np


def _dense(tf, x, units, name, activation=None):
    with tf.variable_scope(name):
        shape = [x.shape.as_list()[-1], units]
        w = tf.get_variable("kernel", shape, initializer=tf.glorot_uniform_initializer())
        b = tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
        y = tf.nn.xw_plus_b(x, w, b)
        return y if activation is None else activation(y)


def program(tf):
    tf.set_random_seed(61)
    pixels, hidden, latent = 16, 24, 2
    x = tf.placeholder(tf.float32, [None, pixels], name="x")

    with tf.variable_scope("encoder"):
        h = _dense(tf, x, hidden, "h", tf.nn.tanh)
        mean = _dense(tf, h, latent, "mean")
        log_variance = _dense(tf, h, latent, "log_variance")
    with tf.name_scope("sampling"):
        noise = tf.random_normal(tf.shape(mean), seed=62)
        z = mean + tf.exp(0.5 * log_variance) * noise

    def decoder(z, reuse=None):
        with tf.variable_scope("decoder", reuse=reuse):
            h = _dense(tf, z, hidden, "h", tf.nn.tanh)
            return _dense(tf, h, pixels, "logits")

    logits = decoder(z)
    reconstruction = tf.reduce_sum(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), axis=1
    )
    divergence = -0.5 * tf.reduce_sum(
        1 + log_variance - tf.square(mean) - tf.exp(log_variance), axis=1
    )
    loss = tf.reduce_mean(reconstruction + 0.1 * divergence)
    step = tf.train.get_or_create_global_step()
    rate = tf.train.exponential_decay(0.02, step, 20, 0.9)
    train = tf.train.RMSPropOptimizer(rate, epsilon=1e-3).minimize(loss, global_step=step)
    z_in = tf.placeholder(tf.float32, [None, latent], name="z_in")
    generated = tf.nn.sigmoid(decoder(z_in, reuse=True))

    rng = np.random.default_rng(63)
    kinds = (rng.random((3, pixels)) < 0.5).astype(np.float32)
    losses, parts = [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(60):
            batch = kinds[rng.integers(0, 3, 32)]
            batch = np.where(rng.random(batch.shape) < 0.05, 1 - batch, batch)
            found = session.run([loss, reconstruction, divergence, train], {x: batch})
            losses.append(found[0])
            parts.append([found[1].mean(), found[2].mean()])
        images = session.run(generated, {z_in: [[0.0, 0.0], [1.0, -1.0]]})
    return {"losses": losses, "parts": parts, "images": images}
