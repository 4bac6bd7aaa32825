"""A network that satisfies a differential equation: u''' + u u' = f, by derivatives in its loss."""

import itertools

import numpy as np

LAYERS = [1, 10, 10, 1]


def _network(tf, x, parameters):
    for weights, bias in parameters[:-1]:
        x = tf.tanh(tf.matmul(x, weights) + bias)
    weights, bias = parameters[-1]
    return tf.matmul(x, weights) + bias


def program(tf):
    parameters = []
    for number, (rows, columns) in enumerate(itertools.pairwise(LAYERS)):
        initial = tf.orthogonal_initializer(seed=number, dtype=tf.float64)
        weights = tf.get_variable(f"w{number}", [rows, columns], tf.float64, initial)
        bias = tf.Variable(tf.zeros([1, columns], tf.float64), name=f"b{number}")
        parameters.append((weights, bias))

    points = np.linspace(-1, 1, 21)[:, None]
    wanted = np.sin(2 * points)
    x = tf.placeholder(tf.float64, [None, 1], name="x")
    u = _network(tf, x, parameters)
    first = tf.gradients(u, x)[0]
    second = tf.gradients(first, x)[0]
    third = tf.gradients(second, x)[0]
    # The equation that sin(2x) satisfies.
    source = -8.0 * tf.cos(2.0 * x) + 2.0 * tf.sin(2.0 * x) * tf.cos(2.0 * x)
    residual = third + u * first - source
    ends = tf.constant(points[[0, -1]])
    at_ends = _network(tf, ends, parameters) - tf.constant(wanted[[0, -1]])
    loss = tf.reduce_mean(tf.square(residual)) + 10.0 * tf.reduce_mean(tf.square(at_ends))
    train = tf.train.AdamOptimizer(0.01).minimize(loss)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        step = session.make_callable([loss, train], [x])
        course = [step(points)[0] for _ in range(40)]
        slopes = session.run([u, first, second, third], {x: points})
    return {"losses": course, "slopes": slopes}
