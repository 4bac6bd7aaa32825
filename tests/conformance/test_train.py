"""Training programs under real TensorFlow and here: the same graph, the same course of the loss."""

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("programs")]

KINDS = pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
OPTIMIZERS = {
    "descent": lambda tf: tf.train.GradientDescentOptimizer(0.05),
    "momentum": lambda tf: tf.train.MomentumOptimizer(0.05, 0.9),
    "nesterov": lambda tf: tf.train.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
    "adam": lambda tf: tf.train.AdamOptimizer(0.01),
    "rms_prop": lambda tf: tf.train.RMSPropOptimizer(0.01, momentum=0.5),
    "centered": lambda tf: tf.train.RMSPropOptimizer(0.01, centered=True, epsilon=1e-3),
    "adagrad": lambda tf: tf.train.AdagradOptimizer(0.1),
    "dual": lambda tf: tf.train.AdagradDAOptimizer(
        0.1, tf.train.get_or_create_global_step(), l1_regularization_strength=0.001
    ),
    "adadelta": lambda tf: tf.train.AdadeltaOptimizer(1.0, epsilon=1e-4),
    "ftrl": lambda tf: tf.train.FtrlOptimizer(0.1, l1_regularization_strength=0.001),
    "shrinking": lambda tf: tf.train.FtrlOptimizer(
        0.1, l2_shrinkage_regularization_strength=0.01, beta=0.1
    ),
    "proximal": lambda tf: tf.train.ProximalGradientDescentOptimizer(0.05, 0.001, 0.001),
    "proximal_adagrad": lambda tf: tf.train.ProximalAdagradOptimizer(0.1, 0.1, 0.001, 0.001),
}
EACH = pytest.mark.parametrize("name", OPTIMIZERS)


def _nodes(graph):
    """Every node but those of gradients, whose formulas are each library's own."""
    return [
        (op.name, op.type, sorted(c.name for c in op.control_inputs if "gradients/" not in c.name))
        for op in graph.get_operations()
        if not op.name.startswith("gradients/")
    ]


def _network(tf, name, use_resource):
    """A small network with drop-out off, trained for some steps."""
    rng = np.random.default_rng(3)
    data = rng.normal(0, 1, (16, 6)).astype(np.float32)
    target = rng.integers(0, 4, 16)
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(5)
        x = tf.placeholder(tf.float32, [None, 6], name="x")
        y = tf.placeholder(tf.int64, [None], name="y")
        with tf.variable_scope("net", use_resource=use_resource):
            w1 = tf.get_variable("w1", [6, 8])
            b1 = tf.get_variable("b1", [8], initializer=tf.zeros_initializer())
            w2 = tf.get_variable("w2", [8, 4], initializer=tf.random_normal_initializer(0, 0.2))
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w1), b1))
        logits = tf.matmul(tf.tanh(hidden), w2)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        loss = tf.reduce_mean(losses) + 0.001 * tf.nn.l2_loss(w1)
        step = tf.train.get_or_create_global_step()
        train = OPTIMIZERS[name](tf).minimize(loss, global_step=step)
        init = tf.global_variables_initializer()
        with tf.Session(graph=graph) as session:
            session.run(init)
            course = [session.run([loss, train], {x: data, y: target})[0] for _ in range(20)]
            final = session.run([w1, b1, w2, step])
    return _nodes(graph), course, final


@KINDS
@EACH
def test_a_network_trains_alike(tf, name, use_resource):
    theirs = _network(tf, name, use_resource)
    ours = _network(tfsession, name, use_resource)
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-5)
    for mine, wanted in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=5e-4, atol=1e-6)


def _embedding(tf, name, use_resource):
    with tf.Graph().as_default() as graph:
        table = tf.Variable(
            np.linspace(-1, 1, 20, dtype=np.float32).reshape(10, 2), use_resource=use_resource
        )
        ids = tf.placeholder(tf.int32, [None])
        rows = tf.gather(table, ids)
        loss = tf.reduce_sum(tf.square(rows - 0.5))
        train = OPTIMIZERS[name](tf).minimize(loss)
        with tf.Session(graph=graph) as session:
            session.run(tf.global_variables_initializer())
            for batch in ([0, 3, 3], [9, 0, 5], [3, 3, 3]):
                session.run(train, {ids: batch})
            return _nodes(graph), session.run(table)


@KINDS
@EACH
def test_embeddings_train_alike(tf, name, use_resource):
    theirs = _embedding(tf, name, use_resource)
    ours = _embedding(tfsession, name, use_resource)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-5, atol=1e-6)
    assert ours[0] == theirs[0]
