"""The works in JAX: one jitted function of arrays, its state given away and back where it has one.

Arguments are NumPy's and answers become NumPy's, as with a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from works import dense, images, loops, small, sparse
from works.row import Step

NAME = "JAX"


def _jitted(jax: Any, function: Callable[..., Any], *values: Any, kept: Any = ()) -> Step:
    """`function(*kept, *values)` as a step; what is kept is on the device already."""
    call, kept = jax.jit(function), jax.device_put(kept)
    return lambda: jax.tree.map(np.asarray, call(*kept, *values))


def _training(
    jax: Any, loss: Callable[..., Any], parameters: Any, update: Callable[..., Any], *values: Any
) -> Step:
    """Steps that lower `loss(parameters, *values)`; `update(p, g, slots)` is one array's."""

    def train(state: Any, *values: Any) -> Any:
        parameters, slots = state
        found, grads = jax.value_and_grad(loss)(parameters, *values)
        pairs = [update(*three) for three in zip(parameters, grads, slots, strict=True)]
        return ([p for p, _ in pairs], [s for _, s in pairs]), found

    call = jax.jit(train, donate_argnums=0)
    slots = [_slots(update, jax.numpy.asarray(p)) for p in parameters]
    state = jax.device_put((list(parameters), slots))

    def step() -> Any:
        nonlocal state
        state, found = call(state, *values)
        return np.asarray(found)

    return step


def _descent(rate: float) -> Callable[..., Any]:
    return lambda p, g, _: (p - rate * g, ())


def adam(jax: Any, rate: float) -> Callable[..., Any]:
    def update(p: Any, g: Any, slots: Any) -> Any:
        m, v, t = slots
        m, v, t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, t + 1
        scale = rate * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
        return p - scale * m / (jax.numpy.sqrt(v) + 1e-8), (m, v, t)

    update.slots = lambda p: (p * 0, p * 0, np.float32(0))  # type: ignore[attr-defined]
    return update


def _adagrad(jax: Any, rate: float) -> Callable[..., Any]:
    def update(p: Any, g: Any, total: Any) -> Any:
        total = total + g * g
        return p - rate * g / jax.numpy.sqrt(total), total

    update.slots = lambda p: p * 0 + 0.1  # type: ignore[attr-defined]
    return update


def _momentum(rate: float) -> Callable[..., Any]:
    def update(p: Any, g: Any, speed: Any) -> Any:
        speed = 0.9 * speed + g
        return p - rate * speed, speed

    update.slots = lambda p: p * 0  # type: ignore[attr-defined]
    return update


def _slots(update: Any, p: Any) -> Any:
    return update.slots(p) if hasattr(update, "slots") else ()


def cross_entropy(jax: Any, logits: Any, labels: Any) -> Any:
    found = jax.nn.log_softmax(logits)
    return -jax.numpy.mean(jax.numpy.take_along_axis(found, labels[:, None], 1))


@small.fed_multiply.beside(NAME)
def fed_multiply(jax: Any, callable_: bool) -> Step:
    call = jax.jit(lambda a, b: a * b)
    return lambda: np.asarray(call(2.0, 3.0))


