"""Recurrent cells as one operation (the formulas are those of core/kernels/rnn/lstm_ops.h)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.elementwise_loop import function


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _check(array: Any, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise _refuse(f"{name} must have shape {shape}, not {array.shape}")


def _sigmoid(xp: Any, x: Any) -> Any:
    one = x.dtype.type(1)
    return one / (one + function(xp, "exp", x.dtype)(-x))


class _Cell:
    """The weights of an LSTM, and one step of it.

    The gates lie side by side: input, new state, forget, output; in the second version the forget
    gate comes before the new state.
    """

    def __init__(
        self, xp: Any, weights: Sequence[Any], inputs: int, is_second: bool, use_peephole: bool
    ) -> None:
        self._xp = xp
        self.w, self.wci, self.wcf, self.wco, b = weights
        if b.ndim != 1 or b.size % 4 or not b.size:
            raise _refuse(f"b must be a vector of four parts, not {b.shape}")
        self.size = b.size // 4
        _check(self.w, (inputs + self.size, 4 * self.size), "w")
        if use_peephole:
            for vector, name in ((self.wci, "wci"), (self.wcf, "wcf"), (self.wco, "wco")):
                _check(vector, (self.size,), name)
        self._b = b
        self.use_peephole = use_peephole
        places = [slice(i * self.size, (i + 1) * self.size) for i in range(4)]
        self.input, self.new, self.forget, self.output = places
        if is_second:
            self.forget, self.new = self.new, self.forget

    def check_state(self, batch: int, *states: Any) -> None:
        for state, name in zip(states, ("cs_prev", "h_prev"), strict=True):
            _check(state, (batch, self.size), name)

    def step(self, x: Any, cs: Any, h: Any, forget_bias: float, cell_clip: float) -> Any:
        """`i, cs, f, o, ci, co, h` of one step."""
        xp, kind = self._xp, x.dtype.type
        gates = xp.matmul(xp.concatenate([x, h], 1), self.w) + self._b
        i, f, o = gates[:, self.input], gates[:, self.forget], gates[:, self.output]
        if self.use_peephole:
            i, f = i + cs * self.wci, f + cs * self.wcf
        i, f = _sigmoid(xp, i), _sigmoid(xp, f + kind(forget_bias))
        ci = function(xp, "tanh", gates.dtype)(gates[:, self.new])
        cs = i * ci + f * cs
        if cell_clip > 0:
            cs = xp.clip(cs, kind(-cell_clip), kind(cell_clip))
        if self.use_peephole:
            o = o + cs * self.wco
        o, co = _sigmoid(xp, o), function(xp, "tanh", cs.dtype)(cs)
        return i, cs, f, o, ci, co, o * co


@kernel("LSTMBlockCell")
def lstm_block_cell(
    xp: Any,
    x: Any,
    cs_prev: Any,
    h_prev: Any,
    w: Any,
    wci: Any,
    wcf: Any,
    wco: Any,
    b: Any,
    *,
    forget_bias: float,
    cell_clip: float,
    use_peephole: bool,
) -> Any:
    """One step."""
    if x.ndim != 2:
        raise _refuse(f"x must be a matrix, not {x.shape}")
    cell = _Cell(xp, (w, wci, wcf, wco, b), x.shape[1], False, use_peephole)
    cell.check_state(len(x), cs_prev, h_prev)
    return cell.step(x, cs_prev, h_prev, forget_bias, cell_clip)


def _all_steps(
    xp: Any, cell: _Cell, count: Any, x: Any, cs: Any, h: Any, forget_bias: float, clip: float
) -> Any:
    cell.check_state(x.shape[1], cs, h)
    last = _count(count, len(x))
    outputs = [xp.zeros((*x.shape[:2], cell.size), x.dtype) for _ in range(7)]
    for t in range(last):
        found = cell.step(x[t], cs, h, forget_bias, clip)
        for output, value in zip(outputs, found, strict=True):
            output[t] = value
        cs, h = found[1], found[6]
    return tuple(outputs)


def _count(seq_len_max: Any, steps: int) -> int:
    if seq_len_max.size != 1 or not 0 <= int(seq_len_max) <= steps:
        raise _refuse(f"seq_len_max must be a scalar in [0, {steps}], not {seq_len_max}")
    return int(seq_len_max)


def _check_steps(x: Any) -> None:
    if x.ndim != 3:
        raise _refuse(f"x must be of rank 3, not of shape {x.shape}")


@kernel("BlockLSTM", host=["seq_len_max"])
def block_lstm(
    xp: Any,
    seq_len_max: Any,
    x: Any,
    cs_prev: Any,
    h_prev: Any,
    w: Any,
    wci: Any,
    wcf: Any,
    wco: Any,
    b: Any,
    *,
    forget_bias: float,
    cell_clip: float,
    use_peephole: bool,
) -> Any:
    """All steps up to `seq_len_max`; what is behind is zero."""
    _check_steps(x)
    cell = _Cell(xp, (w, wci, wcf, wco, b), x.shape[2], False, use_peephole)
    return _all_steps(xp, cell, seq_len_max, x, cs_prev, h_prev, forget_bias, cell_clip)


@kernel("BlockLSTMV2", host=["seq_len_max"])
def block_lstm_v2(
    xp: Any,
    seq_len_max: Any,
    x: Any,
    cs_prev: Any,
    h_prev: Any,
    w: Any,
    wci: Any,
    wcf: Any,
    wco: Any,
    b: Any,
    *,
    cell_clip: float,
    use_peephole: bool,
) -> Any:
    """As BlockLSTM, with the gates in another order and nothing added to the forget gate."""
    _check_steps(x)
    cell = _Cell(xp, (w, wci, wcf, wco, b), x.shape[2], True, use_peephole)
    return _all_steps(xp, cell, seq_len_max, x, cs_prev, h_prev, 0.0, cell_clip)


def _back(
    xp: Any, cell: _Cell, count: Any, x: Any, cs_first: Any, h_first: Any, gates: Sequence[Any],
    cs_grad: Any, h_grad: Any,
) -> Any:  # fmt: skip
    """The gradients of `x, cs_prev, h_prev, w, wci, wcf, wco, b`; clipping is passed over."""
    _, cs, _, _, _, _, h = gates
    for array in (*gates, cs_grad, h_grad):
        _check(array, (*x.shape[:2], cell.size), "what the steps gave, or a gradient of it,")
    cell.check_state(x.shape[1], cs_first, h_first)
    x_grad, kind = xp.zeros_like(x), x.dtype.type
    w_grad, b_grad = xp.zeros_like(cell.w), xp.zeros(4 * cell.size, x.dtype)
    peeps = [xp.zeros_like(vector) for vector in (cell.wci, cell.wcf, cell.wco)]
    to_cs, to_h = xp.zeros_like(cs_first), xp.zeros_like(h_first)
    one, whole = kind(1), xp.empty((x.shape[1], 4 * cell.size), x.dtype)
    for t in reversed(range(_count(count, len(x)))):
        cs_before, h_before = (cs[t - 1], h[t - 1]) if t else (cs_first, h_first)
        i, _, f, o, ci, co, _ = (gate[t] for gate in gates)
        to_h = to_h + h_grad[t]
        to_o = o * (one - o) * to_h * co
        to_cs = to_cs + cs_grad[t] + (one - co * co) * to_h * o
        if cell.use_peephole:
            to_cs = to_cs + to_o * cell.wco
        to_f, to_i = f * (one - f) * to_cs * cs_before, i * (one - i) * to_cs * ci
        whole[:, cell.input], whole[:, cell.forget], whole[:, cell.output] = to_i, to_f, to_o
        whole[:, cell.new] = (one - ci * ci) * to_cs * i
        to_cs = to_cs * f
        if cell.use_peephole:
            to_cs = to_cs + to_i * cell.wci + to_f * cell.wcf
            for vector, grad, state in zip(
                peeps, (to_i, to_f, to_o), (cs_before, cs_before, cs[t]), strict=True
            ):
                vector += (grad * state).sum(axis=0)
        to_both = xp.matmul(whole, cell.w.T)
        x_grad[t], to_h = to_both[:, : x.shape[2]], to_both[:, x.shape[2] :]
        w_grad += xp.matmul(xp.concatenate([x[t], h_before], 1).T, whole)
        b_grad += whole.sum(axis=0)
    return (x_grad, to_cs, to_h, w_grad, *peeps, b_grad)


@kernel("BlockLSTMGrad", host=["seq_len_max"])
def block_lstm_grad(
    xp: Any, seq_len_max: Any, x: Any, cs_prev: Any, h_prev: Any, *given: Any, use_peephole: bool
) -> Any:
    """The gradients of all inputs."""
    _check_steps(x)
    cell = _Cell(xp, given[:5], x.shape[2], False, use_peephole)
    return _back(xp, cell, seq_len_max, x, cs_prev, h_prev, given[5:12], *given[12:])


@kernel("BlockLSTMGradV2", host=["seq_len_max"])
def block_lstm_grad_v2(
    xp: Any, seq_len_max: Any, x: Any, cs_prev: Any, h_prev: Any, *given: Any, use_peephole: bool
) -> Any:
    """As above, with the gates in the other order."""
    _check_steps(x)
    cell = _Cell(xp, given[:5], x.shape[2], True, use_peephole)
    return _back(xp, cell, seq_len_max, x, cs_prev, h_prev, given[5:12], *given[12:])


@kernel("GRUBlockCell")
def gru_block_cell(xp: Any, x: Any, h_prev: Any, w_ru: Any, w_c: Any, b_ru: Any, b_c: Any) -> Any:
    """One step: what is reset, what is kept, the new state, and the state."""
    if x.ndim != 2 or h_prev.ndim != 2:
        raise _refuse(f"x and h_prev must be matrices, not {x.shape} and {h_prev.shape}")
    size = h_prev.shape[1]
    _check(h_prev, (len(x), size), "h_prev")
    rows = x.shape[1] + size
    for array, shape, name in (
        (w_ru, (rows, 2 * size), "w_ru"), (w_c, (rows, size), "w_c"),
        (b_ru, (2 * size,), "b_ru"), (b_c, (size,), "b_c"),
    ):  # fmt: skip
        _check(array, shape, name)
    both = _sigmoid(xp, xp.matmul(xp.concatenate([x, h_prev], 1), w_ru) + b_ru)
    r, u = both[:, :size], both[:, size:]
    new = xp.matmul(xp.concatenate([x, h_prev * r], 1), w_c) + b_c
    c = function(xp, "tanh", new.dtype)(new)
    return r.copy(), u.copy(), c, u * h_prev + (1 - u) * c
