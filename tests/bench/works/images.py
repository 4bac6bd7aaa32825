"""Convolutions, pools, norms of images, and networks of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.row import Step, works

CONVOLUTIONS = {
    "conv 32x28x28x1, 5x5 to 32": ((32, 28, 28, 1), 5, 32, False),
    "conv 32x28x28x32, 3x3 to 64": ((32, 28, 28, 32), 3, 64, False),
    "conv 32x28x28x32, with gradients": ((32, 28, 28, 32), 3, 64, True),
    "conv 8x56x56x64, 3x3 to 64": ((8, 56, 56, 64), 3, 64, False),
    "conv 8x56x56x64, with gradients": ((8, 56, 56, 64), 3, 64, True),
    "conv 1x1 of 16x28x28x256": ((16, 28, 28, 256), 1, 64, False),
}


@works(
    CONVOLUTIONS,
    small={
        "conv": ((2, 7, 7, 3), 3, 4, False),
        "conv, gradients": ((2, 7, 7, 3), 3, 4, True),
        "conv 1x1": ((2, 7, 7, 3), 1, 4, False),
    },
)
def convolution(tf: Any, shape: tuple[int, ...], extent: int, filters: int, back: bool) -> Step:
    """A convolution of images, forward, or with both its gradients."""
    rng = np.random.default_rng(0)
    w = rng.normal(0, 0.05, (extent, extent, shape[-1], filters)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x, weights = tf.placeholder(tf.float32, shape), tf.constant(w)
        y = tf.nn.conv2d(x, weights, [1, 1, 1, 1], "SAME")
        fetches = [tf.reduce_mean(y)]
        if back:
            fetches += [tf.reduce_mean(g) for g in tf.gradients(y * y, [x, weights])]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetches, [x])
    images = rng.normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


@works(
    {
        "max pools of 32x56x56x32": ((32, 56, 56, 32), False),
        "max pools, with gradients": ((32, 56, 56, 32), True),
    },
    small={"pools": ((2, 9, 9, 3), False), "pools, gradients": ((2, 9, 9, 3), True)},
)
def pools(tf: Any, shape: tuple[int, ...], back: bool) -> Step:
    """A pool of 2x2 and one of 3x3, forward, or with their gradients."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, shape)
        y = tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        y = tf.nn.max_pool(y, [1, 3, 3, 1], [1, 2, 2, 1], "SAME")
        fetch = tf.reduce_mean(tf.square(tf.gradients(y, x)[0] * x if back else y))
        session = tf.Session(graph=graph)
    call = session.make_callable(fetch, [x])
    images = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


@works({"batch norm of 32x28x28x64, trained": (32, 28, 64)}, small={"batch norm": (2, 5, 4)})
def batch_norm(tf: Any, batch: int, size: int, depth: int) -> Step:
    """Fused batch normalization in training, with its gradients."""
    shape = (batch, size, size, depth)
    with tf.Graph().as_default() as graph:
        x, ones = tf.placeholder(tf.float32, shape), tf.constant(np.ones(depth, np.float32))
        y = tf.nn.fused_batch_norm(x, ones, ones)[0]
        grads = tf.gradients(y * y * y, [x, ones])
        fetches = [tf.reduce_mean(y), tf.reduce_mean(tf.square(grads[0]))]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetches, [x])
    images = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


@works(
    {"resize bilinear, 16x56x56x32 to 112": ((16, 56, 56, 32), 112)},
    small={"resize": ((2, 5, 5, 3), 9)},
)
def resize(tf: Any, shape: tuple[int, ...], size: int) -> Step:
    """Images made larger, as segmentation and detection do."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, shape)
        y = tf.image.resize_bilinear(x, [size, size], align_corners=True)
        fetch = y[:, :: size // 8, :: size // 8]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetch, [x])
    images = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


@works({"CNN descent step, batch 64": (64,)}, small={"CNN descent step": (2,)})
def cnn_training(tf: Any, batch: int) -> Step:
    """Two convolutions with pools and a dense layer on 28x28 images: one step of descent."""
    rng = np.random.default_rng(0)

    def variable(*sizes: int) -> Any:
        return tf.Variable(rng.normal(0, 0.05, sizes).astype(np.float32))

    with tf.Graph().as_default() as graph:
        x, labels = tf.placeholder(tf.float32, [None, 784]), tf.placeholder(tf.int32, [None])
        layer, depth = tf.reshape(x, [-1, 28, 28, 1]), 1
        for filters in (32, 64):
            layer = tf.nn.conv2d(layer, variable(5, 5, depth, filters), [1, 1, 1, 1], "SAME")
            layer = tf.nn.relu(tf.nn.bias_add(layer, variable(filters)))
            layer = tf.nn.max_pool(layer, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
            depth = filters
        logits = tf.matmul(tf.reshape(layer, [-1, 7 * 7 * 64]), variable(7 * 7 * 64, 10))
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train = tf.train.GradientDescentOptimizer(1e-4).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [x, labels])
    data = rng.normal(0, 1, (batch, 784)).astype(np.float32)
    target = rng.integers(0, 10, batch).astype(np.int32)
    return lambda: call(data, target)[1]


def _residual(tf: Any, layer: Any, depth: int, filters: int, rng: np.random.Generator) -> Any:
    """Two normalized convolutions of 3x3 and a shortcut, in inference."""

    def normalized(value: Any, extent: int, before: int, stride: int) -> Any:
        w = rng.normal(0, (extent * extent * before) ** -0.5, (extent, extent, before, filters))
        value = tf.nn.conv2d(value, w.astype(np.float32), [1, stride, stride, 1], "SAME")
        scale, offset, mean = rng.normal(0, 0.1, (3, filters)).astype(np.float32)
        variance = np.ones(filters, np.float32)
        return tf.nn.fused_batch_norm(value, scale + 1, offset, mean, variance, is_training=False)[
            0
        ]

    stride = 1 if depth == filters else 2
    inner = tf.nn.relu(normalized(layer, 3, depth, stride))
    inner = normalized(inner, 3, filters, 1)
    return tf.nn.relu(inner + (layer if stride == 1 else normalized(layer, 1, depth, 2)))


@works(
    {"frozen CNN, 1x128x128x3": (1, 128, 32), "frozen CNN, 8x128x128x3": (8, 128, 32)},
    small={"frozen CNN": (1, 16, 4)},
)
def frozen(tf: Any, batch: int, size: int, depth: int) -> Step:
    """A small residual network whose weights are constants, imported from its GraphDef."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, size, size, 3], name="images")
        w = rng.normal(0, 0.2, (3, 3, 3, depth)).astype(np.float32)
        layer = tf.nn.relu(tf.nn.conv2d(x, w, [1, 2, 2, 1], "SAME"))
        for filters in (depth, 2 * depth, 4 * depth):
            layer = _residual(tf, layer, depth, filters, rng)
            depth = filters
        pooled = tf.reduce_mean(layer, [1, 2])
        head = rng.normal(0, 0.1, (depth, 10)).astype(np.float32)
        tf.nn.softmax(tf.matmul(pooled, head), name="probabilities")
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph.as_graph_def(), name="")
        session = tf.Session(graph=imported)
    call = session.make_callable("probabilities:0", ["images:0"])
    images = rng.normal(0, 1, (batch, size, size, 3)).astype(np.float32)
    return lambda: call(images)
