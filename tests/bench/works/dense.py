"""Networks of dense layers, transformers, and element-wise work on large tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.row import Step, works

LAYERS = (256, 256, 10)


def _matrices(rng: np.random.Generator, width: int) -> list[Any]:
    """Weights of 784-256-256-10, as arrays."""
    widths = (width, *LAYERS)
    return [
        rng.normal(0, 0.05, sizes).astype(np.float32) for sizes in zip(widths, LAYERS, strict=False)
    ]


def _mlp(tf: Any, batch: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    x = tf.placeholder(tf.float32, [None, 784])
    labels = tf.placeholder(tf.int32, [None])
    layer = x
    for array in _matrices(rng, 784):
        units = array.shape[1]
        layer = tf.matmul(layer, tf.Variable(array)) + tf.Variable(np.zeros(units, np.float32))
        layer = tf.nn.relu(layer) if units != 10 else layer
    data = rng.normal(0, 1, (batch, 784)).astype(np.float32)
    return x, labels, layer, data, rng.integers(0, 10, batch).astype(np.int32)


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


@works({"matmul of 1024 x 1024": (1024,)}, small={"matmul": (33,)})
def matmul(tf: Any, size: int) -> Step:
    """A product of two square matrices, fetched whole."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(0, 1 / 32, (2, size, size)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x, y = tf.placeholder(tf.float32, left.shape), tf.placeholder(tf.float32, right.shape)
        session = tf.Session(graph=graph)
        call = session.make_callable(tf.matmul(x, y), [x, y])
    return lambda: call(left, right)


@works({"softmax of 4096 x 1000": (4096, 1000)}, small={"softmax": (40, 100)})
def softmax(tf: Any, rows: int, classes: int) -> Step:
    """Softmax of rows, fetched whole."""
    logits = np.random.default_rng(0).normal(0, 3, (rows, classes)).astype(np.float32)
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


def _normalized(tf: Any, x: Any, width: int) -> Any:
    """Layer normalization, in the ops that programs wrote it with."""
    mean, variance = tf.nn.moments(x, [-1], keep_dims=True)
    scale, offset = tf.Variable(tf.ones([width])), tf.Variable(tf.zeros([width]))
    return (x - mean) * tf.rsqrt(variance + 1e-5) * scale + offset


NORMS = {
    "layer norm of 4096 x 512": (4096, 512, False),
    "layer norm of 4096 x 512, gradients": (4096, 512, True),
}


@works(NORMS, small={"layer norm": (40, 64, False), "layer norm, gradients": (40, 64, True)})
def layer_norm(tf: Any, rows: int, width: int, back: bool) -> Step:
    """Layer normalization, fetched whole, or its gradients."""
    value = np.random.default_rng(0).normal(1, 2, (rows, width)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, width])
        y = _normalized(tf, x, width)
        fetch = y
        if back:
            grads = tf.gradients(y * y * y, [x, *tf.trainable_variables()])
            fetch = [tf.reduce_mean(tf.abs(grad)) for grad in grads]
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
        call = session.make_callable(fetch, [x])
    return lambda: call(value)


def _attention(tf: Any, x: Any, length: int, width: int, heads: int, mask: Any) -> Any:
    rng = np.random.default_rng(1)

    def project(value: Any, units: int) -> Any:
        kernel = tf.Variable(rng.normal(0, width**-0.5, (width, units)).astype(np.float32))
        return tf.matmul(tf.reshape(value, [-1, width]), kernel)

    three = tf.reshape(project(x, 3 * width), [-1, length, 3, heads, width // heads])
    q, k, v = tf.unstack(tf.transpose(three, [2, 0, 3, 1, 4]))
    scores = tf.matmul(q, k, transpose_b=True) * (width / heads) ** -0.5
    weights = tf.nn.softmax(scores * mask - 1e9 * (1.0 - mask))
    mixed = tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])
    return tf.reshape(project(mixed, width), [-1, length, width])


def _gelu(tf: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + tf.tanh(0.7978845608 * (x + 0.044715 * tf.pow(x, 3.0))))


BLOCKS = {
    "transformer block, 8 x 64 x 256": (8, 64, 256, 4, False),
    "transformer block, Adam step": (8, 64, 256, 4, True),
}


@works(
    BLOCKS, small={"transformer": (2, 8, 32, 2, False), "transformer, Adam": (2, 8, 32, 2, True)}
)
def transformer(tf: Any, batch: int, length: int, width: int, heads: int, trains: bool) -> Step:
    """A block of GPT-2: causal attention and two dense layers, each normalized and residual."""
    rng = np.random.default_rng(0)
    value = rng.normal(0, 1, (batch, length, width)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, length, width])
        mask = tf.matrix_band_part(tf.ones([length, length]), -1, 0)
        y = x + _attention(tf, _normalized(tf, x, width), length, width, heads, mask)
        inner = tf.reshape(_normalized(tf, y, width), [-1, width])
        for sizes in ((width, 4 * width), (4 * width, width)):
            kernel = tf.Variable(rng.normal(0, sizes[0] ** -0.5, sizes).astype(np.float32))
            inner = tf.matmul(inner, kernel) + tf.Variable(tf.zeros(sizes[1:]))
            inner = _gelu(tf, inner) if sizes[1] > width else inner
        y = y + tf.reshape(inner, [-1, length, width])
        loss = tf.reduce_mean(tf.square(y - tf.reverse(x, [1])))
        train = tf.train.AdamOptimizer(1e-4).minimize(loss) if trains else y
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [x])
    return (lambda: call(value)[1]) if trains else (lambda: call(value))
