"""Deep Q-learning: replayed transitions, a target network that is copied, clipped gradients."""

import numpy as np

STATES, ACTIONS, FEATURES = 5, 2, 5


def _network(tf, states, scope):
    with tf.variable_scope(scope):
        collections = [f"{scope}_params", tf.GraphKeys.GLOBAL_VARIABLES]
        layer, depth = states, FEATURES
        for name, units in (("l1", 16), ("l2", ACTIONS)):
            with tf.variable_scope(name):
                w = tf.get_variable(
                    "w", [depth, units], initializer=tf.random_normal_initializer(0.0, 0.3),
                    collections=collections,
                )  # fmt: skip
                b = tf.get_variable(
                    "b", [1, units], initializer=tf.constant_initializer(0.1),
                    collections=collections,
                )  # fmt: skip
            layer = tf.matmul(layer, w) + b
            layer, depth = (tf.nn.relu(layer) if name == "l1" else layer), units
        return layer


def _walk(rng, state, action):
    """A walk on a line: the reward is at its right end."""
    following = int(np.clip(state + (1 if action else -1), 0, STATES - 1))
    reward = float(following == STATES - 1)
    return (0 if reward else following), reward


def program(tf):
    tf.set_random_seed(71)
    s = tf.placeholder(tf.float32, [None, FEATURES], name="s")
    s_ = tf.placeholder(tf.float32, [None, FEATURES], name="s_")
    r = tf.placeholder(tf.float32, [None], name="r")
    a = tf.placeholder(tf.int32, [None], name="a")
    q_eval = _network(tf, s, "eval_net")
    q_next = _network(tf, s_, "target_net")
    with tf.variable_scope("q_target"):
        target = tf.stop_gradient(r + 0.8 * tf.reduce_max(q_next, axis=1, name="Qmax"))
    with tf.variable_scope("q_eval"):
        indices = tf.stack([tf.range(tf.shape(a)[0], dtype=tf.int32), a], axis=1)
        chosen = tf.gather_nd(params=q_eval, indices=indices)
    with tf.variable_scope("loss"):
        loss = tf.reduce_mean(tf.squared_difference(target, chosen, name="TD_error"))
    with tf.variable_scope("train"):
        optimizer = tf.train.AdamOptimizer(0.02, epsilon=1e-3)
        pairs = optimizer.compute_gradients(loss, var_list=tf.get_collection("eval_net_params"))
        clipped = [(tf.clip_by_norm(g, 1.0), v) for g, v in pairs if g is not None]
        train = optimizer.apply_gradients(clipped)
    e_params, t_params = (tf.get_collection(f"{n}_net_params") for n in ("eval", "target"))
    replace = [tf.assign(t, e) for t, e in zip(t_params, e_params, strict=True)]

    rng = np.random.default_rng(72)
    memory, errors, state = [], [], 0
    one_hot = np.eye(STATES, FEATURES, dtype=np.float32)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for number in range(240):
            if rng.random() < 0.5 or number < 60:
                action = int(rng.integers(0, ACTIONS))
            else:
                action = int(np.argmax(session.run(q_eval, {s: one_hot[[state]]})))
            following, reward = _walk(rng, state, action)
            memory.append((state, action, reward, following))
            state = following
            if number >= 60:
                if number % 30 == 0:
                    session.run(replace)
                rows = [memory[i] for i in rng.integers(0, len(memory), 32)]
                states, actions, rewards, followings = map(np.array, zip(*rows, strict=True))
                feeds = {s: one_hot[states], s_: one_hot[followings], r: rewards, a: actions}
                errors.append(session.run([loss, train], feeds)[0])
        values = session.run(q_eval, {s: one_hot})
    return {"losses": [max(errors), min(errors)], "errors": errors, "values": values}
