"""An auto-encoder that shares variables: reuse, AUTO_REUSE, a custom getter, regularizers."""

import numpy as np

WIDTHS = [12, 8, 3]


def _averaging_getter(tf, shadows):
    """A getter that gives the moving average of a variable in the variable's place."""

    def custom_getter(getter, name, *args, **kwargs):
        variable = getter(name, *args, **kwargs)
        return shadows.get(variable.op.name, variable)

    return custom_getter


def _decayed(tf):
    return lambda weights: 1e-3 * tf.reduce_sum(tf.abs(weights))


def _code(tf, x):
    with tf.variable_scope("encoder", reuse=tf.AUTO_REUSE, regularizer=_decayed(tf)):
        for number, width in enumerate(WIDTHS[1:]):
            with tf.variable_scope(f"layer{number}"):
                kernel = tf.get_variable("kernel", [x.shape[1], width])
                bias = tf.get_variable(
                    "bias",
                    [width],
                    initializer=tf.zeros_initializer(),
                    regularizer=tf.no_regularizer,
                )
                x = tf.sigmoid(tf.matmul(x, kernel) + bias)
    return x


def _decode(tf, code):
    """Back through the transposed kernels of the encoder."""
    with tf.variable_scope("encoder") as scope:
        scope.reuse_variables()
        kernels = [tf.get_variable(f"layer{number}/kernel") for number in range(len(WIDTHS) - 1)]
    with tf.variable_scope("decoder", reuse=tf.AUTO_REUSE):
        for number, kernel in reversed(list(enumerate(kernels))):
            bias = tf.get_variable(f"bias{number}", initializer=tf.zeros([WIDTHS[number]]))
            code = tf.nn.bias_add(tf.matmul(code, kernel, transpose_b=True), bias)
            if number:
                code = tf.nn.elu(code)
    return code


def _shadows(tf, decay):
    """A moving average for every trainable variable, and the operation that moves them."""
    shadows, moves = {}, []
    for variable in tf.trainable_variables():
        with tf.variable_scope("averages", reuse=False):
            shadow = tf.get_variable(
                variable.op.name, initializer=variable.initial_value, trainable=False
            )
        shadows[variable.op.name] = shadow
        difference = (shadow - variable.read_value()) * (1 - decay)
        moves.append(tf.assign_sub(shadow, difference))
    return shadows, tf.group(*moves, name="move")


def program(tf):
    rng = np.random.default_rng(7)
    hidden = rng.normal(0, 1, (60, 3))
    data = np.tanh(hidden @ rng.normal(0, 1, (3, 12))).astype(np.float32)
    tf.set_random_seed(8)

    x = tf.placeholder(tf.float32, [None, 12])
    clean = _decode(tf, _code(tf, x))
    noisy = _decode(tf, _code(tf, x + tf.random_normal(tf.shape(x), stddev=0.05)))
    assert len(tf.trainable_variables()) == 6
    penalties = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    loss = tf.losses.mean_squared_error(x, noisy) + tf.add_n(penalties)
    train = tf.train.AdamOptimizer(0.02).minimize(loss)
    with tf.control_dependencies([train]):
        shadows, move = _shadows(tf, 0.9)
    with tf.variable_scope("", custom_getter=_averaging_getter(tf, shadows), reuse=True):
        averaged = _decode(tf, _code(tf, x))
    errors = [tf.reduce_mean(tf.square(x - out)) for out in (clean, averaged)]

    course, course_of_errors = [], []
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(60):
            course.append(session.run([loss, move], {x: data})[0])
            course_of_errors.append(session.run(errors, {x: data}))
        code = session.run(_code(tf, x), {x: data[:4]})
        kept = session.run([*tf.trainable_variables(), *shadows.values()])
    return {"losses": course, "errors": course_of_errors, "code": code, "variables": kept}
