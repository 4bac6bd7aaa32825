"""Matrix factorisation on observed entries: resource variables, gather_nd, scatter, a callable."""

import numpy as np

USERS, ITEMS, RANK = 20, 15, 3


def _ratings():
    """Some entries of a matrix of rank three: where, and what."""
    rng = np.random.default_rng(5)
    full = rng.normal(0, 1, (USERS, RANK)) @ rng.normal(0, 1, (RANK, ITEMS)) + 3.0
    where = np.argwhere(rng.uniform(0, 1, full.shape) < 0.6)
    return where.astype(np.int64), full[tuple(where.T)]


def program(tf):
    where, ratings = _ratings()
    with tf.variable_scope("factors", use_resource=True, dtype=tf.float64) as scope:
        # Uniform: normals of 64 bits may differ in their last bit from device to device.
        small = tf.random_uniform_initializer(-0.5, 0.5, seed=6, dtype=tf.float64)
        users = tf.get_variable("users", [USERS, RANK], initializer=small)
        items = tf.get_variable("items", [ITEMS, RANK], initializer=small)
        user_bias = tf.get_variable("user_bias", [USERS], initializer=tf.zeros_initializer())
        item_bias = tf.get_variable("item_bias", [ITEMS], initializer=tf.zeros_initializer())
        mean = tf.get_variable("mean", [], initializer=tf.constant_initializer(2.0))
        seen = tf.get_variable(
            "seen", [USERS], tf.int64, tf.zeros_initializer(), trainable=False, use_resource=False
        )
    assert scope.name == "factors"

    entries = tf.placeholder(tf.int64, [None, 2], name="entries")
    values = tf.placeholder(tf.float64, [None], name="values")
    user, item = tf.unstack(entries, axis=1)
    products = tf.gather(users, user) * tf.gather(items, item)
    biases = tf.gather(user_bias, user) + tf.gather(item_bias, item)
    error = tf.reduce_sum(products, axis=-1) + biases + mean - values
    decay = sum(tf.nn.l2_loss(v) for v in (users, items))
    loss = tf.reduce_mean(tf.square(error)) + 1e-3 * decay
    count = tf.scatter_add(seen, user, tf.ones_like(user))
    optimizer = tf.train.MomentumOptimizer(0.1, 0.8, use_nesterov=True)
    with tf.control_dependencies([count]):
        train = optimizer.minimize(loss, var_list=tf.trainable_variables("factors"))

    completed = tf.matmul(users, items, transpose_b=True) + user_bias[:, None] + item_bias + mean
    at_entries = tf.gather_nd(completed, entries)
    root = tf.sqrt(tf.reduce_mean(tf.squared_difference(at_entries, values)), name="rmse")
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        course = [session.run(root, {entries: where, values: ratings})]
        step = session.make_callable([loss, train], feed_list=[entries, values])
        for _ in range(15):
            for part in np.array_split(np.arange(len(where)), 4):
                step(where[part], ratings[part])
            course.append(session.run("rmse:0", {entries: where, values: ratings}))
        counted, filled = session.run([seen, completed])
        state = session.run({v.op.name: v for v in tf.trainable_variables()})
    return {"losses": course, "seen": counted, "completed": filled, **state}
