"""A block of GPT-2, forward in bfloat16, and a step of Adam in float32."""

from __future__ import annotations

from typing import Any

from works import dense, in_jax, in_torch

from on_gpu.work import FED, RESIDENT, Work, to_bfloat16

_GELU, _CUBE = 0.7978845608, 0.044715


def _norm(xp: Any, x: Any, scale: Any, offset: Any) -> tuple[Any, Any]:
    centred = x - x.mean(axis=-1, keepdims=True)
    inverse = 1 / xp.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)
    return centred * inverse * scale + offset, (centred * inverse, inverse)


def _norm_back(back: Any, scale: Any, kept: Any) -> tuple[Any, list[Any]]:
    normal, inverse = kept
    inner = back * scale
    means = [inner.mean(axis=-1, keepdims=True), (inner * normal).mean(axis=-1, keepdims=True)]
    before = tuple(range(back.ndim - 1))
    grads = [(back * normal).sum(axis=before), back.sum(axis=before)]
    return inverse * (inner - means[0] - normal * means[1]), grads


def _flat(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1])


def forward(xp: Any, weights: list[Any], x: Any, heads: int) -> tuple[Any, tuple[Any, ...]]:
    """The block, and what its gradients need."""
    scale, offset, kernel, mixer, scale2, offset2, up, up_bias, down, down_bias = weights
    _, length, width = x.shape
    normal, kept = _norm(xp, x, scale, offset)
    three = (normal @ kernel).reshape(-1, length, 3, heads, width // heads)
    q, k, v = three.transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) * (width / heads) ** -0.5
    scores = xp.where(xp.tri(length, dtype=bool), scores, -1e9)
    exponentials = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=-1, keepdims=True)
    mixed = (shares @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    y = x + mixed @ mixer
    normal2, kept2 = _norm(xp, y, scale2, offset2)
    inner = normal2 @ up + up_bias
    tanh = xp.tanh(_GELU * (inner + _CUBE * inner**3))
    gelu = 0.5 * inner * (1 + tanh)
    needed = normal, kept, q, k, v, shares, mixed, normal2, kept2, inner, tanh, gelu
    return y + gelu @ down + down_bias, needed


def gradients(
    xp: Any, weights: list[Any], back: Any, heads: int, needed: tuple[Any, ...]
) -> list[Any]:
    """The gradients of the weights; `back` is that of the block's answer."""
    scale, _, _, mixer, scale2, _, up, _, down, _ = weights
    normal, kept, q, k, v, shares, mixed, normal2, kept2, inner, tanh, gelu = needed
    _, length, width = back.shape
    down_grads = [_flat(gelu).T @ _flat(back), _flat(back).sum(axis=0)]
    slope = 0.5 * inner * (1 - tanh * tanh) * _GELU * (1 + 3 * _CUBE * inner**2)
    inside = (back @ down.T) * (0.5 * (1 + tanh) + slope)
    up_grads = [_flat(normal2).T @ _flat(inside), _flat(inside).sum(axis=0)]
    lower, norm_grads2 = _norm_back(inside @ up.T, scale2, kept2)
    back = back + lower
    mixer_grad = _flat(mixed).T @ _flat(back)
    heads_back = (back @ mixer.T).reshape(-1, length, heads, width // heads).transpose(0, 2, 1, 3)
    v_back = shares.swapaxes(-1, -2) @ heads_back
    inner_back = heads_back @ v.swapaxes(-1, -2)
    inner_back = shares * (inner_back - (inner_back * shares).sum(axis=-1, keepdims=True))
    inner_back = inner_back * (width / heads) ** -0.5
    three = inner_back @ k, inner_back.swapaxes(-1, -2) @ q, v_back
    parts = [part.transpose(0, 2, 1, 3).reshape(-1, width) for part in three]
    kernel_grads = [_flat(normal).T @ part for part in parts]
    kernel = weights[2]
    through = sum(part @ kernel[:, i * width : (i + 1) * width].T for i, part in enumerate(parts))
    _, norm_grads = _norm_back(through.reshape(back.shape), scale, kept)
    kernel_grad = xp.concatenate(kernel_grads, axis=1)
    return [*norm_grads, kernel_grad, mixer_grad, *norm_grads2, *up_grads, *down_grads]


class Block(Work):
    """Forward, in bfloat16."""

    precision = "bfloat16"

    def __init__(self, batch: int, length: int, width: int, heads: int) -> None:
        self.name = f"transformer block {batch} x {length}, d {width}, bfloat16, forward"
        self._heads = heads
        value, matrices = dense.block(batch, length, width)
        self.parameters = to_bfloat16(dense.block_weights(width, matrices))
        self.inputs = [(array,) for array in to_bfloat16([value, value[::-1].copy()])]
        tokens = batch * length
        self.flop = 24.0 * tokens * width**2 + 4.0 * tokens * length * width
        self.moved = 2.0 * (2 * value.size + sum(array.size for array in self.parameters))
        self.depth = 6  # a norm and projection, attention, its projection, a norm, two products
        self.every = max(1, batch - 1)

    def by_hand(self, xp: Any, weights: list[Any], x: Any) -> Any:
        return forward(xp, weights, x, self._heads)[0]

    def in_tfsession(self, tf: Any, x: Any) -> Any:
        return dense.block_of(tf, self.variables(tf), x, self._heads)

    def in_torch(self, torch: Any, weights: list[Any], x: Any) -> Any:
        return in_torch.block(torch, weights, x, self._heads)

    def in_jax(self, jax: Any, weights: list[Any], x: Any) -> Any:
        return in_jax.block(jax, weights, x, self._heads)


class BlockTraining(Work):
    """A step of Adam towards the sequence backwards."""

    trains = True
    variants = (RESIDENT, FED)

    def __init__(self, batch: int, length: int, width: int, heads: int) -> None:
        self.name = f"transformer block {batch} x {length}, d {width}, Adam step"
        self._heads = heads
        value, matrices = dense.block(batch, length, width)
        self.parameters = dense.block_weights(width, matrices)
        self.inputs = [(value,), (value[:, :, ::-1].copy(),)]
        tokens, numbers = batch * length, sum(array.size for array in self.parameters)
        self.flop = 3 * (24.0 * tokens * width**2 + 4.0 * tokens * length * width)
        self.moved = 28.0 * numbers + value.nbytes
        self.depth = 14

    def by_hand(self, xp: Any, weights: list[Any], x: Any) -> Any:
        y, needed = forward(xp, weights, x, self._heads)
        difference = y - x[:, ::-1]
        back = difference * (2 / difference.size)
        grads = gradients(xp, weights, back, self._heads, needed)
        return (difference * difference).mean(), grads

    def in_tfsession(self, tf: Any, x: Any) -> Any:
        y = dense.block_of(tf, self.variables(tf), x, self._heads)
        return tf.reduce_mean(tf.square(y - tf.reverse(x, [1])))

    def in_torch(self, torch: Any, weights: list[Any], x: Any) -> Any:
        return (in_torch.block(torch, weights, x, self._heads) - x.flip(1)).square().mean()

    def in_jax(self, jax: Any, weights: list[Any], x: Any) -> Any:
        return jax.numpy.mean((in_jax.block(jax, weights, x, self._heads) - x[:, ::-1]) ** 2)
