"""A convolutional network on images of digits: a step of Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
from works import images, in_jax, in_torch

from on_gpu.dense import cross_entropy, tf_cross_entropy
from on_gpu.work import FED, RESIDENT, Work


def _patches(xp: Any, x: Any, extent: int) -> Any:
    """What each place of a convolution that keeps the size sees, in rows."""
    _, height, width, depth = x.shape
    before = extent // 2
    x = xp.pad(x, ((0, 0), (before, before), (before, before), (0, 0)))
    turns = [(i, j) for i in range(extent) for j in range(extent)]
    seen = [x[:, i : i + height, j : j + width] for i, j in turns]
    return xp.stack(seen, axis=3).reshape(-1, extent * extent * depth)


def _patches_back(xp: Any, back: Any, shape: tuple[int, ...], extent: int) -> Any:
    batch, height, width, depth = shape
    before = extent // 2
    total = xp.zeros((batch, height + 2 * before, width + 2 * before, depth), back.dtype)
    back = back.reshape(batch, height, width, extent * extent, depth)
    for turn in range(extent * extent):
        i, j = divmod(turn, extent)
        total[:, i : i + height, j : j + width] += back[:, :, :, turn]
    return total[:, before : before + height, before : before + width]


def _pool(x: Any) -> tuple[Any, Any]:
    """The greatest of each 2 x 2, and where it is; equal ones are zeros, which relu holds back."""
    batch, height, width, depth = x.shape
    parts = x.reshape(batch, height // 2, 2, width // 2, 2, depth)
    greatest = parts.max(axis=(2, 4), keepdims=True)
    return greatest[:, :, 0, :, 0], parts == greatest


def _pool_back(back: Any, where: Any) -> Any:
    batch, height, _, width, _, depth = where.shape
    spread = back[:, :, None, :, None] * where
    return spread.reshape(batch, 2 * height, 2 * width, depth)


class Digits(Work):
    """Two convolutions with pools and a dense layer, on 28 x 28 images."""

    trains = True
    variants = (RESIDENT, FED)

    def __init__(self, batch: int) -> None:
        self.name = f"CNN on digits, batch {batch}, Adam step"
        self.parameters, data, labels = images.digits(batch)
        self.inputs = [
            (np.roll(data, turn, 1), np.roll(labels, turn).astype(np.int64)) for turn in range(2)
        ]
        places = 28 * 28 * 25 * 32 + 14 * 14 * 25 * 32 * 64 + 7 * 7 * 64 * 10
        self.flop = 6.0 * batch * places
        self.moved = 28.0 * sum(array.size for array in self.parameters) + data.nbytes
        self.depth = 12

    def by_hand(self, xp: Any, weights: list[Any], x: Any, labels: Any) -> Any:
        layer, kept = x.reshape(-1, 28, 28, 1), []
        for kernel, bias in (weights[:2], weights[2:4]):
            patches = _patches(xp, layer, 5)
            y = patches @ kernel.reshape(-1, kernel.shape[-1]) + bias
            y = xp.maximum(y.reshape(*layer.shape[:3], -1), 0)
            pooled, where = _pool(y)
            kept.append((layer.shape, patches, kernel, y, where))
            layer = pooled
        flat = layer.reshape(len(x), -1)
        loss, back = cross_entropy(xp, flat @ weights[4], labels)
        grads = [flat.T @ back]
        back = (back @ weights[4].T).reshape(layer.shape)
        for shape, patches, kernel, y, where in reversed(kept):
            rows = (_pool_back(back, where) * (y > 0)).reshape(-1, kernel.shape[-1])
            grads[:0] = [(patches.T @ rows).reshape(kernel.shape), rows.sum(axis=0)]
            if kernel is not weights[0]:
                taken = rows @ kernel.reshape(-1, kernel.shape[-1]).T
                back = _patches_back(xp, taken, shape, 5)
        return loss, grads

    def in_tfsession(self, tf: Any, x: Any, labels: Any) -> Any:
        return tf_cross_entropy(tf, images.digits_logits(tf, self.variables(tf), x), labels)

    def torch_model(self, torch: Any, device: str) -> tuple[Any, list[Any]]:
        weights = [
            (in_torch.channels_last(torch, a) if a.ndim == 4 else torch.tensor(a)).to(device)
            for a in self.parameters
        ]
        for weight in weights:
            weight.requires_grad_()
        return lambda *inputs: self.in_torch(torch, weights, *inputs), weights

    def in_torch(self, torch: Any, weights: list[Any], x: Any, labels: Any) -> Any:
        return in_torch.cross_entropy(torch, in_torch.digits_logits(torch, weights, x), labels)

    def in_jax(self, jax: Any, weights: list[Any], x: Any, labels: Any) -> Any:
        return in_jax.cross_entropy(jax, in_jax.digits_logits(jax, weights, x), labels)
