"""Gradients of recurrent cells: only those of the states and outputs go further, not of gates."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.constant import zeros_like
from tfsession.ops.join import concat, split
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.shape import expand_dims, shape, squeeze

no_gradient("BlockLSTMGrad", "BlockLSTMGradV2")


def _steps_back(op: Operation, grads: Any) -> Any:
    of = [zeros_like(op.outputs[i]) if grads[i] is None else grads[i] for i in (1, 6)]
    attrs = {"use_peephole": op.attrs["use_peephole"]}
    name = op.type.replace("BlockLSTM", "BlockLSTMGrad")
    return None, *create_op(name, [*op.inputs, *op.outputs, *of], attrs)


@gradient("BlockLSTM")
def _block_lstm(op: Operation, *grads: Any) -> Any:
    return _steps_back(op, grads)


@gradient("BlockLSTMV2")
def _block_lstm_v2(op: Operation, *grads: Any) -> Any:
    return _steps_back(op, grads)


@gradient("LSTMBlockCell")
def _lstm_block_cell(op: Operation, *grads: Any) -> Any:
    """As BlockLSTM of one step."""
    of = [zeros_like(op.outputs[i]) if grads[i] is None else grads[i] for i in (1, 6)]
    x, *others = op.inputs
    given = [1, expand_dims(x, 0), *others, *[expand_dims(t, 0) for t in (*op.outputs, *of)]]
    found = create_op("BlockLSTMGrad", given, {"use_peephole": op.attrs["use_peephole"]})
    return squeeze(found[0], [0]), *found[1:]


@gradient("GRUBlockCell")
def _gru_block_cell(op: Operation, *grads: Any) -> Any:
    x, h_prev, w_ru, w_c, _, _ = op.inputs
    r, u, c, _ = op.outputs
    grad = grads[3]
    sizes = [shape(x)[1], shape(h_prev)[1]]
    to_c = grad * (1.0 - u) * (1.0 - c * c)
    x_by_c, h_by_c = split(matmul(to_c, w_c, transpose_b=True), sizes, 1)
    to_r = h_by_c * h_prev * r * (1.0 - r)
    to_both = concat([to_r, grad * (h_prev - c) * u * (1.0 - u)], 1)
    x_by_both, h_by_both = split(matmul(to_both, w_ru, transpose_b=True), sizes, 1)
    return (
        x_by_c + x_by_both,
        grad * u + h_by_c * r + h_by_both,
        matmul(concat([x, h_prev], 1), to_both, transpose_a=True),
        matmul(concat([x, h_prev * r], 1), to_c, transpose_a=True),
        reduce_sum(to_both, 0),
        reduce_sum(to_c, 0),
    )
