"""Operations on rows of different lengths, as TensorFlow 2's graphs hold them."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least, with_rank_at_most


def _range_shape(op: Operation) -> list[Shape]:
    rows: int | None = None
    for tensor in op.inputs:
        shape = with_rank_at_most(tensor._shape, 1)
        if shape:
            rows = merge_dims(rows, shape[0])
    known = all(tensor._shape is not None for tensor in op.inputs)
    if known and all(tensor._shape == () for tensor in op.inputs):
        rows = 1
    return [(None if rows is None else rows + 1,), (None,)]


def _rows_of(op: Operation, count: int) -> Shape:
    """The shape of the flat values, which follow so many splits."""
    for tensor in op.inputs[:count]:
        with_rank(tensor._shape, 1)
    return with_rank_at_least(op.inputs[count]._shape, 1)


def _gather_shape(op: Operation) -> list[Shape]:
    values = _rows_of(op, op.attrs["PARAMS_RAGGED_RANK"])
    flat: Shape = None if values is None else (None, *values[1:])
    return [*[(None,)] * op.attrs["OUTPUT_RAGGED_RANK"], flat]


def _sparse_shape(op: Operation) -> list[Shape]:
    count = op.attrs["RAGGED_RANK"]
    values = _rows_of(op, count)
    rank = None if values is None else count + len(values)
    size: int | None = 1
    for dim in values or (None,):
        size = None if size is None or dim is None else size * dim
    return [(size, rank), (size,), (rank,)]


_SPLITS = "Tsplits: {int32, int64} = DT_INT64"
define_op(
    "RaggedRange",
    inputs=["starts: T", "limits: T", "deltas: T"],
    outputs=["rt_nested_splits: Tsplits", "rt_dense_values: T"],
    attrs=["T: {bfloat16, float, double, int32, int64} = DT_INT32", _SPLITS],
    shape=_range_shape,
)
define_op(
    "RaggedGather",
    inputs=[
        *("params_nested_splits: PARAMS_RAGGED_RANK * Tsplits", "params_dense_values: Tvalues"),
        "indices: Tindices",
    ],
    outputs=[
        "output_nested_splits: OUTPUT_RAGGED_RANK * Tsplits",
        "output_dense_values: Tvalues",
    ],
    attrs=[
        *("Tvalues: type", "Tindices: {int32, int64}", _SPLITS),
        *("PARAMS_RAGGED_RANK: int >= 1", "OUTPUT_RAGGED_RANK: int >= 0"),
    ],
    shape=_gather_shape,
)
define_op(
    "RaggedTensorToSparse",
    inputs=["rt_nested_splits: RAGGED_RANK * Tsplits", "rt_dense_values: T"],
    outputs=["sparse_indices: int64", "sparse_values: T", "sparse_dense_shape: int64"],
    attrs=["RAGGED_RANK: int >= 1", "T: type", _SPLITS],
    shape=_sparse_shape,
)
