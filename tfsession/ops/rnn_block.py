"""Recurrent cells as one operation: `BlockLSTM` for all steps, `LSTMBlockCell`, `GRUBlockCell`.

Graphs hold them whose programs used the block cells of `tf.contrib.rnn` or `lstm_ops`.
"""

from __future__ import annotations

from typing import Final

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank

_FLOATS: Final = "T: {half, float}"
_PEEPHOLE: Final = "use_peephole: bool = false"
_WEIGHTS: Final = ("w: T", "wci: T", "wcf: T", "wco: T", "b: T")
_GATES: Final = ("i: T", "cs: T", "f: T", "o: T", "ci: T", "co: T", "h: T")


def _dim(shape: Shape, rank: int, index: int) -> int | None:
    known = with_rank(shape, rank)
    assert known is not None
    return known[index]


def _cell_shape(op: Operation) -> list[Shape]:
    x, cs = (op.inputs[i]._shape for i in (0, 1))
    return [(_dim(x, 2, 0), _dim(cs, 2, 1))] * 7


def _steps_shape(op: Operation) -> list[Shape]:
    x, bias = op.inputs[1]._shape, _dim(op.inputs[8]._shape, 1, 0)
    if bias is not None and bias % 4:
        raise ValueError(f"Dimension size must be evenly divisible by 4 but is {bias}")
    size = None if bias is None else bias // 4
    return [(_dim(x, 3, 0), _dim(x, 3, 1), size)] * 7


def _steps_back_shape(op: Operation) -> list[Shape]:
    return [tensor._shape for tensor in op.inputs[1:9]]


def _gru_shape(op: Operation) -> list[Shape]:
    x, h = (op.inputs[i]._shape for i in (0, 1))
    batch = merge_dims(_dim(x, 2, 0), _dim(h, 2, 0))
    return [(batch, _dim(h, 2, 1))] * 4


define_op(
    "LSTMBlockCell",
    inputs=["x: T", "cs_prev: T", "h_prev: T", *_WEIGHTS],
    outputs=_GATES,
    attrs=["forget_bias: float = 1.0", "cell_clip: float = 3.0", _PEEPHOLE, _FLOATS],
    shape=_cell_shape,
)
_ALL: Final = ("seq_len_max: int64", "x: T", "cs_prev: T", "h_prev: T", *_WEIGHTS)
for _version, _attrs in (
    ("", ["forget_bias: float = 1.0", "cell_clip: float = 3.0"]),
    ("V2", ["cell_clip: float = 0.0"]),
):
    define_op(
        f"BlockLSTM{_version}",
        inputs=_ALL,
        outputs=_GATES,
        attrs=[*_attrs, _PEEPHOLE, _FLOATS],
        shape=_steps_shape,
    )
    define_op(
        f"BlockLSTMGrad{_version}",
        inputs=[*_ALL, *_GATES, "cs_grad: T", "h_grad: T"],
        outputs=[
            *("x_grad: T", "cs_prev_grad: T", "h_prev_grad: T", "w_grad: T", "wci_grad: T"),
            *("wcf_grad: T", "wco_grad: T", "b_grad: T"),
        ],
        attrs=["use_peephole: bool", _FLOATS],
        shape=_steps_back_shape,
    )
define_op(
    "GRUBlockCell",
    inputs=["x: T", "h_prev: T", "w_ru: T", "w_c: T", "b_ru: T", "b_c: T"],
    outputs=["r: T", "u: T", "c: T", "h: T"],
    attrs=["T: {float}"],
    shape=_gru_shape,
)
