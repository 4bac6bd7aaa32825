"""Sums and means of rows that are chosen by index and belong together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor

_FLOATS = "{bfloat16, half, float, double}"
_INDEXED = ["Tidx: {int32, int64} = DT_INT32", "Tsegmentids: {int32, int64} = DT_INT32"]


def _chosen_rows(op: Operation) -> Shape:
    """The shape of one row; indices and segment ids are vectors of one length."""
    data = with_rank_at_least(op.inputs[0]._shape, 1)
    indices, ids = with_rank(op.inputs[1]._shape, 1), with_rank(op.inputs[2]._shape, 1)
    assert indices is not None
    assert ids is not None
    merge_dims(indices[0], ids[0])
    return None if data is None else data[1:]


def _reduced_shape(op: Operation) -> list[Shape]:
    row, count = _chosen_rows(op), None
    if len(op.inputs) == 4:
        with_rank(op.inputs[3]._shape, 0)
        count = constant_value(op.inputs[3])
        if count is not None and count < 0:
            raise ValueError("Cannot specify a negative value for num_segments")
    return [None if row is None else (None if count is None else int(count), *row)]


def _spread_shape(op: Operation) -> list[Shape]:
    row = _chosen_rows(op)
    with_rank(op.inputs[3]._shape, 0)
    count = constant_value(op.inputs[3])
    return [None if row is None else (None if count is None else int(count), *row)]


for _kind, _types in (("Sum", "realnumbertype"), ("Mean", _FLOATS), ("SqrtN", _FLOATS)):
    _inputs = ["data: T", "indices: Tidx", "segment_ids: Tsegmentids"]
    _attrs = [f"T: {_types}", *_INDEXED, "sparse_gradient: bool = false"]
    define_op(f"SparseSegment{_kind}", _inputs, ["output: T"], _attrs, _reduced_shape)
    define_op(
        f"SparseSegment{_kind}WithNumSegments",
        inputs=[*_inputs, "num_segments: Tnumsegments"],
        outputs=["output: T"],
        attrs=[*_attrs[:2], "Tnumsegments: {int32, int64} = DT_INT32", *_attrs[2:]],
        shape=_reduced_shape,
    )
    define_op(
        f"SparseSegment{_kind}Grad",
        inputs=["grad: T", "indices: Tidx", "segment_ids: Tsegmentids", "output_dim0: int32"],
        outputs=["output: T"],
        attrs=[f"T: {_FLOATS}", *_INDEXED],
        shape=_spread_shape,
    )
    define_op(
        f"SparseSegment{_kind}GradV2",
        inputs=["grad: T", "indices: Tidx", "segment_ids: Tsegmentids", "dense_output_dim0: int32"],
        outputs=["output: T", "sorted_unique_indices: Tidx"],
        attrs=[f"T: {_FLOATS}", *_INDEXED],
        shape=lambda op: [None if (row := _chosen_rows(op)) is None else (None, *row), (None,)],
    )


def _builder(kind: str, what: str, *names: str) -> Callable[..., Tensor]:
    @export(*names)
    def reduce(
        data: Any,
        indices: Any,
        segment_ids: Any,
        name: str | None = None,
        num_segments: Any = None,
        sparse_gradient: bool = False,
    ) -> Tensor:
        inputs, op_type = [data, indices, segment_ids], f"SparseSegment{kind}"
        if num_segments is not None:
            inputs, op_type = [*inputs, num_segments], f"{op_type}WithNumSegments"
        result: Tensor = create_op(op_type, inputs, {"sparse_gradient": sparse_gradient}, name)
        return result

    reduce.__name__ = reduce.__qualname__ = names[0]
    reduce.__doc__ = f"""{what} of the chosen rows of each segment.

    Args:
        data: tensor of rank 1 at least.
        indices: integer vector, the rows of `data` that are chosen.
        segment_ids: the segment of each chosen row, in ascending order.
        name: name of the operation.
        num_segments: scalar, how many segments there are; else one more than the greatest id.
        sparse_gradient: have a gradient of IndexedSlices, for tables of many rows.

    Returns:
        A row for each segment, zeros where none was chosen.

    Raises:
        InvalidArgumentError: at run time, where ids are not ascending, or an index is out of range.
    """
    return reduce


sparse_segment_sum = _builder("Sum", "The sum", "sparse_segment_sum", "sparse.segment_sum")
sparse_segment_mean = _builder("Mean", "The mean", "sparse_segment_mean", "sparse.segment_mean")
sparse_segment_sqrt_n = _builder(
    "SqrtN",
    "The sum, divided by the square root of their number,",
    "sparse_segment_sqrt_n",
    "sparse.segment_sqrt_n",
)
