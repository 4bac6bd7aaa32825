"""Linear regression: plain variables, an example a step, `eval` in an interactive session."""

import numpy as np

WEIGHTS = np.array([[1.5], [-2.0], [0.5]], np.float32)


def program(tf):
    rng = np.random.default_rng(0)
    inputs = rng.normal(0, 1, (40, 3)).astype(np.float32)
    outputs = (inputs @ WEIGHTS)[:, 0] + 0.75 + rng.normal(0, 0.01, 40)

    x = tf.placeholder("float", shape=(None, 3), name="x")
    y = tf.placeholder("float", name="y")
    weights = tf.Variable(tf.zeros([3, 1]), name="weights")
    bias = tf.Variable(0.0, name="bias")
    prediction = tf.add(tf.squeeze(tf.matmul(x, weights), [1]), bias, name="prediction")
    count = tf.cast(tf.shape(prediction)[0], tf.float32)
    cost = tf.reduce_sum(tf.pow(prediction - y, 2)) / (2 * count)
    slopes = tf.gradients(cost, [weights, bias])
    train = tf.train.GradientDescentOptimizer(learning_rate=0.05).minimize(cost)

    session = tf.InteractiveSession()
    tf.global_variables_initializer().run()
    everything = {x: inputs, y: outputs}
    losses = [cost.eval(everything)]
    for _ in range(4):
        for row, target in zip(inputs.tolist(), outputs, strict=True):
            train.run(feed_dict={x: [row], y: [target]})
        losses.append(cost.eval(feed_dict=everything))
    found = {
        "losses": losses,
        "weights": weights.eval(),
        "bias": bias.eval(),
        "slopes": session.run(slopes, {"x:0": inputs, "y:0": outputs}),
        "predictions": session.run("prediction:0", {x: inputs[:5]}),
    }
    session.close()
    return found
