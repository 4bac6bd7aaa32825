"""Ragged tensors made rectangular: `RaggedTensorToTensor`, as TensorFlow 2's graphs hold it."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.operation import Operation


def _shape(op: Operation) -> list[Shape]:
    """What is asked for, where that is known; further dimensions are those of the values."""
    asked, values = constant_value(op.inputs[0]), op.inputs[1]._shape
    kinds = op.attrs["row_partition_types"]
    ragged = len(kinds) - (b"FIRST_DIM_SIZE" in kinds)
    if asked is None or asked.ndim == 0:
        return [None if values is None else (None,) * (ragged + 1) + tuple(values[1:])]
    dims = [None if size < 0 else int(size) for size in asked.tolist()]
    if values is not None:
        if len(dims) != ragged + len(values):
            raise ValueError(f"Shape has {len(dims)} dimensions, not {ragged + len(values)}")
        inner = zip(dims[ragged + 1 :], values[1:], strict=True)
        dims[ragged + 1 :] = [own if size is None else size for size, own in inner]
    return [tuple(dims)]


define_op(
    "RaggedTensorToTensor",
    inputs=[
        *("shape: Tshape", "values: T", "default_value: T"),
        "row_partition_tensors: num_row_partition_tensors * Tindex",
    ],
    outputs=["result: T"],
    attrs=[
        *("T: type", "Tindex: {int64, int32}", "Tshape: {int64, int32}"),
        *("num_row_partition_tensors: int >= 1", "row_partition_types: list(string)"),
    ],
    shape=_shape,
)
