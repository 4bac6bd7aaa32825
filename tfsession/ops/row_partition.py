"""Row partitions: how the values of a ragged tensor are divided into rows, in all its notations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype, int32, int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.constant_value import get_static_value
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_equal, assert_less_equal, assert_non_negative
from tfsession.ops.constant import constant, ones_like, with_dependencies, zeros
from tfsession.ops.cumulative import cumsum
from tfsession.ops.elementwise import maximum
from tfsession.ops.join import concat
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import shape


@dataclass(frozen=True, eq=False, slots=True)
class RowPartition:
    """Row `i` has the values from `row_splits[i]` to `row_splits[i + 1]`.

    The other notations are there where the partition was made of them.
    """

    row_splits: Tensor
    lengths: Tensor | None = None
    rowids: Tensor | None = None
    count: Tensor | None = None
    uniform_length: Tensor | None = None

    def __post_init__(self) -> None:
        self.row_splits.set_shape([None])

    @property
    def dtype(self) -> DType:
        """int32 or int64."""
        return self.row_splits.dtype

    def row_lengths(self) -> Tensor:
        """The length of each row."""
        if self.lengths is not None:
            return self.lengths
        return self.row_splits[1:] - self.row_splits[:-1]

    def value_rowids(self) -> Tensor:
        """The row of each value."""
        return row_splits_to_segment_ids(self.row_splits) if self.rowids is None else self.rowids

    def nrows(self) -> Tensor:
        """The number of rows, a scalar."""
        if self.count is not None:
            return self.count
        known = _static_size(self.row_splits)
        if known is None:
            return shape(self.row_splits, out_type=self.dtype)[0] - 1
        return constant(known - 1, self.dtype)

    @property
    def static_nrows(self) -> int | None:
        """The number of rows, as far as the graph tells it."""
        splits = _static_size(self.row_splits)
        if splits is not None:
            return splits - 1
        if self.lengths is not None and (size := _static_size(self.lengths)) is not None:
            return size
        return None if self.count is None else _static_value(self.count)

    @property
    def static_shape(self) -> TensorShape:
        """The number of rows and the length of all of them, as far as the graph tells them."""
        length = None if self.uniform_length is None else _static_value(self.uniform_length)
        return TensorShape([self.static_nrows, length])

    def with_row_splits(self, row_splits: Tensor) -> RowPartition:
        """The same partition with other tensors for its splits."""
        return RowPartition(row_splits, self.lengths, self.rowids, self.count, self.uniform_length)

    def with_dtype(self, dtype: DType) -> RowPartition:
        """The partition in int32 or int64."""
        parts = (self.row_splits, self.lengths, self.rowids, self.count, self.uniform_length)
        return RowPartition(*[None if part is None else cast(part, dtype) for part in parts])


# --- from each notation ---------------------------------------------------------------------------


def from_row_splits(row_splits: Any, validate: bool, dtype_hint: DType | None) -> RowPartition:
    """The partition of given splits.

    Raises:
        ValueError: they are no vector of int32 or int64, or there is none.
    """
    if isinstance(row_splits, list | tuple) and not row_splits:
        raise ValueError("row_splits tensor may not be empty.")
    graph = graph_of([row_splits])
    with graph.as_default(), graph.name_scope("RowPartitionFromRowSplits"):
        splits = as_row_partition_tensor(row_splits, "row_splits", dtype_hint)
        splits.shape.assert_has_rank(1)
        if validate:
            message = "Arguments to from_row_splits do not form a valid RaggedTensor:"
            checks = [
                _is_zero(splits[0], f"{message}zero"),
                _is_increasing(splits, f"{message}monotonic"),
            ]
            splits = with_dependencies(checks, splits)
        return RowPartition(splits)


def from_row_lengths(row_lengths: Any, validate: bool, dtype_hint: DType | None) -> RowPartition:
    """The partition into rows of given lengths; errors as of `from_row_splits`."""
    graph = graph_of([row_lengths])
    with graph.as_default(), graph.name_scope("RowPartitionFromRowLengths"):
        lengths = as_row_partition_tensor(row_lengths, "row_lengths", dtype_hint)
        lengths.shape.assert_has_rank(1)
        if validate:
            message = "Arguments to from_row_lengths do not form a valid RowPartition"
            lengths = with_dependencies([assert_non_negative(lengths, message=message)], lengths)
        return RowPartition(_splits_of_lengths(lengths), lengths)


def from_row_starts(
    row_starts: Any, nvals: Tensor, validate: bool, dtype_hint: DType | None
) -> RowPartition:
    """The partition into rows that begin at given places; errors as of `from_row_splits`."""
    graph = graph_of([row_starts, nvals])
    with graph.as_default(), graph.name_scope("RowPartitionFromRowStarts"):
        starts = as_row_partition_tensor(row_starts, "row_starts", dtype_hint)
        starts.shape.assert_has_rank(1)
        nvals = cast(nvals, starts.dtype)
        if validate:
            message = "Arguments to from_row_starts do not form a valid RaggedTensor"
            checks = [
                _is_zero(starts[:1], message),
                _is_increasing(starts, message),
                assert_less_equal(starts[-1:], nvals, message=message),
            ]
            starts = with_dependencies(checks, starts)
        return RowPartition(concat([starts, [nvals]], 0))


def from_row_limits(row_limits: Any, validate: bool, dtype_hint: DType | None) -> RowPartition:
    """The partition into rows that end before given places; errors as of `from_row_splits`."""
    graph = graph_of([row_limits])
    with graph.as_default(), graph.name_scope("RowPartitionFromRowLimits"):
        limits = as_row_partition_tensor(row_limits, "row_limits", dtype_hint)
        limits.shape.assert_has_rank(1)
        if validate:
            message = "Arguments to from_row_limits do not form a valid RaggedTensor"
            checks = [
                assert_non_negative(limits[:1], message=message),
                _is_increasing(limits, message),
            ]
            limits = with_dependencies(checks, limits)
        return RowPartition(concat([zeros([1], limits.dtype), limits], 0))


def from_value_rowids(
    value_rowids: Any, nrows: Any, validate: bool, dtype_hint: DType | None
) -> RowPartition:
    """The partition in which value `i` is in row `value_rowids[i]`; of `nrows` rows, or as many
    as there must be. Errors as of `from_row_splits`.
    """
    graph = graph_of([value_rowids, nrows])
    with graph.as_default(), graph.name_scope("RowPartitionFromValueRowIds"):
        rowids = as_row_partition_tensor(value_rowids, "value_rowids", dtype_hint)
        rowids.shape.assert_has_rank(1)
        known = get_static_value(rowids)
        least = None if known is None else int(known[-1]) + 1 if known.size else 0
        if nrows is not None:
            count = convert_to_tensor(nrows, rowids.dtype, "nrows")
            _check_count(_static_value(count), least)
        elif least is not None:
            count = convert_to_tensor(least, rowids.dtype, "nrows")
        else:
            count = concat([rowids[-1:], [-1]], 0)[0] + 1
        count.shape.assert_has_rank(0)
        if validate:
            message = "Arguments to from_value_rowids do not form a valid RowPartition"
            checks = [
                assert_non_negative(rowids[:1], message=message),
                _is_increasing(rowids, message),
                assert_less_equal(rowids[-1:], count - 1, message=message),
            ]
            rowids = with_dependencies(checks, rowids)
        lengths = unsorted_segment_sum(ones_like(rowids), rowids, count)
        lengths.set_shape([_static_value(count)])
        return RowPartition(_splits_of_lengths(lengths), lengths, rowids, count)


def _check_count(nrows: int | None, least: int | None) -> None:
    if nrows is not None and nrows < 0:
        raise ValueError(f"Expected nrows >= 0; got {nrows}")
    if nrows is not None and least is not None and nrows < least:
        raise ValueError(
            f"Expected nrows >= value_rowids[-1] + 1; got nrows={nrows}, "
            f"value_rowids[-1]={least - 1}"
        )


def from_uniform_row_length(
    uniform_row_length: Tensor, nvals: Tensor, nrows: Any, validate: bool
) -> RowPartition:
    """The partition into rows of one length; of `nrows` rows, or as many as `nvals` values give.

    Raises:
        ValueError: the length is negative, or the numbers contradict each other.
    """
    length = uniform_row_length
    graph = graph_of([length, nvals, nrows])
    with graph.as_default(), graph.name_scope("RowPartitionFromUniformRowLength"):
        length.shape.assert_has_rank(0)
        known_length = _static_value(length)
        if known_length is not None and known_length < 0:
            raise ValueError("uniform_row_length must be >= 0.")
        if nrows is not None:
            count = convert_to_tensor(nrows, length.dtype, "nrows")
        elif known_length == 0:
            count = constant(0, length.dtype)
        else:
            count = nvals // (maximum(length, 1) if known_length is None else known_length)
        known = (known_length, _static_value(count), _static_value(nvals))
        if known[0] is not None and known[1] is not None:
            bounds = [row * known[0] for row in range(known[1] + 1)]
            splits = constant(bounds, length.dtype)
        else:
            splits = range_(count + 1, dtype=length.dtype) * length
        if validate:
            checks = _uniform_checks(known, length, count, nvals)
            splits = with_dependencies(checks, splits)
        return RowPartition(splits, count=count, uniform_length=length)


def _uniform_checks(
    known: tuple[int | None, int | None, int | None], length: Tensor, count: Tensor, nvals: Tensor
) -> list[Operation]:
    known_length, known_count, known_nvals = known
    checks = []
    if known_length is None or known_count is None or known_nvals is None:
        data = ("uniform_row_length", length, "times nrows", count, "must equal nvals", nvals)
        checks.append(assert_equal(count * length, nvals, data))
    elif known_count * known_length != known_nvals:
        raise ValueError(
            f"uniform_row_length={known_length} times nrows={known_count} must equal "
            f"nvals={known_nvals}"
        )
    if known_length is None:
        checks.append(assert_non_negative(length, message="uniform_row_length must be >= 0"))
    return checks


# --- parts ----------------------------------------------------------------------------------------


def as_row_partition_tensor(value: Any, name: str, dtype_hint: DType | None) -> Tensor:
    """`value` as a tensor of int32 or int64: its own dtype, else the hint, else int64.

    Raises:
        ValueError: it is of another dtype.
    """
    is_int32 = isinstance(value, np.ndarray) and value.dtype == np.int32
    hint = None if is_int32 else dtype_hint or int64
    tensor = convert_to_tensor(value, name=name, dtype_hint=hint)
    if tensor.dtype not in (int32, int64):
        raise ValueError(f"{name} must have dtype int32 or int64")
    return tensor


def _static_size(vector: Tensor) -> int | None:
    return None if vector._shape is None else vector._shape[0]


def _static_value(scalar: Tensor) -> int | None:
    value = get_static_value(scalar)
    return None if value is None else int(value)


def _splits_of_lengths(lengths: Tensor) -> Tensor:
    return concat([[0], cumsum(lengths)], 0)


def _is_zero(tensor: Tensor, message: str) -> Operation:
    return assert_equal(tensor, constant(0, tensor.dtype), message=message)


def _is_increasing(vector: Tensor, message: str) -> Operation:
    return assert_non_negative(vector[1:] - vector[:-1], message=message)


# --- splits and segments --------------------------------------------------------------------------


@export("ragged.row_splits_to_segment_ids")
def row_splits_to_segment_ids(splits: Any, name: str | None = None, out_type: Any = None) -> Tensor:
    """The row of each value, from where the rows begin: `[0, 3, 3, 5]` gives `[0, 0, 0, 2, 2]`.

    Args:
        splits: a vector of int32 or int64 that begins with 0 and never falls.
        name: name scope of the operations.
        out_type: the dtype of the result, int32 or int64; that of `splits` when None.

    Raises:
        ValueError: `splits` is no vector of int32 or int64, or empty.
    """
    graph = graph_of([splits])
    with graph.as_default(), graph.name_scope(name or "RaggedSplitsToSegmentIds"):
        splits = convert_to_tensor(splits, name="splits", preferred_dtype=int64)
        if splits.dtype not in (int32, int64):
            raise ValueError("splits must have dtype int32 or int64")
        splits.shape.assert_has_rank(1)
        if _static_size(splits) == 0:
            raise ValueError("Invalid row_splits: []")
        # Each row but the first adds one from its first value on; rows past the end fall away.
        inner = splits[1:-1]
        begun = unsorted_segment_sum(ones_like(inner), inner, splits[-1] + 1)
        rowids = cumsum(begun)[:-1]
        return rowids if out_type is None else cast(rowids, out_type)


@export("ragged.segment_ids_to_row_splits")
def segment_ids_to_row_splits(
    segment_ids: Any, num_segments: Any = None, out_type: Any = None, name: str | None = None
) -> Tensor:
    """Where the rows begin, from the row of each value: `[0, 0, 0, 2, 2]` gives `[0, 3, 3, 5]`.

    Args:
        segment_ids: a vector of int32 or int64 that never falls.
        num_segments: the number of rows; as many as there must be when None.
        out_type: the dtype of the result, int32 or int64; that of the ids when None.
        name: name scope of the operations.

    Raises:
        ValueError: `segment_ids` is no vector of int32 or int64, or `num_segments` too small.
    """
    hint = num_segments.dtype if isinstance(num_segments, Tensor) else None
    graph = graph_of([segment_ids, num_segments])
    with graph.as_default(), graph.name_scope(name or "SegmentIdsToRaggedSplits"):
        splits = from_value_rowids(segment_ids, num_segments, False, hint).row_splits
        return splits if out_type is None else cast(splits, as_dtype(out_type))
