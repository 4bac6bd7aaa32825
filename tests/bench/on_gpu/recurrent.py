"""A recurrent network of LSTM cells, unrolled or as a loop: a step of Adam."""

from __future__ import annotations

from typing import Any

from works import in_jax, in_torch, loops

from on_gpu.work import FED, RESIDENT, Work


def _sigmoid(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))


class Lstm(Work):
    """The mean square of the last output, over inputs of 32 numbers."""

    trains = True
    variants = (RESIDENT, FED)

    def __init__(self, static: bool, steps: int, batch: int, units: int) -> None:
        kind = "unrolled" if static else "as a loop"
        self.name = f"LSTM {units}, {steps} steps {kind}, batch {batch}, Adam step"
        self._static, self._units = static, units
        self.parameters = loops.cell_arrays("LSTM", units)
        value = loops.sequences(steps, batch)
        self.inputs = [(value,), (value[:, :, ::-1].copy(),)]
        self.flop = 6.0 * steps * batch * self.parameters[0].size
        self.moved = 28.0 * sum(array.size for array in self.parameters) + value.nbytes
        self.depth = 2 * steps + 2

    def by_hand(self, xp: Any, weights: list[Any], x: Any) -> Any:
        matrix, bias = weights
        c = h = xp.zeros((len(x), self._units), x.dtype)
        kept = []
        for step in range(x.shape[1]):
            joined, before = xp.concatenate([x[:, step], h], axis=1), c
            i, j, f, o = xp.split(joined @ matrix + bias, 4, axis=1)
            i, f, o = _sigmoid(xp, i), _sigmoid(xp, f + 1), _sigmoid(xp, o)
            j = xp.tanh(j)
            c = f * before + i * j
            tanh = xp.tanh(c)
            h = o * tanh
            kept.append((joined, before, i, j, f, o, tanh))
        matrix_grad, bias_grad = xp.zeros_like(matrix), xp.zeros_like(bias)
        loss, h_back, c_back = (h * h).mean(), h * (2 / h.size), xp.zeros_like(c)
        for joined, before, i, j, f, o, tanh in reversed(kept):
            c_back = c_back + h_back * o * (1 - tanh * tanh)
            parts = [c_back * j * i * (1 - i), c_back * i * (1 - j * j)]
            parts += [c_back * before * f * (1 - f), h_back * tanh * o * (1 - o)]
            back = xp.concatenate(parts, axis=1)
            matrix_grad += joined.T @ back
            bias_grad += back.sum(axis=0)
            h_back = (back @ matrix.T)[:, 32:]
            c_back = c_back * f
        return loss, [matrix_grad, bias_grad]

    def in_tfsession(self, tf: Any, x: Any) -> Any:
        cell = tf.nn.rnn_cell.LSTMCell(self._units)
        if self._static:
            last = tf.nn.static_rnn(cell, tf.unstack(x, axis=1), dtype=tf.float32)[0][-1]
        else:
            last = tf.nn.dynamic_rnn(cell, x, dtype=tf.float32)[0][:, -1]
        return tf.reduce_mean(tf.square(last))

    def torch_model(self, torch: Any, device: str) -> tuple[Any, list[Any]]:
        layers = torch.nn
        make = layers.LSTMCell if self._static else layers.LSTM
        layer = make(32, self._units, **({} if self._static else {"batch_first": True}))
        layer = in_torch.lstm(torch, layer, self._units).to(device)

        def loss(x: Any) -> Any:
            if not self._static:
                return layer(x)[0][:, -1].square().mean()
            state = None
            for turn in x.unbind(1):
                state = layer(turn, state)
            return state[0].square().mean()

        return loss, [p for p in layer.parameters() if p.requires_grad]

    def in_jax(self, jax: Any, weights: list[Any], x: Any) -> Any:
        np_ = jax.numpy
        state = (np_.zeros((len(x), self._units)),) * 2
        if self._static:
            for step in range(x.shape[1]):
                state = in_jax.lstm(jax, weights, state, x[:, step])
        else:
            turn = in_jax.lstm
            state, _ = jax.lax.scan(
                lambda s, x: (turn(jax, weights, s, x), None), state, x.swapaxes(0, 1)
            )
        return np_.mean(state[1] ** 2)