@small.chain.beside(NAME)
def chain(jax: Any, length: int) -> Step:
    def function(x: Any) -> Any:
        y = x
        for index in range(length // 2):
            y = jax.numpy.tanh(y) if index % 50 == 0 else y * x
            y = y + x
        return y

    return _jitted(jax, function, small.TEN)


@small.cond.beside(NAME)
def cond(jax: Any) -> Step:
    np_ = jax.numpy

    def function(x: Any, p: Any) -> Any:
        return jax.lax.cond(p, lambda: np_.tanh(x * 2.0), lambda: np_.exp(x - 1.0))

    return _jitted(jax, function, small.TEN, True)


def mlp(jax: Any, weights: Any, x: Any) -> Any:
    for index in range(0, len(weights), 2):
        x = x @ weights[index] + weights[index + 1]
        x = x if index + 2 == len(weights) else jax.nn.relu(x)
    return x


def _with_biases(matrices: list[Any]) -> list[Any]:
    return [a for m in matrices for a in (m, np.zeros(m.shape[1], np.float32))]


@dense.mlp_inference.beside(NAME)
def mlp_inference(jax: Any, batch: int) -> Step:
    matrices, data, _ = dense.layers(batch)
    return _jitted(
        jax,
        lambda weights, x: jax.nn.softmax(mlp(jax, weights, x)),
        data,
        kept=(_with_biases(matrices),),
    )


@dense.mlp_training.beside(NAME)
def mlp_training(jax: Any, batch: int) -> Step:
    matrices, data, target = dense.layers(batch)

    def loss(weights: Any, x: Any, labels: Any) -> Any:
        return cross_entropy(jax, mlp(jax, weights, x), labels)

    return _training(jax, loss, _with_biases(matrices), adam(jax, 1e-4), data, target)


@dense.matmul.beside(NAME)
def matmul(jax: Any, size: int) -> Step:
    return _jitted(jax, lambda x, y: x @ y, *dense.normal(2, size, size, deviation=1 / 32))


@dense.softmax.beside(NAME)
def softmax(jax: Any, rows: int, classes: int) -> Step:
    return _jitted(jax, jax.nn.softmax, dense.normal(rows, classes, deviation=3))


@dense.elementwise.beside(NAME)
def elementwise(jax: Any, size: int, whole: bool) -> Step:
    np_ = jax.numpy

    def function(x: Any) -> Any:
        y = jax.nn.relu(np_.tanh(x * 1.5 + 0.5)) - 0.25
        y = np_.exp(-np_.square(y))
        y = np_.sqrt(np_.maximum(y / (jax.nn.sigmoid(x) + 1.0), 0.01))
        return y if whole else y[:: size // 100]

    return _jitted(jax, function, np.linspace(-2, 2, size, dtype=np.float32))


@dense.reduction.beside(NAME)
def reduction(jax: Any, size: int) -> Step:
    value = np.linspace(-1, 1, size, dtype=np.float32)
    return _jitted(jax, lambda x: jax.numpy.sum(x * x + 1.0), value)


def _normalized(jax: Any, x: Any, scale: Any, offset: Any) -> Any:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + offset


@dense.layer_norm.beside(NAME)
def layer_norm(jax: Any, rows: int, width: int, back: bool) -> Step:
    value = dense.normal(rows, width, mean=1, deviation=2)
    kept = np.ones(width, np.float32), np.zeros(width, np.float32)

    def forward(scale: Any, offset: Any, x: Any) -> Any:
        return _normalized(jax, x, scale, offset)

    def gradients(*arguments: Any) -> Any:
        grads = jax.grad(lambda *three: jax.numpy.sum(forward(*three) ** 3), (2, 0, 1))(*arguments)
        return [jax.numpy.mean(jax.numpy.abs(grad)) for grad in grads]

    return _jitted(jax, gradients if back else forward, value, kept=kept)


def block(jax: Any, weights: list[Any], x: Any, heads: int) -> Any:
    np_, (_, length, width) = jax.numpy, x.shape
    scale, offset, kernel, mixer, scale2, offset2, up, up_bias, down, down_bias = weights
    mask = np_.tril(np_.ones((length, length), x.dtype))
    three = _normalized(jax, x, scale, offset) @ kernel
    q, k, v = three.reshape(-1, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) * (width / heads) ** -0.5
    mixed = jax.nn.softmax(scores * mask - 1e9 * (1.0 - mask)) @ v
    y = x + mixed.transpose(0, 2, 1, 3).reshape(x.shape) @ mixer
    inner = jax.nn.gelu(_normalized(jax, y, scale2, offset2) @ up + up_bias, approximate=True)
    return y + inner @ down + down_bias


@dense.transformer.beside(NAME)
def transformer(jax: Any, batch: int, length: int, width: int, heads: int, trains: bool) -> Step:
    value, matrices = dense.block(batch, length, width)
    weights = dense.block_weights(width, matrices)
    if not trains:
        return _jitted(jax, lambda w, x: block(jax, w, x, heads), value, kept=(weights,))

    def loss(weights: Any, x: Any) -> Any:
        return jax.numpy.mean((block(jax, weights, x, heads) - x[:, ::-1]) ** 2)

    return _training(jax, loss, weights, adam(jax, 1e-4), value)


def conv(jax: Any, x: Any, kernel: Any, stride: int = 1) -> Any:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, "SAME", dimension_numbers=layout)


def max_pool(jax: Any, x: Any, size: int) -> Any:
    window, strides = (1, size, size, 1), (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, strides, "SAME")


@images.convolution.beside(NAME)
def convolution(jax: Any, shape: tuple[int, ...], extent: int, filters: int, back: bool) -> Step:
    kernel = dense.normal(extent, extent, shape[-1], filters, deviation=0.05)

    def function(w: Any, x: Any) -> Any:
        if not back:
            return [conv(jax, x, w).mean()]
        y, pull = jax.vjp(lambda x, w: conv(jax, x, w), x, w)
        return [y.mean(), *(grad.mean() for grad in pull(2 * y))]

    return _jitted(jax, function, dense.normal(*shape), kept=(kernel,))


@images.pools.beside(NAME)
def pools(jax: Any, shape: tuple[int, ...], back: bool) -> Step:
    def pooled(x: Any) -> Any:
        return max_pool(jax, max_pool(jax, x, 2), 3)

    def function(x: Any) -> Any:
        y = jax.grad(lambda x: pooled(x).sum())(x) * x if back else pooled(x)
        return jax.numpy.mean(y * y)

    return _jitted(jax, function, dense.normal(*shape))


@images.batch_norm.beside(NAME)
def batch_norm(jax: Any, batch: int, size: int, depth: int) -> Step:
    def normalized(x: Any, ones: Any) -> Any:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * jax.lax.rsqrt(variance + 0.001) * ones + ones

    def function(ones: Any, x: Any) -> Any:
        y, pull = jax.vjp(normalized, x, ones)
        return [y.mean(), jax.numpy.mean(pull(3 * y * y)[0] ** 2)]

    kept = (np.ones(depth, np.float32),)
    return _jitted(jax, function, dense.normal(batch, size, size, depth), kept=kept)


@images.resize.beside(NAME)
def resize(jax: Any, shape: tuple[int, ...], size: int) -> Step:
    # Corners upon corners, in this function's terms.
    scale = np.full(2, (size - 1) / (shape[1] - 1), np.float32)
    whole = (shape[0], size, size, shape[3])

    def function(x: Any) -> Any:
        y = jax.image.scale_and_translate(
            x, whole, (1, 2), scale, 0.5 - 0.5 * scale, "linear", antialias=False
        )
        return y[:, :: size // 8, :: size // 8]

    return _jitted(jax, function, dense.normal(*shape))


def digits_logits(jax: Any, weights: Any, x: Any) -> Any:
    layer = x.reshape(-1, 28, 28, 1)
    for kernel, bias in (weights[:2], weights[2:4]):
        layer = max_pool(jax, jax.nn.relu(conv(jax, layer, kernel) + bias), 2)
    return layer.reshape(len(x), -1) @ weights[4]


@images.cnn_training.beside(NAME)
def cnn_training(jax: Any, batch: int) -> Step:
    weights, data, target = images.digits(batch)

    def loss(weights: Any, x: Any, labels: Any) -> Any:
        return cross_entropy(jax, digits_logits(jax, weights, x), labels)

    return _training(jax, loss, weights, _descent(1e-4), data, target)


class _Layers:
    def __init__(self, jax: Any):
        self.jax, self.relu = jax, jax.nn.relu

    def conv(self, x: Any, kernel: Any, stride: int) -> Any:
        return conv(self.jax, x, kernel, stride)

    def norm(self, x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        return (x - mean) * (scale / np.sqrt(variance + np.float32(0.001))) + offset

    def head(self, x: Any, matrix: Any) -> Any:
        return self.jax.nn.softmax(x.mean((1, 2)) @ matrix)


@images.frozen.beside(NAME)
def frozen(jax: Any, batch: int, size: int, depth: int) -> Step:
    layers = _Layers(jax)
    given = dense.normal(batch, size, size, 3)
    return _jitted(jax, lambda x: images.residual_network(layers, x, depth), given)


@loops.loop.beside(NAME)
def loop(jax: Any, turns: int) -> Step:
    def function(x: Any) -> Any:
        return jax.lax.fori_loop(0, turns, lambda i, y: y * 0.5 + x, x)

    return _jitted(jax, function, loops.TEN)


@loops.loop_gradient.beside(NAME)
def loop_gradient(jax: Any, turns: int) -> Step:
    def total(x: Any) -> Any:
        return jax.lax.fori_loop(0, turns, lambda i, y: y * x * 0.99, x).sum()

    return _jitted(jax, jax.grad(total), np.linspace(1.0, 1.01, 10, dtype=np.float32))


@loops.recurrent.beside(NAME)
def recurrent(jax: Any, steps: int, trains: bool) -> Step:
    np_ = jax.numpy
    w = np.linspace(-0.2, 0.2, 48 * 32, dtype=np.float32).reshape(48, 32)
    value = np.linspace(-1, 1, steps * 128, dtype=np.float32).reshape(steps, 8, 16)

    def outputs(w: Any, x: Any) -> Any:
        def turn(state: Any, x: Any) -> Any:
            state = np_.tanh(np_.concatenate([x, state], 1) @ w)
            return state, state

        return jax.lax.scan(turn, np_.zeros((8, 32)), x)[1]

    def gradient(w: Any, x: Any) -> Any:
        return jax.grad(lambda w: np_.mean(outputs(w, x) ** 2))(w)

    return _jitted(jax, gradient if trains else outputs, value, kept=(w,))


def lstm(jax: Any, weights: Any, state: Any, x: Any) -> Any:
    np_, sigmoid, (c, h) = jax.numpy, jax.nn.sigmoid, state
    gates = np_.concatenate([x, h], 1) @ weights[0] + weights[1]
    i, j, f, o = np_.split(gates, 4, 1)
    c = sigmoid(f + 1.0) * c + sigmoid(i) * np_.tanh(j)
    return c, sigmoid(o) * np_.tanh(c)


def _gru(jax: Any, weights: Any, state: Any, x: Any) -> Any:
    np_, h = jax.numpy, state[1]
    r, u = np_.split(jax.nn.sigmoid(np_.concatenate([x, h], 1) @ weights[0] + weights[1]), 2, 1)
    made = np_.tanh(np_.concatenate([x, r * h], 1) @ weights[2] + weights[3])
    return h, u * h + (1 - u) * made


@loops.cells.beside(NAME)
def cells(
    jax: Any, static: bool, kind: str, steps: int, batch: int, units: int, trains: bool
) -> Step:
    np_, turn = jax.numpy, _gru if kind == "GRU" else lstm
    weights, value = loops.cell_arrays(kind, units), loops.sequences(steps, batch)

    def last(weights: Any, x: Any) -> Any:
        state = (np_.zeros((batch, units)),) * 2
        if static:
            for step in range(steps):
                state = turn(jax, weights, state, x[:, step])
        else:
            state, _ = jax.lax.scan(
                lambda s, x: (turn(jax, weights, s, x), None), state, x.swapaxes(0, 1)
            )
        return state[1]

    if not trains:
        return _jitted(jax, last, value, kept=(weights,))
    return _training(jax, lambda w, x: np_.mean(last(w, x) ** 2), weights, _descent(0.1), value)


@loops.mapped.beside(NAME)
def mapped(jax: Any, rows: int) -> Step:
    value = np.linspace(-1, 1, rows * 10, dtype=np.float32).reshape(rows, 10)
    return _jitted(jax, jax.vmap(lambda row: jax.numpy.tanh(row) * 2.0), value)


@sparse.embedding.beside(NAME)
def embedding(jax: Any, optimizer: str, sizes: tuple[int, int], words: int) -> Step:
    table, weights, given, target = sparse.vocabulary(sizes, words)
    updates = {
        "GradientDescent": _descent(0.01),
        "Adagrad": _adagrad(jax, 0.01),
        "Adam": adam(jax, 0.01),
        "Momentum": _momentum(0.01),
    }

    def loss(parameters: Any, ids: Any, labels: Any) -> Any:
        x = (parameters[0][ids] @ parameters[1])[:, 0]
        return jax.numpy.mean(jax.nn.softplus(x) - x * labels)

    return _training(jax, loss, [table, weights], updates[optimizer], given, target)


@sparse.gather.beside(NAME)
def gather(jax: Any, sizes: tuple[int, int], count: int) -> Step:
    given = sparse.indices(sizes[0], count)
    return _jitted(jax, lambda x, ids: x[ids][:: count // 20], sparse.vectors(sizes), given)


@sparse.scatter.beside(NAME)
def scatter(jax: Any, name: str, sizes: tuple[int, int], count: int) -> Step:
    given, rows = sparse.updates(name, sizes, count)
    first, stride = sizes[0] // 5, sizes[0] // 50
    state = jax.device_put(sparse.vectors(sizes))

    def changed(table: Any, ids: Any, rows: Any) -> Any:
        table = table.at[ids].set(rows) if name == "scatter_update" else table.at[ids].add(rows)
        return table, table[:first:stride]

    def made(ids: Any, rows: Any) -> Any:
        return jax.numpy.zeros(sizes).at[ids].add(rows)[:first:stride]

    if name in ("scatter_nd", "unsorted_segment_sum"):
        return _jitted(jax, made, given, rows)
    call = jax.jit(changed, donate_argnums=0)

    def step() -> Any:
        nonlocal state
        state, found = call(state, given, rows)
        return np.asarray(found)

    return step


def _matrix(jax: Any, pairs: Any, values: Any, shape: tuple[int, int]) -> Any:
    from jax.experimental import sparse as made

    return made.BCOO((values, pairs.astype(np.int32)), shape=shape, indices_sorted=True)


@sparse.product.beside(NAME)
def product(jax: Any, nodes: int, edges: int, columns: int) -> Step:
    matrix = _matrix(jax, *sparse.adjacency(nodes, edges), (nodes, nodes))
    dense_one = np.random.default_rng(1).normal(0, 1, (nodes, columns)).astype(np.float32)
    return _jitted(jax, lambda m, x: m @ x, dense_one, kept=(matrix,))


@sparse.graph_convolutions.beside(NAME)
def graph_convolutions(
    jax: Any, nodes: int, edges: int, features: int, units: int, classes: int
) -> Step:
    matrix = _matrix(jax, *sparse.adjacency(nodes, edges), (nodes, nodes))
    words, counts, matrices, target = sparse.papers(nodes, features, units, classes)
    given = _matrix(jax, words, counts, (nodes, features))

    def loss(weights: Any, given: Any) -> Any:
        hidden = jax.nn.relu(matrix @ (given @ weights[0]))
        return cross_entropy(jax, matrix @ (hidden @ weights[1]), target)

    return _training(jax, loss, matrices, adam(jax, 0.01), given)
