"""Rows and columns of a saved matrix, moved as two vocabularies say: what `warm_start` reads by."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank


def _remapping_shape(op: Operation) -> list[Shape]:
    for tensor in op.inputs:
        with_rank(tensor._shape, 0)
    return [(op.attrs["num_new_vocab"],), ()]


def _matrix_shape(op: Operation) -> list[Shape]:
    path, name, rows, columns, _ = op.inputs
    with_rank(path._shape, 0)
    with_rank(name._shape, 0)
    merge(rows._shape, (op.attrs["num_rows"],))
    with_rank(columns._shape, 1)
    return [(op.attrs["num_rows"], op.attrs["num_cols"])]


define_op(
    "GenerateVocabRemapping",
    inputs=["new_vocab_file: string", "old_vocab_file: string"],
    outputs=["remapping: int64", "num_present: int32"],
    attrs=[
        *("new_vocab_offset: int >= 0", "num_new_vocab: int >= 0"),
        "old_vocab_size: int >= -1 = -1",
    ],
    shape=_remapping_shape,
)
define_op(
    "LoadAndRemapMatrix",
    inputs=[
        *("ckpt_path: string", "old_tensor_name: string", "row_remapping: int64"),
        *("col_remapping: int64", "initializing_values: float"),
    ],
    outputs=["output_matrix: float"],
    attrs=["num_rows: int >= 0", "num_cols: int >= 1", "max_rows_in_memory: int = -1"],
    shape=_matrix_shape,
    stateful=True,
)
