"""Networks of dense layers, transformers, and element-wise work on large tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.row import Step, works

LAYERS = (256, 256, 10)


def layers(batch: int, widths: tuple[int, ...] = LAYERS) -> tuple[list[Any], Any, Any]:
    """Weights of dense layers for images of 784 numbers, 256-256-10 for one; images, and labels."""
    rng = np.random.default_rng(0)
    sizes = zip((784, *widths), widths, strict=False)
    matrices = [rng.normal(0, 0.05, size).astype(np.float32) for size in sizes]
    data = rng.normal(0, 1, (batch, 784)).astype(np.float32)
    return matrices, data, rng.integers(0, widths[-1], batch).astype(np.int32)


def logits_of(tf: Any, weights: list[Any], x: Any) -> Any:
    """Dense layers, a matrix and a bias each, with relu between them."""
    for index in range(0, len(weights), 2):
        x = tf.matmul(x, weights[index]) + weights[index + 1]
        x = x if index + 2 == len(weights) else tf.nn.relu(x)
    return x


def _mlp(tf: Any, batch: int) -> tuple[Any, ...]:
    matrices, data, target = layers(batch)
    x = tf.placeholder(tf.float32, [None, 784])
    labels = tf.placeholder(tf.int32, [None])
    biases = [np.zeros(matrix.shape[1], np.float32) for matrix in matrices]
    weights = [tf.Variable(a) for pair in zip(matrices, biases, strict=True) for a in pair]
    return x, labels, logits_of(tf, weights, x), data, target


@works(
    {f"MLP inference, batch {batch}": (batch,) for batch in (1, 128, 2048)},
    small={"MLP inference": (3,)},
)
def mlp_inference(tf: Any, batch: int) -> Step:
    """784-256-256-10, forward."""
    with tf.Graph().as_default() as graph:
        x, _, logits, data, _ = _mlp(tf, batch)
        probabilities = tf.nn.softmax(logits)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable(probabilities, [x])
    return lambda: call(data)


@works(
    {f"MLP Adam step, batch {batch}": (batch,) for batch in (32, 256)},
    small={"MLP Adam step": (3,)},
)
def mlp_training(tf: Any, batch: int) -> Step:
    """784-256-256-10, one Adam step with the loss fetched."""
    with tf.Graph().as_default() as graph:
        x, labels, logits, data, target = _mlp(tf, batch)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train = tf.train.AdamOptimizer(1e-4).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [x, labels])
    return lambda: call(data, target)[1]


def normal(*sizes: int, mean: float = 0, deviation: float = 1) -> Any:
    """Normal float32 numbers, the same each time."""
    return np.random.default_rng(0).normal(mean, deviation, sizes).astype(np.float32)


@works({"matmul of 1024 x 1024": (1024,)}, small={"matmul": (33,)})
def matmul(tf: Any, size: int) -> Step:
    """A product of two square matrices, fetched whole."""
    left, right = normal(2, size, size, deviation=1 / 32)
    with tf.Graph().as_default() as graph:
        x, y = tf.placeholder(tf.float32, left.shape), tf.placeholder(tf.float32, right.shape)
        session = tf.Session(graph=graph)
        call = session.make_callable(tf.matmul(x, y), [x, y])
    return lambda: call(left, right)


@works({"softmax of 4096 x 1000": (4096, 1000)}, small={"softmax": (40, 100)})
def softmax(tf: Any, rows: int, classes: int) -> Step:
    """Softmax of rows, fetched whole."""
    logits = normal(rows, classes, deviation=3)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, classes])
        session = tf.Session(graph=graph)
        call = session.make_callable(tf.nn.softmax(x), [x])
    return lambda: call(logits)


def _twelve(tf: Any, x: Any) -> Any:
    """As activations, losses and schedules mix them."""
    y = tf.tanh(x * 1.5 + 0.5)
    y = tf.nn.relu(y) - 0.25
    y = tf.exp(-tf.square(y))
    z = tf.sigmoid(x)
    return tf.sqrt(tf.maximum(y / (z + 1.0), 0.01))


TWELVE = {
    "12 element-wise ops, 10 k": (10_000, True),
    "12 element-wise ops, 1 M": (1_000_000, False),
    "12 element-wise ops, 1 M, fetched whole": (1_000_000, True),
    "12 element-wise ops, 10 M": (10_000_000, False),
}


@works(TWELVE, small={"12 ops": (1000, False), "12 ops, fetched whole": (1000, True)})
def elementwise(tf: Any, size: int, whole: bool) -> Step:
    """Twelve element-wise ops of nine kinds; all of the answer, or some numbers of it."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None])
        y = _twelve(tf, x)
        fetch = y if whole else y[:: size // 100]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetch, [x])
    value = np.linspace(-2, 2, size, dtype=np.float32)
    return lambda: call(value)


@works({"sum(x * x + 1), 10 M": (10_000_000,)}, small={"sum(x * x + 1)": (1000,)})
def reduction(tf: Any, size: int) -> Step:
    """sum(x * x + 1)."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None])
        total = tf.reduce_sum(x * x + 1.0)
        session = tf.Session(graph=graph)
    call = session.make_callable(total, [x])
    value = np.linspace(-1, 1, size, dtype=np.float32)
    return lambda: call(value)


def normalized(tf: Any, x: Any, scale: Any, offset: Any) -> Any:
    """Layer normalization, in the ops that programs wrote it with."""
    mean, variance = tf.nn.moments(x, [-1], keep_dims=True)
    return (x - mean) * tf.rsqrt(variance + 1e-5) * scale + offset


NORMS = {
    "layer norm of 4096 x 512": (4096, 512, False),
    "layer norm of 4096 x 512, gradients": (4096, 512, True),
}


@works(NORMS, small={"layer norm": (40, 64, False), "layer norm, gradients": (40, 64, True)})
def layer_norm(tf: Any, rows: int, width: int, back: bool) -> Step:
    """Layer normalization, fetched whole, or its gradients."""
    value = normal(rows, width, mean=1, deviation=2)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, width])
        y = normalized(tf, x, tf.Variable(tf.ones([width])), tf.Variable(tf.zeros([width])))
        fetch = y
        if back:
            grads = tf.gradients(y * y * y, [x, *tf.trainable_variables()])
            fetch = [tf.reduce_mean(tf.abs(grad)) for grad in grads]
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
        call = session.make_callable(fetch, [x])
    return lambda: call(value)


def block(batch: int, length: int, width: int) -> tuple[Any, list[Any]]:
    """Inputs, and the matrices of a block: attention's two, and those of its dense layers."""
    rng = np.random.default_rng(0)
    value = rng.normal(0, 1, (batch, length, width)).astype(np.float32)
    sizes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    return value, [rng.normal(0, s[0] ** -0.5, s).astype(np.float32) for s in sizes]


def _attention(tf: Any, x: Any, heads: int, kernel: Any, mixer: Any) -> Any:
    _, length, width = x.shape.as_list()
    mask = tf.matrix_band_part(tf.ones([length, length], x.dtype), -1, 0)
    projected = tf.matmul(tf.reshape(x, [-1, width]), kernel)
    three = tf.reshape(projected, [-1, length, 3, heads, width // heads])
    q, k, v = tf.unstack(tf.transpose(three, [2, 0, 3, 1, 4]))
    scores = tf.matmul(q, k, transpose_b=True) * (width / heads) ** -0.5
    weights = tf.nn.softmax(scores * mask - 1e9 * (1.0 - mask))
    mixed = tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])
    return tf.reshape(tf.matmul(tf.reshape(mixed, [-1, width]), mixer), [-1, length, width])


def _gelu(tf: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + tf.tanh(0.7978845608 * (x + 0.044715 * tf.pow(x, 3.0))))


def block_of(tf: Any, weights: list[Any], x: Any, heads: int) -> Any:
    """A block of GPT-2: causal attention and two dense layers, each normalized and residual."""
    _, length, width = x.shape.as_list()
    scale, offset, kernel, mixer, scale2, offset2, up, up_bias, down, down_bias = weights
    y = x + _attention(tf, normalized(tf, x, scale, offset), heads, kernel, mixer)
    inner = tf.reshape(normalized(tf, y, scale2, offset2), [-1, width])
    inner = _gelu(tf, tf.matmul(inner, up) + up_bias)
    return y + tf.reshape(tf.matmul(inner, down) + down_bias, [-1, length, width])


def block_weights(width: int, matrices: list[Any]) -> list[Any]:
    """The matrices of `block` among scales, offsets and biases, as `block_of` takes them."""
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    kernel, mixer, up, down = matrices
    wide = np.zeros(up.shape[1], np.float32)
    return [ones, zeros, kernel, mixer, ones, zeros, up, wide, down, zeros]


BLOCKS = {
    "transformer block, 8 x 64 x 256": (8, 64, 256, 4, False),
    "transformer block, Adam step": (8, 64, 256, 4, True),
}


@works(
    BLOCKS, small={"transformer": (2, 8, 32, 2, False), "transformer, Adam": (2, 8, 32, 2, True)}
)
def transformer(tf: Any, batch: int, length: int, width: int, heads: int, trains: bool) -> Step:
    """A block of GPT-2, forward, or a step of Adam."""
    value, matrices = block(batch, length, width)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, length, width])
        weights = [tf.Variable(array) for array in block_weights(width, matrices)]
        y = block_of(tf, weights, x, heads)
        fetches = [y]
        if trains:
            loss = tf.reduce_mean(tf.square(y - tf.reverse(x, [1])))
            fetches = [loss, tf.train.AdamOptimizer(1e-4).minimize(loss)]
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable(fetches, [x])
    return lambda: call(value)[0]
