"""RaggedTensor: a tensor whose rows have different lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from tfsession.core.dtypes import DType, as_dtype, int32, int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.composite import register_composite_type
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops import row_partition
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_equal
from tfsession.ops.constant import constant, fill, with_dependencies
from tfsession.ops.elementwise import maximum
from tfsession.ops.gather import gather
from tfsession.ops.join import concat, stack
from tfsession.ops.ragged_tensor_value import RaggedTensorValue
from tfsession.ops.reduce import reduce_max, reduce_prod
from tfsession.ops.row_partition import RowPartition, as_row_partition_tensor
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of


@export("RaggedTensor")
class RaggedTensor:
    """A tensor whose rows have different lengths: row `i` is `values[splits[i]:splits[i + 1]]`.

    `values` may be ragged itself; then the rows have rows. Made by the class methods, such as
    `RaggedTensor.from_row_splits`, which differ in how they are told the rows. All of them take
    `validate`: False leaves out the checks that a step would make.
    """

    __slots__ = ("__weakref__", "_row_partition", "_values")

    def __init__(self, values: Any, row_partition: Any, internal: bool = False) -> None:
        if not internal:
            raise ValueError(
                "RaggedTensor constructor is private; please use one of the factory methods "
                "instead (e.g., RaggedTensor.from_row_lengths())"
            )
        values.shape.with_rank_at_least(1)
        self._values = values
        self._row_partition: RowPartition = row_partition

    # --- made of values and rows ------------------------------------------------------------------

    @classmethod
    def from_row_splits(
        cls, values: Any, row_splits: Any, name: str | None = None, validate: bool = True
    ) -> RaggedTensor:
        """Rows from where each begins and the last one ends.

        Args:
            values: a Tensor of rank 1 or more, a RaggedTensor, or what converts to one.
            row_splits: a vector of int32 or int64 that begins with 0 and never falls.
            name: name scope of the operations.
            validate: whether steps check the rows; they fail with InvalidArgumentError.

        Raises:
            TypeError: `validate` is no bool.
            ValueError: the rows are no such vector, or do not fit what is known of the values.
        """
        _check_validate(validate)
        with _scope(name, "RaggedFromRowSplits", [values, row_splits]):
            hint = _partition_dtype(values)
            rows = row_partition.from_row_splits(row_splits, validate, hint)
            return cls._from_row_partition(values, rows, validate)

    @classmethod
    def from_row_lengths(
        cls, values: Any, row_lengths: Any, name: str | None = None, validate: bool = True
    ) -> RaggedTensor:
        """Rows from the length of each; see `from_row_splits`."""
        _check_validate(validate)
        with _scope(name, "RaggedFromRowLengths", [values, row_lengths]):
            hint = _partition_dtype(values)
            rows = row_partition.from_row_lengths(row_lengths, validate, hint)
            return cls._from_row_partition(values, rows, validate)

    @classmethod
    def from_row_starts(
        cls, values: Any, row_starts: Any, name: str | None = None, validate: bool = True
    ) -> RaggedTensor:
        """Rows from where each begins; see `from_row_splits`."""
        _check_validate(validate)
        with _scope(name, "RaggedFromRowStarts", [values, row_starts]):
            values = _as_values(values)
            hint = _partition_dtype(values)
            nvals = _number_of_rows(values, int32)
            rows = row_partition.from_row_starts(row_starts, nvals, validate, hint)
            return cls._from_row_partition(values, rows, validate)

    @classmethod
    def from_row_limits(
        cls, values: Any, row_limits: Any, name: str | None = None, validate: bool = True
    ) -> RaggedTensor:
        """Rows from where each ends; see `from_row_splits`."""
        _check_validate(validate)
        with _scope(name, "RaggedFromRowLimits", [values, row_limits]):
            values = _as_values(values)
            hint = _partition_dtype(values)
            rows = row_partition.from_row_limits(row_limits, validate, hint)
            return cls._from_row_partition(values, rows, validate)

    @classmethod
    def from_value_rowids(
        cls,
        values: Any,
        value_rowids: Any,
        nrows: Any = None,
        name: str | None = None,
        validate: bool = True,
    ) -> RaggedTensor:
        """Rows from the row of each value; `nrows` allows empty ones at the end.

        See `from_row_splits`.
        """
        _check_validate(validate)
        with _scope(name, "RaggedFromValueRowIds", [values, value_rowids, nrows]):
            hint = _partition_dtype(values)
            rows = row_partition.from_value_rowids(value_rowids, nrows, validate, hint)
            return cls._from_row_partition(values, rows, validate)

    @classmethod
    def from_uniform_row_length(
        cls,
        values: Any,
        uniform_row_length: Any,
        nrows: Any = None,
        validate: bool = True,
        name: str | None = None,
    ) -> RaggedTensor:
        """Rows of one length; `nrows` is needed where the length is 0. See `from_row_splits`."""
        _check_validate(validate)
        with _scope(name, "RaggedFromUniformRowLength", [values, uniform_row_length, nrows]):
            values = _as_values(values)
            hint = _partition_dtype(values)
            length = as_row_partition_tensor(uniform_row_length, "UniformRowLength", hint)
            known = values.shape.dims
            if known is not None and known[0].value is not None:
                nvals = constant(known[0].value, length.dtype)
            else:
                nvals = _number_of_rows(values, length.dtype)
            rows = row_partition.from_uniform_row_length(length, nvals, nrows, validate)
            return cls._from_row_partition(values, rows, validate)

    @classmethod
    def from_nested_row_splits(
        cls,
        flat_values: Any,
        nested_row_splits: Sequence[Any],
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Several ragged dimensions from the row splits of each, outermost first.

        With none, the flat values themselves. See `from_row_splits`.
        """
        _check_nested(validate, "nested_row_splits", nested_row_splits)
        with _scope(name, "RaggedFromNestedRowSplits", [flat_values, *nested_row_splits]):
            for splits in reversed(nested_row_splits):
                flat_values = cls.from_row_splits(flat_values, splits, validate=validate)
            return flat_values

    @classmethod
    def from_nested_row_lengths(
        cls,
        flat_values: Any,
        nested_row_lengths: Sequence[Any],
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Several ragged dimensions from the row lengths of each; see `from_nested_row_splits`."""
        _check_nested(validate, "nested_row_lengths", nested_row_lengths)
        with _scope(name, "RaggedFromNestedRowlengths", [flat_values, *nested_row_lengths]):
            for lengths in reversed(nested_row_lengths):
                flat_values = cls.from_row_lengths(flat_values, lengths, validate=validate)
            return flat_values

    @classmethod
    def from_nested_value_rowids(
        cls,
        flat_values: Any,
        nested_value_rowids: Sequence[Any],
        nested_nrows: Sequence[Any] | None = None,
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Several ragged dimensions from the row of each value; see `from_nested_row_splits`."""
        _check_nested(validate, "nested_value_rowids", nested_value_rowids)
        counts = [None] * len(nested_value_rowids) if nested_nrows is None else nested_nrows
        _check_nested(validate, "nested_nrows", counts)
        if len(counts) != len(nested_value_rowids):
            raise ValueError(
                "Argument `nested_nrows` must have the same length as argument "
                f"`nested_value_rowids`. len(nested_nrows) = {len(counts)} vs. "
                f"len(nested_values_rowids) = {len(nested_value_rowids)}."
            )
        values = [flat_values, *nested_value_rowids, *counts]
        with _scope(name, "RaggedFromNestedValueRowIds", values):
            pairs = list(zip(nested_value_rowids, counts, strict=True))
            for rowids, nrows in reversed(pairs):
                flat_values = cls.from_value_rowids(flat_values, rowids, nrows, validate=validate)
            return flat_values

    @classmethod
    def _from_row_partition(cls, values: Any, rows: RowPartition, validate: bool) -> RaggedTensor:
        values = _as_values(values)
        values.shape.with_rank_at_least(1)
        if isinstance(values, RaggedTensor) and values._row_partition.dtype is not rows.dtype:
            raise ValueError(
                "Argument `row_partition` of RaggedTensor with name: partition must have same "
                f"dtype as Argument `values`. ({rows.dtype} vs. {values._row_partition.dtype})."
            )
        if rows.rowids is not None:
            values.shape[:1].assert_is_compatible_with(rows.rowids.shape)
        if validate:
            message = "Arguments to _from_row_partition do not form a valid RaggedTensor"
            nvals = _number_of_rows(values, rows.dtype)
            check = assert_equal(rows.row_splits[-1], nvals, message=message)
            rows = rows.with_row_splits(with_dependencies([check], rows.row_splits))
        return cls(values, rows, internal=True)

    # --- what it is made of -----------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        """The dtype of the values."""
        dtype: DType = self._values.dtype
        return dtype

    @property
    def shape(self) -> TensorShape:
        """The static shape, as far as it is known; the size of a ragged dimension never is."""
        return self._row_partition.static_shape.concatenate(self._values.shape[1:])

    def get_shape(self) -> TensorShape:
        """The same as `shape`."""
        return self.shape

    @property
    def ragged_rank(self) -> int:
        """How many times the flat values are divided into rows."""
        return len(self.nested_row_splits)

    @property
    def values(self) -> Any:
        """The values of all rows, one after the other: a Tensor, or a RaggedTensor."""
        return self._values

    @property
    def flat_values(self) -> Tensor:
        """The Tensor of the innermost values."""
        inner = self._values
        flat: Tensor = inner.flat_values if isinstance(inner, RaggedTensor) else inner
        return flat

    @property
    def row_splits(self) -> Tensor:
        """Where each row begins, and where the last one ends."""
        return self._row_partition.row_splits

    @property
    def nested_row_splits(self) -> tuple[Tensor, ...]:
        """The row splits of each ragged dimension, outermost first."""
        inner = self._values
        nested = inner.nested_row_splits if isinstance(inner, RaggedTensor) else ()
        return (self.row_splits, *nested)

    @property
    def uniform_row_length(self) -> Tensor | None:
        """The length of all rows, if the tensor was made with one; else None."""
        return self._row_partition.uniform_length

    def consumers(self) -> list[Operation]:
        """The operations that take one of the components as an input."""
        parts = (self.flat_values, *self.nested_row_splits)
        return list(dict.fromkeys(op for part in parts for op in part.consumers()))

    # --- its rows in other notations --------------------------------------------------------------

    def value_rowids(self, name: str | None = None) -> Tensor:
        """The row of each value."""
        with self._scope(name, "RaggedValueRowIds"):
            return self._row_partition.value_rowids()

    def nested_value_rowids(self, name: str | None = None) -> tuple[Tensor, ...]:
        """The row of each value in each ragged dimension, outermost first."""
        with self._scope(name, "RaggedNestedValueRowIds"):
            return tuple([level.value_rowids() for level in self._levels()])

    def nrows(self, out_type: Any = None, name: str | None = None) -> Tensor:
        """The number of rows, a scalar of `out_type`, or of the dtype of the splits."""
        with self._scope(name, "RaggedNRows"):
            count = self._row_partition.nrows()
            result: Tensor = count if out_type is None else cast(count, out_type)
            return result

    def row_starts(self, name: str | None = None) -> Tensor:
        """Where each row begins."""
        with self._scope(name, "RaggedRowStarts"):
            return self.row_splits[:-1]

    def row_limits(self, name: str | None = None) -> Tensor:
        """Where each row ends."""
        with self._scope(name, "RaggedRowLimits"):
            return self.row_splits[1:]

    def row_lengths(self, axis: int = 1, name: str | None = None) -> Any:
        """The length of each row of dimension `axis`; ragged where there are several above it.

        Raises:
            ValueError: there is no such dimension.
        """
        if axis == 0:
            return self._row_partition.nrows()
        if axis == 1:
            return self._row_partition.row_lengths()
        with self._scope(name, "RaggedRowLengths"):
            axis = _positive_axis(axis, self.shape.rank)
            if axis < 2:
                return self.row_lengths(axis)
            if isinstance(self._values, RaggedTensor):
                return self.with_values(self._values.row_lengths(axis - 1))
            sizes = shape_of(self._values, out_type=self._row_partition.dtype)
            return self.with_values(fill(sizes[: axis - 1], sizes[axis - 1]))

    def nested_row_lengths(self, name: str | None = None) -> tuple[Tensor, ...]:
        """The length of each row in each ragged dimension, outermost first."""
        with self._scope(name, "RaggedNestedRowLengths"):
            return tuple([level.row_lengths() for level in self._levels()])

    def bounding_shape(
        self, axis: Any = None, name: str | None = None, out_type: Any = None
    ) -> Tensor:
        """The smallest dense shape that holds this, or its size along `axis`.

        Args:
            axis: an int, a list of them, or a Tensor; None for the whole shape.
            name: name scope of the operations.
            out_type: int32 or int64; the dtype of the splits when None.
        """
        dtype = self._row_partition.dtype if out_type is None else as_dtype(out_type)
        with self._scope(name, "RaggedBoundingBox"):
            if isinstance(axis, int) and axis in (0, 1):
                return cast(self.nrows() if axis == 0 else _longest(self), dtype)
            sizes = [self.nrows(), *[_longest(level) for level in self._levels()]]
            inner = shape_of(self.flat_values, out_type=dtype)[1:]
            box = concat([cast(stack(sizes), dtype), inner], 0)
            return box if axis is None else gather(box, axis)

    # --- made of this -----------------------------------------------------------------------------

    def with_values(self, new_values: Any) -> RaggedTensor:
        """Other values in the same rows.

        Raises:
            ValueError: their number is known to be another, or their splits have another dtype.
        """
        new_values = _as_values(new_values)
        new_values.shape.with_rank_at_least(1)
        self._values.shape[:1].assert_is_compatible_with(new_values.shape[:1])
        dtype = self._row_partition.dtype
        if isinstance(new_values, RaggedTensor) and new_values.row_splits.dtype is not dtype:
            raise ValueError(
                "self and new_values have mismatched row_splits dtypes; use "
                "RaggedTensor.with_row_splits_dtype() to convert them to compatible dtypes."
            )
        return RaggedTensor(new_values, self._row_partition, internal=True)

    def with_flat_values(self, new_values: Any) -> RaggedTensor:
        """Other flat values in the same rows; see `with_values`."""
        if isinstance(self._values, RaggedTensor):
            return self.with_values(self._values.with_flat_values(new_values))
        return self.with_values(new_values)

    def with_row_splits_dtype(self, dtype: Any) -> RaggedTensor:
        """The same with row splits of int32 or int64.

        Raises:
            ValueError: `dtype` is another one.
        """
        dtype = as_dtype(dtype)
        if dtype not in (int32, int64):
            raise ValueError(
                f"Argument `row_splits` dtype must be int32 or int64. Received {dtype}."
            )
        if self._row_partition.dtype is dtype:
            return self
        values = self._values
        if isinstance(values, RaggedTensor):
            values = values.with_row_splits_dtype(dtype)
        return RaggedTensor(values, self._row_partition.with_dtype(dtype), internal=True)

    def merge_dims(self, outer_axis: int, inner_axis: int) -> Any:
        """The same with the dimensions from `outer_axis` to `inner_axis` made one.

        Raises:
            ValueError: there are no such dimensions, or the first is the inner one.
        """
        outer = _positive_axis(outer_axis, self.shape.rank, "outer_axis")
        inner = _positive_axis(inner_axis, self.shape.rank, "inner_axis")
        if outer > inner:
            raise ValueError(
                f"Expected outer_axis ({outer}) to be less than or equal to inner_axis ({inner})."
            )
        return _merged(self, outer, inner)

    # --- what it is not ---------------------------------------------------------------------------

    def numpy(self) -> NoReturn:
        """Not in a graph: a session gives the value."""
        raise ValueError("RaggedTensor.numpy() is only supported in eager mode.")

    def to_list(self) -> NoReturn:
        """Not in a graph: a session gives the value."""
        raise ValueError("to_list can only be used in eager mode.")

    def __bool__(self) -> NoReturn:
        raise TypeError("RaggedTensor may not be used as a boolean.")

    def __repr__(self) -> str:
        return f"tf.RaggedTensor(values={self._values}, row_splits={self.row_splits})"

    def _levels(self) -> list[RaggedTensor]:
        inner = self._values
        return [self, *(inner._levels() if isinstance(inner, RaggedTensor) else [])]

    def _scope(self, name: str | None, default: str) -> Any:
        return _scope(name, default, [self.row_splits])


# --- parts ----------------------------------------------------------------------------------------


@contextmanager
def _scope(name: str | None, default: str, values: Sequence[Any]) -> Iterator[None]:
    known = [v.flat_values if isinstance(v, RaggedTensor) else v for v in values]
    graph = graph_of(known)
    with graph.as_default(), graph.name_scope(name or default):
        yield


def _check_validate(validate: Any) -> None:
    if not isinstance(validate, bool):
        raise TypeError(f"Argument `validate` must have type bool. Received {validate}.")


def _check_nested(validate: Any, name: str, parts: Any) -> None:
    _check_validate(validate)
    if isinstance(parts, Tensor):
        raise TypeError(f"Argument `{name}` must be a list of Tensors. Received {parts}.")


def _as_values(value: Any) -> Any:
    if isinstance(value, Tensor | RaggedTensor):
        return value
    if isinstance(value, RaggedTensorValue):
        return ragged_of_value(value, "values")
    return convert_to_tensor(value, name="values")


def ragged_of_value(value: RaggedTensorValue, name: str | None = None) -> RaggedTensor:
    """A RaggedTensor of constants with the value `value`."""
    with _scope(name, "ConvertToTensorOrRaggedTensor", []):
        flat = convert_to_tensor(value.flat_values, name="flat_values")
        splits = value.nested_row_splits
        ragged: RaggedTensor = RaggedTensor.from_nested_row_splits(flat, splits, validate=False)
        return ragged


def _partition_dtype(values: Any) -> DType | None:
    return values._row_partition.dtype if isinstance(values, RaggedTensor) else None


def _number_of_rows(values: Any, dtype: DType) -> Tensor:
    if isinstance(values, RaggedTensor):
        return values.nrows(dtype)
    return shape_of(values, out_type=dtype)[0]


def _longest(ragged: RaggedTensor) -> Tensor:
    return maximum(reduce_max(ragged.row_lengths()), 0)


def _positive_axis(axis: Any, rank: int | None, name: str = "axis") -> int:
    if not isinstance(axis, int):
        raise TypeError(f"{name} must be an int; got {type(axis).__name__}")
    if rank is not None:
        if not -rank <= axis < rank:
            raise ValueError(f"{name}={axis} out of bounds: expected {-rank}<={name}<{rank}")
        return axis % rank
    if axis < 0:
        raise ValueError(f"{name}={axis} may only be negative if rank(self) is statically known.")
    return axis


def _merged(value: Any, outer: int, inner: int) -> Any:
    """`value`, a Tensor or a RaggedTensor, with the dimensions `outer` to `inner` made one."""
    if outer == inner:
        return value
    if not isinstance(value, RaggedTensor):
        sizes = shape_of(value)
        return reshape(value, concat([sizes[:outer], [-1], sizes[inner + 1 :]], 0))
    if outer > 1:
        return value.with_values(_merged(value.values, outer - 1, inner - 1))
    if outer == 0:  # without its rows
        return _merged(value.values, 0, inner - 1)
    values, splits = value.values, value.row_splits
    if isinstance(values, RaggedTensor):  # the rows of rows are rows
        splits = gather(values.row_splits, splits)
        flatter = RaggedTensor.from_row_splits(values.values, splits, validate=False)
        return _merged(flatter, 1, inner - 1)
    sizes = shape_of(values, out_type=splits.dtype)
    flat = reshape(values, concat([[-1], sizes[inner:]], 0))
    splits = splits * reduce_prod(sizes[1:inner])
    return RaggedTensor.from_row_splits(flat, splits, validate=False)


# --- how it comes apart and together --------------------------------------------------------------


def _components(ragged: RaggedTensor) -> list[Tensor]:
    return [*ragged.nested_row_splits, ragged.flat_values]


def _contract(values: list[Any]) -> Any:
    *nested, value = values
    for splits in reversed(nested):
        value = RaggedTensorValue(value, splits)
    return value


def _expand(value: Any) -> list[Any]:
    return [*value.nested_row_splits, value.flat_values]


def _convert(function: Callable[[Any], Any], ragged: RaggedTensor) -> RaggedTensor:
    values = function(ragged.flat_values)
    levels = ragged._levels()
    splits = [function(level.row_splits) for level in levels]
    for level, own in zip(reversed(levels), reversed(splits), strict=True):
        rows = RowPartition(own, uniform_length=level.uniform_row_length)
        values = RaggedTensor(values, rows, internal=True)
    result: RaggedTensor = values
    return result


register_composite_type(RaggedTensor, _components, _contract, _expand, _convert)
