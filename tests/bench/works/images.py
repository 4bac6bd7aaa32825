"""Convolutions, pools, norms of images, and networks of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.dense import normal
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
    images, w = normal(*shape), normal(extent, extent, shape[-1], filters, deviation=0.05)
    with tf.Graph().as_default() as graph:
        x, weights = tf.placeholder(tf.float32, shape), tf.constant(w)
        y = tf.nn.conv2d(x, weights, [1, 1, 1, 1], "SAME")
        fetches = [tf.reduce_mean(y)]
        if back:
            fetches += [tf.reduce_mean(g) for g in tf.gradients(y * y, [x, weights])]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetches, [x])
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
    images = normal(*shape)
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
    images = normal(*shape)
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
    images = normal(*shape)
    return lambda: call(images)


def digits(batch: int) -> tuple[list[Any], Any, Any]:
    """Kernels and biases of two convolutions, the last matrix; images and labels."""
    rng = np.random.default_rng(0)
    sizes = [(5, 5, 1, 32), (32,), (5, 5, 32, 64), (64,), (7 * 7 * 64, 10)]
    weights = [rng.normal(0, 0.05, size).astype(np.float32) for size in sizes]
    data = rng.normal(0, 1, (batch, 784)).astype(np.float32)
    return weights, data, rng.integers(0, 10, batch).astype(np.int32)


def digits_logits(tf: Any, weights: list[Any], x: Any) -> Any:
    """Two convolutions with pools and a dense layer, with the weights of `digits`."""
    layer = tf.reshape(x, [-1, 28, 28, 1])
    for kernel, bias in (weights[:2], weights[2:4]):
        layer = tf.nn.conv2d(layer, kernel, [1, 1, 1, 1], "SAME")
        layer = tf.nn.relu(tf.nn.bias_add(layer, bias))
        layer = tf.nn.max_pool(layer, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    return tf.matmul(tf.reshape(layer, [-1, 7 * 7 * 64]), weights[4])


@works({"CNN descent step, batch 64": (64,)}, small={"CNN descent step": (2,)})
def cnn_training(tf: Any, batch: int) -> Step:
    """Two convolutions with pools and a dense layer on 28x28 images: one step of descent."""
    weights, data, target = digits(batch)
    with tf.Graph().as_default() as graph:
        x, labels = tf.placeholder(tf.float32, [None, 784]), tf.placeholder(tf.int32, [None])
        logits = digits_logits(tf, [tf.Variable(w) for w in weights], x)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train = tf.train.GradientDescentOptimizer(1e-4).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [x, labels])
    return lambda: call(data, target)[1]


class _Layers:
    """The layers of the residual network, as `residual_network` asks for them."""

    def __init__(self, tf: Any):
        self.tf, self.relu = tf, tf.nn.relu

    def conv(self, x: Any, kernel: Any, stride: int) -> Any:
        return self.tf.nn.conv2d(x, kernel, [1, stride, stride, 1], "SAME")

    def norm(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        norm = self.tf.nn.fused_batch_norm
        return norm(x, scale, offset, mean, variance, is_training=False)[0]

    def head(self, x: Any, matrix: Any) -> Any:
        return self.tf.nn.softmax(self.tf.matmul(self.tf.reduce_mean(x, [1, 2]), matrix))


def residual_network(layers: Any, x: Any, depth: int) -> Any:
    """Three blocks of two normalized convolutions and a shortcut; weights the same each time."""
    rng = np.random.default_rng(0)

    def conv(x: Any, extent: int, before: int, filters: int, stride: int) -> Any:
        w = rng.normal(0, (extent * extent * before) ** -0.5, (extent, extent, before, filters))
        return layers.conv(x, w.astype(np.float32), stride)

    def norm(x: Any, filters: int) -> Any:
        scale, offset, mean = rng.normal(0, 0.1, (3, filters)).astype(np.float32)
        return layers.norm(x, scale + 1, offset, mean, np.ones(filters, np.float32))

    x, before = layers.relu(conv(x, 3, 3, depth, 2)), depth
    for filters in (depth, 2 * depth, 4 * depth):
        stride = 1 if before == filters else 2
        inner = layers.relu(norm(conv(x, 3, before, filters, stride), filters))
        inner = norm(conv(inner, 3, filters, filters, 1), filters)
        if stride == 2:
            x = norm(conv(x, 1, before, filters, 2), filters)
        x, before = layers.relu(inner + x), filters
    return layers.head(x, rng.normal(0, 0.1, (before, 10)).astype(np.float32))


@works(
    {"frozen CNN, 1x128x128x3": (1, 128, 32), "frozen CNN, 8x128x128x3": (8, 128, 32)},
    small={"frozen CNN": (1, 16, 4)},
)
def frozen(tf: Any, batch: int, size: int, depth: int) -> Step:
    """A small residual network whose weights are constants, imported from its GraphDef."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, size, size, 3], name="images")
        tf.identity(residual_network(_Layers(tf), x, depth), name="probabilities")
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph.as_graph_def(), name="")
        session = tf.Session(graph=imported)
    call = session.make_callable("probabilities:0", ["images:0"])
    images = normal(batch, size, size, 3)
    return lambda: call(images)
