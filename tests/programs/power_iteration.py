"""Principal components by power iteration: state in variables, order by control dependencies."""

import numpy as np

COMPONENTS = 2


def _data():
    rng = np.random.default_rng(13)
    return rng.normal(0, 1, (50, 5)) * [3.0, 2.0, 0.5, 0.3, 0.1] @ rng.normal(0, 1, (5, 5))


def program(tf):
    data = _data()
    rows = tf.constant(data, name="rows")
    mean, variance = tf.nn.moments(rows, axes=[0])
    centred = rows - mean
    covariance = tf.Variable(
        tf.matmul(centred, centred, transpose_a=True) / tf.cast(tf.shape(rows)[0], tf.float64),
        trainable=False,
        name="covariance",
    )
    vector = tf.Variable(np.full([5, 1], 5**-0.5), name="vector", trainable=False)
    moved = tf.Variable(0.0, dtype=tf.float64, trainable=False, name="moved")
    steps = tf.Variable(0, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES])

    # One iteration: multiply, normalise, measure the change, and only then assign.
    product = tf.matmul(covariance, vector)
    length = tf.norm(product)
    following = product / length
    with tf.control_dependencies([tf.assign(moved, tf.reduce_max(tf.abs(following - vector)))]):
        replaced = tf.assign(vector, following)
    with tf.control_dependencies([replaced]):
        counted = tf.assign_add(steps, 1)
        with tf.control_dependencies([counted]):
            change = tf.identity(moved, name="change")
    with tf.control_dependencies(None):
        start_again = tf.group(
            tf.assign(vector, tf.fill([5, 1], tf.constant(5**-0.5, tf.float64))), name="start_again"
        )

    # Deflation: take the component found out of the covariance, then start again.
    component = vector.read_value()
    eigenvalue = tf.squeeze(tf.matmul(component, tf.matmul(covariance, component), True))
    outer = eigenvalue * tf.matmul(component, component, transpose_b=True)
    kept, direction = tf.tuple([eigenvalue, tf.reshape(component, [-1])])
    with tf.control_dependencies([kept, direction, outer]):
        deflate = covariance.assign_sub(outer)

    found = {"losses": [], "values": [], "vectors": [], "steps": []}
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for _ in range(COMPONENTS):
            while (distance := session.run(change)) > 1e-7:
                found["losses"].append(distance)
            value, axis, _ = session.run([kept, direction, deflate.op])
            found["values"].append(value)
            found["vectors"].append(axis)
            found["steps"].append(steps.eval())
            session.run(start_again)
        found["left"], found["variance"] = session.run([covariance, variance])
    return found
