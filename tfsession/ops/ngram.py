"""Runs of neighbouring texts, joined: what `StringNGrams` makes of each row of a ragged tensor."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank


def _shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 1)
    return [(None,), with_rank(op.inputs[1]._shape, 1)]


define_op(
    "StringNGrams",
    inputs=["data: string", "data_splits: Tsplits"],
    outputs=["ngrams: string", "ngrams_splits: Tsplits"],
    attrs=[
        *("separator: string", "ngram_widths: list(int) >= 0", "left_pad: string"),
        *("right_pad: string", "pad_width: int", "preserve_short_sequences: bool"),
        "Tsplits: {int32, int64} = DT_INT64",
    ],
    shape=_shape,
)
