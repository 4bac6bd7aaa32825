"""A perceptron that trains, element-wise work on a large array, large matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
from works import dense, in_jax, in_torch

from on_gpu.work import FED, RESIDENT, Variant, Work, to_bfloat16

WIDTHS = (256, 128, 10)


def cross_entropy(xp: Any, logits: Any, labels: Any) -> tuple[Any, Any]:
    """The mean over a batch, and its gradient for the logits."""
    rows = xp.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = (xp.log(sums[:, 0]) - shifted[rows, labels]).mean()
    grad = exponentials / sums
    grad[rows, labels] -= 1
    return loss, grad / len(logits)


def tf_cross_entropy(tf: Any, logits: Any, labels: Any) -> Any:
    """The mean over a batch."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return tf.reduce_mean(losses)


class Mlp(Work):
    """Dense layers with biases, for images of digits: a step of Adam."""

    trains = True
    variants = (
        RESIDENT,
        Variant(resident=True, fetched=True),
        Variant(resident=False, fetched=False),
        FED,
    )

    def __init__(self, batch: int, widths: tuple[int, ...] = WIDTHS) -> None:
        self.name = f"MLP 784-{'-'.join(map(str, widths))}, batch {batch}, Adam step"
        matrices, data, labels = dense.layers(batch, widths)
        self.parameters = [a for m in matrices for a in (m, np.zeros(m.shape[1], np.float32))]
        turns = range(4)
        self.inputs = [
            (np.roll(data, turn, 1), np.roll(labels, turn).astype(np.int64)) for turn in turns
        ]
        numbers = sum(array.size for array in self.parameters)
        self.flop = 6.0 * batch * sum(matrix.size for matrix in matrices)
        self.moved = 28.0 * numbers + data.nbytes  # Adam reads four numbers and writes three
        self.depth = 8  # products forward, the loss, products back, Adam

    def by_hand(self, xp: Any, weights: list[Any], x: Any, labels: Any) -> Any:
        layers = [x]
        for index in range(0, len(weights), 2):
            y = layers[-1] @ weights[index] + weights[index + 1]
            layers.append(y if index + 2 == len(weights) else xp.maximum(y, 0))
        loss, back = cross_entropy(xp, layers.pop(), labels)
        grads: list[Any] = []
        for index in range(len(weights) - 2, -1, -2):
            layer = layers.pop()
            grads[:0] = [layer.T @ back, back.sum(axis=0)]
            back = (back @ weights[index].T) * (layer > 0)
        return loss, grads

    def in_tfsession(self, tf: Any, x: Any, labels: Any) -> Any:
        return tf_cross_entropy(tf, dense.logits_of(tf, self.variables(tf), x), labels)

    def in_torch(self, torch: Any, weights: list[Any], x: Any, labels: Any) -> Any:
        return in_torch.cross_entropy(torch, in_torch.mlp(torch, weights, x), labels)

    def in_jax(self, jax: Any, weights: list[Any], x: Any, labels: Any) -> Any:
        return in_jax.cross_entropy(jax, in_jax.mlp(jax, weights, x), labels)


class Chain(Work):
    """Eight element-wise ops on a large array."""

    def __init__(self, size: int) -> None:
        self.parameters = []
        self.name = f"8 element-wise ops, {size:,} float32"
        first = np.linspace(-1, 1, size, dtype=np.float32)
        self.inputs = [(first,), (first[::-1].copy(),)]
        self.moved = 2.0 * first.nbytes
        self.every = max(1, size // 100_003)

    def _chain(self, x: Any, tanh: Any) -> Any:
        for _ in range(2):
            x = tanh(x * 1.5 + 0.5) - x
        return x

    def by_hand(self, xp: Any, weights: list[Any], x: Any) -> Any:
        return self._chain(x, xp.tanh)

    def in_tfsession(self, tf: Any, x: Any) -> Any:
        return self._chain(x, tf.tanh)

    def in_torch(self, torch: Any, weights: list[Any], x: Any) -> Any:
        return self._chain(x, torch.tanh)

    def in_jax(self, jax: Any, weights: list[Any], x: Any) -> Any:
        return self._chain(x, jax.numpy.tanh)


class Product(Work):
    """The product of two square matrices of normal numbers; one of them changes."""

    def __init__(self, size: int, precision: str) -> None:
        self.name, self.precision = f"matmul {size} x {size}, {precision}", precision
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal((size, size), np.float32) for _ in range(3)]
        if precision == "bfloat16":
            arrays = to_bfloat16(arrays)
        self.parameters = arrays[:1]
        self.inputs = [(array,) for array in arrays[1:]]
        self.flop = 2.0 * size**3
        self.moved = 3.0 * arrays[0].nbytes
        self.every = max(1, size // 31)

    def by_hand(self, xp: Any, weights: list[Any], x: Any) -> Any:
        return x @ weights[0]

    def in_tfsession(self, tf: Any, x: Any) -> Any:
        return tf.matmul(x, self.variables(tf)[0])

    def in_torch(self, torch: Any, weights: list[Any], x: Any) -> Any:
        return x @ weights[0]

    def in_jax(self, jax: Any, weights: list[Any], x: Any) -> Any:
        return x @ weights[0]
