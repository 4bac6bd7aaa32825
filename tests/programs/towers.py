"""Two towers on two GPUs: shared variables on the CPU, gradients averaged there, soft placement."""

import numpy as np


def _to_parameter_device(worker):
    """A device function that puts variables on the CPU, and the rest on `worker`."""

    def choose(op):
        return "/cpu:0" if op.node_def.op in ("Variable", "VariableV2", "VarHandleOp") else worker

    return choose


def _tower_loss(tf, x, y):
    with tf.variable_scope("net", initializer=tf.uniform_unit_scaling_initializer(seed=41)):
        w0 = tf.get_variable("w0", [4, 10])
        w1 = tf.get_variable("w1", [10, 1])
    hidden = tf.nn.selu(tf.matmul(x, w0))
    return tf.reduce_mean(tf.square(tf.matmul(hidden, w1) - y), name="loss")


def _average(tf, tower_grads):
    """The mean gradient of each variable over the towers."""
    averaged = []
    for pairs in zip(*tower_grads, strict=True):
        stacked = tf.concat([tf.expand_dims(grad, 0) for grad, _ in pairs], axis=0)
        averaged.append((tf.reduce_mean(stacked, 0), pairs[0][1]))
    return averaged


def program(tf):
    rng = np.random.default_rng(42)
    data = rng.normal(0, 1, (64, 4)).astype(np.float32)
    target = np.sin(data[:, :1]) + 0.5 * data[:, 1:2] * data[:, 2:3]
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [64, 4])
        y = tf.placeholder(tf.float32, [64, 1])
        step = tf.get_variable("step", [], initializer=tf.constant_initializer(0), trainable=False)
        optimizer = tf.train.AdamOptimizer(0.02)
        parts = zip(tf.split(x, 2), tf.split(y, 2), strict=True)
        tower_grads, losses = [], []
        for number, (images, labels) in enumerate(parts):
            with (
                tf.variable_scope(tf.get_variable_scope(), reuse=number > 0),
                tf.device(_to_parameter_device(f"/gpu:{number}")),
                tf.name_scope(f"tower_{number}") as scope,
            ):
                losses.append(_tower_loss(tf, images, labels))
                tower_grads.append(optimizer.compute_gradients(losses[-1]))
                assert losses[-1].op.name == f"{scope}loss"
        train = optimizer.apply_gradients(_average(tf, tower_grads), global_step=step)
        loss = tf.add_n(losses) / len(losses)

    config = tf.ConfigProto(allow_soft_placement=True, log_device_placement=False)
    with tf.Session(config=config) as session:
        session.run(tf.global_variables_initializer())
        course = [session.run([train, loss], {x: data, y: target})[1] for _ in range(80)]
        each, final = session.run([losses, tf.global_variables()], {x: data, y: target})
    return {"losses": course, "towers": each, "variables": final}
